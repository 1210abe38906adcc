//! [`render`]: diagnostics as text for people.

use super::diagnostic::{CODES, Diagnostic, Files, Severity};
use super::table::Span;

/// Writes diagnostics in the order given, a blank line between them; ends with a newline when there is one at least.
///
/// Control characters of a mapping are shown as U+FFFD, so a file cannot write to the terminal.
pub fn render(diagnostics: &[Diagnostic], files: &Files, colour: bool) -> String {
    let paint = Paint { colour };
    let parts: Vec<String> = diagnostics.iter().map(|diagnostic| one(diagnostic, files, paint)).collect();
    parts.join("\n")
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, style: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn one(diagnostic: &Diagnostic, files: &Files, paint: Paint) -> String {
    let (word, style) = match diagnostic.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
    };
    let head = paint.with(style, &format!("{word}[{}]", diagnostic.code));
    let mut out = format!("{head}: {}\n", clean(&diagnostic.message));
    let (line, column) = files.position(diagnostic.span);
    let gutter = " ".repeat(line.to_string().len());
    let bar = paint.with("1;34", "|");
    if let Some(file) = files.get(diagnostic.span.file) {
        let text = file.text.lines().nth(line - 1).unwrap_or("");
        let arrow = paint.with("1;34", "-->");
        out.push_str(&format!("{gutter}{arrow} {}:{line}:{column}\n", clean(&file.shown)));
        out.push_str(&format!("{gutter} {bar}\n{line} {bar} {}\n", clean(text).trim_end()));
        let width = width(diagnostic.span, text, column, &file.text);
        let marks = paint.with(style, format!("{} {}", "^".repeat(width), clean(&diagnostic.label)).trim_end());
        out.push_str(&format!("{gutter} {bar} {}{marks}\n", " ".repeat(column - 1)));
    }
    for note in &diagnostic.notes {
        out.push_str(&format!("{gutter} = {}\n", clean(note)));
    }
    let general = CODES.iter().find(|code| code.id == diagnostic.code).map(|code| code.help);
    if let Some(help) = diagnostic.help.as_deref().or(general) {
        out.push_str(&format!("{gutter} = help: {}\n", clean(help)));
    }
    out
}

/// Characters to mark: those of the span that lie on its first line, one at least.
fn width(span: Span, line: &str, column: usize, text: &str) -> usize {
    let marked = text.get(span.start as usize..span.end as usize).unwrap_or("");
    let here = marked.lines().next().unwrap_or("").trim_end().chars().count();
    here.min(line.chars().count().saturating_sub(column - 1)).max(1)
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_text_is_underlined() {
        let mut files = Files::new();
        let text = "# \u{e9}\nrows = [\n  { form = \"a\" },\n]\n";
        let file = files.add_built_in("a/b.toml", text);
        let start = u32::try_from(text.find("form").expect("it is there")).expect("small");
        let span = Span { file, start, end: start + 4 };
        let fault = Diagnostic::error("M002", span, "`form` is no key of a row").suggest("form", ["from", "to"]).note("a note");
        let expected = "\
error[M002]: `form` is no key of a row
 --> mappings/a/b.toml:3:5
  |
3 |   { form = \"a\" },
  |     ^^^^ did you mean `from`?
  = a note
  = help: see docs/mapping-language.md for the keys
";
        assert_eq!(render(std::slice::from_ref(&fault), &files, false), expected);
        assert!(render(&[fault], &files, true).contains("\u{1b}[1;31m"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut files = Files::new();
        let file = files.add_built_in("a.toml", "x = \"\u{1b}[2J\"\n");
        let fault = Diagnostic::error("M001", Span { file, start: 0, end: 9 }, "a \u{1b} b");
        assert!(!render(&[fault], &files, false).contains('\u{1b}'));
    }
}
