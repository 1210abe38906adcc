//! From a call in a mapping to prepared arguments, and from a look-up as written to one that is ready to answer.

use regex_automata::meta::Regex;

use super::{Converter, GROUPS_MAX, NamedLookup, Param, ParamKind};
use crate::mapping::table::{Call, Constant, LookupKey, LookupTable};
use crate::plan::convert::Args;
use crate::plan::lookup::Lookup;

/// Prepares the arguments of one call.
///
/// # Errors
///
/// One sentence on what is wrong, and after a `;` what would be right.
pub fn prepare(converter: &Converter, call: &Call, lookups: &[NamedLookup]) -> Result<Args, String> {
    for (name, _) in &call.args {
        if !converter.params.iter().any(|param| param.name == name) {
            return Err(stray(converter, name));
        }
    }
    let mut args = Args::default();
    let mut found: Option<&NamedLookup> = None;
    for param in converter.params {
        let value = call.args.iter().find(|(name, _)| name == param.name).map(|(_, value)| value);
        if value.is_none() && param.required {
            return Err(format!("converter `{}` lacks {}; write `{}`", converter.name, called(converter, param), usage(converter)));
        }
        match param.kind {
            ParamKind::Text => {
                let text = text(converter, param, value)?.unwrap_or_default();
                // An empty separator or prefix is everywhere and nowhere; only a replacement may be empty.
                if text.is_empty() && param.name.is_empty() {
                    return Err(format!("{} is empty; say what it should be", called(converter, param)));
                }
                args.texts.push(text.as_bytes().into());
            }
            ParamKind::Int { min, max, default } => args.numbers.push(match value {
                None => default,
                Some(Constant::Int(number)) if (min..=max).contains(number) => *number,
                Some(_) => return Err(format!("{} wants a whole number from {min} to {max}", called(converter, param))),
            }),
            ParamKind::Word(words) => {
                let word = text(converter, param, value)?.unwrap_or(words[0]);
                let index = words.iter().position(|known| *known == word);
                let index = index.ok_or_else(|| {
                    format!("{} has no word `{word}`; it takes {}", called(converter, param), listed(words.iter().copied()))
                })?;
                args.numbers.push(index as i64);
            }
            ParamKind::Regex => {
                let pattern = text(converter, param, value)?.unwrap_or_default();
                args.regex = Some(compile(pattern).map_err(|error| format!("pattern `{pattern}`: {error}"))?);
            }
            ParamKind::Lookup => {
                let name = text(converter, param, value)?.unwrap_or_default();
                let lookup = lookups.iter().find(|lookup| lookup.name == name);
                found = Some(lookup.ok_or_else(|| {
                    format!("look-up `{name}` is not in this mapping; it has {}", listed(lookups.iter().map(|l| l.name.as_str())))
                })?);
            }
            ParamKind::Column => {
                // The look-up is declared before its column, so it is known here.
                let lookup = found.ok_or_else(|| format!("converter `{}` lacks its look-up", converter.name))?;
                args.lookup = Some((lookup.lookup.clone(), column(lookup, text(converter, param, value)?)?));
            }
        }
    }
    let group = converter.params.iter().position(|param| param.name == "group").and(args.numbers.first().copied());
    if let (Some(regex), Some(group)) = (&args.regex, group)
        && group as usize >= regex.captures_len().min(GROUPS_MAX)
    {
        if regex.captures_len() > GROUPS_MAX {
            return Err(format!("`group` asks for {group}, and only the first {} can be had; `(?:...)` makes no group", GROUPS_MAX - 1));
        }
        let groups = regex.captures_len() - 1;
        return Err(format!("pattern has {groups} groups and `group` asks for {group}; put `(...)` around what is wanted"));
    }
    if let (Some(1), Some(whole)) = (group, within_group(call, converter)) {
        (args.regex, args.numbers[0]) = (Some(whole), 0);
    }
    Ok(args)
}

/// The pattern inside the parentheses when the only group is all there is, as in `(a|b)`: where a match lies is found with less work than
/// where its groups lie. What is inside would not compile by itself if the first parenthesis were closed before the last.
fn within_group(call: &Call, converter: &Converter) -> Option<Regex> {
    let param = converter.params.iter().find(|param| param.kind == ParamKind::Regex)?;
    let (_, Constant::Text(pattern)) = call.args.iter().find(|(name, _)| name == param.name)? else { return None };
    let inside = pattern.strip_prefix('(')?.strip_suffix(')').filter(|inside| !inside.starts_with('?'))?;
    compile(inside).ok().filter(|regex| regex.captures_len() == 1)
}

/// Text may hold bytes that the pattern itself makes sure of, as with [`regex::bytes`].
fn compile(pattern: &str) -> Result<Regex, String> {
    let syntax = regex_automata::util::syntax::Config::new().utf8(false);
    let built = Regex::builder().syntax(syntax).configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(10 << 20))).build(pattern);
    built.map_err(|error| error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string))
}

fn text<'a>(converter: &Converter, param: &Param, value: Option<&'a Constant>) -> Result<Option<&'a str>, String> {
    match value {
        None => Ok(None),
        Some(Constant::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{} wants text in quotes", called(converter, param))),
    }
}

fn column(lookup: &NamedLookup, wanted: Option<&str>) -> Result<usize, String> {
    let Some(wanted) = wanted else {
        return match lookup.columns.len() {
            1 => Ok(0),
            _ => Err(format!(
                "look-up `{}` has several columns; say `column = ...` with one of {}",
                lookup.name,
                listed(lookup.columns.iter().map(String::as_str))
            )),
        };
    };
    lookup.columns.iter().position(|column| column == wanted).ok_or_else(|| {
        format!("look-up `{}` has no column `{wanted}`; it has {}", lookup.name, listed(lookup.columns.iter().map(String::as_str)))
    })
}

fn stray(converter: &Converter, name: &str) -> String {
    if name.is_empty() {
        return format!("converter `{}` takes no value of its own; write `{}`", converter.name, usage(converter));
    }
    format!("converter `{}` has no parameter `{name}`; write `{}`", converter.name, usage(converter))
}

fn called(converter: &Converter, param: &Param) -> String {
    if param.name.is_empty() { format!("the value of `{}`", converter.name) } else { format!("`{}` of `{}`", param.name, converter.name) }
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// How a call of `converter` is written, `{ split = "text", index = 0 }`.
pub(super) fn usage(converter: &Converter) -> String {
    if converter.params.is_empty() {
        return format!("\"{}\"", converter.name);
    }
    let own = converter.params.iter().any(|param| param.name.is_empty());
    let mut parts = Vec::new();
    if !own {
        parts.push(format!("{} = true", converter.name));
    }
    for param in converter.params {
        let name = if param.name.is_empty() { converter.name } else { param.name };
        let value = match param.kind {
            ParamKind::Text => "\"text\"".to_owned(),
            ParamKind::Int { default, .. } => default.to_string(),
            ParamKind::Word(words) => format!("\"{}\"", words.join("|")),
            ParamKind::Regex => "\"pattern\"".to_owned(),
            ParamKind::Lookup => "\"look-up\"".to_owned(),
            ParamKind::Column => "\"column\"".to_owned(),
        };
        parts.push(format!("{name} = {value}"));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// Compiles a look-up. Of two rows with one exact key the first answers; the reader has refused such tables already.
pub fn compile_lookup(table: &LookupTable) -> Lookup {
    let mut lookup = Lookup::default();
    let values = |row: &[Option<String>]| row.iter().map(|value| value.as_deref().map(|text| text.as_bytes().into())).collect();
    for (key, row) in &table.rows {
        let index = lookup.rows.len() as u32;
        lookup.rows.push(values(row));
        let lower = |text: &str| text.to_ascii_lowercase().into_bytes().into_boxed_slice();
        match key {
            LookupKey::Exact(text) => {
                lookup.exact.entry(lower(text)).or_insert(index);
            }
            LookupKey::Prefix(text) => lookup.prefixes.insert(lower(text), index),
            LookupKey::Suffix(text) => lookup.suffixes.insert(lower(text), index),
            LookupKey::Pattern(pattern) => lookup.patterns.push((pattern.clone(), index)),
        }
    }
    if let Some(row) = &table.default {
        lookup.default = Some(lookup.rows.len() as u32);
        lookup.rows.push(values(row));
    }
    lookup
}
