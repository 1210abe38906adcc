//! `cargo bench --bench replay`: seconds of `udmill replay` from file to file, plain and packed, on one processor and on all.
//!
//! Writes about a gigabyte of generated records for each of two logs into `target/bench-replay` (`UDMILL_BENCH_BYTES` and `UDMILL_BENCH_FOLDER`
//! change both), replays them by turns, and lets a loop that touches registers only run on as many threads beside each: what it
//! loses when it shares the machine nobody can win. Linux only, where `/proc` tells times and memory of a child.

#[path = "../engine/generator.rs"]
#[allow(dead_code)]
mod generator;

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Rounds each case runs: the best time counts, and the median of the ratios within each round.
const ROUNDS: usize = 3;
/// Files that the same records are also packed into, as hours of a day are.
const PARTS: usize = 24;
/// Linux counts times of processes in hundredths of a second on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

struct Case {
    name: String,
    input: PathBuf,
    /// Before packing.
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Measured {
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
}

type Fault = Box<dyn std::error::Error>;

/// Messages of a log in blocks, each from a seed of its own, until they fill `bytes`.
fn blocks(log: &str, bytes: u64, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut written, mut seed) = (0, 1);
    while written < bytes {
        let messages = if log == "openai" { generator::openai(4_000, seed) } else { generator::azure(1_000, 1, seed) };
        let mut block = messages.join(&b'\n');
        block.push(b'\n');
        written += block.len() as u64;
        seed += 1;
        each(&block)?;
    }
    Ok(())
}

fn cases(folder: &Path, bytes: u64) -> Result<Vec<Case>, Fault> {
    let mut cases = Vec::new();
    for log in ["openai", "azure"] {
        let [plain, gzip, zstd, hours] = ["ndjson", "ndjson.gz", "ndjson.zst", "hours"].map(|end| folder.join(format!("{log}.{end}")));
        if !plain.exists() {
            let mut out = BufWriter::new(File::create(&plain)?);
            blocks(log, bytes, |block| out.write_all(block))?;
            out.flush()?;
        }
        let pack = |to: &Path, from: &mut dyn io::Read| -> io::Result<()> {
            let out = BufWriter::new(File::create(to)?);
            if to.extension().is_some_and(|ending| ending == "gz") {
                let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                io::copy(from, &mut gzip)?;
                gzip.finish()?.flush()
            } else {
                zstd::stream::copy_encode(from, out, 3)
            }
        };
        for packed in [&gzip, &zstd] {
            if !packed.exists() {
                pack(packed, &mut File::open(&plain)?)?;
            }
        }
        let size = fs::metadata(&plain)?.len();
        if !hours.exists() {
            fs::create_dir(&hours)?;
            let mut lines = BufReader::new(File::open(&plain)?);
            for part in 0..PARTS {
                let mut some = Vec::new();
                (&mut lines).take(size / PARTS as u64 + 1).read_to_end(&mut some)?;
                lines.read_until(b'\n', &mut some)?;
                pack(&hours.join(format!("{part:02}.ndjson.gz")), &mut &some[..])?;
            }
        }
        for (how, input) in [("plain", plain), ("gzip", gzip), ("zstd", zstd), ("24 gzip files", hours)] {
            cases.push(Case { name: format!("{log}, {how}"), input, bytes: size });
        }
    }
    Ok(cases)
}

/// Seconds of processor that ended children have used so far.
fn children_seconds() -> Result<f64, Fault> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program stands in brackets and may hold blanks; `cutime` and `cstime` are the 14th and 15th words behind it.
    let words: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    Ok((words[13].parse::<f64>()? + words[14].parse::<f64>()?) / TICKS_PER_SECOND)
}

fn replay(input: &Path, output: &Path, jobs: usize) -> Result<Measured, Fault> {
    let before = children_seconds()?;
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_udmill"))
        .args(["replay", "--summary", "none", "--jobs", &jobs.to_string(), "-o"])
        .args([output, input])
        .stdin(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let told = fs::read_to_string(&status).unwrap_or_default();
        let kib = told.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak_bytes = peak_bytes.max(kib.unwrap_or_default() << 10);
        thread::sleep(Duration::from_millis(5));
    };
    let wall_seconds = started.elapsed().as_secs_f64();
    if !ended.success() {
        return Err(format!("{}: {ended}", input.display()).into());
    }
    Ok(Measured { wall_seconds, cpu_seconds: children_seconds()? - before, peak_bytes })
}

/// Seconds that `threads` threads need for as many times the same work.
fn control(threads: usize) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                let mut random = generator::Random::new(number as u64 + 1);
                for _ in 0..150_000_000_u64 {
                    std::hint::black_box(random.next());
                }
            });
        }
    });
    started.elapsed().as_secs_f64()
}

fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Fault> {
    let variable = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let bytes: u64 = variable("UDMILL_BENCH_BYTES", "1000000000").parse()?;
    let folder = PathBuf::from(variable("UDMILL_BENCH_FOLDER", concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-replay")));
    fs::create_dir_all(&folder)?;
    let cases = cases(&folder, bytes)?;
    let all = thread::available_parallelism()?.get();
    let jobs = [1, all];
    let output = folder.join("events.ndjson");
    let mut times: Vec<Vec<Measured>> = vec![Vec::new(); cases.len() * jobs.len()];
    let mut scalings: Vec<Vec<(f64, f64)>> = vec![Vec::new(); cases.len()];
    let mut hashes = vec![None; cases.len() / 4];
    for round in 0..ROUNDS {
        for (number, case) in cases.iter().enumerate() {
            let mut walls = [(0.0, 0.0); 2];
            for (at, jobs) in jobs.iter().enumerate() {
                let _ = fs::remove_file(&output);
                let before = control(*jobs);
                let measured = replay(&case.input, &output, *jobs)?;
                walls[at] = (measured.wall_seconds, (before + control(*jobs)) / 2.0);
                times[number * 2 + at].push(measured);
                if round == 0 {
                    let mut hasher = blake3::Hasher::new();
                    io::copy(&mut File::open(&output)?, &mut hasher)?;
                    let hash = hasher.finalize();
                    assert_eq!(*hashes[number / 4].get_or_insert(hash), hash, "{}, {jobs} jobs: other bytes", case.name);
                }
            }
            // Each thread of the control does the whole work, so equal times are a scaling by the number of threads.
            scalings[number].push((walls[0].0 / walls[1].0, all as f64 * walls[0].1 / walls[1].1));
        }
    }
    fs::remove_file(&output)?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{bytes} bytes of each log; {all} processors; load {}; {ROUNDS} rounds", load.trim());
    println!("| input | jobs | seconds | MB/s | processor seconds | peak memory | {all} jobs / 1 | control loop / 1 | of the control |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (number, case) in cases.iter().enumerate() {
        let scaling = median(scalings[number].iter().map(|(mine, _)| *mine));
        let control = median(scalings[number].iter().map(|(_, control)| *control));
        let ratio = median(scalings[number].iter().map(|(mine, control)| mine / control));
        for (at, jobs) in jobs.iter().enumerate() {
            let of = &times[number * 2 + at];
            let wall = least(of.iter().map(|measured| measured.wall_seconds));
            let compared = if at == 0 { " | | ".to_owned() } else { format!("{scaling:.2} | {control:.2} | {ratio:.2}") };
            println!(
                "| {} | {jobs} | {wall:.2} | {:.0} | {:.2} | {:.0} MB | {compared} |",
                case.name,
                case.bytes as f64 / 1e6 / wall,
                least(of.iter().map(|measured| measured.cpu_seconds)),
                of.iter().map(|measured| measured.peak_bytes).max().unwrap_or_default() as f64 / 1e6,
            );
        }
    }
    Ok(())
}
