//! `udmill coverage`: what the mappings read of an input.

use std::fs;
use std::path::PathBuf;

use super::pipeline::Stopped;
use super::{Exit, Failure, input, mapping_files, mill, replay};
use crate::engine::{Message, Outcomes};
use crate::insight::coverage::Coverage;
use crate::plan::Unmapped;

/// Arguments of `udmill coverage`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill coverage audit.ndjson | less\n  \
    udmill coverage --profile typed --html coverage.html exports/\n  \
    udmill coverage --format json audit.ndjson | jq -r '.mappings[].paths[] | select(.state == \"unknown\").path'\n\n\
    A value counts as read when a row of its mapping wrote from it. Paths and counts are told, never values.\n\
    Exit codes: 0; 1 reading or writing failed; 2 a mapping is at fault.")]
pub struct Args {
    /// Files, folders, or `-` for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    mappings: mill::MappingArgs,
    /// A table for people, JSON, or one HTML page
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json", "html"])]
    format: String,
    /// Also write the HTML page to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Lines of each text table; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 40)]
    top: usize,
}

/// Runs the command.
///
/// # Errors
///
/// Faults of arguments and mappings (exit 2), inputs that cannot be read and pages that cannot be written (exit 1).
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let found = input::find(&args.inputs)?;
    let files = mapping_files::load(args.mappings.mappings.as_deref())?;
    let prepared = mill::prepare(&args.mappings)?;
    let unmapped = args.mappings.unmapped.as_deref().map(|word| match word {
        "keep" => Unmapped::Keep,
        "count" => Unmapped::Count,
        _ => Unmapped::Drop,
    });
    let mut worker = prepared.worker();
    worker.trace(true);
    let mut outcomes = Outcomes::default();
    let mut coverage = Coverage::new(&prepared.engine, &files, unmapped);
    for input in &found.inputs {
        let reader = input::open(input, std::sync::Arc::default()).map_err(|fault| Failure::io(input.name(), &fault))?;
        let read = replay::read_messages(reader, |bytes, _| {
            prepared.engine.process(&mut worker, Message::new(bytes), &mut outcomes);
            coverage.add(&outcomes);
            Ok::<(), Stopped>(())
        });
        if let Err(fault) = read {
            return Err(Failure::io(input.name(), &fault));
        }
    }
    let report = coverage.report(found.inputs.iter().map(input::Input::name).collect());
    if let Some(path) = &args.html {
        fs::write(path, report.html()).map_err(|fault| Failure::io(path.display(), &fault))?;
    }
    super::print(&match args.format.as_str() {
        "json" => format!("{}\n", report.json()),
        "html" => report.html(),
        _ => report.text(args.top),
    })
}
