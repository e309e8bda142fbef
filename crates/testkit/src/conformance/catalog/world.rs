//! A small world to ask about: a centre, a reader, images.

use std::sync::Arc;

use domain::{
    Duration, Timestamp,
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::{CentreId, DeliveryId, PersonId, PhysicianId},
    image::{
        Arrival, ArrivalOutcome, Instance, InstanceAttributes, RequestAttributes, SeriesAttributes, Source,
        StudyAttributes,
    },
    object::{ObjectName, ObjectRef, Place},
    order::OrderRequest,
    person::{Person, Role, Scope},
    port::{
        Catalog,
        catalog::{NewDelivery, SignRequest},
    },
    reading::ClaimChange,
    report::{ReportContent, ReportVersion, SectionKind, SectionText},
    study::StudyKey,
    text::{AccessionNumber, AeTitle, CharacterSetRule, EmailAddress, PatientId, PersonName},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
    work::{Lane, OutboxRow},
};

/// The quiet period of every centre here, in seconds.
pub(super) const QUIET: i64 = 10;

/// An empty catalog with one centre and one reader in it.
pub(super) struct World {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) centre: CentreId,
    pub(super) reader: PersonId,
}

/// A moment, in seconds after a Monday morning.
pub(super) fn at(second: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(second)
}

/// A later moment than any here.
pub(super) fn later() -> Timestamp {
    at(1_000_000)
}

pub(super) fn ae(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

pub(super) fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

pub(super) fn centre_named(id: &str) -> Centre {
    Centre {
        id: CentreId::parse(id).unwrap(),
        name: format!("Centre {id}"),
        address: vec!["1 High Street".into(), "Town".into()],
        phone: Some("+44 1 234".into()),
        contact: Some(address("contact@centre.example")),
        policy: CentrePolicy { quiet_period: Duration::from_secs(QUIET), ..CentrePolicy::default() },
    }
}

pub(super) fn person_named(login: &str) -> Person {
    Person {
        id: PersonId::fresh(),
        login: login.into(),
        name: format!("Dr {login}"),
        credentials: Some("Consultant Radiologist".into()),
        role: Role::Reader,
        scope: Scope::AllCentres,
        disabled: false,
    }
}

pub(super) async fn add_centre(catalog: &Arc<dyn Catalog>, id: &str) -> CentreId {
    let centre = centre_named(id);
    catalog.put_centre(&centre, &Actor::Operator, at(0)).await.unwrap();
    centre.id
}

pub(super) async fn add_person(catalog: &Arc<dyn Catalog>, login: &str) -> PersonId {
    let person = person_named(login);
    catalog.put_person(&person, Some("$argon2id$hash"), &Actor::Operator, at(0)).await.unwrap();
    person.id
}

pub(super) async fn world(catalog: Arc<dyn Catalog>) -> World {
    let centre = add_centre(&catalog, "north").await;
    let reader = add_person(&catalog, "ada").await;
    World { catalog, centre, reader }
}

pub(super) fn study_uid(text: &str) -> StudyInstanceUid {
    StudyInstanceUid::parse(text).unwrap()
}

pub(super) fn sop_uid(text: &str) -> SopInstanceUid {
    SopInstanceUid::parse(text).unwrap()
}

/// Everything that a header can say.
pub(super) fn full_attributes() -> StudyAttributes {
    StudyAttributes {
        patient_id: PatientId::new("PAT-1"),
        patient_name: PersonName::new("Müller^Jürgen"),
        patient_birth_date: Some("1970-01-31".parse().unwrap()),
        patient_sex: Some("M".into()),
        study_date: Some("2026-03-02".parse().unwrap()),
        study_time: Some("075959.123".into()),
        accession_number: AccessionNumber::new("ACC-1"),
        study_id: Some("S1".into()),
        description: Some("CT Kopf".into()),
        referring_physician: PersonName::new("Weiß^Anna"),
        institution: Some("Praxis".into()),
        timezone_offset: Some("+0100".into()),
    }
}

/// An image of a study, with header values of every kind. Its bytes follow from its names.
pub(super) fn image(centre: &CentreId, study: &str, sop: &str, second: i64) -> Arrival {
    let file = Sha256Digest::of(format!("file {centre} {study} {sop}").as_bytes());
    let (study, series, sop_instance) =
        (study_uid(study), SeriesInstanceUid::parse(&format!("{study}.1")).unwrap(), sop_uid(sop));
    let object = ObjectName::Instance {
        centre: centre.clone(),
        study: study.clone(),
        series: series.clone(),
        instance: sop_instance.clone(),
        sha256: file,
    };
    Arrival {
        instance: Instance {
            centre: centre.clone(),
            study,
            series,
            sop_instance,
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            object: ObjectRef { key: object.key(), place: Place::parse("018f:4096") },
            bytes: 1000,
            file_sha256: file,
            attributes: InstanceAttributes {
                number: Some(1),
                rows: Some(512),
                columns: Some(256),
                bits_allocated: Some(16),
                frames: None,
                position: Some([0.1 + 0.2, -1e-300, 1.0 / 3.0]),
                orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
                header_bytes: 700,
                frame_index: None,
            },
            received: at(second),
        },
        study: full_attributes(),
        series: SeriesAttributes {
            modality: Some("CT".into()),
            number: Some(2),
            description: Some("axial".into()),
            body_part: Some("HEAD".into()),
            protocol_name: Some("Kopf nativ".into()),
            performed_start_date: Some(jiff::civil::date(2026, 1, 2)),
            performed_start_time: Some("081530.25".into()),
            requests: vec![
                RequestAttributes {
                    scheduled_step: Some("Stufe 1".into()),
                    requested_procedure: Some("RP\\7".into()),
                },
                RequestAttributes::default(),
            ],
            device: Some("Maker Model".into()),
            character_set: CharacterSetRule::new("\\ISO 2022 IR 149", true),
        },
        source: Source::Association(ae("CT_1")),
    }
}

/// The same names with other bytes.
pub(super) fn with_other_bytes(mut arrival: Arrival, salt: &str) -> Arrival {
    let instance = &mut arrival.instance;
    instance.file_sha256 = Sha256Digest::of(format!("file {salt}").as_bytes());
    instance.object = ObjectName::Instance {
        centre: instance.centre.clone(),
        study: instance.study.clone(),
        series: instance.series.clone(),
        instance: instance.sop_instance.clone(),
        sha256: instance.file_sha256,
    }
    .key()
    .into();
    arrival
}

pub(super) fn order_for(accession: &str, patient: &str, priority: Lane) -> OrderRequest {
    OrderRequest {
        accession_number: AccessionNumber::new(accession).unwrap(),
        patient_id: PatientId::new(patient).unwrap(),
        patient_name: PersonName::new("Müller^Jürgen"),
        examination: Some("CT head".into()),
        reason: Some("headache".into()),
        priority,
        physician: Some(PhysicianId::fresh()),
        physician_name: PersonName::new("Weiß^Anna"),
        scheduled: Some("2026-03-02".parse().unwrap()),
    }
}

pub(super) fn content(impression: &str) -> ReportContent {
    let section = |kind, text: &str| SectionText { kind, text: text.into() };
    ReportContent {
        sections: vec![
            section(SectionKind::Findings, "Nothing to note.\nTwo lines."),
            section(SectionKind::Impression, impression),
        ],
    }
}

impl World {
    pub(super) fn key(&self, study: &str) -> StudyKey {
        StudyKey { centre: self.centre.clone(), uid: study_uid(study) }
    }

    /// Records images of one study that all came at a second.
    pub(super) async fn images(&self, study: &str, sops: &[&str], second: i64) -> Vec<ArrivalOutcome> {
        let arrivals: Vec<Arrival> = sops.iter().map(|sop| image(&self.centre, study, sop, second)).collect();
        self.catalog.record_arrivals(&arrivals, at(second)).await.unwrap()
    }

    pub(super) async fn outbox(&self) -> Vec<OutboxRow> {
        self.catalog.due_outbox(later(), 100).await.unwrap()
    }

    /// What the world's reader would sign now, seeing what is there.
    pub(super) async fn to_sign(&self, study: &str, after_version: u32) -> SignRequest {
        let key = self.key(study);
        let images = self.catalog.image_set(&key).await.unwrap().unwrap();
        SignRequest {
            study: key,
            signer: self.reader,
            content: content("No bleeding."),
            key_images: Vec::new(),
            after_version,
            image_set: images.digest,
        }
    }

    /// Claims and signs.
    pub(super) async fn sign(&self, study: &str, after_version: u32, second: i64) -> ReportVersion {
        let key = self.key(study);
        self.catalog.change_claim(&key, ClaimChange::Take, self.reader, at(second)).await.unwrap();
        let request = self.to_sign(study, after_version).await;
        self.catalog.sign(&request, at(second)).await.unwrap()
    }

    /// A signed study with nothing waiting in the outbox.
    pub(super) async fn signed(&self, study: &str) -> StudyKey {
        self.images(study, &[&format!("{study}.1.1")], 0).await;
        self.sign(study, 0, 1).await;
        self.publish_all().await;
        self.key(study)
    }

    /// Takes everything out of the outbox, as a relay does.
    pub(super) async fn publish_all(&self) -> Vec<OutboxRow> {
        let rows = self.outbox().await;
        for row in &rows {
            self.catalog.mark_published(row.work.id, row.work.revision, later()).await.unwrap();
        }
        rows
    }
}

/// A delivery to a physician, by their mail address.
pub(super) fn new_delivery(study: &StudyKey, to: &str) -> NewDelivery {
    let id = DeliveryId::fresh();
    NewDelivery {
        id,
        study: study.clone(),
        version: 1,
        recipient: domain::delivery::Recipient::Physician {
            id: PhysicianId::from_uuid(
                *DeliveryId::parse("01890000-0000-7000-8000-000000000001").unwrap().as_uuid(),
            ),
            name: "Dr Anna Weiß".into(),
        },
        address: address(to),
        link: Sha256Digest::of(id.to_string().as_bytes()),
        accept_by: at(100),
        acknowledge_by: at(1000),
    }
}
