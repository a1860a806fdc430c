//! bbolt's file format: single writer, copy-on-write, snapshot readers that never block.
