//! Conditions: `when` of a row, a rule, a skip.

use regex::bytes::RegexBuilder;

use super::diagnostic::Diagnostic;
use super::node::{Faults, Node, constant_text};
use super::path::{self, Names};
use super::table::{Condition, SourcePath, Test};

const KEYS: [&str; 12] = [
    "record_has",
    "record_equals",
    "record_in",
    "record_prefix",
    "record_suffix",
    "record_contains",
    "record_matches",
    "record_between",
    "event_has",
    "all",
    "any",
    "not",
];

/// Largest compiled size of one pattern in bytes: a mapping's pattern stays far below, a runaway repetition does not.
const PATTERN_BYTES: usize = 1 << 20;

/// Reads a condition; a fault gives `None`, and whatever else is wrong in it was reported too.
pub(super) fn read(node: Node<'_>, names: &Names, faults: &mut Faults) -> Option<Condition> {
    let object = node.object(faults)?;
    object.check_keys("a condition", &KEYS, faults);
    if object.entries.is_empty() {
        faults.push(Diagnostic::error("M015", node.span, "a condition without a test holds always"));
    }
    let mut all = Vec::new();
    for (key, _, node) in &object.entries {
        match *key {
            "all" => all.push(Condition::All(list(*node, names, faults))),
            "any" => all.push(Condition::Any(list(*node, names, faults))),
            "not" => all.extend(read(*node, names, faults).map(|inner| Condition::Not(Box::new(inner)))),
            "event_has" => all.extend(event_has(*node, names, faults)),
            "record_has" => {
                for (node, text) in texts(*node, faults) {
                    all.extend(any_of(node, text, names, faults, &Condition::RecordHas));
                }
            }
            key if KEYS.contains(&key) => all.extend(comparisons(key, *node, names, faults)),
            _ => {}
        }
    }
    Some(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
}

/// A condition that holds when both do; one level, so that what tells conditions apart stays visible.
pub(super) fn both(first: Option<Condition>, second: Option<Condition>) -> Option<Condition> {
    let parts = |condition| match condition {
        Condition::All(parts) => parts,
        other => vec![other],
    };
    match (first, second) {
        (Some(first), Some(second)) => Some(Condition::All(parts(first).into_iter().chain(parts(second)).collect())),
        (one, None) | (None, one) => one,
    }
}

fn list(node: Node<'_>, names: &Names, faults: &mut Faults) -> Vec<Condition> {
    let nodes = node.list(faults);
    if nodes.is_empty() && node.is_list() {
        faults.push(Diagnostic::error("M015", node.span, "an empty list tests nothing"));
    }
    nodes.into_iter().filter_map(|node| read(node, names, faults)).collect()
}

fn texts<'a>(node: Node<'a>, faults: &mut Faults) -> Vec<(Node<'a>, &'a str)> {
    if node.is_list() && node.one_or_many().is_empty() {
        faults.push(Diagnostic::error("M015", node.span, "an empty list tests nothing"));
    }
    node.texts(faults)
}

fn event_has(node: Node<'_>, names: &Names, faults: &mut Faults) -> Vec<Condition> {
    let mut found = Vec::new();
    for (node, text) in texts(node, faults) {
        match path::target(text, node.span, names) {
            Ok(path) => found.push(Condition::EventHas(path)),
            Err(fault) => faults.path(node, fault),
        }
    }
    found
}

/// A root stands for several paths: the condition holds when it holds for one of them.
fn any_of(node: Node<'_>, text: &str, names: &Names, faults: &mut Faults, make: &dyn Fn(SourcePath) -> Condition) -> Option<Condition> {
    match path::sources(text, node.span, names) {
        Ok(mut paths) if paths.len() == 1 => paths.pop().map(make),
        Ok(paths) => Some(Condition::Any(paths.into_iter().map(make).collect())),
        Err(fault) => {
            faults.path(node, fault);
            None
        }
    }
}

/// `record_equals = { path = "text", .. }` and its kin: every member must hold.
fn comparisons(key: &str, node: Node<'_>, names: &Names, faults: &mut Faults) -> Vec<Condition> {
    let Some(object) = node.object(faults) else { return Vec::new() };
    if object.entries.is_empty() {
        faults.push(Diagnostic::error("M015", node.span, format!("`{key}` compares nothing")));
    }
    let mut found = Vec::new();
    for (text, place, value) in &object.entries {
        let test = test(key, *value, faults);
        let paths = match path::sources(text, *place, names) {
            Ok(paths) => paths,
            Err(fault) => {
                let mut diagnostic = Diagnostic::error(fault.code, *place, fault.message);
                if let Some((word, known)) = fault.unknown {
                    diagnostic = diagnostic.suggest(&word, known.iter().map(String::as_str));
                }
                faults.push(diagnostic);
                continue;
            }
        };
        let Some(test) = test else { continue };
        let mut each: Vec<Condition> = paths.into_iter().map(|path| Condition::Record(path, test.clone())).collect();
        found.extend(if each.len() == 1 { each.pop() } else { Some(Condition::Any(each)) });
    }
    found
}

fn test(key: &str, value: Node<'_>, faults: &mut Faults) -> Option<Test> {
    // A bare dotted key makes TOML nest tables; comparisons never take a table, so this is what happened.
    if value.is_table() {
        let fault = Diagnostic::error("M004", value.span, "a text or a number is expected, found a table");
        faults.push(fault.help("put a path with dots in quotes: `{ \"a.b\" = \"x\" }`"));
        return None;
    }
    match key {
        "record_between" => between(value, faults),
        "record_matches" => pattern(value, value.text(faults)?, faults).map(Test::Matches),
        "record_equals" => {
            if value.is_list() {
                let fault = Diagnostic::error("M004", value.span, "one text or number is expected, found a list");
                faults.push(fault.help("`record_in` takes a list"));
                return None;
            }
            Some(Test::In(words(value, faults)))
        }
        _ => {
            let words = words(value, faults);
            if words.is_empty() {
                faults.push(Diagnostic::error("M015", value.span, "an empty list tests nothing"));
                return None;
            }
            Some(match key {
                "record_in" => Test::In(words),
                "record_prefix" => Test::Prefix(words),
                "record_suffix" => Test::Suffix(words),
                _ => Test::Contains(words),
            })
        }
    }
}

fn words(value: Node<'_>, faults: &mut Faults) -> Vec<String> {
    let constants: Vec<_> = value.one_or_many().into_iter().filter_map(|node| node.constant(faults)).collect();
    constants.iter().map(|constant| constant_text(constant).to_ascii_lowercase()).collect()
}

fn between(value: Node<'_>, faults: &mut Faults) -> Option<Test> {
    let numbers: Vec<f64> = value.list(faults).into_iter().filter_map(|node| node.number(faults)).collect();
    match numbers[..] {
        [low, high] if low <= high => Some(Test::Between(low, high)),
        [low, high] => {
            faults.push(Diagnostic::error("M028", value.span, format!("no number lies between {low} and {high}")));
            None
        }
        _ if value.is_list() => {
            faults.push(Diagnostic::error("M004", value.span, "two numbers are expected: `[200, 299]`"));
            None
        }
        _ => None,
    }
}

/// Compiles a pattern that ignores case.
pub(super) fn pattern(node: Node<'_>, text: &str, faults: &mut Faults) -> Option<regex::bytes::Regex> {
    match compile(text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            faults.push(Diagnostic::error("M016", node.span, format!("the pattern cannot be compiled: {why}")));
            None
        }
    }
}

/// Compiles a pattern that ignores case; the error is the last line of the library's answer, which says what is wrong.
pub(super) fn compile(text: &str) -> Result<regex::bytes::Regex, String> {
    let built = RegexBuilder::new(text).case_insensitive(true).size_limit(PATTERN_BYTES).build();
    built.map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
    })
}
