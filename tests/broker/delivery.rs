//! Nothing is lost: kills, stops, backpressure, several outputs.
use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Broker, Case, PATIENCE, Plain, committed, count, fresh_name, make_topic, read_all, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("delivery::killed_and_restarted_loses_nothing", killed_and_restarted_loses_nothing),
    ("delivery::a_stop_drains_and_repeats_nothing", a_stop_drains_and_repeats_nothing),
    ("delivery::a_sink_that_is_away_holds_the_source", a_sink_that_is_away_holds_the_source),
    ("delivery::two_outputs_get_every_event", two_outputs_get_every_event),
];

/// Topics and settings for one test with one output.
pub fn setup(broker: &Broker, stem: &str, partitions: i32) -> Result<Setup, String> {
    Ok(Setup {
        source: make_topic(broker, &format!("{stem}-in"), partitions, &[])?,
        group: fresh_name(stem),
        outputs: vec![("siem".to_owned(), make_topic(broker, &format!("{stem}-out"), 3, &[])?)],
        dead: make_topic(broker, &format!("{stem}-dead"), 1, &[])?,
        source_lines: "commit_interval_ms = 300".to_owned(),
        ..Setup::default()
    })
}

/// `id 0`, `id 1`, ... Every event of them is the same text, with the number as key.
pub fn numbered(count: usize) -> Vec<Plain> {
    (0..count).map(|number| Plain::value(format!("id {number}"))).collect()
}

fn killed_and_restarted_loses_nothing() -> Result<(), String> {
    const MESSAGES: usize = 60_000;
    let broker = Broker::get()?;
    let setup = setup(&broker, "kill", 4)?;
    let (input, output) = (setup.source.clone(), setup.outputs[0].1.clone());
    write(&broker, &input, &numbered(MESSAGES))?;
    // A small budget makes the run long enough to be killed in the middle; the commit interval is long enough for an uncommitted rest.
    let setup = Setup { run: "in_flight_max_bytes = 1048576".to_owned(), source_lines: "commit_interval_ms = 700".to_owned(), ..setup };
    let mut process = Process::start(&broker, &setup)?;
    wait_for("a commit and a part of the events", PATIENCE, || {
        let written = count(&broker, &output).ok()?;
        let known = committed(&broker, &setup.group, &input).ok()?;
        let known = known.values().sum::<i64>();
        (known > 0 && written > known + 1_000).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    process.kill()?;
    let before = read_all(&broker, &output)?;
    let saved = committed(&broker, &setup.group, &input)?;
    if before.len() >= MESSAGES {
        return Err("the process was done before it was killed; the test shows nothing".to_owned());
    }
    let mut process = Process::start(&broker, &setup)?;
    let all: BTreeSet<String> = numbered(MESSAGES).iter().map(Plain::text).collect();
    wait_for("the source to be read to its end", PATIENCE, || {
        (committed(&broker, &setup.group, &input).ok()?.values().sum::<i64>() >= MESSAGES as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    same("exit code", process.stop()?, 0)?;
    let after = read_all(&broker, &output)?;
    let seen: BTreeSet<String> = after.iter().map(Plain::text).collect();
    same("lost messages", all.difference(&seen).count(), 0)?;
    same("messages out of nowhere", seen.difference(&all).count(), 0)?;
    // Committed means acknowledged: everything below the commit was in the output when the process died.
    let mut times: BTreeMap<(i32, i64), u32> = BTreeMap::new();
    for event in &after {
        let header = |name| event.header(name).and_then(|text| text.parse::<i64>().ok()).ok_or("an event without its position");
        *times.entry((header("udmill_source_partition")? as i32, header("udmill_source_offset")?)).or_default() += 1;
    }
    let early = times.iter().filter(|((partition, offset), times)| **times > 1 && saved.get(partition).is_some_and(|saved| offset < saved));
    same("repeats of what was committed", early.count(), 0)?;
    let repeats = after.len() - MESSAGES;
    eprintln!("killed after {} of {MESSAGES} events with {} committed: {repeats} repeats", before.len(), saved.values().sum::<i64>());
    same("dead letters", count(&broker, &setup.dead)?, 0)
}

fn a_stop_drains_and_repeats_nothing() -> Result<(), String> {
    const MESSAGES: usize = 40_000;
    let broker = Broker::get()?;
    let setup = Setup { run: "in_flight_max_bytes = 2097152".to_owned(), ..setup(&broker, "drain", 4)? };
    let output = setup.outputs[0].1.clone();
    write(&broker, &setup.source, &numbered(MESSAGES))?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("a part of the events", PATIENCE, || (count(&broker, &output).ok()? > 2_000).then_some(()))?;
    same("exit code", process.stop()?, 0)?;
    let (written, saved) = (count(&broker, &output)?, committed(&broker, &setup.group, &setup.source)?.values().sum::<i64>());
    same("committed after a drain", saved, written)?;
    if written >= MESSAGES as i64 {
        return Err("the process was done before it was stopped; the test shows nothing".to_owned());
    }
    let mut process = Process::start(&broker, &setup)?;
    wait_for("the rest", PATIENCE, || (count(&broker, &output).ok()? >= MESSAGES as i64).then_some(()))?;
    same("exit code", process.stop()?, 0)?;
    same("events", count(&broker, &output)?, MESSAGES as i64)
}

fn a_sink_that_is_away_holds_the_source() -> Result<(), String> {
    const LIMIT: f64 = 1_048_576.0;
    let broker = Broker::get()?;
    let setup = Setup {
        run: "in_flight_max_bytes = 1048576\ndrain_timeout_ms = 500".to_owned(),
        // Nothing listens on port 1.
        sections: "[sink.kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n".to_owned(),
        ..setup(&broker, "away", 2)?
    };
    let body = "x".repeat(10_000);
    write(&broker, &setup.source, &(0..1000).map(|number| Plain::value(format!("{body} {number}"))).collect::<Vec<_>>())?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("backpressure", PATIENCE, || (process.metric("udmill_paused", "") == 1.0).then_some(()))?;
    let (status, reason) = process.page("/health/ready")?;
    same("readiness", (status, reason.contains("sink:")), (503, true))?;
    wait_for("the gauge of bytes in flight to stand at the limit", PATIENCE, || {
        (LIMIT..LIMIT + 64_000.0).contains(&process.metric("udmill_in_flight_bytes", "")).then_some(())
    })?;
    same("messages taken stay", process.metric("udmill_messages_total", "") < 200.0, true)?;
    same("exit code of a stop that could not drain", process.stop()?, 4)?;
    same("committed", committed(&broker, &setup.group, &setup.source)?.len(), 0)
}

fn two_outputs_get_every_event() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = setup(&broker, "two", 2)?;
    let second = make_topic(&broker, "two-second", 1, &[])?;
    setup.sections = format!("[[output]]\nname = \"second\"\ntopic = \"{second}\"\nprofile = \"typed\"\nwrap = \"events_import\"\n");
    write(&broker, &setup.source, &[Plain::value("{\"n\":1}\nskip 2\n{\"n\":3}"), Plain::value("skip 4")])?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("both messages", PATIENCE, || {
        (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() == 2).then_some(())
    })?;
    process.ready()?;
    same("exit code", process.stop()?, 0)?;
    let texts = |topic: &str| -> Result<Vec<String>, String> {
        let mut texts: Vec<String> = read_all(&broker, topic)?.iter().map(Plain::text).collect();
        texts.sort();
        Ok(texts)
    };
    same("first output", texts(&setup.outputs[0].1)?, vec!["{\"n\":1}".to_owned(), "{\"n\":3}".to_owned()])?;
    let wrapped = |event: &str| format!("{{\"inlineSource\":{{\"events\":[{{\"udm\":{event}}}]}}}}");
    same("second output", texts(&second)?, vec![wrapped("{\"n\":1}"), wrapped("{\"n\":3}")])?;
    let event = read_all(&broker, &second)?.into_iter().next().ok_or("no event")?;
    for (name, expected) in [
        ("udmill_log_type", "TEST_LOG"),
        ("udmill_mapping", "orders@1"),
        ("udmill_profile", "typed"),
        ("udmill_source_topic", &setup.source),
    ] {
        same(name, event.header(name).as_deref(), Some(expected))?;
    }
    same("key", event.key.is_some_and(|key| key.starts_with(b"{")), true)
}
