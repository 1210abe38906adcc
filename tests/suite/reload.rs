//! A running process takes changed mappings and keeps the old ones when the new ones have a fault. No broker is there: a process that
//! cannot reach one goes on trying, and reloads meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const GOOD: &str = "extends = true\n[lookup.thresholds]\nextends = true\nrows = [ { key = \"TotalTokens\", aggregation = \"total\", \
                    at_least = \"1000000\", severity = \"LOW\" } ]\n";
/// Two faults.
const BROKEN: &str = "extends = true\n[fields]\n\"principal.ipp\" = { from = \"a\" }\n\"target.nonsense\" = { from = \"b\" }\n";
const TOKEN: &str = "canary-7f3a91";

struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    address: String,
}

impl Running {
    fn start(folder: &Path, watch_interval_ms: u32, wrapper: &[&str]) -> Running {
        let settings = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ env = \"UDMILL_TEST_ADMIN_TOKEN\" }}\n\
             [files]\nmappings = \"{}\"\nwatch_interval_ms = {watch_interval_ms}\n\
             [source.kafka]\nbootstrap_servers = \"127.0.0.1:1\"\ntopics = [\"in\"]\n\
             [[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n[run]\nworkers = 1\ndrain_timeout_ms = 1000\n",
            folder.join("site").display()
        );
        let path = folder.join("udmill.toml");
        fs::write(&path, settings).expect("the settings are written");
        let mut words = wrapper.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        words.extend([env!("CARGO_BIN_EXE_udmill").to_owned(), "run".to_owned(), "--config".to_owned(), path.display().to_string()]);
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env("UDMILL_TEST_ADMIN_TOKEN", TOKEN)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("udmill starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, copy) = (BufReader::new(child.stderr.take().expect("a pipe")).lines(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = copy.lock().expect("no reader panics");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut running = Running { child, log, address: String::new() };
        running.address = running.wait("the admin port", |running| {
            let log = running.log();
            let line = log.lines().find(|line| line.contains("admin port"))?;
            Some(line.rsplit("address=").next()?.trim().to_owned())
        });
        running
    }

    fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    fn wait<T>(&self, what: &str, look: impl Fn(&Running) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < until, "no {what} within 60 s; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn page(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the port listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The value of a metric; 0 when it has none yet.
    fn metric(&self, name: &str) -> i64 {
        let page = self.page("/metrics", &format!("Authorization: Bearer {TOKEN}\r\n"));
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
    }

    /// Taken, refused, generation, whether the last one was taken.
    fn reloads(&self) -> [i64; 4] {
        [
            "udmill_reloads_total{result=\"ok\"}",
            "udmill_reloads_total{result=\"refused\"}",
            "udmill_mappings_generation",
            "udmill_reload_last_ok",
        ]
        .map(|name| self.metric(name))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    let running = Running::start(folder.path(), 0, &[]);
    assert_eq!(running.reloads(), [0, 0, 1, 1]);
    assert!(running.metric("udmill_reload_success_timestamp_seconds") > 1_700_000_000);

    site(folder.path(), BROKEN);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(running.reloads(), [0, 0, 1, 1], "nobody looks with an interval of 0");
    running.signal("HUP");
    running.wait("refusal", |running| (running.reloads() == [0, 1, 1, 0]).then_some(()));
    let log = running.log();
    let line = log.lines().find(|line| line.contains("reload refused")).expect("it is logged");
    let line = &log[log.find(line).expect("it is there")..];
    assert!(line.contains("principal.ipp") && line.contains("target.nonsense"), "all faults at once: {line}");

    site(folder.path(), GOOD);
    running.signal("HUP");
    running.wait("reload", |running| (running.reloads() == [1, 1, 2, 1]).then_some(()));

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
    let running = Running::start(folder.path(), 50, &[]);
    assert_eq!(running.reloads(), [0, 0, 1, 1]);
    site(folder.path(), BROKEN);
    running.wait("refusal", |running| (running.reloads() == [0, 1, 1, 0]).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(running.reloads(), [0, 1, 1, 0], "a refused state is tried once");
    site(folder.path(), GOOD);
    running.wait("reload", |running| (running.reloads() == [1, 1, 2, 1]).then_some(()));
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
    let running = Running::start(folder.path(), 0, &wrapper);
    running.signal("HUP");
    running.wait("reload", |running| (running.reloads() == [1, 0, 2, 1]).then_some(()));
}
