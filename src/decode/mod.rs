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
mod doc;
mod repair;
mod shape;
#[cfg(test)]
mod tests;

use std::ops::Range;

use backend::{Backend, Refused, SimdTape};
pub use doc::{Doc, Kind, Node};
pub use repair::Repair;
use shape::Origin;

/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What one message may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Containers inside containers. 64: the deepest public sample has 9; a stack of a few hundred frames is never at risk.
    pub nesting: usize,
    /// Bytes of a body after unpacking. 64 MiB: Event Hubs carries at most 20 MB, and an archive is cut before it comes here.
    pub body_bytes: usize,
    /// Records of one message. One million: 64 MiB of the shortest records seen.
    pub records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { nesting: 64, body_bytes: 64 << 20, records: 1_000_000 }
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

/// The buffers of one worker's decoding. Nothing is allocated for a sound message once they have grown.
pub struct Decoder {
    limits: Limits,
    backend: SimdTape,
    last_repair: Option<Repair>,
}

impl Decoder {
    /// A decoder with these limits.
    pub fn new(limits: Limits) -> Self {
        Decoder { limits, backend: SimdTape::new(limits.nesting), last_repair: None }
    }

    /// Decodes one message body into `doc` and lists what was found, in document order. Both are emptied first. Never panics.
    pub fn decode(&mut self, body: &[u8], doc: &mut Doc, found: &mut Vec<Found>) {
        doc.clear();
        found.clear();
        let text = body.strip_prefix(BOM).unwrap_or(body);
        if text.iter().all(|b| b.is_ascii_whitespace()) {
            found.push(Found::Empty { reason: "blank", span: None });
            return;
        }
        match self.parse(text, doc) {
            Ok(root) => self.list(doc, root, &Origin { repair: None, span: None, depth: 0 }, found),
            Err(Refused) => {
                let detail = "the body is not JSON".to_string();
                found.push(Found::Broken { code: "not_json", detail, span: Some(0..body.len()) });
            }
        }
    }

    /// Opens the JSON text held by text node `node`: parses a copy into the same `doc` and gives its root, an object or array.
    ///
    /// None when the text is neither, even after repair. What was repaired is told by [`Decoder::last_repair`].
    pub fn open(&mut self, doc: &mut Doc, node: u32) -> Option<u32> {
        self.last_repair = None;
        let Node { kind: Kind::Str, len, bits } = doc.node(node) else { return None };
        let from = bits as usize;
        let text = &doc.text[from..from + len as usize];
        if !matches!(text.iter().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'[')) {
            return None;
        }
        let base = doc.text.len();
        let root = doc.nodes.len() as u32;
        doc.text.extend_from_within(from..from + len as usize);
        match self.backend.parse(&mut doc.text[base..], base, &mut doc.nodes) {
            Ok(()) => Some(root),
            Err(Refused) => {
                doc.text.truncate(base);
                None
            }
        }
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
        let parsed = self.backend.parse(&mut doc.text[base..], base, &mut doc.nodes);
        if parsed.is_err() {
            doc.text.truncate(base);
        }
        parsed.map(|()| root)
    }
}
