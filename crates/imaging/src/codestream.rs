//! Frames that came as bulk data (PS3.18 section 8.7.3.3): which transfer syntax a media type and the first bytes of a frame make. Decodes
//! nothing.

use crate::syntax::{EXPLICIT_LITTLE, IMPLICIT_LITTLE, frame_media_type, is_uncompressed, is_video};
use domain::uid::TransferSyntaxUid;

/// Most bytes of a frame that are looked at: a JPEG may have a profile before its frame header.
pub const LOOKED_AT_BYTES_MAX: usize = 64 << 10;

/// How pixels that came as bulk data are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// As one plain value, explicit VR little endian.
    Native,
    /// Each part is a frame, in a fragment of its own.
    Frames(TransferSyntaxUid),
    /// The one part is the whole film.
    Film(TransferSyntaxUid),
}

impl Pixels {
    /// The transfer syntax of the object.
    #[must_use]
    pub fn transfer_syntax(&self) -> TransferSyntaxUid {
        match self {
            Self::Native => TransferSyntaxUid::parse(EXPLICIT_LITTLE).expect("a constant UID"),
            Self::Frames(syntax) | Self::Film(syntax) => syntax.clone(),
        }
    }
}

/// What the pixels of a part are: by its media type, its `transfer-syntax` where it has one, and its first bytes.
///
/// # Errors
/// When the media type is not one of table 8.7.3-5, does not go with the transfer syntax, or the bytes are something else.
pub fn pixels(
    media_type: &str,
    transfer_syntax: Option<&str>,
    beginning: &[u8],
) -> Result<Pixels, &'static str> {
    let given = transfer_syntax.map(TransferSyntaxUid::parse).transpose();
    let given = given.map_err(|_| "its transfer-syntax is no UID")?;
    let syntax = match (given, media_type) {
        (None, "application/octet-stream") => return native(beginning),
        (Some(uid), "application/octet-stream")
            if [EXPLICIT_LITTLE, IMPLICIT_LITTLE].contains(&uid.as_str()) =>
        {
            return native(beginning);
        }
        (Some(uid), "application/octet-stream") if is_uncompressed(&uid) && !is_in_fragments(&uid) => {
            return Err("uncompressed pixels are taken in little endian and as they are alone");
        }
        (Some(uid), "application/octet-stream") => uid,
        (Some(uid), media_type) if frame_media_type(&uid) == media_type => uid,
        (Some(_), _) => return Err("its transfer-syntax is not one of its media type"),
        (None, media_type) => {
            let uid = default_of(media_type, beginning).ok_or("pixels are not taken in its media type")?;
            TransferSyntaxUid::parse(uid).expect("a constant UID")
        }
    };
    if !is_in_fragments(&syntax) {
        return Err("pixels are not taken in its transfer syntax");
    }
    if !begins_as(&syntax, beginning) {
        return Err("its bytes are not what its media type and transfer syntax say");
    }
    Ok(if is_video(&syntax) { Pixels::Film(syntax) } else { Pixels::Frames(syntax) })
}

fn native(beginning: &[u8]) -> Result<Pixels, &'static str> {
    if beginning.starts_with(&[0xFE, 0xFF, 0x00, 0xE0]) {
        return Err("it holds fragments; send each frame as a part of its own, with its media type");
    }
    Ok(Pixels::Native)
}

/// Whether pixels of a transfer syntax stand in fragments: the standard's that are encapsulated. Private ones are nobody's to make.
fn is_in_fragments(uid: &TransferSyntaxUid) -> bool {
    let syntax = crate::syntax::Syntax::of(uid);
    syntax.encapsulated && syntax.known && !syntax.deflated
}

/// The transfer syntax of a media type that comes without one: what the frame shows, else the default of table 8.7.3-5.
fn default_of(media_type: &str, beginning: &[u8]) -> Option<&'static str> {
    Some(match media_type {
        "image/jpeg" => match jpeg_process(beginning)? {
            0xC0 => "1.2.840.10008.1.2.4.50",
            0xC1 => "1.2.840.10008.1.2.4.51",
            0xC3 => "1.2.840.10008.1.2.4.70",
            _ => return None,
        },
        "image/jls" => "1.2.840.10008.1.2.4.80",
        "image/jp2" => "1.2.840.10008.1.2.4.90",
        "image/jpx" => "1.2.840.10008.1.2.4.92",
        "image/jphc" => "1.2.840.10008.1.2.4.201",
        "image/jxl" => "1.2.840.10008.1.2.4.110",
        "image/dicom-rle" => "1.2.840.10008.1.2.5",
        "video/mpeg" => "1.2.840.10008.1.2.4.100",
        "video/mp4" => "1.2.840.10008.1.2.4.102",
        _ => return None,
    })
}

/// Whether a frame begins as those of its transfer syntax do. What has no mark of its own is believed.
fn begins_as(uid: &TransferSyntaxUid, beginning: &[u8]) -> bool {
    let process = || jpeg_process(beginning);
    match uid.as_str() {
        "1.2.840.10008.1.2.4.50" => process() == Some(0xC0),
        // A scanner may call baseline what it calls extended.
        "1.2.840.10008.1.2.4.51" => matches!(process(), Some(0xC0 | 0xC1)),
        "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => process() == Some(0xC3),
        "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => process() == Some(0xF7),
        _ => match frame_media_type(uid) {
            // The codestream alone, without the boxes of a JP2 file (PS3.5 section A.4.4).
            "image/jp2" | "image/jpx" | "image/jphc" => beginning.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]),
            "image/dicom-rle" => beginning.len() >= 64,
            _ => true,
        },
    }
}

/// The marker of a JPEG's frame header (ISO/IEC 10918-1 section B.2.2; SOF55 of JPEG-LS).
fn jpeg_process(bytes: &[u8]) -> Option<u8> {
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        let [0xFF, marker, ..] = *rest else { return None };
        match marker {
            0xFF => rest = &rest[1..],
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => return Some(marker),
            0x01 | 0xD0..=0xD9 => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
                rest = rest.get(2 + length..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_and_bytes_make_a_transfer_syntax() {
        let jpeg = |sof: u8| [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xFF, sof, 0, 11];
        let jp2 = [0xFF, 0x4F, 0xFF, 0x51, 0, 1];
        let octets = "application/octet-stream";
        let (lossless, baseline) = ("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50");
        for (media_type, syntax, bytes, expected) in [
            (octets, None, &[1, 2][..], Some("1.2.840.10008.1.2.1")),
            (octets, Some("1.2.840.10008.1.2"), &[1, 2], Some("1.2.840.10008.1.2.1")),
            (octets, Some("1.2.840.10008.1.2.2"), &[1, 2], None),
            (octets, Some("1.2.840.10008.1.2.1.99"), &[1, 2], None),
            (octets, Some("1.2.3.4"), &[1, 2], None),
            (octets, Some("nonsense"), &[1, 2], None),
            (octets, None, &[0xFE, 0xFF, 0, 0xE0], None),
            (octets, Some(lossless), &jpeg(0xC3), Some(lossless)),
            ("image/jpeg", None, &jpeg(0xC0), Some(baseline)),
            ("image/jpeg", None, &jpeg(0xC3), Some(lossless)),
            ("image/jpeg", Some(lossless), &jpeg(0xC3), Some(lossless)),
            ("image/jpeg", Some(lossless), &jpeg(0xC0), None),
            ("image/jpeg", Some("1.2.840.10008.1.2.4.80"), &jpeg(0xF7), None),
            ("image/jpeg", None, &[0xFF, 0xD8, 0xFF], None),
            ("image/jls", None, &jpeg(0xF7), Some("1.2.840.10008.1.2.4.80")),
            ("image/jp2", Some("1.2.840.10008.1.2.4.91"), &jp2, Some("1.2.840.10008.1.2.4.91")),
            ("image/jp2", None, b"\0\0\0\x0CjP  \r\n\x87\n", None),
            ("image/png", None, b"\x89PNG", None),
            ("text/html", None, b"<html>", None),
        ] {
            let found =
                pixels(media_type, syntax, bytes).ok().map(|pixels| pixels.transfer_syntax().to_string());
            assert_eq!(found.as_deref(), expected, "{media_type} {syntax:?}");
        }
    }
}
