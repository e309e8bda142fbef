//! Joins the association server, which has the port, to the archive, which answers queries and retrieves: two roles that know nothing of
//! each other.

use std::{io, sync::Arc};

use archive::{
    Archive,
    peers::{Calls, Connection, Conversation, Peer, PeerArchive, Places},
};
use async_trait::async_trait;
use dimse::Asked;
use domain::peer::PeerAddress;
use intake::{
    Answering, Tls,
    answering::{self, Underway},
};

use crate::{command::serve::Role, settings::Settings, wiring::Parts};

/// The archive, as the association server sees it.
struct Bridge(PeerArchive);

impl Answering for Bridge {
    fn begin(&self, peer: answering::Peer, asked: Asked, taken: Vec<(String, String)>) -> Underway {
        let answering::Peer { ae, centre } = peer;
        let Conversation { steps, answers, cancel, listening } =
            self.0.begin(Peer { ae, centre }, asked, taken);
        Underway { steps, answers, cancel, listening }
    }
}

/// Connections of intake, as the archive sees them.
struct Dialling(Option<Arc<Tls>>);

#[async_trait]
impl Calls for Dialling {
    async fn call(&self, address: &PeerAddress) -> io::Result<Box<dyn Connection>> {
        let connection = intake::call(address, self.0.as_deref()).await.map_err(io::Error::other)?;
        Ok(Box::new(connection))
    }
}

/// Places for queries and retrieves, in a process that takes associations and gives images out.
pub fn places(settings: &Settings, roles: &[Role]) -> Option<Places> {
    let answers = roles.contains(&Role::Intake) && roles.contains(&Role::Archive);
    answers.then(|| Places::new(&settings.archive.peers))
}

/// Whoever answers queries and retrieves.
pub fn answering(
    settings: &Settings,
    parts: &Parts,
    tls: Option<Arc<Tls>>,
    places: &Places,
) -> Arc<dyn Answering> {
    let storage = parts.near();
    let Parts { catalog, pixels, clock, .. } = parts.clone();
    let archive =
        Archive { catalog, storage, pixels: Arc::new(pixels), clock, config: settings.archive.clone() };
    let calls = Arc::new(Dialling(tls));
    Arc::new(Bridge(PeerArchive::new(archive, &settings.intake.ae_title, calls, places.clone())))
}
