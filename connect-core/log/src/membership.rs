//! The group of the only worker that there can be.

use std::time::Duration;

use async_trait::async_trait;
use connect_core::{
    error::Result,
    transport::{Membership, Promise, Role},
};

/// Leads itself.
pub(crate) struct Alone {
    member: String,
    told: bool,
}

impl Alone {
    pub(crate) fn new(member: String) -> Self {
        Self { member, told: false }
    }
}

#[async_trait]
impl Membership for Alone {
    async fn changed(&mut self) -> Result<Role> {
        if std::mem::replace(&mut self.told, true) {
            std::future::pending::<()>().await;
        }
        Ok(Role::Leader)
    }

    /// For ever: nobody else can have the log's directory.
    fn renew(&self) -> Promise<Duration> {
        Box::pin(std::future::ready(Ok(Duration::MAX)))
    }

    fn members(&self) -> Promise<Vec<String>> {
        Box::pin(std::future::ready(Ok(vec![self.member.clone()])))
    }

    async fn leave(&mut self) -> Result<()> {
        Ok(())
    }
}
