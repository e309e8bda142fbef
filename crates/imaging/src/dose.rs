//! What dose was given, from a CT radiation dose structured report (PS3.16 TID 10011). Reads numbers by their codes,
//! whatever the code meanings
//! say in which language; converts nothing but the two units that scanners write.

use dicom_core::Tag;

use crate::tree::{self, Tree};

/// X-Ray Radiation Dose SR Storage.
pub const DOSE_SR: &str = "1.2.840.10008.5.1.4.1.1.88.67";
/// Most acquisitions that are read.
const ACQUISITIONS_MAX: usize = 200;

/// Codes of the DICOM controlled terminology (PS3.16 annex D).
mod code {
    pub const ACCUMULATED: &str = "113811";
    pub const DLP_TOTAL: &str = "113813";
    pub const ACQUISITION: &str = "113819";
    pub const ACQUISITION_TYPE: &str = "113820";
    pub const DOSE: &str = "113829";
    pub const CTDI_VOL: &str = "113830";
    pub const PHANTOM: &str = "113835";
    pub const DLP: &str = "113838";
    pub const PROTOCOL: &str = "125203";
    pub const CT_REPORT: [&str; 1] = ["113701"];
    pub const HEAD_PHANTOM: &str = "113690";
    pub const BODY_PHANTOM: &str = "113691";
    pub const LOCALIZER: &str = "113805";
}

/// The dose of a CT study as its dose report gives it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DoseReport {
    /// CT Dose Length Product Total, in mGy·cm.
    pub dlp_total: Option<f64>,
    /// Each irradiation, in order.
    pub acquisitions: Vec<Irradiation>,
}

/// One irradiation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Irradiation {
    /// Its protocol.
    pub protocol: Option<String>,
    /// Whether it only made a scout (constant angle acquisition).
    pub localizer: bool,
    /// Mean CTDIvol, in mGy.
    pub ctdi_vol: Option<f64>,
    /// Its DLP, in mGy·cm.
    pub dlp: Option<f64>,
    /// What CTDIvol refers to.
    pub phantom: Option<Phantom>,
}

/// What CTDIvol refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phantom {
    /// IEC Head Dosimetry Phantom, 16 cm.
    Head,
    /// IEC Body Dosimetry Phantom, 32 cm.
    Body,
}

impl Phantom {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "16 cm head phantom",
            Self::Body => "32 cm body phantom",
        }
    }
}

/// Concept Name Code Sequence, Concept Code Sequence, Content Sequence, Code Value, Measured Value Sequence, Numeric
/// Value, Measurement Units.
const CONCEPT_NAME: Tag = Tag(0x0040, 0xA043);
const CONCEPT_CODE: Tag = Tag(0x0040, 0xA168);
const CONTENT: Tag = Tag(0x0040, 0xA730);
const CODE_VALUE: Tag = Tag(0x0008, 0x0100);
const MEASURED: Tag = Tag(0x0040, 0xA300);
const NUMBER: Tag = Tag(0x0040, 0xA30A);
const UNITS: Tag = Tag(0x0040, 0x08EA);
const TEXT: Tag = Tag(0x0040, 0xA160);

/// Reads a dose report; `None` when the data set is none (any SOP class may carry one).
#[must_use]
pub fn read(report: &Tree) -> Option<DoseReport> {
    let title = code_of(report, CONCEPT_NAME)?;
    if !code::CT_REPORT.contains(&title.as_str()) {
        return None;
    }
    let content = tree::items(report, CONTENT);
    let accumulated = named(content, code::ACCUMULATED).flat_map(children);
    let dlp_total = accumulated.filter(|item| is(item, code::DLP_TOTAL)).find_map(dlp);
    let acquisitions: Vec<Irradiation> =
        named(content, code::ACQUISITION).take(ACQUISITIONS_MAX).map(irradiation).collect();
    (dlp_total.is_some() || !acquisitions.is_empty()).then_some(DoseReport { dlp_total, acquisitions })
}

impl DoseReport {
    /// Irradiations that made slices and say a CTDIvol.
    pub fn scans(&self) -> impl Iterator<Item = &Irradiation> {
        self.acquisitions.iter().filter(|scan| !scan.localizer && scan.ctdi_vol.is_some())
    }
}

fn children(item: &Tree) -> &[Tree] {
    tree::items(item, CONTENT)
}

fn code_of(item: &Tree, sequence: Tag) -> Option<String> {
    tree::text(tree::items(item, sequence).first()?, CODE_VALUE)
}

fn is(item: &Tree, code: &str) -> bool {
    code_of(item, CONCEPT_NAME).as_deref() == Some(code)
}

fn named<'a>(items: &'a [Tree], code: &'a str) -> impl Iterator<Item = &'a Tree> {
    items.iter().filter(move |item| is(item, code))
}

fn irradiation(item: &Tree) -> Irradiation {
    let content = children(item);
    let dose = || named(content, code::DOSE).flat_map(children);
    let phantom = dose().filter(|item| is(item, code::PHANTOM)).find_map(|item| code_of(item, CONCEPT_CODE));
    Irradiation {
        protocol: named(content, code::PROTOCOL).find_map(|item| tree::text(item, TEXT)),
        localizer: named(content, code::ACQUISITION_TYPE)
            .find_map(|item| code_of(item, CONCEPT_CODE))
            .is_some_and(|kind| kind == code::LOCALIZER),
        ctdi_vol: dose().filter(|item| is(item, code::CTDI_VOL)).find_map(ctdi),
        dlp: dose().filter(|item| is(item, code::DLP)).find_map(dlp),
        phantom: phantom.and_then(|code| match code.as_str() {
            code::HEAD_PHANTOM => Some(Phantom::Head),
            code::BODY_PHANTOM => Some(Phantom::Body),
            _ => None,
        }),
    }
}

/// A number with its unit (UCUM).
fn measured(item: &Tree) -> Option<(f64, String)> {
    let value = tree::items(item, MEASURED).first()?;
    let number = tree::decimal(value, NUMBER).filter(|number| *number >= 0.0)?;
    Some((number, code_of(value, UNITS).unwrap_or_default()))
}

/// In mGy; other units are not guessed at.
fn ctdi(item: &Tree) -> Option<f64> {
    let (number, unit) = measured(item)?;
    match unit.as_str() {
        "mGy" => Some(number),
        "Gy" => Some(number * 1000.0),
        _ => None,
    }
}

/// In mGy·cm.
fn dlp(item: &Tree) -> Option<f64> {
    let (number, unit) = measured(item)?;
    match unit.replace(['·', '*'], ".").as_str() {
        "mGy.cm" | "mGycm" => Some(number),
        "Gy.cm" => Some(number * 1000.0),
        "mGy.m" => Some(number * 100.0),
        _ => None,
    }
}
