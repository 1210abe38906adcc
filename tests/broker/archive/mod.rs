//! Archives in a folder and on Azurite, written by `udmill run` as a process of its own and read by `udmill replay`. The messages come from the
//! stand-in for Event Hubs. Without Azurite the tests that need it say that they skipped.
mod cut;
mod growing;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use eventhubs_stand_in::Server;

use crate::hubs::process::{AZURITE_KEY, Azurite, Process, wait_for};
use store::Store;

/// Whoever has no broker can run these: `cargo test --test broker archive`.
pub fn cases() -> Vec<(&'static str, fn())> {
    [CASES, growing::CASES].concat()
}

const CASES: &[(&str, fn())] = &[
    ("archive::a_folder_is_written_and_its_replay_is_the_live_path", a_folder_is_written_and_its_replay_is_the_live_path),
    ("archive::a_store_is_written_and_its_replay_is_the_live_path", a_store_is_written_and_its_replay_is_the_live_path),
    ("archive::nothing_is_lost_when_it_is_killed_while_it_writes", nothing_is_lost_when_it_is_killed_while_it_writes),
    ("archive::a_replay_goes_on_where_connections_break", a_replay_goes_on_where_connections_break),
    ("archive::hubs_get_the_events_and_an_archive_keeps_the_messages", hubs_get_the_events_and_an_archive_keeps_the_messages),
    ("archive::a_container_that_is_missing_shows_and_mends", a_container_that_is_missing_shows_and_mends),
];

const PARTITIONS: usize = 4;

fn hub() -> Server {
    Server::start(&[("in", PARTITIONS)]).expect("the stand-in starts")
}

fn audit_event(number: usize) -> String {
    format!(
        r#"{{"id":"audit_log-{number}","type":"project.created","effective_at":1720804090,"actor":{{"type":"session","session":{{"user":{{"id":"user-1","email":"user@example.com"}},"ip_address":"192.0.2.8"}}}},"project.created":{{"id":"proj_1","data":{{"name":"p"}}}}}}"#
    )
}

/// Bodies of every kind that a raw line has to carry: by the number of the message.
fn body(number: usize) -> Vec<u8> {
    let event = audit_event(number);
    match number % 10 {
        // Without a time of its own: what it gets is that of its arrival.
        1 => format!(r#"{{"category":"Audit","operationName":"ListKey","resourceId":"/SUBSCRIPTIONS/1/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/A{number}"}}"#)
            .into_bytes(),
        2 => format!("[\n  {event},\r\n  {}\n]\n", audit_event(number + 1_000_000)).into_bytes(),
        3 => format!("{event}\n{}", audit_event(number + 1_000_000)).into_bytes(),
        4 => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut writer, event.as_bytes()).expect("memory");
            writer.finish().expect("memory")
        }
        5 => format!(r#"{{"records":[{event},{{"id":"audit_log-broken-{number}","type":"pro"#).into_bytes(),
        6 => b"neither JSON nor a log".to_vec(),
        7 => Vec::new(),
        8 if number == 8 => {
            let many: Vec<String> = (0..12_000).map(|one| audit_event(one + 2_000_000)).collect();
            format!(r#"{{"records":[{}]}}"#, many.join(",")).into_bytes()
        }
        _ => event.into_bytes(),
    }
}

fn settings(server: &Server, folder: &Path, archive: &str) -> String {
    format!(
        "[run]\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.eventhubs]\nhubs = [\"in\"]\nendpoint = \"{}\"\ncheckpoint_interval_ms = 100\nbalance_interval_ms = 1000\n[source.eventhubs.access]\nconnection_string = {{ env = \"HUBS\" }}\n[source.eventhubs.checkpoints]\nfile = \"{}\"\n[sink.archive]\n{archive}\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\nprofile = \"typed\"\n[[output]]\nname = \"kept\"\ntopic = \"raw\"\nemit = \"raw\"\n[dead_letter]\ntopic = \"dead\"\n",
        server.endpoint(),
        folder.join("positions.json").display()
    )
}

fn start(server: &Server, settings: &str) -> Process {
    Process::start(settings, &[("HUBS", &server.connection_string()), ("BLOB_KEY", AZURITE_KEY)])
}

/// `udmill replay`: its events and its exit code.
fn replay(arguments: &[&str], variables: &[(String, String)]) -> (Vec<u8>, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udmill"));
    command.arg("replay").args(arguments).envs(variables.iter().cloned());
    let output = command.output().expect("the program starts");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    (output.stdout, output.status.code())
}

/// The lines of all files whose names begin so, in the order of their names.
fn lines(files: &BTreeMap<String, Vec<u8>>, begin: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with(begin)) {
        match name.rsplit_once('.') {
            Some((_, "zst")) => out.extend(zstd::decode_all(&bytes[..]).expect("whole")),
            Some((_, "gz")) => {
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut out).expect("whole");
            }
            _ => out.extend(bytes),
        }
    }
    out
}

/// How often each id stands in events.
fn ids(events: &[u8]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for line in events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_slice(line).expect("an event is JSON");
        let id = value["metadata"]["productLogId"].as_str().expect("every event has an id");
        *ids.entry(id.to_owned()).or_default() += 1;
    }
    ids
}

/// Writes an archive of messages of every kind, stops, and compares the replay of the raw messages with the events.
fn replay_is_the_live_path(
    archive: &str,
    files: impl Fn() -> BTreeMap<String, Vec<u8>>,
    raw: &str,
    dead: &str,
    variables: &[(String, String)],
) {
    let (server, folder) = (hub(), tempfile::tempdir().expect("a temporary folder"));
    let total = 1000;
    let process = start(&server, &settings(&server, folder.path(), archive));
    // A message of megabytes that is on its way may hold up a receiver that is just being attached.
    wait_for("receivers", || (process.log().matches("Attached receiver on partition").count() >= PARTITIONS).then_some(()));
    for number in 0..total {
        server.put("in", number % PARTITIONS, &body(number)).expect("the hub is there");
    }
    let taken = wait_for("all messages", || {
        let page = process.page("/metrics")?;
        let taken =
            page.lines().find_map(|line| line.strip_prefix("udmill_messages_total{source=\"eventhubs\"} ")?.parse::<usize>().ok())?;
        // A connection that breaks on a busy machine repeats what was in flight.
        (taken >= total).then_some(taken)
    });
    assert_eq!(process.stop(), Some(0));
    let files = files();
    assert!(files.keys().filter(|name| name.contains("raw/")).count() > PARTITIONS, "it rolled: {:?}", files.keys());
    let live = lines(&files, "udm/");
    let (replayed, exit) = replay(&["--profile", "typed", raw], variables);
    assert_eq!(exit, Some(0));
    assert!(live == replayed, "{} bytes live, {} bytes replayed", live.len(), replayed.len());
    let ids = ids(&live);
    assert!(ids.len() > 12_000 && (taken > total || ids.values().all(|times| *times == 1)), "{} ids", ids.len());

    let letters = lines(&files, "dead/");
    let count = letters.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(count == total / 10 * 2 || taken > total, "the broken records and the texts that are no logs: {count}");
    let (mended, exit) = replay(&["--redrive", dead], variables);
    assert_eq!((mended.len(), exit), (0, Some(3)), "they are still broken");
}

fn a_folder_is_written_and_its_replay_is_the_live_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (place, url) = (folder.path().display().to_string(), format!("file://{}", folder.path().display()));
    let archive = format!("to = \"{place}\"\ncompression = \"gzip\"\nroll_bytes = 20000\nroll_interval_ms = 300");
    let files = || {
        let mut found = BTreeMap::new();
        let pattern = format!("{place}/**/*.gz");
        for path in glob::glob(&pattern).expect("a pattern").map(|path| path.expect("readable")) {
            let name = path.strip_prefix(folder.path()).expect("below").display().to_string();
            found.insert(name, std::fs::read(path).expect("readable"));
        }
        found
    };
    replay_is_the_live_path(&archive, files, &format!("{place}/raw"), &format!("{url}/dead/**/*.ndjson.gz"), &[]);
}

fn a_store_is_written_and_its_replay_is_the_live_path() {
    let Some(azurite) = Azurite::start("archive") else { return };
    let store = Store::new(&azurite, "archive");
    let archive = format!("to = \"az://archive/kept/here\"\nroll_bytes = 20000\nroll_interval_ms = 300\n{}", store.access("sink.archive"));
    let files = || store.files("kept/here");
    replay_is_the_live_path(&archive, files, "az://archive/kept/here/raw", "az://archive/kept/*/dead/**/*.zst", &store.variables());
    let (_, exit) = replay(&["az://archive/no/such"], &store.variables());
    assert_eq!(exit, Some(1), "nothing is there");
    let (_, exit) = replay(&["az://elsewhere/x"], &store.variables());
    assert_eq!(exit, Some(1), "no such container");
}

fn nothing_is_lost_when_it_is_killed_while_it_writes() {
    let Some(azurite) = Azurite::start("archive") else { return };
    let store = Store::new(&azurite, "archive");
    let (server, folder) = (hub(), tempfile::tempdir().expect("a temporary folder"));
    let archive = format!("to = \"az://archive\"\nroll_bytes = 50000\nroll_interval_ms = 200\n{}", store.access("sink.archive"));
    let settings = settings(&server, folder.path(), &archive);
    let put = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            server.put("in", number % PARTITIONS, audit_event(number).as_bytes()).expect("the hub is there");
        }
    };
    let (kills, step) = (6, 1000);
    let mut running = start(&server, &settings);
    for kill in 0..kills {
        put(kill * step..(kill + 1) * step);
        // After a part of it is written, in the middle of the next files.
        wait_for("some files", || (ids(&lines(&store.files(""), "udm/")).len() > kill * step + 200).then_some(()));
        drop(running);
        running = start(&server, &settings);
    }
    let total = kills * step;
    wait_for("all events", || (ids(&lines(&store.files(""), "udm/")).len() == total).then_some(()));
    // The one before may have written the last of it; this one has to be there to hear the signal.
    wait_for("readiness", || running.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    assert_eq!(running.stop(), Some(0));
    let files = store.files("");
    let ids = ids(&lines(&files, "udm/"));
    let repeated: usize = ids.values().map(|times| times - 1).sum();
    eprintln!("archive: {total} events, {kills} kills, lost {}, repeated {repeated}, {} files", total - ids.len(), files.len());
    assert_eq!(ids.len(), total, "nothing is lost");

    // The raw messages hold the same, with repeats of their own, and no file is half.
    let (replayed, exit) = replay(&["--profile", "typed", "az://archive/raw"], &store.variables());
    assert_eq!((self::ids(&replayed).len(), exit), (total, Some(0)));
}

fn hubs_get_the_events_and_an_archive_keeps_the_messages() {
    let (server, folder) = (
        Server::start(&[("in", PARTITIONS), ("udm", 2), ("dead", 1)]).expect("the stand-in starts"),
        tempfile::tempdir().expect("a folder"),
    );
    let kept = folder.path().join("kept");
    let settings = settings(&server, folder.path(), "")
        .replace("[sink.archive]\n", &format!("[sinks.kept.archive]\nto = \"{}\"\nroll_interval_ms = 200\n", kept.display()))
        .replace("emit = \"raw\"", "emit = \"raw\"\nsink = \"kept\"");
    let total = 500;
    for number in 0..total {
        server.put("in", number % PARTITIONS, audit_event(number).as_bytes()).expect("the hub is there");
    }
    // Killed once, so that the slower of the two sinks decides what is read again.
    let first = start(&server, &settings);
    wait_for("some events", || (server.count("udm") >= 100).then_some(()));
    drop(first);
    let process = start(&server, &settings);
    let replayed = || ids(&replay(&["--profile", "typed", &kept.join("raw").display().to_string()], &[]).0).len();
    wait_for("all messages", || (kept.join("raw").is_dir() && replayed() == total).then_some(()));
    wait_for("all events", || {
        let events: Vec<u8> = server.events("udm").into_iter().flat_map(|event| [event.body, b"\n".to_vec()].concat()).collect();
        (ids(&events).len() == total).then_some(())
    });
    assert_eq!(process.stop(), Some(0));
}

fn a_replay_goes_on_where_connections_break() {
    let Some(azurite) = Azurite::start("archive") else { return };
    let store = Store::new(&azurite, "archive");
    let text: String = (0..40_000).map(|number| audit_event(number) + "\n").collect();
    store.put("large.ndjson", text.as_bytes());
    let whole = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(whole.path(), &text).expect("written");
    let (expected, _) = replay(&[&whole.path().display().to_string()], &[]);
    let way = cut::Cutting::start(azurite.port(), 3, 2_000_000);
    let endpoint = format!("http://127.0.0.1:{}/devstoreaccount1", way.port);
    let variables: Vec<_> = store
        .variables()
        .into_iter()
        .map(|(name, value)| if name == "AZURE_STORAGE_ENDPOINT" { (name, endpoint.clone()) } else { (name, value) })
        .collect();
    let (replayed, exit) = replay(&["az://archive/large.ndjson"], &variables);
    assert_eq!((exit, way.left()), (Some(0), 0), "{} bytes, cut three times", text.len());
    assert!(expected == replayed, "{} bytes expected, {} replayed", expected.len(), replayed.len());
}

fn a_container_that_is_missing_shows_and_mends() {
    let Some(azurite) = Azurite::start("other") else { return };
    let store = Store::new(&azurite, "archive");
    let (server, folder) = (hub(), tempfile::tempdir().expect("a temporary folder"));
    let archive = format!("to = \"az://archive\"\nroll_interval_ms = 100\n{}", store.access("sink.archive"));
    let process = start(&server, &settings(&server, folder.path(), &archive));
    for number in 0..100 {
        server.put("in", number % PARTITIONS, audit_event(number).as_bytes()).expect("the hub is there");
    }
    wait_for("the fault", || process.page("/health/ready").filter(|page| page.contains("container or bucket must be made first")));
    wait_for("the metric", || {
        let page = process.page("/metrics")?;
        page.lines().any(|line| line.starts_with("udmill_archive_files_total{result=\"failed\",sink=\"sink.archive\"}")).then_some(())
    });
    azurite.make_container("archive");
    wait_for("all events", || (ids(&lines(&store.files(""), "udm/")).len() == 100).then_some(()));
    wait_for("readiness", || process.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    assert_eq!(process.stop(), Some(0));
}
