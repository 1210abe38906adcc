//! `udmill run` as a process of its own: its log, its admin port, signals. No broker is there: a process that cannot reach one goes on
//! trying, and serves its port meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sections that every settings file of these tests needs besides its own.
pub const REST: &str = "[source.kafka]\nbootstrap_servers = \"127.0.0.1:1\"\ntopics = [\"in\"]\n\
                        [[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n[run]\nworkers = 1\ndrain_timeout_ms = 1000\n";

/// A running process; it is killed when this is dropped.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Of the admin port.
    pub address: String,
}

/// `udmill COMMAND --config FILE`, to its end.
pub fn command(command: &str, folder: &Path, settings: &str, environment: &[(&str, &str)]) -> Output {
    let path = folder.join("udmill.toml");
    fs::write(&path, settings).expect("the settings are written");
    let mut udmill = Command::new(env!("CARGO_BIN_EXE_udmill"));
    udmill.arg(command).arg("--config").arg(&path).envs(environment.iter().copied()).current_dir(folder).stdin(Stdio::null());
    udmill.output().expect("udmill runs")
}

impl Running {
    /// Starts it with these settings, behind the words of `wrapper`, and waits for the admin port.
    pub fn start(folder: &Path, settings: &str, environment: &[(&str, &str)], wrapper: &[&str]) -> Running {
        let path = folder.join("udmill.toml");
        fs::write(&path, settings).expect("the settings are written");
        let mut words = wrapper.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        words.extend([env!("CARGO_BIN_EXE_udmill").to_owned(), "run".to_owned(), "--config".to_owned(), path.display().to_string()]);
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .envs(environment.iter().copied())
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

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// Looks again and again until there is an answer.
    pub fn wait<T>(&self, what: &str, look: impl Fn(&Running) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < until, "no {what} within 60 s; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The whole answer to a request in plain HTTP; what came of it when the port hangs up.
    pub fn page(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the port listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let mut answer = Vec::new();
        // A port that speaks TLS may hang up in the middle of either.
        let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }
}

/// The value of a metric on a page; 0 when it has none yet.
pub fn metric(page: &str, name: &str) -> i64 {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Taken, refused, generation of the mappings, whether nothing of the last reloads was refused.
pub fn reloads(page: &str) -> [i64; 4] {
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    [
        "udmill_reloads_total{result=\"ok\"}",
        "udmill_reloads_total{result=\"refused\"}",
        "udmill_mappings_generation",
        "udmill_reload_last_ok",
    ]
    .map(|name| metric(page, name))
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
