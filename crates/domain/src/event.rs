//! Events: what happened, in the language that processes speak to each other through the outbox and the broker.
//!
//! This is published: variants are added, never changed; each carries its version in its name. Golden texts below pin them.

use serde::{Deserialize, Serialize};

/// Something that happened and that another role must act on. Identifiers travel as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// Images of a study rest in storage and the waiting time for more is over: decide on completeness, then draft.
    StudyStoredV1 {
        /// The centre's id.
        centre: String,
        /// Study Instance UID.
        study: String,
    },
    /// A version was signed: find its recipient and open a delivery.
    ReportSignedV1 {
        /// The centre's id.
        centre: String,
        /// Study Instance UID.
        study: String,
        /// The version's number.
        version: u32,
    },
    /// A delivery is due for an attempt, or one of its deadlines has come.
    DeliveryDueV1 {
        /// The centre's id.
        centre: String,
        /// The delivery's id.
        delivery: String,
    },
    /// A storage commitment was asked for and must be checked, or its report is due for another try.
    CommitmentDueV1 {
        /// The centre's id.
        centre: String,
        /// The commitment's id.
        commitment: String,
    },
}

impl Event {
    /// The event as JSON, without white space.
    ///
    /// # Panics
    /// Never: the variants hold only strings and numbers.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }

    /// Reads an event.
    ///
    /// # Errors
    /// When the text is no event that this version knows.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Which queue it goes to.
    #[must_use]
    pub const fn queue(&self) -> crate::work::Queue {
        match self {
            Self::StudyStoredV1 { .. } => crate::work::Queue::Draft,
            Self::ReportSignedV1 { .. } | Self::DeliveryDueV1 { .. } => crate::work::Queue::Notify,
            Self::CommitmentDueV1 { .. } => crate::work::Queue::Commit,
        }
    }

    /// What it is about: of two waiting events with the same subject one is enough.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::StudyStoredV1 { centre, study } => format!("study {centre} {study}"),
            Self::ReportSignedV1 { centre, study, version } => format!("report {centre} {study} {version}"),
            Self::DeliveryDueV1 { centre, delivery } => format!("delivery {centre} {delivery}"),
            Self::CommitmentDueV1 { centre, commitment } => format!("commitment {centre} {commitment}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_pinned() {
        let (centre, study) = ("c1".to_owned(), "1.2".to_owned());
        for (event, golden) in [
            (
                Event::StudyStoredV1 { centre: centre.clone(), study: study.clone() },
                r#"{"event":"study_stored_v1","centre":"c1","study":"1.2"}"#,
            ),
            (
                Event::ReportSignedV1 { centre: centre.clone(), study, version: 2 },
                r#"{"event":"report_signed_v1","centre":"c1","study":"1.2","version":2}"#,
            ),
            (
                Event::DeliveryDueV1 { centre: centre.clone(), delivery: "x".into() },
                r#"{"event":"delivery_due_v1","centre":"c1","delivery":"x"}"#,
            ),
            (
                Event::CommitmentDueV1 { centre, commitment: "x".into() },
                r#"{"event":"commitment_due_v1","centre":"c1","commitment":"x"}"#,
            ),
        ] {
            assert_eq!(event.to_json(), golden);
            assert_eq!(Event::from_json(golden).unwrap(), event);
        }
        assert!(Event::from_json(r#"{"event":"study_stored_v9"}"#).is_err());
    }
}
