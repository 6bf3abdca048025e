//! Watches a server process for as long as it is under load, and disturbs its Redis.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use actix_typed_session_tests::servers::RedisServer;

/// What a process holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    pub(crate) memory_kib: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
    /// To Redis, as Redis counts them.
    pub(crate) connections: u64,
}

impl Holds {
    pub(crate) fn of(process: u32, redis: Option<&RedisServer>) -> Self {
        let status =
            fs::read_to_string(format!("/proc/{process}/status")).expect("the server runs");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.expect("the kernel tells it")
        };
        let files = fs::read_dir(format!("/proc/{process}/fd")).expect("the server runs").count();
        let clients = redis.and_then(|redis| redis.info("clients", "connected_clients"));
        // One of them is the one that asks.
        let connections = clients.and_then(|n| n.trim().parse::<u64>().ok()).map_or(0, |n| n - 1);
        Self {
            memory_kib: number("VmRSS:"),
            files: files as u64,
            threads: number("Threads:"),
            connections,
        }
    }
}

/// What came of watching.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// One a second.
    pub(crate) holds: Vec<Holds>,
    pub(crate) restarts: u64,
    pub(crate) kills: u64,
}

/// Watches for a time. Redis is killed and started again once in the interval, and in the middle
/// of it all its connections are broken; at the end it is killed once more.
pub(crate) fn watch(
    process: u32,
    mut redis: Option<&mut RedisServer>,
    interval: Duration,
    until: Instant,
) -> Watched {
    let mut watched = Watched::default();
    let mut next = Instant::now() + interval / 2;
    while Instant::now() < until {
        thread::sleep(Duration::from_secs(1));
        watched.holds.push(Holds::of(process, redis.as_deref()));
        let Some(redis) = redis.as_deref_mut() else { continue };
        if Instant::now() < next {
            continue;
        }
        next += interval / 2;
        if watched.kills > watched.restarts {
            restart(redis);
            watched.restarts += 1;
        } else {
            redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
            watched.kills += 1;
        }
    }
    if let Some(redis) = redis {
        restart(redis);
        watched.restarts += 1;
    }
    watched
}

fn restart(redis: &mut RedisServer) {
    redis.kill();
    // Long enough for requests to find it away.
    thread::sleep(Duration::from_millis(700));
    redis.restart();
}

/// What is held is as much at the end as it was after the beginning.
///
/// The medians of the second and of the last fifth of the time are compared: by the second, the
/// sessions that begin and end are as many as they get, and a median leaves out what a restart or a
/// sweep does for a moment. Memory may be 5 % or 4 MiB more, whichever is more: an allocator keeps
/// what a burst took, and a leak of a few bytes a request would be a hundred times that. Threads
/// and files under load follow the requests that are under way, and are compared when there are
/// none.
pub(crate) fn memory(holds: &[Holds]) -> Result<(u64, u64), (u64, u64)> {
    let fifth = holds.len() / 5;
    let median = |part: &[Holds]| {
        let mut part: Vec<u64> = part.iter().map(|holds| holds.memory_kib).collect();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or_default()
    };
    let (begin, end) = (median(&holds[fifth..2 * fifth]), median(&holds[4 * fifth..]));
    let is_flat = end <= begin + (begin / 20).max(4 * 1024);
    if is_flat { Ok((begin, end)) } else { Err((begin, end)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_all_the_time_is_not_flat_and_a_moment_is_none() {
        let held = |kib: fn(u64) -> u64| -> Vec<Holds> {
            (0..100).map(|n| Holds { memory_kib: kib(n), ..Holds::default() }).collect()
        };
        assert_eq!(memory(&held(|n| 50_000 + 100 * n)), Err((53_000, 59_000)));
        assert_eq!(memory(&held(|n| if n == 90 { 90_000 } else { 50_000 })), Ok((50_000, 50_000)));
        assert_eq!(memory(&held(|n| 10_000 + 10 * n)), Ok((10_300, 10_900)));
    }
}
