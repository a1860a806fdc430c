//! Certificates, and what is asked of those who connect.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Problem;
use crate::{
    golang::{quote, quote_list},
    values::Values,
};

/// Certificates for one kind of connections, and what is asked of those who connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Our certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Our certificate where we connect ourselves; `None` for `cert`.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// Who may sign the others' certificates; given, it makes certificates mandatory.
    pub trusted_ca: Option<PathBuf>,
    /// The others' certificates that are revoked.
    pub crl: Option<PathBuf>,
    /// The others must have certificates.
    pub client_cert_auth: bool,
    /// Common names that the others' certificates may have; empty for any.
    pub allowed_cns: Vec<String>,
    /// Host names that the others' certificates may be for; empty for any.
    pub allowed_hostnames: Vec<String>,
    /// Make a certificate of our own.
    pub auto: bool,
    /// Do not compare names in the others' certificates with where they come from.
    pub skip_san_check: bool,
}

/// What versions and ciphers TLS may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// Lowest version; `None` for TLS 1.2.
    pub version_min: Option<TlsVersion>,
    /// Highest version; `None` for the newest.
    pub version_max: Option<TlsVersion>,
    /// Names as the IANA has them; empty for a sound choice.
    pub cipher_suites: Vec<String>,
    /// Years for which certificates of our own making last.
    pub self_signed_years: u32,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// Cipher suites that etcd knows by name, those that no one should use included: they get an answer of their own
/// when TLS is set up.
const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

impl Tls {
    /// Whether there is no certificate.
    pub fn is_empty(&self) -> bool {
        self.cert.is_none() && self.key.is_none()
    }

    pub(super) fn for_clients(values: &Values) -> Tls {
        Tls {
            cert: path(values, "cert-file"),
            key: path(values, "key-file"),
            client_cert: path(values, "client-cert-file"),
            client_key: path(values, "client-key-file"),
            trusted_ca: path(values, "trusted-ca-file"),
            crl: path(values, "client-crl-file"),
            client_cert_auth: values.bool("client-cert-auth"),
            allowed_cns: values.list("client-transport-security.allowed-cn"),
            allowed_hostnames: values.list("client-cert-allowed-hostname"),
            auto: values.bool("auto-tls"),
            skip_san_check: false,
        }
    }

    pub(super) fn for_peers(values: &Values) -> Tls {
        Tls {
            cert: path(values, "peer-cert-file"),
            key: path(values, "peer-key-file"),
            client_cert: path(values, "peer-client-cert-file"),
            client_key: path(values, "peer-client-key-file"),
            trusted_ca: path(values, "peer-trusted-ca-file"),
            crl: path(values, "peer-crl-file"),
            client_cert_auth: values.bool("peer-client-cert-auth"),
            allowed_cns: values.list("peer-cert-allowed-cn"),
            allowed_hostnames: values.list("peer-cert-allowed-hostname"),
            auto: values.bool("peer-auto-tls"),
            skip_san_check: values.bool("peer-skip-client-san-verification"),
        }
    }

    /// Whether the settings fit together and the files can be read. Whether they hold what they should is found
    /// out where they are used.
    ///
    /// # Errors
    /// What does not fit, in etcd's words.
    pub(super) fn check(&self, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<(), Problem> {
        if self.is_empty() {
            return Ok(());
        }
        let (Some(_), Some(_)) = (&self.cert, &self.key) else {
            return Err(Problem::Start(format!(
                "KeyFile and CertFile must both be present[key: {}, cert: {}]",
                shown(&self.key),
                shown(&self.cert)
            )));
        };
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err(Problem::Start(format!(
                "ClientKeyFile and ClientCertFile must both be present or both absent: key: {}, cert: {}]",
                shown(&self.client_key),
                shown(&self.client_cert)
            )));
        }
        if !self.allowed_cns.is_empty() && !self.allowed_hostnames.is_empty() {
            return Err(Problem::Start(format!(
                "AllowedCNs and AllowedHostnames are mutually exclusive (cns={}, hostnames={})",
                quote_list(&self.allowed_cns),
                quote_list(&self.allowed_hostnames)
            )));
        }
        let files = [&self.cert, &self.key, &self.client_cert, &self.client_key, &self.trusted_ca, &self.crl];
        for file in files.into_iter().flatten() {
            read(file).map_err(|error| Problem::Start(open_error(file, &error)))?;
        }
        Ok(())
    }
}

/// As Go words it that a file cannot be opened.
pub(crate) fn open_error(path: &Path, error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default();
    let mut letters = reason.chars();
    let reason: String = letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect();
    format!("open {}: {reason}", path.display())
}

impl TlsPolicy {
    /// # Errors
    /// The rule that is broken, in etcd's words.
    pub(super) fn build(values: &Values) -> Result<TlsPolicy, Problem> {
        let (min, max) = (values.text("tls-min-version"), values.text("tls-max-version"));
        let (version_min, version_max) = (version(&min)?, version(&max)?);
        if version_max.is_some() && version_min > version_max {
            return Err(Problem::Flags(format!("min version ({min}) is greater than max version ({max})")));
        }
        let cipher_suites = values.list("cipher-suites");
        if version_min == Some(TlsVersion::Tls13) && !cipher_suites.is_empty() {
            return Err(Problem::Flags(
                "cipher suites cannot be configured when only TLS1.3 is enabled".into(),
            ));
        }
        Ok(TlsPolicy {
            version_min,
            version_max,
            cipher_suites: cipher_suites.into_iter().map(full_name).collect(),
            self_signed_years: u32::try_from(values.unsigned("self-signed-cert-validity"))
                .unwrap_or(u32::MAX),
        })
    }

    /// # Errors
    /// When a cipher suite has a name that etcd does not know.
    pub(super) fn check_cipher_suites(&self) -> Result<(), Problem> {
        match self.cipher_suites.iter().find(|name| !CIPHER_SUITES.contains(&name.as_str())) {
            Some(name) => Err(Problem::Start(format!("unexpected TLS cipher suite {}", quote(name)))),
            None => Ok(()),
        }
    }
}

/// Two suites have a short name too.
fn full_name(name: String) -> String {
    match name.as_str() {
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305" | "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305" => name + "_SHA256",
        _ => name,
    }
}

fn version(name: &str) -> Result<Option<TlsVersion>, Problem> {
    match name {
        "" => Ok(None),
        "TLS1.2" => Ok(Some(TlsVersion::Tls12)),
        "TLS1.3" => Ok(Some(TlsVersion::Tls13)),
        _ => {
            let name = quote(name);
            Err(Problem::Flags(format!("unexpected TLS version {name} (must be one of: TLS1.2, TLS1.3)")))
        }
    }
}

fn path(values: &Values, name: &str) -> Option<PathBuf> {
    values.text_option(name).map(PathBuf::from)
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
}
