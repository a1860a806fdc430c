//! `committed` and `vote`: `cfg` is the (incoming) majority, `cfgj` the outgoing one, and `idx` or `votes` give
//! one value per voter in the order in which voters are first named, `_` for none.

use std::{collections::BTreeMap, fmt::Write};

use consensus::quorum::{Joint, Majority};

use crate::datadriven::Case;

pub(crate) fn handle(case: &Case) -> String {
    let ids = |key: &str| -> Option<Vec<u64>> {
        let arg = case.args.iter().find(|arg| arg.key == key)?;
        let ids = arg.values.iter().filter(|value| *value != "zero" && !value.is_empty());
        Some(ids.map(|value| value.parse().expect("an id")).collect())
    };
    let incoming = ids("cfg").unwrap_or_default();
    let outgoing = ids("cfgj");
    let mut order = Vec::new();
    for &id in incoming.iter().chain(outgoing.iter().flatten()) {
        if !order.contains(&id) {
            order.push(id);
        }
    }
    let voters = Joint {
        incoming: Majority(incoming.into_iter().collect()),
        outgoing: Majority(outgoing.iter().flatten().copied().collect()),
    };
    let key = if case.command == "vote" { "votes" } else { "idx" };
    let arg = case.args.iter().find(|arg| arg.key == key);
    let values: Vec<&String> =
        arg.iter().flat_map(|arg| &arg.values).filter(|value| !value.is_empty()).collect();
    if values.len() != order.len() {
        return mismatch(&voters, &values, &case.command);
    }
    let given: BTreeMap<u64, &str> = order
        .into_iter()
        .zip(values)
        .map(|(id, value)| (id, value.as_str()))
        .filter(|(_, v)| *v != "_")
        .collect();
    match case.command.as_str() {
        "committed" => {
            let acked = given.iter().map(|(&id, value)| (id, value.parse().expect("an index"))).collect();
            committed(&voters, outgoing.is_some(), &acked)
        }
        "vote" => {
            let votes: BTreeMap<u64, bool> = given.iter().map(|(&id, &value)| (id, value == "y")).collect();
            vote(&voters, &votes)
        }
        other => panic!("unknown command {other}"),
    }
}

fn mismatch(voters: &Joint, values: &[&String], command: &str) -> String {
    let number = |value: &str| match (command, value) {
        (_, "_") => "0".to_string(),
        ("vote", "y") => "2".to_string(),
        ("vote", _) => "1".to_string(),
        (_, index) => index.to_string(),
    };
    let ids: Vec<String> = voters.ids().iter().map(|id| format!("{id}:{{}}")).collect();
    let values: Vec<String> = values.iter().map(|value| number(value)).collect();
    format!(
        "error: mismatched input (explicit or _) for voters map[{}]: [{}]",
        ids.join(" "),
        values.join(" ")
    )
}

fn shown(index: u64) -> String {
    if index == u64::MAX { "∞".to_string() } else { index.to_string() }
}

/// Prints the table and the index, and a line for each other way to compute it that disagrees.
fn committed(voters: &Joint, joint: bool, acked: &BTreeMap<u64, u64>) -> String {
    let lookup = |id| acked.get(&id).copied();
    let index = voters.committed_index(lookup);
    let mut out = voters.describe(lookup);
    let mut compare = |other: u64, how: &str| {
        if other != index {
            writeln!(out, "{} <-- via {how}", shown(other)).expect("writing to a string");
        }
    };
    if joint {
        let swapped = Joint { incoming: voters.outgoing.clone(), outgoing: voters.incoming.clone() };
        compare(swapped.committed_index(lookup), "symmetry");
    } else {
        let majority = &voters.incoming;
        compare(majority.committed_index(lookup), "majority quorum");
        let twice = Joint { incoming: majority.clone(), outgoing: majority.clone() };
        compare(twice.committed_index(lookup), "self-joint quorum");
        for (&id, &own) in acked.iter().filter(|&(_, &own)| own < index && own > 0) {
            for lower in [own - 1, 0] {
                let overlaid = |other| if other == id { Some(lower) } else { lookup(other) };
                compare(majority.committed_index(overlaid), "overlay");
            }
        }
    }
    writeln!(out, "{}", shown(index)).expect("writing to a string");
    out
}

fn vote(voters: &Joint, votes: &BTreeMap<u64, bool>) -> String {
    let lookup = |id| votes.get(&id).copied();
    let result = voters.vote_result(lookup);
    let swapped = Joint { incoming: voters.outgoing.clone(), outgoing: voters.incoming.clone() };
    match swapped.vote_result(lookup) {
        other if other == result => format!("{result}\n"),
        other => format!("{other} <-- via symmetry\n{result}\n"),
    }
}
