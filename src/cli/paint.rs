//! Colour, on a terminal only: `anstream` takes it out everywhere else, and where `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// Names of things: commands, fields, headings.
pub const STRONG: Style = Style::new().bold();
/// What may be passed over.
pub const FAINT: Style = Style::new().dimmed();
/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What wants a look.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints `error: ...` on stderr.
pub fn error(text: &str) {
    anstream::eprintln!("{BAD}error{BAD:#}: {text}");
}

/// Prints `warning: ...` on stderr.
pub fn warning(text: &str) {
    anstream::eprintln!("{WARN}warning{WARN:#}: {text}");
}

/// A number with thin groups of three: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")] {
            assert_eq!(super::grouped(number), expected);
        }
    }
}
