//! From stored values to shades (PS3.3 sections C.11.1 and C.11.2): a table with one shade for each value that stored bits can have, so
//! that a
//! frame costs one look-up a pixel. Values of more than sixteen bits are computed one by one.

use dicom_core::Tag;
use domain::pixel::{Shading, Window, WindowFunction};

use crate::{
    format::{Format, Photometric, Words},
    picture::PictureError,
    tree::{self, Tree},
};

/// Most stored bits for which there is a table.
const TABLE_BITS_MAX: u32 = 16;
/// Shared and Per-Frame Functional Groups Sequences.
const SHARED_GROUPS: Tag = Tag(0x5200, 0x9229);
const FRAME_GROUPS: Tag = Tag(0x5200, 0x9230);
/// Frame VOI LUT and Pixel Value Transformation Sequences of a functional group.
const FRAME_WINDOW: Tag = Tag(0x0028, 0x9132);
const FRAME_RESCALE: Tag = Tag(0x0028, 0x9145);
/// Modality LUT and VOI LUT Sequences.
const MODALITY_LUT: Tag = Tag(0x0028, 0x3000);
const VOI_LUT: Tag = Tag(0x0028, 0x3010);

/// What a header says of the shades of one frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) modality: Modality,
    /// The first window.
    shading: Option<Shading>,
    /// The first VOI LUT, which counts where there is no window.
    voi: Option<Lut>,
    /// Pixel Padding Value and Pixel Padding Range Limit, as stored values.
    padding: Option<(i64, i64)>,
    /// Low values are bright.
    inverted: bool,
}

/// From stored to modality values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Modality {
    Linear { slope: f64, intercept: f64 },
    Lut(Lut),
}

/// A look-up table (PS3.3 section C.11.1.1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lut {
    first: i64,
    entries: Vec<u16>,
    bits: u32,
}

impl Facts {
    pub(crate) fn read(header: &Tree, number: u32, format: &Format) -> Self {
        let of_frame = tree::items(header, FRAME_GROUPS).get(number.saturating_sub(1) as usize);
        let groups: Vec<&Tree> =
            of_frame.into_iter().chain(tree::items(header, SHARED_GROUPS).first()).collect();
        let group = |tag| groups.iter().find_map(|group| tree::items(group, tag).first());
        let rescale = group(FRAME_RESCALE).unwrap_or(header);
        let modality = match tree::items(header, MODALITY_LUT).first().and_then(Lut::read) {
            Some(lut) => Modality::Lut(lut),
            None => Modality::Linear {
                slope: tree::decimal(rescale, Tag(0x0028, 0x1053))
                    .filter(|slope| *slope != 0.0)
                    .unwrap_or(1.0),
                intercept: tree::decimal(rescale, Tag(0x0028, 0x1052)).unwrap_or(0.0),
            },
        };
        let padding = |tag| header.get(tag).and_then(|element| element.to_int::<i64>().ok());
        let value = padding(Tag(0x0028, 0x0120));
        let until = padding(Tag(0x0028, 0x0121)).or(value);
        Self {
            modality,
            shading: group(FRAME_WINDOW).and_then(shading).or_else(|| shading(header)),
            voi: tree::items(header, VOI_LUT).first().and_then(Lut::read),
            padding: value.zip(until).map(|(a, b)| (a.min(b), a.max(b))),
            inverted: format.photometric == Photometric::Monochrome1,
        }
    }

    fn is_padding(&self, value: i64) -> bool {
        self.padding.is_some_and(|(low, high)| (low..=high).contains(&value))
    }

    /// A window that holds all values but the padding.
    fn all_values(&self, low: Option<i64>, high: Option<i64>) -> Window {
        let value = |stored: Option<i64>| stored.map_or(0.0, |stored| self.modality.of(stored));
        let (a, b) = (value(low), value(high));
        let width = (b - a).abs() + 1.0;
        Window { centre: a.min(b) + width / 2.0, width }
    }
}

/// The first window of a header or functional group.
fn shading(tree: &Tree) -> Option<Shading> {
    let centre = tree::decimal(tree, Tag(0x0028, 0x1050))?;
    let width = tree::decimal(tree, Tag(0x0028, 0x1051))?;
    let function = match tree::text(tree, Tag(0x0028, 0x1056)).as_deref() {
        Some("LINEAR_EXACT") => WindowFunction::LinearExact,
        Some("SIGMOID") => WindowFunction::Sigmoid,
        _ => WindowFunction::Linear,
    };
    let least = if function == WindowFunction::Linear { 1.0 } else { f64::MIN_POSITIVE };
    (width >= least).then_some(Shading { window: Window { centre, width }, function })
}

impl Modality {
    pub(crate) fn of(&self, stored: i64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => stored as f64 * slope + intercept,
            Self::Lut(lut) => f64::from(lut.entry(stored)),
        }
    }
}

impl Lut {
    fn read(item: &Tree) -> Option<Self> {
        let descriptor = item.get(Tag(0x0028, 0x3002))?.to_multi_int::<i32>().ok()?;
        let data = item.get(Tag(0x0028, 0x3006))?.to_multi_int::<i32>().ok()?;
        let [entries, first, bits] = descriptor.try_into().ok()?;
        let count = if entries & 0xFFFF == 0 { 65_536 } else { (entries & 0xFFFF) as usize };
        let bits = u32::try_from(bits).ok().filter(|bits| (8..=16).contains(bits))?;
        let entries: Vec<u16> = data.into_iter().take(count).map(|entry| (entry & 0xFFFF) as u16).collect();
        (!entries.is_empty()).then_some(Self { first: i64::from(first), entries, bits })
    }

    fn entry(&self, value: i64) -> u16 {
        let index = usize::try_from(value - self.first).unwrap_or(0).min(self.entries.len() - 1);
        self.entries[index]
    }
}

/// Shades a frame of one sample a pixel.
pub(crate) fn grey(
    bytes: &[u8],
    words: &Words,
    format: &Format,
    facts: &Facts,
    shading: Option<Shading>,
) -> Vec<u8> {
    let shading = shading.or(facts.shading);
    if format.stored > TABLE_BITS_MAX {
        let mut shades = Vec::with_capacity(format.pixels());
        let (mut low, mut high) = (None::<i64>, None::<i64>);
        if shading.is_none() && facts.voi.is_none() {
            words.each(bytes, |bits| {
                let value = format.value(bits);
                if !facts.is_padding(value) {
                    low = Some(low.map_or(value, |low| low.min(value)));
                    high = Some(high.map_or(value, |high| high.max(value)));
                }
            });
        }
        let shader = Shader::of(facts, shading, || facts.all_values(low, high));
        words.each(bytes, |bits| shades.push(shader.shade(facts.modality.of(format.value(bits)))));
        return shades;
    }
    let values = 1_u32 << format.stored;
    let all = || {
        let mut seen = vec![false; values as usize];
        words.each(bytes, |bits| seen[bits as usize] = true);
        let shown = (0..values).filter(|bits| seen[*bits as usize]).map(|bits| format.value(bits));
        let shown: Vec<i64> = shown.filter(|value| !facts.is_padding(*value)).collect();
        facts.all_values(shown.iter().min().copied(), shown.iter().max().copied())
    };
    let shader = Shader::of(facts, shading, all);
    let table: Vec<u8> =
        (0..values).map(|bits| shader.shade(facts.modality.of(format.value(bits)))).collect();
    words.look_up(bytes, &table)
}

/// From modality values to shades from 0 to 255.
enum Shader<'a> {
    Window { shading: Shading, inverted: bool },
    Lut { lut: &'a Lut, inverted: bool },
}

impl<'a> Shader<'a> {
    fn of(facts: &'a Facts, shading: Option<Shading>, all: impl FnOnce() -> Window) -> Self {
        let inverted = facts.inverted;
        match (shading, &facts.voi) {
            (Some(shading), _) => Self::Window { shading, inverted },
            (None, Some(lut)) => Self::Lut { lut, inverted },
            (None, None) => Self::Window { shading: all().into(), inverted },
        }
    }

    fn shade(&self, value: f64) -> u8 {
        let (shade, inverted) = match self {
            Self::Window { shading, inverted } => (windowed(value, *shading), *inverted),
            Self::Lut { lut, inverted } => {
                let entry = f64::from(lut.entry(value.round() as i64));
                (entry / f64::from((1_u32 << lut.bits) - 1) * 255.0, *inverted)
            }
        };
        let shade = shade.round().clamp(0.0, 255.0) as u8;
        if inverted { 255 - shade } else { shade }
    }
}

/// The functions of PS3.3 sections C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, from 0 to 255.
fn windowed(value: f64, Shading { window: Window { centre, width }, function }: Shading) -> f64 {
    let (low, span) = match function {
        WindowFunction::Linear => {
            let span = (width.max(1.0) - 1.0).max(0.0);
            (centre - 0.5 - span / 2.0, span)
        }
        WindowFunction::LinearExact => (centre - width / 2.0, width),
        WindowFunction::Sigmoid => return 255.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
    };
    if value <= low {
        0.0
    } else if value > low + span {
        255.0
    } else {
        (value - low) / span * 255.0
    }
}

/// Indices into three lookup tables (PS3.3 section C.7.6.3.1.5), as red, green and blue.
pub(crate) fn palette(
    header: &Tree,
    bytes: &[u8],
    words: &Words,
    format: &Format,
) -> Result<Vec<u8>, PictureError> {
    let table = |channel: u16| {
        let descriptor = header.get(Tag(0x0028, 0x1101 + channel))?.to_multi_int::<i32>().ok()?;
        let data = header.get(Tag(0x0028, 0x1201 + channel))?.to_bytes().ok()?.into_owned();
        let [entries, first, bits] = descriptor.try_into().ok()?;
        let entries = if entries & 0xFFFF == 0 { 65_536 } else { (entries & 0xFFFF) as usize };
        let wide = bits == 16 || data.len() >= entries * 2;
        // As many bits of a table entry count as the descriptor says; with 16 the upper eight are shown.
        let entry = |index: usize| match wide {
            true => data.get(index * 2 + 1).copied(),
            false => data.get(index).copied(),
        };
        let table: Option<Vec<u8>> = (0..entries).map(entry).collect();
        Some((i64::from(first), table?))
    };
    let (Some(red), Some(green), Some(blue)) = (table(0), table(1), table(2)) else {
        return Err(PictureError::Mismatch("its colour tables are missing or too short"));
    };
    let look = |(first, table): &(i64, Vec<u8>), value: i64| {
        let index = usize::try_from(value - first).unwrap_or(0).min(table.len().saturating_sub(1));
        table.get(index).copied().unwrap_or(0)
    };
    let mut out = Vec::with_capacity(format.pixels() * 3);
    words.each(bytes, |bits| {
        let value = format.value(bits);
        out.extend_from_slice(&[look(&red, value), look(&green, value), look(&blue, value)]);
    });
    Ok(out)
}
