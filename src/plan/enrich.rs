//! [`Enrich`]: what a plan asks of the enrichers; `enrich` implements it, so this room names no database and no agent parser.

/// Finished values from outside the record, behind caches of their own. A cache may change speed, never bytes.
pub trait Enrich {
    /// Appends the `parsedUserAgent` object of an agent text to `out`. False, and nothing appended, when there is nothing to say.
    fn user_agent(&mut self, agent: &[u8], out: &mut Vec<u8>) -> bool;

    /// Appends the `location` object of an address, as text without a port, to `out`. False, and nothing appended, when no
    /// database is loaded, the address is not public or not in it.
    fn geo_location(&mut self, address: &[u8], out: &mut Vec<u8>) -> bool;

    /// Appends the number of the autonomous system of an address, as plain text, to `out`. False, and nothing appended, likewise.
    fn geo_asn(&mut self, address: &[u8], out: &mut Vec<u8>) -> bool;
}
