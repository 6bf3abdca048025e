//! The nodes of a cluster, and which of them serves which slot.
//!
//! A command is sent again only if it is idempotent or a node refused it.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use futures_util::future::{self, FutureExt as _};
use tokio::time::timeout;

use super::{
    call::{CallError, CallReply, Retry, ServerCall},
    endpoint::{Address, Endpoint},
    node::{ConnectionSettings, Node},
    resp::{Command, ErrorReply, Reply},
    target::ConnectTarget,
};

/// The nodes of a cluster, as far as they are known.
pub(crate) struct Cluster {
    /// The endpoints that the application has named.
    seeds: Vec<Endpoint>,
    settings: ConnectionSettings,
    map: RwLock<SlotMap>,
    /// Held while the slot map is refreshed.
    refresh: tokio::sync::Mutex<()>,
}

/// How often a command follows the cluster's redirections.
const MAX_REDIRECTIONS: usize = 5;

impl Cluster {
    pub(super) fn new(seeds: Vec<Endpoint>, settings: ConnectionSettings) -> Self {
        Self { seeds, settings, map: RwLock::default(), refresh: tokio::sync::Mutex::default() }
    }

    /// Sends a command to the node that serves the key.
    pub(super) async fn call(
        self: &Arc<Self>,
        key: &[u8],
        command: &Command,
        retry: Retry,
    ) -> Result<CallReply, CallError> {
        let slot = slot(key);
        let mut asked = None;
        for _ in 0..MAX_REDIRECTIONS {
            let (generation, master) = self.master_or_refresh(slot).await?;
            let is_asking = asked.is_some();
            let node: Arc<Node> = asked.take().unwrap_or(master);
            match node.call(&ServerCall { command, retry, is_asking }).await {
                Ok(reply) => return Ok(reply),
                Err(CallError::Refused(error)) => {
                    asked = self.redirect(slot, generation, &node, error)?
                }
                Err(CallError::Unreachable(cause)) => {
                    self.refresh_slots(generation).await?;
                    let is_replaced =
                        self.master(slot).1.is_some_and(|now| !Arc::ptr_eq(&now, &node));
                    // Goes on only if a replica has taken over.
                    if !is_replaced {
                        return Err(CallError::Unreachable(cause));
                    }
                }
                Err(CallError::NoReply(error)) => {
                    self.refresh_in_background(generation);
                    return Err(CallError::NoReply(error));
                }
            }
        }
        Err(unreachable("the nodes of the cluster disagree on who serves the slot"))
    }

    /// The node of a slot. Refreshes the slot map once if it lacks the slot.
    async fn master_or_refresh(&self, slot: usize) -> Result<(u64, Arc<Node>), CallError> {
        let (generation, master) = self.master(slot);
        if let Some(master) = master {
            return Ok((generation, master));
        }
        self.refresh_slots(generation).await?;
        match self.master(slot) {
            (generation, Some(master)) => Ok((generation, master)),
            (_, None) => Err(unreachable("no node of the cluster serves the slot")),
        }
    }

    /// The masters, in the order of their first slots.
    pub(super) async fn masters(&self) -> Result<Vec<Arc<Node>>, CallError> {
        self.master_or_refresh(0).await?;
        let map = self.read_map();
        let nodes = map.ranges().into_iter().filter_map(|(_, address)| map.nodes.get(address));
        let mut masters: Vec<Arc<Node>> = Vec::new();
        for node in nodes {
            if !masters.iter().any(|known| Arc::ptr_eq(known, node)) {
                masters.push(Arc::clone(node));
            }
        }
        Ok(masters)
    }

    /// The ranges of slots and their masters, after asking the cluster.
    pub(super) async fn slots_now(&self) -> Result<String, CallError> {
        let generation = self.read_map().generation;
        self.refresh_slots(generation).await?;
        let map = self.read_map();
        let ranges = map.ranges().into_iter();
        Ok(ranges.map(|(first, (host, port))| format!("{first} {host}:{port}\n")).collect())
    }

    /// Takes in what a node says about a slot that it does not serve. Returns the node to ask next,
    /// if that is not the slot's master.
    fn redirect(
        self: &Arc<Self>,
        slot: usize,
        generation: u64,
        asked: &Node,
        error: ErrorReply,
    ) -> Result<Option<Arc<Node>>, CallError> {
        let address = error.redirection().and_then(|text| parse_address(text, asked.host()?));
        match (error.code(), address) {
            ("MOVED", Some(address)) => {
                self.move_slot(slot, address);
                self.refresh_in_background(generation);
                Ok(None)
            }
            ("ASK", Some(address)) => Ok(Some(self.node(address))),
            ("CLUSTERDOWN" | "MASTERDOWN", _) => {
                self.refresh_in_background(generation);
                Err(CallError::Refused(error))
            }
            _ => Err(CallError::Refused(error)),
        }
    }

    /// The generation of the slot map, and the node that serves a slot by it.
    fn master(&self, slot: usize) -> (u64, Option<Arc<Node>>) {
        let map = self.read_map();
        let address = map.slots.get(slot).and_then(Option::as_ref);
        (map.generation, address.and_then(|address| map.nodes.get(address)).cloned())
    }

    fn node(&self, address: NodeAddress) -> Arc<Node> {
        self.write_map().node(address, self)
    }

    /// Records the node that now serves a slot.
    fn move_slot(&self, slot: usize, address: NodeAddress) {
        let mut map = self.write_map();
        map.node(address.clone(), self);
        if let Some(entry) = map.slots.get_mut(slot) {
            *entry = Some(address);
        }
    }

    fn refresh_in_background(self: &Arc<Self>, generation: u64) {
        if self.refresh.try_lock().is_ok() {
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                // OK because the call that needs the slot map refreshes it again.
                let _ = cluster.refresh_slots(generation).await;
            });
        }
    }

    /// Refreshes the slot map within the time limit for a connection.
    async fn refresh_slots(&self, generation: u64) -> Result<(), CallError> {
        let limit = self.settings.limits.connect;
        match timeout(limit, self.refresh_slots_since(generation)).await {
            Ok(refreshed) => refreshed,
            Err(_) => Err(unreachable("no node of the cluster has answered in time")),
        }
    }

    /// Asks all known nodes for the slot map, and takes the first answer. Does nothing if the map
    /// is already newer than this generation.
    async fn refresh_slots_since(&self, generation: u64) -> Result<(), CallError> {
        let _refresh = self.refresh.lock().await;
        if self.read_map().generation > generation {
            return Ok(());
        }
        let answers = self.known_nodes().into_iter().map(|(address, node)| {
            async move {
                let command = &Command::new("CLUSTER").arg("SLOTS");
                let call = ServerCall { command, retry: Retry::Idempotent, is_asking: false };
                let slots = parse_slots(node.call(&call).await?.reply, &address.0);
                slots.ok_or_else(|| unreachable("the node is not part of a cluster"))
            }
            .boxed()
        });
        let (slots, _) = future::select_ok(answers).await?;
        self.replace_slots(slots);
        Ok(())
    }

    /// The nodes of the slot map, and the seeds.
    fn known_nodes(&self) -> Vec<(NodeAddress, Arc<Node>)> {
        let mut map = self.write_map();
        for seed in &self.seeds {
            if let Address::Tcp { host, port } = &seed.address {
                map.node((Arc::clone(host), *port), self);
            }
        }
        map.nodes.iter().map(|(address, node)| (address.clone(), Arc::clone(node))).collect()
    }

    fn replace_slots(&self, ranges: Vec<SlotRange>) {
        let mut map = self.write_map();
        let mut new = SlotMap { generation: map.generation + 1, ..SlotMap::default() };
        new.slots = vec![None; SLOTS];
        for (first, last, address) in ranges {
            // A node that is known keeps its connections.
            let node = map.node(address.clone(), self);
            new.nodes.insert(address.clone(), node);
            new.slots[first..=last].fill(Some(address));
        }
        *map = new;
    }

    fn read_map(&self) -> RwLockReadGuard<'_, SlotMap> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_map(&self) -> RwLockWriteGuard<'_, SlotMap> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct SlotMap {
    nodes: HashMap<NodeAddress, Arc<Node>>,
    /// The master of each slot.
    slots: Vec<Option<NodeAddress>>,
    /// How often the map was refreshed.
    generation: u64,
}

/// Host and port.
type NodeAddress = (Arc<str>, u16);

/// The first and the last slot of a range, and the node that serves them.
type SlotRange = (usize, usize, NodeAddress);

const SLOTS: usize = 16_384;

impl SlotMap {
    /// The first slot of each range, and the node that serves it.
    fn ranges(&self) -> Vec<(usize, &NodeAddress)> {
        let mut ranges: Vec<(usize, &NodeAddress)> = Vec::new();
        for (slot, address) in self.slots.iter().enumerate() {
            let Some(address) = address else { continue };
            if ranges.last().is_none_or(|(_, last)| *last != address) {
                ranges.push((slot, address));
            }
        }
        ranges
    }

    fn node(&mut self, address: NodeAddress, cluster: &Cluster) -> Arc<Node> {
        let node = self.nodes.entry(address).or_insert_with_key(|(host, port)| {
            // All nodes have the credentials and the TLS of the first seed.
            let endpoint = cluster.seeds[0].at(host, *port);
            Arc::new(Node::new(ConnectTarget::Server(endpoint), &cluster.settings))
        });
        Arc::clone(node)
    }
}

fn unreachable(why: &'static str) -> CallError {
    CallError::Unreachable(io::Error::other(why).into())
}

/// The ranges of slots and their masters. The host of a node that does not know its host is the one
/// that was asked.
fn parse_slots(reply: Reply, asked: &Arc<str>) -> Option<Vec<SlotRange>> {
    let Reply::List(ranges) = reply else { return None };
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

/// The address in a redirection. An IPv6 address has colons too. A node that does not know the
/// other's host means the host that was asked.
fn parse_address(address: &str, asked: &Arc<str>) -> Option<NodeAddress> {
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { Arc::clone(asked) } else { host.into() };
    Some((host, port.parse().ok()?))
}

/// The slot of a key, by the specification of Redis Cluster.
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
    fn slots_follow_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3 % SLOTS);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn an_address_may_be_ipv6_or_lack_the_host() {
        let parse = |address| parse_address(address, &"asked".into());
        assert_eq!(parse("10.0.0.1:7000"), Some(("10.0.0.1".into(), 7000)));
        assert_eq!(parse("::1:7000"), Some(("::1".into(), 7000)));
        assert_eq!(parse(":7000"), Some(("asked".into(), 7000)));
        assert_eq!(parse("10.0.0.1"), None);
    }

    #[test]
    fn a_node_without_a_host_has_the_host_that_was_asked() {
        let node = |host| Reply::List(vec![host, Reply::Int(7000)]);
        let range = |host| Reply::List(vec![Reply::Int(0), Reply::Int(16_383), node(host)]);
        let asked: Arc<str> = "here".into();
        for (host, expected) in [
            (Reply::Null, "here"),
            (Reply::Text("".into()), "here"),
            (Reply::Text("there".into()), "there"),
        ] {
            let slots = parse_slots(Reply::List(vec![range(host)]), &asked);
            assert_eq!(slots, Some(vec![(0, 16_383, (expected.into(), 7000))]));
        }
        assert_eq!(parse_slots(Reply::Int(1), &asked), None);
    }
}
