//! An axum `Router` on the loop, by hyper and tower's `Service`.
//!
//! ```text
//! cargo run --release --bin axum_app -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/greet/you
//! curl -d '{"text": "milk"}' -H 'content-type: application/json' http://127.0.0.1:8080/notes
//! curl http://127.0.0.1:8080/notes
//! ```
//!
//! axum wants the futures of its handlers and their state to be `Send`, because on tokio they may change
//! threads. Here they never do, and `SendWrapper` says so: it is `Send` whatever is in it, and panics if
//! another thread touches it. So the state is an `Rc`, and a handler that waits for something of the
//! loop's wraps what it awaits.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use loopline::hyper_rt::{LoopExecutor, LoopTimer};
use loopline::net::TcpListener;
use send_wrapper::SendWrapper;
use serde_json::{Value, json};

/// What the handlers share; no lock, no `Arc`.
type Notes = SendWrapper<Rc<RefCell<Vec<String>>>>;

#[loopline::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address).await?;
    listener.set_nodelay(true)?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    println!("try: curl http://{address}/greet/you");

    let app = Router::new()
        .route("/", get("Try /greet/you, /notes or /later.\n"))
        .route("/greet/{name}", get(greet))
        .route("/notes", get(list).post(add))
        .route("/later", get(later))
        .with_state(SendWrapper::new(Rc::default()));

    let mut builder = Builder::new(LoopExecutor::new());
    builder.http1().timer(LoopTimer::new());
    let builder = Rc::new(builder);
    loop {
        let (stream, _peer) = listener.accept().await?;
        let builder = builder.clone();
        let service = TowerToHyperService::new(app.clone());
        loopline::spawn(async move {
            // An error is this client's end, and nobody else's business.
            let _ = builder.serve_connection(stream, service).await;
        });
    }
}

async fn greet(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

async fn list(State(notes): State<Notes>) -> Json<Value> {
    Json(json!(*notes.borrow()))
}

async fn add(State(notes): State<Notes>, Json(note): Json<Value>) -> StatusCode {
    let Some(text) = note["text"].as_str() else { return StatusCode::UNPROCESSABLE_ENTITY };
    notes.borrow_mut().push(text.to_owned());
    StatusCode::CREATED
}

/// Waits for the loop: its futures are not `Send`, hence the wrapper.
async fn later() -> &'static str {
    SendWrapper::new(async {
        loopline::time::sleep(Duration::from_millis(100)).await;
        let sum = loopline::spawn(async { 1 + 1 }).await;
        if sum.is_ok_and(|two| two == 2) { "Later.\n" } else { "Never.\n" }
    })
    .await
}
