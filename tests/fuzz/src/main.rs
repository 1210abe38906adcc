//! Differential fuzzing in one process: `cargo run --release -- json --executions 1000000 --seed 1 [--record]`.
//!
//! Inputs are pieces of a seeded generator and mutations of what was kept; a fault panics with the input that shows it. `--record` appends
//! what a clean run did to `docs/fuzz.csv`.

mod json;

use std::io::Write;
use std::time::Instant;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, otherwise: u64| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).map_or(otherwise, |word| word.parse().expect("a whole number follows the option"))
    };
    let (executions, seed) = (number("--executions", 1_000_000), number("--seed", 1));
    let start = Instant::now();
    match words.first().map(String::as_str) {
        Some("json") => json::run(executions, seed),
        _ => {
            eprintln!("usage: udmill-fuzz json [--executions N] [--seed N] [--record]");
            std::process::exit(2);
        }
    }
    let seconds = start.elapsed().as_secs();
    println!("{}: {executions} executions in {seconds} s, seed {seed}, no difference", words[0]);
    if words.iter().any(|word| word == "--record") {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let commit = std::process::Command::new("git").args(["-C", root, "rev-parse", "--short=12", "HEAD"]).output().expect("git is there");
        let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
        let path = format!("{root}/docs/fuzz.csv");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("docs/fuzz.csv is there");
        writeln!(file, "{commit},{},{executions},{seconds},{seed},0", words[0]).expect("docs/fuzz.csv can be written");
    }
}
