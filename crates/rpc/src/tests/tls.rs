//! TLS: certificates of servers and clients, versions, and files that change.

use std::{fs, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Harness, Setup,
    client::{Client, framed, soon},
    config,
};
use crate::{Listener, Tls, TlsVersion, Traffic, open};

pub(super) type Issuer = CertifiedIssuer<'static, KeyPair>;

pub(super) struct Files {
    dir: TempDir,
    pub(super) ca: Issuer,
}

pub(super) fn authority() -> Issuer {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test ca");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, in PEM.
pub(super) fn issue(ca: &Issuer, host: &str, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}

impl Files {
    pub(super) fn new() -> Files {
        let files = Files { dir: tempfile::tempdir().unwrap(), ca: authority() };
        fs::write(files.path("ca.pem"), files.ca.pem()).unwrap();
        files.write_server("server one");
        files
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write_server(&self, name: &str) {
        let (cert, key) = issue(&self.ca, "localhost", name);
        fs::write(self.path("cert.pem"), cert).unwrap();
        fs::write(self.path("key.pem"), key).unwrap();
    }

    pub(super) fn tls(&self) -> Tls {
        Tls { cert: self.path("cert.pem"), key: self.path("key.pem"), ..Tls::default() }
    }

    pub(super) fn config(&self, tls: Tls) -> Setup {
        let mut config = config();
        config.listen.listeners = vec![Listener::parse("https://127.0.0.1:0", Traffic::All).unwrap()];
        config.listen.client_tls = Some(tls);
        config
    }

    /// A client that trusts the authority and, if given, shows a certificate of `issuer`.
    pub(super) async fn connect(
        &self,
        port: u16,
        alpn: &str,
        identity: Option<(String, String)>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }
}

pub(super) const BOTH: &[&rustls::SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];
const CHECK: &str = "/grpc.health.v1.Health/Check";

async fn grpc_works(stream: TlsStream<TcpStream>) -> bool {
    let Ok((mut send, connection)) = h2::client::handshake(stream).await else {
        return false;
    };
    let driver = tokio::spawn(connection);
    let request = super::client::request(CHECK, &[]);
    let Ok((response, mut body)) = send.send_request(request, false) else {
        return false;
    };
    let _ = body.send_data(framed(&[]), true);
    let works = soon(response).await.is_ok();
    driver.abort();
    works
}

#[tokio::test]
async fn both_protocols_on_one_port() {
    let files = Files::new();
    let harness = Harness::start(files.config(files.tls()));
    let stream = files.connect(harness.port(0), "h2", None, BOTH).await.unwrap();
    let client = Client::over(stream, h2::client::Builder::new()).await;
    assert_eq!(client.call(CHECK, &[], framed(&[])).await.outcome.0, 0);
    // Pages are there over HTTP/2, too.
    let request = http::Request::get("https://localhost/version").body(()).unwrap();
    let mut response = client.get("/version", request).await;
    assert_eq!(response.status(), 200);
    let body = soon(response.body_mut().data()).await.unwrap().unwrap();
    assert!(body.starts_with(b"{\"etcdserver\""));
    let mut stream = files.connect(harness.port(0), "http/1.1", None, BOTH).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn client_certificates() {
    let files = Files::new();
    let tls = Tls { trusted_ca: Some(files.path("ca.pem")), client_cert_auth: true, ..files.tls() };
    let harness = Harness::start(files.config(tls));
    let port = harness.port(0);
    // TLS 1.3 tells a client late that its certificate is missing.
    if let Ok(stream) = files.connect(port, "h2", None, BOTH).await {
        assert!(!grpc_works(stream).await, "no certificate");
    }
    let stranger = issue(&authority(), "client", "mallory");
    if let Ok(stream) = files.connect(port, "h2", Some(stranger), BOTH).await {
        assert!(!grpc_works(stream).await, "certificate of another authority");
    }
    let alice = issue(&files.ca, "client", "alice");
    let stream = files.connect(port, "h2", Some(alice), BOTH).await.unwrap();
    let client = Client::over(stream, h2::client::Builder::new()).await;
    let path = "/etcdserverpb.Cluster/MemberList";
    assert_eq!(client.call(path, &[], framed(&[])).await.outcome.0, 0);
    assert_eq!(harness.knobs.last_caller.lock().unwrap().common_name.as_deref(), Some("alice"));
    assert_eq!(client.call(path, &[("grpcgateway-accept", "x")], framed(&[])).await.outcome.0, 0);
    assert_eq!(harness.knobs.last_caller.lock().unwrap().common_name, None);
}

#[tokio::test]
async fn allowed_host_names() {
    let files = Files::new();
    let trusted_ca = Some(files.path("ca.pem"));
    let tls = Tls { trusted_ca, allowed_hostnames: vec!["good.example".into()], ..files.tls() };
    let harness = Harness::start(files.config(tls));
    for (host, expected) in [("good.example", true), ("evil.example", false)] {
        let identity = Some(issue(&files.ca, host, "name"));
        let works = match files.connect(harness.port(0), "h2", identity, BOTH).await {
            Ok(stream) => grpc_works(stream).await,
            Err(_) => false,
        };
        assert_eq!(works, expected, "{host}");
    }
}

#[tokio::test]
async fn revoked_certificates() {
    let files = Files::new();
    let identity = |serial: u64| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &files.ca).unwrap().pem(), key.serialize_pem())
    };
    let list = |revoked: u64| {
        let revoked = RevokedCertParams {
            serial_number: revoked.into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&files.ca).unwrap()
    };
    let works =
        async |port: u16, serial: u64| match files.connect(port, "h2", Some(identity(serial)), BOTH).await {
            Ok(stream) => grpc_works(stream).await,
            Err(_) => false,
        };
    fs::write(files.path("crl"), list(7).pem().unwrap()).unwrap();
    let trusted_ca = Some(files.path("ca.pem"));
    let tls = Tls { trusted_ca, client_cert_auth: true, crl: Some(files.path("crl")), ..files.tls() };
    let mut config = files.config(tls);
    config.listen.listeners.push(Listener::parse("https://127.0.0.1:0", Traffic::Grpc).unwrap());
    let harness = Harness::start(config);
    for listener in 0..2 {
        assert!(works(harness.port(listener), 8).await);
        assert!(!works(harness.port(listener), 7).await);
    }
    // The list is read again when it changes, in DER too.
    fs::write(files.path("crl"), list(123_456_789).der()).unwrap();
    assert!(works(harness.port(0), 7).await);
}

#[tokio::test]
async fn versions_and_suites() {
    let files = Files::new();
    let tls = Tls { version_min: Some(TlsVersion::Tls13), ..files.tls() };
    let harness = Harness::start(files.config(tls));
    files.connect(harness.port(0), "h2", None, &[&version::TLS12]).await.unwrap_err();
    files.connect(harness.port(0), "h2", None, &[&version::TLS13]).await.unwrap();
    let suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let tls = Tls { cipher_suites: vec![suite.into()], version_max: Some(TlsVersion::Tls12), ..files.tls() };
    let harness = Harness::start(files.config(tls));
    let stream = files.connect(harness.port(0), "h2", None, BOTH).await.unwrap();
    assert_eq!(format!("{:?}", stream.get_ref().1.negotiated_cipher_suite().unwrap().suite()), suite);
}

#[tokio::test]
async fn changed_files_are_used_and_broken_ones_are_not() {
    let files = Files::new();
    let harness = Harness::start(files.config(files.tls()));
    let subject = async || {
        let stream = files.connect(harness.port(0), "h2", None, BOTH).await.unwrap();
        crate::der::common_name(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap()
    };
    assert_eq!(subject().await, "server one");
    files.write_server("the second server");
    assert_eq!(subject().await, "the second server");
    fs::write(files.path("cert.pem"), "broken").unwrap();
    assert_eq!(subject().await, "the second server");
}

#[test]
fn unusable_settings_are_refused() {
    let files = Files::new();
    let missing = |name: &str| files.path(name);
    fs::write(missing("empty"), "").unwrap();
    let (_, other_key) = issue(&files.ca, "localhost", "other");
    fs::write(missing("other.key"), other_key).unwrap();
    let cases = [
        (Tls { cert: missing("none"), ..files.tls() }, "--cert-file: cannot read"),
        (Tls { cert: missing("empty"), ..files.tls() }, "no certificate found"),
        (Tls { key: missing("other.key"), ..files.tls() }, "certificate"),
        (
            Tls { client_cert_auth: true, ..files.tls() },
            "--client-cert-auth: certificates are demanded, but no trusted CA file",
        ),
        (Tls { allowed_hostnames: vec!["h".into()], ..files.tls() }, "--client-cert-allowed-hostname: "),
        (
            Tls { cipher_suites: vec!["TLS_RSA_WITH_AES_128_CBC_SHA".into()], ..files.tls() },
            "--cipher-suites: cipher suite",
        ),
        (
            Tls { version_min: Some(TlsVersion::Tls13), version_max: Some(TlsVersion::Tls12), ..files.tls() },
            "--tls-min-version: min version is greater",
        ),
    ];
    for (tls, expected) in cases {
        let error = open(&files.config(tls).listen).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut without = files.config(files.tls());
    without.listen.client_tls = None;
    let error = open(&without.listen).err().unwrap();
    assert!(error.to_string().contains("must be provided"), "{error}");
    assert!(Path::new(&files.path("cert.pem")).exists());
}
