//! What the leader does when it is asked to: it alone writes the config topic.

use connect_core::{
    config::Properties,
    error::{Error, Result},
};
use tokio::sync::oneshot;

use super::{
    Refusal, Restart, TargetState,
    actor::{Actor, Reply, Waiting},
    events::{Event, Observed},
    offsets,
};
use crate::storage::{Answer, OffsetChanges, Replaces, Request, RestartOrder, Stored, Told};

impl Actor {
    /// Carries a request out and answers it. An answer that nobody waits for any more is that of a request that timed out.
    pub(super) async fn execute(&mut self, request: Request, reply: Reply) {
        let done = |()| Answer::Done;
        let answer = match request {
            Request::Put { name, config, replaces } => self.put(name, config, replaces).await,
            Request::Delete { name } => match self.model.connectors.contains_key(&name) {
                true => self.write(vec![Stored::Removed { name }]).await.map(done),
                false => Err(Refusal::NotFound(format!("Connector {name} not found"))),
            },
            Request::Target { name, target } => match self.model.connectors.contains_key(&name) {
                true => self.write(vec![Stored::Target { name, target }]).await.map(done),
                false => Err(Refusal::NotFound(format!("Unknown connector {name}"))),
            },
            Request::Restart { name, what } => self.restart(name, what).await,
            Request::RestartTask { name, task } => self.restart_task(name, task).await,
            Request::ResetTopics { name } => {
                let event = Event::ResetTopics { connector: name };
                self.handle(event).await.map_err(Refusal::Failed).map(done)
            }
            Request::Alter { name, offsets } => return self.alter(name, offsets, reply),
            Request::Level { logger, level } => {
                self.write(vec![Stored::Logger { name: logger, level }]).await.map(done)
            }
            Request::Fence { name } => return self.fence_tasks(name, reply),
            Request::Tasks { name, configs } => {
                let event = Event::Tasks { connector: name, configs };
                self.handle(event).await.map_err(Refusal::Failed).map(done)
            }
        };
        self.publish();
        let _ = reply.send(answer);
    }

    async fn write(&mut self, changes: Vec<Stored>) -> Result<(), Refusal> {
        let failed = |error: Error| {
            let message = "Failed to write to config topic; this may be due to a transient error and \
                           the request can be safely retried";
            Refusal::Failed(Error::connection(message).with_source(error))
        };
        let stored = self.configs.write(&changes).await.map_err(failed)?;
        self.stored(stored).await.map_err(failed)
    }

    async fn order(&mut self, order: RestartOrder) -> Result<(), Refusal> {
        let by = self.cluster.me().to_owned();
        self.topic.write(&[Told::Restart { by, order }]).await.map_err(Refusal::Failed)
    }

    async fn restart(&mut self, connector: String, what: Restart) -> Result<Answer, Refusal> {
        if !self.model.connectors.contains_key(&connector) {
            return Err(Refusal::NotFound(format!("Unknown connector: {connector}")));
        }
        let (instance, tasks) = self.model.restarted(&connector, what);
        self.order(RestartOrder { connector, instance, tasks: tasks.clone() }).await?;
        Ok(Answer::Restarted { instance, tasks })
    }

    async fn restart_task(&mut self, name: String, task: u32) -> Result<Answer, Refusal> {
        let connector = self.model.connectors.get(&name);
        let connector =
            connector.ok_or_else(|| Refusal::NotFound(format!("Unknown connector: {name}")))?;
        if task as usize >= connector.wanted.tasks.len() {
            return Err(Refusal::NotFound(format!("Unknown task: {name}-{task}")));
        }
        self.order(RestartOrder { connector: name, instance: false, tasks: vec![task] }).await?;
        Ok(Answer::Done)
    }

    /// Answers when it is done, without keeping other requests.
    fn alter(&mut self, name: String, offsets: Option<OffsetChanges>, reply: Reply) {
        let Some(connector) = self.model.connectors.get(&name) else {
            let _ = reply.send(Err(Refusal::NotFound(format!("Connector {name} not found"))));
            return;
        };
        if connector.wanted.target != TargetState::Stopped {
            let message = format!(
                "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for \
                 the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
            );
            let _ = reply.send(Err(Refusal::BadRequest(message)));
            return;
        }
        let (go, ended) = oneshot::channel();
        let fenced = connector.wanted.fenced.unwrap_or(0);
        let config = connector.config.clone();
        self.waiting.push(Waiting { connector: name.clone(), go });
        self.unbalanced = true;
        let context = self.worker.shared_context();
        tokio::spawn(async move {
            let altered = offsets::alter(&context, ended, fenced, &name, &config, offsets).await;
            let _ = reply.send(altered.map(Answer::Altered));
        });
    }

    /// Fences what earlier tasks of a source have left, once for all tasks that ask.
    fn fence_tasks(&mut self, connector: String, reply: Reply) {
        let Some((before, tasks)) = self.model.to_fence(&connector) else {
            let _ = reply.send(Ok(Answer::Done));
            return;
        };
        let waiting = self.fencing.entry(connector.clone()).or_default();
        waiting.push(reply);
        if waiting.len() > 1 {
            return;
        }
        let context = self.worker.shared_context();
        tokio::spawn(async move {
            let id = |task| context.config.transactional_id(&connector, task);
            let ids: Vec<_> = (0..before).map(id).collect();
            let result = context.transport.fence(&ids).await.map_err(|e| e.trace());
            // The herder has gone: the next leader is asked.
            let _ = context.observed.send(Observed::TasksFenced { connector, tasks, result });
        });
    }

    /// Remembers that earlier tasks are fenced, and lets the new ones go on.
    pub(super) async fn tasks_fenced(
        &mut self,
        name: String,
        tasks: u32,
        result: Result<(), String>,
    ) {
        let waiting = self.fencing.remove(&name).unwrap_or_default();
        // Configured anew meanwhile, there is more to fence: the tasks ask again.
        let current = self.model.to_fence(&name).is_some_and(|(_, now)| now == tasks);
        let result = match result {
            Ok(()) if current => match self.write(vec![Stored::Fenced { name, tasks }]).await {
                Ok(()) => Ok(()),
                Err(refusal) => Err(refusal.to_string()),
            },
            Ok(()) => Err("the tasks were configured anew meanwhile".to_owned()),
            Err(error) => Err(error),
        };
        for reply in waiting {
            let answer = result.clone().map(|()| Answer::Done);
            let _ = reply.send(answer.map_err(|e| Refusal::Failed(Error::connection(e))));
        }
    }

    async fn put(
        &mut self,
        name: String,
        config: Properties,
        replaces: Replaces,
    ) -> Result<Answer, Refusal> {
        let known = self.model.connectors.get(&name);
        let existed = known.is_some();
        let target = match replaces {
            Replaces::Nothing(_) if existed => {
                return Err(Refusal::Conflict(format!("Connector {name} already exists")));
            }
            Replaces::Exactly(old) if known.is_none_or(|known| known.config != old) => {
                return Ok(Answer::Changed);
            }
            Replaces::Nothing(target) => target,
            _ => TargetState::Started,
        };
        let mut changes = vec![Stored::Connector { name: name.clone(), config }];
        if !existed {
            // First, so that it never runs in another state; and also when it is to be started, so that a state
            // left over from an earlier connector of this name does not count.
            changes.insert(0, Stored::Target { name: name.clone(), target });
        }
        self.write(changes).await?;
        Ok(Answer::Stored(!existed))
    }
}
