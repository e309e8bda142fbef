//! Prove: the rules a compiler cannot check.
//!
//! Each check is a function from text to a list of violations, so that it can be shown to fail on a bad sample;
//! `tests/it` runs them all on the tree. What clippy, rustfmt or the type system can say is not said again here.

pub mod files;
pub mod graph;
pub mod sources;
pub mod tree;

/// What is wrong and where, as one line that an editor can jump to.
pub type Violation = String;

/// Fails with all violations, one a line.
///
/// # Panics
/// When there is a violation.
pub fn accept(rule: &str, violations: &[Violation]) {
    assert!(violations.is_empty(), "{rule}\n\n{}\n", violations.join("\n"));
}
