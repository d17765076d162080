"""Measure what CUDA kernels allocate inside an op, and compare with the table workspaces.py.

Every case runs twice: raw (no dispatch mode; peak of forward and of backward) and metered (one line for
each aten/bitsandbytes op whose inner temporaries are not zero, or are predicted not to be).

    WORKSPACES=compiler/memory/trace/workspaces.py python bench/kernels/probe.py > probe.jsonl

measured  = peak during the op - allocated after it (bytes): what the op held beyond what it returned.
persistent = growth of allocated not explained by the returned tensors (cuBLAS workspaces): reported apart.
"""
import os

os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
import contextlib
import gc
import importlib.util
import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")
START = time.time()
BUDGET = float(os.environ.get("PROBE_SECONDS", "85"))

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEV = "cuda"
CAP = (*torch.cuda.get_device_capability(), torch.cuda.get_device_properties(0).multi_processor_count)
torch.cuda.set_per_process_memory_fraction(
    min(1.0, 20 * 2**30 / torch.cuda.get_device_properties(0).total_memory)
)
SEEN = set()


def emit(**row):
    print(json.dumps(row, default=str), flush=True)


def load_table():
    """Load workspaces.py by path; its siblings resolve through empty stand-ins for the packages."""
    import types

    for path in (
        os.environ.get("WORKSPACES"),
        "compiler/memory/trace/workspaces.py",
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "workspaces.py"),
    ):
        if path and os.path.exists(path):
            folder = os.path.dirname(os.path.abspath(path))
            for name in ("ftspec", "ftspec.compiler", "ftspec.compiler.memory", "ftspec.compiler.memory.trace"):
                package = types.ModuleType(name)
                package.__path__ = [folder]
                sys.modules[name] = package
            full = "ftspec.compiler.memory.trace.workspaces"
            spec = importlib.util.spec_from_file_location(full, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[full] = module
            spec.loader.exec_module(module)
            return module
    return None


try:
    TABLE = load_table()
except Exception as e:
    TABLE = None
    emit(op="table", error=repr(e))


def r512(n):
    return (int(n) + 511) // 512 * 512


def storages(x):
    return {
        t.untyped_storage()._cdata: t.untyped_storage().nbytes()
        for t in tree_leaves(x)
        if isinstance(t, torch.Tensor) and t.device.type == "cuda"
    }


def brief(args):
    out = []
    for t in tree_leaves(args):
        if isinstance(t, torch.Tensor):
            out.append(str(t.dtype).replace("torch.", "") + str(list(t.shape)))
        elif isinstance(t, (bool, int, float, str)) or t is None:
            out.append(t)
    return out[:14]


MARK = 27 * 512


def history_of(thunk):
    """Sizes of the blocks an op asks for (+) and gives back (-), in order."""
    try:
        torch.cuda.memory._record_memory_history(enabled="all", context=None, max_entries=10000)
        mark = torch.empty(MARK, dtype=torch.uint8, device=DEV)
        out = thunk()
        trace = torch.cuda.memory._snapshot()["device_traces"][0]
        torch.cuda.memory._record_memory_history(enabled=None)
        seq = []
        for e in trace:
            if e["action"] == "alloc":
                seq = [] if e["size"] == MARK else [*seq, f"+{e['size']}"]
            elif e["action"] == "free_requested":
                seq.append(f"-{e['size']}")
        del out, mark
        return " ".join(seq[:40])
    except Exception as e:
        with contextlib.suppress(Exception):
            torch.cuda.memory._record_memory_history(enabled=None)
        return repr(e)


class Meter(TorchDispatchMode):
    def __init__(self, case, show_all=False):
        super().__init__()
        self.case, self.show_all, self.ops = case, show_all, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        known = storages((args, kwargs))
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        out = func(*args, **kwargs)
        peak = torch.cuda.max_memory_allocated()
        after = torch.cuda.memory_allocated()
        fresh = {k: v for k, v in storages(out).items() if k not in known}
        outputs = sum(r512(v) for v in fresh.values())
        persistent = after - before - outputs
        measured = peak - max(after, before)
        self.ops[name] = self.ops.get(name, 0) + 1
        predicted = None
        if TABLE is not None:
            f = TABLE.WORKSPACES.get(name)
            try:
                predicted = 0 if f is None else sum(r512(n) for n in f(args, kwargs, out, CAP))
            except Exception as e:
                predicted = repr(e)
        key = (name, self.case, measured, predicted, tuple(map(str, brief(args))))
        if (measured or predicted or persistent or self.show_all) and key not in SEEN:
            SEEN.add(key)
            row = dict(op=name, case=self.case, measured=measured, predicted=predicted, equal=measured == predicted)
            row["args"] = brief((args, kwargs))
            row["out"] = brief(out)
            if persistent:
                row["persistent"] = persistent
            if measured != predicted and not name.endswith("_") and ".out" not in str(func):
                row["allocs"] = history_of(lambda: func(*args, **kwargs))
            emit(**row)
        return out


def peak_of(thunk):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = thunk()
    torch.cuda.synchronize()
    return out, torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before


def kernels_of(thunk):
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as p:
        out = thunk()
        torch.cuda.synchronize()
    names = [e.key for e in p.key_averages() if "cuda" in str(e.device_type).lower()]
    del out
    return [n[:90] for n in names]


def run(case, make, fwd, backward=True, saved=False, kernels=False, raw=True):
    """make() -> inputs; fwd(*inputs) -> tensor(s). Meter forward, then backward of the sum of grads of ones."""
    if time.time() - START > BUDGET:
        return
    try:
        inputs = make()

        def bwd(out):
            outs = [o for o in tree_leaves(out) if isinstance(o, torch.Tensor) and o.requires_grad]
            torch.autograd.backward(outs, [torch.ones_like(o) for o in outs])

        def clear():
            for t in tree_leaves(list(inputs)):
                if isinstance(t, torch.Tensor):
                    t.grad = None

        # warm-up: lazy libraries, cuBLAS workspaces of both threads
        out = fwd(*inputs)
        if backward:
            bwd(out)
        clear()
        del out
        if raw:
            out, up, kept = peak_of(lambda: fwd(*inputs))
            emit(op="raw:forward", case=case, measured=up, kept=kept, predicted=None)
            if backward:
                _, up, kept = peak_of(lambda: bwd(out))
                emit(op="raw:backward", case=case, measured=up, kept=kept, predicted=None)
            del out
            clear()
        if saved:
            packs = []
            mine = storages(list(inputs))

            def pack(t):
                packs.append((str(t.dtype)[6:], list(t.shape), "input" if t.untyped_storage()._cdata in mine else "new"))
                return t

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                out = fwd(*inputs)
            emit(op="saved", case=case, saved=packs)
            del out
        if kernels:
            emit(op="kernels", case=case, kernels=kernels_of(lambda: fwd(*inputs)))
        with Meter(case) as m:
            out = fwd(*inputs)
            if backward:
                bwd(out)
        emit(op="ops", case=case, ops=m.ops)
        del out
        clear()
    except torch.cuda.OutOfMemoryError:
        emit(op="oom", case=case)
    except Exception as e:
        emit(op="error", case=case, error=f"{type(e).__name__}: {e}"[:300])
    finally:
        inputs = None
        gc.collect()


def section(f):
    if time.time() - START > BUDGET:
        emit(op="skipped", case=f.__name__)
        return
    t = time.time()
    try:
        f()
    except Exception as e:
        emit(op="error", case=f.__name__, error=f"{type(e).__name__}: {e}"[:300])
    gc.collect()
    torch.cuda.empty_cache()
    emit(op="section", case=f.__name__, seconds=round(time.time() - t, 2), total=round(time.time() - START, 1))


def rnd(*s, dtype=torch.bfloat16, grad=True):
    return torch.randn(*s, device=DEV, dtype=dtype).requires_grad_(grad)


def facts():
    emit(
        op="facts",
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        capability=CAP,
        device=torch.cuda.get_device_name(),
        sms=torch.cuda.get_device_properties(0).multi_processor_count,
        threads_per_sm=torch.cuda.get_device_properties(0).max_threads_per_multi_processor,
        priority=[str(x) for x in getattr(torch._C, "_get_sdp_priority_order", lambda: [])()],
        env={k: v for k, v in os.environ.items() if "CUBLAS" in k or "SDPA" in k or "ALLOC_CONF" in k},
    )


def cublas():
    """Growth of allocated at the first matmul of each thread, and by addmm with a bias (cuBLASLt)."""
    a = torch.randn(512, 512, device=DEV, dtype=torch.bfloat16, requires_grad=True)
    w = torch.randn(512, 512, device=DEV, dtype=torch.bfloat16, requires_grad=True)
    b = torch.randn(512, device=DEV, dtype=torch.bfloat16, requires_grad=True)
    n = r512(a.numel() * 2)
    y, _, kept = peak_of(lambda: a @ w)
    emit(op="aten::mm", case="first mm, forward thread", persistent=kept - n)
    _, _, kept = peak_of(lambda: y.sum().backward())
    emit(op="aten::mm", case="first mm, autograd thread", persistent=kept - 2 * n)
    y, _, kept = peak_of(lambda: F.linear(a, w, b))
    emit(op="aten::addmm", case="first addmm with bias (Lt)", persistent=kept - n)
    f = torch.randn(512, 512, device=DEV)
    _, _, kept = peak_of(lambda: f @ f)
    emit(op="aten::mm", case="first fp32 mm", persistent=kept - r512(f.numel() * 4))
    h = torch.randn(4, 512, 512, device=DEV, dtype=torch.bfloat16)
    _, _, kept = peak_of(lambda: torch.bmm(h, h))
    emit(op="aten::bmm", case="first bmm", persistent=kept)
    z, _, kept = peak_of(lambda: torch.addmm(f.clone(), a, w, out_dtype=torch.float32) if False else None)
    with contextlib.suppress(Exception):
        acc = torch.zeros(512, 512, device=DEV)
        with torch.no_grad():
            _, up, kept = peak_of(lambda: torch.addmm(acc, a, w, out_dtype=torch.float32, out=acc))
        emit(op="aten::addmm", case="addmm out_dtype fp32 in place", measured=up, persistent=kept)
    s = torch.cuda.Stream()
    with torch.cuda.stream(s):
        _, _, kept = peak_of(lambda: a @ w)
    emit(op="aten::mm", case="first mm, other stream", persistent=kept)


def qkv(B, Hq, Hkv, S, D, dtype=torch.bfloat16, Sk=None):
    Sk = Sk or S

    def make():
        q = torch.randn(B, S, Hq * D, device=DEV, dtype=dtype).view(B, S, Hq, D).transpose(1, 2)
        k = torch.randn(B, Sk, Hkv * D, device=DEV, dtype=dtype).view(B, Sk, Hkv, D).transpose(1, 2)
        v = torch.randn(B, Sk, Hkv * D, device=DEV, dtype=dtype).view(B, Sk, Hkv, D).transpose(1, 2)
        return [t.requires_grad_() for t in (q, k, v)]

    return make


def sdpa(name, make, mask=None, causal=True, dropout=0.0, gqa=False, backend=None, **kw):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    forced = {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION,
              "cudnn": SDPBackend.CUDNN_ATTENTION, "math": SDPBackend.MATH}.get(backend)

    def make2():
        q, k, v = make()
        m = None
        if mask == "bool":
            m = torch.ones(q.shape[0], 1, q.shape[2], k.shape[2], device=DEV, dtype=torch.bool).tril()
            m[-1, :, :, :5] = False
            m[:, :, :, 0] = True
        elif mask == "add":
            m = torch.zeros(q.shape[0], 1, q.shape[2], k.shape[2], device=DEV, dtype=q.dtype)
        return q, k, v, m

    def fwd(q, k, v, m):
        ctx = sdpa_kernel(forced) if forced is not None else contextlib.nullcontext()
        with ctx:
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=m, dropout_p=dropout, is_causal=causal and m is None, enable_gqa=gqa
            ).transpose(1, 2).reshape(q.shape[0], q.shape[2], -1)

    try:
        q, k, v, m = make2()
        ctx = sdpa_kernel(forced) if forced is not None else contextlib.nullcontext()
        with ctx:
            c = torch._fused_sdp_choice(q, k, v, m, dropout, causal and m is None, enable_gqa=gqa)
        c = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn", -1: "error"}.get(c, c)
        pred = None
        if TABLE is not None and forced is None:
            pred = TABLE.sdpa_backend(CAP, str(q.dtype).replace("torch.", ""), q.shape[-1], m is not None,
                                      causal and m is None, dropout, gqa=k.shape[1] != q.shape[1])
        emit(op="sdpa_backend", case=name, measured=c, predicted=pred, equal=c == pred)
        del q, k, v, m
    except Exception as e:
        emit(op="error", case=name, error=repr(e)[:200])
    run("sdpa " + name, make2, fwd, **kw)


def attention_default():
    bf, fp = torch.bfloat16, torch.float16
    sdpa("bf16 d128 s1024 causal", qkv(2, 16, 16, 1024, 128), saved=True, kernels=True)
    sdpa("bf16 d128 s1024 causal gqa4", qkv(2, 16, 4, 1024, 128), gqa=True, saved=True, kernels=True)
    sdpa("bf16 d128 s1024 bool mask", qkv(2, 16, 16, 1024, 128), mask="bool", saved=True, kernels=True)
    sdpa("bf16 d128 s1000 add mask", qkv(2, 16, 16, 1000, 128), mask="add", saved=True, kernels=True)
    sdpa("fp32 d64 s1024 causal", qkv(2, 16, 16, 1024, 64, torch.float32), saved=True, kernels=True)
    sdpa("bf16 d256 s1024 causal", qkv(2, 8, 8, 1024, 256), saved=True, kernels=True)
    for d in (64, 80, 96, 192, 72, 100):
        sdpa(f"bf16 d{d} s777 causal", qkv(2, 8, 8, 777, d), saved=True)
    sdpa("fp16 d64 s512 causal dropout", qkv(2, 8, 8, 512, 64, fp), dropout=0.1, saved=True)
    sdpa("fp32 d64 s1000 bool mask", qkv(2, 8, 8, 1000, 64, torch.float32), mask="bool", saved=True)
    sdpa("bf16 d256 s777 bool mask", qkv(2, 8, 8, 777, 256), mask="bool", saved=True)
    sdpa("bf16 d128 s777 bool mask gqa", qkv(2, 8, 2, 777, 128), mask="bool", gqa=True, saved=True)


def attention_forced():
    for be in ("cudnn", "flash", "efficient"):
        for B, Hq, Hk, S, D in ((1, 8, 8, 512, 128), (4, 32, 8, 2048, 128), (2, 8, 8, 1000, 64), (2, 8, 8, 1000, 96),
                                (1, 8, 8, 1024, 80), (1, 4, 4, 1024, 192), (1, 8, 4, 1024, 256), (1, 32, 32, 4096, 64), (1, 2, 2, 8192, 128)):
            if be == "efficient" and Hq != Hk:
                Hk = Hq
            sdpa(f"{be} bf16 B{B} H{Hq}/{Hk} S{S} d{D}", qkv(B, Hq, Hk, S, D), backend=be, gqa=Hq != Hk, saved=True)
        if be != "flash":
            sdpa(f"{be} bf16 bool mask S1000 d128", qkv(2, 8, 8, 1000, 128), backend=be, mask="bool", saved=True)
            sdpa(f"{be} bf16 bool mask S1001 d64", qkv(2, 8, 8, 1001, 64), backend=be, mask="bool", saved=True)
            sdpa(f"{be} bf16 add mask S1001 d64", qkv(2, 8, 8, 1001, 64), backend=be, mask="add", saved=True)
        sdpa(f"{be} fp16 S512 d128 dropout", qkv(2, 8, 8, 512, 128, torch.float16), backend=be, dropout=0.1)
        sdpa(f"{be} bf16 S1 d128", qkv(2, 8, 8, 1, 128), backend=be, causal=False)
        sdpa(f"{be} bf16 S16 d128", qkv(1, 8, 8, 16, 128), backend=be)
    for S in (512, 1000, 1024):
        sdpa(f"efficient fp32 S{S} d128", qkv(2, 8, 8, S, 128, torch.float32), backend="efficient")
    sdpa("math bf16 d128", qkv(2, 8, 8, 512, 128), backend="math", saved=True)


def embedding():
    for N, V, H, dt in ((4096, 32000, 1024, torch.bfloat16), (512, 32000, 1024, torch.bfloat16), (3072, 32000, 512, torch.bfloat16), (3073, 32000, 512, torch.bfloat16), (4096, 151936, 1024, torch.float32),
                        (20000, 128256, 512, torch.bfloat16), (1000, 1000, 64, torch.float32), (65536, 50257, 128, torch.bfloat16)):
        run(f"embedding N{N} V{V} H{H} {dt}",
            lambda: (torch.randint(0, V, (2, N // 2), device=DEV), rnd(V, H, dtype=dt)),
            lambda i, w: F.embedding(i, w), saved=True)
    run("embedding padding_idx N4096 V32000 H256", lambda: (torch.randint(0, 32000, (1, 4096), device=DEV), rnd(32000, 256)),
        lambda i, w: F.embedding(i, w, padding_idx=0))


def layer_norm():
    for N, H, dt in ((4096, 4096, torch.bfloat16), (1000, 768, torch.bfloat16), (16384, 2048, torch.float32), (100, 1024, torch.bfloat16), (65536, 768, torch.bfloat16), (3000, 1000, torch.float32)):
        run(f"layer_norm N{N} H{H} {dt}", lambda: (rnd(2, N // 2, H, dtype=dt), rnd(H, dtype=dt), rnd(H, dtype=dt)),
            lambda x, w, b: F.layer_norm(x, (H,), w, b), saved=True)
        run(f"rms_norm N{N} H{H} {dt}", lambda: (rnd(2, N // 2, H, dtype=dt), rnd(H, dtype=dt)),
            lambda x, w: F.rms_norm(x, (H,), w, 1e-6), saved=True)
    run("layer_norm frozen N4096 H4096", lambda: (rnd(2, 2048, 4096), rnd(4096, grad=False), rnd(4096, grad=False)),
        lambda x, w, b: F.layer_norm(x, (4096,), w, b))

    def llama_norm(x, w):
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)
        return w * h.to(x.dtype)

    run("python rms norm", lambda: (rnd(2, 2048, 4096), rnd(4096)), llama_norm, saved=True)


def quant4():
    import bitsandbytes as bnb

    emit(op="facts", bitsandbytes=bnb.__version__)
    for dq in (True, False):
        for M in (4, 16, 64, 512, 1000, 1536, 2048):
            for K, N in ((2048, 2048), (2048, 8192), (8192, 2048), (896, 4864)):
                if (K, N) != (2048, 2048) and M not in (64, 512, 2048):
                    continue

                def make(K=K, N=N, M=M, dq=dq):
                    lin = bnb.nn.Linear4bit(K, N, bias=False, compute_dtype=torch.bfloat16, compress_statistics=dq, quant_type="nf4")
                    lin = lin.to(DEV)
                    return rnd(2, M // 2, K), lin

                run(f"nf4 dq={dq} M{M} K{K} N{N}", make, lambda x, lin: lin(x), saved=M == 2048, raw=M in (64, 2048))
    lin = bnb.nn.Linear4bit(2048, 8192, bias=False, compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4")
    _, up, kept = peak_of(lambda: lin.to(DEV))
    emit(op="raw:load", case="Linear4bit.to(cuda) from fp32 2048x8192", measured=up, kept=kept)
    lin = bnb.nn.Linear4bit(2048, 2048, bias=True, compute_dtype=torch.bfloat16).to(DEV)

    def cast(x, lin):
        with torch.autocast("cuda", torch.bfloat16):
            return lin(x)

    run("nf4 fp32 input autocast", lambda: (rnd(2, 1024, 2048, dtype=torch.float32), lin), cast, saved=True)


def quant8():
    import bitsandbytes as bnb

    for dt, thr, M in ((torch.float16, 6.0, 2048), (torch.bfloat16, 6.0, 2048), (torch.bfloat16, 0.0, 2048), (torch.float16, 6.0, 100)):
        def make():
            lin = bnb.nn.Linear8bitLt(2048, 4096, bias=False, has_fp16_weights=False, threshold=thr).to(DEV)
            x = rnd(2, M // 2, 2048, dtype=dt, grad=False)
            x[..., 3] = 20.0
            return x.requires_grad_(), lin

        run(f"int8 {dt} thr={thr} M{M}", make, lambda x, lin: lin(x), saved=True)
    lin = bnb.nn.Linear8bitLt(2048, 8192, bias=False, has_fp16_weights=False, threshold=6.0)
    _, up, kept = peak_of(lambda: lin.to(DEV))
    emit(op="raw:load", case="Linear8bitLt.to(cuda) from fp32 2048x8192", measured=up, kept=kept)


def softmax():
    bf = torch.bfloat16
    for shape in ((2, 8, 512, 512), (1, 8, 2048, 2048), (1, 2, 1000, 3000)):
        run(f"softmax half_to_float {shape}", lambda: (rnd(*shape),), lambda x: F.softmax(x, -1, dtype=torch.float32).to(bf), saved=True)
        run(f"softmax bf16 {shape}", lambda: (rnd(*shape),), lambda x: F.softmax(x, -1))
        run(f"softmax fp32 {shape}", lambda: (rnd(*shape, dtype=torch.float32),), lambda x: F.softmax(x, -1))
    for N, V in ((1024, 32000), (2048, 151936), (512, 50257)):
        lab = torch.randint(0, V, (N,), device=DEV)
        run(f"cross_entropy of float() N{N} V{V}", lambda: (rnd(N, V),), lambda x: F.cross_entropy(x.float(), lab), saved=True)
        run(f"cross_entropy sum bf16 N{N} V{V}", lambda: (rnd(N, V),), lambda x: F.cross_entropy(x, lab, reduction="sum"), saved=True)
        run(f"log_softmax dtype fp32 N{N} V{V}", lambda: (rnd(N, V),), lambda x: F.log_softmax(x, -1, dtype=torch.float32), saved=True)
        run(f"label smoothing N{N} V{V}", lambda: (rnd(N, V, dtype=torch.float32),), lambda x: F.cross_entropy(x, lab, label_smoothing=0.1))
        run(f"logsumexp N{N} V{V}", lambda: (rnd(N, V),), lambda x: torch.logsumexp(x, -1), saved=True)


def optimizers():
    def params(dt, sizes=((4096, 4096), (4096,), (1024, 3000), (16, 4096), (777,))):
        ps = [torch.nn.Parameter(torch.randn(*s, device=DEV, dtype=dt)) for s in sizes]
        for p in ps:
            p.grad = torch.randn_like(p)
        return ps

    def case(name, dt, build):
        if time.time() - START > BUDGET:
            return
        try:
            ps = params(dt)
            opt = build(ps)
            _, up, kept = peak_of(opt.step)
            emit(op="raw:first step", case=f"{name} {dt}", measured=up, kept=kept, elements=sum(p.numel() for p in ps))
            _, up, kept = peak_of(opt.step)
            emit(op="raw:step", case=f"{name} {dt}", measured=up, kept=kept, elements=sum(p.numel() for p in ps))
            with Meter(f"{name} {dt}"):
                opt.step()
        except Exception as e:
            emit(op="error", case=name, error=f"{type(e).__name__}: {e}"[:200])
        gc.collect()

    for dt in (torch.bfloat16, torch.float32):
        case("fused adamw", dt, lambda ps: torch.optim.AdamW(ps, fused=True))
        case("foreach adamw", dt, lambda ps: torch.optim.AdamW(ps, foreach=True))
        case("sgd momentum", dt, lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9))
        case("sgd plain", dt, lambda ps: torch.optim.SGD(ps, lr=0.1))
        case("adagrad", dt, lambda ps: torch.optim.Adagrad(ps, lr=0.1))
        case("rmsprop", dt, lambda ps: torch.optim.RMSprop(ps, lr=0.1))
    with contextlib.suppress(ImportError):
        import bitsandbytes as bnb

        for dt in (torch.bfloat16, torch.float32):
            case("bnb adamw8bit", dt, lambda ps: bnb.optim.AdamW8bit(ps))
            case("bnb pagedadamw8bit", dt, lambda ps: bnb.optim.PagedAdamW8bit(ps))
            case("bnb pagedadamw32bit", dt, lambda ps: bnb.optim.PagedAdamW32bit(ps))
            case("bnb lion8bit", dt, lambda ps: bnb.optim.Lion8bit(ps))
            case("bnb ademamix8bit", dt, lambda ps: bnb.optim.AdEMAMix8bit(ps))
            case("bnb rmsprop8bit", dt, lambda ps: bnb.optim.RMSprop8bit(ps))
    for dt in (torch.bfloat16, torch.float32):
        for fe in (None, False):
            ps = params(dt)
            _, up, kept = peak_of(lambda: torch.nn.utils.clip_grad_norm_(ps, 1.0, foreach=fe))
            emit(op="raw:clip_grad_norm", case=f"{dt} foreach={fe}", measured=up, kept=kept)
            with Meter(f"clip_grad_norm {dt} foreach={fe}"):
                torch.nn.utils.clip_grad_norm_(ps, 1.0, foreach=fe)
    ps = params(torch.float32)
    opt = torch.optim.SGD(ps, lr=0.1)
    sc = torch.amp.GradScaler("cuda")
    sc.scale(torch.ones((), device=DEV))
    _, up, kept = peak_of(lambda: sc.unscale_(opt))
    emit(op="raw:unscale", case="GradScaler", measured=up, kept=kept)
    with contextlib.suppress(ImportError):
        from transformers.optimization import Adafactor

        case("adafactor", torch.float32, lambda ps: Adafactor(ps, scale_parameter=False, relative_step=False, lr=1e-3))
        case("adafactor", torch.bfloat16, lambda ps: Adafactor(ps, scale_parameter=False, relative_step=False, lr=1e-3))


def index():
    bf = torch.bfloat16
    for N, H in ((4096, 4096), (20000, 1024)):
        m = torch.rand(2, N // 2, device=DEV) < 0.7
        m1 = torch.ones(2, N // 2, device=DEV, dtype=torch.bool)
        run(f"hidden[mask] N{N} H{H}", lambda: (rnd(2, N // 2, H), m), lambda x, k: x[k], saved=True)
        run(f"hidden[all true] N{N} H{H}", lambda: (rnd(2, N // 2, H), m1), lambda x, k: x[k], saved=True)
        run(f"index_select N{N}", lambda: (rnd(N, H), torch.randint(0, N, (N // 2,), device=DEV)), lambda x, i: x.index_select(0, i))
        run(f"x[idx] rows N{N}", lambda: (rnd(N, H), torch.randint(0, N, (N // 2,), device=DEV)), lambda x, i: x[i])
        run(f"gather N{N} V{H}", lambda: (rnd(N, H), torch.randint(0, H, (N, 1), device=DEV)), lambda x, i: x.gather(-1, i))
        run(f"index_add N{N}", lambda: (rnd(N, H), torch.randint(0, N, (N,), device=DEV), rnd(N, H)), lambda x, i, s: x.index_add(0, i, s))
        run(f"index_put mask N{N}", lambda: (rnd(N, H, grad=False), m.view(-1)), lambda x, k: x.index_put_((k,), torch.zeros((), device=DEV, dtype=bf)), backward=False)
        run(f"masked_fill N{N}", lambda: (rnd(N, H), torch.rand(N, 1, device=DEV) < 0.5), lambda x, k: x.masked_fill(k, 0.0))
        run(f"masked_select N{N}", lambda: (rnd(N, H), torch.rand(N, 1, device=DEV) < 0.5), lambda x, k: x.masked_select(k))
        run(f"where N{N}", lambda: (rnd(N, H), torch.rand(N, 1, device=DEV) < 0.5), lambda x, k: torch.where(k, x, 0.0))
        run(f"nonzero N{N}", lambda: (m,), lambda k: k.nonzero(), backward=False)
        run(f"cumsum N{N}", lambda: (torch.ones(2, N // 2, device=DEV, dtype=torch.long),), lambda k: k.cumsum(-1), backward=False)
        run(f"cumsum bool N{N}", lambda: (m,), lambda k: k.cumsum(-1), backward=False)
        run(f"cumsum 1d N{N}", lambda: (torch.ones(N, device=DEV, dtype=torch.long),), lambda k: k.cumsum(0), backward=False)
        run(f"sort N{N}", lambda: (torch.randint(0, 64, (N,), device=DEV),), lambda k: k.sort(), backward=False)
        run(f"argsort 2d N{N}", lambda: (torch.rand(16, N, device=DEV),), lambda k: k.argsort(-1), backward=False)
        run(f"topk N{N}", lambda: (torch.rand(N, 128, device=DEV),), lambda k: k.topk(8, -1), backward=False)
        run(f"topk big N{N}", lambda: (torch.rand(64, N, device=DEV),), lambda k: k.topk(50, -1), backward=False)
        run(f"bincount N{N}", lambda: (torch.randint(0, 64, (N,), device=DEV),), lambda k: torch.bincount(k, minlength=64), backward=False)
        run(f"histc N{N}", lambda: (torch.randint(0, 64, (N,), device=DEV).float(),), lambda k: torch.histc(k, bins=64, min=0, max=63), backward=False)
        run(f"unique_consecutive N{N}", lambda: (torch.randint(0, 64, (N,), device=DEV),), lambda k: k.unique_consecutive(), backward=False)
        run(f"scatter_add N{N}", lambda: (rnd(N, 128), torch.randint(0, 128, (N, 8), device=DEV), rnd(N, 8)), lambda x, i, s: x.scatter_add(1, i, s))
        run(f"argmax N{N}", lambda: (rnd(N, H, grad=False),), lambda x: x.argmax(-1), backward=False)
        run(f"one_hot N{N}", lambda: (torch.randint(0, 64, (N,), device=DEV),), lambda k: F.one_hot(k, 64), backward=False)


def chunked():
    from trl.kernels import chunked_logprob as c

    for N, V, H, train in ((2048, 32000, 1024, False), (6000, 151936, 1024, False), (6000, 151936, 1024, True), (2048, 50257, 768, True)):
        def make(N=N, V=V, H=H, train=train):
            return rnd(N, H), torch.randn(V, H, device=DEV, dtype=torch.bfloat16).requires_grad_(train), torch.randint(0, V, (N,), device=DEV)

        for outs in (("entropy",), c.OPTIONAL_OUTPUTS, ()):
            run(f"chunked N{N} V{V} H{H} head={train} outs={len(outs)}", make,
                lambda h, w, t, outs=outs: c.ChunkedLogProbFunction.apply(h, w, None, t, 1.0, 32768, None, 1.0, outs)[0], saved=not outs)


def reductions():
    bf = torch.bfloat16
    for shape in ((8192, 8192), (4, 2048, 4096), (1, 131072), (64, 1000)):
        for dt in (bf, torch.float32):
            n = f"{shape} {dt}"
            run(f"sum all {n}", lambda: (rnd(*shape, dtype=dt),), lambda x: x.sum())
            run(f"mean last {n}", lambda: (rnd(*shape, dtype=dt),), lambda x: x.mean(-1, keepdim=True))
            run(f"sum leading {n}", lambda: (rnd(*shape, dtype=dt, grad=False),), lambda x: x.sum(tuple(range(x.dim() - 1))), backward=False)
            run(f"sum dim1 {n}", lambda: (rnd(*shape, dtype=dt, grad=False),), lambda x: x.sum(1), backward=False)
            run(f"norm {n}", lambda: (rnd(*shape, dtype=dt, grad=False),), lambda x: torch.linalg.vector_norm(x), backward=False)
            run(f"all any max {n}", lambda: (rnd(*shape, dtype=dt, grad=False),), lambda x: ((x > 0).all(), (x > 0).any(), x.amax(-1), x.max()), backward=False)


def matmuls():
    bf = torch.bfloat16
    run("linear 3d", lambda: (rnd(2, 1000, 1024), rnd(4096, 1024)), lambda x, w: F.linear(x, w), saved=True)
    run("linear 3d bias", lambda: (rnd(2, 1000, 1024), rnd(4096, 1024), rnd(4096)), lambda x, w, b: F.linear(x, w, b), saved=True)
    run("linear fp32", lambda: (rnd(2, 1000, 1024, dtype=torch.float32), rnd(4096, 1024, dtype=torch.float32)), F.linear)
    run("lora r16", lambda: (rnd(2, 1000, 4096), rnd(16, 4096), rnd(4096, 16)), lambda x, a, b: F.linear(F.linear(x, a), b), saved=True)
    run("bmm", lambda: (rnd(16, 500, 128), rnd(16, 128, 500)), torch.bmm)
    run("matmul 4d", lambda: (rnd(2, 8, 500, 128), rnd(2, 8, 128, 500)), torch.matmul)
    run("matmul 4d transposed", lambda: (rnd(2, 500, 8, 128), rnd(2, 500, 8, 128)), lambda q, k: q.transpose(1, 2) @ k.transpose(1, 2).transpose(2, 3), saved=True)
    run("baddbmm", lambda: (rnd(16, 500, 500), rnd(16, 500, 128), rnd(16, 128, 500)), torch.baddbmm)
    run("rope angles matmul fp32", lambda: (rnd(2, 64, 1, dtype=torch.float32, grad=False), rnd(2, 1, 1000, dtype=torch.float32, grad=False)), lambda a, b: a @ b, backward=False)
    if hasattr(torch, "_grouped_mm"):
        for T, K, N, E in ((4096, 1024, 768, 8), (4096, 2048, 1408, 64)):
            offs = torch.arange(1, E + 1, device=DEV, dtype=torch.int32) * (T // E)
            run(f"_grouped_mm T{T} K{K} N{N} E{E}", lambda: (rnd(T, K), rnd(E, K, N)), lambda x, w: torch._grouped_mm(x, w, offs=offs), saved=True)
            run(f"_grouped_mm transposed w T{T} E{E}", lambda: (rnd(T, K), rnd(E, N, K)), lambda x, w: torch._grouped_mm(x, w.transpose(-2, -1), offs=offs))


def pointwise():
    bf = torch.bfloat16
    x = lambda: (rnd(2, 2048, 4096),)
    run("dropout", x, lambda t: F.dropout(t, 0.1), saved=True)
    run("silu", x, F.silu, saved=True)
    run("gelu", x, F.gelu, saved=True)
    run("gelu tanh", x, lambda t: F.gelu(t, approximate="tanh"))
    run("relu2", x, lambda t: F.relu(t).square(), saved=True)
    run("cat", x, lambda t: torch.cat((-t[..., 2048:], t[..., :2048]), -1))
    run("to fp32 and back", x, lambda t: t.float().to(bf))
    run("repeat_kv", lambda: (rnd(2, 2, 1024, 128),), lambda t: t[:, :, None].expand(2, 2, 4, 1024, 128).reshape(2, 8, 1024, 128))
    run("softcap", x, lambda t: torch.tanh(t / 30.0) * 30.0, saved=True)
    run("chunk", x, lambda t: [a * b for a, b in [t.chunk(2, -1)]][0])
    run("pow mean rsqrt", x, lambda t: torch.rsqrt(t.float().pow(2).mean(-1, keepdim=True) + 1e-6))
    run("conv1d depthwise", lambda: (rnd(2, 1024, 512), rnd(1024, 1, 4)), lambda t, w: F.conv1d(t, w, groups=1024, padding=3), saved=True)


def models():
    import transformers
    from transformers import AutoModelForCausalLM

    emit(op="facts", transformers=transformers.__version__)
    from transformers import GemmaConfig, GPT2Config, LlamaConfig, Qwen3MoeConfig

    common = dict(hidden_size=512, intermediate_size=1024, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, vocab_size=8000, use_cache=False)
    configs = {
        "llama": LlamaConfig(**common),
        "gpt2": GPT2Config(n_embd=512, n_layer=2, n_head=8, vocab_size=8000, use_cache=False),
        "qwen3moe": Qwen3MoeConfig(**common, moe_intermediate_size=256, num_experts=8, num_experts_per_tok=2, head_dim=64),
    }
    for name, cfg in configs.items():
        for attn in ("sdpa", "eager"):
            for pad in (False, True):
                try:
                    torch.manual_seed(0)
                    m = AutoModelForCausalLM.from_config(cfg, attn_implementation=attn, dtype=torch.bfloat16).to(DEV).train()
                except Exception as e:
                    emit(op="error", case=name, error=repr(e)[:200])
                    continue
                ids = torch.randint(0, 8000, (2, 1000), device=DEV)
                am = torch.ones_like(ids)
                if pad:
                    am[1, 900:] = 0

                def fwd(model, ids, am):
                    return model(input_ids=ids, attention_mask=am, labels=ids).loss

                run(f"model {name} {attn} pad={pad}", lambda: (m, ids, am), fwd)
                if attn == "sdpa":
                    ck = m
                    ck.zero_grad()
                    ck.gradient_checkpointing_enable({"use_reentrant": False})
                    run(f"model {name} {attn} pad={pad} checkpointed", lambda: (ck, ids, am), fwd)
                m.zero_grad()
                del m


if __name__ == "__main__":
    torch.manual_seed(0)
    facts()
    names = sys.argv[1:]
    for f in (cublas, attention_default, embedding, layer_norm, quant4, quant8, softmax, optimizers, index, chunked,
              attention_forced, models, matmuls, reductions, pointwise):
        if not names or f.__name__ in names:
            section(f)
    emit(op="end", seconds=round(time.time() - START, 1))
