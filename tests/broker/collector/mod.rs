//! `udmill run` with the collector of OpenAI's audit log: a process of its own, a server on loopback that misbehaves, an archive behind it.
#[path = "../../suite/collector/api.rs"]
mod api;
pub mod exactly_once;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::hubs::process::{Process, wait_for};
use api::{Api, Fault, Held};
use server::{KEY, Server, now};

/// Whoever has no broker can run these: `cargo test --test broker collector`.
pub const CASES: &[(&str, fn())] = &[
    ("collector::an_archive_of_it_is_replayed_to_the_live_path", an_archive_of_it_is_replayed_to_the_live_path),
    ("collector::nothing_is_lost_when_it_is_killed", nothing_is_lost_when_it_is_killed),
    ("collector::a_refused_key_shows_and_a_new_one_mends", a_refused_key_shows_and_a_new_one_mends),
    ("collector::one_look_from_the_command_line", one_look_from_the_command_line),
    ("collector::a_second_process_is_refused", a_second_process_is_refused),
];

/// The timeline of the samples, moved so that its last event appears `ahead` seconds from now.
fn timeline(ahead: i64) -> Api {
    let mut api = Api::timeline();
    let last = api.held.iter().map(|one| one.visible_at).max().expect("events");
    let shift = now() + ahead - last;
    for one in &mut api.held {
        let old = format!("\"effective_at\":{}", one.at);
        one.at += shift;
        one.visible_at += shift;
        assert!(one.bytes.contains(&old), "the time stands in the event");
        one.bytes = one.bytes.replace(&old, &format!("\"effective_at\":{}", one.at));
    }
    api
}

/// The events of the timeline, appearing one after another for so long, some a few seconds late.
fn flowing(seconds: i64) -> Api {
    let mut api = Api::timeline();
    let (begin, count) = (now(), api.held.len() as i64);
    for (number, one) in (0..).zip(&mut api.held) {
        let old = format!("\"effective_at\":{}", one.at);
        one.at = begin + number * seconds / count;
        one.visible_at = one.at + if number % 14 == 0 { 4 } else { 0 };
        one.bytes = one.bytes.replace(&old, &format!("\"effective_at\":{}", one.at));
    }
    api.faults = (0..8).flat_map(|_| spells()).flat_map(|fault| [fault, Fault::Nothing]).collect();
    api
}

/// Starts and kills a process again and again: after some requests, or as soon as `count` grows, which is between delivery and state as far as
/// chance has it.
fn kill_often(kills: u64, settings: &str, server: &Server, count: &dyn Fn() -> usize) {
    for kill in 0..kills {
        let process = Process::start(settings, &[]);
        let (requests, before) = (server.with(|api| api.requests), count());
        let total = server.with(|api| api.held.len());
        if kill % 2 == 0 {
            wait_for("requests", || (server.with(|api| api.requests) > requests + 2 * kill).then_some(()));
        } else {
            wait_for("events", || (count() > before || before == total).then_some(()));
        }
        drop(process);
    }
}

fn settings(server: &Server, folder: &Path, key: &str) -> String {
    let folder = folder.display();
    format!(
        "[run]\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.openai]\nkey = {{ file = \"{key}\" }}\nbase_url = \"{}\"\npoll_seconds = 5\npage_events = 10\nstate.folder = \"{folder}/state\"\n[sink.archive]\nto = \"{folder}/archive\"\ncompression = \"none\"\nroll_interval_ms = 100\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\nprofile = \"typed\"\n[[output]]\nname = \"kept\"\ntopic = \"raw\"\nemit = \"raw\"\n[dead_letter]\ntopic = \"dead\"\n",
        server.url()
    )
}

fn key_file(folder: &Path, key: &str) -> String {
    let path = folder.join("key");
    std::fs::write(&path, format!("{key}\n")).expect("written");
    path.display().to_string()
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let pattern = format!("{}/**/*", folder.display());
    let paths = glob::glob(&pattern).expect("a pattern").filter_map(Result::ok).filter(|path| path.is_file());
    paths.filter_map(|path| Some((path.display().to_string(), std::fs::read(&path).ok()?))).collect()
}

fn events(folder: &Path) -> Vec<u8> {
    files(&folder.join("archive/udm")).into_iter().filter(|(name, _)| name.ends_with(".ndjson")).flat_map(|(_, bytes)| bytes).collect()
}

/// How often each id stands in events.
fn ids(events: &[u8]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for line in events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_slice(line).expect("an event is JSON");
        *ids.entry(value["metadata"]["productLogId"].as_str().expect("every event has an id").to_owned()).or_default() += 1;
    }
    ids
}

fn spells() -> Vec<Fault> {
    let mut faults = vec![Fault::Nothing; 7];
    for fault in [
        Fault::Status(500),
        Fault::Limited(Some("1".into())),
        Fault::Truncated,
        Fault::Loops,
        Fault::Repeats,
        Fault::Silence,
        Fault::Status(502),
        Fault::NoLastId,
        Fault::Truncated,
    ] {
        faults.extend([fault, Fault::Nothing, Fault::Nothing, Fault::Nothing]);
    }
    faults
}

/// Neither the log, nor a page of the admin port, nor any file holds the key.
fn assert_no_key(process: &Process, folder: &Path) {
    let secret = &KEY[9..];
    assert!(!process.log().contains(secret), "the log");
    for path in ["/metrics", "/health/ready"] {
        assert!(!process.page(path).expect("it answers").contains(secret), "{path}");
    }
    for (name, bytes) in files(folder).into_iter().filter(|(name, _)| !name.ends_with("/key")) {
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{name}");
    }
}

fn an_archive_of_it_is_replayed_to_the_live_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut api = timeline(-1);
    // Pretty-printed, with what is not ASCII, and without an id.
    api.held.push(Held {
        visible_at: now(),
        tenant: false,
        at: now() - 60,
        id: "audit_log-pretty".into(),
        bytes: format!("{{\n  \"id\": \"audit_log-pretty\",\r\n  \"type\": \"project.created\",\n  \"effective_at\": {},\n  \"project.created\": {{\"data\": {{\"name\": \"Füße \\u2713\"}}}}\n}}", now() - 60),
    });
    api.faults = spells().into();
    let total = api.held.len();
    let server = Server::start(api);
    let process = Process::start(&settings(&server, folder.path(), &key_file(folder.path(), KEY)), &[]);
    wait_for("all events", || (ids(&events(folder.path())).len() == total).then_some(()));
    wait_for("readiness", || process.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    let metrics = process.page("/metrics").expect("it answers");
    for line in [
        "udmill_collector_events_total{kind=\"new\",listing=\"organization\"} 396",
        "udmill_collector_events_total{kind=\"new\",listing=\"tenant\"} 25",
    ] {
        assert!(metrics.lines().any(|found| found == line), "expected `{line}` in:\n{metrics}");
    }
    assert_no_key(&process, folder.path());
    assert_eq!(process.stop(), Some(0));
    let live = events(folder.path());
    let ids = ids(&live);
    assert!(ids.len() == total && ids.values().all(|times| *times == 1), "{} of {total} ids", ids.len());
    let raw = folder.path().join("archive/raw").display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_udmill")).args(["replay", "--profile", "typed", &raw]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == live, "{} bytes replayed, {} bytes live", output.stdout.len(), live.len());
}

fn nothing_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = flowing(40);
    let total = api.held.len();
    let server = Server::start(api);
    let settings = settings(&server, folder.path(), &key_file(folder.path(), KEY)).replace("page_events = 10", "page_events = 50");
    let kills = 12;
    kill_often(kills, &settings, &server, &|| ids(&events(folder.path())).len());
    let process = Process::start(&settings, &[]);
    wait_for("readiness", || process.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    wait_for("all events", || (ids(&events(folder.path())).len() == total).then_some(()));
    assert_eq!(process.stop(), Some(0));
    let ids = ids(&events(folder.path()));
    let repeated: usize = ids.values().map(|times| times - 1).sum();
    eprintln!("collector: {total} events, {kills} kills, lost {}, repeated {repeated}", total - ids.len());
    assert_eq!(ids.len(), total, "nothing is lost");
}

fn a_refused_key_shows_and_a_new_one_mends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(timeline(-1));
    let total = server.with(|api| api.held.len());
    "sk-admin-another".clone_into(&mut server.key.lock().expect("no holder panics"));
    let key = key_file(folder.path(), KEY);
    let process = Process::start(&settings(&server, folder.path(), &key), &[]);
    let page = wait_for("the fault", || process.page("/health/ready").filter(|page| page.contains("refuses the key in the file")));
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("source.openai.key"), "{page}");
    assert_no_key(&process, folder.path());
    let asked = server.with(|api| api.requests);
    assert_eq!(asked, 0, "nothing was answered");
    std::fs::write(&key, "sk-admin-another").expect("written");
    wait_for("all events", || (ids(&events(folder.path())).len() == total).then_some(()));
    wait_for("readiness", || process.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    assert_eq!(process.stop(), Some(0));
}

fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(timeline(-1));
    let settings = settings(&server, folder.path(), &key_file(folder.path(), KEY));
    let first = Process::start(&settings, &[]);
    wait_for("the state", || folder.path().join("state/organization.json").exists().then_some(()));
    let path = folder.path().join("second.toml");
    std::fs::write(&path, &settings).expect("written");
    let run = || Command::new(env!("CARGO_BIN_EXE_udmill")).arg("run").arg("--config").arg(&path).output().expect("it starts");
    let second = run();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && told.contains("another process holds it"), "{told}");
    assert_eq!(first.stop(), Some(0));
    // A state that cannot be read stops it, too.
    std::fs::write(folder.path().join("state/tenant.json"), "{").expect("written");
    let third = run();
    let told = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(third.status.code() == Some(1) && told.contains("tenant.json") && told.contains("restore it"), "{told}");
}

fn one_look_from_the_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut api = timeline(-1);
    api.faults = spells().into();
    let total = api.held.len();
    let server = Server::start(api);
    let url = server.url();
    let collect = |arguments: &[&str], key: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udmill"));
        command.args(["collect", "openai", "--once"]).args(arguments).env_remove("OPENAI_ADMIN_KEY");
        command.envs(key.map(|key| ("OPENAI_ADMIN_KEY", key)));
        let output = command.output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains(&KEY[9..]), "{told}");
        (output.stdout, output.status.code(), told)
    };
    let (stdout, exit, told) = collect(&["--since", "2h", "--base-url", &url, "--profile", "typed", "--page-events", "10"], Some(KEY));
    let found = ids(&stdout);
    assert_eq!((found.len(), found.values().sum::<usize>(), exit), (total, total, Some(0)), "{told}");

    let raw = folder.path().join("raw.ndjson").display().to_string();
    let (_, exit, told) = collect(&["--since", "2h", "--base-url", &url, "--emit", "raw", "-o", &raw], Some(KEY));
    assert_eq!(exit, Some(0), "{told}");
    let lines = std::fs::read_to_string(&raw).expect("written");
    assert_eq!(lines.lines().count(), total);
    assert!(lines.lines().all(|line| server.with(|api| api.held.iter().any(|one| one.bytes == line))), "untouched");

    // Through settings: to the sinks, remembered, and the second look finds nothing new.
    let path = folder.path().join("udmill.toml").display().to_string();
    std::fs::write(&path, settings(&server, folder.path(), &key_file(folder.path(), KEY))).expect("written");
    for since in ["2h", "1h"] {
        let (_, exit, told) = collect(&["--since", since, "--config", &path], None);
        assert_eq!(exit, Some(0), "{told}");
        let found = ids(&events(folder.path()));
        assert_eq!((found.len(), found.values().sum::<usize>()), (total, total), "{since}");
    }

    for (name, arguments, key, code, part) in [
        ("no key", &["--base-url", &url][..], None, 2, "OPENAI_ADMIN_KEY"),
        ("another key", &["--base-url", &url], Some("sk-other"), 1, "status 401"),
        ("a key over the open network", &["--base-url", "http://192.0.2.1"], Some(KEY), 2, "expected `https://HOST`"),
        ("no time", &["--since", "soon"], Some(KEY), 2, "as `24h`"),
    ] {
        let (stdout, exit, told) = collect(arguments, key);
        assert!(exit == Some(code) && told.contains(part) && stdout.is_empty(), "case {name}: {exit:?} {told}");
    }
}
