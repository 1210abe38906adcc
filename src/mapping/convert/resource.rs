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

/// The pieces of an id; every range is of the text.
#[derive(Default)]
struct Id<'a> {
    tenant: &'a str,
    management_group: &'a str,
    subscription: &'a str,
    group: &'a str,
    /// Of the last `/providers/`.
    provider: &'a str,
    /// Type and name pairs behind the last provider.
    types: Pairs<'a>,
    /// What stands before the last `/providers/`, when it holds a resource itself: the target of an extension such as a role assignment.
    scope: Option<(&'a str, Pairs<'a>)>,
}

/// Type and name pairs without an allocation: a resource lies at most this deep; ARM ids of today have five.
#[derive(Clone, Copy, Default)]
struct Pairs<'a> {
    pairs: [(&'a str, &'a str); 8],
    length: usize,
}

impl<'a> Pairs<'a> {
    fn as_slice(&self) -> &[(&'a str, &'a str)] {
        &self.pairs[..self.length]
    }

    fn push(&mut self, kind: &'a str, name: &'a str) -> Option<()> {
        *self.pairs.get_mut(self.length)? = (kind, name);
        self.length += 1;
        Some(())
    }
}

impl<'a> Id<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut id = Self::default();
        if !text.starts_with('/') {
            return None;
        }
        // A slash too many (`//`, seen in VNet flow records) or at the end names nothing.
        let mut pieces = text.split('/').filter(|piece| !piece.is_empty());
        let mut any = false;
        while let Some(piece) = pieces.next() {
            any = true;
            if piece.eq_ignore_ascii_case("providers") {
                let provider = pieces.next()?;
                let before = std::mem::take(&mut id.types);
                if before.length > 0 {
                    id.scope = Some((id.provider, before));
                }
                id.provider = provider;
            } else if id.provider.is_empty() {
                let name = pieces.next()?;
                match piece {
                    _ if piece.eq_ignore_ascii_case("subscriptions") => id.subscription = name,
                    _ if piece.eq_ignore_ascii_case("resourcegroups") => id.group = name,
                    _ if piece.eq_ignore_ascii_case("tenants") => id.tenant = name,
                    _ => return None,
                }
            } else {
                // A collection without a name (`.../virtualMachines`) is what list operations name.
                let name = pieces.next().unwrap_or_default();
                id.types.push(piece, name)?;
                if id.provider.eq_ignore_ascii_case("microsoft.management") && piece.eq_ignore_ascii_case("managementgroups") {
                    id.management_group = name;
                }
            }
        }
        any.then_some(id)
    }

    /// The name of the innermost thing.
    fn name(&self) -> &'a str {
        match self.types.as_slice().last() {
            Some((_, name)) => name,
            None if !self.provider.is_empty() => "",
            None if !self.group.is_empty() => self.group,
            None if !self.subscription.is_empty() => self.subscription,
            None => self.tenant,
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
        } else if self.types.length > 0 {
            out.extend_from_slice(self.provider.as_bytes());
            for (kind, _) in self.types.as_slice() {
                out.push(b'/');
                out.extend_from_slice(kind.as_bytes());
            }
        }
    }

    /// The id down to the group, or the subscription or tenant when there is no group.
    fn write_scope(&self, with_group: bool, out: &mut Vec<u8>) {
        for (kind, name) in
            [("tenants", self.tenant), ("subscriptions", self.subscription), ("resourcegroups", if with_group { self.group } else { "" })]
        {
            if !name.is_empty() {
                write_pair(kind, name, out);
            }
        }
    }

    fn write_resource(&self, provider: &str, types: &[(&str, &str)], out: &mut Vec<u8>) {
        write_pair("providers", provider, out);
        for (kind, name) in types {
            write_pair(kind, name, out);
        }
    }

    fn write_id(&self, out: &mut Vec<u8>) {
        self.write_scope(true, out);
        if let Some((provider, types)) = &self.scope {
            self.write_resource(provider, types.as_slice(), out);
        }
        if !self.provider.is_empty() {
            self.write_resource(self.provider, self.types.as_slice(), out);
        }
    }

    fn write_parent(&self, out: &mut Vec<u8>) {
        let (scope, outer) = (self.scope.as_ref(), self.types.as_slice().split_last().map_or(&[][..], |(_, outer)| outer));
        if scope.is_none() && outer.is_empty() {
            return;
        }
        self.write_scope(true, out);
        if let Some((provider, types)) = scope {
            self.write_resource(provider, types.as_slice(), out);
        }
        if !outer.is_empty() {
            self.write_resource(self.provider, outer, out);
        }
    }
}

fn write_pair(kind: &str, name: &str, out: &mut Vec<u8>) {
    for piece in [kind, name] {
        if !piece.is_empty() {
            out.push(b'/');
            out.extend_from_slice(piece.as_bytes());
        }
    }
}

fn resource_id(input: Input<'_>, args: &Args, out: &mut Vec<u8>) -> Result<Output, Fault> {
    const FAULT: Fault = Fault("not_a_resource_id");
    let Input::Text(text) = input else { return Err(FAULT) };
    let id = Id::parse(utf8(text)?.trim()).ok_or(FAULT)?;
    let start = out.len();
    let part = PARTS.get(args.numbers[0] as usize).copied().unwrap_or("id");
    match part {
        "name" => out.extend_from_slice(id.name().as_bytes()),
        "type" => id.write_type(out),
        "provider" => out.extend_from_slice(id.provider.as_bytes()),
        "subscription" => out.extend_from_slice(id.subscription.as_bytes()),
        "resource_group" => out.extend_from_slice(id.group.as_bytes()),
        "parent" => id.write_parent(out),
        "group_id" if !id.group.is_empty() => id.write_scope(true, out),
        "subscription_id" if !id.subscription.is_empty() => id.write_scope(false, out),
        "group_id" | "subscription_id" => {}
        "management_group" => out.extend_from_slice(id.management_group.as_bytes()),
        "tenant" => out.extend_from_slice(id.tenant.as_bytes()),
        _ => id.write_id(out),
    }
    if out.len() == start {
        return Ok(Output::Absent);
    }
    if part != "name" {
        out[start..].make_ascii_lowercase();
    }
    Ok(Output::Text)
}
