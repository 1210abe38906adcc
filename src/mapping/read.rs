//! [`read`]: the files of a mapping become one [`Table`], or all that is wrong with them.

use std::sync::Arc;

use super::condition;
use super::diagnostic::{self, Diagnostic, Files};
use super::layers::{self, Layer};
use super::lookup_text;
use super::node::{Faults, Node, Object};
use super::path::{self, Names};
use super::row;
use super::table::{LookupTable, Match, Row, Skip, Span, Table, Unmapped};

const SECTIONS: [&str; 12] =
    ["include", "extends", "mapping", "match", "profile", "values", "roots", "lookup", "event_type", "with", "fields", "tags"];
const PROFILE_SECTIONS: [&str; 10] = ["values", "roots", "lookup", "event_type", "with", "fields", "tags", "group", "each", "skip"];
/// `classify`'s shapes.
const SHAPES: [&str; 6] = ["openai_audit", "activity", "activity_rest", "azure", "log_analytics", "unknown"];

/// Reads one mapping under one profile.
///
/// `entry` is the path below the mappings folder without its ending: `openai/audit`.
///
/// ```
/// use udmill::mapping::{Files, read, render};
/// let mut files = Files::new();
/// let head = "[mapping]\nlog_type = 'EXAMPLE'\n[match]\nshape = 'azure'\n[fields]\nrows = [\n";
/// files.add_built_in("example/log.toml", &format!("{head}{{ from = 'time', to = 'metadata.event_timestamp', as = 'timestamp' }} ]"));
/// assert_eq!(read(&files, "example/log", None).unwrap().rows[0].targets[0].text, "metadata.event_timestamp");
///
/// files.add_built_in("example/log.toml", &format!("{head}{{ form = 'time', to = 'metadata.event_timestamp' }} ]"));
/// let faults = read(&files, "example/log", None).unwrap_err();
/// assert!(render(&faults, &files, false).contains("did you mean `from`?"));
/// ```
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
    let is_mapping = |text: &str| toml::de::DeTable::parse(text).map_or(true, |table| table.get_ref().contains_key("mapping"));
    let named = files.iter().filter_map(|(_, file)| Some((file.name.strip_suffix(".toml")?, file)));
    let mut names: Vec<String> = named.filter(|(_, file)| is_mapping(&file.text)).map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// What reading needs at every step; the files of this room named after sections add to it.
pub(super) struct Reader<'a, 'f> {
    /// The texts.
    pub files: &'a Files,
    /// The lowest layer first.
    pub layers: &'a [Layer<'a>],
    /// Names that paths may refer to; complete once values and each are read.
    pub names: Names,
    /// All that is wrong so far.
    pub faults: &'f mut Faults,
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
        table.tags = self.tags();
        for layer in self.layers {
            let fields = layer.sections.section("fields", self.faults);
            let mut rows = self.rows_of(fields);
            rows.extend(self.groups(layer));
            table.rows = layers::lay_rows(std::mem::take(&mut table.rows), rows, self.faults);
            self.drops(layer, &mut table);
            self.skips(layer, &mut table);
        }
        table.rules = self.rules(&table.with);
        table.choices = self.choices(name);
        table
    }

    fn check_sections(&mut self) {
        for (at, layer) in self.layers.iter().enumerate() {
            // The sections of a profile follow those of its file.
            let is_profile = at > 0 && self.layers[at - 1].file == layer.file;
            let all: Vec<&str> = SECTIONS.iter().copied().chain(["group", "each", "skip"]).collect();
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

    /// A text that must be one of a few words.
    pub(super) fn choice(&mut self, node: Node<'a>, choices: &[&'static str]) -> Option<&'static str> {
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

    /// `[[group]]`: rows that share a condition.
    fn groups(&mut self, layer: &Layer<'a>) -> Vec<row::LayeredRow> {
        let mut found = Vec::new();
        for object in layer.sections.tables("group", self.faults) {
            object.check_keys("a `[[group]]`", &["when", "rows"], self.faults);
            let when = object.need("when", "a `[[group]]`", self.faults).and_then(|node| condition::read(node, &self.names, self.faults));
            let mut rows = self.rows(&object);
            for layered in &mut rows {
                layered.row.when = condition::both(when.clone(), layered.row.when.take());
            }
            found.extend(rows);
        }
        found
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
}
