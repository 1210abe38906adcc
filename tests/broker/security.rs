//! TLS and SASL: right credentials pass, wrong ones fail with a clear text and a process that is not ready.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::delivery::{numbered, setup};
use crate::harness::{Broker, Case, PATIENCE, count, same, wait_for, write};
use crate::process::{Process, Setup};

/// The cases of this file.
pub const CASES: &[(&str, Case)] = &[
    ("security::plain", plain),
    ("security::scram_256", || scram("SCRAM-SHA-256")),
    ("security::scram_512", || scram("SCRAM-SHA-512")),
    ("security::oauthbearer", oauthbearer),
    ("security::an_unknown_authority_is_refused", an_unknown_authority_is_refused),
];

/// Runs with the given `[source.kafka.security]` lines over the TLS listener.
fn start(broker: &Broker, stem: &str, security: &str) -> Result<(Process, Setup), String> {
    let mut setup = setup(broker, stem, 1)?;
    setup.servers.clone_from(&broker.tls);
    setup.sections = format!("[source.kafka.security]\n{security}\n");
    write(broker, &setup.source, &numbered(20))?;
    Ok((Process::start(broker, &setup)?, setup))
}

fn passes(broker: &Broker, stem: &str, security: &str) -> Result<(), String> {
    let (mut process, setup) = start(broker, stem, security)?;
    process.ready()?;
    wait_for("the events", PATIENCE, || (count(broker, &setup.outputs[0].1).ok()? == 20).then_some(()))
        .map_err(|error| format!("{error}; log:\n{}", process.log()))?;
    keeps(&process, &setup, "")?;
    same("exit code", process.stop()?, 0)
}

/// `Err` when the secret that the settings name stands in the log, in the reason or on a page of the admin port.
fn keeps(process: &Process, setup: &Setup, reason: &str) -> Result<(), String> {
    let file = setup.sections.split_once("file = '").and_then(|(_, rest)| rest.split('\'').next()).ok_or("the settings name no file")?;
    let secret = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let secret = secret.trim_end();
    let pages: Vec<String> = ["/metrics", "/drift"].iter().filter_map(|path| Some(process.page(path).ok()?.1)).collect();
    let told = [process.log(), reason.to_owned(), pages.join("\n")].concat();
    if told.contains(secret) || secret.len() < 8 { Err("the secret came out".to_owned()) } else { Ok(()) }
}

fn fails(broker: &Broker, stem: &str, security: &str, expected: &str) -> Result<(), String> {
    let (mut process, setup) = start(broker, stem, security)?;
    let (mut status, mut reason) = (0, String::new());
    let both = wait_for("source and sink to say why", PATIENCE, || {
        (status, reason) = process.page("/health/ready").ok()?;
        (reason.matches("did not let us in").count() == 2).then_some(())
    });
    both.map_err(|error| format!("{error}; ready says {status}: {reason}; log:\n{}", process.log()))?;
    same("status", status, 503)?;
    for part in [expected, "check `source.kafka.security`"] {
        if !reason.contains(part) {
            return Err(format!("expected `{part}` in: {reason}"));
        }
    }
    let log = process.log();
    keeps(&process, &setup, &reason)?;
    let lines = log.lines().filter(|line| line.contains("did not let us in") && line.contains("source")).count();
    if !(1..=2).contains(&lines) {
        return Err(format!("expected one log line a client, found {lines}:\n{log}"));
    }
    same("exit code", process.stop()?, 0)?;
    same("events", count(broker, &setup.outputs[0].1)?, 0)
}

fn password(broker: &Broker, mechanism: &str, user: &str, file: &std::path::Path) -> String {
    format!("mechanism = \"{mechanism}\"\nusername = '{user}'\npassword = {{ file = '{}' }}\nca_file = '{}'", file.display(), broker.ca)
}

fn with_password(mechanism: &str, stem: &str, pick: fn(&Broker) -> &(String, String)) -> Result<(), String> {
    let broker = Broker::get()?;
    let (user, secret) = pick(&broker);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, format!("{secret}\n")).map_err(|error| error.to_string())?;
    std::fs::write(&wrong, "not-the-secret").map_err(|error| error.to_string())?;
    passes(&broker, stem, &password(&broker, mechanism, user, &right))?;
    fails(&broker, stem, &password(&broker, mechanism, user, &wrong), mechanism)
}

fn plain() -> Result<(), String> {
    with_password("PLAIN", "plain", |broker| &broker.plain_user)
}

fn scram(mechanism: &str) -> Result<(), String> {
    with_password(mechanism, "scram", |broker| &broker.scram_user)
}

fn oauthbearer() -> Result<(), String> {
    let broker = Broker::get()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs();
    let token = |scope: &str| {
        let claims = format!("{{\"sub\":\"udmill\",\"iat\":{now},\"exp\":{},\"scope\":\"{scope}\"}}", now + 600);
        format!("{}.{}.", base64url(b"{\"alg\":\"none\"}"), base64url(claims.as_bytes()))
    };
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, token(&broker.scope)).map_err(|error| error.to_string())?;
    std::fs::write(&wrong, token("another")).map_err(|error| error.to_string())?;
    let security = |file: &std::path::Path| {
        format!("mechanism = \"OAUTHBEARER\"\ntoken = {{ file = '{}' }}\nca_file = '{}'", file.display(), broker.ca)
    };
    passes(&broker, "oauth", &security(&right))?;
    fails(&broker, "oauth", &security(&wrong), "OAUTHBEARER")
}

fn an_unknown_authority_is_refused() -> Result<(), String> {
    let broker = Broker::get()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = folder.path().join("password");
    std::fs::write(&file, &broker.plain_user.1).map_err(|error| error.to_string())?;
    let text = password(&broker, "PLAIN", &broker.plain_user.0, &file);
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("ca_file")).collect();
    fails(&broker, "tls", &without.join("\n"), "certificate verify failed")
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
