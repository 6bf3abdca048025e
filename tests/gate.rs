//! Where requests wait, so that a test decides what happens first.

use std::sync::Arc;

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
        self.arrived.add_permits(1);
        self.open.acquire().await.expect("the gate is never closed").forget();
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
