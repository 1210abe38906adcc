//! `udmill schema`: JSON Schemas for editors.

use super::{Exit, Failure};
use crate::insight::schema;

/// Arguments of `udmill schema`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill schema mapping > mapping.schema.json\n  \
    udmill schema config > udmill.schema.json\n\n\
    In an editor with taplo or Even Better TOML the first line of a file names its schema:\n  \
    #:schema ./mapping.schema.json\n\n\
    A schema knows keys, types and words; `udmill check` knows what they mean.")]
pub struct Args {
    /// Of a mapping, or of the settings file
    #[arg(value_name = "WHAT", value_parser = ["mapping", "config"])]
    what: String,
}

/// Writes the schema to standard output.
///
/// # Errors
///
/// Standard output that cannot be written (exit 1).
pub fn run(args: &Args) -> Result<Exit, Failure> {
    super::print(&if args.what == "mapping" { schema::mapping() } else { schema::config() })
}
