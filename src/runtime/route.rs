//! Which outputs an event goes to.
use std::collections::HashSet;

use crate::config::{Output, Unrouted};
use crate::engine::{Outcome, Outcomes, Part};

/// The code of an event that only another profile's output takes; `docs/codes.md` explains it.
pub const OTHER_OUTPUT: &str = "other_output";
/// The code of an event that no output takes.
pub const NO_OUTPUT: &str = "no_output";

/// Who takes what: outputs are bits, the first output the lowest.
#[derive(Debug, Clone)]
pub struct Router {
    /// Outputs without `take`: they take all.
    all: u64,
    /// By view: the outputs that want it.
    views: Vec<u64>,
    /// What becomes of an event that nobody takes.
    pub unrouted: Unrouted,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// These outputs take it.
    Taken(u64),
    /// Only under another profile some output takes it.
    TakenElsewhere,
    /// Nobody takes it.
    Unrouted,
}

/// Ids of the events of one record that some output takes, gathered when first asked for.
#[derive(Debug, Default)]
pub struct Known<'a>(Option<(u32, HashSet<&'a str>)>);

impl Router {
    /// `views` are the numbers of the outputs that want each view.
    pub fn new(outputs: &[Output], views: &[Vec<u16>], unrouted: Unrouted) -> Router {
        let all = (0..).zip(outputs).filter(|(_, output)| output.take.is_empty()).fold(0, |bits, (number, _)| bits | bit(number));
        let views = views.iter().map(|numbers| numbers.iter().fold(0, |bits, number| bits | bit(*number))).collect();
        Router { all, views, unrouted }
    }

    /// Whether every output passes messages on as they came.
    pub fn is_idle(&self) -> bool {
        self.views.is_empty()
    }

    /// The outputs that take an event of a view, of which `takers` say so themselves.
    fn takers(&self, view: u16, takers: u64) -> u64 {
        (takers | self.all) & self.views.get(usize::from(view)).copied().unwrap_or(0)
    }

    /// What becomes of the event `part` of `outcomes`.
    pub fn fate<'a>(&self, outcomes: &'a Outcomes, part: &Part, known: &mut Known<'a>) -> Fate {
        let Outcome::Emit { id, takers, .. } = &part.outcome else { return Fate::Unrouted };
        let takers = self.takers(part.view, *takers);
        if takers != 0 {
            return Fate::Taken(takers);
        }
        if self.views.len() == 1 {
            return Fate::Unrouted;
        }
        if known.0.as_ref().is_none_or(|(finding, _)| *finding != part.finding) {
            let taken = outcomes.parts.iter().filter(|other| other.finding == part.finding).filter_map(|other| match &other.outcome {
                Outcome::Emit { id, takers, .. } if self.takers(other.view, *takers) != 0 => Some(outcomes.text(id)),
                _ => None,
            });
            known.0 = Some((part.finding, taken.collect()));
        }
        let is_taken = known.0.as_ref().is_some_and(|(_, ids)| ids.contains(outcomes.text(id)));
        if is_taken { Fate::TakenElsewhere } else { Fate::Unrouted }
    }
}

fn bit(number: u16) -> u64 {
    1u64.checked_shl(u32::from(number)).unwrap_or(0)
}

/// The numbers of the outputs in a set of bits, ascending.
pub fn numbers(mut bits: u64) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let number = (bits != 0).then(|| bits.trailing_zeros() as u16);
        bits &= bits.wrapping_sub(1);
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_outputs() {
        assert_eq!(numbers(0).count(), 0);
        assert_eq!(numbers(1 | 1 << 5 | 1 << 63).collect::<Vec<_>>(), [0, 5, 63]);
    }
}
