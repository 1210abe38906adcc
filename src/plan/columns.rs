//! Columns of table rows as the members they came from.
//!
//! Log Analytics flattens a record into columns: `identity.claim.upn` becomes `identity_claim_upn_s`, `properties.httpStatusCode` becomes
//! `httpStatusCode_d`, and the portal's export adds the zone to the names of times (`TimeGenerated [UTC]`). A plan knows every path it
//! reads, so it can say of a column which of them it is; nothing is guessed for names that no path has. Only rows come here: other records
//! never see this table.

use super::Plan;
use super::resolve::Tools;
use super::state::State;
use super::trie::{NONE, Trie};
use super::value::{NO_NODE, Slot, Value};
use super::walk;
use crate::decode::Kind;

/// The column that holds what did not fit into a table's 500 columns, as JSON.
const OVERFLOW: &[u8] = b"AdditionalFields";

/// Column names and the places of the record's tree they stand for.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// A tree of one level; the `slot` of a node is a place in the plan's own tree.
    names: Trie,
    root: u32,
}

impl Columns {
    pub fn new() -> Columns {
        let mut names = Trie::new();
        let root = names.root();
        Columns { names, root }
    }

    /// The column of the path with these members leads to `place`. A name that is taken keeps its place: the mapping's first path wins.
    pub fn add(&mut self, members: &[&str], place: u32) {
        let inside = members.first().filter(|first| first.eq_ignore_ascii_case("properties")).map(|_| &members[1..]);
        for members in [Some(members), inside].into_iter().flatten() {
            let name = column(members);
            if !name.is_empty() {
                let node = self.names.grow(self.root, &name);
                let node = self.names.node_mut(node);
                if node.slot == NONE {
                    node.slot = place;
                }
            }
        }
    }

    fn place(&self, name: &[u8]) -> Option<u32> {
        self.names.child(self.root, name).map(|(node, _)| self.names.node(node).slot)
    }
}

/// `["identity", "claim", "http://schemas.x.org/upn"]` as a column: `identity_claim_http_schemas_x_org_upn`.
fn column(members: &[&str]) -> String {
    let mut name = String::new();
    for part in members.iter().flat_map(|member| member.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')) {
        if !part.is_empty() {
            if !name.is_empty() {
                name.push('_');
            }
            name.push_str(part);
        }
    }
    name
}

/// The name without the type suffix of AzureDiagnostics and without the portal's zone.
fn plain(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b" [UTC]").unwrap_or(name);
    match name {
        [rest @ .., b'_', b's' | b'd' | b'b' | b'g' | b't'] if !rest.is_empty() => rest,
        _ => name,
    }
}

impl Plan {
    /// Fills the slots of the paths that the columns of a row stand for. A member that a path names itself was walked before and keeps its
    /// place; so do values that the row carries under their own names.
    pub(crate) fn walk_columns(&self, state: &mut State, tools: &mut Tools<'_>, row: u32) {
        if let Some(columns) = &self.columns {
            self.columns_of(columns, state, tools, row, false);
        }
    }

    fn columns_of(&self, columns: &Columns, state: &mut State, tools: &mut Tools<'_>, row: u32, is_overflow: bool) {
        let object = tools.doc.node(row);
        if object.kind != Kind::Object {
            return;
        }
        let mut at = row + 1;
        for _ in 0..object.len {
            let value = at + 1;
            let name = tools.doc.str(at);
            let own = self.trie.child(self.record_root, name).map(|(place, _)| place);
            if own.is_none() || is_overflow {
                let stripped = plain(name);
                let place = own
                    .or_else(|| columns.place(name))
                    .or_else(|| self.trie.child(self.record_root, stripped).map(|(place, _)| place))
                    .or_else(|| columns.place(stripped));
                let opens = place.is_none() && !is_overflow && name.eq_ignore_ascii_case(OVERFLOW);
                if let Some(place) = place {
                    self.meet_column(state, tools, place, value);
                } else if opens && let Some(inside) = walk::open(state, tools.doc, tools.decoder, value) {
                    self.columns_of(columns, state, tools, inside, true);
                }
            }
            at = tools.doc.after(value);
        }
    }

    /// Gives a column's value to its place, unless something is there already. A column of objects may hold them as text.
    fn meet_column(&self, state: &mut State, tools: &mut Tools<'_>, place: u32, value: u32) {
        let here = self.trie.node(place);
        if here.slot != NONE && state.slots[here.slot as usize].node != NO_NODE {
            return;
        }
        if here.is_leaf {
            let slot = Slot { value: Value::of(tools.doc, tools.doc.node(value)), node: value };
            return self.set_slot(state, here.slot, slot);
        }
        let is_object_text = !here.children.is_empty() && here.json == NONE && tools.doc.node(value).kind == Kind::Str;
        let node = if is_object_text { walk::open(state, tools.doc, tools.decoder, value).unwrap_or(value) } else { value };
        self.meet(state, tools.doc, tools.decoder, place, false, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns() {
        assert_eq!(column(&["identity", "claim", "http://schemas.x.org/ws/upn"]), "identity_claim_http_schemas_x_org_ws_upn");
        for (name, expected) in [
            ("httpStatusCode_d", "httpStatusCode"),
            ("identity_claim_oid_g", "identity_claim_oid"),
            ("TimeGenerated [UTC]", "TimeGenerated"),
            ("lastModified_t [UTC]", "lastModified"),
            ("_s", "_s"),
            ("a_x", "a_x"),
            ("Category", "Category"),
        ] {
            assert_eq!(plain(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn members_of_properties_also_stand_alone() {
        let mut columns = Columns::new();
        columns.add(&["properties", "statusCode"], 7);
        columns.add(&["statusCode", "x"], 8);
        columns.add(&["properties"], 9);
        assert_eq!(columns.place(b"STATUSCODE"), Some(7));
        assert_eq!(columns.place(b"properties_statusCode"), Some(7));
        assert_eq!(columns.place(b"statusCode_x"), Some(8));
        assert_eq!(columns.place(b"other"), None);
    }
}
