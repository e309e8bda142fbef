//! Queries and retrieves of peers (PS3.4 annex C), which come in by the same port as images: what the association server needs of whoever
//! answers them, and nothing of how. Giving images out is another role's; a process without it does not offer these services.

use dimse::{Asked, Status, Step};
use domain::{id::CentreId, text::AeTitle};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Who asks, as its association was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its title.
    pub ae: AeTitle,
    /// Whose images it may see.
    pub centre: CentreId,
}

/// Whoever answers queries and retrieves.
pub trait Answering: Send + Sync + 'static {
    /// Begins to answer. It was found out that the peer may ask this. `taken` are the SOP classes and transfer syntaxes in which the peer
    /// takes objects on this association, for a C-GET.
    fn begin(&self, asker: Peer, asked: Asked, taken: Vec<(String, String)>) -> Underway;
}

/// An answer that is being given.
pub struct Underway {
    /// What is done next, in order. The last one is a reply that is not pending.
    pub steps: mpsc::Receiver<Step>,
    /// Where the peer's answers to sub-operations go, one at a time.
    pub answers: mpsc::Sender<Status>,
    /// The peer cancels.
    pub cancel: CancellationToken,
    /// Dropped with the association: nobody listens any more.
    pub listening: DropGuard,
}

/// The next step of what is under way; never, when nothing is. `None` when it broke off.
pub(crate) async fn next(underway: &mut Option<(u16, Underway)>) -> Option<Step> {
    match underway {
        Some((_, underway)) => underway.steps.recv().await,
        None => std::future::pending().await,
    }
}
