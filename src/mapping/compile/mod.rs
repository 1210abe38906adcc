//! From a merged [`Table`] to a [`Plan`]: names become numbers, and what cannot mean anything is refused, all faults at once.
//!
//! | file | does |
//! |---|---|
//! | `source.rs` | source paths to trie places, slots and tails |
//! | `target.rs` | target paths against the UDM schema, and their bits |
//! | `value.rs` | converter chains, constants, and whether what they give fits the field |
//! | `choices.rs` | filters and outputs of a site to what a part is asked |
//! | `meaning.rs` | text fields of one meaning, and converters of another |
//! | `condition.rs` | conditions to a flat list, and which of them exclude each other |
//! | `rows.rs` | rows: conflicts, order, masks |
//! | `rules.rs` | event-type rules and requirements over bits |
//! | `output.rs` | the flat list of output instructions |
//! | `tags.rs` | tag lists to groups of operations and finished results |
//! | `shrink.rs` | only the bits that something asks for keep a place |

mod choices;
mod condition;
mod meaning;
mod output;
mod rows;
mod rules;
mod shrink;
mod source;
mod tags;
mod target;
#[cfg(test)]
mod tests;
mod value;

use super::convert::{self, NamedLookup};
use super::diagnostic::Diagnostic;
use super::table::{Span, Table};
use crate::plan::program::{Cond, Need, RowOp, Scope, SkipOp, Split, ValueOp};
use crate::plan::trie::NONE;
use crate::plan::{Plan, RowInfo, Unmapped, next_plan};
use std::collections::HashMap;
use std::sync::Arc;

/// What a configuration changes of a mapping.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Target paths that are not written, with everything below them: for sites whose service refuses a field.
    pub omit: Vec<String>,
    /// Takes the place of the mapping's own `unmapped`.
    pub unmapped: Option<Unmapped>,
}

/// File name and line of a span.
pub type Places<'a> = &'a dyn Fn(Span) -> (String, usize);

/// Compiles a table. Warnings come back beside the plan.
///
/// # Errors
///
/// Every fault of meaning at once.
pub fn compile(table: &Table, options: &Options, places: Places<'_>) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut compiler = Compiler::new(table, options, places);
    let plan = compiler.plan();
    super::diagnostic::sort(&mut compiler.found);
    compiler.found.dedup();
    let faulty = compiler.found.iter().any(|found| found.severity == super::diagnostic::Severity::Error);
    match plan {
        Some(plan) if !faulty => Ok((plan, compiler.found)),
        _ => Err(compiler.found),
    }
}

/// Everything that grows while a table is compiled.
struct Compiler<'a> {
    table: &'a Table,
    options: &'a Options,
    places: Places<'a>,
    found: Vec<Diagnostic>,
    sources: source::Sources,
    lookups: Vec<NamedLookup>,
    value_kinds: Vec<value::Kind>,
    conds: Vec<Cond>,
    cond_is_stable: Vec<bool>,
    cond_is_shared: Vec<bool>,
    cond_numbers: HashMap<String, u32>,
    bits: target::Bits,
    needs: Vec<Need>,
    types: Vec<String>,
}

impl<'a> Compiler<'a> {
    fn new(table: &'a Table, options: &'a Options, places: Places<'a>) -> Compiler<'a> {
        let lookups = table
            .lookups
            .iter()
            .map(|lookup| NamedLookup {
                name: lookup.name.clone(),
                lookup: Arc::new(convert::compile_lookup(lookup)),
                columns: lookup.columns.clone(),
            })
            .collect();
        Compiler {
            table,
            options,
            places,
            found: Vec::new(),
            sources: source::Sources::new(table),
            lookups,
            value_kinds: Vec::new(),
            conds: Vec::new(),
            cond_is_stable: Vec::new(),
            cond_is_shared: Vec::new(),
            cond_numbers: HashMap::new(),
            bits: target::Bits::default(),
            needs: Vec::new(),
            types: vec!["GENERIC_EVENT".to_owned()],
        }
    }

    fn plan(&mut self) -> Option<Plan> {
        let places = self.places;
        self.find_value_kinds();
        // Chains of values are prepared again where they are built; their faults are told once, at the end.
        let checked = self.check_rows();
        self.check_rules(&checked);
        let values = self.values();
        let scopes = self.scopes();
        let built = self.build_rows(&checked);
        let tags = self.tags(&checked, &built);
        let mut skips: Vec<SkipOp> =
            self.table.skips.iter().map(|skip| SkipOp { when: self.condition(&skip.when), reason: skip.reason.as_str().into() }).collect();
        skips.extend(self.early_filters());
        let id = self.table.id.iter().map(|path| self.sources.read(path)).collect();
        let drops = self.table.drop.iter().map(|path| self.sources.read(path)).collect();
        let received_slot = self.sources.received_slot();
        self.found.append(&mut self.sources.found);
        if self.found.iter().any(|found| found.severity == super::diagnostic::Severity::Error) {
            return None;
        }
        let rule_ops = self.rule_ops(&checked, &built);
        let choices = self.choices(tags.as_ref().map_or(&[], |tags| &tags.lines));
        let out = output::instructions(&checked, &built, &self.table.log_type, self.has_tag_results(), &|name| self.bits.get(name));
        let table = self.table;
        let (values, values_per_part) = values;
        let (mut scopes, part_scopes, element_scopes) = scopes;
        for (scope, rows) in scopes.iter_mut().zip(&built.scope_rows) {
            scope.rows = rows.clone().into();
            self.sources.finish_scope(scope, &table.each);
        }
        let slot_count = self.sources.slot_count();
        let row_infos = built.infos.iter().map(|info| shown(info, places)).collect();
        let mut plan = Plan {
            name: table.name.clone(),
            profile: table.profile.clone().unwrap_or_else(|| "default".to_owned()),
            log_type: table.log_type.clone(),
            version: table.version,
            types_json: self.types.iter().map(|name| format!("\"{name}\"").into_bytes().into()).collect(),
            types: self.types.clone(),
            row_infos,
            rule_places: table.rules.iter().map(|rule| places(rule.span)).collect(),
            number: next_plan(),
            unmapped: self.options.unmapped.unwrap_or(table.unmapped),
            generic: 0,
            trie: self.sources.trie(),
            record_root: self.sources.record_root,
            columns: self.sources.table_columns(),
            payload_root: self.sources.payload_root(),
            slot_count,
            slot_marks: Vec::new(),
            base_bits: Vec::new(),
            filled_from: 0,
            candidates_from: 0,
            literal_rows: built.literals.clone(),
            drops,
            received_slot,
            id,
            values,
            values_per_part,
            cond_is_kept: self.kept_conditions(),
            conds: std::mem::take(&mut self.conds),
            rows_plain: words(&built.plain, built.ops.len()),
            rows: built.ops,
            scopes,
            part_scopes,
            element_scopes,
            skips,
            rules: rule_ops,
            needs: std::mem::take(&mut self.needs),
            time_bit: self.bits.number("x:metadata.event_timestamp"),
            out,
            tags,
            choices,
        };
        shrink::shrink(&mut plan, &built.always, &built.readers);
        Some(plan)
    }

    /// Where something else stands that a diagnostic speaks of, as `file:line`.
    fn place(&self, span: Span) -> String {
        let (file, line) = (self.places)(span);
        format!("{file}:{line}")
    }

    /// `[values]`: those that need no element first, so that a record of many parts computes them once.
    fn values(&mut self) -> (Vec<ValueOp>, usize) {
        let table = self.table;
        let mut per_part = vec![false; table.values.len()];
        for (at, value) in table.values.iter().enumerate() {
            let mut needs_part = false;
            source::visit_value(value, &mut |path| {
                needs_part |= match path.root {
                    super::table::Root::Each(_) => true,
                    super::table::Root::Value(other) => per_part.get(other).copied().unwrap_or(false),
                    _ => false,
                };
            });
            per_part[at] = needs_part;
        }
        let mut ops: Vec<(bool, ValueOp)> = Vec::new();
        for (at, value) in table.values.iter().enumerate() {
            let (chain, _, _) = self.chain(&value.chain);
            let input = self.input(&value.source);
            let default = value.default.as_ref().map(value::constant);
            let when = value.when.as_ref().map(|when| self.condition(when));
            let slot = self.sources.value_slot(at);
            let quick = chain.len() <= 1 && rows::is_plain(&input);
            ops.push((per_part[at], ValueOp { slot, quick, input, chain, default, when }));
        }
        ops.sort_by_key(|(per_part, _)| *per_part);
        let first = ops.iter().filter(|(per_part, _)| !per_part).count();
        (ops.into_iter().map(|(_, op)| op).collect(), first)
    }

    /// `[[each]]`: the scopes, those that lead to parts (outermost first), and those that feed elements.
    fn scopes(&mut self) -> (Vec<Scope>, Vec<u32>, Vec<u32>) {
        let table = self.table;
        let mut scopes = Vec::new();
        for (at, each) in table.each.iter().enumerate() {
            let from = self.sources.read(&each.from);
            let when = each.when.as_ref().map(|when| self.condition(when));
            let split = each.split.as_ref().map(|(by, _)| Split { by: *by, columns: [].into() });
            scopes.push(Scope {
                name: each.name.as_str().into(),
                from,
                root: self.sources.each_root(at),
                own_slot: NONE,
                index_slot: NONE,
                split,
                when,
                rows: [].into(),
            });
        }
        let parent = |at: usize| match table.each[at].from.root {
            super::table::Root::Each(parent) => Some(parent),
            _ => None,
        };
        let mut part_scopes = Vec::new();
        let emitting: Vec<usize> = (0..table.each.len()).filter(|at| table.each[*at].emits_events).collect();
        if let [_, second, ..] = emitting[..] {
            self.found.push(
                Diagnostic::error("M050", table.each[second].span, "two `[[each]]` of one mapping emit events")
                    .help("let one of them feed elements, or write a second mapping"),
            );
        }
        let mut at = emitting.first().copied();
        while let Some(number) = at {
            part_scopes.insert(0, number as u32);
            at = parent(number);
        }
        let element_scopes: Vec<u32> = (0..table.each.len() as u32).filter(|at| !part_scopes.contains(at)).collect();
        for &number in &element_scopes {
            if let Some(outer) = parent(number as usize)
                && !part_scopes.contains(&(outer as u32))
            {
                self.found.push(
                    Diagnostic::error(
                        "M051",
                        table.each[number as usize].span,
                        "an `[[each]]` that feeds elements stands inside another such",
                    )
                    .help("give the whole path in one `from`: `a[*].b[*]`"),
                );
            }
        }
        (scopes, part_scopes, element_scopes)
    }
}

/// A row as explain shows it.
fn shown(info: &rows::Info, places: Places<'_>) -> RowInfo {
    let (file, line) = places(info.span);
    RowInfo { targets: info.targets.clone(), sources: info.sources.clone(), file, line }
}

/// A list of row numbers as the words of a bit set.
fn words(rows: &[u32], count: usize) -> Vec<u64> {
    let mut words = vec![0u64; count.div_ceil(64)];
    for row in rows {
        words[*row as usize / 64] |= 1 << (row % 64);
    }
    words
}

/// A row compiled or being compiled; kept here because three files fill it.
type Ops = Vec<RowOp>;
