//! Blobs that grow, on Azurite: `udmill run` reads what they grow by, into an archive in a folder.
use std::collections::BTreeMap;
use std::path::Path;

use super::store::Store;
use super::{ids, lines, replay};
use crate::hubs::process::{AZURITE_KEY, Azurite, Process, wait_for};

/// See `archive::CASES`.
pub const CASES: &[(&str, fn())] = &[
    ("archive::growing_blobs_give_every_record_once", growing_blobs_give_every_record_once),
    ("archive::nothing_is_lost_when_it_is_killed_while_blobs_grow", nothing_is_lost_when_it_is_killed_while_blobs_grow),
    ("archive::a_blob_written_anew_is_read_anew", a_blob_written_anew_is_read_anew),
    ("archive::two_readers_of_one_checkpoint_object_do_not_go_on_together", two_readers_of_one_checkpoint_object_do_not_go_on_together),
];

/// Network cards of the flow log, each with a blob an hour.
const CARDS: usize = 3;

/// A record of a virtual network flow log with two tuples; `number` makes it one of its kind.
fn record(card: usize, number: usize) -> String {
    let (port, other) = (1024 + number % 60_000, number / 60_000);
    let tuple = |state: &str| {
        format!("\"{},198.51.100.{card},192.0.2.{other},{port},443,6,O,{state},NX,0,0,0,0\"", 1_769_900_000_000_u64 + number as u64)
    };
    format!(
        r#"{{"time":"2026-01-31T23:00:{:02}.0000000Z","flowLogVersion":4,"flowLogGUID":"66aa66aa-bb77-4cc8-8dd9-00ee00ee00ee","macAddress":"00224871C2{card:02}","category":"FlowLogFlowEvent","flowLogResourceID":"/SUBSCRIPTIONS/0/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/N/FLOWLOGS/F","targetResourceID":"/subscriptions/0/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v","operationName":"FlowLogFlowEvent","flowRecords":{{"flows":[{{"aclID":"0","flowGroups":[{{"rule":"Rule","flowTuples":[{},{}]}}]}}]}}}}"#,
        number % 60,
        tuple("B"),
        tuple("E"),
    )
}

/// The name of a card's blob of the hour it is now.
fn name(card: usize) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let hour = jiff::Timestamp::from_second(now).expect("a time").strftime("y=%Y/m=%m/d=%d/h=%H").to_string();
    format!("flowLogResourceID=/0_R/N_F/{hour}/m=00/macAddress=00224871C2{card:02}/PT1H.json")
}

/// A blob with so many records, as Azure writes it, or caught while it is written.
fn text(card: usize, records: usize, has_tail: bool) -> Vec<u8> {
    let all: Vec<String> = (0..records).map(|number| record(card, number)).collect();
    format!("{{\"records\":[{}{}", all.join(","), if has_tail { "]}" } else { "" }).into_bytes()
}

fn settings(store: &Store, folder: &Path, checkpoints: &str) -> String {
    format!(
        "[run]\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.blob]\nfrom = [\"az://insights-logs-flowlogflowevent\"]\npoll_interval_ms = 100\ncheckpoint_interval_ms = 100\n{}\n[source.blob.checkpoints]\n{checkpoints}\n[sink.archive]\nto = \"{}\"\ncompression = \"none\"\nroll_interval_ms = 200\n[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n",
        store.access("source.blob"),
        folder.join("archive").display(),
    )
}

fn in_a_file(folder: &Path) -> String {
    format!("file = \"{}\"", folder.join("positions.json").display())
}

fn start(settings: &str) -> Process {
    Process::start(settings, &[("BLOB_KEY", AZURITE_KEY)])
}

/// The events so far.
fn events(folder: &Path) -> Vec<u8> {
    let mut found = BTreeMap::new();
    let pattern = format!("{}/archive/udm/**/*.ndjson", folder.display());
    for path in glob::glob(&pattern).expect("a pattern").map(|path| path.expect("readable")) {
        found.insert(path.display().to_string(), std::fs::read(path).expect("readable"));
    }
    lines(&found, "")
}

fn wait_for_ids(folder: &Path, count: usize) {
    wait_for("all events", || (ids(&events(folder)).len() >= count).then_some(()));
}

/// The lines in an order of their own.
fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

fn growing_blobs_give_every_record_once() {
    let Some(azurite) = Azurite::start("insights-logs-flowlogflowevent") else { return };
    let (store, folder) = (Store::new(&azurite, "insights-logs-flowlogflowevent"), tempfile::tempdir().expect("a temporary folder"));
    let names: Vec<String> = (0..CARDS).map(name).collect();
    let put = |records: usize, has_tail: bool| {
        for (card, name) in names.iter().enumerate() {
            store.put(name, &text(card, records, has_tail));
        }
    };
    let settings = settings(&store, folder.path(), &in_a_file(folder.path()));
    put(10, true);
    let mut running = start(&settings);
    wait_for_ids(folder.path(), 10 * 2 * CARDS);
    let mut records = 10;
    for step in 0..12 {
        records += 7 + step * 5;
        put(records, step % 3 != 1);
        // Some versions are read, some are written over before; twice it is stopped in between.
        if step % 2 == 0 {
            wait_for_ids(folder.path(), records * 2 * CARDS);
        }
        if step == 4 || step == 9 {
            assert_eq!(running.stop(), Some(0));
            running = start(&settings);
        }
    }
    put(records, true);
    wait_for_ids(folder.path(), records * 2 * CARDS);
    assert_eq!(running.stop(), Some(0));
    let events = events(folder.path());
    let ids = ids(&events);
    let repeated: usize = ids.values().map(|times| times - 1).sum();
    eprintln!("growing: {} events of {records} records in {CARDS} blobs, 14 versions, 2 restarts, repeated {repeated}", ids.len());
    assert_eq!((ids.len(), repeated), (records * 2 * CARDS, 0));
    let (replayed, exit) = replay(&["az://insights-logs-flowlogflowevent/**/PT1H.json"], &store.variables());
    assert_eq!(exit, Some(0));
    assert!(sorted(&events) == sorted(&replayed), "the same bytes as when whole blobs are replayed");
}

fn nothing_is_lost_when_it_is_killed_while_blobs_grow() {
    let Some(azurite) = Azurite::start("insights-logs-flowlogflowevent") else { return };
    let (store, folder) = (Store::new(&azurite, "insights-logs-flowlogflowevent"), tempfile::tempdir().expect("a temporary folder"));
    let names: Vec<String> = (0..CARDS).map(name).collect();
    let settings = settings(&store, folder.path(), &in_a_file(folder.path()));
    let (kills, step) = (6, 400);
    let mut running = start(&settings);
    for kill in 0..kills {
        for (card, name) in names.iter().enumerate() {
            store.put(name, &text(card, (kill + 1) * step, true));
        }
        wait_for_ids(folder.path(), kill * step * 2 * CARDS + step);
        drop(running);
        running = start(&settings);
    }
    let total = kills * step * 2 * CARDS;
    wait_for_ids(folder.path(), total);
    // The one before may have written the last of it; this one has to be there to hear the signal.
    wait_for("readiness", || running.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    assert_eq!(running.stop(), Some(0));
    let ids = ids(&events(folder.path()));
    let repeated: usize = ids.values().map(|times| times - 1).sum();
    eprintln!("growing: {total} events, {kills} kills, lost {}, repeated {repeated}", total - ids.len());
    assert_eq!(ids.len(), total);
}

fn a_blob_written_anew_is_read_anew() {
    let Some(azurite) = Azurite::start("insights-logs-flowlogflowevent") else { return };
    let (store, folder) = (Store::new(&azurite, "insights-logs-flowlogflowevent"), tempfile::tempdir().expect("a temporary folder"));
    let name = name(0);
    let process = start(&settings(&store, folder.path(), &in_a_file(folder.path())));
    store.put(&name, &text(0, 50, true));
    wait_for_ids(folder.path(), 100);
    // As long as before and longer, but other records: their place in the text says nothing.
    store.put(&name, &text(1, 60, true));
    wait_for_ids(folder.path(), 100 + 120);
    // Shorter.
    store.put(&name, &text(2, 5, true));
    wait_for_ids(folder.path(), 100 + 120 + 10);
    assert!(process.log().contains("written anew"), "it is told");
    assert_eq!(process.stop(), Some(0));
    assert!(ids(&events(folder.path())).values().all(|times| *times == 1));
}

fn two_readers_of_one_checkpoint_object_do_not_go_on_together() {
    let Some(azurite) = Azurite::start("insights-logs-flowlogflowevent") else { return };
    let (store, folder) = (Store::new(&azurite, "insights-logs-flowlogflowevent"), tempfile::tempdir().expect("a temporary folder"));
    let checkpoints = "object = \"az://insights-logs-flowlogflowevent/udmill/positions.state\"";
    let settings = settings(&store, folder.path(), checkpoints);
    let name = name(0);
    store.put(&name, &text(0, 50, true));
    let one = start(&settings);
    wait_for_ids(folder.path(), 100);
    wait_for("positions", || store.files("udmill").contains_key("positions.state").then_some(()));
    let other = start(&settings);
    wait_for("the other", || other.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    // Both read on and write positions, and one of them notices, also when they say the same.
    for records in 2..40 {
        store.put(&name, &text(0, records * 30, true));
        wait_for_ids(folder.path(), records * 60);
        if [&one, &other].iter().any(|process| process.log().contains("one process alone reads these blobs")) {
            return;
        }
    }
    panic!("nobody noticed the other");
}
