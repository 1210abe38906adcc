//! Converters around URLs, mail addresses and names of hosts.

use super::{Converter, Gives, Param, ParamKind, utf8};
use crate::plan::convert::{Args, Fault, Input, Output};

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "url",
        run: url,
        takes: "text of an absolute URL",
        gives: Gives::Url,
        params: &[],
        doc: "A URL with a scheme and a host, its scheme and host in lower case. The user part is removed and the values of `sig`, `code`, `token`, \
              `access_token`, `client_secret`, `api-key`, `apikey` and `subscription-key` are replaced by `[redacted]`, whatever the settings of \
              redaction say.",
        examples: &[
            ("\"url\"", "HTTPS://A.Example.com/C?sv=1&sig=aB%2B", "https://a.example.com/C?sv=1&sig=[redacted]"),
            ("\"url\"", "https://ann:secret@a.example.com/", "https://a.example.com/"),
            ("\"url\"", "/c/b?sv=1", "fault:not_a_url"),
        ],
    },
    Converter {
        name: "host_of_url",
        run: host_of_url,
        takes: "text of an absolute URL",
        gives: Gives::Text,
        params: &[],
        doc: "The host in lower case, without a port and without the brackets of an IPv6 address.",
        examples: &[
            ("\"host_of_url\"", "https://Safe.vault.example.com:443/secrets/a", "safe.vault.example.com"),
            ("\"host_of_url\"", "https://[2001:db8::1]/", "2001:db8::1"),
        ],
    },
    Converter {
        name: "path_of_url",
        run: path_of_url,
        takes: "text of an absolute URL",
        gives: Gives::Text,
        params: &[Param {
            name: "",
            kind: ParamKind::Int { min: 0, max: 64, default: 0 },
            required: true,
            doc: "Which segment, from 1; 0 is the whole path.",
        }],
        doc: "A segment of the path, or the whole path with its slash, not percent-decoded. Key Vault's object URLs are type, name and version: 1, 2, 3. \
              Absent when it is not there.",
        examples: &[
            ("{ path_of_url = 1 }", "https://safe.vault.example.com/secrets/db/0f?api-version=7", "secrets"),
            ("{ path_of_url = 2 }", "https://safe.vault.example.com/secrets/db/0f?api-version=7", "db"),
            ("{ path_of_url = 0 }", "https://safe.vault.example.com/secrets/db", "/secrets/db"),
            ("{ path_of_url = 3 }", "https://safe.vault.example.com/secrets/db", "absent"),
        ],
    },
    Converter {
        name: "query",
        run: query,
        takes: "text of a URL, whole or from its path on",
        gives: Gives::Text,
        params: &[Param { name: "", kind: ParamKind::Text, required: true, doc: "The parameter's name, compared without ASCII case." }],
        doc: "The first value of a query parameter, percent-decoded when that gives text; absent when there is none.",
        examples: &[
            ("{ query = \"api-version\" }", "/deployments?x=1&api-version=2024-02-01#f", "2024-02-01"),
            ("{ query = \"comp\" }", "https://a.example.com/c?restype=container", "absent"),
            ("{ query = \"prefix\" }", "https://a.example.com/c?prefix=a%2Fb", "a/b"),
        ],
    },
    Converter {
        name: "email",
        run: email,
        takes: "text",
        gives: Gives::Email,
        params: &[],
        doc: "A mail address in lower case: one `@`, something before it, a domain with a point behind it, no blanks. Display names, guest UPNs with \
              `#EXT#` and GUIDs are refused.",
        examples: &[
            ("\"email\"", "Ann@Example.com", "ann@example.com"),
            ("\"email\"", "ann_example.org#EXT#@example.com", "fault:not_an_email"),
            ("\"email\"", "Ann", "fault:not_an_email"),
        ],
    },
    Converter {
        name: "domain",
        run: domain,
        takes: "text of a mail address or UPN",
        gives: Gives::Text,
        params: &[],
        doc: "What follows the last `@`, in lower case; absent when there is no `@` or nothing follows.",
        examples: &[("\"domain\"", "Ann@Example.com", "example.com"), ("\"domain\"", "Ann", "absent")],
    },
];

/// The longest URL that is read; longer ones are not what a browser or an SDK sends.
const LONGEST_URL: usize = 16_384;

struct Url<'a> {
    scheme: &'a str,
    host: &'a str,
    /// With its colon, or empty.
    port: &'a str,
    /// Path, query and fragment.
    rest: &'a str,
}

impl<'a> Url<'a> {
    fn parse(input: Input<'a>) -> Option<Self> {
        let Input::Text(text) = input else { return None };
        let text = std::str::from_utf8(text).ok()?.trim();
        let (scheme, rest) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let well_formed = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !well_formed || text.len() > LONGEST_URL || text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return None;
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = if host_port.starts_with('[') {
            host_port.split_at(host_port.find(']')? + 1)
        } else {
            host_port.split_at(host_port.find(':').unwrap_or(host_port.len()))
        };
        let port_fits = port.is_empty() || port == ":" || (port.starts_with(':') && port[1..].parse::<u16>().is_ok());
        let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<core::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.bytes().any(|byte| b"<>\"'\\[]{}|^`,;".contains(&byte)),
        };
        (port_fits && host_fits).then_some(Self { scheme, host, port, rest })
    }

    fn path(&self) -> &'a str {
        &self.rest[..self.rest.find(['?', '#']).unwrap_or(self.rest.len())]
    }
}

fn push_lower(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    out[start..].make_ascii_lowercase();
}

/// Parameters whose value is a credential.
const SECRET_PARAMETERS: [&str; 8] = ["sig", "code", "token", "access_token", "client_secret", "api-key", "apikey", "subscription-key"];

fn url(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let url = Url::parse(input).ok_or(Fault("not_a_url"))?;
    push_lower(url.scheme, out);
    out.extend_from_slice(b"://");
    push_lower(url.host, out);
    out.extend_from_slice(url.port.as_bytes());
    let path = url.path();
    out.extend_from_slice(path.as_bytes());
    // A fragment carries parameters too: OAuth's implicit answer does.
    let mut parameters = &url.rest[path.len()..];
    while let Some(mark) = parameters.chars().next() {
        out.extend_from_slice(mark.encode_utf8(&mut [0; 4]).as_bytes());
        parameters = &parameters[mark.len_utf8()..];
        let (pair, rest) = parameters.split_at(parameters.find(['&', '?', '#', ';']).unwrap_or(parameters.len()));
        parameters = rest;
        match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"=[redacted]");
            }
            _ => out.extend_from_slice(pair.as_bytes()),
        }
    }
    Ok(Output::Text)
}

fn host_of_url(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let url = Url::parse(input).ok_or(Fault("not_a_url"))?;
    push_lower(url.host.trim_start_matches('[').trim_end_matches(']'), out);
    Ok(Output::Text)
}

fn path_of_url(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let url = Url::parse(input).ok_or(Fault("not_a_url"))?;
    let found = match args.numbers[0] {
        0 => url.path(),
        index => url.path().split('/').nth(index as usize).unwrap_or_default(),
    };
    if found.is_empty() {
        return Ok(Output::Absent);
    }
    out.extend_from_slice(found.as_bytes());
    Ok(Output::Text)
}

fn query(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Absent) };
    let text = utf8(text)?;
    let text = text.split('#').next().unwrap_or_default();
    let Some((_, parameters)) = text.split_once('?') else { return Ok(Output::Absent) };
    let named = |pair: &&str| pair.split('=').next().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(&args.texts[0]));
    let value = parameters.split('&').find(named).and_then(|pair| pair.split_once('=')).map_or("", |(_, value)| value);
    if value.is_empty() {
        return Ok(Output::Absent);
    }
    let start = out.len();
    decode_percent(value.as_bytes(), out);
    // Bytes that are no text stay encoded.
    if std::str::from_utf8(&out[start..]).is_err() {
        out.truncate(start);
        out.extend_from_slice(value.as_bytes());
    }
    Ok(Output::Text)
}

fn decode_percent(text: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut at = 0;
    while at < text.len() {
        let pair = match text[at..] {
            [b'%', high, low, ..] => digit(high).zip(digit(low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            None => {
                out.push(if text[at] == b'+' { b' ' } else { text[at] });
                at += 1;
            }
        }
    }
}

fn email(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    const FAULT: Fault = Fault("not_an_email");
    let Input::Text(text) = input else { return Err(FAULT) };
    let text = utf8(text)?.trim();
    let at = memchr::memchr(b'@', text.as_bytes()).ok_or(FAULT)?;
    let (local, domain) = (&text.as_bytes()[..at], &text.as_bytes()[at + 1..]);
    // 254 octets is what an SMTP path leaves for an address (RFC 5321 with its erratum 1690), 64 the local part's share.
    let lengths = text.len() <= 254 && (1..=64).contains(&local.len());
    let all = |part: &[u8], sort: u8| part.iter().fold(sort, |all, byte| all & ADDRESS_SORTS[usize::from(*byte)]) != 0;
    if !lengths || !all(local, 1) || !all(domain, 2) || !holds_labels(domain) {
        return Err(FAULT);
    }
    if input == Input::Text(text.as_bytes()) && !super::text::holds_upper(text.as_bytes()) {
        return Ok(Output::Same);
    }
    push_lower(text, out);
    Ok(Output::Text)
}

/// What a byte may be in a mail address: bit 0 of the local part, bit 1 of the domain.
const ADDRESS_SORTS: [u8; 256] = {
    let mut sorts = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let local =
            byte > b' ' && byte != 0x7f && !matches!(byte, b'"' | b'(' | b')' | b',' | b':'..=b'<' | b'>' | b'['..=b']' | b'#' | b'@');
        let domain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | 0x80..);
        sorts[at] = local as u8 | (domain as u8) << 1;
        at += 1;
    }
    sorts
};

/// Whether a domain has two labels at least, none of them empty or with a `-` at either end.
fn holds_labels(domain: &[u8]) -> bool {
    let (mut before, mut dots) = (b'.', 0);
    for &byte in domain {
        if (before == b'.' && matches!(byte, b'.' | b'-')) || (before == b'-' && byte == b'.') {
            return false;
        }
        dots += u32::from(byte == b'.');
        before = byte;
    }
    dots > 0 && !matches!(before, b'.' | b'-')
}

fn domain(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Ok(Output::Absent) };
    let text = utf8(text)?.trim();
    let domain = memchr::memrchr(b'@', text.as_bytes()).map_or("", |at| &text[at + 1..]);
    if domain.is_empty() {
        return Ok(Output::Absent);
    }
    push_lower(domain, out);
    Ok(Output::Text)
}
