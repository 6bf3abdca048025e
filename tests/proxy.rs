//! A TCP proxy that fails in the ways that networks do.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
    sync::watch,
    time::sleep,
};

/// A proxy. It stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    counts: Arc<Counts>,
}

/// What the proxy does to connections and bytes.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Where new connections go.
    server: SocketAddr,
    /// How often all connections were cut.
    cuts: u64,
    refuses: bool,
    hangs: bool,
    swallows_replies: bool,
    delay: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Proxy {
    /// A proxy to this server.
    pub fn to(server: SocketAddr) -> Self {
        let (weather, watched) = watch::channel(Weather {
            server,
            cuts: 0,
            refuses: false,
            hangs: false,
            swallows_replies: false,
            delay: Duration::ZERO,
        });
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("a bound port");
        // Its own thread and runtime, so that it does not stop with the runtime of the test.
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(listener, watched, counted));
        });
        Self { address, weather, counts }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the Redis behind it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Leads new connections to another server, as an address that moves in a failover.
    pub fn lead_to(&self, server: SocketAddr) {
        self.weather.send_modify(|weather| weather.server = server);
    }

    /// Closes every new connection at once.
    pub fn refuse(&self, refuses: bool) {
        self.weather.send_modify(|weather| weather.refuses = refuses);
    }

    /// Holds all bytes back.
    pub fn hang(&self, hangs: bool) {
        self.weather.send_modify(|weather| weather.hangs = hangs);
    }

    /// Lets requests through and drops the answers.
    pub fn swallow_replies(&self, swallows: bool) {
        self.weather.send_modify(|weather| weather.swallows_replies = swallows);
    }

    /// Holds all bytes back for this long.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How often bytes went to the server: once for each request of a client that waits for the
    /// answer and sends less than 64 kB.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// How many bytes went to the server.
    pub fn bytes_up(&self) -> u64 {
        self.counts.up.load(Ordering::SeqCst)
    }

    /// How many bytes came from the server.
    pub fn bytes_down(&self) -> u64 {
        self.counts.down.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

async fn serve(
    listener: std::net::TcpListener,
    mut weather: watch::Receiver<Weather>,
    counts: Arc<Counts>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            // Dropped.
            _ = weather.wait_for(|_| false) => return,
        };
        let Ok((client, _)) = client else { continue };
        let now = *weather.borrow();
        counts.connections.fetch_add(1, Ordering::SeqCst);
        if now.refuses {
            continue;
        }
        let (mut weather, counts) = (weather.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(now.server).await else { return };
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            let watched = || weather.clone();
            let (first, second) = (watched(), watched());
            tokio::select! {
                () = pump(client_in, server_out, Direction::Up, first, &counts) => {}
                () = pump(server_in, client_out, Direction::Down, second, &counts) => {}
                _ = weather.wait_for(|weather| weather.cuts != now.cuts) => {}
            }
        });
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mut weather: watch::Receiver<Weather>,
    counts: &Counts,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Ok(now) = weather.wait_for(|weather| !weather.hangs).await.map(|now| *now) else {
            return;
        };
        sleep(now.delay).await;
        if direction == Direction::Up {
            counts.requests.fetch_add(1, Ordering::SeqCst);
        }
        let count = match direction {
            Direction::Up => &counts.up,
            Direction::Down => &counts.down,
        };
        count.fetch_add(length as u64, Ordering::SeqCst);
        let swallowed = direction == Direction::Down && weather.borrow().swallows_replies;
        if !swallowed && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
