//! Who runs what: as even as it can be, with as few moves as that takes. Without IO (invariant 6).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
};

use crate::storage::{Assignment, Subject, Work};

/// What is known before work is given out.
pub(crate) struct Given<'a> {
    /// All that should run.
    pub(crate) wanted: &'a Work,
    /// The workers that may be given work, with what they have.
    pub(crate) live: &'a BTreeMap<String, Assignment>,
    /// What a worker that is not live may still run, or what waits for its worker to return.
    pub(crate) held: &'a HashSet<&'a Subject>,
    /// Who had what nobody has now: it gets it back, if there is room.
    pub(crate) before: &'a HashMap<Subject, String>,
}

/// What each worker should run, of those for which that changes. Connectors are spread evenly, and tasks are: no worker
/// has more than one more than another. A worker keeps what it has as far as that allows.
pub(crate) fn balance(given: &Given<'_>) -> BTreeMap<String, Work> {
    let workers: Vec<&String> = given.live.keys().collect();
    if workers.is_empty() {
        return BTreeMap::new();
    }
    let kept = given.live.values().map(|a| a.run.intersection(given.wanted).cloned().collect());
    let mut next: Vec<Work> = kept.collect();
    let releasing = given.live.values().flat_map(|assignment| &assignment.release);
    let held: HashSet<&Subject> = releasing.chain(given.held.iter().copied()).collect();
    for tasks in [false, true] {
        let of_class = |subject: &&Subject| matches!(subject, Subject::Task(..)) == tasks;
        let wanted = given.wanted.iter().filter(of_class).count();
        let counts: Vec<usize> = next.iter().map(|w| w.iter().filter(of_class).count()).collect();
        let room = rooms(wanted, &counts, &returning(&workers, given.before, tasks));
        // What is above its share is taken away now and given out when its worker has let it go.
        let mut moved = HashSet::new();
        let mut taken: HashSet<Subject> = HashSet::new();
        for (at, work) in next.iter_mut().enumerate() {
            for _ in room[at]..counts[at] {
                let last = work.iter().rev().find(of_class).cloned();
                if let Some(last) = last {
                    work.remove(&last);
                    moved.insert(last);
                }
            }
            taken.extend(work.iter().filter(of_class).cloned());
        }
        let free = given.wanted.iter().filter(of_class).filter(|subject| {
            !taken.contains(subject) && !moved.contains(*subject) && !held.contains(subject)
        });
        give(free, &workers, given.before, &room, &counts, &mut next);
    }
    let changed = workers.into_iter().zip(next);
    let changed = changed.filter(|(worker, work)| given.live[*worker].run != *work);
    changed.map(|(worker, work)| (worker.clone(), work)).collect()
}

/// How much of a class each worker had that nobody has now.
fn returning(workers: &[&String], before: &HashMap<Subject, String>, tasks: bool) -> Vec<usize> {
    let mut counts = vec![0; workers.len()];
    let of_class = before.iter().filter(|(s, _)| matches!(s, Subject::Task(..)) == tasks);
    for at in of_class.filter_map(|(_, old)| workers.binary_search(&old).ok()) {
        counts[at] += 1;
    }
    counts
}

/// How many each may have: those that have most, or had, may have the one more that division leaves.
fn rooms(wanted: usize, counts: &[usize], returning: &[usize]) -> Vec<usize> {
    let (low, extra) = (wanted / counts.len(), wanted % counts.len());
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|at| Reverse(counts[*at] + returning[*at]));
    let mut rooms = vec![low; counts.len()];
    order.into_iter().take(extra).for_each(|at| rooms[at] += 1);
    rooms
}

fn give<'a>(
    free: impl Iterator<Item = &'a Subject>,
    workers: &[&String],
    before: &HashMap<Subject, String>,
    room: &[usize],
    counts: &[usize],
    next: &mut [Work],
) {
    let mut counts: Vec<usize> =
        counts.iter().zip(room).map(|(count, room)| *count.min(room)).collect();
    let mut rest = Vec::new();
    for subject in free {
        let old = before.get(subject).and_then(|old| workers.binary_search(&old).ok());
        match old.filter(|at| counts[*at] < room[*at]) {
            Some(at) => {
                counts[at] += 1;
                next[at].insert(subject.clone());
            }
            None => rest.push(subject),
        }
    }
    let open = (0..workers.len()).filter(|at| counts[*at] < room[*at]);
    let mut open: BinaryHeap<_> = open.map(|at| Reverse((counts[at], at))).collect();
    for subject in rest {
        // There is room for all that is wanted; what is held elsewhere keeps some of it empty.
        let Some(Reverse((count, at))) = open.pop() else { return };
        next[at].insert(subject.clone());
        if count + 1 < room[at] {
            open.push(Reverse((count + 1, at)));
        }
    }
}

/// All that should run, of so many connectors with so many tasks each.
#[cfg(test)]
pub(crate) fn work<'a>(connectors: impl IntoIterator<Item = (&'a str, u32)>) -> Work {
    let mut work = Work::new();
    for (name, tasks) in connectors {
        work.insert(Subject::Connector(name.to_owned()));
        work.extend((0..tasks).map(|task| Subject::Task(name.to_owned(), task)));
    }
    work
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn settle(wanted: &Work, live: &mut BTreeMap<String, Assignment>) -> usize {
        let mut moves = 0;
        loop {
            let (held, before) = (HashSet::new(), HashMap::new());
            let given = Given { wanted, live, held: &held, before: &before };
            let changes = balance(&given);
            if changes.is_empty() && live.values().all(|a| a.release.is_empty()) {
                return moves;
            }
            live.values_mut().for_each(|assignment| assignment.release.clear());
            for (worker, run) in changes {
                let assignment = live.get_mut(&worker).unwrap();
                let gone = assignment.run.difference(&run).filter(|s| wanted.contains(s));
                moves += gone.count();
                assignment.release = assignment.run.difference(&run).cloned().collect();
                assignment.run = run;
            }
        }
    }

    fn workers(count: usize) -> BTreeMap<String, Assignment> {
        (0..count).map(|n| (format!("w{n}"), Assignment::default())).collect()
    }

    fn spread(live: &BTreeMap<String, Assignment>, tasks: bool) -> (usize, usize) {
        let of_class = |subject: &&Subject| matches!(subject, Subject::Task(..)) == tasks;
        let counts = live.values().map(|a| a.run.iter().filter(of_class).count());
        (counts.clone().min().unwrap(), counts.max().unwrap())
    }

    #[test]
    fn what_is_held_elsewhere_is_not_given_out() {
        let wanted = work([("a", 2)]);
        let task = Subject::Task("a".into(), 1);
        let (held, before) = (HashSet::from([&task]), HashMap::new());
        let live = workers(2);
        let given = Given { wanted: &wanted, live: &live, held: &held, before: &before };
        let given_out: BTreeSet<_> = balance(&given).into_values().flatten().collect();
        assert!(!given_out.contains(&task) && given_out.len() == 2, "{given_out:?}");
    }

    #[test]
    fn a_worker_gets_back_what_it_had() {
        let wanted = work([("a", 4)]);
        let before: HashMap<_, _> = wanted.iter().map(|s| (s.clone(), "w1".to_owned())).collect();
        let (held, live) = (HashSet::new(), workers(2));
        let given = Given { wanted: &wanted, live: &live, held: &held, before: &before };
        let got = &balance(&given)["w1"];
        assert!(got.contains(&Subject::Task("a".into(), 0)) && got.len() == 3, "{got:?}");
    }

    proptest! {
        /// Whatever joins, leaves and changes: even to within one, everything somewhere once, and no more moves than the
        /// shares of those who have too much.
        #[test]
        fn even_with_few_moves(
            steps in prop::collection::vec((1usize..8, prop::collection::vec(0u32..9, 0..6)), 1..8)
        ) {
            let mut live = BTreeMap::new();
            for (count, tasks) in steps {
                let names: Vec<String> = (0..tasks.len()).map(|n| format!("c{n}")).collect();
                let wanted = work(names.iter().map(String::as_str).zip(tasks));
                let mut next = workers(count);
                for (worker, assignment) in &mut next {
                    if let Some(old) = live.remove(worker) {
                        *assignment = old;
                    }
                }
                live = next;
                let mut too_many = 0;
                for class in [false, true] {
                    let of_class = |s: &&Subject| matches!(s, Subject::Task(..)) == class;
                    let kept = |a: &Assignment| a.run.intersection(&wanted).filter(of_class).count();
                    let share = wanted.iter().filter(of_class).count() / count;
                    too_many += live.values().map(|a| kept(a).saturating_sub(share)).sum::<usize>();
                }
                let moves = settle(&wanted, &mut live);
                prop_assert!(moves <= too_many, "{moves} moves, {too_many} above the shares");
                let all: Vec<_> = live.values().flat_map(|a| a.run.iter().cloned()).collect();
                prop_assert_eq!(all.len(), wanted.len());
                prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), wanted);
                for class in [false, true] {
                    let (min, max) = spread(&live, class);
                    prop_assert!(max - min <= 1, "{min} to {max}");
                }
            }
        }
    }
}
