//! The resource type that an operation's name gives away, for rows that kept nothing else.
//!
//! Audit guides project AzureDiagnostics to `TimeGenerated`, `OperationName`, `CallerIpAddress` and `ResultDescription`. Such a row names no
//! resource and no provider, but two services name their operations in a way of their own: Cognitive Services (`ChatCompletions_Create`,
//! `DeleteDeployment`, `ListKey`) and Key Vault (`SecretGet`). Anything else stays without a provider.

const ACCOUNTS: &[u8] = b"microsoft.cognitiveservices/accounts";
const VAULTS: &[u8] = b"microsoft.keyvault/vaults";

/// Provider and type in lower case; empty when the name could belong to anybody.
pub(super) fn provider_of(operation: &[u8]) -> &'static [u8] {
    // ARM operations name their provider, and free text has blanks.
    if operation.iter().any(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_') {
        return b"";
    }
    const VERBS: [&[u8]; 8] = [b"Create", b"Delete", b"List", b"Get", b"Retrieve", b"Update", b"Modify", b"Cancel"];
    let verb_at_an_end = VERBS.iter().any(|verb| {
        operation.strip_suffix(*verb).is_some_and(|rest| rest.ends_with(b"_"))
            || operation.strip_prefix(*verb).is_some_and(|rest| rest.starts_with(b"_"))
    });
    const KEYS: [&[u8]; 4] = [b"ListKey", b"ListKeys", b"RegenerateKey", b"RegenerateKeys"];
    if verb_at_an_end || operation.ends_with(b"Deployment") || KEYS.contains(&operation) {
        return ACCOUNTS;
    }
    const OBJECTS: [&[u8]; 4] = [b"Secret", b"Key", b"Certificate", b"Vault"];
    const CALLS: [&[u8]; 19] = [
        b"Get", b"Set", b"List", b"Delete", b"Purge", b"Recover", b"Backup", b"Restore", b"Create", b"Import", b"Update", b"Put", b"Patch",
        b"Wrap", b"Unwrap", b"Sign", b"Verify", b"Encrypt", b"Decrypt",
    ];
    let call = OBJECTS.iter().find_map(|object| operation.strip_prefix(*object)).unwrap_or_default();
    if CALLS.iter().any(|name| call.starts_with(name)) {
        return VAULTS;
    }
    b""
}
