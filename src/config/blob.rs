//! Logs in blobs that a service writes and goes on writing.
use serde::Deserialize;

use super::place::{Place, StoreAccess};
use super::settings::{Delivery, Settings};

/// `[source.blob]`: Logs that a service writes into blobs by the hour and goes on writing, such as the flow logs and resource logs of Azure in `PT1H.json`. Only what a blob has grown by is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobSource {
    /// Places as `az://CONTAINER/PREFIX`, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`. Below them names hold `y=2026/m=01/d=31/h=23`, as Azure writes
    /// them. Required.
    pub from: Vec<String>,
    /// How the names of blobs end. Default: `.json`.
    pub names_end: String,
    /// How often blobs of the last two hours are looked at; all of `look_back_hours` every ten minutes. Unit: milliseconds. Default: 30,000.
    pub poll_interval_ms: u64,
    /// How old a blob may be, by the hour in its name, and still be looked at: at the first start, and for late growth. After a pause it counts from
    /// the last look before. Unit: hours. Default: 48.
    pub look_back_hours: u32,
    /// A blob that has not grown for so long will not: what then stands behind its last whole record is read as it is, and rejected. Unit: hours. Default: 6.
    pub settled_hours: u32,
    /// How often positions are written. Unit: milliseconds. Default: 5,000.
    pub checkpoint_interval_ms: u64,
    /// `[source.blob.access]`
    pub access: StoreAccess,
    /// `[source.blob.checkpoints]`: required.
    pub checkpoints: BlobCheckpoints,
}

/// `[source.blob.checkpoints]`: Where the positions in all blobs are kept. One process alone may use it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobCheckpoints {
    /// A file; a lock beside it keeps a second process away.
    pub file: Option<String>,
    /// An object, as `az://CONTAINER/NAME.json`, reached as the blobs are. A second process that writes it is noticed, and stops this one.
    pub object: Option<String>,
}

impl Default for BlobSource {
    fn default() -> BlobSource {
        BlobSource {
            from: Vec::new(),
            names_end: ".json".to_owned(),
            poll_interval_ms: 30_000,
            look_back_hours: 48,
            settled_hours: 6,
            checkpoint_interval_ms: 5000,
            access: StoreAccess::default(),
            checkpoints: BlobCheckpoints::default(),
        }
    }
}

impl BlobSource {
    /// Who the source logs in as, for messages: never a secret.
    pub fn identity(&self) -> String {
        self.access.identity()
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        if self.from.is_empty() {
            found.push(("from", "`source.blob.from` names no place; write for example `az://insights-logs-flowlogflowevent`".into()));
        }
        for place in &self.from {
            found.extend(Place::faults("source.blob", place, &self.access).into_iter().map(|what| ("from", what)));
            if matches!(Place::read(place), Ok(Place::Folder(_))) {
                found.push(("from", format!("`source.blob.from`: `{place}` is a folder; `udmill replay` reads folders")));
            }
        }
        for (key, value, least, most) in [
            ("poll_interval_ms", self.poll_interval_ms, 100, 3_600_000),
            ("checkpoint_interval_ms", self.checkpoint_interval_ms, 50, 600_000),
            ("look_back_hours", u64::from(self.look_back_hours), 1, 24 * 90),
            ("settled_hours", u64::from(self.settled_hours), 2, 24 * 90),
        ] {
            if !(least..=most).contains(&value) {
                found.push((key, format!("`source.blob.{key}` is {value}; set {least} to {most}")));
            }
        }
        if self.settled_hours >= self.look_back_hours {
            found.push((
                "settled_hours",
                "`source.blob.settled_hours` must be below `look_back_hours`: what is left is read before it is forgotten".into(),
            ));
        }
        match (&self.checkpoints.file, &self.checkpoints.object) {
            (Some(_), None) => {}
            (None, Some(object)) => match Place::read(object) {
                Ok(Place::Store { prefix, .. }) if !prefix.is_empty() => {}
                _ => found.push(("object", format!("`source.blob.checkpoints.object` is `{object}`; write `az://CONTAINER/NAME.json`"))),
            },
            (None, None) => {
                found.push(("blob", "`source.blob.checkpoints`: positions are kept nowhere; write `file` or `object`".into()));
            }
            (Some(_), Some(_)) => found.push(("checkpoints", "`source.blob.checkpoints`: `file` and `object` exclude each other".into())),
        }
        found
    }
}

impl StoreAccess {
    /// Who asks to be let in, for messages: never a secret.
    pub fn identity(&self) -> String {
        match (&self.access_key, &self.account) {
            (Some(_), Some(account)) => format!("access key of `{account}`"),
            (Some(_), None) => "access key".to_owned(),
            (None, _) => "identity of the environment".to_owned(),
        }
    }
}

impl Settings {
    /// What does not fit together where blobs are read, as (key, what to do).
    pub(super) fn blob_faults(&self) -> Vec<(&'static str, String)> {
        let Some(source) = &self.source.blob else { return Vec::new() };
        let mut found = source.faults();
        if self.source.kafka.is_some() || self.source.eventhubs.is_some() {
            found.push(("source", "`[source.blob]` and another source are written; run one process for each".into()));
        }
        if self.sink.kafka.is_none() && self.sink.eventhubs.is_none() && self.sink.archive.is_none() {
            found.push(("blob", "events of blobs go nowhere; write `[sink.kafka]`, `[sink.eventhubs]` or `[sink.archive]`".into()));
        }
        if self.run.delivery == Delivery::ExactlyOnce {
            found.push(("delivery", "`run.delivery = \"exactly_once\"` needs offsets of Kafka, which blobs do not have; use `at_least_once`: repeats carry the same metadata.product_log_id".into()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    const GOOD: &str = "[source.blob]\nfrom = [\"az://insights-logs-flowlogflowevent\"]\n[source.blob.checkpoints]\nfile = \"p.json\"\n[sink.archive]\nto = \"/archive\"\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n";

    #[cfg(feature = "objects")]
    #[test]
    fn a_container_and_a_file_for_positions_are_enough() {
        let settings = Settings::read("x.toml", GOOD).expect("no faults");
        assert_eq!(settings.source.blob.map(|blob| (blob.names_end, blob.look_back_hours)), Some((".json".to_owned(), 48)));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (name, from, to, part) in [
            ("no place", "[\"az://insights-logs-flowlogflowevent\"]", "[]", "names no place"),
            ("a folder", "az://insights-logs-flowlogflowevent", "/var/log", "reads folders"),
            ("positions nowhere", "file = \"p.json\"", "", "positions are kept nowhere"),
            ("positions twice", "file", "object = \"az://c/p.json\"\nfile", "exclude each other"),
            ("an object without a name", "file = \"p.json\"", "object = \"az://c\"", "NAME.json"),
            ("no look back", "from", "look_back_hours = 0\nfrom", "look_back_hours"),
            ("no sink", "[sink.archive]\nto = \"/archive\"\n", "", "go nowhere"),
            ("transactions", "[source.blob]", "[run]\ndelivery = \"exactly_once\"\n[source.blob]", "offsets of Kafka"),
            (
                "two sources",
                "[[output]]",
                "[source.kafka]\nbootstrap_servers = \"h:1\"\ntopics = [\"t\"]\n[[output]]",
                "run one process for each",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let faults = Settings::read("x.toml", &text).expect_err(name);
            assert!(faults.iter().any(|fault| fault.what.contains(part)), "case {name}: {faults:?}");
        }
    }
}
