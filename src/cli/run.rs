//! `udmill run`: the stream processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Exit, Failure, mapping_files};
use crate::config::{LogFormat, Settings};
use crate::enrich::Databases;
use crate::runtime::{Ended, EngineMills, Inputs, Load, RunError, run as run_stream};
use crate::telemetry::init_log;

/// Arguments of `udmill run`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill check --config udmill.toml && udmill run --config udmill.toml\n\n\
    SIGTERM finishes what is in flight and ends; a second one gives it up, to be read again. SIGHUP reloads mappings, tags,\n\
    databases, and token and certificate of the admin port, and so does a change of their files; the old ones stay when the new ones\n\
    have a fault.\n\
    Exit codes: 0 everything taken is acknowledged; 1 going on would have lost something, or the time to finish ran out (what was not\n\
    acknowledged is read again); 2 a fault in the settings, mappings or databases.")]
pub struct Args {
    /// The settings file, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// Faults of the settings, mappings and databases, all at once; an end that was not orderly.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let text = fs::read_to_string(&args.config).map_err(|fault| Failure::config(format!("{}: {fault}", args.config.display())))?;
    let settings = Settings::read(&args.config.display().to_string(), &text)
        .map_err(|faults| Failure::config(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    init_log(settings.log.format == LogFormat::Json, &settings.log.filter).map_err(Failure::config)?;
    match run_stream(&settings, mills(&settings)?) {
        Ok(Ended::Drained) => Ok(Exit::Done),
        Ok(Ended::CutShort { unsettled }) => Err(Failure {
            exit: Exit::Io,
            text: format!("{unsettled} messages were not acknowledged in time; they are read again at the next start"),
        }),
        Err(RunError::Settings(text)) => Err(Failure::config(text)),
        Err(RunError::Fatal(text)) => Err(Failure { exit: Exit::Io, text }),
    }
}

/// The engine behind every output of the settings.
///
/// # Errors
///
/// Faults of the mappings and databases, all at once.
pub fn mills(settings: &Settings) -> Result<Arc<EngineMills>, Failure> {
    EngineMills::new(settings, load(settings)).map(Arc::new).map_err(|faults| Failure::config(faults.join("\n")))
}

/// Reads mappings and databases from where the settings say, now and at every reload.
fn load(settings: &Settings) -> Load {
    let files = settings.files.clone();
    Box::new(move || {
        let mut mappings = mapping_files::load(files.mappings.as_deref().map(Path::new)).map_err(|failure| vec![failure.text])?;
        if let Some(tags) = &files.tags {
            mapping_files::add_tags(&mut mappings, Path::new(tags)).map_err(|failure| vec![failure.text])?;
        }
        let site = match &files.redaction {
            None => None,
            Some(path) => {
                let read = mapping_files::redaction(Path::new(path)).map_err(|failure| vec![failure.text])?;
                Some(read.rules().map_err(|why| vec![format!("{path}: {why}")])?)
            }
        };
        let mut faults = Vec::new();
        let mut read = |path: &Option<String>| {
            let path = path.as_ref()?;
            fs::read(path).map_err(|fault| faults.push(format!("{path}: {fault}"))).ok()
        };
        let (city, asn) = (read(&files.geo_city), read(&files.geo_asn));
        match Databases::new(city, asn) {
            Ok(databases) if faults.is_empty() => Ok(Inputs { files: mappings, databases: Arc::new(databases), site }),
            Ok(_) => Err(faults),
            Err(found) => Err(faults.into_iter().chain(found.iter().map(ToString::to_string)).collect()),
        }
    })
}
