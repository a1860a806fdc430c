//! Beginnings of a handshake that lead nowhere: old versions, weak suites, and what is no handshake at all.

use rustls::version::{TLS12, TLS13};

use crate::{
    probe::{Knocker, client_of, connect},
    server::Secure,
};

/// A ClientHello, piece by piece.
struct Hello {
    record: u16,
    version: u16,
    suites: Vec<u16>,
    compressions: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

const RSA_AES_CBC: u16 = 0x002f;
const ECDHE_AES_CBC: u16 = 0xc009;
const ECDHE_AES_GCM: u16 = 0xc02b;
const AES_GCM_13: u16 = 0x1301;

fn list(items: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_be_bytes()).collect();
    [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
}

fn groups(items: &[u16]) -> (u16, Vec<u8>) {
    (10, list(items))
}

fn signatures(items: &[u16]) -> (u16, Vec<u8>) {
    (13, list(items))
}

fn versions(items: &[u16]) -> (u16, Vec<u8>) {
    let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_be_bytes()).collect();
    (43, [&[bytes.len() as u8][..], &bytes].concat())
}

const P256: u16 = 0x17;
const ECDSA_SHA256: u16 = 0x0403;

impl Hello {
    /// One of TLS 1.2 that would do.
    fn new() -> Hello {
        Hello {
            record: 0x0301,
            version: 0x0303,
            suites: vec![ECDHE_AES_GCM],
            compressions: vec![0],
            extensions: vec![groups(&[P256]), signatures(&[ECDSA_SHA256]), (11, vec![1, 0]), (23, vec![])],
        }
    }

    fn of_version(version: u16) -> Hello {
        Hello { version, suites: vec![ECDHE_AES_CBC, RSA_AES_CBC], ..Hello::new() }
    }

    fn with_suites(suites: &[u16]) -> Hello {
        Hello { suites: suites.to_vec(), ..Hello::new() }
    }

    /// One of TLS 1.3, with these instead of those that would do.
    fn newest(extensions: Vec<(u16, Vec<u8>)>) -> Hello {
        Hello { suites: vec![AES_GCM_13], extensions, ..Hello::new() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(list(&self.suites));
        body.push(self.compressions.len() as u8);
        body.extend(&self.compressions);
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, value)| {
                [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
            })
            .collect();
        if !extensions.is_empty() {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        record(22, self.record, &handshake(1, &body))
    }
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn record(kind: u8, version: u16, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &version.to_be_bytes(), &(body.len() as u16).to_be_bytes(), body].concat()
}

fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let hello = Hello::new;
    let plain = hello().bytes();
    let cut = plain[..plain.len() - 9].to_vec();
    let mut lying = plain.clone();
    lying[5 + 3] += 40;
    let twice = {
        let mut hello = hello();
        hello.extensions.push(groups(&[P256]));
        hello
    };
    let share = |group: u16, len: u16| {
        let key = [&group.to_be_bytes()[..], &len.to_be_bytes(), &vec![4; usize::from(len)]].concat();
        (51_u16, [&(key.len() as u16).to_be_bytes()[..], &key].concat())
    };
    let v13 = versions(&[0x0304]);
    let sslv2 = [&[0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80][..], &[7; 16]].concat();
    vec![
        ("SSL 2", sslv2, ""),
        ("SSL 3", Hello { record: 0x0300, ..Hello::of_version(0x0300) }.bytes(), "peer is incompatible"),
        ("TLS 1.0", Hello::of_version(0x0301).bytes(), "peer is incompatible"),
        ("TLS 1.1", Hello::of_version(0x0302).bytes(), "peer is incompatible"),
        ("TLS 1.1 in the list of versions", Hello::newest(vec![versions(&[0x0302, 0x0301])]).bytes(), ""),
        ("a version that does not exist", Hello::newest(vec![versions(&[0x0399])]).bytes(), ""),
        (
            "suites with the key of the certificate",
            Hello::with_suites(&[0x009c, RSA_AES_CBC]).bytes(),
            "peer is incompatible",
        ),
        (
            "suites of blocks",
            Hello::with_suites(&[ECDHE_AES_CBC, 0xc013, 0xc024]).bytes(),
            "peer is incompatible",
        ),
        ("RC4", Hello::with_suites(&[0x0005, 0xc007]).bytes(), "peer is incompatible"),
        ("triple DES", Hello::with_suites(&[0x000a, 0xc008]).bytes(), "peer is incompatible"),
        ("no cipher", Hello::with_suites(&[0x0001, 0x0002, 0x003b, 0xc006]).bytes(), "peer is incompatible"),
        ("for export", Hello::with_suites(&[0x0003, 0x0008, 0x0014]).bytes(), "peer is incompatible"),
        ("anonymous", Hello::with_suites(&[0x0018, 0x0034, 0xc018]).bytes(), "peer is incompatible"),
        ("numbers of other fields", Hello::with_suites(&[0x009e, 0x009f]).bytes(), "peer is incompatible"),
        ("a shared secret", Hello::with_suites(&[0x00a8, 0xd001]).bytes(), "peer is incompatible"),
        ("only marks", Hello::with_suites(&[0x00ff, 0x5600]).bytes(), "peer is incompatible"),
        ("no suite", Hello::with_suites(&[]).bytes(), ""),
        ("suites of another version", Hello::with_suites(&[AES_GCM_13]).bytes(), "peer is incompatible"),
        (
            "no curve in common",
            Hello { extensions: vec![groups(&[1, 2]), signatures(&[ECDSA_SHA256])], ..hello() }.bytes(),
            "peer is incompatible",
        ),
        (
            "signatures over SHA-1",
            Hello { extensions: vec![groups(&[P256]), signatures(&[0x0201, 0x0203])], ..hello() }.bytes(),
            "peer is incompatible",
        ),
        (
            "TLS 1.3 without a curve",
            Hello::newest(vec![v13.clone(), signatures(&[ECDSA_SHA256])]).bytes(),
            "",
        ),
        (
            "TLS 1.3 without signatures",
            Hello::newest(vec![v13.clone(), groups(&[P256]), share(P256, 65)]).bytes(),
            "",
        ),
        (
            "TLS 1.3 with a key of another length",
            Hello::newest(vec![v13.clone(), signatures(&[ECDSA_SHA256]), groups(&[P256]), share(P256, 7)])
                .bytes(),
            "",
        ),
        (
            "TLS 1.3 with a point off the curve",
            Hello::newest(vec![v13, signatures(&[ECDSA_SHA256]), groups(&[P256]), share(P256, 65)]).bytes(),
            "",
        ),
        ("compressed", Hello { compressions: vec![1], ..hello() }.bytes(), ""),
        ("an extension twice", twice.bytes(), ""),
        ("an extension that goes on behind the end", lying, ""),
        ("half a greeting, then the end", cut, ""),
        ("a record that is too long", [&[22, 3, 1, 0xff, 0xff][..], &[0; 100]].concat(), ""),
        ("a greeting of 16 megabytes", record(22, 0x0301, &[1, 0xff, 0xff, 0xff, 3, 3]), ""),
        ("another message first", record(22, 0x0303, &handshake(20, &[0; 12])), ""),
        ("data first", record(23, 0x0303, b"GET / HTTP/1.1\r\n\r\n"), ""),
        ("an alert first", record(21, 0x0303, &[2, 40]), ""),
        ("a change of ciphers first", [record(20, 0x0303, &[1]), record(20, 0x0303, &[1])].concat(), ""),
        ("a heartbeat", record(24, 0x0303, &[1, 0x40, 0]), ""),
        ("HTTP in the clear", b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), ""),
        ("HTTP/2 in the clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), ""),
        ("noise", vec![0xa5; 4096], ""),
    ]
}

#[test]
fn greetings_that_lead_nowhere() {
    let secure = Secure::new(&[]);
    let doors = secure.doors();
    for (case, mut bytes, reason) in cases() {
        // Whatever the server still waits for does not come.
        if case.contains("the end") || case.contains("16 megabytes") || case.contains("alert") {
            bytes.extend(record(21, 0x0303, &[2, 0]));
        }
        secure.assert_refused(case, &doors, &Knocker::Raw(bytes), reason);
    }
    let spoken = client_of(Some(&secure.good), &[&TLS12, &TLS13], &["spdy/3", "smtp"]);
    secure.assert_refused("no protocol in common", &doors, &spoken, "");
}

#[test]
fn versions_and_suites_that_were_ruled_out() {
    let newest = Secure::new(&["--tls-min-version=TLS1.3"]);
    let older = client_of(Some(&newest.good), &[&TLS12], &[]);
    newest.assert_refused("TLS 1.2", &newest.doors(), &older, "peer is incompatible");
    let suite = "--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    let picky = Secure::new(&[suite, "--tls-max-version=TLS1.2"]);
    let doors = picky.doors();
    let newer = client_of(Some(&picky.good), &[&TLS13], &[]);
    picky.assert_refused("TLS 1.3", &doors, &newer, "peer is incompatible");
    let other = Knocker::Raw(Hello::with_suites(&[ECDHE_AES_GCM]).bytes());
    picky.assert_refused("another suite", &doors, &other, "peer is incompatible");
}

/// Who says nothing, or not all of it, is let go in time; others do not wait for him.
#[test]
fn greetings_that_do_not_end() {
    use std::io::{Read, Write};
    let secure = Secure::new(&[]);
    let bytes = Hello::new().bytes();
    let beginnings: [&[u8]; 3] = [&[], &bytes[..3], &bytes[..20]];
    let since = secure.mark();
    let mut waiting = Vec::new();
    for door in secure.doors() {
        for beginning in beginnings {
            let mut socket = connect(&door);
            socket.write_all(beginning).unwrap();
            waiting.push((door, socket));
        }
    }
    for (door, mut socket) in waiting {
        secure.assert_serves(&door);
        let local = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        assert_eq!(socket.read(&mut [0; 100]).unwrap_or(0), 0, "{}: answered", door.name);
        assert_eq!(secure.reason(&door, local, since), "TLS handshake did not finish in 10 s");
    }
}
