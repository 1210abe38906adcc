//! Phase two: every row whose condition holds is converted to a cell and sets the bits of its targets.

use super::Plan;
use super::convert::{Args, Fault, Output, Taken, Taking};
use super::enrich::Enrich;
use super::json;
use super::program::{Cond, Constant, Escapes, Finish, Fit, Input, Piece, RowOp, SourceRef, Step, Test};
use super::redact::{self, Redactor};
use super::state::{Cell, Item, MAX_LABEL_BYTES, MAX_LABELS, State};
use super::trie::NONE;
use super::value::{NO_NODE, NumberText, Slot, Tag, Value};
use crate::decode::{Decoder, Doc, Plain};

/// What resolving borrows beside the state: the document and who may add to it.
pub(crate) struct Tools<'a> {
    pub doc: &'a mut Doc,
    pub decoder: &'a mut Decoder,
    pub enrich: &'a mut dyn Enrich,
    pub redactor: &'a Redactor,
}

/// What one source gave.
enum Given {
    Value(Value),
    Absent,
    Fault(Fault),
}

impl Plan {
    /// Fills the slots of some `[values]`, in order.
    pub(crate) fn resolve_values(&self, state: &mut State, tools: &mut Tools<'_>, which: std::ops::Range<usize>) {
        for op in &self.values[which] {
            if op.when.is_some_and(|when| !self.holds(state, tools, when)) {
                continue;
            }
            let found = match &op.input {
                Input::Paths(paths) if op.quick && !state.suspicious => short(state, tools.doc, paths, &op.chain),
                _ => None,
            };
            let mut cell = found.unwrap_or_else(|| self.input(state, tools, &op.input, &op.chain).0);
            if cell.value.is_absent()
                && let Some(default) = &op.default
            {
                cell.value = constant(default, tools.doc);
            }
            // Without a value the slot stays as it is: empty.
            if !cell.value.is_absent() {
                self.set_slot(state, op.slot, Slot { value: cell.value, node: cell.node });
            }
        }
    }

    /// Resolves the rows that are to run, in order.
    pub(crate) fn resolve_rows(&self, state: &mut State, tools: &mut Tools<'_>) {
        for word in 0..self.rows_plain.len() {
            // Only slots make rows candidates, and all are filled: the set is final here.
            let mut left = state.bits.0[self.candidates_from + word];
            while left != 0 {
                let row = word as u32 * 64 + left.trailing_zeros();
                left &= left - 1;
                self.resolve(state, tools, row);
            }
        }
    }

    /// Resolves one row: its cell and its bits. True when it gave a value.
    pub(crate) fn resolve(&self, state: &mut State, tools: &mut Tools<'_>, row: u32) -> bool {
        let op = &self.rows[row as usize];
        if !state.suspicious {
            if op.direct {
                return copy(state, op, row);
            }
            if op.quick
                && let Some(filled) = self.quick(state, tools, op, row)
            {
                return filled;
            }
        }
        let cell = self.cell(state, tools, row);
        if cell.value.is_absent() {
            return false;
        }
        state.cells[row as usize] = cell;
        state.bits.add(&op.sets);
        true
    }

    /// A row of plain paths and one converter at most: whether it gave a value. `None` when something is odd, which the long way then tells.
    #[inline]
    fn quick(&self, state: &mut State, tools: &mut Tools<'_>, op: &RowOp, row: u32) -> Option<bool> {
        let Input::Paths(paths) = &op.input else { return None };
        if op.asks && (state.bits.meets(&op.unless) || op.when.is_some_and(|when| !self.holds(state, tools, when))) {
            return Some(false);
        }
        let cell = short(state, tools.doc, paths, &op.chain)?;
        let value = cell.value;
        if value.is_absent() {
            return Some(false);
        }
        let is_number = value.tag == Tag::Text && op.chain.first().is_some_and(|step| step.is_number);
        let fits = op.fit == Fit::Any || is_number || fits(value, op.fit, &tools.doc.text).is_some();
        if !fits || (op.label && value.len as usize > MAX_LABEL_BYTES) {
            return None;
        }
        state.cells[row as usize] = cell;
        state.bits.add(&op.sets);
        Some(true)
    }

    /// Whether a row of the part has a value.
    #[inline]
    pub(crate) fn has_value(&self, state: &State, row: u32) -> bool {
        state.bits.0[self.filled_from + row as usize / 64] & (1 << (row % 64)) != 0
    }

    /// The cell of a row that has a value. `slot` is the row's own, see [`RowOp::slot`].
    #[inline]
    pub(crate) fn cell_of(&self, state: &State, row: u32, slot: u32) -> Cell {
        if slot == NONE || state.is_careful {
            return state.cells[row as usize];
        }
        let Slot { value, node } = state.slots[slot as usize];
        Cell { value, node, source: 0 }
    }

    /// The cell of a row, without storing it.
    #[inline]
    pub(crate) fn cell(&self, state: &mut State, tools: &mut Tools<'_>, row: u32) -> Cell {
        let op = &self.rows[row as usize];
        if state.bits.meets(&op.unless) || op.when.is_some_and(|when| !self.holds(state, tools, when)) {
            return Cell::EMPTY;
        }
        let mut cell = match &op.input {
            Input::Spread(sources) => self.spread(state, tools, op, row, sources),
            input => {
                let (mut cell, fault) = match input {
                    Input::Paths(paths) => self.paths(state, tools, paths, &op.chain),
                    input => self.input(state, tools, input, &op.chain),
                };
                if let Some(Fault(code)) = fault {
                    state.note(code, row);
                }
                if !cell.value.is_absent() {
                    cell.value = self.finish(state, tools, op, row, cell.value);
                }
                cell
            }
        };
        if cell.value.is_absent()
            && let Some(default) = &op.default
        {
            cell = Cell { value: constant(default, tools.doc), node: NO_NODE, source: u8::MAX };
        }
        cell
    }

    /// The first of some paths that is present and converts, and the first fault met on the way.
    #[inline]
    fn paths(&self, state: &mut State, tools: &mut Tools<'_>, paths: &[SourceRef], chain: &[Step]) -> (Cell, Option<Fault>) {
        let mut first_fault = None;
        for (number, path) in paths.iter().enumerate() {
            let mut slot = state.slots[path.slot as usize];
            if slot.value.is_absent() {
                continue;
            }
            if !path.tail.is_empty() {
                slot = self.read(state, tools.doc, tools.decoder, path);
                if slot.value.is_absent() {
                    continue;
                }
            }
            let value = cleaned(state, tools, chain, slot.value);
            match convert(state, tools.doc, chain, value) {
                Given::Value(value) => return (Cell { value, node: slot.node, source: number as u8 }, None),
                Given::Absent => {}
                Given::Fault(fault) => {
                    first_fault = first_fault.or(Some(fault));
                    if slot.node != NO_NODE {
                        state.forced.push(slot.node);
                    }
                }
            }
        }
        (Cell::EMPTY, first_fault)
    }

    /// The value of an input after its converters, and the first fault met on the way.
    fn input(&self, state: &mut State, tools: &mut Tools<'_>, input: &Input, chain: &[Step]) -> (Cell, Option<Fault>) {
        match input {
            Input::Paths(paths) => self.paths(state, tools, paths, chain),
            Input::Constant(value) => {
                let value = constant(value, tools.doc);
                self.computed(state, tools, chain, value, NO_NODE)
            }
            Input::Template(pieces) => {
                let mut text = std::mem::take(&mut state.path);
                text.clear();
                let mut node = NO_NODE;
                let mut complete = true;
                for piece in pieces {
                    match piece {
                        Piece::Text(bytes) => text.extend_from_slice(bytes),
                        Piece::Hole(source) => {
                            let slot = self.read(state, tools.doc, tools.decoder, source);
                            complete &= !slot.value.is_absent() && slot.value.tag != Tag::Container;
                            let hole = if state.suspicious { redacted(state, tools, slot.value).unwrap_or(slot.value) } else { slot.value };
                            if json::is_private(hole, &tools.doc.text) {
                                // Within a longer text the writer would not know it for JSON.
                                text.extend_from_slice(b"[redacted]");
                                state.note("redacted", u32::MAX);
                            } else {
                                text.extend_from_slice(hole.shown(&tools.doc.text, &mut NumberText::default()));
                            }
                            node = slot.node;
                        }
                    }
                }
                let value = if complete { place(&mut tools.doc.text, &text) } else { Value::ABSENT };
                state.path = text;
                if complete {
                    self.mark_holes(state, tools, pieces);
                }
                self.computed(state, tools, chain, value, node)
            }
            Input::Sum(sources) => {
                let value = self.fold(state, tools, sources, i64::checked_add);
                self.computed(state, tools, chain, value, NO_NODE)
            }
            Input::Difference(pair) => {
                let value = self.fold(state, tools, pair.as_slice(), i64::checked_sub);
                self.computed(state, tools, chain, value, NO_NODE)
            }
            Input::Spread(_) => (Cell::EMPTY, None),
        }
    }

    #[inline]
    fn computed(&self, state: &mut State, tools: &mut Tools<'_>, chain: &[Step], value: Value, node: u32) -> (Cell, Option<Fault>) {
        match convert(state, tools.doc, chain, value) {
            Given::Value(value) => (Cell { value, node, source: 0 }, None),
            Given::Absent => (Cell::EMPTY, None),
            Given::Fault(fault) => (Cell::EMPTY, Some(fault)),
        }
    }

    /// A template reads all its holes, not only the last.
    fn mark_holes(&self, state: &mut State, tools: &mut Tools<'_>, pieces: &[Piece]) {
        for piece in pieces {
            if let Piece::Hole(source) = piece {
                let slot = self.read(state, tools.doc, tools.decoder, source);
                state.mark_read(slot.node);
            }
        }
    }

    fn fold(&self, state: &mut State, tools: &mut Tools<'_>, sources: &[SourceRef], join: fn(i64, i64) -> Option<i64>) -> Value {
        let mut total: Option<i64> = None;
        for source in sources {
            let slot = self.read(state, tools.doc, tools.decoder, source);
            let Some(number) = slot.value.whole(&tools.doc.text) else { return Value::ABSENT };
            total = match total {
                None => Some(number),
                Some(sum) => match join(sum, number) {
                    None => return Value::ABSENT,
                    joined => joined,
                },
            };
        }
        for source in sources {
            let node = self.read(state, tools.doc, tools.decoder, source).node;
            state.mark_read(node);
        }
        total.map_or(Value::ABSENT, |sum| Value::scalar(Tag::Int, sum as u64))
    }

    /// A row over a list: one item for every element that converts, of the first source that has any.
    fn spread(&self, state: &mut State, tools: &mut Tools<'_>, op: &RowOp, row: u32, sources: &[SourceRef]) -> Cell {
        let start = state.items.len();
        for (number, source) in sources.iter().enumerate() {
            self.spread_one(state, tools, op, row, source);
            let len = state.items.len() - start;
            if len > 0 {
                let value = Value { tag: Tag::List, ..Value::text(start, len) };
                return Cell { value, node: NO_NODE, source: number as u8 };
            }
        }
        Cell::EMPTY
    }

    fn spread_one(&self, state: &mut State, tools: &mut Tools<'_>, op: &RowOp, row: u32, source: &SourceRef) {
        self.read_all(state, tools.doc, tools.decoder, source);
        let found = std::mem::take(&mut state.found);
        let start = state.items.len();
        for item in &found {
            if state.items.len() - start == MAX_LABELS {
                state.note("list_cut", row);
                break;
            }
            let own_key = (!item.key.is_absent()).then(|| item.key.bytes(&tools.doc.text));
            let is_private = own_key.is_some_and(redact::sensitive_path);
            let key = if state.suspicious { redacted(state, tools, item.key).unwrap_or(item.key) } else { item.key };
            let given = cleaned(state, tools, &op.chain, item.value);
            let value = match convert(state, tools.doc, &op.chain, given) {
                Given::Value(_) if is_private => {
                    state.note("redacted", row);
                    place(&mut tools.doc.text, b"[redacted]")
                }
                Given::Value(value) => self.finish(state, tools, op, row, value),
                Given::Absent => Value::ABSENT,
                Given::Fault(Fault(code)) => {
                    state.note(code, row);
                    state.forced.push(item.node);
                    Value::ABSENT
                }
            };
            if !value.is_absent() {
                state.items.push(Item { key, value, node: item.node });
            }
        }
        state.found = found;
    }

    /// Enrichment, redaction and the field's own limits.
    #[inline]
    fn finish(&self, state: &mut State, tools: &mut Tools<'_>, op: &RowOp, row: u32, value: Value) -> Value {
        if op.finish != Finish::None {
            return enriched(state, tools, op.finish, value);
        }
        let Some(value) = fits(value, op.fit, &tools.doc.text) else {
            state.note("does_not_fit", row);
            return Value::ABSENT;
        };
        if value.tag != Tag::Text {
            return value;
        }
        let mut value = value;
        // Before anything is cut: half a secret does not look like one.
        if state.suspicious
            && let Some(clean) = redacted(state, tools, value)
        {
            value = clean;
            state.note("redacted", row);
        }
        if op.label && value.len as usize > MAX_LABEL_BYTES {
            let bytes = &tools.doc.text[value.bits as usize..];
            let mut cut = MAX_LABEL_BYTES;
            while bytes[cut] & 0xC0 == 0x80 {
                cut -= 1;
            }
            value.len = cut as u32;
            state.note("label_cut", row);
        }
        value
    }

    /// Whether condition `at` holds.
    #[inline(always)]
    pub(crate) fn holds(&self, state: &mut State, tools: &mut Tools<'_>, at: u32) -> bool {
        // Most are answered by one look at a slot, without a call.
        match &self.conds[at as usize] {
            Cond::EventHas(bit) => state.bits.has(*bit),
            Cond::Has(source) if source.tail.is_empty() => !state.slots[source.slot as usize].value.is_absent(),
            Cond::Test(source, Test::In(words)) if source.tail.is_empty() => {
                let value = state.slots[source.slot as usize].value;
                match value.tag {
                    Tag::Text => words.hold(value.bytes(&tools.doc.text)),
                    _ => self.ask(state, tools, at),
                }
            }
            _ => self.ask(state, tools, at),
        }
    }

    /// The same for every condition. The answer of one that costs more than remembering it is kept for the part.
    #[inline(never)]
    fn ask(&self, state: &mut State, tools: &mut Tools<'_>, at: u32) -> bool {
        if !self.cond_is_kept[at as usize] {
            return self.answer(state, tools, at);
        }
        let known = state.asked[at as usize];
        if known != 0 {
            return known == 2;
        }
        let answer = self.answer(state, tools, at);
        state.asked[at as usize] = if answer { 2 } else { 1 };
        state.asked_list.push(at);
        answer
    }

    #[inline(always)]
    fn answer(&self, state: &mut State, tools: &mut Tools<'_>, at: u32) -> bool {
        match &self.conds[at as usize] {
            Cond::All(parts) => parts.iter().all(|part| self.holds(state, tools, *part)),
            Cond::Any(parts) => parts.iter().any(|part| self.holds(state, tools, *part)),
            Cond::Not(part) => !self.holds(state, tools, *part),
            Cond::EventHas(bit) => state.bits.has(*bit),
            Cond::Has(source) if source.spread => {
                self.read_all(state, tools.doc, tools.decoder, source);
                !state.found.is_empty()
            }
            Cond::Has(source) => !self.read(state, tools.doc, tools.decoder, source).value.is_absent(),
            Cond::Test(source, test) if source.spread => {
                self.read_all(state, tools.doc, tools.decoder, source);
                state.found.iter().any(|item| test.passes(item.value, &tools.doc.text))
            }
            Cond::Test(source, test) => {
                let slot = self.read(state, tools.doc, tools.decoder, source);
                test.passes(slot.value, &tools.doc.text)
            }
        }
    }
}

impl Test {
    #[inline]
    fn passes(&self, value: Value, text: &[u8]) -> bool {
        match value.tag {
            Tag::Absent | Tag::Container => false,
            Tag::Text => self.passes_text(value, value.bytes(text), text),
            _ => self.passes_text(value, value.shown(text, &mut NumberText::default()), text),
        }
    }

    /// Whether a value passes that is shown as a text.
    fn passes_text(&self, value: Value, shown: &[u8], text: &[u8]) -> bool {
        match self {
            Test::In(words) => words.hold(shown),
            Test::Prefix(words) => words.iter().any(|word| shown.len() >= word.len() && shown[..word.len()].eq_ignore_ascii_case(word)),
            Test::Suffix(words) => {
                words.iter().any(|word| shown.len() >= word.len() && shown[shown.len() - word.len()..].eq_ignore_ascii_case(word))
            }
            Test::Contains(words) => words.iter().any(|word| match **word {
                // A sign that is no letter has one form.
                [sign] if !sign.is_ascii_alphabetic() => memchr::memchr(sign, shown).is_some(),
                _ => {
                    word.is_empty() || (shown.len() >= word.len() && shown.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
                }
            }),
            Test::Matches(pattern) => pattern.is_match(shown),
            Test::Between(low, high) => value.number(text).is_some_and(|n| *low <= n && n <= *high),
        }
    }
}

/// A text without its secrets; `None` when it holds none.
pub(crate) fn redacted(state: &mut State, tools: &mut Tools<'_>, value: Value) -> Option<Value> {
    if value.tag != Tag::Text {
        return None;
    }
    let out = &mut state.scratch[0];
    out.clear();
    tools.redactor.redact(value.bytes(&tools.doc.text), out).then(|| place(&mut tools.doc.text, out))
}

/// What a chain is given. Converters change letters and cut texts, and then a secret no longer looks like one, so it goes before them.
#[inline]
fn cleaned(state: &mut State, tools: &mut Tools<'_>, chain: &[Step], value: Value) -> Value {
    // Without converters the row's own check at the end sees the text as it stands; a digest gives nothing away.
    if chain.first().is_none_or(|step| step.is_digest) {
        return value;
    }
    // `unquote` takes the braces off, and then nobody knows the rest for JSON.
    if json::is_private(value, &tools.doc.text) {
        state.note("redacted", u32::MAX);
        return place(&mut tools.doc.text, b"[redacted]");
    }
    if !state.suspicious {
        return value;
    }
    match redacted(state, tools, value) {
        Some(clean) => {
            state.note("redacted", u32::MAX);
            clean
        }
        None => value,
    }
}

/// A direct row: the first present path as it is.
#[inline]
fn copy(state: &mut State, op: &RowOp, row: u32) -> bool {
    let Input::Paths(paths) = &op.input else { return false };
    for (number, path) in paths.iter().enumerate() {
        let slot = state.slots[path.slot as usize];
        if !matches!(slot.value.tag, Tag::Absent | Tag::Container | Tag::List) {
            state.cells[row as usize] = Cell { value: slot.value, node: slot.node, source: number as u8 };
            state.bits.add(&op.sets);
            return true;
        }
    }
    false
}

/// What some plain paths and one converter at most come to: the first that is present and converts. `None` when something is odd, which the
/// long way tells.
#[inline(always)]
fn short(state: &mut State, doc: &mut Doc, paths: &[SourceRef], chain: &[Step]) -> Option<Cell> {
    for (number, path) in paths.iter().enumerate() {
        let Slot { value, node } = state.slots[path.slot as usize];
        if matches!(value.tag, Tag::Absent | Tag::Container | Tag::List) {
            continue;
        }
        let value = match chain.first() {
            None => value,
            Some(_) if json::is_private(value, &doc.text) => return None,
            Some(step) => match call(state, step, value, &doc.text) {
                Ok(Output::Same) => value,
                Ok(Output::Text) if !state.scratch[0].is_empty() => made(step, value, &mut doc.text, &state.scratch[0]),
                Ok(Output::Text | Output::Absent) => continue,
                Ok(scalar) => Value::of_output(scalar),
                Err(_) => return None,
            },
        };
        return Some(Cell { value, node, source: number as u8 });
    }
    Some(Cell::EMPTY)
}

/// Copies what `step` made of `from` into the arena.
#[inline]
fn made(step: &Step, from: Value, text: &mut Vec<u8>, bytes: &[u8]) -> Value {
    let is_plain = match step.escapes {
        Escapes::Never => true,
        Escapes::AsInput => from.plain == Plain::Yes || from.tag != Tag::Text,
        Escapes::Unknown => false,
    };
    Value { plain: if is_plain { Plain::Yes } else { Plain::Unknown }, ..place(text, bytes) }
}

/// Copies `bytes` into the arena.
pub(crate) fn place(text: &mut Vec<u8>, bytes: &[u8]) -> Value {
    let start = text.len();
    text.extend_from_slice(bytes);
    Value::text(start, bytes.len())
}

fn constant(value: &Constant, doc: &mut Doc) -> Value {
    match value {
        Constant::Text(bytes) => place(&mut doc.text, bytes),
        Constant::Raw(bytes) => Value { tag: Tag::Raw, ..place(&mut doc.text, bytes) },
        Constant::Scalar(value) => *value,
    }
}

/// Runs one converter over a value; its text is the first scratch buffer. What a text was taken apart into serves all rows that ask for a
/// part of it. What no converter takes gives nothing.
#[inline(always)]
fn call(state: &mut State, step: &Step, value: Value, text: &[u8]) -> Result<Output, Fault> {
    let out = &mut state.scratch[0];
    out.clear();
    let Some(input) = value.input(text) else { return Ok(Output::Absent) };
    match &step.taking {
        Some(taking) if value.tag == Tag::Text => in_two_steps(&mut state.taken, taking, &step.args, value, text, out),
        _ => (step.run)(input, &step.args, out),
    }
}

/// The second step of a converter, and the first unless the text was taken apart before.
#[inline(never)]
fn in_two_steps(taken: &mut Taken, taking: &Taking, args: &Args, value: Value, text: &[u8], out: &mut Vec<u8>) -> Result<Output, Fault> {
    let (place, bytes) = ((value.bits, value.len), value.bytes(text));
    if taken.text != place {
        *taken = Taken { text: place, places: (taking.take)(bytes)? };
    }
    (taking.give)(bytes, &taken.places, args, out)
}

/// Runs a chain over a value. Text results go through two scratch buffers and are placed in the arena once, at the end.
fn convert(state: &mut State, doc: &mut Doc, chain: &[Step], value: Value) -> Given {
    if value.is_absent() || value.tag == Tag::Container || value.tag == Tag::List {
        return Given::Absent;
    }
    if let [only] = chain {
        return match call(state, only, value, &doc.text) {
            Err(fault) => Given::Fault(fault),
            Ok(Output::Same) => Given::Value(value),
            Ok(Output::Absent) => Given::Absent,
            Ok(Output::Text) if state.scratch[0].is_empty() => Given::Absent,
            Ok(Output::Text) => Given::Value(made(only, value, &mut doc.text, &state.scratch[0])),
            Ok(scalar) => Given::Value(Value::of_output(scalar)),
        };
    }
    let mut value = value;
    // Which scratch buffer holds the text so far; `None` while it still lies in the document.
    let mut held: Option<usize> = None;
    let mut is_plain = value.tag != Tag::Text || value.plain == Plain::Yes;
    for step in chain {
        let next = held.map_or(0, |at| 1 - at);
        let [first, second] = &mut state.scratch;
        let (from, out) = if next == 0 { (&*second, first) } else { (&*first, second) };
        out.clear();
        let input = match held {
            Some(_) => super::convert::Input::Text(from),
            None => match value.input(&doc.text) {
                Some(input) => input,
                None => return Given::Absent,
            },
        };
        match (step.run)(input, &step.args, out) {
            Err(fault) => return Given::Fault(fault),
            Ok(Output::Absent) => return Given::Absent,
            Ok(Output::Same) => {}
            Ok(Output::Text) if out.is_empty() => return Given::Absent,
            Ok(Output::Text) => {
                held = Some(next);
                is_plain = step.escapes == Escapes::Never || (is_plain && step.escapes == Escapes::AsInput);
            }
            Ok(scalar) => {
                value = Value::of_output(scalar);
                held = None;
                is_plain = true;
            }
        }
    }
    if let Some(at) = held {
        value = place(&mut doc.text, &state.scratch[at]);
        value.plain = if is_plain { Plain::Yes } else { Plain::Unknown };
    }
    Given::Value(value)
}

fn enriched(state: &mut State, tools: &mut Tools<'_>, finish: Finish, value: Value) -> Value {
    let out = &mut state.scratch[0];
    out.clear();
    let key = value.bytes(&tools.doc.text);
    let found = match finish {
        Finish::None => false,
        Finish::UserAgent => tools.enrich.user_agent(key, out),
        Finish::GeoLocation => tools.enrich.geo_location(key, out),
        Finish::GeoAsn => tools.enrich.geo_asn(key, out),
    };
    if !found || out.is_empty() {
        return Value::ABSENT;
    }
    let made = place(&mut tools.doc.text, out);
    // A location is a finished object; a system number is text.
    if finish == Finish::GeoAsn { made } else { Value { tag: Tag::Raw, ..made } }
}

fn fits(value: Value, fit: Fit, text: &[u8]) -> Option<Value> {
    if fit == Fit::Any {
        return Some(value);
    }
    let int = match value.tag {
        Tag::Int => Some(i128::from(value.bits as i64)),
        Tag::UInt => Some(i128::from(value.bits)),
        _ => None,
    };
    let within = |low: i128, high: i128| int.filter(|n| (low..=high).contains(n)).map(|_| value);
    match fit {
        Fit::Any => Some(value),
        Fit::Int32 => within(i32::MIN.into(), i32::MAX.into()),
        Fit::UInt32 => within(0, u32::MAX.into()),
        Fit::Int64 => within(i64::MIN.into(), i64::MAX.into()),
        Fit::UInt64 => within(0, u64::MAX.into()),
        Fit::Port => within(1, 65_535),
        Fit::Float => match value.tag {
            Tag::Float => (f64::from_bits(value.bits).abs() <= f64::from(f32::MAX)).then_some(value),
            // At most fifteen digits: within either precision.
            Tag::Text => super::convert::is_plain_number(value.bytes(text)).then_some(value),
            _ => int.map(|_| value),
        },
        Fit::Double => match value.tag {
            Tag::Int | Tag::UInt | Tag::Float => Some(value),
            Tag::Text => super::convert::is_plain_number(value.bytes(text)).then_some(value),
            _ => None,
        },
        Fit::Bool => (value.tag == Tag::Bool).then_some(value),
        Fit::Text(constraint) => {
            let shown = std::str::from_utf8(value.bytes(text)).ok()?;
            crate::udm::is_constraint_met(constraint, shown).then_some(value)
        }
    }
}
