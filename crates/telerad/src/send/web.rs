//! Sends over STOW-RS, streaming the files as they lie on disk.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use domain::uid::StudyInstanceUid;
use futures::{Stream, StreamExt as _, stream};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio_util::io::ReaderStream;

use super::{Batch, Failure, Progress, scan::Found};

/// Instances of one request: few enough that a break costs little, enough that a round trip costs nothing.
const REQUEST_INSTANCES_MAX: usize = 200;
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// How long the server may be silent.
const READ_TIME_MAX: Duration = Duration::from_secs(120);
/// A boundary that no DICOM file holds by chance: 122 random bits of a fixed UUID.
const BOUNDARY: &str = "telerad-4c3de1ab6b0f4d6ba7f1f2b04c1c5a52";

/// A DICOMweb server.
pub struct Server {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Server {
    /// A server by its base address, for example `https://host/dicomweb`.
    ///
    /// # Errors
    /// When no client can be made, for example for want of root certificates.
    pub fn new(base: &str, token: Option<String>) -> Result<Self, Failure> {
        let client = Client::builder().connect_timeout(CONNECT_TIME_MAX).read_timeout(READ_TIME_MAX).build();
        Ok(Self {
            client: client.map_err(Failure::Http)?,
            base: base.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Sends one study and tells the server how many images that is in all.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the request as a whole.
    pub async fn send(
        &self,
        study: &StudyInstanceUid,
        files: Batch<'_>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        for chunk in files.chunks(REQUEST_INSTANCES_MAX) {
            let request = self.client.post(format!("{}/studies/{study}", self.base));
            let request = match &self.token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let media_type = format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}");
            let owned: Vec<Found> = chunk.iter().map(|file| (*file).clone()).collect();
            let response = request
                .header("content-type", media_type)
                .header("accept", "application/dicom+json")
                .header(intake::web::EXPECTED_HEADER, files.len())
                .body(reqwest::Body::wrap_stream(body(owned)))
                .send()
                .await
                .map_err(Failure::Http)?;
            let status = response.status();
            let answer = read(response).await?;
            match status {
                StatusCode::OK
                | StatusCode::ACCEPTED
                | StatusCode::CONFLICT
                | StatusCode::SERVICE_UNAVAILABLE
                    if answer.get("00081190").is_some() =>
                {
                    report(chunk, &answer, progress);
                }
                status => {
                    return Err(Failure::Refused { status: status.as_u16(), message: message(&answer) });
                }
            }
        }
        Ok(())
    }
}

fn body(files: Vec<Found>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let parts = stream::iter(files).flat_map(|file| {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/dicom; transfer-syntax={}\r\n\r\n",
            file.transfer_syntax
        );
        let contents = stream::once(tokio::fs::File::open(file.path)).flat_map(|opened| match opened {
            Ok(file) => ReaderStream::with_capacity(file, 256 * 1024).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        });
        stream::once(async { Ok(Bytes::from(head)) })
            .chain(contents)
            .chain(stream::once(async { Ok(Bytes::from_static(b"\r\n")) }))
    });
    parts.chain(stream::once(async { Ok(Bytes::from(format!("--{BOUNDARY}--\r\n"))) }))
}

async fn read(mut response: reqwest::Response) -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::Http)? {
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
fn report(files: &[&Found], answer: &Value, progress: &mut Progress) {
    let items = |tag: &str| {
        answer.pointer(&format!("/{tag}/Value")).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let first = |item: &Value, tag: &str| item.pointer(&format!("/{tag}/Value/0")).cloned();
    let uid = |item: &Value| first(item, "00081155").and_then(|uid| uid.as_str().map(str::to_owned));
    let stored: std::collections::BTreeSet<String> = items("00081199").iter().filter_map(uid).collect();
    let failed: BTreeMap<String, String> = items("00081198")
        .iter()
        .filter_map(|item| {
            let reason = first(item, "00091001").and_then(|text| text.as_str().map(str::to_owned));
            let code = first(item, "00081197").and_then(|code| code.as_u64()).unwrap_or_default();
            Some((uid(item)?, reason.unwrap_or_else(|| format!("failure reason {code:04X}H"))))
        })
        .collect();
    for file in files {
        match (stored.contains(file.sop_instance.as_str()), failed.get(file.sop_instance.as_str())) {
            (true, _) => progress.stored(file),
            (false, Some(reason)) => progress.refused(file, reason),
            (false, None) => progress.refused(file, "the server does not say what became of it"),
        }
    }
}
