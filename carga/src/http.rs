//! HTTP: two endpoints.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use connect_core::{
    error::{Error, Result},
    transport::Transport,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    Options, Record, Store,
    service::{Refusal, Service},
};

/// How long requests that are underway have to end when the service is told to.
const GRACE: Duration = Duration::from_secs(15);

/// carga, listening.
pub struct Carga {
    listener: TcpListener,
    address: SocketAddr,
    service: Arc<Service>,
}

impl Carga {
    /// Listens; requests are served once [`run`](Self::run) is called. Store and log need not be up.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) when the address cannot be listened on.
    pub async fn bind(
        options: Options,
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self> {
        let failed = |e| {
            Error::config("cannot listen: is the port taken?")
                .context("address", &options.listen)
                .with_source(e)
        };
        let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, service: Arc::new(Service::new(store, transport, options)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves and what was underway has ended.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let limit = DefaultBodyLimit::max(self.service.options().max_body);
        let router = Router::new()
            .route("/carga", post(carga))
            .route("/health", get(health))
            .layer(limit)
            .with_state(self.service);
        let (told, telling) = tokio::sync::oneshot::channel();
        let signal = async move {
            shutdown.await;
            // The receiver lives as long as the server.
            let _ = told.send(());
        };
        let server = axum::serve(self.listener, router).with_graceful_shutdown(signal);
        let too_slow = async {
            if telling.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = server => {
                served.map_err(|e| Error::internal("the HTTP server failed").with_source(e))
            }
            () = too_slow => {
                tracing::warn!("clients that are still connected are cut off");
                Ok(())
            }
        }
    }
}

fn detail(status: StatusCode, detail: impl Into<Value>) -> Response {
    (status, Json(json!({"detail": detail.into()}))).into_response()
}

async fn carga(
    State(service): State<Arc<Service>>,
    body: Result<axum::body::Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return detail(rejection.status(), rejection.body_text()),
    };
    let record = match Record::parse(&body) {
        Ok(record) => record,
        Err(wrong) => return detail(StatusCode::UNPROCESSABLE_ENTITY, wrong),
    };
    let Err(refusal) = service.take(record).await else {
        return Json(json!({"status": "Dados inseridos e mensagem enviada ao Kafka"}))
            .into_response();
    };
    let (what, error) = match refusal {
        Refusal::Busy => {
            return detail(StatusCode::SERVICE_UNAVAILABLE, "busy: send the record again later");
        }
        Refusal::Store(error) => ("store", error),
        Refusal::Log(error) => ("log", error),
    };
    tracing::warn!(error = error.trace().trim_end(), "the {what} cannot take a record");
    detail(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the {what} cannot take the record: {error}; it may be sent again"),
    )
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    let (store, log) = service.check().await;
    let healthy = store.is_ok() && log.is_ok();
    let say = |part: Result<()>| part.map_or_else(|e| format!("down: {e}"), |()| "up".to_owned());
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if healthy { "healthy" } else { "unhealthy" };
    (status, Json(json!({"status": word, "store": say(store), "log": say(log)}))).into_response()
}
