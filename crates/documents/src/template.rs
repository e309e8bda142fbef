//! The page design: typst sources beside each other. Built in, or a hospital's own from a folder that is read
//! whole at start. Not a file system: what was not read then does not exist for a template.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::world::SetupError;

/// File that a template starts from.
pub const TEMPLATE_MAIN: &str = "report.typ";
/// Most files in a template folder.
pub const MAX_TEMPLATE_FILES: usize = 64;
/// Most bytes of all files in a template folder together: room for a logo and not for a photograph album.
pub const MAX_TEMPLATE_BYTES: u64 = 8 << 20;

/// Where the page design comes from.
#[derive(Debug, Clone, Default)]
pub enum TemplateSource {
    /// The design of this crate.
    #[default]
    BuiltIn,
    /// Files of a folder (not of folders in it), over those of the built-in design: a folder with
    /// `report.typ` alone may still import the built-in `labels.typ`, and the reverse.
    Directory(PathBuf),
}

impl TemplateSource {
    /// Names and contents.
    pub(crate) fn read(&self) -> Result<BTreeMap<String, Vec<u8>>, SetupError> {
        let mut files = BTreeMap::from([
            (TEMPLATE_MAIN.to_owned(), include_bytes!("../templates/report.typ").to_vec()),
            ("labels.typ".to_owned(), include_bytes!("../templates/labels.typ").to_vec()),
        ]);
        match self {
            Self::BuiltIn => {}
            Self::Directory(directory) => read_directory(directory, &mut files)?,
        }
        Ok(files)
    }
}

fn read_directory(directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), SetupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SetupError::ReadTemplate { path, source }
    };
    let mut count = 0;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let size = path.metadata().map_err(failed(&path))?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !size.is_file() || name.starts_with('.') {
            continue;
        }
        count += 1;
        bytes += size.len();
        if count > MAX_TEMPLATE_FILES || bytes > MAX_TEMPLATE_BYTES {
            return Err(SetupError::TemplateTooLarge {
                files: MAX_TEMPLATE_FILES,
                bytes: MAX_TEMPLATE_BYTES,
            });
        }
        files.insert(name.to_owned(), std::fs::read(&path).map_err(failed(&path))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_over_the_built_in_design() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join(TEMPLATE_MAIN), b"= Own").expect("written");
        std::fs::write(folder.path().join(".hidden"), b"x").expect("written");
        let files = TemplateSource::Directory(folder.path().to_owned()).read().expect("read");
        assert_eq!(files[TEMPLATE_MAIN], b"= Own");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["labels.typ", TEMPLATE_MAIN]);
    }

    #[test]
    fn too_much_or_nothing_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for number in 0..=MAX_TEMPLATE_FILES {
            std::fs::write(folder.path().join(format!("{number}.typ")), b"").expect("written");
        }
        let source = TemplateSource::Directory(folder.path().to_owned());
        assert!(matches!(source.read(), Err(SetupError::TemplateTooLarge { .. })));
        let absent = TemplateSource::Directory(folder.path().join("absent"));
        assert!(matches!(absent.read(), Err(SetupError::ReadTemplate { .. })));
    }
}
