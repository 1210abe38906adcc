//! What a site does not let out: the values of named paths, dropped, hashed with a key or masked, before a record is mapped.
//!
//! A record is copied once without them and everything downstream reads the copy, so no output can hold what was taken. Arrays are
//! transparent: `a.b` is meant in every element of `a`. JSON inside a text is opened when a path goes on into it; a text that looks like
//! JSON and cannot be opened is withheld as a whole.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::decode::{Decoder, Doc, Kind, Node};

/// What stands for a value that is masked, or withheld because nobody can tell what it holds.
pub const MASKED: &[u8] = b"[redacted:site]";
/// What a keyed hash begins with; 64 hexadecimal digits follow.
const HASHED: &[u8] = b"hmac-sha256:";
/// JSON text inside JSON text is opened so often; what is wrapped deeper is withheld.
const MAX_OPENINGS: u8 = 3;

/// What happens to the value of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// HMAC-SHA-256 of its text, of a container the compact JSON: the same value gives the same hash.
    Hash,
    /// The words `[redacted:site]`.
    Mask,
    /// The member is gone.
    Drop,
}

/// Paths and what happens to them, as a tree of names.
#[derive(Clone, Debug, Default)]
pub struct SitePaths {
    /// In lower case: names match without case, as source paths do.
    names: BTreeMap<Vec<u8>, SitePaths>,
    /// `*`: every member.
    any: Option<Box<SitePaths>>,
    /// `[*]`: every element.
    each: Option<Box<SitePaths>>,
    action: Option<Action>,
}

impl SitePaths {
    /// Adds one path: names with dots between them, `"quoted"` where they hold other signs, `*` for every member, `[*]` for every element.
    /// Where two rules meet, the one that leaves less counts: drop, then mask, then hash.
    ///
    /// # Errors
    ///
    /// What cannot be read, and what to write instead.
    pub fn add(&mut self, path: &str, action: Action) -> Result<(), String> {
        let mut at = &mut *self;
        for step in steps(path)? {
            at = match step {
                Step::Name(name) => at.names.entry(name.to_ascii_lowercase().into_bytes()).or_default(),
                Step::Any => at.any.get_or_insert_default(),
                Step::Each => at.each.get_or_insert_default(),
            };
        }
        at.action = at.action.max(Some(action));
        Ok(())
    }

    /// Adds every path of another tree.
    pub fn merge(&mut self, other: &SitePaths) {
        for (name, inner) in &other.names {
            self.names.entry(name.clone()).or_default().merge(inner);
        }
        if let Some(inner) = &other.any {
            self.any.get_or_insert_default().merge(inner);
        }
        if let Some(inner) = &other.each {
            self.each.get_or_insert_default().merge(inner);
        }
        self.action = self.action.max(other.action);
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.action.is_none() && !self.goes_on()
    }

    fn goes_on(&self) -> bool {
        !self.names.is_empty() || self.any.is_some() || self.each.is_some()
    }
}

enum Step {
    Name(String),
    Any,
    Each,
}

/// Reads a path.
fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    let fault = |why: &str| Err(["the path `", path, "` cannot be read: ", why].concat());
    if path.is_empty() {
        return fault("it is empty");
    }
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some((name, after)) = quoted.split_once('"').filter(|(name, _)| !name.is_empty()) else {
                return fault("a quoted name is not closed, or empty");
            };
            steps.push(Step::Name(name.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            steps.push(Step::Any);
            rest = after;
        } else {
            let end = rest.find(['.', '[', '"', '*', '>', '$']).unwrap_or(rest.len());
            let name = &rest[..end];
            if name.is_empty() || name.contains(char::is_whitespace) || name.contains(']') {
                return fault(
                    "write names with dots between them, `\"a.b\"` for a name with other signs, `*` for every member, `[*]` for every element",
                );
            }
            steps.push(Step::Name(name.to_owned()));
            rest = &rest[end..];
        }
        while let Some(after) = rest.strip_prefix("[*]") {
            steps.push(Step::Each);
            rest = after;
        }
        // Text is opened wherever it holds JSON; a path of a mapping may be copied as it is.
        rest = rest.strip_prefix(">json").unwrap_or(rest);
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(steps),
            None => return fault("behind a name a dot or `[*]` is expected; single elements cannot be named"),
        }
    }
}

/// The key of the hashes: the two states of SHA-256 that HMAC (RFC 2104) starts from. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl Key {
    /// Bytes that SHA-256 takes at once; a longer key is hashed first, a shorter one filled with zeros.
    const BLOCK: usize = 64;

    /// The key of these bytes, any number of them.
    pub fn new(bytes: &[u8]) -> Key {
        let mut block = [0; Key::BLOCK];
        if bytes.len() > Key::BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(bytes));
        } else {
            block[..bytes.len()].copy_from_slice(bytes);
        }
        let state = |pad: u8| Sha256::new().chain_update(block.map(|byte| byte ^ pad));
        Key { inner: state(0x36), outer: state(0x5c) }
    }

    /// Appends `hmac-sha256:` and the hash in hexadecimal digits.
    pub fn hash(&self, bytes: &[u8], out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let inner = self.inner.clone().chain_update(bytes).finalize();
        out.extend_from_slice(HASHED);
        for byte in self.outer.clone().chain_update(inner).finalize() {
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Whether a text is what [`Key::hash`] writes: a dead letter that is read again is not hashed twice.
fn is_hash(text: &[u8]) -> bool {
    text.strip_prefix(HASHED)
        .is_some_and(|digits| digits.len() == 64 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// Copies the value at `root` without what `paths` name and gives the root of the copy, or `None` where it holds none of it. The copy is
/// appended to `doc`, whose other nodes stay as they are. Without a key, hashes become masks.
pub fn redacted(doc: &mut Doc, decoder: &mut Decoder, root: u32, paths: &SitePaths, key: Option<&Key>) -> Option<u32> {
    let mut copier = Copier { doc, decoder, key, nodes: Vec::new(), changes: 0, openings: 0 };
    if !copier.value(root, &[paths]) {
        // A record itself has no path; if it had, nothing of it would be left.
        copier.text(b"");
    }
    (copier.changes > 0).then(|| copier.place())
}

struct Copier<'a> {
    doc: &'a mut Doc,
    decoder: &'a mut Decoder,
    key: Option<&'a Key>,
    /// The copy; ends of containers count from its first node.
    nodes: Vec<Node>,
    changes: usize,
    openings: u8,
}

impl Copier<'_> {
    /// Copies one value; false when it is to be left out, and then nothing was copied.
    fn value(&mut self, at: u32, paths: &[&SitePaths]) -> bool {
        let node = self.doc.node(at);
        // Where one value stands instead of a list, the paths of its elements mean it.
        let alone: Vec<&SitePaths> = if node.kind == Kind::Array { Vec::new() } else { single(paths) };
        let paths = if alone.is_empty() { paths } else { &alone };
        if let Some(action) = paths.iter().filter_map(|paths| paths.action).max() {
            return self.act(at, action);
        }
        if !paths.iter().any(|paths| paths.goes_on()) {
            self.whole(at);
            return true;
        }
        match node.kind {
            Kind::Object => self.object(at, paths),
            Kind::Array => self.array(at, paths),
            Kind::Str => self.json_text(at, paths),
            _ => self.nodes.push(node),
        }
        true
    }

    fn act(&mut self, at: u32, action: Action) -> bool {
        let node = self.doc.node(at);
        if action == Action::Drop {
            self.changes += 1;
            return false;
        }
        // What says nothing stays; what was redacted before stays, so that redacting twice changes nothing.
        let is_done = match node.kind {
            Kind::Null => true,
            Kind::Str => node.len == 0 || self.doc.str(at) == MASKED || (action == Action::Hash && is_hash(self.doc.str(at))),
            _ => false,
        };
        if is_done {
            self.nodes.push(node);
            return true;
        }
        let mut text = Vec::new();
        match (action, self.key) {
            (Action::Hash, Some(key)) => {
                let mut plain = Vec::new();
                match node.kind {
                    Kind::Str => plain.extend_from_slice(self.doc.str(at)),
                    _ => self.doc.write_json(at, &mut plain),
                }
                key.hash(&plain, &mut text);
            }
            _ => text.extend_from_slice(MASKED),
        }
        self.text(&text);
        true
    }

    /// Puts a new text where a value stood.
    fn text(&mut self, text: &[u8]) {
        self.changes += 1;
        let at = self.doc.text.len();
        self.doc.text.extend_from_slice(text);
        self.nodes.push(Node::new(Kind::Str, text.len() as u32, at as u64));
    }

    /// Copies a value as it is.
    fn whole(&mut self, at: u32) {
        let shift = self.nodes.len() as u64;
        for index in at..self.doc.after(at) {
            let mut node = self.doc.node(index);
            if matches!(node.kind, Kind::Object | Kind::Array) {
                node.bits = node.bits - u64::from(at) + shift;
            }
            self.nodes.push(node);
        }
    }

    fn object(&mut self, at: u32, paths: &[&SitePaths]) {
        let head = self.nodes.len();
        self.nodes.push(self.doc.node(at));
        let members: Vec<(u32, u32)> = self.doc.members(at).collect();
        let mut left = 0;
        for (name, value) in members {
            let text = self.doc.str(name).to_ascii_lowercase();
            let inner: Vec<&SitePaths> = paths.iter().flat_map(|paths| [paths.names.get(&text), paths.any.as_deref()]).flatten().collect();
            let before = self.nodes.len();
            self.nodes.push(self.doc.node(name));
            if self.value(value, &inner) {
                left += 1;
            } else {
                self.nodes.truncate(before);
            }
        }
        self.close(head, left);
    }

    fn array(&mut self, at: u32, paths: &[&SitePaths]) {
        let head = self.nodes.len();
        self.nodes.push(self.doc.node(at));
        let inner: Vec<&SitePaths> = paths.iter().copied().chain(paths.iter().filter_map(|paths| paths.each.as_deref())).collect();
        let elements: Vec<u32> = self.doc.elements(at).collect();
        let mut left = 0;
        for element in elements {
            left += u32::from(self.value(element, &inner));
        }
        self.close(head, left);
    }

    fn close(&mut self, head: usize, len: u32) {
        let end = self.nodes.len() as u64;
        let node = &mut self.nodes[head];
        (node.len, node.bits) = (len, end);
    }

    /// A text into which paths go on: JSON that is opened, or plain text, which holds no member.
    fn json_text(&mut self, at: u32, paths: &[&SitePaths]) {
        let node = self.doc.node(at);
        let text = self.doc.str(at);
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii();
        if !matches!(text.first(), Some(b'{' | b'[' | b'"')) || text == MASKED {
            return self.nodes.push(node);
        }
        let opened = if self.openings < MAX_OPENINGS { self.decoder.open(self.doc, at) } else { None };
        let Some(root) = opened else { return self.text(MASKED) };
        let (outer, before) = (std::mem::take(&mut self.nodes), self.changes);
        self.openings += 1;
        let is_left = self.value(root, paths);
        self.openings -= 1;
        let is_changed = self.changes > before;
        let mut json = Vec::new();
        if is_changed && is_left {
            let root = self.place();
            self.doc.write_json(root, &mut json);
        }
        self.nodes = outer;
        if is_changed { self.text(&json) } else { self.nodes.push(node) }
    }

    /// Appends the copy to the document and gives its root.
    fn place(&mut self) -> u32 {
        let base = self.doc.nodes.len();
        for node in self.nodes.drain(..) {
            let shift = if matches!(node.kind, Kind::Object | Kind::Array) { base as u64 } else { 0 };
            self.doc.nodes.push(Node { bits: node.bits + shift, ..node });
        }
        base as u32
    }
}

/// The paths with those that mean every element, when there is one value and no list; empty where none does.
fn single<'p>(paths: &[&'p SitePaths]) -> Vec<&'p SitePaths> {
    let mut all = paths.to_vec();
    let mut at = 0;
    while at < all.len() {
        all.extend(all[at].each.as_deref());
        at += 1;
    }
    if all.len() > paths.len() { all } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Found, Limits};

    fn run(rules: &[(&str, Action)], body: &str) -> String {
        let mut paths = SitePaths::default();
        for (path, action) in rules {
            paths.add(path, *action).expect("a path");
        }
        let (mut decoder, mut doc, mut found) = (Decoder::new(Limits::default()), Doc::default(), Vec::new());
        decoder.decode(body.as_bytes(), &mut doc, &mut found);
        let Some(Found::Record { root, .. }) = found.first() else { panic!("{found:?}") };
        let root = redacted(&mut doc, &mut decoder, *root, &paths, Some(&Key::new(b"Jefe"))).unwrap_or(*root);
        let mut out = Vec::new();
        doc.write_json(root, &mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn hashes_are_those_of_rfc_4231() {
        for (name, key, text, expected) in [
            (
                "2, a short key",
                &b"Jefe"[..],
                &b"what do ya want for nothing?"[..],
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            ("1, twenty bytes", &[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                "6, a key longer than a block",
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let mut out = Vec::new();
            Key::new(key).hash(text, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("hmac-sha256:{expected}"), "case {name}");
            assert!(is_hash(&out));
        }
        assert_eq!(format!("{:?}", Key::new(b"Jefe")), "[secret]");
    }

    #[test]
    fn values_are_taken_where_paths_lead() {
        use Action::{Drop, Mask};
        for (name, rules, body, expected) in [
            ("a member", &[("a.b", Mask)][..], r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":"[redacted:site]","c":2}}"#),
            (
                "any case",
                &[("A.b", Mask)],
                r#"{"a":{"B":"x"},"A":{"b":true}}"#,
                r#"{"a":{"B":"[redacted:site]"},"A":{"b":"[redacted:site]"}}"#,
            ),
            ("dropped", &[("a.b", Drop), ("d", Drop)], r#"{"a":{"b":1},"c":2,"d":{"e":[1]}}"#, r#"{"a":{},"c":2}"#),
            ("a container", &[("a", Mask)], r#"{"a":{"b":[1,{"c":2}]},"z":1}"#, r#"{"a":"[redacted:site]","z":1}"#),
            ("through lists", &[("a.b", Drop)], r#"{"a":[{"b":1,"c":2},[{"b":3}],4]}"#, r#"{"a":[{"c":2},[{}],4]}"#),
            ("elements", &[("a[*]", Mask)], r#"{"a":["x",null,{"b":1}]}"#, r#"{"a":["[redacted:site]",null,"[redacted:site]"]}"#),
            ("one instead of a list", &[("a[*].b", Mask)], r#"{"a":{"b":1}}"#, r#"{"a":{"b":"[redacted:site]"}}"#),
            ("every member", &[("a.*.b", Drop)], r#"{"a":{"x":{"b":1},"y":{"b":2,"c":3}}}"#, r#"{"a":{"x":{},"y":{"c":3}}}"#),
            ("quoted", &[(r#"a."b.c/d""#, Drop)], r#"{"a":{"b.c/d":1,"b":{"c/d":2}}}"#, r#"{"a":{"b":{"c/d":2}}}"#),
            ("in JSON text", &[("a.b", Mask)], r#"{"a":"{\"b\":\"x\",\"c\":1}"}"#, r#"{"a":"{\"b\":\"[redacted:site]\",\"c\":1}"}"#),
            ("JSON text untouched", &[("a.z", Mask)], r#"{"a":"{\"b\": 1}"}"#, r#"{"a":"{\"b\": 1}"}"#),
            ("broken JSON text", &[("a.b", Drop)], r#"{"a":"{\"b\":\"x"}"#, r#"{"a":"[redacted:site]"}"#),
            ("plain text", &[("a.b", Drop)], r#"{"a":"words"}"#, r#"{"a":"words"}"#),
            ("said twice", &[("a", Drop)], r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2}"#),
            ("the stricter rule", &[("a.b", Mask), ("a.*", Drop)], r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{}}"#),
            ("no such path", &[("x.y", Drop)], r#"{"a":[1,{"b":"c"}]}"#, r#"{"a":[1,{"b":"c"}]}"#),
        ] {
            let once = run(rules, body);
            assert_eq!(once, expected, "case: {name}");
            assert_eq!(run(rules, &once), expected, "twice: {name}");
        }
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        let rules = [("a", Action::Hash), ("b", Action::Hash), ("c", Action::Hash)];
        let out = run(&rules, r#"{"a":"x","b":["x"],"c":"y","d":"x","e":""}"#);
        let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert!(value["a"].as_str().is_some_and(|hash| is_hash(hash.as_bytes())), "{out}");
        assert_ne!(value["a"], value["c"]);
        assert_eq!(value["d"], "x");
        assert_eq!(run(&rules, &out), out, "a hash is not hashed again");
        let numbers: serde_json::Value = serde_json::from_str(&run(&rules, r#"{"a":17,"b":"17"}"#)).expect("JSON");
        assert_eq!(numbers["a"], numbers["b"]);
    }

    #[test]
    fn paths_that_mean_nothing_are_refused() {
        for path in ["", ".a", "a.", "a..b", "a[0]", "a b", "\"a", "a[*", "$payload.x", "a\"b\""] {
            let told = SitePaths::default().add(path, Action::Drop);
            assert!(told.is_err_and(|why| why.contains(path)), "`{path}` was taken");
        }
        for path in ["a", "*", "a.*", "a[*].b", "a>json.b", "\"x.y\".z", "ünï", "a-b_c"] {
            assert_eq!(SitePaths::default().add(path, Action::Drop), Ok(()), "`{path}`");
        }
    }
}
