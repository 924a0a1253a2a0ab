"""The papers' own setting: its protocols, its sweeps and their order, and what is drawn with and without rows."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence

from robustdl_lib import cli, paths, store, sweeps
from robustdl_lib.config import PAPER, PROFILES, PROTOCOLS, ConfigError, RunConfig, profile_config
from robustdl_lib.registry import METHODS, NOISES
from robustdl_lib.report import claims, comparison, published, verdicts
from robustdl_lib.runs import setting as settings
from robustdl_lib.runs.setting import Setting
from robustdl_lib.studies import paper_sweeps

ROOT = Path(__file__).parents[2]
SHELF = ROOT / "results" / "reference"
PAGE = (ROOT / "docs" / "PAPERS.md").read_text()
POOL = 45_000
"""Images of CIFAR that train: a tenth of 50,000 validates."""
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so nothing is refused")


def steps(cfg: RunConfig) -> int:
    return cfg.epochs * -(-POOL // cfg.batch_size)


def all_configs(profile: str = "paper") -> list[RunConfig]:
    return [cfg for name, setting in paper_sweeps.plans(profile) for cfg in sweeps.plan(name, setting)]


def test_the_protocol_of_cifar10_is_dms() -> None:
    cfg = profile_config("paper")
    assert (cfg.dataset, cfg.model, cfg.batch_size, cfg.lr, cfg.weight_decay) == ("cifar10", "resnet56", 128, 0.1, 1e-4)
    assert steps(cfg) == pytest.approx(100_000, rel=0.001)
    assert [share * steps(cfg) for share in cfg.milestones] == pytest.approx([32_000, 48_000], rel=0.001)


def test_the_protocol_of_cifar100_is_proselflcs() -> None:
    cfg = profile_config("paper", dataset="cifar100")
    assert (cfg.model, cfg.batch_size, cfg.lr, cfg.weight_decay) == ("resnet44", 256, 0.1, 5e-4)
    assert steps(cfg) == pytest.approx(30_000, rel=0.003)
    assert [share * steps(cfg) for share in cfg.milestones] == pytest.approx([15_000, 22_000], rel=0.003)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_the_short_profile_has_the_same_shape(dataset: str) -> None:
    long, short = (profile_config(profile, dataset=dataset) for profile in PAPER)
    assert short == long.replace(epochs=64)


def test_a_protocol_is_of_a_profile_and_gives_way_to_what_is_said() -> None:
    assert {profile for profile, _ in PROTOCOLS} == set(PAPER)
    assert profile_config("paper", dataset="cifar100", weight_decay=1e-4, model="resnet20").weight_decay == 1e-4
    assert profile_config("quick", dataset="cifar100").model == PROFILES["quick"]["model"]


def test_every_setting_that_is_planned_is_the_protocol_of_its_data_but_for_the_rate_of_table_7() -> None:
    for cfg in all_configs():
        changed = cfg.differs(profile_config("paper", dataset=cfg.dataset))
        assert changed <= {"noise", "method", "seed", "noise_seed"} | ({"lr"} if cfg.lr == 0.01 else set())


def test_every_published_number_of_these_networks_has_a_planned_counterpart() -> None:
    planned = pd.DataFrame([cfg.model_dump() for cfg in all_configs()])
    numbers = published.read()
    numbers = numbers[numbers["network"].map(published.ours) & (numbers["noise"] != "")]
    numbers = numbers[numbers["quantity"] != "emphasis_mode"]
    lacking = []
    for row in numbers.to_dict("records"):
        same = planned[(planned["dataset"] == row["dataset"]) & (planned["model"] == row["network"])]
        same = same[same["noise"] == str(NOISES.parse(row["noise"]))]
        if row["lr"] == row["lr"]:
            same = same[same["lr"] == row["lr"]]
        if not any(comparison._fits(row["method"], spec) for spec in same["method"]):
            lacking.append((row["dataset"], row["noise"], METHODS.parse(row["method"]).name))
    assert lacking == []


def test_the_best_mode_of_each_rate_is_the_papers() -> None:
    numbers = published.read().set_index("id")["value"]
    for rate, specs in paper_sweeps.MODES.items():
        lam = float(METHODS.parse(specs[0]).values["lam"])
        noise = f"symmetric-{rate:g}" if rate else "none"
        assert lam / (lam + 1) == pytest.approx(numbers[f"talk_slide_23/{noise}/dm/emphasis_mode"], abs=1e-4)
        assert len({METHODS.parse(spec).values["lam"] for spec in specs}) == 4


@pytest.mark.parametrize("name", ["paper_rates", "paper_noises", "dm_table_7", "paper_parts"])
def test_these_sweeps_are_of_the_papers_profiles_and_say_so(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweeps.plan(name, Setting("quick"))
    one_sentence(caught.value, "paper and paper-short", "'quick'")


def test_what_a_reader_says_is_taken() -> None:
    plan = sweeps.plan("paper_rates", Setting("paper", methods=["mse"], seeds=[3]))
    assert {(cfg.method, cfg.seed) for cfg in plan} == {("mse", 3)}
    assert {cfg.noise for cfg in plan} == {"none", "symmetric:0.2", "symmetric:0.6", "symmetric:0.8"}
    assert {cfg.method for cfg in sweeps.plan("paper_noises", Setting("paper", methods=["mse"]))} == {"mse"}


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("paper_rates", {"noise": "symmetric:0.2"}, ["names its noises itself", "'symmetric:0.2'"]),
        ("paper_noises", {"noise": "none"}, ["names its noises itself"]),
        ("paper_rates", {"dataset": "digits"}, ["cifar10 and cifar100", "'digits'"]),
        ("dm_table_7", {"dataset": "cifar100"}, ["of cifar10,", "'cifar100'"]),
        ("paper_parts", {"dataset": "cifar10"}, ["of cifar100,", "'cifar10'"]),
    ],
)
def test_what_a_sweep_does_not_have_is_refused(name: str, said: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        sweeps.plan(name, Setting("paper", **said))  # type: ignore[arg-type]
    one_sentence(caught.value, *words)


def test_trust_is_taken_apart_and_the_target_in_four_corners() -> None:
    knobs = [METHODS.parse(cfg.method).values for cfg in sweeps.plan("paper_parts", Setting("paper"))]
    whole = [found for found in knobs if "T" in found]
    assert {found["trust"] for found in whole} == {"both", "global", "local"}
    corners = {(found["detach"], found["T"]) for found in whole if found["trust"] == "both"}
    assert corners == {(False, 1.0), (True, 1.0), (False, 0.5), (True, 0.5)}
    assert sum("T" not in found for found in knobs) == 2


def test_the_page_counts_the_runs_of_each_sweep() -> None:
    told = {
        (name, dataset): int(count)
        for name, dataset, count in re.findall(r"^\| `(\w+)` \| (cifar\d+) \|.*\| (\d+) \|$", PAGE, re.MULTILINE)
    }
    seen: set[str] = set()
    for name, setting in paper_sweeps.plans("paper"):
        fresh = {cfg.run_id for cfg in sweeps.plan(name, setting)} - seen
        seen |= fresh
        assert told.pop((name, str(setting.dataset))) == len(fresh)
    assert not told
    assert all(f"{len(seen)} runs" in text for text in (PAGE, (ROOT / "README.md").read_text()))


def test_each_picture_shows_one_noise_and_the_clean_reference() -> None:
    found = paper_sweeps.pictures("paper")
    assert list(found)[:2] == ["paper", "paper_cifar100_asymmetric_pairs-0.4"]
    assert "paper_cifar10_human-worst" in found
    for configs in found.values():
        assert len({cfg.noise for cfg in configs}) == 2
        assert len({cfg.dataset for cfg in configs}) == 1
        assert len({cfg.run_id for cfg in configs}) == len(configs)
        assert any((cfg.method, cfg.noise) == ("cce", "none") for cfg in configs)
    assert {"elr", "sce"} <= {cfg.method for cfg in found["paper"]}


@no_gpu
def test_without_a_gpu_nothing_is_trained_unless_the_processor_is_asked_for(run: Any) -> None:
    for words in (("papers", "--train"), ("sweep", "figures", "--profile", "paper-short")):
        code, out, err = run(*words)
        assert (code, out) == (1, "")
        one_sentence(err.removeprefix("error: ").strip(), "GPU", "--device cpu")
    assert not list(paths.shelf("runs", "paper-short").glob("*/config.json"))


def test_without_rows_there_is_nothing_to_draw_and_how_to_get_it_is_said(
    run: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    code, out, err = run("papers")
    assert (code, out) == (1, "")
    one_sentence(err.removeprefix("error: ").strip(), "no run of the profile paper", "RETRAIN=1")


@pytest.mark.parametrize("words", [("papers",), ("figures", "--shelf", "reference"), ("figures", "--partial")])
def test_another_place_for_figures_is_refused(words: tuple[str, ...], run: Any) -> None:
    code, out, err = run(*words, "--into", "elsewhere")
    assert (code, out) == (1, "")
    one_sentence(err.removeprefix("error: ").strip(), "'elsewhere'", "runs, reference")


def test_figures_that_cannot_be_written_are_refused_before_any_training(tiny: None, run: Any, places: Path) -> None:
    (places / "figures").write_text("in the way")
    code, _, err = run("papers", "--profile", "paper-short", "--train", "--device", "cpu", "--quiet")
    assert code == 1
    assert "cannot write to" in err
    assert not (places / "results" / "runs").exists()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The papers' profiles on the digits, two epochs of ResNet-8: ProSelfLC's half is trained on them as well."""
    small = {"dataset": "digits", "model": "resnet8", "epochs": 2}
    monkeypatch.setitem(PROFILES, "paper-short", {**PROFILES["paper-short"], **small})
    monkeypatch.setattr(paper_sweeps, "ORDER", (("figures", "digits", "symmetric:0.4"), ("dm_table_7", "digits", "")))
    monkeypatch.setattr(paper_sweeps, "TABLE_7", ("cce",))
    monkeypatch.setattr(paper_sweeps, "HALVES", ("digits", "cifar100"))
    monkeypatch.setattr(settings, "WEIGHTING", ("cce", "dm:beta=12,lam=0.5"))


@pytest.mark.slow
def test_rows_that_are_trained_are_drawn_with_a_note_that_they_are_short(tiny: None, run: Any, places: Path) -> None:
    words = ("papers", "--profile", "paper-short", "--train", "--device", "cpu", "--quiet")
    code, out, err = run(*words)
    folder = places / "figures" / "paper-short"
    assert (code, err) == (0, "")
    assert out == f"{len(list(folder.glob('*.png')))} figures: {folder}\n"
    assert {path.stem for path in folder.iterdir()} >= {"learning_curves", "headline", "accuracy_by_rate"}
    assert "Profile paper-short: 2 epochs" in (folder / "headline.json").read_text()
    assert "Profile paper-short" in (folder / "headline.svg").read_text()
    assert "atlas" not in {path.stem for path in folder.iterdir()}
    kept = {path.parent for path in (places / "results" / "runs").glob("*/*/config.json")}
    assert {path.parent.name for path in kept} == {"paper-short", "paper-short_dm_table_7"}
    assert {run.config.lr for run in store.all_runs(places / "results" / "runs" / "paper-short_dm_table_7")} == {0.01}


@pytest.mark.slow
def test_rows_that_lack_are_named_and_the_others_drawn(tiny: None, run: Any, places: Path) -> None:
    sweeps.run(
        "figures", "paper-short", 1, into="reference", shelf="reference", quiet=True, device="cpu", methods=["cce"]
    )
    for place in sorted(paths.shelf("reference", "paper-short").glob("*/config.json"))[:1]:
        shutil.rmtree(place.parent)
    code, out, err = run("papers", "--profile", "paper-short", "--quiet")
    assert code == 0
    assert "2 of 3 runs are not in" in err
    assert err.endswith(": dm on symmetric:0.4, seed 0; cce on none, seed 0\n")
    known = [cli.FIGURES.entry(name).facts for name in cli.FIGURES]
    drawn = sum(facts.rows in ("runs", "p_y") or bool(facts.papers) for facts in known)
    assert out == f"{drawn} figures: {places / 'figures' / 'paper-short'}\n"


def test_clean_runs_alone_are_nothing_to_draw(tiny: None, run: Any) -> None:
    where: dict[str, Any] = {"shelf": "reference", "into": "reference", "quiet": True, "device": "cpu"}
    sweeps.run("figures", "paper-short", 1, noise="none", methods=["cce"], **where)
    code, out, err = run("papers", "--profile", "paper-short", "--quiet")
    assert (code, out) == (1, "")
    assert "no run of the profile paper-short" in err
    code, _, err = run("figures", "--profile", "paper-short", "--shelf", "reference", "--partial")
    assert code == 1
    assert "train them first, by the command sweep figures --into reference" in err


def test_a_run_that_fails_keeps_no_other_sweep_from_its_turn(tiny: None, run: Any, monkeypatch: Any) -> None:
    whole, asked = sweeps.run, []

    def failing(name: str, *words: Any, **more: Any) -> pd.DataFrame:
        asked.append(name)
        if name == "figures":
            raise sweeps.SweepFailed("the loss is not finite")
        return whole(name, *words, **more)

    monkeypatch.setattr(sweeps, "run", failing)
    code, _, err = run("papers", "--profile", "paper-short", "--train", "--device", "cpu", "--quiet")
    assert asked == ["figures", "dm_table_7"]
    assert code == 1
    assert err.endswith("error: figures: the loss is not finite\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--noise", "human:wrst"], "'wrst'"),
        (["--noise", "instance:0.3"], "the profile paper has no instance:0.3"),
        (["--dataset", "digits"], "the profile paper has no digits"),
        (["--device", "gpu"], "'gpu'"),
        (["--noise", "human:worst"], "no run of the profile paper in this setting"),
    ],
)
def test_what_the_profile_does_not_have_is_said(words: list[str], said: str, run: Any) -> None:
    code, out, err = run("papers", *words)
    assert (code, out) == (1, "")
    assert said in err
    assert run("papers", "--jobs", "-3")[0] == 2


def test_the_commands_of_the_page_are_taken_as_they_stand() -> None:
    lines = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    library = [line.partition("robustdl_lib ")[2].partition("#")[0] for line in lines if "-m robustdl_lib " in line]
    assert len(library) >= 3
    for name, *rest in map(shlex.split, library):
        assert cli.app.commands[name].make_context(name, list(rest))
    for line in (line.partition("#")[0] for line in lines if line.startswith("make ")):
        assert subprocess.run([*shlex.split(line), "-n", "-o", "env"], cwd=ROOT, capture_output=True).returncode == 0


def test_committed_rows_are_small_and_say_where_they_come_from() -> None:
    """Without committed rows there is nothing to weigh: the report then says of each number that it has no run."""
    planned = {cfg.run_id for profile in PAPER for cfg in all_configs(profile)}
    kept = [path for path in SHELF.glob("paper*/**/*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) <= 10 * 2**20
    for run in [run for place in SHELF.glob("paper*") for run in store.all_runs(place)]:
        assert {"git_revision", "versions", "device", "seconds", "data_sha256"} <= set(run.provenance)
        assert run.config.run_id in planned


ORDERS = {
    "cifar10": ("last/symmetric-0.4/dm-gce", "last/symmetric-0.4/gce-mse", "last/symmetric-0.4/mse-cce"),
    "cifar100": tuple(
        f"last/asymmetric_pairs-0.4/{pair}"
        for pair in ("proselflc-ls", "proselflc-cp", "ls-boot_soft", "cp-boot_soft", "boot_soft-cce")
    ),
}
"""DM above GCE above MSE above CCE; ProSelfLC above LS and CP above bootstrapping above CCE."""


@pytest.mark.parametrize("profile", PAPER)
@pytest.mark.parametrize(("dataset", "claim"), [(name, claim) for name in ORDERS for claim in ORDERS[name]])
def test_a_published_order_is_tested_on_the_committed_rows(profile: str, dataset: str, claim: str) -> None:
    """With rows no order may be the other way round by more than its seeds' spread; without it has no run yet."""
    ours = claims.measures(claims.profile_rows("reference", profile))
    line = claims.evaluated(ours, ours.iloc[:0], profile).set_index("id").loc[claim]
    assert line["setting"].startswith(f"{dataset}, ")
    there = claims.Claim.values(next(found for found in claims.read() if found.name == claim), ours, dataset)
    assert line["seeds"] == len(there)
    assert line["verdict"] == verdicts.of_claim(there)
    assert line["verdict"] != verdicts.FAILS


def test_every_planned_noise_can_be_drawn() -> None:
    """Those of people need their file; the others are drawn here for the classes of CIFAR."""
    assert {cfg.dataset for cfg in all_configs()} == {"cifar10", "cifar100"}
    assert {NOISES.parse(cfg.noise).name for cfg in all_configs()} == {
        *("none", "symmetric", "asymmetric", "asymmetric_pairs", "human")
    }
