# %% [markdown]
# # Solutions: errata
#
# **Every question at the end of [notebook 17](../17_errata.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import torch
from scipy.optimize import brentq
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot, softmax

from robustdl_lib import gradients, losses, noise

torch.set_num_threads(1)  # many small computations: threads would wait for each other

# %% tags=["parameters"]
seed: int = 0  # of what is drawn at random, in [0, 1000000]

# %%
generator = torch.Generator().manual_seed(seed)
nce = lambda z, q: (q * z.log_softmax(1)).sum(1) / z.log_softmax(1).sum(1)
big_A = 4 * np.log(10)

# %% [markdown]
# ## 17.1 [Errata](../17_errata.ipynb)
#
# > By how much does that change the learning rate of entry 2 with 100 classes?
#
# By the factor 1/100: the gradient of the mean over classes is that of the sum divided by $C$. With SGD that is a learning rate of a hundredth; whoever moves from 10 to 100 classes has changed it by ten without
# a word.

# %%
z, q = torch.randn(8, 100, generator=generator, dtype=torch.float64), one_hot(torch.arange(8), 100).double()
summed = gradients.logit_gradient(lambda z, q: (softmax(z, 1) - q).square().sum(1), z, q)
meant = gradients.logit_gradient(lambda z, q: (softmax(z, 1) - q).square().mean(1), z, q)
assert torch.allclose(summed, 100 * meant)
print("ratio:", round(float(summed.norm() / meant.norm()), 6))

# %% [markdown]
# ## 17.2 [Errata](../17_errata.ipynb)
#
# > for $C = 2$ it lies along $p - q$. Why need it not for $C > 2$?
#
# The gradient is that of 15.1. A softmax does not change when all logits grow alike, so every gradient sums to 0, and $p - q$ does too. For $C = 2$ the vectors that sum to 0 are a line: *any* loss is along $p - q$. For $C > 2$ they
# are a plane or more, and $1 - C\,p$ is in it without being along $p - q$.

# %%
along = {}
for count in (2, 3, 10):
    z = 2 * torch.randn(200, count, generator=generator, dtype=torch.float64)
    away = softmax(z, 1) - one_hot(torch.zeros(200, dtype=torch.long), count)
    along[count] = cosine_similarity(gradients.logit_gradient(nce, z, torch.zeros(200, dtype=torch.long)), away, dim=1)
print("smallest |cosine| with p - q:", {count: round(float(found.abs().min()), 3) for count, found in along.items()})
assert along[2].abs().min() > 1 - 1e-9
assert along[3].abs().min() < 0.99

# %% [markdown]
# ## 17.3 [Errata](../17_errata.ipynb)
#
# > for which others do they agree for DM with $\lambda = 1$, $\beta = 8$?
#
# They agree when the batch's mean of $w$ is $\int_0^1 w$. For *every* $w$ that makes the distribution of $p_y$ the uniform one. For one $w$ it is a single equation. DM with $\lambda = 1$ has $w = e^{8 p (1-p)}$, which knows only
# $|p - \frac12|$: it is enough that this is uniform on $[0, \frac12]$, as when $p_y$ is uniform on $[0, \frac12]$ alone. Or all examples stand where $w(p) = \int w$.

# %%
fine = np.linspace(0, 1, 20_001)
whole = np.trapezoid(np.exp(8 * fine * (1 - fine)), fine)
half = fine[fine <= 0.5]
lower = np.trapezoid(np.exp(8 * half * (1 - half)), half) / 0.5
at = brentq(lambda p: np.exp(8 * p * (1 - p)) - whole, 0, 0.5)
print(f"integral {whole:.4f}; mean over [0, 1/2] {lower:.4f}; w = integral at p_y = {at:.3f} and {1 - at:.3f}")
assert abs(whole - lower) < 1e-6

# %% [markdown]
# ## 17.4 [Errata](../17_errata.ipynb)
#
# > Which $a/b$ moves it to that of GCE with $q = 0.7$?
#
# $\frac12 - \frac{a}{2 b |A|} = \frac{0.7}{1.7}$ gives $\frac{a}{b} = |A|\,\bigl(1 - \frac{1.4}{1.7}\bigr) = 1.625$.

# %%
ratio = big_A * (1 - 1.4 / 1.7)
modes = gradients.emphasis_mode(f"sce:a={ratio},b=1"), gradients.emphasis_mode("gce:q=0.7")
print(f"a / b = {ratio:.4f}: modes", *(round(mode, 4) for mode in modes))
assert abs(modes[0] - modes[1]) < 1e-4

# %% [markdown]
# ## 17.5 [Errata](../17_errata.ipynb)
#
# > Which rate of symmetric noise makes as many labels wrong
#
# Five of ten classes are affected, so 0.4 makes 20 % wrong: as many as `symmetric:0.2`. There the true label leads by $1 - 0.2 - 0.2/9 = 0.78$ in every class, here by 0.2 in five of them: it is the lead that is hard, not the rate.

# %%
asymmetric, even = (noise.transition_matrix(spec, num_classes=10) for spec in ("asymmetric:0.4", "symmetric:0.2"))
leads = [(np.diag(matrix) - (matrix - 2 * np.eye(10)).max(axis=1)).min() for matrix in (asymmetric, even)]
print(
    f"wrong: {1 - np.diag(asymmetric).mean():.2f} and {1 - np.diag(even).mean():.2f}; smallest lead {leads[0]:.2f} and {leads[1]:.2f}"
)
assert np.isclose(np.diag(asymmetric).mean(), np.diag(even).mean())
assert leads[0] < leads[1]

# %% [markdown]
# ## 17.6 [Errata](../17_errata.ipynb)
#
# > What kind of disagreement do you find?
#
# One that we found: **label smoothing**. Szegedy et al. give $\epsilon/C$ to every class, the label included, as PyTorch's `label_smoothing` does; other codes share $\epsilon$ among the $C - 1$ others. It is a *convention*: the second with $\epsilon'$ is
# the first with $\epsilon = \epsilon' C/(C-1)$, so equal numbers are not equal methods. With two classes it is a factor of 2.

# %%
z, y = 2 * torch.randn(50, 5, generator=generator, dtype=torch.float64), torch.arange(50) % 5
eps = 0.2
others_only = lambda z, q: losses.cce(z, (1 - eps) * q + eps * (1 - q) / 4)
plain_ls = gradients.logit_gradient(f"ls:eps={eps * 5 / 4}", z, y)
torchs = gradients.logit_gradient(lambda z, q: cross_entropy(z, q, reduction="none", label_smoothing=eps * 5 / 4), z, y)
assert torch.allclose(gradients.logit_gradient(others_only, z, y), plain_ls, atol=1e-12)
assert torch.allclose(torchs, plain_ls, atol=1e-12)
print("smoothing 0.2 over the others is smoothing 0.25 over all five")

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words.
