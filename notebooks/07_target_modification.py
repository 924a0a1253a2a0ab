# %% [markdown]
# # Target modification
#
# Example weighting scales the derivative of the loss; changing the *target* turns it. Label smoothing (LS) and the
# confidence penalty (CP) make a target less sure; label correction (bootstrapping, ProSelfLC) mixes in what the
# learner itself predicts. **What a modified target does depends on one detail that no slide shows: whether the gradient
# flows through the target.** Detached, most of these methods are cross entropy with a smaller step. Source: the talk, slides
# 24 to 31; ProSelfLC, [arXiv 2005.03788](https://arxiv.org/abs/2005.03788); the gradients are derived here. What trust
# does is the subject of [notebook 09](09_proselflc.ipynb), what training makes of the targets that of [notebook
# 10](10_training_dynamics.ipynb), and what entropy has to do with it that of [notebook
# 11](11_entropy_minimisation.ipynb).

# %%
import pandas as pd
import torch
from torch.nn.functional import one_hot, softmax

from robustdl_lib import losses, plots, targets
from robustdl_lib.plots.rows import CLASSES, target_rows
from robustdl_lib.registry import METHODS
from robustdl_lib.theory.gradients import logit_gradient

# %% tags=["parameters"]
eps: float = 0.25  # share of the target that is changed in the arithmetic below, in [0.05, 0.95]
B: float = 10.0  # how sharply ProSelfLC's trust rises in time, in [1, 100]

# %% [markdown]
# ## Targets are arithmetic
#
# A deer is labelled *horse*, and the learner believes *deer*. With the label $q = (1, 0, 0)$, the learner's
# prediction $p$ and the uniform distribution $u$ over $C$ classes, each method is one line:
#
# | method | target |
# |---|---|
# | LS | $(1-\epsilon)\,q + \epsilon\,u$ |
# | CP | $(1-\epsilon)\,q - \epsilon\,p$ |
# | Boot-soft | $(1-\epsilon)\,q + \epsilon\,p$ |
# | Boot-hard | $(1-\epsilon)\,q + \epsilon\,\mathrm{onehot}(\arg\max p)$ |
# | ProSelfLC | $(1-\epsilon)\,q + \epsilon\,p$ with $\epsilon = g(t)\,l(p)$: trust in time, times trust in confidence |

# %%
q = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
p = torch.tensor([[0.05, 0.92, 0.03]], dtype=torch.float64)
trust = targets.global_trust(0.9, B=B) * targets.local_trust(p.log())
by_hand = {
    "LS": (1 - eps) * q + eps / 3,
    "CP": (1 - eps) * q - eps * p,
    "Boot-soft": (1 - eps) * q + eps * p,
    "Boot-hard": (1 - eps) * q + eps * torch.tensor([[0.0, 1.0, 0.0]]),
    "ProSelfLC, t/T = 0.9": (1 - trust) * q + trust * p,
}
arithmetic = pd.DataFrame({name: row[0].numpy() for name, row in by_hand.items()}, index=CLASSES).T
arithmetic["sum"] = arithmetic.sum(axis=1)
arithmetic["semantic class"] = [CLASSES[int(targets.semantic_class(row))] for row in by_hand.values()]
arithmetic.round(3)

# %% [markdown]
# The CP target is no distribution: it sums to $1 - 2\epsilon$ and has negative entries. The talk (slide 28) draws it
# rectified; as a loss, $H(\tilde q, p)$ is defined all the same. With the default $\epsilon$ only ProSelfLC turns the
# horse into a deer. The library's targets, with the amounts used in the sweep:

# %%
plots.FIGURES["targets"](target_rows(learner=p[0].tolist()))

# %% [markdown]
# ## What a target says: semantic class and similarity structure
#
# The *semantic class* of a target is its largest entry, the *similarity structure* is how the rest is shared out
# (talk, slide 27). LS and the rectified CP treat all other classes alike; label correction passes on what the learner
# knows: that this animal is no dog.
#
# Can a target *correct* a label, that is, change the semantic class? With soft bootstrapping class $j$ overtakes the
# label $y$ when $\epsilon p_j > (1-\epsilon) + \epsilon p_y$, that is
#
# $$\epsilon > \frac{1}{1 + p_j - p_y} \ge \frac12 .$$
#
# So **no fixed $\epsilon \le 1/2$ ever changes the semantic class**, however sure the learner is, and the published
# grid ends at 1/2. ProSelfLC's trust goes beyond it, late and only for confident predictions:

# %%
sure = torch.tensor([[0.05, 0.92, 0.03], [0.12, 0.80, 0.08], [0.25, 0.60, 0.15]], dtype=torch.float64)
given = q.expand(3, -1)
named = {f"Boot-soft, eps = {e}": targets.boot_soft(given, sure.log(), eps=e) for e in (0.25, 0.5, 0.75)}
named |= {f"ProSelfLC, t/T = {t}": targets.proselflc(given, sure.log(), progress=t, B=B) for t in (0.3, 0.6, 0.9)}
classes = {name: [CLASSES[j] for j in targets.semantic_class(row)] for name, row in named.items()}
pd.DataFrame(classes, index=[f"learner: deer {float(row[1]):.2f}" for row in sure]).T

# %% [markdown]
# ## Four facts about gradients
#
# With a one-hot label, cross entropy has the logit gradient $p - q$. Take a thousand random examples of ten classes
# and see what the modified targets make of it. First the ingredient, fact 1:
#
# $$\frac{\partial H(p)}{\partial z_j} = -p_j\,\bigl(\log p_j + H(p)\bigr).$$
#
# $H(p)$ is cross entropy with the prediction as its own target, and the gradient flows through both:

# %%
generator = torch.Generator().manual_seed(0)
logits = 3 * torch.randn(1000, 10, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (1000,), generator=generator)
probs, label = softmax(logits, dim=1), one_hot(labels, 10).double()
leaf = logits.clone().requires_grad_()
entropy = losses.cce(leaf, softmax(leaf, dim=1))
autograd = torch.autograd.grad(entropy.sum(), leaf)[0]
entropy_gradient = -probs * (probs.log() + entropy.detach().unsqueeze(1))
print("fact 1: autograd and the formula agree:", torch.allclose(autograd, entropy_gradient, atol=1e-12))

# %% [markdown]
# Fact 2: with a **detached** target, bootstrapping, CP and ProSelfLC all have the gradient $(1-\epsilon)(p - q)$.
# Nothing is corrected and no entropy is penalised: it is cross entropy in disguise, with a smaller step.
#
# Fact 3: when the gradient **flows**, the loss is $(1-\epsilon) H(q, p) + \epsilon H(p)$: entropy is pressed down,
# low entropy is *rewarded*. CP has the opposite sign and *penalises* it.
#
# Fact 4: Pereyra's penalty with a hinge is $H(q, p) + b \max(0, \Gamma - H(p))$, with a plus: below the threshold its
# gradient is $(p - q) - b\, \partial H/\partial z$. Versions with a minus circulate; they reward low entropy.

# %%
trusted = targets.proselflc_trust(logits, 0.9, B=B).unsqueeze(1)
step = {"constant": (1 - eps) * (probs - label), "trusted": (1 - trusted) * (probs - label)}
facts = {
    f"boot_soft:eps={eps},detach=True": step["constant"],
    f"cp:eps={eps},detach=True": step["constant"],
    f"proselflc:B={B},detach=True": step["trusted"],
    f"boot_soft:eps={eps}": step["constant"] + eps * entropy_gradient,
    f"cp:eps={eps}": step["constant"] - eps * entropy_gradient,
    f"proselflc:B={B}": step["trusted"] + trusted * entropy_gradient,
}
for spec, closed_form in facts.items():
    same = torch.allclose(logit_gradient(spec, logits, labels, progress=0.9), closed_form, atol=1e-12)
    print(f"{spec:32} as claimed: {same}")

# %%
bound = 1.0
leaf = logits.clone().requires_grad_()
entropy = losses.cce(leaf, softmax(leaf, dim=1))
hinge = losses.cce(leaf, label) + eps * torch.clamp(bound - entropy, min=0)
found = torch.autograd.grad(hinge.sum(), leaf)[0]
below = (entropy < bound).unsqueeze(1)
claimed = probs - label - eps * below * entropy_gradient
print(f"below the bound: {int(below.sum())} of 1000; as claimed: {torch.allclose(found, claimed, atol=1e-12)}")

# %% [markdown]
# ## The pull of a wrong label
#
# What does this mean for a wrong label? Minus the derivative with respect to the logit of the given class is the
# *pull* towards it: positive, and the network is drawn to the label; negative, and it is pushed away. Let the learner
# give the label $p_y$ and nearly all the rest to one other class, the true one.

# %%
at = torch.tensor([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
others = torch.full((7, 8), 0.002 / 8, dtype=torch.float64)
doubted = torch.cat([at.unsqueeze(1), 1 - at.unsqueeze(1) - 0.002, others], dim=1).log()
cases = [(spec, 0.5) for spec in ("cce", "ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5")]
cases += [(f"proselflc:B={B}", progress) for progress in (0.25, 0.5, 0.75, 0.95)]
pull = {}
for spec, progress in cases:
    when = f", t/T = {progress}" if spec.startswith("proselflc") else ""
    derivative = logit_gradient(spec, doubted, torch.zeros(7, dtype=torch.long), progress)[:, 0]
    pull[METHODS.parse(spec).entry.label + when] = -derivative.numpy()
pd.DataFrame(pull, index=[f"p_y = {float(x)}" for x in at]).T.round(2) + 0.0

# %% [markdown]
# - CCE pulls hardest where $p_y$ is smallest: at the wrong labels.
# - LS and CP pull three quarters as hard there, and stop short of certainty: they keep a wrong label from being
#   *fully* believed, not from being believed.
# - Boot-soft halves the pull on doubted labels and never ends it. Where $p_y$ is large it pulls harder than LS and CP:
#   confidence in an error is rewarded like any other.
# - Boot-hard's pull goes to 0 as $p_y$ nears 1/2 from below: with $\epsilon = 1/2$ the target is a draw between the
#   label and the learner's class. Past that point the two are the same class, and it pulls as CCE does.
# - ProSelfLC begins as CCE. Late, the pull of a contradicted label vanishes or turns into a push; that is label
#   correction. But a wrong label that is already believed is pulled on.
#
# ## Two drawbacks, and the question that is left
#
# The talk (slides 30 and 31) orders the family by what it lacks. LS and CP leave unused what a
# learner knows. Correction by another network needs one that is right. Self label correction needs
# neither, and leaves one question: how much of the learner to trust, and when. Bootstrapping trusts it the same at all
# times, joint optimisation wholly, in stages. The pull says what is at stake: too much trust too early, and the
# learner is taught what it happens to believe; too late, and the wrong labels are believed by then.
# [Notebook 08](08_direction_and_magnitude.ipynb) draws such pulls as arrows, [notebook 09](09_proselflc.ipynb) takes up
# ProSelfLC's answer.
#
# ## Checks
#
# Nothing here is trained: gradients and arithmetic must hold whatever the parameters.

# %%
knobs = [f"ls:eps={eps}", f"cp:eps={eps}", f"boot_soft:eps={eps}", f"boot_hard:eps={eps}", f"proselflc:B={B}"]
for name, spec in zip(by_hand, knobs, strict=True):
    parsed = METHODS.parse(spec)
    assert torch.allclose(parsed.entry.function(q, p.log(), progress=0.9, **parsed.knobs), by_hand[name]), spec
for spec, closed_form in facts.items():
    assert torch.allclose(logit_gradient(spec, logits, labels, progress=0.9), closed_form, atol=1e-12), spec
assert torch.allclose(autograd, entropy_gradient, atol=1e-12)
assert torch.allclose(found, claimed, atol=1e-12)
assert set(classes["Boot-soft, eps = 0.5"]) == {"horse"}
assert (pull["Boot-soft"] > 0).all()
assert (abs(pull["CCE"] - (1 - at.numpy())) < 1e-9).all()
late = pull["ProSelfLC, t/T = 0.95"]
assert B < 10 or late[1] < 0 < late[-1]

# %% [markdown]
# ## Summary
#
# - A modified target acts through the gradient that flows through it, or by being hard or sharpened; detached at temperature 1 it is cross entropy with a smaller step.
# - LS and CP treat all other classes alike; label correction passes on what the learner knows, and a fixed trust of at most 1/2 never changes a target's semantic class.
# - Flowing through, label correction adds entropy minimisation and the confidence penalty its opposite: the same term with another sign.
#
# ## Exercises
#
# Answers: [solutions](solutions/07_target_modification.ipynb).
#
# 1. Derive $\partial H(p)/\partial z_j$ by hand, from $\partial p_k/\partial z_j = p_k(\delta_{jk} - p_j)$.
# 2. In the table of pulls, at which $p_y$ does LS stop pulling? Derive it from $\epsilon$ and $C$, and compare with the histograms of [notebook 03](03_training_under_noise.ipynb).
# 3. At which $\epsilon$ does hard bootstrapping change the semantic class of a target? Soft bootstrapping, for a learner with $p_j = 0.8$ and $p_y = 0.1$? Check with `targets.semantic_class`.
# 4. Write fact 4 with a minus and show that its gradient is that of soft bootstrapping, up to a factor, below the threshold.
