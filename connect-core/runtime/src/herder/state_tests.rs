use proptest::prelude::*;

use super::*;
use crate::storage::StatusChange;

fn config(value: &str) -> Properties {
    Properties::from([("connector.class".into(), value.into())])
}

fn put(name: &str, value: &str) -> Event {
    Event::Stored(Stored::Connector { name: name.into(), config: config(value) })
}

fn target(name: &str, target: TargetState) -> Event {
    Event::Stored(Stored::Target { name: name.into(), target })
}

/// A worker that leads.
fn leader() -> Model {
    let mut model = Model::new("w:1".into());
    model.step(Event::Leads(true));
    model
}

/// Carries out stores at once, brings in line what is stored and gives all work to this worker, as the actor of a worker that is
/// alone does; returns the other effects.
fn settle(model: &mut Model, event: Event) -> Vec<Effect> {
    let mut queue = std::collections::VecDeque::from([event]);
    let mut rest = Vec::new();
    loop {
        let event = queue.pop_front().unwrap_or(Event::Leads(model.leads));
        let mut effects = model.step(event);
        if effects.is_empty() && queue.is_empty() {
            if model.work() == model.assigned {
                return rest;
            }
            effects = model.step(Event::Assigned(model.work()));
        }
        for effect in effects {
            match effect {
                Effect::Store(stored) => queue.extend(stored.into_iter().map(Event::Stored)),
                Effect::Submit { connector, configs, .. } => {
                    queue.push_back(Event::Tasks { connector, configs });
                }
                other => rest.push(other),
            }
        }
    }
}

fn run_of(model: &Model, name: &str) -> u64 {
    model.connectors[name].run.unwrap()
}

fn tasks(model: &mut Model, name: &str, configs: &[&str]) -> Vec<Effect> {
    let run = run_of(model, name);
    let configs = configs.iter().map(|c| config(c)).collect();
    settle(model, Event::Observed(Observed::Tasks { connector: name.into(), run, configs }))
}

fn started(effects: &[Effect]) -> Vec<Subject> {
    let subject = |effect: &Effect| match effect {
        Effect::Start { subject, .. } => Some(subject.clone()),
        _ => None,
    };
    effects.iter().filter_map(subject).collect()
}

#[test]
fn a_connector_and_its_tasks_start_once() {
    let mut model = leader();
    assert_eq!(started(&settle(&mut model, put("a", "x"))), [Subject::Connector("a".into())]);
    let task = |n| Subject::Task("a".into(), n);
    assert_eq!(started(&tasks(&mut model, "a", &["1", "2"])), [task(0), task(1)]);
    assert_eq!(started(&tasks(&mut model, "a", &["1", "2"])), []);
    assert_eq!(started(&tasks(&mut model, "a", &["1", "3"])), [task(1)], "only what has changed");
    let fewer = tasks(&mut model, "a", &["1"]);
    assert!(fewer.contains(&Effect::Stop(task(1))) && started(&fewer).is_empty());
}

#[test]
fn nothing_runs_that_was_not_assigned() {
    let mut model = Model::new("w:1".into());
    assert_eq!(model.step(target("a", TargetState::Paused)), []);
    assert_eq!(model.step(put("a", "x")), []);
    assert_eq!(model.step(put("b", "x")), []);
    let assigned = model.step(Event::Assigned(model.work()));
    assert_eq!(started(&assigned), [Subject::Connector("b".into())]);
    let status = model.connectors["a"].status.clone().unwrap();
    assert_eq!(status.state, State::Paused, "the target state came before the configuration");
}

#[test]
fn stop_removes_the_tasks_and_resume_brings_them_back() {
    let mut model = leader();
    settle(&mut model, put("a", "x"));
    tasks(&mut model, "a", &["1"]);
    let stopped = settle(&mut model, target("a", TargetState::Stopped));
    assert!(stopped.contains(&Effect::Stop(Subject::Connector("a".into()))));
    assert!(model.connectors["a"].wanted.tasks.is_empty());
    assert_eq!(model.connectors["a"].status.as_ref().unwrap().state, State::Stopped);
    assert_eq!(
        started(&settle(&mut model, target("a", TargetState::Started))),
        [Subject::Connector("a".into())]
    );
    assert_eq!(started(&tasks(&mut model, "a", &["1"])), [Subject::Task("a".into(), 0)]);
}

#[test]
fn the_status_of_a_stopped_task_stays_until_it_has_ended() {
    let mut model = leader();
    settle(&mut model, put("a", "x"));
    tasks(&mut model, "a", &["1"]);
    let (run, _) = model.connectors["a"].task_runs[&0].clone();
    let subject = Subject::Task("a".into(), 0);
    let running = Observed::Running { subject: subject.clone(), run, version: "1".into() };
    settle(&mut model, Event::Observed(running));
    let gone = Effect::Status(subject.clone(), None);
    assert!(!settle(&mut model, target("a", TargetState::Stopped)).contains(&gone));
    assert_eq!(model.connectors["a"].task_status.len(), 1);
    let ended = Observed::Ended { subject, run };
    assert_eq!(settle(&mut model, Event::Observed(ended)), [gone]);
    assert!(model.connectors["a"].task_status.is_empty());
}

#[test]
fn news_of_an_earlier_start_are_ignored() {
    let mut model = leader();
    settle(&mut model, put("a", "x"));
    let old = run_of(&model, "a");
    settle(&mut model, put("a", "y"));
    let subject = Subject::Connector("a".into());
    let late = Observed::Failed { subject, run: old, trace: "late".into() };
    assert_eq!(settle(&mut model, Event::Observed(late)), []);
}

#[test]
fn a_failed_task_stays_failed_when_paused_and_restarts_on_demand() {
    let mut model = leader();
    settle(&mut model, put("a", "x"));
    tasks(&mut model, "a", &["1", "2"]);
    let (run, _) = model.connectors["a"].task_runs[&0].clone();
    let subject = Subject::Task("a".into(), 0);
    settle(
        &mut model,
        Event::Observed(Observed::Failed { subject: subject.clone(), run, trace: "bad".into() }),
    );
    settle(&mut model, target("a", TargetState::Paused));
    let state = |model: &Model, task| model.connectors["a"].task_status[&task].state;
    assert_eq!((state(&model, 0), state(&model, 1)), (State::Failed, State::Paused));
    let resumed = settle(&mut model, target("a", TargetState::Started));
    assert!(!started(&resumed).contains(&subject));
    let what = Restart { include_tasks: true, only_failed: true };
    let (instance, tasks) = model.restarted("a", what);
    let order = RestartOrder { connector: "a".into(), instance, tasks };
    let restarted = settle(&mut model, Event::Restart(order));
    assert_eq!(started(&restarted), [subject]);
    assert_eq!(state(&model, 0), State::Restarting);
}

#[test]
fn topics_are_remembered_once_and_forgotten_with_the_connector() {
    let mut model = leader();
    settle(&mut model, put("a", "x"));
    let used =
        || Event::Observed(Observed::Topic { connector: "a".into(), task: 1, topic: "t".into() });
    let told = |task| Effect::Topic { connector: "a".into(), topic: "t".into(), task };
    assert_eq!(settle(&mut model, used()), [told(Some(1))]);
    assert_eq!(settle(&mut model, used()), []);
    assert_eq!(settle(&mut model, Event::ResetTopics { connector: "a".into() }), [told(None)]);
    assert_eq!(settle(&mut model, used()), [told(Some(1))]);
    let removed = settle(&mut model, Event::Stored(Stored::Removed { name: "a".into() }));
    assert!(removed.contains(&told(None)));
    assert_eq!(settle(&mut model, used()), [], "of a connector that is gone");
}

#[test]
fn a_worker_that_leaves_says_so_of_what_it_ran() {
    let mut model = leader();
    for (name, state) in [("run", TargetState::Started), ("stop", TargetState::Stopped)] {
        settle(&mut model, target(name, state));
        settle(&mut model, put(name, "x"));
    }
    let (subject, run) = (Subject::Connector("run".into()), run_of(&model, "run"));
    settle(
        &mut model,
        Event::Observed(Observed::Running { subject: subject.clone(), run, version: "1".into() }),
    );
    let left = model.step(Event::Assigned(Work::new()));
    let [Effect::Stop(stopped), Effect::Status(who, Some(status))] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!((stopped, who, status.state), (&subject, &subject, State::Unassigned));
    assert_eq!(model.connectors["stop"].status.as_ref().unwrap().state, State::Stopped);
}

fn status(state: State) -> Status {
    Status { state, worker_id: "v:2".into(), trace: String::new(), version: String::new() }
}

fn told(subject: Subject, status: Option<Status>) -> Event {
    Event::Told(StatusChange::Status(subject, status))
}

#[test]
fn statuses_of_others_are_taken_over_and_echoes_are_not() {
    let mut model = Model::new("w:1".into());
    let (a, task) = (Subject::Connector("a".into()), Subject::Task("a".into(), 0));
    model.step(told(task.clone(), Some(status(State::Running))));
    model.step(put("a", "x"));
    model.step(told(a.clone(), Some(status(State::Running))));
    assert_eq!(model.connectors["a"].task_status[&0].state, State::Running, "it came early");
    assert_eq!(model.connectors["a"].status.as_ref().unwrap().state, State::Running);
    model.step(Event::Assigned(Work::from([a.clone()])));
    model.step(told(a, Some(status(State::Failed))));
    assert_eq!(model.connectors["a"].status.as_ref().unwrap().state, State::Running);
    model.step(told(task, None));
    assert!(model.connectors["a"].task_status.is_empty());
}

#[test]
fn a_worker_that_was_expelled_believes_those_who_run_its_work() {
    let mut model = Model::new("w:1".into());
    let a = Subject::Connector("a".into());
    model.step(put("a", "x"));
    model.step(Event::Assigned(Work::from([a.clone()])));
    let (subject, run) = (a.clone(), run_of(&model, "a"));
    model.step(Event::Observed(Observed::Running { subject, run, version: "1".into() }));
    let ours = model.connectors["a"].status.clone().unwrap();
    model.step(told(a.clone(), Some(ours.clone())));
    assert_eq!(model.connectors["a"].status, Some(ours.clone()));
    // The other one begins before this one knows; what this one says again is not written without the lease.
    let repeated = model.step(told(a.clone(), Some(status(State::Running))));
    assert_eq!(repeated, [Effect::Repeat(a.clone(), ours)]);
    assert_eq!(model.step(Event::Expelled), []);
    assert_eq!(model.connectors["a"].status, Some(status(State::Running)));
    let late = Observed::Failed { subject: a, run, trace: "stopped".into() };
    assert_eq!(model.step(Event::Observed(late)), []);
    assert_eq!(model.connectors["a"].status, Some(status(State::Running)));
}

#[test]
fn a_leader_removes_the_last_words_about_what_is_gone() {
    let mut model = leader();
    let task = Subject::Task("a".into(), 0);
    let last = told(task.clone(), Some(status(State::Unassigned)));
    assert_eq!(model.step(last.clone()), [Effect::Status(task.clone(), None)]);
    model.step(Event::Leads(false));
    assert_eq!(model.step(last), []);
    settle(&mut model, put("a", "x"));
    model.step(Event::Leads(true));
    model.connectors.get_mut("a").unwrap().task_status.insert(0, status(State::Running));
    let lost = Event::Lost { address: "v:2".into() };
    assert_eq!(model.step(lost), [Effect::Status(task, None)], "nobody else would");
}

#[test]
fn only_the_leader_stores() {
    let mut model = Model::new("w:1".into());
    model.step(put("a", "x"));
    model.step(Event::Assigned(model.work()));
    let (connector, configs, run) = ("a".to_owned(), vec![config("1")], run_of(&model, "a"));
    let observed = Observed::Tasks { connector: connector.clone(), run, configs: configs.clone() };
    let submit = Effect::Submit { connector, run, configs };
    assert_eq!(model.step(Event::Observed(observed)), [submit]);
    for stored in [
        Stored::Task { name: "a".into(), task: 0, config: config("1") },
        Stored::Commit { name: "a".into(), tasks: 1 },
        Stored::Target { name: "a".into(), target: TargetState::Stopped },
    ] {
        let effects = model.step(Event::Stored(stored));
        assert!(!effects.iter().any(|e| matches!(e, Effect::Store(_))), "{effects:?}");
    }
    let stopped = Effect::Store(vec![Stored::Commit { name: "a".into(), tasks: 0 }]);
    assert_eq!(model.step(Event::Leads(true)), [stopped], "what the last leader has left undone");
}

fn any_event() -> impl Strategy<Value = Event> {
    let name = prop::sample::select(vec!["a", "b"]);
    let state =
        prop::sample::select(vec![TargetState::Started, TargetState::Paused, TargetState::Stopped]);
    let value = prop::sample::select(vec!["x", "y"]);
    prop_oneof![
        (name.clone(), value).prop_map(|(n, v)| put(n, v)),
        name.clone().prop_map(|n| Event::Stored(Stored::Removed { name: n.into() })),
        (name.clone(), state).prop_map(|(n, s)| target(n, s)),
        (name.clone(), any::<bool>(), prop::collection::vec(0u32..3, 0..3)).prop_map(
            |(n, instance, tasks)| {
                Event::Restart(RestartOrder { connector: n.into(), instance, tasks })
            }
        ),
        (name, 0u64..20, 0usize..4).prop_map(|(n, run, tasks)| {
            let configs = (0..tasks).map(|t| config(&t.to_string())).collect();
            Event::Observed(Observed::Tasks { connector: n.into(), run, configs })
        }),
    ]
}

proptest! {
    /// Whatever happens: what the effects leave running is exactly what is wanted.
    #[test]
    fn effects_keep_step_with_the_state(events in prop::collection::vec(any_event(), 0..60)) {
        let mut model = leader();
        let mut running = BTreeSet::new();
        for event in events {
            for effect in settle(&mut model, event) {
                match effect {
                    Effect::Start { subject, .. } => drop(running.insert(subject)),
                    Effect::Stop(subject) => drop(running.remove(&subject)),
                    _ => {}
                }
            }
        }
        let mut wanted = BTreeSet::new();
        for (name, connector) in &model.connectors {
            if connector.wanted.target == TargetState::Started {
                wanted.insert(Subject::Connector(name.clone()));
                let tasks = 0..connector.wanted.tasks.len() as u32;
                wanted.extend(tasks.map(|task| Subject::Task(name.clone(), task)));
            }
        }
        prop_assert_eq!(running, wanted);
    }
}
