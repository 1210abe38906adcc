//! Events of the OpenAI organization's audit log, which somebody has to ask for.
//!
//! [`collector`] decides what to ask and what is new; it is a machine without clock and network. Around it: [`Client`] asks, a [`Book`] keeps
//! how far the log was read, and the keeper takes the events as it takes messages of any source: each listing is a partition, and events are
//! numbered. A batch is handed over, waited for until all that came of it is acknowledged, and only then written down.
mod book;
mod client;
pub mod collector;
mod once;
pub mod page;
pub mod state;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

pub use self::book::{Book, BookFault, FileBook};
pub use self::client::Client;
use self::collector::{Collector, Note, Rules, Step};
pub use self::once::look;
use self::state::{Listing, State};
use super::kafka::{Keeper, SourceMessage};
use super::{Source, now_ms};
use crate::config::{OpenAiSource as Settings, TenantListing};

/// How often room, drain and waits are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often gauges are brought up to date.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(500);
/// How often a refused key is looked for a new one.
const KEY_INTERVAL: Duration = Duration::from_secs(10);

/// Event types that this program knows. A new one is delivered like any other, and counted.
/// Source: OpenAI API specification of August 2026, `AuditLogEventType`.
static TYPES: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("types.txt").lines().collect());

/// Whether an event type was known when this program was made.
pub fn is_known_type(kind: &str) -> bool {
    TYPES.contains(kind)
}

/// Who is told what the collector does. All calls come from its thread and must not block.
pub trait Watch: Send + Sync + 'static {
    /// Something happened.
    fn note(&self, listing: Listing, note: &Note);
    /// Passes in a row that failed; 0 after one that did not.
    fn failing(&self, listing: Listing, passes: u32);
    /// Seconds since the time up to which everything was read and delivered.
    fn age(&self, listing: Listing, seconds: f64);
}

/// Collects the audit log.
pub struct OpenAiSource {
    settings: Settings,
    keeper: Arc<dyn Keeper>,
    book: Arc<dyn Book>,
    watch: Arc<dyn Watch>,
    client: Client,
}

/// The rules that the settings say.
pub fn rules(settings: &Settings) -> Rules {
    Rules {
        poll: i64::from(settings.poll_seconds),
        overlap: i64::from(settings.overlap_seconds),
        deep: (i64::from(settings.deep_seconds), i64::from(settings.deep_every_seconds)),
        deepest: (i64::from(settings.deepest_seconds), i64::from(settings.deepest_every_seconds)),
        page_events: settings.page_events,
        window_max_bytes: settings.window_max_bytes,
        ..Rules::default()
    }
}

/// The listings that the settings want.
pub fn listings(settings: &Settings) -> Vec<Listing> {
    match settings.tenant {
        TenantListing::Auto => vec![Listing::Organization, Listing::Tenant],
        TenantListing::Off => vec![Listing::Organization],
    }
}

impl OpenAiSource {
    /// Reads the key. Asking happens in [`Source::run`].
    ///
    /// # Errors
    ///
    /// The key could not be read.
    pub fn new(settings: &Settings, keeper: Arc<dyn Keeper>, book: Arc<dyn Book>, watch: Arc<dyn Watch>) -> Result<OpenAiSource, String> {
        let client = Client::new(settings)?;
        Ok(OpenAiSource { settings: settings.clone(), keeper, book, watch, client })
    }

    async fn collect(&self) -> Result<(), String> {
        let mut collectors = self.open()?;
        let mut turn = Turn { observed: Instant::now(), settled: vec![0; collectors.len()], key_read: Instant::now() };
        loop {
            if self.keeper.is_draining() {
                break;
            }
            let mut is_idle = true;
            for (index, collector) in collectors.iter_mut().enumerate() {
                let listing = collector.state().head.listing;
                match collector.next(now_ms()) {
                    Step::Ask(query) => {
                        is_idle = false;
                        let reply = tokio::select! {
                            reply = self.client.ask(&query) => Some(reply),
                            () = self.drains(&mut turn) => None,
                        };
                        let Some(reply) = reply else { break };
                        collector.on(now_ms(), reply);
                        self.tell(listing, collector);
                    }
                    Step::Deliver => {
                        is_idle = false;
                        if !self.deliver(index, collector, &mut turn).await? {
                            return Ok(());
                        }
                        self.tell(listing, collector);
                    }
                    Step::Wait(_) => {}
                }
            }
            if self.settings.once && self.is_over(&collectors)? {
                break;
            }
            self.observe(&mut turn, &mut collectors);
            if is_idle {
                tokio::time::sleep(TICK).await;
            }
        }
        while !self.keeper.is_drained() && self.keeper.is_draining() {
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    fn open(&self) -> Result<Vec<Collector>, String> {
        let listings = listings(&self.settings);
        let now = now_ms() / 1000;
        let begin = now - i64::from(self.settings.since_seconds.unwrap_or(self.settings.look_back_seconds));
        let filters = self.client.filters_hash();
        let first = |listing| {
            tracing::info!(listing = Listing::name(listing), from = begin, "the audit log is read for the first time");
            let mut state = State::begin(listing, begin, now);
            state.head.filters.clone_from(&filters);
            state
        };
        let states = self.book.open(&listings, &first)?;
        let seed = RandomState::new().hash_one(now);
        let mut partitions = Vec::new();
        let mut collectors = Vec::new();
        for mut state in states {
            let listing = state.head.listing;
            if state.head.filters != filters {
                tracing::warn!(
                    listing = listing.name(),
                    "the filters changed: events that the old ones left out are fetched only as far back as the passes look, or with `udmill collect --since`"
                );
                state.head.filters.clone_from(&filters);
            }
            tracing::info!(listing = listing.name(), reached = state.head.reached, known_ids = state.seen.len(), "collecting");
            partitions.push((listing.topic().to_owned(), 0));
            let mut collector = Collector::new(rules(&self.settings), state, seed);
            if self.settings.since_seconds.is_some() {
                collector.look_back_to(begin);
            }
            collectors.push(collector);
        }
        self.keeper.assigned(&partitions);
        Ok(collectors)
    }

    /// Returns when a stop is wanted.
    async fn drains(&self, turn: &mut Turn) {
        while !self.keeper.is_draining() {
            tokio::time::sleep(TICK).await;
            if turn.observed.elapsed() >= OBSERVE_INTERVAL {
                turn.observed = Instant::now();
                self.keeper.observe();
            }
        }
    }

    /// With `once`: whether every listing was read, or cannot be.
    fn is_over(&self, collectors: &[Collector]) -> Result<bool, String> {
        for collector in collectors {
            let listing = collector.state().head.listing.name();
            if collector.is_refused() {
                return Err(format!("source.openai: the API refuses {} for the listing `{listing}`", self.settings.identity()));
            }
            if collector.failed_passes() >= 3 {
                return Err(format!("source.openai: the listing `{listing}` could not be read; what was delivered is written down"));
            }
        }
        Ok(collectors.iter().all(|collector| collector.passes() > 0 || collector.is_absent()))
    }

    fn observe(&self, turn: &mut Turn, collectors: &mut [Collector]) {
        if turn.observed.elapsed() >= OBSERVE_INTERVAL {
            turn.observed = Instant::now();
            self.keeper.observe();
            for collector in collectors.iter().filter(|collector| !collector.is_absent()) {
                let head = &collector.state().head;
                self.watch.age(head.listing, (now_ms() - head.reached * 1000) as f64 / 1000.0);
            }
        }
        if turn.key_read.elapsed() >= KEY_INTERVAL && collectors.iter().any(Collector::is_refused) {
            turn.key_read = Instant::now();
            if self.client.reread_key() {
                tracing::info!("there is another key: it is tried");
                collectors.iter_mut().filter(|collector| collector.is_refused()).for_each(Collector::try_now);
            }
        }
    }

    /// Passes notes on and says what a person should hear.
    fn tell(&self, listing: Listing, collector: &mut Collector) {
        for note in collector.take_notes() {
            let listing_name = listing.name();
            match &note {
                Note::Unreadable(body) => self.book.keep_unreadable(listing, body),
                Note::CursorFault => tracing::warn!(listing = listing_name, "the pages do not lead on; the window is read by time"),
                Note::Failed(what) => tracing::warn!(listing = listing_name, what, "a window was not read; it is read again"),
                Note::Refused(what) => {
                    tracing::error!(listing = listing_name, what, "the API refuses the key; nothing is lost while the API keeps its events")
                }
                Note::Absent(status) => {
                    tracing::info!(listing = listing_name, status, "this organization does not have this listing; asked again every hour")
                }
                Note::Limited(what) => tracing::error!(listing = listing_name, what, "the API limits the collector"),
                Note::Kind(Some(kind)) if !is_known_type(kind) => {
                    let kind: String = kind.chars().filter(|c| !c.is_control()).take(80).collect();
                    tracing::debug!(listing = listing_name, kind, "an event type that is new to this program");
                }
                _ => {}
            }
            self.watch.note(listing, &note);
        }
        self.watch.failing(listing, collector.failed_passes());
    }

    /// Hands a batch over and waits until all of it is acknowledged and written down. `false`: a stop came before.
    async fn deliver(&self, index: usize, collector: &mut Collector, turn: &mut Turn) -> Result<bool, String> {
        loop {
            match self.deliver_once(index, collector, turn).await {
                Ok(Some(())) => {
                    collector.delivered(now_ms());
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(BookFault::Again(why)) => {
                    tracing::warn!(why, "the batch is delivered again");
                    turn.settled[index] = 0;
                    if self.keeper.is_draining() {
                        return Ok(false);
                    }
                }
                Err(BookFault::Fatal(what)) => return Err(format!("source.openai: {what}")),
            }
        }
    }

    async fn deliver_once(&self, index: usize, collector: &Collector, turn: &mut Turn) -> Result<Option<()>, BookFault> {
        let Some(batch) = collector.batch() else { return Ok(Some(())) };
        let head = &collector.state().head;
        let topic = head.listing.topic();
        self.book.begin()?;
        for (offset, event) in (head.next_offset..).zip(&batch.events) {
            let mut is_paused = false;
            while self.keeper.is_full() || (is_paused && !self.keeper.has_room()) {
                if !std::mem::replace(&mut is_paused, true) {
                    self.keeper.paused(true);
                }
                if self.keeper.is_draining() && self.keeper.is_drained() {
                    return Ok(None);
                }
                self.book.check()?;
                self.keeper.observe();
                tokio::time::sleep(TICK).await;
            }
            if is_paused {
                self.keeper.paused(false);
            }
            let headers = Vec::new();
            self.keeper.message(&SourceMessage {
                topic,
                partition: 0,
                offset,
                received_ms: Some(now_ms()),
                body: &event.bytes,
                headers,
                place: None,
            });
        }
        let wanted = head.next_offset + batch.events.len() as i64;
        while !batch.events.is_empty() && turn.settled[index] < wanted {
            for position in self.keeper.positions() {
                if *position.topic == *topic {
                    turn.settled[index] = position.offset;
                }
            }
            if turn.settled[index] >= wanted {
                break;
            }
            if self.keeper.is_draining() && self.keeper.is_drained() {
                // Given up: whoever starts next finds the state as it was.
                return Ok(None);
            }
            self.book.check()?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if let Some((state, pieces)) = collector.state_after(now_ms()) {
            self.book.commit(&state, &pieces)?;
        }
        self.keeper.committed(Ok(()));
        Ok(Some(()))
    }
}

/// What the loop keeps between turns.
struct Turn {
    observed: Instant,
    /// By listing: everything below this offset is acknowledged.
    settled: Vec<i64>,
    key_read: Instant,
}

impl Source for OpenAiSource {
    fn run(&self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("source.openai: threads were not started: {error}"))?;
        let ended = runtime.block_on(self.collect());
        // A connection that hangs is left to the end of the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }
}
