import json

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyro_hea.errors import MissingFileError, OutputError, PyroHEAError, SpecError
from pyro_hea.spec import (
    Binary,
    Latent,
    ModelSpec,
    Network,
    Prior,
    Training,
)

specs = st.from_type(ModelSpec)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("spec") / "hea.yaml"


def read(file, text):
    file.write_text(text, encoding="utf-8", newline="")
    return ModelSpec.from_yaml(file)


def or_spec_error(function):
    try:
        return function()
    except SpecError as error:
        return error


class TestYaml:
    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(spec=specs)
    def test_reads_back_the_spec_that_was_written(self, file, spec):
        spec.to_yaml(file)
        back = ModelSpec.from_yaml(file)
        assert back == spec
        assert hash(back) == hash(spec)
        assert back.target_names == spec.target_names

    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(spec=specs)
    def test_writes_the_file_that_was_read(self, file, spec):
        spec.to_yaml(file)
        before = file.read_bytes()
        ModelSpec.from_yaml(file).to_yaml(file)
        assert file.read_bytes() == before

    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(spec=specs)
    def test_mapping_reads_back(self, spec):
        assert ModelSpec.from_mapping(spec.to_mapping()) == spec
        assert ModelSpec.from_mapping(json.loads(json.dumps(spec.to_mapping()))) == spec

    @pytest.mark.parametrize("name", ["yes", "no", "null", "on", "true", "y", "e1"])
    def test_target_named_like_a_yaml_literal_is_kept(self, file, name):
        spec = ModelSpec(targets=(Binary(name=name),))
        spec.to_yaml(file)
        assert ModelSpec.from_yaml(file).target_names == (name,)

    @pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment\n", "{}", "---\n"])
    def test_empty_file_is_the_default(self, file, text):
        assert read(file, text) == ModelSpec()

    def test_keys_left_out_keep_their_defaults(self, file):
        spec = read(file, "latent: {dim: 4}\ntraining: {learning_rate: 1e-4}\n")
        assert spec == ModelSpec(latent=Latent(dim=4), training=Training(learning_rate=1e-4))

    def test_targets_keep_their_order(self, file):
        spec = read(file, "targets: {zeta: , alpha: {prior: {dist: Bernoulli, probs: 0.2}}}\n")
        assert spec.targets == (
            Binary(name="zeta"),
            Binary(name="alpha", prior=Prior(dist="Bernoulli", probs=0.2)),
        )

    def test_written_file_holds_every_key_by_name(self, file):
        ModelSpec().to_yaml(file)
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert list(data) == list(ModelSpec.model_fields)
        assert data["targets"]["single_phase"] == {
            "kind": "binary",
            "prior": {"dist": "Bernoulli", "probs": 0.5},
            "given": [],
            "conditions": {},
            "reports": None,
            "calibration": None,
        }
        assert list(data["training"]) == list(Training.model_fields)


class TestValue:
    def test_default_is_that_of_the_class_everywhere(self):
        assert ModelSpec() == ModelSpec.from_mapping({})

    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(spec=specs)
    def test_equal_by_value_and_hashable(self, spec):
        same = ModelSpec.model_validate(spec.model_dump())
        assert same is not spec
        assert {spec: 1}[same] == 1

    def test_another_value_is_another_spec(self):
        assert ModelSpec(latent=Latent(dim=4)) != ModelSpec()

    @pytest.mark.parametrize("key", ModelSpec.model_fields)
    def test_frozen(self, key):
        with pytest.raises(ValueError, match="frozen"):
            setattr(ModelSpec(), key, None)

    def test_frozen_within(self):
        with pytest.raises(ValueError, match="frozen"):
            ModelSpec().latent.prior.scale = 2.0

    def test_several_targets(self):
        spec = ModelSpec(targets=(Binary(name="single_phase"), Binary(name="ductile")))
        assert spec.target_names == ("single_phase", "ductile")


class TestUnknownKey:
    @pytest.mark.parametrize(
        ("data", "where", "nearest", "allowed"),
        [
            ({"latnt": {}}, "top level", "latent", "targets, latent, likelihood"),
            ({"latent": {"dims": 2}}, "latent", "dim", "dim, prior, flow"),
            (
                {"latent": {"prior": {"dist": "Normal", "scal": 2}}},
                "latent.prior",
                "scale",
                "dist, loc, scale",
            ),
            ({"latent": {"flow": {"layer": 2}}}, "latent.flow", "layers", "layers, hidden"),
            ({"likelihood": {"total": 1}}, "likelihood", "total_count", "kind, total_count"),
            ({"features": {"table": ""}}, "features", "tables", "names, tables, bins"),
            ({"head": {"Dropout": 0}}, "head", "dropout", "hidden, dropout"),
            ({"encoder": {"hiden": []}}, "encoder", "hidden", "hidden, dropout"),
            ({"decoder": {"hiden": []}}, "decoder", "hidden", "hidden, dropout"),
            ({"training": {"epoch": 1}}, "training", "epochs", "members, epochs, batch_size"),
            (
                {"targets": {"a": {"priors": {}}}},
                r"targets\.a",
                "prior",
                "given, conditions, kind, prior, reports",
            ),
            (
                {"targets": {"a": {"prior": {"dist": "Bernoulli", "prob": 1}}}},
                r"targets\.a\.prior",
                "probs",
                "dist, probs",
            ),
        ],
    )
    def test_names_the_place_the_nearest_and_what_is_allowed(self, data, where, nearest, allowed):
        with pytest.raises(
            SpecError,
            match=rf"hea.yaml: {where}: unknown key .*Did you mean '{nearest}'\?.*{allowed}",
        ):
            ModelSpec.from_mapping(data, "hea.yaml")

    def test_far_from_every_key_still_lists_what_is_allowed(self):
        with pytest.raises(SpecError, match=r"unknown key 'colour'\. Allowed: targets, latent"):
            ModelSpec.from_mapping({"colour": 1})

    def test_that_is_no_text(self):
        with pytest.raises(SpecError, match="unknown key '1'"):
            ModelSpec.from_mapping({"latent": {1: 2}})


NORMAL = {"dist": "Normal", "loc": 0, "scale": 1}
LEVELS = {"kind": "ordinal", "levels": ["low", "high"]}
BERNOULLI = {"dist": "Bernoulli"}


class TestFaultyValue:
    @pytest.mark.parametrize(
        ("data", "key", "allowed"),
        [
            ({"latent": {"dim": 0}}, "latent.dim", "greater than or equal to 1"),
            ({"latent": {"dim": 2.5}}, "latent.dim", "integer"),
            ({"latent": {"dim": "two"}}, "latent.dim", "integer"),
            ({"latent": {"dim": None}}, "latent.dim", "integer"),
            ({"latent": {"dim": True}}, "latent.dim", "integer"),
            ({"latent": 8}, "latent", "dictionary"),
            ({"latent": None}, "latent", "dictionary"),
            ({"latent": {"prior": NORMAL | {"scale": 0}}}, "latent.prior.scale", "greater than 0"),
            (
                {"latent": {"prior": NORMAL | {"scale": float("inf")}}},
                "latent.prior.scale",
                "finite",
            ),
            ({"latent": {"prior": NORMAL | {"loc": float("nan")}}}, "latent.prior.loc", "finite"),
            ({"latent": {"prior": {"dist": "Cauchy"}}}, "latent.prior", "needs loc, scale"),
            ({"latent": {"flow": {"layers": 33}}}, "latent.flow.layers", "less than or equal"),
            ({"likelihood": {"kind": "binomial"}}, "likelihood.kind", "'multinomial'"),
            ({"likelihood": {"total_count": 0}}, "likelihood.total_count", "equal to 1"),
            ({"features": {"names": "richer"}}, "features.names", "'rich' or 'published'"),
            ({"features": {"names": []}}, "features.names", "at least 1"),
            ({"features": {"tables": "mine"}}, "features.tables", "'field' or 'published'"),
            ({"head": {"dropout": 1}}, "head.dropout", "less than 1"),
            ({"head": {"dropout": -0.1}}, "head.dropout", "greater than or equal to 0"),
            ({"head": {"hidden": 128}}, "head.hidden", "tuple"),
            ({"head": {"hidden": [128, 0]}}, "head.hidden.1", "greater than or equal to 1"),
            ({"training": {"batch_size": 1}}, "training.batch_size", "equal to 2"),
            ({"training": {"learning_rate": 0}}, "training.learning_rate", "greater than 0"),
            ({"training": {"learning_rate": float("inf")}}, "training.learning_rate", "finite"),
            ({"training": {"jitter": 1}}, "training.jitter", "less than 1"),
            ({"targets": {}}, "targets", "at least 1"),
            (
                {"targets": {"a": {"calibration": "platt"}}},
                "targets.a.calibration",
                "'temperature' or 'beta'",
            ),
            (
                {"targets": {"a": LEVELS | {"calibration": "beta"}}},
                "targets.a.calibration",
                r"should be 'temperature' \(given: 'beta'\)",
            ),
            ({"targets": []}, "targets", "at least 1"),
            ({"targets": "single_phase"}, "targets", "tuple"),
            ({"targets": {"a": 0.5}}, "targets", "dictionary"),
            ({"targets": {"a": ["prior"]}}, "targets", "dictionary"),
            ({"targets": {"a": False}}, "targets", "dictionary"),
            ({"targets": [3]}, "targets.0", "dictionary"),
            ({"targets": [{}]}, "targets.0.name", "required"),
            ({"targets": {"Single phase": {}}}, "targets.*name", "pattern"),
            ({"targets": {1: {}}}, "targets.*name", "string"),
            ({"targets": {"a": {"prior": BERNOULLI | {"probs": 1}}}}, "targets.a", "less than 1"),
            (
                {"targets": {"a": {"prior": BERNOULLI | {"probs": 2}}}},
                "targets.a.prior.probs",
                "0 to 1",
            ),
            (
                {"targets": {"a": {"kind": "ordnal", "levels": ["a", "b"]}}},
                "targets.a.kind",
                "Did you mean 'ordinal'.*binary, categorical, ordinal, continuous",
            ),
        ],
    )
    def test_names_its_key_and_what_is_allowed(self, data, key, allowed):
        with pytest.raises(SpecError, match=rf"hea.yaml: {key}.*: .*{allowed}"):
            ModelSpec.from_mapping(data, "hea.yaml")

    def test_is_quoted(self):
        with pytest.raises(SpecError, match=r"\(given: -3\)"):
            ModelSpec.from_mapping({"training": {"epochs": -3}})

    @pytest.mark.parametrize(
        "latent", [{"dim": 3, "flow": {}}, {"dim": 3, "flow": {"layers": 2}}, {"dim": 3}]
    )
    def test_odd_latent_dim_with_a_flow(self, latent):
        with pytest.raises(SpecError, match=r"even latent dim.*flow: null"):
            ModelSpec.from_mapping({"latent": latent})

    def test_odd_latent_dim_without_a_flow_is_fine(self):
        spec = ModelSpec.from_mapping({"latent": {"dim": 3, "flow": None}})
        assert spec.latent == Latent(dim=3, flow=None)

    def test_two_targets_of_one_name(self):
        with pytest.raises(SpecError, match=r"targets: two targets share a name: a, b, a"):
            ModelSpec.from_mapping({"targets": [{"name": name} for name in "aba"]})

    @pytest.mark.parametrize("repeated", ["targets: {a: , a: }", "latent: {}\nlatent: {dim: 2}"])
    def test_key_that_stands_twice_in_the_file(self, file, repeated):
        with pytest.raises(SpecError, match=r"'?(a|latent)'?.*twice|twice.*'?(a|latent)'?"):
            read(file, repeated)

    def test_target_has_one_name_only(self):
        with pytest.raises(SpecError, match="name"):
            ModelSpec.from_mapping({"targets": {"hard": {"name": "soft"}}})

    @pytest.mark.parametrize("name", ["z", "composition", "formula"])
    def test_target_may_not_be_named_like_a_site_or_column_of_every_model(self, name):
        with pytest.raises(SpecError, match=f"'{name}'"):
            ModelSpec.from_mapping({"targets": {name: {}}})

    def test_all_of_several_are_reported_a_line_each(self):
        data = {
            "latent": {"dim": 0, "prior": NORMAL | {"scal": 1}},
            "head": {"hidden": [0], "dropout": 2},
            "training": {"epochs": "many"},
        }
        with pytest.raises(SpecError) as caught:
            ModelSpec.from_mapping(data, "hea.yaml")
        lines = str(caught.value).splitlines()
        keys = ["latent.dim", "latent.prior", "head.hidden.0", "head.dropout", "training.epochs"]
        assert [line.split(": ")[:2] for line in lines] == [["hea.yaml", key] for key in keys]

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ({"latnt": {}, "trainig": {}}, ["'latnt'", "'trainig'"]),
            ({"head": {"hiden": [], "dropot": 0}}, ["'hiden'", "'dropot'"]),
            ({"latnt": {}, "head": {"dropout": 2}}, ["'latnt'", "head.dropout"]),
            ({"head": {"hiden": [], "dropout": 2}}, ["'hiden'", "head.dropout"]),
        ],
    )
    def test_unknown_key_hides_no_other_fault(self, data, said):
        with pytest.raises(SpecError) as caught:
            ModelSpec.from_mapping(data)
        assert [word for word in said if word not in str(caught.value)] == []

    @pytest.mark.parametrize(
        "build", [lambda: ModelSpec(latnt=3), lambda: Latent(dim=0), lambda: Binary(name="A b")]
    )
    def test_in_python_is_a_spec_error_too(self, build):
        with pytest.raises(SpecError):
            build()


class TestFaultyFile:
    def test_missing(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"nowhere\.yaml' does not exist"):
            ModelSpec.from_yaml(tmp_path / "nowhere.yaml")

    def test_folder(self, tmp_path):
        with pytest.raises(PyroHEAError, match=tmp_path.name):
            ModelSpec.from_yaml(tmp_path)

    @pytest.mark.parametrize(
        "text",
        ["latent: {dim: 4", "a: b: c", "\tlatent:", "a\n---\nb", "*a", "? [1]\n: 2", "\0"],
    )
    def test_not_yaml(self, file, text):
        with pytest.raises(SpecError, match=r"hea\.yaml"):
            read(file, text)

    def test_not_text(self, file):
        file.write_bytes(b"\xff\xfe\x00\x80")
        with pytest.raises(SpecError, match=r"hea\.yaml: not YAML"):
            ModelSpec.from_yaml(file)

    @pytest.mark.parametrize(
        ("text", "kind"),
        [("- latent", "list"), ("latent", "str"), ("3", "int"), ("2024-01-01", "str")],
    )
    def test_no_mapping(self, file, text, kind):
        with pytest.raises(SpecError, match=rf"hea\.yaml: a spec is a mapping of keys, not {kind}"):
            read(file, text)

    @pytest.mark.parametrize(
        "text",
        [
            "latent: 2001-99-99",
            "!!int x",
            "!!float x",
            "!!bool x",
            "!!timestamp x",
            "0x_",
            "9" * 5000,
            "[" * 1500,
        ],
        ids=lambda text: text[:20],
    )
    def test_literal_that_yaml_chokes_on(self, file, text):
        with pytest.raises(SpecError, match=r"hea\.yaml"):
            read(file, text)

    @pytest.mark.parametrize("text", ["&a {latent: *a}", "&a [*a]", "latent: &b {prior: *b}"])
    def test_that_holds_itself(self, file, text):
        with pytest.raises(SpecError, match=r"hea\.yaml: .* that holds itself"):
            read(file, text)

    def test_no_folder_to_write_into(self, tmp_path):
        with pytest.raises(OutputError, match="nowhere"):
            ModelSpec().to_yaml(tmp_path / "nowhere" / "hea.yaml")


TAGS = [
    "!!python/object/apply:os.system ['touch {0}']",
    "!!python/object/new:os.system ['touch {0}']",
    "!!python/object/apply:subprocess.check_call [[touch, '{0}']]",
    "!!python/object/apply:builtins.eval [\"open('{0}', 'w')\"]",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    "!!python/object:pyro_hea.spec.ModelSpec {{}}",
    "!!python/tuple [1, 2]",
    "!Latent {{dim: 4}}",
]

PLACES = ["{}", "latent: {}", "latent: {{dim: {}}}", "? {}\n: 1", "targets: [{}]", "head: &a {}"]


BOMB = "\n".join(
    ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    + [f"a{i}: &a{i} [{', '.join(10 * [f'*a{i - 1}'])}]" for i in range(1, 30)]
)
"""A few hundred characters for 10^30 values, by aliases."""


class TestAliases:
    def test_stand_for_what_they_name(self, file):
        spec = read(file, "head: &net {hidden: [8]}\ndecoder: *net\n")
        assert spec.head == spec.decoder == Network(hidden=(8,))

    @pytest.mark.parametrize(
        "text",
        [
            BOMB,
            f"{BOMB}\nlatent: *a29",
            f"{BOMB}\nlatent: {{prior: {{dist: Normal, loc: *a29, scale: 1}}}}",
            f"{BOMB}\nlatent: {{prior: {{dist: *a29}}}}",
            f"{BOMB}\nhead: {{hidden: *a29}}",
            f"{BOMB}\ntargets: {{a: {{prior: {{logistic: {{omega: *a29}}}}}}}}",
            f"{BOMB}\ntargets: {{a: {{kind: *a29}}}}",
            f"{BOMB}\ntargets: {{a: {{kind: categorical, classes: *a29}}}}",
            f"{BOMB}\ntargets: {{a: {{kind: categorical, classes: [b, c], only: {{b: *a29}}}}}}",
            f"{BOMB}\nlikelihood: {{kind: *a29}}",
            f"{BOMB}\nfeatures: {{names: *a29}}",
        ],
    )
    def test_cannot_make_a_file_explode(self, file, text):
        with pytest.raises(SpecError, match=r"hea.yaml: .*more than 10000 values, or one that"):
            read(file, text)

    def test_may_be_merged(self, file):
        spec = read(file, "head: &net {hidden: [8]}\ndecoder: {<<: *net, dropout: 0.5}\n")
        assert spec.decoder == Network(hidden=(8,), dropout=0.5)

    def test_cannot_explode_by_merging(self, file):
        merges = [f"k{i}: &k{i} {{<<: [{', '.join(10 * [f'*k{i - 1}'])}]}}" for i in range(1, 30)]
        with pytest.raises(SpecError, match="more than 10000 values"):
            read(file, "\n".join(["k0: &k0 {a: 1}", *merges]))


class TestYamlRunsNothing:
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("tag", TAGS)
    def test_tag_is_refused(self, file, tmp_path, place, tag):
        mark = tmp_path / "ran"
        text = place.format(tag.format(mark))
        with pytest.raises(SpecError, match=r"hea\.yaml: not YAML: .*constructor"):
            read(file, text)
        assert not mark.exists()

    @settings(deadline=None, max_examples=100)
    @given(
        st.text()
        | st.lists(
            st.sampled_from(
                [
                    *ModelSpec.model_fields,
                    *Training.model_fields,
                    *"\n:-?[]{},&*!|>'\"%@`#~ 019._e",
                    *("dim", "prior", "name", "flow", ": ", "\n  ", "- ", "null", "0x", "!!int "),
                    "!!python/object/apply:os.abort []",
                ]
            )
        ).map("".join)
    )
    @example("targets: {a: 3}")
    @example("targets: {a: {? [1]: 2}}")
    def test_any_text_is_a_spec_or_a_spec_error(self, file, text):
        result = or_spec_error(lambda: read(file, text))
        assert isinstance(result, ModelSpec) or str(file) in str(result)

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "prior", "kind", "dim", "flow", "hidden", "probs"])
                | st.text()
                | st.integers(),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    )

    @settings(deadline=None, max_examples=100)
    @given(st.dictionaries(st.sampled_from(list(ModelSpec.model_fields)), values, max_size=3))
    def test_any_values_are_a_spec_or_a_spec_error(self, data):
        result = or_spec_error(lambda: ModelSpec.from_mapping(data, "hea.yaml"))
        if isinstance(result, ModelSpec):
            assert ModelSpec.from_mapping(result.to_mapping()) == result
        else:
            assert str(result).startswith("hea.yaml: ")
