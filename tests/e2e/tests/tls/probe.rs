//! A client that knocks: handshake, one request, and whether it was answered.

use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use e2e::PATIENCE;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{authority::Identity, server::Door};

/// What a listener understands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speaks {
    /// HTTP/2 alone.
    Grpc,
    /// HTTP/1.1, with a page of that path.
    Http(&'static str),
}

/// How a connection ended that was not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The client's own address, by which the log calls it.
    pub(crate) local: SocketAddr,
    pub(crate) error: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

/// What a client offers.
#[derive(Clone)]
pub(crate) enum Knocker {
    Tls(Arc<ClientConfig>),
    /// Bytes instead of a handshake. Whether anything but an alert comes back is what counts.
    Raw(Vec<u8>),
}

/// A client that judges nobody; servers are judged elsewhere.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows a certificate whether it fits or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A client that shows `identity`, or nothing.
pub(crate) fn client(identity: Option<&Identity>) -> Knocker {
    client_of(identity, &[&TLS13, &TLS12], &[])
}

/// As [`client`], of those versions, and with those protocols instead of what the listener speaks.
pub(crate) fn client_of(
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Knocker {
    let mut config = config(identity, versions);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Knocker::Tls(Arc::new(config))
}

pub(crate) fn config(
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(Arc::clone(&provider))));
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = provider.key_provider.load_private_key(identity.key()).unwrap();
            let shown = CertifiedKey::new(identity.chain.clone(), key);
            builder.with_client_cert_resolver(Arc::new(Shows(Arc::new(shown))))
        }
    }
}

pub(crate) fn connect(door: &Door) -> TcpStream {
    let socket = TcpStream::connect_timeout(&door.address, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Connects and asks; `Err` when that is not answered.
pub(crate) fn knock(door: &Door, knocker: &Knocker) -> Result<(), Refusal> {
    let socket = connect(door);
    let local = socket.local_addr().unwrap();
    let refused = |error: String| Err(Refusal { local, error });
    match knocker {
        Knocker::Raw(bytes) => raw(socket, bytes).map_err(|error| Refusal { local, error }),
        Knocker::Tls(config) => {
            let mut config = config.as_ref().clone();
            if config.alpn_protocols.is_empty() {
                let protocol: &[u8] = if matches!(door.speaks, Speaks::Grpc) { b"h2" } else { b"http/1.1" };
                config.alpn_protocols = vec![protocol.to_vec()];
            }
            let name = ServerName::try_from("localhost").unwrap();
            let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
            let mut socket = socket;
            while connection.is_handshaking() {
                if let Err(error) = connection.complete_io(&mut socket) {
                    return refused(error.to_string());
                }
            }
            let mut stream = StreamOwned::new(connection, socket);
            ask(&mut stream, door.speaks).or_else(refused)
        }
    }
}

/// One request, and the beginning of its answer.
pub(crate) fn ask(stream: &mut (impl Read + Write), speaks: Speaks) -> Result<(), String> {
    let (request, expected): (Vec<u8>, &[u8]) = match speaks {
        // The preface and empty settings; the server answers with its own, a frame of type 4 on stream 0.
        Speaks::Grpc => {
            let frame = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame[..]].concat(), &[4])
        }
        Speaks::Http(path) => {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            (request.into_bytes(), b"HTTP/1.1 200")
        }
    };
    stream.write_all(&request).and_then(|()| stream.flush()).map_err(|error| error.to_string())?;
    let mut answer = vec![0; if matches!(speaks, Speaks::Grpc) { 9 } else { 12 }];
    stream.read_exact(&mut answer).map_err(|error| error.to_string())?;
    let told = if matches!(speaks, Speaks::Grpc) { &answer[3..4] } else { &answer[..] };
    if told == expected { Ok(()) } else { Err(format!("answered {answer:?}")) }
}

/// Sends bytes and reads to the end: nothing but alerts may come.
fn raw(mut socket: TcpStream, bytes: &[u8]) -> Result<(), String> {
    // A server that has seen enough may close before it has everything.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let end = socket.read_to_end(&mut answer);
    const ALERT: u8 = 21;
    match (answer.first(), end) {
        (Some(&ALERT), _) => Err(format!("alert {:?}", &answer[5.min(answer.len())..])),
        (None, Ok(_)) => Err("closed".into()),
        (None, Err(error)) => Err(error.to_string()),
        (Some(_), _) => Ok(()),
    }
}
