"""TensorZero's embedded gateway behind a port: `python tensorzero_gateway.py CONFIG`. Prints `port URL` and stays."""
# ruff: noqa: T201 # tells its port

from __future__ import annotations

import signal
import sys
import types
import warnings

import tensorzero

warnings.simplefilter("ignore")  # that it is better run by itself, which no package offers
client = types.SimpleNamespace()
tensorzero.patch_openai_client(client, config_file=sys.argv[1], async_setup=False)
print("port", client.base_url, flush=True)
signal.pause()
