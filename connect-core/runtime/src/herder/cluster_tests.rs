use proptest::prelude::*;

use super::{super::balance::work, *};

const DELAY: Duration = Duration::from_secs(3);

/// A cluster topic with the workers that read it, and what they really run.
struct World {
    log: Vec<Told>,
    workers: BTreeMap<String, Worker>,
    group: BTreeSet<String>,
    now: Duration,
}

struct Worker {
    cluster: Cluster,
    read: usize,
    runs: Work,
    /// What it was told to end and has not ended yet.
    ending: Work,
    revision: u64,
}

impl World {
    fn new() -> Self {
        let (log, workers, group) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { log, workers, group, now: Duration::ZERO }
    }

    fn join(&mut self, name: &str, address: &str) {
        let cluster = Cluster::new(name.to_owned());
        let (runs, ending) = (Work::new(), Work::new());
        self.workers
            .insert(name.to_owned(), Worker { cluster, read: 0, runs, ending, revision: 0 });
        self.group.insert(name.to_owned());
        let report = Report { address: address.to_owned(), applied: 0 };
        self.log.push(Told::Worker(name.to_owned(), Some(report)));
    }

    /// The process is gone; the group has noticed.
    fn die(&mut self, name: &str) {
        self.workers.remove(name);
        self.group.remove(name);
    }

    fn leave(&mut self, name: &str) {
        self.die(name);
        self.log.push(Told::Worker(name.to_owned(), None));
    }

    fn claim(&mut self, name: &str) {
        self.log.push(Told::Leads(name.to_owned()));
    }

    fn read(&mut self, name: &str) {
        let Some(worker) = self.workers.get_mut(name) else { return };
        for told in self.log[worker.read..].iter().cloned() {
            if let Some(News::Mine(assignment)) = worker.cluster.told(told) {
                let gone: Vec<_> = worker.runs.difference(&assignment.run).cloned().collect();
                worker.ending.extend(gone);
                worker.runs = assignment.run;
                worker.revision = assignment.revision;
            }
        }
        worker.read = self.log.len();
    }

    /// What was told to end has ended.
    fn end(&mut self, name: &str) {
        let Some(worker) = self.workers.get_mut(name) else { return };
        worker.ending.clear();
        let address = worker.cluster.address(name).unwrap_or_default();
        let report = Report { address, applied: worker.revision };
        self.log.push(Told::Worker(name.to_owned(), Some(report)));
    }

    fn lead(&mut self, wanted: &Work) {
        let leader = self.workers.iter().find(|(_, worker)| worker.cluster.leads());
        let Some(leader) = leader.map(|(name, _)| name.clone()) else { return };
        self.read(&leader);
        let worker = self.workers.get_mut(&leader).unwrap();
        worker.cluster.ask(self.now);
        let members: Vec<_> = self.group.iter().cloned().collect();
        worker.cluster.members(&members);
        self.log.extend(worker.cluster.lead(wanted, self.now, DELAY));
    }

    fn names(&self) -> Vec<String> {
        self.workers.keys().cloned().collect()
    }

    fn settle(&mut self, wanted: &Work) {
        for _ in 0..8 {
            self.lead(wanted);
            for name in self.names() {
                self.read(&name);
                self.end(&name);
            }
        }
    }

    /// No two workers run the same.
    fn check(&self) {
        let mut seen = HashMap::new();
        for (name, worker) in &self.workers {
            for subject in worker.runs.union(&worker.ending) {
                if let Some(other) = seen.insert(subject.clone(), name) {
                    panic!("{subject:?} runs on {name} and {other}");
                }
            }
        }
    }

    fn runs(&self) -> Work {
        self.workers.values().flat_map(|worker| worker.runs.iter().cloned()).collect()
    }
}

fn three() -> (World, Work) {
    let (mut world, wanted) = (World::new(), work([("a", 4), ("b", 2)]));
    for name in ["w1", "w2", "w3"] {
        world.join(name, name);
    }
    world.claim("w1");
    world.read("w1");
    world.settle(&wanted);
    assert_eq!(world.runs(), wanted);
    (world, wanted)
}

#[test]
fn work_is_shared_and_given_on_only_when_it_has_ended() {
    let (mut world, wanted) = three();
    world.join("w4", "w4");
    world.lead(&wanted);
    world.names().iter().for_each(|name| world.read(name));
    world.lead(&wanted);
    world.read("w4");
    assert_eq!(world.workers["w4"].runs, Work::new(), "what it is to get has not ended yet");
    assert!(world.workers["w1"].cluster.may_run_tasks_of("a"));
    world.settle(&wanted);
    assert_eq!(world.runs(), wanted);
    assert!(!world.workers["w4"].runs.is_empty());
}

#[test]
fn what_a_lost_worker_ran_waits_for_it() {
    let (mut world, wanted) = three();
    let lost = world.workers["w3"].runs.clone();
    world.die("w3");
    world.settle(&wanted);
    assert!(world.runs().is_disjoint(&lost));
    world.now = DELAY;
    world.settle(&wanted);
    assert_eq!(world.runs(), wanted);
}

#[test]
fn a_worker_that_returns_gets_back_what_it_ran() {
    let (mut world, wanted) = three();
    let lost = world.workers["w3"].runs.clone();
    world.die("w3");
    world.settle(&wanted);
    world.join("w3-again", "w3");
    world.settle(&wanted);
    assert_eq!(world.workers["w3-again"].runs, lost, "without waiting");
}

#[test]
fn a_worker_that_leaves_is_not_waited_for() {
    let (mut world, wanted) = three();
    world.leave("w3");
    world.settle(&wanted);
    assert_eq!(world.runs(), wanted);
}

#[test]
fn what_one_writes_who_does_not_lead_any_more_is_void() {
    let (mut world, wanted) = three();
    let before = world.workers["w3"].runs.clone();
    world.claim("w2");
    let assignment = Some(Assignment { revision: 9, ..Assignment::default() });
    world.log.push(Told::Assigned { worker: "w3".into(), by: Some("w1".into()), assignment });
    world.names().iter().for_each(|name| world.read(name));
    assert_eq!(world.workers["w3"].runs, before);
    let written = world.log.len();
    world.lead(&wanted);
    let again = &world.log[written..];
    let rewritten = |told: &Told| matches!(told, Told::Assigned { worker, .. } if worker == "w3");
    assert!(again.iter().any(rewritten), "compaction would have left the void one: {again:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Die(usize),
    Leave(usize),
    Claim(usize),
    Read(usize),
    End(usize),
    Lead,
    Pass(u64),
    Want(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0usize..4;
    prop_oneof![
        1 => worker.clone().prop_map(Step::Join),
        1 => worker.clone().prop_map(Step::Die),
        1 => worker.clone().prop_map(Step::Leave),
        1 => worker.clone().prop_map(Step::Claim),
        4 => worker.clone().prop_map(Step::Read),
        4 => worker.prop_map(Step::End),
        4 => Just(Step::Lead),
        1 => (0u64..4).prop_map(Step::Pass),
        1 => (0u32..6).prop_map(Step::Want),
    ]
}

proptest! {
    /// Whatever order things happen in: nothing runs twice, and in the end everything runs.
    #[test]
    fn nothing_runs_twice(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        let mut wanted = work([("a", 3)]);
        let mut starts = 0;
        for step in steps {
            let there = world.names();
            let of = |n: usize| there.get(n).cloned().unwrap_or_default();
            match step {
                Step::Join(address) => {
                    starts += 1;
                    world.join(&format!("w{starts:03}"), &format!("h{address}"));
                }
                // A worker that died has dropped what it ran before the group drops it: its lease.
                Step::Die(n) => world.die(&of(n)),
                Step::Leave(n) if !of(n).is_empty() => world.leave(&of(n)),
                // The group elects one who is there; it reads its claim before it acts.
                Step::Claim(n) if !of(n).is_empty() => {
                    world.claim(&of(n));
                    world.read(&of(n));
                }
                Step::Read(n) => world.read(&of(n)),
                Step::End(n) => world.end(&of(n)),
                Step::Lead => world.lead(&wanted),
                Step::Pass(seconds) => world.now += Duration::from_secs(seconds),
                Step::Want(tasks) => wanted = work([("a", tasks), ("b", 2)]),
                _ => {}
            }
            world.check();
        }
        world.join("w999", "h9");
        world.claim("w999");
        world.read("w999");
        for _ in 0..4 {
            world.settle(&wanted);
            world.now += DELAY;
            world.check();
        }
        prop_assert_eq!(world.runs(), wanted);
    }
}
