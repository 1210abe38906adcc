//! A rebalance under load: how long a partition that stays stands still, and one that moves.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::delivery::setup;
use crate::harness::{Broker, Case, PATIENCE, fresh_name, make_topic, same, wait_for};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("rebalance::at_least_once_under_load", at_least_once_under_load),
    ("rebalance::exactly_once_under_load", exactly_once_under_load),
    ("rebalance::at_least_once_under_load_eager", at_least_once_under_load_eager),
    ("rebalance::exactly_once_under_load_eager", exactly_once_under_load_eager),
];

const PARTITIONS: i32 = 4;
/// Far above what is expected and far below the minutes that an eager rebalance of a stuck group takes.
const LONGEST_MS: i64 = 15_000;

fn at_least_once_under_load() -> Result<(), String> {
    measure("pause", "", "")
}

fn exactly_once_under_load() -> Result<(), String> {
    measure("pause-txn", "delivery = \"exactly_once\"\ntransaction_interval_ms = 100", "")
}

/// Every rebalance takes all partitions from everybody, also those that stay.
const EAGER: &str = "\n[source.kafka.librdkafka]\n\"partition.assignment.strategy\" = \"range\"";

fn at_least_once_under_load_eager() -> Result<(), String> {
    measure("pause-eager", "", EAGER)
}

fn exactly_once_under_load_eager() -> Result<(), String> {
    measure("pause-eager-txn", "delivery = \"exactly_once\"\ntransaction_interval_ms = 100", EAGER)
}

fn measure(stem: &str, run: &str, source: &str) -> Result<(), String> {
    let broker = Broker::get()?;
    let mut setup = Setup { run: run.to_owned(), ..setup(&broker, stem, PARTITIONS)? };
    setup.source_lines.push_str(source);
    setup.outputs[0].1 = make_topic(&broker, stem, 1, &[("message.timestamp.type", "LogAppendTime")])?;
    let mut first = Process::start(&broker, &setup)?;
    wait_for("the first assignment", PATIENCE, || (first.metric("udmill_rebalances_total", "assigned") >= 1.0).then_some(()))?;
    let ends = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (servers, topic, ends) = (broker.plain.clone(), setup.source.clone(), Arc::clone(&ends));
        std::thread::spawn(move || feed(&servers, &topic, &ends))
    };
    std::thread::sleep(Duration::from_secs(2));
    let mut second = Process::start(&broker, &setup)?;
    let owned = |process: &Process| -> BTreeSet<i32> {
        let here = |partition: &i32| {
            process.page("/metrics").is_ok_and(|(_, page)| {
                page.lines()
                    .any(|line| line.starts_with("udmill_partition_message_age_seconds{") && line.contains(&format!("/{partition}\"")))
            })
        };
        (0..PARTITIONS).filter(here).collect()
    };
    let moved = wait_for("the second to own partitions", PATIENCE, || {
        let (mine, theirs) = (owned(&first), owned(&second));
        (!theirs.is_empty() && mine.is_disjoint(&theirs) && mine.len() + theirs.len() == PARTITIONS as usize).then_some(theirs)
    })?;
    std::thread::sleep(Duration::from_secs(2));
    same("exit code of the second", second.stop()?, 0)?;
    wait_for("the first to own all", PATIENCE, || (owned(&first).len() == PARTITIONS as usize).then_some(()))?;
    std::thread::sleep(Duration::from_secs(2));
    ends.store(true, Ordering::Release);
    let fed = feeder.join().map_err(|_| "the feeder panicked")??;
    let pauses = pauses(&broker, &setup.outputs[0].1, fed)?;
    same("exit code of the first", first.stop()?, 0)?;
    let longest = |moves: bool| pauses.iter().filter(|(partition, _)| moved.contains(partition) == moves).map(|(_, ms)| *ms).max();
    let (stayed, went) = (longest(false).unwrap_or(0), longest(true).unwrap_or(0));
    eprintln!("{stem}: moved {moved:?} there and back: longest pause of a partition that stayed {stayed} ms, of one that moved {went} ms");
    if stayed.max(went) > LONGEST_MS { Err(format!("a pause of more than {LONGEST_MS} ms")) } else { Ok(()) }
}

/// One message to every partition every ten milliseconds.
fn feed(servers: &str, topic: &str, ends: &AtomicBool) -> Result<usize, String> {
    let producer: ThreadedProducer<DefaultProducerContext> =
        ClientConfig::new().set("bootstrap.servers", servers).set("linger.ms", "2").create().map_err(|error| error.to_string())?;
    let mut count = 0;
    while !ends.load(Ordering::Acquire) {
        for partition in 0..PARTITIONS {
            let text = format!("id {count}");
            producer.send(BaseRecord::<str, str>::to(topic).partition(partition).payload(&text)).map_err(|(error, _)| error.to_string())?;
            count += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    producer.flush(Duration::from_secs(30)).map_err(|error| error.to_string())?;
    Ok(count)
}

/// The longest time between two events of each source partition, by the broker's clock. Unit: milliseconds.
fn pauses(broker: &Broker, topic: &str, expected: usize) -> Result<BTreeMap<i32, i64>, String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.plain)
        .set("group.id", fresh_name("reader"))
        .set("auto.offset.reset", "earliest")
        .create()
        .map_err(|error| error.to_string())?;
    let mut assignment = rdkafka::TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).map_err(|error| error.to_string())?;
    consumer.assign(&assignment).map_err(|error| error.to_string())?;
    let (mut last, mut longest) = (BTreeMap::<i32, i64>::new(), BTreeMap::<i32, i64>::new());
    let mut places = BTreeSet::new();
    wait_for("all events", PATIENCE, || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            let header = |name: &str| -> Option<i64> {
                let found = message.headers()?.iter().find(|one| one.key == name)?;
                std::str::from_utf8(found.value?).ok()?.parse().ok()
            };
            let (Some(partition), Some(offset)) = (header("udmill_source_partition"), header("udmill_source_offset")) else { continue };
            let partition = partition as i32;
            places.insert((partition, offset));
            let now = message.timestamp().to_millis().unwrap_or(0);
            if let Some(before) = last.insert(partition, now) {
                let pause = longest.entry(partition).or_default();
                *pause = (*pause).max(now - before);
            }
        }
        (places.len() >= expected).then_some(())
    })?;
    Ok(longest)
}
