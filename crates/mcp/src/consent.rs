//! Asking the person, through the client, whether a model may have what the flags do not allow.
//!
//! Promises: only an explicit yes is one; no answer, a client that goes away, or one that cannot ask
//! is a no. A yes holds for one path and one call.
//!
//! ```text
//! older era   the engine's thread waits, the client gets `elicitation/create`, the answer goes back
//! newer era   the call ends before any effect with the question and a nonce; the same call, sent
//!             again with both, finds its answer under the nonce, which is good once
//! ```

use std::{
    collections::VecDeque,
    future::{Future, pending},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use pyro_engine::{Asker, Question};
use pyro_operations::{Code, Failure};
use rmcp::{
    RoleServer,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientResult, ElicitRequest,
        ElicitRequestParams, ElicitationSchema, InputRequest, InputRequiredResult, InputResponses,
        JsonObject, ServerRequest, Tool,
    },
    service::{PeerRequestOptions, RequestContext},
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// After so many answers that were no yes, nobody is asked again: a model must not tire a person
/// into one.
const REFUSALS: u32 = 3;
/// Questions of the newer era that may be open, and for how long.
const OPEN: usize = 32;
const OPEN_FOR: Duration = Duration::from_secs(600);
/// Arguments of a call that may ask.
const ARGUMENTS: usize = 64 << 10;
/// Fields that name a host path: without one of them a tool has nothing to ask.
const PATHS: &[&str] = &["seed_path", "source_path"];
/// The field of the form, and the key of the question.
const ALLOW: &str = "allow";

/// What all clients of a server share about asking.
pub(crate) struct Consents {
    patience: Duration,
    refusals: AtomicU32,
    /// One question at a time is before a person.
    turn: tokio::sync::Mutex<()>,
    open: Mutex<VecDeque<Open>>,
}

/// A question of the newer era that waits for its answer.
struct Open {
    nonce: String,
    tool: String,
    arguments: JsonObject,
    path: PathBuf,
    since: Instant,
}

impl Default for Consents {
    fn default() -> Self {
        Self::patient(PATIENCE)
    }
}

impl Consents {
    /// With so much patience.
    fn patient(patience: Duration) -> Self {
        Self {
            patience,
            refusals: AtomicU32::new(0),
            turn: tokio::sync::Mutex::default(),
            open: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, VecDeque<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, yes: bool) -> bool {
        if !yes {
            self.refusals.fetch_add(1, Ordering::SeqCst);
        }
        yes
    }

    /// Keeps a question open; its nonce.
    fn keep(&self, tool: &str, arguments: JsonObject, path: PathBuf) -> Option<String> {
        let nonce = nonce()?;
        let mut open = self.open();
        open.retain(|question| question.since.elapsed() < OPEN_FOR);
        if open.len() >= OPEN {
            open.pop_front();
        }
        open.push_back(Open {
            nonce: nonce.clone(),
            tool: tool.to_owned(),
            arguments,
            path,
            since: Instant::now(),
        });
        Some(nonce)
    }

    /// The path that an answer allows, if it is a yes to a question of this very call. Whatever it
    /// is, its nonce is used up.
    fn answered(
        &self,
        tool: &str,
        arguments: &JsonObject,
        nonce: &str,
        responses: Option<&InputResponses>,
    ) -> Result<Option<PathBuf>, Failure> {
        let question = {
            let mut open = self.open();
            let at = open.iter().position(|question| question.nonce == nonce);
            at.and_then(|at| open.remove(at))
        };
        let fits = |question: &Open| {
            question.tool == tool
                && question.arguments == *arguments
                && question.since.elapsed() < OPEN_FOR
        };
        let Some(question) = question.filter(fits) else {
            return Err(Failure::new(
                Code::NotPermitted,
                format!("{tool}: the answer belongs to no question about this call"),
            )
            .hint("send the call anew, without requestState"));
        };
        let yes = responses.and_then(|responses| responses.get(ALLOW)).is_some_and(is_yes);
        Ok(self.counted(yes).then_some(question.path))
    }
}

/// Unguessable, from the kernel.
fn nonce() -> Option<String> {
    let mut bytes = [0; 24];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    (filled == Ok(bytes.len())).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An answer in which the person accepted, and said yes in the form.
fn is_yes(answer: &Value) -> bool {
    answer["action"] == "accept" && answer["content"][ALLOW] == Value::Bool(true)
}

/// Whether a client shows forms to its person.
fn can_ask(capabilities: Option<ClientCapabilities>) -> bool {
    let elicitation = capabilities.and_then(|capabilities| capabilities.elicitation);
    elicitation.is_some_and(|can| can.form.is_some() || can.url.is_none())
}

type Asked = (Question, SyncSender<bool>);

/// What one call may ask.
pub(crate) struct Consent<'a> {
    consents: &'a Consents,
    way: Way,
}

enum Way {
    /// Nobody can be asked.
    None,
    /// While the engine waits.
    Now(mpsc::Sender<Asked>, mpsc::Receiver<Asked>),
    /// In the answer; or it was, and this path is allowed, or none.
    Later(Later),
}

struct Later {
    tool: String,
    arguments: JsonObject,
    answer: Option<Option<PathBuf>>,
    question: Arc<Mutex<Option<Question>>>,
}

impl<'a> Consent<'a> {
    /// What this call may ask, and what it brings as an answer.
    ///
    /// # Errors
    /// `not_permitted` for an answer to a question that was not asked.
    pub(crate) fn of(
        consents: &'a Consents,
        tool: &Tool,
        params: &CallToolRequestParams,
        request: &RequestContext<RoleServer>,
    ) -> Result<Self, Failure> {
        let fields = tool.input_schema.get("properties").and_then(Value::as_object);
        let names_a_path =
            |fields: &JsonObject| PATHS.iter().any(|path| fields.contains_key(*path));
        if !fields.is_some_and(names_a_path) {
            return Ok(Self { consents, way: Way::None });
        }
        let version = request.protocol_version();
        let newer = version.is_some_and(|version| !version.has_initialize());
        let arguments = || params.arguments.clone().unwrap_or_default();
        let answer = match (&params.request_state, newer) {
            (Some(nonce), true) => Some(consents.answered(
                &params.name,
                &arguments(),
                nonce,
                params.input_responses.as_ref(),
            )?),
            _ => None,
        };
        let askable = can_ask(request.client_capabilities())
            && consents.refusals.load(Ordering::SeqCst) < REFUSALS;
        let way = match newer {
            _ if !askable && answer.is_none() => Way::None,
            false => {
                let (sender, receiver) = mpsc::channel(1);
                Way::Now(sender, receiver)
            }
            true => Way::Later(Later {
                tool: params.name.to_string(),
                arguments: arguments(),
                answer,
                question: Arc::default(),
            }),
        };
        Ok(Self { consents, way })
    }

    /// What the engine calls where it would refuse a path.
    pub(crate) fn asker(&self) -> Option<Asker> {
        match &self.way {
            Way::None => None,
            Way::Now(questions, _) => {
                let questions = questions.clone();
                Some(Arc::new(move |question: &Question| {
                    let (answer, answered) = sync_channel(1);
                    let sent = questions.try_send((question.clone(), answer));
                    // A call that is given up drops the question, and with it the wait.
                    sent.is_ok() && answered.recv().unwrap_or(false)
                }))
            }
            Way::Later(Later { answer: Some(answer), .. }) => {
                let allowed = answer.clone();
                Some(Arc::new(move |question: &Question| allowed.as_ref() == Some(&question.path)))
            }
            Way::Later(Later { question: kept, .. }) => {
                let kept = Arc::clone(kept);
                Some(Arc::new(move |question: &Question| {
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(question.clone());
                    false
                }))
            }
        }
    }

    /// Passes the questions of `work` on to the client, in the older era.
    pub(crate) async fn during<T>(
        &mut self,
        request: &RequestContext<RoleServer>,
        mut leaving: watch::Receiver<bool>,
        work: impl Future<Output = T>,
    ) -> T {
        let consents = self.consents;
        let Way::Now(_, questions) = &mut self.way else { return work.await };
        let asking = async {
            while let Some((question, answer)) = questions.recv().await {
                let _ = answer.send(consents.ask(request, &mut leaving, &question).await);
            }
            pending().await
        };
        tokio::select! {
            biased;
            done = work => done,
            done = asking => done,
        }
    }

    /// The question that the call ends with, in the newer era: nothing was done yet.
    pub(crate) fn question(self) -> Option<InputRequiredResult> {
        let Way::Later(later) = self.way else { return None };
        let question = later.question.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let form = form(&question)?;
        let size = serde_json::to_string(&later.arguments).map_or(usize::MAX, |text| text.len());
        if size > ARGUMENTS {
            return None;
        }
        let nonce = self.consents.keep(&later.tool, later.arguments, question.path)?;
        let requests = [(ALLOW.to_owned(), InputRequest::Elicitation(ElicitRequest::new(form)))];
        Some(InputRequiredResult::new(Some(requests.into()), Some(nonce)))
    }
}

impl Consents {
    /// Asks the client's person, and waits.
    async fn ask(
        &self,
        request: &RequestContext<RoleServer>,
        leaving: &mut watch::Receiver<bool>,
        question: &Question,
    ) -> bool {
        let given_up = async {
            tokio::select! {
                () = sleep(self.patience) => "nobody answered",
                () = request.ct.cancelled() => "the call was cancelled",
                _ = leaving.wait_for(|leaving| *leaving) => "the server ends",
            }
        };
        let mut given_up = std::pin::pin!(given_up);
        let _turn = tokio::select! {
            turn = self.turn.lock() => turn,
            _ = &mut given_up => return false,
        };
        if self.refusals.load(Ordering::SeqCst) >= REFUSALS {
            return false;
        }
        let Some(form) = form(question) else { return false };
        let form = ServerRequest::ElicitRequest(ElicitRequest::new(form));
        let sent = request.peer.send_request_with_option(form, PeerRequestOptions::no_options());
        let Ok(mut handle) = sent.await else { return false };
        let answer = tokio::select! {
            answer = &mut handle.rx => answer,
            why = &mut given_up => {
                // Beside this: a service that ends sends nothing more, and the call waits here.
                tokio::spawn(handle.cancel(Some(why.to_owned())));
                return self.counted(false);
            }
        };
        let yes = match answer {
            Ok(Ok(ClientResult::ElicitResult(answer))) => {
                serde_json::to_value(answer).is_ok_and(|answer| is_yes(&answer))
            }
            _ => false,
        };
        self.counted(yes)
    }
}

/// The question as a form with one box, not ticked.
fn form(question: &Question) -> Option<ElicitRequestParams> {
    let schema = ElicitationSchema::builder()
        .required_bool_property(ALLOW, |field| {
            field
                .title("Allow it this once")
                .description("Without a tick here nothing is copied.")
                .with_default(false)
        })
        .build()
        .ok()?;
    Some(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: question.text.clone(),
        requested_schema: schema,
    })
}

#[cfg(test)]
mod tests {
    use pyro_engine::{Fence, Settings};
    use pyro_operations::{Profile, Toolset};
    use rmcp::ServiceExt;
    use serde_json::json;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

    use super::*;
    use crate::{
        Serving,
        server::{Server, Shared},
    };

    async fn next(client: &mut BufReader<DuplexStream>) -> Value {
        let mut line = String::new();
        client.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn tell(client: &mut BufReader<DuplexStream>, message: Value) {
        client.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// In this process, since no flag shortens a person's patience.
    async fn unanswered() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().canonicalize().unwrap().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let serving = Serving {
            settings: Settings { home: folder.path().join("home"), ..Settings::default() },
            fence: Fence::default(),
            tools: Toolset::Profile(Profile::WorkspaceCore),
            cwd: folder.path().to_owned(),
        };
        let consents = Consents::patient(Duration::from_millis(50));
        let (_leave, leaving) = watch::channel(false);
        let server = Server::new(Shared::asking(serving, consents), leaving);
        let (client, theirs) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(server.serve(tokio::io::split(theirs)));
        let mut client = BufReader::new(client);
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "test", "version": "0"},
        });
        tell(
            &mut client,
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        )
        .await;
        assert_eq!(next(&mut client).await["id"], 1);
        tell(&mut client, json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        let _running = serving.await.unwrap().unwrap();
        let call = json!({"name": "workspace_create", "arguments": {"seed_path": outside}});
        tell(
            &mut client,
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}),
        )
        .await;
        let question = next(&mut client).await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let taken_back = next(&mut client).await;
        assert_eq!(taken_back["method"], "notifications/cancelled", "{taken_back}");
        assert_eq!(taken_back["params"]["requestId"], question["id"]);
        let reply = next(&mut client).await;
        assert_eq!(reply["id"], 2, "{reply}");
        let code = &reply["result"]["structuredContent"]["error"]["code"];
        assert_eq!(code, "not_permitted", "{reply}");
        // The answer that comes too late changes nothing.
        let late = json!({"action": "accept", "content": {"allow": true}});
        tell(&mut client, json!({"jsonrpc": "2.0", "id": question["id"], "result": late})).await;
        tell(&mut client, json!({"jsonrpc": "2.0", "id": 3, "method": "ping"})).await;
        assert_eq!(next(&mut client).await["id"], 3);
    }

    #[test]
    fn a_person_who_never_answers_said_no() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), unanswered()).await.unwrap();
        });
        runtime.shutdown_background();
    }

    fn arguments(path: &str) -> JsonObject {
        JsonObject::from_iter([("seed_path".to_owned(), json!(path))])
    }

    fn responses(answer: Value) -> Option<InputResponses> {
        Some([(ALLOW.to_owned(), answer)].into())
    }

    #[test]
    fn only_an_explicit_yes_is_one() {
        assert!(is_yes(&json!({"action": "accept", "content": {"allow": true}})));
        for answer in [
            json!({"action": "accept"}),
            json!({"action": "accept", "content": {}}),
            json!({"action": "accept", "content": {"allow": false}}),
            json!({"action": "accept", "content": {"allow": "true"}}),
            json!({"action": "accept", "content": {"allow": 1}}),
            json!({"action": "decline", "content": {"allow": true}}),
            json!({"action": "cancel"}),
            json!({"content": {"allow": true}}),
            json!("accept"),
            json!(null),
        ] {
            assert!(!is_yes(&answer), "{answer}");
        }
    }

    #[test]
    fn an_answer_is_good_for_its_call_and_once() {
        let consents = Consents::default();
        let yes = responses(json!({"action": "accept", "content": {"allow": true}}));
        let ask = |path: &str| {
            consents.keep("workspace_create", arguments(path), PathBuf::from(path)).unwrap()
        };
        let answer = |tool, path: &str, nonce: &str, answer: Option<&InputResponses>| {
            consents.answered(tool, &arguments(path), nonce, answer).map_err(|failure| failure.code)
        };
        let refused = Err(Code::NotPermitted);
        let nonce = ask("/a");
        assert_eq!(nonce.len(), 48);
        let allowed = answer("workspace_create", "/a", &nonce, yes.as_ref());
        assert_eq!(allowed, Ok(Some(PathBuf::from("/a"))));
        assert_eq!(answer("workspace_create", "/a", &nonce, yes.as_ref()), refused, "twice");
        assert_eq!(answer("workspace_create", "/a", "forged", yes.as_ref()), refused);
        let nonce = ask("/a");
        assert_eq!(answer("workspace_create", "/b", &nonce, yes.as_ref()), refused, "other path");
        assert_eq!(answer("workspace_create", "/a", &nonce, yes.as_ref()), refused, "used up");
        let nonce = ask("/a");
        assert_eq!(answer("vm_run", "/a", &nonce, yes.as_ref()), refused, "other tool");
        for no in [None, responses(json!({"action": "cancel"})), Some(InputResponses::new())] {
            let nonce = ask("/a");
            assert_eq!(answer("workspace_create", "/a", &nonce, no.as_ref()), Ok(None));
        }
        assert_eq!(consents.refusals.load(Ordering::SeqCst), REFUSALS);
    }

    #[test]
    fn open_questions_are_bounded() {
        let consents = Consents::default();
        let first = consents.keep("t", arguments("/0"), "/0".into()).unwrap();
        for _ in 0..OPEN {
            consents.keep("t", arguments("/a"), "/a".into()).unwrap();
        }
        assert_eq!(consents.open().len(), OPEN);
        assert!(consents.answered("t", &arguments("/0"), &first, None).is_err());
    }

    #[test]
    fn a_client_without_forms_is_not_asked() {
        let can = |capabilities: Value| can_ask(serde_json::from_value(capabilities).ok());
        assert!(can(json!({"elicitation": {}})));
        assert!(can(json!({"elicitation": {"form": {}, "url": {}}})));
        assert!(!can(json!({"elicitation": {"url": {}}})));
        assert!(!can(json!({})));
        assert!(!can_ask(None));
    }
}
