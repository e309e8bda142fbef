//! What centres allow their AE titles.

use async_trait::async_trait;

use super::Known;
use crate::{
    Timestamp,
    audit::Actor,
    id::CentreId,
    peer::{KnownPeer, PeerPolicy},
    text::AeTitle,
};

/// What centres allow their AE titles.
#[async_trait]
pub trait Peers {
    /// The centre that a calling AE title stores for, and what it may do there. A title that is taken only because its
    /// centre takes all has the default policy.
    async fn peer_of_ae(&self, ae: &AeTitle) -> Known<Option<KnownPeer>>;

    /// What a centre allows the AE titles that it lists, by title.
    async fn peer_policies(&self, centre: &CentreId) -> Known<Vec<(AeTitle, PeerPolicy)>>;

    /// Sets what a centre allows an AE title, with its audit. `false` when the centre does not list the title.
    async fn put_peer_policy(
        &self,
        centre: &CentreId,
        ae: &AeTitle,
        policy: &PeerPolicy,
        by: &Actor,
        at: Timestamp,
    ) -> Known<bool>;
}
