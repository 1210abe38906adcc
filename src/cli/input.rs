//! Finds the files to read and opens them: folders, compression, standard input.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Failure;
use super::read_ahead::ReadAhead;
use crate::config::Place;
#[cfg(feature = "objects")]
use crate::source::blob::{self, Object, ObjectReader};

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, written `-`.
    Stdin,
    /// A file.
    File(PathBuf),
    /// An object of a store.
    #[cfg(feature = "objects")]
    Object(Object),
}

impl Input {
    /// What people call it.
    pub fn name(&self) -> String {
        match self {
            Input::Stdin => "-".to_owned(),
            Input::File(path) => path.display().to_string(),
            #[cfg(feature = "objects")]
            Input::Object(object) => object.name.clone(),
        }
    }
}

/// What the arguments name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files in the order given; those of a folder by name, folders below it included.
    pub inputs: Vec<Input>,
    /// Files of folders that do not look like logs, and were passed over.
    pub passed_over: u64,
    /// Size of all files on disk; standard input counts 0.
    pub size_bytes: u64,
}

/// Endings of files that are taken from a folder, also under a compression's ending. A file named on the command line may be called anything.
const LOG_ENDINGS: &[&str] = &["json", "ndjson", "jsonl", "log", "txt"];
const COMPRESSION_ENDINGS: &[&str] = &["gz", "zst", "zstd"];

/// Resolves the arguments.
///
/// Besides paths these are `az://CONTAINER/PREFIX`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` and `file:///PATH`, all but the first kind also with
/// `*`, `?`, `[...]` and `**` in their names.
///
/// # Errors
///
/// A path that does not exist or cannot be listed, a store that does not let us in.
pub fn find(arguments: &[PathBuf]) -> Result<Found, Failure> {
    let mut found = Found::default();
    for argument in arguments {
        if let Some(url) = argument.to_str().filter(|text| Place::is_url(text)) {
            find_place(url, &mut found)?;
            continue;
        }
        if argument.as_os_str() == "-" {
            if found.inputs.contains(&Input::Stdin) {
                return Err(Failure::config("`-` is given twice; standard input can be read once"));
            }
            found.inputs.push(Input::Stdin);
            continue;
        }
        find_path(argument, &mut found)?;
    }
    Ok(found)
}

fn find_path(argument: &Path, found: &mut Found) -> Result<(), Failure> {
    let kind = fs::metadata(argument).map_err(|fault| Failure::io(argument.display(), &fault))?;
    if kind.is_dir() {
        list(argument, found)?;
    } else {
        found.size_bytes += kind.len();
        found.inputs.push(Input::File(argument.to_owned()));
    }
    Ok(())
}

/// What a URL names.
fn find_place(url: &str, found: &mut Found) -> Result<(), Failure> {
    match Place::read(url).map_err(Failure::config)? {
        Place::Folder(path) if path.exists() || !path.to_string_lossy().contains(['*', '?', '[']) => find_path(&path, found),
        Place::Folder(pattern) => {
            let bad = |fault: &dyn std::fmt::Display| Failure::config(format!("`{url}`: the pattern does not hold: {fault}"));
            let before = found.inputs.len();
            for path in glob::glob(&pattern.to_string_lossy()).map_err(|fault| bad(&fault))? {
                let path = path.map_err(|fault| Failure { exit: super::Exit::Io, text: fault.to_string() })?;
                find_path(&path, found)?;
            }
            if found.inputs.len() == before {
                return Err(Failure { exit: super::Exit::Io, text: format!("`{url}`: nothing matches the pattern") });
            }
            Ok(())
        }
        #[cfg(feature = "objects")]
        Place::Store { .. } => {
            let (objects, passed_over) =
                blob::list(url, |name| looks_like_a_log(Path::new(name))).map_err(|text| Failure { exit: super::Exit::Io, text })?;
            found.passed_over += passed_over;
            found.size_bytes += objects.iter().map(|object| object.size_bytes).sum::<u64>();
            found.inputs.extend(objects.into_iter().map(Input::Object));
            Ok(())
        }
        #[cfg(not(feature = "objects"))]
        Place::Store { .. } => Err(Failure::config(format!("`{url}`: this program was built without the feature `objects`"))),
    }
}

fn list(folder: &Path, found: &mut Found) -> Result<(), Failure> {
    let failed = |fault: io::Error| Failure::io(folder.display(), &fault);
    let mut entries: Vec<fs::DirEntry> = fs::read_dir(folder).map_err(failed)?.collect::<io::Result<_>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        // Follows links to files, not to folders: a link may lead back up.
        let is_link = entry.file_type().map_err(failed)?.is_symlink();
        let kind = match fs::metadata(&path) {
            Ok(kind) => kind,
            Err(_) if is_link => {
                found.passed_over += 1;
                continue;
            }
            Err(fault) => return Err(Failure::io(path.display(), &fault)),
        };
        if kind.is_dir() && is_hidden {
            // Environments, caches and repositories: never what somebody exported.
        } else if kind.is_dir() && !is_link {
            list(&path, found)?;
        } else if kind.is_file() && looks_like_a_log(&path) {
            found.size_bytes += kind.len();
            found.inputs.push(Input::File(path));
        } else {
            found.passed_over += 1;
        }
    }
    Ok(())
}

fn looks_like_a_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    let ending = if COMPRESSION_ENDINGS.contains(&ending) { stem.rsplit_once('.').map_or("", |(_, ending)| ending) } else { ending };
    !name.starts_with('.') && LOG_ENDINGS.contains(&ending)
}

/// Opens an input for reading, decompressed: gzip and zstd are known by their first bytes, also several members one after the other.
/// Decompression and what comes from a store have a thread of their own, so that they go on while the rest of the work is done.
/// `progress` counts the bytes taken from the disk.
///
/// # Errors
///
/// As opening and reading the first bytes.
pub fn open(input: &Input, progress: Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
    let counted = |inner: Box<dyn Read + Send>| Counting { inner, count: Arc::clone(&progress) };
    match input {
        Input::Stdin => decompressed(counted(Box::new(io::stdin()))),
        Input::File(path) => decompressed(counted(Box::new(File::open(path)?))),
        #[cfg(feature = "objects")]
        Input::Object(object) => decompressed(ReadAhead::start(counted(Box::new(ObjectReader::new(object))))?),
    }
}

fn decompressed(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::with_capacity(4);
    raw.by_ref().take(4).read_to_end(&mut start)?;
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let is_zstd = start == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = BufReader::with_capacity(1 << 17, io::Cursor::new(start).chain(raw));
    Ok(if is_gzip {
        Box::new(ReadAhead::start(flate2::bufread::MultiGzDecoder::new(whole))?)
    } else if is_zstd {
        Box::new(ReadAhead::start(zstd::stream::read::Decoder::with_buffer(whole)?)?)
    } else {
        Box::new(whole)
    })
}

/// Counts what is read through it.
struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_folder_gives_its_logs_in_order_and_counts_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let sub = folder.path().join("b");
        fs::create_dir(&sub).expect("a folder");
        fs::create_dir(folder.path().join(".cache")).expect("a folder");
        fs::write(folder.path().join(".cache/e.json"), "{}").expect("a file");
        for name in ["c.ndjson", "a.json.gz", "README.md", ".hidden.json", "b/PT1H.json", "d.csv.gz"] {
            fs::write(folder.path().join(name), "{}\n").expect("a file");
        }
        let found = find(&[folder.path().to_owned()]).expect("found");
        let names: Vec<String> =
            found.inputs.iter().map(|input| input.name().replace(&format!("{}/", folder.path().display()), "")).collect();
        assert_eq!(names, ["a.json.gz", "b/PT1H.json", "c.ndjson"]);
        assert_eq!((found.passed_over, found.size_bytes), (3, 9));
        assert!(find(&[folder.path().join("README.md")]).is_ok_and(|found| found.inputs.len() == 1), "a named file may be called anything");
        assert!(find(&[folder.path().join("missing")]).is_err_and(|failure| failure.exit == super::super::Exit::Io));
        assert!(find(&["-".into(), "-".into()]).is_err());
        let by_url = |rest: &str| {
            let found = find(&[format!("file://{}{rest}", folder.path().display()).into()]);
            found.map(|found| found.inputs.len()).map_err(|failure| failure.exit)
        };
        assert!(by_url("") == Ok(3) && by_url("/*.ndjson") == Ok(1) && by_url("/**/PT1H.json") == Ok(1), "by URL and pattern");
        assert!(by_url("/*.csv") == Err(super::super::Exit::Io) && by_url("/[") == Err(super::super::Exit::Config));
    }

    #[test]
    fn compression_is_known_by_the_bytes() {
        let gzip = |text: &[u8]| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text).expect("memory");
            writer.finish().expect("memory")
        };
        let zstd = |text: &[u8]| zstd::encode_all(text, 1).expect("memory");
        for (name, bytes, expected) in [
            ("plain", b"{\"a\":1}".to_vec(), "{\"a\":1}"),
            ("shorter than any mark", b"{}".to_vec(), "{}"),
            ("empty", vec![], ""),
            ("gzip", gzip(b"one"), "one"),
            ("two gzip members", [gzip(b"one"), gzip(b"two")].concat(), "onetwo"),
            ("zstd", zstd(b"one"), "one"),
            ("two zstd frames", [zstd(b"one"), zstd(b"two")].concat(), "onetwo"),
        ] {
            let mut text = String::new();
            decompressed(io::Cursor::new(bytes)).and_then(|mut reader| reader.read_to_string(&mut text)).expect(name);
            assert_eq!(text, expected, "case: {name}");
        }
        let cut = gzip(b"a text that is long enough to be cut")[..20].to_vec();
        assert!(
            decompressed(io::Cursor::new(cut)).and_then(|mut reader| reader.read_to_end(&mut Vec::new())).is_err(),
            "a cut gzip is told"
        );
    }
}
