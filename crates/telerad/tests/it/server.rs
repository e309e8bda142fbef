//! Starts the real executable and talks to it over HTTP.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives up, said in the failure.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A place for data and the settings of the processes that share it.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub http: u16,
    pub dicom: u16,
    settings: Vec<(String, String)>,
}

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and whether it ended well.
    pub fn stop(mut self) -> bool {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap().success()
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Site {
    /// A site on the embedded defaults.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            http: free_port(),
            dicom: free_port(),
            settings: Vec::new(),
        }
    }

    /// With a setting, as an environment variable without its prefix.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.push((format!("TELERAD__{key}"), value.into()));
        self
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log.txt")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_telerad"));
        command
            .args(arguments)
            .env("TELERAD__DATA_DIR", self.folder.path().join("data"))
            .env("TELERAD__HTTP__LISTEN", format!("127.0.0.1:{}", self.http))
            .env("TELERAD__INTAKE__LISTEN", format!("127.0.0.1:{}", self.dicom))
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .current_dir(testkit::samples::workspace());
        command
    }

    /// Runs a command to its end; its output when it succeeded.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a process and waits until it answers on a port.
    pub fn start(&self, arguments: &[&str], port: u16) -> Process {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let child =
            self.command(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        let process = Process { child: child.unwrap() };
        self.until(&format!("port {port} answers"), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        process
    }

    /// Starts all roles in one process.
    pub fn serve(&self) -> Process {
        self.start(&["serve"], self.http)
    }

    /// Waits until something is there.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if begin.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(30).collect();
                panic!("gave up waiting: {what}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Adds a person of a role, who sees one centre or all, and gives a signed-in browser of theirs.
    pub fn person(&self, login: &str, role: &str, centre: Option<&str>) -> Browser {
        let mut arguments = vec!["user", "add", login, "--name", login, "--role", role];
        arguments.extend(centre.iter().flat_map(|centre| ["--centre", centre]));
        let printed = self.run(&arguments);
        Browser::sign_in(self.url(""), login, printed.lines().last().unwrap())
    }

    /// Adds a reader and gives a signed-in browser of theirs.
    pub fn reader(&self) -> Browser {
        let printed = self.run(&[
            "user",
            "add",
            "ada",
            "--name",
            "Dr Ada Moreau",
            "--role",
            "reader",
            "--credentials",
            "Radiologist",
        ]);
        let password = printed.lines().last().unwrap().to_owned();
        Browser::sign_in(self.url(""), "ada", &password)
    }

    pub fn token(&self, centre: &str, role: &str) -> String {
        let printed = self.run(&["token", "create", "--centre", centre, "--role", role]);
        printed.lines().last().unwrap().to_owned()
    }
}

/// A session over HTTP. `curl` speaks, so that the client is not ours.
pub struct Browser {
    base: String,
    jar: tempfile::NamedTempFile,
    pub password: String,
}

impl Browser {
    pub fn sign_in(base: String, login: &str, password: &str) -> Self {
        let browser =
            Self { base, jar: tempfile::NamedTempFile::new().unwrap(), password: password.to_owned() };
        let body = serde_json::json!({"login": login, "password": password});
        let (status, _) = browser.send("POST", "/api/v1/session", Some(&body));
        assert_eq!(status, 200, "sign-in");
        browser
    }

    /// The same person at another process's address.
    pub fn at(&self, base: &str) -> Self {
        let jar = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(self.jar.path(), jar.path()).unwrap();
        Self { base: base.to_owned(), jar, password: self.password.clone() }
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send("GET", path, None);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, Some(body));
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    /// A request of this session, to be completed.
    pub fn curl(&self, path: &str) -> Command {
        let jar = self.jar.path().to_str().unwrap();
        let mut command = Command::new("curl");
        command.args(["-sS", "-b", jar, "-c", jar, "-H", &format!("Origin: {}", self.base)]);
        command.arg(format!("{}{path}", self.base));
        command
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let jar = self.jar.path().to_str().unwrap();
        let url = format!("{}{path}", self.base);
        let origin = format!("Origin: {}", self.base);
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "-X",
            method,
            "-b",
            jar,
            "-c",
            jar,
            "-H",
            &origin,
            "-w",
            "\n%{http_code}",
            &url,
        ]);
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "--data-binary", &body.to_string()]);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        (
            status.parse().unwrap_or(0),
            serde_json::from_str(answer).unwrap_or(Value::String(answer.to_owned())),
        )
    }
}

pub fn curl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("curl").args(["-sS", "--fail-with-body"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}

/// A program that `with-services` names by a variable; `None`, said loudly, when the tests run without it.
pub fn named_by(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("SKIPPED: {variable} is not set; run `make test`");
    }
    value
}

pub fn head_ct() -> PathBuf {
    testkit::samples::fixtures().join("ct-head-ge-28")
}

/// The data set of a Part 10 file: what follows its file meta.
pub fn data_set(file: &[u8]) -> &[u8] {
    match imaging::sniff::part10(file, true) {
        imaging::sniff::Sniffed::DataSet(place) => &file[place.at..],
        other => panic!("not DICOM: {other:?}"),
    }
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
