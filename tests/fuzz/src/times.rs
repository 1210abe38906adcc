//! Timestamps: a moment written in every form that the converters promise is read as that moment, which is worked out here by day counting;
//! whatever bytes come, what comes out is RFC 3339 in UTC, and read again it stays as it is.

use crate::pieces::{Budget, damage, one};
use udmill::mapping::convert::find;
use udmill::plan::convert::{Args, Convert, Input, Output};

const PIECES: [&str; 22] = [
    "0",
    "9",
    "-",
    ":",
    ".",
    "T",
    "Z",
    "+",
    " ",
    "/",
    ",",
    "AM",
    "pm",
    "UTC",
    "GMT",
    "+02:00",
    "-2359",
    "\u{202f}",
    "00000000000",
    "24",
    "60",
    "e5",
];

fn convert(run: Convert, input: Input<'_>) -> Option<String> {
    let mut out = Vec::new();
    match run(input, &Args::default(), &mut out) {
        Ok(Output::Text) => Some(String::from_utf8(out).expect("a time is text")),
        Ok(Output::Same) => match input {
            Input::Text(text) => Some(String::from_utf8(text.to_vec()).expect("a time is text")),
            other => panic!("{other:?} is no text and cannot stay"),
        },
        Ok(Output::Absent) | Err(_) => None,
        Ok(other) => panic!("{other:?} is no time"),
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0001-01-01, counted year by year and month by month: slow and plain.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (year - 1) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    years + (1..month).map(|month| month_days(year, month)).sum::<i64>() + day - 1
}

/// The date of such a count, found by trying.
fn date(count: i64) -> (i64, i64, i64) {
    let mut year = count / 366 + 1;
    while days(year + 1, 1, 1) <= count {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days(year, month + 1, 1) <= count {
        month += 1;
    }
    (year, month, count - days(year, month, 1) + 1)
}

/// The form that the converters write.
fn written(days: i64, second: i64, fraction: &str) -> String {
    let (year, month, day) = date(days);
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{point}{fraction}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Whether a text is RFC 3339 in UTC of a day that there is.
fn is_utc(text: &str) -> bool {
    let bytes = text.as_bytes();
    let form = b"0000-00-00T00:00:00";
    let fits = bytes.len() >= 20
        && form.iter().zip(bytes).all(|(form, byte)| if *form == b'0' { byte.is_ascii_digit() } else { form == byte })
        && bytes.ends_with(b"Z");
    if !fits {
        return false;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap_or(-1);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let fraction = &text[19..text.len() - 1];
    let is_fraction = fraction.is_empty()
        || fraction
            .strip_prefix('.')
            .is_some_and(|digits| (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
    is_fraction
        && year >= 1
        && (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && number(11..13) < 24
        && number(14..16) < 60
        && number(17..19) < 60
}

/// Runs until the budget is spent; panics on the first fault.
pub fn run(budget: &mut Budget, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let [timestamp, seconds, millis, ticks, iso] =
        ["timestamp", "unix_seconds", "unix_millis", "dotnet_ticks", "iso_duration"].map(|name| find(name).expect("it is there").run);
    let epoch = days(1970, 1, 1);
    while budget.more() {
        let year = if random.bool() { random.i64(1990..2100) } else { random.i64(2..9999) };
        let month = random.i64(1..=12);
        let day = random.i64(1..=month_days(year, month));
        let (hour, minute, second) = (random.i64(0..24), random.i64(0..60), random.i64(0..60));
        let digits = random.usize(..=9);
        let fraction: String = (0..digits).map(|_| random.digit(10)).collect();
        let point = if digits == 0 { "" } else { "." };
        let mut offset = 0;
        let clock = format!("{hour:02}:{minute:02}:{second:02}{point}{fraction}");
        let mut text = match random.u8(..6) {
            0 => format!(
                "{year:04}-{month:02}-{day:02}{}{clock}{}",
                one(&mut random, &["T", "t", " "]),
                one(&mut random, &["Z", "", "UTC", " GMT"])
            ),
            1 | 2 => {
                let (hours, minutes) = (random.i64(0..24), random.i64(0..60));
                let sign = if random.bool() { 1 } else { -1 };
                offset = sign * (hours * 3600 + minutes * 60);
                let colon = one(&mut random, &[":", ""]);
                format!("{year:04}-{month:02}-{day:02}T{clock}{}{hours:02}{colon}{minutes:02}", if sign > 0 { '+' } else { '-' })
            }
            3 => format!("{month:02}/{day:02}/{year:04} {clock}"),
            _ => {
                let half = if hour < 12 { "AM" } else { "PM" };
                let blank = one(&mut random, &[" ", "\u{202f}"]);
                let comma = one(&mut random, &[",", ""]);
                format!("{month}/{day}/{year:04}{comma} {}:{minute:02}:{second:02}{point}{fraction}{blank}{half}", (hour + 11) % 12 + 1)
            }
        };
        let total = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        let expected = written(total.div_euclid(86_400), total.rem_euclid(86_400), &fraction);
        if expected != "1601-01-01T00:00:00Z" {
            assert_eq!(convert(timestamp, Input::Text(text.as_bytes())), Some(expected.clone()), "{text}");
        }
        let since = total - epoch * 86_400;
        let whole = written(total.div_euclid(86_400), total.rem_euclid(86_400), "");
        assert_eq!(convert(seconds, Input::Int(since)), Some(whole.clone()), "{since} seconds");
        assert_eq!(
            convert(millis, Input::Text(format!("{}", since * 1000).as_bytes())),
            Some(whole.clone()),
            "{since} seconds in milliseconds"
        );
        assert_eq!(convert(ticks, Input::Int(total * 10_000_000)), Some(whole), "{total} seconds in ticks");

        let mut bytes = std::mem::take(&mut text).into_bytes();
        for _ in 0..=random.usize(..3) {
            damage(&mut random, &mut bytes, &PIECES);
        }
        // Decoding hands out UTF-8 only; what is not is refused, and must not panic either.
        for run in [timestamp, seconds, millis, ticks] {
            if let Some(time) = convert(run, Input::Text(&bytes)) {
                assert!(is_utc(&time), "{time} from {:?}", String::from_utf8_lossy(&bytes));
                if time != "0001-01-01T00:00:00Z" && time != "1601-01-01T00:00:00Z" {
                    assert_eq!(convert(timestamp, Input::Text(time.as_bytes())).as_deref(), Some(time.as_str()), "{time} read again");
                }
            }
        }
        convert(iso, Input::Text(&bytes));
        let number = random.i64(..) >> random.u32(..64);
        for run in [timestamp, seconds, millis, ticks] {
            for input in [
                Input::Int(number),
                Input::UInt(number as u64),
                Input::Float(f64::from_bits(random.u64(..))),
                Input::Float(number as f64 / 1e3),
            ] {
                let time = convert(run, input);
                assert!(time.as_deref().is_none_or(is_utc), "{time:?} from {input:?}");
            }
        }
    }
}
