//! Watches for leaves that no row reads while a mapping runs, so that a source's new fields are seen without looking at events.
//!
//! The walk that counts unread leaves anyway carries a hash of the path along and asks a table of bounded size; only a path that was never
//! met before is spelt out. Whether a mapping names such a path elsewhere (a row whose condition did not hold) is not known here: the
//! engine judges every new path once.

use std::collections::HashMap;

use super::leaves;
use super::redact::Redactor;
use super::state::State;
use super::value::{NO_NODE, Tag, Value};
use crate::decode::{Doc, Kind};

/// Paths that are remembered of one mapping. A source whose member names are data (ids, addresses) fills it; what follows is one number.
pub const MAX_DRIFT_PATHS: usize = 512;
/// Places of the table of all mappings; half of them may be used.
const TABLE: usize = 1 << 14;
/// Bytes of a path that are remembered.
const MAX_PATH_BYTES: usize = 256;

/// One path that no row read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftPath {
    /// The number of the mapping.
    pub mapping: u16,
    /// Dotted, `*` for elements of a list; cut at 256 bytes; redacted like an event.
    pub path: String,
    /// `text`, `number` or `boolean`: what stood there first.
    pub kind: &'static str,
    /// The mapping names the path, though no row read it.
    is_known: bool,
    /// Values since they were taken last.
    count: u64,
}

/// What one worker remembers.
#[derive(Debug)]
pub struct DriftWatch {
    /// The mapping that is being run; `None` while nobody watches.
    pub(crate) mapping: Option<u16>,
    hasher: ahash::RandomState,
    /// Hash and number of a path plus one; 0 is vacant.
    table: Vec<(u64, u32)>,
    used: usize,
    paths: Vec<DriftPath>,
    by_text: HashMap<(u16, String), u32>,
    of_mapping: HashMap<u16, usize>,
    touched: Vec<u32>,
    /// The first of `paths` that the engine has not judged.
    judged: usize,
    news: Vec<(u32, u64)>,
    beyond: u64,
}

impl Default for DriftWatch {
    fn default() -> DriftWatch {
        DriftWatch {
            mapping: None,
            // Two paths with one hash are counted as one; that is all a chosen name can bring about.
            hasher: ahash::RandomState::with_seeds(0x5d1c_e2f0, 0x91a3_77b4, 0x2f6e_0c9d, 0xb80d_415a),
            table: vec![(0, 0); TABLE],
            used: 0,
            paths: Vec::new(),
            by_text: HashMap::new(),
            of_mapping: HashMap::new(),
            touched: Vec::new(),
            judged: 0,
            news: Vec::new(),
            beyond: 0,
        }
    }
}

impl DriftWatch {
    /// Counts the unread leaves of a record, as [`leaves::unread`] finds them, and remembers their paths.
    pub(crate) fn count(&mut self, mapping: u16, state: &State, doc: &Doc, record: u32, redactor: &Redactor) -> u32 {
        self.news.clear();
        let start = self.hasher.hash_one(mapping);
        let count = self.walk(state, doc, record, start);
        if !self.news.is_empty() {
            self.learn(mapping, state, doc, record, redactor);
        }
        count
    }

    fn walk(&mut self, state: &State, doc: &Doc, node: u32, hash: u64) -> u32 {
        let here = doc.node(node);
        let mut at = node + 1;
        let mut count = 0;
        match here.kind {
            Kind::Object => {
                for _ in 0..here.len {
                    if !leaves::is_read_leaf(state, doc, at + 1) {
                        let name = doc.str(at);
                        let below = if is_number(name) { self.hasher.hash_one(hash) } else { self.hasher.hash_one((hash, name)) };
                        count += self.walk(state, doc, at + 1, below);
                    }
                    at = doc.after(at + 1);
                }
                count
            }
            Kind::Array => {
                let below = self.hasher.hash_one(hash);
                for _ in 0..here.len {
                    count += self.walk(state, doc, at, below);
                    at = doc.after(at);
                }
                count
            }
            _ if state.is_read(node) => 0,
            _ => match state.opened.iter().find(|(text, root)| *text == node && *root != NO_NODE) {
                Some((_, root)) => self.walk(state, doc, *root, hash),
                None if Value::of(doc, here).is_absent() => 0,
                None => {
                    match self.find(hash) {
                        Some(number) => self.add(number),
                        None => self.news.push((node, hash)),
                    }
                    1
                }
            },
        }
    }

    fn find(&self, hash: u64) -> Option<u32> {
        let mut at = hash as usize % TABLE;
        loop {
            match self.table[at] {
                (_, 0) => return None,
                (known, number) if known == hash => return Some(number - 1),
                _ => at = (at + 1) % TABLE,
            }
        }
    }

    fn add(&mut self, number: u32) {
        let path = &mut self.paths[number as usize];
        if !path.is_known {
            if path.count == 0 {
                self.touched.push(number);
            }
            path.count += 1;
        }
    }

    /// Spells out the new paths of a record: `unread` meets them in the order of the walk.
    fn learn(&mut self, mapping: u16, state: &State, doc: &Doc, record: u32, redactor: &Redactor) {
        let mut news = std::mem::take(&mut self.news);
        let mut next = news.drain(..).peekable();
        leaves::unread(state, doc, record, &mut Vec::new(), &mut |path, node| {
            let Some((_, hash)) = next.next_if(|(new, _)| *new == node) else { return };
            let number = match self.find(hash) {
                // Another element of the same list came before.
                Some(number) => Some(number),
                None => self.remember(mapping, path, hash, doc, node, redactor),
            };
            match number {
                Some(number) => self.add(number),
                None => self.beyond += 1,
            }
        });
        drop(next);
        self.news = news;
    }

    fn remember(&mut self, mapping: u16, path: &[u8], hash: u64, doc: &Doc, node: u32, redactor: &Redactor) -> Option<u32> {
        let of_mapping = self.of_mapping.entry(mapping).or_default();
        if *of_mapping >= MAX_DRIFT_PATHS || self.used * 2 >= TABLE {
            return None;
        }
        let mut clean = Vec::new();
        let path = if redactor.redact(path, &mut clean) { &clean } else { path };
        let text = general(&String::from_utf8_lossy(path));
        let number = *self.by_text.entry((mapping, text)).or_insert_with_key(|(_, text)| {
            *of_mapping += 1;
            let kind = match Value::of(doc, doc.node(node)).tag {
                Tag::Text => "text",
                Tag::Bool => "boolean",
                _ => "number",
            };
            self.paths.push(DriftPath { mapping, path: text.clone(), kind, is_known: false, count: 0 });
            self.paths.len() as u32 - 1
        });
        self.used += 1;
        let mut at = hash as usize % TABLE;
        while self.table[at].1 != 0 {
            at = (at + 1) % TABLE;
        }
        self.table[at] = (hash, number + 1);
        Some(number)
    }

    /// Asks once for every new path whether its mapping names it: such a path is no drift.
    pub fn judge(&mut self, is_known: impl Fn(u16, &str) -> bool) {
        for number in self.judged..self.paths.len() {
            let path = &mut self.paths[number];
            path.is_known = is_known(path.mapping, &path.path);
            if path.is_known {
                path.count = 0;
                self.touched.retain(|touched| *touched as usize != number);
            }
        }
        self.judged = self.paths.len();
    }

    /// Hands out what was counted since the last call: the path's number, which stays the same, the path, and how many values.
    pub fn take(&mut self, mut each: impl FnMut(usize, &DriftPath, u64)) {
        for number in self.touched.drain(..) {
            let path = &mut self.paths[number as usize];
            let count = std::mem::take(&mut path.count);
            each(number as usize, path, count);
        }
    }

    /// Values at paths beyond the limit, since the last call.
    pub fn take_beyond(&mut self) -> u64 {
        std::mem::take(&mut self.beyond)
    }
}

fn is_number(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_digit) && name.iter().all(u8::is_ascii_digit)
}

/// `*` for every number, and a limit.
fn general(path: &str) -> String {
    let words: Vec<&str> = path.split('.').map(|word| if is_number(word.as_bytes()) { "*" } else { word }).collect();
    let mut text = words.join(".");
    text.truncate(text.floor_char_boundary(MAX_PATH_BYTES));
    text
}
