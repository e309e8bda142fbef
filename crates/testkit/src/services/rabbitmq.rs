//! A RabbitMQ node of one's own: own name, ports, data, logs and cookie, nothing shared with the machine's.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::processes::{Signal, Supervisor};
use super::session::Session;
use super::{Error, GUARD_VARIABLE, Variables, host, ports, report};

/// Debian's folder of the scripts below its wrappers, which insist on the user `rabbitmq` and the machine's data.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(2);
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// A node may die this often before it is left alone: more means that something is wrong with it.
const RESTART_LIMIT: usize = 100;

pub(crate) fn is_installed() -> bool {
    host::is_program(&Path::new(PROGRAMS).join("rabbitmq-server")) && host::program("epmd").is_some()
}

/// A node's settings and files. Starting it is its user's affair.
#[derive(Debug, Clone)]
struct Node {
    folder: PathBuf,
    name: String,
    port: u16,
    epmd_port: u16,
    distribution_port: u16,
    password: String,
}

impl Node {
    fn prepare(folder: PathBuf) -> Result<Self, Error> {
        let step = "preparing rabbitmq";
        let node = Self {
            name: format!("telerad-{}@localhost", host::secret()),
            port: ports::free()?,
            epmd_port: ports::free()?,
            distribution_port: ports::free()?,
            password: host::secret(),
            folder,
        };
        fs::create_dir_all(&node.folder).map_err(Error::io(step))?;
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\ndefault_user = telerad\ndefault_pass = {}\n\
             loopback_users = none\ndisk_free_limit.absolute = 50MB\nlog.console = true\n\
             log.console.level = info\nlog.file = false\n",
            node.port, node.password
        );
        for (name, content) in
            [("rabbitmq.conf", settings.as_str()), ("enabled_plugins", "[].\n"), ("env.conf", "")]
        {
            fs::write(node.folder.join(name), content).map_err(Error::io(step))?;
        }
        Ok(node)
    }

    fn url(&self) -> String {
        format!("amqp://telerad:{}@127.0.0.1:{}/%2f", self.password, self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        vec![
            ("HOME", file("")),
            ("LANG", "C.UTF-8".into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", self.epmd_port.to_string()),
            ("RABBITMQ_NODENAME", self.name.clone()),
            ("RABBITMQ_DIST_PORT", self.distribution_port.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", file("env.conf")),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", file("mnesia")),
            ("RABBITMQ_LOG_BASE", file("log")),
            ("RABBITMQ_PID_FILE", file("script.pid")),
            // The scheduler threads of Erlang otherwise spin when idle, which two cores cannot spare.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none".into(),
            ),
            // Makes the script become the node instead of staying its parent, so that its id is the node's.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ]
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment())
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    fn spawn_name_server(&self, supervisor: &Supervisor) -> Result<(), Error> {
        let program = host::program("epmd")
            .ok_or_else(|| Error::Missing { program: "epmd".into(), advice: "install erlang-base".into() })?;
        let mut command = Command::new(program);
        command.args(["-port", &self.epmd_port.to_string(), "-address", "127.0.0.1"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&self.folder);
        supervisor.spawn("epmd", &mut command).map(drop)
    }

    fn spawn(&self, supervisor: &Supervisor) -> Result<u32, Error> {
        let step = "starting rabbitmq";
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log()).map_err(Error::io(step))?;
        let mut command = self.command("rabbitmq-server");
        command.stdout(log.try_clone().map_err(Error::io(step))?).stderr(log);
        supervisor.spawn("rabbitmq", &mut command)
    }

    fn wait_until_ready(&self, supervisor: &Supervisor, process: u32) -> Result<(), Error> {
        host::wait_until(supervisor, "rabbitmq", process, &self.log(), || self.answers().is_some())
    }

    /// AMQP 0-9-1 section 2.2.4: after the protocol header the server sends `connection.start` (method 10, 10).
    fn answers(&self) -> Option<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(HANDSHAKE_LIMIT)).ok()?;
        stream.write_all(b"AMQP\0\0\x09\x01").ok()?;
        let mut frame = [0; 11];
        stream.read_exact(&mut frame).ok()?;
        (frame[0] == 1 && frame[7..11] == [0, 10, 0, 10]).then_some(())
    }

    /// A program that is `rabbitmqctl` for this node, whoever calls it.
    fn write_control_program(&self) -> Result<PathBuf, Error> {
        let step = "writing the rabbitmqctl program";
        let file = self.folder.join("rabbitmqctl");
        let mut text = "#!/bin/sh\n".to_owned();
        for (name, value) in self.environment() {
            text.push_str(&format!("export {name}='{value}'\n"));
        }
        text.push_str(&format!("exec {PROGRAMS}/rabbitmqctl \"$@\"\n"));
        fs::write(&file, text).map_err(Error::io(step))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(Error::io(step))?;
        Ok(file)
    }
}

/// The node that all tests of a run share; started again when it dies.
pub(crate) fn start(session: &Session) -> Result<Variables, Error> {
    let node = Node::prepare(session.folder("rabbitmq")?)?;
    let control = node.write_control_program()?;
    let supervisor = Arc::clone(session.supervisor());
    node.spawn_name_server(&supervisor)?;
    let process = node.spawn(&supervisor)?;
    let pid_file = node.folder.join("node.pid");
    let hold_file = node.folder.join("hold");
    write_pid(&pid_file, process)?;
    node.wait_until_ready(&supervisor, process)?;
    let variables = vec![
        ("AMQP_URL", node.url()),
        ("RABBITMQ_CTL", control.display().to_string()),
        ("RABBITMQ_NODE", node.name.clone()),
        ("RABBITMQ_PID_FILE", pid_file.display().to_string()),
        ("RABBITMQ_HOLD_FILE", hold_file.display().to_string()),
    ];
    thread::spawn(move || keep_alive(&node, &supervisor, process, &pid_file, &hold_file));
    Ok(variables)
}

fn write_pid(file: &Path, process: u32) -> Result<(), Error> {
    let partial = file.with_extension("partial");
    fs::write(&partial, process.to_string()).map_err(Error::io("writing the pid file"))?;
    fs::rename(&partial, file).map_err(Error::io("writing the pid file"))
}

fn keep_alive(node: &Node, supervisor: &Supervisor, mut process: u32, pid_file: &Path, hold_file: &Path) {
    for _ in 0..RESTART_LIMIT {
        let Ok(status) = supervisor.wait(process) else { return };
        report::line(
            "rabbitmq",
            &format!("ended with {status}, as a test asked or by itself; starting it again"),
        );
        let _ = fs::remove_file(pid_file);
        while hold_file.exists() && !supervisor.is_stopping() {
            thread::sleep(WATCH_INTERVAL);
        }
        let Ok(next) = node.spawn(supervisor) else { return };
        process = next;
        if let Err(error) = write_pid(pid_file, process) {
            report::line("rabbitmq", &error.to_string());
        }
    }
}

/// A broker for one test alone, which may kill it, stop it and start it again. It takes about ten seconds to
/// start, and ends with this value. Its messages survive [`Self::kill`] and [`Self::start`].
pub struct PrivateBroker {
    node: Node,
    supervisor: Arc<Supervisor>,
    process: Option<u32>,
    // Last: the node ends before its data goes.
    _data: tempfile::TempDir,
}

impl PrivateBroker {
    /// Starts a broker and waits until it speaks AMQP. `None` where RabbitMQ is not installed.
    ///
    /// # Errors
    /// What kept it from starting, with the end of its log.
    pub fn launch() -> Result<Option<Self>, Error> {
        if !is_installed() {
            return Ok(None);
        }
        let data = tempfile::Builder::new().prefix("telerad-broker-").tempdir();
        let data = data.map_err(Error::io("making a folder for rabbitmq"))?;
        let node = Node::prepare(data.path().to_path_buf())?;
        // A test that is killed for being slow has no time to end its broker.
        let supervisor = match std::env::var_os(GUARD_VARIABLE) {
            Some(program) => Supervisor::guarded(Path::new(&program), data.path())?,
            None => Supervisor::new(),
        };
        node.spawn_name_server(&supervisor)?;
        let mut broker = Self { node, supervisor, process: None, _data: data };
        broker.start()?;
        Ok(Some(broker))
    }

    /// Where it listens, with user and password; the same after every start.
    #[must_use]
    pub fn url(&self) -> String {
        self.node.url()
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`] and waits until it speaks AMQP.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn start(&mut self) -> Result<(), Error> {
        if self.process.is_some() {
            return Ok(());
        }
        let process = self.node.spawn(&self.supervisor)?;
        self.process = Some(process);
        self.node.wait_until_ready(&self.supervisor, process)
    }

    /// Ends it as a power cut would: SIGKILL, no good-bye to anybody.
    pub fn kill(&mut self) {
        self.end(Signal::Kill);
    }

    /// Ends it in good order; clients see the connection closed.
    pub fn stop(&mut self) {
        self.end(Signal::Terminate);
    }

    fn end(&mut self, signal: Signal) {
        let Some(process) = self.process.take() else { return };
        self.supervisor.end(process, signal);
        // The port is free once nothing accepts on it; a client must not reach the old node after this.
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.node.port)).is_ok()
            && began.elapsed() < HANDSHAKE_LIMIT
        {
            thread::sleep(WATCH_INTERVAL);
        }
    }

    /// Runs `rabbitmqctl` on this broker and returns what it printed.
    ///
    /// # Errors
    /// [`Error::Failed`] with what it said.
    pub fn control(&self, arguments: &[&str]) -> Result<String, Error> {
        let step = format!("rabbitmqctl {}", arguments.join(" "));
        let output = self.node.command("rabbitmqctl").args(arguments).output().map_err(Error::io(&step))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::failed(step, String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        self.supervisor.stop_all();
        self.supervisor.dismiss_guard();
    }
}
