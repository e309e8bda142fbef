//! `telerad verify`: re-reads every object and every signed report, and says which do not match their digests.

use std::process::ExitCode;

use domain::{
    digest::Sha256Digest,
    image::Instance,
    object::ObjectRef,
    port::{Catalog, Storage, StorageError},
    study::StudyKey,
};
use sha2::{Digest as _, Sha256};

use crate::{
    command::{self, say},
    settings::Settings,
    wiring,
};

/// Rows of one question to the catalog.
const PAGE: u32 = 500;
/// Most lines about single findings.
const LINES_MAX: usize = 100;

#[derive(Default)]
struct Findings {
    objects: u64,
    reports: u64,
    wrong: Vec<String>,
}

/// Re-reads everything.
pub async fn run(settings: &Settings) -> ExitCode {
    let parts = match wiring::open(settings).await {
        Ok(parts) => parts,
        Err(error) => return command::fail(&error),
    };
    let mut findings = Findings::default();
    if let Err(error) = verify(parts.catalog.as_ref(), parts.storage.as_ref(), &mut findings).await {
        return command::fail(error.as_ref());
    }
    say(format!(
        "{} objects and {} signed reports were read again; {} are wrong.",
        findings.objects,
        findings.reports,
        findings.wrong.len()
    ));
    for line in findings.wrong.iter().take(LINES_MAX) {
        say(line);
    }
    if findings.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn verify(
    catalog: &dyn Catalog,
    storage: &dyn Storage,
    findings: &mut Findings,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut last: Option<Instance> = None;
    let mut study: Option<StudyKey> = None;
    let mut studies = std::collections::BTreeSet::new();
    loop {
        let after = last.as_ref().map(|instance| (&instance.centre, &instance.sop_instance));
        let page = catalog.instances_after(after, PAGE).await?;
        let Some(end) = page.last().cloned() else { break };
        for instance in &page {
            let key = StudyKey { centre: instance.centre.clone(), uid: instance.study.clone() };
            if study.as_ref() != Some(&key) && studies.insert(key.clone()) {
                verify_reports(catalog, storage, &key, findings).await?;
            }
            study = Some(key);
            findings.objects += 1;
            verify_object(storage, &instance.object, instance.file_sha256, findings).await?;
        }
        last = Some(end);
    }
    Ok(())
}

async fn verify_reports(
    catalog: &dyn Catalog,
    storage: &dyn Storage,
    study: &StudyKey,
    findings: &mut Findings,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut previous = None;
    for version in catalog.versions(study).await? {
        findings.reports += 1;
        if !version.is_intact(previous) {
            findings.wrong.push(format!(
                "report {} of study {} at {}: it is not what was signed",
                version.number, study.uid, study.centre
            ));
        }
        previous = Some(version.signature.hash);
        let pdf = catalog.pdf(study, version.number).await?;
        for object in version.key_images.iter().map(|image| &image.object).chain(&pdf) {
            if let Some(name) = object.name() {
                findings.objects += 1;
                verify_object(storage, &object.clone().into(), name.sha256(), findings).await?;
            }
        }
    }
    Ok(())
}

/// A missing or changed object is a finding; a store that is away ends the command.
async fn verify_object(
    storage: &dyn Storage,
    object: &ObjectRef,
    promised: Sha256Digest,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    let mut reader = match storage.read(object, None).await {
        Ok(reader) => reader,
        Err(StorageError::NotFound(_)) => {
            findings.wrong.push(format!("{object}: it is missing"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut digest = Sha256::new();
    while let Some(piece) = reader.pieces.next().await? {
        digest.update(&piece);
    }
    if Sha256Digest::from_bytes(digest.finalize().into()) != promised {
        findings.wrong.push(format!("{object}: its bytes are not those that were stored"));
    }
    Ok(())
}
