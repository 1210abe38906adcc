//! What a field's value must look like beyond its type, and which fields only the platform fills.

/// What a field's value must look like.
///
/// Source: usage guide of UDM and `data/event-types.json`, `all_events.constraints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Constraint {
    /// An IPv4 or IPv6 address without port, brackets or zone.
    Ip,
    /// 1 to 65535, both included.
    Port,
    /// Six lower-case hexadecimal pairs joined by colons.
    Mac,
    /// An absolute URL: a scheme, `://` and something behind it.
    Url,
    /// `vendor:id`.
    AssetId,
    /// Lower-case hexadecimal digits, this many.
    Hash(usize),
}

/// What a field must look like; `None` when its type says all.
pub fn constraint(message: &str, field: &str) -> Option<Constraint> {
    Some(match (message, field) {
        ("Noun" | "Asset", "ip" | "nat_ip") | ("Artifact", "ip") => Constraint::Ip,
        ("Noun", "port" | "nat_port") => Constraint::Port,
        ("Noun" | "Asset", "mac") => Constraint::Mac,
        ("Noun", "url") | ("Metadata" | "SecurityResult", "url_back_to_product") | ("Http", "referral_url") => Constraint::Url,
        ("Noun" | "Asset", "asset_id") => Constraint::AssetId,
        ("File" | "Certificate", "md5") => Constraint::Hash(32),
        ("File" | "Certificate", "sha1") => Constraint::Hash(40),
        ("File" | "Certificate", "sha256") => Constraint::Hash(64),
        _ => return None,
    })
}

/// Whether `text` meets the constraint. Numbers are given as their decimal text.
pub fn is_constraint_met(constraint: Constraint, text: &str) -> bool {
    match constraint {
        // `std::net` is closed to this room; the two parsers below are all it would be needed for.
        Constraint::Ip => is_ipv4(text) || is_ipv6(text),
        Constraint::Port => text.parse::<u16>().is_ok_and(|port| port > 0),
        Constraint::Mac => {
            text.len() == 17 && text.split(':').count() == 6 && text.split(':').all(|pair| pair.len() == 2 && is_lower_hex(pair))
        }
        Constraint::Url => text.split_once("://").is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty()),
        Constraint::AssetId => text.contains(':'),
        Constraint::Hash(digits) => text.len() == digits && is_lower_hex(text),
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_ipv4(text: &str) -> bool {
    let is_octet = |part: &str| {
        let digits = !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && (part.len() == 1 || !part.starts_with('0')) && part.parse::<u8>().is_ok()
    };
    text.split('.').count() == 4 && text.split('.').all(is_octet)
}

/// RFC 4291 section 2.2, all three forms.
fn is_ipv6(text: &str) -> bool {
    let count = |part: &str, ipv4_may_end: bool| -> Option<usize> {
        if part.is_empty() {
            return Some(0);
        }
        let last = part.split(':').count() - 1;
        part.split(':').enumerate().try_fold(0, |groups, (at, group)| {
            if (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                Some(groups + 1)
            } else {
                (at == last && ipv4_may_end && is_ipv4(group)).then_some(groups + 2)
            }
        })
    };
    match text.split_once("::") {
        Some((head, tail)) => !tail.contains("::") && matches!((count(head, false), count(tail, true)), (Some(a), Some(b)) if a + b <= 7),
        None => count(text, true) == Some(8),
    }
}

/// Longest text in bytes that the usage guide allows for a field.
///
/// Source: `data/event-types.json`, `max_bytes`. Whether the service cuts, refuses or ignores longer text is not documented.
pub fn max_bytes(message: &str, field: &str) -> Option<usize> {
    Some(match (message, field) {
        ("Metadata", "description") => 1024,
        ("Metadata", "product_event_type") => 64,
        ("Metadata", "product_log_id" | "product_name" | "vendor_name") => 256,
        ("Metadata", "product_version") => 32,
        (_, "administrative_domain") => 128,
        (_, "platform_version" | "platform_patch_level") => 64,
        (_, "asset_id") => 161,
        _ => return None,
    })
}

/// Why a mapping may not fill a field; `None` when it may.
pub fn platform_only(message: &str, field: &str) -> Option<&'static str> {
    Some(match (message, field) {
        ("Metadata", "id") => "the platform assigns it; the source's own id belongs to `metadata.product_log_id`",
        ("Metadata", "ingested_timestamp") => "the platform sets it on receipt",
        ("Metadata", "log_type") => "the platform sets it; the log type of a mapping is `additional.log_type`",
        ("Metadata", "tags" | "enrichment_state" | "enrichment_labels" | "base_labels" | "parser_version") => "the platform fills it",
        ("Metadata", "ingestion_labels") => "feeds and forwarders set it",
        ("Metadata", "structured_fields") => "deprecated and filled by the platform",
        ("UDM", "extracted" | "grouped") => "the platform fills it",
        ("Noun", "user_management_chain" | "process_ancestors") => "it exists in exports only",
        ("Noun", "ip_geo_artifact") => "the platform's own geo enrichment fills it; use `location`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_other_forms() {
        use Constraint::*;
        for (constraint, text, expected) in [
            (Ip, "192.0.2.1", true),
            (Ip, "192.0.2.256", false),
            (Ip, "192.0.2", false),
            (Ip, "192.0.2.01", false),
            (Ip, "192.0.2.1:443", false),
            (Ip, "2001:db8::1", true),
            (Ip, "::", true),
            (Ip, "::ffff:192.0.2.1", true),
            (Ip, "2001:db8:1:2:3:4:5:6", true),
            (Ip, "2001:db8:1:2:3:4:5:6:7", false),
            (Ip, "2001:db8:1:2:3:4:5::", true),
            (Ip, "1:2:3:4:5:6:7:8::", false),
            (Ip, "2001::db8::1", false),
            (Ip, "[2001:db8::1]", false),
            (Ip, "fe80::1%eth0", false),
            (Ip, ":1", false),
            (Ip, "", false),
            (Port, "1", true),
            (Port, "65535", true),
            (Port, "65536", false),
            (Port, "0", false),
            (Mac, "00:0d:3a:f8:80:1a", true),
            (Mac, "00:0D:3A:F8:80:1A", false),
            (Mac, "000d3af8801a", false),
            (Url, "https://example.com/a", true),
            (Url, "example.com/a", false),
            (Url, "https://", false),
            (AssetId, "AZURE:1", true),
            (AssetId, "1", false),
            (Hash(32), "a497151ce4338a12c4418c44d375173e", true),
            (Hash(32), "A497151CE4338A12C4418C44D375173E", false),
        ] {
            assert_eq!(is_constraint_met(constraint, text), expected, "{constraint:?} {text}");
        }
    }
}
