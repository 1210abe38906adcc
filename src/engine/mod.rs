//! The pure flow: bytes in, outcomes out. Wires decode, classify, plan and enrich; reads no clock, opens nothing.
//!
//! ```
//! use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, View, Worker};
//!
//! let files = udmill::mapping::built_in();
//! let (engine, _warnings) = Engine::build(&files, &[View::default()], Settings::default()).expect("shipped mappings compile");
//! let mut worker = Worker::new(engine.limits(), udmill::enrich::Enrichers::new(Default::default(), Default::default(), 1));
//! let mut outcomes = Outcomes::default();
//! let body = br#"{"id":"audit_log-1","type":"login.succeeded","effective_at":1767225600}"#;
//! engine.process(&mut worker, Message::new(body), &mut outcomes);
//! let Outcome::Emit { event, .. } = &outcomes.parts[0].outcome else { panic!("{:?}", outcomes.parts) };
//! let event: serde_json::Value = serde_json::from_slice(&outcomes.events[event.clone()]).unwrap();
//! assert_eq!(event["metadata"]["eventTimestamp"], "2026-01-01T00:00:00Z");
//! ```

pub mod codes;
mod outcome;
pub mod site;
#[cfg(test)]
mod tests;
mod worker;

pub use outcome::{Message, NO_MAPPING, Outcome, Outcomes, Part, Reject, Stage, Timestamp, Trace};
pub use worker::Worker;

use crate::classify::{self, Classifier, MatchedBy};
use crate::decode::{Found, Limits};
use crate::mapping::compile::{self, Options};
use crate::mapping::diagnostic::Severity;
use crate::mapping::known::KnownPaths;
use crate::mapping::{self, Diagnostic, Files};
use crate::plan::redact::Redactor;
use crate::plan::{Note, PartEnd, PartSink, PartTrace, Plan, RecordContext, Tools, Why};
use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How one output wants its events: every record is mapped once for each view.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The profile; mappings without it are used as they are.
    pub profile: Option<String>,
    /// Fields left out, what happens to unread leaves.
    pub options: Options,
}

/// What the engine may spend on a message.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Limits of decoding.
    pub limits: Limits,
    /// Bytes of one event. 1,000,000: what Event Hubs and Google's request limit both take with room for an envelope.
    pub max_event_bytes: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { limits: Limits::default(), max_event_bytes: 1_000_000 }
    }
}

/// Every mapping, compiled once for each view, and what chooses among them. Immutable; shared by all workers.
pub struct Engine {
    classifier: Classifier<u16>,
    /// By mapping, then by view.
    plans: Vec<Vec<Plan>>,
    by_name: HashMap<String, u16>,
    /// The paths that each mapping names, by mapping, as the first view has it.
    known: Vec<KnownPaths>,
    redactor: Redactor,
    /// What the site does not let out.
    site: Option<Box<site::Site>>,
    settings: Settings,
}

impl Engine {
    /// Reads and compiles every mapping of `files` for every view. Warnings come back beside the engine.
    ///
    /// # Errors
    ///
    /// All faults of all mappings at once, sorted by place.
    pub fn build(files: &Files, views: &[View], settings: Settings) -> Result<(Engine, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut found: Vec<Diagnostic> = Vec::new();
        let mut classifier = Classifier::default();
        let mut plans = Vec::new();
        let mut by_name = HashMap::new();
        let mut known_paths = Vec::new();
        let place =
            |span: mapping::table::Span| (files.get(span.file).map_or_else(String::new, |file| file.shown.clone()), files.position(span).0);
        let names = mapping::list(files);
        for name in names.clone() {
            let number = plans.len() as u16;
            let known = mapping::profiles(files, &name);
            let mut of_views = Vec::new();
            for (at, view) in views.iter().enumerate() {
                let profile = view.profile.as_deref().filter(|profile| known.iter().any(|known| known == profile));
                let table = match mapping::read(files, &name, profile) {
                    Ok(table) => table,
                    Err(faults) => {
                        found.extend(faults);
                        continue;
                    }
                };
                if at == 0 {
                    known_paths.push(KnownPaths::of(&table));
                    for entry in &table.matches {
                        let claim = classifier.add(&entry.shape, entry.provider.as_deref(), entry.category.as_deref(), number);
                        if let Err(clash) = claim {
                            found
                                .push(Diagnostic::error("M058", entry.span, clash.to_string()).help(
                                    "let one mapping take these records; a site's mapping of the same name takes a built-in's place",
                                ));
                        }
                    }
                }
                match compile::compile(&table, &view.options, &place) {
                    Ok((plan, warnings)) => {
                        found.extend(warnings);
                        of_views.push(plan);
                    }
                    Err(faults) => found.extend(faults),
                }
            }
            by_name.insert(name, number);
            plans.push(of_views);
        }
        let mut tags: Vec<String> = plans.iter().flatten().flat_map(Plan::tag_lines).map(|line| line.name.clone()).collect();
        tags.sort_unstable();
        tags.dedup();
        found.extend(mapping::choice::check(files, &names, &tags));
        mapping::diagnostic::sort(&mut found);
        found.dedup();
        if found.iter().any(|found| found.severity == Severity::Error) {
            return Err(found);
        }
        Ok((Engine { classifier, plans, by_name, known: known_paths, redactor: Redactor::new(), site: None, settings }, found))
    }

    /// The limits a worker of this engine is made with.
    pub fn limits(&self) -> Limits {
        self.settings.limits
    }

    /// The number of the mapping called `name`, to pin a topic to it.
    pub fn mapping(&self, name: &str) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    /// The plan that made a part; `None` for parts without a mapping.
    pub fn plan(&self, part: &Part) -> Option<&Plan> {
        self.plans.get(part.mapping as usize)?.get(part.view as usize)
    }

    /// Every plan of one view, by mapping number.
    pub fn plans(&self, view: usize) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter_map(move |views| views.get(view))
    }

    /// What redacts texts that leave by another way than an event.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Processes one message. Everything it holds ends in exactly one outcome a part; a panic inside becomes one too.
    pub fn process(&self, worker: &mut Worker, message: Message<'_>, outcomes: &mut Outcomes) {
        outcomes.clear();
        let run = catch_unwind(AssertUnwindSafe(|| self.process_all(worker, message, outcomes)));
        if let Err(payload) = run {
            worker.start_over();
            outcomes.clear();
            let told = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
            // A panic's words may quote a value; under a site's rules nobody can tell which.
            let told = told.filter(|_| self.site.is_none()).unwrap_or("no reason given");
            let detail = format!("the program failed on this message: {told}");
            self.reject(outcomes, 0, Reject { stage: Stage::Panic, code: "panic", path: String::new(), detail });
        }
    }

    /// The bytes of one finding of a body, for a dead letter. `None` when it cannot be cut out: the whole body stands for it.
    pub fn cut<'a>(&self, worker: &'a mut Worker, body: &'a [u8], finding: u32) -> Option<&'a [u8]> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        worker.decoder.spans(body, &mut spans);
        let span = spans.get(finding as usize)?.clone();
        worker.decoder.text(body).get(span)
    }

    /// The bytes of every finding of a body, in order: one pass, where [`Engine::cut`] takes one a finding.
    pub fn cut_each(&self, worker: &mut Worker, body: &[u8], mut each: impl FnMut(u32, &[u8])) {
        let mut spans: Vec<Range<usize>> = Vec::new();
        worker.decoder.spans(body, &mut spans);
        let text = worker.decoder.text(body);
        for (finding, span) in spans.into_iter().enumerate() {
            if let Some(bytes) = text.get(span) {
                each(finding as u32, bytes);
            }
        }
    }

    fn process_all(&self, worker: &mut Worker, message: Message<'_>, outcomes: &mut Outcomes) {
        let mut found = std::mem::take(&mut worker.found);
        worker.decoder.decode(message.body, &mut worker.doc, &mut found);
        worker.state.suspicious = self.redactor.suspicious(&worker.doc.text);
        worker.state.received = message.received.map(|Timestamp(millis)| millis);
        let (text, nodes) = (worker.doc.text.len(), worker.doc.nodes.len());
        for (number, one) in found.iter().enumerate() {
            let finding = number as u32;
            match one {
                Found::Record { root, repair, .. } => {
                    outcomes.records += 1;
                    self.record(worker, *root, *repair, message.pin, finding, outcomes);
                    // What a record added to the arenas is of no use to the next.
                    worker.doc.text.truncate(text);
                    worker.doc.nodes.truncate(nodes);
                }
                Found::Broken { code, detail, .. } => {
                    let detail = if self.site.is_some() { "(not shown: the site redacts)".to_owned() } else { self.redacted(detail) };
                    self.reject(outcomes, finding, Reject { stage: Stage::Decode, code, path: String::new(), detail });
                }
                Found::Empty { reason, .. } => {
                    let reason = outcomes.place(reason.as_bytes());
                    let at = outcomes.notes.len();
                    outcomes.parts.push(Part { view: 0, mapping: NO_MAPPING, finding, outcome: Outcome::Skip { reason }, notes: at..at });
                }
            }
        }
        worker.found = found;
    }

    fn record(
        &self,
        worker: &mut Worker,
        root: u32,
        repair: Option<crate::decode::Repair>,
        pin: Option<u16>,
        finding: u32,
        outcomes: &mut Outcomes,
    ) {
        let (mapping, matched_by) = match pin {
            Some(pin) => {
                // The mapping is settled; whether the record is a row of a table is not.
                classify::examine(&worker.doc, root, &mut worker.facts);
                (pin, None)
            }
            None => {
                classify::examine(&worker.doc, root, &mut worker.facts);
                match self.classifier.find(&worker.facts) {
                    Some((mapping, by)) => (*mapping, Some(by)),
                    None => {
                        let detail = format!("no mapping takes records of shape `{}`", worker.facts.shape.name());
                        let reject = Reject { stage: Stage::Map, code: "no_mapping", path: String::new(), detail };
                        return self.reject(outcomes, finding, reject);
                    }
                }
            }
        };
        let is_row = worker.facts.shape == classify::Shape::LogAnalytics;
        let root = self.site.as_ref().map_or(root, |site| site.record(worker, root, Some(mapping)));
        let context = RecordContext { record: root, is_row, max_event_bytes: self.settings.max_event_bytes };
        for (view, plan) in self.plans.get(mapping as usize).into_iter().flatten().enumerate() {
            worker.state.repair = repair;
            if let Some(watch) = &mut worker.state.drift {
                watch.mapping = (view == 0).then_some(mapping);
            }
            let suspicious = worker.state.suspicious;
            let mut tools =
                Tools { doc: &mut worker.doc, decoder: &mut worker.decoder, enrich: &mut worker.enrichers, redactor: &self.redactor };
            let mut events = std::mem::take(&mut outcomes.events);
            let mut collector = Collector { outcomes, view: view as u16, mapping, finding, matched_by, facts: &worker.facts, suspicious };
            plan.run(&mut worker.state, &mut tools, &context, &mut collector, &mut events);
            outcomes.events = events;
        }
        if let Some(watch) = &mut worker.state.drift {
            watch.judge(|mapping, path| self.known.get(usize::from(mapping)).is_some_and(|known| known.knows(path)));
        }
    }

    fn reject(&self, outcomes: &mut Outcomes, finding: u32, reject: Reject) {
        let at = outcomes.notes.len();
        outcomes.parts.push(Part { view: 0, mapping: NO_MAPPING, finding, outcome: Outcome::Reject(reject), notes: at..at });
    }

    fn redacted(&self, text: &str) -> String {
        let mut out = Vec::new();
        if self.redactor.redact(text.as_bytes(), &mut out) { String::from_utf8_lossy(&out).into_owned() } else { text.to_owned() }
    }
}

/// Turns the ends of a record's parts into outcomes.
struct Collector<'a> {
    outcomes: &'a mut Outcomes,
    view: u16,
    mapping: u16,
    finding: u32,
    matched_by: Option<MatchedBy>,
    facts: &'a classify::Facts,
    /// The message may hold a secret. Facts are in lower case, where a secret no longer looks like one.
    suspicious: bool,
}

impl PartSink for Collector<'_> {
    fn part(&mut self, end: PartEnd<'_>, notes: &[Note]) {
        let outcome = match end {
            PartEnd::Emit { event, id, event_type, fallback, tags, takers } => {
                Outcome::Emit { event, id: self.outcomes.place(id), event_type, fallback, tags, takers }
            }
            PartEnd::Skip { reason } => Outcome::Skip { reason: self.outcomes.place(reason.as_bytes()) },
            PartEnd::Reject { why } => Outcome::Reject(reject(why)),
        };
        let start = self.outcomes.notes.len();
        self.outcomes.notes.extend_from_slice(notes);
        let notes = start..self.outcomes.notes.len();
        self.outcomes.parts.push(Part { view: self.view, mapping: self.mapping, finding: self.finding, outcome, notes });
    }

    fn traced(&mut self, trace: PartTrace, repair: Option<String>) {
        let by = self.matched_by.map_or("pinned by the configuration", MatchedBy::name);
        let facts = self.facts;
        let hides = |fact: &str| self.suspicious || crate::plan::redact::holds_sensitive_tree(fact.as_bytes());
        let shown = |fact: &str| if hides(fact) { "(not shown: the message may hold a secret)" } else { fact }.to_owned();
        let matched_by = format!(
            "{by}: shape `{}` ({}), provider `{}`, category `{}`",
            facts.shape.name(),
            facts.why,
            shown(facts.provider()),
            shown(facts.category())
        );
        let part = self.outcomes.parts.len().saturating_sub(1);
        self.outcomes.traces.push(Trace { part, matched_by, repair, plan: trace });
    }

    fn unread(&mut self, leaves: u32) {
        if self.view == 0 {
            self.outcomes.unread += u64::from(leaves);
        }
    }
}

/// A plan's reason in words.
fn reject(why: Why<'_>) -> Reject {
    match why {
        Why::Columns { each, count } => {
            let detail = format!("no column list of `{each}` has {count} columns");
            Reject { stage: Stage::Map, code: "columns", path: each.to_owned(), detail }
        }
        Why::NoTime => Reject {
            stage: Stage::Map,
            code: "time_missing",
            path: "metadata.event_timestamp".to_owned(),
            detail: "no row gave the event's time and the message carries none".to_owned(),
        },
        Why::TooLarge { bytes, limit } => Reject {
            stage: Stage::Emit,
            code: "event_too_large",
            path: String::new(),
            detail: format!("the event has {bytes} bytes, the limit is {limit}"),
        },
    }
}
