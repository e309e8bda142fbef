//! Orders and how they meet their studies.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::Actor,
    id::{CentreId, OrderId},
    order::{Order, OrderRequest},
};

/// Orders.
#[async_trait]
pub trait Orders {
    /// Keeps an order; the same centre and accession number again replaces what was asked. In the same transaction it looks, by
    /// [`crate::order::choose`], for a study without an order that answers it, links them, and gives the study the
    /// order's priority (also in
    /// waiting outbox rows). A task [`crate::task::TaskKind::NoRecipient`] of the linked study whose order now names a
    /// physician is not closed by this; a person does that.
    async fn put_order(
        &self,
        centre: &CentreId,
        request: &OrderRequest,
        by: &Actor,
        at: Timestamp,
    ) -> Known<OrderOutcome>;

    /// An order.
    async fn order(&self, centre: &CentreId, id: OrderId) -> Known<Option<Order>>;

    /// Orders of a centre, the latest first, at most `limit`.
    async fn orders(&self, centre: &CentreId, limit: u32) -> Known<Vec<Order>>;
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderOutcome {
    /// New.
    Created(Order),
    /// Known, and now says something else.
    Changed(Order),
    /// Known, and says the same.
    Unchanged(Order),
}

impl OrderOutcome {
    /// The order as it stands.
    #[must_use]
    pub const fn order(&self) -> &Order {
        match self {
            Self::Created(order) | Self::Changed(order) | Self::Unchanged(order) => order,
        }
    }
}
