//! [`read`]: the files of a mapping become one [`Table`], or all that is wrong with them.

use std::sync::Arc;

use crate::udm::EventTypes;

use super::condition;
use super::diagnostic::{self, Diagnostic, Files};
use super::layers::{self, Layer};
use super::lookup_text;
use super::node::{Faults, Node, Object};
use super::path::{self, Names};
use super::row;
use super::table::{
    Each, LookupTable, Match, NamedValue, Otherwise, Root, Row, Rule, Skip, Source, SourcePath, Span, Step, Table, TemplatePart, Unmapped,
};

const SECTIONS: [&str; 11] =
    ["include", "extends", "mapping", "match", "profile", "values", "roots", "lookup", "event_type", "with", "fields"];
const PROFILE_SECTIONS: [&str; 8] = ["values", "roots", "lookup", "event_type", "with", "fields", "each", "skip"];
/// `classify`'s shapes.
const SHAPES: [&str; 6] = ["openai_audit", "activity", "activity_rest", "azure", "log_analytics", "unknown"];
/// `[[each]]` may nest this deep.
const MAX_EACH: usize = 4;

/// Reads one mapping under one profile.
///
/// `entry` is the path below the mappings folder without its ending: `openai/audit`.
///
/// # Errors
///
/// Every fault of the text, sorted by file and position. What a text means against the UDM schema is the compiler's to judge.
pub fn read(files: &Files, entry: &str, profile: Option<&str>) -> Result<Table, Vec<Diagnostic>> {
    let mut faults = Faults::default();
    let documents = layers::load(files, entry, &mut faults);
    // A file that is not TOML hides what it defines, so faults of meaning would mislead.
    if faults.list.is_empty() {
        let layers = layers::layers(&documents, profile, &mut faults);
        let table = Reader { files, layers: &layers, names: Names::default(), faults: &mut faults }.table(entry, profile);
        if faults.list.is_empty() {
            return Ok(table);
        }
    }
    diagnostic::sort(&mut faults.list);
    Err(faults.list)
}

/// The profiles of a mapping in the order they stand; none for one that cannot be read.
pub fn profiles(files: &Files, entry: &str) -> Vec<String> {
    let mut faults = Faults::default();
    let mut names: Vec<String> = Vec::new();
    for document in layers::load(files, entry, &mut faults).iter().filter(|document| !document.included) {
        for (name, _, _) in Object::document(document.file, &document.table).named("profile", &mut faults) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The names of all mappings, sorted: every TOML file with a `[mapping]` section. A file that is not TOML counts, so that its fault is told.
pub fn list(files: &Files) -> Vec<String> {
    let is_mapping = |text: &str| {
        toml::de::DeTable::parse(text).is_ok_and(|table| table.get_ref().contains_key("mapping")) || toml::de::DeTable::parse(text).is_err()
    };
    let mut names: Vec<String> = Vec::new();
    for (_, file) in files.iter() {
        if let Some(name) = file.name.strip_suffix(".toml")
            && (file.site || is_mapping(&file.text))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

struct Reader<'a, 'f> {
    files: &'a Files,
    layers: &'a [Layer<'a>],
    names: Names,
    faults: &'f mut Faults,
}

impl<'a> Reader<'a, '_> {
    fn table(&mut self, name: &str, profile: Option<&str>) -> Table {
        self.check_sections();
        self.read_roots();
        let each = self.gather_each();
        self.names.each = each.iter().map(|(name, _)| (*name).to_owned()).collect();
        let values = self.values();
        let each = self.each(&each);
        let mut table = Table { name: name.to_owned(), profile: profile.map(str::to_owned), version: 1, values, each, ..Table::default() };
        self.head(&mut table);
        table.lookups = self.lookups().into_iter().map(Arc::new).collect();
        table.with = self.with();
        for layer in self.layers {
            let fields = layer.sections.section("fields", self.faults);
            let rows = self.rows_of(fields);
            table.rows = layers::lay_rows(std::mem::take(&mut table.rows), rows, self.faults);
            self.drops(layer, &mut table);
            self.skips(layer, &mut table);
        }
        table.rules = self.rules(&table.with);
        table
    }

    fn check_sections(&mut self) {
        for (at, layer) in self.layers.iter().enumerate() {
            // The sections of a profile follow those of its file.
            let is_profile = at > 0 && self.layers[at - 1].file == layer.file;
            let all: Vec<&str> = SECTIONS.iter().copied().chain(["each", "skip"]).collect();
            if is_profile {
                layer.sections.check_keys("a profile", &PROFILE_SECTIONS, self.faults);
            } else {
                layer.sections.check_keys("a mapping", &all, self.faults);
            }
        }
    }

    fn read_roots(&mut self) {
        for layer in self.layers {
            let Some(roots) = layer.sections.section("roots", self.faults) else { continue };
            for (name, place, node) in &roots.entries {
                let mut texts = Vec::new();
                for (node, text) in node.texts(self.faults) {
                    match path::source(text, node.span, &Names::default()) {
                        Ok(_) => texts.push(text.to_owned()),
                        Err(fault) => self.faults.path(node, fault),
                    }
                }
                if self.names.roots.iter().any(|(known, _)| known == name) {
                    self.faults.push(Diagnostic::error("M029", *place, format!("a layer below has a root `{name}`")));
                } else {
                    self.names.roots.push(((*name).to_owned(), texts));
                }
            }
        }
    }

    /// `[mapping]` and `[match]`: of the file, its profile and its site, never of an include.
    fn head(&mut self, table: &mut Table) {
        let own: Vec<&Layer<'a>> = self.layers.iter().filter(|layer| !layer.included).collect();
        let mut has_log_type = false;
        for layer in &own {
            if let Some(mapping) = layer.sections.section("mapping", self.faults) {
                has_log_type |= mapping.get("log_type").is_some();
                self.mapping(&mapping, table);
            }
            if let Some(section) = layer.sections.section("match", self.faults) {
                self.matches(&section, table);
            }
        }
        let place = own.first().map_or(Span::default(), |layer| Span { file: layer.file, start: 0, end: 0 });
        if !own.is_empty() && !has_log_type {
            self.faults.push(Diagnostic::error("M003", place, "a mapping needs `[mapping]` with `log_type`"));
        }
        if !own.is_empty() && !own.iter().any(|layer| layer.sections.get("match").is_some()) {
            self.faults.push(Diagnostic::error("M003", place, "a mapping needs `[match]`"));
        }
    }

    fn mapping(&mut self, mapping: &Object<'a>, table: &mut Table) {
        mapping.check_keys("`[mapping]`", &["log_type", "docs", "version", "id", "unmapped"], self.faults);
        if let Some(text) = mapping.get("log_type").and_then(|node| node.text(self.faults)) {
            table.log_type = text.to_owned();
        }
        if let Some(version) = mapping.get("version").and_then(|node| node.count(self.faults)) {
            table.version = version;
        }
        if let Some(node) = mapping.get("docs") {
            table.docs = node.texts(self.faults).into_iter().map(|(_, text)| text.to_owned()).collect();
        }
        if let Some(node) = mapping.get("id") {
            table.id = row::source_paths(node, &self.names, self.faults).unwrap_or_default();
        }
        if let Some(node) = mapping.get("unmapped") {
            table.unmapped = match self.choice(node, &["keep", "count", "drop"]) {
                Some("count") => Unmapped::Count,
                Some("drop") => Unmapped::Drop,
                _ => Unmapped::Keep,
            };
        }
    }

    fn choice(&mut self, node: Node<'a>, choices: &[&'static str]) -> Option<&'static str> {
        let text = node.text(self.faults)?;
        let found = choices.iter().find(|choice| **choice == text).copied();
        if found.is_none() {
            let fault = Diagnostic::error("M005", node.span, format!("`{text}` is not one of the choices"));
            self.faults.push(fault.suggest(text, choices.iter().copied()));
        }
        found
    }

    fn matches(&mut self, section: &Object<'a>, table: &mut Table) {
        let entries: Vec<Object<'a>> = match section.get("any") {
            Some(node) => {
                section.check_keys("`[match]` with `any`", &["any"], self.faults);
                node.list(self.faults).into_iter().filter_map(|node| node.object(self.faults)).collect()
            }
            None => vec![section.clone()],
        };
        for entry in entries {
            entry.check_keys("`[match]`", &["shape", "provider", "category"], self.faults);
            let Some(node) = entry.need("shape", "an entry of `[match]`", self.faults) else { continue };
            let shapes: Vec<&str> = node.one_or_many().into_iter().filter_map(|node| self.choice(node, &SHAPES)).collect();
            let mut words = |key: &str| -> Vec<Option<String>> {
                let Some(node) = entry.get(key) else { return vec![None] };
                node.texts(self.faults).into_iter().map(|(_, text)| Some(text.to_ascii_lowercase())).collect()
            };
            let (providers, categories) = (words("provider"), words("category"));
            for shape in shapes {
                for provider in &providers {
                    for category in &categories {
                        table.matches.push(Match {
                            shape: shape.to_owned(),
                            provider: provider.clone(),
                            category: category.clone(),
                            span: entry.span,
                        });
                    }
                }
            }
        }
    }

    /// The named values of all layers, those that another one reads before it.
    fn values(&mut self) -> Vec<NamedValue> {
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

    fn gather_each(&mut self) -> Vec<(&'a str, Object<'a>)> {
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

    fn each(&mut self, entries: &[(&'a str, Object<'a>)]) -> Vec<Each> {
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

    fn lookups(&mut self) -> Vec<LookupTable> {
        let mut found: Vec<LookupTable> = Vec::new();
        for layer in self.layers {
            let name = self.files.get(layer.file).map_or("", |file| &file.name);
            let folder = &name[..name.rfind('/').map_or(0, |at| at + 1)];
            for (name, place, object) in layer.sections.named("lookup", self.faults) {
                let (replaces, extends) = (object.flag("replace", self.faults), object.flag("extends", self.faults));
                let Some(table) = lookup_text::read(name, &object, folder, self.files, self.faults) else { continue };
                match (found.iter().position(|known| known.name == name), replaces || extends) {
                    (Some(_), false) => {
                        let fault = Diagnostic::error("M023", place, format!("a layer below has a look-up `{name}`"));
                        self.faults.push(fault.help("say `extends = true` to add rows, or `replace = true`"));
                    }
                    (None, true) => self.faults.push(Diagnostic::error("M022", place, format!("no layer below has a look-up `{name}`"))),
                    (Some(at), true) if replaces => found[at] = table,
                    (Some(at), true) => found[at] = layers::extend_lookup(std::mem::take(&mut found[at]), table),
                    (None, false) => found.push(table),
                }
            }
        }
        found
    }

    fn with(&mut self) -> Vec<(String, Vec<Row>)> {
        let mut found: Vec<(String, Vec<Row>)> = Vec::new();
        for layer in self.layers {
            for (name, _, object) in layer.sections.named("with", self.faults) {
                object.check_keys("`[with]`", &["rows"], self.faults);
                let rows = self.rows(&object);
                let at = found.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    found.push((name.to_owned(), Vec::new()));
                    found.len() - 1
                });
                found[at].1 = layers::lay_rows(std::mem::take(&mut found[at].1), rows, self.faults);
            }
        }
        found
    }

    fn rows_of(&mut self, section: Option<Object<'a>>) -> Vec<row::LayeredRow> {
        let Some(section) = section else { return Vec::new() };
        section.check_keys("`[fields]`", &["rows", "drop"], self.faults);
        self.rows(&section)
    }

    fn rows(&mut self, section: &Object<'a>) -> Vec<row::LayeredRow> {
        let nodes = section.get("rows").map_or_else(Vec::new, |node| node.list(self.faults));
        nodes.into_iter().filter_map(|node| row::read(node, &self.names, self.faults)).collect()
    }

    fn drops(&mut self, layer: &Layer<'a>, table: &mut Table) {
        let section = layer.sections.get("fields").and_then(|node| node.is_table().then(|| node.object(self.faults)).flatten());
        if let Some(node) = section.and_then(|section| section.get("drop")) {
            table.drop.extend(row::source_paths(node, &self.names, self.faults).unwrap_or_default());
        }
    }

    fn skips(&mut self, layer: &Layer<'a>, table: &mut Table) {
        for object in layer.sections.tables("skip", self.faults) {
            object.check_keys("`[[skip]]`", &["when", "reason"], self.faults);
            let when = object.need("when", "a `[[skip]]`", self.faults).and_then(|node| condition::read(node, &self.names, self.faults));
            let reason = object.need("reason", "a `[[skip]]`", self.faults);
            let Some((node, text)) = reason.and_then(|node| Some((node, node.text(self.faults)?))) else { continue };
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                self.faults.push(Diagnostic::error("M005", node.span, format!("`{text}` is no reason: one word of small letters and `_`")));
            }
            table.skips.extend(when.map(|when| Skip { when, reason: text.to_owned(), span: object.span }));
        }
    }

    /// The rules of all layers, the top layer first.
    fn rules(&mut self, with: &[(String, Vec<Row>)]) -> Vec<Rule> {
        let mut found: Vec<(Rule, Option<Node<'a>>)> = Vec::new();
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

    fn rule(
        &mut self,
        node: Node<'a>,
        layer: usize,
        with: &[(String, Vec<Row>)],
        others: &[(Rule, Option<Node<'a>>)],
    ) -> Option<(Rule, Option<Node<'a>>)> {
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
