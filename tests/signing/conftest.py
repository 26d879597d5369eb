import base64
import random

import pytest

from hookd.signing import generate_secret


@pytest.fixture
def secret() -> str:
    return generate_secret(random.Random("hookd").randbytes)


@pytest.fixture
def other_secret() -> str:
    return "whsec_" + base64.b64encode(b"another secret of 24 ...").decode()


@pytest.fixture
def third_secret() -> str:
    return "whsec_" + base64.b64encode(b"the longest secret there may be!" * 2).decode()
