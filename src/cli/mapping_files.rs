//! Reads a site's own folder of mappings beside the built-in ones.

use std::fs;
use std::io;
use std::path::Path;

use super::Failure;
use crate::config::Redaction;
use crate::engine::Engine;
use crate::mapping::{self, File, Files};

/// The built-in mappings and those of `folder`, whose files take the place of, or extend, built-in ones of the same name.
///
/// # Errors
///
/// A folder that cannot be read, a file that is not UTF-8, a folder without any mapping.
pub fn load(folder: Option<&Path>) -> Result<Files, Failure> {
    let mut files = mapping::built_in();
    let Some(folder) = folder else { return Ok(files) };
    if !add(&mut files, folder)?.iter().any(|name| name.ends_with(".toml") || name.starts_with("tags/")) {
        return Err(Failure::config(format!("{}: no mapping found; one lies at {}/VENDOR/LOG.toml", folder.display(), folder.display())));
    }
    Ok(files)
}

/// Adds the files of a site's folder over those known already; gives their names.
///
/// # Errors
///
/// A folder that cannot be read, a file that is not UTF-8.
pub fn add(files: &mut Files, folder: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    walk(folder, "", &mut found).map_err(|fault| match fault.kind() {
        io::ErrorKind::NotADirectory => Failure::config(format!("{}: a folder of mappings was expected, found a file", folder.display())),
        io::ErrorKind::NotFound => Failure::config(format!("{}: there is no such folder of mappings", folder.display())),
        _ => Failure::io(folder.display(), &fault),
    })?;
    found.sort();
    for name in &found {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).map_err(|fault| match fault.kind() {
            io::ErrorKind::InvalidData => Failure::config(format!("{}: UTF-8 text was expected", path.display())),
            _ => Failure::io(path.display(), &fault),
        })?;
        files.add(File { shown: path.display().to_string(), name: name.clone(), text, site: true });
    }
    Ok(found)
}

/// Adds a site's own severities of security tags, whatever its file is called.
///
/// # Errors
///
/// A file that cannot be read or is not UTF-8.
pub fn add_tags(files: &mut Files, path: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(path).map_err(|fault| match fault.kind() {
        io::ErrorKind::InvalidData => Failure::config(format!("{}: UTF-8 text was expected", path.display())),
        io::ErrorKind::NotFound => Failure::config(format!("{}: there is no such file of tags", path.display())),
        _ => Failure::io(path.display(), &fault),
    })?;
    files.add(File { shown: path.display().to_string(), name: mapping::tags::SITE_FILE.to_owned(), text, site: true });
    Ok(())
}

/// Adds the filters of a file, whatever else stands in it.
///
/// # Errors
///
/// A file that cannot be read or is not UTF-8.
pub fn add_filters(files: &mut Files, path: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(path).map_err(|fault| match fault.kind() {
        io::ErrorKind::InvalidData => Failure::config(format!("{}: UTF-8 text was expected", path.display())),
        io::ErrorKind::NotFound => Failure::config(format!("{}: there is no such file of filters", path.display())),
        _ => Failure::io(path.display(), &fault),
    })?;
    files.add_chooser(&path.display().to_string(), &text, false);
    Ok(())
}

/// Reads a file of what a site does not let out.
///
/// # Errors
///
/// A file that cannot be read, and everything that is wrong with it.
pub fn redaction(path: &Path) -> Result<Redaction, Failure> {
    let text = fs::read_to_string(path).map_err(|fault| Failure::io(path.display(), &fault))?;
    Redaction::read(&path.display().to_string(), &text)
        .map_err(|faults| Failure::config(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// Puts such a file's rules over an engine.
///
/// # Errors
///
/// As [`redaction`]; a key that cannot be read, a mapping that does not exist.
pub fn redact(engine: &mut Engine, path: &Path) -> Result<(), Failure> {
    let rules = redaction(path)?.rules().map_err(|why| Failure::config(format!("{}: {why}", path.display())))?;
    engine.redact_site(&rules).map_err(|faults| Failure::config(format!("{}: {}", path.display(), faults.join("\n"))))
}

/// Collects names below `folder`, with `/`. Cases and hidden files stay outside.
fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if prefix.is_empty() { own.clone() } else { format!("{prefix}/{own}") };
        if own.starts_with('.') || own.ends_with(".cases") {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            walk(&path, &name, found)?;
        } else if own.ends_with(".toml") || own.ends_with(".csv") {
            found.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_folder_stands_beside_the_built_in_mappings() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in
            [("acme/vpn.toml", "a = 1"), ("acme/words.csv", "key"), ("acme/vpn.cases/a.in.json", "{}"), ("acme/README.md", "")]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let files = load(Some(folder.path())).expect("files");
        let mut site: Vec<&str> = files.iter().filter(|(_, file)| file.site).map(|(_, file)| file.name.as_str()).collect();
        site.sort_unstable();
        assert_eq!(site, ["acme/vpn.toml", "acme/words.csv"]);
        assert!(files.built_in("openai/audit.toml").is_some());
    }

    #[test]
    fn folders_without_mappings_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("notes.txt"), "x").expect("a file");
        for (name, path, expected) in [
            ("empty", folder.path().to_owned(), "no mapping found"),
            ("missing", folder.path().join("gone"), "no such folder"),
            ("a file", folder.path().join("notes.txt"), "found a file"),
        ] {
            let failure = load(Some(&path)).expect_err(name);
            assert!(failure.text.contains(expected) && failure.exit == super::super::Exit::Config, "case {name}: {}", failure.text);
        }
    }
}
