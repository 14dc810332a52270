//! A small web application by axum: notes, and how long a page is.
//!
//! axum has no runtime of its own. It makes a service of handlers, and [`hyper::serve`](crate::hyper::serve) serves it:
//!
//! ```ignore
//! let app = TowerToHyperService::new(axum::app(agent));
//! hyper::serve(listener, &stop, Limits::default(), app).await
//! ```
//!
//! The futures of its handlers must be `Send`, although here they never leave their thread. There are two ways to that:
//!
//! - What belongs to the loop goes into a [`SendWrapper`]: state that is shared without locks, and futures of `corio::aio`.
//! - What is written in direct style goes to a coroutine by [`LoopHandle::spawn`], whose handle is awaited.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use corio::aio::{self, SendWrapper};
use corio::{Event, LoopHandle};
use ureq::Agent;

use crate::http;

/// What the handlers share.
struct App {
    notes: SendWrapper<Notes>,
    agent: Agent,
}

#[derive(Default)]
struct Notes {
    texts: RefCell<Vec<String>>,
    /// Set when there is one more; then the next one takes its place.
    more: RefCell<Rc<Event>>,
}

impl Notes {
    fn add(&self, text: String) {
        self.texts.borrow_mut().push(text);
        self.more.take().set();
    }

    async fn after(&self, count: usize) -> io::Result<Vec<String>> {
        loop {
            if let Some(texts) = self.texts.borrow().get(count..).filter(|texts| !texts.is_empty()) {
                return Ok(texts.to_vec());
            }
            let more = self.more.borrow().clone();
            aio::ready(&*more).await?;
        }
    }
}

/// The application. Pages are fetched with this agent, one of [`http::agent`]'s, and within its limits.
pub fn app(agent: Agent) -> Router {
    let notes = SendWrapper::new(Notes::default());
    Router::new()
        .route("/notes", get(all_notes).post(add_note))
        .route("/notes/after/{count}", get(notes_after))
        .route("/length", post(length))
        .with_state(Arc::new(App { notes, agent }))
}

type Failed = (StatusCode, String);

/// The server ends, for instance.
fn unavailable(error: io::Error) -> Failed {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn all_notes(State(app): State<Arc<App>>) -> Json<Vec<String>> {
    Json(app.notes.texts.borrow().clone())
}

async fn add_note(State(app): State<Arc<App>>, Json(text): Json<String>) -> StatusCode {
    app.notes.add(text);
    StatusCode::CREATED
}

// ANCHOR: handlers
/// Waits until there are more than so many. The wait is the loop's, so it is wrapped.
async fn notes_after(State(app): State<Arc<App>>, Path(count): Path<usize>) -> Result<Json<Vec<String>>, Failed> {
    let more = SendWrapper::new(async move { app.notes.after(count).await });
    more.await.map(Json).map_err(unavailable)
}

/// How many bytes the page has whose address is sent: ureq, which waits in direct style, on a coroutine of its own.
async fn length(State(app): State<Arc<App>>, address: String) -> Result<String, Failed> {
    let agent = app.agent.clone();
    let fetching = LoopHandle::current().map_err(unavailable)?.spawn(move || {
        let mut page = agent.get(&address).call().map_err(http::io_error)?;
        page.body_mut().read_to_vec().map_err(http::io_error)
    });
    // If the client hangs up, this future is dropped, and the page is of no interest any more.
    let page = fetching.into_future().cancel_on_drop().await;
    page.map(|page| page.len().to_string()).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
}
// ANCHOR_END: handlers
