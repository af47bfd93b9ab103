//! Small plans made by hand, for the tests of the rules.
