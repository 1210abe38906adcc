//! The hours that names of blobs say, and the folders of a span of hours.

/// The hour of a name that holds `y=2026/m=01/d=31/h=23`, in hours since the Unix epoch. `None` for other names.
pub fn hour(name: &str) -> Option<i64> {
    // In this order: a second `m=` is the minute.
    let mut segments = name.split('/').skip_while(|segment| !is_year(segment));
    let mut number = |key: &str| -> Option<i16> { segments.next()?.strip_prefix(key)?.parse().ok() };
    let (year, month, day, hour) = (number("y=")?, number("m=")?, number("d=")?, number("h=")?);
    let small = |number: i16| i8::try_from(number).ok();
    let date = jiff::civil::Date::new(year, small(month)?, small(day)?).ok()?;
    if !(0..24).contains(&hour) {
        return None;
    }
    let at = date.at(small(hour)?, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(at.timestamp().as_second().div_euclid(3600))
}

/// Whether a segment begins a date.
pub fn is_year(segment: &str) -> bool {
    segment.strip_prefix("y=").is_some_and(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The folder of an hour, or with `whole_day` that of its day.
pub fn folder(hour: i64, whole_day: bool) -> String {
    let at = jiff::Timestamp::from_second(hour.saturating_mul(3600)).unwrap_or_default();
    at.strftime(if whole_day { "y=%Y/m=%m/d=%d" } else { "y=%Y/m=%m/d=%d/h=%H" }).to_string()
}

/// The folders of the days from one hour to another, both included.
pub fn days(first: i64, last: i64) -> Vec<String> {
    (first.div_euclid(24)..=last.div_euclid(24)).map(|day| folder(day * 24, true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_hour() {
        for (name, expected) in [
            ("resourceId=/SUBSCRIPTIONS/1/y=2026/m=01/d=31/h=23/m=00/PT1H.json", Some(491_639)),
            ("flowLogResourceID=/X/y=1970/m=01/d=01/h=01/m=00/macAddress=000D3A/PT1H.json", Some(1)),
            ("a/y=2026/m=13/d=31/h=23/m=00/PT1H.json", None),
            ("a/PT1H.json", None),
        ] {
            assert_eq!(hour(name), expected, "case: {name}");
        }
    }

    #[test]
    fn folders_are_those_of_azure() {
        assert_eq!(folder(491_639, false), "y=2026/m=01/d=31/h=23");
        assert_eq!(days(491_639, 491_640), ["y=2026/m=01/d=31", "y=2026/m=02/d=01"]);
        assert!(is_year("y=2026") && !is_year("y=26") && !is_year("2026"));
    }
}
