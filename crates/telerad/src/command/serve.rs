//! `telerad serve`: runs roles until a signal stops them.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use archive::peers::Places;
use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use broker::relay::{Relay, RelayConfig};
use clap::ValueEnum;
use domain::limit::TellsLimits;
use gate::{Gate, GateConfig, HttpServer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reporter::worker::{Worker, WorkerConfig};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::task::TaskTracker;
use tower_http::compression::{
    CompressionLayer,
    predicate::{Predicate, SizeAbove},
};

use crate::{
    command,
    lifecycle::{self, Lifecycle},
    peers,
    settings::Settings,
    wiring::{self, Parts, StartError},
};

/// How long what is in hand may take once a signal came.
const DRAIN_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// How long a part may take to say that it is ready.
const READY_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Answers smaller than this are not worth compressing, in bytes.
const COMPRESS_ABOVE: u64 = 1024;

/// A role that one process can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Takes images, over DICOM and STOW-RS.
    Intake,
    /// Takes orders.
    Orders,
    /// Gives images out, over DICOMweb, and to DICOM peers where the process also takes images.
    Archive,
    /// Carries the outbox to the broker, and dead work to the list of what needs attention.
    Relay,
    /// Writes drafts.
    Reporter,
    /// Worklist, viewer, report editor.
    ReadingRoom,
    /// Mails, and the physician's page.
    Notifier,
    /// Removes what no row names, and reads every object again.
    Upkeep,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Intake,
        Self::Orders,
        Self::Archive,
        Self::Relay,
        Self::Reporter,
        Self::ReadingRoom,
        Self::Notifier,
        Self::Upkeep,
    ];
}

/// Roles that are running.
pub struct Running {
    /// Where the web server listens.
    pub http: SocketAddr,
    /// Where associations are taken, if they are.
    pub dicom: Option<SocketAddr>,
    /// What the roles are joined to.
    pub parts: Parts,
    tasks: TaskTracker,
    lifecycle: Lifecycle,
}

/// Runs roles until a signal stops them.
pub async fn run(settings: &Settings, roles: &[Role]) -> ExitCode {
    let lifecycle = match lifecycle::listen() {
        Ok(lifecycle) => lifecycle,
        Err(error) => return command::fail(&error),
    };
    match start(settings, roles, lifecycle).await {
        Ok(running) => running.finish().await,
        Err(error) => command::fail(&error),
    }
}

/// Starts roles; they run in the background.
///
/// # Errors
/// When something that they need is not there.
pub async fn start(settings: &Settings, roles: &[Role], lifecycle: Lifecycle) -> Result<Running, StartError> {
    let metrics = PrometheusBuilder::new().install_recorder().ok();
    let parts = wiring::open(settings).await?;
    let gate = Gate::new(Arc::clone(&parts.catalog), Arc::clone(&parts.clock), gate_config(settings));
    let server = HttpServer::new(settings.http.limits.clone(), &settings.http.trusted_proxies);
    let mut starting = Starting {
        settings,
        parts,
        gate,
        tasks: TaskTracker::new(),
        lifecycle,
        dicom: None,
        dicom_tls: None,
        pulse: intake::pulse::Pulse::default(),
        server: server.clone(),
        roles,
        places: peers::places(settings, roles),
    };
    let mut app = Router::new();
    for role in Role::ALL.into_iter().filter(|role| roles.contains(role)) {
        app = app.merge(starting.start(role).await?);
    }
    let Starting { parts, gate, tasks, lifecycle, dicom, dicom_tls, .. } = starting;

    let app = gate.layer(app).merge(health(&parts, metrics));
    let app = gate::manners(app, Arc::clone(&parts.clock)).layer(compression());
    let (listener, http) = listen("the web server", settings.http.listen).await?;
    let (stop, drop_now) = (lifecycle.drain.clone(), lifecycle.drop_now.clone());
    tasks.spawn(server.run(listener, app, stop, drop_now));
    tasks.close();
    tracing::info!(?roles, %http, ?dicom, ?dicom_tls, "telerad runs");
    Ok(Running { http, dicom, parts, tasks, lifecycle })
}

/// Roles that are being started.
struct Starting<'a> {
    settings: &'a Settings,
    parts: Parts,
    gate: Gate,
    tasks: TaskTracker,
    lifecycle: Lifecycle,
    dicom: Option<SocketAddr>,
    dicom_tls: Option<SocketAddr>,
    pulse: intake::pulse::Pulse,
    server: HttpServer,
    roles: &'a [Role],
    /// Places for queries and retrieves, where this process answers them.
    places: Option<Places>,
}

impl Starting<'_> {
    /// Starts a role; gives what it answers over HTTP.
    async fn start(&mut self, role: Role) -> Result<Router, StartError> {
        match role {
            Role::Intake => self.intake().await,
            Role::Orders => Ok(self.orders()),
            Role::Archive => Ok(self.archive()),
            Role::Relay => Ok(self.relay()),
            Role::Reporter => Ok(self.reporter()),
            Role::ReadingRoom => self.reading_room(),
            Role::Notifier => self.notifier(),
            Role::Upkeep => Ok(self.upkeep()),
        }
    }

    async fn intake(&mut self) -> Result<Router, StartError> {
        let (parts, config) = (&self.parts, &self.settings.intake);
        let (catalog, clock) = (&parts.catalog, &parts.clock);
        let ledger =
            intake::Ledger::start(Arc::clone(catalog), Arc::clone(clock)).map_err(StartError::Threads)?;
        let intake = intake::Intake::new(Arc::clone(&parts.storage), ledger, Arc::clone(clock), config);
        let room = intake::Room::new(self.settings.folders(), config.reserve_bytes);
        let keeper = intake::quarantine::Keeper::new(
            Arc::clone(catalog),
            Arc::clone(clock),
            room.clone(),
            config.quarantine.clone(),
        );
        self.tasks.spawn(keeper.clone().run(self.lifecycle.drain.clone()));
        let intake = intake.with_keeper(keeper);
        let (listener, address) = listen("the DICOM server", config.listen).await?;
        self.dicom = Some(address);
        let server = intake::association::Server::new(
            intake.clone(),
            Arc::clone(catalog),
            Arc::clone(clock),
            config.clone(),
        )
        .with_room(room.clone())
        .with_pulse(self.pulse.clone());
        let (drain, drop_now) = (self.lifecycle.drain.clone(), self.lifecycle.drop_now.clone());
        let tls = config.tls.as_ref().map(intake::Tls::open).transpose().map_err(StartError::Tls)?;
        if let Some(tls) = &tls {
            self.tasks.spawn(Arc::clone(tls).watch(Arc::clone(clock), drain.clone()));
        }
        let server = match &self.places {
            Some(places) => {
                server.with_answering(peers::answering(self.settings, &self.parts, tls.clone(), places))
            }
            None => server,
        };
        let committer = intake::Committer {
            catalog: Arc::clone(catalog),
            storage: Arc::clone(&parts.storage),
            broker: Arc::clone(&parts.broker),
            clock: Arc::clone(clock),
            open: server.open_associations(),
            tls: tls.clone(),
            ae_title: config.ae_title.clone(),
        };
        self.tasks.spawn(committer.run(drain.clone()));
        let tls_address = config.tls.as_ref().and_then(|tls| tls.listen);
        if let (Some(tls), Some(address)) = (&tls, tls_address) {
            let (listener, address) = listen("the DICOM server over TLS", address).await?;
            self.dicom_tls = Some(address);
            let (server, tls) = (server.clone(), Arc::clone(tls));
            self.tasks.spawn(server.run(listener, Some(tls), drain.clone(), drop_now.clone()));
        }
        self.tasks.spawn(server.run(listener, None, drain, drop_now));
        let (catalog, clock) = (Arc::clone(catalog), Arc::clone(clock));
        let commitments = intake::commitment::web::CommitmentRequests {
            catalog: Arc::clone(&catalog),
            clock: Arc::clone(&clock),
        };
        let uploads = self.uploads(intake.clone()).await?;
        let quarantine = intake::quarantine::web::QuarantinePage::new(
            intake.clone(),
            Arc::clone(&catalog),
            Arc::clone(&clock),
            config.quarantine.clone(),
        );
        let stow = intake::web::Stow::new(intake, catalog, clock, config.clone());
        let stow = stow.with_room(room).with_pulse(self.pulse.clone()).with_folder(self.uploads_folder());
        Ok(stow.router().merge(commitments.router()).merge(uploads).merge(quarantine.router()))
    }

    /// Where uploads rest, and bulk data that wait for their objects.
    fn uploads_folder(&self) -> std::path::PathBuf {
        let config = &self.settings.intake;
        config.upload_dir.clone().unwrap_or_else(|| self.settings.data_dir.join("uploads"))
    }

    async fn uploads(&self, intake: intake::Intake) -> Result<Router, StartError> {
        let (parts, config) = (&self.parts, &self.settings.intake);
        let folder = self.uploads_folder();
        let (catalog, clock) = (Arc::clone(&parts.catalog), Arc::clone(&parts.clock));
        let opened =
            intake::upload::Uploads::open(&folder, intake, catalog, clock, config.upload.clone()).await;
        let (uploads, intaking) = opened.map_err(StartError::Uploads)?;
        self.tasks.spawn(intaking.run(self.lifecycle.drain.clone()));
        Ok(uploads.router())
    }

    fn orders(&self) -> Router {
        orders::router(orders::Orders {
            catalog: Arc::clone(&self.parts.catalog),
            clock: Arc::clone(&self.parts.clock),
            gate: self.gate.clone(),
        })
    }

    fn archive(&self) -> Router {
        let archive = archive::Archive {
            catalog: Arc::clone(&self.parts.catalog),
            storage: self.parts.near(),
            pixels: Arc::new(self.parts.pixels.clone()),
            clock: Arc::clone(&self.parts.clock),
            config: self.settings.archive.clone(),
        };
        self.tasks.spawn(archive::Documents::of(&archive).run(self.lifecycle.drain.clone()));
        archive::router(archive)
    }

    fn relay(&self) -> Router {
        let Parts { catalog, broker, clock, .. } = self.parts.clone();
        let relay =
            Relay::new(Arc::clone(&catalog), Arc::clone(&broker), Arc::clone(&clock), RelayConfig::default());
        let stop = self.lifecycle.drain.clone();
        self.tasks.spawn(async move { relay.run(stop).await });
        self.tasks.spawn(broker::dead::watch(catalog, broker, clock, self.lifecycle.drain.clone()));
        Router::new()
    }

    fn reporter(&self) -> Router {
        let Parts { catalog, broker, clock, pixels, .. } = self.parts.clone();
        let drafter = Arc::new(reporter::RuleDrafter::new(self.parts.near(), Arc::new(pixels)));
        let concurrency = self.settings.reporter.drafts_at_once;
        let config = WorkerConfig { concurrency, ..WorkerConfig::default() };
        let worker = Worker::new(broker, catalog, drafter, clock, config);
        let stop = self.lifecycle.drain.clone();
        self.tasks.spawn(async move { worker.run(stop).await });
        Router::new()
    }

    fn reading_room(&self) -> Result<Router, StartError> {
        let viewer = self.settings.viewer_dir();
        let viewer = reading_room::Viewer::open(viewer.as_deref()).map_err(StartError::Viewer)?;
        Ok(reading_room::router(reading_room::ReadingRoom {
            catalog: Arc::clone(&self.parts.catalog),
            storage: self.parts.near(),
            pixels: Arc::new(self.parts.pixels.clone()),
            clock: Arc::clone(&self.parts.clock),
            gate: self.gate.clone(),
            mail_configured: self.settings.mail.smtp.is_some(),
            viewer,
            overview: self.overview(),
            also_described: vec![orders::openapi()],
        }))
    }

    /// What the parts of this process tell on the status page.
    fn overview(&self) -> reading_room::Overview {
        let mut parts: Vec<Arc<dyn TellsLimits>> = vec![Arc::new(self.server.clone())];
        if self.roles.contains(&Role::Intake) {
            let config = self.settings.intake.clone();
            parts.insert(0, Arc::new(intake::pulse::Told { config, pulse: self.pulse.clone() }));
        }
        if self.roles.contains(&Role::Archive) {
            parts.push(Arc::new(archive::limits::Told {
                config: self.settings.archive.clone(),
                places: self.places.clone(),
            }));
        }
        if let Some(cached) = &self.parts.cached {
            parts.push(Arc::<storage::Cached>::clone(cached));
        }
        if self.roles.contains(&Role::Archive) || self.roles.contains(&Role::Reporter) {
            parts.push(Arc::new(self.parts.pixels.clone()));
        }
        if self.roles.contains(&Role::Upkeep) {
            parts.push(Arc::new(self.parts.upkeep(self.settings)));
        }
        reading_room::Overview { parts, broker: Some(Arc::clone(&self.parts.broker)) }
    }

    fn upkeep(&self) -> Router {
        let upkeep = self.parts.upkeep(self.settings);
        self.tasks.spawn(upkeep.run(self.lifecycle.drain.clone()));
        Router::new()
    }

    fn notifier(&self) -> Result<Router, StartError> {
        let (settings, parts) = (self.settings, &self.parts);
        let notifier = notifier::Notifier {
            catalog: Arc::clone(&parts.catalog),
            storage: Arc::clone(&parts.storage),
            broker: Arc::clone(&parts.broker),
            clock: Arc::clone(&parts.clock),
            mailer: notifier::mailer::of(&settings.mail, &parts.catalog).map_err(StartError::Mail)?,
            renderer: Arc::new(wiring::renderer(settings).map_err(StartError::Renderer)?),
            settings: Arc::new(notifier::Settings::of(&settings.mail).map_err(StartError::Mail)?),
        };
        let (worker, stop) = (notifier.worker(), self.lifecycle.drain.clone());
        self.tasks.spawn(async move { worker.run(stop).await });
        Ok(notifier.pages())
    }
}

impl Running {
    /// Waits for the signals and for what is in hand.
    pub async fn finish(self) -> ExitCode {
        self.lifecycle.drain.cancelled().await;
        tokio::select! {
            () = self.tasks.wait() => {
                tracing::info!("stopped; nothing was left in hand");
                ExitCode::SUCCESS
            }
            () = self.lifecycle.drop_now.cancelled() => ExitCode::FAILURE,
            () = tokio::time::sleep(DRAIN_TIME_MAX) => {
                tracing::warn!("stopped; some work took too long and will be handed out again");
                ExitCode::FAILURE
            }
        }
    }
}

fn gate_config(settings: &Settings) -> GateConfig {
    GateConfig {
        secure_cookie: settings.http.secure_cookies,
        trusted_proxies: settings.http.trusted_proxies.clone(),
        ..GateConfig::default()
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refuse = |source| StartError::Listen { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    Ok((listener, address))
}

/// Whether this process lives, whether its parts answer, and its numbers.
fn health(parts: &Parts, metrics: Option<PrometheusHandle>) -> Router {
    let parts = parts.clone();
    let ready = move || {
        let parts = parts.clone();
        async move { readiness(&parts).await }
    };
    let numbers = move || {
        let text = metrics.as_ref().map(PrometheusHandle::render);
        async move { text.ok_or(StatusCode::NOT_FOUND) }
    };
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(numbers))
}

async fn readiness(parts: &Parts) -> impl IntoResponse + use<> {
    let (storage, catalog, broker) = tokio::join!(
        timeout(READY_TIME_MAX, parts.storage.check()),
        timeout(READY_TIME_MAX, parts.catalog.check()),
        timeout(READY_TIME_MAX, parts.broker.check()),
    );
    let word = |is_ready: bool| if is_ready { "ready" } else { "not ready" };
    let states = [matches!(storage, Ok(Ok(()))), matches!(catalog, Ok(Ok(()))), matches!(broker, Ok(Ok(())))];
    let status = if states == [true; 3] { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let [storage, catalog, broker] = states.map(word);
    (status, Json(serde_json::json!({"storage": storage, "catalog": catalog, "broker": broker})))
}

/// Compresses what is text; images are what they are.
fn compression() -> CompressionLayer<impl Predicate> {
    let text = |_: StatusCode,
                _: axum::http::Version,
                headers: &axum::http::HeaderMap,
                _: &axum::http::Extensions| {
        let media_type =
            headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default();
        media_type.starts_with("text/")
            || media_type.ends_with("json")
            || matches!(media_type, "application/javascript" | "application/wasm" | "image/svg+xml")
    };
    CompressionLayer::new().gzip(true).compress_when(SizeAbove::new(COMPRESS_ABOVE).and(text))
}
