"""Catalogs: names and their owners, clashes, off switches, discovery."""

from __future__ import annotations

import os

import pytest

from lab import RegistrySpec, preset
from lab.errors import PluginError, UnknownNameError, place_of
from lab.registry.discovery import EntryPoint, find_entry_points
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.registry import Plugin
from tests.kernel.toys import plugin_module


def losses(**components):
    return plugin_module(lab_losses=components)


# --- names and owners -------------------------------------------------------------------------------------------------


def test_a_catalog_of_ones_own_needs_no_installed_plugin_and_leaves_no_trace():
    Catalog().add_module(losses(mine=dict), "mine")
    assert "mine" not in Catalog().registry("losses")


def test_a_plugin_tells_what_it_provides(load):
    loaded = load(mine=plugin_module(lab_losses={"b": dict, "a": dict}, lab_metrics={"m": dict}))
    assert loaded.catalog.plugins["mine"].provides == {"losses": ["a", "b"], "metrics": ["m"]}


def test_a_third_party_that_takes_a_built_in_name_is_left_out_whole(load):
    theirs = losses(mse=dict, other=dict)
    where = os.path.basename(place_of(theirs.lab_losses))
    loaded = load(theirs=theirs, builtin_basics=losses(mse=list))
    assert loaded.complaints == [
        "lab: plugin theirs 1.0 could not be loaded and is skipped\n"
        f"  loss 'mse' belongs to builtin_basics 1.0 already ({where})"
    ]
    assert list(loaded.catalog.registry("losses")) == ["mse"]
    assert loaded.catalog.registry("losses")["mse"].load() is list


def test_a_name_that_two_third_parties_have_is_ambiguous_and_told_of(load):
    loaded = load(one=losses(cosine=dict, own=dict), two=losses(cosine=list))
    assert loaded.complaints == [
        "lab: loss 'cosine' is registered by one 1.0 and by two 1.0\n  say which: one:cosine or two:cosine"
    ]
    registry = loaded.catalog.registry("losses")
    with pytest.raises(PluginError) as caught:
        registry["cosine"]
    assert str(caught.value) == (
        "loss 'cosine' is registered by one 1.0 and two 1.0\n  say which: one:cosine or two:cosine"
    )
    assert registry["one:cosine"].load() is dict
    assert registry["two:cosine"].load() is list
    assert registry["own"].load() is dict


def test_strict_does_not_stop_at_an_ambiguous_name(load):
    assert len(load(strict=True, one=losses(cosine=dict), two=losses(cosine=list)).complaints) == 1


def test_two_plugins_of_one_name_are_told_of_with_their_packages():
    catalog = Catalog(warn=(told := []).append)
    points = [point("same", losses(a=dict), "first"), point("same", losses(b=dict), "second")]
    catalog.load(points, lambda plugin: "")
    assert told == ["lab: plugin same 1.0 could not be loaded and is skipped\n  first 1.0 is called 'same' too"]
    assert [(p.distribution, p.status) for p in catalog.plugins.values()] == [("first", "loaded"), ("second", "failed")]


def point(name, module, distribution):
    class Point(EntryPoint):
        def load(self):
            return module

    return Point(name, "module", distribution, "1.0")


def test_one_module_under_two_names_is_registered_once(load):
    module = losses(a=dict)
    loaded = load(one=module, two=module)
    assert loaded.catalog.plugins["two"].status == "failed"
    assert list(loaded.catalog.registry("losses")) == ["a"]


def test_built_in_plugins_are_loaded_first(load):
    loaded = load(a_theirs=losses(x=dict), builtin_z=losses(y=dict))
    assert list(loaded.catalog.plugins) == ["builtin_z", "a_theirs"]


# --- registries of plugins --------------------------------------------------------------------------------------------


def test_a_registry_that_a_plugin_opens_is_filled_by_another(load):
    opener = plugin_module(lab_registries=[RegistrySpec("flavours", "flavour", doc="tastes")])
    loaded = load(filler=plugin_module(lab_flavours={"salt": dict}), opener=opener)
    assert loaded.complaints == []
    assert loaded.catalog.registry("flavour")["salt"].plugin.name == "filler"


def test_a_registry_goes_with_the_plugin_that_opened_it(load):
    opener = plugin_module(lab_registries=[RegistrySpec("flavours", "flavour")], lab_losses={"bad name": dict})
    loaded = load(filler=plugin_module(lab_flavours={"salt": dict}, lab_losses={"l": dict}), opener=opener)
    assert loaded.catalog.plugins["opener"].status == "failed"
    assert loaded.catalog.plugins["filler"].provides == {"losses": ["l"]}
    with pytest.raises(UnknownNameError, match="unknown kind 'flavours'"):
        loaded.catalog.registry("flavours")


def test_a_hook_of_a_registry_that_nobody_opened_is_misspelt(load):
    loaded = load(filler=plugin_module(lab_flavours={"salt": dict}))
    assert loaded.catalog.plugins["filler"].cause.startswith(
        "there is no hook 'lab_flavours'; no plugin that is loaded opens a registry 'flavours'"
    )


# --- off switches -----------------------------------------------------------------------------------------------------


GOOD = """from lab import hookimpl


@hookimpl
def lab_losses():
    return {"steady_aim": dict}
"""


def statuses(catalog):
    return {plugin.name: (plugin.status, plugin.cause) for plugin in catalog.plugins.values() if not plugin.is_builtin}


def test_an_installed_plugin_is_found_by_its_entry_point(install):
    install(good=GOOD)
    catalog = load_catalog(strict=True)
    assert catalog.registry("losses")["steady_aim"].plugin.origin == "good 1.0"
    assert catalog.plugins["good"].provides == {"losses": ["steady_aim"]}


def test_without_switches_off_by_plugin_or_by_package(install):
    install(good=GOOD, other_one=GOOD.replace("good", "other"))
    catalog = load_catalog(without=["good", "other-one"], strict=True)
    assert statuses(catalog) == {
        "good": ("disabled", "switched off by name"),
        "other_one": ("disabled", "switched off by name"),
    }


def test_a_plugin_that_is_switched_off_is_not_imported(install):
    install(loud="raise RuntimeError('imported')")
    assert load_catalog(without=["loud"], strict=True).plugins["loud"].seconds == 0


def test_what_is_switched_off_is_named_where_its_component_is_missed(install):
    install(good=GOOD)
    with pytest.raises(UnknownNameError) as caught:
        load_catalog(without=["good"]).registry("losses")["steady_aim"]
    assert str(caught.value) == (
        "unknown loss 'steady_aim'\n  switched off: good 1.0 (switched off by name)\n  all losses: lab list losses"
    )


def test_a_switch_for_a_plugin_that_is_not_there_is_an_error(install):
    install(good=GOOD)
    with pytest.raises(UnknownNameError) as caught:
        load_catalog(without=["goood"])
    assert str(caught.value) == "unknown plugin 'goood'\n  did you mean: good?\n  installed plugins: lab plugins"


def test_the_environment_switches_off_by_name(install, monkeypatch):
    install(good=GOOD)
    monkeypatch.setenv("LAB_DISABLE_PLUGINS", "nowhere, good")
    assert statuses(load_catalog(strict=True)) == {"good": ("disabled", "switched off by name")}


def test_the_environment_switches_off_all_third_parties(install, monkeypatch):
    install(good=GOOD)
    monkeypatch.setenv("LAB_DISABLE_THIRD_PARTY", "1")
    catalog = load_catalog(strict=True)
    assert statuses(catalog) == {"good": ("disabled", "switched off by LAB_DISABLE_THIRD_PARTY")}
    assert all(plugin.status == "loaded" for plugin in catalog.plugins.values() if plugin.is_builtin)


def test_only_leaves_built_in_plugins_and_those_that_are_named(install):
    install(good=GOOD, other=GOOD.replace("good", "other"))
    catalog = load_catalog(only=["other"], strict=True)
    assert statuses(catalog) == {"good": ("disabled", "not among --only-plugins"), "other": ("loaded", "")}
    assert "adam" in catalog.registry("optimizers")


def test_a_built_in_plugin_may_be_switched_off():
    catalog = load_catalog(without=["lab_basics"])
    assert "adam" not in catalog.registry("optimizers")


# --- discovery --------------------------------------------------------------------------------------------------------


def test_discovery_agrees_with_the_standard_library(install):
    from importlib.metadata import entry_points

    install(good=GOOD, other_one=GOOD)
    for group in ("lab", "console_scripts", "pytest11"):
        expected = {
            (p.name, p.value.partition(" [")[0], p.dist.name, p.dist.version) for p in entry_points(group=group)
        }
        assert {tuple(point) for point in find_entry_points(group)} == expected


def test_discovery_passes_over_comments_and_other_groups(tmp_path, monkeypatch):
    info = tmp_path / "odd_one-2.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "# first\n[other]\na = b\n\n[lab]\n; second\nx = math:pi [extra]\n\n[z]\nq = r\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = [point for point in find_entry_points("lab") if point.distribution != "lab-ablation"]
    assert found == EntryPoint("x", "math:pi", "odd_one", "2.0")
    assert found.load() == 3.141592653589793


def test_of_a_package_that_is_there_twice_the_first_counts(tmp_path, monkeypatch):
    for name, version in (("b", "1.0"), ("a", "2.0")):
        info = tmp_path / name / f"twice-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: Twice\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[lab]\nx = math\n")
        monkeypatch.syspath_prepend(tmp_path / name)
    assert [point.version for point in find_entry_points("lab") if point.name == "x"] == ["2.0"]


# --- hooks by hand ----------------------------------------------------------------------------------------------------


def test_the_first_plugin_to_name_a_thing_keeps_it(load):
    one, two = plugin_module(lab_learner_methods={"greet": "a:b"}), plugin_module(lab_learner_methods={"greet": "c:d"})
    loaded = load(one=one, two=two)
    assert loaded.catalog.collect("lab_learner_methods") == {"greet": "a:b"}
    assert loaded.complaints == [
        "lab: plugin two 1.0: 'greet' of lab_learner_methods is skipped\n  it belongs to one 1.0 already"
    ]


def test_a_preset_is_listed_under_its_own_name(load):
    loaded = load(mine=losses(mse=dict, mse_3=preset("mse", scale=3)))
    assert [entry.qualified_name for entry in loaded.catalog.registry("losses").entries()] == ["mine:mse", "mine:mse_3"]


def test_find_looks_in_every_registry(load):
    loaded = load(mine=plugin_module(lab_losses={"mse": dict}, lab_metrics={"mse": list}), other=losses(x=dict))
    assert [entry.kind for entry in loaded.catalog.find("mse")] == ["losses", "metrics"]
    assert [entry.kind for entry in loaded.catalog.find("mine:mse")] == ["losses", "metrics"]
    assert loaded.catalog.find("other:mse") == []


def test_another_package_with_the_same_module_is_told_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "lab-8.9.dist-info").mkdir()
    (tmp_path / "lab-8.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 8.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    said: list[str] = []
    load_catalog(warn=said.append)
    assert "another package, 'lab', is installed, whose module has the same name\n  pip uninstall lab" in said[0]


def test_a_plugin_without_a_version_such_as_a_study_file_is_named_alone():
    assert str(Plugin(name="my_study", distribution="", version="")) == "my_study"
    assert str(Plugin(name="lab_text", distribution="lab", version="0.1.0")) == "lab_text 0.1.0"
