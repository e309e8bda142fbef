//! Names of kinds of objects and of transfer syntaxes as radiographers say them (PS3.6 annex A, shortened). What is not here is shown by
//! its UID.

use domain::uid::{SopClassUid, TransferSyntaxUid};

const CLASSES: [(&str, &str); 26] = [
    ("1.2.840.10008.5.1.4.1.1.1", "X-ray image (CR)"),
    ("1.2.840.10008.5.1.4.1.1.1.1", "X-ray image (DX)"),
    ("1.2.840.10008.5.1.4.1.1.1.2", "Mammography image"),
    ("1.2.840.10008.5.1.4.1.1.2", "CT image"),
    ("1.2.840.10008.5.1.4.1.1.2.1", "CT images (enhanced)"),
    ("1.2.840.10008.5.1.4.1.1.3.1", "Ultrasound clip"),
    ("1.2.840.10008.5.1.4.1.1.4", "MR image"),
    ("1.2.840.10008.5.1.4.1.1.4.1", "MR images (enhanced)"),
    ("1.2.840.10008.5.1.4.1.1.6.1", "Ultrasound image"),
    ("1.2.840.10008.5.1.4.1.1.7", "Secondary capture"),
    ("1.2.840.10008.5.1.4.1.1.7.2", "Secondary captures (grey)"),
    ("1.2.840.10008.5.1.4.1.1.7.4", "Secondary captures (colour)"),
    ("1.2.840.10008.5.1.4.1.1.11.1", "Presentation state"),
    ("1.2.840.10008.5.1.4.1.1.12.1", "Angiography image"),
    ("1.2.840.10008.5.1.4.1.1.12.2", "Fluoroscopy image"),
    ("1.2.840.10008.5.1.4.1.1.13.1.3", "Breast tomosynthesis"),
    ("1.2.840.10008.5.1.4.1.1.20", "Nuclear medicine image"),
    ("1.2.840.10008.5.1.4.1.1.66", "Raw data"),
    ("1.2.840.10008.5.1.4.1.1.66.4", "Segmentation"),
    ("1.2.840.10008.5.1.4.1.1.88.11", "Structured report"),
    ("1.2.840.10008.5.1.4.1.1.88.22", "Structured report"),
    ("1.2.840.10008.5.1.4.1.1.88.33", "Structured report"),
    ("1.2.840.10008.5.1.4.1.1.88.59", "Key object selection"),
    ("1.2.840.10008.5.1.4.1.1.88.67", "Dose report"),
    ("1.2.840.10008.5.1.4.1.1.104.1", "PDF document"),
    ("1.2.840.10008.5.1.4.1.1.128", "PET image"),
];

const SYNTAXES: [(&str, &str); 15] = [
    ("1.2.840.10008.1.2", "Uncompressed (implicit little endian)"),
    ("1.2.840.10008.1.2.1", "Uncompressed (explicit little endian)"),
    ("1.2.840.10008.1.2.2", "Uncompressed (explicit big endian)"),
    ("1.2.840.10008.1.2.1.99", "Deflated"),
    ("1.2.840.10008.1.2.4.50", "JPEG, lossy"),
    ("1.2.840.10008.1.2.4.51", "JPEG extended, lossy"),
    ("1.2.840.10008.1.2.4.57", "JPEG lossless"),
    ("1.2.840.10008.1.2.4.70", "JPEG lossless"),
    ("1.2.840.10008.1.2.4.80", "JPEG-LS lossless"),
    ("1.2.840.10008.1.2.4.81", "JPEG-LS, near lossless"),
    ("1.2.840.10008.1.2.4.90", "JPEG 2000 lossless"),
    ("1.2.840.10008.1.2.4.91", "JPEG 2000"),
    ("1.2.840.10008.1.2.4.201", "HTJ2K lossless"),
    ("1.2.840.10008.1.2.4.203", "HTJ2K"),
    ("1.2.840.10008.1.2.5", "RLE lossless"),
];

/// A kind of object.
pub(super) fn of_class(class: &SopClassUid) -> &str {
    named(&CLASSES, class.as_str())
}

/// A transfer syntax.
pub(super) fn of_syntax(syntax: &TransferSyntaxUid) -> &str {
    named(&SYNTAXES, syntax.as_str())
}

fn named<'a>(names: &[(&str, &'static str)], uid: &'a str) -> &'a str {
    names.iter().find(|(known, _)| *known == uid).map_or(uid, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_shown_by_its_uid() {
        let class = |uid: &str| of_class(&SopClassUid::parse(uid).unwrap()).to_owned();
        assert_eq!(class("1.2.840.10008.5.1.4.1.1.2"), "CT image");
        assert_eq!(class("1.2.3"), "1.2.3");
        let jpeg = TransferSyntaxUid::parse("1.2.840.10008.1.2.4.70").unwrap();
        assert_eq!(of_syntax(&jpeg), "JPEG lossless");
    }
}
