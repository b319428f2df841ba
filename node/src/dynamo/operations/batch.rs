//! What the batch operations share: maps by table as they come, and many requests at once.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use kv_core::api;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tokio::task::JoinSet;

use crate::dynamo::error::Error;
use crate::dynamo::input::Text;

/// A JSON object as pairs, in the order of the text.
#[derive(Debug)]
pub struct Pairs<'a, T>(pub Vec<(Text<'a>, T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Pairs<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Vec<(Text<'de>, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        let pairs = deserializer.deserialize_map(PairsVisitor(PhantomData))?;
        Ok(Pairs(pairs))
    }
}

/// What became of one request of a batch.
#[derive(Debug)]
pub enum Outcome<T> {
    Done(T),
    /// It may be sent again: nothing happened.
    Unprocessed,
}

/// Runs all requests at once, at most as many as a batch has; yields their outcomes in order.
///
/// # Errors
/// The first that is neither done nor can be left unprocessed. If none was done for lack of capacity, the batch as a
/// whole is refused, as the service does.
pub async fn run_all<T, F>(requests: Vec<F>) -> Result<Vec<Outcome<T>>, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, api::Error>> + Send + 'static,
{
    let count = requests.len();
    let mut tasks = JoinSet::new();
    for (index, request) in requests.into_iter().enumerate() {
        tasks.spawn(async move { (index, request.await) });
    }
    let mut outcomes: Vec<Option<Outcome<T>>> = (0..count).map(|_| None).collect();
    let mut refused = None;
    let mut done = 0;
    while let Some(joined) = tasks.join_next().await {
        let (index, result) = joined.map_err(|error| Error::Internal(error.to_string()))?;
        let outcome = match result {
            Ok(value) => {
                done += 1;
                Outcome::Done(value)
            }
            Err(
                error @ (api::Error::Throttled(_)
                | api::Error::Unavailable(_)
                | api::Error::Conflict { .. }),
            ) => {
                refused = Some(error);
                Outcome::Unprocessed
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(place) = outcomes.get_mut(index) {
            *place = Some(outcome);
        }
    }
    match refused {
        Some(error) if done == 0 => Err(error.into()),
        _ => Ok(outcomes.into_iter().flatten().collect()),
    }
}
