//! Stopping: the first signal drains, the second drops.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two steps of stopping.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Take nothing new, finish what is in hand.
    pub drain: CancellationToken,
    /// Drop what is in hand.
    pub drop_now: CancellationToken,
}

/// Listens for SIGINT and SIGTERM.
///
/// # Errors
/// When the system does not let us.
pub fn listen() -> std::io::Result<Lifecycle> {
    let lifecycle = Lifecycle::default();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let steps = lifecycle.clone();
    tokio::spawn(async move {
        for (step, note) in [
            (&steps.drain, "stopping: finishing what is in hand; a second signal drops it"),
            (&steps.drop_now, "stopping at once"),
        ] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("{note}");
            step.cancel();
        }
    });
    Ok(lifecycle)
}
