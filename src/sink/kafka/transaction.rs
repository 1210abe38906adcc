//! The transactional half of the producer: begin, offsets, commit, abort.
//!
//! Every call may block up to its timeout and answers [`TransactionFault::Again`] when that passed: calling again goes on where it was
//! (librdkafka keeps the state of the call). All of them belong to one thread.
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::producer::{Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{Acks, KafkaSink, SinkError, make};

/// How long a producer that is replaced may take to give back what it was given. It throws it out, so a moment is enough.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do after a transactional call that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionFault {
    /// Not done yet; the same call again.
    Again(String),
    /// The transaction cannot be committed any more: abort it.
    Abort(String),
    /// Another producer took the transactional id, or the broker gave the transaction up. Only a new producer can go on; whether the
    /// last commit took place shows in the committed offsets.
    Fenced(String),
    /// The broker will never allow it.
    Refused(String),
}

impl<A: Acks> KafkaSink<A> {
    /// Gets a producer id; ends what an earlier producer of the same transactional id left open.
    ///
    /// # Errors
    ///
    /// [`TransactionFault`].
    pub fn init_transactions(&self, timeout: Duration) -> Result<(), TransactionFault> {
        self.producer.load().init_transactions(timeout).map_err(fault)
    }

    /// Begins a transaction; local only.
    ///
    /// # Errors
    ///
    /// [`TransactionFault`].
    pub fn begin(&self) -> Result<(), TransactionFault> {
        self.producer.load().begin_transaction().map_err(fault)
    }

    /// Puts positions, as (topic, partition, next offset), into the transaction. The group refuses them when `group` is not its member any
    /// more: that keeps a process that was thought dead from committing what another already reads.
    ///
    /// # Errors
    ///
    /// [`TransactionFault`].
    pub fn send_offsets(
        &self,
        positions: &[(Arc<str>, i32, i64)],
        group: &ConsumerGroupMetadata,
        timeout: Duration,
    ) -> Result<(), TransactionFault> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (topic, partition, offset) in positions {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(fault)?;
        }
        self.producer.load().send_offsets_to_transaction(&list, group, timeout).map_err(fault)
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// [`TransactionFault`]; after [`TransactionFault::Fenced`] the outcome is not known.
    pub fn commit(&self, timeout: Duration) -> Result<(), TransactionFault> {
        self.producer.load().commit_transaction(timeout).map_err(fault)
    }

    /// Aborts, throwing out what is not written yet.
    ///
    /// # Errors
    ///
    /// [`TransactionFault`].
    pub fn abort(&self, timeout: Duration) -> Result<(), TransactionFault> {
        self.producer.load().abort_transaction(timeout).map_err(fault)
    }

    /// Replaces the producer by a new one with the same transactional id; [`KafkaSink::init_transactions`] must follow. `alone`: it sends
    /// one message a request, which shows the one that is too large.
    ///
    /// # Errors
    ///
    /// [`SinkError::Settings`]: it was not made.
    pub fn renew(&self, alone: bool) -> Result<(), SinkError> {
        let mut config = self.config.clone();
        if alone {
            config.set("batch.num.messages", "1");
        }
        let producer = make(&config, &self.acks, &self.tokens, &self.room).map_err(|error| SinkError::Settings(error.to_string()))?;
        let former = self.producer.swap(Arc::new(producer));
        // What it still holds must come back, or the next transaction would wait for it for ever; dropping it waits for half a second only.
        former.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = former.flush(GIVE_BACK_TIMEOUT) {
            tracing::warn!(%error, "the former producer has not given everything back");
        }
        Ok(())
    }
}

fn fault(error: KafkaError) -> TransactionFault {
    let text = error.to_string();
    let KafkaError::Transaction(error) = error else { return TransactionFault::Fenced(text) };
    use RDKafkaErrorCode as Code;
    let refused = matches!(
        error.code(),
        Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedFeature
            | Code::InvalidTransactionTimeout
    );
    match error {
        _ if refused => TransactionFault::Refused(text),
        error if error.is_fatal() => TransactionFault::Fenced(text),
        error if RDKafkaError::txn_requires_abort(&error) => TransactionFault::Abort(text),
        error if error.is_retriable() || error.code() == Code::OperationTimedOut => TransactionFault::Again(text),
        // Neither: the producer is in a state that does not allow the call. A new one begins from a known state.
        _ => TransactionFault::Fenced(text),
    }
}
