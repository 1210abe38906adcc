//! The time of events: every way in which Azure writes a time gives the right instant, an event's time is never made up.

use serde_json::{Value, json};
use udmill::decode::Limits;

use crate::{ends, mills};

/// What the broker says when the message came: the year tells it from every sample.
const RECEIVED: i64 = 4_070_908_800_000;

/// The times of the events of one body.
fn times(record: &Value) -> Vec<Option<String>> {
    let engine = mills::shipped();
    let mut worker = mills::worker(Limits::default());
    let outcomes = mills::run(engine, &mut worker, record.to_string().as_bytes(), Some(RECEIVED));
    let time = |event: Value| event["metadata"]["eventTimestamp"].as_str().map(str::to_owned);
    outcomes.parts.iter().filter(|part| part.view == 0).map(|part| mills::event(&outcomes, part).and_then(time)).collect()
}

/// The forms of `time` that were seen in records, and the instant each means.
const FORMS: [(&str, &str); 19] = [
    ("2026-03-04T07:45:44.1234567Z", "2026-03-04T07:45:44.1234567Z"),
    ("2026-03-04T07:45:44Z", "2026-03-04T07:45:44Z"),
    ("2026-03-04T07:45:44.12Z", "2026-03-04T07:45:44.12Z"),
    ("2026-03-04T07:45:44.123Z", "2026-03-04T07:45:44.123Z"),
    ("2026-03-04T07:45:44.123456Z", "2026-03-04T07:45:44.123456Z"),
    ("2026-03-04T07:45:44.123456789Z", "2026-03-04T07:45:44.123456789Z"),
    ("2026-03-04T07:45:44+00:00", "2026-03-04T07:45:44Z"),
    ("2026-03-04T07:45:44+02:00", "2026-03-04T05:45:44Z"),
    ("2026-03-04T07:45:44.5-05:30", "2026-03-04T13:15:44.5Z"),
    ("2026-03-04T07:45:44", "2026-03-04T07:45:44Z"),
    ("2026-03-04 07:45:44.123", "2026-03-04T07:45:44.123Z"),
    ("2026-03-04T07: 45: 44Z", "2026-03-04T07:45:44Z"),
    ("2026-03-04T07: 45: 44.123Z", "2026-03-04T07:45:44.123Z"),
    ("03/04/2026 07:45:44", "2026-03-04T07:45:44Z"),
    ("3/4/2026 7:45:44 AM", "2026-03-04T07:45:44Z"),
    ("3/4/2026 7:45:44 PM", "2026-03-04T19:45:44Z"),
    ("3/4/2026 12:45:44 AM", "2026-03-04T00:45:44Z"),
    ("3/4/2026 7:45:44 PM +00:00", "2026-03-04T19:45:44Z"),
    ("3/4/2026, 2:32:14.029 PM", "2026-03-04T14:32:14.029Z"),
];

#[test]
fn every_form_of_a_time_is_the_right_instant() {
    for (written, instant) in FORMS {
        let resource = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Web/sites/s";
        let tenant = "/tenants/00000000-0000-4000-8000-000000000001/providers/Microsoft.aadiam";
        for record in [
            json!({ "time": written, "resourceId": resource, "category": "AppServiceHTTPLogs", "operationName": "x" }),
            json!({ "time": written, "resourceId": resource, "category": "Administrative", "operationName": "Microsoft.Web/sites/write", "resultType": "Success" }),
            json!({ "time": written, "resourceId": tenant, "category": "AuditLogs", "operationName": "Update user", "properties": {} }),
            json!({ "time": written, "resourceId": tenant, "category": "SignInLogs", "operationName": "Sign-in activity", "properties": {} }),
        ] {
            assert_eq!(times(&record), [Some(instant.to_owned())], "{record}");
        }
    }
}

#[test]
fn a_time_under_another_name_is_found() {
    let resource = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Network/applicationGateways/a";
    let (written, instant) = ("2026-03-04T07:45:44.5Z", "2026-03-04T07:45:44.5Z");
    for name in [
        "Time",
        "timeStamp",
        "EventTime",
        "EventTimeString",
        "EventTimestamp",
        "startTime",
        "createdDateTime",
        "TimeGenerated",
        "TimeGenerated [UTC]",
    ] {
        let record = json!({ name: written, "resourceId": resource, "category": "ApplicationGatewayAccessLog", "operationName": "ApplicationGatewayAccess" });
        assert_eq!(times(&record), [Some(instant.to_owned())], "{record}");
    }
    for name in ["createdDateTime", "CreatedDateTime"] {
        let record = json!({ "resourceId": resource, "category": "SignInLogs", "operationName": "Sign-in activity", "properties": { name: written } });
        assert_eq!(times(&record), [Some(instant.to_owned())], "{record}");
    }
    let rest = json!({ "eventTimestamp": written, "category": { "value": "Administrative" }, "operationName": { "value": "Microsoft.Web/sites/write" } });
    assert_eq!(times(&rest), [Some(instant.to_owned())]);
}

/// An event whose record says no time takes the broker's and says so; every other time comes from the record, whenever it is read.
#[test]
fn no_time_is_made_up() {
    let engine = mills::shipped();
    let mut worker = mills::worker(engine.limits());
    let (mut known, mut unknown) = (0, 0);
    // Made-up records of the API with a time of zero mean it.
    for (name, body) in ends::bodies().into_iter().filter(|(name, _)| name.starts_with("azure")) {
        let outcomes = mills::run(engine, &mut worker, &body, Some(RECEIVED));
        for part in &outcomes.parts {
            let Some(event) = mills::event(&outcomes, part) else { continue };
            let time = event["metadata"]["eventTimestamp"].as_str().unwrap_or_else(|| panic!("{name}: an event without a time"));
            assert!(!time.starts_with("1970-") && !time.starts_with("0001-") && !time.starts_with("1601-"), "{name}: {time}");
            let is_the_brokers = event["additional"]["udmill_time_source"] == "received";
            assert_eq!(is_the_brokers, time.starts_with("2099-"), "{name}: {time}");
            if is_the_brokers { unknown += 1 } else { known += 1 }
        }
    }
    assert!(known > 1000, "{known} times from records, {unknown} from the broker");
}
