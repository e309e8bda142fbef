//! `/api/v1/mailbox`: the embedded mailbox, where mails lie when no mail server is configured. Personal links stand in them, so it is
//! for readers and administrators, each within their centres.

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use domain::{id::MailId, port::catalog::Mail};
use gate::{ErrorBody, PathPart, Problem, Reader};
use mail_parser::{Address, Message, MessageParser, PartType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{bound::tagged, room::Room};

/// Most mails of the list.
const MAILS_MAX: u32 = 200;

/// The embedded mailbox, the latest mail first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailboxView {
    /// A mail server is configured: mails are sent, and this box stays empty.
    sending: bool,
    mails: Vec<MailHeadView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MailHeadView {
    id: String,
    to: String,
    at: String,
    subject: String,
}

/// A mail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailView {
    id: String,
    to: String,
    from: String,
    at: String,
    subject: String,
    message_id: String,
    text: String,
    html: Option<String>,
}

/// The embedded mailbox.
#[utoipa::path(get, path = "/api/v1/mailbox", tag = "results", responses(
    (status = 200, body = MailboxView), (status = 304), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn mailbox(
    State(room): State<Room>,
    Reader(person): Reader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mails = match room.mail_configured {
        true => Vec::new(),
        false => room.catalog.mails(MAILS_MAX).await?,
    };
    let visible = mails.iter().filter(|mail| person.scope().includes(&mail.centre));
    let head = |mail: &Mail| MailHeadView {
        id: mail.id.to_string(),
        to: mail.to.as_str().to_owned(),
        at: mail.at.to_string(),
        subject: parse(mail).map_or_else(String::new, |message| subject(&message)),
    };
    let view = MailboxView { sending: room.mail_configured, mails: visible.map(head).collect() };
    tagged(&headers, &view, &view)
}

/// One mail.
#[utoipa::path(get, path = "/api/v1/mailbox/{id}", tag = "results", params(("id" = String, Path)), responses(
    (status = 200, body = MailView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody)))]
pub(crate) async fn mail(
    State(room): State<Room>,
    Reader(person): Reader,
    PathPart(id): PathPart<String>,
) -> Result<Json<MailView>, Problem> {
    let id = MailId::parse(&id).map_err(|_| Problem::unknown())?;
    let mail = room.catalog.mail(id).await?.ok_or_else(Problem::unknown)?;
    person.require_centre(&mail.centre)?;
    Ok(Json(view(&mail)))
}

fn view(mail: &Mail) -> MailView {
    let message = parse(mail).unwrap_or_default();
    let html = message.html_bodies().find_map(|part| match &part.body {
        PartType::Html(html) => Some(html.to_string()),
        PartType::Text(_)
        | PartType::Binary(_)
        | PartType::InlineBinary(_)
        | PartType::Message(_)
        | PartType::Multipart(_) => None,
    });
    MailView {
        id: mail.id.to_string(),
        to: mail.to.as_str().to_owned(),
        from: message.from().map(addresses).unwrap_or_default(),
        at: mail.at.to_string(),
        subject: subject(&message),
        message_id: message.message_id().unwrap_or_default().to_owned(),
        text: message.body_text(0).map(|text| text.into_owned()).unwrap_or_default(),
        html,
    }
}

fn parse(mail: &Mail) -> Option<Message<'_>> {
    MessageParser::default().parse(&mail.message)
}

fn subject(message: &Message<'_>) -> String {
    message.subject().unwrap_or_default().to_owned()
}

fn addresses(addresses: &Address<'_>) -> String {
    let one = |address: &mail_parser::Addr<'_>| match (address.name(), address.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (None, Some(only)) | (Some(only), None) => only.to_owned(),
        (None, None) => String::new(),
    };
    addresses.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use domain::{id::CentreId, text::EmailAddress};

    use super::*;

    fn mail(message: &str) -> Mail {
        Mail {
            id: MailId::fresh(),
            centre: CentreId::parse("c").unwrap(),
            to: EmailAddress::parse("b@practice.example").unwrap(),
            at: "2026-03-02T08:00:00Z".parse().unwrap(),
            message: message.replace('\n', "\r\n").into_bytes(),
        }
    }

    #[test]
    fn a_mail_with_both_forms_is_read() {
        let view = view(&mail(concat!(
            "From: =?utf-8?q?R=C3=B6ntgen?= <results@centre.example>\nTo: b@practice.example\n",
            "Subject: A report is\n ready\nMessage-ID: <x@centre.example>\nMIME-Version: 1.0\n",
            "Content-Type: multipart/alternative; boundary=\"q\"\n\n",
            "--q\nContent-Type: text/plain; charset=utf-8\n\nRead it.\n",
            "--q\nContent-Type: text/html; charset=utf-8\n\n<p>Read it.</p>\n--q--\n"
        )));
        assert_eq!(view.from, "Röntgen <results@centre.example>");
        assert_eq!(view.subject, "A report is ready");
        assert_eq!(view.message_id, "x@centre.example");
        assert_eq!(view.text.trim(), "Read it.");
        assert_eq!(view.html.as_deref().map(str::trim), Some("<p>Read it.</p>"));
    }

    #[test]
    fn a_mail_without_html_has_none() {
        let view = view(&mail("From: a@b.example\nSubject: x\nContent-Type: text/plain\n\nPlain."));
        assert_eq!((view.from.as_str(), view.text.trim(), view.html), ("a@b.example", "Plain.", None));
    }
}
