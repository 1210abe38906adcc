//! TLS of the admin port: the certificate with its key, and the connections whose handshake is done.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

use super::CurrentKeys;

/// A client that has not shown by then what it wants is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at a time. A scraper and some probes need a few; the rest of them waits in the system's queue.
const HANDSHAKES_MAX: usize = 64;

/// A certificate with its key, as every new connection gets it: TLS 1.2 or 1.3, HTTP/1.1.
pub struct AdminCertificate(Arc<ServerConfig>);

impl AdminCertificate {
    /// Reads the files of `admin.tls.certificate` and `admin.tls.key`, PEM, and sees that the key is the certificate's. Whether the
    /// certificate is in force and whom it names is for clients to judge.
    ///
    /// # Errors
    ///
    /// All faults, a line each: file and way out, nothing of what the files hold.
    pub fn read(certificate: &str, key: &str) -> Result<AdminCertificate, Vec<String>> {
        let (chain, secret) = match (chain(certificate), secret(key)) {
            (Ok(chain), Ok(secret)) => (chain, secret),
            (chain, secret) => return Err([chain.err(), secret.err()].into_iter().flatten().collect()),
        };
        let usable = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
        let mut config = usable.map_err(|error| match error {
            Error::InconsistentKeys(_) => vec![format!(
                "`admin.tls.key`: the key in `{key}` is not that of the certificate in `{certificate}`; name the two files of one pair, \
                 the port's own certificate first in its file"
            )],
            error => vec![format!("`admin.tls`: the certificate in `{certificate}` with the key in `{key}` cannot be used: {error}")],
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(AdminCertificate(Arc::new(config)))
    }
}

fn chain(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read("certificate", path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    if chain.is_empty() {
        let expected = "expected PEM, the port's own certificate first, with line ends as they were";
        return Err(format!("`admin.tls.certificate`: the file `{path}` holds no certificate, or a broken one; {expected}"));
    }
    Ok(chain)
}

fn secret(path: &str) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read("key", path)?;
    // The fault may quote a line, and the line may be the key.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let expected = "expected PEM (PKCS#8, PKCS#1 or SEC1) without a password, with line ends as they were";
        format!("`admin.tls.key`: the file `{path}` holds no private key, or a broken one; {expected}")
    })
}

fn read(setting: &str, path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("`admin.tls.{setting}`: the file `{path}` was not read: {error}"))
}

/// Hands on the connections whose handshake is done. Each handshake is a task of its own, so a client that connects and says nothing
/// holds up nobody.
pub(super) struct TlsListener {
    done: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    /// Takes connections from `tcp`, bound to `address`, until this is dropped. A connection is shown the certificate that is in force
    /// when it comes.
    pub(super) fn new(tcp: TcpListener, address: SocketAddr, keys: CurrentKeys) -> TlsListener {
        let (sender, done) = mpsc::channel(1);
        tokio::spawn(take(tcp, keys, sender));
        TlsListener { done, address }
    }
}

async fn take(mut tcp: TcpListener, keys: CurrentKeys, sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let (stream, from) = tokio::select! {
            taken = Listener::accept(&mut tcp) => taken,
            () = sender.closed() => return,
        };
        let Some(config) = keys.load().certificate.as_ref().map(|certificate| Arc::clone(&certificate.0)) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            let _permit = permit;
            // Below INFO: whoever scans the network would fill the log.
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
                // The listener is gone only when the port ends.
                Ok(Ok(stream)) => drop(sender.send((stream, from)).await),
                Ok(Err(error)) => tracing::debug!(%from, %error, "admin port: no TLS connection"),
                Err(_) => tracing::debug!(%from, "admin port: no TLS handshake in time"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.done.recv().await {
            Some(connection) => connection,
            // The task that takes connections ended with the runtime.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
