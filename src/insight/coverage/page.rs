//! Coverage as a page to look at.

use super::{MappingReport, PathReport, Report, RowCount, State};
use crate::insight::html::{Cell, Page, Row, Table, Tone, code, escape, grouped, percent};

/// Rows named in one cell.
const ROWS_SHOWN: usize = 3;

impl State {
    fn tone(self) -> Tone {
        match self {
            State::Read => Tone::Good,
            State::Partly => Tone::Accent,
            State::Unused => Tone::Warn,
            State::Unknown => Tone::Bad,
            State::Dropped | State::NeverSeen => Tone::Quiet,
        }
    }
}

impl Report {
    /// One self-contained HTML file.
    pub fn html(&self) -> String {
        let sum = |of: &dyn Fn(&MappingReport) -> u64| self.mappings.iter().map(of).sum::<u64>();
        let (seen, read) = (sum(&|one| one.values_seen), sum(&|one| one.values_read));
        let unknown = sum(&|one| one.paths_in(State::Unknown) as u64);
        let (filled, fields) =
            (sum(&|one| one.fields.iter().filter(|field| field.filled > 0).count() as u64), sum(&|one| one.fields.len() as u64));
        let inputs = match self.inputs.as_slice() {
            [one] => code(one),
            several => format!("<b>{} files</b>", several.len()),
        };
        let mut page = Page {
            eyebrow: "Coverage".into(),
            heading: "What the mappings read".into(),
            lead: format!(
                "{inputs}, <b>{}</b> messages. A value counts as <b>read</b> when a row of its mapping really wrote from it; everything \
                 else is listed below with how often it was seen.",
                grouped(self.messages)
            ),
            links: self.mappings.iter().map(|mapping| (anchor(mapping), mapping.mapping.clone())).collect(),
            ..Page::default()
        };
        let share = if seen == 0 || read * 100 >= seen * 90 {
            Tone::Good
        } else if read * 100 >= seen * 75 {
            Tone::Plain
        } else {
            Tone::Warn
        };
        page.tiles(&[
            (
                "Records",
                grouped(sum(&|one| one.records)),
                match self.mappings.len() {
                    1 => "one mapping".into(),
                    count => format!("{count} mappings"),
                },
                Tone::Plain,
            ),
            (
                "Events",
                grouped(sum(&|one| one.emitted)),
                format!("{} with another type than wished", grouped(sum(&|one| one.fallbacks))),
                Tone::Plain,
            ),
            ("Values read", percent(read, seen), format!("{} of {}", grouped(read), grouped(seen)), share),
            (
                "Unknown paths",
                grouped(unknown),
                "that nothing in a mapping names".into(),
                if unknown == 0 { Tone::Good } else { Tone::Warn },
            ),
            ("UDM fields filled", grouped(filled), format!("of {} that rows can fill", grouped(fields)), Tone::Plain),
        ]);
        self.overview(&mut page);
        for mapping in &self.mappings {
            mapping.section(&mut page);
        }
        page.render()
    }

    fn overview(&self, page: &mut Page) {
        page.open("overview", "Mappings", &[], "");
        let rows = self.mappings.iter().map(|one| {
            let filled = one.fields.iter().filter(|field| field.filled > 0).count() as u64;
            Row {
                tag: String::new(),
                cells: vec![
                    Cell {
                        html: format!("<a href=\"#{}\">{}</a>", escape(&anchor(one)), escape(&one.title())),
                        key: Some(one.mapping.clone()),
                        class: "tight",
                    },
                    Cell::number(one.records),
                    Cell::number(one.emitted),
                    Cell::share(one.values_read, one.values_seen, Tone::Good),
                    Cell::number(one.paths_in(State::Unknown) as u64),
                    Cell::number(one.paths_in(State::NeverSeen) as u64),
                    Cell::share(filled, one.fields.len() as u64, Tone::Accent),
                ],
            }
        });
        page.table(&Table {
            columns: vec![
                ("mapping", false),
                ("records", true),
                ("events", true),
                ("values read", true),
                ("unknown paths", true),
                ("never seen", true),
                ("UDM fields filled", true),
            ],
            rows: rows.collect(),
            chips: Vec::new(),
            placeholder: "Filter mappings".into(),
        });
        if !self.without_mapping.is_empty() {
            let list: Vec<String> = self.without_mapping.iter().map(|(why, count)| format!("{} {}", code(why), grouped(*count))).collect();
            page.body.push_str(&format!("<p class=\"note\">Without a mapping: {}</p>", list.join(", ")));
        }
        page.close();
    }
}

fn anchor(mapping: &MappingReport) -> String {
    mapping.mapping.replace('/', "-")
}

fn rows_cell(rows: &[RowCount], named_by: &[String], with_targets: bool) -> Cell {
    let short = |row: &str| row.strip_prefix("mappings/").unwrap_or(row).to_owned();
    let mut lines: Vec<String> = rows
        .iter()
        .take(ROWS_SHOWN)
        .map(|row| {
            let place = format!("<span class=\"sub\">{}</span>", code(&short(&row.row)));
            if with_targets {
                format!("{} {place}", row.targets.iter().map(|target| code(target)).collect::<Vec<_>>().join(", "))
            } else {
                place
            }
        })
        .collect();
    if rows.len() > ROWS_SHOWN {
        lines.push(format!("<span class=\"sub\">and {} more rows</span>", rows.len() - ROWS_SHOWN));
    }
    if !named_by.is_empty() {
        let names: Vec<String> = named_by.iter().map(|name| if name.starts_with('$') { code(name) } else { escape(name) }).collect();
        lines.push(format!("<span class=\"sub\">named by {}</span>", names.join(", ")));
    }
    Cell { html: lines.join("<br>"), key: Some(rows.first().map_or_else(String::new, |row| row.targets.join(" "))), class: "" }
}

impl MappingReport {
    fn section(&self, page: &mut Page) {
        let unread = self.values_seen - self.values_read;
        let mut pills = vec![(self.log_type.clone(), Tone::Plain), (format!("{} records", grouped(self.records)), Tone::Plain)];
        if self.fallbacks > 0 {
            pills.push((format!("{} events with another type than wished", grouped(self.fallbacks)), Tone::Warn));
        }
        pills.extend(self.skipped.iter().map(|(why, count)| (format!("skipped as {why}: {}", grouped(*count)), Tone::Plain)));
        pills.extend(self.rejected.iter().map(|(why, count)| (format!("rejected as {why}: {}", grouped(*count)), Tone::Bad)));
        page.open(&anchor(self), &self.title(), &pills, "");
        page.stack(&[("values read", self.values_read, Tone::Good), (self.fate(), unread, Tone::Warn)]);
        page.heading("Source paths");
        let path_row = |path: &PathReport| Row {
            tag: path.state.name().into(),
            cells: vec![
                Cell::code(&path.path),
                Cell::pill(path.state.name(), path.state.tone()),
                Cell::number(path.seen),
                if path.seen == 0 {
                    Cell { html: "–".into(), key: Some("-1".into()), class: "number" }
                } else {
                    Cell::share(path.read, path.seen, Tone::Good)
                },
                Cell::number(path.unmapped),
                rows_cell(&path.rows, &path.named_by, true),
            ],
        };
        let states = [State::Read, State::Partly, State::Unused, State::Unknown, State::Dropped, State::NeverSeen];
        page.table(&Table {
            columns: vec![
                ("path", false),
                ("state", false),
                ("seen", true),
                ("read", true),
                (self.fate(), true),
                ("UDM fields and rows", false),
            ],
            rows: self.paths.iter().map(path_row).collect(),
            chips: states.map(|state| (state.name(), state.name())).to_vec(),
            placeholder: "Filter paths, fields, rows".into(),
        });
        page.heading("UDM fields");
        let fields = self.fields.iter().map(|field| Row {
            tag: if field.filled > 0 { "filled" } else { "never" }.into(),
            cells: vec![
                Cell::code(&field.field),
                Cell::number(field.filled),
                Cell::share(field.filled, self.emitted, Tone::Accent),
                rows_cell(&field.rows, &[], false),
            ],
        });
        page.table(&Table {
            columns: vec![("UDM field", false), ("events", true), ("share of events", true), ("rows", false)],
            rows: fields.collect(),
            chips: vec![("filled", "filled"), ("never", "never filled")],
            placeholder: "Filter fields, rows".into(),
        });
        if !self.event_types.is_empty() {
            page.heading("Event types");
            let mut types: Vec<(String, u64)> = self.event_types.iter().map(|(name, count)| (name.clone(), *count)).collect();
            types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            page.bars(&types, Tone::Accent);
        }
        page.close();
    }
}
