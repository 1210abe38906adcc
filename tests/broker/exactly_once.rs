//! Transactions: refused events, sleepers, namesakes.
use std::collections::BTreeSet;
use std::time::Duration;

use crate::delivery::{numbered, setup};
use crate::harness::{Broker, Case, PATIENCE, Plain, committed, make_topic, read_all, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("exactly_once::a_refused_event_is_a_dead_letter_of_the_same_transaction", a_refused_event_is_a_dead_letter_of_the_same_transaction),
    ("exactly_once::a_sleeper_commits_nothing_that_another_has", a_sleeper_commits_nothing_that_another_has),
    ("exactly_once::a_namesake_ends_the_first", a_namesake_ends_the_first),
    ("exactly_once::a_stop_repeats_nothing", a_stop_repeats_nothing),
];

fn transactional(broker: &Broker, stem: &str, partitions: i32) -> Result<Setup, String> {
    let run = "delivery = \"exactly_once\"\ntransaction_interval_ms = 200\nin_flight_max_bytes = 2097152".to_owned();
    let sections = "[sink.kafka.librdkafka]\n\"transaction.timeout.ms\" = \"6000\"\n".to_owned();
    let source_lines = "[source.kafka.librdkafka]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"1000\"".to_owned();
    Ok(Setup { run, sections, source_lines, ..setup(broker, stem, partitions)? })
}

/// Waits until the group has committed `count` messages.
fn done(broker: &Broker, setup: &Setup, count: usize, process: &Process) -> Result<(), String> {
    // A transaction's own marker takes an offset in topics it writes to, never in the input.
    wait_for("the input to be committed", PATIENCE, || {
        (committed(broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() >= count as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))
}

fn once_each(broker: &Broker, setup: &Setup, count: usize) -> Result<(), String> {
    let texts: Vec<String> = read_all(broker, &setup.outputs[0].1)?.iter().map(Plain::text).collect();
    let distinct: BTreeSet<&String> = texts.iter().collect();
    same("distinct events", distinct.len(), count)?;
    same("duplicates", texts.len() - distinct.len(), 0)
}

fn a_refused_event_is_a_dead_letter_of_the_same_transaction() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = transactional(&broker, "txn-refused", 2)?;
    // Padding compresses to nothing, and the broker weighs what it gets.
    setup.sections.push_str("\"compression.type\" = \"none\"\n");
    setup.outputs[0].1 = make_topic(&broker, "txn-small", 2, &[("max.message.bytes", "20000")])?;
    let mut messages = numbered(200);
    // The second is refused by the producer itself, the first by the broker.
    messages.insert(90, Plain::value("grow 50000 big"));
    messages.insert(150, Plain::value("grow 2000000 huge"));
    messages.insert(160, Plain::value("reject this"));
    write(&broker, &setup.source, &messages)?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, 203, &process)?;
    same("exit code", process.stop()?, 0)?;
    once_each(&broker, &setup, 200)?;
    let letters = read_all(&broker, &setup.dead)?;
    let mut codes: Vec<(String, String)> =
        letters.iter().map(|letter| (letter.text(), letter.header("udmill_code").unwrap_or_default())).collect();
    codes.sort();
    let expected = [("grow 2000000 huge", "event_too_large"), ("grow 50000 big", "event_too_large"), ("reject this", "ordered")];
    same("dead letters", codes, expected.map(|(text, code)| (text.to_owned(), code.to_owned())).to_vec())
}

fn a_sleeper_commits_nothing_that_another_has() -> Result<(), String> {
    const MESSAGES: usize = 30_000;
    let broker = Broker::get()?;
    let setup = transactional(&broker, "txn-sleep", 4)?;
    write(&broker, &setup.source, &numbered(MESSAGES))?;
    let mut sleeper = Process::start(&broker, &setup)?;
    wait_for("a commit", PATIENCE, || (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() > 0).then_some(()))
        .map_err(|error| format!("{error}; log:\n{}", sleeper.log()))?;
    sleeper.signal("STOP")?;
    let mut other = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES, &other)?;
    sleeper.signal("CONT")?;
    write(&broker, &setup.source, &(MESSAGES..MESSAGES + 5_000).map(|number| Plain::value(format!("id {number}"))).collect::<Vec<_>>())?;
    done(&broker, &setup, MESSAGES + 5_000, &other)?;
    same("exit code of the other", other.stop()?, 0)?;
    same("exit code of the sleeper", sleeper.stop()?, 0)?;
    once_each(&broker, &setup, MESSAGES + 5_000)
}

fn a_namesake_ends_the_first() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = transactional(&broker, "txn-name", 2)?;
    setup.run.push_str("\ninstance = \"one\"");
    write(&broker, &setup.source, &numbered(500))?;
    let mut first = Process::start(&broker, &setup)?;
    done(&broker, &setup, 500, &first)?;
    let mut second = Process::start(&broker, &setup)?;
    second.ready()?;
    let more = |from: usize| (from..from + 500).map(|number| Plain::value(format!("id {number}"))).collect::<Vec<_>>();
    write(&broker, &setup.source, &more(500))?;
    same("exit code of the first", first.wait()?, 1)?;
    same("it says why", first.log().contains("run.instance"), true)?;
    done(&broker, &setup, 1_000, &second)?;
    same("exit code of the second", second.stop()?, 0)?;
    once_each(&broker, &setup, 1_000)
}

fn a_stop_repeats_nothing() -> Result<(), String> {
    const MESSAGES: usize = 40_000;
    let broker = Broker::get()?;
    let setup = transactional(&broker, "txn-stop", 4)?;
    write(&broker, &setup.source, &numbered(MESSAGES))?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("a part", PATIENCE, || (process.metric("udmill_delivered_total", "siem") > 2_000.0).then_some(()))?;
    same("exit code", process.stop()?, 0)?;
    // What was under way was committed, not thrown away.
    same("aborted because it ended", process.log().contains("the process ends"), false)?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES, &process)?;
    std::thread::park_timeout(Duration::from_millis(300));
    same("aborted", process.metric("udmill_transactions_total", "aborted"), 0.0)
        .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    same("exit code", process.stop()?, 0)?;
    once_each(&broker, &setup, MESSAGES)
}
