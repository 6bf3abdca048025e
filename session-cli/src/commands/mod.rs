//! The commands, one in each file.

mod check;
mod copy;
mod count;
mod destroy;
mod list;
mod show;
mod sweep;

use std::process::ExitCode;

use crate::{
    any_store::AnyStore,
    args::{Args, Command},
    failure::Failure,
    find::Selection,
    open::{Purpose, open},
    output::Output,
    store_url::StoreUrl,
};

/// Carries out a command.
pub(crate) async fn run(args: &Args, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::List { field, limit } => {
            let selection = Selection::of(&[], field.field.as_ref(), field.scan)?;
            let store = store(args, Purpose::Read).await?;
            list::run(&store, &selection, *limit, args.store.max_age, output).await
        }
        Command::Show { which, values } => {
            let selection = Selection::of(&which.ids, which.field.as_ref(), which.scan)?;
            let store = store(args, Purpose::Read).await?;
            show::run(&store, &selection, *values, args.store.max_age, output).await
        }
        Command::Destroy { which, yes } => {
            let selection = Selection::of(&which.ids, which.field.as_ref(), which.scan)?;
            let url = store_url(args)?;
            destroy::run(&url, &args.store, &selection, *yes, output).await
        }
        Command::Sweep => sweep::run(&store(args, Purpose::Write).await?, output).await,
        Command::Count { field } => {
            let selection = Selection::of(&[], field.field.as_ref(), field.scan)?;
            count::run(&store(args, Purpose::Read).await?, &selection, output).await
        }
        Command::Check => check::run(&store(args, Purpose::ReadExpired).await?, output).await,
        Command::Copy { from, to, create, to_prefix, to_table, to_schema } => {
            let mut settings = args.store.clone();
            settings.prefix = to_prefix.clone().unwrap_or(settings.prefix);
            settings.table = to_table.clone().unwrap_or(settings.table);
            settings.schema = to_schema.clone().or(settings.schema);
            let purpose = if *create { Purpose::Create } else { Purpose::Write };
            let (from, to) = (from.url()?, to.url()?);
            let is_same = from == to
                && settings.prefix == args.store.prefix
                && settings.table == args.store.table
                && settings.schema == args.store.schema;
            if is_same {
                return Err(Failure::WrongUse(format!("both stores are {from}; name two")));
            }
            let from = open(&from, &args.store, Purpose::Read).await?;
            let to = open(&to, &settings, purpose).await?;
            copy::run(&from, &to, output).await
        }
    }
}

async fn store(args: &Args, purpose: Purpose) -> Result<AnyStore, Failure> {
    open(&store_url(args)?, &args.store, purpose).await
}

fn store_url(args: &Args) -> Result<StoreUrl, Failure> {
    match &args.store_url {
        Some(store) => store.url(),
        None => Err(Failure::WrongUse(
            "the store is missing; pass --store-url or set TYPED_SESSIONS_STORE, see --help".into(),
        )),
    }
}
