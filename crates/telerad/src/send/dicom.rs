//! Sends over a DICOM association.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use dimse::{
    Answer, Availability, AvailabilityNotice, InstanceAvailability, Priority, Requestor, RequestorConfig,
    RequestorEvent, SeriesAvailability, Status, StoreCommand,
};
use domain::uid::StudyInstanceUid;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Batch, Failure, Progress, scan::Found};

/// How much of a file is in memory at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;
/// How long the peer may take for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// Contexts of one association for images; the rest is for the notice.
const IMAGE_CONTEXTS_MAX: usize = 120;

/// A DICOM peer.
#[derive(Debug, Clone)]
pub struct Peer {
    /// `HOST:PORT`.
    pub address: String,
    /// Its AE title.
    pub called: String,
    /// Ours.
    pub calling: String,
}

struct Association {
    stream: TcpStream,
    requestor: Requestor,
}

/// Sends one study over one association, in as many as its encodings need, and tells the peer how many images that was.
///
/// # Errors
/// When the peer cannot be reached or breaks off; what it answered before is in `progress`.
pub async fn send(
    peer: &Peer,
    study: &StudyInstanceUid,
    files: Batch<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut by_context: BTreeMap<(&str, &str), Vec<&Found>> = BTreeMap::new();
    for file in files {
        by_context.entry((file.sop_class.as_str(), file.transfer_syntax.as_str())).or_default().push(file);
    }
    let groups: Vec<_> = by_context.into_iter().collect();
    let mut sent = Vec::new();
    let mut chunks = groups.chunks(IMAGE_CONTEXTS_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let contexts: BTreeSet<(&str, &str)> = chunk.iter().map(|(context, _)| *context).collect();
        let mut association = Association::open(peer, &contexts).await?;
        for file in chunk.iter().flat_map(|(_, files)| files) {
            if association.store(file, progress).await? {
                sent.push(*file);
            }
        }
        if chunks.peek().is_none() && sent.len() == files.len() {
            association.notify(study, &sent, peer).await?;
        }
        association.release().await?;
    }
    Ok(())
}

/// Asks the peer for an echo.
///
/// # Errors
/// When it cannot be reached or does not answer with success.
pub async fn echo(peer: &Peer) -> Result<(), Failure> {
    let mut association = Association::open(peer, &BTreeSet::new()).await?;
    association.requestor.echo()?;
    let answer = association.answer().await?;
    association.release().await?;
    if answer.status == Status::SUCCESS {
        Ok(())
    } else {
        Err(Failure::Peer(format!("the echo was answered with {}", answer.status)))
    }
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
        let mut association = Self { stream, requestor: Requestor::new(config)? };
        association.flush().await?;
        match association.event().await? {
            RequestorEvent::Accepted { .. } => Ok(association),
            RequestorEvent::Rejected { is_transient, reason } => {
                Err(Failure::Rejected { reason, may_try_again: is_transient })
            }
            other => Err(Failure::Peer(format!("it answered the association request with {other:?}"))),
        }
    }

    /// Whether the peer stored the file.
    async fn store(&mut self, file: &Found, progress: &mut Progress) -> Result<bool, Failure> {
        if !self.requestor.accepts(file.sop_class.as_str(), file.transfer_syntax.as_str()) {
            progress.refused(file, "the peer does not take this kind of object in this encoding");
            return Ok(false);
        }
        let mut source = std::fs::File::open(&file.path).map_err(Failure::File)?;
        source.seek(SeekFrom::Start(file.data_set_offset)).map_err(Failure::File)?;
        self.requestor.begin_store(&StoreCommand {
            sop_class_uid: file.sop_class.as_str().to_owned(),
            sop_instance_uid: file.sop_instance.as_str().to_owned(),
            transfer_syntax_uid: file.transfer_syntax.as_str().to_owned(),
            priority: Priority::default(),
        })?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source.read(&mut piece).map_err(Failure::File)?;
            if read == 0 {
                break;
            }
            self.requestor.store_data(&piece[..read])?;
            self.flush().await?;
        }
        self.requestor.end_store()?;
        let answer = self.answer().await?;
        if answer.status.class().is_stored() {
            progress.stored(file);
            return Ok(true);
        }
        let comment =
            answer.error_comment.map(|comment| format!(": {}", comment.escape_debug())).unwrap_or_default();
        progress.refused(file, &format!("{}{comment}", answer.status));
        Ok(false)
    }

    /// Says which instances of the study were sent. A peer that does not take notices is told nothing.
    async fn notify(
        &mut self,
        study: &StudyInstanceUid,
        sent: &[&Found],
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

    async fn release(mut self) -> Result<(), Failure> {
        self.requestor.release()?;
        self.flush().await?;
        while !self.requestor.is_finished() {
            self.event().await?;
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        self.flush().await?;
        match self.event().await? {
            RequestorEvent::Answered(answer) => Ok(answer),
            RequestorEvent::Aborted { source } => {
                Err(Failure::Peer(format!("it aborted the association ({source:?})")))
            }
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
        }
        Ok(())
    }
}
