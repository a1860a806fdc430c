//! `del`

use std::time::Duration;

use cmdline::{Flags, golang::quote};
use proto::etcdserverpb as pb;

use super::get::range;
use crate::{
    context::Context,
    fail::{Done, Failed},
    output::tell,
};

/// Time to think about a range that was given without `--range`.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

pub(crate) async fn run(mut context: Context) -> Done {
    let request = request(&context.flags, &context.args).await?;
    let (client, printer) = context.connect().await?;
    printer.delete(&client.delete(request).await?)
}

/// The request of flags and arguments.
///
/// # Errors
/// When they contradict each other.
pub(crate) async fn request(flags: &Flags, args: &[String]) -> Result<pb::DeleteRangeRequest, Failed> {
    let (key, end) = match args {
        [key] => (key, None),
        [key, end] => (key, Some(end.as_str())),
        _ => {
            return Err(Failed::args(
                "del command needs one argument as key and an optional argument as range_end",
            ));
        }
    };
    let (prefix, from_key) = (flags.bool("prefix"), flags.bool("from-key"));
    if prefix && from_key {
        return Err(Failed::args("`--prefix` and `--from-key` cannot be set at the same time, choose one"));
    }
    if let Some(end) = end {
        if prefix || from_key {
            return Err(Failed::args(
                "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
            ));
        }
        if !flags.bool("range") {
            tell(&format!(
                "Warning: Keys between {} and {} will be deleted. Please interrupt the command within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.\n",
                quote(key),
                quote(end)
            ));
            tokio::time::sleep(SECOND_THOUGHTS).await;
        }
    }
    let (key, range_end) = range(key, end, prefix, from_key);
    Ok(pb::DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        prev_kv: flags.bool("prev-kv"),
    })
}
