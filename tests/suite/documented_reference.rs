//! An interpreter of the published OPENAI_AUDITLOG table, apart from the mapping and the engine: it reads the table's own cells
//! (`tests/reference/google-openai_auditlog.csv`) and says what one record must become on every path the table names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use serde_json::{Value, json};

/// A line of a reference table: the cells in the file's order.
pub type Cells = Vec<String>;

/// The lines of `tests/reference/<name>` below its header.
pub fn reference(name: &str) -> Vec<Cells> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name);
    let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    reader.records().map(|line| line.expect("a reference table is sound CSV").iter().map(str::to_owned).collect()).collect()
}

/// Every OpenAI sample record as `(file#position, record)`: single events, list pages, and the events of the collector's time line.
pub fn samples() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/openai");
    let mut found = Vec::new();
    for file in ["by-type-session", "by-type-api-key", "edge-cases", "public-spec-examples", "collector-timeline"] {
        let text = std::fs::read_to_string(folder.join(file).with_extension("ndjson")).expect("a sample file is readable");
        for (line, record) in text.lines().filter(|line| !line.is_empty()).enumerate() {
            let mut record: Value = serde_json::from_str(record).expect("a sample line is JSON");
            if file == "collector-timeline" {
                record = record["event"].take();
            }
            found.push((format!("{file}.ndjson#{}", line + 1), record));
        }
    }
    for page in ["page-1", "page-2"] {
        let text = std::fs::read_to_string(folder.join("pages").join(page).with_extension("json")).expect("a page is readable");
        let mut page_body: Value = serde_json::from_str(&text).expect("a page is JSON");
        let Value::Array(records) = page_body["data"].take() else { panic!("{page} holds no data") };
        found.extend(records.into_iter().enumerate().map(|(at, record)| (format!("pages/{page}.json#{}", at + 1), record)));
    }
    found
}

/// What the published table makes of `record`: a value by path, or `null` for a path that must stay empty. Paths are the table's own.
pub fn expected(record: &Value) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    for row in reference("google-openai_auditlog.csv") {
        let (source, target, logic) = (&row[0], &row[1], &row[2]);
        if target == "(unmapped)" {
            continue;
        }
        let targets = paths(target);
        if source == "(derived)" {
            fields.insert(target.clone(), json!(event_type(record)));
            continue;
        }
        if source == "(constant)" {
            let constant = logic.strip_prefix("both ").expect("the table says `both` and the constant");
            fields.extend(targets.into_iter().map(|path| (path, json!(constant))));
            continue;
        }
        let sources = paths(source);
        for (at, path) in targets.into_iter().enumerate() {
            let text = text(record, &sources[at.min(sources.len() - 1)]);
            fields.insert(path.clone(), text.and_then(|text| convert(&path, logic, &text)).unwrap_or(Value::Null));
        }
    }
    // The table does not read API keys at all; that their owner stands in the principal is udmill's own, in both profiles.
    if text(record, "actor.type").as_deref() == Some("api_key") {
        let owner = text(record, "actor.api_key.user.id").or_else(|| text(record, "actor.api_key.service_account.id"));
        let owner = owner.map(|owner| json!(userid(&owner)));
        let mail = text(record, "actor.api_key.user.email").map(|mail| json!(mail));
        for (path, value) in [("principal.user.userid", owner), ("principal.user.email_addresses", mail)] {
            fields
                .entry(path.to_owned())
                .and_modify(|field| *field = if field.is_null() { value.unwrap_or_default() } else { field.take() });
        }
    }
    fields
}

/// The differences between what `event` holds and what [`expected`] wants, one sentence each.
pub fn compare(event: &Value, expected: &BTreeMap<String, Value>) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, wanted) in expected {
        let found = self::found(event, path);
        let same = match (path.as_str(), wanted, found) {
            (_, Value::Null, None) => true,
            (_, Value::Null, Some(_)) => false,
            // Nobody states what parsing gives; of a script's agent it may give nothing. The text itself must always be there.
            ("network.http.parsed_user_agent", Value::String(agent), parsed) => {
                let is_said =
                    parsed.map_or(!agent.starts_with("Mozilla/"), |parsed| parsed.as_object().is_some_and(|parsed| !parsed.is_empty()));
                is_said && self::found(event, "network.http.user_agent") == Some(wanted)
            }
            (_, _, None) => false,
            (_, Value::Number(wanted), Some(found)) => {
                found.as_f64().map(|found| found as f32) == wanted.as_f64().map(|wanted| wanted as f32)
            }
            (path, Value::String(wanted), Some(found)) if path.ends_with(".ip") => {
                found.as_str().and_then(address) == address(wanted) && found.as_str().is_some()
            }
            (_, wanted, Some(found)) => wanted == found,
        };
        if !same {
            differences.push(format!("{path}: expected {wanted}, found {}", found.unwrap_or(&Value::Null)));
        }
    }
    differences
}

/// The documented event type. Three published rules ask for a file or a second machine, which no row of the table fills.
pub fn event_type(record: &Value) -> &'static str {
    if text(record, "actor.session.ip_address").is_some_and(|ip| address(&ip).is_some()) {
        "STATUS_UPDATE"
    } else if text(record, "actor.session.user.id").or_else(|| text(record, "actor.session.user.email")).is_some() {
        "USER_UNCATEGORIZED"
    } else {
        "GENERIC_EVENT"
    }
}

/// A present scalar as text: `""`, `"null"` and `"-"` are absent, as are null, lists and objects.
pub fn text(record: &Value, path: &str) -> Option<String> {
    let mut at = record;
    for member in path.split('.') {
        at = at.get(member)?;
    }
    scalar(at)
}

/// A scalar as text, when it is one and is present.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if matches!(text.as_str(), "" | "null" | "-" | "<null>") => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The address a text names; an IPv4 address inside an IPv6 one is the IPv4 address.
pub fn address(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>().map(|ip| ip.to_canonical()).or_else(|_| text.parse()).ok()
}

/// The userid rule: what stands behind the first hyphen, or the whole id.
pub fn userid(id: &str) -> &str {
    id.split_once('-').map_or(id, |(_, rest)| rest)
}

/// `a.b / c` is `a.b` and `a.c`; `;` and `,` stand between whole paths; `additional.fields[x]` is the member `x` of `additional`.
pub fn paths(cell: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for path in cell.split([';', ',']) {
        for (at, part) in path.split(" / ").map(str::trim).enumerate() {
            let prefix = found.last().filter(|_| at > 0).and_then(|last| last.rsplit_once('.')).map(|(prefix, _)| format!("{prefix}."));
            // The second of two whole paths repeats its prefix; a sibling's name alone does not.
            let prefix = prefix.filter(|_| !part.contains('.')).unwrap_or_default();
            found.push(format!("{prefix}{part}").replace(".fields[", "["));
        }
    }
    found
}

/// Applies the words of the table's logic cell.
fn convert(path: &str, logic: &str, text: &str) -> Option<Value> {
    match logic.split([' ', ';']).next() {
        Some("UNIX") => jiff::Timestamp::from_second(text.parse().ok()?).ok().map(|time| json!(time.to_string())),
        Some("grok") => Some(json!(userid(text))),
        Some("to") => text.parse::<f32>().ok().filter(|number| number.is_finite()).map(|number| json!(number)),
        Some("converted" | "copy" | "label" | "labels") if path.ends_with(".ip") => address(text).map(|_| json!(text)),
        Some("converted" | "copy" | "label" | "labels") => Some(json!(text)),
        _ => panic!("the interpreter has no word for `{logic}`"),
    }
}

/// What stands at a snake_case path of a camelCase event: the first element of a list; `x[key]` is a label or a member of a struct.
pub fn found<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = event;
    for step in path.split('.') {
        let (name, key) =
            step.strip_suffix(']').and_then(|step| step.split_once('[')).map_or((step, None), |(name, key)| (name, Some(key)));
        at = at.get(camel(name))?;
        at = match (at, key) {
            (Value::Object(_), Some(key)) => at.get(key)?,
            (Value::Array(labels), Some(key)) => labels.iter().find(|label| label["key"] == key)?.get("value")?,
            (Value::Array(elements), None) => elements.first()?,
            _ => at,
        };
    }
    Some(at)
}

/// `region_code` as `regionCode`.
pub fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |done, word| done + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn the_table_reads_as_it_is_meant() {
    let record = json!({
        "type": "login.succeeded", "effective_at": 1_722_461_446,
        "actor": {"session": {"user": {"id": "user-a-b", "email": "a@example.com"}, "ip_address": "::ffff:203.0.113.9", "ja4": "x",
            "ip_address_details": {"country": "NL", "city": "Amsterdam", "region": "North Holland", "latitude": "0.0", "asn": "-"}}},
    });
    let wanted = expected(&record);
    for (path, value) in [
        ("metadata.event_timestamp", json!("2024-07-31T21:30:46Z")),
        ("metadata.event_type", json!("STATUS_UPDATE")),
        ("metadata.product_name", json!("OPENAI_AUDITLOG")),
        ("principal.asset.ip", json!("::ffff:203.0.113.9")),
        ("principal.user.userid", json!("a-b")),
        ("principal.location.country_or_region", json!("NL")),
        ("principal.location.state", json!("North Holland")),
        ("principal.location.region_latitude", json!(0.0)),
        ("principal.location.region_longitude", Value::Null),
        ("security_result.detection_fields[ja4]", json!("x")),
        ("security_result.summary", json!("login.succeeded")),
        ("additional[asn]", Value::Null),
    ] {
        assert_eq!(wanted.get(path), Some(&value), "path: {path}");
    }
    assert_eq!(wanted.len(), 19, "the table names 19 paths: {:?}", wanted.keys().collect::<Vec<_>>());
}

#[test]
fn a_difference_is_seen() {
    let record = json!({"type": "t", "effective_at": 0, "actor": {"session": {"ip_address": "203.0.113.9", "user": {"id": "user-1"}}}});
    let mut event = json!({
        "metadata": {"eventTimestamp": "1970-01-01T00:00:00Z", "eventType": "STATUS_UPDATE", "vendorName": "OPENAI_AUDITLOG",
            "productName": "OPENAI_AUDITLOG"},
        "principal": {"ip": ["203.0.113.9"], "asset": {"ip": ["203.0.113.9"]}, "user": {"userid": "1"}},
        "securityResult": [{"summary": "t"}],
    });
    assert_eq!(compare(&event, &expected(&record)), Vec::<String>::new());
    event["principal"]["location"] = json!({"city": "Berlin"});
    event["principal"]["user"]["userid"] = json!("user-1");
    assert_eq!(
        compare(&event, &expected(&record)),
        ["principal.location.city: expected null, found \"Berlin\"", "principal.user.userid: expected \"1\", found \"user-1\""]
    );
}
