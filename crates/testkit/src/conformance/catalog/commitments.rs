//! Storage commitments: what was asked, what was found, and whether the asker knows.

use std::sync::Arc;

use domain::{
    audit::Actor,
    commitment::{Asker, Failure, FailureReason, KEPT, Reference, WAITING_MAX, next_try},
    event::Event,
    id::{CentreId, CommitmentId},
    person::Scope,
    port::{
        Catalog,
        catalog::{CommitmentOutcome, NewCommitment, ReportAttempt, TaskFilter},
    },
    task::{NewTask, TaskKind},
    uid::{SopClassUid, SopInstanceUid, TransactionUid},
    work::Queue,
};
use futures::future::join_all;

use super::world::{add_centre, ae, at, later};

fn reference(n: u32) -> Reference {
    Reference {
        sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: SopInstanceUid::parse(&format!("1.2.{n}")).unwrap(),
    }
}

fn new(centre: &CentreId, by: Asker, count: u32) -> NewCommitment {
    NewCommitment {
        id: CommitmentId::fresh(),
        centre: centre.clone(),
        transaction: TransactionUid::parse("1.9").unwrap(),
        by,
        actor: Actor::Operator,
        references: (0..count).map(reference).collect(),
    }
}

fn peer() -> Asker {
    Asker::Peer(ae("CT_1"))
}

fn task(centre: &CentreId, kind: TaskKind) -> NewTask {
    NewTask {
        centre: centre.clone(),
        study: None,
        kind,
        subject: "x".into(),
        reason: "It is so.".into(),
        next_step: "Do.".into(),
    }
}

async fn due(catalog: &Arc<dyn Catalog>, second: i64) -> Vec<CommitmentId> {
    let rows = catalog.due_outbox(at(second), 100).await.unwrap();
    rows.into_iter()
        .filter_map(|row| match row.work.event {
            Event::CommitmentDueV1 { commitment, .. } => Some(CommitmentId::parse(&commitment).unwrap()),
            _ => None,
        })
        .collect()
}

async fn publish(catalog: &Arc<dyn Catalog>) {
    for row in catalog.due_outbox(later(), 100).await.unwrap() {
        assert_eq!(row.work.event.queue(), Queue::Commit);
        catalog.mark_published(row.work.id, row.work.revision, later()).await.unwrap();
    }
}

/// A request is kept with its work; its result is kept once; telling ends it.
pub async fn a_commitment_is_kept_checked_and_reported(catalog: Arc<dyn Catalog>) {
    let north = add_centre(&catalog, "north").await;
    let asked = new(&north, peer(), 3);
    let outcome = catalog.request_commitment(&asked, at(1)).await.unwrap();
    assert_eq!(outcome, CommitmentOutcome::Accepted(asked.id));
    assert_eq!(due(&catalog, 1).await, [asked.id]);
    let known = catalog.commitment(asked.id).await.unwrap().unwrap();
    assert_eq!((&known.references, &known.by, &known.failures), (&asked.references, &peer(), &None));
    assert_eq!((known.asked, known.is_duplicate, known.reported), (at(1), false, None));
    assert!(known.committed().is_empty(), "nobody looked");

    let failures = vec![Failure { reference: reference(1), reason: FailureReason::NoSuchInstance }];
    let tasks = [task(&north, TaskKind::ObjectDamaged)];
    catalog.conclude_commitment(asked.id, &failures, &tasks, at(2)).await.unwrap();
    catalog.conclude_commitment(asked.id, &[], &[], at(3)).await.unwrap();
    let known = catalog.commitment_of_transaction(&north, &asked.transaction).await.unwrap().unwrap();
    assert_eq!(known.failures.as_ref(), Some(&failures), "the first result counts");
    assert_eq!(known.committed(), [&reference(0), &reference(2)]);
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 10 };
    assert_eq!(catalog.tasks(&filter).await.unwrap().len(), 1);

    let told = catalog.report_attempted(asked.id, &ReportAttempt::Confirmed, at(4)).await.unwrap().unwrap();
    assert_eq!(told.reported, Some(at(4)));
    let failed =
        ReportAttempt::Failed { reason: "late".into(), task: task(&north, TaskKind::CommitmentUnreported) };
    let told = catalog.report_attempted(asked.id, &failed, at(5)).await.unwrap().unwrap();
    assert_eq!((told.reported, told.failed_tries), (Some(at(4)), 0), "it is told");
    assert_eq!(catalog.commitment(CommitmentId::fresh()).await.unwrap(), None);
    let actions: Vec<_> =
        catalog.trail(Some(&north), 10).await.unwrap().into_iter().map(|line| line.action).collect();
    for action in ["commitment_requested", "commitment_checked", "commitment_reported"] {
        assert_eq!(actions.iter().filter(|found| *found == action).count(), 1, "{action}");
    }
}

/// One that cannot be told is tried again later and later, at last a person is told; a peer that comes back hears at once.
pub async fn untold_commitments_are_tried_again(catalog: Arc<dyn Catalog>) {
    let north = add_centre(&catalog, "north").await;
    let asked = new(&north, peer(), 1);
    catalog.request_commitment(&asked, at(0)).await.unwrap();
    assert_eq!(catalog.hurry_reports(&north, &ae("CT_1"), at(0)).await.unwrap(), 0, "it is not checked yet");
    catalog.conclude_commitment(asked.id, &[], &[], at(0)).await.unwrap();
    publish(&catalog).await;
    let failed =
        ReportAttempt::Failed { reason: "off".into(), task: task(&north, TaskKind::CommitmentUnreported) };
    catalog.report_attempted(asked.id, &failed, at(0)).await.unwrap();
    let next = next_try(1, at(0)).unwrap();
    assert_eq!(catalog.next_outbox_due().await.unwrap(), Some(next));
    assert_eq!(catalog.hurry_reports(&north, &ae("CT_2"), at(1)).await.unwrap(), 0);
    assert_eq!(catalog.hurry_reports(&north, &ae("CT_1"), at(1)).await.unwrap(), 1);
    assert_eq!(due(&catalog, 1).await, [asked.id]);
    let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 10 };
    for tries in 2.. {
        publish(&catalog).await;
        let known = catalog.report_attempted(asked.id, &failed, at(2)).await.unwrap().unwrap();
        assert_eq!(known.failed_tries, tries);
        if next_try(tries, at(2)).is_none() {
            break;
        }
        assert_eq!(catalog.tasks(&filter).await.unwrap(), []);
        assert_eq!(catalog.next_outbox_due().await.unwrap(), next_try(tries, at(2)));
    }
    assert_eq!(catalog.next_outbox_due().await.unwrap(), None);
    assert_eq!(catalog.tasks(&filter).await.unwrap()[0].kind, TaskKind::CommitmentUnreported);
    assert_eq!(catalog.hurry_reports(&north, &ae("CT_1"), at(3)).await.unwrap(), 0, "it was given up");
}

/// A Transaction UID means one request of a centre; the same again is told again; over the web it is refused.
pub async fn a_transaction_is_one_request(catalog: Arc<dyn Catalog>) {
    let (north, south) = (add_centre(&catalog, "north").await, add_centre(&catalog, "south").await);
    let first = new(&north, peer(), 2);
    catalog.request_commitment(&first, at(0)).await.unwrap();
    catalog.conclude_commitment(first.id, &[], &[], at(1)).await.unwrap();
    catalog.report_attempted(first.id, &ReportAttempt::Confirmed, at(1)).await.unwrap();
    publish(&catalog).await;

    let again = catalog.request_commitment(&new(&north, peer(), 2), at(2)).await.unwrap();
    assert_eq!(again, CommitmentOutcome::Repeated(first.id));
    let known = catalog.commitment(first.id).await.unwrap().unwrap();
    assert_eq!((known.failures, known.reported), (None, None), "it is looked at anew");
    assert_eq!(due(&catalog, 2).await, [first.id]);

    for other in [new(&north, peer(), 3), new(&north, Asker::Peer(ae("CT_2")), 2)] {
        assert_eq!(catalog.request_commitment(&other, at(3)).await.unwrap(), CommitmentOutcome::InUse);
        assert!(catalog.commitment(other.id).await.unwrap().unwrap().is_duplicate);
    }
    let web = new(&north, Asker::Web, 2);
    assert_eq!(catalog.request_commitment(&web, at(3)).await.unwrap(), CommitmentOutcome::InUse);
    assert_eq!(catalog.commitment(web.id).await.unwrap(), None);
    let holder = catalog.commitment_of_transaction(&north, &first.transaction).await.unwrap().unwrap();
    assert_eq!(holder.id, first.id);
    let elsewhere = new(&south, Asker::Web, 2);
    let outcome = catalog.request_commitment(&elsewhere, at(3)).await.unwrap();
    assert_eq!(outcome, CommitmentOutcome::Accepted(elsewhere.id), "another centre");
}

/// Finished ones are forgotten in the end, waiting ones are not.
pub async fn finished_commitments_are_forgotten(catalog: Arc<dyn Catalog>) {
    let north = add_centre(&catalog, "north").await;
    let uid = |n: u32| TransactionUid::parse(&format!("1.9.{n}")).unwrap();
    let (done, waiting) = (
        NewCommitment { transaction: uid(1), ..new(&north, Asker::Web, 1) },
        NewCommitment { transaction: uid(2), ..new(&north, peer(), 1) },
    );
    for one in [&done, &waiting] {
        catalog.request_commitment(one, at(0)).await.unwrap();
        catalog.conclude_commitment(one.id, &[], &[], at(0)).await.unwrap();
    }
    let ask = |n: u32, after| {
        let one = NewCommitment { transaction: uid(n), ..new(&north, Asker::Web, 1) };
        let catalog = Arc::clone(&catalog);
        async move { catalog.request_commitment(&one, at(0) + after).await.unwrap() }
    };
    ask(3, KEPT).await;
    assert!(catalog.commitment(done.id).await.unwrap().is_some());
    ask(4, KEPT + domain::Duration::from_secs(1)).await;
    assert!(catalog.commitment(done.id).await.unwrap().is_none());
    assert!(catalog.commitment(waiting.id).await.unwrap().is_some());
}

/// A centre whose peers ask and ask fills nothing: beyond a number it is told to wait, and only it.
pub async fn waiting_commitments_are_bounded(catalog: Arc<dyn Catalog>) {
    let (north, south) = (add_centre(&catalog, "north").await, add_centre(&catalog, "south").await);
    let ask = async |centre: &CentreId, n: u32| {
        let transaction = TransactionUid::parse(&format!("1.9.{n}")).unwrap();
        let one = NewCommitment { transaction, ..new(centre, peer(), 1) };
        catalog.request_commitment(&one, at(0)).await.unwrap()
    };
    for n in 0..WAITING_MAX {
        assert!(matches!(ask(&north, n).await, CommitmentOutcome::Accepted(_)));
    }
    assert_eq!(ask(&north, WAITING_MAX).await, CommitmentOutcome::TooMany);
    assert!(matches!(ask(&north, 0).await, CommitmentOutcome::Repeated(_)), "that one waits already");
    assert!(matches!(ask(&south, 0).await, CommitmentOutcome::Accepted(_)));
}

/// Of requests that come at once under one Transaction UID, one is kept and the others are the same.
pub async fn racing_requests_are_one(catalog: Arc<dyn Catalog>) {
    let north = add_centre(&catalog, "north").await;
    let asks = (0..8).map(|_| {
        let (catalog, one) = (Arc::clone(&catalog), new(&north, peer(), 2));
        tokio::spawn(async move { catalog.request_commitment(&one, at(0)).await.unwrap() })
    });
    let outcomes: Vec<_> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
    let accepted = outcomes.iter().filter(|one| matches!(one, CommitmentOutcome::Accepted(_))).count();
    let repeated = outcomes.iter().filter(|one| matches!(one, CommitmentOutcome::Repeated(_))).count();
    assert_eq!((accepted, repeated), (1, 7));
}
