//! One typed method for each operation, made from the list.

use std::{path::PathBuf, sync::Arc};

use pyro_engine::{Context, Door, Engine, Handle, Settings};
use pyro_operations::{Code, Failure, Request, for_each_operation};
use serde_json::Value;

use crate::Workspace;

/// pyro over one home. Cheap to clone; several clients and processes may use one home at once.
#[derive(Debug, Clone)]
pub struct Client {
    engine: Arc<Engine>,
    cwd: PathBuf,
}

impl Client {
    /// Opens a home, making it on first use. Relative host paths begin where the process is now.
    ///
    /// # Errors
    /// `host_unfit` or `store_damaged`, when the home cannot be used.
    pub fn open(settings: Settings) -> Result<Self, Failure> {
        let cwd = std::env::current_dir().map_err(|error| {
            Failure::new(Code::InvalidArgument, format!("there is no current directory: {error}"))
                .hint("change to a directory that exists")
        })?;
        Ok(Self { engine: Arc::new(Engine::open(settings)?), cwd })
    }

    /// Opens the user's home, as variables and the configuration file say.
    ///
    /// # Errors
    /// As `open`, and `invalid_argument` when the configuration cannot be read.
    pub fn open_default() -> Result<Self, Failure> {
        Self::open(Settings::find(None, None)?)
    }

    /// A handle on the workspace with this id, name or unique id prefix. Looks nothing up yet.
    #[must_use]
    pub fn workspace(&self, workspace: impl Into<String>) -> Workspace {
        Workspace::new(self.clone(), workspace.into())
    }

    /// What the calls of this client bring along: nobody listens, and a command is waited for
    /// until it ends. Change what it holds and call with `call_with`.
    ///
    /// # Errors
    /// `host_unfit`, when the process is out of descriptors.
    pub fn context(&self) -> Result<Context, Failure> {
        let context = Context::new(Door::Sdk, self.cwd.clone()).map_err(|error| {
            Failure::new(Code::HostUnfit, format!("there is no descriptor left: {error}"))
        })?;
        Ok(Context { patient: true, ..context })
    }

    /// Does one operation.
    ///
    /// # Errors
    /// The one failure that all doors show.
    pub fn call<R: Request>(&self, request: R) -> Result<R::Reply, Failure>
    where
        Engine: Handle<R>,
    {
        self.engine.call(request, &self.context()?)
    }

    /// Does one operation with somebody listening, or with a way to cancel it.
    ///
    /// # Errors
    /// The one failure that all doors show.
    pub fn call_with<R: Request>(&self, request: R, context: &Context) -> Result<R::Reply, Failure>
    where
        Engine: Handle<R>,
    {
        self.engine.call(request, context)
    }

    /// Does one operation by its name and as JSON, as the MCP server does.
    ///
    /// # Errors
    /// The one failure that all doors show.
    pub fn call_json(
        &self,
        name: &str,
        arguments: &Value,
        context: &Context,
    ) -> Result<Value, Failure> {
        self.engine.call_json(name, arguments, context)
    }
}

macro_rules! methods {
    ($($method:ident: $request:ty,)+) => {
        impl Client {
            $(
                #[doc = concat!("Does `", stringify!($method), "`: see [its request](", stringify!($request), ").")]
                ///
                /// # Errors
                /// The one failure that all doors show.
                pub fn $method(
                    &self,
                    request: $request,
                ) -> Result<<$request as Request>::Reply, Failure> {
                    self.call(request)
                }
            )+
        }
    };
}
for_each_operation!(methods);
