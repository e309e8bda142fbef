//! One frame as a picture: decoded, brought to modality values, windowed, written as PNG or JPEG. Decoders are where hostile bytes do
//! harm, so what they may produce is bounded before they run, and a panic in one is an error here. Not for diagnosis: eight bits of grey.
//!
//! It computes for tens of milliseconds and more: callers run it off the executor's threads.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::PixelFragmentSequence};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::PixelDecoder as _;
use domain::uid::TransferSyntaxUid;
use image::{
    DynamicImage, GrayImage, ImageFormat, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType,
};

pub use crate::acquisition::Window;
use crate::{
    acquisition::Acquisition,
    frames::{self, FramesError, Shape, Wanted},
    guard::{self, GuardedHeader, Refusal},
    rle,
    sniff::{self, Sniffed},
    syntax::{Encoding, Syntax, is_uncompressed},
    tree::{self, Tree},
    walk::PIXEL_DATA,
};

/// Most bytes of one decoded frame, and of one inflated object.
pub const FRAME_BYTES_MAX: u64 = 256 << 20;
/// Longest side of a picture that was asked to be small.
pub const EDGE_MAX: u32 = 1024;
/// Most bytes of a deflated object that is inflated for a picture: deflated images are small ones, and a bomb should cost little.
pub const INFLATED_BYTES_MAX: usize = 64 << 20;
/// RLE Lossless.
const RLE: &str = "1.2.840.10008.1.2.5";
/// JPEG quality of pictures for people.
const JPEG_QUALITY: u8 = 90;

/// A decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The window that the header gives.
    pub window: Option<Window>,
    pixels: Pixels,
}

#[derive(Debug, Clone, PartialEq)]
enum Pixels {
    /// Modality values (Hounsfield units in CT), rows from the top. `inverted` when low values are bright (MONOCHROME1).
    Grey { values: Vec<f32>, padding: Option<f32>, inverted: bool },
    /// Red, green, blue.
    Colour(Vec<u8>),
}

/// A picture for people.
#[derive(Debug, Clone)]
pub struct Rendered(DynamicImage);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It is no DICOM object.
    #[error("the object is no DICOM file: {0}")]
    NotDicom(&'static str),
    /// The guard refuses it.
    #[error("the object was refused")]
    Refused(#[from] Refusal),
    /// The frame cannot be found.
    #[error("the frame could not be found")]
    Frames(#[from] FramesError),
    /// The frame would take too much memory.
    #[error("the frame has more than 256 MiB")]
    TooLarge,
    /// The pixels do not fit the header.
    #[error("the pixels do not fit the header: {0}")]
    Mismatch(&'static str),
    /// There is no decoder for the transfer syntax, or for this kind of image.
    #[error("this kind of image cannot be shown: {0}")]
    Unsupported(&'static str),
    /// The decoder failed.
    #[error("the decoder failed")]
    Decode(#[source] Box<dicom_pixeldata::Error>),
    /// The decoder broke down.
    #[error("the decoder broke down")]
    Panic,
    /// The picture could not be written.
    #[error("the picture could not be written")]
    Write(#[from] image::ImageError),
}

/// Decodes one frame of a whole object in memory.
///
/// # Errors
/// See [`PictureError`].
pub fn of_object(object: &Bytes, frame: u32) -> Result<Picture, PictureError> {
    let place = match sniff::part10(object, true) {
        Sniffed::DataSet(place) => place,
        Sniffed::More => return Err(PictureError::NotDicom("it is too short")),
        Sniffed::NotDicom(why) => return Err(PictureError::NotDicom(why)),
    };
    let mut data_set = object.slice(place.at..);
    let mut syntax = place.transfer_syntax;
    if Syntax::of(&syntax).deflated {
        data_set = guard::inflate(&data_set, INFLATED_BYTES_MAX)?.into();
        syntax = TransferSyntaxUid::parse(crate::syntax::EXPLICIT_LITTLE).expect("a constant UID");
    }
    let header = GuardedHeader::of(&data_set, &syntax)?;
    let tree = tree::read(&header)?;
    let wanted = Wanted {
        shape: Shape::read(&tree)?,
        transfer_syntax: &syntax,
        header_end: header.ends_at,
        object_bytes: data_set.len() as u64,
        frames: &[frame],
    };
    let places = frames::locate_in(&data_set, &wanted)?;
    let place = places.first().ok_or(PictureError::Mismatch("no frame was found"))?;
    let mut bytes = Vec::new();
    for part in &place.parts {
        // Located within the object, so both ends are places in it.
        bytes.extend_from_slice(&data_set[part.start as usize..part.end as usize]);
    }
    decode(&tree, &syntax, &bytes, place.skip_bits)
}

/// Decodes one frame from its bytes, as [`frames::locate`] found them, and the header of its object.
///
/// # Errors
/// See [`PictureError`].
pub fn decode(
    header: &Tree,
    transfer_syntax: &TransferSyntaxUid,
    frame: &[u8],
    skip_bits: u8,
) -> Result<Picture, PictureError> {
    let format = Format::read(header)?;
    let window = Acquisition::read(header).window;
    let shape = format.shape;
    let (width, height) = (shape.columns, shape.rows);
    let pixels = if is_uncompressed(transfer_syntax) {
        let samples = Samples {
            bytes: frame,
            encoding: Syntax::of(transfer_syntax).encoding,
            planar: format.planar,
            skip_bits,
        };
        format.pixels(header, &samples)?
    } else {
        let decoded = if transfer_syntax.as_str() == RLE {
            let pixels = shape.rows as usize * shape.columns as usize;
            let (samples, bytes) = (shape.samples as usize, shape.bits_allocated as usize / 8);
            rle::decode(frame, pixels, samples, bytes)
                .ok_or(PictureError::Mismatch("the compressed image does not hold what the header says"))?
        } else {
            check_codestream(frame, &format)?;
            decompress(header, transfer_syntax, frame)?
        };
        let decoded =
            Samples { bytes: &decoded, encoding: Encoding::EXPLICIT_LITTLE, planar: false, skip_bits: 0 };
        // The decoders give red, green and blue whatever the colour model was.
        let colour = if shape.samples == 3 { ColourModel::Rgb } else { format.colour };
        Format { colour, ..format }.pixels(header, &decoded)?
    };
    Ok(Picture { width, height, window, pixels })
}

/// How samples are to be read.
#[derive(Debug, Clone, Copy)]
struct Format {
    shape: Shape,
    stored: u32,
    high_bit: u32,
    signed: bool,
    planar: bool,
    slope: f64,
    intercept: f64,
    colour: ColourModel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColourModel {
    Monochrome { inverted: bool },
    Palette,
    Rgb,
    YbrFull,
    YbrFull422,
}

struct Samples<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    planar: bool,
    skip_bits: u8,
}

impl Format {
    fn read(header: &Tree) -> Result<Self, PictureError> {
        let shape = Shape::read(header)?;
        if shape.frame_bits() / 8 > FRAME_BYTES_MAX
            || shape.frame_bits() / u64::from(shape.bits_allocated) * 4 > FRAME_BYTES_MAX
        {
            return Err(PictureError::TooLarge);
        }
        let stored = tree::count(header, Tag(0x0028, 0x0101));
        // PS3.3 sections C.7.6.24 and C.7.6.25: floating point pixels have no BitsStored.
        if stored.is_none() && shape.bits_allocated >= 32 {
            return Err(PictureError::Unsupported("its samples are floating point numbers"));
        }
        let stored = stored.unwrap_or(shape.bits_allocated);
        let high_bit = tree::count(header, Tag(0x0028, 0x0102)).unwrap_or(stored.saturating_sub(1));
        if stored == 0
            || stored > shape.bits_allocated
            || high_bit >= shape.bits_allocated
            || high_bit + 1 < stored
        {
            return Err(PictureError::Mismatch("BitsStored and HighBit do not fit BitsAllocated"));
        }
        let photometric = tree::text(header, Tag(0x0028, 0x0004)).unwrap_or_default();
        let colour = match (photometric.as_str(), shape.samples) {
            ("MONOCHROME1", 1) => ColourModel::Monochrome { inverted: true },
            ("PALETTE COLOR", 1) => ColourModel::Palette,
            (_, 1) => ColourModel::Monochrome { inverted: false },
            ("YBR_FULL", 3) => ColourModel::YbrFull,
            ("YBR_FULL_422", 3) => ColourModel::YbrFull422,
            (_, 3) => ColourModel::Rgb,
            _ => return Err(PictureError::Unsupported("it has neither one nor three samples a pixel")),
        };
        let slope = tree::decimal(header, Tag(0x0028, 0x1053)).filter(|slope| *slope != 0.0).unwrap_or(1.0);
        Ok(Self {
            shape,
            stored,
            high_bit,
            signed: tree::count(header, Tag(0x0028, 0x0103)) == Some(1),
            planar: tree::count(header, Tag(0x0028, 0x0006)) == Some(1),
            slope,
            intercept: tree::decimal(header, Tag(0x0028, 0x1052)).unwrap_or(0.0),
            colour,
        })
    }

    fn pixels(&self, header: &Tree, samples: &Samples<'_>) -> Result<Pixels, PictureError> {
        match self.colour {
            ColourModel::Monochrome { inverted } => {
                let values = self.values(samples)?;
                let modality = |value: i64| (value as f64 * self.slope + self.intercept) as f32;
                let padding =
                    header.get(Tag(0x0028, 0x0120)).and_then(|element| element.to_int::<i64>().ok());
                Ok(Pixels::Grey {
                    values: values.into_iter().map(modality).collect(),
                    padding: padding.map(modality),
                    inverted,
                })
            }
            ColourModel::Palette => self.palette(header, samples),
            ColourModel::Rgb | ColourModel::YbrFull => {
                let mut bytes = self.interleaved(samples)?;
                if self.colour == ColourModel::YbrFull {
                    bytes.chunks_exact_mut(3).for_each(|pixel| {
                        pixel.copy_from_slice(&rgb_of_ybr(pixel[0], pixel[1], pixel[2]));
                    });
                }
                Ok(Pixels::Colour(bytes))
            }
            ColourModel::YbrFull422 => self.halved(samples),
        }
    }

    fn count(&self) -> usize {
        // Bounded by FRAME_BYTES_MAX.
        self.shape.rows as usize * self.shape.columns as usize
    }

    /// Stored values of one sample a pixel.
    fn values(&self, samples: &Samples<'_>) -> Result<Vec<i64>, PictureError> {
        let count = self.count();
        if self.shape.bits_allocated == 1 {
            let bit = |index: usize| {
                let index = index + usize::from(samples.skip_bits);
                samples.bytes.get(index / 8).map(|byte| i64::from(byte >> (index % 8) & 1))
            };
            let bits: Option<Vec<i64>> = (0..count).map(bit).collect();
            return bits.ok_or(PictureError::Mismatch("there are fewer pixels than the header says"));
        }
        let size = self.shape.bits_allocated as usize / 8;
        let Some(bytes) = samples.bytes.get(..count * size) else {
            return Err(PictureError::Mismatch("there are fewer pixels than the header says"));
        };
        let encoding = samples.encoding;
        let word = |bytes: &[u8]| match *bytes {
            [a] => u32::from(a),
            [a, b] => u32::from(encoding.u16([a, b])),
            [a, b, c, d] => encoding.u32([a, b, c, d]),
            _ => 0,
        };
        if size > 4 {
            return Err(PictureError::Unsupported("its samples have 64 bits"));
        }
        let (shift, stored) = (self.high_bit + 1 - self.stored, self.stored);
        let mask = if stored >= 32 { u32::MAX } else { (1_u32 << stored) - 1 };
        let sign = 1_i64 << (stored - 1);
        let value = |bytes: &[u8]| {
            let value = i64::from(word(bytes) >> shift & mask);
            if self.signed && value & sign != 0 { value - (sign << 1) } else { value }
        };
        Ok(bytes.chunks_exact(size).map(value).collect())
    }

    /// Three samples a pixel, pixel by pixel, in eight bits.
    fn interleaved(&self, samples: &Samples<'_>) -> Result<Vec<u8>, PictureError> {
        let count = self.count();
        let size = self.shape.bits_allocated as usize / 8;
        if !matches!(size, 1 | 2) {
            return Err(PictureError::Unsupported("its colours have neither 8 nor 16 bits"));
        }
        let Some(bytes) = samples.bytes.get(..count * 3 * size) else {
            return Err(PictureError::Mismatch("there are fewer pixels than the header says"));
        };
        let shift = self.stored.saturating_sub(8);
        let narrow = |sample: &[u8]| match *sample {
            [byte] => byte,
            [a, b] => (samples.encoding.u16([a, b]) >> shift).min(255) as u8,
            _ => 0,
        };
        let narrowed: Vec<u8> = bytes.chunks_exact(size).map(narrow).collect();
        if !samples.planar {
            return Ok(narrowed);
        }
        let pixel = |index: usize| [narrowed[index], narrowed[count + index], narrowed[2 * count + index]];
        Ok((0..count).flat_map(pixel).collect())
    }

    /// Two pixels in four bytes: Y, Y, Cb, Cr (PS3.3 section C.7.6.3.1.2).
    fn halved(&self, samples: &Samples<'_>) -> Result<Pixels, PictureError> {
        if self.shape.bits_allocated != 8 {
            return Err(PictureError::Unsupported("its halved colours do not have 8 bits"));
        }
        let count = self.count();
        let Some(bytes) = samples.bytes.get(..count * 2) else {
            return Err(PictureError::Mismatch("there are fewer pixels than the header says"));
        };
        let two = |four: &[u8]| {
            [rgb_of_ybr(four[0], four[2], four[3]), rgb_of_ybr(four[1], four[2], four[3])].concat()
        };
        Ok(Pixels::Colour(bytes.chunks_exact(4).flat_map(two).collect()))
    }

    /// Indices into three lookup tables (PS3.3 section C.7.6.3.1.5).
    fn palette(&self, header: &Tree, samples: &Samples<'_>) -> Result<Pixels, PictureError> {
        let table = |channel: u16| {
            let descriptor = header.get(Tag(0x0028, 0x1101 + channel))?.to_multi_int::<i32>().ok()?;
            let data = header.get(Tag(0x0028, 0x1201 + channel))?.to_bytes().ok()?.into_owned();
            let [entries, first, bits] = descriptor.try_into().ok()?;
            let entries = if entries & 0xFFFF == 0 { 65_536 } else { (entries & 0xFFFF) as usize };
            let wide = bits == 16 || data.len() >= entries * 2;
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
        // As many bits of a table entry count as the descriptor says; with 16 the upper eight are shown.
        let look = |(first, table): &(i64, Vec<u8>), value: i64| {
            let index = usize::try_from(value - first).unwrap_or(0).min(table.len().saturating_sub(1));
            table.get(index).copied().unwrap_or(0)
        };
        let values = self.values(samples)?;
        let colour = |value: i64| [look(&red, value), look(&green, value), look(&blue, value)];
        Ok(Pixels::Colour(values.into_iter().flat_map(colour).collect()))
    }
}

/// Full-range YBR to RGB (PS3.3 section C.7.6.3.1.2).
fn rgb_of_ybr(y: u8, b: u8, r: u8) -> [u8; 3] {
    let (y, b, r) = (f32::from(y), f32::from(b) - 128.0, f32::from(r) - 128.0);
    let clamp = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [clamp(y + 1.402 * r), clamp(y - 0.344_136 * b - 0.714_136 * r), clamp(y + 1.772 * b)]
}

/// Decompresses one frame.
fn decompress(
    header: &Tree,
    transfer_syntax: &TransferSyntaxUid,
    frame: &[u8],
) -> Result<Vec<u8>, PictureError> {
    let mut object = InMemDicomObject::new_empty();
    // Samples, photometric interpretation, planar configuration, rows, columns, bits.
    for element in [0x0002, 0x0004, 0x0006, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103] {
        if let Some(element) = header.get(Tag(0x0028, element)) {
            object.put(element.clone());
        }
    }
    object.put(DataElement::new(Tag(0x0028, 0x0008), VR::IS, PrimitiveValue::from("1")));
    let fragments = PixelFragmentSequence::new_fragments(vec![frame.to_vec()]);
    object.put(DataElement::new(PIXEL_DATA, VR::OB, dicom_core::value::Value::PixelSequence(fragments)));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax.as_str())
        .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.7")
        .media_storage_sop_instance_uid("2.25.1")
        .build()
        .map_err(|_| PictureError::Unsupported("its transfer syntax has no name"))?;
    let object = object.with_exact_meta(meta);
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        object.decode_pixel_data_frame(0).map(|decoded| decoded.data().to_vec())
    }));
    match decoded {
        Ok(decoded) => decoded.map_err(|error| PictureError::Decode(Box::new(error))),
        Err(_) => Err(PictureError::Panic),
    }
}

/// Refuses a codestream whose own size is not the header's: a decoder would believe it and take the memory.
fn check_codestream(frame: &[u8], format: &Format) -> Result<(), PictureError> {
    let Some((width, height, components)) = codestream_size(frame) else {
        return Err(PictureError::Mismatch("the compressed image does not say how large it is"));
    };
    let shape = &format.shape;
    if (width, height) != (shape.columns, shape.rows) || components > 4 {
        return Err(PictureError::Mismatch("the compressed image has another size than the header says"));
    }
    Ok(())
}

/// Width, height and components that a JPEG, JPEG-LS or JPEG 2000 codestream gives for itself.
fn codestream_size(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let two = |at: usize| bytes.get(at..at + 2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let four = |at: usize| Some(two(at)? << 16 | two(at + 2)?);
    if bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
        let (right, bottom, left, top) = (four(8)?, four(12)?, four(16)?, four(20)?);
        return Some((right.checked_sub(left)?, bottom.checked_sub(top)?, two(40)?));
    }
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    let mut at = 2;
    loop {
        // Fill bytes may stand before a marker.
        while bytes.get(at..at + 2)? == [0xFF, 0xFF] {
            at += 1;
        }
        let [0xFF, marker] = *bytes.get(at..at + 2)? else { return None };
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                return Some((two(at + 7)?, two(at + 5)?, u32::from(*bytes.get(at + 9)?)));
            }
            0xD9 | 0xDA => return None,
            _ => at += 2 + two(at + 2)?.max(2) as usize,
        }
    }
}

impl Picture {
    /// The modality values of a grey picture (Hounsfield units in CT), rows from the top; `None` for colour.
    #[must_use]
    pub fn values(&self) -> Option<&[f32]> {
        match &self.pixels {
            Pixels::Grey { values, .. } => Some(values),
            Pixels::Colour(_) => None,
        }
    }

    /// Shows it through a window: the one given, else the header's, else one that holds all values. Colour is shown
    /// as it is. A picture with
    /// a side longer than `edge_max` is made smaller.
    ///
    /// # Errors
    /// When the pixels do not fill the picture, which decoding has seen to.
    pub fn render(&self, window: Option<Window>, edge_max: Option<u32>) -> Result<Rendered, PictureError> {
        let short = || PictureError::Mismatch("there are fewer pixels than the header says");
        let picture = match &self.pixels {
            Pixels::Grey { values, padding, inverted } => {
                let window = window.or(self.window).unwrap_or_else(|| all_values(values, *padding));
                let grey = Grey::of(window, *inverted);
                let bytes = values.iter().map(|value| grey.shade(*value)).collect();
                DynamicImage::ImageLuma8(
                    GrayImage::from_raw(self.width, self.height, bytes).ok_or_else(short)?,
                )
            }
            Pixels::Colour(bytes) => {
                let image = RgbImage::from_raw(self.width, self.height, bytes.clone());
                DynamicImage::ImageRgb8(image.ok_or_else(short)?)
            }
        };
        Ok(Rendered(match edge_max {
            Some(edge) if self.width.max(self.height) > edge.max(1) => {
                picture.resize(edge.max(1), edge.max(1), FilterType::Triangle)
            }
            Some(_) | None => picture,
        }))
    }
}

/// A window that holds all values but the padding.
fn all_values(values: &[f32], padding: Option<f32>) -> Window {
    let shown = values.iter().copied().filter(|value| Some(*value) != padding);
    let (low, high) =
        shown.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = if low > high { (0.0, 0.0) } else { (f64::from(low), f64::from(high)) };
    let width = high - low + 1.0;
    Window { centre: low + width / 2.0, width }
}

/// The LINEAR function of PS3.3 section C.11.2.1.2.1, from 0 to 255.
struct Grey {
    low: f64,
    span: f64,
    inverted: bool,
}

impl Grey {
    fn of(window: Window, inverted: bool) -> Self {
        let span = (window.width.max(1.0) - 1.0).max(0.0);
        Self { low: window.centre - 0.5 - span / 2.0, span, inverted }
    }

    fn shade(&self, value: f32) -> u8 {
        let value = f64::from(value);
        let shade = if value <= self.low {
            0.0
        } else if value > self.low + self.span {
            255.0
        } else {
            (value - self.low) / self.span * 255.0
        };
        let shade = shade.round() as u8;
        if self.inverted { 255 - shade } else { shade }
    }
}

impl Rendered {
    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    /// The grey of a pixel, for tests and thumbnails; colour by its luminance.
    #[must_use]
    pub fn grey_at(&self, x: u32, y: u32) -> Option<u8> {
        match &self.0 {
            DynamicImage::ImageLuma8(grey) => grey.get_pixel_checked(x, y).map(|pixel| pixel.0[0]),
            other => other.to_luma8().get_pixel_checked(x, y).map(|pixel| pixel.0[0]),
        }
    }

    /// As PNG. The same picture gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Cursor::new(Vec::new());
        self.0.write_to(&mut bytes, ImageFormat::Png)?;
        Ok(bytes.into_inner())
    }

    /// As JPEG.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn jpeg(&self) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&self.0)?;
        Ok(bytes)
    }
}
