//! Values from outside the record: what a user agent is, where an address lies. Implements the plan's [`Enrich`].
//!
//! Every worker has its own [`Enrichers`] over shared [`Databases`]. Answers are finished JSON and are kept in bounded caches; a cache changes
//! speed and never bytes, and its hasher is keyed with a seed from the shell, because its keys come from outside. Nothing here opens a file:
//! the shell reads a database and hands over its bytes.

use std::sync::Arc;

use crate::plan::enrich::Enrich;

mod cache;
pub mod geo;
mod json;
pub mod user_agent;

pub use cache::Counts;
pub use geo::{DatabaseFault, Databases};

/// How many answers each cache of a worker keeps. A cache holds two generations of this size; 0 is taken as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// User agents. One answer takes about 300 bytes.
    pub user_agents: usize,
    /// Addresses, and database entries behind them. One answer takes about 200 bytes, shared by the addresses of a network.
    pub addresses: usize,
}

impl Default for Sizes {
    /// 4,096 agents and 65,536 addresses: under 30 MiB a worker when both generations are full.
    fn default() -> Self {
        Self { user_agents: 4096, addresses: 65_536 }
    }
}

/// The enrichers of one worker.
#[derive(Debug)]
pub struct Enrichers {
    agents: user_agent::Agents,
    geo: geo::Geo,
}

impl Enrichers {
    /// `seed` keys the hashers of the caches; any value gives the same answers.
    pub fn new(databases: Arc<Databases>, sizes: Sizes, seed: u64) -> Self {
        Self { agents: user_agent::Agents::new(sizes.user_agents, seed), geo: geo::Geo::new(databases, sizes.addresses, seed) }
    }

    /// Takes other databases, after a reload. Cached places are forgotten, parsed agents are not.
    pub fn set_databases(&mut self, databases: Arc<Databases>) {
        self.geo.set_databases(databases);
    }

    /// How often the cache of parsed agents answered.
    pub fn agent_counts(&self) -> Counts {
        self.agents.counts()
    }

    /// How often the cache of addresses answered, city and network together.
    pub fn address_counts(&self) -> Counts {
        self.geo.counts()
    }

    /// How many entries of a database could not be read; such an address has no place, and the operator should fetch the file again.
    pub fn database_faults(&self) -> u64 {
        self.geo.faults()
    }
}

impl Enrich for Enrichers {
    fn user_agent(&mut self, agent: &[u8], out: &mut Vec<u8>) -> bool {
        self.agents.write(agent, out)
    }

    fn geo_location(&mut self, address: &[u8], out: &mut Vec<u8>) -> bool {
        self.geo.write_location(address, out)
    }

    fn geo_asn(&mut self, address: &[u8], out: &mut Vec<u8>) -> bool {
        self.geo.write_asn(address, out)
    }
}
