//! Converters around addresses, ports and network interfaces.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::io::Write;

use base64::Engine;
use sha1::{Digest, Sha1};

use super::number::whole;
use super::{Converter, Gives, Param, ParamKind, utf8};
use crate::plan::convert::{Args, Fault, Input, Output};

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[
    Converter {
        name: "ip",
        run: ip,
        takes: "text of an address",
        gives: Gives::Ip,
        params: &[],
        doc: "An IPv4 or IPv6 address in its canonical form (RFC 5952); an IPv4-mapped one is unwrapped. Ports, masks, zones and names are refused.",
        examples: &[
            ("\"ip\"", "192.0.2.7", "192.0.2.7"),
            ("\"ip\"", "2001:DB8:0::1", "2001:db8::1"),
            ("\"ip\"", "::ffff:192.0.2.7", "192.0.2.7"),
            ("\"ip\"", "192.0.2.7:443", "fault:not_an_ip"),
        ],
    },
    Converter {
        name: "ip_port_ip",
        run: ip_port_ip,
        takes: "text of an address with or without a port",
        gives: Gives::Ip,
        params: &[],
        doc: "The address of `a.b.c.d`, `a.b.c.d:port`, an IPv6 address, `[v6]` or `[v6]:port`, as `ip` gives it.",
        examples: &[
            ("\"ip_port_ip\"", "192.0.2.7:49152", "192.0.2.7"),
            ("\"ip_port_ip\"", "[2001:db8::1]:443", "2001:db8::1"),
            ("\"ip_port_ip\"", "2001:db8::1", "2001:db8::1"),
            ("\"ip_port_ip\"", "192.0.2.7:", "fault:not_an_ip"),
            ("\"ip_port_ip\"", "localhost", "fault:not_an_ip"),
        ],
    },
    Converter {
        name: "ip_port_port",
        run: ip_port_port,
        takes: "text of an address with or without a port",
        gives: Gives::Port,
        params: &[],
        doc: "The port of what `ip_port_ip` reads; absent when there is none.",
        examples: &[
            ("\"ip_port_port\"", "192.0.2.7:49152", "49152"),
            ("\"ip_port_port\"", "2001:db8::1", "absent"),
            ("\"ip_port_port\"", "192.0.2.7:65536", "fault:not_an_ip"),
        ],
    },
    Converter {
        name: "port",
        run: port,
        takes: "whole number, or its text",
        gives: Gives::Port,
        params: &[],
        doc: "0 to 65535, both included.",
        examples: &[("\"port\"", "443", "443"), ("\"port\"", "65535", "65535"), ("\"port\"", "65536", "fault:not_a_port")],
    },
    Converter {
        name: "masked_ip_cidr",
        run: masked_ip_cidr,
        takes: "text of a masked address",
        gives: Gives::Text,
        params: &[],
        doc: "The network of an IPv4 address whose last octets are masked with stars or `x` (Cognitive Services writes `192.0.2.***`), or a network \
              that is written as one. A whole address is absent: it is no network.",
        examples: &[
            ("\"masked_ip_cidr\"", "192.0.2.***", "192.0.2.0/24"),
            ("\"masked_ip_cidr\"", "198.51.*.*", "198.51.0.0/16"),
            ("\"masked_ip_cidr\"", "127.0.0.0/8", "127.0.0.0/8"),
            ("\"masked_ip_cidr\"", "192.0.2.7", "absent"),
            ("\"masked_ip_cidr\"", "192.*.2.7", "fault:not_a_network"),
        ],
    },
    Converter {
        name: "mac",
        run: mac,
        takes: "text",
        gives: Gives::Mac,
        params: &[],
        doc: "Six octets in lower case with colons, from `000D3AF8801A` or with `:`, `-` or `.` between.",
        examples: &[
            ("\"mac\"", "000D3AF8801A", "00:0d:3a:f8:80:1a"),
            ("\"mac\"", "00-0D-3A-F8-80-1A", "00:0d:3a:f8:80:1a"),
            ("\"mac\"", "000D3AF8801", "fault:not_a_mac"),
        ],
    },
    Converter {
        name: "community_id",
        run: community_id,
        takes: "text `source,destination,source port,destination port,protocol`",
        gives: Gives::Text,
        params: &[Param {
            name: "seed",
            kind: ParamKind::Int { min: 0, max: 65535, default: 0 },
            required: false,
            doc: "The seed that all sensors of a site share.",
        }],
        doc: "Community ID version 1 of a flow, the same for both directions. The protocol is an IANA number or one of `T`, `U`, `TCP`, `UDP`, `ICMP`, \
              `ICMP6`, `SCTP`; ICMP takes its type and code as the ports; protocols without ports take empty ones.",
        examples: &[
            ("\"community_id\"", "192.0.2.1,198.51.100.2,34855,80,6", "1:cqjXVAu67qhg3twBk2xRzt1xqjs="),
            ("\"community_id\"", "198.51.100.2,192.0.2.1,80,34855,TCP", "1:cqjXVAu67qhg3twBk2xRzt1xqjs="),
            ("\"community_id\"", "192.0.2.1,198.51.100.2,,,6", "fault:not_a_flow"),
        ],
    },
];

/// An address in text, IPv4-mapped ones unwrapped.
fn address(text: &[u8]) -> Option<IpAddr> {
    // The longest text of an IPv6 address has 45 characters.
    if text.len() > 45 {
        return None;
    }
    Some(std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok()?.to_canonical())
}

/// An address and the port behind it, if one is there.
fn address_port(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    if let Some(address) = address(text) {
        return Some((address, None));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let end = memchr::memchr(b']', rest)?;
        let host: Ipv6Addr = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        let host = IpAddr::V6(host).to_canonical();
        match &rest[end + 1..] {
            [] => return Some((host, None)),
            [b':', port @ ..] => (host, port),
            _ => return None,
        }
    } else {
        let colon = memchr::memchr(b':', text)?;
        let host: Ipv4Addr = std::str::from_utf8(&text[..colon]).ok()?.parse().ok()?;
        (IpAddr::V4(host), &text[colon + 1..])
    };
    Some((host, Some(port_number(port)?)))
}

fn port_number(text: &[u8]) -> Option<u16> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn write_address(address: IpAddr, text: &[u8], out: &mut Vec<u8>) -> Result<Output, Fault> {
    let start = out.len();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{address}");
    if out[start..] == *text {
        out.truncate(start);
        return Ok(Output::Same);
    }
    Ok(Output::Text)
}

fn ip(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_an_ip")) };
    if is_dotted(text) {
        return Ok(Output::Same);
    }
    let found = address(text.trim_ascii()).ok_or(Fault("not_an_ip"))?;
    write_address(found, text, out)
}

/// Whether a text is an IPv4 address and nothing else. There is one way to write it, so such a text needs no writing.
fn is_dotted(text: &[u8]) -> bool {
    let (mut octet, mut digits, mut dots) = (0u32, 0u32, 0u32);
    for &byte in text {
        if byte == b'.' {
            if digits == 0 {
                return false;
            }
            dots += 1;
            (octet, digits) = (0, 0);
        } else {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            // A leading zero would be octal to some readers.
            if digit > 9 || digits == 3 || (digits > 0 && octet == 0) {
                return false;
            }
            octet = octet * 10 + digit;
            digits += 1;
            if octet > 255 {
                return false;
            }
        }
    }
    dots == 3 && digits > 0
}

fn ip_port_ip(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_an_ip")) };
    if is_dotted(text) {
        return Ok(Output::Same);
    }
    let (address, _) = address_port(text.trim_ascii()).ok_or(Fault("not_an_ip"))?;
    write_address(address, text, out)
}

fn ip_port_port(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_an_ip")) };
    if is_dotted(text) {
        return Ok(Output::Absent);
    }
    let (_, port) = address_port(text.trim_ascii()).ok_or(Fault("not_an_ip"))?;
    Ok(port.map_or(Output::Absent, |port| Output::Int(port.into())))
}

fn port(input: Input<'_>, _: &Args, _: &mut Vec<u8>) -> Result<Output, Fault> {
    match whole(input) {
        Some(number @ 0..=65535) => Ok(Output::Int(number as i64)),
        _ => Err(Fault("not_a_port")),
    }
}

fn masked_ip_cidr(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    const FAULT: Fault = Fault("not_a_network");
    let Input::Text(text) = input else { return Err(FAULT) };
    let text = utf8(text)?.trim();
    if address(text.as_bytes()).is_some() {
        return Ok(Output::Absent);
    }
    if let Some((host, length)) = text.split_once('/') {
        let network = address(host.as_bytes()).ok_or(FAULT)?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let length = port_number(length.as_bytes()).filter(|length| *length <= most).ok_or(FAULT)?;
        let _ = write!(out, "{network}/{length}");
        return Ok(Output::Text);
    }
    let mut octets = [0u8; 4];
    let (mut known, mut count) = (0, 0);
    for (index, part) in text.split('.').enumerate() {
        count = index + 1;
        let masked = (1..=3).contains(&part.len()) && part.bytes().all(|byte| matches!(byte, b'*' | b'x' | b'X'));
        // Once an octet is masked all behind it must be.
        if index > 3 || (!masked && known != index) {
            return Err(FAULT);
        }
        if !masked {
            octets[index] = port_number(part.as_bytes()).and_then(|number| u8::try_from(number).ok()).ok_or(FAULT)?;
            known = index + 1;
        }
    }
    if count != 4 || known == 0 || known == 4 {
        return Err(FAULT);
    }
    let _ = write!(out, "{}/{}", Ipv4Addr::from(octets), known * 8);
    Ok(Output::Text)
}

fn mac(input: Input<'_>, _: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    const FAULT: Fault = Fault("not_a_mac");
    let Input::Text(text) = input else { return Err(FAULT) };
    let (mut written, mut separators) = (0, 0);
    for byte in text.trim_ascii() {
        match byte {
            b':' | b'-' | b'.' => separators += 1,
            byte if byte.is_ascii_hexdigit() && written < 12 => {
                if written > 0 && written % 2 == 0 {
                    out.push(b':');
                }
                out.push(byte.to_ascii_lowercase());
                written += 1;
            }
            _ => return Err(FAULT),
        }
    }
    // None, the three-part form with dots, or the usual five.
    if written != 12 || !matches!(separators, 0 | 2 | 5) { Err(FAULT) } else { Ok(Output::Text) }
}

const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// ICMP message types that answer each other, from the Community ID specification: a flow of both has one id.
const ICMP_PAIRS: [(u16, u16); 5] = [(8, 0), (13, 14), (15, 16), (17, 18), (10, 9)];
/// The same for ICMPv6.
const ICMP6_PAIRS: [(u16, u16); 6] = [(128, 129), (133, 134), (135, 136), (130, 131), (144, 145), (139, 140)];

fn community_id(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(Fault("not_a_flow")) };
    let flow = Flow::parse(utf8(text)?).ok_or(Fault("not_a_flow"))?;
    let hash = flow.hash(args.numbers[0] as u16);
    out.extend_from_slice(b"1:");
    let start = out.len();
    // 20 bytes are 28 characters of base64.
    out.resize(start + 28, b'=');
    base64::engine::general_purpose::STANDARD.encode_slice(hash, &mut out[start..]).map_err(|_| Fault("not_a_flow"))?;
    Ok(Output::Text)
}

struct Flow {
    source: (IpAddr, u16),
    target: (IpAddr, u16),
    protocol: u8,
    has_ports: bool,
    one_way: bool,
}

impl Flow {
    fn parse(text: &str) -> Option<Self> {
        let mut columns = text.split(',').map(str::trim);
        let mut next = || columns.next();
        let (source, target) = (address(next()?.as_bytes())?, address(next()?.as_bytes())?);
        let (from, to, protocol) = (next()?, next()?, next()?);
        let protocol = ["T", "TCP", "U", "UDP", "ICMP", "ICMP6", "SCTP"]
            .iter()
            .zip([6, 6, 17, 17, ICMP, ICMP6, 132])
            .find(|(name, _)| name.eq_ignore_ascii_case(protocol))
            .map_or_else(|| protocol.parse().ok(), |(_, number)| Some(number))?;
        if columns.next().is_some() || source.is_ipv4() != target.is_ipv4() {
            return None;
        }
        let has_ports = matches!(protocol, 6 | 17 | ICMP | ICMP6 | 132);
        let mut ports = (0, 0);
        let mut one_way = false;
        if has_ports {
            ports = (from.parse().ok()?, to.parse().ok()?);
            let pairs: &[(u16, u16)] = match protocol {
                ICMP => &ICMP_PAIRS,
                ICMP6 => &ICMP6_PAIRS,
                _ => &[],
            };
            if matches!(protocol, ICMP | ICMP6) {
                // The answering type takes the place of the code; a type without an answer keeps its code and its direction.
                let answer = pairs.iter().find_map(|(a, b)| match ports.0 {
                    kind if kind == *a => Some(*b),
                    kind if kind == *b => Some(*a),
                    _ => None,
                });
                one_way = answer.is_none();
                ports.1 = answer.unwrap_or(ports.1);
            }
        }
        Some(Self { source: (source, ports.0), target: (target, ports.1), protocol, has_ports, one_way })
    }

    fn hash(&self, seed: u16) -> [u8; 20] {
        let (low, high) = if self.one_way || self.source <= self.target { (self.source, self.target) } else { (self.target, self.source) };
        let mut hash = Sha1::new();
        hash.update(seed.to_be_bytes());
        for (address, _) in [low, high] {
            match address {
                IpAddr::V4(address) => hash.update(address.octets()),
                IpAddr::V6(address) => hash.update(address.octets()),
            }
        }
        hash.update([self.protocol, 0]);
        if self.has_ports {
            hash.update(low.1.to_be_bytes());
            hash.update(high.1.to_be_bytes());
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the Community ID specification's own test suite (corelight/community-id-spec, baseline).
    #[test]
    fn community_ids_of_the_specification() {
        for (flow, expected) in [
            ("128.232.110.120,66.35.250.204,34855,80,6", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            ("66.35.250.204,128.232.110.120,80,34855,6", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ] {
            let mut out = Vec::new();
            let args = Args { numbers: vec![0], ..Args::default() };
            assert_eq!(community_id(Input::Text(flow.as_bytes()), &args, &mut out), Ok(Output::Text), "{flow}");
            assert_eq!(String::from_utf8_lossy(&out), expected, "{flow}");
        }
    }
}
