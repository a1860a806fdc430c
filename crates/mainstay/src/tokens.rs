//! What `--auth-token` chooses.

use std::{collections::BTreeMap, fs, sync::Arc};

use anyhow::{Context, Result, bail};
use telemetry::line;

/// Life of a signed token that names none: five minutes.
const SIGNED_TTL_NANOS: i64 = 300_000_000_000;
const OPTIONS: [&str; 4] = ["sign-method", "pub-key", "priv-key", "ttl"];

/// The kind of tokens, as the network side and the core want to know it.
pub(crate) fn tokens(auth: &config::Auth) -> Result<(Arc<rpc::Tokens>, node::TokenKind)> {
    let mut parts = auth.token.split(',');
    let kind = parts.next().unwrap_or_default();
    // The settings were checked: each part is a pair, each name comes once.
    let options: BTreeMap<&str, &str> = parts.filter_map(|part| part.split_once('=')).collect();
    let (tokens, kind) = match kind {
        "simple" => {
            line!(Warn, "simple token is not cryptographically signed");
            (rpc::Tokens::Simple, node::TokenKind::Simple { ttl: auth.token_ttl })
        }
        "jwt" => (rpc::Tokens::Signed(Box::new(signer(&options)?)), node::TokenKind::Signed),
        _ => (rpc::Tokens::None, node::TokenKind::None),
    };
    Ok((Arc::new(tokens), kind))
}

fn signer(options: &BTreeMap<&str, &str>) -> Result<rpc::Signer> {
    let option = |name: &str| options.get(name).copied().filter(|value| !value.is_empty());
    let unknown: Vec<&str> = options.keys().copied().filter(|name| !OPTIONS.contains(name)).collect();
    if !unknown.is_empty() {
        line!(Warn, "unknown JWT options", "keys" => unknown.join(","));
    }
    let ttl = match option("ttl").map(config::duration::parse) {
        None => SIGNED_TTL_NANOS,
        Some(Ok(ttl)) => ttl,
        Some(Err(error)) => {
            line!(Error, "problem loading JWT options", "error" => error);
            bail!("auth: invalid auth options");
        }
    };
    let read = |name: &str| -> Result<Option<Vec<u8>>> {
        let Some(path) = option(name) else { return Ok(None) };
        let bytes = fs::read(path).with_context(|| format!("auth: invalid auth options: {name} {path}"))?;
        Ok(Some(bytes))
    };
    let keys = rpc::SigningKeys { public: read("pub-key")?, private: read("priv-key")? };
    Ok(rpc::Signer::new(option("sign-method").unwrap_or_default(), &keys, ttl)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn chosen(token: &str) -> Result<node::TokenKind, String> {
        let token_ttl = Duration::from_secs(7);
        let auth =
            config::Auth { token: token.into(), bcrypt_cost: 4, token_ttl, end_revoked_watches: false };
        tokens(&auth).map(|(_, kind)| kind).map_err(|error| error.to_string())
    }

    #[test]
    fn kinds() {
        assert_eq!(chosen("simple"), Ok(node::TokenKind::Simple { ttl: Duration::from_secs(7) }));
        assert_eq!(chosen("simple,a=b"), chosen("simple"));
        assert_eq!(chosen(""), Ok(node::TokenKind::None));
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), "a secret").unwrap();
        let path = secret.path().display();
        assert_eq!(
            chosen(&format!("jwt,sign-method=HS256,priv-key={path},ttl=1m")),
            Ok(node::TokenKind::Signed)
        );
        assert_eq!(
            chosen(&format!("jwt,sign-method=HS256,priv-key={path},x=y")),
            Ok(node::TokenKind::Signed)
        );
        let invalid = Err("auth: invalid auth options".to_string());
        assert_eq!(chosen(&format!("jwt,sign-method=HS256,priv-key={path},ttl=soon")), invalid);
        assert_eq!(chosen(&format!("jwt,priv-key={path}")), invalid);
        assert_eq!(chosen("jwt,sign-method=HS256"), Err("auth: missing key data".into()));
        assert!(chosen("jwt,sign-method=HS256,priv-key=/nowhere/at/all").is_err());
    }
}
