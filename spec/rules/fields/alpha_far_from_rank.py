"""An alpha far from the rank.

What it finds
    `alpha` below `r` or above four times `r`.

Why it matters
    A LoRA update is scaled by alpha / r. Below 1 the adapter learns slowly; above 4 it behaves
    like a much higher learning rate. The guide's rules: r conservative, 2r standard, 4r
    aggressive.

Evidence it needs
    `method.r` and `method.alpha`, both written. With `rslora` the scale is alpha / sqrt(r), and
    nothing is said.

Example
    ```yaml
    method: {type: lora, r: 64, alpha: 16}
    ```

What to do
    Nothing, if it is meant. Otherwise write twice the rank.

References
    The guide's alpha rules (DESIGN: knowledge that the tool carries); LoRA: arXiv 2106.09685, 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding at `alpha`."""
    method = spec.method
    if method.type not in ("lora", "qlora") or method.rslora:
        return
    if method.r is None or method.alpha is None or method.r <= method.alpha <= 4 * method.r:
        return
    scale = method.alpha / method.r
    far = "slow to learn" if scale < 1 else "like a higher learning rate"
    yield RULE.finding(
        f"alpha {method.alpha} is far from the rank {method.r}",
        route=("method", "alpha"),
        found=f"updates are scaled by {scale:.3g}: {far}",
        help=f"{method.r} is conservative, {2 * method.r} standard, {4 * method.r} aggressive",
        evidence={"r": method.r, "alpha": method.alpha, "scale": scale},
        confidence=0.6,
        prescriptions=(
            Prescription(
                (Edit("method.alpha", method.alpha, 2 * method.r),),
                "the guide's standard is twice the rank",
            ),
        ),
    )


RULE = Rule("FT136", "alpha-far-from-rank", Severity.INFO, find)
