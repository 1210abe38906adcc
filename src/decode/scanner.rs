//! [`Scanner`]: JSON text to nodes in one walk.
//!
//! For records of a few kilobytes a walk that looks at every byte once beats a parser of two stages, whose first stage has to be paid whatever
//! the text is: see `docs/performance.md`. Text is compared in blocks; nothing is copied but what an escape shortens, and a text
//! without escapes is marked, because it can be written again as it stands.
//!
//! It accepts what RFC 8259 allows, but for numbers beyond 64 bits or beyond `f64` and for half surrogate pairs, which the tolerant path reads.

use wide::u8x16;

use super::backend::{Backend, PADDING, Refused};
use super::doc::{Kind, Node, Plain};

/// A strict parser in one walk, with its stack kept between messages.
pub struct Scanner {
    nesting: usize,
    /// Containers that are open, outermost first.
    open: Vec<u32>,
}

impl Scanner {
    /// A parser that refuses values nested deeper than `nesting`.
    pub fn new(nesting: usize) -> Self {
        Scanner { nesting, open: Vec::new() }
    }
}

impl Backend for Scanner {
    fn parse(&mut self, text: &mut [u8], base: usize, nodes: &mut Vec<Node>) -> Result<(), Refused> {
        let before = nodes.len();
        let end = text.len().checked_sub(PADDING).ok_or(Refused)?;
        simdutf8::basic::from_utf8(&text[..end]).map_err(|_| Refused)?;
        self.open.clear();
        let mut run = Run { text, base, nodes, open: &mut self.open, nesting: self.nesting };
        let result = run.values().and_then(|at| (run.space(at) == end).then_some(()).ok_or(Refused));
        if result.is_err() {
            nodes.truncate(before);
        }
        result
    }
}

/// A bit for every quote, backslash and control character.
#[inline(always)]
fn specials(lane: [u8; 16]) -> u32 {
    let lane = u8x16::new(lane);
    let visible = lane.max(u8x16::splat(0x20)).simd_eq(lane);
    let marks = lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\'));
    (marks | !visible).to_bitmask()
}

/// One parse. Places are handed from step to step, not kept here: that leaves them in registers.
struct Run<'a> {
    /// With [`PADDING`] zeros at its end: a zero stands nowhere in JSON, so every loop ends there without counting.
    text: &'a mut [u8],
    base: usize,
    nodes: &'a mut Vec<Node>,
    open: &'a mut Vec<u32>,
    nesting: usize,
}

impl Run<'_> {
    /// One value with all it holds; where it ends.
    fn values(&mut self) -> Result<usize, Refused> {
        let mut at = 0;
        loop {
            at = self.space(at);
            at = match self.text[at] {
                b'"' => self.string(at + 1)?,
                b'{' => match self.enter(Kind::Object, at + 1, b'}')? {
                    (next, true) => {
                        at = self.name(next)?;
                        continue;
                    }
                    (next, false) => next,
                },
                b'[' => match self.enter(Kind::Array, at + 1, b']')? {
                    (next, true) => {
                        at = next;
                        continue;
                    }
                    (next, false) => next,
                },
                b'-' | b'0'..=b'9' => self.number(at)?,
                b't' => self.word(at, b"true", Kind::Bool, 1)?,
                b'f' => self.word(at, b"false", Kind::Bool, 0)?,
                b'n' => self.word(at, b"null", Kind::Null, 0)?,
                _ => return Err(Refused),
            };
            // What follows a value: a comma and another one, or the ends of containers.
            loop {
                let Some(&top) = self.open.last() else { return Ok(at) };
                at = self.space(at);
                let (byte, after) = (self.text[at], self.nodes.len() as u64);
                let top = &mut self.nodes[top as usize];
                top.len += 1;
                at += 1;
                match (byte, top.kind) {
                    (b',', Kind::Object) => {
                        at = self.space(at);
                        at = self.name(at)?;
                        break;
                    }
                    (b',', _) => break,
                    (b'}', Kind::Object) | (b']', Kind::Array) => {
                        top.bits = after;
                        self.open.pop();
                    }
                    _ => return Err(Refused),
                }
            }
        }
    }

    /// Opens a container whose first byte inside is at `at`: where its first item begins, or, with `false`, what follows its end.
    #[inline]
    fn enter(&mut self, kind: Kind, at: usize, close: u8) -> Result<(usize, bool), Refused> {
        if self.open.len() >= self.nesting {
            return Err(Refused);
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(Node::new(kind, 0, u64::from(number) + 1));
        let at = self.space(at);
        if self.text[at] == close {
            return Ok((at + 1, false));
        }
        self.open.push(number);
        Ok((at, true))
    }

    /// A member's name at `at` and its colon.
    #[inline]
    fn name(&mut self, at: usize) -> Result<usize, Refused> {
        if self.text[at] != b'"' {
            return Err(Refused);
        }
        let at = self.string(at + 1)?;
        let at = self.space(at);
        if self.text[at] != b':' {
            return Err(Refused);
        }
        Ok(at + 1)
    }

    /// The first place from `at` on that is not white space.
    #[inline(always)]
    fn space(&self, mut at: usize) -> usize {
        while matches!(self.text[at], b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
        }
        at
    }

    /// Where, from `at` on, the first quote, backslash or control character stands.
    #[inline(always)]
    fn special(&self, mut at: usize) -> usize {
        // Two lanes at a time, because most texts end within them: how often a loop runs is what a processor guesses wrong.
        while let Some(block) = self.text.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
            let lanes: &[[u8; 16]] = block.as_chunks().0;
            let bits = specials(lanes[0]) | specials(lanes[1]) << 16;
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at += 32;
        }
        // Only where the padding is cut short; the byte there ends every text.
        self.text.len() - 1
    }

    /// A text whose first byte is at `start`; what follows its closing quote.
    #[inline(always)]
    fn string(&mut self, start: usize) -> Result<usize, Refused> {
        let end = self.special(start);
        if self.text[end] != b'"' {
            return self.escaped(start, end);
        }
        let bits = (self.base + start) as u64;
        self.nodes.push(Node { kind: Kind::Str, plain: Plain::Yes, len: (end - start) as u32, bits });
        Ok(end + 1)
    }

    /// The rest of a text whose first special byte stands at `at`. Escapes only ever shorten it, so it is unescaped where it stands.
    #[inline(never)]
    fn escaped(&mut self, start: usize, mut at: usize) -> Result<usize, Refused> {
        let mut to = at;
        loop {
            match self.text[at] {
                b'"' => break,
                b'\\' => {
                    let short = match self.text[at + 1] {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            let (char, next) = self.unicode(at)?;
                            to += char.encode_utf8(&mut self.text[to..]).len();
                            at = next;
                            0
                        }
                        _ => return Err(Refused),
                    };
                    if short != 0 {
                        self.text[to] = short;
                        to += 1;
                        at += 2;
                    }
                }
                _ => return Err(Refused),
            }
            let next = self.special(at);
            self.text.copy_within(at..next, to);
            to += next - at;
            at = next;
        }
        self.nodes.push(Node::new(Kind::Str, (to - start) as u32, (self.base + start) as u64));
        Ok(at + 1)
    }

    /// The character of the `\u` escape at `at`, and where it ends. Half a surrogate pair is refused.
    fn unicode(&self, at: usize) -> Result<(char, usize), Refused> {
        let first = self.hex(at + 2)?;
        if !(0xd800..0xe000).contains(&first) {
            return Ok((char::from_u32(first).ok_or(Refused)?, at + 6));
        }
        if first >= 0xdc00 || self.text[at + 6..].first_chunk::<2>() != Some(b"\\u") {
            return Err(Refused);
        }
        let second = self.hex(at + 8)?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Refused);
        }
        let char = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(Refused)?;
        Ok((char, at + 12))
    }

    fn hex(&self, at: usize) -> Result<u32, Refused> {
        let digits = self.text.get(at..at + 4).ok_or(Refused)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).ok_or(Refused);
        digits.iter().try_fold(0, |value, byte| Ok(value << 4 | digit(byte)?))
    }

    #[inline]
    fn word(&mut self, at: usize, word: &[u8], kind: Kind, bits: u64) -> Result<usize, Refused> {
        if !self.text[at..].starts_with(word) {
            return Err(Refused);
        }
        self.nodes.push(Node::new(kind, 0, bits));
        Ok(at + word.len())
    }

    #[inline]
    fn number(&mut self, start: usize) -> Result<usize, Refused> {
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
            return Err(Refused);
        }
        if matches!(self.text[at], b'.' | b'e' | b'E') {
            return self.float(start, at);
        }
        let (kind, bits) = match is_negative {
            _ if is_too_long => return Err(Refused),
            false if whole <= i64::MAX as u64 => (Kind::Int, whole),
            false => (Kind::UInt, whole),
            true if whole <= i64::MIN.unsigned_abs() => (Kind::Int, whole.wrapping_neg()),
            true => return Err(Refused),
        };
        self.nodes.push(Node::new(kind, 0, bits));
        Ok(at)
    }

    /// The number at `start` whose fraction or exponent begins at `at`.
    #[inline(never)]
    fn float(&mut self, start: usize, mut at: usize) -> Result<usize, Refused> {
        let digits = |text: &[u8], from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if self.text[at] == b'.' {
            let count = digits(self.text, at + 1);
            at += 1 + count;
            if count == 0 {
                return Err(Refused);
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
                return Err(Refused);
            }
        }
        let text = std::str::from_utf8(&self.text[start..at]).map_err(|_| Refused)?;
        let value: f64 = text.parse().map_err(|_| Refused)?;
        if !value.is_finite() {
            return Err(Refused);
        }
        self.nodes.push(Node::new(Kind::Float, 0, value.to_bits()));
        Ok(at)
    }
}
