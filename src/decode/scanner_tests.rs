//! The scanner against simd-json and serde_json: what is accepted, and what it means.

use super::{Doc, Kind, Parser, parse};
use proptest::prelude::*;

fn meaning(doc: &Doc) -> String {
    let mut out = Vec::new();
    doc.write_json(0, &mut out);
    String::from_utf8(out).expect("a document is UTF-8")
}

fn nodes(doc: &Doc) -> Vec<(Kind, u32, u64, Vec<u8>)> {
    let shown = |index: u32| {
        let node = doc.node(index);
        let bits = if node.kind == Kind::Str { 0 } else { node.bits };
        (node.kind, node.len, bits, doc.str(index).to_vec())
    };
    (0..doc.nodes.len() as u32).map(shown).collect()
}

fn both_agree(text: &[u8], nesting: usize) {
    let (ours, theirs) = (parse(Parser::Scanner, text, nesting), parse(Parser::SimdTape, text, nesting));
    assert_eq!(ours.is_some(), theirs.is_some(), "{}", String::from_utf8_lossy(text));
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        assert_eq!(nodes(&ours), nodes(&theirs), "{}", String::from_utf8_lossy(text));
        let serde: serde_json::Value = serde_json::from_slice(text).expect("serde_json accepts it too");
        let ours = serde_json::from_str::<serde_json::Value>(&meaning(&ours)).expect("our JSON is JSON");
        assert!(same(&ours, &serde), "{ours} and {serde}");
    }
}

/// Equal, but for `-0`, which is the integer zero here and a float there, and for the last bit of a long fraction: serde_json without its
/// feature `float_roundtrip` may miss the nearest number by one.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => {
            let near = |a: f64, b: f64| a == b || a.to_bits().abs_diff(b.to_bits()) == 1;
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| near(a, b))
        }
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Object(a), Object(b)) => a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b))),
        _ => a == b,
    }
}

#[test]
fn odd_texts() {
    for text in [
        "",
        " ",
        "{}",
        "[]",
        " [ ] ",
        "{ }",
        "[1,2",
        "[1,2]]",
        "[1 2]",
        "[,]",
        "[1,]",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        "1",
        "-",
        "-0",
        "0",
        "00",
        "01",
        "-01",
        "1.",
        ".5",
        "1.5",
        "1e",
        "1e5",
        "1E+5",
        "1e-5",
        "1.5e300",
        "1e400",
        "-1e400",
        "1e-400",
        "0.1e1",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "-0.0",
        "true",
        "tru",
        "truee",
        "nul",
        "null",
        "false",
        "falsey",
        r#""""#,
        r#"""#,
        r#""a"#,
        r#""\"#,
        r#""\""#,
        r#""\\""#,
        r#""\x""#,
        r#""\u12""#,
        r#""\u0041""#,
        r#""\u0000""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dA""#,
        r#""\ud83d\u0041""#,
        r#""\/\b\f\n\r\t""#,
        "\"\t\"",
        "\"\u{7f}\"",
        "\"\u{1f}\"",
        "[[[[]]]]",
        r#"{"a":{"b":[1,{"c":"d\n"}]},"e":""}"#,
        "[1]\u{0}",
        "[1]x",
        "\u{feff}[]",
        "{\"a\":1 , \"b\" : [ 2 ,3 ] }\n",
        "[\"\\\\\\\"\"]",
        "\"0123456789abcdef\"",
        "\"0123456789abcde\"",
        "\"0123456789abcdef0\"",
        "[\"0123456789abcd\\n0123456789abcdef0123\\u00e9456789abcdef\"]",
    ] {
        both_agree(text.as_bytes(), 64);
    }
    for text in [&b"\"\xff\""[..], b"\"\xc3\"", b"[\xe2\x82]", b"\"\xed\xa0\x80\""] {
        both_agree(text, 64);
    }
    for depth in 1..8 {
        both_agree(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes(), 4);
        both_agree(format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).as_bytes(), 4);
        both_agree(format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth)).as_bytes(), 4);
    }
}

fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[ -~]{0,24}", ".{0,12}", "[a-z\"\\\\/é\u{1}\u{1f600}]{0,40}"]
        .prop_map(|text| serde_json::to_string(&text).unwrap_or_default());
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        (-1e6f64..1e6).prop_map(|n| n.to_string())
    ];
    let leaf = prop_oneof![text.clone(), number, Just("true".to_owned()), Just("null".to_owned())];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        let member = (text.clone(), inner.clone()).prop_map(|(name, value)| format!("{name} : {value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..8).prop_map(|all| format!("[{}]", all.join(" ,"))),
            proptest::collection::vec(member, 0..8).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn sound_texts_mean_the_same(text in json()) {
        both_agree(text.as_bytes(), 64);
        prop_assert!(parse(Parser::Scanner, text.as_bytes(), 64).is_some(), "{}", text);
    }

    #[test]
    fn damaged_texts_are_refused_alike(text in json(), at in any::<prop::sample::Index>(), byte in prop_oneof![any::<u8>(), "[]{}\",:\\\\ue0-9.tfn-]".prop_map(|t| t.bytes().next().unwrap_or(b','))], cut in any::<bool>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len().max(1));
        if cut { bytes.truncate(at) } else if let Some(place) = bytes.get_mut(at) { *place = byte }
        both_agree(&bytes, 64);
    }
}
