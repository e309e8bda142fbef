//! Rules for the tree as a whole: sizes, mentions, the licence, the map, migrations in pairs.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Violation;

/// The largest file outside `fixtures/`, in bytes: a clone stays quick, and a picture or a build is not source.
pub const SIZE_LIMIT: u64 = 600_000;

// Written apart so that this file does not find itself.
const REGISTRY_HOSTS: [&str; 8] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("github.com/rust-lang/", "crates.io-index"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("registry.", "yarnpkg.com"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
];
const WORK_FOLDER: &str = concat!("/wo", "rk/");

/// A file over [`SIZE_LIMIT`].
#[must_use]
pub fn too_large(file: &Path, bytes: u64) -> Option<Violation> {
    let excused = file.starts_with("fixtures");
    (bytes > SIZE_LIMIT && !excused).then(|| format!("{}: {bytes} bytes, limit {SIZE_LIMIT}", file.display()))
}

/// Mentions of one machine's folders or of a registry's host: the tree must build behind any mirror, anywhere.
#[must_use]
pub fn foreign_mentions(file: &Path, text: &str) -> Vec<Violation> {
    let is_lock = file.file_name().is_some_and(|name| name == "Cargo.lock");
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if is_lock && line.starts_with("source = ") {
            continue;
        }
        let host = REGISTRY_HOSTS.iter().find(|host| line.contains(**host)).copied();
        if let Some(found) = host.or_else(|| names_work_folder(line).then_some(WORK_FOLDER)) {
            violations.push(format!("{}:{}: mentions {found}", file.display(), index + 1));
        }
    }
    violations
}

/// A path from the root, not a part of a longer path.
fn names_work_folder(line: &str) -> bool {
    line.match_indices(WORK_FOLDER).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|character| !character.is_alphanumeric() && !"./-_}$*".contains(character))
    })
}

/// What keeps the licence from being Apache-2.0, in the text and in the manifest.
#[must_use]
pub fn licence(text: Option<&str>, manifest: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    match text {
        None => violations.push("LICENSE: missing".to_owned()),
        Some(text) if !(text.contains("Apache License") && text.contains("Version 2.0, January 2004")) => {
            violations.push("LICENSE: not the text of the Apache License, Version 2.0".to_owned());
        }
        Some(_) => {}
    }
    let table: Option<toml::Table> = manifest.parse().ok();
    let license =
        table.as_ref().and_then(|table| table.get("workspace")?.get("package")?.get("license")?.as_str());
    if license != Some("Apache-2.0") {
        violations.push("Cargo.toml: workspace.package.license is not \"Apache-2.0\"".to_owned());
    }
    violations
}

/// Crates that the map does not name as `crates/NAME` or `` `NAME` ``.
#[must_use]
pub fn unnamed_crates(map: Option<&str>, crates: &[String]) -> Vec<Violation> {
    let Some(map) = map else {
        return vec!["docs/architecture.md: missing; write the map of the crates".to_owned()];
    };
    let is_named = |name: &str| map.contains(&format!("`{name}`")) || names_folder(map, name);
    let unnamed = crates.iter().filter(|name| !is_named(name));
    unnamed.map(|name| format!("docs/architecture.md: does not name the crate {name}")).collect()
}

fn names_folder(map: &str, name: &str) -> bool {
    let folder = format!("crates/{name}");
    map.match_indices(&folder).any(|(at, _)| {
        let after = map[at + folder.len()..].chars().next();
        after.is_none_or(|character| !character.is_alphanumeric() && character != '-')
    })
}

/// Migrations that only one of the two databases has.
#[must_use]
pub fn lonely_migrations(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<Violation> {
    let only = |here: &BTreeSet<String>, there: &BTreeSet<String>, missing: &str| -> Vec<Violation> {
        here.difference(there).map(|name| format!("migration {name}: no twin in {missing}")).collect()
    };
    [only(sqlite, postgres, "postgres"), only(postgres, sqlite, "sqlite")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_found_outside_the_fixtures() {
        assert!(too_large(Path::new("docs/film.mp4"), SIZE_LIMIT + 1).is_some());
        assert!(too_large(Path::new("docs/text.md"), SIZE_LIMIT).is_none());
        assert!(too_large(Path::new("fixtures/ct.dcm"), SIZE_LIMIT + 1).is_none());
    }

    #[test]
    fn mentions_are_found_but_not_in_the_lock_s_sources() {
        let host = REGISTRY_HOSTS[0];
        let folder = WORK_FOLDER;
        for text in [format!("see https://{host}/x"), format!("open(\"{folder}x\")"), format!("{folder}x")] {
            assert_eq!(foreign_mentions(Path::new("a.md"), &text).len(), 1, "{text}");
        }
        let source = format!("source = \"registry+https://{host}\"\n");
        assert!(foreign_mentions(Path::new("Cargo.lock"), &source).is_empty());
        assert_eq!(foreign_mentions(Path::new("other.lock"), &source).len(), 1);
        assert!(foreign_mentions(Path::new("a.md"), &format!("api/v1{folder}x")).is_empty());
    }

    #[test]
    fn another_licence_is_found() {
        let good = "Apache License\nVersion 2.0, January 2004\n";
        let manifest = "[workspace.package]\nlicense = \"Apache-2.0\"\n";
        assert!(licence(Some(good), manifest).is_empty());
        assert_eq!(licence(None, manifest).len(), 1);
        assert_eq!(licence(Some("MIT License"), "[workspace.package]\nlicense = \"MIT\"\n").len(), 2);
    }

    #[test]
    fn a_crate_that_the_map_forgets_is_found() {
        let crates = ["domain".to_owned(), "read".to_owned()];
        assert!(unnamed_crates(Some("`domain` and crates/read."), &crates).is_empty());
        assert_eq!(unnamed_crates(Some("`domain` and crates/reading-room"), &crates).len(), 1);
        assert_eq!(unnamed_crates(None, &crates).len(), 1);
    }

    #[test]
    fn a_migration_without_its_twin_is_found() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(lonely_migrations(&set(&["1_a.sql", "2_b.sql"]), &set(&["1_a.sql", "3_c.sql"])).len(), 2);
        assert!(lonely_migrations(&set(&["1_a.sql"]), &set(&["1_a.sql"])).is_empty());
    }
}
