//! The DICOM association server: sockets, time limits and policy around [`dimse::Acceptor`].

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dimse::{Acceptor, AcceptorConfig, AvailabilityNotified, Event, RejectReason, Status, StoreRequest};
use domain::{
    audit::{Action, Actor},
    centre::Centre,
    image::Source,
    port::{Catalog, Clock},
    study::{Evidence, StudyKey},
    text::AeTitle,
    uid::{SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    receive::{Announced, Intake, Received, Receiving, Refusal},
};

/// Pause after the system refuses a connection (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a peer may take to read an answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Most characters of an Error Comment (0000,0902), VR LO.
const COMMENT_CHARS_MAX: usize = 64;

/// The association server.
#[derive(Clone)]
pub struct Server {
    intake: Intake,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    slots: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place among the associations; given back when dropped.
struct Slot {
    slots: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = slots.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                slots.remove(&self.address);
            }
        }
    }
}

/// Why an association ended otherwise than by release.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection failed")]
    Connection(#[from] std::io::Error),
    #[error("the peer broke the protocol")]
    Protocol(#[from] dimse::ProtocolError),
    #[error("an answer could not be made")]
    Answer(#[from] dimse::CallError),
    #[error("the peer was silent for too long {0}")]
    Silent(&'static str),
    #[error("the catalog could not be asked")]
    Catalog(#[from] domain::port::CatalogError),
}

impl Server {
    /// A server that is not listening yet.
    #[must_use]
    pub fn new(intake: Intake, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, config: Config) -> Self {
        Self { intake, catalog, clock, config: Arc::new(config), slots: Arc::default() }
    }

    /// Takes associations until `stop`; open ones then have until `drop_now` to end.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken, drop_now: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let (server, drop_now) = (self.clone(), drop_now.clone());
                    tasks.spawn(async move {
                        tokio::select! {
                            () = drop_now.cancelled() => {}
                            () = server.serve(stream, address) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no connection can be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        let slot = self.take_slot(address.ip());
        let mut association = Association {
            server: self,
            stream,
            acceptor: Acceptor::new(AcceptorConfig {
                max_pdu_length: self.config.pdu_bytes_max,
                ..AcceptorConfig::new(&self.config.ae_title)
            }),
            deadline: Instant::now() + Duration::from_secs(self.config.request_seconds_max),
            peer: None,
            store: Store::None,
            stored: 0,
            refused: 0,
        };
        metrics::gauge!("telerad_intake_associations").increment(1);
        let ended = association.converse(slot.is_some()).await;
        if ended.is_err() {
            association.acceptor.abort();
            // The peer may be gone already, which is what the log line below says.
            let _ = association.send().await;
        }
        metrics::gauge!("telerad_intake_associations").decrement(1);
        let (stored, refused) = (association.stored, association.refused);
        let ae = association.peer.as_ref().map(|(ae, _)| ae.as_str()).unwrap_or_default();
        match ended {
            Ok(()) => {
                tracing::info!(peer.ae = ae, peer.address = %address, stored, refused, "association ended")
            }
            Err(error) => tracing::warn!(
                peer.ae = ae,
                peer.address = %address,
                stored,
                refused,
                error = &error as &dyn std::error::Error,
                "association broke; what was answered with success is kept"
            ),
        }
    }

    fn take_slot(&self, address: IpAddr) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = slots.values().sum();
        let here = slots.get(&address).copied().unwrap_or_default();
        if all >= self.config.associations_max || here >= self.config.associations_per_address_max {
            return None;
        }
        slots.insert(address, here + 1);
        Some(Slot { slots: Arc::clone(&self.slots), address })
    }
}

/// What happens to the data set that is coming in.
enum Store {
    None,
    Receiving(Box<Receiving>),
    /// Refused already; the rest of its bytes is passed over.
    Refused(Refusal),
}

struct Association<'a> {
    server: &'a Server,
    stream: TcpStream,
    acceptor: Acceptor,
    deadline: Instant,
    peer: Option<(AeTitle, Centre)>,
    store: Store,
    stored: u64,
    refused: u64,
}

impl Association<'_> {
    async fn converse(&mut self, has_slot: bool) -> Result<(), Broken> {
        self.stream.set_nodelay(true)?;
        loop {
            let events = self.take_events(has_slot).await;
            self.send().await?;
            events?;
            if self.acceptor.is_finished() {
                self.stream.shutdown().await.ok();
                return Ok(());
            }
            let when = if self.acceptor.is_established() {
                "on an open association"
            } else {
                "before asking for an association"
            };
            let read = timeout_at(self.deadline, self.stream.read_buf(self.acceptor.buffer()));
            if read.await.map_err(|_| Broken::Silent(when))?? == 0 {
                return Ok(self.acceptor.connection_closed()?);
            }
            self.hurry_peer();
            if self.acceptor.is_established() {
                self.deadline = Instant::now() + Duration::from_secs(self.server.config.idle_seconds_max);
            }
        }
    }

    /// Senders with Nagle's algorithm on hold the end of an object back until our kernel acknowledges what came before; without this
    /// it waits 40 ms for that.
    fn hurry_peer(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = self.stream.set_quickack(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "no quick acknowledgements");
        }
    }

    async fn send(&mut self) -> Result<(), Broken> {
        if let Some(bytes) = self.acceptor.take_outgoing() {
            let write = tokio::time::timeout(WRITE_TIME_MAX, self.stream.write_all(&bytes));
            write.await.map_err(|_| Broken::Silent("while we answered"))??;
        }
        Ok(())
    }

    async fn take_events(&mut self, has_slot: bool) -> Result<(), Broken> {
        while let Some(event) = self.acceptor.next_event()? {
            match event {
                Event::AssociationRequested(_) if !has_slot => {
                    tracing::warn!("association refused: too many at one time");
                    self.acceptor.reject(RejectReason::LocalLimitExceeded)?;
                }
                Event::AssociationRequested(request) => self.decide(&request).await?,
                Event::Echo { message_id, .. } => self.acceptor.respond_echo(message_id)?,
                Event::StoreBegin(request) => self.store = self.begin(&request),
                Event::StoreData(bytes) => {
                    if let Store::Receiving(receiving) = &mut self.store
                        && let Err(refusal) = receiving.write(bytes).await
                    {
                        self.store = Store::Refused(refusal);
                    }
                }
                Event::StoreEnd { message_id } => self.finish(message_id).await?,
                Event::AvailabilityNotified(notified) => self.note_availability(&notified).await?,
                Event::ReleaseRequested => self.acceptor.confirm_release()?,
                Event::Refused { reason, .. } => {
                    self.refused += 1;
                    tracing::warn!(reason, "request refused");
                }
                Event::UnsupportedOperation { command_field, .. } => {
                    tracing::warn!(command_field, "request for a service that we do not offer");
                }
                Event::Aborted { source } => tracing::warn!(?source, "the peer aborted"),
            }
        }
        Ok(())
    }

    async fn decide(&mut self, request: &dimse::AssociationRequest) -> Result<(), Broken> {
        let server = self.server;
        if server.config.require_called_ae_title && !request.is_addressed_to_us {
            tracing::warn!("association refused: it calls another AE title");
            return Ok(self.acceptor.reject(RejectReason::CalledAeTitleNotRecognised)?);
        }
        let ae = AeTitle::parse(&request.calling_ae_title);
        let centre = match &ae {
            Some(ae) => server.catalog.centre_of_ae(ae).await?,
            None => None,
        };
        let (Some(ae), Some(centre)) = (ae, centre) else {
            tracing::warn!(peer.ae = %request.calling_ae_title.escape_debug(), "association refused: no centre has this calling AE title");
            return Ok(self.acceptor.reject(RejectReason::CallingAeTitleNotRecognised)?);
        };
        self.peer = Some((ae, centre));
        self.deadline = Instant::now() + Duration::from_secs(server.config.idle_seconds_max);
        Ok(self.acceptor.accept()?)
    }

    fn begin(&self, request: &StoreRequest) -> Store {
        let Some((ae, centre)) = &self.peer else {
            return Store::Refused(Refusal::Unavailable("the association is not established"));
        };
        let parsed = (
            SopClassUid::parse(&request.sop_class_uid),
            SopInstanceUid::parse(&request.sop_instance_uid),
            TransferSyntaxUid::parse(&request.transfer_syntax_uid),
        );
        let (Ok(sop_class), Ok(sop_instance), Ok(transfer_syntax)) = parsed else {
            return Store::Refused(Refusal::NotUnderstood(
                "an identifier of the request is not a UID".to_owned(),
            ));
        };
        Store::Receiving(Box::new(self.server.intake.receive(Announced {
            centre: centre.id.clone(),
            source: Source::Association(ae.clone()),
            sop_class: Some(sop_class),
            sop_instance: Some(sop_instance),
            study: None,
            transfer_syntax,
        })))
    }

    async fn finish(&mut self, message_id: u16) -> Result<(), Broken> {
        let outcome: Result<Received, Refusal> = match std::mem::replace(&mut self.store, Store::None) {
            Store::Receiving(receiving) => receiving.finish().await,
            Store::Refused(refusal) => Err(refusal),
            Store::None => Err(Refusal::NotUnderstood("the object has no data set".to_owned())),
        };
        match outcome {
            Ok(_) => {
                self.stored += 1;
                metrics::counter!("telerad_intake_objects_total", "way" => "dicom", "outcome" => "stored")
                    .increment(1);
                self.acceptor.respond_store(message_id, Status::SUCCESS, None)?;
            }
            Err(refusal) => {
                self.refused += 1;
                metrics::counter!("telerad_intake_objects_total", "way" => "dicom", "outcome" => "refused")
                    .increment(1);
                tracing::warn!(reason = %refusal, "object refused");
                let comment: String =
                    refusal.to_string().chars().filter(char::is_ascii).take(COMMENT_CHARS_MAX).collect();
                self.acceptor.respond_store(message_id, refusal.status(), Some(&comment))?;
            }
        }
        Ok(())
    }

    /// The sender says which instances of a study it has sent: evidence for completeness.
    async fn note_availability(&mut self, notified: &AvailabilityNotified) -> Result<(), Broken> {
        let message = notified.message_id;
        let study = StudyInstanceUid::parse(&notified.notice.study_instance_uid);
        let (Ok(uid), Some((ae, centre))) = (study, &self.peer) else {
            return Ok(self.acceptor.respond_create(message, Status::INVALID_ATTRIBUTE_VALUE, None)?);
        };
        let study = StudyKey { centre: centre.id.clone(), uid };
        let expected = u32::try_from(notified.notice.instance_count()).unwrap_or(u32::MAX);
        let at = self.server.clock.now();
        let evidence = Evidence::SenderCount { expected, at };
        let said = self.server.catalog.sender_said(&study, &evidence).await;
        let status = match said {
            Ok(()) => {
                let detail = format!("the sender says that it sent {expected} images");
                let actor = Actor::Peer(ae.clone());
                self.server.catalog.record(&actor, Action::ImagesStored, Some(&study), &detail, at).await?;
                Status::SUCCESS
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what the sender said was not kept"
                );
                Status::PROCESSING_FAILURE
            }
        };
        Ok(self.acceptor.respond_create(message, status, notified.sop_instance_uid.as_deref())?)
    }
}
