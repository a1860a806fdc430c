//! From the command line, the environment and the configuration file to [`Settings`].

use std::{
    fs::File,
    io::{self, Read},
    net::{IpAddr, UdpSocket},
    path::Path,
};

use crate::{
    argv::{self, Stop},
    env::{self, EnvError},
    file::{self, FileError},
    golang::quote,
    notice::Notice,
    settings::{self, Context, Failure, Log, Problem, Settings},
    values::Values,
};

/// The largest file that is read here: configurations and certificates are far smaller.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where a configuration comes from. Passed in, so that tests need no process of their own.
pub struct Sources<'a> {
    /// Arguments, the name of the program first.
    pub args: &'a [String],
    /// Environment variables, in their order.
    pub variables: &'a [(String, String)],
    /// Reads a file; see [`read_file`].
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// The address under which others most likely reach this machine, or why there is none; see [`default_host`].
    pub default_host: &'a dyn Fn() -> Result<String, String>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Start a member.
    Start(Box<Settings>),
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
}

/// Why nothing is started; by how etcd tells it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line cannot be read: the text and [`crate::usage`] on standard error, exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A value cannot be used: the text on standard error, without a log line around it, exit code 1.
    #[error("{0}")]
    Plain(String),
    /// The notices in the log, exit code 1. The last one says what is wrong.
    #[error("{}", .notices.last().map_or("", |notice| notice.message.as_str()))]
    Logged {
        /// What to log.
        notices: Vec<Notice>,
        /// How, if that is known; else as JSON to standard error.
        log: Option<Box<Log>>,
    },
}

/// Reads the configuration and checks it. The settings' notices and a refusal's are to be logged in their order.
///
/// # Errors
/// See [`LoadError`]. Texts are etcd's (contract/errors.tsv, contract/flags.tsv).
pub fn load(sources: &Sources<'_>) -> Result<Command, LoadError> {
    let args = sources.args.get(1..).unwrap_or_default();
    let argv = match argv::parse(args) {
        Ok(argv) => argv,
        Err(Stop::Help) => return Ok(Command::Help),
        Err(Stop::Mistake(text)) => return Err(LoadError::Usage(text)),
    };
    let mut notices = Vec::new();
    let running = [Notice::info("Running: ").with("args", sources.args)];
    if let Some(stray) = argv.stray {
        let problem = Problem::Flags(format!("{} is not a valid flag", quote(&stray)));
        return Err(rejected(problem.into(), notices, &running));
    }
    if argv.given.is_true("version") {
        return Ok(Command::Version);
    }
    let from_variable = sources.variables.iter().find(|(name, _)| name == "ETCD_CONFIG_FILE");
    let from_flag = argv.given.text("config-file").to_string();
    let path = if from_flag.is_empty() { from_variable.map_or("", |(_, path)| path) } else { &from_flag };
    let from_file = !path.is_empty();
    let given = if from_file {
        read_configuration(path, sources, &mut notices)
    } else {
        let mut given = argv.given;
        match env::apply(&mut given, &argv.names, sources.variables, &mut notices) {
            Ok(()) => Ok(given),
            Err(EnvError::Value(text)) => Err(Refusal::Problem(Problem::Flags(text))),
            Err(EnvError::Conflict(variable)) => return Err(conflict(variable, notices)),
        }
    };
    let values = given
        .and_then(|given| given.settle(&mut notices).map_err(|text| Refusal::Problem(Problem::Flags(text))))
        .map_err(|refusal| match refusal {
            Refusal::Plain(text) => LoadError::Plain(text),
            Refusal::Problem(problem) => rejected(problem.into(), std::mem::take(&mut notices), &running),
        })?;
    finish(values, from_file.then_some(path), sources, notices, running)
}

enum Refusal {
    Plain(String),
    Problem(Problem),
}

fn read_configuration(
    path: &str,
    sources: &Sources<'_>,
    notices: &mut Vec<Notice>,
) -> Result<crate::values::Given, Refusal> {
    let flags = |text| Refusal::Problem(Problem::Flags(text));
    let bytes =
        (sources.read)(Path::new(path)).map_err(|e| flags(settings::open_error(Path::new(path), &e)))?;
    file::parse(&bytes, notices).map_err(|error| match error {
        FileError::Url { .. } => Refusal::Plain(error.to_string()),
        FileError::Yaml(_) | FileError::Type { .. } | FileError::Value(_) => flags(error.to_string()),
    })
}

fn finish(
    values: Values,
    file: Option<&str>,
    sources: &Sources<'_>,
    mut notices: Vec<Notice>,
    running: [Notice; 1],
) -> Result<Command, LoadError> {
    let mut told = Vec::new();
    if let Some(path) = file {
        let message = "loaded server configuration, other configuration command line flags and environment variables \
                       will be ignored if provided";
        told.push(Notice::info(message).with("path", path));
    }
    told.extend(running.clone());
    let context =
        Context { from_file: file.is_some(), read: sources.read, default_host: sources.default_host };
    let mut settings = settings::build(values, &context, &told, &mut notices)
        .map_err(|failure| rejected(failure, std::mem::take(&mut notices), &running))?;
    for name in settings.without_effect() {
        notices.push(Notice::warn("flag has no effect yet").with("flag-name", name));
    }
    settings.notices = notices;
    Ok(Command::Start(Box::new(settings)))
}

/// What etcd logs when it does not like the configuration.
fn rejected(failure: Failure, mut notices: Vec<Notice>, running: &[Notice]) -> LoadError {
    let text = failure.problem.to_string();
    match failure.problem {
        Problem::Start(_) => notices.push(Notice::fatal("discovery failed").with("error", text)),
        Problem::Flags(_) => {
            notices.extend_from_slice(running);
            notices.push(Notice::warn("failed to verify flags").with("error", text));
        }
        Problem::UnsetAdvertiseClientUrls => {
            notices.extend_from_slice(running);
            notices.push(Notice::warn("failed to verify flags").with("error", text.as_str()));
            notices.push(Notice::warn("advertise client URLs are not set").with("error", text));
        }
    }
    LoadError::Logged { notices, log: failure.log.map(Box::new) }
}

fn conflict(variable: String, mut notices: Vec<Notice>) -> LoadError {
    let message = "conflicting environment variable is shadowed by corresponding command-line flag (either unset \
                   environment variable or disable flag))";
    notices.push(Notice::fatal(message).with("environment-variable", variable));
    LoadError::Logged { notices, log: None }
}

/// Reads a file of at most 16 MiB.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("file too large"));
    }
    Ok(bytes)
}

/// The address of this machine on its way to the world: the source address that the system would choose for it. No
/// packet is sent.
///
/// # Errors
/// When there is no way, in etcd's words.
pub fn default_host() -> Result<String, String> {
    // Addresses for documentation (RFC 5737, RFC 3849): routed like any other, and nobody's.
    let ways = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    ways.into_iter()
        .find_map(|(from, to)| source_address(from, to).ok())
        .map(|ip| ip.to_string())
        .ok_or_else(|| "could not find default route".to_string())
}

fn source_address(from: &str, to: &str) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}
