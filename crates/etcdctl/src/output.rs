//! Where texts go.

use std::io::{self, Write};

use crate::fail::{Done, ERROR, Failed};

/// Writes to standard output.
///
/// # Errors
/// Quietly, when nobody is listening any more.
pub(crate) fn say(text: impl AsRef<[u8]>) -> Done {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(|_| Failed::quietly(ERROR))
}

/// Writes to standard error; nothing can be said when that fails.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
