//! An authority made for one test, the certificates that it signs, and a client that trusts nobody else.
//!
//! Certificates are written here, in the few fields that RFC 5280 asks for, because every package that makes them brings a C library into
//! the tests of the core, which have none (`cargo test --no-default-features`). Keys are Ed25519: any 32 bytes are one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::SigningKey;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned, crypto};

/// Signs certificates.
pub struct Authority {
    name: String,
    key: Arc<dyn SigningKey>,
    certificate: CertificateDer<'static>,
}

/// A certificate for this machine, and its key.
pub struct Pair {
    /// As a client is shown it.
    pub certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn pem(label: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A number that this process has not given before.
fn number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// A new key: PKCS#8 around 32 bytes (RFC 8410, section 7), and what signs with it.
fn key() -> (Vec<u8>, Arc<dyn SigningKey>) {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let seed = blake3::hash(format!("{nanos} {} {}", std::process::id(), number()).as_bytes());
    let seed = der(0x04, &[&der(0x04, &[seed.as_bytes()])]);
    let pkcs8 = der(0x30, &[&der(0x02, &[&[0]]), &ed25519(), &seed]);
    let provider = crypto::aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.clone().into()));
    (pkcs8, signing.expect("any 32 bytes are a key"))
}

/// A value in DER: tag, length, content.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => out.push(length),
        Ok(length) => out.extend([0x81, length]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(content.len()).expect("certificates of tests are short").to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// The algorithm 1.3.101.112.
fn ed25519() -> Vec<u8> {
    der(0x30, &[&der(0x06, &[&[0x2b, 0x65, 0x70]])])
}

/// A name of one common name (2.5.4.3).
fn common_name(name: &str) -> Vec<u8> {
    let pair = der(0x30, &[&der(0x06, &[&[0x55, 0x04, 0x03]]), &der(0x0c, &[name.as_bytes()])]);
    der(0x30, &[&der(0x31, &[&pair])])
}

/// Certificate of `subject` and its key, signed by `signer`, whose name is `issuer`.
fn certificate(issuer: &str, signer: &dyn SigningKey, subject: &str, key: &dyn SigningKey, extension: &[u8]) -> CertificateDer<'static> {
    let public = key.public_key().expect("a public key");
    let body = der(
        0x30,
        &[
            // Version 3.
            &der(0xa0, &[&der(0x02, &[&[2]])]),
            &der(0x02, &[&[1], &number().to_be_bytes()]),
            &ed25519(),
            &common_name(issuer),
            &der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x17, &[b"491231235959Z"])]),
            &common_name(subject),
            public.as_ref(),
            &der(0xa3, &[&der(0x30, &[extension])]),
        ],
    );
    let signature = signer.choose_scheme(&[SignatureScheme::ED25519]).expect("the key's own").sign(&body).expect("signed");
    // No bit of the last byte is unused.
    der(0x30, &[&body, &ed25519(), &der(0x03, &[&[0], &signature])]).into()
}

impl Authority {
    /// One that nobody has heard of.
    pub fn new() -> Authority {
        // With one name for all, another authority's signature would look like a broken one.
        let name = format!("authority {}", number());
        let (_, key) = key();
        // basicConstraints (2.5.29.19), critical: it is an authority.
        let yes = der(0x01, &[&[0xff]]);
        let basic = der(0x30, &[&der(0x06, &[&[0x55, 0x1d, 0x13]]), &yes, &der(0x04, &[&der(0x30, &[&yes])])]);
        let certificate = certificate(&name, &*key, &name, &*key, &basic);
        Authority { name, key, certificate }
    }

    /// A new pair for `localhost` and 127.0.0.1.
    pub fn pair(&self) -> Pair {
        let (bytes, key) = key();
        // subjectAltName (2.5.29.17).
        let names = der(0x30, &[&der(0x82, &[b"localhost"]), &der(0x87, &[&[127, 0, 0, 1]])]);
        let names = der(0x30, &[&der(0x06, &[&[0x55, 0x1d, 0x11]]), &der(0x04, &[&names])]);
        Pair { certificate: certificate(&self.name, &*self.key, "localhost", &*key, &names), key: bytes }
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// Asks for a page over TLS, trusting this authority alone: the whole answer and the certificate that was shown.
    pub fn fetch(&self, address: &str, path: &str, headers: &str) -> Result<(String, CertificateDer<'static>), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let mut stream = StreamOwned::new(client, socket);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
            .map_err(|error| error.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first).ok_or("no certificate")?;
        Ok((answer, shown.clone().into_owned()))
    }
}

impl Pair {
    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The key, PEM.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// Writes `admin.pem` and `admin.key`.
    pub fn write(&self, folder: &Path) {
        fs::write(folder.join("admin.pem"), self.certificate_pem()).expect("a certificate is written");
        fs::write(folder.join("admin.key"), self.key_pem()).expect("a key is written");
    }
}
