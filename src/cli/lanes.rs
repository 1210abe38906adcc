//! Inputs read ahead side by side, taken one after the other: what leaves stands in the order of the inputs.
//!
//! Each input is a *lane*: a reader opens it, unpacks it and cuts it into batches, while whoever takes the batches is still at an earlier
//! lane. So hours of gzip files are unpacked on several processors and one slow file does not idle the mills. How far a lane may run
//! ahead is bounded in bytes, and how many lanes are open is bounded too; a small file is held as a whole, of a large one only the beginning.

use std::io;
use std::ops::Range;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::budget::{Budget, Stopped};

/// A batch is handed on when its messages reach this many bytes: large enough that handing over costs nothing, small enough that
/// two threads share a small file.
pub const BATCH_BYTES: usize = 256 << 10;

/// What one lane may hold: an hour of a busy Azure log, so that many such files are unpacked side by side.
const LANE_BYTES: usize = 8 << 20;

/// Buffers that grew beyond this for one long message are not kept.
const KEPT_BYTES: usize = 4 * BATCH_BYTES;

/// Messages that travel together; all of one input.
#[derive(Debug, Default)]
pub struct Batch {
    /// What the input is called.
    pub file: Arc<str>,
    /// The messages, one after the other.
    pub bytes: Vec<u8>,
    /// Where they lie.
    pub messages: Vec<Entry>,
}

/// One message of a batch.
#[derive(Debug)]
pub struct Entry {
    /// Its bytes in those of the batch.
    pub range: Range<usize>,
    /// Where it began in the input, in bytes after decompression.
    pub offset: u64,
    /// When it arrived, in milliseconds since the Unix epoch, UTC, where the input says so.
    pub received_ms: Option<i64>,
}

impl Batch {
    /// Bytes of memory that its messages fill; the places of many small ones count.
    pub fn held_bytes(&self) -> usize {
        self.bytes.len() + self.messages.len() * size_of::<Entry>()
    }

    /// Empties it, for those who fill the next one. One that has grown large is dropped.
    pub fn recycle(mut self, emptied: &Sender<Batch>) {
        if self.bytes.capacity() <= KEPT_BYTES {
            self.bytes.clear();
            self.messages.clear();
            // When every reader has ended nobody wants it.
            let _ = emptied.send(self);
        }
    }
}

/// What comes along a lane.
enum Step {
    Batch(Batch),
    /// The input has ended, or could not be read further.
    End(io::Result<()>),
}

/// Takes messages from the one who reads an input.
pub struct Feeder {
    batch: Batch,
    steps: Sender<Step>,
    ahead: Arc<Budget>,
    emptied: Receiver<Batch>,
}

impl Feeder {
    /// Says what the input is called; dead letters of the messages pushed from now on tell it.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when nobody takes the messages any more.
    pub fn file(&mut self, name: &str) -> Result<(), Stopped> {
        self.hand_over()?;
        self.batch.file = Arc::from(name);
        Ok(())
    }

    /// Adds one message that began at `offset` of the input.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when nobody takes the messages any more.
    pub fn push(&mut self, bytes: &[u8], offset: u64, received_ms: Option<i64>) -> Result<(), Stopped> {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(bytes);
        self.batch.messages.push(Entry { range: start..self.batch.bytes.len(), offset, received_ms });
        if self.batch.held_bytes() >= BATCH_BYTES { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), Stopped> {
        if self.batch.messages.is_empty() {
            return Ok(());
        }
        self.ahead.take(self.batch.held_bytes())?;
        let mut next = self.emptied.try_recv().unwrap_or_default();
        next.file = Arc::clone(&self.batch.file);
        let full = std::mem::replace(&mut self.batch, next);
        self.steps.send(Step::Batch(full)).map_err(|_| Stopped)
    }

    fn end(mut self, outcome: io::Result<()>) -> Result<(), Stopped> {
        // What was complete before a fault is milled.
        self.hand_over()?;
        self.steps.send(Step::End(outcome)).map_err(|_| Stopped)
    }
}

/// One input on its way.
pub struct Lane<'a, I> {
    input: &'a I,
    steps: Receiver<Step>,
    ahead: Arc<Budget>,
}

impl<I> Drop for Lane<'_, I> {
    fn drop(&mut self) {
        self.ahead.close();
    }
}

/// Reads one input after the other until there are none, or nobody takes them any more. Several threads do this over the same `inputs`.
pub fn read_inputs<'a, I>(
    inputs: &Mutex<slice::Iter<'a, I>>,
    lanes: &Sender<Lane<'a, I>>,
    emptied: &Receiver<Batch>,
    read: &impl Fn(&I, &mut Feeder) -> io::Result<Result<(), Stopped>>,
) {
    loop {
        let (input, mut feeder) = {
            // A panic of another reader ends the whole run; which input is next does not matter then.
            let mut inputs = inputs.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(input) = inputs.next() else { return };
            let (steps, taken) = unbounded();
            let ahead = Arc::new(Budget::new(LANE_BYTES));
            let lane = Lane { input, steps: taken, ahead: Arc::clone(&ahead) };
            // While the lock is held, so that lanes stand in the order of the inputs; it waits here when enough lanes are open.
            if lanes.send(lane).is_err() {
                return;
            }
            (input, Feeder { batch: Batch::default(), steps, ahead, emptied: emptied.clone() })
        };
        let ended = match read(input, &mut feeder) {
            Ok(Ok(())) => feeder.end(Ok(())),
            Ok(Err(Stopped)) => Err(Stopped),
            Err(fault) => feeder.end(Err(fault)),
        };
        if ended.is_err() {
            return;
        }
    }
}

/// Takes the batches of all lanes, lane by lane, until the last or until `each` says that it is enough. `failed` hears of inputs that could
/// not be read to their end, in their turn.
pub fn take_all<I>(
    lanes: &Receiver<Lane<'_, I>>,
    mut each: impl FnMut(Batch) -> Result<(), Stopped>,
    mut failed: impl FnMut(&I, &io::Error),
) {
    let _rest = Rest(lanes);
    'lanes: for lane in lanes {
        for step in &lane.steps {
            match step {
                Step::Batch(batch) => {
                    lane.ahead.give_back(batch.held_bytes());
                    if each(batch).is_err() {
                        break 'lanes;
                    }
                }
                Step::End(outcome) => {
                    if let Err(fault) = outcome {
                        failed(lane.input, &fault);
                    }
                    continue 'lanes;
                }
            }
        }
        // A lane without an end: its reader has panicked, and its thread's end tells.
        break;
    }
}

/// Lets go, at the end and also in a panic, whoever waits for room in a lane or for a place for one: a lane that is dropped is closed.
struct Rest<'r, 'a, I>(&'r Receiver<Lane<'a, I>>);

impl<I> Drop for Rest<'_, '_, I> {
    fn drop(&mut self) {
        self.0.iter().for_each(drop);
    }
}
