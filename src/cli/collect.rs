//! `udmill collect`: one look at a log that has to be asked for.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::pipeline::Mill as _;
use super::summary::Summary;
use super::{Exit, Failure, run};
use crate::config::{LogFormat, OpenAiSource, SecretRef, Settings, TenantListing};
use crate::runtime::{Ended, RunError, run as run_stream};
use crate::sink::letter_file::DeadLetter;
use crate::source::openai::collector::Note;
use crate::source::openai::look;
use crate::source::openai::state::Listing;
use crate::telemetry::init_log;

/// Arguments of `udmill collect`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    OPENAI_ADMIN_KEY=sk-admin-... udmill collect openai --once --since 24h > events.ndjson\n  \
    udmill collect openai --once --since 7d --emit raw --key-file /run/secrets/openai -o audit.ndjson\n  \
    udmill collect openai --once --since 7d --config udmill.toml\n\n\
    Without --config nothing is remembered: the events go to standard output. With it they go to its sinks, ids that were delivered\n\
    before are left out, and it is remembered how far the log was read. `udmill run` looks again and again.\n\n\
    Exit codes: 0 every listing was read to its end; 1 it was not, or writing failed; 2 a fault in arguments, settings or mappings;\n\
    3 nothing at all was emitted from events that were there.")]
pub struct Args {
    /// What is asked
    #[arg(value_name = "LOG", value_parser = ["openai"])]
    log: String,
    /// One look, then the end
    #[arg(long, required = true)]
    once: bool,
    /// How far back: a number with s, m, h or d [default: 24h, or as the settings say]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    since: Option<u32>,
    /// Settings with `[source.openai]`: the events go to its sinks
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "dead_letter", "emit", "key_file", "base_url", "project_id", "event_type", "page_events", "no_tenant"])]
    config: Option<PathBuf>,
    /// Environment variable that holds the Admin key
    #[arg(long, value_name = "NAME", default_value = "OPENAI_ADMIN_KEY")]
    key_env: String,
    /// File that holds the Admin key, instead of the environment
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// `udm`: events; `raw`: every record as the API wrote it
    #[arg(long, value_name = "WHAT", default_value = "udm", value_parser = ["udm", "raw"])]
    emit: String,
    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep rejected records in FILE, with the reason and their own bytes
    #[arg(long, value_name = "FILE")]
    dead_letter: Option<PathBuf>,
    /// Only events of this project; any number
    #[arg(long, value_name = "ID")]
    project_id: Vec<String>,
    /// Only this type of events; any number
    #[arg(long, value_name = "TYPE")]
    event_type: Vec<String>,
    /// Events a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    page_events: Option<u32>,
    /// Leave the tenant's listing out
    #[arg(long)]
    no_tenant: bool,
    /// Address of the API
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    mappings: super::mill::MappingArgs,
}

/// A day.
const SINCE_SECONDS: u32 = 86_400;

/// `90s`, `15m`, `24h`, `7d`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("expected a number with s, m, h or d, as `24h`; found `{text}`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(factor)
        .filter(|seconds| (1..=366 * 86_400).contains(seconds))
        .ok_or_else(|| format!("`{text}` is not within a year"))
}

/// Runs the command.
///
/// # Errors
///
/// Faults of arguments, settings and mappings; a listing that was not read to its end; a failure to write.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.config {
        Some(path) => to_sinks(args, path),
        None => to_output(args),
    }
}

fn to_sinks(args: &Args, path: &PathBuf) -> Result<Exit, Failure> {
    let text = fs::read_to_string(path).map_err(|fault| Failure::config(format!("{}: {fault}", path.display())))?;
    let mut settings = Settings::read(&path.display().to_string(), &text)
        .map_err(|faults| Failure::config(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let Some(source) = &mut settings.source.openai else {
        return Err(Failure::config(format!("{}: no section `[source.openai]`", path.display())));
    };
    source.once = true;
    source.since_seconds = args.since;
    init_log(settings.log.format == LogFormat::Json, &settings.log.filter).map_err(Failure::config)?;
    match run_stream(&settings, run::mills(&settings)?) {
        Ok(Ended::Drained) => Ok(Exit::Done),
        Ok(Ended::CutShort { unsettled }) => {
            Err(Failure { exit: Exit::Io, text: format!("{unsettled} events were not acknowledged in time; they are collected again") })
        }
        Err(RunError::Settings(text)) => Err(Failure::config(text)),
        Err(RunError::Fatal(text)) => Err(Failure { exit: Exit::Io, text }),
    }
}

fn to_output(args: &Args) -> Result<Exit, Failure> {
    let key = match &args.key_file {
        Some(path) => SecretRef { env: None, file: Some(path.display().to_string()) },
        None => SecretRef { env: Some(args.key_env.clone()), file: None },
    };
    let mut settings = OpenAiSource { key: Some(key), ..OpenAiSource::default() };
    settings.project_ids.clone_from(&args.project_id);
    settings.event_types.clone_from(&args.event_type);
    settings.page_events = args.page_events.unwrap_or(settings.page_events);
    settings.base_url = args.base_url.clone().unwrap_or(settings.base_url);
    settings.tenant = if args.no_tenant { TenantListing::Off } else { TenantListing::Auto };
    settings.check_address().map_err(Failure::config)?;
    settings.key.as_ref().map_or(Ok(()), |key| key.read().map(drop)).map_err(Failure::config)?;

    let started = Instant::now();
    let mut mill = if args.emit == "udm" { Some(super::mill::prepare(&args.mappings)?.mill()) } else { None };
    let open = |path: &PathBuf| File::create(path).map(BufWriter::new).map_err(|fault| Failure::io(path.display(), &fault));
    let mut events: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(open(path)?),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let mut letters: Option<BufWriter<File>> = args.dead_letter.as_ref().map(open).transpose()?;
    let progress = Progress::start(args.output.is_some());
    let (mut lines, mut rejects, mut taken) = (Vec::new(), Vec::<DeadLetter>::new(), 0_u64);
    let mut broken_pipe = false;
    let mut take = |bytes: &[u8]| {
        taken += 1;
        lines.clear();
        match &mut mill {
            Some(mill) => mill.process(bytes, None, &mut lines, &mut rejects),
            None => one_line(bytes, &mut lines),
        }
        let mut written = events.write_all(&lines);
        if let Some(letters) = &mut letters {
            lines.clear();
            rejects.drain(..).for_each(|letter| letter.write(&mut lines));
            written = written.and_then(|()| letters.write_all(&lines));
        }
        rejects.clear();
        written.map_err(|fault| {
            broken_pipe = fault.kind() == io::ErrorKind::BrokenPipe;
            format!("writing: {fault}")
        })
    };
    let ended =
        look(&settings, i64::from(args.since.unwrap_or(SINCE_SECONDS)), &mut take, &mut |listing, note| progress.hear(listing, note));
    progress.finish();
    let flushed = events.flush().and_then(|()| letters.as_mut().map_or(Ok(()), Write::flush));
    if let Some(mill) = &mill {
        let dead_letter = args.dead_letter.as_ref().map(|path| path.display().to_string());
        let summary = Summary { tally: mill.tally(), took: started.elapsed(), files: 0, dead_letter };
        anstream::eprint!("{}", summary.text());
    } else {
        anstream::eprintln!("{taken} events in {:.1} s", started.elapsed().as_secs_f64());
    }
    if let Err(text) = ended {
        // A reader that has seen enough (`| head`) is no fault worth a line.
        return Err(Failure { exit: Exit::Io, text: if broken_pipe { String::new() } else { text } });
    }
    if let Err(fault) = flushed.as_ref().map_err(io::Error::kind) {
        let text = if fault == io::ErrorKind::BrokenPipe { String::new() } else { format!("writing: {fault}") };
        return Err(Failure { exit: Exit::Io, text });
    }
    let nothing = taken > 0 && mill.is_some_and(|mill| mill.tally().emitted == 0);
    Ok(if nothing { Exit::Rejected } else { Exit::Done })
}

/// A record on one line: line ends stand only between its tokens, where they mean nothing.
fn one_line(bytes: &[u8], line: &mut Vec<u8>) {
    line.extend(bytes.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    line.push(b'\n');
}

/// What a person sees while it runs: on a terminal a line that moves, else only what goes wrong.
struct Progress {
    bar: Option<ProgressBar>,
    pages: std::cell::Cell<u64>,
    events: std::cell::Cell<u64>,
}

impl Progress {
    fn start(output_is_file: bool) -> Progress {
        let is_seen = io::stderr().is_terminal() && (output_is_file || !io::stdout().is_terminal());
        let bar = is_seen.then(|| {
            let bar = ProgressBar::new_spinner();
            // A constant template that a look at the terminal proves.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { bar, pages: Default::default(), events: Default::default() }
    }

    fn hear(&self, listing: Listing, note: &Note) {
        let say = |text: &str| match &self.bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{}: {text}", listing.name())),
            None => anstream::eprintln!("{}: {text}", listing.name()),
        };
        match note {
            Note::Events { new, .. } => {
                self.pages.set(self.pages.get() + 1);
                self.events.set(self.events.get() + new);
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{}: {} pages, {} events", listing.name(), self.pages.get(), self.events.get()));
                }
            }
            Note::Absent(status) => say(&format!("this organization does not have this listing (status {status})")),
            Note::CursorFault => say("the pages do not lead on; the window is read by time"),
            Note::Limited(what) | Note::Failed(what) => say(what),
            _ => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [("90s", Some(90)), ("15m", Some(900)), ("24h", Some(86_400)), ("7d", Some(604_800)), ("400d", None)] {
            assert_eq!(seconds(text).ok(), expected, "case: {text}");
        }
        for text in ["", "h", "24", "-1h", "1.5h", "9999999999h", "0s", "1é"] {
            assert!(seconds(text).is_err(), "case: {text}");
        }
    }
}
