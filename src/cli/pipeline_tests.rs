//! The pipeline with mills and inputs of all tempers.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::pipeline::{Feeder, Mill, Stopped, run};
use super::summary::Tally;
use crate::sink::letter_file::DeadLetter;

/// Emits every message as it is, slowly when it is odd, rejects those that start with `x`, and falls over those that start with `!`.
#[derive(Default)]
struct Odd(Tally);

impl Mill for Odd {
    fn process(&mut self, bytes: &[u8], _: Option<i64>, events: &mut Vec<u8>, rejects: &mut Vec<DeadLetter>) {
        self.0.messages += 1;
        if bytes.starts_with(b"x") {
            rejects.push(DeadLetter { code: "is_x".into(), value: bytes.to_vec(), ..DeadLetter::default() });
            return;
        }
        assert!(!bytes.starts_with(b"!"), "a mill falls over, on purpose of a test");
        if bytes.ends_with(b"1") {
            thread::yield_now();
        }
        events.extend_from_slice(bytes);
        events.push(b'\n');
    }

    fn tally(&self) -> Tally {
        self.0.clone()
    }
}

fn mills(count: usize) -> Vec<Odd> {
    (0..count).map(|_| Odd::default()).collect()
}

/// What a test is about happens or not, but it does not hang.
fn within_a_minute<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, heard) = mpsc::channel();
    thread::spawn(move || told.send(what()));
    heard.recv_timeout(Duration::from_secs(60)).expect("ends, without a panic of the test itself")
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is full"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An input of some messages; `None` stands for a fault of the disk.
type Messages = Vec<Option<String>>;

fn read(name: usize, messages: &Messages, feeder: &mut Feeder) -> io::Result<Result<(), Stopped>> {
    if feeder.file(&name.to_string()).is_err() {
        return Ok(Err(Stopped));
    }
    for (offset, message) in (0..).zip(messages) {
        let Some(message) = message else { return Err(io::Error::other("the disk is gone")) };
        if feeder.push(message.as_bytes(), offset, None).is_err() {
            return Ok(Err(Stopped));
        }
    }
    Ok(Ok(()))
}

#[test]
fn order_is_kept_with_any_number_of_mills_and_inputs() {
    let filling = "-".repeat(4_000);
    // Sizes from nothing to more than one lane holds; the message before the last of every third input is refused, one input breaks off.
    let inputs: Vec<(usize, Messages)> = [0, 1, 700, 3, 3_000, 0, 2, 90, 1, 1, 1, 500]
        .into_iter()
        .enumerate()
        .map(|(name, count)| {
            let mut messages: Messages = (0..count).map(|n| Some(format!("{name}.{n}{filling}{n}"))).collect();
            if name % 3 == 2 {
                messages.push(Some(format!("x{name}")));
            }
            if name == 7 {
                messages.push(None);
                messages.push(Some("after the fault".to_owned()));
            }
            (name, messages)
        })
        .collect();
    let readable = |messages: &Messages| messages.iter().map_while(Clone::clone).collect::<Vec<_>>();
    let all: Vec<String> = inputs.iter().flat_map(|(_, messages)| readable(messages)).collect();
    let expected: String = all.iter().filter(|message| !message.starts_with('x')).map(|message| format!("{message}\n")).collect();
    for (threads, readers) in [(1, 1), (2, 2), (7, 3), (2, 40)] {
        let (mut events, mut letters, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let (written, tally) = run(
            mills(threads),
            readers,
            &inputs,
            &mut events,
            &mut letters,
            |(name, messages), feeder| read(*name, messages, feeder),
            |(name, _), fault| failed.push(format!("{name}: {fault}")),
        );
        let case = format!("{threads} threads, {readers} readers");
        assert!(written.is_ok(), "{case}");
        assert_eq!(failed, ["7: the disk is gone"], "{case}");
        assert_eq!(tally.messages, all.len() as u64, "{case}");
        assert!(events == expected.as_bytes(), "{case}");
        let letters: Vec<DeadLetter> =
            letters.split_inclusive(|byte| *byte == b'\n').map(|line| DeadLetter::read(line).expect("a dead letter")).collect();
        let places: Vec<_> = letters.iter().map(|letter| (letter.file.as_str(), letter.offset, letter.value.as_slice())).collect();
        assert_eq!(places, [("2", 700, &b"x2"[..]), ("5", 0, b"x5"), ("8", 1, b"x8"), ("11", 500, b"x11")], "{case}");
    }
}

#[test]
fn a_full_disk_stops_all_readers() {
    let (written, failed) = within_a_minute(|| {
        let mut failed = 0;
        let (written, _) = run(
            mills(2),
            3,
            &[0_u8; 9],
            Full,
            io::sink(),
            |_, feeder| {
                // Without an end: only the writer's failure stops it.
                for offset in 0.. {
                    if feeder.push(&[b'a'; 100_000], offset, None).is_err() {
                        return Ok(Err(Stopped));
                    }
                }
                Ok(Ok(()))
            },
            |_, _| failed += 1,
        );
        (written, failed)
    });
    assert!(written.is_err_and(|fault| fault.to_string().contains("full")));
    assert_eq!(failed, 0, "the inputs are not at fault");
}

#[test]
fn a_panic_anywhere_ends_the_run_and_is_told() {
    let many = |last: Option<&str>| -> Messages {
        let mut messages: Messages = (0..20_000).map(|n| Some(format!("{n}{}", "-".repeat(1_000)))).collect();
        messages.insert(10_000, last.map(str::to_owned));
        messages
    };
    for (name, inputs) in [
        ("in a mill", vec![many(Some("!")), many(Some("1")), many(Some("1"))]),
        ("in a reader", vec![many(Some("1")), many(None), many(Some("1"))]),
    ] {
        let outcome = within_a_minute(move || {
            let run = || {
                let read = |messages: &Messages, feeder: &mut Feeder| {
                    let outcome = read(0, messages, feeder);
                    assert!(outcome.is_ok(), "a reader falls over, on purpose of a test");
                    outcome
                };
                run(mills(2), 2, &inputs, io::sink(), io::sink(), read, |_, _| {})
            };
            catch_unwind(AssertUnwindSafe(run)).is_err()
        });
        assert!(outcome, "{name}: a panic goes on to the caller");
    }
}

/// Counts bytes between the readers and itself.
struct Slow<'a> {
    pushed: &'a AtomicUsize,
    written: usize,
    most: usize,
}

impl Write for &mut Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Readers get all the time they want to run ahead.
        for _ in 0..20 {
            thread::yield_now();
        }
        self.most = self.most.max(self.pushed.load(Ordering::Relaxed) - self.written);
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_writer_bounds_the_bytes_under_way() {
    // Three readers: three lanes wait, one is taken, and one reader may hold a message for which there is no lane yet. Two mills.
    let lanes = 5 * (8 << 20);
    let under_way = 2 * (4 << 20);
    for (name, message_bytes, count) in [("small messages", 2_000, 10_000), ("large messages", 3 << 20, 12)] {
        let pushed = AtomicUsize::new(0);
        let mut slow = Slow { pushed: &pushed, written: 0, most: 0 };
        let message = vec![b'a'; message_bytes];
        let (written, tally) = run(
            mills(2),
            3,
            &[(); 9],
            &mut slow,
            io::sink(),
            |(), feeder| {
                for offset in 0..count {
                    pushed.fetch_add(message.len() + 1, Ordering::Relaxed);
                    if feeder.push(&message, offset, None).is_err() {
                        return Ok(Err(Stopped));
                    }
                }
                Ok(Ok(()))
            },
            |(), _| {},
        );
        assert!(written.is_ok() && tally.messages == 9 * count, "{name}");
        // What is being made: a batch in each reader's hands, a result in each mill's, one in the writer's.
        let in_hands = 6 * (message_bytes + (300 << 10));
        assert!(slow.most <= lanes + under_way + in_hands, "{name}: {} bytes under way", slow.most);
        assert!(slow.most > under_way, "{name}: only {} bytes under way, the test is about nothing", slow.most);
    }
}
