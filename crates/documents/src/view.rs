//! A sheet as the data that a template reads: `/sheet.json` and one file of samples per key image. Its names
//! are a contract with hospitals' own templates: add to it, never rename. Not markup: no text here is ever
//! parsed as such.

use serde::Serialize;
use typst::foundations::Bytes;

use crate::clean::{Cleaner, MAX_PARAGRAPHS_PER_SECTION, MAX_SECTIONS};
use crate::fonts::Fonts;
use crate::pictures::{Picture, Samples};
use crate::renderer::RenderError;
use crate::sheet::{ReportSheet, Section, SectionKind, Signature, VersionBlock, VersionKind};

/// Most earlier versions printed after the one that a document is about.
pub const MAX_EARLIER_VERSIONS: usize = 32;
/// Most lines of the centre's address.
pub const MAX_ADDRESS_LINES: usize = 8;

/// Longest text in the running header and footer, in characters: two lines there.
const RUNNING_CHARACTERS: usize = 90;
/// Characters of the report hash that people compare.
const SHORT_HASH_CHARACTERS: usize = 16;

/// What `/sheet.json` holds.
#[derive(Serialize)]
pub(crate) struct SheetView {
    letterhead: LetterheadView,
    patient: PatientView,
    examination: ExaminationView,
    version: VersionView,
    sections: Vec<SectionView>,
    earlier: Vec<EarlierView>,
    key_images: Vec<KeyImageView>,
    signature: Option<SignatureView>,
    language: LanguageView,
    fonts: FontsView,
    unprintable: UnprintableView,
}

#[derive(Serialize)]
struct LetterheadView {
    centre: String,
    running_centre: String,
    address: Vec<String>,
    phone: String,
    email: String,
}

#[derive(Serialize)]
struct PatientView {
    name: String,
    running_name: String,
    id: String,
    birth_date: String,
    sex: String,
}

#[derive(Serialize)]
struct ExaminationView {
    description: String,
    performed_at: String,
    accession_number: String,
    modality: String,
    ordering_physician: String,
    series_count: u32,
    image_count: u32,
}

#[derive(Serialize)]
struct VersionView {
    number: u32,
    kind: &'static str,
    supersedes: Option<u32>,
    reason: String,
}

#[derive(Serialize)]
struct SectionView {
    title: String,
    impression: bool,
    paragraphs: Vec<String>,
}

#[derive(Serialize)]
struct EarlierView {
    version: VersionView,
    sections: Vec<SectionView>,
    signature: Option<SignatureView>,
}

#[derive(Serialize)]
struct KeyImageView {
    file: String,
    encoding: &'static str,
    width: u32,
    height: u32,
    caption: String,
    alternative: String,
}

#[derive(Serialize)]
struct SignatureView {
    signer: String,
    credentials: String,
    meaning: String,
    signed_at: String,
    image_set_digest: String,
    report_hash: String,
    report_hash_short: String,
}

#[derive(Serialize)]
struct LanguageView {
    code: String,
    region: Option<String>,
}

#[derive(Serialize)]
struct FontsView {
    text: Vec<String>,
    mono: [&'static str; 1],
}

#[derive(Serialize)]
struct UnprintableView {
    count: usize,
    marker: char,
}

impl SheetView {
    /// Bounds and cleans every text of the sheet.
    pub(crate) fn new(
        sheet: &ReportSheet,
        pictures: &[Picture],
        fonts: &Fonts,
        cleaner: &mut Cleaner<'_>,
    ) -> Result<Self, RenderError> {
        within("address lines", sheet.letterhead.address.len(), MAX_ADDRESS_LINES)?;
        within("earlier versions", sheet.earlier.len(), MAX_EARLIER_VERSIONS)?;
        let mut earlier = Vec::with_capacity(sheet.earlier.len());
        for version in &sheet.earlier {
            earlier.push(EarlierView {
                version: version_view(&version.version, cleaner)?,
                sections: section_views(&version.sections, cleaner)?,
                signature: signature_view(version.signature.as_ref(), cleaner)?,
            });
        }
        Ok(Self {
            letterhead: letterhead_view(sheet, cleaner)?,
            patient: patient_view(sheet, cleaner)?,
            examination: examination_view(sheet, cleaner)?,
            version: version_view(&sheet.version, cleaner)?,
            sections: section_views(&sheet.sections, cleaner)?,
            earlier,
            key_images: key_image_views(sheet, pictures, cleaner)?,
            signature: signature_view(sheet.signature.as_ref(), cleaner)?,
            language: language_view(&sheet.language),
            fonts: FontsView { text: fonts.text_families(&sheet.language), mono: [fonts.mono_family()] },
            unprintable: UnprintableView {
                count: cleaner.missing().values().sum(),
                marker: cleaner.marker(),
            },
        })
    }
}

/// Files that a template reads besides its own.
pub(crate) fn sample_files(pictures: Vec<Picture>) -> impl Iterator<Item = (String, Bytes)> {
    pictures.into_iter().enumerate().map(|(index, picture)| {
        let (Samples::Grey(samples) | Samples::Colour(samples)) = picture.samples;
        (sample_file(index), Bytes::new(samples))
    })
}

fn sample_file(index: usize) -> String {
    format!("/key-image-{}.samples", index + 1)
}

fn letterhead_view(sheet: &ReportSheet, cleaner: &mut Cleaner<'_>) -> Result<LetterheadView, RenderError> {
    let letterhead = &sheet.letterhead;
    let centre = cleaner.field("centre name", &letterhead.centre)?;
    Ok(LetterheadView {
        running_centre: shortened(&centre, RUNNING_CHARACTERS),
        centre,
        address: letterhead
            .address
            .iter()
            .map(|line| cleaner.field("address line", line))
            .collect::<Result<_, _>>()?,
        phone: cleaner.field("phone", &letterhead.phone)?,
        email: cleaner.field("mail address", &letterhead.email)?,
    })
}

fn patient_view(sheet: &ReportSheet, cleaner: &mut Cleaner<'_>) -> Result<PatientView, RenderError> {
    let name = cleaner.field("patient name", &sheet.patient.name)?;
    Ok(PatientView {
        running_name: shortened(&name, RUNNING_CHARACTERS),
        name,
        id: cleaner.field("patient id", &sheet.patient.id)?,
        birth_date: cleaner.field("birth date", &sheet.patient.birth_date)?,
        sex: cleaner.field("sex", &sheet.patient.sex)?,
    })
}

fn examination_view(sheet: &ReportSheet, cleaner: &mut Cleaner<'_>) -> Result<ExaminationView, RenderError> {
    let examination = &sheet.examination;
    Ok(ExaminationView {
        description: cleaner.field("examination description", &examination.description)?,
        performed_at: cleaner.field("examination time", &examination.performed_at)?,
        accession_number: cleaner.field("accession number", &examination.accession_number)?,
        modality: cleaner.field("modality", &examination.modality)?,
        ordering_physician: cleaner.field("ordering physician", &examination.ordering_physician)?,
        series_count: examination.series_count,
        image_count: examination.image_count,
    })
}

fn version_view(version: &VersionBlock, cleaner: &mut Cleaner<'_>) -> Result<VersionView, RenderError> {
    let kind = match version.kind {
        VersionKind::Preliminary => "preliminary",
        VersionKind::Final => "final",
        VersionKind::Addendum => "addendum",
        VersionKind::Correction => "correction",
    };
    Ok(VersionView {
        number: version.number,
        kind,
        supersedes: version.supersedes,
        reason: cleaner.field("reason", &version.reason)?,
    })
}

fn section_views(sections: &[Section], cleaner: &mut Cleaner<'_>) -> Result<Vec<SectionView>, RenderError> {
    within("sections", sections.len(), MAX_SECTIONS)?;
    let mut views = Vec::with_capacity(sections.len());
    for section in sections {
        within("paragraphs of a section", section.paragraphs.len(), MAX_PARAGRAPHS_PER_SECTION)?;
        let impression = match section.kind {
            SectionKind::Plain => false,
            SectionKind::Impression => true,
        };
        let paragraphs = section.paragraphs.iter().map(|text| cleaner.paragraph("paragraph", text));
        let paragraphs = paragraphs.collect::<Result<_, _>>()?;
        views.push(SectionView {
            title: cleaner.field("section title", &section.title)?,
            impression,
            paragraphs,
        });
    }
    Ok(views)
}

fn key_image_views(
    sheet: &ReportSheet,
    pictures: &[Picture],
    cleaner: &mut Cleaner<'_>,
) -> Result<Vec<KeyImageView>, RenderError> {
    let mut views = Vec::with_capacity(pictures.len());
    for (index, (key, picture)) in sheet.key_images.iter().zip(pictures).enumerate() {
        let encoding = match picture.samples {
            Samples::Grey(_) => "luma8",
            Samples::Colour(_) => "rgb8",
        };
        let caption = cleaner.field("caption", &key.caption)?;
        // PDF/UA-1 (ISO 14289-1, 7.3): a figure without words for it is invalid.
        let alternative = if caption.trim().is_empty() { format!("{}", index + 1) } else { caption.clone() };
        views.push(KeyImageView {
            file: sample_file(index),
            encoding,
            width: picture.width,
            height: picture.height,
            caption,
            alternative,
        });
    }
    Ok(views)
}

fn signature_view(
    signature: Option<&Signature>,
    cleaner: &mut Cleaner<'_>,
) -> Result<Option<SignatureView>, RenderError> {
    let Some(signature) = signature else { return Ok(None) };
    let report_hash = cleaner.digest("report hash", &signature.report_hash)?;
    let bare_hash = report_hash.rsplit(':').next().unwrap_or_default();
    Ok(Some(SignatureView {
        signer: cleaner.field("signer", &signature.signer)?,
        credentials: cleaner.field("credentials", &signature.credentials)?,
        meaning: cleaner.field("meaning", &signature.meaning)?,
        signed_at: signature.signed_at.strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        image_set_digest: cleaner.digest("image set digest", &signature.image_set_digest)?,
        report_hash_short: bare_hash.chars().take(SHORT_HASH_CHARACTERS).collect(),
        report_hash,
    }))
}

/// Language and region as typst wants them: two or three letters, and two letters.
fn language_view(tag: &str) -> LanguageView {
    let mut parts = tag.split(['-', '_']);
    let letters = |part: &str| part.chars().all(|letter| letter.is_ascii_alphabetic());
    let code = parts.next().unwrap_or_default().to_ascii_lowercase();
    if !letters(&code) || !(2..=3).contains(&code.len()) {
        return LanguageView { code: "en".to_owned(), region: None };
    }
    let mut region = None;
    for part in parts {
        match part.to_ascii_lowercase().as_str() {
            "hans" => region = region.or(Some("CN".to_owned())),
            "hant" => region = region.or(Some("TW".to_owned())),
            other if other.len() == 2 && letters(other) => region = Some(other.to_ascii_uppercase()),
            _ => {}
        }
    }
    LanguageView { code, region }
}

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

fn within(what: &'static str, count: usize, limit: usize) -> Result<(), RenderError> {
    if count > limit { Err(RenderError::TooMany { what, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_tags_become_what_typst_takes() {
        let read = |tag| {
            let view = language_view(tag);
            (view.code, view.region)
        };
        assert_eq!(read("en-GB"), ("en".to_owned(), Some("GB".to_owned())));
        assert_eq!(read("zh-Hant"), ("zh".to_owned(), Some("TW".to_owned())));
        assert_eq!(read("zh-Hans-SG"), ("zh".to_owned(), Some("SG".to_owned())));
        assert_eq!(read("PL_pl"), ("pl".to_owned(), Some("PL".to_owned())));
        assert_eq!(read(""), ("en".to_owned(), None));
        assert_eq!(read("x-klingon"), ("en".to_owned(), None));
        assert_eq!(read("de-1901"), ("de".to_owned(), None));
    }

    #[test]
    fn a_running_name_is_cut_visibly_and_only_when_needed() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "ab…");
    }
}
