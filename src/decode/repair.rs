//! Stated corrections of text that is almost JSON.

use super::json_text::write_string;
use super::scan;

/// What was corrected in a record before it could be read: a set of words from a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Repair(u16);

impl Repair {
    /// Names and texts in single quotes.
    pub const SINGLE_QUOTES: Repair = Repair(1);
    /// Raw control characters, line ends among them, inside text.
    pub const CONTROL_CHARACTERS: Repair = Repair(1 << 1);
    /// A number beyond 64 bits, kept as text.
    pub const BIG_NUMBER: Repair = Repair(1 << 2);
    /// Half of a surrogate pair, replaced by U+FFFD.
    pub const LONE_SURROGATE: Repair = Repair(1 << 3);
    /// Bytes that are not UTF-8, replaced by U+FFFD.
    pub const INVALID_UTF8: Repair = Repair(1 << 4);
    /// A backslash before a character that JSON does not escape, kept as text.
    pub const STRAY_ESCAPE: Repair = Repair(1 << 5);
    /// Commas with nothing between or after them.
    pub const STRAY_COMMA: Repair = Repair(1 << 6);
    /// `None`, `True`, `False`, `NaN`, `Infinity`, `undefined` as other languages write them.
    pub const FOREIGN_WORD: Repair = Repair(1 << 7);

    const WORDS: [&'static str; 8] = [
        "single_quotes",
        "control_characters",
        "big_number",
        "lone_surrogate",
        "invalid_utf8",
        "stray_escape",
        "stray_comma",
        "foreign_word",
    ];

    /// The words of this set, in the order of the list above.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, word)| word)
    }

    /// Both sets together.
    pub fn join(a: Option<Repair>, b: Option<Repair>) -> Option<Repair> {
        match (a, b) {
            (Some(a), Some(b)) => Some(Repair(a.0 | b.0)),
            (a, b) => a.or(b),
        }
    }
}

/// Writes `text` to `out` with every stated correction made, and says which were. `None` when there was nothing to correct, or a text
/// has no end. The result may still not be JSON.
pub fn repair(text: &[u8], out: &mut Vec<u8>) -> Option<Repair> {
    out.clear();
    out.reserve(text.len());
    let valid = String::from_utf8_lossy(text);
    let mut pen = Pen { text: valid.as_bytes(), out, made: 0, commas: 0, fresh: true };
    if let std::borrow::Cow::Owned(_) = valid {
        pen.note(Repair::INVALID_UTF8);
    }
    pen.run()?;
    let made = pen.made;
    (made != 0).then_some(Repair(made))
}

struct Pen<'a> {
    text: &'a [u8],
    out: &'a mut Vec<u8>,
    made: u16,
    /// Commas read and not yet written.
    commas: usize,
    /// Nothing was written since a container was opened.
    fresh: bool,
}

impl Pen<'_> {
    fn note(&mut self, repair: Repair) {
        self.made |= repair.0;
    }

    fn run(&mut self) -> Option<()> {
        let mut at = 0;
        while let Some(&byte) = self.text.get(at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => {
                    self.out.push(b' ');
                    at += 1;
                }
                b',' => {
                    self.commas += 1;
                    at += 1;
                }
                b'{' | b'[' => {
                    self.before_value();
                    self.out.push(byte);
                    self.fresh = true;
                    at += 1;
                }
                b'}' | b']' => {
                    if self.commas > 0 {
                        self.note(Repair::STRAY_COMMA);
                    }
                    (self.commas, self.fresh) = (0, false);
                    self.out.push(byte);
                    at += 1;
                }
                b':' => {
                    self.out.push(b':');
                    at += 1;
                }
                b'"' => {
                    self.before_value();
                    let end = scan::double_quoted(self.text, at)?;
                    self.quoted(at + 1, end - 1);
                    at = end;
                }
                b'\'' => {
                    self.before_value();
                    self.note(Repair::SINGLE_QUOTES);
                    let end = scan::single_quoted(self.text, at, true).ok()?;
                    self.quoted(at + 1, end - 1);
                    at = end;
                }
                _ => {
                    self.before_value();
                    let stop = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"' | b'\'');
                    let end = self.text[at..].iter().position(stop).map_or(self.text.len(), |n| at + n);
                    self.word(at, end);
                    at = end;
                }
            }
        }
        Some(())
    }

    /// Writes the one comma that belongs before a value or name.
    fn before_value(&mut self) {
        if self.commas > usize::from(!self.fresh) {
            self.note(Repair::STRAY_COMMA);
        }
        if self.commas > 0 && !self.fresh {
            self.out.push(b',');
        }
        (self.commas, self.fresh) = (0, false);
    }

    fn word(&mut self, from: usize, to: usize) {
        let word = &self.text[from..to];
        let plain: &[u8] = match word {
            b"None" | b"NaN" | b"Infinity" | b"-Infinity" | b"undefined" => b"null",
            b"True" => b"true",
            b"False" => b"false",
            _ => b"",
        };
        if !plain.is_empty() {
            self.note(Repair::FOREIGN_WORD);
            self.out.extend_from_slice(plain);
        } else if is_big_number(word) {
            self.note(Repair::BIG_NUMBER);
            write_string(word, self.out);
        } else {
            self.out.extend_from_slice(word);
        }
    }

    /// The inside of a text, `from..to`, as JSON writes it.
    fn quoted(&mut self, from: usize, to: usize) {
        self.out.push(b'"');
        let mut at = from;
        while at < to {
            let byte = self.text[at];
            match byte {
                b'\\' if at + 1 < to => at = self.escape(at, to),
                b'"' | b'\\' => {
                    self.out.extend_from_slice(&[b'\\', byte]);
                    at += 1;
                }
                0..0x20 => {
                    self.note(Repair::CONTROL_CHARACTERS);
                    self.unicode(u32::from(byte));
                    at += 1;
                }
                _ => {
                    self.out.push(byte);
                    at += 1;
                }
            }
        }
        self.out.push(b'"');
    }

    /// The escape at `at`; gives the place after it.
    fn escape(&mut self, at: usize, to: usize) -> usize {
        match self.text[at + 1] {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.out.extend_from_slice(&self.text[at..at + 2]);
                at + 2
            }
            b'\'' => {
                self.note(Repair::STRAY_ESCAPE);
                self.out.push(b'\'');
                at + 2
            }
            b'u' => {
                let Some(unit) = self.code_unit(at, to) else { return self.backslash(at) };
                let pair =
                    (0xd800..0xdc00).contains(&unit) && self.code_unit(at + 6, to).is_some_and(|low| (0xdc00..0xe000).contains(&low));
                if pair {
                    self.out.extend_from_slice(&self.text[at..at + 12]);
                    return at + 12;
                }
                if (0xd800..0xe000).contains(&unit) {
                    self.note(Repair::LONE_SURROGATE);
                    self.unicode(0xfffd);
                } else {
                    self.out.extend_from_slice(&self.text[at..at + 6]);
                }
                at + 6
            }
            _ => self.backslash(at),
        }
    }

    fn backslash(&mut self, at: usize) -> usize {
        self.note(Repair::STRAY_ESCAPE);
        self.out.extend_from_slice(b"\\\\");
        at + 1
    }

    /// The four hexadecimal digits of the `\u` escape at `at`, when it is one and ends by `to`.
    fn code_unit(&self, at: usize, to: usize) -> Option<u32> {
        let escape = self.text[..to].get(at..at + 6)?;
        if !escape.starts_with(b"\\u") || !escape[2..].iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
    }

    fn unicode(&mut self, unit: u32) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            self.out.push(HEX[(unit >> shift) as usize & 15]);
        }
    }
}

/// A JSON number that neither 64 bits nor a finite `f64` can hold.
fn is_big_number(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    if !digits.first().is_some_and(u8::is_ascii_digit) || (digits[0] == b'0' && digits.get(1).is_some_and(u8::is_ascii_digit)) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(word) else { return false };
    if digits.iter().all(u8::is_ascii_digit) {
        return text.parse::<i64>().is_err() && text.parse::<u64>().is_err();
    }
    let last = digits[digits.len() - 1];
    last.is_ascii_digit() && text.parse::<f64>().is_ok_and(|f| !f.is_finite())
}
