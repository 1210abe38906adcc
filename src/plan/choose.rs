//! What a site chooses of the events: its filters, and which outputs take what.
//!
//! A part is asked when its event type and tags are known and before anything is written, so what is filtered costs no writing.

use super::decide::Decision;
use super::resolve::Tools;
use super::state::State;
use super::{Plan, TagSet};

/// Outputs that can be told apart.
pub const MAX_OUTPUTS: usize = 64;

/// One filter or one alternative of an output, as this mapping has it.
#[derive(Clone, Debug)]
pub(crate) struct ChoiceOp {
    /// Numbers of event types, of which the part has one; `None` for any.
    pub types: Option<Box<[u32]>>,
    /// Numbers of tag lines, of which the part has one; `None` for any, also for none.
    pub tags: Option<Box<[u32]>>,
    /// A condition.
    pub when: Option<u32>,
    /// What it means.
    pub end: ChoiceEnd,
}

/// What becomes of a part that a choice fits.
#[derive(Clone, Debug)]
pub(crate) enum ChoiceEnd {
    /// It is passed over under this name.
    Skip(Box<str>),
    /// The output of this number takes it.
    Output(u16),
}

impl Plan {
    /// The outputs that say in `take` that they take this part, a bit each. `Err` is the name of the filter that takes it out.
    pub(crate) fn choose(&self, state: &mut State, tools: &mut Tools<'_>, decision: Decision, tags: TagSet) -> Result<u64, &str> {
        let mut takers = 0;
        // Filters stand first.
        for choice in &self.choices {
            let fits = choice.types.as_ref().is_none_or(|types| types.contains(&decision.event_type))
                && choice.tags.as_ref().is_none_or(|lines| self.tag_numbers(tags).iter().any(|line| lines.contains(line)))
                && choice.when.is_none_or(|when| self.holds(state, tools, when));
            match &choice.end {
                _ if !fits => {}
                ChoiceEnd::Skip(name) => return Err(name),
                ChoiceEnd::Output(number) => takers |= 1u64.checked_shl(u32::from(*number)).unwrap_or(0),
            }
        }
        Ok(takers)
    }
}
