//! One order: checked, its physician found or added, kept.

use domain::{
    Timestamp,
    audit::Actor,
    id::{CentreId, PhysicianId},
    order::OrderRequest,
    person::Physician,
    port::{Catalog, CatalogError, catalog::OrderOutcome},
    text::{AccessionNumber, EmailAddress, PatientId, PersonName},
    work::Lane,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::names::person_name;

/// Most characters of an accession number or a patient id: what DICOM VR LO takes (PS3.5 section 6.2). A longer one is refused,
/// not cut: a cut identity is another identity.
pub const IDENTIFIER_CHARS_MAX: usize = 64;
/// Most characters of the reason and of the examination.
pub const REASON_CHARS_MAX: usize = 4000;
/// Most characters of a telephone number.
const PHONE_CHARS_MAX: usize = 64;

/// An order as somebody sends it.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// Whose order; a token's centre is its own. A person who sees one centre only may leave it out.
    #[serde(default)]
    pub centre: Option<String>,
    /// Identity within the centre: the same again replaces what was asked.
    pub accession_number: String,
    /// Of whom.
    pub patient_id: String,
    /// `Doe^Jane` or `Jane Doe`.
    #[serde(default)]
    pub patient_name: Option<String>,
    /// What examination.
    #[serde(default)]
    pub examination: Option<String>,
    /// Why: the indication.
    #[serde(default)]
    pub reason: Option<String>,
    /// `stat`, `urgent` or `routine` (which it is when left out).
    #[serde(default)]
    pub priority: Option<String>,
    /// Who asked and must hear of the result.
    #[serde(default)]
    pub physician: Option<NewPhysician>,
    /// The day of the examination, `YYYY-MM-DD`.
    #[serde(default)]
    pub scheduled: Option<String>,
}

/// A physician as somebody sends them.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPhysician {
    /// `Dr Jane Doe` or `Doe^Jane`.
    pub name: String,
    /// Where the result goes; left out, the one that the directory knows.
    #[serde(default)]
    pub email: Option<String>,
    /// For the person who calls when mail fails.
    #[serde(default)]
    pub phone: Option<String>,
}

/// What is wrong with an order. The texts name fields, never contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// A field that must be there is empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is too long to be kept whole.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// The priority is no lane.
    #[error("priority is none of stat, urgent, routine")]
    Priority,
    /// The day is none.
    #[error("scheduled is no date like 2026-03-02")]
    Scheduled,
    /// The address is none.
    #[error("the physician's email is no mail address")]
    Email,
}

/// Why an order was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It cannot be understood.
    #[error(transparent)]
    Invalid(#[from] InvalidOrder),
    /// The catalog could not.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Checks an order, finds or adds its physician, and keeps it.
///
/// # Errors
/// When it cannot be understood, or the catalog is away.
pub async fn place(
    catalog: &dyn Catalog,
    centre: &CentreId,
    order: &NewOrder,
    by: &Actor,
    at: Timestamp,
) -> Result<OrderOutcome, PlaceError> {
    let mut request = read(order)?;
    if let Some(physician) = &order.physician {
        let email = read_email(physician.email.as_deref())?;
        let phone = text("the physician's phone", physician.phone.as_deref(), PHONE_CHARS_MAX)?;
        if let Some(name) = &request.physician_name {
            request.physician = find_physician(catalog, centre, name, email, phone, by, at).await?;
        }
    }
    Ok(catalog.put_order(centre, &request, by, at).await?)
}

/// Checks everything but the physician's address.
fn read(order: &NewOrder) -> Result<OrderRequest, InvalidOrder> {
    let accession = text("accession_number", Some(&order.accession_number), IDENTIFIER_CHARS_MAX)?;
    let patient = text("patient_id", Some(&order.patient_id), IDENTIFIER_CHARS_MAX)?;
    let physician_name = order.physician.as_ref().map(|physician| {
        let written = physician.name.trim();
        person_name(written).ok_or(if written.is_empty() {
            InvalidOrder::Missing("the physician's name")
        } else {
            InvalidOrder::TooLong("the physician's name")
        })
    });
    let patient_name = order.patient_name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    Ok(OrderRequest {
        accession_number: accession
            .and_then(|text| AccessionNumber::new(&text))
            .ok_or(InvalidOrder::Missing("accession_number"))?,
        patient_id: patient
            .and_then(|text| PatientId::new(&text))
            .ok_or(InvalidOrder::Missing("patient_id"))?,
        patient_name: patient_name
            .map(|name| person_name(name).ok_or(InvalidOrder::TooLong("patient_name")))
            .transpose()?,
        examination: text("examination", order.examination.as_deref(), REASON_CHARS_MAX)?,
        reason: text("reason", order.reason.as_deref(), REASON_CHARS_MAX)?,
        priority: read_priority(order.priority.as_deref())?,
        physician: None,
        physician_name: physician_name.transpose()?,
        scheduled: read_day(order.scheduled.as_deref())?,
    })
}

/// A trimmed text without control characters (line feeds stay); `None` when nothing is left.
fn text(field: &'static str, value: Option<&str>, chars_max: usize) -> Result<Option<String>, InvalidOrder> {
    let clean: String =
        value.unwrap_or_default().trim().chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    if clean.chars().count() > chars_max {
        return Err(InvalidOrder::TooLong(field));
    }
    Ok((!clean.is_empty()).then_some(clean))
}

fn read_priority(text: Option<&str>) -> Result<Lane, InvalidOrder> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(Lane::Routine),
        Some(text) => Lane::parse(&text.to_lowercase()).ok_or(InvalidOrder::Priority),
    }
}

fn read_day(text: Option<&str>) -> Result<Option<jiff::civil::Date>, InvalidOrder> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| InvalidOrder::Scheduled)
}

fn read_email(text: Option<&str>) -> Result<Option<EmailAddress>, InvalidOrder> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    EmailAddress::parse(text).map(Some).ok_or(InvalidOrder::Email)
}

/// The physician of a centre's directory that an order means. Two people may share a name or a mail address, so:
/// with an address, the one who has both, else the one of that name who has no address yet (they get it), else somebody new;
/// without one, the only one of that name, or nobody: a guess would send a result to a stranger. Somebody of whom only a telephone
/// number is told is added too, for the person who will call.
async fn find_physician(
    catalog: &dyn Catalog,
    centre: &CentreId,
    name: &PersonName,
    email: Option<EmailAddress>,
    phone: Option<String>,
    by: &Actor,
    at: Timestamp,
) -> Result<Option<PhysicianId>, CatalogError> {
    let known = catalog.physicians(centre).await?;
    let named: Vec<&Physician> = known.iter().filter(|physician| physician.is_named(name)).collect();
    let found = match &email {
        Some(email) => named
            .iter()
            .find(|physician| physician.email.as_ref().is_some_and(|known| same_address(known, email)))
            .or_else(|| named.iter().find(|physician| physician.email.is_none())),
        None => match named.as_slice() {
            [only] => Some(only),
            _ => None,
        },
    };
    let (was, now) = match found {
        Some(found) => (Some(*found), (*found).clone()),
        None if email.is_none() && (phone.is_none() || !named.is_empty()) => return Ok(None),
        None => {
            let id = PhysicianId::fresh();
            (None, Physician { id, centre: centre.clone(), name: name.clone(), email: None, phone: None })
        }
    };
    let now = Physician { email: now.email.or(email), phone: phone.or(now.phone), ..now };
    if was != Some(&now) {
        catalog.put_physician(&now, by, at).await?;
    }
    Ok(Some(now.id))
}

/// Hosts have no case, and no mail system in use tells local parts apart by it.
fn same_address(a: &EmailAddress, b: &EmailAddress) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_checked_field_by_field() {
        let good =
            NewOrder { accession_number: " A1 ".into(), patient_id: "p".into(), ..NewOrder::default() };
        let request = read(&good).unwrap();
        assert_eq!((request.accession_number.as_str(), request.priority), ("A1", Lane::Routine));
        let with = |change: fn(&mut NewOrder)| {
            let mut order = good.clone();
            change(&mut order);
            read(&order)
        };
        for (outcome, expected) in [
            (with(|o| o.accession_number = " ".into()), InvalidOrder::Missing("accession_number")),
            (with(|o| o.patient_id = "x".repeat(65)), InvalidOrder::TooLong("patient_id")),
            (with(|o| o.priority = Some("asap".into())), InvalidOrder::Priority),
            (with(|o| o.scheduled = Some("02.03.2026".into())), InvalidOrder::Scheduled),
            (with(|o| o.reason = Some("x".repeat(4001))), InvalidOrder::TooLong("reason")),
            (
                with(|o| o.physician = Some(NewPhysician { name: " ".into(), ..NewPhysician::default() })),
                InvalidOrder::Missing("the physician's name"),
            ),
        ] {
            assert_eq!(outcome.unwrap_err(), expected);
        }
        let stat = with(|o| {
            o.priority = Some(" STAT".into());
            o.scheduled = Some("20260302".into());
            o.patient_name = Some("Jane Doe".into());
        })
        .unwrap();
        assert_eq!(stat.priority, Lane::Stat);
        assert_eq!(stat.scheduled, Some(jiff::civil::date(2026, 3, 2)));
        assert_eq!(stat.patient_name.unwrap().as_str(), "Doe^Jane");
        assert_eq!(read_email(Some("nobody")), Err(InvalidOrder::Email));
    }
}
