//! `udmill explain`: what became of every part of an input, and which row of which mapping wrote each field.
//!
//! The engine fills a [`PartTrace`] for each part; this file only tells it, as text or as JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::paint::{BAD, FAINT, GOOD, STRONG, WARN};
use super::pipeline::Stopped;
use super::{Exit, Failure, input, mill, replay};
use crate::engine::{Engine, Message, Outcome, Outcomes, Worker};
use crate::plan::TagLine;

/// Arguments of `udmill explain`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    head -n 1 audit.ndjson | udmill explain -\n  \
    udmill explain --profile typed audit.ndjson | less -R\n  \
    udmill explain --format json audit.ndjson | jq -r '.unread[]' | sort | uniq -c\n\n\
    Secrets and prompt texts are blacked out as in the events. Exit codes: 0; 1 reading failed; 2 a mapping is at fault.")]
pub struct Args {
    /// Files, folders, or `-` for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    mappings: mill::MappingArgs,
    /// Text for people, or one JSON object a part
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
    let prepared = mill::prepare(&args.mappings)?;
    let mut worker = prepared.worker();
    worker.trace(true);
    let mut outcomes = Outcomes::default();
    let mut part_number = 0;
    let mut written: io::Result<()> = Ok(());
    let mut out = anstream::stdout().lock();
    for input in &found.inputs {
        let reader = input::open(input, std::sync::Arc::default()).map_err(|fault| Failure::io(input.name(), &fault))?;
        let read = replay::read_messages(reader, |bytes, _| {
            for part in explain(&prepared.engine, &mut worker, bytes, &mut outcomes, &mut part_number) {
                let text = if args.format == "json" { format!("{}\n", part.json()) } else { format!("{}\n", part.text()) };
                if let Err(fault) = out.write_all(text.as_bytes()) {
                    written = Err(fault);
                    return Err(Stopped);
                }
            }
            Ok(())
        });
        match read {
            Ok(Ok(())) => {}
            Ok(Err(Stopped)) => break,
            Err(fault) => return Err(Failure::io(input.name(), &fault)),
        }
    }
    match written.and_then(|()| out.flush()) {
        // A reader that has seen enough (`| head`) is no fault worth a line.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(fault) => Err(Failure::io("standard output", &fault)),
        Ok(()) => Ok(Exit::Done),
    }
}

/// Processes one message and tells each of its parts. The worker must be tracing.
fn explain(engine: &Engine, worker: &mut Worker, bytes: &[u8], outcomes: &mut Outcomes, number: &mut u64) -> Vec<PartTrace> {
    engine.process(worker, Message::new(bytes), outcomes);
    let mut told = Vec::with_capacity(outcomes.parts.len());
    for (index, part) in outcomes.parts.iter().enumerate() {
        let mut trace = PartTrace { part: *number, ..PartTrace::default() };
        *number += 1;
        trace.outcome = match &part.outcome {
            Outcome::Emit { .. } => OutcomeTrace::Emitted,
            Outcome::Skip { reason } => OutcomeTrace::Skipped { reason: outcomes.text(reason).to_owned() },
            Outcome::Reject(reject) => OutcomeTrace::Rejected {
                stage: reject.stage.name().to_owned(),
                code: reject.code.to_owned(),
                path: reject.path.clone(),
                detail: reject.detail.clone(),
            },
        };
        if let Some(plan) = engine.plan(part) {
            trace.mapping = plan.name.clone();
            trace.profile = (plan.profile != "default").then(|| plan.profile.clone());
            let place = |row: u32| plan.row_infos.get(row as usize).map_or_else(String::new, |info| format!("{}:{}", info.file, info.line));
            for note in &outcomes.notes[part.notes.clone()] {
                let info = plan.row_infos.get(note.row as usize);
                trace.notes.push(NoteTrace {
                    target: info.map_or_else(String::new, |info| info.targets.join(", ")),
                    code: note.code.to_owned(),
                    detail: info.map_or_else(String::new, |info| format!("from {} by {}", info.sources.join(" or "), place(note.row))),
                });
            }
            if let Some(found) = outcomes.traces.iter().find(|found| found.part == index) {
                trace.matched_by = found.matched_by.clone();
                trace.repair = found.repair.clone();
                trace.unread = found.plan.unread.clone();
                trace.tags = plan.tags(found.plan.tags).map(TagTrace::of).collect();
                trace.rule = found.plan.rule.as_ref().map(|rule| {
                    let stands = rule.rule.and_then(|index| plan.rule_places.get(index as usize));
                    RuleTrace {
                        is: rule.event_type.clone(),
                        index: rule.rule.unwrap_or_default() as usize,
                        place: stands.map_or_else(String::new, |(file, line)| format!("{file}:{line}")),
                        fallback_from: rule.wanted.iter().cloned().collect(),
                    }
                });
                for field in &found.plan.fields {
                    let targets = plan.row_infos.get(field.row as usize).map_or(&[][..], |info| &info.targets);
                    trace.fields.extend(targets.iter().map(|target| FieldTrace {
                        target: target.clone(),
                        value: Value::String(field.value.clone()),
                        place: place(field.row),
                        // A constant stands in quotes where a path would.
                        source_path: (!field.source.starts_with('"')).then(|| field.source.clone()),
                    }));
                }
            }
        }
        told.push(trace);
    }
    told
}

/// Everything that happened to one part.
#[derive(Clone, Debug, Default)]
pub struct PartTrace {
    /// From 0, over the whole input.
    pub part: u64,
    /// The mapping, `openai/audit`.
    pub mapping: String,
    /// The profile that was applied.
    pub profile: Option<String>,
    /// Why this mapping: the entry of `[match]` that fitted, in words.
    pub matched_by: String,
    /// How the record was repaired before it could be read.
    pub repair: Option<String>,
    /// What became of it.
    pub outcome: OutcomeTrace,
    /// The event-type rule that was taken; none when the part gave no event.
    pub rule: Option<RuleTrace>,
    /// The security tags, that of the operation first.
    pub tags: Vec<TagTrace>,
    /// Every field that was written, in UDM order.
    pub fields: Vec<FieldTrace>,
    /// What was left out.
    pub notes: Vec<NoteTrace>,
    /// Dotted paths of leaves that no row read.
    pub unread: Vec<String>,
}

/// The outcome of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OutcomeTrace {
    /// It became an event.
    #[default]
    Emitted,
    /// It became a dead letter.
    Rejected {
        /// Where in the flow.
        stage: String,
        /// The stable code.
        code: String,
        /// The path concerned; may be empty.
        path: String,
        /// What was found, redacted.
        detail: String,
    },
    /// It was passed over on purpose.
    Skipped {
        /// The reason word.
        reason: String,
    },
}

/// The event-type rule that was taken.
#[derive(Clone, Debug, Default)]
pub struct RuleTrace {
    /// The event type.
    pub is: String,
    /// Position in the rules, from 0.
    pub index: usize,
    /// `mappings/openai/audit.toml:16`; empty for GENERIC_EVENT at the end of every ladder.
    pub place: String,
    /// The wished event types whose requirements were not met, in the order tried.
    pub fallback_from: Vec<String>,
}

/// One security tag of a part.
#[derive(Clone, Debug, Default)]
pub struct TagTrace {
    /// Its name.
    pub tag: String,
    /// The severity of its line; the event has a higher one when a row gave it.
    pub severity: String,
    /// What the line asks for.
    pub because: String,
    /// The line: `mappings/tags/azure_activity.csv:2`.
    pub place: String,
}

impl TagTrace {
    fn of(line: &TagLine) -> TagTrace {
        let mut because = format!("operation `{}`", line.operation);
        for (name, word) in [("status", &line.status), ("detail", &line.detail)] {
            if !word.is_empty() {
                let _ = write!(because, ", {name} `{word}`");
            }
        }
        let place = format!("{}:{}", line.file, line.line);
        TagTrace { tag: line.name.clone(), severity: line.severity().to_owned(), because, place }
    }
}

/// One field that was written.
#[derive(Clone, Debug, Default)]
pub struct FieldTrace {
    /// `principal.ip[0]`
    pub target: String,
    /// As it stands in the event.
    pub value: Value,
    /// The row: `mappings/openai/audit.toml:24`, or a word for what no row writes (`identity`, `unmapped`).
    pub place: String,
    /// What the row read; none for a constant.
    pub source_path: Option<String>,
}

/// One thing left out.
#[derive(Clone, Debug, Default)]
pub struct NoteTrace {
    /// The target path.
    pub target: String,
    /// The stable code.
    pub code: String,
    /// What was found, redacted.
    pub detail: String,
}

impl PartTrace {
    /// The part as one JSON object.
    pub fn json(&self) -> Value {
        let outcome = match &self.outcome {
            OutcomeTrace::Emitted => json!({ "is": "emitted" }),
            OutcomeTrace::Rejected { stage, code, path, detail } => {
                json!({ "is": "rejected", "stage": stage, "code": code, "path": path, "detail": detail })
            }
            OutcomeTrace::Skipped { reason } => json!({ "is": "skipped", "reason": reason }),
        };
        json!({
            "part": self.part,
            "mapping": self.mapping,
            "profile": self.profile,
            "matched_by": self.matched_by,
            "repair": self.repair,
            "outcome": outcome,
            "rule": self.rule.as_ref().map(|rule| json!({
                "is": rule.is, "index": rule.index, "row": rule.place, "fallback_from": rule.fallback_from,
            })),
            "tags": self.tags.iter().map(|tag| json!({
                "tag": tag.tag, "severity": tag.severity, "because": tag.because, "row": tag.place,
            })).collect::<Vec<_>>(),
            "fields": self.fields.iter().map(|field| json!({
                "target": field.target, "value": field.value, "row": field.place, "source": field.source_path,
            })).collect::<Vec<_>>(),
            "notes": self.notes.iter().map(|note| json!({
                "target": note.target, "code": note.code, "detail": note.detail,
            })).collect::<Vec<_>>(),
            "unread": self.unread,
        })
    }

    /// The part as text, with colour; `anstream` takes it out where it is not wanted.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "{STRONG}part {}{STRONG:#}  ", self.part)?;
        match &self.outcome {
            OutcomeTrace::Emitted => writeln!(out, "{GOOD}emitted{GOOD:#}")?,
            OutcomeTrace::Skipped { reason } => writeln!(out, "{WARN}skipped{WARN:#}: {}", printable(reason))?,
            OutcomeTrace::Rejected { stage, code, path, detail } => {
                write!(out, "{BAD}rejected{BAD:#} by {stage}: {code}")?;
                if !path.is_empty() {
                    write!(out, " at `{}`", printable(path))?;
                }
                if !detail.is_empty() {
                    write!(out, ", {}", printable(detail))?;
                }
                writeln!(out)?;
            }
        }
        if !self.mapping.is_empty() {
            let profile = self.profile.as_ref().map_or_else(String::new, |profile| format!(", profile {profile}"));
            writeln!(
                out,
                "  mapping     {STRONG}{}{STRONG:#}{profile} {FAINT}because {}{FAINT:#}",
                self.mapping,
                printable(&self.matched_by)
            )?;
        }
        if let Some(repair) = &self.repair {
            writeln!(out, "  {WARN}repaired{WARN:#}    {}", printable(repair))?;
        }
        if let Some(rule) = &self.rule {
            let place = if rule.place.is_empty() { "end of the ladder".to_owned() } else { rule.place.clone() };
            writeln!(out, "  event type  {STRONG}{}{STRONG:#} {FAINT}rule {} {place}{FAINT:#}", rule.is, rule.index)?;
            if !rule.fallback_from.is_empty() {
                writeln!(out, "  {WARN}instead of{WARN:#}  {}: what the type requires was not there", rule.fallback_from.join(", then "))?;
            }
        }
        for tag in &self.tags {
            writeln!(
                out,
                "  tag         {WARN}{}{WARN:#} {} {FAINT}because {} {}{FAINT:#}",
                tag.tag, tag.severity, tag.because, tag.place
            )?;
        }
        if !self.fields.is_empty() {
            writeln!(out, "  fields")?;
            let target_width = widest(self.fields.iter().map(|field| field.target.chars().count()), 56);
            let value_width = widest(self.fields.iter().map(|field| shown(&field.value).chars().count()), 48);
            for field in &self.fields {
                let source = field.source_path.as_ref().map_or_else(String::new, |path| format!(" from {}", printable(path)));
                writeln!(
                    out,
                    "    {:target_width$}  {GOOD}{:value_width$}{GOOD:#}  {FAINT}{}{source}{FAINT:#}",
                    printable(&field.target),
                    shown(&field.value),
                    field.place
                )?;
            }
        }
        if !self.notes.is_empty() {
            writeln!(out, "  {WARN}left out{WARN:#}")?;
            let width = widest(self.notes.iter().map(|note| note.target.chars().count()), 56);
            for note in &self.notes {
                writeln!(out, "    {:width$}  {}: {}", printable(&note.target), note.code, printable(&note.detail))?;
            }
        }
        if !self.unread.is_empty() {
            writeln!(out, "  {WARN}read by no row{WARN:#}")?;
            for path in &self.unread {
                writeln!(out, "    {}", printable(path))?;
            }
        }
        Ok(())
    }
}

fn widest(widths: impl Iterator<Item = usize>, most: usize) -> usize {
    widths.max().unwrap_or(0).min(most)
}

/// A value as JSON text, cut for reading; `--format json` has the whole.
fn shown(value: &Value) -> String {
    const MOST: usize = 96;
    let text = printable(&value.to_string());
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST - 3).chain("...".chars()).collect() }
}

/// Text of a record on its way to a terminal: control characters, which could move the cursor or colour the screen, are written out.
fn printable(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().all(is_harmless) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_harmless(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> PartTrace {
        PartTrace {
            part: 3,
            mapping: "openai/audit".into(),
            profile: Some("typed".into()),
            matched_by: "shape openai_audit".into(),
            rule: Some(RuleTrace {
                is: "STATUS_UPDATE".into(),
                index: 7,
                place: "mappings/openai/audit.toml:16".into(),
                fallback_from: vec!["USER_LOGIN".into()],
            }),
            fields: vec![
                FieldTrace {
                    target: "principal.ip[0]".into(),
                    value: "192.0.2.1".into(),
                    place: "mappings/openai/audit.toml:24".into(),
                    source_path: Some("actor.session.ip_address".into()),
                },
                FieldTrace {
                    target: "metadata.vendor_name".into(),
                    value: "OPENAI".into(),
                    place: "mappings/openai/audit.toml:20".into(),
                    source_path: None,
                },
            ],
            notes: vec![NoteTrace { target: "network.asn".into(), code: "not_a_number".into(), detail: "`\u{1b}[31mred`".into() }],
            unread: vec!["actor.session.new_field".into()],
            ..PartTrace::default()
        }
    }

    #[test]
    fn the_text_names_rows_sources_and_leftovers() {
        let text = anstream::adapter::strip_str(&trace().text()).to_string();
        let expected = "part 3  emitted
  mapping     openai/audit, profile typed because shape openai_audit
  event type  STATUS_UPDATE rule 7 mappings/openai/audit.toml:16
  instead of  USER_LOGIN: what the type requires was not there
  fields
    principal.ip[0]       \"192.0.2.1\"  mappings/openai/audit.toml:24 from actor.session.ip_address
    metadata.vendor_name  \"OPENAI\"     mappings/openai/audit.toml:20
  left out
    network.asn  not_a_number: `\\u{1b}[31mred`
  read by no row
    actor.session.new_field
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_json_form_holds_the_same() {
        let json = trace().json();
        assert_eq!(json["outcome"]["is"], "emitted");
        assert_eq!(json["rule"]["fallback_from"][0], "USER_LOGIN");
        assert_eq!(json["fields"][0]["source"], "actor.session.ip_address");
        assert_eq!((&json["fields"][1]["source"], &json["unread"][0]), (&Value::Null, &"actor.session.new_field".into()));
    }

    #[test]
    fn rejects_and_skips_are_told() {
        let rejected = OutcomeTrace::Rejected {
            stage: "map".into(),
            code: "time_missing".into(),
            path: "time".into(),
            detail: "none of 9 names".into(),
        };
        for (outcome, expected) in [
            (rejected, "part 0  rejected by map: time_missing at `time`, none of 9 names\n"),
            (OutcomeTrace::Skipped { reason: "heartbeat".into() }, "part 0  skipped: heartbeat\n"),
        ] {
            let part = PartTrace { outcome, ..PartTrace::default() };
            assert_eq!(anstream::adapter::strip_str(&part.text()).to_string(), expected);
        }
    }
}
