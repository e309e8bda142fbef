//! The work tree: its root, and the files that belong to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

/// Folders that are made, not written; only consulted where git cannot say what belongs to the tree.
const MADE: [&str; 6] = [".git", "target", "node_modules", "dist", "viewer", "data"];

/// The workspace's root.
///
/// # Panics
/// Never where the crate lies two folders below the root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/tidy lies two folders below the root").to_path_buf()
}

/// The files that are, or would be, tracked: relative to the root, sorted, existing.
#[must_use]
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = tracked(root).unwrap_or_else(|| walked(root));
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files
}

/// Those of [`files`] with this ending, with their text.
#[must_use]
pub fn texts(root: &Path, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let wanted =
        |file: &PathBuf| file.extension().is_some_and(|ending| endings.iter().any(|want| *want == ending));
    files(root).into_iter().filter(wanted).filter_map(|file| text(root, file)).collect()
}

/// A file with its text; `None` where it is not UTF-8.
#[must_use]
pub fn text(root: &Path, file: PathBuf) -> Option<(PathBuf, String)> {
    let text = std::fs::read_to_string(root.join(&file)).ok()?;
    Some((file, text))
}

fn tracked(root: &Path) -> Option<Vec<PathBuf>> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = command.output().ok().filter(|output| output.status.success())?;
    let names = String::from_utf8(output.stdout).ok()?;
    Some(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn walked(root: &Path) -> Vec<PathBuf> {
    let walk = WalkDir::new(root).into_iter();
    walk.filter_entry(|entry| !MADE.iter().any(|made| entry.file_name() == *made))
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| entry.path().strip_prefix(root).ok().map(Path::to_path_buf))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_list_the_tree_see_this_file_and_nothing_made() {
        let here = PathBuf::from("crates/tidy/src/tree.rs");
        for files in [files(&root()), walked(&root())] {
            assert!(files.contains(&here));
            assert!(!files.iter().any(|file| file.starts_with("target") || file.starts_with(".git")));
        }
    }
}
