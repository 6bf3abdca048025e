//! Replays a client's log against what the library promises. Pure: a log in, the first broken
//! promise out.
//!
//! What the client cannot know is held as such. A request whose answer was lost, or was a 503, has
//! changed the session or has not, and may yet do so for a while; the next look at the session says
//! more.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use crate::log::{
    ABSOLUTE, Act, Answer, CODE_TTL, CookieChange, Exchange, GRACE, MAX_AGE, Ms,
    NUMBERS_PER_CLIENT, SHORT_AGE, Seen,
};

/// How exactly the ends of sessions, values and old ids are known: the server's clock ticks, and
/// what is read before an end may be answered after it.
const TOLERANCE: Ms = 250;
/// How long after it was given up a request may still have an effect: the server's own limits are
/// 0.5 s to connect to its store and 0.5 s for an answer, each twice.
pub(crate) const SETTLE: Ms = 5_000;

/// Whether the store may be away, so that a 503 is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outages {
    Expected,
    None,
}

/// One client's sessions, as far as it can know them.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    client: u64,
    outages: Outages,
    sessions: HashMap<u64, State>,
    ids: HashMap<String, Holder>,
    /// The hashes of all ids that there ever were.
    pub(crate) known: HashSet<u64>,
    /// How many requests were checked.
    pub(crate) checks: u64,
}

/// What an id is. One that is none of these opens nothing, for ever.
#[derive(Clone, Debug)]
struct Holder {
    session: u64,
    retired: Option<Retired>,
}

/// An id that was renewed.
#[derive(Clone, Debug)]
struct Retired {
    /// What it reads, if it may read anything.
    snapshot: Option<Box<State>>,
    /// It certainly has its grace until the first, and certainly no more after the second.
    until: (Ms, Ms),
}

/// A session.
#[derive(Clone, Debug)]
struct State {
    owner: u64,
    user: u64,
    count: Count,
    text: Register,
    tags: Tags,
    code: Register,
    /// The least and the most that its `max_age` may be.
    age: (Ms, Ms),
    /// The end that no use moves.
    deadline: (Ms, Ms),
    /// It certainly lives until the first, and certainly no more after the second.
    ends: (Ms, Ms),
    /// Its end by a use that may have come too late. That it is seen again proves that it did not.
    unproved: Ms,
    /// Until when requests that were given up may have an effect.
    late: Ms,
    /// It may have ended or have another id than the client has, or may do so until this time.
    doubt: Option<Ms>,
}

impl Checker {
    pub(crate) fn new(client: u64, outages: Outages) -> Self {
        Self {
            client,
            outages,
            sessions: HashMap::new(),
            ids: HashMap::new(),
            known: HashSet::new(),
            checks: 0,
        }
    }

    /// Replays requests that ran at the same time, all with the same cookie, at most one of which
    /// ends sessions or renews an id. The error is the first broken promise.
    pub(crate) fn observe(&mut self, step: &[Exchange]) -> Result<(), String> {
        let first = &step[0];
        let begun = step.iter().map(|exchange| exchange.sent).min().unwrap_or_default();
        self.forget_the_ended(begun);
        let holder = first.presented.as_ref().and_then(|id| self.ids.get(id)).cloned();
        let view = match &holder {
            None => None,
            Some(Holder { retired: Some(retired), .. }) => retired.snapshot.as_deref().cloned(),
            Some(Holder { session, retired: None }) => {
                let mut view = self.sessions[session].clone();
                if step.len() > 1 {
                    step.iter().for_each(|exchange| view.may_have(exchange));
                }
                Some(view)
            }
        };
        let contested = step.len() > 1 && step.iter().any(|exchange| exchange.act.ends());
        let scene = Scene { holder, view, contested, alone: step.len() == 1 };
        for exchange in step {
            self.checks += 1;
            self.look(&scene, exchange)?;
        }
        let (enders, others): (Vec<_>, Vec<_>) =
            step.iter().partition(|exchange| exchange.act.ends());
        if !scene.alone
            && !step.iter().any(|exchange| self.may_be_gone(&scene, exchange))
            && let Some(state) = scene.live().and_then(|owner| self.sessions.get_mut(&owner))
        {
            let is_written = |act| others.iter().any(|other| other.act == act && other.succeeded());
            // By which of them, the next look says.
            state.text.forget_if(is_written(Act::Text));
            state.code.forget_if(is_written(Act::Code));
        }
        for exchange in others.into_iter().chain(enders) {
            self.follow(&scene, exchange)?;
        }
        Ok(())
    }

    /// Whether the response shows what it may show.
    fn look(&self, scene: &Scene, exchange: &Exchange) -> Result<(), String> {
        let Some(Answer { status, seen, change }) = &exchange.answer else { return Ok(()) };
        let may_be_gone = self.may_be_gone(scene, exchange);
        let seen = match (status, seen, exchange.act) {
            (200, None, Act::Revoke) if *change == CookieChange::Nothing => return Ok(()),
            (200, Some(seen), act) if act != Act::Fail && act != Act::Revoke => seen,
            (500, Some(seen), Act::Fail) => seen,
            // A cookie that opens nothing may be removed all the same.
            (503, None, _)
                if self.outages == Outages::Expected
                    && (*change == CookieChange::Nothing
                        || may_be_gone && *change == CookieChange::Removal) =>
            {
                return Ok(());
            }
            // The session has ended between the extraction and `save`, or the id is an old one.
            (409, None, Act::Save)
                if (may_be_gone || scene.live().is_none()) && *change == CookieChange::Nothing =>
            {
                return Ok(());
            }
            _ => return Err("an answer that nothing explains".to_owned()),
        };
        if seen.owner == 0 {
            if *seen != Seen::default() {
                return Err("a session without an owner".to_owned());
            }
            return match scene.holder {
                Some(_) if !may_be_gone => {
                    Err(format!("a session that nothing has ended is gone: {:?}", scene.view))
                }
                _ => Ok(()),
            };
        }
        if seen.owner / NUMBERS_PER_CLIENT != self.client {
            return Err("somebody else's session".to_owned());
        }
        let Some(view) = &scene.view else {
            return Err("a session that has ended is seen again".to_owned());
        };
        if view.owner != seen.owner {
            return Err("another session than the id's".to_owned());
        }
        view.admits(seen, exchange)
    }

    /// Whether the id that a request carried may open nothing by the time of the answer.
    fn may_be_gone(&self, scene: &Scene, exchange: &Exchange) -> bool {
        let over = |end: Ms| exchange.answered + TOLERANCE >= end;
        let gone = |state: &State| state.doubt.is_some() || over(state.ends.0);
        match &scene.holder {
            None | Some(Holder { retired: Some(Retired { snapshot: None, .. }), .. }) => true,
            Some(Holder { session, retired: Some(retired) }) => {
                over(retired.until.0)
                    || self.sessions.get(session).is_none_or(gone)
                    || scene.view.as_ref().is_none_or(gone)
            }
            Some(Holder { session, retired: None }) => {
                scene.contested || self.sessions.get(session).is_none_or(gone)
            }
        }
    }

    /// What the request has changed, and whether the response has the right id.
    fn follow(&mut self, scene: &Scene, exchange: &Exchange) -> Result<(), String> {
        let Some(answer @ Answer { status: 200 | 409 | 500, seen, change }) = &exchange.answer
        else {
            self.is_uncertain(scene, exchange);
            return Ok(());
        };
        if exchange.act == Act::Revoke {
            self.end_all_of_user(None);
            return Ok(());
        }
        let Some(seen) = seen else { return Ok(()) };
        if seen.owner == 0 {
            return self.follow_stranger(scene, exchange, change);
        }
        let Some(owner) = scene.live() else {
            if exchange.act == Act::EndOthers && seen.user != 0 {
                self.end_all_of_user(Some(seen.owner));
            }
            return match change {
                CookieChange::Nothing => Ok(()),
                _ => Err("an old id is change something".to_owned()),
            };
        };
        // What ended in the same step, with all that follows.
        let Some(state) = self.sessions.get_mut(&owner) else { return Ok(()) };
        if scene.alone {
            state.narrow(seen, exchange);
        }
        let ended_before = state.ends.0;
        let may_be_gone = self.may_be_gone(scene, exchange);
        let state = self.sessions.get_mut(&owner).expect("it was there");
        state.used(exchange, may_be_gone, scene.contested);
        if answer.status == 200 {
            if may_be_gone && exchange.act != Act::Save {
                state.may_have(exchange);
            } else {
                state.text.forget_if(scene.alone && exchange.act == Act::Text);
                state.code.forget_if(scene.alone && exchange.act == Act::Code);
                state.has(exchange);
            }
        }
        let logged_in = state.user;
        let grace = match may_be_gone {
            true => 0,
            // The old id lives no longer than it would have.
            false => (exchange.sent + ms(GRACE)).min(ended_before),
        };
        let grace = (grace, exchange.answered + ms(GRACE));
        match (exchange.act, change) {
            (Act::Login, CookieChange::Nothing) if logged_in != 0 => Ok(()),
            (Act::Login, CookieChange::Id(new)) if logged_in == 0 => {
                state.user = self.client;
                self.hide_snapshots(owner);
                self.retire(exchange, owner, None, grace);
                self.hand_out(new, owner)
            }
            (Act::Renew, CookieChange::Id(new)) => {
                let snapshot = match scene.alone {
                    true => state.clone(),
                    false => scene.view.clone().expect("it lives"),
                };
                self.retire(exchange, owner, Some(Box::new(snapshot)), grace);
                self.hand_out(new, owner)
            }
            (Act::Regenerate, CookieChange::Id(new)) => {
                self.end(owner);
                self.retire(exchange, owner, None, grace);
                self.begin(exchange, new)
            }
            (Act::Logout, CookieChange::Removal) => {
                self.end(owner);
                Ok(())
            }
            (Act::EndOthers, CookieChange::Nothing) => {
                if seen.user != 0 {
                    self.end_all_of_user(Some(owner));
                }
                Ok(())
            }
            (Act::ShortAge | Act::LongAge, CookieChange::Id(id))
                if Some(id) == exchange.presented.as_ref() =>
            {
                Ok(())
            }
            (Act::Login | Act::Renew, CookieChange::Nothing) if may_be_gone => Ok(()),
            (Act::Login | Act::Renew | Act::Regenerate | Act::Logout, _) => {
                Err("the client is not change of the change of its id".to_owned())
            }
            (_, CookieChange::Nothing) => Ok(()),
            (_, CookieChange::Removal) if may_be_gone => Ok(()),
            (_, CookieChange::Id(_) | CookieChange::Removal) => {
                Err("a cookie that nothing explains".to_owned())
            }
        }
    }

    /// The request was one of a new visitor.
    fn follow_stranger(
        &mut self,
        scene: &Scene,
        exchange: &Exchange,
        change: &CookieChange,
    ) -> Result<(), String> {
        let retired = scene.holder.as_ref().and_then(|holder| holder.retired.as_ref());
        let in_grace =
            retired.is_some_and(|retired| exchange.answered + TOLERANCE < retired.until.0);
        // The response to an id that may be an old one has no cookie.
        let mut may_be_retired = retired.is_some() || scene.contested;
        if let Some(owner) = scene.live()
            && !scene.contested
            && let Some(state) = self.sessions.get(&owner)
        {
            may_be_retired |= state.doubt.is_some();
            self.end(owner);
        }
        let fresh = exchange.presented.is_none();
        match (exchange.act.writes(), change) {
            (true, CookieChange::Id(_)) if in_grace => Err("a cookie for an old id".to_owned()),
            (true, CookieChange::Id(new)) => self.begin(exchange, new),
            (false, CookieChange::Nothing) if fresh || may_be_retired => Ok(()),
            (false, CookieChange::Removal) if !fresh && !in_grace => Ok(()),
            (true, CookieChange::Nothing) if may_be_retired => Ok(()),
            (true, _) => Err("a session begins without a cookie".to_owned()),
            (false, CookieChange::Id(_)) => Err("a cookie for nothing".to_owned()),
            (false, _) => {
                Err("a cookie that opens nothing is not removed, or one that does is".to_owned())
            }
        }
    }

    /// The request may have had its effect, or may have it later.
    fn is_uncertain(&mut self, scene: &Scene, exchange: &Exchange) {
        let until = exchange.answered + SETTLE + ms(GRACE);
        let doubt = |state: &mut State| state.doubt = state.doubt.max(Some(until));
        let client = self.client;
        if let Some(state) = scene.live().and_then(|owner| self.sessions.get_mut(&owner)) {
            state.may_have(exchange);
            if matches!(exchange.act, Act::Login | Act::Logout | Act::Renew | Act::Regenerate) {
                doubt(state);
            }
        }
        if matches!(exchange.act, Act::Revoke | Act::EndOthers) {
            self.sessions.values_mut().filter(|state| state.user == client).for_each(doubt);
        }
    }

    fn begin(&mut self, exchange: &Exchange, id: &str) -> Result<(), String> {
        let state =
            State::begun_by(exchange, if exchange.act == Act::Login { self.client } else { 0 });
        self.sessions.insert(exchange.number, state);
        self.hand_out(id, exchange.number)
    }

    fn hand_out(&mut self, id: &str, session: u64) -> Result<(), String> {
        self.ids.insert(id.to_owned(), Holder { session, retired: None });
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        match self.known.insert(hasher.finish()) {
            true => Ok(()),
            false => Err("an id is handed out twice".to_owned()),
        }
    }

    /// The id that the request carried is an old one now.
    fn retire(
        &mut self,
        exchange: &Exchange,
        session: u64,
        snapshot: Option<Box<State>>,
        until: (Ms, Ms),
    ) {
        let id = exchange.presented.clone().expect("it has a session");
        self.ids.insert(id, Holder { session, retired: Some(Retired { snapshot, until }) });
    }

    /// The session has ended; what is left of it are old ids that read nothing.
    fn end(&mut self, owner: u64) {
        // A renewal that was not answered may have made the id an old one.
        let doubt = self.sessions.remove(&owner).and_then(|state| state.doubt);
        for holder in self.ids.values_mut().filter(|holder| holder.session == owner) {
            if let (None, Some(until)) = (&holder.retired, doubt) {
                holder.retired = Some(Retired { snapshot: None, until: (0, until) });
            }
        }
        self.ids.retain(|_, holder| holder.session != owner || holder.retired.is_some());
        self.hide_snapshots(owner);
    }

    fn hide_snapshots(&mut self, owner: u64) {
        for holder in self.ids.values_mut().filter(|holder| holder.session == owner) {
            if let Some(retired) = &mut holder.retired {
                retired.snapshot = None;
            }
        }
    }

    fn end_all_of_user(&mut self, but: Option<u64>) {
        let of_user = self.sessions.values().filter(|state| state.user == self.client);
        let ended: Vec<u64> =
            of_user.map(|state| state.owner).filter(|owner| Some(*owner) != but).collect();
        ended.into_iter().for_each(|owner| self.end(owner));
    }

    fn forget_the_ended(&mut self, now: Ms) {
        let expired = self.sessions.values().filter(|state| state.ends.1 + TOLERANCE < now);
        let expired: Vec<u64> = expired.map(|state| state.owner).collect();
        expired.into_iter().for_each(|owner| self.end(owner));
        self.ids.retain(|_, holder| {
            holder.retired.as_ref().is_none_or(|retired| now <= retired.until.1 + TOLERANCE)
        });
    }
}

/// What requests that ran at the same time have in common.
struct Scene {
    holder: Option<Holder>,
    /// What they may see: the session with all that the others may have changed.
    view: Option<State>,
    /// One of them ends sessions or renews the id, so that the others may come before or after.
    contested: bool,
    alone: bool,
}

impl Scene {
    /// The session whose present id was presented.
    fn live(&self) -> Option<u64> {
        self.holder.as_ref().filter(|holder| holder.retired.is_none()).map(|holder| holder.session)
    }
}

impl State {
    fn begun_by(exchange: &Exchange, user: u64) -> Self {
        let begun = (exchange.sent, exchange.answered);
        let after = |span: Duration| (begun.0 + ms(span), begun.1 + ms(span));
        let mut state = Self {
            owner: exchange.number,
            user,
            count: Count::default(),
            text: Register::new(Ms::MAX / 4),
            tags: Tags::default(),
            code: Register::new(ms(CODE_TTL)),
            age: (ms(MAX_AGE), ms(MAX_AGE)),
            deadline: after(ABSOLUTE),
            ends: after(MAX_AGE),
            unproved: 0,
            late: 0,
            doubt: None,
        };
        if exchange.act != Act::Regenerate {
            state.text.forget_if(exchange.act == Act::Text);
            state.code.forget_if(exchange.act == Act::Code);
            state.has(exchange);
        }
        state
    }

    /// When a session ends that is used then, at the earliest and at the latest.
    fn end_of_use(&self, time: Ms) -> (Ms, Ms) {
        // A use is stored only if it moves the end by a sixtieth.
        let least = self.age.0 - self.age.0 / 60;
        ((time + least).min(self.deadline.0), (time + self.age.1).min(self.deadline.1))
    }

    fn used(&mut self, exchange: &Exchange, may_be_gone: bool, contested: bool) {
        let end = self.end_of_use(exchange.sent).0;
        if !exchange.succeeded() || contested {
            // Nothing says that it extends the session.
        } else if may_be_gone {
            self.unproved = self.unproved.max(end);
        } else {
            self.ends.0 = self.ends.0.max(end);
        }
        self.ends.1 = self.ends.1.max(self.end_of_use(exchange.answered).1);
    }

    /// The request has its effect on the session's fields and limits.
    fn has(&mut self, exchange: &Exchange) {
        match exchange.act {
            Act::Add | Act::Save => self.count.least += 1,
            Act::Text => self.text.write(exchange),
            Act::Code => self.code.write(exchange),
            Act::Tag => drop(self.tags.surely.insert(exchange.number)),
            Act::ShortAge | Act::LongAge => {
                let age = new_age(exchange.act);
                let are_late = exchange.sent < self.late;
                self.age =
                    if are_late { (self.age.0.min(age), self.age.1.max(age)) } else { (age, age) };
                let (first, last) =
                    (self.end_of_use(exchange.sent).0, self.end_of_use(exchange.answered).1);
                self.unproved = 0;
                self.ends = (first, if are_late { self.ends.1.max(last) } else { last });
            }
            _ => {}
        }
    }

    /// The request may have its effect, or may have it later.
    fn may_have(&mut self, exchange: &Exchange) {
        let given_up = exchange.answer.as_ref().is_none_or(|answer| answer.status == 503);
        let until = if given_up { exchange.answered + SETTLE } else { exchange.answered };
        self.late = self.late.max(until);
        match exchange.act {
            Act::Add | Act::Save => self.count.late.push(until),
            Act::Text => self.text.may_be_written(exchange, until),
            Act::Code => self.code.may_be_written(exchange, until),
            Act::Tag => self.tags.perhaps.push((exchange.number, until)),
            Act::ShortAge | Act::LongAge => {
                let age = new_age(exchange.act);
                self.age = (self.age.0.min(age), self.age.1.max(age));
                let end = self.end_of_use(exchange.sent).0;
                self.ends.0 = self.ends.0.min(end);
                self.unproved = self.unproved.min(end);
            }
            _ => {}
        }
        self.ends.1 = self.ends.1.max(self.end_of_use(until).1);
    }

    fn admits(&self, seen: &Seen, exchange: &Exchange) -> Result<(), String> {
        let complaint = if seen.user != self.user {
            "the user"
        } else if !(self.count.least..=self.count.most()).contains(&seen.count) {
            "the count"
        } else if !self.text.admits(seen.text, exchange) {
            "the text"
        } else if !self.tags.admits(&seen.tags) {
            "the set"
        } else if !self.code.admits(seen.code, exchange) {
            "the value with an end"
        } else {
            return Ok(());
        };
        Err(format!("{complaint} is none that the session can have: {self:?}"))
    }

    /// What was seen says which of the possible states it is.
    fn narrow(&mut self, seen: &Seen, exchange: &Exchange) {
        self.count.narrow(seen.count, exchange.sent);
        self.text.narrow(seen.text, exchange);
        self.code.narrow(seen.code, exchange);
        self.tags.narrow(&seen.tags, exchange.sent);
        if self.doubt.is_some_and(|until| until <= exchange.sent) {
            self.doubt = None;
        }
        if self.doubt.is_none() {
            self.ends.0 = self.ends.0.max(std::mem::take(&mut self.unproved));
        }
    }
}

fn new_age(act: Act) -> Ms {
    ms(if act == Act::ShortAge { SHORT_AGE } else { MAX_AGE })
}

fn ms(duration: Duration) -> Ms {
    Ms::try_from(duration.as_millis()).expect("a short time")
}

/// A number that only grows.
#[derive(Clone, Debug, Default)]
struct Count {
    least: u64,
    /// Additions that may be in it, or may come until then.
    late: Vec<Ms>,
}

impl Count {
    fn most(&self) -> u64 {
        self.least + self.late.len() as u64
    }

    fn narrow(&mut self, seen: u64, now: Ms) {
        // Which of them it has is not known, so those that could come latest are still expected.
        self.late.sort_unstable();
        let counted = usize::try_from(seen.saturating_sub(self.least)).unwrap_or(usize::MAX);
        self.late.drain(..counted.min(self.late.len()));
        self.late.retain(|until| *until > now);
        self.least = self.least.max(seen);
    }
}

/// A value of which the last write counts.
#[derive(Clone, Debug)]
struct Register {
    ttl: Ms,
    /// What it may be.
    now: Vec<Value>,
    /// What it may have become, or may become until the time.
    late: Vec<(Value, Ms)>,
}

#[derive(Clone, Copy, Debug)]
struct Value {
    number: u64,
    /// It certainly lasts until the first, and certainly no longer than until the second.
    ends: (Ms, Ms),
}

impl Register {
    fn new(ttl: Ms) -> Self {
        Self { ttl, now: vec![Value { number: 0, ends: (0, Ms::MAX / 2) }], late: Vec::new() }
    }

    fn value(&self, exchange: &Exchange, until: Ms) -> Value {
        Value { number: exchange.number, ends: (exchange.sent + self.ttl, until + self.ttl) }
    }

    /// Forgets what it may have been, if it is written.
    fn forget_if(&mut self, is_written: bool) {
        if is_written {
            self.now.clear();
        }
    }

    fn write(&mut self, exchange: &Exchange) {
        self.now.push(self.value(exchange, exchange.answered));
    }

    fn may_be_written(&mut self, exchange: &Exchange, until: Ms) {
        self.late.push((self.value(exchange, until), until));
    }

    fn admits(&self, seen: u64, exchange: &Exchange) -> bool {
        let mut values = self.now.iter().chain(self.late.iter().map(|(value, _)| value));
        values.any(|value| value.may_be(seen, exchange))
    }

    fn narrow(&mut self, seen: u64, exchange: &Exchange) {
        self.now.retain(|value| value.may_be(seen, exchange));
        let late = self.late.iter().map(|(value, _)| *value);
        self.now.extend(late.filter(|value| value.may_be(seen, exchange)));
        self.now.sort_unstable_by_key(|value| value.number);
        self.now.dedup_by_key(|value| value.number);
        self.late.retain(|(_, until)| *until > exchange.sent);
    }
}

impl Value {
    fn may_be(&self, seen: u64, exchange: &Exchange) -> bool {
        if seen == 0 {
            self.ends.0 <= exchange.answered + TOLERANCE
        } else {
            seen == self.number && exchange.sent <= self.ends.1 + TOLERANCE
        }
    }
}

/// A set that only grows.
#[derive(Clone, Debug, Default)]
struct Tags {
    surely: BTreeSet<u64>,
    /// What may be in it, or may come until then.
    perhaps: Vec<(u64, Ms)>,
}

impl Tags {
    fn admits(&self, seen: &BTreeSet<u64>) -> bool {
        let known = |tag: &u64| {
            self.surely.contains(tag) || self.perhaps.iter().any(|(perhaps, _)| perhaps == tag)
        };
        self.surely.is_subset(seen) && seen.iter().all(known)
    }

    fn narrow(&mut self, seen: &BTreeSet<u64>, now: Ms) {
        self.surely.extend(seen);
        self.perhaps.retain(|(tag, until)| *until > now && !self.surely.contains(tag));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: u64 = 7;

    fn number(n: u64) -> u64 {
        CLIENT * NUMBERS_PER_CLIENT + n
    }

    /// A log that is written by hand: each request takes 1 ms, and is sent when the one before was
    /// answered.
    struct Log {
        checker: Checker,
        now: Ms,
        requests: u64,
    }

    impl Log {
        fn new() -> Self {
            Self { checker: Checker::new(CLIENT, Outages::Expected), now: 1_000, requests: 0 }
        }

        /// A log that has begun with an addition, by which the session `a` began.
        fn begun() -> Self {
            let mut log = Self::new();
            log.ok(Act::Add, "", Seen::default(), id("a"));
            log
        }

        fn request(&mut self, act: Act, presented: &str, answer: Option<Answer>) -> Exchange {
            self.requests += 1;
            let presented = (!presented.is_empty()).then(|| presented.to_owned());
            let (number, sent) = (number(self.requests), self.now);
            Exchange { number, act, presented, sent, answered: sent + 1, answer }
        }

        fn step(&mut self, step: &[Exchange]) -> Result<(), String> {
            self.now += 1;
            self.checker.observe(step)
        }

        fn says(
            &mut self,
            act: Act,
            presented: &str,
            seen: Seen,
            change: CookieChange,
        ) -> Result<(), String> {
            let request = self.request(act, presented, answer(200, Some(seen), change));
            self.step(&[request])
        }

        fn ok(&mut self, act: Act, presented: &str, seen: Seen, change: CookieChange) {
            self.says(act, presented, seen, change).expect("no promise is broken");
        }

        fn wait(&mut self, duration: Duration) {
            self.now += ms(duration);
        }

        #[track_caller]
        fn breaks(
            &mut self,
            act: Act,
            presented: &str,
            seen: Seen,
            change: CookieChange,
            complaint: &str,
        ) {
            let broken = self.says(act, presented, seen, change).expect_err("a promise is broken");
            assert!(broken.starts_with(complaint), "{broken}");
        }

        /// The session that an id opened has ended.
        #[track_caller]
        fn breaks_if_seen(&mut self, presented: &str, seen: Seen) {
            let gone = "a session that has ended is seen again";
            self.breaks(Act::Read, presented, seen, CookieChange::Nothing, gone);
        }
    }

    fn answer(status: u16, seen: Option<Seen>, change: CookieChange) -> Option<Answer> {
        Some(Answer { status, seen, change })
    }

    fn id(id: &str) -> CookieChange {
        CookieChange::Id(id.to_owned())
    }

    /// The session that the first request has begun, with this count.
    fn counted(count: u64) -> Seen {
        Seen { owner: number(1), count, ..Seen::default() }
    }

    #[test]
    fn a_write_that_was_answered_must_be_there() {
        let mut log = Log::begun();
        log.ok(Act::Add, "a", counted(1), CookieChange::Nothing);
        log.ok(Act::Text, "a", counted(2), CookieChange::Nothing);
        log.ok(Act::Tag, "a", Seen { text: number(3), ..counted(2) }, CookieChange::Nothing);
        let all = Seen { text: number(3), tags: [number(4)].into(), ..counted(2) };
        log.ok(Act::Read, "a", all.clone(), CookieChange::Nothing);
        let read = |seen: Seen, complaint: &str| {
            let mut log = Log { checker: log.checker.clone(), ..log };
            log.breaks(Act::Read, "a", seen, CookieChange::Nothing, complaint);
        };
        read(Seen { count: 1, ..all.clone() }, "the count");
        read(Seen { count: 3, ..all.clone() }, "the count");
        read(Seen { text: 0, ..all.clone() }, "the text");
        read(Seen { tags: BTreeSet::new(), ..all.clone() }, "the set");
        read(Seen { user: CLIENT, ..all.clone() }, "the user");
        read(Seen::default(), "a session that nothing has ended is gone");
        read(
            Seen { owner: number(1) + NUMBERS_PER_CLIENT, ..all.clone() },
            "somebody else's session",
        );
        read(Seen { owner: number(2), ..all }, "another session");
    }

    #[test]
    fn a_write_that_failed_must_not_be_there() {
        let mut log = Log::begun();
        let request =
            log.request(Act::Fail, "a", answer(500, Some(counted(1)), CookieChange::Nothing));
        log.step(&[request]).expect("the handler fails, as it was asked to");
        log.breaks(
            Act::Read,
            "a",
            Seen { text: number(2), ..counted(1) },
            CookieChange::Nothing,
            "the text",
        );
    }

    #[test]
    fn what_has_ended_is_seen_no_more() {
        let mut log = Log::begun();
        log.ok(Act::Logout, "a", counted(1), CookieChange::Removal);
        log.ok(Act::Read, "a", Seen::default(), CookieChange::Removal);
        log.breaks_if_seen("a", counted(1));

        let mut log = Log::begun();
        log.wait(MAX_AGE + Duration::from_millis(TOLERANCE + 10));
        log.breaks_if_seen("a", counted(1));

        let mut log = Log::begun();
        log.ok(Act::Login, "a", counted(1), id("b"));
        let request = log.request(Act::Revoke, "", answer(200, None, CookieChange::Nothing));
        log.step(&[request]).expect("all sessions end");
        log.breaks_if_seen("b", Seen { user: CLIENT, ..counted(1) });
    }

    #[test]
    fn about_its_end_a_session_may_be_there_or_not() {
        for seen in [counted(1), Seen::default()] {
            let mut log = Log::begun();
            log.wait(MAX_AGE - Duration::from_millis(50));
            let change =
                if seen.owner == 0 { CookieChange::Removal } else { CookieChange::Nothing };
            log.ok(Act::Read, "a", seen, change);
        }
    }

    #[test]
    fn a_use_extends_a_session_up_to_its_absolute_end() {
        let mut log = Log::begun();
        for _ in 0..5 {
            log.wait(MAX_AGE * 4 / 5);
            if log.now < ms(ABSOLUTE) {
                log.ok(Act::Read, "a", counted(1), CookieChange::Nothing);
            }
        }
        log.wait(Duration::from_secs(1));
        log.breaks_if_seen("a", counted(1));
    }

    #[test]
    fn an_old_id_reads_the_snapshot_for_its_grace_and_nothing_after_a_login() {
        let mut log = Log::begun();
        log.ok(Act::Renew, "a", counted(1), id("b"));
        log.ok(Act::Add, "b", counted(1), CookieChange::Nothing);
        log.ok(Act::Read, "a", counted(1), CookieChange::Nothing);
        log.wait(GRACE + Duration::from_millis(TOLERANCE + 10));
        log.breaks_if_seen("a", counted(1));

        let mut log = Log::begun();
        log.ok(Act::Login, "a", counted(1), id("b"));
        log.ok(Act::Read, "a", Seen::default(), CookieChange::Nothing);
        log.breaks_if_seen("a", counted(1));

        let mut log = Log::begun();
        log.ok(Act::Renew, "a", counted(1), id("b"));
        log.ok(Act::Add, "a", counted(1), CookieChange::Nothing);
        log.breaks(Act::Read, "b", counted(2), CookieChange::Nothing, "the count");
    }

    #[test]
    fn no_cookie_comes_twice_or_without_reason_or_for_nothing() {
        let mut log = Log::begun();
        log.breaks(Act::Read, "a", counted(1), id("b"), "a cookie that nothing explains");
        let mut log = Log::begun();
        log.breaks(Act::Login, "a", counted(1), CookieChange::Nothing, "the client is not change");
        let mut log = Log::begun();
        log.breaks(Act::Add, "", Seen::default(), id("a"), "an id is handed out twice");
        let mut log = Log::begun();
        log.breaks(
            Act::Add,
            "",
            Seen::default(),
            CookieChange::Nothing,
            "a session begins without a cookie",
        );
        let mut log = Log::begun();
        log.breaks(
            Act::Read,
            "x",
            Seen::default(),
            CookieChange::Nothing,
            "a cookie that opens nothing",
        );
        let mut log = Log::begun();
        log.ok(Act::Login, "a", counted(1), id("b"));
        log.breaks(Act::Add, "a", Seen::default(), id("c"), "a cookie for an old id");
    }

    #[test]
    fn a_write_without_an_answer_may_be_there_and_comes_late_at_most_for_a_while() {
        for answer in [None, answer(503, None, CookieChange::Nothing)] {
            for (late, then) in [(1, 2), (2, 2)] {
                let mut log = Log::begun();
                let request = log.request(Act::Add, "a", answer.clone());
                log.step(&[request]).expect("nobody knows");
                log.ok(Act::Read, "a", counted(late), CookieChange::Nothing);
                log.ok(Act::Read, "a", counted(then), CookieChange::Nothing);
                log.breaks(Act::Read, "a", counted(1), CookieChange::Nothing, "the count");
            }
            let mut log = Log::begun();
            let request = log.request(Act::Add, "a", answer.clone());
            log.step(&[request]).expect("nobody knows");
            log.wait(Duration::from_millis(SETTLE + 10));
            log.ok(Act::Read, "a", counted(1), CookieChange::Nothing);
            log.breaks(Act::Read, "a", counted(2), CookieChange::Nothing, "the count");
        }
    }

    #[test]
    fn a_logout_without_an_answer_may_have_ended_the_session_for_ever() {
        let mut log = Log::begun();
        let request = log.request(Act::Logout, "a", None);
        log.step(&[request]).expect("nobody knows");
        log.ok(Act::Read, "a", counted(1), CookieChange::Nothing);
        log.ok(Act::Read, "a", Seen::default(), CookieChange::Removal);
        log.breaks_if_seen("a", counted(1));
    }

    #[test]
    fn an_outage_is_no_answer_of_a_store_that_has_none() {
        let mut log = Log::begun();
        log.checker.outages = Outages::None;
        let request = log.request(Act::Read, "a", answer(503, None, CookieChange::Nothing));
        log.step(&[request]).expect_err("this store is always there");
    }

    #[test]
    fn of_parallel_additions_all_count_unless_the_session_is_renewed() {
        let burst = |log: &mut Log, ender: Option<(Act, CookieChange)>| {
            let mut step: Vec<_> = (0..5)
                .map(|n| {
                    log.request(
                        Act::Add,
                        "a",
                        answer(200, Some(counted(1 + n / 2)), CookieChange::Nothing),
                    )
                })
                .collect();
            if let Some((act, change)) = ender {
                step.push(log.request(act, "a", answer(200, Some(counted(1)), change)));
            }
            log.step(&step).expect("no promise is broken");
        };
        let mut log = Log::begun();
        burst(&mut log, None);
        log.breaks(Act::Read, "a", counted(5), CookieChange::Nothing, "the count");

        let mut log = Log::begun();
        burst(&mut log, Some((Act::Renew, id("b"))));
        log.ok(Act::Read, "b", counted(4), CookieChange::Nothing);
        log.breaks(Act::Read, "b", counted(5), CookieChange::Nothing, "the count");

        let mut log = Log::begun();
        burst(&mut log, Some((Act::Logout, CookieChange::Removal)));
        log.breaks_if_seen("a", counted(6));
    }

    #[test]
    fn a_value_with_an_end_ends_and_not_before() {
        let coded = || Seen { code: number(2), ..counted(1) };
        let mut log = Log::begun();
        log.ok(Act::Code, "a", counted(1), CookieChange::Nothing);
        log.ok(Act::Read, "a", coded(), CookieChange::Nothing);
        log.wait(CODE_TTL + Duration::from_millis(TOLERANCE + 10));
        log.breaks(Act::Read, "a", coded(), CookieChange::Nothing, "the value with an end");

        let mut log = Log::begun();
        log.ok(Act::Code, "a", counted(1), CookieChange::Nothing);
        log.breaks(Act::Read, "a", counted(1), CookieChange::Nothing, "the value with an end");
    }

    #[test]
    fn a_shorter_age_ends_a_session_sooner() {
        let mut log = Log::begun();
        log.ok(Act::ShortAge, "a", counted(1), id("a"));
        log.wait(SHORT_AGE + Duration::from_millis(TOLERANCE + 10));
        log.breaks_if_seen("a", counted(1));
    }

    #[test]
    fn an_end_of_the_others_spares_ones_own() {
        let user = |owner: u64| Seen { owner: number(owner), user: CLIENT, ..Seen::default() };
        let mut log = Log::new();
        log.ok(Act::Login, "", Seen::default(), id("a"));
        log.ok(Act::Login, "", Seen::default(), id("b"));
        log.ok(Act::EndOthers, "b", user(2), CookieChange::Nothing);
        log.ok(Act::Read, "b", user(2), CookieChange::Nothing);
        log.breaks_if_seen("a", user(1));
    }
}
