//! Certificates, keys, authorities and revocation lists that change under load: no request fails, and who was revoked
//! is out with the next handshake.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use e2e::server::poll;
use rustls::{
    client::Resumption,
    version::{TLS12, TLS13},
};

use crate::{
    authority::{Identity, leaf, revocations, root, with_serial},
    probe::{Knocker, client, config, knock},
    server::{Door, Secure},
};

/// Clients that connect to one door again and again, each time with a handshake and a request.
struct Load {
    stop: Arc<AtomicBool>,
    served: Vec<Arc<AtomicU64>>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn begin(doors: &[Door], identity: &Identity) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let served: Vec<Arc<AtomicU64>> = doors.iter().map(|_| Arc::default()).collect();
        let threads = doors.iter().zip(&served).map(|(&door, served)| {
            let (stop, served, knocker) = (Arc::clone(&stop), Arc::clone(served), client(Some(identity)));
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(SeqCst) {
                    match knock(&door, &knocker) {
                        Ok(()) => drop(served.fetch_add(1, SeqCst)),
                        Err(error) => failed.push(format!("{}: {error}", door.name)),
                    }
                }
                failed
            })
        });
        let threads = threads.collect();
        Load { stop, served, threads }
    }

    /// Waits until every door has served some more.
    fn go_on(&self) {
        const MORE: u64 = 5;
        let before: Vec<u64> = self.served.iter().map(|served| served.load(SeqCst)).collect();
        let went = poll(|| {
            let all = self.served.iter().zip(&before).all(|(now, before)| now.load(SeqCst) >= before + MORE);
            all.then_some(())
        });
        assert!(went.is_some(), "nothing is served any more");
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Rounds of changes under load.
const ROUNDS: u64 = 5;

#[test]
fn everything_changes_under_load() {
    let secure = Secure::new(&[]);
    let doors = secure.doors();
    let files = secure.files();
    let load = Load::begin(&doors, &secure.good);
    let mut older: Option<Identity> = None;
    let mut revoked = vec![];
    for round in 0..ROUNDS {
        load.go_on();
        files.write_pair(&leaf(&secure.root, |_| {}));
        load.go_on();
        // A second authority comes, and the one of the last round goes.
        let next = root(&format!("root {round}"));
        files.write("ca.pem", &(secure.root.pem() + &next.pem()));
        load.go_on();
        let newcomer = leaf(&next, |_| {});
        for door in &doors {
            knock(door, &client(Some(&newcomer))).unwrap_or_else(|error| panic!("{}: {error}", door.name));
        }
        if let Some(older) = older.replace(newcomer) {
            secure.assert_refused("its authority is gone", &doors, &client(Some(&older)), "UnknownIssuer");
        }
        // Let in, then revoked, then refused everywhere.
        let serial = 1000 + round;
        let victim = leaf(&secure.root, with_serial(serial));
        for door in &doors {
            knock(door, &client(Some(&victim))).unwrap_or_else(|error| panic!("{}: {error}", door.name));
        }
        revoked.push(serial);
        files.write("crl.pem", &revocations(&secure.root, &revoked, 2199));
        secure.assert_refused("revoked", &doors, &client(Some(&victim)), "Revoked");
        load.go_on();
    }
    assert_eq!(load.end(), [""; 0], "requests that failed");
}

/// A client that has been there before is judged again: no session spares it that.
#[test]
fn a_session_does_not_outlive_its_certificate() {
    let secure = Secure::new(&[]);
    let files = secure.files();
    for (serial, version) in [(2000, &TLS12), (2001, &TLS13)] {
        let victim = leaf(&secure.root, with_serial(serial));
        let mut config = config(Some(&victim), &[version]);
        config.resumption = Resumption::in_memory_sessions(16);
        let knocker = Knocker::Tls(Arc::new(config));
        let doors = secure.doors();
        for door in doors.iter().chain(&doors) {
            knock(door, &knocker).unwrap_or_else(|error| panic!("{}: {error}", door.name));
        }
        files.write("crl.pem", &revocations(&secure.root, &[serial], 2199));
        secure.assert_refused("revoked, with a session", &doors, &knocker, "Revoked");
    }
}
