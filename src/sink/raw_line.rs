//! A raw message as a line of an archive: the body as it came, and what replaying it needs to know.
//!
//! ```json
//! {"udmill_raw":{"topic":"azure-logs","partition":3,"offset":42,"received_ms":1767225600000},"value":{"records":[{"time":"..."}]}}
//! ```
//! A body that is JSON stands in `value` as it came, but for line ends between its words, which become blanks. Any other text stands in
//! `value_text`, other bytes base64-encoded in `value_base64`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// How such a line begins, which no log does.
const BEGINS: &[u8] = b"{\"udmill_raw\":";

/// A raw message of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine<'a> {
    /// Topic of the source it came from.
    pub topic: Cow<'a, str>,
    /// Its partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// When the broker had it. Unit: milliseconds since the Unix epoch.
    pub received_ms: Option<i64>,
    /// The body.
    pub body: Cow<'a, [u8]>,
}

impl<'a> RawLine<'a> {
    /// Appends one line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut place = json!({ "topic": self.topic, "partition": self.partition, "offset": self.offset });
        if let Some(received_ms) = self.received_ms {
            place["received_ms"] = json!(received_ms);
        }
        out.extend_from_slice(BEGINS);
        out.extend_from_slice(place.to_string().as_bytes());
        // What is passed over is not looked at for UTF-8.
        if std::str::from_utf8(&self.body).is_ok() && serde_json::from_slice::<IgnoredAny>(&self.body).is_ok() {
            out.extend_from_slice(b",\"value\":");
            // No text in JSON holds a line end as it is, so each one stands between two words.
            out.extend(self.body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        } else {
            let (name, text) = match std::str::from_utf8(&self.body) {
                Ok(text) => ("value_text", Cow::Borrowed(text)),
                Err(_) => ("value_base64", Cow::Owned(BASE64.encode(&self.body))),
            };
            out.extend_from_slice(format!(",\"{name}\":{}", Value::from(text)).as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }

    /// Reads a line, when it is one: `None` for anything else, which then is a log of its own.
    ///
    /// # Errors
    ///
    /// It begins like one and is broken.
    pub fn read(line: &'a [u8]) -> Option<Result<RawLine<'a>, &'static str>> {
        Some(Self::parse(line.strip_prefix(BEGINS)?.trim_ascii_end()).ok_or("a raw line of an archive is cut or changed"))
    }

    fn parse(line: &'a [u8]) -> Option<RawLine<'a>> {
        let mut values = serde_json::Deserializer::from_slice(line).into_iter::<Value>();
        let place = values.next()?.ok()?;
        let rest = line.get(values.byte_offset()..)?.strip_suffix(b"}")?;
        let text = |rest: &[u8]| serde_json::from_slice::<String>(rest).ok();
        let body = if let Some(body) = rest.strip_prefix(b",\"value\":") {
            // A line whose end is cut off may look like a whole one with a shorter body.
            serde_json::from_slice::<IgnoredAny>(body).ok()?;
            Cow::Borrowed(body)
        } else if let Some(rest) = rest.strip_prefix(b",\"value_text\":") {
            Cow::Owned(text(rest)?.into_bytes())
        } else {
            Cow::Owned(BASE64.decode(text(rest.strip_prefix(b",\"value_base64\":")?)?).ok()?)
        };
        Some(RawLine {
            topic: Cow::Owned(place["topic"].as_str()?.to_owned()),
            partition: i32::try_from(place["partition"].as_i64()?).ok()?,
            offset: place["offset"].as_i64()?,
            received_ms: place["received_ms"].as_i64(),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (name, body, kept) in [
            ("a record", &b"{\"a\":1}"[..], &b"{\"a\":1}"[..]),
            ("pretty", b"{\n  \"a\": \"x\\ny\"\r\n}\n", b"{   \"a\": \"x\\ny\"  } "),
            ("several values", b"{\"a\":1}\n{\"b\":2}", b"{\"a\":1}\n{\"b\":2}"),
            ("cut", b"{\"a\":\"}", b"{\"a\":\"}"),
            ("no UTF-8 in a text", b"\"\xff\"", b"\"\xff\""),
            ("no UTF-8", &[0x1f, 0x8b, 0xff, b'\n'], &[0x1f, 0x8b, 0xff, b'\n']),
            ("empty", b"", b""),
            ("a number beyond 64 bits", b"[123456789012345678901234567890]", b"[123456789012345678901234567890]"),
        ] {
            for received_ms in [None, Some(1_767_225_600_000)] {
                let line = RawLine { topic: "a\"}".into(), partition: 3, offset: 42, received_ms, body: body.into() };
                let mut out = Vec::new();
                line.write(&mut out);
                assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1), "one line: {name}");
                let expected = RawLine { body: kept.into(), ..line };
                assert_eq!(RawLine::read(&out), Some(Ok(expected)), "case: {name}");
                assert!(matches!(RawLine::read(&out[..out.len() - 2]), Some(Err(_))), "cut: {name}");
            }
        }
    }

    #[test]
    fn other_lines_are_logs() {
        for line in ["{\"time\":\"...\"}", "", "[]", " {\"udmill_raw\":1}"] {
            assert_eq!(RawLine::read(line.as_bytes()), None, "case: {line}");
        }
    }
}
