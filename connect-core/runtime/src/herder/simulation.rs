//! A thousand workers and a hundred thousand tasks (a tenth of both without optimisation), without Kafka: what the leader
//! decides, how long that takes it, and what it writes. `docs/scale.md` has the figures:
//!
//!     cargo test --release -p connect-core-runtime simulation -- --nocapture

use std::time::{Duration, Instant};

use super::{
    balance::work,
    cluster::{Cluster, News},
};
use crate::storage::{Assignment, Report, Subject, Told, Work, written};

const WORKERS: usize = if cfg!(debug_assertions) { 100 } else { 1000 };
const CONNECTORS: usize = WORKERS;
const TASKS: u32 = 100;
const DELAY: Duration = Duration::from_secs(3);

struct Leader {
    cluster: Cluster,
    members: Vec<String>,
    now: Duration,
}

/// What one change of the cluster came to.
#[derive(Default)]
struct Cost {
    rounds: usize,
    deciding: Duration,
    records: usize,
    bytes: usize,
    /// Tasks and connectors that were taken from a worker that is there.
    moved: usize,
    started: usize,
}

impl Leader {
    fn tell(&mut self, told: Told) {
        let news = self.cluster.told(told);
        assert!(!matches!(news, Some(News::GivenUp)), "the leader is there");
    }

    fn join(&mut self, name: &str) {
        self.members.push(name.to_owned());
        let report = Report { address: name.to_owned(), applied: 0 };
        self.tell(Told::Worker(name.to_owned(), Some(report)));
    }

    /// Decides until nothing is left to decide; every worker carries out at once what it is told.
    fn settle(&mut self, wanted: &Work) -> Cost {
        let mut cost = Cost::default();
        loop {
            self.cluster.ask(self.now);
            self.cluster.members(&self.members);
            let before = Instant::now();
            let writes = self.cluster.lead(wanted, self.now, DELAY);
            cost.deciding += before.elapsed();
            if writes.is_empty() {
                return cost;
            }
            cost.rounds += 1;
            cost.records += writes.len();
            for told in writes {
                cost.bytes += written(&told).unwrap();
                let Told::Assigned { worker, assignment: Some(assignment), .. } = &told else {
                    self.tell(told);
                    continue;
                };
                let Assignment { revision, run, release } = assignment;
                cost.moved += release.intersection(wanted).count();
                cost.started += run.len();
                let report = Report { address: worker.clone(), applied: *revision };
                let applied = Told::Worker(worker.clone(), Some(report));
                self.tell(told);
                self.tell(applied);
            }
        }
    }
}

fn shown(what: &str, cost: &Cost) {
    let Cost { rounds, deciding, records, bytes, moved, .. } = cost;
    let (millis, kib) = (deciding.as_millis(), bytes / 1024);
    println!("| {what} | {moved} | {rounds} | {millis} ms | {records} | {kib} KiB |");
}

#[test]
fn simulation() {
    let names: Vec<String> = (0..CONNECTORS).map(|n| format!("connector-{n:04}")).collect();
    let mut wanted = work(names.iter().map(|name| (name.as_str(), TASKS)));
    let (cluster, members) = (Cluster::new("worker-0000".into()), Vec::new());
    let mut leader = Leader { cluster, members, now: Duration::ZERO };
    for n in 0..WORKERS {
        leader.join(&format!("worker-{n:04}"));
    }
    leader.tell(Told::Leads("worker-0000".into()));
    println!(
        "| what happens | moved | rounds | deciding | records | written |\n|---|---|---|---|---|---|"
    );
    let first = leader.settle(&wanted);
    shown("all start", &first);
    assert_eq!((first.moved, first.started), (0, wanted.len()));

    leader.join("worker-new");
    let joined = leader.settle(&wanted);
    shown("a worker joins", &joined);
    let share = wanted.len() / (WORKERS + 1);
    assert!(joined.moved <= share + 2, "{} moved, its share is {share}", joined.moved);

    leader.members.retain(|name| name != "worker-0050");
    leader.settle(&wanted);
    leader.now += DELAY;
    let died = leader.settle(&wanted);
    shown("a worker dies", &died);
    assert_eq!(died.moved, 0, "only what it ran gets a new worker");

    let tenth = WORKERS / 10;
    leader.members.drain(1..=tenth);
    leader.settle(&wanted);
    leader.now += DELAY;
    let died = leader.settle(&wanted);
    shown("a tenth of the workers die at once", &died);
    assert_eq!(died.moved, 0);

    for n in 0..tenth {
        leader.join(&format!("worker-back-{n}"));
    }
    let back = leader.settle(&wanted);
    shown("as many join at once", &back);
    assert!(back.moved <= tenth * (wanted.len() / WORKERS + 3), "{} moved", back.moved);

    wanted.insert(Subject::Connector("new".into()));
    wanted.extend((0..1000).map(|task| Subject::Task("new".into(), task)));
    let new = leader.settle(&wanted);
    shown("a connector with 1,000 tasks is made", &new);
    assert_eq!(new.moved, 0);
}
