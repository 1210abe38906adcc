//! Entra identities: who asks for a token, and the token that the Kafka endpoint of Event Hubs wants.
//!
//! `azure_identity` keeps tokens and asks again before one expires; [`token`] goes through it each time.
use std::sync::Arc;

use azure_core::credentials::{Secret as AzureSecret, TokenCredential};
use azure_identity::{
    ClientSecretCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
};

use super::eventhubs::Credential;
use super::secret::Secret;

/// Makes a credential. Nothing is asked over the network yet.
///
/// # Errors
///
/// What the environment lacks.
pub fn credential(kind: Credential, client_id: Option<&str>) -> Result<Arc<dyn TokenCredential>, String> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set or not UTF-8"));
    match kind {
        Credential::Environment => {
            let (tenant, client) = (variable("AZURE_TENANT_ID")?, variable("AZURE_CLIENT_ID")?);
            let secret = AzureSecret::from(variable("AZURE_CLIENT_SECRET")?);
            ClientSecretCredential::new(&tenant, client, secret, None)
                .map(|credential| credential as Arc<dyn TokenCredential>)
                .map_err(|error| error.to_string())
        }
        Credential::WorkloadIdentity => WorkloadIdentityCredential::new(None)
            .map(|credential| credential as Arc<dyn TokenCredential>)
            .map_err(|error| error.to_string()),
        Credential::ManagedIdentity => {
            let user_assigned_id = client_id.map(|id| UserAssignedId::ClientId(id.to_owned()));
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() }))
                .map(|credential| credential as Arc<dyn TokenCredential>)
                .map_err(|error| error.to_string())
        }
    }
}

/// The scope of a token for the Kafka endpoint of a namespace, given `host:port` or several with commas.
/// Source: learn.microsoft.com, authorize access to Event Hubs with Microsoft Entra ID (audience of Kafka clients).
pub fn kafka_scope(servers: &str) -> String {
    let first = servers.split(',').next().unwrap_or_default().trim();
    let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
    format!("https://{host}/.default")
}

/// Asks for a token, or gives the kept one while it holds.
///
/// # Errors
///
/// What Entra or the machine's identity service answered.
pub async fn token(credential: &dyn TokenCredential, scope: &str) -> Result<Secret, String> {
    let token = credential.get_token(&[scope], None).await.map_err(|error| error.to_string())?;
    Ok(Secret::new(token.token.secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_the_namespace() {
        for (name, servers, expected) in [
            ("one", "ns.servicebus.windows.net:9093", "https://ns.servicebus.windows.net/.default"),
            ("several", " a.example:9093, b.example:9093", "https://a.example/.default"),
            ("no port", "a.example", "https://a.example/.default"),
        ] {
            assert_eq!(kafka_scope(servers), expected, "case: {name}");
        }
    }
}
