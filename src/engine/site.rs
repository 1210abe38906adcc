//! What a site does not let out: its rules against the loaded mappings, and bytes that leave by another way than an event.
//!
//! A record is redacted after its mapping is found and before anything is mapped. Dead letters and raw messages are written anew from the
//! redacted records; what cannot be read as a record is withheld, because nobody can tell what it holds.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Engine, Worker};
use crate::classify;
use crate::decode::Found;
use crate::plan::site::{Action, Key, SitePaths, redacted};

/// Paths of some mappings and what happens to their values.
#[derive(Clone, Debug)]
pub struct SiteRule {
    /// Source paths, as [`SitePaths::add`] reads them.
    pub paths: Vec<String>,
    /// Names of mappings; none means every record, also one that no mapping takes.
    pub mappings: Vec<String>,
    /// What happens.
    pub action: Action,
}

/// Everything a site takes out.
#[derive(Clone, Debug, Default)]
pub struct SiteRules {
    /// The rules, in any order.
    pub rules: Vec<SiteRule>,
    /// The key of the hashes; without one they become masks.
    pub key: Option<Key>,
    /// Dead letters go out as they came, for a topic that is restricted.
    pub keeps_dead_letters: bool,
}

/// Which mapping's paths are meant for a body that is not being mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of the mapping that each record is found to belong to.
    Found,
    /// Those of this mapping: its topic is pinned to it.
    Pinned(u16),
    /// Those of all mappings together: nobody knows any more which topic the body came from, and topics are pinned.
    Anyone,
}

/// The rules by mapping.
#[derive(Debug)]
pub(super) struct Site {
    all: SitePaths,
    /// With those of all.
    of_mapping: HashMap<u16, SitePaths>,
    /// Of all mappings together, for records that no mapping takes.
    any: SitePaths,
    key: Option<Key>,
    keeps_dead_letters: bool,
}

impl Site {
    fn new(rules: &SiteRules, numbers: &HashMap<String, u16>) -> Result<Site, Vec<String>> {
        let (mut all, mut any, mut own) = (SitePaths::default(), SitePaths::default(), HashMap::<u16, SitePaths>::new());
        let mut faults = Vec::new();
        for rule in &rules.rules {
            let mut paths = SitePaths::default();
            for path in &rule.paths {
                faults.extend(paths.add(path, rule.action).err());
            }
            any.merge(&paths);
            if rule.mappings.is_empty() {
                all.merge(&paths);
            }
            for name in &rule.mappings {
                match numbers.get(name) {
                    Some(number) => own.entry(*number).or_default().merge(&paths),
                    None => {
                        faults.push(format!("a redaction rule names the mapping `{name}`, which does not exist; `udmill check` lists them"))
                    }
                }
            }
        }
        own.values_mut().for_each(|paths| paths.merge(&all));
        let site = Site { all, of_mapping: own, any, key: rules.key.clone(), keeps_dead_letters: rules.keeps_dead_letters };
        if faults.is_empty() { Ok(site) } else { Err(faults) }
    }

    /// Takes out of a record what its mapping's rules name, and gives the root of what is left.
    pub(super) fn record(&self, worker: &mut Worker, root: u32, mapping: Option<u16>) -> u32 {
        let paths = match mapping {
            Some(mapping) => self.of_mapping.get(&mapping).unwrap_or(&self.all),
            None => &self.any,
        };
        if paths.is_empty() {
            return root;
        }
        let Some(copy) = redacted(&mut worker.doc, &mut worker.decoder, root, paths, self.key.as_ref()) else { return root };
        // Explain tells what was seen: it must see the copy.
        classify::examine(&worker.doc, copy, &mut worker.facts);
        copy
    }

    /// What stands for bytes that are not let out, as JSON: why, how many there were and, with a key, their hash, so that they can be
    /// told from others and found again at their source.
    fn withheld(&self, code: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out = format!("{{\"udmill_withheld\":{{\"code\":\"{code}\",\"bytes\":{}", bytes.len()).into_bytes();
        if let Some(key) = &self.key {
            out.extend_from_slice(b",\"hash\":\"");
            key.hash(bytes, &mut out);
            out.push(b'"');
        }
        out.extend_from_slice(b"}}");
        out
    }
}

impl Engine {
    /// From now on takes out of every record what these rules name.
    ///
    /// # Errors
    ///
    /// Paths that cannot be read and mappings that do not exist, all at once; nothing has changed then.
    pub fn redact_site(&mut self, rules: &SiteRules) -> Result<(), Vec<String>> {
        self.site = Some(Box::new(Site::new(rules, &self.by_name)?));
        Ok(())
    }

    /// Whether a site's rules are in force.
    pub fn redacts(&self) -> bool {
        self.site.is_some()
    }

    /// As [`Engine::cut`], without what the site does not let out.
    pub fn letter(&self, worker: &mut Worker, body: &[u8], finding: u32, whose: Whose) -> Option<Vec<u8>> {
        match self.site.as_deref().filter(|site| !site.keeps_dead_letters) {
            None => self.cut(worker, body, finding).map(<[u8]>::to_vec),
            Some(site) => self.findings(site, worker, body, whose).into_iter().nth(finding as usize),
        }
    }

    /// As [`Engine::cut_each`], without what the site does not let out.
    pub fn letter_each(&self, worker: &mut Worker, body: &[u8], whose: Whose, mut each: impl FnMut(u32, &[u8])) {
        match self.site.as_deref().filter(|site| !site.keeps_dead_letters) {
            None => self.cut_each(worker, body, each),
            Some(site) => (0..).zip(self.findings(site, worker, body, whose)).for_each(|(finding, bytes)| each(finding, &bytes)),
        }
    }

    /// The dead letter of a whole body.
    pub fn whole_letter(&self, worker: &mut Worker, body: &[u8], whose: Whose) -> Vec<u8> {
        match self.site.as_deref().filter(|site| !site.keeps_dead_letters) {
            None => body.to_vec(),
            Some(site) => self.whole(site, worker, body, whose),
        }
    }

    /// The copy of a message that an output of raw messages gets; `None` where it is the message itself. One record is a message of its
    /// own; several, also those that came as an array or as lines, come out as `{"records":[...]}`.
    pub fn raw_copy(&self, worker: &mut Worker, body: &[u8], whose: Whose) -> Option<Vec<u8>> {
        self.site.as_deref().map(|site| self.whole(site, worker, body, whose))
    }

    fn whole(&self, site: &Site, worker: &mut Worker, body: &[u8], whose: Whose) -> Vec<u8> {
        let mut findings = self.findings(site, worker, body, whose);
        match findings.len() {
            0 => site.withheld("panic", body),
            1 => findings.swap_remove(0),
            _ => [b"{\"records\":[", findings.join(&b","[..]).as_slice(), b"]}"].concat(),
        }
    }

    /// Every finding of a body as it may leave, in order; none after a panic.
    fn findings(&self, site: &Site, worker: &mut Worker, body: &[u8], whose: Whose) -> Vec<Vec<u8>> {
        let found = catch_unwind(AssertUnwindSafe(|| self.findings_of(site, worker, body, whose)));
        found.unwrap_or_else(|_| {
            worker.start_over();
            Vec::new()
        })
    }

    fn findings_of(&self, site: &Site, worker: &mut Worker, body: &[u8], whose: Whose) -> Vec<Vec<u8>> {
        let mut found = std::mem::take(&mut worker.found);
        worker.decoder.decode(body, &mut worker.doc, &mut found);
        let (text, nodes) = (worker.doc.text.len(), worker.doc.nodes.len());
        let mut out = Vec::with_capacity(found.len());
        for one in &found {
            let (code, span) = match one {
                Found::Record { root, .. } => {
                    let mapping = match whose {
                        Whose::Pinned(mapping) => Some(mapping),
                        Whose::Anyone => None,
                        Whose::Found => {
                            classify::examine(&worker.doc, *root, &mut worker.facts);
                            self.classifier.find(&worker.facts).map(|(mapping, _)| *mapping)
                        }
                    };
                    let root = site.record(worker, *root, mapping);
                    let mut json = Vec::new();
                    worker.doc.write_json(root, &mut json);
                    out.push(json);
                    worker.doc.text.truncate(text);
                    worker.doc.nodes.truncate(nodes);
                    continue;
                }
                Found::Broken { code, span, .. } => (code, span),
                Found::Empty { reason, span } => (reason, span),
            };
            let bytes = span.clone().and_then(|span| worker.decoder.text(body).get(span)).unwrap_or(body);
            out.push(site.withheld(code, bytes));
        }
        worker.found = found;
        out
    }
}
