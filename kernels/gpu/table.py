#!/usr/bin/env python3
"""Prints the figures of a run of `check` against their targets. Takes the folder with criterion/ and peers.json."""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def ours(name):
    """Milliseconds of one of our benches; None where it was not run."""
    file = out / "criterion" / "gpu" / name.replace("/", "_") / "new" / "estimates.json"
    return json.loads(file.read_text())["median"]["point_estimate"] / 1e6 if file.is_file() else None


peers = out / "peers.json"
peers = json.loads(peers.read_text()) if peers.is_file() and peers.stat().st_size else {"milliseconds": {}}
theirs = peers["milliseconds"].get


def ratio(above, below):
    return above / below if above and below else None


rows = []
for rank in (64, 128):
    name = f"scores/d={rank}"
    rows.append((f"{name}: rate, in that of torch.matmul (TF32 off)", ratio(theirs(name), ours(name)), 0.85))
for rank in (8, 16):
    # As many bytes are filled as there are scores.
    name = f"scores/d={rank}"
    rows.append((f"{name}: rate of writing, in that of filling memory", ratio(ours("write"), ours(name)), 0.80))
for rank in (64, 128):
    name = f"scores/d={rank}"
    rows.append((f"{name}: rate of three TF32 products, in that of torch.matmul (TF32 off)",
                 ratio(theirs(name), ours(f"scores-tf32x3/d={rank}")), 1.0))
for rank in (16, 64):
    for k in (10, 100):
        name = f"top-k/d={rank}/k={k}"
        what = f"{name}: times as fast as torch.matmul, mask and torch.topk"
        rows.append((what, ratio(theirs(name), ours(name)), 3.0))
rows.append(("mf-step: times as fast as our own CPU", ratio(ours("mf-step/cpu"), ours("mf-step/cuda")), 20.0))
rows.append(("mf-step: times as fast as torch", ratio(theirs("mf-step"), ours("mf-step/cuda")), 5.0))
rows.append(("ranks/160000x60000/d=64: share of 2 s that is left", ratio(2000.0, ours("ranks/160000x60000/d=64")), 1.0))

missed = 0
print(f"{peers.get('device', 'device unknown')}, torch {peers.get('torch', 'not run')}")
for name, figure, target in rows:
    verdict = "not measured" if figure is None else "pass" if figure >= target else "MISSED"
    missed += verdict == "MISSED"
    print(f"{name:78} {'-' if figure is None else f'{figure:.2f}':>8}  target {target:<6} {verdict}")
if all(figure is None for _, figure, _ in rows):
    sys.exit("nothing was measured")
sys.exit(1 if missed else 0)
