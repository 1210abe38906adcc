//! Every metric of the process, by name. Units are in the names; labels come from closed sets.
use prometheus::core::Collector;
use prometheus::{Encoder, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::drift::Drift;
use super::tally::Tally;

/// Bounds of the latency histograms, in seconds: from a small message in memory to a broker that was away for minutes.
const LATENCY_BOUNDS_SECONDS: &[f64] = &[0.00005, 0.0002, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// Bounds of the lateness of audit events, in seconds: from below the shortest poll to the deepest look.
const LATENESS_BOUNDS_SECONDS: &[f64] =
    &[30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0];

/// The registry and a handle on each metric in it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages taken from a source.
    pub messages: IntCounterVec,
    /// Records found in them.
    pub records: IntCounterVec,
    /// Parts by outcome; `code` is the reject code or skip reason.
    pub parts: IntCounterVec,
    /// Events by event type; `fallback` says that the wished type's requirements were not met.
    pub events: IntCounterVec,
    /// Events by `security_result.action`.
    pub actions: IntCounterVec,
    /// Events by security tag; an event with two tags counts for both.
    pub tagged_events: IntCounterVec,
    /// Fields left out of events.
    pub notes: IntCounterVec,
    /// Bytes by mapping.
    pub bytes: IntCounterVec,
    /// Values at paths that no row, value or condition of the mapping names.
    pub drift_values: IntCounterVec,
    /// Different such paths since the mappings were loaded.
    pub drift_paths: IntGaugeVec,
    /// Messages on the broker that are not settled.
    pub lag: IntGaugeVec,
    /// When the last message was taken.
    pub last_message: IntGaugeVec,
    /// Age of the oldest unsettled message.
    pub unsettled_age: prometheus::GaugeVec,
    /// Age of the oldest unsettled message of a partition.
    pub partition_unsettled_age: prometheus::GaugeVec,
    /// Time since a partition's last message, or since its assignment.
    pub partition_message_age: prometheus::GaugeVec,
    /// Bytes taken and not settled.
    pub in_flight: IntGaugeVec,
    /// 1 while backpressure holds the source.
    pub paused: IntGaugeVec,
    /// `process`: one message through the engine; `settle`: from taking it until all is acknowledged;
    /// `revoke`: a rebalance, from the call until the partitions are free.
    pub latency: HistogramVec,
    /// Look-ups in the enrichers' caches.
    pub cache_lookups: IntCounterVec,
    /// What librdkafka reports, by its error code.
    pub kafka_errors: IntCounterVec,
    /// Dead letters the broker has acknowledged.
    pub dead_letters: IntCounterVec,
    /// Attempts to write a file of an archive: `written`, `failed`.
    pub archive_files: IntCounterVec,
    /// Bytes of archive files, as they were written.
    pub archive_bytes: IntCounterVec,
    /// Age of the oldest line that is in no archive file yet.
    pub archive_age: prometheus::GaugeVec,
    /// Events the broker has acknowledged, by output.
    pub delivered: IntCounterVec,
    /// Events that an output which is not required did not deliver, by the reason.
    pub dropped: IntCounterVec,
    /// Requests of the collector, by how they ended.
    pub collector_requests: IntCounterVec,
    /// Events of the collector: `new`, `known` before, and of the new ones `only_deep`, `unknown_type`, `without_id`, `without_time`.
    pub collector_events: IntCounterVec,
    /// Windows read to their end, by depth, and `failed` ones.
    pub collector_passes: IntCounterVec,
    /// `cursor`, `disorder`, `limited`, `refused`.
    pub collector_faults: IntCounterVec,
    /// How late events were that an earlier window should have had.
    pub collector_lateness: HistogramVec,
    /// Age of the time up to which everything is read and delivered.
    pub collector_age: prometheus::GaugeVec,
    /// Windows in a row that were not read.
    pub collector_failing: IntGaugeVec,
    /// 1 while the API refuses the key.
    pub collector_refused: IntGaugeVec,
    /// Rebalances seen: `assigned`, `revoked`, `lost`.
    pub rebalances: IntCounterVec,
    /// Offset commits.
    pub commits: IntCounterVec,
    /// Transactions, with exactly-once delivery: `committed`, `aborted`.
    pub transactions: IntCounterVec,
    /// Reloads of mappings, databases, and token and certificate of the admin port.
    pub reloads: IntCounterVec,
    /// 1 when everything that is reloaded was taken the last time it was read.
    pub reload_last_ok: IntGauge,
    /// When a reload was last taken. Unit: seconds since the Unix epoch.
    pub reload_success_time: IntGauge,
    /// How often mappings and databases were taken, the start included.
    pub mappings_generation: IntGauge,
    /// 1 when `/health/ready` answers 200.
    pub ready: IntGauge,
}

impl Metrics {
    /// Declares every metric.
    ///
    /// # Panics
    ///
    /// Never: names and labels are constants, and a test declares them.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let metrics = Metrics {
            messages: counter(&registry, "udmill_messages_total", "Messages taken from a source.", &["source"]),
            records: counter(&registry, "udmill_records_total", "Records found in messages.", &["source"]),
            parts: counter(&registry, "udmill_parts_total", "Parts by outcome.", &["mapping", "outcome", "code"]),
            events: counter(&registry, "udmill_events_total", "Events by event type.", &["mapping", "event_type", "fallback"]),
            actions: counter(&registry, "udmill_actions_total", "Events by security_result.action.", &["mapping", "action"]),
            tagged_events: counter(&registry, "udmill_tagged_events_total", "Events by security tag.", &["mapping", "tag"]),
            notes: counter(&registry, "udmill_notes_total", "Fields left out of events.", &["mapping", "code"]),
            bytes: counter(&registry, "udmill_bytes_total", "Bytes in and out.", &["mapping", "direction"]),
            drift_values: counter(&registry, "udmill_drift_values_total", "Values at paths that the mapping does not know.", &["mapping"]),
            drift_paths: gauge(
                &registry,
                "udmill_drift_paths",
                "Paths the mapping does not know, since it was loaded; at most 512.",
                &["mapping"],
            ),
            lag: gauge(&registry, "udmill_lag_messages", "Messages on the broker that are not settled.", &["source", "partition"]),
            last_message: gauge(&registry, "udmill_last_message_timestamp_seconds", "Unix time of the last message taken.", &["source"]),
            unsettled_age: seconds(&registry, "udmill_unsettled_age_seconds", "Age of the oldest unsettled message.", &["source"]),
            partition_unsettled_age: seconds(
                &registry,
                "udmill_partition_unsettled_age_seconds",
                "Age of the oldest unsettled message of a partition.",
                &["source", "partition"],
            ),
            partition_message_age: seconds(
                &registry,
                "udmill_partition_message_age_seconds",
                "Time since a partition's last message, or since its assignment.",
                &["source", "partition"],
            ),
            in_flight: gauge(&registry, "udmill_in_flight_bytes", "Bytes taken and not settled.", &["source"]),
            paused: gauge(&registry, "udmill_paused", "1 while backpressure holds the source.", &["source"]),
            latency: {
                let opts = HistogramOpts::new("udmill_latency_seconds", "Time a message takes, by stage.");
                let opts = opts.buckets(LATENCY_BOUNDS_SECONDS.to_vec());
                register(&registry, HistogramVec::new(opts, &["stage"]).expect("name and labels are constants that a test declares"))
            },
            cache_lookups: counter(&registry, "udmill_cache_lookups_total", "Look-ups in enrichment caches.", &["cache", "result"]),
            kafka_errors: counter(&registry, "udmill_kafka_errors_total", "Errors librdkafka reported.", &["role", "code"]),
            dead_letters: counter(&registry, "udmill_dead_letters_total", "Dead letters acknowledged.", &["stage", "code"]),
            archive_files: counter(&registry, "udmill_archive_files_total", "Attempts to write a file of an archive.", &["sink", "result"]),
            archive_bytes: counter(&registry, "udmill_archive_bytes_total", "Bytes of archive files, as they were written.", &["sink"]),
            archive_age: seconds(
                &registry,
                "udmill_archive_unwritten_age_seconds",
                "Age of the oldest line that is in no archive file yet.",
                &["sink"],
            ),
            delivered: counter(&registry, "udmill_delivered_total", "Events acknowledged, by output.", &["output"]),
            dropped: counter(
                &registry,
                "udmill_dropped_total",
                "Events that an output with `required = false` did not deliver.",
                &["output", "code"],
            ),
            collector_requests: counter(
                &registry,
                "udmill_collector_requests_total",
                "Requests to the OpenAI API, by how they ended.",
                &["listing", "result"],
            ),
            collector_events: counter(
                &registry,
                "udmill_collector_events_total",
                "Events in the API's answers: new, known before; and of the new ones only_deep, unknown_type, without_id, without_time.",
                &["listing", "kind"],
            ),
            collector_passes: counter(
                &registry,
                "udmill_collector_passes_total",
                "Windows of the audit log that were read to their end, by depth, and failed ones.",
                &["listing", "result"],
            ),
            collector_faults: counter(
                &registry,
                "udmill_collector_faults_total",
                "Oddities of the API: pages that do not lead on, pages in no order, 429 without end, a refused key.",
                &["listing", "kind"],
            ),
            collector_lateness: {
                let opts = HistogramOpts::new(
                    "udmill_collector_lateness_seconds",
                    "How late events were found that an earlier window should have had.",
                );
                let opts = opts.buckets(LATENESS_BOUNDS_SECONDS.to_vec());
                register(&registry, HistogramVec::new(opts, &["listing"]).expect("name and labels are constants that a test declares"))
            },
            collector_age: seconds(
                &registry,
                "udmill_collector_age_seconds",
                "Age of the time up to which the audit log is read and delivered.",
                &["listing"],
            ),
            collector_failing: gauge(
                &registry,
                "udmill_collector_failing_passes",
                "Windows in a row that were not read to their end.",
                &["listing"],
            ),
            collector_refused: gauge(&registry, "udmill_collector_refused", "1 while the API refuses the key.", &["listing"]),
            rebalances: counter(&registry, "udmill_rebalances_total", "Rebalances of the consumer group.", &["kind"]),
            commits: counter(&registry, "udmill_commits_total", "Offset commits.", &["result"]),
            transactions: counter(&registry, "udmill_transactions_total", "Transactions of exactly-once delivery.", &["result"]),
            reloads: counter(
                &registry,
                "udmill_reloads_total",
                "Reloads of mappings, databases, and token and certificate of the admin port.",
                &["result"],
            ),
            reload_last_ok: number(&registry, "udmill_reload_last_ok", "1 when nothing of the last reloads was refused, else 0."),
            reload_success_time: number(
                &registry,
                "udmill_reload_success_timestamp_seconds",
                "When a reload was last taken whole, the start included.",
            ),
            mappings_generation: number(
                &registry,
                "udmill_mappings_generation",
                "How often mappings and databases were taken, the start included.",
            ),
            ready: {
                let gauge = IntGauge::new("udmill_ready", "1 when /health/ready answers 200.");
                register(&registry, gauge.expect("name and labels are constants that a test declares"))
            },
            registry,
        };
        let build = gauge(&metrics.registry, "udmill_build_info", "Always 1; the version is a label.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// Adds a worker's counts.
    pub fn add(&self, source: &str, tally: &Tally) {
        self.records.with_label_values(&[source]).inc_by(tally.records);
        for ((mapping, outcome, code), count) in &tally.parts {
            self.parts.with_label_values(&[&**mapping, outcome.name(), &**code]).inc_by(*count);
        }
        for ((mapping, event_type, fallback), count) in &tally.events {
            self.events.with_label_values(&[&**mapping, &**event_type, if *fallback { "yes" } else { "no" }]).inc_by(*count);
        }
        for ((mapping, action), count) in &tally.actions {
            self.actions.with_label_values(&[&**mapping, *action]).inc_by(*count);
        }
        for ((mapping, tag), count) in &tally.tags {
            self.tagged_events.with_label_values(&[&**mapping, &**tag]).inc_by(*count);
        }
        for ((mapping, code), count) in &tally.notes {
            self.notes.with_label_values(&[&**mapping, *code]).inc_by(*count);
        }
        for (mapping, (bytes_in, bytes_out)) in &tally.bytes {
            self.bytes.with_label_values(&[&**mapping, "in"]).inc_by(*bytes_in);
            self.bytes.with_label_values(&[&**mapping, "out"]).inc_by(*bytes_out);
        }
        for (mapping, values) in &tally.drift {
            self.drift_values.with_label_values(&[&**mapping]).inc_by(*values);
        }
        for (cache, (hits, misses)) in &tally.caches {
            self.cache_lookups.with_label_values(&[*cache, "hit"]).inc_by(*hits);
            self.cache_lookups.with_label_values(&[*cache, "miss"]).inc_by(*misses);
        }
    }

    /// Lets the count of every tag begin at 0: an increase from nothing to 1 is none to Prometheus, and most tags are rare.
    pub fn begin_tags<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (mapping, tag) in tags {
            self.tagged_events.with_label_values(&[mapping, tag]).inc_by(0);
        }
    }

    /// The histogram of one stage, so that the look-up is not paid a message.
    pub fn latency_of(&self, stage: &str) -> Histogram {
        self.latency.with_label_values(&[stage])
    }

    /// Shows how many paths the loaded mappings do not know.
    pub fn show_drift(&self, drift: &Drift) {
        // A reload begins anew, and a mapping may be gone.
        self.drift_paths.reset();
        for (mapping, count) in drift.paths_by_mapping() {
            self.drift_paths.with_label_values(&[&*mapping]).set(count);
        }
    }

    /// Everything in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut bytes) {
            Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("# metrics could not be written: {error}\n"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry.register(Box::new(metric.clone())).expect("every name is declared once; a test declares them all");
    metric
}

fn number(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help).expect("name and labels are constants that a test declares"))
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels).expect("name and labels are constants that a test declares"))
}

fn seconds(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::GaugeVec {
    let made = prometheus::GaugeVec::new(Opts::new(name, help), labels);
    register(registry, made.expect("name and labels are constants that a test declares"))
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels).expect("name and labels are constants that a test declares"))
}

#[cfg(test)]
mod tests {
    use super::super::tally::Outcome;
    use super::*;

    #[test]
    fn a_tally_shows_in_the_page() {
        let metrics = Metrics::new();
        let mut tally = Tally { records: 3, ..Tally::default() };
        let mapping: std::sync::Arc<str> = "openai/audit".into();
        tally.parts(&mapping, Outcome::Emitted, &"".into(), 2);
        tally.parts(&mapping, Outcome::Rejected, &"time_missing".into(), 1);
        tally.events.insert((mapping.clone(), "USER_LOGIN".into(), false), 2);
        tally.caches.insert("user_agent", (5, 1));
        metrics.begin_tags([("azure/activity", "lock_delete"), ("azure/activity", "secret_delete")]);
        tally.tags.insert(("azure/activity".into(), "secret_delete".into()), 1);
        metrics.add("kafka", &tally);
        metrics.add("kafka", &tally);
        let page = metrics.text();
        for line in [
            "udmill_records_total{source=\"kafka\"} 6",
            "udmill_parts_total{code=\"time_missing\",mapping=\"openai/audit\",outcome=\"rejected\"} 2",
            "udmill_events_total{event_type=\"USER_LOGIN\",fallback=\"no\",mapping=\"openai/audit\"} 4",
            "udmill_tagged_events_total{mapping=\"azure/activity\",tag=\"lock_delete\"} 0",
            "udmill_tagged_events_total{mapping=\"azure/activity\",tag=\"secret_delete\"} 2",
            "udmill_cache_lookups_total{cache=\"user_agent\",result=\"hit\"} 10",
        ] {
            assert!(page.lines().any(|found| found == line), "expected `{line}` in:\n{page}");
        }
    }
}
