//! Values that are never printed, and where they come from.
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// A secret text. `Debug` shows that it is there, not what it is; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Where a secret is read from: exactly one of the two. The settings file itself never holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// Name of an environment variable.
    pub env: Option<String>,
    /// Path of a file; one line end at its end is not part of the secret.
    pub file: Option<String>,
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretRef, D::Error> {
        deserializer.deserialize_any(Place)
    }
}

/// Takes a table. What stands there instead is most likely the secret itself, so no fault may quote it, as the derived ones would.
struct Place;

/// Says what to write, and nothing of what was found.
fn not_here<E: Error>() -> E {
    E::custom("a secret does not stand in this file; write `{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
}

impl<'de> Visitor<'de> for Place {
    type Value = SecretRef;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(not_here())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(not_here())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(not_here())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(not_here())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            env: Option<String>,
            file: Option<String>,
        }
        let Fields { env, file } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(SecretRef { env, file })
    }
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    ///
    /// What is missing, without the setting's name: the caller knows it.
    pub fn read(&self) -> Result<Secret, String> {
        let text = match (&self.env, &self.file) {
            (Some(name), None) => std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set or not UTF-8"))?,
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("the file `{path}` was not read: {error}"))?;
                text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)).to_owned()
            }
            _ => return Err("write exactly one of `{ env = \"NAME\" }` and `{ file = \"PATH\" }`".to_owned()),
        };
        if text.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(Secret(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some([secret])");
    }

    #[test]
    fn a_secret_in_the_settings_is_refused_and_not_quoted() {
        let settings = |value: &str| {
            let text = format!(
                "[source.kafka]\nbootstrap_servers = \"127.0.0.1:9\"\ntopics = [\"in\"]\n[source.kafka.security]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = {value}\n[[output]]\nname = \"a\"\ntopic = \"b\"\n[dead_letter]\ntopic = \"c\"\n"
            );
            let source = crate::config::Settings::read("x.toml", &text).map(|settings| settings.source.kafka);
            source.map(|source| source.and_then(|source| source.security.password))
        };
        for value in ["\"7351884\"", "7351884", "7351884.5", "{ value = \"7351884\" }", "[\"7351884\"]"] {
            let faults = settings(value).expect_err(value);
            assert!(faults.iter().any(|fault| fault.line == Some(7)), "case {value}: {faults:?}");
            assert!(!format!("{faults:?}").contains("7351884"), "case {value}: {faults:?}");
        }
        assert!(settings("{ env = \"A\", file = \"b\" }").is_err(), "one of the two");
        let password = settings("{ file = \"b\" }").expect("a place");
        assert_eq!(password, Some(SecretRef { env: None, file: Some("b".into()) }));
    }

    #[test]
    fn a_file_gives_its_line_without_the_line_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, content, expected) in [
            ("plain", "s3", Ok("s3")),
            ("line", "s3\n", Ok("s3")),
            ("windows", "s3\r\n", Ok("s3")),
            ("inner", "a\nb\n", Ok("a\nb")),
            ("empty", "\n", Err(())),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("the file is written");
            let read = SecretRef { env: None, file: Some(path.display().to_string()) }.read();
            assert_eq!(read.as_ref().map(Secret::expose).map_err(|_| ()), expected, "case: {name}");
        }
        assert!(SecretRef { env: None, file: None }.read().is_err());
        assert!(SecretRef { env: Some("UDMILL_TEST_NEVER_SET".into()), file: None }.read().is_err());
    }
}
