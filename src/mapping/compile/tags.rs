//! `[tags]`: lists of operations become groups, and all that the lines of a group can come to is put together here, finished JSON included.

use super::Compiler;
use super::rows::{self, Built, CheckedRow};
use super::target::Target;
use super::value::Kind;
use crate::mapping::convert::compile_lookup;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::table::{Element, LookupKey, LookupTable, Root};
use crate::mapping::tags::{Pattern, Status, TagLine, Tags};
use crate::plan::json_string;
use crate::plan::tags::{self as plan, Choice, Ending, Group, Pieces, SEVERITIES, TagSet};

/// Fields whose value tags ask for, written or not.
pub(super) const ASKED: [&str; 2] = ["security_result.action", "security_result.severity"];

impl Compiler<'_> {
    /// Whether the tags of this mapping write results.
    pub(super) fn has_tag_results(&self) -> bool {
        self.table.tags.is_some() && !self.omits("security_result")
    }

    /// Whether a site leaves a field out.
    pub(super) fn omits(&self, path: &str) -> bool {
        self.options.omit.iter().any(|omit| path == omit || path.strip_prefix(omit.as_str()).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Compiles `[tags]`; faults are left in `found`.
    pub(super) fn tags(&mut self, checked: &[CheckedRow<'_>], built: &Built) -> Option<plan::Tags> {
        let table = self.table.tags.as_ref()?;
        let action_rows = writers(checked, built, ASKED[0]);
        self.check_tags(table, action_rows.is_empty());
        let mut tags = plan::Tags {
            operation: Some(self.sources.read(&table.operation)),
            detail: table.detail.as_ref().map(|path| self.sources.read(path)),
            severity_rows: writers(checked, built, ASKED[1]).into(),
            action_rows: action_rows.into(),
            omits_action: self.omits(ASKED[0]),
            omits_severity: self.omits(ASKED[1]),
            list_bit: self.bits.number("l:security_result"),
            sets: vec![[].into()],
            ..plan::Tags::default()
        };
        tags.lines = table.lines.iter().map(|line| self.tag_line(line)).collect();
        let of =
            |pattern: &dyn Fn(&TagLine) -> bool| -> Vec<usize> { (0..table.lines.len()).filter(|at| pattern(&table.lines[*at])).collect() };
        let everywhere = of(&|line| line.pattern == Pattern::Every);
        let mut groups = LookupTable::default();
        let mut seen: Vec<&str> = Vec::new();
        for line in &table.lines {
            if seen.contains(&line.operation.as_str()) {
                continue;
            }
            seen.push(&line.operation);
            let key = match &line.pattern {
                Pattern::Exact(text) => Some((LookupKey::Exact(text.clone()), u32::MAX)),
                Pattern::Prefix(text) => Some((LookupKey::Prefix(text.clone()), text.len() as u32)),
                Pattern::Suffix(text) => Some((LookupKey::Suffix(text.clone()), text.len() as u32)),
                Pattern::Every | Pattern::Pieces(_) => None,
            };
            let own = of(&|other| other.operation == line.operation && other.pattern != Pattern::Every);
            let group = Group { choices: choices(table, &own, &everywhere, &mut tags.sets).into() };
            match (key, &line.pattern) {
                (Some((key, weight)), _) => {
                    groups.rows.push((key, Vec::new()));
                    tags.keyed.push((weight, group));
                }
                (None, Pattern::Pieces(pieces)) => {
                    let pieces: Pieces = pieces.iter().map(|piece| piece.as_bytes().into()).collect();
                    tags.patterns.push((pieces.iter().map(|piece| piece.len() as u32).sum(), pieces, group));
                }
                (None, _) => tags.every = Some(group),
            }
        }
        // The pattern that says most is tried first.
        tags.patterns.sort_by_key(|(weight, ..)| std::cmp::Reverse(*weight));
        tags.keys = compile_lookup(&groups);
        Some(tags)
    }

    /// Lines that no record of this mapping can meet.
    fn check_tags(&mut self, table: &Tags, has_no_action: bool) {
        if let Some(line) = table.lines.iter().find(|line| has_no_action && line.status != Status::Always) {
            let message = "the line waits for the end of an operation, and no row of the mapping tells one";
            let place = self.place(table.operation.span);
            self.found.push(
                Diagnostic::error("M066", line.span, message)
                    .note(format!("the mapping's `[tags]` stand on {place}"))
                    .help("write `security_result.action[]` in the mapping, or give the line the status `always`"),
            );
        }
        let words = table.detail.as_ref().map(|path| match path.root {
            Root::Value(at) => self.value_kinds.get(at).cloned().unwrap_or(Kind::Any),
            _ => Kind::Any,
        });
        for line in &table.lines {
            let Some(detail) = &line.detail else { continue };
            let fault = match &words {
                None => Diagnostic::error("M066", line.span, "the line asks for a detail, and the mapping's `[tags]` name none"),
                Some(Kind::Words(words)) if !words.iter().any(|word| word.eq_ignore_ascii_case(detail)) => {
                    let fault = Diagnostic::error("M066", line.span, format!("the mapping never gives `{detail}` as a detail"));
                    fault.suggest(detail, words.iter().map(String::as_str))
                }
                Some(_) => continue,
            };
            let at = self.place(table.operation.span);
            self.found.push(fault.note(format!("the mapping's `[tags]` stand on {at}")));
        }
    }

    fn tag_line(&self, line: &TagLine) -> plan::TagLine {
        let (file, number) = (self.places)(line.span);
        let mut head = b"{".to_vec();
        if let Some(category) = line.category.as_ref().filter(|_| !self.omits("security_result.category")) {
            list(&mut head, "category", category);
        }
        if let Some(class) = line.class.as_ref().filter(|_| !self.omits("security_result.category_details")) {
            list(&mut head, "categoryDetails", class);
        }
        if !self.omits("security_result.detection_fields") {
            head.extend_from_slice(b"\"detectionFields\":[{\"key\":\"tag\",\"value\":");
            json_string(line.name.as_bytes(), &mut head);
            head.extend_from_slice(b"}],");
        }
        if !self.omits("security_result.summary") {
            member(&mut head, "summary", &line.summary);
        }
        let mut tail = Vec::new();
        if !line.techniques.is_empty() && !self.omits("security_result.attack_details") {
            attack_details(line, &mut tail);
        }
        plan::TagLine {
            name: line.name.clone(),
            operation: line.operation.clone(),
            status: line.status.word().to_owned(),
            detail: line.detail.clone().unwrap_or_default(),
            file,
            line: number,
            severity: SEVERITIES.iter().position(|word| *word == line.severity).unwrap_or(0) as u8,
            head: head.into(),
            tail: tail.into(),
        }
    }
}

/// The rows that fill a field of the first result, in the order in which the first with a value counts.
fn writers(checked: &[CheckedRow<'_>], built: &Built, path: &str) -> Vec<u32> {
    let is_first = |target: &Target| target.steps.first().is_some_and(|step| step.element == Some(Element::Named(String::new())));
    let writes = |row: &CheckedRow<'_>| row.targets.iter().any(|target| target.generic == path && is_first(target)) && !row.zero;
    let mut found: Vec<(bool, u32)> = Vec::new();
    for (at, row) in checked.iter().enumerate().filter(|(_, row)| writes(row)) {
        match row.group {
            rows::Group::Element(_) => {}
            group => found.push((!matches!(group, rows::Group::With(_)), built.numbers[at])),
        }
    }
    // A `with` row comes first, as in the output.
    found.sort_by_key(|(plain, _)| *plain);
    found.into_iter().map(|(_, number)| number).collect()
}

/// What the lines of one group, and those for every operation, come to under each ending and detail.
fn choices(table: &Tags, own: &[usize], everywhere: &[usize], sets: &mut Vec<Box<[u32]>>) -> Vec<Choice> {
    let mut details: Vec<Option<&String>> = Vec::new();
    for at in own.iter().chain(everywhere) {
        let detail = table.lines[*at].detail.as_ref();
        if detail.is_some() && !details.contains(&detail) {
            details.push(detail);
        }
    }
    details.push(None);
    let mut found = Vec::new();
    for detail in details {
        for ending in Ending::ALL {
            let lines = [best(table, own, ending, detail), best(table, everywhere, ending, detail)];
            let lines: Box<[u32]> = lines.into_iter().flatten().filter(|at| !table.lines[*at].is_off).map(|at| at as u32).collect();
            let set = sets.iter().position(|known| *known == lines).unwrap_or_else(|| {
                sets.push(lines);
                sets.len() - 1
            });
            found.push(Choice { ending, detail: detail.map(|text| text.as_bytes().into()), set: TagSet(set as u32) });
        }
    }
    found
}

/// The line that fits best: one that asks for the detail before one that does not, then one that names the status.
fn best(table: &Tags, among: &[usize], ending: Ending, detail: Option<&String>) -> Option<usize> {
    let fits = |line: &TagLine| {
        let status = match line.status {
            Status::Ended => ending != Ending::Open,
            Status::Success => ending == Ending::Success,
            Status::Failure => matches!(ending, Ending::Failure | Ending::Denied),
            Status::Denied => ending == Ending::Denied,
            Status::Always => true,
        };
        status && (line.detail.is_none() || line.detail.as_ref() == detail)
    };
    let rank = |line: &TagLine| {
        let named = match line.status {
            Status::Denied => 0,
            Status::Success | Status::Failure => 1,
            Status::Ended => 2,
            Status::Always => 3,
        };
        (line.detail.is_none(), named)
    };
    among.iter().copied().filter(|at| fits(&table.lines[*at])).min_by_key(|at| rank(&table.lines[*at]))
}

fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    json_string(name.as_bytes(), out);
    out.push(b':');
    json_string(text.as_bytes(), out);
    out.push(b',');
}

fn list(out: &mut Vec<u8>, name: &str, text: &str) {
    json_string(name.as_bytes(), out);
    out.extend_from_slice(b":[");
    json_string(text.as_bytes(), out);
    out.extend_from_slice(b"],");
}

/// `attackDetails` with the versions of all frameworks it draws on, each tactic and technique once.
fn attack_details(line: &TagLine, out: &mut Vec<u8>) {
    let mut versions: Vec<String> = Vec::new();
    let (mut tactics, mut techniques): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let object = |members: &[(&str, &str)]| {
        let mut text = b"{".to_vec();
        members.iter().for_each(|(name, value)| member(&mut text, name, value));
        text.pop();
        text.extend_from_slice(b"},");
        text
    };
    let add = |list: &mut Vec<Vec<u8>>, one: Vec<u8>| {
        if !list.contains(&one) {
            list.push(one);
        }
    };
    for technique in &line.techniques {
        let version = format!("{} {}", technique.framework, technique.version);
        if !versions.contains(&version) {
            versions.push(version);
        }
        add(&mut tactics, object(&[("id", &technique.tactic.0), ("name", &technique.tactic.1)]));
        let mut members = vec![("id", technique.id.as_str()), ("name", technique.name.as_str())];
        if let Some((id, name)) = &technique.sub {
            members.extend([("subtechniqueId", id.as_str()), ("subtechniqueName", name.as_str())]);
        }
        add(&mut techniques, object(&members));
    }
    out.extend_from_slice(b"\"attackDetails\":{");
    member(out, "version", &versions.join("; "));
    for (name, list) in [("tactics", tactics), ("techniques", techniques)] {
        json_string(name.as_bytes(), out);
        out.extend_from_slice(b":[");
        list.iter().for_each(|one| out.extend_from_slice(one));
        out.pop();
        out.extend_from_slice(b"],");
    }
    out.pop();
    out.extend_from_slice(b"},");
}
