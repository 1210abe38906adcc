//! [`Value`]: one scalar on its way through a plan, and [`Slot`]: a value with the node it came from.

use super::convert::{Input, Output};
use crate::decode::{Doc, Kind, Node, Plain};

/// No node: a constant, a column of a split text, a computed number.
pub(crate) const NO_NODE: u32 = u32::MAX;

/// What a [`Value`] is. Its width leaves no gap in a value, which is then copied in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Tag {
    /// Nothing.
    Absent,
    /// UTF-8 text in the document's arena, unescaped.
    Text,
    Int,
    UInt,
    Float,
    Bool,
    /// Finished JSON in the document's arena.
    Raw,
    /// `len` entries of the state's list, from `bits` on.
    List,
    /// An object or an array of the document: only tails and `each` can read it.
    Container,
}

/// A scalar; text lies in [`Doc::text`], so a value is sixteen bytes and copies freely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub tag: Tag,
    /// Of text: whether it needs no escape.
    pub plain: Plain,
    pub len: u32,
    pub bits: u64,
}

impl Value {
    pub const ABSENT: Value = Value::scalar(Tag::Absent, 0);

    /// A value whose `bits` say all.
    pub const fn scalar(tag: Tag, bits: u64) -> Value {
        Value { tag, plain: Plain::Unknown, len: 0, bits }
    }

    pub fn text(start: usize, len: usize) -> Value {
        Value { tag: Tag::Text, plain: Plain::Unknown, len: len as u32, bits: start as u64 }
    }

    pub fn is_absent(self) -> bool {
        self.tag == Tag::Absent
    }

    /// The value of a node. `null`, `""`, `"-"`, `"null"` and `"<null>"` are absent, as are empty containers.
    #[inline]
    pub fn of(doc: &Doc, node: Node) -> Value {
        // The lengths of the texts that mean nothing.
        const ODD: u32 = 1 | 1 << 1 | 1 << 4 | 1 << 6;
        if node.kind == Kind::Str && ODD >> node.len.min(31) & 1 == 0 {
            return Value { tag: Tag::Text, plain: node.plain, len: node.len, bits: node.bits };
        }
        Value::of_other(doc, node)
    }

    fn of_other(doc: &Doc, node: Node) -> Value {
        let tag = match node.kind {
            Kind::Str => {
                if matches!(node.len, 0 | 1 | 4 | 6) && means_nothing(&doc.text[node.bits as usize..node.bits as usize + node.len as usize])
                {
                    return Value::ABSENT;
                }
                Tag::Text
            }
            Kind::Int => Tag::Int,
            Kind::UInt => Tag::UInt,
            Kind::Float => Tag::Float,
            Kind::Bool => Tag::Bool,
            Kind::Object | Kind::Array if node.len > 0 => Tag::Container,
            _ => return Value::ABSENT,
        };
        Value { tag, plain: node.plain, len: node.len, bits: node.bits }
    }

    /// The bytes of a text or of finished JSON; empty for everything else.
    #[inline]
    pub fn bytes(self, text: &[u8]) -> &[u8] {
        match self.tag {
            Tag::Text | Tag::Raw => &text[self.bits as usize..self.bits as usize + self.len as usize],
            _ => b"",
        }
    }

    /// What a converter gets; `None` for what no converter takes.
    #[inline]
    pub fn input(self, text: &[u8]) -> Option<Input<'_>> {
        Some(match self.tag {
            Tag::Text => Input::Text(self.bytes(text)),
            Tag::Int => Input::Int(self.bits as i64),
            Tag::UInt => Input::UInt(self.bits),
            Tag::Float => Input::Float(f64::from_bits(self.bits)),
            Tag::Bool => Input::Bool(self.bits != 0),
            _ => return None,
        })
    }

    /// A converter's scalar result. `Same` and `Text` are the caller's to place.
    pub fn of_output(output: Output) -> Value {
        match output {
            Output::Int(n) => Value::scalar(Tag::Int, n as u64),
            Output::UInt(n) => Value::scalar(Tag::UInt, n),
            Output::Float(n) => Value::scalar(Tag::Float, n.to_bits()),
            Output::Bool(b) => Value::scalar(Tag::Bool, b.into()),
            Output::Same | Output::Text | Output::Absent => Value::ABSENT,
        }
    }

    /// The value as text without quotes, whatever scalar it is. Numbers go through `buffer`.
    pub fn shown<'a>(self, text: &'a [u8], buffer: &'a mut NumberText) -> &'a [u8] {
        match self.tag {
            Tag::Text | Tag::Raw => self.bytes(text),
            Tag::Bool => {
                if self.bits != 0 {
                    b"true"
                } else {
                    b"false"
                }
            }
            Tag::Int => buffer.int.format(self.bits as i64).as_bytes(),
            Tag::UInt => buffer.int.format(self.bits).as_bytes(),
            Tag::Float => buffer.float.format(f64::from_bits(self.bits)).as_bytes(),
            _ => b"",
        }
    }

    /// The value as a number, when it is one or is text that reads as one.
    pub fn number(self, text: &[u8]) -> Option<f64> {
        match self.tag {
            Tag::Int => Some(self.bits as i64 as f64),
            Tag::UInt => Some(self.bits as f64),
            Tag::Float => Some(f64::from_bits(self.bits)),
            Tag::Text => std::str::from_utf8(self.bytes(text)).ok()?.trim().parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        }
    }

    /// A whole number of 64 bits, exactly: .NET ticks are beyond what a float holds. `12.0` is whole, `1.5` is not.
    pub fn whole(self, text: &[u8]) -> Option<i64> {
        match self.tag {
            Tag::Int => Some(self.bits as i64),
            Tag::UInt => i64::try_from(self.bits).ok(),
            Tag::Text if let Some(exact) = std::str::from_utf8(self.bytes(text)).ok().and_then(|text| text.trim().parse().ok()) => {
                Some(exact)
            }
            // Up to 2^53 a float names one whole number.
            _ => self
                .number(text)
                .filter(|number| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0)
                .map(|number| number as i64),
        }
    }
}

/// Room for a number on its way to text.
#[derive(Default)]
pub(crate) struct NumberText {
    int: itoa::Buffer,
    float: ryu::Buffer,
}

/// Whether a text stands for nothing: exporters write these words where a value is missing.
#[inline]
pub(crate) fn means_nothing(text: &[u8]) -> bool {
    match text.len() {
        0 => true,
        1 => text == b"-",
        4 => text == b"null",
        6 => text == b"<null>",
        _ => false,
    }
}

/// A value found by the walk, with the node that counts as read when a row writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub value: Value,
    pub node: u32,
}

impl Slot {
    pub const EMPTY: Slot = Slot { value: Value::ABSENT, node: NO_NODE };
}
