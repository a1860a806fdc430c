//! Users, roles and permissions as their contract describes them, at every place of the log, and what that says of an
//! answer or a refusal.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::{
    authpb::permission::Type,
    etcdserverpb::{
        self as pb, InternalRaftRequest, alarm_request::AlarmAction, request_op::Request as OpRequest,
    },
};

use crate::call::{Ask, Who};

const ROOT: &str = "root";

/// What something needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Admin,
    Anybody,
    Read(Bytes, Bytes),
    Write(Bytes, Bytes),
    /// A right to all keys of a lease.
    Lease(i64),
}

/// What is granted at some place of the log.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    pub(crate) enabled: bool,
    pub(crate) revision: u64,
    users: BTreeMap<String, BTreeSet<String>>,
    roles: BTreeMap<String, Vec<Grant>>,
}

#[derive(Clone, Debug)]
struct Grant {
    kind: i32,
    key: Bytes,
    range_end: Bytes,
}

impl Users {
    pub(crate) fn new() -> Users {
        Users { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }

    fn holds(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|roles| roles.contains(role))
    }

    /// Whether all of `needs` are granted. `lease_keys` are the keys of a lease; where they are not known, that need is
    /// taken as granted.
    pub(crate) fn grant(
        &self,
        who: &Who,
        needs: &[Need],
        lease_keys: impl Fn(i64) -> Option<Vec<Bytes>>,
    ) -> bool {
        let Who::User { name, revision } = who else { return !self.enabled || *who == Who::Internal };
        let root = self.holds(name, ROOT);
        let on_keys = |write: bool, key: &Bytes, end: &Bytes| {
            *revision >= self.revision && *revision > 0 && (root || self.covers(name, write, key, end))
        };
        !self.enabled
            || needs.iter().all(|need| match need {
                Need::Anybody => *revision > 0,
                Need::Admin => root,
                Need::Read(key, end) => on_keys(false, key, end),
                Need::Write(key, end) => on_keys(true, key, end),
                Need::Lease(id) => {
                    let keys = lease_keys(*id).unwrap_or_default();
                    root || keys.iter().all(|key| on_keys(true, key, &Bytes::new()))
                }
            })
    }

    /// Whether the roles of `user` together give it all of a range.
    fn covers(&self, user: &str, write: bool, key: &Bytes, range_end: &Bytes) -> bool {
        let roles = self.users.get(user).into_iter().flatten();
        let grants = roles.filter_map(|role| self.roles.get(role)).flatten();
        let wanted = if write { Type::Write } else { Type::Read } as i32;
        let fitting = |grant: &&Grant| grant.kind == Type::Readwrite as i32 || grant.kind == wanted;
        let spans: Vec<(Bytes, Option<Bytes>)> =
            grants.filter(fitting).map(|grant| span(&grant.key, &grant.range_end)).collect();
        let (mut at, end) = span(key, range_end);
        let end = match end {
            // A range without keys needs its first one.
            Some(end) if end <= *key => Some([key, &b"\0"[..]].concat().into()),
            other => other,
        };
        // From grant to grant, as far as they go without a gap.
        loop {
            let here = spans.iter().filter(|(from, to)| *from <= at && to.as_ref().is_none_or(|to| *to > at));
            let Some(best) = here.map(|(_, to)| to.clone()).max_by_key(|to| (to.is_none(), to.clone()))
            else {
                return false;
            };
            match (best, &end) {
                (None, _) => return true,
                (Some(to), Some(end)) if to >= *end => return true,
                (Some(to), _) => at = to,
            }
        }
    }

    /// Takes in an entry about users; `None` when it is about something else, else whether it was carried out.
    fn apply(&mut self, request: &InternalRaftRequest) -> Option<bool> {
        let before = self.revision;
        let done = if request.auth_enable.is_some() {
            let may = self.holds(ROOT, ROOT);
            self.enabled |= may;
            may
        } else if request.auth_disable.is_some() {
            self.revision += u64::from(self.enabled);
            self.enabled = false;
            true
        } else if let Some(add) = &request.auth_user_add {
            let new = !self.users.contains_key(&add.name);
            if new {
                self.users.insert(add.name.clone(), BTreeSet::new());
            }
            self.changed(new)
        } else if let Some(delete) = &request.auth_user_delete {
            let may = !(self.enabled && delete.name == ROOT);
            let gone = may && self.users.remove(&delete.name).is_some();
            self.changed(gone)
        } else if let Some(grant) = &request.auth_user_grant_role {
            let there = grant.role == ROOT || self.roles.contains_key(&grant.role);
            match self.users.get_mut(&grant.user).filter(|_| there) {
                Some(roles) => {
                    let new = roles.insert(grant.role.clone());
                    self.changed(new);
                    true
                }
                None => false,
            }
        } else if let Some(revoke) = &request.auth_user_revoke_role {
            let may = !(self.enabled && revoke.name == ROOT && revoke.role == ROOT);
            let roles = self.users.get_mut(&revoke.name).filter(|_| may);
            let gone = roles.is_some_and(|roles| roles.remove(&revoke.role));
            self.changed(gone)
        } else if let Some(add) = &request.auth_role_add {
            let new = !self.roles.contains_key(&add.name);
            if new {
                self.roles.insert(add.name.clone(), Vec::new());
            }
            self.changed(new)
        } else if let Some(delete) = &request.auth_role_delete {
            let gone = self.roles.remove(&delete.role).is_some();
            self.users.values_mut().for_each(|roles| _ = gone && roles.remove(&delete.role));
            self.changed(gone)
        } else if let Some(grant) = &request.auth_role_grant_permission {
            let perm = grant.perm.clone().unwrap_or_default();
            match self.roles.get_mut(&grant.name) {
                Some(grants) => {
                    grants.retain(|held| held.key != perm.key || held.range_end != perm.range_end);
                    grants.push(Grant { kind: perm.perm_type, key: perm.key, range_end: perm.range_end });
                    self.changed(true)
                }
                None => false,
            }
        } else if let Some(revoke) = &request.auth_role_revoke_permission {
            let gone = self.roles.get_mut(&revoke.role).is_some_and(|grants| {
                let before = grants.len();
                grants.retain(|held| held.key != revoke.key || held.range_end != revoke.range_end);
                grants.len() < before
            });
            self.changed(gone)
        } else {
            return None;
        };
        debug_assert!(self.revision >= before, "it only grows");
        Some(done)
    }

    fn changed(&mut self, changed: bool) -> bool {
        self.revision += u64::from(changed);
        changed
    }
}

/// `[from, to)`; no end: all keys from there on.
fn span(key: &Bytes, range_end: &Bytes) -> (Bytes, Option<Bytes>) {
    let to = match range_end.as_ref() {
        [] => Some([key, &b"\0"[..]].concat().into()),
        [0] => None,
        _ => Some(range_end.clone()),
    };
    (key.clone(), to)
}

/// All that was ever granted, by log index.
#[derive(Debug)]
pub(crate) struct UserLog {
    /// From which index on; ascending, and there is a first.
    states: Vec<(u64, Users)>,
    /// Entries about users that were carried out.
    done: Vec<(u64, InternalRaftRequest)>,
}

impl UserLog {
    pub(crate) fn new() -> UserLog {
        UserLog { states: vec![(0, Users::new())], done: Vec::new() }
    }

    pub(crate) fn now(&self) -> &Users {
        &self.states.last().expect("there is a first").1
    }

    /// Those that counted somewhere from `index` on until now.
    pub(crate) fn since(&self, index: u64) -> impl Iterator<Item = &Users> {
        let first = self.states.partition_point(|(from, _)| *from <= index).saturating_sub(1);
        self.states[first..].iter().map(|(_, users)| users)
    }

    /// Takes in an entry, which is granted; whether it was about users.
    pub(crate) fn apply(&mut self, index: u64, request: &InternalRaftRequest) -> bool {
        let mut users = self.now().clone();
        let Some(done) = users.apply(request) else { return false };
        self.states.push((index, users));
        if done {
            self.done.push((index, request.clone()));
        }
        true
    }

    /// Whether such an entry was carried out behind `index`.
    pub(crate) fn has_done(&self, index: u64, wanted: impl Fn(&InternalRaftRequest) -> bool) -> bool {
        self.done.iter().rev().take_while(|(at, _)| *at > index).any(|(_, request)| wanted(request))
    }
}

/// What a call needs before it is carried out.
pub(crate) fn needs_of(ask: &Ask) -> Vec<Need> {
    let mut needs = Vec::new();
    match ask {
        Ask::Put(put) => needs_of_put(put, &mut needs),
        Ask::Delete(delete) => needs_of_delete(delete, &mut needs),
        Ask::Txn(txn) => needs_of_txn(txn, &mut needs),
        Ask::Range(range) => needs.push(Need::Read(range.key.clone(), range.range_end.clone())),
        Ask::Alarm(request) if request.action == AlarmAction::Get as i32 => needs.push(Need::Anybody),
        Ask::Grant(_) | Ask::Members(_) => needs.push(Need::Anybody),
        Ask::Revoke(revoke) => needs.extend([Need::Anybody, Need::Lease(revoke.id)]),
        Ask::KeepAlive(renew) => needs.extend([Need::Anybody, Need::Lease(renew.id)]),
        Ask::Compact(_)
        | Ask::HashKv(_)
        | Ask::Alarm(_)
        | Ask::MoveLeader(_)
        | Ask::Defragment(_)
        | Ask::Add(_)
        | Ask::Promote(_)
        | Ask::Remove(_)
        | Ask::Auth(_) => needs.push(Need::Admin),
    }
    needs
}

/// What an entry needs when it is applied: less than its call did where members propose for themselves.
pub(crate) fn needs_of_entry(request: &InternalRaftRequest) -> Vec<Need> {
    let mut needs = Vec::new();
    request.put.iter().for_each(|put| needs_of_put(put, &mut needs));
    request.delete_range.iter().for_each(|delete| needs_of_delete(delete, &mut needs));
    request.txn.iter().for_each(|txn| needs_of_txn(txn, &mut needs));
    needs.extend(request.lease_revoke.iter().map(|revoke| Need::Lease(revoke.id)));
    let admin = request.auth_enable.is_some()
        || request.auth_disable.is_some()
        || request.auth_user_add.is_some()
        || request.auth_user_delete.is_some()
        || request.auth_user_grant_role.is_some()
        || request.auth_user_revoke_role.is_some()
        || request.auth_role_add.is_some()
        || request.auth_role_delete.is_some()
        || request.auth_role_grant_permission.is_some()
        || request.auth_role_revoke_permission.is_some();
    needs.extend(admin.then_some(Need::Admin));
    needs
}

fn needs_of_put(put: &pb::PutRequest, needs: &mut Vec<Need>) {
    needs.push(Need::Write(put.key.clone(), Bytes::new()));
    needs.extend((put.lease != 0).then_some(Need::Lease(put.lease)));
    needs.extend(put.prev_kv.then(|| Need::Read(put.key.clone(), Bytes::new())));
}

fn needs_of_delete(delete: &pb::DeleteRangeRequest, needs: &mut Vec<Need>) {
    needs.push(Need::Write(delete.key.clone(), delete.range_end.clone()));
    needs.extend(delete.prev_kv.then(|| Need::Read(delete.key.clone(), delete.range_end.clone())));
}

fn needs_of_txn(txn: &pb::TxnRequest, needs: &mut Vec<Need>) {
    needs
        .extend(txn.compare.iter().map(|compare| Need::Read(compare.key.clone(), compare.range_end.clone())));
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(OpRequest::RequestRange(range)) => {
                needs.push(Need::Read(range.key.clone(), range.range_end.clone()));
            }
            Some(OpRequest::RequestPut(put)) => needs_of_put(put, needs),
            Some(OpRequest::RequestDeleteRange(delete)) => needs_of_delete(delete, needs),
            Some(OpRequest::RequestTxn(inner)) => needs_of_txn(inner, needs),
            None => {}
        }
    }
}
