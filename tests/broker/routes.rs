//! Several outputs: who waits for whom, what goes where, and repeats of the source.
use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::{numbered, setup};
use crate::engine::openai;
use crate::harness::{Broker, Case, PATIENCE, Plain, committed, count, make_topic, read_all, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("routes::a_spare_output_that_is_away_holds_nothing_back", a_spare_output_that_is_away_holds_nothing_back),
    ("routes::offsets_wait_for_every_required_sink", offsets_wait_for_every_required_sink),
    ("routes::events_go_where_they_are_taken_once_each", events_go_where_they_are_taken_once_each),
    ("routes::repeats_of_the_source_are_left_out", repeats_of_the_source_are_left_out),
    ("routes::a_refused_first_copy_hides_no_other", a_refused_first_copy_hides_no_other),
    ("routes::an_archive_beside_a_topic", an_archive_beside_a_topic),
    #[cfg(feature = "eventhubs")]
    ("routes::kafka_and_event_hubs_side_by_side", kafka_and_event_hubs_side_by_side),
];

/// Nothing listens on port 1.
const NOWHERE: &str = "127.0.0.1:1";
/// As in the soak test.
const RESIDENT_MAX_BYTES: u64 = 256 << 20;

fn further(name: &str, servers: &str, topic: &str, more: &str) -> String {
    format!(
        "[sinks.{name}.kafka]\nbootstrap_servers = \"{servers}\"\n[[output]]\nname = \"{name}\"\ntopic = \"{topic}\"\nsink = \"{name}\"\n{more}\n"
    )
}

/// Waits until the group has committed `count` messages.
fn done(broker: &Broker, setup: &Setup, count: usize, process: &Process) -> Result<(), String> {
    wait_for("the input to be committed", PATIENCE, || {
        (committed(broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() >= count as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))
}

fn a_spare_output_that_is_away_holds_nothing_back() -> Result<(), String> {
    const MESSAGES: usize = 60_000;
    let broker = Broker::get()?;
    let setup = Setup { sections: further("copy", NOWHERE, "copy", "required = false"), ..setup(&broker, "spare", 2)? };
    let body = "x".repeat(1000);
    write(&broker, &setup.source, &(0..MESSAGES).map(|number| Plain::value(format!("{body} {number}"))).collect::<Vec<_>>())?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES, &process)?;
    same("events of the required output", count(&broker, &setup.outputs[0].1)?, MESSAGES as i64)?;
    process.ready()?;
    let (dropped, resident) = (process.metric("udmill_dropped_total", "copy"), process.resident_bytes());
    // 60 MB went by a buffer of four.
    if dropped < MESSAGES as f64 / 2.0 {
        return Err(format!("{dropped} events were dropped; log:\n{}", process.log()));
    }
    same("events delivered nowhere", process.metric("udmill_delivered_total", "copy"), 0.0)?;
    same("dead letters", count(&broker, &setup.dead)?, 0)?;
    same("lines of the log about it", process.log().matches("an output that is not required").count(), 1)?;
    if resident > RESIDENT_MAX_BYTES {
        return Err(format!("the resident set is {resident} bytes"));
    }
    // The rest of the buffer is given up after its 30 s, without anything to do with a message of the source.
    wait_for("the last to be dropped", PATIENCE, || (process.metric("udmill_dropped_total", "copy") == MESSAGES as f64).then_some(()))?;
    eprintln!("a spare output that is away: {dropped} of {MESSAGES} dropped for want of room, {} MiB resident", resident >> 20);
    same("exit code", process.stop()?, 0)
}

fn offsets_wait_for_every_required_sink() -> Result<(), String> {
    const MESSAGES: usize = 300;
    let broker = Broker::get()?;
    let copy = make_topic(&broker, "second", 1, &[])?;
    let away =
        Setup { run: "drain_timeout_ms = 500".to_owned(), sections: further("lake", NOWHERE, &copy, ""), ..setup(&broker, "required", 2)? };
    write(&broker, &away.source, &numbered(MESSAGES))?;
    let mut process = Process::start(&broker, &away)?;
    wait_for("the first sink to have all for some seconds", PATIENCE, || {
        (process.metric("udmill_delivered_total", "siem") == MESSAGES as f64 && process.metric("udmill_unsettled_age_seconds", "") > 2.0)
            .then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    same("committed offsets", committed(&broker, &away.group, &away.source)?, BTreeMap::new())?;
    let (status, reason) = process.page("/health/ready")?;
    if status != 503 || !reason.contains("sink: ") {
        return Err(format!("not ready because of the sink: {status} {reason}"));
    }
    same("exit code of a stop that may not wait", process.stop()?, 4)?;
    same("committed offsets after it", committed(&broker, &away.group, &away.source)?, BTreeMap::new())?;
    let back = Setup { sections: further("lake", &broker.plain, &copy, ""), ..away };
    let mut process = Process::start(&broker, &back)?;
    done(&broker, &back, MESSAGES, &process)?;
    process.ready()?;
    same("exit code", process.stop()?, 0)?;
    let all: BTreeSet<String> = numbered(MESSAGES).iter().map(Plain::text).collect();
    for topic in [&copy, &back.outputs[0].1] {
        let seen: BTreeSet<String> = read_all(&broker, topic)?.iter().map(Plain::text).collect();
        same("messages lost", all.difference(&seen).count(), 0)?;
    }
    same("repeats in the sink that was away", read_all(&broker, &copy)?.len(), MESSAGES)
}

/// How often each id is in a topic.
fn ids(broker: &Broker, topic: &str) -> Result<BTreeMap<String, usize>, String> {
    let mut ids = BTreeMap::new();
    for event in read_all(broker, topic)? {
        *ids.entry(String::from_utf8_lossy(&event.key.unwrap_or_default()).into_owned()).or_default() += 1;
    }
    Ok(ids)
}

/// A failure with what stands twice, which a whole list would hide.
fn differences(error: &str, written: &BTreeMap<String, usize>) -> String {
    let twice: Vec<&String> = written.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id).take(10).collect();
    format!("{error}; {} ids, twice stand {twice:?}", written.len())
}

fn once<'a>(numbers: impl Iterator<Item = &'a usize>) -> BTreeMap<String, usize> {
    numbers.map(|number| (format!("audit_log-{number}"), 1)).collect()
}

/// Real engine, exactly once, killed in the middle: two outputs in one transaction, each with its share, the rest as dead letters in it too,
/// and beside it an output that nobody waits for.
fn events_go_where_they_are_taken_once_each() -> Result<(), String> {
    const MESSAGES: usize = 12_000;
    let broker = Broker::get()?;
    let base = setup(&broker, "taken", 3)?;
    let (logins, keys) = (base.outputs[0].1.clone(), make_topic(&broker, "taken-keys", 2, &[])?);
    let outputs = format!(
        "[sink.kafka.librdkafka]\n\"transaction.timeout.ms\" = \"6000\"\n\
         [[filter]]\nname = \"projects\"\nevent_types = [\"RESOURCE_WRITTEN\", \"USER_RESOURCE_UPDATE_CONTENT\"]\nwhen = {{ record_equals = {{ type = \"project.updated\" }} }}\n\
         [[filter]]\nname = \"old\"\nmappings = [\"openai/*\"]\nwhen = {{ record_in = {{ id = [\"audit_log-0\", \"audit_log-5\"] }} }}\n\
         [[output]]\nname = \"logins\"\ntopic = \"{logins}\"\nprofile = \"typed\"\ntake = [ {{ event_types = [\"USER_LOGIN\"] }} ]\n\
         [[output]]\nname = \"keys\"\ntopic = \"{keys}\"\nprofile = \"typed\"\ntake = [ {{ when = {{ record_prefix = {{ type = \"api_key.\" }} }} }}, {{ mappings = [\"azure/*\"] }} ]\n{}",
        further("copy", NOWHERE, "copy", "required = false")
    );
    let setup = Setup {
        run: "delivery = \"exactly_once\"\ntransaction_interval_ms = 200\nin_flight_max_bytes = 1048576\ninstance = \"one\"".to_owned(),
        source_lines: "[source.kafka.librdkafka]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"1000\"".to_owned(),
        outputs: Vec::new(),
        // What none of the three takes is a dead letter.
        sections: outputs.replace("required = false", "required = false\ntake = [ { event_types = [\"USER_CREATION\"] } ]"),
        real: true,
        ..base
    };
    write(&broker, &setup.source, &(0..MESSAGES).map(|number| Plain::value(openai(number))).collect::<Vec<_>>())?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("some transactions", PATIENCE, || (process.metric("udmill_transactions_total", "committed") >= 2.0).then_some(()))
        .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    process.kill()?;
    let before = committed(&broker, &setup.group, &setup.source)?.values().sum::<i64>();
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES, &process)?;
    let skipped = process.metric("udmill_parts_total", "code=\"old\"");
    same("exit code", process.stop()?, 0)?;
    let of = |kind: usize| (0..MESSAGES).filter(move |number| number % 5 == kind).collect::<Vec<_>>();
    same("logins, each once", ids(&broker, &logins)?, once(of(0).iter().filter(|number| **number > 5)))?;
    same("keys, each once", ids(&broker, &keys)?, once(of(1).iter()))?;
    let mut letters = BTreeMap::new();
    let mut records = BTreeSet::new();
    for letter in read_all(&broker, &setup.dead)? {
        *letters.entry(letter.header("udmill_code").unwrap_or_default()).or_insert(0) += 1;
        records.insert(letter.text());
    }
    eprintln!("killed with {before} of {MESSAGES} committed; dead letters {letters:?}; {skipped} filtered as old after that");
    // Whatever type the engine gives to the others: what nobody takes is a dead letter, once, and nothing else is.
    same("kinds of dead letters", letters.keys().map(String::as_str).collect::<Vec<_>>(), vec!["no_output"])?;
    same("dead letters that stand twice", letters["no_output"] - records.len(), 0)?;
    if records.iter().any(|text| text.contains("login.succeeded") || text.contains("api_key.created")) {
        return Err("a record that an output took is a dead letter".to_owned());
    }
    let unknown = of(4).len();
    if letters["no_output"] < unknown { Err(format!("{unknown} records of an unknown type are nobody's: {letters:?}")) } else { Ok(()) }
}

/// The real engine's settings with the profile that the ids are known of.
fn engine(base: Setup, run: &str) -> Setup {
    Setup { run: run.to_owned(), real: true, ..base }
}

fn repeats_of_the_source_are_left_out() -> Result<(), String> {
    const RECORDS: usize = 4_000;
    let broker = Broker::get()?;
    let setup = engine(setup(&broker, "repeats", 2)?, "dedupe = \"window\"\ndedupe_window = 500");
    // Every record at once again, and again after a hundred others; all of one record on one partition.
    let order = (0..RECORDS).flat_map(|number| [Some(number), Some(number), number.checked_sub(100)]).flatten();
    let messages: Vec<Plain> = order.map(|number| Plain { position: ((number % 2) as i32, -1), ..Plain::value(openai(number)) }).collect();
    write(&broker, &setup.source, &messages)?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, messages.len(), &process)?;
    same("repeats counted", process.metric("udmill_parts_total", "code=\"repeat\""), (messages.len() - RECORDS) as f64)?;
    same("exit code", process.stop()?, 0)?;
    let all: Vec<usize> = (0..RECORDS).collect();
    let written = ids(&broker, &setup.outputs[0].1)?;
    same("each record once", written == once(all.iter()), true).map_err(|error| differences(&error, &written))?;

    // Killed in the middle: what comes again is no loss.
    let killed = Setup { source: make_topic(&broker, "repeats-kill", 2, &[])?, ..setup };
    let killed = Setup { outputs: vec![("siem".to_owned(), make_topic(&broker, "repeats-kill-out", 2, &[])?)], ..killed };
    let killed = Setup { run: format!("{}\nin_flight_max_bytes = 1048576", killed.run), ..killed };
    write(&broker, &killed.source, &messages)?;
    let mut process = Process::start(&broker, &killed)?;
    wait_for("a part of it", PATIENCE, || (process.metric("udmill_delivered_total", "siem") > 500.0).then_some(()))?;
    process.kill()?;
    let before: usize = ids(&broker, &killed.outputs[0].1)?.values().sum();
    let mut process = Process::start(&broker, &killed)?;
    done(&broker, &killed, messages.len(), &process)?;
    same("exit code after a kill", process.stop()?, 0)?;
    let seen = ids(&broker, &killed.outputs[0].1)?;
    eprintln!("killed after {before} events: {} of {RECORDS} records twice", seen.values().filter(|times| **times > 1).count());
    same("records lost by a kill", RECORDS - seen.len(), 0)
}

/// Exactly once: the first copy of a large record is refused, which aborts its transaction. Neither the abort nor the refusal hides a copy.
fn a_refused_first_copy_hides_no_other() -> Result<(), String> {
    const RECORDS: usize = 500;
    let broker = Broker::get()?;
    let mut setup = engine(
        setup(&broker, "refused", 1)?,
        "dedupe = \"window\"\ndelivery = \"exactly_once\"\ntransaction_interval_ms = 200\ninstance = \"one\"",
    );
    setup.sections = "[sink.kafka.librdkafka]\n\"transaction.timeout.ms\" = \"6000\"\n\"compression.type\" = \"none\"\n".to_owned();
    setup.outputs[0].1 = make_topic(&broker, "refused-small", 1, &[("max.message.bytes", "6000")])?;
    // Kept fields that no row reads make the event large.
    let fields: String = (0..9).map(|number| format!(",\"field_{number}\":\"{}\"", "o".repeat(800))).collect();
    let large = openai(RECORDS).replacen(",\"actor\"", &format!("{fields},\"actor\""), 1);
    let mut messages: Vec<Plain> = (0..RECORDS).flat_map(|number| [Plain::value(openai(number)), Plain::value(openai(number))]).collect();
    messages.insert(300, Plain::value(large.clone()));
    messages.insert(700, Plain::value(large));
    write(&broker, &setup.source, &messages)?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, messages.len(), &process)?;
    let aborted = process.metric("udmill_transactions_total", "aborted");
    same("exit code", process.stop()?, 0)?;
    let all: Vec<usize> = (0..RECORDS).collect();
    let written = ids(&broker, &setup.outputs[0].1)?;
    same("each record once", written == once(all.iter()), true).map_err(|error| differences(&error, &written))?;
    let codes: Vec<_> = read_all(&broker, &setup.dead)?.iter().filter_map(|letter| letter.header("udmill_code")).collect();
    eprintln!("{aborted} transactions were aborted for a large record that stands twice");
    same("dead letters", codes, vec!["event_too_large".to_owned(); 2])
}

/// A topic and files, which are lasting only half a second later: offsets wait for both.
fn an_archive_beside_a_topic() -> Result<(), String> {
    const MESSAGES: usize = 3_000;
    let broker = Broker::get()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let archive = format!(
        "[sinks.files.archive]\nto = \"{}\"\ncompression = \"none\"\nroll_interval_ms = 500\n\
         [[output]]\nname = \"files\"\ntopic = \"udm\"\nsink = \"files\"\ntake = [ {{ mappings = [\"openai/*\"] }} ]\n",
        folder.path().display()
    );
    let setup = engine(Setup { sections: archive, ..setup(&broker, "archive", 2)? }, "in_flight_max_bytes = 1048576");
    write(&broker, &setup.source, &(0..MESSAGES).map(|number| Plain::value(openai(number))).collect::<Vec<_>>())?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("a first commit", PATIENCE, || {
        (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() > 0).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    process.kill()?;
    let saved = committed(&broker, &setup.group, &setup.source)?.values().sum::<i64>();
    let lasting = archived(folder.path())?.len() as i64;
    if lasting < saved {
        return Err(format!("{saved} messages were committed with {lasting} in files"));
    }
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES, &process)?;
    same("exit code", process.stop()?, 0)?;
    eprintln!("an archive beside a topic: killed with {saved} of {MESSAGES} committed and {lasting} in files");
    same("records in files", archived(folder.path())?.len(), MESSAGES)?;
    same("records in the topic", ids(&broker, &setup.outputs[0].1)?.len(), MESSAGES)
}

/// The ids in all files below a folder.
fn archived(folder: &std::path::Path) -> Result<BTreeSet<String>, String> {
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            ids.extend(archived(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "ndjson") {
            for line in std::fs::read_to_string(&path).map_err(|error| error.to_string())?.lines() {
                let event: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()))?;
                ids.extend(event["metadata"]["productLogId"].as_str().map(str::to_owned));
            }
        }
    }
    Ok(ids)
}

/// From Kafka to a topic and, over AMQP, to a hub; killed in the middle, and then with the hub's namespace away.
#[cfg(feature = "eventhubs")]
fn kafka_and_event_hubs_side_by_side() -> Result<(), String> {
    const MESSAGES: usize = 4_000;
    let broker = Broker::get()?;
    let hubs = eventhubs_stand_in::Server::start(&[("copy", 2)]).map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let secret = folder.path().join("hubs");
    std::fs::write(&secret, hubs.connection_string()).map_err(|error| error.to_string())?;
    let sections = format!(
        "[sinks.hubs.eventhubs]\nendpoint = \"{}\"\n[sinks.hubs.eventhubs.access]\nconnection_string = {{ file = \"{}\" }}\n\
         [[output]]\nname = \"hub\"\ntopic = \"copy\"\nsink = \"hubs\"\n",
        hubs.endpoint(),
        secret.display()
    );
    let setup = Setup { run: "in_flight_max_bytes = 1048576".to_owned(), sections, ..setup(&broker, "mixed", 2)? };
    write(&broker, &setup.source, &numbered(MESSAGES))?;
    let mut process = Process::start(&broker, &setup)?;
    wait_for("the hub to have some", PATIENCE, || (hubs.count("copy") > 200).then_some(()))
        .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    process.kill()?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES, &process)?;
    process.ready()?;
    let all: BTreeSet<String> = numbered(MESSAGES).iter().map(Plain::text).collect();
    let in_hub: BTreeSet<String> = hubs.events("copy").iter().map(|event| String::from_utf8_lossy(&event.body).into_owned()).collect();
    let in_topic: BTreeSet<String> = read_all(&broker, &setup.outputs[0].1)?.iter().map(Plain::text).collect();
    same("lost on the way to the hub", all.difference(&in_hub).count(), 0)?;
    same("lost on the way to the topic", all.difference(&in_topic).count(), 0)?;
    same("exit code", process.stop()?, 0)?;

    drop(hubs);
    let setup = Setup { sections: setup.sections.replace("sink = \"hubs\"", "sink = \"hubs\"\nrequired = false"), ..setup };
    let body = "x".repeat(1000);
    write(&broker, &setup.source, &(0..20_000).map(|number| Plain::value(format!("{body} {number}"))).collect::<Vec<_>>())?;
    let mut process = Process::start(&broker, &setup)?;
    done(&broker, &setup, MESSAGES + 20_000, &process)?;
    let (dropped, resident) = (process.metric("udmill_dropped_total", "hub"), process.resident_bytes());
    eprintln!("hubs away and not required: {dropped} of 20000 dropped so far, {} MiB resident", resident >> 20);
    same("exit code with the hubs away", process.stop()?, 0)?;
    if dropped < 10_000.0 || resident > RESIDENT_MAX_BYTES {
        return Err(format!("{dropped} dropped, {resident} bytes resident"));
    }
    Ok(())
}
