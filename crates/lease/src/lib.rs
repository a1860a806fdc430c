//! Leases: grant, renew, expiry, checkpoint. Holds no clock.
