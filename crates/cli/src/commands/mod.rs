//! What commands do, a file for each family.

pub(crate) mod bench;
pub(crate) mod disk;
pub(crate) mod doctor;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod locks;
pub(crate) mod member;
pub(crate) mod status;
pub(crate) mod transfer;
pub(crate) mod txn;
pub(crate) mod watch;
