//! [`Node`] and [`Object`]: TOML values with their places, read with faults collected instead of returned.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::path::PathFault;
use super::table::{Constant, Span};

/// Faults found so far. Every reading function takes it and goes on after a fault.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// In the order they were found.
    pub list: Vec<Diagnostic>,
}

impl Faults {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds what is wrong with a path written at `node`.
    pub fn path(&mut self, node: Node<'_>, found: PathFault) {
        let mut diagnostic = Diagnostic::error(found.code, node.inner(found.at, found.len), found.message);
        if let Some((word, known)) = found.unknown {
            diagnostic = diagnostic.suggest(&word, known.iter().map(String::as_str));
        }
        self.push(diagnostic);
    }
}

/// One TOML value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    /// Its place, quotes and brackets included.
    pub span: Span,
    value: &'a DeValue<'a>,
}

/// One TOML table in the order it was written.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    /// Its place.
    pub span: Span,
    /// Name, place of the name, value.
    pub entries: Vec<(&'a str, Span, Node<'a>)>,
}

fn span_of(file: u32, range: Range<usize>) -> Span {
    let byte = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: byte(range.start), end: byte(range.end) }
}

impl<'a> Node<'a> {
    fn new(file: u32, spanned: &'a Spanned<DeValue<'a>>) -> Node<'a> {
        Node { span: span_of(file, spanned.span()), value: spanned.get_ref() }
    }

    /// The place of `len` bytes from `at` of a text; the whole value when the text has escapes.
    pub fn inner(&self, at: usize, len: usize) -> Span {
        let DeValue::String(text) = self.value else { return self.span };
        if (self.span.end - self.span.start) as usize != text.len() + 2 {
            return self.span;
        }
        let first = self.span.start as usize + 1 + at.min(text.len());
        span_of(self.span.file, first..(first + len).min(self.span.end as usize))
    }

    /// A text.
    pub fn text(&self, faults: &mut Faults) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.expected("a text", faults),
        }
    }

    /// A text, or nothing at all without a fault.
    pub fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// A text or a list of texts.
    pub fn texts(&self, faults: &mut Faults) -> Vec<(Node<'a>, &'a str)> {
        self.one_or_many().into_iter().filter_map(|node| Some((node, node.text(faults)?))).collect()
    }

    /// The elements of a list, or the value itself.
    pub fn one_or_many(&self) -> Vec<Node<'a>> {
        match self.value {
            DeValue::Array(elements) => elements.iter().map(|element| Node::new(self.span.file, element)).collect(),
            _ => vec![*self],
        }
    }

    /// The elements of a list.
    pub fn list(&self, faults: &mut Faults) -> Vec<Node<'a>> {
        match self.value {
            DeValue::Array(_) => self.one_or_many(),
            _ => self.expected("a list", faults).unwrap_or_default(),
        }
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// A table.
    pub fn object(&self, faults: &mut Faults) -> Option<Object<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Object::new(self.span, table)),
            _ => self.expected("a table", faults),
        }
    }

    /// `true` or `false`.
    pub fn bool(&self, faults: &mut Faults) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.expected("`true` or `false`", faults),
        }
    }

    /// A whole number from 0 to 4,294,967,295.
    pub fn count(&self, faults: &mut Faults) -> Option<u32> {
        match self.scalar() {
            Some(Constant::Int(number)) if u32::try_from(number).is_ok() => u32::try_from(number).ok(),
            _ => self.expected("a whole number of 0 or more", faults),
        }
    }

    /// Any number.
    pub fn number(&self, faults: &mut Faults) -> Option<f64> {
        match self.scalar() {
            Some(Constant::Int(number)) => Some(number as f64),
            Some(Constant::Float(number)) => Some(number),
            _ => self.expected("a number", faults),
        }
    }

    /// A text, number or truth value.
    pub fn constant(&self, faults: &mut Faults) -> Option<Constant> {
        match self.scalar() {
            Some(constant) => Some(constant),
            None => self.expected("a text, a number, `true` or `false`", faults),
        }
    }

    fn scalar(&self) -> Option<Constant> {
        match self.value {
            DeValue::String(text) => Some(Constant::Text(text.to_string())),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Constant::Int),
            DeValue::Float(number) => number.as_str().parse().ok().filter(|number: &f64| number.is_finite()).map(Constant::Float),
            DeValue::Boolean(value) => Some(Constant::Bool(*value)),
            _ => None,
        }
    }

    /// Reports another kind of value.
    pub fn expected<T>(&self, what: &str, faults: &mut Faults) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a truth value",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message =
            if found == what { format!("this {} is out of range", &what[2..]) } else { format!("{what} is expected, found {found}") };
        faults.push(Diagnostic::error("M004", self.span, message));
        None
    }
}

/// The text a constant is compared by.
pub(super) fn constant_text(constant: &Constant) -> String {
    match constant {
        Constant::Text(text) => text.clone(),
        Constant::Int(number) => number.to_string(),
        Constant::Float(number) => number.to_string(),
        Constant::Bool(value) => value.to_string(),
    }
}

impl<'a> Object<'a> {
    /// A whole document.
    pub fn document(file: u32, table: &'a Spanned<DeTable<'a>>) -> Object<'a> {
        Object::new(Span { file, start: 0, end: 0 }, table.get_ref())
    }

    fn new(span: Span, table: &'a DeTable<'a>) -> Object<'a> {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), span_of(span.file, key.span()), Node::new(span.file, value)))
            .collect();
        entries.sort_by_key(|(_, place, _)| place.start);
        Object { span, entries }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        self.entries.iter().find(|(name, _, _)| *name == key).map(|(_, _, node)| *node)
    }

    /// The value of a key that must be there.
    pub fn need(&self, key: &str, what: &str, faults: &mut Faults) -> Option<Node<'a>> {
        let found = self.get(key);
        if found.is_none() {
            faults.push(Diagnostic::error("M003", self.span, format!("{what} needs `{key}`")));
        }
        found
    }

    /// The table below a key, when the key is there.
    pub fn section(&self, key: &str, faults: &mut Faults) -> Option<Object<'a>> {
        self.get(key)?.object(faults)
    }

    /// Every named table below a key: `[lookup.a]`, `[lookup.b]`.
    pub fn named(&self, key: &str, faults: &mut Faults) -> Vec<(&'a str, Span, Object<'a>)> {
        let section = self.section(key, faults);
        let entries = section.into_iter().flat_map(|section| section.entries);
        entries.filter_map(|(name, place, node)| Some((name, place, node.object(faults)?))).collect()
    }

    /// Every table of a list of tables: `[[each]]`.
    pub fn tables(&self, key: &str, faults: &mut Faults) -> Vec<Object<'a>> {
        let nodes = self.get(key).map_or_else(Vec::new, |node| node.list(faults));
        nodes.into_iter().filter_map(|node| node.object(faults)).collect()
    }

    /// Whether a key is there and `true`.
    pub fn flag(&self, key: &str, faults: &mut Faults) -> bool {
        self.get(key).and_then(|node| node.bool(faults)).unwrap_or(false)
    }

    /// Reports every key that is not one of `known`.
    pub fn check_keys(&self, what: &str, known: &[&str], faults: &mut Faults) {
        for (name, place, _) in &self.entries {
            if !known.contains(name) {
                let fault = Diagnostic::error("M002", *place, format!("`{name}` is no key of {what}"));
                faults.push(fault.suggest(name, known.iter().copied()));
            }
        }
    }
}
