//! A stream of text cut into records, sound or not.
//!
//! The cutter knows where it stands: between top-level values, among the elements of an envelope, or behind them. When the structure is
//! lost it looks for the next place where a record begins: an object after a comma that looks like the records before it, or an object at
//! the start of a line. The same cutter serves whole bodies and files read in chunks; with text still to come it only decides what no
//! later byte can change.

use super::names::{Names, is_envelope_member, is_marker};
use super::scan::{Lost, Scanner, double_quoted, skip_commas, skip_space};

/// How far a candidate record is looked into.
const LOOK_BYTES: usize = 16 << 10;
/// Bytes of looking earned by a byte cut.
const LOOK_EARNED: usize = 4;

/// Why a piece is not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The structure was lost inside.
    Structure,
    /// The text ended inside.
    Truncated,
}

/// One step of a [`Cutter`]; the next one starts at `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A value, or broken bytes between values.
    Piece {
        /// Its first byte.
        start: usize,
        /// After its last byte.
        end: usize,
        /// `None` when its structure is whole.
        fault: Option<Fault>,
    },
    /// Bytes of an envelope: its head up to and with `[`, its tail from `]`, or the space behind one that was never closed.
    Envelope {
        /// After its last byte.
        end: usize,
    },
    /// Nothing can be decided without more text.
    More,
    /// Only separators are left.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Top,
    /// Among elements; of an object's member, or of an array. `opened`: before the first one.
    Elements {
        member: bool,
        opened: bool,
    },
    /// Behind the elements of an object's member.
    Tail,
}

/// What stands behind an object at the top.
#[derive(Clone, Copy, PartialEq)]
enum Behind {
    /// The end, a line of its own, or another value.
    Nothing,
    /// More elements, or the end of their list: what ended before them was no envelope.
    Elements,
    /// Something that goes on where nothing should.
    Text,
}

impl Behind {
    /// Where the cutter stands then.
    fn mode(self) -> Mode {
        match self {
            Behind::Elements => Mode::Elements { member: true, opened: false },
            Behind::Nothing | Behind::Text => Mode::Top,
        }
    }
}

/// See the module's page.
pub struct Cutter {
    mode: Mode,
    /// Whether `value` and `data` hold records as `records` does.
    lists: bool,
    scanner: Scanner,
    /// The first two names of the first record, each followed by a NUL.
    signature: Vec<u8>,
    /// The names of the first whole record.
    names: Names,
    /// Bytes that may still be looked at.
    budget: usize,
    /// Something that is no JSON stood in the envelope since it was opened: what looks like its end may be that of a record cut short.
    has_lost: bool,
    /// The text is JSON: whatever stands beside records is the envelope's.
    is_sound: bool,
    /// The text at hand ends before the stream does.
    is_part: bool,
}

impl Cutter {
    /// A cutter that stands before a top-level value. `budget`: bytes that may be read again in search of records; a multiple of the
    /// text's length, so that hostile text costs linear time. More is earned with every byte cut.
    pub fn new(lists: bool, budget: usize) -> Self {
        Cutter {
            mode: Mode::Top,
            lists,
            scanner: Scanner::default(),
            signature: Vec::new(),
            names: Names::default(),
            budget,
            has_lost: false,
            is_sound: false,
            is_part: false,
        }
    }

    /// The same for a text that is JSON as a whole, of which only the places of its records are wanted.
    pub fn of_sound(lists: bool, budget: usize) -> Self {
        Cutter { is_sound: true, ..Cutter::new(lists, budget) }
    }

    /// Whether it stands within an envelope.
    pub fn is_inside(&self) -> bool {
        self.mode != Mode::Top
    }

    /// The deepest nesting of the last piece.
    pub fn deepest(&self) -> usize {
        self.scanner.deepest
    }

    /// The next step from `from`; `last` says that no more text can follow. After [`Step::More`] call again with more text from the same place.
    pub fn next(&mut self, text: &[u8], from: usize, last: bool) -> Step {
        let step = match self.mode {
            Mode::Top => self.top(text, from, last),
            Mode::Elements { member, opened } => self.element(text, from, member, opened, last),
            Mode::Tail => self.tail(text, from, last),
        };
        if let Step::Piece { end, .. } | Step::Envelope { end } = step {
            self.budget = self.budget.saturating_add((end - from) * LOOK_EARNED);
        }
        step
    }

    /// The next step from the start of `text`, the most that may be looked at although more may follow: something is decided.
    pub fn next_of_part(&mut self, text: &[u8]) -> Step {
        self.is_part = true;
        let step = self.next(text, 0, true);
        self.is_part = false;
        step
    }

    fn top(&mut self, text: &[u8], from: usize, last: bool) -> Step {
        let mut at = from;
        // NUL and RS stand between values in some streams; neither begins a value.
        while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | 0 | 0x1e)) {
            at += 1;
        }
        match text.get(at) {
            None if last => Step::End,
            None => Step::More,
            Some(b'[') => {
                let first = skip_space(text, at + 1);
                match text.get(first) {
                    None if !last => Step::More,
                    // An empty array is a value: something must say that there was nothing in it.
                    None | Some(b']') => self.whole(text, at, last),
                    Some(_) => {
                        self.mode = Mode::Elements { member: false, opened: true };
                        self.forget_faults();
                        Step::Envelope { end: at + 1 }
                    }
                }
            }
            Some(b'{') => self.object(text, at, text[from..at].contains(&b','), last),
            Some(_) => self.whole(text, at, last),
        }
    }

    fn whole(&mut self, text: &[u8], at: usize, last: bool) -> Step {
        match self.scanner.value(text, at, last) {
            Ok(end) if end == text.len() && !last && !matches!(text[at], b'{' | b'[' | b'"') => Step::More,
            Ok(end) => Step::Piece { start: at, end, fault: None },
            Err(lost) => self.lost(text, at, lost, last),
        }
    }

    /// A top-level object: an envelope as soon as a member with records is met, else a record. A comma before it says that it once stood
    /// among elements, where few envelopes do.
    fn object(&mut self, text: &[u8], start: usize, has_comma: bool, last: bool) -> Step {
        let mut at = start + 1;
        let mut deepest = 0;
        let mut of_records = 0;
        // Whether it has members that no envelope has, and whether it has them behind a list of records that is empty.
        let (mut has_more, mut is_empty, mut has_rest) = (false, false, false);
        loop {
            let end = at;
            at = skip_commas(text, at);
            match text.get(at) {
                Some(b'}') => {
                    if is_empty && has_rest && !self.is_sound {
                        let Some(behind) = self.behind(text, at + 1, last) else { return Step::More };
                        if behind != Behind::Nothing {
                            // The first record lost its head behind a `]`.
                            let step = self.rest(start, at + 1, Some(Fault::Structure));
                            self.mode = behind.mode();
                            return step;
                        }
                    }
                    self.scanner.deepest = deepest + 1;
                    self.learn(text, start);
                    self.learn_names(&text[..=at], start);
                    return Step::Piece { start, end: at + 1, fault: None };
                }
                None => return self.lost(text, start, Lost { resume: start + 1, ended: true }, last),
                _ => {}
            }
            let name = at;
            let value = match self.member(text, at, last) {
                Ok(value) => value,
                Err(lost) => return self.lost(text, start, lost, last),
            };
            if self.holds_records(text, name) && text.get(value) == Some(&b'[') {
                let first = skip_space(text, value + 1);
                match text.get(first) {
                    None if !last => return Step::More,
                    Some(b']') => is_empty = true,
                    _ if has_more && !self.is_sound => {
                        let Some(is_list) = begins_list(text, value + 1, last) else { return Step::More };
                        if of_records < 2 && is_list && !has_comma {
                            self.mode = Mode::Elements { member: true, opened: true };
                            self.forget_faults();
                            return Step::Envelope { end: value + 1 };
                        }
                        // A record runs into a list: the envelope of others, or what damage made of one of its own.
                        self.mode = Mode::Tail;
                        return self.rest(start, end, Some(Fault::Structure));
                    }
                    _ => {
                        self.mode = Mode::Elements { member: true, opened: true };
                        self.forget_faults();
                        return Step::Envelope { end: value + 1 };
                    }
                }
            }
            if !is_envelope_member(text, name, value) {
                has_more = true;
                has_rest |= is_empty;
                of_records += usize::from(of_records < 2 && self.is_of_record(text, name));
            }
            match self.scanner.value(text, value, last) {
                Ok(end) => at = end,
                Err(lost) => return self.lost(text, start, lost, last),
            }
            deepest = deepest.max(self.scanner.deepest);
            match text.get(skip_space(text, at)) {
                Some(b',' | b'}') => {}
                None => return self.lost(text, start, Lost { resume: value, ended: true }, last),
                Some(_) => return self.lost(text, start, Lost { resume: value, ended: false }, last),
            }
        }
    }

    /// Where the value of the member that begins at `at` begins.
    fn member(&mut self, text: &[u8], at: usize, last: bool) -> Result<usize, Lost> {
        if !matches!(text.get(at), Some(b'"' | b'\'')) {
            return Err(Lost { resume: at, ended: at >= text.len() });
        }
        let end = self.scanner.value(text, at, last)?;
        let colon = skip_space(text, end);
        match text.get(colon) {
            Some(b':') => {}
            other => return Err(Lost { resume: at, ended: other.is_none() }),
        }
        let value = skip_space(text, colon + 1);
        if value >= text.len() {
            return Err(Lost { resume: at, ended: true });
        }
        Ok(value)
    }

    fn holds_records(&self, text: &[u8], name: usize) -> bool {
        let is = |word: &[u8]| text.get(name + 1..name + 1 + word.len()).is_some_and(|n| n.eq_ignore_ascii_case(word));
        is(b"records\"") || self.lists && (is(b"value\"") || is(b"data\""))
    }

    fn element(&mut self, text: &[u8], from: usize, member: bool, opened: bool, last: bool) -> Step {
        let at = skip_commas(text, from);
        match text.get(at) {
            None if last => return Step::End,
            None => return Step::More,
            Some(b']') => {
                if !member {
                    self.mode = Mode::Top;
                    return Step::Envelope { end: at + 1 };
                }
                return match text.get(skip_space(text, at + 1)) {
                    None if !last => Step::More,
                    None | Some(b'}' | b',') => {
                        self.has_lost |= commas(&text[from..at]) > 0;
                        self.mode = Mode::Tail;
                        Step::Envelope { end: at + 1 }
                    }
                    Some(_) => self.lost(text, at, Lost { resume: at, ended: false }, last),
                };
            }
            // A new line without a comma before it: the envelope was never closed and something else begins.
            Some(b'{' | b'[') if !opened && at > from && text[at - 1] == b'\n' && !text[from..at].contains(&b',') => {
                // A step of its own: asking for more text must not change where the cutter stands.
                self.mode = Mode::Top;
                return Step::Envelope { end: at };
            }
            Some(_) => {}
        }
        let end = match self.scanner.value(text, at, last) {
            Ok(end) => end,
            Err(lost) => return self.lost(text, at, lost, last),
        };
        // A value that ends too early still looks whole; what follows gives it away.
        let next = skip_space(text, end);
        match text.get(next) {
            None if !last => return Step::More,
            None | Some(b']' | b'{') => {}
            Some(b',') => {
                let after = skip_commas(text, next);
                match text.get(after) {
                    None if !last => return Step::More,
                    Some(b'"') => match double_quoted(text, after).map(|e| text.get(skip_space(text, e))) {
                        None | Some(None) if !last => return Step::More,
                        Some(Some(b':')) => return self.lost(text, at, Lost { resume: end, ended: false }, last),
                        _ => {}
                    },
                    _ => {}
                }
            }
            Some(_) => return self.lost(text, at, Lost { resume: end, ended: false }, last),
        }
        self.learn(text, at);
        self.learn_names(&text[..end], at);
        self.has_lost |= commas(&text[from..at]) != usize::from(!opened);
        self.mode = Mode::Elements { member, opened: false };
        Step::Piece { start: at, end, fault: None }
    }

    /// The members behind the records. What envelopes have there is passed over. A record whose head was lost behind a `]` leaves members
    /// there too: from the first one that no envelope has, they come out as a broken piece if anything says that damage was done.
    fn tail(&mut self, text: &[u8], from: usize, last: bool) -> Step {
        let mut at = from;
        let mut rest = None;
        let mut of_records = 0;
        let mut is_odd = self.has_lost;
        loop {
            let end = at;
            at = skip_commas(text, at);
            match text.get(at) {
                None if !last => return Step::More,
                None => {
                    // An envelope ends by its brace.
                    let fault = Some(Fault::Truncated);
                    return rest.map_or(Step::End, |start| self.rest(start, end, fault));
                }
                Some(b'}') => {
                    is_odd |= commas(&text[end..at]) > 0;
                    break;
                }
                Some(_) => is_odd |= commas(&text[end..at]) != 1,
            }
            let name = at;
            let value = match self.member(text, at, last) {
                Ok(value) => value,
                Err(lost) => return self.lost(text, rest.unwrap_or(name), lost, last),
            };
            if self.holds_records(text, name) && text.get(value) == Some(&b'[') {
                if let Some(start) = rest.filter(|_| !self.is_sound) {
                    return self.rest(start, end, Some(Fault::Structure));
                }
                self.mode = Mode::Elements { member: true, opened: true };
                return Step::Envelope { end: value + 1 };
            }
            if !is_envelope_member(text, name, value) {
                rest.get_or_insert(name);
                of_records += usize::from(self.is_of_record(text, name));
            }
            match self.scanner.value(text, value, last) {
                Ok(end) => at = end,
                Err(lost) => return self.lost(text, rest.unwrap_or(name), lost, last),
            }
        }
        let end = at + 1;
        if let Some(start) = rest.filter(|_| !self.is_sound) {
            let Some(behind) = self.behind(text, end, last) else { return Step::More };
            if behind != Behind::Nothing || is_odd || self.scanner.has_single || of_records >= 2 {
                let step = self.rest(start, end, Some(Fault::Structure));
                self.mode = behind.mode();
                return step;
            }
        }
        self.mode = Mode::Top;
        Step::Envelope { end }
    }

    /// What the bytes from `at` say of the object that ends there; `None` when more text must say it.
    fn behind(&self, text: &[u8], at: usize, last: bool) -> Option<Behind> {
        let next = skip_between(text, at);
        Some(match text.get(next) {
            None if !last => return None,
            // Undecided, so nothing is passed over in silence.
            None if self.is_part => Behind::Text,
            None => Behind::Nothing,
            Some(b',' | b']') => Behind::Elements,
            Some(b':' | b'}') => Behind::Text,
            Some(b'{' | b'[') => Behind::Nothing,
            Some(_) if text[at..next].contains(&b'\n') => Behind::Nothing,
            Some(_) => Behind::Text,
        })
    }

    /// The rest of a record that stood among the members of an envelope.
    fn rest(&mut self, start: usize, end: usize, fault: Option<Fault>) -> Step {
        self.has_lost = true;
        Step::Piece { start, end, fault }
    }

    /// Whether the name that begins at `name` is one that records have.
    fn is_of_record(&self, text: &[u8], name: usize) -> bool {
        let inner = double_quoted(text, name).and_then(|end| text.get(name + 1..end - 1));
        inner.is_some_and(|inner| self.names.has(inner))
    }

    /// A record of this envelope has turned out to be no JSON.
    pub fn doubt(&mut self) {
        self.has_lost = true;
    }

    /// A new envelope was opened.
    fn forget_faults(&mut self) {
        self.has_lost = false;
        self.scanner.has_single = false;
    }

    /// Cuts the broken bytes from `start` off before the next place where a record begins.
    fn lost(&mut self, text: &[u8], start: usize, lost: Lost, last: bool) -> Step {
        if lost.ended && !last {
            return Step::More;
        }
        if self.signature.is_empty() {
            self.learn(text, start);
        }
        let mut spent = 0;
        let mut end = text.len();
        let mut fault = if lost.ended { Fault::Truncated } else { Fault::Structure };
        let mut mode = Mode::Top;
        // A record cut short may have swallowed its neighbours as elements of its own, so the search begins at its start. Reading
        // them again is paid for; without means the search begins where the structure was lost.
        let resume = lost.resume.clamp(start + 1, text.len().max(start + 1));
        let from = if resume - start <= self.budget { start + 1 } else { resume };
        for brace in memchr::memchr_iter(b'{', text.get(from..).unwrap_or_default()).map(|hit| from + hit) {
            match text.get(skip_space(text, brace + 1)) {
                None if !last => return Step::More,
                Some(b'"') => {}
                _ => continue,
            }
            let gap = text[start..brace].iter().rposition(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t')).map_or(start, |g| start + g);
            let (next, certain) = match text[gap] {
                b',' | b'[' | b':' if text[brace - 1] == b'\n' && self.mode == Mode::Top => (Mode::Top, false),
                b',' => (self.element_mode(), false),
                b'[' if self.mode == Mode::Top => (Mode::Elements { member: text[start] == b'{', opened: true }, false),
                b'[' | b':' => continue,
                _ if text[brace - 1] == b'\n' => (Mode::Top, true),
                b'}' if self.mode == Mode::Tail => (Mode::Top, false),
                b'}' => (self.mode, false),
                _ => continue,
            };
            if !certain {
                match self.looks_like_record(text, brace, last, &mut spent) {
                    None => return Step::More,
                    Some(false) => continue,
                    Some(true) => {}
                }
            }
            spent += resume.saturating_sub(brace);
            mode = next;
            end = brace;
            fault = Fault::Structure;
            break;
        }
        if end == text.len() && !last {
            return Step::More;
        }
        self.budget = self.budget.saturating_sub(spent);
        self.mode = mode;
        self.has_lost = true;
        while end > start + 1 && matches!(text[end - 1], b' ' | b'\n' | b'\r' | b'\t' | b',') {
            end -= 1;
        }
        Step::Piece { start, end, fault: Some(fault) }
    }

    /// Whether the object at `start` has one of these names at its top level, as far as its structure can be followed.
    pub fn has_name(&mut self, text: &[u8], start: usize, words: &[&[u8]]) -> bool {
        let mut hit = false;
        self.each_name(text, start, |name| {
            hit = words.iter().any(|word| name.eq_ignore_ascii_case(word));
            hit
        });
        hit
    }

    fn element_mode(&self) -> Mode {
        match self.mode {
            Mode::Elements { .. } => self.mode,
            Mode::Top | Mode::Tail => Mode::Elements { member: true, opened: true },
        }
    }

    /// Keeps the names that records of this stream begin with.
    fn learn(&mut self, text: &[u8], start: usize) {
        if self.signature.is_empty() {
            let mut signature = std::mem::take(&mut self.signature);
            let mut names = 0;
            self.each_name(text, start, |name| {
                signature.extend_from_slice(name);
                signature.push(0);
                names += 1;
                names == 2
            });
            if names < 2 {
                signature.clear();
            }
            self.signature = signature;
        }
    }

    /// Keeps the names of the first whole object; `text` ends with it, so that what follows cannot change them.
    fn learn_names(&mut self, text: &[u8], start: usize) {
        if self.names.is_empty() {
            let mut names = std::mem::take(&mut self.names);
            self.each_name(text, start, |name| !names.keep(name));
            self.names = names;
        }
    }

    /// Whether the object at `start` begins as the first record did, or has two of the usual names. `None`: not without more text.
    fn looks_like_record(&mut self, text: &[u8], start: usize, last: bool, spent: &mut usize) -> Option<bool> {
        if *spent >= self.budget {
            return Some(false);
        }
        let signature = std::mem::take(&mut self.signature);
        let window = &text[..text.len().min(start + LOOK_BYTES)];
        let (mut markers, mut names, mut matched) = (0, 0, 0);
        let mut yes = false;
        let ended = self.each_name(window, start, |name| {
            markers += usize::from(is_marker(name));
            if names < 2 {
                let rest = &signature[matched..];
                if rest.len() > name.len() && rest.starts_with(name) && rest[name.len()] == 0 {
                    matched += name.len() + 1;
                }
                names += 1;
            }
            yes = markers >= 2 || (!signature.is_empty() && matched == signature.len());
            yes
        });
        self.signature = signature;
        if !yes && ended.1 && window.len() == text.len() && !last {
            return None;
        }
        *spent += ended.0 - start;
        Some(yes)
    }

    /// Calls `each` with the names of the members of the object at `start` until it says true or the structure is lost.
    /// Gives where it stopped and whether the text ended there.
    fn each_name(&mut self, text: &[u8], start: usize, mut each: impl FnMut(&[u8]) -> bool) -> (usize, bool) {
        let deepest = self.scanner.deepest;
        let mut at = start + 1;
        let mut ended = false;
        if text.get(start) == Some(&b'{') {
            loop {
                at = skip_commas(text, at);
                let Some(b'"') = text.get(at) else {
                    ended = at >= text.len();
                    break;
                };
                let Some(end) = double_quoted(text, at) else {
                    ended = true;
                    break;
                };
                let colon = skip_space(text, end);
                if text.get(colon) != Some(&b':') {
                    ended = colon >= text.len();
                    break;
                }
                if each(&text[at + 1..end - 1]) {
                    break;
                }
                let value = skip_space(text, colon + 1);
                match self.scanner.value(text, value, false) {
                    Ok(end) => at = end,
                    Err(lost) => {
                        ended = lost.ended;
                        at = lost.resume.max(at);
                        break;
                    }
                }
            }
        }
        self.scanner.deepest = deepest;
        (at.min(text.len()), ended)
    }
}

/// Whether what follows a `[` is a list's first element: an object, a text or `null`; no member, no word, no comma. `None` when more text
/// must say it.
fn begins_list(text: &[u8], at: usize, last: bool) -> Option<bool> {
    let first = skip_space(text, at);
    let rest = text.get(first..).unwrap_or_default();
    match rest.first() {
        None if !last => None,
        None | Some(b'{' | b'\'' | b']') => Some(true),
        Some(b'"') => match double_quoted(text, first).map(|end| text.get(skip_space(text, end))) {
            None | Some(None) if !last => None,
            Some(Some(b',' | b']')) => Some(true),
            _ => Some(false),
        },
        Some(b'n') if rest.len() < 4 && !last => None,
        Some(_) => Some(rest.starts_with(b"null")),
    }
}

/// How many commas there are among separators.
fn commas(gap: &[u8]) -> usize {
    gap.iter().filter(|byte| **byte == b',').count()
}

/// The first place at or after `at` that holds nothing of what stands between lines or values.
fn skip_between(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t' | 0 | 0x1e)) {
        at += 1;
    }
    at
}
