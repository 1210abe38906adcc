//! [`Lookup`]: an exact, longest prefix or suffix, then pattern table, prepared for the hot path.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// Keys are the mapping's own, so a fixed hash does; what is probed is never inserted.
type ByKey = HashMap<Box<[u8]>, u32, BuildHasherDefault<ahash::AHasher>>;

/// Row numbers by text, one map for each length that occurs: a look-up costs a glance at each, however many texts there are.
#[derive(Debug, Default)]
pub struct ByLength(Vec<OneLength>);

/// The texts of one length.
#[derive(Debug, Default)]
struct OneLength {
    length: usize,
    /// The bits that the ends of its texts come to: nearly every text that is not here is seen not to be without a probe of the map.
    marks: u64,
    rows: ByKey,
}

/// One bit of 64 for the first and the last byte of a text.
#[inline]
fn mark(text: &[u8]) -> u64 {
    let (first, last) = (text.first().copied().unwrap_or(0), text.last().copied().unwrap_or(0));
    1 << (first.wrapping_add(last.wrapping_mul(11)) & 63)
}

impl ByLength {
    /// Adds a lower-case text. Of two equal texts the first stays.
    pub fn insert(&mut self, text: Box<[u8]>, row: u32) {
        let length = text.len();
        // Longest first.
        let at = self.0.partition_point(|known| known.length > length);
        if self.0.get(at).is_none_or(|known| known.length != length) {
            self.0.insert(at, OneLength { length, ..OneLength::default() });
        }
        self.0[at].marks |= mark(&text);
        self.0[at].rows.entry(text).or_insert(row);
    }

    /// Length and row of the longest text that `part` cuts out of a key of `length` bytes.
    fn longest<'k>(&self, length: usize, part: impl Fn(usize) -> &'k [u8]) -> Option<(usize, u32)> {
        let fitting = self.0.iter().filter(|known| known.length <= length && known.marks & mark(part(known.length)) != 0);
        fitting.filter_map(|known| Some((known.length, *known.rows.get(part(known.length))?))).next()
    }
}

/// A compiled look-up table. Keys are lower case; the caller passes any case.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Row numbers by key.
    pub exact: ByKey,
    /// Row numbers by text that a key starts with.
    pub prefixes: ByLength,
    /// Row numbers by text that a key ends with.
    pub suffixes: ByLength,
    /// In order.
    pub patterns: Vec<(regex::bytes::Regex, u32)>,
    /// Values by row, then column.
    pub rows: Vec<Vec<Option<Box<[u8]>>>>,
    /// The row that answers when nothing matches.
    pub default: Option<u32>,
}

impl Lookup {
    /// The value of `column` in the row that `key` matches, or in the default row. `None` leaves the field out.
    pub fn get(&self, key: &[u8], column: usize) -> Option<&[u8]> {
        let row = self.row(key)?;
        self.rows[row as usize][column].as_deref()
    }

    /// The number of the row that `key` matches, or of the default row.
    pub fn row(&self, key: &[u8]) -> Option<u32> {
        // No key is copied to the heap but a long one with upper case. To fold the others costs less than to look for upper case first.
        let mut folded = [0u8; 128];
        let long;
        let lower: &[u8] = if let Some(folded) = folded.get_mut(..key.len()) {
            folded.copy_from_slice(key);
            folded.make_ascii_lowercase();
            folded
        } else if !key.iter().any(u8::is_ascii_uppercase) {
            key
        } else {
            long = key.to_ascii_lowercase();
            &long
        };
        if let Some(row) = self.exact.get(lower) {
            return Some(*row);
        }
        let prefix = self.prefixes.longest(lower.len(), |length| &lower[..length]);
        let suffix = self.suffixes.longest(lower.len(), |length| &lower[lower.len() - length..]);
        let longest = match (prefix, suffix) {
            (Some(a), Some(b)) => Some(if b.0 > a.0 { b.1 } else { a.1 }),
            (a, b) => a.or(b).map(|found| found.1),
        };
        longest.or_else(|| self.patterns.iter().find(|(pattern, _)| pattern.is_match(key)).map(|(_, row)| *row)).or(self.default)
    }
}
