//! Watchers: synced, catching up, progress. Holds no thread.
