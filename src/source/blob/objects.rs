//! Whole objects: found by prefix or pattern, in the order of their names, and read as a stream.
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::config::{Cloud, Place, StoreAccess, open_store, store_answer};

/// An object that was found.
#[derive(Clone)]
pub struct Object {
    /// `az://CONTAINER/NAME`
    pub name: String,
    /// Size when it was found. Unit: bytes.
    pub size_bytes: u64,
    path: Path,
    e_tag: Option<String>,
    store: Arc<Opened>,
}

struct Opened {
    store: Arc<dyn ObjectStore>,
    cloud: Cloud,
    runtime: Runtime,
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.name == other.name
    }
}

impl Eq for Object {}

/// Characters that make a name a pattern.
pub const WILD: &[char] = &['*', '?', '['];

/// Finds objects: the one of that name, those below a prefix, or those whose names match a pattern (`*` and `?` within a segment, `**` over
/// segments, `[...]`) and what lies below names that match. `looks_like_a_log` judges the last segment of those that were not named themselves.
/// Answers them in the order of their names, and how many were passed over.
///
/// # Errors
///
/// What is wrong, where, and what to look at.
pub fn list(url: &str, looks_like_a_log: impl Fn(&str) -> bool) -> Result<(Vec<Object>, u64), String> {
    let Place::Store { cloud, container, prefix } = Place::read(url)? else {
        return Err(format!("`{url}` is a folder, not an object store"));
    };
    let store = open_store(cloud, &container, &StoreAccess::default()).map_err(|fault| format!("`{url}`: {fault}{}", help(cloud)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("objects")
        .enable_all()
        .build()
        .map_err(|error| format!("`{url}`: threads were not started: {error}"))?;
    let opened = Arc::new(Opened { store, cloud, runtime });
    let wanted = Wanted::read(&prefix).map_err(|fault| format!("`{url}`: {fault}"))?;
    let base = Path::parse(&wanted.base).map_err(|error| format!("`{url}`: {error}"))?;
    let begin = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let object = |meta: object_store::ObjectMeta| Object {
        name: format!("{begin}://{container}/{}", meta.location),
        size_bytes: meta.size,
        path: meta.location,
        e_tag: meta.e_tag,
        store: Arc::clone(&opened),
    };
    let told = |error: Error| format!("`{url}`: {}", tell(cloud, &error));
    opened.runtime.block_on(async {
        let mut found = Vec::new();
        let mut passed_over = 0;
        if wanted.pattern.is_none() && !prefix.is_empty() {
            match opened.store.head(&base).await {
                Ok(meta) => found.push(object(meta)),
                // Then it is the beginning of names, or nothing at all.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(told(error)),
            }
        }
        let mut names = opened.store.list((!wanted.base.is_empty()).then_some(&base));
        while let Some(meta) = names.next().await {
            let meta = meta.map_err(told)?;
            match wanted.judge(meta.location.as_ref(), &looks_like_a_log) {
                Verdict::Take if found.first().is_none_or(|one| one.path != meta.location) => found.push(object(meta)),
                Verdict::PassOver => passed_over += 1,
                Verdict::Take | Verdict::NotAsked => {}
            }
        }
        // Stores answer in this order, but do not all promise it.
        found.sort_by(|left, right| left.path.as_ref().cmp(right.path.as_ref()));
        if found.is_empty() && passed_over == 0 {
            return Err(format!("`{url}`: no object has such a name; look at the container, the prefix and its upper and lower case"));
        }
        Ok((found, passed_over))
    })
}

/// What a prefix or pattern asks for.
struct Wanted {
    /// What every name begins with, whole segments.
    base: String,
    pattern: Option<glob::Pattern>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Take,
    /// Below what was asked for, but no log by its name.
    PassOver,
    NotAsked,
}

impl Wanted {
    fn read(prefix: &str) -> Result<Wanted, String> {
        let Some(wild) = prefix.find(WILD) else {
            return Ok(Wanted { base: prefix.to_owned(), pattern: None });
        };
        let pattern = glob::Pattern::new(prefix).map_err(|error| format!("the pattern does not hold: {error}"))?;
        let base = prefix[..wild].rsplit_once('/').map_or("", |(base, _)| base);
        Ok(Wanted { base: base.to_owned(), pattern: Some(pattern) })
    }

    fn judge(&self, name: &str, looks_like_a_log: impl Fn(&str) -> bool) -> Verdict {
        let options = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
        let mut below = self.pattern.is_none();
        if let Some(pattern) = &self.pattern {
            if pattern.matches_with(name, options) {
                return Verdict::Take;
            }
            below |= name.match_indices('/').any(|(at, _)| pattern.matches_with(&name[..at], options));
        }
        let inside = name.strip_prefix(&self.base).unwrap_or(name);
        let hidden = inside.split('/').any(|segment| segment.starts_with('.'));
        match (below, hidden || !looks_like_a_log(name.rsplit('/').next().unwrap_or(name))) {
            (false, _) => Verdict::NotAsked,
            (true, true) => Verdict::PassOver,
            (true, false) => Verdict::Take,
        }
    }
}

/// What happened, and what to look at.
fn tell(cloud: Cloud, error: &Error) -> String {
    let text = store_answer(&error.to_string());
    match error {
        // Listing says it in these words.
        Error::Generic { .. } if text.contains("404 Not Found") => format!("no such container or bucket: {text}"),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => format!("the store did not let us in: {text}{}", help(cloud)),
        Error::NotFound { .. } => "no such object or container; look at the name and its upper and lower case".to_owned(),
        Error::Precondition { .. } => "the object changed while it was read; read it again".to_owned(),
        _ => text,
    }
}

fn help(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Azure => {
            "; set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or give the identity the role Storage Blob Data Reader"
        }
        Cloud::S3 => "; set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the role s3:ListBucket and s3:GetObject",
        Cloud::Google => "; set GOOGLE_SERVICE_ACCOUNT to the file of a key, or give the identity the role Storage Object Viewer",
    }
}

/// How often reading goes on where it broke off.
const RETRIES: u32 = 5;

/// Reads one object from its beginning. A connection that breaks is made anew where it broke off, as long as the object is the same.
pub struct ObjectReader {
    object: Object,
    at: u64,
    stream: Option<BoxStream<'static, io::Result<Vec<u8>>>>,
    chunk: io::Cursor<Vec<u8>>,
    failures: u32,
}

impl ObjectReader {
    /// A reader. Nothing is asked for before the first read.
    pub fn new(object: &Object) -> ObjectReader {
        ObjectReader { object: object.clone(), at: 0, stream: None, chunk: io::Cursor::default(), failures: 0 }
    }

    /// The next piece; empty at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let Object { path, e_tag, size_bytes, store, .. } = &self.object;
        let (at, size_bytes) = (self.at, *size_bytes);
        if at >= size_bytes {
            return Ok(Vec::new());
        }
        let opened = Arc::clone(store);
        let cloud = opened.cloud;
        let told = move |error: Error| io::Error::other(tell(cloud, &error));
        opened.runtime.block_on(async {
            if self.stream.is_none() {
                let options =
                    GetOptions { range: Some(GetRange::Bounded(at..size_bytes)), if_match: e_tag.clone(), ..GetOptions::default() };
                let answer = opened.store.get_opts(path, options).await.map_err(told)?;
                self.stream = Some(answer.into_stream().map(move |chunk| chunk.map(|bytes| bytes.to_vec()).map_err(told)).boxed());
            }
            match &mut self.stream {
                Some(stream) => stream.next().await.unwrap_or_else(|| Err(io::Error::other("the answer ended early"))),
                None => Ok(Vec::new()),
            }
        })
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.next() {
                Ok(chunk) if chunk.is_empty() && self.at >= self.object.size_bytes => return Ok(0),
                Ok(chunk) => {
                    self.at += chunk.len() as u64;
                    self.failures = 0;
                    self.chunk = io::Cursor::new(chunk);
                }
                // A first request that fails was tried several times by the client; one that broke off was not.
                Err(error) if self.at == 0 || self.stream.is_none() || self.failures >= RETRIES => return Err(error),
                Err(_) => {
                    self.stream = None;
                    self.failures += 1;
                    std::thread::park_timeout(Duration::from_millis(200) * self.failures);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_patterns_say_what_is_taken() {
        let looks = |name: &str| name.ends_with(".json") || name.ends_with(".gz");
        for (prefix, base, name, expected) in [
            ("", "", "a/PT1H.json", Verdict::Take),
            ("", "", "a/readme.md", Verdict::PassOver),
            ("a", "a", "a/b/c.json", Verdict::Take),
            ("a", "a", "a/.unfinished/c.json", Verdict::PassOver),
            ("y=2026/*/PT1H.json", "y=2026", "y=2026/m=01/PT1H.json", Verdict::Take),
            ("y=2026/*/PT1H.json", "y=2026", "y=2026/m=01/d=02/PT1H.json", Verdict::NotAsked),
            ("y=2026/**/PT1H.json", "y=2026", "y=2026/m=01/d=02/PT1H.json", Verdict::Take),
            ("2026/0[12]", "2026", "2026/01/x.gz", Verdict::Take),
            ("2026/0[12]", "2026", "2026/03/x.gz", Verdict::NotAsked),
            ("2026/0[12]", "2026", "2026/01/x.csv", Verdict::PassOver),
            ("2026/*.csv", "2026", "2026/x.csv", Verdict::Take),
            ("x*", "", "xy/z.json", Verdict::Take),
        ] {
            let wanted = Wanted::read(prefix).expect("a pattern");
            assert_eq!((&*wanted.base, wanted.judge(name, looks)), (base, expected), "case: {prefix} and {name}");
        }
        assert!(Wanted::read("a/[").is_err());
    }
}
