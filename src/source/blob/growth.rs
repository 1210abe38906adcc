//! Records of a text that grows at its end, each exactly once.
//!
//! Azure writes a flow log as `{"records":[R1,R2]}` and, a minute later, as `{"records":[R1,R2,R3]}`: the tail is written over, what stands before it
//! stays. Resource logs are lines, to which lines are added. So what is done with ends behind the last whole record, and reading goes on there:
//! whatever closes the text now may be a comma the next time.

/// Where reading of a text goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes that are done with.
    pub offset: u64,
    /// They end within the list of an envelope.
    pub is_inside: bool,
}

/// A record, or broken text that belongs to none.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Where it begins. Unit: bytes from the start of the text.
    pub start: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where reading goes on behind it.
    pub mark: Mark,
}

/// What is known about the bytes behind those that were pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There are more now.
    NotYet,
    /// There are none now, but there may be later.
    ForNow,
    /// There will be none.
    Final,
}

/// Reads a text from a mark on. Push what there is, and take pieces until there is none.
pub struct Growth {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are done with.
    at: usize,
    /// Place in the text of the first byte of `buffer`.
    base: u64,
    is_inside: bool,
    /// A record that is not whole at this size is handed on as broken text. Unit: bytes.
    max: usize,
    scan: Scan,
}

/// How far the search for the end of an object has come. Texts in double quotes are passed over.
#[derive(Debug, Clone, Copy, Default)]
struct Scan {
    /// Relative to where the search began.
    at: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Scan {
    /// Goes on with the search in `text`, which begins where the search began. Answers where the object ends.
    fn end(&mut self, text: &[u8]) -> Option<usize> {
        while let Some(byte) = text.get(self.at) {
            self.at += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// How an envelope begins: `{"records":[`, blanks anywhere between.
enum Head {
    /// So many bytes.
    Is(usize),
    IsNot,
    /// It may, by the bytes there are.
    MayBe,
}

impl Growth {
    /// Reads from `mark` on.
    pub fn new(mark: Mark, max: usize) -> Growth {
        Growth { buffer: Vec::new(), at: 0, base: mark.offset, is_inside: mark.is_inside, max, scan: Scan::default() }
    }

    /// Takes the next bytes of the text.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes are left that are more than what closes a list.
    pub fn has_rest(&self) -> bool {
        self.buffer[self.at..].iter().any(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b']' | b'}'))
    }

    /// The next piece; `None` when more bytes are needed.
    pub fn next(&mut self, end: End) -> Option<Piece<'_>> {
        let length = loop {
            self.skip();
            let text = &self.buffer[self.at..];
            match *text.first()? {
                b']' if self.is_inside => match self.leave(end)? {
                    0 => return None,
                    left => {
                        self.at += left;
                        self.is_inside = false;
                        continue;
                    }
                },
                b'[' if !self.is_inside => {
                    self.at += 1;
                    self.is_inside = true;
                    continue;
                }
                // What closes an envelope that was left, or nothing at all: no data is in it.
                b']' | b'}' if !self.is_inside => {
                    self.at += 1;
                    continue;
                }
                b'{' => {
                    if !self.is_inside {
                        match head(text) {
                            Head::Is(length) => {
                                self.at += length;
                                self.is_inside = true;
                                continue;
                            }
                            Head::MayBe if end != End::Final => return None,
                            Head::MayBe | Head::IsNot => {}
                        }
                    }
                    match self.scan.end(text) {
                        Some(length) => break length,
                        None if end == End::Final || text.len() >= self.max => break text.len(),
                        None => return None,
                    }
                }
                // No record begins so. Up to where one may, it is handed on for somebody to say what is wrong with it.
                _ => match text.iter().position(|byte| matches!(byte, b'\n' | b'{')) {
                    Some(length) => break length,
                    None if end == End::Final || text.len() >= self.max => break text.len(),
                    None => return None,
                },
            }
        };
        self.scan = Scan::default();
        let start = self.at;
        self.at += length;
        let mark = Mark { offset: self.base + self.at as u64, is_inside: self.is_inside };
        Some(Piece { start: self.base + start as u64, bytes: &self.buffer[start..self.at], mark })
    }

    /// Passes over what stands between records.
    fn skip(&mut self) {
        if self.base == 0 && self.at == 0 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        let blanks = self.buffer[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
        self.at += blanks;
    }

    /// At the end of a list: how many bytes close it when another text follows, 0 when nothing does so far.
    fn leave(&self, end: End) -> Option<usize> {
        let text = &self.buffer[self.at..];
        let blank = |from: usize| from + text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let at = blank(1);
        let closed = match text.get(at) {
            None => return None,
            // Other members of the envelope follow.
            Some(b',') => at + Scan { depth: 1, ..Scan::default() }.end(&text[at..])?,
            Some(b'}') => at + 1,
            // The list stood alone.
            Some(_) => return Some(at),
        };
        let next = blank(closed);
        if next < text.len() { Some(next) } else { (end != End::NotYet).then_some(0) }
    }
}

fn head(text: &[u8]) -> Head {
    let mut at = 0;
    for word in [&b"{"[..], b"\"records\"", b":", b"["] {
        at += text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &text[at..];
        if rest.len() < word.len() {
            return if word[..rest.len()].eq_ignore_ascii_case(rest) { Head::MayBe } else { Head::IsNot };
        }
        if !rest[..word.len()].eq_ignore_ascii_case(word) {
            return Head::IsNot;
        }
        at += word.len();
    }
    Head::Is(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads versions of a text one after the other, in chunks; answers every piece.
    fn read(versions: &[String], chunk: usize, is_final: bool) -> Vec<String> {
        let mut mark = Mark::default();
        let mut found = Vec::new();
        for (number, version) in versions.iter().enumerate() {
            let mut growth = Growth::new(mark, 1 << 20);
            let bytes = version.as_bytes().get(mark.offset as usize..).unwrap_or_default();
            let last = if is_final && number + 1 == versions.len() { End::Final } else { End::ForNow };
            for (at, piece) in bytes.chunks(chunk.max(1)).enumerate() {
                growth.push(piece);
                let end = if (at + 1) * chunk >= bytes.len() { last } else { End::NotYet };
                while let Some(piece) = growth.next(end) {
                    assert_eq!(&version.as_bytes()[piece.start as usize..][..piece.bytes.len()], piece.bytes, "its place");
                    found.push(String::from_utf8_lossy(piece.bytes).into_owned());
                    mark = piece.mark;
                }
            }
        }
        found
    }

    #[test]
    fn shapes_of_growing_texts() {
        let r = |number: usize| format!(r#"{{"n":{number},"t":"]}},{{\"\\"}}"#);
        let (a, b, c) = (r(1), r(2), r(3));
        let all = vec![a.clone(), b.clone(), c.clone()];
        for (name, versions) in [
            (
                "an envelope whose tail is written over",
                vec![format!("{{\"records\":[{a}]}}"), format!("{{\"records\":[{a},{b}]}}"), format!("{{\"records\":[{a},{b},{c}]}}")],
            ),
            (
                "an envelope without its tail",
                vec![format!("{{\"records\":[{a}"), format!("{{\"records\":[{a},{b}"), format!("{{\"records\":[{a},{b},{c}")],
            ),
            (
                "a leading comma and line ends",
                vec![format!("\u{feff}{{ \"Records\" : [\r\n{a}\n]\n}}\n"), format!("\u{feff}{{ \"Records\" : [\r\n{a}\n,\n{b},{c}]}}")],
            ),
            ("lines", vec![format!("{a}\n"), format!("{a}\n{b}\n{c}\n")]),
            ("half a line", vec![format!("{a}\n{}", &b[..7]), format!("{a}\n{b}\n{c}")]),
            ("half a head", vec!["{\"rec".to_owned(), format!("{{\"records\":[{a},{b},{c}]}}")]),
            ("a list", vec![format!("[{a}]"), format!("[{a},{b},{c}]")]),
            ("several envelopes", vec![format!("{{\"records\":[{a}]}}\n"), format!("{{\"records\":[{a}]}}\n{{\"records\":[{b},{c}]}}\n")]),
            (
                "members behind the list",
                vec![format!("{{\"records\":[{a}],\"x\":[1]}}"), format!("{{\"records\":[{a},{b},{c}],\"x\":[1]}}")],
            ),
            ("nothing new", vec![format!("{{\"records\":[{a},{b},{c}]}}"); 3]),
        ] {
            for chunk in [1, 3, 7, 1000] {
                assert_eq!(read(&versions, chunk, true), all, "case: {name}, chunks of {chunk}");
            }
        }
    }

    #[test]
    fn what_is_no_record_is_handed_on_and_takes_no_neighbour_with_it() {
        let text = "{\"records\":[{\"a\":1},null,{\"b\":2},{\"c\":".to_owned();
        assert_eq!(read(std::slice::from_ref(&text), 5, false), ["{\"a\":1}", "null,", "{\"b\":2}"]);
        assert_eq!(read(&[text], 5, true), ["{\"a\":1}", "null,", "{\"b\":2}", "{\"c\":"], "when it will not grow any more");
        assert_eq!(read(&["garbage\n{\"a\":1}\nrest".to_owned()], 4, true), ["garbage", "{\"a\":1}", "rest"]);
        let mut growth = Growth::new(Mark::default(), 16);
        growth.push(b"{\"records\":[{\"long\":\"0123456789");
        assert_eq!(growth.next(End::NotYet).map(|piece| piece.bytes.len()), Some(19), "too long to wait for");
    }

    #[test]
    fn a_rest_is_more_than_what_closes() {
        for (text, expected) in [("{\"records\":[{\"a\":1}]}\n", false), ("{\"records\":[{\"a\":1},{", true), ("", false)] {
            let mut growth = Growth::new(Mark::default(), 1 << 20);
            growth.push(text.as_bytes());
            while growth.next(End::ForNow).is_some() {}
            assert_eq!(growth.has_rest(), expected, "case: {text}");
        }
    }

    proptest! {
        /// However a text grew and was cut into chunks, every record comes once and in order.
        #[test]
        fn every_record_comes_once(
            texts in prop::collection::vec("[a-z\"\\\\{}\\[\\],: ]{0,12}", 1..30),
            steps in prop::collection::vec(0usize..4, 1..12),
            chunk in 1usize..40,
            lines in any::<bool>(),
        ) {
            let records: Vec<String> = texts.iter().map(|text| format!("{{\"t\":{}}}", serde_json::Value::from(text.as_str()))).collect();
            let mut versions = Vec::new();
            let mut shown = 0;
            for step in steps.into_iter().chain([records.len()]) {
                shown = (shown + step).min(records.len());
                let now = &records[..shown];
                versions.push(if lines { now.iter().map(|record| format!("{record}\n")).collect() } else { format!("{{\"records\":[{}]}}", now.join(",")) });
            }
            prop_assert_eq!(read(&versions, chunk, true), records);
        }
    }
}
