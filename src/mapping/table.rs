//! A mapping after reading: every layer merged, every word resolved to data, nothing yet compiled.
//!
//! The reader (`read.rs`, `layers.rs`) makes it from TOML and reports what is wrong with the text; the compiler (`compile.rs`) makes a
//! [`Plan`](crate::plan::Plan) from it and reports what is wrong with the meaning. Each part knows its [`Span`] for both.

pub use crate::plan::Unmapped;
use std::sync::Arc;

/// Where something stands: the file's index in the set of [`Files`](super::diagnostic::Files) and a half-open range of byte offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Index of the file.
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// One mapping under one profile.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// `openai/audit`: the path below `mappings/` without its ending.
    pub name: String,
    /// `None` for the mapping without a profile section applied.
    pub profile: Option<String>,
    /// `[mapping] log_type`.
    pub log_type: String,
    /// `[mapping] version`.
    pub version: u32,
    /// `[mapping] docs`.
    pub docs: Vec<String>,
    /// `[mapping] id`: fields unique a record, first present wins.
    pub id: Vec<SourcePath>,
    /// `[mapping] unmapped`.
    pub unmapped: Unmapped,
    /// `[match] any`.
    pub matches: Vec<Match>,
    /// `[values]`, in order; a value may use those before it.
    pub values: Vec<NamedValue>,
    /// `[[each]]`, parents before children.
    pub each: Vec<Each>,
    /// `[[skip]]`.
    pub skips: Vec<Skip>,
    /// `[fields] rows` of all layers, in order.
    pub rows: Vec<Row>,
    /// `[with.NAME] rows`.
    pub with: Vec<(String, Vec<Row>)>,
    /// `[event_type] rules`, top layer first; a rule knows its layer for `else = ["base"]`.
    pub rules: Vec<Rule>,
    /// `[fields] drop`.
    pub drop: Vec<SourcePath>,
    /// `[lookup.NAME]`, by name.
    pub lookups: Vec<Arc<LookupTable>>,
    /// `[tags]` with at least one line.
    pub tags: Option<super::tags::Tags>,
    /// The site's filters and the alternatives of its outputs that ask about this mapping.
    pub choices: Vec<super::choice::Choice>,
}

/// One entry of `[match] any`. `provider` and `category` are lower case; `None` matches all.
#[derive(Clone, Debug)]
pub struct Match {
    /// One of `classify`'s shapes: `openai_audit`, `activity`, `activity_rest`, `azure`, `log_analytics`, `unknown`.
    pub shape: String,
    /// ARM provider and types, `microsoft.keyvault/vaults`, whole.
    pub provider: Option<String>,
    /// Category, or the table name of a Log Analytics row.
    pub category: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// One line of `[values]`.
#[derive(Clone, Debug)]
pub struct NamedValue {
    /// The name without `$`.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Converters in order.
    pub chain: Vec<Call>,
    /// `default`.
    pub default: Option<Constant>,
    /// `when`.
    pub when: Option<Condition>,
    /// Where it stands.
    pub span: Span,
}

/// One `[[each]]`.
#[derive(Clone, Debug)]
pub struct Each {
    /// Name of its elements.
    pub name: String,
    /// The list; its first segment may name another `each`.
    pub from: SourcePath,
    /// `emit = "events"`: one part per element. `false`: elements only.
    pub emits_events: bool,
    /// `split`: separator and the column lists, chosen by the number of columns.
    pub split: Option<(u8, Vec<Vec<String>>)>,
    /// `when`: elements that do not meet it are passed over and counted.
    pub when: Option<Condition>,
    /// Where it stands.
    pub span: Span,
}

/// One `[[skip]]`.
#[derive(Clone, Debug)]
pub struct Skip {
    /// Which parts.
    pub when: Condition,
    /// A word of `[a-z_]+`.
    pub reason: String,
    /// Where it stands.
    pub span: Span,
}

/// One line of `rows`.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where the value comes from.
    pub source: Source,
    /// Converters in order.
    pub chain: Vec<Call>,
    /// Where it goes.
    pub targets: Vec<TargetPath>,
    /// `when`.
    pub when: Option<Condition>,
    /// `default`.
    pub default: Option<Constant>,
    /// `fallback = true`.
    pub fallback: bool,
    /// Where it stands.
    pub span: Span,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `from`: the first present one that converts.
    From(Vec<SourcePath>),
    /// `value`.
    Value(Constant),
    /// `template`: alternating text and holes.
    Template(Vec<TemplatePart>),
    /// `sum`.
    Sum(Vec<SourcePath>),
    /// `difference`: the first minus the second.
    Difference(SourcePath, SourcePath),
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub enum TemplatePart {
    /// Literal text.
    Text(String),
    /// `{source path}`.
    Hole(SourcePath),
}

/// A constant of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// A source path as steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourcePath {
    /// Where it starts.
    pub root: Root,
    /// What follows.
    pub steps: Vec<Step>,
    /// As written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Where a source path starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// The record.
    Record,
    /// `$payload`.
    Payload,
    /// `$received`.
    Received,
    /// `$name`: index into [`Table::values`].
    Value(usize),
    /// An element of an `each`: index into [`Table::each`].
    Each(usize),
}

/// One step of a source path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `.name`
    Member(String),
    /// `[n]`
    Index(u32),
    /// `[n..]`
    From(u32),
    /// `[*]`
    Each,
    /// `[name=text]`: the first element whose member says that; `[name=*]`: every element, what its member says is the key.
    Where(String, Option<String>),
    /// `.*`
    Members,
    /// `.**`
    Leaves,
    /// `>json`
    Json,
    /// `.$index`, of an `each` element only.
    ElementIndex,
}

/// A target path as written; the compiler resolves it against the schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetPath {
    /// Segments from the UDM root.
    pub segments: Vec<Segment>,
    /// `{key}`; `Some("*")` takes the wildcard's key.
    pub key: Option<String>,
    /// Ends in `[]`.
    pub appends: bool,
    /// As written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// One segment of a target path: a field and, in brackets, which element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// snake_case field name.
    pub field: String,
    /// `None`: the first element of a repeated message, or a single message.
    pub element: Option<Element>,
}

/// Which element of a repeated message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// `[name]`
    Named(String),
    /// `[each name]`: index into [`Table::each`].
    Each(usize),
}

/// One converter call: `"lower"`, or `{ lookup = "outcome", column = "action" }`, whose first key is the name.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the converter.
    pub name: String,
    /// What stands beside the name: `""` is the argument written as the value of the name itself.
    pub args: Vec<(String, Constant)>,
    /// Where it stands.
    pub span: Span,
}

/// A condition. Texts are lower case.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All must hold.
    All(Vec<Condition>),
    /// One must hold.
    Any(Vec<Condition>),
    /// Must not hold.
    Not(Box<Condition>),
    /// `record_has`, one path.
    RecordHas(SourcePath),
    /// Every `record_*` comparison of one path.
    Record(SourcePath, Test),
    /// `event_has`, one path.
    EventHas(TargetPath),
}

impl Condition {
    /// Calls `visit` with every source path the condition looks at.
    pub fn visit_sources<'a>(&'a self, visit: &mut dyn FnMut(&'a SourcePath)) {
        match self {
            Condition::All(list) | Condition::Any(list) => list.iter().for_each(|one| one.visit_sources(visit)),
            Condition::Not(one) => one.visit_sources(visit),
            Condition::RecordHas(path) | Condition::Record(path, _) => visit(path),
            Condition::EventHas(_) => {}
        }
    }
}

/// A comparison of one value.
#[derive(Clone, Debug)]
pub enum Test {
    /// Equal to one of the texts.
    In(Vec<String>),
    /// Starts with one.
    Prefix(Vec<String>),
    /// Ends with one.
    Suffix(Vec<String>),
    /// Contains one.
    Contains(Vec<String>),
    /// Matches.
    Matches(regex::bytes::Regex),
    /// A number in the closed range.
    Between(f64, f64),
}

/// One line of `[event_type] rules`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The event type.
    pub is: String,
    /// `name`.
    pub name: Option<String>,
    /// `when`; `None` always holds.
    pub when: Option<Condition>,
    /// Indices into [`Table::with`].
    pub with: Vec<usize>,
    /// `needs`.
    pub needs: Vec<TargetPath>,
    /// `else`, in order.
    pub otherwise: Vec<Otherwise>,
    /// `dormant`.
    pub dormant: Option<String>,
    /// Layer it came from: 0 is the lowest.
    pub layer: usize,
    /// Where it stands.
    pub span: Span,
}

/// One entry of `else`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// An event type, under the same `with` rows.
    Type(String),
    /// Another rule: index into [`Table::rules`].
    Rule(usize),
    /// The rules of the layers below, from the top.
    Base,
}

/// `[lookup.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct LookupTable {
    /// Its name.
    pub name: String,
    /// Result columns.
    pub columns: Vec<String>,
    /// Rows in order; every row has a value or `None` per column.
    pub rows: Vec<(LookupKey, Vec<Option<String>>)>,
    /// The row without a key: what every other input gives.
    pub default: Option<Vec<Option<String>>>,
    /// Where it stands.
    pub span: Span,
}

/// Key of a look-up row, lower case. Exact before the longest prefix or suffix before patterns in order.
#[derive(Clone, Debug)]
pub enum LookupKey {
    /// `key`
    Exact(String),
    /// `prefix`
    Prefix(String),
    /// `suffix`
    Suffix(String),
    /// `matches`
    Pattern(regex::bytes::Regex),
}
