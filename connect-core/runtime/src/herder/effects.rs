//! Carries out what the state decides.

use std::{collections::VecDeque, sync::Arc};

use connect_core::{error::Result, transport::Durable};

use super::{
    ConnectorView, Status,
    actor::{Actor, Connectors},
    events::{Effect, Event},
};
use crate::storage::{Stored, Subject};

/// A status that the log does not take is only shown here: what is to run does not wait for it.
fn told(written: Result<Durable>) -> Option<Durable> {
    let refused = |error: &_| tracing::error!(%error, "cannot store a status");
    written.inspect_err(refused).ok()
}

impl Actor {
    /// Takes an event in, and carries out what follows from it.
    pub(super) async fn handle(&mut self, event: Event) -> Result<()> {
        for durable in self.carry_out(event).await? {
            tokio::spawn(async move {
                if let Err(error) = durable.await {
                    tracing::error!(%error, "cannot store a status");
                }
            });
        }
        Ok(())
    }

    /// The same; what was written to the status topic is durable when the returned futures resolve.
    pub(super) async fn carry_out(&mut self, event: Event) -> Result<Vec<Durable>> {
        let (mut durable, mut failed) = (Vec::new(), None);
        let mut effects = VecDeque::from(self.model.step(event));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Start { subject, run, config } => self.worker.start(subject, run, config),
                Effect::Stop(subject) => self.worker.stop(&subject),
                Effect::Store(changes) => {
                    self.unbalanced = true;
                    let stored = match self.configs.write(&changes).await {
                        Ok(stored) => stored,
                        Err(error) => {
                            failed.get_or_insert(error);
                            continue;
                        }
                    };
                    for stored in stored {
                        match stored {
                            Stored::Logger { name, level } => drop(self.loggers.set(&name, level)),
                            stored => effects.extend(self.model.step(Event::Stored(stored))),
                        }
                    }
                }
                Effect::Submit { connector, run, configs } => match self.leads() {
                    true => effects.extend(self.model.step(Event::Tasks { connector, configs })),
                    false => self.submit(connector, run, configs).await,
                },
                Effect::Topic { connector, topic, task } => {
                    let written = self.statuses.write_topic(&connector, &topic, task).await;
                    durable.extend(told(written));
                }
                Effect::Repeat(subject, status) => {
                    if self.worker.context().lease.holds() {
                        effects.push_back(Effect::Status(subject, Some(status)));
                    }
                }
                Effect::Status(subject, mut status) => {
                    if let Some(status) = status.as_mut().filter(|s| s.version.is_empty()) {
                        self.add_version(&subject, status);
                    }
                    durable.extend(told(self.statuses.write(&subject, status.as_ref()).await));
                }
            }
        }
        failed.map_or(Ok(durable), Err)
    }

    /// Adds the version of the plugin to a status of something that has not run yet.
    fn add_version(&mut self, subject: &Subject, status: &mut Status) {
        let config = self.model.connectors.get(subject.name()).map(|connector| &connector.config);
        let plugin = config.and_then(|config| self.worker.context().plugin(config).ok());
        if let Some(plugin) = plugin {
            status.version = plugin.version().to_owned();
            self.model.set_version(subject, plugin.version());
        }
    }

    /// Shows what has changed to those who ask.
    pub(super) fn publish(&mut self) {
        let changed = self.model.take_changed();
        if changed.is_empty() {
            return;
        }
        let mut views = Connectors::clone(&self.publish.borrow());
        for name in changed {
            let Some(connector) = self.model.connectors.get(&name) else {
                views.remove(&name);
                continue;
            };
            let view = ConnectorView {
                ty: self.worker.context().plugin(&connector.config).ok().map(|plugin| plugin.ty()),
                config: connector.config.clone(),
                tasks: connector.wanted.tasks.clone(),
                status: connector.status.clone(),
                task_status: connector.task_status.clone(),
                topics: connector.topics.clone(),
            };
            views.insert(name, Arc::new(view));
        }
        self.publish.send_replace(Arc::new(views));
    }
}
