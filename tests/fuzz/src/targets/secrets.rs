//! Tokens, keys, certificates.

use std::{cell::OnceCell, sync::LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rpc::{Signer, SigningKeys, fuzzing};

use crate::{Target, input::Input, meter, twice};

/// An authority, a certificate of it, its key, and its list of the revoked.
struct Files {
    authority: rcgen::Certificate,
    authority_pem: String,
    certificate: rcgen::Certificate,
    key_pem: String,
    public_pem: String,
    revoked: rcgen::CertificateRevocationList,
}

/// Made anew by each process: keys differ, their shape does not.
static FILES: LazyLock<Files> = LazyLock::new(|| {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".into(), "*.example.com".into(), "127.0.0.1".into(), "::1".into()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2036, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(7),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Files {
        authority_pem: authority.pem(),
        key_pem: key.serialize_pem(),
        public_pem: key.public_key_pem(),
        revoked: list.signed_by(&issuer).unwrap(),
        authority,
        certificate,
    }
});

pub(crate) const TOKEN: Target = Target {
    name: "token",
    what: "a signed token: header, claims and signature, also rightly signed ones with any claims",
    run: token,
    seeds: token_seeds,
    memory: token_memory,
    len_max: 4 << 10,
};

/// Claims are JSON, and values of `serde_json` take 32 bytes and more for two; only whoever has the key gets there.
/// 4,096 tokens are remembered: now and then one makes their table grow, to 8,192 places of 65 bytes at most.
fn token_memory(input: &[u8]) -> usize {
    100 * input.len() + (64 << 10) + (8192 * 65)
}

thread_local! {
    static SIGNER: OnceCell<Signer> = const { OnceCell::new() };
}

fn with_signer<T>(work: impl FnOnce(&Signer) -> T) -> T {
    SIGNER.with(|signer| {
        let make = || {
            let keys = SigningKeys { public: None, private: Some(b"a secret".to_vec()) };
            meter::aside(|| Signer::new("HS256", &keys, 3_600_000_000_000).unwrap())
        };
        work(signer.get_or_init(make))
    })
}

/// With an odd first byte the rest are header and claims, which are signed here.
fn token(input: &[u8]) {
    let mut input = Input(input);
    if input.flag() {
        let header = if input.flag() { &b"{\"alg\":\"HS256\"}"[..] } else { input.short() };
        with_signer(|signer| fuzzing::signed_token(signer, header, input.0));
    } else {
        with_signer(|signer| fuzzing::token(signer, input.0));
    }
}

fn token_seeds() -> Vec<Vec<u8>> {
    let good = with_signer(|signer| fuzzing::good_token(signer, "root"));
    assert!(with_signer(|signer| fuzzing::token(signer, good.as_bytes())));
    let mut seeds =
        vec![[&[0][..], good.as_bytes()].concat(), [&[0][..], b"Bearer abcdefghijklmnop.12"].concat()];
    let claims = [
        r#"{"username":"root","revision":1,"exp":99999999999}"#,
        r#"{"username":"root","revision":1e300,"exp":1e300,"nbf":-1e300}"#,
        r#"{"username":"","revision":"1","exp":null,"nbf":1.5}"#,
    ];
    seeds.extend(claims.map(|claims| [&[1, 1][..], claims.as_bytes()].concat()));
    seeds
}

pub(crate) const SIGNING_KEYS: Target = Target {
    name: "signing-keys",
    what: "files with keys that sign tokens, for each method",
    run: signing_keys,
    seeds: signing_key_seeds,
    memory: twice,
    len_max: 8 << 10,
};

const METHODS: [&str; 12] =
    ["HS256", "RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "EdDSA", "ES512", "none", "HS512", ""];

fn signing_keys(input: &[u8]) {
    let mut input = Input(input);
    let method = METHODS[input.choice(METHODS.len())];
    let public = input.long();
    let public = (!public.is_empty()).then(|| public.to_vec());
    let private = (!input.is_empty()).then(|| input.0.to_vec());
    fuzzing::signing_keys(method, public, private);
}

fn signing_key_seeds() -> Vec<Vec<u8>> {
    let (public, private) = (FILES.public_pem.as_bytes(), FILES.key_pem.as_bytes());
    let pair = [crate::input::long(public), private.to_vec()].concat();
    let certificate = [crate::input::long(FILES.certificate.pem().as_bytes()), private.to_vec()].concat();
    let mut seeds: Vec<_> = [0, 1, 3, 5, 6, 7].map(|method| [&[method][..], &pair].concat()).to_vec();
    seeds.push([&[5][..], &certificate].concat());
    seeds
}

pub(crate) const CERTIFICATE: Target = Target {
    name: "certificate",
    what: "names in a certificate (DER)",
    run: fuzzing::certificate,
    seeds: || vec![FILES.certificate.der().to_vec(), FILES.authority.der().to_vec()],
    memory: certificate_memory,
    len_max: 4 << 10,
};

/// A name of two bytes is a string in memory; TLS bounds the certificate before.
fn certificate_memory(input: &[u8]) -> usize {
    50 * input.len() + (64 << 10)
}

pub(crate) const TLS_FILE: Target = Target {
    name: "tls-file",
    what: "files of certificates, keys and revocation lists (PEM, or DER for lists)",
    run: |input| fuzzing::tls_file(input, FILES.authority.der()),
    seeds: tls_file_seeds,
    memory: tls_file_memory,
    len_max: 16 << 10,
};

/// The operator's files. Each certificate and each revoked number has a place of its own in `rustls`.
fn tls_file_memory(input: &[u8]) -> usize {
    64 * input.len() + (256 << 10)
}

fn tls_file_seeds() -> Vec<Vec<u8>> {
    let files = &*FILES;
    let list = files.revoked.pem().unwrap();
    let certificate = files.certificate.pem();
    let all = [&files.authority_pem, &certificate, &files.key_pem, &list].map(String::as_str);
    let mut seeds: Vec<Vec<u8>> = all.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(files.revoked.der().to_vec());
    seeds.push(all.concat().into_bytes());
    seeds
}
