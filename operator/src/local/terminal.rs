//! What a person sees: lines as things happen, and in a terminal a spinner below them that says what is waited for.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kv_proto::admin::Move;

use super::shutdown::Progress;
use crate::command::show;
use crate::crd::condition::{self, ConditionType};
use crate::crd::{KvClusterStatus, NodeState, PlanStatus};
use crate::platform::local::Event;

/// How many bars are shown at a time.
const BARS_MAX: usize = 8;

/// Where lines go.
#[derive(Debug)]
pub struct Terminal {
    spinner: Option<ProgressBar>,
    all: MultiProgress,
    bars: BTreeMap<u64, ProgressBar>,
    step: Option<(String, Option<String>)>,
    since: Instant,
    is_ready: bool,
}

impl Terminal {
    /// A terminal on standard error; time counts from now.
    #[must_use]
    pub fn new() -> Self {
        let all = MultiProgress::new();
        let spinner = stderr().is_terminal().then(|| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            spinner,
            all,
            bars: BTreeMap::new(),
            step: None,
            since: Instant::now(),
            is_ready: false,
        }
    }

    /// A line.
    pub fn say(&self, line: &str) {
        match &self.spinner {
            Some(_) => self.all.suspend(|| print(line)),
            None => print(line),
        }
    }

    /// What is waited for.
    fn wait_for(&self, what: Option<&str>) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.unwrap_or("").to_owned());
            if what.is_none() {
                spinner.disable_steady_tick();
                spinner.set_draw_target(indicatif::ProgressDrawTarget::hidden());
            } else {
                spinner.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                spinner.enable_steady_tick(Duration::from_millis(120));
            }
        }
    }

    /// Something that the platform did or found.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::CertificatesMade => self.say("certificates made"),
            Event::Started { name, pid } => self.say(&format!("{name} started (pid {pid})")),
            Event::Adopted { name, pid } => {
                self.say(&format!("{name} was running already (pid {pid}), adopted"))
            }
            Event::Ended {
                name,
                how,
                again_in,
            } => {
                self.say(&format!(
                    "{name} ended: {how}; started again in {}",
                    span(*again_in)
                ));
            }
            Event::PutAside { name, to } => {
                self.say(&format!(
                    "{name} has left; what it kept lies in {}",
                    to.display()
                ));
            }
            Event::Deleted { name } => {
                self.say(&format!("{name} has left; what it kept is deleted"))
            }
            Event::Stopped { name } => self.say(&format!("{name} stopped")),
            Event::CannotStart {
                name,
                why,
                again_in,
            } => {
                self.say(&format!(
                    "{name} can't be started: {why}; tried again in {}",
                    span(*again_in)
                ));
            }
        }
    }

    /// What is new in a status; `dir` is where to look for more.
    pub fn status(&mut self, before: &KvClusterStatus, after: &KvClusterStatus, dir: &Path) {
        for node in &after.nodes {
            let was = before
                .nodes
                .iter()
                .find(|before| before.id == node.id)
                .map(|before| before.state);
            if was == Some(node.state) {
                continue;
            }
            match node.state {
                NodeState::Up => self.say(&format!("{} joined", node.name)),
                NodeState::Draining => self.say(&format!("{} gives its data away", node.name)),
                NodeState::Removed => self.say(&format!("{} is removed", node.name)),
                NodeState::Unresponsive => self.say(&format!(
                    "{} does not answer, though its process runs",
                    node.name
                )),
                NodeState::Joining
                | NodeState::Starting
                | NodeState::Stopping
                | NodeState::Down
                | NodeState::Unknown => {}
            }
        }
        for type_ in [ConditionType::DataLost, ConditionType::Degraded] {
            let now = condition::find(&after.conditions, type_);
            let is_new = |text: &str| {
                condition::find(&before.conditions, type_).is_none_or(|b| b.reason != text)
            };
            if let Some(now) = now.filter(|now| now.status == "True" && is_new(&now.reason)) {
                // Ends and failed starts have been told as events.
                if !matches!(
                    now.reason.as_str(),
                    "NodesDown" | "CannotStart" | "NodesUnresponsive" | "StepFailed"
                ) {
                    self.say(&format!("{}: {}", now.reason, now.message));
                }
            }
        }
        let is_ready = condition::holds(&after.conditions, ConditionType::Ready);
        match (self.is_ready, is_ready) {
            (false, true) => {
                self.say(&format!(
                    "leaders elected, ready in {}",
                    span(self.since.elapsed())
                ));
                self.say(&hints(after, dir));
            }
            (true, false) => self.since = Instant::now(),
            _ => {}
        }
        self.is_ready = is_ready;
        let ready = condition::find(&after.conditions, ConditionType::Ready);
        self.wait_for(
            ready
                .filter(|_| !is_ready)
                .map(|ready| ready.message.as_str()),
        );
    }

    /// A bar a move, the first few of them; lines of a plan as it goes on.
    pub fn moves(&mut self, moves: &[Move], plan: Option<&PlanStatus>) {
        let line = plan.map(show::plan_line);
        let step = plan.map(|plan| (plan.step.clone(), plan.waiting_for.clone()));
        if step != self.step {
            if let Some(line) = &line {
                self.say(line);
            } else if self.step.is_some() {
                self.say("done: all is where it should be");
            }
            self.step = step;
        }
        if self.spinner.is_none() {
            return;
        }
        let shown: Vec<&Move> = moves.iter().take(BARS_MAX).collect();
        self.bars.retain(|group, bar| {
            let is_there = shown.iter().any(|it| it.group == *group);
            if !is_there {
                bar.finish_and_clear();
            }
            is_there
        });
        for it in shown {
            let bar = self
                .bars
                .entry(it.group)
                .or_insert_with(|| self.all.add(new_bar()));
            bar.set_length(it.bytes.max(it.bytes_done));
            bar.set_position(it.bytes_done);
            let from = if it.from == 0 {
                "new".to_owned()
            } else {
                it.from.to_string()
            };
            bar.set_message(format!(
                "{} {} {from} -> {} {}",
                it.table, it.group, it.to, it.step
            ));
        }
    }

    /// A step of the shutdown.
    pub fn shutdown(&self, progress: &Progress) {
        self.wait_for(None);
        self.say(&progress.to_string());
    }

    /// Leaves the terminal as it was.
    pub fn close(&self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {binary_bytes:>10}/{binary_total_bytes:10} {msg}")
    {
        bar.set_style(style);
    }
    bar
}

/// A terminal that is gone must not end an operator that is about to stop its nodes.
fn print(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// The endpoints, and commands to paste.
fn hints(status: &KvClusterStatus, dir: &Path) -> String {
    let urls: Vec<&str> = status
        .endpoints
        .iter()
        .filter(|end| end.name == "dynamodb")
        .map(|end| end.url.as_str())
        .collect();
    let url = urls.first().copied().unwrap_or("http://127.0.0.1:8000");
    let list = urls.join("  ");
    let dir = dir.display();
    format!(
        r#"
DynamoDB API: {list}

With the AWS CLI:
  export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1
  aws dynamodb create-table --endpoint-url {url} --table-name rides --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=id,AttributeType=S --key-schema AttributeName=id,KeyType=HASH
  aws dynamodb put-item --endpoint-url {url} --table-name rides --item '{{"id": {{"S": "1"}}, "city": {{"S": "Paris"}}}}'
  aws dynamodb get-item --endpoint-url {url} --table-name rides --key '{{"id": {{"S": "1"}}}}' --consistent-read
With curl, once the table is there:
  curl -s {url} --user x:x --aws-sigv4 aws:amz:us-east-1:dynamodb -H 'Content-Type: application/x-amz-json-1.0' \
    -H 'X-Amz-Target: DynamoDB_20120810.PutItem' -d '{{"TableName": "rides", "Item": {{"id": {{"S": "2"}}, "city": {{"S": "Oslo"}}}}}}'
  curl -s {url} --user x:x --aws-sigv4 aws:amz:us-east-1:dynamodb -H 'Content-Type: application/x-amz-json-1.0' \
    -H 'X-Amz-Target: DynamoDB_20120810.GetItem' -d '{{"TableName": "rides", "Key": {{"id": {{"S": "2"}}}}, "ConsistentRead": true}}'

Status: kv-operator local status --dir {dir}
Ctrl-C stops all nodes; their data stay in {dir}
"#
    )
}
