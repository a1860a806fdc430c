use std::collections::BTreeMap;

use super::{Code, Reason, Status};

/// symbol → (wire code, text) of the rows that end a call.
fn contract() -> BTreeMap<String, (String, String)> {
    let text = include_str!("../../../../contract/errors.tsv");
    text.lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|columns| columns[6] == "grpc")
        .map(|columns| (columns[0].to_owned(), (columns[3].to_owned(), columns[4].to_owned())))
        .collect()
}

#[test]
fn table_is_the_contract() {
    let mut rows = contract();
    for (symbol, status) in [
        ("grpc recv limit", Status::message_too_large(11, 10)),
        ("unknown service", Status::unknown_service("NAME")),
        ("unknown method", Status::unknown_method("NAME", "NAME")),
    ] {
        let (code, text) = rows.remove(symbol).unwrap();
        assert_eq!(status.code.name(), code, "{symbol}");
        let text = text.replace("(N vs. M)", "(11 vs. 10)");
        assert_eq!(status.message, text, "{symbol}");
    }
    for (symbol, reason) in Reason::TABLE {
        let status = reason.status();
        let expected = rows.remove(*symbol).unwrap_or_else(|| panic!("{symbol} is not in the contract"));
        assert_eq!((status.code.name().to_owned(), status.message.to_string()), expected, "{symbol}");
        assert_eq!(reason.to_string(), status.message);
    }
    assert!(rows.is_empty(), "missing: {:?}", rows.keys());
}

#[test]
fn codes_are_numbered() {
    for (number, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(code as usize, number);
        assert_eq!(code.digits(), number.to_string());
    }
}

#[test]
fn unnamed_reasons_are_unknown() {
    let status = Reason::Other("storage: page 7".into()).status();
    assert_eq!(status, Status::new(Code::Unknown, "storage: page 7"));
}
