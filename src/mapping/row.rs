//! One row, one named value: where a value comes from, what is done to it, where it goes.

use super::condition;
use super::diagnostic::{Diagnostic, nearest};
use super::node::{Faults, Node, Object};
use super::path::{self, Names};
use super::table::{Call, Constant, NamedValue, Row, Source, SourcePath, Span, TargetPath, TemplatePart};

const SOURCES: [&str; 5] = ["from", "value", "template", "sum", "difference"];
const VALUE_KEYS: [&str; 10] = ["from", "value", "template", "sum", "difference", "as", "default", "when", "replace", "remove"];
const ROW_KEYS: [&str; 12] =
    ["from", "value", "template", "sum", "difference", "as", "default", "when", "to", "fallback", "replace", "remove"];

/// A row and what it does to the layers below.
#[derive(Debug)]
pub(super) struct LayeredRow {
    /// The row; of one that removes only the targets mean something.
    pub row: Row,
    /// `replace = true`
    pub replaces: bool,
    /// `remove = true`
    pub removes: bool,
}

/// Reads one line of `rows`.
pub(super) fn read(node: Node<'_>, names: &Names, faults: &mut Faults) -> Option<LayeredRow> {
    let object = node.object(faults)?;
    object.check_keys("a row", &ROW_KEYS, faults);
    let (replaces, removes) = (object.flag("replace", faults), object.flag("remove", faults));
    let targets = targets(&object, names, faults);
    if removes {
        let other = object.entries.iter().find(|(key, _, _)| ROW_KEYS.contains(key) && !["to", "remove"].contains(key));
        if let Some((key, place, _)) = other {
            let fault = Diagnostic::error("M002", *place, format!("a row that removes takes no `{key}`"));
            faults.push(fault.help("a row that removes has `to` and `remove = true`"));
        }
    }
    let source = if removes { Some(Source::From(Vec::new())) } else { source(&object, "a row", names, faults) };
    let row = Row {
        chain: chain(&object, faults),
        targets: targets?,
        when: object.get("when").and_then(|when| condition::read(when, names, faults)),
        default: object.get("default").and_then(|node| node.constant(faults)),
        fallback: object.flag("fallback", faults),
        span: node.span,
        source: source?,
    };
    Some(LayeredRow { row, replaces, removes })
}

fn targets(object: &Object<'_>, names: &Names, faults: &mut Faults) -> Option<Vec<TargetPath>> {
    let node = object.need("to", "a row", faults)?;
    let before = faults.list.len();
    let mut found: Vec<TargetPath> = Vec::new();
    for (node, text) in node.texts(faults) {
        match path::target(text, node.span, names) {
            Ok(path) if found.iter().any(|other| other.text == path.text) => {
                faults.push(Diagnostic::error("M029", node.span, format!("`{text}` stands in this row twice")));
            }
            Ok(path) => found.push(path),
            Err(fault) => faults.path(node, fault),
        }
    }
    if found.is_empty() && faults.list.len() == before {
        faults.push(Diagnostic::error("M003", node.span, "a row needs a target"));
    }
    (!found.is_empty()).then_some(found)
}

/// Reads the value of `[values] NAME = { .. }`.
pub(super) fn named_value(name: &str, node: Node<'_>, names: &Names, faults: &mut Faults) -> Option<NamedValue> {
    let object = node.object(faults)?;
    object.check_keys("a named value", &VALUE_KEYS, faults);
    Some(NamedValue {
        name: name.to_owned(),
        source: source(&object, "a named value", names, faults)?,
        chain: chain(&object, faults),
        default: object.get("default").and_then(|node| node.constant(faults)),
        when: object.get("when").and_then(|when| condition::read(when, names, faults)),
        span: node.span,
    })
}

fn source(object: &Object<'_>, what: &str, names: &Names, faults: &mut Faults) -> Option<Source> {
    let given: Vec<_> = object.entries.iter().filter(|(key, _, _)| SOURCES.contains(key)).collect();
    let [(key, _, node)] = given[..] else {
        // A misspelt source was reported as such.
        if given.is_empty()
            && object.entries.iter().any(|(key, _, _)| nearest(key, VALUE_KEYS).is_some_and(|near| near != *key && SOURCES.contains(&near)))
        {
            return None;
        }
        let (place, message) = match given.get(1) {
            Some((key, place, _)) => (*place, format!("{what} takes one source, and `{key}` is the second")),
            None => (object.span, format!("{what} has no source")),
        };
        faults.push(Diagnostic::error("M012", place, message));
        return None;
    };
    match *key {
        "value" => node.constant(faults).map(Source::Value),
        "template" => template(*node, names, faults),
        "sum" => source_paths(*node, names, faults).map(Source::Sum),
        "difference" => {
            let paths = source_paths(*node, names, faults)?;
            match <[SourcePath; 2]>::try_from(paths) {
                Ok([first, second]) => Some(Source::Difference(first, second)),
                Err(paths) => {
                    let message = format!("`difference` takes two source paths, found {}", paths.len());
                    faults.push(Diagnostic::error("M004", node.span, message));
                    None
                }
            }
        }
        _ => source_paths(*node, names, faults).map(Source::From),
    }
}

/// Reads one source path or a list; a root gives all its paths in its place.
pub(super) fn source_paths(node: Node<'_>, names: &Names, faults: &mut Faults) -> Option<Vec<SourcePath>> {
    let before = faults.list.len();
    let mut found = Vec::new();
    for (node, text) in node.texts(faults) {
        match path::sources(text, node.span, names) {
            Ok(paths) => found.extend(paths),
            Err(fault) => faults.path(node, fault),
        }
    }
    if found.is_empty() && faults.list.len() == before {
        faults.push(Diagnostic::error("M006", node.span, "a list of source paths is empty"));
    }
    (faults.list.len() == before).then_some(found)
}

/// `{path}` is a hole, `{{` and `}}` are the braces themselves.
fn template(node: Node<'_>, names: &Names, faults: &mut Faults) -> Option<Source> {
    let whole = node.text(faults)?;
    let fault = |at: usize, len: usize, message: &str| Diagnostic::error("M013", node.inner(at, len), message);
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while let Some(found) = whole[at..].find(['{', '}']) {
        let brace = at + found;
        text.push_str(&whole[at..brace]);
        let rest = &whole[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            text.push_str(&rest[..1]);
            at = brace + 2;
            continue;
        }
        if rest.starts_with('}') {
            faults.push(fault(brace, 1, "this brace closes nothing"));
            return None;
        }
        let Some(end) = rest.find('}') else {
            faults.push(fault(brace, rest.len(), "this hole is not closed"));
            return None;
        };
        if !text.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut text)));
        }
        let hole = &rest[1..end];
        match path::source(hole, node.span, names) {
            Ok(path) => parts.push(TemplatePart::Hole(path)),
            Err(mut found) => {
                found.at += brace + 1;
                faults.path(node, found);
                return None;
            }
        }
        at = brace + end + 1;
    }
    text.push_str(&whole[at..]);
    if !text.is_empty() {
        parts.push(TemplatePart::Text(text));
    }
    if !parts.iter().any(|part| matches!(part, TemplatePart::Hole(_))) {
        faults.push(Diagnostic::error("M013", node.span, "a template without a hole is a constant").help("write `value` instead"));
        return None;
    }
    Some(Source::Template(parts))
}

fn chain(object: &Object<'_>, faults: &mut Faults) -> Vec<Call> {
    let nodes = object.get("as").map_or_else(Vec::new, |node| node.one_or_many());
    nodes.into_iter().filter_map(|node| call(node, faults)).collect()
}

/// `"name"`, or a table whose first key is the name.
fn call(node: Node<'_>, faults: &mut Faults) -> Option<Call> {
    if let Some(name) = node.as_text() {
        return Some(Call { name: name.to_owned(), args: Vec::new(), span: node.span });
    }
    if !node.is_table() {
        return node.expected("a converter's name or a table", faults);
    }
    let object = node.object(faults)?;
    let Some((name, _, _)) = object.entries.first() else {
        faults.push(Diagnostic::error("M003", node.span, "a converter needs a name"));
        return None;
    };
    let argument = |(at, (key, _, node)): (usize, &(&str, Span, Node<'_>))| -> Option<(String, Constant)> {
        let key = if at == 0 { String::new() } else { (*key).to_owned() };
        Some((key, node.constant(faults)?))
    };
    let args = object.entries.iter().enumerate().filter_map(argument).collect();
    Some(Call { name: (*name).to_owned(), args, span: node.span })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::diagnostic::Files;
    use crate::mapping::table::Condition;

    /// Reads one row written as TOML; gives the row or the codes of its faults.
    fn row(text: &str) -> Result<Row, Vec<&'static str>> {
        let mut files = Files::new();
        let head = "[mapping]\nlog_type = \"X\"\n[match]\nshape = \"azure\"\n[values]\nv = { from = \"x\" }\n";
        files.add_built_in("t.toml", &format!("{head}[fields]\nrows = [\n{text}\n]\n"));
        match crate::mapping::read(&files, "t", None) {
            Ok(mut table) => Ok(table.rows.remove(0)),
            Err(faults) => Err(faults.iter().map(|fault| fault.code).collect()),
        }
    }

    #[test]
    fn templates() {
        let parts = |text: &str| row(&format!("{{ template = '{text}', to = \"a\" }}")).map(|row| format!("{:?}", shape(&row.source)));
        fn shape(source: &Source) -> Vec<String> {
            let Source::Template(parts) = source else { return Vec::new() };
            let one = |part: &TemplatePart| match part {
                TemplatePart::Text(text) => text.clone(),
                TemplatePart::Hole(path) => format!("<{}>", path.text),
            };
            parts.iter().map(one).collect()
        }
        for (text, expected) in [
            ("{a.b}/{$v}", Ok(r#"["<a.b>", "/", "<$v>"]"#)),
            ("x {a} y", Ok(r#"["x ", "<a>", " y"]"#)),
            ("{{{a}}}", Ok(r#"["{", "<a>", "}"]"#)),
            ("plain", Err(vec!["M013"])),
            ("{a", Err(vec!["M013"])),
            ("a}", Err(vec!["M013"])),
            ("{a b}", Err(vec!["M006"])),
            ("{$w}", Err(vec!["M008"])),
        ] {
            assert_eq!(parts(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn converters_keep_the_order_of_their_chain() {
        let found = row(r#"{ from = ["a", "b"], to = "x", as = ["lower", { lookup = "t", column = "c", n = 2 }], default = 7 }"#)
            .expect("it reads");
        assert_eq!(found.chain.len(), 2);
        assert_eq!(found.chain[0].name, "lower");
        assert_eq!(found.chain[1].name, "lookup");
        let expected = [("", Constant::Text("t".into())), ("column", Constant::Text("c".into())), ("n", Constant::Int(2))];
        assert_eq!(found.chain[1].args, expected.map(|(key, value)| (key.to_owned(), value)));
        assert_eq!(found.default, Some(Constant::Int(7)));
        assert!(matches!(found.source, Source::From(paths) if paths.len() == 2));
    }

    #[test]
    fn rows_that_cannot_be_read() {
        for (text, codes) in [
            (r#"{ from = "a" }"#, vec!["M003"]),
            (r#"{ to = "x" }"#, vec!["M012"]),
            (r#"{ from = "a", value = 1, to = "x" }"#, vec!["M012"]),
            (r#"{ from = [], to = "x" }"#, vec!["M006"]),
            (r#"{ difference = ["a"], to = "x" }"#, vec!["M004"]),
            (r#"{ from = 7, to = "x" }"#, vec!["M004"]),
            (r#"{ from = "a", to = ["x", "x"] }"#, vec!["M029"]),
            (r#"{ from = "a", to = "x", as = 3 }"#, vec!["M004"]),
            (r#"{ from = "a", to = "x", as = { lookup = ["t"] } }"#, vec!["M004"]),
            (r#"{ from = "a", to = "x", wehn = { record_has = "b" }, fallback = "yes" }"#, vec!["M002", "M004"]),
            (r#"{ remove = true, to = "x", from = "a" }"#, vec!["M022", "M002"]),
        ] {
            assert_eq!(row(text).map(|_| ()).expect_err(text), codes, "{text}");
        }
    }

    #[test]
    fn conditions() {
        let when = |text: &str| {
            row(&format!("{{ from = \"a\", to = \"x\", when = {text} }}")).map(|row| format!("{:?}", brief(&row.when.expect("it has one"))))
        };
        fn brief(condition: &Condition) -> String {
            let list = |list: &[Condition]| list.iter().map(brief).collect::<Vec<_>>().join(" ");
            match condition {
                Condition::All(of) => format!("all({})", list(of)),
                Condition::Any(of) => format!("any({})", list(of)),
                Condition::Not(of) => format!("not({})", brief(of)),
                Condition::RecordHas(path) => format!("has {}", path.text),
                Condition::Record(path, test) => format!("{} {test:?}", path.text),
                Condition::EventHas(path) => format!("event {}", path.text),
            }
        }
        for (text, expected) in [
            (r#"{ record_has = ["a", "b"] }"#, Ok("all(has a has b)")),
            (r#"{ record_equals = { "$v" = "X" } }"#, Ok(r#"$v In(["x"])"#)),
            (r#"{ record_equals = { a = 200, b = true } }"#, Ok(r#"all(a In(["200"]) b In(["true"]))"#)),
            (r#"{ record_in = { a = ["X", 2] } }"#, Ok(r#"a In(["x", "2"])"#)),
            (r#"{ record_between = { a = [200, 299] } }"#, Ok("a Between(200.0, 299.0)")),
            (
                r#"{ any = [ { record_prefix = { a = "B" } }, { not = { event_has = "target.user" } } ] }"#,
                Ok(r#"any(a Prefix(["b"]) not(event target.user))"#),
            ),
            (r#"{ record_matches = { a = "^x$" } }"#, Ok(r#"a Matches(Regex("^x$"))"#)),
            ("{ }", Err(vec!["M015"])),
            ("{ any = [] }", Err(vec!["M015"])),
            ("{ record_in = { a = [] } }", Err(vec!["M015"])),
            (r#"{ record_equal = { a = "b" } }"#, Err(vec!["M002"])),
            (r#"{ record_equals = { a.b = "c" } }"#, Err(vec!["M004"])),
            (r#"{ record_equals = { a = ["b"] } }"#, Err(vec!["M004"])),
            (r#"{ record_matches = { a = "(" } }"#, Err(vec!["M016"])),
            (r#"{ record_matches = { a = "(?=x)" } }"#, Err(vec!["M016"])),
            ("{ record_between = { a = [3, 1] } }", Err(vec!["M028"])),
            ("{ record_between = { a = [3] } }", Err(vec!["M004"])),
        ] {
            assert_eq!(when(text), expected.map(|text| format!("{text:?}")), "{text}");
        }
    }
}
