//! The header of a stored object, from as many of its first bytes as the catalog says hold it
//! ([`domain::image::InstanceAttributes::header_bytes`]). Not for bytes from outside, which [`crate::guard`] takes as they come;
//! the guard stands here too, since storage may have been written by others.

use dicom_core::Tag;
use domain::uid::TransferSyntaxUid;

use crate::{
    guard::{GuardedHeader, HeaderEnd, Refusal},
    sniff::{self, Sniffed},
};

/// Most bytes of one header, for those who read it: file meta and what the guard lets be a header.
pub const HEADER_BYTES_MAX: u64 = 17 << 20;
/// Rows: an image that has a header without pixels has its pixels behind it.
const ROWS: Tag = Tag(0x0028, 0x0010);

/// The header of a stored object.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHeader {
    /// How the data set is written.
    pub transfer_syntax: TransferSyntaxUid,
    /// Bytes before the data set: preamble and file meta.
    pub meta_bytes: u64,
    /// The header. Its `end` says whether pixels follow.
    pub header: GuardedHeader,
}

/// Why a stored object has no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is no DICOM file, or its beginning is too short.
    #[error("the object is no DICOM file: {0}")]
    NotDicom(&'static str),
    /// The guard refuses it.
    #[error("the header was refused")]
    Refused(#[from] Refusal),
}

/// Reads the header from the first bytes of an object of a size. A deflated object must be given whole.
///
/// # Errors
/// See [`StoredError`].
pub fn header(first: &[u8], object_bytes: u64) -> Result<StoredHeader, StoredError> {
    let place = match sniff::part10(first, true) {
        Sniffed::DataSet(place) => place,
        Sniffed::More => return Err(StoredError::NotDicom("it is too short")),
        Sniffed::NotDicom(why) => return Err(StoredError::NotDicom(why)),
    };
    let mut header = GuardedHeader::of(&first[place.at..], &place.transfer_syntax)?;
    if header.end == HeaderEnd::DataSet && (first.len() as u64) < object_bytes {
        let is_image = header.spans.iter().any(|span| span.tag == ROWS);
        header.end = if is_image { HeaderEnd::Pixels } else { HeaderEnd::Large };
    }
    Ok(StoredHeader { transfer_syntax: place.transfer_syntax, meta_bytes: place.at as u64, header })
}

impl StoredHeader {
    /// Where the header ends in the stored object, for [`crate::frames`].
    #[must_use]
    pub const fn header_end(&self) -> u64 {
        self.meta_bytes + self.header.ends_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_knows_what_follows_it() {
        let data_set = b"\x28\0\x10\0US\x02\0\0\x02";
        let meta = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0";
        let file = [&[0; 128][..], b"DICM", meta, data_set, b"\xE0\x7F\x10\0OW\0\0\x04\0\0\0abcd"].concat();
        let header_bytes = file.len() - 16;
        let cut = header(&file[..header_bytes], file.len() as u64).unwrap();
        let mut followed = header(&file, file.len() as u64).unwrap();
        assert_eq!(std::mem::take(&mut followed.header.after), file[header_bytes..]);
        assert_eq!(cut, followed);
        assert_eq!((cut.header.end, cut.header_end()), (HeaderEnd::Pixels, header_bytes as u64));
        let whole = header(&file[..header_bytes], header_bytes as u64).unwrap();
        assert_eq!(whole.header.end, HeaderEnd::DataSet);
        assert!(matches!(header(b"PK", 2), Err(StoredError::NotDicom(_))));
    }
}
