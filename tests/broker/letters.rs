//! Dead letters: which record, why, in which form, and how they are read again.
use crate::delivery::{numbered, setup};
use crate::harness::{Broker, Case, PATIENCE, Plain, committed, count, fresh_name, make_topic, read_all, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("letters::rejects_and_panics_name_their_record", rejects_and_panics_name_their_record),
    ("letters::an_event_the_broker_refuses_becomes_one", an_event_the_broker_refuses_becomes_one),
    ("letters::an_unknown_output_topic_makes_letters", an_unknown_output_topic_makes_letters),
    ("letters::a_refused_letter_stops_the_process", a_refused_letter_stops_the_process),
    ("letters::pieces_are_read_again_as_one_record", pieces_are_read_again_as_one_record),
    ("letters::content_may_be_hidden", content_may_be_hidden),
];

/// Runs until so many messages of the source are committed, then stops it.
fn run_through(broker: &Broker, setup: &Setup, messages: i64) -> Result<Process, String> {
    let mut process = Process::start(broker, setup)?;
    wait_for("all messages to be settled", PATIENCE, || {
        (committed(broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() >= messages).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    same("exit code", process.stop()?, 0)?;
    Ok(process)
}

fn rejects_and_panics_name_their_record() -> Result<(), String> {
    let broker = Broker::get()?;
    let setup = setup(&broker, "letters", 1)?;
    write(
        &broker,
        &setup.source,
        &[Plain::value("id 1\nreject 2\nid 3"), Plain::value("panic 4"), Plain::value("skip 5"), Plain::value("id 6")],
    )?;
    run_through(&broker, &setup, 4)?;
    let mut events: Vec<String> = read_all(&broker, &setup.outputs[0].1)?.iter().map(Plain::text).collect();
    events.sort();
    same("events", events, vec!["id 1".to_owned(), "id 3".into(), "id 6".into()])?;
    let letters = read_all(&broker, &setup.dead)?;
    let seen = letters.iter().map(|letter| {
        let header = |name| letter.header(name).unwrap_or_default();
        (
            letter.text(),
            header("udmill_stage"),
            header("udmill_code"),
            header("udmill_path"),
            header("udmill_source_offset"),
            header("udmill_record"),
        )
    });
    let line = |text: &str, stage: &str, code: &str, path: &str, offset: &str, record: &str| {
        (text.to_owned(), stage.to_owned(), code.to_owned(), path.to_owned(), offset.to_owned(), record.to_owned())
    };
    same(
        "letters",
        seen.collect::<Vec<_>>(),
        vec![line("reject 2", "map", "ordered", "word", "0", "1"), line("panic 4", "engine", "panic", "", "1", "")],
    )?;
    same(
        "received time",
        letters.iter().all(|letter| letter.header("udmill_received_ms").is_some_and(|text| text.parse::<i64>().is_ok())),
        true,
    )
}

fn an_event_the_broker_refuses_becomes_one() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = setup(&broker, "large", 1)?;
    // The broker takes less than the client believes: then it refuses whole requests, and small events in them must not suffer.
    setup.outputs[0].1 = make_topic(&broker, "large-out", 1, &[("max.message.bytes", "20000")])?;
    setup.sections = "[sink.kafka.librdkafka]\n\"compression.type\" = \"none\"\n\"linger.ms\" = \"200\"\n".to_owned();
    let mut messages = numbered(300);
    messages.insert(100, Plain::value("id a\ngrow 30000 b\nid c"));
    messages.insert(200, Plain::value("grow 2000000 d"));
    write(&broker, &setup.source, &messages)?;
    let process = run_through(&broker, &setup, messages.len() as i64)?;
    same("events", count(&broker, &setup.outputs[0].1)?, 302)?;
    let mut letters: Vec<_> = read_all(&broker, &setup.dead)?
        .iter()
        .map(|letter| (letter.text(), letter.header("udmill_code").unwrap_or_default(), letter.header("udmill_output").unwrap_or_default()))
        .collect();
    letters.sort();
    let line = |text: &str| (text.to_owned(), "event_too_large".to_owned(), "siem".to_owned());
    same("letters", letters, vec![line("grow 2000000 d"), line("grow 30000 b")])
        .map_err(|error| format!("{error}; log:\n{}", process.log()))
}

fn an_unknown_output_topic_makes_letters() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = setup(&broker, "unknown", 1)?;
    setup.outputs[0].1 = fresh_name("nowhere");
    setup.sections = "[sink.kafka.librdkafka]\n\"topic.metadata.propagation.max.ms\" = \"500\"\n".to_owned();
    write(&broker, &setup.source, &numbered(3))?;
    run_through(&broker, &setup, 3)?;
    let mut letters: Vec<_> =
        read_all(&broker, &setup.dead)?.iter().map(|letter| (letter.text(), letter.header("udmill_code").unwrap_or_default())).collect();
    letters.sort();
    let line = |text: &str| (text.to_owned(), "output_refused".to_owned());
    same("letters", letters, vec![line("id 0"), line("id 1"), line("id 2")])
}

fn a_refused_letter_stops_the_process() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = setup(&broker, "refused", 1)?;
    setup.dead = fresh_name("nowhere");
    setup.sections = "[sink.kafka.librdkafka]\n\"topic.metadata.propagation.max.ms\" = \"500\"\n".to_owned();
    write(&broker, &setup.source, &[Plain::value("id 1"), Plain::value("reject 2"), Plain::value("id 3")])?;
    let mut process = Process::start(&broker, &setup)?;
    same("exit code", process.wait()?, 1)?;
    let log = process.log();
    same("the log names the topic", log.contains("fatal: dead-letter topic") && log.contains(&setup.dead), true)?;
    let saved = committed(&broker, &setup.group, &setup.source)?.values().sum::<i64>();
    if saved > 1 { Err(format!("the message whose dead letter was refused is committed: {saved}")) } else { Ok(()) }
}

fn pieces_are_read_again_as_one_record() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut first = setup(&broker, "redrive", 1)?;
    first.dead_lines = "piece_max_bytes = 2000".to_owned();
    let long = format!("reject {}", "y".repeat(9_000));
    write(&broker, &first.source, &[Plain::value(format!("id 1\n{long}\nreject 3"))])?;
    run_through(&broker, &first, 1)?;
    let letters = read_all(&broker, &first.dead)?;
    let pieces: Vec<String> = letters.iter().filter_map(|letter| letter.header("udmill_piece")).collect();
    same("pieces", pieces, ["1/5", "2/5", "3/5", "4/5", "5/5"].map(str::to_owned).to_vec())?;
    let whole: String = letters.iter().filter(|letter| letter.header("udmill_piece").is_some()).map(Plain::text).collect();
    same("the pieces together", whole == long, true)?;

    // The same records are rejected again, so what the second run writes shows what it was given.
    let again = Setup {
        source: first.dead.clone(),
        group: fresh_name("redrive-again"),
        dead: make_topic(&broker, "redrive-dead", 1, &[])?,
        source_lines: "commit_interval_ms = 300\nredrive = true".to_owned(),
        dead_lines: String::new(),
        ..first.clone()
    };
    run_through(&broker, &again, 6)?;
    let second = read_all(&broker, &again.dead)?;
    same("records", second.iter().map(Plain::text).collect::<Vec<_>>(), vec![long, "reject 3".to_owned()])?;
    for (letter, earlier) in second.iter().zip([&letters[0], &letters[5]]) {
        for name in ["udmill_source_topic", "udmill_source_offset", "udmill_received_ms"] {
            same(name, letter.header(name), earlier.header(name))?;
        }
    }
    same("the first arrival's topic", second[0].header("udmill_source_topic"), Some(first.source))
}

fn content_may_be_hidden() -> Result<(), String> {
    let broker = Broker::get()?;
    for (content, expected) in [("redacted", "********".to_owned()), ("hash", format!("blake3:{}", blake3::hash(b"reject 1").to_hex()))] {
        let mut setup = setup(&broker, content, 1)?;
        setup.dead_lines = format!("content = \"{content}\"");
        write(&broker, &setup.source, &[Plain::value("reject 1")])?;
        run_through(&broker, &setup, 1)?;
        let letter = read_all(&broker, &setup.dead)?.into_iter().next().ok_or("no letter")?;
        same(content, letter.text(), expected)?;
        same("content header", letter.header("udmill_content").as_deref(), Some(content))?;
    }
    Ok(())
}
