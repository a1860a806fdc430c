//! Whatever is given, there is an answer and no panic; and what is printed can be read again.

mod common;

use common::World;
use config::{Url, duration, flags};
use proptest::prelude::*;

/// A name of a flag, or nearly one.
fn name() -> impl Strategy<Value = String> {
    let names: Vec<_> = flags().map(|flag| flag.name.to_string()).collect();
    prop_oneof![4 => proptest::sample::select(names), 1 => "[a-z.-]{0,8}"]
}

/// Values that come near to what some flags want, and others.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,20}[a-z]{0,2}",
        "(http|https|unix|unixs|x)?:?/{0,3}[a-z0-9.:@\\[\\]]{0,12}(,http://a:1)?",
        "[A-Za-z]{0,8}=(true|false|x)?(,AllAlpha=true)?",
        "\\PC{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_command_line(pairs in proptest::collection::vec((name(), value(), any::<bool>()), 0..4)) {
        let args: Vec<String> = pairs
            .into_iter()
            .flat_map(|(name, value, joined)| {
                if joined { vec![format!("--{name}={value}")] } else { vec![format!("-{name}"), value] }
            })
            .collect();
        let _ = World::default().load(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn any_environment(pairs in proptest::collection::vec((name(), value()), 0..4)) {
        let variables: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (format!("ETCD_{}", name.to_uppercase().replace('-', "_")), value.as_str()))
            .collect();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let _ = World { variables: &variables, ..World::default() }.load(&[]);
    }

    #[test]
    fn any_file(
        text in prop_oneof![
            "\\PC{0,60}",
            "((name|cors|snapshot-count|feature-gates|peer-transport-security): ?[\\[{&*!a-z0-9:, \"'-]{0,10}\n ?){0,5}",
        ]
    ) {
        let files = [("f", text.as_str())];
        let _ = World { files: &files, ..World::default() }.load(&["--config-file=f"]);
    }

    #[test]
    fn durations_are_read_as_printed(nanos: i64) {
        prop_assert_eq!(duration::parse(&duration::format(nanos)), Ok(nanos));
    }

    #[test]
    fn urls_are_read_as_printed(text in "(http|https|unix|unixs|HTTP)://[a-z0-9.\\[\\]:/]{0,16}") {
        if let Ok(url) = Url::parse(&text) {
            prop_assert_eq!(Url::parse(&url.to_string()).map(|u| u.to_string()), Ok(url.to_string()));
        }
    }
}
