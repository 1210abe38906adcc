//! What the polling thread calls: positions, budget and the hand-over to the workers.
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Sender;

use super::budget::{Budget, MESSAGE_OVERHEAD_BYTES};
use super::delivery::report;
use super::stop::{Phase, Stop};
use super::ticket::{Origin, Partition, Taken, Ticket};
use crate::source::kafka::{Keeper, Position, SourceMessage};
use crate::source::redrive::{Assembled, Assembly, LetterHead};
use crate::telemetry::{Component, Health, IntCounter, IntGauge, Metrics};

/// Settings of the intake.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// Bytes in flight before the source pauses.
    pub in_flight_max_bytes: u64,
    /// How long a revoke waits.
    pub revoke_timeout: Duration,
    /// Ids remembered for each partition; 0 for none.
    pub dedupe_window: usize,
    /// Messages are dead letters.
    pub redrive: bool,
    /// The `source` label of metrics.
    pub source: &'static str,
    /// The section of the settings, for messages.
    pub section: &'static str,
    /// Who the source logs in as, for messages.
    pub identity: String,
}

/// Takes messages in.
pub struct Intake {
    settings: IntakeSettings,
    assigned: Mutex<HashMap<(Arc<str>, i32), Assigned>>,
    generation: AtomicU64,
    workers: Mutex<Vec<Sender<Vec<Arc<Ticket>>>>>,
    /// How many there were at the start.
    worker_count: usize,
    gathered: Mutex<Gathered>,
    budget: Arc<Budget>,
    assembly: Mutex<Assembly<Ticket>>,
    stop: Arc<Stop>,
    assembly_cleared: AtomicBool,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    started: Instant,
    messages: IntCounter,
    last_message: IntGauge,
}

struct Assigned {
    partition: Arc<Partition>,
    /// Its messages go to one worker, so they stay in order.
    worker: usize,
    stored: Option<i64>,
    /// Offset of the first message of this assignment: where an abort goes back to when nothing is committed.
    first: Option<i64>,
    /// An abort ended its generation and it has not gone back yet: what comes is dropped.
    is_rewinding: bool,
    last_message_ms: u64,
}

impl Assigned {
    fn new(partition: Partition, worker: usize, now_ms: u64) -> Assigned {
        Assigned { partition: Arc::new(partition), worker, stored: None, first: None, is_rewinding: false, last_message_ms: now_ms }
    }
}

/// Messages that came and are not handed to the workers yet.
#[derive(Default)]
struct Gathered {
    /// Whose messages came last.
    run: Option<Run>,
    /// Those messages.
    taken: Vec<Taken>,
    /// Tickets, by worker.
    ready: Vec<Vec<Arc<Ticket>>>,
    /// What they will take from the budget.
    bytes: u64,
    /// More than this is not gathered; known from the first message on.
    room_bytes: Option<u64>,
}

/// Messages of one partition, one after the other.
struct Run {
    partition: Arc<Partition>,
    worker: usize,
    /// What comes is dropped.
    is_rewinding: bool,
}

/// With so many batches before every worker nothing is taken for a moment.
const AHEAD_BATCHES: usize = 16;
/// More bytes than this are not gathered, and no more than the budget has: it counts them when they are handed over.
const GATHER_MAX_BYTES: u64 = 1 << 20;

impl Intake {
    /// `workers` are the queues of the workers; a partition stays with one of them.
    pub fn new(
        settings: IntakeSettings,
        workers: Vec<Sender<Vec<Arc<Ticket>>>>,
        stop: &Arc<Stop>,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
    ) -> Intake {
        let source = settings.source;
        Intake {
            budget: Arc::new(Budget::new(settings.in_flight_max_bytes)),
            settings,
            assigned: Mutex::default(),
            generation: AtomicU64::new(0),
            worker_count: workers.len().max(1),
            workers: Mutex::new(workers),
            gathered: Mutex::default(),
            assembly: Mutex::default(),
            stop: Arc::clone(stop),
            assembly_cleared: AtomicBool::new(false),
            messages: metrics.messages.with_label_values(&[source]),
            last_message: metrics.last_message.with_label_values(&[source]),
            metrics: Arc::clone(metrics),
            health: Arc::clone(health),
            started: Instant::now(),
        }
    }

    /// Messages that are neither settled nor given up, over all partitions.
    pub fn in_flight(&self) -> usize {
        self.with(|assigned| assigned.values().map(|one| one.partition.in_flight()).sum())
    }

    /// Closes the workers' queues: they finish what is in them and end.
    pub fn close(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Brings the gauges up to date.
    fn bring_up_to_date(&self) {
        let now_ms = self.now_ms();
        let age = |since_ms: u64| now_ms.saturating_sub(since_ms) as f64 / 1000.0;
        let oldest = self.with(|assigned| {
            let mut oldest: Option<u64> = None;
            for one in assigned.values() {
                let begun_ms = one.partition.watermark(|watermark| watermark.oldest_begun_ms());
                oldest = oldest.into_iter().chain(begun_ms).min();
                let labels = [self.settings.source, &one.partition.label()];
                self.metrics.partition_unsettled_age.with_label_values(&labels).set(begun_ms.map_or(0.0, age));
                self.metrics.partition_message_age.with_label_values(&labels).set(age(one.last_message_ms));
            }
            oldest
        });
        self.metrics.unsettled_age.with_label_values(&[self.settings.source]).set(oldest.map_or(0.0, age));
        self.metrics.in_flight.with_label_values(&[self.settings.source]).set(self.budget.used_bytes() as i64);
    }

    /// Positions that moved since the last call.
    pub fn moved(&self) -> Vec<Position> {
        self.with(|assigned| {
            let moved = assigned.values_mut().filter(|one| !one.is_rewinding).filter_map(|one| {
                let offset = one.partition.watermark(|watermark| watermark.position());
                (offset > one.stored).then(|| one.stored = offset)?;
                Some(Position { topic: Arc::clone(&one.partition.topic), partition: one.partition.number, offset: offset? })
            });
            moved.collect()
        })
    }

    /// Removes revoked partitions: what no worker has begun of them is given up.
    pub fn take_away(&self, partitions: &[(String, i32)], lost: bool) -> Vec<Arc<Partition>> {
        // Workers let go of what they have not begun; nobody else would.
        self.hand_over();
        self.metrics.rebalances.with_label_values(&[if lost { "lost" } else { "revoked" }]).inc();
        let gone: Vec<Arc<Partition>> = self.with(|assigned| {
            let keys = partitions.iter().map(|(topic, number)| (Arc::<str>::from(topic.as_str()), *number));
            keys.filter_map(|key| assigned.remove(&key)).map(|one| one.partition).collect()
        });
        for partition in &gone {
            partition.revoke();
            let label = partition.label();
            // The gauges of a partition that another reads would stand still. One that was never set is not there to remove.
            let _ = self.metrics.lag.remove_label_values(&[self.settings.source, &label]);
            let _ = self.metrics.partition_unsettled_age.remove_label_values(&[self.settings.source, &label]);
            let _ = self.metrics.partition_message_age.remove_label_values(&[self.settings.source, &label]);
        }
        self.clear_assembly();
        gone
    }

    /// Notes how long a revoke took.
    pub fn revoke_ended(&self, partitions: usize, lost: bool, began: Instant) {
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.latency_of("revoke").observe(seconds);
        tracing::info!(partitions, lost, seconds, "partitions revoked");
    }

    /// Ends the generation of every partition: what is in flight of it moves nothing any more, and messages are dropped until
    /// [`Intake::rewound`].
    pub fn new_generation(&self) {
        self.hand_over();
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.with(|assigned| {
            for one in assigned.values_mut() {
                one.partition.revoke();
                let partition = Partition::new(Arc::clone(&one.partition.topic), one.partition.number, generation, &self.budget);
                // Nothing is read of it before `rewound`, which says what of the window stands.
                one.partition = Arc::new(partition.inheriting(&one.partition));
                one.stored = None;
                // Without a message there is nothing to go back over.
                one.is_rewinding = one.first.is_some();
            }
        });
        self.clear_assembly();
    }

    /// The partitions that have to go back, each with the first offset of this assignment.
    pub fn rewinding(&self) -> Vec<Position> {
        self.with(|assigned| {
            let back = assigned.values().filter(|one| one.is_rewinding).filter_map(|one| {
                Some(Position { topic: Arc::clone(&one.partition.topic), partition: one.partition.number, offset: one.first? })
            });
            back.collect()
        })
    }

    /// These partitions stand where they are to go on.
    pub fn rewound(&self, positions: &[Position]) {
        self.hand_over();
        self.with(|assigned| {
            for Position { topic, partition, offset } in positions {
                if let Some(one) = assigned.get_mut(&(Arc::clone(topic), *partition)) {
                    one.partition.read_from(*offset);
                    one.is_rewinding = false;
                }
            }
        });
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<(Arc<str>, i32), Assigned>) -> T) -> T {
        work(&mut self.assigned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives up the letters that wait for pieces: they are read again.
    fn clear_assembly(&self) {
        drop(self.assembly.lock().unwrap_or_else(PoisonError::into_inner).clear());
    }

    /// The partition of a message, when it is ours, and the worker it belongs to.
    fn run_of(&self, message: &SourceMessage<'_>) -> Option<Run> {
        let now_ms = self.now_ms();
        let found = self.with(|assigned| {
            let one = assigned.get_mut(&(Arc::<str>::from(message.topic), message.partition))?;
            one.first.get_or_insert(message.offset);
            one.last_message_ms = now_ms;
            Some(Run { partition: Arc::clone(&one.partition), worker: one.worker, is_rewinding: one.is_rewinding })
        });
        if found.is_none() {
            // Not ours any more; whoever has it reads it.
            tracing::warn!(topic = message.topic, partition = message.partition, "message of a partition that is not assigned");
        }
        found
    }

    /// Makes tickets of the messages of the last run.
    fn end_run(&self, gathered: &mut Gathered) {
        let Gathered { run, taken, ready, .. } = gathered;
        let Some(run) = run.take().filter(|_| !taken.is_empty()) else { return };
        if ready.len() <= run.worker {
            ready.resize_with(run.worker + 1, Vec::new);
        }
        let ready = &mut ready[run.worker];
        self.begin(&run.partition, taken, |ticket| ready.push(Arc::new(ticket)));
    }

    /// Counts messages of one partition and makes tickets of those that were not handed over before. `taken` is left empty.
    fn begin(&self, partition: &Arc<Partition>, taken: &mut Vec<Taken>, mut each: impl FnMut(Ticket)) {
        let came = taken.len();
        self.messages.inc_by(came as u64);
        self.last_message.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64));
        let mut begun = 0;
        Ticket::begin_all(partition, taken, (Instant::now(), self.now_ms()), |ticket| {
            begun += 1;
            each(ticket);
        });
        if begun < came {
            tracing::debug!(topic = %partition.topic, partition = partition.number, twice = came - begun, "messages handed over twice");
        }
    }

    fn send(&self, index: usize, tickets: Vec<Arc<Ticket>>) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = workers.get(index).is_some_and(|worker| worker.send(tickets).is_ok());
        if !sent && self.stop.phase() < Phase::GivenUp {
            self.stop.fatal(format!("worker {index} ended"));
        }
    }

    /// Puts a dead letter together. `None`: it waits, or cannot be used.
    fn assemble(&self, message: &SourceMessage<'_>, mut ticket: Ticket) -> Option<Ticket> {
        let head = LetterHead::read(&message.headers);
        if !head.is_raw {
            // Only its hash or a blackened copy is here: reading it would make another record. It stays in the topic for people.
            tracing::warn!(topic = message.topic, offset = message.offset, "dead letter without its raw bytes is passed over");
            ticket.settle();
            return None;
        }
        ticket.taken.received_ms = head.received_ms.or(ticket.taken.received_ms);
        ticket.taken.origin =
            head.origin.clone().map(|(topic, partition, offset)| Origin { topic, partition, offset, output: head.output.clone() });
        if head.piece.is_none() {
            return Some(ticket);
        }
        let (assembled, given_up) = self.assembly.lock().unwrap_or_else(PoisonError::into_inner).add(&head, message.body, ticket);
        for old in given_up {
            tracing::warn!(topic = message.topic, offset = old.taken.offset, "piece of a dead letter that was begun anew or never ended");
            old.settle();
        }
        match assembled {
            Assembled::Waits => None,
            Assembled::Orphan(piece) => {
                tracing::warn!(topic = message.topic, offset = message.offset, "piece of a dead letter whose beginning is not here");
                piece.settle();
                None
            }
            Assembled::Whole(body, earlier, mut last) => {
                last.hold(earlier.into_iter().map(Arc::new).collect(), body);
                Some(last)
            }
        }
    }
}

impl Keeper for Intake {
    fn message(&self, message: &SourceMessage<'_>) {
        if !self.settings.redrive {
            self.gather(message);
            return self.hand_over();
        }
        let Some(run) = self.run_of(message).filter(|run| !run.is_rewinding) else { return };
        let mut begun = None;
        self.begin(&run.partition, &mut vec![taken(message)], |ticket| begun = Some(ticket));
        let Some(ticket) = begun else { return };
        if let Some(ticket) = self.assemble(message, ticket) {
            self.send(run.worker, vec![Arc::new(ticket)]);
        }
    }

    fn gather(&self, message: &SourceMessage<'_>) -> bool {
        if self.settings.redrive {
            self.message(message);
            return !self.budget.is_full();
        }
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on =
            gathered.run.as_ref().is_some_and(|run| run.partition.number == message.partition && *run.partition.topic == *message.topic);
        if !goes_on {
            self.end_run(&mut gathered);
            gathered.run = self.run_of(message);
        }
        let room_bytes = *gathered.room_bytes.get_or_insert_with(|| self.budget.room_bytes().min(GATHER_MAX_BYTES));
        if gathered.run.as_ref().is_some_and(|run| !run.is_rewinding) {
            gathered.bytes += message.body.len() as u64 + MESSAGE_OVERHEAD_BYTES;
            gathered.taken.push(taken(message));
        }
        gathered.bytes < room_bytes
    }

    fn hand_over(&self) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        self.end_run(&mut gathered);
        (gathered.bytes, gathered.room_bytes) = (0, None);
        for (index, tickets) in gathered.ready.iter_mut().enumerate().filter(|(_, tickets)| !tickets.is_empty()) {
            let room = tickets.len();
            self.send(index, std::mem::replace(tickets, Vec::with_capacity(room)));
        }
    }

    fn is_ahead(&self) -> bool {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).iter().all(|worker| worker.len() >= AHEAD_BATCHES)
    }

    fn assigned(&self, partitions: &[(String, i32)]) {
        self.hand_over();
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.with(|assigned| {
            for (topic, number) in partitions {
                let topic: Arc<str> = Arc::from(topic.as_str());
                let partition =
                    Partition::new(Arc::clone(&topic), *number, generation, &self.budget).remembering(self.settings.dedupe_window);
                let busy = |worker: &usize| assigned.values().filter(|one| one.worker == *worker).count();
                let worker = (0..self.worker_count).min_by_key(busy).unwrap_or(0);
                assigned.insert((topic, *number), Assigned::new(partition, worker, self.now_ms()));
            }
            tracing::info!(new = partitions.len(), all = assigned.len(), generation, "partitions assigned");
        });
        self.metrics.rebalances.with_label_values(&["assigned"]).inc();
        self.health.clear(Component::Assignment);
    }

    fn revoked(&self, partitions: &[(String, i32)], lost: bool) -> Vec<Position> {
        let began = Instant::now();
        let gone = self.take_away(partitions, lost);
        let deadline = Instant::now() + self.settings.revoke_timeout;
        while !lost
            && gone.iter().any(|partition| partition.in_flight() > 0)
            && Instant::now() < deadline
            && self.stop.phase() < Phase::GivenUp
        {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.revoke_ended(gone.len(), lost, began);
        let position = |partition: &Arc<Partition>| {
            let offset = partition.watermark(|watermark| watermark.position())?;
            Some(Position { topic: Arc::clone(&partition.topic), partition: partition.number, offset })
        };
        gone.iter().filter_map(position).collect()
    }

    fn positions(&self) -> Vec<Position> {
        self.bring_up_to_date();
        self.moved()
    }

    fn observe(&self) {
        self.bring_up_to_date();
    }

    fn is_full(&self) -> bool {
        self.budget.is_full()
    }

    fn has_room(&self) -> bool {
        self.budget.has_room()
    }

    fn paused(&self, paused: bool) {
        self.metrics.paused.with_label_values(&[self.settings.source]).set(i64::from(paused));
        tracing::debug!(paused, in_flight_bytes = self.budget.used_bytes(), "backpressure");
    }

    fn is_draining(&self) -> bool {
        self.stop.phase() > Phase::Running
    }

    fn is_drained(&self) -> bool {
        if !self.assembly_cleared.swap(true, Ordering::AcqRel) {
            self.clear_assembly();
        }
        self.stop.phase() == Phase::GivenUp || self.in_flight() == 0
    }

    fn newest(&self, topic: &str, partition: i32, end: i64) {
        // librdkafka's own lag is unknown until something is committed, and with transactions it never hears of a commit.
        let settled = self.with(|assigned| {
            let one = assigned.get(&(Arc::<str>::from(topic), partition))?;
            one.partition.watermark(|watermark| watermark.position()).or(one.first)
        });
        if let Some(settled) = settled {
            self.metrics.lag.with_label_values(&[self.settings.source, &format!("{topic}/{partition}")]).set((end - settled).max(0));
        }
    }

    fn reachable(&self) {
        if self.health.clear(Component::Source) {
            tracing::info!("source: a broker is connected");
        }
    }

    fn trouble(&self, code: &str, refused: bool, reason: &str) {
        self.metrics.kafka_errors.with_label_values(&["source", code]).inc();
        report(&self.health, Component::Source, self.settings.section, &self.settings.identity, code, refused, reason);
    }

    fn committed(&self, result: Result<(), String>) {
        match result {
            Ok(()) => self.metrics.commits.with_label_values(&["ok"]).inc(),
            Err(error) => {
                self.metrics.commits.with_label_values(&["failed"]).inc();
                tracing::warn!(%error, "offsets were not committed: after a restart more is read again");
            }
        }
    }
}

/// The message as it is kept until it is settled.
fn taken(message: &SourceMessage<'_>) -> Taken {
    let origin = message.place.map(|(name, offset)| Origin { topic: name.to_owned(), partition: message.partition, offset, output: None });
    Taken { offset: message.offset, received_ms: message.received_ms, body: message.body.to_vec(), origin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, unbounded};

    type Queue = Receiver<Vec<Arc<Ticket>>>;

    fn intake(workers: usize) -> (Intake, Vec<Queue>) {
        let settings = IntakeSettings {
            in_flight_max_bytes: 1 << 20,
            revoke_timeout: Duration::from_millis(50),
            dedupe_window: 0,
            redrive: false,
            source: "kafka",
            section: "source.kafka",
            identity: String::new(),
        };
        let (senders, queues) = (0..workers).map(|_| unbounded()).unzip();
        (Intake::new(settings, senders, &Arc::default(), &Arc::new(Metrics::new()), &Arc::new(Health::starting())), queues)
    }

    fn message(partition: i32, offset: i64, body: &[u8]) -> SourceMessage<'_> {
        SourceMessage { topic: "in", partition, offset, received_ms: None, body, headers: Vec::new(), place: None }
    }

    fn places(queue: &Queue) -> Vec<Vec<(i32, i64)>> {
        let place = |ticket: &Arc<Ticket>| (ticket.partition.number, ticket.taken.offset);
        queue.try_iter().map(|tickets| tickets.iter().map(place).collect()).collect()
    }

    #[test]
    fn what_is_gathered_goes_to_its_partitions_worker_in_order_and_once() {
        let (intake, queues) = intake(2);
        intake.assigned(&[0, 1, 2].map(|number| ("in".to_owned(), number)));
        for (partition, offset) in [(0, 5), (0, 6), (1, 1), (0, 7), (0, 7), (2, 3), (9, 1)] {
            assert!(intake.gather(&message(partition, offset, b"x")), "there is room");
        }
        assert_eq!((places(&queues[0]), intake.in_flight()), (vec![], 5), "the last runs wait");
        intake.hand_over();
        assert_eq!(places(&queues[0]), [[(0, 5), (0, 6), (0, 7), (2, 3)]]);
        assert_eq!(places(&queues[1]), [[(1, 1)]]);
        intake.hand_over();
        assert!(queues.iter().all(Receiver::is_empty), "once");
        intake.message(&message(1, 2, b"x"));
        assert_eq!(places(&queues[1]), [[(1, 2)]], "a message by itself is passed on at once");
        assert!(!intake.gather(&message(1, 3, &vec![b'x'; GATHER_MAX_BYTES as usize])), "no more than its bytes");
    }

    #[test]
    fn a_partition_that_is_taken_away_does_not_wait_for_what_was_only_gathered() {
        let (intake, queues) = intake(1);
        intake.assigned(&[("in".to_owned(), 0)]);
        intake.gather(&message(0, 1, b"x"));
        let gone = intake.take_away(&[("in".to_owned(), 0)], false);
        let tickets: Vec<_> = queues[0].try_iter().flatten().collect();
        assert_eq!((tickets.len(), gone[0].in_flight()), (1, 1));
        assert!(tickets[0].partition.is_revoked(), "so its worker lets it go");
        drop(tickets);
        assert_eq!(gone[0].in_flight(), 0);
        assert!(intake.gather(&message(0, 2, b"x")), "not ours");
        intake.hand_over();
        assert!(queues[0].is_empty());
    }
}
