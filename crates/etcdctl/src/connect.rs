//! From global flags and variables to a client.

use std::{path::Path, time::Duration};

use client::{Client, Settings, Tls};
use cmdline::{Notice, variable_name};
use discovery::{Names, SystemNames};
use telemetry::{
    line,
    log::{self, Format as Layout, Level, Output},
};

use crate::{
    context::Context,
    fail::{BAD_ARGS, BAD_CONNECTION, BAD_FEATURE, ERROR, Failed},
    output::tell,
    password,
    print::Printer,
    text,
};

const PREFIX: &str = "ETCDCTL";
/// What Go's library does with a ping that is asked for too often.
const PING_MIN: Duration = Duration::from_secs(10);
/// A timer that never runs.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How to reach the cluster, and how to print what it says.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) settings: Settings,
    pub(crate) printer: Printer,
}

impl Reach {
    /// # Errors
    /// When certificates cannot be used, or nobody lets us in.
    pub(crate) async fn client(&self) -> Result<Client, Failed> {
        open(&self.settings).await
    }
}

/// Opens a client, and names what hinders as upstream does.
pub(crate) async fn open(settings: &Settings) -> Result<Client, Failed> {
    if settings.endpoints.is_empty() {
        return Err(Failed::new(BAD_CONNECTION, "etcdclient: no available endpoints"));
    }
    check_files(&settings.tls)?;
    match Client::open(settings).await {
        Ok(client) => Ok(client),
        Err(error @ client::Error::Tls(_)) => Err(Failed::args(text_of(&error))),
        Err(error) => Err(Failed::new(BAD_CONNECTION, text_of(&error))),
    }
}

fn text_of(error: &client::Error) -> String {
    crate::fail::text(error)
}

/// What upstream finds out before it connects, in its words.
fn check_files(tls: &Tls) -> Result<(), Failed> {
    let shown = |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(|path| path.display().to_string()).unwrap_or_default()
    };
    if tls.cert.is_some() != tls.key.is_some() {
        let (key, cert) = (shown(&tls.key), shown(&tls.cert));
        let text = format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]");
        return Err(Failed::args(text));
    }
    for path in [&tls.cert, &tls.key, &tls.ca].into_iter().flatten() {
        readable(path)?;
    }
    Ok(())
}

fn readable(path: &Path) -> Result<(), Failed> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) => {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            Err(Failed::new(BAD_ARGS, format!("open {}: {reason}", path.display())))
        }
    }
}

/// Starts the log on standard error, for those few who write to it.
pub(crate) fn start_log() {
    // It fails when it was started before, or never: then there is nothing to say it with.
    let _ = log::start(Level::Info, Layout::Json, &[Output::Stderr]);
}

impl Context {
    /// A client whose requests end with the command's time, and the printer.
    pub(crate) async fn connect(&mut self) -> Result<(Client, Printer), Failed> {
        let mut reach = self.reach().await?;
        reach.settings.request_timeout = Some(self.command_timeout());
        Ok((reach.client().await?, reach.printer))
    }

    /// A client whose requests may take any time.
    pub(crate) async fn connect_patiently(&mut self) -> Result<(Client, Printer), Failed> {
        let reach = self.reach().await?;
        Ok((reach.client().await?, reach.printer))
    }

    /// Takes variables in, then global flags. Requests have no time limit yet.
    pub(crate) async fn reach(&mut self) -> Result<Reach, Failed> {
        self.take_variables()?;
        if self.flags.bool("debug") {
            for entry in self.flags.iter().filter(|entry| entry.inherited) {
                tell(&format!("{}={}\n", variable_name(PREFIX, entry.flag.name), entry.value));
            }
        }
        let endpoints = self.endpoints().await?;
        let tls = self.tls()?;
        let secure =
            tls.ca.is_some() || tls.cert.is_some() || tls.skip_verify || self.server_name().is_some();
        let (login, token) = self.credentials()?;
        let printer = Printer::new(self.flags.text("write-out"), self.flags.bool("hex"))
            .ok_or_else(|| Failed::new(BAD_FEATURE, "unsupported output format"))?;
        let defaults = Settings::default();
        let limit = |name: &str, default: usize| match usize::try_from(self.flags.int(name)) {
            Ok(0) | Err(_) => default,
            Ok(limit) => limit,
        };
        let keepalive = text::wait(self.flags.nanos("keepalive-time"));
        let settings = Settings {
            endpoints,
            secure: secure || !self.flags.bool("insecure-transport"),
            tls,
            login,
            token,
            dial_timeout: match text::wait(self.flags.nanos("dial-timeout")) {
                Duration::ZERO => NEVER,
                patience => patience,
            },
            request_timeout: None,
            wait: true,
            keepalive_time: if keepalive.is_zero() { NEVER } else { keepalive.max(PING_MIN) },
            keepalive_timeout: text::wait(self.flags.nanos("keepalive-timeout")),
            request_bytes_max: limit("max-request-bytes", defaults.request_bytes_max),
            reply_bytes_max: limit("max-recv-bytes", defaults.reply_bytes_max),
        };
        let (send, receive) = (self.flags.int("max-request-bytes"), self.flags.int("max-recv-bytes"));
        if receive > 0 && send > receive {
            let text = format!(
                "gRPC message recv limit ({receive} bytes) must be greater than send limit ({send} bytes)"
            );
            return Err(Failed::new(BAD_CONNECTION, text));
        }
        Ok(Reach { settings, printer })
    }

    fn take_variables(&mut self) -> Result<(), Failed> {
        let others: &[&str] = if self.watches { &["WATCH_KEY", "WATCH_RANGE_END"] } else { &[] };
        for notice in self.flags.set_from_variables(PREFIX, &self.variables, others) {
            start_log();
            match notice {
                Notice::Unknown(variable) => {
                    line!(Warn, "unrecognized environment variable", "environment-variable" => variable);
                }
                Notice::Conflict(variable) => {
                    let what = "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))";
                    line!(Fatal, what, "environment-variable" => variable);
                    return Err(Failed::quietly(ERROR));
                }
            }
        }
        Ok(())
    }

    /// Endpoints from DNS, if a domain is given, or the flag's.
    pub(crate) async fn endpoints(&self) -> Result<Vec<String>, Failed> {
        let domain = self.flags.text("discovery-srv");
        if !domain.is_empty() {
            let mut found = self.ask_dns(domain).await?;
            if !self.flags.bool("insecure-discovery") {
                found.retain(|endpoint| {
                    let secure = !endpoint.starts_with("http://");
                    if !secure {
                        tell(&format!("ignoring discovered insecure endpoint \"{endpoint}\"\n"));
                    }
                    secure
                });
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(self.flags.list("endpoints").iter().map(|endpoint| endpoint.trim().to_owned()).collect())
    }

    async fn ask_dns(&self, domain: &str) -> Result<Vec<String>, Failed> {
        let names = SystemNames::new().map_err(Failed::error)?;
        let suffix = match self.flags.text("discovery-srv-name") {
            "" => String::new(),
            name => format!("-{name}"),
        };
        let (mut endpoints, mut problems) = (Vec::new(), Vec::new());
        for (scheme, service) in [("https", "etcd-client-ssl"), ("http", "etcd-client")] {
            let name = format!("_{service}{suffix}._tcp.{domain}");
            match names.services(&name).await {
                Ok(targets) => endpoints.extend(targets.into_iter().map(|(target, port)| {
                    format!("{scheme}://{}:{port}", target.strip_suffix('.').unwrap_or(&target))
                })),
                Err(error) => problems.push(format!("lookup {name}: {error}")),
            }
        }
        match problems.as_slice() {
            [https, http] => Err(Failed::error(format!("dns lookup errors: {https} and {http}"))),
            _ => Ok(endpoints),
        }
    }

    /// The name that certificates must have, when it is not the endpoint's.
    fn server_name(&self) -> Option<String> {
        let domain = self.flags.text("discovery-srv");
        (!domain.is_empty() && !self.flags.bool("insecure-discovery")).then(|| domain.to_owned())
    }

    fn tls(&self) -> Result<Tls, Failed> {
        let file = |name: &str| match self.flags.text(name) {
            "" if self.flags.changed(name) => {
                Err(Failed::args(format!("empty string is passed to --{name} option")))
            }
            "" => Ok(None),
            path => Ok(Some(path.into())),
        };
        Ok(Tls {
            cert: file("cert")?,
            key: file("key")?,
            ca: file("cacert")?,
            skip_verify: self.flags.bool("insecure-skip-tls-verify"),
            server_name: self.server_name(),
        })
    }

    /// Who logs in, or the token to show.
    fn credentials(&self) -> Result<(Login, Option<String>), Failed> {
        let token = self.flags.text("auth-jwt-token");
        if !token.is_empty() {
            return Ok((None, Some(token.to_owned())));
        }
        let login = login(self.flags.text("user"), self.flags.text("password"), "Password: ")?;
        Ok((login, None))
    }
}

/// Name and password, if somebody logs in.
pub(crate) type Login = Option<(String, String)>;

/// Name and password from two flags; asks for a password that is in neither. Without one there is no login.
pub(crate) fn login(user: &str, password: &str, prompt: &str) -> Result<Login, Failed> {
    if user.is_empty() {
        return Ok(None);
    }
    let (name, password) = match (password, user.split_once(':')) {
        ("", Some((name, password))) => (name.to_owned(), password.to_owned()),
        ("", None) => (user.to_owned(), password::ask(prompt)?),
        (password, _) => (user.to_owned(), password.to_owned()),
    };
    Ok(if name.is_empty() || password.is_empty() { None } else { Some((name, password)) })
}
