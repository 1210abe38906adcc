//! The engine as the commands use it: mappings and databases from the arguments, and one mill a thread.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pipeline;
use super::summary::{Counts, Tally};
use super::{Failure, mapping_files};
use crate::engine::site::Whose;
use crate::engine::{Engine, Message, Outcome, Outcomes, Settings, Stage, Timestamp, View, Worker};
use crate::enrich::{Databases, Enrichers, Sizes};
use crate::mapping::compile::Options;
use crate::mapping::{self, Files};
use crate::plan::{Plan, Unmapped};
use crate::runtime::{REPEAT, Window};
use crate::sink::letter_file::DeadLetter;

/// The profile that is applied where none is named: what the published tables say.
pub const DEFAULT_PROFILE: &str = "documented";

/// Arguments about mappings and databases, shared by several commands.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct MappingArgs {
    /// Profile of the mappings that have one [default: documented]
    #[arg(long, value_name = "P")]
    pub profile: Option<String>,
    /// Extend or replace the built-in mappings by those of DIR
    #[arg(long, value_name = "DIR")]
    pub mappings: Option<PathBuf>,
    /// Give security tags other severities, or switch them off, as FILE says
    #[arg(long, value_name = "FILE")]
    pub tags: Option<PathBuf>,
    /// Pass over what the `[[filter]]` sections of FILE fit; the settings of `udmill run` are such a file
    #[arg(long, value_name = "FILE")]
    pub filters: Option<PathBuf>,
    /// Drop, hash or mask the paths that FILE names before anything is written
    #[arg(long, value_name = "FILE")]
    pub redaction: Option<PathBuf>,
    /// City database in MaxMind's format, for places of addresses
    #[arg(long, value_name = "FILE")]
    pub geo_city: Option<PathBuf>,
    /// ASN database in MaxMind's format, for the networks of addresses
    #[arg(long, value_name = "FILE")]
    pub geo_asn: Option<PathBuf>,
    /// What happens to fields that no row reads [default: as each mapping says]
    #[arg(long, value_name = "MODE", value_parser = ["keep", "count", "drop"])]
    pub unmapped: Option<String>,
}

/// Everything that the mills share.
pub struct Prepared {
    /// The compiled mappings.
    pub engine: Arc<Engine>,
    databases: Arc<Databases>,
}

/// Reads mappings and databases.
///
/// # Errors
///
/// Every fault of the mappings, printed at once; an unknown profile; a database that cannot be read.
pub fn prepare(args: &MappingArgs) -> Result<Prepared, Failure> {
    prepare_over(args, None)
}

/// As [`prepare`], with the files of one more folder over those of the arguments: cases of a mapping bring what a site would.
///
/// # Errors
///
/// As [`prepare`].
pub fn prepare_over(args: &MappingArgs, site: Option<&Path>) -> Result<Prepared, Failure> {
    let mut files = mapping_files::load(args.mappings.as_deref())?;
    if let Some(site) = site {
        mapping_files::add(&mut files, site)?;
    }
    if let Some(tags) = &args.tags {
        mapping_files::add_tags(&mut files, tags)?;
    }
    if let Some(filters) = &args.filters {
        mapping_files::add_filters(&mut files, filters)?;
    }
    if let Some(profile) = &args.profile {
        let mut known: Vec<String> = mapping::list(&files).iter().flat_map(|name| mapping::profiles(&files, name)).collect();
        known.sort();
        known.dedup();
        if !known.contains(profile) {
            return Err(Failure::config(format!("no mapping has a profile `{profile}`; there are: {}", known.join(", "))));
        }
    }
    let unmapped = args.unmapped.as_deref().map(|word| match word {
        "keep" => Unmapped::Keep,
        "count" => Unmapped::Count,
        _ => Unmapped::Drop,
    });
    let profile = args.profile.clone().unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    let mut engine = build(&files, View { profile: Some(profile), options: Options { unmapped, ..Options::default() } })?;
    if let Some(path) = &args.redaction {
        mapping_files::redact(&mut engine, path)?;
    }
    let read = |path: &Option<PathBuf>| -> Result<Option<Vec<u8>>, Failure> {
        path.as_ref().map(|path| fs::read(path).map_err(|fault| Failure::io(path.display(), &fault))).transpose()
    };
    let databases = Databases::new(read(&args.geo_city)?, read(&args.geo_asn)?).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::config(lines.join("\n"))
    })?;
    Ok(Prepared { engine: Arc::new(engine), databases: Arc::new(databases) })
}

/// Compiles the mappings for one view; prints what is wrong with them.
fn build(files: &Files, view: View) -> Result<Engine, Failure> {
    match Engine::build(files, &[view], Settings::default()) {
        Ok((engine, _warnings)) => Ok(engine),
        Err(faults) => {
            anstream::eprint!("{}", mapping::render(&faults, files, std::io::stderr().is_terminal()));
            Err(Failure::config("the mappings have faults; nothing was read"))
        }
    }
}

impl Prepared {
    /// One mill a thread.
    pub fn mills(&self, threads: usize) -> Vec<Mill> {
        (0..threads).map(|_| self.mill()).collect()
    }

    /// One mill.
    pub fn mill(&self) -> Mill {
        Mill {
            engine: Arc::clone(&self.engine),
            worker: self.worker(),
            outcomes: Outcomes::default(),
            counts: Vec::new(),
            tally: Tally::default(),
            window: None,
        }
    }

    /// A worker with caches of its own.
    pub fn worker(&self) -> Worker {
        // The standard library's keys are random; nothing but speed may depend on them.
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Worker::new(self.engine.limits(), Enrichers::new(Arc::clone(&self.databases), Sizes::default(), seed))
    }
}

/// The engine behind replay: one worker, its outcomes, its counts.
pub struct Mill {
    engine: Arc<Engine>,
    worker: Worker,
    outcomes: Outcomes,
    /// By the mapping's number.
    counts: Vec<PlanCounts>,
    tally: Tally,
    /// The ids of the last events, when repeats are left out.
    window: Option<Window>,
}

impl Mill {
    /// The same mill, which from now on leaves out events whose id is one of the last `ids`.
    pub fn without_repeats(self, ids: usize) -> Mill {
        Mill { window: Some(Window::new(ids)), ..self }
    }
}

/// Counts of one mapping, by number; names come in when they are told.
#[derive(Default)]
struct PlanCounts {
    name: String,
    parts: u64,
    fallbacks: u64,
    event_types: Vec<(String, u64)>,
    /// By the number of the tag's line.
    tags: Vec<(String, u64)>,
}

impl PlanCounts {
    fn of(plan: &Plan) -> PlanCounts {
        let profile = if plan.profile == "default" { String::new() } else { format!("@{}", plan.profile) };
        PlanCounts {
            name: format!("{}{profile}", plan.name),
            event_types: plan.types.iter().map(|name| (name.clone(), 0)).collect(),
            tags: plan.tag_lines().iter().map(|line| (line.name.clone(), 0)).collect(),
            ..PlanCounts::default()
        }
    }
}

fn count(counts: &mut Counts, name: &str) {
    // A name is only copied when it is new.
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

impl pipeline::Mill for Mill {
    fn process(&mut self, bytes: &[u8], received_ms: Option<i64>, events: &mut Vec<u8>, rejects: &mut Vec<DeadLetter>) {
        let message = Message { received: received_ms.map(Timestamp), ..Message::new(bytes) };
        self.engine.process(&mut self.worker, message, &mut self.outcomes);
        let outcomes = &self.outcomes;
        let tally = &mut self.tally;
        let written = events.len();
        tally.messages += 1;
        tally.bytes_in += bytes.len() as u64;
        tally.records += u64::from(outcomes.records);
        tally.parts += outcomes.parts.len() as u64;
        let mut last_rejected = None;
        for part in &outcomes.parts {
            let mut counted = None;
            if let Some(plan) = self.engine.plan(part) {
                let at = part.mapping as usize;
                if self.counts.len() <= at {
                    self.counts.resize_with(at + 1, PlanCounts::default);
                }
                let counts = &mut self.counts[at];
                if counts.name.is_empty() {
                    *counts = PlanCounts::of(plan);
                }
                counts.parts += 1;
                counted = Some(counts);
            }
            for note in &outcomes.notes[part.notes.clone()] {
                count(&mut tally.notes, note.code);
            }
            match &part.outcome {
                Outcome::Emit { id, .. }
                    if self.window.as_mut().is_some_and(|window| {
                        // Inputs of more messages than this are not read in a lifetime.
                        let message = i64::try_from(tally.messages).unwrap_or(i64::MAX);
                        window.is_repeat(outcomes.text(id).as_bytes(), (message, part.finding))
                    }) =>
                {
                    tally.skipped += 1;
                    count(&mut tally.skips, REPEAT);
                }
                Outcome::Emit { event, event_type, fallback, tags, .. } => {
                    tally.emitted += 1;
                    events.extend_from_slice(&outcomes.events[event.clone()]);
                    events.push(b'\n');
                    if let Some(counts) = counted {
                        counts.event_types[*event_type as usize].1 += 1;
                        counts.fallbacks += u64::from(*fallback);
                        for line in self.engine.plan(part).map_or(&[][..], |plan| plan.tag_numbers(*tags)) {
                            counts.tags[*line as usize].1 += 1;
                        }
                    }
                }
                Outcome::Skip { reason } => {
                    tally.skipped += 1;
                    count(&mut tally.skips, outcomes.text(reason));
                }
                Outcome::Reject(reject) => {
                    tally.rejected += 1;
                    count(&mut tally.rejects, reject.code);
                    // One dead letter a record, also when several of its parts are rejected.
                    if last_rejected == Some(part.finding) {
                        continue;
                    }
                    last_rejected = Some(part.finding);
                    // A panic is about the whole message.
                    let own = if reject.stage == Stage::Panic {
                        None
                    } else {
                        self.engine.letter(&mut self.worker, bytes, part.finding, Whose::Found)
                    };
                    let value = own.unwrap_or_else(|| self.engine.whole_letter(&mut self.worker, bytes, Whose::Found));
                    rejects.push(DeadLetter {
                        stage: reject.stage.name().to_owned(),
                        code: reject.code.to_owned(),
                        path: reject.path.clone(),
                        detail: reject.detail.clone(),
                        value,
                        ..DeadLetter::default()
                    });
                }
            }
        }
        tally.bytes_out += (events.len() - written) as u64;
    }

    fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        for counts in self.counts.iter().filter(|counts| counts.parts > 0) {
            *tally.mappings.entry(counts.name.clone()).or_default() += counts.parts;
            if counts.fallbacks > 0 {
                *tally.fallbacks.entry(counts.name.clone()).or_default() += counts.fallbacks;
            }
            for (name, count) in counts.tags.iter().filter(|(_, count)| *count > 0) {
                *tally.tags.entry(name.clone()).or_default() += count;
            }
            for (name, count) in counts.event_types.iter().filter(|(_, count)| *count > 0) {
                *tally.event_types.entry(name.clone()).or_default() += count;
            }
        }
        tally
    }
}
