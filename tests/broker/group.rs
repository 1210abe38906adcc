//! Several processes in one consumer group.
use std::collections::BTreeSet;

use crate::delivery::{numbered, setup};
use crate::harness::{Broker, Case, PATIENCE, Plain, committed, read_all, same, wait_for, write};
use crate::process::Process;

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("group::a_second_process_takes_its_share_and_gives_it_back", a_second_process_takes_its_share_and_gives_it_back),
    ("group::the_same_with_eager_assignment", the_same_with_eager_assignment),
    ("group::the_same_with_eager_assignment_exactly_once", the_same_with_eager_assignment_exactly_once),
];

/// Every rebalance takes all partitions from everybody, also those that stay.
const EAGER: &str = "\n[source.kafka.librdkafka]\n\"partition.assignment.strategy\" = \"range\"";

fn a_second_process_takes_its_share_and_gives_it_back() -> Result<(), String> {
    come_and_go("group", "", "")
}

fn the_same_with_eager_assignment() -> Result<(), String> {
    come_and_go("group-eager", EAGER, "")
}

fn the_same_with_eager_assignment_exactly_once() -> Result<(), String> {
    come_and_go("group-eager-txn", EAGER, "delivery = \"exactly_once\"\ntransaction_interval_ms = 200\n")
}

fn come_and_go(stem: &str, source: &str, run: &str) -> Result<(), String> {
    const MESSAGES: usize = 80_000;
    let broker = Broker::get()?;
    let mut setup = setup(&broker, stem, 4)?;
    setup.source_lines.push_str(source);
    setup.run = format!("{run}in_flight_max_bytes = 1048576");
    write(&broker, &setup.source, &numbered(MESSAGES))?;
    let mut first = Process::start(&broker, &setup)?;
    first.ready()?;
    let mut second = Process::start(&broker, &setup)?;
    wait_for("the first process to give partitions away", PATIENCE, || {
        (first.metric("udmill_rebalances_total", "revoked") >= 1.0).then_some(())
    })?;
    write(&broker, &setup.source, &numbered(MESSAGES))?;
    wait_for("the second process to work", PATIENCE, || (second.metric("udmill_delivered_total", "siem") > 0.0).then_some(()))
        .map_err(|error| format!("{error}; log:\n{}", second.log()))?;
    same("exit code of the second", second.stop()?, 0)?;
    wait_for("the first to finish alone", PATIENCE, || {
        (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() >= 2 * MESSAGES as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", first.log()))?;
    same("exit code of the first", first.stop()?, 0)?;
    let events = read_all(&broker, &setup.outputs[0].1)?;
    let places: BTreeSet<(Option<String>, Option<String>)> =
        events.iter().map(|event| (event.header("udmill_source_partition"), event.header("udmill_source_offset"))).collect();
    same("messages that came through", places.len(), 2 * MESSAGES)?;
    let texts: BTreeSet<String> = events.iter().map(Plain::text).collect();
    same("texts", texts.len(), MESSAGES)?;
    // Both ends were orderly: what is revoked is finished and committed first.
    same("repeats", events.len() - places.len(), 0)
}
