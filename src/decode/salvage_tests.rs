//! Bodies that are not JSON: what is saved, what is repaired, what is broken, and whose bytes are whose.
use super::tests::{decoded, show};
use super::*;
use proptest::prelude::*;

#[test]
fn repaired() {
    for (name, body, expected) in [
        ("single quotes", r#"{"a":{'b':'it said \'hi\'','c':2}}"#, r#"{"a":{"b":"it said 'hi'","c":2}} !single_quotes !stray_escape"#),
        ("apostrophe in single quotes", r#"{'a':'it's "x"'}"#, r#"{"a":"it's \"x\""} !single_quotes"#),
        ("line end in text", "{\"a\":\"b\n\tc\"}", r#"{"a":"b\n\tc"} !control_characters"#),
        ("escape character", "{\"a\":\"\u{1b}[31m\"}", r#"{"a":"\u001b[31m"} !control_characters"#),
        ("big number", r#"{"a":18446744073709551616,"b":-1e999}"#, r#"{"a":"18446744073709551616","b":"-1e999"} !big_number"#),
        (
            "half a pair",
            r#"{"a":"x\ud800y\udc00","b":"\ud83d\ude00"}"#,
            "{\"a\":\"x\u{fffd}y\u{fffd}\",\"b\":\"\u{1f600}\"} !lone_surrogate",
        ),
        ("stray escape", r#"{"a":"C:\dir\u12"}"#, r#"{"a":"C:\\dir\\u12"} !stray_escape"#),
        ("stray commas", r#"{,"a":[1,,2,],}"#, r#"{"a":[1,2]} !stray_comma"#),
        ("foreign words", r#"{"a":None,"b":[True,False,NaN,-Infinity]}"#, r#"{"a":null,"b":[true,false,null,null]} !foreign_word"#),
    ] {
        assert_eq!(decoded(body.as_bytes()), [expected], "case: {name}");
    }
    assert_eq!(decoded(b"{\"a\":\"x\xffy\"}"), ["{\"a\":\"x\u{fffd}y\"} !invalid_utf8"]);
}

#[test]
fn salvaged() {
    let deep = format!("[{{\"a\":1}},{}1{}]", "{\"d\":".repeat(65), "}".repeat(65));
    for (name, body, expected) in [
        ("one broken word", r#"{"records":[{"a":1},{"b":tru},{"c":3}]}"#, vec![r#"{"a":1}"#, "broken not_json", r#"{"c":3}"#]),
        ("leading comma", r#"{"records":[,{"a":1}]}"#, vec![r#"{"a":1}"#]),
        ("missing tail", r#"{"records":[{"a":1},{"b":2}"#, vec![r#"{"a":1}"#, r#"{"b":2}"#]),
        ("cut in a record", r#"{"records":[{"a":1},{"b":"x"#, vec![r#"{"a":1}"#, "broken truncated"]),
        ("concatenated", r#"{"a":1}{"records":[{"b":2}]}[{"c":3}]"#, vec![r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]),
        ("lines", "{\"a\":1}\n{\"b\":\"x}\n{\"c\":3}\n", vec![r#"{"a":1}"#, "broken not_json", r#"{"c":3}"#]),
        ("a line of plain text", "{\"a\":1}\nhello world\n{\"c\":3}\n", vec![r#"{"a":1}"#, "broken not_json", r#"{"c":3}"#]),
        ("words on lines", "[]\nnull\n{}\n\n", vec!["empty empty_array", "empty null", "empty empty_object"]),
        (
            "broken envelope on a line",
            "{\"records\":[{\"a\":1},{\"b\"\n{\"records\":[{\"c\":3}]}\n",
            vec![r#"{"a":1}"#, "broken not_json", r#"{"c":3}"#],
        ),
        (
            "lost quote",
            r#"{"records":[{"time":"1","category":"a},{"time":"2","category":"b"},{"time":"3","category":"c"}]}"#,
            vec!["broken not_json", r#"{"time":"2","category":"b"}"#, r#"{"time":"3","category":"c"}"#],
        ),
        (
            "lost closer",
            r#"{"records":[{"time":"1","p":{"x":[{"r":1},{"s":2}]},{"time":"2","p":2},{"time":"3","p":3}]}"#,
            vec!["broken not_json", r#"{"time":"2","p":2}"#, r#"{"time":"3","p":3}"#],
        ),
        ("extra closer", r#"[{"time":"1","p":1}},"q":1},{"time":"2","p":2}]"#, vec!["broken not_json", r#"{"time":"2","p":2}"#]),
        (
            "inner quotes",
            r#"[{"time":"1","requestbody":"{"Id":[{"x":1},{"y":2}]}"},{"time":"2","requestbody":"p"}]"#,
            vec!["broken not_json", r#"{"time":"2","requestbody":"p"}"#],
        ),
        (
            "list with a broken element",
            r#"{"value":[{"a":1},{"b":x},{"c":3}],"nextLink":"u"}"#,
            vec![r#"{"a":1}"#, "broken not_json", r#"{"c":3}"#],
        ),
        ("array of envelopes", r#"[{"records":[{"a":1},{"b":x}]},{"c":3}]"#, vec![r#"{"a":1}"#, "broken not_json", r#"{"c":3}"#]),
        ("not JSON", "<html>no</html>", vec!["broken not_json"]),
        ("too deep", &deep, vec![r#"{"a":1}"#, "broken too_deep"]),
    ] {
        assert_eq!(decoded(body.as_bytes()), expected, "case: {name}");
    }
}

/// Bytes that damage had hidden from every outcome, each found by the fuzz target `salvage` or `framing`.
#[test]
fn found_by_fuzzing() {
    let first = r#"{"time":"1","category":"a"}"#;
    let third = r#"{"time":"3","category":"c"}"#;
    for (name, body, expected) in [
        (
            "head lost behind damage",
            r#"{"records":[{"time":"1","category":"a},{"time":"3","category":"c"}],"n":"2"}"#.to_string(),
            vec!["broken not_json", third, "broken not_json"],
        ),
        (
            "head lost behind single quotes",
            format!(r#"{{"records":[{first},{{'n':'2'}}],"n":"2"}}"#),
            vec![first, r#"{"n":"2"} !single_quotes"#, "broken not_json"],
        ),
        (
            "head lost behind a record that is no JSON",
            format!(r#"{{"records":[{first},{{"n":tru}}],"n":"2"}}"#),
            vec![first, "broken not_json", "broken not_json"],
        ),
        ("head lost before a record", format!(r#"{{"records":[{first}],"n":"2"}},{third}]}}"#), vec![first, "broken not_json", third]),
        ("head of the last record lost", format!(r#"{{"records":[{first}],"n":"2"}}]}}"#), vec![first, "broken not_json"]),
        ("head lost, comma left", format!(r#"{{"records":[{first},],"n":"2"}}"#), vec![first, "broken not_json"]),
        ("head lost in a cut body", format!(r#"{{"records":[{first}],"n":"2","m":3"#), vec![first, "broken truncated"]),
        ("head lost, the rest cut", format!(r#"{{"records":[{first}],"n":"2","m":"#), vec![first, "broken truncated"]),
        (
            "head lost, the rest damaged",
            format!(r#"{{"records":[{first}],"n":"2","m" 3}},{third}]}}"#),
            vec![first, "broken not_json", third],
        ),
        (
            "head lost before more records",
            format!(r#"{{"records":[{first}],"n":"2","records":[{third}]}},"#),
            vec![first, "broken not_json", third],
        ),
        (
            "head lost on a line, usual names",
            format!("{{\"records\":[{{\"n\":1}}],\"time\":2,\"category\":3}}\n{{\"records\":[{third}]}}"),
            vec![r#"{"n":1}"#, "broken not_json", third],
        ),
        (
            "head lost on a line, names of the first record",
            format!("{{\"records\":[{{\"n\":1,\"m\":2}}],\"n\":2,\"m\":3}}\n{{\"records\":[{third}]}}"),
            vec![r#"{"n":1,"m":2}"#, "broken not_json", third],
        ),
        ("head of the first record lost", format!(r#"{{"records":[],"n":"2"}},{third}]}}"#), vec!["broken not_json", third]),
        (
            "an envelope's word for another thing",
            format!(r#"{{"records":[{first}],"object":"organization.audit_log","id":2}},{third}]}}"#),
            vec![first, "broken not_json", third],
        ),
        (
            "a record runs into an envelope",
            format!(r#"[{{"time":"1","category":"a","records":[{third}]}},{{"n":tru}}]"#),
            vec!["broken not_json", third, "broken not_json"],
        ),
        (
            "a list of records inside a record",
            format!("{first}\n{{\"n\":2,\"records\":[\"m\":3}}\n{third}"),
            vec![first, "broken not_json", "broken not_json", third],
        ),
        (
            "a list of records inside a record, behind a comma",
            format!("{first}\n,{{\"n\":2,\"records\":[{third}]}}"),
            vec![first, "broken not_json", third],
        ),
        (
            "a list of records inside a record, before a comma",
            format!("{first}\n{{\"n\":2,\"records\":[,{third}]}}"),
            vec![first, "broken not_json", third],
        ),
        (
            "an envelope's own members stay its own",
            format!(
                "{{\"source\":\"x\",\"records\":[{first}],\"count\":1}}\n{{\"records\":[],\"count\":0}}\n{{\"records\":[{third}],\"@odata.count\":1}}"
            ),
            vec![first, "empty empty_records", third],
        ),
        (
            "the members of a page behind damage stay the page's",
            format!(r#"{{"object":"list","data":[{first},{{"n":tru}}],"first_id":"a","last_id":null,"has_more":false}}"#),
            vec![first, "broken not_json"],
        ),
    ] {
        assert_eq!(decoded(body.as_bytes()), expected, "case: {name}");
        let mut spans = Vec::new();
        Decoder::new(Limits::default()).spans(body.as_bytes(), &mut spans);
        assert_eq!(spans.len(), expected.len(), "case: {name}");
    }
}

#[test]
fn packed() {
    use std::io::Write;
    let body = br#"{"records":[{"a":1},{"b":x}]}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body).expect("memory takes every byte");
    let gzip = gzip.finish().expect("memory takes every byte");
    let zstd = zstd::encode_all(&body[..], 1).expect("memory takes every byte");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(body.iter().flat_map(|b| [*b, 0])).collect();
    for packed in [&gzip, &zstd, &utf16] {
        assert_eq!(decoded(packed), [r#"{"a":1}"#, "broken not_json"]);
        let mut decoder = Decoder::new(Limits::default());
        let mut spans = Vec::new();
        decoder.spans(packed, &mut spans);
        assert_eq!(spans, [12..19, 20..27]);
        assert_eq!(decoder.text(packed), body);
    }
    assert_eq!(decoded(&gzip[..gzip.len() - 9]), ["broken not_unpackable"]);
    let mut decoder = Decoder::new(Limits { body_bytes: 20, ..Limits::default() });
    let (mut doc, mut found) = (Doc::default(), Vec::new());
    decoder.decode(&gzip, &mut doc, &mut found);
    assert_eq!(show(&doc, &found[0]), "broken too_large");
}

#[test]
fn limits() {
    let mut decoder = Decoder::new(Limits { records: 2, ..Limits::default() });
    let (mut doc, mut found) = (Doc::default(), Vec::new());
    let body = br#"[{"a":1},{"a":2},{"a":3},{"a":4}]"#;
    decoder.decode(body, &mut doc, &mut found);
    assert_eq!(found.iter().map(|f| show(&doc, f)).collect::<Vec<_>>(), [r#"{"a":1}"#, r#"{"a":2}"#, "broken too_many_records"]);
    let mut spans = Vec::new();
    decoder.spans(body, &mut spans);
    assert_eq!(spans, [1..8, 9..16, 17..33]);
}

/// The bytes of `text` that no finding covers, without separators and envelope words.
fn uncovered(text: &[u8], spans: &[Range<usize>]) -> String {
    let mut left = text.to_vec();
    for span in spans {
        left[span.clone()].fill(b' ');
    }
    let left = String::from_utf8_lossy(&left).into_owned();
    let left = left.replace("\"records\"", " ");
    left.chars().filter(|c| !c.is_ascii_whitespace() && !"[]{},:\u{feff}".contains(*c)).collect()
}

pub(super) fn record(number: usize) -> String {
    let flows: Vec<String> =
        (0..number % 4).map(|n| format!(r#"{{"rule":"r{n}","flowTuples":["{n},198.51.100.7,D"],"time":{n}}}"#)).collect();
    let first = match number % 3 {
        0 => r#""time":"2026-03-04T10:00:00Z","category":"AuditEvent""#,
        1 => r#""resourceId":"/SUBSCRIPTIONS/X","time":"2026-03-04T10:00:00Z","category":"x""#,
        _ => r#""count":4,"time":"2026-03-04T10:00:00Z","metricName":"m","resourceId":"/s""#,
    };
    format!(
        r#"{{{first},"n":{number},"properties":{{"text":"a\"b}},{{\\","flows":[{}],"message":"{{\"x\":[1,2]}}"}},"last":"z{number}"}}"#,
        flows.join(",")
    )
}

/// Damage that leaves no JSON behind, of the kinds that streams really suffer.
pub(super) fn damage(text: &str, kind: usize, place: usize) -> String {
    let quotes: Vec<usize> =
        text.bytes().enumerate().filter(|(at, b)| *b == b'"' && text.as_bytes()[at - 1] != b'\\').map(|(at, _)| at).collect();
    let closers: Vec<usize> = text.bytes().enumerate().filter(|(_, b)| *b == b'}' || *b == b']').map(|(at, _)| at).collect();
    let mut out = text.to_string();
    match kind % 6 {
        // The first two quotes stay, so that the opening can be told from a nested object.
        0 => drop(out.remove(quotes[8 + place % (quotes.len() - 8)])),
        1 => drop(out.remove(closers[place % closers.len()])),
        2 => out.insert(quotes[8 + place % (quotes.len() - 8)], '"'),
        3 => out = out.replacen("\"n\":", "\"n\":nul", 1),
        4 => out.truncate(text.len() / 2 + place % (text.len() / 2 - 1)),
        _ => out = out.replacen("\"properties\":", "\"properties\" ", 1),
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records_harm_no_neighbour(hits in prop::collection::btree_map(0_usize..500, (0_usize..6, 0_usize..1000), 1..8), lines in any::<bool>()) {
        let sound: Vec<String> = (0..500).map(record).collect();
        let mut records = sound.clone();
        for (at, (kind, place)) in &hits {
            records[*at] = damage(&sound[*at], *kind, *place);
        }
        let hits: Vec<usize> = hits.into_iter().filter(|(at, _)| serde_json::from_str::<serde_json::Value>(&records[*at]).is_err()).map(|(at, _)| at).collect();
        let body = if lines { records.join("\n") } else { format!("{{\"records\":[{}]}}", records.join(",")) };
        let mut decoder = Decoder::new(Limits::default());
        let (mut doc, mut found) = (Doc::default(), Vec::new());
        decoder.decode(body.as_bytes(), &mut doc, &mut found);
        let shown: Vec<String> = found.iter().map(|f| show(&doc, f)).filter(|f| !f.starts_with("broken")).collect();
        let expected: Vec<String> = (0..500).filter(|n| !hits.contains(n)).flat_map(|n| decoded(records[n].as_bytes())).collect();
        let missing: Vec<&String> = expected.iter().filter(|e| !shown.contains(e)).collect();
        let extra: Vec<&String> = shown.iter().filter(|e| !expected.contains(e)).collect();
        prop_assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?} extra {extra:#?} damaged {:#?}", hits.iter().map(|h| &records[*h]).collect::<Vec<_>>());
        prop_assert_eq!(&shown, &expected);
        let mut spans = Vec::new();
        decoder.spans(body.as_bytes(), &mut spans);
        prop_assert_eq!(spans.len(), found.len());
        prop_assert_eq!(uncovered(body.as_bytes(), &spans), "");
    }

    #[test]
    fn no_input_panics(tokens in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "'", "\\", "\n", " ", "a", "1", "-", "\"a\"", "\"records\":", "null", "tru", "\u{1}", "\\u", "d800", "{\"time\":1,\"category\":2}", "\"value\":[", "\u{feff}",
    ]), 0..60)) {
        let body = tokens.concat();
        let mut decoder = Decoder::new(Limits { nesting: 8, ..Limits::default() });
        let (mut doc, mut found, mut spans) = (Doc::default(), Vec::new(), Vec::new());
        decoder.decode(body.as_bytes(), &mut doc, &mut found);
        decoder.spans(body.as_bytes(), &mut spans);
        prop_assert_eq!(found.len(), spans.len(), "{:?}", found);
        prop_assert!(!found.is_empty() || body.bytes().all(|b| b" \n,[]{}:\"records".contains(&b)), "{:?}", body);
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(Limits::default());
        let (mut doc, mut found) = (Doc::default(), Vec::new());
        decoder.decode(&body, &mut doc, &mut found);
        prop_assert!(!found.is_empty());
    }
}

/// A node as serde_json would hold it.
fn reference(doc: &Doc, node: u32) -> serde_json::Value {
    use serde_json::Value;
    let text = |n| String::from_utf8(doc.str(n).to_vec()).expect("text of a document is UTF-8");
    let bits = doc.node(node).bits;
    match doc.node(node).kind {
        Kind::Null => Value::Null,
        Kind::Bool => Value::from(bits == 1),
        Kind::Int => Value::from(bits as i64),
        Kind::UInt => Value::from(bits),
        Kind::Float => Value::from(f64::from_bits(bits)),
        Kind::Str => Value::from(text(node)),
        Kind::Object => doc.members(node).map(|(k, v)| (text(k), reference(doc, v))).collect(),
        Kind::Array => doc.elements(node).map(|e| reference(doc, e)).collect(),
    }
}

fn close(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (a, b) {
        (Value::Number(x), Value::Number(y)) if x.is_f64() && y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap_or(0.0), y.as_f64().unwrap_or(1.0));
            (x - y).abs() <= x.abs() * f64::EPSILON
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| close(x, y)),
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| close(v, w))),
        _ => a == b,
    }
}

/// Decoding a sound body in one piece and cutting it by the tolerant path are the same thing.
fn assert_paths_agree(body: &[u8]) {
    let mut decoder = Decoder::new(Limits::default());
    let (mut doc, mut found, mut spans) = (Doc::default(), Vec::new(), Vec::new());
    decoder.decode(body, &mut doc, &mut found);
    decoder.spans(body, &mut spans);
    let fast: Vec<String> = found.iter().map(|f| show(&doc, f)).collect();
    let (mut doc, mut found) = (Doc::default(), Vec::new());
    decoder.salvage(body, 0..body.len(), 0, &mut doc, &mut found);
    let slow: Vec<String> = found.iter().map(|f| show(&doc, f)).collect();
    assert_eq!(fast, slow, "{}", String::from_utf8_lossy(body));
    assert_eq!(spans.len(), fast.len());
}

/// JSON values with the names that decide about shapes.
fn shaped() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300_f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["list", "{\"category\":1}", "[{\"a\":1}]", "{\"records\":[{\"b\":2},3]}", "{'time':'x','category':2}"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 5, |inner| {
        let name = prop::sample::select(vec![
            "records", "Records", "value", "data", "object", "tables", "columns", "rows", "error", "message", "body", "event", "original",
            "category", "x", "y",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|members| Value::from_iter(members.into_iter().map(|(k, v)| (k.to_string(), v)))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_paths_find_the_same(value in shaped()) {
        assert_paths_agree(value.to_string().as_bytes());
    }

    /// serde_json is the slow reference.
    #[test]
    fn text_equals_the_reference(value in shaped(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("a value can be written");
        let mut decoder = Decoder::new(Limits::default());
        let mut doc = Doc::default();
        let root = decoder.parse(text.as_bytes(), &mut doc).expect("sound JSON is read");
        prop_assert_eq!(&reference(&doc, root), &value);
        let mut out = Vec::new();
        doc.write_json(root, &mut out);
        let again = decoder.parse(&out, &mut doc).expect("what is written is read");
        prop_assert_eq!(reference(&doc, again), value);
    }
}

#[test]
fn sample_files() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut files = vec![root];
    let mut bodies = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files
                .extend(std::fs::read_dir(&path).expect("samples can be listed").map(|entry| entry.expect("samples can be listed").path()));
            continue;
        }
        if path.extension().is_none_or(|e| e == "md") {
            continue;
        }
        let text = std::fs::read(&path).expect("samples can be read");
        let lines: Vec<&[u8]> =
            if path.extension().is_some_and(|e| e == "ndjson") { text.split(|b| *b == b'\n').collect() } else { vec![&text] };
        for body in lines.into_iter().filter(|line| !line.trim_ascii().is_empty()) {
            bodies += 1;
            let found = decoded(body);
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let broken = found.iter().filter(|f| f.starts_with("broken")).count();
            let expected = usize::from(
                ["truncated.payload.json", "pt1h-unfinished.PT1H.json", "unquoted-blob.payload.json"].contains(&name)
                    || name.starts_with("error-"),
            );
            assert_eq!(broken, expected, "{name}: {found:#?}");
            let odd = body.starts_with(BOM) || serde_json::from_slice::<serde_json::Value>(body).is_err();
            if !odd {
                assert_paths_agree(body);
                let value: serde_json::Value = serde_json::from_slice(body).expect("tested above");
                let mut doc = Doc::default();
                let root = Decoder::new(Limits::default()).parse(body, &mut doc).expect("sound JSON is read");
                // serde_json reads floats within one unit of the last place.
                assert!(close(&reference(&doc, root), &value), "{name}");
            }
        }
    }
    assert!(bodies > 400, "only {bodies} sample bodies were found");
}
