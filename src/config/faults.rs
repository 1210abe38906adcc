//! Faults of a settings file, all at once and with their places.
use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One fault of a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the file, as it was given.
    pub file: String,
    /// Line from 1, when the fault has a place.
    pub line: Option<usize>,
    /// Column from 1, in characters.
    pub column: Option<usize>,
    /// What is wrong and how to mend it.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(formatter, "{line}:{column}:")?;
        }
        write!(formatter, " {}", self.what)
    }
}

/// More than this is not a file with faults but another file.
const FAULTS_MAX: usize = 100;

impl Fault {
    fn at(file: &str, text: &str, offset: Option<usize>, what: String) -> Fault {
        let place = offset.map(|offset| {
            let before = text.get(..offset.min(text.len())).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        Fault { file: file.to_owned(), line: place.map(|place| place.0), column: place.map(|place| place.1), what }
    }

    /// A fault whose place is where a piece of the text stands first.
    pub(super) fn at_text(file: &str, text: &str, piece: &str, what: String) -> Fault {
        Fault::at(file, text, text.find(piece), what)
    }

    /// A fault of what a key says. The first line that begins with the key, or with a section of that name, is its place.
    pub(super) fn at_key(file: &str, text: &str, key: &str, what: String) -> Fault {
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            let words = line.trim_start();
            let indent = line.len() - words.len();
            let section = words.trim_start_matches('[');
            let is_key = words.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
            let is_section = section.len() < words.len() && section.split([']', '.']).next().is_some_and(|name| name.trim() == key);
            if is_key || is_section {
                return Fault::at(file, text, Some(offset + indent), what);
            }
            offset += line.len();
        }
        Fault::at(file, text, None, what)
    }
}

/// Deserializes and, after a fault, takes the faulty entry out and tries again, so that every fault is found in one go.
pub(super) fn deserialize<T: DeserializeOwned>(file: &str, text: &str) -> (Option<T>, Vec<Fault>) {
    let (mut table, errors) = DeTable::parse_recoverable(text);
    let mut found: Vec<Fault> =
        errors.iter().map(|error| Fault::at(file, text, error.span().map(|span| span.start), error.message().trim().to_owned())).collect();
    if !found.is_empty() {
        // What the text means is not known; faults of the meaning would mislead.
        return (None, found);
    }
    while found.len() < FAULTS_MAX {
        match T::deserialize(toml::de::Deserializer::from(table.clone())) {
            Ok(value) => return (Some(value), found),
            Err(error) => {
                let span = error.span();
                found.push(Fault::at(file, text, span.as_ref().map(|span| span.start), error.message().trim().to_owned()));
                if !span.is_some_and(|span| remove(table.get_mut(), &span)) {
                    return (None, found);
                }
            }
        }
    }
    (None, found)
}

/// Takes out the innermost entry whose key or value stands at `span`. Answers whether there was one.
fn remove<'i>(table: &mut DeTable<'i>, span: &Range<usize>) -> bool {
    let holds = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut victim = None;
    for (key, value) in table.iter_mut() {
        if holds(&key.span()) {
            victim = Some(key.get_ref().to_string());
            break;
        }
        if remove_in(value, span) {
            return true;
        }
        if holds(&value.span()) {
            victim = Some(key.get_ref().to_string());
            break;
        }
    }
    let before = table.len();
    if let Some(victim) = victim {
        table.remove(victim.as_str());
    }
    table.len() < before
}

fn remove_in<'i>(value: &mut Spanned<DeValue<'i>>, span: &Range<usize>) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(array) => {
            let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
            for index in 0..array.len() {
                let Some(element) = array.get_mut(index) else { return false };
                if remove_in(element, span) {
                    return true;
                }
                if holds(element.span()) {
                    let whole = std::mem::replace(array, std::iter::empty().collect());
                    *array = whole.into_iter().enumerate().filter(|(at, _)| *at != index).map(|(_, element)| element).collect();
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}
