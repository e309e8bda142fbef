//! An archive with two centres, on a catalog and a store of its own, and stored sample images.

use std::{
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use archive::{Archive, Config, Documents, router};
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use catalog::SqlCatalog;
use dimse::FileMeta;
use domain::{
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::{CentreId, PersonId, TokenId},
    image::{Arrival, ArrivalOutcome, FrameIndex, Instance, Source},
    object::{ObjectKey, ObjectName, ObjectRef},
    person::{Person, Role, Scope, Token},
    port::{
        Clock as _, Incoming, ObjectReader, Pixels, Storage, StorageError,
        catalog::{Directory as _, Images as _},
        storage::{Found, Listed, store_bytes},
    },
    uid::SeriesInstanceUid,
};
use gate::{Gate, GateConfig, SESSION_COOKIE};
use http_body_util::BodyExt as _;
use imaging::{
    guard::{GuardedHeader, HeaderEnd},
    header::Header,
    layout::Follower,
    sniff::{self, Sniffed},
};
use serde_json::Value;
use storage::FileStorage;
use tempfile::TempDir;
use testkit::{clock::ManualClock, pixels::InProcess, samples};
use tower::ServiceExt as _;

/// What OHIF sends with each request for frames.
pub const OHIF_FRAMES: &str = "multipart/related; type=application/octet-stream; transfer-syntax=*";

pub struct Bench {
    pub router: Router,
    pub catalog: Arc<SqlCatalog>,
    pub clock: ManualClock,
    pub north: CentreId,
    pub south: CentreId,
    pub storage: Arc<Counting>,
    /// What makes documents behind the queue.
    pub documents: Documents,
    /// Whether images come with a note of where their frames are, as since there are such notes.
    pub notes_frames: bool,
    gate: Gate,
    folder: TempDir,
}

/// Who asks.
#[derive(Clone)]
pub enum Who {
    Token(String),
    Cookie(String),
    Nobody,
}

/// A stored image, with the bytes that it was stored as.
pub struct Stored {
    pub instance: Instance,
    pub file: Vec<u8>,
    pub data_set_at: usize,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A part of an answer.
pub struct Part {
    pub content_type: String,
    pub location: String,
    pub body: Vec<u8>,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::with_pixels(config, InProcess::port()).await
    }

    pub async fn with_pixels(config: Config, pixels: Arc<dyn Pixels>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(folder.path().join("objects")).await.unwrap();
        Self::on(config, folder, Arc::new(storage), pixels).await
    }

    pub async fn on(
        config: Config,
        folder: TempDir,
        storage: Arc<dyn Storage>,
        pixels: Arc<dyn Pixels>,
    ) -> Self {
        let catalog = Arc::new(SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap());
        let storage = Arc::new(Counting { inner: storage, reads: Mutex::default() });
        let clock = ManualClock::monday();
        let gate = Gate::new(catalog.clone(), Arc::new(clock.clone()), GateConfig::default());
        let archive = Archive {
            catalog: catalog.clone(),
            storage: storage.clone(),
            pixels,
            clock: Arc::new(clock.clone()),
            config,
        };
        let [north, south] = ["north", "south"].map(|id| CentreId::parse(id).unwrap());
        let documents = Documents::of(&archive);
        let router = gate.layer(router(archive));
        let bench = Self {
            router,
            catalog,
            clock,
            north,
            south,
            storage,
            documents,
            notes_frames: true,
            gate,
            folder,
        };
        for id in ["north", "south"] {
            bench.another_centre(id).await;
        }
        bench
    }

    pub async fn another_centre(&self, id: &str) -> CentreId {
        let centre = Centre {
            id: CentreId::parse(id).unwrap(),
            name: id.to_owned(),
            address: Vec::new(),
            phone: None,
            contact: None,
            policy: CentrePolicy::default(),
        };
        self.catalog.put_centre(&centre, &Actor::Operator, self.clock.now()).await.unwrap();
        centre.id
    }

    pub fn objects(&self) -> std::path::PathBuf {
        self.folder.path().join("objects")
    }

    /// A program of a centre.
    pub async fn program(&self, centre: &CentreId) -> Who {
        self.program_of(centre, Role::Reader).await
    }

    /// A program of a centre with a role.
    pub async fn program_of(&self, centre: &CentreId, role: Role) -> Who {
        let text = uuid::Uuid::new_v4().to_string();
        let token = Token {
            id: TokenId::fresh(),
            secret: Sha256Digest::of(text.as_bytes()),
            centre: centre.clone(),
            role,
            created: self.clock.now(),
            revoked: false,
        };
        self.catalog.put_token(&token, &Actor::Operator).await.unwrap();
        Who::Token(text)
    }

    /// A person who is signed in.
    pub async fn person(&self, scope: Scope) -> Who {
        let person = Person {
            id: PersonId::fresh(),
            login: uuid::Uuid::new_v4().to_string(),
            name: "Dr Ada Moreau".to_owned(),
            credentials: None,
            role: Role::Reader,
            scope,
            disabled: false,
        };
        let at = self.clock.now();
        self.catalog.put_person(&person, Some("$argon2id$none"), &Actor::Operator, at).await.unwrap();
        Who::Cookie(self.gate.open_session(&person).await.unwrap())
    }

    /// Stores a file of `fixtures/` for a centre, as intake does.
    pub async fn store(&self, centre: &CentreId, fixture: &str) -> Stored {
        self.store_file(centre, &samples::fixtures().join(fixture)).await
    }

    pub async fn store_file(&self, centre: &CentreId, path: &Path) -> Stored {
        self.store_as(centre, path, None).await
    }

    /// Stores a file as if it were of another series of its study.
    pub async fn store_in_series(&self, centre: &CentreId, path: &Path, series: &str) -> Stored {
        self.store_as(centre, path, Some(SeriesInstanceUid::parse(series).unwrap())).await
    }

    async fn store_as(&self, centre: &CentreId, path: &Path, series: Option<SeriesInstanceUid>) -> Stored {
        let original = std::fs::read(path).unwrap();
        self.store_bytes_as(centre, &original, series).await.unwrap_or_else(|| panic!("{}", path.display()))
    }

    /// Stores a file, unless its SOP instance is stored already.
    pub async fn try_store_file(&self, centre: &CentreId, path: &Path) -> Option<Stored> {
        self.store_bytes(centre, &std::fs::read(path).ok()?).await
    }

    /// Whether a file is an image that can be stored.
    pub fn takes(path: &Path) -> bool {
        let Ok(original) = std::fs::read(path) else { return false };
        let Sniffed::DataSet(place) = sniff::part10(&original, true) else { return false };
        let guarded = GuardedHeader::of(&original[place.at..], &place.transfer_syntax);
        let header = guarded.ok().filter(|guarded| guarded.end == HeaderEnd::Pixels);
        header
            .and_then(|guarded| Header::read(&guarded).ok())
            .is_some_and(|header| header.instance.rows.is_some())
    }

    pub async fn store_bytes(&self, centre: &CentreId, original: &[u8]) -> Option<Stored> {
        self.store_bytes_as(centre, original, None).await
    }

    async fn store_bytes_as(
        &self,
        centre: &CentreId,
        original: &[u8],
        series: Option<SeriesInstanceUid>,
    ) -> Option<Stored> {
        let Sniffed::DataSet(place) = sniff::part10(original, true) else { return None };
        let data_set = &original[place.at..];
        let guarded = GuardedHeader::of(data_set, &place.transfer_syntax).ok()?;
        let mut header = Header::read(&guarded).ok()?;
        header.series_uid = series.unwrap_or(header.series_uid);
        let meta = FileMeta {
            sop_class_uid: header.sop_class.to_string(),
            sop_instance_uid: header.sop_instance.to_string(),
            transfer_syntax_uid: place.transfer_syntax.to_string(),
        };
        let mut file = meta.to_prefix().unwrap();
        let data_set_at = file.len();
        file.extend_from_slice(data_set);
        let sha256 = Sha256Digest::of(&file);
        let name = ObjectName::Instance {
            centre: centre.clone(),
            study: header.study_uid.clone(),
            series: header.series_uid.clone(),
            instance: header.sop_instance.clone(),
            sha256,
        };
        let storage: &dyn Storage = &*self.storage;
        store_bytes(storage, &name.key(), file.clone().into()).await.unwrap();
        let mut attributes = header.instance;
        attributes.header_bytes = guarded.stored_bytes(data_set_at as u64, file.len() as u64);
        let follow = |shape| Follower::new(&guarded, shape, &place.transfer_syntax);
        attributes.frame_index =
            header.shape.filter(|_| self.notes_frames).and_then(follow).and_then(|mut follower| {
                follower.push(0, data_set);
                let layout = follower.finish(data_set_at as u64, data_set.len() as u64)?;
                Some(FrameIndex(layout.to_bytes()?.into()))
            });
        let instance = Instance {
            centre: centre.clone(),
            study: header.study_uid,
            series: header.series_uid,
            sop_instance: header.sop_instance,
            sop_class: header.sop_class,
            transfer_syntax: place.transfer_syntax,
            object: name.key().into(),
            bytes: file.len() as u64,
            file_sha256: sha256,
            attributes,
            received: self.clock.now(),
        };
        let arrival = Arrival {
            instance: instance.clone(),
            study: header.study,
            series: header.series,
            source: Source::Web,
        };
        let outcomes = self.catalog.record_arrivals(&[arrival], self.clock.now()).await.unwrap();
        (outcomes == [ArrivalOutcome::Stored]).then_some(Stored { instance, file, data_set_at })
    }

    /// Stores the 28 slices of the head.
    pub async fn store_head(&self, centre: &CentreId) -> Vec<Stored> {
        let mut stored = Vec::new();
        for slice in 1..=28 {
            stored.push(self.store(centre, &format!("ct-head-ge-28/{slice:02}.dcm")).await);
        }
        stored
    }

    pub async fn get(&self, who: &Who, path: &str) -> Answer {
        self.ask(who, path, &[]).await
    }

    pub async fn accept(&self, who: &Who, path: &str, accept: &str) -> Answer {
        self.ask(who, path, &[("accept", accept)]).await
    }

    pub async fn ask(&self, who: &Who, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call("GET", who, path, headers).await
    }

    pub async fn call(&self, method: &str, who: &Who, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(method, who, path, headers, Body::empty()).await
    }

    pub async fn send(
        &self,
        method: &str,
        who: &Who,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "images.example");
        request = match who {
            Who::Token(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            Who::Cookie(value) => request.header(header::COOKIE, format!("{SESSION_COOKIE}={value}")),
            Who::Nobody => request,
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.expect("a body to its end").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// A store that notes what is read: the object and the range. On S3 each is one GET.
pub struct Counting {
    inner: Arc<dyn Storage>,
    reads: Mutex<Vec<(ObjectKey, Option<Range<u64>>)>>,
}

impl Counting {
    /// What was read since this was asked last.
    pub fn reads(&self) -> Vec<(ObjectKey, Option<Range<u64>>)> {
        std::mem::take(&mut *self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Storage for Counting {
    async fn receive(&self, found: Found) -> Result<Box<dyn Incoming>, StorageError> {
        self.inner.receive(found).await
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        let read = (object.key.clone(), range.clone());
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).push(read);
        self.inner.read(object, range).await
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        self.inner.size(object).await
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        self.inner.remove(object).await
    }

    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError> {
        self.inner.list(after, limit).await
    }

    async fn tidy(&self) -> Result<u64, StorageError> {
        self.inner.tidy().await
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.inner.check().await
    }
}

impl Stored {
    /// The address of its instance, below the root of DICOMweb.
    pub fn path(&self) -> String {
        let Instance { study, series, sop_instance, .. } = &self.instance;
        format!("/dicomweb/studies/{study}/series/{series}/instances/{sop_instance}")
    }

    pub fn series_path(&self) -> String {
        format!("/dicomweb/studies/{}/series/{}", self.instance.study, self.instance.series)
    }

    pub fn study_path(&self) -> String {
        format!("/dicomweb/studies/{}", self.instance.study)
    }

    /// The bytes of its data set.
    pub fn data_set(&self) -> &[u8] {
        &self.file[self.data_set_at..]
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn rows(&self) -> Vec<Value> {
        let Value::Array(rows) = self.json() else { panic!("no array") };
        rows
    }

    /// The parts of a `multipart/related` answer, taken apart the way RFC 2046 says.
    pub fn parts(&self) -> Vec<Part> {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        let content_type = self.header("content-type");
        assert!(content_type.starts_with("multipart/related; type=\""), "{content_type}");
        let (_, boundary) = content_type.rsplit_once("boundary=").unwrap();
        let delimiter = format!("\r\n--{boundary}");
        let body = [b"\r\n", self.body.as_slice()].concat();
        let places: Vec<usize> = body
            .windows(delimiter.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == delimiter.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(body[*places.last().unwrap() + delimiter.len()..].starts_with(b"--"), "the end is missing");
        places.windows(2).map(|pair| part(&body[pair[0] + delimiter.len() + 2..pair[1]])).collect()
    }
}

fn part(bytes: &[u8]) -> Part {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let body = bytes[end + 4..].to_vec();
    assert_eq!(field("Content-Length:"), body.len().to_string());
    Part { content_type: field("Content-Type:"), location: field("Content-Location:"), body }
}
