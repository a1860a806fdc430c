//! What a command is given.

use std::time::Duration;

use cmdline::{Call, Flags};

use crate::{fail::Failed, text, tree::Run};

/// A call of a command: flags, arguments, and what stands around them.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) flags: Flags,
    pub(crate) args: Vec<String>,
    /// The command line as it was typed.
    pub(crate) words: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// Whether this is the command `watch`, whose variables are no flags.
    pub(crate) watches: bool,
}

impl Context {
    pub(crate) fn new(call: Call<Run>, words: &[String], variables: Vec<(String, String)>) -> Context {
        let watches = call.path == ["watch"];
        Context { flags: call.flags, args: call.args, words: words.to_vec(), variables, watches }
    }

    /// The only argument.
    ///
    /// # Errors
    /// The text, when there is another number of them.
    pub(crate) fn one(&self, otherwise: &str) -> Result<&str, Failed> {
        match self.args.as_slice() {
            [one] => Ok(one),
            _ => Err(Failed::args(otherwise)),
        }
    }

    /// # Errors
    /// The text, when there are arguments.
    pub(crate) fn none(&self, otherwise: &str) -> Result<(), Failed> {
        if self.args.is_empty() { Ok(()) } else { Err(Failed::args(otherwise)) }
    }

    /// How long a request may take.
    pub(crate) fn command_timeout(&self) -> Duration {
        text::wait(self.flags.nanos("command-timeout"))
    }

    pub(crate) fn variable(&self, name: &str) -> &str {
        self.variables.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

/// Whether a consistency is the weak one.
///
/// # Errors
/// When it is none.
pub(crate) fn serializable(consistency: &str, of_get: &str) -> Result<bool, Failed> {
    match consistency {
        "s" => Ok(true),
        "l" => Ok(false),
        _ => {
            // Upstream names what the flag of `get` holds, whichever command this is.
            let text = format!("unknown consistency flag {}", cmdline::golang::quote(of_get));
            Err(Failed::new(crate::fail::BAD_FEATURE, text))
        }
    }
}
