//! A token for OAUTHBEARER: one that somebody else renews in a file, or one that Entra is asked for.
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::secret::{Secret, SecretRef};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It could not be read.
    #[error("{0}")]
    Unread(String),
    /// It is not three base64url parts with a JSON object in the middle, or names no expiry.
    #[error("the token is no JWT with `exp` and `sub`; expected three parts joined by dots")]
    NotJwt,
    /// It was read and is over.
    #[error("the token expired {0} s ago; renew it in the file that `token` names")]
    Expired(u64),
}

/// A token and what its claims say.
#[derive(Debug, Clone)]
struct Token {
    text: Secret,
    subject: String,
    expires_ms: i64,
}

/// Where a token comes from.
#[derive(Debug)]
enum From {
    /// The environment or a file.
    Secret(SecretRef),
    /// Entra, asked for this scope.
    #[cfg(feature = "eventhubs")]
    Entra { credential: std::sync::Arc<dyn azure_core::credentials::TokenCredential>, scope: String },
}

/// The last token that was read. The client's callback only looks here; [`TokenCache::refresh`] is called by a thread that may wait.
#[derive(Debug)]
pub struct TokenCache {
    from: From,
    current: Mutex<Result<Token, TokenFault>>,
}

impl TokenCache {
    /// A cache that reads from `from`; empty until refreshed.
    pub fn new(from: SecretRef) -> TokenCache {
        TokenCache::empty(From::Secret(from))
    }

    /// A cache that asks Entra; empty until refreshed.
    #[cfg(feature = "eventhubs")]
    pub fn entra(credential: std::sync::Arc<dyn azure_core::credentials::TokenCredential>, scope: String) -> TokenCache {
        TokenCache::empty(From::Entra { credential, scope })
    }

    fn empty(from: From) -> TokenCache {
        TokenCache { from, current: Mutex::new(Err(TokenFault::Unread("it was not read yet".into()))) }
    }

    fn read(&self) -> Result<Secret, String> {
        match &self.from {
            From::Secret(from) => from.read(),
            #[cfg(feature = "eventhubs")]
            From::Entra { credential, scope } => futures::executor::block_on(super::entra::token(&**credential, scope)),
        }
    }

    /// Reads the token anew, or asks for one; the latter waits for the network and wants to be called within a tokio runtime. A token that
    /// cannot be read leaves an earlier one that still holds.
    ///
    /// # Errors
    ///
    /// [`TokenFault::Unread`] and [`TokenFault::NotJwt`]. An expired token is taken: the broker refuses it, which then shows as that.
    pub fn refresh(&self) -> Result<(), TokenFault> {
        let fresh = self.read().map_err(TokenFault::Unread).and_then(|text| claims(&text).ok_or(TokenFault::NotJwt));
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match fresh {
            Ok(token) => {
                *current = Ok(token);
                Ok(())
            }
            Err(fault) => {
                if current.is_err() {
                    *current = Err(fault.clone());
                }
                Err(fault)
            }
        }
    }

    /// Token, subject and expiry in milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Why there is none that holds.
    pub fn current(&self) -> Result<(Secret, String, i64), TokenFault> {
        let token = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as i64;
        if token.expires_ms <= now_ms {
            return Err(TokenFault::Expired((now_ms - token.expires_ms) as u64 / 1000));
        }
        Ok((token.text, token.subject, token.expires_ms))
    }
}

/// Reads `sub` (Entra: `sub` or `oid`) and `exp` of a JWT. The signature is the broker's business.
fn claims(text: &Secret) -> Option<Token> {
    let mut parts = text.expose().split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: serde_json::Value = serde_json::from_slice(&base64url(payload)?).ok()?;
    let subject = ["sub", "oid", "appid"].iter().find_map(|name| claims.get(name)?.as_str())?.to_owned();
    let expires_ms = claims.get("exp")?.as_f64()? * 1000.0;
    Some(Token { text: text.clone(), subject, expires_ms: expires_ms as i64 })
}

/// Decodes base64 in the alphabet of URLs, without padding or with it. `None` for anything else.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_reads_what_tokens_hold() {
        for (name, text, expected) in [
            ("claims", "eyJzdWIiOiJhIn0", Some(&b"{\"sub\":\"a\"}"[..])),
            ("padded", "YQ==", Some(b"a")),
            ("url alphabet", "-_8", Some(&[0xfb, 0xff])),
            ("other alphabet", "+/8", None),
        ] {
            assert_eq!(base64url(text).as_deref(), expected, "case: {name}");
        }
    }

    /// Stands in for Entra: gives the next token of a list, then says no.
    #[cfg(feature = "eventhubs")]
    #[derive(Debug)]
    struct Issuer(Mutex<Vec<String>>);

    #[cfg(feature = "eventhubs")]
    #[async_trait::async_trait]
    impl azure_core::credentials::TokenCredential for Issuer {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<azure_core::credentials::TokenRequestOptions<'_>>,
        ) -> azure_core::Result<azure_core::credentials::AccessToken> {
            assert_eq!(scopes, ["https://ns.example/.default"]);
            let next = self.0.lock().expect("no holder panics").pop();
            let said_no = || azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, "AADSTS70043: no more");
            let text = next.ok_or_else(said_no)?;
            Ok(azure_core::credentials::AccessToken::new(text, azure_core::time::OffsetDateTime::now_utc()))
        }
    }

    #[cfg(feature = "eventhubs")]
    #[test]
    fn a_token_of_entra_is_renewed_and_a_refusal_leaves_the_old_one() {
        // {"sub":"b","exp":99999999999} and {"sub":"a","exp":99999999999}, taken from the end.
        let tokens = ["e30.eyJzdWIiOiJiIiwiZXhwIjo5OTk5OTk5OTk5OX0.", "e30.eyJzdWIiOiJhIiwiZXhwIjo5OTk5OTk5OTk5OX0."];
        let issuer = Issuer(Mutex::new(tokens.map(str::to_owned).to_vec()));
        let cache = TokenCache::entra(std::sync::Arc::new(issuer), "https://ns.example/.default".to_owned());
        for subject in ["a", "b"] {
            assert_eq!(cache.refresh(), Ok(()));
            assert_eq!(cache.current().map(|(_, subject, _)| subject), Ok(subject.to_owned()));
        }
        assert!(matches!(cache.refresh(), Err(TokenFault::Unread(fault)) if fault.contains("AADSTS70043")));
        assert_eq!(cache.current().map(|(_, subject, _)| subject), Ok("b".to_owned()));
    }

    #[test]
    fn an_expired_token_says_so_and_a_broken_one_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("token");
        let cache = TokenCache::new(SecretRef { env: None, file: Some(path.display().to_string()) });
        assert!(matches!(cache.refresh(), Err(TokenFault::Unread(_))));
        std::fs::write(&path, "no token").expect("written");
        assert_eq!(cache.refresh(), Err(TokenFault::NotJwt));
        // {"sub":"a","exp":1}
        std::fs::write(&path, "e30.eyJzdWIiOiJhIiwiZXhwIjoxfQ.").expect("written");
        assert_eq!(cache.refresh(), Ok(()));
        assert!(matches!(cache.current(), Err(TokenFault::Expired(_))));
        // {"sub":"a","exp":99999999999}
        std::fs::write(&path, "e30.eyJzdWIiOiJhIiwiZXhwIjo5OTk5OTk5OTk5OX0.").expect("written");
        assert_eq!(cache.refresh(), Ok(()));
        assert_eq!(cache.current().map(|(_, subject, _)| subject), Ok("a".to_owned()));
    }
}
