//! The replicated state machine: applies log entries, answers reads.
