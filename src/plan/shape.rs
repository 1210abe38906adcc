//! [`Shape`]: what an event looks like when exactly these rows have a value.
//!
//! The events of a log differ in their values far more than in which fields they have. So which groups open, where commas stand and which
//! constants appear is worked out once for each set of filled rows and kept: names, brackets, commas and constants become runs of text with
//! holes for values. Writing an event is then copying runs and values in turn. What a set of rows cannot tell, such as how long a list is,
//! stays an instruction of its own, run in its place.

use super::Plan;
use super::json::Form;
use super::program::{Constant, Filled, Finish, Input, LabelKey, Out};
use super::state::State;
use super::trie::NONE;
use super::write::Stamp;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU32, Ordering};

/// Shapes one worker keeps, of all plans. A log has some dozens; whoever sends more has them built anew.
const MAX_SHAPES: usize = 512;

/// A number for a plan, unique in the process: what tells its shapes from another's in a worker's memory.
pub(crate) fn next_plan() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs of text and what comes between them.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// Padded, so that every run of it can be copied as a block.
    pub text: Vec<u8>,
    /// Where the text ends and the padding begins.
    pub len: usize,
    pub pieces: Vec<Piece>,
}

/// What follows the text up to `until`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// The scalar of a row. `slot` holds it unless the part is mapped with care; `NONE` when the row's cell always does.
    Value { until: u32, row: u32, slot: u32, form: Hole },
    /// metadata.product_log_id
    Id { until: u32 },
    /// An instruction that writes by itself: nothing, or items that each end in a comma.
    Run { until: u32, at: u32 },
    /// A bracket that takes back the comma of what an instruction wrote.
    End { bracket: u8 },
}

/// How a value is written into its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// Between the quotes that stand in the text.
    Quoted,
    /// A number or a word.
    Bare,
    /// With whatever it needs around it.
    Whole(Form),
}

/// The shapes a worker has met.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    // Which fields an event has is a sender's choice, but a worker keeps few shapes, so a fixed hash does.
    by_key: HashMap<Box<[u64]>, u32, BuildHasherDefault<ahash::AHasher>>,
    pub list: Vec<Shape>,
}

impl Plan {
    /// The number of the shape of the instructions `[at, stop)`, built when it is met for the first time.
    ///
    /// `element` is the first cell of the element that row numbers count from.
    pub(super) fn shape(&self, state: &mut State, stamp: &Stamp<'_>, at: usize, stop: usize, element: Option<usize>) -> usize {
        let mut key = std::mem::take(&mut state.shape_key);
        key.clear();
        key.push(u64::from(self.number) << 32 | at as u64);
        match element {
            None => {
                key.push(u64::from(stamp.decision.event_type) << 2 | u64::from(!stamp.tags.is_empty()) << 1 | u64::from(stamp.has_extras));
                key.extend_from_slice(&state.bits.0[..self.candidates_from]);
            }
            Some(first) => {
                let cells = &state.element_cells[first..first + self.element_rows(at)];
                for cells in cells.chunks(64) {
                    key.push(cells.iter().enumerate().fold(0, |word, (at, cell)| word | u64::from(!cell.value.is_absent()) << at));
                }
            }
        }
        let number = match state.shapes.by_key.get(key.as_slice()) {
            Some(number) => *number as usize,
            None => {
                if state.shapes.list.len() >= MAX_SHAPES && element.is_none() {
                    state.shapes = Shapes::default();
                }
                let mut builder = Builder { plan: self, state, stamp, element, shape: Shape::default(), mark: 0 };
                builder.build(at, stop);
                let shape = builder.shape;
                let number = state.shapes.list.len();
                state.shapes.by_key.insert(key.clone().into(), number as u32);
                state.shapes.list.push(shape);
                number
            }
        };
        state.shape_key = key;
        number
    }

    /// How many cells an element has whose instructions begin behind the one at `at - 1`.
    fn element_rows(&self, at: usize) -> usize {
        match self.out.get(at.wrapping_sub(1)) {
            Some(Out::Elements { scope, .. }) => self.scopes[*scope as usize].rows.len(),
            _ => 0,
        }
    }
}

struct Builder<'a> {
    plan: &'a Plan,
    state: &'a State,
    stamp: &'a Stamp<'a>,
    element: Option<usize>,
    shape: Shape,
    /// Where the text after the last piece begins.
    mark: usize,
}

impl Builder<'_> {
    fn build(&mut self, at: usize, stop: usize) {
        self.text(b"{");
        self.range(at, stop);
        if self.element.is_none() {
            self.close(b'}');
            self.shape.text.pop();
        } else if self.shape.pieces.is_empty() && self.shape.text == b"{" {
            self.shape.text.clear();
        } else {
            self.close(b'}');
        }
        self.shape.len = self.shape.text.len();
        self.text(&[0; 64]);
    }

    fn range(&mut self, mut at: usize, stop: usize) {
        while at < stop {
            match &self.plan.out[at] {
                Out::Open { key, filled, skip } | Out::OpenList { key, filled, skip } => {
                    if !self.is_filled(filled) {
                        at = *skip as usize;
                        continue;
                    }
                    self.text(key);
                }
                Out::OpenElement { filled, skip } => {
                    if !self.is_filled(filled) {
                        at = *skip as usize;
                        continue;
                    }
                    self.text(b"{");
                }
                Out::Close => self.close(b'}'),
                Out::CloseList => self.close(b']'),
                Out::Field { key, rows, form } => {
                    if let Some(&row) = rows.iter().find(|row| self.has(**row)) {
                        self.text(key);
                        self.value(row, *form);
                        self.text(b",");
                    }
                }
                Out::List { key, rows, form } => {
                    let mut filled = rows.iter().filter(|row| self.has(**row));
                    match (filled.next(), filled.next()) {
                        (None, _) => {}
                        (Some(&row), None) if !self.is_list(row) => {
                            self.text(key);
                            self.value(row, *form);
                            self.text(b"],");
                        }
                        // How many items there are, and which stand twice, only their values tell.
                        _ => self.run(at),
                    }
                }
                Out::Labels { key, entries } => {
                    if entries.iter().any(|(label, row)| self.has(*row) && (self.is_list(*row) || matches!(label, LabelKey::Own))) {
                        self.run(at);
                    } else if entries.iter().any(|(_, row)| self.has(*row)) {
                        self.text(key);
                        for (label, row) in entries {
                            if let (LabelKey::Fixed(quoted), true) = (label, self.has(*row)) {
                                self.text(b"{\"key\":");
                                self.text(quoted);
                                self.text(b",\"value\":");
                                self.value(*row, Form::Text);
                                self.text(b"},");
                            }
                        }
                        self.close(b']');
                    }
                }
                Out::Entries { entries } => {
                    if entries.iter().any(|(label, row)| self.has(*row) && (self.is_list(*row) || matches!(label, LabelKey::Own))) {
                        self.run(at);
                    } else {
                        for (label, row) in entries {
                            if let (LabelKey::Fixed(quoted), true) = (label, self.has(*row)) {
                                self.text(quoted);
                                self.text(b":");
                                self.value(*row, Form::Text);
                                self.text(b",");
                            }
                        }
                    }
                }
                Out::Elements { skip, .. } => {
                    self.run(at);
                    at = *skip as usize;
                    continue;
                }
                Out::Literal { text } => {
                    self.text(text);
                    self.text(b",");
                }
                Out::Identity { key } => {
                    self.text(key);
                    self.text(b"\"");
                    let until = self.until();
                    self.shape.pieces.push(Piece::Id { until });
                    self.text(b"\",");
                }
                Out::EventType { key } => {
                    self.text(key);
                    let plan = self.plan;
                    self.text(&plan.types_json[self.stamp.decision.event_type as usize]);
                    self.text(b",");
                }
                Out::ReceivedTime { bit, .. } => {
                    if !self.state.bits.has(*bit) {
                        self.run(at);
                    }
                }
                Out::Tags => {
                    if !self.stamp.tags.is_empty() {
                        self.run(at);
                    }
                }
                Out::Extras => {
                    if self.stamp.has_extras {
                        self.run(at);
                    }
                }
            }
            at += 1;
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.shape.text.extend_from_slice(text);
    }

    /// The end of the text so far; what comes next stands behind a piece.
    fn until(&mut self) -> u32 {
        self.mark = self.shape.text.len();
        self.mark as u32
    }

    fn run(&mut self, at: usize) {
        let until = self.until();
        self.shape.pieces.push(Piece::Run { until, at: at as u32 });
    }

    /// Takes back the comma of the last item and closes; where an instruction may have written it, that is done when it has run.
    fn close(&mut self, bracket: u8) {
        if self.shape.text.len() == self.mark && !self.shape.pieces.is_empty() {
            self.shape.pieces.push(Piece::End { bracket });
        } else {
            if self.shape.text.last() == Some(&b',') {
                self.shape.text.pop();
            }
            self.shape.text.push(bracket);
        }
        self.text(b",");
    }

    fn value(&mut self, row: u32, form: Form) {
        let op = match self.element {
            None => Some(&self.plan.rows[row as usize]),
            Some(_) => None,
        };
        let is_raw = op.is_none_or(|op| {
            matches!(op.finish, Finish::UserAgent | Finish::GeoLocation)
                || matches!(op.input, Input::Constant(Constant::Raw(_)))
                || matches!(op.default, Some(Constant::Raw(_)))
        });
        let form = match form {
            Form::Text | Form::Long if !is_raw => Hole::Quoted,
            Form::Number | Form::Bool if !is_raw => Hole::Bare,
            form => Hole::Whole(form),
        };
        let quote: &[u8] = if form == Hole::Quoted { b"\"" } else { b"" };
        self.text(quote);
        let until = self.until();
        self.shape.pieces.push(Piece::Value { until, row, slot: op.map_or(NONE, |op| op.slot), form });
        self.text(quote);
    }

    fn has(&self, row: u32) -> bool {
        match self.element {
            None => self.plan.has_value(self.state, row),
            Some(first) => !self.state.element_cells[first + row as usize].value.is_absent(),
        }
    }

    /// Whether a row gives a list of values, however short.
    fn is_list(&self, row: u32) -> bool {
        match self.element {
            None => matches!(self.plan.rows[row as usize].input, Input::Spread(_)),
            Some(first) => self.state.element_cells[first + row as usize].value.tag == super::value::Tag::List,
        }
    }

    fn is_filled(&self, filled: &Filled) -> bool {
        match filled {
            Filled::Always => true,
            Filled::Bit(bit) => self.state.bits.has(*bit),
            Filled::Rows(rows) => rows.iter().any(|row| self.has(*row)),
        }
    }
}
