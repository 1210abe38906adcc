//! Event Hubs over AMQP: where the namespace is, who asks to be let in, and where positions are kept.
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::secret::SecretRef;
use super::settings::Start;

/// `[source.eventhubs]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventHubsSource {
    /// Host name of the namespace, as in `NAME.servicebus.windows.net`. Required, except with a connection string.
    pub namespace: String,
    /// Event hubs to read. Required.
    pub hubs: Vec<String>,
    /// Consumer group; every process of it gets a share of the partitions. Default: `$Default`.
    pub consumer_group: String,
    /// Where a partition without a checkpoint begins: `earliest` or `latest`. Default: `earliest`.
    pub start: Start,
    /// Events that the service may send ahead, for each partition. Default: 300.
    pub prefetch: u32,
    /// How often checkpoints are written. Unit: milliseconds. Default: 1,000.
    pub checkpoint_interval_ms: u64,
    /// How often partitions are shared out anew; a process that is gone for three times this loses its own. Unit: milliseconds. Default: 10,000.
    pub balance_interval_ms: u64,
    /// Another address for the namespace, as in `amqps://HOST:PORT`: a private endpoint, a proxy, a test. Default: the namespace's own.
    pub endpoint: Option<String>,
    /// The hubs hold dead letters of an earlier run: pieces are put together and the first arrival is taken from the properties.
    pub redrive: bool,
    /// Hubs whose records all take one mapping, as `{ hub = "mapping" }`. Default: none, every record is classified.
    pub pin: BTreeMap<String, String>,
    /// `[source.eventhubs.access]`
    pub access: Access,
    /// `[source.eventhubs.checkpoints]`: required.
    pub checkpoints: Checkpoints,
}

/// `[sink.eventhubs]`, `[sinks.NAME.eventhubs]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventHubsSink {
    /// Host name of the namespace. Default: the source's, with its access, when the source is Event Hubs over AMQP.
    pub namespace: String,
    /// Another address for the namespace, as in `amqps://HOST:PORT`. Default: the namespace's own.
    pub endpoint: Option<String>,
    /// `[sink.eventhubs.access]`
    pub access: Access,
}

/// `[source.eventhubs.access]`, `[sink.eventhubs.access]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The connection string of the namespace or a hub, with a key or a ready SAS, as `{ env = "NAME" }` or `{ file = "PATH" }`.
    pub connection_string: Option<SecretRef>,
    /// Who asks Entra for a token: `environment` (a client secret), `workload_identity` or `managed_identity`.
    pub credential: Option<Credential>,
    /// Client id of a user-assigned managed identity. Default: the system-assigned one.
    pub client_id: Option<String>,
}

/// Who asks Entra for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`.
    Environment,
    /// The token that Kubernetes writes into a file: `AZURE_FEDERATED_TOKEN_FILE` and its companions.
    WorkloadIdentity,
    /// The identity of the virtual machine or service it runs on.
    ManagedIdentity,
}

/// `[source.eventhubs.checkpoints]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// File that one single process keeps its positions in; a second process is refused.
    pub file: Option<String>,
    /// `[source.eventhubs.checkpoints.blob]`: several processes share partitions through it.
    pub blob: Option<BlobStore>,
}

/// `[source.eventhubs.checkpoints.blob]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobStore {
    /// Storage account. Required.
    pub account: String,
    /// Container; it must exist. Required.
    pub container: String,
    /// Address of the blob service. Default: `https://ACCOUNT.blob.core.windows.net`. One with `http:` is for an emulator on loopback.
    pub endpoint: Option<String>,
    /// Key of the account, as `{ env = "NAME" }` or `{ file = "PATH" }`. Default: the Entra identity of the environment.
    pub access_key: Option<SecretRef>,
    /// Client id of a user-assigned managed identity. Default: what the environment says.
    pub client_id: Option<String>,
}

impl EventHubsSource {
    /// The group with the default resolved.
    pub fn consumer_group(&self) -> &str {
        if self.consumer_group.is_empty() { "$Default" } else { &self.consumer_group }
    }

    /// Events read ahead for each partition, with the default resolved.
    pub fn prefetch(&self) -> u32 {
        if self.prefetch == 0 { 300 } else { self.prefetch }
    }

    /// Milliseconds between checkpoints, with the default resolved.
    pub fn checkpoint_interval_ms(&self) -> u64 {
        if self.checkpoint_interval_ms == 0 { 1000 } else { self.checkpoint_interval_ms }
    }

    /// Milliseconds between two balancings, with the default resolved.
    pub fn balance_interval_ms(&self) -> u64 {
        if self.balance_interval_ms == 0 { 10_000 } else { self.balance_interval_ms }
    }

    /// How to connect.
    pub fn namespace(&self) -> Namespace {
        Namespace {
            section: "source.eventhubs".into(),
            host: self.namespace.clone(),
            endpoint: self.endpoint.clone(),
            access: self.access.clone(),
        }
    }

    /// What does not fit together, as (key, what to do).
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found = self.namespace().faults();
        if self.hubs.is_empty() || self.hubs.iter().any(String::is_empty) {
            found.push(("hubs", "`source.eventhubs.hubs` names no event hub, or an empty one".into()));
        }
        for hub in self.pin.keys().filter(|hub| !self.hubs.contains(hub)) {
            found.push(("pin", format!("`source.eventhubs.pin` names hub `{hub}`, which is not in `hubs`")));
        }
        match (&self.checkpoints.file, &self.checkpoints.blob) {
            (Some(_), None) => {}
            (None, Some(blob)) => {
                if blob.account.is_empty() || blob.container.is_empty() {
                    found.push(("blob", "`source.eventhubs.checkpoints.blob` needs `account` and `container`".into()));
                }
                found.extend(secret_faults("source.eventhubs.checkpoints.blob", &blob.access_key));
            }
            (None, None) => found.push((
                "eventhubs",
                "positions are kept nowhere: write `[source.eventhubs.checkpoints]` with `file` (one process) or `blob` (several)".into(),
            )),
            (Some(_), Some(_)) => {
                found.push(("checkpoints", "`source.eventhubs.checkpoints` names both `file` and `blob`; choose one".into()));
            }
        }
        found
    }
}

/// A namespace and how to be let in.
#[derive(Debug, Clone, Default)]
pub struct Namespace {
    /// Section of the settings it comes from, for messages.
    pub section: Cow<'static, str>,
    /// Host name; empty with a connection string.
    pub host: String,
    /// Another address.
    pub endpoint: Option<String>,
    /// Who asks to be let in.
    pub access: Access,
}

impl Namespace {
    /// Who asks to be let in, for messages: never a secret.
    pub fn identity(&self) -> String {
        match self.access.credential {
            Some(Credential::Environment) => "client secret of the environment".to_owned(),
            Some(Credential::WorkloadIdentity) => "workload identity".to_owned(),
            Some(Credential::ManagedIdentity) => "managed identity".to_owned(),
            None => "connection string".to_owned(),
        }
    }

    /// What does not fit together, as (key, what to do).
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let section = &self.section;
        let mut found = Vec::new();
        match (&self.access.connection_string, self.access.credential) {
            (Some(_), None) => {}
            (None, Some(_)) if self.host.is_empty() => {
                found.push(("namespace", format!("`{section}.namespace` is missing; write `NAME.servicebus.windows.net`")));
            }
            (None, Some(_)) => {}
            (None, None) => {
                found.push(("eventhubs", format!("`{section}.access`: write `connection_string` or `credential`")));
            }
            (Some(_), Some(_)) => {
                found.push(("access", format!("`{section}.access`: `connection_string` and `credential` exclude each other")));
            }
        }
        if self.host.contains("://") || self.host.contains(':') {
            found.push(("namespace", format!("`{section}.namespace` is `{}`; write the host name alone", self.host)));
        }
        found.extend(secret_faults(&format!("{section}.access"), &self.access.connection_string));
        found
    }
}

fn secret_faults(section: &str, reference: &Option<SecretRef>) -> Option<(&'static str, String)> {
    let reference = reference.as_ref()?;
    (reference.env.is_some() == reference.file.is_some())
        .then(|| ("eventhubs", format!("`{section}`: a secret names exactly one of `env` and `file`")))
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    const GOOD: &str = "[source.eventhubs]\nnamespace = \"ns.servicebus.windows.net\"\nhubs = [\"in\"]\n[source.eventhubs.access]\ncredential = \"managed_identity\"\n[source.eventhubs.checkpoints]\nfile = \"p.json\"\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n";

    #[cfg(feature = "eventhubs")]
    #[test]
    fn a_small_file_is_enough_and_the_sink_is_the_same_namespace() {
        let settings = Settings::read("x.toml", GOOD).expect("no faults");
        let sink = settings.sink_namespace().expect("the source's");
        assert_eq!((&*sink.section, &*sink.host), ("source.eventhubs", "ns.servicebus.windows.net"));
        let mixed = GOOD.replace("[[output]]", "[sink.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n[[output]]");
        assert!(Settings::read("x.toml", &mixed).expect("no faults").sink_namespace().is_none(), "the sink is Kafka");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (name, from, to, part) in [
            ("no hub", "hubs = [\"in\"]", "hubs = []", "names no event hub"),
            ("nobody asks", "credential = \"managed_identity\"", "", "write `connection_string` or `credential`"),
            ("two ask", "credential", "connection_string = { env = \"X\" }\ncredential", "exclude each other"),
            ("no namespace", "namespace = \"ns.servicebus.windows.net\"", "", "write `NAME.servicebus.windows.net`"),
            ("a URL", "\"ns.", "\"sb://ns.", "write the host name alone"),
            ("positions nowhere", "file = \"p.json\"", "", "positions are kept nowhere"),
            ("positions twice", "file", "blob = { account = \"a\", container = \"c\" }\nfile", "choose one"),
            ("blob without container", "file = \"p.json\"", "blob = { account = \"a\" }", "needs `account` and `container`"),
            ("read and written", "topic = \"udm\"", "topic = \"in\"", "both read and written"),
            ("transactions", "[source.eventhubs]", "[run]\ndelivery = \"exactly_once\"\n[source.eventhubs]", "Kafka transactions"),
            (
                "two sources",
                "[[output]]",
                "[source.kafka]\nbootstrap_servers = \"h:1\"\ntopics = [\"t\"]\n[[output]]",
                "run one process for each",
            ),
            ("two sinks", "[[output]]", "[sink.kafka]\nbootstrap_servers = \"h:1\"\n[sink.eventhubs]\n[[output]]", "both `[sink.kafka]`"),
            ("pin", "hubs = [\"in\"]", "hubs = [\"in\"]\npin = { other = \"openai/audit\" }", "not in `hubs`"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let faults = Settings::read("x.toml", &text).expect_err(name);
            assert!(faults.iter().any(|fault| fault.what.contains(part)), "case {name}: {faults:?}");
        }
    }
}
