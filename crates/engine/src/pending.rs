//! Handlers that are not written yet; each goes away with its own file.

use crate::{Context, Engine, Handle};
use pyro_operations::{Code, Failure, Request, for_each_operation};
macro_rules! pending { ($($method:ident: $request:ty,)+) => { $(impl Handle<$request> for Engine {
    fn handle(&self, _: $request, _: &Context) -> Result<<$request as Request>::Reply, Failure> {
        Err(Failure::new(Code::Internal, concat!(stringify!($method), " is not written yet")))
    }
})+ } }
for_each_operation!(pending);
