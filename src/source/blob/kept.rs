//! Positions in blobs, kept in one file or one object.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::growth::Mark;
use crate::config::{BlobSource as Settings, Place, open_store, store_answer};
use crate::source::lasting;

/// How far one blob is settled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Bytes whose records are settled.
    pub offset: u64,
    /// They end within the list of an envelope.
    #[serde(default)]
    pub inside: bool,
    /// Length and hash of the last bytes before `offset`: a blob where something else stands there was written anew.
    #[serde(default)]
    pub tail: Tail,
    /// The version that was read to its end, when all of it is settled.
    #[serde(default)]
    pub e_tag: Option<String>,
    /// The hour that its name says, in hours since the Unix epoch; 0 for a name without one.
    #[serde(default)]
    pub hour: i64,
}

impl Kept {
    /// Where reading goes on.
    pub fn mark(&self) -> Mark {
        Mark { offset: self.offset, is_inside: self.inside }
    }
}

/// The last bytes of what was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// How many.
    pub length: u64,
    /// Their BLAKE3, its first 16 hexadecimal digits.
    pub hash: String,
}

/// So many bytes are enough: the end of a record with its time and numbers.
const TAIL_BYTES: usize = 64;

impl Tail {
    /// That of a text which was just read.
    pub fn of(bytes: &[u8]) -> Tail {
        let last = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        Tail { length: last.len() as u64, hash: blake3::hash(last).to_hex()[..16].to_owned() }
    }
}

/// Everything that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    version: u32,
    /// Which process wrote it, so that the words of two never look alike.
    #[serde(default)]
    pub writer: String,
    /// When all blobs were last listed. Unit: hours since the Unix epoch; 0 for never.
    pub listed_hour: i64,
    /// By `SCHEME://CONTAINER/NAME`.
    pub blobs: BTreeMap<String, Kept>,
}

const VERSION: u32 = 1;

impl Default for Positions {
    fn default() -> Positions {
        Positions { version: VERSION, writer: String::new(), listed_hour: 0, blobs: BTreeMap::new() }
    }
}

impl Positions {
    fn read(bytes: &[u8]) -> Result<Positions, String> {
        let read: Positions = serde_json::from_slice(bytes).map_err(|error| {
            format!("expected what this program writes, found something else ({error}); move it away to begin anew, which reads `look_back_hours` again")
        })?;
        match read.version {
            VERSION => Ok(read),
            other => Err(format!("it was written by another version of this program (format {other}, expected {VERSION})")),
        }
    }

    fn write(&self) -> Vec<u8> {
        // Names and numbers only: nothing in it that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Where positions are kept.
pub enum Store {
    /// A file that a lock makes ours alone.
    File {
        /// Its path.
        path: PathBuf,
        /// Held as long as the process lives.
        _lock: File,
    },
    /// An object; each write holds only for the version that this process wrote or read last.
    Object {
        /// Its container.
        store: Arc<dyn ObjectStore>,
        /// Its name.
        path: object_store::path::Path,
        /// Its version; `None` when there was none.
        version: Option<UpdateVersion>,
    },
}

/// Why positions were not written.
#[derive(Debug)]
pub enum Fault {
    /// It may work later.
    Later(String),
    /// Another process writes them too: this one must stop.
    Taken(String),
}

impl Store {
    /// Opens the place. An object is not asked for yet.
    ///
    /// # Errors
    ///
    /// Another process holds the lock, a folder cannot be written, a secret cannot be read.
    pub fn open(settings: &Settings) -> Result<Store, String> {
        if let Some(path) = &settings.checkpoints.file {
            let path = PathBuf::from(path);
            let named = |error: &dyn std::fmt::Display| format!("checkpoint file `{}`: {error}", path.display());
            let lock = lasting::lock(&path.with_extension("lock"))
                .map_err(|error| named(&error))?
                .ok_or_else(|| named(&"another process holds it; one process alone reads these blobs"))?;
            return Ok(Store::File { path, _lock: lock });
        }
        let text = settings.checkpoints.object.as_deref().unwrap_or_default();
        match Place::read(text)? {
            Place::Store { cloud, container, prefix } => {
                let store = open_store(cloud, &container, &settings.access).map_err(|fault| format!("`{text}`: {fault}"))?;
                let path = object_store::path::Path::parse(&prefix).map_err(|error| format!("`{text}`: {error}"))?;
                Ok(Store::Object { store, path, version: None })
            }
            Place::Folder(_) => Err(format!("`{text}`: expected `az://CONTAINER/NAME.json`")),
        }
    }

    /// Reads the positions; empty ones when there are none.
    ///
    /// # Errors
    ///
    /// `Err(Err(_))`: they are there and cannot be understood, so nobody may begin anew in silence. `Err(Ok(_))`: the store did not answer.
    pub async fn load(&mut self) -> Result<Positions, Result<String, String>> {
        match self {
            Store::File { path, .. } => match fs::read(&*path) {
                Ok(bytes) => Positions::read(&bytes).map_err(|fault| Err(format!("checkpoint file `{}`: {fault}", path.display()))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Positions::default()),
                Err(error) => Err(Err(format!("checkpoint file `{}`: {error}", path.display()))),
            },
            Store::Object { store, path, version } => {
                let found = match store.get(path).await {
                    Ok(found) => found,
                    Err(Error::NotFound { .. }) => return Ok(Positions::default()),
                    Err(error) => return Err(Ok(store_answer(&error.to_string()))),
                };
                let read = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let bytes = found.bytes().await.map_err(|error| Ok(store_answer(&error.to_string())))?;
                let positions = Positions::read(&bytes).map_err(|fault| Err(format!("checkpoint object `{path}`: {fault}")))?;
                *version = Some(read);
                Ok(positions)
            }
        }
    }

    /// Writes the positions, all or nothing.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub async fn save(&mut self, positions: &Positions) -> Result<(), Fault> {
        let bytes = positions.write();
        match self {
            Store::File { path, .. } => {
                lasting::write(path, &bytes).map_err(|error| Fault::Later(format!("checkpoint file `{}`: {error}", path.display())))
            }
            Store::Object { store, path, version } => {
                let mode = version.clone().map_or(PutMode::Create, PutMode::Update);
                match store.put_opts(path, PutPayload::from(bytes.clone()), PutOptions::from(mode)).await {
                    Ok(put) => {
                        *version = Some(UpdateVersion { e_tag: put.e_tag, version: put.version });
                        Ok(())
                    }
                    Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {
                        // An answer that was lost leaves our own words there, under a version that we do not know.
                        let found = store.get(path).await.map_err(later)?;
                        let read = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                        let there = found.bytes().await.map_err(later)?;
                        if there[..] == bytes[..] {
                            *version = Some(read);
                            return Ok(());
                        }
                        let help = "another process writes it; one process alone reads these blobs";
                        Err(Fault::Taken(format!("checkpoint object `{path}`: {help}")))
                    }
                    Err(error) => Err(later(error)),
                }
            }
        }
    }
}

fn later(error: Error) -> Fault {
    Fault::Later(store_answer(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BlobCheckpoints;
    use std::path::Path;

    fn settings(path: &Path) -> Settings {
        let checkpoints = BlobCheckpoints { file: Some(path.display().to_string()), object: None };
        Settings { checkpoints, ..Settings::default() }
    }

    #[tokio::test]
    async fn positions_outlive_the_process_and_a_second_one_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = settings(&folder.path().join("positions.json"));
        let mut store = Store::open(&settings).expect("a folder");
        assert_eq!(store.load().await, Ok(Positions::default()));
        let mut positions = Positions { listed_hour: 7, ..Positions::default() };
        let kept = Kept { offset: 42, inside: true, tail: Tail::of(b"{}"), e_tag: Some("\"0x1\"".into()), hour: 3 };
        positions.blobs.insert("az://c/a=/PT1H.json".into(), kept);
        store.save(&positions).await.expect("written");
        assert!(Store::open(&settings).is_err_and(|fault| fault.contains("one process alone")));
        drop(store);
        assert_eq!(Store::open(&settings).expect("the lock is free").load().await, Ok(positions));
    }

    #[tokio::test]
    async fn what_is_not_understood_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("positions.json");
        for text in ["", "{}", "[1]", "{\"version\":2,\"listed_hour\":0,\"blobs\":{}}"] {
            fs::write(&path, text).expect("written");
            assert!(matches!(Store::open(&settings(&path)).expect("a lock").load().await, Err(Err(_))), "case: {text}");
        }
    }

    #[tokio::test]
    async fn a_second_writer_of_an_object_is_noticed() {
        let shared: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let open = || Store::Object { store: Arc::clone(&shared), path: "p.json".into(), version: None };
        let (mut one, mut other) = (open(), open());
        let positions = |listed_hour| Positions { listed_hour, writer: "a".into(), ..Positions::default() };
        one.load().await.expect("nothing yet");
        one.save(&positions(1)).await.expect("written");
        one.save(&positions(2)).await.expect("written again");
        assert_eq!(other.load().await, Ok(positions(2)));
        other.save(&positions(3)).await.expect("the version it read");
        assert!(matches!(one.save(&positions(4)).await, Err(Fault::Taken(_))));
        // Both say the same, but the other said it.
        let theirs = Positions { writer: "b".into(), ..positions(3) };
        assert!(matches!(one.save(&theirs).await, Err(Fault::Taken(_))));
        // The answer to a write was lost.
        let mut again = open();
        again.save(&positions(3)).await.expect("our own words");
    }

    #[test]
    fn a_tail_is_of_the_last_bytes() {
        let long: Vec<u8> = (0..200).collect();
        assert_eq!(Tail::of(&long), Tail::of(&long[136..]));
        assert_eq!((Tail::of(&long).length, Tail::of(b"ab").length, Tail::of(b"").length), (64, 2, 0));
    }
}
