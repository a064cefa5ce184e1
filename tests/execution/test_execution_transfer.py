"""Data transfer from anywhere to anywhere: globs, modes, resume, odd names, nothing half done."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.errors import ConfigError, DataError, MLPipeError, StoreError
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.selection import matching
from airflow_mlpipe.execution.transfers.meter import Meter
from airflow_mlpipe.frozen import checked, plain
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

NewRun = Callable[..., RunInfo]
ODD = ["a b.csv", "ä/ö.csv", "%41.csv", "x'y\".csv", "{{ ds }}.csv", "$(id).csv", "-rf.csv", "deep/er/and/deeper.csv"]
TREE = {"a.csv": b"1,2\n", "b.txt": b"text", "2013/01.csv": b"x" * 5000, "2013/empty": b""}


def workspace(folder: Path, own: str = "local") -> Workspace:
    stores = {
        "workspaceblobstore": {"type": own} | ({"path": "store"} if own == "local" else {}),
        "local": {"type": "local", "path": "other"},
        "memory": {"type": "memory"},
    }
    return workspace_from_mapping({"datastores": stores, "compute": {"local": {"type": "inline"}}}, folder)


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    return workspace(tmp_path, request.param)


@pytest.fixture(params=["local", "memory", "azure", "sftp"])
def end(request: pytest.FixtureRequest, place: Workspace) -> str:
    """One end of a transfer: the name of a datastore of the workspace."""
    return opened(request, place, str(request.param))


def opened(request: pytest.FixtureRequest, place: Workspace, name: str) -> str:
    """Give the workspace a datastore on a server, and return its name."""
    if name == "azure" and name not in place._datastores:
        place._datastores[name] = request.getfixturevalue("azurite").datastore(name)
    if name == "sftp":
        settings = request.getfixturevalue("sshd").settings
        place.config.datastores[name] = {"type": "sftp", **settings, "path": str(place.folder / "far")}
    return name


def lay(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, data in (TREE if files is None else files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def put(place: Workspace, store: str, path: str, files: dict[str, bytes], tmp_path: Path) -> None:
    number = next(i for i in itertools.count() if not (tmp_path / f"put{i}").exists())
    place.datastore(store).upload(lay(tmp_path / f"put{number}", files), path)


def step(inputs: dict[str, Any], mode: str = "merge_with_overwrite", **output: Any) -> Step:
    fields = {"name": "copy", "type": "data_transfer", "copy_mode": mode, "inputs": inputs, "outputs": {"out": output}}
    return checked(Step, fields)


def at(store: str, path: str = "src", **more: Any) -> dict[str, Any]:
    return {"path": f"azureml://datastores/{store}/paths/{path}", **more}


def copy(place: Workspace, task: Step, run: RunInfo, said: list[str] | None = None) -> StepRecord:
    done = begin(place, task, run, 0, (lambda _: None) if said is None else said.append)
    assert isinstance(done, StepRecord)
    return done


def files_of(place: Workspace, record: StepRecord, tmp_path: Path) -> dict[str, bytes]:
    ref = record.outputs["out"]
    to = tmp_path / f"got-{record.run_id}"
    place.datastore(ref.datastore).download(ref.path, to)
    return read(to)


def read(to: Path) -> dict[str, bytes]:
    if to.is_file():
        return {"": to.read_bytes()}
    return {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}


@pytest.mark.parametrize("in_a_store", [True, False])
def test_every_source_arrives_whole(
    place: Workspace, new_run: NewRun, tmp_path: Path, end: str, in_a_store: bool
) -> None:
    files = TREE | {name: name.encode() for name in ODD}
    if in_a_store:
        put(place, end, "src", files, tmp_path)
    else:
        lay(tmp_path / "src", files)
    task = step({"i": at(end) if in_a_store else {"path": "src"}})
    done = copy(place, task, new_run("r1"))
    assert files_of(place, done, tmp_path) == files
    assert copy(place, task, new_run("r2")).decision == "reused"
    assert list((tmp_path / "scratch").glob("mlp-*")) == []


@pytest.mark.parametrize("source", ["local", "memory", "azure", "sftp"])
def test_every_destination_gets_all(
    request: pytest.FixtureRequest, place: Workspace, new_run: NewRun, tmp_path: Path, source: str, end: str
) -> None:
    destination = end
    opened(request, place, source)
    files = TREE | {name: name.encode() for name in ODD}
    put(place, source, "src", files, tmp_path)
    put(place, destination, "out/deep", {"kept.txt": b"mine"}, tmp_path)
    said: list[str] = []
    task = step({"i": at(source)}, "fail_if_conflict", **at(destination, "out/deep"))
    done = copy(place, task, new_run("r1"), said)
    assert files_of(place, done, tmp_path) == files | {"kept.txt": b"mine"}
    assert said[-2].endswith(f"{len(files)} files written, 0 left as they were")
    again: list[str] = []
    second = copy(place, task, new_run("r2"), again)
    assert (second.decision, second.reason) == ("ran", "an export looks at its destination in every run")
    assert again[-2].endswith(f"0 files written, {len(files)} left as they were")


@pytest.mark.parametrize(
    ("mode", "left"), [("merge_with_overwrite", b"new"), ("skip_existing", b"old"), ("fail_if_conflict", None)]
)
def test_what_is_there_already(
    place: Workspace, new_run: NewRun, tmp_path: Path, mode: str, left: bytes | None, end: str
) -> None:
    destination = end
    put(place, "memory", "src", {"same": b"1", "other": b"new", "fresh": b"2"}, tmp_path)
    put(place, destination, "out", {"same": b"1", "other": b"old"}, tmp_path)
    task = step({"i": at("memory")}, mode, **at(destination, "out"))
    if left is None:
        with pytest.raises(DataError, match=r"1 files at out .* have other contents \(other\).* Nothing was written"):
            copy(place, task, new_run())
        assert place.datastore(destination).read("out/fresh") is None
        left = b"old"
    else:
        assert files_of(place, copy(place, task, new_run()), tmp_path) == {"same": b"1", "other": left, "fresh": b"2"}
    assert place.datastore(destination).read("out/other") == left


@pytest.mark.parametrize(("mode", "wins"), [("merge_with_overwrite", b"two"), ("skip_existing", b"one")])
def test_who_wins_among_inputs(place: Workspace, new_run: NewRun, tmp_path: Path, mode: str, wins: bytes) -> None:
    put(place, "local", "one", {"x/same": b"one", "1": b""}, tmp_path)
    put(place, "memory", "two", {"x/same": b"two", "2": b""}, tmp_path)
    done = copy(place, step({"a": at("local", "one"), "b": at("memory", "two")}, mode), new_run())
    assert files_of(place, done, tmp_path) == {"x/same": wins, "1": b"", "2": b""}


def test_a_file_cannot_be_a_folder_too(place: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    put(place, "memory", "one", {"x": b""}, tmp_path)
    put(place, "memory", "two", {"x/y": b""}, tmp_path)
    with pytest.raises(DataError, match="'x' is a file in one input and a folder in another"):
        copy(place, step({"a": at("memory", "one"), "b": at("memory", "two")}), new_run())


def test_single_files(place: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    lay(tmp_path, {"a.csv": b"a", "b.csv": b"b"})
    task = step({"a": {"path": "a.csv", "type": "uri_file"}}, type="uri_file")
    assert files_of(place, copy(place, task, new_run("r1")), tmp_path) == {"": b"a"}
    both = step({name: {"path": f"{name}.csv", "type": "uri_file"} for name in ("a", "b")})
    assert files_of(place, copy(place, both, new_run("r2")), tmp_path) == {"a.csv": b"a", "b.csv": b"b"}
    with pytest.raises(DataError, match="takes one input that is a single file"):
        copy(place, step(plain(both)["inputs"], type="uri_file"), new_run("r3"))


def test_empty_files_and_folders_arrive(new_run: NewRun, tmp_path: Path) -> None:
    place = workspace(tmp_path)
    (lay(tmp_path / "src", {"empty": b""}) / "hollow" / "inner").mkdir(parents=True)
    for number, output in enumerate([{}, at("local", "out"), at("memory", "out")]):
        ref = copy(place, step({"i": {"path": "src"}}, **output), new_run(f"r{number}")).outputs["out"]
        manifest = place.datastore(ref.datastore).manifest(ref.path)
        assert manifest == scan(tmp_path / "src")


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        (["*.csv"], [], {"a.csv", "2013/01.csv"}),
        (["2013/**"], [], {"2013/01.csv", "2013/empty"}),
        ([], ["2013/"], {"a.csv", "b.txt"}),
        (["*.csv"], ["/a.*"], {"2013/01.csv"}),
        (["/*.csv", "b.*"], [], {"a.csv", "b.txt"}),
    ],
)
def test_patterns_choose_files(
    place: Workspace, new_run: NewRun, tmp_path: Path, include: list[str], exclude: list[str], wanted: set[str]
) -> None:
    assert set(matching(sorted(TREE), include, exclude)) == wanted
    lay(tmp_path / "src")
    task = step({"i": {"path": "src", "include": include, "exclude": exclude}})
    done = copy(place, task, new_run("r1"))
    assert files_of(place, done, tmp_path) == {name: TREE[name] for name in wanted}
    left_out = next(iter(TREE.keys() - wanted))
    (tmp_path / "src" / left_out).write_bytes(b"changed")
    assert copy(place, task, new_run("r2")).decision == "reused", "a file that is left out does not count"


def test_patterns_that_choose_nothing_say_so(place: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    lay(tmp_path / "src")
    with pytest.raises(DataError, match=r"none of the 4 files at src is chosen by include \['\*.parquet'\]"):
        copy(place, step({"i": {"path": "src", "include": ["*.parquet"]}}), new_run())


class Flaky(MemoryDatastore):
    """Breaks off after so many downloads or writes."""

    left = 10**9

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("The disk is full.")

    def download(self, *arguments: Any, **more: Any) -> Any:
        self._spend()
        return super().download(*arguments, **more)

    def upload(self, *arguments: Any, **more: Any) -> Any:
        self._spend()
        return super().upload(*arguments, **more)

    def replace(self, key: str, data: bytes) -> None:
        self._spend()
        super().replace(key, data)


def flaky(place: Workspace) -> Flaky:
    store = Flaky("memory")
    place._datastores["memory"] = store
    return store


def test_an_import_that_was_cut_off_fetches_only_the_rest(
    place: Workspace, new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_mlpipe.execution.transfers.fetch._FILES_AT_ONCE", 2)
    files = {f"{number:02}": bytes([number]) * 100 for number in range(10)}
    store = flaky(place)
    put(place, "memory", "src", files, tmp_path)
    store.left = 3
    with pytest.raises(StoreError, match="full"):
        copy(place, step({"i": at("memory")}), new_run())
    [staged] = (tmp_path / "scratch").glob("mlp-*")
    assert sorted(read(staged / "out" / "0")) == sorted(files)[:6]
    (staged / "out" / "0" / "01").write_bytes(b"torn")
    (staged / "out" / "0" / "stranger").write_bytes(b"x")
    store.left = 3
    done = copy(place, step({"i": at("memory")}), new_run())
    assert files_of(place, done, tmp_path) == files
    assert list((tmp_path / "scratch").glob("mlp-*")) == []


@pytest.mark.parametrize("after", range(5))
def test_an_export_that_was_cut_off_writes_only_the_rest(
    place: Workspace, new_run: NewRun, tmp_path: Path, after: int
) -> None:
    files = {f"{number}": bytes([number]) * 100 for number in range(6)}
    lay(tmp_path / "src", files)
    store = flaky(place)
    put(place, "memory", "out", {"0": b"old", "1": files["1"]}, tmp_path)
    store.left = after
    task = step({"i": {"path": "src"}}, **at("memory", "out"))
    with pytest.raises(StoreError, match="full"):
        copy(place, task, new_run("r1"))
    there = {name: store.read(f"out/{name}") for name in files}
    assert all(data in (None, files[name], b"old") for name, data in there.items()), "a file is whole or not there"
    store.left = missing = sum(there[name] != files[name] for name in files)
    said: list[str] = []
    copy(place, task, new_run("r2"), said)
    assert files_of_memory(store) == files
    assert said[-2].endswith(f"{missing} files written, {len(files) - missing} left as they were")


def files_of_memory(store: MemoryDatastore) -> dict[str, bytes]:
    return {key.removeprefix("out/"): store.read(key) or b"" for key in store.keys("out/")}


class Moving(MemoryDatastore):
    """Changes its data as soon as somebody copies them."""

    def download(self, path: str, *arguments: Any, **more: Any) -> Any:
        super().replace(f"{path}/a.csv", b"changed meanwhile")
        return super().download(path, *arguments, **more)


def test_a_source_that_changes_is_an_error_and_nothing_is_published(
    place: Workspace, new_run: NewRun, tmp_path: Path
) -> None:
    place._datastores["memory"] = Moving("memory")
    put(place, "memory", "src", TREE, tmp_path)
    with pytest.raises(DataError, match=r"input i: the data at .* changed while it was copied"):
        copy(place, step({"i": at("memory")}), new_run())
    assert list(place.reuse.datastore.keys("mlpipe/reuse/")) == []


def test_names_that_cannot_be_kept_are_refused_before_the_first_byte(new_run: NewRun, tmp_path: Path) -> None:
    place = workspace(tmp_path)
    lay(tmp_path / "src", {"fine": b"1", "line\nbreak": b"2"})
    with pytest.raises(DataError, match=r"'line\\nbreak' holds characters that datastore 'memory' cannot keep"):
        copy(place, step({"i": {"path": "src"}}, **at("memory", "out")), new_run("r1"))
    assert list(place.datastore("memory").keys("")) == []
    copy(place, step({"i": {"path": "src"}}, **at("local", "out")), new_run("r2"))
    assert read(tmp_path / "other" / "out") == {"fine": b"1", "line\nbreak": b"2"}


def test_names_of_every_kind_reach_a_server_that_keeps_them(
    request: pytest.FixtureRequest, new_run: NewRun, tmp_path: Path
) -> None:
    place = workspace(tmp_path)
    files = {
        name: name.encode("utf-8", "surrogateescape") for name in ("line\nbreak", "caf\udce9", "\x01", " a ", *ODD)
    }
    lay(tmp_path / "src", files)
    copy(place, step({"i": {"path": "src"}}, **at(opened(request, place, "sftp"), "out")), new_run("r1"))
    assert read(tmp_path / "far" / "out") == files
    done = copy(place, step({"i": at("sftp", "out")}), new_run("r2"))
    assert files_of(place, done, tmp_path) == files


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a//b", ".mlpipe/x"])
def test_nothing_is_written_outside_of_a_datastore(
    place: Workspace, new_run: NewRun, tmp_path: Path, path: str
) -> None:
    lay(tmp_path / "src")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MLPipeError):
        copy(place, step({"i": {"path": "src"}}, **at("local", path)), new_run())
    outside = [name for name in set(tmp_path.rglob("*")) - set(before) if name.relative_to(tmp_path).parts[0] == "x"]
    assert outside == []


def test_the_records_of_the_workspace_are_no_destination(place: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    lay(tmp_path / "src")
    with pytest.raises(DataError, match="among the records of the workspace"):
        copy(place, step({"i": {"path": "src"}}, **at("workspaceblobstore", "mlpipe/x")), new_run())


def test_only_transfers_export() -> None:
    from airflow_mlpipe.operators.ports import build_step

    with pytest.raises(ConfigError, match="only a data_transfer step writes to a path of its own"):
        build_step("s", "command", {"command": "true", "outputs": {"o": at("local")}})


def test_progress_is_said_every_few_seconds() -> None:
    said: list[str] = []
    now = [0.0]
    meter = Meter(said.append, "raw", 10_000_000, lambda: now[0])
    meter.skip(1_000_000)
    for _ in range(8):
        now[0] += 1
        meter(1_000_000)
    assert said == ["raw: 6.0 MB of 10.0 MB (60 %), 1.0 MB/s, about 4 s left"]


def test_two_tries_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    from airflow_mlpipe.execution.transfers.staging import staging

    place = workspace(tmp_path)
    with staging(place, "a" * 64) as one, staging(place, "a" * 64) as two:
        assert one != two
    assert list(place.scratch.iterdir()) == []
    with suppress(StoreError), staging(place, "a" * 64) as first:
        (first / "x").write_bytes(b"")
        raise StoreError("cut off")
    with staging(place, "a" * 64) as again:
        assert (again / "x").exists()


def test_links_out_of_a_source_are_refused(place: Workspace, new_run: NewRun, tmp_path: Path) -> None:
    lay(tmp_path / "src").joinpath("out").symlink_to(tmp_path)
    with pytest.raises(DataError, match="out"):
        copy(place, step({"i": {"path": "src"}}), new_run())
