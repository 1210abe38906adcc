//! For coverage: every present leaf of a record, whether a row wrote from it in this part, and which.

use super::leaves::push_name;
use super::state::{Cell, State};
use super::value::{NO_NODE, Tag, Value};
use crate::decode::{Doc, Kind};

/// One present leaf of a record, as one part sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafTrace {
    /// The dotted path, redacted like the event.
    pub path: String,
    /// Whether a row wrote from it, or a `drop` row names it.
    pub is_read: bool,
    /// The rows that wrote from it: indices into [`Plan::row_infos`](super::Plan::row_infos). Empty for rows that put several leaves
    /// together, for identities and for leaves that are read and written nowhere.
    pub rows: Vec<u32>,
}

/// `(node, row)` of everything the rows wrote, sorted.
pub(crate) fn writers(state: &State, rows: &[(u32, Cell)]) -> Vec<(u32, u32)> {
    let mut writers = Vec::new();
    for (row, cell) in rows.iter().filter(|(_, cell)| !cell.value.is_absent()) {
        if cell.value.tag == Tag::List {
            let items = &state.items[cell.value.bits as usize..cell.value.bits as usize + cell.value.len as usize];
            writers.extend(items.iter().map(|item| (item.node, *row)));
        }
        writers.push((cell.node, *row));
    }
    writers.retain(|(node, _)| *node != NO_NODE);
    writers.sort_unstable();
    writers.dedup();
    writers
}

/// Calls `tell` with the dotted path, the node and whether it was read, for every present leaf below `node`.
pub(crate) fn present(state: &State, doc: &Doc, node: u32, path: &mut Vec<u8>, tell: &mut dyn FnMut(&[u8], u32, bool)) {
    let here = doc.node(node);
    let mark = path.len();
    let mut at = node + 1;
    match here.kind {
        Kind::Object | Kind::Array => {
            for index in 0..here.len {
                if here.kind == Kind::Object {
                    push_name(path, doc.str(at));
                    at += 1;
                } else {
                    push_name(path, itoa::Buffer::new().format(index).as_bytes());
                }
                present(state, doc, at, path, tell);
                path.truncate(mark);
                at = doc.after(at);
            }
        }
        _ if Value::of(doc, here).is_absent() => {}
        _ if state.is_read(node) => tell(path, node, true),
        _ => match state.opened.iter().find(|(text, root)| *text == node && *root != NO_NODE) {
            Some((_, root)) => present(state, doc, *root, path, tell),
            None => tell(path, node, false),
        },
    }
}
