//! `[lookup.NAME]`: inline rows or a CSV file beside the mapping.

use std::collections::HashSet;

use super::condition;
use super::diagnostic::{Diagnostic, Files};
use super::node::{Faults, Object, constant_text};
use super::table::{LookupKey, LookupTable, Span};

const KEY_COLUMNS: [&str; 4] = ["key", "prefix", "suffix", "matches"];

/// One row before its columns are put in order.
pub(super) struct RawRow {
    /// Its place.
    pub span: Span,
    /// Column and text.
    pub cells: Vec<(String, String)>,
}

/// Reads a look-up. `folder` is where the mapping stands, ending in `/`, or empty.
pub(super) fn read(name: &str, object: &Object<'_>, folder: &str, files: &Files, faults: &mut Faults) -> Option<LookupTable> {
    object.check_keys("a look-up", &["rows", "file", "replace", "extends"], faults);
    let (columns, rows) = match (object.get("rows"), object.get("file")) {
        (Some(node), None) => {
            let mut rows = Vec::new();
            for node in node.list(faults) {
                let Some(row) = node.object(faults) else { continue };
                let cell = |(key, _, node): &(&str, Span, super::node::Node<'_>)| {
                    Some(((*key).to_owned(), constant_text(&node.constant(faults)?)))
                };
                rows.push(RawRow { span: node.span, cells: row.entries.iter().filter_map(cell).collect() });
            }
            let mut columns: Vec<String> = Vec::new();
            for (key, _) in rows.iter().flat_map(|row| &row.cells) {
                if !columns.contains(key) {
                    columns.push(key.clone());
                }
            }
            (columns, rows)
        }
        (None, Some(node)) => {
            let path = format!("{folder}{}", node.text(faults)?);
            let Some(index) = files.site(&path).or_else(|| files.built_in(&path)) else {
                faults.push(Diagnostic::error("M017", node.span, format!("there is no file `{path}`")).suggest(&path, csv_names(files)));
                return None;
            };
            let (header, rows) = csv_rows(index, "M018", files, faults)?;
            if !header.iter().any(|column| KEY_COLUMNS.contains(&column.as_str())) {
                let end = files.get(index)?.text.find(['\r', '\n']).unwrap_or(0);
                let place = Span { file: index, start: 0, end: u32::try_from(end).unwrap_or(u32::MAX) };
                faults.push(Diagnostic::error("M018", place, "no column holds keys"));
                return None;
            }
            (header, rows)
        }
        _ => {
            faults.push(Diagnostic::error("M018", object.span, format!("look-up `{name}` needs either `rows` or `file`")));
            return None;
        }
    };
    let columns: Vec<String> = columns.into_iter().filter(|column| !KEY_COLUMNS.contains(&column.as_str())).collect();
    if columns.is_empty() {
        faults.push(Diagnostic::error("M018", object.span, format!("look-up `{name}` answers nothing: it has no column beside its keys")));
        return None;
    }
    let mut table = LookupTable { name: name.to_owned(), columns, span: object.span, ..LookupTable::default() };
    let mut seen = HashSet::new();
    for row in &rows {
        add(row, &mut table, &mut seen, faults);
    }
    Some(table)
}

fn add(row: &RawRow, table: &mut LookupTable, seen: &mut HashSet<(&'static str, String)>, faults: &mut Faults) {
    let cell =
        |column: &str| row.cells.iter().find(|(key, _)| key == column).map(|(_, value)| value.clone()).filter(|value| !value.is_empty());
    let answers: Vec<Option<String>> = table.columns.iter().map(|column| cell(column)).collect();
    let keys: Vec<(&'static str, String)> = KEY_COLUMNS.iter().filter_map(|column| Some((*column, cell(column)?))).collect();
    let mut fault = |message: String| faults.push(Diagnostic::error("M018", row.span, message));
    let (kind, text) = match &keys[..] {
        [] if table.default.is_some() => return fault(format!("look-up `{}` has two rows without a key", table.name)),
        [] => return table.default = Some(answers),
        [one] => one.clone(),
        _ => return fault("a row has one key, found several".to_owned()),
    };
    let text = if kind == "matches" { text } else { text.to_ascii_lowercase() };
    if !seen.insert((kind, text.clone())) {
        return fault(format!("`{text}` is the key of two rows"));
    }
    let key = match kind {
        "prefix" => LookupKey::Prefix(text),
        "suffix" => LookupKey::Suffix(text),
        "matches" => match condition::compile(&text) {
            Ok(pattern) => LookupKey::Pattern(pattern),
            Err(why) => return faults.push(Diagnostic::error("M016", row.span, format!("the pattern cannot be compiled: {why}"))),
        },
        _ => LookupKey::Exact(text),
    };
    table.rows.push((key, answers));
}

fn csv_names(files: &Files) -> impl Iterator<Item = &str> {
    files.iter().map(|(_, file)| file.name.as_str()).filter(|name| name.ends_with(".csv"))
}

/// Header and rows of a CSV file, without lines that begin with `#`; what is wrong with them is said under `code`. The span of a row is its line.
pub(super) fn csv_rows(index: u32, code: &'static str, files: &Files, faults: &mut Faults) -> Option<(Vec<String>, Vec<RawRow>)> {
    let text = &files.get(index)?.text;
    let place = |position: Option<&csv::Position>| {
        let start = position.map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0)).min(text.len());
        let start = start + text[start..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let end = text[start..].find(['\r', '\n']).map_or(text.len(), |len| start + len);
        Span { file: index, start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(error) => {
            faults.push(Diagnostic::error(code, place(None), format!("the file has no header row: {error}")));
            return None;
        }
    };
    let is_twice = |at: usize| header[..at].contains(&header[at]);
    if let Some(twice) = (0..header.len()).find(|at| is_twice(*at) || header[*at].is_empty()) {
        faults.push(Diagnostic::error(code, place(None), format!("column {} has no name of its own", twice + 1)));
        return None;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let cells = header.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
                rows.push(RawRow { span: place(record.position()), cells });
            }
            Err(error) => {
                let message = match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{expected_len} columns are expected, found {len}"),
                    _ => error.to_string(),
                };
                faults.push(Diagnostic::error(code, place(error.position()), message));
            }
        }
    }
    Some((header, rows))
}
