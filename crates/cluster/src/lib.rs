//! Members, cluster version and downgrade as replicated state.
