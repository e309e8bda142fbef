//! Two centres, four people, one study with a draft and a picture.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use catalog::SqlCatalog;
use domain::{
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::{CentreId, PersonId},
    image::{Arrival, Instance, InstanceAttributes, SeriesAttributes, Source, StudyAttributes},
    object::ObjectName,
    person::{Person, Role, Scope},
    port::{
        Clock as _, Storage,
        catalog::{Directory as _, Images as _, Reports as _},
        storage::store_bytes,
    },
    report::{Draft, DraftContent, DraftSection, KeyImage, Origin, SectionKind, Sentence},
    study::StudyKey,
    text::{AccessionNumber, PatientId, PersonName},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};
use gate::{Gate, GateConfig, hash_password, manners};
use http_body_util::BodyExt as _;
use reading_room::{ReadingRoom, Viewer};
use serde_json::{Value, json};
use testkit::clock::ManualClock;
use tower::ServiceExt as _;

use crate::memory::Memory;

pub const PASSWORD: &str = "correct horse battery";
pub const STUDY: &str = "1.2.3";

/// A part with one limit.
struct Narrow;

impl domain::limit::TellsLimits for Narrow {
    fn section(&self) -> domain::limit::Section {
        use domain::limit::{Limit, Section, Tally, Unit};
        Section {
            title: "Door",
            limits: vec![Limit::new("Guests", 3, Unit::Count).set_by("door.guests_max").in_use(2)],
            refused: vec![Tally { name: "No invitation", count: 7 }],
        }
    }
}

pub struct World {
    pub catalog: Arc<SqlCatalog>,
    pub storage: Arc<dyn Storage>,
    pub clock: ManualClock,
    pub router: Router,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no json: {:?}", self.body))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub fn centre(id: &str) -> CentreId {
    CentreId::parse(id).unwrap()
}

pub fn key() -> StudyKey {
    StudyKey { centre: centre("north"), uid: StudyInstanceUid::parse(STUDY).unwrap() }
}

/// The path of the study in the API, and what follows it.
pub fn path(rest: &str) -> String {
    format!("/api/v1/studies/north/{STUDY}{rest}")
}

pub async fn world() -> World {
    world_with(Viewer::default(), false).await
}

pub async fn world_with(viewer: Viewer, mail_configured: bool) -> World {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Arc::new(SqlCatalog::open_sqlite(folder.path().join("catalog.sqlite")).await.unwrap());
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let clock = ManualClock::monday();
    for (id, name) in [("north", "North Clinic"), ("south", "South Clinic")] {
        let centre = Centre {
            id: centre(id),
            name: name.to_owned(),
            address: vec!["1 High Street".to_owned()],
            phone: None,
            contact: None,
            policy: CentrePolicy::default(),
        };
        catalog.put_centre(&centre, &Actor::Operator, clock.now()).await.unwrap();
    }
    let hash = hash_password(PASSWORD).await.unwrap();
    for (login, name, role, scope) in [
        ("ada", "Dr Ada Moreau", Role::Reader, Scope::AllCentres),
        ("bo", "Dr Bo Lind", Role::Reader, Scope::Centres(vec![centre("north")])),
        ("cy", "Dr Cy South", Role::Reader, Scope::Centres(vec![centre("south")])),
        ("eve", "Eve Operator", Role::Admin, Scope::AllCentres),
        ("dee", "Dee North", Role::Centre, Scope::Centres(vec![centre("north")])),
    ] {
        let person = Person {
            id: PersonId::fresh(),
            login: login.to_owned(),
            name: name.to_owned(),
            credentials: Some("Consultant Radiologist".to_owned()),
            role,
            scope,
            disabled: false,
        };
        catalog.put_person(&person, Some(&hash), &Actor::Operator, clock.now()).await.unwrap();
    }
    let gate = Gate::new(catalog.clone(), Arc::new(clock.clone()), GateConfig::default());
    let room = ReadingRoom {
        catalog: catalog.clone(),
        storage: storage.clone(),
        pixels: testkit::pixels::InProcess::port(),
        clock: Arc::new(clock.clone()),
        gate,
        mail_configured,
        viewer,
        overview: reading_room::Overview { parts: vec![Arc::new(Narrow)], broker: None },
        also_described: Vec::new(),
    };
    let router = manners(reading_room::router(room), Arc::new(clock.clone()));
    let world = World { catalog, storage, clock, router, _folder: folder };
    world.images_arrive(1..=2).await;
    world
}

impl World {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn sign_in(&self, login: &str) -> String {
        let body = json!({"login": login, "password": PASSWORD}).to_string();
        let request = Request::post("/api/v1/session").header(header::CONTENT_TYPE, "application/json");
        let answer = self.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    pub async fn get(&self, cookie: &str, path: &str) -> Answer {
        self.get_with(cookie, path, &[]).await
    }

    pub async fn get_with(&self, cookie: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path).header(header::COOKIE, cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn change(&self, cookie: &str, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/json")
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub async fn claim(&self, cookie: &str, action: &str) -> Answer {
        self.change(cookie, "POST", &path("/claim"), &json!({"action": action})).await
    }

    /// Images of the study with these numbers.
    pub async fn images_arrive(&self, numbers: impl IntoIterator<Item = u32>) {
        let arrivals: Vec<_> = numbers.into_iter().map(|number| arrival(number, self.clock.now())).collect();
        self.catalog.record_arrivals(&arrivals, self.clock.now()).await.unwrap();
    }

    /// A draft of the images that are here, with one picture of this grey value. Gives the picture.
    pub async fn drafted(&self, grey: u8) -> Vec<u8> {
        let png = png(grey);
        let object = ObjectName::KeyImage {
            centre: centre("north"),
            study: key().uid,
            sha256: Sha256Digest::of(&png),
        };
        store_bytes(&*self.storage, &object.key(), Bytes::from(png.clone())).await.unwrap();
        let draft = Draft {
            study: key(),
            images: self.catalog.image_set(&key()).await.unwrap().unwrap(),
            at: self.clock.now(),
            content: DraftContent {
                author: "rules 1".to_owned(),
                sections: vec![DraftSection {
                    kind: SectionKind::Technique,
                    sentences: vec![Sentence {
                        text: "CT of the head.".to_owned(),
                        origin: Origin::Header {
                            attributes: vec!["KVP".to_owned()],
                            series: Some("2".to_owned()),
                        },
                    }],
                }],
                quality: Vec::new(),
                key_images: vec![KeyImage {
                    object: object.key(),
                    caption: format!("Grey {grey}"),
                    series: SeriesInstanceUid::parse("1.2.3.1").unwrap(),
                    instance: SopInstanceUid::parse("1.2.3.1.1").unwrap(),
                    frame: 1,
                    size: (4, 4),
                }],
            },
        };
        self.catalog.put_draft(&draft).await.unwrap();
        png
    }

    pub async fn study(&self, cookie: &str) -> Value {
        let answer = self.get(cookie, &path("")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// What a page would send to sign what it shows.
    pub async fn signing(&self, cookie: &str, impression: &str) -> Value {
        let study = self.study(cookie).await;
        let versions = study["versions"].as_array().unwrap();
        let after = versions.last().map_or(json!(0), |version| version["number"].clone());
        let pictures = study["draft"]["key_images"].as_array().cloned().unwrap_or_default();
        let pictures: Vec<Value> = pictures.iter().map(|picture| picture["index"].clone()).collect();
        json!({
            "password": PASSWORD,
            "sections": [{"kind": "findings", "text": "Normal."}, {"kind": "impression", "text": impression}],
            "key_images": pictures,
            "after_version": after,
            "image_set": study["image_set"]["digest"],
        })
    }

    pub async fn sign(&self, cookie: &str, signing: &Value) -> Answer {
        self.change(cookie, "POST", &path("/sign"), signing).await
    }
}

fn png(grey: u8) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(4, 4, image::Luma([grey]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    png.into_inner()
}

pub fn arrival(number: u32, at: domain::Timestamp) -> Arrival {
    let series = SeriesInstanceUid::parse("1.2.3.1").unwrap();
    let instance = SopInstanceUid::parse(&format!("1.2.3.1.{number}")).unwrap();
    let file = Sha256Digest::of(&number.to_be_bytes());
    let name = ObjectName::Instance {
        centre: centre("north"),
        study: key().uid,
        series: series.clone(),
        instance: instance.clone(),
        sha256: file,
    };
    Arrival {
        instance: Instance {
            centre: centre("north"),
            study: key().uid,
            series,
            sop_instance: instance,
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            object: name.key().into(),
            bytes: 1000,
            file_sha256: file,
            attributes: InstanceAttributes {
                number: Some(i64::from(number)),
                ..InstanceAttributes::default()
            },
            received: at,
        },
        study: StudyAttributes {
            patient_id: PatientId::new("P-77"),
            patient_name: PersonName::new("Roe^Jane"),
            patient_birth_date: Some("1971-05-04".parse().unwrap()),
            patient_sex: Some("F".to_owned()),
            study_date: Some("2026-03-02".parse().unwrap()),
            study_time: Some("074501.5".to_owned()),
            accession_number: AccessionNumber::new("ACC-9"),
            description: Some("CT head".to_owned()),
            ..StudyAttributes::default()
        },
        series: SeriesAttributes { modality: Some("CT".to_owned()), ..SeriesAttributes::default() },
        source: Source::Web,
    }
}
