//! Builds every table below `mappings/` into the binary, so that a new log type is a new file and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let folder = root.join("mappings");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    let mut text = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&folder).expect("a file below the folder").to_string_lossy().replace('\\', "/");
        writeln!(text, "    ({name:?}, include_str!({:?})),", file.to_string_lossy()).expect("writing to a string");
    }
    text.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("built_in_mappings.rs"), text)
}

/// Tables and their look-ups; the cases beside them stay outside.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && ending != "cases" {
            collect(&path, files)?;
        } else if path.is_file() && matches!(ending.as_str(), "toml" | "csv") {
            files.push(path);
        }
    }
    Ok(())
}
