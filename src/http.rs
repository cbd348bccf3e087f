//! Health over HTTP: is the process alive, and can it work?
//!
//! Owns `/livez` and `/readyz`. Answers from what the worker already knows; never asks a database.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why the worker is not ready; `None` when it is.
pub type Readiness = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Serves until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, readiness: Readiness, stop: CancellationToken) -> std::io::Result<()> {
    let ready = move || {
        let readiness = readiness.clone();
        async move { readiness().map_or((StatusCode::OK, "ready".to_owned()), |why| (StatusCode::SERVICE_UNAVAILABLE, why)) }
    };
    let router = Router::new().route("/livez", get(|| async { "alive" })).route("/readyz", get(ready));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
