//! A running process takes changed mappings and keeps the old ones when the new ones have a fault. No broker is there: a process that
//! cannot reach one goes on trying, and reloads meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::running::{self, REST, Running};

const GOOD: &str = "extends = true\n[lookup.thresholds]\nextends = true\nrows = [ { key = \"TotalTokens\", aggregation = \"total\", \
                    at_least = \"1000000\", severity = \"LOW\" } ]\n";
/// Two faults.
const BROKEN: &str = "extends = true\n[fields]\n\"principal.ipp\" = { from = \"a\" }\n\"target.nonsense\" = { from = \"b\" }\n";
const TOKEN: &str = "canary-7f3a91";

fn start(folder: &Path, watch_interval_ms: u32, wrapper: &[&str]) -> Running {
    let settings = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ env = \"UDMILL_TEST_ADMIN_TOKEN\" }}\n\
         [files]\nmappings = \"{}\"\nwatch_interval_ms = {watch_interval_ms}\n{REST}",
        folder.join("site").display()
    );
    Running::start(folder, &settings, &[("UDMILL_TEST_ADMIN_TOKEN", TOKEN)], wrapper)
}

fn metrics(running: &Running) -> String {
    running.page("/metrics", &format!("Authorization: Bearer {TOKEN}\r\n"))
}

fn reloads(running: &Running) -> [i64; 4] {
    running::reloads(&metrics(running))
}

fn site(folder: &Path, text: &str) {
    let path = folder.join("site/azure/metrics.toml");
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a mapping is written");
}

#[test]
fn sighup_keeps_a_broken_mapping_out_and_takes_the_mended_one() {
    let folder = tempfile::tempdir().expect("a folder");
    site(folder.path(), GOOD);
    let running = start(folder.path(), 0, &[]);
    assert_eq!(reloads(&running), [0, 0, 1, 1]);
    assert!(running::metric(&metrics(&running), "udmill_reload_success_timestamp_seconds") > 1_700_000_000);

    site(folder.path(), BROKEN);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(reloads(&running), [0, 0, 1, 1], "nobody looks with an interval of 0");
    running.signal("HUP");
    running.wait("refusal", |running| (reloads(running) == [0, 1, 1, 0]).then_some(()));
    let log = running.log();
    let line = log.lines().find(|line| line.contains("reload refused")).expect("it is logged");
    let line = &log[log.find(line).expect("it is there")..];
    assert!(line.contains("principal.ipp") && line.contains("target.nonsense"), "all faults at once: {line}");

    site(folder.path(), GOOD);
    running.signal("HUP");
    running.wait("reload", |running| (reloads(running) == [1, 1, 2, 1]).then_some(()));

    for path in ["/metrics", "/drift"] {
        assert!(running.page(path, "").starts_with("HTTP/1.1 401"), "{path}");
        assert!(running.page(path, "Authorization: Bearer canary\r\n").starts_with("HTTP/1.1 401"), "{path}");
    }
    assert!(running.page("/health/live", "").starts_with("HTTP/1.1 200"));
    assert!(!running.log().contains(TOKEN), "the token is not logged");
}

#[test]
fn changed_files_are_taken_without_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    site(folder.path(), GOOD);
    let running = start(folder.path(), 50, &[]);
    assert_eq!(reloads(&running), [0, 0, 1, 1]);
    site(folder.path(), BROKEN);
    running.wait("refusal", |running| (reloads(running) == [0, 1, 1, 0]).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(reloads(&running), [0, 1, 1, 0], "a refused state is tried once");
    site(folder.path(), GOOD);
    running.wait("reload", |running| (reloads(running) == [1, 1, 2, 1]).then_some(()));
}

/// The whole file system is read-only, as in the container; `unshare` may be forbidden here, and that is said.
#[test]
fn a_read_only_root_is_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    site(folder.path(), GOOD);
    let read_only = "mount -o remount,bind,ro / && exec \"$@\"";
    let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", read_only, "sh"];
    // The folder of temporary files may be a file system of its own, which stays writable; so it is tried.
    let probe = folder.path().join("probe");
    let tried = Command::new(wrapper[0]).args(&wrapper[1..]).arg("sh").arg("-c").arg(format!("! touch {}", probe.display())).output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) || probe.exists() {
        eprintln!("skipped: no read-only root can be made here: {tried:?}");
        return;
    }
    let running = start(folder.path(), 0, &wrapper);
    running.signal("HUP");
    running.wait("reload", |running| (reloads(running) == [1, 0, 2, 1]).then_some(()));
}
