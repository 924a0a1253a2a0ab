# %% [markdown]
# # Solutions: example weighting
#
# **Every question at the end of [notebook 04](../04_example_weighting.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch.nn.functional import cosine_similarity, one_hot, softmax

from robustdl_lib import gradients, objective
from robustdl_lib.theory import simplex

torch.set_num_threads(1)  # many small computations: threads would wait for each other

# %% tags=["parameters"]
points: int = 401  # of the curves and grids that are computed here, in [101, 5001]

# %% [markdown]
# ## 04.1 [Example weighting](../04_example_weighting.ipynb)
#
# > For which $n$ is $\psi = 1/10$?
#
# $|L'| = n (1 - p)^{n-1}$, so $w = 2 n\,p\,(1-p)^n$, and $\frac{d \log w}{dp} = \frac1p - \frac{n}{1-p} = 0$ at $\psi = \frac{1}{n+1}$: MAE ($n = 1$) has 1/2,
# MSE 1/3, and $n = 9$ has 1/10.

# %%
power = lambda z, q: (1 - (q * softmax(z, dim=1)).sum(dim=1)) ** 9
print(f"psi of (1 - p)^9: {gradients.emphasis_mode(power):.4f}")
assert abs(gradients.emphasis_mode(power) - 0.1) < 1e-4

# %% [markdown]
# ## 04.2 [Example weighting](../04_example_weighting.ipynb)
#
# > Show that its gradient is *not* along $p - q$ when $C > 2$. In which example is the difference largest?
#
# With $\partial p_k / \partial z_j = p_k (\delta_{jk} - p_j)$ and $S = \sum_k p_k^2$ the gradient is $2\,p_y (p_j - q_j) + 2\,p_j (p_j - S)$. The second part is along $p - q$ only if
# $p_j - S$ is the same for all $j \ne y$ with $p_j > 0$: if the others are alike. With $C = 2$ there is one other. As $p_y \to 0$ the first part vanishes
# and leaves $(0,\ b (1-b)(2b-1),\ -b(1-b)(2b-1))$ for the others' $b$ and $1 - b$: it moves them apart and does not touch the label. Towards $b = 1/2$ its cosine with $p - q$
# goes to 0: a label that is contradicted, and two other classes nearly tied.

# %%
grid = simplex.grid(points // 4, edge=1e-4)
z, zero = torch.from_numpy(np.log(grid)), torch.zeros(len(grid), dtype=torch.long)
brier = gradients.logit_gradient(lambda z, q: (q - softmax(z, 1)).square().sum(1), z, zero)
cosine = cosine_similarity(brier, softmax(z, 1) - one_hot(zero, 3), dim=1).numpy()
worst = grid[cosine.argmin()]
print(f"smallest cosine {cosine.min():.2f}, at p_y = {worst[0]:.3f} and {worst[1]:.2f}, {worst[2]:.2f} for the others")
assert worst[0] < 0.01
assert abs(worst[1] - worst[2]) < 0.1

# %% [markdown]
# ## 04.3 [Example weighting](../04_example_weighting.ipynb)
#
# > Derive its weight. Can its mode leave 0?
#
# $w = 2 p (1-p)\left(\frac{a}{p} + bA\right) = 2 (1-p)(a + bA\,p)$, a parabola with its top at $\frac12 - \frac{a}{2bA}$. That is positive when $bA > a$: with the paper's $a = 0.1$, $b = 1$
# it is 0.495, with $a = 6$, $b = 0.1$ the mode stays at 0.

# %%
for a, b in ((0.1, 1.0), (6.0, 0.1)):
    top = max(0.0, 0.5 - a / (2 * b * 4 * np.log(10)))
    print(f"a = {a:g}, b = {b:g}: {top:.3f}")
    assert abs(gradients.emphasis_mode(f"sce:a={a},b={b}") - top) < 1e-4

# %% [markdown]
# ## 04.4 [Example weighting](../04_example_weighting.ipynb)
#
# > What is traded against a larger $\psi$?
#
# $w = 2 p^q (1-p)$ has its mode at $q/(1+q)$. What is paid is the weight of what is not believed yet, wrong *and* hard: a new network gives every label 1/10.

# %%
traded = {}
for q in (0.1, 0.4, 0.7, 1.0):
    curve = gradients.weight_curve(f"gce:q={q}", np.array([0.01, 0.1, 0.5]))["weight"]
    traded[q] = [gradients.emphasis_mode(f"gce:q={q}"), *curve]
traded = pd.DataFrame(traded, index=["psi", "w(0.01)", "w(0.1)", "w(0.5)"]).T
assert np.allclose(traded["psi"], traded.index / (1 + traded.index), atol=1e-4)
assert (traded[["w(0.01)", "w(0.1)"]].diff().dropna() < 0).all(axis=None)
traded.rename_axis("q").round(3)

# %% [markdown]
# From $q = 0.1$ to 1 the weight of a contradicted label ($p_y = 0.01$) falls to a sixtieth: that is the robustness. At the start of training
# all labels are near 1/10, and their weight falls to an eighth: that is the price, slow learning and classes left behind (MAE in notebook 03).
#
# ## 04.5 [Example weighting](../04_example_weighting.ipynb)
#
# > Show that with the integral CCE would be left exactly as it is.
#
# $\int_0^1 2 (1 - p)\,dp = 1$: divided by it nothing changes. The beta family at $(1, 2)$ has $w = 1 - p$, whose integral is 1/2, so with `norm=integral` its step is that of CCE, while the batch sum
# gives another.

# %%
generator = torch.Generator().manual_seed(0)
logits, labels = 2 * torch.randn(64, 10, generator=generator, dtype=torch.float64), torch.arange(64) % 10
steps = {}
for spec in ("cce", "beta:a=1,n=2,norm=integral", "beta:a=1,n=2"):
    leaf = logits.clone().requires_grad_()
    steps[spec] = torch.autograd.grad(objective.build(spec, 10)(leaf, labels), leaf)[0]
assert torch.allclose(steps["beta:a=1,n=2,norm=integral"], steps["cce"], atol=1e-9)
assert not torch.allclose(steps["beta:a=1,n=2"], steps["cce"], rtol=0.1)
print("CCE by the integral is CCE; by the batch sum it is not")

# %% [markdown]
# ## 04.6 [Example weighting](../04_example_weighting.ipynb)
#
# > what is its "weight" curve, where does it vanish, and why does $\psi$ not tell all about it?
#
# The gradient is $p - \tilde q$, which vanishes where $p_y = \tilde q_y = 1 - \epsilon + \epsilon/C$, 0.775 here (the others being alike). Its norm falls to 0 there and grows again: beyond,
# the step goes the other way. The mode 0 is that of CCE; neither it nor the curve shows the sign, so a curve of norms is half of what LS does.

# %%
at = np.linspace(0, 1, points)
smoothed = gradients.weight_curve("ls:eps=0.25", at)
bottom = minimize_scalar(lambda x: gradients.weight_curve("ls:eps=0.25", [x])["weight"][0], bounds=(0.5, 0.99)).x
print(f"it vanishes at {bottom:.3f}, psi = {gradients.emphasis_mode('ls:eps=0.25'):g}")
assert abs(bottom - 0.775) < 1e-3
assert (
    simplex.step("ls:eps=0.25", [[0.9, *[0.1 / 9] * 9]])[0, 0]
    < 0
    < simplex.step("ls:eps=0.25", [[0.5, *[0.5 / 9] * 9]])[0, 0]
)

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words.
