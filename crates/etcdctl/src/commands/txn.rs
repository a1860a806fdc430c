//! `txn`: compares and operations from standard input.

use std::io::BufRead;

use cmdline::{Command, Outcome, Program, golang::quote, golang::quote_bytes};
use proto::etcdserverpb::{self as pb, compare, request_op::Request};

use super::{delete, get, put};
use crate::{
    context::Context,
    fail::{Done, Failed, INVALID_INPUT},
    output::{say, tell},
    text::{parse_int, unquote, words},
    tree::{DEL, GET, PUT, Run},
};

pub(crate) async fn run(mut context: Context) -> Done {
    context.none("txn command does not accept argument")?;
    let interactive = context.flags.bool("interactive");
    let (client, printer) = context.connect_patiently().await?;
    let mut input = std::io::stdin().lock();
    let prompt = |text: &str| if interactive { say(text) } else { Ok(()) };
    let mut request = pb::TxnRequest::default();
    prompt("compares:\n")?;
    while let Some(line) = next_line(&mut input)? {
        request.compare.push(parse_compare(&line).map_err(invalid)?);
    }
    prompt("success requests (get, put, del):\n")?;
    while let Some(line) = next_line(&mut input)? {
        request.success.push(parse_operation(&line).await?);
    }
    prompt("failure requests (get, put, del):\n")?;
    while let Some(line) = next_line(&mut input)? {
        request.failure.push(parse_operation(&line).await?);
    }
    printer.txn(&client.txn(request).await?)
}

fn invalid(text: String) -> Failed {
    Failed::new(INVALID_INPUT, text)
}

/// The next line of a block; `None` for the empty line that ends it.
fn next_line(input: &mut impl BufRead) -> Result<Option<String>, Failed> {
    let mut line = Vec::new();
    match input.read_until(b'\n', &mut line) {
        Ok(_) if line.ends_with(b"\n") => {}
        Ok(_) => return Err(invalid("EOF".to_owned())),
        Err(error) => return Err(invalid(error.to_string())),
    }
    let line = String::from_utf8(line).map_err(|_| invalid("a line is not valid UTF-8".to_owned()))?;
    let line = line.trim();
    Ok(if line.is_empty() { None } else { Some(line.to_owned()) })
}

/// The commands that lines of the second and third block hold.
static OPERATIONS: Program<Run> = Program {
    root: &Command { commands: &[&PUT, &GET, &DEL], ..Command::NEW },
    groups: &[],
    prefixes: true,
    after_help: "",
};

async fn parse_operation(line: &str) -> Result<pb::RequestOp, Failed> {
    let words = words(line).map_err(invalid)?;
    if words.len() < 2 {
        return Err(invalid(format!("invalid txn compare request: {line}")));
    }
    let call = match OPERATIONS.parse(&words) {
        Outcome::Run(call) => call,
        Outcome::Failed(failure) => {
            if failure.advice.starts_with("Usage:") {
                tell(&failure.advice);
            }
            return Err(invalid(format!("invalid txn request: {line}")));
        }
        Outcome::Print { .. } => return Err(invalid(format!("invalid txn request: {line}"))),
    };
    let request = match call.command.name {
        // The rest of the input belongs to the transaction.
        "put" => Request::RequestPut(put::request(&call.flags, &call.args, || None)?),
        "get" => Request::RequestRange(get::request(&call.flags, &call.args)?),
        _ => Request::RequestDeleteRange(delete::request(&call.flags, &call.args).await?),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

/// Reads `TARGET("KEY") OPERATOR "OPERAND"`.
fn parse_compare(line: &str) -> Result<pb::Compare, String> {
    let Some((target, rest)) = line.split_once('(') else {
        return Err(format!("malformed comparison: {line}"));
    };
    let parts = Parts::read(rest);
    let Parts { key: Some(key), operator: Some(operator), operand: Some(operand) } = parts else {
        let (key, operand) = (parts.key.unwrap_or_default(), parts.operand.unwrap_or_default());
        return Err(format!(
            "malformed comparison: {line}; got {target}({}) {} {}",
            quote_bytes(&key),
            parts.operator.unwrap_or_default(),
            quote_bytes(&operand)
        ));
    };
    let number = |radix| {
        let text = std::str::from_utf8(&operand).unwrap_or_default();
        parse_int(text, radix).map_err(|_| format!("invalid txn compare request: {line}"))
    };
    let (target, union) = match target {
        "ver" | "version" => (compare::CompareTarget::Version, compare::TargetUnion::Version(number(10)?)),
        "c" | "create" => (compare::CompareTarget::Create, compare::TargetUnion::CreateRevision(number(10)?)),
        "m" | "mod" => (compare::CompareTarget::Mod, compare::TargetUnion::ModRevision(number(10)?)),
        "val" | "value" => {
            (compare::CompareTarget::Value, compare::TargetUnion::Value(operand.clone().into()))
        }
        "lease" => (compare::CompareTarget::Lease, compare::TargetUnion::Lease(number(16)?)),
        other => return Err(format!("malformed comparison: {line} (unknown target {other})")),
    };
    let result = match operator.as_str() {
        "=" => compare::CompareResult::Equal,
        "!=" => compare::CompareResult::NotEqual,
        ">" => compare::CompareResult::Greater,
        "<" => compare::CompareResult::Less,
        other => return Err(format!("malformed comparison: {line} (unknown operator {})", quote(other))),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        ..Default::default()
    })
}

/// What could be read of a compare; all after the first that could not is missing.
#[derive(Default)]
struct Parts {
    key: Option<Vec<u8>>,
    operator: Option<String>,
    operand: Option<Vec<u8>>,
}

impl Parts {
    fn read(text: &str) -> Parts {
        let mut parts = Parts::default();
        let Some((key, rest)) = unquote(text.trim_start()) else { return parts };
        parts.key = Some(key);
        let Some(rest) = rest.strip_prefix(')') else { return parts };
        let rest = rest.trim_start();
        let (operator, rest) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        if operator.is_empty() {
            return parts;
        }
        parts.operator = Some(operator.to_owned());
        parts.operand = unquote(rest.trim_start()).map(|(operand, _)| operand);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_are_read() {
        let compare = parse_compare(r#"mod("k\x31") > "7""#).unwrap();
        assert_eq!((&compare.key[..], compare.target, compare.result), (&b"k1"[..], 2, 1));
        assert_eq!(compare.target_union, Some(compare::TargetUnion::ModRevision(7)));
        let compare = parse_compare(r#"value("k") != "a b" and more"#).unwrap();
        assert_eq!(compare.target_union, Some(compare::TargetUnion::Value("a b".into())));
        let compare = parse_compare(r#"lease("k") = "1f""#).unwrap();
        assert_eq!(compare.target_union, Some(compare::TargetUnion::Lease(31)));
    }

    #[test]
    fn compares_that_are_none_are_told() {
        for (line, error) in [
            ("nonsense", "malformed comparison: nonsense"),
            ("mod(k) > \"1\"", "malformed comparison: mod(k) > \"1\"; got mod(\"\")  \"\""),
            ("mod(\"k\") >", "malformed comparison: mod(\"k\") >; got mod(\"k\") > \"\""),
            ("mod(\"k\") > \"x\"", "invalid txn compare request: mod(\"k\") > \"x\""),
            ("size(\"k\") > \"1\"", "malformed comparison: size(\"k\") > \"1\" (unknown target size)"),
        ] {
            assert_eq!(parse_compare(line).unwrap_err(), error, "{line}");
        }
        assert!(parse_compare("mod(\"k\") >= \"1\"").unwrap_err().contains("unknown operator \">=\""));
    }
}
