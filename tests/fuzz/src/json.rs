//! The scanner against simd-json's tape and serde_json: the same texts accepted, the same meaning given.
//!
//! The stated policies are taken off first: whole numbers beyond 64 bits and numbers that are not finite are refused by the two back ends
//! (the tolerant path keeps them as text), `-0` is the whole number zero.

use crate::pieces::Budget;
use serde_json::Value;
use udmill::decode::{Doc, Kind, Parser, parse};

/// Small, so that the limit is met often.
const NESTING: usize = 12;
/// Kept texts that mutations start from.
const KEPT: usize = 4096;

/// Runs until the budget is spent; panics on the first difference.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kept: Vec<Vec<u8>> = vec![b"{}".to_vec()];
    let mut accepted = 0u64;
    let mut text = Vec::new();
    while budget.more() {
        text.clear();
        if random.u8(..) < 40 {
            value(&mut random, 0, &mut text);
        } else {
            text.extend_from_slice(&kept[random.usize(..kept.len())]);
            for _ in 0..=random.usize(..3) {
                mutate(&mut random, &mut text, &kept);
            }
        }
        text.truncate(600);
        let is_sound = compare(&text);
        accepted += u64::from(is_sound);
        if is_sound || random.u8(..) == 0 {
            if kept.len() < KEPT {
                kept.push(text.clone());
            } else if random.u8(..) < 16 {
                let at = random.usize(..kept.len());
                kept[at].clone_from(&text);
            }
        }
        if budget.done.is_multiple_of(10_000_000) {
            println!("{} executions, {accepted} texts were JSON", budget.done);
        }
    }
    println!("{accepted} of {} texts were JSON", budget.done);
}

/// Whether the text is JSON to all of them.
fn compare(text: &[u8]) -> bool {
    let ours = parse(Parser::Scanner, text, NESTING);
    let theirs = parse(Parser::SimdTape, text, NESTING);
    assert_eq!(ours.is_some(), theirs.is_some(), "one accepts, one refuses: {}", shown(text));
    let serde = serde_json::from_slice::<Value>(text);
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        if let Ok(value) = serde {
            assert!(is_refused_by_policy(text, &value), "serde_json accepts: {}", shown(text));
        }
        return false;
    };
    assert_eq!(ours.nodes.len(), theirs.nodes.len(), "{}", shown(text));
    for index in 0..ours.nodes.len() as u32 {
        let (a, b) = (ours.node(index), theirs.node(index));
        let is_same =
            a.kind == b.kind && a.len == b.len && (a.kind == Kind::Str || a.bits == b.bits) && ours.str(index) == theirs.str(index);
        assert!(is_same, "node {index} differs: {a:?} and {b:?} in {}", shown(text));
    }
    match serde {
        Ok(value) => assert!(same(&ours, &mut 0, &value), "serde_json reads {value}: {}", shown(text)),
        Err(fault) => panic!("serde_json refuses ({fault}): {}", shown(text)),
    }
    true
}

fn shown(text: &[u8]) -> String {
    format!("{:?} {text:?}", String::from_utf8_lossy(text))
}

/// Deeper than the limit, or a number that is kept as text elsewhere.
fn is_refused_by_policy(text: &[u8], value: &Value) -> bool {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
            Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    // Of duplicate names serde_json keeps one, so a deeper value may be gone: then the brackets tell.
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    depth(value) > NESTING || brackets > NESTING || has_long_number(text)
}

/// A run of digits that may not fit 64 bits.
fn has_long_number(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() > 18)
}

/// Whether the document says what serde_json read. Of duplicate names serde_json keeps the last, in the first one's place.
fn same(doc: &Doc, at: &mut u32, value: &Value) -> bool {
    let index = *at;
    let node = doc.node(index);
    *at = doc.after(index);
    match (node.kind, value) {
        (Kind::Null, Value::Null) => true,
        (Kind::Bool, Value::Bool(flag)) => *flag == (node.bits == 1),
        (Kind::Int, Value::Number(n)) => n.as_i64() == Some(node.bits as i64) || (node.bits == 0 && n.as_f64() == Some(0.0)),
        (Kind::UInt, Value::Number(n)) => n.as_u64() == Some(node.bits),
        // serde_json's quick reading may miss the nearest float by a step; the two back ends agree to the bit.
        (Kind::Float, Value::Number(n)) => n.as_f64().is_some_and(|n| {
            let ours = f64::from_bits(node.bits);
            n == ours || (n - ours).abs() <= 1e-14 * n.abs() || n.abs() < 1e-300
        }),
        (Kind::Str, Value::String(text)) => doc.str(index) == text.as_bytes(),
        (Kind::Array, Value::Array(all)) => {
            let mut inner = index + 1;
            all.len() == node.len as usize && all.iter().all(|value| same(doc, &mut inner, value))
        }
        (Kind::Object, Value::Object(all)) => {
            let members: Vec<(&[u8], u32)> = doc.members(index).map(|(name, value)| (doc.str(name), value)).collect();
            all.iter().all(|(name, value)| {
                let last = members.iter().rev().find(|(known, _)| *known == name.as_bytes());
                last.is_some_and(|(_, node)| same(doc, &mut node.clone(), value))
            }) && members.iter().all(|(name, _)| std::str::from_utf8(name).is_ok_and(|name| all.contains_key(name)))
        }
        _ => false,
    }
}

const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "007",
    "1.5",
    "-0.0",
    "1e5",
    "1E-7",
    "1e400",
    "-1e-400",
    "0.1",
    "1.",
    ".5",
    "-",
    "1e",
    "1e+",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
];
const ESCAPES: [&str; 16] = [
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b",
    "\\f",
    "\\r",
    "\\t",
    "\\u0041",
    "\\u00e9",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00",
    "\\u12",
    "\\x",
];
const TOKENS: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "true",
    "false",
    "null",
    "tru",
    " ",
    "\n",
    "\t",
    "\r",
    "\u{0}",
    "\u{1f}",
    "\u{7f}",
    "é",
    "\u{1f600}",
    "\u{feff}",
];

fn value(random: &mut fastrand::Rng, depth: usize, out: &mut Vec<u8>) {
    let space = |random: &mut fastrand::Rng, out: &mut Vec<u8>| {
        if random.u8(..) < 24 {
            out.extend_from_slice([" ", "\n", "\t", "\r", "  "][random.usize(..5)].as_bytes());
        }
    };
    space(random, out);
    let choice = random.u8(..if depth < 5 { 10 } else { 6 });
    match choice {
        0 => out.extend_from_slice(["true", "false", "null"][random.usize(..3)].as_bytes()),
        1 => out.extend_from_slice(NUMBERS[random.usize(..NUMBERS.len())].as_bytes()),
        2 => out.extend_from_slice((f64::from_bits(random.u64(..))).to_string().as_bytes()),
        3 => out.extend_from_slice((random.i64(..) >> random.u32(..64)).to_string().as_bytes()),
        4 | 5 => string(random, out),
        _ => {
            let is_object = choice < 8;
            out.push(if is_object { b'{' } else { b'[' });
            for number in 0..random.usize(..4) {
                if number > 0 {
                    out.push(b',');
                }
                if is_object {
                    space(random, out);
                    string(random, out);
                    space(random, out);
                    out.push(b':');
                }
                value(random, depth + 1, out);
            }
            space(random, out);
            out.push(if is_object { b'}' } else { b']' });
        }
    }
    space(random, out);
}

/// Lengths gather around the blocks that a parser reads.
fn string(random: &mut fastrand::Rng, out: &mut Vec<u8>) {
    out.push(b'"');
    let length = if random.bool() { random.usize(..12) } else { 14 + random.usize(..22) };
    for _ in 0..length {
        match random.u8(..) {
            0..4 => out.extend_from_slice(ESCAPES[random.usize(..ESCAPES.len())].as_bytes()),
            4..8 => out.extend_from_slice("é😀ß".chars().nth(random.usize(..3)).unwrap_or('é').to_string().as_bytes()),
            _ => out.push(random.u8(b'#'..b'Z')),
        }
    }
    out.push(b'"');
}

fn mutate(random: &mut fastrand::Rng, text: &mut Vec<u8>, kept: &[Vec<u8>]) {
    let at = random.usize(..=text.len());
    let end = (at + random.usize(..3)).min(text.len());
    let piece: Vec<u8> = match random.u8(..8) {
        0 => vec![random.u8(..)],
        1 => TOKENS[random.usize(..TOKENS.len())].as_bytes().to_vec(),
        2 => NUMBERS[random.usize(..NUMBERS.len())].as_bytes().to_vec(),
        3 => ESCAPES[random.usize(..ESCAPES.len())].as_bytes().to_vec(),
        4 => {
            text.truncate(at);
            return;
        }
        5 => {
            if let Some(byte) = text.get_mut(at) {
                *byte ^= 1 << random.u8(..8);
            }
            return;
        }
        6 => {
            let other = &kept[random.usize(..kept.len())];
            let from = random.usize(..=other.len());
            other[from..(from + 40).min(other.len())].to_vec()
        }
        _ => {
            let mut piece = Vec::new();
            value(random, 3, &mut piece);
            piece
        }
    };
    text.splice(at..end, piece);
}
