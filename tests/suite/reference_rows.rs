//! Every line of a reference table has a stated fate: `tests/reference/rows.csv` and `rows-<vendor>.csv` say `mapped`, `changed` or
//! `refused`, why, and which sample or case shows it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The lists of fates beside the reference tables: `rows.csv` and every `rows-<what>.csv`.
fn lists() -> Vec<PathBuf> {
    let found = fs::read_dir(folder().join("reference")).expect("tests/reference is readable");
    let mut lists: Vec<PathBuf> = found
        .map(|entry| entry.expect("a folder entry is readable").path())
        .filter(|path| path.file_name().is_some_and(|name| name == "rows.csv" || name.to_string_lossy().starts_with("rows-")))
        .collect();
    lists.sort();
    lists
}

/// The fates by (file, line): state, reason, golden case. The line is the one an editor shows; the header is line 1.
pub fn stated() -> BTreeMap<(String, u64), [String; 3]> {
    let mut rows = BTreeMap::new();
    for list in lists() {
        let mut reader = csv::Reader::from_path(list).expect("a list of fates is readable");
        for row in reader.records() {
            let row = row.expect("a list of fates is sound CSV");
            let key = (row[0].to_owned(), row[1].parse().expect("a line is a number"));
            let old = rows.insert(key.clone(), [row[2].to_owned(), row[3].to_owned(), row[4].to_owned()]);
            assert!(old.is_none(), "{} line {} stands twice in the lists", key.0, key.1);
        }
    }
    rows
}

/// Every (file, line) of the reference tables.
fn present() -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder().join("reference")).expect("tests/reference is readable") {
        let path = entry.expect("a folder entry is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A table is called after what it maps; the other lists are ours.
        let is_table = ["azure-", "google-", "openai-"].iter().any(|source| name.starts_with(source));
        if path.extension().is_none_or(|ending| ending != "csv") || !is_table {
            continue;
        }
        let mut reader = csv::Reader::from_path(&path).expect("a reference table is readable");
        let mut line = 2;
        for row in reader.records() {
            let row = row.expect("a reference table is sound CSV");
            found.push((name.clone(), line));
            line += 1 + row.iter().map(|cell| cell.matches('\n').count() as u64).sum::<u64>();
        }
    }
    found
}

#[test]
fn every_reference_row_is_listed_and_no_other() {
    let stated = stated();
    let present = present();
    let unlisted: Vec<_> = present.iter().filter(|row| !stated.contains_key(row)).collect();
    assert!(unlisted.is_empty(), "the lists rows*.csv miss {unlisted:?}");
    let gone: Vec<_> = stated.keys().filter(|row| !present.contains(row)).collect();
    assert!(gone.is_empty(), "the lists rows*.csv name lines that no table has: {gone:?}");
}

#[test]
fn every_fate_is_explained_and_shown() {
    for ((file, line), [state, reason, case]) in stated() {
        assert!(matches!(state.as_str(), "mapped" | "changed" | "refused"), "{file}:{line}: the state `{state}` is none of the three");
        assert!(state == "mapped" || reason.len() > 10, "{file}:{line}: `{state}` wants a reason");
        if state == "refused" && case.is_empty() {
            continue;
        }
        // `<file below tests/>#<text in it>`; the text is the id of the record that shows the row.
        let (path, text) = case.split_once('#').unwrap_or((&case, ""));
        let body = fs::read_to_string(folder().join(path)).unwrap_or_else(|fault| panic!("{file}:{line}: {path}: {fault}"));
        assert!(body.contains(text), "{file}:{line}: {path} does not hold `{text}`");
    }
}
