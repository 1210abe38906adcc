//! `cargo bench --bench engine`: what the engine costs beside the parse of the same input.
//!
//! All cases take turns on the same batch, so that a busy neighbour slows them alike; times are the thread's own CPU time. Printed are
//! the best and the median round, and the median of the ratios to the floor within each round: only those hold between machines.
//!
//! `floor` is simd-json's tape of a copy of each message, buffers reused. `core` is the default table with enrichment off and unread
//! leaves dropped, `full` adds the user agent and cached geo, `kept` also keeps unread leaves, as shipped.
//!
//! Before that, all that is compared must give equal events (`equal.rs`); otherwise nothing is timed, and the exit code is 1. The figures, with
//! the machine and the versions, go to `target/bench-engine.json`; `make bench-plot` draws them.
//!
//! At the end one more round counts heap allocations. The goal is none for a part once the worker is warm; a user agent or an address that has
//! left the caches, and a shape that has left the remembered ones, cost some.

mod case;
mod equal;
mod generator;
mod growth;
mod host;

use case::{Case, floor};
use cpu_time::ThreadTime;
use simd_json::Buffers;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use udmill::classify::{self, Facts};
use udmill::decode::{Decoder, Doc, Found, Limits, Parser};
use udmill::enrich::{Counts, Databases, Enrichers};
use udmill::plan::redact::Redactor;

/// Rounds each case runs.
const ROUNDS: usize = 25;
/// `UDMILL_BENCH_ONLY=azure:core:200` runs one case alone so often: for a profiler.
const ONLY: &str = "UDMILL_BENCH_ONLY";
/// Messages that are generated from one seed.
const BLOCK: usize = 4000;
/// `UDMILL_BENCH_WRITE=openai:300000` writes so many messages to stdout, a line each, and ends: input for other programs.
const WRITE: &str = "UDMILL_BENCH_WRITE";

/// What of a case is spent before the plan: decoding, the scan for secrets, classification.
struct Front {
    decoder: Decoder,
    doc: Doc,
    found: Vec<Found>,
    redactor: Redactor,
    facts: Facts,
}

impl Front {
    fn run(&mut self, messages: &[Vec<u8>], depth: usize) {
        for message in messages {
            self.decoder.decode(message, &mut self.doc, &mut self.found);
            if depth > 0 {
                std::hint::black_box(self.redactor.suspicious(&self.doc.text));
            }
            for found in &self.found {
                if let Found::Record { root, .. } = found
                    && depth > 1
                {
                    classify::examine(&self.doc, *root, &mut self.facts);
                }
            }
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The share of look-ups that the caches have answered; null where none was asked, such as for places that the record itself states.
fn rates(enrichers: &Enrichers) -> serde_json::Value {
    let rate = |counts: Counts| (counts.hits + counts.misses > 0).then(|| counts.hits as f64 / (counts.hits + counts.misses) as f64);
    serde_json::json!({ "user_agents": rate(enrichers.agent_counts()), "addresses": rate(enrichers.address_counts()) })
}

fn measure(title: &str, messages: &[Vec<u8>], records: usize, databases: &Arc<Databases>) -> serde_json::Value {
    let mut cases = Case::fixed(Parser::default(), databases);
    for case in &mut cases {
        case.run(messages);
    }
    let first = rates(cases[1].worker.enrichers());
    let (mut buffers, mut copy) = (Buffers::default(), Vec::new());
    let mut front = Front {
        decoder: Decoder::new(Limits::default()),
        doc: Doc::default(),
        found: Vec::new(),
        redactor: Redactor::new(),
        facts: Facts::default(),
    };
    let mut times: [Vec<f64>; 7] = Default::default();
    for _ in 0..ROUNDS {
        let start = ThreadTime::now();
        std::hint::black_box(floor(messages, &mut buffers, &mut copy));
        times[0].push(start.elapsed().as_nanos() as f64 / records as f64);
        for depth in 0..3 {
            let start = ThreadTime::now();
            front.run(messages, depth);
            times[depth + 1].push(start.elapsed().as_nanos() as f64 / records as f64);
        }
        for (at, case) in cases.iter_mut().enumerate() {
            let start = ThreadTime::now();
            case.run(messages);
            times[at + 4].push(start.elapsed().as_nanos() as f64 / records as f64);
        }
    }
    let bytes_in: usize = messages.iter().map(Vec::len).sum();
    println!("{title}: {records} records, {} bytes each in", bytes_in / records);
    let mut told = Vec::new();
    for (at, name) in ["floor", "decode", "+scan", "+class", "core", "full", "kept"].iter().enumerate() {
        let mut ratios: Vec<f64> = times[at].iter().zip(&times[0]).map(|(mine, floor)| mine / floor).collect();
        let ratio = median(&mut ratios);
        let best = times[at].iter().copied().fold(f64::INFINITY, f64::min);
        let middle = median(&mut times[at].clone());
        let bytes_out = if at < 4 { 0 } else { cases[at - 4].bytes_out / records };
        println!(
            "  {name:6} best {best:7.0} ns  median {middle:7.0} ns  {:9.0} records/s  {ratio:5.2} x floor  {bytes_out} bytes out",
            1e9 / best
        );
        told.push(
            serde_json::json!({ "case": name, "best_ns": best, "median_ns": middle, "ratio_to_floor": ratio, "bytes_out": bytes_out }),
        );
    }
    let caches = serde_json::json!({ "first_round": first, "all_rounds": rates(cases[1].worker.enrichers()) });
    println!("  cache hits of `full`: {caches}");
    // Of this thread alone, and after all rounds.
    let allocations = cases.each_mut().map(|case| {
        let counted = allocation_counter::measure(|| case.run(messages));
        (case.name, counted.count_total as f64 / records as f64)
    });
    let shown: Vec<String> = allocations.iter().map(|(name, count)| format!("{name} {count:.3}")).collect();
    println!("  heap allocations a part: {}", shown.join(", "));
    let allocations: serde_json::Map<_, _> = allocations.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
    serde_json::json!({
        "input": title, "records": records, "bytes_in": bytes_in / records, "cases": told, "cache_hits": caches, "allocations": allocations,
    })
}

/// Writes messages of `openai` or `azure`, in blocks of a seed each, so that no block need fit in memory twice.
fn write(wanted: &str) -> Result<(), String> {
    let expected = || format!("{WRITE}={wanted}: expected for instance `openai:300000`");
    let (input, count) = wanted.split_once(':').ok_or_else(expected)?;
    let count: usize = count.parse().map_err(|_| expected())?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (seed, first) in (1..).zip((0..count).step_by(BLOCK)) {
        let block = BLOCK.min(count - first);
        let messages = match input {
            "openai" => generator::openai(block, seed),
            "azure" => generator::azure(block, 1, seed),
            _ => return Err(expected()),
        };
        for message in messages {
            out.write_all(&message).and_then(|()| out.write_all(b"\n")).map_err(|fault| format!("stdout: {fault}"))?;
        }
    }
    out.flush().map_err(|fault| format!("stdout: {fault}"))
}

/// Runs one case of one input alone: `openai` or `azure`, the case, and how often a hundred messages.
fn profile(only: &str, databases: &Arc<Databases>) -> Result<(), String> {
    let wanted = || format!("{ONLY}={only}: expected for instance `azure:core:200`");
    let words: Vec<&str> = only.split(':').collect();
    let [input, case, times] = words[..] else { return Err(wanted()) };
    let messages = match input {
        "openai" => generator::openai(100, 1),
        "azure" => generator::azure(100, 1, 2),
        _ => return Err(wanted()),
    };
    let mut case = Case::named(case, Parser::default(), databases).ok_or_else(wanted)?;
    for _ in 0..times.parse().map_err(|_| wanted())? {
        case.run(&messages);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read(format!("{root}/tests/data/{name}")).expect("the small databases are in the repository");
    let databases = Arc::new(Databases::new(Some(read("city.mmdb")), Some(read("asn.mmdb"))).expect("the small databases are sound"));
    if let Ok(only) = std::env::var(ONLY) {
        return profile(&only, &databases);
    }
    if let Ok(wanted) = std::env::var(WRITE) {
        return write(&wanted);
    }
    let host = host::told();
    println!("{}\nsimd-json's tape as floor; {ROUNDS} rounds", host::line(&host));
    let inputs = [
        ("openai audit", generator::openai(1500, 1), 1500),
        ("azure activity", generator::azure(1500, 1, 2), 1500),
        ("azure activity, 500 records a message", generator::azure(3, 500, 3), 1500),
    ];
    let mut equal = serde_json::Map::new();
    for (title, messages, _) in &inputs {
        let is_openai = title.starts_with("openai");
        equal.insert((*title).to_owned(), equal::all(messages, is_openai, &databases).told(title)?);
    }
    let all = inputs.each_ref().map(|(title, messages, records)| measure(title, messages, *records, &databases));
    let events = &inputs[0].1;
    let (rules, sizes, families) = (growth::rules(events)?, growth::sizes(events)?, growth::families()?);
    let told = serde_json::json!({
        "host": host, "rounds": ROUNDS, "equal": equal, "inputs": all, "rules": rules, "sizes": sizes, "families": families,
    });
    let path = format!("{root}/target/bench-engine.json");
    std::fs::write(&path, told.to_string()).map_err(|fault| format!("{path}: {fault}"))?;
    println!("written to target/bench-engine.json");
    Ok(())
}
