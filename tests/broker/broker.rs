//! The broker itself answers as the other tests assume.
use crate::harness::{Broker, Case, Plain, count, make_topic, read_all, write};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[("broker::keeps_what_is_written", keeps_what_is_written)];

fn keeps_what_is_written() -> Result<(), String> {
    let broker = Broker::get()?;
    let topic = make_topic(&broker, "kept", 3, &[])?;
    let written: Vec<Plain> = (0..300).map(|number| Plain::value(format!("message {number}"))).collect();
    write(&broker, &topic, &written)?;
    let held = count(&broker, &topic)?;
    if held != 300 {
        return Err(format!("expected 300 messages in the topic, found {held}"));
    }
    let mut texts: Vec<String> = read_all(&broker, &topic)?.iter().map(Plain::text).collect();
    let mut expected: Vec<String> = written.iter().map(Plain::text).collect();
    texts.sort();
    expected.sort();
    if texts == expected { Ok(()) } else { Err(format!("expected the 300 written messages, read {} others", texts.len())) }
}
