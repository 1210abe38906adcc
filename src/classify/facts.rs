//! What a record's top-level members say about its family.

use super::operation;
use crate::decode::{Doc, Kind, OPENAI_EVENT, is_word};

/// The outer form of a record; closed, because tables name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shape {
    /// An audit log object of the OpenAI API.
    OpenaiAudit,
    /// An Azure Activity Log record as an Event Hub or a blob carries it.
    Activity,
    /// The same as the REST API and the command line give it: `{value,localizedValue}` objects.
    ActivityRest,
    /// The common Azure envelope: resource logs, flow logs, metrics.
    Azure,
    /// A row of a Log Analytics table.
    LogAnalytics,
    /// None of these.
    #[default]
    Unknown,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 6] =
        [Shape::OpenaiAudit, Shape::Activity, Shape::ActivityRest, Shape::Azure, Shape::LogAnalytics, Shape::Unknown];

    /// Its name in a table's `[match]`.
    pub fn name(self) -> &'static str {
        match self {
            Shape::OpenaiAudit => "openai_audit",
            Shape::Activity => "activity",
            Shape::ActivityRest => "activity_rest",
            Shape::Azure => "azure",
            Shape::LogAnalytics => "log_analytics",
            Shape::Unknown => "unknown",
        }
    }

    /// The shape called `name`.
    pub fn from_name(name: &str) -> Option<Shape> {
        Shape::ALL.into_iter().find(|shape| shape.name() == name)
    }
}

/// The facts of one record. Reused from record to record.
#[derive(Debug, Default)]
pub struct Facts {
    /// Its outer form.
    pub shape: Shape,
    /// Which sign decided that, for `explain`.
    pub why: &'static str,
    /// `provider NUL category`, both in lower case: every key of a look-up is a slice of it.
    key: Vec<u8>,
    /// Where the NUL stands.
    split: usize,
}

impl Facts {
    /// `microsoft.keyvault/vaults`: provider and types of the resource, in lower case; empty when the record names no resource.
    pub fn provider(&self) -> &str {
        std::str::from_utf8(self.key.get(..self.split).unwrap_or_default()).unwrap_or_default()
    }

    /// The category, or the table of a Log Analytics row, in lower case; empty when there is none.
    pub fn category(&self) -> &str {
        std::str::from_utf8(self.key.get(self.split + 1..).unwrap_or_default()).unwrap_or_default()
    }

    pub(super) fn has_provider(&self) -> bool {
        self.split > 0
    }

    pub(super) fn has_category(&self) -> bool {
        self.key.len() > self.split + 1
    }

    pub(super) fn both(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn provider_key(&self) -> &[u8] {
        self.key.get(..=self.split).unwrap_or_default()
    }

    pub(super) fn category_key(&self) -> &[u8] {
        self.key.get(self.split..).unwrap_or_default()
    }
}

/// The members that tell families apart, gathered in one pass.
#[derive(Default)]
struct Marks {
    category: Option<u32>,
    category_value: Option<u32>,
    operation: Option<u32>,
    operation_value: Option<u32>,
    resource: Option<u32>,
    target_resource: Option<u32>,
    resource_provider: Option<u32>,
    resource_type: Option<u32>,
    /// `Type` with a capital: a Log Analytics column. OpenAI writes `type`.
    table: Option<u32>,
    /// OpenAI's `object`.
    object: Option<u32>,
    identity: Option<u32>,
    properties: Option<u32>,
    time: bool,
    time_generated: bool,
    workspace: bool,
    flow_records: bool,
    flow_version: bool,
    flow_guid: bool,
    metric: bool,
    time_grain: bool,
    effective_at: bool,
    /// `type` in lower case, as OpenAI writes it.
    kind: bool,
    actor: bool,
    event_timestamp: bool,
    event_data_id: bool,
    entra_audit: bool,
}

fn marks(doc: &Doc, record: u32) -> Marks {
    let mut m = Marks::default();
    for (key, value) in doc.members(record) {
        let name = doc.str(key);
        if name == b"object" && doc.str(value) == OPENAI_EVENT {
            // No other sign counts beside this one, and it is the first member the API writes.
            return Marks { object: Some(value), ..Marks::default() };
        }
        let is = |word: &[u8]| is_word(name, word);
        match name.len() {
            4 if name == b"Type" => m.table = Some(value),
            4 if name == b"type" => m.kind = true,
            4 if is(b"time") => m.time = true,
            5 if is(b"actor") => m.actor = true,
            6 if is(b"object") => m.object = Some(value),
            8 if is(b"category") => m.category = Some(value),
            8 if is(b"identity") => m.identity = Some(value),
            8 if name == b"TenantId" => m.workspace = true,
            9 if is(b"timeGrain") => m.time_grain = true,
            10 if is(b"resourceId") => m.resource = Some(value).filter(|v| doc.node(*v).len > 0).or(m.resource),
            10 if is(b"metricName") => m.metric = true,
            10 if is(b"properties") => m.properties = Some(value),
            11 if is(b"_ResourceId") => m.resource = m.resource.or(Some(value).filter(|v| doc.node(*v).len > 0)),
            11 if is(b"flowRecords") => m.flow_records = true,
            11 if is(b"flowLogGUID") => m.flow_guid = true,
            11 if is(b"eventDataId") => m.event_data_id = true,
            11 if is(b"InitiatedBy") => m.entra_audit = true,
            12 if is(b"effective_at") => m.effective_at = true,
            12 if name == b"SourceSystem" => m.workspace = true,
            12 if name == b"ResourceType" => m.resource_type = Some(value),
            13 if is(b"operationName") => m.operation = Some(value),
            13 if name == b"TimeGenerated" => m.time_generated = true,
            13 if is(b"CategoryValue") => m.category_value = Some(value),
            14 if is(b"flowLogVersion") => m.flow_version = true,
            14 if is(b"eventTimestamp") => m.event_timestamp = true,
            16 if is(b"targetResourceID") => m.target_resource = Some(value),
            16 if name == b"ResourceProvider" => m.resource_provider = Some(value),
            18 if is(b"OperationNameValue") => m.operation_value = Some(value),
            // The portal's CSV export writes its zone into the column's name.
            19 if name == b"TimeGenerated [UTC]" => m.time_generated = true,
            _ => {}
        }
    }
    m
}

/// States the facts of the record at `record`.
pub fn examine(doc: &Doc, record: u32, facts: &mut Facts) {
    let m = marks(doc, record);
    facts.key.clear();
    facts.split = 0;
    if m.object.is_some_and(|node| doc.str(node) == OPENAI_EVENT) {
        facts.key.push(0);
        facts.shape = Shape::OpenaiAudit;
        facts.why = "member `object` is organization.audit_log";
        return;
    }
    write_provider(doc, &m, &mut facts.key);
    facts.split = facts.key.len();
    facts.key.push(0);
    let category = m.category.or(m.category_value).map(|node| doc.str(node)).unwrap_or_default();
    let (shape, category, why) = decide(doc, &m, category);
    facts.shape = shape;
    facts.why = why;
    if facts.split == 0 && shape == Shape::LogAnalytics && category.eq_ignore_ascii_case(b"azurediagnostics") {
        let provider = operation::provider_of(m.operation.map(|node| doc.str(node)).unwrap_or_default());
        facts.key.splice(..0, provider.iter().copied());
        facts.split = provider.len();
    }
    let from = facts.key.len();
    facts.key.extend_from_slice(category);
    facts.key[from..].make_ascii_lowercase();
}

/// Shape, category and the sign. The order matters: the first sign that only one family has decides.
fn decide<'a>(doc: &'a Doc, m: &Marks, category: &'a [u8]) -> (Shape, &'a [u8], &'static str) {
    let says = |word: &str| category.eq_ignore_ascii_case(word.as_bytes());
    let operation = m.operation.map(|node| doc.str(node)).unwrap_or_default();
    if m.effective_at && (m.actor || m.kind) {
        return (Shape::OpenaiAudit, b"", "members `effective_at` and `actor` or `type`");
    }
    if m.flow_records && (m.flow_version || says("FlowLogFlowEvent")) {
        return (Shape::Azure, b"flowlogflowevent", "member `flowRecords` of a virtual network flow log");
    }
    if m.flow_guid && !m.flow_records {
        // A connector's own form: the flow log's table would find no tuples in it.
        return (Shape::Azure, b"flowlogflowevent_flat", "member `flowLogGUID` without `flowRecords`");
    }
    if says("NetworkSecurityGroupFlowEvent") || (category.is_empty() && is_nsg_flow(doc, m, operation)) {
        return (Shape::Azure, b"networksecuritygroupflowevent", "flows of a network security group");
    }
    if m.metric && m.time_grain && category.is_empty() {
        return (Shape::Azure, b"allmetrics", "members `metricName` and `timeGrain`");
    }
    if let Some(found) = log_analytics(doc, m, category) {
        return found;
    }
    let value_of = |node: Option<u32>| {
        let node = node.filter(|node| doc.node(*node).kind == Kind::Object)?;
        doc.member(node, b"value").map(|value| doc.str(value))
    };
    if let Some(name) = value_of(m.category) {
        return (Shape::ActivityRest, name, "`category` is an object with `value`");
    }
    if value_of(m.operation).is_some() {
        return (Shape::ActivityRest, category, "`operationName` is an object with `value`");
    }
    if m.event_timestamp && m.event_data_id && !m.time {
        return (Shape::ActivityRest, category, "members `eventTimestamp` and `eventDataId`");
    }
    if let Some((category, why)) = activity(doc, m, category, operation) {
        return (Shape::Activity, category, why);
    }
    if !category.is_empty() || m.resource.is_some() || m.operation.is_some() || m.metric {
        return (Shape::Azure, category, "`category`, `resourceId` or `operationName` of the common Azure envelope");
    }
    (Shape::Unknown, category, "no member that a known shape has")
}

fn is_nsg_flow(doc: &Doc, m: &Marks, operation: &[u8]) -> bool {
    if operation.eq_ignore_ascii_case(b"NetworkSecurityGroupFlowEvents") {
        return true;
    }
    let Some(flows) = m.properties.and_then(|node| doc.member(node, b"flows")) else { return false };
    doc.elements(flows).next().and_then(|first| doc.member(first, b"flows")).is_some_and(|inner| doc.node(inner).kind == Kind::Array)
}

/// Categories of sign-in logs as they stand in a row that lost its `Type`, and the table each belongs to.
const SIGN_IN_TABLES: [(&str, &[u8]); 6] = [
    ("SignInLogs", b"signinlogs"),
    ("NonInteractiveUserSignInLogs", b"aadnoninteractiveusersigninlogs"),
    ("ServicePrincipalSignInLogs", b"aadserviceprincipalsigninlogs"),
    ("ManagedIdentitySignInLogs", b"aadmanagedidentitysigninlogs"),
    ("MicrosoftServicePrincipalSignInLogs", b"aadserviceprincipalsigninlogs"),
    ("ADFSSignInLogs", b"adfssigninlogs"),
];

fn log_analytics<'a>(doc: &'a Doc, m: &Marks, category: &[u8]) -> Option<(Shape, &'a [u8], &'static str)> {
    const PREFIXES: [&[u8]; 8] = [b"Azure", b"AAD", b"AZ", b"Aml", b"Storage", b"SignIn", b"Audit", b"ApiManagement"];
    let table = m.table.map(|node| doc.str(node)).unwrap_or_default();
    let is_named = |prefix: &&[u8]| table.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if !table.is_empty() && (m.time_generated || m.workspace || PREFIXES.iter().any(is_named)) {
        return Some((Shape::LogAnalytics, table, "member `Type` names a Log Analytics table"));
    }
    if !m.time_generated {
        return None;
    }
    if m.category_value.is_some() || m.operation_value.is_some() {
        return Some((Shape::LogAnalytics, b"azureactivity", "`TimeGenerated` beside `CategoryValue` or `OperationNameValue`"));
    }
    for (word, table) in SIGN_IN_TABLES {
        if category.eq_ignore_ascii_case(word.as_bytes()) {
            return Some((Shape::LogAnalytics, table, "`TimeGenerated` beside the category of a sign-in log"));
        }
    }
    if m.entra_audit {
        return Some((Shape::LogAnalytics, b"auditlogs", "`TimeGenerated` beside `InitiatedBy`"));
    }
    // Also the guide's projection of four columns, which kept nothing else that could tell.
    Some((Shape::LogAnalytics, b"azurediagnostics", "`TimeGenerated` without the name of a table"))
}

/// The category of an Activity Log record, or `None` when it is none.
fn activity<'a>(doc: &'a Doc, m: &Marks, category: &'a [u8], operation: &[u8]) -> Option<(&'a [u8], &'static str)> {
    let says = |words: &[&str]| words.iter().any(|word| category.eq_ignore_ascii_case(word.as_bytes()));
    let resource = m.resource.map(|node| doc.str(node)).unwrap_or_default();
    let under = |prefix: &str| resource.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    let in_arm = under("/subscriptions/") || under("/providers/microsoft.management/");
    if says(&["Administrative", "Policy", "Autoscale", "Recommendation", "ResourceHealth"]) && (in_arm || resource.is_empty()) {
        return Some((category, "category of the Activity Log, resource of a subscription"));
    }
    if says(&["Security", "ServiceHealth", "Alert"]) && (in_arm || resource.is_empty()) {
        // Other services use these words too; an operation or the event's own category must agree, the latter when no resource is named.
        let verb = [&b"/action"[..], b"/write", b"/delete"]
            .iter()
            .any(|verb| operation.len() >= verb.len() && operation[operation.len() - verb.len()..].eq_ignore_ascii_case(verb));
        if (verb && in_arm) || m.properties.is_some_and(|node| doc.member(node, b"eventCategory").is_some()) {
            return Some((category, "category of the Activity Log, with its operation"));
        }
    }
    if says(&["Write", "Delete", "Action"]) {
        let identity = m.identity?;
        let authorized = match doc.node(identity).kind {
            Kind::Object => doc.member(identity, b"authorization").is_some() || doc.member(identity, b"claims").is_some(),
            Kind::Str => memchr::memmem::find(doc.str(identity), b"\"authorization\"").is_some(),
            _ => false,
        };
        if authorized {
            return Some((b"administrative", "old form of the Activity Log: the category is the verb, `identity.authorization` is there"));
        }
    }
    None
}

/// Appends `provider/type[/type]` in lower case.
fn write_provider(doc: &Doc, m: &Marks, out: &mut Vec<u8>) {
    const WORD: &[u8] = b"/providers/";
    let resource = m.resource.or(m.target_resource).map(|node| doc.str(node)).unwrap_or_default();
    let place = memchr::memrchr_iter(b'/', resource)
        .find(|at| resource.get(*at..*at + WORD.len()).is_some_and(|here| here.eq_ignore_ascii_case(WORD)));
    if let Some(place) = place {
        let segments = resource[place + WORD.len()..].split(|b| *b == b'/').filter(|segment| !segment.is_empty());
        // namespace, type, name, type, name ...
        for (index, segment) in segments.enumerate() {
            if index == 0 || index % 2 == 1 {
                if index > 0 {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
            }
        }
    } else if let Some(provider) = m.resource_provider.map(|node| doc.str(node)).filter(|name| !name.is_empty()) {
        out.extend_from_slice(provider);
        if let Some(kind) = m.resource_type.map(|node| doc.str(node)).filter(|name| !name.is_empty()) {
            out.push(b'/');
            out.extend_from_slice(kind);
        }
    } else if resource.get(..15).is_some_and(|start| start.eq_ignore_ascii_case(b"/subscriptions/")) {
        // ARM's own provider holds subscriptions and resource groups.
        let has_group = memchr::memchr(b'/', &resource[15..]).is_some_and(|slash| slash + 16 < resource.len());
        out.extend_from_slice(if has_group { b"microsoft.resources/resourcegroups" } else { b"microsoft.resources/subscriptions" });
    }
    if memchr::memchr(0, out).is_some() {
        // The NUL between provider and category stays the only one.
        out.retain(|byte| *byte != 0);
    }
    out.make_ascii_lowercase();
}
