//! Which ids a partition had a short while ago: what `dedupe = "window"` rests on.
//!
//! # Why nothing is lost by it
//!
//! An event is left out only when its first copy has been, or will be, delivered. What could break that, and what holds:
//! - *The first copy is not acknowledged yet* when the second comes. The message of the first copy is unsettled, so no position at or above
//!   its offset is stored: after a crash it is read again, from there on, with an empty window. The second copy's message settles earlier,
//!   but the watermark does not pass the first.
//! - *The first copy is aborted* with its transaction. The partition then goes back to what the broker says is committed, and of its window
//!   only what stands below that is kept ([`Window::keep_below`]): the rest is read again and judged anew.
//! - *The partition is revoked, lost or assigned again.* A window belongs to an assignment; the next one begins with an empty window.
//! - *The first copy is rejected or filtered, or no output takes it.* Only events that some output takes are remembered.
//! - *The broker refuses the first copy for good.* It becomes a dead letter and is forgotten ([`Window::forget`]), so a later copy is tried
//!   again. Copies left out before that are the same record by their id, and that record lies in the dead letters.
//! - *The engine panics* after it remembered ids of the message: they are forgotten ([`Window::forget_message`]).
//! - *Two outputs want the same event*, under two profiles or as several dead letters: copies are told apart by where they stand, and an
//!   event of the same record is no repeat. Dead letters read again are refused together with it by `check`.
//! - *Two ids are taken for one.* Ids are kept as 128 bits of BLAKE3.
//!
//! A repeat that a restart or a rebalance causes is not found: the window is memory. An output that is not required may have lost the
//! first copy, as it may lose any.
use std::collections::{HashMap, VecDeque};

/// Where a copy stands: the offset of its message and the number of its record in it.
pub type Place = (i64, u32);

/// The code of a part that is a repeat; `docs/codes.md` explains it.
pub const REPEAT: &str = "repeat";

/// 128 bits of an id's BLAKE3.
type Id = [u8; 16];

/// The last ids of one partition, each with the place of its first copy. The oldest is forgotten first.
#[derive(Debug)]
pub struct Window {
    limit: usize,
    places: HashMap<Id, Place>,
    order: VecDeque<(Id, Place)>,
}

impl Window {
    /// A window of the last `limit` different ids; 0 remembers none.
    pub fn new(limit: usize) -> Window {
        Window { limit, places: HashMap::new(), order: VecDeque::new() }
    }

    /// Whether the id was seen at another place. If not, it is remembered for this one. An empty id is never a repeat.
    pub fn is_repeat(&mut self, id: &[u8], place: Place) -> bool {
        if id.is_empty() || self.limit == 0 {
            return false;
        }
        let id = short(id);
        if let Some(first) = self.places.get(&id) {
            return *first != place;
        }
        while self.order.len() >= self.limit {
            if let Some((oldest, place)) = self.order.pop_front()
                // A forgotten id may have come again since; then its younger entry stands behind.
                && self.places.get(&oldest) == Some(&place)
            {
                self.places.remove(&oldest);
            }
        }
        self.places.insert(id, place);
        self.order.push_back((id, place));
        false
    }

    /// Forgets an id whose first copy is the one at `place`: it will not be delivered.
    pub fn forget(&mut self, id: &[u8], place: Place) {
        let id = short(id);
        if self.places.get(&id) == Some(&place) {
            self.places.remove(&id);
        }
    }

    /// Keeps only ids whose first copy came in a message below `offset`.
    pub fn keep_below(&mut self, offset: i64) {
        self.places.retain(|_, (known, _)| *known < offset);
        self.order.retain(|(_, (known, _))| *known < offset);
    }

    /// Takes everything out.
    pub fn take(&mut self) -> Window {
        std::mem::replace(self, Window::new(self.limit))
    }

    /// Forgets every id whose first copy came in the message at `offset`.
    pub fn forget_message(&mut self, offset: i64) {
        self.places.retain(|_, (known, _)| *known != offset);
    }
}

fn short(id: &[u8]) -> Id {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(id).as_bytes()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_of_one_record_are_no_repeats_and_a_refused_copy_is_forgotten() {
        let mut window = Window::new(3);
        assert!(!window.is_repeat(b"a", (7, 0)), "the first");
        assert!(!window.is_repeat(b"a", (7, 0)), "the same record under another profile");
        assert!(window.is_repeat(b"a", (7, 1)), "the next record of the message");
        assert!(window.is_repeat(b"a", (8, 0)), "another message");
        window.forget(b"a", (8, 0));
        assert!(window.is_repeat(b"a", (9, 0)), "only the first copy's fate counts");
        window.forget(b"a", (7, 0));
        assert!(!window.is_repeat(b"a", (9, 0)), "the first copy is not delivered");
        assert!(!window.is_repeat(b"b", (10, 0)) && !window.is_repeat(b"c", (10, 1)));
        window.forget_message(10);
        assert!(!window.is_repeat(b"b", (11, 0)), "its message panicked");
        assert!(!window.is_repeat(b"d", (12, 0)));
        let mut again = window.take();
        again.keep_below(12);
        assert!(!again.is_repeat(b"d", (12, 0)) && again.is_repeat(b"b", (12, 1)), "an abort back to 12");
        assert!(!window.is_repeat(b"d", (13, 0)), "nothing is left in the old one");
        assert!(!window.is_repeat(b"", (1, 0)) && !window.is_repeat(b"", (2, 0)), "no id is no repeat");
    }

    proptest! {
        /// A plain list of the ids let through is the model: an id is a repeat exactly when it is one of the last so many of them.
        #[test]
        fn is_a_set_within_the_window(limit in 1usize..6, ids in prop::collection::vec(0u8..12, 1..200)) {
            let mut window = Window::new(limit);
            let mut through: Vec<u8> = Vec::new();
            for (offset, id) in (0i64..).zip(ids) {
                let expected = through.iter().rev().take(limit).any(|known| *known == id);
                prop_assert_eq!(window.is_repeat(&[id], (offset, 0)), expected);
                if !expected {
                    through.push(id);
                }
                prop_assert!(window.places.len() <= limit && window.order.len() <= limit);
            }
        }

        /// Whatever is forgotten in between: an id is only called a repeat while a copy of it that went through is not forgotten.
        #[test]
        fn never_hides_what_was_forgotten(limit in 1usize..6, steps in prop::collection::vec((0u8..6, 0u8..3), 1..200)) {
            let mut window = Window::new(limit);
            let mut alive: HashMap<u8, Place> = HashMap::new();
            for (offset, (id, kind)) in (0i64..).zip(steps) {
                match kind {
                    0 => if let Some(place) = alive.remove(&id) {
                        window.forget(&[id], place);
                    },
                    _ if window.is_repeat(&[id], (offset, 0)) => prop_assert!(alive.contains_key(&id)),
                    _ => { alive.insert(id, (offset, 0)); }
                }
                prop_assert!(window.order.len() <= limit);
            }
        }
    }
}
