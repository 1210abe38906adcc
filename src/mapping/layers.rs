//! Layers: include < file < profile < site. Which files a mapping is made of, and how rows of a later layer meet those below.

use toml::Spanned;
use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Files, NOWHERE};
use super::node::{Faults, Node, Object};
use super::row::LayeredRow;
use super::table::{LookupKey, LookupTable, Row, Span};

/// Includes may be this deep.
const MAX_INCLUDES: usize = 3;

/// One parsed file.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// Index of the file.
    pub file: u32,
    /// Reached by `include`: its `[mapping]`, `[match]` and profiles belong to itself alone.
    pub included: bool,
    /// Its content.
    pub table: Spanned<DeTable<'a>>,
}

/// One layer: the sections of a file, or of one of its profiles.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// Index of the file.
    pub file: u32,
    /// Whether it came by `include`.
    pub included: bool,
    /// Its sections.
    pub sections: Object<'a>,
}

/// Parses the files that make up a mapping, the lowest layer first.
pub(super) fn load<'a>(files: &'a Files, entry: &str, faults: &mut Faults) -> Vec<Document<'a>> {
    let mut documents = Vec::new();
    load_one(files, entry, NOWHERE, &mut Vec::new(), &mut documents, faults);
    documents
}

fn load_one<'a>(files: &'a Files, name: &str, asked: Span, path: &mut Vec<String>, documents: &mut Vec<Document<'a>>, faults: &mut Faults) {
    let file_name = format!("{name}.toml");
    let (built_in, site) = (files.built_in(&file_name), files.site(&file_name));
    let included = !path.is_empty();
    let extends = site.and_then(|file| parse(files, file, included, faults)).map(|document| {
        let extends = Object::document(document.file, &document.table).flag("extends", faults);
        (document, extends)
    });
    let bases = match extends {
        Some((document, false)) => vec![document],
        Some((document, true)) => {
            if built_in.is_none() {
                let span = Object::document(document.file, &document.table).get("extends").map_or(NOWHERE, |node| node.span);
                faults.push(Diagnostic::error("M027", span, format!("there is no built-in mapping `{name}` to extend")));
            }
            built_in.and_then(|file| parse(files, file, included, faults)).into_iter().chain([document]).collect()
        }
        None => match built_in {
            Some(file) => parse(files, file, included, faults).into_iter().collect(),
            None if site.is_some() => Vec::new(),
            None => {
                let (code, message) = if included {
                    ("M010", format!("there is no mapping `{name}` to include"))
                } else {
                    ("M027", format!("there is no mapping `{name}`"))
                };
                let names: Vec<String> = super::list(files);
                faults.push(Diagnostic::error(code, asked, message).suggest(name, names.iter().map(String::as_str)));
                Vec::new()
            }
        },
    };
    path.push(name.to_owned());
    for document in bases {
        let wanted: Vec<(String, Span)> = {
            let object = Object::document(document.file, &document.table);
            let node = object.get("include");
            node.map_or_else(Vec::new, |node: Node<'_>| {
                node.texts(faults).into_iter().map(|(node, text)| (text.to_owned(), node.span)).collect()
            })
        };
        for (include, span) in wanted {
            if path.contains(&include) {
                faults.push(
                    Diagnostic::error("M011", span, format!("`{include}` includes itself"))
                        .note(format!("the way is {} -> {include}", path.join(" -> "))),
                );
            } else if path.len() > MAX_INCLUDES {
                faults.push(
                    Diagnostic::error("M011", span, "includes are too deep").note(format!("the way is {} -> {include}", path.join(" -> "))),
                );
            } else if !documents.iter().any(|known| files.get(known.file).is_some_and(|file| file.name == format!("{include}.toml"))) {
                load_one(files, &include, span, path, documents, faults);
            }
        }
        documents.push(document);
    }
    path.pop();
}

fn parse<'a>(files: &'a Files, file: u32, included: bool, faults: &mut Faults) -> Option<Document<'a>> {
    let text = &files.get(file)?.text;
    if u32::try_from(text.len()).is_err() {
        faults.push(Diagnostic::error("M001", Span { file, start: 0, end: 0 }, "the file is larger than 4 GiB"));
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let range = error.span().unwrap_or(0..0);
        let span = Span { file, start: u32::try_from(range.start).unwrap_or(0), end: u32::try_from(range.end).unwrap_or(0) };
        faults.push(Diagnostic::error("M001", span, one_line(error.message())));
    }
    errors.is_empty().then_some(Document { file, included, table })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The sections of every document in order, each followed by those of its profile.
pub(super) fn layers<'a>(documents: &'a [Document<'a>], profile: Option<&str>, faults: &mut Faults) -> Vec<Layer<'a>> {
    let mut found = Vec::new();
    let mut has_profile = profile.is_none();
    let mut known = Vec::new();
    for document in documents {
        let sections = Object::document(document.file, &document.table);
        let profiles = sections.named("profile", faults);
        found.push(Layer { file: document.file, included: document.included, sections });
        if !document.included {
            known.extend(profiles.iter().map(|(name, _, _)| *name));
            if let Some((_, _, sections)) = profiles.into_iter().find(|(name, _, _)| profile == Some(name)) {
                has_profile = true;
                found.push(Layer { file: document.file, included: false, sections });
            }
        }
    }
    if let (false, Some(profile)) = (has_profile, profile) {
        let place = documents.last().map_or(NOWHERE, |document| Span { file: document.file, start: 0, end: 0 });
        faults.push(Diagnostic::error("M025", place, format!("there is no profile `{profile}`")).suggest(profile, known));
    }
    found
}

/// Lays the rows of one layer over those below.
///
/// A row that replaces stands where the first row it replaces stood, so the order of elements and labels stays.
pub(super) fn lay_rows(below: Vec<Row>, layer: Vec<LayeredRow>, faults: &mut Faults) -> Vec<Row> {
    let place_of = |text: &str| below.iter().position(|row| row.targets.iter().any(|target| target.text == text));
    let mut gone: Vec<String> = Vec::new();
    let mut placed: Vec<(usize, Row)> = Vec::new();
    let mut added = Vec::new();
    for LayeredRow { row, replaces, removes } in layer {
        if !replaces && !removes {
            let clash = row.targets.iter().find(|target| is_taken(target.appends, &target.text, &row, &below));
            if let Some(target) = clash {
                let message = format!("a layer below fills `{}` already", target.text);
                faults.push(
                    Diagnostic::error("M023", target.span, message)
                        .help("say `replace = true` to take its place, or `fallback = true` to fill only what it leaves empty"),
                );
            }
            added.push(row);
            continue;
        }
        let places: Vec<Option<usize>> = row.targets.iter().map(|target| place_of(&target.text)).collect();
        for (target, place) in row.targets.iter().zip(&places) {
            if place.is_none() {
                let known = below.iter().flat_map(|row| &row.targets).map(|target| target.text.as_str());
                faults.push(
                    Diagnostic::error("M022", target.span, format!("no row below fills `{}`", target.text)).suggest(&target.text, known),
                );
            }
            if removes && gone.contains(&target.text) {
                let message = format!("this layer replaces or removes `{}` already", target.text);
                faults.push(Diagnostic::error("M022", target.span, message).help("delete one of the two rows"));
            }
            gone.push(target.text.clone());
        }
        if let (true, Some(place)) = (replaces && !removes, places.iter().flatten().min()) {
            placed.push((*place, row));
        }
    }
    let mut merged = Vec::new();
    placed.sort_by_key(|(place, _)| *place);
    let mut waiting = placed.into_iter().peekable();
    for (at, mut row) in below.into_iter().enumerate() {
        while let Some((_, row)) = waiting.next_if(|(place, _)| *place == at) {
            merged.push(row);
        }
        row.targets.retain(|target| !gone.contains(&target.text));
        if !row.targets.is_empty() {
            merged.push(row);
        }
    }
    merged.extend(added);
    merged
}

/// Whether a row of a later layer fills, without saying so, a single field that a layer below always fills.
///
/// Rows with conditions are left to the compiler, which knows whether they exclude each other.
fn is_taken(appends: bool, text: &str, row: &Row, below: &[Row]) -> bool {
    let fills = |other: &Row| other.when.is_none() && !other.fallback && other.targets.iter().any(|target| target.text == text);
    !appends && !row.fallback && row.when.is_none() && below.iter().any(fills)
}

/// Lays a look-up that extends over the one below: a key of both answers from the upper.
pub(super) fn extend_lookup(below: LookupTable, above: LookupTable) -> LookupTable {
    let mut columns = below.columns.clone();
    columns.extend(above.columns.iter().filter(|column| !below.columns.contains(column)).cloned());
    let arrange = |table: &LookupTable, row: &[Option<String>]| -> Vec<Option<String>> {
        let cell = |column: &String| table.columns.iter().position(|other| other == column).and_then(|at| row[at].clone());
        columns.iter().map(cell).collect()
    };
    let mut rows: Vec<(LookupKey, Vec<Option<String>>)> = above.rows.iter().map(|(key, row)| (key.clone(), arrange(&above, row))).collect();
    let kept = below.rows.iter().filter(|(key, _)| !above.rows.iter().any(|(other, _)| is_same_key(key, other)));
    rows.extend(kept.map(|(key, row)| (key.clone(), arrange(&below, row))));
    let default = above.default.as_ref().map(|row| arrange(&above, row)).or_else(|| below.default.as_ref().map(|row| arrange(&below, row)));
    LookupTable { name: above.name, columns, rows, default, span: above.span }
}

fn is_same_key(a: &LookupKey, b: &LookupKey) -> bool {
    match (a, b) {
        (LookupKey::Exact(a), LookupKey::Exact(b))
        | (LookupKey::Prefix(a), LookupKey::Prefix(b))
        | (LookupKey::Suffix(a), LookupKey::Suffix(b)) => a == b,
        (LookupKey::Pattern(a), LookupKey::Pattern(b)) => a.as_str() == b.as_str(),
        _ => false,
    }
}
