//! Source and target paths: from text to steps.

use super::table::{Element, Root, Segment, SourcePath, Span, Step, TargetPath};

/// Names that a path may refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// `[values]`, in order.
    pub values: Vec<String>,
    /// `[[each]]`, in order.
    pub each: Vec<String>,
    /// `[roots]`: a name and the source paths it stands for.
    pub roots: Vec<(String, Vec<String>)>,
}

/// Why a path cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathFault {
    /// Code of the diagnostic.
    pub code: &'static str,
    /// First byte of the part that is wrong.
    pub at: usize,
    /// Its bytes.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// A misspelt name and what it may have meant.
    pub unknown: Option<(String, Vec<String>)>,
}

type Result<T> = std::result::Result<T, PathFault>;

fn fault<T>(code: &'static str, at: usize, len: usize, message: impl Into<String>) -> Result<T> {
    Err(PathFault { code, at, len: len.max(1), message: message.into(), unknown: None })
}

/// At most this many `>json` in one path: what nests deeper is not worth the time it takes to open.
const MAX_OPENINGS: usize = 3;

/// Reads a source path that stands for exactly one place.
pub(super) fn source(text: &str, span: Span, names: &Names) -> Result<SourcePath> {
    if text.starts_with('@') {
        return fault("M006", 0, text.len(), format!("`{text}` stands for several paths, and only one may stand here"));
    }
    Source { text, at: 0, names }.read(span)
}

/// Reads a source path; `@root.rest` gives one path for every path of that root, in its order.
pub(super) fn sources(text: &str, span: Span, names: &Names) -> Result<Vec<SourcePath>> {
    let Some(rest) = text.strip_prefix('@') else { return Ok(vec![source(text, span, names)?]) };
    let end = rest.find(|c: char| !is_bare(c)).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let Some((_, roots)) = names.roots.iter().find(|(root, _)| root == name) else {
        let known = names.roots.iter().map(|(root, _)| root.clone()).collect();
        let message = format!("no root is called `{name}`");
        return Err(PathFault { code: "M008", at: 1, len: name.len().max(1), message, unknown: Some((name.to_owned(), known)) });
    };
    // What is wrong behind the root is shown where the path stands; the roots themselves were read before.
    let shift = |root: &str, found: PathFault| PathFault { at: (found.at + 1 + name.len()).saturating_sub(root.len()), ..found };
    roots.iter().map(|root| source(&format!("{root}{rest}"), span, names).map_err(|found| shift(root, found))).collect()
}

struct Source<'a> {
    text: &'a str,
    at: usize,
    names: &'a Names,
}

impl Source<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn read(mut self, span: Span) -> Result<SourcePath> {
        let (root, mut steps) = self.root()?;
        while !self.rest().is_empty() {
            let from = self.at;
            if matches!(steps.last(), Some(Step::Members | Step::Leaves | Step::ElementIndex)) {
                return fault("M006", from, self.text.len() - from, "nothing may follow `.*`, `.**` or `.$index`");
            }
            let step = self.step()?;
            if matches!(root, Root::Value(_) | Root::Received) {
                return fault("M006", from, self.text.len() - from, "a named value is a single text or number; nothing may follow it");
            }
            if step == Step::ElementIndex && !(matches!(root, Root::Each(_)) && steps.is_empty()) {
                return fault("M006", from, self.at - from, "`.$index` may only follow the name of an `[[each]]`");
            }
            steps.push(step);
        }
        if steps.iter().filter(|step| **step == Step::Json).count() > MAX_OPENINGS {
            return fault("M052", 0, self.text.len(), format!("`{}` opens JSON text more than {MAX_OPENINGS} times", self.text));
        }
        Ok(SourcePath { root, steps, text: self.text.to_owned(), span })
    }

    fn root(&mut self) -> Result<(Root, Vec<Step>)> {
        if self.rest().is_empty() {
            return fault("M006", 0, 1, "a source path is empty");
        }
        if self.rest().starts_with('$') {
            self.at += 1;
            let name = self.bare()?;
            return Ok(match name.as_str() {
                "payload" => (Root::Payload, Vec::new()),
                "received" => (Root::Received, Vec::new()),
                _ => match self.names.values.iter().position(|value| *value == name) {
                    Some(index) => (Root::Value(index), Vec::new()),
                    None => {
                        let known = self.names.values.iter().cloned().chain(["payload".to_owned(), "received".to_owned()]).collect();
                        let message = format!("no value is called `{name}`");
                        return Err(PathFault { code: "M008", at: 1, len: name.len(), message, unknown: Some((name, known)) });
                    }
                },
            });
        }
        let quoted = self.rest().starts_with('"');
        let name = self.name()?;
        // A quoted name is always a member, so a record whose member is called like an `[[each]]` can still be read.
        match self.names.each.iter().position(|each| *each == name) {
            Some(index) if !quoted => Ok((Root::Each(index), Vec::new())),
            _ => Ok((Root::Record, vec![Step::Member(name)])),
        }
    }

    fn step(&mut self) -> Result<Step> {
        let rest = self.rest();
        for (text, step) in
            [(".**", Step::Leaves), (".*", Step::Members), (".$index", Step::ElementIndex), ("[*]", Step::Each), (">json", Step::Json)]
        {
            if rest.starts_with(text) {
                self.at += text.len();
                return Ok(step);
            }
        }
        if rest.starts_with('.') {
            self.at += 1;
            return Ok(Step::Member(self.name()?));
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = inner.find(']') else { return fault("M006", self.at, 1, "`[` is not closed") };
            let (from, len) = (self.at, end + 2);
            if let Some((name, text)) = inner[..end].split_once('=') {
                if name.is_empty() || !name.chars().all(is_bare) || text.is_empty() {
                    return fault("M006", from, len, "in brackets a member and its text are expected: `[key=Client]`, `[key=*]`");
                }
                let step = Step::Where(name.to_owned(), (text != "*").then(|| text.to_owned()));
                self.at += len;
                return Ok(step);
            }
            let number = inner[..end].strip_suffix("..");
            let step = match (number, number.unwrap_or(&inner[..end]).parse()) {
                (Some(_), Ok(first)) => Step::From(first),
                (None, Ok(index)) => Step::Index(index),
                (_, Err(_)) => return fault("M006", from, len, "in brackets a source path takes a position, `1..`, `*` or `member=text`"),
            };
            self.at += len;
            return Ok(step);
        }
        let found: String = rest.chars().take(1).collect();
        fault("M006", self.at, found.len(), format!("`{found}` may not stand here; a name with such characters is quoted"))
    }

    fn name(&mut self) -> Result<String> {
        let Some(inner) = self.rest().strip_prefix('"') else { return self.bare() };
        match inner.find('"') {
            Some(end) if end > 0 => {
                let name = inner[..end].to_owned();
                self.at += end + 2;
                Ok(name)
            }
            Some(_) => fault("M006", self.at, 2, "a name is empty"),
            None => fault("M006", self.at, self.text.len() - self.at, "a quoted name is not closed"),
        }
    }

    fn bare(&mut self) -> Result<String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_bare(c)).unwrap_or(rest.len());
        if end == 0 {
            return fault("M006", self.at.min(self.text.len().saturating_sub(1)), 1, "a name is expected here");
        }
        let name = rest[..end].to_owned();
        self.at += end;
        Ok(name)
    }
}

/// Characters of a name that needs no quotes.
fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// Reads a target path. Whether its fields exist is not looked at here.
pub(super) fn target(text: &str, span: Span, names: &Names) -> Result<TargetPath> {
    let (path, key) = match text.split_once('{') {
        None => (text, None),
        Some((path, rest)) => match rest.strip_suffix('}') {
            Some(key) if !key.is_empty() && !key.contains(['{', '}']) => (path, Some(key.to_owned())),
            _ => return fault("M007", path.len(), rest.len() + 1, "a key stands in braces at the end: `additional{asn}`"),
        },
    };
    let (path, appends) = match path.strip_suffix("[]") {
        Some(path) if key.is_none() => (path, true),
        Some(path) => return fault("M007", path.len(), 2, "a path with a key in braces takes no `[]`"),
        None => (path, false),
    };
    let mut segments = Vec::new();
    let mut at = 0;
    for segment in path.split('.') {
        segments.push(target_segment(segment, at, names)?);
        at += segment.len() + 1;
    }
    Ok(TargetPath { segments, key, appends, text: text.to_owned(), span })
}

fn target_segment(segment: &str, at: usize, names: &Names) -> Result<Segment> {
    let (field, element) = match segment.split_once('[') {
        None => (segment, None),
        Some((field, rest)) => match rest.strip_suffix(']') {
            Some(name) => (field, Some((name, at + field.len() + 1))),
            None => return fault("M007", at + field.len(), rest.len() + 1, "`[` is not closed"),
        },
    };
    let is_field = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if field.is_empty() {
        return fault("M007", at, 1, "a field name is expected here");
    }
    if !field.chars().all(is_field) {
        return fault("M007", at, field.len(), format!("`{field}` is no field name; UDM fields are written in snake_case"));
    }
    let element = match element {
        None => None,
        Some((inner, at)) => Some(target_element(inner, at, names)?),
    };
    Ok(Segment { field: field.to_owned(), element })
}

fn target_element(inner: &str, at: usize, names: &Names) -> Result<Element> {
    if let Some(name) = inner.strip_prefix("each ") {
        let name = name.trim();
        return match names.each.iter().position(|each| each == name) {
            Some(index) => Ok(Element::Each(index)),
            None => {
                let message = format!("no `[[each]]` is called `{name}`");
                Err(PathFault {
                    code: "M009",
                    at: at + 5,
                    len: name.len().max(1),
                    message,
                    unknown: Some((name.to_owned(), names.each.clone())),
                })
            }
        };
    }
    if inner.is_empty() {
        return fault("M007", at - 1, 2, "`[]` stands at the end only; an element on the way has a name");
    }
    if inner.chars().all(|c| c.is_ascii_digit()) {
        return fault("M007", at, inner.len(), "elements have names, not positions");
    }
    if !inner.chars().all(is_bare) {
        return fault("M007", at, inner.len(), format!("`{inner}` is no name of an element"));
    }
    Ok(Element::Named(inner.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let roots = vec![("claims".to_owned(), vec!["identity>json.claims".to_owned(), "Claims>json".to_owned()])];
        Names { values: vec!["operation".into()], each: vec!["flow".into(), "tuple".into()], roots }
    }

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn source_paths() {
        for (text, root, steps) in [
            ("a.b", Root::Record, vec![member("a"), member("b")]),
            ("a.\"x.y/z\".c", Root::Record, vec![member("a"), member("x.y/z"), member("c")]),
            ("\"flow\".a", Root::Record, vec![member("flow"), member("a")]),
            ("a[0].b", Root::Record, vec![member("a"), Step::Index(0), member("b")]),
            ("a[1..]", Root::Record, vec![member("a"), Step::From(1)]),
            ("a[*].b", Root::Record, vec![member("a"), Step::Each, member("b")]),
            (
                "a[key=User-Agent 2.0].b",
                Root::Record,
                vec![member("a"), Step::Where("key".into(), Some("User-Agent 2.0".into())), member("b")],
            ),
            ("a[key=*].b", Root::Record, vec![member("a"), Step::Where("key".into(), None), member("b")]),
            ("a.*", Root::Record, vec![member("a"), Step::Members]),
            ("a.**", Root::Record, vec![member("a"), Step::Leaves]),
            ("a>json.b>json", Root::Record, vec![member("a"), Step::Json, member("b"), Step::Json]),
            ("$operation", Root::Value(0), vec![]),
            ("$payload.data.x", Root::Payload, vec![member("data"), member("x")]),
            ("$received", Root::Received, vec![]),
            ("tuple", Root::Each(1), vec![]),
            ("flow.mac", Root::Each(0), vec![member("mac")]),
            ("flow.$index", Root::Each(0), vec![Step::ElementIndex]),
        ] {
            let found = source(text, Span::default(), &names()).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
            assert_eq!((found.root, found.steps), (root, steps), "{text}");
        }
    }

    #[test]
    fn source_paths_that_cannot_be_read() {
        for (text, code, at) in [
            ("", "M006", 0),
            ("a..b", "M006", 2),
            ("a.", "M006", 1),
            ("a b", "M006", 1),
            ("a/b", "M006", 1),
            ("a[x]", "M006", 1),
            ("a[=x]", "M006", 1),
            ("a[key=]", "M006", 1),
            ("a[", "M006", 1),
            ("a.\"b", "M006", 2),
            ("a.\"\"", "M006", 2),
            ("a.*.b", "M006", 3),
            ("a.$index", "M006", 1),
            ("flow.a.$index", "M006", 6),
            ("$operation.x", "M006", 10),
            ("$operatoin", "M008", 1),
            ("a>json>json>json>json", "M052", 0),
            ("@claims.x", "M006", 0),
        ] {
            let found = source(text, Span::default(), &names()).expect_err(text);
            assert_eq!((found.code, found.at), (code, at), "{text}: {}", found.message);
        }
    }

    #[test]
    fn roots_stand_for_several_paths() {
        let texts =
            |text| sources(text, Span::default(), &names()).map(|paths| paths.into_iter().map(|path| path.text).collect::<Vec<_>>());
        assert_eq!(texts("@claims.appid"), Ok(vec!["identity>json.claims.appid".to_owned(), "Claims>json.appid".to_owned()]));
        assert_eq!(texts("a"), Ok(vec!["a".to_owned()]));
        assert_eq!(texts("@clams.x").map_err(|fault| fault.code), Err("M008"));
        assert_eq!(texts("@claims.a b").map_err(|fault| (fault.code, fault.at)), Err(("M006", 9)));
    }

    #[test]
    fn target_paths() {
        let read = |text| target(text, Span::default(), &names());
        let path = read("security_result[each tuple].about[x-1].ip[]").expect("it reads");
        assert!(path.appends && path.key.is_none());
        let elements: Vec<_> = path.segments.into_iter().map(|segment| (segment.field, segment.element)).collect();
        let expected = [
            ("security_result".to_owned(), Some(Element::Each(1))),
            ("about".to_owned(), Some(Element::Named("x-1".to_owned()))),
            ("ip".to_owned(), None),
        ];
        assert_eq!(elements, expected);
        assert_eq!(read("additional{a.b c}").expect("it reads").key.as_deref(), Some("a.b c"));
        assert_eq!(read("security_result.detection_fields{*}").expect("it reads").key.as_deref(), Some("*"));
        for (text, code, at) in [
            ("", "M007", 0),
            ("a..b", "M007", 2),
            ("a.userId", "M007", 2),
            ("a[].b", "M007", 1),
            ("a[0].b", "M007", 2),
            ("a[x", "M007", 1),
            ("a[each nope].b", "M009", 7),
            ("a{}", "M007", 1),
            ("a{x}.b", "M007", 1),
            ("a[]{x}", "M007", 1),
        ] {
            let found = read(text).expect_err(text);
            assert_eq!((found.code, found.at), (code, at), "{text}: {}", found.message);
        }
    }
}
