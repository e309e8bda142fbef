//! Where the data set begins in a file from outside, and in which transfer syntax: a Part 10 file (PS3.10 section 7.1), one that lost its
//! preamble, or a bare data set as old devices write it. Not for data sets from an association, whose syntax was negotiated.

use dicom_core::{Tag, VR};
use domain::uid::TransferSyntaxUid;

use crate::{
    syntax::{EXPLICIT_BIG, EXPLICIT_LITTLE, Encoding, IMPLICIT_LITTLE},
    walk::implicit_vr,
};

/// Most bytes of a file that are looked at: preamble and file meta.
pub const PREFIX_BYTES_MAX: usize = 64 << 10;
/// The preamble (PS3.10 section 7.1).
const PREAMBLE_BYTES: usize = 128;
const MAGIC: &[u8] = b"DICM";
/// The first element of a bare data set is small: character set, image type, an identifier.
const FIRST_VALUE_BYTES_MAX: u32 = 1024;

/// Where a data set begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it: preamble and file meta, or none.
    pub at: usize,
    /// How it is written.
    pub transfer_syntax: TransferSyntaxUid,
    /// Whether the file meta said so; else it was guessed from the first element.
    pub declared: bool,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sniffed {
    /// DICOM.
    DataSet(Place),
    /// More bytes are needed.
    More,
    /// Something else.
    NotDicom(&'static str),
}

/// Looks at the first bytes of a file. `whole` says that there are no more.
#[must_use]
pub fn part10(prefix: &[u8], whole: bool) -> Sniffed {
    let over = whole || prefix.len() >= PREFIX_BYTES_MAX;
    if prefix.len() < PREAMBLE_BYTES + MAGIC.len() && !whole {
        return Sniffed::More;
    }
    if prefix.get(PREAMBLE_BYTES..).is_some_and(|rest| rest.starts_with(MAGIC)) {
        return file_meta(prefix, PREAMBLE_BYTES + MAGIC.len(), over);
    }
    if prefix.starts_with(MAGIC) {
        return file_meta(prefix, MAGIC.len(), over);
    }
    if prefix.starts_with(&[2, 0]) {
        return file_meta(prefix, 0, over);
    }
    match bare(prefix) {
        Some(uid) => place(0, uid, false),
        None => Sniffed::NotDicom("it is neither a DICOM file nor a bare data set"),
    }
}

fn place(at: usize, uid: &str, declared: bool) -> Sniffed {
    match TransferSyntaxUid::parse(uid) {
        Ok(transfer_syntax) => Sniffed::DataSet(Place { at, transfer_syntax, declared }),
        Err(_) => Sniffed::NotDicom("its transfer syntax is no UID"),
    }
}

/// Walks the file meta, which is explicit little endian whatever follows. Its length element is not trusted: some writers are wrong.
fn file_meta(prefix: &[u8], mut at: usize, over: bool) -> Sniffed {
    let more = || if over { Sniffed::NotDicom("its file meta does not end") } else { Sniffed::More };
    let mut transfer_syntax = None;
    loop {
        let Some(rest) = prefix.get(at..).filter(|rest| rest.len() >= 8) else {
            // A file may end with its meta: an empty data set, to be refused for its missing identifiers.
            match transfer_syntax {
                Some(uid) if over && at == prefix.len() => return place(at, uid, true),
                _ => return more(),
            }
        };
        let Some(group) = rest.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes)) else {
            return more();
        };
        if group != 0x0002 {
            return match transfer_syntax {
                Some(uid) => place(at, uid, true),
                None => bare(rest)
                    .map_or(Sniffed::NotDicom("its file meta names no transfer syntax"), |uid| {
                        place(at, uid, false)
                    }),
            };
        }
        let element = u16::from_le_bytes([rest[2], rest[3]]);
        let (length, head) = match VR::from_binary([rest[4], rest[5]]) {
            Some(VR::OB | VR::UN | VR::OW | VR::UT | VR::UR | VR::UC | VR::SQ) => {
                let Some(bytes) = rest.get(8..12).and_then(|bytes| bytes.first_chunk::<4>()) else {
                    return more();
                };
                (u32::from_le_bytes(*bytes) as usize, 12)
            }
            Some(_) => (usize::from(u16::from_le_bytes([rest[6], rest[7]])), 8),
            None => return Sniffed::NotDicom("its file meta is not explicit little endian"),
        };
        if length > PREFIX_BYTES_MAX {
            return Sniffed::NotDicom("its file meta is too long");
        }
        let Some(value) = rest.get(head..head + length) else { return more() };
        if element == 0x0010 {
            transfer_syntax = std::str::from_utf8(value).ok().or(Some(""));
        }
        at += head + length;
    }
}

/// Guesses how a bare data set is written: its first element must be of the groups that stand first, with a value representation or a
/// length that makes sense.
fn bare(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.first_chunk::<8>()?;
    let is_first = |encoding: Encoding| {
        let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
        let vr = implicit_vr(tag);
        (tag.group() == 0x0008 && vr != VR::UN).then_some(vr)
    };
    let little = is_first(Encoding::EXPLICIT_LITTLE);
    let big = is_first(Encoding::EXPLICIT_BIG);
    let letters = VR::from_binary([head[4], head[5]]);
    if letters.is_some() && little.is_some() {
        return Some(EXPLICIT_LITTLE);
    }
    if letters.is_some() && big.is_some() {
        return Some(EXPLICIT_BIG);
    }
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let fits = length <= FIRST_VALUE_BYTES_MAX && bytes.len() >= 8 + length as usize;
    (little.is_some() && fits).then_some(IMPLICIT_LITTLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(meta: &[u8], data_set: &[u8]) -> Vec<u8> {
        [&[0; 128][..], MAGIC, meta, data_set].concat()
    }

    #[test]
    fn a_part_10_file_names_its_syntax() {
        let meta = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0";
        let bytes = file(meta, b"\x08\0\x05\0CS\0\0");
        let found = part10(&bytes, true);
        let Sniffed::DataSet(place) = &found else { panic!("{found:?}") };
        assert_eq!(
            (place.at, place.transfer_syntax.as_str(), place.declared),
            (132 + meta.len(), EXPLICIT_LITTLE, true)
        );
        for cut in 0..132 + meta.len() {
            assert_eq!(part10(&bytes[..cut], false), Sniffed::More, "{cut}");
        }
        assert_eq!(part10(&bytes[128..], true), {
            Sniffed::DataSet(Place { at: place.at - 128, ..place.clone() })
        });
        assert_eq!(part10(&bytes[132..], true), {
            Sniffed::DataSet(Place { at: place.at - 132, ..place.clone() })
        });
    }

    #[test]
    fn a_bare_data_set_is_guessed() {
        let syntax = |bytes: &[u8]| match part10(bytes, true) {
            Sniffed::DataSet(place) => Some(place.transfer_syntax.as_str().to_owned()),
            Sniffed::More | Sniffed::NotDicom(_) => None,
        };
        assert_eq!(syntax(b"\x08\0\x05\0\x04\0\0\0ABCD").as_deref(), Some(IMPLICIT_LITTLE));
        assert_eq!(syntax(b"\x08\0\x05\0CS\x04\0ABCD").as_deref(), Some(EXPLICIT_LITTLE));
        assert_eq!(syntax(b"\0\x08\0\x05CS\0\x04ABCD").as_deref(), Some(EXPLICIT_BIG));
        for bad in
            [&b"PK\x03\x04 a zip archive"[..], b"", b"%PDF-1.7 something", b"\x08\0\x05\0\xFF\xFF\0\0ABCD"]
        {
            assert_eq!(syntax(bad), None);
        }
    }

    #[test]
    fn hostile_meta_ends() {
        let endless = file(&b"\x02\0\x01\0OB\0\0\0\0\0\0".repeat(6000), b"");
        assert_eq!(part10(&endless, true), Sniffed::NotDicom("its file meta does not end"));
        let lie = file(b"\x02\0\x01\0OB\0\0\xFF\xFF\xFF\x7F", b"");
        assert_eq!(part10(&lie, false), Sniffed::NotDicom("its file meta is too long"));
        assert_eq!(part10(&file(b"\x02\0\x10\0UI\x02\0..\x08\0\x05\0CS\0\0", b""), true), {
            Sniffed::NotDicom("its transfer syntax is no UID")
        });
    }
}
