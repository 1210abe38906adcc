//! Where one JSON value ends, judged by structure alone.
//!
//! The scanner accepts more than JSON: raw control characters, single quotes, stray commas and bare words, because a record with such a
//! fault can still be cut out cleanly. What it does not accept is structure that cannot be right, and there it stops: soon after the damage.

/// The structure was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where the last token before the fault begins: a boundary that the fault hides cannot lie before it.
    pub resume: usize,
    /// The text ended inside the value; more text might mend that.
    pub ended: bool,
}

/// The first place at or after `at` that is not JSON white space.
#[inline]
pub fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Like [`skip_space`], but commas count as space.
pub fn skip_commas(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t' | b',')) {
        at += 1;
    }
    at
}

/// The end of the text in double quotes that begins at `at`; `None` when it does not end.
pub fn double_quoted(text: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let hit = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[hit] == b'"' {
            return Some(hit + 1);
        }
        from = hit + 2;
    }
}

/// The end of the text in single quotes that begins at `at`.
///
/// An apostrophe ends it only before `,`, `:`, `}`, `]` or the end; a line end never stands inside, so a stray apostrophe cannot eat the next line.
///
/// # Errors
///
/// `Err(true)` when the text ended first, `Err(false)` at a line end.
pub fn single_quoted(text: &[u8], at: usize, last: bool) -> Result<usize, bool> {
    let mut from = at + 1;
    loop {
        let hit = match text.get(from..).and_then(|rest| memchr::memchr3(b'\'', b'\\', b'\n', rest)) {
            Some(hit) => from + hit,
            None => return Err(true),
        };
        match text[hit] {
            b'\\' => from = hit + 2,
            b'\'' => match text.get(skip_space(text, hit + 1)) {
                Some(b',' | b':' | b'}' | b']') => return Ok(hit + 1),
                None if last => return Ok(hit + 1),
                None => return Err(true),
                _ => from = hit + 1,
            },
            _ => return Err(false),
        }
    }
}

/// A tolerant scanner; the stack is kept between values.
#[derive(Default)]
pub struct Scanner {
    stack: Vec<u8>,
    /// The deepest nesting of the last scanned value; a scalar has 0.
    pub deepest: usize,
    /// A text in single quotes was met since somebody set this to false: it may have swallowed the ends of records.
    pub has_single: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// A value after a colon, or the value asked for.
    Value,
    /// An element or the end of an array.
    Element,
    /// A name or the end of an object.
    Name,
    Colon,
    /// A comma or the end of the container.
    After,
}

impl Scanner {
    /// The end of the value that begins at `start`. `last` says that no more text can follow.
    ///
    /// # Errors
    ///
    /// [`Lost`]
    pub fn value(&mut self, text: &[u8], start: usize, last: bool) -> Result<usize, Lost> {
        self.stack.clear();
        self.deepest = 0;
        let mut expect = Expect::Value;
        let mut at = start;
        let mut token = start;
        loop {
            if expect == Expect::After && self.stack.is_empty() {
                return Ok(at);
            }
            at = skip_space(text, at);
            let Some(&byte) = text.get(at) else { return Err(Lost { resume: token, ended: true }) };
            let lost = Lost { resume: token.min(at), ended: false };
            match (expect, byte) {
                (Expect::Value | Expect::Element, b'{') => {
                    self.push(byte);
                    expect = Expect::Name;
                    at += 1;
                }
                (Expect::Value | Expect::Element, b'[') => {
                    self.push(byte);
                    expect = Expect::Element;
                    at += 1;
                }
                (Expect::Element | Expect::Name, b',') => at += 1,
                (Expect::Element | Expect::After, b']') if self.stack.last() == Some(&b'[') => {
                    self.stack.pop();
                    expect = Expect::After;
                    at += 1;
                }
                (Expect::Name | Expect::After, b'}') if self.stack.last() == Some(&b'{') => {
                    self.stack.pop();
                    expect = Expect::After;
                    at += 1;
                }
                (Expect::After, b',') => {
                    expect = if self.stack.last() == Some(&b'{') { Expect::Name } else { Expect::Element };
                    at += 1;
                }
                (Expect::Colon, b':') => {
                    expect = Expect::Value;
                    at += 1;
                }
                (Expect::Value | Expect::Element | Expect::Name, b'"' | b'\'') => {
                    token = at;
                    let end = if byte == b'"' {
                        double_quoted(text, at).ok_or(Lost { resume: token, ended: true })?
                    } else {
                        let end = single_quoted(text, at, last).map_err(|ended| Lost { resume: token, ended })?;
                        self.has_single = true;
                        end
                    };
                    expect = if expect == Expect::Name { Expect::Colon } else { Expect::After };
                    at = end;
                }
                (Expect::Value | Expect::Element, b']' | b'}' | b',' | b':') => return Err(lost),
                (Expect::Value | Expect::Element, _) => {
                    token = at;
                    at = self.bare(text, at, last)?;
                    expect = Expect::After;
                }
                _ => return Err(lost),
            }
        }
    }

    fn push(&mut self, opener: u8) {
        self.stack.push(opener);
        self.deepest = self.deepest.max(self.stack.len());
    }

    /// A number, a word, or text somebody forgot to quote: up to the next comma or closer. Outside every container a line end ends it too.
    fn bare(&self, text: &[u8], at: usize, last: bool) -> Result<usize, Lost> {
        let outside = self.stack.is_empty();
        for (step, &byte) in text[at..].iter().enumerate() {
            match byte {
                b',' | b']' | b'}' => return Ok(at + step),
                b'\n' if outside => return Ok(at + step),
                b'"' | b'{' | b'[' => return Err(Lost { resume: at, ended: false }),
                _ => {}
            }
        }
        if last && outside { Ok(text.len()) } else { Err(Lost { resume: at, ended: true }) }
    }
}
