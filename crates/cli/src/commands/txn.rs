//! `txn`: conditions and operations in words, such as
//! `txn if value lock = free and version lock > 2 then put lock mine else get lock`.

use proto::etcdserverpb::{
    self as pb, compare, request_op::Request as Operation, response_op::Response as Answer,
};
use serde_json::{Value, json};

use crate::{
    context::Context,
    fail::{Done, FAILED, Failed},
    kv,
    output::{self, Row, shown},
};

pub(crate) async fn run(context: Context) -> Done {
    let request = parse(&context.args)?;
    let reply = context.connect().await?.txn(request).await?;
    let answers: Vec<Value> = reply.responses.iter().map(answer).collect();
    let row = Row::new(
        [
            ("succeeded", json!(reply.succeeded)),
            ("revision", json!(reply.header.as_ref().map_or(0, |header| header.revision))),
            ("answers", json!(answers)),
        ],
        vec![reply.succeeded.to_string()],
    );
    let head = if reply.succeeded { "the conditions hold" } else { "the conditions do not hold" };
    let lines: Vec<_> = reply.responses.iter().map(plain).collect();
    output::one(context.format, row, format!("{head}\n{}", lines.concat()))?;
    if reply.succeeded { Ok(()) } else { Err(Failed::quietly(FAILED)) }
}

fn answer(answer: &pb::ResponseOp) -> Value {
    match &answer.response {
        Some(Answer::ResponseRange(range)) => {
            let pairs: Vec<_> =
                range.kvs.iter().map(|pair| Value::Object(kv::row(pair, false).fields)).collect();
            json!({ "get": pairs })
        }
        Some(Answer::ResponseDeleteRange(deleted)) => json!({ "deleted": deleted.deleted }),
        Some(Answer::ResponsePut(_)) => json!({ "put": true }),
        _ => Value::Null,
    }
}

fn plain(answer: &pb::ResponseOp) -> String {
    match &answer.response {
        Some(Answer::ResponseRange(range)) if range.kvs.is_empty() => "get  nothing\n".to_owned(),
        Some(Answer::ResponseRange(range)) => {
            let line = |pair: &proto::mvccpb::KeyValue| {
                format!(
                    "get  {} = {}  at revision {}\n",
                    shown(&pair.key),
                    shown(&pair.value),
                    pair.mod_revision
                )
            };
            range.kvs.iter().map(line).collect()
        }
        Some(Answer::ResponseDeleteRange(deleted)) => format!("del  {} keys\n", deleted.deleted),
        Some(Answer::ResponsePut(_)) => "put\n".to_owned(),
        _ => String::new(),
    }
}

const GRAMMAR: &str = "[if CONDITION [and CONDITION]...] then OPERATION [and OPERATION]... [else OPERATION ...]; a condition is \
                       `value|version|create|mod|lease KEY =|!=|<|> X`, an operation `get KEY`, `put KEY VALUE` or `del KEY`";

fn parse(words: &[String]) -> Done<pb::TxnRequest> {
    let wrong = |what: String| Failed::misused(what).next(GRAMMAR);
    let mut request = pb::TxnRequest::default();
    let (mut part, mut rest) = ("", words);
    while let Some((word, behind)) = rest.split_first() {
        part = match (part, word.as_str()) {
            ("", "if") => "if",
            ("" | "if", "then") => "then",
            ("then", "else") => "else",
            ("if" | "then" | "else", "and") => part,
            _ => return Err(wrong(format!("{word:?} is not expected here"))),
        };
        let taken = match part {
            "if" => {
                request.compare.push(condition(behind).map_err(wrong)?);
                4
            }
            part => {
                let (operation, taken) = operation(behind).map_err(wrong)?;
                let operations = if part == "then" { &mut request.success } else { &mut request.failure };
                operations.push(pb::RequestOp { request: Some(operation) });
                taken
            }
        };
        rest = &behind[taken..];
    }
    if request.success.is_empty() && request.failure.is_empty() {
        return Err(wrong("there is nothing to do".into()));
    }
    Ok(request)
}

fn condition(words: &[String]) -> Result<pb::Compare, String> {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let [target, key, sign, against, ..] = words else { return Err("a condition is missing words".into()) };
    let number = || against.parse::<i64>().map_err(|_| format!("{against:?} is no number"));
    let (target, union) = match target.as_str() {
        "value" => (CompareTarget::Value, TargetUnion::Value(against.clone().into_bytes().into())),
        "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "lease" => {
            let lease = i64::from_str_radix(against, 16).map_err(|_| format!("{against:?} is no lease"))?;
            (CompareTarget::Lease, TargetUnion::Lease(lease))
        }
        other => return Err(format!("nothing is compared by {other:?}")),
    };
    let result = match sign.as_str() {
        "=" | "==" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        "<" => CompareResult::Less,
        ">" => CompareResult::Greater,
        other => return Err(format!("{other:?} compares nothing")),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.clone().into_bytes().into(),
        target_union: Some(union),
        ..Default::default()
    })
}

fn operation(words: &[String]) -> Result<(Operation, usize), String> {
    let key = |key: &String| key.clone().into_bytes().into();
    match words {
        [verb, at, ..] if verb == "get" => {
            Ok((Operation::RequestRange(pb::RangeRequest { key: key(at), ..Default::default() }), 2))
        }
        [verb, at, ..] if verb == "del" => Ok((
            Operation::RequestDeleteRange(pb::DeleteRangeRequest { key: key(at), ..Default::default() }),
            2,
        )),
        [verb, at, value, ..] if verb == "put" => {
            let put = pb::PutRequest {
                key: key(at),
                value: value.clone().into_bytes().into(),
                ..Default::default()
            };
            Ok((Operation::RequestPut(put), 3))
        }
        [] => Err("an operation is missing".into()),
        [verb, ..] => Err(format!("{verb:?} is no operation, or lacks words")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn sentences() {
        let request =
            parse(&words("if value a = x and mod b > 3 then put a y and get b else get and")).unwrap();
        assert_eq!((request.compare.len(), request.success.len(), request.failure.len()), (2, 2, 1));
        assert_eq!(parse(&words("then get a")).unwrap().compare.len(), 0);
        for (text, reason) in [
            ("if value a =", "missing words"),
            ("if size a = 1 then get a", "by \"size\""),
            ("if mod a = x then get a", "no number"),
            ("then get a else", "operation is missing"),
            ("then put a", "lacks words"),
            ("get a", "not expected"),
            ("if mod a = 1", "nothing to do"),
        ] {
            let failed = parse(&words(text)).err().unwrap().text();
            assert!(failed.contains(reason), "{text}: {failed}");
        }
    }
}
