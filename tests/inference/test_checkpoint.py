import json

import pytest
import torch

from pyro_hea.errors import CheckpointError, MissingFileError, OutputError, PyroHEAError
from pyro_hea.inference import checkpoint
from pyro_hea.materials.alloys.element_tables import load_tables

TENSORS = {
    "a": torch.arange(6.0).view(2, 3),
    "b": torch.tensor([True, False]),
    "c": torch.tensor(3, dtype=torch.int64),
    "d": torch.tensor([0.1, torch.inf], dtype=torch.float64),
}


@pytest.fixture
def saved(tmp_path):
    checkpoint.write(tmp_path / "m", "model", TENSORS, {"note": "Δ", "list": [1, None, 0.1]})
    return tmp_path / "m"


def manifest_of(folder) -> dict:
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


def rewrite(folder, **changes) -> None:
    """Change a manifest as a stranger would, who mends its hash."""
    body = manifest_of(folder) | changes
    del body["manifest_sha256"]
    body["manifest_sha256"] = checkpoint.hash_of_json(body)
    (folder / "model.json").write_text(json.dumps(body), encoding="utf-8")


def tensors_of(folder):
    (path,) = folder.glob("model-*.safetensors")
    return path


def listing(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_again(saved):
    tensors, manifest = checkpoint.read(saved, "model")
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert manifest["note"] == "Δ"
    assert manifest["list"] == [1, None, 0.1]
    assert manifest["schema_version"] == checkpoint.SCHEMA_VERSION


def test_a_view_that_is_not_contiguous_is_saved_by_value(tmp_path):
    tensor = torch.arange(6.0).view(2, 3)
    checkpoint.write(tmp_path, "m", {"t": tensor.T, "u": tensor[:, 1]}, {})
    tensors, _ = checkpoint.read(tmp_path, "m")
    assert torch.equal(tensors["t"], tensor.T)
    assert torch.equal(tensors["u"], tensor[:, 1])


def test_the_same_content_makes_the_same_bytes(saved, tmp_path):
    checkpoint.write(tmp_path / "n", "model", TENSORS, {"note": "Δ", "list": [1, None, 0.1]})
    assert listing(saved) == listing(tmp_path / "n")
    for name in listing(saved):
        assert (saved / name).read_bytes() == (tmp_path / "n" / name).read_bytes()


def test_the_tensors_are_safetensors_and_no_pickle(saved):
    data = tensors_of(saved).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert set(header) - {"__metadata__"} == set(TENSORS)
    assert listing(saved) == [tensors_of(saved).name, "model.json"]


def test_writing_again_replaces_and_leaves_no_other_file(saved):
    (saved / "model.safetensors").write_text("of an earlier release")
    (saved / ".partial.model.json").write_text("of a killed save")
    (saved / "notes.txt").write_text("kept")
    checkpoint.write(saved, "model", {"a": torch.ones(1)}, {})
    tensors, manifest = checkpoint.read(saved, "model")
    assert tensors == {"a": torch.ones(1)}
    assert "note" not in manifest
    assert listing(saved) == [tensors_of(saved).name, "model.json", "notes.txt"]


def test_one_name_is_not_taken_for_another(saved):
    checkpoint.write(saved, "model-b", {"b": torch.ones(1)}, {})
    checkpoint.write(saved, "model", {"a": torch.ones(1)}, {})
    checkpoint.remove(saved, "model")
    assert checkpoint.read(saved, "model-b")[0] == {"b": torch.ones(1)}
    assert not checkpoint.exists(saved, "model")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "model.json").mkdir()
    with pytest.raises(OutputError, match="cannot write into"):
        checkpoint.write(tmp_path, "model", TENSORS, {})
    assert not list(tmp_path.glob(".partial*"))


# Damage.


@pytest.mark.parametrize("kept", [0, 7, 20, 0.5, -1])
def test_truncated_tensors_are_refused(saved, kept):
    path = tensors_of(saved)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match="truncated or was changed"):
        checkpoint.read(saved, "model")


@pytest.mark.parametrize("position", [0, 9, -1])
def test_a_changed_byte_is_refused(saved, position):
    path = tensors_of(saved)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="truncated or was changed"):
        checkpoint.read(saved, "model")


@pytest.mark.parametrize("version", [0, 2, 4, 6, "5", True, None])
def test_another_schema_version_is_refused_by_name(saved, version):
    rewrite(saved, schema_version=version)
    with pytest.raises(CheckpointError, match=f"schema version {version}; this release reads 5"):
        checkpoint.read(saved, "model")


def test_a_caller_says_how_old_a_version_it_understands(saved):
    (saved / "model.safetensors").write_bytes(tensors_of(saved).read_bytes())
    rewrite(saved, schema_version=3)
    assert checkpoint.read(saved, "model", oldest=3)[0].keys() == TENSORS.keys()
    with pytest.raises(CheckpointError, match="schema version 3; this release reads 4 to 5"):
        checkpoint.read(saved, "model", oldest=4)


def flipped(text: str):
    """The text with each bit of each byte flipped, as a bad disk would."""
    data = text.encode()
    for position in range(len(data)):
        for bit in range(8):
            one = bytearray(data)
            one[position] ^= 1 << bit
            yield bytes(one)


def test_no_flipped_bit_of_a_manifest_changes_what_is_read(saved):
    before, path = checkpoint.read(saved, "model")[1], saved / "model.json"
    refused = 0
    for data in flipped(path.read_text(encoding="utf-8")):
        path.write_bytes(data)
        try:
            assert checkpoint.read(saved, "model")[1] == before  # a blank, or the case of \\u
        except (CheckpointError, MissingFileError):
            refused += 1
    assert refused > 0.9 * 8 * path.stat().st_size


def test_a_link_to_another_folder_is_not_followed(saved, tmp_path):
    for name in listing(saved):
        moved = (saved / name).rename(tmp_path / name)
        (saved / name).symlink_to(moved)
        with pytest.raises(CheckpointError, match="is a link to another folder"):
            checkpoint.read(saved, "model")
        (saved / name).unlink()
        moved.rename(saved / name)
    (tmp_path / "link").symlink_to(saved)
    assert checkpoint.read(tmp_path / "link", "model")[0].keys() == TENSORS.keys()


def test_a_file_that_may_not_be_read_is_named(saved, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint.Path, "read_bytes", refuse)
    with pytest.raises(CheckpointError, match=r"model\.json' cannot be read: Permission denied"):
        checkpoint.read(saved, "model")


def test_a_manifest_that_is_too_large_is_not_read(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "_LARGEST_MANIFEST", 100)
    with pytest.raises(CheckpointError, match="is larger than any manifest"):
        checkpoint.read(saved, "model")


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", 64 * "g", None, 3])
def test_the_name_of_a_file_is_made_of_its_hash_alone(saved, digest):
    rewrite(saved, tensors_sha256=digest)
    with pytest.raises(CheckpointError, match="is no SHA-256"):
        checkpoint.read(saved, "model")


@pytest.mark.parametrize(
    "text",
    ["", "no json", "{", "[]", '"text"', "3", "null", "{}", '{"schema_version": 5}', 10**5 * "["],
)
def test_what_is_no_manifest_is_refused(saved, text):
    (saved / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match="is no manifest of a model"):
        checkpoint.read(saved, "model")


def test_a_manifest_of_bytes_that_are_no_text_is_refused(saved):
    (saved / "model.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="is no manifest of a model"):
        checkpoint.read(saved, "model")


def test_a_file_that_holds_no_tensors_is_refused_even_with_its_own_hash(saved):
    import hashlib

    digest = hashlib.sha256(b"no tensors at all").hexdigest()
    (saved / f"model-{digest[:16]}.safetensors").write_bytes(b"no tensors at all")
    rewrite(saved, tensors_sha256=digest)
    with pytest.raises(CheckpointError, match="holds no tensors"):
        checkpoint.read(saved, "model")


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_is_named(saved, which):
    name = listing(saved)[which]
    (saved / name).unlink()
    with pytest.raises(MissingFileError, match=f"is no saved model: there is no '{name}' in it"):
        checkpoint.read(saved, "model")


def test_a_folder_that_is_missing_or_a_file_is_no_model(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("nowhere", "file"):
        with pytest.raises(FileNotFoundError, match=f"{folder}' is no saved model"):
            checkpoint.read(tmp_path / folder, "model")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("kept")
    for below in ("file", "file/model"):
        with pytest.raises(OutputError, match=r"cannot write into .*file") as caught:
            checkpoint.write(tmp_path / below, "model", TENSORS, {})
        assert isinstance(caught.value, (PyroHEAError, OSError))
    assert (tmp_path / "file").read_text() == "kept"


def test_missing_parents_are_made(tmp_path):
    checkpoint.write(str(tmp_path / "a" / "b"), "model", TENSORS, {})
    assert checkpoint.read(str(tmp_path / "a" / "b"), "model")[0].keys() == TENSORS.keys()


# The tables behind the features.


def test_the_hash_tells_the_tables_apart_and_is_stable():
    field, published = (load_tables(n) for n in ("field", "published"))
    assert checkpoint.hash_of_tables(field) == checkpoint.hash_of_tables(load_tables("field"))
    assert checkpoint.hash_of_tables(field) != checkpoint.hash_of_tables(published)


@pytest.mark.parametrize("name", ["properties", "mixing_enthalpy"])
def test_the_hash_sees_a_change_of_one_value(name):
    from dataclasses import replace

    tables = load_tables("field")
    table = getattr(tables, name).copy()
    table.iloc[3, 1] += 1e-3
    changed = replace(tables, **{name: table})
    assert checkpoint.hash_of_tables(changed) != checkpoint.hash_of_tables(tables)
