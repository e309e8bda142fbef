//! Sends over a DICOM association.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek, SeekFrom},
    sync::Arc,
    time::Duration,
};

use dimse::{
    Answer, Availability, AvailabilityNotice, InstanceAvailability, Priority, Requestor, RequestorConfig,
    RequestorEvent, SeriesAvailability, Status, StoreCommand,
};
use domain::uid::StudyInstanceUid;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    Batch, Failure,
    outcome::{self, Kind, Reason, Verdict},
    scan::Found,
    transfer::{Broken, Load},
};

/// How much of a file is in memory at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;
/// How long the peer may take for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// Contexts of one association for images; the rest is for the notice.
const IMAGE_CONTEXTS_MAX: usize = 120;

/// How often in a row a peer may say that it cannot now, before it is left alone for a while.
const LATER_IN_ROW_MAX: usize = 3;

/// A DICOM peer.
#[derive(Debug, Clone)]
pub struct Peer {
    /// `HOST:PORT`.
    pub address: String,
    /// Its AE title.
    pub called: String,
    /// Ours.
    pub calling: String,
    /// How to speak TLS, if at all.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A connection, in the clear or over TLS.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

struct Association {
    stream: Box<dyn Connection>,
    requestor: Requestor,
}

/// Sends a load over one association, in as many as its encodings need, and tells the peer when its study is complete.
///
/// # Errors
/// When the peer cannot be reached or breaks off; what it answered before is told.
pub async fn send(peer: &Peer, load: &Load<'_>) -> Result<(), Broken> {
    let mut by_context: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for place in &load.objects {
        let file = load.file(*place);
        by_context.entry((file.sop_class.as_str(), file.transfer_syntax.as_str())).or_default().push(*place);
    }
    let groups: Vec<_> = by_context.into_iter().collect();
    for chunk in groups.chunks(IMAGE_CONTEXTS_MAX) {
        let contexts: BTreeSet<(&str, &str)> = chunk.iter().map(|(context, _)| *context).collect();
        let mut association = Association::open(peer, &contexts).await.map_err(Broken::before)?;
        let mut later_in_row = 0;
        for place in chunk.iter().flat_map(|(_, places)| places) {
            if load.is_over() {
                break;
            }
            let stored = association.store(load.file(*place)).await;
            let verdict = stored.map_err(|failure| Broken { failure, under_way: vec![*place] });
            let verdict = match verdict {
                Err(Broken { failure: Failure::File(reason), .. }) => {
                    // The object is half sent: only the end of the association takes it back.
                    load.told(*place, Verdict::Not(reason.clone()));
                    association.abort().await;
                    return Err(Broken::before(Failure::File(reason)));
                }
                other => other?,
            };
            later_in_row = if is_later(&verdict) { later_in_row + 1 } else { 0 };
            load.told(*place, verdict);
            if later_in_row == LATER_IN_ROW_MAX {
                association.release().await;
                return Err(Broken::before(Failure::Busy));
            }
        }
        association.tell_if_complete(load, peer).await.map_err(Broken::before)?;
        association.release().await;
    }
    if groups.is_empty() {
        let mut association = Association::open(peer, &BTreeSet::new()).await.map_err(Broken::before)?;
        association.tell_if_complete(load, peer).await.map_err(Broken::before)?;
        association.release().await;
    }
    Ok(())
}

fn is_later(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Not(reason) if reason.kind == Kind::Later)
}

/// Asks the peer for an echo.
///
/// # Errors
/// When it cannot be reached or does not answer with success.
pub async fn echo(peer: &Peer) -> Result<(), Failure> {
    let mut association = Association::open(peer, &BTreeSet::new()).await?;
    association.requestor.echo()?;
    let answer = association.answer().await?;
    association.release().await;
    if answer.status == Status::SUCCESS {
        Ok(())
    } else {
        Err(Failure::Peer(format!("the echo was answered with {}", answer.status)))
    }
}

/// Speaks TLS where the peer is to; its certificate has to be the one of its host.
async fn speak(stream: TcpStream, peer: &Peer) -> Result<Box<dyn Connection>, Failure> {
    let Some(tls) = &peer.tls else { return Ok(Box::new(stream)) };
    let host = peer.address.rsplit_once(':').map_or(peer.address.as_str(), |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| Failure::Address(format!("{host} is no name of a host")))?;
    let handshake = timeout(CONNECT_TIME_MAX, TlsConnector::from(Arc::clone(tls)).connect(name, stream));
    Ok(Box::new(handshake.await.map_err(|_| Failure::Silent)?.map_err(Failure::Connection)?))
}

impl Association {
    async fn open(peer: &Peer, contexts: &BTreeSet<(&str, &str)>) -> Result<Self, Failure> {
        let connect = timeout(CONNECT_TIME_MAX, TcpStream::connect(&peer.address));
        let stream = connect.await.map_err(|_| Failure::Silent)?.map_err(Failure::Connection)?;
        stream.set_nodelay(true).map_err(Failure::Connection)?;
        let config =
            RequestorConfig::new(&peer.calling, &peer.called).with_verification().with_availability();
        let config =
            contexts.iter().fold(config, |config, (class, syntax)| config.with_context(class, &[syntax]));
        let mut association = Self { stream: speak(stream, peer).await?, requestor: Requestor::new(config)? };
        association.flush().await?;
        match association.event().await? {
            RequestorEvent::Accepted { .. } => Ok(association),
            RequestorEvent::Rejected { is_transient, reason } => {
                Err(Failure::Rejected { reason, may_try_again: is_transient })
            }
            RequestorEvent::Aborted { source } => Err(Failure::Aborted(format!("{source:?}"))),
            other => Err(Failure::Peer(format!("it answered the association request with {other:?}"))),
        }
    }

    /// What the peer makes of the file.
    async fn store(&mut self, file: &Found) -> Result<Verdict, Failure> {
        if !self.requestor.accepts(file.sop_class.as_str(), file.transfer_syntax.as_str()) {
            let text = "the peer does not take this kind of object in this encoding";
            return Ok(Verdict::Not(Reason::refused(text)));
        }
        let mut source = match file.open() {
            Ok(source) => source,
            Err(reason) => return Ok(Verdict::Not(reason)),
        };
        let unreadable = |error| Failure::File(Reason::file(format!("cannot be read: {error}")));
        source.seek(SeekFrom::Start(file.data_set_offset)).map_err(unreadable)?;
        self.requestor.begin_store(&StoreCommand {
            sop_class_uid: file.sop_class.as_str().to_owned(),
            sop_instance_uid: file.sop_instance.as_str().to_owned(),
            transfer_syntax_uid: file.transfer_syntax.as_str().to_owned(),
            priority: Priority::default(),
            move_originator: None,
        })?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source.read(&mut piece).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            self.requestor.store_data(&piece[..read])?;
            self.flush().await?;
        }
        file.check(&source).map_err(Failure::File)?;
        self.requestor.end_store()?;
        let answer = self.answer().await?;
        Ok(outcome::of_status(answer.status, answer.error_comment.as_deref()))
    }

    async fn tell_if_complete(&mut self, load: &Load<'_>, peer: &Peer) -> Result<(), Failure> {
        if let Some(files) = load.complete() {
            self.notify(&load.study().uid, &files, peer).await?;
            load.told_complete();
        }
        Ok(())
    }

    /// Says which instances of the study were sent. A peer that does not take notices is told nothing.
    async fn notify(
        &mut self,
        study: &StudyInstanceUid,
        sent: Batch<'_>,
        peer: &Peer,
    ) -> Result<(), Failure> {
        let takes = self.requestor.contexts().iter().any(|context| {
            context.abstract_syntax == dicom_dictionary_std::uids::INSTANCE_AVAILABILITY_NOTIFICATION
                && matches!(context.result, dimse::ContextResult::Accepted { .. })
        });
        if !takes {
            return Ok(());
        }
        let mut series: BTreeMap<&str, Vec<InstanceAvailability>> = BTreeMap::new();
        for file in sent {
            series.entry(file.series.as_str()).or_default().push(InstanceAvailability {
                sop_class_uid: file.sop_class.as_str().to_owned(),
                sop_instance_uid: file.sop_instance.as_str().to_owned(),
                availability: Availability::Online,
                retrieve_ae_title: peer.called.clone(),
            });
        }
        let series = series
            .into_iter()
            .map(|(uid, instances)| SeriesAvailability { series_instance_uid: uid.to_owned(), instances });
        let notice =
            AvailabilityNotice { study_instance_uid: study.as_str().to_owned(), series: series.collect() };
        let uid = format!("2.25.{}", uuid::Uuid::new_v4().as_u128());
        self.requestor.notify(&notice, &uid).map_err(|error| Failure::Peer(error.to_string()))?;
        let answer = self.answer().await?;
        if answer.status != Status::SUCCESS {
            tracing::warn!(status = %answer.status, "the peer did not take the notice that the study is complete");
        }
        Ok(())
    }

    /// Ends in good order. Everything is answered by then, so a peer that only hangs up does no harm.
    async fn release(mut self) {
        let released = async {
            self.requestor.release()?;
            self.flush().await?;
            while !self.requestor.is_finished() {
                self.event().await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(error) = released.await {
            tracing::debug!(%error, "the peer did not answer the release");
        }
    }

    async fn abort(mut self) {
        self.requestor.abort();
        if let Err(error) = self.flush().await {
            tracing::debug!(%error, "the peer did not take the abort");
        }
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        self.flush().await?;
        match self.event().await? {
            RequestorEvent::Answered(answer) => Ok(answer),
            RequestorEvent::Aborted { source } => Err(Failure::Aborted(format!("{source:?}"))),
            other => Err(Failure::Peer(format!("it answered a request with {other:?}"))),
        }
    }

    async fn event(&mut self) -> Result<RequestorEvent, Failure> {
        loop {
            if let Some(event) = self.requestor.next_event()? {
                return Ok(event);
            }
            let read = timeout(ANSWER_TIME_MAX, self.stream.read_buf(self.requestor.buffer()));
            if read.await.map_err(|_| Failure::Silent)?.map_err(Failure::Connection)? == 0 {
                self.requestor.connection_closed()?;
                return Err(Failure::Peer("it closed the connection".to_owned()));
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        while let Some(bytes) = self.requestor.take_outgoing() {
            let write = timeout(ANSWER_TIME_MAX, self.stream.write_all(&bytes));
            write.await.map_err(|_| Failure::Silent)?.map_err(Failure::Connection)?;
            // TLS holds back what fills no record.
            timeout(ANSWER_TIME_MAX, self.stream.flush())
                .await
                .map_err(|_| Failure::Silent)?
                .map_err(Failure::Connection)?;
        }
        Ok(())
    }
}
