//! Opens what the settings name and joins roles to it.

use std::{path::Path, sync::Arc};

use broker::{BrokerConfig, EmbeddedBroker, RabbitBroker};
use catalog::SqlCatalog;
use domain::port::{Broker, Catalog, Clock, Storage};

use crate::{clock::MachineClock, settings::Settings};

/// What the roles are joined to.
#[derive(Clone)]
pub struct Parts {
    /// Objects.
    pub storage: Arc<dyn Storage>,
    /// The same behind a cache on this machine, where the settings want one: for who reads images, and for nobody who has to know what
    /// the store itself has.
    pub cached: Option<Arc<storage::Cached>>,
    /// What is known.
    pub catalog: Arc<dyn Catalog>,
    /// Work that waits.
    pub broker: Arc<dyn Broker>,
    /// Who works on pixels.
    pub pixels: pixels::Pool,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Parts {
    /// Objects for who reads images.
    #[must_use]
    pub fn near(&self) -> Arc<dyn Storage> {
        match &self.cached {
            Some(cached) => Arc::<storage::Cached>::clone(cached),
            None => Arc::clone(&self.storage),
        }
    }

    /// Upkeep of these parts.
    pub fn upkeep(&self, settings: &Settings) -> archive::upkeep::Upkeep {
        let Self { catalog, storage, clock, .. } = self.clone();
        archive::upkeep::Upkeep::new(catalog, storage, clock, settings.upkeep.clone())
    }
}

/// Why the product cannot start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No folder.
    #[error("the folder {folder} cannot be made: check its parent and your permissions")]
    DataDir {
        /// Which.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No store.
    #[error("the object store cannot be opened: check [storage]")]
    Storage(#[source] storage::OpenError),
    /// No catalog.
    #[error("the catalog cannot be opened: check [catalog]")]
    Catalog(#[source] catalog::OpenError),
    /// No broker.
    #[error("the broker cannot be reached: check [broker]")]
    Broker(#[source] domain::port::BrokerError),
    /// No threads for intake.
    #[error("the system gives no more threads: raise its limit on processes, or end some")]
    Threads(#[source] std::io::Error),
    /// Uploads cannot be taken.
    #[error("uploads cannot be taken: check intake.upload_dir")]
    Uploads(#[source] intake::upload::UploadsError),
    /// An address is taken or not ours.
    #[error(
        "{what} cannot listen on {address}: another program may hold it, or the address is not this machine's"
    )]
    Listen {
        /// Who would listen.
        what: &'static str,
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be spoken.
    #[error("DICOM over TLS cannot be set up: check [intake.tls]")]
    Tls(#[source] intake::tls::TlsError),
    /// The PDF cannot be made.
    #[error("reports cannot be rendered: check [fonts]")]
    Renderer(#[source] documents::SetupError),
    /// The viewer's folder cannot be read.
    #[error("the viewer cannot be served: check http.viewer_dir")]
    Viewer(#[source] reading_room::ViewerError),
    /// Mail cannot be sent.
    #[error("mail cannot be set up: check [mail]")]
    Mail(#[source] notifier::SetupError),
}

/// Opens the catalog, brought up to this version's schema.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_catalog(settings: &Settings) -> Result<Arc<SqlCatalog>, StartError> {
    make_data_dir(settings)?;
    let catalog = SqlCatalog::open(&settings.catalog()).await.map_err(StartError::Catalog)?;
    catalog.migrate().await.map_err(StartError::Catalog)?;
    Ok(Arc::new(catalog))
}

/// Opens everything.
///
/// # Errors
/// When something cannot be opened.
pub async fn open(settings: &Settings) -> Result<Parts, StartError> {
    let catalog = open_catalog(settings).await?;
    catalog.settle().await.map_err(StartError::Catalog)?;
    let catalog: Arc<dyn Catalog> = catalog;
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let opened = storage::open(&settings.storage()).await.map_err(StartError::Storage)?;
    let storage::Opened { storage, cached } = opened;
    let broker: Arc<dyn Broker> = match &settings.broker {
        BrokerConfig::Embedded(config) => {
            Arc::new(EmbeddedBroker::new(Arc::clone(&catalog), Arc::clone(&clock), config.clone()))
        }
        BrokerConfig::Rabbitmq(config) => {
            Arc::new(RabbitBroker::connect(config.clone()).await.map_err(StartError::Broker)?)
        }
    };
    let pixels = pixels::Pool::new(settings.pixels.clone());
    Ok(Parts { storage, cached, catalog, broker, pixels, clock })
}

fn make_data_dir(settings: &Settings) -> Result<(), StartError> {
    let folder = &settings.data_dir;
    make_durable(folder)
        .map_err(|source| StartError::DataDir { folder: folder.display().to_string(), source })
}

/// Makes a folder and those above it, and flushes what holds their names: a power cut must not take the folder with all that is in it.
fn make_durable(folder: &Path) -> std::io::Result<()> {
    let folder = std::path::absolute(folder)?;
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(&folder)?;
    for above in missing.iter().filter_map(|folder| folder.parent()) {
        std::fs::File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// What sets reports as PDF.
///
/// # Errors
/// When the fonts or the template cannot be used.
pub fn renderer(settings: &Settings) -> Result<documents::Renderer, documents::SetupError> {
    let fonts = documents::FontSources {
        directories: settings.fonts.dirs.clone(),
        text_family: settings.fonts.text_family.clone(),
    };
    let template = match &settings.fonts.template_dir {
        Some(folder) => documents::TemplateSource::Directory(folder.clone()),
        None => documents::TemplateSource::BuiltIn,
    };
    documents::Renderer::with_template(&fonts, &template)
}
