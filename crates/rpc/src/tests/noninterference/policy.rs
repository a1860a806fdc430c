//! What a user was granted, asked key by key: the judge of what is hidden from him, on purpose without the code
//! under test.

use proto::authpb::{Permission, permission::Type};

use super::rng::Rng;

pub(super) const LETTERS: &[u8] = b"abcdefgh";

/// Who the cases are about.
pub(super) const USER: &str = "eve";
pub(super) const PASSWORD: &str = "secret";

/// The permissions of the user's roles.
pub(super) struct Policy {
    pub(super) roles: Vec<Vec<Permission>>,
}

fn contains(permission: &Permission, key: &[u8]) -> bool {
    let (start, end) = (&permission.key[..], &permission.range_end[..]);
    match end {
        b"" => key == start,
        b"\0" => key >= start,
        _ => key >= start && key < end,
    }
}

impl Policy {
    /// Some policy that lets the user read something and hides something from him.
    pub(super) fn generate(rng: &mut Rng) -> Policy {
        loop {
            let roles = 1 + rng.below(3);
            let mut policy = Policy { roles: (0..roles).map(|_| Policy::role(rng)).collect() };
            if rng.chance(10) {
                policy.roles.push(Vec::new());
            }
            let names = all_names();
            let readable = names.iter().filter(|name| policy.reads(name)).count();
            let hidden = names.iter().filter(|name| policy.hides(name)).count();
            if readable >= 2 && hidden >= 15 {
                return policy;
            }
        }
    }

    fn role(rng: &mut Rng) -> Vec<Permission> {
        let mut permissions: Vec<Permission> = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let letter = *rng.pick(LETTERS);
            let digit = b'0' + rng.below(10) as u8;
            let (key, range_end) = match rng.below(20) {
                0..6 => (vec![letter, digit], vec![]),
                6..10 => (vec![letter], vec![letter + 1]),
                10..17 => {
                    let other = (letter + rng.below(2) as u8, b'0' + rng.below(10) as u8);
                    let (low, high) = ((letter, digit).min(other), (letter, digit).max(other));
                    let high = if low == high { (high.0, high.1 + 1) } else { high };
                    (vec![low.0, low.1], vec![high.0, high.1])
                }
                17..19 => (vec![*rng.pick(b"gh"), digit], vec![0]),
                _ => (vec![letter, digit], vec![letter + 1]),
            };
            let kinds = [Type::Read, Type::Write, Type::Readwrite, Type::Readwrite, Type::Readwrite];
            let perm_type = i32::from(*rng.pick(&kinds));
            let permission = Permission { perm_type, key: key.into(), range_end: range_end.into() };
            // A second grant of the same range would replace the first one.
            permissions.retain(|p| (&p.key, &p.range_end) != (&permission.key, &permission.range_end));
            permissions.push(permission);
        }
        permissions
    }

    pub(super) fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.roles.iter().flatten()
    }

    pub(super) fn reads(&self, key: &[u8]) -> bool {
        self.permissions().any(|p| p.perm_type != i32::from(Type::Write) && contains(p, key))
    }

    pub(super) fn writes(&self, key: &[u8]) -> bool {
        self.permissions().any(|p| p.perm_type != i32::from(Type::Read) && contains(p, key))
    }

    /// Whether even the name is none of his business. Whoever may write a key learns from the counts of deletions
    /// whether it is there.
    pub(super) fn hides(&self, key: &[u8]) -> bool {
        !self.reads(key) && !self.writes(key)
    }
}

/// The two-letter names that play.
pub(super) fn all_names() -> Vec<Vec<u8>> {
    let digits = b'0'..=b'9';
    LETTERS.iter().flat_map(|&letter| digits.clone().map(move |digit| vec![letter, digit])).collect()
}
