//! Every shipped mapping compiles under every profile it has.

use crate::mapping::{built_in, compile, list, profiles, read, render};

#[test]
fn shipped_mappings_compile_under_every_profile() {
    let files = built_in();
    let mut told = String::new();
    let mut compiled = 0;
    for name in list(&files) {
        for profile in std::iter::once(None).chain(profiles(&files, &name).into_iter().map(Some)) {
            let table = match read(&files, &name, profile.as_deref()) {
                Ok(table) => table,
                Err(faults) => {
                    told.push_str(&render(&faults, &files, false));
                    continue;
                }
            };
            let place = |span: crate::mapping::table::Span| {
                (files.get(span.file).map_or_else(String::new, |file| file.name.clone()), files.position(span).0)
            };
            match compile::compile(&table, &compile::Options::default(), &place) {
                Ok(_) => compiled += 1,
                Err(faults) => told.push_str(&format!("{name} {profile:?}\n{}", render(&faults, &files, false))),
            }
        }
    }
    assert!(told.is_empty(), "{told}");
    assert!(compiled >= 6, "only {compiled} plans");
}
