//! Pages that are made from the source: settings, metrics and mappings. `UPDATE_GOLDEN=1 cargo test --test suite generated_docs` writes them anew.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// Compares a page with the file, or writes it.
fn page(path: &str, text: &str) {
    let file = root().join(path);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, text).expect("the page is written");
    }
    let found = fs::read_to_string(Path::new(&file)).unwrap_or_default();
    assert!(found == text, "{path} is stale; run `UPDATE_GOLDEN=1 cargo test --test suite generated_docs` and read the difference");
}

/// A struct whose documentation names a section of the settings file.
#[derive(Debug)]
struct Section {
    title: String,
    about: String,
    fields: Vec<(String, String)>,
}

/// Reads the documented structs of a source file: those whose documentation begins with a section's name in backticks.
fn sections(text: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    let mut open: Option<Section> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(text) = trimmed.strip_prefix("///") {
            doc.push(text.trim());
        } else if trimmed.starts_with("#[") {
            // Attributes stand between a comment and what it is about.
        } else {
            let about = std::mem::take(&mut doc).join(" ");
            if trimmed.starts_with("pub struct ") && about.starts_with("`[") {
                let (title, rest) = about.split_once(": ").unwrap_or((about.trim_end_matches('.'), ""));
                open = Some(Section { title: title.to_owned(), about: rest.to_owned(), fields: Vec::new() });
            } else if trimmed == "}" {
                sections.extend(open.take());
            } else if let (Some(section), Some(field)) = (&mut open, trimmed.strip_prefix("pub ")) {
                let name = field.split(':').next().unwrap_or_default();
                section.fields.push((name.to_owned(), about));
            }
        }
    }
    sections
}

#[test]
fn settings() {
    let mut text = String::from(
        "# Settings\n\nOne TOML file, given to `udmill run --config` and `udmill check --config`. Unknown keys are refused. Secrets never stand in it:\n\
         `{ env = \"NAME\" }` or `{ file = \"PATH\" }` says where one is read from. Made from the source of `src/config`; do not edit.\n",
    );
    let mut count = 0;
    let files = ["settings", "routes", "connection", "eventhubs", "archive", "blob", "openai", "place"]
        .map(|file| source(&format!("src/config/{file}.rs")))
        .concat();
    for section in sections(&files) {
        let _ = write!(text, "\n## {}\n\n", section.title);
        if !section.about.is_empty() {
            let _ = write!(text, "{}\n\n", section.about);
        }
        text.push_str("| setting | meaning |\n|---|---|\n");
        for (name, about) in &section.fields {
            assert!(!about.is_empty(), "{}: `{name}` has no documentation", section.title);
            let _ = writeln!(text, "| `{name}` | {} |", about.replace('|', "\\|"));
            count += 1;
        }
    }
    assert!(count > 20, "src/config has settings, found {count}");
    page("docs/settings.md", &text);
}

/// `(name, what it is, labels)` of every metric: the name is a string, what it is the string after it, the labels the list that follows.
fn metrics(text: &str) -> Vec<(String, String, Vec<String>)> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for rest in text.split("\"udmill_").skip(1) {
        let (name, rest) = rest.split_once('"').expect("a string ends");
        let (_, rest) = rest.split_once('"').expect("what it is follows the name");
        let (help, rest) = rest.split_once('"').expect("a string ends");
        // The labels stand before the next metric.
        let labels = rest.split_once("&[").map_or("", |(_, list)| list.split_once(']').map_or("", |(list, _)| list));
        let labels = labels.split(',').map(|label| label.trim().trim_matches('"').to_owned()).filter(|label| !label.is_empty());
        found.push((format!("udmill_{name}"), help.to_owned(), labels.collect()));
    }
    found
}

#[test]
fn metric_names() {
    let mut text = String::from(
        "# Metrics\n\nServed at `/metrics` of the admin port. Labels come from closed sets. Made from `src/telemetry/metrics.rs`; do not edit.\n\n\
         | metric | labels | meaning |\n|---|---|---|\n",
    );
    let metrics = metrics(&source("src/telemetry/metrics.rs"));
    assert!(metrics.len() > 10, "src/telemetry/metrics.rs declares metrics, found {}", metrics.len());
    for (name, help, labels) in metrics {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(text, "| `{name}` | {} | {help} |", labels.join(", "));
    }
    page("docs/metrics.md", &text);
}

/// Every table has its page, and no page is left of a table that is gone.
#[test]
fn mapping_pages() {
    let files = udmill::mapping::built_in();
    let folder = root().join("docs/mappings");
    let names = udmill::mapping::list(&files);
    assert!(names.len() >= 4, "mappings are built in, found {names:?}");
    let told = |faults: Vec<udmill::mapping::Diagnostic>| -> String { panic!("{}", udmill::mapping::render(&faults, &files, false)) };
    for name in &names {
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(folder.join(name).parent().expect("a folder above")).expect("a folder is made");
        }
        page(&format!("docs/mappings/{name}.md"), &udmill::insight::page::page(&files, name).unwrap_or_else(told));
    }
    page("docs/mappings/README.md", &udmill::insight::page::index(&files).unwrap_or_else(told));
    let mut stale = Vec::new();
    for vendor in
        fs::read_dir(&folder).expect("the pages are there").map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir())
    {
        for file in fs::read_dir(&vendor).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let inside = file.strip_prefix(&folder).expect("below the folder").with_extension("").to_string_lossy().into_owned();
            if !names.contains(&inside) {
                stale.push(file);
            }
        }
    }
    assert!(stale.is_empty(), "pages of tables that are gone: {stale:?}");
}

#[test]
fn tags() {
    let mut text = String::from(
        "# Security tags\n\nEvery tag that the shipped lists know: what it stands for, its severity, and the operations that get it. What the columns mean, and\n\
         how a site changes severities, stands in [mapping-language.md](mapping-language.md#tags). Made from `mappings/tags`; do not edit.\n",
    );
    let mut techniques = String::from("\n## Techniques\n\n| id | name | tactic | framework |\n|---|---|---|---|\n");
    let mut lists: Vec<PathBuf> =
        fs::read_dir(root().join("mappings/tags")).expect("the lists").map(|entry| entry.expect("an entry").path()).collect();
    lists.sort();
    for list in lists {
        let name = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut reader = csv::Reader::from_path(&list).expect("a list is readable");
        let header = reader.headers().expect("a header").clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("sound CSV")).collect();
        let cell = |row: &csv::StringRecord, column: &str| {
            header.iter().position(|name| name == column).and_then(|at| row.get(at)).unwrap_or_default().replace('|', "\\|")
        };
        if name == "techniques" {
            for row in &rows {
                let (id, of, framework) = (cell(row, "id"), cell(row, "name"), cell(row, "framework"));
                let _ = writeln!(
                    techniques,
                    "| {id} | {of} | {} {} | {framework} {} |",
                    cell(row, "tactic_id"),
                    cell(row, "tactic"),
                    cell(row, "version")
                );
            }
            continue;
        }
        let _ = write!(text, "\n## {name}\n\n| tag | severity | what happened | operation | techniques |\n|---|---|---|---|---|\n");
        for row in &rows {
            let mut operation = format!("`{}`", cell(row, "operation"));
            for column in ["status", "detail"] {
                let word = cell(row, column);
                if !word.is_empty() {
                    let _ = write!(operation, ", {column} `{word}`");
                }
            }
            let (tag, severity, summary) = (cell(row, "tag"), cell(row, "severity"), cell(row, "summary"));
            let _ = writeln!(text, "| `{tag}` | {severity} | {summary} | {operation} | {} |", cell(row, "techniques"));
        }
    }
    page("docs/tags.md", &(text + &techniques));
}
