//! Mappings, tags and databases are read anew: on SIGHUP, and when their files change.
//!
//! One thread does both, so two reloads never overtake each other. It looks at the files instead of asking the system to be told of
//! changes: such notices get lost on network file systems and stay with the old folder when Kubernetes swaps the symbolic link above a
//! mounted ConfigMap, while a look every few seconds costs one `stat` a file.
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::mill::Mills;
use crate::config::Files;
use crate::telemetry::Metrics;

/// Folders deeper than this are a loop of links.
const DEPTH_MAX: usize = 16;

/// What tells two states of a file apart: length, the times of its content and of its entry in nanoseconds, device and number. The time
/// of the entry changes also where a copy kept the time of the content.
type Mark = (u64, i128, i128, u64, u64);

/// What lies at the paths of `[files]`; `None` where nothing can be read.
type Look = BTreeMap<PathBuf, Option<Mark>>;

#[cfg(unix)]
fn mark(metadata: &Metadata) -> Mark {
    use std::os::unix::fs::MetadataExt as _;
    let nanoseconds = |seconds: i64, part: i64| i128::from(seconds) * 1_000_000_000 + i128::from(part);
    (
        metadata.len(),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        metadata.dev(),
        metadata.ino(),
    )
}

#[cfg(not(unix))]
fn mark(metadata: &Metadata) -> Mark {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (metadata.len(), modified.map_or(0, |since| since.as_nanos().cast_signed()), 0, 0, 0)
}

/// Looks at every file that a reload would read. Links are followed, so a swapped link is a change.
fn look(files: &Files) -> Look {
    let mut seen = Look::new();
    for path in [&files.mappings, &files.tags, &files.redaction, &files.geo_city, &files.geo_asn].into_iter().flatten() {
        look_at(Path::new(path), 0, &mut seen);
    }
    seen
}

fn look_at(path: &Path, depth: usize, seen: &mut Look) {
    let metadata = std::fs::metadata(path).ok();
    let is_folder = metadata.as_ref().is_some_and(Metadata::is_dir);
    if !is_folder {
        seen.insert(path.to_owned(), metadata.as_ref().map(mark));
        return;
    }
    if depth == DEPTH_MAX {
        return;
    }
    match std::fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries.flatten() {
                // As the loader does: hidden names are an editor's or the mount's own, cases are not mappings.
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let path = entry.path();
                let is_read = path.is_dir() || name.ends_with(".toml") || name.ends_with(".csv");
                if is_read && !name.starts_with('.') && !name.ends_with(".cases") {
                    look_at(&path, depth + 1, seen);
                }
            }
        }
        Err(_) => {
            seen.insert(path.to_owned(), None);
        }
    }
}

/// The thread that reloads. It ends when this is dropped.
pub struct Reloader {
    ask: Sender<()>,
}

impl Reloader {
    /// Starts the thread. What lies at the paths now counts as loaded.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(files: &Files, mills: Arc<dyn Mills>, metrics: Arc<Metrics>) -> std::io::Result<Reloader> {
        let (ask, asked) = bounded::<()>(1);
        let interval = files.watch_interval();
        let files = files.clone();
        metrics.reload_last_ok.set(1);
        metrics.mappings_generation.set(1);
        metrics.reload_success_time.set(seconds_now());
        let mut loaded = look(&files);
        let mut last = loaded.clone();
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            loop {
                let why = match interval.map_or_else(|| asked.recv().map_err(Into::into), |interval| asked.recv_timeout(interval)) {
                    Ok(()) => "signal",
                    Err(RecvTimeoutError::Timeout) => "files",
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                // Looked at before they are read: what changes meanwhile is seen at the next look.
                let now = look(&files);
                // Two equal looks: whoever writes several files, or a large one, has finished.
                let is_settled = now == last;
                last.clone_from(&now);
                if why == "files" && (now == loaded || !is_settled) {
                    continue;
                }
                // A refused state is not tried again until something changes, so that its faults are logged once.
                loaded = now;
                reload(&*mills, &metrics, why);
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

fn reload(mills: &dyn Mills, metrics: &Metrics, why: &'static str) {
    match mills.reload() {
        Ok(()) => {
            metrics.begin_tags(mills.tags().iter().map(|(mapping, tag)| (&**mapping, &**tag)));
            metrics.reload_last_ok.set(1);
            metrics.reload_success_time.set(seconds_now());
            metrics.mappings_generation.inc();
            metrics.reloads.with_label_values(&["ok"]).inc();
            tracing::info!(why, generation = metrics.mappings_generation.get(), "mappings and databases reloaded");
        }
        Err(faults) => {
            metrics.reload_last_ok.set(0);
            metrics.reloads.with_label_values(&["refused"]).inc();
            tracing::error!(why, faults = faults.join("; "), "reload refused, the old mappings and databases stay");
        }
    }
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

    #[test]
    fn a_look_sees_what_the_loader_reads_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("one/acme/vpn.toml", "a = 1");
        write("two/acme/vpn.toml", "a = 2");
        let link = folder.path().join("site");
        std::os::unix::fs::symlink(folder.path().join("one"), &link).expect("a link");
        let files = Files { mappings: Some(link.display().to_string()), ..Files::default() };
        let first = look(&files);
        for (name, change) in [("hidden", "one/acme/.vpn.toml.swp"), ("cases", "one/acme/vpn.cases/a.in.json"), ("a text", "one/README.md")]
        {
            write(change, "x");
            assert_eq!(look(&files), first, "case: {name}");
        }
        write("one/acme/words.csv", "key");
        let second = look(&files);
        assert_ne!(second, first, "a new file");
        fs::remove_file(&link).expect("the link goes");
        assert_ne!(look(&files), second, "nothing there");
        std::os::unix::fs::symlink(folder.path().join("two"), &link).expect("a link");
        assert_ne!(look(&files), second, "a swapped link");
    }
}
