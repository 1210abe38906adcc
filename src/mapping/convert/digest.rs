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
    let mut written = [b'-'; 36];
    match text.len() {
        36 => written.copy_from_slice(text),
        32 => {
            for (to, from) in [(0, 0..8), (9, 8..12), (14, 12..16), (19, 16..20), (24, 20..32)] {
                written[to..to + from.len()].copy_from_slice(&text[from]);
            }
        }
        _ => return Err(FAULT),
    }
    // All 36 bytes are tested as digits, without an early end, so that they are compared as vectors.
    let mut digits = written;
    for dash in [8, 13, 18, 23] {
        if digits[dash] != b'-' {
            return Err(FAULT);
        }
        digits[dash] = b'0';
    }
    if !digits.iter().fold(true, |all, byte| all & byte.is_ascii_hexdigit()) {
        return Err(FAULT);
    }
    if digits == [b'0'; 36] {
        return Ok(Output::Absent);
    }
    written.make_ascii_lowercase();
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
    if text.len() == 32 && sorts(text) & 1 != 0 {
        return Ok(Output::Same);
    }
    let text = text.trim_ascii();
    if !is_ja3(text) {
        return Err(Fault("not_a_ja3"));
    }
    Ok(lowered(text, input, out))
}

/// 32 hexadecimal digits of any case.
fn is_ja3(text: &[u8]) -> bool {
    text.len() == 32 && sorts(text) & 2 != 0
}

fn ja4(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_a_ja4")) };
    // The two ALPN characters keep their case in the original, so nothing is folded here.
    if is_ja4(text) {
        return Ok(Output::Same);
    }
    let text = text.trim_ascii();
    if !is_ja4(text) {
        return Err(Fault("not_a_ja4"));
    }
    out.extend_from_slice(text);
    Ok(Output::Text)
}

/// What a byte may be in a fingerprint: bit 0 a digit or a small letter of hexadecimal, bit 1 any digit of hexadecimal, bit 2 a letter or digit.
const SORTS: [u8; 256] = {
    let mut sorts = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let small = byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase();
        sorts[at] = small as u8 | (byte.is_ascii_hexdigit() as u8) << 1 | (byte.is_ascii_alphanumeric() as u8) << 2;
        at += 1;
    }
    sorts
};

/// What all bytes of a text are, see [`SORTS`]. Without an early end: a guess where a bad one stands costs more than looking at all.
#[inline]
fn sorts(text: &[u8]) -> u8 {
    text.iter().fold(u8::MAX, |all, byte| all & SORTS[usize::from(*byte)])
}

/// `t13d1516h2_8daaf6152771_b186095e22b6`: the shape that FoxIO's description of JA4 gives, 10 + 1 + 12 + 1 + 12 characters.
fn is_ja4(text: &[u8]) -> bool {
    let Some(text) = text.first_chunk::<36>().filter(|_| text.len() == 36) else { return false };
    let [transport, v0, v1, name, c0, c1, e0, e1, ..] = text;
    let version = matches!(&[*v0, *v1], b"13" | b"12" | b"11" | b"10" | b"s3" | b"s2" | b"s1" | b"d1" | b"d2" | b"d3" | b"00");
    matches!(transport, b't' | b'q' | b'd')
        && version
        && matches!(name, b'd' | b'i')
        && [c0, c1, e0, e1].iter().all(|digit| digit.is_ascii_digit())
        && sorts(&text[8..10]) & 4 != 0
        && text[10] == b'_'
        && sorts(&text[11..23]) & 1 != 0
        && text[23] == b'_'
        && sorts(&text[24..]) & 1 != 0
}
