//! Phase four: the event is written once, in UDM order, `additional` last. Nothing is patched afterwards.

use super::Plan;
use super::decide::Decision;
use super::json::{self, Form};
use super::program::{Filled, LabelKey, Out};
use super::resolve::Tools;
use super::state::{Cell, State};
use super::value::{NumberText, Tag};

/// What the engine adds to the rows of a part.
pub(crate) struct Stamp<'a> {
    /// metadata.product_log_id
    pub id: &'a [u8],
    pub decision: Decision,
    pub tags: super::TagSet,
    /// Root of the record, for the leaves that are kept.
    pub record: u32,
}

impl Plan {
    /// Appends the event to `out`.
    pub(crate) fn write(&self, state: &mut State, tools: &mut Tools<'_>, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_range(state, tools, stamp, 0, self.out.len(), None, out);
        end(out, b'}');
    }

    /// Runs the instructions `[at, end)`. `element` is the first cell of the element that row numbers count from.
    #[allow(clippy::too_many_arguments)]
    fn write_range(
        &self,
        state: &mut State,
        tools: &mut Tools<'_>,
        stamp: &Stamp<'_>,
        mut at: usize,
        stop: usize,
        element: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        while at < stop {
            let text = &tools.doc.text;
            match &self.out[at] {
                Out::Open { key, filled, skip } | Out::OpenList { key, filled, skip } => {
                    if !is_filled(state, filled, element) {
                        at = *skip as usize;
                        continue;
                    }
                    out.extend_from_slice(key);
                }
                Out::OpenElement { filled, skip } => {
                    if !is_filled(state, filled, element) {
                        at = *skip as usize;
                        continue;
                    }
                    out.push(b'{');
                }
                Out::Close => {
                    end(out, b'}');
                    out.push(b',');
                }
                Out::CloseList => {
                    end(out, b']');
                    out.push(b',');
                }
                Out::Field { key, rows, form } => {
                    if let Some(cell) = rows.iter().map(|row| cell(state, *row, element)).find(|cell| !cell.value.is_absent()) {
                        out.reserve(key.len() + cell.value.len as usize + 3);
                        out.extend_from_slice(key);
                        json::scalar(cell.value, *form, text, out);
                        out.push(b',');
                        state.mark_read(cell.node);
                    }
                }
                Out::List { key, rows, form } => write_list(state, text, key, rows, *form, element, out),
                Out::Labels { key, entries } => write_labels(state, text, key, entries, element, out),
                Out::Entries { entries } => write_entries(state, text, entries, element, out),
                Out::Elements { scope, skip } => {
                    let (range, stride) = state.element_ranges[*scope as usize].clone();
                    for first in range.step_by(stride.max(1)) {
                        out.push(b'{');
                        let mark = out.len();
                        self.write_range(state, tools, stamp, at + 1, *skip as usize, Some(first), out);
                        if out.len() == mark {
                            out.pop();
                        } else {
                            end(out, b'}');
                            out.push(b',');
                        }
                    }
                    at = *skip as usize;
                    continue;
                }
                Out::Literal { text } => {
                    out.extend_from_slice(text);
                    out.push(b',');
                }
                Out::Identity { key } => {
                    out.extend_from_slice(key);
                    json::string(stamp.id, out);
                    out.push(b',');
                }
                Out::EventType { key } => {
                    out.extend_from_slice(key);
                    out.extend_from_slice(&self.types_json[stamp.decision.event_type as usize]);
                    out.push(b',');
                }
                Out::ReceivedTime { key, bit } => {
                    if !state.bits.has(*bit)
                        && let Some(millis) = state.received
                    {
                        out.extend_from_slice(key);
                        out.push(b'"');
                        super::time::rfc3339_millis(millis, out);
                        out.extend_from_slice(b"\",");
                    }
                }
                Out::Tags => self.write_tags(state, text, stamp.tags, out),
                Out::Extras => self.write_extras(state, tools, stamp, out),
            }
            at += 1;
        }
    }
}

/// Takes back the comma of the last item and closes.
#[inline]
fn end(out: &mut Vec<u8>, bracket: u8) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(bracket);
}

#[inline]
fn cell(state: &State, row: u32, element: Option<usize>) -> Cell {
    match element {
        None => state.cells[row as usize],
        Some(first) => state.element_cells[first + row as usize],
    }
}

fn is_filled(state: &State, filled: &Filled, element: Option<usize>) -> bool {
    match filled {
        Filled::Always => true,
        Filled::Bit(bit) => state.bits.has(*bit),
        Filled::Rows(rows) => rows.iter().any(|row| !cell(state, *row, element).value.is_absent()),
    }
}

fn write_list(state: &mut State, text: &[u8], key: &[u8], rows: &[u32], form: Form, element: Option<usize>, out: &mut Vec<u8>) {
    let mark = out.len();
    out.extend_from_slice(key);
    let first = out.len();
    for &row in rows {
        let cell = cell(state, row, element);
        if cell.value.tag == Tag::List {
            for at in cell.value.bits as usize..cell.value.bits as usize + cell.value.len as usize {
                let item = state.items[at];
                append_new(out, first, |out| json::scalar(item.value, form, text, out));
                state.mark_read(item.node);
            }
        } else if !cell.value.is_absent() {
            append_new(out, first, |out| json::scalar(cell.value, form, text, out));
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

/// Appends one item and a comma, and takes both back when the list `out[first..]` already holds it.
fn append_new(out: &mut Vec<u8>, first: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
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

fn write_labels(state: &mut State, text: &[u8], key: &[u8], entries: &[(LabelKey, u32)], element: Option<usize>, out: &mut Vec<u8>) {
    let mark = out.len();
    out.extend_from_slice(key);
    let first = out.len();
    for (label, row) in entries {
        let cell = cell(state, *row, element);
        if cell.value.is_absent() {
            continue;
        }
        each_item(state, cell, |state, item| {
            out.extend_from_slice(b"{\"key\":");
            match label {
                LabelKey::Fixed(quoted) => out.extend_from_slice(quoted),
                LabelKey::Own => json::string(item.key.bytes(text), out),
            }
            out.extend_from_slice(b",\"value\":");
            json::scalar(item.value, Form::Text, text, out);
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

fn write_entries(state: &mut State, text: &[u8], entries: &[(LabelKey, u32)], element: Option<usize>, out: &mut Vec<u8>) {
    for (label, row) in entries {
        let cell = cell(state, *row, element);
        if cell.value.is_absent() {
            continue;
        }
        match label {
            LabelKey::Own => each_item(state, cell, |state, item| {
                json::string(item.key.bytes(text), out);
                out.push(b':');
                json::scalar(item.value, Form::Text, text, out);
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
                        json::escaped(item.value.shown(text, &mut NumberText::default()), out);
                        state.mark_read(item.node);
                    });
                    out.push(b'"');
                } else {
                    json::scalar(cell.value, Form::Text, text, out);
                    state.mark_read(cell.node);
                }
                out.push(b',');
            }
        }
    }
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
