//! Converter chains and constants, and whether what they give fits the field.

use super::Compiler;
use super::target::Target;
use crate::mapping::convert::{self, Gives};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::table::{Call, Constant, Root, Source, Span, TemplatePart};
use crate::plan::program::{self, Finish, Fit, Input, Piece, Step};
use crate::plan::value::{Tag, Value};
use crate::udm::{Constraint, FieldKind, Schema};

/// What a chain gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Any scalar, as the record has it.
    Any,
    /// One of the registry's kinds.
    Gives(Gives),
    /// The answers of a look-up.
    Words(Vec<String>),
    /// A finished object of this UDM message.
    Object(&'static str),
}

/// Enrichers: they stand last in a chain.
const ENRICHERS: [(&str, Finish, Kind); 3] = [
    ("user_agent", Finish::UserAgent, Kind::Object("UserAgentProto")),
    ("geo_location", Finish::GeoLocation, Kind::Object("Location")),
    ("geo_asn", Finish::GeoAsn, Kind::Gives(Gives::Text)),
];

impl Compiler<'_> {
    /// Prepares a chain and tells what it gives.
    pub(super) fn chain(&mut self, calls: &[Call]) -> (Box<[Step]>, Kind, Finish) {
        let mut steps = Vec::new();
        let mut kind = Kind::Any;
        let mut finish = Finish::None;
        for (at, call) in calls.iter().enumerate() {
            if let Some((name, found, gives)) = ENRICHERS.into_iter().find(|(name, ..)| *name == call.name) {
                if at + 1 < calls.len() {
                    let message = format!("enricher `{name}` is not the last converter of its row");
                    self.found.push(Diagnostic::error("M054", call.span, message));
                }
                let may_be_address = matches!(kind, Kind::Any | Kind::Gives(Gives::Ip | Gives::Text));
                if found != Finish::UserAgent && !may_be_address {
                    let message = format!("enricher `{name}` wants an address");
                    self.found.push(Diagnostic::error("M032", call.span, message).help("put `ip` or `ip_port_ip` before it"));
                }
                finish = found;
                kind = gives;
                continue;
            }
            let Some(converter) = convert::find(&call.name) else {
                let known = convert::all().map(|converter| converter.name).chain(ENRICHERS.iter().map(|(name, ..)| *name));
                let message = format!("no converter is called `{}`", call.name);
                self.found.push(Diagnostic::error("M036", call.span, message).suggest(&call.name, known));
                continue;
            };
            match convert::prepare(converter, call, &self.lookups) {
                Ok(args) => {
                    kind = match converter.gives {
                        Gives::Same => kind,
                        Gives::Lookup => Kind::Words(answers(&args)),
                        gives => Kind::Gives(gives),
                    };
                    let (is_digest, is_number) = (converter.name == "sha256", converter.gives == Gives::Float);
                    let (escapes, taking) = (convert::escapes(converter, &args), convert::taking(converter));
                    steps.push(Step { run: converter.run, taking, args, is_digest, is_number, escapes });
                }
                Err(fault) => {
                    let (message, help) = fault.split_once("; ").map_or((fault.as_str(), None), |(message, help)| (message, Some(help)));
                    let mut diagnostic = Diagnostic::error("M037", call.span, message);
                    diagnostic.help = help.map(str::to_owned);
                    self.found.push(diagnostic);
                }
            }
        }
        (steps.into(), kind, finish)
    }

    /// What a source gives after its chain: a path alone gives what the named value it reads gives.
    pub(super) fn source_kind(&self, source: &Source, chain: &[Call], chain_kind: Kind) -> Kind {
        let changes = chain.iter().any(|call| {
            ENRICHERS.iter().any(|(name, ..)| *name == call.name)
                || convert::find(&call.name).is_some_and(|converter| converter.gives != Gives::Same)
        });
        if changes {
            return chain_kind;
        }
        match source {
            Source::Sum(_) | Source::Difference(..) => Kind::Gives(Gives::Int),
            Source::Template(_) => Kind::Gives(Gives::Text),
            Source::Value(_) => chain_kind,
            Source::From(paths) => {
                let mut kinds = paths.iter().map(|path| match path.root {
                    Root::Received => Kind::Gives(Gives::Timestamp),
                    Root::Value(at) => self.value_kinds.get(at).cloned().unwrap_or(Kind::Any),
                    _ => Kind::Any,
                });
                let first = kinds.next().unwrap_or(Kind::Any);
                kinds.fold(first, joined)
            }
        }
    }

    /// The kinds of the named values, in order; a value may read those before it.
    pub(super) fn find_value_kinds(&mut self) {
        let table = self.table;
        for value in &table.values {
            let (_, chain_kind, _) = self.chain(&value.chain);
            let mut kind = self.source_kind(&value.source, &value.chain, chain_kind);
            if let Source::Value(Constant::Text(word)) = &value.source
                && value.chain.is_empty()
            {
                kind = Kind::Words(vec![word.clone()]);
            }
            if let Some(Constant::Text(word)) = &value.default {
                kind = joined(kind, Kind::Words(vec![word.clone()]));
            }
            self.value_kinds.push(kind);
        }
    }

    /// A source as the plan reads it.
    pub(super) fn input(&mut self, source: &Source) -> Input {
        match source {
            Source::From(paths) => {
                let refs: Vec<_> = paths.iter().map(|path| self.sources.read(path)).collect();
                if refs.iter().any(|source| source.spread) { Input::Spread(refs.into()) } else { Input::Paths(refs.into()) }
            }
            Source::Value(value) => Input::Constant(constant(value)),
            Source::Template(parts) => Input::Template(
                parts
                    .iter()
                    .map(|part| match part {
                        TemplatePart::Text(text) => Piece::Text(text.as_bytes().into()),
                        TemplatePart::Hole(path) => Piece::Hole(self.sources.read(path)),
                    })
                    .collect(),
            ),
            Source::Sum(paths) => Input::Sum(paths.iter().map(|path| self.sources.read(path)).collect()),
            Source::Difference(first, second) => Input::Difference(Box::new([self.sources.read(first), self.sources.read(second)])),
        }
    }

    /// Whether a value of this kind fits the target; the check that is left for run time, or `None` after a fault was noted.
    pub(super) fn fit(&mut self, kind: &Kind, target: &Target, text: &str, span: Span) -> Option<Fit> {
        let field = target.field;
        if target.key.is_some() {
            if let Kind::Object(name) = kind {
                let message = format!("`{text}` takes text, `{name}` is an object");
                self.found.push(Diagnostic::error("M032", span, message));
                return None;
            }
            return Some(Fit::Any);
        }
        let gives = match kind {
            Kind::Gives(gives) => Some(*gives),
            _ => None,
        };
        let fit = match (field.kind, kind) {
            (FieldKind::Message(name), Kind::Object(given)) if name == *given => Some(Fit::Any),
            (_, Kind::Object(_)) | (FieldKind::Message(_), _) => None,
            (FieldKind::Enum(name), Kind::Words(words)) => {
                return self.words_fit(name, words, span).then_some(Fit::Any);
            }
            (FieldKind::Enum(_), _) => None,
            (FieldKind::Str | FieldKind::Bytes, _) => match (field.constraint, gives) {
                (Some(Constraint::Ip), Some(Gives::Ip))
                | (Some(Constraint::Mac), Some(Gives::Mac))
                | (Some(Constraint::Url), Some(Gives::Url)) => Some(Fit::Any),
                (Some(Constraint::Ip | Constraint::Mac | Constraint::Url), _) => None,
                (Some(constraint), _) => Some(Fit::Text(constraint)),
                (None, _) => Some(Fit::Any),
            },
            (FieldKind::Bool, _) => (gives == Some(Gives::Bool)).then_some(Fit::Bool),
            (FieldKind::Int32, _) if field.constraint == Some(Constraint::Port) => {
                matches!(gives, Some(Gives::Port | Gives::Int | Gives::UInt)).then_some(Fit::Port)
            }
            (FieldKind::Int32, _) => whole(gives).then_some(Fit::Int32),
            (FieldKind::UInt32, _) => whole(gives).then_some(Fit::UInt32),
            (FieldKind::Int64, _) => whole(gives).then_some(Fit::Int64),
            (FieldKind::UInt64, _) => whole(gives).then_some(Fit::UInt64),
            (FieldKind::Float, _) => (gives == Some(Gives::Float) || whole(gives)).then_some(Fit::Float),
            (FieldKind::Double, _) => (gives == Some(Gives::Float) || whole(gives)).then_some(Fit::Double),
            (FieldKind::Timestamp, _) => (gives == Some(Gives::Timestamp)).then_some(Fit::Any),
            (FieldKind::Duration, _) => (gives == Some(Gives::Duration)).then_some(Fit::Any),
            (FieldKind::Struct | FieldKind::Map(_), _) => None,
        };
        if fit.is_none() {
            let message = format!("`{text}` takes {}, but the row gives {}", wanted(target), given(kind));
            self.found.push(Diagnostic::error("M032", span, message).help("end `as` in a converter that gives it; see docs/converters.md"));
        }
        fit
    }

    fn words_fit(&mut self, name: &str, words: &[String], span: Span) -> bool {
        let known = Schema::get().enum_values(name);
        let wrong: Vec<&String> = words.iter().filter(|word| !known.iter().any(|value| value.name == word.as_str())).collect();
        for word in &wrong {
            let message = format!("the look-up answers `{word}`, which is no word of UDM enum `{name}`");
            self.found.push(Diagnostic::error("M031", span, message).suggest(word, known.iter().map(|value| value.name)));
        }
        wrong.is_empty()
    }

    /// Whether a constant fits the target. `Some(true)`: it is the enum's zero word, which is not written but makes its message present.
    pub(super) fn constant_fits(&mut self, value: &Constant, target: &Target, text: &str, span: Span) -> Option<bool> {
        if target.key.is_some() {
            return Some(false);
        }
        let fault = |message: String| Diagnostic::error("M032", span, message);
        let wrong = match (target.field.kind, value) {
            (FieldKind::Enum(name), Constant::Text(word)) => {
                let known = Schema::get().enum_values(name);
                match known.iter().find(|known| known.name == word) {
                    Some(found) => return Some(found.number == Some(0)),
                    None => {
                        let message = format!("`{word}` is no word of UDM enum `{name}`");
                        self.found.push(Diagnostic::error("M031", span, message).suggest(word, known.iter().map(|value| value.name)));
                        return None;
                    }
                }
            }
            (FieldKind::Message(_), Constant::Text(empty)) if empty == "{}" => return Some(false),
            (FieldKind::Str, Constant::Text(word)) => match target.field.constraint {
                Some(constraint) if !crate::udm::is_constraint_met(constraint, word) => {
                    Some(fault(format!("`{text}` cannot hold `{word}`")))
                }
                _ => None,
            },
            (FieldKind::Bool, Constant::Bool(_)) | (FieldKind::Float | FieldKind::Double, Constant::Float(_) | Constant::Int(_)) => None,
            (FieldKind::Int32 | FieldKind::Int64, Constant::Int(_)) => None,
            (FieldKind::UInt32 | FieldKind::UInt64, Constant::Int(number)) if *number >= 0 => None,
            _ => Some(fault(format!("`{text}` takes {}, not this constant", wanted(target)))),
        };
        match wrong {
            Some(diagnostic) => {
                self.found.push(diagnostic);
                None
            }
            None => Some(false),
        }
    }
}

/// What either of two kinds may be.
fn joined(first: Kind, second: Kind) -> Kind {
    match (first, second) {
        (a, b) if a == b => a,
        (Kind::Words(mut words), Kind::Words(more)) => {
            words.extend(more);
            words.sort_unstable();
            words.dedup();
            Kind::Words(words)
        }
        (Kind::Gives(Gives::Int | Gives::UInt | Gives::Port), Kind::Gives(Gives::Int | Gives::UInt | Gives::Port)) => {
            Kind::Gives(Gives::Int)
        }
        _ => Kind::Any,
    }
}

fn whole(gives: Option<Gives>) -> bool {
    matches!(gives, Some(Gives::Int | Gives::UInt | Gives::Port))
}

/// All answers a prepared look-up call can give.
fn answers(args: &crate::plan::convert::Args) -> Vec<String> {
    let Some((lookup, column)) = &args.lookup else { return Vec::new() };
    let mut words: Vec<String> =
        lookup.rows.iter().filter_map(|row| row[*column].as_deref()).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// A constant as the plan keeps it.
pub(super) fn constant(value: &Constant) -> program::Constant {
    let scalar = |tag, bits| program::Constant::Scalar(Value::scalar(tag, bits));
    match value {
        Constant::Text(text) if text == "{}" => program::Constant::Raw(text.as_bytes().into()),
        Constant::Text(text) => program::Constant::Text(text.as_bytes().into()),
        Constant::Int(number) => scalar(Tag::Int, *number as u64),
        Constant::Float(number) => scalar(Tag::Float, number.to_bits()),
        Constant::Bool(flag) => scalar(Tag::Bool, u64::from(*flag)),
    }
}

fn wanted(target: &Target) -> String {
    match (target.field.kind, target.field.constraint) {
        (_, Some(Constraint::Ip)) => "an address".to_owned(),
        (_, Some(Constraint::Mac)) => "a MAC address".to_owned(),
        (_, Some(Constraint::Url)) => "an absolute URL".to_owned(),
        (_, Some(Constraint::Port)) => "a port".to_owned(),
        (FieldKind::Enum(name), _) => format!("a word of enum `{name}`"),
        (FieldKind::Message(name), _) => format!("message `{name}`"),
        (FieldKind::Str | FieldKind::Bytes, _) => "text".to_owned(),
        (FieldKind::Bool, _) => "a boolean".to_owned(),
        (FieldKind::Float | FieldKind::Double, _) => "a number".to_owned(),
        (FieldKind::Timestamp, _) => "a timestamp".to_owned(),
        (FieldKind::Duration, _) => "a duration".to_owned(),
        _ => "a whole number".to_owned(),
    }
}

fn given(kind: &Kind) -> String {
    match kind {
        Kind::Any => "whatever scalar the record has".to_owned(),
        Kind::Words(_) => "the answers of a look-up".to_owned(),
        Kind::Object(name) => format!("a `{name}` object"),
        Kind::Gives(gives) => match gives {
            Gives::Int | Gives::UInt => "a whole number",
            Gives::Float => "a number",
            Gives::Bool => "a boolean",
            Gives::Timestamp => "a timestamp",
            Gives::Duration => "a duration",
            Gives::Ip => "an address",
            Gives::Port => "a port",
            Gives::Mac => "a MAC address",
            Gives::Url => "a URL",
            Gives::Email => "a mail address",
            Gives::Same | Gives::Text | Gives::Lookup => "text",
        }
        .to_owned(),
    }
}
