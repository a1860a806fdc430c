//! Certificates that are good, and for somebody else.

use crate::{
    authority::{for_names, leaf, self_signed},
    probe::{client, knock},
    server::Secure,
};

/// What a certificate for `names` is told by a listener that lets in only who is called `good.example`.
#[test]
fn certificates_for_other_hosts() {
    let mut secure = Secure::new(&[
        "--client-cert-allowed-hostname=good.example,a.wild.example,::1",
        "--peer-cert-allowed-hostname=good.example,a.wild.example,::1",
        "--peer-skip-client-san-verification",
    ]);
    // The good client of the others is none here.
    secure.good = leaf(&secure.root, for_names(&["good.example"]));
    let doors = secure.doors();
    let cases: [(&str, &[&str]); 14] = [
        ("another host", &["evil.example"]),
        ("a host below", &["evil.good.example"]),
        ("a host above", &["example"]),
        ("a host that begins alike", &["good.example.evil"]),
        ("a host that ends alike", &["notgood.example"]),
        ("all hosts below", &["*.good.example"]),
        ("a star in the middle", &["good.*"]),
        ("a star for a part", &["g*.example"]),
        ("a star for everything", &["*"]),
        ("another address of version 6", &["::2"]),
        ("an address of version 6 that stands for one of version 4", &["::ffff:127.0.0.1"]),
        ("the address of version 4", &["127.0.0.1"]),
        ("an address as text", &["0.0.0.1"]),
        ("no name but the common one", &[]),
    ];
    const REASON: &str = "tls: client certificate authentication failed";
    for (case, names) in cases {
        let identity = leaf(&secure.root, for_names(names));
        secure.assert_refused(case, &doors, &client(Some(&identity)), REASON);
    }
    let common = leaf(&secure.root, |params| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(rcgen::DnType::CommonName, "good.example");
    });
    secure.assert_refused("the name as the common one", &doors, &client(Some(&common)), REASON);
    let own = self_signed(for_names(&["good.example"]));
    secure.assert_refused("the right name, signed by itself", &doors, &client(Some(&own)), "UnknownIssuer");
    for names in [&["*.wild.example"][..], &["evil.example", "GOOD.example"], &["::1"]] {
        let identity = leaf(&secure.root, for_names(names));
        for door in &doors {
            knock(door, &client(Some(&identity))).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        }
    }
}

/// A star stands for one whole label, the first, and for nothing else.
#[test]
fn stars_stand_for_one_label() {
    let hosts = "deep.a.wild.example,b.wild.example,wild.example,127.0.0.1,xn--nxasmq6b.wild.example";
    let flags = [
        format!("--client-cert-allowed-hostname={hosts}"),
        format!("--peer-cert-allowed-hostname={hosts}"),
        "--peer-skip-client-san-verification".to_owned(),
    ];
    let mut secure = Secure::new(&flags.each_ref().map(String::as_str));
    secure.good = leaf(&secure.root, for_names(&["wild.example"]));
    let doors = secure.doors();
    let cases: [(&str, &[&str]); 12] = [
        ("a star for two labels", &["*.example.org", "*.*.example"]),
        // Upstream takes it (contract/deviations.tsv).
        ("a star in front of a single label", &["*.example"]),
        ("a star above the host and its parent", &["*.nowhere.example"]),
        ("two stars", &["*.*.wild.example"]),
        ("a star behind a label", &["deep.*.wild.example"]),
        ("a star at the end of a label", &["b*.wild.example"]),
        ("a star at the beginning of a label", &["*b.wild.example"]),
        ("a star in the middle of a label", &["xn--*6b.wild.example"]),
        ("a star with nothing behind", &["*."]),
        ("a star without a dot", &["*wild.example"]),
        ("a star for the top", &["*.*"]),
        ("a star for a part of an address", &["*.0.0.1"]),
    ];
    const REASON: &str = "tls: client certificate authentication failed";
    for (case, names) in cases {
        let identity = leaf(&secure.root, for_names(names));
        secure.assert_refused(case, &doors, &client(Some(&identity)), REASON);
    }
    for names in [&["*.wild.example"][..], &["*.WILD.example"], &["no", "*.a.wild.example"]] {
        let identity = leaf(&secure.root, for_names(names));
        for door in &doors {
            knock(door, &client(Some(&identity))).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        }
    }
}

#[test]
fn members_that_come_from_elsewhere() {
    let secure = Secure::new(&[]);
    let doors = secure.doors();
    let cases: [(&str, &[&str], &str); 5] = [
        ("another address", &["10.0.0.1"], "certificate is valid for 10.0.0.1, not 127.0.0.1"),
        ("an address of version 6", &["::1"], "certificate is valid for ::1, not 127.0.0.1"),
        ("a host that is nowhere", &["nowhere.invalid"], "does not match any of DNSNames"),
        ("a star that does not fit", &["*.nowhere.invalid"], "does not match any of DNSNames"),
        ("another address and a host", &["10.0.0.1", "nowhere.invalid"], "does not match any of DNSNames"),
    ];
    for (case, names, reason) in cases {
        let identity = leaf(&secure.root, for_names(names));
        secure.assert_refused(case, &doors[3..], &client(Some(&identity)), reason);
    }
}

#[test]
fn members_of_another_name() {
    let secure = Secure::new(&["--peer-cert-allowed-cn=good,better"]);
    let doors = secure.doors();
    for (case, name) in [("another name", "evil"), ("a longer name", "good "), ("other letters", "Good")] {
        let identity = leaf(&secure.root, |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
        });
        let reason = "tls: client certificate authentication failed";
        secure.assert_refused(case, &doors[3..], &client(Some(&identity)), reason);
    }
    let nameless = leaf(&secure.root, |params| {
        params.distinguished_name.remove(rcgen::DnType::CommonName);
    });
    let reason = "tls: client certificate authentication failed";
    secure.assert_refused("no name", &doors[3..], &client(Some(&nameless)), reason);
}
