//! Speak: a report version as PDF.
//!
//! In: a [`ReportSheet`], plain words and PNG pictures. Out: a [`Pdf`], tagged, archival where the fonts
//! allow it, and byte for byte the same for the same sheet, fonts and template. Not here: who may see a
//! report, what its hash covers, where the bytes are kept. A signed version's PDF must be stored once made:
//! another machine has other fonts.
//!
//! Rendering is bound by the processor and cannot be interrupted: call it on a blocking thread.

mod clean;
mod fonts;
mod pictures;
mod renderer;
mod sheet;
pub mod signed;
mod template;
mod view;
mod world;

pub use clean::{
    MAX_FIELD_CHARACTERS, MAX_PARAGRAPH_CHARACTERS, MAX_PARAGRAPHS_PER_SECTION, MAX_SECTIONS,
    MAX_SHEET_CHARACTERS,
};
pub use fonts::{
    Coverage, DEFAULT_FONT_DIRECTORY, FontSources, MAX_FONT_DIRECTORY_DEPTH, MAX_FONT_FILE_BYTES,
    MAX_FONT_FILES,
};
pub use pictures::{MAX_KEY_IMAGE_BYTES, MAX_KEY_IMAGE_SIDE, MAX_KEY_IMAGES, MAX_KEY_IMAGES_PIXELS};
pub use renderer::{Conformance, MAX_PAGES, Pdf, RenderError, Renderer, Warning};
pub use sheet::{
    EarlierVersion, ExaminationBlock, KeyImage, Letterhead, PatientBlock, ReportSheet, Section, SectionKind,
    Signature, VersionBlock, VersionKind,
};
pub use template::{MAX_TEMPLATE_BYTES, MAX_TEMPLATE_FILES, TEMPLATE_MAIN, TemplateSource};
pub use view::{MAX_ADDRESS_LINES, MAX_EARLIER_VERSIONS};
pub use world::SetupError;
