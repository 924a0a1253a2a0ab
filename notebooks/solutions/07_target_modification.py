# %% [markdown]
# # Solutions: target modification
#
# **Every question at the end of [notebook 07](../07_target_modification.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import torch
from torch.nn.functional import softmax

from robustdl_lib import gradients, losses, targets
from robustdl_lib.studies import exercises

torch.set_num_threads(1)  # many small computations: threads would wait for each other

# %% tags=["parameters"]
seed: int = 0  # of what is drawn at random, in [0, 1000000]
kept: str = "reference"  # reference: committed rows; runs: trained and computed here

# %%
committed = kept == "reference"
generator = torch.Generator().manual_seed(seed)
logits, labels = 2 * torch.randn(64, 10, generator=generator, dtype=torch.float64), torch.arange(64) % 10
last = exercises.last_p_y(kept)

# %% [markdown]
# ## 07.1 [Target modification](../07_target_modification.ipynb)
#
# > Derive $\partial H(p)/\partial z_j$ by hand
#
# $H = -\sum_k p_k \log p_k$, so $\frac{\partial H}{\partial z_j} = -\sum_k (\log p_k + 1)\,p_k (\delta_{jk} - p_j) = -p_j (\log p_j + 1) + p_j \sum_k p_k (\log p_k + 1)$. The sum is
# $1 - H$, and what is left is $-p_j (\log p_j + H)$.

# %%
leaf = logits.clone().requires_grad_()
probs = softmax(leaf, dim=1)
H = -(probs * probs.log()).sum(dim=1, keepdim=True)
by_autograd = torch.autograd.grad(H.sum(), leaf)[0]
assert torch.allclose(by_autograd, (-probs * (probs.log() + H)).detach(), atol=1e-12)
print("autograd agrees; the parts sum to 0:", bool(by_autograd.sum(dim=1).abs().max() < 1e-12))

# %% [markdown]
# ## 07.2 [Target modification](../07_target_modification.ipynb)
#
# > at which $p_y$ does LS stop pulling?
#
# The pull is $\tilde q_y - p_y$ with $\tilde q_y = 1 - \epsilon + \epsilon/C$: 0.775 for $\epsilon = 0.25$ and ten classes. Beyond it pushes back. In the histograms of the committed runs the clean
# examples of LS stay below that value or near it (half of them below 0.63), while those of CCE go on towards 1.

# %%
ls = last[(last["method"] == "ls:eps=0.25") & (last["subset"] == "clean")].groupby("p")["count"].sum()
cce = last[(last["method"] == "cce") & (last["subset"] == "clean")].groupby("p")["count"].sum()
above = {name: 100 * float(part[part.index > 0.9].sum() / part.sum()) for name, part in {"LS": ls, "CCE": cce}.items()}
print("clean examples above 0.9 (%):", {name: round(share, 1) for name, share in above.items()})
print(f"median p_y of clean examples under LS: {ls.index[np.searchsorted(ls.cumsum(), ls.sum() / 2)]:.3f}")
assert (
    abs(float(-gradients.logit_gradient("ls:eps=0.25", gradients.logits_at([0.775], 10), torch.tensor([0]))[0, 0]))
    < 1e-9
)
assert not committed or above["LS"] < above["CCE"]

# %% [markdown]
# ## 07.3 [Target modification](../07_target_modification.ipynb)
#
# > At which $\epsilon$ does hard bootstrapping change the semantic class of a target?
#
# Its target has $1 - \epsilon$ at the label and $\epsilon$ at the learner's class: beyond $\epsilon = 1/2$, whatever the learner's probabilities. Soft bootstrapping needs
# $\epsilon\,p_j > (1-\epsilon) + \epsilon\,p_y$, that is $\epsilon > \frac{1}{1 + p_j - p_y} = \frac{1}{1.7} = 0.588$.

# %%
doubting, horse = torch.tensor([[0.1, 0.8, 0.1]], dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:1]
for method, border in ((targets.boot_hard, 0.5), (targets.boot_soft, 1 / 1.7)):
    said = [int(targets.semantic_class(method(horse, doubting.log(), eps=border + step))) for step in (-0.01, 0.01)]
    print(f"{method.__name__}: class {said[0]} just below {border:.3f}, class {said[1]} just above")
    assert said == [0, 1]

# %% [markdown]
# ## 07.4 [Target modification](../07_target_modification.ipynb)
#
# > Write fact 4 with a minus and show that its gradient is that of soft bootstrapping
#
# Below the threshold $H(q,p) - b\,(\Gamma - H)$ has the gradient $(p - q) + b\,\partial H/\partial z$. Soft bootstrapping has $(1-\epsilon)(p - q) + \epsilon\,\partial H/\partial z$, which is
# $1 - \epsilon$ times that for $b = \epsilon/(1-\epsilon)$. So the wrong sign is not a smaller penalty; it is another method.

# %%
own = lambda z: -(softmax(z, 1) * z.log_softmax(1)).sum(1)
minus = lambda z, q: losses.cce(z, q) - 0.25 / 0.75 * torch.clamp(10.0 - own(z), min=0)  # all are below the threshold
flowing = gradients.logit_gradient("boot_soft:eps=0.25", logits, labels)
assert torch.allclose(0.75 * gradients.logit_gradient(minus, logits, labels), flowing, atol=1e-12)
print("with a minus it is soft bootstrapping, up to the factor 1 - eps")

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words.
