//! Files that are broken, half-written or for something else: at the start, and while it runs.

use crate::{
    authority::{Authority, leaf, revocations, root, with_serial},
    probe::{client, knock},
    server::{Files, REVOKED, Secure},
};

/// A change of the files, and what the refused start says.
type Case = (&'static str, fn(&Files, &Authority), &'static str);

const HALF: usize = 150;

fn half(text: &str) -> &str {
    &text[..HALF.min(text.len())]
}

#[test]
fn a_start_on_broken_files() {
    let cases: [Case; 13] = [
        ("no certificate", |files, _| files.write("cert.pem", ""), "cert.pem"),
        (
            "half a certificate",
            |files, root| files.write("cert.pem", half(&leaf(root, |_| {}).pem().0)),
            "cert.pem",
        ),
        ("no key", |files, _| files.write("key.pem", ""), "key.pem"),
        ("half a key", |files, root| files.write("key.pem", half(&leaf(root, |_| {}).pem().1)), "key.pem"),
        ("the key of another", |files, root| files.write("key.pem", &leaf(root, |_| {}).pem().1), "key.pem"),
        (
            "a certificate for a key",
            |files, root| files.write("key.pem", &leaf(root, |_| {}).pem().0),
            "key.pem",
        ),
        ("no authority", |files, _| files.write("ca.pem", ""), "ca.pem"),
        ("half an authority", |files, root| files.write("ca.pem", half(&root.pem())), "ca.pem"),
        (
            "a key for an authority",
            |files, root| files.write("ca.pem", &leaf(root, |_| {}).pem().1),
            "ca.pem",
        ),
        ("no list", |files, _| files.write("crl.pem", ""), "revocation"),
        (
            "half a list",
            |files, root| files.write("crl.pem", half(&revocations(root, &[1], 2199))),
            "crl.pem",
        ),
        ("a certificate for a list", |files, root| files.write("crl.pem", &root.pem()), "crl.pem"),
        ("noise for a list", |files, _| files.write("crl.pem", "noise"), "revocation"),
    ];
    for (case, change, told) in cases {
        match Secure::try_new(&[], change) {
            Ok(_) => panic!("{case}: it starts"),
            Err(exit) => {
                assert_eq!(exit.code, Some(1), "{case}: {exit:?}");
                let fatal = exit.fatal().to_string();
                assert!(fatal.to_lowercase().contains(told), "{case}: {fatal} does not name {told}");
            }
        }
    }
    for flag in [
        "--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA",
        "--tls-min-version=TLS1.1",
        "--tls-max-version=TLS1.0",
    ] {
        let Err(exit) = Secure::try_new(&[flag], |_, _| {}) else { panic!("{flag}: it starts") };
        assert_eq!(exit.code, Some(1), "{flag}: {exit:?}");
    }
}

/// What cannot be used is told, and changes nothing: neither does it lock out who was good, nor let in who was not.
#[test]
fn files_that_break_while_it_runs() {
    let secure = Secure::new(&[]);
    let doors = secure.doors();
    let files = secure.files();
    let trusted = &secure.root;
    let (certificate, key) = leaf(trusted, |_| {}).pem();
    let list = revocations(trusted, &[REVOKED], 2199);
    let revoked = leaf(trusted, with_serial(REVOKED));
    let stranger = leaf(&root("stranger"), |_| {});
    let changes: [(&str, &str, String); 10] = [
        ("an empty certificate", "cert.pem", String::new()),
        ("half a certificate", "cert.pem", half(&certificate).into()),
        ("a certificate without its key", "cert.pem", certificate.clone()),
        ("half a key", "key.pem", half(&key).into()),
        ("an empty authority", "ca.pem", String::new()),
        ("half an authority", "ca.pem", half(&trusted.pem()).into()),
        ("an empty list", "crl.pem", String::new()),
        ("half a list", "crl.pem", half(&list).into()),
        ("a list of something else", "crl.pem", trusted.pem()),
        ("noise", "crl.pem", "noise".into()),
    ];
    for (case, name, text) in changes {
        let before = secure.log().matches("the old ones stay in force").count();
        files.write(name, &text);
        secure.assert_refused(case, &doors, &client(Some(&revoked)), "Revoked");
        secure.assert_refused(case, &doors, &client(Some(&stranger)), "UnknownIssuer");
        let after = secure.log().matches("the old ones stay in force").count();
        assert!(after > before, "{case}: the log does not say so");
        // As it was.
        files.write_pair(&leaf(trusted, |_| {}));
        files.write("ca.pem", &trusted.pem());
        files.write("crl.pem", &revocations(trusted, &[REVOKED, crate::server::REVOKED_AUTHORITY], 2199));
        doors.iter().for_each(|door| secure.assert_serves(door));
    }
}

/// A list that is out of date still says who is revoked; that it says no more is no reason to let in nobody.
#[test]
fn a_list_that_is_out_of_date() {
    let change =
        |files: &Files, root: &Authority| files.write("crl.pem", &revocations(root, &[REVOKED], 2021));
    let secure = Secure::try_new(&[], change).unwrap_or_else(|exit| panic!("{exit:?}"));
    let revoked = leaf(&secure.root, with_serial(REVOKED));
    secure.assert_refused("revoked by an old list", &secure.doors(), &client(Some(&revoked)), "Revoked");
    for door in secure.doors() {
        knock(&door, &client(Some(&secure.good))).unwrap();
    }
}

/// A list speaks of those whom its authority has let in. Others may have the same numbers.
#[test]
fn a_list_of_somebody_else() {
    let strangers = revocations(&root("stranger"), &[REVOKED], 2199);
    let text = strangers.clone();
    let secure = Secure::try_new(&[], move |files, _| files.write("crl.pem", &text))
        .unwrap_or_else(|exit| panic!("{exit:?}"));
    let doors = secure.doors();
    let namesake = leaf(&secure.root, with_serial(REVOKED));
    for door in &doors {
        secure.assert_serves(door);
        knock(door, &client(Some(&namesake))).unwrap_or_else(|error| panic!("{}: {error}", door.name));
    }
    // In front of the right one, or behind it.
    let own = revocations(&secure.root, &[REVOKED], 2199);
    for both in [strangers.clone() + &own, own.clone() + &strangers] {
        secure.files().write("crl.pem", &both);
        secure.assert_refused("revoked by the other list", &doors, &client(Some(&namesake)), "Revoked");
    }
    // One that only has our authority's name says nothing that can be believed: nobody comes in by it.
    secure.files().write("crl.pem", &revocations(&root("root"), &[1], 2199));
    for identity in [&secure.good, &namesake] {
        for door in &doors {
            let since = secure.mark();
            let refusal =
                knock(door, &client(Some(identity))).expect_err("let in on the word of a forged list");
            let told = secure.reason(door, refusal.local, since);
            assert!(told.contains("invalid certificate revocation list"), "{}: {told}", door.name);
        }
    }
    secure.files().write("crl.pem", &own);
    for door in &doors {
        secure.assert_serves(door);
    }
}
