//! Do: images go out, over DICOMweb: QIDO-RS and WADO-RS (PS3.18 sections 10.4 and 10.6), and WADO-URI (section 9); and over DIMSE to
//! peers ([`peers`]).
//!
//! Every route stands twice: below `/dicomweb` for callers who see one centre, and below
//! `/dicomweb/centres/{centre}`. A centre that a caller may not see is answered like one that does not exist.
//! Objects leave as they are stored: bytes are copied, in pieces, so that memory does not grow with the size of a study. Only for who
//! asks for another transfer syntax are they written anew, a frame at a time ([`transcode`]); pixels are worked on behind
//! [`domain::port::Pixels`]. Storing (STOW-RS) is not here.
//! What rests is also looked after from here ([`upkeep`]).
//!
//! Deviations, on purpose: a request for `application/dicom` that names no transfer syntax is answered as
//! stored, where PS3.18 section 8.7.3.5.2 would have every object rewritten to Explicit VR Little Endian,
//! since all clients that we know read what scanners write and a copy keeps the digest.

mod accept;
mod address;
mod audit;
mod bulk;
mod cache;
mod capabilities;
mod config;
mod conversion;
mod document;
mod documents;
mod fetch;
mod frames;
mod held;
pub mod limits;
mod metadata;
mod multipart;
mod native;
pub mod peers;
mod pixel;
mod query;
mod rendered;
mod retrieve;
mod take_out;
pub mod transcode;
pub mod upkeep;
mod validator;
mod wado_uri;

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    routing::{get, post},
};
use domain::port::{Catalog, Clock, Pixels, Storage};

use cache::Cache;

pub use config::Config;
pub use documents::{DocumentError, Documents};
pub use frames::FRAMES_MAX;
pub use query::{ROWS_MAX, SCANNED_STUDIES_MAX};

/// What images need to go out.
#[derive(Clone)]
pub struct Archive {
    /// What is known of them.
    pub catalog: Arc<dyn Catalog>,
    /// Where their bytes rest.
    pub storage: Arc<dyn Storage>,
    /// Who decodes and encodes their pixels.
    pub pixels: Arc<dyn Pixels>,
    /// What time it is, for the audit.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub config: Config,
}

/// What all requests share.
struct Shared {
    catalog: Arc<dyn Catalog>,
    storage: Arc<dyn Storage>,
    pixels: Arc<dyn Pixels>,
    clock: Arc<dyn Clock>,
    config: Config,
    seen: Mutex<audit::Seen>,
    /// Documents that were asked for lately, and their texts.
    metadata: Mutex<Cache<metadata::Name>>,
    /// Pictures that were asked for lately.
    pictures: Mutex<Cache<rendered::Name>>,
    shapes: Mutex<frames::Shapes>,
}

type State = Arc<Shared>;

/// The routes of QIDO-RS, WADO-RS and WADO-URI. Who calls must have been found out before (`gate::Gate::layer`).
pub fn router(archive: Archive) -> Router {
    let Archive { catalog, storage, pixels, clock, config } = archive;
    let shared = Arc::new(Shared {
        seen: Mutex::default(),
        metadata: Mutex::new(Cache::new(config.metadata_cache_bytes)),
        pictures: Mutex::new(Cache::new(config.picture_cache_bytes)),
        shapes: Mutex::default(),
        catalog,
        storage,
        pixels,
        clock,
        config,
    });
    ["/dicomweb", "/dicomweb/centres/{centre}"]
        .into_iter()
        .fold(Router::new(), |router, prefix| router.merge(routes(prefix)))
        .route("/dicomweb/centres/{centre}/held/{conflict}/{side}", get(held::file))
        .route("/dicomweb/centres/{centre}/held/{conflict}/{side}/rendered", get(held::picture))
        .with_state(shared)
}

/// The routes below one prefix. The paths are, to the letter, those of STOW-RS where both have one, so that
/// the routers merge.
fn routes(prefix: &str) -> Router<State> {
    let study = format!("{prefix}/studies/{{study}}");
    let series = format!("{study}/series/{{series}}");
    let instance = format!("{series}/instances/{{instance}}");
    let frames = format!("{instance}/frames/{{frames}}");
    Router::new()
        .route(prefix, get(wado_uri::get).options(capabilities::retrieve))
        .route(&format!("{prefix}/wado"), get(wado_uri::get))
        .route(&format!("{prefix}/studies"), get(query::studies))
        .route(&format!("{prefix}/series"), get(query::series))
        .route(&format!("{prefix}/instances"), get(query::instances))
        .route(&study, get(retrieve::study).delete(take_out::study))
        .route(&format!("{prefix}/taken-out"), get(take_out::list))
        .route(&format!("{prefix}/taken-out/{{study}}/bring-back"), post(take_out::bring_back))
        .route(&format!("{study}/metadata"), get(metadata::study))
        .route(&format!("{study}/rendered"), get(rendered::study))
        .route(&format!("{study}/thumbnail"), get(rendered::study_thumbnail))
        .route(&format!("{study}/series"), get(query::series_of_study))
        .route(&format!("{study}/instances"), get(query::instances_of_study))
        .route(&series, get(retrieve::series))
        .route(&format!("{series}/metadata"), get(metadata::series))
        .route(&format!("{series}/rendered"), get(rendered::series))
        .route(&format!("{series}/thumbnail"), get(rendered::series_thumbnail))
        .route(&format!("{series}/instances"), get(query::instances_of_series))
        .route(&instance, get(retrieve::instance))
        .route(&format!("{instance}/metadata"), get(metadata::instance))
        .route(&format!("{instance}/bulkdata/{{*place}}"), get(bulk::bulk_data))
        .route(&format!("{instance}/rendered"), get(rendered::instance))
        .route(&format!("{instance}/thumbnail"), get(rendered::instance_thumbnail))
        .route(&frames, get(frames::frames))
        .route(&format!("{frames}/rendered"), get(rendered::frame))
        .route(&format!("{frames}/thumbnail"), get(rendered::frame_thumbnail))
}
