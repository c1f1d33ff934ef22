"""Former keys of a spec: read under their present names, and told."""

import pytest

from pyro_hea.errors import FormerKeyWarning, SpecError
from pyro_hea.spec import ModelSpec
from pyro_hea.spec.former_keys import FORMER_KEYS, renamed

FORMER = {
    "training": {
        "members": 2,
        "teacher": {"alloys": 50, "trees": 10, "steps": 5},
        "sleep": 0.5,
        "middles": 0.25,
    }
}
PRESENT = {
    "training": {
        "members": 2,
        "distillation": {"synthetic_alloys": 50, "trees": 10, "steps": 5},
        "wake_sleep": 0.5,
        "augmentation": 0.25,
    }
}


def test_every_former_key_gets_its_present_name_and_the_mapping_given_stays():
    given = {"training": {**FORMER["training"]}}
    assert renamed(given) == PRESENT
    assert given == FORMER
    assert renamed(PRESENT) is PRESENT


def test_order_of_keys_is_kept():
    assert [*renamed(FORMER)["training"]] == [*PRESENT["training"]]


@pytest.mark.parametrize("odd", [{}, {"training": None}, {"training": {"teacher": None}}])
def test_whatever_stands_above_a_former_key(odd):
    assert "teacher" not in str(renamed(odd))


def test_a_yaml_file_with_former_keys_is_read_with_a_warning_for_each(tmp_path):
    file = tmp_path / "old.yaml"
    file.write_text(
        "training: {teacher: {alloys: 50, trees: 10, steps: 5}, sleep: 0.5, middles: 0.25,"
        " members: 2}"
    )
    with pytest.warns(FormerKeyWarning) as given:
        spec = ModelSpec.from_yaml(file)
    assert spec == ModelSpec.from_mapping(PRESENT)
    assert [str(warning.message) for warning in given] == [
        f"{file}: {path} is called '{new}' now; rename it, for a later release refuses it"
        for path, new in FORMER_KEYS.items()
    ]


def test_both_names_at_once_are_refused():
    with pytest.raises(SpecError, match=r"training.sleep is the former name of 'wake_sleep'"):
        ModelSpec.from_mapping({"training": {"sleep": 0, "wake_sleep": 0.1}})


def test_every_former_key_is_gone_and_every_present_one_there():
    defaults = ModelSpec().to_mapping()
    for path, new in FORMER_KEYS.items():
        *above, old = path.split(".")
        holder = defaults
        for key in above:
            holder = holder[key]
        assert new in holder
        assert old not in holder
