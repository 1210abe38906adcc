//! JA4 and JA3 fingerprints against a regular expression of their shape: the same texts taken, and each comes out as it stood, without the
//! blanks around it; a JA3 in lower case.

use crate::pieces::{Budget, damage, one};
use udmill::mapping::convert::find;
use udmill::plan::convert::{Args, Convert, Input, Output};

const PIECES: [&str; 16] = ["_", "t", "q", "d", "i", "13", "s3", "00", "h2", "H", "f", "F", "g", " ", "\t", "é"];

fn convert<'a>(run: Convert, text: &'a [u8], out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    out.clear();
    match run(Input::Text(text), &Args::default(), out) {
        Ok(Output::Text) => Some(out),
        Ok(Output::Same) => Some(text),
        Ok(other) => panic!("{other:?} is no fingerprint"),
        Err(_) => None,
    }
}

fn hex(random: &mut fastrand::Rng, length: usize) -> String {
    (0..length).map(|_| random.digit(16)).collect()
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let shape = r"^(?-u)[tqd](?:1[0-3]|s[123]|d[123]|00)[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$";
    let ja4_shape = regex::bytes::Regex::new(shape).expect("a pattern");
    let ja3_shape = regex::bytes::Regex::new(r"^(?-u)[0-9a-fA-F]{32}$").expect("a pattern");
    let [ja4, ja3] = ["ja4", "ja3"].map(|name| find(name).expect("it is there").run);
    let (mut out, mut taken) = (Vec::new(), 0u64);
    while budget.more() {
        let mut text = if random.u8(..) < 200 {
            let version = one(&mut random, &["13", "12", "11", "10", "s3", "s2", "s1", "d1", "d2", "d3", "00"]);
            let (transport, name) = (one(&mut random, &["t", "q", "d"]), one(&mut random, &["d", "i"]));
            let alpn: String = (0..2).map(|_| random.alphanumeric()).collect();
            let (ciphers, extensions) = (hex(&mut random, 12), hex(&mut random, 12));
            format!("{transport}{version}{name}{:04}{alpn}_{ciphers}_{extensions}", random.u32(..10_000)).into_bytes()
        } else {
            hex(&mut random, 32).into_bytes()
        };
        for _ in 0..random.usize(..3) {
            damage(&mut random, &mut text, &PIECES);
        }
        let trimmed = text.trim_ascii();
        let found = convert(ja4, &text, &mut out);
        let expected = ja4_shape.is_match(trimmed).then_some(trimmed);
        assert_eq!(found, expected, "JA4 of {:?}", String::from_utf8_lossy(&text));
        taken += u64::from(found.is_some());
        let expected = ja3_shape.is_match(trimmed).then(|| trimmed.to_ascii_lowercase());
        let found = convert(ja3, &text, &mut out);
        assert_eq!(found, expected.as_deref(), "JA3 of {:?}", String::from_utf8_lossy(&text));
    }
    println!("{taken} texts were a JA4");
}
