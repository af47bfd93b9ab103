//! The operators. Each file or folder has the stem of its node in `plan::physical`.

pub mod expand;
pub mod filter;
pub mod hash_aggregate;
pub mod hash_join;
pub mod limit;
pub mod nested_loop_join;
pub mod project;
pub mod sort;
pub mod top_k;
pub mod window;

#[cfg(test)]
pub(crate) mod testing;
