//! The server itself: which tools there are, and what a call of one does.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use pyro_engine::{Asker, Context, Door, Engine, Fence, Settings};
use pyro_operations::{Code, Failure, Request, Toolset, workspace::WorkspaceList};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelledNotificationParam, CompleteRequestParams,
        CompleteResult, CompletionInfo, GetPromptRequestParams, GetPromptResponse, Implementation,
        JsonObject, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, PromptsCapability, ReadResourceRequestParams,
        ReadResourceResponse, Reference, ResourcesCapability, ServerCapabilities, ServerConfig,
        Tool, ToolsCapability,
    },
    service::{NotificationContext, RequestContext},
};
use serde_json::Value;
use tokio::sync::{OnceCell, watch};

use crate::{
    Serving, Surface,
    answer::answer,
    call,
    cancelled::Cancelled,
    consent::{Consent, Consents},
    instructions, prompts, resources, roots,
    tools::Shown,
};

/// What all clients of one process share: the tools, the ceiling, and the engine.
pub(crate) struct Shared {
    surface: Surface,
    tools: Toolset,
    engine: OpenOnce,
    fence: Arc<Fence>,
    cwd: PathBuf,
    consents: Consents,
}

impl Shared {
    /// What `serving` asks for; nothing is opened yet.
    pub(crate) fn new(serving: Serving) -> Arc<Self> {
        Self::asking(serving, Consents::default())
    }

    /// The same, with this way to ask the person.
    pub(crate) fn asking(serving: Serving, consents: Consents) -> Arc<Self> {
        let fence = Arc::new(serving.fence);
        Arc::new(Self {
            surface: Surface::new(serving.tools, Arc::clone(&fence)),
            tools: serving.tools,
            engine: OpenOnce { settings: serving.settings, engine: Arc::default() },
            fence,
            cwd: serving.cwd,
            consents,
        })
    }

    fn context(&self, fence: &Arc<Fence>) -> Result<Context, Failure> {
        let context = Context::new(Door::Mcp, self.cwd.clone()).map_err(|error| {
            Failure::new(Code::HostUnfit, format!("there is no descriptor left: {error}"))
        })?;
        Ok(Context { fence: Some(Arc::clone(fence)), ..context })
    }
}

/// The server of one client: cheap to make, one for each session.
pub(crate) struct Server {
    shared: Arc<Shared>,
    leaving: watch::Receiver<bool>,
    cancelled: Cancelled,
    /// The ceiling and the tools of this client alone, once it was asked for its roots and one of
    /// them is the project.
    own: OnceCell<Option<(Arc<Fence>, Surface)>>,
}

impl Server {
    /// A server that gives up its calls when `leaving` becomes true.
    pub(crate) fn new(shared: Arc<Shared>, leaving: watch::Receiver<bool>) -> Self {
        Self { shared, leaving, cancelled: Cancelled::default(), own: OnceCell::new() }
    }

    /// The tools as this client has them. The first time it may be asked for its roots.
    async fn surface(&self, request: &RequestContext<RoleServer>) -> &Surface {
        let shared = &self.shared;
        if !shared.fence.takes_roots || shared.fence.project.is_usable() {
            return &shared.surface;
        }
        let own = self.own.get_or_init(|| async {
            let project = roots::project(request).await?;
            let fence = Arc::new(Fence { project, ..Fence::clone(&shared.fence) });
            Some((Arc::clone(&fence), Surface::new(shared.tools, fence)))
        });
        own.await.as_ref().map_or(&shared.surface, |(_, surface)| surface)
    }

    fn fence(&self) -> &Arc<Fence> {
        let own = self.own.get().and_then(Option::as_ref);
        own.map_or(&self.shared.fence, |(fence, _)| fence)
    }

    async fn do_call(
        &self,
        name: &'static str,
        arguments: JsonObject,
        request: &RequestContext<RoleServer>,
    ) -> Result<Value, Failure> {
        self.do_asking(name, arguments, None, request).await
    }

    async fn do_asking(
        &self,
        name: &'static str,
        arguments: JsonObject,
        ask: Option<Asker>,
        request: &RequestContext<RoleServer>,
    ) -> Result<Value, Failure> {
        let context = Context { ask, ..self.shared.context(self.fence())? };
        let engine = self.shared.engine.clone();
        let arguments = Value::Object(arguments);
        let work = move |context: &Context| engine.get()?.call_json(name, &arguments, context);
        call::run(context, request, self.leaving.clone(), &self.cancelled, work).await
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let surface = &self.shared.surface;
        let about = Implementation::new("pyro", env!("CARGO_PKG_VERSION"))
            .with_title("pyro")
            .with_description("Disposable, isolated, reviewable workspaces on this machine");
        // What never changes is not announced as changing.
        let mut able = ServerCapabilities::default();
        able.tools = Some(ToolsCapability::default());
        if !prompts::list(surface).is_empty() {
            able.prompts = Some(PromptsCapability::default());
        }
        if resources::any(surface) {
            able.resources = Some(ResourcesCapability::default());
            able.completions = Some(JsonObject::new());
        }
        ServerConfig::new(able).with_server_info(about).with_instructions(instructions(surface))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let surface = self.surface(&context).await;
        Ok(ListToolsResult::with_all_items(surface.tools().cloned().collect()))
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list(&self.shared.surface)))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        prompts::get(&self.shared.surface, &request.name, &arguments).map(Into::into)
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = resources::templates(&self.shared.surface);
        Ok(ListResourceTemplatesResult::with_all_items(templates))
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let surface = &self.shared.surface;
        if !resources::any(surface) {
            return Ok(ListResourcesResult::default());
        }
        let page = resources::page(request.and_then(|request| request.cursor));
        let reply = self.do_call(WorkspaceList::NAME, page, &context).await;
        let reply = reply.map_err(|failure| resources::refused(&failure, None))?;
        let (resources, next_cursor) = resources::listed(surface, &reply);
        Ok(ListResourcesResult { next_cursor, ..ListResourcesResult::with_all_items(resources) })
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let (surface, uri) = (&self.shared.surface, &request.uri);
        let Some((operation, arguments)) = resources::reading(surface, uri) else {
            return Err(resources::not_found(surface, uri));
        };
        let reply = self.do_call(operation, arguments, &context).await;
        let reply = reply.map_err(|failure| resources::refused(&failure, Some(uri)))?;
        Ok(resources::contents(uri, reply).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let argument = &request.argument;
        let asks_for_workspaces = matches!(&request.r#ref, Reference::Resource(reference)
            if resources::completes(&self.shared.surface, &reference.uri, &argument.name));
        if !asks_for_workspaces {
            return Ok(CompleteResult::default());
        }
        let reply = self.do_call(WorkspaceList::NAME, resources::page(None), &context).await;
        let reply = reply.map_err(|failure| resources::refused(&failure, None))?;
        let words = resources::completions(&reply, &argument.value);
        Ok(CompleteResult::new(CompletionInfo::new(words).unwrap_or_default()))
    }

    async fn on_cancelled(
        &self,
        notification: CancelledNotificationParam,
        _context: NotificationContext<RoleServer>,
    ) {
        if let Some(id) = notification.request_id {
            self.cancelled.note(id);
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.shared.surface.find(name).map(|shown| shown.tool.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let surface = self.surface(&context).await;
        let Some(shown) = surface.find(&request.name) else {
            let name: String = request.name.chars().take(80).collect();
            let tools: Vec<&str> = surface.tools().map(|tool| tool.name.as_ref()).collect();
            let message = format!("tool `{name}` not found; there is {}", tools.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        let mut consent = match Consent::of(&self.shared.consents, &shown.tool, &request, &context)
        {
            Ok(consent) => consent,
            Err(failure) => return Ok(answer(Err(failure), &self.shared.surface).into()),
        };
        let arguments = request.arguments.unwrap_or_default();
        let result = match withheld(shown, &arguments) {
            Some(failure) => Err(failure),
            None => {
                let asker = consent.asker();
                let call = self.do_asking(shown.operation.name, arguments, asker, &context);
                let done = consent.during(&context, self.leaving.clone(), call).await;
                done.map_err(|failure| with_shown_fields(failure, &shown.tool))
            }
        };
        match consent.question() {
            Some(question) if result.is_err() => Ok(question.into()),
            _ => Ok(answer(result, &self.shared.surface).into()),
        }
    }
}

/// The fields that a tool shows here.
fn shown_fields(tool: &Tool) -> Vec<&str> {
    let properties = tool.input_schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect()
}

/// A field that exists, but not on this server: for the model it is an unknown one.
fn withheld(shown: &Shown, arguments: &JsonObject) -> Option<Failure> {
    let field = shown.withheld.iter().find(|field| arguments.contains_key(*field))?;
    let message = format!("{}: unknown field `{field}`", shown.operation.name);
    let failure = Failure::new(Code::InvalidArgument, message)
        .detail("kind", "field")
        .detail("field", field.as_str())
        .detail("fields", Value::Null);
    Some(with_shown_fields(failure, &shown.tool))
}

/// A refusal that lists the valid fields lists those that this server shows.
fn with_shown_fields(mut failure: Failure, tool: &Tool) -> Failure {
    if failure.code == Code::InvalidArgument && failure.details.contains_key("fields") {
        let shown = shown_fields(tool);
        failure.hint = format!("valid fields: {}", shown.join(", "));
        failure.details.insert("fields".to_owned(), shown.into());
    }
    failure
}

/// The engine, opened by the first call: the server answers at once, and a home that cannot be
/// used is a failure that the model can show, not a server that does not start.
#[derive(Clone)]
struct OpenOnce {
    settings: Settings,
    engine: Arc<Mutex<Option<Arc<Engine>>>>,
}

impl OpenOnce {
    fn get(&self) -> Result<Arc<Engine>, Failure> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engine.as_ref() {
            return Ok(engine.clone());
        }
        let opened = Arc::new(Engine::open(self.settings.clone())?);
        *engine = Some(opened.clone());
        Ok(opened)
    }
}
