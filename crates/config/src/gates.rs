//! Feature gates (contract/flags.tsv, rows of command `feature-gate`).

use std::{collections::BTreeMap, fmt};

use crate::{flag::Effect, golang};

/// How settled a feature is; printed in help texts and in the label `stage` of `etcd_server_feature_enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// May go again.
    Alpha,
    /// On its way to stay.
    Beta,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Alpha => "ALPHA",
            Stage::Beta => "BETA",
        })
    }
}

/// A feature that can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Switches every alpha gate that is not set itself.
    AllAlpha,
    /// Switches every beta gate that is not set itself.
    AllBeta,
    /// The leader compares compaction hashes with its followers.
    CompactHashCheck,
    /// Renew known leases without waiting for the applied index.
    FastLeaseKeepAlive,
    /// Compare hashes with the peers before serving after a restart.
    InitialCorruptCheck,
    /// The leader replicates the remaining TTL of leases.
    LeaseCheckpoint,
    /// Those are written to disk below cluster version 3.6 too.
    LeaseCheckpointPersist,
    /// Lease revocations may use twice the apply backlog.
    PriorityRequest,
    /// Use an advertised peer address as the source of peer connections.
    SetMemberLocalAddr,
    /// The health service says no while a defragmentation runs.
    StopGrpcServiceOnDefrag,
    /// Performance only.
    TxnModeWriteWithSharedBuffer,
}

/// What is known of a gate.
#[derive(Clone, Copy, Debug)]
pub struct GateFacts {
    /// The gate.
    pub gate: Gate,
    /// Its name.
    pub name: &'static str,
    /// How settled it is.
    pub stage: Stage,
    /// Whether it is on when nobody says anything.
    pub default: bool,
    /// Whether switching it does something yet.
    pub effect: Effect,
}

/// Every gate, sorted by name.
pub const GATES: &[GateFacts] = &[
    fact(Gate::AllAlpha, "AllAlpha", Stage::Alpha, false, Effect::Full),
    fact(Gate::AllBeta, "AllBeta", Stage::Beta, false, Effect::Full),
    fact(Gate::CompactHashCheck, "CompactHashCheck", Stage::Alpha, false, Effect::Full),
    fact(Gate::FastLeaseKeepAlive, "FastLeaseKeepAlive", Stage::Beta, true, Effect::Full),
    fact(Gate::InitialCorruptCheck, "InitialCorruptCheck", Stage::Alpha, false, Effect::Full),
    fact(Gate::LeaseCheckpoint, "LeaseCheckpoint", Stage::Alpha, false, Effect::Full),
    fact(Gate::LeaseCheckpointPersist, "LeaseCheckpointPersist", Stage::Alpha, false, Effect::Full),
    fact(Gate::PriorityRequest, "PriorityRequest", Stage::Alpha, false, Effect::NotYet),
    fact(Gate::SetMemberLocalAddr, "SetMemberLocalAddr", Stage::Alpha, false, Effect::NotYet),
    fact(Gate::StopGrpcServiceOnDefrag, "StopGRPCServiceOnDefrag", Stage::Alpha, false, Effect::NotYet),
    fact(Gate::TxnModeWriteWithSharedBuffer, "TxnModeWriteWithSharedBuffer", Stage::Beta, true, Effect::Full),
];

const fn fact(gate: Gate, name: &'static str, stage: Stage, default: bool, effect: Effect) -> GateFacts {
    GateFacts { gate, name, stage, default, effect }
}

impl Gate {
    /// What is known of it.
    pub fn facts(self) -> &'static GateFacts {
        GATES.iter().find(|facts| facts.gate == self).expect("the table has every gate: tested")
    }

    pub(crate) fn from_name(name: &str) -> Option<Gate> {
        GATES.iter().find(|facts| facts.name == name).map(|facts| facts.gate)
    }
}

/// Which gates are on. Default: all as their table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// Those set, by name or by `AllAlpha` or `AllBeta`.
    set: BTreeMap<Gate, bool>,
}

impl Gates {
    /// Reads `A=true,B=false`.
    ///
    /// # Errors
    /// The reason, in etcd's words.
    pub fn parse(text: &str) -> Result<Gates, String> {
        let mut gates = Gates::default();
        gates.merge(text)?;
        Ok(gates)
    }

    /// Sets those of `text` in addition; nothing changes on an error.
    ///
    /// # Errors
    /// The reason, in etcd's words.
    pub(crate) fn merge(&mut self, text: &str) -> Result<(), String> {
        let mut given: BTreeMap<&str, bool> = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').map_or((part.trim(), None), |(n, v)| (n.trim(), Some(v.trim())));
            let value = value.ok_or_else(|| format!("missing bool value for {name}"))?;
            let on = golang::parse_bool(value).ok_or_else(|| {
                format!(
                    "invalid value of {name}={value}, err: strconv.ParseBool: parsing {}: invalid syntax",
                    golang::quote(value)
                )
            })?;
            given.insert(name, on);
        }
        let mut set = self.set.clone();
        for (name, on) in given {
            let gate = Gate::from_name(name).ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
            set.insert(gate, on);
        }
        fill(&mut set, Gate::AllAlpha, Stage::Alpha);
        fill(&mut set, Gate::AllBeta, Stage::Beta);
        self.set = set;
        Ok(())
    }

    /// Switches one gate.
    pub(crate) fn set(&mut self, gate: Gate, on: bool) {
        self.set.insert(gate, on);
    }

    /// Whether it was set, by its own name or a switch for all.
    pub(crate) fn is_set(&self, gate: Gate) -> bool {
        self.set.contains_key(&gate)
    }

    /// Whether it is on.
    pub fn enabled(&self, gate: Gate) -> bool {
        self.set.get(&gate).copied().unwrap_or(gate.facts().default)
    }

    /// Every gate with whether it is on, sorted by name: the series of `etcd_server_feature_enabled`.
    pub fn all(&self) -> impl Iterator<Item = (&'static GateFacts, bool)> {
        GATES.iter().map(|facts| (facts, self.enabled(facts.gate)))
    }
}

/// The gates that were set, as the log shows them.
impl fmt::Display for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<_> = self.set.iter().map(|(gate, on)| format!("{}={on}", gate.facts().name)).collect();
        f.write_str(&set.join(","))
    }
}

/// What a switch for all does to the gates of a stage that nobody set, itself included.
fn fill(set: &mut BTreeMap<Gate, bool>, switch: Gate, stage: Stage) {
    if let Some(on) = set.get(&switch).copied() {
        for facts in GATES.iter().filter(|facts| facts.stage == stage) {
            set.entry(facts.gate).or_insert(on);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_gates_win_over_switches_for_all() {
        let gates = Gates::parse("AllAlpha=true,LeaseCheckpoint=false").unwrap();
        assert!(gates.enabled(Gate::InitialCorruptCheck) && !gates.enabled(Gate::LeaseCheckpoint));
        let gates = Gates::parse("AllBeta=f, FastLeaseKeepAlive = T ").unwrap();
        assert!(
            gates.enabled(Gate::FastLeaseKeepAlive) && !gates.enabled(Gate::TxnModeWriteWithSharedBuffer)
        );
        assert_eq!(
            gates.to_string(),
            "AllBeta=false,FastLeaseKeepAlive=true,TxnModeWriteWithSharedBuffer=false"
        );
        assert_eq!(Gates::parse(",").unwrap(), Gates::default());
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, reason) in [
            ("Foo=true", "unrecognized feature gate: Foo"),
            ("Foo", "missing bool value for Foo"),
            (
                "LeaseCheckpoint=x",
                "invalid value of LeaseCheckpoint=x, err: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(Gates::parse(text), Err(reason.to_string()));
        }
    }

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(GATES.is_sorted_by_key(|facts| facts.name));
        assert!(GATES.iter().all(|facts| facts.gate.facts().name == facts.name));
    }
}
