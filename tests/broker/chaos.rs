//! Kills at random moments with the real command and the real engine: what is lost, what is repeated.
//!
//! The size comes from the environment, so that the same test is the short one of every run and the long one of `make chaos`:
//! `UDMILL_CHAOS_MESSAGES`, `_KILLS`, `_BROKER_RESTARTS` (only with a broker of its own), `_SEED`, `_SECONDS` (what it may take).
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::delivery::setup;
use crate::engine::{number_of, openai};
use crate::harness::{Broker, Case, committed, read_each, same, wait_for};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[("chaos::at_least_once", at_least_once), ("chaos::exactly_once", exactly_once)];

/// `name` of the environment as a number.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn at_least_once() -> Result<(), String> {
    let outcome = chaos("at-least-once", false)?;
    same("lost", outcome.lost, 0)?;
    same("repeats of what was committed before a kill", outcome.early, 0)?;
    same("left after removing repeats by product_log_id", outcome.distinct, outcome.messages)
}

fn exactly_once() -> Result<(), String> {
    let outcome = chaos("exactly-once", true)?;
    same("lost", outcome.lost, 0)?;
    same("duplicates, read committed", outcome.written - outcome.distinct, 0)
}

struct Outcome {
    messages: usize,
    /// Events a reader sees.
    written: usize,
    distinct: usize,
    lost: usize,
    /// Repeats of messages below an offset that was committed when the repeat was written. Says nothing with transactions: the ends of
    /// the output are then those a reader of committed messages sees, which stand still while a transaction is open.
    early: usize,
}

/// The same seed gives the same schedule.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64, written down from its definition.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// `kill -9`, and started again.
    Kill,
    /// SIGTERM: leaves the group and joins it again.
    Leave,
    /// The broker is killed and started again.
    Broker,
}

/// One step: after `wait_ms` do `blow` to process `victim`, which comes back after `away_ms`.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub wait_ms: u64,
    pub blow: Blow,
    pub victim: usize,
    pub away_ms: u64,
}

/// So many kills, a fifth as many leaves, and so many restarts of the broker, in the order that the seed gives.
pub fn schedule(kills: u64, restarts: u64, seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let mut blows = vec![Blow::Kill; kills as usize];
    blows.extend(vec![Blow::Leave; kills.div_ceil(5) as usize]);
    blows.extend(vec![Blow::Broker; restarts as usize]);
    for index in (1..blows.len()).rev() {
        blows.swap(index, dice.below(index as u64 + 1) as usize);
    }
    let step = |blow| Step { wait_ms: 300 + dice.below(2_500), blow, victim: dice.below(2) as usize, away_ms: dice.below(1_500) };
    blows.into_iter().map(step).collect()
}

/// What a kill left behind.
struct Mark {
    committed: BTreeMap<i32, i64>,
    output_ends: HashMap<i32, i64>,
}

fn ends(broker: &Broker, topic: &str) -> Result<HashMap<i32, i64>, String> {
    let probe: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &broker.plain).create().map_err(|error| error.to_string())?;
    let wait = Duration::from_secs(10);
    let metadata = probe.fetch_metadata(Some(topic), wait).map_err(|error| error.to_string())?;
    let partitions = metadata.topics().iter().flat_map(|one| one.partitions());
    partitions
        .map(|one| probe.fetch_watermarks(topic, one.id(), wait).map(|(_, high)| (one.id(), high)).map_err(|error| error.to_string()))
        .collect()
}

/// Writes numbered messages at an even pace; waits out broker restarts.
fn feed(servers: &str, topic: &str, messages: usize, seconds: f64, fed: &AtomicUsize) -> Result<(), String> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "10")
        .create()
        .map_err(|error| error.to_string())?;
    let began = Instant::now();
    for number in 0..messages {
        let due = Duration::from_secs_f64(seconds * number as f64 / messages as f64);
        while began.elapsed() < due {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let (text, key) = (openai(number), number.to_string());
        let mut record = BaseRecord::to(topic).key(&key).payload(&text);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::park_timeout(Duration::from_millis(20));
        }
        fed.store(number + 1, Ordering::Relaxed);
    }
    producer.flush(Duration::from_secs(180)).map_err(|error| error.to_string())
}

fn script(command: &str) -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/kafka.sh");
    let status = std::process::Command::new(path).arg(command).stderr(std::process::Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("`kafka.sh {command}` failed")) }
}

fn chaos(stem: &str, exactly_once: bool) -> Result<Outcome, String> {
    let messages = number("UDMILL_CHAOS_MESSAGES", 20_000) as usize;
    let (kills, restarts) = (number("UDMILL_CHAOS_KILLS", 5), number("UDMILL_CHAOS_BROKER_RESTARTS", 0));
    let seed = number("UDMILL_CHAOS_SEED", 20_260_101);
    let allowed = Duration::from_secs(number("UDMILL_CHAOS_SECONDS", 230));
    let began = Instant::now();
    let broker = Broker::get()?;
    let steps = schedule(kills, restarts, seed);
    eprintln!("{stem}: seed {seed}, {messages} messages, {kills} kills, {restarts} broker restarts");
    let mut clock = 0;
    for step in &steps {
        clock += step.wait_ms;
        eprintln!("{stem}: plan: at {clock} ms {:?} process {}, back after {} ms", step.blow, step.victim, step.away_ms);
        clock += step.away_ms;
    }
    let base = Setup {
        real: true,
        // The shortest session the broker allows; nothing static: every start is a new member.
        source_lines:
            "commit_interval_ms = 500\n[source.kafka.librdkafka]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"1000\""
                .to_owned(),
        ..setup(&broker, stem, 4)?
    };
    let mut starts = 0;
    let mut start = |victim: usize| {
        starts += 1;
        let mut one = base.clone();
        one.run = "in_flight_max_bytes = 4194304\ndrain_timeout_ms = 15000".to_owned();
        if exactly_once {
            one.run.push_str("\ndelivery = \"exactly_once\"\ntransaction_interval_ms = 400");
            // Both ways to clean up after a crash: the same name again, and the broker's timeout.
            if starts % 3 != 0 {
                one.run.push_str(&format!("\ninstance = \"slot-{victim}\""));
            }
            one.sections = "[sink.kafka.librdkafka]\n\"transaction.timeout.ms\" = \"6000\"\n".to_owned();
        }
        wait_for("a start", Duration::from_secs(60), || Process::start(&broker, &one).ok())
    };
    let mut processes = [Some(start(0)?), Some(start(1)?)];
    let fed = Arc::new(AtomicUsize::new(0));
    let feeder = {
        let (servers, topic, fed) = (broker.plain.clone(), base.source.clone(), Arc::clone(&fed));
        let seconds = clock as f64 / 1000.0 + steps.len() as f64;
        std::thread::spawn(move || feed(&servers, &topic, messages, seconds, &fed))
    };
    let output = base.outputs[0].1.clone();
    let mut marks = Vec::new();
    let mut died = 0;
    for step in &steps {
        std::thread::sleep(Duration::from_millis(step.wait_ms));
        let mut victim = processes[step.victim].take().ok_or("a slot is empty")?;
        if victim.ended().is_some() {
            died += 1;
            eprintln!("{stem}: process {} had ended by itself: {}", step.victim, victim.log().lines().last().unwrap_or_default());
        }
        match step.blow {
            Blow::Kill => {
                victim.kill()?;
                // First the offsets, then the ends: what is appended later and lies below these offsets was written twice.
                let committed = committed(&broker, &base.group, &base.source)?;
                marks.push(Mark { committed, output_ends: ends(&broker, &output)? });
                std::thread::sleep(Duration::from_millis(step.away_ms));
                processes[step.victim] = Some(start(step.victim)?);
            }
            Blow::Leave => {
                let code = victim.stop()?;
                if code != 0 {
                    eprintln!("{stem}: a stop ended with {code}");
                }
                std::thread::sleep(Duration::from_millis(step.away_ms));
                processes[step.victim] = Some(start(step.victim)?);
            }
            Blow::Broker => {
                processes[step.victim] = Some(victim);
                script("halt")?;
                std::thread::sleep(Duration::from_millis(step.away_ms));
                script("resume")?;
            }
        }
    }
    feeder.join().map_err(|_| "the feeder panicked")??;
    let mut last = String::new();
    wait_for("everything to be committed", allowed.saturating_sub(began.elapsed()).max(Duration::from_secs(30)), || {
        for (index, slot) in processes.iter_mut().enumerate() {
            if slot.as_mut().is_some_and(|process| process.ended().is_some()) {
                died += 1;
                *slot = start(index).ok();
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        let known = committed(&broker, &base.group, &base.source).ok()?;
        let ends = ends(&broker, &base.source).ok()?;
        last = format!("committed {known:?} of {ends:?}");
        ends.iter().all(|(partition, end)| *end == 0 || known.get(partition) == Some(end)).then_some(())
    })
    .map_err(|error| {
        let logs: Vec<String> = processes.iter().flatten().map(Process::log).collect();
        format!("{error}: {last}; logs:\n{}", logs.join("\n----\n"))
    })?;
    let mut aborted = 0.0;
    for process in processes.iter_mut().flatten() {
        aborted += process.metric("udmill_transactions_total", "aborted");
        let code = process.stop()?;
        if code != 0 {
            eprintln!("{stem}: the last stop ended with {code}");
        }
    }
    let (mut written, mut early) = (0, 0);
    let mut seen = BTreeSet::new();
    read_each(&broker, &output, |event| {
        written += 1;
        seen.extend(number_of(&event.text()));
        let header = |name| event.header(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
        let (partition, offset) = (header("udmill_source_partition") as i32, header("udmill_source_offset"));
        let (place, position) = event.position;
        early += usize::from(marks.iter().any(|mark| {
            mark.output_ends.get(&place).is_some_and(|end| position >= *end)
                && mark.committed.get(&partition).is_some_and(|committed| offset < *committed)
        }));
    })?;
    let lost = (0..messages).filter(|number| !seen.contains(number)).count();
    eprintln!(
        "{stem}: {messages} messages, {kills} kills, {restarts} broker restarts, {died} ended by themselves: written {written}, distinct {}, lost {lost}, \
         repeats {}{}; {:.0} s; transactions aborted by the last two processes: {aborted}",
        seen.len(),
        written - seen.len(),
        if exactly_once { String::new() } else { format!(", of them below a commit {early}") },
        began.elapsed().as_secs_f64()
    );
    Ok(Outcome { messages, written, distinct: seen.len(), lost, early })
}
