//! What a replay counted, and how it is told: text for people, one JSON object for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::paint::{BAD, FAINT, GOOD, STRONG, WARN, grouped};

/// Counts by a name from a closed list.
pub type Counts = BTreeMap<String, u64>;

/// What one worker, or all together, counted. `parts == emitted + rejected + skipped`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages: JSON values of the input.
    pub messages: u64,
    /// Records found in them.
    pub records: u64,
    /// Parts, each with one outcome.
    pub parts: u64,
    /// Parts that became events.
    pub emitted: u64,
    /// Parts that became dead letters.
    pub rejected: u64,
    /// Parts that were passed over on purpose.
    pub skipped: u64,
    /// Rejects by code.
    pub rejects: Counts,
    /// Skips by reason.
    pub skips: Counts,
    /// Fields left out, by code.
    pub notes: Counts,
    /// Events by event type.
    pub event_types: Counts,
    /// Events by security tag.
    pub tags: Counts,
    /// Events that lack what their wished event type requires and became another, by mapping.
    pub fallbacks: Counts,
    /// Parts by mapping, `openai/audit@documented`.
    pub mappings: Counts,
    /// Bytes of messages, after decompression.
    pub bytes_in: u64,
    /// Bytes of events, line ends included.
    pub bytes_out: u64,
}

impl Tally {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Tally) {
        for (mine, theirs) in [
            (&mut self.messages, other.messages),
            (&mut self.records, other.records),
            (&mut self.parts, other.parts),
            (&mut self.emitted, other.emitted),
            (&mut self.rejected, other.rejected),
            (&mut self.skipped, other.skipped),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
        ] {
            *mine += theirs;
        }
        for (mine, theirs) in [
            (&mut self.rejects, &other.rejects),
            (&mut self.skips, &other.skips),
            (&mut self.notes, &other.notes),
            (&mut self.event_types, &other.event_types),
            (&mut self.tags, &other.tags),
            (&mut self.fallbacks, &other.fallbacks),
            (&mut self.mappings, &other.mappings),
        ] {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// A finished replay.
#[derive(Debug)]
pub struct Summary {
    /// The counts of all workers.
    pub tally: Tally,
    /// Wall-clock time.
    pub took: Duration,
    /// Files read; standard input is one.
    pub files: u64,
    /// Where the dead letters went; `None`: they were counted only.
    pub dead_letter: Option<String>,
}

impl Summary {
    /// One JSON object, without a line end.
    pub fn json(&self) -> String {
        let tally = &self.tally;
        serde_json::json!({
            "files": self.files,
            "messages": tally.messages,
            "records": tally.records,
            "parts": tally.parts,
            "emitted": tally.emitted,
            "rejected": tally.rejected,
            "skipped": tally.skipped,
            "rejects": tally.rejects,
            "skips": tally.skips,
            "notes": tally.notes,
            "event_types": tally.event_types,
            "tags": tally.tags,
            "fallbacks": tally.fallbacks,
            "mappings": tally.mappings,
            "bytes_in": tally.bytes_in,
            "bytes_out": tally.bytes_out,
            // Milliseconds are as fine as a wall clock is worth.
            "seconds": (self.took.as_secs_f64() * 1000.0).round() / 1000.0,
        })
        .to_string()
    }

    /// A few lines for people, with colour; `anstream` takes it out where it is not wanted.
    pub fn text(&self) -> String {
        let tally = &self.tally;
        let seconds = self.took.as_secs_f64().max(0.001);
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{STRONG}{}{STRONG:#} parts from {} records in {} messages, {:.1} MB in {seconds:.2} s {FAINT}({} parts/s, {:.1} MB/s){FAINT:#}",
            grouped(tally.parts),
            grouped(tally.records),
            grouped(tally.messages),
            tally.bytes_in as f64 / 1e6,
            grouped((tally.parts as f64 / seconds) as u64),
            tally.bytes_in as f64 / 1e6 / seconds,
        );
        let _ = writeln!(text, "  {GOOD}emitted{GOOD:#}   {}", grouped(tally.emitted));
        let style = if tally.rejected == 0 { FAINT } else { BAD };
        let _ = writeln!(text, "  {style}rejected{style:#}  {}{}", grouped(tally.rejected), list("  ", &tally.rejects));
        let _ = writeln!(text, "  {FAINT}skipped{FAINT:#}   {}{}", grouped(tally.skipped), list("  ", &tally.skips));
        for (name, counts) in [("mappings", &tally.mappings), ("event types", &tally.event_types), ("tags", &tally.tags)] {
            if !counts.is_empty() {
                let _ = writeln!(text, "{STRONG}{name}{STRONG:#}{}", list(" ", counts));
            }
        }
        for (name, counts) in [("event type not met", &tally.fallbacks), ("fields left out", &tally.notes)] {
            if !counts.is_empty() {
                let _ = writeln!(text, "{WARN}{name}{WARN:#}{}", list(" ", counts));
            }
        }
        if tally.rejected > 0 {
            let _ = match &self.dead_letter {
                Some(file) => writeln!(text, "rejected records are in {file}; mend the cause, then `udmill replay --redrive {file}`"),
                None => writeln!(text, "rejected records were only counted; `--dead-letter FILE` keeps them"),
            };
        }
        text
    }
}

/// ` name 3, other 1`, the largest first; names with equal counts by alphabet; at most twelve.
fn list(before: &str, counts: &Counts) -> String {
    const SHOWN: usize = 12;
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
    let mut text = String::new();
    for (at, (name, count)) in sorted.iter().take(SHOWN).enumerate() {
        let _ = write!(text, "{}{name} {}", if at == 0 { before } else { ", " }, grouped(**count));
    }
    if sorted.len() > SHOWN {
        let _ = write!(text, ", and {} more", sorted.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn tallies_of_workers_add_up() {
        let one = Tally { parts: 2, emitted: 1, rejected: 1, rejects: counts(&[("time_missing", 1)]), ..Tally::default() };
        let two = Tally { parts: 3, emitted: 1, rejected: 2, rejects: counts(&[("time_missing", 1), ("panic", 1)]), ..Tally::default() };
        let mut all = one.clone();
        all.add(&two);
        assert_eq!((all.parts, all.emitted, all.rejected), (5, 2, 3));
        assert_eq!(all.rejects, counts(&[("panic", 1), ("time_missing", 2)]));
    }

    #[test]
    fn both_forms_name_what_was_counted() {
        let tally = Tally { parts: 1_001, rejected: 1, rejects: counts(&[("a", 1), ("b", 2)]), ..Tally::default() };
        let summary = Summary { tally, took: Duration::from_millis(1_500), files: 1, dead_letter: None };
        let json: serde_json::Value = serde_json::from_str(&summary.json()).expect("JSON");
        assert_eq!((&json["parts"], &json["seconds"], &json["rejects"]["b"]), (&1_001.into(), &1.5.into(), &2.into()));
        let text = anstream::adapter::strip_str(&summary.text()).to_string();
        assert!(text.starts_with("1,001 parts") && text.contains("b 2, a 1") && text.contains("--dead-letter"), "{text}");
    }
}
