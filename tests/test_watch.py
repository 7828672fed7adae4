"""Videos: `watch.py` and `--video` show what happened, at its true speed, and change nothing else in a run."""

import contextlib
import io
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.differences import differences
from fire_rl import envs
from fire_rl.agents import DQNSettings
from fire_rl.commands import watch as watch_script
from fire_rl.commands.train import train_sac as train
from fire_rl.envs.video import GIF_BYTES, Gif, Mp4
from fire_rl.envs.world import World
from fire_rl.training import load_policy
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.evaluate import Act, evaluate
from fire_rl.training.files import read_json
from fire_rl.training.film import EvaluationFilm, make_filmed, play, timing
from fire_rl.training.learners import DQNRun, SACRun
from fire_rl.training.lines import read_lines
from fire_rl.training.reinforcement import Reinforcement
from fire_rl.training.reinforcement_settings import RunSettings
from tests.fixtures.calling import call

av = pytest.importorskip("av")
pytestmark = pytest.mark.usefixtures("unrendered_module")
ROOT = Path(__file__).parent.parent
SLIDING, DARK = (f"tests.fixtures.sliding:{name}-v0" for name in ("Sliding", "Dark"))
TINY = [
    *("--env", SLIDING, "--steps", "120", "--action-repeat", "1", "--learning-starts", "20"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "8", "--replay-capacity", "500"),
    *("--eval-every", "40", "--eval-episodes", "3", "--checkpoint-every", "60", "--threads", "1", "--device", "cpu"),
    *("--replay-ratio", "0.5"),
]


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs here use an environment of these tests."""
    for place in ("policy", "beginning"):
        monkeypatch.setattr(f"fire_rl.training.{place}.refuse_code", lambda *_: None)


def said(body, *arguments: object) -> tuple[str, str]:
    output, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
        assert body([str(argument) for argument in arguments]) == 0
    return output.getvalue(), complaints.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    said(train, *TINY, "--reinit", "fire", "--reinit-at", 60, "--run-dir", folder, "--video")
    return folder


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def bar(picture: np.ndarray) -> float:
    """Return the middle of the red bar."""
    return float(np.nonzero(picture[30, :, 1] < 128)[0].mean())


def test_a_run_can_be_watched(run: Path):
    output, _ = said(watch_script.body, run, "--seed", 5)
    shown = pictures(run / "video-120.mp4")
    assert len(shown) == 25, "the start, and the state after each of 24 decisions"
    assert shown[0].shape == (62, 82, 3), "even sizes"
    with av.open(str(run / "video-120.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 20
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    policy, env = load_policy(run), envs.make(SLIDING)
    rewards = list(play(policy.act, env, envs.spawn_seeds(5, 1)[0], 24))
    # The reward gives the position, and the picture shows it.
    assert np.allclose(
        [abs(bar(picture) - 40) / 19 for picture in shown[1:]], [-reward for reward in rewards[1:]], atol=0.1
    )
    assert f"checkpoint at step 120: return {sum(rewards):.1f}, 24 environment steps, 1.2 s" in output
    gif = Image.open(run / "video-120.gif")
    assert gif.size == (81, 61)
    assert gif.info["loop"] == 0
    assert not list(run.glob(".*.tmp"))


def test_one_of_several_episodes_is_chosen(run: Path, tmp_path: Path):
    environment = envs.make_vec(SLIDING, 5, seed=0)
    returns, _ = evaluate(load_policy(run, 60).act, environment, envs.spawn_seeds(5, 5))
    for choice, expected in (("best", returns.max()), ("median", np.median(returns))):
        film = tmp_path / f"{choice}.gif"
        output, _ = said(
            watch_script.body, f"{run}@60", "--seed", 5, "--episodes", 5, "--choose", choice, "--output", film
        )
        assert f"step 60, the {choice} of 5: return {expected:.1f}" in output
    assert {path.name for path in tmp_path.iterdir()} == {"best.gif", "median.gif"}, "one ending given, one file"


def test_an_environment_is_watched_under_random_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    output, _ = said(watch_script.body, SLIDING, "--steps", 10)
    assert f"{SLIDING}, random actions: return" in output
    assert "10 environment steps, 0.5 s" in output
    assert {path.name for path in tmp_path.iterdir()} == {
        f"video-{SLIDING.replace(':', '_')}.mp4",
        f"video-{SLIDING.replace(':', '_')}.gif",
    }
    shown = pictures(tmp_path / f"video-{SLIDING.replace(':', '_')}.mp4")
    assert len(shown) == 11
    said(watch_script.body, SLIDING, "--steps", 10, "--output", tmp_path / "again.mp4")
    # the position of the bar, because two encodings of the same pictures may differ a little in single pixels
    again = pictures(tmp_path / "again.mp4")
    assert [bar(picture) for picture in again] == pytest.approx([bar(picture) for picture in shown], abs=0.2)
    assert len({round(bar(picture)) for picture in shown}) > 1, "the bar moves"


@pytest.mark.usefixtures("graphics")
def test_a_native_task_is_watched_at_25_pictures_a_second(tmp_path: Path):
    output, _ = said(watch_script.body, "h1-stand", "--steps", 8, "--output", tmp_path / "stand.mp4")
    assert "8 environment steps, 0.2 s" in output
    shown = pictures(tmp_path / "stand.mp4")
    assert [picture.shape for picture in shown] == [(360, 480, 3)] * 5, "every second step of 20 ms, and the start"
    assert np.abs(shown[-1].astype(int) - shown[0]).max() > 100, "it moved"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to watch given"),
        (["runs/nowhere"], "runs/nowhere is not a run's folder; as an environment: no environment is called"),
        (["h1-wakl"], "h1-walk"),
        (["runs/nowhere@7"], "runs/nowhere is not a run"),
        (["{run}@7"], "there are: 60, 120"),
        (["{run}", "--episodes", "0"], "--episodes 0 given; allowed are whole numbers from 1 on"),
        (["{run}", "--steps", "0"], "--steps 0"),
        (["{run}", "--choose", "beast"], "did you mean best"),
        (["{run}", "--output", "no/such/film.mp4"], "there is no folder no/such"),
        (["{run}", "--output", "{run}"], "a folder; allowed is a file"),
        (["{run}", "--output", "film.avi"], "allowed endings are .mp4 and .gif"),
        (["{run}", "--output", "/proc/film.mp4"], "/proc cannot be written to"),
        ([DARK], "sliding:Dark-v0 cannot be filmed"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(run: Path, arguments: list[str], complaint: str):
    with pytest.raises(ValueError, match=complaint) as caught:
        watch_script.body([argument.format(run=run) for argument in arguments])
    assert "\n" not in str(caught.value)


def test_without_av_one_line_says_so_and_a_gif_does_not_need_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "av", None)
    for body, arguments in (
        (watch_script.body, [str(run)]),
        (train, [*TINY, "--video", "--run-dir", str(tmp_path / "run")]),
    ):
        with pytest.raises(ValueError, match=r"pip install -e '\.\[video\]'"):
            body(arguments)
    assert not (tmp_path / "run").exists()
    said(watch_script.body, run, "--output", tmp_path / "film.gif")
    gif: Any = Image.open(tmp_path / "film.gif")
    assert gif.n_frames > 1


def test_a_gif_keeps_real_time_and_a_size_limit():
    random = np.random.default_rng(0)
    gif = Gif(rate=50)
    for _ in range(2800):
        gif.add(random.integers(0, 255, (90, 160, 3), dtype=np.uint8))  # as incompressible as pictures can be
    content = gif.content()
    assert GIF_BYTES / 3 < len(content) <= GIF_BYTES
    image: Any = Image.open(io.BytesIO(content))
    seconds = 0.0
    for number in range(image.n_frames):
        image.seek(number)
        seconds += image.info["duration"] / 1000
    assert seconds == pytest.approx(56, abs=1.5), "fewer pictures, each shown longer"


def test_fast_environments_are_drawn_less_often():
    assert timing(make_filmed(World(SLIDING, 1))) == (1, 20)
    assert timing(make_filmed(World(SLIDING, 2))) == (1, 10)
    assert timing(envs.make("h1-walk")) == (2, 25)
    assert timing(envs.make("h1-walk", action_repeat=2)) == (1, 25)


def test_unusual_frame_rates_are_kept(tmp_path: Path):
    video = Mp4(1000 / 45)
    for _ in range(3):
        video.add(np.zeros((16, 16, 3), dtype=np.uint8))
    with av.open(io.BytesIO(video.content())) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(1000 / 45, rel=1e-3)


def test_each_evaluation_leaves_the_video_of_its_first_episode(run: Path):
    names = {path.name for path in (run / "videos").iterdir()}
    scheduled = {f"step-{step}.mp4" for step in (0, 40, 80, 120)}
    assert names == scheduled | {"step-60-before-event.mp4", "step-60-after-event.mp4"}
    for line in read_lines(run / "metrics.jsonl"):
        if line["kind"] == "evaluation" and line["occasion"] == "scheduled":
            shown = pictures(run / "videos" / f"step-{line['environment_steps']}.mp4")
            summed = sum(abs(bar(picture) - 40) / 19 for picture in shown[1:])
            assert -summed == pytest.approx(line["returns"][0], abs=0.6)


def test_a_run_with_videos_equals_one_without(run: Path, tmp_path: Path):
    said(train, *TINY, "--reinit", "fire", "--reinit-at", 60, "--run-dir", tmp_path / "run")
    assert differences(run, tmp_path / "run") == []
    assert not (tmp_path / "run" / "videos").exists()


@pytest.mark.parametrize("repeat", [1, 2])
def test_the_video_of_a_native_task_shows_the_evaluated_episode_bit_by_bit(
    repeat: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = RunSettings(env="h1-walk", eval_episodes=5, action_repeat=repeat, threads=1, device="cpu")
    work = Reinforcement(SACRun(run))

    monkeypatch.setattr("fire_rl.training.film.picture_of", lambda env: np.zeros((8, 8, 3), dtype=np.uint8))
    film = EvaluationFilm(World("h1-walk", repeat), evaluated_at_once=5)
    returns, lengths = work.evaluation.run(work.act)
    assert film.record(work.act, work.evaluation.seeds[0], tmp_path / "film.mp4") == returns[0]
    assert lengths[0] > 20


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"env": DARK}, "sliding:Dark-v0 cannot be filmed"),
        ({"env": "h1-walk"}, "h1-walk cannot be filmed: MUJOCO_GL=disable switches pictures off"),
    ],
)
def test_where_nothing_can_be_rendered_a_run_does_not_begin(
    settings: dict[str, str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    changes = itertools.chain(*((f"--{name}", value) for name, value in settings.items()))
    with pytest.raises(ValueError, match=complaint) as caught:
        train([*TINY, *changes, "--video", "--run-dir", str(tmp_path / "run")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_machine_without_graphics_gets_one_line_and_code_2():
    done = subprocess.run(
        [sys.executable, "watch.py", "h1-walk"],
        cwd=ROOT,
        env=os.environ | {"MUJOCO_GL": "disable"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("watch.py: h1-walk is not a run's folder; as an environment: h1-walk cannot be")


def test_a_video_that_fails_later_does_not_end_the_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*arguments: object) -> None:
        raise RuntimeError("the graphics card is gone")

    monkeypatch.setattr(EvaluationFilm, "record", fail)
    _, complaints = said(train, *TINY, "--reinit", "fire", "--reinit-at", 60, "--video", "--run-dir", tmp_path / "run")
    assert complaints.count("(RuntimeError: the graphics card is gone); going on") == 1, "of six evaluations"
    assert differences(run, tmp_path / "run") == []


def test_a_stop_is_heeded_while_an_evaluation_is_filmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, requested, real = tmp_path / "run", False, EvaluationFilm.record

    def asked_to_stop(film: EvaluationFilm, act: Act, seed: int, path: Path) -> float:
        nonlocal requested
        requested = path.name == "step-40.mp4"
        return real(film, act, seed, path)

    words = [str(word) for word in (*TINY, "--reinit", "fire", "--reinit-at", 60, "--video", "--run-dir", folder)]
    with monkeypatch.context() as patch:
        patch.setattr(EvaluationFilm, "record", asked_to_stop)
        patch.setattr("fire_rl.training.session.stop_signals", lambda calls: nullcontext(lambda: requested))
        code, _, complaints = call(train, *words)
    assert code == 130
    assert "no step-40.mp4 (InterruptedError: the run was asked to stop)" in complaints
    assert [path.name for path in (folder / "videos").iterdir()] == ["step-0.mp4"]
    assert steps_of(folder) == [41], "its evaluation is whole"


def test_resuming_keeps_the_film_of_an_evaluation_that_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, left, real = tmp_path / "run", iter(range(3)), Reinforcement.evaluate
    requested = False

    def asked_to_stop(work: Reinforcement, pause: Callable[[], None]) -> dict[str, Any]:
        nonlocal requested
        requested = next(left, None) is None  # in the fourth evaluation, the one after the event
        return real(work, pause)

    words = [*TINY, "--checkpoint-every", 1000, "--reinit", "fire", "--reinit-at", 60, "--video", "--run-dir", folder]
    with monkeypatch.context() as patch:
        patch.setattr(Reinforcement, "evaluate", asked_to_stop)
        patch.setattr("fire_rl.training.session.stop_signals", lambda calls: nullcontext(lambda: requested))
        assert call(train, *map(str, words))[0] == 130
    assert steps_of(folder) == [60]
    said(train, "--resume", folder)
    names = ["0", "120", "40", "60-after-event", "60-before-event", "80"]
    assert sorted(path.name for path in (folder / "videos").iterdir()) == [f"step-{name}.mp4" for name in names]


def test_a_resumed_run_has_no_stale_videos_and_may_stop_making_them(tmp_path: Path):
    folder = tmp_path / "run"
    said(train, *TINY, "--video", "--run-dir", folder)
    for stale in ("step-120.mp4", "step-130.mp4", "step-120-after-event.mp4"):
        (folder / "videos" / stale).write_bytes(b"stale")
    (folder / "videos" / "step-best.mp4").write_bytes(b"the user's own")
    said(train, "--resume", folder, "--steps", 170, "--video", "False")
    assert {path.name for path in (folder / "videos").iterdir()} == {
        "step-0.mp4", "step-40.mp4", "step-80.mp4", "step-best.mp4",
    }  # fmt: skip
    assert read_json(folder / "config.json")["run"]["video"] is False
    said(train, "--resume", folder, "--steps", 190, "--video")
    assert "step-190.mp4" in {path.name for path in (folder / "videos").iterdir()}
    with pytest.raises(ValueError, match=r"keeps its settings except --steps, .*--keep-replay, --video"):
        train(["--resume", str(folder), "--seed", "3"])


def test_the_video_of_a_game_shows_the_evaluated_episode_with_its_random_actions(tmp_path):
    pytest.importorskip("minatar")
    run = RunSettings(env="MinAtar/Breakout-v1", action_repeat=1, steps=100, eval_episodes=3, device="cpu")
    work = Reinforcement(DQNRun(run, DQNSettings(hidden_width=8, evaluation_exploration=0.5)).resolved())
    returns, lengths = work.evaluation.run(work.act)
    film = EvaluationFilm(work.world.evaluated, 3, work.evaluation.longest)
    seed = work.evaluation.seeds[0]
    assert play_lengths(film, work.evaluation.explored(work.act), seed) == lengths[0]
    assert film.record(work.evaluation.explored(work.act), seed, tmp_path / "film.mp4") == returns[0]


def play_lengths(film: EvaluationFilm, act: Act, seed: int) -> int:
    """Return the decisions of the episode that would be filmed."""
    rewards = play(lambda seen: act(np.repeat(seen[None], 3, axis=0))[0], film.env, seed, film.limit)
    return sum(1 for _ in rewards) - 1
