//! Every converter's examples, its arguments and its promises to the plan.

use proptest::prelude::*;

use super::*;
use crate::mapping::table::{Call, Constant, LookupKey, LookupTable, Span};
use crate::plan::convert::{Args, Fault, Output};

/// The look-up that the examples name.
fn lookups() -> Vec<NamedLookup> {
    let columns = vec!["action".to_owned(), "word".to_owned()];
    let row = |action: Option<&str>, word: &str| vec![action.map(str::to_owned), Some(word.to_owned())];
    let table = LookupTable {
        name: "outcome".to_owned(),
        columns: columns.clone(),
        rows: vec![
            (LookupKey::Exact("succeeded".to_owned()), row(Some("ALLOW"), "exact")),
            (LookupKey::Prefix("fail".to_owned()), row(Some("FAIL"), "short prefix")),
            (LookupKey::Prefix("failed.for".to_owned()), row(Some("BLOCK"), "long prefix")),
            (LookupKey::Suffix("denied".to_owned()), row(Some("BLOCK"), "suffix")),
            (LookupKey::Pattern(regex::bytes::Regex::new("(?i)^2[0-9]{2}$").unwrap()), row(Some("ALLOW"), "pattern")),
            (LookupKey::Exact("started".to_owned()), row(None, "no action")),
        ],
        default: None,
        span: Span::default(),
    };
    vec![NamedLookup { name: "outcome".to_owned(), lookup: Arc::new(compile_lookup(&table)), columns }]
}

/// Reads a call as a mapping writes it: `"lower"` or `{ split = ",", index = 1 }`.
fn call(text: &str) -> Call {
    let value: toml::Table = toml::from_str(&format!("as = {text}")).expect("an example is TOML");
    let constant = |value: &toml::Value| match value {
        toml::Value::String(text) => Constant::Text(text.clone()),
        toml::Value::Integer(number) => Constant::Int(*number),
        toml::Value::Float(number) => Constant::Float(*number),
        toml::Value::Boolean(truth) => Constant::Bool(*truth),
        other => panic!("no argument: {other}"),
    };
    match &value["as"] {
        toml::Value::String(name) => Call { name: name.clone(), args: Vec::new(), span: Span::default() },
        toml::Value::Table(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by_key(|name| find(name).is_none());
            let name = names[0].clone();
            let args = members.iter().map(|(key, value)| (if *key == name { String::new() } else { key.clone() }, constant(value)));
            Call { args: args.collect(), name, span: Span::default() }
        }
        other => panic!("no call: {other}"),
    }
}

fn shown(result: Result<Output, Fault>, input: &str, out: &[u8]) -> String {
    match result {
        Ok(Output::Same) => input.to_owned(),
        Ok(Output::Text) => String::from_utf8(out.to_vec()).expect("converters write UTF-8"),
        Ok(Output::Int(number)) => number.to_string(),
        Ok(Output::UInt(number)) => number.to_string(),
        Ok(Output::Float(number)) => number.to_string(),
        Ok(Output::Bool(truth)) => truth.to_string(),
        Ok(Output::Absent) => "absent".to_owned(),
        Err(Fault(code)) => format!("fault:{code}"),
    }
}

/// Runs one call on text.
fn convert(text: &str, input: &str) -> String {
    let call = call(text);
    let converter = find(&call.name).unwrap_or_else(|| panic!("no converter `{}`", call.name));
    let args = prepare(converter, &call, &lookups()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let mut out = b"before".to_vec();
    let result = (converter.run)(Input::Text(input.as_bytes()), &args, &mut out);
    assert_eq!(&out[..6], b"before");
    shown(result, input, &out[6..])
}

fn check(cases: &[(&str, &str, &str)]) {
    for (call, input, expected) in cases {
        assert_eq!(convert(call, input), *expected, "{call} of {input:?}");
    }
}

#[test]
fn every_example_holds() {
    for converter in all() {
        assert!(!converter.examples.is_empty(), "converter `{}` has no example", converter.name);
        for (text, input, output) in converter.examples {
            assert_eq!(call(text).name, converter.name, "an example of `{}`", converter.name);
            assert_eq!(convert(text, input), *output, "{text} of {input:?}");
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = all().map(|converter| converter.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn converters_page_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/converters.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == page(), "docs/converters.md is stale; run `UPDATE_GOLDEN=1 cargo test --lib converters_page`");
}

#[test]
fn numbers_reach_text_converters_as_text() {
    let converter = find("lookup").unwrap();
    let args = prepare(converter, &call("{ lookup = \"outcome\", column = \"word\" }"), &lookups()).unwrap();
    for (input, expected) in
        [(Input::Int(204), "pattern"), (Input::Float(204.0), "pattern"), (Input::Int(404), "absent"), (Input::Bool(true), "absent")]
    {
        let mut out = Vec::new();
        let result = (converter.run)(input, &args, &mut out);
        assert_eq!(shown(result, "", &out), expected, "{input:?}");
    }
}

#[test]
fn look_ups_prefer_exact_then_longest_then_patterns() {
    let call = "{ lookup = \"outcome\", column = \"word\" }";
    check(&[
        (call, "SUCCEEDED", "exact"),
        (call, "Failed", "short prefix"),
        (call, "Failed.Forbidden", "long prefix"),
        (call, "Fail denied", "suffix"),
        (call, "204", "pattern"),
        (call, "other", "absent"),
    ]);
}

#[test]
fn wrong_calls_say_what_would_be_right() {
    for (text, part) in [
        ("{ lower = \"x\" }", "takes no value of its own; write `\"lower\"`"),
        ("\"split\"", "lacks the value of `split`"),
        ("{ split = \",\" }", "lacks `index` of `split`"),
        ("{ split = \"\", index = 0 }", "is empty"),
        ("{ split = \",\", index = 5000 }", "from -64 to 4095"),
        ("{ split = \",\", index = 0, with = \"x\" }", "has no parameter `with`"),
        ("{ strip_prefix = 1 }", "wants text in quotes"),
        ("{ regex = \"(\" }", "pattern `(`"),
        ("{ regex = \"a\", group = 1 }", "put `(...)` around"),
        ("{ lookup = \"outcom\" }", "it has `outcome`"),
        ("{ lookup = \"outcome\" }", "several columns"),
        ("{ lookup = \"outcome\", column = \"x\" }", "it has `action`, `word`"),
    ] {
        let call = call(text);
        let fault = prepare(find(&call.name).unwrap(), &call, &lookups()).unwrap_err();
        assert!(fault.contains(part), "{text}: {fault}");
    }
}

#[test]
fn timestamps() {
    let t = "\"timestamp\"";
    check(&[
        (t, "2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
        (t, "2023-02-29T23:59:59Z", "fault:not_a_timestamp"),
        (t, "2024-02-29T24:00:00Z", "fault:not_a_timestamp"),
        (t, "2024-02-29T23:59:60Z", "2024-02-29T23:59:59Z"),
        (t, "2024-02-29T23:60:00Z", "fault:not_a_timestamp"),
        (t, "2024-13-01T00:00:00Z", "fault:not_a_timestamp"),
        (t, "2024-05-01T07:45:44.123456789Z", "2024-05-01T07:45:44.123456789Z"),
        (t, "2024-05-01T07:45:44.1234567899Z", "2024-05-01T07:45:44.123456789Z"),
        (t, "2024-05-01T07:45:44.Z", "fault:not_a_timestamp"),
        (t, "2024-05-01t07:45:44z", "2024-05-01T07:45:44Z"),
        (t, " 2024-05-01T07:45:44Z ", "2024-05-01T07:45:44Z"),
        (t, "2024-05-01T07:45:44", "2024-05-01T07:45:44Z"),
        (t, "2024-05-01T07:45Z", "2024-05-01T07:45:00Z"),
        (t, "2024-05-01T07:45:44+00:00", "2024-05-01T07:45:44Z"),
        (t, "2024-05-01T00:45:44.5+0200", "2024-04-30T22:45:44.5Z"),
        (t, "2024-05-01T07:45:44-24:00", "fault:not_a_timestamp"),
        (t, "2024-05-01 07:45:44 UTC", "2024-05-01T07:45:44Z"),
        (t, "05/01/2024 07:45:44", "2024-05-01T07:45:44Z"),
        (t, "5/1/2024 12:00:00 AM", "2024-05-01T00:00:00Z"),
        (t, "5/1/2024 12:00:00 PM", "2024-05-01T12:00:00Z"),
        (t, "5/1/2024 13:00:00 PM", "fault:not_a_timestamp"),
        (t, "5/1/2024 1:00:00 PM -07:00", "2024-05-01T20:00:00Z"),
        (t, "5/1/2024 1:00:00\u{202f}PM", "2024-05-01T13:00:00Z"),
        (t, "13/1/2024 1:00:00 PM", "fault:not_a_timestamp"),
        (t, "631151999", "fault:time_out_of_range"),
        (t, "631152000", "1990-01-01T00:00:00Z"),
        (t, "4102444799", "2099-12-31T23:59:59Z"),
        (t, "4102444800", "fault:time_out_of_range"),
        (t, "631151999999", "fault:time_out_of_range"),
        (t, "631152000000", "1990-01-01T00:00:00Z"),
        (t, "1714549544.5", "2024-05-01T07:45:44.5Z"),
        (t, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        (t, "9999-12-31T23:59:59.9999999", "9999-12-31T23:59:59.9999999Z"),
        (t, "9999-12-31T23:59:59-01:00", "fault:time_out_of_range"),
        (t, "0001-01-01T00:00:00.0000000Z", "absent"),
        (t, "0001-01-01T00:00:00", "absent"),
        (t, "1601-01-01T00:00:00Z", "absent"),
        (t, "1601-01-01T00:00:01Z", "1601-01-01T00:00:01Z"),
        (t, "0000-01-01T00:00:00Z", "fault:time_out_of_range"),
        (t, "", "fault:not_a_timestamp"),
        (t, "yesterday", "fault:not_a_timestamp"),
        ("\"unix_seconds\"", "-62135596800", "0001-01-01T00:00:00Z"),
        ("\"unix_seconds\"", "-62135596801", "fault:time_out_of_range"),
        ("\"unix_seconds\"", "1711471533.0", "fault:not_seconds"),
        ("\"unix_seconds\"", "1711471533000", "fault:time_out_of_range"),
        ("\"dotnet_ticks\"", "0", "absent"),
        ("\"dotnet_ticks\"", "3155378975999999999", "9999-12-31T23:59:59.9999999Z"),
        ("\"dotnet_ticks\"", "3155378976000000000", "fault:time_out_of_range"),
    ]);
}

#[test]
fn durations() {
    check(&[
        ("\"duration_ms\"", "0", "0s"),
        ("\"duration_ms\"", "\u{20}22", "0.022s"),
        ("\"duration_ms\"", "-0.1", "fault:negative_duration"),
        ("\"duration_ms\"", "315576000000000", "315576000000s"),
        ("\"duration_ms\"", "315576000001000", "fault:duration_out_of_range"),
        ("\"duration_ms\"", "fast", "fault:not_a_duration"),
        ("\"duration_ticks\"", "1", "0.0000001s"),
        ("\"iso_duration\"", "PT0S", "0s"),
        ("\"iso_duration\"", "P1W", "604800s"),
        ("\"iso_duration\"", "-PT1S", "fault:negative_duration"),
        ("\"iso_duration\"", "P", "fault:not_a_duration"),
        ("\"iso_duration\"", "PT", "fault:not_a_duration"),
        ("\"iso_duration\"", "PT1M1H", "fault:not_a_duration"),
        ("\"iso_duration\"", "PT1.5M", "fault:not_a_duration"),
        ("\"iso_duration\"", "PT1", "fault:not_a_duration"),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("\"ip\"", "192.0.2.256", "fault:not_an_ip"),
        ("\"ip\"", "192.0.2.07", "fault:not_an_ip"),
        ("\"ip\"", "fe80::1%eth0", "fault:not_an_ip"),
        ("\"ip\"", "[2001:db8::1]", "fault:not_an_ip"),
        ("\"ip\"", " 192.0.2.7 ", "192.0.2.7"),
        ("\"ip\"", "192.0.2.***", "fault:not_an_ip"),
        ("\"ip\"", "", "fault:not_an_ip"),
        ("\"ip_port_ip\"", "[2001:db8::1]", "2001:db8::1"),
        ("\"ip_port_ip\"", "[::ffff:192.0.2.7]:80", "192.0.2.7"),
        ("\"ip_port_ip\"", "[192.0.2.7]:80", "fault:not_an_ip"),
        ("\"ip_port_ip\"", "[2001:db8::1]443", "fault:not_an_ip"),
        ("\"ip_port_port\"", "192.0.2.7:0", "0"),
        ("\"ip_port_port\"", "192.0.2.7:65535", "65535"),
        ("\"ip_port_port\"", "192.0.2.7:+80", "fault:not_an_ip"),
        ("\"port\"", "-1", "fault:not_a_port"),
        ("\"masked_ip_cidr\"", "192.0.2.xxx", "192.0.2.0/24"),
        ("\"masked_ip_cidr\"", "192.0.2.****", "fault:not_a_network"),
        ("\"masked_ip_cidr\"", "*.*.*.*", "fault:not_a_network"),
        ("\"masked_ip_cidr\"", "192.0.*", "fault:not_a_network"),
        ("\"masked_ip_cidr\"", "192.0.2.0/33", "fault:not_a_network"),
        ("\"masked_ip_cidr\"", "2001:db8::/32", "2001:db8::/32"),
        ("\"mac\"", "000d.3af8.801a", "00:0d:3a:f8:80:1a"),
        ("\"mac\"", "000D3AF8801AB", "fault:not_a_mac"),
        ("\"mac\"", "000D3AF8801G", "fault:not_a_mac"),
        ("\"community_id\"", "192.0.2.1,198.51.100.2,,,47", &convert("\"community_id\"", "198.51.100.2,192.0.2.1,1,2,47")),
        ("\"community_id\"", "192.0.2.1,198.51.100.2,8,0,1", &convert("\"community_id\"", "198.51.100.2,192.0.2.1,0,0,icmp")),
        ("\"community_id\"", "192.0.2.1,2001:db8::1,1,2,6", "fault:not_a_flow"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("\"int\"", "9223372036854775807", "9223372036854775807"),
        ("\"int\"", "9223372036854775808", "fault:not_an_int"),
        ("\"int\"", "+1", "fault:not_an_int"),
        ("\"int\"", "", "fault:not_an_int"),
        ("\"uint\"", "18446744073709551616", "fault:not_a_uint"),
        ("\"float\"", "1e3", "1000"),
        ("\"float\"", "1e999", "fault:not_a_number"),
        ("\"float\"", "inf", "fault:not_a_number"),
        ("\"http_status\"", "99", "fault:not_a_status"),
        ("\"http_status\"", "100", "100"),
        ("\"http_status\"", "599", "599"),
        ("\"http_status\"", "600", "fault:not_a_status"),
        ("\"http_status\"", "200 OK", "200"),
        ("\"http_status\"", "Succeeded.Created", "201"),
        ("\"http_status\"", "None", "absent"),
    ]);
    for (input, expected) in
        [(Input::Float(1e300), "fault:not_an_int"), (Input::Float(7.0), "7"), (Input::UInt(u64::MAX), "fault:not_an_int")]
    {
        let result = (find("int").unwrap().run)(input, &Args::default(), &mut Vec::new());
        assert_eq!(shown(result, "", b""), expected, "{input:?}");
    }
}

#[test]
fn resource_ids() {
    let role = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Sql/servers/A/providers/Microsoft.Authorization/roleAssignments/R";
    let group = "/providers/Microsoft.Management/managementGroups/Root";
    let part = |part: &str| format!("{{ resource_id = \"{part}\" }}");
    for (name, input, expected) in [
        ("id", role, role.to_ascii_lowercase().as_str()),
        ("name", role, "R"),
        ("type", role, "microsoft.authorization/roleassignments"),
        ("provider", role, "microsoft.authorization"),
        ("parent", role, "/subscriptions/s/resourcegroups/g/providers/microsoft.sql/servers/a"),
        ("group_id", role, "/subscriptions/s/resourcegroups/g"),
        ("subscription_id", role, "/subscriptions/s"),
        ("management_group", group, "root"),
        ("type", group, "microsoft.management/managementgroups"),
        ("subscription", group, "absent"),
        ("tenant", "/tenants/T/providers/Microsoft.aadiam", "t"),
        ("name", "/tenants/T/providers/Microsoft.aadiam", "absent"),
        ("provider", "/tenants/T/providers/Microsoft.aadiam", "microsoft.aadiam"),
        ("type", "/subscriptions/S", "microsoft.resources/subscriptions"),
        ("name", "/subscriptions/S/", "S"),
        ("parent", "/subscriptions/S/resourceGroups/G/providers/Microsoft.KeyVault/vaults/V", "absent"),
        ("id", "/", "fault:not_a_resource_id"),
        ("id", "subscriptions/S", "fault:not_a_resource_id"),
        ("id", "/subscriptions", "fault:not_a_resource_id"),
        ("id", "/secrets/a", "fault:not_a_resource_id"),
    ] {
        assert_eq!(convert(&part(name), input), expected, "{name} of {input}");
    }
}

#[test]
fn urls_and_names() {
    check(&[
        ("\"url\"", "https://a.example.com", "https://a.example.com"),
        ("\"url\"", "https://a.example.com:99999/", "fault:not_a_url"),
        ("\"url\"", "https:///x", "fault:not_a_url"),
        ("\"url\"", "https://a b/", "fault:not_a_url"),
        ("\"url\"", "https://[::1/", "fault:not_a_url"),
        ("\"url\"", "https://a/#access_token=x&y=1", "https://a/#access_token=[redacted]&y=1"),
        ("\"url\"", "https://a/?SIG=x&design=1", "https://a/?SIG=[redacted]&design=1"),
        ("\"url\"", "https://a/?q=a@b", "https://a/?q=a@b"),
        ("\"host_of_url\"", "https://u:p@A:1/?x@y", "a"),
        ("{ query = \"a\" }", "?a=%FF", "%FF"),
        ("{ regex = \"(a|ab)\", group = 1 }", "xab", "a"),
        ("{ regex = \"(a)b|(c)d\", group = 1 }", "xab", "a"),
        ("{ regex = \"(a)[)]\", group = 1 }", "xa)", "a"),
        ("{ regex = \"(a)(?:b)\", group = 1 }", "xab", "a"),
        ("\"strip_html\"", "a  b", "a b"),
        ("\"strip_html\"", "a b ", "a b"),
        ("\"strip_html\"", "Status: Failed - \"x\"", "Status: Failed - \"x\""),
        ("{ query = \"a\" }", "?b=a=1&a=c+d", "c d"),
        ("\"email\"", "a@b@example.com", "fault:not_an_email"),
        ("\"email\"", "ann@example", "fault:not_an_email"),
        ("\"email\"", "ann@example..com", "fault:not_an_email"),
        ("\"email\"", "@example.com", "fault:not_an_email"),
        ("\"ja4\"", "t13d1516h2_8daaf6152771_b186095e22bg", "fault:not_a_ja4"),
        ("\"ja4\"", "x13d1516h2_8daaf6152771_b186095e22b6", "fault:not_a_ja4"),
        ("\"ja4\"", "q13i0310h3_55b375c5d22e_06cda9e17597", "q13i0310h3_55b375c5d22e_06cda9e17597"),
        ("\"guid\"", "0f8fad5bd9cb469fa16570867728950-", "fault:not_a_guid"),
        ("\"guid\"", "0f8fad5b-d9cb-469f-a165070867728950e", "fault:not_a_guid"),
        ("\"guid\"", "0f8fad5b-d9cb-469f-a165-70867728950G", "fault:not_a_guid"),
        ("\"guid\"", "0F8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("\"guid\"", "00000000000000000000000000000000", "absent"),
        ("\"guid\"", "00000000000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ]);
}

/// Every example's call, prepared once: what the property below runs.
fn prepared() -> Vec<(&'static Converter, Args)> {
    let lookups = lookups();
    let calls = all().flat_map(|converter| converter.examples.iter().map(move |(text, ..)| (converter, call(text))));
    calls.map(|(converter, call)| (converter, prepare(converter, &call, &lookups).unwrap())).collect()
}

/// Whether a text is the same as a JSON string, but for its quotes.
fn needs_none(text: &[u8]) -> bool {
    serde_json::to_string(std::str::from_utf8(text).unwrap()).unwrap().len() == text.len() + 2
}

fn holds(input: Input<'_>) {
    thread_local!(static CALLS: Vec<(&'static Converter, Args)> = prepared());
    CALLS.with(|calls| {
        for (converter, args) in calls {
            let mut out = b"before".to_vec();
            let result = (converter.run)(input, args, &mut out);
            assert_eq!(&out[..6], b"before", "{}", converter.name);
            match result {
                Ok(Output::Text) => {
                    assert!(std::str::from_utf8(&out[6..]).is_ok(), "{} of {input:?}", converter.name);
                    let is_plain = match (escapes(converter, args), input) {
                        (Escapes::Never, _) => true,
                        (Escapes::AsInput, Input::Text(text)) => needs_none(text),
                        (kind, _) => kind == Escapes::AsInput,
                    };
                    assert!(!is_plain || needs_none(&out[6..]), "{} of {input:?} gives an escape", converter.name);
                }
                Ok(Output::Float(number)) => assert!(number.is_finite(), "{}", converter.name),
                Ok(Output::UInt(number)) => assert!(number > i64::MAX as u64, "{}", converter.name),
                _ => {}
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics_and_text_stays_text(text in "\\PC{0,60}") {
        holds(Input::Text(text.as_bytes()));
    }

    #[test]
    fn mail_addresses_are_what_they_were(text in "[ab. @-]{0,12}|[a-cA-C.@ é\"<-]{0,8}@[a-cA-C.é-]{0,8}") {
        let text = text.trim();
        let expected = text.split_once('@').filter(|(local, domain)| {
            let plain = |byte: u8| byte > b' ' && byte != 0x7f && !b"\"(),:;<>[\\]#@".contains(&byte);
            let host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte >= 0x80;
            let label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
            (1..=64).contains(&local.len()) && local.bytes().all(plain) && domain.bytes().all(host) && domain.contains('.') && domain.split('.').all(label)
        });
        let expected = expected.map_or("fault:not_an_email".to_owned(), |_| text.to_ascii_lowercase());
        prop_assert_eq!(convert("\"email\"", text), expected);
    }

    #[test]
    fn pieces_of_ids_stand_between_slashes(text in "(/[a-zA-Z/]{0,12}){1,4}") {
        let full = format!("/providers/p{text}");
        let pieces: Vec<&str> = full.split('/').filter(|piece| !piece.is_empty()).collect();
        if pieces.len() <= 18 && !pieces[1..].iter().any(|piece| piece.eq_ignore_ascii_case("providers")) {
            let expected = format!("/{}", pieces.join("/").to_ascii_lowercase());
            prop_assert_eq!(convert("{ resource_id = \"id\" }", &full), expected);
        }
    }

    #[test]
    fn no_near_miss_panics(text in "[0-9TZ:./ +,%&=?#<>@\\[\\]{}\"'PMAaé-]{0,40}") {
        holds(Input::Text(text.as_bytes()));
    }

    #[test]
    fn no_number_panics(whole in any::<i64>(), large in any::<u64>(), real in any::<f64>()) {
        holds(Input::Int(whole));
        holds(Input::UInt(large));
        holds(Input::Float(real));
    }

    #[test]
    fn written_timestamps_read_themselves(seconds in -62_135_596_800i64..=253_402_207_200) {
        let text = convert("\"unix_seconds\"", &seconds.to_string());
        prop_assert!(time_reads(&text), "{}", text);
        // jiff writes the same; its range, the strategy's, ends a day early.
        let expected = jiff::Timestamp::from_second(seconds).map(|time| time.to_string());
        prop_assert_eq!(Ok(text), expected.map_err(|_| ()));
    }
}

fn time_reads(text: &str) -> bool {
    let again = convert("\"timestamp\"", text);
    again == text || again == "absent"
}
