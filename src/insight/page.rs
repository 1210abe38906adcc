//! A mapping's page in Markdown: what it takes, where every UDM field comes from, and which event type the result has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::words;
use crate::mapping::table::{Condition, LookupKey, NamedValue, Otherwise, Row, Rule, Source, SourcePath, Table, Unmapped};
use crate::mapping::{self, Diagnostic, Files};

/// Look-ups up to this many rows stand on the page in full; longer ones have a file of their own.
const LOOKUP_ROWS: usize = 40;

/// The page of one mapping. `name` is its path below the mappings folder, `azure/activity`.
///
/// # Errors
///
/// What is wrong with the mapping's text.
pub fn page(files: &Files, name: &str) -> Result<String, Vec<Diagnostic>> {
    let base = mapping::read(files, name, None)?;
    let mut page = Page { files, out: String::new() };
    page.head(&base, &mapping::profiles(files, name));
    page.body(&base);
    for profile in mapping::profiles(files, name) {
        let table = mapping::read(files, name, Some(&profile))?;
        page.profile(&base, &table, &profile);
    }
    page.roots(&base);
    Ok(page.out)
}

/// The list of all pages: `(name, log type, what is said of it)`.
///
/// # Errors
///
/// What is wrong with a mapping's text.
pub fn index(files: &Files) -> Result<String, Vec<Diagnostic>> {
    let mut out = String::from(
        "# Mappings\n\nWhere every UDM field of a log comes from, made from the tables below `mappings/`. Do not edit; \
         `UPDATE_GOLDEN=1 cargo test --test suite mapping_pages` writes these pages anew. `udmill coverage INPUT` tells how much of a log of your own \
         they read, `udmill explain` what happened to one record.\n\n| mapping | log type | takes | rows | event types |\n|---|---|---|---|---|\n",
    );
    for name in mapping::list(files) {
        let table = mapping::read(files, &name, None)?;
        let mut types: Vec<&str> = table.rules.iter().map(|rule| rule.is.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        let rows = table.rows.len() + table.with.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        let _ = writeln!(out, "| [{name}]({name}.md) | `{}` | {} | {rows} | {} |", table.log_type, shapes(&table), types.len());
    }
    Ok(out)
}

/// `azure (6 categories), log_analytics`: the shapes of a mapping's claims.
fn shapes(table: &Table) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &table.matches {
        *counts.entry(&entry.shape).or_default() += usize::from(entry.category.is_some() || entry.provider.is_some());
    }
    let one = |(shape, count): (&str, usize)| match count {
        0 => format!("`{shape}`"),
        1 => format!("`{shape}`: 1 kind"),
        count => format!("`{shape}`: {count} kinds"),
    };
    counts.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

struct Page<'a> {
    files: &'a Files,
    out: String,
}

/// Text inside a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Code inside a cell. A backtick of its own wants longer fences.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {} ``", cell(text)) } else { format!("`{}`", cell(text)) }
}

fn codes(texts: &[String], between: &str) -> String {
    texts.iter().map(|text| code(text)).collect::<Vec<_>>().join(between)
}

/// What the author says of a mapping: the comment above its `[mapping]`. Lines that are indented are shown as they stand.
fn remarks(text: &str) -> String {
    let head = text.lines().take_while(|line| !line.starts_with('['));
    let mut lines: Vec<String> = Vec::new();
    let mut is_code = false;
    for line in head.filter_map(|line| line.strip_prefix('#')).map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        let is_next_code = line.starts_with("  ");
        if is_code != is_next_code {
            lines.push("```".to_owned());
        }
        is_code = is_next_code;
        lines.push(if is_code { line.trim().to_owned() } else { line.replace('*', "\\*").replace('<', "\\<") });
    }
    if is_code {
        lines.push("```".to_owned());
    }
    if lines.is_empty() { String::new() } else { format!("{}\n\n", lines.join("\n")) }
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn head(&mut self, table: &Table, profiles: &[String]) {
        self.line(&format!("# {}\n", table.name));
        let up = "../".repeat(table.name.matches('/').count() + 2);
        self.line(&format!(
            "Made from [mappings/{0}.toml]({up}mappings/{0}.toml); do not edit. [All mappings]({1}README.md), \
             [the mapping language]({1}../mapping-language.md), [converters]({1}../converters.md).\n",
            table.name,
            "../".repeat(table.name.matches('/').count())
        ));
        self.line("| | |\n|---|---|");
        self.line(&format!("| log type | {} |", code(&table.log_type)));
        self.line(&format!("| version | {} |", table.version));
        if !profiles.is_empty() {
            self.line(&format!("| profiles | {} |", codes(profiles, ", ")));
        }
        let id = words::written(&table.id, self.files);
        let id = if id.is_empty() {
            "a hash of the record's content".to_owned()
        } else {
            format!("{}, else a hash of the record's content", codes(&id, " or "))
        };
        self.line(&format!("| `metadata.product_log_id` | {id} |"));
        let unmapped = match table.unmapped {
            Unmapped::Keep => "kept in `additional` as `unmapped.<path>`",
            Unmapped::Count => "counted",
            Unmapped::Drop => "left out",
        };
        self.line(&format!("| fields that no row reads | {unmapped} |"));
        for link in &table.docs {
            self.line(&format!("| described at | <{link}> |"));
        }
        self.line("");
        let file = format!("{}.toml", table.name);
        let text = self.files.site(&file).or(self.files.built_in(&file)).and_then(|index| self.files.get(index)).map(|file| &file.text);
        self.out.push_str(&remarks(text.map_or("", String::as_str)));
    }

    fn body(&mut self, table: &Table) {
        self.line("## Records it takes\n\n| shape | provider | category |\n|---|---|---|");
        let any = "any".to_owned();
        for entry in &table.matches {
            let or_any = |text: &Option<String>| text.as_ref().map_or_else(|| any.clone(), |text| code(text));
            self.line(&format!("| {} | {} | {} |", code(&entry.shape), or_any(&entry.provider), or_any(&entry.category)));
        }
        self.line("");
        for each in &table.each {
            let what = if each.emits_events { "becomes an event of its own" } else { "becomes an element of the event" };
            let from = words::written(std::slice::from_ref(&each.from), self.files);
            let mut text = format!("- Each element of {}, called {}, {what}", codes(&from, ", "), code(&each.name));
            if let Some((by, columns)) = &each.split {
                let counts: Vec<String> = columns.iter().map(|columns| columns.len().to_string()).collect();
                let _ = write!(text, "; its text is split at {} into {} columns", code(&(*by as char).to_string()), counts.join(" or "));
            }
            if let Some(when) = &each.when {
                let _ = write!(text, ", when {}", cell(&words::condition(when, self.files, "`")));
            }
            self.line(&format!("{text}."));
        }
        for skip in &table.skips {
            self.line(&format!("- Skipped as {} when {}.", code(&skip.reason), cell(&words::condition(&skip.when, self.files, "`"))));
        }
        if !table.each.is_empty() || !table.skips.is_empty() {
            self.line("");
        }
        self.values(&table.values.iter().collect::<Vec<_>>(), "## Named values\n");
        self.line("## Fields\n");
        self.line("In the order of the table. Of several sources the first that is present and converts is taken.\n");
        self.rows(&table.rows.iter().collect::<Vec<_>>());
        for (name, rows) in &table.with {
            self.line(&format!("### With `{name}`\n\nWritten only when a rule below that names it is taken.\n"));
            self.rows(&rows.iter().collect::<Vec<_>>());
        }
        self.drops(table);
        self.rules(table);
        self.lookups(table);
    }

    fn values(&mut self, values: &[&NamedValue], title: &str) {
        if values.is_empty() {
            return;
        }
        self.line(&format!("{title}\n| name | source | converter | condition |\n|---|---|---|---|"));
        for value in values {
            let chain: Vec<String> = value.chain.iter().map(words::call).collect();
            let source = self.source(&value.source, value.default.as_ref());
            let when = value.when.as_ref().map_or_else(String::new, |when| cell(&words::condition(when, self.files, "`")));
            self.line(&format!("| {} | {source} | {} | {when} |", code(&format!("${}", value.name)), codes(&chain, " → ")));
        }
        self.line("");
    }

    fn source(&self, source: &Source, default: Option<&mapping::table::Constant>) -> String {
        let mut text = codes(&words::source(source, self.files), "<br>");
        if let Some(default) = default {
            let _ = write!(text, "<br>else {}", code(&words::constant(default)));
        }
        text
    }

    fn rows(&mut self, rows: &[&Row]) {
        self.line("| UDM field | source | converter | condition |\n|---|---|---|---|");
        for row in rows {
            let targets: Vec<String> = row.targets.iter().map(|target| target.text.clone()).collect();
            let chain: Vec<String> = row.chain.iter().map(words::call).collect();
            let mut when: Vec<String> = row.when.iter().map(|when| cell(&words::condition(when, self.files, "`"))).collect();
            if row.fallback {
                when.push("nothing else filled it".to_owned());
            }
            let source = self.source(&row.source, row.default.as_ref());
            self.line(&format!("| {} | {source} | {} | {} |", codes(&targets, "<br>"), codes(&chain, " → "), when.join("; ")));
        }
        self.line("");
    }

    fn drops(&mut self, table: &Table) {
        let drops = words::written(&table.drop, self.files);
        if !drops.is_empty() {
            self.line(&format!("Read on purpose and written nowhere: {}.\n", codes(&drops, ", ")));
        }
    }

    fn rules(&mut self, table: &Table) {
        self.line("## Event types\n\nThe first rule whose condition holds and whose requirements the event meets is taken.\n");
        self.rule_rows(&table.rules.iter().collect::<Vec<_>>(), table);
    }

    fn rule_rows(&mut self, rules: &[&Rule], table: &Table) {
        self.line("| event type | when | with | else |\n|---|---|---|---|");
        for rule in rules {
            let mut when = rule.when.as_ref().map_or_else(|| "always".to_owned(), |when| cell(&words::condition(when, self.files, "`")));
            if let Some(why) = &rule.dormant {
                let _ = write!(when, " (dormant: {})", cell(why));
            }
            let with: Vec<String> = rule.with.iter().filter_map(|at| table.with.get(*at)).map(|(name, _)| name.clone()).collect();
            let otherwise: Vec<String> = rule
                .otherwise
                .iter()
                .map(|other| match other {
                    Otherwise::Type(name) => code(name),
                    Otherwise::Rule(at) => {
                        let rule = &table.rules[*at];
                        format!("rule {}", code(rule.name.as_deref().unwrap_or(&rule.is)))
                    }
                    Otherwise::Base => "the rules below".to_owned(),
                })
                .collect();
            self.line(&format!("| {} | {when} | {} | {} |", code(&rule.is), codes(&with, ", "), otherwise.join(", ")));
        }
        self.line("");
    }

    fn lookups(&mut self, table: &Table) {
        if table.lookups.is_empty() {
            return;
        }
        self.line("## Look-ups\n");
        for lookup in &table.lookups {
            self.line(&format!("### {}\n", lookup.name));
            let count = lookup.rows.len() + usize::from(lookup.default.is_some());
            if count == 0 {
                self.line(&format!("No line is shipped; one has {}.\n", codes(&lookup.columns, ", ")));
                continue;
            }
            if count > LOOKUP_ROWS {
                self.line(&format!("{count} rows with {}.\n", codes(&lookup.columns, ", ")));
                continue;
            }
            self.line(&format!("| input | {} |\n|---|{}", lookup.columns.join(" | "), "---|".repeat(lookup.columns.len())));
            let answers = |answers: &[Option<String>]| {
                answers.iter().map(|answer| answer.as_ref().map_or_else(String::new, |text| cell(text))).collect::<Vec<_>>().join(" | ")
            };
            for (key, columns) in &lookup.rows {
                let key = match key {
                    LookupKey::Exact(text) => code(text),
                    LookupKey::Prefix(text) => format!("begins with {}", code(text)),
                    LookupKey::Suffix(text) => format!("ends in {}", code(text)),
                    LookupKey::Pattern(pattern) => format!("matches {}", code(pattern.as_str())),
                };
                self.line(&format!("| {key} | {} |", answers(columns)));
            }
            if let Some(columns) = &lookup.default {
                self.line(&format!("| anything else | {} |", answers(columns)));
            }
            self.line("");
        }
    }

    /// What a profile adds to the mapping and takes away from it.
    fn profile(&mut self, base: &Table, table: &Table, profile: &str) {
        self.line(&format!("## Profile `{profile}`\n"));
        let rows_of =
            |table: &Table| -> Vec<Row> { table.rows.iter().chain(table.with.iter().flat_map(|(_, rows)| rows)).cloned().collect() };
        let (before, after) = (rows_of(base), rows_of(table));
        let added: Vec<&Row> = after.iter().filter(|row| !before.iter().any(|other| other.span == row.span)).collect();
        let removed: Vec<&Row> = before.iter().filter(|row| !after.iter().any(|other| other.span == row.span)).collect();
        let values: Vec<&NamedValue> =
            table.values.iter().filter(|value| !base.values.iter().any(|other| other.span == value.span)).collect();
        let rules: Vec<&Rule> = table.rules.iter().filter(|rule| !base.rules.iter().any(|other| other.span == rule.span)).collect();
        if added.is_empty() && removed.is_empty() && values.is_empty() && rules.is_empty() {
            self.line("As above.\n");
        }
        self.values(&values, "Named values it adds or replaces:\n");
        if !added.is_empty() {
            self.line("Rows it adds:\n");
            self.rows(&added);
        }
        if !removed.is_empty() {
            self.line("Rows it takes away or replaces:\n");
            self.rows(&removed);
        }
        if !rules.is_empty() {
            self.line("Its rules, tried before those above:\n");
            self.rule_rows(&rules, table);
        }
    }

    /// The paths that `@name` stands for.
    fn roots(&mut self, table: &Table) {
        let mut roots: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut note = |path: &SourcePath| {
            let Some(rest) = words::root(path, self.files).and_then(|text| text.strip_prefix('@')) else { return };
            let at = rest.find(['.', '[', '>']).unwrap_or(rest.len());
            let (name, tail) = rest.split_at(at);
            if let Some(root) = path.text.strip_suffix(tail) {
                let known = roots.entry(format!("@{name}")).or_default();
                if !known.iter().any(|other| other == root) {
                    known.push(root.to_owned());
                }
            }
        };
        let mut conditions: Vec<&Condition> = Vec::new();
        for row in table.rows.iter().chain(table.with.iter().flat_map(|(_, rows)| rows)) {
            words::paths(&row.source).into_iter().for_each(&mut note);
            conditions.extend(&row.when);
        }
        for value in &table.values {
            words::paths(&value.source).into_iter().for_each(&mut note);
            conditions.extend(&value.when);
        }
        conditions.extend(table.rules.iter().filter_map(|rule| rule.when.as_ref()));
        conditions.extend(table.skips.iter().map(|skip| &skip.when));
        for condition in conditions {
            condition.visit_sources(&mut note);
        }
        table.id.iter().chain(&table.drop).for_each(&mut note);
        if roots.is_empty() {
            return;
        }
        self.line("## Roots\n\n| name | stands for, in this order |\n|---|---|");
        for (name, paths) in roots {
            self.line(&format!("| {} | {} |", code(&name), codes(&paths, "<br>")));
        }
    }
}
