//! One look without a state: from the command line to whoever takes the events.
use super::collector::{Collector, Note, Step};
use super::state::{Listing, State};
use super::{Client, listings, rules};
use crate::config::OpenAiSource as Settings;
use crate::source::now_ms;

/// Windows in a row that may fail before the look is given up.
const FAILED_PASSES_MAX: u32 = 2;

/// Reads every listing once, `back_seconds` back, and gives each new event to `take`, oldest first within a window. `hear` is told what
/// happens, for people.
///
/// # Errors
///
/// The key is refused, a listing could not be read to its end, or what `take` answers. What was taken before stays taken.
pub fn look(
    settings: &Settings,
    back_seconds: i64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    hear: &mut dyn FnMut(Listing, &Note),
) -> Result<(), String> {
    let client = Client::new(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("source.openai: threads were not started: {error}"))?;
    let _within = runtime.enter();
    for listing in listings(settings) {
        let now = now_ms();
        let state = State::begin(listing, now / 1000 - back_seconds, now / 1000);
        let mut collector = Collector::new(rules(settings), state, now as u64);
        while collector.passes() == 0 && !collector.is_absent() {
            match collector.next(now_ms()) {
                Step::Ask(query) => {
                    let reply = runtime.block_on(client.ask(&query));
                    collector.on(now_ms(), reply);
                }
                Step::Deliver => {
                    for event in collector.batch().map(|batch| &batch.events[..]).unwrap_or_default() {
                        take(&event.bytes)?;
                    }
                    collector.delivered(now_ms());
                }
                Step::Wait(until_ms) => {
                    let wait = std::time::Duration::from_millis((until_ms - now_ms()).max(1) as u64);
                    runtime.block_on(tokio::time::sleep(wait));
                }
            }
            let mut last = None;
            for note in collector.take_notes() {
                hear(listing, &note);
                if let Note::Failed(what) | Note::Refused(what) = note {
                    last = Some(what);
                }
            }
            let gives_up = collector.is_refused() || collector.failed_passes() > FAILED_PASSES_MAX;
            if let Some(what) = last.filter(|_| gives_up) {
                let help = if collector.is_refused() { "; it takes an Admin key that may read audit logs" } else { "" };
                return Err(format!("listing `{}`: {what} ({}){help}", listing.name(), settings.identity()));
            }
        }
    }
    Ok(())
}
