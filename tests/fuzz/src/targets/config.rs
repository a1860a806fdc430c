//! What an operator gives, and what discovery answers.

use std::{
    future::Future,
    io,
    net::IpAddr,
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use discovery::Names;
use proto::mvccpb::KeyValue;

use crate::{Target, input::Input};

pub(crate) const FLAGS: Target = Target {
    name: "flags",
    what: "a command line and an environment",
    run: |input| {
        // Lines: arguments, then behind an empty line `NAME=VALUE`.
        let text = String::from_utf8_lossy(input);
        let (args, variables) = text.split_once("\n\n").unwrap_or((&text, ""));
        let args: Vec<String> = std::iter::once("etcd").chain(args.lines()).map(str::to_owned).collect();
        let variables: Vec<(String, String)> = variables
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        load(&args, &variables, b"");
    },
    seeds: flag_seeds,
    memory,
    len_max: 4 << 10,
};

pub(crate) const FILE: Target = Target {
    name: "config-file",
    what: "a configuration file (YAML or JSON)",
    run: |input| load(&["etcd".into(), "--config-file=f".into()], &[], input),
    seeds: file_seeds,
    memory: |input| memory(input) + (1 << 20),
    len_max: 4 << 10,
};

/// The operator's own words: each argument is kept as it came, as a value, in a notice and in what is told.
/// Aliases of YAML may stand for 2,000 values.
fn memory(input: &[u8]) -> usize {
    200 * input.len() + (512 << 10)
}

fn load(args: &[String], variables: &[(String, String)], file: &[u8]) {
    let read = |_: &Path| Ok(file.to_vec());
    let default_host = || Ok("10.0.0.1".to_owned());
    let sources = config::Sources { args, variables, read: &read, default_host: &default_host };
    if let Err(error) = config::load(&sources) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
}

fn flag_seeds() -> Vec<Vec<u8>> {
    let mut every = String::new();
    for flag in config::flags() {
        every.push_str(&format!("--{}=1\n", flag.name));
    }
    let mut seeds = vec![every.into_bytes()];
    seeds.extend(
        [
            "--name=m1\n--data-dir=/d\n--listen-peer-urls=http://127.0.0.1:2380,unix://a:1\n--initial-cluster=m1=http://127.0.0.1:2380\n--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--auto-compaction-retention=1h\n--auto-compaction-mode=periodic\n--auth-token=jwt,pub-key=a,priv-key=b,sign-method=RS256,ttl=10m\n--feature-gates=AllAlpha=true,StopGRPCServiceOnDefrag=false",
            "-listen-client-urls\nhttps://[::1]:2379\n--advertise-client-urls\nhttps://a:2379\n--cipher-suites=TLS_AES_128_GCM_SHA256\n--tls-min-version=TLS1.3\n--client-crl-file=f",
            "--log-outputs=stderr,/tmp/a\n--log-format=console\n--cors=*\n--host-whitelist=a,b\n--quota-backend-bytes=-1\n--max-request-bytes=0x10\n--heartbeat-interval=100\n--election-timeout=1000",
            "\n\nETCD_NAME=a\nETCD_INITIAL_CLUSTER=a=http://b:1,a=http://c:1\nETCD_SNAPSHOT_COUNT=1_000\nETCD_UNKNOWN=1",
            "--initial-cluster-state=existing\n--discovery-srv=example.com\n--discovery-token=t\n--discovery-endpoints=a,b\n--discovery-dial-timeout=3s",
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    seeds
}

fn file_seeds() -> Vec<Vec<u8>> {
    [
        "name: m1\ndata-dir: /d\nlisten-client-urls: http://127.0.0.1:2379\nadvertise-client-urls: http://127.0.0.1:2379\nquota-backend-bytes: 100\nauto-compaction-retention: \"1\"\n",
        "{\"name\":\"m\",\"client-transport-security\":{\"cert-file\":\"a\",\"client-cert-auth\":true},\"peer-transport-security\":{\"auto-tls\":true}}",
        "cors: '*'\nhost-whitelist: a,b\nfeature-gates: \"AllAlpha=true\"\nunknown: [1, {a: b}]\nlog-outputs: [stderr]\nsnapshot-count: 1e3\n",
        "a: &a [*a, *a]\nb: !!binary aGk=\nc: |\n  text\n? x\n: y\n",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) const CLUSTER: Target = Target {
    name: "initial-cluster",
    what: "the members as flags, discovery and members name them: lists, URLs, versions, durations",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(cluster) = cluster::InitialCluster::parse(&text) {
            let _ = cluster.check("m1");
            let _ = cluster.members("token");
            assert!(!cluster.to_string().is_empty() || cluster.is_empty());
        }
        let _ = cluster::parse_urls(&[&*text]);
        let _ = text.parse::<cluster::Version>();
        let _ = cluster::parse_downgrade_target(&text);
        let _ = config::Url::parse(&text);
        let _ = config::url::parse_list(&text);
        let _ = config::duration::parse(&text);
    },
    seeds: || {
        [
            "m1=http://127.0.0.1:2380,m2=https://[::1]:2380,m1=unix://a:1",
            "3.7.0",
            "1h2m3.5s",
            "http://a:1,http://b:2",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    memory,
    len_max: 2 << 10,
};

pub(crate) const DISCOVERY: Target = Target {
    name: "discovery",
    what: "what a discovery service has registered, and SRV records",
    run: discovered,
    seeds: || {
        let rows = [
            ("/_etcd/registry/t/members/1", "m1=http://a:1"),
            ("x", "m2=http://b:1,m2=http://c:1"),
            ("y", "no"),
        ];
        let mut seed = vec![2, b't', b'/', 1, b'3'];
        for (key, value) in rows {
            seed.extend(
                [&[key.len() as u8][..], key.as_bytes(), &[value.len() as u8], value.as_bytes(), &[3]]
                    .concat(),
            );
        }
        vec![seed, b"\x00\x00\x0ba.example.org\x0512345".to_vec()]
    },
    memory,
    len_max: 4 << 10,
};

/// What a resolver says.
struct Zone<'a>(&'a [(String, u16)]);

impl Names for Zone<'_> {
    async fn services(&self, name: &str) -> io::Result<Vec<(String, u16)>> {
        if name.starts_with("_etcd-server-ssl") {
            Ok(self.0.to_vec())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    async fn address(&self, host: &str) -> io::Result<IpAddr> {
        match host.len() % 3 {
            0 => Err(io::ErrorKind::NotFound.into()),
            len => Ok(IpAddr::from([127, 0, 0, len as u8])),
        }
    }
}

fn discovered(input: &[u8]) {
    let mut input = Input(input);
    let token = String::from_utf8_lossy(input.short());
    let size = input.short();
    let mut rows = Vec::new();
    let mut targets = Vec::new();
    while !input.is_empty() {
        let row = KeyValue {
            key: input.bytes(),
            value: Bytes::copy_from_slice(input.short()),
            create_revision: input.signed(),
            ..KeyValue::default()
        };
        targets.push((String::from_utf8_lossy(&row.key).into_owned(), row.value.len() as u16 * 257));
        rows.push(row);
    }
    discovery::fuzzing::registered(&token, size, &rows);
    let own = ["http://127.0.0.1:2380".to_owned()];
    let zone = Zone(&targets);
    let asked = pin!(discovery::from_dns(&zone, "example.org", &token, "m1", &own));
    let Poll::Ready(found) = asked.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a zone in memory is not waited for")
    };
    let _ = cluster::InitialCluster::parse(&found.members.join(","));
}
