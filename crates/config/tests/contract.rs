//! Every row of contract/flags.tsv: name, variable, key in the file, default, and whether it is accepted.

mod common;

use std::{collections::BTreeSet, fs};

use common::{World, line, lines, refusal, settings};
use config::{Flag, GATES, GONE, IGNORED, Kind, LoadError, RENAMED, Replacement, flags};

struct Row {
    command: String,
    flag: String,
    variable: String,
    key: String,
    kind: String,
    default: String,
    meaning: String,
    status: String,
}

fn rows(command: &str) -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contract/flags.tsv");
    let text = fs::read_to_string(path).expect("the contract is there");
    let row = |line: &str| {
        let cells: Vec<_> = line.split('\t').map(String::from).collect();
        let [command, flag, variable, key, kind, default, meaning, status] =
            cells.try_into().expect("eight cells");
        Row { command, flag, variable, key, kind, default, meaning, status }
    };
    text.lines().skip(1).map(row).filter(|row| row.command == command).collect()
}

/// Flags that etcd does not have.
const OWN: [&str; 2] = ["emulate-version", "auth-end-revoked-watches"];

fn find(name: &str) -> &'static Flag {
    flags().find(|flag| flag.name == name).unwrap_or_else(|| panic!("--{name} is missing"))
}

fn is_removed(row: &Row) -> bool {
    row.status.starts_with("removed")
}

fn is_flag(row: &Row) -> bool {
    !is_removed(row) && row.status != "ignored legacy" && !row.flag.starts_with("help")
}

#[test]
fn names_variables_keys_defaults_and_types() {
    let rows: Vec<_> = rows("etcd").into_iter().filter(is_flag).collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in &rows {
        let flag = find(&row.flag);
        if row.variable != "-" {
            assert_eq!(flag.variable(), row.variable);
        }
        assert_eq!(flag.key.unwrap_or("-"), row.key, "key of {}", row.flag);
        let default = if row.flag == "data-dir" { "" } else { &row.default };
        assert_eq!(flag.default, default, "default of {}", row.flag);
        assert!(fits(flag, &row.kind), "--{} is {:?} here and {} there", row.flag, flag.kind, row.kind);
    }
    let known: BTreeSet<_> = rows.iter().map(|row| row.flag.as_str()).collect();
    // Those with our name are one row there together.
    let others = flags().map(|flag| flag.name).filter(|name| !name.starts_with("mainstay-"));
    let unknown: Vec<_> = others.filter(|name| !known.contains(name)).collect();
    assert_eq!(unknown, OWN, "flags that the contract does not know");
    let deviations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contract/deviations.tsv");
    let deviations = fs::read_to_string(deviations).expect("the contract is there");
    for name in OWN {
        assert!(deviations.contains(&format!("\nflags.tsv {name}\t")), "{name} is no deviation");
    }
}

fn fits(flag: &Flag, kind: &str) -> bool {
    match flag.kind {
        Kind::Bool => kind == "bool",
        Kind::Unsigned => kind == "uint64" || kind == "uint" || kind.starts_with("uint("),
        Kind::Unsigned32 => kind == "uint32",
        Kind::Signed => kind == "int" || kind == "int64",
        Kind::Duration => kind == "duration",
        Kind::Urls | Kind::Origins => kind == "urls(csv)",
        Kind::List | Kind::Set | Kind::Hosts => kind == "strings(csv)",
        Kind::Gates => kind.starts_with("map("),
        Kind::Choice(choices) => kind == choices.join("|"),
        Kind::Choices(_) => kind == "enum",
        Kind::Text => !matches!(kind, "bool" | "int" | "int64" | "uint" | "uint64" | "uint32" | "duration"),
    }
}

/// Giving a default is accepted from everywhere and changes nothing.
#[test]
fn defaults_are_accepted_from_everywhere() {
    let plain = format!("{:?}", settings(&[]).cluster) + &format!("{:?}", settings(&[]).storage);
    for flag in flags() {
        let arg = format!("--{}={}", flag.name, flag.default);
        let advertise = "--advertise-client-urls=http://localhost:2379";
        let args = if flag.name == "listen-client-urls" {
            vec![arg.as_str(), advertise]
        } else {
            vec![arg.as_str()]
        };
        // An empty list is not the same as none: it has one empty name in it.
        if matches!(flag.kind, Kind::List | Kind::Set) && flag.default.is_empty() {
            continue;
        }
        let settings = settings(&args);
        assert_eq!(format!("{:?}", settings.cluster) + &format!("{:?}", settings.storage), plain, "{args:?}");
        assert_eq!(settings.without_effect(), [""; 0], "{args:?}");
        let variable = flag.variable();
        if !matches!(flag.name, "version" | "listen-client-urls" | "config-file") {
            let world = World { variables: &[(&variable, flag.default)], ..World::default() };
            let told = lines(&world.settings(&[])).iter().any(|line| line.contains(&variable));
            assert!(told, "{variable} is used, or warned about when empty");
        }
        if let Some(key) = flag.key {
            let text = in_file(key, &json_default(flag));
            let world = World { files: &[("f", &text)], ..World::default() };
            let settings = world.settings(&["--config-file=f"]);
            assert_eq!(settings.without_effect(), [""; 0], "{text}");
        }
    }
}

/// `{"a": {"b": VALUE}}` for the path `a.b`.
fn in_file(key: &str, value: &str) -> String {
    key.rsplit('.').fold(value.to_string(), |inner, part| format!("{{\"{part}\": {inner}}}"))
}

fn json_default(flag: &Flag) -> String {
    match flag.kind {
        Kind::Bool | Kind::Unsigned | Kind::Unsigned32 | Kind::Signed => flag.default.into(),
        Kind::Duration => config::duration::parse(flag.default).expect("defaults are durations").to_string(),
        Kind::List | Kind::Set if flag.default.is_empty() => "[]".into(),
        Kind::List | Kind::Set => format!("[{:?}]", flag.default),
        _ => format!("{:?}", flag.default),
    }
}

#[test]
fn removed_flags_are_unknown_or_old_spellings() {
    let mut seen = 0;
    for row in rows("etcd").into_iter().filter(is_removed) {
        seen += 1;
        let now = match RENAMED.iter().find(|old| old.name == row.flag) {
            Some(old) => old.now,
            None => {
                assert!(GONE.iter().any(|(name, _)| *name == row.flag), "--{} is missing", row.flag);
                let text = refusal(&[&format!("--{}=x", row.flag)]);
                let (first, second) = text.split_once('\n').unwrap();
                assert_eq!(first, format!("usage: flag provided but not defined: -{}", row.flag));
                assert!(second.starts_with(&format!("--{} was removed: ", row.flag)), "{second}");
                continue;
            }
        };
        let replaced = match now {
            Replacement::Flag(name) => format!("replaced by --{name}"),
            Replacement::Gate(name) => format!("replaced by gate {name}"),
        };
        assert_eq!(replaced, row.meaning);
        let (default, told) = match now {
            Replacement::Flag(name) => (find(name).default, format!("--{name}")),
            Replacement::Gate(name) => ("false", name.to_string()),
        };
        let old = &row.flag;
        let settings = settings(&[&format!("--{old}={default}")]);
        let warned =
            |line: &String| line.starts_with(&format!("--{old} was removed in v3.7")) && line.contains(&told);
        assert!(lines(&settings).iter().any(warned), "--{old}");
        let variable = format!("ETCD_{}", old.to_uppercase().replace('-', "_"));
        let world = World { variables: &[(&variable, "x")], ..World::default() };
        if !matches!(now, Replacement::Flag(name) if find(name).kind == Kind::Text) {
            assert!(world.refusal(&[]).contains(&variable), "{variable}");
        }
    }
    assert_eq!(seen, RENAMED.len() + GONE.len());
}

#[test]
fn old_spellings_mean_what_they_now_are() {
    let settings = settings(&[
        "--experimental-initial-corrupt-check",
        "--experimental-enable-lease-checkpoint=true",
        "--experimental-watch-progress-notify-interval=5s",
        "--experimental-snapshot-catch-up-entries=7",
        "--feature-gates=LeaseCheckpointPersist=true",
    ]);
    assert_eq!(
        settings.gates.to_string(),
        "InitialCorruptCheck=true,LeaseCheckpoint=true,LeaseCheckpointPersist=true"
    );
    assert_eq!(settings.checks.watch_progress_notify.as_secs(), 5);
    assert_eq!(settings.storage.snapshot_catchup_entries, 7);
    for (args, text) in [
        (
            ["--experimental-corrupt-check-time=1s", "--corrupt-check-time=2s"],
            "cannot set --experimental-corrupt-check-time and --corrupt-check-time at the same time, please use \
             --corrupt-check-time only",
        ),
        (
            ["--experimental-initial-corrupt-check=true", "--feature-gates=InitialCorruptCheck=false"],
            "cannot specify both flags: --experimental-initial-corrupt-check=true and \
             --feature-gates=InitialCorruptCheck=false at the same time, please just use \
             --feature-gates=InitialCorruptCheck=false",
        ),
    ] {
        assert_eq!(refusal(&args), format!("failed to verify flags: {text}"));
    }
}

#[test]
fn ignored_flags_are_ignored_with_a_warning() {
    let rows: Vec<_> = rows("etcd").into_iter().filter(|row| row.status == "ignored legacy").collect();
    assert_eq!(rows.iter().map(|row| row.flag.as_str()).collect::<Vec<_>>(), IGNORED);
    for name in IGNORED {
        for arg in [format!("--{name}"), format!("--{name}=anything")] {
            let told = format!("flag is no longer supported - ignoring: {name}");
            assert!(lines(&settings(&[&arg])).contains(&told), "{arg}");
        }
    }
}

#[test]
fn gates() {
    let rows = rows("feature-gate");
    assert_eq!(rows.len(), GATES.len());
    for row in rows {
        let facts =
            GATES.iter().find(|facts| facts.name == row.flag).unwrap_or_else(|| panic!("gate {}", row.flag));
        assert_eq!(
            (facts.stage.to_string(), facts.default.to_string()),
            (row.kind, row.default),
            "{}",
            row.flag
        );
    }
}

#[test]
fn flags_without_effect_are_warned_about() {
    let settings =
        settings(&["--unsafe-no-fsync", "--memory-mlock=true", "--feature-gates=PriorityRequest=true"]);
    assert_eq!(
        settings.without_effect(),
        ["memory-mlock", "unsafe-no-fsync", "feature-gates=PriorityRequest"]
    );
    let told: Vec<_> =
        settings.notices.iter().map(line).filter(|line| line.starts_with("flag has no effect")).collect();
    assert_eq!(told.len(), 3);
}

#[test]
fn the_environment() {
    let world = World { variables: &[("ETCD_NAME", "a")], ..World::default() };
    assert_eq!(
        world.refusal(&["--name=b"]),
        "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment \
         variable or disable flag)): ETCD_NAME"
    );
    assert_eq!(world.settings(&[]).member.name, "a");
    let world = World { variables: &[("ETCD_SNAPSHOT_COUNT", "q")], ..World::default() };
    assert_eq!(
        world.refusal(&[]),
        r#"failed to verify flags: invalid value "q" for ETCD_SNAPSHOT_COUNT: parse error"#
    );
    let variables = [("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1")];
    assert!(
        World { variables: &variables, ..World::default() }
            .refusal(&[])
            .starts_with("advertise client URLs are not set")
    );
    let variables = [("ETCD_VERSION", "true"), ("ETCD_BOGUS", "1"), ("ETCD_MAX_WALS", "")];
    let told = lines(&World { variables: &variables, ..World::default() }.settings(&["--name=a"]));
    assert!(
        told.contains(&"cannot set special environment variable: ETCD_VERSION, true".to_string()),
        "{told:?}"
    );
    assert!(told.contains(&"unrecognized environment variable: ETCD_BOGUS=1".to_string()));
}

#[test]
fn the_file_replaces_everything_else() {
    let files = [("f", "name: from-file\nsnapshot-count: 3\n")];
    let variables =
        [("ETCD_CONFIG_FILE", "f"), ("ETCD_MAX_WALS", "9"), ("ETCD_BOGUS", "1"), ("ETCD_NAME", "e")];
    let world = World { files: &files, variables: &variables, ..World::default() };
    for args in [&["--name=b", "--max-wals=7"][..], &["--config-file=f", "--name=b"]] {
        let settings = world.settings(args);
        assert_eq!((settings.member.name.as_str(), settings.storage.wals_max), ("from-file", 5));
        assert_eq!(settings.storage.snapshot_count, 3);
        assert_eq!(settings.cluster.initial, "from-file=http://localhost:2380");
        let told = lines(&settings);
        assert!(told.iter().any(|line| line.starts_with("loaded server configuration,")), "{told:?}");
        assert!(!told.iter().any(|line| line.contains("environment variable:")), "{told:?}");
    }
    // Mistakes on the command line count all the same.
    assert_eq!(world.refusal(&["--bogus"]), "usage: flag provided but not defined: -bogus");
    let missing = "failed to verify flags: open g: no such file or directory";
    assert_eq!(World::default().refusal(&["--config-file=g"]), missing);
}

#[test]
fn questions_are_answered_before_anything_is_checked() {
    let world = World { variables: &[("ETCD_NAME", "a")], ..World::default() };
    for (args, asked) in [
        (&["--version", "--name=b"][..], "Version"),
        (&["--max-wals=1", "-h", "--bogus"], "Help"),
        (&["--config-file=missing", "--version"], "Version"),
    ] {
        assert_eq!(format!("{:?}", world.load(args).unwrap()), asked);
    }
    assert!(matches!(world.load(&["--bogus", "-h"]), Err(LoadError::Usage(_))));
}

/// What kubeadm 1.37 passes, word for word apart from addresses.
#[test]
fn kubeadm() {
    let dir = "/etc/kubernetes/pki/etcd";
    let file = |name: &str| format!("{dir}/{name}");
    let names = ["server.crt", "server.key", "ca.crt", "peer.crt", "peer.key"].map(file);
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let world = World { files: &files, ..World::default() };
    let settings = world.settings(&[
        "--advertise-client-urls=https://10.0.0.5:2379",
        "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
        "--client-cert-auth=true",
        "--data-dir=/var/lib/etcd",
        "--feature-gates=InitialCorruptCheck=true",
        "--initial-advertise-peer-urls=https://10.0.0.5:2380",
        "--initial-cluster=cp1=https://10.0.0.5:2380",
        "--initial-cluster-state=new",
        "--key-file=/etc/kubernetes/pki/etcd/server.key",
        "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.5:2379",
        "--listen-metrics-urls=http://127.0.0.1:2381",
        "--listen-peer-urls=https://10.0.0.5:2380",
        "--name=cp1",
        "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt",
        "--peer-client-cert-auth=true",
        "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
        "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        "--snapshot-count=10000",
        "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        "--watch-progress-notify-interval=5s",
    ]);
    assert_eq!(
        (settings.member.name.as_str(), settings.member.data_dir.to_str()),
        ("cp1", Some("/var/lib/etcd"))
    );
    assert_eq!(config::url::join(&settings.listeners.client), "https://10.0.0.5:2379,https://127.0.0.1:2379");
    assert_eq!(config::url::join(&settings.listeners.metrics), "http://127.0.0.1:2381");
    assert_eq!(settings.client_tls.cert.as_deref(), Some(names[0].as_ref()));
    assert_eq!(settings.client_tls.trusted_ca.as_deref(), Some(names[2].as_ref()));
    assert!(settings.client_tls.client_cert_auth && settings.peer_tls.client_cert_auth);
    assert_eq!(settings.peer_tls.key.as_deref(), Some(names[4].as_ref()));
    assert!(settings.gates.enabled(config::Gate::InitialCorruptCheck));
    assert_eq!(settings.checks.watch_progress_notify.as_secs(), 5);
    assert_eq!(settings.cluster.initial, "cp1=https://10.0.0.5:2380");
    assert_eq!(settings.without_effect(), [""; 0]);
    // A certificate that is not there is found out at once, for peers too.
    let world = World { files: &files[..3], ..World::default() };
    assert_eq!(
        world.refusal(&["--peer-cert-file=x", "--peer-key-file=y"]),
        "discovery failed: open x: no such file or directory"
    );
}
