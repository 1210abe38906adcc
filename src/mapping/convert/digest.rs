//! Converters around hashes, fingerprints and GUIDs.

use sha2::{Digest, Sha256};

use super::{Converter, Digits, Gives, text_of};
use crate::plan::convert::{Args, Fault, Input, Output};

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "sha256",
        run: sha256,
        takes: "text",
        gives: Gives::Text,
        params: &[],
        doc: "SHA-256 of the text's bytes as 64 hexadecimal digits in lower case; for texts that must be comparable and not readable, such as PEM bodies.",
        examples: &[("\"sha256\"", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")],
    },
    Converter {
        name: "blake3",
        run: blake3_hex,
        takes: "text",
        gives: Gives::Text,
        params: &[],
        doc: "BLAKE3 of the text's bytes, 256 bits as 64 hexadecimal digits in lower case.",
        examples: &[("\"blake3\"", "", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")],
    },
    Converter {
        name: "guid",
        run: guid,
        takes: "text",
        gives: Gives::Text,
        params: &[],
        doc: "A GUID in lower case with dashes, from 32 hexadecimal digits, from the dashed form, or from either in braces (Activity writes the id of a \
              role's principal without dashes). The empty GUID, all zeros, is absent.",
        examples: &[
            ("\"guid\"", "0F8FAD5BD9CB469FA16570867728950E", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("\"guid\"", "{0F8FAD5B-D9CB-469F-A165-70867728950E}", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("\"guid\"", "00000000-0000-0000-0000-000000000000", "absent"),
            ("\"guid\"", "0f8fad5b-d9cb-469f-a165-70867728950", "fault:not_a_guid"),
        ],
    },
    Converter {
        name: "ja3",
        run: ja3,
        takes: "text",
        gives: Gives::Text,
        params: &[],
        doc: "A JA3 or JA3S fingerprint: an MD5 as 32 hexadecimal digits, in lower case.",
        examples: &[
            ("\"ja3\"", "E7D705A3286E19EA42F587B344EE6865", "e7d705a3286e19ea42f587b344ee6865"),
            ("\"ja3\"", "e7d705a3", "fault:not_a_ja3"),
        ],
    },
    Converter {
        name: "ja4",
        run: ja4,
        takes: "text",
        gives: Gives::Text,
        params: &[],
        doc: "A JA4 fingerprint of a TLS client, in its own shape: transport (`t`, `q` or `d`), TLS version, `d` or `i`, two counts, two characters of the \
              ALPN; the hashes of ciphers and extensions, 12 hexadecimal digits each; joined by `_`.",
        examples: &[
            ("\"ja4\"", "t13d1516h2_8daaf6152771_b186095e22b6", "t13d1516h2_8daaf6152771_b186095e22b6"),
            ("\"ja4\"", "t13d1516h2_8daaf6152771", "fault:not_a_ja4"),
        ],
    },
];

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn sha256(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    push_hex(&Sha256::digest(text_of(input, &mut Digits::default())), out);
    Ok(Output::Text)
}

fn blake3_hex(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    push_hex(blake3::hash(text_of(input, &mut Digits::default())).as_bytes(), out);
    Ok(Output::Text)
}

fn guid(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    const FAULT: Fault = Fault("not_a_guid");
    let Input::Text(text) = input else { return Err(FAULT) };
    let text = text.trim_ascii();
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    let dashed = text.len() == 36;
    if !dashed && text.len() != 32 {
        return Err(FAULT);
    }
    let mut written = [b'-'; 36];
    let (mut from, mut digits) = (text.iter(), 0u8);
    for (at, to) in written.iter_mut().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if dashed && from.next() != Some(&b'-') {
                return Err(FAULT);
            }
            continue;
        }
        let Some(digit) = from.next().filter(|byte| byte.is_ascii_hexdigit()) else { return Err(FAULT) };
        *to = digit.to_ascii_lowercase();
        // All bits that a digit other than 0 sets.
        digits |= *to ^ b'0';
    }
    if digits == 0 {
        return Ok(Output::Absent);
    }
    if input == Input::Text(&written) {
        return Ok(Output::Same);
    }
    out.extend_from_slice(&written);
    Ok(Output::Text)
}

/// Lower case into `out`, or nothing at all when it is so already.
fn lowered(text: &[u8], input: Input<'_>, out: &mut Vec<u8>) -> Output {
    // Without an early end, so that the bytes are compared as vectors.
    if input == Input::Text(text) && !text.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase()) {
        return Output::Same;
    }
    out.extend(text.iter().map(u8::to_ascii_lowercase));
    Output::Text
}

fn ja3(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_a_ja3")) };
    let text = text.trim_ascii();
    if !is_ja3(text) {
        return Err(Fault("not_a_ja3"));
    }
    Ok(lowered(text, input, out))
}

/// 32 hexadecimal digits of any case.
fn is_ja3(text: &[u8]) -> bool {
    // Without an early end, so that the bytes are compared as vectors.
    text.len() == 32 && text.iter().fold(true, |all, byte| all & byte.is_ascii_hexdigit())
}

fn ja4(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_a_ja4")) };
    let text = text.trim_ascii();
    if !is_ja4(text) {
        return Err(Fault("not_a_ja4"));
    }
    // The two ALPN characters keep their case in the original, so nothing is folded here.
    if text.len() == 36 && input == Input::Text(text) {
        return Ok(Output::Same);
    }
    out.extend_from_slice(text);
    Ok(Output::Text)
}

/// Digits and small letters of hexadecimal, every byte looked at.
fn all_hex(text: &[u8]) -> bool {
    text.iter().fold(true, |all, digit| all & (digit.is_ascii_digit() | matches!(digit, b'a'..=b'f')))
}

/// `t13d1516h2_8daaf6152771_b186095e22b6`: the shape that FoxIO's description of JA4 gives, 10 + 1 + 12 + 1 + 12 characters.
fn is_ja4(text: &[u8]) -> bool {
    let [transport, v0, v1, name, c0, c1, e0, e1, a0, a1, b'_', rest @ ..] = text else { return false };
    let version = matches!(&[*v0, *v1], b"13" | b"12" | b"11" | b"10" | b"s3" | b"s2" | b"s1" | b"d1" | b"d2" | b"d3" | b"00");
    let counts = [c0, c1, e0, e1].iter().all(|digit| digit.is_ascii_digit());
    let hashes = rest.len() == 25 && rest[12] == b'_';
    matches!(transport, b't' | b'q' | b'd')
        && version
        && matches!(name, b'd' | b'i')
        && counts
        && a0.is_ascii_alphanumeric()
        && a1.is_ascii_alphanumeric()
        && hashes
        && all_hex(&rest[..12])
        && all_hex(&rest[13..])
}
