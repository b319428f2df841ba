//! The [`Database`] of a running node: serves what it may from here, hands the rest to the shards.

mod tables;
mod transactions;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_core::api::{
    Answer, Caller, Consistency, Error, Get, Got, Operation, Page, Paged, Rows, RowsRead, Write,
    Written,
};
use kv_core::ids::GroupId;
use kv_core::meta::view::Route;
use kv_core::meta::wire::{Change, MetaRefusal, Outcome};
use kv_core::read;
use kv_core::store::Store;
use kv_core::tables::{NewTable, Table, TableChange, TableStatus};
use parking_lot::RwLock;
use tokio::sync::{Mutex, oneshot};

use crate::database::Database;
use crate::runtime::OnFatal;
use crate::runtime::mailbox::{Event, Mailboxes, TransactResult};

/// How long past its deadline an answer of the core is waited for: the core answers at the deadline itself.
const GRACE: Duration = Duration::from_millis(500);

/// Requests in, answers out.
pub struct Client {
    mailboxes: Arc<Mailboxes>,
    store: Arc<dyn Store>,
    fatal: OnFatal,
    /// When the last question for the newest metadata began; one is under way at a time, and who waited shares it.
    barrier: Mutex<Option<Instant>>,
    shown: RwLock<Shown>,
}

/// Tables as requests see them, of one revision of the metadata: each request asks for its table, and making one takes a
/// dozen allocations. As many as the metadata have.
#[derive(Debug, Default)]
struct Shown {
    revision: u64,
    /// By account and name.
    tables: HashMap<String, HashMap<String, Arc<Table>>>,
}

impl Shown {
    fn find(&self, revision: u64, account: &str, name: &str) -> Option<Arc<Table>> {
        if self.revision != revision {
            return None;
        }
        self.tables.get(account)?.get(name).cloned()
    }

    fn keep(&mut self, revision: u64, table: &Arc<Table>) {
        if self.revision > revision {
            return;
        }
        if self.revision < revision {
            self.revision = revision;
            self.tables.clear();
        }
        let of_account = self.tables.entry(table.account.clone()).or_default();
        of_account.insert(table.name.clone(), table.clone());
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// `fatal` is told when the engine can't be read: the node must end.
    pub fn new(mailboxes: Arc<Mailboxes>, store: Arc<dyn Store>, fatal: OnFatal) -> Client {
        Client {
            mailboxes,
            store,
            fatal,
            barrier: Mutex::new(None),
            shown: RwLock::default(),
        }
    }

    fn deadline_us(&self, deadline: Instant) -> u64 {
        let left = deadline.saturating_duration_since(Instant::now());
        self.mailboxes.clock.now().mono_us + left.as_micros() as u64
    }

    async fn request(
        &self,
        caller: &Caller,
        operation: Operation,
        group: GroupId,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let write = operation.changes();
        let event = Event::Request {
            caller: caller.clone(),
            operation,
            deadline_us: self.deadline_us(deadline),
            reply,
        };
        if self.mailboxes.to_group(group, event).is_err() {
            return Err(Error::Throttled(
                "too many requests wait on this node".into(),
            ));
        }
        match tokio::time::timeout_at((deadline + GRACE).into(), answer).await {
            Ok(Ok(result)) => result,
            _ if write => Err(Error::OutcomeUnknown(
                "the node is stopping, or too busy to answer".into(),
            )),
            _ => Err(Error::Unavailable(
                "the node is stopping, or too busy to answer".into(),
            )),
        }
    }

    async fn change(&self, change: Change, deadline: Instant) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let event = Event::Meta {
            change,
            deadline_us: self.deadline_us(deadline),
            reply,
        };
        if self.mailboxes.to_shard(0, event).is_err() {
            return Err(Error::Throttled(
                "too many requests wait on this node".into(),
            ));
        }
        match tokio::time::timeout_at((deadline + GRACE).into(), answer).await {
            Ok(Ok(Ok(outcome))) => Ok(outcome),
            Ok(Ok(Err(error))) => Err(Error::Unavailable(error.to_string())),
            _ => Err(Error::OutcomeUnknown(
                "the metadata's leader did not answer in time".into(),
            )),
        }
    }

    /// A change whose effect is visible here when this returns.
    async fn change_and_see(&self, change: Change, deadline: Instant) -> Result<Outcome, Error> {
        let outcome = self.change(change, deadline).await?;
        match outcome.refusal() {
            MetaRefusal::None => {}
            MetaRefusal::NotFound => return Err(Error::TableNotFound(outcome.message)),
            MetaRefusal::InUse => return Err(Error::TableInUse(outcome.message)),
            MetaRefusal::Limit => return Err(Error::Throttled(outcome.message)),
            _ => return Err(Error::Validation(outcome.message)),
        }
        self.mailboxes.wait_for(outcome.revision, deadline).await;
        Ok(outcome)
    }

    /// Makes the view here hold everything that was decided before this call.
    async fn catch_up(&self, deadline: Instant) -> Result<(), Error> {
        let asked = Instant::now();
        let mut last = self.barrier.lock().await;
        if last.is_some_and(|began| began >= asked) {
            return Ok(());
        }
        let began = Instant::now();
        let outcome = self.change(Change::Barrier(true), deadline).await?;
        self.mailboxes.wait_for(outcome.revision, deadline).await;
        *last = Some(began);
        Ok(())
    }

    fn known(&self, account: &str, name: &str) -> Option<Arc<Table>> {
        let view = self.mailboxes.view.load();
        let revision = view.state.revision();
        if let Some(table) = self.shown.read().find(revision, account, name) {
            return Some(table);
        }
        let table = Arc::new(tables::table_of(view.state.table_named(account, name)?));
        self.shown.write().keep(revision, &table);
        Some(table)
    }

    fn here(&self, id: u64) -> Result<Arc<Table>, Error> {
        let view = self.mailboxes.view.load();
        let table = view
            .state
            .tables
            .get(&id)
            .ok_or_else(|| Error::OutcomeUnknown("the table is not known here yet".into()))?;
        Ok(Arc::new(tables::table_of(table)))
    }

    /// Serves a read from this node's engine, if its ticket allows it before and after.
    fn read_here<T>(
        &self,
        route: &Route,
        strong: bool,
        read: impl FnOnce(&dyn Store) -> Option<T>,
    ) -> Option<T> {
        let clock = self.mailboxes.clock;
        let pass = if strong {
            route.ticket.strong(route.group.range_version, clock.now())
        } else {
            route
                .ticket
                .eventual(route.group.range_version, clock.now())
        }?;
        let result = read(&*self.store)?;
        let still = if strong {
            route.ticket.still_strong(pass, clock.now())
        } else {
            route.ticket.still_eventual(pass)
        };
        still.then_some(result)
    }

    fn unreadable<T>(&self, error: kv_core::store::Error) -> Option<T> {
        (self.fatal)(error.into());
        None
    }

    /// One page of one partition.
    async fn page_of(
        &self,
        caller: &Caller,
        page: Page,
        route: Option<&Route>,
        deadline: Instant,
    ) -> Result<Paged, Error> {
        if let Some(route) = route {
            let strong = page.consistency() == Consistency::Strong;
            let local = tokio::task::block_in_place(|| {
                self.read_here(route, strong, |store| match read::page(store, &page) {
                    Ok(paged) => Some(paged),
                    Err(read::Error::Store(error)) => self.unreadable(error),
                    // The shard finds the words.
                    Err(read::Error::Request(_)) => None,
                })
            });
            if let Some(paged) = local {
                route.ticket.meter.read(&page.start, paged.bytes as usize);
                return Ok(paged);
            }
        }
        let group = route.map_or(GroupId::META, |r| r.group.group());
        match self
            .request(caller, Operation::Page(page), group, deadline)
            .await?
        {
            Answer::Paged(paged) => Ok(paged),
            _ => Err(Error::Unavailable(
                "the partition answered something else".into(),
            )),
        }
    }
}

impl Database for Client {
    async fn table(
        &self,
        account: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Arc<Table>, Error> {
        // What is in between may be over elsewhere: another node may have told this client so already.
        let settled = |table: &Arc<Table>| {
            matches!(table.status, TableStatus::Active | TableStatus::Updating)
        };
        if let Some(table) = self.known(account, name).filter(settled) {
            return Ok(table);
        }
        self.catch_up(deadline).await?;
        self.known(account, name)
            .ok_or_else(|| Error::TableNotFound(name.to_owned()))
    }

    async fn tables(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<String>, Error> {
        self.catch_up(deadline).await?;
        let view = self.mailboxes.view.load();
        Ok(view
            .state
            .table_names(account, after)
            .take(limit)
            .map(str::to_owned)
            .collect())
    }

    async fn create_table(
        &self,
        caller: &Caller,
        table: NewTable,
        deadline: Instant,
    ) -> Result<Arc<Table>, Error> {
        let created_ms = self.mailboxes.clock.now().wall_ms;
        let change = tables::create(caller, table, created_ms);
        let outcome = self
            .change_and_see(Change::CreateTable(change), deadline)
            .await?;
        self.here(outcome.value)
    }

    async fn update_table(
        &self,
        caller: &Caller,
        name: &str,
        change: TableChange,
        deadline: Instant,
    ) -> Result<Arc<Table>, Error> {
        let now_ms = self.mailboxes.clock.now().wall_ms;
        let change = tables::update(caller, name, change, now_ms);
        let outcome = self
            .change_and_see(Change::UpdateTable(change), deadline)
            .await?;
        self.here(outcome.value)
    }

    async fn delete_table(
        &self,
        caller: &Caller,
        name: &str,
        deadline: Instant,
    ) -> Result<Arc<Table>, Error> {
        let table = self.table(&caller.account, name, deadline).await?;
        let change = Change::DeleteTable(tables::name_of(caller, name));
        self.change_and_see(change, deadline).await?;
        let mut table = (*table).clone();
        table.status = kv_core::tables::TableStatus::Deleting;
        Ok(Arc::new(table))
    }

    async fn write(
        &self,
        caller: &Caller,
        write: Write,
        deadline: Instant,
    ) -> Result<Written, Error> {
        let group = self
            .mailboxes
            .view
            .load()
            .route(&write.row)
            .map_or(GroupId::META, |r| r.group.group());
        match self
            .request(caller, Operation::Write(write), group, deadline)
            .await?
        {
            Answer::Written(written) => Ok(written),
            _ => Err(Error::OutcomeUnknown(
                "the partition answered something else".into(),
            )),
        }
    }

    async fn get(&self, caller: &Caller, get: Get, deadline: Instant) -> Result<Got, Error> {
        let view = self.mailboxes.view.load();
        let route = view.route(&get.row);
        if let Some(route) = route {
            let strong = get.consistency() == Consistency::Strong;
            let local = self.read_here(route, strong, |store| {
                read::get(store, &get).map_or_else(|error| self.unreadable(error), Some)
            });
            if let Some(got) = local {
                let bytes = got.item.as_ref().map_or(0, |item| item.len());
                route.ticket.meter.read(&get.row, bytes);
                return Ok(got);
            }
        }
        let group = route.map_or(GroupId::META, |r| r.group.group());
        drop(view);
        match self
            .request(caller, Operation::Get(get), group, deadline)
            .await?
        {
            Answer::Got(got) => Ok(got),
            _ => Err(Error::Unavailable(
                "the partition answered something else".into(),
            )),
        }
    }

    async fn transact(
        &self,
        caller: &Caller,
        client_token: Option<String>,
        writes: Vec<Write>,
        deadline: Instant,
    ) -> TransactResult {
        self.transact_writes(caller, client_token, writes, deadline)
            .await
    }

    async fn transact_read(
        &self,
        caller: &Caller,
        gets: Vec<Get>,
        deadline: Instant,
    ) -> TransactResult {
        self.transact_gets(caller, gets, deadline).await
    }

    async fn rows(
        &self,
        caller: &Caller,
        rows: Rows,
        deadline: Instant,
    ) -> Result<RowsRead, Error> {
        let group = GroupId(rows.group);
        match self
            .request(caller, Operation::Rows(rows), group, deadline)
            .await?
        {
            Answer::Rows(read) => Ok(read),
            _ => Err(Error::Unavailable(
                "the partition answered something else".into(),
            )),
        }
    }

    fn partitions(&self, table: u64) -> Vec<u64> {
        let view = self.mailboxes.view.load();
        view.state.groups_of(table).map(|group| group.id).collect()
    }

    fn now_ms(&self) -> u64 {
        self.mailboxes.clock.now().wall_ms
    }

    async fn page(&self, caller: &Caller, page: Page, deadline: Instant) -> Result<Paged, Error> {
        let (mut start, mut end) = (page.start.clone(), page.end.clone());
        let mut whole = Paged::default();
        while start < end {
            let view = self.mailboxes.view();
            let route = if page.reverse {
                view.route_before(&end)
            } else {
                view.route(&start)
            };
            let mut part = page.clone();
            (part.start, part.end) = (start.clone(), end.clone());
            if let Some(route) = route {
                part.start = part.start.max(route.group.start.clone());
                part.end = part.end.min(route.group.end.clone());
            }
            if page.limit > 0 {
                part.limit = page.limit - whole.scanned as u32;
            }
            part.max_bytes = page.max_bytes.saturating_sub(whole.bytes).max(1);
            let (from, to) = (part.start.clone(), part.end.clone());
            let paged = self.page_of(caller, part, route, deadline).await?;
            whole.count += paged.count;
            whole.scanned += paged.scanned;
            whole.bytes += paged.bytes;
            whole.items.extend(paged.items);
            if paged.last.is_some() {
                whole.last = paged.last;
                return Ok(whole);
            }
            // A partition that was split meanwhile ends before what was asked of it.
            let reached = paged.reached;
            if page.reverse {
                end = reached.unwrap_or(from);
            } else {
                start = reached.unwrap_or(to);
            }
        }
        Ok(whole)
    }
}
