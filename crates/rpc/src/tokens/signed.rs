//! Signed tokens: JSON web tokens as etcd makes and reads them (upstream: server/auth/jwt.go and the library it uses).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD},
};
use node::{Claims, Subject};
use serde_json::{Value, json};

use super::keys::{Key, KeyError, SigningKeys};

/// Go's raw URL encoding: no padding, forgiving about unused bits of the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, FORGIVING);
const FORGIVING: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
/// Good tokens that are remembered, so that not each request pays for the signature.
const KNOWN_MAX: usize = 4096;
/// Longer ones are not; bytes.
const KNOWN_BYTES_MAX: usize = 2048;

/// Makes and reads signed tokens.
pub struct Signer {
    method: String,
    /// How long a token is good, in nanoseconds.
    ttl_nanos: i64,
    key: Key,
    known: Mutex<HashMap<Box<str>, Claims>>,
}

impl Signer {
    /// Signs with `method` (`sign-method`); its tokens are good for so long.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new(method: &str, keys: &SigningKeys, ttl_nanos: i64) -> Result<Signer, KeyError> {
        let key = Key::new(method, keys)?;
        Ok(Signer { method: method.into(), ttl_nanos, key, known: Mutex::default() })
    }

    /// Whether tokens can be signed, and not only be verified.
    pub(crate) fn signs(&self) -> bool {
        self.key.signs()
    }

    /// Whether signing takes so long that others should not wait for it.
    pub(crate) fn signs_slowly(&self) -> bool {
        self.key.signs_slowly()
    }

    /// A token for a user that logged in at an auth revision; `None` when it cannot be signed.
    pub(crate) fn sign(&self, user: &str, revision: u64, now: SystemTime) -> Option<String> {
        let nanos = i128::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).ok()?;
        let exp = (nanos + i128::from(self.ttl_nanos)).div_euclid(1_000_000_000);
        let header = json!({ "alg": self.method, "typ": "JWT" });
        let claims = json!({ "exp": i64::try_from(exp).ok()?, "revision": revision, "username": user });
        let mut token = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(token.as_bytes())?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Some(token)
    }

    /// Signs whatever it is given.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn fuzz_signed(&self, header: &[u8], claims: &[u8]) -> Option<String> {
        let mut token = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self.key.sign(token.as_bytes())?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Some(token)
    }

    /// What a token says; `None` when it is not ours, not good yet, or not good any more.
    pub(crate) fn claims_of(&self, token: &str) -> Option<Claims> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = known.get(token) {
            return Some(claims.clone()).filter(|claims| claims.are_good_at(now_ms));
        }
        drop(known);
        let claims = self.read(token, now_ms)?;
        if token.len() > KNOWN_BYTES_MAX {
            return Some(claims);
        }
        known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.into(), claims.clone());
        Some(claims)
    }

    /// Reads a token. Nothing in it but the method's name is looked at before the signature is verified.
    fn read(&self, token: &str, now_ms: u64) -> Option<Claims> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        if decode(header)?.get("alg")?.as_str()? != self.method {
            return None;
        }
        if !self.key.verify(message.as_bytes(), &BASE64.decode(signature).ok()?) {
            return None;
        }
        let claims = decode(payload)?;
        let not_before = time(&claims, "nbf")?;
        let expires_unix_ms = time(&claims, "exp")?;
        if not_before.is_some_and(|begin| now_ms < begin) || expires_unix_ms.is_some_and(|end| now_ms >= end)
        {
            return None;
        }
        let user = claims.get("username")?.as_str()?.to_owned();
        // As Go makes an integer of a number.
        let revision = claims.get("revision")?.as_f64()? as u64;
        Some(Claims { subject: Subject { user, revision }, expires_unix_ms })
    }
}

fn encode(part: &Value) -> String {
    BASE64.encode(part.to_string())
}

/// A part of a token, which is a JSON object.
fn decode(part: &str) -> Option<Value> {
    let part = serde_json::from_slice::<Value>(&BASE64.decode(part).ok()?).ok()?;
    part.is_object().then_some(part)
}

/// A time among the claims, in milliseconds, cut to whole seconds; 0 counts as none. `None` when it is no time.
fn time(claims: &Value, name: &str) -> Option<Option<u64>> {
    let Some(value) = claims.get(name) else { return Some(None) };
    let secs = value.as_f64()?;
    // What is far out of range ends up at its end.
    Some((secs != 0.0).then_some((secs.trunc() as u64).saturating_mul(1000)))
}
