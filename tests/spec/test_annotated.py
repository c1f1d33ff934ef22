import re
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_hea.errors import SpecError
from pyro_hea.spec import ModelSpec
from pyro_hea.spec.annotated import annotated_yaml
from pyro_hea.spec.declaration import declarations_in
from pyro_hea.spec.notes import Note, notes, summary


def declarations(kind=ModelSpec):
    """A spec and every declaration within it."""
    found = {kind}
    for field in kind.model_fields.values():
        for inner in declarations_in(field.annotation):
            found |= declarations(inner)
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(spec=st.from_type(ModelSpec))
def test_reads_back_the_spec(spec, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "annotated.yaml"
    file.write_text(annotated_yaml(spec), encoding="utf-8", newline="")
    assert ModelSpec.from_yaml(file) == spec


@pytest.mark.parametrize("kind", sorted(declarations(), key=lambda kind: kind.__name__))
def test_every_key_of_every_declaration_is_explained(kind):
    tags = {"kind", "dist", "rule"}
    assert kind.model_fields.keys() - notes(kind).keys() - tags == set()
    assert notes(kind).keys() <= kind.model_fields.keys() | {"dist", "arguments"}
    assert all(text or " or " in said for said, text in notes(kind).values())
    assert summary(kind)


def test_every_key_of_the_default_stands_under_a_comment():
    lines = annotated_yaml(ModelSpec()).splitlines()
    for above, line in pairwise(lines):
        if re.match(r" *\w+:", line) and line.strip() != "single_phase:":
            assert re.match(r" *# \S", above), line
    assert max(map(len, lines)) <= 104


def test_the_shipped_default_is_what_init_writes(repo_root):
    shipped = (repo_root / "pyro_hea" / "spec" / "shipped" / "default.yaml").read_text(
        encoding="utf-8"
    )
    assert shipped == annotated_yaml(ModelSpec())


def test_a_note_ends_where_the_next_section_begins():
    assert notes(ModelSpec)["training"] == Note("Training", "The ensemble and how it is trained.")
    assert summary(ModelSpec) == "Everything that defines a model, in one frozen value."


class TestShipped:
    def test_default_is_the_default(self):
        assert ModelSpec.shipped() == ModelSpec()

    def test_every_one_can_be_read(self, repo_root):
        for file in (repo_root / "pyro_hea" / "spec" / "shipped").iterdir():
            assert ModelSpec.shipped(file.stem) == ModelSpec.from_yaml(file)

    def test_unknown_one_names_the_nearest(self):
        with pytest.raises(SpecError, match=r"no spec 'defualt'.*'default'\? There are .*default"):
            ModelSpec.shipped("defualt")
