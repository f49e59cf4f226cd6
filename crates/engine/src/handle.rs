//! How a request finds its handler. A row of the list without a handler does not compile.

use pyro_operations::{Code, Failure, Request, for_each_operation};
use serde_json::Value;

use crate::{Context, Engine, arguments, ceiling, failure::hinted};

/// What the engine does for one kind of request.
pub trait Handle<R: Request> {
    /// Does it. The request has passed its own `check`.
    ///
    /// # Errors
    /// The one failure that all doors show.
    fn handle(&self, request: R, context: &Context) -> Result<R::Reply, Failure>;
}

impl Engine {
    /// Checks a request and does it.
    ///
    /// # Errors
    /// `invalid_argument` from the check, or what the operation fails with.
    pub fn call<R: Request>(&self, request: R, context: &Context) -> Result<R::Reply, Failure>
    where
        Self: Handle<R>,
    {
        let allowed = match context.fence() {
            Some(_) => ceiling::of_a_model(R::NAME),
            None => Ok(()),
        };
        allowed
            .and_then(|()| request.check())
            .and_then(|()| self.handle(request, context))
            .map_err(hinted)
    }

    fn call_value<R: Request>(&self, arguments: &Value, context: &Context) -> Result<Value, Failure>
    where
        Self: Handle<R>,
    {
        let request =
            R::deserialize(arguments).map_err(|e| hinted(arguments::refuse::<R>(arguments, &e)))?;
        let reply = self.call(request, context)?;
        serde_json::to_value(&reply)
            .map_err(|error| Failure::new(Code::Internal, format!("write the reply: {error}")))
    }

    /// The same by name and as JSON, for doors that are made from the list.
    ///
    /// # Errors
    /// `not_found` for an unknown name; else as `call`.
    pub fn call_json(
        &self,
        name: &str,
        arguments: &Value,
        context: &Context,
    ) -> Result<Value, Failure> {
        macro_rules! dispatch {
            ($($method:ident: $request:ty,)+) => {
                match name {
                    $(stringify!($method) => self.call_value::<$request>(arguments, context),)+
                    _ => Err(Failure::new(Code::NotFound, format!("operation `{name}` does not exist"))),
                }
            };
        }
        for_each_operation!(dispatch)
    }
}
