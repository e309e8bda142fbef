//! The outbox, and the table of work that the embedded broker hands out.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    id::EventId,
    work::{Depth, OutboxRow, Queue, Work},
};

/// The outbox and the embedded broker's table.
///
/// An outbox row is written in the transaction of the change it follows from. Of one subject there is at most one unpublished
/// row: writing it again moves its due time and raises its revision, so that a relay that published the older
/// revision does not mark the newer
/// one as published.
#[async_trait]
pub trait WorkStore {
    /// Unpublished rows that are due, the most urgent lane first, then the longest due; at most `limit`.
    async fn due_outbox(&self, now: Timestamp, limit: u32) -> Known<Vec<OutboxRow>>;

    /// When the next unpublished row is due.
    async fn next_outbox_due(&self) -> Known<Option<Timestamp>>;

    /// How many rows are unpublished, due or not.
    async fn outbox_depth(&self) -> Known<u64>;

    /// Marks a row as published, if its revision is still the one that was published.
    async fn mark_published(&self, id: EventId, revision: u64, at: Timestamp) -> Known<()>;

    /// Puts work into the embedded broker's table; the same id and revision again changes nothing.
    async fn put_work(&self, work: &Work, at: Timestamp) -> Known<()>;

    /// Leases the next piece of work of a queue, the most urgent lane first: one that is ready, or whose lease ran
    /// out. Work that was handed
    /// out [`crate::work::DELIVERIES_MAX`] times already becomes dead instead.
    async fn lease_work(&self, queue: Queue, now: Timestamp, until: Timestamp) -> Known<Option<LeasedWork>>;

    /// Leases a piece of dead work.
    async fn lease_dead_work(&self, now: Timestamp, until: Timestamp) -> Known<Option<LeasedWork>>;

    /// Moves the end of a lease. `false` when the lease is not the current one any more.
    async fn extend_work(&self, leased: &LeasedWork, until: Timestamp) -> Known<bool>;

    /// Removes leased work. `false` when the lease (its number) is not the current one any more.
    async fn finish_work(&self, leased: &LeasedWork) -> Known<bool>;

    /// Makes leased work ready again at a later time, with the reason. `false` when the lease is not the current one any more.
    async fn give_back_work(&self, leased: &LeasedWork, ready_at: Timestamp, reason: &str) -> Known<bool>;

    /// How much waits.
    async fn work_depth(&self, queue: Queue) -> Known<Depth>;
}

/// Work under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedWork {
    /// What is to be done.
    pub work: Work,
    /// How often it was handed out, from 1. It is the fencing token: only the latest lease may finish or give back.
    pub delivery_count: u32,
    /// Why it was given back last.
    pub last_reason: Option<String>,
}
