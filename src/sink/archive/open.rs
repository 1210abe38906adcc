//! A file while it grows, and its name once it is closed.
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::time::Instant;

use super::Arrival;
use crate::config::Compression;

/// Lines of one topic that came from one partition.
#[derive(Debug)]
pub struct OpenFile<O> {
    topic: String,
    source: String,
    partition: i32,
    /// Hours since the Unix epoch.
    hour: i64,
    first: i64,
    /// Lines of the first message that stand in earlier files.
    first_line: u32,
    last: i64,
    /// Lines of the last message so far, in whatever file.
    lines_of_last: u32,
    /// When its first line came.
    pub opened: Instant,
    /// When its last line came.
    pub grown: Instant,
    /// The lines.
    pub bytes: Vec<u8>,
    /// What is owed for each.
    pub owed: Vec<Box<O>>,
}

/// A file that takes no more lines.
#[derive(Debug)]
pub struct Closed<O> {
    /// Topic of its lines.
    pub topic: String,
    source: String,
    partition: i32,
    hour: i64,
    first: i64,
    first_line: u32,
    last: i64,
    /// When its first line came.
    pub opened: Instant,
    /// The lines.
    pub bytes: Vec<u8>,
    /// What is owed for each.
    pub owed: Vec<Box<O>>,
    lines: usize,
}

/// Where the last file of a topic and partition ended, so that the next one knows whether it begins in the middle of a message.
#[derive(Debug)]
pub struct Tail {
    topic: String,
    source: String,
    partition: i32,
    last: i64,
    lines_of_last: u32,
}

impl Tail {
    /// Whether it is that of a line's file.
    pub fn is_of(&self, topic: &str, arrival: Arrival<'_>) -> bool {
        self.partition == arrival.partition && self.topic == topic && self.source == arrival.topic
    }
}

/// Hours since the Unix epoch in which a message arrived; without a time of arrival, the hour it is now.
fn hour(arrival: Arrival<'_>) -> i64 {
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    };
    arrival.received_ms.unwrap_or_else(now).div_euclid(3_600_000)
}

impl<O> OpenFile<O> {
    /// A file that begins with a line of `arrival`, behind the file that ended at `tail`.
    pub fn new(topic: &str, arrival: Arrival<'_>, tail: Option<&Tail>) -> OpenFile<O> {
        let first_line = tail.filter(|tail| tail.last == arrival.offset).map_or(0, |tail| tail.lines_of_last);
        let now = Instant::now();
        OpenFile {
            topic: topic.to_owned(),
            source: arrival.topic.to_owned(),
            partition: arrival.partition,
            hour: hour(arrival),
            first: arrival.offset,
            first_line,
            last: arrival.offset,
            lines_of_last: first_line,
            opened: now,
            grown: now,
            bytes: Vec::new(),
            owed: Vec::new(),
        }
    }

    /// Whether a line belongs here.
    pub fn is_of(&self, topic: &str, arrival: Arrival<'_>) -> bool {
        self.partition == arrival.partition && self.topic == topic && self.source == arrival.topic
    }

    /// Whether a line may be added: not when the file is large, a later hour began, or the partition is read again from before. Lines of one
    /// message stay together.
    pub fn may_grow(&self, arrival: Arrival<'_>, roll_bytes: u64) -> bool {
        arrival.offset == self.last
            || arrival.offset > self.last
                && (self.bytes.len() as u64) < roll_bytes
                && arrival.received_ms.is_none_or(|_| hour(arrival) <= self.hour)
    }

    /// Notes a line that was written to `bytes`.
    pub fn add(&mut self, offset: i64, owed: Box<O>) {
        self.lines_of_last = if self.last == offset { self.lines_of_last + 1 } else { 1 };
        self.last = offset;
        self.grown = Instant::now();
        self.owed.push(owed);
    }

    /// Ends it.
    pub fn close(self) -> (Closed<O>, Tail) {
        let OpenFile { topic, source, partition, hour, first, first_line, last, lines_of_last, opened, bytes, owed, .. } = self;
        let lines = owed.len();
        let tail = Tail { topic: topic.clone(), source: source.clone(), partition, last, lines_of_last };
        (Closed { topic, source, partition, hour, first, first_line, last, opened, bytes, owed, lines }, tail)
    }
}

impl<O> Closed<O> {
    /// What it counts against the limit of memory.
    pub fn cost(&self) -> u64 {
        (self.bytes.len() + self.lines * super::OVERHEAD_BYTES) as u64
    }

    /// Its name below the archive's place.
    pub fn name(&self, compression: Compression) -> String {
        let at = jiff::Timestamp::from_second(self.hour.saturating_mul(3600)).unwrap_or_default();
        let hour = at.strftime("%Y/%m/%d/%H");
        let hash = blake3::hash(&self.bytes).to_hex();
        let ending = match compression {
            Compression::Zstd => ".zst",
            Compression::Gzip => ".gz",
            Compression::None => "",
        };
        // A dot sorts behind the dash, so a file that begins in the middle of a message stands behind the one that has its beginning.
        let middle = if self.first_line > 0 { format!(".{:08}", self.first_line) } else { String::new() };
        format!(
            "{}/{hour}/{}-{:05}-{:020}{middle}-{:020}-{}.ndjson{ending}",
            tame(&self.topic),
            tame(&self.source),
            self.partition,
            self.first,
            self.last,
            &hash[..12]
        )
    }
}

/// A topic as one segment of a name: what is not a letter, digit, `.`, `_` or `-` becomes `=` and two hexadecimal digits.
fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        // A leading dot would hide the folder, and two would leave it.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || byte == b'.' && index > 0 {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("={byte:02X}"));
        }
    }
    if out.is_empty() { "=".to_owned() } else { out }
}

/// Which lock the file of a line is under.
pub fn shard(topic: &str, arrival: Arrival<'_>) -> usize {
    // Any spread does; the same line must only find the same lock.
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    (topic, arrival.topic, arrival.partition).hash(&mut hasher);
    hasher.finish() as usize
}

/// The bytes of a file as they are written.
///
/// # Errors
///
/// As the library of the compression.
pub fn compress(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 8), flate2::Compression::default());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::with_capacity(bytes.len() / 8), zstd::DEFAULT_COMPRESSION_LEVEL)?;
            // A file that is cut or changed on its way is told from a whole one.
            encoder.include_checksum(true)?;
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, received_ms: i64) -> Arrival<'static> {
        Arrival { topic: "azure/logs", partition: 3, offset, received_ms: Some(received_ms) }
    }

    /// 2026-01-31T23:30:00Z.
    const EVENING_MS: i64 = 1_769_902_200_000;

    #[test]
    fn pieces_of_one_message_sort_in_their_order() {
        let mut tail = None;
        let mut names = Vec::new();
        for last in [8, 8, 8, 9, 9] {
            let mut file = OpenFile::<()>::new("udm", at(if last == 9 && names.len() == 4 { 9 } else { 8 }, EVENING_MS), tail.as_ref());
            file.add(8, Box::new(()));
            file.add(last, Box::new(()));
            let (closed, end) = file.close();
            names.push(closed.name(Compression::None));
            tail = Some(end);
        }
        assert!(names.is_sorted(), "{names:#?}");
        assert!(names[0].contains("-00000000000000000008-") && names[2].contains("-00000000000000000008.00000004-"), "{names:#?}");
    }

    #[test]
    fn a_name_says_where_its_lines_came_from_and_sorts() {
        let name = |first: i64, last: i64, line: &str| {
            let mut file = OpenFile::<()>::new("udm", at(first, EVENING_MS), None);
            file.bytes.extend_from_slice(line.as_bytes());
            file.add(last, Box::new(()));
            file.close().0.name(Compression::Gzip)
        };
        let early = name(7, 99, "a\n");
        assert_eq!(
            early,
            format!(
                "udm/2026/01/31/23/azure=2Flogs-00003-00000000000000000007-00000000000000000099-{}.ndjson.gz",
                &blake3::hash(b"a\n").to_hex()[..12]
            )
        );
        assert_eq!(early, name(7, 99, "a\n"), "a repeat has the same name");
        assert_ne!(early, name(7, 99, "b\n"), "other lines have another");
        assert!(early < name(100, 1_000_000, "a\n"), "offsets sort as numbers");
    }

    #[test]
    fn topics_stay_apart_and_inside() {
        for (text, expected) in [("a.b_c-d", "a.b_c-d"), ("a/b", "a=2Fb"), ("a=2Fb", "a=3D2Fb"), ("..", "=2E."), ("", "="), ("ü", "=C3=BC")]
        {
            assert_eq!(tame(text), expected, "case: {text}");
        }
    }

    #[test]
    fn a_file_ends_at_its_size_at_the_hour_and_when_offsets_go_back() {
        let mut file = OpenFile::<()>::new("udm", at(7, EVENING_MS), None);
        file.bytes.extend_from_slice(&[b'x'; 100]);
        file.add(8, Box::new(()));
        for (name, arrival, roll_bytes, expected) in [
            ("next", at(9, EVENING_MS), 101, true),
            ("large", at(9, EVENING_MS), 100, false),
            ("large, but the same message", at(8, EVENING_MS), 100, true),
            ("an earlier hour", at(9, EVENING_MS - 3_600_000), 101, true),
            ("the next hour", at(9, EVENING_MS + 1_800_000), 101, false),
            ("read again", at(7, EVENING_MS), 101, false),
            ("no time", Arrival { received_ms: None, ..at(9, 0) }, 101, true),
        ] {
            assert_eq!(file.may_grow(arrival, roll_bytes), expected, "case: {name}");
        }
        assert!(!file.is_of("udm", Arrival { partition: 4, ..at(9, 0) }) && !file.is_of("other", at(9, 0)));
    }
}
