//! The pages as HTML.

use std::sync::LazyLock;

use documents::signed;
use domain::{
    delivery::Recipient,
    digest::Sha256Digest,
    report::{ReportVersion, SectionKind, VersionKind},
};

use super::READER_NAME_CHARS_MAX;
use crate::{facts::Facts, html::Html, mail::moment};

/// The style sheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// Its address changes with its contents, so that browsers may keep it.
static STYLE_MARK: LazyLock<String> = LazyLock::new(|| Sha256Digest::of(STYLE.as_bytes()).short());

/// What the page of a report shows.
pub(super) struct Page<'a> {
    /// The delivery behind the link.
    pub delivery: &'a domain::delivery::Delivery,
    /// What is known around its version.
    pub facts: &'a Facts,
    /// The link's secret, for the links on the page.
    pub secret: &'a str,
    /// Whether the PDF is ready.
    pub has_pdf: bool,
    /// What was wrong with the form, if it was sent.
    pub complaint: Option<&'static str>,
}

/// The page of a report.
pub(super) fn report(page: &Page<'_>) -> String {
    let facts = page.facts;
    let mut html = Html::default();
    head(&mut html, "Radiology report");
    letterhead(&mut html, facts);
    html.raw("<main>");
    notes(&mut html, page);
    title(&mut html, facts);
    patient(&mut html, facts);
    for later in facts.later.iter().rev() {
        version(&mut html, page, later, Place::Later);
    }
    version(&mut html, page, &facts.version, Place::Own);
    acknowledgement(&mut html, page);
    for earlier in facts.earlier.iter().rev() {
        version(&mut html, page, earlier, Place::Earlier);
    }
    html.raw("</main><footer><p>This page is meant for ").text(page.delivery.recipient.name());
    html.raw(" alone. Please do not pass its link on.</p></footer></body></html>\n");
    html.into_string()
}

/// A page with one thing to say.
pub(super) fn notice(title: &str, words: &str) -> String {
    let mut html = Html::default();
    head(&mut html, title);
    html.raw("<main class=\"notice\"><h1>").text(title).raw("</h1><p>").text(words);
    html.raw("</p></main></body></html>\n");
    html.into_string()
}

/// Where a version stands on the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Signed after the one that the link is for.
    Later,
    /// The one that the link is for.
    Own,
    /// Signed before it.
    Earlier,
}

fn head(html: &mut Html, title: &str) {
    html.raw(concat!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light\">",
        "<meta name=\"format-detection\" content=\"telephone=no\"><title>",
    ));
    html.text(title).raw("</title><link rel=\"stylesheet\" href=\"/r/style.css?v=").text(&STYLE_MARK);
    html.raw("\"></head><body>");
}

fn letterhead(html: &mut Html, facts: &Facts) {
    let centre = &facts.centre;
    html.raw("<header><p class=\"centre\">").text(&centre.name).raw("</p>");
    if !centre.address.is_empty() || centre.phone.is_some() {
        html.raw("<address>");
        for (index, line) in centre.address.iter().enumerate() {
            html.raw(if index == 0 { "<span>" } else { "<br><span>" }).text(line).raw("</span>");
        }
        if let Some(phone) = &centre.phone {
            html.raw(if centre.address.is_empty() { "" } else { "<br>" });
            telephone(html, phone);
        }
        html.raw("</address>");
    }
    html.raw("</header>");
}

fn telephone(html: &mut Html, phone: &str) {
    let dialled: String = phone.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    html.raw("<a href=\"tel:").text(&dialled).raw("\">").text(phone).raw("</a>");
}

/// What a reader must know before the report.
fn notes(html: &mut Html, page: &Page<'_>) {
    let facts = page.facts;
    if !facts.is_intact() {
        html.raw("<p class=\"note alarm\" role=\"alert\"><strong>Do not rely on this text.</strong> It does not match ");
        html.raw("the radiologist’s signature. Please telephone the imaging centre.</p>");
    }
    if let Some(latest) = facts.later.last() {
        html.raw("<p class=\"note new\" role=\"status\"><strong>There is a newer version.</strong> ");
        html.text(&latest.signature.signer_name)
            .raw(" added to this report on ")
            .text(&moment(latest.signature.at));
        html.raw(". It <a href=\"#version-")
            .number(latest.number)
            .raw("\">stands first</a> on this page.</p>");
    }
    if let Recipient::CentreContact { .. } = page.delivery.recipient {
        html.raw("<p class=\"note\">This report was sent to the physician who asked for it");
        if let Some(name) = facts.physician_name() {
            html.raw(", ").text(&name).raw(",");
        }
        html.raw(" and may not have been read. Please make sure that they know the result, then confirm below.</p>");
    }
}

fn title(html: &mut Html, facts: &Facts) {
    let examination = signed::examination_name(&facts.study, facts.order.as_ref());
    html.raw("<h1>");
    if examination.is_empty() {
        html.raw("Radiology report");
    } else {
        html.text(&examination);
    }
    html.raw("</h1>");
}

fn patient(html: &mut Html, facts: &Facts) {
    let attributes = &facts.study.attributes;
    let born = attributes.patient_birth_date.map(|date| date.strftime("%-d %B %Y").to_string());
    let accession = signed::accession_number(&facts.study, facts.order.as_ref()).map(str::to_owned);
    let rows = [
        ("Patient", attributes.patient_name.as_ref().map(signed::person_name)),
        ("Born", born),
        ("Sex", attributes.patient_sex.as_deref().map(|code| signed::sex(code).to_owned())),
        ("Patient ID", attributes.patient_id.as_ref().map(|id| id.as_str().to_owned())),
        ("Examined", examined(facts)),
        ("Accession number", accession),
        ("Asked for by", facts.physician_name()),
    ];
    html.raw("<dl class=\"facts\">");
    for (label, value) in rows {
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        html.raw(match label {
            "Patient" => "<div class=\"wide\"><dt>",
            "Asked for by" => "<div class=\"broad\"><dt>",
            _ => "<div><dt>",
        })
        .raw(label);
        html.raw("</dt><dd><bdi>").text(&value).raw("</bdi></dd></div>");
    }
    html.raw("</dl>");
}

fn examined(facts: &Facts) -> Option<String> {
    let date = facts.study.attributes.study_date?;
    let at = signed::performed_at(&facts.study);
    let time = at.split_once(' ').map_or_else(String::new, |(_, time)| format!(", {time}"));
    Some(date.strftime("%-d %B %Y").to_string() + &time)
}

fn version(html: &mut Html, page: &Page<'_>, version: &ReportVersion, place: Place) {
    html.raw(match place {
        Place::Later => "<article class=\"version later\" id=\"version-",
        Place::Own => "<article class=\"version own\" id=\"version-",
        Place::Earlier => "<article class=\"version earlier\" id=\"version-",
    });
    html.number(version.number).raw("\"><p class=\"kind\">").raw(match (version.kind, place) {
        (VersionKind::Final, Place::Earlier) => "Earlier report",
        (VersionKind::Final, Place::Later | Place::Own) => "Final report",
        (VersionKind::Addendum, Place::Earlier) => "Earlier addendum",
        (VersionKind::Addendum, Place::Later) => "Newer addendum",
        (VersionKind::Addendum, Place::Own) => "Addendum",
    });
    html.raw(" <span>version ").number(version.number).raw(", signed ").text(&moment(version.signature.at));
    html.raw("</span></p>");
    sections(html, version);
    pictures(html, page, version, place);
    signature(html, version);
    if place == Place::Own {
        actions(html, page);
    }
    html.raw("</article>");
}

/// The impression first, since it is what most readers open the page for; then the rest in order.
fn sections(html: &mut Html, version: &ReportVersion) {
    let spoken = || version.content.sections.iter().filter(|section| !section.text.trim().is_empty());
    let is_impression = |kind| kind == SectionKind::Impression;
    let impression = spoken().filter(|section| is_impression(section.kind));
    let rest = spoken().filter(|section| !is_impression(section.kind));
    for section in impression.chain(rest) {
        html.raw(if is_impression(section.kind) {
            "<section class=\"impression\"><h2>"
        } else {
            "<section><h2>"
        });
        html.raw(section.kind.title()).raw("</h2>");
        for paragraph in signed::paragraphs(&section.text) {
            html.raw("<p dir=\"auto\">").text(&paragraph).raw("</p>");
        }
        html.raw("</section>");
    }
}

fn pictures(html: &mut Html, page: &Page<'_>, version: &ReportVersion, place: Place) {
    if version.key_images.is_empty() {
        return;
    }
    html.raw("<section class=\"pictures\"><h2>Key images</h2><div>");
    for (number, image) in (1_u32..).zip(&version.key_images) {
        let mut address = Html::default();
        address.raw("/r/").text(page.secret);
        if place != Place::Own {
            address.raw("/versions/").number(version.number);
        }
        address.raw("/key-images/").number(number);
        let (width, height) = image.size;
        html.raw("<figure><a href=\"").html(&address).raw("\"><img src=\"").html(&address).raw("\" alt=\"");
        html.text(&image.caption).raw("\" width=\"").number(width).raw("\" height=\"").number(height);
        html.raw("\" loading=\"lazy\"></a><figcaption>").text(&image.caption).raw("</figcaption></figure>");
    }
    html.raw("</div></section>");
}

fn signature(html: &mut Html, version: &ReportVersion) {
    let signed = &version.signature;
    html.raw("<section class=\"signature\"><p>Electronically signed by <strong>").text(&signed.signer_name);
    html.raw("</strong>");
    if let Some(credentials) = &signed.signer_credentials {
        html.raw(", ").text(credentials);
    }
    html.raw("<br>").text(&moment(signed.at)).raw("<br>“").raw(version.kind.meaning()).raw("”</p>");
    html.raw("<p class=\"seal\">").number(signed.images.count);
    html.raw(if signed.images.count == 1 { " image" } else { " images" })
        .raw(" read · version ")
        .number(version.number);
    html.raw(" · hash ").text(&signed.hash.short()).raw("</p></section>");
}

fn actions(html: &mut Html, page: &Page<'_>) {
    html.raw("<p class=\"actions\">");
    if page.has_pdf {
        html.raw("<a href=\"/r/").text(page.secret).raw("/report.pdf\">Open as PDF</a>");
    } else {
        html.raw("The PDF is being prepared; reload this page in a minute to get it.");
    }
    html.raw("</p>");
}

fn acknowledgement(html: &mut Html, page: &Page<'_>) {
    if let Some(done) = &page.delivery.acknowledgement {
        html.raw("<section class=\"acknowledgement done\" id=\"acknowledgement\"><h2>Read</h2><p><strong>");
        html.text(&done.by).raw("</strong> confirmed on ").text(&moment(done.at));
        html.raw(" that they have read this report. Thank you.</p></section>");
        return;
    }
    html.raw("<section class=\"acknowledgement\" id=\"acknowledgement\"><h2>Please confirm</h2><p>");
    html.text(&page.facts.centre.name).raw(" needs to know that this report has been read.</p>");
    html.raw("<form method=\"post\" action=\"/r/").text(page.secret).raw("/acknowledge\">");
    html.raw("<label for=\"name\">Your name</label>");
    html.raw("<input id=\"name\" name=\"name\" type=\"text\" required autocomplete=\"name\" maxlength=\"");
    html.number(READER_NAME_CHARS_MAX as u64).raw("\" value=\"");
    match &page.delivery.recipient {
        Recipient::Physician { name, .. } => html.text(name),
        Recipient::CentreContact { .. } => html.raw(""),
    };
    html.raw("\"");
    if let Some(complaint) = page.complaint {
        html.raw(
            " aria-invalid=\"true\" aria-describedby=\"complaint\"><p class=\"complaint\" id=\"complaint\">",
        );
        html.text(complaint).raw("</p>");
    } else {
        html.raw(">");
    }
    html.raw("<button type=\"submit\">I have read this report</button></form></section>");
}
