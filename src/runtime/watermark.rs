//! The lowest unsettled offset of one partition: the only thing that offsets are committed from.
use std::collections::VecDeque;

/// What one partition has open. An offset is *begun* when its message is taken from the broker and *settled* when the broker has
/// acknowledged everything that came of it. Settling may happen in any order; the position moves only over settled offsets.
#[derive(Debug, Default)]
pub struct Watermark {
    /// In offset order. Offsets may have gaps: compaction and transaction markers take some away.
    open: VecDeque<Begun>,
    position: Option<i64>,
}

#[derive(Debug)]
struct Begun {
    offset: i64,
    begun_ms: u64,
    settled: bool,
}

impl Watermark {
    /// Notes that the message at `offset` was taken, at `begun_ms` of any clock that does not go back.
    ///
    /// Answers false, and changes nothing, for an offset that is not above all earlier ones: the message was handed over twice.
    pub fn begin(&mut self, offset: i64, begun_ms: u64) -> bool {
        let last = self.open.back().map(|begun| begun.offset).or(self.position.map(|position| position - 1));
        if last.is_some_and(|last| offset <= last) {
            return false;
        }
        self.open.push_back(Begun { offset, begun_ms, settled: false });
        true
    }

    /// Notes that nothing of the message at `offset` is outstanding. An offset that is not open is ignored.
    pub fn settle(&mut self, offset: i64) {
        let Some(index) = self.find(offset) else { return };
        self.open[index].settled = true;
        while self.open.front().is_some_and(|begun| begun.settled) {
            if let Some(begun) = self.open.pop_front() {
                self.position = Some(begun.offset + 1);
            }
        }
    }

    /// Where `offset` stands among the open ones.
    fn find(&self, offset: i64) -> Option<usize> {
        // Without gaps it stands as far behind the first as its offset says; a search in thousands of entries is slow.
        let guess = usize::try_from(offset - self.open.front()?.offset).ok()?;
        if self.open.get(guess).is_some_and(|begun| begun.offset == offset) {
            return Some(guess);
        }
        self.open.binary_search_by_key(&offset, |begun| begun.offset).ok()
    }

    /// The offset to read next after a restart: one above the highest offset below which all are settled. `None` until there is one.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// When the oldest unsettled message was begun, in the clock of [`Watermark::begin`].
    pub fn oldest_begun_ms(&self) -> Option<u64> {
        self.open.front().map(|begun| begun.begun_ms)
    }

    /// Messages held because they, or one before them, are unsettled.
    pub fn open_messages(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn moves_over_gaps_only_when_all_below_is_settled() {
        let mut watermark = Watermark::default();
        for offset in [5, 6, 9] {
            assert!(watermark.begin(offset, offset as u64));
        }
        watermark.settle(9);
        watermark.settle(6);
        assert_eq!((watermark.position(), watermark.oldest_begun_ms()), (None, Some(5)));
        watermark.settle(5);
        assert_eq!((watermark.position(), watermark.open_messages()), (Some(10), 0));
    }

    #[test]
    fn an_offset_handed_over_twice_is_refused() {
        let mut watermark = Watermark::default();
        assert!(watermark.begin(7, 0));
        assert!(!watermark.begin(7, 0), "still open");
        watermark.settle(7);
        assert!(!watermark.begin(7, 0), "settled");
        assert!(watermark.begin(8, 0));
    }

    proptest! {
        /// Steps are (gap to the next offset, or which open offset to settle): after each the position is exactly what a plain
        /// set of unsettled offsets says, and it never goes back.
        #[test]
        fn never_passes_an_unsettled_offset_and_never_goes_back(start in 0i64..1000, steps in prop::collection::vec((any::<bool>(), 0usize..64), 1..400)) {
            let mut watermark = Watermark::default();
            let mut begun = BTreeSet::new();
            let mut unsettled = BTreeSet::new();
            let mut next = start;
            let mut last = None;
            for (begin, number) in steps {
                if begin {
                    next += (number % 4) as i64;
                    prop_assert!(watermark.begin(next, 0));
                    begun.insert(next);
                    unsettled.insert(next);
                    next += 1;
                } else if let Some(offset) = unsettled.iter().nth(number % unsettled.len().max(1)).copied() {
                    watermark.settle(offset);
                    watermark.settle(offset);
                    unsettled.remove(&offset);
                }
                let below = unsettled.first().copied().unwrap_or(i64::MAX);
                let expected = begun.range(..below).next_back().map(|offset| offset + 1);
                prop_assert_eq!(watermark.position(), expected);
                prop_assert!(watermark.position() >= last);
                last = watermark.position();
            }
        }
    }
}
