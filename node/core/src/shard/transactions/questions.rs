//! What partitions led here want to know of the records of their intents.

use bytes::Bytes;

use super::super::Shard;
use super::{ASK_US, Question, Sent};
use crate::api::{Answer, Attempt, Caller, Error, Operation};
use crate::ids::GroupId;
use crate::transactions::record::{self, Record, Verdict};

impl Shard {
    /// A partition led here wants to know what the record of an intent says.
    pub(in crate::shard) fn ask_record(
        &mut self,
        group: GroupId,
        row: Bytes,
        number: u64,
        attempt: Attempt,
        abort: bool,
    ) {
        let operation = match abort {
            true => Operation::Write(record::abort(&attempt, self.now.wall_ms)),
            false => Operation::Get(record::get(&attempt)),
        };
        let question = Question {
            group,
            row,
            number,
            attempt,
            abort,
        };
        let deadline_us = self.now.mono_us + ASK_US;
        let caller = Caller::default();
        self.send_transaction(Sent::Ask(question), caller, operation, deadline_us, None);
    }

    pub(super) fn on_asked(&mut self, question: Question, result: Result<Answer, Error>) {
        let verdict = |item: Option<Bytes>| match item.as_deref().map(Record::parse) {
            None => Verdict::Open,
            Some(Ok(record)) => record.verdict(&question.attempt.id),
            Some(Err(_)) => Verdict::Unknown,
        };
        let verdict = match result {
            Ok(Answer::Got(got)) => verdict(got.item),
            Ok(Answer::Written(_)) => Verdict::Aborted,
            // Deleted: the table of records can't be, but by who runs the cluster.
            Err(Error::ConditionFailed { item }) => match verdict(item) {
                Verdict::Open => {
                    let touch = Operation::Write(record::touch(&question.attempt));
                    let deadline_us = self.now.mono_us + ASK_US;
                    let sent = Sent::Touch(question);
                    let caller = Caller::default();
                    return self.send_transaction(sent, caller, touch, deadline_us, None);
                }
                verdict => verdict,
            },
            _ => Verdict::Unknown,
        };
        self.tell(question, verdict);
    }

    /// Another attempt has the record; once its partition's time is past this one's, this one can't commit any more.
    pub(super) fn on_touched(&mut self, question: Question, result: Result<Answer, Error>) {
        let verdict = match result {
            Ok(Answer::Written(written)) if written.version > question.attempt.expires => {
                Verdict::Aborted
            }
            Ok(_) => Verdict::Open,
            Err(_) => Verdict::Unknown,
        };
        self.tell(question, verdict);
    }

    pub(super) fn tell(&mut self, question: Question, verdict: Verdict) {
        let Question {
            group,
            row,
            number,
            abort,
            ..
        } = question;
        if abort && matches!(verdict, Verdict::Committed | Verdict::Aborted) {
            self.counts.intents_resolved += 1;
        }
        self.with_partition(group, |partition, group, now, fx| {
            partition.on_verdict(group, &row, number, verdict, now, fx);
        });
    }
}
