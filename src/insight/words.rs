//! Parts of a mapping in words: sources, converters, conditions.

use crate::mapping::Files;
use crate::mapping::table::{Call, Condition, Constant, Source, SourcePath, Test};

/// A constant as a mapping would write it.
pub fn constant(constant: &Constant) -> String {
    match constant {
        Constant::Text(text) => format!("\"{text}\""),
        Constant::Int(number) => number.to_string(),
        Constant::Float(number) => number.to_string(),
        Constant::Bool(is_true) => is_true.to_string(),
    }
}

/// The words of a source, each on its own: paths as written (a root as `@name.path`, not its expansions), constants in quotes.
pub fn source(source: &Source, files: &Files) -> Vec<String> {
    match source {
        Source::From(paths) => written(paths, files),
        Source::Value(value) => vec![constant(value)],
        Source::Template(parts) => {
            use crate::mapping::table::TemplatePart::{Hole, Text};
            let text = parts.iter().map(|part| match part {
                Text(text) => text.clone(),
                Hole(path) => format!("{{{}}}", path.text),
            });
            vec![format!("\"{}\"", text.collect::<String>())]
        }
        Source::Sum(paths) => vec![written(paths, files).join(" + ")],
        Source::Difference(first, second) => vec![format!("{} − {}", first.text, second.text)],
    }
}

/// All paths of a source, expanded.
pub fn paths(source: &Source) -> Vec<&SourcePath> {
    match source {
        Source::From(paths) | Source::Sum(paths) => paths.iter().collect(),
        Source::Value(_) => Vec::new(),
        Source::Template(parts) => parts
            .iter()
            .filter_map(|part| match part {
                crate::mapping::table::TemplatePart::Hole(path) => Some(path),
                crate::mapping::table::TemplatePart::Text(_) => None,
            })
            .collect(),
        Source::Difference(first, second) => vec![first, second],
    }
}

/// Paths as they stand in the file. A root's expansions share one place, so they become one word again.
pub fn written(paths: &[SourcePath], files: &Files) -> Vec<String> {
    let mut words = Vec::new();
    let mut last = None;
    for path in paths {
        match root(path, files) {
            Some(root) if last == Some(path.span) => debug_assert_eq!(words.last().map(String::as_str), Some(root)),
            Some(root) => words.push(root.to_owned()),
            None => words.push(path.text.clone()),
        }
        last = Some(path.span);
    }
    words
}

/// `@name.path` when the path is one of a root's expansions.
pub fn root<'a>(path: &SourcePath, files: &'a Files) -> Option<&'a str> {
    let text = files.get(path.span.file)?.text.get(path.span.start as usize..path.span.end as usize)?;
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''));
    let bare = quote.and_then(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text);
    bare.starts_with('@').then_some(bare)
}

/// One converter call: `lower`, `lookup outcome: action`, `regex "…", group 1`.
pub fn call(call: &Call) -> String {
    let mut text = call.name.clone();
    for (at, (name, value)) in call.args.iter().enumerate() {
        let value = match value {
            // The name of a look-up or of one of its columns reads better bare.
            Constant::Text(text) if call.name == "lookup" => text.clone(),
            other => constant(other),
        };
        match (at, name.as_str()) {
            (_, "") => text.push_str(&format!(" {value}")),
            (_, "column") if call.name == "lookup" => text.push_str(&format!(": {value}")),
            (_, name) => text.push_str(&format!(", {name} {value}")),
        }
    }
    text
}

/// A condition as one sentence part. Paths and texts stand between `quote`s.
pub fn condition(condition: &Condition, files: &Files, quote: &str) -> String {
    told(condition, files, quote, false)
}

fn told(condition: &Condition, files: &Files, quote: &str, is_inner: bool) -> String {
    let several = |list: &[Condition], word: &str| {
        let parts: Vec<String> = list.iter().map(|one| told(one, files, quote, list.len() > 1)).collect();
        let text = parts.join(word);
        if is_inner && list.len() > 1 { format!("({text})") } else { text }
    };
    match condition {
        Condition::All(list) => several(list, " and "),
        Condition::Any(list) => match same_test(list) {
            // A root's expansions: one test of several paths.
            Some((paths, test)) => {
                let name = root(paths[0], files).unwrap_or(&paths[0].text);
                format!("{quote}{name}{quote} {}", test.map_or_else(|| "is present".to_owned(), |test| compared(test, quote)))
            }
            None => several(list, " or "),
        },
        Condition::Not(one) => match &**one {
            Condition::RecordHas(path) => format!("{quote}{}{quote} is absent", path.text),
            other => format!("not ({})", told(other, files, quote, false)),
        },
        Condition::RecordHas(path) => format!("{quote}{}{quote} is present", path.text),
        Condition::Record(path, test) => format!("{quote}{}{quote} {}", path.text, compared(test, quote)),
        Condition::EventHas(path) => format!("the event has {quote}{}{quote}", path.text),
    }
}

/// The paths of a list that asks one thing of several paths standing at one place of the file.
fn same_test(list: &[Condition]) -> Option<(Vec<&SourcePath>, Option<&Test>)> {
    let mut paths: Vec<&SourcePath> = Vec::new();
    let mut found = None;
    for one in list {
        let (path, test) = match one {
            Condition::RecordHas(path) => (path, None),
            Condition::Record(path, test) => (path, Some(test)),
            _ => return None,
        };
        if paths.first().is_some_and(|first| first.span != path.span) {
            return None;
        }
        found = test;
        paths.push(path);
    }
    (paths.len() > 1).then_some((paths, found))
}

fn compared(test: &Test, quote: &str) -> String {
    let list = |words: &[String]| words.iter().map(|word| format!("{quote}{word}{quote}")).collect::<Vec<_>>().join(", ");
    let one_of = |verb: &str, words: &[String]| match words {
        [_] => format!("{verb} {}", list(words)),
        _ => format!("{verb} one of {}", list(words)),
    };
    match test {
        Test::In(words) => one_of("is", words),
        Test::Prefix(words) => one_of("begins with", words),
        Test::Suffix(words) => one_of("ends in", words),
        Test::Contains(words) => one_of("contains", words),
        Test::Matches(pattern) => format!("matches {quote}{}{quote}", pattern.as_str()),
        Test::Between(from, to) => format!("lies in {from} to {to}"),
    }
}

/// Text without control characters, so that nothing a log says writes to a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(when: &str) -> String {
        let mut files = Files::new();
        let text = format!(
            "[mapping]\nlog_type = \"X\"\n[match]\nshape = \"azure\"\n[roots]\np = [\"a\", \"b>json\"]\n[fields]\nrows = [\n\
             {{ from = [\"@p.x\", \"y\"], to = \"target.hostname\", when = {when} }}\n]\n"
        );
        files.add_built_in("t.toml", &text);
        let table = crate::mapping::read(&files, "t", None).expect("it reads");
        condition(table.rows[0].when.as_ref().expect("a condition"), &files, "`")
    }

    #[test]
    fn conditions_read_as_sentences() {
        for (when, expected) in [
            (r#"{ record_has = "a" }"#, "`a` is present"),
            (r#"{ not = { record_has = "a" } }"#, "`a` is absent"),
            (r#"{ record_has = "@p.x" }"#, "`@p.x` is present"),
            (r#"{ record_equals = { "@p.x" = "Y" } }"#, "`@p.x` is `y`"),
            (r#"{ record_in = { a = ["x", "y"] }, record_has = "b" }"#, "`a` is one of `x`, `y` and `b` is present"),
            (r#"{ any = [ { record_equals = { a = "1" } }, { record_suffix = { b = "z" } } ] }"#, "`a` is `1` or `b` ends in `z`"),
            (
                r#"{ record_has = "c", any = [ { record_has = "a" }, { record_has = "b" } ] }"#,
                "`c` is present and (`a` is present or `b` is present)",
            ),
            (r#"{ record_between = { a = [200, 299] } }"#, "`a` lies in 200 to 299"),
        ] {
            assert_eq!(told(when), expected, "{when}");
        }
    }

    #[test]
    fn a_root_is_shown_as_it_was_written() {
        let mut files = Files::new();
        files.add_built_in(
            "t.toml",
            "[mapping]\nlog_type = \"X\"\n[match]\nshape = \"azure\"\n[roots]\np = [\"a\", \"b\"]\n[fields]\nrows = [\n\
             { from = [\"@p.x\", \"y\", '\"@z\"'], to = \"target.hostname\" }\n]\n",
        );
        let table = crate::mapping::read(&files, "t", None).expect("it reads");
        assert_eq!(source(&table.rows[0].source, &files), ["@p.x", "y", "\"@z\""]);
        assert_eq!(paths(&table.rows[0].source).len(), 4);
    }
}
