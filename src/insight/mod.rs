//! What a mapping does, told to people: its page, its coverage of an input, what changes between two of them, and reports over events.
//!
//! Everything here is computed from what the core gives (tables, plans, traces, outcomes, events) and returned as text or JSON; files,
//! terminals and clocks belong to the commands in `cli`.

pub mod coverage;
pub mod diff;
pub mod html;
pub mod page;
pub mod report;
pub mod schema;
pub mod words;
