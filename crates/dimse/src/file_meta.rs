//! The head of a Part 10 file: made by us for what we store, found and read in what we are given.
//! Not a data set parser, and it does not guess: a head that is not there is reported as absent.

use crate::text;

/// Our Implementation Class UID (PS3.7 section D.3.3.2), under the arc for UUIDs (PS3.5 section B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.299605861170085029770571863353683607988";

/// Our Implementation Version Name (PS3.7 section D.3.3.2): at most 16 characters.
pub const IMPLEMENTATION_VERSION_NAME: &str = "TELERAD_0_1";

/// Longest file meta information that is read, in bytes: real ones stay under 1 KiB, private information included
/// (0002,0102) may be larger.
pub const MAX_FILE_META: usize = 1024 * 1024;

const PREAMBLE_LENGTH: usize = 128;
const MAGIC: &[u8; 4] = b"DICM";

/// What the head of a file says about the data set after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileMeta {
    /// Media Storage SOP Class UID (0002,0002).
    pub sop_class_uid: String,
    /// Media Storage SOP Instance UID (0002,0003).
    pub sop_instance_uid: String,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: String,
}

impl FileMeta {
    /// The first bytes of a Part 10 file: 128 zero bytes, `DICM` and the file meta information group (PS3.10 section
    /// 7.1) without anything about where the instance came from, so that equal instances give equal files.
    ///
    /// # Errors
    /// A UID that is not well formed.
    pub fn to_prefix(&self) -> Result<Vec<u8>, FileMetaError> {
        for (uid, name) in [
            (&self.sop_class_uid, "media storage SOP class UID"),
            (&self.sop_instance_uid, "media storage SOP instance UID"),
            (&self.transfer_syntax_uid, "transfer syntax UID"),
        ] {
            if !text::is_uid(uid) {
                return Err(FileMetaError::Uid { name });
            }
        }
        Ok(prefix(Some(&self.sop_class_uid), Some(&self.sop_instance_uid), &self.transfer_syntax_uid))
    }
}

/// The first bytes of a file whose data set does not say which instance it is; so it is no DICOM file in the sense of the standard, but
/// readers find the data set. Arguments that are no UIDs are left out.
#[must_use]
pub fn partial_prefix(sop_class: Option<&str>, sop_instance: Option<&str>, transfer_syntax: &str) -> Vec<u8> {
    let of_uid = |uid: Option<&'_ str>| uid.filter(|uid| text::is_uid(uid)).map(str::to_owned);
    prefix(of_uid(sop_class).as_deref(), of_uid(sop_instance).as_deref(), transfer_syntax)
}

fn prefix(sop_class: Option<&str>, sop_instance: Option<&str>, transfer_syntax: &str) -> Vec<u8> {
    let mut group = Vec::with_capacity(256);
    group.extend_from_slice(&[0x02, 0x00, 0x01, 0x00, b'O', b'B', 0, 0, 2, 0, 0, 0, 0x00, 0x01]);
    for (element, uid) in [(0x0002, sop_class), (0x0003, sop_instance), (0x0010, Some(transfer_syntax))] {
        if let Some(uid) = uid {
            put(&mut group, element, *b"UI", uid, 0);
        }
    }
    put(&mut group, 0x0012, *b"UI", IMPLEMENTATION_CLASS_UID, 0);
    put(&mut group, 0x0013, *b"SH", IMPLEMENTATION_VERSION_NAME, b' ');

    let mut bytes = vec![0; PREAMBLE_LENGTH];
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0x02, 0x00, 0x00, 0x00, b'U', b'L', 4, 0]);
    bytes.extend_from_slice(&(group.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&group);
    bytes
}

fn put(group: &mut Vec<u8>, element: u16, vr: [u8; 2], value: &str, padding: u8) {
    let odd = value.len() % 2;
    group.extend_from_slice(&[0x02, 0x00]);
    group.extend_from_slice(&element.to_le_bytes());
    group.extend_from_slice(&vr);
    group.extend_from_slice(&((value.len() + odd) as u16).to_le_bytes());
    group.extend_from_slice(value.as_bytes());
    group.extend(std::iter::repeat_n(padding, odd));
}

/// A head that cannot be made or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum FileMetaError {
    /// A UID to be written is not well formed.
    #[error("{name} is not well formed")]
    Uid {
        /// Name of the attribute.
        name: &'static str,
    },
    /// File meta information longer than the limit.
    #[error("file meta information exceeds the limit of {limit} bytes")]
    TooLong {
        /// Limit in bytes.
        limit: usize,
    },
    /// The file ends inside its file meta information.
    #[error("file ends inside its file meta information, at byte {offset}")]
    Cut {
        /// Byte offset of the element.
        offset: usize,
    },
}

/// Where the data set of a file begins, and what stands before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part10Head {
    /// Whether 128 bytes of preamble and `DICM` were there.
    pub has_preamble: bool,
    /// Whether a file meta information group was there.
    pub has_file_meta: bool,
    /// Offset of the data set in bytes.
    pub data_set_offset: usize,
    /// Media Storage SOP Class UID (0002,0002), if it is there and well formed.
    pub sop_class_uid: Option<String>,
    /// Media Storage SOP Instance UID (0002,0003), if it is there and well formed.
    pub sop_instance_uid: Option<String>,
    /// Transfer Syntax UID (0002,0010), if it is there and well formed; else the caller has to look at the data set.
    pub transfer_syntax_uid: Option<String>,
}

impl Part10Head {
    /// All three identifiers, if all are there.
    #[must_use]
    pub fn file_meta(&self) -> Option<FileMeta> {
        Some(FileMeta {
            sop_class_uid: self.sop_class_uid.clone()?,
            sop_instance_uid: self.sop_instance_uid.clone()?,
            transfer_syntax_uid: self.transfer_syntax_uid.clone()?,
        })
    }
}

/// Outcome of looking for the head in the first bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// The bytes end too early: call again with at least this many.
    NeedMore {
        /// Bytes from the beginning of the file.
        at_least: usize,
    },
    /// The head was found, or found to be absent.
    Found(Part10Head),
}

/// Finds where the data set begins. Tolerates a missing preamble (with or without `DICM`), missing file meta
/// information, a wrong or missing group length, and file meta information in implicit VR. The group is walked to its
/// real end; its declared length is not believed.
///
/// `bytes` is the beginning of the file; `is_whole` says that nothing comes after it.
///
/// # Errors
/// File meta information beyond [`MAX_FILE_META`], or one that the end of the file cuts.
pub fn split_part10(bytes: &[u8], is_whole: bool) -> Result<Split, FileMetaError> {
    let with_preamble = PREAMBLE_LENGTH + MAGIC.len();
    if bytes.len() < with_preamble && !is_whole {
        return Ok(Split::NeedMore { at_least: with_preamble });
    }
    let mut head = Part10Head::default();
    if bytes.get(PREAMBLE_LENGTH..with_preamble) == Some(MAGIC) {
        head.has_preamble = true;
        head.data_set_offset = with_preamble;
    } else if bytes.starts_with(MAGIC) {
        head.data_set_offset = MAGIC.len();
    }
    loop {
        let at = head.data_set_offset;
        if at > MAX_FILE_META {
            return Err(FileMetaError::TooLong { limit: MAX_FILE_META });
        }
        let rest = &bytes[at..];
        if rest.is_empty() && is_whole {
            return Ok(Split::Found(head));
        }
        if rest.len() < 2 && !is_whole {
            return Ok(Split::NeedMore { at_least: at + 12 });
        }
        if !rest.starts_with(&[0x02, 0x00]) {
            return Ok(Split::Found(head));
        }
        let Some((element, value, length)) = element_header(rest) else {
            return cut_or_more(at, at + 12, is_whole);
        };
        let end = at.saturating_add(value).saturating_add(length);
        if end > MAX_FILE_META {
            return Err(FileMetaError::TooLong { limit: MAX_FILE_META });
        }
        let Some(value) = bytes.get(at + value..end) else {
            return cut_or_more(at, end, is_whole);
        };
        head.has_file_meta = true;
        head.data_set_offset = end;
        let uid = || Some(text::from_bytes(value)).filter(|uid| text::is_uid(uid));
        match element {
            0x0002 => head.sop_class_uid = uid(),
            0x0003 => head.sop_instance_uid = uid(),
            0x0010 => head.transfer_syntax_uid = uid(),
            _ => {}
        }
    }
}

fn cut_or_more(offset: usize, at_least: usize, is_whole: bool) -> Result<Split, FileMetaError> {
    if is_whole { Err(FileMetaError::Cut { offset }) } else { Ok(Split::NeedMore { at_least }) }
}

/// Element number, length of the header and length of the value, from the beginning of an element of group 0002.
fn element_header(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let [_, _, e0, e1, a, b, c, d] = *bytes.first_chunk::<8>()?;
    let element = u16::from_le_bytes([e0, e1]);
    if !(a.is_ascii_uppercase() && b.is_ascii_uppercase()) {
        return Some((element, 8, u32::from_le_bytes([a, b, c, d]) as usize));
    }
    if matches!(&[a, b], b"OB" | b"OW" | b"OF" | b"SQ" | b"UN" | b"UT" | b"UC" | b"UR") {
        let length = bytes.get(8..12)?.first_chunk::<4>()?;
        return Some((element, 12, u32::from_le_bytes(*length) as usize));
    }
    Some((element, 8, u16::from_le_bytes([c, d]).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta() -> FileMeta {
        FileMeta {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: "1.2.3.45".to_owned(),
            transfer_syntax_uid: "1.2.840.10008.1.2.4.80".to_owned(),
        }
    }

    #[test]
    fn constants_are_well_formed() {
        assert!(text::is_uid(IMPLEMENTATION_CLASS_UID));
        let uuid: u128 = IMPLEMENTATION_CLASS_UID.strip_prefix("2.25.").unwrap().parse().unwrap();
        assert_eq!(uuid >> 76 & 0xf, 4, "a version 4 UUID");
        assert_eq!(uuid >> 62 & 0b11, 0b10, "of the RFC 9562 variant");
        assert!(IMPLEMENTATION_VERSION_NAME.len() <= 16);
    }

    #[test]
    fn dicom_object_reads_our_prefix() {
        let mut bytes = meta().to_prefix().unwrap();
        assert_eq!(bytes, meta().to_prefix().unwrap());
        assert_eq!(bytes.len() % 2, 0);
        bytes.extend_from_slice(&[0x10, 0, 0x20, 0, b'L', b'O', 2, 0, b'X', b' ']);
        let read = dicom_object::from_reader(bytes.as_slice()).unwrap();
        let table = read.meta();
        assert_eq!(table.media_storage_sop_class_uid(), "1.2.840.10008.5.1.4.1.1.2");
        assert_eq!(table.media_storage_sop_instance_uid(), "1.2.3.45");
        assert_eq!(table.transfer_syntax(), "1.2.840.10008.1.2.4.80");
        assert_eq!(table.implementation_class_uid(), IMPLEMENTATION_CLASS_UID);
        assert_eq!(
            table.implementation_version_name.as_deref().map(str::trim),
            Some(IMPLEMENTATION_VERSION_NAME)
        );
        assert_eq!(table.source_application_entity_title, None);
        assert_eq!(table.information_version, [0, 1]);
        assert_eq!(table.information_group_length as usize, bytes.len() - 10 - 144);
    }

    #[test]
    fn malformed_uids_are_refused() {
        let bad = FileMeta { sop_instance_uid: "../1".to_owned(), ..meta() };
        assert_eq!(
            bad.to_prefix().unwrap_err(),
            FileMetaError::Uid { name: "media storage SOP instance UID" }
        );
    }

    #[test]
    fn our_prefix_is_split_at_every_length() {
        let prefix = meta().to_prefix().unwrap();
        let mut file = prefix.clone();
        file.extend_from_slice(&[0x08, 0, 5, 0, b'C', b'S', 0, 0]);
        for length in 0..=file.len() {
            match split_part10(&file[..length], false).unwrap() {
                Split::NeedMore { at_least } => {
                    assert!(length < prefix.len() + 2, "{length}");
                    assert!(at_least > length, "{at_least} {length}");
                }
                Split::Found(head) => {
                    assert!(length >= prefix.len() + 2, "{length}");
                    assert_eq!(head.data_set_offset, prefix.len());
                    assert_eq!(head.file_meta(), Some(meta()));
                    assert!(head.has_preamble && head.has_file_meta);
                }
            }
        }
        assert!(
            matches!(split_part10(&prefix, true), Ok(Split::Found(head)) if head.data_set_offset == prefix.len())
        );
    }

    #[test]
    fn what_is_missing_is_reported() {
        let prefix = meta().to_prefix().unwrap();
        let no_magic = split_part10(&prefix[132..], true).unwrap();
        let Split::Found(head) = no_magic else { panic!("{no_magic:?}") };
        assert!(!head.has_preamble && head.has_file_meta);
        assert_eq!(head.file_meta(), Some(meta()));

        let Split::Found(head) = split_part10(&prefix[128..], true).unwrap() else { panic!() };
        assert!(!head.has_preamble && head.has_file_meta);
        assert_eq!(head.data_set_offset, prefix.len() - 128);

        let data_set = [[0x08, 0, 5, 0, b'C', b'S', 0, 0]; 40].concat();
        let Split::Found(head) = split_part10(&data_set, true).unwrap() else { panic!() };
        assert_eq!(head, Part10Head::default());

        let only_preamble = [&prefix[..132], &data_set].concat();
        let Split::Found(head) = split_part10(&only_preamble, false).unwrap() else { panic!() };
        assert_eq!(head, Part10Head { has_preamble: true, data_set_offset: 132, ..Part10Head::default() });
        assert_eq!(head.file_meta(), None);
    }

    #[test]
    fn wrong_group_length_is_not_believed() {
        for lie in [0_u32, 4, u32::MAX] {
            let mut file = meta().to_prefix().unwrap();
            file[140..144].copy_from_slice(&lie.to_le_bytes());
            let length = file.len();
            file.extend_from_slice(&[0x08, 0, 5, 0]);
            let Split::Found(head) = split_part10(&file, true).unwrap() else { panic!() };
            assert_eq!((head.data_set_offset, head.file_meta()), (length, Some(meta())));
        }
    }

    #[test]
    fn lying_element_length_is_bounded() {
        let mut file = meta().to_prefix().unwrap();
        file.extend_from_slice(&[0x02, 0, 0x02, 0x01, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(split_part10(&file, false), Err(FileMetaError::TooLong { limit: MAX_FILE_META }));
        let at = file.len() - 12;
        file[at + 8..at + 12].copy_from_slice(&100_u32.to_le_bytes());
        assert_eq!(split_part10(&file, true), Err(FileMetaError::Cut { offset: at }));
        assert_eq!(split_part10(&file, false), Ok(Split::NeedMore { at_least: at + 112 }));
    }

    proptest! {
        #[test]
        fn any_bytes_split_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), is_whole: bool) {
            if let Ok(Split::Found(head)) = split_part10(&bytes, is_whole) {
                prop_assert!(head.data_set_offset <= bytes.len());
            }
        }

        #[test]
        fn any_change_splits_without_panic(at in 0..400_usize, byte: u8) {
            let mut bytes = meta().to_prefix().unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            if let Ok(Split::Found(head)) = split_part10(&bytes, true) {
                prop_assert!(head.data_set_offset <= bytes.len());
            }
        }
    }
}
