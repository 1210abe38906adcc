//! The audit-log API as far as it is known, without a network: it answers what a poll at some time would see, and misbehaves as told.
//! The server of the broker tests puts HTTP around it.
#![allow(dead_code)] // Each of the two test binaries uses a part.

use std::collections::VecDeque;

use serde_json::{Value, json};

/// One event that the server holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// When a poll can first see it.
    pub visible_at: i64,
    /// It is in the tenant listing only.
    pub tenant: bool,
    /// `effective_at`.
    pub at: i64,
    /// `id`.
    pub id: String,
    /// The event as it is written into pages.
    pub bytes: String,
}

/// The order of a list; nothing says which one the service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From newer to older, as in the published example.
    NewestFirst,
    /// From older to newer.
    OldestFirst,
    /// Neither.
    ById,
}

/// One thing that goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error of the server.
    Status(u16),
    /// 429, with this `Retry-After`.
    Limited(Option<String>),
    /// The body breaks off, with status 200.
    Truncated,
    /// The cursor is ignored: the first page again.
    Loops,
    /// An empty page that promises more.
    Hollow,
    /// `last_id` is null although more follows.
    NoLastId,
    /// The page begins ten events too early.
    Repeats,
    /// No answer at all.
    Silence,
    /// As it should be.
    Nothing,
}

/// What a server answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Api {
    /// All events, in no order.
    pub held: Vec<Held>,
    /// Order of the lists.
    pub order: Order,
    /// What goes wrong with the next requests, one each; then nothing does.
    pub faults: VecDeque<Fault>,
    /// The organization has a tenant listing.
    pub has_tenant: bool,
    /// Requests so far.
    pub requests: u64,
}

impl Api {
    /// A server that behaves.
    pub fn new(held: Vec<Held>) -> Api {
        Api { held, order: Order::NewestFirst, faults: VecDeque::new(), has_tenant: true, requests: 0 }
    }

    /// The timeline of the samples: 420 events, 250 of them in one second, 15 late by minutes to an hour, 25 of the tenant only.
    pub fn timeline() -> Api {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/openai/collector-timeline.ndjson");
        let text = std::fs::read_to_string(path).expect("the sample is there");
        let held = text.lines().map(|line| {
            let value: Value = serde_json::from_str(line).expect("a line of the sample");
            Held {
                visible_at: value["visible_at"].as_i64().expect("a time"),
                tenant: value["tenant"].as_bool().expect("true or false"),
                at: value["event"]["effective_at"].as_i64().expect("a time"),
                id: value["event"]["id"].as_str().expect("an id").to_owned(),
                bytes: value["event"].to_string(),
            }
        });
        Api::new(held.collect())
    }

    /// What a poll at `now` sees of a listing between two times, both included.
    pub fn visible(&self, now: i64, tenant: bool, from: i64, to: i64) -> Vec<&Held> {
        let wanted = |one: &&Held| one.visible_at <= now && one.tenant == tenant && (from..=to).contains(&one.at);
        let mut found: Vec<&Held> = self.held.iter().filter(wanted).collect();
        // Events of one second keep the order of the file, which is that of their becoming visible.
        match self.order {
            Order::NewestFirst => {
                found.reverse();
                found.sort_by_key(|one| -one.at);
            }
            Order::OldestFirst => found.sort_by_key(|one| one.at),
            Order::ById => found.sort_by(|a, b| a.id.cmp(&b.id)),
        }
        found
    }

    /// Answers a request at `now`; `None` is no answer.
    pub fn answer(&mut self, now: i64, pairs: &[(String, String)]) -> Option<Answer> {
        self.requests += 1;
        let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name: &str| get(name).and_then(|text| text.parse::<i64>().ok());
        let plain = |status: u16, body: Value| Answer { status, retry_after: None, body: body.to_string().into_bytes() };
        let error = |status: u16, message: &str| plain(status, json!({"error": {"message": message, "type": "invalid_request_error"}}));
        let fault = self.faults.pop_front().unwrap_or(Fault::Nothing);
        match &fault {
            Fault::Silence => return None,
            Fault::Status(status) => return Some(error(*status, "The server had an error")),
            Fault::Limited(retry_after) => {
                return Some(Answer { retry_after: retry_after.clone(), ..error(429, "Rate limit reached") });
            }
            Fault::Hollow => return Some(plain(200, json!({"object": "list", "data": [], "has_more": true, "last_id": null}))),
            _ => {}
        }
        let tenant = get("tenant_only") == Some("true");
        if tenant && !self.has_tenant {
            return Some(error(403, "You have insufficient permissions for this operation."));
        }
        let limit = number("limit").unwrap_or(20).clamp(1, 100) as usize;
        let all = self.visible(now, tenant, number("effective_at[gte]").unwrap_or(0), number("effective_at[lte]").unwrap_or(i64::MAX));
        let after = get("after").filter(|_| fault != Fault::Loops);
        let mut start = match after {
            None => 0,
            Some(id) => match all.iter().position(|one| one.id == id) {
                Some(at) => at + 1,
                None => return Some(error(400, "No such object")),
            },
        };
        if fault == Fault::Repeats {
            start = start.saturating_sub(10);
        }
        let page = &all[start..(start + limit).min(all.len())];
        let has_more = start + limit < all.len();
        let last_id = page.last().filter(|_| fault != Fault::NoLastId).map(|one| format!("\"{}\"", one.id)).unwrap_or("null".into());
        let data: Vec<&str> = page.iter().map(|one| one.bytes.as_str()).collect();
        let mut body =
            format!("{{\"object\":\"list\",\"data\":[{}],\"has_more\":{has_more},\"last_id\":{last_id}}}", data.join(",")).into_bytes();
        if fault == Fault::Truncated {
            body.truncate(body.len() * 2 / 3);
        }
        Some(Answer { status: 200, retry_after: None, body })
    }
}
