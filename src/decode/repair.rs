//! Stated corrections of text that is almost JSON.

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
