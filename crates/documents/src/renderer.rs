//! From a sheet to bytes: clean, lay out, check, write. Not a cache: the caller keeps what was signed.

use std::collections::BTreeMap;

use jiff::Zoned;
use typst::World;
use typst::diag::SourceDiagnostic;
use typst::foundations::{Bytes, Datetime, Smart};
use typst::layout::{Frame, FrameItem};
use typst::syntax::DiagSpanKind;
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::clean::Cleaner;
use crate::fonts::{Coverage, FontSources, Fonts};
use crate::pictures;
use crate::sheet::ReportSheet;
use crate::template::TemplateSource;
use crate::view::{SheetView, sample_files};
use crate::world::{SetupError, SheetWorld, Surroundings};

/// Most pages of one document: beyond it a template has run away.
pub const MAX_PAGES: usize = 400;

/// Renderings for which typst keeps what it worked out, such as shaped words: bounds its memory.
const CACHED_RENDERINGS: usize = 4;

/// A finished document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdf {
    /// The file.
    pub bytes: Vec<u8>,
    /// Number of pages.
    pub pages: usize,
    /// What the file promises to readers and archives.
    pub conformance: Conformance,
    /// What a person should know before sending it; empty when all is well.
    pub warnings: Vec<Warning>,
}

/// The standard that a file was checked against while it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conformance {
    /// PDF/A-2a (ISO 19005-2) and PDF/UA-1 (ISO 14289-1): archival and accessible.
    ArchivalAccessible,
    /// PDF/A-2b: archival.
    Archival,
    /// PDF/UA-1: accessible. The best for a draft, which has no date to be archived under.
    Accessible,
    /// PDF 1.7, tagged as well as the template allowed.
    Plain,
}

/// Something short of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// No font shows this character; a mark stands in its place and the page says so.
    MissingCharacter {
        /// Which.
        character: char,
        /// How often.
        times: usize,
    },
    /// The template complained. The words may quote the report: show them, do not log them.
    Template {
        /// Where, as file and line; holds no patient data.
        place: String,
        /// What.
        message: String,
    },
}

/// Why there is no PDF. Displayed texts hold no patient data.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// One text is too long.
    #[error("{what} is longer than {limit} characters")]
    TextTooLong {
        /// Which.
        what: &'static str,
        /// In characters.
        limit: usize,
    },
    /// All texts together are too long.
    #[error("the sheet holds more than {limit} characters")]
    SheetTooLong {
        /// In characters.
        limit: usize,
    },
    /// Too many of something.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Most.
        limit: usize,
    },
    /// One image file is too large.
    #[error("key image {number} is larger than {limit} bytes")]
    KeyImageTooLarge {
        /// Counted from 1.
        number: usize,
        /// In bytes.
        limit: usize,
    },
    /// All images together are too large.
    #[error("the key images hold more than {limit} pixels")]
    TooManyPixels {
        /// In pixels.
        limit: u64,
    },
    /// An image is not a PNG that can be read within the limits.
    #[error("cannot decode key image {number} as png")]
    DecodeKeyImage {
        /// Counted from 1.
        number: usize,
        /// Why.
        #[source]
        source: image::ImageError,
    },
    /// The data for the template could not be written.
    #[error("cannot encode the sheet for the template")]
    EncodeSheet {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The template failed.
    #[error("the template failed at {place}")]
    LayOut {
        /// File and line.
        place: String,
        /// The complaint in typst's words, which may quote the report: show it, do not log it.
        detail: String,
    },
    /// The template made too many pages.
    #[error("the document has more than {limit} pages")]
    TooManyPages {
        /// Most.
        limit: usize,
    },
    /// No PDF could be written, not even a plain one.
    #[error("cannot write the pdf")]
    WritePdf {
        /// The complaint in typst's words, which may quote the report: show it, do not log it.
        detail: String,
    },
}

/// Makes documents; made once, shared by all threads.
pub struct Renderer {
    surroundings: Surroundings,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Renderer").field("text_family", &self.text_family()).finish_non_exhaustive()
    }
}

impl Renderer {
    /// Looks through the fonts; takes the built-in page design.
    ///
    /// # Errors
    /// A configured font family that is not installed.
    pub fn new(fonts: &FontSources) -> Result<Self, SetupError> {
        Self::with_template(fonts, &TemplateSource::BuiltIn)
    }

    /// Looks through the fonts; takes the given page design. Follow with [`Renderer::check`].
    ///
    /// # Errors
    /// A configured font family that is not installed, a template that cannot be read or is too large.
    pub fn with_template(fonts: &FontSources, template: &TemplateSource) -> Result<Self, SetupError> {
        let surroundings = Surroundings::new(Fonts::find(fonts)?, template.read()?)?;
        Ok(Self { surroundings })
    }

    /// Scripts that the fonts can show.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.surroundings.fonts.coverage()
    }

    /// Family that text is set in.
    #[must_use]
    pub fn text_family(&self) -> &str {
        self.surroundings.fonts.text_family()
    }

    /// Sets a specimen, so that a broken template is found at start and not at the first report.
    ///
    /// # Errors
    /// Those of [`Renderer::render`].
    pub fn check(&self) -> Result<Pdf, RenderError> {
        self.render(&ReportSheet::specimen())
    }

    /// Sets a sheet. The same sheet gives the same bytes. Takes tens of milliseconds to seconds of one
    /// processor.
    ///
    /// # Errors
    /// A sheet beyond the limits, an image that is no PNG, a template that fails.
    pub fn render(&self, sheet: &ReportSheet) -> Result<Pdf, RenderError> {
        let pdf = self.render_uncached(sheet);
        typst::comemo::evict(CACHED_RENDERINGS);
        pdf
    }

    fn render_uncached(&self, sheet: &ReportSheet) -> Result<Pdf, RenderError> {
        let pictures = pictures::decode_all(&sheet.key_images)?;
        let fonts = &self.surroundings.fonts;
        let mut cleaner = Cleaner::new(fonts.repertoire());
        let view = SheetView::new(sheet, &pictures, fonts, &mut cleaner)?;
        let mut missing = cleaner.missing().clone();
        let json = serde_json::to_vec(&view).map_err(|source| RenderError::EncodeSheet { source })?;
        let identity = identity(sheet, &json);

        let data = [("/sheet.json".to_owned(), Bytes::new(json))].into_iter().chain(sample_files(pictures));
        let world = SheetWorld::new(&self.surroundings, data);
        let compiled = typst::compile::<PagedDocument>(&world);
        let document = compiled.output.map_err(|diagnostics| {
            let place = diagnostics.first().map_or_else(unknown_place, |first| place(&world, first));
            RenderError::LayOut { place, detail: words(&diagnostics) }
        })?;
        let pages = document.pages().len();
        if pages > MAX_PAGES {
            return Err(RenderError::TooManyPages { limit: MAX_PAGES });
        }
        for page in document.pages() {
            count_blank_glyphs(&page.frame, &mut missing);
        }

        let mut warnings: Vec<Warning> = missing
            .into_iter()
            .map(|(character, times)| Warning::MissingCharacter { character, times })
            .collect();
        warnings.extend(compiled.warnings.iter().map(|warning| Warning::Template {
            place: place(&world, warning),
            message: warning.message.to_string(),
        }));
        let timestamp = sheet.signature.as_ref().and_then(|signature| timestamp(&signature.signed_at));
        let (bytes, conformance) = write(&document, &identity, timestamp)?;
        Ok(Pdf { bytes, pages, conformance, warnings })
    }
}

/// What makes this document this document: the signed hash, or what the draft says.
fn identity(sheet: &ReportSheet, json: &[u8]) -> String {
    match &sheet.signature {
        Some(signature) => format!("report:{}", signature.report_hash),
        None => format!("draft:{:032x}", typst::utils::hash128(json)),
    }
}

/// The strictest standard that this document meets: a report must reach its reader even where an unusual
/// character or a hospital's own template breaks one.
fn write(
    document: &PagedDocument,
    identity: &str,
    timestamp: Option<Timestamp>,
) -> Result<(Vec<u8>, Conformance), RenderError> {
    let ladder: [(&[PdfStandard], Conformance); 4] = [
        (&[PdfStandard::A_2a, PdfStandard::Ua_1], Conformance::ArchivalAccessible),
        (&[PdfStandard::A_2b], Conformance::Archival),
        (&[PdfStandard::Ua_1], Conformance::Accessible),
        (&[], Conformance::Plain),
    ];
    let mut detail = String::new();
    for (standards, conformance) in ladder {
        let standards = match PdfStandards::new(standards) {
            Ok(standards) => standards,
            Err(error) => {
                detail = error.message().to_string();
                continue;
            }
        };
        let options = PdfOptions {
            ident: Smart::Custom(identity.to_owned()),
            creator: Smart::Custom(Some("telerad".to_owned())),
            timestamp,
            standards,
            ..PdfOptions::default()
        };
        match typst_pdf::pdf(document, &options) {
            Ok(bytes) => return Ok((bytes, conformance)),
            Err(diagnostics) => detail = words(&diagnostics),
        }
        tracing::debug!(?conformance, "report does not meet this standard, trying the next");
    }
    Err(RenderError::WritePdf { detail })
}

fn timestamp(signed_at: &Zoned) -> Option<Timestamp> {
    let part = |value: i8| u8::try_from(value).ok();
    let datetime = Datetime::from_ymd_hms(
        signed_at.year().into(),
        part(signed_at.month())?,
        part(signed_at.day())?,
        part(signed_at.hour())?,
        part(signed_at.minute())?,
        part(signed_at.second())?,
    )?;
    Timestamp::new_local(datetime, signed_at.offset().seconds() / 60)
}

/// Counts characters that were set as the empty box although a font claims them, as a broken font may.
fn count_blank_glyphs(frame: &Frame, missing: &mut BTreeMap<char, usize>) {
    for (_, item) in frame.items() {
        match item {
            FrameItem::Group(group) => count_blank_glyphs(&group.frame, missing),
            FrameItem::Text(text) => {
                for glyph in text.glyphs.iter().filter(|glyph| glyph.id == 0) {
                    for character in text.text.get(glyph.range()).unwrap_or_default().chars() {
                        *missing.entry(character).or_default() += 1;
                    }
                }
            }
            FrameItem::Shape(..) | FrameItem::Image(..) | FrameItem::Link(..) | FrameItem::Tag(..) => {}
        }
    }
}

fn words(diagnostics: &[SourceDiagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect::<Vec<_>>().join("; ")
}

fn unknown_place() -> String {
    "an unknown place".to_owned()
}

/// File and line of a complaint.
fn place(world: &SheetWorld<'_>, diagnostic: &SourceDiagnostic) -> String {
    let (id, range) = match diagnostic.span.get() {
        DiagSpanKind::Detached => return unknown_place(),
        DiagSpanKind::Number { id, num, sub_range } => {
            (id, world.source(id).ok().and_then(|source| source.range(num, sub_range)))
        }
        DiagSpanKind::Range { id, range } => (id, Some(range)),
    };
    let file = id.get().vpath().get_without_slash();
    let line = range.and_then(|range| world.source(id).ok()?.lines().byte_to_line(range.start));
    line.map_or_else(|| file.to_owned(), |line| format!("{file}:{}", line + 1))
}
