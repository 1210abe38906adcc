//! What to ask next, as a machine without clock, network or disk.
//!
//! Whoever runs it calls [`Collector::next`] with the time and does what it says: asks the API and hands the answer to [`Collector::on`],
//! or delivers the batch and calls [`Collector::delivered`] once everything is acknowledged. A week is simulated in a second this way.
//!
//! A *pass* reads one window, from some time before the last window's end to now, to its end: events appear late, so each pass looks back,
//! usually a little, every hour a day, every day a week. The list's order is not stated anywhere, so nothing rests on it. `reached` moves
//! only over windows that were read as a whole and delivered; whatever goes wrong, the next pass repeats the window. Ids of delivered events
//! are known as far back as any pass looks, so nothing is delivered twice.
use std::collections::{HashMap, HashSet};

use super::page::{Item, Page, http_date, retry_after_ms};
use super::state::{Listing, State, piece_of};

/// How a listing is read. Times are seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// From the end of a usual pass to the beginning of the next.
    pub poll: i64,
    /// How far before `reached` a usual pass begins.
    pub overlap: i64,
    /// How far a deep pass looks back, and how often there is one.
    pub deep: (i64, i64),
    /// The same for the deepest.
    pub deepest: (i64, i64),
    /// Events a page: 1 to 100.
    pub page_events: u32,
    /// New events of one window that are held at once; a larger window is split by time. Unit: bytes.
    pub window_max_bytes: usize,
    /// Attempts at one request before the pass is given up and its window begun anew.
    pub tries: u32,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            poll: 60,
            overlap: 15 * 60,
            deep: (24 * 3600, 3600),
            deepest: (7 * 24 * 3600, 24 * 3600),
            page_events: 100,
            window_max_bytes: 32 << 20,
            tries: 5,
        }
    }
}

/// The longest wait after something went wrong. Unit: milliseconds.
const WAIT_MAX_MS: i64 = 5 * 60 * 1000;
/// The longest wait that `Retry-After` may ask for: beyond it a human has to look. Unit: milliseconds.
const ADVISED_MAX_MS: i64 = 3600 * 1000;
/// 429 without `Retry-After` so often in a row ends the pass: the API leaves it out when waiting does not help.
const BLIND_TRIES: u32 = 5;
/// A page that does not lead on is asked for again so often before the pages are given up.
const STUMBLES_MAX: u32 = 2;
/// How often a listing that was refused, or that this organization does not have, is looked at. Unit: milliseconds.
const LOOK_AGAIN_MS: i64 = 3600 * 1000;

/// One request. Both times are included; unit: seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which list.
    pub listing: Listing,
    /// `effective_at[gte]`.
    pub from: i64,
    /// `effective_at[lte]`.
    pub to: i64,
    /// `after`: the page behind the event of this id.
    pub after: Option<String>,
    /// `limit`.
    pub limit: u32,
}

impl Query {
    /// Names and values, not yet percent-encoded.
    /// Source: OpenAI API specification, `GET /organization/audit_logs`.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("effective_at[gte]", self.from.to_string()),
            ("effective_at[lte]", self.to.to_string()),
            ("limit", self.limit.to_string()),
        ];
        if self.listing == Listing::Tenant {
            pairs.push(("tenant_only", "true".to_owned()));
        }
        pairs.extend(self.after.iter().map(|after| ("after", after.clone())));
        pairs
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The API answered.
    Answer {
        /// HTTP status.
        status: u16,
        /// The header `Date`.
        date: Option<String>,
        /// The header `Retry-After`.
        retry_after: Option<String>,
        /// The whole body.
        body: Vec<u8>,
    },
    /// It did not, or broke off; the text says how.
    Broken(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask the API; then [`Collector::on`].
    Ask(Query),
    /// Deliver [`Collector::batch`]; then [`Collector::delivered`].
    Deliver,
    /// Nothing until this time. Unit: milliseconds.
    Wait(i64),
}

/// Events to deliver, and what is true once they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// New events by rising time, then id. The first has the offset [`super::state::Head::next_offset`].
    pub events: Vec<Item>,
    /// The state after it, without the ids of `events`.
    reached: i64,
    /// The pass ends with it.
    is_last: bool,
    /// Times that stand for events without one.
    fallback_at: i64,
}

/// How far back a pass looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The overlap.
    Usual,
    /// A day.
    Deep,
    /// A week, or what was asked for.
    Deepest,
}

impl Depth {
    /// The word in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Depth::Usual => "usual",
            Depth::Deep => "deep",
            Depth::Deepest => "deepest",
        }
    }
}

/// What happened, for metrics and the log. Nothing here decides anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A request ended; the word is from a closed list.
    Request(&'static str),
    /// Events of a page: new, and known before.
    Events {
        /// Not delivered before.
        new: u64,
        /// Delivered before, or twice in this pass.
        known: u64,
    },
    /// The pages do not lead on; the window is split by time instead.
    CursorFault,
    /// A page whose times neither fall nor rise.
    Disorder,
    /// An event without `id` or without a usable `effective_at`.
    Odd(&'static str),
    /// The type of a new event.
    Kind(Option<String>),
    /// An event that an earlier window should have had: seconds from its time to its discovery.
    Late(i64),
    /// It was further back than the usual overlap.
    OnlyDeep,
    /// A pass was read to its end and delivered.
    Passed(Depth),
    /// A pass was given up; its window is read again.
    Failed(String),
    /// A page that could not be read, as it came.
    Unreadable(Vec<u8>),
    /// The API refused the key for this listing.
    Refused(String),
    /// This organization does not have this listing.
    Absent(u16),
    /// 429 again and again: somebody has to look.
    Limited(String),
    /// The API answers as it should again.
    Well,
}

/// One stretch of a window. Both ends are included.
#[derive(Debug)]
struct Range {
    from: i64,
    to: i64,
    after: Option<String>,
    /// Pages do not lead on: halves are asked for instead.
    by_time: bool,
    /// How often its pages did not lead on, when it is a single second.
    attempts: u32,
    /// Answers to this page that did not lead on.
    stumbles: u32,
    /// Ids of this reading of it.
    ids: HashSet<String>,
    /// New among them.
    found: Vec<Item>,
    found_bytes: usize,
}

impl Range {
    fn new(from: i64, to: i64, by_time: bool) -> Range {
        Range { from, to, after: None, by_time, attempts: 0, stumbles: 0, ids: HashSet::new(), found: Vec::new(), found_bytes: 0 }
    }

    /// Two halves of it; a second is never split.
    fn halves(&self, by_time: bool) -> Option<[Range; 2]> {
        let middle = self.from + (self.to - self.from) / 2;
        (self.from < self.to).then(|| [Range::new(self.from, middle, by_time), Range::new(middle + 1, self.to, by_time)])
    }
}

/// One window on its way.
#[derive(Debug)]
struct Pass {
    depth: Depth,
    /// `reached` moves to here at most: the server's time when it was first asked.
    reach: i64,
    /// The server said what time it is.
    is_dated: bool,
    began_ms: i64,
    /// The last is read first, and is the oldest.
    ranges: Vec<Range>,
    found: HashMap<String, Item>,
    found_bytes: usize,
}

/// See the module's page.
#[derive(Debug)]
pub struct Collector {
    rules: Rules,
    state: State,
    pass: Option<Pass>,
    batch: Option<Batch>,
    /// The server's clock minus ours. Unit: milliseconds.
    skew_ms: i64,
    wait_until_ms: i64,
    /// Attempts at this request that failed, and passes in a row that did.
    tries: u32,
    failed_passes: u32,
    blind: u32,
    is_refused: bool,
    is_absent: bool,
    /// One pass from here instead of the usual ones.
    only_from: Option<i64>,
    passes: u64,
    chance: u64,
    notes: Vec<Note>,
}

impl Collector {
    /// Goes on from a state. `seed` decides only how long it waits after a failure, so that several processes do not come back together.
    pub fn new(rules: Rules, state: State, seed: u64) -> Collector {
        Collector {
            rules,
            state,
            pass: None,
            batch: None,
            skew_ms: 0,
            wait_until_ms: i64::MIN,
            tries: 0,
            failed_passes: 0,
            blind: 0,
            is_refused: false,
            is_absent: false,
            only_from: None,
            passes: 0,
            chance: seed,
            notes: Vec::new(),
        }
    }

    /// The next pass begins here, whatever was read before. Unit: seconds.
    pub fn look_back_to(&mut self, from: i64) {
        self.only_from = Some(from);
        self.state.head.floor = self.state.head.floor.min(from);
    }

    /// The state as of the last delivered batch.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What happened since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Passes that ended well since the start.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// Whether the API refuses the key.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether this organization does not have this listing.
    pub fn is_absent(&self) -> bool {
        self.is_absent
    }

    /// Passes in a row that failed.
    pub fn failed_passes(&self) -> u32 {
        self.failed_passes
    }

    /// Ends a wait: the key is another one now.
    pub fn try_now(&mut self) {
        self.wait_until_ms = i64::MIN;
    }

    /// What to do at `now_ms`, milliseconds since the Unix epoch by the local clock.
    pub fn next(&mut self, now_ms: i64) -> Step {
        if self.batch.is_some() {
            return Step::Deliver;
        }
        if now_ms < self.wait_until_ms {
            return Step::Wait(self.wait_until_ms);
        }
        if self.pass.is_none() {
            self.pass = Some(self.begin(now_ms));
        }
        let limit = self.rules.page_events.clamp(1, 100);
        match self.pass.as_ref().and_then(|pass| pass.ranges.last()) {
            Some(range) => {
                let listing = self.state.head.listing;
                Step::Ask(Query { listing, from: range.from, to: range.to, after: range.after.clone(), limit })
            }
            // A pass without a range has a batch.
            None => Step::Wait(now_ms + 1000),
        }
    }

    fn begin(&mut self, now_ms: i64) -> Pass {
        let head = &self.state.head;
        let now = (now_ms + self.skew_ms).div_euclid(1000);
        let (depth, back) = if now - head.deepest_at >= self.rules.deepest.1 {
            (Depth::Deepest, self.rules.deepest.0)
        } else if now - head.deep_at >= self.rules.deep.1 {
            (Depth::Deep, self.rules.deep.0)
        } else {
            (Depth::Usual, self.rules.overlap)
        };
        let (depth, from) = match self.only_from {
            Some(from) => (Depth::Deepest, from.min(head.reached)),
            None => (depth, (head.reached - back).max(head.floor)),
        };
        // A clock that went back asks for nothing new, and loses nothing.
        let to = now.max(from);
        let ranges = vec![Range::new(from, to, false)];
        Pass { depth, reach: to, is_dated: false, began_ms: now_ms, ranges, found: HashMap::new(), found_bytes: 0 }
    }

    /// What came of the request that [`Collector::next`] asked for.
    pub fn on(&mut self, now_ms: i64, reply: Reply) {
        let Some(pass) = self.pass.as_mut() else { return };
        let (status, date, retry_after, body) = match reply {
            Reply::Broken(what) => {
                self.notes.push(Note::Request("network"));
                return self.failed(now_ms, format!("no answer: {what}"));
            }
            Reply::Answer { status, date, retry_after, body } => (status, date, retry_after, body),
        };
        let date = date.as_deref().and_then(http_date);
        if let Some(date) = date {
            // Whole seconds: the middle of the second is the best guess.
            self.skew_ms = date * 1000 + 500 - now_ms;
            if !pass.is_dated {
                pass.is_dated = true;
                pass.reach = pass.reach.min(date);
            }
        }
        let has_cursor = pass.ranges.last().is_some_and(|range| range.after.is_some());
        match status {
            200 => match Page::read(&body) {
                Ok(page) => {
                    self.notes.push(Note::Request("ok"));
                    self.page(now_ms, page);
                }
                Err(what) => {
                    self.notes.push(Note::Request("unreadable"));
                    self.notes.push(Note::Unreadable(body));
                    self.failed(now_ms, what);
                }
            },
            429 => {
                self.notes.push(Note::Request("limited"));
                self.limited(now_ms, retry_after.as_deref());
            }
            400 | 403 | 404 if self.state.head.listing == Listing::Tenant && !self.state.head.has_answered && !has_cursor => {
                self.notes.push(Note::Request("absent"));
                if !self.is_absent {
                    self.notes.push(Note::Absent(status));
                }
                self.is_absent = true;
                self.pass = None;
                self.wait_until_ms = now_ms + LOOK_AGAIN_MS;
            }
            401 | 403 => {
                self.notes.push(Note::Request("refused"));
                self.notes.push(Note::Refused(format!("status {status}: {}", said(&body))));
                self.is_refused = true;
                self.pass = None;
                self.failed_passes += 1;
                self.wait_until_ms = now_ms + LOOK_AGAIN_MS;
            }
            400..=499 if has_cursor => {
                self.notes.push(Note::Request("cursor"));
                match pass.ranges.last_mut().filter(|range| range.stumbles < STUMBLES_MAX) {
                    Some(range) => {
                        range.stumbles += 1;
                        self.wait_until_ms = now_ms + self.backoff_ms(0);
                    }
                    None => self.cursor_fault(now_ms, &format!("the cursor was answered with status {status}")),
                }
            }
            _ => {
                self.notes.push(Note::Request(if status >= 500 { "server" } else { "unexpected" }));
                self.failed(now_ms, format!("status {status}: {}", said(&body)));
            }
        }
    }

    fn page(&mut self, now_ms: i64, page: Page) {
        self.blind = 0;
        if std::mem::take(&mut self.is_refused) | std::mem::take(&mut self.is_absent) {
            self.notes.push(Note::Well);
        }
        let Some(pass) = self.pass.as_mut() else { return };
        let Some(range) = pass.ranges.last_mut() else { return };
        let times: Vec<i64> = page.items.iter().filter_map(|item| item.at).collect();
        if !times.is_sorted() && !times.is_sorted_by(|a, b| a >= b) {
            self.notes.push(Note::Disorder);
        }
        let elements = page.items.len();
        let before = (range.found.len(), range.found_bytes);
        let mut fresh = Vec::new();
        let (mut new, mut known) = (0, 0);
        for item in page.items {
            if !range.ids.insert(item.id.clone()) {
                known += 1;
                continue;
            }
            fresh.push(item.id.clone());
            if self.state.seen.contains_key(&item.id) || pass.found.contains_key(&item.id) {
                known += 1;
                continue;
            }
            new += 1;
            range.found_bytes += item.bytes.len() + item.id.len();
            range.found.push(item);
        }
        self.notes.push(Note::Events { new, known });
        if range.ids.is_empty() && page.has_more {
            // Halves of it, down to every second, would promise the same.
            return self.failed(now_ms, "more is promised after an empty page".to_owned());
        }
        self.tries = 0;
        if !page.has_more {
            return self.range_done(now_ms);
        }
        if range.found_bytes > self.rules.window_max_bytes
            && let Some([older, newer]) = range.halves(range.by_time)
        {
            pass.ranges.pop();
            pass.ranges.extend([newer, older]);
            return;
        }
        if range.by_time
            && elements > 0
            && let Some([older, newer]) = range.halves(true)
        {
            pass.ranges.pop();
            pass.ranges.extend([newer, older]);
            return;
        }
        let fault = match &page.last_id {
            _ if elements == 0 => Some("more is promised after an empty page"),
            None => Some("more is promised without `last_id`"),
            Some(last) if range.after.as_ref() == Some(last) => Some("`last_id` stands still"),
            Some(_) if fresh.is_empty() => Some("a page repeats what other pages had"),
            Some(_) => None,
        };
        match fault {
            None => {
                range.after = page.last_id;
                range.stumbles = 0;
            }
            // It may be this one answer: the same page again, as if it had not come.
            Some(_) if range.stumbles < STUMBLES_MAX => {
                range.stumbles += 1;
                range.found.truncate(before.0);
                range.found_bytes = before.1;
                for id in &fresh {
                    range.ids.remove(id);
                }
                self.wait_until_ms = now_ms + self.backoff_ms(0);
            }
            Some(what) => self.cursor_fault(now_ms, what),
        }
    }

    /// The pages do not lead on: halves of the range are asked for, until one page holds a half.
    fn cursor_fault(&mut self, now_ms: i64, what: &str) {
        self.notes.push(Note::CursorFault);
        let Some(pass) = self.pass.as_mut() else { return };
        let Some(range) = pass.ranges.last() else { return };
        match range.halves(true) {
            Some([older, newer]) => {
                pass.ranges.pop();
                pass.ranges.extend([newer, older]);
            }
            None => {
                // Only the pages can lead through a second: they are tried from its beginning.
                let mut again = Range::new(range.from, range.to, true);
                again.attempts = range.attempts + 1;
                if again.attempts < self.rules.tries {
                    self.wait_until_ms = now_ms + self.backoff_ms(again.attempts);
                    if let Some(pass) = self.pass.as_mut() {
                        pass.ranges.pop();
                        pass.ranges.push(again);
                    }
                    return;
                }
                let what = format!("second {} cannot be read to its end: {what}", range.from);
                self.give_up(now_ms, what);
            }
        }
    }

    fn range_done(&mut self, now_ms: i64) {
        let server_ms = now_ms + self.skew_ms;
        let Some(pass) = self.pass.as_mut() else { return };
        let Some(range) = pass.ranges.pop() else { return };
        pass.found_bytes += range.found_bytes;
        pass.found.extend(range.found.into_iter().map(|item| (item.id.clone(), item)));
        let is_last = pass.ranges.is_empty();
        if !is_last && pass.found_bytes < self.rules.window_max_bytes / 2 {
            return;
        }
        let reached = range.to.min(pass.reach);
        let mut events: Vec<Item> = std::mem::take(&mut pass.found).into_values().collect();
        pass.found_bytes = 0;
        events.sort_by(|a, b| (a.at.unwrap_or(reached), &a.id).cmp(&(b.at.unwrap_or(reached), &b.id)));
        let known_until = self.state.head.reached;
        for event in &events {
            self.notes.push(Note::Kind(event.kind.clone()));
            if !event.has_id {
                self.notes.push(Note::Odd("id"));
            }
            match event.at {
                None => self.notes.push(Note::Odd("time")),
                // Before the very first window ended nothing is late.
                Some(at) if at <= known_until && self.state.head.has_answered => {
                    self.notes.push(Note::Late((server_ms.div_euclid(1000) - at).max(0)));
                    if at < known_until - self.rules.overlap {
                        self.notes.push(Note::OnlyDeep);
                    }
                }
                Some(_) => {}
            }
        }
        self.batch = Some(Batch { events, reached, is_last, fallback_at: reached });
    }

    /// The batch that [`Step::Deliver`] speaks of.
    pub fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    /// The state as it is once the batch is delivered, and the pieces of ids that change: write them together with the events, or after.
    pub fn state_after(&self, now_ms: i64) -> Option<(State, Vec<i64>)> {
        let batch = self.batch.as_ref()?;
        let mut state = self.state.clone();
        let changed = self.apply(&mut state, batch, now_ms);
        Some((state, changed))
    }

    fn apply(&self, state: &mut State, batch: &Batch, now_ms: i64) -> Vec<i64> {
        let mut changed = Vec::new();
        for event in &batch.events {
            let at = event.at.unwrap_or(batch.fallback_at);
            changed.push(piece_of(at));
            state.seen.insert(event.id.clone(), at);
        }
        let head = &mut state.head;
        head.next_offset += batch.events.len() as i64;
        head.reached = head.reached.max(batch.reached);
        if batch.is_last {
            head.has_answered = true;
            let now = (now_ms + self.skew_ms).div_euclid(1000);
            let depth = self.pass.as_ref().map_or(Depth::Usual, |pass| pass.depth);
            if depth != Depth::Usual {
                head.deep_at = now;
            }
            if depth == Depth::Deepest {
                head.deepest_at = now;
            }
        }
        let deepest = self.rules.deepest.0.max(self.rules.deep.0).max(self.rules.overlap);
        // Two polls more than any pass reads again.
        let horizon = head.reached - deepest - 2 * self.rules.poll;
        let horizon = self.only_from.map_or(horizon, |from| horizon.min(from));
        changed.extend(state.forget_before(horizon));
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Everything of the batch is acknowledged and its state is written.
    pub fn delivered(&mut self, now_ms: i64) {
        let Some((state, _)) = self.state_after(now_ms) else { return };
        self.state = state;
        let Some(batch) = self.batch.take() else { return };
        if !batch.is_last {
            return;
        }
        let Some(pass) = self.pass.take() else { return };
        self.passes += 1;
        self.failed_passes = 0;
        self.only_from = None;
        self.notes.push(Note::Passed(pass.depth));
        self.wait_until_ms = (pass.began_ms + self.rules.poll * 1000).max(now_ms);
    }

    /// Gives the epoch of the writer that has the state now.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.state.head.epoch = epoch;
    }

    /// One attempt failed; after several the pass is given up. `reached` stays where it was.
    fn failed(&mut self, now_ms: i64, what: String) {
        self.tries += 1;
        if self.tries < self.rules.tries {
            self.wait_until_ms = now_ms + self.backoff_ms(self.tries);
            return;
        }
        self.give_up(now_ms, what);
    }

    fn give_up(&mut self, now_ms: i64, what: String) {
        self.notes.push(Note::Failed(what));
        self.tries = 0;
        self.blind = 0;
        self.pass = None;
        self.failed_passes += 1;
        self.wait_until_ms = now_ms + (self.rules.poll * 1000).max(self.backoff_ms(self.failed_passes + 3)).min(WAIT_MAX_MS);
    }

    fn limited(&mut self, now_ms: i64, retry_after: Option<&str>) {
        match retry_after.and_then(|text| retry_after_ms(text, now_ms + self.skew_ms)) {
            // The window stays open: the same page is asked for again.
            Some(wait_ms) => {
                self.blind = 0;
                if wait_ms > ADVISED_MAX_MS {
                    self.notes.push(Note::Limited(format!("the API asks to wait {} s", wait_ms / 1000)));
                }
                // A second at least, and a little more, so that several processes do not come back together.
                let more = self.chance() % 500;
                self.wait_until_ms = now_ms + wait_ms.clamp(1000, ADVISED_MAX_MS) + more as i64;
            }
            None => {
                self.blind += 1;
                if self.blind < BLIND_TRIES {
                    self.wait_until_ms = now_ms + self.backoff_ms(self.blind + 2);
                    return;
                }
                let what = "status 429 without `Retry-After` again and again: the quota may be used up";
                self.notes.push(Note::Limited(what.to_owned()));
                self.give_up(now_ms, what.to_owned());
                self.wait_until_ms = now_ms + WAIT_MAX_MS;
            }
        }
    }

    /// Half a second, doubled every time, up to five minutes, and up to a quarter longer.
    fn backoff_ms(&mut self, failures: u32) -> i64 {
        let plain = 500_i64.saturating_mul(1 << failures.min(20)).min(WAIT_MAX_MS);
        plain + (self.chance() % (plain as u64 / 4 + 1)) as i64
    }

    /// The next number of a small generator (Steele, Lea, Flood: SplitMix). No more chance than that is needed.
    fn chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The API's own words about an error, cut short; they name no secret, but may name a person.
fn said(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = value.pointer("/error/message").or_else(|| value.pointer("/error/code")).and_then(|text| text.as_str());
    let text = text.unwrap_or("no message");
    // Some messages quote a part of the key.
    let words = text.split_whitespace().map(|word| if word.contains("sk-") { "[key]" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(200).collect()
}
