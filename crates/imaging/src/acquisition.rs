//! How an image was made: what a technique section, a window and a picture need to know of a header. Also of
//! enhanced images, whose values stand in
//! functional groups (PS3.3 section C.7.6.16). Not for lists: [`crate::header`] is.

use dicom_core::Tag;
pub use domain::pixel::Window;

use crate::tree::{self, Tree};

/// Shared and Per-Frame Functional Groups Sequences.
const FUNCTIONAL_GROUPS: [Tag; 2] = [Tag(0x5200, 0x9229), Tag(0x5200, 0x9230)];
/// Image Type.
const IMAGE_TYPE: Tag = Tag(0x0008, 0x0008);
/// Contrast/Bolus Agent and Contrast/Bolus Agent Sequence.
const CONTRAST: [Tag; 2] = [Tag(0x0018, 0x0010), Tag(0x0018, 0x0012)];
/// Secondary Capture Image Storage and its multi-frame kin begin so.
const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// How an image was made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Acquisition {
    /// (0008,0008), for example `ORIGINAL`, `PRIMARY`, `AXIAL`.
    pub image_type: Vec<String>,
    /// (0008,0016).
    pub sop_class: Option<String>,
    /// (0018,0050), in mm.
    pub slice_thickness: Option<f64>,
    /// (0018,0060), in kV.
    pub kvp: Option<f64>,
    /// (0018,1210), the first value.
    pub kernel: Option<String>,
    /// (0018,1120), in degrees; enhanced images say it per frame.
    pub gantry_tilt: Option<f64>,
    /// What the header says about contrast.
    pub contrast: Contrast,
    /// (0018,0022), for example `HELICAL MODE`.
    pub scan_options: Vec<String>,
    /// (0018,9345), in mGy.
    pub ctdi_vol: Option<f64>,
    /// (0018,1151), in mA.
    pub tube_current: Option<f64>,
    /// (0028,0030), in mm: between rows, between columns.
    pub pixel_spacing: Option<[f64; 2]>,
    /// (0028,1050) and (0028,1051), the first pair.
    pub window: Option<Window>,
    /// (0018,1030).
    pub protocol: Option<String>,
    /// (0008,103E).
    pub series_description: Option<String>,
}

/// What a header says about contrast.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Contrast {
    /// Neither element stands there: the header does not say.
    #[default]
    NotRecorded,
    /// The element stands there and is empty, or says none.
    None,
    /// This agent, and the attribute that names it.
    Agent(String, &'static str),
}

impl Acquisition {
    /// Reads a header.
    #[must_use]
    pub fn read(header: &Tree) -> Self {
        let decimal = |tag| anywhere(header, &|tree| tree::decimal(tree, tag));
        let text = |tag| anywhere(header, &|tree| tree::text(tree, tag));
        let image_type = tree::texts(header, IMAGE_TYPE);
        Self {
            image_type,
            sop_class: tree::text(header, Tag(0x0008, 0x0016)),
            slice_thickness: decimal(Tag(0x0018, 0x0050)).filter(|mm| *mm > 0.0),
            kvp: decimal(Tag(0x0018, 0x0060)).filter(|kv| *kv > 0.0),
            kernel: text(Tag(0x0018, 0x1210)),
            gantry_tilt: decimal(Tag(0x0018, 0x1120)),
            contrast: contrast(header),
            scan_options: tree::texts(header, Tag(0x0018, 0x0022)),
            ctdi_vol: decimal(Tag(0x0018, 0x9345)).filter(|mgy| *mgy > 0.0),
            tube_current: decimal(Tag(0x0018, 0x1151)).or_else(|| decimal(Tag(0x0018, 0x9330))),
            pixel_spacing: anywhere(header, &|tree| pair(tree, Tag(0x0028, 0x0030))),
            window: anywhere(header, &window),
            protocol: text(Tag(0x0018, 0x1030)),
            series_description: tree::text(header, Tag(0x0008, 0x103E)),
        }
    }

    /// Whether the image is a scout, or a picture made of one: no slice of a volume.
    #[must_use]
    pub fn is_localizer(&self) -> bool {
        let named = |word: &str| {
            ["LOCALIZER", "SURVIEW", "SCOUT", "TOPOGRAM", "SCANOGRAM"].iter().any(|name| word.contains(name))
        };
        let said = self.image_type.iter().chain(&self.scan_options).chain(&self.series_description);
        said.map(|word| word.to_uppercase()).any(|word| named(&word))
    }

    /// Whether the image is a capture of a screen or page, not of a patient.
    #[must_use]
    pub fn is_capture(&self) -> bool {
        self.sop_class.as_deref().is_some_and(|uid| uid.starts_with(SECONDARY_CAPTURE))
            || self.image_type.iter().any(|word| word == "SCREEN SAVE" || word == "DOSE_INFO")
    }

    /// Whether the image was computed from others (reformatted, projected).
    #[must_use]
    pub fn is_derived(&self) -> bool {
        let reformatted = ["MPR", "REFORMATTED", "PROJECTION IMAGE", "MIP", "AVERAGE", "VRT"];
        self.image_type.first().is_some_and(|word| word == "DERIVED")
            || self.image_type.iter().any(|word| reformatted.contains(&word.as_str()))
    }

    /// Whether the table moved while the tube turned, and the attribute that says so.
    #[must_use]
    pub fn is_helical(&self) -> Option<(bool, &'static str)> {
        let places = [(&self.scan_options, "ScanOptions"), (&self.image_type, "ImageType")];
        places.into_iter().find_map(|(words, attribute)| helical(words).map(|helical| (helical, attribute)))
    }
}

fn helical(words: &[String]) -> Option<bool> {
    let said = |names: &[&str]| {
        words.iter().map(|word| word.to_uppercase()).any(|word| names.iter().any(|name| word.contains(name)))
    };
    if said(&["HELI", "SPI"]) {
        return Some(true);
    }
    said(&["AXIAL MODE", "AXIAL_MODE", "SEQ", "STEP"]).then_some(false)
}

fn pair(tree: &Tree, tag: Tag) -> Option<[f64; 2]> {
    tree::decimals_of(tree, tag).get(..2)?.try_into().ok()
}

fn window(tree: &Tree) -> Option<Window> {
    let (centre, width) =
        (tree::decimal(tree, Tag(0x0028, 0x1050))?, tree::decimal(tree, Tag(0x0028, 0x1051))?);
    (width >= 1.0).then_some(Window { centre, width })
}

fn contrast(header: &Tree) -> Contrast {
    let [agent, sequence] = CONTRAST;
    if header.get(agent).is_none() && header.get(sequence).is_none() {
        return Contrast::NotRecorded;
    }
    if let Some(name) = tree::text(header, agent) {
        let none = matches!(name.to_uppercase().as_str(), "NONE" | "NO" | "N" | "NON");
        return if none { Contrast::None } else { Contrast::Agent(name, "ContrastBolusAgent") };
    }
    let Some(item) = tree::items(header, sequence).first() else { return Contrast::None };
    let meaning = tree::text(item, Tag(0x0008, 0x0104));
    Contrast::Agent(meaning.unwrap_or_else(|| "without a name".to_owned()), "ContrastBolusAgentSequence")
}

/// A value from the data set itself, or from the first functional group that has it.
fn anywhere<T>(header: &Tree, read: &impl Fn(&Tree) -> Option<T>) -> Option<T> {
    read(header).or_else(|| {
        let groups = FUNCTIONAL_GROUPS.iter().filter_map(|tag| tree::items(header, *tag).first());
        groups.flat_map(functional_group).find_map(read)
    })
}

/// The items of the macros of one functional group; some macros hold a sequence of their own.
fn functional_group(group: &Tree) -> impl Iterator<Item = &Tree> {
    group.iter().filter_map(|element| element.value().items()).flatten().flat_map(|item| {
        std::iter::once(item).chain(item.iter().filter_map(|element| element.value().items()).flatten())
    })
}
