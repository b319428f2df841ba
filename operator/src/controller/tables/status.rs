//! What is said of a table: status and events, from what a look has shown. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

use crate::crd::condition::{ConditionType, Reason, Verdict, find};
use crate::crd::{KvTable, KvTableStatus, TableOrigin};
use crate::plan::table::{Change, Declared, Found, State};

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The table could not be looked at, or nothing may be done: why.
    Nothing(Reason, String),
    /// A table, and what of it is not as declared.
    Table(Found, Option<Difference>),
    /// It was asked for and is not there yet, or no more.
    Absent,
}

/// What stays different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The keys.
    Keys(String),
    /// A setting that the API refuses to change: its words.
    Setting(String),
    /// Nobody can say before the table has done what it is at.
    Pending,
}

/// The status after a look.
#[must_use]
pub fn status(
    object: &KvTable,
    before: &KvTableStatus,
    seen: Seen,
    now: Timestamp,
) -> KvTableStatus {
    let declared = Declared::of(object);
    let mut status = KvTableStatus {
        observed_generation: object.metadata.generation,
        table_name: Some(declared.name.clone()),
        ..before.clone()
    };
    let ready = |reason, message: String| Verdict::no(ConditionType::Ready, reason, message);
    let verdicts = match seen {
        // What was known of the table still is.
        Seen::Nothing(reason, why) => vec![ready(reason, why)],
        Seen::Absent => {
            (status.table_status, status.table_id) = (None, None);
            (status.table_arn, status.origin) = (None, None);
            let why = format!("table {} is being made", declared.name);
            vec![ready(Reason::TableCreating, why)]
        }
        Seen::Table(found, difference) => {
            let is_ours = !matches!(difference, Some(Difference::Keys(_)));
            let is_new = status.table_id.as_ref() != Some(&found.id);
            if matches!(found.state, State::Active | State::Updating) || is_new {
                let is_known = is_ours && matches!(found.state, State::Active | State::Updating);
                status.origin = is_known.then(|| declared.origin(&found));
            }
            status.table_status = Some(found.state.name().to_owned());
            let verdicts = of_table(&declared, &found, difference);
            (status.table_id, status.table_arn) = (Some(found.id), Some(found.arn));
            verdicts
        }
    };
    for verdict in verdicts {
        replace(&mut status.conditions, verdict, object, now);
    }
    status
}

fn of_table(declared: &Declared, found: &Found, difference: Option<Difference>) -> Vec<Verdict> {
    let name = &declared.name;
    let (drifted, ready) = (ConditionType::Drifted, ConditionType::Ready);
    let as_declared = Verdict::no(drifted, Reason::AsDeclared, "");
    match (found.state, difference) {
        (_, Some(Difference::Keys(why))) => vec![
            Verdict::no(ready, Reason::KeysDiffer, why.clone()),
            Verdict::yes(drifted, Reason::KeysDiffer, why),
        ],
        (State::Deleting, _) => vec![Verdict::no(
            ready,
            Reason::TableDeleting,
            format!("table {name} is being deleted"),
        )],
        (State::Creating, _) => vec![Verdict::no(
            ready,
            Reason::TableCreating,
            format!("table {name} is being made"),
        )],
        // It serves, though not quite as declared.
        (State::Active | State::Updating, Some(Difference::Setting(why))) => vec![
            Verdict::yes(ready, Reason::TableActive, ""),
            Verdict::yes(drifted, Reason::SettingsDiffer, why),
        ],
        (State::Active | State::Updating, None) => {
            vec![Verdict::yes(ready, Reason::TableActive, ""), as_declared]
        }
        (State::Active | State::Updating, Some(Difference::Pending)) => {
            vec![Verdict::yes(ready, Reason::TableActive, "")]
        }
    }
}

/// Puts a verdict in the place of the one of its type.
fn replace(conditions: &mut Vec<Condition>, verdict: Verdict, object: &KvTable, now: Timestamp) {
    let generation = object.metadata.generation.unwrap_or(1);
    let condition = verdict.into_condition(conditions, generation, now);
    match conditions
        .iter_mut()
        .find(|other| other.type_ == condition.type_)
    {
        Some(there) => *there = condition,
        None => conditions.push(condition),
    }
}

/// News for who watches: what turned, and what was put right.
#[must_use]
pub fn events(before: &KvTableStatus, after: &KvTableStatus, changes: &[Change]) -> Vec<Event> {
    let name = after.table_name.as_deref().unwrap_or_default();
    let mut events = Vec::new();
    let is_known = before.table_id == after.table_id && before.origin == after.origin;
    match after.origin.filter(|_| !is_known) {
        Some(TableOrigin::Created) => {
            events.push(event(
                EventType::Normal,
                "TableCreated",
                format!("made table {name}"),
            ));
        }
        Some(TableOrigin::Adopted) => events.push(event(
            EventType::Normal,
            "TableAdopted",
            format!("table {name} was there, with the same keys: adopted"),
        )),
        None => {}
    }
    for change in changes {
        let note = format!("set {change} on table {name}");
        events.push(event(EventType::Normal, "TableChanged", note));
    }
    for type_ in [ConditionType::Drifted, ConditionType::Ready] {
        events.extend(turned(before, after, type_));
    }
    events
}

fn turned(before: &KvTableStatus, after: &KvTableStatus, type_: ConditionType) -> Option<Event> {
    let now = find(&after.conditions, type_)?;
    let was = find(&before.conditions, type_);
    if was.is_some_and(|was| (&was.status, &was.reason) == (&now.status, &now.reason)) {
        return None;
    }
    let holds = now.status == "True";
    let (kind, is_told) = match type_ {
        // That nothing is wrong is news only after something was.
        ConditionType::Drifted if holds => (EventType::Warning, true),
        ConditionType::Drifted => (EventType::Normal, was.is_some()),
        // Created and adopted are told above, other keys by the other condition.
        _ if holds || now.reason == Reason::KeysDiffer.to_string() => (EventType::Normal, false),
        _ if is_trouble(&now.reason) => (EventType::Warning, true),
        _ => (
            EventType::Normal,
            now.reason == Reason::ClusterNotReady.to_string(),
        ),
    };
    let note = if now.message.is_empty() {
        format!("{} is {}", now.type_, now.status)
    } else {
        now.message.clone()
    };
    is_told.then(|| event(kind, &now.reason, note))
}

fn is_trouble(reason: &str) -> bool {
    [
        Reason::ClusterMissing,
        Reason::DeclaredTwice,
        Reason::InvalidSpec,
        Reason::NodesNotAnswering,
        Reason::Refused,
    ]
    .iter()
    .any(|trouble| trouble.to_string() == reason)
}

/// An event of a `KvTable`.
#[must_use]
pub fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{KvTableSpec, TableBilling, TableKeys};

    fn object() -> KvTable {
        let mut object = KvTable::new("orders", KvTableSpec::default());
        object.metadata.uid = Some("uid-1".into());
        object.metadata.generation = Some(3);
        object
    }

    fn found(state: State, owner: Option<&str>) -> Found {
        Found {
            id: "id-1".into(),
            arn: "arn".into(),
            state,
            keys: TableKeys::default(),
            billing: TableBilling::default(),
            deletion_protection: false,
            owner: owner.map(String::from),
            time_to_live: None,
        }
    }

    fn after(before: &KvTableStatus, seen: Seen) -> (KvTableStatus, Vec<String>) {
        let after = status(&object(), before, seen, Timestamp::UNIX_EPOCH);
        let told = events(before, &after, &[]);
        (after, told.into_iter().map(|event| event.reason).collect())
    }

    fn reasons(status: &KvTableStatus) -> Vec<(String, String)> {
        let of = |one: &Condition| (one.status.clone(), one.reason.clone());
        status.conditions.iter().map(of).collect()
    }

    #[test]
    fn a_table_that_is_made_is_told_once() {
        let waiting = Seen::Nothing(Reason::ClusterNotReady, "why".into());
        let (first, told) = after(&KvTableStatus::default(), waiting);
        assert_eq!(told, ["ClusterNotReady"]);
        let creating = found(State::Creating, None);
        let (second, told) = after(&first, Seen::Table(creating, None));
        assert_eq!((told, second.origin), (vec![], None));
        let active = found(State::Active, Some("uid-1"));
        let (third, told) = after(&second, Seen::Table(active.clone(), None));
        assert_eq!(told, ["TableCreated"]);
        assert_eq!(third.origin, Some(TableOrigin::Created));
        assert_eq!(
            (third.observed_generation, third.table_status.as_deref()),
            (Some(3), Some("ACTIVE"))
        );
        let (fourth, told) = after(&third, Seen::Table(active, None));
        assert_eq!((told, &fourth), (vec![], &third), "nothing new");
    }

    #[test]
    fn drift_is_a_warning_and_its_end_is_told() {
        let other = found(State::Active, None);
        let drifted = Seen::Table(other.clone(), Some(Difference::Keys("why".into())));
        let (first, told) = after(&KvTableStatus::default(), drifted);
        assert_eq!(told, ["KeysDiffer"]);
        assert_eq!(first.origin, None, "it is not ours");
        assert_eq!(
            reasons(&first),
            [
                ("False".into(), "KeysDiffer".into()),
                ("True".into(), "KeysDiffer".into())
            ]
        );
        let (second, told) = after(&first, Seen::Table(other.clone(), None));
        assert_eq!(told, ["TableAdopted", "AsDeclared"]);
        let refused = Seen::Table(other, Some(Difference::Setting("why".into())));
        let (third, told) = after(&second, refused);
        assert_eq!(told, ["SettingsDiffer"]);
        assert_eq!(
            reasons(&third)[0],
            ("True".into(), "TableActive".into()),
            "it serves"
        );
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_can_not_be_seen_is_not() {
        let active = found(State::Active, Some("uid-1"));
        let (there, _) = after(&KvTableStatus::default(), Seen::Table(active, None));
        let silent = Seen::Nothing(Reason::NodesNotAnswering, "why".into());
        let (unseen, told) = after(&there, silent);
        assert_eq!(
            (told, &unseen.table_id),
            (vec!["NodesNotAnswering".to_owned()], &there.table_id)
        );
        let (gone, _) = after(&unseen, Seen::Absent);
        assert_eq!((gone.table_id, gone.origin), (None, None));
    }
}
