//! One reader, several mills, one writer: what comes out stands in the order of what went in.
//!
//! Messages travel in batches. Every batch carries its own answering channel, and the writer takes these in the order of reading, so a
//! slow batch holds back the writer but not the mills. The number of batches under way is bounded, and so is a batch.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::summary::Tally;
use crate::sink::letter_file::DeadLetter;

/// A batch is handed on when its messages reach this many bytes: large enough that handing over costs nothing, small enough that
/// two threads share a small file.
const BATCH_BYTES: usize = 256 << 10;

/// Batches under way for each mill: one being milled, one waiting, and some for the writer to catch up.
const BATCHES_PER_MILL: usize = 4;

/// What replay asks of the engine; one for each thread.
pub trait Mill: Send {
    /// Mills one message: appends events as NDJSON lines to `events`, and what was rejected to `rejects` (stage, code, path, detail and
    /// value are filled; the reader's `file` and `offset` are not).
    fn process(&mut self, bytes: &[u8], received_ms: Option<i64>, events: &mut Vec<u8>, rejects: &mut Vec<DeadLetter>);

    /// What it counted so far.
    fn tally(&self) -> Tally;
}

/// Messages that travel together; all of one file.
#[derive(Debug, Default)]
struct Batch {
    file: Arc<str>,
    bytes: Vec<u8>,
    messages: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    range: Range<usize>,
    offset: u64,
    received_ms: Option<i64>,
}

/// What a batch became.
#[derive(Debug, Default)]
struct Milled {
    events: Vec<u8>,
    dead_letters: Vec<u8>,
    /// The emptied batch, on its way back to the reader.
    batch: Batch,
}

/// Takes messages from the reader.
pub struct Feeder {
    batch: Batch,
    to_mills: Sender<(Batch, Sender<Milled>)>,
    to_writer: Sender<Receiver<Milled>>,
    emptied: Receiver<Batch>,
}

/// The writer has stopped; there is no use in reading on.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Feeder {
    /// Starts a new file; messages pushed from now on stand in it.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the writer failed.
    pub fn file(&mut self, name: &str) -> Result<(), Stopped> {
        self.hand_over()?;
        self.batch.file = Arc::from(name);
        Ok(())
    }

    /// Adds one message that began at `offset` of the file.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the writer failed.
    pub fn push(&mut self, bytes: &[u8], offset: u64, received_ms: Option<i64>) -> Result<(), Stopped> {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(bytes);
        self.batch.messages.push(Entry { range: start..self.batch.bytes.len(), offset, received_ms });
        if self.batch.bytes.len() >= BATCH_BYTES { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), Stopped> {
        if self.batch.messages.is_empty() {
            return Ok(());
        }
        let mut next = self.emptied.try_recv().unwrap_or_default();
        next.file = Arc::clone(&self.batch.file);
        let full = std::mem::replace(&mut self.batch, next);
        let (answer, answered) = bounded(1);
        self.to_writer.send(answered).map_err(|_| Stopped)?;
        self.to_mills.send((full, answer)).map_err(|_| Stopped)
    }
}

/// Runs `read` in the calling thread, one thread for each mill, and one that writes events and dead letters. Gives what `read` gave and
/// the counts of all mills.
///
/// # Errors
///
/// The first failure to write. Reading stops then.
pub fn run<M: Mill, T>(
    mills: Vec<M>,
    mut events: impl Write + Send,
    mut dead_letters: impl Write + Send,
    read: impl FnOnce(&mut Feeder) -> T,
) -> (T, io::Result<()>, Tally) {
    let under_way = mills.len() * BATCHES_PER_MILL;
    let (to_mills, from_reader) = bounded::<(Batch, Sender<Milled>)>(under_way);
    let (to_writer, in_order) = bounded::<Receiver<Milled>>(under_way);
    let (give_back, emptied) = unbounded();
    thread::scope(|scope| {
        let millers: Vec<_> = mills
            .into_iter()
            .map(|mut mill| {
                let from_reader = from_reader.clone();
                scope.spawn(move || {
                    let mut rejects = Vec::new();
                    for (batch, answer) in from_reader {
                        // The writer may be gone; then nobody wants the answer.
                        let _ = answer.send(mill_batch(&mut mill, batch, &mut rejects));
                    }
                    mill.tally()
                })
            })
            .collect();
        drop(from_reader);
        let writer = scope.spawn(move || -> io::Result<()> {
            for answered in in_order {
                // A mill that is gone has panicked; its thread's end tells.
                let Ok(milled) = answered.recv() else { break };
                events.write_all(&milled.events)?;
                dead_letters.write_all(&milled.dead_letters)?;
                let _ = give_back.send(milled.batch);
            }
            events.flush()?;
            dead_letters.flush()
        });
        let mut feeder = Feeder { batch: Batch::default(), to_mills, to_writer, emptied };
        let result = read(&mut feeder);
        // When the writer stopped, it says why itself.
        let _ = feeder.hand_over();
        drop(feeder);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut tally = Tally::default();
        for miller in millers {
            tally.add(&miller.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        (result, written, tally)
    })
}

fn mill_batch(mill: &mut impl Mill, mut batch: Batch, rejects: &mut Vec<DeadLetter>) -> Milled {
    let mut milled = Milled::default();
    for entry in &batch.messages {
        mill.process(&batch.bytes[entry.range.clone()], entry.received_ms, &mut milled.events, rejects);
        for mut letter in rejects.drain(..) {
            letter.file = batch.file.to_string();
            letter.offset = entry.offset;
            letter.received_ms = entry.received_ms;
            letter.write(&mut milled.dead_letters);
        }
    }
    batch.bytes.clear();
    batch.messages.clear();
    milled.batch = batch;
    milled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Emits every message as it is, slowly when it is odd, and rejects those that start with `x`.
    #[derive(Default)]
    struct Odd(Tally);

    impl Mill for Odd {
        fn process(&mut self, bytes: &[u8], _: Option<i64>, events: &mut Vec<u8>, rejects: &mut Vec<DeadLetter>) {
            self.0.messages += 1;
            if bytes.starts_with(b"x") {
                rejects.push(DeadLetter { code: "is_x".into(), value: bytes.to_vec(), ..DeadLetter::default() });
                return;
            }
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

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is full"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn order_is_kept_with_any_number_of_mills() {
        let filling = "-".repeat(4_000);
        let expected: String = (0..2_000).map(|n| format!("{n}{filling}{n}\n")).collect();
        for threads in [1, 2, 7] {
            let mut events = Vec::new();
            let mut letters = Vec::new();
            let mills: Vec<Odd> = (0..threads).map(|_| Odd::default()).collect();
            let (read, written, tally) = run(mills, &mut events, &mut letters, |feeder| {
                for n in 0..2_000_u64 {
                    if n == 1_000 {
                        feeder.file("second")?;
                        feeder.push(b"x", 7, None)?;
                    }
                    feeder.push(format!("{n}{filling}{n}").as_bytes(), n, None)?;
                }
                Ok::<(), Stopped>(())
            });
            assert_eq!(read, Ok(()));
            assert!(written.is_ok());
            assert_eq!(tally.messages, 2_001, "threads: {threads}");
            assert!(events == expected.as_bytes(), "threads: {threads}");
            let letter = DeadLetter::read(&letters).expect("one dead letter");
            assert_eq!((letter.file.as_str(), letter.offset, letter.value.as_slice()), ("second", 7, b"x".as_slice()));
        }
    }

    #[test]
    fn a_full_disk_stops_the_reader() {
        let mut pushed = 0_u64;
        let (read, written, _) = run(vec![Odd::default()], Full, io::sink(), |feeder| {
            // Without an end: only the writer's failure stops it.
            loop {
                feeder.push(&[b'a'; 100_000], pushed, None)?;
                pushed += 1;
            }
            #[allow(unreachable_code)]
            Ok::<(), Stopped>(())
        });
        assert_eq!(read, Err(Stopped));
        assert!(written.is_err_and(|fault| fault.to_string().contains("full")));
    }
}
