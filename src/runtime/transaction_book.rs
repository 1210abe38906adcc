//! The collector's state in a compacted topic, in the transaction of the events it tells of.
//!
//! Opening gets the transactional id first: that ends what an earlier process left open and fences it, and only then is the topic read, so
//! what is read is what was committed, and nobody else can commit after it. One batch is one transaction. After an abort the same batch is
//! delivered again, with the same numbers. When the broker fences this process, or the outcome of a commit is not known, the process ends:
//! the next start finds in the topic what was committed.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::delivery::{Owed, What};
use super::gate::Gate;
use super::intake::Intake;
use super::stop::Phase;
use super::ticket::{Partition, Taken, Ticket};
use super::worker::Shared;
use crate::config::{Connection, TokenCache};
use crate::sink::kafka::{OutMessage, SendFault, TransactionFault as Fault};
use crate::source::kafka::latest_values;
use crate::source::openai::state::{Head, Listing, State};
use crate::source::openai::{Book, BookFault};
use crate::telemetry::Component;

/// One call to the broker; it is made again when that passed.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the broker may be away at the start.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often what is awaited is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// The first wait after an abort; it doubles with every abort in a row, up to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// See the module's page.
pub struct TransactionBook {
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    connection: Connection,
    tokens: Option<Arc<TokenCache>>,
    topic: String,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    /// How many numbered texts each piece has in the topic.
    texts: BTreeMap<(Listing, i64), usize>,
    aborts: u32,
    /// The producer sends one message a request.
    is_careful: bool,
    commits: i64,
}

fn head_key(listing: Listing) -> String {
    format!("openai/{}/head", listing.name())
}

fn text_key(listing: Listing, piece: i64, number: usize) -> String {
    format!("openai/{}/ids/{piece}/{number}", listing.name())
}

impl TransactionBook {
    /// A book in `topic` of the sink's cluster.
    pub fn new(
        intake: &Arc<Intake>,
        shared: &Arc<Shared>,
        gate: &Arc<Gate>,
        (connection, tokens): (Connection, Option<Arc<TokenCache>>),
        topic: String,
    ) -> TransactionBook {
        TransactionBook {
            intake: Arc::clone(intake),
            shared: Arc::clone(shared),
            gate: Arc::clone(gate),
            connection,
            tokens,
            topic,
            own: Mutex::default(),
        }
    }

    fn own<T>(&self, work: impl FnOnce(&mut Own) -> T) -> T {
        work(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sink<T>(&self, call: impl Fn(&crate::sink::kafka::KafkaSink<super::delivery::Delivery>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.shared.sink.kafka().and_then(call)
    }

    /// Makes a call until it is answered; a stop ends the waiting.
    fn insist(&self, what: &str, call: impl Fn() -> Result<(), Fault>) -> Result<(), Fault> {
        loop {
            match call() {
                Err(Fault::Again(reason)) if self.shared.stop.phase() == Phase::GivenUp => return Err(Fault::Fenced(reason)),
                Err(Fault::Again(reason)) => self.trouble(&format!("{what} yet ({reason}); waiting")),
                ended => return ended,
            }
        }
    }

    fn init(&self) -> Result<(), String> {
        self.insist("no producer id", || self.sink(|sink| sink.init_transactions(CALL_TIMEOUT)))
            .map_err(|fault| told("no producer id", fault))
    }

    /// Aborts; what was sent comes back first, and workers hold nothing of it when this returns.
    fn abort(&self, why: &str) -> BookFault {
        tracing::warn!(why, "transaction aborted");
        self.trouble(&format!("aborted: {why}"));
        self.shared.metrics.transactions.with_label_values(&["aborted"]).inc();
        self.gate.discard();
        self.intake.new_generation();
        while !self.gate.is_left() && self.shared.stop.phase() < Phase::GivenUp {
            std::thread::park_timeout(LOOK);
        }
        if let Err(fault) = self.insist("not aborted", || self.sink(|sink| sink.abort(CALL_TIMEOUT))) {
            return BookFault::Fatal(told("not aborted", fault));
        }
        while !self.gate.is_empty() && self.shared.stop.phase() < Phase::GivenUp {
            std::thread::park_timeout(LOOK);
        }
        if self.gate.is_careful()
            && !self.own(|own| own.is_careful)
            && let Err(fault) = self.renew(true)
        {
            return BookFault::Fatal(fault);
        }
        self.intake.rewound(&self.intake.rewinding());
        let aborts = self.own(|own| {
            own.aborts += 1;
            own.aborts
        });
        std::thread::park_timeout(BACKOFF_FIRST.saturating_mul(1 << aborts.saturating_sub(1).min(16)).min(BACKOFF_MAX));
        BookFault::Again(why.to_owned())
    }

    fn renew(&self, careful: bool) -> Result<(), String> {
        let sink = self.shared.sink.kafka().map_err(|fault| told("no producer", fault))?;
        sink.renew(careful).map_err(|error| error.to_string())?;
        self.init()?;
        self.gate.set_sends_alone(careful);
        self.own(|own| own.is_careful = careful);
        Ok(())
    }

    fn failed(&self, what: &str, fault: Fault) -> BookFault {
        match fault {
            Fault::Abort(reason) | Fault::Again(reason) => self.abort(&format!("{what}: {reason}")),
            fault => BookFault::Fatal(told(what, fault)),
        }
    }

    /// Sends the state's messages and waits until the broker has them.
    fn write(&self, messages: &[(String, Vec<u8>)]) -> Result<(), BookFault> {
        let number = self.own(|own| {
            own.commits += 1;
            own.commits
        });
        // What is owed belongs to some ticket; this one is the transaction's own and moves no position.
        let partition = Arc::new(Partition::new(Arc::from(self.topic.as_str()), 0, 0, &Arc::new(Budget::new(u64::MAX))));
        let taken = Taken { offset: number, received_ms: None, body: Vec::new(), origin: None };
        let Some(ticket) = Ticket::begin(&partition, taken, Instant::now(), 0).map(Arc::new) else {
            return Err(BookFault::Fatal("the state's ticket was not begun".to_owned()));
        };
        if ticket.expect(messages.len() as u32) {
            return Ok(());
        }
        for (key, value) in messages {
            let message = OutMessage { topic: &self.topic, key: key.as_bytes(), value, headers: &[] };
            let mut owed = Box::new(Owed {
                ticket: Arc::clone(&ticket),
                what: What::State,
                failures: 0,
                alone: self.gate.sends_alone(),
                share: Some(self.gate.share()),
            });
            loop {
                match self.shared.sink.of(None).send(&message, owed) {
                    Ok(()) => break,
                    Err((SendFault::Full, back)) => {
                        owed = back;
                        self.check()?;
                        self.shared.sink.of(None).wait_for_room(Duration::from_millis(50));
                    }
                    Err((SendFault::Refused { code, .. }, _)) => {
                        return Err(BookFault::Fatal(format!("state topic `{}` refuses the state ({code})", self.topic)));
                    }
                }
            }
        }
        drop(ticket);
        self.wait_empty()
    }

    fn wait_empty(&self) -> Result<(), BookFault> {
        while !self.gate.is_empty() {
            self.check()?;
            if self.shared.stop.phase() == Phase::GivenUp {
                return Err(BookFault::Fatal(
                    "stopped before everything was acknowledged; the transaction is left to be aborted".to_owned(),
                ));
            }
            std::thread::park_timeout(LOOK);
        }
        // A message that was refused has come back, too.
        self.check()
    }

    fn end(&self) -> Result<(), BookFault> {
        self.insist("not committed", || self.sink(|sink| sink.commit(CALL_TIMEOUT)))
            .map_err(|fault| self.failed("not committed", fault))?;
        self.shared.metrics.transactions.with_label_values(&["committed"]).inc();
        if self.shared.delivery.health().clear(Component::Transactions) {
            tracing::info!("transactions: committed");
        }
        self.own(|own| own.aborts = 0);
        if self.own(|own| own.is_careful) {
            self.gate.end_careful();
            self.renew(false).map_err(BookFault::Fatal)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
        latest_values(&self.connection, self.tokens.clone(), &self.topic, OPEN_TIMEOUT)
            .map_err(|fault| format!("source.openai.state: {fault}"))
    }

    fn trouble(&self, text: &str) {
        if self.shared.delivery.health().fail(Component::Transactions, text) {
            tracing::warn!("transactions: {text}");
        }
    }
}

impl Book for TransactionBook {
    fn open(&self, listings: &[Listing], first: &dyn Fn(Listing) -> State) -> Result<Vec<State>, String> {
        self.init()?;
        let found = self.read()?;
        let mut states = Vec::new();
        for listing in listings {
            let unreadable = |fault: &dyn std::fmt::Display| {
                format!("state of `{}` in topic `{}`: {fault}; restore it, or name another topic to begin anew", listing.name(), self.topic)
            };
            let begin = format!("openai/{}/ids/", listing.name());
            let texts: Vec<(&str, &Vec<u8>)> = found
                .iter()
                .filter_map(|(key, value)| Some((std::str::from_utf8(key).ok()?.strip_prefix(begin.as_str())?, value)))
                .collect();
            let mut state = match found.get(head_key(*listing).as_bytes()) {
                Some(head) => {
                    let head = Head::read(head, *listing).map_err(|fault| unreadable(&fault))?;
                    State { head, seen: Default::default() }
                }
                None if texts.is_empty() => first(*listing),
                None => return Err(unreadable(&"its head is missing")),
            };
            for (rest, value) in texts {
                let place = rest.split_once('/').and_then(|(piece, number)| Some((piece.parse().ok()?, number.parse::<usize>().ok()?)));
                let Some((piece, number)) = place else { return Err(unreadable(&format!("the key `{begin}{rest}`"))) };
                state.add_piece(value).map_err(|fault| unreadable(&fault))?;
                self.own(|own| {
                    let count = own.texts.entry((*listing, piece)).or_default();
                    *count = (*count).max(number + 1);
                });
            }
            state.head.epoch += 1;
            states.push(state);
        }
        let heads: Vec<(String, Vec<u8>)> = states.iter().map(|state| (head_key(state.head.listing), state.head.write())).collect();
        loop {
            let written = self.sink(|sink| sink.begin()).map_err(|fault| self.failed("not begun", fault));
            match written.and_then(|()| self.write(&heads)).and_then(|()| self.end()) {
                Ok(()) => return Ok(states),
                Err(BookFault::Again(_)) if self.shared.stop.phase() < Phase::GivenUp => {}
                Err(BookFault::Again(what) | BookFault::Fatal(what)) => return Err(format!("source.openai.state: {what}")),
            }
        }
    }

    fn begin(&self) -> Result<(), BookFault> {
        self.gate.wait_empty(Duration::from_secs(1));
        self.sink(|sink| sink.begin()).map_err(|fault| BookFault::Fatal(told("not begun", fault)))?;
        // A wish that came late concerns a transaction that is over.
        let _ = self.gate.take_wish();
        self.gate.open();
        Ok(())
    }

    fn check(&self) -> Result<(), BookFault> {
        match self.gate.take_wish() {
            Some(why) => Err(self.abort(&why)),
            None => Ok(()),
        }
    }

    fn commit(&self, state: &State, pieces: &[i64]) -> Result<(), BookFault> {
        self.gate.close();
        self.wait_empty()?;
        let listing = state.head.listing;
        let mut messages = vec![(head_key(listing), state.head.write())];
        let mut counts = Vec::new();
        for piece in pieces {
            let texts = state.piece(*piece);
            let before = self.own(|own| own.texts.get(&(listing, *piece)).copied().unwrap_or(0));
            counts.push((*piece, texts.len()));
            let gone = (texts.len()..before).map(|number| (text_key(listing, *piece, number), Vec::new()));
            messages.extend(gone);
            messages.extend(texts.into_iter().enumerate().map(|(number, text)| (text_key(listing, *piece, number), text)));
        }
        self.write(&messages)?;
        self.end()?;
        self.own(|own| {
            for (piece, count) in counts {
                if count == 0 {
                    own.texts.remove(&(listing, piece));
                } else {
                    own.texts.insert((listing, piece), count);
                }
            }
        });
        self.gate.forget(&[(Arc::from(listing.topic()), 0, state.head.next_offset)]);
        Ok(())
    }

    fn keep_unreadable(&self, listing: Listing, body: &[u8]) {
        let hash = blake3::hash(body).to_hex();
        tracing::warn!(listing = listing.name(), bytes = body.len(), %hash, "an answer could not be read");
    }
}

fn told(what: &str, fault: Fault) -> String {
    match fault {
        Fault::Fenced(reason) => format!(
            "{what}: {reason}; another collector may have begun with the same state topic, or this one was away for longer than `transaction.timeout.ms`"
        ),
        Fault::Refused(reason) => format!("{what}: the broker allows no transactions ({reason}); allow the transactional id for this user"),
        Fault::Again(reason) | Fault::Abort(reason) => format!("{what}: {reason}"),
    }
}
