//! What stands in a line of an archive.
use std::borrow::Cow;

use super::Arrival;
use crate::config::header;
use crate::sink::kafka::OutMessage;
use crate::sink::letter_file::DeadLetter;
use crate::sink::raw_line::RawLine;

/// Appends a message as one line: an event as it is; a dead letter as `udmill replay --dead-letter` writes it, so that `--redrive` reads it; a raw
/// message with the place it came from.
pub fn write(message: &OutMessage<'_>, arrival: Arrival<'_>, out: &mut Vec<u8>) {
    let text = |name: &str| {
        let found = message.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    if let Some(stage) = text(header::STAGE) {
        let partition = text(header::PARTITION).unwrap_or_default();
        let letter = DeadLetter {
            stage,
            code: text(header::CODE).unwrap_or_default(),
            path: text(header::PATH).unwrap_or_default(),
            detail: text(header::DETAIL).unwrap_or_default(),
            received_ms: text(header::RECEIVED).and_then(|text| text.parse().ok()),
            file: format!("{}/{partition}", text(header::TOPIC).unwrap_or_default()),
            offset: text(header::OFFSET).and_then(|text| text.parse().ok()).unwrap_or_default(),
            value: message.value.to_vec(),
            content: text(header::CONTENT).unwrap_or_default(),
        };
        return letter.write(out);
    }
    if message.headers.iter().any(|(name, value)| *name == header::EMIT && *value == b"raw") {
        let Arrival { topic, partition, offset, received_ms } = arrival;
        return RawLine { topic: Cow::Borrowed(topic), partition, offset, received_ms, body: Cow::Borrowed(message.value) }.write(out);
    }
    out.extend_from_slice(message.value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Arrival<'static> = Arrival { topic: "in", partition: 3, offset: 42, received_ms: Some(1_767_225_600_000) };

    fn line(value: &[u8], headers: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&OutMessage { topic: "t", key: b"", value, headers }, HERE, &mut out);
        out
    }

    #[test]
    fn an_event_is_a_line_as_it_is() {
        assert_eq!(line(b"{\"a\":1}", &[(header::TOPIC, b"in")]), b"{\"a\":1}\n");
    }

    #[test]
    fn a_dead_letter_reads_back() {
        let headers: &[(&str, &[u8])] = &[
            (header::STAGE, b"map"),
            (header::CODE, b"time_missing"),
            (header::TOPIC, b"in"),
            (header::PARTITION, b"3"),
            (header::OFFSET, b"42"),
            (header::CONTENT, b"raw"),
            (header::RECEIVED, b"1700000000000"),
        ];
        let letter = DeadLetter::read(&line(b"{\n}", headers)).expect("a dead letter");
        assert_eq!(
            (&*letter.code, &*letter.file, letter.offset, letter.received_ms),
            ("time_missing", "in/3", 42, Some(1_700_000_000_000))
        );
        assert_eq!(letter.value, b"{\n}");
    }

    #[test]
    fn a_raw_message_keeps_its_place() {
        let out = line(b"{\"a\":1}", &[(header::EMIT, b"raw")]);
        let read = RawLine::read(&out).expect("a raw line").expect("whole");
        assert_eq!((&*read.topic, read.partition, read.offset, read.received_ms), ("in", 3, 42, Some(1_767_225_600_000)));
        assert_eq!(&*read.body, b"{\"a\":1}");
    }
}
