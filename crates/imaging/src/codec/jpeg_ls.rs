//! JPEG-LS (ISO/IEC 14495-1, PS3.5 section 8.2.3), by CharLS: lossless and near-lossless in, through dicom-pixeldata, and lossless out.

use charls::{CharLS, FrameInfo, InterleaveMode};
use dicom_core::{
    DataElement, PrimitiveValue, Tag, VR,
    value::{PixelFragmentSequence, Value},
};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::PixelDecoder as _;

use super::{checked, fit, pixel_by_pixel};
use crate::{format::Format, picture::PictureError, syntax::JPEG_LS_LOSSLESS, walk::PIXEL_DATA};

/// Decodes a frame to samples, pixel by pixel.
pub(super) fn decode(frame: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    let codestream = checked(frame, format)?;
    let decoded = decompressed(frame, codestream.precision, format)?;
    let bytes = if codestream.precision <= 8 { 1 } else { 2 };
    if decoded.len() != format.samples() * bytes {
        return Err(PictureError::Mismatch("the compressed image does not hold what the header says"));
    }
    let fitted = fit(decoded, bytes, format)?;
    let by_plane = format.shape.samples == 3 && interleave_mode(frame) == Some(0);
    Ok(if by_plane { pixel_by_pixel(&fitted, format) } else { fitted })
}

/// The samples of a codestream, in the order that it has them: an object of this one frame is made for dicom-pixeldata, which says nothing
/// of colours, since those are made of the samples later.
fn decompressed(frame: &[u8], precision: u8, format: &Format) -> Result<Vec<u8>, PictureError> {
    let short = |number: u32| u16::try_from(number).map_err(|_| PictureError::TooLarge);
    let (samples, bits) = (short(format.shape.samples)?, if precision <= 8 { 8 } else { 16 });
    let mut object = InMemDicomObject::new_empty();
    for (element, value) in [
        (0x0002, samples),
        (0x0006, 0),
        (0x0010, short(format.shape.rows)?),
        (0x0011, short(format.shape.columns)?),
        (0x0100, bits),
        (0x0101, bits),
        (0x0102, bits - 1),
        (0x0103, 0),
    ] {
        object.put(DataElement::new(Tag(0x0028, element), VR::US, PrimitiveValue::from(value)));
    }
    let colours = if samples == 1 { "MONOCHROME2" } else { "RGB" };
    object.put(DataElement::new(Tag(0x0028, 0x0004), VR::CS, PrimitiveValue::from(colours)));
    object.put(DataElement::new(Tag(0x0028, 0x0008), VR::IS, PrimitiveValue::from("1")));
    let fragments = PixelFragmentSequence::new_fragments(vec![frame.to_vec()]);
    object.put(DataElement::new(PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(JPEG_LS_LOSSLESS)
        .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.7")
        .media_storage_sop_instance_uid("2.25.1")
        .build()
        .map_err(|error| PictureError::Decode(error.to_string()))?;
    let decoded =
        object.with_exact_meta(meta).decode_pixel_data_frame(0).map(|decoded| decoded.data().to_vec());
    decoded.map_err(|error| PictureError::Decode(error.to_string()))
}

/// The interleave mode of the first scan (ISO/IEC 14495-1 section C.2.3): 0 by plane, 1 by line, 2 by sample.
fn interleave_mode(frame: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        let [0xFF, marker] = *frame.get(at..at + 2)? else { return None };
        if marker == 0xDA {
            let components = usize::from(*frame.get(at + 4)?);
            return frame.get(at + 6 + 2 * components).copied();
        }
        let length = frame.get(at + 2..at + 4)?;
        at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
    }
}

/// Encodes a frame of plain samples, pixel by pixel, without loss.
pub(super) fn encode(native: &[u8], format: &Format) -> Result<Vec<u8>, PictureError> {
    let bits = if stored_bits_are_all(native, format) { format.stored } else { format.shape.bits_allocated };
    let frame = FrameInfo {
        width: format.shape.columns,
        height: format.shape.rows,
        // CharLS takes two bits and more.
        bits_per_sample: bits.max(2) as i32,
        component_count: format.shape.samples as i32,
    };
    let mut codec = CharLS::default();
    let failed = |error: charls::Error| PictureError::Decode(error.to_string());
    if format.shape.samples == 3 {
        codec.set_interleave_mode(InterleaveMode::Sample).map_err(failed)?;
    }
    let mut encoded = codec.encode(frame, 0, native).map_err(failed)?;
    if encoded.len() % 2 == 1 {
        encoded.push(0);
    }
    Ok(encoded)
}

/// Whether all that a sample holds is in its stored bits. Signed samples keep all bits: who decodes them to words finds their sign there.
fn stored_bits_are_all(native: &[u8], format: &Format) -> bool {
    let spare = format.shape.bits_allocated - format.stored;
    if format.signed || format.high_bit + 1 != format.stored {
        return false;
    }
    match format.shape.bits_allocated {
        8 => native.iter().all(|byte| (u32::from(*byte) << spare) <= 0xFF),
        _ => native
            .chunks_exact(2)
            .all(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])) << spare <= 0xFFFF),
    }
}
