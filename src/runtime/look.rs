//! What lies at paths, so that a change is seen.
//!
//! Files are looked at; the system is not asked to tell of changes. Such notices get lost on network file systems and stay with the old
//! folder when Kubernetes swaps the symbolic link above a mounted ConfigMap, while a look every few seconds costs one `stat` a file.
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// Folders deeper than this are a loop of links.
const DEPTH_MAX: usize = 16;

/// What tells two states of a file apart: length, the times of its content and of its entry in nanoseconds, device and number. The time
/// of the entry changes also where a copy kept the time of the content.
type Mark = (u64, i128, i128, u64, u64);

/// What lies at some paths; `None` where nothing can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look(BTreeMap<PathBuf, Option<Mark>>);

impl Look {
    /// Looks at every file that a reload would read from `paths`. Links are followed, so a swapped link is a change.
    pub fn at(paths: &[PathBuf]) -> Look {
        let mut seen = Look::default();
        paths.iter().for_each(|path| seen.add(path, 0));
        seen
    }

    fn add(&mut self, path: &Path, depth: usize) {
        let metadata = std::fs::metadata(path).ok();
        let is_folder = metadata.as_ref().is_some_and(Metadata::is_dir);
        if !is_folder {
            self.0.insert(path.to_owned(), metadata.as_ref().map(mark));
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
                        self.add(&path, depth + 1);
                    }
                }
            }
            Err(_) => {
                self.0.insert(path.to_owned(), None);
            }
        }
    }
}

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
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    (metadata.len(), modified.map_or(0, |since| since.as_nanos().cast_signed()), 0, 0, 0)
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
        let paths = [link.clone()];
        let first = Look::at(&paths);
        for (name, change) in [("hidden", "one/acme/.vpn.toml.swp"), ("cases", "one/acme/vpn.cases/a.in.json"), ("a text", "one/README.md")]
        {
            write(change, "x");
            assert_eq!(Look::at(&paths), first, "case: {name}");
        }
        write("one/acme/words.csv", "key");
        let second = Look::at(&paths);
        assert_ne!(second, first, "a new file");
        fs::remove_file(&link).expect("the link goes");
        assert_ne!(Look::at(&paths), second, "nothing there");
        std::os::unix::fs::symlink(folder.path().join("two"), &link).expect("a link");
        assert_ne!(Look::at(&paths), second, "a swapped link");
    }
}
