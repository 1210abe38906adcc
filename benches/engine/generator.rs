//! Seeded input: OpenAI audit events of about 0.9 KB and Azure Activity messages of about 2.9 KB.
//!
//! User agents follow a Zipf law over 500, addresses a power law over 60,000, as traffic does: what caches are worth depends on it.
//! All addresses are from the documentation and benchmarking ranges, all names invented.

use std::fmt::Write as _;

/// xorshift64*: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 up to `end`, small numbers far more often.
    fn skewed(&mut self, end: u64, power: i32) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((unit.powi(power)) * end as f64) as u64
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits);
        while text.len() < digits {
            let _ = write!(text, "{:016x}", self.next());
        }
        text.truncate(digits);
        text
    }

    fn guid(&mut self) -> String {
        let hex = self.hex(32);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    fn address(&mut self) -> String {
        let number = self.skewed(60_000, 3);
        if number % 8 == 7 {
            format!("2001:db8::{:x}:{:x}", number >> 8, number & 0xff)
        } else {
            // 198.18.0.0/15 is reserved for benchmarks; the documentation ranges hold too few addresses.
            format!("198.{}.{}.{}", 18 + number / 65_536, number / 256 % 256, number % 256)
        }
    }

    fn agent(&mut self) -> String {
        let number = self.skewed(500, 4);
        let (major, build) = (100 + number % 50, number * 7 % 6000);
        match number % 4 {
            0 => format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.{build}.0 Safari/537.36"
            ),
            1 => format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{} Safari/605.1.15",
                number % 9
            ),
            2 => format!("Mozilla/5.0 (X11; Linux x86_64; rv:{major}.0) Gecko/20100101 Firefox/{major}.0"),
            _ => format!("OpenAI/Python 1.{}.{} azsdk-python/1.{}", number % 90, build % 10, number % 30),
        }
    }
}

const TYPES: [&str; 12] = [
    "api_key.created",
    "api_key.deleted",
    "login.succeeded",
    "login.failed",
    "logout.succeeded",
    "project.created",
    "project.updated",
    "user.added",
    "invite.sent",
    "service_account.created",
    "rate_limit.updated",
    "organization.updated",
];
const CITIES: [(&str, &str, &str); 5] = [
    ("Amsterdam", "North Holland", "NL"),
    ("Zürich", "Zurich", "CH"),
    ("São Paulo", "São Paulo", "BR"),
    ("Osaka", "Osaka", "JP"),
    ("Columbus", "Ohio", "US"),
];

/// OpenAI audit events, one JSON object a message. Three in ten write text beyond ASCII raw, the rest escape it; one in ten has no session.
pub fn openai(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let kind = TYPES[random.skewed(TYPES.len() as u64, 2) as usize];
            let (city, region, country) = CITIES[random.below(5) as usize];
            let user = random.hex(20);
            let project = random.hex(24);
            let mut text = format!(
                r#"{{"object":"organization.audit_log","id":"audit_log-{}","type":"{kind}","effective_at":{},"project":{{"id":"proj_{project}","name":"Search assistant"}},"#,
                random.hex(24),
                1_760_000_000 + random.below(30_000_000)
            );
            if random.below(10) == 0 {
                let _ = write!(
                    text,
                    r#""actor":{{"type":"api_key","api_key":{{"type":"user","id":"key_{}","user":{{"id":"user-{user}","email":"{user}@example.com"}}}}}},"#,
                    random.hex(16)
                );
            } else {
                let _ = write!(
                    text,
                    r#""actor":{{"type":"session","session":{{"user":{{"id":"user-{user}","email":"{user}@example.com"}},"ip_address":"{}","user_agent":"{}","ja3":"{}","ja4":"t13d1516h2_{}_{}","ip_address_details":{{"country":"{country}","city":"{city}","region":"{region}","region_code":"NH","asn":"1136","latitude":"52.3{}","longitude":"4.9{}"}}}}}},"#,
                    random.address(),
                    random.agent(),
                    random.hex(32),
                    random.hex(12),
                    random.hex(12),
                    random.below(90_000),
                    random.below(90_000),
                );
            }
            let _ = write!(text, r#""{kind}":{{"id":"{}","data":{{"title":"Fraud scoring","role":"member","scopes":["api.model.request"]}}}}}}"#, random.hex(20));
            finish(text, random.below(10) < 3)
        })
        .collect()
}

const OPERATIONS: [(&str, &str, &str); 6] = [
    ("MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE", "MICROSOFT.COMPUTE/VIRTUALMACHINES/VM-WEB-01", "Succeeded.Created"),
    ("MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION", "MICROSOFT.STORAGE/STORAGEACCOUNTS/STEXAMPLE", "Succeeded."),
    ("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/1B2C", "Succeeded.Created"),
    (
        "MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/SECURITYRULES/WRITE",
        "MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/NSG-1/SECURITYRULES/R",
        "Failed.Forbidden",
    ),
    ("MICROSOFT.KEYVAULT/VAULTS/DELETE", "MICROSOFT.KEYVAULT/VAULTS/KV-EXAMPLE", "Succeeded."),
    ("MICROSOFT.WEB/SITES/CONFIG/WRITE", "MICROSOFT.WEB/SITES/APP-EXAMPLE", "Accepted."),
];

/// One Azure Activity record.
fn activity(random: &mut Random) -> String {
    let (operation, resource, signature) = OPERATIONS[random.skewed(6, 1) as usize];
    let subscription = random.guid();
    let (object, name) = (random.guid(), random.hex(8));
    let address = random.address();
    let result = signature.split('.').next().map_or("Success", |word| if word.starts_with("Fail") { "Failure" } else { "Success" });
    format!(
        r#"{{"RoleLocation":"West Europe","Stamp":"am2pr","ReleaseVersion":"6.2026.12.1","time":"2026-03-{:02}T{:02}:{:02}:30.85{:05}Z","resourceId":"/SUBSCRIPTIONS/{subscription}/RESOURCEGROUPS/RG-EXAMPLE/PROVIDERS/{resource}","operationName":"{operation}","category":"Administrative","resultType":"{result}","resultSignature":"{signature}","durationMs":"{}","callerIpAddress":"{address}","correlationId":"{}","identity":{{"authorization":{{"scope":"/subscriptions/{subscription}/resourceGroups/rg-example/providers/{resource}","action":"{operation}","evidence":{{"role":"Contributor","roleAssignmentScope":"/subscriptions/{subscription}","roleAssignmentId":"{}","roleDefinitionId":"b24988ac618042a0ab8820f7382dd24c","principalId":"{}","principalType":"User"}}}},"claims":{{"aud":"https://management.core.windows.net/","iss":"https://sts.windows.net/{}/","iat":"1767225600","nbf":"1767225600","exp":"1767229500","appid":"c44b4083-3bb0-49c1-b47d-974e53cbdf3c","appidacr":"0","http://schemas.microsoft.com/identity/claims/objectidentifier":"{object}","http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn":"{name}@example.com","http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name":"{name}@example.com","http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname":"Ana","http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname":"Example","http://schemas.microsoft.com/identity/claims/tenantid":"{}","http://schemas.microsoft.com/identity/claims/scope":"user_impersonation","ipaddr":"{address}","name":"Ana Example","idtyp":"user","puid":"10032001{}","uti":"{}","ver":"1.0"}}}},"level":"Information","properties":{{"statusCode":"Created","serviceRequestId":"{}","eventCategory":"Administrative","entity":"/subscriptions/{subscription}/resourceGroups/rg-example/providers/{resource}","message":"{operation}","hierarchy":"{}/{subscription}","requestbody":"{{\"location\":\"westeurope\",\"properties\":{{\"publicNetworkAccess\":\"Enabled\"}}}}"}},"tenantId":"{}"}}"#,
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(100_000),
        random.below(5000),
        random.guid(),
        random.hex(32),
        random.hex(32),
        random.guid(),
        random.guid(),
        random.hex(8),
        random.hex(22),
        random.guid(),
        random.guid(),
        random.guid(),
    )
}

/// Azure Activity messages with `records` records each.
pub fn azure(count: usize, records: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let list: Vec<String> = (0..records).map(|_| activity(&mut random)).collect();
            format!("{{\"records\":[{}]}}", list.join(",")).into_bytes()
        })
        .collect()
}

/// Leaves text beyond ASCII as it is, or escapes it.
fn finish(text: String, raw: bool) -> Vec<u8> {
    if raw || text.is_ascii() {
        return text.into_bytes();
    }
    let mut out = String::with_capacity(text.len() + 32);
    for letter in text.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            let mut units = [0u16; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out.into_bytes()
}
