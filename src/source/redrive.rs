//! Dead letters read again: pieces are put together, and headers tell where and when the record first arrived.
use std::collections::HashMap;

use crate::config::header;

/// What the headers of a message say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterHead {
    /// Topic, partition and offset of the first arrival.
    pub origin: Option<(String, i32, i64)>,
    /// Record index, as text; part of what pieces of one letter share.
    pub record: String,
    /// When it first arrived.
    pub received_ms: Option<i64>,
    /// The output that alone lacks it.
    pub output: Option<String>,
    /// Number of this piece and of all pieces, both from 1.
    pub piece: Option<(u32, u32)>,
    /// Neither redacted nor hashed.
    pub is_raw: bool,
}

impl LetterHead {
    /// Reads the headers. What is missing or not as written by the sink is left out.
    pub fn read(headers: &[(&str, &[u8])]) -> LetterHead {
        let text = |name: &str| headers.iter().find(|(key, _)| *key == name).and_then(|(_, value)| std::str::from_utf8(value).ok());
        let origin =
            || Some((text(header::TOPIC)?.to_owned(), text(header::PARTITION)?.parse().ok()?, text(header::OFFSET)?.parse().ok()?));
        let piece = || {
            let (number, count) = text(header::PIECE)?.split_once('/')?;
            let (number, count): (u32, u32) = (number.parse().ok()?, count.parse().ok()?);
            (1..=count).contains(&number).then_some((number, count))
        };
        LetterHead {
            origin: origin(),
            record: text(header::RECORD).unwrap_or_default().to_owned(),
            received_ms: text(header::RECEIVED).and_then(|text| text.parse().ok()),
            output: text(header::OUTPUT).map(str::to_owned),
            piece: piece(),
            is_raw: text(header::CONTENT).is_none_or(|content| content == "raw"),
        }
    }
}

/// More letters than this do not wait for pieces at once; then the one that waits longest is given up.
const WAITING_MAX: usize = 64;

/// Pieces of dead letters, until each letter is whole. `T` is what is kept with a piece.
#[derive(Debug)]
pub struct Assembly<T> {
    waiting: HashMap<Key, Waiting<T>>,
    clock: u64,
}

type Key = (String, i32, i64, String, Option<String>);

#[derive(Debug)]
struct Waiting<T> {
    count: u32,
    bytes: Vec<u8>,
    kept: Vec<T>,
    touched: u64,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Assembled<T> {
    /// Not the last one yet.
    Waits,
    /// The letter is whole: its bytes, and what was kept with the earlier pieces.
    Whole(Vec<u8>, Vec<T>, T),
    /// A piece without its beginning: it cannot be used. The writer repeats a letter from its first piece after a crash, so this is the
    /// rest of one whose beginning is older than what the broker still has.
    Orphan(T),
}

impl<T> Default for Assembly<T> {
    fn default() -> Assembly<T> {
        Assembly { waiting: HashMap::new(), clock: 0 }
    }
}

impl<T> Assembly<T> {
    /// Takes a piece. Also answers what was kept with pieces that are given up: a letter begun anew, or the longest waiting of too many.
    pub fn add(&mut self, head: &LetterHead, body: &[u8], kept: T) -> (Assembled<T>, Vec<T>) {
        let (number, count) = head.piece.unwrap_or((1, 1));
        let (topic, partition, offset) = head.origin.clone().unwrap_or_default();
        let key = (topic, partition, offset, head.record.clone(), head.output.clone());
        self.clock += 1;
        let mut given_up = Vec::new();
        let mut entry = self.waiting.remove(&key);
        if number == 1 {
            given_up.extend(entry.take().into_iter().flat_map(|waiting| waiting.kept));
            entry = Some(Waiting { count, bytes: Vec::new(), kept: Vec::new(), touched: 0 });
        }
        let Some(mut waiting) = entry else { return (Assembled::Orphan(kept), given_up) };
        if waiting.count != count || waiting.kept.len() as u32 + 1 != number {
            // A repeat of a piece that is here, or a hole. A repeat leaves what waits as it is.
            if waiting.kept.len() as u32 + 1 > number && waiting.count == count {
                self.waiting.insert(key, waiting);
            } else {
                given_up.extend(waiting.kept);
            }
            return (Assembled::Orphan(kept), given_up);
        }
        waiting.bytes.extend_from_slice(body);
        if number == count {
            return (Assembled::Whole(waiting.bytes, waiting.kept, kept), given_up);
        }
        waiting.kept.push(kept);
        waiting.touched = self.clock;
        self.waiting.insert(key, waiting);
        if self.waiting.len() > WAITING_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.touched).map(|(key, _)| key.clone());
            given_up.extend(oldest.and_then(|key| self.waiting.remove(&key)).into_iter().flat_map(|waiting| waiting.kept));
        }
        (Assembled::Waits, given_up)
    }

    /// Forgets everything and answers what was kept: the partitions changed.
    pub fn clear(&mut self) -> Vec<T> {
        self.waiting.drain().flat_map(|(_, waiting)| waiting.kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(offset: i64, piece: (u32, u32)) -> LetterHead {
        LetterHead { origin: Some(("t".into(), 0, offset)), piece: Some(piece), is_raw: true, ..LetterHead::default() }
    }

    #[test]
    fn headers_are_read_as_written() {
        let headers: &[(&str, &[u8])] = &[
            (header::TOPIC, b"in"),
            (header::PARTITION, b"3"),
            (header::OFFSET, b"77"),
            (header::RECEIVED, b"1700000000000"),
            (header::PIECE, b"2/3"),
        ];
        let head = LetterHead::read(headers);
        assert_eq!((head.origin, head.received_ms, head.piece), (Some(("in".into(), 3, 77)), Some(1_700_000_000_000), Some((2, 3))));
        assert_eq!(LetterHead::read(&[(header::PIECE, b"4/3")]).piece, None, "no such piece");
        assert!(!LetterHead::read(&[(header::CONTENT, b"hash")]).is_raw);
    }

    #[test]
    fn pieces_of_two_letters_interleave() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(&head(1, (1, 2)), b"a", 10), (Assembled::Waits, vec![]));
        assert_eq!(assembly.add(&head(2, (1, 2)), b"x", 20), (Assembled::Waits, vec![]));
        assert_eq!(assembly.add(&head(1, (2, 2)), b"b", 11), (Assembled::Whole(b"ab".to_vec(), vec![10], 11), vec![]));
        assert_eq!(assembly.add(&head(2, (2, 2)), b"y", 21), (Assembled::Whole(b"xy".to_vec(), vec![20], 21), vec![]));
    }

    #[test]
    fn a_letter_begun_anew_gives_the_first_attempt_up() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(&head(1, (2, 3)), b"b", 1), (Assembled::Orphan(1), vec![]), "no beginning");
        assembly.add(&head(1, (1, 3)), b"a", 2);
        assembly.add(&head(1, (2, 3)), b"b", 3);
        assert_eq!(assembly.add(&head(1, (2, 3)), b"b", 4), (Assembled::Orphan(4), vec![]), "a repeat");
        assert_eq!(assembly.add(&head(1, (1, 3)), b"a", 5), (Assembled::Waits, vec![2, 3]));
        assembly.add(&head(1, (2, 3)), b"b", 6);
        assert_eq!(assembly.add(&head(1, (3, 3)), b"c", 7), (Assembled::Whole(b"abc".to_vec(), vec![5, 6], 7), vec![]));
    }

    #[test]
    fn too_many_waiting_letters_give_the_oldest_up() {
        let mut assembly = Assembly::default();
        for offset in 0..WAITING_MAX as i64 {
            assert_eq!(assembly.add(&head(offset, (1, 2)), b"", offset).1, Vec::<i64>::new());
        }
        assert_eq!(assembly.add(&head(9999, (1, 2)), b"", 9999).1, vec![0]);
        assert_eq!(assembly.clear().len(), WAITING_MAX);
    }
}
