//! Raft without I/O: messages and ticks in, effects out.
