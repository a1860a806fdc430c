//! contract/flags.tsv: each flag is given to the program, and accepted, ignored or refused as the table says.
//!
//! A server that accepts its configuration here then fails at once: its data directory is below `/dev/null`. What
//! stops it tells how far it came.

use e2e::{
    binary,
    server::{Exit, Server, command, run, run_command},
    suite::Case,
    table::{self, Row},
};
use proto::etcdserverpb as pb;

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    version_and_help => "flags" ["etcd --version", "etcd --help, h"];
    defaults_are_in_the_help_text => "flags" [];
    values_are_accepted => "flags" [];
    bad_values_are_refused => "flags" [];
    values_come_from_the_environment => "flags" [];
    ignored_flags_are_told => "flags" [];
    removed_flags => "flags" [];
    gates => "flags" [];
    unknown_flags_exit_2 => "flags" [];
    environment => "flags" ["environment ETCD_*"];
    unsupported_arch_and_verify => "flags" ["environment ETCD_UNSUPPORTED_ARCH", "environment ETCD_VERIFY"];
    config_file => "flags" ["etcd --config-file"];
    discovery_fallback => "flags" ["etcd --discovery-fallback"];
    joining_forms_no_new_cluster => "flags" ["etcd --initial-cluster-state"];
    directories => "flags" ["etcd --data-dir", "etcd --wal-dir"];
    logs => "flags" ["etcd --log-level", "etcd --log-format", "etcd --log-outputs", "etcd --logger"];
    snapshots_by_count => "flags" ["etcd --snapshot-count"];
}

/// Rows that the tests above go through by a list; see [`VALUES`], and the table itself for the others.
pub(crate) fn listed_cases() -> Vec<(String, &'static str)> {
    let mut all: Vec<(String, &'static str)> = Vec::new();
    let mut add = |row: String, test: &'static str| {
        let name =
            CASES.iter().map(|case: &Case| case.name).find(|name| name.ends_with(test)).expect("a test");
        all.push((row, name));
    };
    for Given { name, .. } in VALUES {
        add(format!("etcd --{name}"), "::values_are_accepted");
    }
    for row in table::rows("flags") {
        match row.cell("status") {
            "ignored legacy" => add(row.key, "::ignored_flags_are_told"),
            status if status.starts_with("removed") => add(row.key, "::removed_flags"),
            _ if row.cell("command") == "feature-gate" => add(row.key, "::gates"),
            _ => {}
        }
    }
    all
}

/// A flag with a value that is not its default, and what else it needs.
struct Given {
    name: &'static str,
    value: &'static str,
    with: &'static [&'static str],
}

const fn given(name: &'static str, value: &'static str) -> Given {
    Given { name, value, with: &[] }
}

const fn with(name: &'static str, value: &'static str, with: &'static [&'static str]) -> Given {
    Given { name, value, with }
}

/// A file that is there; nothing looks into it as long as no listener is secure.
const PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

const VALUES: &[Given] = &[
    given("name", "other"),
    given("snapshot-count", "7"),
    given("heartbeat-interval", "50"),
    given("election-timeout", "2000"),
    given("initial-election-tick-advance", "false"),
    given("listen-peer-urls", "http://127.0.0.1:0"),
    given("listen-client-urls", "http://127.0.0.1:0,http://localhost:0"),
    given("listen-client-http-urls", "http://127.0.0.3:0"),
    given("listen-metrics-urls", "http://127.0.0.1:0"),
    given("max-snapshots", "3"),
    given("max-wals", "0"),
    given("memory-mlock", "true"),
    given("quota-backend-bytes", "-1"),
    given("backend-bbolt-freelist-type", "array"),
    given("backend-batch-interval", "10ms"),
    given("backend-batch-limit", "5"),
    given("max-txn-ops", "10000"),
    given("max-request-bytes", "1000"),
    given("max-concurrent-streams", "8"),
    given("grpc-keepalive-min-time", "1s"),
    given("grpc-keepalive-interval", "0"),
    given("grpc-keepalive-timeout", "1m0s"),
    given("socket-reuse-port", "true"),
    given("socket-reuse-address", "true"),
    given("enable-grpc-gateway", "false"),
    given("raft-read-timeout", "10s"),
    given("raft-write-timeout", "10s"),
    given("feature-gates", "LeaseCheckpoint=true,LeaseCheckpointPersist=true"),
    given("initial-advertise-peer-urls", "http://10.0.0.1:2380"),
    given("initial-cluster", "default=http://127.0.0.1:1"),
    given("initial-cluster-token", "mine"),
    given("advertise-client-urls", "http://10.0.0.1:2379"),
    with("discovery-token", "t", &["--discovery-endpoints=http://127.0.0.1:1"]),
    with("discovery-endpoints", "http://127.0.0.1:1", &["--discovery-token=t"]),
    given("discovery-dial-timeout", "1s"),
    given("discovery-request-timeout", "1s"),
    given("discovery-keepalive-time", "1s"),
    given("discovery-keepalive-timeout", "1s"),
    given("discovery-insecure-transport", "false"),
    given("discovery-insecure-skip-tls-verify", "true"),
    given("discovery-cert", "f"),
    given("discovery-key", "f"),
    given("discovery-cacert", "f"),
    given("discovery-user", "u"),
    given("discovery-password", "p"),
    given("discovery-srv", "example.com"),
    with("discovery-srv-name", "x", &["--discovery-srv=example.com"]),
    given("strict-reconfig-check", "false"),
    given("pre-vote", "false"),
    given("auto-compaction-retention", "5m"),
    with("auto-compaction-mode", "revision", &["--auto-compaction-retention=100"]),
    given("v2-deprecation", "gone"),
    with("cert-file", PEM, &[concat!("--key-file=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
    with("key-file", PEM, &[concat!("--cert-file=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
    given("client-cert-file", "f"),
    given("client-key-file", "f"),
    given("client-cert-auth", "true"),
    given("client-crl-file", "f"),
    given("client-cert-allowed-hostname", "h"),
    given("trusted-ca-file", "f"),
    with(
        "auto-tls",
        "true",
        &["--listen-client-urls=https://127.0.0.1:0", "--advertise-client-urls=https://h:1"],
    ),
    with("peer-cert-file", PEM, &[concat!("--peer-key-file=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
    with("peer-key-file", PEM, &[concat!("--peer-cert-file=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
    given("peer-client-cert-file", "f"),
    given("peer-client-key-file", "f"),
    given("peer-client-cert-auth", "true"),
    given("peer-trusted-ca-file", "f"),
    given("peer-cert-allowed-cn", "a"),
    given("peer-cert-allowed-hostname", "a"),
    with("peer-auto-tls", "true", &["--listen-peer-urls=https://127.0.0.1:0"]),
    given("self-signed-cert-validity", "2"),
    given("peer-crl-file", "f"),
    given("peer-skip-client-san-verification", "true"),
    given("cipher-suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    given("tls-min-version", "TLS1.3"),
    given("tls-max-version", "TLS1.2"),
    given("cors", "http://a.example:80"),
    given("host-whitelist", "a.example"),
    given(
        "auth-token",
        concat!("jwt,sign-method=HS256,priv-key=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ),
    given("bcrypt-cost", "4"),
    given("auth-token-ttl", "10"),
    given("enable-pprof", "true"),
    given("metrics", "extensive"),
    with("enable-log-rotation", "true", &["--log-outputs=some.log"]),
    given("log-rotation-config-json", r#"{"maxsize": 1}"#),
    given("warning-unary-request-duration", "1s"),
    given("warning-apply-duration", "1s"),
    given("enable-distributed-tracing", "true"),
    given("distributed-tracing-address", "h:1"),
    given("distributed-tracing-service-name", "s"),
    given("distributed-tracing-instance-id", "i"),
    given("distributed-tracing-sampling-rate", "5"),
    given("corrupt-check-time", "1h"),
    given("compact-hash-check-time", "5s"),
    given("compaction-batch-limit", "10"),
    given("compaction-sleep-interval", "1ms"),
    given("watch-progress-notify-interval", "1s"),
    given("downgrade-check-time", "1s"),
    given("bootstrap-defrag-threshold-megabytes", "100"),
    given("max-learners", "2"),
    given("snapshot-catchup-entries", "10"),
    given("force-new-cluster", "true"),
    given("unsafe-no-fsync", "true"),
];

const NOWHERE: &str = "--data-dir=/dev/null/e2e";

/// Runs a server that has nowhere to put its data. Listeners are opened before that is found out: on any port,
/// unless they are given.
fn start_nowhere(flags: &[&str], environment: &[(&str, &str)]) -> Exit {
    let is_given = |name: &str| {
        let variable = format!("ETCD_{}", name.to_uppercase().replace('-', "_"));
        flags.iter().any(|flag| flag.trim_start_matches('-').split('=').next() == Some(name))
            || environment.iter().any(|(given, _)| *given == variable)
    };
    let anywhere = [
        ("listen-peer-urls", "--listen-peer-urls=http://127.0.0.1:0"),
        ("listen-client-urls", "--listen-client-urls=http://127.0.0.2:0"),
        ("advertise-client-urls", "--advertise-client-urls=http://127.0.0.1:2379"),
    ];
    let added = anywhere.into_iter().filter(|(name, _)| !is_given(name)).map(|(_, flag)| flag);
    let flags: Vec<&str> = flags.iter().copied().chain([NOWHERE]).chain(added).collect();
    run(&flags, environment)
}

/// The configuration was accepted: only the directory is missing.
fn assert_accepted(exit: &Exit, what: &str) {
    assert_eq!(exit.code, Some(1), "{what}: {exit:?}");
    if has_log_elsewhere(exit) {
        return;
    }
    assert!(log_of(exit).contains("/dev/null/e2e"), "{what} is not accepted: {}", log_of(exit));
}

/// The log went on in a file, which was opened as the configuration wants it: nothing here says why it has ended.
fn has_log_elsewhere(exit: &Exit) -> bool {
    !exit.stderr.contains("fatal") && !exit.stderr.contains("failed to verify flags")
}

/// The last line of the log, or of the output.
fn log_of(exit: &Exit) -> String {
    exit.stderr.lines().last().unwrap_or_default().to_owned()
}

fn rows(wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
    table::rows("flags").into_iter().filter(|row| wanted(row)).collect()
}

/// Rows of flags that a server takes.
fn flag_rows() -> Vec<Row> {
    rows(|row| {
        let live =
            matches!(row.cell("status"), "stable" | "legacy") || row.cell("status").starts_with("deprecated");
        row.cell("command") == "etcd" && live && !row.cell("flag").contains(',')
    })
}

fn version_and_help() {
    let version = run(&["--version"], &[]);
    assert_eq!(version.code, Some(0));
    assert!(version.stdout.starts_with("etcd Version: 3.7.1\nGit SHA: "), "{version:?}");
    assert!(version.stdout.contains("OS/Arch: "), "{version:?}");
    for flag in ["--help", "-h", "-help"] {
        let help = run(&[flag], &[]);
        assert_eq!(help.code, Some(0), "{flag}");
        assert!(help.stderr.starts_with("Usage:"), "{}", help.stderr);
        assert!(help.stdout.contains("--data-dir '${name}.etcd'"), "{}", help.stdout);
    }
    // Asked before anything is checked; the variable of that name is not for users.
    assert_eq!(run(&["--version", "--heartbeat-interval=0"], &[]).code, Some(0));
    let exit = start_nowhere(&[], &[("ETCD_VERSION", "true")]);
    assert_accepted(&exit, "ETCD_VERSION");
    assert!(exit.stderr.contains("cannot set special environment variable"), "{exit:?}");
    // As a command of its own, too.
    if !binary::is_etcd() {
        let own = run_command(std::process::Command::new(binary::mainstay()).arg("version"));
        assert_eq!((own.code, own.stdout), (Some(0), version.stdout));
    }
}

/// All of them; etcd's own text leaves some out.
fn defaults_are_in_the_help_text() {
    let help = run(&["--help"], &[]).stdout;
    for row in flag_rows() {
        let line = format!("\n  --{} '{}'\n", row.cell("flag"), row.cell("default"));
        assert!(help.contains(&line), "{line}");
    }
}

fn values_are_accepted() {
    let special =
        ["data-dir", "wal-dir", "config-file", "version", "discovery-fallback", "initial-cluster-state"];
    let logs = ["log-level", "log-format", "log-outputs", "logger"];
    for row in flag_rows() {
        let name = row.cell("flag");
        let listed = VALUES.iter().any(|given| given.name == name);
        assert!(listed || special.contains(&name) || logs.contains(&name), "--{name} has no value here");
    }
    for Given { name, value, with } in VALUES {
        let flag = format!("--{name}={value}");
        let flags: Vec<&str> = with.iter().copied().chain([flag.as_str()]).collect();
        let exit = start_nowhere(&flags, &[]);
        assert_accepted(&exit, &flag);
        // One dash and a separate value, as Go's flags have it.
        if value.parse::<bool>().is_err() {
            let flag = format!("-{name}");
            let flags: Vec<&str> = with.iter().copied().chain([flag.as_str(), value]).collect();
            assert_accepted(&start_nowhere(&flags, &[]), &flag);
        }
    }
}

/// A text that no flag of a kind takes.
fn bad_value(kind: &str) -> Option<&'static str> {
    match kind {
        "bool" => Some("maybe"),
        "uint64" | "uint" | "uint(ms)" | "uint(s)" | "uint(years)" | "uint32" => Some("-1"),
        "int" | "int64" => Some("many"),
        "duration" => Some("5"),
        "urls(csv)" => Some("nonsense"),
        "map(csv name=bool)" => Some("NoSuchGate=true"),
        _ => None,
    }
}

fn bad_values_are_refused() {
    let mut tried = 0;
    for row in flag_rows() {
        let (name, kind) = (row.cell("flag"), row.cell("type"));
        let Some(bad) = bad_value(kind) else { continue };
        tried += 1;
        let exit = run(&[&format!("--{name}={bad}")], &[]);
        assert_eq!(exit.code, Some(2), "--{name}={bad}: {exit:?}");
        let first = exit.stderr.lines().next().unwrap_or_default();
        let prefix = if kind == "bool" { "invalid boolean value" } else { "invalid value" };
        assert!(first.starts_with(&format!("{prefix} \"{bad}\" for ")), "--{name}: {first}");
        assert!(first.contains(&format!("-{name}: ")), "{first}");
        assert!(exit.stderr.contains("\nUsage:\n"), "{exit:?}");
    }
    assert!(tried > 50, "{tried}");
    // Values that only make no sense: exit 1, in the log.
    for (flag, text) in [
        ("--heartbeat-interval=0", "--heartbeat-interval must be >0"),
        (
            "--election-timeout=400",
            "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
        ("--election-timeout=50001", "--election-timeout[50001ms] is too long"),
        ("--compact-hash-check-time=0s", "--compact-hash-check-time must be >0"),
        ("--listen-client-urls=http://example.com:1", "expected IP in URL for binding"),
        ("--auto-compaction-mode=sometimes", "unknown auto-compaction-mode"),
        ("--feature-gates=LeaseCheckpointPersist=true", "requires enabling feature gate LeaseCheckpoint"),
        ("--tls-min-version=TLS1.0", "unexpected TLS version"),
        ("--logger=capnslog", "--logger=capnslog is removed in v3.5"),
    ] {
        let exit = start_nowhere(&[flag], &[]);
        assert_eq!(exit.code, Some(1), "{flag}: {exit:?}");
        assert!(exit.stderr.contains(text), "{flag}: {}", exit.stderr);
    }
}

fn values_come_from_the_environment() {
    for row in flag_rows() {
        let Some(Given { name, value, with, .. }) =
            VALUES.iter().find(|given| given.name == row.cell("flag"))
        else {
            continue;
        };

        let variable = row.cell("env");
        let exit = start_nowhere(with, &[(variable, value)]);
        assert_accepted(&exit, variable);
        if has_log_elsewhere(&exit) {
            continue;
        }
        let used = |line: &serde_json::Value| {
            line["msg"] == "recognized and used environment variable" && line["variable-name"] == variable
        };
        assert!(exit.log().iter().any(used), "{variable}: {}", exit.stderr);
        let flag = format!("--{name}={value}");
        let exit = run(&[&flag], &[(variable, value)]);
        assert_eq!(exit.code, Some(1), "{variable} beside {flag}");
        assert!(
            exit.fatal()["msg"].as_str().unwrap().starts_with("conflicting environment variable"),
            "{exit:?}"
        );
        assert_eq!(exit.fatal()["environment-variable"], variable);
    }
}

fn ignored_flags_are_told() {
    let rows = rows(|row| row.cell("status") == "ignored legacy");
    assert!(rows.len() >= 15);
    for row in rows {
        for flag in [format!("--{}", row.cell("flag")), format!("--{}=anything", row.cell("flag"))] {
            let exit = start_nowhere(&[&flag], &[]);
            assert_accepted(&exit, &flag);
            assert!(
                exit.stderr.contains("flag is no longer supported - ignoring"),
                "{flag}: {}",
                exit.stderr
            );
        }
    }
}

/// 3.7 refuses them with exit code 2. Spellings that have a successor are taken here with a warning, which is an
/// intended difference; the others are refused as by 3.7.
fn removed_flags() {
    let rows = rows(|row| row.cell("status").starts_with("removed"));
    assert!(rows.len() > 30);
    for row in rows {
        let name = row.cell("flag");
        let Some(now) = row.cell("meaning").strip_prefix("replaced by ") else {
            assert_unknown(name, &format!("--{name}=x"));
            continue;
        };
        if binary::is_etcd() {
            assert_unknown(name, &format!("--{name}=true"));
            continue;
        }
        let flag = match now.strip_prefix("--").map(|now| VALUES.iter().find(|given| given.name == now)) {
            Some(now) => format!("--{name}={}", now.expect("a flag with a value").value),
            None => format!("--{name}=true"),
        };
        // The persistence of checkpoints needs the other gate.
        let flags = [flag.as_str(), "--feature-gates=LeaseCheckpoint=true"];
        let needs_gate = name == "experimental-enable-lease-checkpoint-persist";
        let exit = start_nowhere(if needs_gate { &flags } else { &flags[..1] }, &[]);
        assert_accepted(&exit, &flag);
        let told = exit.log().into_iter().any(|line| {
            let text = line["msg"].as_str().unwrap_or_default();
            line["level"] == "warn" && text.starts_with(&format!("--{name} was removed in v3.7"))
        });
        assert!(told, "{flag}: {}", exit.stderr);
    }
}

fn assert_unknown(name: &str, flag: &str) {
    let exit = run(&[flag], &[]);
    assert_eq!(exit.code, Some(2), "{flag}: {exit:?}");
    let first = exit.stderr.lines().next().unwrap_or_default();
    assert_eq!(first, format!("flag provided but not defined: -{name}"));
    assert!(exit.stderr.contains("Usage:\n"), "{exit:?}");
}

fn gates() {
    let rows = rows(|row| row.cell("command") == "feature-gate");
    assert_eq!(rows.len(), 11);
    let server = Server::start(&[]);
    let page = server.metrics();
    for row in rows {
        let (name, default) = (row.cell("flag"), row.cell("default") == "true");
        let flipped = !default;
        let needs = if name == "LeaseCheckpointPersist" { ",LeaseCheckpoint=true" } else { "" };
        // All of a stage at once would flip that one without what it needs.
        let needs = if name == "AllAlpha" { ",LeaseCheckpointPersist=false" } else { needs };
        for value in [default, flipped] {
            let flag = format!("--feature-gates={name}={value}{needs}");
            assert_accepted(&start_nowhere(&[&flag], &[]), &flag);
        }
        let labels = [("name", name), ("stage", row.cell("type"))];
        assert_eq!(
            page.value("etcd_server_feature_enabled", &labels),
            f64::from(u8::from(default)),
            "{name}"
        );
    }
    let exit = run(&["--feature-gates=LeaseCheckpoint=perhaps"], &[]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    let on = Server::start(&["--feature-gates=LeaseCheckpoint=true"]);
    let labels = [("name", "LeaseCheckpoint"), ("stage", "ALPHA")];
    assert_eq!(on.metrics().value("etcd_server_feature_enabled", &labels), 1.0);
}

fn unknown_flags_exit_2() {
    for name in ["bogus", "data_dir", "experimental-nothing"] {
        assert_unknown(name, &format!("--{name}"));
    }
    let exit = run(&["--name"], &[]);
    assert_eq!((exit.code, exit.stderr.lines().next()), (Some(2), Some("flag needs an argument: -name")));
    let exit = run(&["stray"], &[]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains(r#"\"stray\" is not a valid flag"#), "{exit:?}");
}

fn environment() {
    let exit = start_nowhere(&[], &[("ETCD_SNAPSHOT_COUNT", "few")]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let text = r#"invalid value \"few\" for ETCD_SNAPSHOT_COUNT: "#;
    assert!(exit.stderr.contains(text), "{}", exit.stderr);
    let exit = start_nowhere(&[], &[("ETCD_BOGUS", "1"), ("ETCD_MAX_WALS", "")]);
    assert_accepted(&exit, "an empty variable counts as unset");
    assert!(exit.stderr.contains("unrecognized environment variable"), "{}", exit.stderr);
    let server = Server::start_with(&[], &[("ETCD_MAX_TXN_OPS", "1")]);
    let many = txn(vec![range_op("a"), range_op("b")]);
    assert_eq!(server.client().fails(many), promised("ErrGRPCTooManyOps"), "and has its effect");
}

/// The machine of a test is a supported one: the variable is no flag there, and left alone.
fn unsupported_arch_and_verify() {
    for variable in [("ETCD_UNSUPPORTED_ARCH", "riscv64"), ("ETCD_VERIFY", "all")] {
        assert_accepted(&start_nowhere(&[], &[variable]), variable.0);
    }
}

fn config_file() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("conf.yaml");
    let data = dir.path().join("data");
    let text = format!(
        "name: from-file\ndata-dir: {}\nlisten-client-urls: http://127.0.0.1:0\nadvertise-client-urls: \
         http://127.0.0.1:7\nlisten-peer-urls: http://127.0.0.1:0\nmax-txn-ops: 1\nwatch-progress-notify-interval: \
         100000000\n",
        data.display()
    );
    std::fs::write(&path, text).unwrap();
    let flag = format!("--config-file={}", path.display());
    // Everything else is ignored: the base flags of every server here, and variables.
    let server = Server::start_with(&[&flag], &[("ETCD_MAX_TXN_OPS", "5")]);
    let client = server.client();
    assert_eq!(client.fails(txn(vec![range_op("a"), range_op("b")])), promised("ErrGRPCTooManyOps"));
    let member = client.ok(pb::MemberListRequest::default()).members.remove(0);
    assert_eq!(
        (member.name.as_str(), &member.client_ur_ls[..]),
        ("from-file", &["http://127.0.0.1:7".to_owned()][..])
    );
    assert!(data.join("member/snap/db").exists());
    drop(server);

    let exit = run(&["--config-file=/dev/null/none"], &[]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("open /dev/null/none: not a directory"), "{exit:?}");
    std::fs::write(&path, "name: [\n").unwrap();
    assert_eq!(run(&[&flag], &[]).code, Some(1));
    std::fs::write(&path, "data-dir: /dev/null/e2e\nlisten-peer-urls: http://127.0.0.1:0\n").unwrap();
    let exit = run(&[], &[("ETCD_CONFIG_FILE", path.to_str().unwrap())]);
    assert_accepted(&exit, "ETCD_CONFIG_FILE");
}

fn discovery_fallback() {
    assert_accepted(&start_nowhere(&["--discovery-fallback=exit"], &[]), "exit");
    let exit = start_nowhere(&["--discovery-fallback=proxy"], &[]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("v2 proxy is deprecated"), "{exit:?}");
    let exit = run(&["--discovery-fallback=maybe"], &[]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
}

/// 8.9: a member that is to join asks the others. There are none, so it must not start a cluster of its own.
fn joining_forms_no_new_cluster() {
    assert_accepted(&start_nowhere(&["--initial-cluster-state=existing"], &[]), "existing");
    assert_eq!(run(&["--initial-cluster-state=half"], &[]).code, Some(2));
    let dir = tempfile::TempDir::new().unwrap();
    let started = Server::start_on(dir.path(), &["--initial-cluster-state=existing"]);
    let Err(exit) = started else { panic!("it formed a new cluster") };
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(!dir.path().join("member/wal").exists(), "nothing of a new cluster is there");
}

fn directories() {
    let dir = tempfile::TempDir::new().unwrap();
    let (data, wal) = (dir.path().join("d"), dir.path().join("w"));
    let wal_flag = format!("--wal-dir={}", wal.display());
    let server = Server::start_on(&data, &[&wal_flag]).unwrap();
    put_ok(&server.client(), "k", "v");
    server.stop();
    assert!(data.join("member/snap/db").exists() && !data.join("member/wal").exists());
    let segments: Vec<_> = std::fs::read_dir(&wal).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(segments.iter().any(|name| name == "0000000000000000-0000000000000000.wal"), "{segments:?}");
    let server = Server::start_on(&data, &[&wal_flag]).unwrap();
    assert_eq!(get(&server.client(), "k").as_deref(), Some("v"));
    // Without a directory it is NAME.etcd here.
    let here = tempfile::TempDir::new().unwrap();
    let exit = run_command(
        command()
            .args(["--name=mine", "--initial-cluster=other=http://127.0.0.1:2380"])
            .env("PWD", here.path()),
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert_accepted(&start_nowhere(&["--wal-dir=/dev/null/wal"], &[]), "wal-dir");
}

fn logs() {
    let quiet = start_nowhere(&["--log-level=fatal"], &[]);
    assert_eq!(quiet.stderr.lines().count(), 1, "{quiet:?}");
    assert_eq!(quiet.fatal()["level"], "fatal");
    let loud = start_nowhere(&["--log-level=debug"], &[]);
    assert_accepted(&loud, "debug");
    for key in ["level", "ts", "caller", "msg"] {
        assert!(loud.log().iter().all(|line| line.get(key).is_some()), "{key}: {}", loud.stderr);
    }
    let console = start_nowhere(&["--log-format=console"], &[]);
    assert_eq!((console.code, console.log().len()), (Some(1), 0));
    assert!(console.stderr.contains("\tfatal\t"), "{console:?}");
    let stdout = start_nowhere(&["--log-outputs=stdout"], &[]);
    assert!(stdout.stdout.contains(r#""level":"fatal""#), "{stdout:?}");
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("log");
    let flag = format!("--log-outputs=stderr,{}", file.display());
    let both = start_nowhere(&[&flag], &[]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), both.stderr);
    assert_accepted(&start_nowhere(&["--logger=zap"], &[]), "zap");
    assert!(start_nowhere(&["--logger=other"], &[]).stderr.contains("unknown logger option"));
    let exit = start_nowhere(&["--log-level=loud"], &[]);
    assert!(exit.code != Some(0) && exit.stderr.contains("unrecognized level"), "{exit:?}");
}

/// 14.12: a snapshot record and its file once more entries than that were applied.
fn snapshots_by_count() {
    let server = Server::start(&["--snapshot-count=10"]);
    let client = server.client();
    for n in 0..40 {
        put_ok(&client, "k", &n.to_string());
    }
    let found = e2e::server::poll(|| {
        let names = std::fs::read_dir(server.data().join("member/snap")).ok()?;
        let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        // Ours is renamed into place once it is whole.
        names.find(|name| name.ends_with(".snap") && !name.starts_with("tmp"))
    });
    let name = found.expect("a .snap file");
    let (term, index) = name.trim_end_matches(".snap").split_once('-').unwrap();
    assert_eq!((term.len(), index.len()), (16, 16), "{name}");
    assert!(u64::from_str_radix(index, 16).unwrap() >= 11, "{name}");
}
