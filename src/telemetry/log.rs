//! The log on stderr: text for people, JSON for collectors.
use tracing_subscriber::EnvFilter;

/// Starts logging on stderr, as one JSON object a line or as text. `filter` is in the syntax of `tracing-subscriber`, for example `info` or `udmill=debug`.
///
/// Answers false when a log was already started in this process; the earlier one stays.
///
/// # Errors
///
/// The filter's fault, as a text.
pub fn init_log(json: bool, filter: &str) -> Result<bool, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log filter `{filter}`: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    Ok(if json {
        builder.json().flatten_event(true).try_init().is_ok()
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init().is_ok()
    })
}
