//! Writing JSON: strings after one escape test, numbers without allocation.

use super::redact;
use super::value::{NumberText, Tag, Value};
use crate::decode::Plain;
pub(crate) use crate::decode::json_text::{append, append_escaped, write_escaped as escaped, write_string as string};

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

/// Appends a scalar as JSON in the given form. True when it gave way to `[redacted]`, see [`is_private`].
#[inline]
pub(crate) fn scalar(value: Value, form: Form, text: &[u8], out: &mut Vec<u8>) -> bool {
    match (form, value.tag) {
        (_, Tag::Raw) => out.extend_from_slice(value.bytes(text)),
        (Form::Text, Tag::Text) if value.plain == Plain::Yes => {
            out.push(b'"');
            append(text, value.bits as usize, value.len as usize, out);
            out.push(b'"');
        }
        (Form::Text, Tag::Text) if is_private(value, text) => {
            out.extend_from_slice(b"\"[redacted]\"");
            return true;
        }
        (Form::Text, Tag::Text) => string(value.bytes(text), out),
        (Form::Number | Form::Bool, _) => out.extend_from_slice(value.shown(text, &mut NumberText::default())),
        (Form::Text | Form::Long | Form::Raw, _) => string(value.shown(text, &mut NumberText::default()), out),
    }
    false
}

/// Whether a value is JSON text with a private member, a prompt or an answer: such text does not come out, whatever row copies it. It is
/// asked where values are written, because a row that only copies a slot is never run. A text with nothing to escape holds no JSON member.
#[inline]
pub(crate) fn is_private(value: Value, text: &[u8]) -> bool {
    value.tag == Tag::Text && value.plain != Plain::Yes && redact::holds_sensitive_tree(value.bytes(text))
}
