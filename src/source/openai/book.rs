//! Where it is written down how far the log was read: a trait, and a folder of files behind it.
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::state::{Listing, State};
use crate::source::lasting;

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookFault {
    /// Nothing of the batch counts: deliver it again.
    Again(String),
    /// Going on could lose or repeat something.
    Fatal(String),
}

/// Keeps the states. One process at a time: opening takes the book from nobody who still writes.
pub trait Book: Send + Sync + 'static {
    /// Reads the states, becoming their only writer. A listing without one gets what `first` makes, which is written down at once.
    ///
    /// # Errors
    ///
    /// A state cannot be read, or is not ours to write. The collector then stops: beginning anew would lose or repeat without a word.
    fn open(&self, listings: &[Listing], first: &dyn Fn(Listing) -> State) -> Result<Vec<State>, String>;

    /// A batch is about to be delivered.
    ///
    /// # Errors
    ///
    /// [`BookFault`].
    fn begin(&self) -> Result<(), BookFault>;

    /// Whether what is being delivered still counts; asked while waiting for acknowledgements.
    ///
    /// # Errors
    ///
    /// [`BookFault`].
    fn check(&self) -> Result<(), BookFault>;

    /// Everything of the batch is acknowledged: writes the state after it. `pieces` are those whose ids changed.
    ///
    /// # Errors
    ///
    /// [`BookFault`].
    fn commit(&self, state: &State, pieces: &[i64]) -> Result<(), BookFault>;

    /// Keeps an answer that could not be read, for people.
    fn keep_unreadable(&self, listing: Listing, body: &[u8]);
}

/// A folder with a file for each listing.
///
/// A lock keeps a second process away. Where locks do not reach (some network file systems) the epoch does: every opening raises it, and
/// whoever finds a higher one than its own stops before it writes. A file is written beside its place, synced and renamed over it.
#[derive(Debug)]
pub struct FileBook {
    folder: PathBuf,
    /// Held as long as the process lives.
    _lock: File,
}

impl FileBook {
    /// Makes the folder when it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or another process holds it.
    pub fn new(folder: &Path) -> Result<FileBook, String> {
        let named = |what: &dyn std::fmt::Display| format!("`source.openai.state.folder` `{}`: {what}", folder.display());
        fs::create_dir_all(folder).map_err(|error| named(&error))?;
        let path = folder.join("lock");
        let Some(mut lock) = lasting::lock(&path).map_err(|error| named(&error))? else {
            let owner = fs::read_to_string(&path).unwrap_or_default();
            return Err(named(&format!("another process holds it ({}); one collector at a time", owner.trim())));
        };
        // Who holds it is for people; the lock itself is what counts.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "process {}", std::process::id()));
        Ok(FileBook { folder: folder.to_owned(), _lock: lock })
    }

    fn path(&self, listing: Listing) -> PathBuf {
        self.folder.join(format!("{}.json", listing.name()))
    }

    fn read(&self, listing: Listing) -> Result<Option<State>, String> {
        let path = self.path(listing);
        match fs::read(&path) {
            Ok(bytes) => State::read(&bytes, listing).map(Some).map_err(|fault| {
                let help = "restore it, or move it away to begin anew with `look_back_seconds`";
                format!("state `{}`: {fault}; {help}", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("state `{}` was not read: {error}", path.display())),
        }
    }

    fn write(&self, state: &State) -> Result<(), String> {
        let path = self.path(state.head.listing);
        lasting::write(&path, &state.write()).map_err(|error| format!("state `{}` was not written: {error}", path.display()))
    }
}

impl Book for FileBook {
    fn open(&self, listings: &[Listing], first: &dyn Fn(Listing) -> State) -> Result<Vec<State>, String> {
        let mut states = Vec::new();
        for listing in listings {
            let mut state = self.read(*listing)?.unwrap_or_else(|| first(*listing));
            state.head.epoch += 1;
            self.write(&state)?;
            states.push(state);
        }
        Ok(states)
    }

    fn begin(&self) -> Result<(), BookFault> {
        Ok(())
    }

    fn check(&self) -> Result<(), BookFault> {
        Ok(())
    }

    fn commit(&self, state: &State, _: &[i64]) -> Result<(), BookFault> {
        let epoch = match self.read(state.head.listing).map_err(BookFault::Fatal)? {
            Some(found) => found.head.epoch,
            None => return Err(BookFault::Fatal(format!("state `{}` is gone", self.path(state.head.listing).display()))),
        };
        if epoch != state.head.epoch {
            let what = format!("epoch {epoch} was found where this process wrote {}", state.head.epoch);
            return Err(BookFault::Fatal(format!("another process collects the same listing: {what}")));
        }
        self.write(state).map_err(BookFault::Fatal)
    }

    fn keep_unreadable(&self, listing: Listing, body: &[u8]) {
        let path = self.folder.join(format!("{}.unreadable", listing.name()));
        match fs::write(&path, body) {
            Ok(()) => tracing::warn!(path = %path.display(), bytes = body.len(), "an answer that could not be read is kept"),
            Err(error) => tracing::warn!(%error, path = %path.display(), "an answer that could not be read was not kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(listing: Listing) -> State {
        State::begin(listing, 1000, 2000)
    }

    #[test]
    fn a_state_outlives_the_process_and_a_second_process_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state");
        let book = FileBook::new(&path).expect("a new folder");
        let listings = [Listing::Organization, Listing::Tenant];
        let mut states = book.open(&listings, &first).expect("first states");
        assert_eq!(states[1].head.epoch, 1);
        states[1].seen.insert("a".into(), 1500);
        states[1].head.reached = 1800;
        book.commit(&states[1], &[2]).expect("written");
        assert!(FileBook::new(&path).is_err_and(|fault| fault.contains("another process") && fault.contains("process ")));
        drop(book);
        let book = FileBook::new(&path).expect("the lock is free again");
        let again = book.open(&listings, &|_| panic!("there is a state")).expect("read");
        assert_eq!((again[1].head.reached, again[1].head.epoch, again[1].seen.get("a")), (1800, 2, Some(&1500)));
        assert!(matches!(book.commit(&states[1], &[]), Err(BookFault::Fatal(what)) if what.contains("another process")), "an old epoch");
    }

    #[test]
    fn a_state_that_cannot_be_read_stops_everything() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for content in ["", "{}", "{\"head\":7}"] {
            fs::write(folder.path().join("organization.json"), content).expect("written");
            let book = FileBook::new(folder.path()).expect("a folder");
            let fault = book.open(&[Listing::Organization], &first).expect_err("refused");
            assert!(fault.contains("organization.json") && fault.contains("restore it"), "{fault}");
        }
    }
}
