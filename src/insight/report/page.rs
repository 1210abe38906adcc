//! The report as a page.

use super::text::{minute, unknown};
use super::{Area, Column, Group, Listed, Report, Status};
use crate::insight::html::{Cell, Page, Row, Table, Tone, code, escape, grouped, percent};

fn severity_tone(severity: &str) -> Tone {
    match severity {
        "CRITICAL" | "HIGH" => Tone::Bad,
        "MEDIUM" => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn status_cell(status: &'static str) -> Cell {
    let tone = match status {
        status if status == Status::Succeeded.name() => Tone::Good,
        status if status == Status::Failed.name() => Tone::Warn,
        status if status == Status::Denied.name() => Tone::Bad,
        _ => Tone::Plain,
    };
    Cell::pill(status, tone)
}

/// A resource id with its name in front and the path to it below.
fn resource_cell(id: &str) -> Cell {
    let html = match id.trim_end_matches('/').rsplit_once('/') {
        Some((above, name)) if !above.is_empty() => format!("{}<br><span class=\"sub\">{}</span>", code(name), code(above)),
        _ => code(unknown(id)),
    };
    Cell { html, key: Some(id.to_owned()), class: "" }
}

fn who_cell(one: &Listed) -> Cell {
    let address = if one.address.is_empty() { String::new() } else { format!("<br><span class=\"sub\">{}</span>", code(&one.address)) };
    let who = if one.who.is_empty() { "<span class=\"sub\">unknown</span>".to_owned() } else { escape(&one.who) };
    Cell { html: format!("{who}{address}"), key: Some(one.who.clone()), class: "" }
}

fn time_cell(time: &str) -> Cell {
    Cell { html: escape(&minute(time)), key: Some(time.to_owned()), class: "tight" }
}

impl Report {
    /// One self-contained HTML file.
    pub fn html(&self) -> String {
        let totals = &self.totals;
        let counts = &totals.counts;
        let inputs = match self.inputs.as_slice() {
            [one] => code(one),
            several => format!("{} files", several.len()),
        };
        let mut page = Page {
            eyebrow: "Compliance report".into(),
            heading: self.period_text(),
            lead: format!(
                "<b>{}</b> operations from {} events of {inputs}. Records with one correlation id, operation and resource are one operation; \
                 its status is that of the latest record that tells how it ended. Times are UTC.",
                grouped(counts.operations),
                grouped(totals.events)
            ),
            links: [
                ("overview", "Overview"),
                ("risk", "High risk"),
                ("roles", "Role assignments"),
                ("deletions", "Deletions"),
                ("failures", "Failures"),
                ("callers", "Callers"),
            ]
            .map(|(id, name)| (id.to_owned(), name.to_owned()))
            .to_vec(),
            ..Page::default()
        };
        let of = |part: u64| percent(part, counts.operations);
        page.tiles(&[
            ("Operations", grouped(counts.operations), format!("{} events", grouped(totals.events)), Tone::Plain),
            ("Succeeded", grouped(counts.succeeded), of(counts.succeeded), Tone::Good),
            (
                "Failed",
                grouped(counts.failed),
                format!("{}, {} denied", of(counts.failed), grouped(counts.denied)),
                if counts.failed > 0 { Tone::Bad } else { Tone::Plain },
            ),
            ("Without outcome", grouped(counts.without_outcome), "no record tells the end".into(), Tone::Plain),
            (
                "Unique callers",
                grouped(totals.unique_callers),
                format!("{} operations name none", grouped(totals.without_caller)),
                Tone::Plain,
            ),
            (
                "High risk",
                grouped(self.high_risk_operations.len() as u64),
                "operations tagged MEDIUM or above".into(),
                if self.high_risk_operations.is_empty() { Tone::Plain } else { Tone::Warn },
            ),
        ]);
        self.overview(&mut page);
        self.risk(&mut page);
        self.roles(&mut page);
        self.groups(&mut page);
        self.callers(&mut page);
        self.left_out(&mut page);
        page.render()
    }

    fn overview(&self, page: &mut Page) {
        page.open("overview", "Over time", &[], "");
        let column = |column: &Column| {
            let counts = &column.counts;
            let parts = vec![(counts.without_outcome, Tone::Quiet), (counts.failed, Tone::Bad), (counts.succeeded, Tone::Accent)];
            (minute(&column.from), parts)
        };
        page.columns(&self.timeline.iter().map(column).collect::<Vec<_>>());
        let counts = &self.totals.counts;
        page.body.push_str("<h3></h3>");
        page.stack(&[
            ("succeeded", counts.succeeded, Tone::Accent),
            ("failed or denied", counts.failed, Tone::Bad),
            ("without outcome", counts.without_outcome, Tone::Quiet),
        ]);
        page.close();
        page.body.push_str("<div class=\"pair\">");
        page.open("categories", "By category", &[], "");
        let bars: Vec<(String, u64)> =
            self.by_category.iter().map(|group| (unknown(&group.name).to_owned(), group.counts.operations)).collect();
        page.bars(&bars, Tone::Accent);
        page.close();
        page.open("areas", "Security events by area", &[], "");
        let rows = Area::ALL.map(|area| {
            let counts = self.security_events.get(area.key()).copied().unwrap_or_default();
            Row {
                tag: String::new(),
                cells: vec![
                    Cell::text(area.name()),
                    Cell::number(counts.operations),
                    Cell::number(counts.succeeded),
                    Cell::number(counts.failed),
                ],
            }
        });
        page.table(&Table {
            columns: vec![("area", false), ("operations", true), ("succeeded", true), ("failed", true)],
            rows: rows.into(),
            ..Table::default()
        });
        page.close();
        page.body.push_str("</div>\n");
    }

    fn risk(&self, page: &mut Page) {
        page.open(
            "risk",
            "High-risk operations",
            &[(grouped(self.high_risk_operations.len() as u64), Tone::Warn)],
            "Operations that carry a security tag of severity MEDIUM or above.",
        );
        if self.high_risk_by_tag.is_empty() {
            page.empty("No event carries a security tag.");
            return page.close();
        }
        let tags = self.high_risk_by_tag.iter().map(|group| Row {
            tag: group.severity.clone(),
            cells: vec![
                Cell::pill(&group.severity, severity_tone(&group.severity)),
                Cell::code(&group.tag),
                Cell::text(&group.summary),
                Cell::number(group.counts.operations),
                Cell::number(group.counts.failed),
            ],
        });
        page.table(&Table {
            columns: vec![("severity", false), ("tag", false), ("what", false), ("operations", true), ("failed", true)],
            rows: tags.collect(),
            placeholder: "Filter tags".into(),
            ..Table::default()
        });
        page.heading("One by one");
        let rows = self.high_risk_operations.iter().map(|one| Row {
            tag: one.severity.clone(),
            cells: vec![
                time_cell(&one.time),
                Cell::pill(&one.severity, severity_tone(&one.severity)),
                Cell {
                    html: format!("{}<br><span class=\"sub\">{}</span>", escape(&one.tags.join(", ")), code(&one.operation)),
                    key: None,
                    class: "",
                },
                who_cell(one),
                resource_cell(&one.resource),
                status_cell(one.status),
            ],
        });
        page.table(&Table {
            columns: vec![
                ("time", false),
                ("severity", false),
                ("tag and operation", false),
                ("who", false),
                ("resource", false),
                ("status", false),
            ],
            rows: rows.collect(),
            chips: vec![("CRITICAL", "critical"), ("HIGH", "high"), ("MEDIUM", "medium")],
            placeholder: "Filter operations, callers, resources".into(),
        });
        self.cut_note(page, "high_risk_operations");
        page.close();
    }

    fn roles(&self, page: &mut Page) {
        page.open(
            "roles",
            "Role-assignment changes",
            &[(grouped(self.role_assignment_changes.len() as u64), Tone::Plain)],
            "Who gave or took which role, for whom, and where it holds.",
        );
        if self.role_assignment_changes.is_empty() {
            page.empty("None in this period.");
            return page.close();
        }
        let rows = self.role_assignment_changes.iter().map(|one| {
            let verb = one.operation.rsplit(['/', '.']).next().unwrap_or_default();
            let (word, tone) = match verb {
                "write" | "created" => ("given", Tone::Warn),
                "delete" | "deleted" => ("taken", Tone::Plain),
                _ => ("other", Tone::Plain),
            };
            Row {
                tag: word.into(),
                cells: vec![
                    time_cell(&one.time),
                    who_cell(one),
                    Cell {
                        html: format!("{}<br><span class=\"sub\">{}</span>", crate::insight::html::pill(word, tone), code(&one.operation)),
                        key: Some(one.operation.clone()),
                        class: "",
                    },
                    Cell::text(unknown(&one.role)),
                    Cell::text(unknown(&one.principal)),
                    Cell::code(unknown(&one.scope)),
                    status_cell(one.status),
                ],
            }
        });
        page.table(&Table {
            columns: vec![
                ("time", false),
                ("who", false),
                ("what", false),
                ("role", false),
                ("for", false),
                ("where", false),
                ("status", false),
            ],
            rows: rows.collect(),
            chips: vec![("given", "given"), ("taken", "taken"), ("other", "other")],
            placeholder: "Filter people, roles, scopes".into(),
        });
        self.cut_note(page, "role_assignment_changes");
        page.close();
    }

    fn groups(&self, page: &mut Page) {
        page.body.push_str("<div class=\"pair\">");
        page.open(
            "deletions",
            "Deletions by resource type",
            &[(grouped(self.deletions_by_resource_type.iter().map(|group| group.counts.operations).sum()), Tone::Plain)],
            "",
        );
        group_table(page, &self.deletions_by_resource_type, "resource type", true);
        page.close();
        page.open(
            "failures",
            "Failed operations by type",
            &[(grouped(self.totals.counts.failed), if self.totals.counts.failed > 0 { Tone::Bad } else { Tone::Plain })],
            "",
        );
        group_table(page, &self.failed_by_type, "operation", false);
        page.close();
        page.body.push_str("</div>\n");
    }

    fn callers(&self, page: &mut Page) {
        page.open("callers", "Callers", &[(format!("{} in all", grouped(self.totals.unique_callers)), Tone::Plain)], "");
        if self.callers.is_empty() {
            page.empty("No operation names its caller.");
            return page.close();
        }
        let rows = self.callers.iter().map(|group| Row {
            tag: String::new(),
            cells: vec![
                Cell::text(&group.name),
                Cell::number(group.counts.operations),
                Cell::share(group.counts.succeeded, group.counts.operations, Tone::Good),
                Cell::number(group.counts.failed),
                Cell::number(group.counts.denied),
            ],
        });
        page.table(&Table {
            columns: vec![("caller", false), ("operations", true), ("succeeded", true), ("failed", true), ("denied", true)],
            rows: rows.collect(),
            placeholder: "Filter callers".into(),
            ..Table::default()
        });
        if self.totals.unique_callers > self.callers.len() as u64 {
            page.body.push_str(&format!("<p class=\"note\">The {} busiest are shown.</p>", self.callers.len()));
        }
        page.close();
    }

    /// What the figures do not count.
    fn left_out(&self, page: &mut Page) {
        let totals = &self.totals;
        let parts: Vec<String> = [
            ("events outside the period", totals.outside_period),
            ("events about traffic", totals.traffic),
            ("records rejected", totals.rejected),
            ("records skipped", totals.skipped),
            ("events with an unreadable time", totals.unreadable),
        ]
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{} {name}", grouped(*count)))
        .collect();
        if !parts.is_empty() {
            page.body.push_str(&format!("<p class=\"note\">Not counted above: {}.</p>", parts.join(", ")));
        }
    }

    fn cut_note(&self, page: &mut Page, list: &str) {
        if let Some(count) = self.cut.get(list) {
            page.body.push_str(&format!("<p class=\"note\">The list ends here; there are {} in all.</p>", grouped(*count)));
        }
    }
}

fn group_table(page: &mut Page, groups: &[Group], name: &'static str, with_all: bool) {
    if groups.is_empty() {
        return page.empty("None in this period.");
    }
    let rows = groups.iter().map(|group| {
        let counts = &group.counts;
        let numbers = if with_all { [counts.operations, counts.failed] } else { [counts.failed, counts.denied] };
        Row {
            tag: String::new(),
            cells: [vec![Cell::code(unknown(&group.name))], numbers.map(Cell::number).into()].into_iter().flatten().collect(),
        }
    });
    let columns = if with_all { [("operations", true), ("failed", true)] } else { [("failed", true), ("denied", true)] };
    page.table(&Table {
        columns: [vec![(name, false)], columns.to_vec()].concat(),
        rows: rows.collect(),
        placeholder: format!("Filter by {name}"),
        ..Table::default()
    });
}
