"""Files that are written whole or not at all, by one process at a time."""

import errno
import os
import subprocess
import sys

import pytest

from pyro_hea import files
from pyro_hea.errors import OutputError
from pyro_hea.files import locked, replacing, write_bytes, write_text


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "old", make_folder=True)
    write_bytes(tmp_path / "a" / "b.txt", "neu €".encode())
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "neu €"
    assert os.listdir(tmp_path / "a") == ["b.txt"]


def test_an_error_on_the_way_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def write_half():
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("operation", ["open", "fsync", "replace"])
def test_what_the_system_refuses_is_an_output_error(tmp_path, monkeypatch, operation, code):
    write_text(tmp_path / "a.txt", "old")

    def refuse(*args, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, operation, refuse)
    with pytest.raises(OutputError, match=rf"cannot write into '.*': {os.strerror(code)}"):
        write_text(tmp_path / "a.txt", "new")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_content_is_on_the_disk_before_the_name_and_the_name_after(tmp_path, monkeypatch):
    happened = []

    def noted(name, function):
        def run(*args):
            what = os.readlink(f"/proc/self/fd/{args[0]}") if name == "fsync" else args[1]
            happened.append((name, os.path.basename(what)))
            return function(*args)

        return run

    for name in ("fsync", "replace"):
        monkeypatch.setattr(files.os, name, noted(name, getattr(os, name)))
    write_text(tmp_path / "a.txt", "content")
    assert happened == [
        ("fsync", ".partial.a.txt"),
        ("replace", "a.txt"),
        ("fsync", tmp_path.name),
    ]


@pytest.mark.parametrize("taken", ["folder", "folder/below"])
def test_a_file_in_the_place_of_a_folder_is_an_output_error(tmp_path, taken):
    (tmp_path / "folder").write_text("kept")
    with pytest.raises(OutputError, match="cannot write into"):
        write_text(tmp_path / taken / "a.txt", "new")
    with pytest.raises(OutputError, match="cannot write into"), locked(tmp_path / taken, "a"):
        pass
    assert (tmp_path / "folder").read_text() == "kept"


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    with (
        locked(tmp_path, "model"),
        pytest.raises(OutputError, match=f"process {os.getpid()} on .* is writing there"),
        locked(tmp_path, "model"),
    ):
        pass
    with locked(tmp_path, "model"), locked(tmp_path, "training"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    code = (
        "import os, sys\n"
        "from pyro_hea.files import locked\n"
        f"with locked({str(tmp_path)!r}, 'model'):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert os.listdir(tmp_path) == [".model.lock"]
    with locked(tmp_path, "model"):
        pass
    assert os.listdir(tmp_path) == []


def writers(vae, alloys):
    """Each way to write a file of one's own, by the name of the file."""
    from matplotlib.figure import Figure

    from pyro_hea.design import MaxElements
    from pyro_hea.design.export import write_table
    from pyro_hea.design.serialization import write_constraints
    from pyro_hea.evaluate.report import write_report
    from pyro_hea.plots._style import Panels
    from pyro_hea.posterior.idata import write_netcdf

    def page(path):
        write_report(path, title="T", summary={}, tables={}, figures={})

    table = vae.predict(alloys.take([0, 1])).reset_index()
    idata = vae.posterior(alloys.take([0, 1]), draws=2)
    return {
        "table.csv": lambda path: write_table(table, path, "csv"),
        "table.xlsx": lambda path: write_table(table, path, "xlsx"),
        "alloys.csv": alloys.to_csv,
        "alloys.csv.gz": alloys.to_csv,
        "alloys.xlsx": alloys.to_excel,
        "spec.yaml": vae.spec.to_yaml,
        "constraints.yaml": lambda path: write_constraints([MaxElements(4)], path),
        "report.html": page,
        "draws.nc": lambda path: write_netcdf(idata, path),
        "figure.png": Panels([Figure().subplots()]).save,
    }


def test_whatever_writes_a_file_leaves_the_old_one_where_the_disk_is_full(
    vae, alloys, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name, write in writers(vae, alloys).items():
        path = tmp_path / name
        path.write_text("old")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
                write(path)
        assert path.read_text() == "old"
        write(path)
        assert path.read_bytes()[:3] != b"old"
        with pytest.raises(OutputError, match="nowhere"):
            write(tmp_path / "nowhere" / name)
    assert {p.name for p in tmp_path.iterdir()} == set(writers(vae, alloys))
