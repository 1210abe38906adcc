//! What explain is told of a part: read off the state after the part was written, before it is cleared.

use super::Plan;
use super::json;
use super::leaf_trace::{self, LeafTrace};
use super::resolve::Tools;
use super::state::{Cell, State};
use super::value::{NumberText, Tag};

/// Everything that happened to one part while it was mapped.
#[derive(Clone, Debug, Default)]
pub struct PartTrace {
    /// What the rows wrote, in row order.
    pub fields: Vec<FieldTrace>,
    /// The rule that was taken; `None` for parts without an event.
    pub rule: Option<RuleTrace>,
    /// Dotted paths of leaves that no row read.
    pub unread: Vec<String>,
    /// Every present leaf of the record.
    pub leaves: Vec<LeafTrace>,
    /// The part's security tags.
    pub tags: super::TagSet,
}

/// One value that one row wrote.
#[derive(Clone, Debug)]
pub struct FieldTrace {
    /// Index into [`Plan::row_infos`].
    pub row: u32,
    /// The source path that gave it, or the constant.
    pub source: String,
    /// The value as text, redacted like the event.
    pub value: String,
}

/// The event-type rule of a part.
#[derive(Clone, Debug)]
pub struct RuleTrace {
    /// The event type.
    pub event_type: String,
    /// Index into [`Plan::rule_places`]; `None` when no rule was taken.
    pub rule: Option<u32>,
    /// The wished type when it gave way.
    pub wanted: Option<String>,
}

impl Plan {
    /// Reads the last part off the state.
    pub(crate) fn trace(&self, state: &mut State, tools: &mut Tools<'_>, record: u32) -> PartTrace {
        let mut trace = PartTrace::default();
        // A traced part is mapped with care, so every row has a cell of its own.
        let filled = (0..self.rows.len() as u32).filter(|row| self.has_value(state, *row));
        let mut rows: Vec<(u32, Cell)> = filled.map(|row| (row, state.cells[row as usize])).collect();
        for (number, (range, _)) in state.element_ranges.iter().enumerate() {
            let rows_of_scope = &self.scopes[number].rows;
            for (at, cell) in state.element_cells[range.clone()].iter().enumerate() {
                rows.push((rows_of_scope[at % rows_of_scope.len()], *cell));
            }
        }
        for &row in &self.literal_rows {
            let source = self.row_infos[row as usize].sources.first().cloned().unwrap_or_default();
            trace.fields.push(FieldTrace { row, value: source.trim_matches('"').to_owned(), source });
        }
        rows.sort_by_key(|(row, _)| *row);
        for (row, cell) in rows.iter().filter(|(_, cell)| !cell.value.is_absent()) {
            let info = &self.row_infos[*row as usize];
            let source = info.sources.get(cell.source as usize).or(info.sources.first()).cloned().unwrap_or_default();
            let text = &tools.doc.text;
            let shown = |value: super::value::Value| match json::is_private(value, text) {
                true => "[redacted]".to_owned(),
                false => String::from_utf8_lossy(value.shown(text, &mut NumberText::default())).into_owned(),
            };
            if cell.value.tag == Tag::List {
                for item in &state.items[cell.value.bits as usize..cell.value.bits as usize + cell.value.len as usize] {
                    trace.fields.push(FieldTrace { row: *row, source: source.clone(), value: shown(item.value) });
                }
            } else {
                trace.fields.push(FieldTrace { row: *row, source, value: shown(cell.value) });
            }
        }
        if let Some(decision) = state.decision {
            trace.rule = Some(RuleTrace {
                event_type: self.types[decision.event_type as usize].clone(),
                rule: (decision.rule != u32::MAX).then_some(decision.rule),
                wanted: decision.wanted.map(|wanted| self.types[wanted as usize].clone()),
            });
        }
        self.mark_dropped(state, tools);
        let writers = leaf_trace::writers(state, &rows);
        leaf_trace::present(state, &*tools.doc, record, &mut Vec::new(), &mut |path, node, is_read| {
            let mut clean = Vec::new();
            let path = if tools.redactor.redact(path, &mut clean) { &clean } else { path };
            let path = String::from_utf8_lossy(path).into_owned();
            if !is_read {
                trace.unread.push(path.clone());
            }
            let from = writers.partition_point(|(of, _)| *of < node);
            let rows = writers[from..].iter().take_while(|(of, _)| *of == node).map(|(_, row)| *row).collect();
            trace.leaves.push(LeafTrace { path, is_read, rows });
        });
        trace
    }
}
