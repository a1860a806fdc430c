//! Which program this is, what it is asked for, and how it ends: texts, streams and exit codes are etcd's
//! (contract/semantics.md 11.8).

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use config::{Command, LoadError, Notice, Sources};

use crate::logging;

/// The configuration is wrong, or the member failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const MISUSED: u8 = 2;

/// Runs a member until it ends. The log is started, and what the settings have to say is in it.
pub(crate) type RunServer = fn(config::Settings) -> anyhow::Result<ExitCode>;

/// Runs what the arguments ask for; the first is the name of the program.
pub(crate) fn run(args: impl Iterator<Item = OsString>, run_server: RunServer) -> ExitCode {
    let args: Result<Vec<String>, OsString> = args.map(OsString::into_string).collect();
    let Ok(args) = args else {
        complain("arguments must be valid UTF-8\n");
        return ExitCode::from(MISUSED);
    };
    let program = args.first().and_then(|path| Path::new(path).file_name()?.to_str()).unwrap_or_default();
    match program {
        "etcd" => etcd(&args, run_server),
        "etcdctl" => etcdctl::run(&args),
        "etcdutl" => ExitCode::from(etcdutl::run(&args[1..])),
        _ => mainstay(&args, run_server),
    }
}

fn mainstay(args: &[String], run_server: RunServer) -> ExitCode {
    match args.get(1).map(String::as_str) {
        Some("server") => etcd(&[&args[..1], &args[2..]].concat(), run_server),
        Some("demo") => match mainstay::demo::run(&args[2..]) {
            Ok(code) => code,
            Err(error) => {
                complain(&format!("{error:#}\n"));
                ExitCode::from(FAILED)
            }
        },
        Some("version" | "--version") => {
            print(&version());
            ExitCode::SUCCESS
        }
        Some("etcdctl") => etcdctl::run(&args[1..]),
        Some("etcdutl") => ExitCode::from(etcdutl::run(&args[2..])),
        Some("bbolt") => ExitCode::from(etcdutl::run_bbolt(&args[2..])),
        Some("migrate") => ExitCode::from(etcdutl::migrate_check(&args[2..])),
        Some("repair") => ExitCode::from(etcdutl::repair(&args[2..])),
        Some(command @ ("gateway" | "grpc-proxy")) => not_there_yet(command),
        _ => cli::run(&args[1..]),
    }
}

fn etcd(args: &[String], run_server: RunServer) -> ExitCode {
    let arch = go_arch(std::env::consts::ARCH);
    let asked = std::env::var("ETCD_UNSUPPORTED_ARCH").ok();
    let mut variables = variables();
    match check_arch(arch, asked.as_deref()) {
        Arch::Supported => {}
        Arch::AskedFor => variables.retain(|(name, _)| name != "ETCD_UNSUPPORTED_ARCH"),
        Arch::Refused => {
            let message =
                "Refusing to run etcd on unsupported architecture since ETCD_UNSUPPORTED_ARCH is not set";
            return fail(&[Notice::fatal(message).with("arch", arch)], None);
        }
    }
    if let Some(command @ ("gateway" | "grpc-proxy")) = args.get(1).map(String::as_str) {
        return not_there_yet(command);
    }
    let sources = Sources {
        args,
        variables: &variables,
        read: &config::read_file,
        default_host: &config::default_host,
    };
    match config::load(&sources) {
        Ok(Command::Start(settings)) => start(*settings, run_server),
        Ok(Command::Help) => {
            complain(&format!("{}\n", config::usage()));
            print(&format!("{}\n", config::flags_help()));
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            print(&version());
            ExitCode::SUCCESS
        }
        Err(LoadError::Usage(text)) => {
            complain(&format!("{text}\n{}\n", config::usage()));
            ExitCode::from(MISUSED)
        }
        Err(LoadError::Plain(text)) => {
            complain(&format!("{text}\n"));
            ExitCode::from(FAILED)
        }
        Err(LoadError::Logged { notices, log }) => fail(&notices, log.as_deref()),
    }
}

fn start(mut settings: config::Settings, run_server: RunServer) -> ExitCode {
    let notices = std::mem::take(&mut settings.notices);
    if let Err(error) = logging::start(&settings.log) {
        let told = Notice::warn("failed to verify flags").with("error", format!("log-outputs: {error}"));
        return fail(&[notices, vec![told]].concat(), None);
    }
    logging::write(&notices);
    match run_server(settings) {
        Ok(code) => {
            telemetry::log::flush();
            code
        }
        Err(error) => fail(&[Notice::fatal("discovery failed").with("error", format!("{error:#}"))], None),
    }
}

/// Logs why there is nothing to run. The log is started as asked for, else as JSON to standard error.
fn fail(notices: &[Notice], log: Option<&config::Log>) -> ExitCode {
    let started = log.map_or_else(logging::start_default, logging::start);
    if let Err(error) = started.or_else(|_| logging::start_default()) {
        complain(&format!("{error}\n"));
    }
    logging::write(notices);
    telemetry::log::flush();
    ExitCode::from(FAILED)
}

fn not_there_yet(what: &str) -> ExitCode {
    complain(&format!("{what} is not there yet in this version of Mainstay\n"));
    ExitCode::from(MISUSED)
}

/// Lines as `etcd --version` has them, with our own version in the place of Go's.
fn version() -> String {
    format!(
        "etcd Version: {}\nGit SHA: {}\nMainstay Version: {}\nOS/Arch: {}/{}\n",
        node::SERVER_VERSION,
        option_env!("GIT_SHA").unwrap_or("Not provided"),
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        go_arch(std::env::consts::ARCH),
    )
}

/// Variables that are not UTF-8 are shown with replacement characters where they are wrong; no flag needs such.
fn variables() -> Vec<(String, String)> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

/// Whether to run on this kind of machine.
#[derive(Debug, PartialEq, Eq)]
enum Arch {
    Supported,
    AskedFor,
    Refused,
}

fn check_arch(arch: &str, asked: Option<&str>) -> Arch {
    match arch {
        "amd64" | "arm64" | "ppc64le" | "s390x" => Arch::Supported,
        _ if asked == Some(arch) => Arch::AskedFor,
        _ => Arch::Refused,
    }
}

/// The name that Go, and so etcd, has for an architecture.
fn go_arch(arch: &'static str) -> &'static str {
    match arch {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// Nobody may be listening any more, and that is no reason to panic.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// As [`print`], on standard error.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures() {
        assert_eq!(check_arch("amd64", None), Arch::Supported);
        assert_eq!(check_arch("riscv64", None), Arch::Refused);
        assert_eq!(check_arch("riscv64", Some("arm")), Arch::Refused);
        assert_eq!(check_arch("riscv64", Some("riscv64")), Arch::AskedFor);
    }
}
