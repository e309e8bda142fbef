//! telerad: the one executable. Settings, wiring, every command.

mod clock;
mod command;
mod lifecycle;
mod memory;
mod peers;
mod send;
mod settings;
mod wiring;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use command::{directory, order::OrderCommand, serve::Role, study::StudyCommand};
use settings::{Flags, Log, LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// Teleradiology: images in, a draft, a reading, a signed report, and a physician who says that they have read it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run roles; all of them in one process, unless some are named.
    Serve {
        /// Which.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLE,…")]
        roles: Vec<Role>,
    },
    /// Run everything with a demonstration centre, people, and a head CT that arrives over DICOM.
    Demo {
        /// The images.
        #[arg(long, default_value = "fixtures/ct-head-ge-28", value_name = "FOLDER")]
        images: PathBuf,
    },
    Send(send::Send),
    /// Look at settings, parts and peers, and say what to do.
    Doctor,
    /// Bring the catalog up to this version's schema.
    Migrate,
    /// Imaging centres.
    #[command(subcommand)]
    Centre(directory::CentreCommand),
    /// People who sign in.
    #[command(subcommand)]
    User(directory::UserCommand),
    /// Tokens of programs.
    #[command(subcommand)]
    Token(directory::TokenCommand),
    /// Physicians who order and receive.
    #[command(subcommand)]
    Physician(directory::PhysicianCommand),
    /// Orders.
    #[command(subcommand)]
    Order(OrderCommand),
    /// Studies: take one out of sight, bring it back, list those that are out.
    #[command(subcommand)]
    Study(StudyCommand),
    /// Read every object and signed report again, and say which do not match their digests.
    Verify {
        /// Give the summary as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Remove objects that no row of the catalog names, as the role `upkeep` does every hour.
    Sweep {
        /// Only list what would go.
        #[arg(long)]
        dry_run: bool,
        /// Remove also what is more than killed processes leave, after somebody has looked.
        #[arg(long)]
        even_if_many: bool,
    },
    /// Make the catalog's images again from storage alone.
    Rebuild,
    /// Work on pixels for the process that started this one.
    #[command(name = pixels::PROGRAM, hide = true)]
    PixelWorker {
        /// Address space that it may take, in bytes.
        #[arg(long)]
        memory_bytes: u64,
        /// Processor time that it may use, in seconds.
        #[arg(long)]
        cpu_seconds: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything else starts: a worker has one thread, reads no settings and keeps no log.
    if let Command::PixelWorker { memory_bytes, cpu_seconds } = cli.command {
        return pixels::worker::run(pixels::Confinement { memory_bytes, cpu_seconds });
    }
    run(cli)
}

#[tokio::main]
async fn run(cli: Cli) -> ExitCode {
    if matches!(cli.command, Command::Serve { .. } | Command::Demo { .. }) {
        memory::keep_little();
    }
    // Both TLS users below (mail, AMQP, S3) take the process's provider; one that is set already is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Command::Doctor = cli.command {
        return command::doctor::run(&cli.flags).await;
    }
    let settings = match Settings::read(&cli.flags) {
        Ok(settings) => settings,
        Err(error) => return command::fail(&error),
    };
    log(&settings.log);
    match cli.command {
        Command::Serve { roles } if roles.is_empty() => command::serve::run(&settings, &Role::ALL).await,
        Command::Serve { roles } => command::serve::run(&settings, &roles).await,
        Command::Demo { images } => command::demo::run(&settings, &images).await,
        Command::Send(send) => send.run().await,
        Command::Doctor | Command::PixelWorker { .. } => ExitCode::SUCCESS,
        Command::Migrate => command::migrate::run(&settings).await,
        Command::Centre(centre) => directory::centre(&settings, centre).await,
        Command::User(user) => directory::user(&settings, user).await,
        Command::Token(token) => directory::token(&settings, token).await,
        Command::Physician(physician) => directory::physician(&settings, physician).await,
        Command::Order(order) => command::order::run(&settings, order).await,
        Command::Study(study) => command::study::run(&settings, study).await,
        Command::Verify { json } => command::verify::run(&settings, json).await,
        Command::Sweep { dry_run, even_if_many } => {
            command::sweep::run(&settings, archive::upkeep::sweep::Leave { dry_run, even_if_many }).await
        }
        Command::Rebuild => command::rebuild::run(&settings).await,
    }
}

fn log(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let for_a_person = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(for_a_person)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
