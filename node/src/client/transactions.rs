//! Transactions: sees to it that their table of records is there, then hands them to a shard's coordinator.

use std::time::Instant;

use kv_core::api::{Caller, Error, Get, Write};
use kv_core::ids::GroupId;
use kv_core::meta::records::TableState;
use kv_core::meta::wire::Change;
use kv_core::shard::io::{Transact, TransactError, TransactRead};
use kv_core::transactions;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::{Client, GRACE};
use crate::runtime::mailbox::{Event, TransactResult};

impl Client {
    /// Makes the table of records before the first transaction.
    async fn records(&self, deadline: Instant) -> Result<(), Error> {
        loop {
            let view = self.mailboxes.view.load_full();
            let table = view
                .state
                .table_named(transactions::ACCOUNT, transactions::TABLE);
            match table.map(|table| table.state()) {
                Some(TableState::Active) => return Ok(()),
                Some(_) => {}
                None => {
                    let uuid = uuid::Uuid::new_v4().to_string();
                    let now_ms = self.mailboxes.clock.now().wall_ms;
                    let create = transactions::create_table(uuid, now_ms);
                    let made = self.change_and_see(Change::CreateTable(create), deadline);
                    match made.await {
                        // Another node was faster.
                        Ok(_) | Err(Error::TableInUse(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            let revision = view.state.revision() + 1;
            if !self.mailboxes.wait_for(revision, deadline).await {
                let words = "the table of transaction records could not be made in time";
                return Err(Error::Unavailable(words.into()));
            }
        }
    }

    /// The shard of this node that leads the partition of a row, perhaps: then its requests go nowhere.
    fn shard_of_row(&self, row: Option<&[u8]>) -> GroupId {
        let view = self.mailboxes.view.load();
        row.and_then(|row| view.route(row))
            .map_or(GroupId::META, |route| route.group.group())
    }

    async fn outcome(
        &self,
        group: GroupId,
        event: Event,
        answer: oneshot::Receiver<TransactResult>,
        deadline: Instant,
    ) -> TransactResult {
        if self.mailboxes.to_group(group, event).is_err() {
            let words = "too many requests wait on this node";
            return Err(TransactError::Failed(Error::Throttled(words.into())));
        }
        match tokio::time::timeout_at((deadline + GRACE).into(), answer).await {
            Ok(Ok(result)) => result,
            _ => {
                let words = "the node is stopping, or too busy to answer";
                Err(TransactError::Failed(Error::OutcomeUnknown(words.into())))
            }
        }
    }

    pub(super) async fn transact_writes(
        &self,
        caller: &Caller,
        client_token: Option<String>,
        writes: Vec<Write>,
        deadline: Instant,
    ) -> TransactResult {
        self.records(deadline).await?;
        let mut digest = Sha256::new();
        for write in &writes {
            digest.update(write.encode_length_delimited_to_vec());
        }
        let group = self.shard_of_row(writes.first().map(|write| &write.row[..]));
        let transact = Transact {
            token: 0,
            caller: caller.clone(),
            client_token,
            digest: digest.finalize().to_vec().into(),
            writes,
            deadline_us: self.deadline_us(deadline),
        };
        let (reply, answer) = oneshot::channel();
        let event = Event::Transact(transact, reply);
        self.outcome(group, event, answer, deadline).await
    }

    pub(super) async fn transact_gets(
        &self,
        caller: &Caller,
        gets: Vec<Get>,
        deadline: Instant,
    ) -> TransactResult {
        let group = self.shard_of_row(gets.first().map(|get| &get.row[..]));
        let read = TransactRead {
            token: 0,
            caller: caller.clone(),
            gets,
            deadline_us: self.deadline_us(deadline),
        };
        let (reply, answer) = oneshot::channel();
        let event = Event::TransactRead(read, reply);
        self.outcome(group, event, answer, deadline).await
    }
}
