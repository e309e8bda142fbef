//! The rules, run on the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tidy::graph::{self, Metadata};
use tidy::{Violation, accept, files, sources, tree};

const SOURCE_ENDINGS: [&str; 7] = ["rs", "ts", "tsx", "mjs", "py", "sql", "css"];

fn metadata() -> Metadata {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(tree::root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints its JSON")
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(tree::root().join(name)).ok()
}

fn over_rust_files(check: impl Fn(&Path, &str) -> Vec<Violation>) -> Vec<Violation> {
    let files = tree::texts(&tree::root(), &["rs"]);
    assert!(files.len() > 20, "only {} Rust files found", files.len());
    files.iter().flat_map(|(file, text)| check(file, text)).collect()
}

#[test]
fn the_crate_graph_is_the_agreed_one() {
    let found = graph::snapshot(&graph::edges(&metadata()));
    let file = tree::root().join("docs/crates.txt");
    if std::env::var_os("TIDY_BLESS").is_some() {
        fs::write(&file, &found).expect("docs/crates.txt can be written");
    }
    let recorded = fs::read_to_string(&file).unwrap_or_default();
    accept(&format!("docs/crates.txt differs; {}", graph::REFRESH), &graph::differences(&recorded, &found));
}

#[test]
fn every_crate_depends_only_on_what_its_part_allows() {
    accept("the architecture forbids these dependencies", &graph::forbidden_edges(&metadata()));
}

#[test]
fn every_heavy_crate_stays_with_its_owner() {
    accept("these outside crates have owners", &graph::foreign_hands(&metadata()));
}

#[test]
fn every_module_says_what_it_is() {
    let in_src = |file: &Path| file.components().any(|part| part.as_os_str() == "src");
    let check = |file: &Path, text: &str| {
        sources::missing_header(file, text).filter(|_| in_src(file)).into_iter().collect()
    };
    accept("every module begins with //!", &over_rust_files(check));
}

#[test]
fn no_line_is_too_long() {
    accept("lines too long", &over_rust_files(sources::long_lines));
}

#[test]
fn no_function_is_too_long() {
    accept("functions too long", &over_rust_files(sources::long_functions));
}

#[test]
fn nothing_is_left_for_later() {
    let files = tree::texts(&tree::root(), &SOURCE_ENDINGS);
    let found: Vec<_> = files.iter().flat_map(|(file, text)| sources::leftovers(file, text)).collect();
    accept("notes and calls left for later", &found);
}

#[test]
fn the_map_names_every_crate() {
    let crates: Vec<String> = metadata().packages.into_iter().map(|package| package.name).collect();
    accept("the map is behind", &files::unnamed_crates(read("docs/architecture.md").as_deref(), &crates));
}

#[test]
fn no_file_is_too_large() {
    let root = tree::root();
    let size = |file: &Path| fs::metadata(root.join(file)).map_or(0, |data| data.len());
    let found: Vec<_> =
        tree::files(&root).iter().filter_map(|file| files::too_large(file, size(file))).collect();
    accept("files too large", &found);
}

#[test]
fn nothing_names_one_machine_or_one_registry() {
    let root = tree::root();
    let texts = tree::files(&root).into_iter().filter_map(|file| tree::text(&root, file));
    let found: Vec<_> = texts.flat_map(|(file, text)| files::foreign_mentions(&file, &text)).collect();
    accept("mentions of one machine's folders or of registry hosts", &found);
}

#[test]
fn the_licence_is_apache_2() {
    let manifest = read("Cargo.toml").expect("the workspace has a manifest");
    accept("the licence", &files::licence(read("LICENSE").as_deref(), &manifest));
}

#[test]
fn every_migration_has_its_twin() {
    let names = |database: &str| -> BTreeSet<String> {
        let folder = Path::new("crates/catalog/migrations").join(database);
        let files = tree::files(&tree::root()).into_iter().filter(|file| file.starts_with(&folder));
        files.filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert!(!sqlite.is_empty(), "crates/catalog/migrations/sqlite holds nothing");
    accept("migrations", &files::lonely_migrations(&sqlite, &postgres));
}
