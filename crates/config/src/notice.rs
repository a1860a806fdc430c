//! What should be logged once there is a log.

use serde_json::Value;

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warn,
    /// The process ends because of it.
    Fatal,
}

/// A line for the log. Reading the configuration comes before the log can be set up, so lines are collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// How grave it is.
    pub severity: Severity,
    /// The message; etcd's own where people search for it.
    pub message: String,
    /// What it is about.
    pub fields: Vec<(&'static str, Value)>,
}

impl Notice {
    /// Good to know.
    pub fn info(message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Info, message: message.into(), fields: Vec::new() }
    }

    /// Somebody should look at it.
    pub fn warn(message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Warn, message: message.into(), fields: Vec::new() }
    }

    /// The process ends because of it.
    pub fn fatal(message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Fatal, message: message.into(), fields: Vec::new() }
    }

    /// The same with one field more.
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Notice {
        self.fields.push((key, value.into()));
        self
    }
}
