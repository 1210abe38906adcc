//! Positions of one process in one file.
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::Etag;
use azure_core::time::OffsetDateTime;
use azure_messaging_eventhubs::CheckpointStore;
use azure_messaging_eventhubs::models::{Checkpoint, Ownership};

use super::position::{Kept, key};
use crate::source::lasting;

/// A file with all positions; who owns a partition is known in memory only, because a lock keeps a second process away.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    kept: Mutex<BTreeMap<String, Kept>>,
    owners: Mutex<HashMap<String, Ownership>>,
    /// Held as long as the process lives.
    _lock: File,
}

impl FileStore {
    /// Opens the file, or begins an empty one, and locks it.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, another process holds the lock, or the file is not what this program writes.
    pub fn open(path: &Path) -> Result<FileStore, String> {
        let named = |error: &dyn std::fmt::Display| format!("checkpoint file `{}`: {error}", path.display());
        let lock = lasting::lock(&path.with_extension("lock"))
            .map_err(|error| named(&error))?
            .ok_or_else(|| named(&"another process holds it; several processes need `checkpoints.blob`"))?;
        let kept = match fs::read(path) {
            Ok(bytes) => super::position::read_all(&bytes).map_err(|error| named(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(named(&error)),
        };
        let store = FileStore { path: path.to_owned(), kept: Mutex::new(kept.clone()), owners: Mutex::default(), _lock: lock };
        // A folder that cannot be written shows now, not after the first events.
        store.write(&kept).map_err(|error| named(&error))?;
        Ok(store)
    }

    fn write(&self, kept: &BTreeMap<String, Kept>) -> std::io::Result<()> {
        lasting::write(&self.path, &super::position::write_all(kept))
    }
}

#[async_trait]
impl CheckpointStore for FileStore {
    async fn claim_ownership(&self, ownerships: &[Ownership]) -> azure_core::Result<Vec<Ownership>> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let mut claimed = Vec::new();
        for asked in ownerships {
            let now = OffsetDateTime::now_utc();
            let etag = Some(Etag::from(now.unix_timestamp_nanos().to_string()));
            let owned = Ownership { etag, last_modified_time: Some(now), ..asked.clone() };
            owners.insert(key(&asked.event_hub_name, &asked.consumer_group, &asked.partition_id), owned.clone());
            claimed.push(owned);
        }
        Ok(claimed)
    }

    async fn list_checkpoints(&self, namespace: &str, hub: &str, group: &str) -> azure_core::Result<Vec<Checkpoint>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let prefix = key(hub, group, "");
        let checkpoint = |(name, kept): (&String, &Kept)| Some(kept.checkpoint(namespace, hub, group, name.strip_prefix(&prefix)?));
        Ok(kept.iter().filter_map(checkpoint).collect())
    }

    async fn list_ownerships(&self, _: &str, hub: &str, group: &str) -> azure_core::Result<Vec<Ownership>> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(owners.values().filter(|one| one.event_hub_name == hub && one.consumer_group == group).cloned().collect())
    }

    async fn update_checkpoint(&self, checkpoint: Checkpoint) -> azure_core::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let name = key(&checkpoint.event_hub_name, &checkpoint.consumer_group, &checkpoint.partition_id);
        let mut changed = kept.clone();
        changed.insert(name, Kept::of(&checkpoint, ""));
        // What could not be written is not remembered either: the next attempt writes it.
        self.write(&changed).map_err(|error| azure_core::Error::with_error(ErrorKind::Io, error, "checkpoint file not written"))?;
        *kept = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(partition: &str, sequence: i64) -> Checkpoint {
        Checkpoint {
            fully_qualified_namespace: "ns.example".into(),
            event_hub_name: "hub".into(),
            consumer_group: "$Default".into(),
            partition_id: partition.into(),
            offset: Some(format!("o{sequence}")),
            sequence_number: Some(sequence),
        }
    }

    #[tokio::test]
    async fn positions_outlive_the_process_and_a_second_one_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("positions.json");
        let store = FileStore::open(&path).expect("an empty store");
        for (partition, sequence) in [("0", 7), ("1", 9), ("0", 8)] {
            store.update_checkpoint(checkpoint(partition, sequence)).await.expect("written");
        }
        assert!(FileStore::open(&path).is_err_and(|fault| fault.contains("another process")));
        drop(store);
        let store = FileStore::open(&path).expect("the lock is free again");
        let mut found: Vec<_> = store
            .list_checkpoints("ns.example", "hub", "$Default")
            .await
            .expect("read")
            .into_iter()
            .map(|one| (one.partition_id, one.offset, one.sequence_number))
            .collect();
        found.sort();
        assert_eq!(found, [("0".into(), Some("o8".into()), Some(8)), ("1".into(), Some("o9".into()), Some(9))]);
        assert!(store.list_checkpoints("ns.example", "hub", "other").await.expect("read").is_empty());
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("positions.json");
        fs::write(&path, "offset = 7").expect("written");
        assert!(FileStore::open(&path).is_err_and(|fault| fault.contains("expected")));
    }
}
