//! Where requests wait, so that a test decides what happens first.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use tokio::sync::Semaphore;

use crate::wait::within;

/// Holds requests back until the test lets them go on.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// Waits at the gate.
    pub async fn pass(&self) {
        let mut turn = pin!(self.open.acquire());
        // It takes its place in the queue before the test knows of it, so that requests go on in
        // the order in which they came.
        let at_once = poll_fn(|context| Poll::Ready(turn.as_mut().poll(context))).await;
        self.arrived.add_permits(1);
        let turn = match at_once {
            Poll::Ready(turn) => turn,
            Poll::Pending => turn.await,
        };
        turn.expect("the gate is never closed").forget();
    }

    /// Waits until one request more has come to the gate.
    pub async fn arrival(&self) {
        let arrival = within("a request comes to the gate", self.arrived.acquire()).await;
        arrival.expect("the gate is never closed").forget();
    }

    /// Lets one request go on.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}
