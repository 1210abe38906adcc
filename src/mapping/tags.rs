//! `[tags]`: lists of operations that matter to security, and a site's changes to them.
//!
//! A mapping names its lists (`files`) and which of its values are the operation and, where it matters, the detail of a line. The lists are
//! CSV files below `tags/`, one pattern a line. `tags/techniques.csv` knows the techniques by id, each with its framework and version;
//! `tags/site.csv` is never shipped: a site gives a tag another severity there, or switches it off.

use std::collections::{BTreeSet, HashMap};

use super::diagnostic::{Diagnostic, Files};
use super::lookup_text::{RawRow, csv_rows};
use super::node::{Faults, Node};
use super::path;
use super::read::Reader;
use super::table::{SourcePath, Span, Step};
use crate::udm::Schema;

/// Where a site's changes stand; no list of tags may be called so.
pub const SITE_FILE: &str = "tags/site.csv";
const TECHNIQUES_FILE: &str = "tags/techniques.csv";
const COLUMNS: [&str; 10] = ["tag", "operation", "status", "detail", "severity", "category", "class", "techniques", "summary", "source"];
const SITE_COLUMNS: [&str; 3] = ["tag", "severity", "why"];
const TECHNIQUE_COLUMNS: [&str; 6] = ["id", "name", "tactic_id", "tactic", "framework", "version"];
/// What a site writes in place of a severity.
const OFF: &str = "off";

/// The `[tags]` of a mapping, all layers together.
#[derive(Clone, Debug)]
pub struct Tags {
    /// `operation`
    pub operation: SourcePath,
    /// `detail`
    pub detail: Option<SourcePath>,
    /// The lines of all lists, in order.
    pub lines: Vec<TagLine>,
}

/// One line of a tag list.
#[derive(Clone, Debug)]
pub struct TagLine {
    /// `tag`
    pub name: String,
    /// `operation` as written, lower case.
    pub operation: String,
    /// The same, read.
    pub pattern: Pattern,
    /// `status`
    pub status: Status,
    /// `detail`, lower case.
    pub detail: Option<String>,
    /// `severity`, or the site's. A word of UDM.
    pub severity: String,
    /// The site switched the tag off: its operations are known and get nothing.
    pub is_off: bool,
    /// `category`: a word of UDM.
    pub category: Option<String>,
    /// `class`: a word of the list's own.
    pub class: Option<String>,
    /// `techniques`
    pub techniques: Vec<Technique>,
    /// `summary`
    pub summary: String,
    /// Where it stands.
    pub span: Span,
}

/// Which operations a line stands for. The texts are lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: every operation, beside the line that fits it best.
    Every,
    /// No `*`: the operation itself.
    Exact(String),
    /// `text*`
    Prefix(String),
    /// `*text`
    Suffix(String),
    /// What stands around and between the `*`, at least two pieces, of which the first and the last may be empty.
    Pieces(Vec<String>),
}

/// How an operation must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Empty: it has ended.
    Ended,
    /// `success`
    Success,
    /// `failure`: it did not work or was not allowed.
    Failure,
    /// `denied`: it was not allowed.
    Denied,
    /// `always`: whatever is known of its end.
    Always,
}

impl Status {
    /// The word of a list.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ended => "",
            Status::Success => "success",
            Status::Failure => "failure",
            Status::Denied => "denied",
            Status::Always => "always",
        }
    }
}

/// One technique of one version of a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Technique {
    /// `T1098`
    pub id: String,
    /// Its name.
    pub name: String,
    /// `T1098.003` and its name.
    pub sub: Option<(String, String)>,
    /// `TA0003` and its name.
    pub tactic: (String, String),
    /// `MITRE ATT&CK`
    pub framework: String,
    /// `17.1`
    pub version: String,
}

impl Reader<'_, '_> {
    /// `[tags]` of all layers: lists add up, of `operation` and `detail` the uppermost counts.
    pub(super) fn tags(&mut self) -> Option<Tags> {
        let (mut operation, mut detail) = (None, None);
        let mut lists: Vec<u32> = Vec::new();
        let mut asked = None;
        for layer in self.layers {
            let Some(section) = layer.sections.section("tags", self.faults) else { continue };
            section.check_keys("`[tags]`", &["files", "operation", "detail"], self.faults);
            for (key, place) in [("operation", &mut operation), ("detail", &mut detail)] {
                if let Some(path) = section.get(key).and_then(|node| one_path(node, &self.names, self.faults)) {
                    *place = Some(path);
                }
            }
            for (node, name) in section.get("files").map_or_else(Vec::new, |node| node.texts(self.faults)) {
                asked = Some(node.span);
                let is_list = name.starts_with("tags/") && ![SITE_FILE, TECHNIQUES_FILE].contains(&name);
                match self.files.site(name).or_else(|| self.files.built_in(name)).filter(|_| is_list) {
                    Some(file) if !lists.contains(&file) => lists.push(file),
                    Some(_) => {}
                    None => self.faults.push(
                        Diagnostic::error("M061", node.span, format!("there is no tag list `{name}`"))
                            .suggest(name, list_files(self.files).map(|(_, name)| name)),
                    ),
                }
            }
        }
        let asked = asked?;
        let Some(operation) = operation else {
            let message = "`[tags]` needs `operation`: the value that the lists' patterns are about";
            self.faults.push(Diagnostic::error("M003", asked, message));
            return None;
        };
        let techniques = techniques(self.files, self.faults);
        let site = site(self.files, self.faults);
        let mut lines = Vec::new();
        let mut seen: HashMap<(String, Status, Option<String>), Span> = HashMap::new();
        for list in lists {
            let Some(rows) = rows(list, &COLUMNS, &["tag", "operation", "severity", "summary"], self.files, self.faults) else { continue };
            for row in &rows {
                let Some(mut line) = line(row, &techniques, self.faults) else { continue };
                let key = (line.operation.clone(), line.status, line.detail.clone());
                if let Some(first) = seen.insert(key, line.span) {
                    let place = self.files.get(first.file).map_or_else(String::new, |file| file.shown.clone());
                    let note = format!("the first one stands on {place}:{}", self.files.position(first).0);
                    let message = format!("`{}` has a line with this status and detail already", line.operation);
                    self.faults.push(Diagnostic::error("M064", line.span, message).note(note));
                }
                match site.get(&line.name).map(String::as_str) {
                    Some(OFF) => line.is_off = true,
                    Some(severity) => severity.clone_into(&mut line.severity),
                    None => {}
                }
                lines.push(line);
            }
        }
        (!lines.is_empty()).then_some(Tags { operation, detail, lines })
    }
}

fn one_path(node: Node<'_>, names: &path::Names, faults: &mut Faults) -> Option<SourcePath> {
    let text = node.text(faults)?;
    match path::source(text, node.span, names) {
        Ok(path)
            if path
                .steps
                .iter()
                .any(|step| matches!(step, Step::From(_) | Step::Each | Step::Where(_, None) | Step::Members | Step::Leaves)) =>
        {
            faults.push(Diagnostic::error("M055", node.span, format!("`{text}` gives several values, and a tag takes one")));
            None
        }
        Ok(path) => Some(path),
        Err(fault) => {
            faults.path(node, fault);
            None
        }
    }
}

/// Every list of tags that there is, whether or not a mapping names it.
fn list_files(files: &Files) -> impl Iterator<Item = (u32, &str)> {
    let named = files.iter().map(|(index, file)| (index, file.name.as_str()));
    named.filter(|(_, name)| name.starts_with("tags/") && name.ends_with(".csv") && ![SITE_FILE, TECHNIQUES_FILE].contains(name))
}

/// The rows of a CSV file whose columns are of a closed list; `needed` ones hold text in every row.
fn rows(file: u32, columns: &[&str], needed: &[&str], files: &Files, faults: &mut Faults) -> Option<Vec<RawRow>> {
    let (header, rows) = csv_rows(file, "M062", files, faults)?;
    let before = faults.list.len();
    let end = files.get(file)?.text.find(['\r', '\n']).unwrap_or(0);
    let head = Span { file, start: 0, end: u32::try_from(end).unwrap_or(u32::MAX) };
    for column in header.iter().filter(|column| !columns.contains(&column.as_str())) {
        let message = format!("`{column}` is no column of this file");
        faults.push(Diagnostic::error("M062", head, message).suggest(column, columns.iter().copied()));
    }
    for column in needed.iter().filter(|column| !header.iter().any(|found| found == *column)) {
        faults.push(Diagnostic::error("M062", head, format!("the column `{column}` is missing")));
    }
    if faults.list.len() > before {
        return None;
    }
    for row in &rows {
        for column in needed.iter().filter(|column| cell(row, column).is_none()) {
            faults.push(Diagnostic::error("M062", row.span, format!("the line says nothing in `{column}`")));
        }
    }
    Some(rows)
}

fn cell<'a>(row: &'a RawRow, column: &str) -> Option<&'a str> {
    row.cells.iter().find(|(name, _)| name == column).map(|(_, text)| text.as_str()).filter(|text| !text.is_empty())
}

fn line(row: &RawRow, techniques: &HashMap<String, Technique>, faults: &mut Faults) -> Option<TagLine> {
    // What is missing was told already; the rest of the line is read all the same.
    let text = |column: &str| cell(row, column).unwrap_or_default();
    let (name, operation, severity) = (text("tag"), text("operation").to_ascii_lowercase(), text("severity"));
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        let message = format!("`{name}` cannot be a tag's name: small letters, digits and `_`");
        faults.push(Diagnostic::error("M062", row.span, message));
    }
    let word = cell(row, "status").unwrap_or_default();
    let statuses = [Status::Ended, Status::Success, Status::Failure, Status::Denied, Status::Always];
    let status = statuses.into_iter().find(|status| status.word() == word);
    if status.is_none() {
        let message = format!("`{word}` is no status; left empty the line stands for every operation that has ended");
        faults.push(Diagnostic::error("M062", row.span, message).suggest(word, statuses.map(Status::word).into_iter().skip(1)));
    }
    if !severity.is_empty() {
        udm_word("SecurityResult.ProductSeverity", severity, &[], row.span, faults);
    }
    let category = cell(row, "category");
    if let Some(category) = category {
        udm_word("SecurityResult.SecurityCategory", category, &[], row.span, faults);
    }
    let mut found = Vec::new();
    for id in cell(row, "techniques").unwrap_or_default().split(';').map(str::trim).filter(|id| !id.is_empty()) {
        match techniques.get(id) {
            Some(technique) => found.push(technique.clone()),
            None => {
                let message = if is_technique(id) {
                    format!("technique `{id}` does not stand in `{TECHNIQUES_FILE}`")
                } else {
                    format!("`{id}` is no technique: `T1098`, `T1098.003` and `AML.T0040` are of the right form")
                };
                let known: BTreeSet<&str> = techniques.keys().map(String::as_str).collect();
                faults.push(Diagnostic::error("M063", row.span, message).suggest(id, known));
            }
        }
    }
    Some(TagLine {
        name: name.to_owned(),
        pattern: pattern(&operation),
        operation,
        status: status?,
        detail: cell(row, "detail").map(str::to_ascii_lowercase),
        severity: severity.to_owned(),
        is_off: false,
        category: category.map(str::to_owned),
        class: cell(row, "class").map(str::to_owned),
        techniques: found,
        summary: text("summary").to_owned(),
        span: row.span,
    })
}

/// `*` stands for any text, none included.
fn pattern(operation: &str) -> Pattern {
    if operation.bytes().all(|byte| byte == b'*') {
        return Pattern::Every;
    }
    let pieces: Vec<&str> = operation.split('*').collect();
    match pieces[..] {
        [whole] => Pattern::Exact(whole.to_owned()),
        ["", end] => Pattern::Suffix(end.to_owned()),
        [start, ""] => Pattern::Prefix(start.to_owned()),
        _ => Pattern::Pieces(pieces.into_iter().map(str::to_owned).collect()),
    }
}

/// A word of a UDM enum but its first, which says nothing; `others` are allowed beside them.
fn udm_word(name: &str, word: &str, others: &[&str], span: Span, faults: &mut Faults) {
    let known = Schema::get().enum_values(name).iter().filter(|value| value.number != Some(0)).map(|value| value.name);
    let known: Vec<&str> = known.chain(others.iter().copied()).collect();
    if !known.contains(&word) {
        let message = format!("`{word}` is no word of UDM enum `{name}`");
        faults.push(Diagnostic::error("M031", span, message).suggest(word, known));
    }
}

/// `T` and four digits, three more behind a dot; `AML.` before it for techniques against AI systems.
fn is_technique(id: &str) -> bool {
    let id = id.strip_prefix("AML.").unwrap_or(id);
    let Some(digits) = id.strip_prefix('T') else { return false };
    let (main, sub) = digits.split_once('.').map_or((digits, None), |(main, sub)| (main, Some(sub)));
    let is_number = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(main, 4) && sub.is_none_or(|sub| is_number(sub, 3))
}

/// Every technique by its id.
fn techniques(files: &Files, faults: &mut Faults) -> HashMap<String, Technique> {
    let Some(file) = files.site(TECHNIQUES_FILE).or_else(|| files.built_in(TECHNIQUES_FILE)) else { return HashMap::new() };
    let rows = rows(file, &TECHNIQUE_COLUMNS, &TECHNIQUE_COLUMNS, files, faults).unwrap_or_default();
    let text = |row: &RawRow, column: &str| cell(row, column).unwrap_or_default().to_owned();
    let mut found = HashMap::new();
    for row in &rows {
        let id = text(row, "id");
        if !is_technique(&id) {
            faults.push(Diagnostic::error("M063", row.span, format!("`{id}` has not the form of a technique")));
        }
        let parent = id.rsplit_once('.').map(|(parent, _)| parent).filter(|parent| is_technique(parent));
        let above = parent.map(|parent| rows.iter().find(|row| cell(row, "id") == Some(parent)));
        if matches!(above, Some(None)) {
            let message = format!("`{id}` stands without the technique it is part of");
            faults.push(Diagnostic::error("M063", row.span, message).help("add the technique itself: events name both"));
        }
        let (main, name, sub) = match (parent, above.flatten()) {
            (Some(parent), Some(above)) => (parent.to_owned(), text(above, "name"), Some((id.clone(), text(row, "name")))),
            _ => (id.clone(), text(row, "name"), None),
        };
        let technique = Technique {
            id: main,
            name,
            sub,
            tactic: (text(row, "tactic_id"), text(row, "tactic")),
            framework: text(row, "framework"),
            version: text(row, "version"),
        };
        if found.insert(id.clone(), technique).is_some() {
            faults.push(Diagnostic::error("M064", row.span, format!("technique `{id}` has two lines")));
        }
    }
    found
}

/// A site's severities by tag.
fn site(files: &Files, faults: &mut Faults) -> HashMap<String, String> {
    let Some(file) = files.site(SITE_FILE) else { return HashMap::new() };
    let rows = rows(file, &SITE_COLUMNS, &["tag", "severity"], files, faults).unwrap_or_default();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (list, _) in list_files(files) {
        // What is wrong with a list is told where a mapping names it.
        let (_, rows) = csv_rows(list, "M062", files, &mut Faults::default()).unwrap_or_default();
        known.extend(rows.iter().filter_map(|row| cell(row, "tag")).map(str::to_owned));
    }
    let mut found = HashMap::new();
    for row in &rows {
        let (Some(tag), Some(severity)) = (cell(row, "tag"), cell(row, "severity")) else { continue };
        if !known.contains(tag) {
            let fault = Diagnostic::error("M065", row.span, format!("no list has a tag `{tag}`"));
            faults.push(fault.suggest(tag, known.iter().map(String::as_str)));
        }
        if severity != OFF {
            udm_word("SecurityResult.ProductSeverity", severity, &[OFF], row.span, faults);
        }
        if found.insert(tag.to_owned(), severity.to_owned()).is_some() {
            faults.push(Diagnostic::error("M064", row.span, format!("tag `{tag}` has two lines")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, expected) in [
            ("*", Pattern::Every),
            ("**", Pattern::Every),
            ("a/b", Pattern::Exact("a/b".into())),
            ("a/*", Pattern::Prefix("a/".into())),
            ("*/b", Pattern::Suffix("/b".into())),
            ("a/*/b", Pattern::Pieces(vec!["a/".into(), "/b".into()])),
            ("*b*", Pattern::Pieces(vec![String::new(), "b".into(), String::new()])),
        ] {
            assert_eq!(pattern(text), expected, "{text}");
        }
    }

    #[test]
    fn the_form_of_techniques() {
        for (id, expected) in [
            ("T1098", true),
            ("T1098.003", true),
            ("AML.T0040", true),
            ("AML.T0051.001", true),
            ("T109", false),
            ("T1098.03", false),
            ("t1098", false),
            ("TA0003", false),
            ("T1098.", false),
            ("AML.TA0000", false),
        ] {
            assert_eq!(is_technique(id), expected, "{id}");
        }
    }
}
