//! One table of flags: command line, environment, YAML, help.
