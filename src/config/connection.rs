//! How to reach a Kafka cluster, as settings of librdkafka.
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::eventhubs::Credential;
use super::secret::{Secret, SecretRef};
use super::token::TokenCache;

/// What stands behind the Kafka protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionKind {
    /// Apache Kafka and what behaves like it.
    Kafka,
    /// The Kafka endpoint of Azure Event Hubs.
    EventhubsKafka,
}

/// `security.protocol` of librdkafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// No encryption, nobody is asked who he is.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption: secrets cross the network in the clear with PLAIN and OAUTHBEARER.
    SaslPlaintext,
    /// TLS and SASL.
    SaslSsl,
}

/// `sasl.mechanism` of librdkafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Mechanism {
    /// User and password.
    #[serde(rename = "PLAIN")]
    Plain,
    /// User and password, never sent.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// User and password, never sent.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token that somebody else refreshes.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// `[source.kafka.security]`, `[sink.kafka.security]`, `[sinks.NAME.kafka.security]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`. Default: `sasl_ssl` with a mechanism or connection string, else `ssl` with a
    /// `ca_file`, else `plaintext`.
    pub protocol: Option<Protocol>,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`. Default: `PLAIN` when a user name is set.
    pub mechanism: Option<Mechanism>,
    /// User for PLAIN and SCRAM.
    pub username: Option<String>,
    /// Password for PLAIN and SCRAM, as `{ env = "NAME" }` or `{ file = "PATH" }`.
    pub password: Option<SecretRef>,
    /// Event Hubs: the namespace's or hub's connection string; sets user `$ConnectionString`, PLAIN and the server.
    pub connection_string: Option<SecretRef>,
    /// Token for OAUTHBEARER: a JWT. A file is read again before the token expires, so another program can renew it.
    pub token: Option<SecretRef>,
    /// Event Hubs: who asks Entra for an OAUTHBEARER token, which is renewed by itself: `environment` (a client secret),
    /// `workload_identity` or `managed_identity`.
    pub credential: Option<Credential>,
    /// Client id of a user-assigned managed identity. Default: the system-assigned one.
    pub client_id: Option<String>,
    /// Authorities that may sign the broker's certificate, PEM. Default: the system's.
    pub ca_file: Option<String>,
    /// Own certificate, PEM, for brokers that ask for one.
    pub certificate_file: Option<String>,
    /// Its key, PEM.
    pub key_file: Option<String>,
}

/// A cluster and how to be let in.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Section of the settings it comes from, for messages.
    pub section: Cow<'static, str>,
    /// As set; [`Connection::is_eventhubs`] resolves the default.
    pub kind: Option<ConnectionKind>,
    /// `host:port`, several with commas.
    pub bootstrap_servers: String,
    /// TLS and SASL.
    pub security: Security,
    /// Settings passed through.
    pub librdkafka: BTreeMap<String, String>,
}

/// Settings of librdkafka that udmill's own promises rest on.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `bootstrap_servers`"),
    ("metadata.broker.list", "set `bootstrap_servers`"),
    ("group.id", "set `group_id`"),
    ("enable.auto.offset.store", "offsets are stored only when everything of a message is acknowledged"),
    ("enable.auto.commit", "offsets are stored only when everything of a message is acknowledged"),
    ("enable.partition.eof", "it changes nothing here"),
    ("transactional.id", "set `run.delivery`"),
    ("sasl.username", "set `security.username`"),
    ("sasl.password", "secrets come from the environment or a file: set `security.password`"),
    ("sasl.oauthbearer.client.secret", "secrets come from the environment or a file: set `security.token`"),
    ("ssl.key.password", "secrets come from the environment or a file"),
];

impl Connection {
    /// Whether this is the Kafka endpoint of Event Hubs: said so, or known by the server's name.
    pub fn is_eventhubs(&self) -> bool {
        match self.kind {
            Some(kind) => kind == ConnectionKind::EventhubsKafka,
            None => self.bootstrap_servers.contains(".servicebus.") || self.security.connection_string.is_some(),
        }
    }

    /// The mechanism with the default resolved; `None` without SASL.
    pub fn mechanism(&self) -> Option<Mechanism> {
        let named = self.security.username.is_some() || self.security.connection_string.is_some();
        let token = self.security.token.is_some() || self.security.credential.is_some();
        self.security.mechanism.or(named.then_some(Mechanism::Plain)).or(token.then_some(Mechanism::OauthBearer))
    }

    fn protocol(&self) -> Protocol {
        self.security.protocol.unwrap_or(match (self.mechanism(), &self.security.ca_file) {
            (Some(_), _) => Protocol::SaslSsl,
            (None, _) if self.is_eventhubs() => Protocol::SaslSsl,
            (None, Some(_)) => Protocol::Ssl,
            (None, None) => Protocol::Plaintext,
        })
    }

    /// Who asks to be let in, for messages: mechanism and user, never a secret.
    pub fn identity(&self) -> String {
        match (self.mechanism(), &self.security.username) {
            (None, _) => "no credentials".to_owned(),
            (Some(mechanism), Some(user)) => format!("{}, user `{user}`", mechanism.name()),
            (Some(mechanism), None) if self.security.connection_string.is_some() => format!("{}, connection string", mechanism.name()),
            (Some(mechanism), None) => mechanism.name().to_owned(),
        }
    }

    /// What does not fit together, as (key, what to do).
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let section = &self.section;
        let mut found = Vec::new();
        let mut say = |key: &'static str, what: String| found.push((key, what));
        let security = &self.security;
        if self.bootstrap_servers.trim().is_empty() && security.connection_string.is_none() {
            say("bootstrap_servers", format!("`{section}.bootstrap_servers` is missing; write `host:port`"));
        }
        let sasl = matches!(self.protocol(), Protocol::SaslPlaintext | Protocol::SaslSsl);
        match self.mechanism() {
            None if sasl && self.is_eventhubs() => {
                say("security", format!("`{section}.security`: Event Hubs wants `connection_string`, a `credential`, or a `token`"));
            }
            None if sasl => say("protocol", format!("`{section}.security`: a SASL protocol without `mechanism`")),
            Some(mechanism) if !sasl => {
                say("mechanism", format!("`{section}.security`: mechanism {} needs `protocol = \"sasl_ssl\"`", mechanism.name()))
            }
            Some(Mechanism::OauthBearer) if security.token.is_some() == security.credential.is_some() => {
                say(
                    "mechanism",
                    format!(
                        "`{section}.security`: OAUTHBEARER needs `token = {{ file = \"PATH\" }}` or `{{ env = \"NAME\" }}`, or a `credential` that asks Entra, and not both"
                    ),
                );
            }
            Some(Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha512)
                if security.connection_string.is_none() && (security.username.is_none() || security.password.is_none()) =>
            {
                say("mechanism", format!("`{section}.security`: this mechanism needs `username` and `password`"));
            }
            _ => {}
        }
        if security.credential.is_some() && cfg!(not(feature = "eventhubs")) {
            say("credential", format!("`{section}.security.credential`: this program was built without the feature `eventhubs`"));
        }
        if security.connection_string.is_some()
            && (security.credential.is_some() || security.username.is_some() || security.password.is_some() || security.token.is_some())
        {
            say(
                "connection_string",
                format!("`{section}.security`: `connection_string` stands for user and password; leave the others out"),
            );
        }
        for reference in [&security.password, &security.connection_string, &security.token].into_iter().flatten() {
            if reference.env.is_some() == reference.file.is_some() {
                say("security", format!("`{section}.security`: a secret names exactly one of `env` and `file`"));
            }
        }
        if security.certificate_file.is_some() != security.key_file.is_some() {
            say("security", format!("`{section}.security`: `certificate_file` and `key_file` come together"));
        }
        for (key, why) in OWNED {
            if self.librdkafka.contains_key(*key) {
                say("librdkafka", format!("`{section}.librdkafka` sets `{key}`; {why}"));
            }
        }
        found
    }

    /// What Event Hubs refuses of a producer.
    pub(super) fn producer_faults(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.is_eventhubs() {
            for key in ["compression.type", "compression.codec"] {
                if let Some(codec) = self.librdkafka.get(key).filter(|codec| !["none", "gzip"].contains(&codec.as_str())) {
                    found.push((
                        "librdkafka",
                        format!(
                            "`{}.librdkafka` sets `{key}` to `{codec}`; Event Hubs takes `none`, and `gzip` on Premium and Dedicated",
                            self.section
                        ),
                    ));
                }
            }
        }
        found
    }

    /// The settings of librdkafka for this connection, secrets read. What a caller adds afterwards wins over Event Hubs' defaults;
    /// [`Connection::librdkafka`] must be laid over all of it.
    ///
    /// # Errors
    ///
    /// A secret that could not be read, or a connection string without an endpoint.
    pub fn librdkafka_settings(&self) -> Result<BTreeMap<&'static str, Secret>, String> {
        let mut out = BTreeMap::new();
        let mut set = |key: &'static str, value: &str| {
            out.insert(key, Secret::new(value));
        };
        let read = |key: &str, reference: &SecretRef| reference.read().map_err(|what| format!("`{}.security.{key}`: {what}", self.section));
        let security = &self.security;
        let mut servers = self.bootstrap_servers.trim().to_owned();
        if let Some(reference) = &security.connection_string {
            let text = read("connection_string", reference)?;
            if servers.is_empty() {
                servers = eventhubs_server(text.expose()).ok_or_else(|| {
                    format!("`{}.security.connection_string`: expected `Endpoint=sb://NAMESPACE.servicebus.windows.net/;...`", self.section)
                })?;
            }
            set("sasl.username", "$ConnectionString");
            set("sasl.password", text.expose());
        }
        set("bootstrap.servers", &servers);
        set(
            "security.protocol",
            match self.protocol() {
                Protocol::Plaintext => "plaintext",
                Protocol::Ssl => "ssl",
                Protocol::SaslPlaintext => "sasl_plaintext",
                Protocol::SaslSsl => "sasl_ssl",
            },
        );
        if let Some(mechanism) = self.mechanism() {
            set("sasl.mechanism", mechanism.name());
        }
        if let Some(user) = &security.username {
            set("sasl.username", user);
        }
        if let Some(reference) = &security.password {
            set("sasl.password", read("password", reference)?.expose());
        }
        for (key, file) in [
            ("ssl.ca.location", &security.ca_file),
            ("ssl.certificate.location", &security.certificate_file),
            ("ssl.key.location", &security.key_file),
        ] {
            if let Some(file) = file {
                set(key, file);
            }
        }
        // Cloud load balancers drop silent connections; a short statistics interval is what lag and reachability are read from.
        set("socket.keepalive.enable", "true");
        set("statistics.interval.ms", "2000");
        if self.is_eventhubs() {
            // Azure closes connections that are silent for 240 s. Source: Microsoft's page on configurations for Apache Kafka clients.
            set("metadata.max.age.ms", "180000");
        }
        Ok(out)
    }

    /// The cache of an OAUTHBEARER token, when the mechanism is that.
    ///
    /// # Errors
    ///
    /// The token could not be read, or is no JWT with an expiry.
    pub fn tokens(&self) -> Result<Option<TokenCache>, String> {
        match (self.mechanism(), &self.security.token) {
            (Some(Mechanism::OauthBearer), Some(reference)) => {
                let cache = TokenCache::new(reference.clone());
                cache.refresh().map_err(|fault| format!("`{}.security.token`: {fault}", self.section))?;
                Ok(Some(cache))
            }
            #[cfg(feature = "eventhubs")]
            (Some(Mechanism::OauthBearer), None) if self.security.credential.is_some() => {
                let Some(kind) = self.security.credential else { return Ok(None) };
                let named = |fault: String| format!("`{}.security.credential`: {fault}", self.section);
                let credential = super::entra::credential(kind, self.security.client_id.as_deref()).map_err(named)?;
                let cache = TokenCache::entra(credential, super::entra::kafka_scope(&self.bootstrap_servers));
                // Entra may be out of reach for a moment: it is asked again, and until then the broker does not let us in, which shows.
                if let Err(fault) = cache.refresh() {
                    tracing::warn!(section = %self.section, %fault, "no token yet");
                }
                Ok(Some(cache))
            }
            _ => Ok(None),
        }
    }
}

/// `host:9093` out of `Endpoint=sb://host/;SharedAccessKeyName=...`.
fn eventhubs_server(connection_string: &str) -> Option<String> {
    let endpoint = connection_string.split(';').find_map(|part| part.trim().strip_prefix("Endpoint="))?;
    let host = endpoint.trim_start_matches("sb://").trim_end_matches('/');
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    (!host.is_empty()).then(|| format!("{host}:9093"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_file(text: &str) -> (tempfile::TempDir, SecretRef) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, text).expect("the file is written");
        (folder, SecretRef { env: None, file: Some(path.display().to_string()) })
    }

    #[test]
    fn a_connection_string_gives_server_user_and_password() {
        let text = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=abc=";
        let (_folder, reference) = secret_file(text);
        let connection =
            Connection { security: Security { connection_string: Some(reference), ..Security::default() }, ..Connection::default() };
        assert!(connection.is_eventhubs());
        let settings = connection.librdkafka_settings().expect("read");
        for (key, expected) in [
            ("bootstrap.servers", "ns.servicebus.windows.net:9093"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "$ConnectionString"),
            ("sasl.password", text),
            ("metadata.max.age.ms", "180000"),
        ] {
            assert_eq!(settings.get(key).map(Secret::expose), Some(expected), "{key}");
        }
        assert!(!format!("{settings:?}").contains("abc="), "secrets do not show");
    }

    #[test]
    fn protocols_follow_from_what_is_set() {
        let plain = Connection { bootstrap_servers: "127.0.0.1:1".into(), ..Connection::default() };
        let with = |security| Connection { security, ..plain.clone() };
        for (name, connection, expected) in [
            ("nothing", plain.clone(), Protocol::Plaintext),
            ("authority", with(Security { ca_file: Some("ca.pem".into()), ..Security::default() }), Protocol::Ssl),
            ("user", with(Security { username: Some("u".into()), ..Security::default() }), Protocol::SaslSsl),
            (
                "event hubs",
                Connection { bootstrap_servers: "n.servicebus.windows.net:9093".into(), ..Connection::default() },
                Protocol::SaslSsl,
            ),
        ] {
            assert_eq!(connection.protocol(), expected, "case: {name}");
        }
    }

    #[test]
    fn settings_that_promises_rest_on_are_refused() {
        for (key, _) in OWNED {
            let librdkafka = BTreeMap::from([((*key).to_owned(), "x".to_owned())]);
            let connection = Connection { bootstrap_servers: "127.0.0.1:1".into(), librdkafka, ..Connection::default() };
            assert!(connection.faults().iter().any(|(_, what)| what.contains(key)), "{key}");
        }
    }
}
