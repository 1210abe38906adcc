//! metadata.product_log_id: the field the mapping declares unique, or a hash of the record's content.

use super::Plan;
use super::redact;
use super::resolve::Tools;
use super::state::State;
use super::value::{NumberText, Tag};

impl Plan {
    /// Puts the record's identity into `id`.
    ///
    /// Without a declared field it is 128 bits of BLAKE3 over the record's names and values in document order, as compact JSON: no
    /// white space, envelope or index takes part, so re-batching and replay give the same id.
    pub(crate) fn identify(&self, state: &mut State, tools: &mut Tools<'_>, record: u32, id: &mut Vec<u8>) {
        id.clear();
        for source in &self.id {
            let slot = self.read(state, tools.doc, tools.decoder, source);
            if !slot.value.is_absent() && slot.value.tag != Tag::Container {
                let mut number = NumberText::default();
                let shown = slot.value.shown(&tools.doc.text, &mut number);
                // A secret is no identity to show around; the hash tells such records apart without it.
                if redact::holds_sensitive_tree(shown) || (state.suspicious && tools.redactor.redact(shown, id)) {
                    id.clear();
                    continue;
                }
                id.extend_from_slice(shown);
                state.mark_read(slot.node);
                return;
            }
        }
        tools.doc.write_json(record, id);
        let hash = blake3::hash(id);
        id.clear();
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for byte in &hash.as_bytes()[..16] {
            id.extend_from_slice(&[HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
        }
    }
}
