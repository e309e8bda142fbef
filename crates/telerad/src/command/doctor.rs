//! `telerad doctor`: looks at settings, parts and peers, and says what to do about each that is not well.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use domain::{
    port::Clock as _,
    upkeep::{Job, Progress},
};
use intake::tls::CertificateState;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    clock::MachineClock,
    command::say,
    send::{Failure, dicom},
    settings::{Flags, Settings},
    wiring,
};

/// How long a part may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// What was found out, in the order of looking.
#[derive(Default)]
struct Findings {
    ill: u32,
}

impl Findings {
    fn well(&mut self, what: &str, state: &str) {
        say(format!("ok      {what}: {state}"));
    }

    fn note(&mut self, what: &str, state: &str) {
        say(format!("note    {what}: {state}"));
    }

    fn ill(&mut self, what: &str, error: &dyn std::error::Error, next_step: &str) {
        self.ill += 1;
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        say(format!("PROBLEM {what}: {text}"));
        say(format!("        {next_step}"));
    }
}

/// Looks at everything.
pub async fn run(flags: &Flags) -> ExitCode {
    let mut findings = Findings::default();
    let settings = match Settings::read(flags) {
        Ok(settings) => settings,
        Err(error) => {
            findings.ill(
                "settings",
                &error,
                "Correct the key or value that is named, in the file or the environment.",
            );
            return ExitCode::FAILURE;
        }
    };
    findings.well("settings", "every key is known and every value fits");
    look_at_addresses(&settings, &mut findings).await;
    look_at_tls(&settings, &mut findings);
    look_at_parts(&settings, &mut findings).await;
    look_at_mail(&settings, &mut findings);
    look_at_fonts(&settings, &mut findings);
    match settings.viewer_dir() {
        Some(folder) => findings.well("viewer", &format!("OHIF is in {}", folder.display())),
        None => findings.note("viewer", "no OHIF build was found: run `make viewer`, or set http.viewer_dir"),
    }
    if findings.ill == 0 {
        say("Everything that was looked at is well.");
        ExitCode::SUCCESS
    } else {
        say(format!("{} problems were found.", findings.ill));
        ExitCode::FAILURE
    }
}

async fn look_at_addresses(settings: &Settings, findings: &mut Findings) {
    let tls = settings.intake.tls.as_ref().and_then(|tls| tls.listen);
    let addresses = [
        ("web address", Some(settings.http.listen)),
        ("DICOM address", Some(settings.intake.listen)),
        ("DICOM address over TLS", tls),
    ];
    for (what, address) in addresses {
        let Some(address) = address else { continue };
        match TcpListener::bind(address).await {
            Ok(_) => findings.well(what, &format!("{address} is free")),
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && answers_dicom(settings, address).await =>
            {
                findings
                    .well(what, &format!("{address} answers DICOM: telerad, or another server, runs there"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                findings.note(
                    what,
                    &format!("{address} is in use: by telerad, if it runs; else choose another address"),
                );
            }
            Err(error) => findings.ill(what, &error, "Choose an address of this machine."),
        }
        if tls != Some(address) {
            warn_beyond_loopback(what, address, findings);
        }
    }
}

fn look_at_tls(settings: &Settings, findings: &mut Findings) {
    let Some(config) = &settings.intake.tls else {
        return findings.note("DICOM over TLS", "it is off: [intake.tls] turns it on");
    };
    let tls = match intake::Tls::open(config) {
        Ok(tls) => tls,
        Err(error) => return findings.ill("DICOM over TLS", &error, "Correct the files of [intake.tls]."),
    };
    let file = config.certificate.display();
    let Some(certificate) = tls.certificate() else {
        return findings.note("DICOM over TLS", &format!("{file} says nothing about its validity"));
    };
    let (subject, ends) = (&certificate.subject, certificate.ends);
    let what = format!("{file} ({subject})");
    match certificate.state(MachineClock.now()) {
        CertificateState::Good => findings.well("DICOM over TLS", &format!("{what} is valid until {ends}")),
        CertificateState::EndsSoon => {
            findings.note("DICOM over TLS", &format!("{what} ends {ends}: put a new one in its place soon"));
        }
        CertificateState::Expired => {
            let error = Expired(format!("{what} has expired on {ends}"));
            findings.ill(
                "DICOM over TLS",
                &error,
                "Put a new certificate in its place; no restart is needed.",
            );
        }
        CertificateState::NotYet => {
            let error = Expired(format!("{what} does not count before {}", certificate.begins));
            findings.ill("DICOM over TLS", &error, "Check the certificate and this machine's clock.");
        }
    }
}

/// A certificate that does not count.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Expired(String);

/// Whether somebody at our DICOM address speaks DICOM; that we are not let in is an answer too.
async fn answers_dicom(settings: &Settings, address: SocketAddr) -> bool {
    if address != settings.intake.listen {
        return false;
    }
    let peer = dicom::Peer {
        address: address.to_string(),
        called: settings.intake.ae_title.clone(),
        calling: "TELERAD_DOCTOR".to_owned(),
        tls: None,
    };
    matches!(dicom::echo(&peer).await, Ok(()) | Err(Failure::Rejected { .. }))
}

fn warn_beyond_loopback(what: &str, address: SocketAddr, findings: &mut Findings) {
    if !address.ip().is_loopback() {
        findings.note(
            what,
            "it is reachable from other machines without TLS: put a TLS proxy or a private network before it",
        );
    }
}

async fn look_at_parts(settings: &Settings, findings: &mut Findings) {
    let opened = timeout(ANSWER_TIME_MAX, wiring::open(settings)).await;
    let parts = match opened {
        Ok(Ok(parts)) => parts,
        Ok(Err(error)) => {
            let next_step = match error {
                wiring::StartError::Broker(_) => {
                    "Start RabbitMQ, or correct broker.url; without [broker] the embedded one is used."
                }
                wiring::StartError::Catalog(_) => {
                    "Start PostgreSQL, or correct catalog.url; without [catalog] SQLite is used."
                }
                wiring::StartError::Storage(_) => "Correct [storage]; without it a folder is used.",
                _ => "Correct what is named.",
            };
            return findings.ill("parts", &error, next_step);
        }
        Err(error) => {
            return findings.ill(
                "parts",
                &error,
                "A database or broker does not answer: check its address and that it runs.",
            );
        }
    };
    match timeout(ANSWER_TIME_MAX, parts.catalog.check()).await {
        Ok(Ok(())) => findings.well("catalog", "it answers and can be written"),
        Ok(Err(error)) => findings.ill("catalog", &error, "Check [catalog], free space and permissions."),
        Err(error) => findings.ill("catalog", &error, "The database does not answer: check that it runs."),
    }
    match timeout(ANSWER_TIME_MAX, parts.storage.check()).await {
        Ok(Ok(())) => findings.well("object store", "it answers and can be written"),
        Ok(Err(error)) => findings.ill(
            "object store",
            &error,
            "Check [storage], the bucket's name, keys, free space and permissions.",
        ),
        Err(error) => {
            findings.ill("object store", &error, "The object store does not answer: check its address.")
        }
    }
    match timeout(ANSWER_TIME_MAX, parts.broker.check()).await {
        Ok(Ok(())) => findings.well("broker", "it answers"),
        Ok(Err(error)) => findings.ill("broker", &error, "Check [broker] and that RabbitMQ runs."),
        Err(error) => findings.ill("broker", &error, "RabbitMQ does not answer: check its address."),
    }
    look_at_pixels(&parts, findings).await;
    look_at_upkeep(&parts, findings).await;
    match parts.catalog.centres().await {
        Ok(centres) if centres.is_empty() => {
            findings.note(
                "centres",
                "there are none, so every association is refused: `telerad centre add NAME --ae TITLE`",
            );
        }
        Ok(centres) => findings.well("centres", &format!("{} are known", centres.len())),
        Err(error) => findings.ill("centres", &error, "Check [catalog]."),
    }
    match parts.catalog.people().await {
        Ok(people) if people.is_empty() => {
            findings
                .note("people", "nobody can sign in yet: `telerad user add LOGIN --name NAME --role reader`");
        }
        Ok(people) => findings.well(
            "people",
            &format!("{} can sign in", people.iter().filter(|person| !person.disabled).count()),
        ),
        Err(error) => findings.ill("people", &error, "Check [catalog]."),
    }
}

async fn look_at_pixels(parts: &wiring::Parts, findings: &mut Findings) {
    match parts.pixels.check().await {
        Ok(unconfined) if unconfined.is_empty() => {
            findings.well("pixel work", "its processes start, and are confined");
        }
        Ok(unconfined) => findings.note(
            "pixel work",
            &format!("its processes start, but this system does not forbid them all: {}", unconfined.join("; ")),
        ),
        Err(error) => findings.ill(
            "pixel work",
            &error,
            "Check pixels.program and pixels.memory_bytes, and that this system lets the service start processes.",
        ),
    }
}

async fn look_at_upkeep(parts: &wiring::Parts, findings: &mut Findings) {
    let (catalog, mut halted) = (&parts.catalog, false);
    for (what, job) in [("sweep", Job::Sweep), ("reading objects again", Job::Scrub)] {
        match catalog.job(job).await {
            Err(error) => return findings.ill(what, &error, "Check [catalog]."),
            Ok(Progress { halted: Some(reason), .. }) => {
                halted = true;
                findings.ill(what, &Halted(reason), "The task on the page of tasks says what to do.");
            }
            Ok(Progress { last: Some((_, ended)), .. }) => {
                findings.well(what, &format!("a round ended {ended}"));
            }
            Ok(_) => findings.note(what, "no round has ended yet: the role `upkeep` does it"),
        }
    }
    match catalog.damaged_count().await {
        Ok(0) if !halted => findings.well("stored objects", "none is known to be damaged"),
        Ok(0) => {}
        Ok(count) => {
            let error = Halted(format!("{count} are missing or not what was stored"));
            findings.ill(
                "stored objects",
                &error,
                "Bring them back from the backup; `telerad verify` lists them.",
            );
        }
        Err(error) => findings.ill("stored objects", &error, "Check [catalog]."),
    }
}

/// What upkeep found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Halted(String);

fn look_at_mail(settings: &Settings, findings: &mut Findings) {
    if let Err(error) = notifier::Settings::of(&settings.mail) {
        return findings.ill("mail", &error, "Correct [mail].");
    }
    match &settings.mail.smtp {
        None => findings
            .note("mail", "no mail server is set: messages are not sent, they lie in the mailbox page"),
        Some(smtp) => match notifier::SmtpMailer::new(smtp) {
            Ok(_) => findings.well("mail", &format!("messages go out by {}", smtp.host)),
            Err(error) => findings.ill("mail", &error, "Correct [mail.smtp]."),
        },
    }
}

fn look_at_fonts(settings: &Settings, findings: &mut Findings) {
    match wiring::renderer(settings) {
        Err(error) => findings.ill("report template", &error, "Correct [fonts]."),
        Ok(renderer) => {
            let coverage = renderer.coverage();
            let scripts = [
                (coverage.greek, "Greek"),
                (coverage.cyrillic, "Cyrillic"),
                (coverage.han, "Chinese"),
                (coverage.kana, "Japanese"),
                (coverage.hangul, "Korean"),
            ];
            let missing: Vec<&str> =
                scripts.iter().filter(|(is_there, _)| !is_there).map(|(_, name)| *name).collect();
            if missing.is_empty() {
                findings.well("fonts", "reports can show every script that was looked for");
            } else {
                let packages = "install fonts-noto-cjk (or fonts-droid-fallback and fonts-nanum)";
                findings.note("fonts", &format!("reports cannot show {}: {packages}", missing.join(", ")));
            }
        }
    }
}
