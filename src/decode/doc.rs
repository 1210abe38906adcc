//! [`Doc`]: one parsed message as two flat arrays.

use super::json_text::{append, write_string};

/// What a [`Node`] is. Its width leaves no gap in a node, which is then copied in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`; `bits` is 1 or 0.
    Bool,
    /// An integer that fits `i64`; `bits` holds it.
    Int,
    /// An integer above `i64::MAX`; `bits` holds it.
    UInt,
    /// Any other number; `bits` holds the `f64`.
    Float,
    /// Text; `bits` is the offset in [`Doc::text`], `len` the length in bytes.
    Str,
    /// `len` members; key and value nodes alternate; `bits` is the index after the last descendant.
    Object,
    /// `len` elements; `bits` is the index after the last descendant.
    Array,
}

/// Whether a text is known to need no escape when it is written as JSON: it was read without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u16)]
pub enum Plain {
    /// Somebody has to look.
    #[default]
    Unknown,
    /// It needs none.
    Yes,
}

/// One JSON value, or one member name, of a [`Doc`].
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Of text: whether it needs no escape.
    pub plain: Plain,
    /// Bytes of text, members of an object or elements of an array.
    pub len: u32,
    /// See [`Kind`].
    pub bits: u64,
}

impl Node {
    /// A node of which nothing more is known.
    pub fn new(kind: Kind, len: u32, bits: u64) -> Node {
        Node { kind, plain: Plain::Unknown, len, bits }
    }
}

/// A parsed message: unescaped text in one arena, nodes in document order in another.
///
/// Nodes are named by their index. JSON text found inside strings is parsed into the same arenas, so one index type names everything
/// a record holds, however deep it was wrapped. Text is valid UTF-8; policies on invalid input were applied before it came here.
#[derive(Debug, Default)]
pub struct Doc {
    /// Unescaped text; nodes point into it. Bytes between texts mean nothing.
    pub text: Vec<u8>,
    /// The nodes, in document order; a container stands before its descendants.
    pub nodes: Vec<Node>,
}

impl Doc {
    /// Forgets everything but keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.nodes.clear();
    }

    /// The node called `index`.
    #[inline]
    pub fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }

    /// The bytes of a text node; empty for every other kind.
    #[inline]
    pub fn str(&self, index: u32) -> &[u8] {
        let node = self.node(index);
        if node.kind != Kind::Str {
            return b"";
        }
        &self.text[node.bits as usize..node.bits as usize + node.len as usize]
    }

    /// The index after `index` and all its descendants.
    #[inline]
    pub fn after(&self, index: u32) -> u32 {
        let node = self.node(index);
        match node.kind {
            Kind::Object | Kind::Array => node.bits as u32,
            _ => index + 1,
        }
    }

    /// `(name node, value node)` of an object's members in document order; nothing for every other kind.
    pub fn members(&self, object: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let node = self.node(object);
        let mut left = if node.kind == Kind::Object { node.len } else { 0 };
        let mut at = object + 1;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let pair = (at, at + 1);
            at = self.after(at + 1);
            Some(pair)
        })
    }

    /// The elements of an array in document order; nothing for every other kind.
    pub fn elements(&self, array: u32) -> impl Iterator<Item = u32> + '_ {
        let node = self.node(array);
        let mut left = if node.kind == Kind::Array { node.len } else { 0 };
        let mut at = array + 1;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let here = at;
            at = self.after(at);
            Some(here)
        })
    }

    /// The value of the member called `name`: the exact spelling first (its last occurrence), else the first that differs in ASCII case only.
    pub fn member(&self, object: u32, name: &[u8]) -> Option<u32> {
        let mut folded = None;
        let mut exact = None;
        for (key, value) in self.members(object) {
            let text = self.str(key);
            if text == name {
                exact = Some(value);
            } else if folded.is_none() && text.eq_ignore_ascii_case(name) {
                folded = Some(value);
            }
        }
        exact.or(folded)
    }

    /// Appends the value at `index` as compact JSON: members in document order, duplicates included, floats in their shortest form.
    pub fn write_json(&self, index: u32, out: &mut Vec<u8>) {
        let node = self.node(index);
        match node.kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Bool => out.extend_from_slice(if node.bits == 1 { b"true" } else { b"false" }),
            Kind::Int => out.extend_from_slice(itoa::Buffer::new().format(node.bits as i64).as_bytes()),
            Kind::UInt => out.extend_from_slice(itoa::Buffer::new().format(node.bits).as_bytes()),
            Kind::Float => out.extend_from_slice(ryu::Buffer::new().format(f64::from_bits(node.bits)).as_bytes()),
            Kind::Str => self.write_text(node, out),
            Kind::Object => {
                out.push(b'{');
                let mut at = index + 1;
                for place in 0..node.len {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.write_text(self.node(at), out);
                    out.push(b':');
                    let value = self.node(at + 1);
                    // Nearly every value: it is written here, without a call.
                    if value.kind == Kind::Str {
                        self.write_text(value, out);
                        at += 2;
                    } else {
                        self.write_json(at + 1, out);
                        at = self.after(at + 1);
                    }
                }
                out.push(b'}');
            }
            Kind::Array => {
                out.push(b'[');
                let mut at = index + 1;
                for place in 0..node.len {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.write_json(at, out);
                    at = self.after(at);
                }
                out.push(b']');
            }
        }
    }

    #[inline(always)]
    fn write_text(&self, text: Node, out: &mut Vec<u8>) {
        if text.plain == Plain::Yes {
            out.push(b'"');
            append(&self.text, text.bits as usize, text.len as usize, out);
            out.push(b'"');
        } else {
            write_string(&self.text[text.bits as usize..text.bits as usize + text.len as usize], out);
        }
    }
}
