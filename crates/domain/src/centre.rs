//! An imaging centre: the tenant. It owns its AE titles, tokens, orders, studies, contacts and policies.

use crate::{
    Duration,
    id::CentreId,
    text::{AeTitle, CharacterSetRule, EmailAddress},
};

/// An imaging centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Centre {
    /// First part of every key; never changes.
    pub id: CentreId,
    /// The name on letterheads and lists.
    pub name: String,
    /// Lines of the postal address, for the letterhead.
    pub address: Vec<String>,
    /// Telephone for the letterhead and for mails.
    pub phone: Option<String>,
    /// Who hears of a result that reached nobody.
    pub contact: Option<EmailAddress>,
    /// How its images and results are treated.
    pub policy: CentrePolicy,
}

/// How a centre's images and results are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentrePolicy {
    /// Calling AE titles that store for this centre.
    pub ae_titles: Vec<AeTitle>,
    /// Unknown calling AE titles store for this centre too. At most one centre may say so.
    pub accept_any_ae: bool,
    /// How long after the last image a study is taken to be complete, for a first draft.
    pub quiet_period: Duration,
    /// What a mail to a physician may say.
    pub mail_detail: MailDetail,
    /// How long a mail may stay unaccepted before the centre's contact is told.
    pub delivery_deadline: Duration,
    /// How long a signed report may stay unacknowledged before the centre's contact is told.
    pub acknowledgement_deadline: Duration,
    /// Objects that cannot be read are kept in quarantine. Their senders hear of failure all the same.
    pub keeps_unreadable: bool,
    /// How texts of its images are read, unless its AE title has a rule of its own.
    pub character_set: Option<CharacterSetRule>,
}

/// What the body of a mail may say about a patient. The subject never says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailDetail {
    /// Only that a report is ready, and the link.
    LinkOnly,
    /// The accession number beside the link, so that the practice finds its own record.
    AccessionNumber,
}

impl Default for CentrePolicy {
    fn default() -> Self {
        Self {
            ae_titles: Vec::new(),
            accept_any_ae: false,
            quiet_period: Duration::from_secs(10),
            mail_detail: MailDetail::LinkOnly,
            delivery_deadline: Duration::from_mins(30),
            acknowledgement_deadline: Duration::from_hours(24),
            keeps_unreadable: false,
            character_set: None,
        }
    }
}
