//! Phase four: the event is written once, in UDM order, `additional` last. Nothing is patched afterwards.

use super::Plan;
use super::decide::Decision;
use super::json::{self, Form};
use super::program::{LabelKey, Out};
use super::resolve::Tools;
use super::shape::{Hole, Piece};
use super::state::{Cell, State};
use super::value::{NumberText, Tag, Value};
use crate::decode::Plain;
use std::ops::Range;

/// What the engine adds to the rows of a part.
pub(crate) struct Stamp<'a> {
    /// metadata.product_log_id
    pub id: &'a [u8],
    pub decision: Decision,
    pub tags: super::TagSet,
    /// Root of the record, for the leaves that are kept.
    pub record: u32,
    /// Whether the engine has something of its own to add: kept leaves, a repair, a wish that gave way.
    pub has_extras: bool,
}

impl Plan {
    /// Appends the event to `out`.
    pub(crate) fn write(&self, state: &mut State, tools: &mut Tools<'_>, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        self.write_range(state, tools, stamp, 0..self.out.len(), None, out);
    }

    /// Writes what the instructions of `range` come to, in braces. `element` is the first cell of the element that row numbers count from.
    fn write_range(
        &self,
        state: &mut State,
        tools: &mut Tools<'_>,
        stamp: &Stamp<'_>,
        range: Range<usize>,
        element: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let number = self.shape(state, stamp, range.start, range.end, element);
        // An instruction may write elements, which have shapes too; meanwhile this one is not in the list.
        let shape = std::mem::take(&mut state.shapes.list[number]);
        let mut from = 0;
        for piece in &shape.pieces {
            match *piece {
                Piece::Value { until, row, slot, form } => {
                    json::append(&shape.text, from, until as usize - from, out);
                    from = until as usize;
                    let cell = match element {
                        None => self.cell_of(state, row, slot),
                        Some(first) => state.element_cells[first + row as usize],
                    };
                    tell(state, put(cell.value, form, &tools.doc.text, out));
                    state.mark_read(cell.node);
                }
                Piece::Id { until } => {
                    json::append(&shape.text, from, until as usize - from, out);
                    from = until as usize;
                    json::escaped(stamp.id, out);
                }
                Piece::Run { until, at } => {
                    json::append(&shape.text, from, until as usize - from, out);
                    from = until as usize;
                    self.run_one(state, tools, stamp, at as usize, element, out);
                }
                Piece::End { bracket } => end(out, bracket),
            }
        }
        json::append(&shape.text, from, shape.len - from, out);
        state.shapes.list[number] = shape;
    }

    /// Runs an instruction whose result only the values tell.
    #[inline(never)]
    fn run_one(&self, state: &mut State, tools: &mut Tools<'_>, stamp: &Stamp<'_>, at: usize, element: Option<usize>, out: &mut Vec<u8>) {
        let text = &tools.doc.text;
        match &self.out[at] {
            Out::List { key, rows, form } => self.write_list(state, text, key, rows, *form, element, out),
            Out::Labels { key, entries } => self.write_labels(state, text, key, entries, element, out),
            Out::Entries { entries } => self.write_entries(state, text, entries, element, out),
            Out::Elements { scope, skip } => {
                let (range, stride) = state.element_ranges[*scope as usize].clone();
                for first in range.step_by(stride.max(1)) {
                    self.write_range(state, tools, stamp, at + 1..*skip as usize, Some(first), out);
                }
            }
            Out::ReceivedTime { key, .. } => {
                if let Some(millis) = state.received {
                    out.extend_from_slice(key);
                    out.push(b'"');
                    super::time::rfc3339_millis(millis, out);
                    out.extend_from_slice(b"\",");
                }
            }
            Out::Tags => self.write_tags(state, text, stamp.tags, out),
            Out::Extras => self.write_extras(state, tools, stamp, out),
            // All else is text of the shape, or a value in it.
            _ => {}
        }
    }

    /// The cell of a row, empty when it has no value.
    fn cell_at(&self, state: &State, row: u32, element: Option<usize>) -> Cell {
        match element {
            None if self.has_value(state, row) => self.cell_of(state, row, self.rows[row as usize].slot),
            None => Cell::EMPTY,
            Some(first) => state.element_cells[first + row as usize],
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn write_list(&self, state: &mut State, text: &[u8], key: &[u8], rows: &[u32], form: Form, element: Option<usize>, out: &mut Vec<u8>) {
        let mark = out.len();
        out.extend_from_slice(key);
        let first = out.len();
        for &row in rows {
            let cell = self.cell_at(state, row, element);
            if cell.value.tag == Tag::List {
                for at in cell.value.bits as usize..cell.value.bits as usize + cell.value.len as usize {
                    let item = state.items[at];
                    append_new(state, out, first, |out| json::scalar(item.value, form, text, out));
                    state.mark_read(item.node);
                }
            } else if !cell.value.is_absent() {
                append_new(state, out, first, |out| json::scalar(cell.value, form, text, out));
                state.mark_read(cell.node);
            }
        }
        if out.len() == first {
            out.truncate(mark);
            return;
        }
        end(out, b']');
        out.push(b',');
    }

    fn write_labels(
        &self,
        state: &mut State,
        text: &[u8],
        key: &[u8],
        entries: &[(LabelKey, u32)],
        element: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let mark = out.len();
        out.extend_from_slice(key);
        let first = out.len();
        for (label, row) in entries {
            let cell = self.cell_at(state, *row, element);
            if cell.value.is_absent() {
                continue;
            }
            each_item(state, cell, |state, item| {
                out.extend_from_slice(b"{\"key\":");
                match label {
                    LabelKey::Fixed(quoted) => out.extend_from_slice(quoted),
                    LabelKey::Own => tell(state, json::scalar(item.key, Form::Text, text, out)),
                }
                out.extend_from_slice(b",\"value\":");
                tell(state, json::scalar(item.value, Form::Text, text, out));
                out.extend_from_slice(b"},");
                state.mark_read(item.node);
            });
        }
        if out.len() == first {
            out.truncate(mark);
            return;
        }
        end(out, b']');
        out.push(b',');
    }

    fn write_entries(&self, state: &mut State, text: &[u8], entries: &[(LabelKey, u32)], element: Option<usize>, out: &mut Vec<u8>) {
        for (label, row) in entries {
            let cell = self.cell_at(state, *row, element);
            if cell.value.is_absent() {
                continue;
            }
            match label {
                LabelKey::Own => each_item(state, cell, |state, item| {
                    tell(state, json::scalar(item.key, Form::Text, text, out));
                    out.push(b':');
                    tell(state, json::scalar(item.value, Form::Text, text, out));
                    out.push(b',');
                    state.mark_read(item.node);
                }),
                LabelKey::Fixed(quoted) => {
                    out.extend_from_slice(quoted);
                    out.push(b':');
                    if cell.value.tag == Tag::List {
                        // One key cannot stand twice in an object: several values share it as one text.
                        out.push(b'"');
                        let mark = out.len();
                        each_item(state, cell, |state, item| {
                            if out.len() > mark {
                                out.push(b',');
                            }
                            if json::is_private(item.value, text) {
                                out.extend_from_slice(b"[redacted]");
                                tell(state, true);
                            } else {
                                json::escaped(item.value.shown(text, &mut NumberText::default()), out);
                            }
                            state.mark_read(item.node);
                        });
                        out.push(b'"');
                    } else {
                        tell(state, json::scalar(cell.value, Form::Text, text, out));
                        state.mark_read(cell.node);
                    }
                    out.push(b',');
                }
            }
        }
    }
}

/// Notes a value that gave way to `[redacted]`.
fn tell(state: &mut State, is_redacted: bool) {
    if is_redacted {
        state.note("redacted", u32::MAX);
    }
}

/// Appends a scalar to the text before it. True when it gave way to `[redacted]`.
#[inline]
fn put(value: Value, form: Hole, text: &[u8], out: &mut Vec<u8>) -> bool {
    match (form, value.tag) {
        (Hole::Quoted, Tag::Text) if value.plain == Plain::Yes => json::append(text, value.bits as usize, value.len as usize, out),
        (Hole::Quoted, Tag::Text) if json::is_private(value, text) => {
            out.extend_from_slice(b"[redacted]");
            return true;
        }
        (Hole::Quoted, Tag::Text) => {
            json::append_escaped(text, value.bits as usize, value.len as usize, out);
        }
        (Hole::Quoted | Hole::Bare, _) => out.extend_from_slice(value.shown(text, &mut NumberText::default())),
        (Hole::Whole(form), _) => return json::scalar(value, form, text, out),
    }
    false
}

/// Takes back the comma of the last item and closes.
#[inline]
fn end(out: &mut Vec<u8>, bracket: u8) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(bracket);
}

/// Appends one item and a comma, and takes both back when the list `out[first..]` already holds it.
fn append_new(state: &mut State, out: &mut Vec<u8>, first: usize, write: impl FnOnce(&mut Vec<u8>) -> bool) {
    let start = out.len();
    tell(state, write(out));
    out.push(b',');
    if start > first && holds_item(&out[first..start], &out[start..]) {
        out.truncate(start);
    }
}

/// Whether a list of items, each ending in a comma, holds `item`. A text item starts with a quote, so it can only match at a
/// place that follows a comma or the start.
fn holds_item(list: &[u8], item: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&list[from..], item) {
        let at = from + at;
        if at == 0 || list[at - 1] == b',' {
            return true;
        }
        from = at + 1;
    }
    false
}

/// Calls `write` for a cell's value, or for each of its list.
fn each_item(state: &mut State, cell: Cell, mut write: impl FnMut(&mut State, super::state::Item)) {
    if cell.value.tag == Tag::List {
        for at in cell.value.bits as usize..cell.value.bits as usize + cell.value.len as usize {
            let item = state.items[at];
            write(state, item);
        }
    } else {
        write(state, super::state::Item { key: super::value::Value::ABSENT, value: cell.value, node: cell.node });
    }
}
