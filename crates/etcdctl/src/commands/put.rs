//! `put`

use std::io::Read;

use cmdline::Flags;
use proto::etcdserverpb as pb;

use crate::{
    context::Context,
    fail::{Done, Failed},
    text::parse_int,
};

const USAGE: &str = "put command needs 1 argument and input from stdin or 2 arguments";

pub(crate) async fn run(mut context: Context) -> Done {
    let request = request(&context.flags, &context.args, from_stdin)?;
    let (client, printer) = context.connect().await?;
    printer.put(&client.put(request).await?)
}

fn from_stdin() -> Option<Vec<u8>> {
    let mut value = Vec::new();
    std::io::stdin().lock().read_to_end(&mut value).ok()?;
    Some(value).filter(|value| !value.is_empty())
}

/// The request of flags and arguments; a value that is missing comes from `otherwise`.
///
/// # Errors
/// When they do not fit each other.
pub(crate) fn request(
    flags: &Flags,
    args: &[String],
    otherwise: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<pb::PutRequest, Failed> {
    let [key, rest @ ..] = args else { return Err(Failed::args(USAGE)) };
    let ignore_value = flags.bool("ignore-value");
    if ignore_value && !rest.is_empty() {
        return Err(Failed::args("put command needs only 1 argument when 'ignore-value' is set"));
    }
    let value = match rest.first() {
        _ if ignore_value => Vec::new(),
        Some(value) => value.as_bytes().to_vec(),
        None => otherwise().ok_or_else(|| Failed::args(USAGE))?,
    };
    let lease = parse_int(flags.text("lease"), 16)
        .map_err(|error| Failed::args(format!("bad lease ID ({error}), expecting ID in Hex")))?;
    Ok(pb::PutRequest {
        key: key.as_bytes().to_vec().into(),
        value: value.into(),
        lease,
        prev_kv: flags.bool("prev-kv"),
        ignore_value,
        ignore_lease: flags.bool("ignore-lease"),
    })
}
