//! The OpenAI audit log: where the API is, who asks, how far each look goes back, and where it is kept how far it was read.
use serde::Deserialize;

use super::secret::SecretRef;
use super::settings::{Delivery, Settings};

/// `[source.openai]`: the audit log of an OpenAI organization, asked for page by page. It needs a sink of its own, as `[sink.kafka]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiSource {
    /// The Admin key, as `{ env = "NAME" }` or `{ file = "PATH" }`. A key that may only read audit logs is enough. A file is read again when the
    /// API refuses the key. Required.
    pub key: Option<SecretRef>,
    /// Address of the API, for a proxy or a gateway. Default: `https://api.openai.com`. Without TLS only on this machine.
    pub base_url: String,
    /// Where it is kept how far the log was read: `[source.openai.state]`. Required.
    pub state: OpenAiState,
    /// Whether the tenant's listing is read too: `auto` (an organization that does not have it is asked again every hour) or `off`.
    /// Default: `auto`.
    pub tenant: TenantListing,
    /// How far back the very first start looks. Unit: seconds. Default: 86,400 (a day).
    pub look_back_seconds: u32,
    /// From one look to the next. Unit: seconds. Default: 60.
    pub poll_seconds: u32,
    /// How far each look goes back before the last: events appear late. Unit: seconds. Default: 900.
    pub overlap_seconds: u32,
    /// How far a deep look goes back. Unit: seconds. Default: 86,400.
    pub deep_seconds: u32,
    /// How often there is one. Unit: seconds. Default: 3,600.
    pub deep_every_seconds: u32,
    /// How far the deepest look goes back; ids are remembered that long. Unit: seconds. Default: 604,800 (a week).
    pub deepest_seconds: u32,
    /// How often there is one. Unit: seconds. Default: 86,400.
    pub deepest_every_seconds: u32,
    /// Events a page, 1 to 100. Default: 100.
    pub page_events: u32,
    /// New events of one look that are held at once; a larger one is split by time. Unit: bytes. Default: 32 MiB.
    pub window_max_bytes: usize,
    /// How long one answer may take. Unit: milliseconds. Default: 30,000.
    pub timeout_ms: u64,
    /// Only events of these projects. Default: all. What a filter left out is not fetched when the filter goes.
    pub project_ids: Vec<String>,
    /// Only these types of events. Default: all.
    pub event_types: Vec<String>,
    /// One look, then the end: `udmill collect --once`.
    #[serde(skip)]
    #[cfg_attr(not(feature = "openai"), allow(dead_code))]
    pub(crate) once: bool,
    /// The one look goes back so far, whatever was read before. Unit: seconds.
    #[serde(skip)]
    #[cfg_attr(not(feature = "openai"), allow(dead_code))]
    pub(crate) since_seconds: Option<u32>,
}

impl Default for OpenAiSource {
    fn default() -> OpenAiSource {
        OpenAiSource {
            key: None,
            base_url: "https://api.openai.com".to_owned(),
            state: OpenAiState::default(),
            tenant: TenantListing::Auto,
            look_back_seconds: 86_400,
            poll_seconds: 60,
            overlap_seconds: 900,
            deep_seconds: 86_400,
            deep_every_seconds: 3_600,
            deepest_seconds: 604_800,
            deepest_every_seconds: 86_400,
            page_events: 100,
            window_max_bytes: 32 << 20,
            timeout_ms: 30_000,
            project_ids: Vec::new(),
            event_types: Vec::new(),
            once: false,
            since_seconds: None,
        }
    }
}

/// Whether the tenant's listing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantListing {
    /// As far as this organization has it.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// `[source.openai.state]`: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiState {
    /// Folder with a file for each listing; one process at a time. For `delivery = "at_least_once"`.
    pub folder: Option<String>,
    /// Compacted Kafka topic of one partition, on the sink's cluster. For `delivery = "exactly_once"`: it is written in the transaction of the
    /// events.
    pub topic: Option<String>,
}

impl OpenAiSource {
    /// What does not fit together, as (key, what to do).
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        match &self.key {
            None => found.push(("openai", "`source.openai` has no `key`; write `key = { env = \"OPENAI_ADMIN_KEY\" }`".into())),
            Some(SecretRef { env: Some(_), file: None } | SecretRef { env: None, file: Some(_) }) => {}
            Some(_) => {
                found.push(("key", "`source.openai.key`: write exactly one of `{ env = \"NAME\" }` and `{ file = \"PATH\" }`".into()))
            }
        }
        if let Some(what) = refused_url(&self.base_url) {
            found.push(("base_url", format!("`source.openai.base_url` is `{}`; {what}", self.base_url)));
        }
        match (&self.state.folder, &self.state.topic) {
            (Some(folder), None) if !folder.is_empty() => {}
            (None, Some(topic)) if !topic.is_empty() => {}
            (None, None) => {
                let what = "`source.openai.state` names neither `folder` nor `topic`: it is kept nowhere how far the log was read";
                found.push(("openai", what.into()));
            }
            _ => found.push(("state", "`source.openai.state`: write `folder` or `topic`, not both and not empty".into())),
        }
        for (key, value, least, most) in [
            ("look_back_seconds", self.look_back_seconds, 60, 366 * 86_400),
            ("poll_seconds", self.poll_seconds, 5, 86_400),
            ("overlap_seconds", self.overlap_seconds, 60, 86_400),
            ("deep_seconds", self.deep_seconds, self.overlap_seconds, 31 * 86_400),
            ("deep_every_seconds", self.deep_every_seconds, 60, 86_400),
            ("deepest_seconds", self.deepest_seconds, self.deep_seconds, 31 * 86_400),
            ("deepest_every_seconds", self.deepest_every_seconds, 60, 31 * 86_400),
            ("page_events", self.page_events, 1, 100),
        ] {
            if !(least..=most).contains(&value) {
                found.push((key, format!("`source.openai.{key}` is {value}; set {least} to {most}")));
            }
        }
        if self.window_max_bytes < 1 << 20 {
            found.push(("window_max_bytes", "`source.openai.window_max_bytes` is below 1048576; one page may be that large".into()));
        }
        if !(1_000..=600_000).contains(&self.timeout_ms) {
            found.push(("timeout_ms", format!("`source.openai.timeout_ms` is {}; set 1000 to 600000", self.timeout_ms)));
        }
        found
    }

    /// Whether the key may be sent to `base_url`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_address(&self) -> Result<(), String> {
        refused_url(&self.base_url).map_or(Ok(()), |what| Err(format!("`{}`: {what}", self.base_url)))
    }

    /// Who asks, for messages.
    pub fn identity(&self) -> String {
        match &self.key {
            Some(SecretRef { env: Some(name), .. }) => format!("the key in the environment variable `{name}`"),
            Some(SecretRef { file: Some(path), .. }) => format!("the key in the file `{path}`"),
            _ => "no key".to_owned(),
        }
    }
}

impl Settings {
    /// What does not fit together where the OpenAI audit log is read, as (key, what to do).
    pub(super) fn openai_faults(&self) -> Vec<(&'static str, String)> {
        let Some(source) = &self.source.openai else { return Vec::new() };
        let mut found = source.faults();
        if cfg!(not(feature = "openai")) {
            found.push(("openai", "this program was built without the feature `openai`".into()));
        }
        if self.source.kafka.is_some() || self.source.eventhubs.is_some() || self.source.blob.is_some() {
            found.push(("source", "`[source.openai]` stands beside another source; run one process for each".into()));
        } else if self.sink.archive.is_none() && self.sink_namespace().is_none() && self.sink_connection().bootstrap_servers.is_empty() {
            found.push((
                "openai",
                "`source.openai` needs a sink of its own; write `[sink.kafka]` with `bootstrap_servers`, or `[sink.archive]`".into(),
            ));
        }
        if source.state.topic.is_some() && self.run.delivery != Delivery::ExactlyOnce {
            let what = "`source.openai.state.topic` is written in the transaction of the events: set `run.delivery = \"exactly_once\"`, or use `folder`";
            found.push(("topic", what.into()));
        }
        if source.state.topic.is_none() && self.run.delivery == Delivery::ExactlyOnce {
            let what = "`run.delivery = \"exactly_once\"` needs the state where the events go: write `source.openai.state.topic`";
            found.push(("delivery", what.into()));
        }
        if let Some(topic) = &source.state.topic {
            let dead = self.dead_letter.as_ref().map(|dead| &dead.topic);
            if dead == Some(topic) || self.output.iter().any(|output| output.topic == *topic) {
                found.push(("state", format!("`source.openai.state.topic` is `{topic}`, which something else is written to; use another")));
            }
        }
        found
    }
}

/// Why the key must not be sent there.
fn refused_url(url: &str) -> Option<&'static str> {
    let rest = url.strip_prefix("https://").or_else(|| {
        let rest = url.strip_prefix("http://")?;
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let is_here = ["127.0.0.1", "localhost"].contains(&host) || rest.starts_with("[::1]");
        is_here.then_some(rest)
    });
    match rest {
        None => Some("expected `https://HOST`: the key is sent there (without TLS only to this machine)"),
        Some(rest) if rest.is_empty() || rest.contains(['@', '?', '#', ' ']) => Some("expected a host, and a path at most"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    const GOOD: &str = "[source.openai]\nkey = { env = \"K\" }\nstate.folder = \"s\"\n[sink.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n";

    #[cfg(feature = "openai")]
    #[test]
    fn a_small_section_is_enough() {
        let settings = Settings::read("x.toml", GOOD).expect("no faults");
        let source = settings.source.openai.expect("the section");
        assert_eq!((source.poll_seconds, source.page_events, source.base_url.as_str()), (60, 100, "https://api.openai.com"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (name, from, to, part) in [
            ("no key", "key = { env = \"K\" }\n", "", "has no `key`"),
            ("a key in the file", "{ env = \"K\" }", "\"sk-1\"", "does not stand in this file"),
            ("two places of a key", "{ env = \"K\" }", "{ env = \"K\", file = \"k\" }", "exactly one"),
            ("no state", "state.folder = \"s\"\n", "", "kept nowhere"),
            ("two states", "state.folder = \"s\"", "state = { folder = \"s\", topic = \"t\" }", "not both"),
            ("a state in a topic", "state.folder = \"s\"", "state.topic = \"t\"", "exactly_once"),
            ("no TLS", "[sink.kafka]", "base_url = \"http://example.com\"\n[sink.kafka]", "expected `https://HOST`"),
            ("a host that begins like ours", "[sink.kafka]", "base_url = \"http://localhost.example.com\"\n[sink.kafka]", "https"),
            ("a password in the address", "[sink.kafka]", "base_url = \"https://a@b\"\n[sink.kafka]", "expected a host"),
            ("too often", "[sink.kafka]", "poll_seconds = 1\n[sink.kafka]", "set 5 to"),
            ("deep is not deep", "[sink.kafka]", "deep_seconds = 60\n[sink.kafka]", "set 900 to"),
            ("page", "[sink.kafka]", "page_events = 101\n[sink.kafka]", "set 1 to 100"),
            ("no sink", "[sink.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n", "", "sink of its own"),
            (
                "two sources",
                "[sink.kafka]",
                "[source.kafka]\nbootstrap_servers = \"h:1\"\ntopics = [\"t\"]\n[sink.kafka]",
                "run one process",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let faults = Settings::read("x.toml", &text).expect_err(name);
            assert!(faults.iter().any(|fault| fault.what.contains(part)), "case {name}: {faults:?}");
        }
    }
}
