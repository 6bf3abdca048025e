//! The users, with hashed passwords. In reality a database.

use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::web;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

pub type UserId = u32;

#[derive(Clone)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub is_admin: bool,
    /// `None`: the user logs in at another site.
    hash: Option<String>,
}

pub struct Users(Mutex<Vec<User>>);

/// The hash of `open sesame`.
const OPEN_SESAME: &str = "$argon2id$v=19$m=19456,t=2,p=1$t4mjDQgNz3wA8nxxuf0MYg$\
    WbEXNMqj3snj5iw9288k+jODcJ8i5H3B1t5X4tz7Y5U";

impl Users {
    /// Two customers and an administrator, with one password.
    pub fn new() -> Self {
        let user = |(id, name): (UserId, &str)| User {
            id,
            name: name.to_owned(),
            is_admin: name == "root",
            hash: Some(OPEN_SESAME.to_owned()),
        };
        Self(Mutex::new([(1, "ann"), (2, "bob"), (3, "root")].map(user).to_vec()))
    }

    /// The user with this name, if the password is right. A real site also limits how often a name
    /// can be tried.
    pub async fn check(&self, name: &str, password: &str) -> Option<User> {
        let user = self.all().iter().find(|user| user.name == name).cloned();
        let hash = user.as_ref().and_then(|user| user.hash.clone());
        let is_known = hash.is_some();
        // An unknown name takes as long as a wrong password, so a guesser learns no names.
        let hash = hash.unwrap_or_else(|| OPEN_SESAME.to_owned());
        let password = password.to_owned();
        // It takes a while, on purpose, so it must not hold up other requests.
        let fits = web::block(move || fits(&password, &hash)).await.unwrap_or(false);
        user.filter(|_| is_known && fits)
    }

    pub async fn set_password(&self, id: UserId, password: &str) {
        let password = password.to_owned();
        let hash = web::block(move || hash(&password)).await.expect("threads outlive requests");
        if let Some(user) = self.all().iter_mut().find(|user| user.id == id) {
            user.hash = Some(hash);
        }
    }

    /// The user whom another site calls so. At the first time, one is added.
    pub fn of_provider(&self, subject: &str) -> User {
        let name = format!("{subject}@provider");
        let mut all = self.all();
        if let Some(user) = all.iter().find(|user| user.name == name) {
            return user.clone();
        }
        let id = all.iter().map(|user| user.id).max().unwrap_or(0) + 1;
        let user = User { id, name, is_admin: false, hash: None };
        all.push(user.clone());
        user
    }

    pub fn list(&self) -> Vec<User> {
        self.all().clone()
    }

    fn all(&self) -> MutexGuard<'_, Vec<User>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the system has random bytes").to_string()
}

fn fits(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}
