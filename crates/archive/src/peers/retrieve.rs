//! C-GET and C-MOVE (PS3.4 sections C.4.2 and C.4.3): objects go out one after the other, each is a C-STORE sub-operation, and what became
//! of them is counted in every reply. Between two objects the peer can cancel.

use std::{collections::BTreeMap, time::Duration};

use dimse::{Counts, MoveOriginator, Priority, Reply, Status, StatusClass, Step, StoreCommand, Wish};
use domain::{
    audit::{Action, Actor},
    image::Instance,
    peer::PeerAddress,
    study::StudyKey,
    text::AeTitle,
    uid::{SopInstanceUid, StudyInstanceUid},
};
use tokio::time::timeout;

use super::{
    Gone, Inner, Request, away,
    identifier::{Identifier, failed_list},
    objects::{self, DataSet, Lookup, Way},
    outgoing::{self, Destination, Load, Outgoing, OutgoingError},
    word,
};

/// How often in a row a destination may break off before the objects that are left are given up.
const BROKEN_IN_ROW_MAX: usize = 3;

/// What became of a sub-operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Completed,
    Warning,
    Failed,
}

impl Outcome {
    /// What a status of the peer means.
    fn of(status: Status, instance: &Instance) -> Self {
        match status.class() {
            StatusClass::Success => Self::Completed,
            StatusClass::Warning => Self::Warning,
            StatusClass::Failure | StatusClass::Cancel | StatusClass::Pending => {
                failed(instance, &format!("the peer answered {status}"));
                Self::Failed
            }
        }
    }
}

fn failed(instance: &Instance, reason: &str) {
    tracing::warn!(
        study = %instance.study,
        instance = %instance.sop_instance,
        transfer_syntax = %instance.transfer_syntax,
        reason,
        "an object does not go out"
    );
}

/// How far a retrieve is.
struct Tally {
    counts: Counts,
    failed: Vec<SopInstanceUid>,
}

impl Tally {
    fn new(objects: usize) -> Self {
        let remaining = u16::try_from(objects).unwrap_or(u16::MAX);
        Self { counts: Counts { remaining, ..Counts::default() }, failed: Vec::new() }
    }

    fn count(&mut self, instance: &Instance, outcome: Outcome) {
        let Counts { remaining, completed, failed, warning } = &mut self.counts;
        *remaining = remaining.saturating_sub(1);
        match outcome {
            Outcome::Completed => *completed += 1,
            Outcome::Warning => *warning += 1,
            Outcome::Failed => {
                *failed += 1;
                self.failed.push(instance.sop_instance.clone());
            }
        }
    }

    /// The reply between two objects.
    fn pending(&self) -> Reply {
        Reply { counts: Some(self.counts), ..Reply::of(Status::PENDING) }
    }

    /// The last reply's status (PS3.4 tables C.4-2 and C.4-3).
    fn status(&self, is_cancelled: bool) -> Status {
        let Counts { remaining, completed, failed, warning } = self.counts;
        match (failed, warning) {
            _ if is_cancelled && remaining > 0 => Status::CANCELLED,
            (0, 0) => Status::SUCCESS,
            (_, 0) if completed == 0 => Status::CANNOT_PERFORM_SUB_OPERATIONS,
            (_, _) => Status::SUB_OPERATIONS_FAILED,
        }
    }

    fn last(&self, request: &Request) -> Reply {
        let status = self.status(request.cancel.is_cancelled());
        let list = || failed_list(self.failed.iter().map(SopInstanceUid::as_str), request.asked.syntax);
        let says_list = status != Status::SUCCESS && (status != Status::CANCELLED || !self.failed.is_empty());
        let identifier = says_list.then(list);
        Reply { counts: Some(self.counts), identifier, ..Reply::of(status) }
    }
}

impl Inner {
    /// Gives what is wanted, and the last reply.
    pub(super) async fn retrieve(&self, request: &mut Request) -> Result<Reply, Gone> {
        match self.prepare(request).await {
            Err(reply) => Ok(reply),
            Ok((objects, to)) => {
                let mut tally = Tally::new(objects.len());
                match to {
                    None => self.give_all(request, objects, &mut tally).await?,
                    Some((ae, address)) => self.move_all(request, objects, &mut tally, &ae, &address).await?,
                }
                Ok(tally.last(request))
            }
        }
    }

    /// The objects, and where to they are moved. Written down before anything goes out.
    async fn prepare(
        &self,
        request: &Request,
    ) -> Result<(Vec<Instance>, Option<(AeTitle, PeerAddress)>), Reply> {
        let asked = &request.asked;
        let to = match &asked.wish {
            Wish::Find | Wish::Get => None,
            Wish::Move { destination } => Some(self.destination(request, destination.as_deref()).await?),
        };
        let identifier = Identifier::read(&asked.identifier, asked.syntax, asked.root)?;
        let lookup = Lookup {
            catalog: &*self.catalog,
            centre: &request.peer.centre,
            root: asked.root,
            identifier: &identifier,
            objects_max: self.settings.objects(),
        };
        let objects = lookup.objects().await?;
        let mut studies: BTreeMap<&StudyInstanceUid, usize> = BTreeMap::new();
        for object in &objects {
            *studies.entry(&object.study).or_default() += 1;
        }
        for (uid, count) in studies {
            let study = StudyKey { centre: request.peer.centre.clone(), uid: uid.clone() };
            let detail = match &to {
                None => format!("{} of {count} images", word(&asked.wish)),
                Some((ae, address)) => {
                    format!("{} of {count} images to {ae} at {address}", word(&asked.wish))
                }
            };
            let actor = Actor::Peer(request.peer.ae.clone());
            let now = self.clock.now();
            let noted =
                self.catalog.record(&actor, Action::ImagesRetrieved, Some(&study), &detail, now).await;
            noted.map_err(|error| away(&error, Status::CANNOT_PERFORM_SUB_OPERATIONS))?;
        }
        Ok((objects, to))
    }

    /// A destination is an AE title of the same centre, with an address.
    async fn destination(
        &self,
        request: &Request,
        title: Option<&str>,
    ) -> Result<(AeTitle, PeerAddress), Reply> {
        let unknown = |why: &str| {
            tracing::warn!(
                peer.ae = %request.peer.ae,
                destination = title.unwrap_or_default(),
                "a C-MOVE is refused: {why}; `telerad centre ae` gives an AE title an address"
            );
            Reply::of(Status::MOVE_DESTINATION_UNKNOWN).saying(why)
        };
        let Some(title) = title.and_then(AeTitle::parse) else {
            return Err(unknown("no move destination"));
        };
        let policies = self.catalog.peer_policies(&request.peer.centre).await;
        let policies = policies.map_err(|error| away(&error, Status::CANNOT_PERFORM_SUB_OPERATIONS))?;
        match policies.into_iter().find(|(ae, _)| *ae == title).map(|(_, policy)| policy.address) {
            None => Err(unknown("the destination is no AE title of the centre")),
            Some(None) => Err(unknown("the destination has no address here")),
            Some(Some(address)) => Ok((title, address)),
        }
    }

    fn answer_time(&self) -> Duration {
        Duration::from_secs(self.settings.answer_seconds_max)
    }

    /// The data set of an object that the peer takes.
    async fn open<'a>(
        &self,
        instance: &Instance,
        taken: impl Iterator<Item = &'a str>,
    ) -> Result<DataSet, Outcome> {
        let refused = |reason: &str| {
            failed(instance, reason);
            Outcome::Failed
        };
        let way = Way::of(&instance.transfer_syntax, objects::decodes(instance), taken);
        objects::open(&self.storage, &self.pixels, instance, way).await.map_err(|reason| refused(&reason))
    }

    /// C-GET: over the peer's own association.
    async fn give_all(
        &self,
        request: &mut Request,
        objects: Vec<Instance>,
        tally: &mut Tally,
    ) -> Result<(), Gone> {
        for instance in objects {
            if request.cancel.is_cancelled() {
                return Ok(());
            }
            let class = instance.sop_class.as_str();
            let taken = request.taken.iter().filter(|(taken, _)| taken == class).map(|(_, uid)| uid.as_str());
            let outcome = match self.open(&instance, taken).await {
                Err(outcome) => outcome,
                Ok(data_set) => self.give(request, &instance, data_set).await?,
            };
            tally.count(&instance, outcome);
            request.reply(tally.pending()).await?;
        }
        Ok(())
    }

    async fn give(
        &self,
        request: &mut Request,
        instance: &Instance,
        mut data_set: DataSet,
    ) -> Result<Outcome, Gone> {
        request.step(Step::Begin(command(instance, &data_set, None))).await?;
        while let Some(piece) = data_set.next().await {
            let Ok(piece) = piece else {
                failed(instance, "it is damaged; the association is ended, which takes back what was sent");
                request.step(Step::Abort).await?;
                return Err(Gone);
            };
            request.step(Step::Data(piece)).await?;
        }
        request.step(Step::End).await?;
        match timeout(self.answer_time(), request.answers.recv()).await {
            Ok(Some(status)) => Ok(Outcome::of(status, instance)),
            Ok(None) => Err(Gone),
            Err(_) => {
                failed(instance, "the peer did not answer in time");
                request.step(Step::Abort).await?;
                Err(Gone)
            }
        }
    }

    /// C-MOVE: over associations of our own.
    async fn move_all(
        &self,
        request: &Request,
        objects: Vec<Instance>,
        tally: &mut Tally,
        ae: &AeTitle,
        address: &PeerAddress,
    ) -> Result<(), Gone> {
        let to = Destination {
            calls: &*self.calls,
            address,
            called: ae.as_str(),
            calling: &self.ae_title,
            answer_time: self.answer_time(),
        };
        let mut is_lost = false;
        for load in outgoing::loads(objects) {
            let mut moving = Moving { inner: self, request, to: &to, load: &load, open: None, broken: 0 };
            for instance in &load.objects {
                if request.cancel.is_cancelled() {
                    moving.end().await;
                    return Ok(());
                }
                let outcome = if is_lost { Outcome::Failed } else { moving.send(instance).await };
                tally.count(instance, outcome);
                is_lost |= moving.broken >= BROKEN_IN_ROW_MAX;
                if !is_lost {
                    request.reply(tally.pending()).await?;
                }
            }
            moving.end().await;
        }
        Ok(())
    }
}

/// Objects on their way to a destination.
struct Moving<'a> {
    inner: &'a Inner,
    request: &'a Request,
    to: &'a Destination<'a>,
    load: &'a Load,
    open: Option<Outgoing>,
    /// How often in a row the destination broke off.
    broken: usize,
}

impl Moving<'_> {
    async fn send(&mut self, instance: &Instance) -> Outcome {
        let mut association = match self.open.take() {
            Some(association) => association,
            None => match Outgoing::open(self.to, self.load).await {
                Ok(association) => association,
                Err(error) => {
                    // Whoever cannot be reached now will not be for the next object.
                    self.broken = BROKEN_IN_ROW_MAX;
                    return self.broke(&error);
                }
            },
        };
        let taken = association.taken(instance.sop_class.as_str());
        let data_set = match self.inner.open(instance, taken.iter().map(String::as_str)).await {
            Ok(data_set) => data_set,
            Err(outcome) => {
                self.open = Some(association);
                return outcome;
            }
        };
        match self.carry(&mut association, instance, data_set).await {
            Ok(Some(status)) => {
                self.broken = 0;
                self.open = Some(association);
                Outcome::of(status, instance)
            }
            Ok(None) => {
                association.abort().await;
                Outcome::Failed
            }
            Err(error) => {
                association.abort().await;
                self.broken += 1;
                self.broke(&error)
            }
        }
    }

    /// The destination's answer; `None` when the object turned out to be damaged on the way.
    async fn carry(
        &self,
        association: &mut Outgoing,
        instance: &Instance,
        mut data_set: DataSet,
    ) -> Result<Option<Status>, OutgoingError> {
        let originator = MoveOriginator {
            ae_title: self.request.peer.ae.as_str().to_owned(),
            message_id: Some(self.request.asked.message_id),
        };
        association.begin(&command(instance, &data_set, Some(originator))).await?;
        while let Some(piece) = data_set.next().await {
            let Ok(piece) = piece else {
                failed(instance, "it is damaged");
                return Ok(None);
            };
            association.data(&piece).await?;
        }
        association.end().await.map(Some)
    }

    fn broke(&self, error: &OutgoingError) -> Outcome {
        tracing::warn!(
            destination = self.to.called,
            address = %self.to.address,
            error = error as &dyn std::error::Error,
            "a move destination breaks off"
        );
        Outcome::Failed
    }

    async fn end(self) {
        if let Some(association) = self.open {
            association.release().await;
        }
    }
}

fn command(instance: &Instance, data_set: &DataSet, move_originator: Option<MoveOriginator>) -> StoreCommand {
    StoreCommand {
        sop_class_uid: instance.sop_class.as_str().to_owned(),
        sop_instance_uid: instance.sop_instance.as_str().to_owned(),
        transfer_syntax_uid: data_set.transfer_syntax.clone(),
        priority: Priority::default(),
        move_originator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_status_follows_from_the_counts() {
        for (counts, is_cancelled, expected) in [
            ((0, 3, 0, 0), false, Status::SUCCESS),
            ((0, 0, 0, 0), false, Status::SUCCESS),
            ((0, 2, 1, 0), false, Status::SUB_OPERATIONS_FAILED),
            ((0, 2, 0, 1), false, Status::SUB_OPERATIONS_FAILED),
            ((0, 0, 1, 1), false, Status::SUB_OPERATIONS_FAILED),
            ((0, 0, 0, 2), false, Status::SUB_OPERATIONS_FAILED),
            ((0, 0, 3, 0), false, Status::CANNOT_PERFORM_SUB_OPERATIONS),
            ((1, 2, 0, 0), true, Status::CANCELLED),
            ((0, 3, 0, 0), true, Status::SUCCESS),
        ] {
            let (remaining, completed, failed, warning) = counts;
            let counts = Counts { remaining, completed, failed, warning };
            let tally = Tally { counts, failed: Vec::new() };
            assert_eq!(tally.status(is_cancelled), expected, "{counts:?}");
        }
    }
}
