//! [`Sieve`]: the places of a text where one of some fragments may begin, by one pass of wide look-ups.
//!
//! The search of `aho-corasick` by a processor's tables, as wide as ours has them and with fragments of three bytes among those of four: over
//! the texts of one message it takes a quarter of the time. It only says where to look.

use crate::decode::lanes::{Lanes, Lookup, WINDOW, WithTables};

/// Blocks that are looked at in one go.
const BLOCKS: usize = 32;

/// Tables for the first four bytes of some fragments.
#[derive(Debug)]
pub(crate) struct Sieve {
    lanes: Lanes,
    /// For each of the four bytes, by its lower and by its upper half: which buckets have a fragment with it.
    tables: [[[u8; 16]; 2]; 4],
    /// The first four bytes of every fragment, and which of them there are.
    heads: Vec<(u32, u32)>,
}

impl Sieve {
    /// A sieve for fragments of ASCII, dealt out to eight buckets in turn: a bucket passes every mixture of the halves
    /// of its fragments' bytes, so those of one should begin alike. `None` where the processor has no tables.
    pub fn new<'a>(fragments: impl IntoIterator<Item = &'a str>) -> Option<Sieve> {
        let lanes = Lanes::detect();
        if matches!(lanes, Lanes::Narrow) {
            return None;
        }
        let mut sieve = Sieve { lanes, tables: [[[0; 16]; 2]; 4], heads: Vec::new() };
        for (number, fragment) in fragments.into_iter().enumerate() {
            let bucket = 1 << (number % 8);
            for (place, [low, high]) in sieve.tables.iter_mut().enumerate() {
                match fragment.as_bytes().get(place) {
                    Some(byte) => {
                        low[usize::from(byte & 15)] |= bucket;
                        high[usize::from(byte >> 4)] |= bucket;
                    }
                    None => {
                        low.iter_mut().for_each(|buckets| *buckets |= bucket);
                        high.iter_mut().for_each(|buckets| *buckets |= bucket);
                    }
                }
            }
            sieve.heads.push((head(fragment.as_bytes()), if fragment.len() < 4 { 0x00ff_ffff } else { u32::MAX }));
        }
        Some(sieve)
    }

    /// Whether `check` says yes to a fragment, by its number, at a place where its first four bytes stand; asked from the left until it
    /// does. A fragment of three bytes wants a fourth behind it, of ASCII.
    pub fn any(&self, text: &[u8], check: impl FnMut(usize, usize) -> bool) -> bool {
        self.lanes.look_up(Search { sieve: self, text, check }).unwrap_or(false)
    }
}

/// The first four bytes, zero for one that is not there.
fn head(text: &[u8]) -> u32 {
    let mut four = [0; 4];
    let there = text.len().min(4);
    four[..there].copy_from_slice(&text[..there]);
    u32::from_le_bytes(four)
}

struct Search<'a, F> {
    sieve: &'a Sieve,
    text: &'a [u8],
    check: F,
}

impl<F: FnMut(usize, usize) -> bool> Search<'_, F> {
    /// Whether one of the hits is what is searched for, a bit a place from `from` on.
    #[inline(never)]
    fn look(&mut self, mut from: usize, hits: &[u64]) -> bool {
        for &word in hits {
            let mut left = word;
            while left != 0 {
                let at = from + left.trailing_zeros() as usize;
                left &= left - 1;
                let here = head(&self.text[at..]);
                for (number, &(head, mask)) in self.sieve.heads.iter().enumerate() {
                    if here & mask == head && (self.check)(number, at) {
                        return true;
                    }
                }
            }
            from += 64;
        }
        false
    }
}

#[inline(always)]
fn pair<B: Lookup>(block: B, [low, high]: &[[u8; 16]; 2]) -> [B::Table; 2] {
    [block.table(low), block.table(high)]
}

impl<F: FnMut(usize, usize) -> bool> WithTables for Search<'_, F> {
    type Output = bool;

    #[inline(always)]
    fn run<B: Lookup>(mut self, block: B) -> bool {
        let [a, b, c, d] = &self.sieve.tables;
        let tables = [pair(block, a), pair(block, b), pair(block, c), pair(block, d)];
        let text = self.text;
        let mut from = 0;
        loop {
            // Nothing is called while blocks are looked at: that leaves the tables where they are.
            let (mut hits, mut any, mut count) = ([0; BLOCKS], 0, 0);
            for hits in &mut hits {
                let Some(window) = text.get(from + 64 * count..).and_then(|rest| rest.first_chunk::<WINDOW>()) else { break };
                *hits = block.hits(&tables, window);
                any |= *hits;
                count += 1;
            }
            if any != 0 && self.look(from, &hits[..count]) {
                return true;
            }
            from += 64 * count;
            if count < BLOCKS {
                break;
            }
        }
        // What is left is shorter than a window. Places that were looked at before are no harm, and fewer than four bytes hold no find.
        let (at, window) = match text.last_chunk::<WINDOW>() {
            Some(window) => (text.len() - WINDOW, *window),
            None => {
                let mut window = [0; WINDOW];
                window[..text.len()].copy_from_slice(text);
                (0, window)
            }
        };
        let hits = block.hits(&tables, &window);
        hits != 0 && self.look(at, &[hits])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const FRAGMENTS: [&str; 10] = ["sig=", "earer ", "key\"", "AUTH", "piKey", "sk-", "eyJ", "-BEGIN", "ookie", "key="];

    #[test]
    fn every_fragment_is_found_wherever_it_stands_and_nothing_else() {
        let Some(sieve) = Sieve::new(FRAGMENTS) else { return };
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut some = 0;
        for length in (0..400).chain([2047, 2048, 2051, 2115, 4200]) {
            for _ in 0..20 {
                let mut text = String::new();
                while text.len() < length {
                    match random(4) {
                        0 => text.push_str(FRAGMENTS[random(FRAGMENTS.len())]),
                        1 => text.push_str(["e", "ke", "s", "é", "\0", "\u{7f}"][random(6)]),
                        _ => text.push((b' ' + random(94) as u8) as char),
                    }
                }
                let text = text.as_bytes();
                // A fragment of three bytes wants a fourth behind it, of ASCII.
                let stands = |fragment: &str, at: usize| {
                    let head = &fragment.as_bytes()[..fragment.len().min(4)];
                    text[at..].starts_with(head) && (head.len() == 4 || text[at + 3].is_ascii())
                };
                let expected: BTreeSet<(usize, usize)> = (0..text.len().saturating_sub(3))
                    .flat_map(|at| (0..FRAGMENTS.len()).map(move |number| (number, at)))
                    .filter(|(number, at)| stands(FRAGMENTS[*number], *at))
                    .collect();
                let mut found = BTreeSet::new();
                let ended = sieve.any(text, |number, at| {
                    found.insert((number, at));
                    false
                });
                assert!(!ended);
                found.retain(|(_, at)| at + 3 < text.len());
                assert_eq!(found, expected, "in {:?}", String::from_utf8_lossy(text));
                some += expected.len();
            }
        }
        assert!(some > 10_000, "{some}");
    }

    #[test]
    fn a_yes_ends_the_search() {
        let Some(sieve) = Sieve::new(FRAGMENTS) else { return };
        let mut asked = Vec::new();
        let text = format!("{}sig={}AUTH sig= ", " ".repeat(70), " ".repeat(3000));
        assert!(sieve.any(text.as_bytes(), |number, at| {
            asked.push((FRAGMENTS[number], at));
            number == 3
        }));
        assert_eq!(asked, [("sig=", 70), ("AUTH", 3074)]);
    }
}
