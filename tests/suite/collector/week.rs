//! A week of simulated time with random faults and kills. Seeded: a failure names its seed.
use super::api::{Api, Fault, Held, Order};
use super::{BEGIN, Kill, World, rules};

/// A generator with a seed (SplitMix).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

const WEEK: i64 = 7 * 24 * 3600;

fn server(chance: &mut Chance) -> Api {
    let mut held = Vec::new();
    let mut at = BEGIN;
    while at < BEGIN + WEEK {
        at += 1 + chance.below(600) as i64;
        // Mostly alone, now and then a burst in one second.
        let count = if chance.below(200) == 0 { 20 + chance.below(280) } else { 1 };
        for _ in 0..count {
            // Seconds late as a rule, minutes to hours now and then.
            let late = match chance.below(1000) {
                0..=2 => 3600 + chance.below(18 * 3600),
                3..=30 => 60 + chance.below(3000),
                _ => chance.below(20),
            };
            let id = format!("audit_log-{:016x}", chance.next());
            let bytes =
                format!("{{\"object\":\"organization.audit_log\",\"id\":\"{id}\",\"type\":\"login.succeeded\",\"effective_at\":{at}}}");
            held.push(Held { visible_at: at + late as i64, tenant: chance.below(12) == 0, at, id, bytes });
        }
    }
    let mut api = Api::new(held);
    api.order = [Order::NewestFirst, Order::OldestFirst, Order::ById][chance.below(3) as usize];
    // Quiet times, and spells in which most requests fail.
    let mut is_bad = false;
    for _ in 0..20_000 {
        if chance.below(40) == 0 {
            is_bad = !is_bad && chance.below(3) == 0;
        }
        let fails = chance.below(100) < if is_bad { 70 } else { 2 };
        let fault = match chance.below(9) {
            _ if !fails => Fault::Nothing,
            0 => Fault::Status(500),
            1 => Fault::Status(503),
            2 => Fault::Limited(None),
            3 => Fault::Limited(Some(chance.below(40).to_string())),
            4 => Fault::Truncated,
            5 => Fault::Loops,
            6 => Fault::Repeats,
            7 => Fault::Silence,
            _ => Fault::NoLastId,
        };
        api.faults.push_back(fault);
    }
    api
}

#[test]
fn nothing_is_lost_in_a_week_of_faults() {
    for seed in 1..=3 {
        let mut chance = Chance(seed);
        let api = server(&mut chance);
        let mut world = World::new(api, rules());
        for place in [Kill::BeforeRequest, Kill::AfterAnswer, Kill::BetweenEventsAndState, Kill::AfterState] {
            world.kills.extend((0..6).map(|_| (place, 1 + chance.below(3000) as u32)));
        }
        // A day more: the latest event is visible, and a deep pass came by.
        world.run(BEGIN + WEEK + 28 * 3600);
        assert_eq!(world.outcome.lost(&world.api), 0, "seed {seed}: lost of {}", world.api.held.len());
        assert_eq!(world.outcome.extra(), 0, "seed {seed}: extra copies");
    }
}
