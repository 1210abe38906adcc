//! The admin port: `/metrics`, `/health/live`, `/health/ready`, `/drift`.
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::{CurrentDrift, Health, Metrics};

/// Why the admin port is not served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or not ours.
    #[error("admin port: cannot listen on `{address}`: {cause}; set `admin.listen` to a free address")]
    Listen {
        /// The address as set.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
}

/// Listens on `address` and serves until `stop` resolves. Answers the address really bound (port 0 picks one) and the task.
///
/// # Errors
///
/// [`AdminError::Listen`] when the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    drift: CurrentDrift,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), AdminError> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|cause| AdminError::Listen { address, cause })?;
    let bound = listener.local_addr().map_err(|cause| AdminError::Listen { address, cause })?;
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready_page))
        .route("/drift", get(drift_page))
        .with_state((metrics, health, drift));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "admin port ended");
        }
    });
    Ok((bound, task))
}

type Shared = State<(Arc<Metrics>, Arc<Health>, CurrentDrift)>;

async fn metrics_page(State((metrics, health, drift)): Shared) -> impl IntoResponse {
    metrics.show_drift(&drift());
    metrics.ready.set(i64::from(health.is_ready()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
}

/// Paths that no mapping knows. They are names of members, never values.
async fn drift_page(State((_, _, drift)): Shared) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], drift().json() + "\n")
}

async fn ready_page(State((_, health, _)): Shared) -> impl IntoResponse {
    let faults = health.report();
    if faults.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, faults) }
}

#[cfg(test)]
mod tests {
    use super::super::Drift;
    use super::*;
    use std::io::{Read as _, Write as _};

    fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).expect("the port listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn drift_is_listed_and_counted() {
        let drift = Arc::new(Drift::default());
        drift.entry(&Arc::from("azure/activity"), "properties.new", "text", 0).expect("room").add(2);
        let current: CurrentDrift = Arc::new(move || Arc::clone(&drift));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::starting()));
        let served = serve(([127, 0, 0, 1], 0).into(), metrics, health, current, std::future::pending());
        let (address, _) = runtime.block_on(served).expect("a free port");
        let list = fetch(address, "/drift");
        assert!(list.starts_with("HTTP/1.1 200") && list.contains("application/json"), "{list}");
        assert!(list.contains(r#""path":"properties.new","type":"text","values":2"#), "{list}");
        let page = fetch(address, "/metrics");
        assert!(page.contains("udmill_drift_paths{mapping=\"azure/activity\"} 1"), "{page}");
    }
}
