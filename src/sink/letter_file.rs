//! Dead letters as lines of a file: why a record was rejected, where it stood, and its own bytes, so that it can be driven again.
//!
//! ```json
//! {"stage":"map","code":"time_missing","path":"time","detail":"...","received":"2026-01-01T00:00:00Z","source":{"file":"a.ndjson","offset":0},"value":"{...}"}
//! ```
//! A value that is not UTF-8 stands base64-encoded in `value_base64` instead of `value`. One that is not the record's own bytes any more stands
//! in `value_redacted` or `value_hash`, which nobody reads back.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// One rejected record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where in the flow it was rejected: `decode`, `map`, `emit`.
    pub stage: String,
    /// The stable code of the reason.
    pub code: String,
    /// The source or target path concerned; may be empty.
    pub path: String,
    /// What was found, redacted.
    pub detail: String,
    /// The broker's timestamp in milliseconds since the Unix epoch, UTC.
    pub received_ms: Option<i64>,
    /// The file it came from.
    pub file: String,
    /// Offset in bytes of its message in the (decompressed) file.
    pub offset: u64,
    /// The record's own bytes, unless `content` says otherwise.
    pub value: Vec<u8>,
    /// What the value is: `redacted` and `hash` are for people only. Empty stands for `raw`.
    pub content: String,
}

impl DeadLetter {
    /// Appends one line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = json!({ "stage": self.stage, "code": self.code, "path": self.path, "detail": self.detail });
        if let Some(received) = self.received_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            line["received"] = Value::String(received.to_string());
        }
        line["source"] = json!({ "file": self.file, "offset": self.offset });
        match std::str::from_utf8(&self.value) {
            Ok(text) if matches!(&*self.content, "redacted" | "hash") => {
                line[format!("value_{}", self.content)] = Value::String(text.to_owned());
            }
            Ok(text) => line["value"] = Value::String(text.to_owned()),
            Err(_) => line["value_base64"] = Value::String(BASE64.encode(&self.value)),
        }
        // Writing to a vector cannot fail.
        let _ = writeln!(out, "{line}");
    }

    /// Reads one line.
    ///
    /// # Errors
    ///
    /// A text saying what the line lacks. Members it does not know are passed over: a later version may write more.
    pub fn read(line: &[u8]) -> Result<DeadLetter, String> {
        let mut parsed: Value = serde_json::from_slice(line).map_err(|fault| format!("no JSON: {fault}"))?;
        let mut take = |name: &str| parsed.get_mut(name).map(Value::take).unwrap_or_default();
        let value = match (take("value"), take("value_base64")) {
            (Value::String(text), _) => text.into_bytes(),
            (_, Value::String(text)) => BASE64.decode(text).map_err(|fault| format!("`value_base64` is no base64: {fault}"))?,
            _ if parsed.get("value_redacted").is_some() || parsed.get("value_hash").is_some() => {
                return Err("the record's own bytes were not kept; `dead_letter.content = \"raw\"` keeps them".to_owned());
            }
            _ => return Err("neither `value` nor `value_base64` holds a text; is this a dead-letter file?".to_owned()),
        };
        let received_ms = match &parsed["received"] {
            Value::String(text) => {
                let time: jiff::Timestamp = text.parse().map_err(|fault| format!("`received` is no RFC 3339 time: {fault}"))?;
                Some(time.as_millisecond())
            }
            _ => None,
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(DeadLetter {
            stage: text(&parsed["stage"]),
            code: text(&parsed["code"]),
            path: text(&parsed["path"]),
            detail: text(&parsed["detail"]),
            received_ms,
            file: text(&parsed["source"]["file"]),
            offset: parsed["source"]["offset"].as_u64().unwrap_or_default(),
            value,
            content: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (name, value) in [("text", b"{\"a\":\"\n\xc3\xa9\"}".to_vec()), ("no UTF-8", vec![b'{', 0xff, 0]), ("empty", vec![])] {
            let letter = DeadLetter {
                stage: "map".into(),
                code: "time_missing".into(),
                path: "time".into(),
                detail: "no `time`".into(),
                received_ms: Some(1_700_000_000_123),
                file: "a \"b\".ndjson".into(),
                offset: 17,
                value,
                content: String::new(),
            };
            let mut line = Vec::new();
            letter.write(&mut line);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line: {name}");
            assert_eq!(DeadLetter::read(&line).as_ref(), Ok(&letter), "case: {name}");
        }
    }

    #[test]
    fn what_is_not_the_records_own_bytes_is_not_read_back() {
        for content in ["redacted", "hash"] {
            let letter = DeadLetter { value: b"***".to_vec(), content: content.into(), ..DeadLetter::default() };
            let mut line = Vec::new();
            letter.write(&mut line);
            assert!(DeadLetter::read(&line).is_err_and(|fault| fault.contains("were not kept")), "case: {content}");
        }
    }

    #[test]
    fn a_line_without_a_value_is_refused() {
        for line in ["", "{}", "[1]", "{\"value\":{}}", "{\"value_base64\":\"*\"}", "{\"value\":\"x\",\"received\":\"yesterday\"}"] {
            assert!(DeadLetter::read(line.as_bytes()).is_err(), "case: {line}");
        }
    }
}
