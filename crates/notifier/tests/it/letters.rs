//! What mails say, and above all what they never say.

use std::sync::Arc;

use domain::{
    Duration,
    centre::MailDetail,
    delivery::AttemptOutcome,
    id::MailId,
    port::{Catalog, catalog::Deliveries as _},
};
use mail_parser::MessageParser;
use notifier::{EmbeddedMailbox, Mailer as _};

use crate::world::{PATIENT_WORDS, World};

/// Everything that can be read in a mail: the wire, and each part decoded.
fn everything(message: &[u8]) -> Vec<String> {
    let parsed = MessageParser::default().parse(message).unwrap();
    let mut texts = vec![String::from_utf8_lossy(message).into_owned()];
    texts.extend(parsed.headers().iter().map(|header| format!("{:?}", header.value())));
    texts.extend((0..parsed.text_body_count()).map(|n| parsed.body_text(n).unwrap().into_owned()));
    texts.extend((0..parsed.html_body_count()).map(|n| parsed.body_html(n).unwrap().into_owned()));
    texts
}

/// A report, an addendum and an escalation of each.
async fn all_kinds(world: &World) -> Vec<Vec<u8>> {
    world.order(Some(world.physician.id), None).await;
    world.sign("sarcoid with a nodule of 9 mm", Vec::new()).await;
    world.pump().await;
    world.sign("the nodule is new", Vec::new()).await;
    world.pump().await;
    world.pass(Duration::from_hours(25), Duration::from_hours(1)).await;
    let mails: Vec<_> = world.mails().into_iter().map(|mail| mail.message).collect();
    assert_eq!(mails.len(), 4);
    mails
}

#[tokio::test]
async fn a_mail_says_nothing_about_the_patient() {
    let world = World::new().await;
    for message in all_kinds(&world).await {
        for text in everything(&message) {
            for word in PATIENT_WORDS {
                assert!(!text.to_lowercase().contains(&word.to_lowercase()), "{word} in {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_centre_may_choose_to_tell_the_accession_number() {
    let world = World::with(|centre| centre.policy.mail_detail = MailDetail::AccessionNumber).await;
    for message in all_kinds(&world).await {
        let parsed = MessageParser::default().parse(&message).unwrap();
        assert!(parsed.body_text(0).unwrap().contains("Accession number: ACC-9981"));
        assert!(!parsed.subject().unwrap().contains("ACC-9981"));
        for text in everything(&message) {
            for word in PATIENT_WORDS.iter().filter(|word| **word != "ACC-9981") {
                assert!(!text.to_lowercase().contains(&word.to_lowercase()), "{word} in {text}");
            }
        }
    }
}

#[tokio::test]
async fn tasks_and_audit_say_nothing_about_the_patient_either() {
    let world = World::new().await;
    all_kinds(&world).await;
    for task in world.tasks().await {
        let text = format!("{} {}", task.reason, task.next_step).to_lowercase();
        for word in PATIENT_WORDS {
            assert!(!text.contains(&word.to_lowercase()), "{word} in {text}");
        }
    }
}

#[tokio::test]
async fn the_embedded_mailbox_keeps_a_mail_once() {
    let world = World::new().await;
    world.sign("A nodule.", Vec::new()).await;
    world.pump().await;
    let [mail] = world.mails().try_into().unwrap();
    let catalog: Arc<dyn Catalog> = world.catalog.clone();
    let mailbox = EmbeddedMailbox::new(catalog);
    for _ in 0..2 {
        let outcome = mailbox.send(&mail).await;
        assert!(matches!(outcome, AttemptOutcome::Accepted { by } if by.contains("not sent")));
    }
    let kept = world.catalog.mails(10).await.unwrap();
    let [kept] = kept.try_into().unwrap();
    assert_eq!((kept.id, kept.message), (MailId::from_uuid(*mail.delivery.as_uuid()), mail.message.clone()));
    assert!(!mailbox.is_sending());
}
