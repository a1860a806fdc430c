//! Every target over its seeds and mutations of them: what `cargo xtask fuzz` does for longer, and with eyes.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use fuzz::{
    TARGETS, Target, check,
    mutate::{Dice, mutated},
};

/// Mutations of each target.
const RUNS: u64 = 1500;
/// What a decoder of deep messages may need.
const STACK_BYTES: usize = 64 << 20;

fn findings(target: &Target) -> Vec<String> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    // The first use of many things allocates for good.
    for seed in &seeds {
        let _ = check::run(target, seed);
    }
    let mut found: Vec<String> = Vec::new();
    let mut judge = |input: &[u8]| {
        if let Err(finding) = check::run(target, input) {
            let shown: String = input.iter().take(300).map(|byte| format!("{byte:02x}")).collect();
            found.push(format!("{}: {finding}\n  {} bytes: {shown}", target.name, input.len()));
        }
        found.len() < 5
    };
    for seed in &seeds {
        judge(seed);
    }
    for number in 0..RUNS {
        if !judge(&mutated(&seeds, &mut Dice::new(number + 1), target.len_max)) {
            break;
        }
    }
    found
}

#[test]
fn nothing_is_found() {
    let next = AtomicUsize::new(0);
    let mut found = Vec::new();
    thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(findings(target));
            }
            found
        };
        let workers: Vec<_> = (0..2)
            .map(|_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).unwrap())
            .collect();
        found.extend(workers.into_iter().flat_map(|worker| worker.join().unwrap()));
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_panic_and_too_much_memory_are_found() {
    fn run(input: &[u8]) {
        match input {
            [0] => panic!("as asked"),
            [1] => drop(vec![0u8; 1 << 20]),
            _ => {}
        }
    }
    let target = Target { name: "t", what: "", run, seeds: Vec::new, memory: fuzz::twice, len_max: 1 };
    assert!(matches!(check::run(&target, &[0]), Err(check::Finding::Panic(text)) if text == "as asked"));
    assert!(matches!(check::run(&target, &[1]), Err(check::Finding::Memory(used, _)) if used >= 1 << 20));
    assert_eq!(check::run(&target, &[3]), Ok(()));
}

/// What the server takes out of its budget for a request of so many operations is enough for them, and not far from it.
#[test]
fn operations_weigh_what_they_take() {
    use prost::Message;
    let bytes = bytes::Bytes::from([0x12, 0].repeat(1 << 20));
    let weight = proto::weight("etcdserverpb.TxnRequest", &bytes);
    fuzz::meter::start();
    let txn = proto::decode::<proto::etcdserverpb::TxnRequest>(bytes.clone()).unwrap();
    let used = fuzz::meter::peak();
    println!(
        "{} operations in {} bytes take {used}, and weigh {weight}",
        txn.success.len(),
        txn.encoded_len()
    );
    assert!(used > 50 * bytes.len(), "{used}: then nobody need weigh them");
    assert!(used <= weight && weight < 6 * used, "{used} {weight}");
}
