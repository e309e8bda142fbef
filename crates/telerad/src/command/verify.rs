//! `telerad verify`: re-reads every object and every signed report, and says which do not match their digests.

use std::process::ExitCode;

use domain::{
    digest::Sha256Digest,
    image::Instance,
    object::ObjectRef,
    person::Scope,
    port::{
        Catalog, Storage, StorageError,
        catalog::QuarantineFilter,
        storage::{Unhurried, read_again},
    },
    study::StudyKey,
};

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
    wrong: Vec<Finding>,
}

/// Something that is not as it was stored or signed.
struct Finding {
    what: String,
    /// A clause that follows "it".
    flaw: String,
}

/// Re-reads everything; the summary is for people, or one JSON object for programs.
pub async fn run(settings: &Settings, json: bool) -> ExitCode {
    let parts = match wiring::open(settings).await {
        Ok(parts) => parts,
        Err(error) => return command::fail(&error),
    };
    let mut findings = Findings::default();
    if let Err(error) = verify(parts.catalog.as_ref(), parts.storage.as_ref(), &mut findings).await {
        return command::fail(error.as_ref());
    }
    let code = if findings.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        say(summary(&findings));
        return code;
    }
    say(format!(
        "{} objects and {} signed reports were read again; {} are wrong.",
        findings.objects,
        findings.reports,
        findings.wrong.len()
    ));
    for Finding { what, flaw } in findings.wrong.iter().take(LINES_MAX) {
        say(format!("{what}: it {flaw}"));
    }
    code
}

/// `{"objects": …, "reports": …, "wrong": …, "findings": [{"what": …, "flaw": …}]}`; all findings stand in it.
fn summary(findings: &Findings) -> serde_json::Value {
    let each =
        |Finding { what, flaw }: &Finding| serde_json::json!({"what": what, "flaw": format!("it {flaw}")});
    serde_json::json!({
        "objects": findings.objects,
        "reports": findings.reports,
        "wrong": findings.wrong.len(),
        "findings": findings.wrong.iter().map(each).collect::<Vec<_>>(),
    })
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
    for centre in catalog.centres().await? {
        // As many as the limits of the quarantine let in.
        let filter =
            QuarantineFilter { scope: Scope::Centres(vec![centre.id]), decided: true, limit: u32::MAX };
        let quarantined = catalog.quarantined_objects(&filter).await?;
        for object in quarantined.iter().filter(|object| object.state.has_bytes()) {
            findings.objects += 1;
            verify_object(storage, &object.object, object.sha256, findings).await?;
        }
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
            findings.wrong.push(Finding {
                what: format!("report {} of study {} at {}", version.number, study.uid, study.centre),
                flaw: "is not what was signed".to_owned(),
            });
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

/// An object that is not what was stored is a finding; a store that is away ends the command.
async fn verify_object(
    storage: &dyn Storage,
    object: &ObjectRef,
    promised: Sha256Digest,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    if let Some(flaw) = read_again(storage, object, promised, &Unhurried).await?.flaw() {
        findings.wrong.push(Finding { what: object.to_string(), flaw });
    }
    Ok(())
}
