//! Multi-version key-value store over the key bucket.
