//! Rules that settings must keep, with the texts that etcd 3.7.1 has for them (recorded), and what follows from
//! values that are given.

mod common;

use std::time::Duration;

use common::{World, lines, refusal, settings};
use config::{AutoCompaction, LogLevel, LogOutput};

#[test]
fn mistakes_in_values() {
    for (arg, text) in [
        ("--snapshot-count=abc", r#"invalid value "abc" for flag -snapshot-count: parse error"#),
        (
            "--snapshot-count=99999999999999999999999",
            r#"invalid value "99999999999999999999999" for flag -snapshot-count: value out of range"#,
        ),
        (
            "--max-concurrent-streams=9999999999",
            r#"invalid value "9999999999" for flag -max-concurrent-streams: strconv.ParseUint: parsing "9999999999": value out of range"#,
        ),
        ("--grpc-keepalive-timeout=5", r#"invalid value "5" for flag -grpc-keepalive-timeout: parse error"#),
        (
            "--listen-peer-urls=ftp://x",
            r#"invalid value "ftp://x" for flag -listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://x"#,
        ),
        ("--cors=", r#"invalid value "" for flag -cors: URL scheme must be http, https, unix, or unixs: "#),
        (
            "--feature-gates=Foo=true",
            r#"invalid value "Foo=true" for flag -feature-gates: unrecognized feature gate: Foo"#,
        ),
        (
            "--enable-log-rotation=maybe",
            r#"invalid boolean value "maybe" for -enable-log-rotation: parse error"#,
        ),
    ] {
        assert_eq!(refusal(&[arg]), format!("usage: {text}"));
    }
}

#[test]
fn rules_checked_with_the_flags() {
    for (args, text) in [
        (&["foo"][..], r#""foo" is not a valid flag"#),
        (&["--name=a", "foo"], r#""foo" is not a valid flag"#),
        (&["--logger=foo"], r#"unknown logger option "foo""#),
        (&["--logger=capnslog"], "--logger=capnslog is removed in v3.5"),
        (&["--log-format=foo"], "unknown log format: foo, supported values json, console"),
        (&["--log-level=foo"], r#"unrecognized level: "foo""#),
        (&["--log-outputs=default,stderr"], r#"multi logoutput for "default" is not supported yet"#),
        (
            &["--log-outputs=systemd/journal,stderr"],
            r#"running with systemd/journal but other '--log-outputs' values (["stderr" "systemd/journal"]) are configured with 'default'; override 'default' value with something else"#,
        ),
        (
            &["--enable-log-rotation"],
            "--log-outputs requires a single file path when --log-rotate-config-json is defined",
        ),
        (
            &["--listen-client-urls=http://foo:1", "--advertise-client-urls=http://foo:1"],
            "expected IP in URL for binding (http://foo:1)",
        ),
        (
            &["--listen-client-urls=http://:1", "--advertise-client-urls=http://foo:1"],
            "expected IP in URL for binding (http://:1)",
        ),
        (&["--listen-metrics-urls=http://foo:1"], "expected IP in URL for binding (http://foo:1)"),
        (
            &["--initial-advertise-peer-urls=http://:1"],
            r#"--initial-advertise-peer-urls "http://:1" must be "host:port" (unexpected empty host (http://:1))"#,
        ),
        (
            &["--advertise-client-urls=http://:1"],
            r#"--advertise-client-urls "http://:1" must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host (http://:1))"#,
        ),
        (&["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (&["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
        (
            &["--election-timeout=100"],
            "--election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
        (
            &["--election-timeout=100000"],
            "--election-timeout[100000ms] is too long, and should be set less than 50000ms",
        ),
        (&["--auto-compaction-mode=foo"], r#"unknown auto-compaction-mode "foo""#),
        (&["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (&["--discovery-token=x"], "both --discovery-token and --discovery-endpoints must be set"),
        (
            &[
                "--discovery-token=x",
                "--discovery-endpoints=a",
                "--initial-cluster=default=http://localhost:2380",
            ],
            r#"multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv""#,
        ),
        (
            &["--discovery-token=x", "--discovery-endpoints=a,"],
            "--discovery-endpoints must not contain empty endpoints",
        ),
        (
            &["--discovery-fallback=proxy"],
            r#"v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy""#,
        ),
        (&["--compact-hash-check-time=0"], "--compact-hash-check-time must be >0 (set to 0s)"),
        (&["--compact-hash-check-time=-1m"], "--compact-hash-check-time must be >0 (set to -1m0s)"),
        (
            &["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
        ),
        (
            &["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=-1"],
            "distributed tracing configurition is not valid: (tracing sampling rate must be positive)",
        ),
        (
            &["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=1000001"],
            "distributed tracing configurition is not valid: (tracing sampling rate must be less than 1000000)",
        ),
        (
            &["--tls-min-version=TLS1.0"],
            r#"unexpected TLS version "TLS1.0" (must be one of: TLS1.2, TLS1.3)"#,
        ),
        (
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (
            &["--tls-min-version=TLS1.3", "--cipher-suites=x"],
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
    ] {
        assert_eq!(refusal(args), format!("failed to verify flags: {text}"));
    }
    assert_eq!(
        refusal(&["--listen-client-urls=http://127.0.0.1:1"]),
        "advertise client URLs are not set: --advertise-client-urls is required when --listen-client-urls is set explicitly"
    );
    let rotation = refusal(&["--enable-log-rotation", "--log-outputs=/l", "--log-rotation-config-json={"]);
    assert!(
        rotation.starts_with("failed to verify flags: improperly formatted log rotation config: "),
        "{rotation}"
    );
    let rotation = refusal(&[
        "--enable-log-rotation",
        "--log-outputs=/l",
        r#"--log-rotation-config-json={"maxsize":"x"}"#,
    ]);
    assert!(rotation.starts_with("failed to verify flags: invalid log rotation config: "), "{rotation}");
}

#[test]
fn rules_checked_with_the_start() {
    let secure = "--listen-client-urls=https://127.0.0.1:1234";
    let advertise = "--advertise-client-urls=https://a:1";
    for (args, text) in [
        (&["--cipher-suites=x"][..], r#"unexpected TLS cipher suite "x""#),
        (
            &[secure, advertise],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1234 with HTTPS scheme",
        ),
        (
            &["--listen-peer-urls=https://127.0.0.1:1234"],
            "cannot listen on TLS for 127.0.0.1:1234: KeyFile and CertFile are not presented",
        ),
        (
            &["--listen-metrics-urls=https://127.0.0.1:1234"],
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
        ),
        (
            &["--listen-client-http-urls=http://localhost:2379"],
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url http://localhost:2379",
        ),
        (
            &["--auto-compaction-retention=x"],
            r#"error parsing CompactionRetention: time: invalid duration "x""#,
        ),
        (&["--auth-token=foo"], "auth: invalid auth options"),
        (&["--auth-token=simple,a"], "auth: invalid auth options"),
        (&["--auth-token=jwt,a=b,a=c"], "auth: invalid auth options"),
        (&["--peer-cert-file=c"], "KeyFile and CertFile must both be present[key: , cert: c]"),
        (&[secure, advertise, "--key-file=k"], "KeyFile and CertFile must both be present[key: k, cert: ]"),
        (
            &["--peer-cert-file=c", "--peer-key-file=k", "--peer-client-cert-file=d"],
            "ClientKeyFile and ClientCertFile must both be present or both absent: key: , cert: d]",
        ),
        (&[secure, advertise, "--cert-file=c", "--key-file=k"], "open c: no such file or directory"),
    ] {
        assert_eq!(refusal(args), format!("discovery failed: {text}"));
    }
    let files = [("c", ""), ("k", "")];
    let world = World { files: &files, ..World::default() };
    assert_eq!(
        world.refusal(&[
            "--peer-cert-file=c",
            "--peer-key-file=k",
            "--peer-cert-allowed-cn=a",
            "--peer-cert-allowed-hostname=b,c"
        ]),
        r#"discovery failed: AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b" "c"])"#
    );
    let tls =
        [secure, advertise, "--cert-file=c", "--key-file=k", "--client-cert-auth", "--trusted-ca-file=a"];
    assert_eq!(world.refusal(&tls), "discovery failed: open a: no such file or directory");
}

#[test]
fn rules_of_files() {
    for (text, refusal) in [
        (
            "listen-client-urls: ftp://x",
            "unexpected error setting up listen-client-urls: URL scheme must be http, https, unix, or unixs: ftp://x",
        ),
        ("initial-cluster-state: foo", r#"failed to verify flags: unexpected clusterState "foo""#),
        ("feature-gates: Foo=true", "failed to verify flags: unrecognized feature gate: Foo"),
        (
            "discovery-fallback: proxy\nelection-timeout: 10",
            "failed to verify flags: --election-timeout[10ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
    ] {
        let files = [("f", text)];
        assert_eq!(World { files: &files, ..World::default() }.refusal(&["--config-file=f"]), refusal);
    }
    // Flags must announce client URLs together with listening; files need not.
    let files = [(
        "f",
        "listen-client-urls: http://127.0.0.1:1\nself-signed-cert-validity: 0\nv2-deprecation: foo\n",
    )];
    let settings = World { files: &files, ..World::default() }.settings(&["--config-file=f"]);
    assert_eq!(config::url::join(&settings.cluster.advertise_client), "http://localhost:2379");
    assert!(lines(&settings).iter().any(|line| line.starts_with("--v2-deprecation is deprecated")));
}

#[test]
fn what_follows_from_nothing() {
    let settings = settings(&[]);
    assert_eq!(settings.member.data_dir.to_str(), Some("default.etcd"));
    assert_eq!(settings.cluster.initial, "default=http://localhost:2380");
    assert_eq!((settings.raft.tick, settings.raft.election_ticks), (Duration::from_millis(100), 10));
    assert_eq!((settings.storage.quota_bytes, settings.storage.quota_reported), (Some(2 << 30), 2 << 30));
    assert_eq!(settings.storage.backend_batch_interval, Duration::from_millis(100));
    assert_eq!((settings.storage.backend_batch_limit, settings.compaction.batch_limit), (10_000, 1000));
    assert_eq!(
        (settings.compaction.auto, settings.compaction.sleep),
        (AutoCompaction::Off, Duration::from_millis(10))
    );
    assert_eq!(settings.checks.watch_progress_notify, Duration::from_secs(600));
    assert_eq!((settings.checks.corrupt_check, settings.auth.bcrypt_cost), (None, 10));
    assert_eq!((settings.log.level, settings.log.outputs), (LogLevel::Info, vec![LogOutput::Stderr]));
    assert_eq!((settings.limits.streams_max, settings.limits.request_bytes_max), (u32::MAX, 1_572_864));
    assert_eq!(
        (settings.listeners.cors, settings.listeners.host_whitelist),
        (vec!["*".into()], vec!["*".into()])
    );
    assert_eq!(settings.cluster.learners_max, 1);
}

#[test]
fn what_follows_from_what_is_given() {
    let settings = settings(&[
        "--name=a",
        "--initial-advertise-peer-urls=http://1.2.3.4:5,http://1.2.3.4:4",
        "--quota-backend-bytes=-1",
        "--snapshot-count=0",
        "--bcrypt-cost=3",
        "--watch-progress-notify-interval=1ms",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=1000",
        "--log-outputs=stdout,/l",
        "--log-level=debug",
        "--grpc-keepalive-interval=-1s",
        "--backend-batch-limit=-5",
        "--max-learners=-1",
        "--cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "--max-request-bytes=20971520",
        "--raft-read-timeout=1s",
        "--max-snapshots=3",
    ]);
    assert_eq!(settings.member.data_dir.to_str(), Some("a.etcd"));
    assert_eq!(settings.cluster.initial, "a=http://1.2.3.4:4,a=http://1.2.3.4:5");
    assert_eq!((settings.storage.quota_bytes, settings.storage.quota_reported), (None, -1));
    assert_eq!((settings.storage.snapshot_count, settings.auth.bcrypt_cost), (10_000, 10));
    assert_eq!(settings.checks.watch_progress_notify, Duration::from_millis(100));
    assert_eq!(settings.compaction.auto, AutoCompaction::Revision(1000));
    assert_eq!(settings.log.outputs, [LogOutput::File("/l".into()), LogOutput::Stdout]);
    assert!(settings.monitoring.pprof && settings.listeners.keepalive.interval.is_zero());
    assert_eq!((settings.storage.backend_batch_limit, settings.cluster.learners_max), (1, 0));
    assert_eq!(settings.tls_policy.cipher_suites, ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]);
    assert_eq!(settings.raft.read_timeout, Duration::from_secs(5));
    let told = lines(&settings).join("\n");
    for text in [
        "Running http and grpc server on single port. This is not recommended for production.",
        "raft-read-timeout increased to minimum value: 5s",
        "use default bcrypt cost instead of the invalid given cost",
        "exceeded recommended request limit",
        "adjusting watch progress notify interval to minimum period",
        "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
        "'data-dir' was empty; using default: a.etcd",
    ] {
        assert!(told.contains(text), "{text} in\n{told}");
    }
}

/// The name alone does not rename the member in the initial cluster when it is the default one, and neither do
/// other URLs (upstream: server/embed/config.go).
#[test]
fn the_initial_cluster_follows_the_name() {
    for (args, initial) in [
        (&["--name=a"][..], "a=http://localhost:2380"),
        (&["--initial-advertise-peer-urls=http://x:1"], "default=http://localhost:2380"),
        (&["--name=a", "--initial-cluster=b=http://x:1"], "b=http://x:1"),
        (&["--name=a", "--initial-cluster=default=http://localhost:2380"], "a=http://localhost:2380"),
        (&["--initial-cluster="], ""),
    ] {
        assert_eq!(settings(args).cluster.initial, initial, "{args:?}");
    }
}

#[test]
fn listening_everywhere_announces_the_default_host() {
    let args = [
        "--name=a",
        "--listen-peer-urls=http://0.0.0.0:7",
        "--listen-client-urls=http://0.0.0.0:8",
        "--advertise-client-urls=http://localhost:2379",
    ];
    let world = World { default_host: Some("10.1.1.1"), ..World::default() };
    let settings = world.settings(&args);
    assert_eq!(settings.cluster.initial, "a=http://10.1.1.1:7");
    assert_eq!(config::url::join(&settings.cluster.advertise_client), "http://10.1.1.1:8");
    assert!(lines(&settings).contains(&"detected default host for advertise: 10.1.1.1".to_string()));
    let settings = World::default().settings(&args);
    assert_eq!(settings.cluster.initial, "a=http://localhost:2380");
    assert!(
        lines(&settings).contains(&"failed to detect default host: could not find default route".to_string())
    );
    let settings = world.settings(&["--listen-peer-urls=http://127.0.0.1:7"]);
    assert_eq!(config::url::join(&settings.cluster.advertise_peer), "http://localhost:2380");
}

#[test]
fn empty_urls_leave_the_defaults() {
    let settings = settings(&["--listen-client-urls=", "--advertise-client-urls=", "--listen-peer-urls="]);
    assert_eq!(config::url::join(&settings.listeners.client), "http://localhost:2379");
    assert_eq!(config::url::join(&settings.cluster.advertise_client), "http://localhost:2379");
    assert_eq!(config::url::join(&settings.listeners.peer), "http://localhost:2380");
}

#[test]
fn certificates_beside_plain_urls_are_told() {
    let files = [("c", ""), ("k", "")];
    let told = lines(&World { files: &files, ..World::default() }.settings(&[
        "--cert-file=c",
        "--key-file=k",
        "--client-cert-auth",
        "--peer-client-cert-auth",
    ]));
    for text in [
        "scheme is http or unix while key and cert files are present; ignoring key and cert files: http://localhost:2379",
        "scheme is http or unix while --client-cert-auth is enabled; ignoring client cert auth for this URL: http://localhost:2379",
        "scheme is HTTP while --peer-client-cert-auth is enabled; ignoring client cert auth for this URL: http://localhost:2380",
    ] {
        assert!(told.iter().any(|line| line == text), "{text}");
    }
}
