use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::config::Compression;

/// What is owed: the offset.
#[derive(Default)]
struct Told {
    settled: Mutex<Vec<i64>>,
    refused: Mutex<Vec<(i64, Fate)>>,
    trouble: Mutex<Vec<String>>,
    awaited: AtomicBool,
}

impl Acks for Told {
    type Owed = i64;

    fn delivered(&self, owed: Box<i64>, result: Result<(), Refused>) {
        match result {
            Ok(()) => lock(&self.settled).push(*owed),
            Err(refused) => lock(&self.refused).push((*owed, refused.fate)),
        }
    }

    fn reachable(&self) {}

    fn trouble(&self, code: &str, _: bool, reason: &str) {
        lock(&self.trouble).push(format!("{code} {reason}"));
    }

    fn arrival<'a>(&self, owed: &'a i64) -> Option<Arrival<'a>> {
        Some(Arrival { topic: "in", partition: (*owed % 2) as i32, offset: *owed, received_ms: Some(1_767_225_600_000) })
    }

    fn is_awaited(&self, _: &i64) -> bool {
        self.awaited.load(Ordering::Acquire)
    }
}

fn archive(folder: &Path, change: impl FnOnce(&mut Settings)) -> (ArchiveSink<Told>, Arc<Told>) {
    let told = Arc::new(Told::default());
    let mut settings = Settings { to: folder.display().to_string(), roll_interval_ms: 3_600_000, ..Settings::default() };
    change(&mut settings);
    (ArchiveSink::new(&settings, Arc::clone(&told)).expect("a folder"), told)
}

fn send(sink: &ArchiveSink<Told>, offset: i64) -> Result<(), SendFault> {
    let value = format!("{{\"n\":{offset}}}");
    let message = OutMessage { topic: "udm", key: b"", value: value.as_bytes(), headers: &[] };
    sink.send(&message, Box::new(offset)).map_err(|(fault, _)| fault)
}

/// The finished files below a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = entry.strip_prefix(folder).expect("below").display().to_string();
            if entry.is_dir() && !name.starts_with('.') {
                folders.push(entry);
            } else if entry.is_file() {
                found.insert(name, std::fs::read(entry).expect("readable"));
            }
        }
    }
    found
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn nothing_is_acknowledged_before_its_file_is_there_and_everything_is_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sink, told) = archive(folder.path(), |settings| settings.roll_bytes = 1024);
    for offset in 0..1000 {
        send(&sink, offset).expect("room");
    }
    wait_for("full files", || !lock(&told.settled).is_empty());
    let settled = lock(&told.settled).clone();
    let read = |files: BTreeMap<String, Vec<u8>>| -> Vec<i64> {
        let text: Vec<u8> = files.values().flat_map(|bytes| zstd::decode_all(&bytes[..]).expect("whole")).collect();
        let number = |line: &str| line.trim_start_matches("{\"n\":").trim_end_matches('}').parse().expect("a line of ours");
        String::from_utf8(text).expect("text").lines().map(number).collect()
    };
    let written = read(files(folder.path()));
    assert!(settled.iter().all(|offset| written.contains(offset)), "acknowledged before it was written");
    assert!(settled.len() < 1000, "files that are not full wait");
    sink.flush(Duration::from_secs(60)).expect("written");
    let found = files(folder.path());
    assert!(found.len() == 10 && found.keys().all(|name| name.starts_with("udm/2026/01/01/00/in-0000")), "{:?}", found.keys());
    // In the order of names: partition by partition, each in its order.
    let expected: Vec<i64> = (0..1000).step_by(2).chain((1..1000).step_by(2)).collect();
    assert_eq!(read(found), expected);
    let mut settled = lock(&told.settled).clone();
    settled.sort_unstable();
    assert_eq!(settled, (0..1000).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(folder.path().join(".unfinished")).expect("the folder").count(), 0);
}

#[test]
fn a_file_is_written_when_it_is_old_and_when_somebody_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sink, told) = archive(folder.path(), |settings| settings.compression = Compression::None);
    send(&sink, 1).expect("room");
    std::thread::park_timeout(AWAITED_IDLE * 2);
    assert!(lock(&told.settled).is_empty(), "nobody waits");
    told.awaited.store(true, Ordering::Release);
    wait_for("what somebody waits for", || *lock(&told.settled) == [1]);
    assert_eq!(files(folder.path()).into_values().collect::<Vec<_>>(), [b"{\"n\":1}\n"]);

    let old = tempfile::tempdir().expect("a folder");
    let (sink, told) = archive(old.path(), |settings| settings.roll_interval_ms = 200);
    send(&sink, 1).expect("room");
    wait_for("an old file", || *lock(&told.settled) == [1]);
    drop(sink);
}

#[test]
fn a_full_memory_is_said_and_relieved() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sink, told) = archive(folder.path(), |settings| {
        settings.roll_bytes = 1 << 20;
        settings.buffer_max_bytes = 4096;
    });
    let mut full = 0;
    for offset in 0..2000 {
        while send(&sink, offset) == Err(SendFault::Full) {
            full += 1;
            sink.wait_for_room(Duration::from_millis(10));
        }
    }
    assert!(full > 0, "the limit is felt");
    sink.flush(Duration::from_secs(60)).expect("written");
    assert_eq!(lock(&told.settled).len(), 2000);
}

#[test]
fn what_cannot_be_written_is_told_tried_again_and_thrown_out_only_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sink, told) = archive(folder.path(), |settings| settings.compression = Compression::Gzip);
    // A file stands where the topic's folder should be.
    std::fs::write(folder.path().join("udm"), "").expect("written");
    send(&sink, 1).expect("room");
    told.awaited.store(true, Ordering::Release);
    wait_for("the trouble", || lock(&told.trouble).iter().any(|text| text.starts_with("Disk archive file `")));
    assert!(sink.flush(Duration::from_millis(50)).is_err());
    std::fs::remove_file(folder.path().join("udm")).expect("removed");
    wait_for("another attempt", || *lock(&told.settled) == [1]);

    std::fs::remove_dir_all(folder.path().join("udm")).expect("removed");
    std::fs::write(folder.path().join("udm"), "").expect("written");
    send(&sink, 2).expect("room");
    wait_for("the trouble again", || lock(&told.trouble).len() > 1);
    sink.purge();
    wait_for("the end", || lock(&told.refused).iter().any(|(offset, fate)| *offset == 2 && *fate == Fate::Purged));
    assert_eq!(*lock(&told.settled), [1]);
}
