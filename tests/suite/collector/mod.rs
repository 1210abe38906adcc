//! The collector of OpenAI's audit log against a server that misbehaves, in simulated time.
#[path = "api.rs"]
pub mod api;
mod week;
mod yardsticks;

use std::collections::{BTreeMap, HashMap};

use udmill::source::openai::collector::{Collector, Note, Query, Reply, Rules, Step};
use udmill::source::openai::state::{Listing, State};

use api::{Api, Fault, Order};

/// When the timeline begins. Unit: seconds.
pub const BEGIN: i64 = 1_770_000_000;
/// After this everything of the timeline is visible, and every hour a deep pass ran.
pub const END: i64 = BEGIN + 5 * 3600;

/// Where a simulated process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// Before it asks.
    BeforeRequest,
    /// After the answer.
    AfterAnswer,
    /// After the events are out and before the state is: with a transaction both are gone, with a file the events stay.
    BetweenEventsAndState,
    /// After both.
    AfterState,
}

/// What one run of the simulation gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How often each id was delivered.
    pub copies: HashMap<String, u32>,
    /// Everything that was noted.
    pub notes: Vec<Note>,
}

impl Outcome {
    /// Events that never came, of those that the server holds.
    pub fn lost(&self, api: &Api) -> usize {
        api.held.iter().filter(|one| !self.copies.contains_key(&one.id)).count()
    }

    /// Deliveries beyond the first.
    pub fn extra(&self) -> u32 {
        self.copies.values().map(|copies| copies - 1).sum()
    }
}

/// A process that can die at any step.
pub struct World {
    /// The server.
    pub api: Api,
    /// Local clock. Unit: milliseconds.
    pub now_ms: i64,
    /// How far the local clock is off. Unit: milliseconds.
    pub skew_ms: i64,
    /// Events and state are written together.
    pub exactly_once: bool,
    /// Deaths to come: at which count of steps of that kind.
    pub kills: Vec<(Kill, u32)>,
    rules: Rules,
    written: BTreeMap<Listing, State>,
    steps: HashMap<u8, u32>,
    /// What was delivered.
    pub outcome: Outcome,
}

fn http_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl World {
    /// A process that begins with the timeline and no state.
    pub fn new(api: Api, rules: Rules) -> World {
        World {
            api,
            now_ms: BEGIN * 1000,
            skew_ms: 0,
            exactly_once: true,
            kills: Vec::new(),
            rules,
            written: BTreeMap::new(),
            steps: HashMap::new(),
            outcome: Outcome::default(),
        }
    }

    fn dies(&mut self, place: Kill) -> bool {
        let count = self.steps.entry(place as u8).or_default();
        *count += 1;
        let count = *count;
        self.kills.contains(&(place, count))
    }

    fn start(&mut self, listing: Listing) -> Collector {
        let local_s = (self.now_ms + self.skew_ms) / 1000;
        // The first state is written before anything is asked, as the program does.
        let first = State::begin(listing, local_s - 3600, local_s);
        let state = self.written.entry(listing).or_insert(first).write();
        Collector::new(self.rules.clone(), State::read(&state, listing).expect("what was written"), 7)
    }

    fn ask(&mut self, query: &Query) -> Reply {
        let pairs: Vec<(String, String)> = query.pairs().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let now = self.now_ms / 1000;
        match self.api.answer(now, &pairs) {
            None => Reply::Broken("the connection was closed".into()),
            Some(answer) => {
                Reply::Answer { status: answer.status, date: Some(http_date(now)), retry_after: answer.retry_after, body: answer.body }
            }
        }
    }

    /// Runs until `end`, dying and starting again as told. Unit: seconds.
    pub fn run(&mut self, end: i64) {
        let listings = [Listing::Organization, Listing::Tenant];
        let mut collectors: Vec<Collector> = listings.iter().map(|listing| self.start(*listing)).collect();
        while self.now_ms < end * 1000 {
            let mut wake_ms = i64::MAX;
            for index in 0..collectors.len() {
                let local_ms = self.now_ms + self.skew_ms;
                let mut died = false;
                match collectors[index].next(local_ms) {
                    Step::Ask(query) => {
                        died = self.dies(Kill::BeforeRequest);
                        if !died {
                            self.now_ms += 90;
                            let reply = self.ask(&query);
                            collectors[index].on(self.now_ms + self.skew_ms, reply);
                            died = self.dies(Kill::AfterAnswer);
                        }
                        wake_ms = self.now_ms;
                    }
                    Step::Deliver => {
                        let (state, _) = collectors[index].state_after(local_ms).expect("a batch");
                        let ids: Vec<String> =
                            collectors[index].batch().expect("a batch").events.iter().map(|event| event.id.clone()).collect();
                        died = self.dies(Kill::BetweenEventsAndState);
                        if !died || !self.exactly_once {
                            for id in ids {
                                *self.outcome.copies.entry(id).or_default() += 1;
                            }
                        }
                        if !died {
                            self.written.insert(listings[index], state);
                            collectors[index].delivered(local_ms);
                            died = self.dies(Kill::AfterState);
                        }
                        wake_ms = self.now_ms;
                    }
                    Step::Wait(until) => wake_ms = wake_ms.min(until - self.skew_ms),
                }
                self.outcome.notes.extend(collectors[index].take_notes());
                if died {
                    collectors = listings.iter().map(|listing| self.start(*listing)).collect();
                    break;
                }
            }
            if wake_ms < i64::MAX {
                self.now_ms = self.now_ms.max(wake_ms);
            }
        }
    }
}

/// Polls as often as the collectors that it is measured against: every five minutes.
pub fn rules() -> Rules {
    Rules { poll: 300, ..Rules::default() }
}

fn judge(name: &str, world: &World, extra: u32) {
    assert_eq!(world.outcome.lost(&world.api), 0, "case {name}: lost");
    assert_eq!(world.outcome.extra(), extra, "case {name}: extra copies");
}

fn every(count: usize, fault: &Fault) -> std::collections::VecDeque<Fault> {
    (0..3000).map(|number| if number % count == count - 1 { fault.clone() } else { Fault::Nothing }).collect()
}

#[test]
fn nothing_is_lost_or_repeated_whatever_the_server_does() {
    let date = http_date(BEGIN + 1900);
    for (name, fault) in [
        ("none", Fault::Nothing),
        ("500", Fault::Status(500)),
        ("502", Fault::Status(502)),
        ("429 without advice", Fault::Limited(None)),
        ("429 with seconds", Fault::Limited(Some("2".into()))),
        ("429 with a date", Fault::Limited(Some(date))),
        ("429 with nonsense", Fault::Limited(Some("soon".into()))),
        ("broken off", Fault::Truncated),
        ("no answer", Fault::Silence),
        ("duplicate ids over pages", Fault::Repeats),
        ("loops", Fault::Loops),
        ("no last id", Fault::NoLastId),
        ("hollow page", Fault::Hollow),
        ("a moved path", Fault::Status(404)),
    ] {
        for order in [Order::NewestFirst, Order::OldestFirst, Order::ById] {
            for (often, count) in [("often", 3), ("seldom", 11)] {
                let mut api = Api::timeline();
                api.order = order;
                api.faults = every(count, &fault);
                let mut world = World::new(api, rules());
                world.run(END);
                judge(&format!("{name}, {often}, {order:?}"), &world, 0);
            }
        }
    }
}

#[test]
fn three_errors_in_a_row_at_any_request() {
    for first in (0..30).step_by(2) {
        for status in [500, 401] {
            let mut api = Api::timeline();
            api.faults = (0..first).map(|_| Fault::Nothing).chain((0..3).map(|_| Fault::Status(status))).collect();
            let mut world = World::new(api, rules());
            world.run(END);
            judge(&format!("{status} from request {first}"), &world, 0);
        }
    }
}

#[test]
fn a_kill_between_any_two_steps() {
    for place in [Kill::BeforeRequest, Kill::AfterAnswer, Kill::BetweenEventsAndState, Kill::AfterState] {
        for first in (1..40).step_by(5) {
            for exactly_once in [true, false] {
                let mut world = World::new(Api::timeline(), rules());
                world.exactly_once = exactly_once;
                world.kills = vec![(place, first), (place, first + 3), (place, first + 9)];
                world.run(END);
                let name = format!("{place:?} at {first}, exactly once: {exactly_once}");
                assert_eq!(world.outcome.lost(&world.api), 0, "case {name}: lost");
                if exactly_once || place != Kill::BetweenEventsAndState {
                    assert_eq!(world.outcome.extra(), 0, "case {name}: extra copies");
                }
            }
        }
    }
}

#[test]
fn a_repeat_carries_the_same_id() {
    let mut world = World::new(Api::timeline(), rules());
    world.exactly_once = false;
    world.kills = vec![(Kill::BetweenEventsAndState, 1), (Kill::BetweenEventsAndState, 12), (Kill::BetweenEventsAndState, 14)];
    world.run(END);
    assert_eq!(world.outcome.lost(&world.api), 0);
    // The copies are of known ids: without them the count is the server's.
    assert_eq!(world.outcome.copies.len(), world.api.held.len());
}

#[test]
fn clocks_that_are_off_lose_nothing() {
    for minutes in [-90, -14, 14, 90, 60 * 30] {
        let mut world = World::new(Api::timeline(), rules());
        world.skew_ms = minutes * 60_000;
        // The first window begins an hour before the local clock, so a fast clock must not begin behind the events.
        world.now_ms -= minutes.max(0) * 60_000;
        world.run(END);
        judge(&format!("{minutes} minutes"), &world, 0);
    }
}

#[test]
fn a_window_too_large_for_memory_is_split_by_time() {
    for bytes in [1, 2_000, 40_000] {
        for order in [Order::NewestFirst, Order::OldestFirst, Order::ById] {
            let mut api = Api::timeline();
            api.order = order;
            let mut world = World::new(api, Rules { window_max_bytes: bytes, ..rules() });
            // Everything is there at the first poll.
            world.now_ms = (BEGIN + 2 * 3600) * 1000;
            let first = State::begin(Listing::Organization, BEGIN - 60, BEGIN);
            world.written.insert(Listing::Organization, first);
            world.written.insert(Listing::Tenant, State::begin(Listing::Tenant, BEGIN - 60, BEGIN));
            world.run(BEGIN + 3 * 3600);
            judge(&format!("{bytes} bytes, {order:?}"), &world, 0);
        }
    }
}

#[test]
fn a_tenant_that_is_refused_holds_nothing_up() {
    let mut api = Api::timeline();
    api.has_tenant = false;
    let mut world = World::new(api, rules());
    world.run(END);
    assert_eq!(world.outcome.lost(&world.api), world.api.held.iter().filter(|one| one.tenant).count(), "only what nobody may read");
    let absent = world.outcome.notes.iter().filter(|note| matches!(note, Note::Absent(403))).count();
    assert_eq!(absent, 1, "said once");
    assert!(!world.outcome.notes.iter().any(|note| matches!(note, Note::Refused(_))), "no alarm");
}

#[test]
fn a_refused_key_asks_seldom_and_keeps_the_window() {
    let mut api = Api::timeline();
    // Two listings, one look an hour each.
    api.faults = (0..4).map(|_| Fault::Status(401)).collect();
    let mut world = World::new(api, rules());
    world.run(BEGIN + 3300);
    assert_eq!(world.api.requests, 2, "one request a listing, then none");
    world.run(BEGIN + 6 * 3600);
    judge("a key refused for two hours", &world, 0);
}

#[test]
fn deep_passes_are_what_finds_the_latest() {
    let mut world = World::new(Api::timeline(), rules());
    world.run(END);
    let late: Vec<i64> =
        world.outcome.notes.iter().filter_map(|note| if let Note::Late(seconds) = note { Some(*seconds) } else { None }).collect();
    let only_deep = world.outcome.notes.iter().filter(|note| **note == Note::OnlyDeep).count();
    assert_eq!(only_deep, 3, "those of 58 minutes");
    assert!(late.iter().any(|seconds| *seconds > 3400) && late.iter().all(|seconds| *seconds < 2 * 3600), "{late:?}");
}
