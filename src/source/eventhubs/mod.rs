//! Events from Event Hubs over AMQP.
//!
//! The vendor's processor shares the partitions out and opens receivers with an owner epoch, so a partition has one reader even when two
//! processes believe that it is theirs. What it hands over goes to the same [`Keeper`] as Kafka's messages: the sequence number is the
//! offset. A checkpoint is the offset text of the last event that the keeper's watermark has passed; it is written only while the partition
//! is still assigned under the generation it was read in, and only by its owner.
//!
//! Everything runs on one thread but the connections' own work; receivers that are not polled stop asking the service for more, which is
//! how the source pauses.
mod blob_store;
mod file_store;
mod position;
mod reader;
mod silence;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::credentials::TokenCredential;
use azure_messaging_eventhubs::models::StartPositions;
use azure_messaging_eventhubs::{
    ConnectionString, ConsumerClient, EventHubsError, EventProcessor, ProcessorStrategy, RetryOptions, StartLocation, StartPosition,
};

use self::reader::Reading;
use self::store::Store;
use super::Source;
use super::kafka::Keeper;
use crate::config::{EventHubsSource as Settings, Namespace, Start, entra};

/// How often room, drain and what is due are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often gauges are brought up to date.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(200);
/// How often the distance to the newest event is measured.
const LAG_INTERVAL: Duration = Duration::from_secs(10);
/// How long the service may take to say where its newest event is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a hub may take to open, and how long events may lie in it without one arriving, before it is connected anew.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// The first wait after the connection or the processor failed; it doubles.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// Reads hubs.
pub struct EventHubsSource {
    settings: Settings,
    keeper: Arc<dyn Keeper>,
    login: Login,
    /// Host name of the namespace, in lower case as the SDK has it.
    host: String,
    store: Arc<Store>,
}

/// How to be let in, secrets read.
enum Login {
    ConnectionString(crate::config::Secret),
    Credential(Arc<dyn TokenCredential>),
}

impl EventHubsSource {
    /// Reads secrets and opens the store of positions. Connecting happens in [`Source::run`].
    ///
    /// # Errors
    ///
    /// A secret could not be read or is no connection string, or positions cannot be kept.
    pub fn new(settings: &Settings, keeper: Arc<dyn Keeper>) -> Result<EventHubsSource, String> {
        let login = Login::read(&settings.namespace())?;
        let host = login.host(&settings.namespace)?;
        let store = Arc::new(Store::open(&settings.checkpoints)?);
        Ok(EventHubsSource { settings: settings.clone(), keeper, login, host, store })
    }
}

impl Login {
    fn read(namespace: &Namespace) -> Result<Login, String> {
        let access = &namespace.access;
        let named = |fault: String| format!("`{}.access`: {fault}", namespace.section);
        match (&access.connection_string, access.credential) {
            (Some(reference), _) => reference.read().map(Login::ConnectionString).map_err(named),
            (None, Some(kind)) => entra::credential(kind, access.client_id.as_deref()).map(Login::Credential).map_err(named),
            (None, None) => Err(named("nobody asks to be let in".to_owned())),
        }
    }
}

impl Source for EventHubsSource {
    fn run(&self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("eventhubs")
            .enable_all()
            .build()
            .map_err(|error| format!("source.eventhubs: threads were not started: {error}"))?;
        let ended = {
            // Connections that end with their tasks want the runtime around them.
            let _within = runtime.enter();
            tokio::task::LocalSet::new().block_on(&runtime, self.read())
        };
        // Connections that hang are left to the end of the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }
}

/// What the tasks of this thread share.
struct Shared {
    settings: Settings,
    keeper: Arc<dyn Keeper>,
    store: Arc<Store>,
    /// Partitions that are being read, by hub and number.
    reading: RefCell<HashMap<(Rc<str>, i32), Reading>>,
    /// The number of the last reading that began.
    generation: Cell<u64>,
    paused: Cell<bool>,
    resumed: tokio::sync::Notify,
    fatal: RefCell<Option<String>>,
    writing: tokio::sync::Mutex<()>,
    /// Host name of the namespace, in lower case as the SDK has it.
    namespace: String,
}

impl EventHubsSource {
    async fn read(&self) -> Result<(), String> {
        let shared = Rc::new(Shared {
            settings: self.settings.clone(),
            keeper: Arc::clone(&self.keeper),
            store: Arc::clone(&self.store),
            reading: RefCell::default(),
            generation: Cell::new(0),
            paused: Cell::new(false),
            resumed: tokio::sync::Notify::new(),
            fatal: RefCell::default(),
            writing: tokio::sync::Mutex::default(),
            namespace: self.host.clone(),
        });
        let hubs: Vec<_> = self
            .settings
            .hubs
            .iter()
            .map(|hub| {
                let (shared, hub) = (Rc::clone(&shared), Rc::from(hub.as_str()));
                let connect = Connect { namespace: self.settings.namespace(), login: self.login.cloned() };
                tokio::task::spawn_local(async move { shared.hub(hub, connect).await })
            })
            .collect();
        let every = Duration::from_millis(self.settings.checkpoint_interval_ms());
        let (mut written, mut observed) = (Instant::now(), Instant::now());
        let ended = loop {
            tokio::time::sleep(TICK).await;
            let draining = self.keeper.is_draining();
            if shared.paused.get() && !draining && self.keeper.has_room() {
                shared.paused.set(false);
                self.keeper.paused(false);
                shared.resumed.notify_waiters();
            }
            if let Some(fault) = shared.fatal.borrow_mut().take() {
                break Err(fault);
            }
            if hubs.iter().any(tokio::task::JoinHandle::is_finished) {
                break Err("source.eventhubs: the task of a hub ended".to_owned());
            }
            if observed.elapsed() >= OBSERVE_INTERVAL {
                observed = Instant::now();
                self.keeper.observe();
            }
            if written.elapsed() >= every {
                written = Instant::now();
                shared.write_positions().await;
            }
            if draining && self.keeper.is_drained() {
                break Ok(());
            }
        };
        shared.write_positions().await;
        for hub in &hubs {
            hub.abort();
        }
        // Others need not wait until what was ours has expired.
        shared.store.release().await;
        ended
    }
}

impl Login {
    fn host(&self, namespace: &str) -> Result<String, String> {
        let Login::ConnectionString(text) = self else { return Ok(namespace.to_lowercase()) };
        let parsed: ConnectionString = text.expose().parse().map_err(|_| {
            "`source.eventhubs.access.connection_string`: expected `Endpoint=sb://NAMESPACE.servicebus.windows.net/;...`".to_owned()
        })?;
        Ok(parsed.fully_qualified_namespace.to_lowercase())
    }

    fn cloned(&self) -> Login {
        match self {
            Login::ConnectionString(text) => Login::ConnectionString(text.clone()),
            Login::Credential(credential) => Login::Credential(Arc::clone(credential)),
        }
    }
}

/// How a hub is reached.
struct Connect {
    namespace: Namespace,
    login: Login,
}

impl Connect {
    async fn open(&self, hub: &str, group: &str) -> Result<ConsumerClient, EventHubsError> {
        // No name of ours: the SDK takes the application's name for the owner's id, and every process must have its own.
        // No retries of the SDK: it would go on from where a receiver first began, and when several receivers of one connection mend it at
        // once they break it for each other. What fails comes here, and the hub is opened anew at its checkpoints.
        let mut builder = ConsumerClient::builder()
            .with_consumer_group(group.to_owned())
            .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() });
        if let Some(endpoint) = &self.namespace.endpoint {
            builder = builder.with_custom_endpoint(endpoint.clone());
        }
        match &self.login {
            Login::ConnectionString(text) => builder.open_with_connection_string(text.expose(), Some(hub)).await,
            Login::Credential(credential) => builder.open(&self.namespace.host, hub.to_owned(), Arc::clone(credential)).await,
        }
    }
}

impl Shared {
    /// Reads one hub for ever, connecting anew when that fails.
    async fn hub(self: Rc<Self>, hub: Rc<str>, connect: Connect) {
        let mut wait = BACKOFF_FIRST;
        loop {
            let began = Instant::now();
            let mut readers = tokio::task::JoinSet::new();
            let fault = match self.hub_once(&hub, &connect, &mut readers).await {
                Ok(()) => "the processor ended".to_owned(),
                Err(text) => {
                    let refused = ["401", "nauthorized", "uthorizing"].iter().any(|sign| text.contains(sign));
                    self.keeper.trouble(if refused { "Authentication" } else { "Connection" }, refused, &format!("hub `{hub}`: {text}"));
                    text
                }
            };
            tracing::warn!(hub = &*hub, fault, "event hub is connected anew");
            readers.shutdown().await;
            self.settle_rest(&hub).await;
            self.gone(&hub);
            if began.elapsed() > BACKOFF_MAX {
                wait = BACKOFF_FIRST;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    async fn hub_once(
        self: &Rc<Self>,
        hub: &Rc<str>,
        connect: &Connect,
        readers: &mut tokio::task::JoinSet<Option<EventHubsError>>,
    ) -> Result<(), String> {
        let (mut watch, processor) = tokio::time::timeout(SILENCE_TIMEOUT, self.open(hub, connect))
            .await
            .map_err(|_| format!("no answer for {} s", SILENCE_TIMEOUT.as_secs()))?
            .map_err(|error| error.to_string())?;
        let mut measured = tokio::time::interval(LAG_INTERVAL);
        let running = processor.run();
        tokio::pin!(running);
        loop {
            tokio::select! {
                ended = &mut running => return ended.map_err(|error| error.to_string()),
                client = processor.next_partition_client() => {
                    let (shared, hub) = (Rc::clone(self), Rc::clone(hub));
                    let client = client.map_err(|error| error.to_string())?;
                    readers.spawn_local(async move { shared.partition(hub, client).await });
                }
                Some(Ok(Some(error))) = readers.join_next() => return Err(error.to_string()),
                _ = measured.tick() => {
                    let fault = match tokio::time::timeout(ANSWER_TIMEOUT, self.measure(hub, &watch)).await {
                        Ok(Ok(())) => None,
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(_) => Some(format!("no answer for {} s", ANSWER_TIMEOUT.as_secs())),
                    };
                    if let Some(fault) = fault {
                        // The gauge stands still for a while; reading goes on by another connection.
                        tracing::debug!(fault, "lag not measured");
                        if let Ok(Ok(anew)) = tokio::time::timeout(ANSWER_TIMEOUT, connect.open(hub, self.settings.consumer_group())).await {
                            watch = anew;
                        }
                    }
                    self.silent(hub)?;
                }
            }
        }
    }

    /// Connects: a client that only asks, and a processor that reads.
    async fn open(&self, hub: &str, connect: &Connect) -> Result<(ConsumerClient, Arc<EventProcessor>), EventHubsError> {
        let group = self.settings.consumer_group();
        let watch = connect.open(hub, group).await?;
        let properties = watch.get_eventhub_properties().await?;
        if self.settings.start == Start::Latest {
            self.store.begin_at_the_end(&watch, &self.namespace, hub, group, &properties.partition_ids).await?;
        }
        self.keeper.reachable();
        self.keeper.assigned(&[]);
        let balance = self.settings.balance_interval_ms();
        let milliseconds = |ms: u64| azure_core::time::Duration::milliseconds(ms.min(86_400_000) as i64);
        // Reached only by a partition without a checkpoint: with `latest` each of those has one by now.
        let first = StartPosition { location: StartLocation::Earliest, inclusive: false };
        let processor = EventProcessor::builder()
            .with_load_balancing_strategy(ProcessorStrategy::Greedy)
            .with_update_interval(milliseconds(balance))
            .with_partition_expiration_duration(milliseconds(balance.saturating_mul(3)))
            .with_start_positions(StartPositions { per_partition: HashMap::new(), default: first })
            .with_prefetch(self.settings.prefetch())
            .build(connect.open(hub, group).await?, self.store.checkpoints())
            .await?;
        Ok((watch, processor))
    }

    /// Tells the keeper where the newest event of each partition is.
    async fn measure(&self, hub: &Rc<str>, watch: &ConsumerClient) -> Result<(), EventHubsError> {
        let numbers: Vec<i32> = self.reading.borrow().keys().filter(|(name, _)| name == hub).map(|(_, number)| *number).collect();
        for number in numbers {
            let properties = watch.get_partition_properties(&number.to_string()).await?;
            self.keeper.newest(hub, number, properties.last_enqueued_sequence_number + 1);
            self.compare(hub, number, &properties).await?;
        }
        Ok(())
    }
}
