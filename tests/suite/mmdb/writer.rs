//! Writes small databases in the MaxMind DB format 2.0, for tests: a binary search tree over IPv6 with 24-bit records, IPv4 below `::/96`.
//!
//! Source: the MaxMind DB File Format Specification. Pointers inside the data are not used; equal entries share one offset, as in real files.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// A value of the data section, of the types that city and ASN databases use.
#[derive(Clone, Debug)]
pub enum Value {
    Text(&'static str),
    Double(f64),
    UInt16(u16),
    UInt32(u32),
    UInt64(u64),
    Map(Vec<(&'static str, Value)>),
    Array(Vec<Value>),
}

/// A record of the tree.
#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

/// The bytes of a database. Networks must not overlap.
pub fn write(database_type: &'static str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    let mut offsets = HashMap::new();
    for (network, value) in networks {
        let mut entry = Vec::new();
        encode(value, &mut entry);
        let offset = *offsets.entry(entry.clone()).or_insert_with(|| {
            data.extend_from_slice(&entry);
            data.len() - entry.len()
        });
        let (address, length) = network.split_once('/').expect("a network has a length");
        let length: u32 = length.parse().expect("the length is a number");
        let (bits, length) = match address.parse().expect("a network has an address") {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), length + 96),
            IpAddr::V6(v6) => (u128::from_be_bytes(Ipv6Addr::octets(&v6)), length),
        };
        insert(&mut nodes, bits, length, offset);
    }
    let mut file = Vec::new();
    for node in &nodes {
        for record in node {
            let number = match record {
                Record::Empty => nodes.len(),
                Record::Node(index) => *index,
                Record::Data(offset) => nodes.len() + 16 + offset,
            };
            file.extend_from_slice(&u32::try_from(number).expect("a test database is small").to_be_bytes()[1..]);
        }
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    encode(&metadata(database_type, nodes.len()), &mut file);
    file
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, length: u32, offset: usize) {
    let mut at = 0;
    for depth in 0..length {
        let bit = (bits >> (127 - depth) & 1) as usize;
        if depth + 1 == length {
            nodes[at][bit] = Record::Data(offset);
            return;
        }
        at = match nodes[at][bit] {
            Record::Node(next) => next,
            Record::Empty => {
                nodes.push([Record::Empty; 2]);
                nodes[at][bit] = Record::Node(nodes.len() - 1);
                nodes.len() - 1
            }
            Record::Data(_) => panic!("networks overlap"),
        };
    }
}

fn metadata(database_type: &'static str, nodes: usize) -> Value {
    Value::Map(vec![
        ("binary_format_major_version", Value::UInt16(2)),
        ("binary_format_minor_version", Value::UInt16(0)),
        // 2026-01-01, so that the files do not change with the day they are written on.
        ("build_epoch", Value::UInt64(1_767_225_600)),
        ("database_type", Value::Text(database_type)),
        ("description", Value::Map(vec![("en", Value::Text("udmill test database of documentation networks"))])),
        ("ip_version", Value::UInt16(6)),
        ("languages", Value::Array(vec![Value::Text("en")])),
        ("node_count", Value::UInt32(u32::try_from(nodes).expect("a test database is small"))),
        ("record_size", Value::UInt16(24)),
    ])
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Double(number) => {
            control(3, 8, out);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::UInt16(number) => unsigned(5, u64::from(*number), out),
        Value::UInt32(number) => unsigned(6, u64::from(*number), out),
        Value::UInt64(number) => unsigned(9, *number, out),
        Value::Map(members) => {
            control(7, members.len(), out);
            for (name, value) in members {
                encode(&Value::Text(name), out);
                encode(value, out);
            }
        }
        Value::Array(elements) => {
            control(11, elements.len(), out);
            elements.iter().for_each(|element| encode(element, out));
        }
    }
}

/// Numbers are written without leading zero bytes; 0 has none at all.
fn unsigned(kind: u8, number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    control(kind, bytes.len() - first, out);
    out.extend_from_slice(&bytes[first..]);
}

/// Type in the upper three bits, size in the lower five; types above 7 stand in a byte of their own, sizes above 28 continue behind.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, rest) = match size {
        0..=28 => (size as u8, None),
        29..=284 => (29, Some((size - 29) as u8)),
        _ => panic!("a test database has no value of {size} bytes"),
    };
    if kind <= 7 {
        out.push(kind << 5 | short);
    } else {
        out.extend_from_slice(&[short, kind - 7]);
    }
    out.extend(rest);
}
