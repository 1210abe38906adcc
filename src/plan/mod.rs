//! The compiled plan and its executor.
pub mod convert;
pub mod enrich;
pub mod lookup;
pub mod redact;
