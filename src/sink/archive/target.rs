//! Writes whole files: to a folder, or to an object store.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::config::{ArchiveSink as Settings, Place};

/// Why a file was not written.
#[derive(Debug)]
pub struct Fault {
    /// From a closed list.
    pub code: &'static str,
    /// We are not let in.
    pub refused: bool,
    /// What happened, where.
    pub text: String,
}

/// Where files go.
pub struct Target {
    kind: Kind,
    probed: AtomicBool,
}

enum Kind {
    Folder(PathBuf),
    #[cfg(feature = "objects")]
    Store {
        store: std::sync::Arc<dyn object_store::ObjectStore>,
        /// As the settings name it.
        place: String,
        prefix: String,
        runtime: tokio::runtime::Runtime,
    },
}

/// Files are written here and then renamed to their place. It begins with a dot, so nobody who reads the archive looks into it.
const UNFINISHED: &str = ".unfinished";
/// Numbers the files that are being written.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// What a process left there when it was killed is thrown away at this age; its lines were not acknowledged.
const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 3600);

impl Target {
    /// Opens the place. A store is not asked yet.
    ///
    /// # Errors
    ///
    /// A folder that cannot be written, a secret that cannot be read.
    pub fn new(settings: &Settings) -> Result<Target, String> {
        let place = Place::read(&settings.to)?;
        let kind = match &place {
            Place::Folder(folder) => {
                let unfinished = folder.join(UNFINISHED);
                fs::create_dir_all(&unfinished).map_err(|error| format!("folder `{}`: {error}", folder.display()))?;
                tidy(&unfinished);
                Kind::Folder(folder.clone())
            }
            #[cfg(feature = "objects")]
            Place::Store { cloud, container, prefix } => {
                let store = crate::config::open_store(*cloud, container, &settings.access).map_err(|fault| format!("{place}: {fault}"))?;
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .thread_name("archive-net")
                    .enable_all()
                    .build()
                    .map_err(|error| format!("threads were not started: {error}"))?;
                Kind::Store { store, place: place.to_string(), prefix: prefix.clone(), runtime }
            }
            #[cfg(not(feature = "objects"))]
            Place::Store { .. } => return Err("this program was built without the feature `objects`; use a folder".to_owned()),
        };
        Ok(Target { kind, probed: AtomicBool::new(false) })
    }

    /// True for the first who asks: one look is enough.
    pub fn claim_probe(&self) -> bool {
        !self.probed.swap(true, Ordering::AcqRel)
    }

    /// Looks whether the place answers and lets us in.
    pub fn probe(&self) -> Result<(), Fault> {
        match &self.kind {
            Kind::Folder(_) => Ok(()),
            #[cfg(feature = "objects")]
            Kind::Store { store, place, prefix, runtime } => {
                use object_store::ObjectStoreExt as _;
                let name = object_store::path::Path::from(join(prefix, ".udmill"));
                match runtime.block_on(store.head(&name)) {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(fault(place, &error)),
                }
            }
        }
    }

    /// Writes a file so that it is there whole and lasting, or not at all. One of the same name is replaced.
    ///
    /// # Errors
    ///
    /// [`Fault`]; the same call may work later.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        match &self.kind {
            Kind::Folder(folder) => write_lasting(folder, name, bytes).map_err(|error| {
                let code = if error.kind() == io::ErrorKind::PermissionDenied { "Authorization" } else { "Disk" };
                Fault { code, refused: false, text: format!("archive file `{}`: {error}", folder.join(name).display()) }
            }),
            #[cfg(feature = "objects")]
            Kind::Store { store, place, prefix, runtime } => {
                use object_store::ObjectStoreExt as _;
                let path = object_store::path::Path::parse(join(prefix, name)).map_err(|error| Fault {
                    code: "Name",
                    refused: false,
                    text: format!("archive `{place}`: {error}"),
                })?;
                let payload = object_store::PutPayload::from(bytes.to_vec());
                runtime.block_on(store.put(&path, payload)).map(drop).map_err(|error| fault(place, &error))
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // A runtime waits for its tasks when it is dropped; a store that hangs must not hold the process.
        #[cfg(feature = "objects")]
        if let Kind::Store { runtime, .. } = std::mem::replace(&mut self.kind, Kind::Folder(PathBuf::new())) {
            runtime.shutdown_background();
        }
    }
}

#[cfg(feature = "objects")]
fn fault(place: &str, error: &object_store::Error) -> Fault {
    use crate::config::store_answer;
    use object_store::Error as E;
    let (code, refused) = match error {
        E::PermissionDenied { .. } => ("Authorization", true),
        E::Unauthenticated { .. } => ("Authentication", true),
        E::NotFound { .. } => ("ContainerNotFound", false),
        _ => ("Store", false),
    };
    let help = if code == "ContainerNotFound" { "; the container or bucket must be made first" } else { "" };
    Fault { code, refused, text: format!("archive `{place}`: {}{help}", store_answer(&error.to_string())) }
}

#[cfg(feature = "objects")]
fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

fn write_lasting(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    // A folder that is new lasts once the one above it is synced. Another thread may have made it a moment ago, so all are.
    for above in parent.ancestors().skip(1).take_while(|above| above.starts_with(folder)) {
        sync_folder(above)?;
    }
    let unfinished = folder.join(UNFINISHED);
    // Two topics may hold files of one name, written at the same time.
    let beside = unfinished.join(format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&unfinished)?;
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    sync_folder(parent)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Throws away what killed processes left. What cannot be removed stays; it harms nobody.
fn tidy(unfinished: &Path) {
    let Ok(entries) = fs::read_dir(unfinished) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|kind| kind.modified()).ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age >= UNFINISHED_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
