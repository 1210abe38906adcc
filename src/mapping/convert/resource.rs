//! Azure Resource Manager ids.

use super::{Converter, Gives, Param, ParamKind, utf8};
use crate::plan::convert::{Args, Fault, Input, Output, Places, Taking};
use std::ops::Range;

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

/// The only part that keeps its case.
const NAME: i64 = index("name");
const TYPE: i64 = index("type");
const PROVIDER: i64 = index("provider");
const SUBSCRIPTION: i64 = index("subscription");
const GROUP: i64 = index("resource_group");
const PARENT: i64 = index("parent");
const GROUP_ID: i64 = index("group_id");
const SUBSCRIPTION_ID: i64 = index("subscription_id");
const MANAGEMENT_GROUP: i64 = index("management_group");
const TENANT: i64 = index("tenant");

/// The index of a part; a name that is none does not compile.
const fn index(name: &str) -> i64 {
    let mut at = 0;
    loop {
        let (part, wanted) = (PARTS[at].as_bytes(), name.as_bytes());
        let mut same = 0;
        while same < part.len() && same < wanted.len() && part[same] == wanted[same] {
            same += 1;
        }
        if same == part.len() && same == wanted.len() {
            return at as i64;
        }
        at += 1;
    }
}

/// A record's rows ask for many parts of one id.
pub(super) const TAKING: Taking = Taking { take, give };

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
const MAX_DEPTH: u32 = 8;

const FAULT: Fault = Fault("not_a_resource_id");

/// The pieces of an id, all of them parts of its text: nothing is copied before it is known what is asked for.
#[derive(Default)]
struct Id {
    tenant: Piece,
    management_group: Piece,
    subscription: Piece,
    group: Piece,
    /// Of the last `/providers/`.
    provider: Piece,
    /// Type and name pairs behind the last provider, with the slashes between them.
    types: Piece,
    /// The same without the last pair.
    outer: Piece,
    /// How many pairs `types` holds.
    depth: u32,
    /// The name in the last pair; empty for a collection.
    last: Piece,
    /// Provider and pairs before the last `/providers/`, when they are a resource: the target of an extension such as a role assignment.
    /// Empty when there are none.
    scope: (Piece, Piece),
}

/// Where a piece of an id begins and ends.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    start: u32,
    end: u32,
}

impl Piece {
    fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
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
}

impl Iterator for Pieces<'_> {
    /// Where it begins and ends.
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        while self.at < self.text.len() {
            let start = self.at;
            let end = self.slashes.next().unwrap_or(self.text.len());
            self.at = end + 1;
            if end > start {
                return Some(start..end);
            }
        }
        None
    }
}

impl Id {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut id = Self::default();
        if text.first() != Some(&b'/') || u32::try_from(text.len()).is_err() {
            return None;
        }
        let piece = |start: usize, end: usize| Piece { start: start as u32, end: end.min(text.len()) as u32 };
        let mut pieces = Pieces::of(text);
        let mut types_start = 0;
        let mut any = false;
        loop {
            let start = pieces.at;
            let Some(kind) = pieces.next().map(|kind| &text[kind]) else { break };
            any = true;
            if kind.eq_ignore_ascii_case(b"providers") {
                let provider = pieces.next()?;
                if id.depth > 0 {
                    id.scope = (id.provider, id.types);
                }
                id.provider = piece(provider.start, provider.end);
                (id.types, id.outer, id.last, id.depth) = Default::default();
                types_start = pieces.at;
            } else if id.provider.is_empty() {
                let name = pieces.next()?;
                let name = piece(name.start, name.end);
                match kind {
                    _ if kind.eq_ignore_ascii_case(b"subscriptions") => id.subscription = name,
                    _ if kind.eq_ignore_ascii_case(b"resourcegroups") => id.group = name,
                    _ if kind.eq_ignore_ascii_case(b"tenants") => id.tenant = name,
                    _ => return None,
                }
            } else {
                if id.depth == MAX_DEPTH {
                    return None;
                }
                // A collection without a name (`.../virtualMachines`) is what list operations name.
                id.last = pieces.next().map_or(Piece::default(), |name| piece(name.start, name.end));
                id.depth += 1;
                id.outer = piece(types_start, start);
                id.types = piece(types_start, pieces.at);
                if kind.eq_ignore_ascii_case(b"managementgroups") && id.provider.of(text).eq_ignore_ascii_case(b"microsoft.management") {
                    id.management_group = id.last;
                }
            }
        }
        any.then_some(id)
    }

    fn to_places(&self) -> Places {
        let mut places = Places::default();
        let pieces = [
            self.tenant,
            self.management_group,
            self.subscription,
            self.group,
            self.provider,
            self.types,
            self.outer,
            self.last,
            self.scope.0,
            self.scope.1,
        ];
        for (to, piece) in places.0.as_chunks_mut::<2>().0.iter_mut().zip(pieces) {
            *to = [piece.start, piece.end];
        }
        places.0[20] = self.depth;
        places
    }

    fn from_places(places: &Places) -> Id {
        let piece = |at: usize| Piece { start: places.0[2 * at], end: places.0[2 * at + 1] };
        Id {
            tenant: piece(0),
            management_group: piece(1),
            subscription: piece(2),
            group: piece(3),
            provider: piece(4),
            types: piece(5),
            outer: piece(6),
            last: piece(7),
            scope: (piece(8), piece(9)),
            depth: places.0[20],
        }
    }

    /// The name of the innermost thing.
    fn name(&self) -> Piece {
        match () {
            () if self.depth > 0 => self.last,
            () if !self.provider.is_empty() => Piece::default(),
            () if !self.group.is_empty() => self.group,
            () if !self.subscription.is_empty() => self.subscription,
            () => self.tenant,
        }
    }

    fn write_type(&self, text: &[u8], out: &mut Vec<u8>) {
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
            out.extend_from_slice(self.provider.of(text));
            let types = self.types.of(text);
            // Every second piece is a name.
            Pieces::of(types).step_by(2).for_each(|kind| write_piece(&types[kind], out));
        }
    }

    /// The id down to the group, or the subscription or tenant when there is no group.
    fn write_scope(&self, text: &[u8], with_group: bool, out: &mut Vec<u8>) {
        let group = if with_group { self.group } else { Piece::default() };
        for (kind, name) in [(&b"/tenants"[..], self.tenant), (b"/subscriptions", self.subscription), (b"/resourcegroups", group)] {
            if !name.is_empty() {
                out.extend_from_slice(kind);
                write_piece(name.of(text), out);
            }
        }
    }

    fn write_id(&self, text: &[u8], out: &mut Vec<u8>) {
        self.write_scope(text, true, out);
        let (provider, types) = self.scope;
        for (provider, types) in [(provider, types), (self.provider, self.types)] {
            if !provider.is_empty() {
                write_resource(provider.of(text), types.of(text), out);
            }
        }
    }

    fn write_parent(&self, text: &[u8], out: &mut Vec<u8>) {
        let (provider, types) = self.scope;
        if provider.is_empty() && self.depth < 2 {
            return;
        }
        self.write_scope(text, true, out);
        if !provider.is_empty() {
            write_resource(provider.of(text), types.of(text), out);
        }
        if self.depth > 1 {
            write_resource(self.provider.of(text), self.outer.of(text), out);
        }
    }
}

fn write_resource(provider: &[u8], types: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"/providers");
    write_piece(provider, out);
    Pieces::of(types).for_each(|piece| write_piece(&types[piece], out));
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

/// Takes an id apart; what its parts are is told by [`give`].
fn take(text: &[u8]) -> Result<Places, Fault> {
    Ok(Id::parse(trimmed(text)?).ok_or(FAULT)?.to_places())
}

/// One part of an id that [`take`] has taken apart.
fn give(text: &[u8], places: &Places, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let (text, id) = (trimmed(text)?, Id::from_places(places));
    let start = out.len();
    let mut put = |piece: Piece| out.extend_from_slice(piece.of(text));
    match args.numbers[0] {
        NAME => put(id.name()),
        TYPE => id.write_type(text, out),
        PROVIDER => put(id.provider),
        SUBSCRIPTION => put(id.subscription),
        GROUP => put(id.group),
        PARENT => id.write_parent(text, out),
        GROUP_ID if !id.group.is_empty() => id.write_scope(text, true, out),
        SUBSCRIPTION_ID if !id.subscription.is_empty() => id.write_scope(text, false, out),
        GROUP_ID | SUBSCRIPTION_ID => {}
        MANAGEMENT_GROUP => put(id.management_group),
        TENANT => put(id.tenant),
        _ => id.write_id(text, out),
    }
    if out.len() == start {
        return Ok(Output::Absent);
    }
    if args.numbers[0] != NAME {
        out[start..].make_ascii_lowercase();
    }
    Ok(Output::Text)
}

fn resource_id(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    let Input::Text(text) = input else { return Err(FAULT) };
    give(text, &take(text)?, args, out)
}
