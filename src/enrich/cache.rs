//! A bounded cache of finished answers.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;

/// Hits and misses since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered from the cache.
    pub hits: u64,
    /// Worked out.
    pub misses: u64,
}

/// Answers by key in two generations: when the young one is full it becomes the old one and the old one is forgotten. What is asked for again
/// moves back to the young one, so the frequent stay without a list to keep in order.
#[derive(Debug)]
pub(super) struct Cache<K> {
    young: HashMap<K, Arc<[u8]>, RandomState>,
    old: HashMap<K, Arc<[u8]>, RandomState>,
    capacity: usize,
    counts: Counts,
}

impl<K: Eq + Hash> Cache<K> {
    /// `capacity` answers a generation, at least 1. Memory is taken as it fills.
    pub(super) fn new(capacity: usize, seed: u64) -> Self {
        // Four words of key from one of seed; the odd constants only keep them different from each other.
        let state = RandomState::with_seeds(seed, seed ^ 0x9e37_79b9_7f4a_7c15, seed.rotate_left(32), !seed);
        Self {
            young: HashMap::with_hasher(state.clone()),
            old: HashMap::with_hasher(state),
            capacity: capacity.max(1),
            counts: Counts::default(),
        }
    }

    /// The answer kept for `key`; an empty one says that there is nothing to say.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<Arc<[u8]>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(answer) = self.young.get(key) {
            self.counts.hits += 1;
            return Some(answer.clone());
        }
        let Some((key, answer)) = self.old.remove_entry(key) else {
            self.counts.misses += 1;
            return None;
        };
        self.counts.hits += 1;
        self.insert(key, answer.clone());
        Some(answer)
    }

    /// Keeps an answer.
    pub(super) fn insert(&mut self, key: K, answer: Arc<[u8]>) {
        if self.young.len() >= self.capacity {
            // The maps change places, so the memory of both is used again.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(key, answer);
    }

    /// Forgets every answer.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Hits and misses of [`get`](Self::get).
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Arc<[u8]> {
        Arc::from(text.as_bytes())
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut cache = Cache::new(2, 7);
        cache.insert(1, answer("one"));
        cache.insert(2, answer("two"));
        // The third opens a generation; asking for 1 brings it along.
        cache.insert(3, answer("three"));
        assert_eq!(cache.get(&1).as_deref(), Some(&b"one"[..]));
        cache.insert(4, answer("four"));
        assert_eq!(cache.get(&1).as_deref(), Some(&b"one"[..]));
        assert_eq!(cache.get(&2), None);
        assert_eq!(cache.counts(), Counts { hits: 2, misses: 1 });
        assert!(cache.young.len() <= 2 && cache.old.len() <= 2);
    }

    #[test]
    fn size_zero_is_one() {
        let mut cache = Cache::new(0, 7);
        cache.insert(1, answer("one"));
        assert!(cache.get(&1).is_some());
        cache.insert(2, answer("two"));
        cache.insert(3, answer("three"));
        assert!(cache.get(&1).is_none() && cache.get(&2).is_some());
    }
}
