//! Tests against real services: a stand-in for Event Hubs, Azurite (`eval "$(tests/broker/azurite.sh)"`) and a real Apache Kafka: `eval "$(tests/broker/kafka.sh start)"`, then `cargo test --test broker`.
//!
//! Without the variables that script prints every test of Kafka is listed as ignored and one line says so; with
//! `UDMILL_TEST_KAFKA_REQUIRED` set, as `make test` does, that is a failure instead. The process under test is this binary started again,
//! see `child.rs`.
#[cfg(all(feature = "eventhubs", feature = "objects"))]
mod archive;
mod broker;
mod chaos;
mod child;
#[cfg(all(feature = "openai", feature = "eventhubs"))]
mod collector;
mod delivery;
mod engine;
mod exactly_once;
mod group;
mod harness;
#[cfg(feature = "eventhubs")]
mod hubs;
mod letters;
mod process;
mod rebalance;
mod reload;
mod routes;
mod security;
mod soak;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = child::run_as_child() {
        return code;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let here = harness::Broker::from_environment().is_some();
    if !here {
        eprintln!("broker tests skipped: UDMILL_TEST_KAFKA is not set; run: eval \"$(tests/broker/kafka.sh start)\"");
        if std::env::var_os("UDMILL_TEST_KAFKA_REQUIRED").is_some() {
            return ExitCode::FAILURE;
        }
    }
    #[allow(unused_mut)]
    let mut cases: Vec<(&str, harness::Case)> = [
        broker::CASES,
        chaos::CASES,
        delivery::CASES,
        exactly_once::CASES,
        engine::CASES,
        group::CASES,
        letters::CASES,
        rebalance::CASES,
        reload::CASES,
        routes::CASES,
        security::CASES,
        soak::CASES,
    ]
    .concat();
    #[cfg(all(feature = "openai", feature = "eventhubs"))]
    cases.extend(collector::exactly_once::CASES);
    #[allow(unused_mut)]
    let mut trials: Vec<libtest_mimic::Trial> = cases
        .into_iter()
        .map(|(name, case)| libtest_mimic::Trial::test(name, move || case().map_err(Into::into)).with_ignored_flag(!here))
        .collect();
    // Event Hubs need no Kafka: a stand-in serves them.
    #[cfg(feature = "eventhubs")]
    trials.extend(hubs::CASES.iter().map(|(name, case)| {
        libtest_mimic::Trial::test(*name, move || {
            case();
            Ok(())
        })
    }));
    #[cfg(all(feature = "eventhubs", feature = "objects"))]
    trials.extend(archive::cases().into_iter().map(|(name, case)| {
        libtest_mimic::Trial::test(name, move || {
            case();
            Ok(())
        })
    }));
    #[cfg(all(feature = "openai", feature = "eventhubs"))]
    trials.extend(collector::CASES.iter().map(|(name, case)| {
        libtest_mimic::Trial::test(*name, move || {
            case();
            Ok(())
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
