//! What a file of an upload is, by its first bytes and, where they say nothing, by its name: an image, a disc's directory, or one of the
//! things that discs carry beside images. It guesses kindly: what is passed over is named, what may be a damaged image is not passed over.

use bytes::Bytes;
use dimse::Split;
use domain::{
    uid::SopInstanceUid,
    upload::{PromisedImage, UploadName},
};
use imaging::{
    Tag,
    guard::{GuardedHeader, HeaderEnd},
    sniff::{self, Place, Sniffed},
    tree,
};

/// Most bytes of a DICOMDIR that are read: one of 20 000 images has about 8 MiB.
pub(super) const DIRECTORY_BYTES_MAX: usize = 16 << 20;
/// Media Storage Directory Storage (PS3.4 section B.5).
const DIRECTORY_CLASS: &str = "1.2.840.10008.1.3.10";
const DIRECTORY_RECORDS: Tag = Tag(0x0004, 0x1220);
const REFERENCED_FILE: Tag = Tag(0x0004, 0x1500);
const REFERENCED_INSTANCE: Tag = Tag(0x0004, 0x1511);

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A data set that intake decides about.
    Image(Place),
    /// A disc's directory.
    Directory(Place),
    /// Something beside images; in words.
    Companion(&'static str),
    /// Files in a file.
    Archive,
    /// None of these; in words.
    Unknown(&'static str),
}

/// How archives begin.
const ARCHIVES: [(usize, &[u8]); 8] = [
    (0, b"PK\x03\x04"),
    (0, b"PK\x05\x06"),
    (0, b"Rar!\x1A\x07"),
    (0, b"7z\xBC\xAF\x27\x1C"),
    (0, b"\x1F\x8B\x08"),
    (0, b"\xFD7zXZ\0"),
    (0, b"BZh"),
    (257, b"ustar"),
];

/// How other files begin that are no images of a study.
const COMPANIONS: [(&[u8], &str); 12] = [
    (b"MZ", "a program"),
    (b"\x7FELF", "a program"),
    (b"\xCA\xFE\xBA\xBE", "a program"),
    (b"\xCF\xFA\xED\xFE", "a program"),
    (b"%PDF", "a PDF document"),
    (b"\xFF\xD8\xFF", "a picture (JPEG)"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"BM", "a picture (BMP)"),
    (b"\0\0\x01\0", "an icon"),
    (b"{\\rtf", "a text document"),
    (b"SQLite format 3\0", "a database of the disc's viewer"),
];

/// What files are called that discs carry beside images.
const NAMES: [(&[&str], &str); 6] = [
    (&["exe", "com", "bat", "cmd", "sh", "msi", "app", "jar", "class", "scr"], "a program"),
    (&["dll", "ocx", "so", "dylib", "manifest", "lib", "sys", "cab"], "a part of a program"),
    (
        &["inf", "ini", "cfg", "conf", "config", "xml", "json", "properties", "plist", "reg", "lnk"],
        "settings",
    ),
    (
        &["txt", "md", "htm", "html", "css", "js", "rtf", "doc", "docx", "chm", "hlp", "log", "csv"],
        "a text document",
    ),
    (
        &["ico", "icns", "jpg", "jpeg", "png", "gif", "bmp", "svg", "ttf", "avi", "mp4", "wav"],
        "a picture, film or font",
    ),
    (
        &["ds_store", "db", "mdb", "sqlite", "tmp", "bak", "md5", "sha1", "sha256"],
        "a file of the system or the viewer",
    ),
];

/// Looks at the beginning of a file; `None` asks for more bytes. `whole` says that there are no more.
pub(super) fn look(name: &str, beginning: &[u8], whole: bool) -> Option<Kind> {
    if beginning.is_empty() && whole {
        return Some(Kind::Companion("an empty file"));
    }
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = last.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    let by_name = NAMES.iter().find(|(names, _)| names.contains(&extension.as_str())).map(|(_, what)| *what);
    // A Macintosh writes `._NAME` beside each file; its beginning is no image's.
    if last.starts_with("._") || name.starts_with("__MACOSX/") {
        return Some(Kind::Companion("a file of the system"));
    }
    match sniff::part10(beginning, whole) {
        Sniffed::More => None,
        Sniffed::DataSet(place) if is_directory(beginning, last) => Some(Kind::Directory(place)),
        Sniffed::DataSet(place) => Some(Kind::Image(place)),
        Sniffed::NotDicom(reason) => Some(not_dicom(beginning, by_name, reason)),
    }
}

/// Whether an upload is a ZIP, by its first bytes.
pub(super) fn is_zip(beginning: &[u8]) -> bool {
    beginning.starts_with(ARCHIVES[0].1) || beginning.starts_with(ARCHIVES[1].1)
}

fn not_dicom(beginning: &[u8], by_name: Option<&'static str>, reason: &'static str) -> Kind {
    let is_archive =
        ARCHIVES.iter().any(|(at, magic)| beginning.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if is_archive {
        // A text document or a program may be packed like an archive; its name says so.
        return by_name.map_or(Kind::Archive, Kind::Companion);
    }
    let by_beginning = COMPANIONS.iter().find(|(magic, _)| beginning.starts_with(magic));
    if let Some((_, what)) = by_beginning {
        return Kind::Companion(what);
    }
    match by_name {
        Some(what) => Kind::Companion(what),
        None if is_text(beginning) => Kind::Companion("a text document"),
        None => Kind::Unknown(reason),
    }
}

fn is_directory(beginning: &[u8], last_name: &str) -> bool {
    match dimse::split_part10(beginning, true) {
        Ok(Split::Found(head)) if head.sop_class_uid.is_some() => {
            head.sop_class_uid.as_deref() == Some(DIRECTORY_CLASS)
        }
        _ => last_name.eq_ignore_ascii_case("DICOMDIR"),
    }
}

fn is_text(beginning: &[u8]) -> bool {
    let text = &beginning[..beginning.len().min(512)];
    text.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7E | 0x80..))
}

/// The images that a disc's directory names; nothing when it cannot be read to its end.
pub(super) fn promised(directory: &Bytes, place: &Place) -> Vec<PromisedImage> {
    let data_set = directory.get(place.at..).unwrap_or_default();
    let Ok(header) = GuardedHeader::of(data_set, &place.transfer_syntax) else { return Vec::new() };
    if header.end != HeaderEnd::DataSet {
        return Vec::new();
    }
    let Ok(tree) = tree::read(&header) else { return Vec::new() };
    let records = tree.get(DIRECTORY_RECORDS).and_then(|records| records.items()).unwrap_or_default();
    let of_record = |record: &tree::Tree| {
        let text = |tag| record.get(tag).and_then(|element| element.to_multi_str().ok().map(|s| s.join("/")));
        let sop_instance =
            SopInstanceUid::parse(text(REFERENCED_INSTANCE)?.trim_end_matches(['\0', ' '])).ok()?;
        Some(PromisedImage { sop_instance, name: UploadName::new(text(REFERENCED_FILE)?.trim()) })
    };
    records.iter().filter_map(of_record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_discs_carry_is_known() {
        let kind = |name: &str, bytes: &[u8]| look(name, bytes, true).unwrap();
        for (name, bytes) in [
            ("AUTORUN.INF", &b"[autorun]\r\nopen=viewer.exe"[..]),
            ("VIEWER/viewer.exe", b"MZ\x90\0\x03\0\0\0"),
            ("README", b"This disc holds images."),
            ("logo", b"\x89PNG\r\n\x1a\n...."),
            ("._IM0001", b"\0\x05\x16\x07\0\x02\0\0"),
            ("__MACOSX/a", b"x\0"),
            ("help.docx", b"PK\x03\x04...."),
            ("empty", b""),
        ] {
            assert!(matches!(kind(name, bytes), Kind::Companion(_)), "{name}: {:?}", kind(name, bytes));
        }
        for bytes in [&b"PK\x03\x04...."[..], b"Rar!\x1A\x07\0", b"\x1F\x8B\x08\0"] {
            assert_eq!(kind("inner", bytes), Kind::Archive);
        }
        for name in ["IM0001", "IM0001.dcm"] {
            assert!(matches!(kind(name, b"\x01\x02\x03\0damaged"), Kind::Unknown(_)));
        }
        assert_eq!(look("IM1", b"short", false), None);
    }
}
