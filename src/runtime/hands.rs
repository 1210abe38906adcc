//! Makes the sinks that the settings name, each with the one who is told what became of its messages.
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::delivery::{Delivery, Failure};
use super::spare::Spare;
use super::stop::Stop;
use crate::config::{Connection, Settings, Target, TokenCache};
use crate::sink::any::{Sink, Sinks};
use crate::sink::archive::ArchiveSink;
use crate::sink::kafka::{Acks, KafkaSink};
use crate::telemetry::{Component, Health, Metrics};

/// Who is told what.
pub struct Told<'a> {
    /// What comes back undelivered.
    pub failed: Sender<Failure>,
    /// Counts.
    pub metrics: &'a Arc<Metrics>,
    /// Faults that stand.
    pub health: &'a Arc<Health>,
    /// Reasons to stop.
    pub stop: &'a Arc<Stop>,
}

/// What the workers write with.
pub struct Hands {
    /// Required outputs and dead letters.
    pub sink: Sinks<Delivery>,
    /// By output: the sink of one that is not required.
    pub spares: Vec<Option<(Sink<Spare>, Arc<Spare>)>>,
    /// Who settles messages.
    pub delivery: Arc<Delivery>,
}

/// Makes every sink. Tokens that somebody must renew are added to `tokens`.
///
/// # Errors
///
/// A secret that cannot be read, or a setting that a client does not take.
pub fn sinks(
    settings: &Settings,
    told: &Told<'_>,
    transactional_id: Option<&str>,
    tokens: &mut Vec<Arc<TokenCache>>,
) -> Result<Hands, String> {
    let outputs: Vec<String> = settings.output.iter().map(|output| output.name.clone()).collect();
    let delivery = |target: &Target, component| {
        let whose = (component, target.section().to_owned(), target.identity());
        Arc::new(Delivery::new(told.failed.clone(), told.metrics, told.health, told.stop, &outputs, whose))
    };
    let first = settings.target(None);
    let settling = delivery(&first, Component::Sink);
    let sink = required(&first, &settling, transactional_id, tokens)?;
    // Sinks that only outputs which are not required write to are made below, for each of those.
    let names: Vec<&String> = settings
        .sinks
        .keys()
        .filter(|name| settings.output.iter().any(|output| output.required && output.sink.as_ref() == Some(name)))
        .collect();
    let mut others = Vec::new();
    for (number, name) in (1..).zip(&names) {
        let target = settings.target(Some(name));
        let component = Component::OtherSink(number);
        told.health.fail(component, &format!("{}: no broker has answered yet", target.section()));
        others.push(required(&target, &delivery(&target, component), None, tokens)?);
    }
    let number = |sink: &Option<String>| (1..).zip(&names).find(|(_, name)| sink.as_ref() == Some(**name)).map_or(0, |(number, _)| number);
    let of_outputs = settings.output.iter().map(|output| number(&output.sink)).collect();
    let mut spares = Vec::new();
    for output in &settings.output {
        let spare = (!output.required).then(|| Arc::new(Spare::new(&output.name, told.metrics)));
        let made = spare.map(|spare| Ok((spare_sink(&settings.target(output.sink.as_deref()), &spare, tokens)?, spare)));
        spares.push(made.transpose().map_err(|fault: String| format!("output `{}`: {fault}", output.name))?);
    }
    Ok(Hands { sink: Sinks::new(sink, others, of_outputs), spares, delivery: settling })
}

fn required<A: Acks>(
    target: &Target,
    acks: &Arc<A>,
    transactional_id: Option<&str>,
    tokens: &mut Vec<Arc<TokenCache>>,
) -> Result<Sink<A>, String> {
    let acks = Arc::clone(acks);
    match target {
        Target::Kafka(connection) => {
            let cache = self::tokens(connection, tokens)?;
            KafkaSink::new(connection, acks, cache, transactional_id).map(Sink::Kafka).map_err(|error| error.to_string())
        }
        #[cfg(feature = "eventhubs")]
        Target::EventHubs(namespace) => crate::sink::eventhubs::EventHubsSink::new(namespace.clone(), acks).map(Sink::EventHubs),
        #[cfg(not(feature = "eventhubs"))]
        Target::EventHubs(_) => Err("this program was built without the feature `eventhubs`".to_owned()),
        Target::Archive(_, archive) => ArchiveSink::new(archive, acks).map(Sink::Archive),
    }
}

fn spare_sink(target: &Target, acks: &Arc<Spare>, tokens: &mut Vec<Arc<TokenCache>>) -> Result<Sink<Spare>, String> {
    let acks = Arc::clone(acks);
    match target {
        Target::Kafka(connection) => {
            let cache = self::tokens(connection, tokens)?;
            KafkaSink::spare(connection, acks, cache).map(Sink::Kafka).map_err(|error| error.to_string())
        }
        #[cfg(feature = "eventhubs")]
        Target::EventHubs(namespace) => crate::sink::eventhubs::EventHubsSink::spare(namespace.clone(), acks).map(Sink::EventHubs),
        #[cfg(not(feature = "eventhubs"))]
        Target::EventHubs(_) => Err("this program was built without the feature `eventhubs`".to_owned()),
        Target::Archive(..) => Err("an archive must be waited for; leave `required` out".to_owned()),
    }
}

/// The cache of a connection's token, when it has one; it is added to those that are renewed.
///
/// # Errors
///
/// As [`Connection::tokens`].
pub fn tokens(connection: &Connection, all: &mut Vec<Arc<TokenCache>>) -> Result<Option<Arc<TokenCache>>, String> {
    let cache = connection.tokens()?.map(Arc::new);
    all.extend(cache.clone());
    Ok(cache)
}
