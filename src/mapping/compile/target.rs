//! Target paths against the UDM schema, and the bits that stand for them.

use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::table::{Element, TargetPath};
use crate::udm::{Field, FieldKind, Message, Schema};
use std::collections::HashMap;

/// A target path that the schema knows.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Steps from the root: position of the field in its message, and the element for repeated messages.
    pub steps: Vec<Place>,
    /// The last field.
    pub field: &'static Field,
    /// The label or member key.
    pub key: Option<String>,
    /// The path with elements and key, `security_result[policy].rule_id`: one place of the output.
    pub exact: String,
    /// The path without elements: what requirements speak of.
    pub generic: String,
    /// The `each` whose elements it writes to.
    pub each: Option<usize>,
    /// A site leaves the field out, but tags ask for its value: the row runs and neither writes nor fills anything.
    pub hidden: bool,
}

/// One step of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Index in the message's fields.
    pub index: usize,
    pub field: &'static str,
    /// Of a repeated message.
    pub element: Option<Element>,
}

impl Target {
    /// The exact paths of the messages on the way, outermost first.
    pub fn ancestors(&self) -> Vec<String> {
        (1..self.steps.len()).map(|len| exact(&self.steps[..len])).collect()
    }

    /// The generic paths of the messages on the way.
    pub fn generic_ancestors(&self) -> Vec<String> {
        (1..self.steps.len()).map(|len| generic(&self.steps[..len])).collect()
    }

    pub fn is_label(&self) -> bool {
        self.field.is_label_list()
    }
}

fn exact(steps: &[Place]) -> String {
    let mut text = String::new();
    for step in steps {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(step.field);
        match &step.element {
            Some(Element::Named(name)) => {
                text.push('[');
                text.push_str(name);
                text.push(']');
            }
            Some(Element::Each(at)) => text.push_str(&format!("[each {at}]")),
            None => {}
        }
    }
    text
}

fn generic(steps: &[Place]) -> String {
    steps.iter().map(|step| step.field).collect::<Vec<_>>().join(".")
}

/// Resolves a target path.
///
/// # Errors
///
/// One diagnostic: unknown field, platform-only field, list or scalar clash, key missing or too much.
pub(super) fn resolve(path: &TargetPath) -> Result<Target, Box<Diagnostic>> {
    let target = resolve_any(path)?;
    check_form(path, target.field)?;
    Ok(target)
}

/// Resolves a path that is only asked about: lists and pairs need no bracket there.
pub(super) fn resolve_any(path: &TargetPath) -> Result<Target, Box<Diagnostic>> {
    let schema = Schema::get();
    let fault = |code, message: String| Box::new(Diagnostic::error(code, path.span, message));
    let mut message: &'static Message = schema.root();
    let mut steps: Vec<Place> = Vec::new();
    let mut last: Option<&'static Field> = None;
    let mut each = None;
    for segment in &path.segments {
        if let Some(above) = last {
            let FieldKind::Message(name) = above.kind else {
                return Err(fault("M030", format!("`{}` is no message, so it has no field `{}`", generic(&steps), segment.field)));
            };
            message = schema.message(name).ok_or_else(|| fault("M030", format!("UDM has no message `{name}`")))?;
        }
        let Some(index) = message.index(&segment.field) else {
            let known = message.fields.iter().map(|field| field.name);
            let message = format!("UDM message `{}` has no field `{}`", message.name, segment.field);
            return Err(Box::new(Diagnostic::error("M030", path.span, message).suggest(&segment.field, known)));
        };
        let field = &message.fields[index];
        if let Some(why) = field.platform_only {
            return Err(fault("M033", format!("`{}` is filled by the platform only: {why}", path.text)));
        }
        let is_list_of_messages = field.repeated && matches!(field.kind, FieldKind::Message(_)) && !field.is_label_list();
        let element = match (&segment.element, is_list_of_messages) {
            (Some(_), false) => return Err(fault("M034", format!("`{}` is no list of messages, so it has no element", segment.field))),
            (Some(element), true) => Some(element.clone()),
            (None, true) => Some(Element::Named(String::new())),
            (None, false) => None,
        };
        if let Some(Element::Each(at)) = &element {
            each = Some(*at);
        }
        steps.push(Place { index, field: field.name, element });
        last = Some(field);
    }
    let Some(field) = last else { return Err(fault("M030", "the target path is empty".to_owned())) };
    let (mut exact_path, generic_path) = (exact(&steps), generic(&steps));
    if let Some(key) = &path.key {
        exact_path.push_str(&format!("{{{key}}}"));
    }
    Ok(Target { steps, field, key: path.key.clone(), exact: exact_path, generic: generic_path, each, hidden: false })
}

fn check_form(path: &TargetPath, field: &Field) -> Result<(), Box<Diagnostic>> {
    let fault = |code, message: String, help: &str| Err(Box::new(Diagnostic::error(code, path.span, message).help(help)));
    let takes_key = field.is_label_list() || matches!(field.kind, FieldKind::Struct | FieldKind::Map(_));
    let text = &path.text;
    if takes_key {
        return match path.key {
            Some(_) if path.appends => fault("M034", format!("`{text}` has a key and `[]`"), "leave `[]` out"),
            Some(_) => Ok(()),
            None => fault("M035", format!("`{text}` holds pairs and needs a key"), "write it as `path{key}`"),
        };
    }
    if path.key.is_some() {
        return fault("M035", format!("`{text}` has a key, but the field holds no pairs"), "leave the key out");
    }
    let is_message = matches!(field.kind, FieldKind::Message(_));
    match (field.repeated && !is_message, path.appends) {
        (true, false) => fault("M034", format!("`{text}` is a list"), "append to it: end the path in `[]`"),
        (false, true) => fault("M034", format!("`{text}` is no list"), "leave `[]` out"),
        _ => Ok(()),
    }
}

/// Numbers for target bits, by name: `x:` one exact place, `c:` something was written below that message, `g:` the generic path is
/// filled, `p:` the message is present, though empty.
#[derive(Debug, Default)]
pub(super) struct Bits {
    numbers: HashMap<String, u32>,
}

impl Bits {
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }
}
