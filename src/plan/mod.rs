//! The compiled plan and its executor: what a mapping has become when it runs.
//!
//! A part goes through four phases: *walk* fills the slots of the paths the plan reads, *resolve* turns every row whose condition
//! holds into a cell and sets the bits of its targets, *decide* tests event-type rules on those bits, *write* appends the event once,
//! in UDM order. No tree of values is built, nothing is written twice, and nothing is proportional to the size of the table but a few
//! words of bits.
//!
//! This room knows nothing of TOML (that is `mapping`), of the UDM schema or of any log. It never allocates for a part once warm.

pub(crate) mod choose;
pub(crate) mod columns;
pub mod convert;
mod decide;
pub mod drift;
pub mod enrich;
mod identity;
pub(crate) mod json;
mod leaf_trace;
mod leaves;
pub mod lookup;
pub(crate) mod program;
pub mod redact;
mod resolve;
mod run;
mod shape;
mod sieve;
pub mod site;
pub(crate) mod state;
pub(crate) mod tags;
pub mod time;
mod trace;
pub(crate) mod trie;
pub(crate) mod value;
mod walk;
mod write;

pub use choose::MAX_OUTPUTS;
pub use leaf_trace::LeafTrace;
pub use program::RowInfo;
pub use run::{PartEnd, PartSink, Why};
pub use state::Note;
pub use tags::{TagLine, TagSet};
pub use trace::{FieldTrace, PartTrace, RuleTrace};

pub(crate) use json::{Form, scalar as json_scalar, string as json_string};
pub(crate) use resolve::Tools;
pub(crate) use run::RecordContext;
pub(crate) use shape::next_plan;
pub(crate) use state::{MAX_LABEL_BYTES, State};

use program::{Cond, Need, Out, RowOp, RuleOp, Scope, SkipOp, SourceRef, ValueOp};

/// What happens to leaves that no row read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmapped {
    /// Written to `additional` and counted.
    #[default]
    Keep,
    /// Counted.
    Count,
    /// Nothing.
    Drop,
}

/// One mapping under one profile, ready to run. Immutable and shared by all workers.
#[derive(Debug)]
pub struct Plan {
    /// `openai/audit`
    pub name: String,
    /// The profile, or `default`.
    pub profile: String,
    /// `[mapping] log_type`
    pub log_type: String,
    /// `[mapping] version`
    pub version: u32,
    /// Event types of the rules, by the number an outcome carries.
    pub types: Vec<String>,
    /// What is shown of the rows.
    pub row_infos: Vec<RowInfo>,
    /// File and line of the rules.
    pub rule_places: Vec<(String, usize)>,
    /// Unique in the process.
    pub(crate) number: u32,
    pub(crate) unmapped: Unmapped,
    pub(crate) types_json: Vec<Box<[u8]>>,
    pub(crate) generic: u32,
    pub(crate) trie: trie::Trie,
    pub(crate) record_root: u32,
    /// Of a mapping that takes table rows: which columns stand for which paths.
    pub(crate) columns: Option<columns::Columns>,
    pub(crate) payload_root: Option<u32>,
    pub(crate) slot_count: usize,
    /// What a filled slot sets.
    pub(crate) slot_marks: Vec<program::SlotMarks>,
    /// What is set before anything is read: targets that constant rows fill, rows that run whatever is present.
    pub(crate) base_bits: Vec<u64>,
    /// The words of a part's bits: targets first, then which rows have a value, then which rows are to run.
    pub(crate) filled_from: usize,
    pub(crate) candidates_from: usize,
    /// Rows whose text stands in the output instructions; explain tells them.
    pub(crate) literal_rows: Vec<u32>,
    /// Paths that are read on purpose and written nowhere.
    pub(crate) drops: Vec<SourceRef>,
    /// Takes the broker's timestamp; `trie::NONE` when no path reads it.
    pub(crate) received_slot: u32,
    pub(crate) id: Vec<SourceRef>,
    pub(crate) values: Vec<ValueOp>,
    /// The first of `values` that needs an element; those before it are computed once a record.
    pub(crate) values_per_part: usize,
    pub(crate) conds: Vec<Cond>,
    /// Conditions that are worth remembering: nothing changes their answer within a part, and they are asked in several places.
    pub(crate) cond_is_kept: Vec<bool>,
    pub(crate) rows: Vec<RowOp>,
    /// Rows that run in the plain pass: not `with` rows, not rows of elements.
    pub(crate) rows_plain: Vec<u64>,
    pub(crate) scopes: Vec<Scope>,
    /// Scopes that lead to parts, outermost first; empty when the record is the part.
    pub(crate) part_scopes: Vec<u32>,
    /// Scopes that feed elements.
    pub(crate) element_scopes: Vec<u32>,
    pub(crate) skips: Vec<SkipOp>,
    pub(crate) rules: Vec<RuleOp>,
    pub(crate) needs: Vec<Need>,
    /// Set when a row filled metadata.event_timestamp.
    pub(crate) time_bit: u32,
    pub(crate) out: Vec<Out>,
    /// `[tags]`, when the mapping has any.
    pub(crate) tags: Option<tags::Tags>,
    /// What the site chooses by, filters first.
    pub(crate) choices: Vec<choose::ChoiceOp>,
}
