//! Where figures come from: the machine, and the versions of what ran.

use serde_json::{Value, json};
use std::process::Command;

/// The first line that a program prints; nothing where it cannot be run.
fn told_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().filter(|_| output.status.success()).map(|line| line.trim().to_owned())
}

/// The version of a package in the lock file.
fn locked(package: &str) -> Option<String> {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).ok()?;
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version.to_owned())
}

/// A file of `/proc` without blanks around it; nothing on other systems.
fn proc(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default().trim().to_owned()
}

/// Machine and versions, for the file of figures.
pub fn told() -> Value {
    let processor = proc("cpuinfo");
    let processor =
        processor.lines().find_map(|line| line.strip_prefix("model name")).map(|rest| rest.trim_start_matches([' ', '\t', ':']));
    json!({
        "processor": processor,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": proc("sys/kernel/osrelease"),
        "load": proc("loadavg"),
        "rustc": told_by("rustc", &["--version"]),
        "udmill": env!("CARGO_PKG_VERSION"),
        "commit": told_by("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        "simd-json": locked("simd-json"),
    })
}

/// The same for people, in one line.
pub fn line(host: &Value) -> String {
    let word = |name: &str| host[name].as_str().unwrap_or("unknown").to_owned();
    format!(
        "{}, {} cores, Linux {}, load {}; {}; udmill {} at {}; simd-json {}",
        word("processor"),
        host["cores"],
        word("kernel"),
        word("load"),
        word("rustc"),
        word("udmill"),
        word("commit"),
        word("simd-json")
    )
}
