//! The converters a mapping may name: pure functions from one scalar to one scalar, each with its documentation beside it.
//!
//! A file per theme. Every file holds a `CONVERTERS` table; [`find`] looks a name up in all of them and `page.rs` writes
//! `docs/converters.md` from them. No converter guesses: what it does not read it refuses with a stable code, and the row is left out.

use std::sync::Arc;

use crate::plan::convert::{Convert, Input, Taking};
use crate::plan::lookup::Lookup;
use crate::plan::program::Escapes;

/// Groups of a pattern that can be asked for, the whole match among them: their places are kept on the stack.
const GROUPS_MAX: usize = 16;

mod address;
mod digest;
mod number;
mod page;
mod prepare;
mod resource;
mod text;
mod time;
mod web;

pub use page::page;
pub use prepare::{compile_lookup, prepare};

/// One converter, as a mapping author and the compiler see it.
#[derive(Debug)]
pub struct Converter {
    /// The word in `as = "..."`.
    pub name: &'static str,
    /// The function.
    pub run: Convert,
    /// What it reads, in words.
    pub takes: &'static str,
    /// What it gives; the compiler compares this with the target's type.
    pub gives: Gives,
    /// Its parameters, in the order [`Args`](crate::plan::convert::Args) holds them.
    pub params: &'static [Param],
    /// One paragraph: unit, oddities and what is refused.
    pub doc: &'static str,
    /// Shown in the documentation and run by the tests.
    pub examples: &'static [Example],
}

/// `(call as written in a mapping, input text, output text)`. The output `absent` stands for no value, `fault:CODE` for a refusal.
pub type Example = (&'static str, &'static str, &'static str);

/// What kind of value a converter gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// The kind of its input.
    Same,
    /// Free text.
    Text,
    /// A whole number, possibly negative.
    Int,
    /// A whole number from 0.
    UInt,
    /// A finite number.
    Float,
    /// `true` or `false`.
    Bool,
    /// RFC 3339 text ending in `Z`.
    Timestamp,
    /// Seconds with an `s`, `1.5s`.
    Duration,
    /// An IPv4 or IPv6 address.
    Ip,
    /// 0 to 65535.
    Port,
    /// `00:0d:3a:f8:80:1a`.
    Mac,
    /// An absolute URL.
    Url,
    /// A mail address.
    Email,
    /// The values of a look-up's column; the compiler checks every one of them against the target.
    Lookup,
}

/// One parameter of a converter.
#[derive(Debug)]
pub struct Param {
    /// Its key; `""` is the value written at the converter's own name.
    pub name: &'static str,
    /// What may stand there.
    pub kind: ParamKind,
    /// Whether it must be given.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// What a parameter takes. The text and number parameters fill `Args::texts` and `Args::numbers` in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Text; empty when it is optional and not given.
    Text,
    /// A whole number in a closed range; the default when it is not given.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// When not given.
        default: i64,
    },
    /// One of these words; its index becomes a number.
    Word(&'static [&'static str]),
    /// A regular expression.
    Regex,
    /// The name of a look-up.
    Lookup,
    /// A column of that look-up; may be left out when it has only one.
    Column,
}

/// A compiled look-up under the name a mapping gives it.
#[derive(Clone, Debug)]
pub struct NamedLookup {
    /// `[lookup.NAME]`.
    pub name: String,
    /// The table.
    pub lookup: Arc<Lookup>,
    /// Its result columns, in order.
    pub columns: Vec<String>,
}

/// Every converter, by theme and then as the theme's file orders them.
pub fn all() -> impl Iterator<Item = &'static Converter> {
    [text::CONVERTERS, number::CONVERTERS, time::CONVERTERS, address::CONVERTERS, web::CONVERTERS, resource::CONVERTERS, digest::CONVERTERS]
        .into_iter()
        .flatten()
}

/// The converter called `name`.
pub fn find(name: &str) -> Option<&'static Converter> {
    all().find(|converter| converter.name == name)
}

/// Converters whose text is a piece of their input, or the input or such pieces in another case, joined by what needs no escape.
const PIECES: [&str; 19] = [
    "lower",
    "upper",
    "trim",
    "unquote",
    "strip_prefix",
    "strip_suffix",
    "after_first",
    "before_first",
    "after_last",
    "before_last",
    "split",
    "regex",
    "truncate",
    "first_line",
    "resource_id",
    "email",
    "domain",
    "url",
    "host_of_url",
];

/// Converters whose text is digits, letters and signs that need no escape.
const SIGNS: [&str; 11] =
    ["timestamp", "duration_ms", "ip", "ip_port_ip", "masked_ip_cidr", "mac", "guid", "sha256", "blake3", "community_id", "ja3"];

/// Whether the text that a call makes needs an escape when it is written as JSON.
pub(crate) fn escapes(converter: &Converter, args: &crate::plan::convert::Args) -> Escapes {
    let is_plain = |text: &[u8]| text.iter().all(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\'));
    match &args.lookup {
        // Its answers are known, whatever it is asked.
        Some((lookup, column)) if lookup.rows.iter().filter_map(|row| row[*column].as_deref()).all(is_plain) => Escapes::Never,
        None if SIGNS.contains(&converter.name) => Escapes::Never,
        None if PIECES.contains(&converter.name) => Escapes::AsInput,
        _ => Escapes::Unknown,
    }
}

/// The two steps of a converter that has them.
pub(crate) fn taking(converter: &Converter) -> Option<Taking> {
    (converter.name == "resource_id").then_some(resource::TAKING)
}

/// Room for a number as text.
struct Digits([u8; 40]);

impl Default for Digits {
    fn default() -> Self {
        Self([0; 40])
    }
}

/// The text of any scalar: numbers in their shortest form (`4.0` as `4`), booleans as words.
fn text_of<'a>(input: Input<'a>, digits: &'a mut Digits) -> &'a [u8] {
    let mut whole = itoa::Buffer::new();
    let mut real = ryu::Buffer::new();
    let text = match input {
        Input::Text(text) => return text,
        Input::Bool(true) => return b"true",
        Input::Bool(false) => return b"false",
        Input::Int(number) => whole.format(number),
        Input::UInt(number) => whole.format(number),
        Input::Float(number) => {
            let text = real.format(number);
            text.strip_suffix(".0").unwrap_or(text)
        }
    };
    let length = text.len();
    digits.0[..length].copy_from_slice(text.as_bytes());
    &digits.0[..length]
}

/// Input bytes as text; decode hands out UTF-8 only, so anything else is a fault of the caller and gives a refusal, not a panic.
fn utf8(text: &[u8]) -> Result<&str, crate::plan::convert::Fault> {
    std::str::from_utf8(text).map_err(|_| crate::plan::convert::Fault("not_utf8"))
}

#[cfg(test)]
mod tests;
