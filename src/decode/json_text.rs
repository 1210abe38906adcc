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

/// Appends `bytes[from..][..len]`. Short runs, which nearly all are, go as one block, whatever their length: that needs no call, and there is
/// nothing for the processor to guess.
#[inline(always)]
pub(crate) fn append(bytes: &[u8], from: usize, len: usize, out: &mut Vec<u8>) {
    let (rest, end) = (&bytes[from..], out.len() + len);
    match rest.first_chunk::<64>() {
        Some(block) if len <= 64 => {
            out.extend_from_slice(block);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&rest[..len]),
    }
}

/// Appends the text `bytes[from..][..len]` with what JSON wants escaped, without quotes.
#[inline(always)]
pub(crate) fn append_escaped(bytes: &[u8], from: usize, len: usize, out: &mut Vec<u8>) {
    // Ones for the text, zeros for what lies beyond it.
    const WINDOW: [u8; 64] = {
        let mut window = [0; 64];
        let mut at = 0;
        while at < 32 {
            window[at] = 1;
            at += 1;
        }
        window
    };
    match (bytes[from..].first_chunk::<32>(), WINDOW[32usize.saturating_sub(len)..].first_chunk::<32>()) {
        (Some(block), Some(window)) if len <= 32 => {
            // The whole block is looked at, so that no length takes a way of its own.
            let mut found = [0u8; 32];
            for at in 0..32 {
                let byte = block[at];
                found[at] = (u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')) & window[at];
            }
            if found == [0; 32] {
                let end = out.len() + len;
                out.extend_from_slice(block);
                out.truncate(end);
            } else {
                write_slowly(&block[..len], out);
            }
        }
        _ => write_escaped(&bytes[from..from + len], out),
    }
}

/// What follows the backslash that a byte needs: `u` where there is no short form, zero where it needs none.
const SHORT: [u8; 256] = {
    let mut short = [0; 256];
    let mut at = 0;
    while at < 0x20 {
        short[at] = b'u';
        at += 1;
    }
    short[b'"' as usize] = b'"';
    short[b'\\' as usize] = b'\\';
    short[b'\n' as usize] = b'n';
    short[b'\r' as usize] = b'r';
    short[b'\t' as usize] = b't';
    short[0x08] = b'b';
    short[0x0c] = b'f';
    short
};

#[cold]
fn write_slowly(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + text.len() / 4);
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = SHORT[usize::from(byte)];
        if short == 0 {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        if short == b'u' {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// Whether any byte may be a quote, a backslash or a control character. May say yes without cause, never no.
#[inline(always)]
fn needs_escape(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk::<16>() {
        // Sixteen bytes at a time, each by itself: the compiler makes vector comparisons of it.
        let mut found = [0; 16];
        specials(last, &mut found);
        for block in text.as_chunks::<16>().0 {
            specials(block, &mut found);
        }
        u128::from_le_bytes(found) != 0
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        special(*first) | special(*last) != 0
    } else {
        text.iter().any(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    }
}

/// Makes `found` not zero where a byte is special.
#[inline(always)]
fn specials(bytes: &[u8; 16], found: &mut [u8; 16]) {
    for at in 0..16 {
        let byte = bytes[at];
        found[at] |= u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
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
