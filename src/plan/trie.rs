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
    parent: u32,
    child: u32,
    start: u32,
    len: u32,
    /// The slot of a child where paths only end: the walk then needs no more than the edge. `NONE` elsewhere.
    leaf: u32,
    /// The two ends of the name: all of it up to sixteen bytes.
    ends: (u64, u64),
}

const VACANT: Edge = Edge { parent: NONE, child: NONE, start: 0, len: 0, leaf: NONE, ends: (0, 0) };

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
        self.find(parent, name, NONE).map(|found| (found.child, found.exact))
    }

    /// The child of `parent` called `name`. `guess` is where its edge may stand: the members of a log's records come in one order, so the
    /// place where the name was found last time nearly always saves the search.
    #[inline(always)]
    pub fn find(&self, parent: u32, name: &[u8], guess: u32) -> Option<Found> {
        let ends = ends(name);
        if let Some(edge) = self.edges.get(guess as usize)
            && edge.ends == ends
            && edge.len as usize == name.len()
            && edge.parent == parent
            && (name.len() <= 16 || self.name(edge) == name)
        {
            return Some(Found { at: guess, child: edge.child, leaf: edge.leaf, exact: true });
        }
        self.search(parent, name, ends)
    }

    #[inline(never)]
    fn search(&self, parent: u32, name: &[u8], ends: (u64, u64)) -> Option<Found> {
        let mask = self.edges.len() - 1;
        let mut at = hash(parent, name.len(), ends) as usize & mask;
        loop {
            let edge = &self.edges[at];
            if edge.child == NONE {
                return None;
            }
            if edge.parent == parent && edge.len as usize == name.len() {
                let found = Found { at: at as u32, child: edge.child, leaf: edge.leaf, exact: true };
                if edge.ends == ends && (name.len() <= 16 || self.name(edge) == name) {
                    return Some(found);
                }
                if self.name(edge).eq_ignore_ascii_case(name) {
                    return Some(Found { exact: false, ..found });
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn name(&self, edge: &Edge) -> &[u8] {
        &self.names[edge.start as usize..(edge.start + edge.len) as usize]
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
        self.place(Edge { parent, child, start, len: name.len() as u32, leaf: NONE, ends: ends(name.as_bytes()) });
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
        let mut at = hash(edge.parent, edge.len as usize, edge.ends) as usize & mask;
        while self.edges[at].child != NONE {
            at = (at + 1) & mask;
        }
        self.edges[at] = edge;
    }
}

/// The first and the last eight bytes of a name; shorter names padded.
#[inline]
fn ends(name: &[u8]) -> (u64, u64) {
    let n = name.len();
    if n >= 8 {
        (word(&name[..8]), word(&name[n - 8..]))
    } else if n >= 4 {
        (half(&name[..4]), half(&name[n - 4..]))
    } else {
        // First, middle and last byte are all there are.
        match name {
            [] => (0, 0),
            _ => (u64::from(name[0]) | u64::from(name[n / 2]) << 8 | u64::from(name[n - 1]) << 16, 0),
        }
    }
}

/// Length and both ends with the case bit set: claim URIs share long prefixes, so both ends count.
#[inline]
fn hash(parent: u32, len: usize, (head, tail): (u64, u64)) -> u32 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let mixed = (head | CASE) ^ (tail | CASE).rotate_left(23) ^ (u64::from(parent) << 40) ^ ((len as u64) << 56);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[inline]
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
