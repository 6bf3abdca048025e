//! Calls that wait for the database at the same time run together, as one statement.
//!
//! A few tasks send statements. While there is a free one for each call, each is sent by itself:
//! the server works on them at the same time. If more calls wait, the next task sends them
//! together, because that costs the server little more than one of them.

pub(crate) mod loads;
pub(crate) mod updates;

use std::{
    future::poll_fn,
    marker::PhantomData,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use actix_typed_session::StoreError;
use tokio::{runtime::Handle, sync::oneshot};

/// How many tasks send statements, and how many calls each of these has at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) tasks: usize,
    pub(crate) calls: usize,
}

impl Limits {
    /// The limits of calls that can run together, by the size of the pool.
    ///
    /// More tasks would make the batches smaller, and a batch costs the server little more than a
    /// call. Larger batches would let the first of their calls wait longer.
    pub(crate) fn together(connections: u32) -> Self {
        Self { tasks: (connections as usize / 2).clamp(1, 4), calls: 64 }
    }
}

/// The calls that wait.
pub(crate) trait Backlog: Default + Send + 'static {
    /// Calls that run together.
    type Batch: Send + 'static;

    /// How many calls are ready.
    fn ready(&self) -> usize;

    /// Takes the next batch, of `most` calls at most. `None`: nothing is ready.
    fn take(&mut self, most: usize) -> Option<Self::Batch>;

    /// Lets each call that waits run by itself.
    fn give_back(&mut self);
}

/// A store whose calls have a time limit.
pub(crate) trait TimeLimit: Send + Sync + 'static {
    /// Runs a call for as long as the time limit allows.
    fn within<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

/// A store that runs batches.
pub(crate) trait RunBatches<B: Backlog>: Send + Sync + 'static {
    fn batches(&self) -> &Batches<B>;

    fn run(self: Arc<Self>, batch: B::Batch) -> impl Future<Output = ()> + Send;
}

/// The calls of a store that wait, and how many tasks run them.
pub(crate) struct Batches<B> {
    limits: Limits,
    state: Mutex<State<B>>,
}

struct State<B> {
    backlog: B,
    tasks: usize,
    /// Those of the tasks that have a batch.
    running: usize,
}

impl<B: Backlog> Batches<B> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::new(State { backlog: B::default(), tasks: 0, running: 0 }) }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes what waits, and starts a task if something is ready and fewer run than may.
pub(crate) fn change<B: Backlog>(store: &Arc<impl RunBatches<B>>, change: impl FnOnce(&mut B)) {
    let batches = store.batches();
    let mut state = batches.state();
    change(&mut state.backlog);
    if state.tasks >= batches.limits.tasks || state.backlog.ready() == 0 {
        return;
    }
    let mut task = Task { store: Arc::clone(store), step: Step::Started, backlog: PhantomData };
    state.enter(task.step);
    drop(state);
    let run = async move {
        while let Some(batch) = task.next() {
            Arc::clone(&task.store).run(batch).await;
        }
    };
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(run)),
        Err(_) => drop(run),
    }
}

/// Runs a call within the time limit, and for as long as one of its callers waits. It is not sent
/// after the last one has left, because it waited for a connection for too long, for example.
pub(crate) async fn while_awaited<T: Send, A>(
    store: &impl TimeLimit,
    call: impl Future<Output = Result<T, StoreError>> + Send,
    callers: &mut [Vec<oneshot::Sender<A>>],
) -> Option<Result<T, StoreError>> {
    let mut call = pin!(store.within(call));
    poll_fn(|context| {
        if let Poll::Ready(result) = call.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        match callers.iter_mut().flatten().all(|caller| caller.poll_closed(context).is_ready()) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    })
    .await
}

/// A task that runs batches until nothing waits.
struct Task<B: Backlog, S: RunBatches<B>> {
    store: Arc<S>,
    step: Step,
    backlog: PhantomData<fn(B)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Started,
    Runs,
    Ended,
}

impl<B: Backlog, S: RunBatches<B>> Task<B, S> {
    fn next(&mut self) -> Option<B::Batch> {
        let batches = self.store.batches();
        let mut state = batches.state();
        state.leave(self.step);
        let free = batches.limits.tasks - state.running;
        let most = if state.backlog.ready() <= free { 1 } else { batches.limits.calls };
        let batch = state.backlog.take(most);
        self.step = match batch {
            Some(_) => Step::Runs,
            None => Step::Ended,
        };
        state.enter(self.step);
        batch
    }
}

impl<B> State<B> {
    fn enter(&mut self, step: Step) {
        self.tasks += usize::from(step != Step::Ended);
        self.running += usize::from(step == Step::Runs);
    }

    fn leave(&mut self, step: Step) {
        self.tasks -= usize::from(step != Step::Ended);
        self.running -= usize::from(step == Step::Runs);
    }
}

impl<B: Backlog, S: RunBatches<B>> Drop for Task<B, S> {
    /// Lets the calls that wait run by themselves if the runtime of the task has ended.
    fn drop(&mut self) {
        if self.step != Step::Ended {
            let mut state = self.store.batches().state();
            state.leave(self.step);
            state.backlog.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        runtime::{self, Runtime},
        sync::{Semaphore, oneshot},
    };

    use super::*;

    /// Calls with a number. Each ends when its sender is dropped or used.
    #[derive(Default)]
    struct Calls(Vec<(u32, oneshot::Sender<()>)>);

    impl Backlog for Calls {
        type Batch = Vec<(u32, oneshot::Sender<()>)>;

        fn ready(&self) -> usize {
            self.0.len()
        }

        fn take(&mut self, most: usize) -> Option<Self::Batch> {
            let rest = self.0.split_off(most.min(self.0.len()));
            let batch = std::mem::replace(&mut self.0, rest);
            (!batch.is_empty()).then_some(batch)
        }

        fn give_back(&mut self) {
            self.0.clear();
        }
    }

    /// A database that answers a statement when it has a permit.
    struct Store {
        calls: Batches<Calls>,
        answers: Semaphore,
        log: Mutex<Vec<Vec<u32>>>,
    }

    impl RunBatches<Calls> for Store {
        fn batches(&self) -> &Batches<Calls> {
            &self.calls
        }

        async fn run(self: Arc<Self>, batch: Vec<(u32, oneshot::Sender<()>)>) {
            let numbers = batch.iter().map(|(number, _)| *number).collect();
            self.log.lock().expect("no panic").push(numbers);
            self.answers.acquire().await.expect("it is open").forget();
            for (_, answer) in batch {
                answer.send(()).expect("the caller waits");
            }
        }
    }

    impl Store {
        fn new(tasks: usize, calls: usize) -> Arc<Self> {
            Arc::new(Self {
                calls: Batches::new(Limits { tasks, calls }),
                answers: Semaphore::new(0),
                log: Mutex::default(),
            })
        }

        fn call(self: &Arc<Self>, number: u32) -> oneshot::Receiver<()> {
            let (sender, receiver) = oneshot::channel();
            change(self, |calls: &mut Calls| calls.0.push((number, sender)));
            receiver
        }

        fn take_log(&self) -> Vec<Vec<u32>> {
            std::mem::take(&mut self.log.lock().expect("no panic"))
        }
    }

    struct Unlimited;

    impl TimeLimit for Unlimited {
        fn within<T: Send>(
            &self,
            call: impl Future<Output = Result<T, StoreError>> + Send,
        ) -> impl Future<Output = Result<T, StoreError>> + Send {
            call
        }
    }

    /// Lets the tasks run until each waits.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn calls_are_sent_alone_if_there_is_a_task_for_each_and_together_if_not() {
        let store = Store::new(2, 10);
        let callers: Vec<_> = (0..2).map(|number| store.call(number)).collect();
        settle().await;
        assert_eq!(store.take_log(), [vec![0], vec![1]]);
        let waiting: Vec<_> = (2..8).map(|number| store.call(number)).collect();
        settle().await;
        assert!(store.take_log().is_empty(), "both tasks are busy");
        store.answers.add_permits(1);
        settle().await;
        assert_eq!(store.take_log(), [vec![2, 3, 4, 5, 6, 7]]);
        store.answers.add_permits(2);
        for caller in callers.into_iter().chain(waiting) {
            caller.await.expect("an answer");
        }
        assert_eq!(store.calls.state().tasks, 0);

        let _callers: Vec<_> = (0..3).map(|number| store.call(number)).collect();
        settle().await;
        assert_eq!(store.take_log(), [vec![0, 1, 2]], "two tasks are too few");
    }

    #[tokio::test]
    async fn no_statement_has_more_calls_than_it_may() {
        let store = Store::new(1, 3);
        let callers: Vec<_> = (0..7).map(|number| store.call(number)).collect();
        store.answers.add_permits(3);
        for caller in callers {
            caller.await.expect("an answer");
        }
        assert_eq!(store.take_log(), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    }

    #[tokio::test]
    async fn a_call_goes_on_until_its_last_caller_leaves() {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..2).map(|_| oneshot::channel::<()>()).unzip();
        let mut senders = senders.into_iter().map(|sender| vec![sender]).collect::<Vec<_>>();
        let call = tokio::spawn(async move {
            while_awaited(&Unlimited, std::future::pending::<Result<(), _>>(), &mut senders).await
        });
        for receiver in receivers {
            settle().await;
            assert!(!call.is_finished());
            drop(receiver);
        }
        assert!(call.await.expect("no panic").is_none());
        let (sender, _receiver) = oneshot::channel::<()>();
        let result = while_awaited(&Unlimited, async { Ok(7) }, &mut [vec![sender]]).await;
        assert!(matches!(result, Some(Ok(7))));
    }

    fn new_runtime() -> Runtime {
        runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime")
    }

    #[test]
    fn what_waits_for_a_task_whose_runtime_has_ended_is_given_back() {
        let (store, first, second) = (Store::new(1, 10), new_runtime(), new_runtime());
        let sent = {
            let _context = first.enter();
            store.call(1)
        };
        while store.take_log().is_empty() {
            std::thread::yield_now();
        }
        let waiting = {
            let _context = second.enter();
            store.call(2)
        };
        first.shutdown_background();
        second.block_on(async {
            assert!(waiting.await.is_err(), "it is given back");
            assert!(sent.await.is_err(), "its answer does not come");
            // The next call starts another task.
            store.answers.add_permits(1);
            store.call(3).await.expect("an answer");
        });
    }

    #[test]
    fn without_a_runtime_calls_are_given_back() {
        let store = Store::new(1, 10);
        let mut caller = store.call(1);
        assert!(caller.try_recv().is_err());
        assert_eq!(store.calls.state().tasks, 0);
        assert!(store.calls.state().backlog.0.is_empty());
    }
}
