//! measure (written by its owner)
pub mod summary;
