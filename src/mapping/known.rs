//! [`KnownPaths`]: which paths of a record a mapping names at all, as patterns that a dotted leaf path can be held against.

use std::collections::HashMap;

use super::table::{Condition, Root, Source, SourcePath, Step, Table, TemplatePart};

/// What names a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A row: its place as `(file, first byte)` of its span.
    Row(u32, u32),
    /// A named value: index into [`Table::values`].
    Value(usize),
    /// A condition of a rule or a skip.
    Condition,
    /// `[[each]]`: index into [`Table::each`].
    Each(usize),
    /// `[mapping] id`.
    Identity,
    /// `[fields] drop`.
    Drop,
}

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Word {
    /// A name, lower case, without dots: names with dots are several words, as they are in a dotted path.
    Name(String),
    /// One element of a list.
    Element,
    /// A member of any name.
    Member,
    /// Everything below, also nothing.
    Rest,
}

/// One path that a mapping names.
#[derive(Clone, Debug)]
pub struct Known {
    words: Vec<Word>,
    /// As a dotted path in the mapping's own spelling: `*` for an element or a member of any name, `**` for everything below.
    pub shown: String,
    /// What names it, each once.
    pub uses: Vec<Use>,
}

/// The paths that a mapping names in rows, values, conditions, `each`, `id` and `drop`.
///
/// ```
/// use udmill::mapping::{Files, known::KnownPaths, read};
/// let mut files = Files::new();
/// files.add_built_in("t.toml", "[mapping]\nlog_type = 'X'\n[match]\nshape = 'azure'\n[fields]\nrows = [\n\
///     { from = 'a>json.b[0].c', to = 'target.hostname' } ]\n");
/// let known = KnownPaths::of(&read(&files, "t", None).unwrap());
/// assert!(known.knows("A.b.3.C") && !known.knows("a.b") && !known.knows("a.c"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct KnownPaths {
    /// Every pattern once.
    pub patterns: Vec<Known>,
    by_words: HashMap<Vec<Word>, usize>,
    /// Patterns of names and elements only, by their text.
    plain: HashMap<String, usize>,
    /// The others.
    open: Vec<usize>,
}

/// A dotted path with `*` for every number, so that all elements of a list are one. Shape: names joined by dots.
pub fn general(path: &str) -> String {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    path.split('.').map(|one| if word(one) { "*" } else { one }).collect::<Vec<_>>().join(".")
}

impl KnownPaths {
    /// The paths of one mapping.
    pub fn of(table: &Table) -> KnownPaths {
        let mut known = KnownPaths::default();
        let rows = table.rows.iter().chain(table.with.iter().flat_map(|(_, rows)| rows));
        for row in rows {
            let here = Use::Row(row.span.file, row.span.start);
            known.add_source(&row.source, table, here);
            known.add_condition(row.when.as_ref(), table, here);
        }
        for (at, value) in table.values.iter().enumerate() {
            known.add_source(&value.source, table, Use::Value(at));
            known.add_condition(value.when.as_ref(), table, Use::Value(at));
        }
        for (at, each) in table.each.iter().enumerate() {
            known.add(&each.from, table, Use::Each(at), false);
            known.add_condition(each.when.as_ref(), table, Use::Each(at));
        }
        for condition in table.rules.iter().filter_map(|rule| rule.when.as_ref()).chain(table.skips.iter().map(|skip| &skip.when)) {
            known.add_condition(Some(condition), table, Use::Condition);
        }
        table.id.iter().for_each(|path| known.add(path, table, Use::Identity, false));
        table.drop.iter().for_each(|path| known.add(path, table, Use::Drop, true));
        known
    }

    /// Whether any pattern fits a dotted leaf path; numbers in it stand for elements.
    pub fn knows(&self, path: &str) -> bool {
        self.find(path).next().is_some()
    }

    /// The patterns that fit: indices into [`KnownPaths::patterns`].
    pub fn find(&self, path: &str) -> impl Iterator<Item = usize> {
        let path = general(path).to_ascii_lowercase();
        let plain = self.plain.get(&path).copied();
        let words: Vec<&str> = path.split('.').collect();
        let open: Vec<usize> = self.open.iter().copied().filter(|at| fits(&self.patterns[*at].words, &words)).collect();
        plain.into_iter().chain(open)
    }

    fn add_source(&mut self, source: &Source, table: &Table, by: Use) {
        match source {
            Source::From(paths) | Source::Sum(paths) => paths.iter().for_each(|path| self.add(path, table, by, false)),
            Source::Difference(first, second) => [first, second].into_iter().for_each(|path| self.add(path, table, by, false)),
            Source::Template(parts) => {
                for part in parts {
                    if let TemplatePart::Hole(path) = part {
                        self.add(path, table, by, false);
                    }
                }
            }
            Source::Value(_) => {}
        }
    }

    fn add_condition(&mut self, condition: Option<&Condition>, table: &Table, by: Use) {
        let mut paths: Vec<&SourcePath> = Vec::new();
        if let Some(condition) = condition {
            condition.visit_sources(&mut |path| paths.push(path));
        }
        for path in paths {
            self.add(path, table, by, false);
        }
    }

    fn add(&mut self, path: &SourcePath, table: &Table, by: Use, with_everything_below: bool) {
        let (mut words, mut names) = (Vec::new(), Vec::new());
        // A value's own paths are added with it; the broker's timestamp is no path.
        if !begin(path, table, &mut words, &mut names) {
            return;
        }
        if with_everything_below && words.last() != Some(&Word::Rest) {
            words.push(Word::Rest);
            names.push("**");
        }
        let at = match self.by_words.get(&words) {
            Some(at) => *at,
            None => {
                let at = self.patterns.len();
                if words.iter().all(|word| matches!(word, Word::Name(_) | Word::Element)) {
                    self.plain.insert(text(&words), at);
                } else {
                    self.open.push(at);
                }
                self.by_words.insert(words.clone(), at);
                self.patterns.push(Known { words, shown: names.join("."), uses: Vec::new() });
                at
            }
        };
        if !self.patterns[at].uses.contains(&by) {
            self.patterns[at].uses.push(by);
        }
    }
}

fn text(words: &[Word]) -> String {
    let word = |word: &Word| match word {
        Word::Name(name) => name.clone(),
        Word::Element | Word::Member => "*".to_owned(),
        Word::Rest => "**".to_owned(),
    };
    words.iter().map(word).collect::<Vec<_>>().join(".")
}

/// Appends the words of a path, and how they are shown. `false` when it does not begin in a record.
fn begin<'a>(path: &'a SourcePath, table: &'a Table, words: &mut Vec<Word>, shown: &mut Vec<&'a str>) -> bool {
    match path.root {
        Root::Record => {}
        // The member that the record's type names, whatever it is called.
        Root::Payload => {
            words.push(Word::Member);
            shown.push("*");
        }
        Root::Received | Root::Value(_) => return false,
        Root::Each(at) => {
            let Some(each) = table.each.get(at) else { return false };
            if !begin(&each.from, table, words, shown) {
                return false;
            }
            if each.split.is_some() {
                // Columns are parts of the element's text.
                return true;
            }
        }
    }
    for step in &path.steps {
        let (word, name) = match step {
            Step::Member(name) => {
                words.extend(general(&name.to_ascii_lowercase()).split('.').map(|word| match word {
                    "*" => Word::Element,
                    name => Word::Name(name.to_owned()),
                }));
                shown.push(name);
                continue;
            }
            Step::Index(_) | Step::From(_) | Step::Each | Step::Where(..) => (Word::Element, "*"),
            Step::Members => (Word::Member, "*"),
            Step::Leaves => (Word::Rest, "**"),
            Step::Json | Step::ElementIndex => continue,
        };
        words.push(word);
        shown.push(name);
    }
    true
}

/// Whether a pattern fits all words of a path. A member's own name may hold dots, so [`Word::Member`] takes one word or more.
fn fits(pattern: &[Word], path: &[&str]) -> bool {
    match (pattern.first(), path) {
        (None, []) => true,
        (None, _) => false,
        (Some(Word::Rest), _) => true,
        (Some(_), []) => false,
        (Some(Word::Name(name)), [first, rest @ ..]) => name == first && fits(&pattern[1..], rest),
        (Some(Word::Element), [first, rest @ ..]) => *first == "*" && fits(&pattern[1..], rest),
        (Some(Word::Member), path) => (1..=path.len()).any(|taken| fits(&pattern[1..], &path[taken..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Files;

    fn known(rows: &str, more: &str) -> KnownPaths {
        let mut files = Files::new();
        let text = format!(
            "[mapping]\nlog_type = 'X'\nid = ['key']\n[match]\nshape = 'azure'\n[values]\nv = {{ from = 'seen.by.value' }}\n{more}\n\
             [fields]\ndrop = ['gone']\nrows = [\n{rows}\n]\n"
        );
        files.add_built_in("t.toml", &text);
        match crate::mapping::read(&files, "t", None) {
            Ok(table) => KnownPaths::of(&table),
            Err(faults) => panic!("{}", crate::mapping::render(&faults, &files, false)),
        }
    }

    #[test]
    fn paths_are_known_as_the_language_reads_them() {
        let rows = "{ from = '$v', to = 'target.hostname' },\n{ from = 'a.\"x.y/z\"', to = 'target.url' },\n\
                    { from = 'list[*].name', to = 'additional{a}' },\n{ from = 'members.*', to = 'additional{*}' },\n\
                    { from = 'all>json.**', to = 'additional{*}' },\n{ from = 'one', to = 'additional{b}', when = { record_has = 'asked' } },";
        let known = known(rows, "");
        for (path, is_known) in [
            ("seen.by.value", true),
            ("SEEN.By.value", true),
            ("seen.by", false),
            ("a.x.y/z", true),
            ("list.12.name", true),
            ("list.12.other", false),
            ("members.any.dotted", true),
            ("members", false),
            ("all.deep.er.0.x", true),
            ("all", true),
            ("asked", true),
            ("key", true),
            ("gone.with.all", true),
            ("new", false),
        ] {
            assert_eq!(known.knows(path), is_known, "case: {path}");
        }
    }

    #[test]
    fn columns_of_a_split_text_are_the_text_itself() {
        let known = known(
            "{ from = 'tuple.source', to = 'principal.ip[]', as = 'ip' },",
            "[[each]]\nas = 'tuple'\nfrom = 'flows[*].tuples[*]'\nemit = 'events'\nsplit = { by = ',', columns = [['time', 'source']] }",
        );
        assert!(known.knows("flows.0.tuples.7") && !known.knows("flows.0.tuples.7.source") && !known.knows("flows.0.name"));
    }
}
