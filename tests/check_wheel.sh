#!/usr/bin/env bash
# Install a wheel in an empty environment, leave the tree, and generate with the model that it carries.
set -euo pipefail
wheel=$(realpath "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install -q "$wheel"
"$place/venv/bin/pip" check
cd "$place"
venv/bin/mmt-generate --instruments violin,cello --seed 1 --max-events 256 -o duo.mid --png --wav
venv/bin/python -c '
import mmt
names = {track.name for track in mmt.read("duo.mid").tracks}
assert names and names <= {"violin", "cello"}, names
print("the wheel writes for", *sorted(names), "with", mmt.new_model("paper"))'
