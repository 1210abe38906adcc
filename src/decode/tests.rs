//! Decoding, table by table.
use super::*;

/// What was found, as text: records as compact JSON with their repairs, the rest by code.
pub(super) fn decoded(body: &[u8]) -> Vec<String> {
    let mut decoder = Decoder::new(Limits::default());
    let (mut doc, mut found) = (Doc::default(), Vec::new());
    decoder.decode(body, &mut doc, &mut found);
    found.iter().map(|f| show(&doc, f)).collect()
}

pub(super) fn show(doc: &Doc, found: &Found) -> String {
    match found {
        Found::Record { root, repair, .. } => {
            let mut out = Vec::new();
            doc.write_json(*root, &mut out);
            let mut text = String::from_utf8(out).expect("written JSON is UTF-8");
            for word in repair.iter().flat_map(|r| r.words()) {
                text.push_str(" !");
                text.push_str(word);
            }
            text
        }
        Found::Broken { code, .. } => format!("broken {code}"),
        Found::Empty { reason, .. } => format!("empty {reason}"),
    }
}

#[test]
fn sound_shapes() {
    for (name, body, expected) in [
        ("records", r#"{"records":[{"a":1},{"b":[true,null,1.5]}]}"#, vec![r#"{"a":1}"#, r#"{"b":[true,null,1.5]}"#]),
        ("records in another case", r#"{"Records":[{"a":"\u0001\"\n"}]}"#, vec![r#"{"a":"\u0001\"\n"}"#]),
        ("two lists of records", r#"{"records":[{"a":1}],"records":[{"b":2}]}"#, vec![r#"{"a":1}"#, r#"{"b":2}"#]),
        ("bare", r#"{"category":"x","category":"y"}"#, vec![r#"{"category":"x","category":"y"}"#]),
        (
            "array",
            r#"[{"a":18446744073709551615},{"b":-9223372036854775808}]"#,
            vec![r#"{"a":18446744073709551615}"#, r#"{"b":-9223372036854775808}"#],
        ),
        ("array of envelopes", r#"[{"records":[{"a":1}]},{"records":[]}]"#, vec![r#"{"a":1}"#, "empty empty_records"]),
        ("rest list", r#"{"value":[{"a":1}],"nextLink":"x"}"#, vec![r#"{"a":1}"#]),
        ("a record with a value", r#"{"category":"c","value":[{"a":1}]}"#, vec![r#"{"category":"c","value":[{"a":1}]}"#]),
        ("page", r#"{"object":"list","data":[{"id":"a"}],"has_more":false}"#, vec![r#"{"id":"a"}"#]),
        ("empty page", r#"{"object":"list","data":[]}"#, vec!["empty empty_list"]),
        (
            "tables",
            r#"{"tables":[{"name":"t","columns":[{"name":"a","type":"s"},{"name":"b"}],"rows":[["x",{"c":[1]}],[2]]}]}"#,
            vec![r#"{"a":"x","b":{"c":[1]}}"#, "broken row_width"],
        ),
        ("wrapped", r#"{"message":"{\"category\":\"x\"}","@timestamp":"t"}"#, vec![r#"{"category":"x"}"#]),
        (
            "wrapped records",
            r#"{"event":{"original":"{\"records\":[{\"a\":1},{\"b\":2}]}"},"message":"m"}"#,
            vec![r#"{"a":1}"#, r#"{"b":2}"#],
        ),
        ("not a wrapper", r#"{"message":"{\"x\":1}","time":"t"}"#, vec![r#"{"message":"{\"x\":1}","time":"t"}"#]),
        ("body as object", r#"{"body":{"time":"t","category":"c"}}"#, vec![r#"{"time":"t","category":"c"}"#]),
        ("cribl", r#"{"cribl_data":{"original_message":"[{\"category\":1}]"}}"#, vec![r#"{"category":1}"#]),
        ("text in records", r#"{"records":["{\"a\":1}","b",null]}"#, vec![r#"{"a":1}"#, "broken not_an_object", "empty null"]),
        ("api error", r#"{"error":{"code":"x"}}"#, vec!["broken api_error"]),
        ("empty", r#"{"records":[]}"#, vec!["empty empty_records"]),
        ("null records", r#"{"records":null}"#, vec!["empty null_records"]),
        ("nothing", " \n", vec!["empty blank"]),
        ("null", "null", vec!["empty null"]),
        ("byte order mark", "\u{feff}{\"a\":1}", vec![r#"{"a":1}"#]),
    ] {
        assert_eq!(decoded(body.as_bytes()), expected, "case: {name}");
    }
}
