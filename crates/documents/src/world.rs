//! What a template can see: its own files, the sheet, the samples, the fonts. No file system, network,
//! packages or clock. Not the compiler: that is typst.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

use crate::fonts::Fonts;
use crate::template::TEMPLATE_MAIN;

/// Why a renderer could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A configured text font is not installed.
    #[error("no font of the family {family} was found")]
    UnknownFontFamily {
        /// As configured.
        family: String,
    },
    /// A template folder or file could not be read.
    #[error("cannot read template {path}")]
    ReadTemplate {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A template folder holds too much.
    #[error("template folder holds more than {files} files or {bytes} bytes")]
    TemplateTooLarge {
        /// Most files.
        files: usize,
        /// Most bytes.
        bytes: u64,
    },
    /// A template source is not text, or a file name is not usable.
    #[error("template file {name} is not usable")]
    TemplateFile {
        /// Which.
        name: String,
    },
}

/// What is the same for all sheets.
pub(crate) struct Surroundings {
    library: LazyHash<Library>,
    pub(crate) fonts: Fonts,
    main: FileId,
    sources: HashMap<FileId, Source>,
    files: HashMap<FileId, Bytes>,
}

impl Surroundings {
    pub(crate) fn new(fonts: Fonts, template: BTreeMap<String, Vec<u8>>) -> Result<Self, SetupError> {
        let mut sources = HashMap::new();
        let mut files = HashMap::new();
        for (name, bytes) in template {
            let Some(id) = file_id(&format!("/{name}")) else {
                return Err(SetupError::TemplateFile { name });
            };
            if name.ends_with(".typ") {
                let Ok(text) = String::from_utf8(bytes) else {
                    return Err(SetupError::TemplateFile { name });
                };
                sources.insert(id, Source::new(id, text));
            } else {
                files.insert(id, Bytes::new(bytes));
            }
        }
        let main = file_id(&format!("/{TEMPLATE_MAIN}"));
        let Some(main) = main.filter(|main| sources.contains_key(main)) else {
            return Err(SetupError::TemplateFile { name: TEMPLATE_MAIN.to_owned() });
        };
        Ok(Self { library: LazyHash::new(Library::default()), fonts, main, sources, files })
    }
}

/// What is there for one sheet.
pub(crate) struct SheetWorld<'a> {
    surroundings: &'a Surroundings,
    data: HashMap<FileId, Bytes>,
}

impl<'a> SheetWorld<'a> {
    /// `data` names absolute paths; a path that a template cannot name is left out.
    pub(crate) fn new(
        surroundings: &'a Surroundings,
        data: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Self {
        let data = data.into_iter().filter_map(|(path, bytes)| Some((file_id(&path)?, bytes))).collect();
        Self { surroundings, data }
    }
}

impl World for SheetWorld<'_> {
    fn library(&self) -> &LazyHash<Library> {
        &self.surroundings.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        self.surroundings.fonts.book()
    }

    fn main(&self) -> FileId {
        self.surroundings.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        self.surroundings.sources.get(&id).cloned().ok_or(FileError::AccessDenied)
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.data
            .get(&id)
            .or_else(|| self.surroundings.files.get(&id))
            .cloned()
            .ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.surroundings.fonts.font(index)
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}

fn file_id(path: &str) -> Option<FileId> {
    let path = VirtualPath::new(path).ok()?;
    Some(RootedPath::new(VirtualRoot::Project, path).intern())
}
