//! From TOML text to a checked mapping, and from that to a plan. Reads no files: the shell hands it the texts.
mod built_in;
pub mod choice;
pub mod compile;
mod condition;
pub mod convert;
pub mod diagnostic;
mod each;
pub mod known;
mod layers;
mod lookup_text;
mod node;
mod path;
mod read;
mod render;
mod row;
mod rule;
pub mod table;
pub mod tags;
mod value;

pub use built_in::built_in;
pub use diagnostic::{Diagnostic, File, Files};
pub use read::{list, profiles, read};
pub use render::render;
