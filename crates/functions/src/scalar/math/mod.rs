//! Mathematical functions.

mod arithmetic;
mod bits;
mod real;
mod round;

use super::Function;

pub(super) const TABLES: &[&[Function]] = &[real::FUNCTIONS, round::FUNCTIONS, arithmetic::FUNCTIONS, bits::FUNCTIONS];

pub(crate) use round::half_even;

/// The category of the functions here.
const CATEGORY: &str = "math";
