//! Our transport in one cluster with real etcd: two members are etcd, the third is raft alone over [`Transport`].
//!
//! `MAINSTAY_ETCD` names the directory with `etcd-3.7`, `etcdctl-3.7` and so on (`docs/testing-interop.md` builds it).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod driver;
#[path = "../support/listener.rs"]
mod listener;
mod process;

use std::path::PathBuf;

use peer::{Body, Server};

use driver::Driver;
use process::{Etcd, Plan, until};

fn binaries() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("MAINSTAY_ETCD") else {
        assert!(std::env::var_os("CI").is_none(), "MAINSTAY_ETCD is not set");
        println!("skipped: MAINSTAY_ETCD is not set");
        return None;
    };
    Some(folder.into())
}

#[test]
fn beside_etcd_3_7() {
    binaries().into_iter().for_each(|folder| one_cluster(Plan::new(folder, "3.7")));
}

#[test]
fn beside_etcd_3_6() {
    binaries().into_iter().for_each(|folder| one_cluster(Plan::new(folder, "3.6")));
}

#[test]
fn beside_etcd_3_5() {
    binaries().into_iter().for_each(|folder| one_cluster(Plan::new(folder, "3.5")));
}

/// Etcd leads and sends a snapshot and entries; then we lead, take what etcd forwards, and send a snapshot.
fn one_cluster(plan: Plan) {
    let (socket, address) = listener::bind();
    let plan = plan.with_ours(address);
    let mut a = Etcd::start(&plan, "a", "new");
    let mut c = Etcd::start(&plan, "c", "new");
    // More than etcd keeps of its log after a snapshot.
    for n in 0..60 {
        a.put(&format!("early{n}"), "1");
    }

    // The leader, an etcd, sends its file and what came after it.
    let ours = Driver::start(&plan, socket);
    until("a snapshot has come", || !ours.snapshots().is_empty());
    let index = ours.snapshots()[0];
    let file = std::fs::read(ours.snap_path(index)).unwrap();
    assert!(file.len() >= 16 << 10 && file[16..20] == 0xED0C_DAED_u32.to_le_bytes(), "no bbolt file");
    a.put("by-etcd", "entries");
    c.put("by-the-other", "entries");
    until("its entries have come", || {
        let keys = ours.keys();
        keys.contains("by-etcd") && keys.contains("by-the-other")
    });
    assert!(ours.is_connected_to("a") && ours.is_connected_to("c"));

    // We lead: etcd takes our entries, and forwards its proposals and reads.
    c.stop();
    c.wipe();
    until("we lead", || {
        // In vain while an election is under way.
        ours.take_lead();
        ours.leads()
    });
    ours.propose_put("by-us", "took");
    until("etcd has applied it", || a.get("by-us").as_deref() == Some("took"));
    let large = "x".repeat(1_000_000);
    a.put_large("large", &large);
    assert!(ours.keys().contains("large") && ours.leads());

    // A member that lost everything before we led, so that we believe nothing of it, gets the file from us.
    let c = Etcd::start(&plan, "c", "existing");
    until("the file has gone", || ours.delivered() > 0);
    until("it has all of it", || c.get("by-us").as_deref() == Some("took"));
    assert_eq!(c.get("early0").as_deref(), Some("1"));
    assert_eq!(c.get("large").map(|value| value.len()), Some(large.len()));
    c.put("last", "word");
    until("we have it too", || ours.keys().contains("last"));
    assert_eq!(a.get("last").as_deref(), Some("word"));
    assert!(ours.leads(), "nobody had a reason to elect another");
    assert!(!ours.was_told_to_stop());
    a.stop();
}
