//! `udmill check`: every fault of the mappings and the settings at once, before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::paint::{BAD, FAINT, GOOD, STRONG};
use super::{Exit, Failure, mapping_files};
use crate::config::{Fault, Settings};
use crate::engine::{self, Engine, View};
use crate::enrich::Databases;
use crate::mapping::compile::{Options, compile};
use crate::mapping::diagnostic::Severity;
use crate::mapping::{self, Diagnostic, Files, table::Span, table::Table};

/// Arguments of `udmill check`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    udmill check\n  \
    udmill check --mappings my-mappings\n  \
    udmill check --config /etc/udmill/udmill.toml\n\n\
    Nothing is connected to. Exit codes: 0 no fault; 2 at least one fault, all of which are printed.")]
pub struct Args {
    /// Also check the settings of FILE, and the mappings, the databases and the admin port's certificate it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also check the mappings of DIR, which extend or replace the built-in ones
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// Also check FILE, which gives security tags other severities
    #[arg(long, value_name = "FILE")]
    tags: Option<PathBuf>,
    /// Also check FILE, which says what the site does not let out; its key is not read
    #[arg(long, value_name = "FILE")]
    redaction: Option<PathBuf>,
    /// Print faults only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
///
/// A folder that cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let settings = args.config.as_deref().map(settings).transpose()?;
    let mut faults = 0;
    let mut folder = args.mappings.clone();
    let mut tags = args.tags.clone();
    let mut redaction = args.redaction.clone();
    let mut profiles = Vec::new();
    let mut chooser = None;
    if let (Some(path), Some(read)) = (&args.config, &settings) {
        let shown = path.display();
        match read {
            Ok(settings) => {
                folder = folder.or_else(|| settings.files.mappings.as_ref().map(PathBuf::from));
                tags = tags.or_else(|| settings.files.tags.as_ref().map(PathBuf::from));
                chooser = settings.has_choices().then(|| settings.written.clone());
                redaction = redaction.or_else(|| settings.files.redaction.as_ref().map(PathBuf::from));
                profiles.extend(settings.output.iter().filter_map(|output| Some((output.name.clone(), output.profile.clone()?))));
                for fault in databases(settings).into_iter().chain(certificate(settings)) {
                    faults += 1;
                    anstream::eprintln!("{BAD}error{BAD:#}: {shown}: {fault}");
                }
            }
            Err(found) => {
                faults += found.len();
                for fault in found {
                    anstream::eprintln!("{BAD}error{BAD:#}: {fault}");
                }
            }
        }
    }
    let mut files = mapping_files::load(folder.as_deref())?;
    if let Some(tags) = &tags {
        mapping_files::add_tags(&mut files, tags)?;
    }
    if let Some((name, text)) = &chooser {
        files.add_chooser(name, text, true);
    }
    let checked = Checked::of(&files);
    for (output, profile) in &profiles {
        if !checked.tables.iter().any(|table| table.profile.as_ref() == Some(profile)) {
            faults += 1;
            anstream::eprintln!("{BAD}error{BAD:#}: output `{output}`: no mapping has a profile `{profile}`");
        }
    }
    for fault in redaction.iter().flat_map(|path| redaction_faults(path, &files)) {
        faults += 1;
        anstream::eprintln!("{BAD}error{BAD:#}: {fault}");
    }
    anstream::eprint!("{}", mapping::render(&checked.found, &files, std::io::stderr().is_terminal()));
    if !args.quiet {
        anstream::print!("{}", checked.overview());
    }
    faults += checked.errors();
    match faults {
        0 => {
            if !args.quiet {
                anstream::println!("{GOOD}no fault{GOOD:#}");
            }
            Ok(Exit::Done)
        }
        1 => Err(Failure::config("1 fault")),
        faults => Err(Failure::config(format!("{faults} faults"))),
    }
}

/// What is wrong with a file of what the site does not let out.
fn redaction_faults(path: &Path, files: &Files) -> Vec<String> {
    let read = match mapping_files::redaction(path) {
        Ok(read) => read,
        Err(failure) => return failure.text.lines().map(str::to_owned).collect(),
    };
    // With faults of the mappings, which are told beside this, nobody knows them all.
    let Ok((mut engine, _)) = Engine::build(files, &[View::default()], engine::Settings::default()) else { return Vec::new() };
    let found = engine.redact_site(&read.without_key()).err().unwrap_or_default();
    found.into_iter().map(|fault| format!("{}: {fault}", path.display())).collect()
}

/// Reads the settings; the inner result holds what is wrong with them.
fn settings(path: &Path) -> Result<Result<Settings, Vec<Fault>>, Failure> {
    let text = fs::read_to_string(path).map_err(|fault| Failure::io(path.display(), &fault))?;
    Ok(Settings::read(&path.display().to_string(), &text))
}

/// What is wrong with the databases that the settings name.
fn databases(settings: &Settings) -> Vec<String> {
    let mut faults = Vec::new();
    let mut read = |path: &Option<String>| {
        let path = path.as_ref()?;
        fs::read(path).map_err(|fault| faults.push(format!("{path}: {fault}"))).ok()
    };
    let (city, asn) = (read(&settings.files.geo_city), read(&settings.files.geo_asn));
    if let Err(found) = Databases::new(city, asn) {
        faults.extend(found.iter().map(ToString::to_string));
    }
    faults
}

/// What is wrong with the certificate of the admin port, or its key.
fn certificate(settings: &Settings) -> Vec<String> {
    let Some(tls) = &settings.admin.tls else { return Vec::new() };
    #[cfg(feature = "kafka")]
    let faults = crate::telemetry::AdminCertificate::read(&tls.certificate, &tls.key).err().unwrap_or_default();
    #[cfg(not(feature = "kafka"))]
    let faults = vec![format!("`admin.tls.certificate` (`{}`): this program was built without the feature `kafka`", tls.certificate)];
    faults
}

/// What every mapping under every profile came to.
#[derive(Debug, Default)]
struct Checked {
    /// Faults and warnings, each once, though several profiles may meet it.
    found: Vec<Diagnostic>,
    tables: Vec<Table>,
}

impl Checked {
    fn of(files: &Files) -> Checked {
        let mut checked = Checked::default();
        let places = |span: Span| {
            let file = files.get(span.file).map_or_else(String::new, |file| file.shown.clone());
            (file, files.position(span).0)
        };
        for name in mapping::list(files) {
            let mut profiles = vec![None];
            profiles.extend(mapping::profiles(files, &name).into_iter().map(Some));
            for profile in profiles {
                match mapping::read(files, &name, profile.as_deref()) {
                    Ok(table) => {
                        match compile(&table, &Options::default(), &places) {
                            Ok((_, warnings)) => checked.take(warnings),
                            Err(faults) => checked.take(faults),
                        }
                        checked.tables.push(table);
                    }
                    Err(faults) => checked.take(faults),
                }
            }
        }
        // Whether two mappings claim the same records, and whether a filter or an output waits for what nothing is called, shows only when
        // all stand side by side; the rest was found above.
        if let Err(faults) = Engine::build(files, &[View::default()], engine::Settings::default()) {
            checked.take(faults.into_iter().filter(|fault| ["M029", "M058", "M070"].contains(&fault.code)).collect());
        }
        checked
    }

    fn take(&mut self, found: Vec<Diagnostic>) {
        for diagnostic in found {
            if !self.found.contains(&diagnostic) {
                self.found.push(diagnostic);
            }
        }
    }

    fn errors(&self) -> usize {
        self.found.iter().filter(|found| found.severity == Severity::Error).count()
    }

    /// What the mappings can give, and what a profile leaves out of what another gives.
    fn overview(&self) -> String {
        let mut text = String::new();
        let mut by_name: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
        for table in &self.tables {
            by_name.entry(&table.name).or_default().push(table);
        }
        for (name, tables) in by_name {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{STRONG}{name}{STRONG:#} {FAINT}version {}, {}{FAINT:#}", tables[0].version, tables[0].log_type);
            let all: BTreeSet<&str> = tables.iter().flat_map(|table| types(table)).collect();
            for table in &tables {
                // The plain form of a mapping with profiles is never run by itself.
                if table.profile.is_none() && tables.len() > 1 {
                    continue;
                }
                let given = types(table);
                let profile = table.profile.as_ref().map_or_else(|| "  ".to_owned(), |profile| format!("  profile {profile}: "));
                let rows = table.rows.len() + table.with.iter().map(|(_, rows)| rows.len()).sum::<usize>();
                let tags: BTreeSet<&str> = table.tags.iter().flat_map(|tags| &tags.lines).map(|line| line.name.as_str()).collect();
                let off: BTreeSet<&str> =
                    table.tags.iter().flat_map(|tags| &tags.lines).filter(|line| line.is_off).map(|line| line.name.as_str()).collect();
                let told = match (tags.len(), off.len()) {
                    (0, _) => String::new(),
                    (tags, 0) => format!(" and {tags} security tags"),
                    (tags, off) => format!(" and {tags} security tags, {off} of them off"),
                };
                let _ = writeln!(text, "{profile}{rows} rows give {} event types{told}", given.len());
                let missing: Vec<&str> = all.difference(&given).copied().collect();
                if !missing.is_empty() {
                    let given: Vec<&str> = given.iter().copied().collect();
                    let _ = writeln!(
                        text,
                        "    {FAINT}only {}: what another profile gives as {} becomes one of these{FAINT:#}",
                        given.join(", "),
                        missing.join(", ")
                    );
                }
            }
            let dormant: BTreeMap<&str, &str> = tables
                .iter()
                .flat_map(|table| &table.rules)
                .filter_map(|rule| rule.dormant.as_ref().map(|why| (rule.is.as_str(), why.as_str())))
                .collect();
            for (rule, why) in dormant {
                let _ = writeln!(text, "  {FAINT}dormant {rule}: {why}{FAINT:#}");
            }
        }
        text
    }
}

/// The event types that a mapping can give.
fn types(table: &Table) -> BTreeSet<&str> {
    table.rules.iter().filter(|rule| rule.dormant.is_none()).map(|rule| rule.is.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_site(name: &str, text: &str) -> (Files, Checked) {
        let mut files = mapping::built_in();
        files.add(mapping::File { name: name.to_owned(), shown: name.to_owned(), text: text.to_owned(), site: true });
        let checked = Checked::of(&files);
        (files, checked)
    }

    #[test]
    fn faults_of_several_kinds_come_at_once_and_each_once() {
        let (files, checked) = with_site(
            "openai/audit.toml",
            "extends = true\n[fields]\nrows = [\n  { from = \"project.name\", to = \"additional{project}\", az = \"lower\" },\n  { from = \"project.id\", too = \"x\" },\n]\n",
        );
        let text = mapping::render(&checked.found, &files, false);
        assert!(checked.errors() >= 2, "{text}");
        assert_eq!(text.matches("openai/audit.toml:4:").count(), 1, "one fault is told once, though every profile meets it:\n{text}");
        assert!(text.contains("openai/audit.toml:5:"), "{text}");
    }

    #[test]
    fn two_mappings_that_claim_the_same_records_are_refused() {
        let openai = include_str!("../../mappings/openai/audit.toml");
        let head: String = openai.lines().take_while(|line| !line.starts_with("[match]")).map(|line| format!("{line}\n")).collect();
        let rest = "[match]\nany = [ { shape = \"openai_audit\" } ]\n[event_type]\nrules = [ { is = \"GENERIC_EVENT\" } ]\n\
                    [fields]\nrows = [ { from = \"effective_at\", to = \"metadata.event_timestamp\", as = \"unix_seconds\" } ]\n";
        let (files, checked) = with_site("acme/audit.toml", &format!("{head}{rest}"));
        let text = mapping::render(&checked.found, &files, false);
        assert_eq!(checked.errors(), 1, "{text}");
        assert!(text.contains("error[M058]"), "{text}");
    }

    #[test]
    fn the_overview_says_what_a_profile_leaves_out() {
        let checked = Checked::of(&mapping::built_in());
        let text = anstream::adapter::strip_str(&checked.overview()).to_string();
        assert!(text.contains("openai/audit") && text.contains("profile documented: ") && text.contains("dormant FILE_COPY: "), "{text}");
        let line = text.lines().find(|line| line.contains("only GENERIC_EVENT, STATUS_UPDATE")).unwrap_or_default();
        assert!(line.contains("USER_LOGIN"), "`documented` gives logins as something else:\n{text}");
    }
}
