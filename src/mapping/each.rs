//! `[[each]]`: the lists a record is taken apart by.

use super::condition;
use super::diagnostic::Diagnostic;
use super::node::{Node, Object};
use super::path;
use super::read::Reader;
use super::table::{Each, Root, SourcePath, Step};

/// `[[each]]` may nest this deep.
const MAX_EACH: usize = 4;

impl<'a> Reader<'a, '_> {
    /// `[[each]]` of all layers by name.
    pub(super) fn gather_each(&mut self) -> Vec<(&'a str, Object<'a>)> {
        let mut found: Vec<(&'a str, Object<'a>)> = Vec::new();
        for layer in self.layers {
            for object in layer.sections.tables("each", self.faults) {
                object.check_keys("`[[each]]`", &["as", "from", "emit", "split", "when", "replace"], self.faults);
                let Some(node) = object.need("as", "an `[[each]]`", self.faults) else { continue };
                let Some(name) = node.text(self.faults) else { continue };
                let replaces = object.flag("replace", self.faults);
                match (found.iter().position(|(known, _)| *known == name), replaces) {
                    (Some(at), true) => found[at].1 = object,
                    (None, false) => found.push((name, object)),
                    (Some(_), false) => {
                        self.faults.push(Diagnostic::error("M029", node.span, format!("there is an `[[each]]` called `{name}` already")))
                    }
                    (None, true) => {
                        self.faults.push(Diagnostic::error("M022", node.span, format!("no layer below has an `[[each]]` called `{name}`")))
                    }
                }
            }
        }
        found
    }

    /// Reads what [`Reader::gather_each`] found; indices stay the same.
    pub(super) fn each(&mut self, entries: &[(&'a str, Object<'a>)]) -> Vec<Each> {
        let mut found: Vec<Each> = Vec::new();
        let mut depths: Vec<usize> = Vec::new();
        for (at, (name, object)) in entries.iter().enumerate() {
            let from = object.need("from", "an `[[each]]`", self.faults).and_then(|node| {
                let text = node.text(self.faults)?;
                let path = path::source(text, node.span, &self.names).map_err(|fault| self.faults.path(node, fault)).ok()?;
                if !matches!(path.steps.last(), Some(Step::Each | Step::From(_))) {
                    let fault = Diagnostic::error("M026", node.span, "`from` of an `[[each]]` ends in the elements it goes through");
                    self.faults.push(fault.help("end it in `[*]`"));
                }
                Some(path)
            });
            let depth = match &from {
                Some(SourcePath { root: Root::Each(parent), .. }) if *parent < at => depths[*parent] + 1,
                Some(path @ SourcePath { root: Root::Each(parent), .. }) => {
                    let parent = entries[*parent].0;
                    self.faults.push(Diagnostic::error(
                        "M026",
                        path.span,
                        format!("`{name}` stands before `{parent}`, whose elements it goes through"),
                    ));
                    1
                }
                _ => 1,
            };
            if depth > MAX_EACH {
                self.faults.push(Diagnostic::error("M026", object.span, format!("`{name}` is nested {depth} deep")));
            }
            depths.push(depth);
            let emit = object.get("emit").and_then(|node| self.choice(node, &["events", "elements"]));
            let when = object.get("when").and_then(|node| condition::read(node, &self.names, self.faults));
            let split = object.get("split").and_then(|node| self.split(node));
            // A fault above keeps the table from being used; the place must stay so that indices hold.
            let from = from.unwrap_or_else(|| SourcePath { root: Root::Record, steps: Vec::new(), text: String::new(), span: object.span });
            found.push(Each { name: (*name).to_owned(), from, emits_events: emit == Some("events"), split, when, span: object.span });
        }
        found
    }

    fn split(&mut self, node: Node<'a>) -> Option<(u8, Vec<Vec<String>>)> {
        let object = node.object(self.faults)?;
        object.check_keys("`split`", &["by", "columns"], self.faults);
        let by = object.need("by", "`split`", self.faults)?;
        let separator = match by.text(self.faults)?.as_bytes() {
            [byte] if byte.is_ascii() => Some(*byte),
            _ => by.expected("one ASCII character", self.faults),
        };
        let columns = object.need("columns", "`split`", self.faults)?;
        let mut lists: Vec<Vec<String>> = Vec::new();
        for list in columns.list(self.faults) {
            let names: Vec<String> =
                list.list(self.faults).into_iter().filter_map(|node| node.text(self.faults)).map(str::to_owned).collect();
            if let Some(twice) = (0..names.len()).find(|at| names[..*at].contains(&names[*at])) {
                self.faults.push(Diagnostic::error("M029", list.span, format!("there are two columns called `{}`", names[twice])));
            }
            if lists.iter().any(|other| other.len() == names.len()) {
                self.faults.push(Diagnostic::error("M026", list.span, format!("two lists have {} columns", names.len())));
            }
            lists.push(names);
        }
        if lists.is_empty() {
            self.faults.push(Diagnostic::error("M026", columns.span, "`split` names no columns"));
        }
        Some((separator?, lists))
    }
}
