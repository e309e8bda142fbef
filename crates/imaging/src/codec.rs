//! Codecs of frames: compressed bytes to native samples and, without loss, back. Each is bounded by the shape that the header gives
//! before
//! it runs. Which transfer syntaxes there are codecs for stands in `docs/dicom.md`.

mod deflate;
mod extended;
mod jpeg;
mod jpeg_2000;
mod jpeg_ls;
mod rle;

use domain::uid::TransferSyntaxUid;

use crate::{
    format::{Format, Photometric},
    picture::PictureError,
    syntax::{EXPLICIT_LITTLE, JPEG_LS_LOSSLESS, RLE_LOSSLESS, is_uncompressed},
};

/// A frame as plain samples: little endian, pixel by pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Native {
    pub(crate) bytes: Vec<u8>,
    /// What its samples now stand for.
    pub(crate) photometric: Photometric,
}

/// Transfer syntaxes that frames can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Explicit VR Little Endian.
    Native,
    /// JPEG-LS Lossless.
    JpegLs,
    /// RLE Lossless.
    Rle,
}

impl Target {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Native, Self::JpegLs, Self::Rle];

    /// The one of a transfer syntax.
    #[must_use]
    pub fn of(uid: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.uid() == uid)
    }

    /// Its transfer syntax.
    #[must_use]
    pub const fn uid(self) -> &'static str {
        match self {
            Self::Native => EXPLICIT_LITTLE,
            Self::JpegLs => JPEG_LS_LOSSLESS,
            Self::Rle => RLE_LOSSLESS,
        }
    }

    /// Whether samples of so many allocated bits can be written in it.
    #[must_use]
    pub const fn takes(self, bits_allocated: u32) -> bool {
        match self {
            Self::Native => true,
            Self::JpegLs => matches!(bits_allocated, 8 | 16),
            Self::Rle => matches!(bits_allocated, 8 | 16 | 32),
        }
    }
}

/// Whether there is a decoder for the frames of a transfer syntax.
#[must_use]
pub fn decodes(uid: &TransferSyntaxUid) -> bool {
    is_uncompressed(uid) || Decoder::of(uid).is_some()
}

enum Decoder {
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    Deflate,
}

impl Decoder {
    fn of(uid: &TransferSyntaxUid) -> Option<Self> {
        Some(match uid.as_str() {
            RLE_LOSSLESS => Self::Rle,
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70" => Self::Jpeg,
            JPEG_LS_LOSSLESS | "1.2.840.10008.1.2.4.81" => Self::JpegLs,
            "1.2.840.10008.1.2.4.90"
            | "1.2.840.10008.1.2.4.91"
            | "1.2.840.10008.1.2.4.92"
            | "1.2.840.10008.1.2.4.93"
            | "1.2.840.10008.1.2.4.201"
            | "1.2.840.10008.1.2.4.202"
            | "1.2.840.10008.1.2.4.203" => Self::Jpeg2000,
            "1.2.840.10008.1.2.8.1" => Self::Deflate,
            _ => return None,
        })
    }
}

/// Decompresses a frame. What comes has exactly the bytes that the header says, its colours not halved.
pub(crate) fn decode(
    frame: &[u8],
    format: &Format,
    transfer_syntax: &TransferSyntaxUid,
) -> Result<Native, PictureError> {
    let Some(decoder) = Decoder::of(transfer_syntax) else {
        return Err(PictureError::Unsupported("there is no decoder for its transfer syntax"));
    };
    let native = match decoder {
        Decoder::Rle => Native { bytes: rle::decode(frame, format)?, photometric: format.photometric },
        Decoder::Jpeg => jpeg::decode(frame, format)?,
        Decoder::JpegLs => Native { bytes: jpeg_ls::decode(frame, format)?, photometric: whole(format) },
        Decoder::Jpeg2000 => Native { bytes: jpeg_2000::decode(frame, format)?, photometric: whole(format) },
        Decoder::Deflate => {
            Native { bytes: deflate::decode(frame, format)?, photometric: format.photometric }
        }
    };
    let expected = match native.photometric {
        Photometric::YbrFull422 => format.pixels() * 2 * format.sample_bytes(),
        _ if format.shape.bits_allocated == 1 => format.pixels().div_ceil(8),
        _ => format.samples() * format.sample_bytes(),
    };
    if native.bytes.len() != expected {
        return Err(PictureError::Mismatch("the compressed image does not hold what the header says"));
    }
    Ok(native)
}

/// What samples stand for after a decoder that gives all of them, and undoes the colour transform of JPEG 2000 (PS3.5 section 8.2.4).
fn whole(format: &Format) -> Photometric {
    match format.photometric {
        Photometric::YbrIct | Photometric::YbrRct => Photometric::Rgb,
        Photometric::YbrFull422 => Photometric::YbrFull,
        other => other,
    }
}

/// Compresses a frame of plain samples, without loss.
pub(crate) fn encode(native: Native, format: &Format, target: Target) -> Result<Vec<u8>, PictureError> {
    if native.photometric == Photometric::YbrFull422 {
        return Err(PictureError::Unsupported("its colours are halved"));
    }
    if !target.takes(format.shape.bits_allocated) {
        return Err(PictureError::Unsupported("its samples have too few or too many bits for the codec"));
    }
    match target {
        Target::Native => Ok(native.bytes),
        Target::JpegLs => jpeg_ls::encode(&native.bytes, format),
        Target::Rle => rle::encode(&native.bytes, format),
    }
}

/// Brings samples of eight or sixteen bits, little endian, to the width that the header says, and spreads the sign of signed ones over
/// the
/// bits that are not stored: what compressed them knows only the stored ones.
fn fit(decoded: Vec<u8>, decoded_bytes: usize, format: &Format) -> Result<Vec<u8>, PictureError> {
    let mut bytes = match (decoded_bytes, format.shape.bits_allocated) {
        (1, 8) | (2, 16) => decoded,
        (1, 16) => decoded.iter().flat_map(|byte| [*byte, 0]).collect(),
        (2, 8) if decoded.chunks_exact(2).all(|pair| pair[1] == 0) => {
            decoded.chunks_exact(2).map(|pair| pair[0]).collect()
        }
        _ => return Err(PictureError::Mismatch("the compressed image has more bits than the header says")),
    };
    let spare = format.shape.bits_allocated - format.high_bit - 1;
    if format.signed && spare > 0 {
        if format.shape.bits_allocated == 8 {
            bytes.iter_mut().for_each(|byte| *byte = ((*byte << spare) as i8 >> spare) as u8);
        } else {
            bytes.chunks_exact_mut(2).for_each(|pair| {
                let word = (u16::from_le_bytes([pair[0], pair[1]]) << spare) as i16 >> spare;
                pair.copy_from_slice(&word.to_le_bytes());
            });
        }
    }
    Ok(bytes)
}

/// What a codestream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Codestream {
    width: u32,
    height: u32,
    components: u32,
    /// Bits of a sample; 0 where it is not read.
    precision: u8,
    /// The marker of a JPEG's frame header.
    marker: u8,
}

/// Refuses a codestream whose own size is not the header's: a decoder would believe it and take the memory.
fn checked(frame: &[u8], format: &Format) -> Result<Codestream, PictureError> {
    let Some(codestream) = codestream(frame) else {
        return Err(PictureError::Mismatch("the compressed image does not say how large it is"));
    };
    let shape = &format.shape;
    if (codestream.width, codestream.height) != (shape.columns, shape.rows) {
        return Err(PictureError::Mismatch("the compressed image has another size than the header says"));
    }
    if codestream.components != shape.samples {
        return Err(PictureError::Mismatch("the compressed image has other samples than the header says"));
    }
    Ok(codestream)
}

/// What a JPEG, JPEG-LS or JPEG 2000 codestream gives for itself.
fn codestream(bytes: &[u8]) -> Option<Codestream> {
    let two = |at: usize| bytes.get(at..at + 2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let four = |at: usize| Some(two(at)? << 16 | two(at + 2)?);
    if bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
        let (right, bottom, left, top) = (four(8)?, four(12)?, four(16)?, four(20)?);
        let (width, height) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
        return Some(Codestream { width, height, components: two(40)?, precision: 0, marker: 0x51 });
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
                return Some(Codestream {
                    width: two(at + 7)?,
                    height: two(at + 5)?,
                    components: u32::from(*bytes.get(at + 9)?),
                    precision: *bytes.get(at + 4)?,
                    marker,
                });
            }
            0xD9 | 0xDA => return None,
            _ => at += 2 + two(at + 2)?.max(2) as usize,
        }
    }
}

/// Three planes of samples, pixel by pixel.
pub(crate) fn pixel_by_pixel(planes: &[u8], format: &Format) -> Vec<u8> {
    let (size, plane) = (format.sample_bytes(), format.pixels() * format.sample_bytes());
    let mut out = vec![0; planes.len()];
    for (sample, plane) in planes.chunks_exact(plane.max(1)).enumerate() {
        let pixels = out.chunks_exact_mut(size * 3);
        for (pixel, value) in pixels.zip(plane.chunks_exact(size)) {
            if let Some(place) = pixel.get_mut(sample * size..(sample + 1) * size) {
                place.copy_from_slice(value);
            }
        }
    }
    out
}
