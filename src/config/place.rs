//! Where files lie: a folder, or a container of an object store.
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::secret::SecretRef;

/// A folder, or a container with what its names begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `SCHEME://CONTAINER/PREFIX`
    Store {
        /// Whose store.
        cloud: Cloud,
        /// Container (Azure) or bucket.
        container: String,
        /// What names begin with, without `/` around it; may be empty.
        prefix: String,
    },
}

/// Whose object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Azure Blob Storage, `az://`.
    Azure,
    /// Amazon S3 and what speaks like it, `s3://`.
    S3,
    /// Google Cloud Storage, `gs://`.
    Google,
}

impl Cloud {
    fn scheme(self) -> &'static str {
        match self {
            Cloud::Azure => "az",
            Cloud::S3 => "s3",
            Cloud::Google => "gs",
        }
    }
}

impl Place {
    /// Reads `az://CONTAINER/PREFIX`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `file:///FOLDER` or a folder's path. Names stand as they are:
    /// nothing is percent-decoded.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn read(text: &str) -> Result<Place, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() { Err("the place is empty".to_owned()) } else { Ok(Place::Folder(PathBuf::from(text))) };
        };
        let cloud = match scheme {
            "file" if rest.starts_with('/') => return Ok(Place::Folder(PathBuf::from(rest))),
            "file" => return Err(format!("`{text}`: a folder is written `file:///FOLDER`, with three slashes")),
            "az" => Cloud::Azure,
            "s3" => Cloud::S3,
            "gs" => Cloud::Google,
            _ => return Err(format!("`{text}`: expected a folder, or a place that begins with `az://`, `s3://`, `gs://` or `file:///`")),
        };
        let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if container.is_empty() || container.contains(['@', '*', '?', '[']) {
            return Err(format!("`{text}`: expected `{scheme}://CONTAINER/PREFIX`"));
        }
        Ok(Place::Store { cloud, container: container.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    /// Whether a text is meant as a place of an object store or a `file:` URL, not as a path.
    pub fn is_url(text: &str) -> bool {
        ["az://", "s3://", "gs://", "file://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// What does not fit together, as what to do. `section` is the place's own, as in `sink.archive`.
    pub(super) fn faults(section: &str, text: &str, access: &StoreAccess) -> Vec<String> {
        let place = match Place::read(text) {
            Ok(place) => place,
            Err(fault) => return vec![format!("`{section}`: {fault}")],
        };
        let mut found = Vec::new();
        if let Some(reference) = &access.access_key
            && reference.env.is_some() == reference.file.is_some()
        {
            found.push(format!("`{section}.access.access_key`: a secret names exactly one of `env` and `file`"));
        }
        if let Place::Store { cloud, .. } = &place {
            if cfg!(not(feature = "objects")) {
                found.push(format!("`{section}`: this program was built without the feature `objects`; use a folder"));
            }
            if *cloud == Cloud::Google && access.endpoint.is_some() {
                found.push(format!("`{section}.access.endpoint` is for `az://` and `s3://`; leave it out"));
            }
        } else if *access != StoreAccess::default() {
            found.push(format!("`{section}.access` is for object stores, but the place is a folder; leave it out"));
        }
        found
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(path) => write!(formatter, "{}", path.display()),
            Place::Store { cloud, container, prefix } => write!(formatter, "{}://{container}/{prefix}", cloud.scheme()),
        }
    }
}

/// `[sink.archive.access]`, `[source.blob.access]`: What is left out comes from the environment, by the names that the clouds' own tools use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreAccess {
    /// Azure: the storage account. S3: the access key id. Default: `AZURE_STORAGE_ACCOUNT_NAME`, `AWS_ACCESS_KEY_ID`.
    pub account: Option<String>,
    /// Azure: a key of the account. S3: the secret access key. Google: the service account's JSON. As `{ env = "NAME" }` or `{ file = "PATH" }`.
    /// Default: the environment's, else the identity of the machine or pod.
    pub access_key: Option<SecretRef>,
    /// Azure: client id of a user-assigned managed identity. Default: what the environment says.
    pub client_id: Option<String>,
    /// Another address for the service, as in `https://HOST:PORT`: a private endpoint, a proxy, an S3 of somebody else. One with `http:` is for an
    /// emulator on loopback.
    pub endpoint: Option<String>,
}

/// What a store answered, for people: its first line, because answers hold whole documents, and without signatures, which stand in URLs.
pub fn store_answer(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    // `sig=` of a shared access signature, `X-Amz-Signature=`, `X-Goog-Signature=`.
    while let Some(at) = ["sig=", "ignature="].iter().filter_map(|name| Some(rest.find(name)? + name.len())).min() {
        let end = rest[at..].find(['&', ' ', '"', '\'']).map_or(rest.len(), |end| at + end);
        out.push_str(&rest[..at]);
        out.push_str("[secret]");
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(feature = "objects")]
mod open {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::aws::AmazonS3Builder;
    use object_store::azure::MicrosoftAzureBuilder;
    use object_store::gcp::GoogleCloudStorageBuilder;
    use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

    use super::{Cloud, StoreAccess};

    /// How long the service may be silent: between two pieces of an answer, or until it has taken a whole file.
    const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
    /// How long connecting may take.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// What the client tries by itself before its caller, who can be stopped and says what is wrong, goes on trying.
    const RETRIES: usize = 3;

    /// Makes a client of a container. Nothing is asked over the network yet.
    ///
    /// # Errors
    ///
    /// A secret could not be read, or settings and environment do not say enough.
    pub fn open_store(cloud: Cloud, container: &str, access: &StoreAccess) -> Result<Arc<dyn ObjectStore>, String> {
        let key = access.access_key.as_ref().map(|reference| reference.read()).transpose()?;
        let plain = access.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"));
        let patient = |options: ClientOptions| {
            options.with_timeout_disabled().with_read_timeout(SILENCE_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT)
        };
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
            max_retries: RETRIES,
            retry_timeout: Duration::from_secs(15),
        };
        let store: Arc<dyn ObjectStore> = match cloud {
            Cloud::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry);
                // The environment may allow plain HTTP for an emulator; options of our own would forget that.
                let plain = plain || std::env::var("AZURE_ALLOW_HTTP").is_ok_and(|text| text == "true");
                builder = builder.with_client_options(patient(ClientOptions::new().with_allow_http(plain)));
                if let Some(account) = &access.account {
                    builder = builder.with_account(account);
                }
                if let Some(endpoint) = &access.endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                if let Some(key) = &key {
                    builder = builder.with_access_key(key.expose());
                }
                if let Some(client_id) = &access.client_id {
                    builder = builder.with_client_id(client_id);
                }
                Arc::new(builder.build().map_err(|error| error.to_string())?)
            }
            Cloud::S3 => {
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(container).with_retry(retry);
                let plain = plain || std::env::var("AWS_ALLOW_HTTP").is_ok_and(|text| text == "true");
                builder = builder.with_client_options(patient(ClientOptions::new().with_allow_http(plain)));
                if let Some(account) = &access.account {
                    builder = builder.with_access_key_id(account);
                }
                if let Some(endpoint) = &access.endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                if let Some(key) = &key {
                    builder = builder.with_secret_access_key(key.expose());
                }
                Arc::new(builder.build().map_err(|error| error.to_string())?)
            }
            Cloud::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(container).with_retry(retry);
                builder = builder.with_client_options(patient(ClientOptions::new()));
                if let Some(key) = &key {
                    builder = builder.with_service_account_key(key.expose());
                }
                Arc::new(builder.build().map_err(|error| error.to_string())?)
            }
        };
        Ok(store)
    }
}

#[cfg(feature = "objects")]
pub use open::open_store;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let store = |cloud, container: &str, prefix: &str| Place::Store { cloud, container: container.into(), prefix: prefix.into() };
        for (text, expected) in [
            ("/var/archive", Some(Place::Folder("/var/archive".into()))),
            ("archive", Some(Place::Folder("archive".into()))),
            ("file:///var/archive", Some(Place::Folder("/var/archive".into()))),
            ("az://logs", Some(store(Cloud::Azure, "logs", ""))),
            ("az://logs/a/b=1/", Some(store(Cloud::Azure, "logs", "a/b=1"))),
            ("s3://bucket/2026/*.gz", Some(store(Cloud::S3, "bucket", "2026/*.gz"))),
            ("gs://bucket/", Some(store(Cloud::Google, "bucket", ""))),
            ("", None),
            ("file://host/x", None),
            ("az:///prefix", None),
            ("az://container@account/prefix", None),
            ("ftp://host/x", None),
        ] {
            assert_eq!(Place::read(text).ok(), expected, "case: {text}");
        }
        assert_eq!(Place::read("az://logs/a/").map(|place| place.to_string()), Ok("az://logs/a".to_owned()));
    }

    #[test]
    fn answers_are_told_without_signatures() {
        for (text, expected) in [
            ("GET https://a/c?sv=1&sig=abc%2F=&se=2 in 3ms\n<xml>", "GET https://a/c?sv=1&sig=[secret]&se=2 in 3ms"),
            ("GET https://a/c?X-Amz-Signature=abc", "GET https://a/c?X-Amz-Signature=[secret]"),
            ("nothing secret", "nothing secret"),
        ] {
            assert_eq!(store_answer(text), expected, "case: {text}");
        }
    }

    #[test]
    fn access_to_a_folder_is_refused() {
        let access = StoreAccess { account: Some("a".into()), ..StoreAccess::default() };
        assert_eq!(Place::faults("sink.archive", "/folder", &access).len(), 1);
        assert_eq!(Place::faults("sink.archive", "/folder", &StoreAccess::default()), Vec::<String>::new());
        let two = SecretRef { env: Some("A".into()), file: Some("B".into()) };
        let access = StoreAccess { access_key: Some(two), ..access };
        assert!(Place::faults("sink.archive", "az://c/p", &access).iter().any(|fault| fault.contains("exactly one")));
    }
}
