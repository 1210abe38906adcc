//! Guards the import rules of the rooms: the core does no input or output, every package has one home, and no file grows without end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::rust_paths::{Named, names};

/// The rooms and which other rooms each may name. The first eight are the core.
const ROOMS: &[(&str, &[&str])] = &[
    ("udm", &[]),
    ("decode", &[]),
    ("plan", &["decode", "udm"]),
    ("mapping", &["plan", "udm"]),
    ("classify", &["decode", "plan"]),
    ("enrich", &["plan", "udm"]),
    ("validate", &["plan", "udm"]),
    ("engine", &["udm", "decode", "plan", "mapping", "classify", "enrich", "validate"]),
    ("config", CORE),
    ("telemetry", CORE),
    ("source", &["config", "udm", "decode", "plan", "mapping", "classify", "enrich", "validate", "engine"]),
    ("sink", &["config", "udm", "decode", "plan", "mapping", "classify", "enrich", "validate", "engine"]),
    ("runtime", EVERY_ROOM_BELOW_RUNTIME),
    ("insight", CORE),
    // The commands belong to `main`: the only place that may start the runtime.
    ("cli", EVERY_ROOM),
];

const CORE: &[&str] = &["udm", "decode", "plan", "mapping", "classify", "enrich", "validate", "engine"];
const EVERY_ROOM_BELOW_RUNTIME: &[&str] =
    &["udm", "decode", "plan", "mapping", "classify", "enrich", "validate", "engine", "config", "telemetry", "source", "sink"];
const EVERY_ROOM: &[&str] = &[
    "udm",
    "decode",
    "plan",
    "mapping",
    "classify",
    "enrich",
    "validate",
    "engine",
    "config",
    "telemetry",
    "source",
    "sink",
    "runtime",
    "insight",
];

/// What a core room must not name, and what to do instead.
const CORE_FORBIDDEN: &[(&str, &str)] = &[
    ("std::fs", "pass the value in from the shell instead"),
    ("std::net", "take the address types from `core::net`; connections belong to the shell"),
    ("std::env", "pass the value in from the shell instead"),
    ("std::thread", "threads belong to the shell"),
    ("std::process", "processes belong to the shell"),
    ("std::time::SystemTime", "pass the time in from the shell instead"),
    ("std::time::Instant", "measure in the shell instead"),
    ("SystemTime", "pass the time in from the shell instead"),
    ("Instant", "measure in the shell instead"),
    ("jiff::Timestamp::now", "pass the time in from the shell instead"),
    ("jiff::Zoned::now", "pass the time in from the shell instead"),
    ("Timestamp::now", "pass the time in from the shell instead"),
    ("Zoned::now", "pass the time in from the shell instead"),
    ("tokio", "tasks belong to the shell"),
    ("crossbeam_channel", "queues belong to the shell"),
    ("tracing", "return an outcome or a note; the shell logs"),
    ("println!", "return the text; the shell prints"),
    ("eprintln!", "return the text; the shell prints"),
    ("dbg!", "return the text; the shell prints"),
    ("std::io::stdout", "return the text; the shell prints"),
    ("std::io::stdin", "pass the bytes in from the shell instead"),
    ("std::collections::hash_map::RandomState", "take the hash seed from the shell"),
    ("ahash::RandomState::new", "take the hash seed from the shell"),
    ("rand", "take the hash seed from the shell"),
    ("getrandom", "take the hash seed from the shell"),
];

/// Packages and the only places (a room, or a file or folder of one) that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("simd_json", &["decode"]),
    ("maxminddb", &["enrich/geo"]),
    ("woothee", &["enrich/user_agent"]),
    // The demo owns the in-process broker.
    ("rdkafka", &["source/kafka", "sink/kafka", "cli/demo"]),
    ("azure_messaging_eventhubs", &["source/eventhubs", "sink/eventhubs"]),
    ("object_store", &["config/place", "source/eventhubs", "source/blob", "sink/archive"]),
    ("reqwest", &["source/openai"]),
    // One place makes the credentials that both sides use.
    ("azure_identity", &["config/entra"]),
    ("prometheus", &["telemetry"]),
    ("axum", &["telemetry"]),
    ("tokio_rustls", &["telemetry/tls"]),
    ("tokio", &["main", "cli", "source", "sink", "telemetry", "runtime"]),
    // Load-time code, what people ask for, and the admin port's list.
    (
        "serde_json",
        &[
            "udm",
            "mapping",
            "config",
            "cli",
            "insight",
            "telemetry/drift",
            "source/eventhubs",
            "source/blob",
            "source/openai",
            "sink/letter_file",
            "sink/raw_line",
        ],
    ),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("anstream", &["cli"]),
];

/// No file may be longer.
const LINES_AT_MOST: usize = 800;

#[test]
fn rooms_keep_to_their_imports() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 5, "src/ holds the project, found only {files:?}");
    let sources: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root).expect("a file below the root").to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(path).expect("a source file is UTF-8"))
        })
        .collect();
    let faults = judge(&sources);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder of the project").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            files.push(entry);
        }
    }
}

/// Judges files given as `(src/room/file.rs, text)`; one line for every fault.
fn judge(sources: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    let read: Vec<_> = sources.iter().map(|(name, text)| (name, text, names(text))).collect();
    let test_files: BTreeSet<String> =
        read.iter().flat_map(|(name, _, names)| names.test_modules.iter().map(|module| module_path(name, module))).collect();
    for (name, text, names) in &read {
        let lines = text.lines().count();
        if lines > LINES_AT_MOST {
            faults.push(format!("{name}:{}: {lines} lines, at most {LINES_AT_MOST}; split the file by what it is for", LINES_AT_MOST + 1));
        }
        let inside = name.trim_start_matches("src/").trim_end_matches(".rs");
        if test_files.iter().any(|test| inside == test || inside.starts_with(&format!("{test}/"))) {
            continue;
        }
        let room = inside.split('/').next().unwrap_or_default();
        if !matches!(room, "lib" | "main") && !ROOMS.iter().any(|(known, _)| *known == room) {
            faults.push(format!("{name}:1: `{room}` is no room; put the file into one of those STYLE knows, or name the new room here"));
            continue;
        }
        for named in &names.paths {
            faults.extend(judge_path(name, inside, room, named));
        }
    }
    faults
}

/// `src/enrich/mod.rs` declaring `slow` -> `enrich/slow`.
fn module_path(file: &str, module: &str) -> String {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let folder = inside.strip_suffix("/mod").unwrap_or(if matches!(inside, "lib" | "main") { "" } else { inside });
    if folder.is_empty() { module.to_owned() } else { format!("{folder}/{module}") }
}

fn judge_path(file: &str, inside: &str, room: &str, named: &Named) -> Option<String> {
    let full = named.segments.join("::");
    let line = named.line;
    if CORE.contains(&room) {
        for (forbidden, instead) in CORE_FORBIDDEN {
            if full == *forbidden || full.starts_with(&format!("{forbidden}::")) {
                return Some(format!("{file}:{line}: core module `{room}` names `{forbidden}`; {instead}"));
            }
        }
    }
    if room == "plan" && full == "format!" {
        return Some(format!("{file}:{line}: the plan names `format!`; append to the buffer that is handed in instead"));
    }
    let first = named.segments[0].as_str();
    if let Some((package, homes)) = HOMES.iter().find(|(package, _)| *package == first && named.segments.len() > 1) {
        let at_home = homes.iter().any(|home| inside == *home || inside.starts_with(&format!("{home}/")));
        if !at_home {
            let homes: Vec<String> = homes.iter().map(|home| format!("`{home}`")).collect();
            return Some(format!("{file}:{line}: `{package}` is named outside its home; only {} may", homes.join(", ")));
        }
    }
    let other = other_room(inside, named)?;
    if matches!(room, "lib" | "main") || other == room {
        return None;
    }
    let (_, allowed) = ROOMS.iter().find(|(known, _)| *known == room)?;
    (!allowed.contains(&other)).then(|| {
        format!(
            "{file}:{line}: room `{room}` names room `{other}`; it may name only: {}",
            if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }
        )
    })
}

/// The room that a path leads to: by `crate::`, by the crate's name, or by enough `super::`.
fn other_room<'a>(inside: &str, named: &'a Named) -> Option<&'a str> {
    let segments = &named.segments;
    let at = match segments[0].as_str() {
        "crate" | "udmill" => 1,
        "super" => {
            // `src/a/mod.rs` and `src/a.rs` are one level deep, `src/a/b.rs` two; as many `super` lead to the crate.
            let depth = inside.trim_end_matches("/mod").split('/').count();
            let supers = segments.iter().take_while(|segment| *segment == "super").count();
            if supers < depth {
                return None;
            }
            supers
        }
        _ => return None,
    };
    let name = segments.get(at)?.as_str();
    ROOMS.iter().any(|(room, _)| *room == name).then_some(name)
}

#[test]
fn the_guard_finds_what_it_should() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let faults = judge(&[
        file("src/enrich/geo.rs", "//! Geo.\nuse std::fs::File;\nuse maxminddb::Reader;"),
        file("src/enrich/user_agent.rs", "use maxminddb::Reader;"),
        file("src/mapping/mod.rs", "use crate::{enrich, plan::Slot};\n#[cfg(test)]\nmod slow;"),
        file("src/mapping/slow.rs", "use std::fs;"),
        file("src/source/kafka.rs", "use super::super::sink::Sink;\nuse rdkafka::Message;"),
        file("src/plan/run.rs", "fn f() { format!(\"{}\", 1); }"),
        file("src/cli/run.rs", "use crate::runtime::start;"),
        file("src/telemetry/mod.rs", "use crate::runtime::start;"),
        file("src/decode/long.rs", &"\n".repeat(801)),
        file("src/misc/mod.rs", ""),
    ]);
    let expected = [
        "src/enrich/geo.rs:2: core module `enrich` names `std::fs`; pass the value in from the shell instead",
        "src/enrich/user_agent.rs:1: `maxminddb` is named outside its home; only `enrich/geo` may",
        "src/mapping/mod.rs:1: room `mapping` names room `enrich`; it may name only: plan, udm",
        "src/source/kafka.rs:1: room `source` names room `sink`; it may name only: \
         config, udm, decode, plan, mapping, classify, enrich, validate, engine",
        "src/plan/run.rs:1: the plan names `format!`; append to the buffer that is handed in instead",
        "src/telemetry/mod.rs:1: room `telemetry` names room `runtime`; it may name only: \
         udm, decode, plan, mapping, classify, enrich, validate, engine",
        "src/decode/long.rs:801: 801 lines, at most 800; split the file by what it is for",
        "src/misc/mod.rs:1: `misc` is no room; put the file into one of those STYLE knows, or name the new room here",
    ];
    assert_eq!(faults, expected);
}

/// Two crates stand outside the workspace, so nothing else builds them with every change; `--locked` refuses them when a dependency is missing.
#[test]
fn crates_of_their_own_lock_what_the_program_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| -> toml::Table {
        let text = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let manifest = read("Cargo.toml");
    let needed: BTreeSet<&str> = manifest["dependencies"]
        .as_table()
        .expect("a table")
        .iter()
        .filter(|(_, how)| how.get("optional").and_then(toml::Value::as_bool) != Some(true))
        .map(|(name, how)| how.get("package").and_then(toml::Value::as_str).unwrap_or(name))
        .collect();
    for folder in ["benches/peers", "tests/fuzz"] {
        let lock = read(&format!("{folder}/Cargo.lock"));
        let package = lock["package"].as_array().expect("a list").iter().find(|package| package["name"].as_str() == Some("udmill"));
        let locked = package.and_then(|package| package["dependencies"].as_array()).expect("udmill is locked");
        // A version stands behind the name where there are several.
        let locked: BTreeSet<&str> = locked.iter().filter_map(|one| one.as_str()?.split(' ').next()).collect();
        let missing: Vec<_> = needed.difference(&locked).collect();
        assert!(missing.is_empty(), "{folder}/Cargo.lock lacks {missing:?}; run `cargo update --workspace` there");
    }
}
