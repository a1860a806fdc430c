//! What a command is given.

use std::time::Duration;

use client::{Client, Settings, Tls};
use cmdline::{Call, Flags, variable_name};

use crate::{
    fail::{Done, Failed},
    output::Format,
    tree::Run,
};

/// Variables that stand for flags which nobody gave; those of etcdctl are known to many shells already.
const PREFIXES: [&str; 2] = ["MAINSTAY", "ETCDCTL"];

/// Flags, arguments, and how to write.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) flags: Flags,
    pub(crate) args: Vec<String>,
    pub(crate) format: Format,
}

impl Context {
    pub(crate) fn new(call: Call<Run>, variables: Vec<(String, String)>) -> Done<Context> {
        let mut flags = call.flags;
        let inherited: Vec<_> = flags
            .iter()
            .filter(|entry| entry.inherited && !entry.changed)
            .map(|entry| entry.flag.name)
            .collect();
        for name in inherited {
            let values = PREFIXES.iter().filter_map(|prefix| {
                let wanted = variable_name(prefix, name);
                variables.iter().find(|(name, value)| *name == wanted && !value.is_empty())
            });
            if let Some((variable, value)) = values.into_iter().next() {
                flags.set(name, value).map_err(|reason| Failed::misused(format!("{variable}: {reason}")))?;
            }
        }
        let name = flags.text("output");
        let format = Format::from_name(name).ok_or_else(|| {
            Failed::misused(format!("there is no format {name:?}"))
                .next(format!("one of {}", Format::NAMES.join(", ")))
        })?;
        Ok(Context { flags, args: call.args, format })
    }

    /// How to reach the cluster.
    ///
    /// # Errors
    /// When flags contradict each other.
    pub(crate) fn settings(&self) -> Done<Settings> {
        let file = |name: &str| Some(self.flags.text(name)).filter(|path| !path.is_empty()).map(Into::into);
        let tls = Tls {
            ca: file("cacert"),
            cert: file("cert"),
            key: file("key"),
            skip_verify: self.flags.bool("insecure-skip-tls-verify"),
            server_name: None,
        };
        if tls.cert.is_some() != tls.key.is_some() {
            return Err(Failed::misused("a certificate needs its key, and a key its certificate")
                .next("--cert FILE --key FILE"));
        }
        let user = self.flags.text("user");
        let login = match (user.split_once(':'), self.flags.text("password")) {
            _ if user.is_empty() => None,
            (_, password) if !password.is_empty() => Some((user.to_owned(), password.to_owned())),
            (Some((name, password)), _) => Some((name.to_owned(), password.to_owned())),
            (None, _) => {
                let what = format!("there is no password for {user:?}");
                return Err(Failed::misused(what)
                    .next("--user NAME:PASSWORD, or MAINSTAY_PASSWORD in the environment"));
            }
        };
        let endpoints: Vec<String> =
            self.flags.list("endpoints").iter().map(|text| text.trim().to_owned()).collect();
        if endpoints.iter().all(String::is_empty) {
            return Err(Failed::misused("there are no endpoints").next("--endpoints HOST:PORT,..."));
        }
        Ok(Settings {
            endpoints,
            secure: tls.ca.is_some() || tls.cert.is_some() || tls.skip_verify,
            tls,
            login,
            dial_timeout: self.timeout(),
            request_timeout: Some(self.timeout()),
            ..Settings::default()
        })
    }

    /// A client whose calls end with `--timeout`.
    pub(crate) async fn connect(&self) -> Done<Client> {
        Ok(Client::open(&self.settings()?).await?)
    }

    /// A client whose calls wait as long as it takes.
    pub(crate) async fn connect_patiently(&self) -> Done<Client> {
        let settings = Settings { request_timeout: None, wait: true, ..self.settings()? };
        Ok(Client::open(&settings).await?)
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.flags.nanos("timeout")).unwrap_or(0).max(1_000_000))
    }

    pub(crate) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }
}
