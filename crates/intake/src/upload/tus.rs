//! tus 1.0.0 (<https://tus.io/protocols/resumable-upload>): core, creation, creation-with-upload, expiration, termination, checksum.
//!
//! An offset is said only when the bytes before it are on disk. A request that comes while another one writes ends that one, since a
//! client that comes back has lost the first; so nobody waits for a dead connection to time out.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    Duration,
    id::{UploadBatchId, UploadId},
    upload::{Upload, UploadEnding, UploadName, UploadState},
};
use gate::{Caller, Problem};

use super::{
    Uploads, centre_of, lists,
    spool::{AppendError, NoPlace, Place},
    words,
};

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,expiration,termination,checksum";
const OFFSET_TYPE: &str = "application/offset+octet-stream";
/// The check sum of a request does not match (tus 1.0.0, checksum extension).
const CHECKSUM_MISMATCH: u16 = 460;
/// Seconds after which a client that was told to come back may do so.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Where uploads are made; one upload is below it.
const BASE: &str = "/api/v1/uploads";

impl Uploads {
    /// The routes.
    pub fn router(self) -> Router {
        let one = format!("{BASE}/{{id}}");
        Router::new()
            .route(BASE, get(lists::batches).post(create).options(options))
            .route(&one, any(one_upload))
            .route("/api/v1/centres/{centre}/studies", get(lists::studies))
            .layer(axum::middleware::map_response(versioned))
            .with_state(self)
    }
}

async fn versioned(mut response: Response) -> Response {
    response.headers_mut().insert("tus-resumable", HeaderValue::from_static(VERSION));
    response
}

async fn options(State(uploads): State<Uploads>) -> Response {
    (
        StatusCode::NO_CONTENT,
        [
            ("tus-version", VERSION.to_owned()),
            ("tus-extension", EXTENSIONS.to_owned()),
            ("tus-max-size", uploads.limits.upload_bytes_max.to_string()),
            ("tus-checksum-algorithm", "sha1".to_owned()),
        ],
    )
        .into_response()
}

async fn create(State(uploads): State<Uploads>, caller: Caller, headers: HeaderMap, body: Body) -> Response {
    // In a task of its own: what a client sent is put down in order even when it goes away meanwhile.
    let created = tokio::spawn(async move { uploads.create(&caller, &headers, body).await });
    answered(created.await)
}

async fn one_upload(
    State(uploads): State<Uploads>,
    caller: Caller,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let overriding =
        headers.get("x-http-method-override").map(|method| Method::from_bytes(method.as_bytes()));
    let method = match overriding {
        Some(Ok(overriding)) if method == Method::POST => overriding,
        Some(_) | None => method,
    };
    if method == Method::OPTIONS {
        return options(State(uploads)).await;
    }
    let done = tokio::spawn(async move {
        let id = UploadId::parse(&id).map_err(|_| Problem::unknown())?;
        match method {
            Method::HEAD => uploads.head(&caller, id, &headers).await,
            Method::PATCH => uploads.patch(&caller, id, &headers, body).await,
            Method::DELETE => uploads.delete(&caller, id, &headers).await,
            _ => Err(Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong_method",
                "This address does not take that method.",
            )
            .next_step("Use HEAD, PATCH or DELETE, as tus 1.0.0 has it.")
            .header(header::ALLOW, HeaderValue::from_static("HEAD, PATCH, DELETE, OPTIONS"))),
        }
    });
    answered(done.await)
}

fn answered(done: Result<Result<Response, Problem>, tokio::task::JoinError>) -> Response {
    match done {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

impl Uploads {
    async fn create(&self, caller: &Caller, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        spoken(headers)?;
        let told = metadata(headers)?;
        let centre = centre_of(caller, told.centre.as_deref())?;
        if self.catalog.centre(&centre).await?.is_none() {
            return Err(Problem::unknown());
        }
        let bytes = self.length(headers)?;
        let brings = headers.contains_key(header::CONTENT_TYPE);
        let sha1 = if brings { check_type(headers).and_then(|()| checksum(headers))? } else { None };
        let _turn = self.turn()?;
        let room = self.spool.reserve(&centre, bytes).map_err(no_place)?;
        let created = self.clock.now();
        let expires = created + Duration::from_hours(i64::from(self.limits.expire_hours));
        let mut upload = Upload {
            id: UploadId::fresh(),
            centre,
            batch: told.batch,
            spool: self.spool.id(),
            name: told.name,
            bytes,
            by: caller.actor().text(),
            created,
            expires,
            state: UploadState::Arriving,
        };
        let place = self.spool.make(upload.clone()).await.map_err(|error| disk(&error))?;
        let begun = async {
            if brings && let Err(error) = self.spool.append(&place, 0, body, sha1).await {
                return Err(refused(error));
            }
            if place.is_whole() {
                upload.state = UploadState::Waiting;
            }
            match self.catalog.begin_upload(&upload, &caller.actor()).await? {
                true => Ok(()),
                false => Err(Problem::unknown()),
            }
        };
        if let Err(problem) = begun.await {
            // Nobody knows its address yet, so nobody could go on with it.
            self.spool.unlink(upload.id).await;
            return Err(problem);
        }
        self.spool.admit(Arc::clone(&place), room);
        if place.is_whole() {
            self.enqueue(&place);
        }
        let location = format!("{BASE}/{}", upload.id);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], progress(&place)).into_response())
    }

    async fn head(&self, caller: &Caller, id: UploadId, headers: &HeaderMap) -> Result<Response, Problem> {
        spoken(headers)?;
        let Some(place) = self.of_caller(caller, id).await? else {
            let upload = self.ended(caller, id).await?;
            let bytes = upload.bytes.to_string();
            return Ok([("upload-offset", bytes.clone()), ("upload-length", bytes)].into_response());
        };
        if place.settled_offset().await.is_none() {
            return Err(busy());
        }
        self.arrived(&place).await?;
        let length = [("upload-length", place.upload.bytes.to_string())];
        Ok((StatusCode::OK, length, progress(&place)).into_response())
    }

    async fn patch(
        &self,
        caller: &Caller,
        id: UploadId,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        spoken(headers)?;
        check_type(headers)?;
        let sha1 = checksum(headers)?;
        let offset = number(headers, "upload-offset")?.ok_or_else(|| {
            Problem::bad_request("The header Upload-Offset is missing.")
                .next_step("Say where the bytes begin.")
        })?;
        let Some(place) = self.of_caller(caller, id).await? else {
            let upload = self.ended(caller, id).await?;
            return Err(refused(AppendError::Offset(upload.bytes)));
        };
        let _turn = self.turn()?;
        let appended = self.spool.append(&place, offset, body, sha1).await;
        self.arrived(&place).await?;
        appended.map_err(refused)?;
        Ok((StatusCode::NO_CONTENT, progress(&place)).into_response())
    }

    async fn delete(&self, caller: &Caller, id: UploadId, headers: &HeaderMap) -> Result<Response, Problem> {
        spoken(headers)?;
        let Some(place) = self.of_caller(caller, id).await? else {
            self.ended(caller, id).await?;
            return Err(taken_in());
        };
        if place.settled_offset().await.is_none() {
            return Err(busy());
        }
        if place.is_whole() {
            return Err(taken_in());
        }
        self.end(id, UploadEnding::Withdrawn).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// An upload that rests here, if this caller may see it.
    async fn of_caller(&self, caller: &Caller, id: UploadId) -> Result<Option<Arc<Place>>, Problem> {
        let Some(place) = self.spool.place(id) else { return Ok(None) };
        centre_of(caller, Some(place.upload.centre.as_str()))?;
        if self.clock.now() >= place.upload.expires && !place.is_whole() {
            self.end(id, UploadEnding::Expired).await?;
            return Ok(None);
        }
        Ok(Some(place))
    }

    /// An upload that does not rest here any more, if it was taken in.
    async fn ended(&self, caller: &Caller, id: UploadId) -> Result<Upload, Problem> {
        let upload = self.catalog.upload(id).await?.ok_or_else(Problem::unknown)?;
        centre_of(caller, Some(upload.centre.as_str()))?;
        match &upload.state {
            UploadState::Ended { ending: UploadEnding::TakenIn | UploadEnding::Refused { .. }, .. } => {
                Ok(upload)
            }
            UploadState::Ended { ending: UploadEnding::Expired | UploadEnding::Withdrawn, .. } => {
                Err(Problem::new(
                    StatusCode::GONE,
                    "gone",
                    "This upload was not finished in time, or was taken back.",
                )
                .next_step("Send the file again from its beginning."))
            }
            // It rests in the folder of another process.
            UploadState::Arriving | UploadState::Waiting => Err(Problem::unknown()),
        }
    }

    fn length(&self, headers: &HeaderMap) -> Result<u64, Problem> {
        let bytes = number(headers, "upload-length")?.ok_or_else(|| {
            Problem::bad_request("The header Upload-Length is missing.")
                .next_step("Say how many bytes there are; a length that comes later is not taken.")
        })?;
        let most = self.limits.upload_bytes_max;
        if bytes > most {
            let message = format!("The file is larger than {}.", words::size(most));
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
                .next_step("Send it in smaller parts, or drop the folder itself instead of a ZIP."));
        }
        Ok(bytes)
    }

    fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many uploads are under way.")
                .next_step("Send the request again in a moment.")
                .retry_after(RETRY_AFTER_SECONDS)
        })
    }
}

/// What a client says about a file in `Upload-Metadata`.
struct Told {
    name: UploadName,
    batch: UploadBatchId,
    centre: Option<String>,
}

fn metadata(headers: &HeaderMap) -> Result<Told, Problem> {
    let line =
        headers.get("upload-metadata").map(|line| line.to_str().unwrap_or_default()).unwrap_or_default();
    let (mut name, mut batch, mut centre) = (String::new(), None, None);
    for pair in line.split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let value = STANDARD.decode(value.trim()).map_err(|_| {
            Problem::bad_request("The header Upload-Metadata cannot be read.")
                .next_step("Write values in base64.")
        })?;
        let value = String::from_utf8_lossy(&value).into_owned();
        match key {
            "filename" | "name" => name = value,
            "centre" => centre = Some(value),
            "batch" => {
                let id = UploadBatchId::parse(&value)
                    .map_err(|_| Problem::bad_request("The batch in Upload-Metadata is no UUID."))?;
                batch = Some(id);
            }
            _ => {}
        }
    }
    let name = if name.trim().is_empty() { "a file without a name" } else { &name };
    Ok(Told { name: UploadName::new(name), batch: batch.unwrap_or_else(UploadBatchId::fresh), centre })
}

/// Refuses clients that speak another version.
fn spoken(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get("tus-resumable").is_some_and(|version| version.as_bytes() == VERSION.as_bytes()) {
        return Ok(());
    }
    let version = (header::HeaderName::from_static("tus-version"), HeaderValue::from_static(VERSION));
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus_version", "Uploads are taken by tus 1.0.0.")
        .next_step("Send the header Tus-Resumable: 1.0.0.")
        .header(version.0, version.1))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == OFFSET_TYPE.as_bytes()) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The body is of another type.",
    )
    .next_step("Send it as application/offset+octet-stream."))
}

fn checksum(headers: &HeaderMap) -> Result<Option<[u8; 20]>, Problem> {
    let Some(line) = headers.get("upload-checksum") else { return Ok(None) };
    let told = line.to_str().ok().and_then(|line| line.trim().strip_prefix("sha1 "));
    let digest =
        told.and_then(|text| STANDARD.decode(text.trim()).ok()).and_then(|bytes| bytes.try_into().ok());
    digest.map(Some).ok_or_else(|| {
        Problem::bad_request("The header Upload-Checksum cannot be read.").next_step("Use sha1, in base64.")
    })
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request(format!("The header {name} is no number.")))
}

/// How far an upload is, and until when it can be continued.
fn progress(place: &Place) -> [(&'static str, String); 2] {
    [("upload-offset", place.offset().to_string()), ("upload-expires", http_date(place))]
}

/// RFC 9110 section 5.6.7.
fn http_date(place: &Place) -> String {
    let at = place.upload.expires.to_zoned(jiff::tz::TimeZone::UTC);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn no_place(none: NoPlace) -> Problem {
    let message = match none {
        NoPlace::CentreFull => {
            "So many of your files wait to be stored that there is no room for more just now."
        }
        NoPlace::Full => "So many files wait to be stored that there is no room for more just now.",
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_room", message)
        .next_step("Sending goes on by itself as soon as there is room.")
        .retry_after(RETRY_AFTER_SECONDS)
}

fn busy() -> Problem {
    Problem::new(StatusCode::LOCKED, "busy", "Another request is still writing to this upload.")
        .next_step("Try again in a moment.")
        .retry_after(RETRY_AFTER_SECONDS)
}

fn taken_in() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "taken_in",
        "All bytes of this upload are here; it is being stored and cannot be taken back.",
    )
    .next_step("Nothing is to be done.")
}

fn disk(error: &std::io::Error) -> Problem {
    tracing::error!(error = error as &dyn std::error::Error, "an upload cannot be written");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            "The server has no room for files just now.",
        )
        .next_step("Tell the operator of this service; sending goes on when there is room."),
        _ => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server cannot write files just now.",
        )
        .next_step("Wait a moment and try again; what was sent before is kept.")
        .retry_after(RETRY_AFTER_SECONDS),
    }
}

fn refused(error: AppendError) -> Problem {
    match error {
        AppendError::Busy => busy(),
        AppendError::Offset(here) => Problem::new(
            StatusCode::CONFLICT,
            "wrong_offset",
            "The bytes do not begin where the last ones ended.",
        )
        .next_step("Ask with HEAD how many are here, and go on from there.")
        .with("offset", here),
        AppendError::TooLarge => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "More bytes came than were announced.")
                .next_step("Send the file again from its beginning.")
        }
        AppendError::Checksum => {
            let status = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
            Problem::new(status, "checksum", "The bytes were changed on the way.")
                .next_step("Send them again.")
        }
        AppendError::Cut => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "cut", "The request ended before its last byte.")
                .next_step("Ask with HEAD how many bytes are here, and go on from there.")
        }
        AppendError::Disk(error) => disk(&error),
    }
}
