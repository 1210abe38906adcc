//! Security tags: which lines of a mapping's tag lists a part matches, and the finished result each adds to its event.
//!
//! A part gets the most specific line of its operation and, beside it, a line for every operation (`*`), when their status and detail
//! are its own. All that a pair of lines can come to is put together when the mapping is compiled, so a part costs one look-up and a
//! few comparisons; a mapping without `[tags]` costs one test.

use super::Plan;
use super::lookup::Lookup;
use super::program::SourceRef;
use super::resolve::Tools;
use super::state::State;
use super::value::{NumberText, Tag, Value};

/// The tags of one event: a number that only the plan which made it can read, with [`Plan::tags`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagSet(pub(crate) u32);

impl TagSet {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// One line of a tag list, ready to be written.
#[derive(Clone, Debug)]
pub struct TagLine {
    /// The tag: small letters, digits and `_`. From a closed list, so it may be a metric label.
    pub name: String,
    /// The operations it stands for, as written.
    pub operation: String,
    /// `success`, `failure`, `denied`, `always`, or empty for any status that ends an operation.
    pub status: String,
    /// The detail that must be there; empty for none.
    pub detail: String,
    /// File name of the list.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Index into [`SEVERITIES`].
    pub(crate) severity: u8,
    /// `{` and the members before `action`, each with its comma.
    pub(crate) head: Box<[u8]>,
    /// The members after `severity`, each with its comma.
    pub(crate) tail: Box<[u8]>,
}

impl TagLine {
    /// The severity it was given, by its list or by the site.
    pub fn severity(&self) -> &'static str {
        SEVERITIES[usize::from(self.severity)]
    }
}

/// Words of UDM enum `SecurityResult.ProductSeverity`, the least first. `ERROR` tells how a source fared, not how bad it is, so every
/// threat level stands above it.
pub(crate) const SEVERITIES: [&str; 8] = ["UNKNOWN_SEVERITY", "NONE", "INFORMATIONAL", "ERROR", "LOW", "MEDIUM", "HIGH", "CRITICAL"];

/// How an operation ended, as the event's own `security_result.action` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    /// It was tried and did not work.
    Failure,
    /// It was not allowed.
    Denied,
    /// Not yet, or nobody knows. A challenge is no end: the caller goes on with a token.
    Open,
}

impl Ending {
    pub(crate) const ALL: [Ending; 4] = [Ending::Success, Ending::Failure, Ending::Denied, Ending::Open];

    /// A word of UDM enum `SecurityResult.Action`.
    fn of(action: &[u8]) -> Ending {
        match action {
            b"ALLOW" | b"ALLOW_WITH_MODIFICATION" => Ending::Success,
            b"FAIL" | b"QUARANTINE" => Ending::Failure,
            b"BLOCK" => Ending::Denied,
            _ => Ending::Open,
        }
    }
}

/// What a group of operations comes to under one ending and detail.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub ending: Ending,
    /// Lower case; `None` fits every part.
    pub detail: Option<Box<[u8]>>,
    pub set: TagSet,
}

/// What stands around and between the `*` of a pattern; lower case, at least two.
pub(crate) type Pieces = Box<[Box<[u8]>]>;

/// Operations that share their lines.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Those with a detail before those without.
    pub choices: Box<[Choice]>,
}

/// The compiled `[tags]` of a mapping.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    pub lines: Vec<TagLine>,
    /// Lines by set; the first set is the empty one.
    pub sets: Vec<Box<[u32]>>,
    pub operation: Option<SourceRef>,
    pub detail: Option<SourceRef>,
    /// From an operation to its number in `keyed`: whole, by its longest beginning or by its longest end.
    pub keys: Lookup,
    /// How many letters the key has, [`u32::MAX`] for a whole operation, and the group.
    pub keyed: Vec<(u32, Group)>,
    /// Patterns with text around the `*`, the one with most letters first.
    pub patterns: Vec<(u32, Pieces, Group)>,
    /// For operations that nothing else fits.
    pub every: Option<Group>,
    /// Rows that write `security_result.action` and `security_result.severity`.
    pub action_rows: Box<[u32]>,
    pub severity_rows: Box<[u32]>,
    /// Whether a site leaves these members of a result out.
    pub omits_action: bool,
    pub omits_severity: bool,
    /// Set when the list of results holds anything.
    pub list_bit: u32,
}

impl Tags {
    /// The group that fits an operation best: the operation itself, else what has most letters, else the one for every operation.
    fn group(&self, operation: &[u8]) -> Option<&Group> {
        let keyed = self.keys.row(operation).map(|at| &self.keyed[at as usize]);
        let weight = keyed.map_or(0, |(weight, _)| *weight);
        let mut better = self.patterns.iter().take_while(|(own, ..)| *own > weight);
        let pattern = better.find(|(_, pieces, _)| is_made_of(operation, pieces)).map(|(.., group)| group);
        pattern.or(keyed.map(|(_, group)| group)).or(self.every.as_ref())
    }
}

/// Whether a text begins with the first piece, ends with the last and has the others between them in order; letters of either case.
fn is_made_of(text: &[u8], pieces: &[Box<[u8]>]) -> bool {
    let [first, middle @ .., last] = pieces else { return false };
    if text.len() < first.len() + last.len() {
        return false;
    }
    let (start, rest) = text.split_at(first.len());
    let (mut rest, end) = rest.split_at(rest.len() - last.len());
    start.eq_ignore_ascii_case(first)
        && end.eq_ignore_ascii_case(last)
        && middle.iter().all(|piece| {
            let found = (0..=rest.len().saturating_sub(piece.len()))
                .find(|at| rest.get(*at..*at + piece.len()).is_some_and(|part| part.eq_ignore_ascii_case(piece)));
            found.is_some_and(|at| {
                rest = &rest[at + piece.len()..];
                true
            })
        })
}

impl Plan {
    /// The lines of a set that this plan gave to a part.
    pub fn tags(&self, set: TagSet) -> impl Iterator<Item = &TagLine> {
        self.tag_numbers(set).iter().filter_map(|line| self.tag_lines().get(*line as usize))
    }

    /// Indices into [`Plan::tag_lines`] of a set that this plan gave to a part.
    pub fn tag_numbers(&self, set: TagSet) -> &[u32] {
        self.tags.as_ref().and_then(|tags| tags.sets.get(set.0 as usize)).map_or(&[], |set| set)
    }

    /// Every line of the mapping's tag lists.
    pub fn tag_lines(&self) -> &[TagLine] {
        self.tags.as_ref().map_or(&[], |tags| &tags.lines)
    }

    /// Finds the tags of the part whose rows are resolved, and marks the list of results as filled when there are any.
    pub(crate) fn find_tags(&self, state: &mut State, tools: &mut Tools<'_>) -> TagSet {
        let Some(tags) = &self.tags else { return TagSet::default() };
        let Some(operation) = &tags.operation else { return TagSet::default() };
        let operation = self.read(state, tools.doc, tools.decoder, operation).value;
        if operation.is_absent() {
            return TagSet::default();
        }
        let mut buffer = NumberText::default();
        let Some(group) = tags.group(operation.shown(&tools.doc.text, &mut buffer)) else { return TagSet::default() };
        let action = self.first(state, &tags.action_rows);
        let ending = Ending::of(action.bytes(&tools.doc.text));
        let detail = match &tags.detail {
            Some(source) if group.choices.iter().any(|choice| choice.detail.is_some()) => {
                self.read(state, tools.doc, tools.decoder, source).value
            }
            _ => Value::ABSENT,
        };
        let detail = detail.bytes(&tools.doc.text);
        let fits =
            |choice: &&Choice| choice.ending == ending && choice.detail.as_ref().is_none_or(|wanted| detail.eq_ignore_ascii_case(wanted));
        let set = group.choices.iter().find(fits).map_or(TagSet::default(), |choice| choice.set);
        if !set.is_empty() {
            state.bits.0[tags.list_bit as usize / 64] |= 1 << (tags.list_bit % 64);
        }
        set
    }

    /// The first value of some rows; of a list its first entry.
    fn first(&self, state: &State, rows: &[u32]) -> Value {
        let filled = rows.iter().find(|row| self.has_value(state, **row));
        let value = filled.map_or(Value::ABSENT, |row| self.cell_of(state, *row, self.rows[*row as usize].slot).value);
        match value.tag {
            Tag::List => state.items.get(value.bits as usize).map_or(Value::ABSENT, |item| item.value),
            _ => value,
        }
    }

    /// Writes a result for each tag, at the end of the list of results. It repeats the event's action, so that one result says both what
    /// happened and how bad it is, and its severity is the line's or the rows' own, whichever is higher.
    pub(crate) fn write_tags(&self, state: &State, text: &[u8], set: TagSet, out: &mut Vec<u8>) {
        let Some(tags) = &self.tags else { return };
        for &line in self.tag_numbers(set) {
            let line = &tags.lines[line as usize];
            out.extend_from_slice(&line.head);
            let action = self.first(state, &tags.action_rows).bytes(text);
            if !action.is_empty() && !tags.omits_action {
                out.extend_from_slice(b"\"action\":[\"");
                // A word of the enum: the compiler has seen every answer.
                out.extend_from_slice(action);
                out.extend_from_slice(b"\"],");
            }
            if !tags.omits_severity {
                let rank = |word: &[u8]| SEVERITIES.iter().position(|known| known.as_bytes() == word).unwrap_or(0);
                let own = rank(self.first(state, &tags.severity_rows).bytes(text));
                out.extend_from_slice(b"\"severity\":\"");
                out.extend_from_slice(SEVERITIES[own.max(usize::from(line.severity))].as_bytes());
                out.extend_from_slice(b"\",");
            }
            out.extend_from_slice(&line.tail);
            if out.last() == Some(&b',') {
                out.pop();
            }
            out.extend_from_slice(b"},");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_order() {
        for (text, pieces, expected) in [
            ("a.b/x/y/write", &["a.b/", "/write"][..], true),
            ("A.B/X/WRITE", &["a.b/", "/write"], true),
            ("a.b/write", &["a.b/", "/write"], false),
            ("a.b/x/write", &["a.b/", "x", "/write"], true),
            ("a.b/y/write", &["a.b/", "x", "/write"], false),
            ("a/b/c", &["", "b", ""], true),
            ("a/c", &["", "b", ""], false),
            ("a-one-two-z", &["a", "one", "two", "z"], true),
            ("a-two-one-z", &["a", "one", "two", "z"], false),
            ("", &["", "", ""], true),
        ] {
            let pieces: Vec<Box<[u8]>> = pieces.iter().map(|piece| piece.as_bytes().into()).collect();
            assert_eq!(is_made_of(text.as_bytes(), &pieces), expected, "{text} {pieces:?}");
        }
    }

    #[test]
    fn every_word_of_action_ends_an_operation_or_leaves_it_open() {
        use crate::udm::Schema;
        let open: Vec<&str> = Schema::get()
            .enum_values("SecurityResult.Action")
            .iter()
            .map(|value| value.name)
            .filter(|name| Ending::of(name.as_bytes()) == Ending::Open)
            .collect();
        assert_eq!(open, ["UNKNOWN_ACTION", "CHALLENGE"]);
    }

    #[test]
    fn severities_are_those_of_udm() {
        use crate::udm::Schema;
        let mut known: Vec<&str> = Schema::get().enum_values("SecurityResult.ProductSeverity").iter().map(|value| value.name).collect();
        let mut ranked = SEVERITIES.to_vec();
        known.sort_unstable();
        ranked.sort_unstable();
        assert_eq!(ranked, known);
    }
}
