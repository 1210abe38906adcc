//! The API over HTTPS. The key is in one header and nowhere else: not in the address, not in errors, not in the log.
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::collector::{Query, Reply};
use crate::config::{OpenAiSource, Secret, SecretRef};

/// A body beyond this is no page: a hundred events of the largest kind seen are a tenth of it. Unit: bytes.
const BODY_MAX_BYTES: usize = 64 << 20;

/// Asks the API.
pub struct Client {
    http: reqwest::Client,
    address: String,
    filters: Vec<(&'static str, String)>,
    from: SecretRef,
    key: Mutex<Secret>,
}

impl Client {
    /// Reads the key. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// The key could not be read, or is none; TLS cannot be used on this machine.
    pub fn new(settings: &OpenAiSource) -> Result<Client, String> {
        let from = settings.key.clone().ok_or("`source.openai` has no `key`")?;
        let key = read_key(&from)?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("udmill/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the question, and with some servers the key, to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_millis(settings.timeout_ms))
            .build()
            .map_err(|error| format!("source.openai: no HTTP client: {error}"))?;
        let address = format!("{}/v1/organization/audit_logs", settings.base_url.trim_end_matches('/').trim_end_matches("/v1"));
        let projects = settings.project_ids.iter().map(|id| ("project_ids[]", id.clone()));
        let types = settings.event_types.iter().map(|name| ("event_types[]", name.clone()));
        Ok(Client { http, address, filters: projects.chain(types).collect(), from, key: Mutex::new(key) })
    }

    /// Reads the key again. Answers whether it is another one.
    pub fn reread_key(&self) -> bool {
        match read_key(&self.from) {
            Ok(read) => {
                let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
                let is_new = *key != read;
                *key = read;
                is_new
            }
            Err(fault) => {
                tracing::warn!(fault, "the old key stays");
                false
            }
        }
    }

    /// Hash of the filters, empty without any.
    pub fn filters_hash(&self) -> String {
        if self.filters.is_empty() {
            return String::new();
        }
        let mut sorted: Vec<String> = self.filters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        sorted.sort();
        blake3::hash(sorted.join("&").as_bytes()).to_hex()[..16].to_owned()
    }

    /// Asks one question. Every failure is an answer too.
    pub async fn ask(&self, query: &Query) -> Reply {
        let mut headers = HeaderMap::new();
        {
            let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
            match HeaderValue::from_str(&format!("Bearer {}", key.expose())) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
                Err(_) => return Reply::Broken("the key has characters that no header may have".to_owned()),
            }
        }
        let pairs = query.pairs();
        let filters = self.filters.iter().map(|(name, value)| (*name, value));
        let question: Vec<String> = pairs
            .iter()
            .map(|(name, value)| (*name, value))
            .chain(filters)
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        let request = self.http.get(format!("{}?{}", self.address, question.join("&"))).headers(headers);
        match self.answer(request).await {
            Ok(reply) => reply,
            Err(error) => Reply::Broken(told(error)),
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
        let mut response = request.send().await?;
        let text = |headers: &HeaderMap, name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        let (date, retry_after) = (text(response.headers(), DATE), text(response.headers(), RETRY_AFTER));
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > BODY_MAX_BYTES {
                return Ok(Reply::Broken(format!("the answer is longer than {BODY_MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply::Answer { status, date, retry_after, body })
    }
}

fn read_key(from: &SecretRef) -> Result<Secret, String> {
    let key = from.read().map_err(|fault| format!("`source.openai.key`: {fault}"))?;
    if key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(key);
    }
    Err("`source.openai.key`: expected one word of visible ASCII characters, as `sk-admin-...`".to_owned())
}

/// The chain of causes: the outermost alone says only that sending failed. The address has no secret, and is not said again.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Percent-encoding of everything that is not unreserved (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_encoded() {
        assert_eq!(encoded("effective_at[gte]"), "effective_at%5Bgte%5D");
        assert_eq!(encoded("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }

    #[test]
    fn a_key_of_two_lines_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-canary\nmore").expect("written");
        let fault = read_key(&SecretRef { env: None, file: Some(path.display().to_string()) }).expect_err("refused");
        assert!(!fault.contains("canary"), "{fault}");
    }
}
