//! Fields of many kinds can be indexed, in structs of many kinds.

#![deny(warnings)]

use actix_typed_session::{IndexKey, MemoryStore, Session, Sessions};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

mod inner {
    use super::*;

    #[derive(Serialize, Deserialize, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Tenant {
        pub name: String,
    }

    #[derive(Session)]
    #[session(namespace = "account")]
    pub struct Account<T: Serialize + DeserializeOwned + Default> {
        #[session(index, privilege)]
        pub user: Option<T>,
        #[session(index, rename = "t", alias = "old", merge = "max")]
        pub(crate) tenant: Tenant,
        #[session(index, accessor = "order")]
        id: u32,
        #[session(index, default = Self::DEFAULT)]
        r#type: u8,
    }

    impl<T: Serialize + DeserializeOwned + Default> Account<T> {
        const DEFAULT: u8 = 3;
    }

    pub fn private() -> [IndexKey<Account<String>>; 2] {
        [Account::by_order(&1), Account::by_type(&2)]
    }
}

fn main() {
    let sessions = Sessions::<inner::Account<String>>::new(MemoryStore::new());
    let _: IndexKey<inner::Account<String>> = inner::Account::by_user(&Some("ann".to_owned()));
    let _ = inner::Account::<String>::by_tenant(&inner::Tenant::default());
    let [order, kind] = inner::private();
    drop((sessions.destroy_all(&order), sessions.destroy_all(&kind)));
}
