//! The tables that come with the program: everything below `mappings/`, put there when it was built.

use super::diagnostic::Files;

/// `(name below mappings/, text)`, sorted by name.
const TABLES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/built_in_mappings.rs"));

/// The built-in tables and their look-ups.
///
/// ```
/// let files = udmill::mapping::built_in();
/// assert!(udmill::mapping::list(&files).contains(&"openai/audit".to_owned()));
/// ```
pub fn built_in() -> Files {
    let mut files = Files::new();
    for (name, text) in TABLES {
        files.add_built_in(name, text);
    }
    files
}
