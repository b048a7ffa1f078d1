//! What the tests of carga share.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use carga::{Carga, Options, Store};
use connect_core::transport::Transport;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};

/// A running carga.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<connect_core::error::Result<()>>,
}

impl Running {
    pub(crate) async fn start(store: Arc<dyn Store>, log: Arc<dyn Transport>) -> Self {
        let options = Options {
            listen: "127.0.0.1:0".into(),
            timeout: Duration::from_secs(2),
            ..Options::default()
        };
        let carga = Carga::bind(options, store, log).await.unwrap();
        let address = carga.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(carga.run(async move {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) async fn post(&self, body: impl Into<Bytes>) -> (u16, String) {
        send(self.address, "POST", "/carga", body.into()).await
    }
    pub(crate) async fn health(&self) -> (u16, String) {
        send(self.address, "GET", "/health", Bytes::new()).await
    }
}

async fn send(address: SocketAddr, method: &str, path: &str, body: Bytes) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "carga");
    let response = client.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
