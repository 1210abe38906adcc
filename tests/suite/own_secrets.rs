//! udmill's own secrets, sound ones and broken ones, put into every setting that takes one: none comes out by the log at its most
//! talkative, a fault, `check`, `Debug`, or a page of the admin port. What brokers let in and refuse is `security` in `tests/broker`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use eventhubs_stand_in::{NAMESPACE, Server};
use udmill::config::Settings;

use crate::authority::Authority;
use crate::running::{Running, command};

/// The word that every secret holds, in clear and encoded.
const CANARY: &str = "Canary7f3a91";

/// Every form in which the word could stand in a text: itself, and base64 at each of the three places of a group.
fn forms() -> Vec<String> {
    let mut forms = vec![CANARY.to_ascii_lowercase()];
    for skip in 0..3usize {
        // What stands before it fills a group; the first and last digits may hold bits of neighbours.
        let text = STANDARD.encode([&vec![0; skip][..], CANARY.as_bytes()].concat());
        let text = text.trim_end_matches('=');
        forms.push(text[(skip * 8).div_ceil(6)..text.len() - 1].to_owned());
    }
    forms
}

fn leak(told: &str) -> Option<String> {
    let lower = told.to_ascii_lowercase();
    let at = forms().iter().enumerate().find_map(|(index, form)| if index == 0 { lower.find(form) } else { told.find(form) })?;
    let start = told.floor_char_boundary(at.saturating_sub(200));
    Some(told[start..told.floor_char_boundary(at + 60)].to_owned())
}

/// Answers every request with 403 and all that was asked, headers included, as a careless proxy might.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut asked = vec![0; 16 << 10];
                let Ok(size) = stream.read(&mut asked) else { return };
                let asked = &asked[..size];
                // Whoever asks may have gone.
                let _ = write!(stream, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n");
                let _ = stream.write_all(asked);
            });
        }
    });
    port
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// `run` starts, and this comes to stand in its log or on `/health/ready`.
    Runs(&'static str),
    /// `run` ends by itself, with this in its fault.
    Refused(&'static str),
}
use Ends::{Refused, Runs};

struct Case {
    name: &'static str,
    /// What the file `secret` holds.
    secret: String,
    /// Sections beside `[[output]]` and `[dead_letter]`.
    sections: String,
    environment: Vec<(&'static str, String)>,
    ends: Ends,
}

const SECRET: &str = "{ file = \"secret\" }";
const KAFKA: &str = "[source.kafka]\nbootstrap_servers = \"127.0.0.1:1\"\ntopics = [\"in\"]\n";
fn case(name: &'static str, secret: impl Into<String>, sections: impl Into<String>, ends: Ends) -> Case {
    Case { name, secret: secret.into(), sections: sections.into(), environment: Vec::new(), ends }
}

fn jwt(claims: &str) -> String {
    format!("{}.{}.{CANARY}Signature", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(claims))
}

/// `port` is that of [`echo`], `hubs` an Event Hubs that lets nobody in.
fn cases(port: u16, hubs: &Server) -> Vec<Case> {
    let kafka = |security: &str| format!("{KAFKA}[source.kafka.security]\n{security}\n");
    let endpoint = hubs.endpoint();
    let hubs = |rest: &str| {
        format!(
            "[source.eventhubs]\nnamespace = \"{NAMESPACE}\"\nendpoint = \"{endpoint}\"\nhubs = [\"in\"]\n\
             [source.eventhubs.access]\nconnection_string = {SECRET}\n[source.eventhubs.checkpoints]\n{rest}\n"
        )
    };
    let archive = |access: &str| {
        format!(
            "{KAFKA}[sink.archive]\nto = \"az://logs/a\"\n[sink.archive.access]\naccount = \"acct\"\nendpoint = \"http://127.0.0.1:{port}/acct\"\n{access}\n"
        )
    };
    let blobs = |access: &str| {
        format!(
            "[source.blob]\nfrom = [\"az://logs/a\"]\npoll_interval_ms = 200\n[source.blob.access]\naccount = \"acct\"\nendpoint = \"http://127.0.0.1:{port}/acct\"\n{access}\n\
             [source.blob.checkpoints]\nfile = \"positions.json\"\n[sink.kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n"
        )
    };
    let openai = format!(
        "[source.openai]\nkey = {SECRET}\nbase_url = \"http://127.0.0.1:{port}\"\n[source.openai.state]\nfolder = \"state\"\n[sink.kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n"
    );
    let encoded = STANDARD.encode(format!("{CANARY}-key-of-thirty-two-bytes-or-so"));
    let string = |key: &str| format!("Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName=udmill;SharedAccessKey={key}");
    let user = format!("mechanism = \"PLAIN\"\nusername = \"u\"\npassword = {SECRET}\n");
    let authority = Authority::new();
    let client_key = authority.pair().key_pem().replacen('\n', &format!("\n{CANARY}"), 1);
    let mut cases = vec![
        case("kafka password", CANARY, kafka(&user), Runs("127.0.0.1:1")),
        case("kafka password in the clear", CANARY, kafka(&format!("{user}protocol = \"sasl_plaintext\"")), Runs("127.0.0.1:1")),
        case(
            "kafka password of two lines",
            format!("{CANARY}\n{CANARY}"),
            kafka(&user.replace("PLAIN", "SCRAM-SHA-512")),
            Runs("127.0.0.1:1"),
        ),
        case("connection string", string(&encoded), kafka(&format!("connection_string = {SECRET}")), Runs("127.0.0.1:1")),
        case(
            "connection string without an end point",
            format!("SharedAccessKey={encoded}"),
            kafka(&format!("connection_string = {SECRET}")).replace("127.0.0.1:1", ""),
            Refused("expected `Endpoint=sb://"),
        ),
        case(
            "token",
            jwt(&format!("{{\"sub\":\"{CANARY}\",\"exp\":99999999999}}")),
            kafka(&format!("token = {SECRET}")),
            Runs("127.0.0.1:1"),
        ),
        case("token that expired", jwt("{\"sub\":\"a\",\"exp\":1}"), kafka(&format!("token = {SECRET}")), Runs("expired")),
        case("token that is none", CANARY, kafka(&format!("token = {SECRET}")), Refused("no JWT")),
        case(
            "broken key of the kafka client",
            client_key,
            kafka("protocol = \"ssl\"\ncertificate_file = \"client.pem\"\nkey_file = \"secret\""),
            Refused("ssl.key.location"),
        ),
        case("event hubs", string(&encoded), hubs("file = \"positions.json\""), Runs("hub `in`")),
        case("event hubs, broken key", string(&format!("{CANARY}!*")), hubs("file = \"positions.json\""), Runs("hub `in`")),
        case("event hubs, no string", CANARY, hubs("file = \"positions.json\""), Refused("connection_string")),
        case(
            "event hubs, ready signature",
            format!("Endpoint=sb://{NAMESPACE}/;SharedAccessSignature=SharedAccessSignature sr=a&sig={CANARY}&se=1&skn=k"),
            hubs("file = \"positions.json\""),
            Runs("hub `in`"),
        ),
        case(
            "key of the checkpoints",
            encoded.clone(),
            hubs(&format!(
                "blob = {{ account = \"acct\", container = \"c\", endpoint = \"http://127.0.0.1:{port}/acct\", access_key = {SECRET} }}"
            ))
            .replace(&format!("connection_string = {SECRET}"), "connection_string = { env = \"UDMILL_TEST_STRING\" }"),
            Runs("hub `in`"),
        ),
        case("archive key", encoded.clone(), archive(&format!("access_key = {SECRET}")), Runs("admin port")),
        case("archive key, broken", format!("{CANARY}!*"), archive(&format!("access_key = {SECRET}")), Refused("az://logs/a")),
        case("blob key", encoded.clone(), blobs(&format!("access_key = {SECRET}")), Runs("403")),
        case("blob signature", "unused", blobs(""), Runs("403")),
        case("openai key", format!("sk-admin-{CANARY}"), openai.clone(), Runs("403")),
        case("openai key of two lines", format!("sk-admin-{CANARY}\n{CANARY}"), openai, Refused("expected one word")),
        case("admin token", CANARY, format!("{KAFKA}[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {SECRET}\n"), Runs("127.0.0.1:1")),
        case(
            "redaction key",
            format!("{CANARY}-and-some-more"),
            format!("{KAFKA}[files]\nredaction = \"redaction.toml\"\n"),
            Runs("127.0.0.1:1"),
        ),
        case("redaction key, short", CANARY, format!("{KAFKA}[files]\nredaction = \"redaction.toml\"\n"), Refused("take at least 16")),
    ];
    for case in &mut cases {
        match case.name {
            "blob signature" => case.environment.push(("AZURE_STORAGE_SAS_KEY", format!("sv=2024-11-04&sp=rl&sr=c&sig={CANARY}%3D"))),
            "key of the checkpoints" => case.environment.push(("UDMILL_TEST_STRING", string(&encoded))),
            _ => {}
        }
    }
    cases
}

/// What `/metrics`, `/drift` and `/health/ready` say; the first two perhaps only that they want a token.
fn pages(running: &Running) -> String {
    ["/metrics", "/drift", "/health/ready"].map(|path| running.page(path, "")).join("\n")
}

/// Everything that one case says, and whether it ended as meant.
fn told(case: &Case, folder: &Path) -> (String, Result<(), String>) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file is written");
    write("secret", &case.secret);
    write("client.pem", &Authority::new().pair().certificate_pem());
    write("redaction.toml", &format!("key = {SECRET}\n[[rule]]\naction = \"hash\"\npaths = [\"callerIpAddress\"]\n"));
    let admin = if case.sections.contains("[admin]") { "" } else { "[admin]\nlisten = \"127.0.0.1:0\"\n" };
    let text = format!(
        "[log]\nfilter = \"trace\"\n[run]\nworkers = 1\ndrain_timeout_ms = 200\n{admin}{}[[output]]\nname = \"siem\"\ntopic = \"udm\"\n[dead_letter]\ntopic = \"dead\"\n",
        case.sections
    );
    let environment: Vec<(&str, &str)> = case.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let checked = command("check", folder, &text, &environment);
    let mut told = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    let settings = Settings::read("udmill.toml", &text);
    told += &format!("{settings:?}");
    if let Some(source) = settings.ok().and_then(|settings| settings.source.kafka) {
        let mut connection = source.connection();
        for reference in [&mut connection.security.password, &mut connection.security.connection_string].into_iter().flatten() {
            reference.file = Some(folder.join("secret").display().to_string());
        }
        told += &format!("{connection:?}{:?}", connection.librdkafka_settings());
    }
    match case.ends {
        Refused(part) => {
            let output = command("run", folder, &text, &environment);
            let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            told += &said;
            let is_meant = matches!(output.status.code(), Some(1 | 2)) && said.contains(part);
            (told, if is_meant { Ok(()) } else { Err(format!("expected a fault with `{part}`, found {:?}: {said}", output.status)) })
        }
        Runs(part) => {
            let running = Running::start(folder, &text, &environment, &[]);
            // Both the page and the log, and then a little longer: clients try again.
            let until = Instant::now() + Duration::from_secs(20);
            let is_seen = || (pages(&running) + &running.log()).contains(part);
            while !is_seen() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(50));
            }
            let is_meant = is_seen();
            std::thread::sleep(Duration::from_millis(1000));
            running.signal("HUP");
            told += &pages(&running);
            running.signal("TERM");
            let ended = Instant::now() + Duration::from_secs(3);
            while TcpStream::connect(&running.address).is_ok() && Instant::now() < ended {
                std::thread::sleep(Duration::from_millis(50));
            }
            let log = running.log();
            told += &log;
            (told, if is_meant { Ok(()) } else { Err(format!("expected `{part}` in the log or on a page; log:\n{log}")) })
        }
    }
}

#[test]
fn none_comes_out() {
    let hubs = Server::start(&[("in", 1)]).expect("a stand-in starts");
    hubs.faults().refuse_tokens(true);
    let cases = cases(echo(), &hubs);
    let mut faults = Vec::new();
    // They wait most of their time.
    std::thread::scope(|scope| {
        for chunk in cases.chunks(6) {
            let running: Vec<_> = chunk
                .iter()
                .map(|case| {
                    scope.spawn(move || {
                        let folder = tempfile::tempdir().expect("a folder");
                        (case.name, told(case, folder.path()))
                    })
                })
                .collect();
            for thread in running {
                let (name, (told, ended)) = thread.join().expect("no case panics");
                faults.extend(leak(&told).map(|leak| format!("{name}: came out: {leak}")));
                faults.extend(ended.err().map(|fault| format!("{name}: {}", &fault[..fault.floor_char_boundary(4000)])));
            }
        }
    });
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n\n"));
}

/// The test sees what it must see, in every form.
#[test]
fn a_canary_is_seen_in_every_form() {
    for before in ["", "a", "ab", "abc"] {
        let secret = format!("{before}{CANARY}rest");
        for told in [secret.clone(), secret.to_uppercase(), STANDARD.encode(&secret), format!("x {}", URL_SAFE_NO_PAD.encode(&secret))] {
            assert!(leak(&told).is_some(), "{told}");
        }
    }
    assert_eq!(leak("nothing"), None);
}
