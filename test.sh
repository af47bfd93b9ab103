#!/usr/bin/env bash
# All tests: units, doctests, the binaries from outside, and the SQL suite (sql-tests/tests/suite.rs).
set -euo pipefail
cd "$(dirname "$0")"
cargo test --workspace
