//! What a report asks of one UDM event.

use jiff::Timestamp;
use serde_json::Value;

/// How an operation ended, as `security_result.action` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing terminal was seen: a start, an acceptance, a notice.
    Open,
    /// ALLOW.
    Succeeded,
    /// FAIL.
    Failed,
    /// BLOCK: refused by an access decision or a policy.
    Denied,
}

impl Status {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Status::Open => "no outcome",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Denied => "denied",
        }
    }
}

/// A part of the estate that auditors ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// Who may do what: role assignments, their schedules, elevated access; OpenAI's roles.
    RoleAssignments,
    /// Assignments of Azure Policy.
    PolicyAssignments,
    /// Vaults and what they hold.
    KeyVault,
    /// Network security groups and their rules.
    NetworkSecurityGroups,
}

impl Area {
    /// All, in the order of the report.
    pub const ALL: [Area; 4] = [Area::RoleAssignments, Area::PolicyAssignments, Area::KeyVault, Area::NetworkSecurityGroups];

    /// The key in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Area::RoleAssignments => "role_assignments",
            Area::PolicyAssignments => "policy_assignments",
            Area::KeyVault => "key_vault",
            Area::NetworkSecurityGroups => "network_security_groups",
        }
    }

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Area::RoleAssignments => "Role assignments",
            Area::PolicyAssignments => "Policy assignments",
            Area::KeyVault => "Key Vault",
            Area::NetworkSecurityGroups => "Network security groups",
        }
    }

    /// The area of an operation, in lower case, on a resource of a type. The operation decides before the type.
    pub fn of(operation: &str, resource_type: &str) -> Option<Area> {
        const ROLES: [&str; 7] = [
            "microsoft.authorization/roleassignments/",
            "microsoft.authorization/roleassignmentschedule",
            "microsoft.authorization/roleeligibilityschedule",
            "microsoft.authorization/elevateaccess/",
            "role.assignment.",
            "tenant.role_assignment.",
            "tenant.resource_role_assignment.",
        ];
        let begins =
            |prefix: &str| operation.starts_with(prefix) || (!operation.starts_with("microsoft.") && resource_type.starts_with(prefix));
        if ROLES.iter().any(|prefix| operation.starts_with(prefix)) {
            Some(Area::RoleAssignments)
        } else if operation.starts_with("microsoft.authorization/policyassignments/") {
            Some(Area::PolicyAssignments)
        } else if begins("microsoft.keyvault/") {
            Some(Area::KeyVault)
        } else if begins("microsoft.network/networksecuritygroups") {
            Some(Area::NetworkSecurityGroups)
        } else {
            None
        }
    }
}

/// A security tag of an event: its name, severity and summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// `role_assignment_write`
    pub name: &'a str,
    /// `HIGH`; empty when none was given.
    pub severity: &'a str,
    /// What it says to people.
    pub summary: &'a str,
}

/// The parts of an event that count.
#[derive(Debug)]
pub struct Facts<'a> {
    /// metadata.event_timestamp
    pub time: Timestamp,
    /// metadata.event_type
    pub event_type: &'a str,
    /// metadata.product_event_type in lower case; the event type when there is none.
    pub operation: String,
    /// What records of one operation share; the event's own id when they share nothing.
    pub correlation: &'a str,
    /// security_result.category_details, the first that is no tag's.
    pub category: &'a str,
    /// How it ended.
    pub status: Status,
    /// Who: the user's id, object id, e-mail address or name, in lower case; else the service account. Empty when unknown.
    pub caller: String,
    /// Where from.
    pub address: &'a str,
    /// target.resource: id or name.
    pub resource: &'a str,
    /// target.resource.resource_subtype in lower case.
    pub resource_type: String,
    /// The role that was given or taken.
    pub role: &'a str,
    /// Who got or lost it.
    pub grantee: &'a str,
    /// Where it holds.
    pub scope: &'a str,
    /// Security tags.
    pub tags: Vec<Tag<'a>>,
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    let mut at = value;
    for name in path {
        at = match at {
            Value::Array(elements) => match elements.first() {
                Some(first) => &first[*name],
                None => return "",
            },
            other => &other[*name],
        };
    }
    at.as_str().or_else(|| at.as_array()?.first()?.as_str()).unwrap_or_default()
}

fn first<'a>(texts: impl IntoIterator<Item = &'a str>) -> &'a str {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// The value of a label.
fn label<'a>(labels: &'a Value, key: &str) -> Option<&'a str> {
    labels.as_array()?.iter().find(|label| label["key"] == key)?["value"].as_str()
}

/// Whether a JSON value is a UDM event in camelCase, as this program writes it.
pub fn is_event(value: &Value) -> bool {
    value["metadata"]["eventTimestamp"].is_string() && value["metadata"]["eventType"].is_string()
}

impl<'a> Facts<'a> {
    /// Reads an event. `None` when its time cannot be read.
    pub fn of(event: &'a Value) -> Option<Facts<'a>> {
        let metadata = &event["metadata"];
        let time = metadata["eventTimestamp"].as_str()?.parse().ok()?;
        let results = event["securityResult"].as_array().map_or(&[][..], Vec::as_slice);
        let plain = || results.iter().filter(|result| label(&result["detectionFields"], "tag").is_none());
        let correlation = results.iter().find_map(|result| label(&result["detectionFields"], "correlation_id"));
        let actions = results.iter().filter_map(|result| result["action"].as_array()).flatten();
        let status = actions.map(|action| match action.as_str() {
            Some("ALLOW" | "ALLOW_WITH_MODIFICATION") => Status::Succeeded,
            Some("FAIL") => Status::Failed,
            Some("BLOCK" | "QUARANTINE" | "CHALLENGE") => Status::Denied,
            _ => Status::Open,
        });
        let (user, target) = (&event["principal"]["user"], &event["target"]);
        let caller = first([
            text(user, &["userid"]),
            text(user, &["productObjectId"]),
            text(user, &["emailAddresses"]),
            text(user, &["userDisplayName"]),
            text(&event["principal"]["resource"], &["productObjectId"]),
            text(&event["principal"], &["application"]),
        ]);
        let labels = &target["resource"]["attribute"]["labels"];
        let operation = first([text(metadata, &["productEventType"]), text(metadata, &["eventType"])]).to_ascii_lowercase();
        let tags = results.iter().filter_map(|result| {
            let name = label(&result["detectionFields"], "tag")?;
            Some(Tag { name, severity: text(result, &["severity"]), summary: text(result, &["summary"]) })
        });
        Some(Facts {
            time,
            event_type: text(metadata, &["eventType"]),
            operation,
            correlation: correlation.unwrap_or_else(|| text(metadata, &["productLogId"])),
            category: plain().map(|result| text(result, &["categoryDetails"])).find(|text| !text.is_empty()).unwrap_or_default(),
            status: status.max().unwrap_or(Status::Open),
            caller: caller.to_ascii_lowercase(),
            address: text(&event["principal"], &["ip"]),
            resource: first([text(target, &["resource", "productObjectId"]), text(target, &["resource", "name"])]),
            resource_type: first([text(target, &["resource", "resourceSubtype"]), text(target, &["resource", "resourceType"])])
                .to_ascii_lowercase(),
            role: first([
                text(target, &["user", "attribute", "roles", "name"]),
                label(labels, "role").unwrap_or_default(),
                results.iter().find_map(|result| label(&result["detectionFields"], "role_definition_id")).unwrap_or_default(),
            ]),
            grantee: first([
                text(target, &["user", "userDisplayName"]),
                text(target, &["user", "userid"]),
                text(target, &["user", "productObjectId"]),
                text(target, &["group", "groupDisplayName"]),
                text(target, &["group", "productObjectId"]),
            ]),
            scope: first([
                label(labels, "assignment_scope").unwrap_or_default(),
                label(labels, "authorization_scope").unwrap_or_default(),
                text(target, &["resourceAncestors", "productObjectId"]),
            ]),
            tags: tags.collect(),
        })
    }

    /// Whether the event tells of traffic rather than of an operation.
    pub fn is_traffic(&self) -> bool {
        self.event_type.starts_with("NETWORK_")
    }

    /// Whether the operation deletes something.
    pub fn is_deletion(&self) -> bool {
        self.operation.ends_with("/delete") || self.event_type.ends_with("_DELETION")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tag_is_no_category_and_the_worst_action_counts() {
        let event = json!({
            "metadata": { "eventTimestamp": "2026-01-01T00:00:00.1234567Z", "eventType": "USER_RESOURCE_DELETION", "productEventType": "A/B/Delete", "productLogId": "1" },
            "securityResult": [
                { "categoryDetails": ["privilege-grant"], "severity": "HIGH", "detectionFields": [{ "key": "tag", "value": "t" }] },
                { "categoryDetails": ["Administrative"], "action": ["ALLOW"] },
                { "action": ["BLOCK"] },
            ],
        });
        assert!(is_event(&event));
        let facts = Facts::of(&event).expect("an event");
        assert_eq!((facts.category, facts.status, &*facts.operation), ("Administrative", Status::Denied, "a/b/delete"));
        assert_eq!(facts.tags, [Tag { name: "t", severity: "HIGH", summary: "" }]);
        assert_eq!((facts.correlation, facts.is_deletion()), ("1", true));
    }

    #[test]
    fn areas() {
        for (operation, resource_type, expected) in [
            ("microsoft.authorization/roleassignments/write", "", Some(Area::RoleAssignments)),
            ("microsoft.authorization/policyassignments/delete", "", Some(Area::PolicyAssignments)),
            ("microsoft.keyvault/vaults/write", "", Some(Area::KeyVault)),
            ("secretget", "microsoft.keyvault/vaults", Some(Area::KeyVault)),
            ("microsoft.network/networksecuritygroups/securityrules/write", "", Some(Area::NetworkSecurityGroups)),
            // A lock on a vault is about the lock.
            ("microsoft.authorization/locks/write", "microsoft.keyvault/vaults", None),
            ("role.assignment.created", "", Some(Area::RoleAssignments)),
        ] {
            assert_eq!(Area::of(operation, resource_type), expected, "{operation}");
        }
    }
}
