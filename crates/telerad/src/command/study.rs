//! `telerad study`: taking studies out and bringing them back from the command line of the server (decision 19).
//!
//! Taking out has two steps, as over HTTP: without `--confirm` nothing goes, and what would go is shown with a code of its images. Only
//! with that code it goes, so nobody takes out what they have not seen.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use domain::{
    Duration, Timestamp,
    audit::{Action, Actor},
    person::Scope,
    port::{
        Catalog, ChangeError, Clock as _,
        catalog::{BringBackRefusal, REASON_CHARS_MAX, TakeOut, TakeOutRefusal, TakenOut},
    },
    study::{Study, StudyKey},
    uid::StudyInstanceUid,
};

use super::{
    directory::{known_centre, refuse},
    say,
};
use crate::{clock::MachineClock, command, settings::Settings, wiring};

/// Most studies that are listed, the latest.
const LISTED_MAX: u32 = 1_000;

/// Studies.
#[derive(Debug, Subcommand)]
pub enum StudyCommand {
    /// Take a study out of sight, after it was shown what would go. It can be brought back for a while (`archive.taken_out_days`).
    TakeOut(StudyTakeOut),
    /// Bring a study back that was taken out.
    BringBack(Named),
    /// List the studies that were taken out, the latest first.
    TakenOut {
        /// Only those of this centre.
        #[arg(long)]
        centre: Option<String>,
    },
}

/// Which study.
#[derive(Debug, Args)]
pub struct Named {
    /// Its Study Instance UID.
    study: String,
    /// Whose.
    #[arg(long)]
    centre: String,
}

/// What is to be taken out.
#[derive(Debug, Args)]
pub struct StudyTakeOut {
    #[command(flatten)]
    named: Named,
    /// Take it out: the code that the same command shows without this.
    #[arg(long, value_name = "CODE", requires = "reason")]
    confirm: Option<String>,
    /// Why, for administrators; 1 to 500 characters.
    #[arg(long)]
    reason: Option<String>,
}

type Ended = Result<ExitCode, Box<dyn std::error::Error>>;

/// `telerad study`.
pub async fn run(settings: &Settings, command: StudyCommand) -> ExitCode {
    match act(settings, command).await {
        Ok(code) => code,
        Err(error) => command::fail(error.as_ref()),
    }
}

async fn act(settings: &Settings, command: StudyCommand) -> Ended {
    let catalog = wiring::open_catalog(settings).await?;
    let now = MachineClock.now();
    match command {
        StudyCommand::TakeOut(wanted) => {
            let until = now + Duration::from_hours(24 * i64::from(settings.archive.taken_out_days));
            take_out(catalog.as_ref(), wanted, until, now).await
        }
        StudyCommand::BringBack(named) => bring_back(catalog.as_ref(), &named, now).await,
        StudyCommand::TakenOut { centre } => list(catalog.as_ref(), centre.as_deref(), now).await,
    }
}

impl Named {
    async fn key(&self, catalog: &dyn Catalog) -> Result<StudyKey, Box<dyn std::error::Error>> {
        let centre = known_centre(catalog, &self.centre).await?.id;
        let Ok(uid) = StudyInstanceUid::parse(&self.study) else {
            return refuse(format!("{:?} is no Study Instance UID", self.study));
        };
        Ok(StudyKey { centre, uid })
    }
}

async fn take_out(catalog: &dyn Catalog, wanted: StudyTakeOut, until: Timestamp, now: Timestamp) -> Ended {
    let key = wanted.named.key(catalog).await?;
    let (study, images) = catalog.before_take_out(&key, now).await.or_else(stays)?;
    let code = images.digest.short();
    let (Some(confirm), Some(reason)) = (&wanted.confirm, &wanted.reason) else {
        show(&study);
        say(format!("It could be brought back until {until}. Nothing was taken out."));
        say("To take it out, run the same command again with");
        say(format!("    --confirm {code} --reason \"…\""));
        // A script that knows only the first step must not take this for done.
        return Ok(ExitCode::FAILURE);
    };
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return refuse(format!(
            "a reason has 1 to {REASON_CHARS_MAX} characters: say in a sentence why the study goes"
        ));
    }
    if *confirm != code {
        return stays(ChangeError::Refused(TakeOutRefusal::Changed));
    }
    let wanted = TakeOut {
        study: key,
        image_set: images.digest,
        by: Actor::Operator,
        reason: reason.to_owned(),
        until,
    };
    let out = catalog.take_out(&wanted, now).await.or_else(stays)?;
    say(format!(
        "The study is out of sight, with {}. `telerad study bring-back` brings it back until {}.",
        contents(&out.study),
        out.until
    ));
    Ok(ExitCode::SUCCESS)
}

/// Ends the command with why the study stays, and the next step.
fn stays<T>(error: ChangeError<TakeOutRefusal>) -> Result<T, Box<dyn std::error::Error>> {
    let refusal = match error {
        ChangeError::Catalog(error) => return Err(error.into()),
        ChangeError::Refused(refusal) => refusal,
    };
    let next_step = match refusal {
        TakeOutRefusal::Unknown => "look at the centre and the UID; `telerad study taken-out` lists those that are out".to_owned(),
        TakeOutRefusal::Signed => "if the report is wrong, have a correction signed".to_owned(),
        TakeOutRefusal::Held { until } => format!("ask them to give it back, or wait until {until}"),
        TakeOutRefusal::InConflict => {
            "look at the page /conflicts; one that is open is decided first, images that two studies share stay".to_owned()
        }
        TakeOutRefusal::Changed => "run the command without --confirm, and look at what would go".to_owned(),
    };
    refuse(format!("the study stays: {refusal}; {next_step}"))
}

async fn bring_back(catalog: &dyn Catalog, named: &Named, now: Timestamp) -> Ended {
    let key = named.key(catalog).await?;
    let refusal = match catalog.bring_back(&key, &Actor::Operator, now).await {
        Ok(()) => {
            say("The study is back as it was.");
            return Ok(ExitCode::SUCCESS);
        }
        Err(ChangeError::Catalog(error)) => return Err(error.into()),
        Err(ChangeError::Refused(refusal)) => refusal,
    };
    let next_step = match refusal {
        BringBackRefusal::Unknown => "`telerad study taken-out` lists those that are out",
        BringBackRefusal::Over => "have it sent again from its source, once it has left the list",
        BringBackRefusal::ImageElsewhere => "take that other study out first, if it is the wrong one",
    };
    refuse(format!("it does not come back: {refusal}; {next_step}"))
}

async fn list(catalog: &dyn Catalog, centre: Option<&str>, now: Timestamp) -> Ended {
    let scope = match centre {
        None => Scope::AllCentres,
        Some(centre) => Scope::Centres(vec![known_centre(catalog, centre).await?.id]),
    };
    let found = catalog.taken_out(&scope, LISTED_MAX).await?;
    catalog.record(&Actor::Operator, Action::ListViewed, None, "taken out", now).await?;
    if found.is_empty() {
        say("No study is taken out.");
    }
    for out in found {
        show(&out.study);
        let TakenOut { at, by, reason, refused_count, .. } = &out;
        say(format!("    taken out {at} by {}: {}", person(catalog, by).await?, one_line(reason)));
        match !out.is_over && out.until > now {
            true => {
                say(format!("    can come back until {}; {refused_count} images refused since", out.until))
            }
            false => say("    its time is over: it is being removed"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line that says which study, and how much it is.
fn show(study: &Study) {
    let StudyKey { centre, uid } = &study.key;
    let attributes = &study.attributes;
    let words = [
        attributes.patient_name.as_ref().map(domain::text::PersonName::display),
        attributes.patient_id.as_ref().map(|id| id.as_str().to_owned()),
        attributes.study_date.map(|day| day.to_string()),
        attributes.description.clone(),
    ];
    let words: Vec<String> = words.into_iter().flatten().map(|word| one_line(&word)).collect();
    say(format!("{centre}\t{uid}\t{}", words.join("; ")));
    say(format!("    {}", contents(study)));
}

fn contents(study: &Study) -> String {
    format!("{} images in {} series, {} bytes", study.instance_count, study.series_count, study.bytes)
}

/// Texts of others may hold what a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The login of a person, or who else it was, as the audit has it.
async fn person(catalog: &dyn Catalog, actor: &str) -> Result<String, Box<dyn std::error::Error>> {
    let Some(Actor::Person(id)) = Actor::parse_sender(actor) else { return Ok(actor.to_owned()) };
    Ok(catalog.person(id).await?.map_or_else(|| actor.to_owned(), |person| person.login))
}
