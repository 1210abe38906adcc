//! `make bench-pipe`: what a message from Kafka to Kafka costs beyond the engine, beside a forwarder that does nothing else.
//!
//! On one broker, by turns, over the same OpenAI audit events: `udmill run` at least once and exactly once, and two forwarders made of the
//! same client with the same settings, one thread each: one sends values of the size of udmill's whole messages, one the same key and headers
//! too. Each runs in a process of its own; its processor time is read from `/proc` from the first message that the broker has to the last. The
//! engine's share is what it takes here for the same messages, one after the other, in the thread's processor time. Linux only.
//!
//! `UDMILL_TEST_KAFKA` says where the broker is (`tests/broker/kafka.sh start`); `UDMILL_BENCH_MESSAGES`, `UDMILL_BENCH_ROUNDS` and
//! `UDMILL_BENCH_PARTITIONS` change the size, `UDMILL_BENCH_INTERVAL_MS`
//! the length of a transaction, `UDMILL_BENCH_BINARY` names another build, `UDMILL_BENCH_CASES` runs only some cases (a semicolon between).

mod broker;
mod forward;
#[path = "../engine/generator.rs"]
#[allow(dead_code)]
mod generator;
mod process;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use serde_json::{Value, json};
use udmill::config::Settings as File;
use udmill::engine::{Engine, Message, Outcome, Outcomes, Settings, Timestamp, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};
use udmill::mapping::{built_in, compile::Options};
use udmill::plan::Unmapped;

use broker::{Broker, fresh_name};
use process::Process;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What ends the run: there is nobody to mend it.
pub type Fault = Box<dyn std::error::Error>;

/// How long a process is watched after its last message.
const IDLE: Duration = Duration::from_secs(4);
/// How long one case may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the broker is asked how far a case has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(40);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Forwarder,
    ForwarderWithHeaders,
    AtLeastOnce,
    ExactlyOnce,
}

impl Case {
    const ALL: [Case; 4] = [Case::Forwarder, Case::AtLeastOnce, Case::ExactlyOnce, Case::ForwarderWithHeaders];

    fn name(self) -> &'static str {
        match self {
            Case::Forwarder => "forwarder",
            Case::ForwarderWithHeaders => "forwarder, key and headers",
            Case::AtLeastOnce => "udmill, at least once",
            Case::ExactlyOnce => "udmill, exactly once",
        }
    }
}

/// One run of a case.
#[derive(Debug, Clone, Copy)]
struct Run {
    messages_per_second: f64,
    cpu_ns: f64,
    idle_ms_per_second: f64,
}

/// The settings file that udmill runs with.
fn settings(broker: &str, [from, to, dead, group]: [&str; 4], exactly_once: bool) -> String {
    let delivery = if exactly_once { "exactly_once" } else { "at_least_once" };
    let interval_ms = number("UDMILL_BENCH_INTERVAL_MS", udmill::config::Run::default().transaction_interval_ms);
    format!(
        "[run]\ndelivery = \"{delivery}\"\ntransaction_interval_ms = {interval_ms}\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.kafka]\nbootstrap_servers = \"{broker}\"\ntopics = [\"{from}\"]\n\
         group_id = \"{group}\"\n[[output]]\nname = \"siem\"\ntopic = \"{to}\"\n[dead_letter]\ntopic = \"{dead}\"\n"
    )
}

/// The engine as such a file sets it up.
pub fn engine() -> Result<(Engine, Worker), Fault> {
    let text = settings("127.0.0.1:1", ["in", "out", "dead", "group"], false);
    let file = File::read("pipe.toml", &text).map_err(|faults| format!("{faults:?}"))?;
    let output = &file.output[0];
    let unmapped = output.unmapped.as_deref().map(|word| match word {
        "keep" => Unmapped::Keep,
        "count" => Unmapped::Count,
        _ => Unmapped::Drop,
    });
    let view = View { profile: output.profile.clone(), options: Options { omit: output.omit.clone(), unmapped } };
    let files = built_in();
    let (engine, _) =
        Engine::build(&files, &[view], Settings::default()).map_err(|found| udmill::mapping::render(&found, &files, false))?;
    let mut worker = Worker::new(engine.limits(), Enrichers::new(Arc::new(Databases::default()), Sizes::default(), 42));
    // As in `udmill run`: paths that no mapping knows are looked out for.
    worker.watch_drift();
    Ok((engine, worker))
}

/// Nanoseconds of the thread that the engine takes for a message, and the bytes of an event.
fn engine_alone(messages: &[Vec<u8>]) -> Result<(f64, f64), Fault> {
    let (engine, mut worker) = engine()?;
    let (mut outcomes, mut bytes) = (Outcomes::default(), 0);
    let mut pass = |some: &[Vec<u8>]| {
        for message in some {
            let message = Message { received: Some(Timestamp(1_767_225_600_000)), ..Message::new(message) };
            engine.process(&mut worker, message, &mut outcomes);
            if let Some(watch) = worker.drift() {
                watch.take(|_, path, count| {
                    std::hint::black_box((path, count));
                });
            }
            bytes += outcomes.events.len();
            assert!(matches!(outcomes.parts[..], [udmill::engine::Part { outcome: Outcome::Emit { .. }, .. }]), "a message is an event");
        }
    };
    pass(&messages[..messages.len().min(5000)]);
    let started = ThreadTime::now();
    pass(messages);
    let taken = started.elapsed().as_nanos() as f64 / messages.len() as f64;
    Ok((taken, bytes as f64 / (messages.len() + messages.len().min(5000)) as f64))
}

/// Everything that stays the same between cases.
struct Bench {
    broker: Broker,
    binary: PathBuf,
    from: String,
    partitions: i32,
    messages: u64,
    ends: Vec<(i32, i64)>,
}

impl Bench {
    fn run(&self, case: Case) -> Result<(Run, Value), Fault> {
        let (to, dead, group) = (fresh_name("pipe-out"), fresh_name("pipe-dead"), fresh_name("pipe-group"));
        self.broker.make(&to, self.partitions)?;
        self.broker.make(&dead, 1)?;
        let servers = self.broker.servers();
        let folder = tempfile::tempdir()?;
        let child = match case {
            Case::Forwarder | Case::ForwarderWithHeaders => {
                let dress = if case == Case::Forwarder { "bare" } else { "headers" };
                Process::start(&std::env::current_exe()?, &["forward", servers, &self.from, &to, &group, dress])?
            }
            Case::AtLeastOnce | Case::ExactlyOnce => {
                let path = folder.path().join("udmill.toml");
                std::fs::write(&path, settings(servers, [&self.from, &to, &dead, &group], case == Case::ExactlyOnce))?;
                Process::start(&self.binary, &["run", "--config", &path.to_string_lossy()])?
            }
        };
        let deadline = Instant::now() + PATIENCE;
        let arrived = || -> Result<u64, Fault> { Ok(self.broker.ends(&to, self.partitions)?.iter().map(|(_, end)| *end as u64).sum()) };
        let wait = |what: &str, mut come: Box<dyn FnMut() -> Result<bool, Fault> + '_>| -> Result<(), Fault> {
            while !come()? {
                if Instant::now() > deadline {
                    return Err(format!("{}: waited {} s for {what}", case.name(), PATIENCE.as_secs()).into());
                }
                std::thread::sleep(LOOK_INTERVAL);
            }
            Ok(())
        };
        let mut before = 0;
        wait(
            "the first message",
            Box::new(|| {
                arrived().map(|count| {
                    before = count;
                    count > 0
                })
            }),
        )?;
        let (started, cpu, threads) = (Instant::now(), child.cpu_seconds()?, child.threads()?);
        let committed = self.broker.group(&group)?;
        wait(
            "the last message",
            Box::new(|| match case {
                // Ends of partitions also count the markers of transactions, so the group's positions tell.
                Case::ExactlyOnce => Ok(self.broker.committed(&committed, &self.from, self.partitions)? == self.ends),
                _ => Ok(arrived()? >= self.messages),
            }),
        )?;
        let (wall, used, worked) = (started.elapsed().as_secs_f64(), child.cpu_seconds()? - cpu, child.threads()?);
        let moved = (self.messages - before) as f64;
        let ended = arrived()?;
        if case != Case::ExactlyOnce && ended != self.messages {
            return Err(format!("{}: {} messages became {ended}", case.name(), self.messages).into());
        }
        if self.broker.ends(&dead, 1)?.iter().any(|(_, end)| *end > 0) {
            return Err(format!("{}: there are dead letters", case.name()).into());
        }
        let resting = (Instant::now(), child.cpu_seconds()?);
        std::thread::sleep(IDLE);
        let idle = (child.cpu_seconds()? - resting.1) / resting.0.elapsed().as_secs_f64();
        let peak = child.peak_bytes();
        drop(child);
        self.broker.remove(&[&to, &dead])?;
        let run = Run { messages_per_second: moved / wall, cpu_ns: used * 1e9 / moved, idle_ms_per_second: idle * 1e3 };
        let by_thread: serde_json::Map<String, Value> = worked
            .iter()
            .map(|(name, seconds)| {
                let earlier = threads.get(name).copied().unwrap_or(0.0);
                (name.clone(), (((seconds - earlier) * 1e9 / moved).round()).into())
            })
            .collect();
        let told = json!({
            "case": case.name(), "messages": moved, "messages_per_second": run.messages_per_second, "cpu_ns": run.cpu_ns,
            "idle_ms_per_second": run.idle_ms_per_second, "peak_bytes": peak, "cpu_ns_by_thread": by_thread,
        });
        Ok((run, told))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(below) + at(above)) / 2.0
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> Result<(), Fault> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, role, servers, from, to, group, dress] = &words[..]
        && role == "forward"
    {
        return forward::run(servers, [from, to, group], dress == "headers");
    }
    let Ok(servers) = std::env::var("UDMILL_TEST_KAFKA") else {
        println!("no broker: UDMILL_TEST_KAFKA is not set; `make bench-pipe` starts one");
        return Ok(());
    };
    let count = number("UDMILL_BENCH_MESSAGES", 500_000);
    let (rounds, partitions) = (number("UDMILL_BENCH_ROUNDS", 5), number("UDMILL_BENCH_PARTITIONS", 4) as i32);
    let binary = std::env::var("UDMILL_BENCH_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_udmill").to_owned());
    let only = std::env::var("UDMILL_BENCH_CASES").unwrap_or_default();
    let wanted = |case: &Case| only.is_empty() || only.split(';').any(|word| word.trim() == case.name());
    let cases: Vec<Case> = Case::ALL.into_iter().enumerate().filter(|(_, case)| wanted(case)).map(|(_, case)| case).collect();

    let messages = generator::openai(count as usize, 1);
    let broker = Broker::new(&servers)?;
    let from = fresh_name("pipe-in");
    broker.make(&from, partitions)?;
    broker.fill(&from, &messages)?;
    let ends = broker.ends(&from, partitions)?;
    let bench = Bench { broker, binary: PathBuf::from(binary), from, partitions, messages: count, ends };

    let host = process::host();
    println!("{host}");
    println!("{count} OpenAI audit events in {partitions} partitions, {rounds} rounds");
    let (mut runs, mut told) = (Vec::new(), Vec::new());
    for round in 0..rounds as usize {
        let (engine_ns, bytes_out) = engine_alone(&messages)?;
        println!("round {}: the engine alone {engine_ns:.0} ns a message, {bytes_out:.0} bytes an event", round + 1);
        let mut of_round = Vec::new();
        for at in 0..cases.len() {
            let case = cases[(at + round) % cases.len()];
            let (run, more) = bench.run(case)?;
            println!(
                "  {:27} {:8.0} messages/s  {:6.0} ns of processor a message  idle {:4.1} ms/s  {}",
                case.name(),
                run.messages_per_second,
                run.cpu_ns,
                run.idle_ms_per_second,
                more["cpu_ns_by_thread"]
            );
            of_round.push((case, run));
            told.push(more);
        }
        told.push(json!({ "case": "engine", "cpu_ns": engine_ns, "bytes_out": bytes_out }));
        runs.push((engine_ns, of_round));
    }
    bench.broker.remove(&[&bench.from])?;
    let summary = summary(&cases, &runs);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-pipe.json");
    std::fs::write(
        path,
        json!({ "host": host, "messages": count, "rounds": rounds, "partitions": partitions, "summary": summary, "runs": told })
            .to_string(),
    )?;
    println!("written to target/bench-pipe.json");
    Ok(())
}

type Round = (f64, Vec<(Case, Run)>);

/// Prints the middle of all rounds, and the ratios that the goals are about: each within its round, then the middle.
fn summary(cases: &[Case], runs: &[Round]) -> Value {
    let of = |round: &Round, case: Case| round.1.iter().find(|(of, _)| *of == case).map(|(_, run)| *run);
    let each = |case: Case| runs.iter().filter_map(move |round| of(round, case));
    let mut rows = Vec::new();
    for case in cases {
        let speed =
            (median(each(*case).map(|run| run.messages_per_second)), each(*case).map(|run| run.messages_per_second).fold(0.0, f64::max));
        let cpu = (median(each(*case).map(|run| run.cpu_ns)), each(*case).map(|run| run.cpu_ns).fold(f64::INFINITY, f64::min));
        let idle = median(each(*case).map(|run| run.idle_ms_per_second));
        println!(
            "{:27} messages/s median {:8.0} best {:8.0}; ns a message median {:6.0} best {:6.0}; idle {idle:4.1} ms/s",
            case.name(),
            speed.0,
            speed.1,
            cpu.0,
            cpu.1
        );
        rows.push(json!({ "case": case.name(), "messages_per_second": speed, "cpu_ns": cpu, "idle_ms_per_second": idle }));
    }
    let engine = median(runs.iter().map(|(engine, _)| *engine));
    println!("engine alone: median {engine:.0} ns");
    let ratio = |name: &str, part: &dyn Fn(&Round) -> Option<f64>| {
        let all: Vec<f64> = runs.iter().filter_map(part).collect();
        if all.is_empty() {
            return Value::Null;
        }
        let middle = median(all.iter().copied());
        let shown: Vec<String> = all.iter().map(|one| format!("{one:.2}")).collect();
        println!("{name}: median {middle:.2} ({})", shown.join(", "));
        json!({ "ratio": name, "median": middle, "rounds": all })
    };
    let beyond = |case: Case, beside: Case| move |round: &Round| Some((of(round, case)?.cpu_ns - round.0) / of(round, beside)?.cpu_ns);
    let ratios = [
        ratio("(at least once - engine) / forwarder, processor", &beyond(Case::AtLeastOnce, Case::Forwarder)),
        ratio(
            "(at least once - engine) / forwarder with key and headers, processor",
            &beyond(Case::AtLeastOnce, Case::ForwarderWithHeaders),
        ),
        ratio("(exactly once - engine) / forwarder, processor", &beyond(Case::ExactlyOnce, Case::Forwarder)),
        ratio("exactly once / at least once, messages/s", &|round| {
            Some(of(round, Case::ExactlyOnce)?.messages_per_second / of(round, Case::AtLeastOnce)?.messages_per_second)
        }),
        ratio("at least once / forwarder, messages/s", &|round| {
            Some(of(round, Case::AtLeastOnce)?.messages_per_second / of(round, Case::Forwarder)?.messages_per_second)
        }),
    ];
    json!({ "cases": rows, "engine_ns": engine, "ratios": ratios })
}
