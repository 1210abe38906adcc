//! Several processes in one consumer group.
use std::collections::BTreeSet;

use crate::delivery::{numbered, setup};
use crate::harness::{Broker, Case, PATIENCE, Plain, committed, read_all, same, wait_for, write};
use crate::process::Process;

/// The cases of this file.
pub const CASES: &[(&str, Case)] =
    &[("group::a_second_process_takes_its_share_and_gives_it_back", a_second_process_takes_its_share_and_gives_it_back)];

fn a_second_process_takes_its_share_and_gives_it_back() -> Result<(), String> {
    const MESSAGES: usize = 80_000;
    let broker = Broker::get()?;
    let mut setup = setup(&broker, "group", 4)?;
    setup.run = "in_flight_max_bytes = 1048576".to_owned();
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
