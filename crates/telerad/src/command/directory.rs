//! `telerad centre`, `user`, `token`, `physician`: the directory from the command line of the server.

use std::{io::Read as _, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use domain::{
    Duration,
    audit::Actor,
    centre::{Centre, CentrePolicy, MailDetail},
    id::{CentreId, PersonId, PhysicianId, TokenId},
    person::{Person, Physician, Role, Scope, Token},
    port::{Catalog, Clock},
    text::{AeTitle, EmailAddress},
};

use crate::{
    clock::MachineClock,
    command::{
        self,
        peer::{self, PeerRules},
        say,
    },
    settings::Settings,
    wiring,
};

/// Imaging centres.
#[derive(Debug, Subcommand)]
pub enum CentreCommand {
    /// Add a centre, or change one that is there.
    Add(CentreAdd),
    /// List the centres.
    List,
    /// Say what a centre allows an AE title, and where it is called.
    Ae(PeerRules),
    /// Show what a centre allows its AE titles.
    Show {
        /// Which.
        centre: String,
    },
}

/// What is known of a centre.
#[derive(Debug, Args)]
pub struct CentreAdd {
    /// The name on letterheads and lists.
    name: String,
    /// The short id in addresses and object keys; made from the name when not given. It can never change.
    #[arg(long)]
    id: Option<String>,
    /// A calling AE title that stores for this centre. May be given several times.
    #[arg(long = "ae", value_name = "TITLE")]
    ae_titles: Vec<String>,
    /// Take unknown calling AE titles too. Only one centre can.
    #[arg(long)]
    accept_any_ae: bool,
    /// A line of the postal address. May be given several times.
    #[arg(long, value_name = "LINE")]
    address: Vec<String>,
    /// The telephone on letterheads and in mails.
    #[arg(long)]
    phone: Option<String>,
    /// Who hears of a result that reached nobody.
    #[arg(long, value_name = "MAIL")]
    contact: Option<String>,
    /// Seconds without a new image after which a study is taken to be complete.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    quiet_period: u32,
    /// Let mails name the accession number. Without it they hold nothing about the patient.
    #[arg(long)]
    mail_accession_number: bool,
    /// Minutes in which a mail server must have accepted a mail.
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    delivery_minutes: u32,
    /// Minutes in which a person must have acknowledged a report.
    #[arg(long, value_name = "MINUTES", default_value_t = 1440)]
    acknowledgement_minutes: u32,
    /// Keep objects that cannot be read in quarantine, for a person to look at. Their senders hear of failure all the same.
    #[arg(long)]
    keep_unreadable: bool,
    #[command(flatten)]
    texts: peer::TextRules,
}

/// People who sign in.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a person. Prints a password as the last line, unless one comes by `--password-stdin`.
    Add(UserAdd),
    /// Give a person a new password, printed as the last line unless it comes by `--password-stdin`.
    Password {
        /// Who.
        login: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Disable a person; their sessions are over at once.
    Disable {
        /// Who.
        login: String,
    },
    /// List the people.
    List,
}

/// What is known of a person.
#[derive(Debug, Args)]
pub struct UserAdd {
    /// What they type to sign in.
    login: String,
    /// The name on pages and reports, for example `Dr Ada Moreau`.
    #[arg(long)]
    name: String,
    /// What stands behind the name on a report.
    #[arg(long)]
    credentials: Option<String>,
    /// What they may do.
    #[arg(long, value_enum)]
    role: RoleWord,
    /// A centre whose studies they see; all when not given. May be given several times.
    #[arg(long = "centre", value_name = "CENTRE")]
    centres: Vec<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// Tokens of programs.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. It is printed once, as the last line.
    Create {
        /// For which centre.
        #[arg(long)]
        centre: String,
        /// What it may do there.
        #[arg(long, value_enum)]
        role: RoleWord,
    },
}

/// Physicians who order and receive.
#[derive(Debug, Subcommand)]
pub enum PhysicianCommand {
    /// Add a physician.
    Add {
        /// In which centre's directory.
        #[arg(long)]
        centre: String,
        /// The name: `Jane Doe`, or as DICOM has it, `Doe^Jane`.
        #[arg(long)]
        name: String,
        /// Where results go.
        #[arg(long)]
        email: Option<String>,
        /// For the person who calls when mail fails.
        #[arg(long)]
        phone: Option<String>,
    },
    /// List a centre's physicians.
    List {
        /// Whose.
        #[arg(long)]
        centre: String,
    },
}

/// A role, as the command line spells it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleWord {
    /// Sends images and orders.
    Centre,
    /// Reads and signs.
    Reader,
    /// Also manages.
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Centre => Self::Centre,
            RoleWord::Reader => Self::Reader,
            RoleWord::Admin => Self::Admin,
        }
    }
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// What a command gives.
pub type Done = Result<(), Box<dyn std::error::Error>>;

/// Ends a command with a reason.
pub fn refuse<T>(reason: impl Into<String>) -> Result<T, Box<dyn std::error::Error>> {
    Err(Box::new(Refused(reason.into())))
}

fn finish(done: Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => command::fail(error.as_ref()),
    }
}

/// `telerad centre`.
pub async fn centre(settings: &Settings, command: CentreCommand) -> ExitCode {
    finish(run_centre(settings, command).await)
}

async fn run_centre(settings: &Settings, command: CentreCommand) -> Done {
    let catalog: std::sync::Arc<dyn Catalog> = wiring::open_catalog(settings).await?;
    match command {
        CentreCommand::List => {
            for centre in catalog.centres().await? {
                let titles: Vec<_> = centre.policy.ae_titles.iter().map(AeTitle::as_str).collect();
                let any = if centre.policy.accept_any_ae { ", and unknown AE titles" } else { "" };
                say(format!("{}\t{}\tAE titles: {}{any}", centre.id, centre.name, titles.join(" ")));
            }
        }
        CentreCommand::Add(add) => {
            let id = add.id.as_deref().map_or_else(|| CentreId::from_name(&add.name), CentreId::parse)?;
            let mut ae_titles = Vec::new();
            for title in &add.ae_titles {
                let Some(title) = AeTitle::parse(title) else {
                    return refuse(format!("{title:?} is no AE title: 1 to 16 plain characters"));
                };
                ae_titles.push(title);
            }
            let contact = email(add.contact.as_deref())?;
            let character_set = add.texts.rule()?;
            let detail =
                if add.mail_accession_number { MailDetail::AccessionNumber } else { MailDetail::LinkOnly };
            let centre = Centre {
                id,
                name: add.name,
                address: add.address,
                phone: add.phone,
                contact,
                policy: CentrePolicy {
                    ae_titles,
                    accept_any_ae: add.accept_any_ae,
                    quiet_period: Duration::from_secs(i64::from(add.quiet_period)),
                    mail_detail: detail,
                    delivery_deadline: Duration::from_mins(i64::from(add.delivery_minutes)),
                    acknowledgement_deadline: Duration::from_mins(i64::from(add.acknowledgement_minutes)),
                    keeps_unreadable: add.keep_unreadable,
                    character_set,
                },
            };
            catalog.put_centre(&centre, &Actor::Operator, MachineClock.now()).await?;
            say(format!("Centre {} is there. Its id is {}.", centre.name, centre.id));
        }
        CentreCommand::Ae(rules) => rules.run(catalog.as_ref()).await?,
        CentreCommand::Show { centre } => peer::show(catalog.as_ref(), &centre).await?,
    }
    Ok(())
}

/// `telerad user`.
pub async fn user(settings: &Settings, command: UserCommand) -> ExitCode {
    finish(run_user(settings, command).await)
}

async fn run_user(settings: &Settings, command: UserCommand) -> Done {
    let catalog: std::sync::Arc<dyn Catalog> = wiring::open_catalog(settings).await?;
    match command {
        UserCommand::List => {
            for person in catalog.people().await? {
                let state = if person.disabled { "disabled" } else { "" };
                say(format!("{}\t{}\t{}\t{state}", person.login, person.name, person.role.as_str()));
            }
        }
        UserCommand::Add(add) => {
            let scope = if add.centres.is_empty() {
                Scope::AllCentres
            } else {
                let mut centres = Vec::new();
                for name in &add.centres {
                    centres.push(known_centre(catalog.as_ref(), name).await?.id);
                }
                Scope::Centres(centres)
            };
            let person = Person {
                id: PersonId::fresh(),
                login: add.login,
                name: add.name,
                credentials: add.credentials,
                role: add.role.into(),
                scope,
                disabled: false,
            };
            put_person(catalog.as_ref(), &person, add.password_stdin).await?;
        }
        UserCommand::Password { login, password_stdin } => {
            let person = known_person(catalog.as_ref(), &login).await?;
            put_person(catalog.as_ref(), &person, password_stdin).await?;
        }
        UserCommand::Disable { login } => {
            let person = Person { disabled: true, ..known_person(catalog.as_ref(), &login).await? };
            catalog.put_person(&person, None, &Actor::Operator, MachineClock.now()).await?;
            say(format!("{login} is disabled, and every session of theirs is over."));
        }
    }
    Ok(())
}

async fn put_person(catalog: &dyn Catalog, person: &Person, password_stdin: bool) -> Done {
    let (password, is_ours) = if password_stdin {
        let mut text = String::new();
        std::io::stdin().take(1024).read_to_string(&mut text)?;
        (text.trim_end_matches(['\r', '\n']).to_owned(), false)
    } else {
        (gate::random_password(), true)
    };
    gate::check_password(&password)?;
    let hash = gate::hash_password(&password).await?;
    catalog.put_person(person, Some(&hash), &Actor::Operator, MachineClock.now()).await?;
    say(format!("{} can sign in as {}.", person.name, person.login));
    if is_ours {
        say("The password is shown once:");
        say(password);
    }
    Ok(())
}

/// `telerad token`.
pub async fn token(settings: &Settings, command: TokenCommand) -> ExitCode {
    finish(run_token(settings, command).await)
}

async fn run_token(settings: &Settings, command: TokenCommand) -> Done {
    let catalog: std::sync::Arc<dyn Catalog> = wiring::open_catalog(settings).await?;
    let TokenCommand::Create { centre, role } = command;
    let centre = known_centre(catalog.as_ref(), &centre).await?;
    let (text, secret) = gate::fresh_token();
    let token = Token {
        id: TokenId::fresh(),
        secret,
        centre: centre.id,
        role: role.into(),
        created: MachineClock.now(),
        revoked: false,
    };
    catalog.put_token(&token, &Actor::Operator).await?;
    say("The token is shown once:");
    say(text);
    Ok(())
}

/// `telerad physician`.
pub async fn physician(settings: &Settings, command: PhysicianCommand) -> ExitCode {
    finish(run_physician(settings, command).await)
}

async fn run_physician(settings: &Settings, command: PhysicianCommand) -> Done {
    let catalog: std::sync::Arc<dyn Catalog> = wiring::open_catalog(settings).await?;
    match command {
        PhysicianCommand::List { centre } => {
            let centre = known_centre(catalog.as_ref(), &centre).await?;
            for physician in catalog.physicians(&centre.id).await? {
                let mail = physician.email.as_ref().map_or("no mail address", EmailAddress::as_str);
                say(format!("{}\t{}\t{mail}", physician.id, physician.name.display()));
            }
        }
        PhysicianCommand::Add { centre, name, email: address, phone } => {
            let centre = known_centre(catalog.as_ref(), &centre).await?;
            let Some(name) = orders::person_name(&name) else { return refuse("the name is empty") };
            let known = catalog.physician_named(&centre.id, &name).await?;
            let physician = Physician {
                id: known.map_or_else(PhysicianId::fresh, |known| known.id),
                centre: centre.id,
                name,
                email: email(address.as_deref())?,
                phone,
            };
            catalog.put_physician(&physician, &Actor::Operator, MachineClock.now()).await?;
            say(format!("{} is in the directory of {}.", physician.name.display(), centre.name));
        }
    }
    Ok(())
}

/// A centre by its id or its name.
pub async fn known_centre(catalog: &dyn Catalog, name: &str) -> Result<Centre, Box<dyn std::error::Error>> {
    let centres = catalog.centres().await?;
    let found = centres.into_iter().find(|centre| centre.id.as_str() == name || centre.name == name);
    match found {
        Some(centre) => Ok(centre),
        None => refuse(format!(
            "there is no centre {name}: `telerad centre list` shows them, `telerad centre add` makes one"
        )),
    }
}

async fn known_person(catalog: &dyn Catalog, login: &str) -> Result<Person, Box<dyn std::error::Error>> {
    match catalog.credentials(login).await? {
        Some(credentials) => Ok(credentials.person),
        None => refuse(format!("nobody has the login {login}: `telerad user list` shows who is there")),
    }
}

fn email(text: Option<&str>) -> Result<Option<EmailAddress>, Box<dyn std::error::Error>> {
    match text {
        None => Ok(None),
        Some(text) => match EmailAddress::parse(text) {
            Some(address) => Ok(Some(address)),
            None => refuse(format!("{text:?} is no mail address")),
        },
    }
}
