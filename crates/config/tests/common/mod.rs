//! Loading a configuration without a process.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{io, path::Path};

use config::{Command, LoadError, Notice, Settings, Sources};

/// The world around a command line.
#[derive(Default)]
pub(crate) struct World<'a> {
    /// Environment variables.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// Files by path.
    pub(crate) files: &'a [(&'a str, &'a str)],
    /// The address of this machine.
    pub(crate) default_host: Option<&'a str>,
}

impl World<'_> {
    /// Loads `etcd ARGS...`.
    pub(crate) fn load(&self, args: &[&str]) -> Result<Command, LoadError> {
        let args: Vec<String> = std::iter::once(&"etcd").chain(args).map(|arg| (*arg).to_string()).collect();
        let variables: Vec<_> =
            self.variables.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let read = |path: &Path| {
            let file = self.files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| text.as_bytes().to_vec()).ok_or(io::Error::from_raw_os_error(2))
        };
        let default_host =
            || self.default_host.map(String::from).ok_or_else(|| "could not find default route".into());
        config::load(&Sources {
            args: &args,
            variables: &variables,
            read: &read,
            default_host: &default_host,
        })
    }

    /// The settings of `etcd ARGS...`.
    pub(crate) fn settings(&self, args: &[&str]) -> Settings {
        match self.load(args) {
            Ok(Command::Start(settings)) => *settings,
            Ok(other) => panic!("{args:?} asks for {other:?}"),
            Err(error) => panic!("{args:?}: {}", texts(&error)),
        }
    }

    /// The text of a refusal: `MESSAGE: ERROR` of the last line logged, or what is printed.
    pub(crate) fn refusal(&self, args: &[&str]) -> String {
        match self.load(args) {
            Ok(_) => panic!("{args:?} is accepted"),
            Err(error) => texts(&error),
        }
    }
}

/// Loads `etcd ARGS...` with nothing around it.
pub(crate) fn settings(args: &[&str]) -> Settings {
    World::default().settings(args)
}

/// See [`World::refusal`].
pub(crate) fn refusal(args: &[&str]) -> String {
    World::default().refusal(args)
}

fn texts(error: &LoadError) -> String {
    match error {
        LoadError::Usage(text) => format!("usage: {text}"),
        LoadError::Plain(text) => text.clone(),
        LoadError::Logged { notices, .. } => line(notices.last().expect("a refusal says why")),
    }
}

/// A notice as `MESSAGE: VALUE, VALUE`.
pub(crate) fn line(notice: &Notice) -> String {
    let fields: Vec<_> = notice
        .fields
        .iter()
        .map(|(_, value)| value.as_str().map_or(value.to_string(), String::from))
        .collect();
    if fields.is_empty() {
        notice.message.clone()
    } else {
        format!("{}: {}", notice.message, fields.join(", "))
    }
}

/// All notices, one a line.
pub(crate) fn lines(settings: &Settings) -> Vec<String> {
    settings.notices.iter().map(line).collect()
}
