//! The report as text.

use std::fmt::Write as _;

use super::{Area, Group, Report};
use crate::insight::html::{grouped, percent};
use crate::insight::words::printable;

/// Lines of each list; JSON and HTML have them all.
const LINES: usize = 15;

impl Report {
    /// `2026-01-01T00:00:00Z to 2026-02-01T00:00:00Z`: what was asked for, else what was seen.
    pub(super) fn period_text(&self) -> String {
        let period = &self.period;
        let or = |asked: &Option<String>, seen: &Option<String>| asked.as_ref().or(seen.as_ref()).cloned();
        match (or(&period.from, &period.first), or(&period.to, &period.last)) {
            (Some(from), Some(to)) => {
                let (from, to) = (minute(&from), minute(&to));
                // Whole days are told as days.
                match (from.strip_suffix(" 00:00"), to.strip_suffix(" 00:00")) {
                    (Some(from), Some(to)) => format!("{from} to {to}"),
                    _ => format!("{from} to {to}"),
                }
            }
            _ => "no events".to_owned(),
        }
    }

    /// A page of text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let totals = &self.totals;
        let counts = &totals.counts;
        let _ = writeln!(out, "Operations, {}\n", self.period_text());
        for (name, count, note) in [
            ("operations", counts.operations, format!("from {} events", grouped(totals.events))),
            ("succeeded", counts.succeeded, percent(counts.succeeded, counts.operations)),
            ("failed", counts.failed, format!("{}, {} of them denied", percent(counts.failed, counts.operations), grouped(counts.denied))),
            ("without outcome", counts.without_outcome, "no record tells how they ended".to_owned()),
            ("unique callers", totals.unique_callers, format!("{} operations name none", grouped(totals.without_caller))),
        ] {
            let _ = writeln!(out, "  {name:<16} {:>10}  {note}", grouped(count));
        }
        for (name, count) in [
            ("outside the period", totals.outside_period),
            ("about traffic", totals.traffic),
            ("rejected", totals.rejected),
            ("skipped", totals.skipped),
            ("with an unreadable time", totals.unreadable),
        ] {
            if count > 0 {
                let _ = writeln!(out, "  {} {name}, not counted above", grouped(count));
            }
        }
        let _ = writeln!(out, "\nSecurity events");
        for area in Area::ALL {
            let counts = self.security_events.get(area.key()).copied().unwrap_or_default();
            let _ = writeln!(out, "  {:<24} {:>8}  {} failed", area.name(), grouped(counts.operations), grouped(counts.failed));
        }
        groups("By category", &self.by_category, |group| group.counts.operations, &mut out);
        groups("Deletions by resource type", &self.deletions_by_resource_type, |group| group.counts.operations, &mut out);
        groups("Failed operations by type", &self.failed_by_type, |group| group.counts.failed, &mut out);
        let _ = writeln!(out, "\nRole-assignment changes ({})", self.role_assignment_changes.len());
        for one in self.role_assignment_changes.iter().take(LINES) {
            let (who, role) = (unknown(&one.who), unknown(&one.role));
            let _ = writeln!(
                out,
                "  {}  {}  {}  role {} for {} at {}  ({})",
                minute(&one.time),
                printable(who),
                printable(&one.operation),
                printable(role),
                printable(unknown(&one.principal)),
                printable(unknown(&one.scope)),
                one.status
            );
        }
        more(self.role_assignment_changes.len(), &mut out);
        let _ = writeln!(out, "\nHigh-risk operations ({})", self.high_risk_operations.len());
        for one in self.high_risk_operations.iter().take(LINES) {
            let (tags, who, status) = (one.tags.join(", "), printable(unknown(&one.who)), one.status);
            let _ = writeln!(
                out,
                "  {}  {:<8} {}  {who}  {}  ({status})",
                minute(&one.time),
                one.severity,
                printable(&tags),
                printable(&one.resource)
            );
        }
        more(self.high_risk_operations.len(), &mut out);
        out
    }
}

/// A time to the minute: `2026-01-01 12:34`.
pub(super) fn minute(time: &str) -> String {
    time.get(..16).map_or_else(|| time.to_owned(), |text| text.replace('T', " "))
}

/// `unknown` in place of nothing.
pub(super) fn unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn groups(title: &str, groups: &[Group], count: fn(&Group) -> u64, out: &mut String) {
    let _ = writeln!(out, "\n{title}");
    if groups.is_empty() {
        let _ = writeln!(out, "  none");
    }
    for group in groups.iter().take(LINES) {
        let _ = writeln!(out, "  {:>8}  {}", grouped(count(group)), printable(unknown(&group.name)));
    }
    more(groups.len(), out);
}

fn more(count: usize, out: &mut String) {
    if count > LINES {
        let _ = writeln!(out, "  and {} more; JSON and HTML have them all", count - LINES);
    }
}
