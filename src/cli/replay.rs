//! `udmill replay`: archived logs from files, folders or standard input to UDM NDJSON.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::input::{self, Found, Input};
use super::pipeline::{self, Feeder, Mill, Stopped};
use super::summary::Summary;
use super::{Exit, Failure, paint};
use crate::decode::{Framer, Limits};
use crate::sink::letter_file::DeadLetter;
use crate::sink::raw_line::RawLine;

/// Arguments of `udmill replay`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill replay audit.ndjson > events.ndjson\n  \
    udmill replay --profile typed --dead-letter rejected.ndjson -o events.ndjson exports/\n  \
    zcat insights-activity-logs/*/PT1H.json.gz | udmill replay - | jq .metadata.eventType\n  \
    udmill replay --redrive rejected.ndjson -o mended.ndjson\n  \
    udmill replay 'az://insights-logs-audit/**/y=2026/m=01/**/PT1H.json' -o events.ndjson\n  \
    udmill replay s3://archive/raw/2026/01/02 -o events.ndjson\n\n\
    Reads NDJSON, pretty-printed JSON, PT1H.json, lists and envelopes, also under gzip and zstd, and what\n\
    `[sink.archive]` wrote. Access to object stores comes from the environment (AZURE_STORAGE_ACCOUNT_NAME and _KEY, AWS_*, GOOGLE_*) or\n\
    the identity of the machine. Events stand in the order of the input;\n\
    a summary goes to standard error.\n\n\
    Exit codes: 0 every part has an outcome; 1 reading or writing failed; 2 a configuration or mapping fault; 3 more than\n\
    --max-rejects were rejected, or nothing at all was emitted from a non-empty input.")]
pub struct Args {
    /// Files, folders, `-` for standard input, or `az://CONTAINER/PREFIX`, `s3://`, `gs://`, `file:///`, also with `*` and `**`
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Write the events to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep rejected records in FILE, with the reason and their own bytes
    #[arg(long, value_name = "FILE")]
    dead_letter: Option<PathBuf>,
    #[command(flatten)]
    mappings: super::mill::MappingArgs,
    /// Threads that mill, and inputs that are read ahead [default: one for each processor]; the output does not depend on it
    #[arg(short = 'j', long, visible_alias = "jobs", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Leave out events whose id is one of the last IDS; one thread mills then, because what repeats what depends on the order
    #[arg(long, value_name = "IDS", num_args = 0..=1, require_equals = true, default_missing_value = "100000", value_parser = clap::value_parser!(u32).range(1..))]
    dedupe: Option<u32>,
    /// Exit with 3 when more than N parts were rejected
    #[arg(long, value_name = "N")]
    max_rejects: Option<u64>,
    /// The inputs are dead-letter files: mill the records they hold again
    #[arg(long)]
    redrive: bool,
    /// How the summary is told
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json", "none"])]
    summary: String,
}

/// Runs the command.
///
/// # Errors
///
/// Faults of arguments and mappings (exit 2), inputs that cannot be found and outputs that cannot be written (exit 1).
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let found = input::find(&args.inputs)?;
    if found.inputs.is_empty() {
        return Err(Failure::config(format!(
            "no log file found; {} files were passed over (a folder's files count when they end in .json, .ndjson, .jsonl, .log or .txt, \
             also with .gz or .zst)",
            found.passed_over
        )));
    }
    for output in [&args.output, &args.dead_letter].into_iter().flatten() {
        refuse_overwriting_an_input(output, &found)?;
    }
    if args.output.is_some() && args.output == args.dead_letter {
        return Err(Failure::config("`--output` and `--dead-letter` name the same file"));
    }
    let threads = args.threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let prepared = super::mill::prepare(&args.mappings)?;
    let mills = match args.dedupe {
        Some(ids) => vec![prepared.mill().without_repeats(ids as usize)],
        None => prepared.mills(threads),
    };
    replay(args, &found, mills, threads)
}

fn replay<M: Mill>(args: &Args, found: &Found, mills: Vec<M>, readers: usize) -> Result<Exit, Failure> {
    let started = Instant::now();
    let events = open_events(args.output.as_deref())?;
    let dead_letters: Box<dyn Write + Send> = match &args.dead_letter {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(|fault| Failure::io(path.display(), &fault))?)),
        None => Box::new(io::sink()),
    };
    let progress = Progress::start(found, args.output.is_some());
    let mut failed_inputs = 0;
    let (written, tally) = pipeline::run(
        mills,
        readers,
        &found.inputs,
        events,
        dead_letters,
        |input, feeder| read(input, args.redrive, feeder, &progress.read_bytes),
        |input, fault| {
            failed_inputs += 1;
            progress.bar.suspend(|| paint::error(&format!("{}: {fault}", input.name())));
        },
    );
    progress.finish();

    let summary = Summary {
        tally,
        took: started.elapsed(),
        files: found.inputs.len() as u64,
        dead_letter: args.dead_letter.as_ref().map(|path| path.display().to_string()),
    };
    match args.summary.as_str() {
        "json" => eprintln!("{}", summary.json()),
        "text" => anstream::eprint!("{}", summary.text()),
        _ => {}
    }
    if let Err(fault) = written {
        // A reader that has seen enough (`| head`) is no fault worth a line.
        let text = if fault.kind() == io::ErrorKind::BrokenPipe { String::new() } else { format!("writing: {fault}") };
        return Err(Failure { exit: Exit::Io, text });
    }
    Ok(exit(args.max_rejects, failed_inputs, &summary))
}

fn exit(max_rejects: Option<u64>, failed_inputs: u64, summary: &Summary) -> Exit {
    let tally = &summary.tally;
    if failed_inputs > 0 {
        return Exit::Io;
    }
    if max_rejects.is_some_and(|most| tally.rejected > most) {
        paint::error(&format!("{} parts were rejected, more than --max-rejects allows", tally.rejected));
        return Exit::Rejected;
    }
    if tally.emitted == 0 && tally.bytes_in > 0 {
        paint::error("nothing was emitted; is this a log of a known kind? `udmill explain INPUT` tells what was seen");
        return Exit::Rejected;
    }
    Exit::Done
}

fn open_events(output: Option<&Path>) -> Result<Box<dyn Write + Send>, Failure> {
    Ok(match output {
        Some(path) => Box::new(BufWriter::with_capacity(1 << 18, File::create(path).map_err(|fault| Failure::io(path.display(), &fault))?)),
        None => Box::new(BufWriter::with_capacity(1 << 16, io::stdout())),
    })
}

fn refuse_overwriting_an_input(output: &Path, found: &Found) -> Result<(), Failure> {
    // An output that does not exist yet is no input.
    let Ok(output) = fs::canonicalize(output) else { return Ok(()) };
    // `/dev/null` and pipes may stand on both sides.
    if !output.is_file() {
        return Ok(());
    }
    let is_input = |input: &&Input| matches!(input, Input::File(path) if fs::canonicalize(path).is_ok_and(|path| path == output));
    match found.inputs.iter().find(is_input) {
        Some(input) => {
            Err(Failure::config(format!("{} is both an input and an output; choose another place for the output", input.name())))
        }
        None => Ok(()),
    }
}

/// Reads one input. One that fails is told, and the others are still read.
fn read(input: &Input, redrive: bool, feeder: &mut Feeder, read_bytes: &Arc<AtomicU64>) -> io::Result<Result<(), Stopped>> {
    let reader = input::open(input, Arc::clone(read_bytes))?;
    if feeder.file(&input.name()).is_err() {
        return Ok(Err(Stopped));
    }
    if redrive {
        read_dead_letters(reader, feeder)
    } else {
        read_archive(reader, |bytes, offset, received_ms| feeder.push(bytes, offset, received_ms))
    }
}

/// As [`read_archive`], for whom times of arrival do not matter.
///
/// # Errors
///
/// As [`read_archive`].
pub fn read_messages(reader: impl Read, mut each: impl FnMut(&[u8], u64) -> Result<(), Stopped>) -> io::Result<Result<(), Stopped>> {
    read_archive(reader, |bytes, offset, _| each(bytes, offset))
}

/// Cuts a file into messages and hands each on with its offset, until somebody says that it is enough. A raw line of an archive is opened:
/// its message comes out as it once arrived, with the time of its arrival in milliseconds since the Unix epoch.
///
/// # Errors
///
/// As reading. What was complete before the fault has been handed on.
pub fn read_archive(
    mut reader: impl Read,
    mut each: impl FnMut(&[u8], u64, Option<i64>) -> Result<(), Stopped>,
) -> io::Result<Result<(), Stopped>> {
    let mut framer = Framer::new(Limits::default().body_bytes);
    let mut chunk = vec![0; 1 << 17];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(read) => read,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(fault),
        };
        if read == 0 {
            framer.finish();
        } else {
            framer.push(&chunk[..read]);
        }
        while let Some(frame) = framer.next_frame() {
            let handed = match RawLine::read(frame.bytes) {
                Some(Ok(line)) => each(&line.body, frame.offset, line.received_ms),
                // A broken one is judged as any broken text.
                Some(Err(_)) | None => each(frame.bytes, frame.offset, None),
            };
            if handed.is_err() {
                return Ok(Err(Stopped));
            }
        }
        if read == 0 {
            return Ok(Ok(()));
        }
    }
}

/// Takes the records out of a dead-letter file and feeds them.
fn read_dead_letters(reader: impl Read, feeder: &mut Feeder) -> io::Result<Result<(), Stopped>> {
    let mut reader = BufReader::with_capacity(1 << 17, reader);
    let mut line = Vec::new();
    let mut offset = 0;
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(Ok(()));
        }
        if !line.trim_ascii().is_empty() {
            let letter = DeadLetter::read(&line)
                .map_err(|fault| io::Error::other(format!("byte {offset}: {fault}; `--redrive` reads files written by `--dead-letter`")))?;
            if feeder.push(&letter.value, offset, letter.received_ms).is_err() {
                return Ok(Err(Stopped));
            }
        }
        offset += read as u64;
    }
}

/// A bar on a terminal, nothing elsewhere; nor when the events go to the same terminal.
struct Progress {
    bar: ProgressBar,
    read_bytes: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    ticker: Option<thread::JoinHandle<()>>,
}

impl Progress {
    fn start(found: &Found, events_go_to_a_file: bool) -> Progress {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let done = Arc::new(AtomicBool::new(false));
        let shown = io::stderr().is_terminal() && (events_go_to_a_file || !io::stdout().is_terminal());
        if !shown {
            return Progress { bar: ProgressBar::hidden(), read_bytes, done, ticker: None };
        }
        let from_stdin = found.inputs.contains(&Input::Stdin);
        let (bar, style) = if from_stdin {
            (ProgressBar::no_length(), "{spinner} {bytes} read, {bytes_per_sec}, {elapsed}")
        } else {
            (ProgressBar::new(found.size_bytes), "{bar:32.green} {percent:>3} %  {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
        };
        bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant that a test renders"));
        let ticker = thread::spawn({
            let (bar, read_bytes, done) = (bar.clone(), Arc::clone(&read_bytes), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    bar.set_position(read_bytes.load(Ordering::Relaxed));
                    thread::park_timeout(Duration::from_millis(100));
                }
            }
        });
        Progress { bar, read_bytes, done, ticker: Some(ticker) }
    }

    fn finish(self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker {
            ticker.thread().unpark();
            // A ticker that panicked has nothing to add to the summary.
            let _ = ticker.join();
        }
        self.bar.finish_and_clear();
    }
}
