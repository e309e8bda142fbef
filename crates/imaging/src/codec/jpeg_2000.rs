//! JPEG 2000 and HTJ2K (ISO/IEC 15444-1 and -15, PS3.5 section 8.2.4 and 8.2.14), by openjp2, which is OpenJPEG in Rust. In only: there
//! is no
//! encoder whose files others read (decision 17).

use jpeg2k::{DecodeParameters, Image};

use super::checked;
use crate::{format::Format, picture::PictureError};

/// Decodes a frame to samples, pixel by pixel. The colour transform of the codestream is undone.
pub(super) fn decode(frame: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    // Some writers put the codestream into a JP2 file (PS3.5 section A.4.4 has it stand alone).
    let frame = codestream_of(frame);
    checked(frame, format)?;
    let parameters = DecodeParameters::new().ignore_pclr_cmap_cdef();
    let image =
        Image::from_bytes_with(frame, parameters).map_err(|error| PictureError::Decode(error.to_string()))?;
    let (pixels, samples, size) = (format.pixels(), format.shape.samples as usize, format.sample_bytes());
    let components = image.components();
    let fits = |component: &jpeg2k::ImageComponent| {
        component.data().len() == pixels && component.precision() <= format.shape.bits_allocated
    };
    if components.len() != samples || !components.iter().all(fits) || !matches!(size, 1 | 2 | 4) {
        return Err(PictureError::Mismatch("the compressed image does not hold what the header says"));
    }
    let mut out = vec![0; format.samples() * size];
    for (sample, component) in components.iter().enumerate() {
        // A signed sample whose codestream does not say so: its sign stands in its highest bit.
        let spare = 32 - component.precision();
        let spread = format.signed && !component.is_signed() && spare > 0 && spare < 32;
        for (pixel, value) in out.chunks_exact_mut(size * samples).zip(component.data()) {
            let value = if spread { (*value << spare) >> spare } else { *value };
            if let Some(place) = pixel.get_mut(sample * size..(sample + 1) * size) {
                place.copy_from_slice(&value.to_le_bytes()[..size]);
            }
        }
    }
    Ok(out)
}

/// The codestream of a JP2 file, or what was given.
fn codestream_of(frame: &[u8]) -> &[u8] {
    if !frame.starts_with(&[0, 0, 0, 12, b'j', b'P', b' ', b' ']) {
        return frame;
    }
    let start = frame.windows(4).position(|four| four == [0xFF, 0x4F, 0xFF, 0x51]);
    start.and_then(|start| frame.get(start..)).unwrap_or(frame)
}
