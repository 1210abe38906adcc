//! HTTP around the simulated API: a server on loopback with the clock of this machine.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::api::{Answer, Api, Fault};

/// The key that it lets in.
pub const KEY: &str = "sk-admin-CANARYkeyThatMustAppearNowhere";

/// A running server; it ends with the process.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it holds and does wrong.
    pub api: Arc<Mutex<Api>>,
    /// The key that it lets in now.
    pub key: Arc<Mutex<String>>,
}

/// Seconds since the Unix epoch.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

impl Server {
    /// Starts it.
    pub fn start(api: Api) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = Server { address, api: Arc::new(Mutex::new(api)), key: Arc::new(Mutex::new(KEY.to_owned())) };
        let (api, key) = (Arc::clone(&server.api), Arc::clone(&server.key));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (api, key) = (Arc::clone(&api), Arc::clone(&key));
                std::thread::spawn(move || serve(stream, &api, &key));
            }
        });
        server
    }

    /// The setting `base_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs `work` on the API.
    pub fn with<T>(&self, work: impl FnOnce(&mut Api) -> T) -> T {
        work(&mut self.api.lock().expect("no holder panics"))
    }
}

/// One request a connection. A fault of the peer ends it.
fn serve(mut stream: TcpStream, api: &Mutex<Api>, key: &Mutex<String>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut head = Vec::new();
    let mut byte = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut byte).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&byte[..count]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.lines().next()?.split(' ').nth(1)?.to_owned();
    let wanted = format!("bearer {}", key.lock().expect("no holder panics").to_lowercase());
    let given = head.lines().find_map(|line| line.to_lowercase().strip_prefix("authorization:").map(|value| value.trim().to_owned()));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs: Vec<(String, String)> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decoded(name), decoded(value))).collect();
    let mut is_truncated = false;
    let answer = if path != "/v1/organization/audit_logs" {
        Answer { status: 404, retry_after: None, body: b"{}".to_vec() }
    } else if given.as_deref() != Some(&wanted) {
        // The service quotes a part of the key.
        let body = format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {}\",\"code\":\"invalid_api_key\"}}}}", &KEY[..20]);
        Answer { status: 401, retry_after: None, body: body.into_bytes() }
    } else {
        let mut api = api.lock().expect("no holder panics");
        is_truncated = api.faults.front() == Some(&Fault::Truncated);
        api.answer(now(), &pairs)?
    };
    // Half of those that break off say so by their length, half do not.
    let length = answer.body.len() + if is_truncated && answer.body.len() % 2 == 0 { 100 } else { 0 };
    let date =
        jiff::Timestamp::from_second(now()).ok()?.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let retry_after = answer.retry_after.map(|value| format!("Retry-After: {value}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} X\r\nDate: {date}\r\nContent-Type: application/json\r\n{retry_after}Content-Length: {length}\r\nConnection: close\r\n\r\n",
        answer.status
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.body)).ok()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok())).flatten();
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
