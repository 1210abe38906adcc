//! What is read anew while the process runs: on SIGHUP, and when its files change.
//!
//! One thread does both, so two reloads never overtake each other. What belongs together is a [`Part`], and each is taken as a whole or
//! refused as a whole, so a broken mapping does not keep an expired certificate in force.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::admin_keys::admin_keys;
use super::look::Look;
use super::mill::Mills;
use crate::config::{Admin, Files, SecretRef, StartFile};
use crate::telemetry::{CurrentKeys, Metrics};

/// Reads something anew and puts it in force, or says what is wrong, a line each; nothing has changed then.
type Read = Box<dyn FnMut() -> Result<(), Vec<String>> + Send>;

/// What is read together.
pub struct Part {
    /// For the log.
    what: &'static str,
    paths: Vec<PathBuf>,
    read: Read,
    /// What lay there when it was read last; a refused state is not tried again until something changes, so its faults are logged once.
    loaded: Look,
    /// What lay there at the last look.
    last: Look,
    is_refused: bool,
}

impl Part {
    /// Of what lies at the paths now and counts as loaded.
    fn new(what: &'static str, paths: Vec<PathBuf>, read: Read) -> Part {
        let loaded = Look::at(&paths);
        Part { what, paths, read, last: loaded.clone(), loaded, is_refused: false }
    }

    /// Mappings, tags, redaction and databases.
    pub fn mappings(files: &Files, mills: Arc<dyn Mills>, metrics: &Arc<Metrics>) -> Part {
        let named = [&files.mappings, &files.tags, &files.redaction, &files.geo_city, &files.geo_asn];
        let paths = named.into_iter().flatten().map(PathBuf::from).collect();
        let metrics = Arc::clone(metrics);
        let read = move || {
            mills.reload()?;
            metrics.begin_tags(mills.tags().iter().map(|(mapping, tag)| (&**mapping, &**tag)));
            metrics.mappings_generation.inc();
            Ok(())
        };
        Part::new("mappings and databases", paths, Box::new(read))
    }

    /// Token and certificate of the admin port; `None` when no file holds any of them.
    pub fn admin(admin: &Admin, keys: &CurrentKeys) -> Option<Part> {
        let token = admin.token.as_ref().and_then(|SecretRef { file, .. }| file.as_ref());
        let tls = admin.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let paths: Vec<PathBuf> = token.into_iter().chain(tls).map(PathBuf::from).collect();
        let (admin, keys) = (admin.clone(), Arc::clone(keys));
        let read = move || {
            keys.store(Arc::new(admin_keys(&admin)?));
            Ok(())
        };
        (!paths.is_empty()).then(|| Part::new("token and certificate of the admin port", paths, Box::new(read)))
    }

    /// Whether it is to be read now.
    fn is_due(&mut self, asked: bool) -> bool {
        // Looked at before it is read: what changes meanwhile is seen at the next look.
        let now = Look::at(&self.paths);
        // Two equal looks: whoever writes several files, or a large one, has finished.
        let is_settled = now == self.last;
        self.last.clone_from(&now);
        let is_due = asked || (now != self.loaded && is_settled);
        if is_due {
            self.loaded = now;
        }
        is_due
    }

    /// Reads it and tells the log. Answers whether it was taken.
    fn reload(&mut self, why: &'static str) -> bool {
        let result = (self.read)();
        self.is_refused = result.is_err();
        match result {
            Ok(()) => tracing::info!(why, "{} reloaded", self.what),
            Err(faults) => tracing::error!(why, faults = faults.join("; "), "reload refused, the old {} stay", self.what),
        }
        !self.is_refused
    }
}

/// A file that only a restart reads again: whoever changes it is told so.
struct Fixed {
    file: StartFile,
    path: [PathBuf; 1],
    /// What lay there at the start.
    started: Look,
    told: Look,
    last: Look,
}

impl Fixed {
    fn new(file: StartFile) -> Fixed {
        let path = [PathBuf::from(&file.path)];
        let started = Look::at(&path);
        Fixed { file, path, told: started.clone(), last: started.clone(), started }
    }

    /// Warns when the file is not what it was at the start: once a change, and whenever a reload was asked for.
    fn warn(&mut self, asked: bool) {
        let now = Look::at(&self.path);
        let is_settled = now == self.last;
        self.last.clone_from(&now);
        let is_news = asked || (is_settled && now != self.told);
        if is_news && now != self.started {
            tracing::warn!(
                setting = self.file.setting,
                file = self.file.path,
                "this file has changed and is read at the start only; restart the process to use it"
            );
            self.told = now;
        }
    }
}

/// The thread that reloads. It ends when this is dropped.
pub struct Reloader {
    ask: Sender<()>,
}

impl Reloader {
    /// Starts the thread. `interval` lies between two looks; without one nobody looks but on SIGHUP.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(
        interval: Option<Duration>,
        mut parts: Vec<Part>,
        fixed: Vec<StartFile>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Reloader> {
        let (ask, asked) = bounded::<()>(1);
        let mut fixed: Vec<Fixed> = fixed.into_iter().map(Fixed::new).collect();
        metrics.reload_last_ok.set(1);
        metrics.mappings_generation.set(1);
        metrics.reload_success_time.set(seconds_now());
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            loop {
                let why = match interval.map_or_else(|| asked.recv().map_err(Into::into), |interval| asked.recv_timeout(interval)) {
                    Ok(()) => "signal",
                    Err(RecvTimeoutError::Timeout) => "files",
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                let asked = why == "signal";
                fixed.iter_mut().for_each(|one| one.warn(asked));
                reload(&mut parts, &metrics, why);
            }
        })?;
        Ok(Reloader { ask })
    }

    /// Asks for a reload; one that is asked for already is enough for both.
    pub fn ask(&self) {
        // Full: a reload is to come. Disconnected: the process ends.
        let _ = self.ask.try_send(());
    }
}

/// Reads every part that is due. It counts as one reload, refused when any of them was.
fn reload(parts: &mut [Part], metrics: &Metrics, why: &'static str) {
    let taken: Vec<bool> = parts.iter_mut().filter_map(|part| part.is_due(why == "signal").then(|| part.reload(why))).collect();
    if taken.is_empty() {
        return;
    }
    let is_taken = taken.iter().all(|taken| *taken);
    metrics.reloads.with_label_values(&[if is_taken { "ok" } else { "refused" }]).inc();
    if is_taken {
        metrics.reload_success_time.set(seconds_now());
    }
    // A part that was refused earlier and was not read now still has its fault.
    metrics.reload_last_ok.set(i64::from(parts.iter().all(|part| !part.is_refused)));
}

/// Seconds since the Unix epoch.
fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// A part that is refused while its file holds a fault.
    fn part(path: &Path) -> Part {
        fs::write(path, "good").expect("a file");
        let paths = vec![path.to_owned()];
        let path = path.to_owned();
        let read = move || {
            let text = fs::read_to_string(&path).map_err(|error| vec![error.to_string()])?;
            if text.starts_with("good") { Ok(()) } else { Err(vec![text]) }
        };
        Part::new("test", paths, Box::new(read))
    }

    #[test]
    fn parts_are_read_when_they_change_and_what_was_refused_stays_so_until_it_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let mut parts = [part(&one), part(&two)];
        let metrics = Metrics::new();
        let count = |result| metrics.reloads.with_label_values(&[result]).get();
        let mut turn = |why| {
            reload(&mut parts, &metrics, why);
            (count("ok"), count("refused"), metrics.reload_last_ok.get())
        };
        metrics.reload_last_ok.set(1);
        for (name, change, why, expected) in [
            ("nothing changed", None, "files", (0, 0, 1)),
            ("not settled", Some((&one, "broken")), "files", (0, 0, 1)),
            ("settled", None, "files", (0, 1, 0)),
            ("tried once", None, "files", (0, 1, 0)),
            ("the other, not settled", Some((&two, "good too")), "files", (0, 1, 0)),
            ("the other is taken, the first has its fault", None, "files", (1, 1, 0)),
            ("both are asked for", None, "signal", (1, 2, 0)),
            ("mended, and not waited for", Some((&one, "good again")), "signal", (2, 2, 1)),
            ("a signal needs no change", None, "signal", (3, 2, 1)),
            ("nothing changed since", None, "files", (3, 2, 1)),
        ] {
            if let Some((path, text)) = change {
                fs::write(path, text).expect("a file");
            }
            assert_eq!(turn(why), expected, "case: {name}");
        }
    }
}
