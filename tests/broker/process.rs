//! Starting the child, asking its admin port, ending it.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::child::VARIABLE;
use crate::harness::{Broker, PATIENCE, wait_for};

/// A running child. Dropping it kills it.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    address: String,
    _folder: tempfile::TempDir,
}

/// What a settings file says, in parts that tests vary.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Topics read.
    pub source: String,
    /// Consumer group.
    pub group: String,
    /// (name, topic) of the outputs.
    pub outputs: Vec<(String, String)>,
    /// Topic of dead letters.
    pub dead: String,
    /// Lines for `[run]`.
    pub run: String,
    /// Lines for `[source.kafka]`.
    pub source_lines: String,
    /// Lines after `[dead_letter]`.
    pub dead_lines: String,
    /// Whole sections.
    pub sections: String,
    /// Run `udmill run` with its engine instead of the mill that follows orders.
    pub real: bool,
    /// `host:port`; empty for the plain listener.
    pub servers: String,
}

impl Setup {
    /// The settings file.
    pub fn text(&self, broker: &Broker) -> String {
        let servers = if self.servers.is_empty() { &broker.plain } else { &self.servers };
        let outputs: String =
            self.outputs.iter().map(|(name, topic)| format!("[[output]]\nname = \"{name}\"\ntopic = \"{topic}\"\n")).collect();
        format!(
            "[run]\nworkers = 2\n{}\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.kafka]\nbootstrap_servers = \"{servers}\"\ntopics = [\"{}\"]\ngroup_id = \"{}\"\n{}\n{}\n{outputs}[dead_letter]\ntopic = \"{}\"\n{}\n",
            self.run, self.source, self.group, self.source_lines, self.sections, self.dead, self.dead_lines
        )
    }
}

impl Process {
    /// Starts a child and waits until its admin port answers.
    pub fn start(broker: &Broker, setup: &Setup) -> Result<Process, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("udmill.toml");
        std::fs::write(&path, setup.text(broker)).map_err(|error| error.to_string())?;
        let mut command = if setup.real {
            let mut command = Command::new(env!("CARGO_BIN_EXE_udmill"));
            command.arg("run").arg("--config").arg(&path);
            command
        } else {
            let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
            command.env(VARIABLE, &path);
            command
        };
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let log = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = log.lock().expect("no writer panics");
                    log.push_str(&line);
                    log.push('\n');
                }
            });
        }
        let mut process = Process { child, log, address: String::new(), _folder: folder };
        process.address = wait_for("the admin port", PATIENCE, || {
            let log = process.log();
            let line = log.lines().find(|line| line.contains("admin port"))?;
            Some(line.rsplit("address=").next()?.trim().to_owned())
        })
        .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
        Ok(process)
    }

    /// The exit code, when it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    /// The resident set. Unit: bytes. 0 when it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// Status line and body of a page of the admin port.
    pub fn page(&self, path: &str) -> Result<(u16, String), String> {
        let mut stream = TcpStream::connect(&self.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").map_err(|error| error.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
        let status = answer.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or("no status line")?;
        Ok((status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()))
    }

    /// The sum of all series of a metric whose line contains `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let Ok((_, page)) = self.page("/metrics") else { return 0.0 };
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until it says that it is ready.
    pub fn ready(&self) -> Result<(), String> {
        let mut last = String::new();
        wait_for("readiness", PATIENCE, || {
            let (status, body) = self.page("/health/ready").ok()?;
            last = body;
            (status == 200).then_some(())
        })
        .map_err(|error| format!("{error}; not ready: {last}; log:\n{}", self.log()))
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), String> {
        self.child.kill().map_err(|error| error.to_string())?;
        self.child.wait().map(drop).map_err(|error| error.to_string())
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("`kill -{name}` failed")) }
    }

    /// Waits for its end and answers the exit code.
    pub fn wait(&mut self) -> Result<i32, String> {
        let log = Arc::clone(&self.log);
        let child = &mut self.child;
        wait_for("the process to end", PATIENCE, || child.try_wait().ok().flatten())
            .map(|status| status.code().unwrap_or(-1))
            .map_err(|error| format!("{error}; log:\n{}", log.lock().expect("no writer panics")))
    }

    /// SIGTERM, then the exit code.
    pub fn stop(&mut self) -> Result<i32, String> {
        self.signal("TERM")?;
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Most often it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
