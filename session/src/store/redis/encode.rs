//! Records and patches as the arguments of the scripts.

use crate::{
    id::StoreKey,
    record::{Change, ExpiryChange, Grace, Index, Number, OldIdReads, Patch, Record, Retired},
    store::session_store::TouchRule,
    time::whole_ms,
};

use super::{
    client::Args,
    layout::{
        CREATED, EXPIRES, INDEX, METADATA, RETIRED, VERSION, created_text, escape, limits_text,
        retired_text,
    },
    script::{self, Script},
};

/// The arguments that store a record: its hash, which begins with when it expires.
pub(super) fn record_args(record: &Record) -> Args {
    let mut args = Args::default();
    args.push(EXPIRES);
    args.push_number(record.expires_at().as_unix_ms());
    args.push(VERSION);
    args.push_number(record.version());
    args.push(CREATED);
    args.push(created_text(record.created_at(), record.limits()));
    if let Some(retired) = &record.retired {
        args.push(RETIRED);
        args.push(retired_text(retired));
    }
    if let Some(index) = record.index() {
        args.push(INDEX);
        args.push(index_bytes(index));
    }
    for (name, json) in record.fields() {
        args.push(&*escape(name));
        args.push(json.get());
    }
    args
}

/// The script and the arguments for a patch that only changes fields, as most patches do. `None`:
/// it does more, or changes too many.
pub(super) fn change_args(patch: &Patch) -> Option<(&'static Script, Args)> {
    let counts = count_changes(patch)?;
    if let (1, Some((name, Change::Add { from: Number::Int(0), by: by @ Number::Int(_) }))) =
        (counts.all, patch.changes().next())
    {
        let mut args = Args::default();
        args.push(&*escape(name));
        args.push(by.to_json().get());
        return Some((&script::ADD, args));
    }
    if counts.adds + counts.removals == 0 {
        let mut args = Args::default();
        push_sets(&mut args, patch);
        return Some((&script::SET, args));
    }
    Some((&script::CHANGE, general_args(patch, &counts, 1)))
}

/// The arguments of [`CHANGE`](script::CHANGE) for a patch that stands for `count` patches. `None`:
/// it changes too many fields.
pub(super) fn combined_args(patch: &Patch, count: u64) -> Option<Args> {
    Some(general_args(patch, &count_changes(patch)?, count))
}

/// How many fields a patch changes, and how.
struct Counts {
    all: usize,
    adds: u64,
    removals: u64,
}

/// Counts the changes of a patch. `None`: it does more than that, or changes too many fields.
fn count_changes(patch: &Patch) -> Option<Counts> {
    /// The most fields that one command of a script can change.
    const MAX_FIELDS: usize = 1_000;

    let is_plain = patch.expected_version().is_none()
        && patch.reset_at().is_none()
        && patch.limits().is_none()
        && patch.expiry().is_none()
        && patch.index().is_none();
    let mut counts = Counts { all: 0, adds: 0, removals: 0 };
    for (_, change) in patch.changes() {
        counts.all += 1;
        match change {
            Change::Add { .. } => counts.adds += 1,
            Change::Remove => counts.removals += 1,
            Change::Set(_) => {}
        }
    }
    (is_plain && (1..=MAX_FIELDS).contains(&counts.all)).then_some(counts)
}

fn general_args(patch: &Patch, counts: &Counts, count: u64) -> Args {
    let mut args = Args::default();
    args.push_number(counts.adds);
    args.push_number(counts.removals);
    args.push_number(count);
    push_sums_and_removals(&mut args, patch);
    push_sets(&mut args, patch);
    args
}

fn push_sets(args: &mut Args, patch: &Patch) {
    for (name, change) in patch.changes() {
        if let Change::Set(json) = change {
            args.push(&*escape(name));
            args.push(json.get());
        }
    }
}

/// The names to add to, then the differences, then what absent fields become; names to remove.
fn push_sums_and_removals(args: &mut Args, patch: &Patch) {
    let sums = || {
        patch.changes().filter_map(|(name, change)| match change {
            Change::Add { from, by } => Some((name, *from, *by)),
            _ => None,
        })
    };
    sums().for_each(|(name, ..)| args.push(&*escape(name)));
    sums().for_each(|(_, _, by)| args.push(by.to_json().get()));
    sums().for_each(|(_, from, by)| args.push(from.saturating_add(by).to_json().get()));
    for (name, change) in patch.changes() {
        if matches!(change, Change::Remove) {
            args.push(&*escape(name));
        }
    }
}

/// The arguments that apply a patch: its head, then its changes.
pub(super) fn patch_args(patch: &Patch) -> Args {
    let mut args = Args::default();
    args.push(patch_head(patch));
    push_changes(&mut args, patch);
    args
}

/// The arguments that renew a session: the head of the patch, those of [`push_grace`], then the
/// changes.
pub(super) fn rotate_args(patch: &Patch, grace: Grace, successor: &StoreKey) -> Args {
    let mut args = Args::default();
    args.push(patch_head(patch));
    push_grace(&mut args, grace, successor);
    push_changes(&mut args, patch);
    args
}

/// The first four of [`rotate_args`], for a patch that only expects this version.
pub(super) fn retire_args(version: u64, grace: Grace, successor: &StoreKey) -> Args {
    let mut args = Args::default();
    args.push(format!("v{version}"));
    push_grace(&mut args, grace, successor);
    args
}

/// The arguments that extend a session when it is loaded: the time, and the middleware's limits.
pub(super) fn touch_args(touch: &TouchRule) -> Args {
    let TouchRule { lifetimes, now } = touch;
    let mut args = Args::default();
    args.push_number(now.as_unix_ms());
    let limits = [Some(lifetimes.idle), Some(lifetimes.absolute), lifetimes.touch_interval];
    limits.into_iter().flatten().for_each(|limit| args.push_number(whole_ms(limit)));
    args
}

/// The names in the hash of the metadata and of the wanted fields.
pub(super) fn field_names(wanted: &[&str]) -> Args {
    let mut args = Args::default();
    METADATA.iter().for_each(|name| args.push(name));
    wanted.iter().for_each(|name| args.push(&*escape(name)));
    args
}

/// What a patch does besides its changes: tokens of a letter and a value.
///
/// What the patch lacks takes no bytes, because each update sends the head.
fn patch_head(patch: &Patch) -> String {
    let mut tokens = Vec::new();
    if let Some(version) = patch.expected_version() {
        tokens.push(format!("v{version}"));
    }
    if let Some(created_at) = patch.reset_at() {
        tokens.push(format!("a{}", created_at.as_unix_ms()));
    }
    if let Some(limits) = patch.limits() {
        tokens.push(format!("l{}", limits_text(limits)));
    }
    match patch.expiry() {
        None => {}
        Some(ExpiryChange::ExtendTo(at)) => tokens.push(format!("x{}", at.as_unix_ms())),
        Some(ExpiryChange::Set(at)) => tokens.push(format!("s{}", at.as_unix_ms())),
    }
    tokens.join(" ")
}

/// The changes of a patch: `=name value`, `-name`, `+name by first`, and `*` with the bytes of an
/// index. `first` is what an absent field becomes.
fn push_changes(args: &mut Args, patch: &Patch) {
    if let Some(index) = patch.index() {
        args.push([b"*".as_slice(), &index_bytes(index)].concat());
    }
    for (name, change) in patch.changes() {
        let name = escape(name);
        match change {
            Change::Set(json) => {
                args.push(format!("={name}"));
                args.push(json.get());
            }
            Change::Remove => args.push(format!("-{name}")),
            Change::Add { from, by } => {
                args.push(format!("+{name}"));
                args.push(by.to_json().get());
                args.push(from.saturating_add(*by).to_json().get());
            }
        }
    }
}

/// When the grace period ends, `@r` of the retired record, and what `@r` would be with the other
/// kind of grace period. A script recognises by either that it has done this before.
fn push_grace(args: &mut Args, grace: Grace, successor: &StoreKey) {
    args.push_number(grace.until.as_unix_ms());
    let readable = retired_text(&Retired::Readable { successor: *successor });
    let hidden = retired_text(&Retired::Hidden { digest: Some(successor.digest()) });
    let (retired, other) = match grace.old_id {
        OldIdReads::Snapshot => (readable, hidden),
        OldIdReads::Nothing => (hidden, readable),
    };
    args.push(retired);
    args.push(other);
}

fn index_bytes(index: &Index) -> Vec<u8> {
    let mut bytes = index.public_id().to_bytes().to_vec();
    let names: Vec<_> = index.names().map(escape).collect();
    // OK because the name of an indexed field has no line break.
    bytes.extend_from_slice(names.join("\n").as_bytes());
    bytes
}
