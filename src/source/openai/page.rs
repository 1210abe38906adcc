//! One answer of the API: a page of the list, and the few headers that matter.
use serde::Deserialize;
use serde_json::Value;

use crate::decode::{Decoder, Limits};

/// One event of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The member `id`; of an event without one the hash of its bytes, so that it is known again.
    pub id: String,
    /// The member `effective_at`. Unit: seconds since the Unix epoch. `None` when it is missing or no number: the event is delivered all
    /// the same, and the engine says what is wrong with it.
    pub at: Option<i64>,
    /// The member `type`, when it is a text.
    pub kind: Option<String>,
    /// Whether `id` was there.
    pub has_id: bool,
    /// The event's bytes as the API wrote them.
    pub bytes: Vec<u8>,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events in the order of the page.
    pub items: Vec<Item>,
    /// Whether more follows.
    pub has_more: bool,
    /// Where the next page begins: behind the event of this id.
    pub last_id: Option<String>,
}

/// What a page must have; all else may come and go.
/// Source: OpenAI API specification, `ListAuditLogsResponse`.
#[derive(Deserialize)]
struct Body {
    data: Vec<Value>,
    has_more: bool,
    #[serde(default)]
    last_id: Option<String>,
}

impl Page {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// What was expected. An error object, a list without `data` or `has_more`, and a body that breaks off are no empty pages.
    pub fn read(body: &[u8]) -> Result<Page, String> {
        let read: Body = serde_json::from_slice(body).map_err(|error| format!("expected a list with `data` and `has_more`: {error}"))?;
        let mut spans = Vec::new();
        if !read.data.is_empty() {
            Decoder::new(Limits::default()).spans(body, &mut spans);
        }
        // The decoder knows what a record is, the list what an element is. Where they differ the element is written anew: the same values.
        let agree = spans.len() == read.data.len();
        let mut items = Vec::with_capacity(read.data.len());
        for (index, value) in read.data.iter().enumerate() {
            let span = spans.get(index).filter(|_| agree).and_then(|span| body.get(span.clone()));
            let bytes = match span.filter(|bytes| serde_json::from_slice::<Value>(bytes).is_ok_and(|read| read == *value)) {
                Some(bytes) => bytes.to_vec(),
                None => serde_json::to_vec(value).map_err(|error| format!("element {index} of `data`: {error}"))?,
            };
            let id = value["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
            items.push(Item {
                has_id: id.is_some(),
                id: id.unwrap_or_else(|| format!("blake3-{}", blake3::hash(&bytes).to_hex())),
                at: seconds(&value["effective_at"]),
                kind: value["type"].as_str().map(str::to_owned),
                bytes,
            });
        }
        let last_id = read.last_id.filter(|id| !id.is_empty());
        Ok(Page { items, has_more: read.has_more, last_id })
    }
}

/// Seconds as a whole number, a number with a fraction, or digits in a text.
fn seconds(value: &Value) -> Option<i64> {
    let found = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Milliseconds, or a number that is no time, would move every window: outside years 2000 to 2100 it counts as missing.
    (946_684_800..4_102_444_800).contains(&found).then_some(found)
}

/// A date as HTTP writes it, as in `Sun, 06 Nov 1994 08:49:37 GMT`. Unit: seconds since the Unix epoch.
pub fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|time| time.timestamp().as_second())
}

/// The header `Retry-After`: seconds or a date. Unit: milliseconds from `now_ms`.
pub fn retry_after_ms(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(i64::from(seconds) * 1000),
        Err(_) => http_date(text).map(|date| (date * 1000 - now_ms).max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_apis_own() {
        let body = b"{\"object\":\"list\", \"data\": [ {\"id\" : \"a\",\n \"effective_at\":1770000000,\"type\":\"x.y\", \"n\":1.50},{\"object\":\"organization.audit_log\",\"id\":\"b\",\"effective_at\":\"1770000001\"} ],\"has_more\":true,\"last_id\":\"b\"}";
        let page = Page::read(body).expect("a page");
        assert_eq!((page.has_more, page.last_id.as_deref()), (true, Some("b")));
        let seen: Vec<_> = page.items.iter().map(|item| (item.id.as_str(), item.at, item.kind.as_deref())).collect();
        assert_eq!(seen, [("a", Some(1_770_000_000), Some("x.y")), ("b", Some(1_770_000_001), None)]);
        assert_eq!(
            String::from_utf8_lossy(&page.items[0].bytes),
            "{\"id\" : \"a\",\n \"effective_at\":1770000000,\"type\":\"x.y\", \"n\":1.50}"
        );
    }

    #[test]
    fn an_error_is_no_empty_page() {
        for (name, body, good) in [
            ("empty", "{\"object\":\"list\",\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}", true),
            ("error object", "{\"error\":{\"message\":\"no\"}}", false),
            ("no data", "{\"object\":\"list\",\"has_more\":false}", false),
            ("null data", "{\"data\":null,\"has_more\":false}", false),
            ("no has_more", "{\"data\":[]}", false),
            ("broken off", "{\"data\":[{\"id\":\"a\"}", false),
            ("nothing", "", false),
            ("a page of HTML", "<html>", false),
        ] {
            assert_eq!(Page::read(body.as_bytes()).is_ok(), good, "case: {name}");
        }
    }

    #[test]
    fn an_odd_element_harms_no_neighbour() {
        let page =
            Page::read(b"{\"data\":[null,7,{\"effective_at\":\"soon\"},{\"id\":\"a\",\"effective_at\":1770000000000}],\"has_more\":false}");
        let items = page.expect("a page").items;
        assert_eq!(items.len(), 4);
        assert!(items[..3].iter().all(|item| !item.has_id && item.at.is_none() && item.id.starts_with("blake3-")));
        assert_eq!((items[3].id.as_str(), items[3].at), ("a", None), "milliseconds are not guessed");
        assert_eq!(items[1].bytes, b"7");
    }

    #[test]
    fn dates_and_waits() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for (text, expected) in
            [("17", Some(17_000)), (" 0 ", Some(0)), ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7_000)), ("soon", None), ("-1", None)]
        {
            assert_eq!(retry_after_ms(text, 784_111_770_000), expected, "case: {text}");
        }
    }
}
