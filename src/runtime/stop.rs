//! How far a stop has come, and why.
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// The phases of a process; it only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Messages are taken.
    Running,
    /// No more are taken; those in flight are finished.
    Draining,
    /// What is in flight is given up: it is read again after a restart.
    GivenUp,
}

/// Shared by all threads.
#[derive(Debug)]
pub struct Stop {
    phase: AtomicU8,
    reason: Mutex<Option<String>>,
    changed: tokio::sync::Notify,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { phase: AtomicU8::new(0), reason: Mutex::new(None), changed: tokio::sync::Notify::new() }
    }
}

impl Stop {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::GivenUp,
        }
    }

    /// Asks for an orderly stop.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Gives up what is in flight.
    pub fn give_up(&self) {
        self.advance(Phase::GivenUp);
    }

    /// Stops at once because going on would lose something. The first reason stays.
    pub fn fatal(&self, reason: String) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.advance(Phase::GivenUp);
    }

    /// The reason of [`Stop::fatal`], when that was called.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves at the next change of the phase.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn advance(&self, to: Phase) {
        self.phase.fetch_max(to as u8, Ordering::AcqRel);
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_and_keeps_the_first_reason() {
        let stop = Stop::default();
        stop.drain();
        assert_eq!((stop.phase(), stop.reason()), (Phase::Draining, None));
        stop.fatal("first".into());
        stop.fatal("second".into());
        stop.drain();
        assert_eq!((stop.phase(), stop.reason().as_deref()), (Phase::GivenUp, Some("first")));
    }
}
