//! Events, dead letters and raw messages to NDJSON files, in a folder or an object store.
//!
//! Lines of one topic and one source partition gather in memory. A file is written when it is large, old, or somebody waits for it (a stop, a
//! partition that is given away, a source that paused because too much is under way), and only when it is lasting are its lines
//! acknowledged. So positions move by whole files, and a crash repeats what was in memory.
//!
//! A name says where the file's lines came from and what they are:
//! `TOPIC/YYYY/MM/DD/HH/SOURCE-PARTITION-FIRST-LAST-HASH.ndjson.zst`. The hour is that of the first line's arrival; names of a partition
//! sort as its messages did (`FIRST.LINE` begins in the middle of a message). The same lines get the same name, so what a crash repeats unchanged replaces itself, and what it repeats with other
//! borders shows as overlapping offsets. Different lines never share a name (`HASH` is of the lines), so no late writer can take anything
//! away: two processes may write to one place.
mod line;
mod open;
mod target;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::open::{Closed, OpenFile, Tail};
use self::target::{Fault, Target};
use super::kafka::{Acks, Fate, OutMessage, OwnedMessage, Refused, SendFault, SinkError};
use crate::config::ArchiveSink as Settings;

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Topic of the source.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// When the broker had it. Unit: milliseconds since the Unix epoch.
    pub received_ms: Option<i64>,
}

/// What an archive tells about itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArchiveNews {
    /// A file is lasting; so many bytes on the disk or in the store.
    Written(u64),
    /// An attempt to write a file failed; it is tried again.
    Failed,
    /// Age of the oldest line that is not lasting; zero without one.
    Oldest(Duration),
}

/// How often files are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often the age of the oldest line is told.
const TELL_INTERVAL: Duration = Duration::from_millis(200);
/// A file that somebody waits for is written when nothing was added for so long ...
const AWAITED_IDLE: Duration = Duration::from_millis(100);
/// ... or at this age.
const AWAITED_AGE: Duration = Duration::from_secs(1);
/// Files written at once.
const WRITERS: usize = 4;
/// More files than this are not filled at once; then the oldest is written early.
const OPEN_MAX: usize = 1024;
/// Locks that the files are spread over, so that workers seldom meet.
const SHARDS: usize = 16;
/// What a line costs beyond its bytes.
const OVERHEAD_BYTES: usize = 128;
/// The first wait after writing failed; it doubles.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// The archive.
pub struct ArchiveSink<A: Acks> {
    shared: Arc<Shared<A>>,
}

struct Shared<A: Acks> {
    acks: Arc<A>,
    settings: Settings,
    target: Target,
    open: [Mutex<Shard<A::Owed>>; SHARDS],
    open_files: AtomicUsize,
    open_bytes: AtomicU64,
    /// Bytes of open, waiting and just being written files.
    used_bytes: AtomicU64,
    queue: Mutex<Queue<A::Owed>>,
    changed: Condvar,
    given_up: AtomicBool,
}

/// Files that grow, and where those before them ended: one of each for a topic and partition.
struct Shard<O> {
    files: Vec<OpenFile<O>>,
    tails: Vec<Tail>,
}

struct Queue<O> {
    waiting: VecDeque<Closed<O>>,
    /// Since when the files that are just being written hold lines.
    writing: Vec<Instant>,
    ended: bool,
}

impl<A: Acks> ArchiveSink<A> {
    /// Reads secrets and starts the threads. The place is looked at in the background.
    ///
    /// # Errors
    ///
    /// A secret could not be read, the folder cannot be written, or no thread was to be had.
    pub fn new(settings: &Settings, acks: Arc<A>) -> Result<ArchiveSink<A>, String> {
        let target = Target::new(settings).map_err(|fault| format!("`sink.archive`: {fault}"))?;
        let shared = Arc::new(Shared {
            acks,
            settings: settings.clone(),
            target,
            open: std::array::from_fn(|_| Mutex::new(Shard { files: Vec::new(), tails: Vec::new() })),
            open_files: AtomicUsize::new(0),
            open_bytes: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            queue: Mutex::new(Queue { waiting: VecDeque::new(), writing: Vec::new(), ended: false }),
            changed: Condvar::new(),
            given_up: AtomicBool::new(false),
        });
        let start = |name: String, work: fn(&Shared<A>)| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(name)
                .spawn(move || work(&shared))
                .map(drop)
                .map_err(|error| format!("`sink.archive`: {error}"))
        };
        start("archive".to_owned(), Shared::roll)?;
        for number in 0..WRITERS {
            start(format!("archive-{number}"), Shared::write)?;
        }
        Ok(ArchiveSink { shared })
    }

    /// Hands a message over. It is acknowledged when its file is lasting.
    ///
    /// # Errors
    ///
    /// [`SendFault::Full`]; `owed` comes back.
    pub fn send(&self, message: &OutMessage<'_>, owed: Box<A::Owed>) -> Result<(), (SendFault, Box<A::Owed>)> {
        let shared = &self.shared;
        let limit = shared.settings.buffer_max_bytes;
        if shared.used_bytes.load(Ordering::Acquire) >= limit {
            return Err((SendFault::Full, owed));
        }
        // Without a place nothing sorts; but nothing is lost either.
        let arrival = shared.acks.arrival(&owed).unwrap_or(Arrival { topic: "", partition: 0, offset: 0, received_ms: None });
        let mut shard = lock(&shared.open[open::shard(message.topic, arrival) % SHARDS]);
        let is_of = |file: &OpenFile<A::Owed>| file.is_of(message.topic, arrival);
        if let Some(at) = shard.files.iter().position(is_of)
            && !shard.files[at].may_grow(arrival, shared.settings.roll_bytes)
        {
            shared.close(&mut shard, at);
        }
        let at = match shard.files.iter().position(is_of) {
            Some(at) => at,
            None => {
                shared.open_files.fetch_add(1, Ordering::AcqRel);
                let tail = shard.tails.iter().position(|tail| tail.is_of(message.topic, arrival)).map(|at| shard.tails.swap_remove(at));
                shard.files.push(OpenFile::new(message.topic, arrival, tail.as_ref()));
                shard.files.len() - 1
            }
        };
        let file = &mut shard.files[at];
        let before = file.bytes.len();
        let offset = arrival.offset;
        line::write(message, arrival, &mut file.bytes);
        let grown = (file.bytes.len() - before + OVERHEAD_BYTES) as u64;
        file.add(offset, owed);
        shared.open_bytes.fetch_add(grown, Ordering::AcqRel);
        shared.used_bytes.fetch_add(grown, Ordering::AcqRel);
        Ok(())
    }

    /// Waits until a file was written, or `timeout` passed.
    pub fn wait_for_room(&self, timeout: Duration) {
        let queue = lock(&self.shared.queue);
        // Woken or not, the caller tries again.
        drop(self.shared.changed.wait_timeout(queue, timeout));
    }

    /// Writes everything and waits until it is lasting.
    ///
    /// # Errors
    ///
    /// [`SinkError::Flush`] when `timeout` passes before.
    pub fn flush(&self, timeout: Duration) -> Result<(), SinkError> {
        let deadline = Instant::now() + timeout;
        self.shared.close_where(|_| true);
        let mut queue = lock(&self.shared.queue);
        while !queue.waiting.is_empty() || !queue.writing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SinkError::Flush(format!(
                    "{} files of the archive are not written",
                    queue.waiting.len() + queue.writing.len()
                )));
            }
            queue = self.shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Throws out what is not written: a stop that may wait no longer.
    pub fn purge(&self) {
        let shared = &self.shared;
        shared.given_up.store(true, Ordering::Release);
        shared.close_where(|_| true);
        let waiting = std::mem::take(&mut lock(&shared.queue).waiting);
        for file in waiting {
            shared.throw_out(file);
        }
        shared.changed.notify_all();
    }
}

impl<A: Acks> Drop for ArchiveSink<A> {
    fn drop(&mut self) {
        lock(&self.shared.queue).ended = true;
        self.shared.changed.notify_all();
    }
}

impl<A: Acks> Shared<A> {
    /// Puts a file that takes no more lines where the writers find it.
    fn close(&self, shard: &mut Shard<A::Owed>, at: usize) {
        let (closed, tail) = shard.files.swap_remove(at).close();
        shard.tails.push(tail);
        self.open_files.fetch_sub(1, Ordering::AcqRel);
        self.open_bytes.fetch_sub(closed.cost(), Ordering::AcqRel);
        lock(&self.queue).waiting.push_back(closed);
        self.changed.notify_all();
    }

    fn close_where(&self, wanted: impl Fn(&OpenFile<A::Owed>) -> bool) {
        for shard in &self.open {
            let mut shard = lock(shard);
            while let Some(at) = shard.files.iter().position(&wanted) {
                self.close(&mut shard, at);
            }
        }
    }

    /// The thread that decides when a file is written.
    fn roll(&self) {
        let every = Duration::from_millis(self.settings.roll_interval_ms);
        let mut told = Instant::now();
        loop {
            std::thread::park_timeout(TICK);
            if lock(&self.queue).ended {
                return;
            }
            let now = Instant::now();
            self.close_where(|file| {
                let age = now.saturating_duration_since(file.opened);
                let rests = now.saturating_duration_since(file.grown) >= AWAITED_IDLE || age >= AWAITED_AGE;
                file.bytes.len() as u64 >= self.settings.roll_bytes
                    || age >= every
                    || rests && file.owed.first().is_some_and(|owed| self.acks.is_awaited(owed))
            });
            if self.open_bytes.load(Ordering::Acquire) * 2 >= self.settings.buffer_max_bytes {
                self.close_first_by(|file| std::cmp::Reverse(file.bytes.len()));
            }
            if self.open_files.load(Ordering::Acquire) > OPEN_MAX {
                self.close_first_by(|file| file.opened);
            }
            if now.saturating_duration_since(told) >= TELL_INTERVAL {
                told = now;
                let oldest = self.oldest().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
                self.acks.archive(ArchiveNews::Oldest(oldest));
            }
        }
    }

    /// Writes the open file that comes first in an order.
    fn close_first_by<K: Ord>(&self, key: impl Fn(&OpenFile<A::Owed>) -> K) {
        let firsts = self.open.iter().enumerate().filter_map(|(index, shard)| Some((lock(shard).files.iter().map(&key).min()?, index)));
        let Some((_, index)) = firsts.min_by(|(left, _), (right, _)| left.cmp(right)) else { return };
        let mut shard = lock(&self.open[index]);
        if let Some(at) = (0..shard.files.len()).min_by_key(|at| key(&shard.files[*at])) {
            self.close(&mut shard, at);
        }
    }

    fn oldest(&self) -> Option<Instant> {
        let open = self.open.iter().filter_map(|shard| lock(shard).files.iter().map(|file| file.opened).min()).min();
        let queue = lock(&self.queue);
        queue.waiting.iter().map(|file| file.opened).chain(queue.writing.iter().copied()).chain(open).min()
    }

    /// A thread that writes files.
    fn write(&self) {
        // Whoever asks is told whether the place can be reached before the first file is due.
        if self.target.claim_probe() {
            self.until_it_works(|| self.target.probe());
        }
        loop {
            let mut queue = lock(&self.queue);
            let file = loop {
                if let Some(file) = queue.waiting.pop_front() {
                    break file;
                }
                if queue.ended {
                    return;
                }
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            let since = file.opened;
            queue.writing.push(since);
            drop(queue);
            self.write_file(file);
            let mut queue = lock(&self.queue);
            if let Some(at) = queue.writing.iter().position(|one| *one == since) {
                queue.writing.swap_remove(at);
            }
            drop(queue);
            self.changed.notify_all();
        }
    }

    fn write_file(&self, mut file: Closed<A::Owed>) {
        let name = file.name(self.settings.compression);
        let packed = match open::compress(&file.bytes, self.settings.compression) {
            Ok(packed) => packed,
            Err(error) => {
                // Only memory is written to; should it fail all the same, the process must not go on as if it had not.
                return self.refuse(file, Fate::Fatal, &format!("Compression: {error}"));
            }
        };
        let size = packed.len() as u64;
        let written = self.until_it_works(|| {
            let result = self.target.write(&name, &packed);
            self.acks.archive(if result.is_ok() { ArchiveNews::Written(size) } else { ArchiveNews::Failed });
            result
        });
        if !written {
            return self.throw_out(file);
        }
        self.used_bytes.fetch_sub(file.cost(), Ordering::AcqRel);
        for owed in file.owed.drain(..) {
            self.acks.delivered(owed, Ok(()));
        }
    }

    /// Tries until it works, or until nobody wants it any more.
    fn until_it_works(&self, mut attempt: impl FnMut() -> Result<(), Fault>) -> bool {
        let mut wait = BACKOFF_FIRST;
        while !self.given_up.load(Ordering::Acquire) {
            match attempt() {
                Ok(()) => {
                    self.acks.reachable();
                    return true;
                }
                Err(fault) => self.acks.trouble(fault.code, fault.refused, &fault.text),
            }
            let deadline = Instant::now() + wait + wait.mul_f64(crate::sink::jitter() / 4.0);
            while Instant::now() < deadline && !self.given_up.load(Ordering::Acquire) && !lock(&self.queue).ended {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            if lock(&self.queue).ended {
                return false;
            }
            wait = (wait * 2).min(BACKOFF_MAX);
        }
        false
    }

    fn throw_out(&self, file: Closed<A::Owed>) {
        self.refuse(file, Fate::Purged, "Purged");
    }

    fn refuse(&self, mut file: Closed<A::Owed>, fate: Fate, code: &str) {
        self.used_bytes.fetch_sub(file.cost(), Ordering::AcqRel);
        for owed in file.owed.drain(..) {
            let message = OwnedMessage { topic: file.topic.clone(), ..OwnedMessage::default() };
            self.acks.delivered(owed, Err(Refused { fate, too_large: false, code: code.to_owned(), message }));
        }
    }
}

/// What a lock guards is whole between two calls, so a poisoned one is used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
