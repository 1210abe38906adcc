//! The dashboard and the alert rules name only metrics that exist, and the dashboard is whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// Every `udmill_...` word of a text.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("udmill_"))
        .map(|word| {
            // The parts of a histogram.
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| word.strip_suffix(ending));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_exist() {
    let declared = metric_names(&read("src/telemetry/metrics.rs"));
    assert!(declared.len() > 10, "src/telemetry/metrics.rs declares the metrics, found {declared:?}");
    // A field of an event that an alert's text names.
    let no_metric = "udmill_wanted_event_type";
    for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/dashboards/udmill.json"] {
        let named = metric_names(&read(path));
        assert!(named.len() > 5, "{path} names metrics, found {named:?}");
        let missing: Vec<_> = named.iter().filter(|name| !declared.contains(*name) && *name != no_metric).collect();
        assert!(missing.is_empty(), "{path} names metrics that src/telemetry/metrics.rs does not declare: {missing:?}");
    }
    let watched = metric_names(&(read("deploy/grafana/dashboards/udmill.json") + &read("deploy/prometheus/alerts.yml")));
    let unused: Vec<_> = declared.iter().filter(|name| !watched.contains(*name)).collect();
    assert!(unused.is_empty(), "on no panel and in no alert: {unused:?}");
}

#[test]
fn every_panel_of_the_dashboard_has_a_query_a_unit_and_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboards/udmill.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: the id is taken");
        let place = &panel["gridPos"];
        let number = |name: &str| place[name].as_u64().unwrap_or_else(|| panic!("{title}: no {name}"));
        assert!(number("x") + number("w") <= 24, "{title}: wider than the grid");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(taken.insert((x, y)), "{title}: lies over another panel at {x}, {y}");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(
            !targets.is_empty() && targets.iter().all(|target| target["expr"].as_str().is_some_and(|expr| expr.contains("udmill_"))),
            "{title}: no query"
        );
    }
}
