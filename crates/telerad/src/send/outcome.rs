//! What became of an object or of a whole transfer, and what follows from it: done, refused for good, or worth another try.
//! Here alone is decided which statuses of DIMSE (PS3.4 table B.2-1, PS3.7 annex C) and of HTTP may be different later.

use std::time::Duration;

use dimse::Status;
use intake::receive::STUDY_TAKEN_OUT;

/// HTTP statuses of a receiver that may do later what it does not do now.
const HTTP_LATER: [u16; 8] = [408, 425, 429, 500, 502, 503, 504, 507];
/// HTTP statuses that refuse what one request holds, but not the sender: requests that hold less may pass.
const HTTP_REQUEST: [u16; 6] = [400, 406, 409, 413, 415, 422];

/// Why an object is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What kind of reason it is.
    pub kind: Kind,
    /// The receiver's status, if it gave one: `A700H`, or `503` of HTTP.
    pub status: Option<String>,
    /// In words.
    pub text: String,
}

/// What kind of reason keeps an object from being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The receiver does not want it, however often it is sent.
    Refused,
    /// The file cannot be sent.
    File,
    /// It may be stored when it is sent again.
    Later,
}

/// What a receiver made of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored, with this status.
    Stored(String),
    /// It is not.
    Not(Reason),
}

/// What follows from a failure of a whole transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing more is sent: each further try ends the same way.
    End,
    /// What the request held is refused; smaller requests may tell which object it is.
    Divide,
    /// The same again later, not before the receiver asks for it.
    Later(Option<Duration>),
    /// A file went away or changed: the others go on at once.
    GoOn,
}

impl Reason {
    /// A file that cannot be sent.
    pub fn file(text: impl Into<String>) -> Self {
        Self { kind: Kind::File, status: None, text: text.into() }
    }

    /// An object that the receiver does not take.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, status: None, text: text.into() }
    }

    /// An object that may be taken later.
    pub fn later(text: impl Into<String>) -> Self {
        Self { kind: Kind::Later, status: None, text: text.into() }
    }

    /// What a person does about it.
    pub fn next_step(&self) -> &'static str {
        match (self.kind, self.status.as_deref()) {
            (Kind::Later, _) => "Run the command again later; nothing is stored twice.",
            (Kind::File, _) => "Look at the file, then run the command again.",
            (Kind::Refused, Some("0111H")) => {
                "The receiver holds another object under this UID: ask its operators to look at the conflict."
            }
            (Kind::Refused, Some("0124H")) if self.text.contains(STUDY_TAKEN_OUT) => {
                "Ask an administrator of the archive to bring the study back, or wait until its time is over; then run the command again."
            }
            (Kind::Refused, Some("0124H")) => {
                "Ask the receiver's operators to let this sender store objects."
            }
            (Kind::Refused, Some(status)) if status.starts_with("A9") || status.starts_with('C') => {
                "The receiver cannot make sense of the object: export it again from where it was made, then run the command again."
            }
            (Kind::Refused, _) => {
                "Sending it again does not help: ask the receiver's operators, and tell them the reason."
            }
        }
    }
}

/// What a status of C-STORE says. A receiver out of resources (A7xx, 0213H) or one that stumbled (0110H) is asked again; all other
/// failures are for good.
pub fn of_status(status: Status, comment: Option<&str>) -> Verdict {
    let code = format!("{:04X}H", status.0);
    if status.class().is_stored() {
        return Verdict::Stored(code);
    }
    let kind = match status.0 {
        0xa700..=0xa7ff | 0x0110 | 0x0213 => Kind::Later,
        _ => Kind::Refused,
    };
    let comment = comment.map(|comment| format!(": {}", comment.escape_debug())).unwrap_or_default();
    Verdict::Not(Reason { kind, status: Some(code), text: format!("{status}{comment}") })
}

/// What follows from a status of HTTP that answers a request as a whole.
pub fn of_http(status: u16, wait: Option<Duration>) -> Consequence {
    if HTTP_LATER.contains(&status) {
        Consequence::Later(wait)
    } else if HTTP_REQUEST.contains(&status) {
        Consequence::Divide
    } else {
        Consequence::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_dimse() {
        let cases = [
            (0x0000, None),
            (0xb000, None),
            (0xb007, None),
            (0xa700, Some(Kind::Later)),
            (0xa7ff, Some(Kind::Later)),
            (0x0110, Some(Kind::Later)),
            (0x0213, Some(Kind::Later)),
            (0x0111, Some(Kind::Refused)),
            (0x0122, Some(Kind::Refused)),
            (0x0124, Some(Kind::Refused)),
            (0xa800, Some(Kind::Refused)),
            (0xa900, Some(Kind::Refused)),
            (0xc000, Some(Kind::Refused)),
            (0xc123, Some(Kind::Refused)),
            (0xfe00, Some(Kind::Refused)),
            (0xff00, Some(Kind::Refused)),
        ];
        for (code, expected) in cases {
            let kind = match of_status(Status(code), None) {
                Verdict::Stored(_) => None,
                Verdict::Not(reason) => Some(reason.kind),
            };
            assert_eq!(kind, expected, "{code:04X}");
        }
    }

    #[test]
    fn a_study_that_is_out_is_told_from_a_sender_that_may_not() {
        let refusal = intake::Refusal::TakenOut;
        // An Error Comment is cut at 64 characters.
        let comment: String = refusal.to_string().chars().take(64).collect();
        for (comment, expected) in [
            (Some(comment.as_str()), "bring the study back"),
            (Some("the peer only takes objects in this context"), "let this sender store"),
            (None, "let this sender store"),
        ] {
            let Verdict::Not(reason) = of_status(refusal.status(), comment) else { panic!("{comment:?}") };
            assert_eq!(reason.status.as_deref(), Some("0124H"));
            assert!(reason.next_step().contains(expected), "{comment:?}: {}", reason.next_step());
        }
    }

    #[test]
    fn statuses_of_http() {
        let wait = Some(Duration::from_secs(7));
        let cases = [
            (429, Consequence::Later(wait)),
            (503, Consequence::Later(wait)),
            (502, Consequence::Later(wait)),
            (400, Consequence::Divide),
            (413, Consequence::Divide),
            (409, Consequence::Divide),
            (401, Consequence::End),
            (403, Consequence::End),
            (404, Consequence::End),
            (301, Consequence::End),
        ];
        for (status, expected) in cases {
            assert_eq!(of_http(status, wait), expected, "{status}");
        }
    }
}
