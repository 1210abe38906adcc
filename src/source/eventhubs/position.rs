//! How a position is written down.
use std::collections::BTreeMap;

use azure_messaging_eventhubs::models::Checkpoint;
use serde::{Deserialize, Serialize};

/// A position: the last event of a partition that is settled, with all before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The service's offset. It is text and is not looked into.
    pub offset: Option<String>,
    /// The sequence number of the same event.
    pub sequence_number: Option<i64>,
    /// Who wrote it; empty in a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

impl Kept {
    /// What is kept of a checkpoint.
    pub fn of(checkpoint: &Checkpoint, owner: &str) -> Kept {
        Kept { offset: checkpoint.offset.clone(), sequence_number: checkpoint.sequence_number, owner: owner.to_owned() }
    }

    /// The checkpoint again.
    pub fn checkpoint(&self, namespace: &str, hub: &str, group: &str, partition: &str) -> Checkpoint {
        Checkpoint {
            fully_qualified_namespace: namespace.to_owned(),
            event_hub_name: hub.to_owned(),
            consumer_group: group.to_owned(),
            partition_id: partition.to_owned(),
            offset: self.offset.clone(),
            sequence_number: self.sequence_number,
        }
    }

    /// Whether this lies before `other`, as far as both know.
    pub fn is_before(&self, other: &Kept) -> bool {
        matches!((self.sequence_number, other.sequence_number), (Some(mine), Some(theirs)) if mine < theirs)
    }
}

/// The name of a partition's position. Hub and group names have no slash.
pub fn key(hub: &str, group: &str, partition: &str) -> String {
    format!("{hub}/{group}/{partition}")
}

/// Reads a file of positions.
///
/// # Errors
///
/// What was expected.
pub fn read_all(bytes: &[u8]) -> Result<BTreeMap<String, Kept>, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("expected an object of positions as udmill writes it: {error}"))
}

/// Writes a file of positions.
pub fn write_all(kept: &BTreeMap<String, Kept>) -> Vec<u8> {
    // Text keys, numbers and texts always serialise.
    serde_json::to_vec_pretty(kept).unwrap_or_default()
}

/// Reads one position.
///
/// # Errors
///
/// What was expected.
pub fn read(bytes: &[u8]) -> Result<Kept, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("expected a position as udmill writes it: {error}"))
}

/// Writes one position.
pub fn write(kept: &Kept) -> Vec<u8> {
    // As above.
    serde_json::to_vec(kept).unwrap_or_default()
}
