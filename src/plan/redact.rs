//! Secrets in text: finding them, and writing the text without them.
//!
//! One pass of a vector search over everything a message holds tells whether any of its outputs may need care; nearly always the answer is
//! no and nothing else happens. Where it is yes, each text is rewritten: the secret gives way to `[redacted:KIND]`, the rest stays, so a URL
//! remains a URL and an error message readable. Secrets that only their member's name gives away are a matter of [`sensitive_name`] and
//! [`sensitive_tree`], which the writer of unmapped leaves asks.

use std::ops::Range;

use super::sieve::Sieve;
use aho_corasick::{AhoCorasick, packed};
use base64::Engine;

/// What a fragment of text may be the start of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The signature of a shared access URL.
    Sas,
    /// `Bearer token`, `Basic user:password`.
    Scheme,
    /// `Authorization: ...`, to the end of its line.
    Authorization,
    /// `Cookie: ...`, to the end of its line.
    Cookie,
    /// `name=value` or `"name": "value"`: API keys, account keys, passwords.
    Key,
    /// The same for `api_key`, found by its end: its start is a common word of the OpenAI log, and each find costs a look.
    ApiKey,
    /// `sk-...`
    OpenAiKey,
    /// `eyJ...`, three segments.
    Jwt,
    /// `-----BEGIN ...-----` and what follows.
    Pem,
}

/// The fragments that the search looks for, and how many bytes of each it leaves out at first, because they are common in logs.
///
/// They are at least four bytes long from there, which lets the search compare four bytes at once, and there are at most 32 of them, which is
/// what the faster form of the other search holds; so a name is listed in the spellings that headers, query strings and JSON use and not in
/// every mixture of cases. `api_key` is a common word of the OpenAI log; only an assignment to it is of interest.
///
/// Their order matters for speed: fragments are dealt out to eight buckets in turn, and a bucket passes every mixture of the half bytes that
/// its fragments begin with. This one passes 0.2 places of an OpenAI event in vain, and 3.3 of an Activity record; found by exchanging two at
/// a time.
const FRAGMENTS: &[(&str, usize, Kind)] = &[
    ("pi-key", 0, Kind::Key),
    ("tSecret", 0, Kind::Key),
    ("-BEGIN ", 0, Kind::Pem),
    ("assword", 0, Kind::Key),
    ("earer%20", 0, Kind::Scheme),
    ("sig\\u003", 0, Kind::Sas),
    ("asic ", 0, Kind::Scheme),
    ("PI-KEY", 0, Kind::Key),
    ("ookie", 0, Kind::Cookie),
    ("COOKIE", 0, Kind::Cookie),
    ("_key\\", 1, Kind::ApiKey),
    ("t_secret", 0, Kind::Key),
    ("earer ", 0, Kind::Scheme),
    ("Sig=", 0, Kind::Sas),
    ("essKey", 0, Kind::Key),
    ("ountKey", 2, Kind::Key),
    ("piKey", 0, Kind::Key),
    ("sig=", 0, Kind::Sas),
    ("SIG%", 0, Kind::Sas),
    ("_key\": \"", 1, Kind::ApiKey),
    ("EARER ", 0, Kind::Scheme),
    ("AUTHORIZATION", 0, Kind::Authorization),
    ("ption-Key", 3, Kind::Key),
    ("ption-key", 3, Kind::Key),
    ("pikey", 0, Kind::Key),
    ("pi-Key", 0, Kind::Key),
    ("sig%", 0, Kind::Sas),
    ("_key\":\"", 1, Kind::ApiKey),
    ("uthorization", 0, Kind::Authorization),
    ("SIG=", 0, Kind::Sas),
    ("_key=", 1, Kind::ApiKey),
];

/// Fragments of three bytes. Where the processor has no sieve each has a search of its own, which costs less than a shorter comparison for all.
const SHORT: [(&str, usize, Kind); 2] = [("sk-", 0, Kind::OpenAiKey), ("eyJ", 0, Kind::Jwt)];

/// One secret: what is replaced, and by which word.
#[derive(Debug, PartialEq, Eq)]
struct Secret {
    range: Range<usize>,
    word: &'static str,
}

/// Finds and removes secrets. Made once a plan; holds no text.
#[derive(Debug)]
pub struct Redactor {
    /// Where the processor has one: tells of a whole message whether there may be anything to find.
    sieve: Option<Sieve>,
    search: Search,
    short: [memchr::memmem::Finder<'static>; 2],
}

/// The vector search where the machine has one, the automaton elsewhere; both report the leftmost fragment.
#[derive(Debug)]
enum Search {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
    /// The fragments could not be compiled. It does not happen with a constant list; if it did, every place would be tried.
    Everywhere,
}

impl Search {
    fn find(&self, text: &[u8], at: usize) -> Option<(usize, Kind)> {
        let found = match self {
            Search::Packed(searcher) => searcher.find_in(text, aho_corasick::Span { start: at, end: text.len() }),
            Search::Automaton(automaton) => automaton.find(aho_corasick::Input::new(text).span(at..text.len())),
            Search::Everywhere => {
                let here = |at: usize| FRAGMENTS.iter().find(|(fragment, ..)| text[at..].starts_with(fragment.as_bytes()));
                return (at..text.len()).find_map(|at| here(at).map(|(.., kind)| (at, *kind)));
            }
        };
        found.map(|found| (found.start(), FRAGMENTS[found.pattern().as_usize()].2))
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new()
    }
}

impl Redactor {
    /// Compiles the fragments.
    pub fn new() -> Self {
        let texts = FRAGMENTS.iter().map(|(text, ..)| text);
        let search = match packed::Config::new().builder().extend(texts.clone()).build() {
            Some(searcher) => Search::Packed(searcher),
            None => AhoCorasick::new(texts).map_or(Search::Everywhere, Search::Automaton),
        };
        let sieve = Sieve::new(FRAGMENTS.iter().chain(&SHORT).map(|(text, from, _)| &text[*from..]));
        Self { sieve, search, short: SHORT.map(|(text, ..)| memchr::memmem::Finder::new(text)) }
    }

    /// Whether a text may hold a secret. Give it all the texts of a message at once, with or without anything between them: when it says no,
    /// [`redact`](Self::redact) finds nothing in any of them. So it does not ask what stands beside a find, which may be another text.
    pub fn suspicious(&self, text: &[u8]) -> bool {
        match &self.sieve {
            Some(sieve) => sieve.any(text, |number, at| {
                let (fragment, from, kind) = *FRAGMENTS.get(number).unwrap_or_else(|| &SHORT[number - FRAGMENTS.len()]);
                let start = at.checked_sub(from).filter(|start| text[*start..].starts_with(fragment.as_bytes()));
                start.is_some_and(|start| verify(text, start, kind, false).is_some())
            }),
            None => Candidates::new(self, text, 0).next_secret(0, false).is_some(),
        }
    }

    /// Appends `text` without its secrets and says `true`, or appends nothing and says `false` when it holds none.
    ///
    /// What it appends is UTF-8 when `text` is, and holds no secret itself: redacting twice changes nothing.
    pub fn redact(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let (mut from, mut found) = (0, false);
        let mut candidates = Candidates::new(self, text, 0);
        while let Some(secret) = candidates.next_secret(from, true) {
            out.extend_from_slice(&text[from..secret.range.start]);
            out.extend_from_slice(b"[redacted:");
            out.extend_from_slice(secret.word.as_bytes());
            out.push(b']');
            from = secret.range.end;
            found = true;
        }
        if found {
            out.extend_from_slice(&text[from..]);
        }
        found
    }
}

/// The places of a text where a secret may start, from the left. Each search keeps its next find, so that many finds of one do not make the
/// others run again.
struct Candidates<'a> {
    redactor: &'a Redactor,
    text: &'a [u8],
    long: Option<(usize, Kind)>,
    short: [Option<usize>; 2],
}

impl<'a> Candidates<'a> {
    fn new(redactor: &'a Redactor, text: &'a [u8], at: usize) -> Self {
        let long = redactor.search.find(text, at);
        let short = [0, 1].map(|index| redactor.short[index].find(&text[at..]).map(|found| at + found));
        Self { redactor, text, long, short }
    }

    /// The first secret whose replaced part starts at `from` or later; `strict` also asks what stands around it.
    fn next_secret(&mut self, from: usize, strict: bool) -> Option<Secret> {
        loop {
            let (start, kind) = self.take(from)?;
            if let Some(secret) = verify(self.text, start, kind, strict)
                && secret.range.start >= from
            {
                return Some(secret);
            }
        }
    }

    /// The leftmost candidate, after passing over those before `from`, and a step beyond it.
    fn take(&mut self, from: usize) -> Option<(usize, Kind)> {
        if self.long.is_some_and(|(at, _)| at < from) {
            self.long = self.redactor.search.find(self.text, from);
        }
        for index in 0..SHORT.len() {
            if self.short[index].is_some_and(|at| at < from) {
                self.short[index] = self.find_short(index, from);
            }
        }
        let mut first = self.long;
        for (index, (.., kind)) in SHORT.into_iter().enumerate() {
            if let Some(at) = self.short[index]
                && first.is_none_or(|(found, _)| at < found)
            {
                first = Some((at, kind));
            }
        }
        let (at, _) = first?;
        if self.long == first {
            self.long = self.redactor.search.find(self.text, at + 1);
        } else {
            for index in 0..SHORT.len() {
                if self.short[index] == Some(at) {
                    self.short[index] = self.find_short(index, at + 1);
                }
            }
        }
        first
    }

    fn find_short(&self, index: usize, at: usize) -> Option<usize> {
        self.redactor.short[index].find(&self.text[at..]).map(|found| at + found)
    }
}

/// Whether the value of a member of this name is a secret or private whatever it says: credential headers, passwords, and the texts of
/// prompts and answers (`*Body`, `RequestMessages`, `ResponseMessages`). ASCII case does not count.
pub fn sensitive_name(name: &[u8]) -> bool {
    const NAMES: [&str; 23] = [
        "authorization",
        "proxy-authorization",
        "x-ms-authorization-auxiliary",
        "cookie",
        "set-cookie",
        "api-key",
        "x-api-key",
        "apikey",
        "api_key",
        "ocp-apim-subscription-key",
        "x-functions-key",
        "x-goog-api-key",
        "password",
        "adminpassword",
        "administratorloginpassword",
        "client_secret",
        "clientsecret",
        "accountkey",
        "sharedaccesskey",
        "access_token",
        "refresh_token",
        "id_token",
        "private_key",
    ];
    // A bit for each of their lengths, which nearly every other name has not.
    const LENGTHS: u32 = {
        let (mut lengths, mut at) = (0, 0);
        while at < NAMES.len() {
            lengths |= 1 << NAMES[at].len();
            at += 1;
        }
        lengths
    };
    let may_be = name.len() < 32 && LENGTHS >> name.len() & 1 != 0;
    sensitive_tree(name) || (may_be && NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
}

/// Whether everything below a member of this name is private: the bodies and messages of [`sensitive_name`]. Credential names are not in it,
/// because Azure calls the object that describes an access decision `authorization`.
pub fn sensitive_tree(name: &[u8]) -> bool {
    let body = name.len() >= 4 && name[name.len() - 4..].eq_ignore_ascii_case(b"body");
    body || name.eq_ignore_ascii_case(b"requestmessages") || name.eq_ignore_ascii_case(b"responsemessages")
}

/// Whether a dotted path names a secret: its last name is one of [`sensitive_name`], or any of them is one of [`sensitive_tree`].
pub fn sensitive_path(path: &[u8]) -> bool {
    let mut from = 0;
    for dot in memchr::memchr_iter(b'.', path) {
        if sensitive_tree(&path[from..dot]) {
            return true;
        }
        from = dot + 1;
    }
    sensitive_name(&path[from..])
}

/// Whether a text is JSON that nobody opened and that has a member of [`sensitive_tree`].
pub fn holds_sensitive_tree(text: &[u8]) -> bool {
    if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return false;
    }
    // The end of a name; deeper texts escape their quotes.
    memchr::memchr2_iter(b'"', b'\\', text).any(|at| sensitive_tree(&text[..at][at - run_back(&text[..at])..]))
}

/// How many bytes at the end of a text are of a word.
fn run_back(text: &[u8]) -> usize {
    text.iter().rev().take_while(|byte| is_word(**byte)).count()
}

/// Letters of base64 in both alphabets, and the signs that tokens and their percent-encoding add.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"%+/=-_.~".contains(&byte)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// How many bytes from `at` on are of a sort.
fn run(text: &[u8], at: usize, sort: fn(u8) -> bool) -> usize {
    text[at..].iter().take_while(|byte| sort(**byte)).count()
}

/// Whether a word may start at `start`: nothing before it, or a byte that is no letter or digit.
fn starts_word(text: &[u8], start: usize) -> bool {
    start == 0 || !text[start - 1].is_ascii_alphanumeric()
}

/// Looks at a candidate. Each look is bounded by what it consumes or by a constant, so hostile text costs no more than its length.
fn verify(text: &[u8], start: usize, kind: Kind, strict: bool) -> Option<Secret> {
    match kind {
        Kind::Sas => sas(text, start, strict),
        Kind::Scheme => scheme(text, start, strict),
        Kind::Authorization => assigned(text, start, is_line, strict).map(|range| Secret { range, word: "authorization" }),
        Kind::Cookie => assigned(text, start, is_line, strict).map(|range| Secret { range, word: "cookie" }),
        Kind::Key => assigned(text, start, is_key, strict).map(|range| Secret { range, word: "key" }),
        Kind::ApiKey if !text[..start].ends_with(b"pi") => None,
        Kind::ApiKey => assigned(text, start, is_key, strict).map(|range| Secret { range, word: "key" }),
        Kind::OpenAiKey => {
            // `task-` and `disk-` have a letter before; the hint `sk-...abcd` that the API itself shows is short.
            if strict && start > 0 && is_word(text[start - 1]) {
                return None;
            }
            let length = run(text, start, is_word);
            (length >= 19).then_some(Secret { range: start..start + length, word: "api_key" })
        }
        Kind::Jwt => jwt(text, start, strict),
        Kind::Pem => pem(text, start),
    }
}

fn sas(text: &[u8], start: usize, strict: bool) -> Option<Secret> {
    let before = &text[..start];
    // Percent-encoded and JSON-escaped forms of `&` and `?` end in a digit or letter.
    let separators: [&[u8]; 8] = [b"%26", b"%3f", b"%3F", b"%2526", b"u0026", b"U0026", b"u003f", b"u003F"];
    if strict && !starts_word(text, start) && !separators.iter().any(|separator| before.ends_with(separator)) {
        return None;
    }
    let after = &text[start + 3..];
    let signs: [&[u8]; 4] = [b"=", b"%3d", b"%253d", b"\\u003d"];
    let sign = signs.iter().find(|sign| after.len() >= sign.len() && after[..sign.len()].eq_ignore_ascii_case(sign))?;
    let value = start + 3 + sign.len();
    // An encoded `&` ends the value; a signature in base64 never holds one.
    let ends = |at: usize| !is_token(text[at]) || text[at..].starts_with(b"%26") || text[at..].starts_with(b"%2526");
    let end = (value..text.len()).find(|at| ends(*at)).unwrap_or(text.len());
    (end > value).then_some(Secret { range: value..end, word: "sas" })
}

/// The fragment starts one byte into `Bearer` or `Basic`.
fn scheme(text: &[u8], start: usize, strict: bool) -> Option<Secret> {
    let first = start.checked_sub(1)?;
    let basic = match text[first] {
        b'B' | b'b' if text[start..].starts_with(b"asic") => true,
        b'B' | b'b' => false,
        _ => return None,
    };
    if strict && !starts_word(text, first) {
        return None;
    }
    let blank = start + if basic { 4 } else { 5 };
    let value = blank + if text[blank] == b'%' { 3 } else { 1 };
    let length = run(text, value, is_token);
    let token = &text[value..value + length];
    // `basic authentication` and `bearer tokens` are words: a Basic token decodes to `user:password`, a bearer token has a digit or is long.
    let secret = if basic {
        let mut decoded = [0u8; 192];
        let whole = token.len().min(256) / 4 * 4;
        let decoded =
            base64::engine::general_purpose::STANDARD.decode_slice(&token[..whole], &mut decoded).map(|end| decoded[..end].contains(&b':'));
        // The text behind this one may have joined the token, and then it decodes to nothing.
        if strict { decoded.unwrap_or(false) } else { whole > 0 }
    } else {
        (length >= 8 && token.iter().any(u8::is_ascii_digit)) || length >= 24
    };
    secret.then(|| Secret { range: value..value + length, word: "authorization" })
}

/// What a header's value may hold: everything to the end of the line or of the quoted text.
fn is_line(byte: u8) -> bool {
    !matches!(byte, b'\r' | b'\n' | b'"' | b'\'' | b'\\')
}

/// What a key or password may hold where it stands between others.
fn is_key(byte: u8) -> bool {
    is_line(byte) && !matches!(byte, b' ' | b'\t' | b'&' | b';' | b',' | b'}' | b')' | b'<' | b'>')
}

/// The value in `name: value`, `name=value`, `"name":"value"` and the same with escaped quotes; `start` lies inside the name.
fn assigned(text: &[u8], start: usize, sort: fn(u8) -> bool, strict: bool) -> Option<Range<usize>> {
    // The longest name of these, `Ocp-Apim-Subscription-Key`, has 25 characters.
    let name = run(&text[..text.len().min(start + 32)], start, is_word);
    let quotes = |at: usize| run(text, at, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' '));
    let sign = start + name + quotes(start + name);
    if !matches!(text.get(sign), Some(b':' | b'=')) {
        return None;
    }
    let value = sign + 1 + quotes(sign + 1);
    // Objects, lists and what was redacted already.
    if matches!(text.get(value), None | Some(b'{' | b'[')) {
        return None;
    }
    // A quoted value goes to its closing quote, blanks and commas included.
    let sort = if matches!(text[value - 1], b'"' | b'\'') { is_line } else { sort };
    let length = run(text, value, sort);
    let found = text[value..value + length].trim_ascii();
    // Words are told only where the text's own end is known.
    let harmless = found.is_empty() || (strict && [&b"null"[..], b"true", b"false"].contains(&found));
    (!harmless).then_some(value..value + length)
}

/// Segments of a token that are longer than this are not measured where only a suspicion is asked for: all that begin within one end with it.
const LONG_SEGMENT: usize = 1024;

fn jwt(text: &[u8], start: usize, strict: bool) -> Option<Secret> {
    if strict && start > 0 && is_word(text[start - 1]) {
        return None;
    }
    let segment = |at: usize| if strict { run(text, at, is_word) } else { run(&text[..text.len().min(at + LONG_SEGMENT)], at, is_word) };
    let header = segment(start);
    if header < 8 {
        return None;
    }
    let mut end = start + header;
    let mut longest = header;
    let mut segments = 1;
    while text.get(end) == Some(&b'.') && segments < 5 {
        let length = segment(end + 1);
        // The payload of a token is never empty; the signature of an unsigned one is.
        if segments == 1 && length < 4 {
            break;
        }
        end += 1 + length;
        longest = longest.max(length);
        segments += 1;
    }
    let is_token = segments >= 3 || (!strict && longest == LONG_SEGMENT);
    is_token.then_some(Secret { range: start..end, word: "jwt" })
}

/// The body between the lines `-----BEGIN X-----` and `-----END X-----`; without an end it goes to the end of the text.
fn pem(text: &[u8], start: usize) -> Option<Secret> {
    let title = start + b"-BEGIN ".len();
    // Titles are words in capitals, `RSA PRIVATE KEY`.
    let dashes = title + run(text, title, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    if !text[dashes..].starts_with(b"-----") {
        return None;
    }
    let body = dashes + 5;
    if text[body..].starts_with(b"[redacted:") {
        return None;
    }
    let end = memchr::memmem::find(&text[body..], b"-----END ").map_or(text.len(), |end| body + end);
    (end > body).then_some(Secret { range: body..end, word: "pem" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str) -> String {
        let mut out = Vec::new();
        if Redactor::new().redact(text.as_bytes(), &mut out) { String::from_utf8(out).unwrap() } else { text.to_owned() }
    }

    #[test]
    fn secrets_give_way_and_the_rest_stays() {
        for (name, input, expected) in [
            ("sas", "https://a.example.com/c/b?sv=2024&sig=aB%2Bc%3D&se=1", "https://a.example.com/c/b?sv=2024&sig=[redacted:sas]&se=1"),
            ("sas first", "sig=abc", "sig=[redacted:sas]"),
            ("sas upper case", "?SIG=abc&x=1", "?SIG=[redacted:sas]&x=1"),
            ("sas encoded", "u=https%3A%2F%2Fa%3Fsig%3DaB%252B%26se%3D1", "u=https%3A%2F%2Fa%3Fsig%3D[redacted:sas]%26se%3D1"),
            ("sas escaped", r"a\u0026sig=abc\u0026se=1", r"a\u0026sig=[redacted:sas]\u0026se=1"),
            ("sas escaped sign", r"a\u0026sig\u003dabc", r"a\u0026sig\u003d[redacted:sas]"),
            ("no sas", "design=abc", "design=abc"),
            ("no value", "sig=&x", "sig=&x"),
            ("bearer", "got Bearer abc.def1 from", "got Bearer [redacted:authorization] from"),
            ("no bearer", "bearer tokens are refused", "bearer tokens are refused"),
            ("basic", "Basic dXNlcjpwYXNzd29yZA==", "Basic [redacted:authorization]"),
            ("no basic", "Basic authentication is off", "Basic authentication is off"),
            ("header", "Authorization: SharedKey acc:Zm9v\nHost: a", "Authorization: [redacted:authorization]\nHost: a"),
            ("json header", r#"{"Authorization":"x y","a":1}"#, r#"{"Authorization":"[redacted:authorization]","a":1}"#),
            ("escaped json", r#"{\"authorization\": \"x\",\"a\":1}"#, r#"{\"authorization\": \"[redacted:authorization]\",\"a\":1}"#),
            ("object", r#"{"authorization":{"scope":"/a"}}"#, r#"{"authorization":{"scope":"/a"}}"#),
            ("operation", "Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/write"),
            ("cookie", "Set-Cookie: a=b; c=d", "Set-Cookie: [redacted:cookie]"),
            ("api key", "api-key: 0123abc, host: b", "api-key: [redacted:key], host: b"),
            ("query key", "https://a?subscription-key=abc&x=1", "https://a?subscription-key=[redacted:key]&x=1"),
            ("account key", "AccountName=a;AccountKey=Zm9v==;EndpointSuffix=b", "AccountName=a;AccountKey=[redacted:key];EndpointSuffix=b"),
            ("null key", r#"{"api_key":null}"#, r#"{"api_key":null}"#),
            ("event type", "api_key.created", "api_key.created"),
            ("openai key", "key sk-proj-abcdef0123456789 used", "key [redacted:api_key] used"),
            ("openai hint", "sk-...abcd", "sk-...abcd"),
            ("disk", "disk-0123456789abcdef01234", "disk-0123456789abcdef01234"),
            ("jwt", "t=eyJhbGciOi.eyJzdWIiOiI.c2ln;", "t=[redacted:jwt];"),
            ("two segments", "eyJhbGciOi.eyJzdWIiOiI", "eyJhbGciOi.eyJzdWIiOiI"),
            ("unsigned", "eyJhbGciOi.eyJzdWIiOiI.", "[redacted:jwt]"),
            ("pem", "-----BEGIN X-----\nMII\n-----END X-----\n", "-----BEGIN X-----[redacted:pem]-----END X-----\n"),
            ("open pem", "-----BEGIN X-----\nMII", "-----BEGIN X-----[redacted:pem]"),
            ("two", "sig=a sk-0123456789abcdef", "sig=[redacted:sas] [redacted:api_key]"),
        ] {
            assert_eq!(redacted(input), expected, "case: {name}");
            assert_eq!(redacted(expected), expected, "a second time, case: {name}");
        }
    }

    #[test]
    fn every_fragment_is_found_by_every_search() {
        let with = |search| Redactor { search, ..Redactor::new() };
        let automaton = Search::Automaton(AhoCorasick::new(FRAGMENTS.iter().map(|(text, ..)| text)).unwrap());
        let redactors = [Redactor::new(), with(Search::Everywhere), with(automaton)];
        let long = "x".repeat(100);
        for (fragment, _, kind) in FRAGMENTS.iter().chain(&SHORT) {
            for text in [(*fragment).to_owned(), format!("{long}{fragment}{long}")] {
                let expected = Some((text.find(fragment).unwrap(), *kind));
                for redactor in &redactors {
                    assert_eq!(Candidates::new(redactor, text.as_bytes(), 0).take(0), expected, "{fragment} by {redactor:?}");
                }
            }
        }
        assert!(FRAGMENTS.len() <= 32 && FRAGMENTS.iter().all(|(fragment, from, _)| fragment.len() >= 4 + from));
    }

    #[test]
    fn hostile_text_costs_no_more_than_its_length() {
        // Each of these made an earlier look run to the end of the text from every place; a million bytes then took minutes.
        let (redactor, by_search) = (Redactor::new(), Redactor { sieve: None, ..Redactor::new() });
        for piece in [
            "%26sig=",
            "-eyJ",
            ".eyJ",
            "disk-",
            "cookie",
            "Cookie:{",
            "-----BEGIN A-----[redacted:",
            "Basic ",
            "password ",
            "sk-",
            "eyJ",
            "eyJabcdef.aaa",
        ] {
            let text = piece.repeat(1_000_000 / piece.len());
            let mut out = Vec::new();
            redactor.redact(text.as_bytes(), &mut out);
            assert!(out.len() <= 2 * text.len(), "{piece}");
            for redactor in [&redactor, &by_search] {
                redactor.suspicious(text.as_bytes());
            }
        }
    }

    #[test]
    fn names() {
        for name in ["Authorization", "COOKIE", "api-key", "backendRequestBody", "responseBody", "body", "RequestMessages"] {
            assert!(sensitive_name(name.as_bytes()), "{name}");
        }
        for name in ["requestBodySize", "authorizationScope", "key", "bod", "api_key_id"] {
            assert!(!sensitive_name(name.as_bytes()), "{name}");
        }
        assert!(sensitive_tree(b"frontendResponseBody") && !sensitive_tree(b"authorization"));
    }

    #[test]
    fn a_neighbour_hides_no_secret() {
        let redactor = Redactor::new();
        for text in [
            "sk-proj-abcdef0123456789",
            "Basic dXNlcjpwYXNzd29yZA==",
            "eyJhbGciOi.eyJzdWIiOiI.c2ln",
            "sig=abc",
            "Bearer abc.def1",
            "api-key: 0",
        ] {
            assert!(redactor.redact(text.as_bytes(), &mut Vec::new()), "{text}");
            assert!(redactor.suspicious(format!("key{text}type").as_bytes()), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_sieve_and_the_search_judge_alike(text in "(sig=|sk-|eyJ|Bearer |Basic |Cookie|password|-----BEGIN |-----|pi_key=|pi_key\": \"|ountKey|ption-key|[a-c0-9.:=&%\"\\\\ é-]){0,60}") {
            let redactor = Redactor::new();
            let by_search = Redactor { sieve: None, ..Redactor::new() };
            prop_assert_eq!(redactor.suspicious(text.as_bytes()), by_search.suspicious(text.as_bytes()));
        }

        #[test]
        fn redacting_twice_changes_nothing(text in "(sig=|sk-|eyJ|Bearer |Basic |Cookie|password|-----BEGIN |-----|[a-c0-9.:=&%\"\\\\ é-]){0,30}") {
            let redactor = Redactor::new();
            let mut once = Vec::new();
            let found = redactor.redact(text.as_bytes(), &mut once);
            prop_assert!(!found || redactor.suspicious(text.as_bytes()));
            if found {
                prop_assert!(std::str::from_utf8(&once).is_ok());
                let mut twice = Vec::new();
                prop_assert!(!redactor.redact(&once, &mut twice), "{} -> {} -> {}", text, String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
            } else {
                prop_assert!(once.is_empty());
            }
        }

        #[test]
        fn what_is_not_suspicious_holds_no_secret_anywhere(
            texts in proptest::collection::vec("(sig=|sk-[a-z]{9}|eyJhbG|Bearer |Basic |Cookie|password|-----BEGIN |-----|[a-c0-9.:=&%\"\\\\ é-]){0,8}", 1..6),
        ) {
            let redactor = Redactor::new();
            if !redactor.suspicious(texts.concat().as_bytes()) {
                for text in &texts {
                    prop_assert!(!redactor.redact(text.as_bytes(), &mut Vec::new()), "{} in {:?}", text, texts);
                }
            }
        }
    }
}
