//! Users, roles and permissions as replicated state.
