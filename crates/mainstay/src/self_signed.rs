//! `--auto-tls` and `--peer-auto-tls`: certificates of our own making. They encrypt, and prove nothing: whoever connects
//! trusts any certificate.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use config::{Settings, Tls, Url};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use telemetry::line;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Makes the certificates that the settings ask for, unless they are there from an earlier start, and puts their
/// places into the settings.
///
/// # Errors
/// When they cannot be made, or written below the data directory.
pub(crate) fn make(settings: &mut Settings) -> Result<()> {
    let fixtures = settings.member.data_dir.join("fixtures");
    let years = settings.tls_policy.self_signed_years;
    let listeners = &settings.listeners;
    let for_clients: Vec<&Url> = listeners.client.iter().chain(&listeners.client_http).collect();
    let for_peers: Vec<&Url> = listeners.peer.iter().collect();
    make_for(&mut settings.peer_tls, "peer", &fixtures.join("peer"), &for_peers, years)?;
    make_for(&mut settings.client_tls, "client", &fixtures.join("client"), &for_clients, years)
}

fn make_for(tls: &mut Tls, whom: &str, dir: &Path, urls: &[&Url], years: u32) -> Result<()> {
    if !tls.auto {
        return Ok(());
    }
    if !tls.is_empty() {
        line!(Warn, &format!("ignoring {whom} auto TLS since certs given"));
        tls.auto = false;
        return Ok(());
    }
    if years == 0 {
        bail!("selfSignedCertValidity is invalid,it should be greater than 0");
    }
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if !(cert.exists() && key.exists()) {
        let hosts: Vec<&str> = urls.iter().map(|url| url.host()).collect();
        write_pair(dir, &cert, &key, &hosts, years)
            .with_context(|| format!("cannot make a certificate in {}", dir.display()))?;
    }
    (tls.client_cert, tls.client_key) = (Some(cert.clone()), Some(key.clone()));
    (tls.cert, tls.key) = (Some(cert), Some(key));
    Ok(())
}

fn write_pair(dir: &Path, cert_path: &Path, key_path: &Path, hosts: &[&str], years: u32) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "etcd");
    params.distinguished_name = name;
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + YEAR * years).into();
    line!(Warn, "automatically generate certificates",
        "certificate-validity-bound-not-after" => params.not_after.to_string());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for host in hosts {
        params.subject_alt_names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*host).try_into()?),
        });
    }
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    // The key first: a certificate without it would be taken for a pair that is complete.
    write_new(key_path, key.serialize_pem().as_bytes(), 0o600)?;
    line!(Info, "created key file", "path" => key_path.display().to_string());
    write_new(cert_path, cert.pem().as_bytes(), 0o644)?;
    line!(Info, "created cert file", "path" => cert_path.display().to_string());
    Ok(())
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_pair_is_made_once_and_used_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, two) = (url("https://127.0.0.1:2379"), url("https://a.example:2379"));
        let mut tls = Tls { auto: true, ..Tls::default() };
        make_for(&mut tls, "client", dir.path(), &[&one, &two], 1).expect("a certificate");
        let (cert, key) = (tls.cert.clone().expect("a certificate"), tls.key.clone().expect("a key"));
        let mode = fs::metadata(&key).expect("the key is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else may read the key");
        let first = fs::read(&cert).expect("the certificate is there");

        let mut again = Tls { auto: true, ..Tls::default() };
        make_for(&mut again, "client", dir.path(), &[&one], 1).expect("the same certificate");
        assert_eq!((again.cert.as_ref(), again.client_key.as_ref()), (Some(&cert), Some(&key)));
        assert_eq!(fs::read(&cert).expect("it is there"), first);
    }

    #[test]
    fn given_certificates_win_and_no_years_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let given = Tls { auto: true, cert: Some("c".into()), key: Some("k".into()), ..Tls::default() };
        let mut tls = given.clone();
        make_for(&mut tls, "peer", dir.path(), &[], 1).expect("nothing to do");
        assert_eq!(tls, Tls { auto: false, ..given });
        let mut tls = Tls { auto: true, ..Tls::default() };
        let error = make_for(&mut tls, "peer", dir.path(), &[], 0).expect_err("no years");
        assert_eq!(error.to_string(), "selfSignedCertValidity is invalid,it should be greater than 0");
    }
}
