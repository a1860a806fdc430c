//! Harness for tests of the built binary.
