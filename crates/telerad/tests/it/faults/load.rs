//! Objects to send: real CT slices under identifiers of their own, as many as a test wants.

use std::path::{Path, PathBuf};

use crate::server::{head_ct, read};

/// Identifiers stand at the beginning of a file, before its pixels.
const HEADER_BYTES: usize = 64 * 1024;

/// Digits at the end of a UID that are replaced.
const DIGITS: usize = 12;

/// A file, and which object it is.
#[derive(Debug, Clone)]
pub struct Object {
    pub path: PathBuf,
    pub study: String,
    pub series: String,
    pub instance: String,
}

/// Slices of the head CT as a study of their own, written to a folder. One number, below 100 million, is one study.
pub fn study(folder: &Path, number: u64, slices: usize) -> Vec<Object> {
    study_of(&head_ct(), folder, number, slices)
}

/// Files of a folder as a study of their own; when there are too few they are used again, under other identifiers.
pub fn study_of(from: &Path, folder: &Path, number: u64, slices: usize) -> Vec<Object> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let sources = files.iter().cycle().take(slices).zip(0_u64..);
    let made = sources.map(|(file, slice)| object(file, folder, number, slice));
    made.collect()
}

/// One file under other identifiers of the same length, so that nothing else of it changes.
fn object(file: &Path, folder: &Path, study_number: u64, slice: u64) -> Object {
    let mut bytes = read(file);
    let [study, series, instance] = identifiers(&bytes);
    let other =
        |uid: &str, number: u64| format!("{}{number:0digits$}", &uid[..uid.len() - DIGITS], digits = DIGITS);
    let new = [
        other(&study, study_number),
        other(&series, study_number),
        other(&instance, study_number * 10_000 + slice),
    ];
    for (old, new) in [study, series, instance].iter().zip(&new) {
        replace(&mut bytes, old.as_bytes(), new.as_bytes());
    }
    let path = folder.join(format!("{study_number}-{slice}.dcm"));
    std::fs::write(&path, &bytes).unwrap();
    let [study, series, instance] = new;
    Object { path, study, series, instance }
}

/// Study, series and instance of a Part 10 file.
pub fn identifiers(file: &[u8]) -> [String; 3] {
    try_identifiers(file).expect("a DICOM file with identifiers")
}

/// Study, series and instance of a Part 10 file that has them.
pub fn try_identifiers(file: &[u8]) -> Option<[String; 3]> {
    let imaging::sniff::Sniffed::DataSet(place) = imaging::sniff::part10(file, true) else { return None };
    let guarded = imaging::guard::GuardedHeader::of(&file[place.at..], &place.transfer_syntax).ok()?;
    let header = imaging::header::Header::read(&guarded).ok()?;
    Some([header.study_uid.to_string(), header.series_uid.to_string(), header.sop_instance.to_string()])
}

/// Whether the end of a UID can be replaced by digits.
pub fn has_room(uid: &str) -> bool {
    let last = uid.rsplit('.').next().unwrap_or_default();
    last.len() > DIGITS
}

/// Replaces a text by one of the same length, everywhere.
pub fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let header = bytes.len().min(HEADER_BYTES);
    let bytes = &mut bytes[..header];
    let mut at = 0;
    while at + old.len() <= bytes.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
            at += old.len();
        } else {
            at += 1;
        }
    }
}
