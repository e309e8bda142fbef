//! What is missing gets installed: Debian packages, one Python environment, one Node module, the viewer.
//!
//! Each kind is installed at most once per run, by the first service that finds it missing; services whose
//! parts are all there do not wait. Environments are kept in `${XDG_CACHE_HOME:-~/.cache}/telerad`, under a
//! name made from what they hold, so that the next clone finds them.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::processes::{Signal, Supervisor};
use super::{Error, Service, host, postgres, rabbitmq, report, workspace_root};

const REQUIREMENTS: &str = include_str!("../../services/requirements.txt");

/// How long apt waits for another apt, in seconds.
const APT_LOCK_SECONDS: &str = "600";

/// How many characters of the digest name a cached environment.
const KEY_LENGTH: usize = 16;

/// A Debian package and how to see that what it brings is there, from wherever it came.
struct Package {
    name: &'static str,
    is_there: fn() -> bool,
}

const RABBITMQ: Package = Package { name: "rabbitmq-server", is_there: rabbitmq::is_installed };
const POSTGRES: Package = Package { name: "postgresql", is_there: || postgres::binaries().is_some() };
const PYTHON_VENV: Package = Package { name: "python3-venv", is_there: python_makes_environments };
const OPENSSL: Package = Package { name: "openssl", is_there: || host::program("openssl").is_some() };
const CHROMIUM: Package = Package { name: "chromium", is_there: || chromium().is_some() };
const DCMTK: Package = Package { name: "dcmtk", is_there: || host::program("dcmdump").is_some() };
const ORTHANC: Package = Package { name: "orthanc", is_there: || orthanc().is_some() };
const POPPLER: Package = Package { name: "poppler-utils", is_there: || host::program("pdftotext").is_some() };
const FONTS_CJK: Package = Package {
    name: "fonts-droid-fallback",
    is_there: || Path::new("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf").is_file(),
};
const FONTS_LATIN: Package = Package {
    name: "fonts-dejavu-core",
    is_there: || Path::new("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").is_file(),
};

fn packages_of(service: Service) -> &'static [Package] {
    match service {
        Service::RabbitMq => &[RABBITMQ],
        Service::Postgres => &[POSTGRES],
        Service::S3 | Service::Python => &[PYTHON_VENV],
        Service::Smtp => &[PYTHON_VENV, OPENSSL],
        Service::Chromium => &[CHROMIUM],
        Service::Dcmtk => &[DCMTK],
        Service::Orthanc => &[ORTHANC],
        Service::Poppler => &[POPPLER],
        Service::Fonts => &[FONTS_CJK, FONTS_LATIN],
        Service::Playwright | Service::Viewer => &[],
    }
}

fn missing(service: Service) -> impl Iterator<Item = &'static str> {
    packages_of(service).iter().filter(|package| !(package.is_there)()).map(|package| package.name)
}

fn python_makes_environments() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The browser, under the names it goes by.
pub(crate) fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(host::program)
}

/// The PACS, which Debian puts where administrators' programs are.
pub(crate) fn orthanc() -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join("Orthanc"));
    host::program("Orthanc").or_else(|| folders.into_iter().find(|path| path.is_file()))
}

/// Installs for one run.
pub(crate) struct Installer {
    supervisor: Arc<Supervisor>,
    logs: PathBuf,
    services: Vec<Service>,
    packages: OnceLock<Result<(), Error>>,
    python: OnceLock<Result<PathBuf, Error>>,
}

impl Installer {
    /// An installer for these services; what the installing programs write goes to files in `logs`.
    pub(crate) fn new(supervisor: Arc<Supervisor>, logs: PathBuf, services: Vec<Service>) -> Self {
        Self { supervisor, logs, services, packages: OnceLock::new(), python: OnceLock::new() }
    }

    /// Makes sure that the Debian packages of a service are there.
    ///
    /// # Errors
    /// [`Error::NeedsAdministrator`] with the command to run, or the failure of the installing program.
    pub(crate) fn packages(&self, service: Service) -> Result<(), Error> {
        if missing(service).next().is_none() {
            return Ok(());
        }
        self.packages.get_or_init(|| self.install_packages()).clone()?;
        match missing(service).next() {
            None => Ok(()),
            Some(name) => Err(Error::failed(format!("installing {name}"), "installed, and still not found")),
        }
    }

    fn install_packages(&self) -> Result<(), Error> {
        let mut names: Vec<&str> = self.services.iter().flat_map(|service| missing(*service)).collect();
        names.sort_unstable();
        names.dedup();
        let by_hand = format!("apt-get install -y --no-install-recommends {}", names.join(" "));
        let prefix: &[&str] = match (host::program("apt-get"), host::is_root()) {
            (None, _) => return Err(Error::NeedsAdministrator(by_hand)),
            (Some(_), true) => &[],
            (Some(_), false) if sudo_asks_nothing() => &["sudo", "-n"],
            (Some(_), false) => return Err(Error::NeedsAdministrator(format!("sudo {by_hand}"))),
        };
        let began = Instant::now();
        report::line("packages", &format!("installing {}", names.join(" ")));
        self.apt(prefix, &["update"])?;
        self.apt(prefix, &[&["install", "-y", "--no-install-recommends"], names.as_slice()].concat())?;
        report::line("packages", &format!("installed in {}", report::seconds(began.elapsed())));
        Ok(())
    }

    fn apt(&self, prefix: &[&str], arguments: &[&str]) -> Result<(), Error> {
        let lock_timeout = format!("DPkg::Lock::Timeout={APT_LOCK_SECONDS}");
        let fixed = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", &lock_timeout];
        let words = [prefix, &fixed, arguments].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let step = format!("apt-get {}", arguments[0]);
        let log = self.logs.join(format!("apt-{}.log", arguments[0]));
        host::run_ending(&self.supervisor, &step, &mut command, &log, Signal::Interrupt).map(drop)
    }

    /// The folder of the Python environment with the test clients and servers.
    ///
    /// # Errors
    /// What kept it from being made.
    pub(crate) fn python(&self) -> Result<PathBuf, Error> {
        self.packages(Service::Python)?;
        self.python.get_or_init(|| self.make_python()).clone()
    }

    fn make_python(&self) -> Result<PathBuf, Error> {
        let version =
            Command::new("python3").arg("--version").output().map_err(Error::io("python3 --version"))?;
        self.cached("python", &[REQUIREMENTS.as_bytes(), &version.stdout], |folder| {
            let mut make = Command::new("python3");
            make.args(["-m", "venv"]).arg(folder);
            self.step("python environment", &mut make)?;
            let mut fill = Command::new(folder.join("bin/python"));
            fill.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "-r"]);
            fill.arg(workspace_root().join("crates/testkit/services/requirements.txt"));
            self.step("python packages", &mut fill)
        })
    }

    /// The folder of the `playwright-core` module.
    ///
    /// # Errors
    /// What kept it from being made; [`Error::Missing`] without Node.
    pub(crate) fn playwright(&self) -> Result<PathBuf, Error> {
        need_node()?;
        let source = workspace_root().join("crates/telerad/tests/browser");
        let names = ["package.json", "package-lock.json"];
        let read =
            |name| fs::read(source.join(name)).map_err(Error::io("reading the browser tests' package"));
        let files = [read(names[0])?, read(names[1])?];
        let folder = self.cached("node", &[&files[0], &files[1]], |folder| {
            for (name, content) in names.iter().zip(&files) {
                fs::write(folder.join(name), content)
                    .map_err(Error::io("writing the browser tests' package"))?;
            }
            let mut command = Command::new("npm");
            command.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
            self.step("node modules", &mut command)
        })?;
        Ok(folder.join("node_modules/playwright-core"))
    }

    /// The folder of the viewer.
    ///
    /// # Errors
    /// What kept it from being laid; [`Error::Missing`] without Node.
    pub(crate) fn viewer(&self) -> Result<PathBuf, Error> {
        need_node()?;
        let target = workspace_root().join("viewer");
        let mut command = Command::new("node");
        command.arg(workspace_root().join("deploy/viewer/fetch.mjs")).arg(&target);
        self.step("viewer", &mut command)?;
        Ok(target)
    }

    fn step(&self, name: &str, command: &mut Command) -> Result<(), Error> {
        let log = self.logs.join(format!("{}.log", name.replace(' ', "-")));
        host::run_ending(&self.supervisor, name, command, &log, Signal::Terminate).map(drop)
    }

    /// A folder in the cache whose content follows from `key`, made by `make` unless it is there complete.
    fn cached(
        &self,
        kind: &str,
        key: &[&[u8]],
        make: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let step = "preparing the cache";
        let name = format!("{kind}-{}", &digest(key)[..KEY_LENGTH]);
        let cache = cache_folder()?;
        fs::create_dir_all(&cache).map_err(Error::io(step))?;
        let folder = cache.join(&name);
        let complete = folder.join(".complete");
        // Two runs on one machine must not make the same folder at the same time.
        let lock = File::create(cache.join(format!("{name}.lock"))).map_err(Error::io(step))?;
        lock.lock().map_err(Error::io(step))?;
        if complete.exists() {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io(step))?;
        }
        fs::create_dir(&folder).map_err(Error::io(step))?;
        let began = Instant::now();
        make(&folder)?;
        File::create(&complete).map_err(Error::io(step))?;
        report::line(kind, &format!("{name} made in {}", report::seconds(began.elapsed())));
        Ok(folder)
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

fn cache_folder() -> Result<PathBuf, Error> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
    let base =
        env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from).or_else(home);
    base.map(|base| base.join("telerad"))
        .ok_or_else(|| Error::failed("preparing the cache", "HOME is not set"))
}

fn need_node() -> Result<(), Error> {
    for program in ["node", "npm"] {
        if host::program(program).is_none() {
            let advice = "install Node.js 20 or newer with npm".to_owned();
            return Err(Error::Missing { program: program.to_owned(), advice });
        }
    }
    Ok(())
}

fn sudo_asks_nothing() -> bool {
    let mut command = Command::new("sudo");
    command.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_tells_parts_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[b"ab"]), digest(&[b"ab"]));
    }

    #[test]
    fn every_python_requirement_is_pinned() {
        assert!(REQUIREMENTS.lines().all(|line| line.split_once("==").is_some()));
    }
}
