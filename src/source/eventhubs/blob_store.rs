//! Positions and owners in Azure Blob, for several processes.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::Etag;
use azure_core::time::OffsetDateTime;
use azure_messaging_eventhubs::CheckpointStore;
use azure_messaging_eventhubs::models::{Checkpoint, Ownership};
use futures::TryStreamExt;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};

use super::position::{Kept, key, read, write};
use crate::config::BlobStore as Settings;

/// One blob for each position and one for each owner, below `udmill/NAMESPACE/HUB/GROUP/`. The layout is udmill's own: clients of other
/// languages do not read it.
///
/// An owner is claimed by a write that holds only for the version that was read (or for none), so of two claims one fails. A position is
/// written the same way, and only while this process is the owner; when another wrote meanwhile, it never moves back.
#[derive(Debug)]
pub struct BlobStore {
    store: MicrosoftAzure,
    /// Under which id this process claimed a partition, by the partition's key.
    claimed: Mutex<HashMap<String, String>>,
    /// The version of each position that this process wrote last.
    versions: Mutex<HashMap<String, UpdateVersion>>,
}

impl BlobStore {
    /// Makes a client. Nothing is asked over the network yet.
    ///
    /// # Errors
    ///
    /// A secret could not be read, or the settings do not make an address.
    pub fn new(settings: &Settings) -> Result<BlobStore, String> {
        let mut builder = MicrosoftAzureBuilder::from_env().with_account(&settings.account).with_container_name(&settings.container);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.clone()).with_allow_http(endpoint.starts_with("http:"));
        }
        if let Some(reference) = &settings.access_key {
            builder = builder.with_access_key(reference.read()?.expose());
        }
        if let Some(client_id) = &settings.client_id {
            builder = builder.with_client_id(client_id);
        }
        let store = builder.build().map_err(|error| error.to_string())?;
        Ok(BlobStore { store, claimed: Mutex::default(), versions: Mutex::default() })
    }

    /// The owner's id and the version of what says so; `None` when nobody ever claimed it.
    async fn owner(&self, path: &Path) -> azure_core::Result<Option<(String, UpdateVersion, OffsetDateTime)>> {
        let found = match self.store.get(path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let seconds = found.meta.last_modified.timestamp();
        let modified = OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| other(error.to_string()))?;
        let bytes = found.bytes().await.map_err(fault)?;
        Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), version, modified)))
    }

    /// Writes a position when nobody has one yet: where a partition begins.
    ///
    /// # Errors
    ///
    /// The service did not take it.
    pub async fn begin(&self, checkpoint: &Checkpoint) -> azure_core::Result<()> {
        let path = place(checkpoint, CHECKPOINT);
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&path, write(&Kept::of(checkpoint, "")).into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
            Err(error) => Err(fault(error)),
        }
    }

    /// Gives up what this process owns, so that others need not wait until it has expired.
    ///
    /// # Errors
    ///
    /// The service did not take it: others wait.
    pub async fn release(&self, ownership: &Ownership) -> azure_core::Result<()> {
        let path = owner_place(ownership);
        let name = key(&ownership.event_hub_name, &ownership.consumer_group, &ownership.partition_id);
        let Some(mine) = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&name) else { return Ok(()) };
        match self.owner(&path).await? {
            Some((owner, version, _)) if owner == mine => {
                let options = PutOptions::from(PutMode::Update(version));
                self.store.put_opts(&path, Vec::new().into(), options).await.map(drop).map_err(fault)
            }
            _ => Ok(()),
        }
    }
}

const CHECKPOINT: &str = "checkpoint";
const OWNER: &str = "owner";

fn path(namespace: &str, hub: &str, group: &str, kind: &str, partition: &str) -> Path {
    Path::from(format!("udmill/{namespace}/{hub}/{group}/{kind}/{partition}").to_lowercase())
}

fn place(checkpoint: &Checkpoint, kind: &str) -> Path {
    let Checkpoint { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, .. } = checkpoint;
    path(fully_qualified_namespace, event_hub_name, consumer_group, kind, partition_id)
}

fn owner_place(ownership: &Ownership) -> Path {
    let Ownership { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, .. } = ownership;
    path(fully_qualified_namespace, event_hub_name, consumer_group, OWNER, partition_id)
}

fn fault(error: object_store::Error) -> azure_core::Error {
    azure_core::Error::with_error(ErrorKind::Io, error, "the checkpoint container did not answer as hoped")
}

fn other(text: String) -> azure_core::Error {
    azure_core::Error::with_message(ErrorKind::Other, text)
}

#[async_trait]
impl CheckpointStore for BlobStore {
    async fn claim_ownership(&self, ownerships: &[Ownership]) -> azure_core::Result<Vec<Ownership>> {
        let mut claimed = Vec::new();
        for asked in ownerships {
            let mode = match &asked.etag {
                Some(etag) => PutMode::Update(UpdateVersion { e_tag: Some(etag.to_string()), version: None }),
                None => PutMode::Create,
            };
            let owner = asked.owner_id.clone().unwrap_or_default();
            let body = owner.clone().into_bytes();
            match self.store.put_opts(&owner_place(asked), body.into(), PutOptions::from(mode)).await {
                Ok(put) => {
                    let name = key(&asked.event_hub_name, &asked.consumer_group, &asked.partition_id);
                    self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(name, owner);
                    let etag = put.e_tag.map(Etag::from);
                    claimed.push(Ownership { etag, last_modified_time: Some(OffsetDateTime::now_utc()), ..asked.clone() });
                }
                // Another was faster.
                Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Ok(claimed)
    }

    async fn list_checkpoints(&self, namespace: &str, hub: &str, group: &str) -> azure_core::Result<Vec<Checkpoint>> {
        let prefix = path(namespace, hub, group, CHECKPOINT, "");
        let blobs: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(fault)?;
        let mut out = Vec::new();
        for blob in blobs {
            let Some(partition) = blob.location.filename().map(str::to_owned) else { continue };
            let bytes = self.store.get(&blob.location).await.map_err(fault)?.bytes().await.map_err(fault)?;
            let kept = read(&bytes).map_err(|error| other(format!("blob `{}`: {error}", blob.location)))?;
            out.push(kept.checkpoint(namespace, hub, group, &partition));
        }
        Ok(out)
    }

    async fn list_ownerships(&self, namespace: &str, hub: &str, group: &str) -> azure_core::Result<Vec<Ownership>> {
        let prefix = path(namespace, hub, group, OWNER, "");
        let blobs: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(fault)?;
        let mut out = Vec::new();
        for blob in blobs {
            let Some(partition) = blob.location.filename().map(str::to_owned) else { continue };
            let Some((owner, version, modified)) = self.owner(&blob.location).await? else { continue };
            out.push(Ownership {
                fully_qualified_namespace: namespace.to_owned(),
                event_hub_name: hub.to_owned(),
                consumer_group: group.to_owned(),
                partition_id: partition,
                owner_id: (!owner.is_empty()).then_some(owner),
                etag: version.e_tag.map(Etag::from),
                last_modified_time: Some(modified),
            });
        }
        Ok(out)
    }

    async fn update_checkpoint(&self, checkpoint: Checkpoint) -> azure_core::Result<()> {
        let name = key(&checkpoint.event_hub_name, &checkpoint.consumer_group, &checkpoint.partition_id);
        let mine = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let owner = self.owner(&place(&checkpoint, OWNER)).await?.map(|(owner, ..)| owner);
        if mine.is_none() || owner != mine {
            return Err(other(format!("partition {} belongs to another process; its position is not written", checkpoint.partition_id)));
        }
        let kept = Kept::of(&checkpoint, &mine.unwrap_or_default());
        let path = place(&checkpoint, CHECKPOINT);
        // Twice: a version that is out of date is read anew once.
        for _ in 0..2 {
            let known = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
            let mode = match known {
                Some(version) => PutMode::Update(version),
                None => match self.store.get(&path).await {
                    Ok(found) => {
                        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                        let bytes = found.bytes().await.map_err(fault)?;
                        let theirs = read(&bytes).map_err(|error| other(format!("blob `{path}`: {error}")))?;
                        if kept.is_before(&theirs) {
                            // Another settled more of it before it became ours; what lies between was read twice and is settled.
                            return Ok(());
                        }
                        PutMode::Update(version)
                    }
                    Err(object_store::Error::NotFound { .. }) => PutMode::Create,
                    Err(error) => return Err(fault(error)),
                },
            };
            match self.store.put_opts(&path, write(&kept).into(), PutOptions::from(mode)).await {
                Ok(put) => {
                    let version = UpdateVersion { e_tag: put.e_tag, version: put.version };
                    self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(name, version);
                    return Ok(());
                }
                Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => {
                    self.versions.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
                }
                Err(error) => return Err(fault(error)),
            }
        }
        Err(other(format!("the position of partition {} is being written by another process too", checkpoint.partition_id)))
    }
}
