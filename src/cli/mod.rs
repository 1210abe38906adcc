//! The command line: arguments, reading of files, and what people see. Everything that mills a record lies in the core.
//!
//! The commands and their exit codes are a contract: 0 done, 1 input or output failed, 2 the configuration or a mapping is at fault,
//! 3 more was rejected than allowed or nothing at all came out, 4 `diff` found a change.

mod budget;
pub mod check;
#[cfg(feature = "openai")]
mod collect;
mod completions;
mod coverage;
#[cfg(feature = "kafka")]
pub mod demo;
mod diff;
pub mod explain;
pub mod input;
mod lanes;
pub mod mapping_files;
pub mod mill;
pub mod paint;
pub mod pipeline;
#[cfg(test)]
mod pipeline_tests;
mod read_ahead;
pub mod replay;
mod report;
#[cfg(feature = "kafka")]
mod run;
mod schema;
pub mod summary;
pub mod test_cases;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every part has an outcome.
    Done = 0,
    /// Reading or writing failed.
    Io = 1,
    /// A fault in the arguments, the configuration or a mapping.
    Config = 2,
    /// More rejects than allowed, or nothing emitted from a non-empty input.
    Rejected = 3,
    /// `diff` found that something changes.
    Changed = 4,
}

/// Why a command ended early: what to tell, and with which exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One or more lines: what went wrong, where, and how to mend it. Empty when everything has been said.
    pub text: String,
}

impl Failure {
    /// Reading or writing `what` failed.
    pub fn io(what: impl std::fmt::Display, fault: &std::io::Error) -> Self {
        Failure { exit: Exit::Io, text: format!("{what}: {fault}") }
    }

    /// The arguments, a mapping or the configuration is at fault.
    pub fn config(text: impl Into<String>) -> Self {
        Failure { exit: Exit::Config, text: text.into() }
    }
}

#[derive(Parser)]
#[command(name = "udmill", version, max_term_width = 120, arg_required_else_help = true)]
#[command(about = "Mills cloud and AI audit logs into Google SecOps UDM events")]
#[command(
    after_help = "Exit codes: 0 done; 1 reading or writing failed; 2 a configuration or mapping fault; 3 more rejects than allowed;\n4 `diff` found a change.\n\
    Try `udmill demo` first: it needs no broker and no files."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mill archived logs: files, folders or standard input to UDM NDJSON
    Replay(replay::Args),
    /// Tell what became of each record and which row wrote each field
    Explain(explain::Args),
    /// Tell what the mappings read of an input: source paths, UDM fields, what is left
    Coverage(coverage::Args),
    /// Report the operations of a period: outcomes, callers, role assignments, deletions, failures, high risk
    Report(report::Args),
    /// Tell which UDM fields change between two sets of mappings, and for how many records
    Diff(diff::Args),
    /// Process streams: Kafka or Event Hubs in, Kafka or Event Hubs out
    #[cfg(feature = "kafka")]
    Run(run::Args),
    /// Look once at a log that has to be asked for: the audit log of an OpenAI organization
    #[cfg(feature = "openai")]
    Collect(collect::Args),
    /// Run the cases kept beside the mappings
    Test(test_cases::Args),
    /// Find every fault of the mappings at once
    Check(check::Args),
    /// Run the whole flow in this process: a broker, sample messages, events, metrics
    #[cfg(feature = "kafka")]
    Demo(demo::Args),
    /// Write the JSON Schema of a mapping or of the settings, for editors
    Schema(schema::Args),
    /// Write a completion script for a shell
    Completions(completions::Args),
}

/// Runs the command line and gives the exit code.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Diff(args) => diff::run(&args),
        #[cfg(feature = "kafka")]
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "openai")]
        Command::Collect(args) => collect::run(&args),
        Command::Test(args) => test_cases::run(&args),
        Command::Check(args) => check::run(&args),
        #[cfg(feature = "kafka")]
        Command::Demo(args) => demo::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            if !failure.text.is_empty() {
                paint::error(&failure.text);
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no fault.
fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::io("standard output", &fault)),
        _ => Ok(Exit::Done),
    }
}

/// The argument definition, for completions and for tests.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_argument_definition_holds() {
        super::command().debug_assert();
    }
}
