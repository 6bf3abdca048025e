//! Sessions in files: the default store.
//!
//! A session is the file `<folder>/<first two digits of its key>/<the other digits>`. A write
//! replaces the file as a whole, so reads need no lock. On Linux, a session that is in the system's
//! memory is read on the caller's thread; all else runs on threads that may block. A write holds
//! the lock of the subfolder, which excludes other threads and other processes. Patches of this
//! process that wait for one session become one write. `<folder>/damaged` keeps files that are not
//! valid sessions.
//!
//! On Linux, a write exchanges the file with a spare one, and the old file is erased and used
//! again, because creating and deleting files is most of what a write costs. A reader that is slow
//! may find the file erased or in use for another session. So each file ends with a digest of its
//! session's key and its record, and what seems to be damaged or to have expired is read again with
//! the lock.
//!
//! The expiry is stored twice: in the record, and as the file's modification time. The later one
//! counts. So a touch only sets the time and writes no data, and the sweep reads no data. A backup
//! that loses the times loses no session; it only undoes touches.
//!
//! The index has a folder per value of an indexed field, with an empty file per session.

mod access;
#[cfg(target_os = "linux")]
mod at_once;
mod builder;
mod calls;
mod check;
mod combine;
mod content;
mod damaged;
mod durability;
mod file_system;
mod find;
#[cfg(test)]
mod fixture;
mod folder;
mod index;
mod index_lock;
mod list;
mod lock;
mod owner;
mod reading;
mod session_path;
mod spare;
mod store;
mod sweep;

pub use {builder::FileStoreBuilder, durability::Durability, store::FileStore};
