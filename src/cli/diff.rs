//! `udmill diff`: which UDM fields change between two sets of mappings.

use std::path::PathBuf;

use super::mill::{MappingArgs, Prepared};
use super::pipeline::Stopped;
use super::{Exit, Failure, input, mill, replay};
use crate::engine::{Message, Outcomes};
use crate::insight::diff::Diff;

/// Arguments of `udmill diff`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill diff built-in my-mappings audit.ndjson\n  \
    git worktree add /tmp/old main && udmill diff /tmp/old/mappings mappings exports/\n  \
    udmill diff --format json built-in my-mappings audit.ndjson | jq '.fields | keys'\n\n\
    Each folder extends or replaces the built-in mappings, as with --mappings; `built-in` names them alone.\n\
    Exit codes: 0 nothing changes; 4 something does; 1 reading failed; 2 a mapping is at fault.")]
pub struct Args {
    /// Folder of mappings as they were, or `built-in`
    #[arg(value_name = "OLD_MAPPINGS")]
    old: PathBuf,
    /// Folder of mappings as they are to be, or `built-in`
    #[arg(value_name = "NEW_MAPPINGS")]
    new: PathBuf,
    /// Files, folders, or `-` for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Profile of the mappings that have one [default: documented]
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// Text for people, or JSON
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Runs the command.
///
/// # Errors
///
/// Faults of arguments and mappings (exit 2), inputs that cannot be read (exit 1).
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let found = input::find(&args.inputs)?;
    let prepare = |folder: &PathBuf| -> Result<Prepared, Failure> {
        let mappings = (folder.as_os_str() != "built-in").then(|| folder.clone());
        mill::prepare(&MappingArgs { profile: args.profile.clone(), mappings, ..MappingArgs::default() })
    };
    let (old, new) = (prepare(&args.old)?, prepare(&args.new)?);
    let (mut old_worker, mut new_worker) = (old.worker(), new.worker());
    let (mut old_outcomes, mut new_outcomes) = (Outcomes::default(), Outcomes::default());
    let mut diff = Diff::default();
    for input in &found.inputs {
        let reader = input::open(input, std::sync::Arc::default()).map_err(|fault| Failure::io(input.name(), &fault))?;
        let read = replay::read_messages(reader, |bytes, _| {
            old.engine.process(&mut old_worker, Message::new(bytes), &mut old_outcomes);
            new.engine.process(&mut new_worker, Message::new(bytes), &mut new_outcomes);
            diff.add((&old.engine, &old_outcomes), (&new.engine, &new_outcomes));
            Ok::<(), Stopped>(())
        });
        if let Err(fault) = read {
            return Err(Failure::io(input.name(), &fault));
        }
    }
    super::print(&if args.format == "json" { format!("{}\n", diff.json()) } else { diff.text() })?;
    Ok(if diff.is_changed() { Exit::Changed } else { Exit::Done })
}
