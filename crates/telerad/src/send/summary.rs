//! What a run did, for scripts: one JSON object in a file or on the standard output, and the exit code.

use std::{io::Write as _, path::Path};

use domain::Timestamp;
use serde::Serialize;

use super::{
    outcome::{Kind, Reason},
    scan::{Found, Unsent},
    transfer::{Fate, Report},
};

/// The format of this version. Fields may be added to it; one that changes or goes makes a new version.
const VERSION: u32 = 1;
/// Most failures that are named one by one.
const FAILURES_MAX: usize = 10_000;

/// Everything was stored, now or in an earlier run.
pub const ALL_STORED: u8 = 0;
/// Some of it was refused for good or cannot be read; the summary names each file.
pub const SOME_REFUSED: u8 = 1;
/// The command or its journal is of no use.
pub const WRONG_USE: u8 = 2;
/// There was nothing to send.
pub const NOTHING: u8 = 3;
/// The receiver could not be reached, broke off or put off, until it was given up.
pub const BROKE_OFF: u8 = 4;

/// What a run did.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The format of this object.
    pub telerad_send_summary: u32,
    /// The receiver.
    pub to: String,
    /// Our AE title, for DICOM.
    pub calling: Option<String>,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// The exit code of the command.
    pub exit_code: u8,
    /// Why it ended early, if it did.
    pub broke_off: Option<String>,
    /// Objects in all.
    pub objects: Counts,
    /// Bytes of the files that were stored in this run.
    pub bytes_stored: u64,
    /// Files that are no objects, or cannot be read.
    pub left_out: usize,
    /// Objects by study.
    pub studies: Vec<StudyCounts>,
    /// What is not stored, and why.
    pub failures: Vec<NotStored>,
    /// Failures beyond those that are named.
    pub failures_more: usize,
}

/// Numbers of objects.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// In all.
    pub found: usize,
    /// Stored in this run.
    pub stored: usize,
    /// Stored in an earlier one, as the journal says.
    pub stored_before: usize,
    /// Refused for good.
    pub refused: usize,
    /// Files that went away, changed or cannot be read since they were found.
    pub unreadable: usize,
    /// Put off by the receiver, or without an answer.
    pub without_answer: usize,
}

/// Numbers of objects of one study.
#[derive(Debug, Serialize)]
pub struct StudyCounts {
    /// Which.
    pub study_instance_uid: String,
    /// How many.
    #[serde(flatten)]
    pub objects: Counts,
}

/// A file that is not stored.
#[derive(Debug, Serialize)]
pub struct NotStored {
    /// Where it is.
    pub path: String,
    /// Its object, if it could be read.
    pub sop_instance_uid: Option<String>,
    /// The study of it.
    pub study_instance_uid: Option<String>,
    /// `refused`, `file` or `later`.
    pub kind: &'static str,
    /// The receiver's status, if it gave one.
    pub status: Option<String>,
    /// In words.
    pub reason: String,
    /// What to do.
    pub next_step: String,
}

impl Counts {
    fn add(&mut self, fate: &Fate) {
        self.found += 1;
        *match fate {
            Fate::Stored => &mut self.stored,
            Fate::StoredBefore => &mut self.stored_before,
            Fate::Waits(_) => &mut self.without_answer,
            Fate::Failed(reason) => match reason.kind {
                Kind::Refused => &mut self.refused,
                Kind::File => &mut self.unreadable,
                Kind::Later => &mut self.without_answer,
            },
        } += 1;
    }
}

impl Summary {
    /// Counts what became of everything.
    pub fn of(
        to: &str,
        calling: Option<&str>,
        began: Timestamp,
        ended: Timestamp,
        report: &Report,
        left_out: &[(std::path::PathBuf, Unsent)],
    ) -> Self {
        let (mut objects, mut bytes_stored) = (Counts::default(), 0);
        for (file, fate) in report.found.iter().zip(&report.fates) {
            objects.add(fate);
            bytes_stored += if matches!(fate, Fate::Stored) { file.bytes } else { 0 };
        }
        let studies = report.studies.iter().map(|study| {
            let mut objects = Counts::default();
            study.objects.iter().for_each(|place| objects.add(&report.fates[*place]));
            StudyCounts { study_instance_uid: study.uid.as_str().to_owned(), objects }
        });
        let missed = left_out.iter().filter(|(_, reason)| reason.is_missed());
        let failures: Vec<NotStored> = missed
            .map(|(path, reason)| not_stored(path, None, &Reason::file(reason.to_string())))
            .chain(report.found.iter().zip(&report.fates).filter_map(|(file, fate)| match fate {
                Fate::Stored | Fate::StoredBefore => None,
                Fate::Failed(reason) | Fate::Waits(Some(reason)) => {
                    Some(not_stored(&file.path, Some(file), reason))
                }
                Fate::Waits(None) => {
                    Some(not_stored(&file.path, Some(file), &Reason::later("has no answer")))
                }
            }))
            .collect();
        let exit_code = if objects.found == 0 && failures.is_empty() {
            NOTHING
        } else if report.failure.is_some() || objects.without_answer > 0 {
            BROKE_OFF
        } else if !failures.is_empty() {
            SOME_REFUSED
        } else {
            ALL_STORED
        };
        Self {
            telerad_send_summary: VERSION,
            to: to.to_owned(),
            calling: calling.map(str::to_owned),
            began,
            seconds: began.duration_until(ended).as_secs_f64(),
            exit_code,
            broke_off: report.failure.as_ref().map(ToString::to_string),
            objects,
            bytes_stored,
            left_out: left_out.len(),
            studies: studies.collect(),
            failures_more: failures.len().saturating_sub(FAILURES_MAX),
            failures: failures.into_iter().take(FAILURES_MAX).collect(),
        }
    }

    /// Writes it to a file, which is whole whenever it is there, or to the standard output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, to: &Path) -> std::io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        if to == Path::new("-") {
            return std::io::stdout().lock().write_all(&json);
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&json)?;
        file.persist(to)?;
        Ok(())
    }
}

fn not_stored(path: &Path, file: Option<&Found>, reason: &Reason) -> NotStored {
    NotStored {
        path: path.to_string_lossy().into_owned(),
        sop_instance_uid: file.map(|file| file.sop_instance.as_str().to_owned()),
        study_instance_uid: file.map(|file| file.study.as_str().to_owned()),
        kind: match reason.kind {
            Kind::Refused => "refused",
            Kind::File => "file",
            Kind::Later => "later",
        },
        status: reason.status.clone(),
        reason: reason.text.clone(),
        next_step: reason.next_step().to_owned(),
    }
}
