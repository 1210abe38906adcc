//! Mappings are exchanged while messages flow: nothing is lost, every event is by one of them as a whole, and a broken one changes nothing.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use udmill::config::Settings;
use udmill::mapping::File;
use udmill::runtime::{EngineMills, Inputs, MessageIn, MilledMessage, Mills};

use crate::delivery::setup;
use crate::engine::openai;
use crate::harness::{Broker, Case, PATIENCE, committed, read_each, same, wait_for};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] =
    &[("reload::under_traffic_at_least_once", || under_traffic(false)), ("reload::under_traffic_exactly_once", || under_traffic(true))];

/// Messages a second.
const RATE: f64 = 1000.0;
/// Events that must be delivered between two exchanges.
const BETWEEN: f64 = 300.0;
const BROKEN: &str = "extends = true\n[fields]\nrows = [ { from = \"type\", to = \"principal.ipp\" } ]\n";

/// A site's mapping that leaves its name at the beginning and at the end of every event.
fn named(name: &str) -> String {
    format!(
        "extends = true\n[fields]\nrows = [ {{ value = \"{name}\", to = \"metadata.description\" }}, {{ value = \"{name}\", to = \"additional{{site}}\" }} ]\n"
    )
}

/// Puts a mapping in place at once.
fn place(folder: &Path, text: &str) -> Result<(), String> {
    let (new, path) = (folder.join("openai/.audit.toml"), folder.join("openai/audit.toml"));
    std::fs::write(&new, text).and_then(|()| std::fs::rename(new, path)).map_err(|error| error.to_string())
}

/// Writes numbered messages at an even pace until told to stop. Answers how many.
fn feed(servers: &str, topic: &str, stop: &AtomicBool) -> Result<usize, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("enable.idempotence", "true").set("linger.ms", "5");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        while began.elapsed().as_secs_f64() * RATE < number as f64 {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let (text, key) = (openai(number), number.to_string());
        producer.send(BaseRecord::to(topic).key(&key).payload(&text)).map_err(|(error, _)| error.to_string())?;
        number += 1;
    }
    producer.flush(PATIENCE).map_err(|error| error.to_string())?;
    Ok(number)
}

/// What the engine makes of all messages with this mapping: hash of the event by product_log_id.
fn events(settings: &Settings, name: &'static str, messages: usize) -> Result<BTreeMap<Vec<u8>, blake3::Hash>, String> {
    let load = move || {
        let mut files = udmill::mapping::built_in();
        files.add(File { name: "openai/audit.toml".to_owned(), shown: name.to_owned(), text: named(name), site: true });
        Ok(Inputs { files, databases: Arc::default(), site: None })
    };
    let mills = EngineMills::new(settings, Box::new(load)).map_err(|faults| faults.join("\n"))?;
    let (mut mill, mut out, mut events) = (mills.mill(0), MilledMessage::default(), BTreeMap::new());
    for number in 0..messages {
        out.clear();
        mill.process(MessageIn { topic: "any", bytes: openai(number).as_bytes(), received_ms: None, seen: None }, &mut out);
        events.extend(out.events().iter().map(|event| (out.key(event).to_vec(), blake3::hash(out.value(event)))));
    }
    same("events of the mapping", events.len(), messages)?;
    Ok(events)
}

fn under_traffic(exactly_once: bool) -> Result<(), String> {
    let broker = Broker::get()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::create_dir(folder.path().join("openai")).map_err(|error| error.to_string())?;
    place(folder.path(), &named("one"))?;
    // One way to ask for a reload each: SIGHUP, and the change itself.
    let files = format!("[files]\nmappings = \"{}\"\nwatch_interval_ms = {}\n", folder.path().display(), if exactly_once { 0 } else { 50 });
    let (run, sink) = match exactly_once {
        true => (
            "delivery = \"exactly_once\"\ntransaction_interval_ms = 200\ninstance = \"one\"",
            "[sink.kafka.librdkafka]\n\"transaction.timeout.ms\" = \"6000\"\n",
        ),
        false => ("", ""),
    };
    let setup = Setup { real: true, run: run.to_owned(), sections: files + sink, ..setup(&broker, "reload", 3)? };
    let mut process = Process::start(&broker, &setup)?;
    process.ready()?;
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (servers, topic, stop) = (broker.plain.clone(), setup.source.clone(), Arc::clone(&stop));
        std::thread::spawn(move || feed(&servers, &topic, &stop))
    };
    let began = Instant::now();
    let exchanged = exchange(&process, folder.path(), exactly_once);
    stop.store(true, Ordering::Relaxed);
    let messages = feeder.join().map_err(|_| "the feeder panicked")??;
    exchanged.map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    let seconds = began.elapsed().as_secs_f64();
    wait_for("everything to be committed", PATIENCE, || {
        (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() == messages as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    same("exit code", process.stop()?, 0)?;

    let settings = Settings::read("test", &setup.text(&broker)).map_err(|faults| format!("{faults:?}"))?;
    let versions = [("one", events(&settings, "one", messages)?), ("two", events(&settings, "two", messages)?)];
    let (mut seen, mut strange) = (BTreeMap::<Vec<u8>, usize>::new(), 0);
    // By partition, then by offset: the mapping that the event is by.
    let mut order = BTreeMap::<i64, BTreeMap<i64, &str>>::new();
    read_each(&broker, &setup.outputs[0].1, |event| {
        let header = |name| event.header(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
        let (partition, offset) = (header("udmill_source_partition"), header("udmill_source_offset"));
        let (key, hash) = (event.key.unwrap_or_default(), blake3::hash(&event.value));
        match versions.iter().find(|(_, events)| events.get(&key) == Some(&hash)) {
            Some((name, _)) => drop(order.entry(partition).or_default().insert(offset, name)),
            None => strange += 1,
        }
        *seen.entry(key).or_default() += 1;
    })?;
    let repeats = seen.values().sum::<usize>() - seen.len();
    let runs: BTreeMap<i64, Vec<&str>> = order
        .into_iter()
        .map(|(partition, offsets)| {
            let mut names: Vec<&str> = offsets.into_values().collect();
            names.dedup();
            (partition, names)
        })
        .collect();
    eprintln!(
        "reload under traffic, exactly_once {exactly_once}: {messages} messages in {seconds:.1} s, repeats {repeats}, mappings by partition {runs:?}"
    );
    same("events that are by neither mapping", strange, 0)?;
    same("lost", messages - seen.len(), 0)?;
    if exactly_once {
        same("repeats", repeats, 0)?;
    }
    // A partition is mapped in order: each exchange shows once, and none while a broken mapping lay there.
    same("partitions", runs.keys().copied().collect::<Vec<_>>(), vec![0, 1, 2])?;
    runs.into_values().try_for_each(|names| same("mappings in order", names, vec!["one", "two", "one", "two"]))
}

/// Good, broken, good, broken, good; each is in force, or refused, for a while before the next.
fn exchange(process: &Process, folder: &Path, asks: bool) -> Result<(), String> {
    let delivered = || process.metric("udmill_delivered_total", "siem");
    let go_on = || {
        let before = delivered();
        wait_for("further events", PATIENCE, || (delivered() >= before + BETWEEN).then_some(()))
    };
    go_on()?;
    for (taken, refused, text) in [
        (1.0, 0.0, named("two")),
        (1.0, 1.0, BROKEN.to_owned()),
        (2.0, 1.0, named("one")),
        (2.0, 2.0, BROKEN.to_owned()),
        (3.0, 2.0, named("two")),
    ] {
        place(folder, &text)?;
        if asks {
            process.signal("HUP")?;
        }
        let reloads = |result| process.metric("udmill_reloads_total", result);
        wait_for("a reload", PATIENCE, || (reloads("\"ok\"") == taken && reloads("\"refused\"") == refused).then_some(()))?;
        go_on()?;
    }
    Ok(())
}
