import json
import os
import pathlib

import pytest

import servers


@pytest.fixture
def soak():
    """Figures of ./dev soak, or None."""
    text = os.environ.get("SLUICE_SOAK")
    return json.loads(text) if text else None


@pytest.fixture
def farm():
    f = servers.Farm()
    yield f
    f.close()


@pytest.fixture(params=["sluice", "nats-server"])
def either_server(request, farm):
    """The same program on Sluice and on the reference."""
    if request.param == "nats-server":
        if not pathlib.Path(servers.NATS_SERVER).exists():
            pytest.skip("no nats-server here")
        return farm.nats_server().start()
    return farm.sluice_as_nats_server().start()
