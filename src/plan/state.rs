//! [`State`]: what one worker needs to run plans; reused from part to part, reset by what was touched.

use super::program::Mask;
use super::shape::Shapes;
use super::value::{Slot, Value};
use std::ops::Range;

/// Label pairs one wildcard row may give; a policy change of five thousand permissions is cut here and noted.
pub(crate) const MAX_LABELS: usize = 64;
/// Bytes of one label value.
pub(crate) const MAX_LABEL_BYTES: usize = 1024;
/// Kept leaves a part and their bytes: what the design allows `additional` to grow by.
pub(crate) const MAX_KEPT: usize = 64;
pub(crate) const MAX_KEPT_BYTES: usize = 8 * 1024;

/// A value left out, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// A stable code, such as `not_an_ip`.
    pub code: &'static str,
    /// The row, or [`u32::MAX`] when the note is about the part.
    pub row: u32,
}

/// One entry of a list value: the wildcard's key (absent outside wildcards), the value, and the node it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub key: Value,
    pub value: Value,
    pub node: u32,
}

/// A row's value and which of its sources gave it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub value: Value,
    pub node: u32,
    pub source: u8,
}

impl Cell {
    pub const EMPTY: Cell = Cell { value: Value::ABSENT, node: super::value::NO_NODE, source: 0 };
}

/// A fixed-size set of small numbers.
#[derive(Debug, Default)]
pub(crate) struct Bits(pub Vec<u64>);

impl Bits {
    #[inline]
    pub fn has(&self, at: u32) -> bool {
        self.0[at as usize / 64] & (1 << (at % 64)) != 0
    }

    #[inline]
    pub fn add(&mut self, mask: &Mask) {
        for (word, bits) in mask.near {
            self.0[word as usize] |= bits;
        }
        if !mask.far.is_empty() {
            self.add_far(&mask.far);
        }
    }

    #[inline(never)]
    fn add_far(&mut self, words: &[(u32, u64)]) {
        for &(word, bits) in words {
            self.0[word as usize] |= bits;
        }
    }

    #[inline]
    pub fn meets(&self, mask: &Mask) -> bool {
        let near = mask.near.iter().fold(0, |met, &(word, bits)| met | (self.0[word as usize] & bits));
        near != 0 || mask.far.iter().any(|&(word, bits)| self.0[word as usize] & bits != 0)
    }
}

/// The memory of one worker for running plans.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub slots: Vec<Slot>,
    /// Slots and trie places to reset, newest last.
    pub touched_slots: Vec<u32>,
    pub touched_nodes: Vec<u32>,
    /// Per trie place: 0 not met, 1 met in another spelling, 2 met in the mapping's own.
    pub met: Vec<u8>,
    /// Which edge followed an edge, or came first in an object, when it was walked last: see [`super::trie::Trie::guess_in`]. A wrong guess
    /// costs a comparison, so it does not matter that plans share them.
    pub guesses: Vec<u32>,
    pub unread: super::trie::Unread,
    /// Values of the rows that ran; what stands in the cell of another row means nothing.
    pub cells: Vec<Cell>,
    /// Targets, rows with a value and rows to run: see [`super::Plan::filled_from`].
    pub bits: Bits,
    pub saved_bits: Vec<u64>,
    /// Bits to come back to when an element of an `each` ends.
    pub outer_bits: Vec<u64>,
    /// Every row runs, also those that only copy a slot: a value may hold a secret, a member stands twice, a label is too long, or explain
    /// looks on.
    pub is_careful: bool,
    pub shapes: Shapes,
    pub shape_key: Vec<u64>,
    pub items: Vec<Item>,
    /// What a tail found last.
    pub found: Vec<Item>,
    pub path: Vec<u8>,
    /// Emptied lists of elements, one for each depth that a part has reached.
    pub spare_lists: Vec<Vec<u32>>,
    pub scratch: [Vec<u8>; 2],
    /// Of this record.
    pub taken: super::convert::Taken,
    pub notes: Vec<Note>,
    /// Per condition: 0 not asked yet in this part, 1 does not hold, 2 holds.
    pub asked: Vec<u8>,
    pub asked_list: Vec<u32>,
    /// Cells of elements, scope by scope; `element_ranges` says where each scope's stand and how many rows one element has.
    pub element_cells: Vec<Cell>,
    pub element_ranges: Vec<(Range<usize>, usize)>,
    /// Whether anybody will ask which leaves were read.
    pub marks_reads: bool,
    /// Nodes a row wrote from, relative to nothing: indexed by node.
    pub read: Vec<u64>,
    /// Nodes whose value did not convert: kept whatever the mapping says of unmapped leaves.
    pub forced: Vec<u32>,
    /// How many leaves no row read, once they were kept.
    pub unread_leaves: Option<u32>,
    /// The split text whose columns the part reads; `NO_NODE` when it reads none.
    pub element: u32,
    /// JSON texts opened in this record: text node and the root it opened to.
    pub opened: Vec<(u32, u32)>,
    /// Whether a secret may be somewhere in the message.
    pub suspicious: bool,
    /// The broker's timestamp, in milliseconds since the epoch.
    pub received: Option<i64>,
    /// What had to be corrected in the record, or in JSON text opened from it.
    pub repair: Option<crate::decode::Repair>,
    /// Whether a row filled the event time.
    pub has_time: bool,
    /// Identities of the record and of the part, kept for their memory.
    pub record_id: Vec<u8>,
    pub part_id: Vec<u8>,
    /// Explain wants to look at a part before it is cleared.
    pub is_traced: bool,
    pub decision: Option<super::decide::Decision>,
    /// Remembers paths that no row read; only where somebody watches.
    pub drift: Option<Box<super::drift::DriftWatch>>,
}

impl State {
    /// Forgets slots and places back to the given lengths of the touched lists.
    pub fn forget(&mut self, slots: usize, nodes: usize) {
        for &slot in &self.touched_slots[slots..] {
            self.slots[slot as usize] = Slot::EMPTY;
        }
        self.touched_slots.truncate(slots);
        for &node in &self.touched_nodes[nodes..] {
            self.met[node as usize] = 0;
        }
        self.touched_nodes.truncate(nodes);
    }

    #[inline]
    pub fn mark_read(&mut self, node: u32) {
        if self.marks_reads && node != super::value::NO_NODE {
            let word = node as usize / 64;
            if word >= self.read.len() {
                self.read.resize(word + 1, 0);
            }
            self.read[word] |= 1 << (node % 64);
        }
    }

    pub fn is_read(&self, node: u32) -> bool {
        self.read.get(node as usize / 64).is_some_and(|word| word & (1 << (node % 64)) != 0)
    }

    pub fn note(&mut self, code: &'static str, row: u32) {
        self.notes.push(Note { code, row });
    }
}
