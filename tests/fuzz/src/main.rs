//! Fuzzing in one process: `cargo run --release -- TARGET [--executions N | --seconds N] [--seed N] [--record]`.
//!
//! Inputs are pieces of a seeded generator and damage to them; a fault panics with the input that shows it. Each target has an oracle of
//! its own, not only "no panic": another reader, a promise that must hold, or the sound neighbours of what was damaged. `--record` appends
//! what a clean run did to `docs/fuzz.csv`.

mod flows;
mod framing;
mod ja4;
mod json;
mod mappings;
mod pieces;
mod salvage;
mod times;

use std::io::Write;
use std::time::Instant;

/// What runs under a name.
type Target = fn(&mut pieces::Budget, u64);

/// Every target.
const TARGETS: [(&str, Target); 7] = [
    ("json", json::run),
    ("framing", framing::run),
    ("salvage", salvage::run),
    ("mappings", mappings::run),
    ("times", times::run),
    ("ja4", ja4::run),
    ("flows", flows::run),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).map(|word| word.parse::<u64>().expect("a whole number follows the option"))
    };
    let target = words.first().and_then(|word| TARGETS.iter().find(|(name, _)| name == word));
    let Some((name, run)) = target else {
        let names = TARGETS.map(|(name, _)| name).join("|");
        eprintln!("usage: udmill-fuzz {names} [--executions N | --seconds N] [--seed N] [--record]");
        std::process::exit(2);
    };
    let seed = number("--seed").unwrap_or(1);
    let mut budget = pieces::Budget::new(number("--executions").unwrap_or(1_000_000), number("--seconds"));
    let start = Instant::now();
    run(&mut budget, seed);
    let (executions, seconds) = (budget.done, start.elapsed().as_secs());
    println!("{name}: {executions} executions in {seconds} s, seed {seed}, no fault");
    if words.iter().any(|word| word == "--record") {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let commit =
            std::process::Command::new("git").args(["-C", root, "rev-parse", "--short=12", "HEAD"]).output().expect("git is there");
        let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
        let path = format!("{root}/docs/fuzz.csv");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("docs/fuzz.csv is there");
        writeln!(file, "{commit},{name},{executions},{seconds},{seed},0").expect("docs/fuzz.csv can be written");
    }
}
