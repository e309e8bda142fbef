//! An order: a request for an examination, and how it finds its study.

use crate::{
    Timestamp,
    id::{CentreId, OrderId, PhysicianId},
    image::StudyAttributes,
    text::{AccessionNumber, PatientId, PersonName},
    uid::StudyInstanceUid,
    work::Lane,
};

/// A request for an examination. Within a centre the accession number is its identity to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Identity.
    pub id: OrderId,
    /// Whose order.
    pub centre: CentreId,
    /// What was asked.
    pub request: OrderRequest,
    /// The study that answers it, once one came.
    pub study: Option<StudyInstanceUid>,
    /// When we first heard of it.
    pub received: Timestamp,
}

/// What an order says; the same accession number with other contents replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    /// Identity within the centre.
    pub accession_number: AccessionNumber,
    /// Of whom.
    pub patient_id: PatientId,
    /// Their name, if it was told.
    pub patient_name: Option<PersonName>,
    /// What examination, for example `CT head without contrast`.
    pub examination: Option<String>,
    /// Why: the indication, in the words of the physician.
    pub reason: Option<String>,
    /// How soon.
    pub priority: Lane,
    /// Who asked and must hear; `None` when the name matched nobody in the directory.
    pub physician: Option<PhysicianId>,
    /// The physician's name as the order gives it.
    pub physician_name: Option<PersonName>,
    /// The day of the examination, if it was told.
    pub scheduled: Option<jiff::civil::Date>,
}

/// Why an order was taken to belong to a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderMatch {
    /// Same patient id, and the study's day is the scheduled day or at most one day after the order came.
    PatientAndDate,
    /// Same accession number, and the patient ids do not contradict each other.
    AccessionNumber,
}

/// What of a study an order is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyClues {
    /// From the images.
    pub accession_number: Option<AccessionNumber>,
    /// From the images.
    pub patient_id: Option<PatientId>,
    /// From the images; where they do not say, the day on which the first of them came.
    pub day: jiff::civil::Date,
}

impl StudyClues {
    /// The clues of a study whose first image came at a moment.
    #[must_use]
    pub fn of(attributes: &StudyAttributes, first_received: Timestamp) -> Self {
        Self {
            accession_number: attributes.accession_number.clone(),
            patient_id: attributes.patient_id.clone(),
            day: attributes.study_date.unwrap_or_else(|| utc_day(first_received)),
        }
    }
}

/// Chooses the order that a study answers: by accession number, then by patient and date. When two orders match equally well
/// by patient and date, none is chosen: a guess would send a result to the wrong physician.
#[must_use]
pub fn choose<'a>(study: &StudyClues, orders: &'a [Order]) -> Option<(&'a Order, OrderMatch)> {
    let mut best: Vec<(&Order, OrderMatch)> = Vec::new();
    for order in orders.iter().filter(|order| order.study.is_none()) {
        let Some(found) = matches(study, order) else { continue };
        match best.first() {
            Some((_, level)) if found < *level => {}
            Some((_, level)) if found == *level => best.push((order, found)),
            Some(_) | None => best = vec![(order, found)],
        }
    }
    match best.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// Whether and why one order belongs to a study.
#[must_use]
pub fn matches(study: &StudyClues, order: &Order) -> Option<OrderMatch> {
    let request = &order.request;
    if study.patient_id.as_ref().is_some_and(|id| *id != request.patient_id) {
        return None;
    }
    if study.accession_number.as_ref() == Some(&request.accession_number) {
        return Some(OrderMatch::AccessionNumber);
    }
    if study.accession_number.is_some() || study.patient_id.is_none() {
        return None;
    }
    let near = match request.scheduled {
        Some(scheduled) => scheduled == study.day,
        None => {
            let ordered = utc_day(order.received);
            (ordered.yesterday().unwrap_or(ordered)..=ordered.tomorrow().unwrap_or(ordered))
                .contains(&study.day)
        }
    };
    near.then_some(OrderMatch::PatientAndDate)
}

fn utc_day(moment: Timestamp) -> jiff::civil::Date {
    moment.to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(accession: &str, patient: &str, scheduled: Option<&str>) -> Order {
        Order {
            id: OrderId::fresh(),
            centre: CentreId::parse("c1").unwrap(),
            request: OrderRequest {
                accession_number: AccessionNumber::new(accession).unwrap(),
                patient_id: PatientId::new(patient).unwrap(),
                patient_name: None,
                examination: None,
                reason: None,
                priority: Lane::Routine,
                physician: None,
                physician_name: None,
                scheduled: scheduled.map(|day| day.parse().unwrap()),
            },
            study: None,
            received: "2026-03-02T10:00:00Z".parse().unwrap(),
        }
    }

    /// A study whose first image came the day after the orders did.
    fn study(accession: Option<&str>, patient: Option<&str>, date: Option<&str>) -> StudyClues {
        let attributes = StudyAttributes {
            accession_number: accession.and_then(AccessionNumber::new),
            patient_id: patient.and_then(PatientId::new),
            study_date: date.map(|day| day.parse().unwrap()),
            ..StudyAttributes::default()
        };
        StudyClues::of(&attributes, "2026-03-03T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn an_order_matches_by_accession_then_by_patient_and_date() {
        use OrderMatch::{AccessionNumber as A, PatientAndDate as P};
        for (clues, scheduled, expected) in [
            (study(Some("A1"), Some("p"), None), None, Some(A)),
            (study(Some("A1"), None, None), None, Some(A)),
            (study(Some("A1"), Some("other"), None), None, None),
            (study(Some("A2"), Some("p"), Some("2026-03-02")), None, None),
            (study(None, Some("p"), Some("2026-03-02")), None, Some(P)),
            (study(None, Some("p"), Some("2026-03-03")), None, Some(P)),
            (study(None, Some("p"), Some("2026-03-09")), None, None),
            (study(None, Some("p"), Some("2026-03-09")), Some("2026-03-09"), Some(P)),
            (study(None, Some("p"), Some("2026-03-02")), Some("2026-03-09"), None),
            (study(None, Some("p"), None), None, Some(P)),
            (study(None, Some("p"), None), Some("2026-03-02"), None),
            (study(None, None, Some("2026-03-02")), None, None),
        ] {
            assert_eq!(matches(&clues, &order("A1", "p", scheduled)), expected, "{clues:?}");
        }
    }

    #[test]
    fn two_equal_candidates_are_left_to_a_person() {
        let clues = study(None, Some("p"), Some("2026-03-02"));
        let orders = [order("A1", "p", None), order("A2", "p", None)];
        assert!(choose(&clues, &orders).is_none());
        assert!(choose(&clues, &orders[..1]).is_some());
        let mut taken = orders[0].clone();
        taken.study = StudyInstanceUid::parse("1.2").ok();
        assert_eq!(choose(&clues, &[taken, orders[1].clone()]).unwrap().0.id, orders[1].id);
    }
}
