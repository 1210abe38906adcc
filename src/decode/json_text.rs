//! Writing JSON strings: one test decides whether anything must be escaped, and nearly nothing must.

/// Appends `text` as a JSON string with its quotes.
#[inline]
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends `text` with what JSON wants escaped, without quotes.
#[inline]
pub(crate) fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    if needs_escape(text) {
        write_slowly(text, out);
    } else {
        out.extend_from_slice(text);
    }
}

#[cold]
fn write_slowly(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        if short == 0 {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// Whether any byte may be a quote, a backslash or a control character. May say yes without cause, never no.
#[inline]
fn needs_escape(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk::<8>() {
        let (words, _) = text.as_chunks::<8>();
        let mut found = special(*last);
        for word in words {
            found |= special(*word);
        }
        found != 0
    } else {
        text.iter().any(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    }
}

/// Bits that are set when one of eight bytes is special: the classic test for a zero byte, three times. Bytes beyond ASCII never are.
#[inline]
fn special(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(bytes);
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20);
    (control | quote.wrapping_sub(ONES) | slash.wrapping_sub(ONES)) & !word & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_reads_back(text in ".{0,80}|[\\x00-\\x30\"\\\\é]{0,40}") {
            let mut out = Vec::new();
            write_string(text.as_bytes(), &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn one_special_byte_is_found_at_every_place() {
        for len in 1..40 {
            for at in 0..len {
                for byte in [b'"', b'\\', 0, 0x1f] {
                    let mut text = vec![b'a'; len];
                    text[at] = byte;
                    assert!(needs_escape(&text), "{byte} at {at} of {len}");
                }
            }
            assert!(!needs_escape(&vec![b' '; len]), "plain text of {len}");
        }
    }
}
