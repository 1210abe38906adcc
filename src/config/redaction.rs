//! The file of what a site does not let out: paths, and whether their values are dropped, hashed or masked.
use serde::Deserialize;

use super::faults::{self, Fault};
use super::secret::SecretRef;
use crate::engine::site::{SiteRule, SiteRules};
use crate::plan::site::{Action, Key, SitePaths};

/// The whole file. `docs/redaction.md` describes it.
///
/// ```
/// let text = "key = { env = \"UDMILL_REDACTION_KEY\" }\n[[rule]]\naction = \"hash\"\npaths = [\"callerIpAddress\"]\n";
/// assert_eq!(udmill::config::Redaction::read("redaction.toml", text).expect("no fault").rule.len(), 1);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// Where the key of `hash` is read from; required when a rule hashes. At least 16 bytes.
    #[serde(default)]
    pub key: Option<SecretRef>,
    /// Whether dead letters are redacted too. Default: true; false lets them out as they came, to a topic that is restricted.
    #[serde(default = "yes")]
    pub dead_letters: bool,
    /// The rules, in any order.
    #[serde(default)]
    pub rule: Vec<RedactionRule>,
}

fn yes() -> bool {
    true
}

/// One `[[rule]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactionRule {
    /// Source paths: `a.b`, `a."x.y"`, `a.*`, `a[*].b`.
    pub paths: Vec<String>,
    /// Mappings whose records are meant. Default: every record.
    #[serde(default)]
    pub mappings: Vec<String>,
    /// What happens to the values.
    pub action: RedactionAction,
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedactionAction {
    /// The member is left out.
    Drop,
    /// HMAC-SHA-256 under the key.
    Hash,
    /// `[redacted:site]`.
    Mask,
}

/// Shorter keys can be guessed.
const KEY_MIN_BYTES: usize = 16;

impl Redaction {
    /// Reads the file's text. The key itself is not read.
    ///
    /// # Errors
    ///
    /// All faults at once, each with its place.
    pub fn read(file: &str, text: &str) -> Result<Redaction, Vec<Fault>> {
        let (read, mut found) = faults::deserialize::<Redaction>(file, text);
        let Some(read) = read else { return Err(found) };
        let mut say = |word: &str, what: String| found.push(Fault::at_text(file, text, word, what));
        if read.rule.is_empty() {
            say(
                "[[rule]]",
                "nothing is redacted; write at least one `[[rule]]` with `paths` and `action`, or leave the file out".to_owned(),
            );
        }
        for rule in &read.rule {
            if rule.paths.is_empty() {
                say("paths", "a rule without a path; write `paths = [\"a.b\"]`".to_owned());
            }
            for path in &rule.paths {
                if let Err(why) = SitePaths::default().add(path, Action::Drop) {
                    say(&format!("{path:?}"), why);
                }
            }
        }
        if read.key.is_none() && read.rule.iter().any(|rule| rule.action == RedactionAction::Hash) {
            say("\"hash\"", "a rule hashes and there is no key; write `key = { env = \"NAME\" }` or `{ file = \"PATH\" }`".to_owned());
        }
        if found.is_empty() { Ok(read) } else { Err(found) }
    }

    /// The rules with their key.
    ///
    /// # Errors
    ///
    /// A key that cannot be read, or is too short.
    pub fn rules(&self) -> Result<SiteRules, String> {
        let key = match &self.key {
            None => None,
            Some(from) => {
                let secret = from.read().map_err(|why| format!("the key of redaction: {why}"))?;
                let bytes = secret.expose().as_bytes();
                if bytes.len() < KEY_MIN_BYTES {
                    let found = bytes.len();
                    return Err(format!(
                        "the key of redaction has {found} bytes; take at least {KEY_MIN_BYTES}, as `openssl rand -hex 32` gives"
                    ));
                }
                Some(Key::new(bytes))
            }
        };
        Ok(SiteRules { key, ..self.without_key() })
    }

    /// The rules without their key, to check them where it is not known.
    pub fn without_key(&self) -> SiteRules {
        let rule = |rule: &RedactionRule| SiteRule {
            paths: rule.paths.clone(),
            mappings: rule.mappings.clone(),
            action: match rule.action {
                RedactionAction::Drop => Action::Drop,
                RedactionAction::Hash => Action::Hash,
                RedactionAction::Mask => Action::Mask,
            },
        };
        SiteRules { rules: self.rule.iter().map(rule).collect(), key: None, keeps_dead_letters: !self.dead_letters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_come_at_once_with_their_places() {
        let text =
            "dead_leters = false\n[[rule]]\naction = \"hash\"\npaths = [\"a.b\", \"a[0]\"]\n[[rule]]\naction = \"blur\"\npaths = []\n";
        let faults = Redaction::read("r.toml", text).expect_err("faults");
        for (line, part) in [(1, "dead_leters"), (6, "blur"), (4, "a[0]"), (3, "no key")] {
            assert!(
                faults.iter().any(|fault| fault.line == Some(line) && fault.what.contains(part)),
                "line {line}, `{part}` in {faults:#?}"
            );
        }
        assert!(Redaction::read("r.toml", "").is_err_and(|faults| faults[0].what.contains("[[rule]]")));
    }

    #[test]
    fn a_key_is_read_late_and_must_be_long() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        let text = format!("key = {{ file = {:?} }}\n[[rule]]\naction = \"hash\"\npaths = [\"a\"]\n", path.display().to_string());
        let read = Redaction::read("r.toml", &text).expect("no fault");
        assert!(read.rules().is_err_and(|why| why.contains("was not read")));
        std::fs::write(&path, "hunter2").expect("the file is written");
        assert!(read.rules().is_err_and(|why| why.contains("7 bytes") && !why.contains("hunter2")));
        std::fs::write(&path, "canary-canary-canary\n").expect("the file is written");
        let rules = read.rules().expect("long enough");
        assert!(rules.key.is_some() && !format!("{rules:?}").contains("canary"), "{rules:?}");
    }
}
