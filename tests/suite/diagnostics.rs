//! Mapping diagnostics: golden cases for every code, and the shipped mappings have none.

use std::fs;
use std::path::{Path, PathBuf};

use udmill::engine::{Engine, Settings, View};
use udmill::mapping::{self, Diagnostic, File, Files, compile, diagnostic::CODES, table::Span};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.toml` and `.csv` below a folder, sorted, with its path below that folder.
fn tables(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "toml" || end == "csv") {
                let name = path.strip_prefix(folder).expect("it lies below").to_string_lossy().replace('\\', "/");
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn shipped_mappings_read_under_every_profile() {
    let mut files = Files::new();
    for (name, path) in tables(&repository().join("mappings")) {
        files.add_built_in(&name, &fs::read_to_string(path).expect("a shipped mapping is text"));
    }
    let names = mapping::list(&files);
    assert!(!names.is_empty());
    for name in names {
        let profiles = mapping::profiles(&files, &name);
        for profile in [None].into_iter().chain(profiles.iter().map(|profile| Some(profile.as_str()))) {
            match mapping::read(&files, &name, profile) {
                Ok(table) => assert!(!table.rows.is_empty() && !table.matches.is_empty(), "{name} {profile:?} says something"),
                Err(faults) => panic!("{name} under {profile:?}:\n{}", mapping::render(&faults, &files, false)),
            }
        }
    }
}

/// A golden case: the text up to the first marker is `case.toml`; `#== file: NAME` and `#== site: NAME` start further files,
/// `#== profile: NAME` chooses a profile, `#== settings: NAME`
/// starts settings whose filters and outputs choose.
fn read_case(text: &str) -> (Files, Option<String>) {
    let mut files = Files::new();
    let mut profile = None;
    let mut add = |name: &str, kind: &str, text: &str| {
        if kind == "settings" {
            files.add_chooser(name, text, true);
            return;
        }
        let site = kind == "site";
        // A case that begins with a marker has no `case.toml` of its own.
        if text.is_empty() && !site && name == "case.toml" {
            return;
        }
        let shown = if site { format!("site/{name}") } else { format!("mappings/{name}") };
        files.add(File { name: name.to_owned(), shown, text: text.to_owned(), site });
    };
    let (mut name, mut kind, mut content) = ("case.toml", "file", String::new());
    for line in text.lines() {
        let marker = line.strip_prefix("#== ").and_then(|marker| marker.split_once(": "));
        match marker {
            Some(("profile", wanted)) => profile = Some(wanted.to_owned()),
            Some((next_kind, next)) => {
                add(name, kind, &content);
                (name, kind, content) = (next, next_kind, String::new());
            }
            None => {
                content.push_str(line);
                content.push('\n');
            }
        }
    }
    add(name, kind, &content);
    (files, profile)
}

/// What `check` says: faults of the text, or else faults and warnings of the meaning.
fn faults_of(files: &Files, profile: Option<&str>) -> Vec<Diagnostic> {
    let place = |span: Span| (files.get(span.file).map_or_else(String::new, |file| file.shown.clone()), files.position(span).0);
    match mapping::read(files, "case", profile) {
        Err(faults) => faults,
        Ok(table) => match compile::compile(&table, &compile::Options::default(), &place) {
            // What several mappings claim together is seen where they are put together.
            Ok((_, warnings)) => match Engine::build(files, &[View::default()], Settings::default()) {
                Ok(_) => warnings,
                Err(faults) => faults,
            },
            Err(faults) => faults,
        },
    }
}

#[test]
fn every_code_has_a_golden_case() {
    let folder = repository().join("tests/golden/diagnostics");
    let mut missing: Vec<&str> = CODES.iter().map(|code| code.id).collect();
    let mut stale = Vec::new();
    for (name, path) in tables(&folder) {
        let code = name.split('_').next().unwrap_or_default().to_owned();
        let (files, profile) = read_case(&fs::read_to_string(&path).expect("a case is text"));
        let faults = faults_of(&files, profile.as_deref());
        assert!(faults.iter().any(|fault| fault.code == code), "{name} shows {code}:\n{}", mapping::render(&faults, &files, false));
        missing.retain(|id| *id != code);
        let text = mapping::render(&faults, &files, false);
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).expect("the golden folder is writable");
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            stale.push(format!("{name} gives now:\n{text}"));
        }
    }
    assert!(stale.is_empty(), "{}\nUPDATE_GOLDEN=1 rewrites the files", stale.join("\n"));
    assert!(missing.is_empty(), "codes without a case in tests/golden/diagnostics: {missing:?}");
}
