//! A member started as kubeadm starts etcd: the same flags, with certificates in the same places, really asks for
//! client certificates on both ports (semantics of the flags: contract/flags.tsv).

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::Value;
use tempfile::TempDir;

/// Anything that is waited for comes within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(5);

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "etcd-ca");
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A certificate and its key, in PEM.
fn issue(ca: &Issuer, name: &str, hosts: &[&str]) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(hosts).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.signed_by(&key, ca).expect("a certificate").pem(), key.serialize_pem())
}

/// What `kubeadm init phase certs` writes for etcd.
struct Pki {
    dir: TempDir,
    ca: Issuer,
}

impl Pki {
    fn new() -> Pki {
        let pki = Pki { dir: TempDir::new().expect("a directory"), ca: authority() };
        fs::write(pki.path("ca.crt"), pki.ca.pem()).expect("written");
        for name in ["server", "peer"] {
            let (cert, key) = issue(&pki.ca, "cp1", &["cp1", "localhost", "127.0.0.1", "127.0.0.2"]);
            fs::write(pki.path(&format!("{name}.crt")), cert).expect("written");
            fs::write(pki.path(&format!("{name}.key")), key).expect("written");
        }
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The flags, word for word apart from addresses, ports and folders.
    fn flags(&self) -> Vec<String> {
        let pki = self.dir.path().display();
        [
            "--advertise-client-urls=https://127.0.0.2:2379",
            "--cert-file=PKI/server.crt",
            "--client-cert-auth=true",
            "--data-dir=PKI/data",
            "--feature-gates=InitialCorruptCheck=true",
            "--initial-advertise-peer-urls=https://127.0.0.2:2380",
            "--initial-cluster=cp1=https://127.0.0.2:2380",
            "--key-file=PKI/server.key",
            "--listen-client-urls=https://127.0.0.1:0,https://127.0.0.2:0",
            "--listen-metrics-urls=http://127.0.0.1:0",
            "--listen-peer-urls=https://127.0.0.2:0",
            "--name=cp1",
            "--peer-cert-file=PKI/peer.crt",
            "--peer-client-cert-auth=true",
            "--peer-key-file=PKI/peer.key",
            "--peer-trusted-ca-file=PKI/ca.crt",
            "--snapshot-count=10000",
            "--trusted-ca-file=PKI/ca.crt",
            "--watch-progress-notify-interval=5s",
        ]
        .map(|flag| flag.replace("PKI", &pki.to_string()))
        .to_vec()
    }
}

fn etcd(flags: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.arg0("etcd").args(flags).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A running member; killed when dropped.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(pki: &Pki) -> Server {
        let log = pki.path("log");
        let file = fs::File::create(&log).expect("a file for the log");
        let child = etcd(&pki.flags()).stderr(file).spawn().expect("the binary runs");
        let mut server = Server { child, log };
        let begun = Instant::now();
        while !server.lines().iter().any(|line| line["msg"] == "ready to serve client requests") {
            assert!(begun.elapsed() < PATIENCE, "not ready: {:#?}", server.lines());
            let status = server.child.try_wait().expect("a child can be waited for");
            assert!(status.is_none(), "ended with {status:?}: {:#?}", server.lines());
            thread::sleep(POLL);
        }
        server
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Where it serves what a message announces.
    fn addresses(&self, message: &str) -> Vec<SocketAddr> {
        let lines = self.lines();
        let found = lines.iter().filter(|line| line["msg"] == message);
        found.filter_map(|line| line["address"].as_str()?.parse().ok()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `GET path` gets over TLS with this certificate; empty when the connection is refused.
fn get(pki: &Pki, address: SocketAddr, identity: Option<(String, String)>, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(pki.path("ca.crt")).expect("a certificate");
    roots.add(ca).expect("a usable certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![cert], key).expect("a usable pair")
        }
    };
    let name = ServerName::try_from("cp1").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).expect("it listens"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: cp1\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    // A refusal may come as an alert or as a reset, early or late.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn get_plain(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: cp1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn both_ports_ask_for_certificates() {
    let pki = Pki::new();
    let server = Server::start(&pki);
    let clients = server.addresses("serving client traffic securely");
    let peers = server.addresses("serving peer traffic");
    assert_eq!((clients.len(), peers.len()), (2, 1), "{:#?}", server.lines());

    let known = || Some(issue(&pki.ca, "kube-apiserver-etcd-client", &[]));
    let stranger = issue(&authority(), "kube-apiserver-etcd-client", &[]);
    for (address, path, expected) in [
        (clients[0], "/health", r#"{"health":"true","reason":""}"#),
        (clients[1], "/version", r#""etcdcluster":"3.7.0""#),
        (
            peers[0],
            "/members",
            r#""peerURLs":["https://127.0.0.2:2380"],"name":"cp1","clientURLs":["https://127.0.0.2:2379"]}]"#,
        ),
    ] {
        let answer = get(&pki, address, known(), path);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(expected), "{path}: {answer}");
        assert_eq!(get(&pki, address, None, path), "", "{path} without a certificate");
        assert_eq!(get(&pki, address, Some(stranger.clone()), path), "", "{path} with a stranger's");
    }
    // A certificate that names hosts must come from one of them, between members.
    let elsewhere = issue(&pki.ca, "cp2", &["192.0.2.1"]);
    assert_eq!(get(&pki, peers[0], Some(elsewhere.clone()), "/members"), "");
    assert!(get(&pki, clients[0], Some(elsewhere), "/health").starts_with("HTTP/1.1 200 OK"));

    let metrics = server.lines().iter().find_map(|line| {
        let url = (line["msg"] == "serving metrics").then(|| line["address"].as_str())??;
        url.strip_prefix("http://")?.parse().ok()
    });
    let readyz = get_plain(metrics.expect("the metrics listener is announced"), "/readyz?verbose");
    assert!(readyz.ends_with("ok\n"), "{readyz}");
}

#[test]
fn what_is_wrong_names_its_flag() {
    let pki = Pki::new();
    let (_, key) = issue(&pki.ca, "cp1", &["cp1"]);
    fs::write(pki.path("peer.key"), key).expect("written");
    let output = etcd(&pki.flags()).output().expect("the binary runs");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let last: Value = serde_json::from_str(text.lines().last().expect("a log")).expect("JSON");
    assert_eq!(output.status.code(), Some(1));
    let error = last["error"].as_str().expect("an error");
    assert!(error.starts_with("--peer-cert-file: certificate "), "{error}");
    assert!(!pki.path("data").exists(), "nothing was written");
}
