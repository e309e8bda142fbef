//! Centres, people, programs, sessions, physicians, secrets.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    centre::{Centre, CentrePolicy, MailDetail},
    digest::Sha256Digest,
    id::{CentreId, PersonId, PhysicianId, TokenId},
    person::{Credentials, Person, Physician, Role, Scope, Session, Token},
    port::catalog::{ChangeError, Directory, DirectoryRefusal, Known},
    text::{AeTitle, CharacterSetRule, EmailAddress, PersonName},
};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, snapshot, transact},
    error::Problem,
    sql::{Columns as _, Sql, json},
    trail::{Line, audit},
};

const fn detail_word(detail: MailDetail) -> &'static str {
    match detail {
        MailDetail::LinkOnly => "link_only",
        MailDetail::AccessionNumber => "accession_number",
    }
}

fn read_detail(word: &str) -> Option<MailDetail> {
    [MailDetail::LinkOnly, MailDetail::AccessionNumber]
        .into_iter()
        .find(|detail| detail_word(*detail) == word)
}

pub(crate) async fn changed(
    connection: &mut AnyConnection,
    by: &Actor,
    centre: Option<&CentreId>,
    detail: &str,
    at: Timestamp,
) -> Result<(), Problem> {
    let line = Line { actor: by, action: Action::DirectoryChanged, centre, study: None, detail, at };
    audit(connection, line).await
}

async fn refusal_of_centre(
    change: &mut Change,
    centre: &Centre,
) -> Result<Option<DirectoryRefusal>, Problem> {
    if !centre.policy.ae_titles.is_empty() {
        let mut sql = Sql::new("SELECT centre, ae FROM centre_ae WHERE centre <> ");
        sql.value(&centre.id).push(" AND ae IN ").list(&centre.policy.ae_titles).push(" ORDER BY ae");
        if let Some(row) = sql.first(change).await? {
            return Ok(Some(DirectoryRefusal::AeTaken {
                ae: row.parsed("ae", AeTitle::parse)?,
                centre: row.centre("centre")?,
            }));
        }
    }
    if !centre.policy.accept_any_ae {
        return Ok(None);
    }
    let other = Sql::new("SELECT id FROM centre WHERE accept_any_ae = 1 AND id <> $1").bind(&centre.id);
    other.first(change).await?.map(|row| Ok(DirectoryRefusal::AnyTaken(row.centre("id")?))).transpose()
}

async fn put_centre(
    change: &mut Change,
    centre: &Centre,
    by: &Actor,
    at: Timestamp,
) -> Result<Result<(), DirectoryRefusal>, Problem> {
    if let Some(refusal) = refusal_of_centre(change, centre).await? {
        return Ok(Err(refusal));
    }
    let policy = &centre.policy;
    Sql::new(
        "INSERT INTO centre (id, name, address, phone, contact, accept_any_ae, quiet_period, mail_detail,
                             delivery_deadline, acknowledgement_deadline, keeps_unreadable, character_set)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, phone = excluded.phone,
             contact = excluded.contact, accept_any_ae = excluded.accept_any_ae,
             quiet_period = excluded.quiet_period, mail_detail = excluded.mail_detail,
             delivery_deadline = excluded.delivery_deadline,
             acknowledgement_deadline = excluded.acknowledgement_deadline,
             keeps_unreadable = excluded.keeps_unreadable, character_set = excluded.character_set",
    )
    .bind(&centre.id)
    .bind(&centre.name)
    .bind(json(&centre.address))
    .bind(&centre.phone)
    .bind(&centre.contact)
    .bind(policy.accept_any_ae)
    .bind(policy.quiet_period)
    .bind(detail_word(policy.mail_detail))
    .bind(policy.delivery_deadline)
    .bind(policy.acknowledgement_deadline)
    .bind(policy.keeps_unreadable)
    .bind(policy.character_set.as_ref().map(ToString::to_string))
    .execute(change)
    .await?;
    // What is allowed to a title stays with it as long as the centre lists it.
    let mut gone = Sql::new("DELETE FROM centre_ae WHERE centre = ");
    gone.value(&centre.id);
    if !policy.ae_titles.is_empty() {
        gone.push(" AND ae NOT IN ").list(&policy.ae_titles);
    }
    gone.execute(change).await?;
    for ae in &policy.ae_titles {
        Sql::new("INSERT INTO centre_ae (centre, ae) VALUES ($1, $2) ON CONFLICT (centre, ae) DO NOTHING")
            .bind(&centre.id)
            .bind(ae)
            .execute(change)
            .await?;
    }
    changed(change, by, Some(&centre.id), "centre", at).await?;
    Ok(Ok(()))
}

fn centre_of(row: &AnyRow, ae_titles: Vec<AeTitle>) -> Result<Centre, Problem> {
    Ok(Centre {
        id: row.centre("id")?,
        name: row.text("name")?,
        address: row.json("address")?,
        phone: row.text_maybe("phone")?,
        contact: row.parsed_maybe("contact", EmailAddress::parse)?,
        policy: CentrePolicy {
            ae_titles,
            accept_any_ae: row.flag("accept_any_ae")?,
            quiet_period: row.duration("quiet_period")?,
            mail_detail: row.parsed("mail_detail", read_detail)?,
            delivery_deadline: row.duration("delivery_deadline")?,
            acknowledgement_deadline: row.duration("acknowledgement_deadline")?,
            keeps_unreadable: row.flag("keeps_unreadable")?,
            character_set: row.parsed_maybe("character_set", CharacterSetRule::parse)?,
        },
    })
}

async fn ae_titles(connection: &mut AnyConnection, centre: &str) -> Result<Vec<AeTitle>, Problem> {
    let rows =
        Sql::new("SELECT ae FROM centre_ae WHERE centre = $1 ORDER BY ae").bind(centre).all(connection);
    rows.await?.iter().map(|row| row.parsed("ae", AeTitle::parse)).collect()
}

async fn centres(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<Centre>, Problem> {
    let mut centres = Vec::new();
    for row in sql.all(connection).await? {
        let ae_titles = ae_titles(connection, &row.text("id")?).await?;
        centres.push(centre_of(&row, ae_titles)?);
    }
    Ok(centres)
}

pub(crate) async fn one_centre(connection: &mut AnyConnection, sql: Sql) -> Result<Option<Centre>, Problem> {
    Ok(centres(connection, sql).await?.into_iter().next())
}

async fn put_person(
    change: &mut Change,
    person: &Person,
    password_hash: Option<&str>,
    by: &Actor,
    at: Timestamp,
) -> Result<Result<(), DirectoryRefusal>, Problem> {
    let login_lower = person.login.to_lowercase();
    let taken = Sql::new("SELECT id FROM person WHERE login_lower = $1 AND id <> $2")
        .bind(&login_lower)
        .bind(person.id);
    if taken.first(change).await?.is_some() {
        return Ok(Err(DirectoryRefusal::LoginTaken(person.login.clone())));
    }
    let known =
        Sql::new("SELECT password_hash FROM person WHERE id = $1").bind(person.id).first(change).await?;
    let password_hash = match (password_hash, known) {
        (Some(hash), _) => hash.to_owned(),
        (None, Some(row)) => row.text("password_hash")?,
        (None, None) => return Ok(Err(DirectoryRefusal::NoPassword)),
    };
    let scope = match &person.scope {
        Scope::AllCentres => None,
        Scope::Centres(centres) => Some(json(&centres.iter().map(CentreId::as_str).collect::<Vec<_>>())),
    };
    Sql::new(
        "INSERT INTO person (id, login, login_lower, name, credentials, role, scope, disabled, password_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET login = excluded.login, login_lower = excluded.login_lower,
             name = excluded.name, credentials = excluded.credentials, role = excluded.role, scope = excluded.scope,
             disabled = excluded.disabled, password_hash = excluded.password_hash",
    )
    .bind(person.id)
    .bind(&person.login)
    .bind(&login_lower)
    .bind(&person.name)
    .bind(&person.credentials)
    .bind(person.role.as_str())
    .bind(scope)
    .bind(person.disabled)
    .bind(password_hash)
    .execute(change)
    .await?;
    if person.disabled {
        Sql::new("DELETE FROM session WHERE person = $1").bind(person.id).execute(change).await?;
    }
    changed(change, by, None, &format!("person {}", person.id), at).await?;
    Ok(Ok(()))
}

fn read_scope(text: &str) -> Option<Scope> {
    let centres: Vec<String> = serde_json::from_str(text).ok()?;
    Some(Scope::Centres(centres.iter().map(|id| CentreId::parse(id).ok()).collect::<Option<_>>()?))
}

fn person_of(row: &AnyRow) -> Result<Person, Problem> {
    Ok(Person {
        id: row.parsed("id", |text| PersonId::parse(text).ok())?,
        login: row.text("login")?,
        name: row.text("name")?,
        credentials: row.text_maybe("credentials")?,
        role: row.parsed("role", Role::parse)?,
        scope: row.parsed_maybe("scope", read_scope)?.unwrap_or(Scope::AllCentres),
        disabled: row.flag("disabled")?,
    })
}

async fn person(connection: &mut AnyConnection, id: PersonId) -> Result<Option<Person>, Problem> {
    let row = Sql::new("SELECT * FROM person WHERE id = $1").bind(id).first(connection).await?;
    row.as_ref().map(person_of).transpose()
}

/// Name and credentials of a person, for a signature.
pub(crate) async fn signer(
    connection: &mut AnyConnection,
    id: PersonId,
) -> Result<Option<(String, Option<String>)>, Problem> {
    Ok(person(connection, id).await?.map(|person| (person.name, person.credentials)))
}

async fn open_session(change: &mut Change, session: &Session) -> Result<(), Problem> {
    Sql::new("DELETE FROM session WHERE expires <= $1").bind(session.since).execute(change).await?;
    Sql::new("INSERT INTO session (secret, person, since, expires) VALUES ($1, $2, $3, $4)")
        .bind(session.secret)
        .bind(session.person)
        .bind(session.since)
        .bind(session.expires)
        .execute(change)
        .await?;
    sign_in_audit(change, session.person, Action::SignedIn, session.since).await
}

async fn sign_in_audit(
    change: &mut Change,
    person: PersonId,
    action: Action,
    at: Timestamp,
) -> Result<(), Problem> {
    let line = Line { actor: &Actor::Person(person), action, centre: None, study: None, detail: "", at };
    audit(change, line).await
}

async fn session(
    connection: &mut AnyConnection,
    secret: Sha256Digest,
    now: Timestamp,
) -> Result<Option<(Session, Person)>, Problem> {
    let row = Sql::new(
        "SELECT p.*, s.since, s.expires FROM session s JOIN person p ON p.id = s.person
         WHERE s.secret = $1 AND s.expires > $2 AND p.disabled = 0",
    )
    .bind(secret)
    .bind(now)
    .first(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let person = person_of(&row)?;
    let session =
        Session { secret, person: person.id, since: row.time("since")?, expires: row.time("expires")? };
    Ok(Some((session, person)))
}

async fn close_session(change: &mut Change, secret: Sha256Digest, at: Timestamp) -> Result<(), Problem> {
    let closed = Sql::new("DELETE FROM session WHERE secret = $1 RETURNING person").bind(secret);
    let Some(row) = closed.first(change).await? else { return Ok(()) };
    let person = row.parsed("person", |text| PersonId::parse(text).ok())?;
    sign_in_audit(change, person, Action::SignedOut, at).await
}

async fn put_token(change: &mut Change, token: &Token, by: &Actor) -> Result<(), Problem> {
    Sql::new(
        "INSERT INTO token (centre, id, secret, role, created, revoked) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (centre, id) DO UPDATE SET secret = excluded.secret, role = excluded.role,
             created = excluded.created, revoked = excluded.revoked",
    )
    .bind(&token.centre)
    .bind(token.id)
    .bind(token.secret)
    .bind(token.role.as_str())
    .bind(token.created)
    .bind(token.revoked)
    .execute(change)
    .await?;
    let detail = format!("token {}{}", token.id, if token.revoked { " revoked" } else { "" });
    changed(change, by, Some(&token.centre), &detail, token.created).await
}

async fn token(connection: &mut AnyConnection, secret: Sha256Digest) -> Result<Option<Token>, Problem> {
    let row =
        Sql::new("SELECT * FROM token WHERE secret = $1 AND revoked = 0").bind(secret).first(connection);
    let Some(row) = row.await? else { return Ok(None) };
    Ok(Some(Token {
        id: row.parsed("id", |text| TokenId::parse(text).ok())?,
        secret,
        centre: row.centre("centre")?,
        role: row.parsed("role", Role::parse)?,
        created: row.time("created")?,
        revoked: row.flag("revoked")?,
    }))
}

async fn put_physician(
    change: &mut Change,
    physician: &Physician,
    by: &Actor,
    at: Timestamp,
) -> Result<(), Problem> {
    Sql::new(
        "INSERT INTO physician (centre, id, name, email, phone) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (centre, id) DO UPDATE SET name = excluded.name, email = excluded.email,
             phone = excluded.phone",
    )
    .bind(&physician.centre)
    .bind(physician.id)
    .bind(&physician.name)
    .bind(&physician.email)
    .bind(&physician.phone)
    .execute(change)
    .await?;
    changed(change, by, Some(&physician.centre), &format!("physician {}", physician.id), at).await
}

async fn physicians(connection: &mut AnyConnection, sql: Sql) -> Result<Vec<Physician>, Problem> {
    let read = |row: &AnyRow| {
        Ok(Physician {
            id: row.parsed("id", |text| PhysicianId::parse(text).ok())?,
            centre: row.centre("centre")?,
            name: row.parsed("name", PersonName::new)?,
            email: row.parsed_maybe("email", EmailAddress::parse)?,
            phone: row.text_maybe("phone")?,
        })
    };
    sql.all(connection).await?.iter().map(read).collect()
}

async fn known_secret(connection: &mut AnyConnection, name: &str) -> Result<Option<[u8; 32]>, Problem> {
    let row = Sql::new("SELECT value FROM secret WHERE name = $1").bind(name).first(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let value = row.bytes("value")?.try_into().map_err(|_| Problem::Unreadable { column: "value" })?;
    Ok(Some(value))
}

async fn make_secret(change: &mut Change, name: &str) -> Result<[u8; 32], Problem> {
    let fresh: [u8; 32] = rand::random();
    Sql::new("INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(fresh.to_vec())
        .execute(change)
        .await?;
    known_secret(change, name).await?.ok_or(Problem::Missing("secret"))
}

#[async_trait]
impl Directory for SqlCatalog {
    async fn put_centre(
        &self,
        centre: &Centre,
        by: &Actor,
        at: Timestamp,
    ) -> Result<(), ChangeError<DirectoryRefusal>> {
        let put = transact!(self, "keeping a centre", |change| put_centre(change, centre, by, at));
        self.identities().centres.forget();
        put.map_err(ChangeError::Catalog)?.map_err(ChangeError::Refused)
    }

    async fn centre(&self, id: &CentreId) -> Known<Option<Centre>> {
        let ask = async {
            let sql = Sql::new("SELECT * FROM centre WHERE id = $1").bind(id);
            snapshot!(self, "looking up a centre", |connection| one_centre(connection, sql))
        };
        self.identities().centres.or_ask(id.clone(), ask).await
    }

    async fn centres(&self) -> Known<Vec<Centre>> {
        let sql = Sql::new("SELECT * FROM centre ORDER BY name, id");
        snapshot!(self, "listing centres", |connection| centres(connection, sql))
    }

    async fn centre_of_ae(&self, ae: &AeTitle) -> Known<Option<Centre>> {
        let sql = Sql::new(
            "SELECT c.*, 0 AS rank FROM centre_ae a JOIN centre c ON c.id = a.centre WHERE a.ae = $1
             UNION ALL SELECT c.*, 1 AS rank FROM centre c WHERE c.accept_any_ae = 1
             ORDER BY rank LIMIT 1",
        )
        .bind(ae);
        snapshot!(self, "looking up a centre by AE title", |connection| one_centre(connection, sql))
    }

    async fn put_person(
        &self,
        person: &Person,
        password_hash: Option<&str>,
        by: &Actor,
        at: Timestamp,
    ) -> Result<(), ChangeError<DirectoryRefusal>> {
        let put = transact!(self, "keeping a person", |change| {
            put_person(change, person, password_hash, by, at)
        });
        self.identities().sessions.forget();
        put.map_err(ChangeError::Catalog)?.map_err(ChangeError::Refused)
    }

    async fn person(&self, id: PersonId) -> Known<Option<Person>> {
        read!(self, "looking up a person", |connection| person(connection, id))
    }

    async fn people(&self) -> Known<Vec<Person>> {
        read!(self, "listing people", |connection| async {
            let rows = Sql::new("SELECT * FROM person ORDER BY login_lower").all(connection).await?;
            rows.iter().map(person_of).collect()
        })
    }

    async fn credentials(&self, login: &str) -> Known<Option<Credentials>> {
        let sql = Sql::new("SELECT * FROM person WHERE login_lower = $1").bind(login.to_lowercase());
        read!(self, "looking up credentials", |connection| async {
            let Some(row) = sql.first(connection).await? else { return Ok(None) };
            Ok(Some(Credentials { person: person_of(&row)?, password_hash: row.text("password_hash")? }))
        })
    }

    async fn open_session(&self, session: &Session) -> Known<()> {
        transact!(self, "opening a session", |change| open_session(change, session))
    }

    async fn session(&self, secret: Sha256Digest, now: Timestamp) -> Known<Option<(Session, Person)>> {
        let ask =
            async { read!(self, "looking up a session", |connection| session(connection, secret, now)) };
        let found = self.identities().sessions.or_ask(secret, ask).await?;
        Ok(found.filter(|(session, _)| session.expires > now))
    }

    async fn extend_session(&self, secret: Sha256Digest, expires: Timestamp) -> Known<()> {
        let extended = transact!(self, "extending a session", |change| async {
            let sql =
                Sql::new("UPDATE session SET expires = $2 WHERE secret = $1").bind(secret).bind(expires);
            sql.execute(change).await
        });
        self.identities().sessions.forget();
        extended.map(drop)
    }

    async fn close_session(&self, secret: Sha256Digest, at: Timestamp) -> Known<()> {
        let closed = transact!(self, "closing a session", |change| close_session(change, secret, at));
        self.identities().sessions.forget();
        closed
    }

    async fn put_token(&self, token: &Token, by: &Actor) -> Known<()> {
        let kept = transact!(self, "keeping a token", |change| put_token(change, token, by));
        self.identities().tokens.forget();
        kept
    }

    async fn token(&self, secret: Sha256Digest) -> Known<Option<Token>> {
        let ask = async { read!(self, "looking up a token", |connection| token(connection, secret)) };
        self.identities().tokens.or_ask(secret, ask).await
    }

    async fn put_physician(&self, physician: &Physician, by: &Actor, at: Timestamp) -> Known<()> {
        transact!(self, "keeping a physician", |change| put_physician(change, physician, by, at))
    }

    async fn physician(&self, centre: &CentreId, id: PhysicianId) -> Known<Option<Physician>> {
        let sql = Sql::new("SELECT * FROM physician WHERE centre = $1 AND id = $2").bind(centre).bind(id);
        let found = read!(self, "looking up a physician", |connection| physicians(connection, sql));
        Ok(found?.into_iter().next())
    }

    async fn physicians(&self, centre: &CentreId) -> Known<Vec<Physician>> {
        let sql = Sql::new("SELECT * FROM physician WHERE centre = $1 ORDER BY name, id").bind(centre);
        read!(self, "listing physicians", |connection| physicians(connection, sql))
    }

    async fn secret(&self, name: &str) -> Known<[u8; 32]> {
        let known = read!(self, "reading a secret", |connection| known_secret(connection, name));
        if let Some(secret) = known? {
            return Ok(secret);
        }
        transact!(self, "making a secret", |change| make_secret(change, name))
    }
}
