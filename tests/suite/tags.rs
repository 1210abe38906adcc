//! Security tags: every line of every list is met, triples are tagged once, a site's changes hold, and the profile that must stay as published has none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use udmill::engine::{Engine, Outcome, Outcomes, Settings, View};
use udmill::mapping::compile::Options;
use udmill::mapping::{self, File, Files};
use udmill::plan::TagLine;

use crate::mills;

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const VAULT_ADMINISTRATOR: &str = "00482a5a-887f-4fb3-b363-3b7fe8e74483";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The shipped mappings with a site's file of tags.
fn with_site(text: &str) -> Engine {
    let mut files = mapping::built_in();
    files.add(File { name: mapping::tags::SITE_FILE.to_owned(), shown: "site.csv".to_owned(), text: text.to_owned(), site: true });
    mills::engine(&files, Settings::default())
}

/// Names of the tags of every part, by part, with the severity that its event has.
fn tags(engine: &Engine, record: &Value) -> Vec<Vec<(String, String)>> {
    let outcomes = run(engine, record);
    let tags_of = |part| {
        let event = mills::event(&outcomes, part).unwrap_or_else(|| panic!("{record}: {:?}", part.outcome));
        results(&event)
            .into_iter()
            .map(|result| (tag(result).to_owned(), result["severity"].as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    outcomes.parts.iter().map(tags_of).collect()
}

fn run(engine: &Engine, record: &Value) -> Outcomes {
    mills::run(engine, &mut mills::worker(engine.limits()), record.to_string().as_bytes(), Some(1_767_225_600_000))
}

/// The results of an event that tags added.
fn results(event: &Value) -> Vec<&Value> {
    let results = event["securityResult"].as_array().into_iter().flatten();
    results.filter(|result| !tag(result).is_empty()).collect()
}

fn tag(result: &Value) -> &str {
    let labels = result["detectionFields"].as_array().into_iter().flatten();
    labels.filter(|label| label["key"] == "tag").find_map(|label| label["value"].as_str()).unwrap_or_default()
}

/// One record of the Activity Log.
fn activity(operation: &str, result: &str, signature: &str) -> Value {
    json!({
        "time": "2026-03-04T09:15:27Z", "category": "Administrative", "operationName": operation, "resultType": result, "resultSignature": signature,
        "resourceId": "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/rg/providers/Microsoft.Web/sites/s1",
        "callerIpAddress": "203.0.113.7", "correlationId": "0f4d5c6b-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
        "identity": {"claims": {"appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}},
    })
}

fn with_body(mut record: Value, properties: Value) -> Value {
    record["properties"] = json!({"responseBody": json!({"properties": properties}).to_string()});
    record
}

/// One change in the directory that has what the detail of a line asks for.
fn entra_audit(operation: &str, detail: &str) -> Value {
    let property = |name: &str, old: &str, new: &str| json!([{"displayName": name, "oldValue": old, "newValue": new}]);
    let (reason, changed) = match detail {
        "" => ("", json!([])),
        "global_administrator" => ("", property("Role.TemplateId", "", "\"62e90394-69f5-4237-9190-012177145e10\"")),
        "all_users" => ("", property("ConsentContext.OnBehalfOfAll", "", "\"True\"")),
        "access_pass" => ("Admin registered temporary access pass method for user", json!([])),
        "guest_to_member" => ("", property("UserType", "[\"Guest\"]", "[\"Member\"]")),
        other => panic!("say here what a record with the detail `{other}` looks like"),
    };
    json!({
        "time": "2026-03-04T09:15:27Z", "category": "AuditLogs", "operationName": operation, "resultSignature": "None",
        "properties": {
            "activityDisplayName": operation, "result": "success", "resultReason": reason,
            "initiatedBy": {"user": {"userPrincipalName": "mallory@example.com", "ipAddress": "203.0.113.7"}},
            "targetResources": [{"id": "8d0c2c1e-6f1b-4f0c-9a53-1f2e3d4c5b6a", "type": "User", "userPrincipalName": "trudy@example.com", "modifiedProperties": changed}],
        },
    })
}

/// A record that should get this line and no other of its operation.
fn record_for(mapping: &str, line: &TagLine) -> Option<Value> {
    let operation = if line.operation == "*" { "made.up/things/change/action".to_owned() } else { line.operation.replace('*', "made/up") };
    let failed = matches!(line.status.as_str(), "failure" | "denied");
    match mapping {
        "azure/activity" => {
            let record =
                activity(&operation, if failed { "Failure" } else { "Success" }, if failed { "Forbidden" } else { "Succeeded.OK" });
            Some(match line.detail.as_str() {
                "" => record,
                "privileged" => with_body(record, json!({"roleDefinitionId": format!("/providers/x/roleDefinitions/{OWNER}")})),
                "elevated" => with_body(record, json!({"roleDefinitionId": format!("/providers/x/roleDefinitions/{VAULT_ADMINISTRATOR}")})),
                "public_blobs" => with_body(record, json!({"allowBlobPublicAccess": true})),
                "weak_access" => with_body(record, json!({"supportsHttpsTrafficOnly": false})),
                "recovery_off" => with_body(record, json!({"deleteRetentionPolicy": {"enabled": false}})),
                other => panic!("say here what a record with the detail `{other}` looks like"),
            })
        }
        "azure/keyvault" => Some(json!({
            "time": "2026-03-04T09:15:27Z", "category": "AuditEvent", "operationName": operation, "resultType": "Success",
            "resourceId": "/SUBSCRIPTIONS/11111111-2222-4333-8444-555555555555/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/KV1",
            "properties": {"id": "https://kv1.example.com/secrets/s1", "httpStatusCode": if failed { 403 } else { 200 }},
            "identity": {"claim": {"oid": "8d0c2c1e-6f1b-4f0c-9a53-1f2e3d4c5b6a"}}, "callerIpAddress": "203.0.113.7",
        })),
        "azure/cognitive_services" => Some(json!({
            "time": "2026-03-04T09:15:27Z", "category": "RequestResponse", "operationName": operation,
            "resourceId": "/SUBSCRIPTIONS/11111111-2222-4333-8444-555555555555/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AI1",
            "resultSignature": if failed { "403" } else { "200" },
            "properties": if line.detail == "filtered" { json!({"error": {"code": "content_filter"}}) } else { json!({}) },
        })),
        "azure/storage" => Some(json!({
            "time": "2026-03-04T09:15:27Z", "category": "StorageRead", "operationName": operation,
            "resourceId": "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acct1/blobServices/default",
            "statusCode": if failed { 409 } else { 200 },
            "statusText": if line.detail == "foreign_key" { "BlobUsesCustomerSpecifiedEncryption" } else { "Success" },
            "identity": {"type": if line.detail == "azcopy_sas" { "SAS" } else { "Anonymous" }},
            "properties": {"userAgentHeader": "AzCopy/10.20.1 Azure-Storage/0.15"},
        })),
        "azure/entra_audit" => Some(entra_audit(&operation, &line.detail)),
        "azure/entra_signin" => {
            let has_risk = line.operation != "*";
            Some(json!({
                "time": "2026-03-04T09:15:27Z", "category": "SignInLogs", "operationName": "Sign-in activity", "resultType": if has_risk { "50126" } else { "0" },
                "properties": {
                    "userPrincipalName": "mallory@example.com", "ipAddress": "203.0.113.7", "createdDateTime": "2026-03-04T09:14:00Z", "riskState": "atRisk",
                    "riskEventTypes_v2": if has_risk { json!(["generic", operation]) } else { json!([]) },
                    "authenticationProtocol": match line.detail.as_str() { "device_code" => "deviceCode", "ropc" => "ropc", _ => "none" },
                    "clientAppUsed": if line.detail == "legacy_client" { "IMAP4" } else { "Browser" },
                },
            }))
        }
        "openai/audit" => {
            Some(json!({"object": "organization.audit_log", "id": "audit_log-1", "type": operation, "effective_at": 1_767_225_600}))
        }
        _ => None,
    }
}

#[test]
fn every_line_of_every_list_is_met() {
    let engine = mills::shipped();
    let (mut met, mut inherited, mut faults) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for plan in engine.plans(1) {
        for line in plan.tag_lines() {
            let place = (line.file.clone(), line.line);
            let Some(record) = record_for(&plan.name, line) else {
                inherited.insert((plan.name.clone(), place));
                continue;
            };
            let outcomes = run(engine, &record);
            let part = outcomes.parts.iter().find(|part| part.view == 1).expect("a part of the typed view");
            let Outcome::Emit { tags, .. } = part.outcome else { panic!("{record}: {:?}", part.outcome) };
            let own = engine.plan(part).expect("the part was mapped");
            assert_eq!(own.name, plan.name, "{record}");
            let found: Vec<String> = own.tags(tags).map(|line| format!("{}:{} {}", line.file, line.line, line.name)).collect();
            if !found.contains(&format!("{}:{} {}", line.file, line.line, line.name)) {
                faults.push(format!("{}:{}: `{}` gets {found:?}", line.file, line.line, line.operation));
            }
            let event = mills::event(&outcomes, part).expect("it was emitted");
            let names: BTreeSet<&str> = results(&event).into_iter().map(tag).collect();
            assert_eq!(names, own.tags(tags).map(|line| line.name.as_str()).collect(), "the outcome carries what the event says");
            met.insert(place);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // A mapping that includes another has its lists.
    let unmet: Vec<_> = inherited.iter().filter(|(_, place)| !met.contains(place)).collect();
    assert!(unmet.is_empty(), "say above what a record of these looks like: {unmet:?}");
    assert!(met.len() > 200, "only {} lines", met.len());
}

#[test]
fn one_operation_of_three_records_is_tagged_once() {
    for (operation, expected) in [
        ("Microsoft.Authorization/roleAssignments/write", "role_assignment_write"),
        ("Microsoft.Authorization/policyAssignments/write", "policy_assignment_write"),
        ("Microsoft.KeyVault/vaults/secrets/delete", "secret_delete"),
        ("Microsoft.Network/networkSecurityGroups/securityRules/write", "nsg_rule_write"),
        ("Microsoft.Insights/diagnosticSettings/delete", "diagnostic_setting_delete"),
        ("Microsoft.Authorization/roleAssignments/delete", "role_assignment_delete"),
        ("Microsoft.Web/sites/delete", "deletion"),
    ] {
        let triple = [("Start", "Started."), ("Accept", "Accepted.Accepted"), ("Success", "Succeeded.OK")];
        let body = json!({"records": triple.map(|(result, signature)| activity(operation, result, signature))});
        let found: Vec<Vec<String>> =
            tags(mills::shipped(), &body).into_iter().map(|tags| tags.into_iter().map(|(tag, _)| tag).collect()).collect();
        // Both views of each record, one after the other.
        assert_eq!(found, [vec![], vec![], vec![], vec![], vec![expected.to_owned()], vec![expected.to_owned()]], "{operation}");
    }
}

#[test]
fn what_decides_among_the_lines_of_an_operation() {
    let write = "Microsoft.Authorization/roleAssignments/write";
    let role = |result: &str, signature: &str, role: &str| {
        with_body(activity(write, result, signature), json!({"roleDefinitionId": format!("/x/roleDefinitions/{role}")}))
    };
    let critical = |mut record: Value| {
        record["level"] = json!("Critical");
        record
    };
    for (name, record, expected) in [
        (
            "a role with little power",
            role("Success", "Succeeded.OK", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
            vec![("role_assignment_write", "MEDIUM")],
        ),
        ("a privileged role", role("Success", "Succeeded.OK", OWNER), vec![("privileged_role_assignment_write", "HIGH")]),
        ("no role known", activity(write, "Success", "Succeeded.OK"), vec![("role_assignment_write", "MEDIUM")]),
        (
            "a denied attempt",
            role("Failure", "Forbidden", OWNER),
            vec![("privileged_role_assignment_write", "HIGH"), ("failed_operation", "INFORMATIONAL")],
        ),
        (
            "a failed deletion is no deletion",
            activity("x.y/z/delete", "Failed", "Failed.Conflict"),
            vec![("failed_operation", "INFORMATIONAL")],
        ),
        ("a pattern with more letters", activity("Microsoft.Network/dnszones/A/delete", "Success", ""), vec![("dns_change", "MEDIUM")]),
        ("the rows' severity is higher", critical(activity("x.y/z/delete", "Success", "")), vec![("deletion", "CRITICAL")]),
        ("nothing of note", activity("x.y/z/write", "Success", ""), vec![]),
        ("a storage account like others", activity("Microsoft.Storage/storageAccounts/write", "Success", ""), vec![]),
    ] {
        let found = tags(mills::shipped(), &record);
        let expected: Vec<(String, String)> = expected.iter().map(|(tag, severity)| ((*tag).to_owned(), (*severity).to_owned())).collect();
        assert_eq!(found[0], expected, "case: {name}");
    }
}

#[test]
fn what_decides_among_the_lines_of_the_directory() {
    let add = "Add member to role";
    let changed = |mut record: Value, pointer: &str, value: Value| {
        let member = record.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"));
        *member = value;
        record
    };
    let by_pim =
        |operation: &str| changed(entra_audit(operation, ""), "/properties/initiatedBy", json!({"app": {"displayName": "MS-PIM"}}));
    let failed = changed(entra_audit(add, ""), "/properties/result", json!("failure"));
    let named = json!([{"displayName": "Role.DisplayName", "oldValue": null, "newValue": "\"Global Administrator\""}]);
    let by_name = changed(entra_audit(add, ""), "/properties/targetResources/0/modifiedProperties", named);
    let dashed = "Update application \u{2013} Certificates and secrets management ";
    let one_user = json!([{"displayName": "DelegatedPermissionGrant.ConsentType", "oldValue": null, "newValue": "\"Principal\""}]);
    let one_user = changed(entra_audit("Add delegated permission grant", ""), "/properties/targetResources/0/modifiedProperties", one_user);
    for (name, record, expected) in [
        ("a role", entra_audit(add, ""), vec![("entra_role_member", "MEDIUM")]),
        ("the role with all power, by its id", entra_audit(add, "global_administrator"), vec![("entra_global_administrator", "HIGH")]),
        ("and by its name", by_name, vec![("entra_global_administrator", "HIGH")]),
        ("what failed changed nothing", failed, vec![]),
        ("the directory repeats what PIM has logged", by_pim(add), vec![]),
        ("asked for, not given", entra_audit("Add eligible member to role in PIM requested (timebound)", ""), vec![]),
        (
            "given for a time",
            entra_audit("Add eligible member to role in PIM completed (timebound)", ""),
            vec![("entra_role_member", "MEDIUM")],
        ),
        ("the dash as Entra writes it", entra_audit(dashed, ""), vec![("entra_app_credential", "HIGH")]),
        (
            "the dash as its list of activities writes it",
            entra_audit(&dashed.replace('\u{2013}', "-"), ""),
            vec![("entra_app_credential", "HIGH")],
        ),
        ("permissions for one user", one_user, vec![("entra_consent", "MEDIUM")]),
        ("an ordinary change of a user", entra_audit("Update user", ""), vec![]),
    ] {
        let expected: Vec<(String, String)> = expected.iter().map(|(tag, severity)| ((*tag).to_owned(), (*severity).to_owned())).collect();
        assert_eq!(tags(mills::shipped(), &record)[0], expected, "case: {name}");
    }
}

#[test]
fn what_decides_among_the_risks_of_sign_ins() {
    let sign_in = |properties: Value| {
        let mut record = json!({
            "time": "2026-03-04T09:15:27Z", "category": "SignInLogs", "operationName": "Sign-in activity", "resultType": "0",
            "properties": {"userPrincipalName": "mallory@example.com", "ipAddress": "203.0.113.7"},
        });
        let own = record["properties"].as_object_mut().expect("made above");
        own.extend(properties.as_object().expect("an object").clone());
        record
    };
    let detection = |state: &str| {
        json!({
            "time": "2026-03-04T09:15:27Z", "category": "UserRiskEvents", "operationName": "User Risk Detection",
            "properties": {"id": "d1", "userPrincipalName": "mallory@example.com", "riskEventType": "leakedCredentials", "riskState": state, "riskLevel": "high"},
        })
    };
    for (name, record, expected) in [
        ("no risk, an ordinary flow", sign_in(json!({"authenticationProtocol": "none", "clientAppUsed": "Browser"})), vec![]),
        (
            "a risk and a flow",
            sign_in(json!({"riskEventTypes_v2": "[\"anomalousToken\"]", "riskState": "atRisk", "authenticationProtocol": "deviceCode"})),
            vec![("entra_risk_token", "HIGH"), ("entra_device_code", "MEDIUM")],
        ),
        ("a risk that was dismissed", sign_in(json!({"riskEventTypes": ["passwordSpray"], "riskState": "dismissed"})), vec![]),
        ("a password that was refused", sign_in(json!({"clientAppUsed": "IMAP4", "status": {"errorCode": 50126}})), vec![]),
        ("a detection", detection("atRisk"), vec![("entra_risk_credential", "HIGH")]),
        ("a detection that is settled", detection("remediated"), vec![]),
    ] {
        let expected: Vec<(String, String)> = expected.iter().map(|(tag, severity)| ((*tag).to_owned(), (*severity).to_owned())).collect();
        assert_eq!(tags(mills::shipped(), &record)[0], expected, "case: {name}");
    }
}

#[test]
fn a_site_changes_severities_and_switches_tags_off() {
    let engine =
        with_site("tag,severity,why\nlock_delete,CRITICAL,ours\ndeletion,INFORMATIONAL,\nstorage_account_delete,off,nightly tests\n");
    for (operation, expected) in [
        ("microsoft.authorization/locks/delete", Some(("lock_delete", "CRITICAL"))),
        ("x.y/z/delete", Some(("deletion", "INFORMATIONAL"))),
        // Known and off: it does not come back as `deletion`.
        ("microsoft.storage/storageaccounts/delete", None),
        ("microsoft.keyvault/vaults/delete", Some(("vault_delete", "MEDIUM"))),
    ] {
        let found = tags(&engine, &activity(operation, "Success", ""));
        let expected: Vec<(String, String)> = expected.iter().map(|(tag, severity)| ((*tag).to_owned(), (*severity).to_owned())).collect();
        assert_eq!(found[0], expected, "{operation}");
    }
}

#[test]
fn a_sites_faults_are_told_with_their_line() {
    let mut files: Files = mapping::built_in();
    let text = "tag,severity\nlock_delet,HIGH\ndeletion,BAD\ndeletion,LOW\n";
    files.add(File { name: mapping::tags::SITE_FILE.to_owned(), shown: "site.csv".to_owned(), text: text.to_owned(), site: true });
    let faults = Engine::build(&files, &[View::default()], Settings::default()).err().expect("three faults");
    let text = mapping::render(&faults, &files, false);
    for expected in [
        "site.csv:2:1",
        "did you mean `lock_delete`?",
        "site.csv:3:1",
        "`BAD` is no word",
        "`off`",
        "site.csv:4:1",
        "tag `deletion` has two lines",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing:\n{text}");
    }
    let errors = faults.iter().filter(|fault| fault.severity == udmill::mapping::diagnostic::Severity::Error).count();
    assert_eq!(errors, 3, "each is told once, though several mappings have tags:\n{text}");
}

#[test]
fn the_documented_profile_has_no_tags() {
    let documented = mills::shipped().plans(0).find(|plan| plan.name == "openai/audit").expect("the mapping is shipped");
    assert!(documented.tag_lines().is_empty());
    let record = json!({"object": "organization.audit_log", "id": "audit_log-1", "type": "scim.disabled", "effective_at": 1_767_225_600});
    let found = tags(mills::shipped(), &record);
    assert_eq!(found, [vec![], vec![("openai_scim_off".to_owned(), "HIGH".to_owned())]]);
}

#[test]
fn fields_that_a_site_omits_are_not_in_a_tags_result_either() {
    let record = activity("microsoft.authorization/locks/delete", "Success", "");
    let all = ["category", "categoryDetails", "detectionFields", "summary", "action", "severity", "attackDetails"];
    let event = |omit: &[&str]| {
        let options = Options { omit: omit.iter().map(|path| (*path).to_owned()).collect(), ..Options::default() };
        let view = View { profile: None, options };
        let (engine, _) = Engine::build(&mapping::built_in(), &[view], Settings::default()).unwrap_or_else(|faults| panic!("{faults:?}"));
        let outcomes = run(&engine, &record);
        let Outcome::Emit { tags, .. } = outcomes.parts[0].outcome else { panic!("{:?}", outcomes.parts[0]) };
        assert!(!tags.is_empty(), "it is tagged and counted whatever is written: {omit:?}");
        mills::event(&outcomes, &outcomes.parts[0]).expect("an event")
    };
    let whole = event(&[]);
    let last = |event: &Value| event["securityResult"].as_array().and_then(|results| results.last().cloned()).unwrap_or_default();
    let members = |result: &Value| result.as_object().map(|result| result.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    assert_eq!(members(&last(&whole)).iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(all));
    let without = event(&["security_result.attack_details", "security_result.severity", "security_result.action"]);
    assert_eq!(members(&last(&without)).len(), all.len() - 3, "{without}");
    assert!(event(&["security_result"]).get("securityResult").is_none());
}

/// Runs the program over one record.
fn udmill(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_udmill")).args(arguments).current_dir(folder).output().expect("udmill runs")
}

#[test]
fn the_commands_take_a_sites_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("record.json", r#"{"id":"audit_log-1","type":"scim.disabled","effective_at":1767225600,"object":"organization.audit_log"}"#);
    write("tags.csv", "tag,severity\nopenai_scim_off,CRITICAL\n");
    write("off.csv", "tag,severity,why\nopenai_scim_off,off,known\n");
    write("bad.csv", "tag,severity\nopenai_scim_of,HIGH\n");
    let settings = fs::read_to_string(root().join("deploy/udmill.toml")).expect("shipped settings");
    write("settings.toml", &(settings + "\n[files]\ntags = \"bad.csv\"\n"));
    let replay = |tags: &str| {
        let output = udmill(&["replay", "--profile", "typed", "--summary", "json", "--tags", tags, "record.json"], folder.path());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, event, summary) = replay("tags.csv");
    assert_eq!(code, Some(0), "{summary}");
    let event: Value = serde_json::from_str(&event).expect("an event");
    assert_eq!(results(&event)[0]["severity"], "CRITICAL");
    let summary: Value = serde_json::from_str(summary.trim()).expect("a summary");
    assert_eq!(summary["tags"], json!({"openai_scim_off": 1}));
    let (code, event, _) = replay("off.csv");
    assert!(code == Some(0) && !event.contains("\"tag\""), "{event}");
    for (file, told) in [("bad.csv", "did you mean `openai_scim_off`?"), ("gone.csv", "no such file of tags")] {
        let (code, event, told_here) = replay(file);
        assert!(code == Some(2) && event.is_empty() && told_here.contains(told), "{file}: {told_here}");
    }
    for (arguments, told, code) in [
        (&["check", "--tags", "bad.csv"][..], "error[M065]", 2),
        (&["check", "--config", "settings.toml"], "error[M065]", 2),
        (&["check", "--tags", "off.csv"], "1 of them off", 0),
        (
            &["explain", "--profile", "typed", "--tags", "tags.csv", "record.json"],
            "openai_scim_off CRITICAL because operation `scim.disabled` mappings/tags/openai_audit.csv:",
            0,
        ),
        (&["explain", "--profile", "typed", "--format", "json", "record.json"], r#""tags":[{"tag":"openai_scim_off","severity":"HIGH""#, 0),
    ] {
        let output = udmill(arguments, folder.path());
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(told), "{arguments:?}: {said}");
    }
}

/// What became of every line of the list the tags are made from.
#[test]
fn every_line_of_the_reference_has_a_stated_fate() {
    let folder = root().join("tests/reference");
    let read = |name: &str| csv::Reader::from_path(folder.join(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let reference: Vec<csv::StringRecord> = read("high-risk-operations.csv").records().map(|row| row.expect("sound CSV")).collect();
    let shipped: BTreeSet<String> = tag_names(&root().join("mappings/tags"));
    let mut named = BTreeSet::new();
    let mut lines = BTreeSet::new();
    for fate in read("tags.csv").records().map(|row| row.expect("sound CSV")) {
        let line: usize = fate[0].parse().expect("a line is a number");
        assert!(lines.insert(line), "line {line} stands twice");
        let row = reference.get(line - 2).unwrap_or_else(|| panic!("the reference has no line {line}"));
        assert_eq!(&fate[1], &row[0].chars().take(60).collect::<String>(), "line {line} is another operation");
        match &fate[2] {
            "tagged" => {
                assert!(!fate[3].is_empty(), "line {line}: which tag?");
                for tag in fate[3].split(';').map(str::trim) {
                    assert!(shipped.contains(tag), "line {line}: no list has a tag `{tag}`");
                    named.insert(tag.to_owned());
                }
            }
            "left_out" => assert!(fate[4].len() > 10, "line {line}: why?"),
            other => panic!("line {line}: `{other}` is no fate"),
        }
    }
    let missing: Vec<usize> = (2..reference.len() + 2).filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty(), "tests/reference/tags.csv says nothing of lines {missing:?}");
    let unnamed: Vec<&String> = shipped.iter().filter(|tag| !named.contains(*tag) && !tag.starts_with("openai_")).collect();
    assert!(unnamed.is_empty(), "made from no line of the reference: {unnamed:?}");
}

/// The names of all tags in the lists of a folder.
fn tag_names(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let mut reader = csv::Reader::from_path(entry.expect("an entry").path()).expect("a list is readable");
        let at = reader.headers().expect("a header").iter().position(|column| column == "tag");
        for row in reader.records() {
            names.extend(at.and_then(|at| row.as_ref().expect("sound CSV").get(at)).map(str::to_owned));
        }
    }
    names
}
