//! `telerad centre ae` and `telerad centre show`: what a centre allows its AE titles, and where it is called.

use clap::{Args, ValueEnum};
use domain::{
    audit::Actor,
    centre::Centre,
    digest::Sha256Digest,
    peer::{AllowedServices, CertificateRule, NETWORKS_MAX, Network, PeerAddress, PeerPolicy},
    port::{Catalog, Clock as _},
    text::{AeTitle, CharacterSetRule},
};
use imaging::text::CharacterSets;

use super::{
    directory::{Done, known_centre, refuse},
    say,
};
use crate::clock::MachineClock;

/// What a centre allows an AE title. What is not given is not restricted; an earlier rule is replaced whole.
#[derive(Debug, Args)]
pub struct PeerRules {
    /// Whose AE title.
    centre: String,
    /// The calling AE title. It is added to the centre when it is not there yet.
    title: String,
    /// A network or address that it may call from: `192.0.2.0/24`. May be given several times.
    #[arg(long = "from", value_name = "NETWORK")]
    networks: Vec<String>,
    /// It must come over TLS.
    #[arg(long)]
    require_tls: bool,
    /// SHA-256 fingerprint of the certificate that it must show, as `openssl x509 -fingerprint -sha256` prints it.
    #[arg(long, value_name = "HEX", conflicts_with = "certificate_subject")]
    certificate_sha256: Option<String>,
    /// Subject of the certificate that it must show, as the log prints it: `CN=scanner, O=North Clinic`.
    #[arg(long, value_name = "SUBJECT")]
    certificate_subject: Option<String>,
    /// What it may ask for; storage and commitment when not given.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SERVICE,…")]
    services: Vec<ServiceWord>,
    /// Where it is called, for reports of storage commitment and for images that are moved to it.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// It is called over TLS.
    #[arg(long, requires = "address")]
    address_tls: bool,
    #[command(flatten)]
    texts: TextRules,
}

/// How texts of images are read whose headers say nothing or lie about their character set. It is for lists and pages; bytes stay as they
/// came, and images that are here already stay as they are listed.
#[derive(Debug, Args)]
pub struct TextRules {
    /// The character set where a header names none that is known: a defined term of (0008,0005), `ISO_IR 100`, `GB18030`; several
    /// are joined by a backslash.
    #[arg(long, value_name = "TERMS")]
    assume_character_set: Option<String>,
    /// The character set whatever a header says.
    #[arg(long, value_name = "TERMS", conflicts_with = "assume_character_set")]
    force_character_set: Option<String>,
}

impl TextRules {
    /// The rule, if one is given.
    pub fn rule(&self) -> Result<Option<CharacterSetRule>, Box<dyn std::error::Error>> {
        let (terms, forced) = match (&self.assume_character_set, &self.force_character_set) {
            (Some(terms), _) => (terms, false),
            (None, Some(terms)) => (terms, true),
            (None, None) => return Ok(None),
        };
        match CharacterSetRule::new(terms, forced).filter(|rule| CharacterSets::are_known(rule.terms())) {
            Some(rule) => Ok(Some(rule)),
            None => refuse(format!(
                "{terms:?} is no character set that is read here: ISO_IR 100, ISO_IR 192, GB18030 and `\\ISO 2022 IR 87` are"
            )),
        }
    }
}

/// A service, as the command line spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServiceWord {
    /// Images and the notices that belong to them.
    Storage,
    /// Storage commitment.
    Commitment,
    /// C-FIND: it sees the centre's lists of patients and studies.
    Query,
    /// C-GET and C-MOVE: it gets the centre's images.
    Retrieve,
}

impl PeerRules {
    fn policy(&self) -> Result<PeerPolicy, Box<dyn std::error::Error>> {
        if self.networks.len() > NETWORKS_MAX {
            return refuse(format!("at most {NETWORKS_MAX} networks can be given"));
        }
        let mut networks = Vec::new();
        for text in &self.networks {
            match Network::parse(text) {
                Some(network) => networks.push(network),
                None => return refuse(format!("{text:?} is no network: 192.0.2.0/24 and 2001:db8::/32 are")),
            }
        }
        let certificate = match (&self.certificate_sha256, &self.certificate_subject) {
            (Some(text), _) => match Sha256Digest::parse(&text.replace(':', "").to_lowercase()) {
                Some(fingerprint) => Some(CertificateRule::Fingerprint(fingerprint)),
                None => return refuse("the fingerprint is not 64 hexadecimal digits"),
            },
            (None, Some(subject)) => Some(CertificateRule::Subject(subject.trim().to_owned())),
            (None, None) => None,
        };
        let address = match &self.address {
            None => None,
            Some(text) => match PeerAddress::parse(text, self.address_tls) {
                Some(address) => Some(address),
                None => return refuse(format!("{text:?} is no address: HOST:PORT is")),
            },
        };
        Ok(PeerPolicy {
            networks,
            requires_tls: self.require_tls,
            certificate,
            services: self.allowed(),
            address,
            character_set: self.texts.rule()?,
        })
    }

    fn allowed(&self) -> AllowedServices {
        if self.services.is_empty() {
            return AllowedServices::default();
        }
        let may = |word| self.services.contains(&word);
        AllowedServices {
            storage: may(ServiceWord::Storage),
            commitment: may(ServiceWord::Commitment),
            query: may(ServiceWord::Query),
            retrieve: may(ServiceWord::Retrieve),
        }
    }

    /// Keeps the rules.
    pub async fn run(self, catalog: &dyn Catalog) -> Done {
        let policy = self.policy()?;
        let mut centre = known_centre(catalog, &self.centre).await?;
        let Some(ae) = AeTitle::parse(&self.title) else {
            return refuse(format!("{:?} is no AE title: 1 to 16 plain characters", self.title));
        };
        let now = MachineClock.now();
        if !centre.policy.ae_titles.contains(&ae) {
            centre.policy.ae_titles.push(ae.clone());
            catalog.put_centre(&centre, &Actor::Operator, now).await?;
        }
        catalog.put_peer_policy(&centre.id, &ae, &policy, &Actor::Operator, now).await?;
        show_one(&ae, &policy);
        Ok(())
    }
}

/// Shows a centre and what it allows its AE titles.
pub async fn show(catalog: &dyn Catalog, name: &str) -> Done {
    let Centre { id, name, policy, .. } = known_centre(catalog, name).await?;
    say(format!("{id}\t{name}"));
    say(match policy.keeps_unreadable {
        true => "what cannot be read: is refused, and kept in quarantine",
        false => "what cannot be read: is refused, and not kept",
    });
    say(format!("texts of images: {}", reading(policy.character_set.as_ref())));
    for (ae, policy) in catalog.peer_policies(&id).await? {
        show_one(&ae, &policy);
    }
    if policy.accept_any_ae {
        say("every other AE title: from anywhere; storage, commitment; is not called");
    }
    Ok(())
}

fn reading(rule: Option<&CharacterSetRule>) -> String {
    match rule {
        None => "as their headers say".to_owned(),
        Some(rule) if rule.is_forced() => format!("as {}, whatever their headers say", rule.terms()),
        Some(rule) => format!("as {} where their headers name no character set", rule.terms()),
    }
}

fn show_one(ae: &AeTitle, policy: &PeerPolicy) {
    let from = if policy.networks.is_empty() {
        "anywhere".to_owned()
    } else {
        policy.networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", ")
    };
    let protected = match (&policy.certificate, policy.requires_tls) {
        (Some(CertificateRule::Fingerprint(digest)), _) => format!("over TLS, certificate {digest}"),
        (Some(CertificateRule::Subject(subject)), _) => format!("over TLS, certificate of {subject}"),
        (None, true) => "over TLS".to_owned(),
        (None, false) => "with or without TLS".to_owned(),
    };
    let AllowedServices { storage, commitment, query, retrieve } = policy.services;
    let words = [(storage, "storage"), (commitment, "commitment"), (query, "query"), (retrieve, "retrieve")];
    let services: Vec<&str> = words.into_iter().filter_map(|(may, word)| may.then_some(word)).collect();
    let called = match &policy.address {
        None => "is not called".to_owned(),
        Some(address) if address.tls => format!("is called at {address} over TLS"),
        Some(address) => format!("is called at {address}"),
    };
    let texts = policy.character_set.as_ref().map(|rule| format!("; texts {}", reading(Some(rule))));
    let texts = texts.unwrap_or_default();
    say(format!("{ae}: from {from}; {protected}; {}; {called}{texts}", services.join(", ")));
}
