//! What is about the tool itself: `version`, `options`, `completion`.

use cmdline::{Shell, script};

use crate::{context::Context, fail::Done, output::say, tree::PROGRAM};

/// The version whose behaviour this is.
const VERSION: &str = "3.7.1";
const API_VERSION: &str = "3.7";

pub(crate) async fn version(_: Context) -> Done {
    say(format!("etcdctl version: {VERSION}\nAPI version: {API_VERSION}\n"))
}

pub(crate) async fn options(_: Context) -> Done {
    let flags = PROGRAM.persistent_flags();
    say(format!("The following options can be passed to any command:\n\n{flags}"))
}

pub(crate) async fn completion(context: Context) -> Done {
    match context.args.first().and_then(|name| Shell::from_name(name)) {
        Some(shell) => say(script(&PROGRAM, shell)),
        // The command line is only taken with one of their names.
        None => Ok(()),
    }
}
