//! `telerad demo`: everything in one process on the embedded defaults, with a demonstration centre, people, an order, and a real head CT
//! that arrives over a DICOM association.
//!
//! The images are real and de-identified; the demonstration dresses a copy of them in the name of a patient who does not exist.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject, open_file};
use domain::{
    Timestamp,
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::{CentreId, PersonId},
    person::{Person, Role, Scope},
    port::{Catalog, Clock as _},
    text::{AeTitle, EmailAddress},
};
use orders::{NewOrder, NewPhysician};

use crate::{
    clock::MachineClock,
    command::{self, say, serve},
    lifecycle,
    send::{
        dicom, scan,
        transfer::{Limits, Target, Transfer},
    },
    settings::Settings,
};

/// The demonstration's centre.
const CENTRE: &str = "riverside";
/// The calling AE title of its scanner.
const SCANNER: &str = "RIVERSIDE_CT";
/// The study's accession number, which the order names too.
const ACCESSION_NUMBER: &str = "RI-240117";
/// The patient, who does not exist.
const PATIENT_ID: &str = "RI-1948-0312";
const PATIENT_NAME: &str = "Lindqvist^Margarethe^Öhman";

/// Who can sign in.
const PEOPLE: [(&str, &str, &str, Role); 3] = [
    ("reader", "Dr Ada Moreau", "Consultant Neuroradiologist", Role::Reader),
    ("admin", "Sam Okafor", "Operations", Role::Admin),
    ("centre", "Tina Brandt", "Radiographer", Role::Centre),
];

type Done = Result<(), Box<dyn std::error::Error>>;

/// Runs the demonstration until a signal stops it.
pub async fn run(settings: &Settings, images: &Path) -> ExitCode {
    let lifecycle = match lifecycle::listen() {
        Ok(lifecycle) => lifecycle,
        Err(error) => return command::fail(&error),
    };
    let running = match serve::start(settings, &serve::Role::ALL, lifecycle).await {
        Ok(running) => running,
        Err(error) => return command::fail(&error),
    };
    let catalog = Arc::clone(&running.parts.catalog);
    let prepared = async {
        let sign_ins = prepare(catalog.as_ref()).await?;
        if let Some(address) = running.dicom {
            send(images, &address.to_string()).await?;
        }
        Ok::<_, Box<dyn std::error::Error>>(sign_ins)
    };
    match prepared.await {
        Ok(sign_ins) => tell(&running, &sign_ins),
        Err(error) => return command::fail(error.as_ref()),
    }
    running.finish().await
}

fn tell(running: &serve::Running, sign_ins: &[(String, String)]) {
    say("");
    say(format!("telerad runs at   http://{}", running.http));
    if let Some(address) = running.dicom {
        say(format!(
            "DICOM is taken at {address}, AE title TELERAD, calling AE title {SCANNER} or any other"
        ));
    }
    say("");
    say("Sign in as        with the password");
    for (login, password) in sign_ins {
        say(format!("  {login:<16}{password}"));
    }
    say("");
    say(
        "A head CT has arrived over DICOM and waits on the worklist. Read it, sign it, then open the mailbox page:",
    );
    say(
        "the mail to the ordering physician lies there, with the link to the report. Ctrl-C stops everything.",
    );
    say("");
}

/// Makes centre, people and order. Passwords are new each time, since none is kept anywhere.
async fn prepare(catalog: &dyn Catalog) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let now = MachineClock.now();
    let centre = CentreId::parse(CENTRE)?;
    let known = Centre {
        id: centre.clone(),
        name: "Riverside Imaging".to_owned(),
        address: vec!["12 Quay Street".to_owned(), "Riverside RV1 4QD".to_owned()],
        phone: Some("+44 20 7946 0312".to_owned()),
        contact: EmailAddress::parse("results-desk@riverside.example"),
        policy: CentrePolicy {
            ae_titles: AeTitle::parse(SCANNER).into_iter().collect(),
            accept_any_ae: true,
            ..CentrePolicy::default()
        },
    };
    catalog.put_centre(&known, &Actor::Operator, now).await?;
    let mut sign_ins = Vec::new();
    for (login, name, credentials, role) in PEOPLE {
        let id = catalog.credentials(login).await?.map_or_else(PersonId::fresh, |known| known.person.id);
        let person = Person {
            id,
            login: login.to_owned(),
            name: name.to_owned(),
            credentials: Some(credentials.to_owned()),
            role,
            scope: match role {
                Role::Centre => Scope::Centres(vec![centre.clone()]),
                Role::Reader | Role::Admin => Scope::AllCentres,
            },
            disabled: false,
        };
        let password = gate::random_password();
        let hash = gate::hash_password(&password).await?;
        catalog.put_person(&person, Some(&hash), &Actor::Operator, now).await?;
        sign_ins.push((login.to_owned(), password));
    }
    let order = NewOrder {
        accession_number: ACCESSION_NUMBER.to_owned(),
        patient_id: PATIENT_ID.to_owned(),
        patient_name: Some(PATIENT_NAME.to_owned()),
        examination: Some("CT head without contrast".to_owned()),
        reason: Some(
            "Fall from standing height two hours ago, on apixaban. GCS 14. Intracranial haemorrhage?"
                .to_owned(),
        ),
        priority: Some("stat".to_owned()),
        physician: Some(NewPhysician {
            name: "Dr Tomasz Wiśniewski".to_owned(),
            email: Some("t.wisniewski@harbour-practice.example".to_owned()),
            phone: Some("+44 20 7946 0998".to_owned()),
        }),
        ..NewOrder::default()
    };
    orders::place(catalog, &centre, &order, &Actor::Operator, now).await?;
    Ok(sign_ins)
}

/// Dresses the images and sends them as a scanner would.
async fn send(images: &Path, address: &str) -> Done {
    let folder = tempfile::tempdir()?;
    let found = dress(images, folder.path(), MachineClock.now())?;
    if found.is_empty() {
        return Err(format!("there are no images in {}", images.display()).into());
    }
    let peer = dicom::Peer {
        address: address.to_owned(),
        called: "TELERAD".to_owned(),
        calling: SCANNER.to_owned(),
        tls: None,
    };
    let limits = Limits { parallel: 1, attempts: 1, give_up_after: std::time::Duration::ZERO };
    let transfer = Transfer::new(Target::Dicom(peer), found, limits, indicatif::ProgressBar::hidden());
    match transfer.run().await.first_reason() {
        Some(reason) => Err(format!("an image was not stored: {reason}").into()),
        None => Ok(()),
    }
}

/// Copies of the images in the name of the demonstration's patient, as of today. The identifiers follow from the
/// day, so that a second start on one day
/// sends the same study again, which changes nothing.
fn dress(images: &Path, into: &Path, now: Timestamp) -> Result<Vec<scan::Found>, Box<dyn std::error::Error>> {
    let day = now.to_zoned(jiff::tz::TimeZone::UTC).date().strftime("%Y%m%d").to_string();
    let mut dressed = Vec::new();
    for path in scan::files(&[images.to_owned()]) {
        let path: PathBuf = path.map_err(|(path, reason)| format!("{}: {reason}", path.display()))?;
        let mut object = open_file(&path)?;
        for (tag, vr, value) in [
            (tags::PATIENT_NAME, VR::PN, PATIENT_NAME),
            (tags::PATIENT_ID, VR::LO, PATIENT_ID),
            (tags::PATIENT_BIRTH_DATE, VR::DA, "19480312"),
            (tags::PATIENT_SEX, VR::CS, "F"),
            (tags::STUDY_DATE, VR::DA, day.as_str()),
            (tags::STUDY_TIME, VR::TM, "071500"),
            (tags::ACCESSION_NUMBER, VR::SH, ACCESSION_NUMBER),
            (tags::STUDY_DESCRIPTION, VR::LO, "CT head without contrast"),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Wisniewski^Tomasz^^Dr"),
            (tags::INSTITUTION_NAME, VR::LO, "Riverside Imaging"),
        ] {
            object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
        }
        for tag in [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::SOP_INSTANCE_UID] {
            let uid = renamed(&object, tag, &day)?;
            object.put(DataElement::new(tag, VR::UI, PrimitiveValue::from(uid)));
        }
        let copy = into.join(format!("{}.dcm", dressed.len()));
        save(object, &copy)?;
        dressed.push(scan::examine(&copy)?);
    }
    Ok(dressed)
}

/// A UID made of the old one and the day (PS3.5 section B.2).
fn renamed(object: &InMemDicomObject, tag: Tag, day: &str) -> Result<String, Box<dyn std::error::Error>> {
    let old = object.element(tag)?.to_str()?;
    let digest = Sha256Digest::of(format!("{} {day}", old.trim_end_matches('\0')).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    Ok(format!("2.25.{}", uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128()))
}

fn save(mut object: FileDicomObject<InMemDicomObject>, path: &Path) -> Done {
    let uid = object.element(tags::SOP_INSTANCE_UID)?.to_str()?.into_owned();
    object.update_meta(|meta| meta.media_storage_sop_instance_uid = uid);
    object.write_to_file(path)?;
    Ok(())
}
