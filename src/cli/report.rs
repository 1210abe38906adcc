//! `udmill report`: the compliance report over raw records or UDM events.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::pipeline::Stopped;
use super::{Exit, Failure, input, mill, replay};
use crate::engine::{Engine, Message, Outcome, Outcomes, Worker};
use crate::insight::report::{Collector, is_event};

/// Arguments of `udmill report`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill report --from 2026-01-01 --to 2026-02-01 --html report.html insights-activity-logs/\n  \
    udmill report events.ndjson\n  \
    udmill report --format json events.ndjson | jq '.role_assignment_changes[]'\n\n\
    The inputs hold raw records, which run through the mappings, or UDM events as `udmill replay` writes them, also mixed.\n\
    Records with one correlation id, operation and resource are one operation; its status is that of the latest record that\n\
    tells how it ended.\n\n\
    Exit codes: 0; 1 reading or writing failed; 2 an argument or a mapping is at fault.")]
pub struct Args {
    /// Files, folders, or `-` for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Events from TIME on: a date (its first moment, UTC) or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Events before TIME
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    #[command(flatten)]
    mappings: mill::MappingArgs,
    /// Text for people, JSON, or one HTML page
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json", "html"])]
    format: String,
    /// Also write the HTML page to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Reads a date or a time.
fn moment(text: &str) -> Result<Timestamp, String> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    // A date before a time: `2026-01-01T00:00:00Z` would also read as one.
    if text.contains(['T', 't', ' ']) {
        text.parse().map_err(|_| format!("expected a time such as 2026-01-31T12:00:00Z, found `{text}`"))
    } else {
        date().ok_or_else(|| format!("expected a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z, found `{text}`"))
    }
}

/// Runs the command.
///
/// # Errors
///
/// Faults of arguments and mappings (exit 2), inputs that cannot be read and pages that cannot be written (exit 1).
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(Failure::config(format!("`--from` ({from}) must lie before `--to` ({to})")));
    }
    let found = input::find(&args.inputs)?;
    let prepared = mill::prepare(&args.mappings)?;
    let mut reader_of = Reader { engine: &prepared.engine, worker: prepared.worker(), outcomes: Outcomes::default() };
    let mut collector = Collector::new(args.from, args.to);
    for input in &found.inputs {
        let reader = input::open(input, std::sync::Arc::default()).map_err(|fault| Failure::io(input.name(), &fault))?;
        let read = replay::read_messages(reader, |bytes, _| {
            reader_of.message(bytes, &mut collector);
            Ok::<(), Stopped>(())
        });
        if let Err(fault) = read {
            return Err(Failure::io(input.name(), &fault));
        }
    }
    let report = collector.report(found.inputs.iter().map(input::Input::name).collect());
    if let Some(path) = &args.html {
        fs::write(path, report.html()).map_err(|fault| Failure::io(path.display(), &fault))?;
    }
    super::print(&match args.format.as_str() {
        "json" => format!("{}\n", report.json()),
        "html" => report.html(),
        _ => report.text(),
    })
}

/// Makes UDM events of whatever an input holds.
struct Reader<'a> {
    engine: &'a Engine,
    worker: Worker,
    outcomes: Outcomes,
}

impl Reader<'_> {
    fn message(&mut self, bytes: &[u8], collector: &mut Collector) {
        // What is no JSON, and every other log, is the engine's to read and to judge.
        if let Ok(value) = serde_json::from_slice::<Value>(bytes)
            && events(&value, collector)
        {
            return;
        }
        self.engine.process(&mut self.worker, Message::new(bytes), &mut self.outcomes);
        for part in &self.outcomes.parts {
            match &part.outcome {
                Outcome::Emit { event, .. } => {
                    if let Ok(event) = serde_json::from_slice(&self.outcomes.events[event.clone()]) {
                        collector.add(&event);
                    }
                }
                Outcome::Reject(_) => collector.rejected += 1,
                Outcome::Skip { .. } => collector.skipped += 1,
            }
        }
    }
}

/// Adds the UDM events of a value: one, a list of them, or the body of an import. `false` when it holds none.
fn events(value: &Value, collector: &mut Collector) -> bool {
    if is_event(value) {
        collector.add(value);
        return true;
    }
    let list = value["inlineSource"]["events"].as_array().or_else(|| value.as_array());
    let Some(list) = list.filter(|list| !list.is_empty()) else { return false };
    let event = |item: &Value| -> bool { is_event(item) || is_event(&item["udm"]) };
    if !list.iter().all(event) {
        return false;
    }
    list.iter().for_each(|item| collector.add(if is_event(item) { item } else { &item["udm"] }));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, expected) in [
            ("2026-01-31", Some("2026-01-31T00:00:00Z")),
            ("2026-01-31T12:00:00+02:00", Some("2026-01-31T10:00:00Z")),
            ("2026-01-31T12:00:00Z", Some("2026-01-31T12:00:00Z")),
            ("2026-01-31T12:00:00", None),
            ("yesterday", None),
            ("2026-02-30", None),
        ] {
            assert_eq!(moment(text).ok().map(|time| time.to_string()).as_deref(), expected, "case: {text}");
        }
    }
}
