//! What centres allow their AE titles.

use async_trait::async_trait;
use domain::{
    Timestamp,
    audit::Actor,
    digest::Sha256Digest,
    id::CentreId,
    peer::{AllowedServices, CertificateRule, KnownPeer, Network, PeerAddress, PeerPolicy},
    port::catalog::{Known, Peers},
    text::{AeTitle, CharacterSetRule},
};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, any::AnyRow};

use crate::{
    SqlCatalog,
    database::{Change, read, snapshot, transact},
    directory::{changed, one_centre},
    error::Problem,
    sql::{Columns as _, Sql, json},
};

/// [`PeerPolicy`] as `centre_ae.policy` holds it.
#[derive(Serialize, Deserialize)]
struct WirePolicy {
    networks: Vec<String>,
    requires_tls: bool,
    certificate: Option<WireCertificate>,
    storage: bool,
    commitment: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    query: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retrieve: bool,
    address: Option<WireAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    character_set: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "by", content = "is", rename_all = "snake_case")]
enum WireCertificate {
    Fingerprint(String),
    Subject(String),
}

#[derive(Serialize, Deserialize)]
struct WireAddress {
    host: String,
    port: u16,
    tls: bool,
}

impl WirePolicy {
    fn new(policy: &PeerPolicy) -> Self {
        let certificate = policy.certificate.as_ref().map(|rule| match rule {
            CertificateRule::Fingerprint(digest) => WireCertificate::Fingerprint(digest.to_string()),
            CertificateRule::Subject(subject) => WireCertificate::Subject(subject.clone()),
        });
        let address = policy.address.clone();
        Self {
            networks: policy.networks.iter().map(Network::to_string).collect(),
            requires_tls: policy.requires_tls,
            certificate,
            storage: policy.services.storage,
            commitment: policy.services.commitment,
            query: policy.services.query,
            retrieve: policy.services.retrieve,
            address: address.map(|PeerAddress { host, port, tls }| WireAddress { host, port, tls }),
            character_set: policy.character_set.as_ref().map(ToString::to_string),
        }
    }

    /// `None` when a value is not what it should be: a rule that cannot be read must not count as absent.
    fn read(self) -> Option<PeerPolicy> {
        let certificate = match self.certificate {
            None => None,
            Some(WireCertificate::Fingerprint(text)) => {
                Some(CertificateRule::Fingerprint(Sha256Digest::parse(&text)?))
            }
            Some(WireCertificate::Subject(subject)) => Some(CertificateRule::Subject(subject)),
        };
        let character_set = match self.character_set {
            None => None,
            Some(text) => Some(CharacterSetRule::parse(&text)?),
        };
        Some(PeerPolicy {
            networks: self.networks.iter().map(|text| Network::parse(text)).collect::<Option<_>>()?,
            requires_tls: self.requires_tls,
            certificate,
            services: AllowedServices {
                storage: self.storage,
                commitment: self.commitment,
                query: self.query,
                retrieve: self.retrieve,
            },
            address: self.address.map(|WireAddress { host, port, tls }| PeerAddress { host, port, tls }),
            character_set,
        })
    }
}

fn policy_of(row: &AnyRow) -> Result<PeerPolicy, Problem> {
    let read = |text: &str| serde_json::from_str::<WirePolicy>(text).ok()?.read();
    Ok(row.parsed_maybe("policy", read)?.unwrap_or_default())
}

async fn peer(connection: &mut AnyConnection, ae: &AeTitle) -> Result<Option<KnownPeer>, Problem> {
    let listed = Sql::new("SELECT centre, policy FROM centre_ae WHERE ae = $1").bind(ae);
    let (sql, policy) = match listed.first(connection).await? {
        Some(row) => {
            let sql = Sql::new("SELECT * FROM centre WHERE id = $1").bind(row.text("centre")?);
            (sql, policy_of(&row)?)
        }
        None => (Sql::new("SELECT * FROM centre WHERE accept_any_ae = 1"), PeerPolicy::default()),
    };
    let centre = one_centre(connection, sql).await?;
    Ok(centre.map(|centre| KnownPeer { ae: ae.clone(), centre, policy }))
}

async fn put(
    change: &mut Change,
    centre: &CentreId,
    ae: &AeTitle,
    policy: &PeerPolicy,
    by: &Actor,
    at: Timestamp,
) -> Result<bool, Problem> {
    let kept = Sql::new("UPDATE centre_ae SET policy = $3 WHERE centre = $1 AND ae = $2")
        .bind(centre)
        .bind(ae)
        .bind(json(&WirePolicy::new(policy)))
        .execute(change)
        .await?;
    if kept == 0 {
        return Ok(false);
    }
    changed(change, by, Some(centre), &format!("AE title {ae}"), at).await?;
    Ok(true)
}

#[async_trait]
impl Peers for SqlCatalog {
    async fn peer_of_ae(&self, ae: &AeTitle) -> Known<Option<KnownPeer>> {
        snapshot!(self, "looking up an AE title", |connection| peer(connection, ae))
    }

    async fn peer_policies(&self, centre: &CentreId) -> Known<Vec<(AeTitle, PeerPolicy)>> {
        let sql = Sql::new("SELECT ae, policy FROM centre_ae WHERE centre = $1 ORDER BY ae").bind(centre);
        read!(self, "listing AE titles", |connection| async {
            let rows = sql.all(connection).await?;
            rows.iter().map(|row| Ok((row.parsed("ae", AeTitle::parse)?, policy_of(row)?))).collect()
        })
    }

    async fn put_peer_policy(
        &self,
        centre: &CentreId,
        ae: &AeTitle,
        policy: &PeerPolicy,
        by: &Actor,
        at: Timestamp,
    ) -> Known<bool> {
        transact!(self, "keeping what an AE title may do", |change| put(change, centre, ae, policy, by, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_pinned() {
        let policy = PeerPolicy {
            networks: vec![Network::parse("192.0.2.0/24").unwrap()],
            requires_tls: true,
            certificate: Some(CertificateRule::Subject("CN=ct".to_owned())),
            services: AllowedServices { commitment: false, ..AllowedServices::default() },
            address: PeerAddress::parse("pacs:2762", true),
            character_set: None,
        };
        let golden = r#"{"networks":["192.0.2.0/24"],"requires_tls":true,"certificate":{"by":"subject","is":"CN=ct"},"storage":true,"commitment":false,"address":{"host":"pacs","port":2762,"tls":true}}"#;
        assert_eq!(json(&WirePolicy::new(&policy)), golden);
        let read = |text: &str| serde_json::from_str::<WirePolicy>(text).unwrap().read();
        assert_eq!(read(golden), Some(policy.clone()));
        assert_eq!(read(&golden.replace("192.0.2.0/24", "everything")), None);

        let policy = PeerPolicy { character_set: CharacterSetRule::new("ISO_IR 100", true), ..policy };
        let golden =
            golden.replace("\"tls\":true}}", "\"tls\":true},\"character_set\":\"force ISO_IR 100\"}");
        assert_eq!(json(&WirePolicy::new(&policy)), golden);
        assert_eq!(read(&golden), Some(policy.clone()));

        let services = AllowedServices { query: true, retrieve: true, ..policy.services };
        let golden =
            golden.replace("\"commitment\":false", "\"commitment\":false,\"query\":true,\"retrieve\":true");
        let policy = PeerPolicy { services, ..policy };
        assert_eq!(json(&WirePolicy::new(&policy)), golden);
        assert_eq!(read(&golden), Some(policy));
    }
}
