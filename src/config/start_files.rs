//! Files that are read at the start and never again, so that whoever changes one can be told.
use std::collections::BTreeSet;

use super::connection::Connection;
use super::eventhubs::Namespace;
use super::place::StoreAccess;
use super::routes::Target;
use super::secret::SecretRef;
use super::settings::Settings;

/// A file that a running process does not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFile {
    /// The setting that names it, as in `source.kafka.security.ca_file`.
    pub setting: String,
    /// Its path.
    pub path: String,
}

impl Settings {
    /// The files that clients are made with: certificates, keys, passwords and connection strings. librdkafka makes its TLS context when the
    /// client is made and uses it for every later connection (`rd_kafka_ssl_ctx_init` and `SSL_new` in its source), and the other clients
    /// keep what they were given. Tokens, the key of the OpenAI API and what `[files]` and `[admin]` name are not among these. A file that
    /// several sections share stands here once.
    pub fn start_files(&self) -> Vec<StartFile> {
        let mut found = Vec::new();
        if let Some(source) = &self.source.kafka {
            of_connection(&source.connection(), &mut found);
        }
        if let Some(source) = &self.source.eventhubs {
            of_namespace(&source.namespace(), &mut found);
            let blob = source.checkpoints.blob.as_ref();
            add("source.eventhubs.checkpoints.blob.access_key", blob.and_then(|blob| file(&blob.access_key)), &mut found);
        }
        if let Some(source) = &self.source.blob {
            of_store("source.blob", &source.access, &mut found);
        }
        for name in std::iter::once(None).chain(self.sinks.keys().map(Some)) {
            match self.target(name.map(String::as_str)) {
                Target::Kafka(connection) => of_connection(&connection, &mut found),
                Target::EventHubs(namespace) => of_namespace(&namespace, &mut found),
                Target::Archive(section, archive) => of_store(&section, &archive.access, &mut found),
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|one| seen.insert(one.path.clone()));
        found
    }
}

fn add(setting: &str, path: Option<&str>, found: &mut Vec<StartFile>) {
    found.extend(path.map(|path| StartFile { setting: setting.to_owned(), path: path.to_owned() }));
}

fn file(reference: &Option<SecretRef>) -> Option<&str> {
    reference.as_ref()?.file.as_deref()
}

fn of_connection(connection: &Connection, found: &mut Vec<StartFile>) {
    let security = &connection.security;
    for (key, path) in [
        ("ca_file", security.ca_file.as_deref()),
        ("certificate_file", security.certificate_file.as_deref()),
        ("key_file", security.key_file.as_deref()),
        ("password", file(&security.password)),
        ("connection_string", file(&security.connection_string)),
    ] {
        add(&format!("{}.security.{key}", connection.section), path, found);
    }
    for (key, path) in &connection.librdkafka {
        // Such as `ssl.keystore.location` and `ssl.crl.location`.
        if key.starts_with("ssl.") && key.ends_with(".location") {
            add(&format!("{}.librdkafka.\"{key}\"", connection.section), Some(path), found);
        }
    }
}

fn of_namespace(namespace: &Namespace, found: &mut Vec<StartFile>) {
    add(&format!("{}.access.connection_string", namespace.section), file(&namespace.access.connection_string), found);
}

fn of_store(section: &str, access: &StoreAccess, found: &mut Vec<StartFile>) {
    add(&format!("{section}.access.access_key"), file(&access.access_key), found);
}

#[cfg(all(test, feature = "objects"))]
mod tests {
    use super::*;

    // With `objects`, because one of the files is a store's.
    #[test]
    fn files_of_clients_are_listed_once_and_renewed_ones_are_not() {
        let text = "[admin]\ntoken = { file = \"admin\" }\n[admin.tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n\
            [source.kafka]\nbootstrap_servers = \"h:1\"\ntopics = [\"in\"]\n\
            [source.kafka.security]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = { file = \"password\" }\nca_file = \"ca.pem\"\n\
            certificate_file = \"own.pem\"\nkey_file = \"own.key\"\n[source.kafka.librdkafka]\n\"ssl.crl.location\" = \"crl.pem\"\n\
            [sink.kafka]\nbootstrap_servers = \"g:1\"\n[sink.kafka.security]\nmechanism = \"OAUTHBEARER\"\ntoken = { file = \"token\" }\nca_file = \"ca.pem\"\n\
            [sinks.lake.archive]\nto = \"az://c/p\"\n[sinks.lake.archive.access]\naccount = \"a\"\naccess_key = { file = \"store\" }\n\
            [[output]]\nname = \"siem\"\ntopic = \"udm\"\n[[output]]\nname = \"lake\"\ntopic = \"all\"\nsink = \"lake\"\n[dead_letter]\ntopic = \"dead\"\n";
        let settings = Settings::read("x.toml", text).expect("no faults");
        let found: Vec<_> = settings.start_files().into_iter().map(|one| format!("{} {}", one.setting, one.path)).collect();
        assert_eq!(
            found,
            [
                "source.kafka.security.ca_file ca.pem",
                "source.kafka.security.certificate_file own.pem",
                "source.kafka.security.key_file own.key",
                "source.kafka.security.password password",
                "source.kafka.librdkafka.\"ssl.crl.location\" crl.pem",
                "sinks.lake.archive.access.access_key store",
            ]
        );
    }
}
