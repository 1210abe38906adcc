//! The demo runs as the README says: real source, engine and sink over a broker inside the process.

use std::process::Command;

#[test]
fn the_demo_shows_events_dead_letters_and_an_account_that_adds_up() {
    let output = Command::new(env!("CARGO_BIN_EXE_udmill")).args(["demo", "--listen", "127.0.0.1:0"]).output().expect("udmill runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{shown}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    for wanted in ["USER_RESOURCE_CREATION", "NETWORK_CONNECTION", "azure/activity@", "openai/audit@", "dead letter", "/metrics"] {
        assert!(shown.contains(wanted), "`{wanted}` is shown:\n{shown}");
    }
    let account = shown.lines().find(|line| line.contains(" parts = ")).expect("an account at the end");
    let numbers: Vec<u64> = account.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let [messages, records, parts, emitted, rejected, skipped] = numbers[..] else { panic!("six numbers: {account}") };
    assert!(messages > 10 && records >= messages && rejected > 0, "{account}");
    assert_eq!(parts, emitted + rejected + skipped, "{account}");
    let lines = shown.lines().filter(|line| line.contains("@1") && !line.starts_with(' ')).count() as u64;
    assert_eq!(lines, emitted, "every event is shown once:\n{shown}");
}
