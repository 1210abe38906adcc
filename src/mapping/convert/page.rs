//! `docs/converters.md`, written from the converters themselves.

use std::fmt::Write;

use super::{Converter, Gives, ParamKind, all, prepare::usage};

/// The whole page. `UPDATE_GOLDEN=1 cargo test --lib converters_page` writes it to `docs/converters.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Converters\n\n\
         Generated from `src/mapping/convert/`; `UPDATE_GOLDEN=1 cargo test --lib converters_page` writes it anew.\n\n\
         A converter reads one scalar and gives one scalar. Where text is read, numbers and booleans are read as their text. A value that does\n\
         not convert is left out and noted under the code that stands after `fault:`; `absent` means no value and no note.\n\n\
         | converter | takes | gives |\n|---|---|---|\n",
    );
    for converter in all() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(page, "| [`{0}`](#{0}) | {1} | {2} |", converter.name, escaped(converter.takes), gives(converter.gives));
    }
    for converter in all() {
        section(converter, &mut page);
    }
    page
}

fn section(converter: &Converter, page: &mut String) {
    let _ = write!(page, "\n## {}\n\n`as = {}`\n\n{}\n", converter.name, usage(converter), converter.doc);
    if !converter.params.is_empty() {
        page.push('\n');
    }
    for param in converter.params {
        let name = if param.name.is_empty() { converter.name } else { param.name };
        let kind = match param.kind {
            ParamKind::Text => "text".to_owned(),
            ParamKind::Int { min, max, default } if param.required => format!("whole number {min} to {max}, such as {default}"),
            ParamKind::Int { min, max, default } => format!("whole number {min} to {max}, {default} when left out"),
            ParamKind::Word(words) => format!("one of {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
            ParamKind::Regex => "regular expression, linear time".to_owned(),
            ParamKind::Lookup => "name of a `[lookup.NAME]`".to_owned(),
            ParamKind::Column => "one of its columns".to_owned(),
        };
        let _ = writeln!(page, "- `{name}`{}: {kind}. {}", if param.required { "" } else { " (optional)" }, param.doc);
    }
    page.push_str("\n| call | input | output |\n|---|---|---|\n");
    for (call, input, output) in converter.examples {
        let output = if *output == "absent" || output.starts_with("fault:") { (*output).to_owned() } else { code(output) };
        let _ = writeln!(page, "| {} | {} | {output} |", code(call), code(input));
    }
}

fn gives(gives: Gives) -> &'static str {
    match gives {
        Gives::Same => "its input's kind",
        Gives::Text => "text",
        Gives::Int => "whole number",
        Gives::UInt => "whole number from 0",
        Gives::Float => "number",
        Gives::Bool => "boolean",
        Gives::Timestamp => "timestamp",
        Gives::Duration => "duration",
        Gives::Ip => "address",
        Gives::Port => "port",
        Gives::Mac => "MAC address",
        Gives::Url => "URL",
        Gives::Email => "mail address",
        Gives::Lookup => "a word of the look-up",
    }
}

/// Text in a code span of a table cell.
fn code(text: &str) -> String {
    let shown = escaped(&text.replace('\n', "\\n"));
    // A code span cannot start or end in a blank or hold nothing, so such texts stand in quotes.
    if shown.is_empty() || shown.starts_with(' ') || shown.ends_with(' ') { format!("`'{shown}'`") } else { format!("`{shown}`") }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
