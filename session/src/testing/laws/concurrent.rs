//! Calls that run at the same time.

use std::{future::Future, panic, sync::Arc, time::Duration};

use tokio::{
    sync::Barrier,
    task::{JoinError, JoinSet},
};

/// How often a law makes two calls race.
pub(super) const ROUNDS: u64 = 100;

/// Starts tasks at the same moment and returns their answers in order.
pub(super) async fn at_once<T: Send + 'static>(
    tasks: Vec<impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(tasks.len()));
    let mut set = JoinSet::new();
    for (index, task) in tasks.into_iter().enumerate() {
        let barrier = Arc::clone(&barrier);
        set.spawn(async move {
            barrier.wait().await;
            (index, task.await)
        });
    }
    let mut answers: Vec<_> = set.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Starts two calls at the same moment.
pub(super) async fn both<A: Send + 'static, B: Send + 'static>(
    a: impl Future<Output = A> + Send + 'static,
    b: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let barrier = Arc::new(Barrier::new(2));
    let other = Arc::clone(&barrier);
    let a = tokio::spawn(async move {
        barrier.wait().await;
        a.await
    });
    let b = tokio::spawn(async move {
        other.wait().await;
        b.await
    });
    (joined(a.await), joined(b.await))
}

/// Returns a task's answer. If the task found a broken law, this test fails with its message.
pub(super) fn joined<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}

/// Delays one of two calls by a time that depends on the round. Without it, a scheduler may run the
/// two in the same order every time.
pub(super) async fn stagger(round: u64) {
    match round % 4 {
        0 => {}
        1 => tokio::task::yield_now().await,
        2 => {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        _ => tokio::time::sleep(Duration::from_millis(1)).await,
    }
}
