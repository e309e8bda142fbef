//! Sends over STOW-RS, streaming the files as they lie on disk.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use dimse::Status;
use domain::port::Clock as _;
use futures::{Stream, StreamExt as _, stream};
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tokio_util::io::ReaderStream;

use super::{
    Failure,
    outcome::{self, Reason, Verdict},
    scan::Found,
    transfer::{Broken, Load},
};
use crate::clock::MachineClock;

/// How much of a file is in memory at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// How long the server may take nothing and say nothing.
const SILENT_TIME_MAX: Duration = Duration::from_secs(120);
/// Longest waiting that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// A boundary that no DICOM file holds by chance: 122 random bits of a fixed UUID.
const BOUNDARY: &str = "telerad-4c3de1ab6b0f4d6ba7f1f2b04c1c5a52";

/// A DICOMweb server.
pub struct Server {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Server {
    /// A server by its base address, for example `https://host/dicomweb`; with authorities of its own, if given.
    ///
    /// # Errors
    /// When no client can be made, for example for want of root certificates.
    pub fn new(base: &str, token: Option<String>, tls: Option<&ClientConfig>) -> Result<Self, Failure> {
        let client = Client::builder().connect_timeout(CONNECT_TIME_MAX);
        let client = match tls {
            Some(tls) => client.tls_backend_preconfigured(tls.clone()),
            None => client,
        };
        Ok(Self {
            client: client.build().map_err(Failure::Http)?,
            base: base.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Sends a load in one request and tells the server how many images its study has in all.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the request as a whole.
    pub async fn send(&self, load: &Load<'_>) -> Result<(), Broken> {
        let mut places = Vec::new();
        for place in &load.objects {
            match load.file(*place).open() {
                Ok(_) => places.push(*place),
                Err(reason) => load.told(*place, Verdict::Not(reason)),
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let study = load.study();
        let request = self.client.post(format!("{}/studies/{}", self.base, study.uid));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let media_type = format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}");
        let watch = Arc::new(Watch::default());
        let files = places.iter().map(|place| (*place, load.file(*place).clone())).collect();
        let request = request
            .header("content-type", media_type)
            .header("accept", "application/dicom+json")
            .header(intake::web::EXPECTED_HEADER, study.objects.len())
            .body(reqwest::Body::wrap_stream(body(files, Arc::clone(&watch))));
        let sent = tokio::select! {
            sent = request.send() => sent.map_err(Failure::Http),
            () = watch.stalled() => Err(Failure::Silent),
        };
        // A file that went away while it was read ends the request, but is no fault of the server.
        if let Some((place, reason)) = watch.unsent() {
            load.told(place, Verdict::Not(reason.clone()));
            return Err(Broken::before(Failure::File(reason)));
        }
        let answered = match sent {
            Ok(response) => answered(response, load, &places).await,
            Err(failure) => Err(failure),
        };
        answered.map_err(|failure| {
            let is_unreached = matches!(&failure, Failure::Http(error) if error.is_connect());
            // An internal error may be an object's doing; any other answer is about the sender or the hour.
            let is_about_us = matches!(failure, Failure::Refused { status, .. } if status != 500);
            let under_way = if is_unreached || is_about_us { Vec::new() } else { places };
            Broken { failure, under_way }
        })
    }
}

/// Takes the answer to a request: what it says of each object, or of all together.
async fn answered(response: Response, load: &Load<'_>, places: &[usize]) -> Result<(), Failure> {
    let (status, wait) = (response.status(), retry_after(&response));
    let answer = read(response).await?;
    let refused = |message| Failure::Refused { status: status.as_u16(), message, wait };
    match status {
        StatusCode::OK | StatusCode::ACCEPTED | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE
            if answer.get("00081190").is_some() || answer.get("00081198").is_some() =>
        {
            report(load, places, &answer);
            // Told of each object, and that the server wants to be left alone.
            if status == StatusCode::SERVICE_UNAVAILABLE { Err(refused(message(&answer))) } else { Ok(()) }
        }
        _ => Err(refused(message(&answer))),
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3), in seconds or as a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = MachineClock.now().duration_until(until);
    Some(Duration::try_from(wait).unwrap_or_default().min(RETRY_AFTER_MAX))
}

/// Watches a request on its way: whether it moves, and which file could not be read.
struct Watch {
    moved: Mutex<Instant>,
    unsent: Mutex<Option<(usize, Reason)>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { moved: Mutex::new(Instant::now()), unsent: Mutex::new(None) }
    }
}

impl Watch {
    fn moves(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when nothing moved for too long.
    async fn stalled(&self) {
        loop {
            let until = *self.moved.lock().unwrap_or_else(PoisonError::into_inner) + SILENT_TIME_MAX;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn refuse(&self, place: usize, reason: Reason) -> io::Error {
        let error = io::Error::other(reason.text.clone());
        // The first one is the cause.
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((place, reason));
        error
    }

    fn unsent(&self) -> Option<(usize, Reason)> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn body(
    files: Vec<(usize, Found)>,
    watch: Arc<Watch>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let parts = stream::iter(files).flat_map(move |(place, file)| {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/dicom; transfer-syntax={}\r\n\r\n",
            file.transfer_syntax
        );
        stream::once(async { Ok(Bytes::from(head)) })
            .chain(contents(place, file, Arc::clone(&watch)))
            .chain(stream::once(async { Ok(Bytes::from_static(b"\r\n")) }))
    });
    parts.chain(stream::once(async { Ok(Bytes::from(format!("--{BOUNDARY}--\r\n"))) }))
}

/// The bytes of a file, which ends with an error when the file is not the one that was examined.
fn contents(place: usize, file: Found, watch: Arc<Watch>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let opened = match file.open() {
        Ok(source) => ReaderStream::with_capacity(tokio::fs::File::from_std(source), PIECE_BYTES).boxed(),
        Err(reason) => {
            let error = watch.refuse(place, reason);
            stream::once(async { Err(error) }).boxed()
        }
    };
    let end = Arc::clone(&watch);
    let check = stream::once(async move {
        match file.open() {
            Ok(_) => Ok(Bytes::new()),
            Err(reason) => Err(end.refuse(place, reason)),
        }
    });
    opened.chain(check).map(move |piece| {
        watch.moves();
        piece.map_err(|error| watch.refuse(place, Reason::file(format!("cannot be read: {error}"))))
    })
}

async fn read(mut response: Response) -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    loop {
        let chunk = timeout(SILENT_TIME_MAX, response.chunk()).await.map_err(|_| Failure::Silent)?;
        let Some(chunk) = chunk.map_err(Failure::Http)? else { break };
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(Failure::Peer("its answer is too long".to_owned()));
        }
    }
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn message(answer: &Value) -> String {
    answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given").to_owned()
}

/// Lays the Store Instances Response Module (PS3.18 annex I) beside what was sent.
fn report(load: &Load<'_>, places: &[usize], answer: &Value) {
    let items = |tag: &str| {
        answer.pointer(&format!("/{tag}/Value")).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let first = |item: &Value, tag: &str| item.pointer(&format!("/{tag}/Value/0")).cloned();
    let uid = |item: &Value| first(item, "00081155").and_then(|uid| uid.as_str().map(str::to_owned));
    let warning = |item: &Value| first(item, "00081196").and_then(|code| code.as_u64()).unwrap_or_default();
    let stored: BTreeMap<String, u64> =
        items("00081199").iter().filter_map(|item| Some((uid(item)?, warning(item)))).collect();
    let failed: BTreeMap<String, Verdict> = items("00081198")
        .iter()
        .filter_map(|item| {
            let text = first(item, "00091001").and_then(|text| text.as_str().map(str::to_owned));
            let code = first(item, "00081197").and_then(|code| code.as_u64());
            let status = Status(code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0xc000));
            let verdict = match outcome::of_status(status, None) {
                // Among the failures no code stands for success.
                Verdict::Stored(_) => Verdict::Not(Reason::refused(format!("failure reason {status}"))),
                Verdict::Not(reason) => Verdict::Not(Reason { text: text.unwrap_or(reason.text), ..reason }),
            };
            Some((uid(item)?, verdict))
        })
        .collect();
    for place in places {
        let instance = load.file(*place).sop_instance.as_str();
        let verdict = match (failed.get(instance), stored.get(instance)) {
            (Some(verdict), _) => verdict.clone(),
            (None, Some(code)) => Verdict::Stored(format!("{code:04X}H")),
            (None, None) => Verdict::Not(Reason::later("the server does not say what became of it")),
        };
        load.told(*place, verdict);
    }
}
