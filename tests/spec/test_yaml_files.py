"""One reader for the YAML files of a user, whatever is in them."""

import time

import pytest

from pyro_hea.design.serialization import read_constraints
from pyro_hea.errors import ConstraintError, MissingFileError, SpecError
from pyro_hea.spec import ModelSpec
from pyro_hea.spec.yaml_files import read_yaml

BOMB = "\n".join(
    ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    + [f"a{i}: &a{i} [{', '.join(10 * [f'*a{i - 1}'])}]" for i in range(1, 30)]
)
BAD = {
    "bomb": (BOMB, "more than 10000 values"),
    "itself": ("&a [*a]", "more than 10000 values, or one that holds itself"),
    "twice": ("- {max_elements: 5, max_elements: 4}", "key 'max_elements' stands twice"),
    "deep": ("[" * 20_000, "nested deeper than 50 levels"),
    "tag": ("- !!python/object/apply:os.abort []", "not YAML"),
    "long": ("# " + "a" * 300_000, "characters are too long"),
    "digits": ("- " + "9" * 5000, "not YAML"),
    "bytes": (b"\xff\xfe\xff", "not YAML"),
    "key": ("? [1]\n: 2", "not YAML"),
}


@pytest.mark.parametrize(
    ("read", "error"),
    [(ModelSpec.from_yaml, SpecError), (read_constraints, ConstraintError)],
    ids=["spec", "constraints"],
)
class TestWhatIsRead:
    @pytest.mark.parametrize("case", BAD)
    def test_what_cannot_be_is_refused_at_once(self, tmp_path, read, error, case):
        text, reason = BAD[case]
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        start = time.thread_time()
        with pytest.raises(error, match=rf"file\.yaml: .*{reason}") as refusal:
            read(path)
        assert time.thread_time() - start < 2
        assert len(str(refusal.value)) < 1000

    @pytest.mark.parametrize("date", ["2024-13-45", "2024-01-01T99:99:99", "0000-00-00"])
    def test_a_bad_date_is_text_and_refused_as_such(self, tmp_path, read, error, date):
        path = tmp_path / "file.yaml"
        path.write_text(f"training: {date}\n" if error is SpecError else f"- {date}\n")
        with pytest.raises(error, match=r"file\.yaml"):
            read(path)

    def test_a_folder_or_nothing(self, tmp_path, read, error):
        for path in (tmp_path, tmp_path / "none.yaml"):
            with pytest.raises(MissingFileError, match="does not exist"):
                read(path)


def test_a_date_is_text(tmp_path):
    (tmp_path / "file.yaml").write_text("[2024-01-01, 2024-13-45]")
    assert read_yaml(tmp_path / "file.yaml", "spec", SpecError) == ["2024-01-01", "2024-13-45"]
