//! [`Lookup`]: an exact, longest prefix or suffix, then pattern table, prepared for the hot path.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// Keys are the mapping's own, so a fixed hash does; what is probed is never inserted.
type ByKey = HashMap<Box<[u8]>, u32, BuildHasherDefault<ahash::AHasher>>;

/// A compiled look-up table. Keys are lower case; the caller passes any case.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Row numbers by key.
    pub exact: ByKey,
    /// Longest first.
    pub prefixes: Vec<(Box<[u8]>, u32)>,
    /// Longest first.
    pub suffixes: Vec<(Box<[u8]>, u32)>,
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

    fn row(&self, key: &[u8]) -> Option<u32> {
        // Keys longer than this are no words of a look-up; only patterns may still take them.
        let mut folded = [0u8; 128];
        let lower: &[u8] = if key.len() <= folded.len() {
            folded[..key.len()].copy_from_slice(key);
            folded[..key.len()].make_ascii_lowercase();
            &folded[..key.len()]
        } else {
            key
        };
        if let Some(row) = self.exact.get(lower) {
            return Some(*row);
        }
        let starts = |text: &[u8]| lower.len() >= text.len() && lower[..text.len()].eq_ignore_ascii_case(text);
        let ends = |text: &[u8]| lower.len() >= text.len() && lower[lower.len() - text.len()..].eq_ignore_ascii_case(text);
        let prefix = self.prefixes.iter().find(|(text, _)| starts(text));
        let suffix = self.suffixes.iter().find(|(text, _)| ends(text));
        let longest = match (prefix, suffix) {
            (Some(a), Some(b)) => Some(if b.0.len() > a.0.len() { b.1 } else { a.1 }),
            (Some(a), None) => Some(a.1),
            (None, b) => b.map(|b| b.1),
        };
        longest.or_else(|| self.patterns.iter().find(|(pattern, _)| pattern.is_match(key)).map(|(_, row)| *row)).or(self.default)
    }
}
