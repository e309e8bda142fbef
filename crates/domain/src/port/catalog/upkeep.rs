//! What upkeep asks: which objects a row names, what was removed, how far a job is, what is damaged.

use async_trait::async_trait;
use uuid::Uuid;

use super::Known;
use crate::{
    Timestamp,
    object::ObjectRef,
    upkeep::{Damaged, Job, Mark, NamedBy, NamedObject, Progress},
};

/// Upkeep of the store.
///
/// A sweep and whoever makes an object known exclude each other here, not by clocks. [`Self::condemn`] and every method that writes an
/// object's name ([`super::Images::record_arrivals`], [`super::Reports::put_draft`], [`super::Reports::put_pdf`]) cannot both
/// succeed for one object: whichever commits first, the other one sees it.
#[async_trait]
pub trait Upkeep {
    /// Those of some objects that no row names, by key and place, in their order.
    async fn unnamed(&self, objects: &[ObjectRef]) -> Known<Vec<ObjectRef>>;

    /// Whether any image is known, of any centre.
    async fn knows_images(&self) -> Known<bool>;

    /// Notes that objects are about to be removed, those that no row names and that are not condemned already; gives these. From now on
    /// nobody can make them known.
    async fn condemn(&self, objects: &[ObjectRef], at: Timestamp) -> Known<Vec<ObjectRef>>;

    /// Condemned objects of which it is not noted that they are gone, and that were condemned before a moment; at most `limit`.
    async fn condemned(&self, before: Timestamp, limit: u32) -> Known<Vec<ObjectRef>>;

    /// Notes that condemned objects are gone, with an audit line for each centre that says how many. Whoever tries to make one known
    /// within [`crate::upkeep::REMOVALS_KEPT`] is told so, once.
    async fn removed(&self, objects: &[ObjectRef], at: Timestamp) -> Known<()>;

    /// Takes a condemnation back.
    async fn pardon(&self, objects: &[ObjectRef]) -> Known<()>;

    /// Takes a job, if nobody holds it; gives where it stands.
    async fn take_job(
        &self,
        job: Job,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Known<Option<Progress>>;

    /// Keeps where a job stands and moves the end of its lease. `false`, with nothing kept, when another holder has it.
    async fn keep_job(&self, job: Job, holder: Uuid, progress: &Progress, until: Timestamp) -> Known<bool>;

    /// Where a job stands.
    async fn job(&self, job: Job) -> Known<Progress>;

    /// How far the history of this catalog is.
    async fn mark(&self) -> Known<Mark>;

    /// Moves the mark on, beyond a number.
    async fn next_mark(&self, beyond: u64, at: Timestamp) -> Known<Mark>;

    /// Objects that rows name, after a row, in the order of [`NamedBy`], of at most `rows` rows, with the last of these rows; `None` when
    /// there are no more.
    async fn named_after(
        &self,
        after: Option<&NamedBy>,
        rows: u32,
    ) -> Known<Option<(NamedBy, Vec<NamedObject>)>>;

    /// Bytes of all images, as the studies count them.
    async fn bytes_in_all(&self) -> Known<u64>;

    /// Keeps that an object is damaged, with its audit and, the first time, a task of kind
    /// [`crate::task::TaskKind::ObjectDamaged`]. `false` when it was known.
    async fn found_damaged(&self, damaged: &Damaged, next_step: &str) -> Known<bool>;

    /// Of some objects that were read and are good, forgets that they were damaged, and closes their tasks. Gives how many there were.
    async fn found_good(&self, objects: &[ObjectRef], at: Timestamp) -> Known<u32>;

    /// Forgets damage that was last seen before a moment, and closes its tasks: a whole round came by and no row named the object.
    async fn forget_damage_before(&self, before: Timestamp, at: Timestamp) -> Known<()>;

    /// Damaged objects that were last looked at before a moment, at most `limit`.
    async fn damaged_seen_before(&self, before: Timestamp, limit: u32) -> Known<Vec<Damaged>>;

    /// Damaged objects, those that were found first, at most `limit`.
    async fn damaged(&self, limit: u32) -> Known<Vec<Damaged>>;

    /// How many objects are known to be damaged.
    async fn damaged_count(&self) -> Known<u64>;

    /// Closes open tasks of a kind and subject, of all centres: what they speak of is over.
    async fn settle_tasks(
        &self,
        kind: crate::task::TaskKind,
        subject: &str,
        note: &str,
        at: Timestamp,
    ) -> Known<()>;
}
