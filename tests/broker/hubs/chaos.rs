//! Kills at random moments between hubs of the stand-in: the schedule of [`crate::chaos`], with a namespace that goes away in place of a broker.
//!
//! The same variables set the size: `UDMILL_CHAOS_MESSAGES`, `_KILLS`, `_BROKER_RESTARTS`, `_SEED`, `_SECONDS`.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventhubs_stand_in::Server;

use super::process::{Azurite, Process, wait_within};
use super::{PARTITIONS, audit_event, file, hubs, settings, start};
use crate::chaos::{Blow, number, schedule};
use crate::engine::number_of;

/// One process with its positions in a file.
pub fn nothing_is_lost_with_checkpoints_in_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    chaos("file", 1, &file(folder.path()));
}

/// Two that share a container of a real blob service.
pub fn nothing_is_lost_with_checkpoints_in_blobs() {
    let Some(azurite) = Azurite::start("positions") else { return };
    let blob = format!(
        "[source.eventhubs.checkpoints.blob]\naccount = \"devstoreaccount1\"\ncontainer = \"positions\"\nendpoint = \"{}\"\naccess_key = {{ env = \"BLOB_KEY\" }}",
        azurite.endpoint()
    );
    chaos("blob", 2, &blob);
}

/// How often the event of each number was written.
fn written(server: &Server) -> BTreeMap<usize, usize> {
    let mut ids = BTreeMap::new();
    server.each_body("udm", |body| {
        let text = std::str::from_utf8(body).expect("an event is JSON");
        *ids.entry(number_of(text).expect("every event has an id")).or_default() += 1;
    });
    ids
}

fn chaos(stem: &str, processes: usize, checkpoints: &str) {
    let messages = number("UDMILL_CHAOS_MESSAGES", 10_000) as usize;
    let (kills, restarts) = (number("UDMILL_CHAOS_KILLS", 3), number("UDMILL_CHAOS_BROKER_RESTARTS", 1));
    let allowed = Duration::from_secs(number("UDMILL_CHAOS_SECONDS", 180));
    let steps = schedule(kills, restarts, number("UDMILL_CHAOS_SEED", 20_260_101));
    let began = Instant::now();
    let server = Arc::new(hubs());
    let settings = settings(&server, checkpoints, "");
    let mut running: Vec<Option<Process>> = (0..processes).map(|_| Some(start(&server, &settings))).collect();
    let millis: u64 = steps.iter().map(|step| step.wait_ms + step.away_ms).sum();
    let feeder = {
        let server = Arc::clone(&server);
        std::thread::spawn(move || {
            let began = Instant::now();
            for number in 0..messages {
                let due = Duration::from_millis(millis * number as u64 / messages as u64);
                while began.elapsed() < due {
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                server.put("in", number % PARTITIONS, audit_event(number).as_bytes()).expect("the hub is there");
            }
        })
    };
    for step in &steps {
        std::thread::sleep(Duration::from_millis(step.wait_ms));
        let slot = step.victim % processes;
        match step.blow {
            // Dropping a process is `kill -9`.
            Blow::Kill => drop(running[slot].take()),
            // Without a code it had only just been started and not yet learnt to stop in order.
            Blow::Leave => {
                let code = running[slot].take().and_then(Process::stop);
                assert!(matches!(code, None | Some(0)), "{stem}: an orderly stop ended with {code:?}");
            }
            Blow::Broker => {
                server.faults().refuse_tokens(true);
                server.drop_connections();
            }
        }
        std::thread::sleep(Duration::from_millis(step.away_ms));
        server.faults().refuse_tokens(false);
        if running[slot].is_none() {
            running[slot] = Some(start(&server, &settings));
        }
    }
    feeder.join().expect("the feeder ends");
    let mut count = 0;
    wait_within("all events", allowed.saturating_sub(began.elapsed()).max(Duration::from_secs(60)), || {
        std::thread::sleep(Duration::from_millis(300));
        let now = server.count("udm");
        // Reading a million events to see whether all are there is only worth it when their number could be enough.
        let is_news = now >= messages && now != count;
        count = now;
        (is_news && written(&server).len() >= messages).then_some(())
    });
    for process in running.into_iter().flatten() {
        assert_eq!(process.stop(), Some(0), "{stem}: the last stop");
    }
    let written = written(&server);
    let lost = (0..messages).filter(|number| !written.contains_key(number)).count();
    let repeated: usize = written.values().map(|times| times - 1).sum();
    eprintln!(
        "hubs, {stem}: {messages} messages, {kills} kills, {restarts} times no namespace, {processes} processes: lost {lost}, repeated {repeated}, {} dead \
         letters; {:.0} s",
        server.count("dead"),
        began.elapsed().as_secs_f64()
    );
    assert_eq!((lost, server.count("dead")), (0, 0));
    assert_eq!(written.len(), messages, "left after removing repeats by product_log_id");
}
