//! The commands of the interaction scripts.

use bytes::Bytes;
use consensus::{
    AnyConfChange, ConfChange, ConfChangeV2, Config, Level, Message, MessageKind, ReadMode, Transition,
    describe,
};
use types::raft::Snapshot;

use crate::{confchange::parse_changes, datadriven::Case, describe::InFlight, env::Env};

type Outcome = Result<(), String>;

pub(crate) fn handle(env: &mut Env, case: &Case) -> String {
    let outcome = execute(env, case);
    env.print_logs();
    if let Err(error) = outcome {
        if env.is_quiet() {
            return error;
        }
        env.print(error);
    }
    let out = env.take_output();
    if out.is_empty() { "ok".to_string() } else { out }
}

fn execute(env: &mut Env, case: &Case) -> Outcome {
    match case.command.as_str() {
        "_breakpoint" => Ok(()),
        "add-nodes" => add_nodes(env, case),
        "campaign" => env.node(first(case)).raw.campaign().map_err(|error| error.to_string()),
        "compact" => compact(env, case),
        "deliver-msgs" => deliver(env, case),
        "process-ready" => env.on_each(&case.numbers(), "handling Ready", Env::process_ready),
        "process-append-thread" => {
            env.on_each(&case.numbers(), "processing append thread", Env::process_append_thread)
        }
        "process-apply-thread" => {
            env.on_each(&case.numbers(), "processing apply thread", Env::process_apply_thread)
        }
        "log-level" => env.set_level(&case.args[0].key).map(|_| ()),
        "raft-log" => env.raft_log(first(case)),
        "raft-state" => raft_state(env),
        "set-randomized-election-timeout" => {
            let timeout = case.value("timeout").and_then(|value| value.parse().ok()).expect("a timeout");
            env.node(first(case)).raw.set_election_timeout(timeout);
            Ok(())
        }
        "stabilize" => stabilize(env, case),
        "status" => status(env, case),
        "tick-election" => tick(env, case, |config| config.election_ticks),
        "tick-heartbeat" => tick(env, case, |config| config.heartbeat_ticks),
        "transfer-leadership" => {
            let member = |key| case.value(key).and_then(|value| value.parse().ok()).expect("a member");
            env.node(member("from")).raw.transfer_leader(member("to"));
            Ok(())
        }
        "forget-leader" => {
            env.node(first(case)).raw.forget_leader();
            Ok(())
        }
        "send-snapshot" => send_snapshot(env, case),
        "propose" => {
            let data = Bytes::copy_from_slice(case.args[1].key.as_bytes());
            env.node(first(case)).raw.propose(data).map_err(|error| error.to_string())
        }
        "propose-conf-change" => propose_conf_change(env, case),
        "report-unreachable" => {
            let [on, about] = case.numbers()[..] else { panic!("two members") };
            env.node(on).raw.report_unreachable(about);
            Ok(())
        }
        _ => Err("unknown command".to_string()),
    }
}

fn first(case: &Case) -> u64 {
    case.args[0].key.parse().expect("a number")
}

fn add_nodes(env: &mut Env, case: &Case) -> Outcome {
    let mut config = Config {
        election_ticks: 3,
        heartbeat_ticks: 1,
        async_storage_writes: false,
        message_bytes_max: u64::MAX,
        inflight_messages_max: i32::MAX as usize,
        check_quorum: false,
        pre_vote: false,
        log_level: Level::Debug,
        ..Config::new(1)
    };
    let mut snapshot = Snapshot::default();
    for arg in &case.args[1..] {
        let numbers =
            || arg.values.iter().map(|value| value.parse().expect("a number")).collect::<Vec<u64>>();
        let yes = || arg.values[0] == "true";
        match arg.key.as_str() {
            "voters" => snapshot.meta.conf_state.voters = numbers(),
            "learners" => snapshot.meta.conf_state.learners = numbers(),
            "inflight" => config.inflight_messages_max = numbers()[0] as usize,
            "index" => {
                snapshot.meta.index = numbers()[0];
                config.applied = numbers()[0];
            }
            "content" => snapshot.data = Bytes::copy_from_slice(arg.values[0].as_bytes()),
            "async-storage-writes" => config.async_storage_writes = yes(),
            "prevote" => config.pre_vote = yes(),
            "checkquorum" => config.check_quorum = yes(),
            "max-committed-size-per-ready" => config.committed_bytes_max = numbers()[0],
            "disable-conf-change-validation" => config.conf_change_validation = !yes(),
            "read-only" if arg.values[0] == "lease-based" => config.read_mode = ReadMode::LeaseBased,
            "read-only" => config.read_mode = ReadMode::Safe,
            "step-down-on-removal" => config.step_down_on_removal = yes(),
            other => panic!("unknown argument {other}"),
        }
    }
    env.add_nodes(first(case), &config, &snapshot)
}

fn compact(env: &mut Env, case: &Case) -> Outcome {
    let [id, index] = case.numbers()[..] else { panic!("a member and an index") };
    env.node(id).raw.store_mut().log.compact(index).map_err(|error| error.to_string())?;
    env.raft_log(id)
}

fn deliver(env: &mut Env, case: &Case) -> Outcome {
    let mut receivers: Vec<(u64, bool)> = case.numbers().into_iter().map(|id| (id, false)).collect();
    for arg in case.args.iter().filter(|arg| arg.key == "drop") {
        receivers.extend(arg.values.iter().map(|value| (value.parse().expect("a member"), true)));
    }
    if env.deliver(&receivers, case.value("type")) == 0 {
        env.print_line("no messages");
    }
    Ok(())
}

fn raft_state(env: &mut Env) -> Outcome {
    let lines: Vec<String> = env
        .nodes
        .iter()
        .map(|node| {
            let status = node.raw.status();
            let (id, soft) = (status.basic.id, status.basic.soft_state);
            let voter = if status.config.voters.contains(id) { "(Voter)" } else { "(Non-Voter)" };
            let term = status.basic.hard_state.term;
            format!("{id}: {} {voter} Term:{term} Lead:{}", soft.role, soft.leader)
        })
        .collect();
    lines.into_iter().for_each(|line| env.print_line(line));
    Ok(())
}

fn stabilize(env: &mut Env, case: &Case) -> Outcome {
    let mut ids = case.numbers();
    if ids.is_empty() {
        ids = (1..=env.nodes.len() as u64).collect();
    }
    let Some(level) = case.value("log-level") else { return env.stabilize(&ids) };
    let before = env.set_level(level)?;
    let outcome = env.stabilize(&ids);
    env.restore_level(before);
    outcome
}

fn status(env: &mut Env, case: &Case) -> Outcome {
    let progress = env.node(first(case)).raw.status().progress;
    for (id, progress) in progress {
        env.print_line(format!("{id}: {progress}"));
    }
    Ok(())
}

fn tick(env: &mut Env, case: &Case, count: fn(&Config) -> u32) -> Outcome {
    let node = env.node(first(case));
    for _ in 0..count(&node.config) {
        node.raw.tick();
    }
    Ok(())
}

fn send_snapshot(env: &mut Env, case: &Case) -> Outcome {
    let [from, to] = case.numbers()[..] else { panic!("two members") };
    let raw = &env.node(from).raw;
    let message = Message {
        kind: MessageKind::Snapshot,
        term: raw.basic_status().hard_state.term,
        from,
        to,
        snapshot: Some(Box::new(raw.store().newest.clone())),
        ..Message::default()
    };
    env.print(describe::message(&message, ""));
    env.in_flight.push(InFlight::Message(message));
    Ok(())
}

fn propose_conf_change(env: &mut Env, case: &Case) -> Outcome {
    let changes = parse_changes(&case.input)?;
    let transition = match case.value("transition") {
        None | Some("auto") => Transition::Auto,
        Some("implicit") => Transition::JointImplicit,
        Some("explicit") => Transition::JointExplicit,
        Some(other) => return Err(format!("unknown transition {other}")),
    };
    let change: AnyConfChange = if case.value("v1") == Some("true") {
        let [change] = changes[..] else {
            return Err("v1 conf change can only have one operation and no transition".to_string());
        };
        ConfChange { change, ..ConfChange::default() }.into()
    } else {
        ConfChangeV2 { transition, changes, ..ConfChangeV2::default() }.into()
    };
    env.node(first(case)).raw.propose_conf_change(change).map_err(|error| error.to_string())
}
