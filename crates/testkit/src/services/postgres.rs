//! A PostgreSQL cluster of one's own, as durable as in production: fsync and full page writes stay on.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::processes::Signal;
use super::session::Session;
use super::{Error, Variables, host, ports};

/// Debian's folder of installed major versions.
const DEBIAN_VERSIONS: &str = "/usr/lib/postgresql";

/// Connections: every test binary has its own pools, and they run side by side.
const MAX_CONNECTIONS: u32 = 300;

const SUPERUSER: &str = "postgres";

/// The folder with `initdb`, `postgres` and `psql`: Debian's newest, or that of the `initdb` on `PATH`.
pub(crate) fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN_VERSIONS).into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    folders.sort();
    let newest = folders.into_iter().rev().map(|(_, folder)| folder);
    let on_path = || Some(host::program("initdb")?.canonicalize().ok()?.parent()?.to_path_buf());
    newest
        .chain(on_path())
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| host::is_program(&folder.join(name))))
}

/// The account the server runs as: it refuses to be the administrator.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    fn to_become() -> Result<Option<Self>, Error> {
        if !host::is_root() {
            return Ok(None);
        }
        let account =
            |name| Some(Self { user: host::id_of(Some(name), "-u")?, group: host::id_of(Some(name), "-g")? });
        match account(SUPERUSER).or_else(|| account("nobody")) {
            Some(account) => Ok(Some(account)),
            None => Err(Error::failed("starting postgres", "neither the user postgres nor nobody exists")),
        }
    }
}

struct Cluster {
    binaries: PathBuf,
    folder: PathBuf,
    account: Option<Account>,
    password: String,
    port: u16,
}

impl Cluster {
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = match self.account {
            None => Command::new(program),
            Some(Account { user, group }) => {
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--clear-groups".into(),
                ]);
                command.arg("--").arg(program);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn create(&self, session: &Session) -> Result<(), Error> {
        let step = "preparing postgres";
        let password_file = self.folder.join("password");
        fs::write(&password_file, &self.password).map_err(Error::io(step))?;
        fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).map_err(Error::io(step))?;
        if let Some(Account { user, group }) = self.account {
            for path in [&password_file, &self.folder] {
                chown(path, Some(user), Some(group)).map_err(Error::io(step))?;
            }
        }
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data()).args([
            "-U",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        command.arg("--pwfile").arg(&password_file);
        host::run(session.supervisor(), "initdb", &mut command, &session.log("initdb")).map(drop)
    }

    fn spawn(&self, session: &Session, log: &Path) -> Result<u32, Error> {
        let file = File::create(log).map_err(Error::io("starting postgres"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("port={}", self.port),
            format!("max_connections={MAX_CONNECTIONS}"),
        ] {
            command.arg("-c").arg(setting);
        }
        command.stdout(file.try_clone().map_err(Error::io("starting postgres"))?).stderr(file);
        // Killed outright it would leave its shared memory behind; an interrupt is its fast shutdown.
        session
            .supervisor()
            .spawn_ending("postgres", &mut command, Signal::Interrupt)
            .map(|(process, _)| process)
    }

    fn url(&self) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    fn answers(&self) -> bool {
        let mut command = Command::new(self.binaries.join("psql"));
        command.args(["--no-psqlrc", "-Atc", "select 6 * 7", &self.url()]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.output().is_ok_and(|output| output.stdout.trim_ascii() == b"42")
    }
}

/// Creates a cluster, starts its server and waits for the answer to a query.
pub(crate) fn start(session: &Session) -> Result<Variables, Error> {
    let missing = || Error::Missing { program: "initdb".into(), advice: "install postgresql".into() };
    let cluster = Cluster {
        binaries: binaries().ok_or_else(missing)?,
        folder: session.folder("postgres")?,
        account: Account::to_become()?,
        password: host::secret(),
        port: ports::free()?,
    };
    cluster.create(session)?;
    let log = session.log("postgres");
    let process = cluster.spawn(session, &log)?;
    host::wait_until(session.supervisor(), "postgres", process, &log, || cluster.answers())?;
    Ok(vec![
        ("POSTGRES_URL", cluster.url()),
        ("POSTGRES_DATA", cluster.data().display().to_string()),
        ("POSTGRES_BIN", cluster.binaries.display().to_string()),
    ])
}
