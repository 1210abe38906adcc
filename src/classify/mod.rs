//! A record to the table that maps it.
//!
//! [`examine`] reads the top-level members of a record once and states its shape, ARM provider and category; [`Classifier`] finds the
//! table claimed for them. Decided per record, never per message or topic: one hub carries many families. Nothing is guessed from
//! values that a family does not own, and a record that nothing claims goes to the fallback, never away.
mod classifier;
mod facts;
mod operation;
#[cfg(test)]
mod tests;

pub use classifier::{Clash, Classifier, MatchedBy};
pub use facts::{Facts, Shape, examine};
