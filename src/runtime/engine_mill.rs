//! The engine as the workers use it: one view an output needs, one engine for all, swapped whole on a reload.
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::blackout::blackout;
use super::counts::{Counts, Labels};
use super::mill::{MessageIn, Mill, MilledMessage, MilledReject, Mills};
use super::route::{Fate, Known, NO_OUTPUT, OTHER_OUTPUT, Router, numbers};
use super::window::REPEAT;
use crate::config::{Emit, Settings, Unrouted};
use crate::engine::site::{SiteRules, Whose};
use crate::engine::{Engine, Message, NO_MAPPING, Outcome, Outcomes, Stage, Timestamp, View, Worker};
use crate::enrich::{Databases, Enrichers, Sizes};
use crate::mapping::compile::Options;
use crate::mapping::{self, Files};
use crate::plan::Unmapped;
use crate::telemetry::{Drift, DriftEntry, Outcome as Counted, Tally};

/// What the engine is built from; read by the shell.
pub struct Inputs {
    /// The mappings, built-in and the site's.
    pub files: Files,
    /// The databases, in memory.
    pub databases: Arc<Databases>,
    /// What the site does not let out.
    pub site: Option<SiteRules>,
}

/// Reads the inputs, at the start and at every reload.
pub type Load = Box<dyn Fn() -> Result<Inputs, Vec<String>> + Send + Sync>;

/// Everything the mills share, replaced as a whole.
struct Loaded {
    engine: Engine,
    databases: Arc<Databases>,
    /// Mapping numbers by topic.
    pins: HashMap<String, u16>,
    /// By view, then by mapping number.
    labels: Vec<Vec<Labels>>,
    /// What these mappings do not know.
    drift: Arc<Drift>,
}

/// The engine behind `udmill run`.
pub struct EngineMills {
    current: Arc<ArcSwap<Loaded>>,
    views: Vec<View>,
    router: Arc<Router>,
    /// Name and text of the settings, when they choose events.
    chooser: Option<(String, String)>,
    /// An output gets messages as they came.
    has_raw: bool,
    pins: Vec<(String, String)>,
    load: Load,
    /// For questions outside the workers' flow.
    aside: Mutex<Option<(usize, Worker)>>,
}

impl EngineMills {
    /// Reads and compiles everything.
    ///
    /// # Errors
    ///
    /// All faults, a line or diagnostic each.
    pub fn new(settings: &Settings, load: Load) -> Result<EngineMills, Vec<String>> {
        let mut views: Vec<View> = Vec::new();
        let mut outputs: Vec<Vec<u16>> = Vec::new();
        let mut keys = Vec::new();
        // A raw output passes messages on as they came; without any other there is no view, and nothing is mapped.
        for (index, output) in settings.output.iter().enumerate().filter(|(_, output)| output.emit == Emit::Udm) {
            // Outputs that want the same events share a view, so records are mapped once for all of them.
            let key = (&output.profile, &output.omit, &output.unmapped);
            let at = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                let unmapped = output.unmapped.as_deref().map(|word| match word {
                    "keep" => Unmapped::Keep,
                    "count" => Unmapped::Count,
                    _ => Unmapped::Drop,
                });
                views.push(View { profile: output.profile.clone(), options: Options { omit: output.omit.clone(), unmapped } });
                outputs.push(Vec::new());
                views.len() - 1
            });
            outputs[at].push(index as u16);
        }
        let pins: Vec<(String, String)> = settings
            .source
            .kafka
            .iter()
            .flat_map(|source| source.pin.clone())
            .chain(settings.source.eventhubs.iter().flat_map(|source| source.pin.clone()))
            .collect();
        let chooser = settings.has_choices().then(|| settings.written.clone());
        let loaded = build(&load, &views, &pins, chooser.as_ref())?;
        Ok(EngineMills {
            current: Arc::new(ArcSwap::from_pointee(loaded)),
            views,
            router: Arc::new(Router::new(&settings.output, &outputs, settings.run.unrouted)),
            chooser,
            has_raw: settings.output.iter().any(|output| output.emit == Emit::Raw),
            pins,
            load,
            aside: Mutex::new(None),
        })
    }
}

impl EngineMills {
    /// Asks the engine with a worker that no thread has.
    fn aside<T>(&self, ask: impl FnOnce(&Loaded, &mut Worker) -> Option<T>) -> Option<T> {
        let loaded = self.current.load();
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = Arc::as_ptr(&loaded) as usize;
        if aside.as_ref().is_none_or(|(of, _)| *of != identity) {
            *aside = Some((identity, loaded.worker()));
        }
        let (_, worker) = aside.as_mut()?;
        ask(&loaded, worker)
    }
}

fn build(load: &Load, views: &[View], pins: &[(String, String)], chooser: Option<&(String, String)>) -> Result<Loaded, Vec<String>> {
    let Inputs { mut files, databases, site } = load()?;
    if let Some((name, text)) = chooser {
        files.add_chooser(name, text, true);
    }
    let mut faults = Vec::new();
    for profile in views.iter().filter_map(|view| view.profile.as_ref()) {
        if !mapping::list(&files).iter().any(|name| mapping::profiles(&files, name).contains(profile)) {
            faults.push(format!("an output wants the profile `{profile}`, which no mapping has"));
        }
    }
    let (mut engine, warnings) = match Engine::build(&files, views, crate::engine::Settings::default()) {
        Ok(built) => built,
        Err(found) => {
            faults.push(mapping::render(&found, &files, false));
            return Err(faults);
        }
    };
    if !warnings.is_empty() {
        tracing::warn!(count = warnings.len(), "the mappings have warnings; `udmill check` lists them");
    }
    if let Some(found) = site.and_then(|rules| engine.redact_site(&rules).err()) {
        faults.extend(found);
    }
    let mut numbers = HashMap::new();
    for (topic, name) in pins {
        match engine.mapping(name) {
            Some(number) => {
                numbers.insert(topic.clone(), number);
            }
            None => faults.push(format!("`source.kafka.pin` gives topic `{topic}` the mapping `{name}`, which does not exist")),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let of_view = |view| {
        let labels = engine.plans(view).map(|plan| Labels {
            name: Arc::from(plan.name.as_str()),
            versioned: format!("{}@{}", plan.name, plan.version),
            log_type: plan.log_type.clone(),
            types: plan.types.iter().map(|name| Arc::from(name.as_str())).collect(),
            tags: plan.tag_lines().iter().map(|line| Arc::from(line.name.as_str())).collect(),
        });
        labels.collect()
    };
    let labels = (0..views.len()).map(of_view).collect();
    Ok(Loaded { engine, databases, pins: numbers, labels, drift: Arc::default() })
}

impl Loaded {
    /// Whose paths are meant for a body of which only the bytes are known.
    fn whose_aside(&self) -> Whose {
        if self.pins.is_empty() { Whose::Found } else { Whose::Anyone }
    }

    fn worker(&self) -> Worker {
        // Nothing but speed may depend on the hashers' keys; they are random so that nobody can choose texts that collide.
        let seed = RandomState::new().hash_one(0u8);
        let mut worker = Worker::new(self.engine.limits(), Enrichers::new(Arc::clone(&self.databases), Sizes::default(), seed));
        worker.watch_drift();
        worker
    }
}

impl Mills for EngineMills {
    fn mill(&self, _: usize) -> Box<dyn Mill> {
        let loaded = self.current.load_full();
        Box::new(EngineMill {
            worker: loaded.worker(),
            loaded,
            current: Arc::clone(&self.current),
            router: Arc::clone(&self.router),
            has_raw: self.has_raw,
            outcomes: Outcomes::default(),
            rejected: Vec::new(),
            reasons: HashMap::new(),
            nothing: Arc::from(""),
            repeat: Arc::from(REPEAT),
            other_output: Arc::from(OTHER_OUTPUT),
            no_output: Arc::from(NO_OUTPUT),
            caches: [(0, 0); 2],
            drift: Vec::new(),
            counts: Counts::default(),
        })
    }

    fn drift(&self) -> Arc<Drift> {
        Arc::clone(&self.current.load().drift)
    }

    fn cut(&self, body: &[u8], index: u32) -> Option<Vec<u8>> {
        self.aside(|loaded, worker| loaded.engine.letter(worker, body, index, loaded.whose_aside()))
    }

    fn outgoing(&self, body: &[u8], is_letter: bool) -> Option<Vec<u8>> {
        if !self.current.load().engine.redacts() {
            return None;
        }
        self.aside(|loaded, worker| match is_letter {
            true => Some(loaded.engine.whole_letter(worker, body, loaded.whose_aside())),
            false => loaded.engine.raw_copy(worker, body, loaded.whose_aside()),
        })
    }

    fn redact(&self, bytes: &[u8]) -> Vec<u8> {
        let bytes = blackout(bytes);
        let mut out = Vec::new();
        if self.current.load().engine.redactor().redact(&bytes, &mut out) { out } else { bytes }
    }

    fn tags(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let loaded = self.current.load();
        let labels = loaded.labels.iter().flatten();
        labels.flat_map(|labels| labels.tags.iter().map(|tag| (Arc::clone(&labels.name), Arc::clone(tag)))).collect()
    }

    fn reload(&self) -> Result<(), Vec<String>> {
        let loaded = build(&self.load, &self.views, &self.pins, self.chooser.as_ref())?;
        self.current.store(Arc::new(loaded));
        Ok(())
    }
}

/// One worker of the engine.
struct EngineMill {
    loaded: Arc<Loaded>,
    current: Arc<ArcSwap<Loaded>>,
    worker: Worker,
    router: Arc<Router>,
    has_raw: bool,
    outcomes: Outcomes,
    /// Findings that were rejected in this message, with what is known of them.
    rejected: Vec<(u32, MilledReject)>,
    /// Skip reasons seen, as labels.
    reasons: HashMap<String, Arc<str>>,
    nothing: Arc<str>,
    repeat: Arc<str>,
    other_output: Arc<str>,
    no_output: Arc<str>,
    /// Hits and misses counted so far: user agents, addresses.
    caches: [(u64, u64); 2],
    /// Entries of paths that no mapping knows, by the worker's number of the path: `None` until it is asked for, then the entry or none
    /// beyond the limit.
    drift: Vec<Option<Option<Arc<DriftEntry>>>>,
    /// Of events, until [`Mill::count`].
    counts: Counts,
}

impl Mill for EngineMill {
    fn process(&mut self, message: MessageIn<'_>, out: &mut MilledMessage) {
        let current = self.current.load();
        if !Arc::ptr_eq(&current, &self.loaded) {
            self.count(&mut out.tally);
            self.loaded = Arc::clone(&current);
            self.worker = self.loaded.worker();
            self.caches = [(0, 0); 2];
            self.drift.clear();
        }
        // No counted pointer: all workers would write the same count for every message.
        let loaded = &*self.loaded;
        let pin = loaded.pins.get(message.topic).copied();
        let whose = pin.map_or(Whose::Found, Whose::Pinned);
        if self.has_raw {
            out.raw = loaded.engine.raw_copy(&mut self.worker, message.bytes, whose);
        }
        if self.router.is_idle() {
            return;
        }
        let received = message.received_ms.map(Timestamp);
        loaded.engine.process(&mut self.worker, Message { body: message.bytes, received, pin }, &mut self.outcomes);
        out.tally.records += u64::from(self.outcomes.records);
        self.rejected.clear();
        let mut bytes_in = message.bytes.len() as u64;
        let mut known = Known::default();
        for part in &self.outcomes.parts {
            let labels = loaded.labels.get(usize::from(part.view)).and_then(|view| view.get(usize::from(part.mapping)));
            let name = labels.filter(|_| part.mapping != NO_MAPPING).map_or(&self.nothing, |labels| &labels.name);
            // The whole message is counted for the mapping of its first part: messages of several mappings are rare.
            match std::mem::take(&mut bytes_in) {
                0 => {}
                bytes if labels.is_some() && part.mapping != NO_MAPPING => self.counts.of(part.view, part.mapping).bytes_in += bytes,
                bytes => out.tally.bytes.entry(Arc::clone(name)).or_default().0 += bytes,
            }
            for note in self.outcomes.notes.get(part.notes.clone()).unwrap_or_default() {
                *out.tally.notes.entry((Arc::clone(name), note.code)).or_default() += 1;
            }
            match &part.outcome {
                Outcome::Emit { event, id, event_type, fallback, tags, .. } => {
                    let Some(labels) = labels else { continue };
                    let key = self.outcomes.text(id).as_bytes();
                    let takers = match self.router.fate(&self.outcomes, part, &mut known) {
                        Fate::Taken(_) if message.seen.is_some_and(|seen| seen.is_repeat(key, part.finding)) => {
                            out.tally.parts(name, Counted::Skipped, &self.repeat, 1);
                            continue;
                        }
                        Fate::Taken(takers) => takers,
                        Fate::TakenElsewhere => {
                            out.tally.parts(name, Counted::Skipped, &self.other_output, 1);
                            continue;
                        }
                        Fate::Unrouted if self.router.unrouted == Unrouted::Count => {
                            out.tally.parts(name, Counted::Skipped, &self.no_output, 1);
                            continue;
                        }
                        Fate::Unrouted => {
                            out.tally.parts(name, Counted::Rejected, &self.no_output, 1);
                            if self.rejected.last().is_none_or(|(finding, _)| *finding != part.finding) {
                                let event_type = labels.types.get(*event_type as usize).map_or("", |name| name);
                                self.rejected.push((part.finding, unrouted(part.finding, &labels.name, event_type)));
                            }
                            continue;
                        }
                    };
                    let value = &self.outcomes.events[event.clone()];
                    let counts = self.counts.of(part.view, part.mapping);
                    counts.event(*event_type as usize, *fallback, value);
                    if let Some(plan) = loaded.engine.plan(part).filter(|_| !tags.is_empty()) {
                        plan.tag_numbers(*tags).iter().for_each(|line| counts.tag(*line as usize));
                    }
                    for output in numbers(takers) {
                        counts.bytes_out += value.len() as u64;
                        let mut event = out.event(output, part.finding, key, &labels.log_type, &labels.versioned);
                        event.value().extend_from_slice(value);
                        event.finish();
                    }
                }
                Outcome::Skip { reason } => {
                    let reason = self.outcomes.text(reason);
                    if !self.reasons.contains_key(reason) {
                        self.reasons.insert(reason.to_owned(), Arc::from(reason));
                    }
                    out.tally.parts(name, Counted::Skipped, &self.reasons[reason], 1);
                }
                Outcome::Reject(reject) => {
                    let code = self.reasons.entry(reject.code.to_owned()).or_insert_with(|| Arc::from(reject.code));
                    out.tally.parts(name, Counted::Rejected, code, 1);
                    if self.rejected.last().is_some_and(|(finding, _)| *finding == part.finding) {
                        continue;
                    }
                    let rejected = MilledReject {
                        record: (reject.stage != Stage::Panic).then_some(part.finding),
                        stage: reject.stage.name(),
                        code: reject.code,
                        path: reject.path.clone(),
                        detail: reject.detail.clone(),
                        bytes: None,
                    };
                    self.rejected.push((part.finding, rejected));
                }
            }
        }
        if !self.rejected.is_empty() {
            let rejected = &mut self.rejected;
            loaded.engine.letter_each(&mut self.worker, message.bytes, whose, |finding, bytes| {
                // Both run in the order of the body.
                if let Ok(at) = rejected.binary_search_by_key(&finding, |(finding, _)| *finding) {
                    rejected[at].1.bytes = Some(bytes.to_vec());
                }
            });
            for (_, reject) in self.rejected.drain(..) {
                out.reject(reject);
            }
        }
        self.count_drift(out);
    }

    fn count(&mut self, tally: &mut Tally) {
        self.counts.hand_over(&self.loaded.labels, tally);
        self.count_caches(tally);
    }
}

/// The record of an event that no output takes.
fn unrouted(record: u32, mapping: &str, event_type: &str) -> MilledReject {
    let detail = format!("no output takes a {event_type} of `{mapping}`; give one a `take` that fits, or none");
    MilledReject { record: Some(record), stage: "route", code: "no_output", path: String::new(), detail, bytes: None }
}

impl EngineMill {
    fn count_drift(&mut self, out: &mut MilledMessage) {
        let Some(watch) = self.worker.drift() else { return };
        let (loaded, entries) = (&self.loaded, &mut self.drift);
        watch.take(|number, path, values| {
            let Some(labels) = loaded.labels.first().and_then(|view| view.get(usize::from(path.mapping))) else { return };
            *out.tally.drift.entry(Arc::clone(&labels.name)).or_default() += values;
            if entries.len() <= number {
                entries.resize(number + 1, None);
            }
            let entry = entries[number]
                .get_or_insert_with(|| loaded.drift.entry(&labels.name, &path.path, path.kind, jiff::Timestamp::now().as_second()));
            match entry {
                Some(entry) => entry.add(values),
                None => loaded.drift.add_beyond(values),
            }
        });
        let beyond = watch.take_beyond();
        if beyond > 0 {
            loaded.drift.add_beyond(beyond);
        }
    }

    fn count_caches(&mut self, tally: &mut Tally) {
        let enrichers = self.worker.enrichers();
        let now = [("user_agent", enrichers.agent_counts()), ("geo", enrichers.address_counts())];
        for ((name, counts), before) in now.into_iter().zip(&mut self.caches) {
            let (hits, misses) = (counts.hits - before.0, counts.misses - before.1);
            if hits + misses > 0 {
                let tally = tally.caches.entry(name).or_default();
                tally.0 += hits;
                tally.1 += misses;
                *before = (counts.hits, counts.misses);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = "[source.kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\ntopics = [\"in\"]\n[[output]]\nname = \"a\"\ntopic = \"ta\"\nprofile = \"documented\"\n[[output]]\nname = \"b\"\ntopic = \"tb\"\nprofile = \"typed\"\n[[output]]\nname = \"c\"\ntopic = \"tc\"\nprofile = \"typed\"\n[dead_letter]\ntopic = \"dead\"\n";

    fn mills(text: &str) -> Result<EngineMills, Vec<String>> {
        let settings = Settings::read("x.toml", text).expect("no faults");
        EngineMills::new(&settings, Box::new(|| Ok(Inputs { files: mapping::built_in(), databases: Arc::default(), site: None })))
    }

    #[test]
    fn paths_that_no_mapping_knows_are_counted_until_a_reload() {
        let mills = mills(SETTINGS).expect("built-in mappings");
        let mut mill = mills.mill(0);
        let mut out = MilledMessage::default();
        let record = |more: &str| format!(r#"{{"id":"audit_log-1","type":"login.succeeded","effective_at":1767225600{more}}}"#);
        let news = record(r#","brand_new":{"list":[{"a":1},{"a":2}],"sk-proj-Canary0123456789abcdefghij":true}"#);
        for _ in 0..3 {
            mill.process(MessageIn { topic: "in", bytes: news.as_bytes(), received_ms: None, seen: None }, &mut out);
        }
        let shown: serde_json::Value = serde_json::from_str(&mills.drift().json()).expect("JSON");
        let paths: Vec<_> =
            shown["paths"].as_array().expect("a list").iter().map(|one| (&one["path"], &one["type"], &one["values"])).collect();
        let json = |value: &str| serde_json::Value::from(value);
        assert_eq!(
            paths,
            [
                (&json("brand_new.list.*.a"), &json("number"), &6.into()),
                (&json("brand_new.[redacted:api_key]"), &json("boolean"), &3.into())
            ]
        );
        assert_eq!(out.tally.drift, HashMap::from([(Arc::from("openai/audit"), 9)]));
        mills.reload().expect("the same mappings");
        mill.process(MessageIn { topic: "in", bytes: record("").as_bytes(), received_ms: None, seen: None }, &mut out);
        assert_eq!(mills.drift().json(), r#"{"paths":[],"values_beyond_limit":0}"#);
        mill.process(MessageIn { topic: "in", bytes: news.as_bytes(), received_ms: None, seen: None }, &mut out);
        assert!(mills.drift().json().contains("brand_new.list"));
    }

    #[test]
    fn every_output_gets_its_view_and_a_record_one_letter() {
        let mills = mills(SETTINGS).expect("built-in mappings");
        let mut mill = mills.mill(0);
        let mut out = MilledMessage::default();
        let good = r#"{"id":"audit_log-1","type":"login.succeeded","effective_at":1767225600,"actor":{"type":"session"}}"#;
        let body = format!("[{good},{{\"nobody\":\"knows\"}},{good}]");
        mill.process(MessageIn { topic: "in", bytes: body.as_bytes(), received_ms: None, seen: None }, &mut out);
        let outputs: Vec<u16> = out.events().iter().map(|event| event.output).collect();
        assert_eq!(outputs, [0, 1, 2, 0, 1, 2]);
        assert!(out.events().iter().all(|event| out.key(event) == b"audit_log-1" && out.log_type(event) == b"OPENAI_AUDITLOG"));
        let letters: Vec<_> = out.rejects().iter().map(|reject| (reject.code, reject.bytes.as_deref())).collect();
        assert_eq!(letters, [("time_missing", Some(&br#"{"nobody":"knows"}"#[..]))]);
        assert_eq!(mills.cut(body.as_bytes(), 1).as_deref(), Some(&br#"{"nobody":"knows"}"#[..]));
        mill.count(&mut out.tally);
        assert_eq!((out.tally.parts_of(Counted::Emitted), out.tally.parts_of(Counted::Rejected)), (4, 2), "each view rejects it");
        let allowed: u64 = out.tally.actions.iter().filter(|((_, action), _)| *action == "ALLOW").map(|(_, count)| count).sum();
        assert_eq!(allowed, 2, "two logins of the typed view");
        mills.reload().expect("the same files");
        out.clear();
        mill.process(MessageIn { topic: "in", bytes: good.as_bytes(), received_ms: None, seen: None }, &mut out);
        assert_eq!(out.events().len(), 3, "after a reload");
    }

    /// Events by output and id, dead letters by stage and code, counts of what was not emitted.
    type Routed = (Vec<(u16, String)>, Vec<String>, Vec<(&'static str, String, u64)>);

    /// What outputs get of two logins, a dangerous change and a record of no mapping, and what was counted as not emitted.
    fn routed(more: &str, outputs: &str) -> Routed {
        let head = SETTINGS.split("[[output]]").next().unwrap_or_default();
        let mills = mills(&format!("{more}{head}{outputs}[dead_letter]\ntopic = \"dead\"\n"))
            .unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
        let mut mill = mills.mill(0);
        let mut out = MilledMessage::default();
        let record = |id: u32, kind: &str, address: &str| {
            format!(
                r#"{{"id":"audit_log-{id}","type":"{kind}","effective_at":1767225600,"object":"organization.audit_log","actor":{{"type":"session","session":{{"user":{{"id":"u","email":"u@example.com"}},"ip_address":"{address}"}}}}}}"#
            )
        };
        let records = [
            record(1, "login.succeeded", "192.0.2.1"),
            record(2, "scim.disabled", "192.0.2.2"),
            record(3, "login.succeeded", "198.51.100.3"),
            record(1, "login.succeeded", "192.0.2.1"),
        ];
        let window = Mutex::new(super::super::window::Window::new(10));
        let is_deduped = more.contains("dedupe");
        for (offset, body) in (0..).zip(&records) {
            let seen = is_deduped.then_some(super::super::mill::Seen { window: &window, offset });
            let before = (out.events().len(), out.rejects().len());
            mill.process(MessageIn { topic: "in", bytes: body.as_bytes(), received_ms: None, seen }, &mut out);
            assert!(out.events().len() >= before.0 && out.rejects().len() >= before.1);
        }
        let events = out.events().iter().map(|event| (event.output, String::from_utf8_lossy(out.key(event)).into_owned())).collect();
        let letters = out.rejects().iter().map(|reject| format!("{}/{}", reject.stage, reject.code)).collect();
        let mut counts: Vec<_> = out
            .tally
            .parts
            .iter()
            .filter(|((_, outcome, _), _)| *outcome != Counted::Emitted)
            .map(|((_, outcome, code), count)| (outcome.name(), code.to_string(), *count))
            .collect();
        counts.sort();
        (events, letters, counts)
    }

    #[test]
    fn events_go_where_outputs_take_them() {
        let output = |name: &str, rest: &str| format!("[[output]]\nname = \"{name}\"\ntopic = \"{name}\"\nprofile = \"typed\"\n{rest}\n");
        let ids = |events: &[(u16, &str)]| events.iter().map(|(output, id)| (*output, format!("audit_log-{id}"))).collect::<Vec<_>>();
        let plain = output("a", "");
        for (name, more, outputs, events, letters, counts) in [
            (
                "by event type and by tag; the first takes all",
                "",
                format!(
                    "{plain}{}{}",
                    output("b", "take = [ { event_types = [\"USER_LOGIN\"] } ]"),
                    output("c", "take = [ { tags = [\"openai_scim*\"] } ]")
                ),
                ids(&[(0, "1"), (1, "1"), (0, "2"), (2, "2"), (0, "3"), (1, "3"), (0, "1"), (1, "1")]),
                vec![],
                vec![],
            ),
            (
                "by mapping and condition, several alternatives",
                "",
                format!(
                    "{}{plain}",
                    output(
                        "b",
                        "take = [ { mappings = [\"azure/*\"] }, { mappings = [\"openai/*\"], when = { record_prefix = { \"actor.session.ip_address\" = \"198.51.\" } } } ]"
                    )
                ),
                ids(&[(1, "1"), (1, "2"), (0, "3"), (1, "3"), (1, "1")]),
                vec![],
                vec![],
            ),
            (
                "what the rows have built",
                "",
                format!(
                    "{}{plain}",
                    output("b", "take = [ { event_types = [\"USER_LOGIN\"], when = { event_has = \"principal.user.email_addresses\" } } ]")
                ),
                ids(&[(0, "1"), (1, "1"), (1, "2"), (0, "3"), (1, "3"), (0, "1"), (1, "1")]),
                vec![],
                vec![],
            ),
            (
                "nobody takes it: the record is a dead letter",
                "",
                output("b", "take = [ { event_types = [\"USER_LOGIN\"] } ]"),
                ids(&[(0, "1"), (0, "3"), (0, "1")]),
                vec!["route/no_output".to_owned()],
                vec![("rejected", "no_output".to_owned(), 1)],
            ),
            (
                "or it is counted",
                "[run]\nunrouted = \"count\"\n",
                output("b", "take = [ { event_types = [\"USER_LOGIN\"] } ]"),
                ids(&[(0, "1"), (0, "3"), (0, "1")]),
                vec![],
                vec![("skipped", "no_output".to_owned(), 1)],
            ),
            (
                "another profile's event of the record is taken",
                "",
                format!(
                    "{}{}",
                    output("b", "take = [ { event_types = [\"USER_LOGIN\"] } ]"),
                    output("d", "").replace("typed", "documented")
                ),
                ids(&[(0, "1"), (1, "1"), (1, "2"), (0, "3"), (1, "3"), (0, "1"), (1, "1")]),
                vec![],
                vec![("skipped", "other_output".to_owned(), 1)],
            ),
            (
                "filters: the record alone, and what it became",
                "[[filter]]\nname = \"inside\"\nwhen = { record_equals = { \"actor.session.ip_address\" = \"192.0.2.2\" } }\n[[filter]]\nname = \"logins\"\nevent_types = [\"USER_LOGIN\"]\nwhen = { record_suffix = { id = \"-3\" } }\n",
                plain.clone(),
                ids(&[(0, "1"), (0, "1")]),
                vec![],
                vec![("skipped", "inside".to_owned(), 1), ("skipped", "logins".to_owned(), 1)],
            ),
            (
                "repeats: under two profiles each once",
                "[run]\ndedupe = \"window\"\n",
                format!("{plain}{}", output("d", "").replace("typed", "documented")),
                ids(&[(1, "1"), (0, "1"), (1, "2"), (0, "2"), (1, "3"), (0, "3")]),
                vec![],
                vec![("skipped", "repeat".to_owned(), 2)],
            ),
        ] {
            let found = routed(more, &outputs);
            let mut expected = events;
            let mut seen = found.0;
            // Which view is written first does not matter here.
            expected.sort();
            seen.sort();
            assert_eq!((seen, found.1, found.2), (expected, letters, counts), "case: {name}");
        }
    }

    #[test]
    fn what_routes_and_filters_cannot_mean_is_told_at_once() {
        let text = SETTINGS.replace("[dead_letter]", "take = [ { mappings = [\"azur/*\"], event_types = [\"USER_LOGINN\"], when = { record_haz = \"a\" } }, { tags = [\"no_such_tag\"] } ]\n[[filter]]\nname = \"Probes\"\nwhen = { record_has = \"$operation\" }\n[[filter]]\nname = \"all\"\n[dead_letter]");
        let faults = mills(&text).err().expect("faults").join("\n");
        for part in [
            "azur/*",
            "USER_LOGINN",
            "record_haz",
            "no_such_tag",
            "`Probes` is no name",
            "say with `mappings`",
            "fits every event",
            "x.toml:",
        ] {
            assert!(faults.contains(part), "`{part}` in:\n{faults}");
        }
    }

    #[test]
    fn tags_are_counted_by_mapping_and_known_before_the_first() {
        let mills = mills(SETTINGS).expect("built-in mappings");
        let known = mills.tags();
        assert!(known.iter().any(|(mapping, tag)| &**mapping == "openai/audit" && &**tag == "openai_scim_off"), "{known:?}");
        let mut mill = mills.mill(0);
        let mut out = MilledMessage::default();
        let risky = r#"{"id":"audit_log-1","type":"scim.disabled","effective_at":1767225600,"object":"organization.audit_log"}"#;
        let plain = r#"{"id":"audit_log-2","type":"login.succeeded","effective_at":1767225600,"object":"organization.audit_log"}"#;
        mill.process(MessageIn { topic: "in", bytes: format!("[{risky},{plain}]").as_bytes(), received_ms: None, seen: None }, &mut out);
        mill.count(&mut out.tally);
        let counted: Vec<_> = out.tally.tags.iter().map(|((mapping, tag), count)| (&**mapping, &**tag, *count)).collect();
        assert_eq!(counted, [("openai/audit", "openai_scim_off", 1)], "once: the documented view has no tags");
        assert!(counted.iter().all(|(mapping, tag, _)| known.iter().any(|(known, name)| &**known == *mapping && &**name == *tag)));
    }

    #[test]
    fn a_site_keeps_its_values_back_in_every_output() {
        let settings = Settings::read(
            "x.toml",
            &SETTINGS.replace("name = \"b\"\ntopic = \"tb\"\nprofile = \"typed\"", "name = \"b\"\ntopic = \"tb\"\nemit = \"raw\""),
        );
        let settings = settings.expect("no faults");
        let rule = crate::engine::site::SiteRule {
            paths: vec!["actor.session.ip_address".to_owned()],
            mappings: Vec::new(),
            action: crate::plan::site::Action::Mask,
        };
        let load = move || {
            let site = SiteRules { rules: vec![rule.clone()], ..SiteRules::default() };
            Ok(Inputs { files: mapping::built_in(), databases: Arc::default(), site: Some(site) })
        };
        let mills = EngineMills::new(&settings, Box::new(load)).expect("built-in mappings");
        let login = |more: &str| {
            format!(
                r#"{{"id":"audit_log-1","type":"login.succeeded"{more},"actor":{{"type":"session","session":{{"ip_address":"192.0.2.77"}}}}}}"#
            )
        };
        let broken = login(r#","x" "y""#);
        let body = format!("[{},{},{broken}]", login(r#","effective_at":1767225600"#), login(""));
        let mut mill = mills.mill(0);
        let mut out = MilledMessage::default();
        mill.process(MessageIn { topic: "in", bytes: body.as_bytes(), received_ms: None, seen: None }, &mut out);
        let mut told: Vec<u8> = out.events().iter().flat_map(|event| out.value(event).to_vec()).collect();
        assert_eq!((out.events().is_empty(), out.rejects().len()), (false, 2));
        told.extend(format!("{:?}", out.rejects()).into_bytes());
        out.rejects().iter().for_each(|reject| told.extend(reject.bytes.clone().expect("the mill has them at hand")));
        let raw = out.raw.clone().expect("an output takes messages as they came");
        assert_eq!(Some(&raw), mills.outgoing(body.as_bytes(), false).as_ref());
        assert!(raw.starts_with(b"{\"records\":[{\"id\"") && raw.windows(15).any(|text| text == b"udmill_withheld"));
        told.extend(raw);
        told.extend((0..3).flat_map(|record| mills.cut(body.as_bytes(), record).expect("it is there")));
        told.extend(mills.outgoing(body.as_bytes(), true).expect("letters are redacted"));
        let told = String::from_utf8_lossy(&told);
        assert!(!told.contains("192.0.2.77") && told.contains("[redacted:site]"), "{told}");
    }

    #[test]
    fn unknown_profiles_and_pins_are_faults() {
        let text = SETTINGS
            .replace("\"typed\"", "\"tipped\"")
            .replace("[[output]]\nname = \"a\"", "pin = { in = \"no/such\" }\n[[output]]\nname = \"a\"");
        let faults = mills(&text).err().expect("faults").join("\n");
        assert!(faults.contains("tipped") && faults.contains("no/such"), "{faults}");
    }
}
