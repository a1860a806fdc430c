//! Keys for signing tokens: from the files that etcd takes to what signs and verifies.

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
        RsaEncoding, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
    },
};

use super::pem::first_block;
use crate::der;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// Of a SEC1 key.
const PUBLIC_PART: u8 = 0xa1;
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// What the option of signed tokens says of keys: the content of its files.
#[derive(Clone, Debug, Default)]
pub struct SigningKeys {
    /// `pub-key`.
    pub public: Option<Vec<u8>>,
    /// `priv-key`; with HS methods the secret itself.
    pub private: Option<Vec<u8>>,
}

/// Why there is nothing to sign or verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No such method.
    #[error("auth: invalid auth options")]
    Method,
    /// A method of etcd's that is not there.
    #[error("auth: sign-method {0} is not supported")]
    Unsupported(String),
    /// Neither key was given; HS methods want the private one.
    #[error("auth: missing key data")]
    Missing,
    /// They do not belong together.
    #[error("auth: public and private keys don't match")]
    Mismatch,
    /// A file holds no key of that kind.
    #[error("auth: {0} holds no key for sign-method {1}")]
    NoKey(&'static str, String),
}

/// The secret half.
enum Secret {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// What a method signs and verifies with.
pub(super) struct Key {
    /// `None` when tokens can only be verified.
    secret: Option<Secret>,
    public: Option<UnparsedPublicKey<Vec<u8>>>,
}

impl Key {
    /// The key of a method by its name in tokens.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub(super) fn new(method: &str, keys: &SigningKeys) -> Result<Key, KeyError> {
        use signature as s;
        match method {
            "HS256" => hmac_key(hmac::HMAC_SHA256, keys),
            "HS384" => hmac_key(hmac::HMAC_SHA384, keys),
            "HS512" => hmac_key(hmac::HMAC_SHA512, keys),
            "RS256" => rsa_key(method, keys, &s::RSA_PKCS1_SHA256, &s::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => rsa_key(method, keys, &s::RSA_PKCS1_SHA384, &s::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => rsa_key(method, keys, &s::RSA_PKCS1_SHA512, &s::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => rsa_key(method, keys, &s::RSA_PSS_SHA256, &s::RSA_PSS_2048_8192_SHA256),
            "PS384" => rsa_key(method, keys, &s::RSA_PSS_SHA384, &s::RSA_PSS_2048_8192_SHA384),
            "PS512" => rsa_key(method, keys, &s::RSA_PSS_SHA512, &s::RSA_PSS_2048_8192_SHA512),
            "ES256" => ec_key(method, keys, &P256),
            "ES384" => ec_key(method, keys, &P384),
            "EdDSA" => ed_key(method, keys),
            "ES512" | "none" => Err(KeyError::Unsupported(method.into())),
            _ => Err(KeyError::Method),
        }
    }

    /// Whether tokens can be signed, too.
    pub(super) fn signs(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether signing takes long.
    pub(super) fn signs_slowly(&self) -> bool {
        matches!(self.secret, Some(Secret::Rsa(..)))
    }

    /// The signature of a message; `None` without a secret, or without random numbers.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self.secret.as_ref()? {
            Secret::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Secret::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
            Secret::Ec(pair) => Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
            Secret::Ed(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Whether a signature is this key's.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match (&self.secret, &self.public) {
            (Some(Secret::Hmac(key)), _) => hmac::verify(key, message, signature).is_ok(),
            (_, Some(public)) => public.verify(message, signature).is_ok(),
            (_, None) => false,
        }
    }
}

fn hmac_key(algorithm: hmac::Algorithm, keys: &SigningKeys) -> Result<Key, KeyError> {
    let secret = keys.private.as_deref().filter(|secret| !secret.is_empty()).ok_or(KeyError::Missing)?;
    Ok(Key { secret: Some(Secret::Hmac(hmac::Key::new(algorithm, secret))), public: None })
}

/// The public key, and the check that it belongs to the private one.
fn pair(
    secret: Option<(Secret, Vec<u8>)>,
    public: Option<Vec<u8>>,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Result<Key, KeyError> {
    let (secret, public) = match (secret, public) {
        (None, None) => return Err(KeyError::Missing),
        (Some((_, own)), Some(public)) if own != public => return Err(KeyError::Mismatch),
        (Some((secret, own)), _) => (Some(secret), own),
        (None, Some(public)) => (None, public),
    };
    Ok(Key { secret, public: Some(UnparsedPublicKey::new(algorithm, public)) })
}

/// The DER in a file that was given, empty files being none.
fn der_of<T>(
    file: Option<&Vec<u8>>,
    option: &'static str,
    method: &str,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, KeyError> {
    let Some(file) = file.filter(|file| !file.is_empty()) else { return Ok(None) };
    let parsed = first_block(file).and_then(|der| parse(&der));
    parsed.map(Some).ok_or_else(|| KeyError::NoKey(option, method.into()))
}

fn rsa_key(
    method: &str,
    keys: &SigningKeys,
    encoding: &'static dyn RsaEncoding,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Result<Key, KeyError> {
    let secret = der_of(keys.private.as_ref(), "priv-key", method, |der| {
        let pair = RsaKeyPair::from_der(der).or_else(|_| RsaKeyPair::from_pkcs8(der)).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        Some((Secret::Rsa(Box::new(pair), encoding), public))
    })?;
    let public = der_of(keys.public.as_ref(), "pub-key", method, |der| match public_key(der, RSA, None) {
        Some(key) => Some(key),
        // PKCS #1: the numbers alone.
        None => match der::element(der)? {
            (SEQUENCE, numbers, b"") if der::element(numbers)?.0 == INTEGER => Some(der.to_vec()),
            _ => None,
        },
    })?;
    pair(secret, public, algorithm)
}

/// A curve, as far as keys on it need it.
struct Curve {
    oid: &'static [u8],
    bytes: usize,
    signing: &'static EcdsaSigningAlgorithm,
    verifying: &'static dyn VerificationAlgorithm,
}

static P256: Curve = Curve {
    oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
    bytes: 32,
    signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
    verifying: &ECDSA_P256_SHA256_FIXED,
};
static P384: Curve = Curve {
    oid: &[0x2b, 0x81, 0x04, 0x00, 0x22],
    bytes: 48,
    signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
    verifying: &ECDSA_P384_SHA384_FIXED,
};

fn ec_key(method: &str, keys: &SigningKeys, curve: &'static Curve) -> Result<Key, KeyError> {
    let point = |der: &[u8]| public_key(der, EC, Some(curve.oid));
    let public = der_of(keys.public.as_ref(), "pub-key", method, point)?;
    let secret = der_of(keys.private.as_ref(), "priv-key", method, |der| {
        let (number, own) = sec1(der).or_else(|| sec1(pkcs8_content(der, EC)?))?;
        let mut padded = vec![0; curve.bytes.checked_sub(number.len())?];
        padded.extend_from_slice(number);
        // A file without the public part can do with the other file's.
        let own = own.or(public.clone())?;
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(curve.signing, &padded, &own, &random).ok()?;
        Some((Secret::Ec(pair), own))
    })?;
    pair(secret, public, curve.verifying)
}

fn ed_key(method: &str, keys: &SigningKeys) -> Result<Key, KeyError> {
    let secret = der_of(keys.private.as_ref(), "priv-key", method, |der| {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        Some((Secret::Ed(pair), public))
    })?;
    let public = der_of(keys.public.as_ref(), "pub-key", method, |der| public_key(der, ED25519, None))?;
    pair(secret, public, &signature::ED25519)
}

/// The key in a `SubjectPublicKeyInfo`, or in a certificate, when it is of that kind.
fn public_key(der: &[u8], kind: &[u8], parameter: Option<&[u8]>) -> Option<Vec<u8>> {
    let whole = der::element(der)?;
    if whole.0 != SEQUENCE {
        return None;
    }
    of_kind(whole.1, kind, parameter).or_else(|| {
        let subject = der::from_subject(der)?;
        let (_, _, after) = der::element(subject)?;
        of_kind(der::element(after)?.1, kind, parameter)
    })
}

/// The key in the content of a `SubjectPublicKeyInfo`.
fn of_kind(info: &[u8], kind: &[u8], parameter: Option<&[u8]>) -> Option<Vec<u8>> {
    let (SEQUENCE, algorithm, after) = der::element(info)? else { return None };
    if !is_algorithm(algorithm, kind, parameter) {
        return None;
    }
    match der::element(after)? {
        // No unused bits.
        (BIT_STRING, [0, key @ ..], _) => Some(key.to_vec()),
        _ => None,
    }
}

fn is_algorithm(algorithm: &[u8], kind: &[u8], parameter: Option<&[u8]>) -> bool {
    match der::element(algorithm) {
        Some((OID, found, rest)) if found == kind => parameter.is_none_or(|wanted| {
            der::element(rest).is_some_and(|(tag, content, _)| tag == OID && content == wanted)
        }),
        _ => false,
    }
}

/// The key inside of PKCS #8.
fn pkcs8_content<'a>(der: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let (SEQUENCE, content, _) = der::element(der)? else { return None };
    let (INTEGER, _, rest) = der::element(content)? else { return None };
    let (SEQUENCE, algorithm, rest) = der::element(rest)? else { return None };
    let (OCTET_STRING, key, _) = der::element(rest)? else { return None };
    is_algorithm(algorithm, kind, None).then_some(key)
}

/// The number of a SEC1 key, and the point that belongs to it, if that is there.
fn sec1(der: &[u8]) -> Option<(&[u8], Option<Vec<u8>>)> {
    let (SEQUENCE, content, _) = der::element(der)? else { return None };
    let (INTEGER, [1], rest) = der::element(content)? else { return None };
    let (OCTET_STRING, number, mut rest) = der::element(rest)? else { return None };
    let mut point = None;
    while !rest.is_empty() {
        let (tag, content, after) = der::element(rest)?;
        rest = after;
        if tag == PUBLIC_PART
            && let (BIT_STRING, [0, key @ ..], _) = der::element(content)?
        {
            point = Some(key.to_vec());
        }
    }
    Some((number, point))
}
