//! Identifiers that this product gives. What DICOM gives is in [`crate::uid`].

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Text that is no identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {reason}")]
pub struct InvalidId {
    /// What was asked for, as a person would call it.
    pub kind: &'static str,
    /// What is wrong with the text.
    pub reason: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that a caller made (ids come in as parameters; nothing here draws random numbers).
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// A fresh identifier, ordered by time of making (UUID version 7).
            #[must_use]
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads the hyphenated form.
            ///
            /// # Errors
            /// When the text is no UUID.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId { kind: $kind, reason: "expected a UUID" })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

uuid_id!(
    /// A person who signs in.
    PersonId,
    "person id"
);
uuid_id!(
    /// A physician in a centre's directory, who orders and receives.
    PhysicianId,
    "physician id"
);
uuid_id!(
    /// A bearer token of a program.
    TokenId,
    "token id"
);
uuid_id!(
    /// A request for an examination.
    OrderId,
    "order id"
);
uuid_id!(
    /// One report version on its way to one recipient.
    DeliveryId,
    "delivery id"
);
uuid_id!(
    /// Something that waits for a person.
    TaskId,
    "task id"
);
uuid_id!(
    /// One row of the outbox; the work that a broker carries has the same id, so a repeat is recognised.
    EventId,
    "event id"
);
uuid_id!(
    /// A mail in the embedded mailbox.
    MailId,
    "mail id"
);
uuid_id!(
    /// A request for storage commitment.
    CommitmentId,
    "commitment id"
);
uuid_id!(
    /// Images in one study that name another patient.
    PatientConflictId,
    "conflict id"
);
uuid_id!(
    /// One transfer of a file over the upload page.
    UploadId,
    "upload id"
);
uuid_id!(
    /// Uploads that were sent together; the sender chooses it.
    UploadBatchId,
    "upload batch id"
);
uuid_id!(
    /// A folder in which uploads rest until they are taken in.
    UploadSpoolId,
    "upload spool id"
);
uuid_id!(
    /// An object in quarantine.
    QuarantineId,
    "quarantine id"
);

/// Most characters in a centre's id; it is part of every object key.
pub const CENTRE_ID_CHARS_MAX: usize = 40;

/// A centre, by a short readable name that never changes: lower-case letters, digits and inner hyphens. It is the first
/// part of every object key and of every primary key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CentreId(String);

impl CentreId {
    /// Reads a centre's id.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters than `a-z`, `0-9` and inner hyphens.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let refuse = |reason| Err(InvalidId { kind: "centre id", reason });
        if text.is_empty() || text.len() > CENTRE_ID_CHARS_MAX {
            return refuse("expected 1 to 40 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return refuse("expected lower-case letters, digits and hyphens");
        }
        if text.starts_with('-') || text.ends_with('-') {
            return refuse("a hyphen may not stand first or last");
        }
        Ok(Self(text.to_owned()))
    }

    /// Makes an id from a centre's name: letters and digits lowered, everything else a hyphen.
    ///
    /// # Errors
    /// When the name has no ASCII letter or digit to make one from.
    pub fn from_name(name: &str) -> Result<Self, InvalidId> {
        let mut slug = String::new();
        for c in name.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(CENTRE_ID_CHARS_MAX);
        Self::parse(slug.trim_end_matches('-'))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CentreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CentreId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centre_ids_are_plain() {
        for (text, good) in [
            ("north-clinic", true),
            ("c1", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a/b", false),
            ("..", false),
            (&"a".repeat(41), false),
        ] {
            assert_eq!(CentreId::parse(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_name_becomes_an_id() {
        for (name, id) in [
            ("North Clinic", "north-clinic"),
            ("  St. Mary's  (CT) ", "st-mary-s-ct"),
            ("Ökoklinik 2", "koklinik-2"),
        ] {
            assert_eq!(CentreId::from_name(name).unwrap().as_str(), id);
        }
        assert!(CentreId::from_name("影像中心").is_err());
    }
}
