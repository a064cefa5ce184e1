"""The benchmarks of reuse in miniature: each side does what it says, and a side that does less is no figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.testing.azurite import AzuriteServer
from benchmarks import azure_sdk, rclone, reuse_hash, reuse_listing, reuse_transfer
from benchmarks.azure_sdk import Place
from benchmarks.measure import BenchmarkError
from benchmarks.pipelines import write_big_data
from benchmarks.settings import Settings

SIZE, FILES = (1 << 20) + 7, 203


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_big_data(tmp_path / "data", SIZE, FILES)
    return tmp_path / "data"


@pytest.fixture
def place(azurite: AzuriteServer) -> Place:
    return Place.fresh(azurite)


def test_the_bare_loop_takes_the_same_digests(data: Path) -> None:
    manifest = scan(data)
    assert manifest is not None
    bare = {str(Path(path).relative_to(data)): digest for path, digest in reuse_hash.bare_digests(data).items()}
    assert bare == {entry.path: entry.digest.removeprefix("blake3:") for entry in manifest.entries}
    big = data / "one" / "data.bin"
    assert reuse_hash.bare_digests(big) == {str(big): bare["one/data.bin"]}


def test_a_loop_that_misses_a_file_is_no_figure(data: Path) -> None:
    for take in (reuse_hash.ours, reuse_hash.bare):
        assert take(data / "many", FILES).wall > 0
        with pytest.raises(BenchmarkError, match="instead of 204"):
            take(data / "many", FILES + 1)


def test_both_sides_move_the_same_bytes(place: Place, data: Path, tmp_path: Path) -> None:
    many, expected = data / "many", scan(data / "many")
    assert expected is not None
    reuse_transfer.ours_up(tmp_path, place, many)
    other = Place.fresh(place.server)
    azure_sdk.upload(other.client(), many)
    assert place.sizes().items() >= other.sizes().items()
    assert other.sizes() == {f"many/{entry.path}": entry.size for entry in expected.entries}
    azure_sdk.download(other.client(), "many", tmp_path / "theirs")
    reuse_transfer.ours_down(tmp_path, place, many, tmp_path / "ours")
    assert scan(tmp_path / "theirs") == scan(tmp_path / "ours") == expected
    other.drop()


def test_an_upload_that_loses_a_file_is_no_figure(azurite: AzuriteServer, data: Path) -> None:
    wanted = reuse_transfer.Data(data / "many", "many", ())

    def lose(place: Place, source: Path) -> reuse_transfer.Sample:
        lost = next(source.rglob("*.csv"))
        kept = lost.read_bytes()
        lost.unlink()
        azure_sdk.upload(place.client(), source)
        lost.write_bytes(kept)
        return reuse_transfer.Sample(1, 1)

    with pytest.raises(BenchmarkError, match="202 blobs"):
        reuse_transfer._uploaded(azurite, wanted, lose)


def test_a_download_of_other_bytes_is_no_figure(place: Place, data: Path, tmp_path: Path) -> None:
    wanted = reuse_transfer.Data(data / "many", "many", ())

    def lie(_place: Place, _source: Path, to: Path) -> reuse_transfer.Sample:
        write_big_data(to, 1, FILES)
        return reuse_transfer.Sample(1, 1)

    with pytest.raises(BenchmarkError, match="not what was sent"):
        reuse_transfer._downloaded(Settings(tmp_path, 1, print), place, wanted, lie)


def test_both_lists_are_of_all_blobs(place: Place, tmp_path: Path) -> None:
    store = reuse_listing.fill(tmp_path, place, 230)
    assert reuse_listing.ours(store, 230).wall > 0
    assert reuse_listing.raw(place, 230).wall > 0
    with pytest.raises(BenchmarkError, match="instead of 231"):
        reuse_listing.ours(store, 231)
    with pytest.raises(BenchmarkError, match="instead of 231"):
        reuse_listing.raw(place, 231)


def test_rclone_is_told_everything_by_variables(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_TRANSFERS", "1")
    variables = {name: text for name, text in rclone.environment(place).items() if name.startswith("RCLONE")}
    assert set(variables) == {"RCLONE_CONFIG", "RCLONE_CONFIG_BLOBS_TYPE", "RCLONE_CONFIG_BLOBS_SAS_URL"}
    assert f"/{place.container}?" in variables["RCLONE_CONFIG_BLOBS_SAS_URL"]


def test_without_rclone_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchmarkError, match="apt-get install rclone"):
        rclone.ensure()
