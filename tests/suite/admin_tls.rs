//! The admin port over TLS: who is answered, which files are refused, and what a running process does when certificate, key or token are
//! exchanged.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::authority::{Authority, Pair};
use crate::running::{self, REST, Running, command};

const TLS: &str = "[admin.tls]\ncertificate = \"admin.pem\"\nkey = \"admin.key\"\n";
const TOKEN_FILE: &str = "token = { file = \"admin.token\" }\n";

fn settings(watch_interval_ms: u32, token: &str, tls: &str) -> String {
    format!("[admin]\nlisten = \"127.0.0.1:0\"\n{token}{tls}[files]\nwatch_interval_ms = {watch_interval_ms}\n{REST}")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// The metrics over TLS.
fn metrics(running: &Running, authority: &Authority, token: &str) -> String {
    authority.fetch(&running.address, "/metrics", &bearer(token)).expect("an answer").0
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn with_a_certificate_only_tls_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, other) = (Authority::new(), Authority::new());
    let pair = authority.pair();
    pair.write(folder.path());
    fs::write(folder.path().join("admin.token"), "canary-51c0\n").expect("a token");
    let running = Running::start(folder.path(), &settings(0, TOKEN_FILE, TLS), &[], &[]);
    // Clients that connect and say nothing hold up nobody.
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&running.address).expect("the port listens")).collect();

    for (path, token, expected) in [
        ("/metrics", "", "401"),
        ("/metrics", "canary", "401"),
        ("/metrics", "canary-51c0", "200"),
        ("/drift", "canary-51c0", "200"),
        ("/drift", "", "401"),
        ("/health/live", "", "200"),
        ("/health/ready", "", "503"),
    ] {
        let headers = if token.is_empty() { String::new() } else { bearer(token) };
        let (answer, shown) = authority.fetch(&running.address, path, &headers).expect(path);
        assert_eq!(status(&answer), expected, "{path} with `{token}`: {answer}");
        assert_eq!(shown, pair.certificate, "{path}");
    }
    let refused = other.fetch(&running.address, "/health/live", "").expect_err("an authority that did not sign");
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let plain = running.page("/health/live", "");
    assert!(!plain.contains("HTTP/1.1") && !plain.contains("alive"), "plain HTTP is not answered: {plain}");
    drop(silent);
    assert!(authority.fetch(&running.address, "/health/live", "").is_ok());
    let log = running.log();
    assert!(!log.contains("canary") && !log.contains("PRIVATE KEY"), "{log}");
}

/// The key's own text in one line, without its frame.
fn key_text(pair: &Pair) -> String {
    pair.key_pem().lines().filter(|line| !line.starts_with("-----")).collect()
}

#[test]
fn files_that_do_not_fit_are_refused_at_the_start_and_not_quoted() {
    let authority = Authority::new();
    let (pair, other) = (authority.pair(), authority.pair());
    let (certificate, key) = (pair.certificate_pem(), pair.key_pem());
    let one_line = key.replace('\n', "");
    let wrapped = certificate.replace("CERTIFICATE", "PKCS7");
    let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let nonsense = certificate.replacen("\nMI", "\nAA", 1);
    for (name, certificate, key, expected) in [
        ("no certificate", None, Some(&key), vec!["`admin.tls.certificate`", "`admin.pem`", "was not read"]),
        ("no key", Some(&certificate), None, vec!["`admin.tls.key`", "`admin.key`", "was not read"]),
        ("neither", None, None, vec!["`admin.pem` was not read", "`admin.key` was not read"]),
        ("a certificate of another kind", Some(&wrapped), Some(&key), vec!["`admin.pem` holds no certificate", "expected PEM"]),
        ("two keys", Some(&key), Some(&key), vec!["`admin.pem` holds no certificate"]),
        ("two certificates", Some(&certificate), Some(&certificate), vec!["`admin.key` holds no private key"]),
        ("a key with a password", Some(&certificate), Some(&locked), vec!["`admin.key` holds no private key", "without a password"]),
        ("a key in one line", Some(&certificate), Some(&one_line), vec!["`admin.key` holds no private key", "line ends"]),
        ("the key of another", Some(&certificate), Some(&other.key_pem()), vec!["`admin.key` is not that of", "`admin.pem`", "one pair"]),
        ("a broken certificate", Some(&nonsense), Some(&key), vec!["`admin.tls`", "cannot be used"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: Option<&String>| {
            if let Some(text) = text {
                fs::write(folder.path().join(name), text).expect("a file");
            }
        };
        write("admin.pem", certificate);
        write("admin.key", key);
        for what in ["check", "run"] {
            let output = command(what, folder.path(), &settings(0, "", TLS), &[]);
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(2), "{what}, {name}: {said}");
            assert!(expected.iter().all(|part| said.contains(part)), "{what}, {name}: expected {expected:?} in:\n{said}");
            for secret in [key_text(&pair), key_text(&other)] {
                assert!(!said.contains(&secret[..40]) && !said.contains(&secret[secret.len() - 40..]), "{what}, {name}: {said}");
            }
        }
    }
}

#[test]
fn settings_of_half_a_pair_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command("check", folder.path(), &settings(0, "", "[admin.tls]\ncertificate = \"admin.pem\"\n"), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("missing field `key`") && said.contains("udmill.toml:3"), "{said}");
}

/// What a running process did with changed files: taken, refused, generation of the mappings, whether the last was taken.
fn after(running: &Running, authority: &Authority, token: &str, expected: [i64; 4]) {
    running.wait(&format!("{expected:?}"), |running| {
        // The token may not be in force yet.
        let page = metrics(running, authority, token);
        (status(&page) == "200" && running::reloads(&page) == expected).then_some(())
    });
}

fn exchange(folder: &Path, watch_interval_ms: u32, told: impl Fn(&Running)) {
    let authority = Authority::new();
    let (first, second, third) = (authority.pair(), authority.pair(), authority.pair());
    first.write(folder);
    fs::write(folder.join("admin.token"), "canary-one").expect("a token");
    let running = Running::start(folder, &settings(watch_interval_ms, TOKEN_FILE, TLS), &[], &[]);
    let is_shown = |pair: &Pair| {
        let (_, shown) = authority.fetch(&running.address, "/health/live", "").expect("an answer");
        assert!(shown == pair.certificate, "another certificate is shown; log:\n{}", running.log());
    };
    let generation = |signals: i64| if watch_interval_ms == 0 { 1 + signals } else { 1 };
    is_shown(&first);

    // A certificate without its key: refused, and the old pair stays.
    fs::write(folder.join("admin.pem"), second.certificate_pem()).expect("a file");
    told(&running);
    after(&running, &authority, "canary-one", [0, 1, generation(1), 0]);
    is_shown(&first);
    let log = running.log();
    let line = log.lines().find(|line| line.contains("reload refused")).expect("it is logged");
    assert!(line.contains("token and certificate of the admin port") && line.contains("is not that of the certificate"), "{line}");

    // Its key follows: taken.
    second.write(folder);
    told(&running);
    after(&running, &authority, "canary-one", [1, 1, generation(2), 1]);
    is_shown(&second);

    // A new token beside a certificate that is gone: neither is taken.
    fs::write(folder.join("admin.token"), "canary-two\n").expect("a token");
    fs::remove_file(folder.join("admin.pem")).expect("it goes");
    told(&running);
    after(&running, &authority, "canary-one", [1, 2, generation(3), 0]);
    is_shown(&second);

    third.write(folder);
    told(&running);
    after(&running, &authority, "canary-two", [2, 2, generation(4), 1]);
    is_shown(&third);
    assert_eq!(status(&metrics(&running, &authority, "canary-one")), "401", "the old token is over");

    // An empty token would let nobody in.
    fs::write(folder.join("admin.token"), "").expect("a token");
    told(&running);
    after(&running, &authority, "canary-two", [2, 3, generation(5), 0]);
    let log = running.log();
    assert!(log.contains("the secret is empty"), "{log}");
    assert!(!log.contains("canary") && !log.contains(&key_text(&second)[..40]), "{log}");
}

#[test]
fn sighup_takes_another_certificate_and_token() {
    let folder = tempfile::tempdir().expect("a folder");
    exchange(folder.path(), 0, |running| running.signal("HUP"));
}

/// The mappings stay as they are: their generation does not count what the admin port was given.
#[test]
fn a_changed_certificate_and_token_are_taken_without_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    exchange(folder.path(), 100, |_| {});
}

/// A connection that was made with the old certificate goes on, and a fault of the mappings does not keep a certificate out.
#[test]
fn a_broken_mapping_keeps_no_certificate_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.pair().write(folder.path());
    let site = folder.path().join("site/azure");
    fs::create_dir_all(&site).expect("a folder");
    fs::write(site.join("metrics.toml"), "extends = true\n").expect("a mapping");
    let text = settings(0, "", TLS).replace("[files]", "[files]\nmappings = \"site\"");
    let running = Running::start(folder.path(), &text, &[], &[]);
    let mut open = TcpStream::connect(&running.address).expect("the port listens");
    let second = authority.pair();
    second.write(folder.path());
    fs::write(site.join("metrics.toml"), "extends = true\n[fields]\nrows = [ { from = \"a\", to = \"principal.ipp\" } ]\n")
        .expect("a mapping");
    running.signal("HUP");
    after(&running, &authority, "", [0, 1, 1, 0]);
    let (_, shown) = authority.fetch(&running.address, "/health/live", "").expect("an answer");
    assert_eq!(shown, second.certificate);
    let log = running.log();
    assert!(log.contains("principal.ipp") && log.contains("token and certificate of the admin port reloaded"), "{log}");

    fs::write(site.join("metrics.toml"), "extends = true\n").expect("a mapping");
    running.signal("HUP");
    after(&running, &authority, "", [1, 1, 2, 1]);
    // A client that never began its handshake is let go after a while.
    open.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)), "nobody is answered without TLS");
}

/// librdkafka reads its files once: whoever changes one is told to restart, once a change and at every SIGHUP.
#[test]
fn a_changed_file_of_the_kafka_client_is_warned_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("a file");
    let kafka = "[source.kafka.security]\nprotocol = \"ssl\"\nca_file = \"ca.pem\"\n";
    let running = Running::start(folder.path(), &(settings(100, "", "") + kafka), &[], &[]);
    let warnings = || running.log().matches("restart the process to use it").count();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(warnings(), 0, "{}", running.log());
    fs::write(&ca, Authority::new().pem()).expect("a file");
    running.wait("warning", |_| (warnings() == 1).then_some(()));
    let log = running.log();
    let line = log.lines().find(|line| line.contains("restart the process")).expect("it is there");
    assert!(line.contains("WARN") && line.contains("source.kafka.security.ca_file") && line.contains("ca.pem"), "{line}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(warnings(), 1, "told once: {}", running.log());
    running.signal("HUP");
    running.wait("warning", |_| (warnings() == 2).then_some(()));
}
