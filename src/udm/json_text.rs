//! The text forms of proto3 JSON: timestamps, durations, bytes.

/// Whether `text` is RFC 3339 with a zone, year 1 to 9999, at most nine fraction digits.
///
/// Source: the JSON mapping of `google.protobuf.Timestamp`; tried on a strict parser: a blank for `T` and a missing zone are refused.
pub fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else { return false };
    let (Some(hour), Some(minute), Some(second)) = (number(11, 13), number(14, 16), number(17, 19)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    let separators = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    if !separators || year == 0 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return false;
    }
    let mut at = 19;
    if is(at, b'.') {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        at += 1 + digits;
    }
    match bytes.get(at) {
        Some(b'Z') => at + 1 == bytes.len(),
        Some(b'+' | b'-') => {
            let zone = (number(at + 1, at + 3), number(at + 4, at + 6));
            at + 6 == bytes.len() && is(at + 3, b':') && matches!(zone, (Some(hours), Some(minutes)) if hours <= 23 && minutes <= 59)
        }
        _ => false,
    }
}

/// Whether `text` is decimal seconds followed by `s`, at most nine fraction digits, within 315,576,000,000 seconds.
///
/// Source: the JSON mapping of `google.protobuf.Duration`.
pub fn is_duration(text: &str) -> bool {
    let Some(number) = text.strip_suffix('s') else { return false };
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && fraction.len() <= 9 && whole.parse::<u64>().is_ok_and(|seconds| seconds <= 315_576_000_000)
}

/// Whether `text` is base64, standard or URL-safe, with or without padding.
pub fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let alphabet = body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte));
    alphabet && padding <= 2 && body.len() % 4 != 1 && (padding == 0 || text.len().is_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        for (text, expected) in [
            ("2026-01-01T00:00:00Z", true),
            ("2026-01-01T00:00:00.1234567Z", true),
            ("2026-01-01T00:00:00+05:30", true),
            ("2024-02-29T23:59:59.999999999Z", true),
            ("2023-02-29T00:00:00Z", false),
            ("2026-01-01T00:00:00", false),
            ("2026-01-01 00:00:00Z", false),
            ("2026-01-01T24:00:00Z", false),
            ("2026-13-01T00:00:00Z", false),
            ("0000-01-01T00:00:00Z", false),
            ("2026-01-01T00:00:00.Z", false),
            ("2026-01-01T00:00:00.1234567890Z", false),
            ("2026-01-01T00:00:00Zx", false),
            ("1767225600", false),
            ("", false),
        ] {
            assert_eq!(is_timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_and_bytes() {
        for (text, expected) in
            [("12.5s", true), ("0s", true), ("-1s", true), ("12", false), ("s", false), ("1.s", false), ("1.1234567891s", false)]
        {
            assert_eq!(is_duration(text), expected, "{text}");
        }
        for (text, expected) in [("aGk=", true), ("aGk", true), ("", true), ("a", false), ("a b=", false), ("aGk==", false)] {
            assert_eq!(is_base64(text), expected, "{text}");
        }
    }
}
