//! Bytes to records.
mod doc;
pub use doc::{Doc, Kind, Node};
