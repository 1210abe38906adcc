//! How many bytes of messages may be between the broker and their settlement.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes in flight against a limit. Taking is never refused (the message is already here); the source asks [`Budget::is_full`]
/// and pauses, and goes on below half of the limit, so that it does not flutter.
#[derive(Debug)]
pub struct Budget {
    used_bytes: AtomicU64,
    limit_bytes: u64,
    pressing: AtomicBool,
}

/// What a message costs beyond its body: the ticket, queue entries and headers. A flood of tiny messages is bounded by this.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 256;

impl Budget {
    /// A budget of `limit_bytes`; at least one message always fits.
    pub fn new(limit_bytes: u64) -> Budget {
        Budget { used_bytes: AtomicU64::new(0), limit_bytes, pressing: AtomicBool::new(false) }
    }

    /// Adds bytes that are now in flight.
    pub fn take(&self, bytes: u64) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what [`Budget::take`] took.
    pub fn release(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in flight.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes until the limit.
    pub fn room_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes())
    }

    /// At or above the limit: take no more.
    pub fn is_full(&self) -> bool {
        self.used_bytes() >= self.limit_bytes
    }

    /// At or below half of the limit: a paused source may go on.
    pub fn has_room(&self) -> bool {
        self.used_bytes() <= self.limit_bytes / 2
    }

    /// From the limit down to half of it: a source that paused waits for messages to settle.
    pub fn is_pressing(&self) -> bool {
        if self.is_full() {
            self.pressing.store(true, Ordering::Relaxed);
        } else if self.has_room() {
            self.pressing.store(false, Ordering::Relaxed);
        }
        self.pressing.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_at_the_limit_and_opens_at_half() {
        let budget = Budget::new(100);
        for (change, full, room) in [(99i64, false, false), (1, true, false), (-49, false, false), (-1, false, true)] {
            if change > 0 {
                budget.take(change as u64)
            } else {
                budget.release(change.unsigned_abs())
            }
            assert_eq!(budget.room_bytes(), 100 - budget.used_bytes());
            assert_eq!((budget.is_full(), budget.has_room()), (full, room), "at {}", budget.used_bytes());
            assert_eq!(budget.is_pressing(), full || change == -49, "pressing at {}", budget.used_bytes());
        }
    }
}
