//! A stand-in for Azure Event Hubs over AMQP 1.0, on loopback and in memory, for tests.
//!
//! It speaks what the vendor's SDK asks of the service: SASL ANONYMOUS, `$cbs` put-token, `$management` READ of hubs and partitions, links
//! that send single events and batches, and links that receive from an offset, a sequence number or a time, with owner epochs that displace
//! an earlier receiver. Faults are injected with [`Faults`]; [`Server::drop_connections`] cuts every connection.
//!
//! # What it does not do
//!
//! No TLS, no WebSockets, and any token is accepted unless told otherwise: neither signature nor claims are looked at. No retention, no
//! throttling, no idle time-out, no quotas, no partition keys (the sender names the partition or the stand-in takes the first), no
//! geo-replication, no schema registry. Consumer groups exist by being named. What passes here shows that the two sides understand each
//! other; it does not show how the service behaves under load, in failover or with real credentials.
mod serve;
mod state;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use state::State;
pub use state::{Event, Faults};

/// The namespace that clients are told: a name of nobody.
pub const NAMESPACE: &str = "stand-in.servicebus.windows.net";

/// A running stand-in. It ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// Starts with these hubs, each with so many partitions.
    ///
    /// # Errors
    ///
    /// No port or no thread was to be had.
    pub fn start(hubs: &[(&str, usize)]) -> std::io::Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("stand-in").enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(hubs));
        runtime.spawn(serve::listen(listener, Arc::clone(&state)));
        Ok(Server { address, state, runtime: Some(runtime) })
    }

    /// Where it listens, as the SDK's custom endpoint wants it.
    pub fn endpoint(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// A connection string of the namespace with a made-up key.
    pub fn connection_string(&self) -> String {
        format!("Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName=test;SharedAccessKey=bm90IGEgc2VjcmV0")
    }

    /// Faults that it shows from now on.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Puts an event into a partition without a client. Answers its sequence number, or `None` when there is no such partition.
    pub fn put(&self, hub: &str, partition: usize, body: &[u8]) -> Option<i64> {
        self.state.append(hub, partition, body.to_vec(), None)
    }

    /// All events of a hub, by partition and sequence number.
    pub fn events(&self, hub: &str) -> Vec<Event> {
        self.state.events(hub)
    }

    /// Looks at the body of every event of a hub where it lies: a million of them are not copied.
    pub fn each_body(&self, hub: &str, look: impl FnMut(&[u8])) {
        self.state.each_body(hub, look);
    }

    /// How many events a hub has.
    pub fn count(&self, hub: &str) -> usize {
        self.state.count(hub)
    }

    /// Cuts every connection without a word, as a failing load balancer does. Answers how many there were.
    pub fn drop_connections(&self) -> usize {
        let connections: Vec<TcpStream> = std::mem::take(&mut *self.state.connections());
        for connection in &connections {
            // The other side may have closed it already.
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        connections.len()
    }

    /// Receivers that were displaced by one with the same or a higher epoch, so far.
    pub fn stolen(&self) -> usize {
        self.state.stolen.load(Ordering::Acquire)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drop_connections();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
