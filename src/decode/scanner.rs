//! [`Scanner`]: JSON text to nodes in one walk.
//!
//! For records of a few kilobytes a walk over marks of every quote beats a parser whose first stage finds all structure: see
//! `docs/performance.md`. Text is compared in blocks before the walk; nothing is copied but what an escape shortens, and a text
//! without escapes is marked, because it can be written again as it stands.
//!
//! It accepts what RFC 8259 allows, but for numbers beyond 64 bits or beyond `f64` and for half surrogate pairs, which the tolerant path reads.

use super::backend::{Backend, PADDING, Refused};
use super::doc::{Kind, Node, Plain};
use super::lanes::{Block, Lanes, WithBlocks};

/// A strict parser in one walk.
pub struct Scanner {
    nesting: usize,
    lanes: Lanes,
    /// Kept for its memory.
    marks: Vec<u64>,
}

impl Scanner {
    /// A parser that refuses values nested deeper than `nesting`. It calls itself for what is nested.
    pub fn new(nesting: usize) -> Self {
        Scanner { nesting, lanes: Lanes::detect(), marks: Vec::new() }
    }
}

impl Backend for Scanner {
    fn parse(&mut self, text: &mut [u8], base: usize, nodes: &mut Vec<Node>) -> Result<(), Refused> {
        let before = nodes.len();
        let end = text.len().checked_sub(PADDING).ok_or(Refused)?;
        let blocks = text.len() / 64;
        if self.marks.len() <= blocks {
            self.marks.resize(blocks + 1, 0);
        }
        let marks = &mut self.marks[..=blocks];
        marks[blocks] = u64::MAX;
        if !self.lanes.run(Mark { text, marks }) {
            simdutf8::basic::from_utf8(&text[..end]).map_err(|_| Refused)?;
        }
        let mut run = Run { text, base, nodes, marks, nesting: self.nesting };
        let at = run.root();
        if run.space(at) == end {
            return Ok(());
        }
        nodes.truncate(before);
        Err(Refused)
    }
}

/// Marks every quote, backslash and control character of a text, a bit a byte, and tells whether all of it is ASCII.
///
/// All blocks are looked at before any text is searched for its end. Where a text ends decides where the next one begins, so whatever is
/// done between the two is waited for; this way it is one load and one count, and the comparing of blocks overlaps.
struct Mark<'a> {
    /// With [`PADDING`], whose first byte lies in a whole block.
    text: &'a [u8],
    marks: &'a mut [u64],
}

impl WithBlocks for Mark<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<B: Block>(self, block: B) -> bool {
        let mut all_beyond = 0;
        for (marks, bytes) in self.marks.iter_mut().zip(self.text.as_chunks::<64>().0) {
            let (specials, beyond) = block.specials(bytes);
            *marks = specials;
            all_beyond |= beyond;
        }
        all_beyond == 0
    }
}

/// One parse. Places are handed from step to step, not kept here: that leaves them in registers. A step that refuses what it finds gives
/// [`REFUSED`] for a place, at which no byte stands; so the step after it refuses too, and only the last one has to ask.
struct Run<'a> {
    /// With [`PADDING`] zeros at its end: a zero stands nowhere in JSON, so every loop ends there without counting.
    text: &'a mut [u8],
    base: usize,
    nodes: &'a mut Vec<Node>,
    marks: &'a [u64],
    /// Containers that may still be opened inside one another.
    nesting: usize,
}

/// No place.
const REFUSED: usize = usize::MAX;

impl Run<'_> {
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// The value that begins at `at` or after white space there, with all it holds; where it ends.
    #[inline(always)]
    fn value(&mut self, mut at: usize) -> usize {
        loop {
            return match self.byte(at) {
                b'"' => self.string(at + 1),
                b'-' | b'0'..=b'9' => self.number(at),
                b'{' => self.object(at + 1),
                b'[' => self.array(at + 1),
                b't' => self.word(at, b"true", Kind::Bool, 1),
                b'f' => self.word(at, b"false", Kind::Bool, 0),
                b'n' => self.word(at, b"null", Kind::Null, 0),
                b' ' | b'\n' | b'\r' | b'\t' => {
                    at = self.space(at);
                    continue;
                }
                _ => REFUSED,
            };
        }
    }

    #[inline(never)]
    fn root(&mut self) -> usize {
        self.value(0)
    }

    /// The members of an object, the first byte inside at `at`; what follows its end.
    #[inline(never)]
    fn object(&mut self, at: usize) -> usize {
        let Some(node) = self.enter(Kind::Object) else { return REFUSED };
        let mut at = self.space(at);
        let mut members = 0;
        if self.byte(at) == b'}' {
            return self.leave(node, members, at + 1);
        }
        loop {
            at = self.name(at);
            at = self.value(at);
            members += 1;
            let mut next = self.byte(at);
            if next != b',' {
                at = self.space(at);
                next = self.byte(at);
            }
            match next {
                b',' => at += 1,
                b'}' => return self.leave(node, members, at + 1),
                _ => return REFUSED,
            }
        }
    }

    /// The elements of an array, the first byte inside at `at`; what follows its end.
    #[inline(never)]
    fn array(&mut self, at: usize) -> usize {
        let Some(node) = self.enter(Kind::Array) else { return REFUSED };
        let mut at = self.space(at);
        let mut elements = 0;
        if self.byte(at) == b']' {
            return self.leave(node, elements, at + 1);
        }
        loop {
            at = self.value(at);
            elements += 1;
            at = self.space(at);
            match self.byte(at) {
                b',' => at += 1,
                b']' => return self.leave(node, elements, at + 1),
                _ => return REFUSED,
            }
        }
    }

    fn enter(&mut self, kind: Kind) -> Option<usize> {
        self.nesting = self.nesting.checked_sub(1)?;
        let node = self.nodes.len();
        self.nodes.push(Node::new(kind, 0, 0));
        Some(node)
    }

    #[inline]
    fn leave(&mut self, node: usize, items: u32, at: usize) -> usize {
        self.nesting += 1;
        let after = self.nodes.len() as u64;
        let node = &mut self.nodes[node];
        node.len = items;
        node.bits = after;
        at
    }

    /// A member's name at `at`, white space before it, and its colon.
    #[inline(always)]
    fn name(&mut self, mut at: usize) -> usize {
        if self.byte(at) != b'"' {
            at = self.space(at);
            if self.byte(at) != b'"' {
                return REFUSED;
            }
        }
        at = self.string(at + 1);
        if self.byte(at) != b':' {
            at = self.space(at);
            if self.byte(at) != b':' {
                return REFUSED;
            }
        }
        at + 1
    }

    /// The first place from `at` on that is not white space.
    #[inline]
    fn space(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
        }
        at
    }

    /// Where, from `at` on, the first quote, backslash or control character stands.
    #[inline(always)]
    fn special(&self, at: usize) -> usize {
        let Some(&[low, high]) = self.marks.get(at / 64..).and_then(|rest| rest.first_chunk()) else { return REFUSED };
        // The marks of the 64 bytes from `at` on, over the edge of a word: where texts end in a word is what a processor guesses wrong.
        let bits = low >> (at % 64) | high << 1 << (63 - at % 64);
        if bits != 0 { at + bits.trailing_zeros() as usize } else { self.far_special(at + 64) }
    }

    #[inline(never)]
    fn far_special(&self, mut at: usize) -> usize {
        while let Some(&word) = self.marks.get(at / 64) {
            let bits = word >> (at % 64);
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at = (at / 64 + 1) * 64;
        }
        REFUSED
    }

    /// A text whose first byte is at `start`; what follows its closing quote.
    #[inline(always)]
    fn string(&mut self, start: usize) -> usize {
        let end = self.special(start);
        if self.byte(end) != b'"' {
            return self.escaped(start, end);
        }
        let bits = (self.base + start) as u64;
        self.nodes.push(Node { kind: Kind::Str, plain: Plain::Yes, len: (end - start) as u32, bits });
        end + 1
    }

    /// The rest of a text whose first special byte stands at `at`. Escapes only ever shorten it, so it is unescaped where it stands.
    #[inline(never)]
    fn escaped(&mut self, start: usize, mut at: usize) -> usize {
        let mut to = at;
        loop {
            match self.byte(at) {
                b'"' => break,
                b'\\' => {
                    let short = match self.byte(at + 1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            let Some((char, next)) = self.unicode(at) else { return REFUSED };
                            to += char.encode_utf8(&mut self.text[to..]).len();
                            at = next;
                            0
                        }
                        _ => return REFUSED,
                    };
                    if short != 0 {
                        self.text[to] = short;
                        to += 1;
                        at += 2;
                    }
                }
                _ => return REFUSED,
            }
            let next = self.special(at);
            self.text.copy_within(at..next, to);
            to += next - at;
            at = next;
        }
        self.nodes.push(Node::new(Kind::Str, (to - start) as u32, (self.base + start) as u64));
        at + 1
    }

    /// The character of the `\u` escape at `at`, and where it ends. Half a surrogate pair is refused.
    fn unicode(&self, at: usize) -> Option<(char, usize)> {
        let first = self.hex(at + 2)?;
        if !(0xd800..0xe000).contains(&first) {
            return Some((char::from_u32(first)?, at + 6));
        }
        if first >= 0xdc00 || self.text[at + 6..].first_chunk::<2>() != Some(b"\\u") {
            return None;
        }
        let second = self.hex(at + 8)?;
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, at + 12))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
    }

    #[inline]
    fn word(&mut self, at: usize, word: &[u8], kind: Kind, bits: u64) -> usize {
        if !self.text[at..].starts_with(word) {
            return REFUSED;
        }
        self.nodes.push(Node::new(kind, 0, bits));
        at + word.len()
    }

    #[inline]
    fn number(&mut self, start: usize) -> usize {
        let is_negative = self.text[start] == b'-';
        let first = start + usize::from(is_negative);
        let mut at = first;
        let mut whole = 0u64;
        let mut is_too_long = false;
        while let digit @ 0..=9 = self.text[at].wrapping_sub(b'0') {
            let next = whole.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit)));
            is_too_long |= next.is_none();
            whole = next.unwrap_or(0);
            at += 1;
        }
        if at == first || (at > first + 1 && self.text[first] == b'0') {
            return REFUSED;
        }
        if matches!(self.text[at], b'.' | b'e' | b'E') {
            return self.float(start, at);
        }
        let (kind, bits) = match is_negative {
            _ if is_too_long => return REFUSED,
            false if whole <= i64::MAX as u64 => (Kind::Int, whole),
            false => (Kind::UInt, whole),
            true if whole <= i64::MIN.unsigned_abs() => (Kind::Int, whole.wrapping_neg()),
            true => return REFUSED,
        };
        self.nodes.push(Node::new(kind, 0, bits));
        at
    }

    /// The number at `start` whose fraction or exponent begins at `at`.
    #[inline(never)]
    fn float(&mut self, start: usize, mut at: usize) -> usize {
        let digits = |text: &[u8], from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if self.text[at] == b'.' {
            let count = digits(self.text, at + 1);
            at += 1 + count;
            if count == 0 {
                return REFUSED;
            }
        }
        if matches!(self.text[at], b'e' | b'E') {
            at += 1;
            if matches!(self.text[at], b'+' | b'-') {
                at += 1;
            }
            let count = digits(self.text, at);
            at += count;
            if count == 0 {
                return REFUSED;
            }
        }
        let value: Option<f64> = std::str::from_utf8(&self.text[start..at]).ok().and_then(|text| text.parse().ok());
        let Some(value) = value.filter(|value| value.is_finite()) else { return REFUSED };
        self.nodes.push(Node::new(Kind::Float, 0, value.to_bits()));
        at
    }
}
