//! The real command with the real engine: a hundred thousand mixed messages, killed in the middle.
use std::collections::BTreeMap;
use std::time::Duration;

use udmill::config::Settings;
use udmill::runtime::{EngineMills, Inputs, MessageIn, MilledMessage, Mills};

use crate::delivery::setup;
use crate::harness::{Broker, Case, Plain, committed, count, make_topic, read_all, read_each, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] =
    &[("engine::a_hundred_thousand_mixed_messages_survive_a_kill", a_hundred_thousand_mixed_messages_survive_a_kill)];

const MESSAGES: usize = 100_000;
/// One in so many messages is an envelope of 500 records.
const ENVELOPE_EVERY: usize = 2_000;
/// One in so many messages is cut off in the middle.
const BROKEN_EVERY: usize = 500;
/// This run is long: the machine may be busy with others.
const LONG: Duration = Duration::from_secs(400);

/// The number of the audit event that a UDM event was made of.
pub fn number_of(event: &str) -> Option<usize> {
    let (_, rest) = event.split_once("\"productLogId\":\"audit_log-")?;
    rest.split('"').next()?.parse().ok()
}

/// An audit event of its own for every number.
pub fn openai(number: usize) -> String {
    let types = ["login.succeeded", "api_key.created", "project.updated", "user.added", "something.new"];
    format!(
        "{{\"id\":\"audit_log-{number}\",\"type\":\"{}\",\"effective_at\":{},\"actor\":{{\"type\":\"session\",\"session\":{{\"user\":{{\"id\":\"user-{}\",\"email\":\"user{}@example.com\"}},\"ip_address\":\"192.0.2.{}\"}}}}}}",
        types[number % types.len()],
        1_767_225_600 + number,
        number % 97,
        number % 97,
        number % 250 + 1
    )
}

fn activity(number: usize) -> String {
    format!(
        "{{\"time\":\"2026-01-01T{:02}:{:02}:{:02}.{:07}Z\",\"resourceId\":\"/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COMPUTE/VIRTUALMACHINES/VM{}\",\"operationName\":\"MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE\",\"category\":\"Administrative\",\"resultType\":\"Success\",\"resultSignature\":\"Succeeded.\",\"durationMs\":\"{}\",\"callerIpAddress\":\"198.51.100.{}\",\"correlationId\":\"c-{number}\",\"level\":\"Information\"}}",
        number / 3600 % 24,
        number / 60 % 60,
        number % 60,
        number,
        number % 1000,
        number % 100,
        number % 250 + 1
    )
}

fn message(number: usize) -> String {
    let record = |number: usize| if number.is_multiple_of(2) { openai(number) } else { activity(number) };
    if number % ENVELOPE_EVERY == 7 {
        // Their numbers lie above those of single messages.
        let records: Vec<String> = (0..500).map(|index| activity(MESSAGES + number * 500 + index)).collect();
        return format!("{{\"records\":[{}]}}", records.join(","));
    }
    let mut text = record(number);
    if number % BROKEN_EVERY == 3 {
        text.truncate(text.len() / 2);
    }
    text
}

/// Hash of the event by product_log_id.
type Events = BTreeMap<Vec<u8>, blake3::Hash>;

/// What the engine makes of all messages when nothing goes wrong: events by output and the number of dead letters.
fn expected(settings: &Settings) -> Result<([Events; 2], usize), String> {
    let load = || Ok(Inputs { files: udmill::mapping::built_in(), databases: std::sync::Arc::default(), site: None });
    let mills = EngineMills::new(settings, Box::new(load)).map_err(|faults| faults.join("\n"))?;
    let (mut mill, mut out) = (mills.mill(0), MilledMessage::default());
    let (mut events, mut letters) = ([Events::new(), Events::new()], 0);
    for number in 0..MESSAGES {
        out.clear();
        mill.process(MessageIn { topic: "any", bytes: message(number).as_bytes(), received_ms: None, seen: None }, &mut out);
        for event in out.events() {
            let earlier = events[usize::from(event.output)].insert(out.key(event).to_vec(), blake3::hash(out.value(event)));
            same("records with one product_log_id", earlier, None)?;
        }
        letters += out.rejects().len();
    }
    Ok((events, letters))
}

fn a_hundred_thousand_mixed_messages_survive_a_kill() -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = setup(&broker, "mixed", 4)?;
    setup.real = true;
    setup.outputs.clear();
    let topics = [make_topic(&broker, "mixed-documented", 3, &[])?, make_topic(&broker, "mixed-typed", 3, &[])?];
    for (topic, profile) in topics.iter().zip(["documented", "typed"]) {
        setup.sections += &format!("[[output]]\nname = \"{profile}\"\ntopic = \"{topic}\"\nprofile = \"{profile}\"\n");
    }
    let setup = Setup { run: "in_flight_max_bytes = 4194304".to_owned(), source_lines: "commit_interval_ms = 1000".to_owned(), ..setup };
    let settings = Settings::read("test", &setup.text(&broker)).map_err(|faults| format!("{faults:?}"))?;
    let (events, letters) = expected(&settings)?;
    if letters < MESSAGES / BROKEN_EVERY / 2 || events[0].len() < MESSAGES {
        return Err(format!("the messages are not mixed as meant: {letters} letters, {} events", events[0].len()));
    }
    write(&broker, &setup.source, &(0..MESSAGES).map(|number| Plain::value(message(number))).collect::<Vec<_>>())?;

    let mut process = Process::start(&broker, &setup)?;
    wait_for("a part of the events", LONG, || (count(&broker, &topics[0]).ok()? > events[0].len() as i64 / 4).then_some(()))
        .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    process.kill()?;
    let saved: i64 = committed(&broker, &setup.group, &setup.source)?.values().sum();
    same("killed before the end", saved < MESSAGES as i64, true)?;

    let mut process = Process::start(&broker, &setup)?;
    wait_for("the source to be read to its end", LONG, || {
        (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() >= MESSAGES as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    let emitted = process.metric("udmill_parts_total", "outcome=\"emitted\"");
    same("parts are counted", emitted > 0.0, true)?;
    same("exit code", process.stop()?, 0)?;

    for (topic, expected) in topics.iter().zip(&events) {
        let (mut seen, mut repeats, mut strange) = (Events::new(), 0, 0);
        read_each(&broker, topic, |event| {
            let key = event.key.unwrap_or_default();
            let hash = blake3::hash(&event.value);
            strange += usize::from(expected.get(&key) != Some(&hash));
            repeats += usize::from(seen.insert(key, hash).is_some());
        })?;
        eprintln!("{topic}: {} events and {repeats} repeats, {saved} messages committed at the kill", seen.len());
        same("events that differ from what the engine makes of the messages", strange, 0)?;
        same("lost events", expected.len() - seen.len(), 0)?;
    }
    let dead: std::collections::BTreeSet<(Option<String>, Option<String>, Option<String>)> = read_all(&broker, &setup.dead)?
        .iter()
        .map(|letter| (letter.header("udmill_source_partition"), letter.header("udmill_source_offset"), letter.header("udmill_record")))
        .collect();
    same("dead letters", dead.len(), letters)
}
