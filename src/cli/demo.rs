//! `udmill demo`: the whole flow in one process. A Kafka broker runs inside it; sample messages go through the real source, engine and sink,
//! and what arrives on the topics is shown.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::paint::{BAD, FAINT, GOOD, STRONG, WARN};
use super::{Exit, Failure, run};
use crate::config::{Settings, header};
use crate::runtime::{Ended, RunError, Stop, run_until};
use crate::telemetry::init_log;

/// Arguments of `udmill demo`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill demo\n  \
    udmill demo --stay          # then: curl http://127.0.0.1:9464/metrics\n\n\
    The broker inside is librdkafka's stand-in: it speaks Kafka, keeps nothing and is gone with the process.")]
pub struct Args {
    /// Address of metrics and health; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Go on serving metrics until Ctrl-C [default: on a terminal]
    #[arg(long)]
    stay: bool,
}

/// What is sent: name and messages, each as a source would have it.
const SAMPLES: &[(&str, &str, Packing)] = &[
    ("OpenAI audit events", include_str!("../../tests/samples/openai/by-type-session.ndjson"), Packing::Lines(12)),
    ("an Azure Activity Log batch", include_str!("../../tests/samples/azure/activity/sumologic-activity.payload.json"), Packing::Whole),
    ("NSG flow logs", include_str!("../../tests/samples/azure/nsg_flow/constructed-nsg-v1.ndjson"), Packing::Lines(1)),
    (
        "an Azure OpenAI resource's diagnostics",
        include_str!("../../tests/samples/azure/azure_openai/constructed-cognitiveservices.ndjson"),
        Packing::Lines(3),
    ),
    ("a message that breaks off", include_str!("../../tests/samples/azure/defects/truncated.payload.json"), Packing::Whole),
];

#[derive(Clone, Copy)]
enum Packing {
    Whole,
    /// The first so many lines, a message each.
    Lines(usize),
}

const SOURCE: &str = "audit-logs";
const EVENTS: &str = "udm-events";
const LETTERS: &str = "udm-dead-letters";
const PARTITIONS: i32 = 2;
/// Within this time everything must have come through, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the command.
///
/// # Errors
///
/// A taken port (exit 2); anything that does not come through in time (exit 1).
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let failed = |what: &str, fault: &dyn std::fmt::Display| Failure { exit: Exit::Io, text: format!("{what}: {fault}") };
    // The port is chosen here, so that what is told is where it listens.
    let listen = free_address(args.listen)?;
    let cluster = MockCluster::new(1).map_err(|fault| failed("the broker inside", &fault))?;
    for topic in [SOURCE, EVENTS, LETTERS] {
        cluster.create_topic(topic, PARTITIONS, 1).map_err(|fault| failed("the broker inside", &fault))?;
    }
    let servers = cluster.bootstrap_servers();
    let settings = settings(&servers, listen)?;
    // Warnings of the clients inside would only disturb; errors are told.
    init_log(false, "error").map_err(Failure::config)?;
    let mills = run::mills(&settings)?;
    let stop = Arc::new(Stop::default());
    let running = thread::spawn({
        let stop = Arc::clone(&stop);
        move || run_until(&settings, mills, stop)
    });

    anstream::println!(
        "{STRONG}a Kafka broker inside this process{STRONG:#} {FAINT}{servers}, topics {SOURCE} -> {EVENTS}, {LETTERS}{FAINT:#}"
    );
    let sent = produce(&servers).map_err(|fault| failed("sending the samples", &fault))?;
    let outcome = watch(&servers, listen, sent, || running.is_finished());
    if outcome.is_ok() {
        anstream::println!("{FAINT}metrics and health at http://{listen}/metrics and http://{listen}/health/ready{FAINT:#}");
        if args.stay || (std::io::stdout().is_terminal() && std::io::stdin().is_terminal()) {
            anstream::println!("Ctrl-C ends it.");
            while !running.is_finished() {
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
    stop.drain();
    let ended = running.join().map_err(|_| Failure { exit: Exit::Io, text: "the stream processor failed".to_owned() })?;
    match ended {
        Ok(Ended::Drained) => outcome.map(|()| Exit::Done),
        Ok(Ended::CutShort { unsettled }) => Err(failed("the end", &format!("{unsettled} messages were not settled"))),
        Err(RunError::Settings(what)) => Err(Failure::config(what)),
        Err(RunError::Fatal(what)) => Err(failed("the stream processor stopped", &what)),
    }
}

/// The address itself, or with port 0 a free one.
fn free_address(wished: SocketAddr) -> Result<SocketAddr, Failure> {
    std::net::TcpListener::bind(wished).and_then(|listener| listener.local_addr()).map_err(|fault| {
        Failure::config(format!("metrics cannot be served at {wished}: {fault}; `--listen 127.0.0.1:0` takes any free port"))
    })
}

/// The settings of the demo, read like any others.
fn settings(servers: &str, listen: SocketAddr) -> Result<Settings, Failure> {
    let text = format!(
        "[admin]\nlisten = \"{listen}\"\n[source.kafka]\nbootstrap_servers = \"{servers}\"\ntopics = [\"{SOURCE}\"]\ngroup_id = \"demo\"\n\
         [[output]]\nname = \"siem\"\ntopic = \"{EVENTS}\"\nprofile = \"typed\"\n[dead_letter]\ntopic = \"{LETTERS}\"\n"
    );
    Settings::read("the demo's settings", &text).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::config(lines.join("\n"))
    })
}

/// Sends the samples; gives how many messages that were.
fn produce(servers: &str) -> Result<u64, String> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create().map_err(|fault| fault.to_string())?;
    let mut sent = 0;
    for (name, text, packing) in SAMPLES {
        let messages: Vec<&str> = match packing {
            Packing::Whole => vec![text],
            Packing::Lines(count) => text.lines().filter(|line| !line.trim().is_empty()).take(*count).collect(),
        };
        anstream::println!("{FAINT}  sent{FAINT:#}  {name} {FAINT}({}){FAINT:#}", messages.len());
        for message in messages {
            producer.send(BaseRecord::<(), str>::to(SOURCE).payload(message)).map_err(|(fault, _)| fault.to_string())?;
            sent += 1;
        }
    }
    producer.flush(DEADLINE).map_err(|fault| fault.to_string())?;
    Ok(sent)
}

/// Shows what arrives until all is settled and seen.
fn watch(servers: &str, listen: SocketAddr, sent: u64, ended: impl Fn() -> bool) -> Result<(), Failure> {
    let failed = |what: String| Failure { exit: Exit::Io, text: what };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "demo-viewer")
        .create()
        .map_err(|fault| failed(fault.to_string()))?;
    let mut places = TopicPartitionList::new();
    for topic in [EVENTS, LETTERS] {
        for partition in 0..PARTITIONS {
            places.add_partition_offset(topic, partition, Offset::Beginning).map_err(|fault| failed(fault.to_string()))?;
        }
    }
    consumer.assign(&places).map_err(|fault| failed(fault.to_string()))?;
    let deadline = Instant::now() + DEADLINE;
    let (mut events, mut letters) = (0_u64, 0_u64);
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) if message.topic() == EVENTS => {
                events += 1;
                show_event(&message, events == 1);
            }
            Some(Ok(message)) => {
                letters += 1;
                show_letter(&message);
            }
            Some(Err(fault)) => return Err(failed(format!("reading the topics: {fault}"))),
            None => {
                let page = metrics(listen).unwrap_or_default();
                let delivered = sum(&page, "udmill_delivered_total");
                let acknowledged = sum(&page, "udmill_dead_letters_total");
                // Nothing taken is on its way, and all that was acknowledged has been shown.
                let settled = sum(&page, "udmill_messages_total") == sent && sum(&page, "udmill_in_flight_bytes") == 0;
                if settled && delivered == events && acknowledged == letters && events > 0 {
                    summarize(&page, sent);
                    return Ok(());
                }
            }
        }
        if ended() {
            return Err(failed("the stream processor ended early".to_owned()));
        }
        if Instant::now() > deadline {
            return Err(failed(format!(
                "{} s passed: {events} events and {letters} dead letters of {sent} messages arrived",
                DEADLINE.as_secs()
            )));
        }
    }
}

fn header_of(message: &BorrowedMessage<'_>, name: &str) -> String {
    let found = message.headers().and_then(|headers| headers.iter().find(|header| header.key == name)?.value);
    String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
}

/// One line an event; the first one also whole.
fn show_event(message: &BorrowedMessage<'_>, whole: bool) {
    let event: Value = serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default();
    if whole {
        let text = serde_json::to_string_pretty(&event).unwrap_or_default();
        anstream::println!("\n{STRONG}the first event on {EVENTS}{STRONG:#}\n{text}\n");
    }
    let first = |paths: &[&str]| {
        let found = paths.iter().find_map(|path| event.pointer(path)?.as_str().filter(|text| !text.is_empty()));
        found.unwrap_or("-").chars().filter(|c| !c.is_control()).take(44).collect::<String>()
    };
    anstream::println!(
        "{GOOD}{:<30}{GOOD:#} {:<44} {:<32} {FAINT}{}{FAINT:#}",
        first(&["/metadata/eventType"]),
        first(&["/metadata/productEventType"]),
        first(&["/principal/user/emailAddresses/0", "/principal/user/userid", "/principal/ip/0"]),
        header_of(message, header::MAPPING),
    );
}

fn show_letter(message: &BorrowedMessage<'_>) {
    let detail: String = header_of(message, header::DETAIL).chars().filter(|c| !c.is_control()).collect();
    anstream::println!("{BAD}{:<30}{BAD:#} {} {FAINT}{detail}{FAINT:#}", "dead letter", header_of(message, header::CODE));
}

/// What the process counted, in a few lines.
fn summarize(page: &str, sent: u64) {
    let parts = |outcome: &str| sum(page, &format!("udmill_parts_total{{outcome=\"{outcome}\"}}"));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{sent} messages, {} records: {} parts ", sum(page, "udmill_records_total"), sum(page, "udmill_parts_total"));
    let _ = write!(text, "= {} emitted + {} rejected + {} skipped", parts("emitted"), parts("rejected"), parts("skipped"));
    let style = if sum(page, "udmill_parts_total") == parts("emitted") + parts("rejected") + parts("skipped") { GOOD } else { WARN };
    anstream::println!("\n{style}{text}{style:#}");
}

/// Adds the samples of a metric, optionally those with one label: `name` or `name{label="value"}`.
fn sum(page: &str, wanted: &str) -> u64 {
    let (name, label) = wanted.split_once('{').map_or((wanted, ""), |(name, label)| (name, label.trim_end_matches('}')));
    let samples = page.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
    });
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
}

/// The metrics page, as any scraper gets it.
fn metrics(listen: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&listen, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    #[test]
    fn samples_of_a_metric_add_up() {
        let page = "# HELP a_total x\na_total{x=\"1\",outcome=\"emitted\"} 2\na_total{outcome=\"rejected\"} 3\na_total_more 9\nb 4\n";
        for (wanted, expected) in [("a_total", 5), ("a_total{outcome=\"emitted\"}", 2), ("b", 4), ("c", 0)] {
            assert_eq!(super::sum(page, wanted), expected, "case: {wanted}");
        }
    }
}
