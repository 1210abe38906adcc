//! Event-type rules: which can be taken, and their requirements over bits.

use super::rows::{Built, CheckedRow, Group};
use super::{Compiler, condition, target};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::table::{Condition, Otherwise, Rule};
use crate::plan::program::{Need, OtherwiseOp, RuleOp};
use crate::udm::{EventTypes, Level, Predicate};

impl<'a> Compiler<'a> {
    /// Checks every rule by itself and against those above it.
    pub(super) fn check_rules(&mut self, checked: &[CheckedRow<'a>]) {
        let table = self.table;
        let rules = &table.rules;
        for rule in rules {
            for path in &rule.needs {
                if let Err(fault) = target::resolve_any(path) {
                    self.found.push(*fault);
                }
            }
        }
        if let Some(last) = rules.last()
            && last.when.is_some()
        {
            self.found.push(
                Diagnostic::error("M041", last.span, "the last event-type rule is not unconditional")
                    .help("end the rules in `{ is = \"GENERIC_EVENT\" }`"),
            );
        }
        for (at, rule) in rules.iter().enumerate() {
            match EventTypes::get().find(&rule.is) {
                None => {
                    let known = EventTypes::get().all().iter().map(|found| found.name);
                    let message = format!("UDM has no event type `{}`", rule.is);
                    self.found.push(Diagnostic::error("M031", rule.span, message).suggest(&rule.is, known));
                    continue;
                }
                Some(found) if !found.emit => {
                    let message = format!("event type `{}` is the platform's own", rule.is);
                    self.found.push(Diagnostic::error("M033", rule.span, message).help("use another type"));
                    continue;
                }
                Some(_) => {}
            }
            let why = self.never_taken(checked, rule, at);
            match (&rule.dormant, why) {
                (None, Some(fault)) => self.found.push(fault),
                (Some(_), None) => self.found.push(
                    Diagnostic::error("M044", rule.span, format!("dormant rule `{}` could be taken", rule.is)).help("leave `dormant` out"),
                ),
                _ => {}
            }
            for other in &rule.otherwise {
                if let Otherwise::Type(name) = other
                    && self.requirement(checked, name, rule) == Need::Never
                {
                    let message = format!("no row fills what `else` type `{name}` requires");
                    self.found.push(Diagnostic::error("M043", rule.span, message).help("leave it out of `else`, or add the rows"));
                }
            }
        }
    }

    /// Why a rule can never be taken.
    fn never_taken(&mut self, checked: &[CheckedRow<'a>], rule: &Rule, at: usize) -> Option<Diagnostic> {
        let rules = &self.table.rules;
        if let Some(when) = &rule.when {
            let fillable = |path: &str| checked.iter().any(|row| !row.zero && available(row, rule) && fills(row, path));
            if let Some(path) = self.never_holds(when, &fillable) {
                let message = format!("event-type rule `{}` can never match: no row fills `{path}`", rule.is);
                return Some(Diagnostic::error("M042", rule.span, message).help("add a row, delete the rule, or say `dormant = \"why\"`"));
            }
        }
        if self.requirement(checked, &rule.is, rule) == Need::Never {
            let message = format!("no row fills what event type `{}` requires", rule.is);
            return Some(
                Diagnostic::error("M043", rule.span, message).help("add the rows, choose another type, or say `dormant = \"why\"`"),
            );
        }
        if rules.iter().any(|other| other.otherwise.contains(&Otherwise::Rule(at))) {
            return None;
        }
        let above = rules[..at].iter().find(|above| {
            // A type that does not exist was told already, and what it would take is not known.
            let exists = EventTypes::get().find(&above.is).is_some_and(|found| found.emit);
            exists && above.layer == rule.layer && above.dormant.is_none() && takes_all(above, rule)
        })?;
        let message = format!("event-type rule `{}` can never match", rule.is);
        let note = format!("`{}` on {} already takes every event this rule would take", above.is, self.place(above.span));
        Some(Diagnostic::error("M014", rule.span, message).note(note).help("move the more specific rule above it, or delete it"))
    }

    /// What an event type and the rule's own `needs` require, over the bits that rows can set.
    fn requirement(&mut self, checked: &[CheckedRow<'a>], name: &str, rule: &Rule) -> Need {
        let Some(event_type) = EventTypes::get().find(name) else { return Need::Always };
        let mut parts = Vec::new();
        for gate in event_type.gates() {
            parts.push(self.need(checked, &gate.rule, rule));
        }
        for ban in event_type.forbid.iter().filter(|ban| ban.level == Level::Error) {
            parts.push(negated(self.need(checked, &ban.rule, rule)));
        }
        for path in &rule.needs {
            if let Ok(target) = target::resolve_any(path) {
                parts.push(self.has(checked, &target.generic, rule));
            }
        }
        all(parts)
    }

    fn need(&mut self, checked: &[CheckedRow<'a>], predicate: &Predicate, rule: &Rule) -> Need {
        match predicate {
            Predicate::Has(path) => self.has(checked, path, rule),
            Predicate::Present(path) => {
                let present = checked.iter().any(|row| available(row, rule) && fills(row, path));
                if present { Need::Bit(self.bits.number(&format!("p:{path}"))) } else { Need::Never }
            }
            Predicate::Machine(_) | Predicate::User(_) => {
                let paths = EventTypes::get().expand(predicate).unwrap_or_default();
                any(paths.iter().map(|path| self.has(checked, path, rule)).collect())
            }
            Predicate::Any(parts) => any(parts.iter().map(|part| self.need(checked, part, rule)).collect()),
            Predicate::All(parts) => all(parts.iter().map(|part| self.need(checked, part, rule)).collect()),
            Predicate::Not(part) => negated(self.need(checked, part, rule)),
            Predicate::If { condition, then } => {
                let unless = negated(self.need(checked, condition, rule));
                any(vec![unless, self.need(checked, then, rule)])
            }
            Predicate::Eq(path, word) => {
                let rows: Vec<u32> = (0..checked.len() as u32).filter(|at| fills_exactly(&checked[*at as usize], path, rule)).collect();
                if rows.is_empty() { Need::Never } else { Need::Word(rows.into(), word.as_bytes().into()) }
            }
        }
    }

    fn has(&mut self, checked: &[CheckedRow<'a>], path: &str, rule: &Rule) -> Need {
        // The engine writes these itself, always.
        if matches!(path, "metadata" | "metadata.event_type" | "metadata.event_timestamp" | "metadata.product_log_id") {
            return Need::Always;
        }
        let filled = checked.iter().any(|row| !row.zero && available(row, rule) && fills(row, path));
        if filled { Need::Bit(self.bits.number(&format!("g:{path}"))) } else { Need::Never }
    }

    /// The rules as the plan runs them. Row numbers in requirements become operation numbers here.
    pub(super) fn rule_ops(&mut self, checked: &[CheckedRow<'a>], built: &Built) -> Vec<RuleOp> {
        let mut ops = Vec::new();
        for rule in &self.table.rules {
            let needs = self.requirement(checked, &rule.is, rule);
            let needs = self.keep_need(needs, built);
            let otherwise = rule
                .otherwise
                .iter()
                .map(|other| match other {
                    Otherwise::Type(name) => {
                        let need = self.requirement(checked, name, rule);
                        OtherwiseOp::Type(self.event_type(name), self.keep_need(need, built))
                    }
                    Otherwise::Rule(at) => OtherwiseOp::Rule(*at as u32),
                    Otherwise::Base => OtherwiseOp::Base,
                })
                .collect();
            let base = self.table.rules.iter().position(|other| other.layer < rule.layer).unwrap_or(self.table.rules.len());
            ops.push(RuleOp {
                event_type: self.event_type(&rule.is),
                when: rule.when.as_ref().map(|when| self.condition(when)),
                is_dormant: rule.dormant.is_some(),
                with: rule.with.iter().flat_map(|with| built.with_rows[*with].iter().copied()).collect(),
                needs,
                otherwise,
                base: base as u32,
            });
        }
        ops
    }

    fn keep_need(&mut self, need: Need, built: &Built) -> u32 {
        let need = renumbered(need, built);
        match self.needs.iter().position(|known| *known == need) {
            Some(at) => at as u32,
            None => {
                self.needs.push(need);
                self.needs.len() as u32 - 1
            }
        }
    }

    fn event_type(&mut self, name: &str) -> u32 {
        match self.types.iter().position(|known| known == name) {
            Some(at) => at as u32,
            None => {
                self.types.push(name.to_owned());
                self.types.len() as u32 - 1
            }
        }
    }
}

/// Whether every part that the lower rule takes is taken, for good, by the upper one.
fn takes_all(above: &Rule, below: &Rule) -> bool {
    match (&above.when, &below.when) {
        (None, _) => true,
        (Some(above), Some(below)) => condition::implies(below, above),
        (Some(above), None) => matches!(above, Condition::All(parts) if parts.is_empty()),
    }
}

/// Whether the row runs when this rule is tried.
fn available(row: &CheckedRow<'_>, rule: &Rule) -> bool {
    match row.group {
        Group::With(with) => rule.with.contains(&with),
        _ => true,
    }
}

fn fills(row: &CheckedRow<'_>, path: &str) -> bool {
    row.targets.iter().any(|target| target.generic == path || target.generic.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn fills_exactly(row: &CheckedRow<'_>, path: &str, rule: &Rule) -> bool {
    available(row, rule) && !matches!(row.group, Group::Element(_)) && row.targets.iter().any(|target| target.generic == path)
}

fn renumbered(need: Need, built: &Built) -> Need {
    match need {
        Need::Word(rows, word) => Need::Word(rows.iter().map(|row| built.numbers[*row as usize]).collect(), word),
        Need::Not(inner) => Need::Not(Box::new(renumbered(*inner, built))),
        Need::All(parts) => Need::All(parts.into_iter().map(|part| renumbered(part, built)).collect()),
        Need::Any(parts) => Need::Any(parts.into_iter().map(|part| renumbered(part, built)).collect()),
        other => other,
    }
}

fn all(parts: Vec<Need>) -> Need {
    if parts.contains(&Need::Never) {
        return Need::Never;
    }
    let mut parts: Vec<Need> = parts.into_iter().filter(|part| *part != Need::Always).collect();
    match parts.len() {
        0 => Need::Always,
        1 => parts.remove(0),
        _ => Need::All(parts.into()),
    }
}

fn any(parts: Vec<Need>) -> Need {
    if parts.contains(&Need::Always) {
        return Need::Always;
    }
    let mut parts: Vec<Need> = parts.into_iter().filter(|part| *part != Need::Never).collect();
    match parts.len() {
        0 => Need::Never,
        1 => parts.remove(0),
        _ => Need::Any(parts.into()),
    }
}

fn negated(need: Need) -> Need {
    match need {
        Need::Always => Need::Never,
        Need::Never => Need::Always,
        other => Need::Not(Box::new(other)),
    }
}
