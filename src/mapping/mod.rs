//! From TOML text to a checked mapping, and from that to a plan. Reads no files: the shell hands it the texts.
pub mod convert;
pub mod table;
