//! JSON text to nodes, strictly: the part that could be another parser.

use simd_json::{Buffers, Node as TapeNode, StaticNode, Tape};

use super::doc::{Kind, Node};

/// The text is not JSON by the strict grammar, nests too deep, or holds a number beyond 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Zeros behind the text that a parser is given, so that it can read blocks without counting: the last whole block holds one of them.
pub const PADDING: usize = 64;

/// A strict JSON parser that unescapes text in place.
pub trait Backend {
    /// Parses one JSON value and appends its nodes, in document order, to `nodes`.
    ///
    /// `text` is the tail of [`super::Doc::text`] that starts at offset `base`, its last [`PADDING`] bytes zeros that are not part of it; strings are unescaped within it and nodes name them by
    /// their offset in the whole arena. Containers hold the index after their last descendant. Must be valid UTF-8 where it succeeds.
    ///
    /// # Errors
    ///
    /// [`Refused`]; what stands in `text` afterwards means nothing, and `nodes` is as it was.
    fn parse(&mut self, text: &mut [u8], base: usize, nodes: &mut Vec<Node>) -> Result<(), Refused>;
}

/// Which parser reads sound text. Both accept the same texts and give the same nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parser {
    /// The scanner of this crate.
    #[default]
    Scanner,
    /// simd-json's tape.
    SimdTape,
}

impl Parser {
    /// The parser, refusing values nested deeper than `nesting`.
    pub(super) fn start(self, nesting: usize) -> Box<dyn Backend + Send> {
        match self {
            Parser::Scanner => Box::new(super::scanner::Scanner::new(nesting)),
            Parser::SimdTape => Box::new(SimdTape::new(nesting)),
        }
    }
}

/// simd-json's tape, with its buffers kept between messages.
pub struct SimdTape {
    buffers: Buffers,
    tape: Tape<'static>,
}

impl SimdTape {
    /// A parser that refuses values nested deeper than `nesting`.
    pub fn new(nesting: usize) -> Self {
        SimdTape { buffers: Buffers::with_max_depth(4096, nesting), tape: Tape(Vec::new()) }
    }
}

impl Backend for SimdTape {
    fn parse(&mut self, text: &mut [u8], base: usize, nodes: &mut Vec<Node>) -> Result<(), Refused> {
        let end = text.len().checked_sub(PADDING).ok_or(Refused)?;
        let text = &mut text[..end];
        let origin = text.as_ptr().addr();
        let before = nodes.len();
        // The tape borrows the text, so its memory changes owner for the length of this call.
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let mut result = simd_json::fill_tape(text, &mut self.buffers, &mut tape).map_err(|_| Refused);
        if result.is_ok() {
            let mut is_finite = true;
            // An exact iterator: room is made once, and no node asks for it again.
            nodes.extend(tape.0.iter().enumerate().map(|(at, node)| {
                let after = |count: usize| (before + at + 1 + count) as u64;
                let (kind, len, bits) = match *node {
                    TapeNode::String(s) => (Kind::Str, s.len(), (s.as_ptr().addr() - origin + base) as u64),
                    TapeNode::Object { len, count } => (Kind::Object, len, after(count)),
                    TapeNode::Array { len, count } => (Kind::Array, len, after(count)),
                    TapeNode::Static(StaticNode::Null) => (Kind::Null, 0, 0),
                    TapeNode::Static(StaticNode::Bool(b)) => (Kind::Bool, 0, u64::from(b)),
                    TapeNode::Static(StaticNode::I64(i)) => (Kind::Int, 0, i as u64),
                    TapeNode::Static(StaticNode::U64(u)) => (if u > i64::MAX as u64 { Kind::UInt } else { Kind::Int }, 0, u),
                    TapeNode::Static(StaticNode::F64(f)) => {
                        is_finite &= f.is_finite();
                        (Kind::Float, 0, f.to_bits())
                    }
                };
                Node::new(kind, len as u32, bits)
            }));
            if !is_finite {
                result = Err(Refused);
            }
        }
        if result.is_err() {
            nodes.truncate(before);
        }
        self.tape = tape.reset();
        result
    }
}
