//! Secrets in text: finding them, and writing the text without them.
//!
//! One pass of a vector search over everything a message holds tells whether any of its outputs may need care; nearly always the answer is
//! no and nothing else happens. Where it is yes, each text is rewritten: the secret gives way to `[redacted:KIND]`, the rest stays, so a URL
//! remains a URL and an error message readable. Secrets that only their member's name gives away are a matter of [`sensitive_name`] and
//! [`sensitive_tree`], which the writer of unmapped leaves asks.

use std::ops::Range;

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
    /// `sk-...`
    OpenAiKey,
    /// `eyJ...`, three segments.
    Jwt,
    /// `-----BEGIN ...-----` and what follows.
    Pem,
}

/// The fragments that the search looks for. They are few and their first three bytes are rare, which keeps the vector search on its fast path;
/// so a name is listed in the spellings that headers, query strings and JSON use and not in every mixture of cases.
const FRAGMENTS: &[(&str, Kind)] = &[
    ("sig=", Kind::Sas),
    ("sig%", Kind::Sas),
    ("sig\\u003", Kind::Sas),
    ("SIG=", Kind::Sas),
    ("SIG%", Kind::Sas),
    ("Sig=", Kind::Sas),
    ("earer ", Kind::Scheme),
    ("EARER ", Kind::Scheme),
    ("earer%20", Kind::Scheme),
    ("asic ", Kind::Scheme),
    ("uthorization", Kind::Authorization),
    ("AUTHORIZATION", Kind::Authorization),
    ("ookie", Kind::Cookie),
    ("COOKIE", Kind::Cookie),
    ("pi-key", Kind::Key),
    ("pi-Key", Kind::Key),
    ("PI-KEY", Kind::Key),
    ("pikey", Kind::Key),
    ("piKey", Kind::Key),
    ("pi_key", Kind::Key),
    ("ption-Key", Kind::Key),
    ("ption-key", Kind::Key),
    ("ountKey", Kind::Key),
    ("essKey", Kind::Key),
    ("assword", Kind::Key),
    ("t_secret", Kind::Key),
    ("tSecret", Kind::Key),
    ("sk-", Kind::OpenAiKey),
    ("eyJ", Kind::Jwt),
    ("-BEGIN ", Kind::Pem),
];

/// One secret: what is replaced, and by which word.
#[derive(Debug, PartialEq, Eq)]
struct Secret {
    range: Range<usize>,
    word: &'static str,
}

/// Finds and removes secrets. Made once a plan; holds no text.
#[derive(Debug)]
pub struct Redactor {
    search: Search,
}

/// The vector search where the machine has one, the automaton elsewhere; both report the leftmost fragment.
#[derive(Debug)]
enum Search {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
    /// The fragments could not be compiled. It does not happen with a constant list; if it did, every place would be tried.
    Everywhere,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new()
    }
}

impl Redactor {
    /// Compiles the fragments.
    pub fn new() -> Self {
        let texts = FRAGMENTS.iter().map(|(text, _)| text);
        let search = match packed::Config::new().builder().extend(texts.clone()).build() {
            Some(searcher) => Search::Packed(searcher),
            None => AhoCorasick::new(texts).map_or(Search::Everywhere, Search::Automaton),
        };
        Self { search }
    }

    /// Whether a text holds a secret. Give it all the text of a message at once: when it says no, no part of that text needs [`redact`](Self::redact).
    pub fn suspicious(&self, text: &[u8]) -> bool {
        self.next(text, 0).is_some()
    }

    /// Appends `text` without its secrets and says `true`, or appends nothing and says `false` when it holds none.
    ///
    /// What it appends is UTF-8 when `text` is, and holds no secret itself: redacting twice changes nothing.
    pub fn redact(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let (mut from, mut found) = (0, false);
        while let Some(secret) = self.next(text, from) {
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

    /// The first secret whose replaced part starts at `from` or later.
    fn next(&self, text: &[u8], from: usize) -> Option<Secret> {
        let mut at = from;
        while let Some((start, kind)) = self.candidate(text, at) {
            if let Some(secret) = verify(text, start, kind)
                && secret.range.start >= from
            {
                return Some(secret);
            }
            at = start + 1;
        }
        None
    }

    fn candidate(&self, text: &[u8], at: usize) -> Option<(usize, Kind)> {
        let found = match &self.search {
            Search::Packed(searcher) => searcher.find_in(text, aho_corasick::Span { start: at, end: text.len() }),
            Search::Automaton(automaton) => automaton.find(aho_corasick::Input::new(text).span(at..text.len())),
            Search::Everywhere => {
                let here = |at: usize| FRAGMENTS.iter().find(|(fragment, _)| text[at..].starts_with(fragment.as_bytes()));
                return (at..text.len()).find_map(|at| here(at).map(|(_, kind)| (at, *kind)));
            }
        };
        found.map(|found| (found.start(), FRAGMENTS[found.pattern().as_usize()].1))
    }
}

/// Whether the value of a member of this name is a secret or private whatever it says: credential headers, passwords, and the texts of
/// prompts and answers (`*Body`, `RequestMessages`, `ResponseMessages`). ASCII case does not count.
pub fn sensitive_name(name: &[u8]) -> bool {
    const NAMES: [&str; 22] = [
        "authorization",
        "proxy-authorization",
        "x-ms-authorization-auxiliary",
        "cookie",
        "set-cookie",
        "api-key",
        "x-api-key",
        "apikey",
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
    sensitive_tree(name) || NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether everything below a member of this name is private: the bodies and messages of [`sensitive_name`]. Credential names are not in it,
/// because Azure calls the object that describes an access decision `authorization`.
pub fn sensitive_tree(name: &[u8]) -> bool {
    let body = name.len() >= 4 && name[name.len() - 4..].eq_ignore_ascii_case(b"body");
    body || name.eq_ignore_ascii_case(b"requestmessages") || name.eq_ignore_ascii_case(b"responsemessages")
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

fn verify(text: &[u8], start: usize, kind: Kind) -> Option<Secret> {
    match kind {
        Kind::Sas => sas(text, start),
        Kind::Scheme => scheme(text, start),
        Kind::Authorization => assigned(text, start, is_line).map(|range| Secret { range, word: "authorization" }),
        Kind::Cookie => assigned(text, start, is_line).map(|range| Secret { range, word: "cookie" }),
        Kind::Key => assigned(text, start, is_key).map(|range| Secret { range, word: "key" }),
        Kind::OpenAiKey => {
            let length = run(text, start, is_word);
            // The hint `sk-...abcd` that the API itself shows is shorter; `task-` and `disk-` have a letter before.
            let whole = start == 0 || !is_word(text[start - 1]);
            (whole && length >= 19).then(|| Secret { range: start..start + length, word: "api_key" })
        }
        Kind::Jwt => jwt(text, start),
        Kind::Pem => pem(text, start),
    }
}

fn sas(text: &[u8], start: usize) -> Option<Secret> {
    let before = &text[..start];
    // Percent-encoded and JSON-escaped forms of `&` and `?` end in a digit or letter.
    let separators: [&[u8]; 8] = [b"%26", b"%3f", b"%3F", b"%2526", b"u0026", b"U0026", b"u003f", b"u003F"];
    if !starts_word(text, start) && !separators.iter().any(|separator| before.ends_with(separator)) {
        return None;
    }
    let after = &text[start + 3..];
    let signs: [&[u8]; 4] = [b"=", b"%3d", b"%253d", b"\\u003d"];
    let sign = signs.iter().find(|sign| after.len() >= sign.len() && after[..sign.len()].eq_ignore_ascii_case(sign))?;
    let value = start + 3 + sign.len();
    let length = run(text, value, is_token);
    // An encoded `&` ends the value; a signature in base64 never holds one.
    let end = [&b"%26"[..], b"%2526"].iter().filter_map(|amp| memchr::memmem::find(&text[value..value + length], amp)).min();
    let length = end.unwrap_or(length);
    (length > 0).then(|| Secret { range: value..value + length, word: "sas" })
}

/// The fragment starts one byte into `Bearer` or `Basic`.
fn scheme(text: &[u8], start: usize) -> Option<Secret> {
    let first = start.checked_sub(1)?;
    let basic = match text[first] {
        b'B' | b'b' if text[start..].starts_with(b"asic") => true,
        b'B' | b'b' => false,
        _ => return None,
    };
    if !starts_word(text, first) {
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
        let decoded = base64::engine::general_purpose::STANDARD
            .decode_slice(&token[..whole], &mut decoded)
            .map(|length| decoded[..length].contains(&b':'));
        decoded.unwrap_or(false)
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
fn assigned(text: &[u8], start: usize, sort: fn(u8) -> bool) -> Option<Range<usize>> {
    let name = run(text, start, is_word);
    let quotes = |at: usize| run(text, at, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' '));
    let sign = start + name + quotes(start + name);
    if !matches!(text.get(sign), Some(b':' | b'=')) {
        return None;
    }
    let value = sign + 1 + quotes(sign + 1);
    let length = run(text, value, sort);
    let found = &text[value..value + length];
    // Objects, lists, what was redacted already, and words that carry no secret.
    let harmless = found.is_empty() || matches!(found[0], b'{' | b'[') || [&b"null"[..], b"true", b"false"].contains(&found.trim_ascii());
    (!harmless).then_some(value..value + length)
}

fn jwt(text: &[u8], start: usize) -> Option<Secret> {
    if !starts_word(text, start) {
        return None;
    }
    let header = run(text, start, is_word);
    let mut end = start + header;
    let mut segments = 1;
    while text.get(end) == Some(&b'.') && segments < 5 {
        let length = run(text, end + 1, is_word);
        // The payload of a token is never empty; the signature of an unsigned one is.
        if segments == 1 && length < 4 {
            break;
        }
        end += 1 + length;
        segments += 1;
    }
    (header >= 8 && segments >= 3).then_some(Secret { range: start..end, word: "jwt" })
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
    let end = memchr::memmem::find(&text[body..], b"-----END ").map_or(text.len(), |end| body + end);
    let empty = end == body || text[body..end].starts_with(b"[redacted:");
    (!empty).then_some(Secret { range: body..end, word: "pem" })
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
        let all = Redactor { search: Search::Everywhere };
        let automaton = Redactor { search: Search::Automaton(AhoCorasick::new(FRAGMENTS.iter().map(|(text, _)| text)).unwrap()) };
        let long = "x".repeat(100);
        for (fragment, kind) in FRAGMENTS {
            for text in [(*fragment).to_owned(), format!("{long}{fragment}{long}")] {
                let expected = Some((text.find(fragment).unwrap(), *kind));
                for redactor in [&Redactor::new(), &all, &automaton] {
                    assert_eq!(redactor.candidate(text.as_bytes(), 0), expected, "{fragment} by {redactor:?}");
                }
            }
        }
    }

    #[test]
    fn names() {
        for name in ["Authorization", "COOKIE", "api-key", "backendRequestBody", "responseBody", "body", "RequestMessages"] {
            assert!(sensitive_name(name.as_bytes()), "{name}");
        }
        for name in ["requestBodySize", "authorizationScope", "key", "bod", "api_key"] {
            assert!(!sensitive_name(name.as_bytes()), "{name}");
        }
        assert!(sensitive_tree(b"frontendResponseBody") && !sensitive_tree(b"authorization"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn redacting_twice_changes_nothing(text in "(sig=|sk-|eyJ|Bearer |Basic |Cookie|password|-----BEGIN |-----|[a-c0-9.:=&%\"\\\\ é-]){0,30}") {
            let redactor = Redactor::new();
            let mut once = Vec::new();
            let found = redactor.redact(text.as_bytes(), &mut once);
            prop_assert_eq!(found, redactor.suspicious(text.as_bytes()));
            if found {
                prop_assert!(std::str::from_utf8(&once).is_ok());
                let mut twice = Vec::new();
                prop_assert!(!redactor.redact(&once, &mut twice), "{} -> {} -> {}", text, String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
            } else {
                prop_assert!(once.is_empty());
            }
        }
    }
}
