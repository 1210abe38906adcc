//! The shape of a converter: a named function from one scalar to one scalar.
//!
//! The converters themselves live in `mapping/convert/`; the plan only calls them.

/// What a converter gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input<'a> {
    /// Text, UTF-8.
    Text(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// What a converter gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// The input, unchanged.
    Same,
    /// The UTF-8 text it appended to `out`, unescaped.
    Text,
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// Any other number; always finite.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// No value, and no fault: a look-up without a match, an empty rest.
    Absent,
}

/// Why a value did not convert: a stable code such as `not_an_ip`, fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// A converter. It appends text results to `out` and touches nothing before `out`'s length at the call.
///
/// # Errors
///
/// A [`Fault`] when the input is not what the converter reads; whatever it appended is then ignored.
pub type Convert = fn(Input<'_>, &Args, &mut Vec<u8>) -> Result<Output, Fault>;

/// Where the parts of a text lie, in numbers that only the converter can read which put them here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places(pub [u32; 21]);

/// A converter in two steps, for texts of which a record's rows ask for many parts: the text is taken apart for the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    /// The first step.
    pub take: Take,
    /// The second.
    pub give: Give,
}

/// Takes a text apart.
///
/// # Errors
///
/// As of a [`Convert`].
pub type Take = fn(&[u8]) -> Result<Places, Fault>;

/// Appends what a call asks for of a text and the places that were found in it.
///
/// # Errors
///
/// As of a [`Convert`].
pub type Give = fn(&[u8], &Places, &Args, &mut Vec<u8>) -> Result<Output, Fault>;

/// The text that was taken apart last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// Start and length in the document's arena; no length is none.
    pub text: (u64, u32),
    /// What `take` found. There is one converter in two steps; a second would have to be told from it here.
    pub places: Places,
}

/// The arguments of one call, checked and prepared at load.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Text arguments in the order the converter declares them.
    pub texts: Vec<Box<[u8]>>,
    /// Number arguments in the order the converter declares them.
    pub numbers: Vec<i64>,
    /// A compiled pattern.
    pub regex: Option<regex_automata::meta::Regex>,
    /// A look-up and the column to answer from.
    pub lookup: Option<(std::sync::Arc<super::lookup::Lookup>, usize)>,
}

/// Whether a text is a JSON number of at most fifteen digits without an exponent: as exact as text as it is as an `f64`.
pub fn is_plain_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || digits.len() > 16 {
        return false;
    }
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {}
            b'.' if point.is_none() => point = Some(at),
            _ => return false,
        }
    }
    let whole = point.unwrap_or(digits.len());
    whole > 0 && (whole == 1 || digits[0] != b'0') && point.is_none_or(|point| point + 1 < digits.len())
}
