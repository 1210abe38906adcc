//! Azure Resource Manager ids.

use super::{Converter, Gives, Param, ParamKind, utf8};
use crate::plan::convert::{Args, Fault, Input, Output};

/// What can be asked of an id; a call holds the index.
const PARTS: &[&str] = &[
    "id",
    "name",
    "type",
    "provider",
    "subscription",
    "resource_group",
    "parent",
    "group_id",
    "subscription_id",
    "management_group",
    "tenant",
];

/// The index of the only part that keeps its case.
const NAME: i64 = 1;

/// See [`super`].
pub(super) const CONVERTERS: &[Converter] = &[Converter {
    name: "resource_id",
    run: resource_id,
    takes: "text of an ARM id",
    gives: Gives::Text,
    params: &[Param { name: "", kind: ParamKind::Word(PARTS), required: true, doc: "Which part." }],
    doc: "One part of an Azure Resource Manager id. `id`: the whole id in lower case without doubled slashes. `name`: the last name, its case kept. \
          `type`: provider and type chain in lower case, `microsoft.keyvault/vaults`; of a group, a subscription, a tenant or a management group \
          the type that ARM gives it. `provider`: `microsoft.keyvault`. `subscription`, `resource_group`, `tenant`, `management_group`: the bare \
          name in lower case. `parent`: the id of what the resource lies in, when that is a resource. `group_id`, `subscription_id`: the ids of \
          its group and subscription. All but `name` in lower case, because ARM ids are compared without case and written in any. A part that \
          the id does not have is absent; text that is no ARM id is refused.",
    examples: &[
        (
            "{ resource_id = \"id\" }",
            "/SUBSCRIPTIONS/S1//resourceGroups/G/providers/Microsoft.KeyVault/vaults/Safe",
            "/subscriptions/s1/resourcegroups/g/providers/microsoft.keyvault/vaults/safe",
        ),
        ("{ resource_id = \"name\" }", "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/Safe", "Safe"),
        (
            "{ resource_id = \"type\" }",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/a/databases/b",
            "microsoft.sql/servers/databases",
        ),
        (
            "{ resource_id = \"parent\" }",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/a/databases/b",
            "/subscriptions/s/resourcegroups/g/providers/microsoft.sql/servers/a",
        ),
        ("{ resource_id = \"subscription\" }", "/subscriptions/S1/resourceGroups/G", "s1"),
        ("{ resource_id = \"resource_group\" }", "/subscriptions/S1/resourceGroups/G", "g"),
        ("{ resource_id = \"group_id\" }", "/subscriptions/S1", "absent"),
        ("{ resource_id = \"name\" }", "not an id", "fault:not_a_resource_id"),
    ],
}];

/// How many type and name pairs may follow one provider; ARM ids of today have five.
const MAX_DEPTH: usize = 8;

/// The pieces of an id, all of them parts of its text: nothing is copied before it is known what is asked for.
#[derive(Default)]
struct Id<'a> {
    tenant: &'a [u8],
    management_group: &'a [u8],
    subscription: &'a [u8],
    group: &'a [u8],
    /// Of the last `/providers/`.
    provider: &'a [u8],
    /// Type and name pairs behind the last provider, with the slashes between them.
    types: &'a [u8],
    /// The same without the last pair.
    outer: &'a [u8],
    /// How many pairs `types` holds.
    depth: usize,
    /// The name in the last pair; empty for a collection.
    last: &'a [u8],
    /// Provider and pairs before the last `/providers/`, when they are a resource: the target of an extension such as a role assignment.
    scope: Option<(&'a [u8], &'a [u8])>,
}

/// What stands between slashes. A slash too many (`//`, seen in VNet flow records) or at the end names nothing.
struct Pieces<'a> {
    text: &'a [u8],
    /// Where the next piece starts; up to one behind the end.
    at: usize,
    slashes: Slashes<'a>,
}

/// The places of a text's slashes. Pieces are short, so what counts is what one place costs: eight bytes are compared in a register.
struct Slashes<'a> {
    text: &'a [u8],
    /// Where the word in hand begins.
    base: usize,
    /// The top bit of each of its bytes that is a slash and was not told yet.
    left: u64,
}

impl<'a> Slashes<'a> {
    #[inline]
    fn of(text: &'a [u8]) -> Self {
        Self { text, base: 0, left: Self::word(text, 0) }
    }

    /// The slashes among the eight bytes from `base` on.
    #[inline]
    fn word(text: &[u8], base: usize) -> u64 {
        const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
        let rest = &text[base..];
        let bytes = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            bytes
        });
        let other = u64::from_le_bytes(bytes) ^ u64::from_le_bytes([b'/'; 8]);
        !(((other & LOW) + LOW) | other | LOW)
    }
}

impl Iterator for Slashes<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            if self.base + 8 >= self.text.len() {
                return None;
            }
            self.base += 8;
            self.left = Self::word(self.text, self.base);
        }
        let at = self.base + self.left.trailing_zeros() as usize / 8;
        self.left &= self.left - 1;
        Some(at)
    }
}

impl<'a> Pieces<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0, slashes: Slashes::of(text) }
    }

    /// The text from `start` to where the next piece starts.
    fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at.min(self.text.len())]
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at < self.text.len() {
            let start = self.at;
            let end = self.slashes.next().unwrap_or(self.text.len());
            self.at = end + 1;
            if end > start {
                return Some(&self.text[start..end]);
            }
        }
        None
    }
}

impl<'a> Id<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut id = Self::default();
        if text.first() != Some(&b'/') {
            return None;
        }
        let mut pieces = Pieces::of(text);
        let mut types_start = 0;
        let mut any = false;
        loop {
            let start = pieces.at;
            let Some(piece) = pieces.next() else { break };
            any = true;
            if piece.eq_ignore_ascii_case(b"providers") {
                let provider = pieces.next()?;
                if id.depth > 0 {
                    id.scope = Some((id.provider, id.types));
                }
                (id.provider, id.types, id.outer, id.last, id.depth) = (provider, b"", b"", b"", 0);
                types_start = pieces.at;
            } else if id.provider.is_empty() {
                let name = pieces.next()?;
                match piece {
                    _ if piece.eq_ignore_ascii_case(b"subscriptions") => id.subscription = name,
                    _ if piece.eq_ignore_ascii_case(b"resourcegroups") => id.group = name,
                    _ if piece.eq_ignore_ascii_case(b"tenants") => id.tenant = name,
                    _ => return None,
                }
            } else {
                if id.depth == MAX_DEPTH {
                    return None;
                }
                // A collection without a name (`.../virtualMachines`) is what list operations name.
                id.last = pieces.next().unwrap_or_default();
                id.depth += 1;
                id.outer = &text[types_start..start];
                id.types = pieces.since(types_start);
                if piece.eq_ignore_ascii_case(b"managementgroups") && id.provider.eq_ignore_ascii_case(b"microsoft.management") {
                    id.management_group = id.last;
                }
            }
        }
        any.then_some(id)
    }

    /// The name of the innermost thing.
    fn name(&self) -> &'a [u8] {
        match () {
            () if self.depth > 0 => self.last,
            () if !self.provider.is_empty() => b"",
            () if !self.group.is_empty() => self.group,
            () if !self.subscription.is_empty() => self.subscription,
            () => self.tenant,
        }
    }

    fn write_type(&self, out: &mut Vec<u8>) {
        if self.provider.is_empty() {
            let scope: &[u8] = if !self.group.is_empty() {
                b"microsoft.resources/resourcegroups"
            } else if !self.subscription.is_empty() {
                b"microsoft.resources/subscriptions"
            } else {
                b"microsoft.resources/tenants"
            };
            out.extend_from_slice(scope);
        } else if self.depth > 0 {
            out.extend_from_slice(self.provider);
            // Every second piece is a name.
            Pieces::of(self.types).step_by(2).for_each(|kind| write_piece(kind, out));
        }
    }

    /// The id down to the group, or the subscription or tenant when there is no group.
    fn write_scope(&self, with_group: bool, out: &mut Vec<u8>) {
        let group: &[u8] = if with_group { self.group } else { b"" };
        for (kind, name) in [(&b"/tenants"[..], self.tenant), (b"/subscriptions", self.subscription), (b"/resourcegroups", group)] {
            if !name.is_empty() {
                out.extend_from_slice(kind);
                write_piece(name, out);
            }
        }
    }

    fn write_id(&self, out: &mut Vec<u8>) {
        self.write_scope(true, out);
        if let Some((provider, types)) = self.scope {
            write_resource(provider, types, out);
        }
        if !self.provider.is_empty() {
            write_resource(self.provider, self.types, out);
        }
    }

    fn write_parent(&self, out: &mut Vec<u8>) {
        if self.scope.is_none() && self.depth < 2 {
            return;
        }
        self.write_scope(true, out);
        if let Some((provider, types)) = self.scope {
            write_resource(provider, types, out);
        }
        if self.depth > 1 {
            write_resource(self.provider, self.outer, out);
        }
    }
}

fn write_resource(provider: &[u8], types: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"/providers");
    write_piece(provider, out);
    Pieces::of(types).for_each(|piece| write_piece(piece, out));
}

fn write_piece(piece: &[u8], out: &mut Vec<u8>) {
    out.push(b'/');
    out.extend_from_slice(piece);
}

/// Without white space at both ends. The text is UTF-8 as decode hands it out; a slash is never part of a longer character.
fn trimmed(text: &[u8]) -> Result<&[u8], Fault> {
    match text {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => Ok(text),
        _ => Ok(utf8(text)?.trim().as_bytes()),
    }
}

fn resource_id(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    const FAULT: Fault = Fault("not_a_resource_id");
    let Input::Text(text) = input else { return Err(FAULT) };
    let id = Id::parse(trimmed(text)?).ok_or(FAULT)?;
    let start = out.len();
    // In the order of `PARTS`.
    match args.numbers[0] {
        NAME => out.extend_from_slice(id.name()),
        2 => id.write_type(out),
        3 => out.extend_from_slice(id.provider),
        4 => out.extend_from_slice(id.subscription),
        5 => out.extend_from_slice(id.group),
        6 => id.write_parent(out),
        7 if !id.group.is_empty() => id.write_scope(true, out),
        8 if !id.subscription.is_empty() => id.write_scope(false, out),
        7 | 8 => {}
        9 => out.extend_from_slice(id.management_group),
        10 => out.extend_from_slice(id.tenant),
        _ => id.write_id(out),
    }
    if out.len() == start {
        return Ok(Output::Absent);
    }
    if args.numbers[0] != NAME {
        out[start..].make_ascii_lowercase();
    }
    Ok(Output::Text)
}
