//! One frame as a picture: decoded, shaded by a window, written as PNG or JPEG. Decoders are where hostile bytes do harm, so what they
//! may
//! produce is bounded before they run; in the product all of this runs in a process of its own ([`crate::work`]). Not for diagnosis:
//! eight
//! bits of grey.

use bytes::Bytes;
use domain::{
    pixel::{PictureFormat, Viewport},
    uid::TransferSyntaxUid,
};
use image::{
    ColorType, DynamicImage, GrayImage, ImageEncoder as _, RgbImage, codecs::png, imageops::FilterType,
};

pub use domain::pixel::{Shading, Window};

use crate::{
    codec::{self, Native},
    format::{Format, Photometric},
    frames::{self, FramesError, Shape, Wanted},
    guard::{self, GuardedHeader, Refusal},
    shade::{self, Facts},
    sniff::{self, Sniffed},
    syntax::{Encoding, Syntax, is_uncompressed, pixel_encoding},
    tree::{self, Tree},
};

/// Most bytes of one decoded frame, and of one inflated object.
pub const FRAME_BYTES_MAX: u64 = 256 << 20;
/// Longest side of a picture that was asked to be small.
pub const EDGE_MAX: u32 = 1024;
/// Longest side of a picture that was asked to be larger than it is.
pub const ENLARGED_EDGE_MAX: u32 = 4096;
/// Most bytes of a deflated object that is inflated for a picture: deflated images are small ones, and a bomb should cost little.
pub const INFLATED_BYTES_MAX: usize = 64 << 20;
/// JPEG quality of pictures for people, when nobody says.
pub const JPEG_QUALITY: u8 = 90;

/// A decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    pixels: Pixels,
}

#[derive(Debug, Clone, PartialEq)]
enum Pixels {
    /// One sample a pixel, as stored.
    Grey { bytes: Vec<u8>, encoding: Encoding, format: Format, facts: Box<Facts> },
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
    /// There is no codec for the transfer syntax, or for this kind of image.
    #[error("this kind of image cannot be shown: {0}")]
    Unsupported(&'static str),
    /// The part that is asked for has no pixels of the image.
    #[error("the region lies beside the image")]
    NoRegion,
    /// The codec failed, and says why.
    #[error("the decoder failed: {0}")]
    Decode(String),
    /// The picture could not be written.
    #[error("the picture could not be written: {0}")]
    Write(String),
}

/// A frame of a whole object in memory: its header, transfer syntax once inflated, bytes, and bits of the first byte that are not its
/// own.
pub(crate) type Found = (Tree, TransferSyntaxUid, Vec<u8>, u8);

/// Finds one frame of a whole object in memory.
pub(crate) fn find(object: &Bytes, frame: u32) -> Result<Found, PictureError> {
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
    Ok((tree, syntax, bytes, place.skip_bits))
}

/// Decodes one frame of a whole object in memory.
///
/// # Errors
/// See [`PictureError`].
pub fn of_object(object: &Bytes, frame: u32) -> Result<Picture, PictureError> {
    let (tree, syntax, bytes, skip_bits) = find(object, frame)?;
    decode(&tree, &syntax, frame, bytes, skip_bits)
}

/// Decodes one frame from its bytes, as [`frames::locate`] found them, and the header of its object.
///
/// # Errors
/// See [`PictureError`].
pub fn decode(
    header: &Tree,
    transfer_syntax: &TransferSyntaxUid,
    number: u32,
    frame: Vec<u8>,
    skip_bits: u8,
) -> Result<Picture, PictureError> {
    let format = Format::read(header)?;
    let (native, encoding, format) = if is_uncompressed(transfer_syntax) {
        let native = Native { bytes: frame, photometric: format.photometric };
        (native, pixel_encoding(transfer_syntax), format)
    } else {
        let native = codec::decode(&frame, &format, transfer_syntax)?;
        (native, Encoding::EXPLICIT_LITTLE, Format { planar: false, ..format })
    };
    let format = Format { photometric: native.photometric, ..format };
    let pixels = match format.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => {
            let facts = Box::new(Facts::read(header, number, &format));
            Pixels::Grey { bytes: samples(native.bytes, &format, skip_bits)?, encoding, format, facts }
        }
        Photometric::Palette => {
            let bytes = samples(native.bytes, &format, skip_bits)?;
            Pixels::Colour(shade::palette(header, &bytes, &format.words(encoding)?, &format)?)
        }
        Photometric::Rgb
        | Photometric::YbrFull
        | Photometric::YbrFull422
        | Photometric::YbrIct
        | Photometric::YbrRct => Pixels::Colour(colours(native.bytes, encoding, &format)?),
    };
    Ok(Picture { width: format.shape.columns, height: format.shape.rows, pixels })
}

/// One frame as plain samples, little endian, pixel by pixel, and what its header says of them.
pub(crate) fn native(
    header: &Tree,
    transfer_syntax: &TransferSyntaxUid,
    frame: Vec<u8>,
    skip_bits: u8,
) -> Result<(Native, Format), PictureError> {
    let format = Format::read(header)?;
    if !is_uncompressed(transfer_syntax) {
        return Ok((codec::decode(&frame, &format, transfer_syntax)?, Format { planar: false, ..format }));
    }
    let short = || PictureError::Mismatch("there are fewer pixels than the header says");
    let frame_bytes =
        usize::try_from(format.shape.frame_bits().div_ceil(8)).map_err(|_| PictureError::TooLarge)?;
    if format.shape.bits_allocated == 1 {
        return Err(PictureError::Unsupported("its samples have one bit"));
    }
    if skip_bits != 0 || frame.len() < frame_bytes {
        return Err(short());
    }
    let mut bytes = frame;
    bytes.truncate(frame_bytes);
    let size = format.sample_bytes();
    if size > 1 && pixel_encoding(transfer_syntax).big_endian {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if format.planar && format.shape.samples == 3 && format.photometric != Photometric::YbrFull422 {
        bytes = codec::pixel_by_pixel(&bytes, &format);
    }
    Ok((Native { bytes, photometric: format.photometric }, Format { planar: false, ..format }))
}

/// The samples of a frame of one sample a pixel, at least a byte each. Single bits become bytes.
fn samples(bytes: Vec<u8>, format: &Format, skip_bits: u8) -> Result<Vec<u8>, PictureError> {
    let short = || PictureError::Mismatch("there are fewer pixels than the header says");
    let count = format.pixels();
    if format.shape.bits_allocated == 1 {
        let bit = |index: usize| {
            let index = index + usize::from(skip_bits);
            bytes.get(index / 8).map(|byte| byte >> (index % 8) & 1)
        };
        return (0..count).map(bit).collect::<Option<Vec<u8>>>().ok_or_else(short);
    }
    let mut bytes = bytes;
    let wanted = count * format.sample_bytes();
    if bytes.len() < wanted {
        return Err(short());
    }
    bytes.truncate(wanted);
    Ok(bytes)
}

/// Three samples a pixel as red, green and blue in eight bits.
fn colours(bytes: Vec<u8>, encoding: Encoding, format: &Format) -> Result<Vec<u8>, PictureError> {
    if format.photometric == Photometric::YbrFull422 {
        return halved(&bytes, format);
    }
    let size = format.sample_bytes();
    if !matches!(size, 1 | 2) {
        return Err(PictureError::Unsupported("its colours have neither 8 nor 16 bits"));
    }
    let mut bytes = bytes;
    if bytes.len() < format.samples() * size {
        return Err(PictureError::Mismatch("there are fewer pixels than the header says"));
    }
    bytes.truncate(format.samples() * size);
    if format.planar {
        bytes = codec::pixel_by_pixel(&bytes, format);
    }
    if size == 2 {
        let shift = format.stored.saturating_sub(8);
        let narrow = |pair: &[u8]| (encoding.u16([pair[0], pair[1]]) >> shift).min(255) as u8;
        bytes = bytes.chunks_exact(2).map(narrow).collect();
    }
    if format.photometric == Photometric::YbrFull {
        bytes.chunks_exact_mut(3).for_each(|pixel| {
            pixel.copy_from_slice(&rgb_of_ybr(pixel[0], pixel[1], pixel[2]));
        });
    }
    Ok(bytes)
}

/// Two pixels in four bytes: Y, Y, Cb, Cr (PS3.3 section C.7.6.3.1.2).
fn halved(bytes: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    if format.shape.bits_allocated != 8 {
        return Err(PictureError::Unsupported("its halved colours do not have 8 bits"));
    }
    let Some(bytes) = bytes.get(..format.pixels() * 2) else {
        return Err(PictureError::Mismatch("there are fewer pixels than the header says"));
    };
    let mut out = Vec::with_capacity(format.pixels() * 3);
    for four in bytes.chunks_exact(4) {
        out.extend_from_slice(&rgb_of_ybr(four[0], four[2], four[3]));
        out.extend_from_slice(&rgb_of_ybr(four[1], four[2], four[3]));
    }
    Ok(out)
}

/// Full-range YBR to RGB (PS3.3 section C.7.6.3.1.2), in 16 bits of fraction.
pub(crate) fn rgb_of_ybr(y: u8, b: u8, r: u8) -> [u8; 3] {
    let (y, b, r) = (i32::from(y) << 16 | 1 << 15, i32::from(b) - 128, i32::from(r) - 128);
    let clamp = |value: i32| (value >> 16).clamp(0, 255) as u8;
    [clamp(y + 91_881 * r), clamp(y - 22_554 * b - 46_802 * r), clamp(y + 116_130 * b)]
}

impl Picture {
    /// The modality values of a grey picture (Hounsfield units in CT), rows from the top; `None` for colour.
    #[must_use]
    pub fn values(&self) -> Option<Vec<f32>> {
        match &self.pixels {
            Pixels::Grey { bytes, encoding, format, facts } => {
                let mut values = Vec::with_capacity(format.pixels());
                format.words(*encoding).ok()?.each(bytes, |bits| {
                    values.push(facts.modality.of(format.value(bits)) as f32);
                });
                Some(values)
            }
            Pixels::Colour(_) => None,
        }
    }

    /// Shows it through a window: the one given, else that of the header, else one that holds all values. Colour is shown as it is.
    ///
    /// # Errors
    /// When the pixels do not fill the picture, which decoding has seen to, or the region lies beside the image.
    pub fn render(
        &self,
        shading: Option<Shading>,
        viewport: Option<Viewport>,
    ) -> Result<Rendered, PictureError> {
        let short = || PictureError::Mismatch("there are fewer pixels than the header says");
        let picture = match &self.pixels {
            Pixels::Grey { bytes, encoding, format, facts } => {
                let shades = shade::grey(bytes, &format.words(*encoding)?, format, facts, shading);
                DynamicImage::ImageLuma8(
                    GrayImage::from_raw(self.width, self.height, shades).ok_or_else(short)?,
                )
            }
            Pixels::Colour(bytes) => {
                let image = RgbImage::from_raw(self.width, self.height, bytes.clone());
                DynamicImage::ImageRgb8(image.ok_or_else(short)?)
            }
        };
        match viewport {
            Some(viewport) => Ok(Rendered(placed(picture, &viewport)?)),
            None => Ok(Rendered(picture)),
        }
    }
}

/// Cuts a region out, flips it, and fits it into the viewport (PS3.18 section 8.3.5.1.3).
fn placed(picture: DynamicImage, viewport: &Viewport) -> Result<DynamicImage, PictureError> {
    let mut picture = picture;
    if let Some(region) = viewport.region {
        let span = |start: f64, length: Option<f64>, all: u32| {
            let length = length.map_or(f64::from(all) - start, f64::abs);
            let from = start.clamp(0.0, f64::from(all)).floor();
            let until = (start + length).clamp(0.0, f64::from(all)).ceil();
            (from as u32, (until - from) as u32)
        };
        let (left, width) = span(region.left, region.width, picture.width());
        let (top, height) = span(region.top, region.height, picture.height());
        if width == 0 || height == 0 {
            return Err(PictureError::NoRegion);
        }
        picture = picture.crop_imm(left, top, width, height);
        if region.width.is_some_and(|width| width < 0.0) {
            picture = picture.fliph();
        }
        if region.height.is_some_and(|height| height < 0.0) {
            picture = picture.flipv();
        }
    }
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let scale = (f64::from(viewport.width) / width).min(f64::from(viewport.height) / height);
    let longest = f64::from(ENLARGED_EDGE_MAX) / width.max(height);
    let scale = if viewport.enlarge && scale > 1.0 { scale.min(longest).max(1.0) } else { scale.min(1.0) };
    if (scale - 1.0).abs() < f64::EPSILON {
        return Ok(picture);
    }
    let edge = |length: f64| ((length * scale).floor() as u32).max(1);
    Ok(picture.resize_exact(edge(width), edge(height), FilterType::Triangle))
}

/// Grey for the encoder, a row at a time; its own way takes a pixel at a time.
struct Grey<'a> {
    samples: &'a [u8],
    width: u16,
    height: u16,
}

impl jpeg_encoder::ImageBuffer for Grey<'_> {
    fn get_jpeg_color_type(&self) -> jpeg_encoder::JpegColorType {
        jpeg_encoder::JpegColorType::Luma
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let start = usize::from(y) * usize::from(self.width);
        buffers[0].extend_from_slice(&self.samples[start..start + usize::from(self.width)]);
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

    /// Writes it. The same picture as PNG gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, format: PictureFormat) -> Result<Vec<u8>, PictureError> {
        match format {
            PictureFormat::Png => self.png(),
            PictureFormat::Jpeg(quality) => self.jpeg(quality),
        }
    }

    fn png(&self) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        let encoder = png::PngEncoder::new(&mut bytes);
        let colour = if self.is_grey() { ColorType::L8 } else { ColorType::Rgb8 };
        encoder
            .write_image(self.0.as_bytes(), self.0.width(), self.0.height(), colour.into())
            .map_err(|error| PictureError::Write(error.to_string()))?;
        Ok(bytes)
    }

    fn jpeg(&self, quality: u8) -> Result<Vec<u8>, PictureError> {
        let size = |edge: u32| u16::try_from(edge);
        let (Ok(width), Ok(height)) = (size(self.0.width()), size(self.0.height())) else {
            return Err(PictureError::Write("JPEG has at most 65 535 pixels in a row".to_owned()));
        };
        let samples = self.0.as_bytes();
        let mut bytes = Vec::with_capacity(samples.len() / 4);
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
        let written = if self.is_grey() {
            encoder.encode_image(Grey { samples, width, height })
        } else {
            encoder.encode(samples, width, height, jpeg_encoder::ColorType::Rgb)
        };
        written.map_err(|error| PictureError::Write(error.to_string()))?;
        Ok(bytes)
    }

    fn is_grey(&self) -> bool {
        matches!(self.0, DynamicImage::ImageLuma8(_))
    }
}
