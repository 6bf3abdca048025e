//! The Lua scripts: each call of the store that looks before it writes is one of them, so that nothing
//! comes in between.
//!
//! A script never reads the JSON of a field, because Redis' cjson turns `[]` into `{}` and rounds large
//! numbers. It moves texts, and adds to numbers.

use std::sync::LazyLock;

use sha1::{Digest as _, Sha1};

use super::client::{Args, Command};

/// A script, which servers know by its hash once they have seen it.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, hash }
    }

    /// The call of the script by its hash.
    pub(super) fn by_hash(&self, keys: &[&str], arguments: &Args) -> Command {
        Self::call("EVALSHA", &self.hash, keys, arguments)
    }

    /// The call of the script by its text, for a server that does not know it.
    pub(super) fn by_text(&self, keys: &[&str], arguments: &Args) -> Command {
        Self::call("EVAL", self.text, keys, arguments)
    }

    fn call(verb: &str, script: &str, keys: &[&str], arguments: &Args) -> Command {
        let mut names = Args::default();
        names.push_number(keys.len() as u64);
        keys.iter().for_each(|key| names.push(key));
        Command::new(verb).arg(script).args(&names).args(arguments)
    }
}

/// Stores a new session. `ARGV`: when it expires, then the hash.
pub(super) static CREATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/create.lua"),))
});

/// [`CREATE`] for a session of which fields are indexed.
pub(super) static CREATE_INDEXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index.lua"),
        include_str!("lua/indexed.lua"),
        include_str!("lua/create.lua"),
    ))
});

/// Stores a session whatever is under the key. `ARGV` as for [`CREATE`].
pub(super) static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/replace.lua"),))
});

/// Loads a session and extends it, if that is worth it. `ARGV`: the time now, the idle time, the absolute
/// lifetime, and the least that must be won; if that is not given, it is 1/60 of the idle time.
pub(super) static LOAD_AND_TOUCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/load_and_touch.lua"),))
});

/// Applies a patch. `ARGV`: its head, then its changes. The answer -2 is: the session is found by one of the fields, so
/// its sets must change too, and nothing was done.
pub(super) static UPDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/known.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/update.lua"),
    ))
});

/// [`UPDATE`] for whoever changes the sets himself.
pub(super) static UPDATE_ALONE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/update.lua"),
    ))
});

/// [`UPDATE`] for a patch that changes indexed fields.
pub(super) static UPDATE_INDEXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index.lua"),
        include_str!("lua/indexed.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/update.lua"),
    ))
});

/// Sets fields, and changes nothing else: what most updates do, in half the time of [`UPDATE`]. `ARGV`: names
/// and values. The answer -2 is as there.
pub(super) static SET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "local is_known_by\n",
        include_str!("lua/known.lua"),
        include_str!("lua/set.lua"),
    ))
});

/// Extends a session. `ARGV`: until when.
pub(super) static TOUCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/touch.lua"),))
});

/// Ends a session and what it was renewed into, and tells that. `ARGV`: the prefix of all keys.
pub(super) static DESTROY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index.lua"),
        include_str!("lua/indexed.lua"),
        include_str!("lua/destroy.lua"),
    ))
});

/// Ends a session; if it was renewed, leaves it and tells into which; if it was indexed, tells by which values.
/// For a cluster, where one script reaches one key.
pub(super) static DESTROY_ALONE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/destroy_alone.lua")));

/// Moves a session to another key. `ARGV`: the head of the patch, the end of the grace period, the
/// successor as the old record tells it, then the changes.
pub(super) static ROTATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index.lua"),
        include_str!("lua/indexed.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/retire.lua"),
        include_str!("lua/rotate.lua"),
    ))
});

/// Retires a session of one version. `ARGV`: as the first three of [`ROTATE`].
pub(super) static RETIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/retire.lua"),
        include_str!("lua/retire_alone.lua"),
    ))
});

/// Puts a session into the set of those with a value, and tells whether it is new there. `ARGV`: its place.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/index.lua"), include_str!("lua/enter.lua"),))
});

/// Takes a session out of the set of those with a value. `ARGV`: its place.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/index.lua"), include_str!("lua/leave.lua"),))
});

/// The sessions with a value. `ARGV`: where to begin, and how many.
pub(super) static FIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/index.lua"), include_str!("lua/find.lua"),))
});
