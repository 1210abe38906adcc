//! udmill mills cloud and AI audit logs into Google SecOps UDM.
pub mod classify;
pub mod cli;
pub mod decode;
pub mod engine;
pub mod enrich;
pub mod mapping;
pub mod plan;
pub mod udm;
