//! udmill mills cloud and AI audit logs into Google SecOps UDM.
pub mod classify;
pub mod cli;
pub mod config;
pub mod decode;
pub mod engine;
pub mod enrich;
pub mod insight;
pub mod mapping;
pub mod plan;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod telemetry;
pub mod udm;
