//! Coverage as text for a terminal or a file.

use std::fmt::Write as _;

use super::{MappingReport, PathReport, Report, State};
use crate::insight::html::{grouped, percent};
use crate::insight::words::printable;

/// Rows of a path or field that are named on its line.
const ROWS_SHOWN: usize = 2;

impl Report {
    /// Tables of text; at most `top` lines a table, 0 for all.
    pub fn text(&self, top: usize) -> String {
        let mut out = String::new();
        for mapping in &self.mappings {
            mapping.text(top, &mut out);
            out.push('\n');
        }
        if !self.without_mapping.is_empty() {
            let list: Vec<String> = self.without_mapping.iter().map(|(why, count)| format!("{why} {}", grouped(*count))).collect();
            let _ = writeln!(out, "without a mapping: {}", list.join(", "));
        }
        out
    }
}

impl MappingReport {
    fn text(&self, top: usize, out: &mut String) {
        let unread = self.values_seen - self.values_read;
        let _ = writeln!(
            out,
            "{}  {} records, {} events, {} with another type than wished\n  rows read {} of {} values ({}), {} {}",
            self.title(),
            grouped(self.records),
            grouped(self.emitted),
            grouped(self.fallbacks),
            grouped(self.values_read),
            grouped(self.values_seen),
            percent(self.values_read, self.values_seen),
            grouped(unread),
            self.fate(),
        );
        for (name, counts) in [("skipped", &self.skipped), ("rejected", &self.rejected)] {
            if !counts.is_empty() {
                let list: Vec<String> = counts.iter().map(|(why, count)| format!("{why} {}", grouped(*count))).collect();
                let _ = writeln!(out, "  {name}: {}", list.join(", "));
            }
        }
        let section = |out: &mut String, title: &str, states: &[State]| {
            let paths: Vec<&PathReport> = self.paths.iter().filter(|path| states.contains(&path.state)).collect();
            if paths.is_empty() {
                return;
            }
            let _ = writeln!(out, "\n  {title} ({})", paths.len());
            let _ = writeln!(out, "  {:>9} {:>9}  path", "seen", "read");
            for path in paths.iter().take(limit(top)) {
                let _ = writeln!(out, "  {:>9} {:>9}  {}{}", grouped(path.seen), grouped(path.read), printable(&path.path), by(path));
            }
            more(paths.len(), top, out);
        };
        section(out, "source paths that no row writes from", &[State::Unknown, State::Unused]);
        section(out, "source paths that are read", &[State::Read, State::Partly, State::Dropped]);
        section(out, "source paths the mapping names and no record had", &[State::NeverSeen]);
        let _ = writeln!(
            out,
            "\n  UDM fields ({} of {} filled)",
            self.fields.iter().filter(|field| field.filled > 0).count(),
            self.fields.len()
        );
        let _ = writeln!(out, "  {:>9} {:>9}  field", "filled", "share");
        for field in self.fields.iter().take(limit(top)) {
            let _ = writeln!(out, "  {:>9} {:>9}  {}", grouped(field.filled), percent(field.filled, self.emitted), printable(&field.field));
        }
        more(self.fields.len(), top, out);
    }
}

fn limit(top: usize) -> usize {
    if top == 0 { usize::MAX } else { top }
}

fn more(count: usize, top: usize, out: &mut String) {
    if count > limit(top) {
        let _ = writeln!(out, "  {:>19}  and {} more; `--top 0` shows all", "", count - top);
    }
}

/// ` <- activity.toml:12, $operation`: who reads a path.
fn by(path: &PathReport) -> String {
    let short = |row: &str| row.rsplit('/').next().unwrap_or(row).to_owned();
    let mut names: Vec<String> = path.rows.iter().take(ROWS_SHOWN).map(|row| short(&row.row)).collect();
    if path.rows.len() > ROWS_SHOWN {
        names.push(format!("{} more rows", path.rows.len() - ROWS_SHOWN));
    }
    names.extend(path.named_by.iter().take(ROWS_SHOWN).cloned());
    if names.is_empty() { String::new() } else { format!("  <- {}", names.join(", ")) }
}
