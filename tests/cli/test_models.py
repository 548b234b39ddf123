import json

from tests.conftest import Aes


def test_ls_lists_every_model_with_what_is_known(aes: Aes) -> None:
    done = aes("models", "ls")
    assert done.code == 0
    assert done.out.splitlines()[1].startswith("mini ")
    listed = json.loads(aes("models", "ls", "--json").out)
    assert listed[0]["name"] == "mini"
    assert {"humanaesexpert-1b", "aesexpert-7b", "q-realign-mini", "laion-v2"} <= {each["name"] for each in listed}


def test_show_tells_range_dimensions_licence_data_and_leaks(aes: Aes) -> None:
    out = aes("models", "show", "mini").out
    for word in ("1 to 7", "sharpness", "Apache-2.0", "OASIS", "squeezed"):
        assert word in out
    card = json.loads(aes("models", "show", "laion-v2", "--json").out)
    assert card["native_range"] == [1, 10]
    assert card["leaks_into"] == ["AVA"]
    assert card["weights_license"] is None
    assert "unknown" in aes("models", "show", "laion-v2").out


def test_an_unknown_model_names_the_nearest(aes: Aes) -> None:
    done = aes("models", "show", "laionv2")
    assert done.code == 2
    assert "laion-v2" in done.err


def test_the_built_in_model_is_verified_and_needs_no_download(aes: Aes) -> None:
    assert aes("models", "verify").code == 0
    assert aes("models", "verify", "mini").code == 0
    assert aes("models", "pull", "mini").code == 2
    assert aes("models", "verify", "laion-v2").code == 5
