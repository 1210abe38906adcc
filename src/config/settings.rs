//! One struct a section of the settings file.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::archive::ArchiveSink;
use super::blob::BlobSource;
use super::connection::{Connection, ConnectionKind, Security};
use super::eventhubs::{EventHubsSink, EventHubsSource, Namespace};
use super::faults::{self, Fault};
use super::openai::OpenAiSource;
use super::routes::{Dedupe, Filter, Take, Unrouted};
use super::secret::SecretRef;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `[run]`: threads, limits, delivery.
    pub run: Run,
    /// `[log]`.
    pub log: Log,
    /// `[admin]`: metrics and health.
    pub admin: Admin,
    /// `[files]`: mappings and databases.
    pub files: Files,
    /// `[source.*]`: where messages come from.
    pub source: Source,
    /// `[sink.*]`: where events and dead letters go.
    pub sink: Sink,
    /// `[sinks.NAME.*]`: further sinks, that outputs name.
    pub sinks: BTreeMap<String, Sink>,
    /// `[[filter]]`: events that no output gets.
    pub filter: Vec<Filter>,
    /// `[[output]]`: at least one.
    pub output: Vec<Output>,
    /// `[dead_letter]`: required.
    pub dead_letter: Option<DeadLetter>,
    /// Name and text of the file, for what is read with the mappings.
    #[serde(skip)]
    pub written: (String, String),
}

/// `[run]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Threads that run the engine. Default: one per processor. Messages of one partition stay in order on one of them.
    pub workers: Option<usize>,
    /// Bytes of messages taken and not settled; above it the source pauses, below half it goes on. Unit: bytes. Default: 64 MiB.
    pub in_flight_max_bytes: u64,
    /// How long a stop waits for what is in flight. Unit: milliseconds. Default: 25,000 (below the usual 30 s of orchestrators).
    pub drain_timeout_ms: u64,
    /// How long a revoked partition waits for what is being written. Unit: milliseconds. Default: 10,000; stays below the session timeout.
    pub revoke_timeout_ms: u64,
    /// `at_least_once`: nothing is lost, a crash repeats a little; `exactly_once`: Kafka transactions, for readers with
    /// `isolation.level = read_committed`. Default: `at_least_once`.
    pub delivery: Delivery,
    /// With `exactly_once`: how long one transaction takes messages in, and so how late readers see them. Unit: milliseconds. Default: 1,000.
    pub transaction_interval_ms: u64,
    /// With `exactly_once`: a name that this process has alone in its group and keeps over restarts, so that a restart ends at once what a
    /// crash left open. Default: a fresh one every start; the broker then ends it after `transaction.timeout.ms` (30 s).
    pub instance: Option<String>,
    /// What becomes of an event that no output takes: `dead_letter`: its record goes to the dead letters as `no_output`; `count`: it is
    /// counted as skipped. Default: `dead_letter`.
    pub unrouted: Unrouted,
    /// `window`: an event whose id a partition had a short while ago is skipped as `repeat`; `off`: it is emitted again. For sources that
    /// send records twice; what a restart repeats is not in the window. Default: `off`.
    pub dedupe: Dedupe,
    /// With `dedupe = "window"`: how many ids are remembered for each partition. About 70 bytes each. Default: 10,000.
    pub dedupe_window: usize,
}

impl Default for Run {
    fn default() -> Run {
        Run {
            workers: None,
            in_flight_max_bytes: 64 << 20,
            drain_timeout_ms: 25_000,
            revoke_timeout_ms: 10_000,
            delivery: Delivery::AtLeastOnce,
            transaction_interval_ms: 1000,
            instance: None,
            unrouted: Unrouted::DeadLetter,
            dedupe: Dedupe::Off,
            dedupe_window: 10_000,
        }
    }
}

impl Run {
    /// The number of workers, with the default resolved.
    pub fn workers(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// What is promised about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Nothing is lost; after a crash what came since the last commit is written again, with the same ids.
    #[default]
    AtLeastOnce,
    /// Kafka transactions: events, dead letters and offsets together or not at all.
    ExactlyOnce,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`. Default: `text`.
    pub format: LogFormat,
    /// What is logged, in the syntax `info` or `udmill=debug`. Default: `info`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Aligned text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[admin]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of metrics and health. Default: `127.0.0.1:9464`; port 0 picks a free one and logs it.
    pub listen: SocketAddr,
    /// What `/metrics` and `/drift` ask for as `Authorization: Bearer TOKEN`: `{ env = "NAME" }` or `{ file = "PATH" }`. `/health/live` and
    /// `/health/ready` answer without, for probes. A changed file is taken while the process runs. Default: none, whoever reaches the port
    /// reads it.
    pub token: Option<SecretRef>,
    /// `[admin.tls]`: the port speaks HTTPS and nothing else. Default: HTTP.
    pub tls: Option<AdminTls>,
}

impl Default for Admin {
    fn default() -> Admin {
        Admin { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)), token: None, tls: None }
    }
}

/// `[admin.tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTls {
    /// File with the port's certificate, PEM, followed by those between it and its authority. Required. A changed file is taken while the
    /// process runs.
    pub certificate: String,
    /// File with its key, PEM (PKCS#8, PKCS#1 or SEC1), without a password. Required. A changed file is taken while the process runs.
    pub key: String,
}

/// `[files]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// Folder of mapping tables that extend or replace the built-in ones. Default: none.
    pub mappings: Option<String>,
    /// File that gives security tags other severities or switches them off. Default: none, every tag as shipped.
    pub tags: Option<String>,
    /// File of what the site does not let out (docs/redaction.md): paths whose values are dropped, hashed or masked. Default: none.
    pub redaction: Option<String>,
    /// City database in MaxMind's format. Default: none, no places.
    pub geo_city: Option<String>,
    /// ASN database in MaxMind's format. Default: none, no network owners.
    pub geo_asn: Option<String>,
    /// How often these files, and those of `[admin]`, are looked at; changed ones are reloaded as by SIGHUP, once two looks agree. 0: on
    /// SIGHUP only. Unit: milliseconds. Default: 10,000.
    pub watch_interval_ms: Option<u64>,
}

impl Files {
    /// Time between two looks, with the default resolved; `None` when nobody looks.
    pub fn watch_interval(&self) -> Option<std::time::Duration> {
        Some(self.watch_interval_ms.unwrap_or(10_000)).filter(|interval| *interval > 0).map(std::time::Duration::from_millis)
    }
}

/// `[source]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// `[source.kafka]`: Kafka, or Event Hubs through its Kafka endpoint.
    pub kafka: Option<KafkaSource>,
    /// `[source.eventhubs]`: Event Hubs over AMQP.
    pub eventhubs: Option<EventHubsSource>,
    /// `[source.blob]`: logs in blobs that grow.
    pub blob: Option<BlobSource>,
    /// `[source.openai]`: the audit log of an OpenAI organization.
    pub openai: Option<OpenAiSource>,
}

/// `[source.kafka]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSource {
    /// `kafka` or `eventhubs_kafka`. Default: found from the server name.
    pub kind: Option<ConnectionKind>,
    /// `host:port`, several with commas. Required, except with a connection string.
    pub bootstrap_servers: String,
    /// Topics (Event Hubs: event hubs) to read. Required.
    pub topics: Vec<String>,
    /// Consumer group; every process of it gets a share of the partitions. Default: `udmill`.
    pub group_id: String,
    /// Where a group without committed offsets begins: `earliest` or `latest`. Default: `earliest`.
    pub start: Start,
    /// How often offsets are committed. Unit: milliseconds. Default: 5,000.
    pub commit_interval_ms: u64,
    /// The topics hold dead letters of an earlier run: pieces are put together and the first arrival is taken from the headers.
    pub redrive: bool,
    /// Topics whose records all take one mapping, as `{ topic = "mapping" }`. Default: none, every record is classified.
    pub pin: BTreeMap<String, String>,
    /// `[source.kafka.security]`
    pub security: Security,
    /// `[source.kafka.librdkafka]`: any setting of librdkafka, passed on as it is.
    pub librdkafka: BTreeMap<String, String>,
}

impl KafkaSource {
    /// The group with the default resolved.
    pub fn group_id(&self) -> &str {
        if self.group_id.is_empty() { "udmill" } else { &self.group_id }
    }

    /// How to connect.
    pub fn connection(&self) -> Connection {
        Connection {
            section: "source.kafka".into(),
            kind: self.kind,
            bootstrap_servers: self.bootstrap_servers.clone(),
            security: self.security.clone(),
            librdkafka: self.librdkafka.clone(),
        }
    }
}

/// Where a new consumer group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest message there is.
    #[default]
    Earliest,
    /// With messages that arrive from now on.
    Latest,
}

/// `[sink]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sink {
    /// `[sink.kafka]`. Default: the cluster of the source.
    pub kafka: Option<KafkaSink>,
    /// `[sink.eventhubs]`: Event Hubs over AMQP. An output's topic is then a hub. Default: the namespace of the source.
    pub eventhubs: Option<EventHubsSink>,
    /// `[sink.archive]`: NDJSON files in a folder or an object store.
    pub archive: Option<ArchiveSink>,
}

/// `[sink.kafka]`, `[sinks.NAME.kafka]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSink {
    /// `kafka` or `eventhubs_kafka`. Default: found from the server name.
    pub kind: Option<ConnectionKind>,
    /// `host:port`, several with commas. Default: the source's cluster, with its security. Required in `[sinks.NAME.kafka]`.
    pub bootstrap_servers: String,
    /// `[sink.kafka.security]`
    pub security: Security,
    /// `[sink.kafka.librdkafka]`: any setting of librdkafka, passed on as it is.
    pub librdkafka: BTreeMap<String, String>,
}

/// `[[output]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name in metrics, logs and dead letters. Required, unique.
    pub name: String,
    /// Topic the events go to. Required.
    pub topic: String,
    /// `udm`: the events; `raw`: every message as it came, without mapping it. Default: `udm`.
    #[serde(default)]
    pub emit: Emit,
    /// The sink it writes to: `NAME` of a section `[sinks.NAME.kafka]`, `[sinks.NAME.eventhubs]` or `[sinks.NAME.archive]`. Default: `[sink]`.
    #[serde(default)]
    pub sink: Option<String>,
    /// `false`: no offset waits for it, and what it cannot deliver at once or within 30 s is dropped and counted. Default: `true`.
    #[serde(default = "yes")]
    pub required: bool,
    /// `[[output.take]]`: the kinds of events it takes. Default: every event.
    #[serde(default)]
    pub take: Vec<Take>,
    /// Profile of the mappings. Default: each mapping's own.
    #[serde(default)]
    pub profile: Option<String>,
    /// `none`: the bare UDM object; `events_import`: a whole request body of the import method. Default: `none`.
    #[serde(default)]
    pub wrap: Wrap,
    /// UDM paths that are left out for a service that refuses them. Default: none.
    #[serde(default)]
    pub omit: Vec<String>,
    /// What becomes of source fields that no row reads: `keep`, `count` or `drop`. Default: each mapping's own.
    #[serde(default)]
    pub unmapped: Option<String>,
}

/// What an output gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emit {
    /// UDM events.
    #[default]
    Udm,
    /// Every message as it came, once.
    Raw,
}

fn yes() -> bool {
    true
}

/// What stands around an event in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrap {
    /// Nothing.
    #[default]
    None,
    /// `{"inlineSource":{"events":[{"udm":` and `}]}}`.
    EventsImport,
}

/// `[dead_letter]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// Topic of rejected records. Required, none of the outputs'. It may hold personal data: restrict who reads it.
    pub topic: String,
    /// `raw`: the record's own bytes; `redacted`; `hash`: its BLAKE3 only. Default: `raw`.
    #[serde(default)]
    pub content: DeadLetterContent,
    /// A larger dead letter is sent as numbered pieces of at most this. Unit: bytes. Default: 900,000, below the usual broker limit.
    #[serde(default = "default_piece_max_bytes")]
    pub piece_max_bytes: usize,
}

fn default_piece_max_bytes() -> usize {
    900_000
}

/// What a dead letter's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterContent {
    /// The record's own bytes.
    #[default]
    Raw,
    /// The same with secrets and personal texts blacked out.
    Redacted,
    /// Only its hash: such a dead letter cannot be read again.
    Hash,
}

impl Settings {
    /// Reads the settings from a file's text. `file` is its name for messages. Environment and secret files are not touched.
    ///
    /// # Errors
    ///
    /// All faults at once: unknown keys, values of another type, and what does not fit together.
    pub fn read(file: &str, text: &str) -> Result<Settings, Vec<Fault>> {
        let (mut settings, mut found) = faults::deserialize::<Settings>(file, text);
        if let Some(settings) = &mut settings {
            settings.written = (file.to_owned(), text.to_owned());
            found.extend(settings.faults().into_iter().map(|(key, what)| Fault::at_key(file, text, key, what)));
        }
        match settings {
            Some(settings) if found.is_empty() => Ok(settings),
            _ => Err(found),
        }
    }

    /// How the sink connects: its own settings, or the source's.
    pub fn sink_connection(&self) -> Connection {
        match (&self.sink.kafka, &self.source.kafka) {
            (Some(sink), source) => {
                let inherited = source.as_ref().filter(|_| sink.bootstrap_servers.is_empty() && sink.security == Security::default());
                Connection {
                    section: "sink.kafka".into(),
                    kind: sink.kind.or(inherited.and_then(|source| source.kind)),
                    bootstrap_servers: inherited.map_or(&sink.bootstrap_servers, |source| &source.bootstrap_servers).clone(),
                    security: inherited.map_or(&sink.security, |source| &source.security).clone(),
                    librdkafka: sink.librdkafka.clone(),
                }
            }
            (None, _) if self.sink.archive.is_some() => Connection::default(),
            (None, Some(source)) => Connection { librdkafka: BTreeMap::new(), ..source.connection() },
            (None, None) => Connection::default(),
        }
    }

    /// The namespace that events go to over AMQP; `None` when the sink is Kafka.
    pub fn sink_namespace(&self) -> Option<Namespace> {
        let source = self.source.eventhubs.as_ref();
        match (&self.sink.eventhubs, &self.sink.kafka) {
            (None, _) if self.sink.archive.is_some() => None,
            (Some(sink), _) => {
                let inherits = sink.namespace.is_empty() && sink.endpoint.is_none() && sink.access == Default::default();
                let own = Namespace {
                    section: "sink.eventhubs".into(),
                    host: sink.namespace.clone(),
                    endpoint: sink.endpoint.clone(),
                    access: sink.access.clone(),
                };
                Some(source.filter(|_| inherits).map_or(own, EventHubsSource::namespace))
            }
            (None, None) => source.map(EventHubsSource::namespace),
            (None, Some(_)) => None,
        }
    }

    /// What does not fit together where Event Hubs is read or written over AMQP, as (key, what to do).
    fn eventhubs_faults(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let sink = self.sink_namespace();
        if cfg!(not(feature = "eventhubs")) && (self.source.eventhubs.is_some() || sink.is_some()) {
            found.push(("eventhubs", "this program was built without the feature `eventhubs`".into()));
        }
        if self.sink.eventhubs.is_some() && self.sink.kafka.is_some() {
            found.push(("sink", "both `[sink.kafka]` and `[sink.eventhubs]` are written; choose one".into()));
        }
        if self.sink.eventhubs.is_some() {
            found.extend(sink.iter().flat_map(Namespace::faults));
        }
        if (self.source.eventhubs.is_some() || sink.is_some()) && self.run.delivery == Delivery::ExactlyOnce {
            found.push(("delivery", "`run.delivery = \"exactly_once\"` needs Kafka transactions, which Event Hubs does not offer; use `at_least_once`: repeats carry the same metadata.product_log_id".into()));
        }
        let Some(source) = &self.source.eventhubs else { return found };
        if self.source.kafka.is_some() {
            found.push(("source", "both `[source.kafka]` and `[source.eventhubs]` are written; run one process for each".into()));
        }
        found.extend(source.faults());
        let same = sink.is_some_and(|sink| sink.host == source.namespace && sink.access == source.access);
        let written = self
            .output
            .iter()
            .filter(|output| output.sink.is_none())
            .map(|output| &output.topic)
            .chain(self.dead_letter.as_ref().map(|dead| &dead.topic));
        for hub in written.filter(|hub| same && source.hubs.contains(hub)) {
            found.push(("hubs", format!("hub `{hub}` is both read and written: what is written would be read as messages; use another")));
        }
        found
    }

    /// What does not fit together, as (key, what to do).
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut say = |key: &'static str, what: String| found.push((key, what));
        if self.admin.token.as_ref().is_some_and(|token| token.env.is_some() == token.file.is_some()) {
            say("token", "`admin.token`: a secret names exactly one of `env` and `file`".into());
        }
        if self.run.workers == Some(0) {
            say("workers", "`run.workers` is 0; leave it out for one per processor".into());
        }
        if self.run.in_flight_max_bytes < 1 << 20 {
            say(
                "in_flight_max_bytes",
                format!(
                    "`run.in_flight_max_bytes` is {}; one message may be that large, set at least 1048576",
                    self.run.in_flight_max_bytes
                ),
            );
        }
        let eventhubs = |connection: &Connection| connection.is_eventhubs();
        match &self.source.kafka {
            None if self.source.eventhubs.is_some() || self.source.blob.is_some() || self.source.openai.is_some() => {}
            None => say("source", "no source; write a section `[source.kafka]` with `bootstrap_servers` and `topics`".into()),
            Some(source) => {
                if source.topics.is_empty() || source.topics.iter().any(String::is_empty) {
                    say("topics", "`source.kafka.topics` names no topic, or an empty one".into());
                }
                for (key, what) in source.connection().faults() {
                    say(key, what);
                }
                let dead = self.dead_letter.as_ref().map(|dead| dead.topic.as_str());
                for topic in &source.topics {
                    if self.output.iter().any(|output| output.sink.is_none() && output.topic == *topic)
                        && self.sink_connection().bootstrap_servers == source.bootstrap_servers
                    {
                        say(
                            "topics",
                            format!("topic `{topic}` is both read and written: its events would be read as messages; use another"),
                        );
                    }
                    if dead == Some(topic) && self.sink_connection().bootstrap_servers == source.bootstrap_servers {
                        say(
                            "topics",
                            format!(
                                "topic `{topic}` is read and takes dead letters: a record that fails again would go round; give this run another `dead_letter.topic`"
                            ),
                        );
                    }
                }
                for topic in source.pin.keys().filter(|topic| !source.topics.contains(topic)) {
                    say("pin", format!("`source.kafka.pin` names topic `{topic}`, which is not in `topics`"));
                }
            }
        }
        for (key, what) in self.eventhubs_faults() {
            say(key, what);
        }
        for (key, what) in self.archive_faults().into_iter().chain(self.blob_faults()).chain(self.route_faults()) {
            say(key, what);
        }
        for (key, what) in self.openai_faults() {
            say(key, what);
        }
        let sink = self.sink_connection();
        if self.sink.kafka.is_some() {
            for (key, what) in sink.faults() {
                say(key, what);
            }
        }
        for (key, what) in sink.producer_faults() {
            say(key, what);
        }
        let over_amqp = self.source.eventhubs.is_some() || self.sink_namespace().is_some();
        if self.run.delivery == Delivery::ExactlyOnce && !over_amqp {
            if eventhubs(&sink) || self.source.kafka.as_ref().is_some_and(|source| source.connection().is_eventhubs()) {
                say("delivery", "`run.delivery = \"exactly_once\"` needs Kafka transactions, which Event Hubs does not offer; use `at_least_once`: repeats carry the same metadata.product_log_id".into());
            }
            if self.source.kafka.as_ref().is_some_and(|source| source.bootstrap_servers != sink.bootstrap_servers) {
                say("delivery", "`run.delivery = \"exactly_once\"` needs source and sink on one cluster: a transaction cannot hold offsets of another; use `at_least_once`: repeats carry the same metadata.product_log_id".into());
            }
            if self.source.kafka.as_ref().is_some_and(|source| source.redrive) {
                say("redrive", "`source.kafka.redrive` waits for pieces of dead letters, which no transaction can; use `delivery = \"at_least_once\"` for it".into());
            }
            if !(50..=20_000).contains(&self.run.transaction_interval_ms) {
                say(
                    "transaction_interval_ms",
                    format!(
                        "`run.transaction_interval_ms` is {}; set 50 to 20000, well below `transaction.timeout.ms`",
                        self.run.transaction_interval_ms
                    ),
                );
            }
            if self.run.instance.as_ref().is_some_and(String::is_empty) {
                say("instance", "`run.instance` is empty; leave it out or give this process a name of its own".into());
            }
        }
        if self.output.is_empty() {
            say("output", "no output; write at least one section `[[output]]` with `name` and `topic`".into());
        }
        for (index, output) in self.output.iter().enumerate() {
            if output.name.is_empty() || output.topic.is_empty() {
                say("output", format!("output {}: `name` and `topic` must not be empty", index + 1));
            }
            if self.output[..index].iter().any(|other| other.name == output.name) {
                say("name", format!("two outputs are called `{}`", output.name));
            }
            if output.emit == Emit::Raw
                && (output.profile.is_some() || output.wrap != Wrap::None || !output.omit.is_empty() || output.unmapped.is_some())
            {
                let what =
                    format!("output `{}`: a raw message is not mapped; leave `profile`, `wrap`, `omit` and `unmapped` out", output.name);
                say("emit", what);
            }
            if let Some(word) = output.unmapped.as_deref().filter(|word| !["keep", "count", "drop"].contains(word)) {
                say("unmapped", format!("output `{}`: `unmapped = \"{word}\"`; expected `keep`, `count` or `drop`", output.name));
            }
        }
        match &self.dead_letter {
            None => say("dead_letter", "no place for rejected records; write a section `[dead_letter]` with a `topic` of its own".into()),
            Some(dead) => {
                if dead.topic.is_empty() {
                    say("dead_letter", "`dead_letter.topic` is empty".into());
                }
                if self.output.iter().any(|output| output.topic == dead.topic) {
                    say(
                        "dead_letter",
                        format!(
                            "`dead_letter.topic` is `{}`, which an output writes to; give dead letters a topic of their own",
                            dead.topic
                        ),
                    );
                }
                if dead.piece_max_bytes < 1024 {
                    say("piece_max_bytes", format!("`dead_letter.piece_max_bytes` is {}; set at least 1024", dead.piece_max_bytes));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[source.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\ntopics = [\"in\"]\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n";

    #[test]
    fn a_small_file_is_enough() {
        let settings = Settings::read("x.toml", GOOD).expect("no faults");
        assert_eq!(settings.source.kafka.as_ref().map(KafkaSource::group_id), Some("udmill"));
        assert_eq!(settings.sink_connection().bootstrap_servers, "127.0.0.1:9092");
    }

    #[test]
    fn all_faults_come_at_once_with_their_places() {
        let text = "[run]\nworkers = 0\nwokers = 3\ndelivery = \"twice\"\n[[output]]\nname = \"a\"\ntopic = \"t\"\nunmapped = \"lose\"\n[dead_letter]\ntopic = \"t\"\nshape = 1\n";
        let faults = Settings::read("x.toml", text).expect_err("faults");
        let seen: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for (line, part) in
            [(3, "wokers"), (4, "twice"), (11, "shape"), (2, "run.workers"), (8, "unmapped"), (9, "which an output writes to")]
        {
            assert!(faults.iter().any(|fault| fault.line == Some(line) && fault.what.contains(part)), "line {line}, `{part}` in {seen:#?}");
        }
        assert!(faults.iter().any(|fault| fault.what.contains("[source.kafka]")), "{seen:#?}");
    }

    #[test]
    fn what_event_hubs_refuses_is_refused_here() {
        for (name, extra, part) in [
            ("transactions", "[run]\ndelivery = \"exactly_once\"\n", "transactions"),
            ("compression", "[sink.kafka.librdkafka]\n\"compression.type\" = \"lz4\"\n", "gzip"),
        ] {
            let text = format!("{extra}{}", GOOD.replace("127.0.0.1:9092", "ns.servicebus.windows.net:9093"));
            let text = text.replace("[[output]]", "[source.kafka.security]\nconnection_string = { env = \"X\" }\n[[output]]");
            let faults = Settings::read("x.toml", &text).expect_err("refused");
            assert!(faults.iter().any(|fault| fault.what.contains(part)), "case {name}: {faults:?}");
        }
    }

    #[test]
    fn a_topic_is_not_read_and_written() {
        for (name, from, to) in [("output", "\"udm\"", "\"in\""), ("dead letter", "\"dead\"", "\"in\"")] {
            assert!(Settings::read("x.toml", &GOOD.replace(from, to)).is_err(), "case: {name}");
        }
    }
}
