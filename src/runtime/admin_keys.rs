//! The token and the certificate of the admin port, read from where the settings say.
use crate::config::Admin;
use crate::telemetry::{AdminCertificate, AdminKeys, AdminToken};

/// Reads both anew: one that is not set is not asked for.
///
/// # Errors
///
/// All faults, a line each, with the setting, the file and the way out.
pub fn admin_keys(admin: &Admin) -> Result<AdminKeys, Vec<String>> {
    let token = admin.token.as_ref().map(|token| token.read()).transpose();
    let certificate = admin.tls.as_ref().map(|tls| AdminCertificate::read(&tls.certificate, &tls.key)).transpose();
    match (token, certificate) {
        (Ok(token), Ok(certificate)) => {
            let keys = AdminKeys::new(token.map(|token| AdminToken::new(token.expose())));
            Ok(match certificate {
                Some(certificate) => keys.with_certificate(certificate),
                None => keys,
            })
        }
        (token, certificate) => {
            let faults = token.err().map(|what| format!("`admin.token`: {what}")).into_iter();
            Err(faults.chain(certificate.err().into_iter().flatten()).collect())
        }
    }
}
