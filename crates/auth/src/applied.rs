//! What applying an entry asks of the caller.

use types::Write;

/// An entry took effect. A repetition that changes nothing has no writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// To be written, the auth revision among them when it moved.
    pub writes: Vec<Write>,
    /// What happens to tokens handed out so far.
    pub tokens: Tokens,
}

/// Tokens that end with a change (contract/semantics.md 7.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tokens {
    /// All stay.
    #[default]
    Keep,
    /// Those of one user end.
    DropUser(String),
    /// All end: auth was switched off.
    DropAll,
}

impl Applied {
    /// Writes that leave tokens alone.
    pub(crate) fn writes(writes: Vec<Write>) -> Applied {
        Applied { writes, tokens: Tokens::Keep }
    }
}
