//! [`Diagnostic`]: one fault of a mapping, with its place and a way out, and the table of all codes.

use std::collections::HashMap;

use super::table::Span;

/// How much a fault weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The mapping is refused.
    Error,
    /// The mapping is taken.
    Warning,
}

/// One fault of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `M001`, ...: a code of [`CODES`].
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong: first letter lower case, no full stop, names in backticks.
    pub message: String,
    /// Where it stands; [`NOWHERE`] when no file has it.
    pub span: Span,
    /// A few words under the marked text; may be empty.
    pub label: String,
    /// What else is worth knowing, a line each.
    pub notes: Vec<String>,
    /// How to mend it. `None`: the help of the code's entry in [`CODES`].
    pub help: Option<String>,
}

/// A span that lies in no file.
pub const NOWHERE: Span = Span { file: u32::MAX, start: 0, end: 0 };

/// What a code stands for.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// `M001`, ...; stable once released.
    pub id: &'static str,
    /// What is wrong, without the particulars.
    pub title: &'static str,
    /// How to mend it.
    pub help: &'static str,
}

const fn code(id: &'static str, title: &'static str, help: &'static str) -> Code {
    Code { id, title, help }
}

/// Every code. Up to M029 the reader finds faults of the text; from M030 on (and M014) the compiler finds faults of the meaning. M061 to
/// M066 are about tags, M070 about filters and outputs.
pub const CODES: &[Code] = &[
    code("M001", "not TOML", "mend the syntax; the rest of this file is not looked at before"),
    code("M002", "a key the mapping language does not know", "see docs/mapping-language.md for the keys"),
    code("M003", "a key is missing", "add it"),
    code("M004", "another kind of value is expected", "see docs/mapping-language.md for what the key takes"),
    code("M005", "a word that is not one of the choices", "use one of the choices"),
    code("M006", "a source path cannot be read", "see docs/mapping-language.md, section Source paths"),
    code("M007", "a target path cannot be read", "see docs/mapping-language.md, section Target paths"),
    code("M008", "a named value or root is not defined", "define it in `[values]` or `[roots]`"),
    code("M009", "an `[[each]]` is not defined", "define it, or name one that is"),
    code("M010", "an included mapping does not exist", "name a mapping by its path without the ending, such as `azure/resource_common`"),
    code("M011", "includes go in a circle or too deep", "take one include out of the way; three deep is the limit"),
    code("M012", "a row needs exactly one source", "give one of `from`, `value`, `template`, `sum`, `difference`"),
    code("M013", "a template cannot be read", "write holes as `{source path}` and a brace itself as `{{` or `}}`"),
    code("M014", "an event-type rule can never match", "move the more specific rule above it, or delete it"),
    code("M015", "a condition says nothing", "give at least one test, or leave `when` out"),
    code("M016", "a pattern cannot be compiled", "patterns are linear-time regular expressions: no look-around, no back references"),
    code("M017", "a look-up's file does not exist", "put the file beside the mapping that names it"),
    code(
        "M018",
        "a look-up cannot be read",
        "the columns `key`, `prefix`, `suffix`, `matches` hold keys, one a row; every other column holds answers",
    ),
    code("M020", "`else` names neither a type nor a rule", "name an event type, the `name` of a rule, or `base`"),
    code("M021", "a rule names rows that are not defined", "define them as `[with.NAME]`"),
    code("M022", "nothing to replace or remove", "`replace` and `remove` act on what a layer below defines"),
    code("M023", "a layer below defines this already", "say `replace = true` to take its place"),
    code("M024", "values go in a circle", "let one of them read the record"),
    code("M025", "the mapping has no such profile", "name one of its `[profile.NAME]` sections"),
    code("M026", "an `[[each]]` cannot work", "parents stand first; at most four deep; columns differ in number"),
    code("M027", "a mapping to read does not exist", "`extends = true` adds to a mapping of the same name that is built in"),
    code("M028", "a range is empty", "write the smaller number first"),
    code("M029", "a name is taken twice", "give one of them another name"),
    code("M030", "a target path that UDM does not have", "see the UDM field list; names are snake_case"),
    code("M031", "a word that UDM does not have", "use a word of the enum, spelt exactly"),
    code("M032", "what a row gives does not fit its field", "end `as` in a converter that gives it; see docs/converters.md"),
    code("M033", "a field or type that only the platform fills", "write to another field"),
    code(
        "M034",
        "a list taken for a single field, or the other way",
        "`[]` appends to a list, `[name]` names an element of a list of messages",
    ),
    code("M035", "a key is missing or too much", "labels and `additional` take a key in braces, nothing else does"),
    code("M036", "a converter that does not exist", "see docs/converters.md"),
    code("M037", "a converter's arguments are wrong", "see docs/converters.md"),
    code("M038", "two rows fill one single field", "give the later row `fallback = true`, or conditions that exclude each other"),
    code("M039", "a row stands twice", "delete one of them"),
    code("M040", "rows ask for each other's results", "take one `event_has` out of the circle"),
    code("M041", "the last event-type rule is not unconditional", "end the rules in `{ is = \"GENERIC_EVENT\" }`"),
    code("M042", "a rule asks for a field that no row fills", "add a row, delete the rule, or say `dormant = \"why\"`"),
    code("M043", "an event type requires a field that no row fills", "add the rows, choose another type, or say `dormant = \"why\"`"),
    code("M044", "a dormant rule that could be taken", "leave `dormant` out"),
    code("M050", "two lists of one mapping emit events", "let one of them feed elements, or write a second mapping"),
    code("M051", "a list inside a list that feeds elements", "give the whole path in one `from`: `a[*].b[*]`"),
    code("M052", "JSON text opened too often on one path", "a path may open JSON text three times"),
    code("M053", "a column that no column list has", "use a name of `split`'s columns"),
    code("M054", "an enricher is not last", "put the enricher at the end of `as`"),
    code("M055", "several values for a single field", "read one element: `a[0]`"),
    code("M056", "an element read outside its list", "write to `...[each name]...`"),
    code("M057", "`{*}` without a wildcard", "read `a.*` or `a.**`, or write a key"),
    code("M058", "two mappings claim the same records", "let one of them take these records"),
    code("M060", "a deprecated UDM field", "use the field that replaced it"),
    code("M061", "a tag list does not exist", "name a file below the mappings folder, such as `tags/azure_activity.csv`"),
    code("M062", "a line about tags cannot be read", "see docs/mapping-language.md, section Tags"),
    code(
        "M063",
        "a technique that no framework has",
        "write an id of `tags/techniques.csv`, or add it there with its framework and version",
    ),
    code("M064", "two lines for one pattern", "delete one, or give them different statuses or details"),
    code("M065", "a tag that no list has", "write the name of a tag as the lists below `tags/` have it"),
    code("M066", "a tag that no record can get", "add what it waits for to the mapping, or change the line"),
    code(
        "M070",
        "a filter or an output waits for what nothing is called",
        "name mappings by their path without the ending, tags as in docs/tags.md; `*` stands for any text",
    ),
];

impl Diagnostic {
    /// An error of this code at this place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        debug_assert!(CODES.iter().any(|entry| entry.id == code), "{code} has an entry");
        Diagnostic { code, severity: Severity::Error, message: message.into(), span, label: String::new(), notes: Vec::new(), help: None }
    }

    /// The same as a warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// Words under the marked text.
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// One more line.
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// A help of its own.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Points to the nearest of the known words, or lists them when none is near and they are few.
    pub fn suggest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(word, known.iter().copied()) {
            Some(near) => self.label(format!("did you mean `{near}`?")),
            None if (1..=16).contains(&known.len()) => {
                let list: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
                self.note(format!("known here: {}", list.join(", ")))
            }
            None => self,
        }
    }
}

/// Sorts by file and position and drops what was said twice.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
    diagnostics.dedup();
}

/// The candidate that differs from `word` by the fewest edits, when they are few enough to be a slip: at most a third of its letters.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let scored = candidates.into_iter().map(|candidate| (edits(&word.to_lowercase(), &candidate.to_lowercase()), candidate));
    scored.filter(|(edits, _)| *edits <= limit).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// One text of a mapping or of a look-up.
#[derive(Clone, Debug)]
pub struct File {
    /// Path below the mappings folder, with `/`: `openai/audit.toml`, `azure/roles.csv`.
    pub name: String,
    /// How diagnostics call it: `mappings/openai/audit.toml`.
    pub shown: String,
    /// Its content.
    pub text: String,
    /// From a site's own folder; it takes the place of the built-in file of the same name, or extends it.
    pub site: bool,
}

/// The texts a mapping may be read from: built-in ones and a site's own. [`Span::file`] counts in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<File>,
    built_in: HashMap<String, u32>,
    site: HashMap<String, u32>,
    /// Files with filters, and whether their outputs choose too.
    choosers: Vec<(u32, bool)>,
}

impl Files {
    /// No file.
    pub fn new() -> Files {
        Files::default()
    }

    /// Adds a file and gives its index. A later file of the same name and origin takes the place of the earlier.
    pub fn add(&mut self, file: File) -> u32 {
        let index = u32::try_from(self.files.len()).expect("no shell reads four thousand million files");
        let names = if file.site { &mut self.site } else { &mut self.built_in };
        names.insert(file.name.clone(), index);
        self.files.push(file);
        index
    }

    /// Adds a built-in file called `mappings/NAME` in diagnostics.
    pub fn add_built_in(&mut self, name: &str, text: &str) -> u32 {
        self.add(File { name: name.to_owned(), shown: format!("mappings/{name}"), text: text.to_owned(), site: false })
    }

    /// Adds a file that is no mapping but chooses events of all: its `[[filter]]`, and when `has_outputs` the `take` of its `[[output]]`.
    pub fn add_chooser(&mut self, shown: &str, text: &str, has_outputs: bool) -> u32 {
        let index = u32::try_from(self.files.len()).expect("no shell reads four thousand million files");
        // Without an ending it is taken for no mapping.
        self.files.push(File { name: String::new(), shown: shown.to_owned(), text: text.to_owned(), site: true });
        self.choosers.push((index, has_outputs));
        index
    }

    /// The files of [`Files::add_chooser`].
    pub(super) fn choosers(&self) -> impl Iterator<Item = (u32, bool)> {
        self.choosers.iter().copied()
    }

    /// The file of an index; `None` for [`NOWHERE`].
    pub fn get(&self, index: u32) -> Option<&File> {
        self.files.get(index as usize)
    }

    /// Every file in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &File)> {
        (0..).zip(&self.files)
    }

    /// The built-in file of this name.
    pub fn built_in(&self, name: &str) -> Option<u32> {
        self.built_in.get(name).copied()
    }

    /// The site's file of this name.
    pub fn site(&self, name: &str) -> Option<u32> {
        self.site.get(name).copied()
    }

    /// Line and column of a byte, both from 1, columns in characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let Some(file) = self.get(span.file) else { return (1, 1) };
        let before = file.text.get(..span.start as usize).unwrap_or(&file.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        for (word, expected) in
            [("form", Some("from")), ("frm", Some("from")), ("too", Some("to")), ("wheen", Some("when")), ("colour", None), ("x", None)]
        {
            assert_eq!(nearest(word, ["from", "to", "when"]), expected, "{word}");
        }
    }

    #[test]
    fn codes_ascend_and_are_single() {
        assert!(CODES.windows(2).all(|pair| pair[0].id < pair[1].id));
    }

    #[test]
    fn positions_count_characters() {
        let mut files = Files::new();
        let file = files.add_built_in("a.toml", "a\n\u{e9}b\n");
        assert_eq!(files.position(Span { file, start: 0, end: 1 }), (1, 1));
        assert_eq!(files.position(Span { file, start: 4, end: 5 }), (2, 2));
    }
}
