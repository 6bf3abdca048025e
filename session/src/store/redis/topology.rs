//! One server, one of several that a sentinel chooses, or the nodes of a cluster: which of them is asked.
//!
//! Only what is harmless to repeat, or was refused, is sent again.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::{self, FutureExt as _};
use tokio::{runtime, time::timeout};

use super::{
    cache::Cache,
    link::{Answer, Failure, Link, Repeat, Request, Target, Timeouts},
    peer::{Peer, Place},
    resp::{Command, Reply},
};

/// Where the sessions are.
pub(super) enum Topology {
    /// All in one place.
    Server(Node),
    /// In the place that the hash of the key says.
    Cluster(Arc<Cluster>),
}

impl Topology {
    /// Sends a request about one key and waits for its answer.
    pub(super) async fn call(
        &self,
        key: &[u8],
        command: &Command,
        repeat: Repeat,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Server(node) => node.call(&Request { command, repeat, asking: false }).await,
            Self::Cluster(cluster) => Cluster::call(cluster, slot(key), command, repeat).await,
        }
    }
}

/// A server and the connections to it.
///
/// Each runtime, that is each worker of Actix, has connections of its own: what is sent and what is answered
/// need not pass from thread to thread. Nor would a connection outlive the runtime that it was made on.
pub(super) struct Node {
    target: Arc<Target>,
    settings: Settings,
    links: RwLock<Vec<Arc<Links>>>,
}

/// The connections of one runtime.
struct Links {
    runtime: runtime::Id,
    /// Gone when the runtime is.
    alive: Weak<()>,
    links: Vec<Link>,
    next: AtomicUsize,
}

impl Node {
    pub(super) fn new(target: Target, settings: &Settings) -> Self {
        Self { target: Arc::new(target), settings: settings.clone(), links: RwLock::default() }
    }

    async fn call(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let Links { links, next, .. } = &*self.links();
        let next = next.fetch_add(1, Ordering::Relaxed);
        links[next % links.len()].call(request).await
    }

    fn links(&self) -> Arc<Links> {
        let runtime = runtime::Handle::current().id();
        let of_this = |links: &&Arc<Links>| links.runtime == runtime;
        let known = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = known.iter().find(of_this) {
            return Arc::clone(links);
        }
        drop(known);
        let mut known = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = known.iter().find(of_this) {
            return Arc::clone(links);
        }
        known.retain(|links| links.alive.strong_count() > 0);
        let links = Arc::new(Links::new(&self.target, &self.settings));
        known.push(Arc::clone(&links));
        links
    }
}

impl Links {
    /// Connections of the current runtime.
    fn new(target: &Arc<Target>, settings: &Settings) -> Self {
        let alive = Arc::new(());
        let weak = Arc::downgrade(&alive);
        tokio::spawn(async move {
            let _alive = alive;
            future::pending::<()>().await;
        });
        let link = || Link::new(Arc::clone(target), settings.timeouts, settings.cache.clone());
        Self {
            runtime: runtime::Handle::current().id(),
            alive: weak,
            links: (0..settings.connections).map(|_| link()).collect(),
            next: AtomicUsize::new(0),
        }
    }
}

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) connections: usize,
    pub(super) timeouts: Timeouts,
    pub(super) cache: Option<Arc<Cache>>,
}

/// The nodes of a cluster, as far as they are known.
pub(super) struct Cluster {
    seeds: Vec<Peer>,
    settings: Settings,
    map: RwLock<Map>,
    /// Held by whoever looks for the nodes anew.
    refresh: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Map {
    nodes: HashMap<Address, Arc<Node>>,
    /// The master of each slot.
    slots: Vec<Option<Address>>,
    /// How often the map was drawn.
    generation: u64,
}

type Address = (Arc<str>, u16);

const SLOTS: usize = 16_384;
/// How often a request follows the cluster's redirections.
const REDIRECTIONS: usize = 5;

impl Cluster {
    pub(super) fn new(seeds: Vec<Peer>, settings: Settings) -> Self {
        Self { seeds, settings, map: RwLock::default(), refresh: tokio::sync::Mutex::default() }
    }

    async fn call(
        self: &Arc<Self>,
        slot: usize,
        command: &Command,
        repeat: Repeat,
    ) -> Result<Answer, Failure> {
        let mut detour = None;
        for _ in 0..REDIRECTIONS {
            let (generation, node) = match self.master(slot) {
                (generation, Some(node)) => (generation, node),
                (generation, None) => {
                    self.draw(generation).await?;
                    match self.master(slot) {
                        (generation, Some(node)) => (generation, node),
                        (_, None) => {
                            return Err(unreachable("no node of the cluster has the slot"));
                        }
                    }
                }
            };
            let asking = detour.is_some();
            let node: Arc<Node> = detour.take().unwrap_or(node);
            let failure = match node.call(&Request { command, repeat, asking }).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure {
                Failure::Refused(refusal) => match (refusal.code(), refusal.redirection()) {
                    ("MOVED", Some(address)) => {
                        self.move_slot(slot, address);
                        self.draw_in_background(generation);
                    }
                    ("ASK", Some(address)) => {
                        detour = parse_address(address).map(|address| self.node(address));
                    }
                    ("CLUSTERDOWN" | "MASTERDOWN", _) => {
                        self.draw_in_background(generation);
                        return Err(Failure::Refused(refusal));
                    }
                    _ => return Err(Failure::Refused(refusal)),
                },
                Failure::Unreachable(cause) => {
                    self.draw(generation).await?;
                    let has_moved =
                        self.master(slot).1.is_some_and(|now| !Arc::ptr_eq(&now, &node));
                    if !has_moved {
                        return Err(Failure::Unreachable(cause));
                    }
                    // Its replica has taken over.
                }
                Failure::Lost(lost) => {
                    self.draw_in_background(generation);
                    return Err(Failure::Lost(lost));
                }
            }
        }
        Err(unreachable("the nodes of the cluster do not agree on who has the slot"))
    }

    fn master(&self, slot: usize) -> (u64, Option<Arc<Node>>) {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let address = map.slots.get(slot).and_then(Option::as_ref);
        (map.generation, address.and_then(|address| map.nodes.get(address)).cloned())
    }

    fn node(&self, address: Address) -> Arc<Node> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        map.node(address, self)
    }

    /// Takes over what a node has said about a slot.
    fn move_slot(&self, slot: usize, address: &str) {
        let Some(address) = parse_address(address) else { return };
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        map.node(address.clone(), self);
        if let Some(entry) = map.slots.get_mut(slot) {
            *entry = Some(address);
        }
    }

    fn draw_in_background(self: &Arc<Self>, generation: u64) {
        if self.refresh.try_lock().is_ok() {
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                let _ = cluster.draw(generation).await;
            });
        }
    }

    /// Asks all nodes that are known who has which slot, and takes the first answer. Does nothing if
    /// that was done since the given generation.
    async fn draw(&self, generation: u64) -> Result<(), Failure> {
        let limit = self.settings.timeouts.connect;
        let draw = async {
            let _turn = self.refresh.lock().await;
            if self.map.read().unwrap_or_else(PoisonError::into_inner).generation > generation {
                return Ok(());
            }
            let nodes: Vec<_> = {
                let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
                for seed in &self.seeds {
                    if let Place::Tcp { host, port } = &seed.place {
                        map.node((Arc::clone(host), *port), self);
                    }
                }
                map.nodes
                    .iter()
                    .map(|(address, node)| (address.clone(), Arc::clone(node)))
                    .collect()
            };
            let answers = nodes.into_iter().map(|(address, node)| {
                async move {
                    let command = &Command::new("CLUSTER").arg("SLOTS");
                    let request = Request { command, repeat: Repeat::Harmless, asking: false };
                    let slots = parse_slots(node.call(&request).await?.reply, &address.0);
                    slots.ok_or_else(|| unreachable("the node is not part of a cluster"))
                }
                .boxed()
            });
            let (slots, _) = future::select_ok(answers).await?;
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let mut drawn = Map { generation: map.generation + 1, ..Map::default() };
            drawn.slots = vec![None; SLOTS];
            for (first, last, address) in slots {
                // A node that is known keeps its connections.
                let node = map.node(address.clone(), self);
                drawn.nodes.insert(address.clone(), node);
                drawn.slots[first..=last].fill(Some(address));
            }
            *map = drawn;
            Ok(())
        };
        match timeout(limit, draw).await {
            Ok(drawn) => drawn,
            Err(_) => Err(unreachable("no node of the cluster has answered in time")),
        }
    }
}

impl Map {
    fn node(&mut self, address: Address, cluster: &Cluster) -> Arc<Node> {
        let node = self.nodes.entry(address).or_insert_with_key(|(host, port)| {
            // All nodes are spoken with as the first one is.
            let peer = cluster.seeds[0].at(host, *port);
            Arc::new(Node::new(Target::Server(peer), &cluster.settings))
        });
        Arc::clone(node)
    }
}

fn unreachable(why: &'static str) -> Failure {
    Failure::Unreachable(io::Error::other(why).into())
}

/// The ranges of slots and their masters. A node that does not know its own name is where it was asked.
fn parse_slots(answer: Reply, asked: &Arc<str>) -> Option<Vec<(usize, usize, Address)>> {
    let Reply::List(ranges) = answer else { return None };
    let range = |range: Reply| {
        let Reply::List(range) = range else { return None };
        let [Reply::Int(first), Reply::Int(last), Reply::List(master), ..] = &range[..] else {
            return None;
        };
        let [host, Reply::Int(port), ..] = &master[..] else { return None };
        let host = match host.as_str() {
            Some(host) if !host.is_empty() => host.into(),
            _ => Arc::clone(asked),
        };
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        (first <= last && last < SLOTS).then_some((first, last, (host, u16::try_from(*port).ok()?)))
    };
    ranges.into_iter().map(range).collect()
}

/// The address in a redirection. An IPv6 address has colons too.
fn parse_address(address: &str) -> Option<Address> {
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty()).then_some((host.into(), port.parse().ok()?))
}

/// The slot of a key, by the cluster's specification.
fn slot(key: &[u8]) -> usize {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let tag = &key[open + 1..];
        let close = tag.iter().position(|byte| *byte == b'}')?;
        (close > 0).then_some(&tag[..close])
    });
    usize::from(crc16::State::<crc16::XMODEM>::calculate(tagged.unwrap_or(key))) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3 % SLOTS);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn addresses_may_be_those_of_ipv6() {
        assert_eq!(parse_address("10.0.0.1:7000"), Some(("10.0.0.1".into(), 7000)));
        assert_eq!(parse_address("::1:7000"), Some(("::1".into(), 7000)));
        assert_eq!(parse_address(":7000"), None);
        assert_eq!(parse_address("10.0.0.1"), None);
    }

    #[test]
    fn a_node_without_a_name_is_where_it_was_asked() {
        let node = |host| Reply::List(vec![host, Reply::Int(7000)]);
        let range = |host| Reply::List(vec![Reply::Int(0), Reply::Int(16_383), node(host)]);
        let asked: Arc<str> = "here".into();
        for (host, name) in [
            (Reply::Nothing, "here"),
            (Reply::Text("".into()), "here"),
            (Reply::Text("there".into()), "there"),
        ] {
            let slots = parse_slots(Reply::List(vec![range(host)]), &asked);
            assert_eq!(slots, Some(vec![(0, 16_383, (name.into(), 7000))]));
        }
        assert_eq!(parse_slots(Reply::Int(1), &asked), None);
    }
}
