//! Packed bodies: gzip, zstd, and UTF-16 with a byte order mark.

use std::io::Read;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Little-endian UTF-16.
    Utf16Le,
    /// Big-endian UTF-16.
    Utf16Be,
}

/// The packing that the first bytes name; none of them can begin JSON text.
pub fn packing(body: &[u8]) -> Option<Packing> {
    match body {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
        [0xff, 0xfe, ..] => Some(Packing::Utf16Le),
        [0xfe, 0xff, ..] => Some(Packing::Utf16Be),
        _ => None,
    }
}

/// Unpacks `body` into `plain`, which is emptied first. Stops one byte beyond `limit`; the caller looks at the length.
///
/// # Errors
///
/// Why it cannot be unpacked.
pub fn unpack(packing: Packing, body: &[u8], limit: usize, plain: &mut Vec<u8>) -> Result<(), String> {
    plain.clear();
    let most = limit as u64 + 1;
    let read = match packing {
        Packing::Gzip => flate2::read::MultiGzDecoder::new(body).take(most).read_to_end(plain),
        Packing::Zstd => zstd::stream::read::Decoder::with_buffer(body).and_then(|reader| reader.take(most).read_to_end(plain)),
        Packing::Utf16Le | Packing::Utf16Be => {
            let unit = |pair: &[u8]| match packing {
                Packing::Utf16Le => u16::from_le_bytes([pair[0], pair[1]]),
                _ => u16::from_be_bytes([pair[0], pair[1]]),
            };
            let mut buffer = [0; 4];
            for c in char::decode_utf16(body[2..].chunks_exact(2).map(unit)) {
                plain.extend_from_slice(c.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut buffer).as_bytes());
                if plain.len() > limit {
                    break;
                }
            }
            Ok(0)
        }
    };
    read.map(|_| ()).map_err(|fault| format!("the first bytes say {packing:?}, but the body does not unpack: {fault}"))
}
