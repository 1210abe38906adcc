//! Source paths to trie places, slots and tails.

use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::table::{Condition, Each, NamedValue, Root, Source, SourcePath, Step, Table, TemplatePart};
use crate::plan::columns::Columns;
use crate::plan::program::{Scope, SourceRef, Tail};
use crate::plan::trie::{NONE, Trie};
use std::collections::HashMap;

/// JSON texts inside JSON texts that one path may open.
const MAX_OPENINGS: usize = 3;

/// The source side of a plan while it grows.
pub(super) struct Sources {
    trie: Trie,
    pub record_root: u32,
    payload_root: Option<u32>,
    each_roots: Vec<u32>,
    index_slots: HashMap<usize, u32>,
    columns: Vec<Option<Vec<Vec<String>>>>,
    each_names: Vec<String>,
    value_slots: Vec<u32>,
    received_slot: Option<u32>,
    slots: u32,
    /// Only of a mapping that takes Log Analytics rows.
    table_columns: Option<Columns>,
    pub found: Vec<Diagnostic>,
}

impl Sources {
    pub fn new(table: &Table) -> Sources {
        let mut trie = Trie::new();
        let record_root = trie.root();
        let each_roots = table.each.iter().map(|_| trie.root()).collect();
        let values = table.values.len() as u32;
        Sources {
            trie,
            record_root,
            payload_root: None,
            each_roots,
            index_slots: HashMap::new(),
            columns: table.each.iter().map(|each| each.split.as_ref().map(|(_, columns)| columns.clone())).collect(),
            each_names: table.each.iter().map(|each| each.name.clone()).collect(),
            value_slots: (0..values).collect(),
            received_slot: None,
            slots: values,
            table_columns: table.matches.iter().any(|entry| entry.shape == "log_analytics").then(Columns::new),
            found: Vec::new(),
        }
    }

    /// How a path is read; places and slots are made on the way.
    pub fn read(&mut self, path: &SourcePath) -> SourceRef {
        let plain = |slot| SourceRef { slot, tail: [].into(), spread: false };
        let mut place = match path.root {
            Root::Record => self.record_root,
            Root::Payload => {
                let root = self.payload_root.unwrap_or_else(|| self.trie.root());
                self.payload_root = Some(root);
                root
            }
            Root::Received => {
                let slot = self.received_slot.unwrap_or_else(|| self.new_slot());
                self.received_slot = Some(slot);
                return plain(slot);
            }
            Root::Value(at) => return plain(self.value_slots.get(at).copied().unwrap_or(NONE)),
            Root::Each(at) => {
                if path.steps == [Step::ElementIndex] {
                    let slot = self.index_slots.get(&at).copied().unwrap_or_else(|| self.new_slot());
                    self.index_slots.insert(at, slot);
                    return plain(slot);
                }
                self.check_column(at, path);
                self.each_roots[at]
            }
        };
        if path.steps.iter().filter(|step| **step == Step::Json).count() > MAX_OPENINGS {
            let message = format!("`{}` opens JSON text more than {MAX_OPENINGS} times", path.text);
            self.found.push(Diagnostic::error("M052", path.span, message));
        }
        let mut steps = path.steps.iter();
        let mut rest: Vec<Tail> = Vec::new();
        let is_record = matches!(path.root, Root::Record);
        let mut members: Vec<&str> = Vec::new();
        for step in steps.by_ref() {
            match step {
                Step::Member(name) => {
                    place = self.trie.grow(place, name);
                    members.push(name);
                    if let (true, Some(columns)) = (is_record && members.len() > 1, &mut self.table_columns) {
                        columns.add(&members, place);
                    }
                }
                Step::Json => place = self.trie.grow_json(place),
                other => {
                    rest.extend(tail(other));
                    break;
                }
            }
        }
        rest.extend(steps.filter_map(tail));
        let spread = rest.iter().any(|step| matches!(step, Tail::From(_) | Tail::Where(_, None) | Tail::Members | Tail::Leaves));
        if self.trie.node(place).slot == NONE {
            let slot = self.new_slot();
            self.trie.node_mut(place).slot = slot;
        }
        SourceRef { slot: self.trie.node(place).slot, tail: rest.into(), spread }
    }

    /// An element that is split into columns has those members and no others.
    fn check_column(&mut self, each: usize, path: &SourcePath) {
        let (Some(columns), Some(Step::Member(name))) = (&self.columns[each], path.steps.first()) else { return };
        let known: Vec<&str> = columns.iter().flatten().map(String::as_str).collect();
        if !known.iter().any(|column| column.eq_ignore_ascii_case(name)) {
            let message = format!("`{}` has no column `{name}`", self.each_names[each]);
            self.found.push(Diagnostic::error("M053", path.span, message).suggest(name, known));
        }
    }

    fn new_slot(&mut self) -> u32 {
        self.slots += 1;
        self.slots - 1
    }

    pub fn value_slot(&self, at: usize) -> u32 {
        self.value_slots[at]
    }

    pub fn each_root(&self, at: usize) -> u32 {
        self.each_roots[at]
    }

    pub fn payload_root(&self) -> Option<u32> {
        self.payload_root
    }

    pub fn received_slot(&self) -> u32 {
        self.received_slot.unwrap_or(NONE)
    }

    pub fn table_columns(&self) -> Option<Columns> {
        self.table_columns.clone()
    }

    pub fn slot_count(&self) -> usize {
        self.slots as usize
    }

    pub fn trie(&self) -> Trie {
        let mut trie = self.trie.clone();
        trie.finish();
        trie
    }

    /// Fills in what only is known when every path has been read.
    pub fn finish_scope(&self, scope: &mut Scope, each: &[Each]) {
        let Some(at) = self.each_roots.iter().position(|root| *root == scope.root) else { return };
        scope.index_slot = self.index_slots.get(&at).copied().unwrap_or(NONE);
        scope.own_slot = self.trie.node(scope.root).slot;
        if let (Some(split), Some((_, lists))) = (&mut scope.split, &each[at].split) {
            let slot = |name: &String| match self.trie.child(scope.root, name.as_bytes()) {
                Some((place, _)) => self.trie.node(place).slot,
                None => NONE,
            };
            split.columns = lists.iter().map(|list| list.iter().map(slot).collect()).collect();
        }
    }
}

fn tail(step: &Step) -> Option<Tail> {
    Some(match step {
        Step::Member(name) => Tail::Member(name.as_bytes().into()),
        Step::Index(n) => Tail::Index(*n),
        Step::From(n) => Tail::From(*n),
        Step::Each => Tail::From(0),
        Step::Where(name, text) => Tail::Where(name.as_bytes().into(), text.as_ref().map(|text| text.as_bytes().into())),
        Step::Members => Tail::Members,
        Step::Leaves => Tail::Leaves,
        Step::Json => Tail::Json,
        Step::ElementIndex => return None,
    })
}

/// Every source path of a source.
pub(super) fn visit_source(source: &Source, visit: &mut dyn FnMut(&SourcePath)) {
    match source {
        Source::From(paths) | Source::Sum(paths) => paths.iter().for_each(visit),
        Source::Difference(first, second) => {
            visit(first);
            visit(second);
        }
        Source::Template(parts) => {
            for part in parts {
                if let TemplatePart::Hole(path) = part {
                    visit(path);
                }
            }
        }
        Source::Value(_) => {}
    }
}

/// Every source path of a condition.
pub(super) fn visit_condition(condition: &Condition, visit: &mut dyn FnMut(&SourcePath)) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| visit_condition(part, visit)),
        Condition::Not(part) => visit_condition(part, visit),
        Condition::RecordHas(path) | Condition::Record(path, _) => visit(path),
        Condition::EventHas(_) => {}
    }
}

/// Every source path of a named value.
pub(super) fn visit_value(value: &NamedValue, visit: &mut dyn FnMut(&SourcePath)) {
    visit_source(&value.source, visit);
    if let Some(when) = &value.when {
        visit_condition(when, visit);
    }
}
