//! Settings: a TOML file, then the environment (`TELERAD__SECTION__KEY`), then flags; the last one wins. Unknown keys are refused.

use std::{net::SocketAddr, path::PathBuf};

use broker::BrokerConfig;
use catalog::CatalogConfig;
use clap::Args;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use reporter::worker::WorkerConfig;
use serde::Deserialize;
use storage::{FileConfig, StorageConfig};

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where everything lies that is not said elsewhere: objects, catalog.
    pub data_dir: PathBuf,
    /// The web server.
    pub http: Http,
    /// Intake: associations and uploads.
    pub intake: intake::Config,
    /// Objects; a folder in `data_dir` when not set.
    pub storage: Option<StorageConfig>,
    /// The catalog; SQLite in `data_dir` when not set.
    pub catalog: Option<CatalogConfig>,
    /// The broker; embedded in the catalog when not set.
    pub broker: BrokerConfig,
    /// Images out, over DICOMweb.
    pub archive: archive::Config,
    /// Pixel work, in processes of its own.
    pub pixels: pixels::Config,
    /// Upkeep of the store.
    pub upkeep: archive::upkeep::Config,
    /// The report-generation worker.
    pub reporter: Reporter,
    /// Mail to physicians; the embedded mailbox when no server is set.
    pub mail: notifier::Config,
    /// Fonts of the PDF.
    pub fonts: Fonts,
    /// The log.
    pub log: Log,
}

/// The report-generation worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reporter {
    /// Drafts written at one time; decoding takes a core each.
    pub drafts_at_once: usize,
}

/// The web server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The service is reached over TLS, by a proxy before it: cookies are sent over nothing else.
    pub secure_cookies: bool,
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// The folder with the OHIF build; `viewer` beside the executable or in the working folder when not set.
    pub viewer_dir: Option<PathBuf>,
    /// What one peer may ask of it.
    pub limits: gate::HttpLimits,
}

/// Fonts of the PDF.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fonts {
    /// Folders with fonts for scripts that the built-in ones do not cover.
    pub dirs: Vec<PathBuf>,
    /// The family that text is set in; the built-in one when not set.
    pub text_family: Option<String>,
    /// A folder with the hospital's own template `report.typ`; the built-in one when not set.
    pub template_dir: Option<PathBuf>,
}

/// The log, on standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` for people, `json` for programs.
    pub format: LogFormat,
    /// What is logged, as `tracing` has it: `info`, `warn,intake=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args, Default)]
pub struct Flags {
    /// A TOML file with settings.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything lies that the settings do not put elsewhere.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Where the web server listens.
    #[arg(long, global = true, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Where DICOM associations are taken.
    #[arg(long, global = true, value_name = "ADDR")]
    pub dicom: Option<SocketAddr>,
    /// Where DICOM associations over TLS are taken; the certificates are named in the settings.
    #[arg(long, global = true, value_name = "ADDR")]
    pub dicom_tls: Option<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            http: Http::default(),
            intake: intake::Config::default(),
            storage: None,
            catalog: None,
            broker: BrokerConfig::default(),
            archive: archive::Config::default(),
            pixels: pixels::Config::default(),
            upkeep: archive::upkeep::Config::default(),
            reporter: Reporter::default(),
            mail: notifier::Config::default(),
            fonts: Fonts::default(),
            log: Log::default(),
        }
    }
}

impl Default for Reporter {
    fn default() -> Self {
        Self { drafts_at_once: WorkerConfig::default().concurrency }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            secure_cookies: false,
            trusted_proxies: Vec::new(),
            viewer_dir: None,
            limits: gate::HttpLimits::default(),
        }
    }
}

impl Default for Fonts {
    fn default() -> Self {
        Self { dirs: vec![PathBuf::from("/usr/share/fonts")], text_family: None, template_dir: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,sqlx=warn,lapin=warn,aws_config=warn".to_owned() }
    }
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a file cannot be read, a key is unknown or a value does not fit; the text says which and where.
    pub fn read(flags: &Flags) -> Result<Self, Box<figment::Error>> {
        let mut figment = Figment::new();
        if let Some(file) = &flags.config {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(Env::prefixed("TELERAD__").split("__"));
        if let Some(folder) = &flags.data_dir {
            figment = figment.merge(Serialized::global("data_dir", folder));
        }
        if let Some(address) = &flags.http {
            figment = figment.merge(Serialized::global("http.listen", address));
        }
        if let Some(address) = &flags.dicom {
            figment = figment.merge(Serialized::global("intake.listen", address));
        }
        if let Some(address) = &flags.dicom_tls {
            figment = figment.merge(Serialized::global("intake.tls.listen", address));
        }
        let says_public_url = figment.find_value("mail.public_url").is_ok();
        let mut settings: Self = figment.extract().map_err(Box::new)?;
        if !says_public_url {
            settings.mail.public_url = format!("http://{}", settings.http.listen);
        }
        Ok(settings)
    }

    /// Where objects are kept.
    #[must_use]
    pub fn storage(&self) -> StorageConfig {
        let folder = || StorageConfig::Filesystem(FileConfig::new(self.data_dir.join("objects")));
        let mut storage = self.storage.clone().unwrap_or_else(folder);
        if let StorageConfig::S3(s3) = &mut storage {
            s3.cache_dir.get_or_insert_with(|| self.data_dir.join("cache"));
        }
        storage
    }

    /// Where the catalog is kept.
    #[must_use]
    pub fn catalog(&self) -> CatalogConfig {
        self.catalog
            .clone()
            .unwrap_or_else(|| CatalogConfig::Sqlite { path: self.data_dir.join("catalog.sqlite") })
    }

    /// The folders of this machine that objects and catalog fill.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let objects = match self.storage() {
            StorageConfig::Filesystem(config) => Some(config.dir),
            StorageConfig::S3(_) => None,
        };
        let catalog = match self.catalog() {
            CatalogConfig::Sqlite { path } => path.parent().map(PathBuf::from),
            CatalogConfig::Postgres { .. } => None,
        };
        objects.into_iter().chain(catalog).collect()
    }

    /// The folder with the OHIF build, if there is one.
    #[must_use]
    pub fn viewer_dir(&self) -> Option<PathBuf> {
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("viewer")));
        let candidates = match &self.http.viewer_dir {
            Some(folder) => vec![folder.clone()],
            None => beside.into_iter().chain([PathBuf::from("viewer")]).collect(),
        };
        candidates.into_iter().find(|folder| folder.join("index.html").is_file())
    }
}
