//! How the process is watched: metric names and their registry, health, the admin port, the log.
//!
//! Everything that can be seen from outside is declared here and nowhere else. It never looks into a record: labels come from closed
//! sets, counts come in batches.
mod admin;
mod drift;
mod health;
mod log;
mod metrics;
mod tally;
#[cfg(feature = "kafka")]
mod tls;

pub use admin::{AdminError, AdminKeys, AdminToken, CurrentKeys, serve};
pub use drift::{CurrentDrift, Drift, DriftEntry};
pub use health::{Component, Health};
pub use log::init_log;
pub use metrics::Metrics;
pub use prometheus::local::LocalHistogram;
pub use prometheus::{Histogram, IntCounter, IntGauge};
pub use tally::{Outcome, Tally};
#[cfg(feature = "kafka")]
pub use tls::AdminCertificate;
