//! Paths that no mapping knows, over all workers: counts for `/metrics`, the whole list for `/drift`.
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::drift::MAX_DRIFT_PATHS;

/// One path. Workers count in it without a lock.
#[derive(Debug)]
pub struct DriftEntry {
    mapping: Arc<str>,
    path: String,
    /// What stood there first: `text`, `number`, `boolean`.
    kind: &'static str,
    /// When the first worker met it. Unit: seconds since the Unix epoch.
    first_seen_seconds: i64,
    count: AtomicU64,
}

impl DriftEntry {
    /// Counts values.
    pub fn add(&self, values: u64) {
        self.count.fetch_add(values, Ordering::Relaxed);
    }
}

/// By mapping and path.
type Entries = HashMap<(Arc<str>, String), Arc<DriftEntry>>;

/// What was seen since the mappings were loaded. A reload begins a new one: what was unknown may be known now.
#[derive(Debug, Default)]
pub struct Drift {
    paths: Mutex<Entries>,
    /// Values at paths beyond the limit; also those of paths that a mapping may know.
    beyond: AtomicU64,
}

/// How the admin port comes to the drift of the mappings that are loaded now.
pub type CurrentDrift = Arc<dyn Fn() -> Arc<Drift> + Send + Sync>;

impl Drift {
    /// The entry of a path, made when it is new; `None` when the mapping's limit is reached. `now_seconds` is seconds since the Unix epoch.
    pub fn entry(&self, mapping: &Arc<str>, path: &str, kind: &'static str, now_seconds: i64) -> Option<Arc<DriftEntry>> {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(mapping), path.to_owned());
        if let Some(entry) = paths.get(&key) {
            return Some(Arc::clone(entry));
        }
        if paths.keys().filter(|(of, _)| of == mapping).count() >= MAX_DRIFT_PATHS {
            return None;
        }
        let entry = DriftEntry {
            mapping: Arc::clone(mapping),
            path: path.to_owned(),
            kind,
            first_seen_seconds: now_seconds,
            count: AtomicU64::new(0),
        };
        let entry = Arc::new(entry);
        paths.insert(key, Arc::clone(&entry));
        Some(entry)
    }

    /// Counts values at paths beyond the limit.
    pub fn add_beyond(&self, values: u64) {
        self.beyond.fetch_add(values, Ordering::Relaxed);
    }

    /// Different paths by mapping.
    pub fn paths_by_mapping(&self) -> BTreeMap<Arc<str>, i64> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = BTreeMap::new();
        paths.keys().for_each(|(mapping, _)| *counts.entry(Arc::clone(mapping)).or_default() += 1);
        counts
    }

    /// The list as JSON: `{"paths":[{"mapping","path","type","values","first_seen"}],"values_beyond_limit"}`, sorted by mapping, the most
    /// frequent first.
    pub fn json(&self) -> String {
        let mut entries: Vec<Arc<DriftEntry>> = self.paths.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let count = |entry: &DriftEntry| entry.count.load(Ordering::Relaxed);
        entries.sort_by_cached_key(|entry| (Arc::clone(&entry.mapping), std::cmp::Reverse(count(entry)), entry.path.clone()));
        let shown = entries.iter().map(|entry| {
            serde_json::json!({
                "mapping": &*entry.mapping,
                "path": entry.path,
                "type": entry.kind,
                "values": count(entry),
                "first_seen": jiff::Timestamp::from_second(entry.first_seen_seconds).map_or_else(|_| String::new(), |time| time.to_string()),
            })
        });
        let paths: Vec<serde_json::Value> = shown.collect();
        serde_json::json!({ "paths": paths, "values_beyond_limit": self.beyond.load(Ordering::Relaxed) }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_held_once_and_their_number_is_bounded() {
        let drift = Drift::default();
        let (one, other): (Arc<str>, Arc<str>) = ("azure/activity".into(), "openai/audit".into());
        drift.entry(&one, "a.b", "text", 1_767_225_600).expect("room").add(2);
        drift.entry(&one, "a.b", "number", 1_767_225_601).expect("room").add(1);
        for number in 0..2 * MAX_DRIFT_PATHS {
            let entry = drift.entry(&other, &format!("p{number}"), "text", 0);
            assert_eq!(entry.is_some(), number < MAX_DRIFT_PATHS, "{number}");
        }
        assert_eq!(drift.paths_by_mapping(), BTreeMap::from([(one, 1), (other, MAX_DRIFT_PATHS as i64)]));
        let json: serde_json::Value = serde_json::from_str(&drift.json()).expect("JSON");
        let expected = serde_json::json!({
            "mapping": "azure/activity", "path": "a.b", "type": "text", "values": 3, "first_seen": "2026-01-01T00:00:00Z",
        });
        assert_eq!(json["paths"][0], expected);
    }
}
