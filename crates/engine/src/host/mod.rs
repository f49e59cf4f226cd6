//! The host that pyro runs on.

mod doctor;
