#!/usr/bin/env python3
"""Times on the GPU what PyTorch needs for the work of the benches, and prints it as JSON: milliseconds by name.

Device time by events, median of the repeats after a warm-up; single precision throughout (no TF32) unless the name
says so.
Ids are those of benches/gpu.rs, with the same sizes.
"""
import json
import math
import statistics
import sys

import torch

torch.manual_seed(42)
torch.backends.cuda.matmul.allow_tf32 = False
device = torch.device("cuda")
figures = {}


def timed(name, work, repeats=20):
    """Milliseconds of `work` on the device."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    figures[name] = statistics.median(times)
    print(f"{name}: {figures[name]:.3f} ms", file=sys.stderr)


def factors(count, rank):
    return torch.randn(count, rank, device=device) * rank**-0.25


def scores():
    users, items = 32768, 32768
    out = torch.empty(users, items, device=device)
    for rank in (8, 16, 32, 64, 128):
        u, v = factors(users, rank), factors(items, rank)
        timed(f"scores/d={rank}", lambda: torch.matmul(u, v.T, out=out))
        torch.backends.cuda.matmul.allow_tf32 = True
        timed(f"scores-tf32/d={rank}", lambda: torch.matmul(u, v.T, out=out))
        torch.backends.cuda.matmul.allow_tf32 = False
    timed("write", lambda: out.fill_(1.0))


def top_k():
    """Products in batches of at most 4 GiB, seen items masked by index, then torch.topk: what implicit does."""
    users, items, seen = 32768, 59047, 150
    batch = (4 << 30) // (4 * items)
    columns = torch.randint(items, (users, seen), device=device)
    for rank in (16, 64, 128):
        u, v = factors(users, rank), factors(items, rank)
        for k in (10, 100):

            def work():
                for first in range(0, users, batch):
                    s = torch.matmul(u[first : first + batch], v.T)
                    s.scatter_(1, columns[first : first + batch], -math.inf)
                    torch.topk(s, k, dim=1)

            timed(f"top-k/d={rank}/k={k}", work, repeats=5)


def step():
    """A step of matrix factorisation with equal experience, vectorised, the gradient in closed form, and Adam."""
    users, items, rank, ratings = 6040, 3952, 20, 1_000_209
    tau, h, delta, weight = 3.0, 0.01, 0.01, 0.99
    u = torch.nn.Parameter(torch.rand(users, rank, device=device) * 0.6 + 0.1)
    v = torch.nn.Parameter(torch.rand(items, rank, device=device) * 0.6 + 0.1)
    rated = torch.randperm(users * items, device=device)[:ratings]
    values = torch.randint(1, 6, (ratings,), device=device).float()
    of_user = (torch.arange(users, device=device) >= users * 71 // 100).long()
    item = torch.arange(items, device=device)
    of_item = torch.where(item < items * 9 // 100, 0, torch.where(item < items * 22 // 100, 1, 2))
    left = torch.nn.functional.one_hot(of_user, 2).float()
    right = torch.nn.functional.one_hot(of_item, 3).float()
    sizes = left.sum(0)[:, None] * right.sum(0)[None]
    optimiser = torch.optim.Adam([u, v], lr=1e-3, fused=True)

    def huber_slope(x):
        return torch.where(x.abs() > delta, x.sign() * delta / 2, x)

    def work():
        optimiser.zero_grad()
        y = torch.clamp(u @ v.T, 0, 5)
        with torch.no_grad():
            t = (tau - y) / h
            tail = torch.exp(-0.4920 * t * t - 0.2887 * t.abs() - 1.1893)
            above = torch.where(t > 0, tail, 1 - tail)
            cells = left.T @ above @ right
            pull = huber_slope(cells.sum() / (users * items) - cells[:, :2] / sizes[:, :2])
            table = torch.zeros(2, 3, device=device)
            table[:, :2] = pull / sizes[:, :2]
            coefficient = pull.sum() / (users * items) - left @ table @ right.T
            slope = weight * coefficient * torch.exp(-0.5 * t * t) / (math.sqrt(2 * math.pi) * h)
            error = y.view(-1)[rated] - values
            slope.view(-1).index_add_(0, rated, error, alpha=(1 - weight) * 2 / ratings)
        y.backward(slope)
        optimiser.step()

    timed("mf-step", work)


scores()
top_k()
step()
json.dump({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "milliseconds": figures}, sys.stdout)
