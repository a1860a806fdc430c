//! Simple tokens: made out to a user by an applied entry, good on this member until nobody uses them any more
//! (contract/semantics.md 7.4). They are nowhere on disk: after a restart everybody logs in again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use types::Moment;

use crate::api::holders::Holders;

/// Tokens held at once; beyond, those go that were not used for longest. Logging in costs a client little, and a
/// token about 200 bytes on every member.
const TOKENS_MAX: usize = 1 << 18;
/// How many tokens in use one new token looks at for one that may go.
const SPARED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tokens {
    ttl: Duration,
    max: usize,
    held: HashMap<Arc<str>, Held>,
    /// Every token held, and some that are no more, with when to look at it again.
    due: VecDeque<(Moment, Arc<str>)>,
    /// The names in `held`, for others to read.
    holders: Holders,
}

#[derive(Debug)]
struct Held {
    user: Arc<str>,
    /// Good before this moment.
    until: Moment,
}

impl Tokens {
    pub(crate) fn new(ttl: Duration, holders: Holders) -> Tokens {
        Tokens { ttl, max: TOKENS_MAX, held: HashMap::new(), due: VecDeque::new(), holders }
    }

    /// Makes a token out to `user`.
    pub(crate) fn assign(&mut self, token: String, user: &str, now: Moment) {
        self.expire(now);
        self.make_room(now);
        let (token, until): (Arc<str>, _) = (token.into(), now + self.ttl);
        let user: Arc<str> = user.into();
        self.holders.change(|holders| holders.insert(Arc::clone(&token), Arc::clone(&user)));
        self.held.insert(Arc::clone(&token), Held { user, until });
        self.due.push_back((until, token));
    }

    /// Whose token that is; its time begins anew.
    pub(crate) fn user_of(&mut self, token: &str, now: Moment) -> Option<&str> {
        let held = self.held.get_mut(token).filter(|held| now < held.until)?;
        held.until = now + self.ttl;
        Some(&held.user)
    }

    /// Ends the tokens of one user.
    pub(crate) fn forget_user(&mut self, user: &str) {
        self.held.retain(|_, held| &*held.user != user);
        self.holders.change(|holders| holders.retain(|_, holder| &**holder != user));
    }

    /// Ends all tokens.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.holders.change(HashMap::clear);
        self.due.clear();
    }

    /// Drops what nobody has used in time.
    pub(crate) fn expire(&mut self, now: Moment) {
        while let Some((_, token)) = self.due.pop_front_if(|(at, _)| *at <= now) {
            match self.held.get(&token) {
                Some(held) if now < held.until => self.due.push_back((held.until, token)),
                Some(_) => self.drop_token(&token),
                None => {}
            }
        }
    }

    fn drop_token(&mut self, token: &str) {
        self.held.remove(token);
        self.holders.change(|holders| holders.remove(token));
    }

    /// Lets the oldest go that were not used since they were last looked at, or the oldest at all.
    fn make_room(&mut self, now: Moment) {
        let mut spared = 0;
        while self.due.len() >= self.max {
            let Some((at, token)) = self.due.pop_front() else { return };
            match self.held.get(&token) {
                Some(held) if at < held.until && now < held.until && spared < SPARED_MAX => {
                    spared += 1;
                    self.due.push_back((held.until, token));
                }
                Some(_) => self.drop_token(&token),
                None => {}
            }
        }
    }
}

/// The log index that a simple token names; `None` when it is no such token.
pub(crate) fn index_of(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    let is_number = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    index.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(3);

    fn at(secs: u64) -> Moment {
        Moment(0) + Duration::from_secs(secs)
    }

    #[test]
    fn a_token_lasts_as_long_as_it_is_used() {
        let mut tokens = Tokens::new(TTL, Holders::default());
        tokens.assign("a.1".into(), "alice", at(0));
        tokens.assign("b.2".into(), "bob", at(0));
        assert_eq!(tokens.user_of("a.1", at(2)), Some("alice"));
        tokens.expire(at(3));
        assert_eq!(tokens.user_of("b.2", at(3)), None, "not used");
        assert_eq!(tokens.user_of("a.1", at(4)), Some("alice"));
        assert_eq!(tokens.user_of("a.1", at(7)), None, "its time is over, though nobody looked yet");
        tokens.expire(at(10));
        assert!(tokens.held.is_empty() && tokens.due.is_empty());
        assert_eq!(tokens.holders.user_of("a.1"), None);
    }

    #[test]
    fn tokens_end_with_their_user_and_with_authentication() {
        let mut tokens = Tokens::new(TTL, Holders::default());
        for (token, user) in [("a.1", "alice"), ("b.2", "bob"), ("c.3", "alice")] {
            tokens.assign(token.into(), user, at(0));
        }
        tokens.forget_user("alice");
        let users = ["a.1", "b.2", "c.3"].map(|token| tokens.user_of(token, at(1)).map(str::to_owned));
        assert_eq!(users, [None, Some("bob".into()), None]);
        let names = ["a.1", "b.2"].map(|token| tokens.holders.user_of(token).map(|user| user.to_string()));
        assert_eq!(names, [None, Some("bob".into())]);
        tokens.clear();
        assert_eq!(tokens.user_of("b.2", at(1)), None);
    }

    #[test]
    fn unused_tokens_make_room_for_new_ones() {
        let mut tokens = Tokens { max: 3, ..Tokens::new(TTL, Holders::default()) };
        for n in 0..3 {
            tokens.assign(format!("t.{n}"), "u", at(0));
        }
        assert!(tokens.user_of("t.0", at(1)).is_some());
        tokens.assign("t.3".into(), "u", at(1));
        let live: Vec<bool> = (0..4).map(|n| tokens.user_of(&format!("t.{n}"), at(1)).is_some()).collect();
        assert_eq!(live, [true, false, true, true]);
        for n in 4..100 {
            tokens.assign(format!("t.{n}"), "u", at(1));
            assert!(tokens.held.len() <= 3 && tokens.due.len() <= 3);
        }
    }

    #[test]
    fn what_is_a_simple_token() {
        assert_eq!(index_of("abc.17"), Some(17));
        for token in ["", "abc", "abc.", "abc.x", "abc.+1", "abc.1.2", "abc.18446744073709551616"] {
            assert_eq!(index_of(token), None, "{token}");
        }
    }
}
