//! Exactly once: what comes of messages, and their offsets, in one transaction after another.
//!
//! All of this runs on the polling thread, also inside its rebalances, so positions, generation and transaction cannot differ. A cycle:
//! begin, open the [`Gate`]; after the interval close it and wait until everything sent has come back; send the watermarks as offsets;
//! commit. The gate lets whole messages through, so the watermarks are those of exactly the messages in the transaction. An abort ends the
//! generation of every partition and reads on from what the broker says is committed, never from memory: so a commit whose outcome is
//! not known needs no special case.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::intake::Intake;
use super::stop::Phase;
use super::ticket::Partition;
use super::worker::Shared;
use crate::sink::kafka::{SinkError, TransactionFault as Fault};
use crate::source::kafka::{Member, OffsetWriter};
use crate::telemetry::Component;

/// One call to the broker on the polling thread; it goes on in the next turn.
const CALL_TIMEOUT: Duration = Duration::from_millis(300);
/// How long one turn waits for what was sent.
const WAIT: Duration = Duration::from_millis(20);
/// More messages than this end a transaction before its interval does.
const MESSAGES_MAX: usize = 200_000;
/// The first wait after an abort; it doubles with every abort in a row.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How long the end of the process waits for an abort. Not reaching the broker is no loss: it aborts by itself.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// The writer of offsets with `delivery = "exactly_once"`.
pub struct Transactions {
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    interval: Duration,
    revoke_timeout: Duration,
    /// The transactional id is the operator's, so another process may carry it.
    is_named: bool,
    own: Mutex<Own>,
}

#[derive(Debug)]
struct Own {
    state: State,
    since: Instant,
    /// Aborts since the last commit.
    aborts: u32,
    not_before: Instant,
    /// Taken from us while the transaction with their messages is open.
    leaving: Vec<Arc<Partition>>,
    /// The producer sends one message a request.
    is_careful: bool,
    /// The end gave messages up.
    is_cut_short: bool,
}

type Offsets = Vec<(Arc<str>, i32, i64)>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// A new producer has no id yet.
    Starting,
    /// After an abort: partitions go back to what is committed.
    Rewinding,
    /// Between two transactions.
    Between,
    /// Messages are let in.
    Open,
    /// Nobody is let in; what was sent must come back.
    Closing,
    /// The offsets are on their way into the transaction.
    Sending(Offsets),
    /// The broker was asked to commit.
    Committing(Offsets),
    /// What was sent is thrown away.
    Aborting,
}

impl Transactions {
    /// `interval` is how long one transaction takes messages in.
    pub fn new(
        intake: &Arc<Intake>,
        shared: &Arc<Shared>,
        gate: &Arc<Gate>,
        interval: Duration,
        revoke_timeout: Duration,
        is_named: bool,
    ) -> Transactions {
        let now = Instant::now();
        let own = Own {
            state: State::Starting,
            since: now,
            aborts: 0,
            not_before: now,
            leaving: Vec::new(),
            is_careful: false,
            is_cut_short: false,
        };
        Transactions {
            intake: Arc::clone(intake),
            shared: Arc::clone(shared),
            gate: Arc::clone(gate),
            interval,
            revoke_timeout,
            is_named,
            own: Mutex::new(own),
        }
    }

    fn own<T>(&self, work: impl FnOnce(&mut Own) -> T) -> T {
        work(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One step. Answers whether another may follow at once.
    fn step(&self, own: &mut Own, member: &Member<'_>) -> bool {
        if !matches!(own.state, State::Starting | State::Rewinding | State::Between | State::Aborting)
            && let Some(why) = self.gate.take_wish()
        {
            self.begin_abort(own, &why);
        }
        match own.state.clone() {
            State::Starting => {
                if Instant::now() < own.not_before {
                    return false;
                }
                match self.shared.sink.kafka().and_then(|sink| sink.init_transactions(CALL_TIMEOUT)) {
                    Ok(()) => {
                        own.state = State::Rewinding;
                        if own.aborts == 0 {
                            self.shared.delivery.health().clear(Component::Transactions);
                        }
                        true
                    }
                    Err(fault) => self.failed(own, "no producer id", fault),
                }
            }
            State::Rewinding => {
                if Instant::now() < own.not_before {
                    return false;
                }
                match self.rewind(member) {
                    Ok(()) => {
                        own.state = State::Between;
                        true
                    }
                    Err(error) => {
                        self.trouble(&format!("the committed positions are not known or not reached ({error}); asking again"));
                        own.not_before = Instant::now() + BACKOFF_FIRST;
                        false
                    }
                }
            }
            // What a worker or the former producer still holds of an aborted transaction must not get into the next.
            State::Between if !self.gate.wait_empty(WAIT) => true,
            State::Between => match self.shared.sink.kafka().and_then(|sink| sink.begin()) {
                Ok(()) => {
                    // A wish that came late concerns a transaction that is over.
                    let _ = self.gate.take_wish();
                    own.state = State::Open;
                    own.since = Instant::now();
                    self.gate.open();
                    true
                }
                Err(fault) => self.failed(own, "not begun", fault),
            },
            State::Open => {
                let entered = self.gate.entered();
                let is_due = own.since.elapsed() >= self.interval || entered >= MESSAGES_MAX || self.shared.stop.phase() > Phase::Running;
                if entered == 0 || !is_due {
                    return false;
                }
                self.gate.close();
                own.state = State::Closing;
                true
            }
            State::Closing => {
                if !self.gate.wait_empty(WAIT) {
                    return true;
                }
                let mut offsets: Offsets =
                    self.intake.moved().into_iter().map(|position| (position.topic, position.partition, position.offset)).collect();
                offsets.extend(own.leaving.iter().filter_map(|partition| {
                    let offset = partition.watermark(|watermark| watermark.position())?;
                    Some((Arc::clone(&partition.topic), partition.number, offset))
                }));
                own.state = State::Sending(offsets);
                true
            }
            State::Sending(offsets) => {
                let sent = match member.metadata() {
                    _ if offsets.is_empty() => Ok(()),
                    Some(metadata) => self.shared.sink.kafka().and_then(|sink| sink.send_offsets(&offsets, &metadata, CALL_TIMEOUT)),
                    None => Err(Fault::Abort("this process is no member of its group any more".to_owned())),
                };
                match sent {
                    Ok(()) => {
                        own.state = State::Committing(offsets);
                        true
                    }
                    Err(fault) => self.failed(own, "offsets not taken", fault),
                }
            }
            State::Committing(offsets) => match self.shared.sink.kafka().and_then(|sink| sink.commit(CALL_TIMEOUT)) {
                Ok(()) => {
                    self.committed(own, &offsets);
                    true
                }
                Err(fault) => self.failed(own, "not committed", fault),
            },
            State::Aborting => {
                if !self.gate.is_left() {
                    std::thread::park_timeout(Duration::from_millis(1));
                    return true;
                }
                match self.shared.sink.kafka().and_then(|sink| sink.abort(CALL_TIMEOUT)) {
                    Ok(()) => {
                        // What was thrown out comes back first, so that the next transaction does not wait for it.
                        self.gate.wait_empty(Duration::from_secs(1));
                        own.state = State::Rewinding;
                        if self.gate.is_careful() && !own.is_careful {
                            self.renew(own);
                        }
                        true
                    }
                    Err(fault) => self.failed(own, "not aborted", fault),
                }
            }
        }
    }

    fn committed(&self, own: &mut Own, offsets: &Offsets) {
        self.shared.metrics.transactions.with_label_values(&["committed"]).inc();
        self.gate.forget(offsets);
        own.leaving.clear();
        own.aborts = 0;
        own.state = State::Between;
        if own.is_careful {
            self.gate.end_careful();
            own.is_careful = false;
            self.renew(own);
        }
        if self.shared.delivery.health().clear(Component::Transactions) {
            tracing::info!("transactions: committed again");
        }
    }

    /// What a call that did not succeed means. Answers whether another step may follow at once.
    fn failed(&self, own: &mut Own, what: &str, fault: Fault) -> bool {
        match fault {
            Fault::Again(reason) => {
                // Healthy calls are answered within the first timeout, so a second one is worth a word.
                if own.since.elapsed() > self.interval + 10 * CALL_TIMEOUT {
                    self.trouble(&format!("{what} yet ({reason}); waiting"));
                }
                // The poll between two calls serves rebalances.
                false
            }
            Fault::Abort(reason) => {
                if own.state == State::Aborting {
                    self.renew(own);
                    return false;
                }
                self.begin_abort(own, &format!("{what}: {reason}"));
                true
            }
            Fault::Fenced(reason) if self.is_named && own.state != State::Starting => {
                let help =
                    "another process runs with the same `run.instance`, or this one was away for longer than `transaction.timeout.ms`";
                self.shared.stop.fatal(format!("the transaction was taken from this process ({what}: {reason}); {help}"));
                false
            }
            Fault::Fenced(reason) => {
                self.trouble(&format!("{what}: {reason}; going on with a new producer"));
                self.intake.new_generation();
                self.gate.discard();
                own.leaving.clear();
                self.shared.metrics.transactions.with_label_values(&["aborted"]).inc();
                self.renew(own);
                own.aborts += 1;
                own.not_before = Instant::now() + backoff(own.aborts);
                false
            }
            Fault::Refused(reason) => {
                let help = "allow the transactional id for this user (`run.instance` fixes its end), or use `delivery = \"at_least_once\"`";
                self.shared.stop.fatal(format!("the broker allows no transactions ({what}: {reason}); {help}"));
                false
            }
        }
    }

    fn renew(&self, own: &mut Own) {
        own.is_careful = self.gate.is_careful();
        match self
            .shared
            .sink
            .kafka()
            .map_err(|fault| SinkError::Settings(format!("{fault:?}")))
            .and_then(|sink| sink.renew(own.is_careful))
        {
            Ok(()) => {
                self.gate.set_sends_alone(own.is_careful);
                own.state = State::Starting;
            }
            Err(error) => self.shared.stop.fatal(error.to_string()),
        }
    }

    fn begin_abort(&self, own: &mut Own, why: &str) {
        tracing::warn!(why, "transaction aborted; its messages are read again");
        self.trouble(&format!("aborted: {why}; reading again"));
        self.shared.metrics.transactions.with_label_values(&["aborted"]).inc();
        self.gate.discard();
        self.intake.new_generation();
        own.leaving.clear();
        own.aborts += 1;
        own.not_before = Instant::now() + backoff(own.aborts);
        own.state = State::Aborting;
    }

    /// Every partition that lost its generation goes back to its committed position, or to the first message this process saw of it.
    fn rewind(&self, member: &Member<'_>) -> Result<(), String> {
        let wanted = self.intake.rewinding();
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<(Arc<str>, i32)> = wanted.iter().map(|position| (Arc::clone(&position.topic), position.partition)).collect();
        let committed = member.committed(&keys)?;
        let targets: Vec<_> = wanted
            .into_iter()
            .map(|first| {
                let known = committed.iter().find(|known| known.topic == first.topic && known.partition == first.partition);
                known.cloned().unwrap_or(first)
            })
            .collect();
        member.seek(&targets)?;
        self.intake.rewound(&targets);
        Ok(())
    }

    fn trouble(&self, text: &str) {
        if self.shared.delivery.health().fail(Component::Transactions, text) {
            tracing::warn!("transactions: {text}");
        }
    }
}

impl OffsetWriter for Transactions {
    fn turn(&self, member: &Member<'_>) -> bool {
        self.own(|own| {
            // A step that goes on by itself ends in a moment; a poll comes between any two that wait.
            for _ in 0..8 {
                if !self.step(own, member) {
                    break;
                }
                if matches!(own.state, State::Closing | State::Aborting | State::Open | State::Between) {
                    break;
                }
            }
            !matches!(own.state, State::Open | State::Starting | State::Rewinding)
        })
    }

    fn revoked(&self, partitions: &[(String, i32)], lost: bool, member: &Member<'_>) {
        let began = Instant::now();
        let gone = self.intake.take_away(partitions, lost);
        self.own(|own| {
            let has_messages = match own.state {
                State::Starting | State::Rewinding | State::Between | State::Aborting => false,
                State::Open => self.gate.entered() > 0,
                _ => true,
            };
            if !has_messages {
                return;
            }
            if lost {
                // Others have them by now: what is in the transaction may be theirs already.
                return self.begin_abort(own, "partitions were lost");
            }
            own.leaving.extend(gone.iter().cloned());
            if own.state == State::Open {
                self.gate.close();
                own.state = State::Closing;
            } else if matches!(own.state, State::Sending(_) | State::Committing(_)) {
                // Their offsets are in it already.
                own.leaving.clear();
            }
            let deadline = began + self.revoke_timeout;
            while !matches!(own.state, State::Between | State::Starting | State::Rewinding | State::Aborting)
                && Instant::now() < deadline
                && self.shared.stop.phase() < Phase::GivenUp
            {
                if !self.step(own, member) {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
            // A commit that was asked for stays asked for: its offsets go with it, whatever the answer.
            if matches!(own.state, State::Closing | State::Sending(_)) {
                self.begin_abort(own, "a revoked partition was not finished in time");
            }
            own.leaving.clear();
        });
        self.intake.revoke_ended(gone.len(), lost, began);
    }

    fn is_idle(&self) -> bool {
        self.own(|own| match own.state {
            _ if own.is_cut_short => false,
            State::Open => self.gate.entered() == 0,
            State::Between => true,
            State::Starting | State::Rewinding => self.intake.in_flight() == 0,
            _ => false,
        })
    }

    fn end(&self, member: &Member<'_>) {
        self.own(|own| {
            let has_messages = match own.state {
                State::Starting | State::Rewinding | State::Between => false,
                State::Open => self.gate.entered() > 0,
                _ => true,
            };
            if has_messages && own.state != State::Aborting {
                self.begin_abort(own, "the process ends");
            }
            own.is_cut_short = has_messages;
            self.gate.discard();
            let deadline = Instant::now() + END_TIMEOUT;
            while own.state == State::Aborting && Instant::now() < deadline {
                if !self.step(own, member) {
                    std::thread::park_timeout(WAIT);
                }
            }
        });
    }
}

/// Doubles, bounded, and up to a quarter longer, so that several processes do not come back together.
fn backoff(failures: u32) -> Duration {
    let plain = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    plain + plain.mul_f64(crate::sink::jitter() / 4.0)
}
