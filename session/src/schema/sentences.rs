//! What each fault means for the sessions that are stored, and what to do.

use std::fmt;

use super::{declared::StoredField, json::Json, pairs::Found};

/// A field of this release, as in `Visitor::cart`.
pub(super) struct Subject<'a> {
    found: Found<'a>,
}

impl<'a> Subject<'a> {
    pub(super) fn of(found: Found<'a>) -> Self {
        Self { found }
    }

    /// What happens to a session whose value does not decode.
    fn consequence(&self) -> &'static str {
        let Found { of, field, .. } = self.found;
        if field.lenient {
            "Such a value reads as the default"
        } else if of.stored.strict {
            "The extraction of such a session fails"
        } else if field.privilege {
            "All of the struct reads as fresh in such a session"
        } else {
            "Such a value reads as the default"
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}::{}`", self.found.of.name, self.found.field.field)
    }
}

pub(super) fn struct_is_gone(name: &str) -> String {
    format!(
        "`{name}` is not checked any more, so what it has stored is not read. If the struct still \
         exists, add it to this check; its file describes all structs of one check."
    )
}

/// `new` is the field that has taken the place of one that is gone, and whether it would read the
/// stored values.
pub(super) fn field_is_gone(
    name: &str,
    stored: &str,
    old: &StoredField,
    new: Option<(Found<'_>, bool)>,
) -> String {
    let Some((new, reads)) = new else {
        return format!(
            "`{name}::{}` is gone, so the values that are stored as `{stored}` are lost. If the \
             field has another name now, write `#[session(alias = \"{stored}\")]` above it.",
            old.field,
        );
    };
    let subject = Subject::of(new);
    if new.field.field == old.field && !reads {
        return format!(
            "{subject} is stored as `{}`, and no longer as `{stored}`. Its type does not read the \
             values that are stored as `{stored}`, so they are lost.",
            new.stored,
        );
    }
    if new.field.field == old.field {
        return format!(
            "{subject} is stored as `{}`, and no longer as `{stored}`, so the stored values are \
             lost. Write `#[session(alias = \"{stored}\")]` above it.",
            new.stored,
        );
    }
    format!(
        "`{name}::{}` is gone, so the values that are stored as `{stored}` are lost. {subject} is \
         new and has the same type. If it is the same field, write `#[session(alias = \
         \"{stored}\")]` above it.",
        old.field,
    )
}

pub(super) fn alias_is_gone(subject: &Subject<'_>, alias: &str) -> String {
    format!(
        "{subject} has lost its alias `{alias}`, so values that an earlier release has stored \
         under it are lost. Keep `#[session(alias = \"{alias}\")]` until no session of that time \
         is left."
    )
}

pub(super) fn unreadable(
    subject: &Subject<'_>,
    old: &StoredField,
    example: &Json,
    problem: &str,
) -> String {
    let new = subject.found.field;
    let change = match (old.form(), new.form()) {
        (before, now) if before == now => format!("the type {now} has changed"),
        (before, now) => format!("its type was {before} and is {now}"),
    };
    format!(
        "{subject} does not read what an earlier release has stored: {change}, and {example} \
         {problem}. {}. Let the type read both forms, for example with `#[serde(default)]` or \
         `#[serde(alias = \"…\")]` in it, or store the field under another name.",
        subject.consequence(),
    )
}

pub(super) fn other_type(subject: &Subject<'_>, old: &StoredField) -> String {
    format!(
        "The type of {subject} was {} and is {}, and no example shows whether it reads all earlier \
         values. If it does, accept the change. Samples of the earlier type show it: see \
         `check_stored_schema_with`.",
        old.form(),
        subject.found.field.form(),
    )
}

pub(super) fn merge(subject: &Subject<'_>, before: &str, now: &str) -> String {
    let meaning = match (before, now) {
        ("add", _) => {
            "Concurrent additions do not add up any more, and a stored sum outside the field's \
             type does not decode"
        }
        (_, "add") => {
            "A stored value that is not a number does not decode, and an assignment adds the \
             difference"
        }
        ("flash", _) | (_, "flash") => {
            "Messages are stored with ids and other values are not, so what is stored does not \
             decode"
        }
        ("union", "last_write") => "Of two concurrent changes, the earlier one is lost",
        ("reject", _) => "A concurrent change is not refused any more",
        (_, "reject") => "A concurrent change fails with 409",
        _ => "Concurrent changes have another result",
    };
    format!(
        "The merge rule of {subject} was `{before}` and is `{now}`. {meaning}. Until the earlier \
         release has stopped, each release follows its own rule."
    )
}

pub(super) fn ttl(subject: &Subject<'_>, has_ttl: bool) -> String {
    match has_ttl {
        true => format!(
            "{subject} has a `ttl` now. Stored values have no end, so they read as the default."
        ),
        false => format!(
            "{subject} has no `ttl` any more. Values that are stored with their end do not decode. \
             {}.",
            subject.consequence(),
        ),
    }
}

pub(super) fn privilege(subject: &Subject<'_>, is_privilege: bool) -> String {
    match is_privilege {
        true => format!(
            "{subject} is a `privilege` now. If its stored value does not decode, all of the \
             struct reads as fresh, and a change renews the session's id."
        ),
        false => format!(
            "{subject} is not a `privilege` any more. A change does not renew the session's id, so \
             an id from before a login is valid after it."
        ),
    }
}

pub(super) fn index(subject: &Subject<'_>, is_indexed: bool) -> String {
    match is_indexed {
        true => format!(
            "{subject} is an `index` now. `Sessions` does not find a stored session by it until \
             the session writes the field, so logging a user out everywhere misses it."
        ),
        false => format!("{subject} is not an `index` any more. No session is found by it."),
    }
}

pub(super) fn lenient(subject: &Subject<'_>, is_lenient: bool) -> String {
    match is_lenient {
        true => format!(
            "{subject} is `lenient` now. A value that does not decode resets this field alone."
        ),
        false => format!(
            "{subject} is not `lenient` any more. A value that does not decode counts. {}.",
            subject.consequence(),
        ),
    }
}

pub(super) fn default(subject: &Subject<'_>, before: &Json, now: &Json) -> String {
    format!(
        "The default of {subject} was {before} and is {now}. A session that has the default stores \
         nothing, so it reads as the new one, also if the visitor chose the earlier one."
    )
}

pub(super) fn strict(name: &str, is_strict: bool) -> String {
    match is_strict {
        true => format!(
            "`{name}` is `strict` now. The extraction of a session with a value that does not \
             decode fails, where it gave the default before."
        ),
        false => format!(
            "`{name}` is not `strict` any more. A value that does not decode reads as the default, \
             where the extraction failed before."
        ),
    }
}

pub(super) fn cookie(name: &str, before: Option<&str>, now: &Option<String>) -> String {
    let session = |cookie: Option<&str>| match cookie {
        Some(cookie) => format!("the session of the cookie `{cookie}`"),
        None => "the innermost session".to_owned(),
    };
    format!(
        "`{name}` was a part of {} and is a part of {} now. If these are two sessions, what is \
         stored in the former is not read.",
        session(before),
        session(now.as_deref()),
    )
}

pub(super) fn reused(subject: &Subject<'_>, stored: &str, problem: &str) -> String {
    format!(
        "{subject} reads the name `{stored}`, under which sessions may still have values of a \
         field that was removed: {problem} Choose another name with `#[session(rename = \
         \"…\")]`. If no session of that time is left, delete `{stored}` from `removed` in the \
         file."
    )
}

pub(super) fn same_name(name: &str) -> String {
    format!("Two structs of this check are called `{name}`. Check them in two files.")
}

pub(super) fn shared(
    (one, other): (&Subject<'_>, &Subject<'_>),
    stored: &str,
    difference: &str,
) -> String {
    format!(
        "{one} and {other} are both stored as `{stored}`, but {difference}. Declare both alike, or \
         keep them apart with `#[session(namespace = \"…\")]`."
    )
}

pub(super) fn shared_alias((one, other): (&Subject<'_>, &Subject<'_>)) -> String {
    format!(
        "{one} and {other} share a name, which is an alias for one of them. A write of that field \
         removes what the other one has stored. Give the same name and aliases to both."
    )
}
