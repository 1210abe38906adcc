//! Where positions are kept: a file or blobs.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_messaging_eventhubs::models::{Checkpoint, Ownership};
use azure_messaging_eventhubs::{CheckpointStore, ConsumerClient, EventHubsError};

use super::blob_store::BlobStore;
use super::file_store::FileStore;
use crate::config::Checkpoints;

/// One of the two stores, with what the SDK's trait has no word for.
pub struct Store {
    kind: Kind,
    /// What was claimed, to be given up at the end.
    claimed: Mutex<Vec<Ownership>>,
}

enum Kind {
    File(FileStore),
    Blob(BlobStore),
}

impl Store {
    /// Opens what the settings name.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or the blob store's settings do not work.
    pub fn open(settings: &Checkpoints) -> Result<Store, String> {
        let kind = match (&settings.file, &settings.blob) {
            (Some(file), _) => Kind::File(FileStore::open(Path::new(file))?),
            (None, Some(blob)) => {
                Kind::Blob(BlobStore::new(blob).map_err(|fault| format!("`source.eventhubs.checkpoints.blob`: {fault}"))?)
            }
            (None, None) => return Err("`source.eventhubs.checkpoints` names neither `file` nor `blob`".to_owned()),
        };
        Ok(Store { kind, claimed: Mutex::default() })
    }

    /// The store as the SDK wants it.
    pub fn checkpoints(self: &Arc<Self>) -> Arc<dyn CheckpointStore + Send + Sync> {
        Arc::clone(self) as Arc<dyn CheckpointStore + Send + Sync>
    }

    /// Gives every partition without a position one at the end of the hub as it is now. `latest` would otherwise mean something else after
    /// every broken connection, and what came in between would be lost.
    ///
    /// # Errors
    ///
    /// The service or the store did not answer.
    pub async fn begin_at_the_end(
        &self,
        watch: &ConsumerClient,
        namespace: &str,
        hub: &str,
        group: &str,
        partitions: &[String],
    ) -> Result<(), EventHubsError> {
        let known: BTreeSet<String> = self.list_checkpoints(namespace, hub, group).await?.into_iter().map(|one| one.partition_id).collect();
        for partition in partitions.iter().filter(|partition| !known.contains(*partition)) {
            let properties = watch.get_partition_properties(partition).await?;
            let at_the_end = Checkpoint {
                fully_qualified_namespace: namespace.to_owned(),
                event_hub_name: hub.to_owned(),
                consumer_group: group.to_owned(),
                partition_id: partition.clone(),
                // Of an empty partition this is -1, which lies before its first event.
                offset: Some(properties.last_enqueued_offset),
                sequence_number: None,
            };
            match &self.kind {
                Kind::File(store) => store.update_checkpoint(at_the_end).await?,
                Kind::Blob(store) => store.begin(&at_the_end).await?,
            }
        }
        Ok(())
    }

    /// Gives up all partitions.
    pub async fn release(&self) {
        let claimed = std::mem::take(&mut *self.claimed.lock().unwrap_or_else(PoisonError::into_inner));
        let Kind::Blob(store) = &self.kind else { return };
        for one in claimed {
            if let Err(error) = store.release(&one).await {
                tracing::debug!(%error, partition = one.partition_id, "partition not given up; it expires");
            }
        }
    }
}

#[async_trait]
impl CheckpointStore for Store {
    async fn claim_ownership(&self, ownerships: &[Ownership]) -> azure_core::Result<Vec<Ownership>> {
        let claimed = match &self.kind {
            Kind::File(store) => store.claim_ownership(ownerships).await,
            Kind::Blob(store) => store.claim_ownership(ownerships).await,
        }?;
        let mut all = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        for one in &claimed {
            all.retain(|old| (&old.event_hub_name, &old.partition_id) != (&one.event_hub_name, &one.partition_id));
            all.push(one.clone());
        }
        drop(all);
        Ok(claimed)
    }

    async fn list_checkpoints(&self, namespace: &str, hub: &str, group: &str) -> azure_core::Result<Vec<Checkpoint>> {
        match &self.kind {
            Kind::File(store) => store.list_checkpoints(namespace, hub, group).await,
            Kind::Blob(store) => store.list_checkpoints(namespace, hub, group).await,
        }
    }

    async fn list_ownerships(&self, namespace: &str, hub: &str, group: &str) -> azure_core::Result<Vec<Ownership>> {
        match &self.kind {
            Kind::File(store) => store.list_ownerships(namespace, hub, group).await,
            Kind::Blob(store) => store.list_ownerships(namespace, hub, group).await,
        }
    }

    async fn update_checkpoint(&self, checkpoint: Checkpoint) -> azure_core::Result<()> {
        match &self.kind {
            Kind::File(store) => store.update_checkpoint(checkpoint).await,
            Kind::Blob(store) => store.update_checkpoint(checkpoint).await,
        }
    }
}
