//! One binary for everything that looks at the project from outside: `cargo test --test suite`.

#[cfg(all(feature = "kafka", unix))]
mod admin_tls;
mod allocations;
mod architecture;
#[cfg(all(feature = "kafka", unix))]
mod authority;
mod canary;
mod codes;
#[cfg(feature = "openai")]
mod collector;
mod commands;
mod coverage;
#[cfg(feature = "kafka")]
mod demo;
mod deploy;
mod diagnostics;
mod documented_reference;
mod ends;
mod equality;
mod flows;
mod generated_docs;
mod golden;
mod insight;
mod instants;
mod layers;
mod metrics;
mod mills;
mod mmdb;
mod mutation;
mod openai;
#[cfg(all(feature = "kafka", feature = "eventhubs", feature = "objects", feature = "openai", unix))]
mod own_secrets;
mod properties;
mod protobuf;
mod readme;
mod redaction;
mod reference_rows;
#[cfg(all(feature = "kafka", unix))]
mod reload;
mod replay;
mod report;
mod routes;
mod rows;
#[cfg(all(feature = "kafka", unix))]
mod running;
mod rust_paths;
mod schema;
mod tags;
mod touched;
mod typed_reference;
