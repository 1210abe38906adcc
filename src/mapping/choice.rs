//! What a site chooses events by: its filters (`[[filter]]`) and the alternatives of its outputs (`take` of `[[output]]`).
//!
//! Both stand in a file beside the mappings, the settings of the stream processor or the file of `--filters`, and hold for every mapping
//! whose name fits. Their conditions are read once for each mapping, because `$values`, roots and elements belong to a mapping.

use toml::de::DeTable;

use super::condition;
use super::diagnostic::{Diagnostic, Files, NOWHERE};
use super::node::{Faults, Node, Object};
use super::read::Reader;
use super::table::{Condition, Span};
use crate::udm::Schema;

const FILTER_KEYS: [&str; 5] = ["name", "mappings", "event_types", "tags", "when"];
const TAKE_KEYS: [&str; 4] = ["mappings", "event_types", "tags", "when"];

/// One filter, or one alternative of an output, as one mapping has it. All that it names must hold.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What becomes of an event that it fits.
    pub end: End,
    /// Words of UDM enum `Metadata.EventType`; empty for any.
    pub event_types: Vec<String>,
    /// Names or patterns of security tags, of which the event has one; empty for any, also for none.
    pub tags: Vec<String>,
    /// What must hold of the record and of what the rows have built.
    pub when: Option<Condition>,
    /// Where it stands.
    pub span: Span,
}

/// What becomes of an event that a choice fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is passed over and counted under this name.
    Skip(String),
    /// The output of this number takes it; numbers count the file's `[[output]]` from 0.
    Output(u16),
}

/// What one choice names, whatever the mapping.
#[derive(Debug, Default)]
struct Spec<'a> {
    mappings: Vec<(Node<'a>, &'a str)>,
    event_types: Vec<(Node<'a>, &'a str)>,
    tags: Vec<(Node<'a>, &'a str)>,
    when: Option<Node<'a>>,
    span: Span,
}

/// Whether a name fits a pattern, in which `*` stands for any text. Letters of either case.
///
/// ```
/// use udmill::mapping::choice::fits;
/// assert!(fits("azure/*", "azure/activity") && fits("*delete*", "Key_Delete") && fits("a", "A") && !fits("azure/*", "openai/audit"));
/// ```
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(piece) = last.replace(piece) {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// Patterns that fit nothing there is: of mappings by `mappings`, of tags by `tags`. Such a filter or output would wait for ever.
pub fn check(files: &Files, mappings: &[String], tags: &[String]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut names: Vec<(String, Span)> = Vec::new();
    let mut note = |pattern: &(Node<'_>, &str), known: &[String], what: &str| {
        if !known.iter().any(|name| fits(pattern.1, name)) {
            let fault = Diagnostic::error("M070", pattern.0.span, format!("no {what} is called `{}`", pattern.1));
            found.push(fault.suggest(pattern.1, known.iter().map(String::as_str)));
        }
    };
    let mut twice = Vec::new();
    // What cannot be read was told when the mappings were.
    each(files, &mut Faults::default(), &mut |end, spec, _| {
        spec.mappings.iter().for_each(|pattern| note(pattern, mappings, "mapping"));
        spec.tags.iter().for_each(|pattern| note(pattern, tags, "security tag"));
        if let End::Skip(name) = end {
            if names.iter().any(|(known, _)| *known == name) {
                twice.push(Diagnostic::error("M029", spec.span, format!("two filters are called `{name}`")));
            }
            names.push((name, spec.span));
        }
    });
    found.extend(twice);
    found
}

impl Reader<'_, '_> {
    /// The choices that this mapping is asked.
    pub(super) fn choices(&mut self, mapping: &str) -> Vec<Choice> {
        let mut found = Vec::new();
        let names = &self.names;
        each(self.files, self.faults, &mut |end, spec, faults| {
            let is_meant = spec.mappings.is_empty() || spec.mappings.iter().any(|(_, pattern)| fits(pattern, mapping));
            if !is_meant {
                return;
            }
            let known = faults.list.len();
            let when = spec.when.map(|when| condition::read(when, names, faults));
            for fault in faults.list.iter_mut().skip(known).filter(|fault| ["M008", "M009"].contains(&fault.code)) {
                fault.notes.push(format!("the mapping `{mapping}` does not have it; say with `mappings` which ones are meant"));
            }
            // A condition that cannot be read was told.
            if when.as_ref().is_some_and(Option::is_none) {
                return;
            }
            let texts = |list: &[(Node<'_>, &str)]| list.iter().map(|(_, text)| (*text).to_owned()).collect();
            found.push(Choice {
                end,
                event_types: texts(&spec.event_types),
                tags: texts(&spec.tags),
                when: when.flatten(),
                span: spec.span,
            });
        });
        found
    }
}

/// Calls `take` with every filter, then with every alternative of the outputs, of all files that hold such.
fn each(files: &Files, faults: &mut Faults, take: &mut dyn FnMut(End, &Spec<'_>, &mut Faults)) {
    for (file, has_outputs) in files.choosers() {
        let Some(text) = files.get(file).map(|file| &file.text) else { continue };
        let (document, errors) = DeTable::parse_recoverable(text);
        if let Some(error) = errors.first() {
            let at = error.span().map_or(NOWHERE, |range| Span { file, start: range.start as u32, end: range.end as u32 });
            faults.push(Diagnostic::error("M001", at, error.message().split_whitespace().collect::<Vec<_>>().join(" ")));
            continue;
        }
        let document = Object::document(file, &document);
        for filter in document.tables("filter", faults) {
            let name = filter.need("name", "a `[[filter]]`", faults).and_then(|node| Some((node, node.text(faults)?)));
            let spec = spec("`[[filter]]`", &filter, &FILTER_KEYS, faults);
            let Some((node, name)) = name else { continue };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
                let message = format!("`{name}` is no name of a filter: one word of small letters, digits and `_`");
                faults.push(Diagnostic::error("M005", node.span, message));
            }
            take(End::Skip(name.to_owned()), &spec, faults);
        }
        if !has_outputs {
            continue;
        }
        for (number, output) in (0..).zip(document.tables("output", faults)) {
            for node in output.get("take").map_or_else(Vec::new, |take| take.one_or_many()) {
                let Some(object) = node.object(faults) else { continue };
                let spec = spec("`take`", &object, &TAKE_KEYS, faults);
                take(End::Output(number), &spec, faults);
            }
        }
    }
}

fn spec<'a>(what: &str, object: &Object<'a>, keys: &[&str], faults: &mut Faults) -> Spec<'a> {
    object.check_keys(what, keys, faults);
    let mut texts = |key: &str| object.get(key).map_or_else(Vec::new, |node| node.texts(faults));
    let (mappings, event_types, tags) = (texts("mappings"), texts("event_types"), texts("tags"));
    let when = object.get("when");
    if mappings.is_empty() && event_types.is_empty() && tags.is_empty() && when.is_none() {
        let fault = Diagnostic::error("M015", object.span, format!("{what} without a test fits every event"));
        faults.push(fault.help("give at least one of `mappings`, `event_types`, `tags` and `when`"));
    }
    let known: Vec<&str> = Schema::get().enum_values("Metadata.EventType").iter().map(|value| value.name).collect();
    for (node, word) in event_types.iter().filter(|(_, word)| !known.contains(word)) {
        faults.push(Diagnostic::error("M031", node.span, format!("UDM has no event type `{word}`")).suggest(word, known.iter().copied()));
    }
    Spec { mappings, event_types, tags, when, span: object.span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("openai/audit", "openai/audit", true),
            ("openai/audit", "openai/audits", false),
            ("*", "", true),
            ("a*b", "ab", true),
            ("a*b", "aXbYb", true),
            ("a*b", "aXbY", false),
            ("a*a", "a", false),
            ("*x*y*", "0x1y2", true),
            ("*x*y*", "0y1x2", false),
            ("A*", "abc", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
