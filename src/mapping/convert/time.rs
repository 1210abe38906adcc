//! Converters to timestamps and durations.

use super::number::{real, whole};
use super::{Converter, Gives, utf8};
use crate::plan::convert::{Args, Fault, Input, Output};
use parse::Moment;

mod parse;

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "timestamp",
        run: timestamp,
        takes: "text of a date and a time, or a Unix time",
        gives: Gives::Timestamp,
        params: &[],
        doc: "RFC 3339 in UTC, the fraction kept up to 9 digits. Reads ISO 8601 with 0 to 9 or more fraction digits, any offset or none (then UTC), a \
              blank for the `T`, blanks after colons; `MM/dd/yyyy HH:mm:ss`; `M/d/yyyy h:mm:ss AM` with or without an offset; the portal's \
              `4/28/2021, 2:32:14.029 PM`; Unix seconds or milliseconds, told apart by magnitude, between 1990 and 2100. A date alone is refused, \
              because midnight was not said. .NET's empty dates (0001-01-01, 1601-01-01 at midnight) are absent.",
        examples: &[
            ("\"timestamp\"", "2024-05-01T07:45:44.1234567Z", "2024-05-01T07:45:44.1234567Z"),
            ("\"timestamp\"", "2024-05-01 07: 45: 44", "2024-05-01T07:45:44Z"),
            ("\"timestamp\"", "2024-05-01T07:45:44+02:00", "2024-05-01T05:45:44Z"),
            ("\"timestamp\"", "5/1/2024 7:45:44 PM +00:00", "2024-05-01T19:45:44Z"),
            ("\"timestamp\"", "4/28/2021, 2:32:14.029 PM", "2021-04-28T14:32:14.029Z"),
            ("\"timestamp\"", "1714549544", "2024-05-01T07:45:44Z"),
            ("\"timestamp\"", "1714549544123", "2024-05-01T07:45:44.123Z"),
            ("\"timestamp\"", "2024-05-01", "fault:not_a_timestamp"),
            ("\"timestamp\"", "0001-01-01T00:00:00Z", "absent"),
        ],
    },
    Converter {
        name: "unix_seconds",
        run: unix_seconds,
        takes: "whole number, or its text",
        gives: Gives::Timestamp,
        params: &[],
        doc: "Seconds since 1970 in UTC, years 1 to 9999. Milliseconds are not guessed; a fraction is refused.",
        examples: &[
            ("\"unix_seconds\"", "1711471533", "2024-03-26T16:45:33Z"),
            ("\"unix_seconds\"", "253402300799", "9999-12-31T23:59:59Z"),
            ("\"unix_seconds\"", "253402300800", "fault:time_out_of_range"),
            ("\"unix_seconds\"", "1.5", "fault:not_seconds"),
        ],
    },
    Converter {
        name: "unix_millis",
        run: unix_millis,
        takes: "whole number, or its text",
        gives: Gives::Timestamp,
        params: &[],
        doc: "Milliseconds since 1970 in UTC, years 1 to 9999.",
        examples: &[("\"unix_millis\"", "1711471533001", "2024-03-26T16:45:33.001Z"), ("\"unix_millis\"", "x", "fault:not_millis")],
    },
    Converter {
        name: "dotnet_ticks",
        run: dotnet_ticks,
        takes: "whole number, or its text",
        gives: Gives::Timestamp,
        params: &[],
        doc: "Units of 100 nanoseconds since 0001-01-01 in UTC, as .NET's `DateTime.Ticks` and Azure OpenAI's `requestTime`. 0 is absent.",
        examples: &[
            ("\"dotnet_ticks\"", "638501463441234567", "2024-05-01T07:45:44.1234567Z"),
            ("\"dotnet_ticks\"", "-1", "fault:time_out_of_range"),
        ],
    },
    Converter {
        name: "duration_ms",
        run: duration_ms,
        takes: "number, or its text",
        gives: Gives::Duration,
        params: &[],
        doc: "Milliseconds. A negative one is refused: Azure OpenAI writes -1021 and nobody knows what it means.",
        examples: &[
            ("\"duration_ms\"", "78", "0.078s"),
            ("\"duration_ms\"", "1500", "1.5s"),
            ("\"duration_ms\"", "0.5", "0.0005s"),
            ("\"duration_ms\"", "-1021", "fault:negative_duration"),
        ],
    },
    Converter {
        name: "duration_seconds",
        run: duration_seconds,
        takes: "number, or its text",
        gives: Gives::Duration,
        params: &[],
        doc: "Seconds; a negative number is refused.",
        examples: &[("\"duration_seconds\"", "1.5", "1.5s")],
    },
    Converter {
        name: "duration_ticks",
        run: duration_ticks,
        takes: "whole number, or its text",
        gives: Gives::Duration,
        params: &[],
        doc: "Units of 100 nanoseconds, as the difference of two .NET ticks; a negative number is refused.",
        examples: &[("\"duration_ticks\"", "15000000", "1.5s")],
    },
    Converter {
        name: "iso_duration",
        run: iso_duration,
        takes: "text",
        gives: Gives::Duration,
        params: &[],
        doc: "ISO 8601 with weeks, days, hours, minutes and seconds; years and months are refused, because they have no fixed length.",
        examples: &[
            ("\"iso_duration\"", "PT1M", "60s"),
            ("\"iso_duration\"", "P1DT2H3M4.5S", "93784.5s"),
            ("\"iso_duration\"", "P1M", "fault:not_a_duration"),
        ],
    },
];

/// 9999-12-31T23:59:59 and 0001-01-01T00:00:00 in seconds since 1970: what a protobuf Timestamp may hold.
const LAST_SECOND: i64 = 253_402_300_799;
const FIRST_SECOND: i64 = -62_135_596_800;
/// 1601-01-01T00:00:00, the zero of Windows file times.
const FILE_TIME_ZERO: i64 = -11_644_473_600;
/// 1990-01-01 and 2100-01-01, half open: a bare number outside is no time of an audit log, neither in seconds nor in milliseconds.
const PLAUSIBLE: std::ops::Range<i128> = 631_152_000..4_102_444_800;

fn timestamp(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    match input {
        Input::Text(text) => {
            if parse::is_plain_utc(text) {
                return Ok(if is_empty_date(text) { Output::Absent } else { Output::Same });
            }
            let trimmed = text.trim_ascii();
            if !trimmed.is_empty() && trimmed.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
                return by_magnitude(Input::Text(trimmed), out);
            }
            let moment = parse::moment(utf8(trimmed)?).ok_or(Fault("not_a_timestamp"))?;
            if moment.nanoseconds == 0 && (moment.seconds == FIRST_SECOND || moment.seconds == FILE_TIME_ZERO) {
                return Ok(Output::Absent);
            }
            write_moment(moment, out)
        }
        Input::Bool(_) => Err(Fault("not_a_timestamp")),
        _ => by_magnitude(input, out),
    }
}

/// Whether a text that [`parse::is_plain_utc`] took is midnight of 0001-01-01 or 1601-01-01.
fn is_empty_date(text: &[u8]) -> bool {
    (text.starts_with(b"0001-01-01T00:00:00") || text.starts_with(b"1601-01-01T00:00:00"))
        && text[19..].iter().all(|byte| b".0Z".contains(byte))
}

fn by_magnitude(input: Input<'_>, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let nanoseconds = match whole(input) {
        Some(number) if PLAUSIBLE.contains(&number) => number * 1_000_000_000,
        Some(number) if (PLAUSIBLE.start * 1000..PLAUSIBLE.end * 1000).contains(&number) => number * 1_000_000,
        Some(_) => return Err(Fault("time_out_of_range")),
        None => {
            let number = real(input).ok_or(Fault("not_a_timestamp"))?;
            // A float holds microseconds of this century exactly enough, and no more.
            let microseconds = (number * 1e6).round();
            if PLAUSIBLE.contains(&(number as i128)) {
                microseconds as i128 * 1000
            } else if PLAUSIBLE.contains(&((number / 1e3) as i128)) {
                microseconds as i128
            } else {
                return Err(Fault("time_out_of_range"));
            }
        }
    };
    write_moment(Moment::from_nanoseconds(nanoseconds), out)
}

fn unix_seconds(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let seconds = exact(input).ok_or(Fault("not_seconds"))?;
    write_moment(Moment { seconds, nanoseconds: 0, digits: 0 }, out)
}

fn unix_millis(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let millis = exact(input).ok_or(Fault("not_millis"))?;
    write_moment(Moment::from_nanoseconds(i128::from(millis) * 1_000_000), out)
}

fn dotnet_ticks(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let ticks = exact(input).ok_or(Fault("not_ticks"))?;
    if ticks == 0 {
        return Ok(Output::Absent);
    }
    write_moment(Moment::from_nanoseconds(i128::from(ticks) * 100 + i128::from(FIRST_SECOND) * 1_000_000_000), out)
}

/// A whole number that was written as one: floats are refused, also `1.0`, because a unit may hide behind them.
fn exact(input: Input<'_>) -> Option<i64> {
    match input {
        Input::Float(_) => None,
        Input::Text(text) if text.contains(&b'.') => None,
        _ => whole(input).and_then(|number| i64::try_from(number).ok()),
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

fn write_moment(moment: Moment, out: &mut Vec<u8>) -> Result<Output, Fault> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&moment.seconds) {
        return Err(Fault("time_out_of_range"));
    }
    let (days, second) = (moment.seconds.div_euclid(86_400), moment.seconds.rem_euclid(86_400));
    let (year, month, day) = crate::plan::time::date_of(days);
    let pair = |value: i64| PAIRS[value as usize % 100];
    let second = second as u32;
    let [c0, c1] = pair(year / 100);
    let [y0, y1] = pair(year);
    let [m0, m1] = pair(month.into());
    let [d0, d1] = pair(day.into());
    let [h0, h1] = pair((second / 3600).into());
    let [n0, n1] = pair((second / 60 % 60).into());
    let [s0, s1] = pair((second % 60).into());
    // Put together in registers: bytes written one by one would have to be waited for before they can be read as a block.
    let date = [c0, c1, y0, y1, b'-', m0, m1, b'-'];
    let time = [d0, d1, b'T', h0, h1, b':', n0, n1];
    out.extend_from_slice(&date);
    out.extend_from_slice(&time);
    out.extend_from_slice(&[b':', s0, s1]);
    fraction(moment.nanoseconds, moment.digits, out);
    out.push(b'Z');
    Ok(Output::Text)
}

/// `value` with leading zeros.
fn digits(mut value: u32, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The point and the first `count` of nine digits; nothing for none.
fn fraction(nanoseconds: u32, count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(b'.');
        digits(nanoseconds, 9, out);
        out.truncate(out.len() - (9 - count));
    }
}

/// The most a protobuf Duration holds, in seconds: about 10,000 years.
const LONGEST_SECONDS: i128 = 315_576_000_000;

fn write_duration(nanoseconds: i128, out: &mut Vec<u8>) -> Result<Output, Fault> {
    if nanoseconds < 0 {
        return Err(Fault("negative_duration"));
    }
    let (seconds, rest) = (nanoseconds / 1_000_000_000, (nanoseconds % 1_000_000_000) as u32);
    if seconds > LONGEST_SECONDS {
        return Err(Fault("duration_out_of_range"));
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds as i64).as_bytes());
    fraction(rest, parse::significant(rest), out);
    out.push(b's');
    Ok(Output::Text)
}

/// A number of `unit` nanoseconds each.
fn scaled(input: Input<'_>, unit: i128, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let nanoseconds = match whole(input) {
        Some(number) => number.checked_mul(unit).ok_or(Fault("duration_out_of_range"))?,
        None => {
            let number = real(input).ok_or(Fault("not_a_duration"))?;
            let nanoseconds = (number * unit as f64).round();
            if nanoseconds.abs() > LONGEST_SECONDS as f64 * 1e9 {
                return Err(Fault("duration_out_of_range"));
            }
            // -0.4 nanoseconds rounds to -0, which is not below 0; the sign of the input decides.
            if number < 0.0 { -1 } else { nanoseconds as i128 }
        }
    };
    write_duration(nanoseconds, out)
}

fn duration_ms(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    scaled(input, 1_000_000, out)
}

fn duration_seconds(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    scaled(input, 1_000_000_000, out)
}

fn duration_ticks(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let ticks = exact(input).ok_or(Fault("not_ticks"))?;
    write_duration(i128::from(ticks) * 100, out)
}

fn iso_duration(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_a_duration")) };
    let nanoseconds = parse::iso_duration(utf8(text)?.trim()).ok_or(Fault("not_a_duration"))?;
    write_duration(nanoseconds, out)
}
