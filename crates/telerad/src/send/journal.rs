//! The journal of a transfer: a file of JSON lines that says what the receiver acknowledged, so that a run that was killed goes on where it
//! was. Lines are only ever added, each after the receiver's answer and before the next object; a last line that was torn is dropped, which
//! costs no more than sending one object again.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::scan::Found;

/// The format of this version.
const VERSION: u32 = 1;
/// Longest line of a journal, in bytes: a path of 4096 bytes, escaped, and some identifiers.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How each journal begins.
const BEGINNING: &[u8] = br#"{"telerad_send_journal":"#;

/// Whom a journal is about. A journal of one receiver says nothing about another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    telerad_send_journal: u32,
    /// The receiver.
    pub to: String,
    /// Our AE title, if it is a DICOM peer.
    pub calling: Option<String>,
}

impl Head {
    /// The head of a journal about this receiver.
    pub fn new(to: &str, calling: Option<&str>) -> Self {
        Self { telerad_send_journal: VERSION, to: to.to_owned(), calling: calling.map(str::to_owned) }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// An object was acknowledged.
    Stored { sop_instance_uid: String, path: String, bytes: u64, modified: u64, status: String },
    /// The receiver was told that a study is complete.
    Complete { study_instance_uid: String, objects: usize },
}

/// What makes an object the one that was acknowledged.
type Key = (String, String, u64, u64);

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("the journal cannot be read or written: {0}")]
    File(#[from] io::Error),
    /// Another run uses it.
    #[error("the journal is in use by another run: wait for its end, or use another journal")]
    InUse,
    /// It is a file of another kind.
    #[error("the file is not a journal of telerad send: name another file")]
    Foreign,
    /// It is of a later version.
    #[error(
        "the journal has format {0}, and this version knows {VERSION}: use the version that wrote it, or another journal"
    )]
    Version(u32),
    /// It is about somebody else.
    #[error("the journal is about {to} from {}: name another journal for this receiver", calling.as_deref().unwrap_or("us"))]
    OtherReceiver {
        /// Whom.
        to: String,
        /// Under which AE title of ours.
        calling: Option<String>,
    },
    /// A line in it cannot be read.
    #[error("line {0} of the journal is damaged: use another journal, nothing is stored twice")]
    Damaged(usize),
}

/// What earlier runs did.
#[derive(Debug, Default)]
pub struct Past {
    stored: HashSet<Key>,
    complete: HashMap<String, usize>,
}

impl Past {
    /// Whether exactly this file was acknowledged.
    pub fn holds(&self, file: &Found) -> bool {
        self.stored.contains(&key(file))
    }

    /// Whether the receiver was told that a study of so many objects is complete.
    pub fn is_complete(&self, study: &str, objects: usize) -> bool {
        self.complete.get(study) == Some(&objects)
    }
}

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens or begins a journal, for this run alone.
    ///
    /// # Errors
    /// When it is of no use for this receiver, or in use.
    pub fn open(path: &Path, head: &Head) -> Result<(Self, Past), JournalError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(JournalError::InUse),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let (past, whole) = read(&file, head)?;
        if whole < file.metadata()?.len() {
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::End(0))?;
        let mut journal = Self { file };
        if whole == 0 {
            journal.write(head)?;
            journal.sync()?;
        }
        Ok((journal, past))
    }

    /// What a journal says, without touching it; nothing when there is none.
    ///
    /// # Errors
    /// When it is of no use for this receiver.
    pub fn look(path: &Path, head: &Head) -> Result<Past, JournalError> {
        match File::open(path) {
            Ok(file) => Ok(read(&file, head)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Past::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// The receiver acknowledged an object.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn stored(&mut self, file: &Found, status: &str) -> Result<(), JournalError> {
        let (sop_instance_uid, path, bytes, modified) = key(file);
        self.write(&Line::Stored { sop_instance_uid, path, bytes, modified, status: status.to_owned() })
    }

    /// The receiver was told that a study is complete.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn complete(&mut self, study: &str, objects: usize) -> Result<(), JournalError> {
        self.write(&Line::Complete { study_instance_uid: study.to_owned(), objects })
    }

    /// Brings to the disk what was written. A line that a power cut takes costs one object sent again, so not each line waits for it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), JournalError> {
        Ok(self.file.sync_data()?)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), JournalError> {
        let mut bytes = serde_json::to_vec(line).map_err(io::Error::from)?;
        bytes.push(b'\n');
        Ok(self.file.write_all(&bytes)?)
    }
}

/// A path that is not UTF-8 is written as well as it can be: with identifier, size and time it is still the one.
fn key(file: &Found) -> Key {
    let path = file.path.to_string_lossy().into_owned();
    (file.sop_instance.as_str().to_owned(), path, file.bytes, file.modified)
}

/// What the whole lines say, and where the last of them ends.
fn read(file: &File, head: &Head) -> Result<(Past, u64), JournalError> {
    let mut reader = BufReader::new(file);
    let (mut past, mut whole, mut number) = (Past::default(), 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        let begins_well = line.starts_with(BEGINNING) || BEGINNING.starts_with(&line);
        if number == 0 && !begins_well {
            return Err(JournalError::Foreign);
        }
        if line.pop() != Some(b'\n') {
            return if read == LINE_BYTES_MAX {
                Err(JournalError::Damaged(number + 1))
            } else {
                Ok((past, whole))
            };
        }
        number += 1;
        whole += read;
        if number == 1 {
            check(&line, head)?;
            continue;
        }
        match serde_json::from_slice(&line).map_err(|_| JournalError::Damaged(number))? {
            Line::Stored { sop_instance_uid, path, bytes, modified, .. } => {
                past.stored.insert((sop_instance_uid, path, bytes, modified));
            }
            Line::Complete { study_instance_uid, objects } => {
                past.complete.insert(study_instance_uid, objects);
            }
        }
    }
}

fn check(line: &[u8], head: &Head) -> Result<(), JournalError> {
    let found: Head = serde_json::from_slice(line).map_err(|_| JournalError::Damaged(1))?;
    if found.telerad_send_journal != VERSION {
        return Err(JournalError::Version(found.telerad_send_journal));
    }
    if found != *head {
        return Err(JournalError::OtherReceiver { to: found.to, calling: found.calling });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head::new("dicom://127.0.0.1:104/PACS", Some("NORTH_CT"))
    }

    fn found() -> Found {
        let images = testkit::samples::fixtures().join("ct-head-ge-28/01.dcm");
        super::super::scan::examine(&images).unwrap()
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_the_rest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let file = found();
        let (mut journal, past) = Journal::open(&path, &head()).unwrap();
        assert!(!past.holds(&file));
        journal.stored(&file, "0000H").unwrap();
        journal.complete("1.2.3", 1).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> =
            whole.iter().enumerate().filter_map(|(at, byte)| (*byte == b'\n').then_some(at + 1)).collect();
        // Wherever the power went, what was whole counts, and what is written next is whole too.
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, past) = Journal::open(&path, &head()).unwrap();
            assert_eq!(past.holds(&file), cut >= ends[1], "{cut}");
            assert_eq!(past.is_complete("1.2.3", 1), cut >= ends[2], "{cut}");
            journal.stored(&file, "0000H").unwrap();
            drop(journal);
            assert!(Journal::look(&path, &head()).unwrap().holds(&file), "{cut}");
        }
        let changed = Found { modified: file.modified + 1, ..file.clone() };
        assert!(!Journal::look(&path, &head()).unwrap().holds(&changed));
    }

    #[test]
    fn what_is_of_no_use_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path, &head()).unwrap();
        assert!(matches!(Journal::open(&path, &head()), Err(JournalError::InUse)));
        drop(journal);
        let other = Head::new("dicom://127.0.0.1:104/OTHER", Some("NORTH_CT"));
        assert!(matches!(Journal::open(&path, &other), Err(JournalError::OtherReceiver { .. })));
        for foreign in ["no journal", "{\"a\":1}\n", "\n"] {
            std::fs::write(&path, foreign).unwrap();
            assert!(matches!(Journal::open(&path, &head()), Err(JournalError::Foreign)), "{foreign:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
        let line = serde_json::to_string(&head()).unwrap();
        std::fs::write(&path, format!("{line}\nnonsense\n")).unwrap();
        assert!(matches!(Journal::open(&path, &head()), Err(JournalError::Damaged(2))));
    }
}
