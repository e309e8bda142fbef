//! One run's folder, processes and installer, and how each service comes up in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::install::{self, Installer};
use super::processes::Supervisor;
use super::{Error, Service, Variables, host, mail, postgres, rabbitmq, report, s3};

/// What the services of one run share.
pub(crate) struct Session {
    folder: PathBuf,
    supervisor: Arc<Supervisor>,
    installer: Installer,
}

impl Session {
    /// A session whose data lies in `folder`, which the caller removes afterwards.
    ///
    /// # Errors
    /// [`Error::Failed`] when the folder cannot be used.
    pub(crate) fn new(
        folder: &Path,
        supervisor: Arc<Supervisor>,
        services: &[Service],
    ) -> Result<Self, Error> {
        let step = "preparing the run's folder";
        // Services that give up the administrator's rights must be able to pass through.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).map_err(Error::io(step))?;
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).map_err(Error::io(step))?;
        let installer = Installer::new(Arc::clone(&supervisor), logs, services.to_vec());
        Ok(Self { folder: folder.to_path_buf(), supervisor, installer })
    }

    pub(crate) fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// A new folder for the data of one service.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(Error::io("making a data folder"))?;
        Ok(folder)
    }

    /// The file that takes what a process writes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Installs and, if `start`, starts all these services, each in its own thread.
    ///
    /// # Errors
    /// The errors of all that failed.
    pub(crate) fn bring_up(&self, services: &[Service], start: bool) -> Result<Variables, Vec<Error>> {
        let results: Vec<Result<Variables, Error>> = thread::scope(|scope| {
            let threads: Vec<_> = services
                .iter()
                .map(|service| scope.spawn(move || self.bring_up_one(*service, start)))
                .collect();
            let crashed = |_| Err(Error::failed("bringing up a service", "the thread panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(crashed)).collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        if bad.is_empty() {
            return Ok(good.into_iter().flatten().flatten().collect());
        }
        Err(bad.into_iter().filter_map(Result::err).collect())
    }

    fn bring_up_one(&self, service: Service, start: bool) -> Result<Variables, Error> {
        let began = Instant::now();
        let installed = self.install(service)?;
        let after_install = Instant::now();
        let variables = if start { self.start(service, &installed)? } else { Variables::new() };
        let state = if start { "ready" } else { "installed" };
        let took = report::seconds(began.elapsed());
        let of_that = report::seconds(after_install - began);
        report::line(service.name(), &format!("{state} in {took} (install and checks {of_that})"));
        Ok(variables)
    }

    /// The folder or file that the service's start needs; empty for what needs none.
    fn install(&self, service: Service) -> Result<PathBuf, Error> {
        self.installer.packages(service)?;
        match service {
            Service::S3 | Service::Smtp | Service::Python => self.installer.python(),
            Service::Playwright => self.installer.playwright(),
            Service::Viewer => self.installer.viewer(),
            Service::Chromium => install::chromium().ok_or_else(|| Error::Missing {
                program: "chromium".into(),
                advice: "install chromium".into(),
            }),
            Service::Orthanc => install::orthanc().ok_or_else(|| Error::Missing {
                program: "Orthanc".into(),
                advice: "install orthanc".into(),
            }),
            Service::RabbitMq | Service::Postgres | Service::Dcmtk | Service::Poppler | Service::Fonts => {
                Ok(PathBuf::new())
            }
        }
    }

    fn start(&self, service: Service, installed: &Path) -> Result<Variables, Error> {
        let shown = installed.display().to_string();
        match service {
            Service::RabbitMq => rabbitmq::start(self),
            Service::Postgres => postgres::start(self),
            Service::S3 => s3::start(self, installed),
            Service::Smtp => mail::start(self, installed),
            Service::Chromium => {
                self.check("chromium", Command::new(installed).arg("--version"))?;
                Ok(vec![("CHROMIUM", shown)])
            }
            Service::Playwright => {
                let node = host::program("node").map(|node| node.display().to_string()).unwrap_or_default();
                self.check(
                    "playwright",
                    Command::new(&node).args(["-e", "require(process.argv[1]).chromium.name()", &shown]),
                )?;
                Ok(vec![("PLAYWRIGHT", shown), ("NODE", node)])
            }
            Service::Python => {
                let python = installed.join("bin/python");
                let modules =
                    "import aiosmtpd, dicomweb_client, jpeg_ls, numpy, pydicom, pylibjpeg, pynetdicom";
                self.check("python", Command::new(&python).args(["-c", modules]))?;
                Ok(vec![("PYTHON", python.display().to_string())])
            }
            Service::Dcmtk => {
                self.check("dcmtk", Command::new("dcmdump").arg("--version")).map(|()| Vec::new())
            }
            Service::Orthanc => {
                self.check("orthanc", Command::new(installed).arg("--version"))?;
                Ok(vec![("ORTHANC", shown)])
            }
            Service::Poppler => {
                self.check("poppler", Command::new("pdftotext").arg("-v")).map(|()| Vec::new())
            }
            Service::Fonts => Ok(Vec::new()),
            Service::Viewer => Ok(vec![("VIEWER_DIR", shown)]),
        }
    }

    fn check(&self, name: &str, command: &mut Command) -> Result<(), Error> {
        host::run(&self.supervisor, name, command, &self.log(name)).map(drop)
    }
}
