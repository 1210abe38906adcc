//! The archive: NDJSON files in a folder or an object store.
use serde::Deserialize;

use super::place::{Place, StoreAccess};
use super::settings::{Delivery, Settings};

/// `[sink.archive]`, `[sinks.NAME.archive]`: NDJSON files in a folder or an object store. An output's topic, and that of the dead letters, is then a folder in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSink {
    /// A folder, or `az://CONTAINER/PREFIX`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`. Container or bucket must exist. Required.
    pub to: String,
    /// `zstd`, `gzip` or `none`. Default: `zstd`.
    pub compression: Compression,
    /// A file is written when it holds so much, before compression; earlier when `run.in_flight_max_bytes` is reached. Unit: bytes. Default: 32 MiB.
    pub roll_bytes: u64,
    /// A file is written at this age, and only then are the offsets behind it committed: how late archives are, and how much a crash repeats.
    /// Unit: milliseconds. Default: 60,000.
    pub roll_interval_ms: u64,
    /// What may be in memory and not yet written, before compression; at half of it the largest file is written early. Unit: bytes. Default: 256 MiB.
    pub buffer_max_bytes: u64,
    /// `[sink.archive.access]`
    pub access: StoreAccess,
}

/// How files of an archive are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// `.ndjson.zst`
    #[default]
    Zstd,
    /// `.ndjson.gz`
    Gzip,
    /// `.ndjson`
    None,
}

impl Default for ArchiveSink {
    fn default() -> ArchiveSink {
        ArchiveSink {
            to: String::new(),
            compression: Compression::Zstd,
            roll_bytes: 32 << 20,
            roll_interval_ms: 60_000,
            buffer_max_bytes: 256 << 20,
            access: StoreAccess::default(),
        }
    }
}

/// A file above this would have to be sent in pieces.
const ROLL_MAX_BYTES: u64 = 1 << 30;

impl ArchiveSink {
    /// What does not fit together, as (key, what to do).
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found: Vec<(&'static str, String)> =
            Place::faults("sink.archive", &self.to, &self.access).into_iter().map(|what| ("archive", what)).collect();
        if !(1024..=ROLL_MAX_BYTES).contains(&self.roll_bytes) {
            found.push(("roll_bytes", format!("`sink.archive.roll_bytes` is {}; set 1024 to {ROLL_MAX_BYTES}", self.roll_bytes)));
        }
        if !(100..=86_400_000).contains(&self.roll_interval_ms) {
            let what = format!("`sink.archive.roll_interval_ms` is {}; set 100 to 86400000", self.roll_interval_ms);
            found.push(("roll_interval_ms", what));
        }
        if self.buffer_max_bytes < self.roll_bytes.saturating_mul(2) {
            let what = format!("`sink.archive.buffer_max_bytes` is {}; set at least twice `roll_bytes`", self.buffer_max_bytes);
            found.push(("buffer_max_bytes", what));
        }
        found
    }

    /// Who the archive logs in as, for messages: never a secret.
    pub fn identity(&self) -> String {
        self.access.identity()
    }
}

impl Settings {
    /// What does not fit together where an archive is written, as (key, what to do).
    pub(super) fn archive_faults(&self) -> Vec<(&'static str, String)> {
        let Some(archive) = &self.sink.archive else { return Vec::new() };
        let mut found = archive.faults();
        if self.sink.kafka.is_some() || self.sink.eventhubs.is_some() {
            found.push(("archive", "`[sink.archive]` and another sink are written; choose one, or run a second process".into()));
        }
        if self.run.delivery == Delivery::ExactlyOnce {
            found.push(("delivery", "`run.delivery = \"exactly_once\"` needs Kafka transactions, which an archive has no part in; use `at_least_once`: repeats carry the same metadata.product_log_id".into()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    const GOOD: &str = "[source.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\ntopics = [\"in\"]\n[sink.archive]\nto = \"/var/archive\"\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n";

    #[test]
    fn a_folder_is_enough() {
        let settings = Settings::read("x.toml", GOOD).expect("no faults");
        assert_eq!(settings.sink.archive.map(|archive| archive.roll_interval_ms), Some(60_000));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (name, from, to, part) in [
            ("nowhere", "to = \"/var/archive\"", "", "the place is empty"),
            ("a URL of something else", "/var/archive", "ftp://host/x", "expected a folder"),
            ("large files", "to =", "roll_bytes = 9999999999\nto =", "roll_bytes"),
            ("no interval", "to =", "roll_interval_ms = 0\nto =", "roll_interval_ms"),
            ("a small buffer", "to =", "buffer_max_bytes = 4096\nto =", "twice"),
            ("another word", "to =", "compression = \"lz4\"\nto =", "lz4"),
            ("transactions", "[source.kafka]", "[run]\ndelivery = \"exactly_once\"\n[source.kafka]", "at_least_once"),
            ("two sinks", "[[output]]", "[sink.kafka]\nbootstrap_servers = \"h:1\"\n[[output]]", "choose one"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let faults = Settings::read("x.toml", &text).expect_err(name);
            assert!(faults.iter().any(|fault| fault.what.contains(part)), "case {name}: {faults:?}");
        }
    }
}
