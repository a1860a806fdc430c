use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use super::*;

const TTL: i64 = 300_000_000_000;
const RSA_PRIVATE: &[u8] = include_bytes!("testdata/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("testdata/rsa.pub.pem");
const RSA_PKCS1: &[u8] = include_bytes!("testdata/rsa.pkcs1.pem");
const EC_SEC1: &[u8] = include_bytes!("testdata/ec256.sec1.pem");

fn keys(private: &[u8], public: &[u8]) -> SigningKeys {
    let given = |file: &[u8]| Some(file.to_vec()).filter(|file| !file.is_empty());
    SigningKeys { private: given(private), public: given(public) }
}

fn generated(algorithm: &'static rcgen::SignatureAlgorithm) -> SigningKeys {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    keys(pair.serialize_pem().as_bytes(), pair.public_key_pem().as_bytes())
}

/// Each method with keys for it.
fn methods() -> Vec<(&'static str, SigningKeys)> {
    let mut all = Vec::new();
    for method in ["HS256", "HS384", "HS512"] {
        all.push((method, keys(b"a secret", b"")));
    }
    for method in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        all.push((method, keys(RSA_PRIVATE, RSA_PUBLIC)));
    }
    all.push(("ES256", generated(&PKCS_ECDSA_P256_SHA256)));
    all.push(("ES384", generated(&PKCS_ECDSA_P384_SHA384)));
    all.push(("EdDSA", generated(&PKCS_ED25519)));
    all
}

fn signer(method: &str, keys: &SigningKeys) -> Signer {
    Signer::new(method, keys, TTL).unwrap()
}

/// A token of our own making, whatever is in it.
fn token(signer_key: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer_key);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes())))
}

#[test]
fn every_method_reads_what_it_signs_and_nothing_else() {
    let all: Vec<_> = methods().into_iter().map(|(method, keys)| (method, signer(method, &keys))).collect();
    for (method, signer) in &all {
        let token = signer.sign("alice", 7, SystemTime::now()).unwrap();
        let claims = signer.claims_of(&token).unwrap_or_else(|| panic!("{method}"));
        assert_eq!((&*claims.subject.user, claims.subject.revision), ("alice", 7));
        assert!(claims.expires_unix_ms.is_some());
        for (other, verifier) in all.iter().filter(|(other, _)| other != method) {
            assert_eq!(verifier.claims_of(&token), None, "{other} takes a token of {method}");
        }
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let forged = URL_SAFE_NO_PAD.encode(r#"{"username":"root","revision":7}"#);
        assert_eq!(signer.claims_of(&format!("{}.{forged}.{}", parts[0], parts[2])), None, "{method}");
        assert_eq!(signer.claims_of(&format!("{}.{}.", parts[0], parts[1])), None, "{method}");
    }
}

#[test]
fn tokens_of_other_keys_are_foreign() {
    for (method, _) in methods().iter().filter(|(method, _)| !method.starts_with(['R', 'P'])) {
        let pick = || match *method {
            "ES256" => generated(&PKCS_ECDSA_P256_SHA256),
            "ES384" => generated(&PKCS_ECDSA_P384_SHA384),
            "EdDSA" => generated(&PKCS_ED25519),
            _ => SigningKeys { private: Some(KeyPair::generate().unwrap().serialize_der()), public: None },
        };
        let token = signer(method, &pick()).sign("alice", 7, SystemTime::now()).unwrap();
        assert_eq!(signer(method, &pick()).claims_of(&token), None, "{method}");
    }
}

#[test]
fn a_public_key_only_verifies() {
    for (method, keys) in methods().iter().filter(|(method, _)| !method.starts_with('H')) {
        let token = signer(method, keys).sign("alice", 7, SystemTime::now()).unwrap();
        let verifier = signer(method, &SigningKeys { private: None, ..keys.clone() });
        assert!(!verifier.signs() && verifier.claims_of(&token).is_some(), "{method}");
        assert_eq!(verifier.sign("alice", 7, SystemTime::now()), None);
    }
}

/// The key of a public method must not become the secret of a symmetric one.
#[test]
fn the_method_is_the_one_that_was_chosen() {
    let verifier = signer("RS256", &keys(b"", RSA_PUBLIC));
    let claims = r#"{"username":"root","revision":7}"#;
    for header in
        [r#"{"alg":"HS256"}"#, r#"{"alg":"none"}"#, r#"{"alg":"RS256"}"#, r#"{"alg":7}"#, "{}", "[]"]
    {
        assert_eq!(verifier.claims_of(&token(RSA_PUBLIC, header, claims)), None, "{header}");
    }
}

#[test]
fn times_and_claims_are_judged_as_in_go() {
    let signer = signer("HS256", &keys(b"k", b""));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let read = |claims: String| signer.claims_of(&token(b"k", r#"{"alg":"HS256","typ":"JWT"}"#, &claims));
    let good = r#""username":"alice","revision":7"#;
    let taken = |more: &str| read(format!("{{{good}{more}}}")).is_some();
    assert!(taken("") && taken(r#","exp":0"#) && taken(r#","nbf":1"#) && taken(r#","iat":99999999999"#));
    assert!(taken(&format!(r#","exp":{}"#, now + 60)) && taken(r#","exp":1e300"#));
    assert!(!taken(&format!(r#","exp":{}"#, now - 1)) && !taken(&format!(r#","nbf":{}"#, now + 60)));
    assert!(!taken(r#","exp":"1""#) && !taken(r#","exp":null"#) && !taken(r#","exp":-5"#));
    for claims in [
        r#"{"username":"alice"}"#,
        r#"{"revision":7}"#,
        r#"{"username":7,"revision":7}"#,
        r#"{"username":"alice","revision":"7"}"#,
        "[]",
        "7",
        "",
    ] {
        assert_eq!(read(claims.into()), None, "{claims}");
    }
}

#[test]
fn a_token_ends() {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let signer = signer("HS256", &keys(b"k", b""));
    assert_eq!(signer.claims_of(&signer.sign("alice", 7, hour_ago).unwrap()), None);
    let spent = Signer::new("HS256", &keys(b"k", b""), -1).unwrap();
    let token = spent.sign("alice", 7, SystemTime::now()).unwrap();
    assert_eq!(spent.claims_of(&token), None);
}

#[test]
fn keys_come_in_many_files() {
    let same = |method: &str, first: &SigningKeys, second: &SigningKeys| {
        let token = signer(method, first).sign("alice", 1, SystemTime::now()).unwrap();
        assert!(signer(method, second).claims_of(&token).is_some(), "{method}");
    };
    same("RS256", &keys(RSA_PRIVATE, b""), &keys(RSA_PKCS1, b""));
    same("PS256", &keys(RSA_PRIVATE, b""), &keys(b"", include_bytes!("testdata/rsa.pkcs1.pub.pem")));
    same("ES256", &keys(EC_SEC1, b""), &keys(b"", include_bytes!("testdata/ec256.crt.pem")));
    let failing =
        |method: &str, keys: &SigningKeys| Signer::new(method, keys, TTL).err().unwrap().to_string();
    let other = generated(&PKCS_ECDSA_P256_SHA256);
    let mixed = SigningKeys { private: Some(EC_SEC1.to_vec()), public: other.public };
    assert_eq!(failing("ES256", &mixed), "auth: public and private keys don't match");
    for (method, keys, text) in [
        ("HS256", keys(b"", b"x"), "auth: missing key data"),
        ("RS256", keys(b"", b""), "auth: missing key data"),
        ("RS256", keys(b"no key", b""), "auth: priv-key holds no key for sign-method RS256"),
        ("ES384", keys(EC_SEC1, b""), "auth: priv-key holds no key for sign-method ES384"),
        ("EdDSA", keys(b"", RSA_PUBLIC), "auth: pub-key holds no key for sign-method EdDSA"),
        ("ES512", keys(EC_SEC1, b""), "auth: sign-method ES512 is not supported"),
        ("none", keys(b"x", b"x"), "auth: sign-method none is not supported"),
        ("", keys(b"x", b"x"), "auth: invalid auth options"),
        ("rs256", keys(RSA_PRIVATE, b""), "auth: invalid auth options"),
    ] {
        assert_eq!(failing(method, &keys), text);
    }
}

#[test]
fn prefixes_are_letters_that_differ() {
    let prefix = Tokens::Simple.prefix().unwrap();
    assert!(prefix.len() == 16 && prefix.bytes().all(|byte| byte.is_ascii_alphabetic()), "{prefix}");
    assert_ne!(prefix, Tokens::Simple.prefix().unwrap());
    assert_eq!(Tokens::None.prefix().unwrap(), "");
}

proptest! {
    #[test]
    fn noise_is_no_token(text in "[-_.A-Za-z0-9]{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let signer = signer("HS256", &keys(b"k", b""));
        prop_assert_eq!(signer.claims_of(&text), None);
        for method in ["RS256", "ES256", "EdDSA"] {
            prop_assert!(Signer::new(method, &keys(&bytes, &bytes), TTL).is_err());
        }
    }
}
