//! Which of a value's parts are records: envelopes, lists, tables and other shippers' wrappers.

use std::ops::Range;

use super::doc::{Doc, Kind, Node};
use super::{Decoder, Found, Repair};

/// How many wrappers inside wrappers are opened; three is the deepest seen (properties -> responseBody -> error.details).
pub const WRAPPER_DEPTH: usize = 3;

/// The kind of list a top-level object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `{"value":[...]}`, a REST answer.
    Value,
    /// `{"object":"list","data":[...]}`, a page of the OpenAI API.
    Data,
}

/// What the names of an object's members say, before any of them is read as a log field.
#[derive(Default)]
struct Survey {
    records: Option<u32>,
    value: Option<u32>,
    data: Option<u32>,
    tables: Option<u32>,
    error: Option<u32>,
    wrapped: bool,
}

/// Whether two texts of one length are the same but for ASCII case; most differ in their first letter already.
#[inline]
pub(crate) fn is_word(name: &[u8], word: &[u8]) -> bool {
    matches!((name, word), ([a, ..], [b, ..]) if (a ^ b) & !0x20 == 0) && name.eq_ignore_ascii_case(word)
}

/// What `object` says of every event of OpenAI's audit log.
pub(crate) const OPENAI_EVENT: &[u8] = b"organization.audit_log";

fn survey(doc: &Doc, object: u32) -> Survey {
    let mut seen = Survey::default();
    for (key, value) in doc.members(object) {
        let name = doc.str(key);
        if name == b"object" && doc.str(value) == OPENAI_EVENT {
            // An event by its own word, and the API writes that word before all but the id. Its other members are fields.
            return Survey::default();
        }
        let is = |word: &[u8]| is_word(name, word);
        // Lengths first: hardly a field of a log record gets past this line.
        match name.len() {
            4 if is(b"data") => seen.data = Some(value),
            4 if is(b"body") || is(b"_raw") => seen.wrapped = true,
            5 if is(b"value") => seen.value = Some(value),
            5 if is(b"error") => seen.error = Some(value),
            5 if is(b"event") => seen.wrapped |= doc.node(value).kind == Kind::Object,
            6 if is(b"tables") => seen.tables = Some(value),
            7 if is(b"records") => seen.records = Some(value),
            7 if is(b"message") => seen.wrapped = true,
            10 if is(b"cribl_data") => seen.wrapped = true,
            14 if is(b"event.original") => seen.wrapped = true,
            27 if is(b"cribl_data.original_message") => seen.wrapped = true,
            _ => {}
        }
    }
    seen
}

/// Members that only a log record has. `time` is not one of them: shippers put it beside what they wrap.
pub(super) const RECORD_MEMBERS: [&[u8]; 14] = [
    b"category",
    b"CategoryValue",
    b"resourceId",
    b"_ResourceId",
    b"operationName",
    b"OperationNameValue",
    b"metricName",
    b"flowRecords",
    b"TimeGenerated",
    b"effective_at",
    b"eventTimestamp",
    b"eventDataId",
    b"createdDateTime",
    b"activityDateTime",
];

/// Whether an object has a member that only a log record has.
pub fn is_record_like(doc: &Doc, object: u32) -> bool {
    doc.members(object).any(|(key, _)| {
        let name = doc.str(key);
        RECORD_MEMBERS.iter().any(|word| name.eq_ignore_ascii_case(word))
    })
}

/// Where the records found below belong: the repair that made them readable, and their own bytes when they are known.
#[derive(Clone)]
pub(super) struct Origin {
    pub repair: Option<Repair>,
    pub span: Option<Range<usize>>,
    pub depth: usize,
}

impl Origin {
    fn deeper(&self, repair: Option<Repair>) -> Origin {
        Origin { repair: Repair::join(self.repair, repair), span: self.span.clone(), depth: self.depth + 1 }
    }
}

/// The kind of list `root` is, so that a splitter can cut it; `None` for everything else.
pub(super) fn list_kind(doc: &Doc, root: u32) -> Option<List> {
    if doc.node(root).kind != Kind::Object {
        return None;
    }
    kind_of(doc, root, &survey(doc, root))
}

fn kind_of(doc: &Doc, root: u32, seen: &Survey) -> Option<List> {
    if seen.records.is_some() {
        return None;
    }
    if seen.value.is_some_and(|v| is_list(doc, v)) && !is_record_like(doc, root) {
        return Some(List::Value);
    }
    if seen.data.is_some_and(|v| is_list(doc, v)) && is_page(doc, root) {
        return Some(List::Data);
    }
    None
}

/// Whether the records of `root` can be cut apart: then each is judged alone, not with its neighbours.
pub(super) fn is_envelope(doc: &Doc, root: u32) -> bool {
    match doc.node(root).kind {
        Kind::Array => doc.node(root).len > 0,
        Kind::Object => {
            let records = doc.members(root).any(|(key, value)| {
                doc.str(key).eq_ignore_ascii_case(b"records") && doc.node(value).kind == Kind::Array && doc.node(value).len > 0
            });
            records || list_kind(doc, root).is_some()
        }
        _ => false,
    }
}

/// An array that holds nothing but objects, or nothing.
fn is_list(doc: &Doc, node: u32) -> bool {
    doc.node(node).kind == Kind::Array && doc.elements(node).all(|e| doc.node(e).kind == Kind::Object)
}

fn is_page(doc: &Doc, root: u32) -> bool {
    doc.member(root, b"object").is_some_and(|o| doc.str(o) == b"list")
}

impl Decoder {
    /// Lists the records of the value at `root`, in document order.
    pub(super) fn list(&mut self, doc: &mut Doc, root: u32, origin: &Origin, found: &mut Vec<Found>) {
        match doc.node(root).kind {
            Kind::Object => self.list_object(doc, root, origin, found),
            Kind::Array => self.list_array(doc, root, "empty_array", origin, found),
            Kind::Null => found.push(Found::Empty { reason: "null", span: origin.span.clone() }),
            Kind::Str => self.list_text(doc, root, origin, found),
            _ => found.push(not_an_object(origin)),
        }
    }

    fn list_object(&mut self, doc: &mut Doc, root: u32, origin: &Origin, found: &mut Vec<Found>) {
        if doc.node(root).len == 0 {
            found.push(Found::Empty { reason: "empty_object", span: origin.span.clone() });
            return;
        }
        let seen = survey(doc, root);
        if seen.records.is_some() && self.list_records(doc, root, origin, found) {
            return;
        }
        match kind_of(doc, root, &seen) {
            Some(List::Value) => return self.list_array(doc, seen.value.unwrap_or(root), "empty_list", origin, found),
            Some(List::Data) => return self.list_array(doc, seen.data.unwrap_or(root), "empty_list", origin, found),
            None => {}
        }
        if let Some(tables) = seen.tables
            && list_tables(doc, tables, origin, found)
        {
            return;
        }
        if let Some(error) = seen.error
            && doc.node(root).len == 1
            && doc.node(error).kind == Kind::Object
        {
            // An answer that a collector should not have stored: the page it stands for is missing, so it must not pass in silence.
            let detail = "an API error answer stands where log records were expected; the page it replaced is missing".to_string();
            found.push(Found::Broken { code: "api_error", detail, span: origin.span.clone() });
            return;
        }
        if seen.wrapped && origin.depth < WRAPPER_DEPTH && !is_record_like(doc, root) && self.list_wrapped(doc, root, origin, found) {
            return;
        }
        found.push(Found::Record { root, repair: origin.repair, span: origin.span.clone() });
    }

    /// Every member called `records`: two filled arrays in one object are both read, because dropping one would lose records. Beside a
    /// filled array the name is an envelope's, and what is no array under it is not looked at.
    fn list_records(&mut self, doc: &mut Doc, root: u32, origin: &Origin, found: &mut Vec<Found>) -> bool {
        let mut any = false;
        let mut at = root + 1;
        let filled = |doc: &Doc, value: u32| doc.node(value).kind == Kind::Array && doc.node(value).len > 0;
        let only_filled = doc.members(root).any(|(key, value)| doc.str(key).eq_ignore_ascii_case(b"records") && filled(doc, value));
        for _ in 0..doc.node(root).len {
            let value = at + 1;
            let next = doc.after(value);
            if doc.str(at).eq_ignore_ascii_case(b"records") && (!only_filled || filled(doc, value)) {
                match doc.node(value).kind {
                    Kind::Array => self.list_array(doc, value, "empty_records", origin, found),
                    Kind::Null => found.push(Found::Empty { reason: "null_records", span: origin.span.clone() }),
                    Kind::Object if origin.depth < WRAPPER_DEPTH => self.list(doc, value, &origin.deeper(None), found),
                    Kind::Str if origin.depth < WRAPPER_DEPTH => self.list_text(doc, value, origin, found),
                    _ => found.push(not_an_object(origin)),
                }
                any = true;
            }
            at = next;
        }
        any
    }

    fn list_array(&mut self, doc: &mut Doc, array: u32, empty: &'static str, origin: &Origin, found: &mut Vec<Found>) {
        let len = doc.node(array).len;
        if len == 0 {
            found.push(Found::Empty { reason: empty, span: origin.span.clone() });
            return;
        }
        let mut at = array + 1;
        for _ in 0..len {
            if self.is_full(found, origin.span.clone()) {
                return;
            }
            let next = doc.after(at);
            self.list(doc, at, origin, found);
            at = next;
        }
    }

    /// Text where a record was expected: JSON inside it, or nothing we can map.
    fn list_text(&mut self, doc: &mut Doc, node: u32, origin: &Origin, found: &mut Vec<Found>) {
        if origin.depth < WRAPPER_DEPTH
            && let Some(inner) = self.open(doc, node)
        {
            let origin = origin.deeper(self.last_repair());
            return self.list(doc, inner, &origin, found);
        }
        found.push(not_an_object(origin));
    }

    /// `{"message":"<json>"}` and its relatives. False when what is inside is no log record: then the object itself is the record.
    fn list_wrapped(&mut self, doc: &mut Doc, root: u32, origin: &Origin, found: &mut Vec<Found>) -> bool {
        // The untouched original wins over a member that a shipper may have rewritten.
        const PLACES: [(&[u8], Option<&[u8]>); 7] = [
            (b"event.original", None),
            (b"event", Some(b"original")),
            (b"cribl_data.original_message", None),
            (b"cribl_data", Some(b"original_message")),
            (b"message", None),
            (b"body", None),
            (b"_raw", None),
        ];
        for (name, below) in PLACES {
            let Some(mut node) = doc.member(root, name) else { continue };
            if let Some(below) = below {
                let Some(inner) = doc.member(node, below) else { continue };
                node = inner;
            }
            let (inner, repair) = match doc.node(node).kind {
                Kind::Str => match self.open(doc, node) {
                    Some(inner) => (inner, self.last_repair()),
                    None => continue,
                },
                Kind::Object | Kind::Array => (node, None),
                _ => continue,
            };
            if holds_records(doc, inner) {
                self.list(doc, inner, &origin.deeper(repair), found);
                return true;
            }
        }
        false
    }
}

/// Whether what a wrapper holds is worth unwrapping.
fn holds_records(doc: &Doc, node: u32) -> bool {
    match doc.node(node).kind {
        Kind::Object => {
            let seen = survey(doc, node);
            seen.records.is_some() || seen.wrapped || is_record_like(doc, node) || list_kind(doc, node).is_some()
        }
        Kind::Array => doc.node(node).len > 0 && doc.elements(node).all(|e| doc.node(e).kind == Kind::Object),
        _ => false,
    }
}

/// `{"tables":[{"columns":[{"name"}],"rows":[[...]]}]}`: every row becomes an object. False when it is not such an answer.
fn list_tables(doc: &mut Doc, tables: u32, origin: &Origin, found: &mut Vec<Found>) -> bool {
    let is_table = |doc: &Doc, table: u32| {
        let array = |name: &[u8]| doc.member(table, name).is_some_and(|n| doc.node(n).kind == Kind::Array);
        array(b"columns") && array(b"rows")
    };
    if doc.node(tables).kind != Kind::Array || doc.node(tables).len == 0 || !doc.elements(tables).all(|t| is_table(doc, t)) {
        return false;
    }
    let mut table = tables + 1;
    for _ in 0..doc.node(tables).len {
        let next = doc.after(table);
        let (Some(columns), Some(rows)) = (doc.member(table, b"columns"), doc.member(table, b"rows")) else { continue };
        if doc.node(rows).len == 0 {
            found.push(Found::Empty { reason: "empty_table", span: origin.span.clone() });
        }
        let mut row = rows + 1;
        for _ in 0..doc.node(rows).len {
            let after = doc.after(row);
            found.push(match row_object(doc, columns, row) {
                Some(root) => Found::Record { root, repair: origin.repair, span: origin.span.clone() },
                None => {
                    let detail = "a row of a query answer has not one cell a column".to_string();
                    Found::Broken { code: "row_width", detail, span: origin.span.clone() }
                }
            });
            row = after;
        }
        table = next;
    }
    true
}

/// Appends an object that pairs the names of `columns` with the cells of `row`.
fn row_object(doc: &mut Doc, columns: u32, row: u32) -> Option<u32> {
    if doc.node(row).kind != Kind::Array || doc.node(row).len != doc.node(columns).len {
        return None;
    }
    let root = doc.nodes.len();
    let len = doc.node(row).len;
    doc.nodes.push(Node::new(Kind::Object, len, 0));
    let (mut column, mut cell) = (columns + 1, row + 1);
    for _ in 0..len {
        let name = match doc.node(column).kind {
            Kind::Str => column,
            _ => match doc.member(column, b"name").filter(|n| doc.node(*n).kind == Kind::Str) {
                Some(name) => name,
                None => {
                    doc.nodes.truncate(root);
                    return None;
                }
            },
        };
        doc.nodes.push(doc.node(name));
        let end = doc.after(cell);
        let shift = doc.nodes.len() as u64 - u64::from(cell);
        for index in cell..end {
            let mut copy = doc.node(index);
            if matches!(copy.kind, Kind::Object | Kind::Array) {
                copy.bits += shift;
            }
            doc.nodes.push(copy);
        }
        column = doc.after(column);
        cell = end;
    }
    doc.nodes[root].bits = doc.nodes.len() as u64;
    Some(root as u32)
}

fn not_an_object(origin: &Origin) -> Found {
    let detail = "a log record is a JSON object; found a number, a word or plain text in its place".to_string();
    Found::Broken { code: "not_an_object", detail, span: origin.span.clone() }
}
