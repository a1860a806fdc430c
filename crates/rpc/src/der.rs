//! Names in a certificate: just enough DER to find them. The certificate was verified before.

use std::net::IpAddr;

/// Tags (X.690, 8.1.2).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Of the alternative names (RFC 5280, 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Where the bearer of a certificate may be found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AlternativeNames {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) hosts: Vec<String>,
}

/// The certificate from the subject on.
pub(crate) fn from_subject(certificate: &[u8]) -> Option<&[u8]> {
    let (tag, certificate, _) = element(certificate)?;
    let (tbs_tag, mut rest, _) = element((tag == SEQUENCE).then_some(certificate)?)?;
    if tbs_tag != SEQUENCE {
        return None;
    }
    if element(rest)?.0 == VERSION {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    Some(rest)
}

/// The alternative names; empty ones when there are none, `None` when the certificate is not readable.
pub(crate) fn alternative_names(certificate: &[u8]) -> Option<AlternativeNames> {
    // Subject, key, and what few certificates have.
    let mut rest = from_subject(certificate)?;
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        rest = after;
        if tag == EXTENSIONS {
            return names_of_extensions(content);
        }
    }
    Some(AlternativeNames::default())
}

fn names_of_extensions(extensions: &[u8]) -> Option<AlternativeNames> {
    let (SEQUENCE, mut rest, _) = element(extensions)? else {
        return None;
    };
    while !rest.is_empty() {
        let (SEQUENCE, extension, after) = element(rest)? else {
            return None;
        };
        rest = after;
        let (OID, kind, mut value) = element(extension)? else {
            return None;
        };
        if kind != ALTERNATIVE_NAMES {
            continue;
        }
        // The mark of a critical extension may stand before the value.
        loop {
            let (tag, content, after) = element(value)?;
            if tag == OCTET_STRING {
                return names_of_list(content);
            }
            value = after;
        }
    }
    Some(AlternativeNames::default())
}

fn names_of_list(list: &[u8]) -> Option<AlternativeNames> {
    let (SEQUENCE, mut rest, _) = element(list)? else {
        return None;
    };
    let mut names = AlternativeNames::default();
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        rest = after;
        match tag {
            DNS_NAME => names.hosts.push(std::str::from_utf8(content).ok()?.to_owned()),
            IP_ADDRESS => names.addresses.push(address(content)?.to_canonical()),
            _ => {}
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The last common name in the subject, as Go reads it; `None` when there is none or it is empty.
pub(crate) fn common_name(certificate: &[u8]) -> Option<String> {
    let (SEQUENCE, mut names, _) = element(from_subject(certificate)?)? else {
        return None;
    };
    let mut found = None;
    while !names.is_empty() {
        let (SET, mut set, after) = element(names)? else {
            return None;
        };
        names = after;
        while !set.is_empty() {
            let (SEQUENCE, attribute, after) = element(set)? else {
                return None;
            };
            set = after;
            let (OID, kind, value) = element(attribute)? else {
                return None;
            };
            if kind == COMMON_NAME {
                let (_, text, _) = element(value)?;
                found = Some(std::str::from_utf8(text).ok()?.to_owned());
            }
        }
    }
    found.filter(|name| !name.is_empty())
}

/// The first element: its tag, its content, and what follows it. Tags and lengths as DER has them.
pub(crate) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let len = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit))
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(len)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn finds_the_common_name() {
        let der = certificate(&[(DnType::OrganizationName, "org"), (DnType::CommonName, "alice")]);
        assert_eq!(common_name(&der).as_deref(), Some("alice"));
        assert_eq!(common_name(&certificate(&[(DnType::OrganizationName, "org")])), None);
        for cut in 0..der.len() {
            assert_eq!(common_name(&der[..cut]), None);
        }
    }

    #[test]
    fn finds_alternative_names() {
        let names = |list: &[&str]| {
            let list = list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let params = CertificateParams::new(list).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
        };
        let der = names(&["a.example", "192.0.2.7", "*.b.example", "2001:db8::1"]);
        let found = alternative_names(&der).unwrap();
        assert_eq!(found.hosts, ["a.example", "*.b.example"]);
        assert_eq!(found.addresses, ["192.0.2.7", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(alternative_names(&names(&[])), Some(AlternativeNames::default()));
        for cut in 0..der.len() {
            assert_eq!(alternative_names(&der[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = common_name(&bytes);
            let _ = alternative_names(&bytes);
        }
    }
}
