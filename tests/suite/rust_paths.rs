//! Finds the paths that a Rust source file names, without a compiler: enough to guard imports, and nothing more.
//!
//! Comments, strings and `#[cfg(test)]` modules are blanked first, so that prose and test code may say anything. What is left is cut into
//! words; `use` trees are unfolded, and `a::b::c` in code counts like an import.

/// A path such as `crate::plan::convert`, and the line (from 1) on which it starts. A macro call is the path `format!`.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Segments; the first may be `crate`, `super`, `self` or the name of a package.
    pub segments: Vec<String>,
    /// Line, from 1.
    pub line: usize,
}

/// What a file names.
#[derive(Debug, Default)]
pub struct Names {
    /// Paths outside test code.
    pub paths: Vec<Named>,
    /// Modules declared as `#[cfg(test)] mod x;`: their files are test code.
    pub test_modules: Vec<String>,
}

/// Reads one source file.
pub fn names(source: &str) -> Names {
    let words = words(&blank_comments_and_strings(source));
    let mut names = Names::default();
    let mut at = 0;
    while at < words.len() {
        if let Some(after) = attribute_cfg_test(&words, at) {
            at = pass_item(&words, after, &mut names.test_modules);
            continue;
        }
        let starts_path = is_name(&words[at].0) && (at == 0 || !matches!(words[at - 1].0.as_str(), "::" | "."));
        if starts_path {
            at = path(&words, at, &mut Vec::new(), &mut names.paths);
        } else {
            at += 1;
        }
    }
    names
}

type Word = (String, usize);

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn text(words: &[Word], at: usize) -> &str {
    words.get(at).map_or("", |word| word.0.as_str())
}

/// Reads one path or use tree that starts at `at` below `parents`; gives the index of the first word after it.
fn path(words: &[Word], at: usize, parents: &mut Vec<String>, out: &mut Vec<Named>) -> usize {
    let depth = parents.len();
    let line = words[at].1;
    let mut at = at;
    loop {
        parents.push(words[at].0.clone());
        at += 1;
        if text(words, at) == "::" && is_name(text(words, at + 1)) {
            at += 1;
            continue;
        }
        break;
    }
    if text(words, at) == "::" && text(words, at + 1) == "{" {
        at += 2;
        while at < words.len() && text(words, at) != "}" {
            if is_name(text(words, at)) {
                at = path(words, at, parents, out);
                while !matches!(text(words, at), "," | "}" | "") {
                    at += 1;
                }
            } else {
                at += 1;
            }
        }
        at += 1;
    } else {
        let mut segments = parents.clone();
        if text(words, at) == "!" && text(words, at + 1) != "=" {
            segments.last_mut().expect("a path has a segment").push('!');
        }
        out.push(Named { segments, line });
    }
    parents.truncate(depth);
    at
}

/// The index after `#[cfg(test)]` when it stands at `at`.
fn attribute_cfg_test(words: &[Word], at: usize) -> Option<usize> {
    let wanted = ["#", "[", "cfg", "(", "test", ")", "]"];
    wanted.iter().enumerate().all(|(step, want)| text(words, at + step) == *want).then_some(at + wanted.len())
}

/// Passes over the item after `#[cfg(test)]`: to its `;` or over its braces.
fn pass_item(words: &[Word], at: usize, test_modules: &mut Vec<String>) -> usize {
    let mut at = at;
    let mut name = None;
    let mut depth = 0_usize;
    while at < words.len() {
        match text(words, at) {
            "mod" if depth == 0 => name = Some(text(words, at + 1).to_owned()),
            ";" if depth == 0 => {
                test_modules.extend(name);
                return at + 1;
            }
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at
}

fn words(source: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut line = 1;
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() => {}
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                words.push((word, line));
            }
            ':' if chars.next_if_eq(&':').is_some() => words.push(("::".to_owned(), line)),
            c => words.push((c.to_string(), line)),
        }
    }
    words
}

/// Replaces comments, strings and character literals by blanks; line breaks stay where they are.
fn blank_comments_and_strings(source: &str) -> String {
    let bytes: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    let blank = |out: &mut String, from: usize, to: usize| {
        out.extend(bytes[from..to.min(bytes.len())].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
    };
    while at < bytes.len() {
        let end = match bytes[at] {
            '/' if bytes.get(at + 1) == Some(&'/') => bytes[at..].iter().position(|c| *c == '\n').map_or(bytes.len(), |n| at + n),
            '/' if bytes.get(at + 1) == Some(&'*') => end_of_block_comment(&bytes, at),
            '"' => end_of_string(&bytes, at),
            'r' if !follows_name(&bytes, at) => end_of_raw_string(&bytes, at).unwrap_or(at),
            'b' if !follows_name(&bytes, at) && bytes.get(at + 1) == Some(&'r') => end_of_raw_string(&bytes, at + 1).unwrap_or(at),
            '\'' => end_of_char(&bytes, at).unwrap_or(at),
            _ => at,
        };
        if end > at {
            blank(&mut out, at, end);
            at = end;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

fn follows_name(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = at;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn end_of_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let mut at = at + 1 + hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(at)
}

/// The end of `'x'` or `'\n'`; `None` for a lifetime.
fn end_of_char(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        return chars[at + 3..].iter().position(|c| *c == '\'').map(|n| at + 4 + n);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

#[test]
fn paths_are_found_and_prose_is_not() {
    let source = r##"
//! `std::fs` in prose.
use std::{collections::HashMap, fs::{self, File}};
use crate::plan::Slot as _;
fn f<'a>(x: &'a str) -> char { let _ = "std::net"; let _ = r#"tokio::spawn"#; if x != "a" { format!("{x}"); } '"' }
#[cfg(test)]
mod tests { use std::env; fn g() { std::thread::sleep(d) } }
#[cfg(test)]
mod slow;
fn h() { std::process::exit(1) }
"##;
    let names = names(source);
    let found: Vec<(String, usize)> = names.paths.iter().map(|named| (named.segments.join("::"), named.line)).collect();
    let has = |path: &str, line: usize| found.contains(&(path.to_owned(), line));
    assert!(has("std::collections::HashMap", 3), "{found:?}");
    assert!(has("std::fs::self", 3) && has("std::fs::File", 3), "{found:?}");
    assert!(has("crate::plan::Slot", 4) && has("format!", 5) && has("std::process::exit", 10), "{found:?}");
    for absent in ["std::net", "tokio::spawn", "std::env", "std::thread::sleep"] {
        assert!(!found.iter().any(|(path, _)| path == absent), "{absent} is prose, a string or test code: {found:?}");
    }
    assert_eq!(names.test_modules, ["slow"]);
}
