//! What clients show to say who they are: random tokens that members remember, or signed ones that need no memory
//! (contract/semantics.md 7.4, 7.5).

use node::Claims;

use crate::{passwords::random, status::Reason};

mod keys;
mod pem;
mod signed;

#[cfg(test)]
mod tests;

pub use keys::{KeyError, SigningKeys};
pub use signed::Signer;

/// Random letters of a simple token.
const LETTERS: usize = 16;
const ALPHABET: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The kind of tokens (`--auth-token`).
#[derive(Default)]
pub enum Tokens {
    /// `simple`
    #[default]
    Simple,
    /// `jwt`
    Signed(Box<Signer>),
    /// Empty: nobody gets any.
    None,
}

impl Tokens {
    /// What a simple token begins with; empty when tokens are not simple.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn prefix(&self) -> Result<String, Reason> {
        let mut prefix = String::new();
        if !matches!(self, Tokens::Simple) {
            return Ok(prefix);
        }
        while prefix.len() < LETTERS {
            let mut bytes = [0; 2 * LETTERS];
            random(&mut bytes)?;
            // Each letter as likely as any other: what would come round a fifth time is left out.
            let fair = bytes.iter().filter(|&&byte| usize::from(byte) < 4 * ALPHABET.len());
            let letters = fair.map(|&byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            prefix.extend(letters.take(LETTERS - prefix.len()));
        }
        Ok(prefix)
    }

    /// What a signed token says; `None` when it is not good, or tokens are not signed.
    pub(crate) fn claims_of(&self, token: &str) -> Option<Claims> {
        match self {
            Tokens::Signed(signer) => signer.claims_of(token),
            Tokens::Simple | Tokens::None => None,
        }
    }
}
