//! Tells a peer what came of its commitment, over an association that we open to it (PS3.4 section J.3.3).

use std::{io, time::Duration};

use dimse::{
    CommitmentReport, Requestor, RequestorConfig, RequestorEvent, Status, error::CallError,
    requestor::NotifyError,
};
use domain::{peer::PeerAddress, text::AeTitle};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    connection::{self, CallPeerError, Connection},
    tls::Tls,
};

/// How long the peer may take for one answer.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Why a peer was not told. No text of the peer is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    #[error(transparent)]
    Connection(#[from] CallPeerError),
    #[error("the connection failed")]
    Broken(#[from] io::Error),
    #[error("the peer did not answer in time")]
    Silent,
    #[error("the peer refuses the association: {0}")]
    Rejected(String),
    #[error("the peer does not take reports of storage commitment")]
    NotTaken,
    #[error("the peer broke the protocol")]
    Protocol(#[from] dimse::ProtocolError),
    #[error("the report cannot be sent")]
    Report(#[from] NotifyError),
    #[error("the association cannot be opened")]
    Call(#[from] CallError),
    #[error("the peer ended the association")]
    Ended,
}

/// Whom we call, and as whom.
pub(super) struct Call<'a> {
    pub(super) address: &'a PeerAddress,
    pub(super) called: &'a AeTitle,
    pub(super) calling: &'a str,
    pub(super) tls: Option<&'a Tls>,
}

struct Talk {
    stream: Connection,
    requestor: Requestor,
}

/// Opens an association, reports, and gives the peer's answer.
pub(super) async fn tell(call: &Call<'_>, report: &CommitmentReport) -> Result<Status, TellError> {
    let stream = connection::open(call.address, call.tls).await?;
    let config = RequestorConfig::new(call.calling, call.called.as_str()).with_commitment_reports();
    let mut talk = Talk { stream, requestor: Requestor::new(config)? };
    match talk.event().await? {
        RequestorEvent::Accepted { .. } => {}
        RequestorEvent::Rejected { reason, .. } => return Err(TellError::Rejected(reason)),
        RequestorEvent::Answered(_) | RequestorEvent::Released | RequestorEvent::Aborted { .. } => {
            return Err(TellError::Ended);
        }
    }
    match talk.requestor.report(report) {
        Ok(_) => {}
        Err(NotifyError::Call(CallError::NoPresentationContext)) => {
            talk.release().await;
            return Err(TellError::NotTaken);
        }
        Err(error) => return Err(error.into()),
    }
    let status = match talk.event().await? {
        RequestorEvent::Answered(answer) => answer.status,
        RequestorEvent::Accepted { .. }
        | RequestorEvent::Rejected { .. }
        | RequestorEvent::Released
        | RequestorEvent::Aborted { .. } => return Err(TellError::Ended),
    };
    talk.release().await;
    Ok(status)
}

impl Talk {
    async fn event(&mut self) -> Result<RequestorEvent, TellError> {
        timeout(ANSWER_TIME_MAX, self.next()).await.map_err(|_| TellError::Silent)?
    }

    async fn next(&mut self) -> Result<RequestorEvent, TellError> {
        loop {
            while let Some(bytes) = self.requestor.take_outgoing() {
                self.stream.write_all(&bytes).await?;
                self.stream.flush().await?;
            }
            if let Some(event) = self.requestor.next_event()? {
                return Ok(event);
            }
            if self.stream.read_buf(self.requestor.buffer()).await? == 0 {
                self.requestor.connection_closed()?;
                return Err(TellError::Ended);
            }
        }
    }

    /// Ends the association. What was to be said is said, so that how it ends does not matter.
    async fn release(mut self) {
        if self.requestor.release().is_ok() {
            let _ = self.event().await;
        }
        let _ = timeout(connection::CONNECT_TIME_MAX, self.stream.shutdown()).await;
    }
}
