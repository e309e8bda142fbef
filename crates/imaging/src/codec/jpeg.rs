//! JPEG (ISO/IEC 10918-1, PS3.5 section 8.2.1): sequential and progressive DCT of 8 bits by zune-jpeg, lossless by jpeg-decoder, and
//! sequential
//! DCT of 12 bits by [`super::extended`]. What the frame header says counts, not the transfer syntax: scanners name one process and write
//! another. In only: JPEG loses, and what goes out loses nothing.

use jpeg_decoder::{ColorTransform, Decoder};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{Codestream, Native, checked, extended, fit, whole};
use crate::{
    format::{Format, Photometric},
    picture::{PictureError, rgb_of_ybr},
};

/// Decodes a frame to samples, pixel by pixel. Colours come as red, green and blue.
pub(super) fn decode(frame: &[u8], format: &Format) -> Result<Native, PictureError> {
    let codestream = checked(frame, format)?;
    match (codestream.marker, codestream.precision) {
        (0xC0..=0xC2, 8) => dct(frame, format),
        (0xC0 | 0xC1, 12) => {
            let bytes = fit(extended::decode(frame, format)?, 2, format)?;
            Ok(Native { bytes, photometric: whole(format) })
        }
        (0xC3, _) => lossless(frame, format, codestream),
        _ => Err(PictureError::Unsupported("there is no decoder for its process of JPEG")),
    }
}

fn dct(frame: &[u8], format: &Format) -> Result<Native, PictureError> {
    let failed = |error: zune_jpeg::errors::DecodeErrors| PictureError::Decode(error.to_string());
    let limits = DecoderOptions::new_safe()
        .set_max_width(format.shape.columns as usize)
        .set_max_height(format.shape.rows as usize)
        .set_use_unsafe(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(frame), limits);
    decoder.decode_headers().map_err(failed)?;
    let written = match (format.shape.samples, decoder.input_colorspace()) {
        (1, _) => ColorSpace::Luma,
        (_, Some(ColorSpace::YCbCr)) => ColorSpace::YCbCr,
        // Three samples that Adobe's header says are not transformed are taken for four until they are decoded.
        _ => ColorSpace::RGB,
    };
    decoder.set_options(limits.jpeg_set_out_colorspace(written));
    let decoded = decoder.decode().map_err(failed)?;
    let mut bytes = fit(decoded, 1, format)?;
    if format.shape.samples == 1 {
        return Ok(Native { bytes, photometric: format.photometric });
    }
    let says_ybr = !matches!(format.photometric, Photometric::Rgb) || names_ybr(frame);
    if written == ColorSpace::YCbCr && says_ybr {
        if format.shape.bits_allocated != 8 {
            return Err(PictureError::Unsupported("its colours have more than 8 bits"));
        }
        bytes.chunks_exact_mut(3).for_each(|pixel| {
            pixel.copy_from_slice(&rgb_of_ybr(pixel[0], pixel[1], pixel[2]));
        });
    }
    Ok(Native { bytes, photometric: Photometric::Rgb })
}

/// Whether the file itself says that its colours are YCbCr: by a JFIF header, or by Adobe's.
fn names_ybr(frame: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) =
        frame.get(at..at + 4).and_then(|four| four.first_chunk::<4>())
    {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = frame.get(at + 4..at + 2 + length.max(2)).unwrap_or_default();
        match marker {
            0xE0 if content.starts_with(b"JFIF\0") => return true,
            0xEE if content.starts_with(b"Adobe") => return content.get(11) == Some(&1),
            0xDA | 0xD9 => return false,
            _ => at += 2 + length.max(2),
        }
    }
    false
}

fn lossless(frame: &[u8], format: &Format, codestream: Codestream) -> Result<Native, PictureError> {
    let mut decoder = Decoder::new(frame);
    // Lossless colours are what they are (PS3.5 section 8.2.1, note): nothing is undone.
    decoder.set_color_transform(ColorTransform::None);
    let mut decoded = decoder.decode().map_err(|error| PictureError::Decode(error.to_string()))?;
    let bytes = if codestream.precision == 8 { 1 } else { 2 };
    if bytes == 2 && cfg!(target_endian = "big") {
        decoded.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    }
    if decoded.len() != format.samples() * bytes {
        return Err(PictureError::Mismatch("the compressed image does not hold what the header says"));
    }
    Ok(Native { bytes: fit(decoded, bytes, format)?, photometric: whole(format) })
}
