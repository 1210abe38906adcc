//! Several readers, several mills, one writer: what comes out stands in the order of what went in, byte for byte as one thread would
//! write it.
//!
//! ```text
//! readers (read, unpack, cut) -> lanes -> batches -> mills -> writer
//!                                   in order of inputs          in order of batches
//! ```
//! Every batch carries its own answering channel, and the writer takes these in the order of reading, so a slow batch holds back the writer
//! but not the mills. Two budgets bound the bytes: one for each lane that is read ahead, one for what is being milled or waits for the
//! writer. Nothing depends on a size or a count alone: a message of 64 MiB goes through by itself, and a million of one byte fill a batch.
//!
//! These are plain threads and channels. A pool that balances tasks, such as rayon's, has nothing to balance: all batches are alike, readers
//! wait for disks, the writer for order, and neither the order nor the bound on bytes would come with it.

use std::io::{self, Write};
use std::sync::Mutex;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

pub use super::budget::Stopped;
use super::budget::{Budget, ClosesAtEnd};
pub use super::lanes::Feeder;
use super::lanes::{self, BATCH_BYTES, Batch};
use super::summary::Tally;
use crate::sink::letter_file::DeadLetter;

/// Bytes under way for each mill, as messages or as what became of them: a few batches being milled, waiting, and for the writer to catch up.
const BYTES_PER_MILL: usize = 4 << 20;

/// Batches under way for each mill, when they are small: the ends of small files.
const BATCHES_PER_MILL: usize = 64;

/// Inputs that are read at one time at most, each with memory of its own.
const READERS: usize = 16;

/// Output buffers that grew beyond this for one long message are not kept.
const KEPT_BYTES: usize = 8 * BATCH_BYTES;

/// What replay asks of the engine; one for each thread.
pub trait Mill: Send {
    /// Mills one message: appends events as NDJSON lines to `events`, and what was rejected to `rejects` (stage, code, path, detail and
    /// value are filled; the reader's `file` and `offset` are not).
    fn process(&mut self, bytes: &[u8], received_ms: Option<i64>, events: &mut Vec<u8>, rejects: &mut Vec<DeadLetter>);

    /// What it counted so far.
    fn tally(&self) -> Tally;
}

/// What a batch became.
#[derive(Debug, Default)]
struct Milled {
    events: Vec<u8>,
    dead_letters: Vec<u8>,
}

impl Milled {
    fn held_bytes(&self) -> usize {
        self.events.len() + self.dead_letters.len()
    }

    fn recycle(mut self, written: &Sender<Milled>) {
        if self.events.capacity() + self.dead_letters.capacity() <= KEPT_BYTES {
            self.events.clear();
            self.dead_letters.clear();
            // When every mill has ended nobody wants it.
            let _ = written.send(self);
        }
    }
}

/// Buffers on their way back to those who fill them.
struct Returns {
    emptied: Sender<Batch>,
    written: Receiver<Milled>,
}

/// Runs `read` once for each input, in `readers` threads (fewer when there are fewer inputs), one thread for each mill, and one that writes
/// events and dead letters. The calling thread keeps the order. `failed` hears, in their turn, of inputs that could not be read to their
/// end. Gives the counts of all mills.
///
/// # Errors
///
/// The first failure to write. Reading stops then.
pub fn run<M: Mill, I: Sync>(
    mills: Vec<M>,
    readers: usize,
    inputs: &[I],
    events: impl Write + Send,
    dead_letters: impl Write + Send,
    read: impl Fn(&I, &mut Feeder) -> io::Result<Result<(), Stopped>> + Sync,
    failed: impl FnMut(&I, &io::Error),
) -> (io::Result<()>, Tally) {
    let readers = readers.min(inputs.len()).min(READERS);
    let inputs = Mutex::new(inputs.iter());
    let (to_lanes, lanes) = bounded(readers.max(1));
    let (to_mills, from_lanes) = bounded::<(Batch, Sender<Milled>)>(mills.len() * BATCHES_PER_MILL);
    let (to_writer, in_order) = bounded::<Receiver<Milled>>(mills.len() * BATCHES_PER_MILL);
    let (emptied, to_readers) = unbounded();
    let (give_back, written) = unbounded();
    let under_way = Budget::new(mills.len() * BYTES_PER_MILL);
    thread::scope(|scope| {
        let (under_way, inputs, read) = (&under_way, &inputs, &read);
        let readers: Vec<_> = (0..readers)
            .map(|_| {
                let (to_lanes, to_readers) = (to_lanes.clone(), to_readers.clone());
                scope.spawn(move || lanes::read_inputs(inputs, &to_lanes, &to_readers, read))
            })
            .collect();
        drop((to_lanes, to_readers));
        let millers: Vec<_> = mills
            .into_iter()
            .map(|mut mill| {
                let from_lanes = from_lanes.clone();
                let returns = Returns { emptied: emptied.clone(), written: written.clone() };
                scope.spawn(move || {
                    mill_all(&mut mill, &from_lanes, &returns, under_way);
                    mill.tally()
                })
            })
            .collect();
        drop((from_lanes, emptied, written));
        let writer = scope.spawn(move || write_all(&in_order, &give_back, under_way, events, dead_letters));

        let hand_over = |batch: Batch| {
            under_way.take(batch.held_bytes())?;
            let (answer, answered) = bounded(1);
            to_writer.send(answered).map_err(|_| Stopped)?;
            to_mills.send((batch, answer)).map_err(|_| Stopped)
        };
        lanes::take_all(&lanes, hand_over, failed);
        drop((to_mills, to_writer));
        let written = joined(writer);
        readers.into_iter().for_each(joined);
        let mut tally = Tally::default();
        for miller in millers {
            tally.add(&joined(miller));
        }
        (written, tally)
    })
}

/// What a thread gave; its panic goes on here.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn mill_all(mill: &mut impl Mill, batches: &Receiver<(Batch, Sender<Milled>)>, returns: &Returns, under_way: &Budget) {
    let mut rejects = Vec::new();
    for (batch, answer) in batches {
        let mut milled = returns.written.try_recv().unwrap_or_default();
        for entry in &batch.messages {
            mill.process(&batch.bytes[entry.range.clone()], entry.received_ms, &mut milled.events, &mut rejects);
            for mut letter in rejects.drain(..) {
                letter.file = batch.file.to_string();
                letter.offset = entry.offset;
                letter.received_ms = entry.received_ms;
                letter.write(&mut milled.dead_letters);
            }
        }
        under_way.exchange(batch.held_bytes(), milled.held_bytes());
        batch.recycle(&returns.emptied);
        // The writer may be gone; then nobody wants the answer.
        let _ = answer.send(milled);
    }
}

fn write_all(
    in_order: &Receiver<Receiver<Milled>>,
    give_back: &Sender<Milled>,
    under_way: &Budget,
    mut events: impl Write,
    mut dead_letters: impl Write,
) -> io::Result<()> {
    let _closes = ClosesAtEnd(under_way);
    for answered in in_order {
        // A mill that is gone has panicked; its thread's end tells.
        let Ok(milled) = answered.recv() else { break };
        events.write_all(&milled.events)?;
        dead_letters.write_all(&milled.dead_letters)?;
        under_way.give_back(milled.held_bytes());
        milled.recycle(give_back);
    }
    events.flush()?;
    dead_letters.flush()
}
