//! How collectors that exist do on the same timeline: what udmill's is measured against.
//! Source: Google's published sample function for this log, and collectors that keep `last_id` between runs.
use std::collections::HashMap;

use super::BEGIN;
use super::api::{Api, Held};

/// The first poll, and the time between two.
const FIRST: i64 = BEGIN + 299;
const STEP: i64 = 300;

/// Lost, and copies beyond the first.
fn score(api: &Api, delivered: &[String]) -> (usize, usize) {
    let mut copies: HashMap<&str, usize> = HashMap::new();
    for id in delivered {
        *copies.entry(id).or_default() += 1;
    }
    let lost = api.held.iter().filter(|one| !copies.contains_key(one.id.as_str())).count();
    (lost, delivered.len() - copies.len())
}

fn end(api: &Api) -> i64 {
    api.held.iter().map(|one| one.visible_at).max().unwrap_or(BEGIN) + 7200
}

fn ids(found: &[&Held]) -> Vec<String> {
    found.iter().map(|one| one.id.clone()).collect()
}

/// Newest first up to a cap; the newest time is kept and read again from two minutes before. An error is an empty list, and after an empty
/// list the time of the poll is kept.
fn sample_function(api: &Api, cap: usize, failing: &[i64]) -> (usize, usize) {
    let mut kept: Option<i64> = None;
    let mut delivered = Vec::new();
    for (number, now) in (FIRST..=end(api)).step_by(STEP as usize).enumerate() {
        let from = kept.map_or(now - 24 * 3600, |kept| kept - 120);
        let mut found = api.visible(now, false, from, i64::MAX);
        found.truncate(if failing.contains(&(number as i64 + 1)) { 0 } else { cap });
        delivered.extend(ids(&found));
        kept = found.iter().map(|one| one.at).max().or(Some(now));
    }
    score(api, &delivered)
}

/// Goes on behind the last id of the last page, in a list that begins with the newest.
fn last_id_kept(api: &Api) -> (usize, usize) {
    let mut kept: Option<String> = None;
    let mut delivered = Vec::new();
    for now in (FIRST..=end(api)).step_by(STEP as usize) {
        let all = api.visible(now, false, 0, i64::MAX);
        let start = kept.as_ref().and_then(|kept| all.iter().position(|one| one.id == *kept)).map_or(0, |at| at + 1);
        delivered.extend(ids(&all[start..]));
        kept = all.last().map(|one| one.id.clone()).or(kept);
    }
    score(api, &delivered)
}

/// Windows back to back.
fn windows(api: &Api, failing: &[i64]) -> (usize, usize) {
    let mut delivered = Vec::new();
    let mut from = BEGIN - 10;
    for (number, now) in (FIRST..=end(api)).step_by(STEP as usize).enumerate() {
        if !failing.contains(&(number as i64 + 1)) {
            delivered.extend(ids(&api.visible(now, false, from, now)));
        }
        from = now + 1;
    }
    score(api, &delivered)
}

#[test]
fn what_others_lose() {
    let api = Api::timeline();
    let (lost, extra) = sample_function(&api, usize::MAX, &[]);
    assert_eq!(lost, 36);
    assert!(extra > 100, "{extra} copies");
    assert_eq!(sample_function(&api, 200, &[]).0, 100, "with a cap of 200 records");
    assert!(sample_function(&api, usize::MAX, &[3, 6, 9]).0 >= 50, "with three errors");
    assert_eq!(last_id_kept(&api), (405, 0));
    assert_eq!(windows(&api, &[]), (40, 0));
    assert!(windows(&api, &[3, 6, 9]).0 >= 65, "with three errors");
}
