//! Which output takes which events, what is filtered, and further sinks beside the first.
//!
//! `take` and `[[filter]]` are read twice: here, for their form, and with the mappings (`mapping::choice`), for what their conditions mean.

use serde::Deserialize;

use super::archive::ArchiveSink;
use super::connection::Connection;
use super::eventhubs::Namespace;
use super::settings::{Delivery, Emit, Output, Settings, Sink};

/// Outputs that can be told apart; as many as the bits that a plan answers with.
const MAX_OUTPUTS: usize = crate::plan::MAX_OUTPUTS;
/// A window of more ids costs more than 60 MB a partition.
const MAX_WINDOW: usize = 1_000_000;

/// `[[output.take]]`: one kind of event that the output takes; all that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Take {
    /// Mappings, as in `azure/activity`; `*` stands for any text. Default: all.
    pub mappings: Vec<String>,
    /// Event types, as in `USER_LOGIN`. Default: all.
    pub event_types: Vec<String>,
    /// Security tags, of which the event has at least one; `*` stands for any text. Default: all, also events without a tag.
    pub tags: Vec<String>,
    /// A condition of the mapping language, as in `{ record_prefix = { category = "Sign" } }`. Default: none.
    pub when: Option<toml::Table>,
}

/// `[[filter]]`: events that no output gets. They are counted as skipped under the filter's name; all that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// The word it is counted under: small letters, digits and `_`. Required, unique.
    pub name: String,
    /// Mappings, as in `azure/activity`; `*` stands for any text. Default: all.
    pub mappings: Vec<String>,
    /// Event types, as in `USER_LOGIN`. Default: all.
    pub event_types: Vec<String>,
    /// Security tags, of which the event has at least one; `*` stands for any text. Default: all, also events without a tag.
    pub tags: Vec<String>,
    /// A condition of the mapping language, as in `{ record_equals = { callerIpAddress = "192.0.2.1" } }`. Default: none.
    pub when: Option<toml::Table>,
}

/// What becomes of an event that no output takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unrouted {
    /// Its record goes to the dead letters.
    #[default]
    DeadLetter,
    /// It is counted.
    Count,
}

/// What becomes of events that the source sends twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// They are emitted twice.
    #[default]
    Off,
    /// Within the last so many ids of a partition the first one stays.
    Window,
}

/// Where one sink writes to.
#[derive(Debug, Clone)]
pub enum Target {
    /// Kafka, or Event Hubs through its Kafka endpoint.
    Kafka(Connection),
    /// Event Hubs over AMQP.
    EventHubs(Namespace),
    /// Files; the section of the settings, for messages.
    Archive(String, ArchiveSink),
}

impl Target {
    /// Who the sink logs in as, for messages: never a secret.
    pub fn identity(&self) -> String {
        match self {
            Target::Kafka(connection) => connection.identity(),
            Target::EventHubs(namespace) => namespace.identity(),
            Target::Archive(_, archive) => archive.identity(),
        }
    }

    /// The section of the settings, for messages.
    pub fn section(&self) -> &str {
        match self {
            Target::Kafka(connection) => &connection.section,
            Target::EventHubs(namespace) => &namespace.section,
            Target::Archive(section, _) => section,
        }
    }
}

impl Settings {
    /// Where an output's sink writes to: `None` names `[sink]`, a name one of `[sinks]`.
    pub fn target(&self, name: Option<&str>) -> Target {
        let Some(name) = name else {
            return match (&self.sink.archive, self.sink_namespace()) {
                (Some(archive), _) => Target::Archive("sink.archive".to_owned(), archive.clone()),
                (None, Some(namespace)) => Target::EventHubs(namespace),
                (None, None) => Target::Kafka(self.sink_connection()),
            };
        };
        match self.sinks.get(name) {
            Some(Sink { archive: Some(archive), .. }) => Target::Archive(format!("sinks.{name}.archive"), archive.clone()),
            Some(Sink { eventhubs: Some(sink), .. }) => Target::EventHubs(Namespace {
                section: format!("sinks.{name}.eventhubs").into(),
                host: sink.namespace.clone(),
                endpoint: sink.endpoint.clone(),
                access: sink.access.clone(),
            }),
            found => {
                let kafka = found.and_then(|sink| sink.kafka.clone()).unwrap_or_default();
                Target::Kafka(Connection {
                    section: format!("sinks.{name}.kafka").into(),
                    kind: kafka.kind,
                    bootstrap_servers: kafka.bootstrap_servers,
                    security: kafka.security,
                    librdkafka: kafka.librdkafka,
                })
            }
        }
    }

    /// Whether anything is chosen by `take` or a filter.
    pub fn has_choices(&self) -> bool {
        !self.filter.is_empty() || self.output.iter().any(|output| !output.take.is_empty())
    }

    /// What does not fit together, as (key, what to do).
    pub(super) fn route_faults(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.output.len() > MAX_OUTPUTS {
            found.push(("output", format!("{} outputs are written; {MAX_OUTPUTS} is the most", self.output.len())));
        }
        if !self.output.is_empty() && self.output.iter().all(|output| !output.required) {
            found.push((
                "required",
                "no output is required, so nothing would hold an offset back: leave `required` out of one of them".into(),
            ));
        }
        if self.run.dedupe == Dedupe::Window && !(1..=MAX_WINDOW).contains(&self.run.dedupe_window) {
            found.push(("dedupe_window", format!("`run.dedupe_window` is {}; set 1 to {MAX_WINDOW}", self.run.dedupe_window)));
        }
        let redrive = self.source.kafka.as_ref().is_some_and(|source| source.redrive)
            || self.source.eventhubs.as_ref().is_some_and(|source| source.redrive);
        if self.run.dedupe == Dedupe::Window && redrive {
            let what =
                "`run.dedupe` would take dead letters of several outputs for repeats of one record; leave it out of a run with `redrive`";
            found.push(("dedupe", what.into()));
        }
        for output in &self.output {
            found.extend(self.output_faults(output));
        }
        for (name, sink) in &self.sinks {
            let target = self.target(Some(name));
            if [sink.kafka.is_some(), sink.eventhubs.is_some(), sink.archive.is_some()].iter().filter(|is| **is).count() != 1 {
                found.push(("sinks", format!("`sinks.{name}` needs exactly one of `kafka`, `eventhubs` and `archive`")));
            }
            match &target {
                Target::Kafka(connection) if sink.kafka.is_some() => {
                    found.extend(connection.faults());
                    found.extend(connection.producer_faults());
                }
                Target::Kafka(_) => {}
                Target::Archive(section, archive) => {
                    let named = archive.faults().into_iter().map(|(key, what)| (key, what.replace("sink.archive", section)));
                    found.extend(named);
                }
                Target::EventHubs(namespace) => {
                    found.extend(namespace.faults());
                    if cfg!(not(feature = "eventhubs")) {
                        found.push(("sinks", "this program was built without the feature `eventhubs`".into()));
                    }
                }
            }
            if !self.output.iter().any(|output| output.sink.as_ref() == Some(name)) {
                found.push(("sinks", format!("no output writes to `sinks.{name}`; give one `sink = \"{name}\"`, or delete it")));
            }
        }
        found
    }

    fn output_faults(&self, output: &Output) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if output.emit == Emit::Raw && !output.take.is_empty() {
            found.push((
                "take",
                format!("output `{}`: a raw message is not mapped, so nothing of it can be chosen; leave `take` out", output.name),
            ));
        }
        if !output.required && matches!(self.target(output.sink.as_deref()), Target::Archive(..)) {
            let what = "an archive acknowledges when a file is written, which somebody must wait for; leave `required` out";
            found.push(("required", format!("output `{}`: {what}", output.name)));
        }
        let Some(name) = &output.sink else { return found };
        if !self.sinks.contains_key(name) {
            let known: Vec<&str> = self.sinks.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) };
            found.push((
                "sink",
                format!("output `{}`: no section `[sinks.{name}.kafka]`, `.eventhubs` or `.archive`; {known}", output.name),
            ));
            return found;
        }
        if output.required && self.run.delivery == Delivery::ExactlyOnce {
            found.push((
                "sink",
                format!(
                    "output `{}`: `run.delivery = \"exactly_once\"` is one transaction on the source's cluster, which `sinks.{name}` is no part of; \
                     leave `sink` out, say `required = false`, or use `at_least_once`",
                    output.name
                ),
            ));
        }
        if let (Some(source), Target::Kafka(sink)) = (&self.source.kafka, self.target(Some(name)))
            && sink.bootstrap_servers == source.bootstrap_servers
            && source.topics.contains(&output.topic)
        {
            let topic = &output.topic;
            found.push(("topics", format!("topic `{topic}` is both read and written: its events would be read as messages; use another")));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, Unrouted};

    const GOOD: &str = "[source.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\ntopics = [\"in\"]\n[sinks.lake.kafka]\nbootstrap_servers = \"127.0.0.1:9093\"\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[[output]]\nname = \"lake\"\ntopic = \"all\"\nsink = \"lake\"\nrequired = false\ntake = [ { mappings = [\"azure/*\"], when = { record_has = \"a\" } } ]\n[[filter]]\nname = \"probes\"\nevent_types = [\"USER_LOGIN\"]\n[dead_letter]\ntopic = \"dead\"\n";

    #[test]
    fn outputs_choose_and_sinks_have_names() {
        let settings = Settings::read("x.toml", GOOD).expect("no faults");
        assert!(settings.has_choices() && settings.run.unrouted == Unrouted::DeadLetter);
        assert_eq!(settings.output.iter().map(|output| output.required).collect::<Vec<_>>(), [true, false]);
        assert_eq!((settings.target(None).section(), settings.target(Some("lake")).section()), ("source.kafka", "sinks.lake.kafka"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (name, from, to, part) in [
            ("no such sink", "sink = \"lake\"", "sink = \"pond\"", "there are: lake"),
            ("a sink of nobody", "sink = \"lake\"\n", "", "no output writes to `sinks.lake`"),
            ("a sink of no kind", "[sinks.lake.kafka]\nbootstrap_servers = \"127.0.0.1:9093\"", "[sinks.lake]", "exactly one of"),
            ("a key of no take", "mappings = [\"azure", "maps = [\"azure", "unknown field"),
            ("nothing is required", "topic = \"udm\"\n", "topic = \"udm\"\nrequired = false\n", "no output is required"),
            ("a window of nothing", "[source.kafka]", "[run]\ndedupe = \"window\"\ndedupe_window = 0\n[source.kafka]", "set 1 to"),
            (
                "repeats of letters",
                "[source.kafka]\n",
                "[run]\ndedupe = \"window\"\n[source.kafka]\nredrive = true\n",
                "repeats of one record",
            ),
            (
                "two clusters in one transaction",
                "required = false",
                "required = true\n[run]\ndelivery = \"exactly_once\"\n[[output]]\nname = \"c\"\ntopic = \"c\"",
                "no part of",
            ),
            ("a circle through a name", "topic = \"all\"", "topic = \"in\"", "read and written"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let text = if name.starts_with("a circle") { text.replace("9093", "9092") } else { text };
            let faults = Settings::read("x.toml", &text).expect_err(name);
            assert!(faults.iter().any(|fault| fault.what.contains(part)), "case {name}: {faults:?}");
        }
    }
}
