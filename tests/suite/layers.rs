//! Layers of a mapping: include < file < profile < site, through the same door the shell uses.

use proptest::prelude::*;
use udmill::mapping::table::{Condition, LookupKey, Otherwise, Root, Source, Table};
use udmill::mapping::{self, File, Files};

const HEAD: &str = "[mapping]\nlog_type = \"EXAMPLE\"\n[match]\nshape = \"azure\"\n";

fn files(texts: &[(&str, bool, &str)]) -> Files {
    let mut files = Files::new();
    for (name, site, text) in texts {
        files.add(File { name: (*name).to_owned(), shown: (*name).to_owned(), text: (*text).to_owned(), site: *site });
    }
    files
}

fn read(files: &Files, entry: &str, profile: Option<&str>) -> Table {
    mapping::read(files, entry, profile).unwrap_or_else(|faults| panic!("{}", mapping::render(&faults, files, false)))
}

/// `target <- source` of every row, in order.
fn rows(table: &Table) -> Vec<String> {
    let source = |source: &Source| match source {
        Source::From(paths) => paths.iter().map(|path| path.text.as_str()).collect::<Vec<_>>().join("|"),
        other => format!("{other:?}"),
    };
    let targets = |row: &mapping::table::Row| row.targets.iter().map(|target| target.text.as_str()).collect::<Vec<_>>().join(",");
    table.rows.iter().map(|row| format!("{} <- {}", targets(row), source(&row.source))).collect()
}

#[test]
fn a_row_that_replaces_stands_where_the_replaced_one_stood() {
    let common = "[fields]\nrows = [\n { from = \"a\", to = \"metadata.description\" },\n { from = \"b\", to = [\"target.hostname\", \"target.asset.hostname\"] },\n { from = \"c\", to = \"target.application\" },\n]\n";
    let main = format!(
        "include = [\"common\"]\n{HEAD}[fields]\nrows = [ {{ from = \"B\", to = \"target.hostname\", replace = true }}, {{ from = \"n\", to = \"target.url\" }}, {{ to = \"target.application\", remove = true }} ]\n\
         [profile.short.fields]\nrows = [ {{ from = \"A\", to = \"metadata.description\", replace = true }}, {{ from = \"AA\", to = \"metadata.description\", replace = true, fallback = true }} ]\n"
    );
    let site =
        "extends = true\n[mapping]\nunmapped = \"drop\"\n[fields]\nrows = [ { from = \"s\", to = \"target.url\", replace = true } ]\n";
    let built_in = files(&[("common.toml", false, common), ("main.toml", false, &main)]);
    let plain = ["metadata.description <- a", "target.hostname <- B", "target.asset.hostname <- b", "target.url <- n"];
    assert_eq!(rows(&read(&built_in, "main", None)), plain);
    let short = [
        "metadata.description <- A",
        "metadata.description <- AA",
        "target.hostname <- B",
        "target.asset.hostname <- b",
        "target.url <- n",
    ];
    assert_eq!(rows(&read(&built_in, "main", Some("short"))), short);

    let sited = files(&[("common.toml", false, common), ("main.toml", false, &main), ("main.toml", true, site)]);
    let table = read(&sited, "main", Some("short"));
    assert_eq!(rows(&table).last().map(String::as_str), Some("target.url <- s"));
    assert_eq!(table.unmapped, mapping::table::Unmapped::Drop);

    let replaced = files(&[("common.toml", false, common), ("main.toml", false, &main), ("main.toml", true, HEAD)]);
    assert!(rows(&read(&replaced, "main", None)).is_empty(), "a site's file without `extends` takes the place of the built-in one");
}

#[test]
fn an_include_keeps_its_mapping_and_match_to_itself() {
    let common = "[mapping]\nlog_type = \"COMMON\"\nid = \"x\"\n[match]\nshape = \"unknown\"\n[profile.p.fields]\nrows = [ { from = \"a\", to = \"target.url\" } ]\n";
    let main = format!("include = [\"common\"]\n{HEAD}");
    let files =
        files(&[("common.toml", false, common), ("main.toml", false, &main), ("part.toml", false, "[values]\na = { from = \"a\" }\n")]);
    let table = read(&files, "main", None);
    assert_eq!((table.log_type.as_str(), table.id.len(), table.matches.len()), ("EXAMPLE", 0, 1));
    assert_eq!(mapping::profiles(&files, "main"), Vec::<String>::new());
    assert_eq!(mapping::profiles(&files, "common"), ["p"]);
    assert_eq!(mapping::list(&files), ["common", "main"], "a file without `[mapping]` is an include only");
}

#[test]
fn rules_of_a_later_layer_stand_first_and_reach_those_below() {
    let main = format!(
        "{HEAD}[event_type]\nrules = [ {{ is = \"STATUS_UPDATE\", name = \"status\" }}, {{ is = \"GENERIC_EVENT\" }} ]\n\
         [profile.p.with.login]\nrows = [ {{ value = \"x\", to = \"target.application\" }} ]\n\
         [profile.p.event_type]\nrules = [ {{ is = \"USER_LOGIN\", with = \"login\", else = [\"late\", \"status\", \"USER_UNCATEGORIZED\", \"base\"] }}, {{ is = \"USER_LOGOUT\", name = \"late\" }} ]\n"
    );
    let table = read(&files(&[("main.toml", false, &main)]), "main", Some("p"));
    let order: Vec<(&str, usize)> = table.rules.iter().map(|rule| (rule.is.as_str(), rule.layer)).collect();
    assert_eq!(order, [("USER_LOGIN", 1), ("USER_LOGOUT", 1), ("STATUS_UPDATE", 0), ("GENERIC_EVENT", 0)]);
    assert_eq!(
        table.rules[0].otherwise,
        [Otherwise::Rule(1), Otherwise::Rule(2), Otherwise::Type("USER_UNCATEGORIZED".to_owned()), Otherwise::Base]
    );
    assert_eq!(table.rules[0].with, [0]);
    assert_eq!(table.with[0].0, "login");
}

#[test]
fn values_stand_after_those_they_read() {
    let main = format!(
        "{HEAD}[values]\nz = {{ from = \"$b\" }}\nb = {{ template = \"{{$c}}/x\" }}\nc = {{ from = \"c\" }}\na = {{ from = \"a\" }}\n"
    );
    let table = read(&files(&[("main.toml", false, &main)]), "main", None);
    let names: Vec<&str> = table.values.iter().map(|value| value.name.as_str()).collect();
    assert_eq!(names, ["c", "b", "z", "a"]);
    let Source::From(paths) = &table.values[2].source else { panic!("it reads a path") };
    assert_eq!(paths[0].root, Root::Value(1));
}

#[test]
fn roots_groups_and_matches_spread_out() {
    let main = "[mapping]\nlog_type = \"EXAMPLE\"\n[match]\nany = [ { shape = [\"azure\", \"log_analytics\"], provider = \"Microsoft.KeyVault/Vaults\", category = [\"A\", \"b\"] } ]\n\
        [roots]\nclaims = [\"identity>json.claims\", \"Claims>json\"]\n\
        [fields]\nrows = [ { from = [\"x\", \"@claims.appid\"], to = \"target.application\", when = { record_has = \"@claims.appid\" } } ]\n\
        [[group]]\nwhen = { record_equals = { kind = \"a\" } }\nrows = [ { from = \"y\", to = \"target.url\", when = { record_has = \"y\", event_has = \"target\" } }, { from = \"z\", to = \"target.hostname\" } ]\n";
    let table = read(&files(&[("main.toml", false, main)]), "main", None);
    assert_eq!(rows(&table)[0], "target.application <- x|identity>json.claims.appid|Claims>json.appid");
    assert!(matches!(&table.rows[0].when, Some(Condition::Any(of)) if of.len() == 2));
    assert!(matches!(&table.rows[1].when, Some(Condition::All(of)) if of.len() == 3));
    assert!(matches!(&table.rows[2].when, Some(Condition::Record(..))));
    let matches: Vec<String> =
        table.matches.iter().map(|found| format!("{} {}", found.shape, found.category.as_deref().unwrap_or("*"))).collect();
    assert_eq!(matches, ["azure a", "azure b", "log_analytics a", "log_analytics b"]);
    assert_eq!(table.matches[0].provider.as_deref(), Some("microsoft.keyvault/vaults"));
}

#[test]
fn lookups_come_inline_or_from_a_file_and_can_be_extended() {
    let main = format!("{HEAD}[lookup.roles]\nfile = \"roles.csv\"\n");
    let csv = "key,prefix,name,rank\nA1,,Owner,high\n,b2,Reader,\n,,Other,low\n";
    let site = "extends = true\n[lookup.roles]\nextends = true\nrows = [ { key = \"a1\", name = \"Master\", colour = \"red\" }, { matches = \"^X\", name = \"Any\" } ]\n";
    let plain = files(&[("azure/main.toml", false, &main), ("azure/roles.csv", false, csv)]);
    let table = read(&plain, "azure/main", None);
    let roles = &table.lookups[0];
    assert_eq!(roles.columns, ["name", "rank"]);
    assert!(matches!(&roles.rows[0], (LookupKey::Exact(key), answers) if key == "a1" && answers[1].as_deref() == Some("high")));
    assert!(matches!(&roles.rows[1], (LookupKey::Prefix(key), answers) if key == "b2" && answers[1].is_none()));
    assert_eq!(roles.default, Some(vec![Some("Other".to_owned()), Some("low".to_owned())]));

    let sited = files(&[("azure/main.toml", false, &main), ("azure/roles.csv", false, csv), ("azure/main.toml", true, site)]);
    let table = read(&sited, "azure/main", None);
    let roles = &table.lookups[0];
    assert_eq!(roles.columns, ["name", "rank", "colour"]);
    assert_eq!(roles.rows.len(), 3);
    let own = |key: &str| {
        roles.rows.iter().find(|(found, _)| matches!(found, LookupKey::Exact(text) if text == key)).map(|(_, answers)| answers.clone())
    };
    assert_eq!(own("a1"), Some(vec![Some("Master".to_owned()), None, Some("red".to_owned())]), "the upper row answers alone");
    assert_eq!(roles.default, Some(vec![Some("Other".to_owned()), Some("low".to_owned()), None]));

    let own_csv =
        files(&[("azure/main.toml", false, &main), ("azure/roles.csv", false, csv), ("azure/roles.csv", true, "key,name\nz,Site\n")]);
    assert_eq!(read(&own_csv, "azure/main", None).lookups[0].columns, ["name"]);
}

/// One of everything.
const SOUND: &str = "include = [\"common\"]\n[mapping]\nlog_type = \"X\"\nid = [\"a.b\"]\n[match]\nany = [ { shape = \"azure\" } ]\n[roots]\nr = [\"a>json\"]\n[values]\nv = { template = \"{a}/{b}\", as = [\"lower\"] }\n\
            [lookup.l]\nrows = [ { key = \"a\", c = \"b\" } ]\n[[each]]\nas = \"e\"\nfrom = \"list[*]\"\nsplit = { by = \",\", columns = [[\"a\"]] }\n[event_type]\nrules = [ { is = \"GENERIC_EVENT\", when = { record_in = { \"@r.x\" = [1, \"b\"] } } } ]\n\
            [fields]\nrows = [ { from = [\"$v\", \"e.a\", \"a.\\\"x.y\\\"[0]\"], to = [\"target.url\", \"additional{*}\", \"about[each e].ip[]\"], as = { lookup = \"l\", column = \"c\" } } ]\n";

#[test]
fn one_of_everything_reads() {
    let common = "[fields]\nrows = [ { from = \"q\", to = \"target.hostname\" } ]\n";
    let table = read(&files(&[("main.toml", false, SOUND), ("common.toml", false, common)]), "main", None);
    assert_eq!((table.rows.len(), table.values.len(), table.each.len(), table.lookups.len(), table.rules.len()), (2, 1, 1, 1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Damaged mappings give faults that can be shown, never a panic.
    #[test]
    fn damaged_mappings_are_told_not_fatal(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..6, "[\\[\\]{}\",.=a$@>*#\n\u{e9}]{0,3}"), 1..4)) {
        let mut text: Vec<char> = SOUND.chars().collect();
        for (index, removed, added) in edits {
            let at = index.index(text.len());
            text.splice(at..(at + removed).min(text.len()), added.chars());
        }
        let text: String = text.into_iter().collect();
        let files = files(&[("main.toml", false, &text), ("common.toml", false, "[fields]\nrows = [ { from = \"q\", to = \"target.hostname\" } ]\n")]);
        mapping::list(&files);
        mapping::profiles(&files, "main");
        if let Err(faults) = mapping::read(&files, "main", None) {
            prop_assert!(!faults.is_empty());
            prop_assert!(mapping::render(&faults, &files, true).contains("error"));
        }
    }
}
