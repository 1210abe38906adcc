//! The process under test: this test binary started again with a settings file. It runs the real source, workers, sink and admin port over
//! a mill that follows orders in the message, so that every outcome can be asked for.
use std::process::ExitCode;
use std::sync::Arc;

use udmill::config::Settings;
use udmill::runtime::{Ended, MessageIn, Mill, MilledMessage, MilledReject, Mills, RunError, run};
use udmill::telemetry::{Outcome, init_log};

/// Set to the path of a settings file in a child.
pub const VARIABLE: &str = "UDMILL_TEST_CHILD";

/// Runs as the child when started as one.
pub fn run_as_child() -> Option<ExitCode> {
    let path = std::env::var(VARIABLE).ok()?;
    let text = std::fs::read_to_string(&path).expect("the parent wrote the settings");
    let settings = match Settings::read(&path, &text) {
        Ok(settings) => settings,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            return Some(ExitCode::from(2));
        }
    };
    init_log(false, &settings.log.filter).expect("the parent wrote a filter");
    let mills = Orders { outputs: settings.output.len() as u16 };
    Some(match run(&settings, Arc::new(mills)) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::CutShort { unsettled }) => {
            eprintln!("cut short: {unsettled} messages are not settled");
            ExitCode::from(4)
        }
        Err(RunError::Settings(what)) => {
            eprintln!("settings: {what}");
            ExitCode::from(2)
        }
        Err(RunError::Fatal(what)) => {
            eprintln!("fatal: {what}");
            ExitCode::FAILURE
        }
    })
}

/// One record a line of the body. `grow N ID` becomes an event of N bytes, `reject ID` a dead letter, `panic` panics, `skip` nothing,
/// anything else an event with itself as value for every output; the last word is the key.
struct Orders {
    outputs: u16,
}

impl Mills for Orders {
    fn mill(&self, _: usize) -> Box<dyn Mill> {
        Box::new(Orders { outputs: self.outputs })
    }

    fn cut(&self, body: &[u8], index: u32) -> Option<Vec<u8>> {
        body.split(|byte| *byte == b'\n').nth(index as usize).map(<[u8]>::to_vec)
    }

    fn redact(&self, bytes: &[u8]) -> Vec<u8> {
        vec![b'*'; bytes.len()]
    }

    fn reload(&self) -> Result<(), Vec<String>> {
        Ok(())
    }
}

impl Mill for Orders {
    fn process(&mut self, message: MessageIn<'_>, out: &mut MilledMessage) {
        let mapping: Arc<str> = "orders".into();
        for (record, line) in message.bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = String::from_utf8_lossy(line);
            let words: Vec<&str> = text.split_whitespace().collect();
            out.tally.records += 1;
            match words.as_slice() {
                ["panic", ..] => panic!("ordered to"),
                ["skip", ..] => out.tally.parts(&mapping, Outcome::Skipped, &"ordered".into(), 1),
                ["reject", ..] => {
                    out.tally.parts(&mapping, Outcome::Rejected, &"ordered".into(), 1);
                    let (path, detail) = ("word".to_owned(), "ordered to".to_owned());
                    out.reject(MilledReject { record: Some(record as u32), stage: "map", code: "ordered", path, detail, bytes: None });
                }
                words => {
                    out.tally.parts(&mapping, Outcome::Emitted, &"".into(), 1);
                    let key = words.last().copied().unwrap_or_default();
                    let size: usize = if let ["grow", size, ..] = words { size.parse().unwrap_or(0) } else { 0 };
                    for output in 0..self.outputs {
                        let mut event = out.event(output, record as u32, key.as_bytes(), "TEST_LOG", "orders@1");
                        let value = event.value();
                        let start = value.len();
                        value.extend_from_slice(line);
                        let padding = size.saturating_sub(value.len() - start);
                        value.extend(std::iter::repeat_n(b'.', padding));
                        event.finish();
                    }
                }
            }
        }
    }
}
