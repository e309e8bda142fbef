//! The crate graph: its snapshot, and the rules of dependency from the architecture.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::Violation;

/// What `cargo metadata --no-deps` says, as far as the rules ask.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The workspace's crates.
    pub packages: Vec<Package>,
}

/// One crate of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// What its manifest lists.
    pub dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The crate depended on.
    pub name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// Where it lies, if it is one of ours.
    pub path: Option<String>,
}

/// One crate of ours that depends on another of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Who depends.
    pub from: String,
    /// On whom.
    pub to: String,
    /// `normal`, `dev` or `build`.
    pub kind: String,
}

impl fmt::Display for Edge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {} ({})", self.from, self.to, self.kind)
    }
}

/// How a person agrees to a new graph.
pub const REFRESH: &str = "to accept the new graph: TIDY_BLESS=1 cargo test -p tidy";

const SNAPSHOT_HEAD: &str =
    "# Who depends on whom, checked by crates/tidy. To accept a change: TIDY_BLESS=1 cargo test -p tidy\n";

/// The part a crate plays, which says what it may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Domain,
    SpeakAlone,
    Speak,
    Adapter,
    Gate,
    Role,
    Executable,
    Testkit,
    Tidy,
}

/// Every crate's part. A new crate is refused until it stands here.
const PARTS: [(&str, Part); 21] = [
    ("domain", Part::Domain),
    ("dimse", Part::SpeakAlone),
    ("hl7", Part::SpeakAlone),
    ("fhir", Part::SpeakAlone),
    ("imaging", Part::Speak),
    ("documents", Part::Speak),
    ("storage", Part::Adapter),
    ("broker", Part::Adapter),
    ("catalog", Part::Adapter),
    ("pixels", Part::Adapter),
    ("gate", Part::Gate),
    ("intake", Part::Role),
    ("orders", Part::Role),
    ("archive", Part::Role),
    ("reporter", Part::Role),
    ("reading-room", Part::Role),
    ("notifier", Part::Role),
    ("edge", Part::Executable),
    ("telerad", Part::Executable),
    ("testkit", Part::Testkit),
    ("tidy", Part::Tidy),
];

/// Who may use which outside crate. A name that ends in `-` stands for all that begin so; the longest match
/// counts. What is not listed, everybody may use.
const OWNERS: [(&str, &[&str]); 18] = [
    ("sqlx", &["catalog"]),
    ("aws-", &["storage"]),
    ("lapin", &["broker"]),
    // `telerad doctor` asks the mail server whether it would take a message.
    ("lettre", &["notifier", "telerad"]),
    ("typst", &["documents"]),
    ("typst-", &["documents"]),
    // What no line below names (decoders, parsers, encodings) belongs to the two that speak DICOM.
    ("dicom-", &["dimse", "imaging"]),
    // `telerad send` and `telerad doctor` are the calling side of an association.
    ("dicom-ul", &["dimse", "telerad"]),
    ("dicom-transfer-syntax-registry", &["dimse", "imaging", "telerad", "testkit"]),
    ("dicom-core", &["archive", "dimse", "imaging", "intake", "telerad", "testkit"]),
    ("dicom-dictionary-std", &["archive", "dimse", "imaging", "intake", "telerad", "testkit"]),
    ("dicom-json", &["archive", "imaging", "intake", "telerad", "testkit"]),
    ("dicom-object", &["archive", "dimse", "imaging", "intake", "telerad", "testkit"]),
    // Codecs run in processes of their own, which only do what `imaging` says.
    ("charls", &["imaging"]),
    ("jpeg2k", &["imaging"]),
    ("jpeg-", &["imaging"]),
    ("zune-", &["imaging"]),
    ("seccompiler", &["pixels"]),
];

/// All edges between our crates.
#[must_use]
pub fn edges(metadata: &Metadata) -> BTreeSet<Edge> {
    let ours = |package: &Package| {
        let from = package.name.clone();
        let paths = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        paths
            .map(|to| Edge {
                from: from.clone(),
                to: to.name.clone(),
                kind: to.kind.clone().unwrap_or_else(|| "normal".to_owned()),
            })
            .collect::<Vec<_>>()
    };
    metadata.packages.iter().flat_map(ours).collect()
}

/// The snapshot's text.
#[must_use]
pub fn snapshot(edges: &BTreeSet<Edge>) -> String {
    edges.iter().fold(SNAPSHOT_HEAD.to_owned(), |text, edge| format!("{text}{edge}\n"))
}

/// The lines in which the tree and the snapshot differ.
#[must_use]
pub fn differences(recorded: &str, found: &str) -> Vec<Violation> {
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let (recorded, found) = (lines(recorded), lines(found));
    let gone = recorded.difference(&found).map(|line| format!("- {line}"));
    let new = found.difference(&recorded).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

/// Edges that the rules forbid, and crates that the rules do not know.
#[must_use]
pub fn forbidden_edges(metadata: &Metadata) -> Vec<Violation> {
    let unknown = metadata.packages.iter().filter(|package| part(&package.name).is_none());
    let unknown =
        unknown.map(|package| format!("{}: give it a part in crates/tidy/src/graph.rs", package.name));
    let edges = edges(metadata);
    let bad =
        edges.iter().filter(|edge| !is_allowed(edge)).map(|edge| format!("{edge}: the rules forbid it"));
    unknown.chain(bad).collect()
}

/// Outside crates in the hands of somebody who does not own them.
#[must_use]
pub fn foreign_hands(metadata: &Metadata) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_none()) {
            let Some(owners) = owners(&dependency.name) else { continue };
            if !owners.contains(&package.name.as_str()) {
                violations.push(format!(
                    "{} uses {}, which belongs to {}",
                    package.name,
                    dependency.name,
                    owners.join(", ")
                ));
            }
        }
    }
    violations
}

fn part(name: &str) -> Option<Part> {
    PARTS.iter().find(|(known, _)| *known == name).map(|(_, part)| *part)
}

fn owners(name: &str) -> Option<&'static [&'static str]> {
    let matches = OWNERS
        .iter()
        .filter(|(owned, _)| *owned == name || (owned.ends_with('-') && name.starts_with(owned)));
    matches.max_by_key(|(owned, _)| owned.len()).map(|(_, owners)| *owners)
}

fn is_allowed(edge: &Edge) -> bool {
    let (Some(from), Some(to)) = (part(&edge.from), part(&edge.to)) else { return true };
    // Anybody proves with testkit; nothing that ships contains it.
    if to == Part::Testkit {
        return edge.kind == "dev" && from != Part::Tidy;
    }
    // Roles, and the embedded broker, are tested on the embedded adapters (docs/decisions/0004).
    if edge.kind == "dev" && to == Part::Adapter && matches!(from, Part::Role | Part::Adapter | Part::Gate) {
        return true;
    }
    match from {
        Part::Domain | Part::SpeakAlone | Part::Tidy => false,
        Part::Speak | Part::Gate => to == Part::Domain,
        // What an adapter does with a language, it asks of the crate that speaks it.
        Part::Adapter => matches!(to, Part::Domain | Part::Speak),
        Part::Role => matches!(to, Part::Domain | Part::Gate | Part::SpeakAlone | Part::Speak),
        Part::Testkit => matches!(to, Part::Domain | Part::SpeakAlone | Part::Speak),
        Part::Executable => !matches!(to, Part::Executable | Part::Tidy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(edges: &[(&str, &str, Option<&str>, bool)]) -> Metadata {
        let package = |(from, to, kind, ours): &(&str, &str, Option<&str>, bool)| Package {
            name: (*from).to_owned(),
            dependencies: vec![Dependency {
                name: (*to).to_owned(),
                kind: kind.map(str::to_owned),
                path: ours.then(|| "somewhere".to_owned()),
            }],
        };
        Metadata { packages: edges.iter().map(package).collect() }
    }

    #[test]
    fn a_new_edge_and_a_lost_one_are_shown() {
        let edge = |to: &str| Edge { from: "intake".into(), to: to.into(), kind: "normal".into() };
        let recorded = snapshot(&BTreeSet::from([edge("domain"), edge("gate")]));
        let found = snapshot(&BTreeSet::from([edge("domain"), edge("dimse")]));
        assert_eq!(
            differences(&recorded, &found),
            ["- intake -> gate (normal)", "+ intake -> dimse (normal)"]
        );
        assert!(differences(&found, &found).is_empty());
    }

    #[test]
    fn the_rules_forbid_what_they_should() {
        for (from, to, kind) in [
            ("intake", "storage", None),
            ("intake", "reporter", None),
            ("domain", "catalog", Some("dev")),
            ("storage", "broker", None),
            ("catalog", "gate", Some("build")),
            ("domain", "imaging", None),
            ("dimse", "domain", None),
            ("documents", "imaging", None),
            ("telerad", "testkit", None),
            ("testkit", "storage", None),
            ("edge", "telerad", None),
            ("newcomer", "domain", None),
        ] {
            let violations = forbidden_edges(&metadata(&[(from, to, kind, true)]));
            assert_eq!(violations.len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn the_rules_allow_what_they_should() {
        for (from, to, kind) in [
            ("intake", "dimse", None),
            ("intake", "testkit", Some("dev")),
            ("intake", "catalog", Some("dev")),
            ("storage", "domain", None),
            ("pixels", "imaging", None),
            ("telerad", "storage", None),
            ("testkit", "imaging", None),
        ] {
            assert!(forbidden_edges(&metadata(&[(from, to, kind, true)])).is_empty(), "{from} -> {to}");
        }
    }

    #[test]
    fn heavy_crates_stay_with_their_owners() {
        for (from, to) in [
            ("reading-room", "sqlx"),
            ("archive", "aws-sdk-s3"),
            ("archive", "charls"),
            ("reporter", "jpeg-decoder"),
            ("intake", "dicom-ul"),
            ("reporter", "dicom-object"),
            ("notifier", "typst-pdf"),
        ] {
            assert_eq!(foreign_hands(&metadata(&[(from, to, None, false)])).len(), 1, "{from} {to}");
        }
        for (from, to) in
            [("archive", "dicom-json"), ("catalog", "sqlx"), ("imaging", "zune-jpeg"), ("gate", "axum")]
        {
            assert!(foreign_hands(&metadata(&[(from, to, None, false)])).is_empty(), "{from} {to}");
        }
    }
}
