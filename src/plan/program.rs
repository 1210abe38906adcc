//! What a mapping compiles to: flat lists of small instructions, all names resolved to numbers.

use super::convert::{Args, Convert, Taking};
use super::json::Form;
use super::value::Value;

/// A set of bits as (word, bits) pairs.
///
/// The first three stand in the row itself and are set whether they are needed or not: how many words a row touches differs from row to
/// row, and a loop over them ends where the processor does not expect it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    pub near: [(u32, u64); 3],
    pub far: Box<[(u32, u64)]>,
}

impl Mask {
    pub fn is_empty(&self) -> bool {
        self.words().next().is_none()
    }

    /// The words that have bits.
    pub fn words(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.near.iter().chain(&self.far).copied().filter(|(_, bits)| *bits != 0)
    }
}

impl FromIterator<(u32, u64)> for Mask {
    fn from_iter<T: IntoIterator<Item = (u32, u64)>>(words: T) -> Mask {
        let mut words = words.into_iter();
        let near = std::array::from_fn(|_| words.next().unwrap_or_default());
        Mask { near, far: words.collect() }
    }
}

/// What a filled slot sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotMarks {
    /// For a scalar: what the rows that only copy it set, and the other rows that read it.
    pub scalar: Mask,
    /// For an object or an array: every row that reads it.
    pub container: Mask,
    /// The longest text in bytes that rows may copy as it stands: a label's length is limited.
    pub longest: u32,
}

/// Reads one source path.
#[derive(Clone, Debug)]
pub(crate) struct SourceRef {
    /// The slot that the walk fills.
    pub slot: u32,
    /// What follows where the trie ends; empty for a plain path.
    pub tail: Box<[Tail]>,
    /// Whether the tail can give several values.
    pub spread: bool,
}

/// A step that the trie does not do: lists, members of unknown name, and what follows them.
#[derive(Clone, Debug)]
pub(crate) enum Tail {
    Index(u32),
    From(u32),
    /// The first element whose member says the text; without a text every one, and what the member says is the key.
    Where(Box<[u8]>, Option<Box<[u8]>>),
    Members,
    Leaves,
    Member(Box<[u8]>),
    Json,
}

/// One converter call.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub run: Convert,
    /// The same in two steps.
    pub taking: Option<Taking>,
    pub args: Args,
    /// Its result tells nothing of its input, so it may read a secret.
    pub is_digest: bool,
    /// It gives numbers; where it leaves a text as it is, that is one.
    pub is_number: bool,
    /// Whether the texts it makes need an escape.
    pub escapes: Escapes,
}

/// Whether a text that a converter made needs an escape when it is written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Somebody has to look.
    Unknown,
    /// Not when its input needs none: it is a piece of it, in another case perhaps.
    AsInput,
    /// Never.
    Never,
}

/// Where a row's value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The first present path whose value converts.
    Paths(Box<[SourceRef]>),
    /// Paths that give lists: the first that gives anything.
    Spread(Box<[SourceRef]>),
    /// A constant, text lying in the plan.
    Constant(Constant),
    Template(Box<[Piece]>),
    Sum(Box<[SourceRef]>),
    Difference(Box<[SourceRef; 2]>),
}

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(Box<[u8]>),
    Hole(SourceRef),
}

/// A constant of the mapping. `Raw` is `{}`: a message that is present and empty.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    Text(Box<[u8]>),
    Raw(Box<[u8]>),
    Scalar(Value),
}

/// An enricher that finishes a row's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    None,
    UserAgent,
    GeoLocation,
    GeoAsn,
}

/// What a value must be to fit its field; what does not is left out with a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Any,
    Int32,
    UInt32,
    Int64,
    UInt64,
    /// A number of 32-bit range; its precision is the reader's matter.
    Float,
    Double,
    Bool,
    Port,
    /// Text that the schema constrains further.
    Text(crate::udm::Constraint),
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct RowOp {
    pub input: Input,
    pub chain: Box<[Step]>,
    pub finish: Finish,
    pub default: Option<Constant>,
    pub when: Option<u32>,
    pub fit: Fit,
    /// A label: its value is cut at the label limit.
    pub label: bool,
    /// A plain copy of a path: nothing to convert, to ask or to check.
    pub direct: bool,
    /// Plain paths and one converter at most: a short way does unless something is odd.
    pub quick: bool,
    /// The slot whose value the row copies into its place, so that it need not run: filling the slot does all it would. `trie::NONE` for
    /// rows that run.
    pub slot: u32,
    /// Whether there is a condition or a bit that forbids the row.
    pub asks: bool,
    /// Bits that forbid the row when one is set: a `fallback` row's own field, the fields of a message that an enricher would fill.
    pub unless: Mask,
    /// Bits the row sets: its fields and all their ancestors, and that it has a value.
    pub sets: Mask,
}

/// What people are shown of a row; kept beside the program, never read while mapping.
#[derive(Clone, Debug)]
pub struct RowInfo {
    /// Target paths as written.
    pub targets: Vec<String>,
    /// Source as written: the paths, or the constant.
    pub sources: Vec<String>,
    /// File name below the mappings folder.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// One `[values]` line: fills a slot.
#[derive(Clone, Debug)]
pub(crate) struct ValueOp {
    pub slot: u32,
    /// Plain paths and one converter at most, as of a row.
    pub quick: bool,
    pub input: Input,
    pub chain: Box<[Step]>,
    pub default: Option<Constant>,
    pub when: Option<u32>,
}

/// A condition; children are numbers of other conditions.
#[derive(Clone, Debug)]
pub(crate) enum Cond {
    All(Box<[u32]>),
    Any(Box<[u32]>),
    Not(u32),
    Has(SourceRef),
    Test(SourceRef, Test),
    EventHas(u32),
}

/// A comparison. Texts are lower case.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    In(Words),
    Prefix(Box<[Box<[u8]>]>),
    Suffix(Box<[Box<[u8]>]>),
    Contains(Box<[Box<[u8]>]>),
    Matches(regex::bytes::Regex),
    Between(f64, f64),
}

/// Some words, and a bit for the length of each: nearly every text that is none of them has another length.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    lengths: u64,
    words: Box<[Box<[u8]>]>,
}

impl Words {
    /// Words in lower case.
    pub fn of(words: Box<[Box<[u8]>]>) -> Words {
        let lengths = words.iter().fold(0, |lengths, word| lengths | 1 << word.len().min(63));
        Words { lengths, words }
    }

    /// Whether a text is one of them, whatever the case of its ASCII letters.
    #[inline]
    pub fn hold(&self, text: &[u8]) -> bool {
        self.lengths >> text.len().min(63) & 1 != 0 && self.words.iter().any(|word| text.eq_ignore_ascii_case(word))
    }
}

/// One `[[each]]`.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub name: Box<str>,
    pub from: SourceRef,
    pub root: u32,
    /// Takes the element itself.
    pub own_slot: u32,
    /// Takes the element's number.
    pub index_slot: u32,
    pub split: Option<Split>,
    pub when: Option<u32>,
    /// Rows that run once an element: `[each name]` targets. Cell numbers of an element start at zero.
    pub rows: Box<[u32]>,
}

/// Columns of a split text; the number of columns chooses the list.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub by: u8,
    pub columns: Box<[Box<[u32]>]>,
}

/// One event-type rule.
#[derive(Clone, Debug)]
pub(crate) struct RuleOp {
    pub event_type: u32,
    pub when: Option<u32>,
    /// The mapping says, and it was checked, that no event can be taken by it.
    pub is_dormant: bool,
    pub with: Box<[u32]>,
    pub needs: u32,
    pub otherwise: Box<[OtherwiseOp]>,
    /// First rule of the layers below.
    pub base: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum OtherwiseOp {
    /// A type with its requirement.
    Type(u32, u32),
    Rule(u32),
    Base,
}

/// A requirement over target bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Always,
    Never,
    Bit(u32),
    Not(Box<Need>),
    All(Box<[Need]>),
    Any(Box<[Need]>),
    /// One of these rows holds this word.
    Word(Box<[u32]>, Box<[u8]>),
}

/// One output instruction. Every key literal carries its quotes, colon and bracket; every item ends in a comma, which the
/// closing instruction takes back.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    /// `"key":{`, or jump when nothing below is filled.
    Open {
        key: Box<[u8]>,
        filled: Filled,
        skip: u32,
    },
    /// `},`
    Close,
    /// `"key":[`
    OpenList {
        key: Box<[u8]>,
        filled: Filled,
        skip: u32,
    },
    /// `{` of one named element.
    OpenElement {
        filled: Filled,
        skip: u32,
    },
    /// `],`
    CloseList,
    /// The first of these rows that has a value.
    Field {
        key: Box<[u8]>,
        rows: Box<[u32]>,
        form: Form,
    },
    /// All of them, without duplicates.
    List {
        key: Box<[u8]>,
        rows: Box<[u32]>,
        form: Form,
    },
    /// `{"key":..,"value":..}` for all of them.
    Labels {
        key: Box<[u8]>,
        entries: Box<[(LabelKey, u32)]>,
    },
    /// Members of a free object: each a ready `"key":`, or the wildcard's own key.
    Entries {
        entries: Box<[(LabelKey, u32)]>,
    },
    /// Runs the instructions up to `skip` once for every element of the scope.
    Elements {
        scope: u32,
        skip: u32,
    },
    /// A constant member.
    Literal {
        text: Box<[u8]>,
    },
    /// What the engine itself writes.
    Identity {
        key: Box<[u8]>,
    },
    EventType {
        key: Box<[u8]>,
    },
    ReceivedTime {
        key: Box<[u8]>,
        bit: u32,
    },
    /// A finished result for each tag of the part, inside `security_result`.
    Tags,
    /// Kept leaves and the engine's own notes, inside `additional`.
    Extras,
}

/// When a group is written.
#[derive(Clone, Debug)]
pub(crate) enum Filled {
    Always,
    Bit(u32),
    /// Inside an element: when one of these rows has a value.
    Rows(Box<[u32]>),
}

/// The key of a label or of a free member.
#[derive(Clone, Debug)]
pub(crate) enum LabelKey {
    /// The key as a JSON string, quotes included.
    Fixed(Box<[u8]>),
    /// The wildcard's key of each entry of the row's list.
    Own,
}

/// Skips a part.
#[derive(Clone, Debug)]
pub(crate) struct SkipOp {
    pub when: u32,
    pub reason: Box<str>,
}
