//! Writing JSON: strings after one escape test, numbers without allocation.

use super::value::{NumberText, Tag, Value};

/// How a field's JSON looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A string; numbers and booleans become text.
    Text,
    /// A number.
    Number,
    /// A 64-bit integer: proto3 JSON writes it as a string.
    Long,
    /// `true` or `false`.
    Bool,
    /// Finished JSON.
    Raw,
}

/// Appends `text` as a JSON string with its quotes.
#[inline]
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, out);
    out.push(b'"');
}

/// Appends `text` with what JSON wants escaped.
#[inline]
pub(crate) fn escaped(text: &[u8], out: &mut Vec<u8>) {
    if !needs_escape(text) {
        out.extend_from_slice(text);
        return;
    }
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        if short != 0 {
            out.extend_from_slice(&[b'\\', short]);
        } else {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// Whether any byte is a quote, a backslash or a control character. Sixteen bytes at a time, which the compiler turns into vector code.
#[inline]
fn needs_escape(text: &[u8]) -> bool {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (chunks, rest) = text.as_chunks::<16>();
    for chunk in chunks {
        if chunk.iter().fold(false, |found, &byte| found | special(byte)) {
            return true;
        }
    }
    rest.iter().fold(false, |found, &byte| found | special(byte))
}

/// Appends a scalar as JSON in the given form.
#[inline]
pub(crate) fn scalar(value: Value, form: Form, text: &[u8], out: &mut Vec<u8>) {
    match (form, value.tag) {
        (_, Tag::Raw) => out.extend_from_slice(value.bytes(text)),
        (Form::Text, Tag::Text) => string(value.bytes(text), out),
        (Form::Number | Form::Bool, _) => out.extend_from_slice(value.shown(text, &mut NumberText::default())),
        (Form::Text | Form::Long | Form::Raw, _) => string(value.shown(text, &mut NumberText::default()), out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_reads_back(text in ".{0,80}|[\\x00-\\x30\"\\\\]{0,40}") {
            let mut out = Vec::new();
            string(text.as_bytes(), &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
