//! What a worker counts of events, by number: names are looked up when the registry is visited, not for every event.
use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

use crate::telemetry::{Outcome, Tally};

/// The words of UDM enum `SecurityResult.Action` that an event writes.
const ACTIONS: [&str; 6] = ["ALLOW", "BLOCK", "ALLOW_WITH_MODIFICATION", "QUARANTINE", "FAIL", "CHALLENGE"];

/// What stands before the word. Inside a text its quotes would be escaped, so the member's name cannot be met in what a record says.
static ACTION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"action\":[\""));

/// Names of one plan, made once.
#[derive(Debug)]
pub struct Labels {
    /// Of the mapping.
    pub name: Arc<str>,
    /// `name@version`, for the header.
    pub versioned: String,
    /// For the header.
    pub log_type: String,
    /// Event types by number.
    pub types: Vec<Arc<str>>,
    /// By the number of the tag's line.
    pub tags: Vec<Arc<str>>,
}

/// Counts of one plan.
#[derive(Debug, Default)]
pub struct PlanCounts {
    /// Bytes of messages whose first part it made.
    pub bytes_in: u64,
    /// Bytes of its events, once for each output.
    pub bytes_out: u64,
    emitted: u64,
    /// By event type, and whether it is a fallback.
    types: Vec<[u64; 2]>,
    tags: Vec<u64>,
    actions: [u64; ACTIONS.len()],
    is_touched: bool,
}

impl PlanCounts {
    /// Counts an event of the type with this number.
    pub fn event(&mut self, event_type: usize, fallback: bool, event: &[u8]) {
        self.emitted += 1;
        at(&mut self.types, event_type)[usize::from(fallback)] += 1;
        if let Some(action) = action(event) {
            self.actions[action] += 1;
        }
    }

    /// Counts a tag by the number of its line.
    pub fn tag(&mut self, line: usize) {
        *at(&mut self.tags, line) += 1;
    }
}

/// Counts of all plans: by view, then by mapping number.
#[derive(Debug, Default)]
pub struct Counts {
    plans: Vec<Vec<PlanCounts>>,
    touched: Vec<(u16, u16)>,
}

impl Counts {
    /// Those of one plan.
    pub fn of(&mut self, view: u16, mapping: u16) -> &mut PlanCounts {
        let counts = at(at(&mut self.plans, usize::from(view)), usize::from(mapping));
        if !counts.is_touched {
            counts.is_touched = true;
            self.touched.push((view, mapping));
        }
        counts
    }

    /// Adds everything to `tally` by name, and begins at 0 again.
    pub fn hand_over(&mut self, labels: &[Vec<Labels>], tally: &mut Tally) {
        for (view, mapping) in self.touched.drain(..) {
            let (view, mapping) = (usize::from(view), usize::from(mapping));
            let Some(counts) = self.plans.get_mut(view).and_then(|view| view.get_mut(mapping)) else { continue };
            counts.is_touched = false;
            let Some(Labels { name, types, tags, .. }) = labels.get(view).and_then(|view| view.get(mapping)) else { continue };
            let bytes = tally.bytes.entry(Arc::clone(name)).or_default();
            bytes.0 += std::mem::take(&mut counts.bytes_in);
            bytes.1 += std::mem::take(&mut counts.bytes_out);
            let emitted = std::mem::take(&mut counts.emitted);
            if emitted > 0 {
                tally.parts(name, Outcome::Emitted, &Arc::from(""), emitted);
            }
            for (by_fallback, event_type) in counts.types.iter_mut().zip(types) {
                for (count, fallback) in by_fallback.iter_mut().zip([false, true]).filter(|(count, _)| **count > 0) {
                    *tally.events.entry((Arc::clone(name), Arc::clone(event_type), fallback)).or_default() += std::mem::take(count);
                }
            }
            for (count, tag) in counts.tags.iter_mut().zip(tags).filter(|(count, _)| **count > 0) {
                *tally.tags.entry((Arc::clone(name), Arc::clone(tag))).or_default() += std::mem::take(count);
            }
            for (count, action) in counts.actions.iter_mut().zip(ACTIONS).filter(|(count, _)| **count > 0) {
                *tally.actions.entry((Arc::clone(name), action)).or_default() += std::mem::take(count);
            }
        }
    }
}

/// The one at `index`, which is made when it is not there.
fn at<T: Default>(all: &mut Vec<T>, index: usize) -> &mut T {
    if all.len() <= index {
        all.resize_with(index + 1, T::default);
    }
    &mut all[index]
}

/// The number of the first security_result.action of a finished event.
fn action(event: &[u8]) -> Option<usize> {
    let word = &event[ACTION.find(event)? + ACTION.needle().len()..];
    let word = &word[..memchr::memchr(b'"', word)?];
    ACTIONS.into_iter().position(|action| action.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_when_it_is_handed_over_and_nothing_is_counted_twice() {
        let labels = |name: &str| Labels {
            name: name.into(),
            versioned: String::new(),
            log_type: String::new(),
            types: vec!["USER_LOGIN".into(), "GENERIC_EVENT".into()],
            tags: vec!["a".into(), "b".into()],
        };
        let all = [vec![labels("x"), labels("y")]];
        let mut counts = Counts::default();
        let mut tally = Tally::default();
        for _ in 0..2 {
            let plan = counts.of(0, 1);
            plan.bytes_in += 10;
            plan.event(1, true, br#"{"securityResult":[{"action":["BLOCK"]}]}"#);
            plan.tag(1);
            counts.hand_over(&all, &mut tally);
        }
        counts.hand_over(&all, &mut tally);
        let y: Arc<str> = "y".into();
        assert_eq!(tally.parts_of(Outcome::Emitted), 2);
        assert_eq!(tally.bytes[&y], (20, 0));
        assert_eq!(tally.events[&(Arc::clone(&y), "GENERIC_EVENT".into(), true)], 2);
        assert_eq!(tally.tags[&(Arc::clone(&y), "b".into())], 2);
        assert_eq!(tally.actions[&(y, "BLOCK")], 2);
        assert_eq!((tally.events.len(), tally.tags.len(), tally.actions.len(), tally.bytes.len()), (1, 1, 1, 1));
    }

    #[test]
    fn the_action_is_read_where_the_event_writes_it() {
        for (event, expected) in [
            (r#"{"securityResult":[{"summary":"x","action":["BLOCK"]}]}"#, Some("BLOCK")),
            (r#"{"securityResult":[{"description":"\"action\":[\"ALLOW\"]","action":["FAIL"]}]}"#, Some("FAIL")),
            (r#"{"securityResult":[{"description":"\"action\":[\"ALLOW\"]"}]}"#, None),
            (r#"{"securityResult":[{"action":["NO_SUCH_WORD"]}]}"#, None),
            ("{}", None),
        ] {
            assert_eq!(action(event.as_bytes()).map(|number| ACTIONS[number]), expected, "{event}");
        }
    }
}
