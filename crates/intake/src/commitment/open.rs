//! The associations of this process on which a peer can be told of a commitment.
//! It is memory and no more: what is lost here with the process is told later, or over an association of ours.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use dimse::{CommitmentReport, Status};
use domain::{id::CentreId, text::AeTitle};
use tokio::sync::{mpsc, oneshot};

/// Reports that wait for one association; the worker tells one after the other.
const WAITING_MAX: usize = 1;

/// A report for an association, and where its answer goes. Dropping it says that it was not told.
pub(crate) struct Told {
    pub(crate) report: CommitmentReport,
    pub(crate) answer: oneshot::Sender<Status>,
}

type Waiting = Vec<mpsc::Sender<Told>>;

/// Associations that speak of storage commitment. Clones are the same ones.
#[derive(Clone, Default)]
pub struct OpenAssociations {
    open: Arc<Mutex<HashMap<(CentreId, AeTitle), Waiting>>>,
}

impl OpenAssociations {
    /// An association of this peer is open as long as it keeps what it gets here.
    pub(crate) fn enter(&self, centre: &CentreId, ae: &AeTitle) -> mpsc::Receiver<Told> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        open.entry((centre.clone(), ae.clone())).or_default().push(sender);
        receiver
    }

    /// Tells a peer on its latest open association; `None` when it has none that is free.
    pub(crate) fn tell(
        &self,
        centre: &CentreId,
        ae: &AeTitle,
        report: &CommitmentReport,
    ) -> Option<oneshot::Receiver<Status>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = open.get(&(centre.clone(), ae.clone()))?;
        senders.iter().rev().find_map(|sender| {
            let (answer, told) = oneshot::channel();
            sender.try_send(Told { report: report.clone(), answer }).ok().map(|()| told)
        })
    }
}

/// The next report for an association; never, when it does not speak of commitment.
pub(crate) async fn next(reports: &mut Option<mpsc::Receiver<Told>>) -> Told {
    if let Some(receiver) = reports
        && let Some(told) = receiver.recv().await
    {
        return told;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_open_associations_are_told() {
        let open = OpenAssociations::default();
        let (centre, ae) = (CentreId::parse("c1").unwrap(), AeTitle::parse("CT").unwrap());
        let report = CommitmentReport { transaction_uid: "1.2".to_owned(), ..CommitmentReport::default() };
        assert!(open.tell(&centre, &ae, &report).is_none());
        let mut listening = Some(open.enter(&centre, &ae));
        let other = CentreId::parse("c2").unwrap();
        assert!(open.tell(&other, &ae, &report).is_none(), "another centre's peer");
        let answer = open.tell(&centre, &ae, &report).unwrap();
        assert!(open.tell(&centre, &ae, &report).is_none(), "it has one to tell already");
        let told = next(&mut listening).await;
        assert_eq!(told.report, report);
        told.answer.send(Status::SUCCESS).unwrap();
        assert_eq!(answer.await, Ok(Status::SUCCESS));
        let unheard = open.tell(&centre, &ae, &report).unwrap();
        drop(listening);
        assert!(unheard.await.is_err(), "the association ended");
        assert!(open.tell(&centre, &ae, &report).is_none());
    }
}
