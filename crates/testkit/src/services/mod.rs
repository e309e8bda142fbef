//! The real services that tests talk to: installed where missing, started on free loopback ports, ended.
//!
//! The `with-services` program is the door: `with-services [--only a,b] -- COMMAND…` runs a command with the
//! variables below set; `with-services --tests` builds and runs the tests of the whole workspace. A test that
//! needs a broker it may break starts one of its own: [`rabbitmq::PrivateBroker`].
//!
//! Not here: fakes, conformance suites, and the services of a deployment.
//!
//! The variables, each with `TELERAD_TEST_` before its name:
//!
//! - every run: `SERVICES`, the names that are up, with commas between; a test for one of them must not skip;
//!   `GUARD`, for this module's own use
//! - `rabbitmq`: `AMQP_URL`; `RABBITMQ_CTL`, a program that is `rabbitmqctl` for this node; `RABBITMQ_NODE`;
//!   `RABBITMQ_PID_FILE`; `RABBITMQ_HOLD_FILE`
//! - `postgres`: `POSTGRES_URL`, of the superuser; `POSTGRES_DATA`; `POSTGRES_BIN`
//! - `s3`: `S3_ENDPOINT`, `S3_ACCESS_KEY`, `S3_SECRET_KEY`, `S3_REGION`
//! - `smtp`: `SMTP_HOST`; `SMTP_PORT`, STARTTLS and AUTH; `SMTP_TLS_PORT`; `SMTP_PLAIN_PORT`, no TLS at all;
//!   `SMTP_USER`; `SMTP_PASSWORD`; `SMTP_CA_FILE`; `SMTP_INBOX_DIR`. The faults that an address asks for are
//!   listed in `crates/testkit/services/smtp_server.py`
//! - `chromium`: `CHROMIUM`
//! - `playwright`: `PLAYWRIGHT`, the folder of the Node module; `NODE`
//! - `orthanc`: `ORTHANC`
//! - `python`: `PYTHON`, which has pynetdicom, pydicom with its decoders, dicomweb-client and numpy
//! - `viewer`: `VIEWER_DIR`
//! - `dcmtk`, `poppler`, `fonts`: none; tools on `PATH`, fonts where Debian puts them
//!
//! The shared node of RabbitMQ is started again when it dies, unless the hold file exists: kill the process
//! whose id is in the pid file to see a crash; create the hold file first to keep it down, remove it to bring
//! it back. Every other test in the run sees that too, so prefer a private broker.

mod counts;
mod host;
mod install;
mod mail;
mod options;
mod ports;
mod postgres;
mod processes;
pub mod rabbitmq;
mod report;
mod runner;
mod s3;
mod session;

pub use counts::Counts;
pub use runner::{Outcome, main};

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a service may take until it answers. Erlang on a loaded machine of two cores needs half a minute.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Why a service is not there.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Only an administrator can go on; the text is the command to run.
    #[error("missing packages, run: {0}")]
    NeedsAdministrator(String),
    /// A program that this one does not install is missing.
    #[error("{program} is missing: {advice}")]
    Missing {
        /// The program's name.
        program: String,
        /// What the reader can do about it.
        advice: String,
    },
    /// A step ran and failed.
    #[error("{step} failed: {detail}")]
    Failed {
        /// What was being done.
        step: String,
        /// What the program said, or its status.
        detail: String,
    },
    /// A service was started and did not answer within its limit.
    #[error("{service} did not answer within {seconds} s; end of its log:\n{log}")]
    Silent {
        /// The service's name.
        service: String,
        /// The limit, in seconds.
        seconds: u64,
        /// The end of what the service wrote.
        log: String,
    },
    /// A service ended while it was starting.
    #[error("{service} ended with {status}; end of its log:\n{log}")]
    Ended {
        /// The service's name.
        service: String,
        /// Its exit status.
        status: String,
        /// The end of what the service wrote.
        log: String,
    },
    /// The run is being stopped.
    #[error("stopped")]
    Stopped,
}

impl Error {
    pub(crate) fn failed(step: impl Into<String>, detail: impl ToString) -> Self {
        Self::Failed { step: step.into(), detail: detail.to_string() }
    }

    pub(crate) fn io(step: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::failed(step, error)
    }
}

/// Something that tests need, by the name that `--only` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    RabbitMq,
    Postgres,
    S3,
    Smtp,
    Chromium,
    Playwright,
    Python,
    Dcmtk,
    Orthanc,
    Poppler,
    Fonts,
    Viewer,
}

impl Service {
    /// All of them; the slowest to start come first, so that they start first.
    pub(crate) const ALL: [Self; 12] = [
        Self::RabbitMq,
        Self::S3,
        Self::Postgres,
        Self::Smtp,
        Self::Chromium,
        Self::Playwright,
        Self::Python,
        Self::Dcmtk,
        Self::Orthanc,
        Self::Poppler,
        Self::Fonts,
        Self::Viewer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::Postgres => "postgres",
            Self::S3 => "s3",
            Self::Smtp => "smtp",
            Self::Chromium => "chromium",
            Self::Playwright => "playwright",
            Self::Python => "python",
            Self::Dcmtk => "dcmtk",
            Self::Orthanc => "orthanc",
            Self::Poppler => "poppler",
            Self::Fonts => "fonts",
            Self::Viewer => "viewer",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

/// Variables for the child, name without the common prefix.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// What every variable's name begins with.
pub(crate) const VARIABLE_PREFIX: &str = "TELERAD_TEST_";

/// Names the program that cleans up after a test which dies without a good-bye.
pub(crate) const GUARD_VARIABLE: &str = "TELERAD_TEST_GUARD";

/// The workspace this program was built from.
pub(crate) fn workspace_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the manifest lies two folders below the workspace root")
        .to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_found_by_its_name() {
        for service in Service::ALL {
            assert_eq!(Service::from_name(service.name()), Some(service));
        }
        assert_eq!(Service::from_name("mysql"), None);
    }

    #[test]
    fn the_workspace_root_holds_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
