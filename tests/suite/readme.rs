//! The README's commands run as they stand there: every `sh` block below `<!-- run -->`, in a copy of nothing but what it names.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The blocks to run, with the line on which each starts.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line.trim() != "<!-- run -->" {
            continue;
        }
        let (number, fence) = lines.next().expect("a block follows `<!-- run -->`");
        assert_eq!(fence.trim(), "```sh", "line {}: an `sh` block follows `<!-- run -->`", number + 1);
        let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        blocks.push((number + 1, body.join("\n")));
    }
    blocks
}

#[test]
fn the_commands_of_the_readme_run() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let blocks = blocks(&fs::read_to_string(root.join("README.md")).expect("README.md"));
    assert!(blocks.len() >= 2, "the README has commands to run, found {}", blocks.len());
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["tests", "mappings", "deploy"] {
        symlink(root.join(name), folder.path().join(name)).expect("a link");
    }
    let udmill = Path::new(env!("CARGO_BIN_EXE_udmill")).parent().expect("a folder");
    let mut path = OsString::from(udmill);
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    for (line, block) in blocks {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "README.md line {line}: {}\n{block}\n{said}", output.status);
    }
}

/// The `json` block below a mark.
fn json_below(text: &str, mark: &str) -> String {
    let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("README.md has {mark}"));
    let (_, rest) = rest.split_once("```json\n").expect("a block of JSON");
    rest.split_once("```").expect("the block ends").0.to_owned()
}

#[test]
fn the_event_of_the_readme_is_what_its_record_becomes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).expect("README.md");
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record.json");
    fs::write(&record, json_below(&text, "<!-- before -->")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_udmill"))
        .args(["replay", "--summary", "none", "--profile", "typed"])
        .arg(&record)
        .output()
        .expect("udmill runs");
    let event: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one event");
    let shown: serde_json::Value = serde_json::from_str(&json_below(&text, "<!-- after -->")).expect("JSON");
    assert_eq!(event, shown, "the README's event is stale; it is now:\n{event}");
}

#[test]
fn the_files_the_readme_links_to_exist() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).expect("README.md");
    let mut count = 0;
    for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
        if !link.starts_with("http") {
            count += 1;
            assert!(root.join(link).exists(), "README.md links to {link}, which is not there");
        }
    }
    assert!(count > 3, "the README links to files of the project");
}
