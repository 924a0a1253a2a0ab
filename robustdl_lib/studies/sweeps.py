"""The sweeps behind the figures: lists of runs, by name."""

from robustdl_lib.config import RunConfig
from robustdl_lib.registry import METHODS, SWEEPS
from robustdl_lib.runs.setting import METHODS_SHOWN, Setting

WORKED_NOISES = ("asymmetric:0.4", "instance:0.4")
WORKED_METHODS = ("cce", "gce", "dm", "proselflc")
"""What docs/SETTINGS.md and notebook 14 show on the digits."""
TALK_METHODS = ("cce", "ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "proselflc")
"""The methods of the talk's slides 36 to 38, with the knobs of the figures."""


@SWEEPS.register("figures", label="every figure's runs", source="Talk, slides 11, 23 and 36 to 38")
def figures(*, setting: Setting) -> list[RunConfig]:
    """Return all methods in the setting's noise, and cross entropy on clean labels as the reference."""
    return setting.headline_configs() + setting.configs(["cce"], noise="none")


@SWEEPS.register(
    "disguise", label="soft bootstrapping, detached and not", source="Reed et al. 2015; derived here", apart=True
)
def disguise(*, setting: Setting) -> list[RunConfig]:
    """Return soft bootstrapping with the gradient flowing and detached, and what the latter is in disguise.

    (1 - eps) times cross entropy, with weight decay d and rate r, takes the steps of cross entropy with the rate
    (1 - eps) r and the decay d / (1 - eps); here eps = 1/2.
    """
    plain = setting.config()
    halved = setting.configs(["cce"], lr=plain.lr / 2, weight_decay=2 * plain.weight_decay)
    return setting.configs(["cce", "boot_soft:eps=0.5", "boot_soft:eps=0.5,detach=True"]) + halved


@SWEEPS.register("relatives", label="the methods beyond the talk's", source="docs/METHODS.md", apart=True)
def relatives(*, setting: Setting) -> list[RunConfig]:
    """Return every registered method that the figures do not show, at its defaults, in the setting's noise.

    Pseudo-labels are left out: if no label is missing, they are cross entropy.
    """
    shown = {METHODS.parse(spec).name for spec in METHODS_SHOWN}
    return setting.configs([name for name in METHODS if name not in shown and name != "pseudo"])


@SWEEPS.register("worked", label="four methods under two more noises", source="docs/SETTINGS.md")
def worked(*, setting: Setting) -> list[RunConfig]:
    """Return the runs of docs/SETTINGS.md: asymmetric and instance-dependent noise, whatever the setting's noise."""
    return [cfg for noise in WORKED_NOISES for cfg in setting.configs(WORKED_METHODS, noise=noise)]


@SWEEPS.register("talk_noise", label="the talk's five under its kind of noise", source="Talk, slides 36 to 38")
def talk_noise(*, setting: Setting) -> list[RunConfig]:
    """Return the five methods of the talk's dynamics under asymmetric noise, whatever the setting's noise."""
    return setting.configs(TALK_METHODS, noise=WORKED_NOISES[0])
