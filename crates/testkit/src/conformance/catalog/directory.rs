//! Centres, people, programs, sessions, physicians, secrets.

use std::sync::Arc;

use domain::{
    audit::Actor,
    centre::{Centre, CentrePolicy, MailDetail},
    digest::Sha256Digest,
    id::{CentreId, PersonId, PhysicianId, TokenId},
    person::{Person, Physician, Role, Scope, Session, Token},
    port::{Catalog, ChangeError, catalog::DirectoryRefusal},
    text::{CharacterSetRule, PersonName},
};
use futures::future::join_all;

use super::world::{add_centre, address, ae, at, centre_named, person_named};

/// A centre comes back as it was put; it is found by the titles that it lists, others by the centre that takes all.
pub async fn centres_are_found_by_ae_title(catalog: Arc<dyn Catalog>) {
    let mut north = centre_named("north");
    north.policy = CentrePolicy {
        ae_titles: vec![ae("CT_1"), ae("CT_2")],
        accept_any_ae: false,
        quiet_period: domain::Duration::from_millis(1500),
        mail_detail: MailDetail::AccessionNumber,
        delivery_deadline: domain::Duration::from_mins(7),
        acknowledgement_deadline: domain::Duration::from_hours(3),
        keeps_unreadable: true,
        character_set: CharacterSetRule::new("\\ISO 2022 IR 87", true),
    };
    let south = Centre { contact: None, phone: None, address: Vec::new(), ..centre_named("south") };
    for centre in [&south, &north] {
        catalog.put_centre(centre, &Actor::Operator, at(0)).await.unwrap();
    }
    assert_eq!(catalog.centre(&north.id).await.unwrap().as_ref(), Some(&north));
    assert_eq!(catalog.centres().await.unwrap(), [north.clone(), south.clone()]);
    assert_eq!(catalog.centre_of_ae(&ae("CT_2")).await.unwrap().as_ref(), Some(&north));
    assert_eq!(catalog.centre_of_ae(&ae("ct_2")).await.unwrap(), None, "titles have case");

    let mut any = south.clone();
    any.policy.accept_any_ae = true;
    catalog.put_centre(&any, &Actor::Operator, at(1)).await.unwrap();
    assert_eq!(catalog.centre_of_ae(&ae("OTHER")).await.unwrap().as_ref(), Some(&any));
    assert_eq!(catalog.centre_of_ae(&ae("CT_1")).await.unwrap().as_ref(), Some(&north));

    north.policy.ae_titles = vec![ae("CT_2")];
    catalog.put_centre(&north, &Actor::Operator, at(2)).await.unwrap();
    assert_eq!(catalog.centre_of_ae(&ae("CT_1")).await.unwrap().as_ref(), Some(&any));
    assert_eq!(catalog.centre(&CentreId::parse("west").unwrap()).await.unwrap(), None);
}

/// A title means one centre; one centre takes all others; what is refused changes nothing.
pub async fn centres_refuse_what_others_have(catalog: Arc<dyn Catalog>) {
    let mut north = centre_named("north");
    north.policy.ae_titles = vec![ae("CT_1")];
    north.policy.accept_any_ae = true;
    for second in 0..2 {
        catalog.put_centre(&north, &Actor::Operator, at(second)).await.unwrap();
    }
    let mut south = centre_named("south");
    south.policy.ae_titles = vec![ae("CT_9"), ae("CT_1")];
    let refused = catalog.put_centre(&south, &Actor::Operator, at(2)).await.unwrap_err();
    let expected = DirectoryRefusal::AeTaken { ae: ae("CT_1"), centre: north.id.clone() };
    assert!(matches!(refused, ChangeError::Refused(refusal) if refusal == expected));
    south.policy.ae_titles = vec![ae("CT_9")];
    south.policy.accept_any_ae = true;
    let refused = catalog.put_centre(&south, &Actor::Operator, at(2)).await.unwrap_err();
    let expected = DirectoryRefusal::AnyTaken(north.id.clone());
    assert!(matches!(refused, ChangeError::Refused(refusal) if refusal == expected));
    assert_eq!(catalog.centres().await.unwrap(), [north]);
    assert_eq!(catalog.trail(Some(&south.id), 10).await.unwrap(), []);
}

/// Of centres that claim one title at once, one gets it and the others are refused.
pub async fn racing_centres_share_no_title(catalog: Arc<dyn Catalog>) {
    let puts = (0..8).map(|n| {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move {
            let mut centre = centre_named(&format!("centre-{n}"));
            centre.policy.ae_titles = vec![ae("CT_1")];
            catalog.put_centre(&centre, &Actor::Operator, at(0)).await
        })
    });
    let puts: Vec<_> = join_all(puts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(puts.iter().filter(|put| put.is_ok()).count(), 1);
    for refused in puts.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, ChangeError::Refused(DirectoryRefusal::AeTaken { .. })), "{refused:?}");
    }
    assert_eq!(catalog.centres().await.unwrap().len(), 1);
}

/// People are found by login without regard to case; a login means one person; a password stays until another is set.
pub async fn people_sign_in_by_login(catalog: Arc<dyn Catalog>) {
    let north = add_centre(&catalog, "north").await;
    let ada = person_named("Ädá");
    let none = catalog.put_person(&ada, None, &Actor::Operator, at(0)).await.unwrap_err();
    assert!(matches!(none, ChangeError::Refused(DirectoryRefusal::NoPassword)));
    catalog.put_person(&ada, Some("hash-1"), &Actor::Operator, at(0)).await.unwrap();
    let found = catalog.credentials("äDÁ").await.unwrap().unwrap();
    assert_eq!((found.person, found.password_hash.as_str()), (ada.clone(), "hash-1"));

    let ada = Person {
        login: "ada".into(),
        credentials: None,
        role: Role::Admin,
        scope: Scope::Centres(vec![north]),
        disabled: true,
        ..ada
    };
    catalog.put_person(&ada, None, &Actor::Operator, at(1)).await.unwrap();
    let found = catalog.credentials("ADA").await.unwrap().unwrap();
    assert_eq!((found.person, found.password_hash.as_str()), (ada.clone(), "hash-1"));
    assert!(catalog.credentials("Ädá").await.unwrap().is_none());
    catalog.put_person(&ada, Some("hash-2"), &Actor::Operator, at(1)).await.unwrap();
    assert_eq!(catalog.credentials("ada").await.unwrap().unwrap().password_hash, "hash-2");

    let other = Person { login: "ADA".into(), ..person_named("x") };
    let taken = catalog.put_person(&other, Some("h"), &Actor::Operator, at(2)).await.unwrap_err();
    assert!(matches!(taken, ChangeError::Refused(DirectoryRefusal::LoginTaken(_))));
    let bob = Person { scope: Scope::Centres(Vec::new()), ..person_named("Bob") };
    catalog.put_person(&bob, Some("h"), &Actor::Operator, at(2)).await.unwrap();
    assert_eq!(catalog.people().await.unwrap(), [ada.clone(), bob]);
    assert_eq!(catalog.person(ada.id).await.unwrap(), Some(ada));
    assert_eq!(catalog.person(PersonId::fresh()).await.unwrap(), None);
    let actions: Vec<String> =
        catalog.trail(None, 10).await.unwrap().into_iter().map(|line| line.action).collect();
    assert_eq!(actions, ["directory_changed"; 4]);
}

/// A session ends by time, by sign-out, and when its person is disabled; signing in and out is in the audit.
pub async fn sessions_end(catalog: Arc<dyn Catalog>) {
    let ada = person_named("ada");
    catalog.put_person(&ada, Some("hash"), &Actor::Operator, at(0)).await.unwrap();
    let session = |name: &str| Session {
        secret: Sha256Digest::of(name.as_bytes()),
        person: ada.id,
        since: at(0),
        expires: at(100),
    };
    let (one, two) = (session("one"), session("two"));
    for session in [&one, &two] {
        catalog.open_session(session).await.unwrap();
    }
    assert_eq!(catalog.session(one.secret, at(99)).await.unwrap(), Some((one.clone(), ada.clone())));
    assert_eq!(catalog.session(one.secret, at(100)).await.unwrap(), None);
    catalog.extend_session(one.secret, at(200)).await.unwrap();
    let longer = Session { expires: at(200), ..one.clone() };
    assert_eq!(catalog.session(one.secret, at(199)).await.unwrap(), Some((longer, ada.clone())));
    catalog.close_session(one.secret, at(150)).await.unwrap();
    catalog.close_session(one.secret, at(151)).await.unwrap();
    assert_eq!(catalog.session(one.secret, at(150)).await.unwrap(), None);
    assert!(catalog.session(two.secret, at(50)).await.unwrap().is_some());
    let disabled = Person { disabled: true, ..ada.clone() };
    catalog.put_person(&disabled, None, &Actor::Operator, at(50)).await.unwrap();
    assert_eq!(catalog.session(two.secret, at(51)).await.unwrap(), None);
    catalog.put_person(&ada, None, &Actor::Operator, at(52)).await.unwrap();
    assert_eq!(catalog.session(two.secret, at(53)).await.unwrap(), None, "it does not come back");
    let signed_out: Vec<_> = catalog
        .trail(None, 20)
        .await
        .unwrap()
        .into_iter()
        .filter(|line| line.action.starts_with("signed"))
        .map(|line| (line.action, line.actor, line.at))
        .collect();
    let actor = Actor::Person(ada.id).text();
    let line = |action: &str, second| (action.to_owned(), actor.clone(), at(second));
    assert_eq!(signed_out, [line("signed_out", 150), line("signed_in", 0), line("signed_in", 0)]);
}

/// A token opens until it is revoked.
pub async fn tokens_open_until_revoked(catalog: Arc<dyn Catalog>) {
    let centre = add_centre(&catalog, "north").await;
    let token = Token {
        id: TokenId::fresh(),
        secret: Sha256Digest::of(b"token"),
        centre: centre.clone(),
        role: Role::Centre,
        created: at(0),
        revoked: false,
    };
    catalog.put_token(&token, &Actor::Operator).await.unwrap();
    assert_eq!(catalog.token(token.secret).await.unwrap().as_ref(), Some(&token));
    assert_eq!(catalog.token(Sha256Digest::of(b"other")).await.unwrap(), None);
    catalog.put_token(&Token { revoked: true, ..token.clone() }, &Actor::Operator).await.unwrap();
    assert_eq!(catalog.token(token.secret).await.unwrap(), None);
    assert_eq!(catalog.trail(Some(&centre), 10).await.unwrap().len(), 3);
}

/// A physician belongs to a centre and is found by name when only one has it.
pub async fn physicians_are_found_by_name(catalog: Arc<dyn Catalog>) {
    let (north, south) = (add_centre(&catalog, "north").await, add_centre(&catalog, "south").await);
    let physician = |centre: &CentreId, name: &str, email| Physician {
        id: PhysicianId::fresh(),
        centre: centre.clone(),
        name: PersonName::new(name).unwrap(),
        email,
        phone: Some("+49 1".into()),
    };
    let anna = physician(&north, "Weiß^Anna", Some(address("anna@practice.example")));
    let bert = physician(&north, "Alt^Bert", None);
    let other = physician(&south, "Weiß^Anna", None);
    for physician in [&anna, &bert, &other] {
        catalog.put_physician(physician, &Actor::Operator, at(0)).await.unwrap();
    }
    assert_eq!(catalog.physicians(&north).await.unwrap(), [bert, anna.clone()]);
    assert_eq!(catalog.physician(&north, anna.id).await.unwrap().as_ref(), Some(&anna));
    assert_eq!(catalog.physician(&south, anna.id).await.unwrap(), None);
    let name = PersonName::new("Dr Anna Weiß").unwrap();
    assert_eq!(catalog.physician_named(&north, &name).await.unwrap().as_ref(), Some(&anna));
    catalog.put_physician(&physician(&north, "Weiß^Anna", None), &Actor::Operator, at(1)).await.unwrap();
    assert_eq!(catalog.physician_named(&north, &name).await.unwrap(), None, "two of them: no guess");
    let moved = Physician { email: Some(address("new@practice.example")), ..anna };
    catalog.put_physician(&moved, &Actor::Operator, at(2)).await.unwrap();
    assert_eq!(catalog.physician(&north, moved.id).await.unwrap(), Some(moved));
}

/// Everybody who asks for a secret at once gets the same one; another name has another.
pub async fn secrets_are_made_once(catalog: Arc<dyn Catalog>) {
    let asks = (0..12).map(|_| {
        let catalog = Arc::clone(&catalog);
        tokio::spawn(async move { catalog.secret("links").await.unwrap() })
    });
    let secrets: Vec<[u8; 32]> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_ne!(secrets[0], [0; 32]);
    assert_ne!(catalog.secret("other").await.unwrap(), secrets[0]);
}
