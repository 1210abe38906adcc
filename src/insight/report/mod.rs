//! The compliance report: what was done in a period, by whom, with which outcome, and what of it an auditor wants to see one by one.
//!
//! Made from UDM events alone, so that it is the same from raw records (through the engine) and from events that were written before. An
//! operation is counted once, however many records tell of it: records with one correlation id, operation and resource are one operation,
//! and its status is that of the latest record that tells how it ended.

mod event;
mod page;
mod text;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use event::Facts;
pub use event::{Area, Status, is_event};

/// Lines of each list in the report; the counts beside them are of everything.
const LISTED: usize = 5_000;
/// Callers in the list of the busiest.
const CALLERS: usize = 50;
/// Columns of the time line.
const COLUMNS: i64 = 72;

/// Texts by number: each is held once.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}

/// One operation; texts are numbers of [`Names`].
struct Operation {
    time: Timestamp,
    /// When its status was told.
    ended: Option<Timestamp>,
    status: Status,
    events: u32,
    is_deletion: bool,
    area: Option<Area>,
    operation: u32,
    category: u32,
    caller: u32,
    address: u32,
    resource: u32,
    resource_type: u32,
    role: u32,
    grantee: u32,
    scope: u32,
    /// Tag, severity, summary.
    tags: Vec<(u32, u32, u32)>,
}

/// Gathers events.
pub struct Collector {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    names: Names,
    operations: Vec<Operation>,
    by_key: HashMap<(u32, u32, u32), usize>,
    events: u64,
    outside: u64,
    traffic: u64,
    unreadable: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Records that gave no event: rejected and skipped by the engine.
    pub rejected: u64,
    /// See [`Collector::rejected`].
    pub skipped: u64,
}

/// Counts of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub operations: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed or denied.
    pub failed: u64,
    /// Of the failed: refused by an access decision or a policy.
    pub denied: u64,
    /// No record tells how they ended.
    pub without_outcome: u64,
}

impl Counts {
    fn add(&mut self, status: Status) {
        self.operations += 1;
        match status {
            Status::Succeeded => self.succeeded += 1,
            Status::Failed => self.failed += 1,
            Status::Denied => {
                self.failed += 1;
                self.denied += 1;
            }
            Status::Open => self.without_outcome += 1,
        }
    }
}

/// A name and the counts of its operations.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// A category, a resource type, an operation, a caller.
    pub name: String,
    /// Its operations.
    #[serde(flatten)]
    pub counts: Counts,
}

/// One operation that is listed.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// When it was first told of.
    pub time: String,
    /// Who; empty when unknown.
    pub who: String,
    /// From which address.
    pub address: String,
    /// The operation.
    pub operation: String,
    /// How it ended.
    pub status: &'static str,
    /// On what.
    pub resource: String,
    /// Of a role assignment: the role.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Of a role assignment: who got or lost the role.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// Of a role assignment: where the role holds.
    #[serde(rename = "where", skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Its security tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The highest severity of its tags.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub severity: String,
}

/// One security tag.
#[derive(Clone, Debug, Serialize)]
pub struct TagGroup {
    /// `role_assignment_write`
    pub tag: String,
    /// `HIGH`
    pub severity: String,
    /// What it says to people.
    pub summary: String,
    /// Its operations.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The period and what was seen in it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Period {
    /// `--from`, included.
    pub from: Option<String>,
    /// `--to`, not included.
    pub to: Option<String>,
    /// The earliest event in it.
    pub first: Option<String>,
    /// The latest.
    pub last: Option<String>,
}

/// Everything in numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Events in the period that tell of operations.
    pub events: u64,
    /// Operations and their outcomes.
    #[serde(flatten)]
    pub counts: Counts,
    /// Different callers; operations without one count for none.
    pub unique_callers: u64,
    /// Operations without a caller.
    pub without_caller: u64,
    /// Events about traffic, which are no operations.
    pub traffic: u64,
    /// Events outside the period.
    pub outside_period: u64,
    /// Records that the engine rejected.
    pub rejected: u64,
    /// Records that the engine skipped, or messages without one.
    pub skipped: u64,
    /// Events whose time could not be read.
    pub unreadable: u64,
}

/// A column of the time line.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// When it begins.
    pub from: String,
    /// Its operations.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was read.
    pub inputs: Vec<String>,
    /// When.
    pub period: Period,
    /// In numbers.
    pub totals: Totals,
    /// By category, the largest first.
    pub by_category: Vec<Group>,
    /// By area.
    pub security_events: BTreeMap<&'static str, Counts>,
    /// Deletions by resource type, the most first.
    pub deletions_by_resource_type: Vec<Group>,
    /// Operations that failed, the most failures first.
    pub failed_by_type: Vec<Group>,
    /// Role-assignment changes, the earliest first.
    pub role_assignment_changes: Vec<Listed>,
    /// Security tags.
    pub high_risk_by_tag: Vec<TagGroup>,
    /// Operations with a security tag of severity MEDIUM or above, the gravest first.
    pub high_risk_operations: Vec<Listed>,
    /// The busiest callers.
    pub callers: Vec<Group>,
    /// Operations over time.
    pub timeline: Vec<Column>,
    /// Lists above that were cut, with what they would hold in full.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<&'static str, u64>,
}

/// UDM's severities from the gravest down.
const SEVERITIES: [&str; 6] = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "NONE"];

fn rank(severity: &str) -> usize {
    SEVERITIES.iter().position(|known| *known == severity).unwrap_or(SEVERITIES.len())
}

impl Collector {
    /// Nothing gathered yet. `from` is included, `to` is not.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Collector {
        let mut names = Names::default();
        // Number 0 is "nothing".
        names.number("");
        Collector {
            from,
            to,
            names,
            operations: Vec::new(),
            by_key: HashMap::new(),
            events: 0,
            outside: 0,
            traffic: 0,
            unreadable: 0,
            first: None,
            last: None,
            rejected: 0,
            skipped: 0,
        }
    }

    /// Adds one UDM event.
    pub fn add(&mut self, event: &Value) {
        let Some(facts) = Facts::of(event) else {
            self.unreadable += 1;
            return;
        };
        if self.from.is_some_and(|from| facts.time < from) || self.to.is_some_and(|to| facts.time >= to) {
            self.outside += 1;
            return;
        }
        if facts.is_traffic() {
            self.traffic += 1;
            return;
        }
        self.events += 1;
        self.first = Some(self.first.map_or(facts.time, |first| first.min(facts.time)));
        self.last = Some(self.last.map_or(facts.time, |last| last.max(facts.time)));
        let names = &mut self.names;
        let operation = names.number(&facts.operation);
        let resource = names.number(&facts.resource.to_ascii_lowercase());
        let key = (names.number(facts.correlation), operation, resource);
        // An event that nothing identifies is an operation of its own.
        let known = if key.0 == 0 { None } else { self.by_key.get(&key).copied() };
        let at = known.unwrap_or_else(|| {
            self.by_key.insert(key, self.operations.len());
            self.operations.push(Operation {
                time: facts.time,
                ended: None,
                status: Status::Open,
                events: 0,
                is_deletion: facts.is_deletion(),
                area: Area::of(&facts.operation, &facts.resource_type),
                operation,
                category: 0,
                caller: 0,
                address: 0,
                resource,
                resource_type: 0,
                role: 0,
                grantee: 0,
                scope: 0,
                tags: Vec::new(),
            });
            self.operations.len() - 1
        });
        let found = &mut self.operations[at];
        found.events += 1;
        found.time = found.time.min(facts.time);
        found.is_deletion |= facts.is_deletion();
        if facts.status != Status::Open {
            // Of two ends at one time the worse one counts.
            let is_later = found.ended.is_none_or(|ended| (facts.time, facts.status) > (ended, found.status));
            if is_later {
                (found.ended, found.status) = (Some(facts.time), facts.status);
            }
        }
        for (place, text) in [
            (&mut found.category, facts.category),
            (&mut found.caller, &facts.caller),
            (&mut found.address, facts.address),
            (&mut found.resource_type, &facts.resource_type),
            (&mut found.role, facts.role),
            (&mut found.grantee, facts.grantee),
            (&mut found.scope, facts.scope),
        ] {
            // What a start does not tell yet, the end may.
            if *place == 0 && !text.is_empty() {
                *place = names.number(text);
            }
        }
        for tag in &facts.tags {
            let tag = (names.number(tag.name), names.number(tag.severity), names.number(tag.summary));
            if !found.tags.iter().any(|(name, _, _)| *name == tag.0) {
                found.tags.push(tag);
            }
        }
    }

    /// The report over everything gathered.
    pub fn report(self, inputs: Vec<String>) -> Report {
        let names = &self.names;
        let mut totals = Totals {
            events: self.events,
            traffic: self.traffic,
            outside_period: self.outside,
            rejected: self.rejected,
            skipped: self.skipped,
            unreadable: self.unreadable,
            ..Totals::default()
        };
        let mut categories: HashMap<u32, Counts> = HashMap::new();
        let mut areas: BTreeMap<&'static str, Counts> = Area::ALL.iter().map(|area| (area.key(), Counts::default())).collect();
        let mut deletions: HashMap<u32, Counts> = HashMap::new();
        let mut types: HashMap<u32, Counts> = HashMap::new();
        let mut callers: HashMap<u32, Counts> = HashMap::new();
        let mut tags: HashMap<u32, TagGroup> = HashMap::new();
        let (mut roles, mut risky): (Vec<&Operation>, Vec<&Operation>) = (Vec::new(), Vec::new());
        for one in &self.operations {
            totals.counts.add(one.status);
            categories.entry(one.category).or_default().add(one.status);
            types.entry(one.operation).or_default().add(one.status);
            if one.caller == 0 {
                totals.without_caller += 1;
            } else {
                callers.entry(one.caller).or_default().add(one.status);
            }
            if let Some(area) = one.area {
                areas.entry(area.key()).or_default().add(one.status);
            }
            if one.is_deletion {
                deletions.entry(one.resource_type).or_default().add(one.status);
            }
            if one.area == Some(Area::RoleAssignments) && is_change(names.text(one.operation)) {
                roles.push(one);
            }
            for (name, severity, summary) in &one.tags {
                let text = |number: &u32| names.text(*number).to_owned();
                let group = tags.entry(*name).or_insert_with(|| TagGroup {
                    tag: text(name),
                    severity: text(severity),
                    summary: text(summary),
                    counts: Counts::default(),
                });
                // A site may rate one operation higher than another under one tag.
                if rank(names.text(*severity)) < rank(&group.severity) {
                    group.severity = text(severity);
                }
                group.counts.add(one.status);
            }
            if self.severity(one) <= rank("MEDIUM") {
                risky.push(one);
            }
        }
        totals.unique_callers = callers.len() as u64;
        let groups = |counts: HashMap<u32, Counts>, by: fn(&Counts) -> u64| -> Vec<Group> {
            let mut groups: Vec<Group> =
                counts.into_iter().map(|(name, counts)| Group { name: names.text(name).to_owned(), counts }).collect();
            groups.retain(|group| by(&group.counts) > 0);
            groups.sort_by(|a, b| (by(&b.counts), &a.name).cmp(&(by(&a.counts), &b.name)));
            groups
        };
        let mut callers = groups(callers, |counts| counts.operations);
        callers.truncate(CALLERS);
        let mut high_risk_by_tag: Vec<TagGroup> = tags.into_values().collect();
        high_risk_by_tag.sort_by(|a, b| {
            (rank(&a.severity), std::cmp::Reverse(a.counts.operations), &a.tag).cmp(&(
                rank(&b.severity),
                std::cmp::Reverse(b.counts.operations),
                &b.tag,
            ))
        });
        roles.sort_by_key(|one| one.time);
        risky.sort_by_key(|one| (self.severity(one), one.time));
        let mut cut = BTreeMap::new();
        for (name, list) in [("role_assignment_changes", &mut roles), ("high_risk_operations", &mut risky)] {
            if list.len() > LISTED {
                cut.insert(name, list.len() as u64);
                list.truncate(LISTED);
            }
        }
        Report {
            inputs,
            period: Period {
                from: self.from.map(|time| time.to_string()),
                to: self.to.map(|time| time.to_string()),
                first: self.first.map(|time| time.to_string()),
                last: self.last.map(|time| time.to_string()),
            },
            totals,
            by_category: groups(categories, |counts| counts.operations),
            security_events: areas,
            deletions_by_resource_type: groups(deletions, |counts| counts.operations),
            failed_by_type: groups(types, |counts| counts.failed),
            role_assignment_changes: roles.into_iter().map(|one| self.listed(one)).collect(),
            high_risk_by_tag,
            high_risk_operations: risky.into_iter().map(|one| self.listed(one)).collect(),
            callers,
            timeline: self.timeline(),
            cut,
        }
    }

    /// The rank of an operation's gravest tag.
    fn severity(&self, one: &Operation) -> usize {
        one.tags.iter().map(|(_, severity, _)| rank(self.names.text(*severity))).min().unwrap_or(usize::MAX)
    }

    fn listed(&self, one: &Operation) -> Listed {
        let text = |number: u32| self.names.text(number).to_owned();
        let is_role = one.area == Some(Area::RoleAssignments);
        let of_role = |number: u32| if is_role { text(number) } else { String::new() };
        Listed {
            time: one.time.to_string(),
            who: text(one.caller),
            address: text(one.address),
            operation: text(one.operation),
            status: one.status.name(),
            resource: text(one.resource),
            role: of_role(one.role),
            principal: of_role(one.grantee),
            scope: of_role(one.scope),
            tags: one.tags.iter().map(|(name, _, _)| text(*name)).collect(),
            severity: SEVERITIES.get(self.severity(one)).map_or_else(String::new, |severity| (*severity).to_owned()),
        }
    }

    /// Columns of equal length between the first and the last event: hours, days, weeks or months of 30 days.
    fn timeline(&self) -> Vec<Column> {
        let (Some(first), Some(last)) = (self.first, self.last) else { return Vec::new() };
        const HOUR: i64 = 3_600;
        let span = last.as_second() - first.as_second();
        let steps = [HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR, 90 * 24 * HOUR, 365 * 24 * HOUR];
        let step = steps.into_iter().find(|step| span / step < COLUMNS).unwrap_or(span / COLUMNS + 1);
        let begin = first.as_second().div_euclid(step) * step;
        let count = ((last.as_second() - begin) / step + 1) as usize;
        let mut columns = vec![Counts::default(); count];
        for one in &self.operations {
            if let Some(column) = columns.get_mut(((one.time.as_second() - begin) / step) as usize) {
                column.add(one.status);
            }
        }
        let from = |at: usize| Timestamp::from_second(begin + at as i64 * step).map_or_else(|_| String::new(), |time| time.to_string());
        columns.into_iter().enumerate().map(|(at, counts)| Column { from: from(at), counts }).collect()
    }
}

/// Reads of role assignments change nothing.
fn is_change(operation: &str) -> bool {
    !operation.ends_with("/read")
}

impl Report {
    /// The report as JSON, indented.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
