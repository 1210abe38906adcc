//! Names of message headers. The sink writes them and the source reads them back; they are part of the contract with whoever reads the
//! topics.

/// Of an event: the log type.
pub const LOG_TYPE: &str = "udmill_log_type";
/// Of an event: `mapping@version`.
pub const MAPPING: &str = "udmill_mapping";
/// Of an event: the profile of its output; absent for the mapping's own.
pub const PROFILE: &str = "udmill_profile";
/// Of a message that an output passes on as it came: `raw`.
pub const EMIT: &str = "udmill_emit";

/// Of a dead letter: `decode`, `map`, `deliver`, ...
pub const STAGE: &str = "udmill_stage";
/// The reject's code.
pub const CODE: &str = "udmill_code";
/// Source path within the record.
pub const PATH: &str = "udmill_path";
/// What was expected and found.
pub const DETAIL: &str = "udmill_detail";
/// When the broker first had it. Unit: milliseconds since the Unix epoch.
pub const RECEIVED: &str = "udmill_received_ms";
/// Topic of the first arrival.
pub const TOPIC: &str = "udmill_source_topic";
/// Partition of the first arrival.
pub const PARTITION: &str = "udmill_source_partition";
/// Offset of the first arrival.
pub const OFFSET: &str = "udmill_source_offset";
/// Index of the record in that message; absent for a whole body.
pub const RECORD: &str = "udmill_record";
/// Name of the output that alone lacks it.
pub const OUTPUT: &str = "udmill_output";
/// `raw`, `redacted` or `hash`.
pub const CONTENT: &str = "udmill_content";
/// `2/3`: this is the second of three pieces.
pub const PIECE: &str = "udmill_piece";
