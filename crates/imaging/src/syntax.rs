//! Transfer syntaxes: how a data set is written, and what its frames are to the web. Not a codec.

use domain::uid::TransferSyntaxUid;

/// Implicit VR Little Endian.
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// Explicit VR Big Endian (retired).
pub const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// JPEG-LS Lossless Image Compression.
pub const JPEG_LS_LOSSLESS: &str = "1.2.840.10008.1.2.4.80";
/// RLE Lossless.
pub const RLE_LOSSLESS: &str = "1.2.840.10008.1.2.5";

/// Encapsulated Uncompressed Explicit VR Little Endian.
const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";
/// GE's private implicit syntax, whose pixels alone are big endian.
const GE_PRIVATE: &str = "1.2.840.113619.5.2";
/// Syntaxes of the DICOM standard begin so.
const STANDARD_ROOT: &str = "1.2.840.10008.1.2.";

/// How the elements of a data set are written (PS3.5 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Whether each element names its value representation.
    pub explicit: bool,
    /// Whether numbers stand with the highest byte first.
    pub big_endian: bool,
}

impl Encoding {
    /// Implicit VR Little Endian.
    pub const IMPLICIT_LITTLE: Self = Self { explicit: false, big_endian: false };
    /// Explicit VR Little Endian.
    pub const EXPLICIT_LITTLE: Self = Self { explicit: true, big_endian: false };
    /// Explicit VR Big Endian.
    pub const EXPLICIT_BIG: Self = Self { explicit: true, big_endian: true };

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// What is known of a transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// How elements are written, once inflated.
    pub encoding: Encoding,
    /// Whether the data set is deflated as a whole (PS3.5 section A.5).
    pub deflated: bool,
    /// Whether pixel data stand in fragments (PS3.5 section A.4).
    pub encapsulated: bool,
    /// Whether the syntax is one of the standard's, or a private one that we know.
    pub known: bool,
}

impl Syntax {
    /// What is known of a transfer syntax. An unknown one is taken for explicit little endian, which every syntax since 1993 is.
    #[must_use]
    pub fn of(uid: &TransferSyntaxUid) -> Self {
        let native = |encoding| Self { encoding, deflated: false, encapsulated: false, known: true };
        match uid.as_str() {
            IMPLICIT_LITTLE | GE_PRIVATE => native(Encoding::IMPLICIT_LITTLE),
            EXPLICIT_LITTLE => native(Encoding::EXPLICIT_LITTLE),
            EXPLICIT_BIG => native(Encoding::EXPLICIT_BIG),
            DEFLATED => Self { deflated: true, ..native(Encoding::EXPLICIT_LITTLE) },
            // JPIP Referenced Deflate and JPIP HTJ2K Referenced Deflate: no pixels inside, deflated all the same.
            "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => {
                Self { deflated: true, ..native(Encoding::EXPLICIT_LITTLE) }
            }
            "1.2.840.10008.1.2.4.94" | "1.2.840.10008.1.2.4.204" => native(Encoding::EXPLICIT_LITTLE),
            other => Self {
                encapsulated: true,
                known: other.starts_with(STANDARD_ROOT),
                ..native(Encoding::EXPLICIT_LITTLE)
            },
        }
    }
}

/// The media type of one frame as stored, without its `transfer-syntax` parameter (PS3.18 section 8.7.3.3, table 8.7.3-4 and
/// following). Native pixels and what has no type of its own are `application/octet-stream`.
#[must_use]
pub fn frame_media_type(uid: &TransferSyntaxUid) -> &'static str {
    let Some(rest) = uid.as_str().strip_prefix(STANDARD_ROOT) else { return "application/octet-stream" };
    match rest {
        "4.50" | "4.51" | "4.57" | "4.70" => "image/jpeg",
        "4.80" | "4.81" => "image/jls",
        "4.90" | "4.91" => "image/jp2",
        "4.92" | "4.93" => "image/jpx",
        "4.201" | "4.202" | "4.203" => "image/jphc",
        "4.110" | "4.111" | "4.112" => "image/jxl",
        "4.100" | "4.100.1" | "4.101" | "4.101.1" => "video/mpeg",
        "4.102" | "4.102.1" | "4.103" | "4.103.1" | "4.104" | "4.104.1" | "4.105" | "4.105.1" | "4.106"
        | "4.106.1" | "4.107" | "4.108" => "video/mp4",
        "5" => "image/dicom-rle",
        _ => "application/octet-stream",
    }
}

/// How native samples are written: as the rest of the data set, but for GE's private syntax.
#[must_use]
pub fn pixel_encoding(uid: &TransferSyntaxUid) -> Encoding {
    let encoding = Syntax::of(uid).encoding;
    Encoding { big_endian: encoding.big_endian || uid.as_str() == GE_PRIVATE, ..encoding }
}

/// Whether the pixels of a transfer syntax are a film, whose frames cannot be cut apart without decoding.
#[must_use]
pub fn is_video(uid: &TransferSyntaxUid) -> bool {
    frame_media_type(uid).starts_with("video/")
}

/// Whether frames are the plain samples (perhaps after inflating, perhaps wrapped in fragments).
#[must_use]
pub fn is_uncompressed(uid: &TransferSyntaxUid) -> bool {
    !Syntax::of(uid).encapsulated || uid.as_str() == ENCAPSULATED_UNCOMPRESSED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntaxes_are_told_apart() {
        let of = |text: &str| Syntax::of(&TransferSyntaxUid::parse(text).unwrap());
        assert_eq!(of("1.2.840.10008.1.2").encoding, Encoding::IMPLICIT_LITTLE);
        assert_eq!(of("1.2.840.10008.1.2.2").encoding, Encoding::EXPLICIT_BIG);
        assert!(of("1.2.840.10008.1.2.1.99").deflated);
        assert!(of("1.2.840.10008.1.2.4.80").encapsulated && of("1.2.840.10008.1.2.4.80").known);
        assert!(!of("1.3.6.1.4.1.99999.1").known);
    }

    #[test]
    fn frames_have_media_types() {
        for (uid, media, video) in [
            ("1.2.840.10008.1.2.1", "application/octet-stream", false),
            ("1.2.840.10008.1.2.4.70", "image/jpeg", false),
            ("1.2.840.10008.1.2.4.80", "image/jls", false),
            ("1.2.840.10008.1.2.4.91", "image/jp2", false),
            ("1.2.840.10008.1.2.4.201", "image/jphc", false),
            ("1.2.840.10008.1.2.5", "image/dicom-rle", false),
            ("1.2.840.10008.1.2.4.102", "video/mp4", true),
            ("1.2.3", "application/octet-stream", false),
        ] {
            let uid = TransferSyntaxUid::parse(uid).unwrap();
            assert_eq!((frame_media_type(&uid), is_video(&uid)), (media, video), "{uid}");
        }
    }
}
