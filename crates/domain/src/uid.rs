//! DICOM unique identifiers (PS3.5 section 9.1), each kind with its own type so that they cannot be swapped.

use std::{fmt, str::FromStr};

/// Most characters in a UID (PS3.5 section 9.1).
pub const UID_CHARS_MAX: usize = 64;

/// Text that is no UID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} is {problem}")]
pub struct InvalidUid {
    /// The attribute's keyword.
    pub kind: &'static str,
    /// What is wrong.
    pub problem: &'static str,
}

/// Checks the characters and the length. Leading zeros in a component are let through: real scanners write them, and
/// refusing would lose images; what matters is that a UID can be part of a key.
fn checked(kind: &'static str, text: &str) -> Result<String, InvalidUid> {
    let text = text.trim_end_matches(['\0', ' ']);
    let refuse = |problem| Err(InvalidUid { kind, problem });
    if text.is_empty() {
        return refuse("empty");
    }
    if text.len() > UID_CHARS_MAX {
        return refuse("longer than 64 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return refuse("not made of digits and dots");
    }
    if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
        return refuse("missing a component between dots");
    }
    Ok(text.to_owned())
}

macro_rules! uid {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Reads a UID; trailing padding (NUL or space) is dropped.
            ///
            /// # Errors
            /// When it is empty, longer than 64 characters, or not digits and dots.
            pub fn parse(text: &str) -> Result<Self, InvalidUid> {
                checked($kind, text).map(Self)
            }

            /// The UID as text, without padding.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidUid;

            fn from_str(text: &str) -> Result<Self, InvalidUid> {
                Self::parse(text)
            }
        }
    };
}

uid!(
    /// Study Instance UID (0020,000D).
    StudyInstanceUid,
    "StudyInstanceUID"
);
uid!(
    /// Series Instance UID (0020,000E).
    SeriesInstanceUid,
    "SeriesInstanceUID"
);
uid!(
    /// SOP Instance UID (0008,0018).
    SopInstanceUid,
    "SOPInstanceUID"
);
uid!(
    /// SOP Class UID (0008,0016).
    SopClassUid,
    "SOPClassUID"
);
uid!(
    /// Transfer Syntax UID (0002,0010).
    TransferSyntaxUid,
    "TransferSyntaxUID"
);
uid!(
    /// Transaction UID (0008,1195) of a storage commitment.
    TransactionUid,
    "TransactionUID"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_digits_and_dots() {
        for (text, good) in [
            ("1.2.840.10008.1.2.1", true),
            ("1.2.3\0", true),
            ("1.2.3 ", true),
            ("1.02.3", true),
            ("", false),
            ("\0", false),
            ("1..2", false),
            (".1", false),
            ("1.", false),
            ("../../etc", false),
            ("1.2.a", false),
            (&"1".repeat(65), false),
        ] {
            assert_eq!(StudyInstanceUid::parse(text).is_ok(), good, "{text:?}");
        }
        assert_eq!(SopInstanceUid::parse("1.2.3\0").unwrap().as_str(), "1.2.3");
    }
}
