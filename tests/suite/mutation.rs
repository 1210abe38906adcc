//! One slip at a time in every shipped mapping: `check` must refuse nearly all of them, and those it takes are listed and judged in
//! `tests/reference/mutation-survivors.csv`.
//!
//! Source paths are not among the slips: they name what a log may hold, and no schema of the logs exists. That a row's source is right is
//! proved by the cases: every row is filled by one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use crate::{ends, mills};
use regex::Regex;
use udmill::engine::{Engine, Settings, Worker};
use udmill::mapping::diagnostic::Severity;
use udmill::mapping::{self, Files, compile, convert};
use udmill::udm::{EventTypes, Schema};

/// One slip.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mutant {
    kind: &'static str,
    /// What stood there and what stands there now.
    change: String,
    /// The text of the row, rule or line without its blanks, which finds it again when lines move.
    place: String,
    text: String,
}

/// Makes the mutants of one text.
struct Mutator<'a> {
    text: &'a str,
    made: Vec<Mutant>,
}

impl Mutator<'_> {
    /// Puts `new` in place of a range.
    fn put(&mut self, kind: &'static str, range: Range<usize>, new: &str) {
        let old = &self.text[range.clone()];
        let mut text = self.text.to_owned();
        text.replace_range(range.clone(), new);
        let start = self.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[range.end..].find('\n').map_or(self.text.len(), |at| range.end + at);
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let change = if new.is_empty() || old.len() > 80 { squeezed(old) } else { format!("{} -> {}", squeezed(old), squeezed(new)) };
        self.made.push(Mutant {
            kind,
            change: change.chars().take(120).collect(),
            place: squeezed(&self.text[start..end]).chars().take(120).collect(),
            text,
        });
    }

    /// Every quoted text behind `key =`, in lists too.
    fn quoted(&self, key: &str) -> Vec<Range<usize>> {
        let section = Regex::new(&format!(r#"\b{key}\s*=\s*(\[[^\]\n]*(?:\[[^\]\n]*\][^\]\n]*)*\]|"[^"\n]*")"#)).expect("a pattern");
        let quote = Regex::new(r#""([^"\n]*)""#).expect("a pattern");
        let mut found = Vec::new();
        for whole in section.captures_iter(self.text).filter_map(|found| found.get(1)).filter(|found| !self.in_comment(found.start())) {
            found.extend(
                quote
                    .captures_iter(whole.as_str())
                    .filter_map(|one| one.get(1))
                    .map(|one| whole.start() + one.start()..whole.start() + one.end()),
            );
        }
        found
    }

    fn in_comment(&self, at: usize) -> bool {
        let start = self.text[..at].rfind('\n').map_or(0, |at| at + 1);
        self.text[start..at].trim_start().starts_with('#')
    }

    /// Segments of target paths misspelt, brackets dropped and added.
    fn targets(&mut self) {
        let name = Regex::new(r"[a-z][a-z0-9_]+").expect("a pattern");
        for range in self.quoted("to") {
            let path = &self.text[range.clone()];
            let plain: String = blanked(path);
            for segment in name.find_iter(&plain) {
                let at = range.start + segment.start()..range.start + segment.end();
                self.put("target misspelt", at, &misspelt(segment.as_str()));
            }
            if path.ends_with("[]") {
                self.put("list taken for a single field", range.end - 2..range.end, "");
            } else if path.contains('.') && !path.ends_with('}') {
                self.put("single field taken for a list", range.end..range.end, "[]");
            }
        }
    }

    /// Converters misspelt and taken for one another.
    fn converters(&mut self) {
        // Those without parameters, which can stand for each other in the text.
        let simple: Vec<&str> = convert::all().filter(|one| one.params.is_empty()).map(|one| one.name).collect();
        let named = Regex::new(r"\bas\s*=\s*(.*)").expect("a pattern");
        let inner = Regex::new(r#"\{\s*([a-z0-9_]+)\s*=|"([a-z0-9_]+)""#).expect("a pattern");
        let lines: Vec<Range<usize>> = named.captures_iter(self.text).filter_map(|found| found.get(1)).map(|found| found.range()).collect();
        for line in lines {
            if self.in_comment(line.start) {
                continue;
            }
            // Only as far as the value of `as` goes.
            let line = line.start..line.start + value_length(&self.text[line]);
            let found: Vec<(Range<usize>, bool)> = inner
                .captures_iter(&self.text[line.clone()])
                .filter_map(|found| found.get(1).map(|one| (one, false)).or(found.get(2).map(|one| (one, true))))
                .map(|(one, quoted)| (line.start + one.start()..line.start + one.end(), quoted))
                .collect();
            for (at, quoted) in found {
                let name = self.text[at.clone()].to_owned();
                let known = convert::find(&name).is_some() || ["lookup", "geo_location", "geo_asn", "user_agent"].contains(&name.as_str());
                if !known {
                    continue;
                }
                self.put("converter misspelt", at.clone(), &misspelt(&name));
                if quoted {
                    // The next of the list, whatever it is: the hand that slips does not choose.
                    let own = simple.iter().position(|one| *one == name).unwrap_or(0);
                    self.put("converter swapped", at, simple[(own + 1) % simple.len()]);
                }
            }
        }
    }

    /// Words of enums and event types misspelt.
    fn words(&mut self) {
        let words: BTreeSet<&str> = enum_words();
        for key in ["value", "default", "is", "else"] {
            for range in self.quoted(key) {
                let word = self.text[range.clone()].to_owned();
                let is_type = EventTypes::get().find(&word).is_some();
                if is_type || (words.contains(word.as_str()) && !["is", "else"].contains(&key)) {
                    self.put("word misspelt", range, &misspelt(&word));
                }
            }
        }
    }

    /// Names that the mapping itself defines misspelt where they are used: values, roots, look-ups, columns, `with`.
    fn names(&mut self) {
        let used = Regex::new(r#""[$@]([a-z_]+)"#).expect("a pattern");
        let found: Vec<Range<usize>> = used.captures_iter(self.text).filter_map(|found| found.get(1)).map(|found| found.range()).collect();
        for at in found {
            let name = self.text[at.clone()].to_owned();
            // `'"@timestamp"'` is the plain name of a member.
            let is_plain = self.text[..at.start].ends_with("'\"@");
            if !self.in_comment(at.start) && !is_plain {
                self.put("value or root misspelt", at, &misspelt(&name));
            }
        }
        for (key, kind) in [("lookup", "look-up misspelt"), ("column", "column misspelt"), ("with", "with misspelt")] {
            for range in self.quoted(key) {
                let name = self.text[range.clone()].to_owned();
                self.put(kind, range, &misspelt(&name));
            }
        }
    }

    /// Whole rows and rules: doubled, `fallback` deleted, neighbours swapped, the unconditional rule moved up.
    fn rows(&mut self) {
        let mut at = 0;
        let lines: Vec<Range<usize>> = self
            .text
            .split_inclusive('\n')
            .map(|line| {
                at += line.len();
                at - line.len()..at
            })
            .collect();
        let is_whole = |line: &Range<usize>, key: &str| {
            let line = self.text[line.clone()].trim();
            line.starts_with('{')
                && (line.ends_with("},") || line.ends_with('}'))
                && Regex::new(&format!(r"\b{key}\s*=")).is_ok_and(|key| key.is_match(line))
        };
        let rows: Vec<Range<usize>> = lines.iter().filter(|line| is_whole(line, "to")).cloned().collect();
        let rules: Vec<Vec<Range<usize>>> = lines
            .chunk_by(|one, next| is_whole(one, "is") && is_whole(next, "is"))
            .filter(|rules| is_whole(&rules[0], "is") && rules.len() > 1)
            .map(<[Range<usize>]>::to_vec)
            .collect();
        let fallback = Regex::new(r",\s*fallback\s*=\s*true").expect("a pattern");
        let fallbacks: Vec<Range<usize>> = fallback.find_iter(self.text).map(|found| found.range()).collect();
        for at in fallbacks {
            self.put("fallback deleted", at, "");
        }
        for row in rows {
            let text = self.text[row.clone()].trim_end().trim_end_matches(',').to_owned();
            self.put("row doubled", row, &format!("{text},\n{text},\n"));
        }
        for rules in rules {
            for pair in rules.windows(2) {
                let [first, second] = [&pair[0], &pair[1]].map(|line| self.text[line.clone()].trim_end().trim_end_matches(',').to_owned());
                // The order of rules that exclude each other says nothing: to change it is no slip.
                if exclude_each_other(&first, &second) {
                    continue;
                }
                self.put("neighbouring rules swapped", pair[0].start..pair[1].end, &format!("{second},\n{first},\n"));
            }
            let last = &rules[rules.len() - 1];
            let rule = self.text[last.clone()].to_owned();
            if rule.contains("when") {
                continue;
            }
            for above in &rules[..rules.len() - 1] {
                let moved = format!("{}{}", rule, &self.text[above.start..last.start]);
                self.put("unconditional rule moved up", above.start..last.end, &moved);
                if let Some(made) = self.made.last_mut() {
                    made.place = self.text[above.clone()].split_whitespace().collect::<Vec<_>>().join(" ");
                }
            }
        }
    }
}

/// A slip of the fingers: two letters in the middle change places, or one is doubled when they are the same.
fn misspelt(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = (letters.len() / 2).saturating_sub(1);
    if at + 1 < letters.len() && letters[at] != letters[at + 1] {
        letters.swap(at, at + 1);
    } else {
        letters.insert(at, letters[at]);
    }
    letters.into_iter().collect()
}

/// A target path with its elements and keys blanked out: those are the mapping's own names.
fn blanked(path: &str) -> String {
    let mut depth = 0;
    path.chars()
        .map(|letter| {
            depth += i32::from(letter == '[' || letter == '{');
            let kept = if depth > 0 { ' ' } else { letter };
            depth -= i32::from(letter == ']' || letter == '}');
            kept
        })
        .collect()
}

/// Whether two rules ask one value of the record for words that differ. An `any` or a `not` may turn the question round.
fn exclude_each_other(first: &str, second: &str) -> bool {
    let asked = Regex::new(r#"record_(?:equals|in) = \{ ("[$@][A-Za-z_.]+") = ("[^"]*"|\[[^\]]*\])"#).expect("a pattern");
    let [first, second] = [first, second].map(|rule| {
        let plain = !rule.contains("any =");
        let found = asked.captures(rule.split("not =").next().unwrap_or(rule)).filter(|_| plain)?;
        let words: BTreeSet<String> = found[2].split('"').skip(1).step_by(2).map(str::to_lowercase).collect();
        Some((found[1].to_owned(), words))
    });
    first.zip(second).is_some_and(|((one, words), (other, others))| one == other && words.is_disjoint(&others))
}

/// How far a value reaches: to the comma or brace that ends it.
fn value_length(text: &str) -> usize {
    let (mut depth, mut quoted) = (0, None);
    for (at, letter) in text.char_indices() {
        match (letter, quoted) {
            ('"' | '\'', None) => quoted = Some(letter),
            (_, Some(quote)) if letter == quote => quoted = None,
            (_, Some(_)) => {}
            ('[' | '{', None) => depth += 1,
            (']' | '}', None) if depth == 0 => return at,
            (']' | '}', None) => depth -= 1,
            (',', None) if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn enum_words() -> BTreeSet<&'static str> {
    let schema = Schema::get();
    let fields = schema.messages().flat_map(|message| message.fields.iter());
    let enums: BTreeSet<&str> = fields
        .filter_map(|field| match field.kind {
            udmill::udm::FieldKind::Enum(name) => Some(name),
            _ => None,
        })
        .collect();
    enums.into_iter().flat_map(|name| schema.enum_values(name)).map(|value| value.name).collect()
}

fn mutants(text: &str) -> Vec<Mutant> {
    let mut mutator = Mutator { text, made: Vec::new() };
    mutator.targets();
    mutator.converters();
    mutator.words();
    mutator.names();
    mutator.rows();
    mutator.made.retain(|mutant| mutant.text != text);
    mutator.made
}

/// Whether `check` refuses the mapping `name` under one of its profiles.
fn is_refused(files: &Files, name: &str) -> bool {
    let place = |_| (String::new(), 0);
    let profiles = mapping::profiles(files, name);
    [None].into_iter().chain(profiles.iter().map(|profile| Some(profile.as_str()))).any(|profile| {
        match mapping::read(files, name, profile) {
            Err(_) => true,
            Ok(table) => match compile::compile(&table, &compile::Options::default(), &place) {
                Err(faults) => faults.iter().any(|fault| fault.severity == Severity::Error),
                Ok(_) => false,
            },
        }
    })
}

/// The shipped files with another text for one of them.
fn with_text(shipped: &Files, name: &str, text: &str) -> Files {
    let mut files = Files::new();
    for (_, file) in shipped.iter() {
        files.add_built_in(&file.name, if file.name == name { text } else { &file.text });
    }
    files
}

/// The bodies of the cases and goldens, by `azure/activity.cases/NAME` or `azure/activity/NAME`, and of the samples.
fn bodies() -> &'static [(String, Vec<u8>)] {
    static BODIES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    BODIES.get_or_init(|| {
        let mut all = Vec::new();
        for below in ["mappings/azure", "mappings/openai", "tests/golden/azure", "tests/golden/openai"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
            let mut cases = Vec::new();
            ends::files(&folder, &mut cases);
            cases.sort();
            for case in cases.iter().filter(|case| case.to_string_lossy().ends_with(".in.json")) {
                let name = case.strip_prefix(folder.parent().expect("a folder of the project")).expect("it lies below");
                all.push((name.to_string_lossy().replace('\\', "/"), std::fs::read(case).expect("a case is readable")));
            }
        }
        all.extend(ends::bodies());
        all
    })
}

/// The bodies, those of a mapping's own cases first.
fn bodies_for(mapping: &str) -> impl Iterator<Item = &'static [u8]> + use<'_> {
    let is_own = move |name: &str| name.strip_prefix(mapping).is_some_and(|rest| rest.starts_with(['.', '/']));
    let own = bodies().iter().filter(move |(name, _)| is_own(name));
    own.chain(bodies().iter().filter(move |(name, _)| !is_own(name))).map(|(_, body)| body.as_slice())
}

/// The files of one mapping, its includes and all that is no mapping: to build an engine of nothing else is quick.
fn only(files: &Files, mapping: &str) -> Files {
    let text = |name: &str| files.iter().find(|(_, file)| file.name == name).map(|(_, file)| file.text.as_str()).unwrap_or_default();
    let include = Regex::new(r#"(?m)^include = \["([^"]+)"\]"#).expect("a pattern");
    let mut wanted = vec![format!("{mapping}.toml")];
    while let Some(above) = include.captures(text(wanted.last().map_or("", String::as_str))) {
        wanted.push(format!("{}.toml", &above[1]));
    }
    let mut some = Files::new();
    for (_, file) in files.iter().filter(|(_, file)| !file.name.ends_with(".toml") || wanted.contains(&file.name)) {
        some.add_built_in(&file.name, &file.text);
    }
    some
}

/// What becomes of the bodies for a mapping.
struct Ends {
    engine: Engine,
    worker: Worker,
}

impl Ends {
    fn new(files: &Files) -> Ends {
        let engine = mills::engine(files, Settings::default());
        let worker = mills::worker_with_places(engine.limits());
        Ends { engine, worker }
    }

    fn of(&mut self, body: &[u8]) -> Vec<(u32, ends::End)> {
        ends::run(&self.engine, &mut self.worker, body)
    }
}

/// Whether a case or a sample tells a slip in a mapping from the mapping as shipped, with that mapping alone or, for one that others include, with
/// all of them.
fn is_shown(slipped: &Files, mapping: &str, sound: &mut BTreeMap<String, Ends>) -> bool {
    [mapping, ""].into_iter().any(|scope| {
        let narrow = |files: &Files| if scope.is_empty() { with_text(files, "", "") } else { only(files, scope) };
        let mut with_slip = Ends::new(&narrow(slipped));
        let without = sound.entry(scope.to_owned()).or_insert_with(|| Ends::new(&narrow(&mapping::built_in())));
        bodies_for(mapping).any(|body| with_slip.of(body) != without.of(body))
    })
}

/// `(file, kind, change, place)`.
type Key = [String; 4];

/// How the judgement of a slip begins that the cases or the samples show. Every other says why nothing can.
const SHOWN: &str = "shown: ";

/// The judged survivors.
fn judged() -> BTreeMap<Key, String> {
    let path = format!("{}/tests/reference/mutation-survivors.csv", env!("CARGO_MANIFEST_DIR"));
    let Ok(mut reader) = csv::Reader::from_path(path) else { return BTreeMap::new() };
    let rows = reader.records().map(|row| row.expect("the list of survivors is CSV"));
    rows.map(|row| ([0, 1, 2, 3].map(|at| row[at].to_owned()), row[4].to_owned())).collect()
}

#[test]
fn check_refuses_nearly_every_slip() {
    let shipped = mapping::built_in();
    let names = mapping::list(&shipped);
    let mut survivors: BTreeMap<Key, Files> = BTreeMap::new();
    let mut counts: BTreeMap<(String, &str), (usize, usize)> = BTreeMap::new();
    for name in &names {
        let file = format!("{name}.toml");
        let text = shipped.iter().find(|(_, known)| known.name == file).map(|(_, known)| known.text.clone()).expect("it is listed");
        assert!(!is_refused(&shipped, name), "{name} as shipped");
        for mutant in mutants(&text) {
            let slipped = with_text(&shipped, &file, &mutant.text);
            let refused = is_refused(&slipped, name);
            let count = counts.entry((name.clone(), mutant.kind)).or_default();
            count.0 += 1;
            count.1 += usize::from(refused);
            if !refused {
                survivors.insert([file.clone(), mutant.kind.to_owned(), mutant.change, mutant.place], slipped);
            }
        }
    }
    let (mut made, mut refused) = (0, 0);
    for ((name, kind), (all, caught)) in &counts {
        println!("{name:24} {kind:32} {caught:4} of {all:4}");
        (made, refused) = (made + all, refused + caught);
    }
    println!("{refused} of {made} refused");
    let judged = judged();
    let mut sound = BTreeMap::new();
    let of = |key: &Key| key[0].trim_end_matches(".toml").to_owned();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = format!("{}/tests/reference/mutation-survivors.csv", env!("CARGO_MANIFEST_DIR"));
        let mut writer = csv::Writer::from_path(path).expect("the folder is writable");
        writer.write_record(["file", "kind", "change", "place", "judgement"]).expect("it is writable");
        for (key, slipped) in &survivors {
            let judgement = judged.get(key).filter(|judgement| !judgement.is_empty()).cloned();
            // A start for who judges: whether anything would tell.
            let judgement = judgement.unwrap_or_else(|| if is_shown(slipped, &of(key), &mut sound) { SHOWN } else { "" }.to_owned());
            writer.write_record(key.iter().map(String::as_str).chain([judgement.as_str()])).expect("it is writable");
        }
        writer.flush().expect("it is writable");
    }
    assert!(made > 1000, "only {made} slips");
    for name in &names {
        let of_table = counts.iter().filter(|((of, _), _)| of == name).map(|(_, count)| count);
        let (all, caught) = of_table.fold((0, 0), |(all, caught), count| (all + count.0, caught + count.1));
        assert!(caught * 100 >= all * 95, "{name}: only {caught} of {all} slips are refused");
    }
    // A judgement that says so is proved: the slip changes what becomes of a case or a sample.
    let claimed: Vec<_> =
        survivors.iter().filter(|(key, _)| judged.get(*key).is_some_and(|judgement| judgement.starts_with(SHOWN))).collect();
    println!("{} of {} slips that check takes are shown by cases and samples", claimed.len(), survivors.len());
    let hidden: Vec<_> = claimed.iter().filter(|(key, slipped)| !is_shown(slipped, &of(key), &mut sound)).map(|(key, _)| *key).collect();
    assert!(hidden.is_empty(), "no case and no sample shows {} slips that are said to be shown:\n{hidden:#?}", hidden.len());
    let unjudged: Vec<_> = survivors.keys().filter(|key| judged.get(*key).is_none_or(String::is_empty)).collect();
    assert!(unjudged.is_empty(), "{} slips are taken that nobody judged; UPDATE_GOLDEN=1 lists them:\n{unjudged:#?}", unjudged.len());
    let gone: Vec<_> = judged.keys().filter(|key| !survivors.contains_key(*key)).collect();
    assert!(gone.is_empty(), "{} judged slips do not survive any more; UPDATE_GOLDEN=1 takes them out:\n{gone:#?}", gone.len());
}
