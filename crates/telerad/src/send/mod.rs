//! `telerad send`: files and folders to a DICOM peer or a DICOMweb server, as a person or a night's script does it: with a progress bar, a
//! journal to go on from, a summary to read by machine, and exit codes.

pub mod dicom;
mod journal;
pub mod outcome;
pub mod scan;
mod summary;
mod tls;
pub mod transfer;
pub mod web;

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use domain::{port::Clock as _, text::AeTitle};
use indicatif::{ProgressBar, ProgressStyle};
use rustls::ClientConfig;

use crate::{clock::MachineClock, command::say};
use journal::{Head, Journal, JournalError, Past};
use outcome::{Consequence, Reason};
use scan::{Found, Unsent};
use summary::Summary;
use transfer::{Limits, Report, Study, Target, Transfer};

/// Most lines about single files.
const LINES_MAX: usize = 50;
/// Most associations or requests at a time: more would only take places from other senders.
const PARALLEL_MAX: i64 = 16;

/// Send DICOM files and folders.
///
/// Exit code 0: everything is stored, or would be sent. 1: something was refused for good or cannot be read, and is named.
/// 2: wrong use, or a journal of no use. 3: nothing to send. 4: the receiver could not be reached, broke off or put something off:
/// run the command again later.
#[derive(Debug, Args)]
pub struct Send {
    /// Where to: `dicom://HOST:PORT/AETITLE`, `dicoms://…` over TLS, or the address of a DICOMweb server such as
    /// `https://HOST:PORT/dicomweb`.
    #[arg(long, default_value = "dicom://127.0.0.1:11112/TELERAD", value_name = "ADDRESS")]
    pub to: String,
    /// Our AE title, for DICOM.
    #[arg(long, default_value = "TELERAD_SEND", value_name = "TITLE")]
    pub calling: String,
    /// The centre's token, for DICOMweb. Better given as an environment variable: a command line is seen by others.
    #[arg(long, env = "TELERAD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The authorities that vouch for the receiver, in PEM form; needed for `dicoms://`.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our certificate in PEM form, where the receiver asks for one.
    #[arg(long, requires_all = ["key", "ca"], value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The key of our certificate, in PEM form.
    #[arg(long, requires = "cert", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Associations or requests at a time, at most 16.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=PARALLEL_MAX), value_name = "N")]
    pub parallel: u8,
    /// Tries of each object that the receiver puts off or breaks off at.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub attempts: u32,
    /// How long to go on trying while the receiver stores nothing: `90s`, `10m`, `8h`; `0s` tries once.
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub give_up_after: Duration,
    /// Keep in this file what the receiver acknowledged, and go on from there when the file exists.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Write a summary in JSON to this file; `-` is the standard output, and what is for people goes to the standard error.
    #[arg(long, conflicts_with = "dry_run", value_name = "FILE")]
    pub summary: Option<PathBuf>,
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

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| "it is negative".to_owned())
}

fn words(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration).map(|duration| format!("{duration:#}")).unwrap_or_default()
}

fn at_last(failure: Option<&Failure>) -> String {
    failure.map(|failure| format!("; at last: {failure}")).unwrap_or_default()
}

/// Some files.
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
    /// The peer ended the association.
    #[error("the peer aborted the association ({0})")]
    Aborted(String),
    /// The peer says again and again that it cannot store now.
    #[error("the peer says that it cannot store now")]
    Busy,
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
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// A file went away or changed while it was sent.
    #[error("a file {}", .0.text)]
    File(Reason),
    /// What was acknowledged cannot be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The receiver stored nothing for too long.
    #[error("given up after {} without an object stored{}", words(*after), at_last(last.as_deref()))]
    GaveUp {
        /// How long.
        after: Duration,
        /// What was the matter.
        last: Option<Box<Failure>>,
    },
    /// The address makes no sense.
    #[error("{0}")]
    Address(String),
}

impl Failure {
    /// What follows from it.
    pub fn consequence(&self) -> Consequence {
        match self {
            // A certificate that is not trusted today is not trusted in a minute.
            Self::Connection(error) if is_distrust(error) => Consequence::End,
            Self::Http(error) if error.is_builder() || is_distrust(error) => Consequence::End,
            Self::Rejected { may_try_again: false, .. } => Consequence::End,
            Self::Call(_) | Self::Address(_) | Self::Journal(_) | Self::GaveUp { .. } => Consequence::End,
            Self::Refused { status, wait, .. } => outcome::of_http(*status, *wait),
            Self::File(_) => Consequence::GoOn,
            Self::Connection(_)
            | Self::Http(_)
            | Self::Rejected { .. }
            | Self::Silent
            | Self::Aborted(_)
            | Self::Busy
            | Self::Peer(_)
            | Self::Protocol(_) => Consequence::Later(None),
        }
    }

    /// The status of HTTP, if there was one.
    pub fn status(&self) -> Option<String> {
        match self {
            Self::Refused { status, .. } => Some(status.to_string()),
            _ => None,
        }
    }
}

/// Whether a handshake of TLS failed. Errors of input and output hide what they hold from `source`, sometimes one in another.
fn is_distrust(error: &(dyn std::error::Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    held.is_some_and(|held| is_distrust(held)) || error.source().is_some_and(is_distrust)
}

impl Send {
    /// Sends.
    pub async fn run(self) -> ExitCode {
        match self.prepared().await {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                self.tell(failure.to_string());
                ExitCode::from(summary::WRONG_USE)
            }
        }
    }

    async fn prepared(&self) -> Result<u8, Failure> {
        let target = self.target()?;
        let began = MachineClock.now();
        let (found, left_out) = self.scan();
        let calling = matches!(target, Target::Dicom(_)).then_some(self.calling.as_str());
        let head = Head::new(&self.to, calling);
        if self.dry_run {
            let past = self.journal.as_ref().map(|path| Journal::look(path, &head)).transpose()?;
            return Ok(self.plan(&found, &left_out, &past.unwrap_or_default()));
        }
        let limits = Limits {
            parallel: usize::from(self.parallel),
            attempts: self.attempts,
            give_up_after: self.give_up_after,
        };
        let bar = self.bar(found.iter().map(|file| file.bytes).sum());
        let mut transfer = Transfer::new(target, found, limits, bar);
        if let Some(path) = &self.journal {
            let (journal, past) = Journal::open(path, &head)?;
            transfer = transfer.with_journal(journal, &past);
        }
        let report = transfer.run().await;
        let summary = Summary::of(&self.to, calling, began, MachineClock.now(), &report, &left_out);
        self.tell_report(&report, &summary, &left_out);
        if let Some(path) = &self.summary
            && let Err(error) = summary.write(path)
        {
            let _ = writeln!(std::io::stderr(), "The summary cannot be written: {error}");
            return Ok(summary.exit_code.max(summary::SOME_REFUSED));
        }
        Ok(summary.exit_code)
    }

    fn target(&self) -> Result<Target, Failure> {
        let tls = self.tls()?;
        let dicom = |rest: &str, tls: Option<Arc<ClientConfig>>| {
            let (address, called) = rest.split_once('/').unwrap_or((rest, "TELERAD"));
            for title in [called, &self.calling] {
                AeTitle::parse(title).ok_or_else(|| {
                    Failure::Address(format!("{title:?} is no AE title: 1 to 16 characters"))
                })?;
            }
            let (address, called, calling) = (address.to_owned(), called.to_owned(), self.calling.clone());
            Ok(Target::Dicom(dicom::Peer { address, called, calling, tls }))
        };
        if let Some(rest) = self.to.strip_prefix("dicom://") {
            return dicom(rest, None);
        }
        if let Some(rest) = self.to.strip_prefix("dicoms://") {
            let missing =
                || Failure::Address("dicoms:// needs --ca, the authorities of the receiver".to_owned());
            return dicom(rest, Some(tls.ok_or_else(missing)?));
        }
        if self.to.starts_with("http://") || self.to.starts_with("https://") {
            return Ok(Target::Web(web::Server::new(&self.to, self.token.clone(), tls.as_deref())?));
        }
        Err(Failure::Address(format!(
            "{} is neither dicom(s)://HOST:PORT/AETITLE nor http(s)://HOST/dicomweb",
            self.to
        )))
    }

    fn tls(&self) -> Result<Option<Arc<ClientConfig>>, Failure> {
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        self.ca.as_ref().map(|authorities| tls::client(authorities, identity)).transpose()
    }

    fn scan(&self) -> (Vec<Found>, Vec<(PathBuf, Unsent)>) {
        let (mut found, mut left_out) = (Vec::new(), Vec::new());
        for path in scan::files(&self.paths) {
            let examined = path.and_then(|path| scan::examine(&path).map_err(|unsent| (path, unsent)));
            match examined {
                Ok(file) => found.push(file),
                Err(unsent) => left_out.push(unsent),
            }
        }
        (found, left_out)
    }

    fn bar(&self, bytes: u64) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// A line for the person, where no script reads JSON.
    fn tell(&self, line: String) {
        if self.summary.as_deref() == Some(Path::new("-")) {
            // A closed pipe is the reader's choice.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        } else {
            say(line);
        }
    }

    /// Says what would be sent, study by study.
    fn plan(&self, found: &[Found], left_out: &[(PathBuf, Unsent)], past: &Past) -> u8 {
        let mut all = Vec::new();
        let mut lines = Vec::new();
        for Study { uid, objects } in transfer::studies(found) {
            let files: Vec<&Found> =
                objects.iter().map(|place| &found[*place]).filter(|file| !past.holds(file)).collect();
            if !files.is_empty() {
                lines.push(format!("{uid}: {}", extent(&files)));
                all.extend(files);
            }
        }
        self.list("Study", &lines);
        self.list("Left out", &left_out_lines(left_out));
        if found.is_empty() {
            self.tell("There is nothing to send: no DICOM file was found.".to_owned());
            return summary::NOTHING;
        }
        self.tell(format!(
            "Would send {} {}: {}; {} other files left out. Nothing was sent.",
            lines.len(),
            if lines.len() == 1 { "study" } else { "studies" },
            extent(&all),
            left_out.len(),
        ));
        summary::ALL_STORED
    }

    fn tell_report(&self, report: &Report, summary: &Summary, left_out: &[(PathBuf, Unsent)]) {
        let counts = summary.objects;
        if counts.found == 0 {
            self.tell("There is nothing to send: no DICOM file was found.".to_owned());
            self.list("Not sent", &left_out_lines(left_out));
            return;
        }
        let before = match counts.stored_before {
            0 => String::new(),
            before => format!(", {before} of them in an earlier run"),
        };
        self.tell(format!(
            "{} of {} images stored ({} {}, {:.1} MB{before}), {} refused, {} unreadable, {} without an answer, \
             {} other files left out.",
            counts.stored + counts.stored_before,
            counts.found,
            report.studies.len(),
            if report.studies.len() == 1 { "study" } else { "studies" },
            summary.bytes_stored as f64 / 1e6,
            counts.refused,
            counts.unreadable,
            counts.without_answer,
            left_out.len(),
        ));
        let lines: Vec<String> = summary
            .failures
            .iter()
            .filter(|failure| failure.sop_instance_uid.is_some())
            .map(|failure| {
                format!("{} ({}). {}", failure.path.escape_debug(), failure.reason, failure.next_step)
            })
            .collect();
        self.list("Not stored", &lines);
        self.list("Left out", &left_out_lines(left_out));
        if let Some(failure) = &report.failure {
            self.tell(format!(
                "Sending broke off: {failure}. Run the command again, nothing is stored twice."
            ));
        }
    }

    fn list(&self, title: &str, lines: &[String]) {
        for line in lines.iter().take(LINES_MAX) {
            self.tell(format!("{title} {line}"));
        }
        if lines.len() > LINES_MAX {
            self.tell(format!("{title}: {} more", lines.len() - LINES_MAX));
        }
    }
}

fn left_out_lines(left_out: &[(PathBuf, Unsent)]) -> Vec<String> {
    let line = |(path, reason): &(PathBuf, Unsent)| {
        format!("{} ({reason})", path.display().to_string().escape_debug())
    };
    left_out.iter().map(line).collect()
}

fn extent(files: Batch<'_>) -> String {
    let series: BTreeSet<&str> = files.iter().map(|file| file.series.as_str()).collect();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    format!("{} series, {} images, {:.1} MB", series.len(), files.len(), bytes as f64 / 1e6)
}
