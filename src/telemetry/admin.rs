//! The admin port: `/metrics`, `/health/live`, `/health/ready`.
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::{Health, Metrics};

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
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), AdminError> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|cause| AdminError::Listen { address, cause })?;
    let bound = listener.local_addr().map_err(|cause| AdminError::Listen { address, cause })?;
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready_page))
        .with_state((metrics, health));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "admin port ended");
        }
    });
    Ok((bound, task))
}

type Shared = State<(Arc<Metrics>, Arc<Health>)>;

async fn metrics_page(State((metrics, health)): Shared) -> impl IntoResponse {
    metrics.ready.set(i64::from(health.is_ready()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
}

async fn ready_page(State((_, health)): Shared) -> impl IntoResponse {
    let faults = health.report();
    if faults.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, faults) }
}
