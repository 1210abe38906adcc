//! Filters of a site and alternatives of its outputs, to what the plan asks a part.

use super::Compiler;
use crate::mapping::choice::{Choice, End, fits};
use crate::mapping::table::Condition;
use crate::plan::choose::{ChoiceEnd, ChoiceOp};
use crate::plan::program::SkipOp;
use crate::plan::tags::TagLine;

impl Compiler<'_> {
    /// Filters that the record alone decides: they are asked before any row runs.
    pub(super) fn early_filters(&mut self) -> Vec<SkipOp> {
        let table = self.table;
        // All conditions are read now, while faults of source paths are still gathered; equal ones keep their numbers.
        for when in table.choices.iter().filter_map(|choice| choice.when.as_ref()) {
            self.condition(when);
        }
        let early = table.choices.iter().filter_map(|choice| Some((choice, filter_name(choice).filter(|_| is_early(choice))?)));
        early
            .map(|(choice, name)| {
                let always = Condition::All(Vec::new());
                SkipOp { when: self.condition(choice.when.as_ref().unwrap_or(&always)), reason: name.into() }
            })
            .collect()
    }

    /// What a part is asked when its event type and tags are known, filters first.
    pub(super) fn choices(&mut self, lines: &[TagLine]) -> Vec<ChoiceOp> {
        let table = self.table;
        let mut ops = Vec::new();
        for choice in table.choices.iter().filter(|choice| filter_name(choice).is_none() || !is_early(choice)) {
            let numbers = |wanted: &[String], known: &mut dyn Iterator<Item = &str>, equal: &dyn Fn(&str, &str) -> bool| {
                let found = (0..).zip(known).filter(|(_, name)| wanted.iter().any(|wanted| equal(wanted, name)));
                (!wanted.is_empty()).then(|| found.map(|(number, _)| number).collect::<Box<[u32]>>())
            };
            let types = numbers(&choice.event_types, &mut self.types.iter().map(String::as_str), &|wanted, name| wanted == name);
            let tags = numbers(&choice.tags, &mut lines.iter().map(|line| line.name.as_str()), &fits);
            // This mapping has none of them: the choice fits none of its parts.
            if types.as_ref().is_some_and(|types| types.is_empty()) || tags.as_ref().is_some_and(|tags| tags.is_empty()) {
                continue;
            }
            let when = choice.when.as_ref().map(|when| self.condition(when));
            let end = match &choice.end {
                End::Skip(name) => ChoiceEnd::Skip(name.as_str().into()),
                End::Output(number) => ChoiceEnd::Output(*number),
            };
            ops.push(ChoiceOp { types, tags, when, end });
        }
        ops.sort_by_key(|op| matches!(op.end, ChoiceEnd::Output(_)));
        ops
    }
}

fn filter_name(choice: &Choice) -> Option<&str> {
    match &choice.end {
        End::Skip(name) => Some(name),
        End::Output(_) => None,
    }
}

/// Whether the record alone decides it.
fn is_early(choice: &Choice) -> bool {
    choice.event_types.is_empty() && choice.tags.is_empty() && !choice.when.as_ref().is_some_and(asks_event)
}

fn asks_event(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(asks_event),
        Condition::Not(part) => asks_event(part),
        Condition::RecordHas(_) | Condition::Record(..) => false,
        Condition::EventHas(_) => true,
    }
}
