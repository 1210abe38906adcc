//! Secrets put into every place of every sample: none comes out by an event, an identity, a note, a reject or explain.
//!
//! A dead letter's value is not among these: by design it is the record's own bytes, and `dead_letter.content` says otherwise where the
//! topic is not restricted. What is checked here is what goes to the SIEM, to logs and to people.

use serde_json::{Map, Value, json};
use udmill::engine::{Engine, Message, Outcomes, Timestamp, Worker};

use crate::ends::{self, Dice};
use crate::mills;

/// The word that every secret holds inside its secret part.
const CANARY: &str = "canary";

/// Secrets that their own form gives away, in texts as logs hold them.
const TEXTS: [(&str, &str); 14] = [
    ("SAS URL", "https://acct.blob.core.windows.net/c/b?sv=2024-11-04&sp=r&sig=Canary7aB%2Fcd%3D&se=2026-01-01"),
    ("SAS first", "https://acct.blob.core.windows.net/c/b?sig=Canary7aB%2Fcd%3D"),
    ("SAS encoded", "next=https%3A%2F%2Facct.blob.core.windows.net%2Fc%3Fsp%3Dr%26sig%3DCanary7aB%252Fcd"),
    ("bearer", "sent with Bearer Canary-0123456789.abcdef"),
    ("basic", "sent with Basic Y2FuYXJ5OkNhbmFyeTEyMw=="),
    ("authorization", "POST /v1 HTTP/1.1\r\nAuthorization: SharedKey acct:Canary0123=\r\nHost: example.com"),
    ("cookie", "GET / HTTP/1.1\r\nCookie: ARRAffinity=Canary0123; other=Canary\r\nHost: example.com"),
    ("api-key", "curl -H 'api-key: Canary0123456789' https://example.openai.azure.com"),
    ("API key in JSON", r#"{"headers":{"x-api-key":"Canary0123456789","accept":"*/*"}}"#),
    ("OpenAI key", "denied for sk-proj-Canary0123456789abcdefghij today"),
    ("JWT", "token eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJDYW5hcnkiLCJpYXQiOjF9.CanarySignature0123456789-abcdefghijk seen"),
    (
        "PEM",
        "-----BEGIN PRIVATE KEY-----\nMIIECanary0123456789abcdefghijklmnop\nCanaryAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n",
    ),
    ("account key", "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=Canary0123456789abcdef==;EndpointSuffix=core.windows.net"),
    ("client secret", "grant_type=client_credentials&client_secret=Canary~0123456789&scope=x"),
];

/// Members that only their names give away.
const NAMES: [&str; 12] = [
    "Authorization",
    "authorization",
    "Cookie",
    "Set-Cookie",
    "api-key",
    "Ocp-Apim-Subscription-Key",
    "requestBody",
    "responseBody",
    "BackendRequestBody",
    "RequestMessages",
    "ResponseMessages",
    "client_secret",
];

/// Everything about a message that leaves by another way than a dead letter's value.
fn told(engine: &Engine, worker: &mut Worker, body: &[u8]) -> String {
    let mut outcomes = Outcomes::default();
    engine.process(worker, Message { received: Some(Timestamp(ends::RECEIVED)), ..Message::new(body) }, &mut outcomes);
    assert!(!outcomes.parts.is_empty());
    let (events, ids) = (String::from_utf8_lossy(&outcomes.events), String::from_utf8_lossy(&outcomes.ids));
    format!("{events}\n{ids}\n{:?}\n{:?}\n{:?}", outcomes.parts, outcomes.notes, outcomes.traces)
}

/// A canary in what was told, with what stands around it.
fn leak(told: &str) -> Option<String> {
    let lower = told.to_ascii_lowercase();
    // `Canary` in base64, as it stands in the JWT and in the Basic token.
    let encoded = ["DYW5hcnki", "Y2FuYXJ5OkNhbmFye"].iter().find_map(|text| told.find(text));
    let at = lower.find(CANARY).or(encoded)?;
    let shown: String = told[..at].chars().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect();
    Some(shown + &told[at..].chars().take(40).collect::<String>())
}

/// Runs bodies with and without explain's trace and gathers what leaks.
struct Watch {
    worker: Worker,
    leaks: std::collections::BTreeMap<String, (usize, String)>,
    bodies: usize,
}

impl Watch {
    fn new() -> Watch {
        let mut worker = mills::worker_with_places(mills::shipped().limits());
        worker.trace(true);
        Watch { worker, leaks: Default::default(), bodies: 0 }
    }

    fn run(&mut self, what: &str, body: &[u8]) {
        self.bodies += 1;
        if let Some(leak) = leak(&told(mills::shipped(), &mut self.worker, body)) {
            let entry = self.leaks.entry(what.to_owned()).or_insert_with(|| (0, leak));
            entry.0 += 1;
        }
    }

    fn end(self) {
        let shown: Vec<_> = self.leaks.iter().map(|(what, (count, leak))| format!("{what}, {count} times: {leak}")).collect();
        assert!(shown.is_empty(), "{} of {} bodies:\n{}", shown.len(), self.bodies, shown.join("\n"));
        assert!(self.bodies > 1000, "only {} bodies", self.bodies);
    }
}

fn records() -> Vec<(String, Value)> {
    let mut worker = mills::worker(mills::shipped().limits());
    let records = ends::records(mills::shipped(), &mut worker).into_iter();
    records.filter_map(|(name, record)| Some((name, serde_json::from_slice(&record).ok()?))).collect()
}

/// Calls `change` with every text below, JSON texts opened; one that was changed is closed again.
fn texts(value: &mut Value, path: &str, change: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| texts(value, &format!("{path}.{name}"), change)),
        Value::Array(elements) => elements.iter_mut().for_each(|value| texts(value, &format!("{path}[]"), change)),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut inner @ (Value::Object(_) | Value::Array(_))) => {
                texts(&mut inner, &format!("{path}>json"), change);
                *text = inner.to_string();
            }
            _ => change(path, text),
        },
        _ => {}
    }
}

/// Calls `change` with every object below, those in JSON texts included.
fn objects(value: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(|value| objects(value, change));
            change(members);
        }
        Value::Array(elements) => elements.iter_mut().for_each(|value| objects(value, change)),
        Value::String(text) => {
            if let Ok(mut inner @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
                objects(&mut inner, change);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

#[test]
fn no_secret_in_a_text_comes_out() {
    let mut watch = Watch::new();
    let mut dice = Dice::new(14);
    for (name, record) in records() {
        // One text at a time, so that what chooses mapping, type and rows stays as it is but in one place.
        let mut count = 0;
        texts(&mut record.clone(), "", &mut |_, _| count += 1);
        // A seventh of the places a run; the same kind of place stands in many records.
        for at in (dice.roll(7)..count).step_by(7) {
            let (kind, secret) = TEXTS[dice.roll(TEXTS.len())];
            let (mut record, mut number, mut place) = (record.clone(), 0, String::new());
            let alone = dice.roll(2) == 0;
            texts(&mut record, "", &mut |path, text| {
                if number == at {
                    place = path.to_owned();
                    *text = if alone { secret.to_owned() } else { format!("{text} {secret}") };
                }
                number += 1;
            });
            let text = record.to_string();
            watch.run(&format!("{kind} at {place} of {name}"), text.as_bytes());
            // As .NET writes it: `&`, `'`, `<`, `>` and `+` escaped.
            let escaped = text.replace('&', r"\u0026").replace('\'', r"\u0027").replace('+', r"\u002B");
            watch.run(&format!("escaped {kind} at {place} of {name}"), escaped.as_bytes());
            if dice.roll(4) == 0 {
                // Broken records tell the reader of a reject what was found, and that is redacted too.
                let cut = text.floor_char_boundary(text.len() / 2 + dice.roll(text.len() / 2));
                watch.run(&format!("broken {kind} at {place} of {name}"), &text.as_bytes()[..cut]);
            }
        }
    }
    watch.end();
}

#[test]
fn no_secret_under_a_telling_name_comes_out() {
    let mut watch = Watch::new();
    let mut dice = Dice::new(12);
    let plain = "what Canary asked: tell me everything";
    let values = [
        json!(plain),
        json!([{ "role": "user", "content": plain }, plain]),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": plain }] }], "model": plain }),
        json!(format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{plain}\"}}]}}")),
    ];
    for (name, record) in records() {
        for _ in 0..6 {
            let member = NAMES[dice.roll(NAMES.len())];
            // Azure calls the object that describes an access decision `authorization`: only texts below that name are secrets.
            let is_body = member.ends_with("Body") || member.ends_with("Messages");
            let value = if is_body { &values[dice.roll(values.len())] } else { &values[0] };
            let mut record = record.clone();
            objects(&mut record, &mut |members| drop(members.insert(member.to_owned(), value.clone())));
            watch.run(&format!("{member} of {name}"), record.to_string().as_bytes());
        }
    }
    watch.end();
}

/// A member that holds JSON as text, wherever it stands and whichever row copies it: what only a name inside gives away stays in.
#[test]
fn no_prompt_in_json_text_comes_out() {
    let mut watch = Watch::new();
    let mut dice = Dice::new(16);
    let forms = [
        r#"{"model":"m","requestBody":"what Canary asked"}"#,
        r#"[{"ResponseMessages":[{"content":"what Canary was told"}]}]"#,
        r#" {"properties":"{\"backendRequestBody\":\"what Canary asked\"}"}"#,
    ];
    for (name, record) in records() {
        let mut count = 0;
        texts(&mut record.clone(), "", &mut |_, _| count += 1);
        for at in (dice.roll(5)..count).step_by(5) {
            let form = forms[dice.roll(forms.len())];
            let (mut record, mut number, mut place) = (record.clone(), 0, String::new());
            texts(&mut record, "", &mut |path, text| {
                if number == at {
                    place = path.to_owned();
                    *text = form.to_owned();
                }
                number += 1;
            });
            watch.run(&format!("{form} at {place} of {name}"), record.to_string().as_bytes());
        }
    }
    watch.end();
}

#[test]
fn no_secret_in_a_name_comes_out() {
    let mut watch = Watch::new();
    let secrets: Vec<&str> = TEXTS.iter().map(|(_, secret)| *secret).collect();
    for (at, (name, record)) in records().into_iter().enumerate() {
        for (kind, secret) in [("first", secrets[at % secrets.len()]), ("second", secrets[(at / 14) % secrets.len()])] {
            let mut record = record.clone();
            objects(&mut record, &mut |members| drop(members.insert(secret.to_owned(), json!("x"))));
            watch.run(&format!("{kind} name of {name}"), record.to_string().as_bytes());
        }
    }
    watch.end();
}

/// The watch sees what it must see: a text that is no secret comes out.
#[test]
fn a_canary_that_is_no_secret_is_seen() {
    let mut watch = Watch::new();
    let body =
        r#"{"object":"organization.audit_log","id":"audit_log-1","type":"login.succeeded","effective_at":1767225600,"note":"Canary"}"#;
    watch.run("plain", body.as_bytes());
    assert_eq!(watch.leaks.len(), 1);
    let body = body.replace("Canary", "sk-proj-Canary0123456789abcdefghij");
    let told = told(mills::shipped(), &mut watch.worker, body.as_bytes());
    assert!(leak(&told).is_none() && told.contains("[redacted:api_key]"), "{told}");
}
