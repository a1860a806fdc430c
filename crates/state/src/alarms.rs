//! Active alarms: replicated, persisted with the alarm itself as the key (contract/semantics.md 9.2–9.4, 14.5).

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType, alarm_request::AlarmAction};
use types::{Write, bucket};

/// Which alarms are on, by type and member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alarms {
    /// Type before member, as they are listed.
    active: BTreeSet<(i32, u64)>,
}

impl Alarms {
    /// The alarms of the bucket's keys.
    ///
    /// # Errors
    /// When a key is no alarm.
    pub(crate) fn restore(keys: impl IntoIterator<Item = Bytes>) -> Result<Alarms, String> {
        let mut active = BTreeSet::new();
        for key in keys {
            let alarm = AlarmMember::decode(key).map_err(|e| format!("bucket alarm: {e}"))?;
            active.insert((alarm.alarm, alarm.member_id));
        }
        Ok(Alarms { active })
    }

    /// Whether any member has raised `alarm`.
    pub(crate) fn any(&self, alarm: AlarmType) -> bool {
        self.of(alarm).next().is_some()
    }

    /// The active alarms of a type; all of them for `None`.
    pub(crate) fn of(&self, alarm: AlarmType) -> impl Iterator<Item = AlarmMember> {
        let wanted = (alarm != AlarmType::None).then_some(alarm as i32);
        self.active
            .iter()
            .filter(move |(kind, _)| wanted.is_none_or(|w| w == *kind))
            .map(|&(alarm, member_id)| AlarmMember { member_id, alarm })
    }

    /// Carries out a request: the alarms to answer with, and what is to be written. An action that does not
    /// exist does nothing: the door refuses it before it is proposed.
    pub(crate) fn apply(&mut self, request: &AlarmRequest) -> (Vec<AlarmMember>, Vec<Write>) {
        let alarm = AlarmMember { member_id: request.member_id, alarm: request.alarm };
        let place = (request.alarm, request.member_id);
        match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => (self.of_number(request.alarm), Vec::new()),
            Ok(AlarmAction::Activate) if request.alarm == AlarmType::None as i32 => Default::default(),
            Ok(AlarmAction::Activate) => {
                let writes = if self.active.insert(place) {
                    vec![Write::put(bucket::ALARM, alarm.encode_to_vec(), Bytes::new())]
                } else {
                    Vec::new()
                };
                (vec![alarm], writes)
            }
            Ok(AlarmAction::Deactivate) if self.active.remove(&place) => {
                let writes = vec![Write::delete(bucket::ALARM, alarm.encode_to_vec())];
                (vec![alarm], writes)
            }
            Ok(AlarmAction::Deactivate) | Err(_) => Default::default(),
        }
    }

    fn of_number(&self, number: i32) -> Vec<AlarmMember> {
        match AlarmType::try_from(number) {
            Ok(alarm) => self.of(alarm).collect(),
            Err(_) => self
                .active
                .iter()
                .filter(|(kind, _)| *kind == number)
                .map(|&(alarm, member_id)| AlarmMember { member_id, alarm })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(action: AlarmAction, member_id: u64, alarm: AlarmType) -> AlarmRequest {
        AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 }
    }

    #[test]
    fn raised_once_listed_by_type_cleared_by_exact_member() {
        use AlarmAction::{Activate, Deactivate, Get};
        let mut alarms = Alarms::default();
        let (reply, writes) = alarms.apply(&request(Activate, 7, AlarmType::Nospace));
        assert_eq!((reply.len(), writes.len()), (1, 1));
        let (reply, again) = alarms.apply(&request(Activate, 7, AlarmType::Nospace));
        assert_eq!((reply.len(), again.len()), (1, 0), "idempotent, and answered with the alarm");
        let keys = writes.iter().map(|w| w.key.clone());
        assert_eq!(Alarms::restore(keys).unwrap(), alarms);

        assert_eq!(alarms.apply(&request(Get, 0, AlarmType::None)).0.len(), 1);
        assert_eq!(alarms.apply(&request(Get, 0, AlarmType::Corrupt)).0.len(), 0);
        assert!(alarms.apply(&request(Deactivate, 0, AlarmType::Nospace)).0.is_empty(), "0 is no wildcard");
        let (reply, writes) = alarms.apply(&request(Deactivate, 7, AlarmType::Nospace));
        assert_eq!((reply.len(), writes[0].value.is_none()), (1, true));
        assert!(!alarms.any(AlarmType::Nospace));
        assert!(alarms.apply(&request(Activate, 7, AlarmType::None)).0.is_empty());
    }
}
