//! Health over HTTP: is the process alive, can it work, and what are its figures?
//!
//! Owns `/livez`, `/readyz` and `/metrics`. Answers from what the process already knows; never asks a
//! database.

use super::answer;
use crate::figures::Figures;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::sync::Arc;

/// Why the process is not ready; `None` when it is.
pub type Readiness = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The routes of health and figures.
pub fn health(readiness: Readiness, figures: Figures) -> Router {
    let ready = move || {
        let readiness = readiness.clone();
        async move { readiness().map_or((StatusCode::OK, "ready".to_owned()), |why| (StatusCode::SERVICE_UNAVAILABLE, why)) }
    };
    let text = move || {
        let figures = figures.clone();
        async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], figures.text()) }
    };
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .fallback(|| async { answer::not_found().text() })
        .method_not_allowed_fallback(|| async { answer::wrong_method().text() })
}
