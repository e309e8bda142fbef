//! Who must hear of a signed version, and the task when nobody can be told by mail.

use domain::{
    delivery::Recipient,
    person::Physician,
    study::StudyKey,
    task::{NewTask, TaskKind},
    text::EmailAddress,
};

use crate::facts::Facts;

/// Who must hear and where they are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reachable {
    /// Who.
    pub recipient: Recipient,
    /// Where.
    pub address: EmailAddress,
}

/// Why nobody can be told by mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Neither order nor images name anybody.
    Unnamed,
    /// The directory does not hold exactly one physician of this name.
    Unknown(String),
    /// The directory has no address of theirs.
    NoAddress(Box<Physician>),
}

/// Finds who must hear.
pub(crate) fn find(facts: &Facts) -> Result<Reachable, Unreachable> {
    let Some(physician) = &facts.physician else {
        return Err(facts.physician_name().map_or(Unreachable::Unnamed, Unreachable::Unknown));
    };
    let Some(address) = &physician.email else {
        return Err(Unreachable::NoAddress(Box::new(physician.clone())));
    };
    let recipient = Recipient::Physician { id: physician.id, name: physician.name.display() };
    Ok(Reachable { recipient, address: address.clone() })
}

impl Unreachable {
    /// The task for a person at the centre.
    pub(crate) fn task(&self, study: &StudyKey, version: u32) -> NewTask {
        let (reason, whom) = match self {
            Self::Unnamed => (
                "Neither the order nor the images name the physician who asked for this examination."
                    .to_owned(),
                "Find out who asked for the examination".to_owned(),
            ),
            Self::Unknown(name) => (
                format!(
                    "The directory does not hold exactly one physician named {name}, so no mail was sent."
                ),
                format!("Find out how {name} is reached"),
            ),
            Self::NoAddress(physician) => {
                let name = physician.name.display();
                let phone = physician.phone.as_ref().map_or_else(String::new, |phone| format!(" ({phone})"));
                (
                    format!("The directory has no mail address of {name}, so no mail was sent."),
                    format!("Telephone {name}{phone}"),
                )
            }
        };
        NewTask {
            centre: study.centre.clone(),
            study: Some(study.uid.clone()),
            kind: TaskKind::NoRecipient,
            subject: format!("report {} {version}", study.uid),
            reason: format!("Version {version} of the report was signed. {reason}"),
            next_step: format!(
                "{whom}, pass the result on, and close this task with a note of whom you told and when. Enter the \
                 physician's mail address so that the next report is sent."
            ),
        }
    }
}
