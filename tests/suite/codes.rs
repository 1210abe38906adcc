//! The list of codes holds what the sources say, no more and no less; `docs/codes.md` is made from it.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use udmill::engine::codes::{CODES, Said};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("src is readable") {
        let path = entry.expect("a folder entry is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Words in quotes behind any of `marks`, in the code that runs: what stands in test modules and comments does not count.
fn said(rooms: &[&str], marks: &[&str]) -> BTreeSet<String> {
    let mut files = Vec::new();
    for room in rooms {
        sources(&root().join("src").join(room), &mut files);
    }
    let mut words = BTreeSet::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with("tests") || name == "codes" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source is text");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for mark in marks {
                for (at, _) in line.match_indices(mark) {
                    let word = line[at + mark.len()..].split('"').next().unwrap_or_default();
                    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
                        words.insert(word.to_owned());
                    }
                }
            }
        }
    }
    words
}

/// Chooses codes by what they are said of.
type Is = fn(&Said) -> bool;

fn listed(is: Is) -> BTreeSet<String> {
    CODES.iter().filter(|code| is(&code.said)).map(|code| code.id.to_owned()).collect()
}

#[test]
fn every_code_of_the_sources_is_listed_and_no_other() {
    let rooms = ["decode", "engine", "plan", "runtime"];
    // `if refused.too_large { "event_too_large" } else { "output_refused" }` names two in one line.
    let mut rejects = said(&rooms, &["code: \"", "broken(\"", "too_large { \"", "\"event_too_large\" } else { \""]);
    rejects.extend(said(&["decode"], &["=> \""]).into_iter().filter(|word| listed(|said| matches!(said, Said::Reject(_))).contains(word)));
    assert_eq!(rejects, listed(|said| matches!(said, Said::Reject(_))), "rejects: left the sources, right src/engine/codes.rs");

    let skips = said(&["decode", "plan"], &["reason: \"", "list_array(doc, root, \"", "list_array(doc, value, \""]);
    let mut skips: BTreeSet<String> = skips.into_iter().collect();
    skips.extend(said(&["decode"], &["unwrap_or(root), \""]));
    skips.extend(said(&["runtime"], &["REPEAT: &str = \"", "_OUTPUT: &str = \""]));
    assert_eq!(skips, listed(|said| *said == Said::Skip), "skips: left the sources, right src/engine/codes.rs");

    let notes = said(&["plan", "mapping", "enrich"], &["Fault(\"", ".note(\""]);
    assert_eq!(notes, listed(|said| *said == Said::Note), "notes: left the sources, right src/engine/codes.rs");
}

#[test]
fn codes_are_told_apart_and_explained() {
    let mut seen = BTreeSet::new();
    for code in CODES {
        let kind = match code.said {
            Said::Reject(_) => "reject",
            Said::Skip => "skip",
            Said::Note => "note",
            Said::Repair => "repair",
        };
        assert!(seen.insert((kind, code.id)), "{kind} `{}` is listed twice", code.id);
        assert!(code.what.len() > 5 && !code.mend.is_empty(), "`{}` is not explained", code.id);
        assert!(!code.what.ends_with('.') && !code.mend.ends_with('.'), "`{}`: the list has no full stops", code.id);
    }
}

#[test]
fn the_page_of_codes() {
    let mut text = String::from(
        "# Codes\n\nEvery word that a dead letter, a skipped part, a note or a repair may carry. They are stable, so alerts may name them. Made from\n\
         `src/engine/codes.rs` by `UPDATE_GOLDEN=1 cargo test --test suite codes`; do not edit.\n",
    );
    let sections: [(&str, &str, Is); 4] = [
        ("Rejected", "The part becomes a dead letter with its own bytes; its neighbours are untouched.", |said| {
            matches!(said, Said::Reject(_))
        }),
        ("Skipped", "The part gives no event, on purpose, and is counted.", |said| *said == Said::Skip),
        ("Notes", "The event is emitted without a value, or with a changed one.", |said| *said == Said::Note),
        ("Repairs", "The record was read after a correction, which `additional.udmill_repair` names.", |said| *said == Said::Repair),
    ];
    for (title, about, is) in sections {
        let _ = write!(text, "\n## {title}\n\n{about}\n\n");
        let is_staged = title == "Rejected";
        text.push_str(if is_staged {
            "| stage | code | what | how to mend it |\n|---|---|---|---|\n"
        } else {
            "| code | what | how to mend it |\n|---|---|---|\n"
        });
        for code in CODES.iter().filter(|code| is(&code.said)) {
            if let Said::Reject(stage) = code.said {
                let _ = write!(text, "| {stage} ");
            }
            let _ = writeln!(text, "| `{}` | {} | {} |", code.id, code.what, code.mend);
        }
    }
    let page = root().join("docs/codes.md");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&page, &text).expect("the page is written");
    }
    assert!(
        fs::read_to_string(&page).unwrap_or_default() == text,
        "docs/codes.md is stale; run `UPDATE_GOLDEN=1 cargo test --test suite codes`"
    );
}
