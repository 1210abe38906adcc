//! Whether the process can do its work, and if not, why not.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// What must be well for the process to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The source's brokers can be reached and accept the credentials.
    Source,
    /// The consumer group has answered with an assignment.
    Assignment,
    /// The sink's brokers can be reached and accept the credentials.
    Sink,
    /// The same of a sink of `[sinks]`, by its number.
    OtherSink(u16),
    /// Transactions are committed.
    Transactions,
    /// Not draining and not stopped by a fault.
    Running,
}

impl Component {
    /// The word that health answers and log lines use.
    pub fn name(self) -> &'static str {
        match self {
            Component::Source => "source",
            Component::Assignment => "assignment",
            Component::Sink | Component::OtherSink(_) => "sink",
            Component::Transactions => "transactions",
            Component::Running => "running",
        }
    }
}

/// The faults that stand now, one text a component.
#[derive(Debug, Default)]
pub struct Health {
    faults: Mutex<BTreeMap<Component, String>>,
}

impl Health {
    /// Nothing is known to work yet, so nothing is ready.
    pub fn starting() -> Health {
        let health = Health::default();
        health.fail(Component::Source, "no broker has answered yet");
        health.fail(Component::Assignment, "the consumer group has not assigned partitions yet");
        health.fail(Component::Sink, "no broker has answered yet");
        health
    }

    /// Notes a fault. Answers whether it is news: a new component or another text, so that it is logged once.
    pub fn fail(&self, component: Component, reason: &str) -> bool {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.get(&component).is_some_and(|known| known == reason) {
            return false;
        }
        faults.insert(component, reason.to_owned());
        true
    }

    /// Notes that a component works. Answers whether a fault was standing.
    pub fn clear(&self, component: Component) -> bool {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(&component).is_some()
    }

    /// Whether nothing is known to be wrong.
    pub fn is_ready(&self) -> bool {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The fault of a component that stands.
    pub fn reason(&self, component: Component) -> Option<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(&component).cloned()
    }

    /// One line a fault: `component: reason`. Empty when ready.
    pub fn report(&self) -> String {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().fold(String::new(), |mut text, (component, reason)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}: {reason}", component.name());
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_news_once_and_ready_needs_all() {
        let health = Health::starting();
        assert!(health.fail(Component::Sink, "refused"));
        assert!(!health.fail(Component::Sink, "refused"));
        assert!(health.clear(Component::Source));
        assert!(!health.clear(Component::Source));
        health.clear(Component::Assignment);
        assert_eq!((health.is_ready(), health.report().as_str()), (false, "sink: refused\n"));
        health.clear(Component::Sink);
        assert!(health.is_ready());
    }
}
