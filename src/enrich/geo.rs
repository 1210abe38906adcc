//! Where a public address lies and which network announces it, from databases in the MaxMind format (GeoLite2, GeoIP2, DB-IP).

use core::net::IpAddr;
use std::sync::Arc;

use maxminddb::{Reader, geoip2};

use super::cache::{Cache, Counts};
use super::json;

/// Why a database was refused at load.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseFault {
    /// The bytes are no MaxMind database, or a damaged one.
    #[error("{purpose} database does not open: {reason}; fetch the file again")]
    Damaged {
        /// `city` or `ASN`.
        purpose: &'static str,
        /// The reader's words.
        reason: String,
    },
    /// A sound database of another sort.
    #[error("{purpose} database is of type `{found}`, which holds no such records; give it the file of the right type")]
    OtherType {
        /// `city` or `ASN`.
        purpose: &'static str,
        /// `metadata.database_type`.
        found: String,
    },
}

/// The databases that all workers share, read into memory whole.
#[derive(Debug, Default)]
pub struct Databases {
    city: Option<Reader<Vec<u8>>>,
    asn: Option<Reader<Vec<u8>>>,
}

impl Databases {
    /// Opens what the shell read. Without a database the enricher has nothing to say.
    ///
    /// # Errors
    ///
    /// Every [`DatabaseFault`] of both.
    pub fn new(city: Option<Vec<u8>>, asn: Option<Vec<u8>>) -> Result<Self, Vec<DatabaseFault>> {
        let mut faults = Vec::new();
        // The types are `GeoLite2-City`, `GeoIP2-Enterprise`, `DBIP-City-Lite`, `DBIP-ASN-Lite (compat=GeoLite2-ASN)` and the like; what names
        // the other sort and not this one is the wrong file, and everything else is left to its records.
        let mut open = |bytes: Option<Vec<u8>>, purpose: &'static str, this: &[&str], other: &[&str]| {
            let reader = match Reader::from_source(bytes?) {
                Ok(reader) => reader,
                Err(error) => {
                    faults.push(DatabaseFault::Damaged { purpose, reason: error.to_string() });
                    return None;
                }
            };
            let found = &reader.metadata().database_type;
            let names = |words: &[&str]| words.iter().any(|word| found.contains(word));
            if names(other) && !names(this) {
                faults.push(DatabaseFault::OtherType { purpose, found: found.clone() });
                return None;
            }
            Some(reader)
        };
        let (places, networks) = (["City", "Country", "Enterprise", "Location"], ["ASN", "ISP"]);
        let databases = Self { city: open(city, "city", &places, &networks), asn: open(asn, "ASN", &networks, &places) };
        if faults.is_empty() { Ok(databases) } else { Err(faults) }
    }

    /// Type and build time, in seconds since 1970, of the loaded databases: city, then ASN.
    pub fn loaded(&self) -> impl Iterator<Item = (&str, u64)> {
        let all = [&self.city, &self.asn].into_iter().flatten();
        all.map(|reader| (reader.metadata().database_type.as_str(), reader.metadata().build_epoch))
    }
}

/// Places of one worker.
#[derive(Debug)]
pub struct Geo {
    databases: Arc<Databases>,
    locations: Answers,
    networks: Answers,
    faults: u64,
}

/// A database entry.
type Found<'d> = maxminddb::LookupResult<'d, Vec<u8>>;
/// Writes the answer that an entry gives; nothing when it has none.
type Describe<'d> = fn(&Found<'d>, &mut Vec<u8>) -> Result<(), maxminddb::MaxMindDbError>;

/// Answers by address, and by the database entry behind it: many addresses lie in one network and share its text.
#[derive(Debug)]
struct Answers {
    by_address: Cache<IpAddr>,
    by_offset: Cache<usize>,
}

impl Answers {
    fn new(capacity: usize, seed: u64) -> Self {
        Self { by_address: Cache::new(capacity, seed), by_offset: Cache::new(capacity, seed) }
    }

    fn clear(&mut self) {
        self.by_address.clear();
        self.by_offset.clear();
    }

    /// The answer for an address; `describe` writes that of a new entry and says whether the entry could be read.
    fn get<'d>(&mut self, address: IpAddr, reader: &'d Reader<Vec<u8>>, faults: &mut u64, describe: Describe<'d>) -> Arc<[u8]> {
        if let Some(answer) = self.by_address.get(&address) {
            return answer;
        }
        let answer = match reader.lookup(address) {
            Ok(found) => match found.offset() {
                None => Arc::from([]),
                Some(offset) => self.by_offset.get(&offset).unwrap_or_else(|| {
                    let mut text = Vec::new();
                    if describe(&found, &mut text).is_err() {
                        *faults += 1;
                        text.clear();
                    }
                    let answer: Arc<[u8]> = Arc::from(text);
                    self.by_offset.insert(offset, answer.clone());
                    answer
                }),
            },
            // An IPv6 address in a database of IPv4 is no fault of the file.
            Err(maxminddb::MaxMindDbError::InvalidInput { .. }) => Arc::from([]),
            Err(_) => {
                *faults += 1;
                Arc::from([])
            }
        };
        self.by_address.insert(address, answer.clone());
        answer
    }
}

impl Geo {
    /// `capacity` addresses a generation of each cache.
    pub fn new(databases: Arc<Databases>, capacity: usize, seed: u64) -> Self {
        Self { databases, locations: Answers::new(capacity, seed), networks: Answers::new(capacity, seed), faults: 0 }
    }

    /// Takes other databases and forgets every answer.
    pub fn set_databases(&mut self, databases: Arc<Databases>) {
        self.databases = databases;
        self.locations.clear();
        self.networks.clear();
    }

    /// Appends `{"city","state","countryOrRegion","regionCoordinates"}`, each where the database knows it; false and nothing when it knows none.
    ///
    /// The country is its English name, as Google's own enrichment writes it into the same field; the ISO code stands in where a database has
    /// no names.
    pub fn write_location(&mut self, address: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(reader) = &self.databases.city else { return false };
        let Some(address) = public(address) else { return false };
        let answer = self.locations.get(address, reader, &mut self.faults, location);
        out.extend_from_slice(&answer);
        !answer.is_empty()
    }

    /// Appends the number of the autonomous system as digits; false and nothing when the database has none.
    pub fn write_asn(&mut self, address: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(reader) = &self.databases.asn else { return false };
        let Some(address) = public(address) else { return false };
        let answer = self.networks.get(address, reader, &mut self.faults, asn);
        out.extend_from_slice(&answer);
        !answer.is_empty()
    }

    /// Hits and misses of the caches by address.
    pub fn counts(&self) -> Counts {
        let (a, b) = (self.locations.by_address.counts(), self.networks.by_address.counts());
        Counts { hits: a.hits + b.hits, misses: a.misses + b.misses }
    }

    /// Entries that could not be read.
    pub fn faults(&self) -> u64 {
        self.faults
    }
}

fn location(found: &Found<'_>, out: &mut Vec<u8>) -> Result<(), maxminddb::MaxMindDbError> {
    let Some(city) = found.decode::<geoip2::City<'_>>()? else { return Ok(()) };
    out.push(b'{');
    let texts = [
        ("city", city.city.names.english),
        ("state", city.subdivisions.first().and_then(|state| state.names.english.or(state.iso_code))),
        ("countryOrRegion", city.country.names.english.or(city.country.iso_code)),
    ];
    for (name, value) in texts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            json::text(name, value, out);
        }
    }
    let pair = city.location.latitude.zip(city.location.longitude);
    if let Some((latitude, longitude)) = pair.filter(|(latitude, longitude)| latitude.abs() <= 90.0 && longitude.abs() <= 180.0) {
        json::begin("regionCoordinates", out);
        out.push(b'{');
        json::number("latitude", latitude, out);
        json::number("longitude", longitude, out);
        out.push(b'}');
    }
    if out.len() == 1 {
        out.clear();
    } else {
        out.push(b'}');
    }
    Ok(())
}

fn asn(found: &Found<'_>, out: &mut Vec<u8>) -> Result<(), maxminddb::MaxMindDbError> {
    // Autonomous system 0 announces nothing (RFC 7607); databases use it for holes.
    let number = found.decode::<geoip2::Asn<'_>>()?.and_then(|asn| asn.autonomous_system_number).filter(|number| *number != 0);
    if let Some(number) = number {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    Ok(())
}

/// The address of a text, when it can lie anywhere: not private, not local, not multicast, not reserved. The documentation ranges pass,
/// because no database holds them except a test's.
fn public(text: &[u8]) -> Option<IpAddr> {
    let address = std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok()?.to_canonical();
    let local = match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            a == 0
                || a >= 224
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                // Shared by carriers (RFC 6598), and for benchmarks (RFC 2544).
                || (a == 100 && b & 0xc0 == 64)
                || (a == 198 && b & 0xfe == 18)
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    };
    (!local).then_some(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by `tests/suite/mmdb`; see `tests/data/SOURCES.md` for what stands in them.
    const CITY: &[u8] = include_bytes!("../../tests/data/city.mmdb");
    const ASN: &[u8] = include_bytes!("../../tests/data/asn.mmdb");

    fn databases() -> Arc<Databases> {
        Arc::new(Databases::new(Some(CITY.to_vec()), Some(ASN.to_vec())).unwrap())
    }

    fn geo(capacity: usize) -> Geo {
        Geo::new(databases(), capacity, 7)
    }

    fn answers(geo: &mut Geo, address: &str) -> (String, String) {
        let (mut location, mut asn) = (b"before".to_vec(), b"before".to_vec());
        assert_eq!(geo.write_location(address.as_bytes(), &mut location), location.len() > 6, "{address}");
        assert_eq!(geo.write_asn(address.as_bytes(), &mut asn), asn.len() > 6, "{address}");
        (String::from_utf8(location.split_off(6)).unwrap(), String::from_utf8(asn.split_off(6)).unwrap())
    }

    #[test]
    fn places_and_networks() {
        let mut geo = geo(16);
        let amsterdam = r#"{"city":"Amsterdam","state":"North Holland","countryOrRegion":"The Netherlands","regionCoordinates":{"latitude":52.3676,"longitude":4.9041}}"#;
        for (name, address, location, asn) in [
            ("first of the network", "192.0.2.0", amsterdam, "64496"),
            ("last of the network", "192.0.2.255", amsterdam, "64496"),
            ("just outside", "192.0.3.0", "", ""),
            ("mapped", "::ffff:192.0.2.9", amsterdam, "64496"),
            ("only a country code", "198.51.100.1", r#"{"countryOrRegion":"JP"}"#, "4200000000"),
            ("quotes in a name", "203.0.113.1", r#"{"city":"Place \"Q\"","regionCoordinates":{"latitude":-33.5,"longitude":0.0}}"#, ""),
            ("IPv6", "2001:db8::5", amsterdam, "64497"),
            ("half a coordinate and system 0", "2001:db8:1::1", r#"{"countryOrRegion":"Brazil"}"#, ""),
            ("private", "10.0.0.1", "", ""),
            ("no address", "localhost", "", ""),
            ("empty", "", "", ""),
        ] {
            let expected = (location.to_owned(), asn.to_owned());
            assert_eq!(answers(&mut geo, address), expected, "cold, case: {name}");
            assert_eq!(answers(&mut geo, address), expected, "warm, case: {name}");
        }
        assert_eq!(geo.faults(), 0);
    }

    #[test]
    fn what_lies_nowhere_is_not_looked_up() {
        for (address, expected) in [
            ("9.255.255.255", true),
            ("10.0.0.0", false),
            ("100.63.255.255", true),
            ("100.64.0.0", false),
            ("100.127.255.255", false),
            ("100.128.0.0", true),
            ("169.254.0.1", false),
            ("172.15.255.255", true),
            ("172.16.0.0", false),
            ("192.168.0.1", false),
            ("198.17.255.255", true),
            ("198.19.0.0", false),
            ("223.255.255.255", true),
            ("224.0.0.0", false),
            ("0.0.0.1", false),
            ("127.0.0.1", false),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("::ffff:10.0.0.1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(public(address.as_bytes()).is_some(), expected, "{address}");
        }
    }

    #[test]
    fn counters_tell_hits_from_misses() {
        let mut geo = geo(16);
        for address in ["192.0.2.1", "192.0.2.1", "10.0.0.1"] {
            geo.write_location(address.as_bytes(), &mut Vec::new());
        }
        assert_eq!(geo.counts(), Counts { hits: 1, misses: 1 });
        // Another address of the network finds the text of its entry.
        geo.write_location(b"192.0.2.2", &mut Vec::new());
        assert_eq!(geo.locations.by_offset.counts(), Counts { hits: 1, misses: 1 });
    }

    #[test]
    fn new_databases_forget_the_old_places() {
        let mut geo = geo(16);
        assert!(!answers(&mut geo, "192.0.2.1").0.is_empty());
        geo.set_databases(Arc::new(Databases::default()));
        assert_eq!(answers(&mut geo, "192.0.2.1"), (String::new(), String::new()));
    }

    #[test]
    fn wrong_files_are_refused_at_load() {
        let faults = |city: &[u8], asn: &[u8]| {
            let faults = Databases::new(Some(city.to_vec()), Some(asn.to_vec())).err().unwrap_or_default();
            faults.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let swapped = faults(ASN, CITY);
        assert_eq!(swapped.len(), 2, "{swapped:?}");
        assert!(swapped[0].contains("city database is of type `GeoLite2-ASN`"), "{swapped:?}");
        let damaged = faults(&CITY[..CITY.len() / 2], b"");
        assert!(damaged.len() == 2 && damaged[1].contains("ASN database does not open"), "{damaged:?}");
        assert_eq!(databases().loaded().map(|(kind, _)| kind).collect::<Vec<_>>(), ["GeoLite2-City", "GeoLite2-ASN"]);
    }

    #[test]
    fn a_damaged_entry_is_counted_and_gives_nothing() {
        let mut bytes = CITY.to_vec();
        // The first control byte of the data, behind the tree and sixteen zeros, becomes a size that runs out of the file.
        let data = Reader::from_source(CITY).unwrap().metadata().node_count as usize * 6 + 16;
        bytes[data] = 0xff;
        let mut geo = Geo::new(Arc::new(Databases::new(Some(bytes), None).unwrap()), 16, 7);
        assert_eq!(answers(&mut geo, "192.0.2.1"), (String::new(), String::new()));
        assert_eq!(geo.faults(), 1);
    }

    proptest! {
        #[test]
        fn caches_change_no_byte(picks in proptest::collection::vec((0usize..8, any::<u8>()), 1..60)) {
            let networks = ["192.0.2.", "198.51.100.", "203.0.113.", "192.0.3.", "10.0.0.", "2001:db8::", "2001:db8:1::", "2001:db9::"];
            let (mut warm, mut small) = (geo(64), geo(1));
            for (network, host) in picks {
                let address = format!("{}{host}", networks[network]);
                let cold = answers(&mut geo(64), &address);
                prop_assert_eq!(&answers(&mut warm, &address), &cold);
                prop_assert_eq!(&answers(&mut small, &address), &cold);
            }
        }
    }
}
