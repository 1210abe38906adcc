//! Runs a plan over one record: parts, their phases and their ends.

use super::Plan;
use super::program::{Scope, Split};
use super::resolve::Tools;
use super::state::{Cell, State};
use super::value::{NO_NODE, Slot, Tag, Value};
use super::write::Stamp;
use crate::decode::Doc;
use std::ops::Range;

/// Parts one record may give: a flow record of an hour holds some thousands.
const MAX_PARTS: u32 = 1_000_000;
/// Elements of one list that become elements of the event.
const MAX_ELEMENTS: usize = 256;

/// How a part ended.
#[derive(Debug)]
pub enum PartEnd<'a> {
    /// An event was written.
    Emit {
        /// Where it lies in the output buffer.
        event: Range<usize>,
        /// metadata.product_log_id
        id: &'a [u8],
        /// Index into [`Plan::types`].
        event_type: u32,
        /// Whether the wished type gave way to another.
        fallback: bool,
        /// Its security tags.
        tags: super::TagSet,
        /// The outputs that say in `take` that they take it, a bit each.
        takers: u64,
    },
    /// A rule of the mapping passes the part over.
    Skip {
        /// The rule's word, the name of a site's filter, or `empty_each`.
        reason: &'a str,
    },
    /// The part could not become an event.
    Reject {
        /// Why.
        why: Why<'a>,
    },
}

/// Why a part could not become an event.
#[derive(Clone, Copy, Debug)]
pub enum Why<'a> {
    /// A split text has this many columns, and no column list of the `each` has.
    Columns {
        /// Name of the `each`.
        each: &'a str,
        /// Columns found.
        count: usize,
    },
    /// No row gave an event time and the message carries none.
    NoTime,
    /// The event is longer than the limit.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Takes the parts of a record as they end.
pub trait PartSink {
    /// Called once a part, in order. `notes` are the values left out of it.
    fn part(&mut self, end: PartEnd<'_>, notes: &[super::Note]);
    /// Called with what explain wants to know of the part that ended last; only while the state is tracing.
    fn traced(&mut self, trace: super::PartTrace, repair: Option<String>);
    /// Called once a record, at its end: how many of its leaves no row read.
    fn unread(&mut self, leaves: u32);
}

/// What a record brings along.
pub(crate) struct RecordContext {
    pub record: u32,
    /// A row of a table: its columns stand for members.
    pub is_row: bool,
    /// The longest event in bytes.
    pub max_event_bytes: usize,
}

/// Buffers of one record's run.
struct Run<'a, S> {
    context: &'a RecordContext,
    sink: &'a mut S,
    out: &'a mut Vec<u8>,
    /// The record's identity, and the part's, which may add `#k`.
    record_id: Vec<u8>,
    id: Vec<u8>,
    parts: u32,
}

impl Plan {
    /// Runs the plan over one record and hands its parts to `sink`; events are appended to `out`.
    pub(crate) fn run<S: PartSink>(
        &self,
        state: &mut State,
        tools: &mut Tools<'_>,
        context: &RecordContext,
        sink: &mut S,
        out: &mut Vec<u8>,
    ) {
        self.prepare(state);
        let mut run =
            Run { context, sink, out, record_id: std::mem::take(&mut state.record_id), id: std::mem::take(&mut state.part_id), parts: 0 };
        if self.received_slot != super::trie::NONE
            && let Some(millis) = state.received
        {
            let mut text = std::mem::take(&mut state.path);
            text.clear();
            super::time::rfc3339_millis(millis, &mut text);
            let value = super::resolve::place(&mut tools.doc.text, &text);
            state.path = text;
            self.set_slot(state, self.received_slot, Slot { value, node: NO_NODE });
        }
        self.walk(state, tools.doc, tools.decoder, context.record, self.record_root);
        if context.is_row {
            self.walk_columns(state, tools, context.record);
        }
        if let Some(root) = self.payload_root
            && let Some(payload) = payload(tools.doc, context.record)
        {
            self.fill(state, tools.doc, tools.decoder, root, payload);
        }
        let mut id = std::mem::take(&mut run.record_id);
        self.identify(state, tools, context.record, &mut id);
        run.record_id = id;
        self.resolve_values(state, tools, 0..self.values_per_part);
        if self.part_scopes.is_empty() {
            self.part(state, tools, &mut run, None);
        } else {
            self.each(state, tools, &mut run, 0);
            if run.parts == 0 {
                run.sink.part(PartEnd::Skip { reason: "empty_each" }, &[]);
            }
        }
        run.sink.unread(self.count_unread(state, tools, context.record));
        state.record_id = run.record_id;
        state.part_id = run.id;
        state.forget(0, 0);
    }

    /// Makes room for this plan. Everything was left empty by the record before.
    fn prepare(&self, state: &mut State) {
        if state.slots.len() < self.slot_count {
            state.slots.resize(self.slot_count, Slot::EMPTY);
        }
        if state.met.len() < self.trie.len() {
            state.met.resize(self.trie.len(), 0);
        }
        if state.guesses.len() < self.trie.guesses() {
            state.guesses.resize(self.trie.guesses(), super::trie::NONE);
        }
        if state.cells.len() < self.rows.len() {
            state.cells.resize(self.rows.len(), Cell::EMPTY);
        }
        if state.asked.len() < self.conds.len() {
            state.asked.resize(self.conds.len(), 0);
        }
        state.element_ranges.resize(self.scopes.len(), (0..0, 0));
        state.bits.0.clear();
        state.bits.0.extend_from_slice(&self.base_bits);
        state.is_careful = state.suspicious || state.is_traced;
        state.read.clear();
        state.marks_reads = self.unmapped != super::Unmapped::Drop || state.is_traced;
        state.opened.clear();
        state.element = NO_NODE;
        state.notes.clear();
        state.forced.clear();
        state.unread_leaves = None;
        state.taken.text = (0, 0);
    }

    /// One level of the scopes that lead to parts.
    fn each<S: PartSink>(&self, state: &mut State, tools: &mut Tools<'_>, run: &mut Run<'_, S>, level: usize) {
        let scope = &self.scopes[self.part_scopes[level] as usize];
        self.read_all(state, tools.doc, tools.decoder, &scope.from);
        if state.found.is_empty() && scope.split.is_some() {
            self.read_unwrapped(state, tools.doc, tools.decoder, &scope.from);
        }
        let mut elements = state.spare_lists.pop().unwrap_or_default();
        elements.extend(state.found.iter().map(|item| item.node));
        for (number, element) in elements.drain(..).enumerate() {
            if run.parts >= MAX_PARTS {
                return;
            }
            let (slots, nodes) = (state.touched_slots.len(), state.touched_nodes.len());
            let outer = state.outer_bits.len();
            state.outer_bits.extend_from_slice(&state.bits.0);
            let columns = self.enter(state, tools, scope, element, number);
            if level + 1 < self.part_scopes.len() {
                self.each(state, tools, run, level + 1);
            } else {
                let index = run.parts;
                run.parts += 1;
                state.element = if scope.split.is_some() { element } else { NO_NODE };
                state.notes.clear();
                match columns {
                    Err(count) => run.sink.part(PartEnd::Reject { why: Why::Columns { each: &scope.name, count } }, &[]),
                    Ok(()) if scope.when.is_some_and(|when| !self.holds(state, tools, when)) => {
                        run.sink.part(PartEnd::Skip { reason: "each_condition" }, &[]);
                    }
                    Ok(()) => self.part(state, tools, run, Some(index)),
                }
                clear_part(state);
            }
            state.forget(slots, nodes);
            state.bits.0.copy_from_slice(&state.outer_bits[outer..]);
            state.outer_bits.truncate(outer);
        }
        state.spare_lists.push(elements);
    }

    /// Fills the slots of one element. `Err` is the number of columns that no list has.
    fn enter(&self, state: &mut State, tools: &mut Tools<'_>, scope: &Scope, element: u32, number: usize) -> Result<(), usize> {
        self.fill(state, tools.doc, tools.decoder, scope.root, element);
        if scope.index_slot != super::trie::NONE {
            let value = Value::scalar(Tag::Int, number as u64);
            self.set_slot(state, scope.index_slot, Slot { value, node: NO_NODE });
        }
        scope.split.as_ref().map_or(Ok(()), |split| self.split(state, tools.doc, split, element))
    }

    fn split(&self, state: &mut State, doc: &Doc, split: &Split, element: u32) -> Result<(), usize> {
        let text = doc.str(element);
        let start = doc.node(element).bits as usize;
        let count = memchr::memchr_iter(split.by, text).count() + 1;
        let columns = split.columns.iter().find(|columns| columns.len() == count).ok_or(count)?;
        let mut from = 0;
        for (&slot, end) in columns.iter().zip(memchr::memchr_iter(split.by, text).chain([text.len()])) {
            if slot != super::trie::NONE {
                let value =
                    if super::value::means_nothing(&text[from..end]) { Value::ABSENT } else { Value::text(start + from, end - from) };
                self.set_slot(state, slot, Slot { value, node: element });
            }
            from = end + 1;
        }
        Ok(())
    }

    /// One part: skip rules, rows, elements, event type, output.
    fn part<S: PartSink>(&self, state: &mut State, tools: &mut Tools<'_>, run: &mut Run<'_, S>, index: Option<u32>) {
        self.resolve_values(state, tools, self.values_per_part..self.values.len());
        if state.is_careful {
            state.bits.0.copy_from_slice(&self.base_bits);
            state.bits.0[self.candidates_from..].copy_from_slice(&self.rows_plain);
        }
        for skip in &self.skips {
            if self.holds(state, tools, skip.when) {
                run.sink.part(PartEnd::Skip { reason: &skip.reason }, &[]);
                return clear_part(state);
            }
        }
        self.resolve_rows(state, tools);
        for &scope in &self.element_scopes {
            self.elements(state, tools, scope);
        }
        state.has_time = state.bits.has(self.time_bit);
        if !state.has_time && state.received.is_none() {
            run.sink.part(PartEnd::Reject { why: Why::NoTime }, &state.notes);
            return clear_part(state);
        }
        let decision = self.decide(state, tools);
        let tags = self.find_tags(state, tools);
        let takers = match self.choose(state, tools, decision, tags) {
            Ok(takers) => takers,
            Err(reason) => {
                run.sink.part(PartEnd::Skip { reason }, &[]);
                return clear_part(state);
            }
        };
        run.id.clear();
        run.id.extend_from_slice(&run.record_id);
        if let Some(index) = index {
            run.id.push(b'#');
            run.id.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
        }
        // What did not convert is kept unless another row wrote it, so reads must be known.
        state.marks_reads |= !state.forced.is_empty();
        let start = run.out.len();
        let has_extras = !state.has_time
            || decision.wanted.is_some()
            || state.repair.is_some()
            || !state.forced.is_empty()
            || (self.unmapped == super::Unmapped::Keep && self.part_scopes.is_empty());
        let stamp = Stamp { id: &run.id, decision, tags, record: run.context.record, has_extras };
        self.write(state, tools, &stamp, run.out);
        state.decision = Some(decision);
        let end = run.out.len();
        if end - start > run.context.max_event_bytes {
            run.out.truncate(start);
            let why = Why::TooLarge { bytes: end - start, limit: run.context.max_event_bytes };
            run.sink.part(PartEnd::Reject { why }, &state.notes);
        } else {
            let fallback = decision.wanted.is_some();
            let ended = PartEnd::Emit { event: start..end, id: &run.id, event_type: decision.event_type, fallback, tags, takers };
            run.sink.part(ended, &state.notes);
        }
        if state.is_traced {
            let trace = super::PartTrace { tags, ..self.trace(state, tools, run.context.record) };
            let repair = state.repair.map(|repair| repair.words().collect::<Vec<_>>().join(","));
            run.sink.traced(trace, repair);
        }
        clear_part(state);
    }

    /// Runs the rows of one scope for each of its elements.
    fn elements(&self, state: &mut State, tools: &mut Tools<'_>, number: u32) {
        let scope = &self.scopes[number as usize];
        let first = state.element_cells.len();
        self.read_all(state, tools.doc, tools.decoder, &scope.from);
        let mut elements = state.spare_lists.pop().unwrap_or_default();
        elements.extend(state.found.iter().map(|item| item.node).take(MAX_ELEMENTS));
        if state.found.len() > MAX_ELEMENTS {
            state.note("list_cut", u32::MAX);
        }
        for (index, element) in elements.drain(..).enumerate() {
            let (slots, nodes) = (state.touched_slots.len(), state.touched_nodes.len());
            // Rows of elements always have cells; the part's own were decided on before.
            let is_careful = state.is_careful;
            let entered = self.enter(state, tools, scope, element, index);
            // What was asked of the element before is not true of this one.
            forget_answers(state);
            if entered.is_err() {
                state.note("columns", u32::MAX);
            } else if scope.when.is_none_or(|when| self.holds(state, tools, when)) {
                for &row in &scope.rows {
                    let cell = self.cell(state, tools, row);
                    if !cell.value.is_absent() {
                        state.bits.add(&self.rows[row as usize].sets);
                    }
                    state.element_cells.push(cell);
                }
            }
            state.is_careful = is_careful;
            state.forget(slots, nodes);
        }
        state.spare_lists.push(elements);
        forget_answers(state);
        state.element_ranges[number as usize] = (first..state.element_cells.len(), scope.rows.len());
    }
}

fn forget_answers(state: &mut State) {
    for at in state.asked_list.drain(..) {
        state.asked[at as usize] = 0;
    }
}

/// Empties what belongs to one part.
pub(crate) fn clear_part(state: &mut State) {
    forget_answers(state);
    state.items.clear();
    state.element_cells.clear();
    for range in &mut state.element_ranges {
        *range = (0..0, 0);
    }
    state.forced.clear();
    state.notes.clear();
}

/// The payload of an OpenAI event: the member that its type names, the same with underscores, the type as nested members, `details`.
fn payload(doc: &Doc, record: u32) -> Option<u32> {
    let type_node = doc.member(record, b"type")?;
    let name = doc.str(type_node);
    if name.is_empty() {
        return None;
    }
    let plain = doc.member(record, name);
    let underscored = |doc: &Doc| {
        doc.members(record)
            .find(|(key, _)| {
                let key = doc.str(*key);
                key.len() == name.len() && key.iter().zip(name).all(|(a, b)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'.'))
            })
            .map(|(_, value)| value)
    };
    let nested = |doc: &Doc| {
        let mut at = record;
        for part in name.split(|byte| *byte == b'.') {
            at = doc.member(at, part)?;
        }
        (at != type_node).then_some(at)
    };
    plain.or_else(|| underscored(doc)).or_else(|| nested(doc)).or_else(|| doc.member(record, b"details"))
}
