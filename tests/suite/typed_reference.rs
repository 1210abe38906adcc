//! An interpreter of the typed OpenAI table, apart from the mapping and the engine: it reads the assignments of
//! `tests/reference/openai-typed-mapping.csv` and says what a record's target, result and event type must be.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::documented_reference::{Cells, camel, event_type as documented_type, reference, scalar, text, userid};

/// Labels a record may give one list, and bytes of one value: beyond these the engine cuts, and this judge looks away.
const LABELS: usize = 64;
const LABEL_BYTES: usize = 1024;

/// Every value by path, in the order of the source; a path the table names but the record does not fill has none.
pub type Expected = BTreeMap<String, Vec<String>>;

/// The lines of the typed table by event type; the last, `*`, speaks for every type that is not listed.
pub fn table() -> BTreeMap<String, Cells> {
    reference("openai-typed-mapping.csv").into_iter().map(|row| (row[0].clone(), row)).collect()
}

/// What the typed table's line makes of `record` below `target`, `about` and `security_result`.
pub fn expected(row: &Cells, record: &Value) -> Expected {
    let mut fields = Expected::new();
    let payload = payload(record);
    for assignment in row[2].split(';').map(str::trim) {
        let constant = assignment.split_once('=').filter(|(path, _)| !path.contains('<'));
        if let Some((path, tuple)) = constant.filter(|(path, _)| path.ends_with("resource_ancestors[]")) {
            let (kind, id) = tuple.trim_matches(['(', ')']).split_once(',').expect("an ancestor is a pair");
            if let Some(id) = scalar(at(payload, id)) {
                let kind_path = if kind.starts_with("P.") { "resource_subtype" } else { "resource_type" };
                let kind = if kind.starts_with("P.") { scalar(at(payload, kind)) } else { Some(kind.to_owned()) };
                fields.entry(format!("{path}.{kind_path}")).or_default().extend(kind);
                fields.entry(format!("{path}.product_object_id")).or_default().push(id);
            }
        } else if let Some((path, value)) = constant {
            let value = match value.strip_prefix("prefix of P.id") {
                Some(_) => scalar(at(payload, "P.id")).and_then(|id| id.split_once(['-', '_']).map(|(kind, _)| kind.to_owned())),
                // The zero word of an enum says nothing and is not written.
                None => Some(value.to_owned()).filter(|value| !value.ends_with("UNSPECIFIED")),
            };
            fields.entry(path.to_owned()).or_default().extend(value);
        } else {
            let (path, source) = assignment.split_once("<-").expect("an assignment has `=` or `<-`");
            assign(&mut fields, path, source, payload, record);
        }
    }
    result(&mut fields, &row[3], payload);
    fields
}

/// `path<-source`: the words a source may use are those of the table.
fn assign(fields: &mut Expected, path: &str, source: &str, payload: &Value, record: &Value) {
    let group = at(payload, "P.principal_type").as_str() == Some("group");
    let mut put = |path: &str, values: Vec<String>| fields.entry(path.to_owned()).or_default().extend(values);
    if let Some(part) = source.strip_prefix("each leaf of ") {
        for (key, value) in leaves(at(payload, part)) {
            put(&path.replace("<key>", &key), vec![value]);
        }
    } else if let Some(lists) = source.strip_prefix("each ") {
        let list = lists.split(" | ").map(|list| elements(at(payload, list))).find(|list| !list.is_empty());
        put(path, list.unwrap_or_default().into_iter().filter_map(scalar).collect());
    } else if source.ends_with("[1..]") {
        for element in elements(at(payload, source.trim_end_matches("[1..]"))).into_iter().skip(1) {
            put(&format!("{path}.product_object_id"), scalar(&element["id"]).into_iter().collect());
            put(&format!("{path}.name"), scalar(&element["name"]).into_iter().collect());
        }
    } else if source == "P.*" {
        let (list, keys) = path.trim_end_matches(']').split_once('[').expect("`P.*` goes to named labels");
        for key in keys.split(',') {
            put(&format!("{list}[{key}]"), scalar(&payload[key]).into_iter().collect());
        }
    } else {
        let value = match source {
            "actor user id" => text(record, "actor.session.user.id").or_else(|| text(record, "actor.api_key.user.id")),
            "actor user email" => text(record, "actor.session.user.email").or_else(|| text(record, "actor.api_key.user.email")),
            "role part of P.id" => role(payload),
            "sha256(P.certificate)" => scalar(at(payload, "P.certificate")).map(|_| "sha256".to_owned()),
            "P.principal_id when principal_type is not group" => scalar(at(payload, "P.principal_id")).filter(|_| !group),
            "P.principal_id when group" => scalar(at(payload, "P.principal_id")).filter(|_| group),
            _ => source.trim_end_matches(" when P.id is a string").split(" | ").find_map(|source| scalar(at(payload, source))),
        };
        let value = value.map(|value| if path.ends_with(".userid") { userid(&value).to_owned() } else { value });
        put(path, value.into_iter().collect());
    }
}

/// Action, severity, category and the two texts of a failure.
fn result(fields: &mut Expected, cell: &str, payload: &Value) {
    for part in cell.split("; ") {
        let (name, values) = if let Some((name, source)) = part.split_once("<-") {
            (name, scalar(at(payload, source)).into_iter().collect())
        } else {
            let (name, value) = part.split_once('=').expect("a result is `name=word`");
            let (word, condition) = value.split_once(' ').unwrap_or((value, ""));
            let raised = condition.trim_matches(['(', ')']).split_once(" if ").filter(|(_, when)| raises(when, payload));
            let word = raised.map_or(word, |(word, _)| word);
            (name, if word.starts_with("UNKNOWN_") { Vec::new() } else { vec![word.to_owned()] })
        };
        fields.insert(format!("security_result.{name}"), values);
    }
}

/// The conditions under which the table raises a severity, in its own words.
fn raises(condition: &str, payload: &Value) -> bool {
    let role_is = |role: &str| ["P.data.role", "P.changes_requested.role"].iter().any(|path| at(payload, path).as_str() == Some(role));
    match condition {
        "a scope is write/admin/all" => elements(at(payload, "P.data.scopes"))
            .into_iter()
            .filter_map(scalar)
            .any(|scope| scope.rsplit(['.', ':', '_']).next().is_some_and(|last| matches!(last, "write" | "admin" | "all"))),
        "role=owner" => role_is("owner"),
        "an entry is 0.0.0.0, 0.0.0.0/0 or ::/0" => {
            elements(at(payload, "P.allowed_ips")).iter().any(|entry| matches!(entry.as_str(), Some("0.0.0.0" | "0.0.0.0/0" | "::/0")))
        }
        "api_call_logging changes" => scalar(at(payload, "P.changes_requested.api_call_logging")).is_some(),
        "permissions_added not empty" => !elements(at(payload, "P.changes_requested.permissions_added")).is_empty(),
        "the role part has owner or admin" => role(payload).is_some_and(|role| role.contains("owner") || role.contains("admin")),
        // The event does not hold the old value (see rows.csv).
        "raised" => false,
        _ => panic!("the interpreter has no word for `{condition}`"),
    }
}

/// The event type: the table's wish where the event has what its kind needs, else the step down that the ladder states.
pub fn event_type(row: &Cells, record: &Value, fields: &Expected) -> String {
    let has = |prefix: &str| fields.iter().any(|(path, values)| path.starts_with(prefix) && !values.is_empty());
    let machine = documented_type(record) == "STATUS_UPDATE";
    let key = if text(record, "actor.type").as_deref() == Some("api_key") { "actor.api_key" } else { "actor.none" };
    let user = ["user.id", "user.email", "service_account.id"]
        .iter()
        .any(|path| text(record, &format!("{key}.{path}")).is_some() || text(record, &format!("actor.session.{path}")).is_some());
    let geo = ["city", "region", "country", "latitude", "longitude"];
    let place = geo.iter().any(|member| text(record, &format!("actor.session.ip_address_details.{member}")).is_some());
    let principal = machine || user || place || text(record, "actor.api_key.id").is_some();
    let account = has("target.user.userid") || has("target.user.email_addresses");
    let documented = documented_type(record).to_owned();

    let wish = match row[1].as_str() {
        "USER_CHANGE_PERMISSIONS" if has("target.group") => "USER_RESOURCE_UPDATE_PERMISSIONS",
        wish => wish,
    };
    let on_resource = |wish: &str, machine_type: &str| match (user, machine) {
        _ if !has("target.resource.") => documented.clone(),
        (true, _) => wish.to_owned(),
        (false, true) => machine_type.to_owned(),
        (false, false) => documented.clone(),
    };
    let verb = |user_type: &str| {
        if machine {
            wish.to_owned()
        } else if user {
            user_type.to_owned()
        } else {
            documented.clone()
        }
    };
    let taken = |holds: bool| if holds { wish.to_owned() } else { documented.clone() };
    match wish {
        "USER_LOGIN" | "USER_LOGOUT" => taken(machine && account),
        "USER_CREATION" | "USER_DELETION" => taken((machine || user) && account),
        "USER_CHANGE_PERMISSIONS" => taken(principal && account),
        "GROUP_CREATION" | "GROUP_MODIFICATION" | "GROUP_DELETION" => taken(principal && has("target.group.")),
        "SETTING_CREATION" => verb("USER_RESOURCE_CREATION"),
        "SETTING_MODIFICATION" => verb("USER_RESOURCE_UPDATE_CONTENT"),
        "SETTING_DELETION" => verb("USER_RESOURCE_DELETION"),
        "SETTING_UNCATEGORIZED" => taken(machine),
        "USER_RESOURCE_CREATION" => on_resource(wish, "RESOURCE_CREATION"),
        "USER_RESOURCE_ACCESS" => on_resource(wish, "RESOURCE_READ"),
        "USER_RESOURCE_UPDATE_CONTENT" => on_resource(wish, "RESOURCE_WRITTEN"),
        "USER_RESOURCE_UPDATE_PERMISSIONS" => on_resource(wish, "RESOURCE_PERMISSIONS_CHANGE"),
        "USER_RESOURCE_DELETION" => on_resource(wish, "RESOURCE_DELETION"),
        "(documented rule)" => documented,
        _ => panic!("the interpreter has no ladder for `{wish}`"),
    }
}

/// The differences between what `event` holds and what [`expected`] wants, one sentence each.
pub fn compare(event: &Value, expected: &Expected) -> Vec<String> {
    let labels = expected.keys().filter(|path| path.contains(".labels[")).map(|path| expected[path].len()).sum::<usize>();
    let mut differences = Vec::new();
    for (path, wanted) in expected {
        let found = texts(event, path);
        let cut = path.contains(".labels[") && (labels > LABELS || wanted.iter().any(|value| value.len() > LABEL_BYTES));
        let same = match path.as_str() {
            _ if cut => true,
            path if path.ends_with("[certificate_sha256]") => {
                found.len() == wanted.len()
                    && found.iter().all(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
            }
            // The project of the event and other holders stand in the same list.
            path if path.contains("resource_ancestors") => wanted.iter().all(|value| found.contains(value)),
            _ => found == *wanted,
        };
        if !same {
            differences.push(format!("{path}: expected {wanted:?}, found {found:?}"));
        }
    }
    differences
}

/// Every text at a snake_case path of a camelCase event, through every list; `labels[key]` gives the values of one key.
fn texts(event: &Value, path: &str) -> Vec<String> {
    let mut at = vec![event];
    // A label's key may hold dots, so the path is cut before its bracket.
    let (path, key) =
        path.strip_suffix(']').and_then(|path| path.split_once("labels[")).map_or((path, None), |(path, key)| (path, Some(key)));
    let steps = path.split('.').filter(|step| !step.is_empty()).chain(key.map(|_| "labels"));
    for step in steps {
        let next = at.iter().filter_map(|value| value.get(camel(step.trim_end_matches("[]"))));
        at = next.flat_map(|value| value.as_array().map_or_else(|| vec![value], |list| list.iter().collect())).collect();
    }
    match key {
        Some(key) => at.iter().filter(|label| label["key"] == key).filter_map(|label| label["value"].as_str().map(str::to_owned)).collect(),
        None => at.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
    }
}

/// The payload: the member named by the type, also with underscores, nested, or `details`.
fn payload(record: &Value) -> &Value {
    let kind = record["type"].as_str().unwrap_or_default();
    let nested = kind.split('.').try_fold(record, |at, member| at.get(member));
    let found = record.get(kind).or_else(|| record.get(kind.replace('.', "_"))).or(nested).or_else(|| record.get("details"));
    found.unwrap_or(&Value::Null)
}

/// `P.a.b` and `P.list[0].a` of a payload; `null` when there is none.
fn at<'a>(payload: &'a Value, path: &str) -> &'a Value {
    path.trim().trim_start_matches("P.").split('.').fold(payload, |at, member| match member.strip_suffix("[0]") {
        Some(member) => &at[member][0],
        None => &at[member],
    })
}

fn elements(list: &Value) -> Vec<&Value> {
    list.as_array().map_or_else(Vec::new, |list| list.iter().collect())
}

/// Every present scalar below `value` with its dotted path; an element goes by its place, from 0.
fn leaves(value: &Value) -> Vec<(String, String)> {
    fn walk(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| walk(member, &below(name), found)),
            Value::Array(elements) => {
                elements.iter().enumerate().for_each(|(place, element)| walk(element, &below(&place.to_string()), found))
            }
            leaf => found.extend(scalar(leaf).map(|text| (path.to_owned(), text))),
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// `role_assignment_<role>__<kind of scope>__<id of scope>_<principal>`
fn role(payload: &Value) -> Option<String> {
    let (role, _) = payload["id"].as_str()?.strip_prefix("role_assignment_")?.split_once("__")?;
    Some(role.to_owned())
}

#[test]
fn every_sample_has_an_expectation() {
    let table = table();
    assert_eq!(table.len(), 146, "145 types and `*`");
    let mut types = BTreeSet::new();
    for (name, record) in crate::documented_reference::samples() {
        let kind = record["type"].as_str().unwrap_or_else(|| panic!("{name} has no type"));
        let row = table.get(kind).unwrap_or(&table["*"]);
        let fields = expected(row, &record);
        assert_eq!(fields["target.application"], ["OpenAI API Platform"], "{name}");
        types.insert((kind.to_owned(), event_type(row, &record, &fields)));
    }
    assert!(table.keys().filter(|kind| *kind != "*").all(|kind| types.iter().any(|(seen, _)| seen == kind)), "a type has no sample");
}

#[test]
fn the_ladder_steps_down_as_stated() {
    let samples = crate::documented_reference::samples();
    let table = table();
    for (sample, wanted) in [
        ("audit_log-edge-login-failed-unknown-user", "STATUS_UPDATE"),
        ("audit_log-edge-optional-empty-string", "USER_UNCATEGORIZED"),
        ("audit_log-edge-email-only", "USER_LOGIN"),
        ("audit_log-edge-actor-missing", "GENERIC_EVENT"),
        ("audit_log-edge-service-account-without-key-id", "USER_RESOURCE_DELETION"),
        ("audit_log-edge-user-key-without-user", "GENERIC_EVENT"),
        ("audit_log-edge-api-key-null", "GENERIC_EVENT"),
        ("audit_log-edge-future-event-type", "STATUS_UPDATE"),
        ("audit_log-edge-empty-list-payload", "USER_RESOURCE_UPDATE_CONTENT"),
    ] {
        let (_, record) = samples.iter().find(|(_, record)| record["id"] == sample).unwrap_or_else(|| panic!("no sample {sample}"));
        let row = table.get(record["type"].as_str().unwrap_or_default()).unwrap_or(&table["*"]);
        assert_eq!(event_type(row, record, &expected(row, record)), wanted, "sample: {sample}");
    }
}

#[test]
fn a_difference_is_seen() {
    let record = serde_json::json!({
        "type": "role.updated",
        "role.updated": {"id": "role-1", "changes_requested": {"role_name": "Keys", "permissions_added": ["a.read", "b.write"]}},
    });
    let mut event = serde_json::json!({
        "target": {"application": "OpenAI API Platform", "resource": {"resourceType": "ACCESS_POLICY", "resourceSubtype": "role",
            "productObjectId": "role-1", "name": "Keys",
            "attribute": {"labels": [{"key": "permission_added", "value": "a.read"}, {"key": "permission_added", "value": "b.write"}]}}},
        "securityResult": [{"action": ["ALLOW"], "severity": "HIGH"}],
    });
    let wanted = expected(&table()["role.updated"], &record);
    assert_eq!(compare(&event, &wanted), Vec::<String>::new());
    event["target"]["resource"]["attribute"]["labels"][1]["value"] = Value::from("c");
    event["securityResult"][0]["severity"] = Value::from("LOW");
    assert_eq!(
        compare(&event, &wanted),
        [
            r#"security_result.severity: expected ["HIGH"], found ["LOW"]"#,
            r#"target.resource.attribute.labels[permission_added]: expected ["a.read", "b.write"], found ["a.read", "c"]"#,
        ]
    );
}

/// The mapping's look-up and the reference table name the same words for each of the 145 types.
#[test]
fn the_mapping_lists_every_type_as_the_reference_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/mappings/openai/audit.types.csv");
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).expect("the look-up is readable");
    let listed: BTreeMap<String, Vec<String>> = reader
        .records()
        .map(|line| line.expect("the look-up is sound CSV").iter().map(str::to_owned).collect::<Vec<_>>())
        .map(|row| (row[0].clone(), row))
        .collect();
    let table = table();
    let nothing = serde_json::json!({});
    assert_eq!(listed.keys().filter(|kind| !kind.is_empty()).count(), 145);
    for (kind, row) in table.iter().filter(|(kind, _)| *kind != "*") {
        let line = listed.get(kind).unwrap_or_else(|| panic!("{kind} is not in the look-up"));
        let fields = expected(row, &nothing);
        let word = |path: &str| fields.get(path).and_then(|values| values.first()).cloned().unwrap_or_default();
        let wanted = [
            row[1].clone(),
            word("target.resource.resource_type"),
            word("target.resource.resource_subtype"),
            line[4].clone(),
            word("target.resource.attribute.labels[state]"),
            word("security_result.action"),
            word("security_result.severity"),
        ];
        assert_eq!(line[1..], wanted, "type: {kind}");
    }
}
