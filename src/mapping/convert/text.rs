//! Converters from text to text: case, cutting, replacing, look-ups.

use super::{Converter, Digits, GROUPS_MAX, Gives, Param, ParamKind, text_of, utf8};
use crate::plan::convert::{Args, Fault, Input, Output};

/// The text parameter written at the converter's own name.
const fn own_text(doc: &'static str) -> Param {
    Param { name: "", kind: ParamKind::Text, required: true, doc }
}

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "lower",
        run: lower,
        takes: "text",
        gives: Gives::Same,
        params: &[],
        doc: "ASCII letters in lower case; everything else stays, so two spellings of one ARM id become one and no name is re-spelled.",
        examples: &[("\"lower\"", "MICROSOFT.Web/Sites", "microsoft.web/sites")],
    },
    Converter {
        name: "upper",
        run: upper,
        takes: "text",
        gives: Gives::Same,
        params: &[],
        doc: "ASCII letters in upper case.",
        examples: &[("\"upper\"", "Get", "GET")],
    },
    Converter {
        name: "if_not_lower",
        run: if_not_lower,
        takes: "text",
        gives: Gives::Same,
        params: &[],
        doc: "The text itself when it holds an ASCII letter in upper case; absent when `lower` would change nothing. For the original beside a \
              field in lower case, where only a difference is worth keeping.",
        examples: &[
            ("\"if_not_lower\"", "MICROSOFT.WEB/SITES/WRITE", "MICROSOFT.WEB/SITES/WRITE"),
            ("\"if_not_lower\"", "microsoft.web/sites/write", "absent"),
        ],
    },
    Converter {
        name: "trim",
        run: trim,
        takes: "text",
        gives: Gives::Same,
        params: &[],
        doc: "Without white space at both ends; absent when nothing is left.",
        examples: &[("\"trim\"", "  a b ", "a b"), ("\"trim\"", "  ", "absent")],
    },
    Converter {
        name: "unquote",
        run: unquote,
        takes: "text",
        gives: Gives::Same,
        params: &[],
        doc: "Without one pair of double quotes, single quotes, braces or brackets around the whole text (Entra writes `\"Member\"` with the quotes \
              inside, some GUIDs stand in braces, role lists of one in brackets); absent when nothing is left.",
        examples: &[("\"unquote\"", "\"Member\"", "Member"), ("\"unquote\"", "{a}", "a"), ("\"unquote\"", "\"\"", "absent")],
    },
    Converter {
        name: "strip_prefix",
        run: strip_prefix,
        takes: "text",
        gives: Gives::Same,
        params: &[own_text("What to take away, compared without ASCII case.")],
        doc: "Without the prefix; unchanged when it is not there; absent when nothing is left.",
        examples: &[
            ("{ strip_prefix = \"live.com#\" }", "live.com#ann@example.com", "ann@example.com"),
            ("{ strip_prefix = \"live.com#\" }", "ann@example.com", "ann@example.com"),
        ],
    },
    Converter {
        name: "strip_suffix",
        run: strip_suffix,
        takes: "text",
        gives: Gives::Same,
        params: &[own_text("What to take away, compared without ASCII case.")],
        doc: "Without the suffix; unchanged when it is not there; absent when nothing is left.",
        examples: &[("{ strip_suffix = \".\" }", "Succeeded.", "Succeeded"), ("{ strip_suffix = \".\" }", "Succeeded", "Succeeded")],
    },
    Converter {
        name: "after_first",
        run: after_first,
        takes: "text",
        gives: Gives::Text,
        params: &[own_text("The separator.")],
        doc: "What follows the first separator; the whole text when there is none; absent when nothing follows.",
        examples: &[
            ("{ after_first = \"-\" }", "user-abc-1", "abc-1"),
            ("{ after_first = \"-\" }", "user", "user"),
            ("{ after_first = \"-\" }", "user-", "absent"),
        ],
    },
    Converter {
        name: "before_first",
        run: before_first,
        takes: "text",
        gives: Gives::Text,
        params: &[own_text("The separator.")],
        doc: "What stands before the first separator; the whole text when there is none; absent when nothing stands before it.",
        examples: &[("{ before_first = \"-\" }", "file-abc-1", "file"), ("{ before_first = \"-\" }", "file", "file")],
    },
    Converter {
        name: "after_last",
        run: after_last,
        takes: "text",
        gives: Gives::Text,
        params: &[own_text("The separator.")],
        doc: "What follows the last separator; the whole text when there is none; absent when nothing follows.",
        examples: &[("{ after_last = \"/\" }", "a/b/write", "write"), ("{ after_last = \"/\" }", "a/", "absent")],
    },
    Converter {
        name: "before_last",
        run: before_last,
        takes: "text",
        gives: Gives::Text,
        params: &[own_text("The separator.")],
        doc: "What stands before the last separator; the whole text when there is none; absent when nothing stands before it.",
        examples: &[("{ before_last = \"/\" }", "a/b/write", "a/b")],
    },
    Converter {
        name: "split",
        run: split,
        takes: "text",
        gives: Gives::Text,
        params: &[
            own_text("The separator."),
            Param {
                name: "index",
                kind: ParamKind::Int { min: -64, max: 4095, default: 0 },
                required: true,
                doc: "Which piece, from 0; -1 is the last.",
            },
        ],
        doc: "One piece of a separated text, trimmed; absent when there are fewer pieces or the piece is empty.",
        examples: &[
            ("{ split = \",\", index = 1 }", "a,b,c", "b"),
            ("{ split = \",\", index = -1 }", "a,b,c", "c"),
            ("{ split = \",\", index = 3 }", "a,b,c", "absent"),
        ],
    },
    Converter {
        name: "regex",
        run: regex,
        takes: "text",
        gives: Gives::Text,
        params: &[
            Param { name: "", kind: ParamKind::Regex, required: true, doc: "The pattern; `(?i)` in front ignores case." },
            Param {
                name: "group",
                kind: ParamKind::Int { min: 0, max: 99, default: 0 },
                required: false,
                doc: "Which group; 0 is the whole match.",
            },
        ],
        doc: "What the pattern's first match, or one group of it, holds; absent without a match or when it is empty. Matching takes linear time.",
        examples: &[
            ("{ regex = \"api-version=([0-9-]+)\", group = 1 }", "/x?api-version=2024-02-01", "2024-02-01"),
            ("{ regex = \"^(Default|User)Rule_\", group = 1 }", "other", "absent"),
        ],
    },
    Converter {
        name: "replace",
        run: replace,
        takes: "text",
        gives: Gives::Same,
        params: &[
            own_text("What to look for, case counts."),
            Param { name: "with", kind: ParamKind::Text, required: true, doc: "What stands there instead; may be empty." },
        ],
        doc: "Every occurrence replaced, from left to right; absent when nothing is left.",
        examples: &[("{ replace = \"\\n\", with = \" \" }", "a\nb", "a b"), ("{ replace = \"a\", with = \"\" }", "aa", "absent")],
    },
    Converter {
        name: "prepend",
        run: prepend,
        takes: "text",
        gives: Gives::Text,
        params: &[own_text("What stands in front.")],
        doc: "With a text in front.",
        examples: &[("{ prepend = \"DeviceId:\" }", "42", "DeviceId:42")],
    },
    Converter {
        name: "append",
        run: append,
        takes: "text",
        gives: Gives::Text,
        params: &[own_text("What follows.")],
        doc: "With a text behind.",
        examples: &[("{ append = \"/24\" }", "192.0.2.0", "192.0.2.0/24")],
    },
    Converter {
        name: "truncate",
        run: truncate,
        takes: "text",
        gives: Gives::Text,
        params: &[Param {
            name: "",
            kind: ParamKind::Int { min: 1, max: 1_000_000, default: 1024 },
            required: true,
            doc: "The most bytes that stay; no character is cut in two.",
        }],
        doc: "The beginning of a text. Nothing marks the cut, so use it only where the target has a limit.",
        examples: &[("{ truncate = 3 }", "abcd", "abc"), ("{ truncate = 3 }", "abé", "ab")],
    },
    Converter {
        name: "first_line",
        run: first_line,
        takes: "text",
        gives: Gives::Same,
        params: &[],
        doc: "The first line that is not blank, trimmed; absent when there is none.",
        examples: &[("\"first_line\"", "\nfirst\nsecond", "first")],
    },
    Converter {
        name: "strip_html",
        run: strip_html,
        takes: "text",
        gives: Gives::Text,
        params: &[],
        doc: "Without tags and comments, with the common character references resolved and white space collapsed to single blanks (Service Health \
              sends HTML); absent when nothing is left.",
        examples: &[
            ("\"strip_html\"", "<p>VMs &amp; disks<br/>in West</p>", "VMs & disks in West"),
            ("\"strip_html\"", "1 < 2", "1 < 2"),
            ("\"strip_html\"", "<p></p>", "absent"),
        ],
    },
    Converter {
        name: "lookup",
        run: lookup,
        takes: "text",
        gives: Gives::Lookup,
        params: &[
            Param { name: "", kind: ParamKind::Lookup, required: true, doc: "The look-up." },
            Param {
                name: "column",
                kind: ParamKind::Column,
                required: false,
                doc: "Which column answers; may be left out when there is only one.",
            },
        ],
        doc: "What a look-up says about the text, without ASCII case: exact keys, then the longest prefix or suffix, then patterns in order, then \
              its default; absent otherwise.",
        examples: &[
            ("{ lookup = \"outcome\", column = \"action\" }", "succeeded", "ALLOW"),
            ("{ lookup = \"outcome\", column = \"action\" }", "Started", "absent"),
        ],
    },
];

/// Appends `part` as the answer, or says [`Output::Absent`] when it is empty and [`Output::Same`] when it is all there was.
fn part(part: &[u8], whole: &[u8], input: Input<'_>, out: &mut Vec<u8>) -> Result<Output, Fault> {
    if part.is_empty() {
        return Ok(Output::Absent);
    }
    if part.len() == whole.len() && matches!(input, Input::Text(_)) {
        return Ok(Output::Same);
    }
    out.extend_from_slice(part);
    Ok(Output::Text)
}

fn lower(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Same) };
    if !holds_upper(text) {
        return Ok(Output::Same);
    }
    let start = out.len();
    out.extend_from_slice(text);
    out[start..].make_ascii_lowercase();
    Ok(Output::Text)
}

fn upper(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Same) };
    if !holds(text, u8::is_ascii_lowercase) {
        return Ok(Output::Same);
    }
    let start = out.len();
    out.extend_from_slice(text);
    out[start..].make_ascii_uppercase();
    Ok(Output::Text)
}

fn if_not_lower(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    match input {
        Input::Text(text) if holds_upper(text) => Ok(Output::Same),
        _ => Ok(Output::Absent),
    }
}

/// Whether an ASCII letter in upper case is in `text`.
pub(super) fn holds_upper(text: &[u8]) -> bool {
    holds(text, u8::is_ascii_uppercase)
}

/// Whether any byte passes `test`. Blocks of a fixed length without an early way out are what the compiler turns into vector code.
#[inline(always)]
fn holds(text: &[u8], test: impl Fn(&u8) -> bool) -> bool {
    let (blocks, rest) = text.as_chunks::<16>();
    blocks.iter().any(|block| block.iter().fold(false, |found, byte| found | test(byte)))
        | rest.iter().fold(false, |found, byte| found | test(byte))
}

fn trim(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Same) };
    part(utf8(text)?.trim().as_bytes(), text, input, out)
}

fn unquote(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Same) };
    let inner = match text {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] | [b'{', inner @ .., b'}'] | [b'[', inner @ .., b']'] => inner,
        _ => text,
    };
    part(inner, text, input, out)
}

fn strip_prefix(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let (text, prefix) = (text_of(input, &mut digits), &*args.texts[0]);
    let found = text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix);
    part(if found { &text[prefix.len()..] } else { text }, text, input, out)
}

fn strip_suffix(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let (text, suffix) = (text_of(input, &mut digits), &*args.texts[0]);
    let keep = text.len().saturating_sub(suffix.len());
    let found = text.len() >= suffix.len() && text[keep..].eq_ignore_ascii_case(suffix);
    part(if found { &text[..keep] } else { text }, text, input, out)
}

/// The first place of a separator; nearly every one is a single byte.
fn find(text: &[u8], by: &[u8]) -> Option<usize> {
    if let [byte] = by { memchr::memchr(*byte, text) } else { memchr::memmem::find(text, by) }
}

fn after_first(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let (text, by) = (text_of(input, &mut digits), &*args.texts[0]);
    let rest = find(text, by).map_or(text, |at| &text[at + by.len()..]);
    part(rest, text, input, out)
}

fn before_first(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let rest = find(text, &args.texts[0]).map_or(text, |at| &text[..at]);
    part(rest, text, input, out)
}

fn after_last(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let (text, by) = (text_of(input, &mut digits), &*args.texts[0]);
    let rest = memchr::memmem::rfind(text, by).map_or(text, |at| &text[at + by.len()..]);
    part(rest, text, input, out)
}

fn before_last(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let rest = memchr::memmem::rfind(text, &args.texts[0]).map_or(text, |at| &text[..at]);
    part(rest, text, input, out)
}

fn split(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let (by, index) = (utf8(&args.texts[0])?, args.numbers[0]);
    let mut pieces = utf8(text)?.split(by);
    let piece = match usize::try_from(index) {
        Ok(index) => pieces.nth(index),
        Err(_) => utf8(text)?.rsplit(by).nth((-1 - index) as usize),
    };
    part(piece.unwrap_or_default().trim().as_bytes(), text, input, out)
}

fn regex(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let Some(regex) = &args.regex else { return Ok(Output::Absent) };
    let found = match args.numbers[0] {
        0 => regex.find(text).map(|found| found.range()),
        group => {
            let (mut slots, from) = ([None; 2 * GROUPS_MAX], 2 * group as usize);
            regex.search_slots(&regex_automata::Input::new(text), &mut slots);
            let place = |slot: usize| slots.get(slot).copied().flatten().map(|place| place.get());
            place(from).zip(place(from + 1)).map(|(start, end)| start..end)
        }
    };
    let Some(range) = found else { return Ok(Output::Absent) };
    // A pattern may match bytes when it says `(?-u)`; half a character is no text.
    utf8(&text[range.clone()])?;
    part(&text[range], text, input, out)
}

fn replace(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let (wanted, with) = (&*args.texts[0], &*args.texts[1]);
    if wanted.is_empty() || memchr::memmem::find(text, wanted).is_none() {
        return Ok(Output::Same);
    }
    let (start, mut from) = (out.len(), 0);
    for at in memchr::memmem::find_iter(text, wanted) {
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(with);
        from = at + wanted.len();
    }
    out.extend_from_slice(&text[from..]);
    Ok(if out.len() == start { Output::Absent } else { Output::Text })
}

fn prepend(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    out.extend_from_slice(&args.texts[0]);
    out.extend_from_slice(text_of(input, &mut Digits::default()));
    Ok(Output::Text)
}

fn append(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    out.extend_from_slice(text_of(input, &mut Digits::default()));
    out.extend_from_slice(&args.texts[0]);
    Ok(Output::Text)
}

fn truncate(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let whole = utf8(text)?;
    let mut keep = whole.len().min(args.numbers[0] as usize);
    while !whole.is_char_boundary(keep) {
        keep -= 1;
    }
    part(&text[..keep], text, input, out)
}

fn first_line(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Same) };
    let line = utf8(text)?.split(['\n', '\r']).map(str::trim).find(|line| !line.is_empty());
    part(line.unwrap_or_default().as_bytes(), text, input, out)
}

/// Character references that stand for one character each; others are left as they are.
const REFERENCES: [(&str, &str); 6] = [("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("nbsp", " ")];

fn strip_html(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Same) };
    if is_one_line(text) {
        return Ok(Output::Same);
    }
    let text = utf8(text)?;
    let start = out.len();
    let mut blank = false;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(length) = tag(rest) {
            // A tag separates words: `a<br>b` is two.
            blank = true;
            rest = &rest[length..];
            continue;
        }
        let (character, length) = reference(rest).unwrap_or((next, next.len_utf8()));
        rest = &rest[length..];
        if character.is_whitespace() {
            blank = true;
            continue;
        }
        if blank && out.len() > start {
            out.push(b' ');
        }
        blank = false;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(if out.len() == start { Output::Absent } else { Output::Text })
}

/// Whether a text is ASCII words with single blanks between them, and nothing in it begins a tag or a character reference.
fn is_one_line(text: &[u8]) -> bool {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != b'<') & (*byte != b'&');
    let blanks =
        text.first().is_none_or(|first| *first == b' ') || text.last() == Some(&b' ') || memchr::memmem::find(text, b"  ").is_some();
    !blanks && !holds(text, |byte| !plain(byte))
}

/// The length of the tag or comment that `text` starts with. A `<` before anything else is a character.
fn tag(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    if inner.starts_with("!--") {
        return Some(text.find("-->").map_or(text.len(), |end| end + 3));
    }
    let first = inner.bytes().next()?;
    if !(first.is_ascii_alphabetic() || first == b'/' || first == b'!') {
        return None;
    }
    text.find('>').map(|end| end + 1)
}

/// The character reference that `text` starts with and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    let inner = text.strip_prefix('&')?;
    // The longest reference of interest is `&#x10FFFF;`.
    let end = inner.bytes().take(10).position(|byte| byte == b';')?;
    let name = &inner[..end];
    let character = if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        char::from_u32(code.ok()?).filter(|character| !character.is_control())?
    } else {
        REFERENCES.iter().find(|(known, _)| *known == name)?.1.chars().next()?
    };
    Some((character, end + 2))
}

fn lookup(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let mut digits = Digits::default();
    let text = text_of(input, &mut digits);
    let Some((lookup, column)) = &args.lookup else { return Ok(Output::Absent) };
    match lookup.get(text, *column) {
        Some(value) => {
            out.extend_from_slice(value);
            Ok(Output::Text)
        }
        None => Ok(Output::Absent),
    }
}
