//! Framing: what comes out, and that chunking does not matter.
use super::framing::has_whole_texts;
use super::salvage_tests::{damage, record};
use super::scan::double_quoted;
use super::tests::decoded;
use super::*;
use proptest::prelude::*;

/// The frames of `text`, pushed in chunks of the given sizes, over and over.
fn frames(text: &[u8], max: usize, sizes: &[usize]) -> Vec<(u64, String)> {
    let mut framer = Framer::new(max);
    let mut out = Vec::new();
    let mut take = |framer: &mut Framer| {
        while let Some(frame) = framer.next_frame() {
            out.push((frame.offset, String::from_utf8_lossy(frame.bytes).into_owned()));
        }
    };
    let mut rest = text;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).clamp(1, rest.len()));
        framer.push(chunk);
        rest = after;
        take(&mut framer);
    }
    framer.finish();
    take(&mut framer);
    out
}

fn texts(text: &[u8], max: usize) -> Vec<String> {
    frames(text, max, &[text.len().max(1)]).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn streams() {
    for (name, text, max, expected) in [
        ("lines", "{\"a\":1}\r\n\n{\"b\":2}", 100, vec![r#"{"a":1}"#, r#"{"b":2}"#]),
        ("pretty", "{\n \"a\": {\n  \"b\": 1\n }\n}\n{\n \"c\": 2\n}\n", 100, vec!["{\n \"a\": {\n  \"b\": 1\n }\n}", "{\n \"c\": 2\n}"]),
        ("pretty array", "[\n  {\n    \"a\": 1\n  },\n  {\"b\": 2}\n]\n", 100, vec!["{\n    \"a\": 1\n  }", "{\"b\": 2}"]),
        ("short payload", r#"{"records":[{"a":1},{"b":2}]}"#, 100, vec![r#"{"records":[{"a":1},{"b":2}]}"#]),
        ("long payload", r#"{"records":[{"a":1},{"b":2}]}"#, 20, vec![r#"{"a":1}"#, r#"{"b":2}"#]),
        ("long array", r#"[{"a":1},{"b":2},{"c":3}]"#, 12, vec![r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]),
        ("long payload without tail", "{\"records\":[,{\"a\":1},\n{\"b\":2},\n{\"c\":", 25, vec![r#"{"a":1}"#, r#"{"b":2}"#, "{\"c\":"]),
        ("line end in text", "{\"a\":\"x\ny\"}\n{\"b\":2}\n", 100, vec!["{\"a\":\"x\ny\"}", r#"{"b":2}"#]),
        ("line ends and braces in text", "{\"a\":\"x}\n{y\"}\n{\"b\":2}\n", 100, vec!["{\"a\":\"x}\n{y\"}", r#"{"b":2}"#]),
        ("broken line", "{\"a\":1}\n{\"b\":\"x\n{\"c\":3}\n", 100, vec![r#"{"a":1}"#, "{\"b\":\"x", r#"{"c":3}"#]),
        (
            "cut line",
            "{\"time\":1,\"category\":2,\n{\"time\":3,\"category\":4}\n",
            100,
            vec!["{\"time\":1,\"category\":2", r#"{"time":3,"category":4}"#],
        ),
        ("plain text", "hello\n{\"b\":2}\nbye\n", 100, vec!["hello", r#"{"b":2}"#, "bye"]),
        ("empty envelope", "{\"records\":[]}\n", 100, vec!["{\"records\":[]}"]),
        ("byte order mark", "\u{feff}{\"a\":1}", 100, vec![r#"{"a":1}"#]),
        ("blank", " \n \n", 100, vec![]),
        (
            "rest of a record behind records",
            r#"{"records":[{"a":1}],"n":"2"},{"b":2}]}"#,
            20,
            vec![r#"{"a":1}"#, r#""n":"2"}"#, r#"{"b":2}"#],
        ),
        (
            "members behind records, longer than a frame",
            "{\"records\":[{\"a\":1}],\"n\":\"0123456789\"}\n{\"b\":2}\n",
            12,
            vec![r#"{"a":1}"#, "\"n\":\"012345", "6789\"}", r#"{"b":2}"#],
        ),
        ("members of an envelope's own", r#"{"records":[{"a":1}],"count":2}"#, 20, vec![r#"{"a":1}"#]),
        ("longer than a frame", "{\"a\":\"0123456789\"}\n{\"b\":2}\n", 12, vec!["{\"a\":\"012345", "6789\"}", r#"{"b":2}"#]),
    ] {
        assert_eq!(texts(text.as_bytes(), max), expected, "case: {name}");
    }
    assert_eq!(frames("\u{feff} {\"a\":1}\n".as_bytes(), 100, &[1]), [(4, r#"{"a":1}"#.to_string())]);
}

#[test]
fn waiting_for_more_changes_nothing() {
    let record = r#"{"time":1,"category":2}"#;
    // The line end says that the array before it was never closed, whether or not the line behind it is there yet.
    let text = format!("][{record}\n{record}}}");
    let expected = ["][".to_string(), record.to_string(), format!("{record}}}")];
    for size in 1..=text.len() {
        let found: Vec<String> = frames(text.as_bytes(), 25, &[size]).into_iter().map(|(_, text)| text).collect();
        assert_eq!(found, expected, "chunks of {size}");
    }
    // Nor does it matter whether the next line begins before or behind the length of a frame.
    let text = format!("{record}\"a\"{record}\n\n{{");
    let whole = frames(text.as_bytes(), 50, &[text.len()]);
    for size in 1..text.len() {
        assert_eq!(frames(text.as_bytes(), 50, &[size]), whole, "chunks of {size}");
    }
}

#[test]
fn memory_stays_bounded() {
    let mut framer = Framer::new(1 << 16);
    framer.push(b"{\"records\":[");
    let mut seen = 0;
    for number in 0..20_000 {
        framer.push(record(number).as_bytes());
        framer.push(b",");
        while framer.next_frame().is_some() {
            seen += 1;
        }
        // The head could still be a short message's, so the first frames wait for a frame's length.
        assert!(framer.held_bytes() < 1 << 18, "{} bytes after {number} records", framer.held_bytes());
    }
    framer.push(b"]}");
    framer.finish();
    while framer.next_frame().is_some() {
        seen += 1;
    }
    assert_eq!(seen, 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_do_not_matter(
        hits in prop::collection::btree_map(0_usize..60, (0_usize..6, 0_usize..1000), 0..6),
        form in 0_usize..4,
        max in prop::sample::select(vec![1000_usize, 3000, 1 << 20]),
        sizes in prop::collection::vec(1_usize..900, 1..6),
    ) {
        let sound: Vec<String> = (0..60).map(record).collect();
        let mut records = sound.clone();
        for (at, (kind, place)) in &hits {
            records[*at] = damage(&sound[*at], *kind, *place);
        }
        let text = match form {
            0 => records.join("\n"),
            1 => format!("{{\"records\":[{}]}}", records.join(",")),
            2 => format!("[\n{}\n]\n", records.join(",\n")),
            _ => format!("{{\"records\":[{}]}}\n{{\"records\":[{}]}}", records[..30].join(","), records[30..].join(",")),
        };
        let whole = frames(text.as_bytes(), max, &[text.len()]);
        prop_assert_eq!(&frames(text.as_bytes(), max, &sizes), &whole);
        for (offset, frame) in &whole {
            prop_assert!(text[*offset as usize..].starts_with(frame.as_str()));
        }
        // Sound records come out equal, damaged or not their neighbours.
        let decoded: Vec<String> = whole.iter().flat_map(|(_, frame)| decoded(frame.as_bytes())).collect();
        for (number, line) in sound.iter().enumerate() {
            if !hits.contains_key(&number) {
                let expected = super::tests::decoded(line.as_bytes());
                prop_assert!(decoded.contains(&expected[0]), "lost {}", number);
            }
        }
    }

    #[test]
    fn counted_quotes_say_what_reading_text_by_text_says(tokens in prop::collection::vec(prop::sample::select(vec![
        "\"", "\\", "\\\"", "a", "{", "\\u00e9", "\"a\"", "\\\\",
    ]), 0..24)) {
        let line = tokens.concat().into_bytes();
        let mut at = 0;
        let mut are_whole = true;
        while let Some(quote) = line[at..].iter().position(|byte| *byte == b'"') {
            match double_quoted(&line, at + quote) {
                Some(end) => at = end,
                None => {
                    are_whole = false;
                    break;
                }
            }
        }
        prop_assert_eq!(has_whole_texts(&line), are_whole);
    }

    #[test]
    fn no_stream_panics_or_hangs(tokens in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "'", "\\", "\n", " ", "a", "1", "\"a\"", "\"records\":", "null", "{\"time\":1,\"category\":2}", "\u{feff}", "{}", "{\"records\":[",
    ]), 0..60), max in 1_usize..80, size in 1_usize..30) {
        let text = tokens.concat();
        let whole = frames(text.as_bytes(), max, &[text.len().max(1)]);
        prop_assert_eq!(frames(text.as_bytes(), max, &[size]), whole);
    }
}
