//! The admin port: `/metrics`, `/health/live`, `/health/ready`, `/drift`; over HTTP, or over TLS alone.
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
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

/// What the admin port asks for, kept as its hash: the text is nowhere in what can be printed, and comparing hashes takes the same time
/// wherever two texts differ, whatever their lengths.
pub struct AdminToken(blake3::Hash);

impl AdminToken {
    /// Of the token's text.
    pub fn new(text: &str) -> AdminToken {
        AdminToken(blake3::hash(text.as_bytes()))
    }
}

/// What the port asks for and what it shows itself with. A reload exchanges both at once.
#[derive(Default)]
pub struct AdminKeys {
    token: Option<AdminToken>,
    #[cfg(feature = "kafka")]
    pub(super) certificate: Option<super::AdminCertificate>,
}

impl AdminKeys {
    /// Asks for `token`, when there is one.
    pub fn new(token: Option<AdminToken>) -> AdminKeys {
        AdminKeys {
            token,
            #[cfg(feature = "kafka")]
            certificate: None,
        }
    }

    /// The same over TLS. Whether the port speaks TLS is settled when it is served; a later exchange changes the certificate only.
    #[cfg(feature = "kafka")]
    pub fn with_certificate(self, certificate: super::AdminCertificate) -> AdminKeys {
        AdminKeys { certificate: Some(certificate), ..self }
    }
}

/// The keys in force: every new connection and every request looks here.
pub type CurrentKeys = Arc<ArcSwap<AdminKeys>>;

/// Listens on `address` and serves until `stop` resolves. Answers the address really bound (port 0 picks one) and the task. With a
/// token, `/metrics` and `/drift` answer 401 to whoever does not send it; health is for probes, which cannot. With a certificate nobody is
/// answered but over TLS.
///
/// # Errors
///
/// [`AdminError::Listen`] when the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    keys: CurrentKeys,
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
        .with_state(Arc::new(Served { keys: Arc::clone(&keys), metrics, health, drift }));
    #[cfg(feature = "kafka")]
    if keys.load().certificate.is_some() {
        let listener = super::tls::TlsListener::new(listener, bound, keys);
        return Ok((bound, tokio::spawn(until(stop, listener, router))));
    }
    Ok((bound, tokio::spawn(until(stop, listener, router))))
}

async fn until<L>(stop: impl Future<Output = ()> + Send + 'static, listener: L, router: Router)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "admin port ended");
    }
}

struct Served {
    keys: CurrentKeys,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    drift: CurrentDrift,
}

type Shared = State<Arc<Served>>;

impl Served {
    /// Whether the request may see more than health.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let keys = self.keys.load();
        let Some(token) = &keys.token else { return true };
        let sent = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        // The scheme's case does not matter (RFC 9110, section 11.1).
        let Some((scheme, sent)) = sent.split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && blake3::hash(sent) == token.0
    }
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "send the token of `admin.token`\n").into_response()
}

async fn metrics_page(State(served): Shared, headers: HeaderMap) -> Response {
    if !served.admits(&headers) {
        return refused();
    }
    served.metrics.show_drift(&(served.drift)());
    served.metrics.ready.set(i64::from(served.health.is_ready()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], served.metrics.text()).into_response()
}

/// Paths that no mapping knows. They are names of members, never values.
async fn drift_page(State(served): Shared, headers: HeaderMap) -> Response {
    if !served.admits(&headers) {
        return refused();
    }
    ([(header::CONTENT_TYPE, "application/json")], (served.drift)().json() + "\n").into_response()
}

async fn ready_page(State(served): Shared) -> impl IntoResponse {
    let faults = served.health.report();
    if faults.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, faults) }
}

#[cfg(test)]
mod tests {
    use super::super::Drift;
    use super::*;
    use std::io::{Read as _, Write as _};

    fn fetch(address: SocketAddr, path: &str) -> String {
        fetch_with(address, path, "")
    }

    fn fetch_with(address: SocketAddr, path: &str, headers: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).expect("the port listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").expect("a request");
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
        let served = serve(([127, 0, 0, 1], 0).into(), CurrentKeys::default(), metrics, health, current, std::future::pending());
        let (address, _) = runtime.block_on(served).expect("a free port");
        let list = fetch(address, "/drift");
        assert!(list.starts_with("HTTP/1.1 200") && list.contains("application/json"), "{list}");
        assert!(list.contains(r#""path":"properties.new","type":"text","values":2"#), "{list}");
        let page = fetch(address, "/metrics");
        assert!(page.contains("udmill_drift_paths{mapping=\"azure/activity\"} 1"), "{page}");
    }

    #[test]
    fn with_a_token_only_health_is_open() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::starting()));
        let keys = Arc::new(ArcSwap::from_pointee(AdminKeys::new(Some(AdminToken::new("s3cret-canary")))));
        let served = serve(([127, 0, 0, 1], 0).into(), keys, metrics, health, Arc::new(Arc::default), std::future::pending());
        let (address, _) = runtime.block_on(served).expect("a free port");
        for (headers, status) in [
            ("", "401"),
            ("Authorization: Bearer\r\n", "401"),
            ("Authorization: Bearer s3cret\r\n", "401"),
            ("Authorization: Bearer s3cret-canary2\r\n", "401"),
            ("Authorization: Basic s3cret-canary\r\n", "401"),
            ("Authorization: Bearer s3cret-canary\r\n", "200"),
            ("authorization: bearer s3cret-canary\r\n", "200"),
        ] {
            for path in ["/metrics", "/drift"] {
                let answer = fetch_with(address, path, headers);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} with `{headers}`: {answer}");
                assert!(!answer.contains("s3cret"), "{answer}");
            }
        }
        assert!(fetch(address, "/health/live").starts_with("HTTP/1.1 200"));
        assert!(fetch(address, "/health/ready").starts_with("HTTP/1.1 503"), "it is starting");
    }
}
