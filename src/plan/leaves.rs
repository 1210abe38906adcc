//! What no row read: counted, or kept in `additional` as flat text, with a limit that says so when it is reached.

use super::json::{self, Form};
use super::redact;
use super::resolve::Tools;
use super::state::{MAX_KEPT, MAX_KEPT_BYTES, State};
use super::value::{NO_NODE, Tag, Value};
use super::write::Stamp;
use super::{Plan, Unmapped};
use crate::decode::{Doc, Kind};

impl Plan {
    /// Writes kept leaves and the engine's own entries of `additional`.
    pub(crate) fn write_extras(&self, state: &mut State, tools: &mut Tools<'_>, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        if !state.has_time {
            out.extend_from_slice(b"\"udmill_time_source\":\"received\",");
        }
        if let Some(wanted) = stamp.decision.wanted {
            out.extend_from_slice(b"\"udmill_wanted_event_type\":");
            out.extend_from_slice(&self.types_json[wanted as usize]);
            out.push(b',');
        }
        if let Some(repair) = state.repair {
            out.extend_from_slice(b"\"udmill_repair\":\"");
            for (number, word) in repair.words().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(word.as_bytes());
            }
            out.extend_from_slice(b"\",");
        }
        // A record of many parts is accounted once, at its end; of a part only what did not convert is kept.
        let all = self.unmapped == Unmapped::Keep && self.part_scopes.is_empty();
        if state.forced.contains(&state.element) {
            self.keep_element(state, tools, out);
        }
        if all || state.forced.iter().any(|node| *node != state.element) {
            self.mark_dropped(state, tools);
            self.keep(state, tools, stamp.record, all, out);
        }
    }

    /// Keeps the whole split text of a part when one of its columns did not convert: a column has no path of its own.
    fn keep_element(&self, state: &mut State, tools: &Tools<'_>, out: &mut Vec<u8>) {
        let Some(scope) = self.part_scopes.last().map(|scope| &self.scopes[*scope as usize]) else { return };
        let text = tools.doc.str(state.element);
        out.extend_from_slice(b"\"unmapped.");
        json::escaped(scope.name.as_bytes(), out);
        out.extend_from_slice(b"\":");
        let mut scratch = std::mem::take(&mut state.scratch[0]);
        scratch.clear();
        let is_secret = state.suspicious && tools.redactor.redact(text, &mut scratch);
        json::string(if is_secret { &scratch } else { text }, out);
        out.push(b',');
        state.scratch[0] = scratch;
    }

    /// How many leaves of the record no row read.
    pub(crate) fn count_unread(&self, state: &mut State, tools: &mut Tools<'_>, record: u32) -> u32 {
        if self.unmapped == Unmapped::Drop {
            return 0;
        }
        let kept = state.unread_leaves.take();
        if kept.is_none() {
            self.mark_dropped(state, tools);
        }
        if let Some(mut watch) = state.drift.take_if(|watch| watch.mapping.is_some()) {
            let count = watch.mapping.map_or(0, |mapping| watch.count(mapping, state, tools.doc, record, tools.redactor));
            state.drift = Some(watch);
            return count;
        }
        if let Some(count) = kept {
            return count;
        }
        let mut count = 0;
        let mut path = std::mem::take(&mut state.path);
        path.clear();
        unread(state, tools.doc, record, &mut path, &mut |_, _| count += 1);
        state.path = path;
        count
    }

    /// A dropped path counts as read with everything below it.
    pub(crate) fn mark_dropped(&self, state: &mut State, tools: &mut Tools<'_>) {
        for source in &self.drops {
            if source.tail.is_empty() {
                let node = state.slots[source.slot as usize].node;
                if node != NO_NODE {
                    mark_below(state, tools.doc, node);
                }
            } else {
                self.read_all(state, tools.doc, tools.decoder, source);
                for at in 0..state.found.len() {
                    mark_below(state, tools.doc, state.found[at].node);
                }
            }
        }
    }

    fn keep(&self, state: &mut State, tools: &Tools<'_>, record: u32, all: bool, out: &mut Vec<u8>) {
        let text = &tools.doc.text;
        let mut path = std::mem::take(&mut state.path);
        let mut scratch = std::mem::take(&mut state.scratch[0]);
        path.clear();
        let (from, mut written, mut dropped, mut redacted) = (out.len(), 0, 0, 0);
        unread(state, tools.doc, record, &mut path, &mut |path, node| {
            if !all && !state.forced.contains(&node) {
                return;
            }
            let start = out.len();
            out.extend_from_slice(b"\"unmapped.");
            scratch.clear();
            if state.suspicious && tools.redactor.redact(path, &mut scratch) {
                json::escaped(&scratch, out);
            } else {
                json::escaped(path, out);
            }
            out.extend_from_slice(b"\":");
            let value = Value::of(tools.doc, tools.doc.node(node));
            scratch.clear();
            if redact::sensitive_path(path) || (value.tag == Tag::Text && redact::holds_sensitive_tree(value.bytes(text))) {
                out.extend_from_slice(b"\"[redacted]\"");
                redacted += 1;
            } else if state.suspicious && value.tag == Tag::Text && tools.redactor.redact(value.bytes(text), &mut scratch) {
                json::string(&scratch, out);
                redacted += 1;
            } else {
                redacted += usize::from(json::scalar(value, Form::Text, text, out));
            }
            out.push(b',');
            written += 1;
            if written > MAX_KEPT || out.len() - from > MAX_KEPT_BYTES {
                out.truncate(start);
                dropped += 1;
            }
        });
        state.path = path;
        state.scratch[0] = scratch;
        state.unread_leaves = all.then_some(written as u32);
        for _ in 0..redacted {
            state.note("redacted", u32::MAX);
        }
        if dropped > 0 {
            state.note("unmapped_dropped", u32::MAX);
            out.extend_from_slice(b"\"udmill_unmapped_dropped\":\"");
            out.extend_from_slice(itoa::Buffer::new().format(dropped).as_bytes());
            out.extend_from_slice(b"\",");
        }
    }
}

fn mark_below(state: &mut State, doc: &Doc, node: u32) {
    for inner in node..doc.after(node) {
        state.mark_read(inner);
        if let Some(root) = opened_root(state, inner) {
            mark_below(state, doc, root);
        }
    }
}

/// The root that a text node was opened to.
fn opened_root(state: &State, node: u32) -> Option<u32> {
    state.opened.iter().find(|(text, root)| *text == node && *root != NO_NODE).map(|(_, root)| *root)
}

/// Whether a row wrote from this value, which holds no others: nearly every one, so its path need not be spelled out.
#[inline]
pub(crate) fn is_read_leaf(state: &State, doc: &Doc, node: u32) -> bool {
    state.is_read(node) && !matches!(doc.node(node).kind, Kind::Object | Kind::Array)
}

/// Calls `tell` with the dotted path and the node of every present leaf below `node` that no row wrote from. JSON text that a path
/// opened is looked into.
pub(crate) fn unread(state: &State, doc: &Doc, node: u32, path: &mut Vec<u8>, tell: &mut dyn FnMut(&[u8], u32)) {
    let here = doc.node(node);
    let mark = path.len();
    let mut at = node + 1;
    match here.kind {
        Kind::Object => {
            for _ in 0..here.len {
                if !is_read_leaf(state, doc, at + 1) {
                    push_name(path, doc.str(at));
                    unread(state, doc, at + 1, path, tell);
                    path.truncate(mark);
                }
                at = doc.after(at + 1);
            }
        }
        Kind::Array => {
            for index in 0..here.len {
                push_name(path, itoa::Buffer::new().format(index).as_bytes());
                unread(state, doc, at, path, tell);
                path.truncate(mark);
                at = doc.after(at);
            }
        }
        _ if is_read_leaf(state, doc, node) => {}
        _ => match opened_root(state, node) {
            Some(root) => unread(state, doc, root, path, tell),
            None if Value::of(doc, here).is_absent() => {}
            None => tell(path, node),
        },
    }
}

/// Appends one name to a dotted path.
pub(crate) fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'.');
    }
    path.extend_from_slice(name);
}
