//! What the shop sells, and what it has sold.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::users::UserId;

pub type ProductId = u32;

pub struct Product {
    pub id: ProductId,
    pub name: &'static str,
    pub cents: u32,
    /// The picture: the paths of an SVG of 48 by 48.
    pub picture: &'static str,
}

pub const PRODUCTS: [Product; 6] = [
    Product {
        id: 1,
        name: "Mug",
        cents: 1_200,
        picture: "M11 14h20v19a5 5 0 0 1-5 5H16a5 5 0 0 1-5-5zM31 18h3a5 5 0 0 1 0 11h-3",
    },
    Product {
        id: 2,
        name: "Desk lamp",
        cents: 5_900,
        picture: "M12 40h16M20 40V26l-6-8 10-9M19 14l8-8 8 12-6-1-5 5z",
    },
    Product {
        id: 3,
        name: "Chair",
        cents: 12_900,
        picture: "M15 7v22h18V7M15 14h18M15 29v12M33 29v12M15 35h18",
    },
    Product {
        id: 4,
        name: "Plant",
        cents: 1_900,
        picture: "M14 31h20l-3 11H17zM24 31V17M24 24c-9 0-11-6-11-11 7 0 11 4 11 11zM24 18c0-7 4-11 \
                  11-11 0 6-3 11-11 11z",
    },
    Product {
        id: 5,
        name: "Notebook",
        cents: 800,
        picture: "M13 7h20a3 3 0 0 1 3 3v28a3 3 0 0 1-3 3H13zM18 7v34M23 15h8M23 21h8",
    },
    Product {
        id: 6,
        name: "Kettle",
        cents: 4_500,
        picture: "M13 20h20l3 20H10zM17 20c0-4 12-4 12 0M23 17v-3M33 22c7 0 7 12 2 12M12 27l-6-5",
    },
];

pub fn product(id: ProductId) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}

/// The price of all items.
pub fn total(items: &BTreeMap<ProductId, u32>) -> u64 {
    let prices = items.iter().filter_map(|(id, count)| Some((product(*id)?.cents, *count)));
    prices.map(|(cents, count)| u64::from(cents) * u64::from(count)).sum()
}

pub fn euros(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

#[derive(Clone)]
pub struct Order {
    pub user: UserId,
    pub name: String,
    pub cents: u64,
}

/// All orders. In reality a database.
#[derive(Default)]
pub struct Orders(Mutex<Vec<Order>>);

impl Orders {
    pub fn add(&self, order: Order) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(order);
    }

    pub fn all(&self) -> Vec<Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
