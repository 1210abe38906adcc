//! What names tell where structure no longer does: which ones log records have, and which an envelope has beside its records.

use super::scan::skip_space;

/// Bytes of names kept of a record; the widest public record has 40 names of 20 bytes at its top level.
const KEPT_BYTES: usize = 2 << 10;

/// Names that log records have at their top level; two of them in one object are no accident.
const MARKERS: [&[u8]; 18] = [
    b"time",
    b"category",
    b"resourceId",
    b"operationName",
    b"operationVersion",
    b"resultType",
    b"correlationId",
    b"callerIpAddress",
    b"metricName",
    b"timeGrain",
    b"TimeGenerated",
    b"TenantId",
    b"_ResourceId",
    b"effective_at",
    b"actor",
    b"object",
    b"eventTimestamp",
    b"flowLogVersion",
];

/// Whether log records have this name, in any case.
pub fn is_marker(name: &[u8]) -> bool {
    MARKERS.iter().any(|marker| name.eq_ignore_ascii_case(marker))
}

/// The names of one record of a stream.
#[derive(Default)]
pub struct Names {
    /// Each between two NULs.
    kept: Vec<u8>,
}

impl Names {
    /// Whether none were kept yet.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Keeps one more name; false when there is no room for another.
    pub fn keep(&mut self, name: &[u8]) -> bool {
        if self.kept.len() + name.len() + 2 > KEPT_BYTES {
            return false;
        }
        if self.kept.is_empty() {
            self.kept.push(0);
        }
        self.kept.extend_from_slice(name);
        self.kept.push(0);
        true
    }

    /// Whether a record has this name: one of the usual ones, or one that was kept, as it was written there.
    pub fn has(&self, name: &[u8]) -> bool {
        let is_kept = || {
            memchr::memmem::find_iter(&self.kept, name)
                .any(|at| at > 0 && self.kept[at - 1] == 0 && self.kept.get(at + name.len()) == Some(&0))
        };
        is_marker(name) || is_kept()
    }
}

/// Whether the member whose quoted name begins at `name` and whose value begins at `value` is one that envelopes have beside their
/// records, by its name and the kind of its value. The texts that a page's members hold are not looked into.
pub fn is_envelope_member(text: &[u8], name: usize, value: usize) -> bool {
    let rest = text.get(name + 1..).unwrap_or_default();
    let is = |word: &[u8]| {
        let is_whole = word.ends_with(b".") || matches!(rest.get(word.len()), Some(b'"' | b'\''));
        is_whole && rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    let held = text.get(value..).unwrap_or_default();
    let is_plain = !matches!(held.first(), Some(b'{' | b'[') | None);
    // A list that is filled is either read as records or no envelope's.
    let is_empty = held.starts_with(b"null") || held.first() == Some(&b'[') && text.get(skip_space(text, value + 1)) == Some(&b']');
    [b"records".as_slice(), b"value", b"data"].into_iter().any(is) && is_empty
        || [b"has_more".as_slice(), b"first_id", b"last_id", b"nextLink", b"@odata."].into_iter().any(is) && is_plain
        || is(b"object") && held.starts_with(b"\"list\"")
}
