//! Whether a certificate comes from where it says: the address of a member that connects must be one of those that
//! its certificate names, if it names any (upstream: client/pkg/transport/listener_tls.go, checkCertSAN).

use std::net::{IpAddr, SocketAddr};

use tokio::{net::lookup_host, task::spawn_blocking};

use crate::der;

/// Names of one certificate that are looked up; further ones do not count.
const NAMES_MAX: usize = 64;

/// Why the origin does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("address {0}: missing port in address")]
    NoAddress(String),
    #[error("tls: certificate is not readable")]
    Unreadable,
    #[error("x509: certificate is valid for {}, not {host}", join(.addresses))]
    Address { host: IpAddr, addresses: Vec<IpAddr> },
    #[error("tls: {:?} does not match any of DNSNames {names:?}", host.to_string())]
    Name { host: IpAddr, names: Vec<String> },
}

fn join(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Checks a certificate that was verified against the address that it came from, `host:port`.
///
/// # Errors
/// When it names hosts, and not that one.
pub(super) async fn check(certificate: &[u8], remote: &str) -> Result<(), OriginError> {
    let named = der::alternative_names(certificate).ok_or(OriginError::Unreadable)?;
    if named.addresses.is_empty() && named.hosts.is_empty() {
        return Ok(());
    }
    let remote: SocketAddr = remote.parse().map_err(|_| OriginError::NoAddress(remote.to_owned()))?;
    let host = remote.ip().to_canonical();
    if named.addresses.contains(&host) {
        return Ok(());
    }
    if named.hosts.is_empty() {
        return Err(OriginError::Address { host, addresses: named.addresses });
    }
    if is_called(host, &named.hosts).await || resolves_to(host, &named.hosts).await {
        return Ok(());
    }
    Err(OriginError::Name { host, names: named.hosts })
}

/// Whether the address is called one of `names`, which may begin with `*.`.
async fn is_called(host: IpAddr, names: &[String]) -> bool {
    let called = spawn_blocking(move || dns_lookup::lookup_addr(&host)).await;
    // No name is none that fits; a lookup that panicked has said so.
    called.is_ok_and(|called| called.is_ok_and(|called| fits(called.trim_end_matches('.'), names)))
}

fn fits(called: &str, names: &[String]) -> bool {
    names.iter().any(|name| match name.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') => called.ends_with(suffix),
        _ => called == name,
    })
}

/// Whether one of `names` has the address.
async fn resolves_to(host: IpAddr, names: &[String]) -> bool {
    let plain = names.iter().filter(|name| !name.starts_with("*."));
    for name in plain.take(NAMES_MAX) {
        if let Ok(mut found) = lookup_host((name.as_str(), 0)).await
            && found.any(|address| address.ip().to_canonical() == host)
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(names: &[&str]) -> Vec<u8> {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let params = CertificateParams::new(names).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[tokio::test]
    async fn certificates_come_from_where_they_say() {
        let cases: [(&[&str], &str, bool); 8] = [
            (&[], "192.0.2.1:7", true),
            (&["192.0.2.1", "192.0.2.9"], "192.0.2.9:7", true),
            (&["192.0.2.1"], "[::ffff:192.0.2.1]:7", true),
            (&["192.0.2.1"], "192.0.2.2:7", false),
            (&["2001:db8::1"], "[2001:db8::1]:7", true),
            (&["localhost", "192.0.2.1"], "127.0.0.1:7", true),
            (&["127.0.0.1"], "@", false),
            (&[], "@", true),
        ];
        for (names, remote, expected) in cases {
            let result = check(&certificate(names), remote).await;
            assert_eq!(result.is_ok(), expected, "{names:?} from {remote}: {result:?}");
        }
        assert_eq!(check(b"noise", "192.0.2.1:7").await, Err(OriginError::Unreadable));
        let error = check(&certificate(&["192.0.2.1"]), "192.0.2.2:7").await.unwrap_err();
        assert_eq!(error.to_string(), "x509: certificate is valid for 192.0.2.1, not 192.0.2.2");
    }

    #[test]
    fn wildcards_stand_for_the_front_of_a_name() {
        let names = ["*.cluster.example".to_owned(), "m1.example".to_owned()];
        for (called, expected) in [
            ("a.cluster.example", true),
            ("cluster.example", false),
            ("m1.example", true),
            ("m2.example", false),
        ] {
            assert_eq!(fits(called, &names), expected, "{called}");
        }
    }
}
