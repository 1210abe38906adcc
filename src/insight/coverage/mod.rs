//! What the mappings read of an input: every source path with how often it was seen and which rows wrote from it, every UDM field with how
//! often it was filled.
//!
//! Fed with the outcomes of a tracing worker. Holds paths and counts, never a value of a record.

mod page;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::engine::{Engine, NO_MAPPING, Outcome, Outcomes};
use crate::mapping::known::{KnownPaths, Use, general};
use crate::mapping::table::{Table, Unmapped};
use crate::mapping::{self, Files};
use crate::plan::Plan;

/// Distinct paths of one mapping; an input whose names are data ends here, and what follows is counted in one number.
const MAX_PATHS: usize = 20_000;

/// Counts over an input.
pub struct Coverage<'a> {
    engine: &'a Engine,
    files: &'a Files,
    /// `--unmapped`, where it was given.
    unmapped: Option<Unmapped>,
    families: BTreeMap<u16, Family>,
    messages: u64,
    unread: BTreeMap<String, u64>,
}

/// Counts of one mapping.
struct Family {
    table: Table,
    known: KnownPaths,
    records: u64,
    emitted: u64,
    fallbacks: u64,
    rejected: BTreeMap<String, u64>,
    skipped: BTreeMap<String, u64>,
    event_types: BTreeMap<String, u64>,
    paths: HashMap<String, Counts>,
    beyond: u64,
    rows: Vec<u64>,
    fields: HashMap<String, u64>,
    /// The record whose parts are being read: its leaves, whether a part read them, and by which rows.
    open: BTreeMap<String, Leaf>,
    last: Option<u32>,
}

/// A leaf of one record, over all its parts.
#[derive(Default)]
struct Leaf {
    is_read: bool,
    rows: BTreeSet<u32>,
}

#[derive(Default)]
struct Counts {
    seen: u64,
    records: u64,
    read: u64,
    rows: BTreeMap<u32, u64>,
}

/// What became of a source path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Rows read all of it.
    Read,
    /// Rows read it in some records.
    Partly,
    /// Read on purpose and written nowhere.
    Dropped,
    /// A row, value or condition names it, and no row wrote from it.
    Unused,
    /// Nothing in the mapping names it.
    Unknown,
    /// The mapping names it, and no record had it.
    NeverSeen,
}

impl State {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            State::Read => "read",
            State::Partly => "partly read",
            State::Dropped => "dropped",
            State::Unused => "named, not written",
            State::Unknown => "unknown",
            State::NeverSeen => "never seen",
        }
    }
}

/// A row of a mapping and how often it wrote.
#[derive(Clone, Debug, Serialize)]
pub struct RowCount {
    /// `mappings/azure/activity.toml:120`
    pub row: String,
    /// Its UDM fields.
    pub targets: Vec<String>,
    /// How often.
    pub count: u64,
}

/// One source path.
#[derive(Clone, Debug, Serialize)]
pub struct PathReport {
    /// Dotted, `*` for elements of a list.
    pub path: String,
    /// What became of it.
    pub state: State,
    /// Values seen.
    pub seen: u64,
    /// Records that had it.
    pub records: u64,
    /// Values that a row wrote from, or that are dropped on purpose.
    pub read: u64,
    /// Values that no row read: kept in `additional`, counted or left out, as [`MappingReport::unmapped`] says.
    pub unmapped: u64,
    /// The rows that wrote from it; for paths that are named and never wrote, the rows that name it, with 0.
    pub rows: Vec<RowCount>,
    /// What else names it: `$operation`, `a condition`.
    pub named_by: Vec<String>,
}

/// One UDM field.
#[derive(Clone, Debug, Serialize)]
pub struct FieldReport {
    /// The target path as the rows write it.
    pub field: String,
    /// Events that have it.
    pub filled: u64,
    /// The rows that fill it.
    pub rows: Vec<RowCount>,
}

/// One mapping.
#[derive(Clone, Debug, Serialize)]
pub struct MappingReport {
    /// `azure/activity`
    pub mapping: String,
    /// The profile, where one was applied.
    pub profile: Option<String>,
    /// The log type.
    pub log_type: String,
    /// `keep`, `count` or `drop`: what happens to values that no row reads.
    pub unmapped: &'static str,
    /// Records that were mapped.
    pub records: u64,
    /// Events.
    pub emitted: u64,
    /// Events whose wished type gave way.
    pub fallbacks: u64,
    /// Rejected parts by code.
    pub rejected: BTreeMap<String, u64>,
    /// Skipped parts by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Events by type.
    pub event_types: BTreeMap<String, u64>,
    /// Values in all records.
    pub values_seen: u64,
    /// Values that a row wrote from.
    pub values_read: u64,
    /// Values at paths beyond the limit of paths.
    pub values_beyond: u64,
    /// Every path that was seen or is named.
    pub paths: Vec<PathReport>,
    /// Every field that a row can fill.
    pub fields: Vec<FieldReport>,
}

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was read.
    pub inputs: Vec<String>,
    /// Messages.
    pub messages: u64,
    /// Parts that no mapping took, by code or reason.
    pub without_mapping: BTreeMap<String, u64>,
    /// By name.
    pub mappings: Vec<MappingReport>,
}

impl<'a> Coverage<'a> {
    /// Nothing counted yet. `unmapped` is what the command line says of unread fields.
    pub fn new(engine: &'a Engine, files: &'a Files, unmapped: Option<Unmapped>) -> Coverage<'a> {
        Coverage { engine, files, unmapped, families: BTreeMap::new(), messages: 0, unread: BTreeMap::new() }
    }

    /// Counts what became of one message. The worker must be tracing; only the engine's first view is counted.
    pub fn add(&mut self, outcomes: &Outcomes) {
        self.messages += 1;
        let mut traces = outcomes.traces.iter().peekable();
        for (index, part) in outcomes.parts.iter().enumerate() {
            let trace = traces.next_if(|trace| trace.part == index);
            if part.view != 0 {
                continue;
            }
            let Some(plan) = self.engine.plan(part).filter(|_| part.mapping != NO_MAPPING) else {
                let why = match &part.outcome {
                    Outcome::Reject(reject) => reject.code.to_owned(),
                    Outcome::Skip { reason } => outcomes.text(reason).to_owned(),
                    Outcome::Emit { .. } => continue,
                };
                *self.unread.entry(why).or_default() += 1;
                continue;
            };
            if !self.families.contains_key(&part.mapping) {
                let Some(family) = Family::new(self.files, plan) else { continue };
                self.families.insert(part.mapping, family);
            }
            let Some(family) = self.families.get_mut(&part.mapping) else { continue };
            if family.last != Some(part.finding) {
                family.close();
                family.records += 1;
                family.last = Some(part.finding);
            }
            match &part.outcome {
                Outcome::Emit { event_type, fallback, .. } => {
                    family.emitted += 1;
                    family.fallbacks += u64::from(*fallback);
                    *family.event_types.entry(plan.types[*event_type as usize].clone()).or_default() += 1;
                }
                Outcome::Skip { reason } => *family.skipped.entry(outcomes.text(reason).to_owned()).or_default() += 1,
                Outcome::Reject(reject) => *family.rejected.entry(reject.code.to_owned()).or_default() += 1,
            }
            let Some(trace) = trace else { continue };
            let mut rows: Vec<u32> = trace.plan.fields.iter().map(|field| field.row).collect();
            rows.sort_unstable();
            rows.dedup();
            let mut fields: BTreeSet<&str> = BTreeSet::new();
            for row in rows {
                family.rows[row as usize] += 1;
                fields.extend(plan.row_infos[row as usize].targets.iter().map(String::as_str));
            }
            for field in fields {
                match family.fields.get_mut(field) {
                    Some(count) => *count += 1,
                    None => _ = family.fields.insert(field.to_owned(), 1),
                }
            }
            for leaf in &trace.plan.leaves {
                let known = match family.open.get_mut(&leaf.path) {
                    Some(known) => known,
                    None => family.open.entry(leaf.path.clone()).or_default(),
                };
                known.is_read |= leaf.is_read;
                known.rows.extend(&leaf.rows);
            }
        }
        for family in self.families.values_mut() {
            family.close();
            family.last = None;
        }
    }

    /// The report over everything counted.
    pub fn report(self, inputs: Vec<String>) -> Report {
        let (engine, files, unmapped) = (self.engine, self.files, self.unmapped);
        let plans: Vec<&Plan> = engine.plans(0).collect();
        let mut mappings: Vec<MappingReport> =
            self.families.into_iter().map(|(number, family)| family.report(plans[usize::from(number)], files, unmapped)).collect();
        mappings.sort_by(|a, b| a.mapping.cmp(&b.mapping));
        Report { inputs, messages: self.messages, without_mapping: self.unread, mappings }
    }
}

impl Family {
    fn new(files: &Files, plan: &Plan) -> Option<Family> {
        let profile = (plan.profile != "default").then_some(plan.profile.as_str());
        // It compiled before, so it reads again.
        let table = mapping::read(files, &plan.name, profile).ok()?;
        Some(Family {
            known: KnownPaths::of(&table),
            table,
            records: 0,
            emitted: 0,
            fallbacks: 0,
            rejected: BTreeMap::new(),
            skipped: BTreeMap::new(),
            event_types: BTreeMap::new(),
            paths: HashMap::new(),
            beyond: 0,
            rows: vec![0; plan.row_infos.len()],
            fields: HashMap::new(),
            open: BTreeMap::new(),
            last: None,
        })
    }

    /// Counts the leaves of the record whose parts have all been seen.
    fn close(&mut self) {
        let mut of_record: BTreeSet<String> = BTreeSet::new();
        for (path, Leaf { is_read, rows }) in std::mem::take(&mut self.open) {
            let path = general(&path);
            if !self.paths.contains_key(&path) && self.paths.len() >= MAX_PATHS {
                self.beyond += 1;
                continue;
            }
            let counts = self.paths.entry(path.clone()).or_default();
            counts.seen += 1;
            counts.read += u64::from(is_read);
            counts.records += u64::from(of_record.insert(path));
            for row in rows {
                *counts.rows.entry(row).or_default() += 1;
            }
        }
    }

    fn report(self, plan: &Plan, files: &Files, unmapped: Option<Unmapped>) -> MappingReport {
        let place = |row: usize| format!("{}:{}", plan.row_infos[row].file, plan.row_infos[row].line);
        let row_count = |row: usize, count: u64| RowCount { row: place(row), targets: plan.row_infos[row].targets.clone(), count };
        // Rows are told apart by file and line; a pattern knows its rows by span.
        let by_place: HashMap<String, usize> = (0..plan.row_infos.len()).map(|row| (place(row), row)).collect();
        let describe = |uses: &[Use]| -> (Vec<usize>, Vec<String>) {
            let (mut rows, mut others) = (Vec::new(), BTreeSet::new());
            for one in uses {
                match one {
                    Use::Row(file, start) => {
                        let span = mapping::table::Span { file: *file, start: *start, end: *start };
                        let shown = files.get(*file).map_or_else(String::new, |file| file.shown.clone());
                        rows.extend(by_place.get(&format!("{shown}:{}", files.position(span).0)).copied());
                    }
                    Use::Value(at) => _ = others.insert(format!("${}", self.table.values[*at].name)),
                    Use::Condition => _ = others.insert("a condition".to_owned()),
                    Use::Each(at) => _ = others.insert(format!("each {}", self.table.each[*at].name)),
                    Use::Identity => _ = others.insert("the identity".to_owned()),
                    Use::Drop => _ = others.insert("drop".to_owned()),
                }
            }
            (rows, others.into_iter().collect())
        };
        let mut met = vec![false; self.known.patterns.len()];
        let mut paths = Vec::new();
        let (mut values_seen, mut values_read) = (self.beyond, 0);
        for (path, counts) in self.paths {
            values_seen += counts.seen;
            values_read += counts.read;
            let mut uses: Vec<Use> = Vec::new();
            for at in self.known.find(&path) {
                met[at] = true;
                uses.extend(&self.known.patterns[at].uses);
            }
            let is_dropped = uses.contains(&Use::Drop);
            let (static_rows, named_by) = describe(&uses);
            let state = match (counts.read, uses.is_empty()) {
                (0, true) => State::Unknown,
                (0, false) => State::Unused,
                (read, _) if read < counts.seen => State::Partly,
                _ if is_dropped && counts.rows.is_empty() => State::Dropped,
                _ => State::Read,
            };
            let mut rows: Vec<RowCount> = counts.rows.iter().map(|(row, count)| row_count(*row as usize, *count)).collect();
            if rows.is_empty() {
                rows = static_rows.into_iter().map(|row| row_count(row, 0)).collect();
            }
            let unmapped = counts.seen - counts.read;
            paths.push(PathReport { path, state, seen: counts.seen, records: counts.records, read: counts.read, unmapped, rows, named_by });
        }
        // A list that an `each` goes through is no leaf: it was seen when something below it was.
        let below: BTreeSet<String> = paths.iter().map(|path| path.path.to_ascii_lowercase()).collect();
        let is_above = |pattern: &str| {
            let prefix = format!("{}.", pattern.to_ascii_lowercase());
            below.range(prefix.clone()..).next().is_some_and(|path| path.starts_with(&prefix))
        };
        for (at, pattern) in self.known.patterns.iter().enumerate().filter(|(at, known)| !met[*at] && !is_above(&known.shown)) {
            let (rows, named_by) = describe(&self.known.patterns[at].uses);
            let rows = rows.into_iter().map(|row| row_count(row, 0)).collect();
            paths.push(PathReport {
                path: pattern.shown.clone(),
                state: State::NeverSeen,
                seen: 0,
                records: 0,
                read: 0,
                unmapped: 0,
                rows,
                named_by,
            });
        }
        paths.sort_by(|a, b| (std::cmp::Reverse(a.seen), &a.path).cmp(&(std::cmp::Reverse(b.seen), &b.path)));
        let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, info) in plan.row_infos.iter().enumerate() {
            info.targets.iter().for_each(|target| rows_of.entry(target).or_default().push(row));
        }
        let fields = rows_of.into_iter().map(|(field, rows)| FieldReport {
            field: field.to_owned(),
            filled: self.fields.get(field).copied().unwrap_or(0),
            rows: rows.into_iter().map(|row| row_count(row, self.rows[row])).collect(),
        });
        let mut fields: Vec<FieldReport> = fields.collect();
        fields.sort_by(|a, b| (std::cmp::Reverse(a.filled), &a.field).cmp(&(std::cmp::Reverse(b.filled), &b.field)));
        MappingReport {
            mapping: plan.name.clone(),
            profile: (plan.profile != "default").then(|| plan.profile.clone()),
            log_type: plan.log_type.clone(),
            unmapped: match unmapped.unwrap_or(self.table.unmapped) {
                Unmapped::Keep => "keep",
                Unmapped::Count => "count",
                Unmapped::Drop => "drop",
            },
            records: self.records,
            emitted: self.emitted,
            fallbacks: self.fallbacks,
            rejected: self.rejected,
            skipped: self.skipped,
            event_types: self.event_types,
            values_seen,
            values_read,
            values_beyond: self.beyond,
            paths,
            fields,
        }
    }
}

impl MappingReport {
    /// How many paths are in a state.
    pub fn paths_in(&self, state: State) -> usize {
        self.paths.iter().filter(|path| path.state == state).count()
    }

    /// What happens to values that no row reads, in a word.
    fn fate(&self) -> &'static str {
        match self.unmapped {
            "keep" => "kept as unmapped",
            "count" => "counted as unmapped",
            _ => "left out",
        }
    }

    /// `azure/activity`, with the profile where there is one.
    fn title(&self) -> String {
        self.profile.as_ref().map_or_else(|| self.mapping.clone(), |profile| format!("{} ({profile})", self.mapping))
    }
}

impl Report {
    /// The report as JSON, indented.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
