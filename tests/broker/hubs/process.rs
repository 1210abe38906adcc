//! Starting `udmill run`, asking its admin port, ending it; and starting Azurite.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a condition may take before the test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Polls `condition` until it gives a value. `what` names it in the failure.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(what, PATIENCE, condition)
}

/// The same with a patience of one's own.
pub fn wait_within<T>(what: &str, patience: Duration, condition: impl FnMut() -> Option<T>) -> T {
    crate::harness::wait_for(what, patience, condition).unwrap_or_else(|fault| panic!("{fault}"))
}

/// A running `udmill run`. Dropping it kills it as `kill -9` does.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts it with these settings.
    pub fn start(settings: &str, variables: &[(&str, &str)]) -> Process {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("udmill.toml");
        std::fs::write(&path, settings).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_udmill"));
        command.arg("run").arg("--config").arg(&path).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("piped");
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = kept.lock().expect("no writer panics");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Process { child, log, reader: Some(reader), _folder: folder }
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// A page of the admin port; `None` while it does not answer.
    pub fn page(&self, path: &str) -> Option<String> {
        let log = self.log();
        let address = log.lines().find(|line| line.contains("admin port"))?.rsplit("address=").next()?.trim().to_owned();
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Ends it with SIGTERM; answers its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal was sent");
        let status = wait_for("the process to end", || self.child.try_wait().expect("it can be waited for"));
        if status.code() != Some(0) {
            if let Some(reader) = self.reader.take() {
                reader.join().expect("the log is read");
            }
            eprintln!("{status}\n{}", self.log());
        }
        status.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL; it may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// A running Azurite with one container.
pub struct Azurite {
    child: Child,
    port: u16,
}

/// The emulator's published key.
pub const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

impl Azurite {
    /// `None` when it is not installed, which is said; a failure when `UDMILL_TEST_AZURITE_REQUIRED` is set.
    pub fn start(container: &str) -> Option<Azurite> {
        let Some(program) = std::env::var_os("UDMILL_TEST_AZURITE") else {
            assert!(std::env::var_os("UDMILL_TEST_AZURITE_REQUIRED").is_none(), "UDMILL_TEST_AZURITE is not set");
            eprintln!("skipped: UDMILL_TEST_AZURITE is not set; run: eval \"$(tests/broker/azurite.sh)\"");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let child = Command::new(program)
            .args(["--blobHost", "127.0.0.1", "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--blobPort"])
            .arg(port.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("Azurite starts");
        let azurite = Azurite { child, port };
        wait_for("Azurite", || TcpStream::connect(("127.0.0.1", port)).ok());
        azurite.make_container(container);
        Some(azurite)
    }

    /// Makes one more container.
    pub fn make_container(&self, container: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/container.mjs");
        let made = Command::new("node").arg(script).arg(self.port.to_string()).arg(container).status().expect("node runs");
        assert!(made.success(), "the container was made");
    }

    /// The port of the blob service.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the blob service.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/devstoreaccount1", self.port)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
