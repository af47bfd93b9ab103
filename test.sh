#!/usr/bin/env bash
# All tests: units, doctests, and the SQL suite in the default, the serialised and two other settings.
set -euo pipefail
cd "$(dirname "$0")"
cargo test --workspace -q
cargo xtask matrix --sample "${SEED:-$(git log --oneline 2>/dev/null | wc -l)}"
