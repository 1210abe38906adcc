//! Phase three: event-type rules and their requirements are tests on the bits that the rows set.

use super::Plan;
use super::program::{Need, OtherwiseOp};
use super::resolve::Tools;
use super::state::State;

/// How deep `else` may lead from rule to rule; `check` refuses cycles, this bounds what a plan can do at run time.
const MAX_LADDER: usize = 32;

/// The event type of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// Index into [`Plan::types`].
    pub event_type: u32,
    /// The rule that was taken; `u32::MAX` for GENERIC_EVENT without a rule.
    pub rule: u32,
    /// The type of the first rule whose condition held, when its requirements did not.
    pub wanted: Option<u32>,
}

impl Plan {
    /// Decides the event type and resolves the `with` rows of the rule taken.
    pub(crate) fn decide(&self, state: &mut State, tools: &mut Tools<'_>) -> Decision {
        let mut wanted = None;
        let mut at = 0;
        let mut steps = 0;
        while at < self.rules.len() && steps < MAX_LADDER {
            let rule = &self.rules[at];
            if rule.is_dormant || rule.when.is_some_and(|when| !self.holds(state, tools, when)) {
                at += 1;
                continue;
            }
            steps += 1;
            if self.take(state, tools, &rule.with, rule.needs) {
                return Decision { event_type: rule.event_type, rule: at as u32, wanted: wanted.filter(|w| *w != rule.event_type) };
            }
            wanted = wanted.or(Some(rule.event_type));
            let mut base = false;
            for other in &rule.otherwise {
                match other {
                    OtherwiseOp::Type(event_type, needs) => {
                        if self.take(state, tools, &rule.with, *needs) {
                            return Decision { event_type: *event_type, rule: at as u32, wanted: wanted.filter(|w| w != event_type) };
                        }
                    }
                    OtherwiseOp::Rule(number) => {
                        let named = &self.rules[*number as usize];
                        let holds = named.when.is_none_or(|when| self.holds(state, tools, when));
                        if holds && self.take(state, tools, &named.with, named.needs) {
                            let wanted = wanted.filter(|w| *w != named.event_type);
                            return Decision { event_type: named.event_type, rule: *number, wanted };
                        }
                    }
                    OtherwiseOp::Base => {
                        base = true;
                        break;
                    }
                }
            }
            if !base {
                break;
            }
            at = rule.base as usize;
        }
        Decision { event_type: self.generic, rule: u32::MAX, wanted: wanted.filter(|w| *w != self.generic) }
    }

    /// Resolves `with` rows and keeps them when the requirement is met; otherwise everything is as it was.
    fn take(&self, state: &mut State, tools: &mut Tools<'_>, with: &[u32], needs: u32) -> bool {
        if with.is_empty() {
            return self.meets(state, tools, &self.needs[needs as usize]);
        }
        let notes = state.notes.len();
        state.saved_bits.clear();
        state.saved_bits.extend_from_slice(&state.bits.0);
        for &row in with {
            self.resolve(state, tools, row);
        }
        if self.meets(state, tools, &self.needs[needs as usize]) {
            return true;
        }
        state.notes.truncate(notes);
        state.bits.0.copy_from_slice(&state.saved_bits);
        false
    }

    fn meets(&self, state: &State, tools: &Tools<'_>, need: &Need) -> bool {
        match need {
            Need::Always => true,
            Need::Never => false,
            Need::Bit(bit) => state.bits.has(*bit),
            Need::Not(inner) => !self.meets(state, tools, inner),
            Need::All(parts) => parts.iter().all(|part| self.meets(state, tools, part)),
            Need::Any(parts) => parts.iter().any(|part| self.meets(state, tools, part)),
            Need::Word(rows, word) => rows.iter().filter(|row| self.has_value(state, **row)).any(|row| {
                let cell = self.cell_of(state, *row, self.rows[*row as usize].slot);
                cell.value.bytes(&tools.doc.text) == &word[..]
            }),
        }
    }
}
