//! [`Trie`]: every source path of a plan as one tree, its edges in one open-addressed table.
//!
//! A record is walked once; at every member one probe tells whether any path goes on there. Names match without ASCII case; the
//! probe says whether the spelling was the mapping's own.

/// No slot, no child.
pub(crate) const NONE: u32 = u32::MAX;

/// One place of the tree.
#[derive(Clone, Debug)]
pub(crate) struct TrieNode {
    /// The slot that takes the value found here.
    pub slot: u32,
    /// Where paths go on inside the JSON text found here.
    pub json: u32,
    /// A slot and nothing below: set when the trie is finished.
    pub is_leaf: bool,
    /// Children by name: to walk into an object only when there are some, and to forget a subtree.
    pub children: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    key: Key,
    child: u32,
    start: u32,
    /// The slot of a child where paths only end: the walk then needs no more than the edge. `NONE` elsewhere.
    leaf: u32,
}

/// What an edge is found by; the whole name up to sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The first sixteen bytes, zeros behind them.
    head: (u64, u64),
    parent: u32,
    len: u32,
}

const VACANT: Edge = Edge { key: Key { head: (0, 0), parent: NONE, len: 0 }, child: NONE, start: 0, leaf: NONE };

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Where its edge stands, to be guessed next time.
    pub at: u32,
    pub child: u32,
    /// The child's slot when paths only end there, else `NONE`.
    pub leaf: u32,
    /// Whether the spelling was the mapping's own.
    pub exact: bool,
}

/// Names that were looked for in vain, each under the number of its plan: what no path reads is not searched for anew in every record.
#[derive(Debug)]
pub(crate) struct Unread(Vec<(u32, Key)>);

impl Default for Unread {
    fn default() -> Unread {
        Unread(vec![(NONE, VACANT.key); 1 << Unread::BITS])
    }
}

impl Unread {
    /// A log has few such names; two that meet in one place cost a search.
    const BITS: u32 = 6;

    #[inline]
    fn place(key: Key) -> usize {
        let mixed = key.head.0 ^ key.head.1.rotate_left(32) ^ u64::from(key.parent) << 32 ^ u64::from(key.len);
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - Unread::BITS)) as usize
    }

    #[inline]
    pub fn holds(&self, plan: u32, key: Key) -> bool {
        self.0[Unread::place(key)] == (plan, key)
    }

    pub fn keep(&mut self, plan: u32, key: Key) {
        self.0[Unread::place(key)] = (plan, key);
    }
}

/// The tree of source paths. Roots (record, payload, each `each`) are made by [`Trie::root`].
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    nodes: Vec<TrieNode>,
    edges: Vec<Edge>,
    used: usize,
    names: Vec<u8>,
}

impl Trie {
    pub fn new() -> Trie {
        Trie { nodes: Vec::new(), edges: vec![VACANT; 64], used: 0, names: Vec::new() }
    }

    pub fn root(&mut self) -> u32 {
        self.nodes.push(TrieNode { slot: NONE, json: NONE, is_leaf: false, children: Vec::new() });
        self.nodes.len() as u32 - 1
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub fn node(&self, at: u32) -> &TrieNode {
        &self.nodes[at as usize]
    }

    pub fn node_mut(&mut self, at: u32) -> &mut TrieNode {
        &mut self.nodes[at as usize]
    }

    /// The child of `parent` called `name` and whether the spelling is the same.
    pub fn child(&self, parent: u32, name: &[u8]) -> Option<(u32, bool)> {
        self.search(parent, name).map(|found| (found.child, found.exact))
    }

    /// Where the number of the edge that a walk guesses next stands: the first in an object ...
    #[inline]
    pub fn guess_in(&self, place: u32) -> usize {
        self.edges.len() + place as usize
    }

    /// ... and how many guesses there are. The member after edge `at` is guessed by the number that stands at `at`.
    pub fn guesses(&self) -> usize {
        self.edges.len() + self.nodes.len()
    }

    /// The child of `parent` whose name is the text at `start` of the arena, when it is where the guess says: the members of a log's records
    /// come in one order, so the place where a name was found last time nearly always saves the search.
    #[inline(always)]
    pub fn guessed(&self, parent: u32, text: &[u8], start: usize, len: u32, guess: u32) -> Option<Found> {
        let head = text.get(start..).and_then(|rest| rest.first_chunk())?;
        let edge = self.edges.get(guess as usize)?;
        let is_here = edge.key == Key { head: masked(head, len), parent, len }
            && (len <= 16 || text.get(start..start + len as usize).is_some_and(|name| self.name(edge) == name));
        is_here.then_some(Found { at: guess, child: edge.child, leaf: edge.leaf, exact: true })
    }

    /// What the text at `start` of the arena is found by below `parent`, when that is all there is to it.
    #[inline(always)]
    pub fn key(parent: u32, text: &[u8], start: usize, len: u32) -> Option<Key> {
        let head = text.get(start..).and_then(|rest| rest.first_chunk()).filter(|_| len <= 16)?;
        Some(Key { head: masked(head, len), parent, len })
    }

    /// The child of `parent` called `name`.
    #[inline(never)]
    pub fn search(&self, parent: u32, name: &[u8]) -> Option<Found> {
        let mask = self.edges.len() - 1;
        let mut at = hash(parent, name) as usize & mask;
        loop {
            let edge = &self.edges[at];
            if edge.child == NONE {
                return None;
            }
            if edge.key.parent == parent && edge.key.len as usize == name.len() {
                let known = self.name(edge);
                if known.eq_ignore_ascii_case(name) {
                    return Some(Found { at: at as u32, child: edge.child, leaf: edge.leaf, exact: known == name });
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn name(&self, edge: &Edge) -> &[u8] {
        &self.names[edge.start as usize..(edge.start + edge.key.len) as usize]
    }

    /// The child of `parent` called `name`, made when there is none. The first spelling stays the mapping's own.
    pub fn grow(&mut self, parent: u32, name: &str) -> u32 {
        if let Some((child, _)) = self.child(parent, name.as_bytes()) {
            return child;
        }
        if self.used * 2 >= self.edges.len() {
            let old = std::mem::take(&mut self.edges);
            self.edges = vec![VACANT; old.len() * 2];
            for edge in old.into_iter().filter(|edge| edge.child != NONE) {
                self.place(edge);
            }
        }
        let child = self.root();
        let start = self.names.len() as u32;
        self.names.extend_from_slice(name.as_bytes());
        self.used += 1;
        let len = name.len() as u32;
        let mut head = [0; 16];
        let short = name.len().min(16);
        head[..short].copy_from_slice(&name.as_bytes()[..short]);
        self.place(Edge { key: Key { head: masked(&head, len), parent, len }, child, start, leaf: NONE });
        self.nodes[parent as usize].children.push(child);
        child
    }

    /// The root of what is inside the JSON text at `at`.
    pub fn grow_json(&mut self, at: u32) -> u32 {
        if self.nodes[at as usize].json == NONE {
            let inside = self.root();
            self.nodes[at as usize].json = inside;
        }
        self.nodes[at as usize].json
    }

    /// Marks the places where paths only end. Called once, when every path is in.
    pub fn finish(&mut self) {
        for node in &mut self.nodes {
            node.is_leaf = node.slot != NONE && node.json == NONE && node.children.is_empty();
        }
        for edge in self.edges.iter_mut().filter(|edge| edge.child != NONE) {
            let child = &self.nodes[edge.child as usize];
            edge.leaf = if child.is_leaf { child.slot } else { NONE };
        }
    }

    fn place(&mut self, edge: Edge) {
        let mask = self.edges.len() - 1;
        let mut at = hash(edge.key.parent, self.name(&edge)) as usize & mask;
        while self.edges[at].child != NONE {
            at = (at + 1) & mask;
        }
        self.edges[at] = edge;
    }
}

/// The first `len` bytes of sixteen, zeros for the others.
#[inline(always)]
fn masked(head: &[u8; 16], len: u32) -> (u64, u64) {
    const MASKS: [[u64; 2]; 17] = masks();
    let [low, high] = MASKS[len.min(16) as usize];
    let all = u128::from_le_bytes(*head);
    (all as u64 & low, (all >> 64) as u64 & high)
}

const fn masks() -> [[u64; 2]; 17] {
    let mut masks = [[u64::MAX; 2]; 17];
    let mut len = 0;
    while len < 16 {
        let mask = (1u128 << (8 * len)) - 1;
        masks[len] = [mask as u64, (mask >> 64) as u64];
        len += 1;
    }
    masks
}

/// Length and both ends with the case bit set: claim URIs share long prefixes, so both ends count.
fn hash(parent: u32, name: &[u8]) -> u32 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let (head, tail) = ends(name);
    let mixed = (head | CASE) ^ (tail | CASE).rotate_left(23) ^ (u64::from(parent) << 40) ^ ((name.len() as u64) << 56);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// The first and the last eight bytes of a name; shorter names padded.
fn ends(name: &[u8]) -> (u64, u64) {
    let n = name.len();
    match name {
        [] => (0, 0),
        _ if n >= 8 => (word(&name[..8]), word(&name[n - 8..])),
        _ if n >= 4 => (half(&name[..4]), half(&name[n - 4..])),
        // First, middle and last byte are all there are.
        _ => (u64::from(name[0]) | u64::from(name[n / 2]) << 8 | u64::from(name[n - 1]) << 16, 0),
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, |four| u64::from(u32::from_le_bytes(four)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_without_case_and_tell_the_spelling() {
        let mut trie = Trie::new();
        let root = trie.root();
        let mut made = Vec::new();
        for name in ["resourceId", "a", "properties", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", "time"] {
            made.push((name, trie.grow(root, name)));
        }
        for i in 0..200 {
            trie.grow(root, &format!("filler{i}"));
        }
        for (name, child) in made {
            assert_eq!(trie.child(root, name.as_bytes()), Some((child, true)), "{name}");
            assert_eq!(trie.child(root, name.to_ascii_uppercase().as_bytes()), Some((child, false)), "{name}");
            assert_eq!(trie.child(child, name.as_bytes()), None);
        }
        assert_eq!(trie.child(root, b"resourceI"), None);
        assert_eq!(trie.child(root, b""), None);
    }

    #[test]
    fn growing_twice_gives_the_same_place() {
        let mut trie = Trie::new();
        let root = trie.root();
        let first = trie.grow(root, "Claims");
        assert_eq!(trie.grow(root, "claims"), first);
        assert_eq!(trie.grow_json(first), trie.grow_json(first));
    }
}
