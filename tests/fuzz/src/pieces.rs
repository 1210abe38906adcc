//! What the targets share: how long a run goes on, damage to bytes, records whose loss would show.

use std::time::Instant;

/// How long a run goes on: so many executions or, where seconds are given, until they are over.
pub struct Budget {
    executions: u64,
    seconds: Option<u64>,
    start: Instant,
    /// Executions begun.
    pub done: u64,
}

impl Budget {
    /// A run that begins now.
    pub fn new(executions: u64, seconds: Option<u64>) -> Budget {
        Budget { executions, seconds, start: Instant::now(), done: 0 }
    }

    /// Whether there is one more to do; counts it.
    pub fn more(&mut self) -> bool {
        let goes_on = match self.seconds {
            Some(seconds) => self.start.elapsed().as_secs() < seconds,
            None => self.done < self.executions,
        };
        self.done += u64::from(goes_on);
        goes_on
    }
}

/// One of a list.
pub fn one<'a, T: ?Sized>(random: &mut fastrand::Rng, of: &[&'a T]) -> &'a T {
    of[random.usize(..of.len())]
}

/// Bytes changed, dropped, doubled, cut off, or pieces put in.
pub fn damage(random: &mut fastrand::Rng, text: &mut Vec<u8>, pieces: &[&str]) {
    let at = random.usize(..=text.len());
    let end = (at + 1 + random.usize(..20)).min(text.len());
    match random.u8(..8) {
        0 if at < text.len() => text[at] = random.u8(..),
        1 if at < text.len() => text[at] ^= 1 << random.u8(..8),
        2 => drop(text.drain(at..end)),
        3 if at < text.len() => drop(text.remove(at)),
        4 => {
            let twice = text[at..end].to_vec();
            text.splice(at..at, twice);
        }
        5 if random.u8(..) < 64 => text.truncate(at),
        6 => drop(text.splice(at..end, one(random, pieces).bytes())),
        _ => drop(text.splice(at..at, one(random, pieces).bytes())),
    }
}

/// What damage to JSON puts in.
pub const JSON_PIECES: [&str; 29] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    "\n",
    "\r\n",
    " ",
    "\u{1e}",
    "null",
    "tru",
    "None",
    "NaN",
    "1e999",
    "18446744073709551616",
    "\\ud800",
    "\\u12",
    "\u{feff}",
    "]}",
    "}{",
    "},{",
    "],",
    "],\"",
    "\"records\":[",
    "\u{1}",
];

/// The byte that stands in every record and in nothing else that the generators write.
pub const MARK: u8 = b'#';

/// A record of a log with nested lists, escapes and JSON text in it. Its members repeat the mark, so that losing any stretch of it shows.
pub fn record(random: &mut fastrand::Rng, number: usize) -> String {
    let first = match random.u8(..3) {
        0 => r##""time":"2026-03-04T10:00:00Z#","category":"AuditEvent#""##,
        1 => r##""resourceId":"/SUBSCRIPTIONS/X#","time":"2026-03-04T10:00:00Z#","category":"x""##,
        _ => r##""count":4,"time":"2026-03-04T10:00:00Z#","metricName":"m#","resourceId":"/s#""##,
    };
    let flows: Vec<String> =
        (0..random.usize(..4)).map(|n| format!(r##"{{"rule":"r{n}#","flowTuples":["{n},198.51.100.7,D#"],"time":{n}}}"##)).collect();
    format!(
        r##"{{{first},"n":"#{number}","properties":{{"text":"a\"b#}},{{\\","flows":[{}],"message":"{{\"x#\":[1,2]}}"}},"last":"z#{number}"}}"##,
        flows.join(",")
    )
}

/// Damage of the kinds that streams suffer and that leaves no JSON behind; the first two names stay, by which a record is told from a
/// nested object. `None` where this piece of damage left JSON.
pub fn broken(random: &mut fastrand::Rng, record: &str) -> Option<String> {
    let bytes = record.as_bytes();
    let quotes: Vec<usize> = (1..bytes.len()).filter(|at| bytes[*at] == b'"' && bytes[at - 1] != b'\\').collect();
    let closers: Vec<usize> = (0..bytes.len()).filter(|at| matches!(bytes[*at], b'}' | b']')).collect();
    let mut out = record.to_owned();
    match random.u8(..6) {
        0 => drop(out.remove(quotes[8 + random.usize(..quotes.len() - 8)])),
        1 => drop(out.remove(closers[random.usize(..closers.len())])),
        2 => out.insert(quotes[8 + random.usize(..quotes.len() - 8)], '"'),
        3 => out = out.replacen("\"n\":", "\"n\":nul", 1),
        4 => out.truncate(out.len() / 2 + random.usize(..out.len() / 2 - 1)),
        _ => out = out.replacen("\"properties\":", "\"properties\" ", 1),
    }
    serde_json::from_str::<serde_json::Value>(&out).is_err().then_some(out)
}

/// Records as bodies and files hold them.
pub fn wrapped(form: u8, records: &[String]) -> String {
    match form {
        0 => records.join("\n"),
        1 => format!("{{\"records\":[{}]}}", records.join(",")),
        2 => format!("[\n{}\n]\n", records.join(",\n")),
        _ => {
            let (one, two) = records.split_at(records.len() / 2);
            format!("{{\"records\":[{}]}}\n{{\"records\":[{}]}}\n", one.join(","), two.join(","))
        }
    }
}

/// The names by which the program knows a record anywhere; the records above begin with them.
const MARKERS: [&str; 4] = ["time", "category", "resourceId", "metricName"];

/// Where an object whose brackets match ends, by brackets and double quotes alone.
fn object_end(text: &[u8], start: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = text_end(text, at)?,
            b'{' | b'[' => open.push(byte + 2),
            b'}' | b']' if open.pop() != Some(byte) => return None,
            b'}' | b']' if open.is_empty() => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The quote that ends a text.
fn text_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The names that records have among the members of a stretch, not of what is nested in it.
fn names(text: &[u8], gap: std::ops::Range<usize>) -> usize {
    let named = |at: usize| {
        let Some(end) = text_end(text, at) else { return false };
        let is_name = text[end + 1..].trim_ascii_start().starts_with(b":");
        is_name && MARKERS.iter().any(|marker| marker.as_bytes() == &text[at + 1..end])
    };
    let (mut depth, mut names, mut at) = (0, 0, gap.start);
    while at < gap.end {
        match text[at] {
            b'"' => {
                names += usize::from(depth == 0 && named(at));
                at = text_end(text, at).unwrap_or(text.len());
            }
            b'{' | b'[' => depth += 1,
            // The list of records ends here, not one of the gap's own.
            b'}' | b']' if depth == 0 => {}
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    names
}

/// What the README says of damage: bytes may pass without an outcome only among the members beside the records of an envelope, and when
/// fewer than two of them are called as records' members are. Before the list: when it begins as a list does. Behind it: when the brackets
/// of the whole object match and nothing goes on behind it.
fn may_pass(text: &[u8], gap: std::ops::Range<usize>) -> bool {
    let marks = || gap.clone().filter(|at| text[*at] == MARK);
    let (Some(first), Some(last)) = (marks().next(), marks().next_back()) else { return true };
    let head = text[..first].iter().rposition(|byte| *byte == b'{').filter(|at| *at >= gap.start);
    if let Some(head) = head
        && text[gap.clone()].trim_ascii_end().ends_with(b"\"records\":[")
    {
        let begins = text[gap.end..].iter().find(|byte| !byte.is_ascii_whitespace());
        return names(text, head + 1..gap.end) < 2 && matches!(begins, None | Some(b'{' | b'"' | b'n' | b'\''));
    }
    let starts = (0..first).filter(|at| text[*at..].starts_with(b"{\"records\":["));
    let is_around = |start: usize| {
        object_end(text, start).is_some_and(|end| {
            let behind = text[end..].iter().find(|byte| !byte.is_ascii_whitespace());
            end > last && !matches!(behind, Some(b',' | b':' | b']' | b'}'))
        })
    };
    names(text, gap.clone()) < 2 && starts.into_iter().any(is_around)
}

/// Stretches of a text that no range covers, that hold the mark and that should not have been passed over.
pub fn lost(text: &[u8], ranges: impl Iterator<Item = std::ops::Range<usize>>) -> Option<String> {
    let mut from = 0;
    for range in ranges.chain([text.len()..text.len()]) {
        if range.start > from {
            let gap = &text[from..range.start];
            if gap.contains(&MARK) && !may_pass(text, from..range.start) {
                return Some(String::from_utf8_lossy(gap).into_owned());
            }
        }
        from = from.max(range.end);
    }
    None
}
