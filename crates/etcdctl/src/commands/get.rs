//! `get`

use client::{Client, prefix_end};
use cmdline::Flags;
use proto::etcdserverpb::{
    self as pb,
    range_request::{SortOrder, SortTarget},
};

use crate::{
    context::{Context, serializable},
    fail::{BAD_FEATURE, Done, Failed},
    print::Format,
};

pub(crate) async fn run(mut context: Context) -> Done {
    let request = request(&context.flags, &context.args)?;
    let (client, mut printer) = context.connect().await?;
    let reply = match context.flags.bool("stream") {
        true => streamed(&client, request, context.command_timeout()).await?,
        false => client.range(request).await?,
    };
    if context.flags.bool("count-only") && !printer.is(Format::Fields) {
        return Err(Failed::args("--count-only is only for `--write-out=fields`"));
    }
    if context.flags.bool("print-value-only") {
        if !printer.is(Format::Simple) {
            return Err(Failed::args("print-value-only is only for `--write-out=simple`"));
        }
        printer.value_only = true;
    }
    printer.range(&reply)
}

/// One reply of many pieces.
async fn streamed(
    client: &Client,
    request: pb::RangeRequest,
    limit: std::time::Duration,
) -> Result<pb::RangeResponse, Failed> {
    let gathered = async {
        let mut whole = pb::RangeResponse::default();
        let mut pieces = client.range_stream(request).await?;
        while let Some(piece) = pieces.next().await? {
            let Some(piece) = piece.range_response else { continue };
            // Pieces after the first may come without what the last one says.
            whole.header = piece.header.or(whole.header);
            whole.kvs.extend(piece.kvs);
            whole.more |= piece.more;
            whole.count += piece.count;
        }
        Ok(whole)
    };
    tokio::time::timeout(limit, gathered)
        .await
        .unwrap_or(Err(client::Error::TimeUp(None)))
        .map_err(Failed::from)
}

/// The request of flags and arguments.
///
/// # Errors
/// When they contradict each other.
pub(crate) fn request(flags: &Flags, args: &[String]) -> Result<pb::RangeRequest, Failed> {
    let [key, rest @ ..] = args else {
        return Err(Failed::args(
            "get command needs one argument as key and an optional argument as range_end",
        ));
    };
    let (prefix, from_key) = (flags.bool("prefix"), flags.bool("from-key"));
    if prefix && from_key {
        return Err(Failed::args("`--prefix` and `--from-key` cannot be set at the same time, choose one"));
    }
    if flags.bool("keys-only") && flags.bool("count-only") {
        return Err(Failed::args(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ));
    }
    let serializable = serializable(flags.text("consistency"), flags.text("consistency"))?;
    if !rest.is_empty() && (prefix || from_key) {
        return Err(Failed::args(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    let order = match flags.text("order").to_uppercase().as_str() {
        "" => SortOrder::None,
        "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        _ => return Err(Failed::new(BAD_FEATURE, format!("bad sort order {}", flags.text("order")))),
    };
    let target = match flags.text("sort-by").to_uppercase().as_str() {
        "" | "KEY" => SortTarget::Key,
        "CREATE" => SortTarget::Create,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(Failed::new(BAD_FEATURE, format!("bad sort target {}", flags.text("sort-by")))),
    };
    let between = |name: &str, min: i64, max: i64| match max > 0 && min > max {
        true => {
            let text = format!("getMin{name}Rev(={min}) > getMax{name}Rev(={max})");
            Err(Failed::new(BAD_FEATURE, text))
        }
        false => Ok((min.max(0), max.max(0))),
    };
    let (min_create_revision, max_create_revision) =
        between("Create", flags.int("min-create-rev"), flags.int("max-create-rev"))?;
    let (min_mod_revision, max_mod_revision) =
        between("Mod", flags.int("min-mod-rev"), flags.int("max-mod-rev"))?;
    let (key, range_end) = range(key, rest.first().map(String::as_str), prefix, from_key);
    // Keys come in ascending order without being sorted.
    let order = if target == SortTarget::Key && order == SortOrder::Ascend { SortOrder::None } else { order };
    Ok(pb::RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        limit: flags.int("limit"),
        revision: flags.int("rev").max(0),
        sort_order: order.into(),
        sort_target: target.into(),
        serializable,
        keys_only: flags.bool("keys-only"),
        count_only: flags.bool("count-only"),
        min_mod_revision,
        max_mod_revision,
        min_create_revision,
        max_create_revision,
    })
}

/// Key and range end of a key, what may follow it, and two flags. Nothing stands for the first key.
pub(crate) fn range(key: &str, end: Option<&str>, prefix: bool, from_key: bool) -> (Vec<u8>, Vec<u8>) {
    let first = || if key.is_empty() { vec![0] } else { key.as_bytes().to_vec() };
    match end {
        Some(end) => (key.as_bytes().to_vec(), end.as_bytes().to_vec()),
        None if from_key => (first(), vec![0]),
        None if prefix => (first(), prefix_end(key.as_bytes())),
        None => (key.as_bytes().to_vec(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("a", None, false, false), (b"a".to_vec(), vec![]));
        assert_eq!(range("a", Some("b"), false, false), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(range("a", None, true, false), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(range("", None, true, false), (vec![0], vec![0]));
        assert_eq!(range("a", None, false, true), (b"a".to_vec(), vec![0]));
        assert_eq!(range("", None, false, true), (vec![0], vec![0]));
    }
}
