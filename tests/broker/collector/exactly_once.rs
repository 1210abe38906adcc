//! The collector with its state in the transaction of the events, on a real Apache Kafka.
use std::collections::BTreeMap;
use std::path::Path;

use super::server::{KEY, Server};
use super::{flowing, key_file, kill_often, timeline};
use crate::harness::{Broker, Case, make_topic, read_all, same};
use crate::hubs::process::{Process, wait_for};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("collector::exactly_once::killed_at_any_time_each_event_is_there_once", killed_at_any_time_each_event_is_there_once),
    ("collector::exactly_once::a_second_process_fences_the_first", a_second_process_fences_the_first),
    ("collector::exactly_once::a_refused_event_is_a_dead_letter_once", a_refused_event_is_a_dead_letter_once),
    ("collector::exactly_once::a_state_that_cannot_be_read_stops_it", a_state_that_cannot_be_read_stops_it),
];

struct Topics {
    events: String,
    dead: String,
    state: String,
}

fn topics(broker: &Broker, events: &[(&str, &str)]) -> Result<Topics, String> {
    Ok(Topics {
        events: make_topic(broker, "collected", 2, events)?,
        dead: make_topic(broker, "collected-dead", 1, &[])?,
        state: make_topic(broker, "collected-state", 1, &[("cleanup.policy", "compact")])?,
    })
}

fn settings(broker: &Broker, topics: &Topics, server: &Server, folder: &Path) -> String {
    format!(
        "[run]\nworkers = 2\ndelivery = \"exactly_once\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.openai]\nkey = {{ file = \"{}\" }}\nbase_url = \"{}\"\npoll_seconds = 5\npage_events = 10\nstate.topic = \"{}\"\n[sink.kafka]\nbootstrap_servers = \"{}\"\n[sink.kafka.librdkafka]\n\"compression.type\" = \"none\"\n[[output]]\nname = \"siem\"\ntopic = \"{}\"\nprofile = \"typed\"\n[dead_letter]\ntopic = \"{}\"\n",
        key_file(folder, KEY),
        server.url(),
        topics.state,
        broker.plain,
        topics.events,
        topics.dead
    )
}

/// How often each id stands among the committed events.
fn ids(broker: &Broker, topic: &str) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for message in read_all(broker, topic).expect("the topic is read") {
        *ids.entry(String::from_utf8(message.key.expect("every event has a key")).expect("text")).or_default() += 1;
    }
    ids
}

fn folder() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| error.to_string())
}

fn killed_at_any_time_each_event_is_there_once() -> Result<(), String> {
    let (broker, folder) = (Broker::get()?, folder()?);
    let topics = topics(&broker, &[])?;
    let api = flowing(40);
    let total = api.held.len();
    let server = Server::start(api);
    let settings = settings(&broker, &topics, &server, folder.path()).replace("page_events = 10", "page_events = 50");
    let kills = 12;
    kill_often(kills, &settings, &server, &|| ids(&broker, &topics.events).len());
    let process = Process::start(&settings, &[]);
    wait_for("readiness", || process.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    wait_for("all events", || (ids(&broker, &topics.events).len() == total).then_some(()));
    // One more look at what is known.
    let requests = server.with(|api| api.requests);
    wait_for("another look", || (server.with(|api| api.requests) > requests + 20).then_some(()));
    same("exit code", process.stop(), Some(0))?;
    let found = ids(&broker, &topics.events);
    let repeated: usize = found.values().map(|times| times - 1).sum();
    eprintln!("collector, exactly once: {total} events, {kills} kills, lost {}, repeated {repeated}", total - found.len());
    same("lost and repeated", (total - found.len(), repeated), (0, 0))?;
    same("dead letters", read_all(&broker, &topics.dead)?.len(), 0)
}

fn a_second_process_fences_the_first() -> Result<(), String> {
    let (broker, folder) = (Broker::get()?, folder()?);
    let topics = topics(&broker, &[])?;
    let server = Server::start(timeline(-1));
    let total = server.with(|api| api.held.len());
    let settings = settings(&broker, &topics, &server, folder.path());
    let first = Process::start(&settings, &[]);
    wait_for("all events", || (ids(&broker, &topics.events).len() == total).then_some(()));
    let second = Process::start(&settings, &[]);
    wait_for("the first to end", || first.log().contains("another collector may have begun").then_some(()));
    wait_for("readiness of the second", || second.page("/health/ready").filter(|page| page.starts_with("HTTP/1.1 200")));
    same("exit code", second.stop(), Some(0))?;
    let found = ids(&broker, &topics.events);
    same("events, each once", (found.len(), found.values().sum::<usize>()), (total, total))
}

fn a_refused_event_is_a_dead_letter_once() -> Result<(), String> {
    let (broker, folder) = (Broker::get()?, folder()?);
    let topics = topics(&broker, &[("max.message.bytes", "20000")])?;
    let mut api = timeline(-1);
    let total = api.held.len();
    // Text that compresses to nothing and stands in the event: above what the topic takes.
    let long: String = (0..4000_u32).map(|number| format!("{:x} ", number.wrapping_mul(2_654_435_761))).collect();
    let one = &mut api.held[200];
    let id = one.id.clone();
    one.bytes = format!(
        "{{\"object\":\"organization.audit_log\",\"id\":\"{id}\",\"type\":\"project.created\",\"effective_at\":{},\"actor\":{{\"type\":\"session\",\"session\":{{\"user\":{{\"id\":\"user-1\"}},\"user_agent\":\"{long}\"}}}}}}",
        one.at
    );
    let server = Server::start(api);
    let process = Process::start(&settings(&broker, &topics, &server, folder.path()), &[]);
    wait_for("all other events", || (ids(&broker, &topics.events).len() == total - 1).then_some(()));
    wait_for("the dead letter", || (read_all(&broker, &topics.dead).expect("read").len() == 1).then_some(()));
    same("exit code", process.stop(), Some(0))?;
    let found = ids(&broker, &topics.events);
    same("events, each once", found.values().sum::<usize>(), total - 1)?;
    let letters = read_all(&broker, &topics.dead)?;
    same("dead letters", (letters.len(), letters[0].header("udmill_code")), (1, Some("event_too_large".to_owned())))?;
    same("it is the event", letters[0].text().contains(&id), true)
}

fn a_state_that_cannot_be_read_stops_it() -> Result<(), String> {
    let (broker, folder) = (Broker::get()?, folder()?);
    let topics = topics(&broker, &[])?;
    let server = Server::start(timeline(-1));
    let text = settings(&broker, &topics, &server, folder.path());
    for (key, value, part) in
        [("openai/tenant/ids/7/0", "{\"a\":4200}", "its head is missing"), ("openai/organization/head", "{}", "expected a state")]
    {
        let message = crate::harness::Plain { key: Some(key.into()), ..crate::harness::Plain::value(value) };
        crate::harness::write(&broker, &topics.state, &[message])?;
        let process = Process::start(&text, &[]);
        wait_for("the end", || process.log().contains(part).then_some(()));
    }
    same("events", read_all(&broker, &topics.events)?.len(), 0)
}
