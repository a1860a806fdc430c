//! What members have applied, taken into the model and compared.

use proto::etcdserverpb::InternalRaftRequest;
use types::raft::{Entry, EntryKind};

use crate::{
    check::{Checked, violation},
    world::World,
};

impl World {
    /// Takes what a member has newly applied into the model.
    pub(crate) fn absorb(&mut self, place: usize) -> Checked {
        let machine = &self.machines[place];
        let id = machine.id.0;
        let Some(life) = &machine.life else { return Ok(()) };
        let Some(figures) = life.stepped.figures() else { return Ok(()) };
        let facts = [place as u64, figures.term, figures.commit, figures.applied, figures.revision as u64];
        self.trace.note(self.now, "turn", &facts);
        let before = self.raft.applied_by(id);
        if figures.applied > before {
            let entries = life.stepped.entries(before + 1, figures.applied);
            let new = self.raft.applied(id, &entries)?.to_vec();
            for entry in &new {
                self.apply(entry)?;
            }
            if figures.applied > self.raft.committed() {
                return violation(format!("{id:x} applied {} from nowhere", figures.applied));
            }
        }
        let life = self.machines[place].life.as_mut();
        for (index, writes) in life.map(|life| life.stepped.take_written()).unwrap_or_default() {
            self.raft.wrote(id, index, &writes)?;
        }
        // A member that starts has not told how far its compactions have come: it takes them up again.
        if let Some((revision, compacted)) = self.history.model.stands_at(figures.applied)
            && (figures.revision != revision || figures.compacted > compacted.max(figures.compacted.min(0)))
        {
            return violation(format!(
                "{id:x} stands at revision {} (compacted {}) with {} applied, the others at {revision} ({compacted})",
                figures.revision, figures.compacted, figures.applied
            ));
        }
        self.raft.stands(id, figures)
    }

    fn apply(&mut self, entry: &Entry) -> Checked {
        if entry.kind != EntryKind::Normal || entry.data.is_empty() {
            self.history.model.take(entry.index, None);
            return Ok(());
        }
        let Ok(request) = proto::decode::<InternalRaftRequest>(entry.data.clone()) else {
            return violation(format!("entry {} is no request", entry.index));
        };
        let id = request.header.as_ref().map_or(0, |header| header.id);
        self.raft.proposal(id, entry.index)?;
        for lease in self.history.model.take(entry.index, Some(request)) {
            self.leases.revoked(lease, self.now)?;
        }
        Ok(())
    }
}
