//! What a mail says: that there is a report, where it is, what to do; never what it says nor about whom. The one thing that a centre
//! may choose to add is the accession number.

use std::time::SystemTime;

use domain::{
    Timestamp,
    id::{CentreId, DeliveryId},
    text::EmailAddress,
};
use lettre::{
    Address, Message,
    address::AddressError,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use crate::html::Html;

/// A mail that is ready to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// The delivery that it is an attempt of.
    pub delivery: DeliveryId,
    /// Whose centre writes.
    pub centre: CentreId,
    /// Envelope sender.
    pub sender: Address,
    /// Envelope recipient.
    pub recipient: Address,
    /// The recipient as the catalog has it.
    pub to: EmailAddress,
    /// When the delivery was opened; every attempt has the same Date.
    pub at: Timestamp,
    /// The message as it goes over the wire (RFC 5322).
    pub message: Vec<u8>,
}

/// Why no mail can be made.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The address cannot stand in a mail.
    #[error("the recipient's address cannot be used")]
    Address(#[source] AddressError),
    /// Some header cannot be written.
    #[error("the mail cannot be written")]
    Write(#[source] lettre::error::Error),
}

/// What a letter is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A report, to the physician who asked for it.
    Report,
    /// An addendum, to the physician who asked for the report.
    Addendum,
    /// A delivery that failed or was not acknowledged, to the centre's contact.
    Escalation {
        /// What happened to it.
        reason: Silence,
        /// Whom it was for.
        physician: String,
        /// Where they are reached.
        phone: Option<String>,
    },
}

/// What happened to a delivery that is escalated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// No mail server took it in time.
    NotAccepted,
    /// A mail server refused it for good.
    Refused,
    /// It was taken, and nobody acknowledged it in time.
    NotAcknowledged,
}

/// What goes into a mail. There is no place in it for anything about a patient but the accession number.
#[derive(Debug, Clone)]
pub(crate) struct Letter<'a> {
    pub delivery: DeliveryId,
    pub centre: &'a CentreId,
    pub centre_name: &'a str,
    pub centre_phone: Option<&'a str>,
    pub from: &'a Mailbox,
    pub to: &'a EmailAddress,
    pub to_name: &'a str,
    pub subject: Subject,
    pub link: &'a str,
    pub accession_number: Option<&'a str>,
    pub at: Timestamp,
    pub acknowledge_by: Timestamp,
}

/// A part of the body, for both its forms.
enum Block {
    Paragraph(String),
    Button { label: &'static str, url: String },
    Fine(String),
}

impl Subject {
    /// The words in the header: constants, since they stand in lists, notifications and the logs of mail servers.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Report => "A radiology report is ready",
            Self::Addendum => "An addendum to a radiology report is ready",
            Self::Escalation { .. } => "Radiology report not yet acknowledged",
        }
    }
}

/// A moment as a person reads it.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// Makes the mail. The same letter gives the same bytes, so that a repeat is known by its Message-ID and is nothing new.
pub(crate) fn compose(letter: &Letter<'_>) -> Result<OutgoingMail, ComposeError> {
    let recipient: Address = letter.to.as_str().parse().map_err(ComposeError::Address)?;
    let to_name = domain::text::bounded(letter.to_name);
    let blocks = blocks(letter);
    let body = MultiPart::alternative()
        .boundary(format!("=_{}", letter.delivery))
        .singlepart(SinglePart::plain(text(&blocks, letter)))
        .singlepart(SinglePart::html(html(&blocks, letter)));
    let constant =
        |name, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
    let message = Message::builder()
        .from(letter.from.clone())
        .to(Mailbox::new((!to_name.is_empty()).then_some(to_name), recipient.clone()))
        .subject(letter.subject.words())
        .date(SystemTime::from(letter.at))
        .message_id(Some(format!("<{}@{}>", letter.delivery, letter.from.email.domain())))
        // RFC 3834: no out-of-office note answers this; Exchange heeds its own header instead.
        .raw_header(constant("Auto-Submitted", "auto-generated"))
        .raw_header(constant("X-Auto-Response-Suppress", "OOF, AutoReply"))
        .multipart(body)
        .map_err(ComposeError::Write)?;
    Ok(OutgoingMail {
        delivery: letter.delivery,
        centre: letter.centre.clone(),
        sender: letter.from.email.clone(),
        recipient,
        to: letter.to.clone(),
        at: letter.at,
        message: message.formatted(),
    })
}

fn blocks(letter: &Letter<'_>) -> Vec<Block> {
    let by = moment(letter.acknowledge_by);
    let button = |label| Block::Button { label, url: letter.link.to_owned() };
    let confirm = |who: &str| {
        Block::Paragraph(format!(
            "At the end of the page, please press “I have read this report” by {by}. Only then does {} know that it has \
             reached {who}.",
            letter.centre_name
        ))
    };
    let mut blocks = match &letter.subject {
        Subject::Report => vec![
            Block::Paragraph("A radiology report that you asked for has been signed.".to_owned()),
            button("Open the report"),
            confirm("you"),
        ],
        Subject::Addendum => vec![
            Block::Paragraph(
                "The radiologist has added to a radiology report that you asked for. Please read the addendum; the report \
                 that it adds to is on the same page."
                    .to_owned(),
            ),
            button("Open the addendum"),
            confirm("you"),
        ],
        Subject::Escalation { reason, physician, phone } => {
            let why = match reason {
                Silence::NotAccepted => format!("No mail server has taken our mail to {physician}."),
                Silence::Refused => format!("The mail server refused our mail to {physician}."),
                Silence::NotAcknowledged => format!("{physician} has not confirmed that they have read it."),
            };
            let phone = phone.as_ref().map_or_else(String::new, |phone| format!(" ({phone})"));
            vec![
                Block::Paragraph(format!("A signed radiology report may not have been read yet. {why}")),
                Block::Paragraph(format!(
                    "Please telephone {physician}{phone} and make sure that they know the result."
                )),
                button("Open the report"),
                confirm("somebody who acts on it"),
            ]
        }
    };
    if let Some(number) = letter.accession_number {
        blocks.push(Block::Paragraph(format!("Accession number: {number}")));
    }
    let phone = letter.centre_phone.map_or_else(String::new, |phone| format!(" ({phone})"));
    blocks.push(Block::Fine(format!(
        "The link is meant for {} alone; please do not pass it on. If this mail is not for you, do not open the link: tell \
         {}{phone} and delete the mail.",
        letter.to_name, letter.centre_name
    )));
    blocks
}

fn text(blocks: &[Block], letter: &Letter<'_>) -> String {
    let mut parts = vec![format!("Dear {},", letter.to_name)];
    parts.extend(blocks.iter().map(|block| match block {
        Block::Paragraph(words) | Block::Fine(words) => words.clone(),
        Block::Button { label, url } => format!("{label}:\n{url}"),
    }));
    parts.push(
        [Some(letter.centre_name), letter.centre_phone].into_iter().flatten().collect::<Vec<_>>().join("\n"),
    );
    parts.join("\n\n") + "\n"
}

fn html(blocks: &[Block], letter: &Letter<'_>) -> String {
    let mut html = Html::default();
    html.raw(concat!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8">"#,
        r#"<meta name="viewport" content="width=device-width, initial-scale=1">"#,
        r#"</head><body style="margin:0;background:#f4f6f7">"#,
        r#"<div style="max-width:34rem;margin:0 auto;padding:2rem 1.5rem;background:#fff;color:#1c2529;"#,
        r#"font:16px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">"#,
        r#"<p style="margin:0 0 1.25rem">Dear "#,
    ));
    html.text(letter.to_name).raw(",</p>");
    for block in blocks {
        match block {
            Block::Paragraph(words) => {
                html.raw(r#"<p style="margin:0 0 1.25rem">"#).text(words).raw("</p>");
            }
            Block::Button { label, url } => {
                html.raw(r#"<p style="margin:0 0 1.25rem"><a href=""#).text(url).raw(concat!(
                    r#"" style="display:inline-block;padding:.75rem 1.25rem;border-radius:.375rem;"#,
                    r#"background:#0b5c6b;color:#fff;font-weight:600;text-decoration:none">"#
                ));
                html.text(label).raw("</a></p>");
            }
            Block::Fine(words) => {
                html.raw(r#"<p style="margin:0 0 1.25rem;font-size:14px;color:#55636a">"#)
                    .text(words)
                    .raw("</p>");
            }
        }
    }
    html.raw(r#"<p style="margin:0;padding-top:1rem;border-top:1px solid #d9e0e3"><b>"#)
        .text(letter.centre_name);
    html.raw("</b>");
    if let Some(phone) = letter.centre_phone {
        html.raw("<br>").text(phone);
    }
    html.raw("</p></div></body></html>\n");
    html.into_string()
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    const LINK: &str = "https://reports.example.org/r/abcdefghijklmnopqrstuvwxyz012345";

    fn write(to_name: &str, subject: Subject, centre_name: &str) -> OutgoingMail {
        let from = Mailbox::new(Some("Northgate Röntgen".into()), "reports@example.org".parse().unwrap());
        let to = EmailAddress::parse("jane@practice.example").unwrap();
        compose(&Letter {
            delivery: DeliveryId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
            centre: &CentreId::parse("north").unwrap(),
            centre_name,
            centre_phone: Some("+44 1224 555 0140"),
            from: &from,
            to: &to,
            to_name,
            subject,
            link: LINK,
            accession_number: None,
            at: "2026-03-02T08:12:31Z".parse().unwrap(),
            acknowledge_by: "2026-03-03T08:12:31Z".parse().unwrap(),
        })
        .unwrap()
    }

    fn escalation() -> Subject {
        Subject::Escalation {
            reason: Silence::NotAcknowledged,
            physician: "Dr Jane Doe".into(),
            phone: Some("555 1".into()),
        }
    }

    #[test]
    fn a_mail_can_be_read_by_others() {
        let mail = write("Dr Jürgen Müller 山田", Subject::Report, "Northgate");
        assert!(mail.message.is_ascii(), "no server needs an extension for it");
        let read = MessageParser::default().parse(&mail.message).unwrap();
        assert_eq!(read.subject(), Some("A radiology report is ready"));
        assert_eq!(read.message_id(), Some("01890a5d-ac96-774b-bcce-b302099a8057@example.org"));
        assert_eq!(read.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        assert_eq!(read.date().unwrap().to_rfc3339(), "2026-03-02T08:12:31Z");
        let to = read.to().unwrap().first().unwrap();
        assert_eq!((to.name(), to.address()), (Some("Dr Jürgen Müller 山田"), Some("jane@practice.example")));
        for body in [read.body_text(0).unwrap(), read.body_html(0).unwrap()] {
            for part in [LINK, "3 March 2026, 08:12 UTC", "+44 1224 555 0140", "Northgate", "not for you"] {
                assert!(body.contains(part), "{part} in {body}");
            }
        }
        assert_eq!(
            write("Dr Jürgen Müller 山田", Subject::Report, "Northgate"),
            mail,
            "a repeat is the same mail"
        );
    }

    #[test]
    fn each_kind_has_its_words() {
        let words = |subject| {
            let mail = write("Dr Jane Doe", subject, "Northgate");
            let read = MessageParser::default().parse(&mail.message).unwrap();
            (read.subject().unwrap().to_owned(), read.body_text(0).unwrap().into_owned())
        };
        let (subject, body) = words(Subject::Addendum);
        assert!(subject.starts_with("An addendum") && body.contains("has added to"), "{body}");
        let (subject, body) = words(escalation());
        assert_eq!(subject, "Radiology report not yet acknowledged");
        assert!(body.contains("Dr Jane Doe (555 1)"), "{body}");
    }

    #[test]
    fn names_add_neither_headers_nor_markup() {
        for evil in [
            "Dr\r\nBcc: evil@example.org\r\n\r\nx",
            "\"x\" <evil@example.org>, y",
            "a, b; <script>alert(1)</script>\r\n.\r\nQUIT",
            "=?utf-8?q?=0d=0aBcc:_evil?=",
        ] {
            let mail = write(evil, escalation(), evil);
            let read = MessageParser::default().parse(&mail.message).unwrap();
            let plain = write("x", escalation(), "x");
            let expected = MessageParser::default().parse(&plain.message).unwrap();
            let names = |message: &mail_parser::Message<'_>| -> Vec<String> {
                message.headers().iter().map(|header| header.name().to_owned()).collect()
            };
            assert_eq!(names(&read), names(&expected));
            assert_eq!(read.to().unwrap().iter().count(), 1);
            assert_eq!(read.parts.len(), expected.parts.len());
            assert!(!read.body_html(0).unwrap().contains("<script"));
        }
    }
}
