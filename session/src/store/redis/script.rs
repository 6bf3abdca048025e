//! The Lua scripts. Each call of the store that reads before it writes is one script, so that no
//! other command runs between the two.
//!
//! A script never parses the JSON of a field, because the cjson of Redis turns `[]` into `{}` and
//! rounds large numbers. It moves strings, and adds to numbers.

use std::sync::LazyLock;

use sha1::{Digest as _, Sha1};

use super::client::{Args, Command};

/// A script. A server runs it by its hash once it has received the text.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, hash }
    }

    /// The command that runs the script by its hash.
    pub(super) fn by_hash(&self, keys: &[&str], args: &Args) -> Command {
        Self::call("EVALSHA", &self.hash, keys, args)
    }

    /// The command that runs the script by its text, for a server that does not have it yet.
    pub(super) fn by_text(&self, keys: &[&str], args: &Args) -> Command {
        Self::call("EVAL", self.text, keys, args)
    }

    fn call(verb: &str, script: &str, keys: &[&str], args: &Args) -> Command {
        let mut names = Args::default();
        names.push_number(keys.len() as u64);
        keys.iter().for_each(|key| names.push(key));
        Command::new(verb).arg(script).args(&names).args(args)
    }
}

/// Stores a new session. `ARGV`: the hash, which begins with when it expires. Returns the server's
/// time, 0 if the key is taken, or -1 if the session has ended by that time.
pub(super) static CREATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/create.lua"),))
});

/// [`CREATE`] for a session with indexed fields.
pub(super) static CREATE_INDEXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index_set.lua"),
        include_str!("lua/index_session.lua"),
        include_str!("lua/create.lua"),
    ))
});

/// Stores a session in place of anything under the key. `ARGV`: as for [`CREATE`].
pub(super) static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/replace.lua"),))
});

/// Loads a session, and extends it if that is worth a write. `ARGV`: the current time, the idle
/// time, the absolute lifetime, and the least extension that is worth a write. The last one
/// defaults to 1/60 of the idle time. All in ms.
pub(super) static LOAD_AND_TOUCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/load_and_touch.lua"),))
});

/// Applies a patch. `ARGV`: its head, then its changes. Returns -2 and does nothing if one of the
/// fields is indexed, so that the index must change too; -3 if the session would have ended by the
/// server's time.
pub(super) static UPDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/is_indexed_by.lua"),
        include_str!("lua/number.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/update.lua"),
    ))
});

/// [`UPDATE`] for a caller that changes the index separately.
pub(super) static UPDATE_ALONE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/number.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/update.lua"),
    ))
});

/// [`UPDATE`] for a patch that changes indexed fields.
pub(super) static UPDATE_INDEXED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index_set.lua"),
        include_str!("lua/index_session.lua"),
        include_str!("lua/number.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/update.lua"),
    ))
});

/// Sets fields and does nothing else, as most updates do. `ARGV`:
/// names and values. Returns -2 as [`UPDATE`] does.
pub(super) static SET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "local is_indexed_by\n",
        include_str!("lua/is_indexed_by.lua"),
        include_str!("lua/set.lua"),
    ))
});

/// The functions of `number.lua`, for scripts that rarely need them.
macro_rules! numbers {
    () => {
        concat!(
            "local is_indexed_by\n",
            include_str!("lua/is_indexed_by.lua"),
            "local function numbers()\n",
            include_str!("lua/number.lua"),
            "return sum\nend\n",
        )
    };
}

/// Adds a whole number to one field and does nothing else. `ARGV`: the name and the number, which
/// an absent field becomes. Returns -2 as [`UPDATE`] does.
pub(super) static ADD: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(numbers!(), include_str!("lua/add.lua"))));

/// Adds to fields, removes some and sets others, and does nothing else. `ARGV`: how many it adds to
/// and removes, and how many patches it stands for; names to add to, differences, and what absent
/// fields become; names to remove; names and values to set. Returns -2 as [`UPDATE`] does; -4 and
/// does nothing if it stands for several patches whose sum would not be exact.
pub(super) static CHANGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(numbers!(), include_str!("lua/change.lua"))));

/// Extends a session. `ARGV`: when it expires then.
pub(super) static TOUCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/common.lua"), include_str!("lua/touch.lua"),))
});

/// Destroys a session and its successors, and returns the names of their keys. `ARGV`: the prefix
/// of all keys.
pub(super) static DESTROY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index_set.lua"),
        include_str!("lua/index_session.lua"),
        include_str!("lua/destroy.lua"),
    ))
});

/// Destroys a session, for a cluster, where a script reaches one slot. If the session was renewed,
/// it does nothing and returns the successor. If it was indexed, it returns the values.
pub(super) static DESTROY_ALONE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/destroy_alone.lua")));

/// Moves a session to another key. `ARGV`: the head of the patch, when the grace period ends, `@r`
/// of the old record, what `@r` could be instead, then the changes. If this was done before, it
/// only returns the version again.
pub(super) static ROTATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/index_set.lua"),
        include_str!("lua/index_session.lua"),
        include_str!("lua/number.lua"),
        include_str!("lua/patch.lua"),
        include_str!("lua/retire.lua"),
        include_str!("lua/rotate.lua"),
    ))
});

/// Retires a session if it has a version. `ARGV`: the first four of [`ROTATE`]. Returns 2 if this
/// was done before.
pub(super) static RETIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/common.lua"),
        include_str!("lua/retire.lua"),
        include_str!("lua/retire_alone.lua"),
    ))
});

/// Adds a session to the set of a value. Returns 1 if the set did not have it. `ARGV`: the member.
pub(super) static ADD_TO_INDEX: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("lua/index_set.lua"), include_str!("lua/add_to_index.lua"),))
});

/// Removes a session from the set of a value. Returns 1 if the set had it. `ARGV`: the member.
pub(super) static REMOVE_FROM_INDEX: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/index_set.lua"),
        include_str!("lua/remove_from_index.lua"),
    ))
});

/// The time, and the members of the set of a value. `ARGV`: where to begin, and how many.
pub(super) static FIND: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/find.lua")));

/// Takes the lock of a value, unless someone else has it. Returns 1 if it is taken. `ARGV`: a text
/// that names the owner, and after how many ms the lock is free again.
pub(super) static LOCK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/lock.lua")));

/// Frees the lock of a value, if this owner has it. `ARGV`: the text that names the owner.
pub(super) static UNLOCK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/unlock.lua")));
