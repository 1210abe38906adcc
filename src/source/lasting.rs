//! Small files that must survive a crash: positions and states.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside its place, syncs it and renames it over the old one: a crash leaves the old or the new bytes, never half.
///
/// # Errors
///
/// As the system says; the old file is then still there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The rename itself is lasting once the folder is synced. `Path::parent` of a bare name is the empty path.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The lock file at `path`, held as long as it is kept open; `None` when another process holds it.
///
/// # Errors
///
/// It cannot be made or opened.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    Ok(file.try_lock().is_ok().then_some(file))
}
