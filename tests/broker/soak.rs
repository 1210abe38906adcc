//! A large lag and a sink that is away: memory stays flat, nothing is lost, and it goes on by itself.
//!
//! `UDMILL_SOAK_MESSAGES` (900 bytes each) and `UDMILL_SOAK_SECONDS` (how long the sink is away) make it the long one of `make soak`.
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::chaos::number;
use crate::delivery::setup;
use crate::engine::{number_of, openai};
use crate::harness::{Broker, Case, Plain, committed, read_each, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[("soak::a_large_lag_and_a_sink_that_is_away", a_large_lag_and_a_sink_that_is_away)];

/// No database is loaded in this test.
const RESIDENT_MAX_BYTES: u64 = 256 << 20;
const MESSAGE_BYTES: usize = 900;

fn message(number: usize) -> Plain {
    let mut text = openai(number);
    text.pop();
    text.push_str(",\"padding\":\"");
    text.extend(std::iter::repeat_n('x', MESSAGE_BYTES.saturating_sub(text.len() + 2)));
    text.push_str("\"}");
    Plain::value(text)
}

fn fill(broker: &Broker, topic: &str, from: usize, to: usize) -> Result<(), String> {
    for start in (from..to).step_by(10_000) {
        write(broker, topic, &(start..to.min(start + 10_000)).map(message).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Lets connections through to the broker, as if the sink's cluster came back.
fn open_the_way(listener: TcpListener, to: String, ends: Arc<AtomicBool>) {
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let mut bytes = [0u8; 16 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            // The other side has gone already when this fails.
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if ends.load(Ordering::Acquire) {
                return;
            }
            if let (Ok(back), Ok(there)) = (stream.try_clone(), TcpStream::connect(&to))
                && let Ok(answers) = there.try_clone()
            {
                pump(stream, there);
                pump(answers, back);
            }
        }
    });
}

fn a_large_lag_and_a_sink_that_is_away() -> Result<(), String> {
    let lag = number("UDMILL_SOAK_MESSAGES", 90_000) as usize;
    let away = Duration::from_secs(number("UDMILL_SOAK_SECONDS", 5));
    let broker = Broker::get()?;
    // Taken and given back: until the sink comes back nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|error| error.to_string())?.port();
    let setup =
        Setup { real: true, sections: format!("[sink.kafka]\nbootstrap_servers = \"127.0.0.1:{port}\"\n"), ..setup(&broker, "soak", 4)? };
    fill(&broker, &setup.source, 0, lag)?;
    let mut process = Process::start(&broker, &setup)?;
    let mut most = 0;
    let mut look = |process: &Process| {
        let now = process.resident_bytes();
        most = now.max(most);
        now
    };
    let began = Instant::now();
    let mut total = lag;
    let mut samples = Vec::new();
    while began.elapsed() < away {
        // Input goes on at the full rate of one writer.
        fill(&broker, &setup.source, total, total + 2_000)?;
        total += 2_000;
        samples.push(look(&process) >> 20);
    }
    let lag_shown = wait_for("the lag to show", Duration::from_secs(30), || {
        Some(process.metric("udmill_lag_messages", "")).filter(|shown| *shown > lag as f64 / 2.0)
    })?;
    let paused = process.metric("udmill_paused", "");
    let (health, _) = process.page("/health/ready")?;
    let without_sink = look(&process);
    let ends = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    open_the_way(listener, broker.plain.clone(), Arc::clone(&ends));
    let back = Instant::now();
    wait_for("everything to be settled", Duration::from_secs(120 + total as u64 / 500), || {
        std::thread::sleep(Duration::from_millis(200));
        look(&process);
        (committed(&broker, &setup.group, &setup.source).ok()?.values().sum::<i64>() >= total as i64).then_some(())
    })
    .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    let seconds = back.elapsed().as_secs_f64();
    same("exit code", process.stop()?, 0)?;
    ends.store(true, Ordering::Release);
    let mut seen = BTreeSet::new();
    read_each(&broker, &setup.outputs[0].1, |event| {
        seen.extend(number_of(&event.text()));
    })?;
    let (first, last) = (samples.first().copied().unwrap_or(0), samples.last().copied().unwrap_or(0));
    eprintln!(
        "soak: lag {lag} messages of {MESSAGE_BYTES} bytes, sink away {} s while {} more came: resident {first} to {last} MiB, {} MiB at its end, most {} MiB \
         (also while catching up, {seconds:.0} s); paused {paused}, lag gauge {lag_shown}, ready {health}, lost {}",
        away.as_secs(),
        total - lag,
        without_sink >> 20,
        most >> 20,
        total - seen.len()
    );
    same("lost", total - seen.len(), 0)?;
    same("paused and not ready while the sink was away", (paused, health), (1.0, 503))?;
    if most < RESIDENT_MAX_BYTES { Ok(()) } else { Err(format!("resident set of {} MiB", most >> 20)) }
}
