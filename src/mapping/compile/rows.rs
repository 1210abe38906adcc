//! Rows: what each writes and reads, which clash, in what order they run, and their masks.

use super::target::{self, Target};
use super::value::Kind;
use super::{Compiler, Ops, condition, source, value};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::table::{Condition, Constant, Root, Row, Source, Span, Step};
use crate::plan::program::{Cond, Finish, Fit, Input, Mask, Piece, RowOp};
use crate::plan::trie::NONE;
use crate::plan::value::{Tag, Value};
use std::collections::HashMap;

/// When a row runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// For every part.
    Plain,
    /// For every element of this `each`.
    Element(usize),
    /// When a rule that names this `with` is tried.
    With(usize),
}

/// One target of one row, checked. A row whose targets want different checks becomes several operations.
#[derive(Clone, Debug)]
pub(super) struct CheckedRow<'a> {
    pub row: &'a Row,
    pub group: Group,
    pub targets: Vec<Target>,
    pub fit: Fit,
    /// An enum's zero word: not written, makes its message present.
    pub zero: bool,
    /// What must hold for the row to run, its rule's condition included.
    pub when: Option<Condition>,
}

/// What explain shows of an operation.
#[derive(Clone, Debug)]
pub(super) struct Info {
    pub targets: Vec<String>,
    pub sources: Vec<String>,
    pub span: Span,
}

/// The rows of a plan.
#[derive(Default)]
pub(super) struct Built {
    pub ops: Ops,
    pub infos: Vec<Info>,
    pub plain: Vec<u32>,
    pub always: Vec<u32>,
    /// Rows whose constant stands in every event: the output holds it as text, and they never run.
    pub literals: Vec<u32>,
    /// Which rows a slot makes candidates.
    pub readers: Vec<(u32, u32)>,
    pub scope_rows: Vec<Vec<u32>>,
    pub with_rows: Vec<Vec<u32>>,
    /// Number of the operation of every checked row.
    pub numbers: Vec<u32>,
}

impl<'a> Compiler<'a> {
    /// Resolves targets and checks every row by itself, then against the others.
    pub(super) fn check_rows(&mut self) -> Vec<CheckedRow<'a>> {
        let table = self.table;
        let mut checked = Vec::new();
        for row in &table.rows {
            self.check_row(row, None, &mut checked);
        }
        for (at, (_, rows)) in table.with.iter().enumerate() {
            for row in rows {
                self.check_row(row, Some(at), &mut checked);
            }
        }
        self.check_clashes(&checked);
        checked
    }

    fn check_row(&mut self, row: &'a Row, with: Option<usize>, checked: &mut Vec<CheckedRow<'a>>) {
        let (_, chain_kind, _) = self.chain(&row.chain);
        let kind = self.source_kind(&row.source, &row.chain, chain_kind);
        let spread = has_wildcard(&row.source);
        let when = self.effective_when(row, with);
        let reads = element_read(row, &self.leads_to_parts());
        let from = checked.len();
        for path in &row.targets {
            let mut target = match target::resolve(path) {
                Ok(target) => target,
                Err(fault) => {
                    self.found.push(*fault);
                    continue;
                }
            };
            if self.omits(&target.generic) {
                target.hidden = self.table.tags.is_some() && super::tags::ASKED.contains(&target.generic.as_str());
                if !target.hidden {
                    continue;
                }
            }
            if target.field.deprecated && self.table.profile.is_none() {
                self.found.push(Diagnostic::warning("M060", path.span, format!("`{}` is deprecated in UDM", target.generic)));
            }
            let group = match (with, target.each) {
                (Some(with), _) => Group::With(with),
                (None, Some(each)) => Group::Element(each),
                (None, None) => Group::Plain,
            };
            if let Some(each) = reads
                && group != Group::Element(each)
            {
                let name = &self.table.each[each].name;
                let message = format!("the row reads an element of `{name}` but does not write to one");
                self.found.push(Diagnostic::error("M056", path.span, message).help(format!("write to `...[each {name}]...`")));
            }
            if spread && !target.field.repeated && target.key.is_none() {
                let message = format!("the row gives several values, `{}` takes one", path.text);
                self.found.push(Diagnostic::error("M055", path.span, message).help("read one element: `a[0]`"));
            }
            if target.key.as_deref() == Some("*") && !has_own_keys(&row.source) {
                let message = "`{*}` takes the key of a wildcard, and the source has none".to_owned();
                self.found.push(Diagnostic::error("M057", path.span, message).help("read `a.*` or `a.**`, or write a key"));
            }
            if target.key.is_none()
                && let Some(message) = self.odd_meaning(row, target.field.name)
            {
                self.found.push(Diagnostic::error("M032", path.span, message));
            }
            let constant = match &row.source {
                Source::Value(value) if row.chain.is_empty() => Some(value),
                _ => None,
            };
            let (fit, zero) = match constant {
                Some(value) => match self.constant_fits(value, &target, &path.text, path.span) {
                    Some(zero) => (Fit::Any, zero),
                    None => continue,
                },
                None => match self.fit(&kind, &target, &path.text, path.span) {
                    Some(fit) => (fit, false),
                    None => continue,
                },
            };
            if let Some(default) = &row.default {
                self.constant_fits(default, &target, &path.text, path.span);
            }
            let same = checked[from..].iter_mut().find(|other| {
                other.fit == fit && other.zero == zero && other.group == group && other.targets[0].is_label() == target.is_label()
            });
            match same {
                Some(other) => other.targets.push(target),
                None => checked.push(CheckedRow { row, group, targets: vec![target], fit, zero, when: when.clone() }),
            }
        }
    }

    /// Which `each` emits events, or holds one that does.
    fn leads_to_parts(&self) -> Vec<bool> {
        let mut leads: Vec<bool> = self.table.each.iter().map(|each| each.emits_events).collect();
        for at in (0..leads.len()).rev() {
            if leads[at]
                && let Root::Each(outer) = self.table.each[at].from.root
            {
                leads[outer] = true;
            }
        }
        leads
    }

    /// A row's own condition and, for `with` rows, that one of the rules naming it must hold.
    fn effective_when(&self, row: &Row, with: Option<usize>) -> Option<Condition> {
        let Some(with) = with else { return row.when.clone() };
        let rules = self.table.rules.iter().filter(|rule| rule.with.contains(&with));
        let ways: Option<Vec<Condition>> = rules.map(|rule| rule.when.clone()).collect();
        match (row.when.clone(), ways.filter(|ways| !ways.is_empty())) {
            (Some(own), Some(ways)) => Some(Condition::All(vec![own, Condition::Any(ways)])),
            (None, Some(ways)) => Some(Condition::Any(ways)),
            (own, None) => own,
        }
    }

    /// Two rows for one single field are refused, unless the later is a fallback or their conditions exclude each other.
    fn check_clashes(&mut self, checked: &[CheckedRow<'a>]) {
        let mut writers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, row) in checked.iter().enumerate() {
            for target in &row.targets {
                let several = target.is_label() || (target.field.repeated && target.key.is_none());
                if !several && !row.zero && target.key.as_deref() != Some("*") {
                    writers.entry(&target.exact).or_default().push(at);
                }
            }
        }
        let mut faults = Vec::new();
        for (exact, rows) in writers {
            for (number, &later) in rows.iter().enumerate() {
                let clash = rows[..number].iter().copied().find(|&earlier| self.clash(&checked[earlier], &checked[later]));
                if let Some(earlier) = clash {
                    faults.push((later, earlier, exact.to_owned()));
                }
            }
        }
        faults.sort_unstable();
        self.check_twins(checked, &faults);
        for (later, earlier, exact) in faults {
            let note = format!("the other one stands on {}", self.place(checked[earlier].row.span));
            self.found.push(
                Diagnostic::error("M038", checked[later].row.span, format!("two rows fill the single field `{exact}`"))
                    .note(note)
                    .help("give the later row `fallback = true`, or conditions that exclude each other"),
            );
        }
    }

    /// A row that stands twice adds nothing to a list and a second entry to labels; for single fields M038 says it already.
    fn check_twins(&mut self, checked: &[CheckedRow<'a>], clashes: &[(usize, usize, String)]) {
        let mut known: HashMap<(String, Option<usize>), &Row> = HashMap::new();
        for (at, one) in checked.iter().enumerate() {
            let with = if let Group::With(with) = one.group { Some(with) } else { None };
            let first = *known.entry((signature(one.row), with)).or_insert(one.row);
            if !std::ptr::eq(first, one.row) && !clashes.iter().any(|(later, ..)| *later == at) {
                let note = format!("the first one stands on {}", self.place(first.span));
                self.found.push(Diagnostic::error("M039", one.row.span, "the row stands twice").note(note).help("delete one of them"));
            }
        }
    }

    fn clash(&self, earlier: &CheckedRow<'_>, later: &CheckedRow<'_>) -> bool {
        if later.row.fallback || std::ptr::eq(earlier.row, later.row) {
            return false;
        }
        if let (Group::With(a), Group::With(b)) = (earlier.group, later.group)
            && a != b
            && !self.table.rules.iter().any(|rule| rule.with.contains(&a) && rule.with.contains(&b))
        {
            return false;
        }
        match (&earlier.when, &later.when) {
            (Some(a), Some(b)) => !condition::exclude(a, b),
            _ => true,
        }
    }

    /// Turns checked rows into operations, in the order they run.
    pub(super) fn build_rows(&mut self, checked: &[CheckedRow<'a>]) -> Built {
        let order = self.order(checked);
        let mut built = Built {
            scope_rows: vec![Vec::new(); self.table.each.len()],
            with_rows: vec![Vec::new(); self.table.with.len()],
            numbers: vec![0; checked.len()],
            ..Built::default()
        };
        for at in order {
            let one = &checked[at];
            let number = built.ops.len() as u32;
            built.numbers[at] = number;
            let (chain, _, finish) = self.chain_quietly(&one.row.chain);
            let input = if one.zero { Input::Constant(zero()) } else { self.input(&one.row.source) };
            let when = one.row.when.as_ref().map(|when| self.condition(when));
            let mut op = RowOp {
                direct: false,
                quick: false,
                asks: false,
                slot: NONE,
                chain,
                finish,
                default: one.row.default.as_ref().map(value::constant),
                when,
                fit: one.fit,
                label: one.targets[0].is_label(),
                unless: self.unless(one, finish),
                sets: self.sets(one),
                input,
            };
            op.direct = is_direct(&op) && !op.label;
            op.quick = is_quick(&op);
            op.asks = op.when.is_some() || !op.unless.is_empty();
            if let (Group::Plain, true, Input::Paths(paths)) = (one.group, is_direct(&op), &op.input)
                && let [only] = &paths[..]
            {
                op.slot = only.slot;
            }
            match one.group {
                Group::Plain if is_literal(checked, at, &op) => built.literals.push(number),
                Group::Plain => {
                    built.plain.push(number);
                    let mut slots = Vec::new();
                    input_slots(&op.input, &mut slots);
                    if slots.is_empty() || op.default.is_some() {
                        match op.when.and_then(|when| self.needed_slot(when)) {
                            Some(slot) => slots.push(slot),
                            None => built.always.push(number),
                        }
                    }
                    built.readers.extend(slots.into_iter().map(|slot| (slot, number)));
                }
                Group::Element(each) => built.scope_rows[each].push(number),
                Group::With(with) => built.with_rows[with].push(number),
            }
            built.ops.push(op);
            built.infos.push(info(one));
        }
        built
    }

    /// A slot without which a condition cannot hold.
    fn needed_slot(&self, condition: u32) -> Option<u32> {
        match &self.conds[condition as usize] {
            Cond::All(parts) => parts.iter().find_map(|part| self.needed_slot(*part)),
            Cond::Has(source) | Cond::Test(source, _) => Some(source.slot),
            Cond::Any(_) | Cond::Not(_) | Cond::EventHas(_) => None,
        }
    }

    /// The chain again, without repeating its faults.
    fn chain_quietly(&mut self, calls: &[crate::mapping::table::Call]) -> (Box<[crate::plan::program::Step]>, Kind, Finish) {
        let known = self.found.len();
        let made = self.chain(calls);
        self.found.truncate(known);
        made
    }

    /// Bits that a row sets.
    fn sets(&mut self, row: &CheckedRow<'_>) -> Mask {
        let mut names = Vec::new();
        for target in row.targets.iter().filter(|target| !target.hidden) {
            if !row.zero {
                names.push(format!("x:{}", target.exact));
                names.push(format!("g:{}", target.generic));
                names.extend(target.generic_ancestors().into_iter().map(|path| format!("g:{path}")));
            }
            names.extend(target.generic_ancestors().into_iter().map(|path| format!("p:{path}")));
            for ancestor in target.ancestors() {
                names.push(format!("l:{}", list_of(&ancestor)));
                names.push(format!("c:{ancestor}"));
            }
        }
        self.mask(names)
    }

    /// Bits that keep a row from running.
    fn unless(&mut self, row: &CheckedRow<'_>, finish: Finish) -> Mask {
        let mut names = Vec::new();
        for target in &row.targets {
            let whole_message = matches!(target.field.kind, crate::udm::FieldKind::Message(_)) && !target.is_label();
            if whole_message || matches!(finish, Finish::UserAgent | Finish::GeoLocation) {
                names.push(format!("c:{}", target.exact));
            }
            if row.row.fallback && !matches!(row.group, Group::Element(_)) {
                names.push(format!("x:{}", target.exact));
            }
        }
        self.mask(names)
    }

    fn mask(&mut self, names: Vec<String>) -> Mask {
        let mut words: Vec<(u32, u64)> = Vec::new();
        for name in names {
            let bit = self.bits.number(&name);
            let (word, mask) = (bit / 64, 1u64 << (bit % 64));
            match words.iter_mut().find(|(at, _)| *at == word) {
                Some((_, bits)) => *bits |= mask,
                None => words.push((word, mask)),
            }
        }
        words.sort_unstable();
        words.into_iter().collect()
    }

    /// The order in which rows run: as written, but after every row whose result they ask for.
    fn order(&mut self, checked: &[CheckedRow<'a>]) -> Vec<usize> {
        let waits: Vec<Vec<usize>> = (0..checked.len()).map(|at| waits_for(checked, at)).collect();
        let mut done = vec![false; checked.len()];
        let mut order = Vec::with_capacity(checked.len());
        while order.len() < checked.len() {
            match (0..checked.len()).find(|&at| !done[at] && waits[at].iter().all(|&other| done[other])) {
                Some(at) => {
                    done[at] = true;
                    order.push(at);
                }
                None => {
                    let stuck: Vec<usize> = (0..checked.len()).filter(|&at| !done[at]).collect();
                    let message = "rows ask for each other's results, so none can run first".to_owned();
                    self.found.push(
                        Diagnostic::error("M040", checked[stuck[0]].row.span, message).help("take one `event_has` out of the circle"),
                    );
                    order.extend(stuck);
                }
            }
        }
        order
    }
}

/// Whether a row writes the same text into every event, into fields that no other row writes and no requirement reads.
fn is_literal(checked: &[CheckedRow<'_>], at: usize, op: &RowOp) -> bool {
    let row = &checked[at];
    let constant = matches!(&op.input, Input::Constant(_)) && op.chain.is_empty() && op.when.is_none() && op.unless.is_empty() && !row.zero;
    let single = |target: &Target| {
        let plain = !target.field.repeated && target.key.is_none() && !matches!(target.field.kind, crate::udm::FieldKind::Message(_));
        let enum_or_element =
            matches!(target.field.kind, crate::udm::FieldKind::Enum(_)) || target.steps.iter().any(|step| step.element.is_some());
        plain && !enum_or_element
    };
    let alone = |target: &Target| {
        checked.iter().enumerate().all(|(other, theirs)| other == at || theirs.targets.iter().all(|theirs| theirs.exact != target.exact))
    };
    constant && row.targets.iter().all(|target| single(target) && alone(target))
}

/// Whether an input is paths that the walk fills.
pub(super) fn is_plain(input: &Input) -> bool {
    matches!(input, Input::Paths(paths) if paths.iter().all(|path| path.tail.is_empty()))
}

/// Whether a row copies a path as it is.
fn is_direct(op: &RowOp) -> bool {
    is_plain(&op.input) && op.chain.is_empty() && is_bare(op) && op.fit == Fit::Any
}

/// Whether a row puts plain paths through one converter at most.
fn is_quick(op: &RowOp) -> bool {
    is_plain(&op.input) && op.chain.len() <= 1 && op.finish == Finish::None && op.default.is_none()
}

/// Whether a row asks for nothing but its source.
fn is_bare(op: &RowOp) -> bool {
    op.finish == Finish::None && op.when.is_none() && op.default.is_none() && op.unless.is_empty()
}

/// The rows that row `at` must run after.
fn waits_for(checked: &[CheckedRow<'_>], at: usize) -> Vec<usize> {
    let own = &checked[at];
    let mut asked = Vec::new();
    if let Some(when) = &own.row.when {
        event_paths(when, &mut asked);
    }
    let fills = |other: &CheckedRow<'_>, path: &str| {
        other.targets.iter().any(|target| target.generic == path || target.generic.starts_with(&format!("{path}.")))
    };
    let messages: Vec<&str> = own
        .targets
        .iter()
        .filter(|target| matches!(target.field.kind, crate::udm::FieldKind::Message(_)) && !target.is_label())
        .map(|target| target.exact.as_str())
        .collect();
    (0..checked.len())
        .filter(|&number| {
            let other = &checked[number];
            if number == at || other.group != own.group {
                return false;
            }
            asked.iter().any(|path| fills(other, path))
                || messages.iter().any(|message| other.targets.iter().any(|target| target.exact.starts_with(&format!("{message}."))))
                || (own.row.fallback
                    && (number < at || !other.row.fallback)
                    && other.targets.iter().any(|theirs| own.targets.iter().any(|ours| ours.exact == theirs.exact)))
        })
        .collect()
}

fn event_paths(condition: &Condition, paths: &mut Vec<String>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| event_paths(part, paths)),
        Condition::Not(part) => event_paths(part, paths),
        Condition::EventHas(path) => paths.extend(target::resolve(path).ok().map(|target| target.generic)),
        Condition::RecordHas(_) | Condition::Record(..) => {}
    }
}

/// The exact path of the list that an element's path ends in, or the path itself.
fn list_of(path: &str) -> &str {
    match path.strip_suffix(']').and_then(|open| open.rfind('[')) {
        Some(at) => &path[..at],
        None => path,
    }
}

/// A value that is present and is nothing: only its bits matter.
fn zero() -> crate::plan::program::Constant {
    crate::plan::program::Constant::Scalar(Value::scalar(Tag::Bool, 0))
}

/// What a row says, without where it says it.
fn signature(row: &Row) -> String {
    let mut text = String::new();
    let mut say = |part: &str| {
        text.push_str(part);
        text.push('\0');
    };
    row.targets.iter().for_each(|target| say(&target.text));
    match &row.source {
        Source::From(_) => say("from"),
        Source::Value(value) => say(&format!("value {value:?}")),
        Source::Template(parts) => {
            say("template");
            for part in parts {
                if let crate::mapping::table::TemplatePart::Text(text) = part {
                    say(text);
                }
            }
        }
        Source::Sum(_) => say("sum"),
        Source::Difference(..) => say("difference"),
    }
    source::visit_source(&row.source, &mut |path| say(&path.text));
    row.chain.iter().for_each(|call| say(&format!("{} {:?}", call.name, call.args)));
    say(&row.when.as_ref().map(condition::text).unwrap_or_default());
    say(&format!("{:?}", row.default));
    text
}

fn info(row: &CheckedRow<'_>) -> Info {
    let sources = match &row.row.source {
        Source::From(paths) => paths.iter().map(|path| path.text.clone()).collect(),
        Source::Value(value) => vec![match value {
            Constant::Text(text) => format!("\"{text}\""),
            Constant::Int(number) => number.to_string(),
            Constant::Float(number) => number.to_string(),
            Constant::Bool(flag) => flag.to_string(),
        }],
        Source::Template(_) => vec!["template".to_owned()],
        Source::Sum(_) => vec!["sum".to_owned()],
        Source::Difference(..) => vec!["difference".to_owned()],
    };
    Info { targets: row.targets.iter().map(|target| target.exact.clone()).collect(), sources, span: row.row.span }
}

fn input_slots(input: &Input, slots: &mut Vec<u32>) {
    match input {
        Input::Paths(paths) | Input::Sum(paths) | Input::Spread(paths) => slots.extend(paths.iter().map(|path| path.slot)),
        Input::Difference(pair) => slots.extend(pair.iter().map(|path| path.slot)),
        Input::Template(pieces) => slots.extend(pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(path) => Some(path.slot),
            Piece::Text(_) => None,
        })),
        Input::Constant(_) => {}
    }
}

fn has_wildcard(source: &Source) -> bool {
    let mut found = false;
    source::visit_source(source, &mut |path| {
        found |=
            path.steps.iter().any(|step| matches!(step, Step::From(_) | Step::Each | Step::Where(_, None) | Step::Members | Step::Leaves));
    });
    found
}

fn has_own_keys(source: &Source) -> bool {
    let mut found = false;
    source::visit_source(source, &mut |path| {
        found |= path.steps.iter().any(|step| matches!(step, Step::Where(_, None) | Step::Members | Step::Leaves))
    });
    found
}

/// The `each` that feeds elements and that the row reads from.
fn element_read(row: &Row, leads_to_parts: &[bool]) -> Option<usize> {
    let mut found = None;
    source::visit_source(&row.source, &mut |path| {
        if let Root::Each(at) = path.root
            && !leads_to_parts.get(at).copied().unwrap_or(true)
        {
            found = Some(at);
        }
    });
    found
}
