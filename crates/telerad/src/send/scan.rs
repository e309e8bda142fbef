//! Finds DICOM files below paths and reads from each what a transfer needs.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use dicom_dictionary_std::uids;
use domain::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use imaging::{
    guard::{Guard, GuardLimits, Progress},
    header::Header,
    sniff::{self, Sniffed},
};

use super::outcome::Reason;

/// How much of a file is read at a time while its header is looked for, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// A DICOM file that can be sent.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// When it was changed last, in nanoseconds since 1970.
    pub modified: u64,
    /// Where the data set begins, in bytes.
    pub data_set_offset: u64,
    /// How the data set is encoded.
    pub transfer_syntax: TransferSyntaxUid,
    /// Its class.
    pub sop_class: SopClassUid,
    /// Its identity.
    pub sop_instance: SopInstanceUid,
    /// Its series.
    pub series: SeriesInstanceUid,
    /// Its study.
    pub study: StudyInstanceUid,
}

impl Found {
    /// Opens the file, if it is still the one that was examined.
    ///
    /// # Errors
    /// When it went away, cannot be read, or changed since.
    pub fn open(&self) -> Result<File, Reason> {
        let file =
            File::open(&self.path).map_err(|error| Reason::file(format!("cannot be read: {error}")))?;
        self.check(&file)?;
        Ok(file)
    }

    /// Whether an open file is still the one that was examined.
    ///
    /// # Errors
    /// When it changed.
    pub fn check(&self, file: &File) -> Result<(), Reason> {
        let now = file.metadata().map_err(|error| Reason::file(format!("cannot be read: {error}")))?;
        if (now.len(), modified(&now)) == (self.bytes, self.modified) {
            Ok(())
        } else {
            Err(Reason::file("changed while it waited to be sent"))
        }
    }
}

fn modified(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// Why a file is not sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is not DICOM.
    #[error("is not a DICOM file")]
    NotDicom,
    /// It is the index of a medium (PS3.10 section 8.6); what it names lies beside it.
    #[error("is a DICOMDIR, which is not sent")]
    Directory,
    /// It is DICOM, but something in it is wrong.
    #[error("is damaged: {0}")]
    Damaged(String),
}

impl Unsent {
    /// Whether it is an object, or may be one, that somebody may wait for elsewhere.
    pub fn is_missed(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Damaged(_) => true,
            Self::NotDicom | Self::Directory => false,
        }
    }
}

/// Every file below the paths, in the order of their names; links are followed, folders that cannot be read are reported as a file is.
pub fn files(paths: &[PathBuf]) -> impl Iterator<Item = Result<PathBuf, (PathBuf, Unsent)>> {
    paths
        .iter()
        .flat_map(|path| walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name())
        .filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_file() => Some(Ok(entry.into_path())),
            Ok(_) => None,
            Err(error) => {
                let path = error.path().unwrap_or(Path::new("")).to_owned();
                Some(Err((path, Unsent::Unreadable(error.into()))))
            }
        })
}

/// Reads what a transfer needs; a DICOMDIR is not an object that can be sent.
///
/// # Errors
/// When the file is not to be sent.
pub fn examine(path: &Path) -> Result<Found, Unsent> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut beginning = Vec::new();
    let head = loop {
        let is_whole = read_more(&mut file, &mut beginning)? == 0;
        match sniff::part10(&beginning, is_whole) {
            Sniffed::More if is_whole => {
                return Err(Unsent::Damaged("it ends within its file meta".to_owned()));
            }
            Sniffed::More => {}
            Sniffed::DataSet(place) => break place,
            Sniffed::NotDicom(_) => return Err(Unsent::NotDicom),
        }
    };
    let transfer_syntax = head.transfer_syntax;
    let damaged = |reason: &dyn std::fmt::Display| Unsent::Damaged(reason.to_string());
    let mut guard = Guard::new(&transfer_syntax, GuardLimits::default());
    let mut fresh = beginning.split_off(head.at.min(beginning.len()));
    let directory = uids::MEDIA_STORAGE_DIRECTORY_STORAGE.as_bytes();
    if beginning.windows(directory.len()).any(|part| part == directory) {
        return Err(Unsent::Directory);
    }
    loop {
        match guard.push(&fresh).map_err(|refusal| damaged(&refusal))? {
            Progress::HeaderEnded => break,
            Progress::Header => {}
        }
        fresh.clear();
        if read_more(&mut file, &mut fresh)? == 0 {
            break;
        }
    }
    let guarded = guard.finish().map_err(|refusal| damaged(&refusal))?;
    let header = Header::read(&guarded).map_err(|error| damaged(&error))?;
    Ok(Found {
        path: path.to_owned(),
        bytes: metadata.len(),
        modified: modified(&metadata),
        data_set_offset: head.at as u64,
        transfer_syntax,
        sop_class: header.sop_class,
        sop_instance: header.sop_instance,
        series: header.series_uid,
        study: header.study_uid,
    })
}

fn read_more(file: &mut File, into: &mut Vec<u8>) -> io::Result<usize> {
    let before = into.len();
    into.resize(before + READ_BYTES, 0);
    let read = file.read(&mut into[before..])?;
    into.truncate(before + read);
    Ok(read)
}
