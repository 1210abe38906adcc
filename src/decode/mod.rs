//! Bytes to records.
//!
//! A message body comes in; a [`Doc`] and a list of [`Found`] go out: records, broken parts, or the reason why there is no record.
//! This room never decides what a record means, and it never drops a byte that is not a separator without saying so.
//!
//! A body is first parsed strictly, from a scratch copy. Only what is refused there takes the tolerant path over the untouched body:
//! it is cut into values and records by structure, each is parsed alone, else repaired by stated rules, else broken alone.
//!
//! # Shapes
//!
//! | shape | records |
//! |---|---|
//! | `{"records":[...]}` (any case; two of them are both read) | the elements |
//! | an object that is none of the others | itself |
//! | an array, an array of envelopes | the elements, each unwrapped |
//! | several values in one body, with or without line ends | all of them |
//! | `{"value":[...]}` without a member of a log record; `{"object":"list","data":[...]}` | the elements |
//! | `{"tables":[{"columns","rows"}]}` | an object for every row |
//! | JSON in `event.original`, `cribl_data.original_message`, `message`, `body`, `_raw`, when it holds records | what is inside, at most 3 deep |
//! | `{"error":{...}}` alone | none: broken, `api_error`; a page is missing |
//!
//! A byte order mark is skipped; gzip and zstd bodies are unpacked, within [`Limits::body_bytes`].
//!
//! # Policies, the same for every back end
//!
//! | input | what becomes of it |
//! |---|---|
//! | duplicate names | all kept, document order; [`Doc::member`] gives the last of the exact spelling |
//! | half a surrogate pair | U+FFFD, repair `lone_surrogate` |
//! | bytes that are not UTF-8 | U+FFFD, repair `invalid_utf8` |
//! | number beyond 64 bits or beyond `f64` | kept as text, repair `big_number` |
//! | `\u0000` | a NUL in the text |
//! | nesting beyond [`Limits::nesting`] | that record is broken, `too_deep` |
//! | raw control characters in text | kept, repair `control_characters` |
//! | single quotes, stray commas, `None`, `True`, `NaN` | corrected, repair named for it |
//! | anything else | that record is broken, `not_json` or `truncated` |
mod backend;
mod cut;
mod doc;
pub mod framing;
#[cfg(test)]
mod framing_tests;
pub(crate) mod json_text;
pub(crate) mod lanes;
mod names;
mod repair;
#[cfg(test)]
mod salvage_tests;
mod scan;
mod scanner;
#[cfg(test)]
mod scanner_tests;
mod shape;
#[cfg(test)]
mod tests;
mod unpack;

use std::ops::Range;

pub use backend::Parser;
use backend::{Backend, PADDING, Refused};
use cut::{Cutter, Fault, Step};
pub use doc::{Doc, Kind, Node, Plain};
pub use framing::{Frame, Framer};
pub use repair::Repair;
use shape::Origin;
pub(crate) use shape::{OPENAI_EVENT, is_word};

/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How often, on average, a byte of a broken body may be read again in search of the next record.
const LOOK_FACTOR: usize = 16;

/// What one message may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Containers inside containers. 64: the deepest public sample has 9; a stack of a few hundred frames is never at risk.
    pub nesting: usize,
    /// Bytes of a body after unpacking. 64 MiB: Event Hubs carries at most 20 MB, and an archive is cut before it comes here.
    pub body_bytes: usize,
    /// Records of one message. One million: 64 MiB of the shortest records seen.
    pub records: usize,
    /// Which parser reads sound text.
    pub parser: Parser,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { nesting: 64, body_bytes: 64 << 20, records: 1_000_000, parser: Parser::default() }
    }
}

/// One finding in a message body. Spans are byte ranges of the unpacked body; `None` means the body was read in one piece and nobody
/// asked: [`Decoder::spans`] finds them.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A record.
    Record {
        /// Its object node.
        root: u32,
        /// What had to be corrected.
        repair: Option<Repair>,
        /// Its own bytes.
        span: Option<Range<usize>>,
    },
    /// Bytes that hold no readable record.
    Broken {
        /// `not_json`, `truncated`, `too_deep`, `not_an_object`, `row_width`, `api_error`, `too_large`, `too_many_records`, `not_unpackable`.
        code: &'static str,
        /// What was expected and found; may quote the input.
        detail: String,
        /// Its own bytes.
        span: Option<Range<usize>>,
    },
    /// A value that holds no record, and says so.
    Empty {
        /// `empty_records`, `null_records`, `empty_array`, `empty_list`, `empty_table`, `empty_object`, `null`, `blank`.
        reason: &'static str,
        /// Its own bytes.
        span: Option<Range<usize>>,
    },
}

/// Reads one JSON value strictly: its nodes, the first of which is its root, or `None` when `parser` refuses it.
pub fn parse(parser: Parser, text: &[u8], nesting: usize) -> Option<Doc> {
    let mut doc = Doc { text: text.to_vec(), nodes: Vec::new() };
    doc.text.extend_from_slice(&[0; PADDING]);
    parser.start(nesting).parse(&mut doc.text, 0, &mut doc.nodes).ok()?;
    Some(doc)
}

/// The buffers of one worker's decoding. Nothing is allocated for a sound message once they have grown.
pub struct Decoder {
    limits: Limits,
    backend: Box<dyn Backend + Send>,
    last_repair: Option<Repair>,
    /// The unpacked body, when it came packed.
    plain: Vec<u8>,
    is_packed: bool,
    /// The body is JSON and only cut to find its records' places.
    is_sound: bool,
    /// Corrected text.
    fixed: Vec<u8>,
    /// For spans, which are found by decoding again.
    second: Doc,
}

impl Decoder {
    /// A decoder with these limits.
    pub fn new(limits: Limits) -> Self {
        Decoder {
            limits,
            backend: limits.parser.start(limits.nesting),
            last_repair: None,
            plain: Vec::new(),
            is_packed: false,
            is_sound: false,
            fixed: Vec::new(),
            second: Doc::default(),
        }
    }

    /// Decodes one message body into `doc` and lists what was found, in document order. Both are emptied first. Never panics.
    pub fn decode(&mut self, body: &[u8], doc: &mut Doc, found: &mut Vec<Found>) {
        doc.clear();
        found.clear();
        let plain = match self.unpack(body) {
            Ok(plain) => plain,
            Err(broken) => return found.push(broken),
        };
        let text = plain.as_deref().unwrap_or(body);
        let start = if text.starts_with(BOM) { BOM.len() } else { 0 };
        if text[start..].iter().all(|b| b.is_ascii_whitespace()) {
            found.push(Found::Empty { reason: "blank", span: Some(0..text.len()) });
        } else if let Ok(root) = self.parse(&text[start..], doc) {
            self.list(doc, root, &Origin { repair: None, span: None, depth: 0 }, found);
        } else {
            self.is_sound = false;
            self.salvage(text, start..text.len(), 0, doc, found);
        }
        if found.is_empty() {
            // Nothing but separators, or an envelope that was never filled.
            found.push(Found::Empty { reason: "blank", span: Some(0..text.len()) });
        }
        self.plain = plain.unwrap_or_default();
    }

    /// The byte range of every finding that [`Decoder::decode`] gives for this body, in the same order.
    ///
    /// Costs a second decoding, also by the tolerant path; meant for dead letters. Ranges are of [`Decoder::text`]. Records that were wrapped
    /// together in one text, or are rows of one table, share a range.
    pub fn spans(&mut self, body: &[u8], spans: &mut Vec<Range<usize>>) {
        spans.clear();
        let plain = match self.unpack(body) {
            Ok(plain) => plain,
            Err(_) => return spans.push(0..body.len()),
        };
        let text = plain.as_deref().unwrap_or(body);
        let start = if text.starts_with(BOM) { BOM.len() } else { 0 };
        let mut doc = std::mem::take(&mut self.second);
        doc.clear();
        let mut found = Vec::new();
        self.is_sound = self.parse(&text[start..], &mut doc).is_ok();
        doc.clear();
        self.salvage(text, start..text.len(), 0, &mut doc, &mut found);
        if found.is_empty() {
            spans.push(0..text.len());
        }
        spans.extend(found.into_iter().map(|f| {
            let (Found::Record { span, .. } | Found::Broken { span, .. } | Found::Empty { span, .. }) = f;
            span.unwrap_or(0..text.len())
        }));
        self.second = doc;
        self.plain = plain.unwrap_or_default();
    }

    /// The text that spans of the last decoded body belong to: what was unpacked, or the body itself.
    pub fn text<'a>(&'a self, body: &'a [u8]) -> &'a [u8] {
        if self.is_packed { &self.plain } else { body }
    }

    /// Opens the JSON text held by text node `node`: parses a copy into the same `doc` and gives its root, an object or array.
    ///
    /// None when the text is neither, even after repair. What was repaired is told by [`Decoder::last_repair`].
    pub fn open(&mut self, doc: &mut Doc, node: u32) -> Option<u32> {
        self.last_repair = None;
        let Node { kind: Kind::Str, len, bits, .. } = doc.node(node) else { return None };
        let range = bits as usize..bits as usize + len as usize;
        let text = doc.text[range.clone()].trim_ascii();
        if !matches!((text.first(), text.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']'))) {
            return None;
        }
        let base = doc.text.len();
        let root = doc.nodes.len() as u32;
        doc.text.extend_from_within(range.clone());
        doc.text.extend_from_slice(&[0; PADDING]);
        if self.backend.parse(&mut doc.text[base..], base, &mut doc.nodes).is_ok() {
            return Some(root);
        }
        doc.text.truncate(base);
        let mut fixed = std::mem::take(&mut self.fixed);
        let made = repair::repair(&doc.text[range], &mut fixed);
        let opened = made.and_then(|_| self.parse(&fixed, doc).ok());
        self.fixed = fixed;
        self.last_repair = made.filter(|_| opened.is_some());
        opened
    }

    /// What the last call of [`Decoder::open`] that gave a root had to repair.
    pub fn last_repair(&self) -> Option<Repair> {
        self.last_repair
    }

    /// Parses a copy of `text` strictly; the root's index, or `doc` as it was.
    fn parse(&mut self, text: &[u8], doc: &mut Doc) -> Result<u32, Refused> {
        let base = doc.text.len();
        let root = doc.nodes.len() as u32;
        doc.text.extend_from_slice(text);
        doc.text.extend_from_slice(&[0; PADDING]);
        let parsed = self.backend.parse(&mut doc.text[base..], base, &mut doc.nodes);
        if parsed.is_err() {
            doc.text.truncate(base);
        }
        parsed.map(|()| root)
    }

    /// The tolerant path: cuts `range` of `text` into values and records, and judges each alone.
    fn salvage(&mut self, text: &[u8], range: Range<usize>, depth: usize, doc: &mut Doc, found: &mut Vec<Found>) {
        let body = &text[..range.end];
        // Only a list that was recognised as one is cut by its `value` or `data`.
        let cutter = if self.is_sound { Cutter::of_sound } else { Cutter::new };
        let mut cutter = cutter(depth > 0, LOOK_FACTOR * range.len());
        let mut at = range.start;
        loop {
            match cutter.next(body, at, true) {
                Step::Piece { start, end, fault } => {
                    if self.is_full(found, Some(start..range.end)) {
                        return;
                    }
                    match fault {
                        None => {
                            let before = found.len();
                            self.salvage_piece(text, start..end, depth, cutter.deepest(), doc, found);
                            if found[before..].iter().any(|one| matches!(one, Found::Broken { code: "not_json" | "truncated", .. })) {
                                cutter.doubt();
                            }
                        }
                        Some(Fault::Structure) => found.push(broken("not_json", start..end)),
                        Some(Fault::Truncated) => found.push(broken("truncated", start..end)),
                    }
                    at = end;
                }
                Step::Envelope { end } => at = end,
                Step::More | Step::End => return,
            }
        }
    }

    /// One piece whose structure is whole: sound, repairable, an envelope to cut further, or broken.
    fn salvage_piece(&mut self, text: &[u8], span: Range<usize>, depth: usize, deepest: usize, doc: &mut Doc, found: &mut Vec<Found>) {
        let piece = &text[span.clone()];
        let (texts, nodes) = (doc.text.len(), doc.nodes.len());
        let mut repair = None;
        let mut root = self.parse(piece, doc).ok();
        if root.is_none() && deepest <= self.limits.nesting {
            let mut fixed = std::mem::take(&mut self.fixed);
            repair = repair::repair(piece, &mut fixed);
            root = repair.and_then(|_| self.parse(&fixed, doc).ok());
            self.fixed = fixed;
        }
        let cuttable = match root {
            Some(root) => shape::is_envelope(doc, root),
            None => {
                !Cutter::new(true, LOOK_FACTOR * span.len()).has_name(text, span.start, &shape::RECORD_MEMBERS) && {
                    matches!(Cutter::new(true, LOOK_FACTOR * span.len()).next(&text[..span.end], span.start, true), Step::Envelope { .. })
                }
            }
        };
        if cuttable && depth < shape::WRAPPER_DEPTH {
            doc.text.truncate(texts);
            doc.nodes.truncate(nodes);
            return self.salvage(text, span, depth + 1, doc, found);
        }
        match root {
            Some(root) => self.list(doc, root, &Origin { repair, span: Some(span), depth: 0 }, found),
            None if deepest > self.limits.nesting => found.push(broken("too_deep", span)),
            None => found.push(broken("not_json", span)),
        }
    }

    /// Whether the message has all the records it may have; says so once.
    fn is_full(&self, found: &mut Vec<Found>, span: Option<Range<usize>>) -> bool {
        if found.len() < self.limits.records {
            return false;
        }
        if !matches!(found.last(), Some(Found::Broken { code: "too_many_records", .. })) {
            let detail = format!("a message may hold {} records; the rest was not read", self.limits.records);
            found.push(Found::Broken { code: "too_many_records", detail, span });
        }
        true
    }

    /// The unpacked body, or `None` when it came as plain text; its memory is taken from `self.plain`.
    fn unpack(&mut self, body: &[u8]) -> Result<Option<Vec<u8>>, Found> {
        self.is_packed = false;
        let too_large = |bytes: usize| {
            let detail = format!("a body may have {} bytes unpacked; found {bytes} or more", self.limits.body_bytes);
            Found::Broken { code: "too_large", detail, span: Some(0..body.len()) }
        };
        if body.len() > self.limits.body_bytes {
            return Err(too_large(body.len()));
        }
        let Some(packing) = unpack::packing(body) else { return Ok(None) };
        let mut plain = std::mem::take(&mut self.plain);
        let result = unpack::unpack(packing, body, self.limits.body_bytes, &mut plain);
        match result {
            Ok(()) if plain.len() > self.limits.body_bytes => Err(too_large(plain.len())),
            Ok(()) => {
                self.is_packed = true;
                Ok(Some(plain))
            }
            Err(detail) => Err(Found::Broken { code: "not_unpackable", detail, span: Some(0..body.len()) }),
        }
    }
}

fn broken(code: &'static str, span: Range<usize>) -> Found {
    let (from, to) = (span.start, span.end);
    let detail = match code {
        "truncated" => format!("the text ends inside the record that begins at byte {from}"),
        "too_deep" => format!("the record in bytes {from}..{to} nests deeper than the limit"),
        _ => format!("bytes {from}..{to} are not JSON, and none of the stated repairs makes them so"),
    };
    Found::Broken { code, detail, span: Some(span) }
}
