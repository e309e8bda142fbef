//! The DICOM association server: sockets, time limits and policy around [`dimse::Acceptor`].

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes};
use dimse::{
    Acceptor, AcceptorConfig, Asked, AvailabilityNotified, CommitmentAsked, Event, RejectReason, Reply, Root,
    Service, Status, Step, StoreRequest, Wish, status::StatusClass,
};
use domain::{
    audit::{Action, Actor},
    centre::Centre,
    commitment::Asker,
    id::CommitmentId,
    image::Source,
    peer::{AllowedServices, KnownPeer, PeerConnection},
    port::{
        Catalog, Clock,
        catalog::{CommitmentOutcome, NewCommitment},
    },
    quarantine::Way,
    study::{Evidence, StudyKey},
    text::{AeTitle, CharacterSetRule},
    uid::{SopClassUid, SopInstanceUid, StudyInstanceUid, TransactionUid, TransferSyntaxUid},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    answering::{self, Answering, Peer, Underway},
    commitment::{self, OpenAssociations, Told},
    config::Config,
    connection::Connection,
    lanes::Lanes,
    pulse::{Pulse, Reason},
    receive::{Announced, Intake, Received, Receiving, Refusal},
    room::Room,
    slots::{Limits, Slot, Slots},
    tls::Tls,
};

/// Pause after the system refuses a connection (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a peer may take to read an answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a peer that asked for commitment may be silent while it waits for the report: reading a study again takes its time.
const REPORT_TIME_MAX: Duration = Duration::from_secs(600);
/// How long a peer may be silent while we answer it: for ever, since whoever answers has time limits of its own.
const ANSWERING_TIME_MAX: Duration = Duration::from_hours(24 * 7);
/// Most steps of an answer that are written at once.
const STEPS_AT_ONCE: usize = 32;
/// Most characters of an Error Comment (0000,0902), VR LO.
const COMMENT_CHARS_MAX: usize = 64;
/// Fewer bytes of an object than this are not worth a read of their own.
const DIRECT_BYTES_MIN: usize = 16 * 1024;
/// Bytes that are read at a time before an object comes: a command and the beginning of the object, of which the rest has a better place.
const COMMAND_READ_BYTES: usize = 16 * 1024;
/// Bytes that are read ahead behind those of an object: the head of the next PDU, or the end of the message and the next command.
const AHEAD_BYTES: usize = 1024;
/// Longest association request of a peer that will be refused anyway, in bytes: 128 contexts of a real one have about 60 KiB.
const REFUSED_REQUEST_BYTES_MAX: u32 = 128 * 1024;

/// The association server.
#[derive(Clone)]
pub struct Server {
    intake: Intake,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    slots: Slots,
    open: OpenAssociations,
    room: Room,
    pulse: Pulse,
    lanes: Arc<Lanes>,
    answering: Option<Arc<dyn Answering>>,
}

/// Why an association ended otherwise than by release.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    #[error("the peer broke the protocol")]
    Protocol(#[from] dimse::ProtocolError),
    #[error("an answer could not be made")]
    Answer(#[from] dimse::CallError),
    #[error("the peer was silent for too long {0}")]
    Silent(&'static str),
    #[error("an object that was being given could not be completed")]
    Given,
    #[error("the catalog could not be asked")]
    Catalog(#[from] domain::port::CatalogError),
}

impl Server {
    /// A server that is not listening yet.
    #[must_use]
    pub fn new(intake: Intake, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, config: Config) -> Self {
        let lanes = intake.ledger.lanes();
        let slots = Slots::new(Limits {
            all: config.associations_max,
            per_address: config.associations_per_address_max,
            per_ae_title: config.associations_per_ae_title_max,
        });
        let open = OpenAssociations::default();
        Self {
            intake,
            catalog,
            clock,
            config: Arc::new(config),
            slots,
            open,
            room: Room::default(),
            pulse: Pulse::default(),
            lanes,
            answering: None,
        }
    }

    /// Offers query and retrieve, to peers that may use them.
    #[must_use]
    pub fn with_answering(self, answering: Arc<dyn Answering>) -> Self {
        Self { answering: Some(answering), ..self }
    }

    /// Counts into a pulse that others see.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// Refuses images when there is no room for them.
    #[must_use]
    pub fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// The associations on which peers can be told of their commitments.
    #[must_use]
    pub fn open_associations(&self) -> OpenAssociations {
        self.open.clone()
    }

    /// Takes associations until `stop`, over TLS if it is given; open ones then have until `drop_now` to end. Clones of a server share
    /// its limits.
    pub async fn run(
        self,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        stop: CancellationToken,
        drop_now: CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let Some(slot) = self.slots.take(address.ip().to_canonical()) else {
                        tracing::warn!(peer.address = %address, "connection closed: too many at one time");
                        continue;
                    };
                    let (server, drop_now, tls) = (self.clone(), drop_now.clone(), tls.clone());
                    let conversation = async move {
                        tokio::select! {
                            () = drop_now.cancelled() => {}
                            () = server.serve(stream, address, tls, slot) => {}
                        }
                    };
                    tasks.spawn_on(conversation, self.lanes.next());
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

    /// Greets a peer within the time that it has for its whole request, and lets it converse.
    async fn serve(&self, stream: TcpStream, address: SocketAddr, tls: Option<Arc<Tls>>, slot: Slot) {
        let deadline = Instant::now() + Duration::from_secs(self.config.request_seconds_max);
        // From the runtime that accepted it to the one that serves it.
        let stream = match stream.into_std().and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(peer.address = %address, error = &error as &dyn std::error::Error, "connection lost");
                return;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "Nagle's algorithm stays on");
        }
        let greeted = match tls {
            None => Ok(Ok(Connection::Plain(stream))),
            Some(tls) => timeout_at(deadline, tls.accept(stream)).await,
        };
        match greeted {
            Ok(Ok(stream)) => self.associate(stream, address, deadline, slot).await,
            Ok(Err(error)) => tracing::warn!(
                peer.address = %address,
                error = &error as &dyn std::error::Error,
                "TLS connection refused"
            ),
            Err(_) => tracing::warn!(peer.address = %address, "the peer took too long to agree on TLS"),
        }
    }

    async fn associate(&self, stream: Connection, address: SocketAddr, deadline: Instant, slot: Slot) {
        let protocol = AcceptorConfig::new(&self.config.ae_title);
        let max_association_pdu =
            if slot.is_place() { protocol.max_association_pdu } else { REFUSED_REQUEST_BYTES_MAX };
        let _under_way = slot.is_place().then(|| self.pulse.association());
        let mut association = Association {
            server: self,
            connection: stream.peer(address),
            stream,
            acceptor: Acceptor::new(AcceptorConfig {
                max_pdu_length: self.config.pdu_bytes_max,
                max_association_pdu,
                offers_query_retrieve: self.answering.is_some(),
                ..protocol
            }),
            deadline,
            patient_until: deadline,
            slot,
            peer: None,
            character_set: None,
            store: Store::None,
            reports: None,
            telling: None,
            underway: None,
            stored: 0,
            refused: 0,
        };
        metrics::gauge!("telerad_intake_associations").increment(1);
        let ended = association.converse().await;
        if let Err(error) = &ended {
            let silent = matches!(error, Broken::Silent(_));
            self.pulse.refused(if silent { Reason::Silent } else { Reason::Broken });
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
}

/// Reads what comes next: bytes of an object, if nothing else can come before them, to where they will rest, all else to the acceptor.
/// Gives how many bytes came, 0 at the end. Cancelling loses nothing.
async fn read(stream: &mut Connection, acceptor: &mut Acceptor, store: &mut Store) -> io::Result<usize> {
    if let Store::Receiving(receiving) = &mut *store
        && let Some(due) = acceptor.data_due().filter(|due| *due >= DIRECT_BYTES_MIN)
        && let Some(space) = receiving.space()
    {
        let wanted = space.len().min(due);
        // What stands behind the data belongs to the acceptor, and only comes when all of the data did.
        let mut ahead = [0; AHEAD_BYTES];
        let ahead = if wanted == due { ahead.as_mut_slice() } else { &mut [] };
        let received = stream.receive(&mut space[..wanted], ahead).await?;
        let data = received.min(wanted);
        acceptor.take_data(data);
        if let Err(refusal) = receiving.filled(data) {
            *store = Store::Refused(refusal);
        }
        acceptor.receive(&ahead[..received - data]);
        return Ok(received);
    }
    // The rest of an object has a better place than the acceptor's buffer.
    let has_place = match store {
        Store::None => true,
        Store::Receiving(receiving) => receiving.space().is_some(),
        Store::Refused(_) => false,
    };
    let most = if has_place { COMMAND_READ_BYTES } else { usize::MAX };
    stream.read_buf(&mut acceptor.buffer().limit(most)).await
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
    stream: Connection,
    connection: PeerConnection,
    acceptor: Acceptor,
    deadline: Instant,
    /// Until when silence is no fault, since the peer waits for us.
    patient_until: Instant,
    slot: Slot,
    peer: Option<(AeTitle, Centre)>,
    /// How texts of the peer's images are read, where a rule says so.
    character_set: Option<CharacterSetRule>,
    store: Store,
    /// What the peer is to be told of its commitments, if it speaks of them.
    reports: Option<mpsc::Receiver<Told>>,
    /// Where the answer to the report goes that it was told.
    telling: Option<oneshot::Sender<Status>>,
    /// The query or retrieve that is being answered, by its message id.
    underway: Option<(u16, Underway)>,
    stored: u64,
    refused: u64,
}

impl Association<'_> {
    async fn converse(&mut self) -> Result<(), Broken> {
        loop {
            let events = self.take_events().await;
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
            let may_report = self.reports.is_some() && self.acceptor.can_report();
            let deadline = match self.underway {
                Some(_) => Instant::now() + ANSWERING_TIME_MAX,
                None => self.deadline,
            };
            let read = timeout_at(deadline, read(&mut self.stream, &mut self.acceptor, &mut self.store));
            let read = tokio::select! {
                read = read => read,
                told = commitment::next(&mut self.reports), if may_report => {
                    self.tell(told);
                    continue;
                }
                step = answering::next(&mut self.underway) => {
                    self.take_steps(step)?;
                    continue;
                }
            };
            if read.map_err(|_| Broken::Silent(when))?? == 0 {
                return Ok(self.acceptor.connection_closed()?);
            }
            self.hurry_peer();
            if self.acceptor.is_established() {
                let idle = Duration::from_secs(self.server.config.idle_seconds_max);
                self.deadline = (Instant::now() + idle).max(self.patient_until);
            }
        }
    }

    /// Senders with Nagle's algorithm on hold the end of an object back until our kernel acknowledges what came before; without this
    /// it waits 40 ms for that.
    fn hurry_peer(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = self.stream.tcp().set_quickack(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "no quick acknowledgements");
        }
    }

    async fn send(&mut self) -> Result<(), Broken> {
        if let Some(bytes) = self.acceptor.take_outgoing() {
            let write = tokio::time::timeout(WRITE_TIME_MAX, async {
                self.stream.write_all(&bytes).await?;
                self.stream.flush().await
            });
            write.await.map_err(|_| Broken::Silent("while we answered"))??;
        }
        Ok(())
    }

    async fn take_events(&mut self) -> Result<(), Broken> {
        while let Some(event) = self.acceptor.next_event()? {
            match event {
                Event::AssociationRequested(_) if !self.slot.is_place() => {
                    tracing::warn!("association refused: too many at one time");
                    self.server.pulse.refused(Reason::TooManyAssociations);
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
                Event::CommitmentRequested(asked) => self.commit(&asked).await?,
                Event::ReportAnswered { status, .. } => {
                    self.patient_until = Instant::now();
                    if let Some(answer) = self.telling.take() {
                        // A worker that no longer waits tells again.
                        let _ = answer.send(status);
                    }
                }
                Event::Asked(asked) => self.answer(asked)?,
                Event::Cancelled { message_id } => {
                    if let Some((_, underway)) = self.underway.as_ref().filter(|(id, _)| *id == message_id) {
                        underway.cancel.cancel();
                    }
                }
                Event::StoreAnswered { status, .. } => {
                    // Whoever no longer waits for it has replied already.
                    let _ = self.underway.as_ref().map(|(_, underway)| underway.answers.try_send(status));
                }
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
            server.pulse.refused(Reason::WrongCalledTitle);
            return Ok(self.acceptor.reject(RejectReason::CalledAeTitleNotRecognised)?);
        }
        let ae = AeTitle::parse(&request.calling_ae_title);
        let peer = match &ae {
            Some(ae) => server.catalog.peer_of_ae(ae).await?,
            None => None,
        };
        let character_set = peer.as_ref().and_then(KnownPeer::character_set).cloned();
        let Some(KnownPeer { ae, centre, policy }) = peer else {
            tracing::warn!(peer.ae = %request.calling_ae_title.escape_debug(), "association refused: no centre has this calling AE title");
            server.pulse.refused(Reason::UnknownPeer);
            return Ok(self.acceptor.reject(RejectReason::CallingAeTitleNotRecognised)?);
        };
        if let Err(reason) = policy.admit(&self.connection) {
            let shown = self.connection.certificate.as_ref();
            tracing::warn!(
                peer.ae = %ae,
                peer.address = %self.connection.address,
                certificate.subject = shown.map(|shown| shown.subject.as_str()),
                certificate.sha256 = shown.map(|shown| shown.fingerprint.to_string()),
                %reason,
                "association refused"
            );
            server.pulse.refused(Reason::UnknownPeer);
            return Ok(self.acceptor.reject(RejectReason::CallingAeTitleNotRecognised)?);
        }
        if self.slot.belongs_to(&ae).is_err() {
            tracing::warn!(peer.ae = %ae, "association refused: too many of this AE title at one time");
            server.pulse.refused(Reason::TooManyAssociations);
            return Ok(self.acceptor.reject(RejectReason::LocalLimitExceeded)?);
        }
        self.withhold(policy.services)?;
        if self.acceptor.speaks_commitment() {
            self.reports = Some(server.open.enter(&centre.id, &ae));
            // Reports that could not be told so far; what goes wrong leaves them their time.
            if let Err(error) = server.catalog.hurry_reports(&centre.id, &ae, server.clock.now()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting reports are not hurried");
            }
        }
        self.peer = Some((ae, centre));
        self.character_set = character_set;
        self.deadline = Instant::now() + Duration::from_secs(server.config.idle_seconds_max);
        Ok(self.acceptor.accept()?)
    }

    /// Refuses the contexts of what the peer may not ask for.
    fn withhold(&mut self, allowed: AllowedServices) -> Result<(), Broken> {
        let AllowedServices { storage, commitment, query, retrieve } = allowed;
        let services = [
            (storage, Service::Storage),
            (storage, Service::InstanceAvailability),
            (commitment, Service::Commitment),
        ];
        let of_root = |root| {
            [(query, Service::Find(root)), (retrieve, Service::Move(root)), (retrieve, Service::Get(root))]
        };
        for (may, service) in services.into_iter().chain(Root::ALL.into_iter().flat_map(of_root)) {
            if !may {
                self.acceptor.withhold(service)?;
            }
        }
        Ok(())
    }

    /// Has a query or retrieve answered.
    fn answer(&mut self, asked: Asked) -> Result<(), Broken> {
        let message = asked.message_id;
        let (Some(answering), Some((ae, centre))) = (&self.server.answering, &self.peer) else {
            return Ok(self.acceptor.reply(message, &Reply::of(Status::UNABLE_TO_PROCESS))?);
        };
        if self.underway.is_some() {
            let status = match asked.wish {
                Wish::Find => Status::OUT_OF_RESOURCES,
                Wish::Move { .. } | Wish::Get => Status::CANNOT_PERFORM_SUB_OPERATIONS,
            };
            let reply = Reply::of(status).saying("one query or retrieve at a time on an association");
            return Ok(self.acceptor.reply(message, &reply)?);
        }
        let asker = Peer { ae: ae.clone(), centre: centre.id.clone() };
        let taken = self.acceptor.taken_by_peer();
        self.underway = Some((message, answering.begin(asker, asked, taken)));
        Ok(())
    }

    /// Does what whoever answers says is next, and what it has ready behind it.
    fn take_steps(&mut self, mut step: Option<Step>) -> Result<(), Broken> {
        let mut left = STEPS_AT_ONCE;
        while let Some(message) = self.underway.as_ref().map(|(message, _)| *message) {
            left -= 1;
            let is_data = matches!(step, Some(Step::Data(_)));
            match step {
                Some(Step::Reply(reply)) => {
                    self.acceptor.reply(message, &reply)?;
                    if reply.status.class() != StatusClass::Pending {
                        self.answered();
                    }
                }
                Some(Step::Begin(store)) => drop(self.acceptor.begin_giving(&store)?),
                Some(Step::Data(data)) => self.acceptor.give(&data)?,
                Some(Step::End) => self.acceptor.end_giving()?,
                Some(Step::Abort) => return Err(Broken::Given),
                None => {
                    tracing::error!("an answer to a query or retrieve broke off");
                    self.acceptor.reply(message, &Reply::of(Status::UNABLE_TO_PROCESS))?;
                    self.answered();
                }
            }
            // A piece of an object is enough for one write; what stands behind it is asked for afterwards.
            let next = self.underway.as_mut().filter(|_| !is_data && left > 0);
            match next.and_then(|(_, underway)| underway.steps.try_recv().ok()) {
                Some(next) => step = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    /// The last reply is made: the peer has its usual time again.
    fn answered(&mut self) {
        self.underway = None;
        self.deadline = Instant::now() + Duration::from_secs(self.server.config.idle_seconds_max);
    }

    /// A request for commitment is answered once it cannot be lost any more; its result comes later.
    async fn commit(&mut self, asked: &CommitmentAsked) -> Result<(), Broken> {
        let message = asked.message_id;
        let transaction = TransactionUid::parse(&asked.request.transaction_uid);
        let references = commitment::references(&asked.request.references);
        let (Ok(transaction), Some(references), Some((ae, centre))) = (transaction, references, &self.peer)
        else {
            return Ok(self.acceptor.respond_action(message, Status::INVALID_ARGUMENT_VALUE)?);
        };
        let new = NewCommitment {
            id: CommitmentId::fresh(),
            centre: centre.id.clone(),
            transaction,
            by: Asker::Peer(ae.clone()),
            actor: Actor::Peer(ae.clone()),
            references,
        };
        let status = match self.server.catalog.request_commitment(&new, self.server.clock.now()).await {
            Ok(CommitmentOutcome::Accepted(_) | CommitmentOutcome::Repeated(_)) => {
                self.patient_until = Instant::now() + REPORT_TIME_MAX;
                self.deadline = self.deadline.max(self.patient_until);
                Status::SUCCESS
            }
            Ok(CommitmentOutcome::TooMany) => {
                tracing::warn!(peer.ae = %ae, "a request for commitment is refused: too many wait");
                Status::RESOURCE_LIMITATION
            }
            Ok(CommitmentOutcome::InUse) => {
                tracing::warn!(peer.ae = %ae, "a Transaction UID is used for a second request; every object of it is refused");
                Status::SUCCESS
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a request for commitment was not kept"
                );
                Status::PROCESSING_FAILURE
            }
        };
        Ok(self.acceptor.respond_action(message, status)?)
    }

    /// Tells the peer of a commitment on this association.
    fn tell(&mut self, told: Told) {
        match self.acceptor.report(&told.report) {
            Ok(_) => self.telling = Some(told.answer),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a report cannot be told on this association"
                );
            }
        }
    }

    fn begin(&self, request: &StoreRequest) -> Store {
        let Some((ae, centre)) = &self.peer else {
            return Store::Refused(Refusal::Unavailable("the association is not established"));
        };
        if !self.server.room.is_there() {
            return Store::Refused(Refusal::Full);
        }
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
            way: Way::Association,
            by: None,
            head: Bytes::new(),
            character_set: self.character_set.clone(),
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
                self.server.pulse.refused(Reason::from(&refusal));
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
