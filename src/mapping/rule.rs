//! `[event_type] rules` of all layers, and what their `else` leads to.

use crate::udm::EventTypes;

use super::condition;
use super::diagnostic::Diagnostic;
use super::node::Node;
use super::path;
use super::read::Reader;
use super::table::{Otherwise, Row, Rule};

/// A rule whose `else` is still to be read: it may name rules further down.
type OpenRule<'a> = (Rule, Option<Node<'a>>);

impl<'a> Reader<'a, '_> {
    /// The rules of all layers, the top layer first.
    pub(super) fn rules(&mut self, with: &[(String, Vec<Row>)]) -> Vec<Rule> {
        let mut found: Vec<OpenRule<'a>> = Vec::new();
        for (layer, sections) in self.layers.iter().enumerate().rev() {
            let Some(section) = sections.sections.section("event_type", self.faults) else { continue };
            section.check_keys("`[event_type]`", &["rules"], self.faults);
            for node in section.get("rules").map_or_else(Vec::new, |node| node.list(self.faults)) {
                found.extend(self.rule(node, layer, with, &found));
            }
        }
        let names: Vec<(Option<String>, usize)> = found.iter().map(|(rule, _)| (rule.name.clone(), rule.layer)).collect();
        let mut rules = Vec::new();
        for (mut rule, node) in found {
            for (node, text) in node.map_or_else(Vec::new, |node| node.texts(self.faults)) {
                rule.otherwise.extend(self.otherwise(node, text, rule.layer, &names));
            }
            rules.push(rule);
        }
        rules
    }

    fn rule(&mut self, node: Node<'a>, layer: usize, with: &[(String, Vec<Row>)], others: &[OpenRule<'a>]) -> Option<OpenRule<'a>> {
        let object = node.object(self.faults)?;
        object.check_keys("an event-type rule", &["is", "name", "when", "with", "needs", "else", "dormant"], self.faults);
        let is = object.need("is", "an event-type rule", self.faults).and_then(|node| node.text(self.faults));
        let name = object.get("name").and_then(|node| Some((node, node.text(self.faults)?)));
        if let Some((node, name)) = name
            && others.iter().any(|(rule, _)| rule.layer == layer && rule.name.as_deref() == Some(name))
        {
            self.faults.push(Diagnostic::error("M029", node.span, format!("there is a rule called `{name}` already")));
        }
        let mut groups = Vec::new();
        for (node, text) in object.get("with").map_or_else(Vec::new, |node| node.texts(self.faults)) {
            match with.iter().position(|(name, _)| name == text) {
                Some(index) => groups.push(index),
                None => {
                    let fault = Diagnostic::error("M021", node.span, format!("there is no `[with.{text}]`"));
                    self.faults.push(fault.suggest(text, with.iter().map(|(name, _)| name.as_str())));
                }
            }
        }
        let mut needs = Vec::new();
        for (node, text) in object.get("needs").map_or_else(Vec::new, |node| node.texts(self.faults)) {
            match path::target(text, node.span, &self.names) {
                Ok(path) => needs.push(path),
                Err(fault) => self.faults.path(node, fault),
            }
        }
        let rule = Rule {
            is: is?.to_owned(),
            name: name.map(|(_, name)| name.to_owned()),
            when: object.get("when").and_then(|node| condition::read(node, &self.names, self.faults)),
            with: groups,
            needs,
            otherwise: Vec::new(),
            dormant: object.get("dormant").and_then(|node| node.text(self.faults)).map(str::to_owned),
            layer,
            span: node.span,
        };
        Some((rule, object.get("else")))
    }

    /// A rule of the own layer comes before one of a layer below, and a rule's name before an event type's.
    fn otherwise(&mut self, node: Node<'a>, text: &str, layer: usize, names: &[(Option<String>, usize)]) -> Option<Otherwise> {
        if text == "base" {
            return Some(Otherwise::Base);
        }
        // Rules stand top layer first, so the first one at or below the own layer is the nearest.
        if let Some(index) = names.iter().position(|(name, other)| name.as_deref() == Some(text) && *other <= layer) {
            return Some(Otherwise::Rule(index));
        }
        if EventTypes::get().find(text).is_some() {
            return Some(Otherwise::Type(text.to_owned()));
        }
        let rules = names.iter().filter_map(|(name, _)| name.as_deref());
        let known: Vec<&str> = EventTypes::get().all().iter().map(|found| found.name).chain(rules).chain(["base"]).collect();
        self.faults
            .push(Diagnostic::error("M020", node.span, format!("`{text}` is neither an event type nor a rule")).suggest(text, known));
        None
    }
}
