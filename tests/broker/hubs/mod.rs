//! Event Hubs over AMQP: `udmill run` as a process of its own, between hubs of the stand-in. Blob checkpoints are tested on Azurite when
//! `eval "$(tests/broker/azurite.sh)"` made it known; without it those tests say that they skipped.
mod chaos;
pub mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use eventhubs_stand_in::Server;
use process::{AZURITE_KEY, Process, wait_for};

/// Whoever has no broker can run these: `cargo test --test broker hubs`.
pub const CASES: &[(&str, fn())] = &[
    ("hubs::events_pass_once_and_a_restart_goes_on_behind_them", events_pass_once_and_a_restart_goes_on_behind_them),
    (
        "hubs::a_partition_without_a_checkpoint_begins_at_the_end_when_told_so",
        a_partition_without_a_checkpoint_begins_at_the_end_when_told_so,
    ),
    ("hubs::chaos::nothing_is_lost_with_checkpoints_in_a_file", chaos::nothing_is_lost_with_checkpoints_in_a_file),
    ("hubs::chaos::nothing_is_lost_with_checkpoints_in_blobs", chaos::nothing_is_lost_with_checkpoints_in_blobs),
    (
        "hubs::what_the_service_does_not_store_is_sent_again_and_what_it_refuses_is_a_dead_letter",
        what_the_service_does_not_store_is_sent_again_and_what_it_refuses_is_a_dead_letter,
    ),
    ("hubs::a_refused_token_shows_and_a_broken_connection_mends", a_refused_token_shows_and_a_broken_connection_mends),
    ("hubs::an_answer_that_never_comes_is_not_waited_for", an_answer_that_never_comes_is_not_waited_for),
];

/// Events of the input, by partition.
const PARTITIONS: usize = 4;

fn hubs() -> Server {
    Server::start(&[("in", PARTITIONS), ("udm", 2), ("dead", 1)]).expect("the stand-in starts")
}

fn audit_event(number: usize) -> String {
    format!(
        r#"{{"id":"audit_log-{number}","type":"project.created","effective_at":1720804090,"actor":{{"type":"session","session":{{"user":{{"id":"user-1","email":"user@example.com"}},"ip_address":"192.0.2.8"}}}},"project.created":{{"id":"proj_1","data":{{"name":"p"}}}}}}"#
    )
}

fn put(server: &Server, numbers: std::ops::Range<usize>) {
    for number in numbers {
        server.put("in", number % PARTITIONS, audit_event(number).as_bytes()).expect("the hub is there");
    }
}

fn settings(server: &Server, checkpoints: &str, more: &str) -> String {
    format!(
        "[run]\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.eventhubs]\nhubs = [\"in\"]\nendpoint = \"{}\"\ncheckpoint_interval_ms = 100\nbalance_interval_ms = 1000\n{more}\n[source.eventhubs.access]\nconnection_string = {{ env = \"HUBS\" }}\n{checkpoints}\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n",
        server.endpoint()
    )
}

fn file(folder: &Path) -> String {
    format!("[source.eventhubs.checkpoints]\nfile = \"{}\"", folder.join("positions.json").display())
}

fn start(server: &Server, settings: &str) -> Process {
    Process::start(settings, &[("HUBS", &server.connection_string()), ("BLOB_KEY", AZURITE_KEY)])
}

/// How often each id was written.
fn written(server: &Server) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for event in server.events("udm") {
        let value: serde_json::Value = serde_json::from_slice(&event.body).expect("an event is JSON");
        let id = value["metadata"]["productLogId"].as_str().expect("every event has an id");
        *ids.entry(id.to_owned()).or_default() += 1;
    }
    ids
}

fn all(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("audit_log-{number}")).collect()
}

fn wait_for_all(server: &Server, count: usize) {
    // Parsing everything each time would be slow; repeats only make it look earlier.
    wait_for("all events", || (server.count("udm") >= count && written(server).len() >= count).then_some(()));
}

fn events_pass_once_and_a_restart_goes_on_behind_them() {
    let (server, folder) = (hubs(), tempfile::tempdir().expect("a temporary folder"));
    put(&server, 0..1000);
    let settings = settings(&server, &file(folder.path()), "");
    let first = start(&server, &settings);
    wait_for_all(&server, 1000);
    assert_eq!(first.stop(), Some(0));
    assert!(written(&server).values().all(|times| *times == 1), "nothing is written twice");
    let headers: BTreeMap<String, String> = server.events("udm")[0].properties.iter().cloned().collect();
    assert!(headers.values().any(|value| value == "in"), "the source's hub is a property: {headers:?}");

    put(&server, 1000..1200);
    let second = start(&server, &settings);
    wait_for_all(&server, 1200);
    assert_eq!(second.stop(), Some(0));
    let written = written(&server);
    assert_eq!(written.keys().cloned().collect::<BTreeSet<_>>(), all(1200));
    assert!(written.values().all(|times| *times == 1), "an orderly stop repeats nothing");
    assert_eq!(server.count("dead"), 0);
}

fn a_partition_without_a_checkpoint_begins_at_the_end_when_told_so() {
    let (server, folder) = (hubs(), tempfile::tempdir().expect("a temporary folder"));
    put(&server, 0..100);
    let process = start(&server, &settings(&server, &file(folder.path()), "start = \"latest\""));
    wait_for("partitions", || process.log().matches("partitions assigned").count().checked_sub(PARTITIONS));
    // A broken connection must not move the beginning.
    server.drop_connections();
    put(&server, 100..200);
    wait_for_all(&server, 100);
    assert_eq!(process.stop(), Some(0));
    let expected: BTreeSet<String> = all(200).difference(&all(100)).cloned().collect();
    assert_eq!(written(&server).into_keys().collect::<BTreeSet<_>>(), expected);
}

fn what_the_service_does_not_store_is_sent_again_and_what_it_refuses_is_a_dead_letter() {
    let (server, folder) = (hubs(), tempfile::tempdir().expect("a temporary folder"));
    server.faults().release_sends(2);
    let process = start(&server, &settings(&server, &file(folder.path()), ""));
    put(&server, 0..200);
    wait_for_all(&server, 200);

    // Only the output's transfer is refused: the next one, of one event, and the same alone.
    server.faults().reject_sends(2, "amqp:link:message-size-exceeded");
    put(&server, 200..201);
    wait_for("the dead letter", || (server.count("dead") == 1).then_some(()));
    assert_eq!(server.events("dead")[0].body, audit_event(200).as_bytes());
    assert_eq!(process.stop(), Some(0));
    assert_eq!(written(&server).len(), 200);
}

fn a_refused_token_shows_and_a_broken_connection_mends() {
    let (server, folder) = (hubs(), tempfile::tempdir().expect("a temporary folder"));
    server.faults().refuse_tokens(true);
    let process = start(&server, &settings(&server, &file(folder.path()), ""));
    wait_for("the refusal", || process.page("/health/ready").filter(|page| page.contains("did not let us in")));
    server.faults().refuse_tokens(false);
    put(&server, 0..500);
    wait_for("some events", || (server.count("udm") >= 100).then_some(()));
    assert!(server.drop_connections() > 0, "there are connections");
    put(&server, 500..1000);
    wait_for_all(&server, 1000);
    wait_for("readiness", || process.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    assert_eq!(process.stop(), Some(0));
    assert_eq!(written(&server).into_keys().collect::<BTreeSet<_>>(), all(1000));
}

fn an_answer_that_never_comes_is_not_waited_for() {
    // Each waits for half a minute: all at once.
    let paths = ["$management", "/in/ConsumerGroups/$Default/Partitions/2", "/udm/Partitions/1"];
    std::thread::scope(|scope| {
        for path in paths {
            scope.spawn(move || {
                let (server, folder) = (hubs(), tempfile::tempdir().expect("a temporary folder"));
                server.faults().withhold_token(path);
                put(&server, 0..200);
                let process = start(&server, &settings(&server, &file(folder.path()), ""));
                wait_for_all(&server, 200);
                assert!(server.faults().has_withheld(), "{path}: somebody asked");
                assert_eq!(process.stop(), Some(0), "{path}");
                assert_eq!(written(&server).into_keys().collect::<BTreeSet<_>>(), all(200), "{path}");
            });
        }
    });
}
