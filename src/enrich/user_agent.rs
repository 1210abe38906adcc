//! `network.http.parsed_user_agent` from the text of a user agent.
//!
//! Google fills this message with a parser of its own that nobody else has; here are the fields that woothee knows, spelled as Google spells
//! them where that is known (`Windows NT 10.0`, family `APPLEWEBKIT` for Chrome). The raw text is always emitted beside it by the mapping.

use std::sync::Arc;

use woothee::parser::{Parser, WootheeResult};

use super::cache::{Cache, Counts};
use super::json;

/// Longer agents are parsed every time: they are rare, often unique, and would fill the cache with themselves.
const LONGEST_CACHED: usize = 512;
/// The most that is parsed at all; what follows is list after list of toolbars.
const LONGEST_PARSED: usize = 4096;

/// What woothee says when it does not know.
const UNKNOWN: &str = "UNKNOWN";

/// Parsed agents of one worker.
pub struct Agents {
    parser: Parser,
    cache: Cache<Box<[u8]>>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").field("cache", &self.cache.counts()).finish_non_exhaustive()
    }
}

impl Agents {
    /// `capacity` agents a generation of the cache.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self { parser: Parser::new(), cache: Cache::new(capacity, seed), scratch: Vec::new() }
    }

    /// Appends the object of an agent; false and nothing when woothee knows neither browser nor system.
    pub fn write(&mut self, agent: &[u8], out: &mut Vec<u8>) -> bool {
        let cached = agent.len() <= LONGEST_CACHED;
        if cached && let Some(answer) = self.cache.get(agent) {
            out.extend_from_slice(&answer);
            return !answer.is_empty();
        }
        self.scratch.clear();
        describe(&self.parser, agent, &mut self.scratch);
        out.extend_from_slice(&self.scratch);
        if cached {
            self.cache.insert(agent.into(), Arc::from(self.scratch.as_slice()));
        }
        !self.scratch.is_empty()
    }

    /// Hits and misses of the cache.
    pub fn counts(&self) -> Counts {
        self.cache.counts()
    }
}

fn describe(parser: &Parser, agent: &[u8], out: &mut Vec<u8>) {
    let agent = &agent[..agent.len().min(LONGEST_PARSED)];
    // The cut may fall into a character; what stands before it is still an agent.
    let agent = match std::str::from_utf8(agent) {
        Ok(agent) => agent,
        Err(fault) => std::str::from_utf8(&agent[..fault.valid_up_to()]).unwrap_or_default(),
    };
    let Some(found) = parser.parse(agent) else { return };
    let known = |text: &str| !text.is_empty() && text != UNKNOWN;
    if !known(found.name) && !known(found.os) {
        return;
    }
    out.push(b'{');
    json::text("family", family(&found, agent), out);
    // Libraries and crawlers are no browsers; their name still tells what they are.
    let browser = matches!(found.category, "pc" | "smartphone" | "mobilephone" | "appliance" | UNKNOWN);
    if known(found.name) && !browser {
        json::text("subFamily", found.name, out);
    }
    if known(found.os) {
        if let Some(platform) = platform(&found) {
            json::text("platform", platform, out);
        }
        if let Some(device) = device(&found) {
            json::text("device", device, out);
        }
        json::text("os", &system(&found), out);
    }
    if known(found.name) && browser {
        json::text("browser", found.name, out);
        if known(found.version) {
            json::text("browserVersion", found.version, out);
        }
    }
    out.push(b'}');
}

/// The family by the engine behind the name, from the words of `UserAgentProto.Family`.
fn family(found: &WootheeResult<'_>, agent: &str) -> &'static str {
    match found.name {
        "Internet Explorer" => "MSIE",
        // Firefox for iOS is a shell around the system's engine, as every browser there is.
        "Firefox" if agent.contains("FxiOS") => "APPLEWEBKIT",
        "Firefox" => "GECKO",
        "Opera" if !agent.contains("OPR/") => "OPERA",
        "Chrome" | "Safari" | "Edge" | "Opera" | "Vivaldi" | "Google Search App" | "Webview" | "Yandex Browser" | "SamsungBrowser" => {
            "APPLEWEBKIT"
        }
        name if found.category == "crawler" && (name.starts_with("Google") || agent.contains("Google")) => "GOOGLE",
        "docomo" => "DOCOMO",
        _ if found.os == "BlackBerry" || found.os == "BlackBerry 10" => "BLACKBERRY",
        _ => "OTHER",
    }
}

/// The system's family; `None` where woothee names nothing that is one.
fn platform(found: &WootheeResult<'_>) -> Option<&'static str> {
    let os = found.os;
    [("Windows", "Windows"), ("Mac", "Macintosh"), ("Linux", "Linux"), ("ChromeOS", "ChromeOS"), ("BSD", "BSD"), ("Android", "Android")]
        .into_iter()
        .find(|(start, _)| os.starts_with(start))
        .map(|(_, platform)| platform)
        .or_else(|| apple_device(os))
}

/// Apple's mobile systems go by the name of the hardware.
fn apple_device(os: &str) -> Option<&'static str> {
    ["iPhone", "iPad", "iPod"].into_iter().find(|device| *device == os)
}

/// The hardware, where woothee knows it: Apple's, and the model that Japanese carriers write, which it calls a version.
fn device<'a>(found: &'a WootheeResult<'_>) -> Option<&'a str> {
    apple_device(found.os).or_else(|| {
        let model = found.version;
        (found.category == "mobilephone" && !model.is_empty() && model != UNKNOWN).then_some(model)
    })
}

fn system(found: &WootheeResult<'_>) -> String {
    let name = if apple_device(found.os).is_some() { "iOS" } else { found.os };
    let version = found.os_version.as_ref();
    if version.is_empty() || version == UNKNOWN {
        return name.to_owned();
    }
    // `Windows 10` with version `NT 10.0` is the `Windows NT 10.0` of the agent itself and of Google's parser.
    if name.starts_with("Windows") && version.starts_with("NT ") { format!("Windows {version}") } else { format!("{name} {version}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(agents: &mut Agents, agent: &str) -> String {
        let mut out = b"before".to_vec();
        let any = agents.write(agent.as_bytes(), &mut out);
        assert_eq!(any, out.len() > 6, "{agent}");
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn agents_are_described() {
        let mut agents = Agents::new(4, 1);
        for (name, agent, expected) in [
            (
                "chrome on windows",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
                r#"{"family":"APPLEWEBKIT","platform":"Windows","os":"Windows NT 10.0","browser":"Chrome","browserVersion":"120.0.0.0"}"#,
            ),
            (
                "firefox on linux",
                "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
                r#"{"family":"GECKO","platform":"Linux","os":"Linux","browser":"Firefox","browserVersion":"121.0"}"#,
            ),
            (
                "safari on a phone",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
                r#"{"family":"APPLEWEBKIT","platform":"iPhone","device":"iPhone","os":"iOS 17.2","browser":"Safari","browserVersion":"17.2"}"#,
            ),
            (
                "crawler",
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                r#"{"family":"GOOGLE","subFamily":"Googlebot"}"#,
            ),
            ("library", "Java/1.8.0_202", r#"{"family":"OTHER","subFamily":"HTTP Library"}"#),
            ("an SDK", "azsdk-python-keyvault/4.2 Python/3.9", ""),
            ("empty", "", ""),
        ] {
            assert_eq!(parsed(&mut agents, agent), expected, "cold, case: {name}");
            assert_eq!(parsed(&mut agents, agent), expected, "warm, case: {name}");
        }
    }

    #[test]
    fn long_agents_are_not_kept() {
        let mut agents = Agents::new(4, 1);
        for (length, hits) in [(LONGEST_CACHED, 1), (LONGEST_CACHED + 1, 1)] {
            let agent = "Opera/9.80 ".to_owned() + &"x".repeat(length - 11);
            assert_eq!(parsed(&mut agents, &agent), parsed(&mut agents, &agent));
            assert_eq!(agents.counts().hits, hits, "{length} bytes");
        }
    }

    #[test]
    fn a_cut_character_harms_nothing() {
        let agent = "Opera/9.80 ".to_owned() + &"é".repeat(LONGEST_PARSED);
        assert!(parsed(&mut Agents::new(1, 1), &agent).contains("\"browser\":\"Opera\""));
    }

    proptest! {
        #[test]
        fn caches_change_no_byte(texts in proptest::collection::vec("(Mozilla/5.0 \\(|Windows NT 10.0|FreeBSD \"|Android 13|iPhone|;|\\)| |Chrome/1|MSIE 9;|Safari/1|DoCoMo/2.0 |\\PC){0,12}", 1..12)) {
            let (mut warm, mut small) = (Agents::new(64, 1), Agents::new(1, 2));
            for text in texts.iter().chain(&texts) {
                let cold = parsed(&mut Agents::new(64, 3), text);
                prop_assert_eq!(&parsed(&mut warm, text), &cold);
                prop_assert_eq!(&parsed(&mut small, text), &cold);
                prop_assert!(cold.is_empty() || serde_json::from_str::<serde_json::Value>(&cold).is_ok(), "{}", cold);
            }
        }
    }
}
