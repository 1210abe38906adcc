//! A container of Azurite, looked at from outside.
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use udmill::config::{Cloud, SecretRef, StoreAccess, open_store};

use crate::hubs::process::{AZURITE_KEY, Azurite};

/// A client of one container.
pub struct Store {
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
    endpoint: String,
    _folder: tempfile::TempDir,
}

impl Store {
    /// Connects.
    pub fn new(azurite: &Azurite, container: &str) -> Store {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = folder.path().join("key");
        std::fs::write(&key, AZURITE_KEY).expect("written");
        let access = StoreAccess {
            account: Some("devstoreaccount1".into()),
            access_key: Some(SecretRef { env: None, file: Some(key.display().to_string()) }),
            client_id: None,
            endpoint: Some(azurite.endpoint()),
        };
        let store = open_store(Cloud::Azure, container, &access).expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Store { store, runtime, endpoint: azurite.endpoint(), _folder: folder }
    }

    /// The lines of settings that let a section in.
    pub fn access(&self, section: &str) -> String {
        format!(
            "[{section}.access]\naccount = \"devstoreaccount1\"\naccess_key = {{ env = \"BLOB_KEY\" }}\nendpoint = \"{}\"",
            self.endpoint
        )
    }

    /// The variables that let `udmill replay` in.
    pub fn variables(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
            ("AZURE_STORAGE_ENDPOINT", &self.endpoint),
            ("AZURE_ALLOW_HTTP", "true"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Every object below a prefix, by its name from there; none while there is no container.
    pub fn files(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let base = Path::from(prefix);
        let begin = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        self.runtime.block_on(async {
            let found: Vec<_> = self.store.list(Some(&base)).try_collect().await.unwrap_or_default();
            let mut files = BTreeMap::new();
            for object in found {
                let bytes = self.store.get(&object.location).await.expect("there").bytes().await.expect("readable");
                let name = object.location.as_ref().strip_prefix(&begin).expect("below").to_owned();
                files.insert(name, bytes.to_vec());
            }
            files
        })
    }

    /// Writes an object, or another version of it.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let path = Path::parse(name).expect("a name");
        self.runtime.block_on(self.store.put(&path, bytes.to_vec().into())).expect("written");
    }
}
