//! How many bytes may be under way at one time, whatever number of batches they make.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The other side has stopped; there is no use in going on.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

/// Bytes that are held somewhere between two threads, and the most that may be.
///
/// One side takes bytes before it hands something on and waits while there is no room; the other gives them back when it is done. Who once
/// waits does so until half of the budget is free: woken for every batch, a thread costs more than what it does with one.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held_bytes: usize,
    waiting: usize,
    is_closed: bool,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit_bytes: usize) -> Budget {
        Budget { limit_bytes, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Takes `bytes`; when they do not fit, waits until they fit into the half. What is larger goes alone: when nothing else is held,
    /// anything fits.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the budget is closed, before or while waiting.
    pub fn take(&self, bytes: usize) -> Result<(), Stopped> {
        let mut state = self.state();
        let fits = |state: &State, limit_bytes| state.held_bytes == 0 || state.held_bytes.saturating_add(bytes) <= limit_bytes;
        if !state.is_closed && !fits(&state, self.limit_bytes) {
            state.waiting += 1;
            while !state.is_closed && !fits(&state, self.limit_bytes / 2) {
                state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting -= 1;
        }
        if state.is_closed {
            return Err(Stopped);
        }
        state.held_bytes += bytes;
        Ok(())
    }

    /// Gives back `before` bytes for `after` others, without waiting: what a message has become may be larger than the message, and
    /// whoever made it must not wait for room that only its own result can make.
    pub fn exchange(&self, before: usize, after: usize) {
        let mut state = self.state();
        state.held_bytes = state.held_bytes.saturating_sub(before).saturating_add(after);
        let may_go_on = state.waiting > 0 && state.held_bytes <= self.limit_bytes / 2;
        drop(state);
        if may_go_on {
            self.freed.notify_all();
        }
    }

    /// Gives bytes back.
    pub fn give_back(&self, bytes: usize) {
        self.exchange(bytes, 0);
    }

    /// Ends every wait, now and later.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.freed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No line above panics between two writes, so what a panic left behind is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a budget when it is dropped, so that an end by panic leaves nobody waiting.
pub struct ClosesAtEnd<'a>(pub &'a Budget);

impl Drop for ClosesAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_larger_than_the_budget_goes_alone() {
        let budget = Budget::new(10);
        assert_eq!(budget.take(100), Ok(()), "nothing else is held");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(1));
            thread::yield_now();
            budget.exchange(100, 4);
            assert_eq!(waiting.join().expect("no panic"), Ok(()), "four and one are half of ten");
        });
        assert_eq!(budget.state().held_bytes, 5);
        budget.give_back(5);
        assert_eq!(budget.state().held_bytes, 0);
    }

    #[test]
    fn who_waits_does_so_until_half_is_free() {
        let budget = Budget::new(10);
        assert_eq!((budget.take(6), budget.take(4)), (Ok(()), Ok(())), "the whole of it is there for who need not wait");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(2));
            while budget.state().waiting == 0 {
                thread::yield_now();
            }
            budget.give_back(6);
            assert!(!waiting.is_finished(), "four and two are more than half");
            budget.give_back(1);
            assert_eq!(waiting.join().expect("no panic"), Ok(()));
        });
        assert_eq!(budget.state().held_bytes, 5);
    }

    #[test]
    fn closing_ends_every_wait() {
        let budget = Budget::new(1);
        assert_eq!(budget.take(1), Ok(()));
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| budget.take(1))).collect();
            drop(ClosesAtEnd(&budget));
            for thread in waiting {
                assert_eq!(thread.join().expect("no panic"), Err(Stopped));
            }
        });
        budget.give_back(1);
        assert_eq!(budget.take(0), Err(Stopped), "closed for good");
    }

    #[test]
    fn no_more_is_held_than_the_budget_allows() {
        let budget = Budget::new(100);
        thread::scope(|scope| {
            for number in 0..4_usize {
                let budget = &budget;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let bytes = 1 + (number * 7 + round) % 40;
                        assert_eq!(budget.take(bytes), Ok(()));
                        assert!(budget.state().held_bytes <= 100);
                        budget.give_back(bytes);
                    }
                });
            }
        });
        assert_eq!(budget.state().held_bytes, 0);
    }
}
