//! Images go out to DICOM peers: C-FIND, C-MOVE and C-GET (PS3.4 annex C). What goes over the peer's association is a list of steps that
//! whoever holds the association performs; for a C-MOVE an association of our own is opened. Who may ask is found out before.
//!
//! Not here: the association itself, and what a peer may do.

mod find;
mod identifier;
mod objects;
mod outgoing;
mod places;
mod retrieve;
mod settings;

use std::{
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dimse::{Asked, Reply, Status, Step, Wish};
use domain::{
    id::CentreId,
    peer::PeerAddress,
    port::{Catalog, Clock, Pixels, Storage},
    text::AeTitle,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use find::SCANNED_STUDIES_MAX;
pub use objects::{REWRITTEN_BYTES_MAX, WHOLE_BYTES_MAX};
pub use places::Places;
pub use settings::Settings;

use crate::{Archive, audit};

/// Steps that wait for the association: with pieces of an object this bounds what is in memory beside the socket.
const STEPS_WAITING_MAX: usize = 4;

/// A connection to a peer.
pub trait Connection: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Connection for T {}

/// Opens connections to peers.
#[async_trait]
pub trait Calls: Send + Sync + 'static {
    /// Opens a connection, over TLS where the address says so, within a time limit.
    ///
    /// # Errors
    /// When the peer is not reached.
    async fn call(&self, address: &PeerAddress) -> io::Result<Box<dyn Connection>>;
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its title.
    pub ae: AeTitle,
    /// Whose images it may see.
    pub centre: CentreId,
}

/// An answer that is being given.
pub struct Conversation {
    /// What is done next, in order. The last one is a reply that is not pending.
    pub steps: mpsc::Receiver<Step>,
    /// Where the peer's answers to sub-operations of a C-GET go.
    pub answers: mpsc::Sender<Status>,
    /// The peer cancels.
    pub cancel: CancellationToken,
    /// Dropped when nobody listens any more.
    pub listening: DropGuard,
}

/// Answers queries and retrieves of peers. Clones share limits.
#[derive(Clone)]
pub struct PeerArchive(Arc<Inner>);

struct Inner {
    catalog: Arc<dyn Catalog>,
    storage: Arc<dyn Storage>,
    pixels: Arc<dyn Pixels>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// Our AE title: who can be asked for what is found, and who calls a move destination.
    ae_title: String,
    calls: Arc<dyn Calls>,
    places: Places,
    seen: Mutex<audit::Seen>,
}

/// One request, while it is answered.
struct Request {
    peer: Peer,
    asked: Asked,
    /// Classes and transfer syntaxes that the peer takes on its association.
    taken: Vec<(String, String)>,
    steps: mpsc::Sender<Step>,
    answers: mpsc::Receiver<Status>,
    cancel: CancellationToken,
}

/// Nobody listens any more.
struct Gone;

impl Request {
    async fn step(&self, step: Step) -> Result<(), Gone> {
        self.steps.send(step).await.map_err(|_| Gone)
    }

    async fn reply(&self, reply: Reply) -> Result<(), Gone> {
        self.step(Step::Reply(reply)).await
    }
}

impl PeerArchive {
    /// What answers under an AE title. It counts into `places`, which others see.
    #[must_use]
    pub fn new(archive: Archive, ae_title: &str, calls: Arc<dyn Calls>, places: Places) -> Self {
        let Archive { catalog, storage, pixels, clock, config } = archive;
        Self(Arc::new(Inner {
            catalog,
            storage,
            pixels,
            clock,
            settings: config.peers,
            ae_title: ae_title.to_owned(),
            calls,
            places,
            seen: Mutex::default(),
        }))
    }

    /// Begins to answer. `taken` are the SOP classes and transfer syntaxes in which the peer takes objects on its association.
    #[must_use]
    pub fn begin(&self, peer: Peer, asked: Asked, taken: Vec<(String, String)>) -> Conversation {
        let (steps, to_association) = mpsc::channel(STEPS_WAITING_MAX);
        let (answers, from_association) = mpsc::channel(1);
        let (cancel, gone) = (CancellationToken::new(), CancellationToken::new());
        let request =
            Request { peer, asked, taken, steps, answers: from_association, cancel: cancel.clone() };
        let (inner, listening) = (Arc::clone(&self.0), gone.clone().drop_guard());
        tokio::spawn(async move {
            tokio::select! {
                () = gone.cancelled() => {}
                () = inner.answer(request) => {}
            }
        });
        Conversation { steps: to_association, answers, cancel, listening }
    }
}

impl Inner {
    async fn answer(&self, mut request: Request) {
        let is_query = request.asked.wish == Wish::Find;
        let place = self.places.take(&request.peer.ae, is_query);
        let answered = match place {
            Some(_place) if is_query => self.find(&request).await,
            Some(_place) => self.retrieve(&mut request).await,
            None => {
                let status =
                    if is_query { Status::OUT_OF_RESOURCES } else { Status::CANNOT_PERFORM_SUB_OPERATIONS };
                Ok(Reply::of(status).saying("too many queries or retrieves at one time, try later"))
            }
        };
        let Ok(reply) = answered else {
            tracing::warn!(peer.ae = %request.peer.ae, "a query or retrieve ends: the peer's association is gone");
            return;
        };
        tracing::info!(
            peer.ae = %request.peer.ae,
            centre = %request.peer.centre,
            what = word(&request.asked.wish),
            status = format_args!("{:04X}H", reply.status.0),
            comment = reply.comment,
            counts = ?reply.counts,
            "query or retrieve answered"
        );
        // An association that is gone hears nothing.
        let _ = request.reply(reply).await;
    }
}

/// What a wish is called.
const fn word(wish: &Wish) -> &'static str {
    match wish {
        Wish::Find => "C-FIND",
        Wish::Move { .. } => "C-MOVE",
        Wish::Get => "C-GET",
    }
}

/// What a peer hears when the catalog does not answer.
fn away(error: &domain::port::CatalogError, status: Status) -> Reply {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a query or retrieve fails: the catalog is away"
    );
    Reply::of(status).saying("the catalog is away, try later")
}
