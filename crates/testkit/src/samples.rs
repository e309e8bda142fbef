//! Where sample images are: `fixtures/` of this repository, and a larger collection that a machine may have beside it.

use std::path::{Path, PathBuf};

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// The repository's own sample images.
#[must_use]
pub fn fixtures() -> PathBuf {
    workspace().join("fixtures")
}

/// The larger collection: the folder named by `TELERAD_SAMPLES`, else `../shared/dicom` beside the repository. `None`, said loudly on
/// standard error, when it is not there.
#[must_use]
pub fn collection() -> Option<PathBuf> {
    let folder = std::env::var_os("TELERAD_SAMPLES")
        .map_or_else(|| workspace().join("../shared/dicom"), PathBuf::from);
    if folder.join("MANIFEST.tsv").is_file() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "what is skipped is said where people look")]
    {
        eprintln!("SKIPPED: no sample collection (set TELERAD_SAMPLES to a folder with a MANIFEST.tsv)");
    }
    None
}
