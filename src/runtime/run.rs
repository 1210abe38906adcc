//! The stream processor: threads are made here, and stopped here in the order that loses nothing.
//!
//! Start: workers and the repair thread, then the source. Stop: the source takes no more but keeps polling (so it stays in its group)
//! until all is settled or the deadline passes, commits and leaves; then the queues close, workers end, the sink flushes, and the repair
//! thread ends last, because until then the sink may still give something back.
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::admin_keys::admin_keys;
use super::gate::Gate;
use super::hands::{Hands, Told, sinks};
use super::intake::{Intake, IntakeSettings};
use super::mill::Mills;
use super::reload::{Part, Reloader};
use super::repair::repair;
use super::stop::{Phase, Stop};
use super::transactions::Transactions;
use super::worker::{Shared, work};
use crate::config::{Dedupe, Settings, TokenCache};
use crate::source::Source;
use crate::source::kafka::{KafkaSource, Keeper, OffsetWriter};
use crate::telemetry::{Component, CurrentDrift, CurrentKeys, Health, Metrics, serve};

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was taken is acknowledged and committed.
    Drained,
    /// The deadline passed; so many messages are read again at the next start.
    CutShort {
        /// Messages taken and not settled.
        unsettled: usize,
    },
}

/// Why the process did not run, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings do not work on this machine: exit 2.
    #[error("{0}")]
    Settings(String),
    /// Going on would have lost something: exit 1. What was not acknowledged is read again.
    #[error("{0}")]
    Fatal(String),
}

/// Time beyond the drain's deadline after which a hanging client is left behind.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the producer may take to tidy up when nothing is outstanding.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for an output that is not required.
const SPARE_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a token's source is looked at.
const TOKEN_INTERVAL: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT, or until going on would lose something. A second signal gives up what is in flight. SIGHUP, and a change
/// of their files, reloads mappings, databases, and what the admin port asks for.
///
/// # Errors
///
/// [`RunError`].
pub fn run(settings: &Settings, mills: Arc<dyn Mills>) -> Result<Ended, RunError> {
    run_until(settings, mills, Arc::new(Stop::default()))
}

/// As [`run`], and also until somebody calls [`Stop::drain`] on `stop`.
///
/// # Errors
///
/// [`RunError`].
pub fn run_until(settings: &Settings, mills: Arc<dyn Mills>, stop: Arc<Stop>) -> Result<Ended, RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("admin")
        .enable_all()
        .build()
        .map_err(|error| RunError::Settings(format!("the admin thread was not started: {error}")))?;
    let ended = runtime.block_on(supervise(settings, mills, stop));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn supervise(settings: &Settings, mills: Arc<dyn Mills>, stop: Arc<Stop>) -> Result<Ended, RunError> {
    let metrics = Arc::new(Metrics::new());
    begin_tags(&*mills, &metrics);
    let health = Arc::new(Health::starting());
    // Signals are caught before anything runs, so that none finds the process without a handler.
    let mut signals = Signals::new()?;
    let (end_admin, admin_ends) = tokio::sync::oneshot::channel::<()>();
    let drift: CurrentDrift = {
        let mills = Arc::clone(&mills);
        Arc::new(move || mills.drift())
    };
    let keys = CurrentKeys::default();
    // Looked at before they are read, so that no change is missed.
    let admin_part = Part::admin(&settings.admin, &keys);
    keys.store(Arc::new(admin_keys(&settings.admin).map_err(|faults| RunError::Settings(faults.join("\n")))?));
    let admin = serve(settings.admin.listen, keys, Arc::clone(&metrics), Arc::clone(&health), drift, async {
        // An error means that the sender is gone, which is an end too.
        let _ = admin_ends.await;
    });
    let (bound, admin_task) = admin.await.map_err(|error| RunError::Settings(error.to_string()))?;
    tracing::info!(tls = settings.admin.tls.is_some(), address = %bound, "admin port");

    let parts = std::iter::once(Part::mappings(&settings.files, Arc::clone(&mills), &metrics)).chain(admin_part).collect();
    let reloader = Reloader::start(settings.files.watch_interval(), parts, settings.start_files(), Arc::clone(&metrics))
        .map_err(|error| RunError::Settings(format!("the reload thread was not started: {error}")))?;
    let mut pipeline = Pipeline::start(settings, Arc::clone(&mills), &metrics, &health, &stop)?;
    let drain_timeout = Duration::from_millis(settings.run.drain_timeout_ms);
    let mut deadline: Option<Instant> = None;
    let ended = loop {
        if let Some(ended) = pipeline.ended() {
            break ended;
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            stop.give_up();
        }
        if deadline.is_some_and(|deadline| now >= deadline + LEAVE_TIMEOUT) {
            break pipeline.left_behind();
        }
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop if stop.phase() == Phase::Running => {
                    tracing::info!(in_flight = pipeline.intake.in_flight(), "draining");
                    stop.drain();
                }
                Signal::Stop => stop.give_up(),
                Signal::Reload => reloader.ask(),
            },
            () = stop.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        if stop.phase() > Phase::Running && deadline.is_none() {
            health.fail(Component::Running, stop.reason().as_deref().unwrap_or("draining"));
            deadline = Some(Instant::now() + drain_timeout);
        }
    };
    // The receiver is gone only when the admin task already ended.
    let _ = end_admin.send(());
    // A scraper that holds its connection open must not hold the process.
    let _ = tokio::time::timeout(Duration::from_millis(500), admin_task).await;
    match (stop.reason(), ended) {
        (Some(reason), _) => Err(RunError::Fatal(reason)),
        (None, Err(error)) => Err(error),
        (None, Ok(ended)) => Ok(ended),
    }
}

fn begin_tags(mills: &dyn Mills, metrics: &Metrics) {
    metrics.begin_tags(mills.tags().iter().map(|(mapping, tag)| (&**mapping, &**tag)));
}

/// The group's name is in it, so that an operator can allow `udmill-GROUP-` as a prefix.
fn transactional_id(settings: &Settings, group: &str) -> String {
    let fresh = || {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        format!("{}-{nanos:x}-{:x}", std::process::id(), RandomState::new().hash_one(nanos) & 0xffff_ffff)
    };
    format!("udmill-{group}-{}", settings.run.instance.clone().unwrap_or_else(fresh))
}

/// Everything that runs between the brokers.
struct Pipeline {
    intake: Arc<Intake>,
    conductor: Option<JoinHandle<Ended>>,
}

impl Pipeline {
    fn start(
        settings: &Settings,
        mills: Arc<dyn Mills>,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
        stop: &Arc<Stop>,
    ) -> Result<Pipeline, RunError> {
        let Some(dead_letter) = &settings.dead_letter else {
            return Err(RunError::Settings("the settings name no dead letters; `udmill check` says more".to_owned()));
        };
        let from = Labels::of(settings)?;
        let mut tokens = Vec::new();
        let source_tokens =
            settings.source.kafka.as_ref().map_or(Ok(None), |source| super::hands::tokens(&source.connection(), &mut tokens));
        let source_tokens = source_tokens.map_err(RunError::Settings)?;

        let (failed, failures) = crossbeam_channel::unbounded();
        let exactly_once = settings.run.delivery == crate::config::Delivery::ExactlyOnce;
        let transactional_id =
            settings.source.kafka.as_ref().filter(|_| exactly_once).map(|source| transactional_id(settings, source.group_id()));
        let state_topic = settings.source.openai.as_ref().and_then(|source| source.state.topic.clone());
        // Whoever collects into the same topic next has the same id, and fences this process.
        let transactional_id = transactional_id.or(state_topic.as_ref().map(|topic| format!("udmill-openai-{topic}")));
        let gate = exactly_once.then(Arc::<Gate>::default);
        let told = Told { failed, metrics, health, stop };
        let Hands { sink, spares, delivery } =
            sinks(settings, &told, transactional_id.as_deref(), &mut tokens).map_err(RunError::Settings)?;
        let mut dead_letter = dead_letter.clone();
        if settings.sink.archive.is_some() {
            // A line may be as long as it likes, and only a whole letter can be read back.
            dead_letter.piece_max_bytes = usize::MAX;
        }
        let shared = Arc::new(Shared {
            outputs: settings.output.clone(),
            dead_letter,
            mills,
            sink,
            spares,
            delivery,
            stop: Arc::clone(stop),
            redrive: from.redrive,
            source: from.label,
            metrics: Arc::clone(metrics),
            gate: gate.clone(),
        });
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for index in 0..settings.run.workers() {
            // Unbounded in number: the budget of bytes bounds it.
            let (sender, queue) = crossbeam_channel::unbounded();
            queues.push(sender);
            let shared = Arc::clone(&shared);
            threads.push(spawn(format!("worker-{index}"), stop, move || work(index, &queue, &shared))?);
        }
        let repaired = Arc::new(AtomicBool::new(false));
        let repairing = {
            let shared = Arc::clone(&shared);
            let repaired = Arc::clone(&repaired);
            spawn("repair".to_owned(), stop, move || repair(&failures, &repaired, &shared))?
        };
        let intake_settings = IntakeSettings {
            in_flight_max_bytes: settings.run.in_flight_max_bytes,
            revoke_timeout: Duration::from_millis(settings.run.revoke_timeout_ms),
            dedupe_window: if settings.run.dedupe == Dedupe::Window { settings.run.dedupe_window } else { 0 },
            redrive: from.redrive,
            source: from.label,
            section: from.section,
            identity: from.identity,
        };
        let intake = Arc::new(Intake::new(intake_settings, queues, stop, metrics, health));
        let keeper: Arc<dyn Keeper> = Arc::clone(&intake) as Arc<dyn Keeper>;
        let place = match (state_topic, &gate) {
            (Some(topic), Some(gate)) => {
                health.fail(Component::Transactions, "no transactional id yet");
                let connection = settings.sink_connection();
                let cache = super::hands::tokens(&connection, &mut tokens).map_err(RunError::Settings)?;
                Some((connection, cache, topic, Arc::clone(gate)))
            }
            _ => None,
        };
        let source = open_collector(settings, (&intake, &shared), place, metrics, health)?;
        let writer = gate.filter(|_| source.is_none()).map(|gate| {
            health.fail(Component::Transactions, "no transactional id yet");
            let interval = Duration::from_millis(settings.run.transaction_interval_ms);
            let revoke_timeout = Duration::from_millis(settings.run.revoke_timeout_ms);
            let is_named = settings.run.instance.is_some();
            Arc::new(Transactions::new(&intake, &shared, &gate, interval, revoke_timeout, is_named)) as Arc<dyn OffsetWriter>
        });
        let watched = writer.clone();
        let source = match source {
            Some(source) => source,
            None => open_source(settings, keeper, source_tokens, writer)?,
        };
        renew_tokens(tokens, stop)?;
        let crew = Crew { shared, workers: threads, repairing, repaired };
        let (taking, stopping) = (Arc::clone(&intake), Arc::clone(stop));
        let conductor = std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || conduct(source, &taking, crew, &stopping, watched.as_deref()))
            .map_err(|error| RunError::Settings(format!("thread `source`: {error}")))?;
        Ok(Pipeline { intake, conductor: Some(conductor) })
    }

    /// How it ended, when it did.
    fn ended(&mut self) -> Option<Result<Ended, RunError>> {
        let conductor = self.conductor.take_if(|conductor| conductor.is_finished())?;
        Some(conductor.join().map_err(|_| RunError::Fatal("thread `source` panicked".to_owned())))
    }

    /// A client hangs: its threads are left to the end of the process.
    fn left_behind(&self) -> Result<Ended, RunError> {
        tracing::error!("the clients did not end in time and are left behind");
        Ok(Ended::CutShort { unsettled: self.intake.in_flight().max(1) })
    }
}

/// What differs between sources in counts and messages.
struct Labels {
    label: &'static str,
    section: &'static str,
    identity: String,
    redrive: bool,
}

impl Labels {
    fn of(settings: &Settings) -> Result<Labels, RunError> {
        if let Some(source) = &settings.source.blob {
            return Ok(Labels { label: "blob", section: "source.blob", identity: source.identity(), redrive: false });
        }
        if let Some(source) = &settings.source.openai {
            return Ok(Labels { label: "openai", section: "source.openai", identity: source.identity(), redrive: false });
        }
        match (&settings.source.kafka, &settings.source.eventhubs) {
            (Some(source), _) => {
                let identity = source.connection().identity();
                Ok(Labels { label: "kafka", section: "source.kafka", identity, redrive: source.redrive })
            }
            (None, Some(source)) => {
                let identity = source.namespace().identity();
                Ok(Labels { label: "eventhubs", section: "source.eventhubs", identity, redrive: source.redrive })
            }
            (None, None) => Err(RunError::Settings("the settings name no source; `udmill check` says more".to_owned())),
        }
    }
}

fn open_source(
    settings: &Settings,
    keeper: Arc<dyn Keeper>,
    tokens: Option<Arc<TokenCache>>,
    writer: Option<Arc<dyn OffsetWriter>>,
) -> Result<Box<dyn Source>, RunError> {
    if let Some(source) = &settings.source.kafka {
        let source = KafkaSource::new(source, keeper, tokens, writer).map_err(|error| RunError::Settings(error.to_string()))?;
        return Ok(Box::new(source));
    }
    #[cfg(feature = "eventhubs")]
    if let Some(source) = &settings.source.eventhubs {
        let source = crate::source::eventhubs::EventHubsSource::new(source, keeper).map_err(RunError::Settings)?;
        return Ok(Box::new(source));
    }
    #[cfg(feature = "objects")]
    if let Some(source) = &settings.source.blob {
        let source = crate::source::blob::BlobSource::new(source, keeper).map_err(RunError::Settings)?;
        return Ok(Box::new(source));
    }
    Err(RunError::Settings("the settings name no source that this program was built for".to_owned()))
}

/// Where a state is written in transactions: the sink's connection and tokens, the topic, and who may send.
type StatePlace = (crate::config::Connection, Option<Arc<TokenCache>>, String, Arc<Gate>);

/// The collector of OpenAI's audit log, when the settings name it.
#[cfg(feature = "openai")]
fn open_collector(
    settings: &Settings,
    (intake, shared): (&Arc<Intake>, &Arc<Shared>),
    place: Option<StatePlace>,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
) -> Result<Option<Box<dyn Source>>, RunError> {
    use super::transaction_book::TransactionBook;
    use crate::source::openai::{Book, FileBook, OpenAiSource, listings};
    let Some(source) = &settings.source.openai else { return Ok(None) };
    let book: Arc<dyn Book> = match (place, &source.state.folder) {
        (Some((connection, tokens, topic, gate)), _) => Arc::new(TransactionBook::new(intake, shared, &gate, (connection, tokens), topic)),
        (None, Some(folder)) => Arc::new(FileBook::new(std::path::Path::new(folder)).map_err(RunError::Settings)?),
        (None, None) => return Err(RunError::Settings("the settings name no state; `udmill check` says more".to_owned())),
    };
    let watch = super::collecting::Collecting::new(metrics, health, source.identity(), &listings(source));
    let keeper = Arc::clone(intake) as Arc<dyn Keeper>;
    let source = OpenAiSource::new(source, keeper, book, Arc::new(watch)).map_err(RunError::Settings)?;
    Ok(Some(Box::new(source)))
}

#[cfg(not(feature = "openai"))]
fn open_collector(
    _: &Settings,
    _: (&Arc<Intake>, &Arc<Shared>),
    _: Option<StatePlace>,
    _: &Arc<Metrics>,
    _: &Arc<Health>,
) -> Result<Option<Box<dyn Source>>, RunError> {
    Ok(None)
}

/// The threads that end after the source.
struct Crew {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    repairing: JoinHandle<()>,
    repaired: Arc<AtomicBool>,
}

/// Runs the source on this thread, then takes everything down.
fn conduct(source: Box<dyn Source>, intake: &Intake, crew: Crew, stop: &Stop, writer: Option<&dyn OffsetWriter>) -> Ended {
    if let Err(error) = source.run() {
        stop.fatal(error);
    }
    // What was acknowledged in a transaction that was given up is not settled either; how many they are is known to nobody.
    let is_open = writer.is_some_and(|writer| !writer.is_idle());
    let unsettled = intake.in_flight().max(usize::from(is_open));
    if unsettled > 0 {
        // What is still on its way may not be acknowledged after the positions were committed and the partitions given away.
        stop.give_up();
    }
    // Leaves the group. It polls until the group has answered, hence the watch of the caller.
    drop(source);
    intake.close();
    for worker in crew.workers {
        // A worker's panic was caught and told in its own thread.
        let _ = worker.join();
    }
    if unsettled > 0 {
        crew.shared.sink.purge();
    } else if let Err(error) = crew.shared.sink.flush(FLUSH_TIMEOUT) {
        tracing::warn!(%error, "the sink did not end cleanly; everything taken was acknowledged before");
    }
    for (sink, _) in crew.shared.spares.iter().flatten() {
        // What is not delivered by then comes back as purged and is counted as dropped.
        if sink.flush(SPARE_FLUSH_TIMEOUT).is_err() {
            sink.purge();
        }
    }
    crew.repaired.store(true, Ordering::Release);
    // As with the workers.
    let _ = crew.repairing.join();
    if unsettled == 0 { Ended::Drained } else { Ended::CutShort { unsettled } }
}

fn spawn(name: String, stop: &Arc<Stop>, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RunError> {
    let (stop, thread) = (Arc::clone(stop), name.clone());
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
                stop.fatal(format!("thread `{thread}` panicked"));
            }
        })
        .map_err(|error| RunError::Settings(format!("thread `{name}`: {error}")))
}

fn renew_tokens(caches: Vec<Arc<TokenCache>>, stop: &Arc<Stop>) -> Result<(), RunError> {
    if caches.is_empty() {
        return Ok(());
    }
    let (watched, runtime) = (Arc::clone(stop), tokio::runtime::Handle::current());
    // It waits most of its life and holds nothing, so the end of the process may take it.
    spawn("tokens".to_owned(), stop, move || {
        // A token of Entra comes over the network.
        let _within = runtime.enter();
        let mut last = Instant::now();
        while watched.phase() < Phase::GivenUp {
            std::thread::park_timeout(Duration::from_millis(500));
            if last.elapsed() >= TOKEN_INTERVAL {
                last = Instant::now();
                for cache in &caches {
                    if let Err(fault) = cache.refresh() {
                        tracing::warn!(%fault, "token not renewed");
                    }
                }
            }
        }
    })
    .map(drop)
}

enum Signal {
    Stop,
    Reload,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Signals, RunError> {
        use tokio::signal::unix::{SignalKind, signal};
        let caught = |kind| signal(kind).map_err(|error| RunError::Settings(format!("signals: {error}")));
        Ok(Signals {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hangup: caught(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Signals, RunError> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        // An error means that there is nothing to wait for; the process then ends like after a signal.
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop
    }
}
