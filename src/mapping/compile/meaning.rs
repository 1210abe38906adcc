//! Text fields whose text has a form or a meaning of its own, and the converters whose answers have another.
//!
//! A converter that gives text fits every text field by its type. What it makes may still be something else than the field holds: a domain is
//! no mail address, a hash no domain. Text as the record has it, or as a converter without such a meaning (`trim`, `regex`) leaves it, is
//! taken at its author's word.

use super::Compiler;
use crate::mapping::table::{Call, Root, Row, Source};

/// Converters whose answer is one thing and no other.
const DISTINCT: [&str; 10] = ["email", "domain", "host_of_url", "ja3", "ja4", "sha256", "blake3", "community_id", "masked_ip_cidr", "mac"];

/// Fields by their last name, what they hold, and those of [`DISTINCT`] that give it.
const FORMS: [(&str, &str, &[&str]); 8] = [
    ("email_addresses", "a mail address", &["email"]),
    ("hostname", "the name of a machine", &["host_of_url", "domain"]),
    ("administrative_domain", "a domain", &["domain", "host_of_url"]),
    ("dns_domain", "a domain", &["domain", "host_of_url"]),
    ("ja3", "a JA3 fingerprint", &["ja3"]),
    ("ja4", "a JA4 fingerprint", &["ja4"]),
    ("community_id", "a community id", &["community_id"]),
    ("ip_subnet_range", "a network", &["masked_ip_cidr"]),
];

/// Fields that are compared across logs and therefore written in small letters.
const SMALL: [&str; 2] = ["userid", "product_object_id"];

impl Compiler<'_> {
    /// What is wrong with the meaning of what a row writes to the field called `field`, the last name of its path.
    pub(super) fn odd_meaning(&self, row: &Row, field: &str) -> Option<String> {
        let converter = self.last_converter(&row.source, &row.chain)?;
        if SMALL.contains(&field) && converter == "upper" {
            return Some(format!("`{field}` is written in small letters, as every log has it, but the row ends in `upper`"));
        }
        let (_, holds, given_by) = FORMS.iter().find(|(name, ..)| *name == field)?;
        let is_other = DISTINCT.contains(&converter) && !given_by.contains(&converter);
        is_other.then(|| format!("`{field}` holds {holds}, which `{converter}` does not give"))
    }

    /// The converter whose answer a row writes: its own last one, or that of the one named value it reads.
    fn last_converter<'b>(&'b self, source: &'b Source, chain: &'b [Call]) -> Option<&'b str> {
        if let Some(call) = chain.last() {
            return Some(&call.name);
        }
        let Source::From(paths) = source else { return None };
        let [path] = paths.as_slice() else { return None };
        let Root::Value(at) = path.root else { return None };
        let value = self.table.values.get(at)?;
        // A value stands behind those it reads, so this comes to an end.
        self.last_converter(&value.source, &value.chain)
    }
}
