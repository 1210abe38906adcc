//! RFC 3339 text from a count of milliseconds, without a calendar library: it runs for every message without a time of its own.

/// Appends `YYYY-MM-DDTHH:MM:SS.mmmZ` for milliseconds since the Unix epoch, UTC; no fraction when it is zero. Years 0 to 9999.
pub fn rfc3339_millis(millis: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    for (number, width, after) in [
        (year, 4, b'-'),
        (i64::from(month), 2, b'-'),
        (i64::from(day), 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, if fraction == 0 { b'Z' } else { b'.' }),
    ] {
        digits(number, width, out);
        out.push(after);
    }
    if fraction != 0 {
        digits(fraction, 3, out);
        out.push(b'Z');
    }
}

fn digits(number: i64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10i64.pow(place) % 10) as u8);
    }
}

/// The civil date of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so the leap day is the last of its year and 400 years have 146,097 days whatever the start.
pub(crate) fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * from_march + 2) / 5 + 1) as u32;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_calendar_library() {
        // The library ends a day early, at 253,402,207,200.
        for seconds in (-62_167_219_200i64..253_402_207_200).step_by(86_399 * 97).chain([0, 951_782_399, 951_782_400, 253_402_207_200]) {
            let mut out = Vec::new();
            super::rfc3339_millis(seconds * 1000, &mut out);
            let expected = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = Vec::new();
        super::rfc3339_millis(1_700_000_000_042, &mut out);
        assert_eq!(out, b"2023-11-14T22:13:20.042Z");
    }
}
