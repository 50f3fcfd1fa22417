//! `doctor`: what it decides, and what it prints. With Azurite, Redis and another clock it is in tests/system/doctor.rs.

mod decisions;
mod folder;
mod github;
