//! Classification, case by case and over every sample.
use super::*;
use crate::decode::{Decoder, Doc, Found, Limits};

/// Shape, provider and category of every record of a body.
fn facts(body: &[u8]) -> Vec<(&'static str, String, String)> {
    let (mut doc, mut found, mut facts) = (Doc::default(), Vec::new(), Facts::default());
    Decoder::new(Limits::default()).decode(body, &mut doc, &mut found);
    let mut out = Vec::new();
    for f in &found {
        if let Found::Record { root, .. } = f {
            examine(&doc, *root, &mut facts);
            assert!(!facts.why.is_empty());
            out.push((facts.shape.name(), facts.provider().to_string(), facts.category().to_string()));
        }
    }
    out
}

#[test]
fn families() {
    for (name, record, expected) in [
        ("openai", r#"{"object":"organization.audit_log","id":"a","type":"x"}"#, ("openai_audit", "", "")),
        ("openai without object", r#"{"type":"x","effective_at":1,"actor":{}}"#, ("openai_audit", "", "")),
        (
            "vnet flow",
            r#"{"flowLogVersion":4,"flowRecords":{},"targetResourceID":"/subscriptions//s/x/providers/Microsoft.Network/virtualNetworks/v"}"#,
            ("azure", "microsoft.network/virtualnetworks", "flowlogflowevent"),
        ),
        ("flattened flow", r#"{"flowLogGUID":"g","rule":"r","category":"FlowLogFlowEvent"}"#, ("azure", "", "flowlogflowevent_flat")),
        ("nsg flow by content", r#"{"properties":{"flows":[{"rule":"r","flows":[]}]}}"#, ("azure", "", "networksecuritygroupflowevent")),
        (
            "metrics",
            r#"{"metricName":"m","timeGrain":"PT1M","resourceId":"/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.EVENTHUB/NAMESPACES/N"}"#,
            ("azure", "microsoft.eventhub/namespaces", "allmetrics"),
        ),
        (
            "storage",
            r#"{"category":"StorageRead","resourceId":"/subscriptions/s/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/a/blobServices/default"}"#,
            ("azure", "microsoft.storage/storageaccounts/blobservices", "storageread"),
        ),
        (
            "extension resource",
            r#"{"category":"c","resourceId":"/subscriptions/s/providers/Microsoft.KeyVault/vaults/v/providers/Microsoft.Insights/diagnosticSettings/d"}"#,
            ("azure", "microsoft.insights/diagnosticsettings", "c"),
        ),
        (
            "entra",
            r#"{"category":"SignInLogs","resourceId":"/tenants/t/providers/Microsoft.aadiam"}"#,
            ("azure", "microsoft.aadiam", "signinlogs"),
        ),
        (
            "entra policy is no activity",
            r#"{"category":"Policy","resourceId":"/tenants/t/providers/Microsoft.aadiam"}"#,
            ("azure", "microsoft.aadiam", "policy"),
        ),
        (
            "activity",
            r#"{"category":"Administrative","resourceId":"/SUBSCRIPTIONS/S/RESOURCEGROUPS/R"}"#,
            ("activity", "microsoft.resources/resourcegroups", "administrative"),
        ),
        (
            "activity of a management group",
            r#"{"category":"Policy","resourceId":"/providers/Microsoft.Management/managementGroups/g"}"#,
            ("activity", "microsoft.management/managementgroups", "policy"),
        ),
        (
            "old activity",
            r#"{"category":"Write","identity":{"authorization":{}},"resourceId":"/subscriptions/s"}"#,
            ("activity", "microsoft.resources/subscriptions", "administrative"),
        ),
        (
            "a verb alone",
            r#"{"category":"Write","resourceId":"/subscriptions/s"}"#,
            ("azure", "microsoft.resources/subscriptions", "write"),
        ),
        (
            "service health",
            r#"{"category":"ServiceHealth","operationName":"Microsoft.ServiceHealth/incident/action","resourceId":"/subscriptions/s"}"#,
            ("activity", "microsoft.resources/subscriptions", "servicehealth"),
        ),
        (
            "service health that names no resource",
            r#"{"category":"ServiceHealth","operationName":"Microsoft.ServiceHealth/incident/action","properties":{"eventCategory":"ServiceHealth"}}"#,
            ("activity", "", "servicehealth"),
        ),
        (
            "service health of something else",
            r#"{"category":"ServiceHealth","operationName":"check/action","properties":{}}"#,
            ("azure", "", "servicehealth"),
        ),
        (
            "alert of something else",
            r#"{"category":"Alert","operationName":"Raise","resourceId":"/subscriptions/s"}"#,
            ("azure", "microsoft.resources/subscriptions", "alert"),
        ),
        (
            "rest",
            r#"{"category":{"value":"Administrative","localizedValue":"x"},"eventTimestamp":"t"}"#,
            ("activity_rest", "", "administrative"),
        ),
        (
            "table row",
            r#"{"Type":"AzureActivity","TimeGenerated":"t","_ResourceId":"/subscriptions/s/providers/microsoft.web/sites/x"}"#,
            ("log_analytics", "microsoft.web/sites", "azureactivity"),
        ),
        ("row without type", r#"{"TimeGenerated":"t","CategoryValue":"Administrative"}"#, ("log_analytics", "", "azureactivity")),
        (
            "four columns",
            r#"{"TimeGenerated":"t","OperationName":"o","CallerIpAddress":"i","ResultDescription":"d"}"#,
            ("log_analytics", "", "azurediagnostics"),
        ),
        (
            "four columns of an account",
            r#"{"TimeGenerated":"t","OperationName":"DeleteDeployment","CallerIpAddress":"i","ResultDescription":"d"}"#,
            ("log_analytics", "microsoft.cognitiveservices/accounts", "azurediagnostics"),
        ),
        (
            "four columns of a call",
            r#"{"TimeGenerated":"t","OperationName":"ChatCompletions_Create","Type":"AzureDiagnostics"}"#,
            ("log_analytics", "microsoft.cognitiveservices/accounts", "azurediagnostics"),
        ),
        (
            "four columns of a vault",
            r#"{"TimeGenerated":"t","OperationName":"SecretGetDeleted","CallerIpAddress":"i"}"#,
            ("log_analytics", "microsoft.keyvault/vaults", "azurediagnostics"),
        ),
        (
            "a provider stands before an operation",
            r#"{"TimeGenerated":"t","OperationName":"ListKey","ResourceProvider":"MICROSOFT.STORAGE"}"#,
            ("log_analytics", "microsoft.storage", "azurediagnostics"),
        ),
        ("an operation with blanks", r#"{"TimeGenerated":"t","OperationName":"Key Get_List"}"#, ("log_analytics", "", "azurediagnostics")),
        (
            "diagnostics columns",
            r#"{"TimeGenerated [UTC]":"t","ResourceProvider":"MICROSOFT.KEYVAULT","ResourceType":"VAULTS","Category":"AuditEvent"}"#,
            ("log_analytics", "microsoft.keyvault/vaults", "azurediagnostics"),
        ),
        (
            "sign-in row",
            r#"{"TimeGenerated":"t","Category":"NonInteractiveUserSignInLogs"}"#,
            ("log_analytics", "", "aadnoninteractiveusersigninlogs"),
        ),
        (
            "capital members",
            r#"{"Category":"X","ResourceId":"/subscriptions/s/providers/A.B/c/d","OperationName":"o"}"#,
            ("azure", "a.b/c", "x"),
        ),
        ("category as a number", r#"{"category":7,"operationName":"o"}"#, ("azure", "", "")),
        ("nothing known", r#"{"hello":"world"}"#, ("unknown", "", "")),
    ] {
        let (shape, provider, category) = expected;
        assert_eq!(facts(record.as_bytes()), [(shape, provider.to_string(), category.to_string())], "case: {name}");
    }
}

#[test]
fn most_specific_claim_wins() {
    let mut tables = Classifier::default();
    let vaults = Some("Microsoft.KeyVault/vaults");
    tables.add("azure", vaults, Some("AuditEvent"), "both").expect("free");
    tables.add("azure", vaults, None, "provider").expect("free");
    tables.add("azure", None, Some("auditevent"), "category").expect("free");
    tables.add("azure", None, None, "common").expect("free");
    tables.add("activity", None, None, "activity").expect("free");
    assert!(matches!(tables.add("azure", vaults, Some("auditevent"), "again"), Err(Clash::Taken { .. })));
    assert!(matches!(tables.add("azur", None, None, "typo"), Err(Clash::Shape(_))));
    let resource = |kind: &str| format!("/subscriptions/s/providers/{kind}/n");
    for (category, kind, expected, by) in [
        ("AuditEvent", "MICROSOFT.KEYVAULT/VAULTS", "both", MatchedBy::ProviderAndCategory),
        ("Other", "MICROSOFT.KEYVAULT/VAULTS", "provider", MatchedBy::Provider),
        ("AUDITEVENT", "Microsoft.X/y", "category", MatchedBy::Category),
        ("Other", "Microsoft.X/y", "common", MatchedBy::Shape),
        ("Administrative", "Microsoft.X/y", "activity", MatchedBy::Shape),
    ] {
        let body = format!(r#"{{"category":"{category}","resourceId":"{}"}}"#, resource(kind));
        let (mut doc, mut found, mut facts) = (Doc::default(), Vec::new(), Facts::default());
        Decoder::new(Limits::default()).decode(body.as_bytes(), &mut doc, &mut found);
        examine(&doc, 0, &mut facts);
        assert_eq!(tables.find(&facts), Some((&expected, by)), "case: {body}");
    }
    assert_eq!(tables.find(&Facts::default()), Some((&"common", MatchedBy::Fallback)));
}

#[test]
fn sample_folders_belong_to_their_family() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut seen = 0;
    for (folder, allowed) in [
        ("azure/activity", &[("activity", "*"), ("activity_rest", "*")][..]),
        ("azure/azure_openai", &[("azure", "microsoft.cognitiveservices/accounts")]),
        ("azure/entra", &[("azure", "microsoft.aadiam"), ("azure", "microsoft.authorization")]),
        ("azure/foundry_ml", &[("azure", "microsoft.machinelearningservices/workspaces")]),
        ("azure/keyvault", &[("azure", "microsoft.keyvault/vaults"), ("azure", "microsoft.attestation/attestationproviders")]),
        ("azure/log_analytics", &[("log_analytics", "*")]),
        ("azure/metrics", &[("azure", "microsoft.eventhub/namespaces"), ("azure", "microsoft.cognitiveservices/accounts")]),
        ("azure/nsg_flow", &[("azure", "microsoft.network/networksecuritygroups")]),
        ("azure/vnet_flow", &[("azure", "*")]),
        ("openai", &[("openai_audit", "")]),
    ] {
        for entry in std::fs::read_dir(root.join(folder)).expect("samples can be listed") {
            let path = entry.expect("samples can be listed").path();
            if path.extension().is_none_or(|e| e == "md") || path.is_dir() || path.ends_with("collector-timeline.ndjson") {
                continue;
            }
            for fact in facts(&std::fs::read(&path).expect("samples can be read")) {
                seen += 1;
                let fits = allowed.iter().any(|(shape, provider)| *shape == fact.0 && (*provider == "*" || *provider == fact.1));
                assert!(fits, "{}: {fact:?}", path.display());
                let category = match folder {
                    "azure/metrics" => Some("allmetrics"),
                    "azure/nsg_flow" => Some("networksecuritygroupflowevent"),
                    "azure/vnet_flow" => Some("flowlogflowevent"),
                    _ => None,
                };
                assert!(category.is_none_or(|c| c == fact.2), "{}: {fact:?}", path.display());
            }
        }
    }
    assert!(seen > 500, "only {seen} sample records were found");
}
