//! Phase one: one walk over a record fills the slots of the paths this plan reads.

use super::Plan;
use super::leaves::push_name;
use super::program::{SourceRef, Tail};
use super::state::{Item, State};
use super::trie::{NONE, Trie};
use super::value::{NO_NODE, Slot, Tag, Value};
use crate::decode::{Decoder, Doc, Kind, Repair};

/// Openings of JSON text inside JSON text that any path may ask for.
const MAX_OPENED: usize = 256;

impl Plan {
    /// Walks `node` with the places below `place` and fills their slots.
    pub(crate) fn walk(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, node: u32, place: u32) {
        let object = doc.node(node);
        if object.kind != Kind::Object {
            return;
        }
        let mut at = node + 1;
        let mut guess = self.trie.guess_in(place);
        for _ in 0..object.len {
            let Some(&[name, it]) = doc.nodes.get(at as usize..).and_then(|rest| rest.first_chunk()) else { return };
            match self.trie.guessed(place, &doc.text, name.bits as usize, name.len, state.guesses[guess]) {
                Some(found) => {
                    guess = found.at as usize;
                    match state.slots.get_mut(found.leaf as usize) {
                        // Nearly every member: the end of a path, met for the first time.
                        Some(slot) if slot.node == NO_NODE => {
                            *slot = Slot { value: Value::of(doc, it), node: at + 1 };
                            let value = slot.value;
                            self.mark(state, found.leaf, value);
                        }
                        _ => self.meet(state, doc, decoder, found.child, found.exact, at + 1),
                    }
                }
                None => guess = self.unguessed(state, doc, decoder, (at, place), guess),
            }
            at = if matches!(it.kind, Kind::Object | Kind::Array) { it.bits as u32 } else { at + 2 };
        }
    }

    /// The member at `at` below `place`, which is not the one that was guessed; where the guess for the next one stands.
    #[inline(never)]
    fn unguessed(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, (at, place): (u32, u32), guess: usize) -> usize {
        let name = doc.node(at);
        let key = Trie::key(place, &doc.text, name.bits as usize, name.len);
        if key.is_some_and(|key| state.unread.holds(self.number, key)) {
            return guess;
        }
        match self.trie.search(place, doc.str(at)) {
            Some(found) => {
                state.guesses[guess] = found.at;
                self.meet(state, doc, decoder, found.child, found.exact, at + 1);
                found.at as usize
            }
            None => {
                if let Some(key) = key {
                    state.unread.keep(self.number, key);
                }
                guess
            }
        }
    }

    /// A member that a path names. A name met before gives way to the mapping's own spelling, and that one to its last occurrence.
    #[inline(never)]
    pub(super) fn meet(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, place: u32, exact: bool, value: u32) {
        let here = self.trie.node(place);
        if here.is_leaf {
            let is_taken = state.slots[here.slot as usize].node != NO_NODE;
            // A slot that is taken gives way to the mapping's own spelling only.
            if !is_taken || exact {
                state.is_careful |= is_taken;
                self.set_slot(state, here.slot, Slot { value: Value::of(doc, doc.node(value)), node: value });
            }
            return;
        }
        let met = &mut state.met[place as usize];
        if *met != 0 {
            if !exact {
                return;
            }
            *met = 2;
            state.is_careful = true;
            self.forget_below(state, place);
        } else {
            *met = if exact { 2 } else { 1 };
            state.touched_nodes.push(place);
        }
        self.fill(state, doc, decoder, place, value);
    }

    /// Fills the slot of `place` with `node` and goes on below it.
    pub(crate) fn fill(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, place: u32, node: u32) {
        let here = self.trie.node(place);
        if here.slot != NONE {
            self.set_slot(state, here.slot, Slot { value: Value::of(doc, doc.node(node)), node });
        }
        if !here.children.is_empty() {
            self.walk(state, doc, decoder, node, place);
        }
        if here.json != NONE
            && let Some(root) = open(state, doc, decoder, node)
        {
            self.fill(state, doc, decoder, here.json, root);
        }
    }

    /// Sets a slot, and with it what the rows that read it fill or that they are to run.
    #[inline]
    pub(crate) fn set_slot(&self, state: &mut State, slot: u32, filled: Slot) {
        state.slots[slot as usize] = filled;
        self.mark(state, slot, filled.value);
    }

    /// What a filled slot brings with it.
    #[inline(always)]
    fn mark(&self, state: &mut State, slot: u32, value: Value) {
        state.touched_slots.push(slot);
        let marks = &self.slot_marks[slot as usize];
        match value.tag {
            Tag::Absent => {}
            Tag::Container => state.bits.add(&marks.container),
            _ => {
                if value.len > marks.longest {
                    state.is_careful = true;
                }
                state.bits.add(&marks.scalar);
            }
        }
    }

    fn forget_below(&self, state: &mut State, place: u32) {
        let here = self.trie.node(place);
        if here.slot != NONE {
            state.slots[here.slot as usize] = Slot::EMPTY;
        }
        for &child in here.children.iter().chain(Some(&here.json).filter(|json| **json != NONE)) {
            state.met[child as usize] = 0;
            self.forget_below(state, child);
        }
    }

    /// The single value of a path.
    #[inline]
    pub(crate) fn read(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, source: &SourceRef) -> Slot {
        let slot = state.slots[source.slot as usize];
        if source.tail.is_empty() || slot.value.is_absent() {
            return slot;
        }
        self.read_all(state, doc, decoder, source);
        state.found.first().map_or(Slot::EMPTY, |item| Slot { value: item.value, node: item.node })
    }

    /// All values of a path, into `state.found`.
    pub(crate) fn read_all(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, source: &SourceRef) {
        state.found.clear();
        state.path.clear();
        let slot = state.slots[source.slot as usize];
        if slot.node == NO_NODE {
            if source.tail.is_empty() && !slot.value.is_absent() {
                state.found.push(Item { key: Value::ABSENT, value: slot.value, node: NO_NODE });
            }
            return;
        }
        follow(state, doc, decoder, slot.node, &source.tail, Value::ABSENT);
    }

    /// The text that stands where a path expects a list of texts, into `state.found`: exporters unwrap a list of one.
    pub(crate) fn read_unwrapped(&self, state: &mut State, doc: &mut Doc, decoder: &mut Decoder, source: &SourceRef) {
        let Some((Tail::From(0), before)) = source.tail.split_last() else { return };
        let slot = state.slots[source.slot as usize];
        if slot.node != NO_NODE {
            follow(state, doc, decoder, slot.node, before, Value::ABSENT);
            state.found.retain(|item| item.value.tag == Tag::Text);
        }
    }
}

/// Follows a tail from `node` and pushes what it finds.
fn follow(state: &mut State, doc: &mut Doc, decoder: &mut Decoder, node: u32, tail: &[Tail], key: Value) {
    let Some((step, rest)) = tail.split_first() else {
        let value = Value::of(doc, doc.node(node));
        if !value.is_absent() {
            state.found.push(Item { key, value, node });
        }
        return;
    };
    let here = doc.node(node);
    match step {
        Tail::Member(name) => {
            if let Some(value) = doc.member(node, name) {
                follow(state, doc, decoder, value, rest, key);
            }
        }
        Tail::Json => {
            if let Some(root) = open(state, doc, decoder, node) {
                follow(state, doc, decoder, root, rest, key);
            }
        }
        Tail::Index(_) | Tail::From(_) if here.kind == Kind::Array => {
            let (from, to) = match step {
                Tail::Index(n) => (*n, n.saturating_add(1)),
                Tail::From(n) => (*n, u32::MAX),
                _ => return,
            };
            let mut at = node + 1;
            for index in 0..here.len.min(to) {
                if index >= from {
                    follow(state, doc, decoder, at, rest, key);
                }
                at = doc.after(at);
            }
        }
        Tail::Where(name, text) if here.kind == Kind::Array => {
            let mut at = node + 1;
            for _ in 0..here.len {
                let said = doc.member(at, name).map_or(Value::ABSENT, |member| Value::of(doc, doc.node(member)));
                if said.tag == Tag::Text {
                    match text {
                        None => follow(state, doc, decoder, at, rest, said),
                        Some(text) if said.bytes(&doc.text).eq_ignore_ascii_case(text) => {
                            return follow(state, doc, decoder, at, rest, key);
                        }
                        Some(_) => {}
                    }
                }
                at = doc.after(at);
            }
        }
        Tail::Members if here.kind == Kind::Object => {
            let mut at = node + 1;
            for _ in 0..here.len {
                let name = doc.node(at);
                let next = doc.after(at + 1);
                if !matches!(doc.node(at + 1).kind, Kind::Object | Kind::Array) || !rest.is_empty() {
                    follow(state, doc, decoder, at + 1, rest, Value::text(name.bits as usize, name.len as usize));
                }
                at = next;
            }
        }
        Tail::Leaves => {
            let mut path = std::mem::take(&mut state.path);
            leaves(state, doc, node, &mut path);
            state.path = path;
        }
        _ => {}
    }
}

/// Every leaf below `node` with its dotted path as the key.
fn leaves(state: &mut State, doc: &mut Doc, node: u32, path: &mut Vec<u8>) {
    let here = doc.node(node);
    let mark = path.len();
    let mut at = node + 1;
    match here.kind {
        Kind::Object => {
            for _ in 0..here.len {
                push_name(path, doc.str(at));
                leaves(state, doc, at + 1, path);
                path.truncate(mark);
                at = doc.after(at + 1);
            }
        }
        Kind::Array => {
            for index in 0..here.len {
                push_name(path, itoa::Buffer::new().format(index).as_bytes());
                leaves(state, doc, at, path);
                path.truncate(mark);
                at = doc.after(at);
            }
        }
        _ => {
            let value = Value::of(doc, here);
            if !value.is_absent() {
                let start = doc.text.len();
                doc.text.extend_from_slice(path);
                state.found.push(Item { key: Value::text(start, path.len()), value, node });
            }
        }
    }
}

/// The root of the JSON that `node` holds as text, or `node` itself when it already is an object or an array.
pub(super) fn open(state: &mut State, doc: &mut Doc, decoder: &mut Decoder, node: u32) -> Option<u32> {
    match Value::of(doc, doc.node(node)).tag {
        Tag::Container => Some(node),
        Tag::Text => {
            if let Some(&(_, root)) = state.opened.iter().find(|(text, _)| *text == node) {
                return (root != NO_NODE).then_some(root);
            }
            if state.opened.len() >= MAX_OPENED {
                return None;
            }
            let root = decoder.open(doc, node);
            state.repair = Repair::join(state.repair, decoder.last_repair());
            state.opened.push((node, root.unwrap_or(NO_NODE)));
            root
        }
        _ => None,
    }
}
