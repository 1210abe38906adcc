//! The compiled plan and its executor.
pub mod convert;
pub mod lookup;
