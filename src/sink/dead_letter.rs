//! What a dead letter looks like as a message: its value, pieces and headers.
use std::ops::Range;

use crate::config::{DeadLetterContent, header};

/// What is known about a rejected record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter<'a> {
    /// Topic, partition and offset of the record's first arrival.
    pub origin: (&'a str, i32, i64),
    /// When it first arrived. Unit: milliseconds since the Unix epoch.
    pub received_ms: Option<i64>,
    /// Index within its message; `None` for a whole body.
    pub record: Option<u32>,
    /// `decode`, `map`, `deliver`, ...
    pub stage: &'a str,
    /// Stable code.
    pub code: &'a str,
    /// Source path within the record; may be empty.
    pub path: &'a str,
    /// What was expected and found.
    pub detail: &'a str,
    /// The output that alone lacks the record.
    pub output: Option<&'a str>,
}

/// A header's `detail` is cut here: brokers count headers against the message's limit.
const DETAIL_MAX_BYTES: usize = 512;

impl Letter<'_> {
    /// The message key: pieces of one letter, and letters of one message, stay together and in order.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.origin.0, self.origin.1, self.origin.2)
    }

    /// Header names and values. `piece` is the number of this piece and of all, from 1; left out when there is but one.
    pub fn headers(&self, content: DeadLetterContent, piece: (usize, usize)) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (header::STAGE, self.stage.to_owned()),
            (header::CODE, self.code.to_owned()),
            (header::TOPIC, self.origin.0.to_owned()),
            (header::PARTITION, self.origin.1.to_string()),
            (header::OFFSET, self.origin.2.to_string()),
            (
                header::CONTENT,
                match content {
                    DeadLetterContent::Raw => "raw",
                    DeadLetterContent::Redacted => "redacted",
                    DeadLetterContent::Hash => "hash",
                }
                .to_owned(),
            ),
        ];
        if let Some(record) = self.record {
            headers.push((header::RECORD, record.to_string()));
        }
        if let Some(received_ms) = self.received_ms {
            headers.push((header::RECEIVED, received_ms.to_string()));
        }
        for (name, text) in [(header::PATH, self.path), (header::DETAIL, self.detail), (header::OUTPUT, self.output.unwrap_or_default())] {
            if !text.is_empty() {
                headers.push((name, cut(text, DETAIL_MAX_BYTES).to_owned()));
            }
        }
        if piece.1 > 1 {
            headers.push((header::PIECE, format!("{}/{}", piece.0, piece.1)));
        }
        headers
    }
}

/// The ranges of a value's pieces, each at most `piece_max_bytes` long. An empty value is one empty piece.
pub fn pieces(value_bytes: usize, piece_max_bytes: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let step = piece_max_bytes.max(1);
    let count = value_bytes.div_ceil(step).max(1);
    (0..count).map(move |index| index * step..value_bytes.min((index + 1) * step))
}

/// The value under a content setting. `redact` is only called for `redacted`.
pub fn value(content: DeadLetterContent, bytes: Vec<u8>, redact: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    match content {
        DeadLetterContent::Raw => bytes,
        DeadLetterContent::Redacted => redact(&bytes),
        DeadLetterContent::Hash => format!("blake3:{}", blake3::hash(&bytes).to_hex()).into_bytes(),
    }
}

/// At most `limit` bytes of a text, cut before a character.
fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_value() {
        for (name, bytes, limit, expected) in [
            ("empty", 0, 10, [(0, 0)].as_slice()),
            ("below", 9, 10, &[(0, 9)]),
            ("exact", 10, 10, &[(0, 10)]),
            ("one more", 11, 10, &[(0, 10), (10, 11)]),
            ("two exact", 20, 10, &[(0, 10), (10, 20)]),
        ] {
            assert_eq!(pieces(bytes, limit).map(|range| (range.start, range.end)).collect::<Vec<_>>(), expected, "case: {name}");
        }
    }

    #[test]
    fn long_details_are_cut_before_a_character() {
        assert_eq!(cut("aöb", 2), "a");
        assert_eq!(cut("aöb", 3), "aö");
        assert_eq!(cut("aöb", 4), "aöb");
    }

    #[test]
    fn a_hash_does_not_hold_the_record() {
        let hashed = value(DeadLetterContent::Hash, b"secret".to_vec(), |bytes| bytes.to_vec());
        assert!(hashed.starts_with(b"blake3:") && hashed.len() == 7 + 64);
        assert_eq!(value(DeadLetterContent::Redacted, b"secret".to_vec(), |_| b"***".to_vec()), b"***");
    }
}
