//! `telerad send`: files and folders to a DICOM peer or a DICOMweb server, with a progress bar, a summary and exit codes.

pub mod dicom;
pub mod scan;
pub mod web;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use domain::uid::StudyInstanceUid;
use indicatif::{ProgressBar, ProgressStyle};

use crate::command::say;
use scan::Found;

/// Everything was stored.
const ALL_STORED: u8 = 0;
/// Some of it was not; the summary names each file.
const SOME_REFUSED: u8 = 1;
/// There was nothing to send.
const NOTHING: u8 = 3;
/// The server could not be reached, or broke off.
const BROKE_OFF: u8 = 4;
/// Most lines of the summary about single files.
const LINES_MAX: usize = 50;

/// Send DICOM files and folders.
///
/// Exit code 0: everything was stored, or would be sent. 1: something was refused, and is named. 2: wrong use. 3: nothing to send. 4: the
/// server could not be reached or broke off.
#[derive(Debug, Args)]
pub struct Send {
    /// Where to: `dicom://HOST:PORT/AETITLE`, or the address of a DICOMweb server such as `http://HOST:PORT/dicomweb`.
    #[arg(long, default_value = "dicom://127.0.0.1:11112/TELERAD", value_name = "ADDRESS")]
    pub to: String,
    /// Our AE title, for DICOM.
    #[arg(long, default_value = "TELERAD_SEND", value_name = "TITLE")]
    pub calling: String,
    /// The centre's token, for DICOMweb. Better given as an environment variable: a command line is seen by others.
    #[arg(long, env = "TELERAD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Say what would be sent and what is left out and why, without connecting.
    #[arg(long)]
    pub dry_run: bool,
    /// No progress bar.
    #[arg(long)]
    pub quiet: bool,
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Files of one study.
pub type Batch<'a> = &'a [&'a Found];

/// Why sending ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(#[source] std::io::Error),
    /// The peer does not answer.
    #[error("the peer does not answer")]
    Silent,
    /// The peer does not want us.
    #[error("the association was rejected: {reason}")]
    Rejected {
        /// In the words of PS3.8.
        reason: String,
        /// Whether it may be different later.
        may_try_again: bool,
    },
    /// The peer did something unexpected.
    #[error("the peer: {0}")]
    Peer(String),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] dimse::ProtocolError),
    /// We did.
    #[error("{0}")]
    Call(#[from] dimse::CallError),
    /// HTTP failed.
    #[error("no connection: {0}")]
    Http(#[source] reqwest::Error),
    /// The server refused the request as a whole.
    #[error("the server answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// A file went away while it was sent.
    #[error("a file cannot be read: {0}")]
    File(#[source] std::io::Error),
    /// The address makes no sense.
    #[error("{0}")]
    Address(String),
}

/// What became of the files so far.
pub struct Progress {
    bar: ProgressBar,
    stored: usize,
    bytes: u64,
    refused: Vec<(PathBuf, String)>,
}

impl Progress {
    /// Counts without showing.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), stored: 0, bytes: 0, refused: Vec::new() }
    }

    /// The files that were refused, with the reasons.
    #[must_use]
    pub fn refusals(&self) -> &[(PathBuf, String)] {
        &self.refused
    }

    /// A file was stored.
    pub fn stored(&mut self, file: &Found) {
        self.stored += 1;
        self.bytes += file.bytes;
        self.bar.inc(file.bytes);
    }

    /// A file was refused.
    pub fn refused(&mut self, file: &Found, reason: &str) {
        self.refused.push((file.path.clone(), reason.to_owned()));
        self.bar.inc(file.bytes);
    }
}

enum Target {
    Dicom(dicom::Peer),
    Web(web::Server),
}

impl Send {
    /// Sends.
    pub async fn run(self) -> ExitCode {
        let target = match self.target() {
            Ok(target) => target,
            Err(failure) => {
                say(failure.to_string());
                return ExitCode::from(2);
            }
        };
        let (found, skipped) = self.scan();
        let mut studies: BTreeMap<&StudyInstanceUid, Vec<&Found>> = BTreeMap::new();
        for file in &found {
            studies.entry(&file.study).or_default().push(file);
        }
        if studies.is_empty() {
            say("There is nothing to send: no DICOM file was found.");
            list("Not sent", &skipped);
            return ExitCode::from(NOTHING);
        }
        if self.dry_run {
            plan(&studies, &skipped);
            return ExitCode::from(ALL_STORED);
        }
        let bar = self.bar(found.iter().map(|file| file.bytes).sum());
        let mut progress = Progress { bar, ..Progress::hidden() };
        let mut failure = None;
        for (study, files) in &studies {
            let sent = match &target {
                Target::Dicom(peer) => dicom::send(peer, study, files, &mut progress).await,
                Target::Web(server) => server.send(study, files, &mut progress).await,
            };
            if let Err(error) = sent {
                failure = Some(error);
                break;
            }
        }
        progress.bar.finish_and_clear();
        summary(studies.len(), found.len(), &progress, &skipped, failure.as_ref())
    }

    fn target(&self) -> Result<Target, Failure> {
        if let Some(rest) = self.to.strip_prefix("dicom://") {
            let (address, called) = rest.split_once('/').unwrap_or((rest, "TELERAD"));
            return Ok(Target::Dicom(dicom::Peer {
                address: address.to_owned(),
                called: called.to_owned(),
                calling: self.calling.clone(),
            }));
        }
        if self.to.starts_with("http://") || self.to.starts_with("https://") {
            return Ok(Target::Web(web::Server::new(&self.to, self.token.clone())?));
        }
        Err(Failure::Address(format!(
            "{} is neither dicom://HOST:PORT/AETITLE nor http(s)://HOST/dicomweb",
            self.to
        )))
    }

    fn scan(&self) -> (Vec<Found>, Vec<(PathBuf, String)>) {
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for path in scan::files(&self.paths) {
            let examined = path.and_then(|path| scan::examine(&path).map_err(|unsent| (path, unsent)));
            match examined {
                Ok(file) => found.push(file),
                Err((path, unsent)) => skipped.push((path, unsent.to_string())),
            }
        }
        (found, skipped)
    }

    fn bar(&self, bytes: u64) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

/// Says what would be sent, study by study.
fn plan(studies: &BTreeMap<&StudyInstanceUid, Vec<&Found>>, skipped: &[(PathBuf, String)]) {
    for (study, files) in studies.iter().take(LINES_MAX) {
        say(format!("Study {study}: {}", extent(files)));
    }
    if studies.len() > LINES_MAX {
        say(format!("Study: {} more", studies.len() - LINES_MAX));
    }
    list("Left out", skipped);
    let files: Vec<&Found> = studies.values().flatten().copied().collect();
    say(format!(
        "Would send {} {}: {}; {} other files left out. Nothing was sent.",
        studies.len(),
        if studies.len() == 1 { "study" } else { "studies" },
        extent(&files),
        skipped.len(),
    ));
}

fn extent(files: Batch<'_>) -> String {
    let series: BTreeSet<&str> = files.iter().map(|file| file.series.as_str()).collect();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    format!("{} series, {} images, {:.1} MB", series.len(), files.len(), bytes as f64 / 1e6)
}

fn summary(
    studies: usize,
    found: usize,
    progress: &Progress,
    skipped: &[(PathBuf, String)],
    failure: Option<&Failure>,
) -> ExitCode {
    say(format!(
        "{} of {found} images stored ({studies} {}, {:.1} MB), {} refused, {} other files left out.",
        progress.stored,
        if studies == 1 { "study" } else { "studies" },
        progress.bytes as f64 / 1e6,
        progress.refused.len(),
        skipped.len(),
    ));
    list("Refused", &progress.refused);
    list("Left out", skipped);
    if let Some(failure) = failure {
        let unsure = found - progress.stored - progress.refused.len();
        say(format!(
            "Sending broke off: {failure}. {unsure} images have no answer; run the command again, nothing is stored twice."
        ));
        return ExitCode::from(BROKE_OFF);
    }
    ExitCode::from(if progress.refused.is_empty() { ALL_STORED } else { SOME_REFUSED })
}

fn list(title: &str, files: &[(PathBuf, String)]) {
    for (path, reason) in files.iter().take(LINES_MAX) {
        say(format!("{title}: {} ({reason})", show(path)));
    }
    if files.len() > LINES_MAX {
        say(format!("{title}: {} more", files.len() - LINES_MAX));
    }
}

fn show(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}
