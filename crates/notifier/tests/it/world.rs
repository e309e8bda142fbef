//! A centre with a physician, a study and a radiologist, and the notifier around them.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex},
};

use async_trait::async_trait;
use broker::{EmbeddedBroker, EmbeddedConfig};
use catalog::SqlCatalog;
use documents::{FontSources, Renderer};
use domain::{
    Duration, Timestamp,
    audit::Actor,
    centre::{Centre, CentrePolicy},
    delivery::{AttemptOutcome, Delivery, Recipient},
    digest::Sha256Digest,
    event::Event,
    id::{CentreId, EventId, PersonId, PhysicianId},
    image::{Arrival, Instance, InstanceAttributes, SeriesAttributes, Source, StudyAttributes},
    object::ObjectName,
    order::OrderRequest,
    person::{Person, Physician, Role, Scope},
    port::{
        Catalog, Clock,
        catalog::{
            Deliveries, DeliveryFilter, Directory, Images, Orders, Readings, Reports, SignRequest,
            TaskFilter, Trail, WorkStore,
        },
        storage::store_bytes,
    },
    reading::ClaimChange,
    report::{KeyImage, ReportContent, ReportVersion, SectionKind, SectionText},
    study::StudyKey,
    task::Task,
    text::{AccessionNumber, EmailAddress, PatientId, PersonName},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
    work::{Lane, Queue, Work},
};
use notifier::{Config, Mailer, Notifier, Settings, Worker, mail::OutgoingMail};
use storage::FileStorage;
use tempfile::TempDir;
use testkit::clock::ManualClock;

/// What stands in images, order and report of the patient. None of it may be in a mail.
pub const PATIENT_WORDS: [&str; 13] = [
    "Quillfeather",
    "Zebedee",
    "PID-77123",
    "1957-03-09",
    "19570309",
    "9 March 1957",
    "ACC-9981",
    "thorax",
    "2.25.991",
    "sarcoid",
    "haemoptysis",
    "nodule",
    "2026-03-01",
];

static RENDERER: LazyLock<Arc<Renderer>> = LazyLock::new(|| {
    let fonts = FontSources { directories: Vec::new(), text_family: None };
    Arc::new(Renderer::new(&fonts).unwrap())
});

/// A mailer that keeps what it is given and answers as scripted, with acceptance once the script is over.
#[derive(Default)]
pub struct ScriptedMailer {
    pub sent: Mutex<Vec<OutgoingMail>>,
    pub script: Mutex<VecDeque<Answer>>,
}

pub enum Answer {
    Accept,
    Defer,
    Refuse,
    /// The mail server takes the mail, and the notifier dies before it can write that down.
    AcceptAndDie,
}

#[async_trait]
impl Mailer for ScriptedMailer {
    async fn send(&self, mail: &OutgoingMail) -> AttemptOutcome {
        self.sent.lock().unwrap().push(mail.clone());
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Accept);
        match answer {
            Answer::Accept => AttemptOutcome::Accepted { by: "250 taken".into() },
            Answer::Defer => AttemptOutcome::Deferred { reason: "451 later".into() },
            Answer::Refuse => AttemptOutcome::Refused { reason: "550 no such mailbox".into() },
            Answer::AcceptAndDie => panic!("killed after 250"),
        }
    }

    fn is_sending(&self) -> bool {
        true
    }
}

pub struct World {
    pub folder: TempDir,
    pub catalog: Arc<SqlCatalog>,
    pub storage: Arc<FileStorage>,
    pub clock: ManualClock,
    pub mailer: Arc<ScriptedMailer>,
    pub notifier: Notifier,
    pub worker: Worker,
    pub centre: Centre,
    pub study: StudyKey,
    pub radiologist: Person,
    pub physician: Physician,
}

impl World {
    /// A centre whose images name the physician.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A centre with other policies or contacts.
    pub async fn with(change: impl FnOnce(&mut Centre)) -> Self {
        let folder = TempDir::new().unwrap();
        let catalog = Arc::new(SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap());
        let storage = Arc::new(FileStorage::open(&folder.path().join("objects")).await.unwrap());
        let clock = ManualClock::monday();
        let mailer = Arc::new(ScriptedMailer::default());
        let dyn_catalog: Arc<dyn Catalog> = catalog.clone();
        let broker =
            EmbeddedBroker::new(dyn_catalog.clone(), Arc::new(clock.clone()), EmbeddedConfig::default());
        let config = Config { from_address: "reports@north.example".into(), ..Config::default() };
        let notifier = Notifier {
            catalog: dyn_catalog,
            storage: storage.clone(),
            broker: Arc::new(broker),
            clock: Arc::new(clock.clone()),
            mailer: mailer.clone(),
            renderer: RENDERER.clone(),
            settings: Arc::new(Settings::of(&config).unwrap()),
        };
        let mut centre = Centre {
            id: CentreId::parse("north").unwrap(),
            name: "Northgate Imaging".into(),
            address: vec!["14 Harbour Street".into(), "Aberdeen AB11 5FT".into()],
            phone: Some("+44 1224 555 0140".into()),
            contact: EmailAddress::parse("desk@north.example"),
            policy: CentrePolicy::default(),
        };
        change(&mut centre);
        let physician = Physician {
            id: PhysicianId::fresh(),
            centre: centre.id.clone(),
            name: PersonName::new("Doe^Jane^^Dr").unwrap(),
            email: EmailAddress::parse("jane@practice.example"),
            phone: Some("+44 1224 555 0199".into()),
        };
        let radiologist = Person {
            id: PersonId::fresh(),
            login: "ada".into(),
            name: "Dr Ada Moreau".into(),
            credentials: Some("Consultant Radiologist".into()),
            role: Role::Reader,
            scope: Scope::AllCentres,
            disabled: false,
        };
        let study = StudyKey { centre: centre.id.clone(), uid: StudyInstanceUid::parse("2.25.991").unwrap() };
        let now = clock.now();
        catalog.put_centre(&centre, &Actor::Operator, now).await.unwrap();
        catalog.put_physician(&physician, &Actor::Operator, now).await.unwrap();
        catalog.put_person(&radiologist, Some("hash"), &Actor::Operator, now).await.unwrap();
        let worker = notifier.worker();
        let world = Self {
            folder,
            catalog,
            storage,
            clock,
            mailer,
            notifier,
            worker,
            centre,
            study,
            radiologist,
            physician,
        };
        world.arrive().await;
        world
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One image of the study arrives.
    async fn arrive(&self) {
        let attributes = StudyAttributes {
            patient_id: PatientId::new("PID-77123"),
            patient_name: PersonName::new("Quillfeather^Zebedee"),
            patient_birth_date: Some("1957-03-09".parse().unwrap()),
            patient_sex: Some("M".into()),
            study_date: Some("2026-03-01".parse().unwrap()),
            study_time: Some("074205".into()),
            accession_number: AccessionNumber::new("ACC-9981"),
            description: Some("CT thorax".into()),
            referring_physician: PersonName::new("DOE^JANE"),
            ..StudyAttributes::default()
        };
        let sha256 = Sha256Digest::of(b"slice");
        let (series, sop) =
            (SeriesInstanceUid::parse("2.25.991.1").unwrap(), SopInstanceUid::parse("2.25.991.1.1").unwrap());
        let name = ObjectName::Instance {
            centre: self.centre.id.clone(),
            study: self.study.uid.clone(),
            series: series.clone(),
            instance: sop.clone(),
            sha256,
        };
        let instance = Instance {
            centre: self.centre.id.clone(),
            study: self.study.uid.clone(),
            series,
            sop_instance: sop,
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            object: name.key().into(),
            bytes: 5,
            file_sha256: sha256,
            attributes: InstanceAttributes::default(),
            received: self.now(),
        };
        let series = SeriesAttributes { modality: Some("CT".into()), ..SeriesAttributes::default() };
        let arrival = Arrival { instance, study: attributes, series, source: Source::Web };
        self.catalog.record_arrivals(&[arrival], self.now()).await.unwrap();
    }

    /// An order for the study.
    pub async fn order(&self, physician: Option<PhysicianId>, physician_name: Option<&str>) {
        let request = OrderRequest {
            accession_number: AccessionNumber::new("ACC-9981").unwrap(),
            patient_id: PatientId::new("PID-77123").unwrap(),
            patient_name: None,
            examination: None,
            reason: Some("haemoptysis".into()),
            priority: Lane::Routine,
            physician,
            physician_name: physician_name.and_then(PersonName::new),
            scheduled: None,
        };
        self.catalog.put_order(&self.centre.id, &request, &Actor::Operator, self.now()).await.unwrap();
    }

    /// A key image in storage.
    pub async fn key_image(&self, shade: u8) -> KeyImage {
        let mut png = std::io::Cursor::new(Vec::new());
        let tone =
            |x: u32, y: u32| u8::try_from((x * 3 + y * 2) % 200).unwrap_or(0).saturating_add(shade / 4);
        let picture = image::GrayImage::from_fn(64, 48, |x, y| image::Luma([tone(x, y)]));
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let name = ObjectName::KeyImage {
            centre: self.centre.id.clone(),
            study: self.study.uid.clone(),
            sha256: Sha256Digest::of(&png),
        };
        store_bytes(&*self.storage, &name.key(), png.into()).await.unwrap();
        KeyImage {
            object: name.key(),
            caption: format!("Lung window, slice {shade} of 255"),
            series: SeriesInstanceUid::parse("2.25.991.1").unwrap(),
            instance: SopInstanceUid::parse("2.25.991.1.1").unwrap(),
            frame: 1,
            size: (64, 48),
        }
    }

    /// The radiologist signs the next version.
    pub async fn sign(&self, impression: &str, key_images: Vec<KeyImage>) -> ReportVersion {
        let section = |kind, text: &str| SectionText { kind, text: text.to_owned() };
        self.catalog
            .change_claim(&self.study, ClaimChange::Take, self.radiologist.id, self.now())
            .await
            .unwrap();
        let before = self.catalog.versions(&self.study).await.unwrap().len();
        let request = SignRequest {
            study: self.study.clone(),
            signer: self.radiologist.id,
            content: ReportContent {
                sections: vec![
                    section(SectionKind::Indication, "haemoptysis, known sarcoid"),
                    section(SectionKind::Findings, "A nodule of 9 mm.\n\nNo effusion."),
                    section(SectionKind::Impression, impression),
                ],
            },
            key_images,
            after_version: u32::try_from(before).unwrap(),
            image_set: self.catalog.image_set(&self.study).await.unwrap().unwrap().digest,
        };
        self.catalog.sign(&request, self.now()).await.unwrap()
    }

    /// Does everything in the outbox that is due for the notifier, as a relay, a broker and a worker would, until nothing is.
    pub async fn pump(&self) {
        for _ in 0..100 {
            let due: Vec<Work> = self.due().await;
            if due.is_empty() {
                return;
            }
            for work in due {
                self.worker.work(&work).await.unwrap();
                self.catalog.mark_published(work.id, work.revision, self.now()).await.unwrap();
            }
        }
        panic!("the notifier goes round in circles");
    }

    /// What is due for the notifier.
    pub async fn due(&self) -> Vec<Work> {
        let rows = self.catalog.due_outbox(self.now(), 100).await.unwrap();
        rows.into_iter().map(|row| row.work).filter(|work| work.event.queue() == Queue::Notify).collect()
    }

    /// Turns the clock in steps and does what becomes due at each.
    pub async fn pass(&self, total: Duration, step: Duration) {
        let until = self.now() + total;
        while self.now() < until {
            self.clock.turn(step);
            self.pump().await;
        }
    }

    pub async fn deliveries(&self) -> Vec<Delivery> {
        let filter = DeliveryFilter {
            scope: Scope::AllCentres,
            study: Some(self.study.clone()),
            unacknowledged: false,
            limit: 50,
        };
        let mut deliveries = self.catalog.deliveries(&filter).await.unwrap();
        deliveries.reverse();
        deliveries
    }

    /// The delivery to the physician and, once there is one, that to the contact, of the first version.
    pub async fn pair(&self) -> (Delivery, Option<Delivery>) {
        let (to_physician, to_contact): (Vec<_>, Vec<_>) = self
            .deliveries()
            .await
            .into_iter()
            .partition(|delivery| matches!(delivery.recipient, Recipient::Physician { .. }));
        let [physician] = to_physician.try_into().unwrap();
        assert!(to_contact.len() <= 1, "the contact is told once");
        (physician, to_contact.into_iter().next())
    }

    pub async fn tasks(&self) -> Vec<Task> {
        let filter = TaskFilter { scope: Scope::AllCentres, study: None, closed: false, limit: 50 };
        self.catalog.tasks(&filter).await.unwrap()
    }

    pub fn mails(&self) -> Vec<OutgoingMail> {
        self.mailer.sent.lock().unwrap().clone()
    }

    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.mailer.script.lock().unwrap().extend(answers);
    }

    /// The secret in the link of a mail.
    pub fn secret(mail: &OutgoingMail) -> String {
        let message = mail_parser::MessageParser::default().parse(&mail.message).unwrap();
        let text = message.body_text(0).unwrap();
        let (_, link) = text.split_once("http://127.0.0.1:8080/r/").expect("a link");
        link.split_whitespace().next().unwrap().to_owned()
    }
}

/// Work for a delivery or version, made by hand.
pub fn work(event: Event) -> Work {
    Work {
        id: EventId::fresh(),
        revision: 1,
        centre: CentreId::parse("north").unwrap(),
        lane: Lane::Routine,
        event,
    }
}
