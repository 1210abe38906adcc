//! Blobs that grow, as a source of `udmill run`.
//!
//! Names are listed in rounds: the last two hours every time, everything within the look-back now and then. A blob with a new version is read from
//! behind its last whole record. Records go to the same [`Keeper`] as the messages of brokers, spread over a few lanes that stand for partitions
//! (a blob stays in one, so its order is kept); their offsets are numbers that only grow. When the keeper's watermark has passed a record,
//! its end is its blob's position, and only such positions are written. So a kill repeats what was in flight and loses nothing.
//!
//! Everything runs on one thread; readers that wait for room ask the store for nothing more.
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::growth::{End, Growth, Mark, Piece};
use super::kept::{Fault, Kept, Positions, Store, Tail};
use super::listing::{Candidate, Folders, folders};
use crate::config::{BlobSource as Settings, Place, open_store, store_answer};
use crate::source::kafka::{Keeper, SourceMessage};
use crate::source::{Source, now_ms};

/// How often room, drain and what is due are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often gauges are brought up to date.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(200);
/// How often folders and the whole look-back are listed.
const FULL_INTERVAL: Duration = Duration::from_secs(600);
/// Blobs read at once.
const READERS: usize = 4;
/// Lanes of a container: so many workers can be busy with it.
const LANES: i32 = 8;
/// A record that is not whole at this size is handed on as it is, and rejected. 64 MiB: what decoding takes at most.
const RECORD_MAX_BYTES: usize = 64 << 20;
/// Other readers, and the clock, get a turn after so many records.
const TURN: u32 = 64;

/// Reads blobs that grow.
pub struct BlobSource {
    settings: Settings,
    keeper: Arc<dyn Keeper>,
    places: Vec<Opened>,
    /// Taken by the first run.
    store: Mutex<Option<Store>>,
}

/// A place that is read.
#[derive(Clone)]
struct Opened {
    store: Arc<dyn ObjectStore>,
    /// `az://CONTAINER`
    name: String,
    container: String,
    prefix: String,
}

impl BlobSource {
    /// Reads secrets and opens the store of positions. Nothing is asked over the network before [`Source::run`].
    ///
    /// # Errors
    ///
    /// A secret could not be read, or positions cannot be kept.
    pub fn new(settings: &Settings, keeper: Arc<dyn Keeper>) -> Result<BlobSource, String> {
        let mut places = Vec::new();
        for text in &settings.from {
            let Place::Store { cloud, container, prefix } = Place::read(text).map_err(|fault| format!("`source.blob.from`: {fault}"))?
            else {
                return Err(format!("`source.blob.from`: `{text}` is a folder; `udmill replay` reads folders"));
            };
            let store = open_store(cloud, &container, &settings.access).map_err(|fault| format!("`source.blob`: `{text}`: {fault}"))?;
            let name = Place::Store { cloud, container: container.clone(), prefix: String::new() }.to_string();
            places.push(Opened { store, name: name.trim_end_matches('/').to_owned(), container, prefix });
        }
        let store = Store::open(settings).map_err(|fault| format!("`source.blob.checkpoints`: {fault}"))?;
        Ok(BlobSource { settings: settings.clone(), keeper, places, store: Mutex::new(Some(store)) })
    }
}

impl Source for BlobSource {
    fn run(&self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("source.blob: threads were not started: {error}"))?;
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut store = store.ok_or("source.blob: it runs once")?;
        let ended = runtime.block_on(async {
            let Some(positions) = self.load(&mut store).await? else { return Ok(()) };
            Reading::new(self, store, positions).run().await
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }
}

impl BlobSource {
    /// Reads the positions; `None` when a stop came first.
    async fn load(&self, store: &mut Store) -> Result<Option<Positions>, String> {
        loop {
            match store.load().await {
                Ok(positions) => return Ok(Some(positions)),
                Err(Err(fault)) => return Err(format!("source.blob: {fault}")),
                Err(Ok(trouble)) => self.keeper.trouble("Store", false, &format!("positions of blobs: {}", store_answer(&trouble))),
            }
            for _ in 0..100 {
                if self.keeper.is_draining() {
                    return Ok(None);
                }
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

/// Where a blob is being read.
#[derive(Debug, Clone, Default)]
struct Cursor {
    mark: Mark,
    tail: Tail,
    /// The version that was read to its end.
    e_tag: Option<String>,
    /// Behind the last whole record there is more than what closes the list.
    has_rest: bool,
    hour: i64,
}

/// What a lane handed on and is not settled: the record's number, its blob, and where that one goes on behind it.
#[derive(Debug, Default)]
struct Lane {
    next: i64,
    taken: VecDeque<(i64, Rc<str>, Mark, Tail)>,
}

/// First bytes, and the rest of them.
type Behind = (Vec<u8>, BoxStream<'static, Result<Vec<u8>, Error>>);

struct Reading<'a> {
    source: &'a BlobSource,
    keeper: &'a dyn Keeper,
    lanes: RefCell<BTreeMap<(String, i32), Lane>>,
    cursors: RefCell<BTreeMap<String, Cursor>>,
    kept: RefCell<Positions>,
    is_changed: Cell<bool>,
    store: tokio::sync::Mutex<Store>,
    is_paused: Cell<bool>,
    resumed: tokio::sync::Notify,
    fatal: RefCell<Option<String>>,
}

impl<'a> Reading<'a> {
    fn new(source: &'a BlobSource, store: Store, mut kept: Positions) -> Reading<'a> {
        kept.writer = format!("{}-{:x}", std::process::id(), RandomState::new().hash_one(0u8));
        // Numbers go on where no earlier process has been, so that files of an archive sort.
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        let lane = |place: &Opened| {
            (0..LANES).map(|number| ((place.container.clone(), number), Lane { next: begin, taken: VecDeque::new() })).collect::<Vec<_>>()
        };
        let cursor = |(name, kept): (&String, &Kept)| {
            let cursor = Cursor { mark: kept.mark(), tail: kept.tail.clone(), e_tag: kept.e_tag.clone(), has_rest: false, hour: kept.hour };
            (name.clone(), cursor)
        };
        Reading {
            source,
            keeper: &*source.keeper,
            lanes: RefCell::new(source.places.iter().flat_map(lane).collect()),
            cursors: RefCell::new(kept.blobs.iter().map(cursor).collect()),
            kept: RefCell::new(kept),
            is_changed: Cell::new(false),
            store: tokio::sync::Mutex::new(store),
            is_paused: Cell::new(false),
            resumed: tokio::sync::Notify::new(),
            fatal: RefCell::default(),
        }
    }

    async fn run(&self) -> Result<(), String> {
        let lanes: Vec<(String, i32)> = self.lanes.borrow().keys().cloned().collect();
        self.keeper.assigned(&lanes);
        let ended = tokio::select! {
            ended = self.watch() => ended,
            () = self.rounds() => Ok(()),
        };
        self.write_positions().await;
        ended
    }

    /// Looks after room, positions and the end, beside the readers.
    async fn watch(&self) -> Result<(), String> {
        let every = Duration::from_millis(self.source.settings.checkpoint_interval_ms);
        let (mut written, mut observed) = (Instant::now(), Instant::now());
        loop {
            tokio::time::sleep(TICK).await;
            let draining = self.keeper.is_draining();
            if self.is_paused.get() && !draining && self.keeper.has_room() {
                self.is_paused.set(false);
                self.keeper.paused(false);
                self.resumed.notify_waiters();
            }
            if let Some(fault) = self.fatal.borrow_mut().take() {
                return Err(fault);
            }
            if observed.elapsed() >= OBSERVE_INTERVAL {
                observed = Instant::now();
                self.keeper.observe();
            }
            if written.elapsed() >= every {
                written = Instant::now();
                self.write_positions().await;
            }
            if draining && self.keeper.is_drained() {
                return Ok(());
            }
        }
    }

    /// Lists and reads for ever.
    async fn rounds(&self) {
        let every = Duration::from_millis(self.source.settings.poll_interval_ms);
        let mut known: Vec<Folders> = self.source.places.iter().map(|_| Folders::default()).collect();
        let mut full: Option<Instant> = None;
        loop {
            let is_full = full.is_none_or(|last| last.elapsed() >= FULL_INTERVAL);
            let now_hour = now_ms().div_euclid(3_600_000);
            let mut is_whole = true;
            let mut loose = BTreeSet::new();
            let first_hour = self.first_hour(now_hour);
            for (place, known) in self.source.places.iter().zip(&mut known) {
                match self.round(place, known, is_full, (first_hour, now_hour), &mut loose).await {
                    Ok(whole) => is_whole &= whole,
                    Err(error) => {
                        is_whole = false;
                        self.trouble(place, &error);
                    }
                }
            }
            if is_whole {
                self.keeper.reachable();
            }
            if is_full && is_whole {
                full = Some(Instant::now());
                self.forget(first_hour, &loose);
                self.kept.borrow_mut().listed_hour = now_hour;
                self.is_changed.set(true);
            }
            tokio::time::sleep(every).await;
        }
    }

    /// The first hour that is looked at: after a pause it counts from the last look.
    fn first_hour(&self, now_hour: i64) -> i64 {
        let listed = self.kept.borrow().listed_hour;
        let from = if listed > 0 { now_hour.min(listed) } else { now_hour };
        from - i64::from(self.source.settings.look_back_hours)
    }

    /// One look at a place. Answers whether everything that was found could be read.
    async fn round(
        &self,
        place: &Opened,
        known: &mut Folders,
        is_full: bool,
        (first_hour, now_hour): (i64, i64),
        loose: &mut BTreeSet<String>,
    ) -> Result<bool, Error> {
        if is_full {
            *known = folders(&*place.store, &place.prefix).await?;
        }
        // An hour more: the clocks of others may be ahead.
        let span = if is_full { (first_hour, now_hour + 1) } else { (now_hour - 1, now_hour + 1) };
        let found = known.blobs(&*place.store, span, is_full, &self.source.settings.names_end).await?;
        loose.extend(found.iter().filter(|one| one.hour == 0).map(|one| format!("{}/{}", place.name, one.meta.location)));
        let is_whole = Cell::new(true);
        futures::stream::iter(found)
            .for_each_concurrent(READERS, |candidate| async {
                let location = candidate.meta.location.clone();
                match self.blob(place, candidate).await {
                    Ok(()) => {}
                    Err(Error::NotFound { .. }) => {
                        tracing::warn!(%location, "blob is gone since it was listed; what it had grown by was not read");
                    }
                    Err(error) => {
                        is_whole.set(false);
                        tracing::debug!(%location, error = store_answer(&error.to_string()), "blob not read");
                        self.trouble(place, &error);
                    }
                }
            })
            .await;
        Ok(is_whole.get())
    }

    /// Reads what a blob has grown by.
    async fn blob(&self, place: &Opened, candidate: Candidate) -> Result<(), Error> {
        let Candidate { meta, hour } = candidate;
        let name = format!("{}/{}", place.name, meta.location);
        let mut cursor = self.cursors.borrow().get(&name).cloned().unwrap_or(Cursor { hour, ..Cursor::default() });
        let age_ms = now_ms() - meta.last_modified.timestamp_millis();
        let is_settled = age_ms >= i64::from(self.source.settings.settled_hours) * 3_600_000;
        if meta.e_tag.is_some() && cursor.e_tag == meta.e_tag && !(cursor.has_rest && is_settled) {
            return Ok(());
        }
        let mut stream = if meta.size < cursor.mark.offset { None } else { self.behind(place, &meta, &cursor).await? };
        if stream.is_none() {
            tracing::warn!(blob = name, "blob was written anew and is read from its beginning; repeats carry the same ids");
            cursor = Cursor { hour, ..Cursor::default() };
            stream = self.behind(place, &meta, &cursor).await?;
        }
        if let Some((first, mut stream)) = stream
            && meta.size > cursor.mark.offset
        {
            let mut left = meta.size - cursor.mark.offset;
            let mut growth = Growth::new(cursor.mark, RECORD_MAX_BYTES);
            let mut first = Some(first).filter(|first| !first.is_empty());
            let shared: Rc<str> = Rc::from(name.as_str());
            let mut turn = 0;
            while left > 0 {
                let chunk = match first.take() {
                    Some(first) => first,
                    None => match stream.next().await.transpose()? {
                        Some(chunk) => chunk,
                        None => break,
                    },
                };
                left = left.saturating_sub(chunk.len() as u64);
                growth.push(&chunk);
                let end = match (left > 0, is_settled) {
                    (true, _) => End::NotYet,
                    (false, false) => End::ForNow,
                    (false, true) => End::Final,
                };
                while let Some(piece) = growth.next(end) {
                    self.room().await;
                    (cursor.mark, cursor.tail) = (piece.mark, Tail::of(piece.bytes));
                    self.hand_on(place, &shared, &meta, &piece, &cursor);
                    // A reader that breaks off goes on from here.
                    self.cursors.borrow_mut().insert(name.clone(), cursor.clone());
                    turn += 1;
                    if turn % TURN == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            if left > 0 {
                let source = "the answer ended early".into();
                return Err(Error::Generic { store: "blob", source });
            }
            cursor.has_rest = growth.has_rest();
        }
        cursor.e_tag = meta.e_tag;
        self.cursors.borrow_mut().insert(name, cursor);
        Ok(())
    }

    /// What stands behind the position: its first bytes and the stream of the rest. `None` when the bytes before it are not those that were
    /// read. One request: it begins where the bytes to compare begin.
    async fn behind(&self, place: &Opened, meta: &ObjectMeta, cursor: &Cursor) -> Result<Option<Behind>, Error> {
        let from = cursor.mark.offset.saturating_sub(cursor.tail.length);
        if from == meta.size {
            return Ok(Some((Vec::new(), futures::stream::empty().boxed())));
        }
        let range = Some(GetRange::Bounded(from..meta.size));
        let answer = place.store.get_opts(&meta.location, GetOptions { range, ..GetOptions::default() }).await?;
        let mut stream = answer.into_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec())).boxed();
        let (mut first, wanted) = (Vec::new(), (cursor.mark.offset - from) as usize);
        while first.len() < wanted {
            match stream.next().await.transpose()? {
                Some(chunk) => first.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
        let behind = first.split_off(wanted);
        Ok((wanted == 0 || Tail::of(&first) == cursor.tail).then_some((behind, stream)))
    }

    fn hand_on(&self, place: &Opened, name: &Rc<str>, meta: &ObjectMeta, piece: &Piece<'_>, cursor: &Cursor) {
        let number = lane_of(name);
        let sequence = {
            let mut lanes = self.lanes.borrow_mut();
            let lane = lanes.entry((place.container.clone(), number)).or_default();
            let sequence = lane.next;
            lane.next += 1;
            lane.taken.push_back((sequence, Rc::clone(name), cursor.mark, cursor.tail.clone()));
            sequence
        };
        self.keeper.message(&SourceMessage {
            topic: &place.container,
            partition: number,
            offset: sequence,
            received_ms: Some(meta.last_modified.timestamp_millis()),
            body: piece.bytes,
            headers: Vec::new(),
            place: Some((name, piece.start as i64)),
        });
    }

    /// Returns when there is room; never while draining.
    async fn room(&self) {
        loop {
            if self.keeper.is_draining() {
                std::future::pending::<()>().await;
            }
            if !self.is_paused.get() && self.keeper.is_full() {
                self.is_paused.set(true);
                self.keeper.paused(true);
            }
            if !self.is_paused.get() {
                return;
            }
            self.resumed.notified().await;
        }
    }

    /// Moves the positions of blobs to what is settled, and writes them when something changed.
    async fn write_positions(&self) {
        for position in self.keeper.positions() {
            let mut lanes = self.lanes.borrow_mut();
            let Some(lane) = lanes.get_mut(&(position.topic.to_string(), position.partition)) else { continue };
            let (mut kept, cursors) = (self.kept.borrow_mut(), self.cursors.borrow());
            while lane.taken.front().is_some_and(|(sequence, ..)| *sequence < position.offset) {
                let Some((_, name, mark, tail)) = lane.taken.pop_front() else { break };
                let hour = cursors.get(&*name).map_or(0, |cursor| cursor.hour);
                kept.blobs.insert(name.to_string(), Kept { offset: mark.offset, inside: mark.is_inside, tail, e_tag: None, hour });
                self.is_changed.set(true);
            }
        }
        if !self.is_changed.replace(false) {
            return;
        }
        let snapshot = {
            let (mut kept, cursors) = (self.kept.borrow_mut(), self.cursors.borrow());
            for (name, one) in &mut kept.blobs {
                // A version is done with when all that was read of it is settled.
                if let Some(cursor) = cursors.get(name).filter(|cursor| cursor.mark == one.mark() && !cursor.has_rest) {
                    one.e_tag.clone_from(&cursor.e_tag);
                }
            }
            kept.clone()
        };
        let result = match self.store.lock().await.save(&snapshot).await {
            Ok(()) => Ok(()),
            Err(Fault::Taken(fault)) => {
                self.fatal.borrow_mut().get_or_insert(format!("source.blob: {fault}"));
                Err(fault)
            }
            Err(Fault::Later(fault)) => {
                self.is_changed.set(true);
                Err(fault)
            }
        };
        self.keeper.committed(result);
    }

    /// Forgets blobs of hours that are not looked at any more, and those without an hour that are gone.
    fn forget(&self, first_hour: i64, loose: &BTreeSet<String>) {
        let stays = |name: &String, hour: i64| if hour > 0 { hour >= first_hour } else { loose.contains(name) };
        self.cursors.borrow_mut().retain(|name, cursor| stays(name, cursor.hour));
        self.kept.borrow_mut().blobs.retain(|name, kept| stays(name, kept.hour));
    }

    fn trouble(&self, place: &Opened, error: &Error) {
        let (code, refused) = match error {
            Error::PermissionDenied { .. } => ("Authorization", true),
            Error::Unauthenticated { .. } => ("Authentication", true),
            Error::NotFound { .. } => ("ContainerNotFound", false),
            // Listing says it in these words.
            Error::Generic { .. } if error.to_string().contains("404 Not Found") => ("ContainerNotFound", false),
            _ => ("Store", false),
        };
        self.keeper.trouble(code, refused, &format!("{}: {}", place.name, store_answer(&error.to_string())));
    }
}

fn lane_of(name: &str) -> i32 {
    // The same in every process, so that a blob's messages stay in order over restarts.
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() % LANES as u64) as i32
}
