//! The target: messages, fields and words of UDM, what each event type asks for, and a strict lint of finished events.
//!
//! Everything here is data from `data/`, parsed once. The room knows nothing of mappings or records.
//!
//! ```
//! use udmill::udm::{FieldKind, Schema};
//! let (field, _) = Schema::get().resolve("metadata.event_type").unwrap();
//! assert_eq!(field.json, "eventType");
//! assert!(matches!(field.kind, FieldKind::Enum("Metadata.EventType")));
//! ```
mod constraint;
mod event_types;
mod json_text;
mod lint;
mod schema;

pub use constraint::{Constraint, constraint, is_constraint_met, max_bytes, platform_only};
pub use event_types::{EventType, EventTypes, Predicate, Requirement};
pub use json_text::{is_base64, is_duration, is_timestamp};
pub use lint::{Finding, lint};
pub use schema::{EnumType, EnumValue, Field, FieldKind, Message, Schema};

/// How much a fault weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth a look; the service takes the event.
    Warn,
    /// The service refuses the event, or the event says something that must not be said.
    Error,
}
