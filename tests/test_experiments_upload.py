"""Finished runs are copied to the address of --upload, whole or not at all, and no failure ends a comparison."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest

from fire_rl.commands import compare
from fire_rl.commands.compare_options import Options
from fire_rl.remote.upload import SENDING, Uploads, check, upload

FILES = {
    "config.json": "{}",
    "lock": "",
    "metrics.jsonl": "line\n" * 9,
    "checkpoints/100/agent.safetensors": "weights",
    "replay/.part-7": "half",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "CartPole-v1-fire-seed0"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder on the disk, and an object store in memory, which has no folders."""
    yield f"file://{tmp_path}/there" if request.param == "file" else "memory://bucket/there"
    fsspec.filesystem("memory").store.clear()


def there(url: str) -> dict[str, str]:
    system, root = fsspec.core.url_to_fs(url)
    return {path.partition("/there/")[2]: system.cat_file(path).decode() for path in system.find(root)}


def test_a_run_arrives_whole_except_for_its_lock(run: Path, url: str):
    check(url)
    assert there(url) == {}, "nothing of the check is left"
    (run / "video.mp4").symlink_to(run.parent / "private")
    (run.parent / "private").write_text("not of this run")
    assert upload(run, url) == 3
    assert there(url) == {
        f"{run.name}/{name}": FILES[name]
        for name in ("config.json", "metrics.jsonl", "checkpoints/100/agent.safetensors")
    }
    assert upload(run, url) == 0, "it is there"


def test_what_was_cut_short_or_has_changed_is_sent_again(run: Path, url: str):
    upload(run, url)
    system, root = fsspec.core.url_to_fs(url)
    system.pipe_file(f"{root}/{run.name}/metrics.jsonl", b"li")
    assert upload(run, url) == 2, "the file, and the mark after it"
    assert there(url)[f"{run.name}/metrics.jsonl"] == FILES["metrics.jsonl"]


def test_another_run_of_the_same_name_is_sent_whole(run: Path, url: str):
    upload(run, url)
    (run / "config.json").write_text("[]")
    (run / "metrics.jsonl").write_text("LINE\n" * 9)
    (run / "checkpoints/100").rename(run / "checkpoints/200")
    assert upload(run, url) == 3, "all of the same size, but different"
    assert there(url)[f"{run.name}/config.json"] == "[]"
    assert there(url)[f"{run.name}/metrics.jsonl"] == "LINE\n" * 9
    assert len(there(url)) == 3, "nothing of the other run is left"


def test_a_copy_of_another_run_that_was_cut_off_is_not_completed(run: Path, url: str, monkeypatch: pytest.MonkeyPatch):
    system, _ = fsspec.core.url_to_fs(url)
    put = type(system).put_file

    def broken(self: Any, source: str, target: str, **more: Any) -> None:
        if target.endswith("/config.json"):
            raise OSError("the line is down")
        put(self, source, target, **more)

    with monkeypatch.context() as cut:
        cut.setattr(type(system), "put_file", broken)
        with pytest.raises(OSError, match="line is down"):
            upload(run, url)
    assert f"{run.name}/config.json" not in there(url)
    assert upload(run, url) == 1, "the same run: only the mark was missing"
    with monkeypatch.context() as cut:
        cut.setattr(type(system), "put_file", broken)
        (run / "config.json").write_text("[]")
        with pytest.raises(OSError, match="line is down"):
            upload(run, url)
    (run / "config.json").write_text("()")
    (run / "metrics.jsonl").write_text("LINE\n" * 9)
    assert upload(run, url) == 3, "another run: files of equal size are sent too"
    assert there(url)[f"{run.name}/metrics.jsonl"] == "LINE\n" * 9


def test_a_run_cut_off_on_its_way_has_no_config(run: Path, url: str, monkeypatch: pytest.MonkeyPatch):
    upload(run, url)
    (run / "metrics.jsonl").write_text("longer now\n" * 20)
    system, _ = fsspec.core.url_to_fs(url)

    put = type(system).put_file

    def fail(self: Any, source: str, target: str, **more: Any) -> None:
        if not target.endswith(SENDING):
            raise OSError("the line is\ndown")
        put(self, source, target, **more)

    warnings: list[str] = []
    uploads = Uploads(url, warnings.append)
    with monkeypatch.context() as broken:
        broken.setattr(type(system), "put_file", fail)
        uploads.add(run)
        uploads._pending[run].result()
        assert f"{run.name}/config.json" not in there(url)
    assert uploads.finish() == [], "tried again"
    assert warnings == [f"warning: {run.name} was not copied to {url} (the line is down); the run itself is complete"]
    assert there(url)[f"{run.name}/metrics.jsonl"] == "longer now\n" * 20
    assert f"{run.name}/config.json" in there(url)


def test_an_upload_that_keeps_failing_is_reported(run: Path, tmp_path: Path):
    warnings: list[str] = []
    uploads = Uploads(f"file://{tmp_path}/there", warnings.append)
    (tmp_path / "there").rmdir()
    (tmp_path / "there").write_text("a file now")
    uploads.add(run)
    assert uploads.finish() == [run]
    assert len(warnings) == 2


def test_a_stop_sends_no_run_that_waits(run: Path, url: str, monkeypatch: pytest.MonkeyPatch):
    begun, goes_on, names = Event(), Event(), list[str]()

    def send(folder: Path, url: str) -> int:
        names.append(folder.name)
        begun.set()
        assert goes_on.wait(60)
        return 1

    monkeypatch.setattr("fire_rl.remote.upload.upload", send)
    uploads = Uploads(url, print)
    waiting = [run.with_name(name) for name in "abc"]
    for folder in (run, *waiting):
        uploads.add(folder)
    assert begun.wait(60)
    abandon = uploads.abandon

    def abandon_then_go_on() -> None:  # `cancel` waits for the upload in progress after that
        abandon()
        goes_on.set()

    monkeypatch.setattr(uploads, "abandon", abandon_then_go_on)
    assert uploads.cancel() == waiting
    assert names == [run.name]


def test_an_error_ends_a_comparison_without_its_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uploads = Uploads(f"file://{tmp_path}/there", print)
    monkeypatch.setattr(compare, "uploads_to", lambda *given: uploads)
    monkeypatch.setattr(uploads, "_send", lambda folder: Event().wait())  # never ends

    def interrupted(grid: object, jobs: object, pool: object, retry: bool, finished: Any, here: bool) -> int:
        for name in "ab":
            finished(SimpleNamespace(folder=tmp_path / name))
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "run_comparison", interrupted)
    grid: Any = SimpleNamespace(folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        compare.compare(Options(upload="file://there"), grid, (), lambda paths, folder: None)
    assert uploads._pending[tmp_path / "b"].cancelled()


def test_runs_that_could_not_be_copied_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    missing = SimpleNamespace(finish=lambda: [tmp_path / "run"], abandon=lambda: None)
    monkeypatch.setattr(compare, "uploads_to", lambda *given: missing)
    monkeypatch.setattr(compare, "run_comparison", lambda *given, here: 0)
    grid: Any = SimpleNamespace(folder=tmp_path)
    assert compare.compare(Options(upload="file://there"), grid, (), lambda paths, folder: None) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s4://bucket", "did you mean s3"),
        ("gs://bucket/runs", "pip install gcsfs"),
        ("file:///proc/none/here", "nothing can be written there"),
    ],
)
def test_a_url_that_cannot_work_is_refused_in_one_line(url: str, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)  # as if it were not installed
    with pytest.raises(ValueError, match=f"--upload {url} given[^\n]*{message}[^\n]*$"):
        check(url)
