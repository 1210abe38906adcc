//! The flat list of output instructions, in UDM order.

use super::rows::{Built, CheckedRow, Group};
use super::target::{Place, Target};
use crate::mapping::table::Element;
use crate::plan::program::{Constant, Filled, Input, LabelKey, Out};
use crate::plan::{Form, json_scalar, json_string};
use crate::udm::{Field, FieldKind, Message, Schema};
use std::collections::BTreeMap;

/// The list that tags write to.
const RESULTS: &str = "security_result";

/// Bits by name, as the rows were given them.
pub(super) type BitOf<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// A message of the output while it is put together: what is below each of its fields, by the field's position.
#[derive(Default)]
struct Fields {
    fields: BTreeMap<usize, Below>,
}

/// What is below one field.
enum Below {
    /// Rows in order, with their keys for labels and free members.
    Rows(Vec<(Option<String>, u32)>),
    /// A single message: rows that give it whole, and its own fields.
    One { whole: Vec<u32>, group: Fields },
    /// A list of messages, elements in the order of their first row.
    Many(Vec<(Element, Fields)>),
}

/// Builds the instructions of a whole event.
///
/// With `tagged` the list of results takes those of the tags, after the rows' own.
pub(super) fn instructions(checked: &[CheckedRow<'_>], built: &Built, log_type: &str, tagged: bool, bit: BitOf<'_>) -> Vec<Out> {
    let mut root = Fields::default();
    let mut order: Vec<usize> = (0..checked.len()).collect();
    // A `with` row stands before the plain rows of the same field: it is only there when its rule was taken.
    order.sort_by_key(|at| !matches!(checked[*at].group, Group::With(_)));
    for at in order.into_iter().filter(|at| !checked[*at].zero) {
        let row = &checked[at];
        let number = match row.group {
            Group::Element(each) => {
                let position = built.scope_rows[each].iter().position(|number| *number == built.numbers[at]);
                position.unwrap_or_default() as u32
            }
            _ => built.numbers[at],
        };
        for target in row.targets.iter().filter(|target| !target.hidden) {
            insert(&mut root, target, &target.steps, number);
        }
    }
    for row in checked.iter().filter(|row| row.zero) {
        for target in row.targets.iter().filter(|target| !target.hidden) {
            insert_empty(&mut root, &target.steps[..target.steps.len() - 1]);
        }
    }
    let schema = Schema::get();
    let message = schema.root();
    // Two groups the engine writes into whether or not a row does.
    for name in ["metadata", "additional"] {
        let Some(index) = message.index(name) else { continue };
        root.fields.entry(index).or_insert_with(|| match name {
            "metadata" => Below::One { whole: Vec::new(), group: Fields::default() },
            _ => Below::Rows(Vec::new()),
        });
    }
    if let Some(index) = message.index(RESULTS).filter(|_| tagged) {
        root.fields.entry(index).or_insert_with(|| Below::Many(Vec::new()));
    }
    let mut writer = Writer { out: Vec::new(), bit, log_type, tagged, built };
    writer.group(&root, message, "", None);
    writer.out
}

fn insert(group: &mut Fields, target: &Target, steps: &[Place], row: u32) {
    let Some((step, rest)) = steps.split_first() else { return };
    match (&step.element, rest.is_empty()) {
        (Some(element), _) => {
            let below = group.fields.entry(step.index).or_insert_with(|| Below::Many(Vec::new()));
            let Below::Many(elements) = below else { return };
            let at = match elements.iter().position(|(known, _)| known == element) {
                Some(at) => at,
                None => {
                    elements.push((element.clone(), Fields::default()));
                    elements.len() - 1
                }
            };
            insert(&mut elements[at].1, target, rest, row);
        }
        (None, true) if is_one_message(target.field) => {
            let below = group.fields.entry(step.index).or_insert_with(|| Below::One { whole: Vec::new(), group: Fields::default() });
            if let Below::One { whole, .. } = below {
                whole.push(row);
            }
        }
        (None, true) => {
            let below = group.fields.entry(step.index).or_insert_with(|| Below::Rows(Vec::new()));
            if let Below::Rows(rows) = below {
                rows.push((target.key.clone(), row));
            }
        }
        (None, false) => {
            let below = group.fields.entry(step.index).or_insert_with(|| Below::One { whole: Vec::new(), group: Fields::default() });
            if let Below::One { group, .. } = below {
                insert(group, target, rest, row);
            }
        }
    }
}

fn insert_empty(group: &mut Fields, steps: &[Place]) {
    let Some((step, rest)) = steps.split_first() else { return };
    let below = group.fields.entry(step.index).or_insert_with(|| match &step.element {
        Some(element) => Below::Many(vec![(element.clone(), Fields::default())]),
        None => Below::One { whole: Vec::new(), group: Fields::default() },
    });
    match below {
        Below::One { group, .. } => insert_empty(group, rest),
        Below::Many(elements) => {
            if let Some((_, group)) = elements.iter_mut().find(|(element, _)| Some(element) == step.element.as_ref()) {
                insert_empty(group, rest);
            }
        }
        Below::Rows(_) => {}
    }
}

fn is_one_message(field: &Field) -> bool {
    !field.repeated && matches!(field.kind, FieldKind::Message(_))
}

struct Writer<'a> {
    out: Vec<Out>,
    bit: BitOf<'a>,
    log_type: &'a str,
    tagged: bool,
    built: &'a Built,
}

impl Writer<'_> {
    /// The fields of one message. `inside` is set within the elements of an `each`, whose row numbers are the element's own.
    fn group(&mut self, group: &Fields, message: &'static Message, path: &str, inside: Option<usize>) {
        for (index, field) in message.fields.iter().enumerate() {
            let name = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            match name.as_str() {
                "metadata.product_log_id" => self.out.push(Out::Identity { key: key(field, "") }),
                "metadata.event_type" => self.out.push(Out::EventType { key: key(field, "") }),
                _ => {
                    if let Some(below) = group.fields.get(&index) {
                        self.field(below, field, &name, inside);
                    }
                    if name == "metadata.event_timestamp" {
                        let bit = (self.bit)("x:metadata.event_timestamp").unwrap_or(0);
                        self.out.push(Out::ReceivedTime { key: key(field, ""), bit });
                    }
                }
            }
        }
    }

    fn field(&mut self, below: &Below, field: &'static Field, path: &str, inside: Option<usize>) {
        match below {
            Below::Rows(rows) => self.rows(rows, field, path, inside),
            Below::One { whole, group } => {
                let FieldKind::Message(name) = field.kind else { return };
                if !group.fields.is_empty() || path == "metadata" || whole.is_empty() {
                    self.open(key(field, "{"), field, group, name, path, inside);
                }
                if !whole.is_empty() {
                    self.out.push(Out::Field { key: key(field, ""), rows: whole.clone().into(), form: Form::Raw });
                }
            }
            Below::Many(elements) => self.elements(elements, field, path, inside),
        }
    }

    fn open(&mut self, key: Box<[u8]>, _field: &Field, group: &Fields, message: &str, path: &str, inside: Option<usize>) {
        let Some(message) = Schema::get().message(message) else { return };
        let at = self.out.len();
        let filled = if path == "metadata" { Filled::Always } else { self.filled("c:", path, group, inside) };
        self.out.push(Out::Open { key, filled, skip: 0 });
        self.group(group, message, path, inside);
        self.out.push(Out::Close);
        self.patch(at);
    }

    fn elements(&mut self, elements: &[(Element, Fields)], field: &'static Field, path: &str, inside: Option<usize>) {
        let FieldKind::Message(name) = field.kind else { return };
        let Some(message) = Schema::get().message(name) else { return };
        let list = self.out.len();
        let filled = match inside {
            None => Filled::Bit((self.bit)(&format!("l:{path}")).unwrap_or(0)),
            Some(_) => Filled::Rows(elements.iter().flat_map(|(_, group)| rows_below(group)).collect()),
        };
        self.out.push(Out::OpenList { key: key(field, "["), filled, skip: 0 });
        for (element, group) in elements {
            let at = self.out.len();
            match element {
                Element::Named(element) => {
                    let path = format!("{path}[{element}]");
                    let filled = self.filled("c:", &path, group, inside);
                    self.out.push(Out::OpenElement { filled, skip: 0 });
                    self.group(group, message, &path, inside);
                    self.out.push(Out::Close);
                }
                Element::Each(each) => {
                    self.out.push(Out::Elements { scope: *each as u32, skip: 0 });
                    self.group(group, message, &format!("{path}[each {each}]"), Some(*each));
                }
            }
            self.patch(at);
        }
        if self.tagged && path == RESULTS {
            self.out.push(Out::Tags);
        }
        self.out.push(Out::CloseList);
        self.patch(list);
    }

    fn filled(&self, kind: &str, path: &str, group: &Fields, inside: Option<usize>) -> Filled {
        match inside {
            None => Filled::Bit((self.bit)(&format!("{kind}{path}")).unwrap_or(0)),
            Some(_) => Filled::Rows(rows_below(group).into()),
        }
    }

    fn rows(&mut self, rows: &[(Option<String>, u32)], field: &Field, path: &str, inside: Option<usize>) {
        let numbers: Box<[u32]> = rows.iter().map(|(_, row)| *row).collect();
        let entries = || rows.iter().map(|(key, row)| (label(key.as_deref()), *row)).collect();
        if field.is_label_list() {
            self.out.push(Out::Labels { key: key(field, "["), entries: entries() });
        } else if matches!(field.kind, FieldKind::Struct | FieldKind::Map(_)) {
            let at = self.out.len();
            let is_root = path == "additional";
            let filled = if is_root { Filled::Always } else { Filled::Rows(numbers) };
            self.out.push(Out::Open { key: key(field, "{"), filled, skip: 0 });
            if is_root {
                let mut text = b"\"log_type\":".to_vec();
                json_string(self.log_type.as_bytes(), &mut text);
                self.out.push(Out::Literal { text: text.into() });
            }
            self.out.push(Out::Entries { entries: entries() });
            if is_root {
                self.out.push(Out::Extras);
            }
            self.out.push(Out::Close);
            self.patch(at);
        } else if field.repeated {
            self.out.push(Out::List { key: key(field, "["), rows: numbers, form: form(field) });
        } else if let Some(text) = self.literal(&numbers, field).filter(|_| inside.is_none()) {
            self.out.push(Out::Literal { text });
        } else {
            self.out.push(Out::Field { key: key(field, ""), rows: numbers, form: form(field) });
        }
    }

    /// The finished member of a row whose constant stands in every event.
    fn literal(&self, rows: &[u32], field: &Field) -> Option<Box<[u8]>> {
        let [row] = rows else { return None };
        if !self.built.literals.contains(row) {
            return None;
        }
        let Input::Constant(constant) = &self.built.ops[*row as usize].input else { return None };
        let mut text = key(field, "").into_vec();
        match constant {
            Constant::Text(bytes) => json_string(bytes, &mut text),
            Constant::Raw(bytes) => text.extend_from_slice(bytes),
            Constant::Scalar(value) => {
                // A mapping's own number or word; only texts of a record are private.
                json_scalar(*value, form(field), &[], &mut text);
            }
        }
        Some(text.into())
    }

    /// Lets the opening instruction at `at` jump here.
    fn patch(&mut self, at: usize) {
        let here = self.out.len() as u32;
        match &mut self.out[at] {
            Out::Open { skip, .. } | Out::OpenList { skip, .. } | Out::OpenElement { skip, .. } | Out::Elements { skip, .. } => {
                *skip = here
            }
            _ => {}
        }
    }
}

fn rows_below(group: &Fields) -> Vec<u32> {
    let mut rows = Vec::new();
    for below in group.fields.values() {
        match below {
            Below::Rows(list) => rows.extend(list.iter().map(|(_, row)| *row)),
            Below::One { whole, group } => {
                rows.extend(whole);
                rows.extend(rows_below(group));
            }
            Below::Many(elements) => rows.extend(elements.iter().flat_map(|(_, group)| rows_below(group))),
        }
    }
    rows
}

fn label(key: Option<&str>) -> LabelKey {
    match key {
        None | Some("*") => LabelKey::Own,
        Some(key) => {
            let mut quoted = Vec::new();
            json_string(key.as_bytes(), &mut quoted);
            LabelKey::Fixed(quoted.into())
        }
    }
}

fn key(field: &Field, bracket: &str) -> Box<[u8]> {
    format!("\"{}\":{bracket}", field.json).into_bytes().into()
}

fn form(field: &Field) -> Form {
    match field.kind {
        FieldKind::Int32 | FieldKind::UInt32 | FieldKind::Float | FieldKind::Double => Form::Number,
        FieldKind::Int64 | FieldKind::UInt64 => Form::Long,
        FieldKind::Bool => Form::Bool,
        FieldKind::Message(_) => Form::Raw,
        _ => Form::Text,
    }
}
