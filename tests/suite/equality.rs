//! The same records give the same bytes, whatever else differs: caches, workers, neighbours, envelopes, other outputs, the day.

use std::collections::BTreeMap;
use std::sync::Arc;

use udmill::engine::{Engine, Settings, View, Worker};
use udmill::enrich::{Databases, Enrichers, Sizes};

use crate::ends::{self, End, What};
use crate::mills;

fn worker(engine: &Engine, databases: &Arc<Databases>, size: usize, seed: u64) -> Worker {
    Worker::new(engine.limits(), Enrichers::new(databases.clone(), Sizes { user_agents: size, addresses: size }, seed))
}

fn databases() -> Arc<Databases> {
    let read =
        |name: &str| std::fs::read(format!("{}/tests/data/{name}.mmdb", env!("CARGO_MANIFEST_DIR"))).expect("a database is readable");
    Arc::new(Databases::new(Some(read("city")), Some(read("asn"))).unwrap_or_else(|faults| panic!("{faults:?}")))
}

#[test]
fn caches_change_no_byte() {
    let (engine, databases) = (mills::shipped(), databases());
    let (mut warm, mut tiny) = (worker(engine, &databases, 4096, 1), worker(engine, &databases, 1, 99));
    let mut places = 0;
    for (name, body) in ends::bodies() {
        let mut cold = worker(engine, &databases, 64, 7);
        let first = ends::run(engine, &mut cold, &body);
        places += first.iter().filter(|(_, end)| end.event().is_some_and(|(_, json)| json.contains("\"location\":{"))).count();
        assert_eq!(first, ends::run(engine, &mut warm, &body), "{name}: a warm worker");
        assert_eq!(first, ends::run(engine, &mut warm, &body), "{name}: the same body again");
        assert_eq!(first, ends::run(engine, &mut tiny, &body), "{name}: caches of one answer");
    }
    assert!(places > 50, "only {places} events with a place: the caches were not asked");
}

#[test]
fn eight_workers_give_what_one_gives() {
    let (engine, databases) = (mills::shipped(), databases());
    let bodies = ends::bodies();
    let mut one = worker(engine, &databases, 512, 1);
    let wanted: Vec<_> = bodies.iter().map(|(_, body)| ends::run(engine, &mut one, body)).collect();
    let mut found: BTreeMap<usize, Vec<(u32, End)>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (databases, bodies) = (&databases, &bodies);
                scope.spawn(move || {
                    let mut own = worker(engine, databases, 512, number as u64);
                    let mine = bodies.iter().enumerate().skip(number).step_by(8);
                    mine.map(|(at, (_, body))| (at, ends::run(engine, &mut own, body))).collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in threads {
            found.extend(thread.join().expect("a worker does not fail"));
        }
    });
    for (at, wanted) in wanted.iter().enumerate() {
        assert_eq!(&found[&at], wanted, "{}", bodies[at].0);
    }
}

#[test]
fn records_alone_and_in_one_envelope_give_the_same_events() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let records = ends::records(engine, &mut worker);
    let wanted: Vec<Vec<End>> = records.iter().map(|(_, record)| ends::alone(engine, &mut worker, record)).collect();
    for size in [2, 7, 500] {
        for (at, batch) in records.chunks(size).enumerate() {
            let texts: Vec<&[u8]> = batch.iter().map(|(_, record)| record.as_slice()).collect();
            let envelope = [br#"{"records":["#, texts.join(&b","[..]).as_slice(), b"]}"].concat();
            compare(engine, &mut worker, &envelope, batch, &wanted[at * size..], "an envelope");
            compare(engine, &mut worker, &texts.join(&b"\n"[..]), batch, &wanted[at * size..], "lines");
        }
    }
}

/// The records of a body, in their order, give what they give alone.
fn compare(engine: &Engine, worker: &mut Worker, body: &[u8], batch: &[(String, Vec<u8>)], wanted: &[Vec<End>], how: &str) {
    let mut together: BTreeMap<u32, Vec<End>> = BTreeMap::new();
    let found = ends::run(engine, worker, body);
    assert!(found.is_sorted_by_key(|(finding, _)| *finding), "{}: the order of {how}", batch[0].0);
    for (finding, end) in found {
        together.entry(finding).or_default().push(end);
    }
    let shown = |end: &[End]| end.iter().map(|end| format!("{end:?}")).collect::<Vec<_>>().join("\n");
    assert_eq!(together.len(), batch.len(), "{} and its neighbours in {how}", batch[0].0);
    for ((found, wanted), (name, record)) in together.values().zip(wanted).zip(batch) {
        let record = String::from_utf8_lossy(record);
        assert!(found == wanted, "{name} in {how}\n{record}\n{}\nalone:\n{}", shown(found), shown(wanted));
    }
}

#[test]
fn two_outputs_do_not_influence_each_other() {
    let files = udmill::mapping::built_in();
    let view = |profile: &str| View { profile: Some(profile.to_owned()), ..View::default() };
    let built = |views: &[View]| Engine::build(&files, views, Settings::default()).unwrap_or_else(|faults| panic!("{faults:?}")).0;
    let both = mills::shipped();
    let mut worker = mills::worker_with_places(both.limits());
    for (number, profile) in mills::PROFILES.into_iter().enumerate() {
        let single = built(&[view(profile)]);
        let mut own = mills::worker_with_places(single.limits());
        for (name, body) in ends::bodies() {
            let of_both = ends::run(both, &mut worker, &body).into_iter();
            // Parts about the message itself are told once, as of the first view.
            let has_no_view = |end: &End| end.mapping == udmill::engine::NO_MAPPING;
            let of_both: Vec<_> = of_both
                .filter(|(_, end)| usize::from(end.view) == number || has_no_view(end))
                .map(|(finding, end)| (finding, End { view: 0, ..end }))
                .collect();
            assert_eq!(of_both, ends::run(&single, &mut own, &body), "{name}: {profile}");
        }
    }
}

/// A record's dead letter and the record itself, sent again with the time they carry, end as they ended the first time.
#[test]
fn what_is_sent_again_with_its_time_ends_the_same() {
    let engine = mills::shipped();
    let mut worker = mills::worker_with_places(engine.limits());
    let mut filled = 0;
    for (name, record) in ends::records(engine, &mut worker) {
        let live = ends::alone(engine, &mut worker, &record);
        filled += live.iter().filter(|end| end.event().is_some_and(|(_, json)| json.contains("udmill_time_source"))).count();
        let mut later = mills::worker_with_places(engine.limits());
        assert_eq!(ends::alone(engine, &mut later, &record), live, "{name}");
        // Without the broker's time nothing takes its place: no clock of the machine does.
        let timeless = ends::ends(&mills::run(engine, &mut later, &record, None));
        for ((_, found), wanted) in timeless.iter().zip(&live) {
            let from_broker = wanted.event().is_some_and(|(_, json)| json.contains("udmill_time_source"));
            match &found.what {
                What::Reject { code: "time_missing", .. } => assert!(from_broker, "{name}"),
                _ => assert_eq!(found, wanted, "{name}"),
            }
        }
    }
    assert!(filled > 0, "no sample lacks its time");
}
