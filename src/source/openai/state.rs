//! What is known of one listing: how far it was read, and which events were delivered.
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// One of the two lists of the API. Tenant events are in the second only, and are never in the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Events of the organization and its projects.
    Organization,
    /// Events of the tenant: `tenant_only=true`.
    Tenant,
}

impl Listing {
    /// The word in metrics, logs and state.
    pub fn name(self) -> &'static str {
        match self {
            Listing::Organization => "organization",
            Listing::Tenant => "tenant",
        }
    }

    /// What stands for the topic in headers and dead letters.
    pub fn topic(self) -> &'static str {
        match self {
            Listing::Organization => "openai-organization",
            Listing::Tenant => "openai-tenant",
        }
    }
}

/// The state of one listing; it changes only after everything it tells of is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Everything else but the ids.
    pub head: Head,
    /// Ids of delivered events with their times, as far back as any pass reads.
    pub seen: HashMap<String, i64>,
}

/// The small part of a state. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Form of this state: [`VERSION`].
    pub version: u32,
    /// Which listing.
    pub listing: Listing,
    /// Counts owners: a writer whose epoch is not the newest has been replaced.
    pub epoch: u64,
    /// Nothing before this was asked for: where the first start began.
    pub floor: i64,
    /// All windows up to here were read as a whole and delivered.
    pub reached: i64,
    /// When the last deep pass ended.
    pub deep_at: i64,
    /// When the last of the deepest passes ended.
    pub deepest_at: i64,
    /// Number of the next event to deliver: its offset in headers and dead letters.
    pub next_offset: i64,
    /// Whether the listing was ever read to its end.
    pub has_answered: bool,
    /// Hash of the filters; what was filtered out before a change is not fetched after it.
    #[serde(default)]
    pub filters: String,
}

/// The form of states that this program writes.
pub const VERSION: u32 = 1;
/// Ids are kept in pieces of so many seconds: what changed is written, not everything.
pub const PIECE_SECONDS: i64 = 600;
/// Ids in one piece at most: about 300 kB, well below what a broker takes.
pub const PIECE_IDS: usize = 5_000;

/// Why a state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// It is not what this program writes.
    #[error("expected a state as udmill writes it: {0}")]
    NotState(String),
    /// A newer program wrote it.
    #[error("it has version {0}, this program writes {VERSION}: use the program that wrote it")]
    Newer(u32),
    /// It belongs to the other listing.
    #[error("it is the state of the listing `{0}`")]
    Listing(&'static str),
}

/// A whole state in one text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    head: Head,
    seen: BTreeMap<String, i64>,
}

impl State {
    /// The state before the first window: `floor` is where it begins, `now` the time. Unit of both: seconds.
    pub fn begin(listing: Listing, floor: i64, now: i64) -> State {
        let head = Head {
            version: VERSION,
            listing,
            epoch: 0,
            floor,
            reached: floor,
            // There is nothing deeper yet.
            deep_at: now,
            deepest_at: now,
            next_offset: 0,
            has_answered: false,
            filters: String::new(),
        };
        State { head, seen: HashMap::new() }
    }

    /// Reads a whole state.
    ///
    /// # Errors
    ///
    /// [`StateFault`]. The collector then stops: to begin anew would lose or repeat without a word.
    pub fn read(bytes: &[u8], listing: Listing) -> Result<State, StateFault> {
        let whole: Whole = serde_json::from_slice(bytes).map_err(|error| StateFault::NotState(error.to_string()))?;
        Ok(State { head: whole.head.checked(listing)?, seen: whole.seen.into_iter().collect() })
    }

    /// Writes the whole state.
    pub fn write(&self) -> Vec<u8> {
        let seen = self.seen.iter().map(|(id, at)| (id.clone(), *at)).collect();
        // Numbers and texts always serialise.
        serde_json::to_vec(&Whole { head: self.head.clone(), seen }).unwrap_or_default()
    }

    /// The ids of one piece of time, in numbered texts of bounded size.
    pub fn piece(&self, piece: i64) -> Vec<Vec<u8>> {
        let mut ids: Vec<(i64, &String)> = self.seen.iter().filter(|(_, at)| piece_of(**at) == piece).map(|(id, at)| (*at, id)).collect();
        ids.sort_unstable();
        let write = |ids: &[(i64, &String)]| {
            let map: BTreeMap<&String, i64> = ids.iter().map(|(at, id)| (*id, *at)).collect();
            // As above.
            serde_json::to_vec(&map).unwrap_or_default()
        };
        ids.chunks(PIECE_IDS).map(write).collect()
    }

    /// Takes in ids as [`State::piece`] wrote them.
    ///
    /// # Errors
    ///
    /// [`StateFault::NotState`].
    pub fn add_piece(&mut self, bytes: &[u8]) -> Result<(), StateFault> {
        let ids: HashMap<String, i64> = serde_json::from_slice(bytes).map_err(|error| StateFault::NotState(error.to_string()))?;
        self.seen.extend(ids);
        Ok(())
    }

    /// Forgets ids of pieces that end before `horizon`; answers those pieces.
    pub fn forget_before(&mut self, horizon: i64) -> Vec<i64> {
        let first_kept = piece_of(horizon);
        let mut gone: Vec<i64> = self.seen.values().map(|at| piece_of(*at)).filter(|piece| *piece < first_kept).collect();
        if !gone.is_empty() {
            self.seen.retain(|_, at| piece_of(*at) >= first_kept);
            gone.sort_unstable();
            gone.dedup();
        }
        gone
    }
}

impl Head {
    /// Reads the small part.
    ///
    /// # Errors
    ///
    /// [`StateFault`].
    pub fn read(bytes: &[u8], listing: Listing) -> Result<Head, StateFault> {
        let head: Head = serde_json::from_slice(bytes).map_err(|error| StateFault::NotState(error.to_string()))?;
        head.checked(listing)
    }

    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        // Numbers and texts always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn checked(self, listing: Listing) -> Result<Head, StateFault> {
        if self.version > VERSION {
            return Err(StateFault::Newer(self.version));
        }
        if self.listing != listing {
            return Err(StateFault::Listing(self.listing.name()));
        }
        Ok(self)
    }
}

/// The piece that a time belongs to.
pub fn piece_of(at: i64) -> i64 {
    at.div_euclid(PIECE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was() {
        let mut state = State::begin(Listing::Tenant, 1000, 2000);
        state.seen.extend([("a".to_owned(), 1200), ("b".to_owned(), 5000)]);
        assert_eq!(State::read(&state.write(), Listing::Tenant), Ok(state.clone()));
        assert_eq!(State::read(&state.write(), Listing::Organization), Err(StateFault::Listing("tenant")));
        for broken in ["", "{}", "null", "{\"head\":{}}"] {
            assert!(matches!(State::read(broken.as_bytes(), Listing::Tenant), Err(StateFault::NotState(_))), "case: {broken:?}");
        }
        let newer = String::from_utf8(state.write()).expect("text").replace("\"version\":1", "\"version\":9");
        assert_eq!(State::read(newer.as_bytes(), Listing::Tenant), Err(StateFault::Newer(9)));
    }

    #[test]
    fn pieces_hold_all_ids_and_old_ones_go_whole() {
        let mut state = State::begin(Listing::Organization, 0, 0);
        state.seen.extend((0..12_000).map(|number| (format!("id-{number}"), 599)));
        state.seen.insert("next".to_owned(), 600);
        let texts = state.piece(0);
        assert_eq!((texts.len(), state.piece(1).len(), state.piece(2).len()), (3, 1, 0));
        let mut back = State::begin(Listing::Organization, 0, 0);
        for text in texts.iter().chain(&state.piece(1)) {
            back.add_piece(text).expect("a piece");
        }
        assert_eq!(back.seen, state.seen);
        assert_eq!(state.forget_before(599), Vec::<i64>::new(), "the piece is not over");
        assert_eq!((state.forget_before(600), state.seen.len()), (vec![0], 1));
    }
}
