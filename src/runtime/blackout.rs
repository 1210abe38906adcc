//! Takes private members out of raw bytes, for dead letters with `content = "redacted"`.
//!
//! A rejected record may not be JSON, so this reads text and not a document: whatever looks like a private member loses its value, also
//! inside JSON text that is a string of another JSON. Where the end of a value is not found, everything to the end goes.
use crate::plan::redact::{sensitive_name, sensitive_tree};

/// What stands in the place of a value.
const BLACKED: &[u8] = b"[redacted:private]";

/// The same bytes without the values of private members.
pub fn blackout(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut from, mut at) = (0, 0);
    // A private name holds no quotes or backslashes, so it is found from the quote that closes it, whatever stands before.
    while let Some(found) = memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
        let close = at + found;
        at = close + 1;
        let colon = skip_space(bytes, at);
        if bytes.get(colon) != Some(&b':') {
            continue;
        }
        let end = close - slashes_before(bytes, close);
        let start = end - bytes[..end].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count();
        let name = &bytes[start..end];
        if start <= from || bytes[start - 1] != b'"' || !sensitive_name(name) {
            continue;
        }
        let value = skip_space(bytes, colon + 1);
        let depth = bytes[value..].iter().take_while(|byte| **byte == b'\\').count();
        let quote = value + depth;
        if bytes.get(quote) == Some(&b'"') {
            let end = closing(bytes, quote + 1, depth).unwrap_or(bytes.len());
            out.extend_from_slice(&bytes[from..=quote]);
            out.extend_from_slice(BLACKED);
            (from, at) = (end, end);
            // The quote that closes the value opens no name.
            if let Some(quote) = memchr::memchr(b'"', &bytes[end..]) {
                at = end + quote + 1;
            }
        } else if sensitive_tree(name) {
            // Inside JSON text in a string the end of a container is not looked for.
            let end = if close == end { container(bytes, value) } else { None }.unwrap_or(bytes.len());
            out.extend_from_slice(&bytes[from..value]);
            out.extend_from_slice(b"\"");
            out.extend_from_slice(BLACKED);
            out.extend_from_slice(b"\"");
            (from, at) = (end, end);
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    bytes.iter().skip(at).position(|byte| !byte.is_ascii_whitespace()).map_or(bytes.len(), |skipped| at + skipped)
}

/// How many backslashes stand directly before `at`: 0 for a plain quote, 1 for one inside a JSON string, 3 for one inside that.
fn slashes_before(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// Where a string ends whose own quotes carry `depth` backslashes: at the first of those before its closing quote.
///
/// Each backslash at the end of the text itself adds a whole step of them. Fewer than `depth` close an outer string, and this one with it.
fn closing(bytes: &[u8], from: usize, depth: usize) -> Option<usize> {
    let step = 2 * (depth + 1);
    let mut at = from;
    while let Some(found) = memchr::memchr(b'"', bytes.get(at..)?) {
        let quote = at + found;
        let slashes = bytes[from..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        if slashes % step == depth || slashes < depth {
            return Some(quote - slashes.min(depth));
        }
        at = quote + 1;
    }
    None
}

/// The end of an object, array or scalar that begins at `start`, outside of strings. `None` when it does not end.
fn container(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut at) = (0usize, start);
    loop {
        match bytes.get(at)? {
            b'"' => at = closing(bytes, at + 1, 0)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_values_go_and_the_rest_stays() {
        for (name, text, expected) in [
            ("string", r#"{"a":1,"requestBody":"hello \"you\"","b":2}"#, r#"{"a":1,"requestBody":"[redacted:private]","b":2}"#),
            ("ends in a backslash", r#"{"password":"x\\","b":"y"}"#, r#"{"password":"[redacted:private]","b":"y"}"#),
            ("object", r#"{"RequestMessages":[{"t":"a]"}],"b":2}"#, r#"{"RequestMessages":"[redacted:private]","b":2}"#),
            ("access decision", r#"{"authorization":{"action":"read"}}"#, r#"{"authorization":{"action":"read"}}"#),
            (
                "nested text",
                r#"{"p":"{\"responseBody\":\"secret\",\"n\":1}"}"#,
                r#"{"p":"{\"responseBody\":\"[redacted:private]\",\"n\":1}"}"#,
            ),
            ("cut off", r#"{"a":1,"requestBody":"hel"#, r#"{"a":1,"requestBody":"[redacted:private]"#),
            ("a value that reads like a name", r#"{"kind":"requestBody","b":"c"}"#, r#"{"kind":"requestBody","b":"c"}"#),
            ("no JSON", "plain text", "plain text"),
        ] {
            assert_eq!(String::from_utf8_lossy(&blackout(text.as_bytes())), expected, "case: {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_private_text_never_comes_through(before in "[\"\\\\{}:, a-z]{0,12}", text in "[a-z \\\\]{0,8}") {
            // Whatever stands before, a canary in a private member at the start of an object is gone.
            let body = format!("{before}\n{{\"responseBody\":\"canary{}\"}}", text.replace('\\', "\\\\"));
            let shown = String::from_utf8_lossy(&blackout(body.as_bytes())).into_owned();
            proptest::prop_assert!(!shown.contains("canary"), "{body} -> {shown}");
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in proptest::collection::vec(proptest::sample::select(b"\"\\{}[]:,ab requestBody".to_vec()), 0..80)) {
            blackout(&bytes);
        }
    }
}
