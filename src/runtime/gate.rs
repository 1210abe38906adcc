//! What stands between the workers and an open transaction: who may send into it, what it still waits for, and why it must be aborted.
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Workers pass it with some messages at a time. Whoever is inside may send; a closed gate lets nobody in, and is empty when nobody is inside and
/// every message that was sent has come back. Then the transaction holds whole input messages only.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    /// Messages handed to the producer that have not come back.
    owed: Arc<AtomicUsize>,
    discarding: AtomicBool,
    wish: Mutex<Option<String>>,
    careful: AtomicBool,
    sends_alone: AtomicBool,
    refused: Mutex<HashMap<Place, Refusal>>,
    has_refused: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    is_open: bool,
    inside: usize,
    /// Messages let in since it was opened.
    entered: usize,
}

/// An event by where it came from: topic, partition, offset, record, output.
pub type Place = (Arc<str>, i32, i64, u32, u16);

/// Why an event became a dead letter after the broker had refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether its size was the reason.
    pub too_large: bool,
    /// librdkafka's code.
    pub code: String,
}

/// Leave to send; dropping it leaves the gate.
#[derive(Debug)]
pub struct Pass<'a>(&'a Gate);

/// One message that was handed to the producer; dropped when it has come back.
#[derive(Debug)]
pub struct Share(Arc<AtomicUsize>);

/// How often a waiting worker looks whether the process ends.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

impl Gate {
    /// Waits until the gate is open, for so many messages. `None` when `given_up` became true before.
    pub fn enter(&self, messages: usize, given_up: impl Fn() -> bool) -> Option<Pass<'_>> {
        let mut state = self.lock();
        while !state.is_open {
            if given_up() {
                return None;
            }
            state = self.changed.wait_timeout(state, LOOK_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.inside += 1;
        state.entered += messages;
        Some(Pass(self))
    }

    /// Lets messages in, into a new transaction.
    pub fn open(&self) {
        self.discarding.store(false, Ordering::Release);
        let mut state = self.lock();
        state.is_open = true;
        state.entered = 0;
        drop(state);
        self.changed.notify_all();
    }

    /// Lets nobody in.
    pub fn close(&self) {
        self.lock().is_open = false;
    }

    /// Closes it, and whoever is inside sends no more.
    pub fn discard(&self) {
        self.close();
        self.discarding.store(true, Ordering::Release);
    }

    /// Whether what is sent now would be thrown away.
    pub fn is_discarding(&self) -> bool {
        self.discarding.load(Ordering::Acquire)
    }

    /// Messages let in since it was opened.
    pub fn entered(&self) -> usize {
        self.lock().entered
    }

    /// Nobody is inside.
    pub fn is_left(&self) -> bool {
        self.lock().inside == 0
    }

    /// Nobody is inside and everything sent has come back.
    pub fn is_empty(&self) -> bool {
        // In this order: who is inside may still send.
        self.is_left() && self.owed.load(Ordering::Acquire) == 0
    }

    /// Waits a moment for it to become empty.
    pub fn wait_empty(&self, timeout: Duration) -> bool {
        let deadline = std::time::Instant::now() + timeout;
        while !self.is_empty() {
            if std::time::Instant::now() >= deadline {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        true
    }

    /// Counts a message that is about to be sent.
    pub fn share(&self) -> Share {
        self.owed.fetch_add(1, Ordering::AcqRel);
        Share(Arc::clone(&self.owed))
    }

    /// Asks that the transaction be aborted. The first reason stays.
    pub fn ask_abort(&self, why: String) {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Why the transaction must be aborted, when somebody asked; forgets it.
    pub fn take_wish(&self) -> Option<String> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks that the next producer send one message a request: a request was too large, and only so it shows which message was.
    pub fn ask_careful(&self) {
        self.careful.store(true, Ordering::Release);
    }

    /// Whether [`Gate::ask_careful`] was called.
    pub fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Acquire)
    }

    /// The producer from now on sends one message a request, or does not.
    pub fn set_sends_alone(&self, alone: bool) {
        self.sends_alone.store(alone, Ordering::Release);
    }

    /// Whether what is sent now goes in a request of its own.
    pub fn sends_alone(&self) -> bool {
        self.sends_alone.load(Ordering::Acquire)
    }

    /// The careful transaction is committed.
    pub fn end_careful(&self) {
        self.careful.store(false, Ordering::Release);
    }

    /// Notes that the broker refused this event for good: when its message is read again it becomes a dead letter.
    pub fn refuse(&self, place: Place, refusal: Refusal) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(place, refusal);
        self.has_refused.store(true, Ordering::Release);
    }

    /// Why the broker refused this event before.
    pub fn refusal(&self, place: &Place) -> Option<Refusal> {
        if !self.has_refused.load(Ordering::Acquire) {
            return None;
        }
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned()
    }

    /// Forgets refusals below committed positions; they are dead letters now.
    pub fn forget(&self, positions: &[(Arc<str>, i32, i64)]) {
        if !self.has_refused.load(Ordering::Acquire) {
            return;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|(topic, partition, offset, ..), _| {
            !positions.iter().any(|(known, number, position)| known == topic && number == partition && offset < position)
        });
        self.has_refused.store(!refused.is_empty(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_empty_only_when_all_left_and_all_came_back() {
        let gate = Gate::default();
        assert!(gate.enter(1, || true).is_none(), "closed at first");
        gate.open();
        let pass = gate.enter(1, || true).expect("open");
        let share = gate.share();
        gate.close();
        assert!(gate.enter(1, || true).is_none(), "closed again");
        assert!(!gate.is_empty());
        drop(pass);
        assert!(gate.is_left() && !gate.is_empty(), "one message is out");
        drop(share);
        assert!(gate.is_empty());
        assert_eq!(gate.entered(), 1);
        gate.open();
        assert_eq!(gate.entered(), 0);
    }

    #[test]
    fn refusals_last_until_their_message_is_committed() {
        let gate = Gate::default();
        let topic: Arc<str> = "in".into();
        let place = |offset| (Arc::clone(&topic), 2, offset, 0, 1);
        gate.refuse(place(7), Refusal { too_large: true, code: "x".into() });
        gate.forget(&[(Arc::clone(&topic), 2, 7), (Arc::clone(&topic), 3, 99)]);
        assert!(gate.refusal(&place(7)).is_some(), "7 is the next to read, not done");
        gate.forget(&[(Arc::clone(&topic), 2, 8)]);
        assert_eq!(gate.refusal(&place(7)), None);
    }
}
