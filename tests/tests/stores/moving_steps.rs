//! What happens at once while a session moves, in every order of the calls of both stores.
//!
//! Each store call is a step. A scheduler runs the steps of a few actors one after the other, in
//! every order in which it changes from an actor that could go on to another one at most a few
//! times. It does so again with an actor that is killed before each of its steps.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_typed_session::{
    Clock as _, FakeClock, MemoryStore, StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, ListAll, ListCursor, ListPage, LoadOptions, MovingStore, OldIdReads,
        Patch, Record, SessionStore, StoreKey, UpdateOutcome,
    },
};
use actix_typed_session_tests::json::{add, set};
use futures_util::FutureExt as _;

/// A store whose calls wait until the scheduler lets them go on.
#[derive(Clone, Debug)]
struct Stepped(MemoryStore);

/// Waits for one turn.
async fn turn() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl SessionStore for Stepped {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        turn().await;
        self.0.create(key, record).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        turn().await;
        self.0.load(key, options).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        turn().await;
        self.0.update(key, patch).await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        turn().await;
        self.0.touch(key, expires_at).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        turn().await;
        self.0.destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        turn().await;
        self.0.rotate(old, new, patch, grace).await
    }
}

impl ListAll for Stepped {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        turn().await;
        self.0.list(after, limit).await
    }
}

/// The phase of the process that makes a call.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Ready,
    Moving,
}
use Phase::{Moving, Ready};

#[derive(Clone, Copy, Debug)]
enum Actor {
    /// Moves all sessions.
    Mover,
    /// Adds 1.
    Adder(Phase),
    /// Loads, writes the sum to that version, and tries again if there is another one.
    Merger(Phase),
    Toucher(Phase),
    /// Destroys the session by its first id.
    Destroyer(Phase),
    /// Gives the session another id and adds 1.
    Rotater(Phase, OldIdReads),
    /// Loads the session.
    Loader(Phase),
}

/// What the calls have reported.
#[derive(Debug, Default)]
struct Reports {
    /// Additions that were begun, and those that were reported as applied.
    begun: Cell<u32>,
    applied: Cell<u32>,
    touched: Cell<bool>,
    rotation: Cell<Option<OldIdReads>>,
    destroyed: Cell<Option<bool>>,
}

const FIRST: StoreKey = StoreKey::from_bytes([1; 32]);
const SECOND: StoreKey = StoreKey::from_bytes([2; 32]);
const HOUR: Duration = Duration::from_secs(3_600);

/// Both stores, which all runs use, and their clock.
struct World {
    old: MemoryStore,
    new: MemoryStore,
    clock: FakeClock,
    /// What the new store had after the last run.
    left: Cell<Vec<(StoreKey, Record)>>,
}

fn now<T>(future: impl Future<Output = Result<T, StoreError>>) -> T {
    future.now_or_never().expect("memory does not wait").expect("memory does not fail")
}

async fn ok<T>(call: impl Future<Output = Result<T, StoreError>>) -> T {
    call.await.expect("memory does not fail")
}

impl World {
    fn new() -> Self {
        let clock = FakeClock::default();
        let memory = || MemoryStore::builder().clock(clock.clone()).sweep_interval(None).build();
        Self { old: memory(), new: memory(), clock: clock.clone(), left: Cell::default() }
    }

    fn stepped(&self, phase: Phase) -> MovingStore<Stepped, Stepped> {
        let (old, new) = (Stepped(self.old.clone()), Stepped(self.new.clone()));
        match phase {
            Ready => MovingStore::ready(old, new),
            Moving => MovingStore::moving(old, new),
        }
    }

    fn at_once(&self, phase: Phase) -> MovingStore<MemoryStore, MemoryStore> {
        match phase {
            Ready => MovingStore::ready(self.old.clone(), self.new.clone()),
            Moving => MovingStore::moving(self.old.clone(), self.new.clone()),
        }
    }

    fn later(&self, hours: u32) -> Timestamp {
        self.clock.now().saturating_add(HOUR * hours)
    }

    /// Empties both stores and puts a session into the old one.
    fn reset(&self) {
        for store in [&self.old, &self.new] {
            for key in [FIRST, SECOND] {
                now(store.destroy(&key));
            }
        }
        // A killed call may have left a stage.
        for (key, _) in self.left.take() {
            now(self.new.destroy(&key));
        }
        let record = Record::new(self.clock.now(), self.later(10));
        let record = add("n", 5).apply_to(&record).expect("a live record");
        now(self.old.create(&FIRST, &record));
    }

    fn start(&self, actor: Actor, reports: Rc<Reports>) -> Running {
        let applied = |reports: &Reports, outcome: &UpdateOutcome| {
            let is_applied = matches!(outcome, UpdateOutcome::Applied { .. });
            reports.applied.set(reports.applied.get() + u32::from(is_applied));
            is_applied
        };
        let begin = |reports: &Reports| reports.begun.set(reports.begun.get() + 1);
        match actor {
            Actor::Mover => {
                let store = self.stepped(Moving);
                Box::pin(async move {
                    ok(store.move_all()).await;
                })
            }
            Actor::Adder(phase) => {
                let store = self.stepped(phase);
                Box::pin(async move {
                    begin(&reports);
                    let outcome = ok(store.update(&FIRST, &add("n", 1))).await;
                    applied(&reports, &outcome);
                })
            }
            Actor::Merger(phase) => {
                let store = self.stepped(phase);
                Box::pin(async move {
                    let Some(loaded) = ok(store.load(&FIRST, &LoadOptions::default())).await else {
                        return;
                    };
                    begin(&reports);
                    let mut seen = loaded;
                    loop {
                        let mut patch = set(&[("n", &(number(&seen) + 1).to_string())]);
                        patch.expect_version(seen.version());
                        match ok(store.update(&FIRST, &patch)).await {
                            UpdateOutcome::Conflict(current) => {
                                assert!(current.version() != seen.version());
                                seen = current;
                            }
                            outcome => {
                                applied(&reports, &outcome);
                                return;
                            }
                        }
                    }
                })
            }
            Actor::Toucher(phase) => {
                let (store, later) = (self.stepped(phase), self.later(20));
                Box::pin(async move {
                    if ok(store.touch(&FIRST, later)).await {
                        reports.touched.set(true);
                    }
                })
            }
            Actor::Destroyer(phase) => {
                let store = self.stepped(phase);
                Box::pin(async move {
                    let destroyed = ok(store.destroy(&FIRST)).await;
                    reports.destroyed.set(Some(destroyed));
                })
            }
            Actor::Rotater(phase, old_id) => {
                let (store, grace) = (self.stepped(phase), Grace::new(self.later(1), old_id));
                Box::pin(async move {
                    begin(&reports);
                    let outcome = ok(store.rotate(&FIRST, &SECOND, &add("n", 1), grace)).await;
                    if applied(&reports, &outcome) {
                        reports.rotation.set(Some(old_id));
                    }
                })
            }
            Actor::Loader(phase) => {
                let store = self.stepped(phase);
                Box::pin(async move {
                    let at_least = 5 + reports.applied.get();
                    let loaded = ok(store.load(&FIRST, &LoadOptions::default())).await;
                    let live = loaded.filter(|record| !record.is_retired());
                    let n = live.as_ref().map(number);
                    if let Some(n) = n {
                        let at_most = 5 + reports.begun.get();
                        assert!((at_least..=at_most).contains(&n), "the load is not outdated");
                    }
                    let may_be_gone =
                        reports.destroyed.get().is_some() || reports.rotation.get().is_some();
                    MISSES.with(|misses| {
                        if n.is_none() && !may_be_gone {
                            misses.set(misses.get() + 1);
                        }
                    });
                })
            }
        }
    }
}

thread_local! {
    /// Loads that found nothing although no call had reported that the session was gone.
    static MISSES: Cell<u32> = const { Cell::new(0) };
}

fn number(record: &Record) -> u32 {
    let json = record.field("n").expect("each session has a number").get();
    json.parse().expect("a whole number")
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// Which actor takes each step, as far as it is decided.
#[derive(Clone, Debug)]
struct Schedule {
    choices: Vec<usize>,
    /// The actor that is killed, and before which of its steps.
    kill: Option<(usize, usize)>,
}

/// What a run found out about its schedule.
#[derive(Debug)]
struct Ran {
    /// At each step, who took it, and who else could have, with how many changes before it.
    steps: Vec<(usize, Vec<usize>, usize)>,
    was_killed: bool,
}

/// Runs all actors by a schedule. Beyond its end, each actor runs on as long as it can.
fn run(world: &World, actors: &[Actor], schedule: &Schedule) -> (Ran, Rc<Reports>) {
    world.reset();
    MISSES.set(0);
    let reports = Rc::new(Reports::default());
    let mut running: Vec<Option<Running>> =
        actors.iter().map(|actor| Some(world.start(*actor, Rc::clone(&reports)))).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = vec![0; actors.len()];
    let (mut ran, mut current, mut changes) =
        (Ran { steps: Vec::new(), was_killed: false }, None, 0);
    loop {
        if let Some((actor, step)) = schedule.kill
            && taken[actor] == step
            && running[actor].take().is_some()
        {
            ran.was_killed = true;
        }
        let ready: Vec<usize> = (0..actors.len()).filter(|n| running[*n].is_some()).collect();
        let Some(first) = ready.first() else { return (ran, reports) };
        assert!(taken.iter().sum::<usize>() < 200, "it comes to an end: {actors:?} {taken:?}");
        let stays = current.filter(|actor| ready.contains(actor));
        let planned = schedule.choices.get(ran.steps.len()).copied();
        let next = planned.filter(|n| ready.contains(n)).or(stays).unwrap_or(*first);
        let others = ready.iter().copied().filter(|n| *n != next).collect();
        ran.steps.push((next, others, changes));
        changes += usize::from(stays.is_some_and(|stays| stays != next));
        current = Some(next);
        taken[next] += 1;
        let actor = running[next].as_mut().expect("it is ready");
        if actor.as_mut().poll(&mut context).is_ready() {
            running[next] = None;
        }
    }
}

/// Runs every schedule with up to `max_changes` changes. Returns how many there were.
fn explore(actors: &[Actor], max_changes: usize) -> u32 {
    let world = World::new();
    let mut runs = explore_with(&world, actors, None, max_changes).0;
    // Of three, only the first is also killed, so that the test ends in time.
    let killed = if actors.len() > 2 { 1 } else { actors.len() };
    for actor in 0..killed {
        for step in 1.. {
            let (more, was_killed) = explore_with(&world, actors, Some((actor, step)), max_changes);
            if !was_killed {
                break;
            }
            runs += more;
        }
    }
    runs
}

/// The same, with one actor that is killed before a step. Also returns whether it ever was: it may
/// take fewer steps.
fn explore_with(
    world: &World,
    actors: &[Actor],
    kill: Option<(usize, usize)>,
    max_changes: usize,
) -> (u32, bool) {
    let (mut runs, mut was_killed) = (0, false);
    let mut open = vec![Vec::new()];
    while let Some(choices) = open.pop() {
        let planned = choices.len();
        let (ran, reports) = run(world, actors, &Schedule { choices, kill });
        runs += 1;
        was_killed |= ran.was_killed;
        let cut_off = kill.filter(|_| ran.was_killed).map(|(actor, _)| actors[actor]);
        let ended = Ended { actors, reports: &reports, cut_off, kill, ran: &ran };
        ended.check(world);
        for at in planned..ran.steps.len() {
            let (taker, others, changes) = &ran.steps[at];
            let before = at.checked_sub(1).map(|at| ran.steps[at].0);
            for other in others {
                // The one that ran before could go on, unless it is this other one.
                let could_stay = |it: usize| it != *other && (others.contains(&it) || *taker == it);
                if changes + usize::from(before.is_some_and(could_stay)) <= max_changes {
                    let mut choices: Vec<usize> = ran.steps[..at].iter().map(|it| it.0).collect();
                    choices.push(*other);
                    open.push(choices);
                }
            }
        }
    }
    (runs, was_killed)
}

/// A run that is over.
#[derive(Debug)]
struct Ended<'a> {
    actors: &'a [Actor],
    reports: &'a Reports,
    /// The actor that was killed.
    cut_off: Option<Actor>,
    #[expect(dead_code, reason = "a failure shows it")]
    kill: Option<(usize, usize)>,
    #[expect(dead_code, reason = "a failure shows it")]
    ran: &'a Ran,
}

impl Ended<'_> {
    fn has(&self, is: fn(&Actor) -> bool) -> bool {
        self.actors.iter().any(is)
    }

    /// Checks what is left, as requests of both phases see it, and after one more move.
    fn check(&self, world: &World) {
        let may_be_gone = self.has(|it| matches!(it, Destroyer(_) | Rotater(..)));
        assert!(may_be_gone || MISSES.get() == 0, "a live session is always found: {self:?}");
        self.check_reports();
        for phase in [Ready, Moving] {
            self.check_seen(world, |key| {
                now(world.at_once(phase).load(key, &LoadOptions::default()))
            });
        }
        now(world.at_once(Moving).move_all());
        let left = now(world.old.list(None, 1_000)).sessions;
        let is_left = left.iter().any(|(_, record)| !record.is_retired());
        assert!(!is_left, "the old store has no session: {self:?}");
        let left = now(world.new.list(None, 1_000)).sessions;
        let is_known = left.iter().all(|(key, _)| [FIRST, SECOND].contains(key));
        assert!(is_known || self.cut_off.is_some(), "no stage is left: {self:?}");
        world.left.set(left);
        self.check_seen(world, |key| now(world.new.load(key, &LoadOptions::default())));
    }

    /// Checks what a request of any process now finds.
    fn check_seen(&self, world: &World, load: impl Fn(&StoreKey) -> Option<Record>) {
        let reports = self.reports;
        let live = [FIRST, SECOND].map(|key| load(&key).filter(|it| !it.is_retired()));
        let count = live.iter().flatten().count();
        // A destroy by an old id that reads nothing does not reach the renewed session.
        let is_hidden = reports.rotation.get() == Some(Nothing);
        if reports.destroyed.get().is_some() && !is_hidden {
            assert_eq!(count, 0, "a destroyed session stays destroyed: {self:?}");
        } else if !matches!(self.cut_off, Some(Destroyer(_))) {
            assert_eq!(count, 1, "a session that is not destroyed is there once: {self:?}");
        }
        let Some(record) = live.iter().flatten().next() else { return };
        let (n, exact) = (number(record), 5 + reports.applied.get());
        let is_unknown = self.cut_off.is_some() && reports.begun.get() > reports.applied.get();
        assert!(
            n == exact || is_unknown && n == exact + 1,
            "each addition counts once: {n} and not {exact}: {self:?}"
        );
        let expires_in = |hours| record.expires_at() == world.later(hours);
        let may_be_touched = matches!(self.cut_off, Some(Toucher(_)));
        let is_exact = match reports.touched.get() {
            true => expires_in(20),
            false => expires_in(10) || may_be_touched && expires_in(20),
        };
        assert!(is_exact, "no touch is lost, and the expiry stays: {self:?}");
        let is_renewed = reports.rotation.get().is_some();
        assert!(!is_renewed || live[0].is_none(), "the old id is not live: {self:?}");
    }

    fn check_reports(&self) {
        let destroyers = self.actors.iter().filter(|it| matches!(it, Destroyer(_))).count();
        if let Some(destroyed) = self.reports.destroyed.get() {
            assert!(destroyed || destroyers > 1, "`destroy` reports what was there: {self:?}");
        }
        let is_change = |it: &&Actor| matches!(it, Adder(_) | Merger(_) | Rotater(..));
        let changes = self.actors.iter().filter(is_change).count();
        let may_be_refused = destroyers > 0
            || self.has(|it| matches!(it, Rotater(..))) && changes > 1
            || !matches!(self.cut_off, None | Some(Mover | Loader(_)));
        assert!(
            self.reports.applied.get() as usize == changes || may_be_refused,
            "no change of a live session is refused: {self:?}"
        );
    }
}

fn explore_all(scenes: &[&[Actor]], max_changes: usize) {
    for actors in scenes {
        let runs = explore(actors, max_changes);
        println!("{runs} orders of {actors:?}");
    }
}

use Actor::{Adder, Destroyer, Loader, Merger, Mover, Rotater, Toucher};
use OldIdReads::{Nothing, Snapshot};

#[test]
fn two_calls_at_once_lose_no_change_and_bring_nothing_back() {
    let calls = [
        Mover,
        Adder(Ready),
        Adder(Moving),
        Merger(Ready),
        Merger(Moving),
        Toucher(Ready),
        Toucher(Moving),
        Destroyer(Ready),
        Destroyer(Moving),
        Rotater(Ready, Snapshot),
        Rotater(Moving, Snapshot),
        Rotater(Ready, Nothing),
        Rotater(Moving, Nothing),
    ];
    for call in calls {
        explore_all(&[&[Mover, call]], 2);
        explore_all(&[&[Loader(Ready), call], &[Loader(Moving), call]], 2);
    }
    explore_all(
        &[
            &[Adder(Ready), Adder(Moving)],
            &[Adder(Moving), Adder(Moving)],
            &[Adder(Moving), Destroyer(Ready)],
            &[Adder(Ready), Destroyer(Moving)],
            &[Destroyer(Ready), Destroyer(Moving)],
            &[Rotater(Ready, Snapshot), Destroyer(Moving)],
            &[Rotater(Moving, Snapshot), Destroyer(Ready)],
            &[Rotater(Moving, Snapshot), Destroyer(Moving)],
            &[Rotater(Moving, Snapshot), Adder(Ready)],
            &[Rotater(Ready, Snapshot), Adder(Moving)],
        ],
        2,
    );
}

#[test]
fn three_calls_at_once_lose_no_change_and_bring_nothing_back() {
    explore_all(&[&[Mover, Merger(Ready), Adder(Ready)]], 2);
    explore_all(
        &[
            &[Mover, Mover, Destroyer(Moving)],
            &[Destroyer(Moving), Mover, Destroyer(Ready)],
            &[Destroyer(Moving), Rotater(Ready, Snapshot), Destroyer(Ready)],
            &[Mover, Mover, Adder(Ready)],
            &[Mover, Adder(Ready), Adder(Moving)],
            &[Mover, Adder(Ready), Destroyer(Moving)],
            &[Mover, Adder(Moving), Destroyer(Ready)],
            &[Mover, Merger(Ready), Toucher(Ready)],
            &[Mover, Rotater(Ready, Snapshot), Destroyer(Moving)],
            &[Mover, Rotater(Moving, Snapshot), Destroyer(Ready)],
            &[Mover, Rotater(Ready, Nothing), Adder(Moving)],
            &[Mover, Adder(Ready), Loader(Ready)],
            &[Mover, Adder(Moving), Loader(Moving)],
            &[Mover, Destroyer(Moving), Loader(Ready)],
            &[Mover, Merger(Moving), Merger(Ready)],
        ],
        1,
    );
}
