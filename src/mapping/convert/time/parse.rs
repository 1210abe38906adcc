//! Reading dates, times and durations as text.

/// A moment with the number of fraction digits it is written with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    /// Seconds since 1970 in UTC.
    pub seconds: i64,
    /// 0 to 999,999,999, always forward.
    pub nanoseconds: u32,
    /// How many digits of the fraction are written, 0 to 9.
    pub digits: usize,
}

impl Moment {
    /// From nanoseconds since 1970, with as many digits as needed. Out of `i64` seconds it saturates, which the range test then refuses.
    pub(super) fn from_nanoseconds(nanoseconds: i128) -> Self {
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        let seconds = i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX });
        let nanoseconds = nanoseconds.rem_euclid(1_000_000_000) as u32;
        Self { seconds, nanoseconds, digits: significant(nanoseconds) }
    }
}

/// How many of nine fraction digits stand before the trailing zeros.
pub(super) fn significant(mut nanoseconds: u32) -> usize {
    let mut count = 9;
    while count > 0 && nanoseconds.is_multiple_of(10) {
        nanoseconds /= 10;
        count -= 1;
    }
    count
}

/// Whether the text is `YYYY-MM-DDTHH:MM:SSZ` with at most 9 fraction digits: it needs no change.
pub(super) fn is_plain_utc(text: &[u8]) -> bool {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, rest @ ..] = text else { return false };
    let mut valid = true;
    let mut two = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        valid &= tens <= 9 && ones <= 9;
        u32::from(tens) * 10 + u32::from(ones)
    };
    let year = two(*y0, *y1) * 100 + two(*y2, *y3);
    let (month, day, hour, minute, second) = (two(*m0, *m1), two(*d0, *d1), two(*h0, *h1), two(*n0, *n1), two(*s0, *s1));
    let fraction = match rest {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    valid && fraction && year >= 1 && hour < 24 && minute < 60 && second < 60 && day >= 1 && day <= days_in(year, month)
}

/// Days of a month; 0 for a month that there is not.
fn days_in(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

/// What is left of a text while it is read from the left.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn blanks(&mut self) -> bool {
        let before = self.0.len();
        // U+202F, which newer ICU versions write before AM and PM, is a blank too.
        loop {
            if let Some(rest) = self.0.strip_prefix("\u{202f}".as_bytes()) {
                self.0 = rest;
            } else if !self.take(b' ') {
                return self.0.len() < before;
            }
        }
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        let value = self.0[..count].iter().fold(0, |value, byte| value * 10 + u32::from(byte - b'0'));
        self.0 = &self.0[count..];
        Some(value)
    }

    /// `:` with blanks around it (`07: 45: 44` was seen), then two digits.
    fn colon_number(&mut self) -> Option<u32> {
        self.blanks();
        if !self.take(b':') {
            return None;
        }
        self.blanks();
        self.number(1, 2)
    }
}

/// Reads every form that `timestamp` promises except a bare number.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let mut rest = Rest(text.as_bytes());
    let american = text.bytes().take(3).any(|byte| byte == b'/');
    let (year, month, day) = if american {
        let month = rest.number(1, 2)?;
        let day = rest.take(b'/').then(|| rest.number(1, 2))??;
        let year = rest.take(b'/').then(|| rest.number(4, 4))??;
        (year, month, day)
    } else {
        let year = rest.number(4, 4)?;
        let month = rest.take(b'-').then(|| rest.number(2, 2))??;
        let day = rest.take(b'-').then(|| rest.number(2, 2))??;
        (year, month, day)
    };
    let separated = if american {
        rest.take(b',');
        rest.blanks()
    } else {
        rest.take(b'T') || rest.take(b't') || rest.blanks()
    };
    if !separated || day > days_in(year, month) {
        return None;
    }
    let mut hour = rest.number(1, 2)?;
    let minute = rest.colon_number()?;
    let mut second = rest.colon_number();
    // A clock that shows a leap second has no place in UDM time; it is the last second of its minute.
    if second == Some(60) {
        second = Some(59);
    }
    let (nanoseconds, digits) = if second.is_some() { fraction(&mut rest)? } else { (0, 0) };
    rest.blanks();
    if let Some(afternoon) = half_of_day(&mut rest) {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if afternoon { 12 } else { 0 };
        rest.blanks();
    }
    let offset = offset_seconds(&mut rest)?;
    if !rest.0.is_empty() {
        return None;
    }
    let civil = jiff::civil::DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(second.unwrap_or(0)).ok()?,
        0,
    )
    .ok()?;
    // Not through `jiff::Timestamp`, which ends a day before the year 9999 does; .NET's last moment is a common "never".
    let since_epoch = civil.duration_since(jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(Moment { seconds: since_epoch.as_secs() - offset, nanoseconds, digits })
}

/// `.` or `,` and digits; those after the ninth are cut, for UDM holds nanoseconds.
fn fraction(rest: &mut Rest<'_>) -> Option<(u32, usize)> {
    let before = rest.0;
    if !rest.take(b'.') && !rest.take(b',') {
        return Some((0, 0));
    }
    if !rest.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        rest.0 = before;
        return None;
    }
    let all = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let count = all.min(9);
    let mut value = 0;
    for place in 0..9 {
        value = value * 10 + if place < count { u32::from(rest.0[place] - b'0') } else { 0 };
    }
    rest.0 = &rest.0[all..];
    Some((value, count))
}

/// `AM` or `PM` in any case; the answer says whether it is the afternoon.
fn half_of_day(rest: &mut Rest<'_>) -> Option<bool> {
    let afternoon = match rest.0 {
        [b'a' | b'A', b'm' | b'M', ..] => false,
        [b'p' | b'P', b'm' | b'M', ..] => true,
        _ => return None,
    };
    rest.0 = &rest.0[2..];
    Some(afternoon)
}

/// `Z`, `UTC`, `GMT`, `+hh:mm`, `+hhmm`, `+hh`, or nothing, which is UTC.
fn offset_seconds(rest: &mut Rest<'_>) -> Option<i64> {
    if rest.0.is_empty() {
        return Some(0);
    }
    if [&b"Z"[..], b"UTC", b"GMT"].iter().any(|name| rest.0.eq_ignore_ascii_case(name)) {
        rest.0 = b"";
        return Some(0);
    }
    let sign = if rest.take(b'+') { 1 } else { rest.take(b'-').then_some(-1)? };
    let hours = rest.number(2, 2)?;
    rest.take(b':');
    let minutes = if rest.0.is_empty() { 0 } else { rest.number(2, 2)? };
    (hours <= 23 && minutes <= 59).then(|| sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

/// ISO 8601 durations without years and months, in nanoseconds; a leading `-` gives a negative one. At least one part must be there.
pub(super) fn iso_duration(text: &str) -> Option<i128> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let mut rest = Rest(text.as_bytes());
    if !rest.take(b'P') || rest.0.last() == Some(&b'T') || rest.0.is_empty() {
        return None;
    }
    let (mut total, mut in_time, mut last_unit) = (0i128, false, i128::MAX);
    while !rest.0.is_empty() {
        if !in_time && rest.take(b'T') {
            in_time = true;
            continue;
        }
        let value = rest.number(1, 9)?;
        let (nanoseconds, digits) = fraction(&mut rest)?;
        let seconds: i128 = match (in_time, rest.peek()?) {
            (false, b'W') => 604_800,
            (false, b'D') => 86_400,
            (true, b'H') => 3600,
            (true, b'M') => 60,
            (true, b'S') => 1,
            _ => return None,
        };
        // Units come in falling order and only the last, the seconds, may have a fraction.
        if seconds >= last_unit || (digits > 0 && seconds != 1) {
            return None;
        }
        last_unit = seconds;
        rest.0 = &rest.0[1..];
        total += i128::from(value) * seconds * 1_000_000_000 + i128::from(nanoseconds);
    }
    Some(sign * total)
}
