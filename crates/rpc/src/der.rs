//! The common name of a certificate: just enough DER to find it. The certificate was verified before.

/// Tags (X.690, 8.1.2).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const VERSION: u8 = 0xa0;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The last common name in the subject, as Go reads it; `None` when there is none or it is empty.
pub(crate) fn common_name(certificate: &[u8]) -> Option<String> {
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
    let (SEQUENCE, mut names, _) = element(rest)? else {
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
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
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

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = common_name(&bytes);
        }
    }
}
