//! An association that we open to a move destination, and the objects that go over it. It keeps a time limit for each answer; what the
//! peer takes is found out by proposing each class in the transfer syntaxes that its objects rest in.

use std::{io, time::Duration};

use dimse::{
    ContextResult, Requestor, RequestorConfig, RequestorEvent, Status, StoreCommand, error::CallError,
    requestor::MAX_CONTEXTS,
};
use domain::{image::Instance, peer::PeerAddress};
use imaging::{rewrite, syntax::EXPLICIT_LITTLE};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{Calls, Connection, objects};

/// Why an association to a destination ends, or does not begin. No text of the peer is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutgoingError {
    #[error("the destination is not reached")]
    Call(#[source] io::Error),
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    #[error("the destination did not answer in time")]
    Silent,
    #[error("the destination refuses the association: {0}")]
    Rejected(String),
    #[error("the destination broke the protocol")]
    Protocol(#[from] dimse::ProtocolError),
    #[error("the association cannot be used")]
    Use(#[from] CallError),
    #[error("the destination ended the association")]
    Ended,
}

/// Whom we call, and as whom.
pub(super) struct Destination<'a> {
    pub(super) calls: &'a dyn Calls,
    pub(super) address: &'a PeerAddress,
    pub(super) called: &'a str,
    pub(super) calling: &'a str,
    pub(super) answer_time: Duration,
}

/// An open association.
pub(super) struct Outgoing {
    stream: Box<dyn Connection>,
    requestor: Requestor,
    answer_time: Duration,
}

/// Objects that can go over one association, and what is proposed for them.
#[derive(Debug, Default)]
pub(super) struct Load {
    contexts: Vec<(String, Vec<String>)>,
    pub(super) objects: Vec<Instance>,
}

/// Objects in as few loads as their classes and transfer syntaxes need, in their order.
pub(super) fn loads(objects: Vec<Instance>) -> Vec<Load> {
    let mut loads = vec![Load::default()];
    for object in objects {
        let contexts = proposed(&object);
        let missing =
            |load: &Load| contexts.iter().filter(|context| !load.contexts.contains(context)).count();
        if loads.last().is_none_or(|load| load.contexts.len() + missing(load) > MAX_CONTEXTS) {
            loads.push(Load::default());
        }
        if let Some(load) = loads.last_mut() {
            for context in contexts {
                if !load.contexts.contains(&context) {
                    load.contexts.push(context);
                }
            }
            load.objects.push(object);
        }
    }
    loads.retain(|load| !load.objects.is_empty());
    loads
}

/// An object's class in the transfer syntax that it rests in, and for a peer that does not take that, in those that it can be written in.
fn proposed(object: &Instance) -> Vec<(String, Vec<String>)> {
    let class = object.sop_class.as_str();
    let mut others: Vec<String> =
        rewrite::targets(&object.transfer_syntax).iter().map(|uid| (*uid).to_owned()).collect();
    if objects::decodes(object) {
        others.push(EXPLICIT_LITTLE.to_owned());
    }
    let stored = (class.to_owned(), vec![object.transfer_syntax.as_str().to_owned()]);
    let others = (!others.is_empty()).then(|| (class.to_owned(), others));
    std::iter::once(stored).chain(others).collect()
}

impl Outgoing {
    /// Opens an association for a load.
    pub(super) async fn open(to: &Destination<'_>, load: &Load) -> Result<Self, OutgoingError> {
        let stream = to.calls.call(to.address).await.map_err(OutgoingError::Call)?;
        let config = load.contexts.iter().fold(
            RequestorConfig::new(to.calling, to.called),
            |config, (class, syntaxes)| {
                config.with_context(class, &syntaxes.iter().map(String::as_str).collect::<Vec<_>>())
            },
        );
        let mut outgoing = Self { stream, requestor: Requestor::new(config)?, answer_time: to.answer_time };
        match outgoing.event().await? {
            RequestorEvent::Accepted { .. } => Ok(outgoing),
            RequestorEvent::Rejected { reason, .. } => Err(OutgoingError::Rejected(reason)),
            RequestorEvent::Answered(_) | RequestorEvent::Released | RequestorEvent::Aborted { .. } => {
                Err(OutgoingError::Ended)
            }
        }
    }

    /// Transfer syntaxes in which the peer takes a class.
    pub(super) fn taken(&self, sop_class: &str) -> Vec<String> {
        let contexts =
            self.requestor.contexts().iter().filter(|context| context.abstract_syntax == sop_class);
        let syntax = |context: &dimse::NegotiatedContext| match &context.result {
            ContextResult::Accepted { transfer_syntax } => Some(transfer_syntax.clone()),
            _ => None,
        };
        contexts.filter_map(syntax).collect()
    }

    pub(super) async fn begin(&mut self, store: &StoreCommand) -> Result<(), OutgoingError> {
        self.requestor.begin_store(store)?;
        Ok(())
    }

    pub(super) async fn data(&mut self, data: &[u8]) -> Result<(), OutgoingError> {
        self.requestor.store_data(data)?;
        self.flush().await
    }

    pub(super) async fn end(&mut self) -> Result<Status, OutgoingError> {
        self.requestor.end_store()?;
        match self.event().await? {
            RequestorEvent::Answered(answer) => Ok(answer.status),
            RequestorEvent::Accepted { .. }
            | RequestorEvent::Rejected { .. }
            | RequestorEvent::Released
            | RequestorEvent::Aborted { .. } => Err(OutgoingError::Ended),
        }
    }

    /// Takes back an object that has begun.
    pub(super) async fn abort(&mut self) {
        self.requestor.abort();
        // The peer may be gone already.
        let _ = self.flush().await;
    }

    /// Ends in good order. Everything is answered by then, so that it does not matter how the peer takes it.
    pub(super) async fn release(mut self) {
        if self.requestor.release().is_ok() {
            let _ = self.event().await;
        }
        let _ = timeout(self.answer_time, self.stream.shutdown()).await;
    }

    async fn flush(&mut self) -> Result<(), OutgoingError> {
        let write = async {
            while let Some(bytes) = self.requestor.take_outgoing() {
                self.stream.write_all(&bytes).await?;
            }
            // TLS holds back what fills no record.
            self.stream.flush().await
        };
        Ok(timeout(self.answer_time, write).await.map_err(|_| OutgoingError::Silent)??)
    }

    async fn event(&mut self) -> Result<RequestorEvent, OutgoingError> {
        self.flush().await?;
        timeout(self.answer_time, self.next()).await.map_err(|_| OutgoingError::Silent)?
    }

    async fn next(&mut self) -> Result<RequestorEvent, OutgoingError> {
        loop {
            if let Some(event) = self.requestor.next_event()? {
                return Ok(event);
            }
            if self.stream.read_buf(self.requestor.buffer()).await? == 0 {
                self.requestor.connection_closed()?;
                return Err(OutgoingError::Ended);
            }
        }
    }
}
