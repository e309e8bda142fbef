//! What centres allow their AE titles.

use std::sync::Arc;

use domain::{
    audit::Actor,
    digest::Sha256Digest,
    peer::{AllowedServices, CertificateRule, Network, PeerAddress, PeerPolicy},
    port::Catalog,
    text::CharacterSetRule,
};

use super::world::{ae, at, centre_named};

/// A policy comes back as it was set, stays while its centre lists the title, and goes with it.
pub async fn policies_stay_with_their_titles(catalog: Arc<dyn Catalog>) {
    let mut north = centre_named("north");
    north.policy.ae_titles = vec![ae("CT_1"), ae("CT_2")];
    catalog.put_centre(&north, &Actor::Operator, at(0)).await.unwrap();
    let policy = PeerPolicy {
        networks: vec![Network::parse("192.0.2.0/24").unwrap(), Network::parse("2001:db8::/32").unwrap()],
        requires_tls: true,
        certificate: Some(CertificateRule::Fingerprint(Sha256Digest::of(b"certificate"))),
        services: AllowedServices { storage: false, commitment: true, query: true, retrieve: false },
        address: PeerAddress::parse("pacs.example:104", true),
        character_set: CharacterSetRule::new("ISO_IR 144", false),
    };
    assert!(catalog.put_peer_policy(&north.id, &ae("CT_1"), &policy, &Actor::Operator, at(1)).await.unwrap());
    assert!(
        !catalog.put_peer_policy(&north.id, &ae("CT_9"), &policy, &Actor::Operator, at(1)).await.unwrap()
    );
    let all = catalog.peer_policies(&north.id).await.unwrap();
    assert_eq!(all, [(ae("CT_1"), policy.clone()), (ae("CT_2"), PeerPolicy::default())]);
    let peer = catalog.peer_of_ae(&ae("CT_1")).await.unwrap().unwrap();
    assert_eq!((&peer.ae, &peer.centre, &peer.policy), (&ae("CT_1"), &north, &policy));
    assert_eq!(catalog.peer_of_ae(&ae("CT_2")).await.unwrap().unwrap().policy, PeerPolicy::default());
    assert_eq!(catalog.peer_of_ae(&ae("ct_1")).await.unwrap(), None);

    north.name = "Northern Centre".into();
    north.policy.ae_titles = vec![ae("CT_1"), ae("CT_3")];
    catalog.put_centre(&north, &Actor::Operator, at(2)).await.unwrap();
    let all = catalog.peer_policies(&north.id).await.unwrap();
    assert_eq!(all, [(ae("CT_1"), policy.clone()), (ae("CT_3"), PeerPolicy::default())]);
    for titles in [vec![], vec![ae("CT_1")]] {
        north.policy.ae_titles = titles;
        catalog.put_centre(&north, &Actor::Operator, at(3)).await.unwrap();
    }
    assert_eq!(catalog.peer_of_ae(&ae("CT_1")).await.unwrap().unwrap().policy, PeerPolicy::default());

    let mut any = centre_named("any");
    any.policy.accept_any_ae = true;
    catalog.put_centre(&any, &Actor::Operator, at(4)).await.unwrap();
    let unknown = catalog.peer_of_ae(&ae("UNKNOWN")).await.unwrap().unwrap();
    assert_eq!((unknown.centre, unknown.policy), (any, PeerPolicy::default()));
}
