//! `[values]`: gathering the layers' named values and putting them in the order they need.

use super::diagnostic::Diagnostic;
use super::node::{Faults, Node};
use super::read::Reader;
use super::row;
use super::table::{NamedValue, Root, Source, SourcePath, TemplatePart};

impl<'a> Reader<'a, '_> {
    /// The named values of all layers, those that another one reads before it.
    pub(super) fn values(&mut self) -> Vec<NamedValue> {
        let mut entries: Vec<(String, Node<'a>)> = Vec::new();
        for layer in self.layers {
            let Some(section) = layer.sections.section("values", self.faults) else { continue };
            for (name, place, node) in section.entries {
                let Some(object) = node.object(self.faults) else { continue };
                let (replaces, removes) = (object.flag("replace", self.faults), object.flag("remove", self.faults));
                let below = entries.iter().position(|(known, _)| known == name);
                match (below, replaces || removes) {
                    (Some(_), false) => self.faults.push(Diagnostic::error("M023", place, format!("a layer below has a value `{name}`"))),
                    (None, true) => self.faults.push(Diagnostic::error("M022", place, format!("no layer below has a value `{name}`"))),
                    (Some(at), true) if removes => drop(entries.remove(at)),
                    (Some(at), true) => entries[at].1 = node,
                    (None, false) => entries.push((name.to_owned(), node)),
                }
            }
        }
        self.names.values = entries.iter().map(|(name, _)| name.clone()).collect();
        for reserved in ["payload", "received"] {
            if let Some((_, node)) = entries.iter().find(|(name, _)| name == reserved) {
                self.faults.push(Diagnostic::error(
                    "M029",
                    node.span,
                    format!("`${reserved}` means something else; a value cannot be called so"),
                ));
            }
        }
        // What each value reads is known only after reading; faults are told by the second reading.
        let mut quiet = Faults::default();
        let first: Vec<Option<NamedValue>> =
            entries.iter().map(|(name, node)| row::named_value(name, *node, &self.names, &mut quiet)).collect();
        let uses: Vec<Vec<usize>> = first.iter().map(|value| value.as_ref().map_or_else(Vec::new, values_read)).collect();
        let order = self.order(&entries, &uses);
        self.names.values = order.iter().map(|at| entries[*at].0.clone()).collect();
        order.iter().filter_map(|at| row::named_value(&entries[*at].0, entries[*at].1, &self.names, self.faults)).collect()
    }

    /// Positions such that every value stands after those it reads, else in the order written.
    fn order(&mut self, entries: &[(String, Node<'a>)], uses: &[Vec<usize>]) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        while order.len() < entries.len() {
            let is_ready = |at: &usize| !order.contains(at) && uses[*at].iter().all(|used| order.contains(used));
            match (0..entries.len()).find(is_ready) {
                Some(next) => order.push(next),
                None => {
                    let stuck: Vec<usize> = (0..entries.len()).filter(|at| !order.contains(at)).collect();
                    let names: Vec<String> = stuck.iter().map(|at| format!("`${}`", entries[*at].0)).collect();
                    let message = format!("these values wait for each other: {}", names.join(", "));
                    self.faults.push(Diagnostic::error("M024", entries[stuck[0]].1.span, message));
                    order.extend(stuck);
                }
            }
        }
        order
    }
}

/// Indices of the values that a value reads, its condition included.
fn values_read(value: &NamedValue) -> Vec<usize> {
    let mut paths: Vec<&SourcePath> = Vec::new();
    match &value.source {
        Source::From(found) | Source::Sum(found) => paths.extend(found),
        Source::Difference(first, second) => paths.extend([first, second]),
        Source::Template(parts) => paths.extend(parts.iter().filter_map(|part| match part {
            TemplatePart::Hole(path) => Some(path),
            TemplatePart::Text(_) => None,
        })),
        Source::Value(_) => {}
    }
    if let Some(when) = &value.when {
        when.visit_sources(&mut |path| paths.push(path));
    }
    paths.iter().filter_map(|path| if let Root::Value(index) = path.root { Some(index) } else { None }).collect()
}
