//! Certificates that do not count.

use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    NameConstraints, date_time_ymd,
};
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::CertificateDer;

use crate::{
    authority::{self, Identity, intermediate, leaf, root, self_signed, with_serial},
    probe::{client, client_of},
    server::{REVOKED, Secure},
};

/// A case: what is shown, and what the log says of it.
type Case = (&'static str, Option<Identity>, &'static str);

/// As [`Identity`], with one byte of the leaf changed, counted from the end.
fn tampered(mut identity: Identity, from_end: usize) -> Identity {
    let mut bytes = identity.chain[0].to_vec();
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    identity.chain[0] = CertificateDer::from(bytes);
    identity
}

fn cases(secure: &Secure) -> Vec<Case> {
    let trusted = &secure.root;
    let namesake = root("root");
    let stranger = root("stranger");
    let below = intermediate(trusted, "below", |_| {});
    let usage = |usage| leaf(trusted, |params| params.extended_key_usages = vec![usage]);
    let expired = intermediate(trusted, "expired", |params| params.not_after = date_time_ymd(2021, 1, 1));
    let short = intermediate(trusted, "short", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let too_deep = intermediate(&short, "too deep", |_| {});
    let narrow = intermediate(trusted, "narrow", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("inside.example".into())],
            excluded_subtrees: vec![],
        });
    });
    let outside = leaf(&narrow, authority::for_names(&["outside.example"])).with(&[&narrow]);
    let no_authority_key = KeyPair::generate().unwrap();
    let mut no_authority = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    no_authority.distinguished_name.push(rcgen::DnType::CommonName, "no authority");
    let no_authority_der = no_authority.signed_by(&no_authority_key, trusted).unwrap().der().clone();
    let mut by_leaf = authority::leaf_of(&Issuer::new(no_authority, no_authority_key), |_| {});
    by_leaf.chain.push(no_authority_der);
    let mut reversed = leaf(&below, |_| {}).with(&[&below]);
    reversed.chain.reverse();
    let stolen = Identity { key: leaf(trusted, |_| {}).key, ..secure.good.clone() };
    let authority_itself =
        Identity { chain: vec![trusted.der().clone()], key: trusted.key().serialize_der() };
    let critical = leaf(trusted, |params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
    let garbage = |bytes: &[u8]| Identity {
        chain: vec![CertificateDer::from(bytes.to_vec())],
        key: secure.good.key.clone(),
    };
    let cut = secure.good.chain[0][..secure.good.chain[0].len() / 2].to_vec();
    let mut long = secure.good.clone();
    long.chain.extend((0..200).map(|_| trusted.der().clone()));
    let revoked = leaf(trusted, with_serial(REVOKED));
    vec![
        ("no certificate", None, "peer sent no certificates"),
        ("an empty chain", Some(Identity { chain: vec![], ..secure.good.clone() }), "no certificates"),
        ("a stranger's authority", Some(leaf(&stranger, |_| {})), "UnknownIssuer"),
        (
            "the stranger shows his authority, too",
            Some(leaf(&stranger, |_| {}).with(&[&stranger])),
            "UnknownIssuer",
        ),
        ("an authority of the same name", Some(leaf(&namesake, |_| {})), "invalid peer certificate"),
        ("signed by itself", Some(self_signed(|_| {})), "UnknownIssuer"),
        ("expired", Some(leaf(trusted, |p| p.not_after = date_time_ymd(2021, 1, 1))), "certificate expired"),
        ("not yet valid", Some(leaf(trusted, |p| p.not_before = date_time_ymd(2150, 1, 1))), "not valid yet"),
        ("for servers only", Some(usage(ExtendedKeyUsagePurpose::ServerAuth)), "extended key usage"),
        ("for signing code", Some(usage(ExtendedKeyUsagePurpose::CodeSigning)), "extended key usage"),
        ("for mail", Some(usage(ExtendedKeyUsagePurpose::EmailProtection)), "extended key usage"),
        ("for time stamps", Some(usage(ExtendedKeyUsagePurpose::TimeStamping)), "extended key usage"),
        ("an authority as a client", Some(authority_itself), "invalid peer certificate"),
        ("a part of the chain is missing", Some(leaf(&below, |_| {})), "UnknownIssuer"),
        ("the chain the wrong way round", Some(reversed), "invalid peer certificate"),
        ("below an expired authority", Some(leaf(&expired, |_| {}).with(&[&expired])), "certificate expired"),
        ("below one that is no authority", Some(by_leaf), "invalid peer certificate"),
        (
            "deeper than the authority allows",
            Some(leaf(&too_deep, |_| {}).with(&[&too_deep, &short])),
            "invalid peer certificate",
        ),
        ("a name that the authority may not give", Some(outside), "invalid peer certificate"),
        ("a signature with a wrong bit", Some(tampered(secure.good.clone(), 3)), "invalid peer certificate"),
        ("a text with a wrong bit", Some(tampered(secure.good.clone(), 120)), "invalid peer certificate"),
        ("the key of another", Some(stolen), "invalid peer certificate"),
        ("an unknown critical extension", Some(critical), "invalid peer certificate"),
        ("no certificate at all", Some(garbage(b"certificate")), "invalid peer certificate"),
        ("half a certificate", Some(garbage(&cut)), "invalid peer certificate"),
        ("an endless chain", Some(long), ""),
        ("revoked", Some(revoked), "Revoked"),
        ("below a revoked authority", Some(leaf(&secure.fallen, |_| {}).with(&[&secure.fallen])), "Revoked"),
    ]
}

#[test]
fn certificates_that_do_not_count() {
    let secure = Secure::new(&[]);
    let doors = secure.doors();
    for (case, identity, reason) in cases(&secure) {
        secure.assert_refused(case, &doors, &client(identity.as_ref()), reason);
        // The older version goes another way through the handshake.
        secure.assert_refused(case, &doors[..1], &client_of(identity.as_ref(), &[&TLS12], &[]), reason);
    }
    for version in [&TLS12, &TLS13] {
        for door in &doors {
            let good = client_of(Some(&secure.good), &[version], &[]);
            crate::probe::knock(door, &good).unwrap_or_else(|error| panic!("{}: {error}", door.name));
        }
    }
}
