//! What a message owes: it is settled when everything that came of it is acknowledged.
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::budget::{Budget, MESSAGE_OVERHEAD_BYTES};
use super::watermark::Watermark;
use super::window::Window;

/// One assigned partition, for as long as this assignment lasts. A partition that is revoked and assigned again gets a new one, so
/// what is acknowledged late for the old assignment can move nothing.
#[derive(Debug)]
pub struct Partition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub number: i32,
    /// Counts assignments of this process.
    pub generation: u64,
    /// The ids it had, with `dedupe = "window"`.
    pub window: Option<Mutex<Window>>,
    budget: Arc<Budget>,
    revoked: AtomicBool,
    // Workers read what stands above for every message, and others write these two for every message.
    watermark: Apart<Mutex<Watermark>>,
    in_flight: Apart<AtomicUsize>,
}

/// Stands in cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

impl Partition {
    /// A newly assigned partition, whose messages take from `budget`.
    pub fn new(topic: Arc<str>, number: i32, generation: u64, budget: &Arc<Budget>) -> Partition {
        Partition {
            topic,
            number,
            generation,
            window: None,
            budget: Arc::clone(budget),
            revoked: AtomicBool::new(false),
            watermark: Apart(Mutex::default()),
            in_flight: Apart(AtomicUsize::new(0)),
        }
    }

    /// The same with a window of `ids` ids; 0 for none.
    pub fn remembering(self, ids: usize) -> Partition {
        Partition { window: (ids > 0).then(|| Mutex::new(Window::new(ids))), ..self }
    }

    /// The same with the window of the generation before, which is left empty.
    pub fn inheriting(self, before: &Partition) -> Partition {
        let taken = before.window.as_ref().map(|window| window.lock().unwrap_or_else(PoisonError::into_inner).take());
        Partition { window: taken.map(Mutex::new), ..self }
    }

    /// It is read from `offset` on: ids of messages from there on are forgotten.
    pub fn read_from(&self, offset: i64) {
        if let Some(window) = &self.window {
            window.lock().unwrap_or_else(PoisonError::into_inner).keep_below(offset);
        }
    }

    /// Forgets an id whose first copy, of this message and record, will not be delivered.
    pub fn forget(&self, id: &[u8], offset: i64, record: u32) {
        if let Some(window) = &self.window {
            window.lock().unwrap_or_else(PoisonError::into_inner).forget(id, (offset, record));
        }
    }

    /// Forgets every id that came first in this message.
    pub fn forget_message(&self, offset: i64) {
        if let Some(window) = &self.window {
            window.lock().unwrap_or_else(PoisonError::into_inner).forget_message(offset);
        }
    }

    /// `topic/number`, the label of metrics.
    pub fn label(&self) -> String {
        format!("{}/{}", self.topic, self.number)
    }

    /// Runs `work` on the watermark. A panic of another holder cannot leave it half changed, so a poisoned lock is used on.
    pub fn watermark<T>(&self, work: impl FnOnce(&mut Watermark) -> T) -> T {
        work(&mut self.watermark.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on messages of it that no worker has begun are given up: their new owner reads them.
    pub fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether this assignment is over.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// Messages taken and neither settled nor given up.
    pub fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Acquire)
    }
}

/// The body and place of one message, kept until it is settled because a dead letter may need its bytes.
#[derive(Debug)]
pub struct Taken {
    /// Offset in its partition.
    pub offset: i64,
    /// The broker's timestamp. Unit: milliseconds since the Unix epoch.
    pub received_ms: Option<i64>,
    /// The body as received.
    pub body: Vec<u8>,
    /// Of a dead letter read again: what its headers say about its first arrival. Of a file: its name and the byte in it.
    pub origin: Option<Origin>,
}

/// Where a dead letter's record first came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Topic of the first arrival.
    pub topic: String,
    /// Partition of the first arrival.
    pub partition: i32,
    /// Offset of the first arrival.
    pub offset: i64,
    /// Only this output lacks it, when the record failed at one output alone.
    pub output: Option<String>,
}

/// One message on its way. The last part of it to be acknowledged settles it; dropping the last handle gives its bytes back.
#[derive(Debug)]
pub struct Ticket {
    /// The assignment it belongs to.
    pub partition: Arc<Partition>,
    /// Body and place.
    pub taken: Taken,
    /// When it was taken, for the latency.
    pub begun: Instant,
    outstanding: AtomicU32,
    whole_body_sent: AtomicBool,
    /// Earlier pieces of a dead letter in pieces: they settle with this one.
    held: Vec<Arc<Ticket>>,
}

impl Ticket {
    /// Takes a message in: the watermark holds at its offset from here on. `None` when it was handed over before.
    pub fn begin(partition: &Arc<Partition>, taken: Taken, begun: Instant, begun_ms: u64) -> Option<Ticket> {
        let mut one = Vec::with_capacity(1);
        Ticket::begin_all(partition, &mut vec![taken], (begun, begun_ms), |ticket| one.push(ticket));
        one.pop()
    }

    /// The same for many of one partition, in order, with one visit to what its acknowledgements change too. `taken` is left empty; those
    /// that were handed over before are left out.
    pub fn begin_all(partition: &Arc<Partition>, taken: &mut Vec<Taken>, (begun, begun_ms): (Instant, u64), mut each: impl FnMut(Ticket)) {
        partition.watermark(|watermark| taken.retain(|one| watermark.begin(one.offset, begun_ms)));
        partition.in_flight.0.fetch_add(taken.len(), Ordering::AcqRel);
        partition.budget.take(taken.iter().map(|one| one.body.len() as u64 + MESSAGE_OVERHEAD_BYTES).sum());
        for taken in taken.drain(..) {
            each(Ticket {
                partition: Arc::clone(partition),
                taken,
                begun,
                outstanding: AtomicU32::new(0),
                whole_body_sent: AtomicBool::new(false),
                held: Vec::new(),
            });
        }
    }

    /// Whether a source that paused waits for messages to settle.
    pub fn is_pressing(&self) -> bool {
        self.partition.budget.is_pressing()
    }

    /// Replaces the body by the one put together of several pieces and holds the earlier pieces until this is settled.
    pub fn hold(&mut self, earlier: Vec<Arc<Ticket>>, body: Vec<u8>) {
        self.partition.budget.take(body.len() as u64);
        self.partition.budget.release(self.taken.body.len() as u64);
        self.taken.body = body;
        self.held = earlier;
    }

    /// Says how many acknowledgements will come, before the first is asked for. Zero settles at once. Answers whether it settled.
    pub fn expect(&self, acknowledgements: u32) -> bool {
        self.outstanding.store(acknowledgements, Ordering::Release);
        if acknowledgements == 0 {
            self.settle();
        }
        acknowledgements == 0
    }

    /// Asks for more acknowledgements, while at least one is still outstanding.
    pub fn expect_more(&self, acknowledgements: u32) {
        self.outstanding.fetch_add(acknowledgements, Ordering::AcqRel);
    }

    /// One acknowledgement came. The last settles the message and answers true.
    pub fn acknowledge(&self) -> bool {
        let last = self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.settle();
        }
        last
    }

    /// True for the first who asks: the whole body is sent once, however many of its records could not be cut out.
    pub fn claim_whole_body(&self) -> bool {
        !self.whole_body_sent.swap(true, Ordering::AcqRel)
    }

    /// Settles without any acknowledgement: the message needs nothing more.
    pub fn settle(&self) {
        self.partition.watermark(|watermark| watermark.settle(self.taken.offset));
        for earlier in &self.held {
            earlier.settle();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.partition.budget.release(self.taken.body.len() as u64 + MESSAGE_OVERHEAD_BYTES);
        self.partition.in_flight.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(partition: &Arc<Partition>, offset: i64) -> Option<Ticket> {
        let taken = Taken { offset, received_ms: None, body: vec![b'x'; 100], origin: None };
        Ticket::begin(partition, taken, Instant::now(), 0)
    }

    #[test]
    fn settles_with_the_last_acknowledgement_and_gives_its_bytes_back() {
        let budget = Arc::new(Budget::new(1000));
        let partition = Arc::new(Partition::new("t".into(), 0, 1, &budget));
        let ticket = take(&partition, 41).expect("offset 41 is new");
        assert!(take(&partition, 41).is_none(), "handed over twice");
        assert_eq!((budget.used_bytes(), partition.in_flight()), (100 + MESSAGE_OVERHEAD_BYTES, 1));
        assert!(!ticket.expect(2));
        assert!(!ticket.acknowledge());
        ticket.expect_more(1);
        assert!(!ticket.acknowledge());
        assert_eq!(partition.watermark(|watermark| watermark.position()), None);
        assert!(ticket.acknowledge());
        assert_eq!(partition.watermark(|watermark| watermark.position()), Some(42));
        drop(ticket);
        assert_eq!((budget.used_bytes(), partition.in_flight()), (0, 0));
    }

    #[test]
    fn many_begin_as_one_does() {
        let budget = Arc::new(Budget::new(1000));
        let partition = Arc::new(Partition::new("t".into(), 0, 1, &budget));
        let one = |offset| Taken { offset, received_ms: None, body: vec![b'x'; 100], origin: None };
        let (mut taken, mut tickets) = ([4, 5, 5, 9].map(one).into(), Vec::new());
        Ticket::begin_all(&partition, &mut taken, (Instant::now(), 0), |ticket| tickets.push(ticket));
        assert_eq!(tickets.iter().map(|ticket| ticket.taken.offset).collect::<Vec<_>>(), [4, 5, 9]);
        assert_eq!((budget.used_bytes(), partition.in_flight()), (3 * (100 + MESSAGE_OVERHEAD_BYTES), 3));
        tickets.iter().for_each(Ticket::settle);
        assert_eq!(partition.watermark(|watermark| watermark.position()), Some(10));
        tickets.clear();
        assert_eq!((budget.used_bytes(), partition.in_flight()), (0, 0));
    }

    #[test]
    fn earlier_pieces_settle_with_the_last_one() {
        let budget = Arc::new(Budget::new(1000));
        let partition = Arc::new(Partition::new("t".into(), 0, 1, &budget));
        let first = Arc::new(take(&partition, 1).expect("new"));
        let mut second = take(&partition, 2).expect("new");
        second.hold(vec![first], vec![b'x'; 200]);
        assert_eq!(budget.used_bytes(), 300 + 2 * MESSAGE_OVERHEAD_BYTES);
        assert!(second.expect(0));
        assert_eq!(partition.watermark(|watermark| watermark.position()), Some(3));
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }
}
